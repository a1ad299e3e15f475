//! The steps of a client's connection, for users and logs.

use super::error::ConnectError;
use sansocket_protocol::error::{CloseReason, PeerError};
use std::time::Duration;

/// A step in the life of a client's connection, for [`on_connection_event`](super::ClientBuilder::on_connection_event).
///
/// ```
/// use sansocket_runtime::ConnectionEvent;
///
/// fn log(event: &ConnectionEvent) {
///     match event {
///         ConnectionEvent::Open { .. } => println!("connected"),
///         ConnectionEvent::Closed { reason, retry_in: Some(pause), .. } => println!("{reason}; again in {pause:?}"),
///         ConnectionEvent::Failed { error, .. } => println!("not connected: {error}"),
///         _ => {}
///     }
/// }
/// ```
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum ConnectionEvent {
    /// The client dials the server.
    Dialing {
        /// 0 for the first try, then the number of tries in a row before this one.
        attempt: u32,
    },
    /// The client could not open a session.
    Failed {
        /// The reason.
        error: ConnectError,
        /// The time until it dials again; `None` if it does not.
        retry_in: Option<Duration>,
    },
    /// A session is open; its sockets join next.
    Open {
        /// The number of tries after a failure or a loss; 0 for the first try.
        attempt: u32,
    },
    /// The session moved from long-polling to WebSocket.
    Upgraded,
    /// The session could not move to WebSocket, and stays on long-polling.
    UpgradeFailed(PeerError),
    /// The session ended.
    Closed {
        /// The reason.
        reason: CloseReason,
        /// The server's mistake, if it made one.
        detail: Option<PeerError>,
        /// The time until it dials again; `None` if it does not.
        retry_in: Option<Duration>,
    },
    /// The client has tried as often as `reconnection_attempts` allows, and is idle.
    GaveUp,
}
