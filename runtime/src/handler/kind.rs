//! The kinds of handlers: for each, the type of its socket, of its input and of its outcome.

use crate::base::error::{BoxError, HandlerError, Refusal};
use crate::handler::ack::{AckTarget, IntoAck, Reply};
use crate::handler::flow::EventFlow;
use crate::handler::peer::Peer;
use crate::handler::peer::sealed::HandlerPeer as _;
use sansocket_protocol::error::CloseReason;
use sansocket_protocol::message::Frame;
use sansocket_protocol::socket::Args;
use std::any::Any;
use std::fmt;
use std::sync::Arc;

/// The kind of a handler: it decides what may be extracted and what may be returned.
///
/// ```
/// use sansocket_runtime::handler::{Context, Kind};
/// use sansocket_runtime::extract::FromContext;
/// use sansocket_runtime::{HandlerError, Socket};
///
/// /// The name under which the client logged in, in every handler of a server.
/// struct UserName(String);
///
/// impl<K: Kind<Peer = Socket>> FromContext<K> for UserName {
///     fn from_context(context: &mut Context<K>) -> Result<Self, HandlerError> {
///         let name = context.peer().get::<String>();
///         name.map(|name| Self((*name).clone())).ok_or_else(|| HandlerError::failed("not logged in"))
///     }
/// }
/// ```
pub trait Kind: Send + Sync + 'static {
    /// The socket that the handler runs for.
    type Peer: Peer;
    /// The input of the handler, beside its socket: an event, a reason, an error, or nothing.
    type Input: Send + 'static;
    /// The type that the handler's return value is turned into.
    type Outcome: Send;

    /// The event that the handler is told of.
    #[doc(hidden)]
    fn event(_: &Self::Input) -> Option<&EventInput> {
        None
    }
}

/// The kinds of handlers that see an event's arguments, at either end.
///
/// ```
/// use sansocket_runtime::HandlerError;
/// use sansocket_runtime::extract::{FromContext, HasArgs};
/// use sansocket_runtime::handler::Context;
///
/// /// The size of an event in bytes.
/// struct Size(usize);
///
/// impl<K: HasArgs> FromContext<K> for Size {
///     fn from_context(context: &mut Context<K>) -> Result<Self, HandlerError> {
///         Ok(Self(context.input().args().wire_len()))
///     }
/// }
/// ```
pub trait HasArgs: Kind<Input = EventInput> {}

impl<K: Kind<Input = EventInput>> HasArgs for K {}

/// The kinds of handlers that may acknowledge an event.
pub trait Acks: Kind<Input = EventInput, Outcome = Result<Reply, HandlerError>> {}

impl<K: Kind<Input = EventInput, Outcome = Result<Reply, HandlerError>>> Acks for K {}

/// The kind of a server's handlers for a client that joins a namespace.
#[derive(Debug)]
pub enum OnConnect {}

/// The kind of a server's handlers for a client that has joined.
#[derive(Debug)]
pub enum OnConnected {}

/// The kind of a server's handlers for events.
#[derive(Debug)]
pub enum OnEvent {}

/// The kind of a server's middleware, which sees an event before its handlers and may refuse it.
#[derive(Debug)]
pub enum OnFilter {}

/// The kind of a server's handlers for a client that is about to leave its rooms.
#[derive(Debug)]
pub enum OnDisconnecting {}

/// The kind of a server's handlers for a client that has left.
#[derive(Debug)]
pub enum OnDisconnect {}

/// The kind of a client's handlers for a namespace that it has joined.
#[derive(Debug)]
pub enum OnClientConnect {}

/// The kind of a client's handlers for a namespace that it could not join: the server refused, or was not reached.
#[derive(Debug)]
pub enum OnClientConnectError {}

/// The kind of a client's handlers for events.
#[derive(Debug)]
pub enum OnClientEvent {}

/// The kind of a client's handlers for a namespace that it is no longer connected to.
#[derive(Debug)]
pub enum OnClientDisconnect {}

