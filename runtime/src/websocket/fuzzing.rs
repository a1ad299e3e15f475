//! The body of the fuzz target `websocket`: any bytes in, a panic if something is wrong.
//!
//! `fuzz/` compiles it together with the codec's own files, and without the rest of the runtime.

use super::deflate::PerMessageDeflate;
use super::deflate::connection::Deflate;
use super::deflate::inflate::Inflating;
use super::deflate::offer::{Agreed, Direction, judge_answer};
use super::deflate::shared::SharedDeflate;
use super::{Incoming, ReadError, Reader, Role, mask};
use bytes::Bytes;
use flate2::{Compress, Compression, Decompress, FlushCompress, FlushDecompress, Status};
use http::header::{HeaderMap, HeaderValue, SEC_WEBSOCKET_EXTENSIONS};
use sansocket_protocol::message::WireMessage;

/// The mask of all frames: which one it is makes no difference to the codec.
const MASK: [u8; 4] = [0x5a, 0x01, 0xff, 0x80];
/// The most bytes that come out of one batch before the reader pauses, as the codec has it.
const BATCH: usize = 256 << 10;

/// Bytes that are used up from the front.
struct Input<'a>(&'a [u8]);

impl<'a> Input<'a> {
    fn byte(&mut self) -> u8 {
        self.take(1).first().copied().unwrap_or(0)
    }

    fn take(&mut self, len: usize) -> &'a [u8] {
        let (taken, rest) = self.0.split_at(len.min(self.0.len()));
        self.0 = rest;
        taken
    }

    /// Bytes with their length in front.
    fn bytes(&mut self) -> &'a [u8] {
        let len = self.byte();
        self.take(len.into())
    }

    /// A message between noise and repetition.
    fn message(&mut self) -> Vec<u8> {
        let times = self.byte();
        let piece = self.bytes();
        match times {
            0..=127 => piece.to_vec(),
            _ => piece.repeat(usize::from(times - 127) * 8),
        }
    }
}

/// One connection that has agreed on compression, one part of which speaks first as it likes and then by our own codec.
pub(crate) fn connection(data: &[u8]) {
    let input = &mut Input(data);
    let head = input.byte();
    let role = if head & 1 == 0 { Role::Server } else { Role::Client };
    let read = Direction { window_bits: 8 + (head >> 1) % 8, takeover: head & 0x10 != 0 };
    let max = [64, 1000, 20_000, 300_000][usize::from(head >> 5) % 4];
    let step = usize::from(input.byte()) + 1;
    match head >> 7 {
        0 => hostile(input, role, read, max, step),
        _ if step == 256 => negotiation(input),
        _ => honest(input, role, read, step),
    }
}

// --- a peer without rules ---------------------------------------------------------------------------------------

/// The outcome of reading a stream.
type Outcome = (Vec<Incoming>, Result<(), ReadError>);

/// Feeds a stream in batches of that many bytes.
fn read(role: Role, direction: Direction, max: usize, stream: &[u8], step: usize) -> Outcome {
    let (mut reader, mut inflating) = (Reader::new(role, max), Inflating::new(direction));
    let mut seen = Vec::new();
    for batch in stream.chunks(step) {
        let mut batch = batch.to_vec();
        loop {
            let mut out = 0;
            let fed = reader.feed_with(Some(&mut inflating), &mut batch, &mut |item| {
                out += len_of(&item).unwrap_or(0);
                seen.push(item);
            });
            // Beyond the batch, no more than the message in which its limit was met, and one that had begun before.
            assert!(out <= BATCH + 2 * max + step, "{out} bytes came out at once");
            match fed {
                Ok(0) => break,
                Ok(left) => {
                    assert!(left < batch.len(), "nothing was taken, so nothing ever will be");
                    batch.drain(..batch.len() - left);
                }
                Err(error) => {
                    let again = reader.feed_with(Some(&mut inflating), &mut [], &mut |_| unreachable!());
                    assert_eq!(again, Err(error), "what has failed stays so");
                    assert!(reader.is_idle(), "and keeps nothing");
                    return (seen, Err(error));
                }
            }
        }
    }
    (seen, Ok(()))
}

