//! Everything that can go wrong, told apart by who did it: the peer ([`PeerError`], [`CloseReason`]: events) or the
//! application ([`SendError`]: results).

pub use crate::reason::{CloseReason, SendError};

use crate::engine::error::{Cause, Ended, EngineError};
use crate::socket::error::SocketError;
use thiserror::Error;

/// The end of a session.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Closed {
    /// The reason, in the protocol's words.
    pub reason: CloseReason,
    /// The peer's mistake, if it made one.
    pub detail: Option<PeerError>,
}

impl Closed {
    /// `above` is the mistake that a layer above the engine found.
    pub(crate) fn new(ended: Ended, above: Option<PeerError>) -> Self {
        let detail = match ended.cause {
            Some(Cause::Engine(error)) => Some(PeerError::Engine(error)),
            Some(Cause::Above) => above,
            None => None,
        };
        Self { reason: ended.reason, detail }
    }
}

/// A mistake of the peer, by the layer that found it: for logs. It explains a [`CloseReason`] and never reaches the
/// wire.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum PeerError {
    /// A mistake in Engine.IO.
    #[error(transparent)]
    Engine(#[from] EngineError),
    /// A mistake in Socket.IO.
    #[error(transparent)]
    Socket(#[from] SocketError),
}

impl PeerError {
    /// Returns whether a text was not UTF-8: the transport's error (RFC 6455, section 7.4.1), only found above it.
    pub(crate) fn is_not_utf8(&self) -> bool {
        match self {
            Self::Engine(error) => *error == EngineError::NotUtf8,
            Self::Socket(error) => error.is_not_utf8(),
        }
    }
}