/// The event that a handler is told of: its name, its arguments, and its acknowledgement.
pub struct EventInput {
    pub(crate) args: Args,
    /// The acknowledgement that is asked for, unless a handler has taken it over.
    pub(crate) ack: Option<AckTarget>,
    /// The event goes to one handler, and nobody looks at its arguments afterwards.
    pub(crate) is_sole: bool,
    /// An extractor of the present handler has taken the acknowledgement over: in vain, if another one fails.
    pub(crate) is_ack_taken: bool,
}

impl EventInput {
    /// The arguments, with the event's name.
    pub fn args(&self) -> &Args {
        &self.args
    }

    /// Returns whether the peer waits for an acknowledgement that no handler has taken over.
    pub fn wants_ack(&self) -> bool {
        self.ack.is_some() && !self.is_ack_taken
    }
}

impl fmt::Debug for EventInput {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EventInput").field("args", &self.args).field("ack", &self.ack).finish()
    }
}

/// The input of [`OnDisconnect`]: the reason, and the rooms that ended with the socket.
#[derive(Clone, Debug)]
pub struct Departure {
    pub(crate) reason: CloseReason,
    pub(crate) emptied: Vec<Arc<str>>,
}

impl Departure {
    /// The reason for which the socket has left.
    pub fn reason(&self) -> CloseReason {
        self.reason
    }

    /// The rooms that the socket was the last to leave: see [`EmptiedRooms`](crate::EmptiedRooms).
    pub fn emptied_rooms(&self) -> &[Arc<str>] {
        &self.emptied
    }
}

/// The inputs that hold the reason of a socket's end.
pub trait HasReason {
    /// The reason.
    fn reason(&self) -> CloseReason;
}

impl HasReason for CloseReason {
    fn reason(&self) -> CloseReason {
        *self
    }
}

impl HasReason for Departure {
    fn reason(&self) -> CloseReason {
        self.reason
    }
}

/// The reason for which a handler does not let a client in.
#[derive(Debug)]
pub enum NotLetIn {
    /// The application has words for the client: it returned a [`Refusal`], or text.
    Refused(Refusal),
    /// The handler failed: the error hook is told why, and the client only that it is refused.
    Failed(HandlerError),
}

impl NotLetIn {
    fn new<E: Into<BoxError> + 'static>(error: E) -> Self {
        let any: &dyn Any = &error;
        let text = any.downcast_ref::<&str>().map(|text| (*text).to_owned());
        if let Some(text) = text.or_else(|| any.downcast_ref::<String>().cloned()) {
            return Self::Refused(Refusal::new(text));
        }
        let error = HandlerError::failed(error);
        match error.downcast_ref::<Refusal>() {
            Some(refusal) => Self::Refused(refusal.clone()),
            None => Self::Failed(error),
        }
    }
}

/// An event or a step in a socket's life, as extractors see it: the socket and the input of a handler.
pub struct Context<K: Kind> {
    pub(crate) peer: K::Peer,
    pub(crate) input: K::Input,
}

impl<K: Kind> Context<K> {
    pub(crate) fn new(peer: K::Peer, input: K::Input) -> Self {
        Self { peer, input }
    }

    /// The socket that the handler runs for.
    pub fn peer(&self) -> &K::Peer {
        &self.peer
    }

    /// The input of the handler, beside its socket: an event, the reason of a disconnect, an error.
    pub fn input(&self) -> &K::Input {
        &self.input
    }

    /// The acknowledgement that the handler's return value is for.
    pub(crate) fn ack(&self) -> Option<&AckTarget> {
        K::event(&self.input)?.ack.as_ref()
    }

    /// The same, unless an extractor has taken it over.
    pub(crate) fn untaken_ack(&self) -> Option<&AckTarget> {
        K::event(&self.input).filter(|event| !event.is_ack_taken)?.ack.as_ref()
    }

