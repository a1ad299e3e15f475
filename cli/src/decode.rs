//! `sansocket decode`: explains packets, and says where a malformed one breaks.

mod explain;
mod locate;
mod payload;
mod show;

use bytes::Bytes;
use clap::Args;
use explain::{Explainer, Explanation};
use payload::Packet;
use sansocket_protocol::socket::Parser;
use std::io::{self, BufRead, BufReader, BufWriter, ErrorKind, Read, Write};
use std::process::ExitCode;

/// Explains packets read from stdin, and says where a malformed one breaks.
///
/// Each line is an Engine.IO packet as it stands in a WebSocket message or in a polling body: `42["hi"]`, or `b` and
/// base64 for a binary one. Empty lines are skipped. Exits with 1 if any packet was malformed.
#[derive(Debug, Args)]
pub(crate) struct Options {
    /// Read stdin as one body of long-polling: packets with the byte 0x1E between them, or with --eio3 each with its length
    /// in front, as text or as bytes
    #[arg(long, conflicts_with = "hex")]
    body: bool,
    /// Packets of Engine.IO 3, as clients of Socket.IO 1.x and 2.x have them
    #[arg(long)]
    eio3: bool,
    /// The messages are packets in MessagePack, as with socket.io-msgpack-parser: binary ones, in hexadecimal or base64
    #[arg(long, conflicts_with = "engine")]
    msgpack: bool,
    /// Read each line as a WebSocket message in hexadecimal: binary where an attachment is due, and text elsewhere,
    /// unless `text:` or `binary:` before it says otherwise. Blanks are ignored. With --msgpack, all are binary
    #[arg(long)]
    hex: bool,
    /// Plain Engine.IO: do not read messages as Socket.IO packets
    #[arg(long)]
    engine: bool,
    /// Largest number of attachments that a packet may announce
    #[arg(long, value_name = "N", default_value_t = 10)]
    max_attachments: usize,
    /// Print one JSON object a line, for scripts
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(options: &Options) -> ExitCode {
    match decode(options, io::stdin().lock(), BufWriter::new(io::stdout().lock())) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        // The reader wants no more, as `head` does after its lines.
        Err(error) if error.kind() == ErrorKind::BrokenPipe => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("sansocket decode: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Explains all packets. Returns whether all of them were well-formed.
fn decode(options: &Options, input: impl Read, mut output: impl Write) -> io::Result<bool> {
    let parser = if options.msgpack { Parser::msgpack() } else { Parser::json() };
    let parser = parser.max_attachments(options.max_attachments);
    let mut explainer = Explainer::new(parser, options.engine, options.eio3);
    let mut well = true;
    let mut write = |explanation: Explanation| {
        well &= explanation.error.is_none();
        if options.json {
            show::json(&mut output, &explanation)
        } else {
            show::text(&mut output, &explanation)
        }
    };
    if options.body {
        let mut body = Vec::new();
        BufReader::new(input).read_to_end(&mut body)?;
        // `echo` and editors end a file with a line feed, and no body ends with one; bytes may.
        let is_bytes = options.eio3 && matches!(body.first(), Some(0 | 1));
        let body = if is_bytes { &body } else { body.strip_suffix(b"\n").unwrap_or(&body) };
        if options.eio3 {
            for (i, part) in payload::split(body).into_iter().enumerate() {
                write(match part {
                    Ok(Packet::Text(packet)) => explainer.text(i + 1, Bytes::copy_from_slice(packet)),
                    Ok(Packet::Binary(packet)) => explainer.binary(i + 1, Bytes::copy_from_slice(packet)),
                    Err(place) => Explainer::broken_body(i + 1, body, place),
                })?;
            }
        } else {
            for (i, packet) in body.split(|byte| *byte == 0x1e).enumerate() {
                write(explainer.text(i + 1, Bytes::copy_from_slice(packet)))?;
            }
        }
    } else {
        let mut input = BufReader::new(input);
        let mut line = Vec::new();
        let mut number = 0;
        while input.read_until(b'\n', &mut line)? > 0 {
            number += 1;
            let packet = line.strip_suffix(b"\n").unwrap_or(&line);
            let packet = packet.strip_suffix(b"\r").unwrap_or(packet);
            if !packet.is_empty() {
                write(if options.hex {
                    explainer.hex(number, packet)
                } else {
                    explainer.text(number, Bytes::copy_from_slice(packet))
                })?;
            }
            line.clear();
        }
    }
    if let Some(explanation) = explainer.finish() {
        write(explanation)?;
    }
    output.flush()?;
    Ok(well)
}
