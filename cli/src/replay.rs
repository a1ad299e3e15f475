//! `sansocket replay`: runs a recorded session again, and says where a rule broke, the client's or our own.

use clap::Args;
use sansocket_protocol::engine::ServerTransmit;
use sansocket_protocol::message::WireMessage;
use sansocket_protocol::record::{Entry, RecordingError};
use sansocket_protocol::replay::{Output, Replay, Step, record_again};
use sansocket_protocol::server::ServerEvent;
use sansocket_protocol::socket::ServerSocketEvent;
use std::borrow::Cow;
use std::fs;
use std::io::{self, BufWriter, ErrorKind, Write};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::process::ExitCode;

/// The most characters of a message that are shown, unless all are asked for.
const MAX_TEXT: usize = 100;

/// Runs a recorded session again, shows it as a diagram, and says where a rule broke.
///
/// The session's machine is given what it was given then. Exits with 1 if it decides otherwise now, which another
/// version may, if it does what no session may do, if it panics, or if the recording is damaged.
#[derive(Debug, Args)]
pub(crate) struct Options {
    /// The recording
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// Show whole messages
    #[arg(long)]
    full: bool,
    /// Show what the server did inside, too: commands that are no messages, and timers
    #[arg(short, long)]
    verbose: bool,
    /// Write the recording again as the session goes now, for a test that holds it to that
    #[arg(long, value_name = "OUT")]
    rewrite: Option<PathBuf>,
}

