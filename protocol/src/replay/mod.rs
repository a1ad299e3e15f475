//! Replays: a recorded session once more, step by step.
//!
//! ```
//! use std::sync::Arc;
//! use sansocket_protocol::engine::{EngineServerConfig, RequestHead, RequestId, Revision};
//! use sansocket_protocol::record::RecordOptions;
//! use sansocket_protocol::replay::{Output, Replay};
//! use sansocket_protocol::server::Connection;
//! use sansocket_protocol::time::Instant;
//!
//! // Somewhere, a session is recorded ...
//! let config = Arc::new(EngineServerConfig::default());
//! let mut session = Connection::new(Instant::ZERO, Revision::V4, config, "an id".into(), None);
//! session.record(RecordOptions::default());
//! let target = "/engine.io/?EIO=4&transport=polling";
//! let head = RequestHead { method: "GET", target, headers: &[] };
//! let _ = session.handle_request(Instant::ZERO, RequestId(1), &head);
//! while session.poll_transmit().is_some() {}
//! let recording = session.take_recording().unwrap();
//!
//! // ... and here it happens again.
//! let mut outputs = 0;
//! for step in Replay::new(&recording)? {
//!     let step = step?;
//!     assert!(step.is_same, "{} went another way", step.entry.name());
//!     outputs += usize::from(matches!(step.output, Output::Transmit(_)));
//! }
//! assert_eq!(outputs, 1);
//! # Ok::<(), sansocket_protocol::record::RecordingError>(())
//! ```
//!
//! A replay shows three kinds of failures: the session decides otherwise than it did ([`Step::is_same`]), which another
//! version may; it does what no session may do ([`Replay::fault`]); or it panics. Once the fault is mended,
//! [`record_again`] makes of the recording one that a test can hold the session to from then on.

mod rules;

pub use rules::Fault;

use crate::engine::{Body, Headers, RequestHead, RequestId, ServerTransmit};
use crate::error::SendError;
use crate::message::WireMessage;
use crate::record::{Entry, Mask, ReadSettings, Reader, RecordOptions, RecordingError};
use crate::server::{Connection, ServerEvent, digest_event, digest_transmit};
use crate::socket::{PacketData, SocketKey};
use crate::time::Instant;
use alloc::borrow::Cow;
use alloc::sync::Arc;
use alloc::vec::Vec;
use bytes::Bytes;
use rules::Rules;

/// A recorded session that runs once more.
#[derive(Debug)]
pub struct Replay<'a> {
    reader: Reader<'a>,
    connection: Connection,
    now: Instant,
    mask: Mask,
    rules: Rules,
    is_masked: bool,
    is_damaged: bool,
}

/// A step of a replay.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Step<'a> {
    /// When it happened, by the clock of the server that recorded it.
    pub at: Instant,
    /// The recorded entry.
    pub entry: Entry<'a>,
    /// Its output now.
    pub output: Output,
    /// Whether that is what came of it then. Another version of this library may decide otherwise.
    pub is_same: bool,
}

/// The outcome of a step.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Output {
    /// An input or a command, which has no outcome of its own.
    Nothing,
    /// A command failed.
    Failed(SendError),
    /// An output was taken.
    Transmit(ServerTransmit),
    /// An event was taken.
    Event(ServerEvent),
    /// An output or an event was taken then, and none is there now.
    Missing,
}

impl<'a> Replay<'a> {
    /// Begins with a recording.
    ///
    /// # Errors
    /// [`RecordingError`] if it is none.
    pub fn new(recording: &'a [u8]) -> Result<Self, RecordingError> {
        let mut reader = Reader::new(recording);
        let settings = ReadSettings::read(&mut reader)?;
        let now = Instant::from_micros(reader.number()?);
        let mask = Mask::new(settings.is_masked, settings.sockets.is_some(), settings.revision);
        let sockets = settings.sockets.map(Arc::new);
        let engine = Arc::new(settings.engine);
        let connection = Connection::new(now, settings.revision, engine, settings.id, sockets);
        Ok(Self {
            reader,
            connection,
            now,
            mask,
            rules: Rules::default(),
            is_masked: settings.is_masked,
            is_damaged: false,
        })
    }

