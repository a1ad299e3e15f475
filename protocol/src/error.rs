//! What can go wrong, told apart by who did it: the peer ([`PeerError`], [`CloseReason`]: events) or the
//! application ([`SendError`] and friends: results).

use crate::socket::packet::PacketError;
use alloc::string::String;
use core::fmt;
use thiserror::Error;

/// Why a session, or one socket of it, ended. [`as_str`](Self::as_str) gives the words of the reference where it
/// has any.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum CloseReason {
    /// The transport failed, or the peer broke its rules: an aborted or overlapping request, a WebSocket error, a
    /// heartbeat in the wrong direction.
    TransportError,
    /// The peer closed the transport.
    TransportClose,
    /// This side closed the session, on the application's behalf or because of a malformed Socket.IO packet.
    ForcedClose,
    /// No answer to a heartbeat within `ping_timeout`.
    PingTimeout,
    /// A malformed Engine.IO packet or payload.
    ParseError,
    /// The server is going down.
    ServerShuttingDown,
    /// The application disconnected this socket from its namespace.
    ServerNamespaceDisconnect,
    /// The client left the namespace.
    ClientNamespaceDisconnect,
    /// The peer reads too slowly: what waits for it passed `send_budget`. The reference has no such bound.
    SlowConsumer,
    /// The peer sent more than the application handles, and nothing moved for `pause_timeout`.
    Stalled,
    /// A handler of this socket panicked.
    HandlerPanic,
    /// Seen from a client: the server took this socket out of its namespace. It does not reconnect by itself.
    IoServerDisconnect,
    /// Seen from a client: the application disconnected.
    IoClientDisconnect,
}

impl CloseReason {
    /// The reason as the reference spells it, for example `ping timeout`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::TransportError => "transport error",
            Self::TransportClose => "transport close",
            Self::ForcedClose => "forced close",
            Self::PingTimeout => "ping timeout",
            Self::ParseError => "parse error",
            Self::ServerShuttingDown => "server shutting down",
            Self::ServerNamespaceDisconnect => "server namespace disconnect",
            Self::ClientNamespaceDisconnect => "client namespace disconnect",
            Self::SlowConsumer => "slow consumer",
            Self::Stalled => "stalled",
            Self::HandlerPanic => "handler panic",
            Self::IoServerDisconnect => "io server disconnect",
            Self::IoClientDisconnect => "io client disconnect",
        }
    }
}

impl fmt::Display for CloseReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// How a session ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Closed {
    /// In the protocol's words.
    pub reason: CloseReason,
    /// What the peer did, if it did something wrong.
    pub detail: Option<PeerError>,
}

/// What a peer did wrong, for logs: it explains a [`CloseReason`] and never reaches the wire.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum PeerError {
    /// A malformed Engine.IO packet or payload.
    #[error("malformed Engine.IO packet: {0}")]
    Engine(#[from] crate::engine::packet::EnginePacketError),
    /// A malformed Socket.IO packet.
    #[error("malformed Socket.IO packet: {0}")]
    Socket(#[from] PacketError),
    /// A ping from a side that must only answer pings, or the other way round.
    #[error("a heartbeat in the wrong direction")]
    HeartbeatDirection,
    /// A GET came while another was pending.
    #[error("two polls at once")]
    OverlappingPolls,
    /// A POST came while another was being read.
    #[error("two posts at once")]
    OverlappingPosts,
    /// A GET, POST or upgrade ended before it was answered.
    #[error("the request was aborted")]
    RequestAborted,
    /// The WebSocket of a session did not open in time.
    #[error("the WebSocket was never opened")]
    NeverOpened,
    /// The WebSocket layer saw a violation and closed with this code.
    #[error("the WebSocket failed (close code {0})")]
    WebSocket(u16),
    /// A packet for a namespace that this connection has not joined.
    #[error("a packet for a namespace that is not joined")]
    NotJoined,
    /// A CONNECT for a namespace that is joined, or being joined.
    #[error("a second CONNECT for the same namespace")]
    AlreadyJoined,
    /// A packet that only servers send.
    #[error("a packet type that a client must not send")]
    Direction,
    /// More namespaces than `max_namespaces`.
    #[error("too many namespaces on one connection")]
    TooManyNamespaces,
    /// A CONNECT for a namespace whose name is longer than `max_namespace_name`.
    #[error("a namespace's name is too long")]
    NamespaceTooLong,
    /// More events than `event_rate` allows, where `event_excess` is to close.
    #[error("more events than `event_rate` allows")]
    TooManyEvents,
    /// More messages than `message_rate` allows, where `message_excess` is to close.
    #[error("more messages than `message_rate` allows")]
    TooManyMessages,
    /// No namespace was joined within `connect_timeout`.
    #[error("no namespace was joined in time")]
    ConnectTimeout,
    /// The session did not open in time: the server accepts and says nothing, or cannot be reached.
    #[error("the server did not open a session in time")]
    OpenTimeout,
    /// A request was not answered in time.
    #[error("the server did not answer a request in time")]
    RequestTimeout,
    /// A request failed: the connection could not be made, or broke.
    #[error("the connection to the server could not be made, or broke")]
    RequestFailed,
    /// A response had another status than 200, or a WebSocket's handshake another than 101.
    #[error("the server answered with status {status}{}{}", if message.is_some() { ": " } else { "" }, message.as_deref().unwrap_or(""))]
    Status {
        /// The HTTP status.
        status: u16,
        /// What the server said about it, if it said it as Engine.IO servers do; at most 200 characters.
        message: Option<String>,
    },
    /// What answered is no Engine.IO server.
    #[error("that is no Engine.IO server: check the address and the path (`/socket.io/` by default)")]
    NotEngineIo,
    /// The server speaks another revision of the protocol: it is of the 2.x line of Socket.IO, or older.
    #[error(
        "the server speaks another protocol revision (Socket.IO 2.x or older); this client needs 3.x or newer"
    )]
    UnsupportedRevision,
    /// The handshake lacks its session id or its intervals.
    #[error("the server's handshake is malformed")]
    Handshake,
    /// A message or a body was larger than the limit.
    #[error("the server sent more than {limit} bytes at once: raise `max_message` if that is right")]
    TooLarge {
        /// In bytes.
        limit: usize,
    },
    /// The server did not answer the probe of an upgrade as it must.
    #[error("the server did not answer the probe of an upgrade")]
    Probe,
}

/// Why a message was not sent. A failed command changed nothing, except where it says so.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum SendError {
    /// The session or the socket is closed, or closing.
    #[error("the socket is disconnected: nothing was sent")]
    Disconnected,
    /// The peer has not read what waits for it already. With the `Close` policy the connection was closed.
    #[error(
        "the send buffer of this connection is full: wait with `ready()`, send less, or raise `send_budget`"
    )]
    Full,
    /// More acknowledgements are awaited from this peer than `max_pending_acks`.
    #[error(
        "too many acknowledgements are awaited from this client: raise `max_pending_acks`, or set timeouts"
    )]
    TooManyAcks,
    /// That is no name of a namespace.
    #[error("the name of a namespace begins with a slash and has no comma in it")]
    Namespace,
    /// This ack id is awaited already; ids must come from one counter.
    #[error("this acknowledgement id is in use")]
    DuplicateAck,
}
