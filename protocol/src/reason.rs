//! The words that every layer uses: why a session ended ([`CloseReason`]), and why a command failed ([`SendError`]).

use core::fmt;
use thiserror::Error;

/// The reason why a session, or one socket of it, ended. [`as_str`](Self::as_str) gives the reference's words, where it
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
    /// The peer reads too slowly: the bytes that wait for it passed `send_budget`. The reference has no such bound.
    SlowConsumer,
    /// The peer sent more than the application handles, and nothing moved for `pause_timeout`.
    Stalled,
    /// A handler panicked: the connection ends, and the client connects again by itself.
    HandlerPanic,
    /// Seen from a client: the server took this socket out of its namespace. It does not reconnect by itself.
    IoServerDisconnect,
    /// Seen from a client: the application disconnected.
    IoClientDisconnect,
}

impl CloseReason {
    /// Returns whether a server keeps the session of a socket that ended so, if it recovers connections: its client comes back by
    /// itself, and neither side has left the namespace on purpose. After a panic the client begins anew, because the
    /// state of the session may be what the handler has panicked about.
    pub const fn is_recoverable(self) -> bool {
        match self {
            Self::TransportError
            | Self::TransportClose
            | Self::ForcedClose
            | Self::PingTimeout
            | Self::ServerShuttingDown
            | Self::SlowConsumer
            | Self::Stalled => true,
            Self::ParseError
            | Self::ServerNamespaceDisconnect
            | Self::ClientNamespaceDisconnect
            | Self::HandlerPanic
            | Self::IoServerDisconnect
            | Self::IoClientDisconnect => false,
        }
    }

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

/// The reason why a message was not sent. A failed command changed nothing, except where it says so.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum SendError {
    /// The session or the socket is closed, or closing.
    #[error("the socket is disconnected: nothing was sent")]
    Disconnected,
    /// The peer has not yet read what was sent before. With the `Close` policy the connection was closed.
    #[error(
        "the send buffer of this connection is full: wait until the peer has read, send less, or raise `send_budget`"
    )]
    Full,
    /// The server takes no message of this size: it has said so when the session opened.
    #[error(
        "the server takes at most {limit} bytes in one message (an attachment counts a third more on long-polling): \
         send less at once, or raise the server's `max_payload` (in JavaScript `maxHttpBufferSize`)"
    )]
    TooLarge {
        /// The server's `maxPayload`.
        limit: usize,
    },
    /// More acknowledgements are awaited from this peer than `max_pending_acks`.
    #[error(
        "too many acknowledgements are awaited from this peer: raise `max_pending_acks`, or set timeouts"
    )]
    TooManyAcks,
    /// The text is not the name of a namespace.
    #[error("the name of a namespace begins with a slash and has no comma in it")]
    Namespace,
    /// An acknowledgement with this id is awaited already: ids must come from one counter.
    #[error("this acknowledgement id is in use")]
    DuplicateAck,
}
