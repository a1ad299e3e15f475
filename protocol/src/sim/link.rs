//! The bytes on their way between a client and the server.

use super::{ClientId, SessionId};
use crate::engine::request::RequestId;
use crate::message::WireMessage;
use crate::time::Instant;
use alloc::collections::VecDeque;
use alloc::string::String;
use bytes::Bytes;
use core::time::Duration;

/// The size of the head of a request or response on the wire, about.
const HEAD: usize = 160;

/// The network between a client and the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Link {
    /// The least time that anything takes.
    pub latency: Duration,
    /// The longest time that is added to `latency`. It is drawn anew for each message, so that connections overtake
    /// each other; the messages of one connection stay in order.
    pub jitter: Duration,
    /// The bytes that a connection carries in a millisecond, each way.
    pub bytes_per_ms: u32,
    /// The bytes that a connection takes from its writer before its reader has read them. More than that counts as
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
    /// The number of items in the queue that have arrived, and wait to be read.
    pub(super) arrived: usize,
    pub(super) last_arrival: Instant,
    /// Bytes in the queue.
    pub(super) bytes: usize,
    /// Nothing more goes through. Bytes that counted as written still do.
    pub(super) dead: bool,
    /// The number of items that went in.
    pub(super) sent: u32,
    /// The unwritten bytes that the writer was last told of.
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

/// The time of a [`Cut`].
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

/// A break of connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cut {
    /// When.
    pub when: When,
    /// All connections of the client, or the one that it is about.
    pub all: bool,
    /// The time until the client is told; `None`: it never is, and has to notice.
    pub client_told: Option<Duration>,
    /// The time until the server is told; `None`: it never is, and has to notice.
    pub server_told: Option<Duration>,
    /// The time during which nothing can be reached.
    pub down: Duration,
    /// Whether connections that are opened meanwhile are refused; otherwise they vanish.
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
