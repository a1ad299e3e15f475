//! The errors of emitting, acknowledging and handling.

use crate::base::job::{Panic, drop_caught};
use sansocket_protocol::error::SendError;
use sansocket_protocol::hub::HubError;
use sansocket_protocol::socket::{Args, ArgsError, DataError, EncodeError, PacketData};
use serde::Serialize;
use std::fmt;
use std::sync::Arc;
use thiserror::Error;

/// The message of a peer whose request ended in a panic of the application.
pub(crate) const INTERNAL_ERROR: &str = "Internal server error";

/// The error of an event that was not sent.
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

/// The error of an awaited acknowledgement. An acknowledgement resolves exactly once, with the answer or with this.
///
/// ```
/// use sansocket_runtime::{AckError, Socket};
/// use std::time::Duration;
///
/// async fn ask(socket: Socket) -> String {
///     match socket.emit_with_ack("name?", &(), Duration::from_secs(5)).await {
///         Ok(answer) => answer.decode().unwrap_or_default(),
///         Err(AckError::Timeout) => "too shy to say".into(),
///         Err(AckError::Disconnected) => "gone".into(),
///         Err(error) => error.to_string(),
///     }
/// }
/// ```
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
    /// The answers of a broadcast have too many bytes together.
    #[error("the answers have too many bytes: raise `max_broadcast_answers`, or take them as they come")]
    TooManyAnswers,
    /// Other nodes of a cluster did not answer: the last answer of a call of many.
    #[error("{}: perhaps some of their clients were not asked", Missing(.nodes))]
    NodesMissing {
        /// The number of nodes; `None` if it is not known how many there are: the bus was away, or the dialect does not
        /// count nodes.
        nodes: Option<u32>,
    },
    /// The answer does not have the type that was asked for.
    #[error("the acknowledgement does not fit: {0}")]
    Answer(#[from] ArgsError),
}

/// The error of a broadcast that not all recipients acknowledged, with the answers that did come.
///
/// ```
/// use sansocket_runtime::{Args, BroadcastAckError, Namespace};
/// use std::time::Duration;
///
/// async fn poll(lobby: Namespace) -> Vec<Args> {
///     match lobby.to("voters").emit_with_ack("vote", &(), Duration::from_secs(10)).await {
///         Ok(votes) => votes,
///         Err(BroadcastAckError::Incomplete { answers, missing, .. }) => {
///             println!("{missing} did not vote");
///             answers
///         }
///         Err(_) => Vec::new(),
///     }
/// }
/// ```
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum BroadcastAckError {
    /// The event was not sent to anybody.
    #[error(transparent)]
    Emit(#[from] EmitError),
    /// Some clients did not answer in time, or left.
    #[error("{}", Unanswered(.answers.len(), *.missing, .missing_nodes))]
    #[non_exhaustive]
    Incomplete {
        /// The answers that came.
        answers: Vec<Args>,
        /// The number of clients that did not answer, or whose answers had too many bytes.
        missing: usize,
        /// The number of other nodes of a cluster that did not answer, whose clients may not have been asked: 0 without a
        /// cluster. `None` if it is not known how many there are: the bus was away, or the dialect does not count nodes.
        missing_nodes: Option<u32>,
    },
}

/// The nodes that have not answered, in words.
pub(crate) struct Missing<'a>(pub(crate) &'a Option<u32>);

impl fmt::Display for Missing<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(1) => f.write_str("1 node has not answered"),
            Some(nodes) => write!(f, "{nodes} nodes have not answered"),
            None => f.write_str("other nodes could not be asked, or nobody knows how many there are"),
        }
    }
}

/// The clients and nodes that have not answered a broadcast, in words.
struct Unanswered<'a>(usize, usize, &'a Option<u32>);

impl fmt::Display for Unanswered<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(answered, missing, nodes) = self;
        if *missing > 0 || **nodes == Some(0) {
            write!(f, "{missing} of {} clients did not acknowledge the event", answered + missing)?;
        }
        match nodes {
            Some(0) => Ok(()),
            _ if *missing > 0 => write!(f, "; {}", Missing(nodes)),
            _ => Missing(nodes).fmt(f),
        }
    }
}

/// A refusal to let a client into a namespace: the client gets a `connect_error` with this message, and data if given.
///
/// A connect handler may return any error, and each of them refuses the client. Only a `Refusal`, a `String` or a `&str`
/// is told to it; of all others the error hook is told, and the client hears `Internal server error`.
///
/// ```
/// use sansocket_runtime::Refusal;
///
/// let refusal = Refusal::new("not authorized").data(&("code", 42));
/// let short: Refusal = "not authorized".into();
/// assert_eq!(short.message(), refusal.message());
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    message: String,
    /// An error of the encoding is told to the error hook, when the refusal is sent.
    data: Option<Result<PacketData, EncodeError>>,
}

