//! Why a client is not connected.

use sansocket_protocol::error::{CloseReason, Closed, PeerError};
use sansocket_protocol::socket::{self, DataError};
use serde::de::DeserializeOwned;
use std::io;
use std::sync::Arc;
use thiserror::Error;

/// Why a socket is not connected.
#[derive(Clone, Debug, Error)]
#[non_exhaustive]
pub enum ConnectError {
    /// No session with the server: it cannot be reached, is no Socket.IO server, or refused.
    #[error("no session with the server: {}", describe(.closed, .error.as_deref()))]
    Session {
        /// Why, in the protocol's words.
        closed: Closed,
        /// What the network said, if it failed.
        #[source]
        error: Option<Arc<io::Error>>,
    },
    /// The server did not let the socket into its namespace.
    #[error("the server refused: {}", .0.message)]
    Refused(ServerRefusal),
    /// The server is of the 2.x line of Socket.IO.
    #[error("the server speaks another protocol revision (Socket.IO 2.x); this client needs 3.x or newer")]
    OldServer,
    /// The server did not say in time whether it lets the socket in.
    #[error("the server did not answer in time whether it lets this client into the namespace")]
    Timeout,
    /// The server disconnected the socket in place of an answer whether it lets it in.
    #[error("the server disconnected the namespace before it had let this client in")]
    Dismissed,
    /// It is not connected and will not be by itself: this side or the server has disconnected it, or nobody told it
    /// to connect.
    #[error("the client was disconnected")]
    Disconnected,
    /// It was tried as often as `reconnection_attempts` allows.
    #[error(
        "the server could not be reached, and the client gave up: raise `reconnection_attempts`, or connect again"
    )]
    GaveUp,
    /// The name of the namespace has a comma in it.
    #[error("the name of a namespace must have no comma in it")]
    Namespace,
    /// What was to give the address, the headers or the auth failed, or the options make no client.
    #[error("{0}")]
    Application(String),
}

impl From<super::ClientBuildError> for ConnectError {
    fn from(error: super::ClientBuildError) -> Self {
        Self::Application(error.to_string())
    }
}

/// What a server said when it refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServerRefusal {
    message: String,
    data: Option<socket::PacketData>,
}

impl ServerRefusal {
    /// Its message.
    pub fn message(&self) -> &str {
        &self.message
    }

    /// What it sent beside the message (`err.data` in JavaScript).
    ///
    /// # Errors
    /// [`DataError`] if it sent nothing, or something else than the type says.
    pub fn data<T: DeserializeOwned>(&self) -> Result<T, DataError> {
        self.data.as_ref().ok_or_else(|| DataError::new("the server sent no data"))?.decode()
    }
}

/// Why a loop has nothing to take.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum ReceiveError {
    /// Nothing came in time. It may come yet, also where the connection is lost for the moment.
    #[error("nothing came in time")]
    Timeout,
    /// The client is not connected and will not be by itself, and all that had come was taken.
    #[error("the client was disconnected")]
    Disconnected,
}

impl ReceiveError {
    /// What was waited for: `None` if that took too long, `Some(None)` at the end.
    pub(crate) fn judge<T>(waited: Option<Option<T>>) -> Result<T, Self> {
        waited.ok_or(Self::Timeout)?.ok_or(Self::Disconnected)
    }
}

impl ConnectError {
    /// What the server did wrong, if that is why.
    pub fn peer_error(&self) -> Option<&PeerError> {
        match self {
            Self::Session { closed, .. } => closed.detail.as_ref(),
            _ => None,
        }
    }
}

impl From<socket::JoinError> for ConnectError {
    fn from(error: socket::JoinError) -> Self {
        match error {
            socket::JoinError::Refused { message, data } => Self::Refused(ServerRefusal { message, data }),
            socket::JoinError::OldServer => Self::OldServer,
            socket::JoinError::Disconnected => Self::Dismissed,
            // The core may learn to say more; this crate is of its own version.
            _ => Self::Timeout,
        }
    }
}

fn describe(closed: &Closed, error: Option<&io::Error>) -> String {
    match (&closed.detail, error) {
        (Some(PeerError::RequestFailed) | None, Some(error)) => error.to_string(),
        (Some(detail), _) => detail.to_string(),
        (None, None) if closed.reason == CloseReason::TransportClose => "the server closed it".to_owned(),
        (None, None) => closed.reason.to_string(),
    }
}
