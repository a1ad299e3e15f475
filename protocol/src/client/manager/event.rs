//! What a client tells.

use crate::error::{Closed, PeerError};
use crate::message::WireMessage;
use crate::socket::client::ClientSocketEvent;
use core::time::Duration;

/// What the application should know.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum ClientEvent {
    /// A session is being opened: for the first time (0), or for so many times in a row after a failure. With
    /// [`Config::ask`](crate::client::ReconnectConfig::ask), nothing happens until [`Manager::dial`](super::Manager::dial).
    Dialing {
        /// How many tries came before it.
        attempt: u32,
    },
    /// The session could not be opened.
    DialFailed {
        /// Why.
        closed: Closed,
        /// When it is tried again; `None` if it is not.
        retry_in: Option<Duration>,
    },
    /// It was tried as often as [`Config::reconnection_attempts`](crate::client::ReconnectConfig::reconnection_attempts) allows. The client is idle.
    GaveUp,
    /// A session is open. Sockets join next.
    Opened {
        /// How many tries it took after a failure or a loss; 0 for the first.
        attempt: u32,
    },
    /// The session moved from long-polling to WebSocket.
    Upgraded,
    /// The session could not move to WebSocket, and stays.
    UpgradeFailed(PeerError),
    /// The session ended.
    Closed {
        /// Why.
        closed: Closed,
        /// When the client dials again; `None` if it does not.
        retry_in: Option<Duration>,
    },
    /// Of a socket.
    Socket(ClientSocketEvent),
    /// Of a plain Engine.IO session.
    Session(SessionEvent),
}

/// What a plain Engine.IO session brings, in order. [`Manager::hold`](super::Manager::hold) keeps these back, while what concerns the
/// connection ([`ClientEvent::Closed`] and so on) is told at once.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum SessionEvent {
    /// The session is open: its messages follow.
    Opened,
    /// A message of the server. Text is UTF-8.
    Message(WireMessage),
    /// The session has ended, and all its messages were told. One that came and went while an earlier one was not
    /// told to its end yet is left out, with its [`Opened`](SessionEvent::Opened).
    Closed(Closed),
}
