//! The words that both ends of a connection share: names of sockets, and outcomes of acknowledgements.

use crate::reason::SendError;
use crate::socket::json::args::Args;

/// The name of one socket of a connection. Never reused within the connection, so a late command does nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SocketKey(u32);

impl SocketKey {
    pub(crate) const fn new(number: u32) -> Self {
        Self(number)
    }

    /// Its number, for recordings.
    #[cfg(feature = "record")]
    pub(crate) const fn number(self) -> u32 {
        self.0
    }
}

/// The outcome of an awaited acknowledgement.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum AckOutcome {
    /// The peer answered.
    Answered(Args),
    /// It did not, in time.
    Timeout,
    /// The socket ended first.
    Disconnected,
    /// The event had waited to be sent, and could not be sent once it was time.
    Unsent(SendError),
}