/// The same as it does not depend on the batches.
fn judged((mut seen, mut result): Outcome) -> Outcome {
    // A text that comes whole is the core's to judge, one that comes in parts is judged before.
    let is_bad = |item: &Incoming| matches!(item, Incoming::Text(text) if std::str::from_utf8(text).is_err());
    if let Some(at) = seen.iter().position(is_bad) {
        seen.truncate(at);
        result = Err(ReadError::NotUtf8);
    }
    // Bad data at once, or after too much has come out: that depends on how much is looked at together.
    if result == Err(ReadError::TooLarge) {
        result = Err(ReadError::BadCompression);
    }
    (seen, result)
}

fn len_of(item: &Incoming) -> Option<usize> {
    match item {
        Incoming::Text(data) | Incoming::Binary(data) => Some(data.len()),
        Incoming::Ping(_) | Incoming::Pong | Incoming::Close(_) => None,
    }
}

/// Appends a frame to a stream that this end reads.
fn frame(stream: &mut Vec<u8>, role: Role, first: u8, payload: &[u8]) {
    let masked = if role == Role::Server { 0x80 } else { 0 };
    stream.push(first);
    match payload.len() {
        len @ 0..126 => stream.push(masked | len as u8),
        len @ 126..65_536 => {
            stream.push(masked | 126);
            stream.extend_from_slice(&(len as u16).to_be_bytes());
        }
        len => {
            stream.push(masked | 127);
            stream.extend_from_slice(&(len as u64).to_be_bytes());
        }
    }
    let start = stream.len() + if masked == 0 { 0 } else { MASK.len() };
    if masked != 0 {
        stream.extend_from_slice(&MASK);
    }
    stream.extend_from_slice(payload);
    if masked != 0 {
        stream[start..].iter_mut().zip(MASK.iter().cycle()).for_each(|(byte, mask)| *byte ^= mask);
    }
}

/// The messages of a stream of frames, joined by hand and inflated by another inflater, as far as that understands them.
struct Model {
    inflate: Decompress,
    takeover: bool,
    max: usize,
    begun: Option<(bool, bool, Vec<u8>)>,
    messages: Vec<(bool, Vec<u8>)>,
    /// It understands nothing more.
    over: bool,
}

impl Model {
    fn frame(&mut self, first: u8, payload: &[u8]) {
        let kind = first & 0x0f;
        if self.over || kind > 7 {
            // Control frames stand outside of messages; what is wrong with them is not this model's to say.
            self.over |= first & 0x70 != 0 || kind > 8 && first & 0x80 == 0 || kind == 8;
            return;
        }
        match (&mut self.begun, kind) {
            (None, 1 | 2) => self.begun = Some((kind == 1, first & 0x40 != 0, payload.to_vec())),
            (Some((_, _, data)), 0) if first & 0x70 == 0 => data.extend_from_slice(payload),
            _ => return self.over = true,
        }
        if first & 0x80 == 0 {
            return;
        }
        let Some((is_text, is_compressed, mut data)) = self.begun.take() else { return };
        if is_compressed {
            match self.inflated(&data) {
                Some(inflated) => data = inflated,
                None => return self.over = true,
            }
        }
        self.messages.push((is_text, data));
    }

    fn inflated(&mut self, data: &[u8]) -> Option<Vec<u8>> {
        if data.is_empty() {
            // Not one byte, where RFC 7692 (7.2.3.6) has a zero: taken for nothing, as zlib does at its beginning.
            return Some(Vec::new());
        }
        let whole = [data, &[0, 0, 0xff, 0xff]].concat();
        let mut out = Vec::with_capacity(self.max + 300);
        let before = self.inflate.total_in();
        let status = self.inflate.decompress_vec(&whole, &mut out, FlushDecompress::Sync).ok()?;
        let is_whole = self.inflate.total_in() - before == whole.len() as u64;
        if status == Status::StreamEnd || !is_whole || out.len() > self.max {
            return None;
        }
        if !self.takeover {
            self.inflate.reset(false);
        }
        Some(out)
    }
}

