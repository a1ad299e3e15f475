//! What a client is about, for people and logs.

use super::error::ConnectError;
use sansocket_protocol::error::{CloseReason, PeerError};
use std::time::Duration;

/// A step in the life of a client's connection, for [`on_connection_event`](super::ClientBuilder::on_connection_event).
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum ConnectionEvent {
    /// It dials: for the first time (0), or for so many times in a row after a failure or a loss.
    Dialing {
        /// How many tries came before it.
        attempt: u32,
    },
    /// It could not open a session.
    Failed {
        /// Why.
        error: ConnectError,
        /// When it dials again; `None` if it does not.
        retry_in: Option<Duration>,
    },
    /// A session is open; its sockets join next.
    Open {
        /// How many tries it took after a failure or a loss; 0 if it was the first.
        attempt: u32,
    },
    /// The session moved from long-polling to WebSocket.
    Upgraded,
    /// The session could not move to WebSocket, and stays on long-polling.
    UpgradeFailed(PeerError),
    /// The session ended.
    Closed {
        /// Why.
        reason: CloseReason,
        /// What the server did wrong, if it did.
        detail: Option<PeerError>,
        /// When it dials again; `None` if it does not.
        retry_in: Option<Duration>,
    },
    /// It was tried as often as `reconnection_attempts` allows. The client is idle.
    GaveUp,
}