pub(crate) fn run(options: &Options) -> ExitCode {
    let recording = match fs::read(&options.file) {
        Ok(recording) => recording,
        Err(error) => {
            eprintln!("sansocket replay: cannot read {}: {error}", options.file.display());
            return ExitCode::FAILURE;
        }
    };
    match replay(options, &recording, BufWriter::new(io::stdout().lock())) {
        Ok(Ok(is_same)) => match rewrite(options, &recording) {
            Ok(()) if is_same => ExitCode::SUCCESS,
            Ok(()) => ExitCode::FAILURE,
            Err(error) => {
                eprintln!("sansocket replay: {error}");
                ExitCode::FAILURE
            }
        },
        Ok(Err(error)) => {
            eprintln!("sansocket replay: {}: {error}", options.file.display());
            ExitCode::FAILURE
        }
        // The reader wants no more, as `head` does after its lines.
        Err(error) if error.kind() == ErrorKind::BrokenPipe => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("sansocket replay: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Writes the recording again, if that is wished.
fn rewrite(options: &Options, recording: &[u8]) -> Result<(), String> {
    let Some(path) = &options.rewrite else { return Ok(()) };
    // The panic's words are on the standard error already.
    let again = catch_unwind(|| record_again(recording))
        .map_err(|_| "the session panics, so it is not written again")?;
    let again = again.map_err(|error| error.to_string())?;
    fs::write(path, again).map_err(|error| format!("cannot write {}: {error}", path.display()))
}

/// Replays and shows it. Returns whether the session went the same way, and broke no rule of its own.
fn replay(
    options: &Options,
    recording: &[u8],
    mut output: impl Write,
) -> io::Result<Result<bool, RecordingError>> {
    let mut replay = match Replay::new(recording) {
        Ok(replay) => replay,
        Err(error) => return Ok(Err(error)),
    };
    let secrets = if replay.is_masked() { "secrets are masked" } else { "WITH SECRETS" };
    writeln!(output, "{} bytes, Engine.IO {:?}, {secrets}", recording.len(), replay.connection().revision())?;
    writeln!(output, "{:>10}  {:<50}  server", "seconds", "client")?;
    let mut summary = Summary::default();
    let mut start = None;
    loop {
        let has_fault = replay.fault().is_some();
        // The panic's words are on the standard error already.
        let step = match catch_unwind(AssertUnwindSafe(|| replay.next())) {
            Ok(None) => break,
            Ok(Some(Ok(step))) => step,
            Ok(Some(Err(error))) => {
                output.flush()?;
                return Ok(Err(error));
            }
            Err(_) => {
                writeln!(output, "\nthe session panicked in step {}", summary.steps.saturating_add(1))?;
                output.flush()?;
                return Ok(Ok(false));
            }
        };
        let start = *start.get_or_insert(step.at);
        summary.add(&step);
        if let Some(line) = line(&step, options) {
            writeln!(output, "{:>10.3}  {line}", (step.at - start).as_secs_f64())?;
        }
        if let Some(fault) = replay.fault().filter(|_| !has_fault) {
            writeln!(output, "{:>10.3}  {:<50} !!! {fault}", (step.at - start).as_secs_f64(), "")?;
        }
    }
    summary.write(&mut output, replay.connection())?;
    let fault = replay.finish().err();
    if let Some(fault) = &fault {
        writeln!(output, "A FAULT OF THE SESSION'S OWN: {fault}")?;
    }
    output.flush()?;
    Ok(Ok(summary.differences == 0 && fault.is_none()))
}

/// The counts and findings of a replay.
#[derive(Default)]
struct Summary {
    steps: u64,
    differences: u64,
    is_truncated: bool,
    broken: Option<String>,
    last_input: Option<String>,
}

impl Summary {
    fn add(&mut self, step: &Step<'_>) {
        self.steps += 1;
        self.differences += u64::from(!step.is_same);
        self.is_truncated |= matches!(step.entry, Entry::Truncated);
        if let Some(input) = input(&step.entry) {
            self.last_input = Some(format!("step {}: {}", self.steps, shorten(&input, MAX_TEXT)));
        }
        if let Output::Event(ServerEvent::Closed(closed)) = &step.output {
            if closed.detail.is_some() {
                self.broken = closed.detail.as_ref().map(ToString::to_string);
            }
        }
    }

    fn write(
        &self,
        output: &mut impl Write,
        session: &sansocket_protocol::server::Connection,
    ) -> io::Result<()> {
        writeln!(output)?;
        if let Some(broken) = &self.broken {
            writeln!(output, "a rule was broken: {broken}")?;
            if let Some(input) = &self.last_input {
                writeln!(output, "  the client's last input before that is {input}")?;
            }
        } else if let Some((reason, _)) = session.ended() {
            writeln!(output, "the session ended: {reason}")?;
        } else {
            writeln!(output, "the session was still there")?;
        }
        let counts = session.counts();
        writeln!(
            output,
            "{} steps, {} events in, {} events out; {}{}",
            self.steps,
            counts.events_in,
            counts.events_out,
            match self.differences {
                0 => "the replay went the same way".to_owned(),
                differences => format!("THE REPLAY WENT ANOTHER WAY IN {differences} STEPS"),
            },
            if self.is_truncated { ", up to the recording's limit" } else { "" },
        )
    }
}

/// The line of a step in the diagram; `None` if it is not shown.
fn line(step: &Step<'_>, options: &Options) -> Option<String> {
    let most = if options.full { usize::MAX } else { MAX_TEXT };
    let differs = if step.is_same { "" } else { "   <-- ANOTHER WAY THAN RECORDED" };
    if let Some(input) = input(&step.entry) {
        return Some(format!("{} ->{differs}", shorten(&input, most)));
    }
    let line = match &step.output {
        Output::Transmit(transmit) => format!("{:<50}<- {}", "", shorten(&sent(transmit), most)),
        Output::Event(event) => format!("{:<50} * {}", "", shorten(&told(event), most)),
        Output::Missing => format!("{:<50} ? {} is missing", "", step.entry.name()),
        Output::Failed(error) => format!("{:<50} ! {}: {error}", "", step.entry.name()),
        _ => match &step.entry {
            Entry::Note { text } => format!("{:<50} # {text}", ""),
            Entry::Truncated => "the recording has reached its limit".to_owned(),
            entry if options.verbose => format!("{:<50} . {}", "", shorten(&format!("{entry:?}"), most)),
            _ => return None,
        },
    };
    Some(format!("{line}{differs}"))
}

/// An input of the client, in words.
fn input(entry: &Entry<'_>) -> Option<String> {
    Some(match entry {
        Entry::Request { request, method, target, .. } => format!("[{request}] {method} {target}"),
        Entry::Body { request, data } => format!("[{request}] {}", text(data)),
        Entry::BodyTooLarge { request } => format!("[{request}] a body that is too large"),
        Entry::RequestAborted { request } => format!("[{request}] breaks off"),
        Entry::WebSocketOpened { websocket } => format!("[{websocket}] the WebSocket opens"),
        Entry::WebSocketText { websocket, data } => format!("[{websocket}] {}", text(data)),
        Entry::WebSocketBinary { websocket, data } => format!("[{websocket}] {} bytes", data.len()),
        Entry::WebSocketClosed { websocket, code: 0 } => format!("[{websocket}] the WebSocket closes"),
        Entry::WebSocketClosed { websocket, code } => {
            format!("[{websocket}] the WebSocket breaks ({})", code - 1)
        }
        _ => return None,
    })
}

/// An output of the server, in words.
fn sent(transmit: &ServerTransmit) -> String {
    match transmit {
        ServerTransmit::Respond { request, response } => {
            format!("[{}] {} {}", request.0, response.status, text(&response.body))
        }
        ServerTransmit::Abort { request } => format!("[{}] cuts the connection", request.0),
        ServerTransmit::AcceptWebSocket { request } => format!("[{}] 101", request.0),
        ServerTransmit::Write { websocket, message: WireMessage::Text(data), .. } => {
            format!("[{}] {}", websocket.0, text(data))
        }
        ServerTransmit::Write { websocket, message: WireMessage::Binary(data), .. }
        | ServerTransmit::WriteTyped { websocket, data, .. } => {
            format!("[{}] {} bytes", websocket.0, data.len())
        }
        ServerTransmit::CloseWebSocket { websocket, code } => {
            let code = code.map_or_else(String::new, |code| format!(" ({code})"));
            format!("[{}] closes the WebSocket{code}", websocket.0)
        }
        _ => format!("{transmit:?}"),
    }
}

/// An event of the application, in words.
fn told(event: &ServerEvent) -> String {
    match event {
        ServerEvent::Socket(ServerSocketEvent::Connect { namespace, .. }) => {
            format!("wants to join {namespace}")
        }
        ServerEvent::Socket(ServerSocketEvent::Event { args, ack, .. }) => {
            let name = args.event();
            let asks = if ack.is_some() { ", which asks for an acknowledgement" } else { "" };
            format!("event {:?}{asks}", name.as_deref().unwrap_or(""))
        }
        ServerEvent::Socket(ServerSocketEvent::Ack { id, .. }) => format!("acknowledgement {id}"),
        ServerEvent::Socket(ServerSocketEvent::Disconnected { reason, .. }) => {
            format!("disconnected: {reason}")
        }
        ServerEvent::Message(_) => "message".to_owned(),
        ServerEvent::Upgraded => "upgraded to a WebSocket".to_owned(),
        ServerEvent::Closed(closed) => match &closed.detail {
            Some(detail) => format!("closed: {}, because of {detail}", closed.reason),
            None => format!("closed: {}", closed.reason),
        },
        _ => format!("{event:?}"),
    }
}

/// Bytes as text, with what would disturb a terminal escaped.
fn text(data: &[u8]) -> String {
    String::from_utf8_lossy(data)
        .chars()
        .flat_map(|character| {
            let escaped: Cow<'_, str> = match character {
                '\u{1e}' => " | ".into(),
                character if character.is_control() => character.escape_default().to_string().into(),
                character => character.to_string().into(),
            };
            escaped.chars().collect::<Vec<_>>()
        })
        .collect()
}

fn shorten(text: &str, most: usize) -> Cow<'_, str> {
    match text.char_indices().nth(most) {
        Some((at, _)) => format!("{}...", &text[..at]).into(),
        None => text.into(),
    }
}
