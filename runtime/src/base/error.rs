//! What can go wrong on the application's side.

use sansocket_protocol::error::SendError;
use sansocket_protocol::socket::EncodeError;
use sansocket_protocol::socket::{Args, ArgsError};
use serde::Serialize;
use std::fmt;
use std::sync::Arc;
use thiserror::Error;

/// The message of a peer whose request ended in a panic of the application.
pub(crate) const INTERNAL_ERROR: &str = "Internal server error";

/// Why an event was not sent.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum EmitError {
    /// The value could not be turned into arguments, or the event's name is reserved.
    #[error(transparent)]
    Encode(#[from] EncodeError),
    /// It could not be queued.
    #[error(transparent)]
    Send(#[from] SendError),
}

/// Why there is no answer to an event. Exactly one of an answer or this comes, once.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum AckError {
    /// The event was not sent.
    #[error(transparent)]
    Emit(#[from] EmitError),
    /// The peer did not answer in time.
    #[error("the event was not acknowledged in time")]
    Timeout,
    /// The peer went away first.
    #[error("the connection ended before the event was acknowledged")]
    Disconnected,
    /// The answer does not have the type that was asked for.
    #[error("the acknowledgement does not fit: {0}")]
    Answer(#[from] ArgsError),
}

/// Why not all recipients of a broadcast answered.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum BroadcastAckError {
    /// The event was not sent to anybody.
    #[error(transparent)]
    Emit(#[from] EmitError),
    /// Some clients did not answer in time, or went away.
    #[error("{missing} of {} clients did not acknowledge the event", .answers.len() + .missing)]
    Incomplete {
        /// The answers that came.
        answers: Vec<Args>,
        /// How many did not.
        missing: usize,
    },
}

/// Why a client is not let into a namespace: it gets a `connect_error` with this message, and data if given.
///
/// ```
/// use sansocket_runtime::Refusal;
///
/// let refusal = Refusal::new("not authorized").data(&("code", 42)).unwrap();
/// let short: Refusal = "not authorized".into();
/// assert_eq!(short.message(), refusal.message());
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    message: String,
    data: Option<String>,
}

impl Refusal {
    /// A refusal with a message for the client.
    pub fn new(message: impl Into<String>) -> Self {
        Self { message: message.into(), data: None }
    }

    /// Adds data for the client (`err.data` in JavaScript).
    ///
    /// # Errors
    /// If the value cannot be written as JSON.
    pub fn data<T: Serialize + ?Sized>(mut self, data: &T) -> Result<Self, serde_json::Error> {
        self.data = Some(serde_json::to_string(data)?);
        Ok(self)
    }

    /// The message.
    pub fn message(&self) -> &str {
        &self.message
    }

    pub(crate) fn raw_data(&self) -> Option<&str> {
        self.data.as_deref()
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Refusal {}

impl From<&str> for Refusal {
    fn from(message: &str) -> Self {
        Self::new(message)
    }
}

impl From<String> for Refusal {
    fn from(message: String) -> Self {
        Self::new(message)
    }
}

/// What went wrong in a handler: it is told to the error hook, and never to the client.
#[derive(Clone, Debug, Error)]
#[non_exhaustive]
pub enum HandlerError {
    /// The arguments do not have the type that the handler asks for.
    #[error("the arguments do not fit the handler: {0}")]
    Args(Arc<ArgsError>),
    /// Something that the handler asks for is not there.
    #[error("{0}")]
    Missing(String),
    /// The handler returned an error.
    #[error("{0}")]
    Failed(String),
    /// The handler's acknowledgement could not be encoded.
    #[error("the acknowledgement could not be encoded: {0}")]
    Encode(Arc<EncodeError>),
    /// The handler's acknowledgement could not be queued: the peer waits for it in vain.
    #[error("the acknowledgement could not be sent: {0}")]
    Unsent(SendError),
    /// The handler panicked. On a server its socket is closed; a client goes on.
    #[error("the handler panicked: {0}")]
    Panic(String),
}

impl From<ArgsError> for HandlerError {
    fn from(error: ArgsError) -> Self {
        Self::Args(Arc::new(error))
    }
}

impl From<EncodeError> for HandlerError {
    fn from(error: EncodeError) -> Self {
        Self::Encode(Arc::new(error))
    }
}

impl HandlerError {
    pub(crate) fn panic(panic: &(dyn std::any::Any + Send)) -> Self {
        let message = panic
            .downcast_ref::<&str>()
            .map(|text| (*text).to_owned())
            .or_else(|| panic.downcast_ref::<String>().cloned());
        Self::Panic(message.unwrap_or_else(|| "no message".to_owned()))
    }
}