    /// Tells the error hook. What comes back is its answer to whoever awaits the acknowledgement.
    pub(crate) fn report(&self, error: &HandlerError) -> Option<Frame> {
        let input = K::event(&self.input);
        let event = input.and_then(|input| input.args.event());
        self.peer.report(event.as_deref(), error, input.and_then(|input| input.ack.as_ref()))
    }

    /// Acknowledges the event, if that is asked for.
    pub(crate) fn answer(&self, args: &Args) {
        let Some(ack) = K::event(&self.input).and_then(|input| input.ack.as_ref()) else { return };
        match ack.encode(args) {
            Ok(frame) => self.peer.acknowledge(ack, frame),
            Err(error) => drop(self.report(&error.into())),
        }
    }

    /// Tells the error hook, and sends its answer.
    pub(crate) fn report_and_answer(&self, error: &HandlerError) {
        let answer = self.report(error);
        if let (Some(frame), Some(ack)) = (answer, self.ack()) {
            self.peer.acknowledge(ack, frame);
        }
    }
}

impl<K: Kind> fmt::Debug for Context<K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Context").finish_non_exhaustive()
    }
}

/// A value that a handler with the outcome `O` may return.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be returned from a handler of this kind",
    note = "an event handler returns what is acknowledged: `()`, a value of a standard type, a tuple (several \
            arguments), `Data(value)` for a type of your own that is `Serialize`, or a `Result` of one of these \
            with an error type (any `std::error::Error`, `String`, `&str`, `anyhow::Error`)",
    note = "all others return `()` or `Result<(), _>` with an error type; a connect handler's error refuses the client, \
            and only a `Refusal`, a `String` or a `&str` is told to it"
)]
pub trait IntoOutcome<O> {
    /// Turns the value into what the session does with it.
    fn into_outcome(self, ack: Option<&AckTarget>) -> O;
}

impl<T: IntoAck> IntoOutcome<Result<Reply, HandlerError>> for T {
    fn into_outcome(self, ack: Option<&AckTarget>) -> Result<Reply, HandlerError> {
        self.into_ack(ack)
    }
}

impl<E> IntoOutcome<Result<(), E>> for () {
    fn into_outcome(self, _: Option<&AckTarget>) -> Result<(), E> {
        Ok(())
    }
}

impl IntoOutcome<Result<EventFlow, HandlerError>> for () {
    fn into_outcome(self, _: Option<&AckTarget>) -> Result<EventFlow, HandlerError> {
        Ok(EventFlow::Continue)
    }
}

impl IntoOutcome<Result<EventFlow, HandlerError>> for EventFlow {
    fn into_outcome(self, _: Option<&AckTarget>) -> Result<EventFlow, HandlerError> {
        Ok(self)
    }
}

impl<E: Into<BoxError>> IntoOutcome<Result<EventFlow, HandlerError>> for Result<(), E> {
    fn into_outcome(self, _: Option<&AckTarget>) -> Result<EventFlow, HandlerError> {
        self.map(|()| EventFlow::Continue).map_err(HandlerError::failed)
    }
}

impl<E: Into<BoxError>> IntoOutcome<Result<EventFlow, HandlerError>> for Result<EventFlow, E> {
    fn into_outcome(self, _: Option<&AckTarget>) -> Result<EventFlow, HandlerError> {
        self.map_err(HandlerError::failed)
    }
}

impl<E: Into<BoxError> + 'static> IntoOutcome<Result<(), NotLetIn>> for Result<(), E> {
    fn into_outcome(self, _: Option<&AckTarget>) -> Result<(), NotLetIn> {
        self.map_err(NotLetIn::new)
    }
}

impl<E: Into<BoxError>> IntoOutcome<Result<(), HandlerError>> for Result<(), E> {
    fn into_outcome(self, _: Option<&AckTarget>) -> Result<(), HandlerError> {
        self.map_err(HandlerError::failed)
    }
}