    /// The session, as it is after the steps so far.
    pub fn connection(&self) -> &Connection {
        &self.connection
    }

    /// Returns whether secrets are masked.
    pub fn is_masked(&self) -> bool {
        self.is_masked
    }

    /// The first fault of the session's own in the steps so far, and not one of its client's: a request that is answered
    /// twice, an event after the last, a deadline that stays in the past.
    pub fn fault(&self) -> Option<&Fault> {
        self.rules.fault()
    }

    /// Ends the session after the steps so far, if it has not ended by itself. Whatever has happened, all its requests are
    /// answered then, and all its acknowledgements decided.
    ///
    /// # Errors
    /// The first fault, if there was one.
    pub fn finish(mut self) -> Result<(), Fault> {
        self.rules.end(&mut self.connection);
        self.rules.fault().map_or(Ok(()), |fault| Err(fault.clone()))
    }

    /// Gives an entry to the session, and looks what came of it.
    fn judged(&mut self, entry: Entry<'a>) -> Step<'a> {
        let step = self.step(entry);
        self.rules.judge(step.at, &step.entry, &step.output, &self.connection);
        step
    }

    /// Gives an entry to the session.
    fn step(&mut self, entry: Entry<'a>) -> Step<'a> {
        let connection = &mut self.connection;
        let (output, is_same) = match &entry {
            Entry::Transmit { digest } => match connection.poll_transmit() {
                Some(transmit) => {
                    let is_same = digest_transmit(self.mask, &transmit) == *digest;
                    (Output::Transmit(transmit), is_same)
                }
                None => (Output::Missing, false),
            },
            Entry::Event { digest } => match connection.poll_event() {
                Some(event) => {
                    let is_same = digest_event(self.mask, &event) == *digest;
                    (Output::Event(event), is_same)
                }
                None => (Output::Missing, false),
            },
            Entry::NoEvent {} => match connection.poll_event() {
                Some(event) => (Output::Event(event), false),
                None => (Output::Nothing, true),
            },
            entry => match command(connection, entry) {
                Some(Err(error)) => (Output::Failed(error), true),
                Some(Ok(())) => (Output::Nothing, true),
                None => {
                    input(connection, self.now, entry);
                    (Output::Nothing, true)
                }
            },
        };
        Step { at: self.now, entry, output, is_same }
    }
}

impl<'a> Iterator for Replay<'a> {
    type Item = Result<Step<'a>, RecordingError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.is_damaged || self.reader.is_at_end() {
            return None;
        }
        match Entry::read(&mut self.reader) {
            Ok((after, entry)) => {
                self.now = Instant::from_micros(self.now.as_micros().saturating_add(after));
                Some(Ok(self.judged(entry)))
            }
            Err(error) => {
                self.is_damaged = true;
                Some(Err(error))
            }
        }
    }
}

/// Records a session again as it goes now: the inputs, commands and remarks of a recording, and the outputs that come of
/// them today. Those that nothing in the recording asks for are taken at the end. Secrets are masked if they were.
///
/// # Errors
/// [`RecordingError`] if it is no recording, or damaged.
pub fn record_again(recording: &[u8]) -> Result<Vec<u8>, RecordingError> {
    let mut replay = Replay::new(recording)?;
    let options = RecordOptions { max_bytes: usize::MAX, with_secrets: !replay.is_masked };
    replay.connection.record(options);
    while let Some(step) = replay.next() {
        if let Entry::Note { text } = step?.entry {
            replay.connection.remark(&text);
        }
    }
    while replay.connection.poll_transmit().is_some() {}
    while replay.connection.poll_event().is_some() {}
    // Its end may have been among the events.
    while replay.connection.poll_transmit().is_some() {}
    Ok(replay.connection.take_recording().unwrap_or_default())
}

/// The headers that a recording keeps.
struct Kept<'a>([(&'static str, Option<&'a str>); 4]);

impl Headers for Kept<'_> {
    fn header(&self, name: &str) -> Option<Cow<'_, str>> {
        let (_, value) = self.0.iter().find(|(known, _)| known.eq_ignore_ascii_case(name))?;
        value.map(Cow::Borrowed)
    }
}

