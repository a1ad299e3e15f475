//! The peer's mistakes that Engine.IO knows of.

use super::packet::EnginePacketError;
use crate::reason::CloseReason;
use alloc::string::String;
use thiserror::Error;

/// A mistake of the peer, or of the network, that ended a session or kept it from opening. It explains a
/// [`CloseReason`] in logs and never reaches the wire.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum EngineError {
    /// A malformed packet or payload.
    #[error("malformed Engine.IO packet: {0}")]
    Packet(#[from] EnginePacketError),
    /// A text message that is not UTF-8. A WebSocket is closed with status 1007 for it.
    #[error("a text message is not UTF-8")]
    NotUtf8,
    /// A ping from the side that only answers pings, or a pong from the side that only asks.
    #[error("a heartbeat in the wrong direction")]
    HeartbeatDirection,
    /// A GET that came while another was pending.
    #[error("two polls at once")]
    OverlappingPolls,
    /// A POST that came while another was being read.
    #[error("two posts at once")]
    OverlappingPosts,
    /// A GET, POST or upgrade that ended before it was answered.
    #[error("the request was aborted")]
    RequestAborted,
    /// A session whose WebSocket did not open in time.
    #[error("the WebSocket was never opened")]
    NeverOpened,
    /// A violation that the WebSocket layer saw, and the code that it closed with.
    #[error("the WebSocket failed (close code {0})")]
    WebSocket(u16),
    /// More messages than `message_rate` allows, where `message_excess` says to close.
    #[error("more messages than `message_rate` allows")]
    TooManyMessages,
    /// A session that did not open in time: the server accepts and says nothing, or cannot be reached.
    #[error("the server did not open a session in time")]
    OpenTimeout,
    /// A request that was not answered in time.
    #[error("the server did not answer a request in time")]
    RequestTimeout,
    /// A request that failed: the connection could not be made, or broke.
    #[error("the connection to the server could not be made, or broke")]
    RequestFailed,
    /// A response with another status than 200, or a WebSocket handshake with another than 101.
    #[error("the server answered with status {status}{}{}", if message.is_some() { ": " } else { "" }, message.as_deref().unwrap_or(""))]
    Status {
        /// The HTTP status.
        status: u16,
        /// The server's explanation, if it gave one as Engine.IO servers do; at most 200 characters.
        message: Option<String>,
    },
    /// An answer that no Engine.IO server gives.
    #[error("that is no Engine.IO server: check the address and the path (`/socket.io/` by default)")]
    NotEngineIo,
    /// A server of another revision of the protocol: of the 2.x line of Socket.IO, or older.
    #[error(
        "the server speaks another protocol revision (Socket.IO 2.x or older); this client needs 3.x or newer"
    )]
    UnsupportedRevision,
    /// A handshake without a session id or without its intervals.
    #[error("the server's handshake is malformed")]
    Handshake,
    /// A message or a body that was larger than the limit.
    #[error("the server sent more than {limit} bytes at once: raise `max_message` if that is right")]
    TooLarge {
        /// The limit in bytes.
        limit: usize,
    },
    /// An upgrade whose probe the server did not answer as it must.
    #[error("the server did not answer the probe of an upgrade")]
    Probe,
}

/// The end of a session, as the engine tells it to the layer above.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Ended {
    pub(crate) reason: CloseReason,
    pub(crate) cause: Option<Cause>,
}

impl Ended {
    /// An end without a mistake of the peer.
    pub(crate) const fn plain(reason: CloseReason) -> Self {
        Self { reason, cause: None }
    }

    /// An end that a mistake of the peer brought about.
    pub(crate) const fn by(reason: CloseReason, error: EngineError) -> Self {
        Self { reason, cause: Some(Cause::Engine(error)) }
    }

    /// An end because of a mistake that the layer above found.
    pub(crate) const fn above(reason: CloseReason) -> Self {
        Self { reason, cause: Some(Cause::Above) }
    }
}

/// The mistake behind the end of a session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Cause {
    /// One that the engine knows of.
    Engine(EngineError),
    /// One that the layer above found in a message, and remembers.
    Above,
}