impl Refusal {
    /// A refusal with a message for the client.
    pub fn new(message: impl Into<String>) -> Self {
        Self { message: message.into(), data: None }
    }

    /// Adds data for the client (`err.data` in JavaScript). If it cannot be encoded, the client is refused without it, and
    /// the error hook is told.
    #[must_use]
    pub fn data<T: Serialize + ?Sized>(mut self, data: &T) -> Self {
        self.data = Some(PacketData::encode(data));
        self
    }

    /// The message.
    pub fn message(&self) -> &str {
        &self.message
    }

    pub(crate) fn packet_data(&self) -> Result<Option<&PacketData>, &EncodeError> {
        self.data.as_ref().map(Result::as_ref).transpose()
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

/// An error that a handler may meet: `?` turns those of emitting, joining rooms, acknowledgements and decoding into it, and
/// a [`Refusal`], too.
///
/// ```
/// use sansocket_runtime::{Error, Refusal, Server, Socket};
///
/// fn register(io: &Server) {
///     io.on_connect(async |socket: Socket| -> Result<(), Error> {
///         let user = socket.handshake().query_value("user").ok_or_else(|| Refusal::new("who are you?"))?;
///         socket.join(&user)?;
///         socket.emit("welcome", &*user)?;
///         Ok(())
///     });
/// }
/// ```
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum Error {
    /// An event was not sent.
    #[error(transparent)]
    Emit(#[from] EmitError),
    /// A socket was not let into a room.
    #[error(transparent)]
    Room(#[from] HubError),
    /// An acknowledgement did not come.
    #[error(transparent)]
    Ack(#[from] AckError),
    /// Not all clients acknowledged a broadcast.
    #[error(transparent)]
    BroadcastAck(#[from] BroadcastAckError),
    /// Arguments do not have the type that was asked for.
    #[error(transparent)]
    Args(#[from] ArgsError),
    /// A client's `auth` does not have the type that was asked for.
    #[error(transparent)]
    Data(#[from] DataError),
    /// A value could not be encoded.
    #[error(transparent)]
    Encode(#[from] EncodeError),
    /// A message could not be queued.
    #[error(transparent)]
    Send(#[from] SendError),
    /// A client is refused.
    #[error(transparent)]
    Refusal(#[from] Refusal),
}

/// A refusal of that text.
impl From<&str> for Error {
    fn from(message: &str) -> Self {
        Self::Refusal(message.into())
    }
}

/// A refusal of that text.
impl From<String> for Error {
    fn from(message: String) -> Self {
        Self::Refusal(message.into())
    }
}

impl Error {
    /// The error itself.
    fn into_inner(self) -> Arc<dyn std::error::Error + Send + Sync> {
        match self {
            Self::Emit(error) => Arc::new(error),
            Self::Room(error) => Arc::new(error),
            Self::Ack(error) => Arc::new(error),
            Self::BroadcastAck(error) => Arc::new(error),
            Self::Args(error) => Arc::new(error),
            Self::Data(error) => Arc::new(error),
            Self::Encode(error) => Arc::new(error),
            Self::Send(error) => Arc::new(error),
            Self::Refusal(error) => Arc::new(error),
        }
    }
}

/// Any error, as [`HandlerError::failed`] takes it: what `?` makes of one, also `&str`, `String` and `anyhow::Error`.
pub type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// The error of a handler. The error hook is told of it, and the client never.
///
/// ```
/// use sansocket_runtime::HandlerError;
///
/// let error = HandlerError::failed(std::io::Error::other("the disk is full"));
/// assert_eq!(error.to_string(), "the disk is full");
/// assert!(error.downcast_ref::<std::io::Error>().is_some());
/// ```
#[derive(Clone, Debug, Error)]
#[non_exhaustive]
pub enum HandlerError {
    /// The arguments do not have the type that the handler asks for.
    #[error("the arguments do not fit the handler: {0}")]
    Args(#[source] Arc<ArgsError>),
    /// The client's `auth` does not have the type that the handler asks for. The source quotes what the client sent.
    #[error("the client's auth is no `{expected}`: {source}")]
    Auth {
        /// The name of the type.
        expected: &'static str,
        /// The place where it differs.
        source: Arc<DataError>,
    },
    /// The builder was given no state of that type.
    #[error(
        "there is no state of type `{0}`: give it to the builder with `.state({0} ..)`, or to the server with `provide`"
    )]
    NoState(&'static str),
    /// The request that opened the session carries no extension of that type.
    #[error("the request carried no extension of type `{0}`: a middleware of the host has to add it")]
    NoExtension(&'static str),
    /// The name of the namespace does not have these parts: it is of no pattern, or of another one.
    #[error(
        "the namespace's name does not fit `{0}`: one type for each `*` of its `dynamic_namespace` is needed"
    )]
    NameParts(&'static str),
    /// The host does not tell the peer's address.
    #[error(
        "the host did not tell the peer's address: put a `SocketAddr` into the request's extensions (with axum: see \
         the documentation of `PeerAddr`)"
    )]
    NoPeerAddr,
    /// The server has been dropped.
    #[error("the server is gone")]
    NoServer,
    /// The application's own extractor did not find its value.
    #[error("{0}")]
    Missing(String),
    /// The handler returned an error. See [`downcast_ref`](Self::downcast_ref).
    #[error(transparent)]
    Failed(Arc<dyn std::error::Error + Send + Sync>),
    /// The handler's acknowledgement, or the data of a [`Refusal`], could not be encoded.
    #[error("the answer could not be encoded: {0}")]
    Encode(#[source] Arc<EncodeError>),
    /// The handler's acknowledgement could not be queued: the peer waits for it in vain.
    #[error("the acknowledgement could not be sent: {0}")]
    Unsent(#[source] SendError),
    /// An event that a client had kept until it was connected could not be sent: the server takes no message of that
    /// size.
    #[error("an event that waited for the connection could not be sent: {0}")]
    UnsentEvent(#[source] SendError),
    /// The handler panicked. On a server its connection is closed, and the client connects again; a client goes on.
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
    /// An error of the application. A `HandlerError` stays what it is, and of an [`Error`](crate::Error) the one inside of
    /// it is kept.
    pub fn failed(error: impl Into<BoxError>) -> Self {
        let error = match error.into().downcast::<Self>() {
            Ok(error) => return *error,
            Err(error) => error,
        };
        match error.downcast::<self::Error>() {
            Ok(error) => Self::Failed(error.into_inner()),
            Err(error) => Self::Failed(error.into()),
        }
    }

    /// The error that a handler returned, if it is of that type.
    pub fn downcast_ref<E: std::error::Error + 'static>(&self) -> Option<&E> {
        match self {
            Self::Failed(error) => error.downcast_ref(),
            _ => None,
        }
    }

    /// The failure of code that panicked.
    pub(crate) fn panic(panic: Panic) -> Self {
        let message = panic
            .downcast_ref::<&str>()
            .map(|text| (*text).to_owned())
            .or_else(|| panic.downcast_ref::<String>().cloned());
        let message = message.unwrap_or_else(|| "no message".to_owned());
        if let Err(again) = drop_caught(panic) {
            // What a payload that panics in its own drop panics with may do so again: it is never dropped.
            std::mem::forget(again);
        }
        Self::Panic(message)
    }
}

/// The failure of a handler, as an error hook is told of it: the error, and the event that was handled.
///
/// ```
/// use sansocket_runtime::Server;
///
/// fn register(io: &Server) {
///     io.on_error(|socket, failure| {
///         let event = failure.event().unwrap_or("no event");
///         eprintln!("{} {event} {}: {failure}", socket.namespace().name(), socket.id());
///     });
/// }
/// ```
#[derive(Clone, Debug)]
pub struct HandlerFailure {
    error: HandlerError,
    event: Option<String>,
}

impl HandlerFailure {
    pub(crate) fn new(event: Option<&str>, error: &HandlerError) -> Self {
        Self { error: error.clone(), event: event.map(str::to_owned) }
    }

    /// The name of the event; `None` where the handler is of another kind.
    pub fn event(&self) -> Option<&str> {
        self.event.as_deref()
    }

    /// The error.
    pub fn error(&self) -> &HandlerError {
        &self.error
    }
}

impl std::ops::Deref for HandlerFailure {
    type Target = HandlerError;

    fn deref(&self) -> &HandlerError {
        &self.error
    }
}

impl fmt::Display for HandlerFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.error.fmt(f)
    }
}

impl std::error::Error for HandlerFailure {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.error.source()
    }
}

/// The causes of an error, for logs: each after a colon.
pub(crate) struct Causes<'a>(pub(crate) &'a dyn std::error::Error);

impl fmt::Display for Causes<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut said = self.0.to_string();
        f.write_str(&said)?;
        let mut next = self.0.source();
        while let Some(cause) = next {
            let words = cause.to_string();
            // Many errors show their cause themselves.
            if !said.ends_with(&words) {
                write!(f, ": {words}")?;
                said = words;
            }
            next = cause.source();
        }
        Ok(())
    }
}