/// A peer that sends whatever it likes.
fn hostile(input: &mut Input<'_>, role: Role, direction: Direction, max: usize, step: usize) {
    let mut stream = Vec::new();
    let mut model = Model {
        inflate: Decompress::new(false),
        takeover: direction.takeover,
        max,
        begun: None,
        messages: Vec::new(),
        over: false,
    };
    let mut compress = Compress::new(Compression::new(6), false);
    while !input.0.is_empty() && stream.len() < 1 << 16 {
        let kind = input.byte();
        let first = [0xc1, 0x42, 0x80, 0x00, 0xc2, 0x81, 0x02, kind][usize::from(kind >> 3) % 8];
        match kind & 7 {
            0 | 1 => {
                let payload = input.bytes();
                frame(&mut stream, role, first, payload);
                model.frame(first, payload);
            }
            2 => {
                // A message that is right, or nearly so, in fragments.
                let message = input.message();
                let mut payload = deflated(&mut compress, &message);
                let (at, other) = (usize::from(input.byte()), input.byte());
                if let Some(byte) = payload.get_mut(at) {
                    *byte ^= other;
                }
                if !direction.takeover {
                    compress.reset();
                }
                let len = usize::from(input.byte()) + 1;
                let last = payload.chunks(len).count().max(1) - 1;
                for at in 0..=last {
                    let opcode = if at == 0 { 0x42 } else { 0x00 };
                    let first = if at == last { opcode | 0x80 } else { opcode };
                    let piece = payload.chunks(len).nth(at).unwrap_or_default();
                    frame(&mut stream, role, first, piece);
                    model.frame(first, piece);
                }
            }
            3 => {
                // A bomb.
                let bytes = usize::from(input.byte()) << 11;
                let payload = deflated(&mut compress, &vec![kind; bytes]);
                if !direction.takeover {
                    compress.reset();
                }
                frame(&mut stream, role, 0xc2, &payload);
                model.frame(0xc2, &payload);
            }
            4 => {
                let payload = [0x03, 0x00].repeat(usize::from(input.byte()) * 8);
                frame(&mut stream, role, first, &payload);
                model.frame(first, &payload);
            }
            5 => {
                let payload = input.bytes();
                let payload = &payload[..payload.len().min(125)];
                let first = [0x89, 0x8a, 0x88, 0x09][usize::from(kind >> 3) % 4];
                frame(&mut stream, role, first, payload);
                model.frame(first, payload);
            }
            6 => {
                // Empty fragments.
                for _ in 0..=input.byte() {
                    frame(&mut stream, role, 0x00, &[]);
                    model.frame(0x00, &[]);
                }
            }
            _ => {
                stream.extend_from_slice(input.bytes());
                model.over = true;
            }
        }
    }
    let whole = judged(read(role, direction, max, &stream, stream.len().max(1)));
    // Not in thousands of batches: a fuzzer has more to try.
    let mut steps = vec![step.max(stream.len() / 128)];
    if stream.len() < 300 {
        steps.push(1);
    }
    for step in steps {
        let parted = judged(read(role, direction, max, &stream, step));
        assert_eq!(parted, whole, "in batches of {step}");
    }
    let messages = whole.0.iter().filter_map(|item| match item {
        Incoming::Text(data) => Some((true, data)),
        Incoming::Binary(data) => Some((false, data)),
        Incoming::Ping(_) | Incoming::Pong | Incoming::Close(_) => None,
    });
    for (at, (is_text, data)) in messages.enumerate() {
        assert!(data.len() <= max, "a message is too large");
        if let Some((text, expected)) = model.messages.get(at) {
            assert_eq!((is_text, &data[..]), (*text, &expected[..]), "message {at}");
        }
    }
}

/// A message as another compressor writes it.
fn deflated(compress: &mut Compress, message: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(message.len() + message.len() / 8 + 200);
    let status = compress.compress_vec(message, &mut out, FlushCompress::Sync);
    assert!(status.is_ok() && out.len() < out.capacity(), "the other compressor fails");
    out.truncate(out.len().saturating_sub(4));
    out
}

// --- our own writer ---------------------------------------------------------------------------------------------

