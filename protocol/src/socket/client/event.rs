//! The events of a client's sockets.

use crate::cost;
use crate::reason::SendError;
use crate::socket::ids::{AckOutcome, SocketKey};
use crate::socket::json::args::Args;
use crate::socket::json::data::PacketData;
use alloc::string::String;
use alloc::sync::Arc;
use thiserror::Error;

/// The reason why a server did not let a socket into its namespace. The client does not ask again by itself.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum JoinError {
    /// It said no.
    #[error("the server refused the namespace: {message}")]
    Refused {
        /// Why, in its own words.
        message: String,
        /// The data beside the message.
        data: Option<PacketData>,
    },
    /// It answered like a server of the 2.x line, without an id.
    #[error("the server speaks another protocol revision (Socket.IO 2.x); this client needs 3.x or newer")]
    OldServer,
    /// It let the client in with an id of more than 1024 bytes, public or private.
    #[error("the server gave an id of more than 1024 bytes")]
    IdTooLong,
    /// It sent DISCONNECT in place of an answer.
    #[error("the server disconnected the namespace before it had let this client in")]
    Disconnected,
    /// The auth was not sent: the server takes no message of its size.
    #[error("the auth is too large: {0}")]
    Auth(SendError),
    /// It did not answer in time.
    #[error("the server did not answer in time whether it lets this client into the namespace")]
    Timeout,
}

/// An event of a client's sockets, for the application.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum ClientSocketEvent {
    /// The socket is about to join, and its auth is to be given anew: [`Manager::authenticate`] it. Only for
    /// sockets with [`AuthSource::Ask`](crate::socket::AuthSource::Ask) and
    /// [`AuthSource::AskAgain`](crate::socket::AuthSource::AskAgain).
    ///
    /// [`Manager::authenticate`]: crate::client::Manager::authenticate
    Auth {
        /// The socket.
        socket: SocketKey,
        /// The server's refusal of the last answer, if the socket is asked again because of it.
        refused: Option<JoinError>,
    },
    /// The server let the socket in.
    Connected {
        /// The socket.
        socket: SocketKey,
        /// The number of this one among its connections: see
        /// [`Manager::connection`](crate::client::Manager::connection). It may have ended by now, and another one be
        /// asked for.
        connection: u64,
        /// Its public id, for as long as it is connected.
        id: Arc<str>,
        /// Whether the server has given it its session back: the same id, and every event that it has missed. Always
        /// false at a server that does not recover connections.
        recovered: bool,
    },
    /// The server did not let the socket in (`connect_error`).
    Refused {
        /// The socket.
        socket: SocketKey,
        /// The number that this connection would have had: see
        /// [`Manager::connection`](crate::client::Manager::connection). It does not answer for another one that was
        /// asked for since.
        connection: u64,
        /// Why.
        error: JoinError,
    },
    /// An event arrived.
    Event {
        /// On which socket.
        socket: SocketKey,
        /// Its name and arguments.
        args: Args,
        /// The id to acknowledge with, if the server wants that.
        ack: Option<u64>,
    },
    /// An acknowledgement that was awaited is decided: once for each.
    Ack {
        /// Of which socket.
        socket: SocketKey,
        /// The id that it was awaited under.
        id: u64,
        /// The reason of its end.
        outcome: AckOutcome,
    },
    /// An event that had waited until the socket was connected could not be sent. Nobody awaits an acknowledgement of it.
    Unsent {
        /// Which socket was to send it.
        socket: SocketKey,
        /// Why.
        error: SendError,
    },
    /// A connected socket is not connected any more. It joins again with the next session, unless the reason is
    /// [`IoServerDisconnect`](crate::reason::CloseReason::IoServerDisconnect) or
    /// [`IoClientDisconnect`](crate::reason::CloseReason::IoClientDisconnect).
    Disconnected {
        /// The socket.
        socket: SocketKey,
        /// Why.
        reason: crate::reason::CloseReason,
    },
}

impl ClientSocketEvent {
    /// Bytes that the server makes it hold while it waits.
    pub(super) fn weight(&self) -> usize {
        match self {
            Self::Event { args, .. } | Self::Ack { outcome: AckOutcome::Answered(args), .. } => {
                args.wire_len().saturating_add(cost::EVENT)
            }
            Self::Refused { error: JoinError::Refused { message, data }, .. } => {
                let data = data.as_ref().map_or(0, PacketData::wire_len);
                message.len().saturating_add(data).saturating_add(cost::EVENT)
            }
            Self::Connected { id, .. } => id.len().saturating_add(cost::EVENT),
            Self::Auth { .. }
            | Self::Refused { .. }
            | Self::Ack { .. }
            | Self::Unsent { .. }
            | Self::Disconnected { .. } => 0,
        }
    }
}
