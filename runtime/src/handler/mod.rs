//! Handlers: async functions whose parameters are extracted from what happened, and whose return value is the
//! acknowledgement.

pub mod ack;
pub mod extract;
pub(crate) mod message;
pub(crate) mod outgoing;
pub(crate) mod unheard;

use crate::base::error::{HandlerError, Refusal};
use crate::base::runtime::BoxFuture;
use crate::client::ClientSocket;
use crate::handler::ack::{AckTarget, IntoAck, Reply};
use crate::handler::extract::FromContext;
use crate::server::socket::Socket;
use sansocket_protocol::error::CloseReason;
use sansocket_protocol::socket::Args;
use std::future::Future;

/// What a handler is for: it decides what may be extracted and what may be returned.
pub trait Kind: Send + Sync + 'static {
    /// What becomes of a handler's return value.
    type Outcome: Send;
}

/// Handlers of a client that joins a namespace.
#[derive(Debug)]
pub enum OnConnect {}

/// Handlers of a client that has joined.
#[derive(Debug)]
pub enum OnConnected {}

/// Handlers of events.
#[derive(Debug)]
pub enum OnEvent {}

/// Middleware that sees an event before its handlers, and may refuse it.
#[derive(Debug)]
pub enum OnFilter {}

/// Handlers of a client that has left.
#[derive(Debug)]
pub enum OnDisconnect {}

/// Handlers of a client's own socket that has joined its namespace.
#[derive(Debug)]
pub enum OnClientConnect {}

/// Handlers of a client's own socket that was not let into its namespace, or could not reach the server.
#[derive(Debug)]
pub enum OnClientConnectError {}

/// Handlers of events that a client receives.
#[derive(Debug)]
pub enum OnClientEvent {}

/// Handlers of a client's own socket that is not connected any more.
#[derive(Debug)]
pub enum OnClientDisconnect {}

/// The kinds of handlers that run at the server.
pub trait ServerKind: Kind {}

impl ServerKind for OnConnect {}
impl ServerKind for OnConnected {}
impl ServerKind for OnEvent {}
impl ServerKind for OnFilter {}
impl ServerKind for OnDisconnect {}

/// The kinds of handlers that run at the client.
pub trait ClientKind: Kind {}

impl ClientKind for OnClientConnect {}
impl ClientKind for OnClientConnectError {}
impl ClientKind for OnClientEvent {}
impl ClientKind for OnClientDisconnect {}

impl Kind for OnClientConnect {
    type Outcome = Result<(), HandlerError>;
}

impl Kind for OnClientConnectError {
    type Outcome = Result<(), HandlerError>;
}

impl Kind for OnClientEvent {
    type Outcome = Result<Reply, HandlerError>;
}

impl Kind for OnClientDisconnect {
    type Outcome = Result<(), HandlerError>;
}

impl Kind for OnConnect {
    type Outcome = Result<(), Refusal>;
}

impl Kind for OnEvent {
    type Outcome = Result<Reply, HandlerError>;
}

impl Kind for OnFilter {
    type Outcome = Result<(), HandlerError>;
}

impl Kind for OnConnected {
    type Outcome = Result<(), HandlerError>;
}

impl Kind for OnDisconnect {
    type Outcome = Result<(), HandlerError>;
}

/// Whose event it is.
#[derive(Clone, Debug)]
pub(crate) enum Peer {
    Server(Socket),
    Client(ClientSocket),
}

/// What happened, as extractors see it.
pub struct Context {
    pub(crate) peer: Peer,
    pub(crate) args: Option<Args>,
    pub(crate) ack: Option<AckTarget>,
    /// A handler has taken the acknowledgement over.
    pub(crate) ack_taken: bool,
    pub(crate) reason: Option<CloseReason>,
    pub(crate) connect_error: Option<crate::client::ConnectError>,
    /// The event goes to one handler, and nobody looks at its arguments afterwards.
    pub(crate) is_sole: bool,
}

impl Context {
    pub(crate) fn new(peer: Peer) -> Self {
        Self {
            peer,
            args: None,
            ack: None,
            ack_taken: false,
            reason: None,
            connect_error: None,
            is_sole: false,
        }
    }

    /// The client that a server's handler serves.
    pub(crate) fn socket(&self) -> Result<&Socket, HandlerError> {
        match &self.peer {
            Peer::Server(socket) => Ok(socket),
            Peer::Client(_) => Err(HandlerError::Missing("this is a client's handler".into())),
        }
    }

    /// The client's own socket.
    pub(crate) fn client(&self) -> Result<&ClientSocket, HandlerError> {
        match &self.peer {
            Peer::Client(socket) => Ok(socket),
            Peer::Server(_) => Err(HandlerError::Missing("this is a server's handler".into())),
        }
    }
}

/// What a handler of that kind may return.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be returned from a handler of this kind",
    note = "an event handler returns what is acknowledged: `()`, a value of a standard type, a tuple (several \
            arguments), `Data(value)` for a type of your own that is `Serialize`, or a `Result` of one of these \
            with an error that is `Display`",
    note = "a connect handler returns `()` or `Result<(), Refusal>`; the others return `()` or `Result<(), _>` with \
            an error that is `Display`"
)]
pub trait IntoOutcome<K: Kind> {
    /// Turns the value into what the session does with it.
    fn into_outcome(self, ack: Option<AckTarget>) -> K::Outcome;
}