/// The messages that one of our ends writes are read by the other, whatever lies between them does to the frames.
fn honest(input: &mut Input<'_>, role: Role, direction: Direction, step: usize) {
    let (level, memory) = (input.byte() % 10, input.byte() % 9 + 1);
    let settings =
        PerMessageDeflate::default().threshold(usize::from(input.byte())).level(level).memory_level(memory);
    let other = Direction { window_bits: 15, takeover: false };
    let (writer, agreed) = match role {
        Role::Server => (Role::Client, Agreed { client: direction, server: other }),
        Role::Client => (Role::Server, Agreed { server: direction, client: other }),
    };
    let mut deflate = Deflate::new(writer, SharedDeflate::new(settings), agreed);
    let key = (writer == Role::Client).then_some(MASK);
    let (mut stream, mut sent) = (Vec::new(), Vec::new());
    while !input.0.is_empty() && sent.len() < 24 {
        let how = input.byte();
        let message = Bytes::from(input.message());
        // A broadcast is held by others, too.
        let others = (how & 4 != 0).then(|| message.clone());
        let (wire, expected) = if how & 1 == 1 && std::str::from_utf8(&message).is_ok() {
            (WireMessage::Text(message.clone()), Incoming::Text(message))
        } else {
            (WireMessage::Binary(message.clone()), Incoming::Binary(message))
        };
        deflate.write(wire, how & 2 == 0, key);
        sent.push(expected);
        if how & 8 == 0 {
            deflate.flush(&mut stream);
        }
        drop(others);
    }
    deflate.flush(&mut stream);
    let stream = fragmented(role, &stream, step);
    let (seen, result) = read(role, direction, 1 << 20, &stream, step.max(stream.len() / 128));
    assert_eq!(result, Ok(()));
    assert!(seen == sent, "what was sent has changed");
}

/// The same messages in fragments of that many bytes, or of more where there would be very many.
fn fragmented(role: Role, stream: &[u8], len: usize) -> Vec<u8> {
    let mut out = Vec::new();
    let mut rest = stream;
    while let [first, second, behind @ ..] = rest {
        let extra = match second & 0x7f {
            126 => 2,
            127 => 8,
            _ => 0,
        };
        let length = behind[..extra].iter().fold(0usize, |sum, byte| sum << 8 | usize::from(*byte));
        let length = if extra == 0 { usize::from(second & 0x7f) } else { length };
        let start = extra + if role == Role::Server { 4 } else { 0 };
        let mut payload = behind[start..start + length].to_vec();
        if role == Role::Server {
            mask(&mut payload, MASK, 0);
        }
        rest = &behind[start + length..];
        let len = len.max(payload.len() / 64);
        let last = payload.chunks(len).count().max(1) - 1;
        for at in 0..=last {
            let opcode = if at == 0 { first & 0x7f } else { 0x00 };
            let fin = if at == last { 0x80 } else { 0x00 };
            frame(&mut out, role, opcode | fin, payload.chunks(len).nth(at).unwrap_or_default());
        }
    }
    out
}

// --- the handshake ----------------------------------------------------------------------------------------------

/// An offer and an answer that are anything, and our own answer to the offer, which our client must take.
fn negotiation(input: &mut Input<'_>) {
    let settings = |input: &mut Input<'_>| {
        let (windows, takeover) = (input.byte(), input.byte());
        PerMessageDeflate::default()
            .server_window_bits(9 + (windows & 0x0f) % 7)
            .client_window_bits(9 + (windows >> 4) % 7)
            .server_context_takeover(takeover & 1 != 0)
            .client_context_takeover(takeover & 2 != 0)
    };
    let (server, client) = (settings(input), settings(input));
    let headers = |value: &[u8]| {
        let value = HeaderValue::from_bytes(value).ok()?;
        Some(HeaderMap::from_iter([(SEC_WEBSOCKET_EXTENSIONS, value)]))
    };
    if let Some((agreed, answer)) = headers(client.offer().as_bytes()).and_then(|offer| server.accept(&offer))
    {
        let answer = headers(answer.as_bytes()).expect("a header of ours");
        assert_eq!(
            judge_answer(Some(&client), &answer),
            Ok(Some(agreed)),
            "both ends have agreed on the same"
        );
    }
    let anything = input.0;
    if let Some(anything) = headers(anything) {
        let _ = judge_answer(Some(&client), &anything);
        assert!(judge_answer(None, &anything).is_ok_and(|agreed| agreed.is_none()) || !anything.is_empty());
        if let Some((agreed, answer)) = server.accept(&anything) {
            for direction in [agreed.sent_by(Role::Server), agreed.sent_by(Role::Client)] {
                assert!((8..=15).contains(&direction.window_bits), "{agreed:?}");
            }
            assert!(headers(answer.as_bytes()).is_some(), "{answer}");
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::panic::catch_unwind;
    use std::path::Path;

    #[test]
    fn nothing_in_the_corpus_breaks_anything() {
        let folder = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../fuzz/corpus/websocket"));
        let mut count = 0;
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            let data = fs::read(&path).unwrap();
            count += 1;
            assert!(catch_unwind(|| super::connection(&data)).is_ok(), "{path:?}: the panic is above");
        }
        assert!(count >= 10, "a corpus of {count} inputs only");
    }
}
