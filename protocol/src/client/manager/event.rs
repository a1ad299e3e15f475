//! The events of a client.

use crate::error::{Closed, PeerError};
use crate::message::WireMessage;
use crate::socket::client::ClientSocketEvent;
use core::time::Duration;

/// An event for the application about the connection, or about one of its sockets.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum ClientEvent {
    /// A session is being opened: for the first time (0), or for so many times in a row after a failure. With
    /// [`ReconnectConfig::ask_before_dial`](crate::client::ReconnectConfig::ask_before_dial), nothing happens until
    /// [`Manager::dial`](super::Manager::dial).
    Dialing {
        /// The number of tries that came before it.
        attempt: u32,
    },
    /// The session could not be opened.
    DialFailed {
        /// The reason.
        closed: Closed,
        /// The delay before the next try; `None` if there is no next try.
        retry_in: Option<Duration>,
    },
    /// It was tried as often as
    /// [`ReconnectConfig::reconnection_attempts`](crate::client::ReconnectConfig::reconnection_attempts) allows. The
    /// client is idle.
    GaveUp,
    /// A session is open. Sockets join next.
    Opened {
        /// The number of tries that it took after a failure or a loss; 0 for the first.
        attempt: u32,
    },
    /// The session moved from long-polling to WebSocket.
    Upgraded,
    /// The session could not move to WebSocket, and stays.
    UpgradeFailed(PeerError),
    /// The session ended.
    Closed {
        /// The reason.
        closed: Closed,
        /// The delay before the client dials again; `None` if it does not.
        retry_in: Option<Duration>,
    },
    /// An event about a socket.
    Socket(ClientSocketEvent),
    /// An event about a session of plain Engine.IO.
    Session(SessionEvent),
}

/// An event of a plain Engine.IO session, in order. [`Manager::hold`](super::Manager::hold) keeps these back, while
/// those about the connection ([`ClientEvent::Closed`] and so on) are told at once.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum SessionEvent {
    /// The session is open: its messages follow.
    Opened,
    /// A message of the server. Text is UTF-8.
    Message(WireMessage),
    /// The session has ended, and all its messages were told. A session that opens and closes before the application
    /// has been told the end of the previous one is not reported at all.
    Closed(Closed),
}