impl<T: IntoAck> IntoOutcome<OnEvent> for T {
    fn into_outcome(self, ack: Option<AckTarget>) -> Result<Reply, HandlerError> {
        self.into_ack(ack.as_ref())
    }
}

impl<T: IntoAck> IntoOutcome<OnClientEvent> for T {
    fn into_outcome(self, ack: Option<AckTarget>) -> Result<Reply, HandlerError> {
        self.into_ack(ack.as_ref())
    }
}

impl IntoOutcome<OnConnect> for () {
    fn into_outcome(self, _: Option<AckTarget>) -> Result<(), Refusal> {
        Ok(())
    }
}

impl<E: Into<Refusal>> IntoOutcome<OnConnect> for Result<(), E> {
    fn into_outcome(self, _: Option<AckTarget>) -> Result<(), Refusal> {
        self.map_err(Into::into)
    }
}

macro_rules! nothing_or_an_error {
    ($($kind:ty),*) => {
        $(
            impl IntoOutcome<$kind> for () {
                fn into_outcome(self, _: Option<AckTarget>) -> Result<(), HandlerError> {
                    Ok(())
                }
            }

            impl<E: std::fmt::Display> IntoOutcome<$kind> for Result<(), E> {
                fn into_outcome(self, _: Option<AckTarget>) -> Result<(), HandlerError> {
                    self.map_err(|error| HandlerError::Failed(error.to_string()))
                }
            }
        )*
    };
}

nothing_or_an_error!(
    OnConnected,
    OnFilter,
    OnDisconnect,
    OnClientConnect,
    OnClientConnectError,
    OnClientDisconnect
);

/// An async function that can handle something of kind `K`; `Params` are its parameters.
///
/// Implemented for every `Fn` of up to eight parameters that are extractors, whose future is `Send` and returns
/// what the kind allows.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a handler here",
    label = "not a handler",
    note = "a handler is an async function or closure (`async |socket: Socket, Data(text): Data<String>| {{ .. }}`) \
            of up to eight parameters",
    note = "each parameter must be an extractor that exists here: `Socket`, `Server`, `Namespace`, `Auth<T>`, \
            `State<T>`, `Extension<T>`, `PeerAddr`, `Handshake` everywhere; `Data<T>`, `TryData<T>`, `Args`, \
            `Event`, `Ack` for events; `DisconnectReason` for disconnects; a client's handlers have `ClientSocket`, \
            `State<T>`, what is for events, `ConnectError` and `DisconnectReason`",
    note = "a plain value from the client is extracted by `Data<T>`, for example `Data(text): Data<String>`",
    note = "it must return what is possible here: in event handlers `()`, a value of a standard type, a tuple \
            (several arguments), or `Data(value)` for a type of your own that is `Serialize`; elsewhere `()`; or a \
            `Result` of these",
    note = "its future must be `Send`: hold no `Rc`, `RefCell` borrow or `std::sync::MutexGuard` across an `.await`",
    note = "closures must be `'static`, `Send` and `Sync`: capture by `move` and share by `Arc` or `State<T>`"
)]
pub trait Handler<K: Kind, Params>: Send + Sync + 'static {
    /// Extracts the parameters and begins the handler.
    ///
    /// # Errors
    /// If a parameter cannot be extracted.
    fn call(&self, context: &mut Context) -> Result<BoxFuture<K::Outcome>, HandlerError>;
}

macro_rules! handlers {
    ($($param:ident)* $(; $last:ident)?) => {
        impl<K, F, Fut, Output, $($param,)* $($last)?> Handler<K, ($($param,)* $($last,)?)> for F
        where
            K: Kind,
            F: Fn($($param,)* $($last)?) -> Fut + Send + Sync + 'static,
            Fut: Future<Output = Output> + Send + 'static,
            Output: IntoOutcome<K>,
            $($param: FromContext<K>,)*
            $($last: FromContext<K>,)?
        {
            #[allow(non_snake_case)]
            fn call(&self, context: &mut Context) -> Result<BoxFuture<K::Outcome>, HandlerError> {
                $(let $param = $param::from_context(context)?;)*
                $(let $last = $last::from_context_at_last(context)?;)?
                let ack = if context.ack_taken { None } else { context.ack.clone() };
                let future = self($($param,)* $($last)?);
                Ok(Box::pin(async move { future.await.into_outcome(ack) }))
            }
        }
    };
}

handlers!();
handlers!(; A);
handlers!(A; B);
handlers!(A B; C);
handlers!(A B C; D);
handlers!(A B C D; E);
handlers!(A B C D E; G);
handlers!(A B C D E G; H);
handlers!(A B C D E G H; I);

/// A handler whose parameters are forgotten.
pub(crate) trait AnyHandler<K: Kind>: Send + Sync {
    fn call(&self, context: &mut Context) -> Result<BoxFuture<K::Outcome>, HandlerError>;
}

struct Erased<H, Params> {
    handler: H,
    params: std::marker::PhantomData<fn() -> Params>,
}

impl<K: Kind, Params, H: Handler<K, Params>> AnyHandler<K> for Erased<H, Params> {
    fn call(&self, context: &mut Context) -> Result<BoxFuture<K::Outcome>, HandlerError> {
        self.handler.call(context)
    }
}

/// A handler that several tables may hold.
pub(crate) type SharedHandler<K> = std::sync::Arc<dyn AnyHandler<K>>;

pub(crate) fn erase<K: Kind, Params: 'static>(handler: impl Handler<K, Params>) -> SharedHandler<K> {
    std::sync::Arc::new(Erased { handler, params: std::marker::PhantomData })
}
