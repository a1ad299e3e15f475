//! The recording of a connection: what it was given, and digests of what was taken.

use super::{Connection, Layer, ServerEvent};
use crate::engine::server::ServerTransmit;
use crate::record::{Entry, Mask, RecordOptions, Recorder, Settings};
use crate::socket::SocketKey;
use crate::socket::server::ServerSocketEvent;
use alloc::borrow::Cow;
use alloc::boxed::Box;
use alloc::vec::Vec;

impl Connection {
    /// Begins a recording, right after [`new`](Self::new): what came before would be missing. Returns false, and records
    /// nothing, if the session's parser is the application's own, or MessagePack where secrets are not kept.
    pub fn record(&mut self, options: RecordOptions) -> bool {
        let settings = Settings {
            revision: self.revision(),
            id: self.engine.id(),
            engine: self.engine.config(),
            sockets: match &self.layer {
                Layer::Sockets(sockets) => Some(sockets.config()),
                Layer::Messages(_) => None,
            },
        };
        self.recorder = Recorder::new(self.now, &settings, options).map(Box::new);
        self.recorder.is_some()
    }

    /// Ends the recording, if there is one, and gives it back in the form of [`record`](crate::record).
    pub fn take_recording(&mut self) -> Option<Vec<u8>> {
        self.recorder.take().map(|recorder| recorder.into_bytes())
    }

    /// The settings of its engine.
    pub(crate) fn config(&self) -> &crate::engine::EngineServerConfig {
        self.engine.config()
    }

    /// Returns whether the session ended because the client broke a rule.
    pub fn broke_a_rule(&self) -> bool {
        self.broke_a_rule
    }

    /// Adds a remark to the recording, if there is one: the message of a panic, for example. It is not masked.
    pub fn remark(&mut self, text: &str) {
        self.note(|_| Entry::Note { text: Cow::Borrowed(text) });
    }

    /// Adds an entry to the recording, if there is one.
    #[inline]
    pub(super) fn note<'e>(&mut self, entry: impl FnOnce(Mask) -> Entry<'e>) {
        if let Some(recorder) = &mut self.recorder {
            let entry = entry(recorder.mask());
            recorder.note(self.now, &entry);
        }
    }
}

/// The number of a socket in a recording.
pub(super) fn number(socket: SocketKey) -> u64 {
    u64::from(socket.number())
}

/// The same, and one more; 0 for none.
pub(super) fn optional_number(socket: Option<SocketKey>) -> u64 {
    socket.map_or(0, |socket| number(socket).saturating_add(1))
}

/// A number that two outputs share only if they are the same, apart from what is masked.
pub(crate) fn digest_transmit(mask: Mask, transmit: &ServerTransmit) -> u64 {
    let mut digest = Digest::new();
    match transmit {
        ServerTransmit::Respond { request, response } => {
            // Its text may be escaped, so it cannot be masked.
            digest.numbers([1, request.0, u64::from(response.status), response.body.len() as u64]);
        }
        ServerTransmit::Abort { request } => digest.numbers([2, request.0]),
        ServerTransmit::AcceptWebSocket { request } => digest.numbers([3, request.0]),
        ServerTransmit::Write { websocket, message, compress } => {
            digest.numbers([4, websocket.0, u64::from(*compress)]);
            match message {
                crate::message::WireMessage::Text(text) => digest.bytes(&mask.text(text)),
                crate::message::WireMessage::Binary(data) => digest.bytes(&mask.binary(data)),
            }
        }
        ServerTransmit::WriteTyped { websocket, kind, data, compress } => {
            digest.numbers([5, websocket.0, u64::from(*kind), u64::from(*compress)]);
            digest.bytes(&mask.binary(data));
        }
        ServerTransmit::CloseWebSocket { websocket, code } => {
            digest.numbers([6, websocket.0, code.map_or(0, u64::from)]);
        }
    }
    digest.0
}

/// A number that two events share only if they are about the same, as far as that can be seen without what is masked.
pub(crate) fn digest_event(mask: Mask, event: &ServerEvent) -> u64 {
    let mut digest = Digest::new();
    match event {
        ServerEvent::Socket(ServerSocketEvent::Connect { socket, namespace, auth }) => {
            digest.numbers([1, number(*socket), auth.as_ref().map_or(0, |auth| auth.json().len() as u64)]);
            digest.bytes(&mask.namespace(namespace));
        }
        ServerEvent::Socket(ServerSocketEvent::Event { socket, args, ack }) => {
            digest.numbers([
                2,
                number(*socket),
                args.wire_len() as u64,
                ack.map_or(0, |ack| ack.wrapping_add(1)),
            ]);
        }
        ServerEvent::Socket(ServerSocketEvent::Ack { socket, id, .. }) => {
            digest.numbers([3, number(*socket), *id]);
        }
        ServerEvent::Socket(ServerSocketEvent::Disconnected { socket, reason }) => {
            digest.numbers([4, number(*socket)]);
            digest.bytes(reason.as_str().as_bytes());
        }
        ServerEvent::Message(message) => {
            let (crate::message::WireMessage::Text(data) | crate::message::WireMessage::Binary(data)) =
                message;
            digest.numbers([5, data.len() as u64]);
        }
        ServerEvent::Upgraded => digest.numbers([6]),
        ServerEvent::Closed(closed) => {
            digest.numbers([7, u64::from(closed.detail.is_some())]);
            digest.bytes(closed.reason.as_str().as_bytes());
        }
    }
    digest.0
}

/// FNV-1a, 64 bits.
struct Digest(u64);

impl Digest {
    fn new() -> Self {
        Self(0xcbf2_9ce4_8422_2325)
    }

    fn bytes(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = (self.0 ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3);
        }
    }

    fn numbers<const N: usize>(&mut self, numbers: [u64; N]) {
        for number in numbers {
            self.bytes(&number.to_le_bytes());
        }
    }
}