/// Gives an input to a session.
fn input(connection: &mut Connection, now: Instant, entry: &Entry<'_>) {
    let copy = |data: &Cow<'_, [u8]>| Bytes::copy_from_slice(data);
    match entry {
        Entry::Request { request, method, target, connection: of, upgrade, content_type, content_length } => {
            let headers = Kept([
                ("connection", of.as_deref()),
                ("upgrade", upgrade.as_deref()),
                ("content-type", content_type.as_deref()),
                ("content-length", content_length.as_deref()),
            ]);
            let head = RequestHead { method, target, headers: &headers };
            let _ = connection.handle_request(now, RequestId(*request), &head);
        }
        Entry::Body { request, data } => {
            connection.handle_body(now, RequestId(*request), Body::Complete(copy(data)));
        }
        Entry::BodyTooLarge { request } => connection.handle_body(now, RequestId(*request), Body::TooLarge),
        Entry::RequestAborted { request } => connection.handle_request_aborted(now, RequestId(*request)),
        Entry::WebSocketOpened { websocket } => {
            connection.handle_websocket_opened(now, RequestId(*websocket));
        }
        Entry::WebSocketText { websocket, data } => {
            connection.handle_websocket(now, RequestId(*websocket), WireMessage::Text(copy(data)));
        }
        Entry::WebSocketBinary { websocket, data } => {
            connection.handle_websocket(now, RequestId(*websocket), WireMessage::Binary(copy(data)));
        }
        Entry::BytesArrived { from } => connection.handle_bytes(now, RequestId(*from)),
        Entry::WebSocketClosed { websocket, code } => {
            let code = code.checked_sub(1).and_then(|code| u16::try_from(code).ok());
            connection.handle_websocket_closed(now, RequestId(*websocket), code);
        }
        Entry::Unwritten { size } => {
            connection.handle_unwritten(now, usize::try_from(*size).unwrap_or(usize::MAX));
        }
        Entry::Timeout {} => connection.handle_timeout(now),
        // Remarks, the end, and what `command` and `Replay::step` have dealt with.
        _ => {}
    }
}

/// Gives a command to a session. `None` if the entry is none.
fn command(connection: &mut Connection, entry: &Entry<'_>) -> Option<Result<(), SendError>> {
    let key = |number: u64| SocketKey::new(u32::try_from(number).unwrap_or(u32::MAX));
    let optional = |number: u64| number.checked_sub(1).map(key);
    let bytes = |size: u64| usize::try_from(size).unwrap_or(usize::MAX);
    let json = |json: &Option<Cow<'_, [u8]>>| {
        let text = core::str::from_utf8(json.as_deref()?).ok()?;
        PacketData::from_json(text).ok()
    };
    Some(match entry {
        Entry::Accept { socket, sid, pid: Some(pid) } => {
            connection.accept_recoverable(key(*socket), sid, pid)
        }
        Entry::Accept { socket, sid, pid: None } => connection.accept(key(*socket), sid),
        Entry::Reject { socket, message, data } => {
            connection.reject(key(*socket), message, json(data).as_ref())
        }
        Entry::Emit { socket, frame } => connection.emit(key(*socket), frame).map(drop),
        Entry::EmitWithAck { socket, frame, id, deadline } => {
            connection.emit_with_ack(key(*socket), frame, *id, Instant::from_micros(*deadline))
        }
        Entry::Ack { socket, frame } => connection.ack(key(*socket), frame),
        Entry::Disconnect { socket, reason } => connection.disconnect(key(*socket), *reason),
        Entry::Hold { socket } => {
            connection.hold(optional(*socket));
            Ok(())
        }
        Entry::Release { socket } => {
            connection.release(optional(*socket));
            Ok(())
        }
        Entry::BeginApart { size } => {
            connection.begin_apart(bytes(*size));
            Ok(())
        }
        Entry::EndApart { size } => {
            connection.end_apart(bytes(*size));
            Ok(())
        }
        Entry::Send { frame } => connection.send(frame),
        Entry::Close { reason } => {
            connection.close(*reason);
            Ok(())
        }
        Entry::Abort { reason } => {
            connection.abort(*reason);
            Ok(())
        }
        Entry::AskAgain { socket, auth } => connection.ask_again(key(*socket), json(auth)),
        _ => return None,
    })
}
