//! What is on its way between a client and the server.

use super::{ClientId, SessionId};
use crate::engine::request::RequestId;
use crate::message::WireMessage;
use crate::time::Instant;
use alloc::collections::VecDeque;
use alloc::string::String;
use bytes::Bytes;
use core::time::Duration;

/// What a request's or a response's head takes on the wire, about.
const HEAD: usize = 160;

/// How a client reaches the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Link {
    /// How long anything takes at least.
    pub latency: Duration,
    /// How much longer it may take. Drawn anew for each message, so that connections overtake each other; what is on
    /// one connection stays in order.
    pub jitter: Duration,
    /// How many bytes a connection carries in a millisecond, each way.
    pub bytes_per_ms: u32,
    /// How many bytes a connection takes from its writer that its reader has not read yet. What is more counts as
    /// unwritten.
    pub buffer: usize,
}

impl Default for Link {
    /// 20 ms, up to 20 ms more, 10 kB/ms, 16 KiB.
    fn default() -> Self {
        Self {
            latency: Duration::from_millis(20),
            jitter: Duration::from_millis(20),
            bytes_per_ms: 10_000,
            buffer: 16 << 10,
        }
    }
}

/// One thing on its way.
#[derive(Clone, Debug)]
pub(super) enum Item {
    // To the server.
    Head { method: &'static str, target: String, websocket: bool, length: usize },
    Body(Bytes),
    // To the client.
    Response { status: u16, body: Bytes },
    Accepted,
    // Both ways.
    Message(WireMessage),
    Close(Option<u16>),
}

impl Item {
    pub(super) fn size(&self) -> usize {
        match self {
            Self::Head { target, .. } => HEAD + target.len(),
            Self::Body(body) => body.len(),
            Self::Response { body, .. } => HEAD + body.len(),
            Self::Accepted => HEAD,
            Self::Message(WireMessage::Text(bytes) | WireMessage::Binary(bytes)) => bytes.len() + 6,
            Self::Close(_) => 6,
        }
    }
}

/// One direction of a connection: in order, until it is dead.
#[derive(Clone, Debug, Default)]
pub(super) struct Lane {
    pub(super) queue: VecDeque<Item>,
    /// How many of these are there, and wait to be read.
    pub(super) arrived: usize,
    pub(super) last_arrival: Instant,
    /// Bytes in the queue.
    pub(super) bytes: usize,
    /// Nothing more goes through. What counts as written stays so.
    pub(super) dead: bool,
    /// How many went in.
    pub(super) sent: u32,
    /// What the writer was told of unwritten bytes.
    pub(super) reported: usize,
}

/// One HTTP exchange, or the WebSocket that it became. Its number is the server's name for it.
#[derive(Clone, Debug)]
#[allow(clippy::struct_excessive_bools)]
pub(super) struct Channel {
    pub(super) client: ClientId,
    /// The client's name for it.
    pub(super) id: RequestId,
    pub(super) websocket: bool,
    /// A WebSocket that a session is to move to.
    pub(super) candidate: bool,
    /// A WebSocket that the server has taken.
    pub(super) accepted: bool,
    /// The client knows of that.
    pub(super) opened: bool,
    /// The limit of the body that the server waits for.
    pub(super) wants_body: Option<usize>,
    /// The server knows of it.
    pub(super) reached: bool,
    /// A copy that the network made.
    pub(super) ghost: bool,
    pub(super) session: Option<SessionId>,
    pub(super) client_open: bool,
    pub(super) server_open: bool,
    pub(super) up: Lane,
    pub(super) down: Lane,
}

impl Channel {
    pub(super) fn lane(&mut self, up: bool) -> &mut Lane {
        if up { &mut self.up } else { &mut self.down }
    }
}

/// When a [`Cut`] happens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum When {
    /// At once.
    Now,
    /// When so many more bytes were written: the message with that byte in it does not arrive.
    Bytes {
        /// By the client; otherwise by the server.
        up: bool,
        /// Heads of requests and responses included.
        count: usize,
    },
    /// At the next binary message of a WebSocket.
    Attachment {
        /// Of the client; otherwise of the server.
        up: bool,
    },
    /// At that message (from 0) on the next WebSocket that a session moves to.
    Upgrade {
        /// Of the client; otherwise of the server.
        up: bool,
        /// Which one.
        message: u32,
    },
    /// Inside the body of the next POST.
    Post,
    /// Inside the next response.
    Response,
}

/// Connections break.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cut {
    /// When.
    pub when: When,
    /// All connections of the client, or the one that it is about.
    pub all: bool,
    /// How long it takes until the client is told; `None`: never, it has to notice.
    pub client_told: Option<Duration>,
    /// How long it takes until the server is told.
    pub server_told: Option<Duration>,
    /// How long nothing can be reached.
    pub down: Duration,
    /// Whether connections that are opened meanwhile are refused, or vanish.
    pub refuses: bool,
}

impl Cut {
    /// A loss of everything that both ends are told of at once.
    pub const fn now() -> Self {
        Self {
            when: When::Now,
            all: true,
            client_told: Some(Duration::ZERO),
            server_told: Some(Duration::ZERO),
            down: Duration::ZERO,
            refuses: true,
        }
    }

    /// A loss of everything that nobody is told of.
    pub const fn silent() -> Self {
        Self { client_told: None, server_told: None, refuses: false, ..Self::now() }
    }
}
