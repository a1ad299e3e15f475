//! Handlers: functions, async or not, whose parameters are extracted from an event, and whose return value is its
//! acknowledgement.
//!
//! Any function or closure is a handler if each of its parameters is an [extractor](crate::extract), at most
//! eight of them, in any order. One that has to wait for something is async; one that has not may be an ordinary one, which
//! may use what it has captured. A server's handlers are registered on a [`Namespace`](crate::Namespace), or on the
//! [`Server`](crate::Server) for the main one; a client's on its [`ClientSocket`](crate::ClientSocket).
//!
//! ```
//! use sansocket_runtime::{Ack, Data, DisconnectReason, Refusal, Server, Socket, State};
//! use std::sync::Arc;
//! use std::sync::atomic::{AtomicUsize, Ordering};
//!
//! type Sold = State<Arc<AtomicUsize>>;
//!
//! // A function: the value is the acknowledgement, an error goes to the error hook.
//! async fn buy(State(sold): Sold, Data((item, count)): Data<(String, usize)>) -> Result<String, std::io::Error> {
//!     let receipt = format!("{count} x {item}");
//!     sold.fetch_add(count, Ordering::Relaxed);
//!     Ok(receipt)
//! }
//!
//! fn register(io: &Server) {
//!     io.on_connect(async |socket: Socket| -> Result<(), Refusal> {
//!         let key = socket.handshake().query_value("key");
//!         if key.is_some() { Ok(()) } else { Err("bring a key".into()) }
//!     })
//!     .on("buy", buy)
//!     // `Ack` takes the acknowledgement over, to be sent at any time.
//!     .on("status", async |State(sold): Sold, ack: Ack| {
//!         let _ = ack.send(&sold.load(Ordering::Relaxed));
//!     })
//!     .on_disconnect(async |socket: Socket, reason: DisconnectReason| {
//!         println!("{} has left: {reason}", socket.id());
//!     });
//! }
//! ```
//!
//! The events of one socket are handled one after the other: while a handler awaits, the next events of the same
//! client in the same namespace wait, and those of everybody else do not.
//!
//! | kind of handler | registered with | may return |
//! |---|---|---|
//! | [`OnConnect`] | `middleware`, `on_connect` | `()`, or a `Result` of it: an error refuses the client, and only a [`Refusal`](crate::Refusal) or text is told to it |
//! | [`OnConnected`] | `on_connected` | `()`, or a `Result` of it |
//! | [`OnFilter`] | `event_middleware` | `()`, an [`EventFlow`](crate::EventFlow), or a `Result` of one: an error stops the event |
//! | [`OnEvent`] | `on`, `on_concurrent`, `once`, `on_any`, `on_fallback` | whatever is [`IntoAck`](crate::IntoAck) |
//! | [`OnDisconnecting`], [`OnDisconnect`] | `on_disconnecting`, `on_disconnect` | `()`, or a `Result` of it |
//! | [`OnClientConnect`], [`OnClientConnectError`], [`OnClientDisconnect`] | `on_connect`, `on_connect_error`, `on_disconnect` of a client | `()`, or a `Result` of it |
//! | [`OnClientEvent`] | `on`, `once`, `on_any`, `on_fallback` of a client | whatever is [`IntoAck`](crate::IntoAck) |
//!
//! A `Result` may have any error that `?` turns into a `Box<dyn Error + Send + Sync>`: an error type, `String`, `&str`,
//! `anyhow::Error`. The error hook gets it as a [`HandlerError`], with its type and its sources.

pub mod ack;
pub(crate) mod encoder;
mod erased;
pub(crate) mod error_hook;
pub mod extract;
pub(crate) mod flow;
mod future;
pub(crate) mod job;
mod kind;
pub(crate) mod listener;
pub(crate) mod message;
mod names;
pub(crate) mod outgoing_hook;
pub(crate) mod peer;
pub(crate) mod reserved;
pub(crate) mod table;
pub(crate) mod timed;
pub(crate) mod typed;
#[cfg(feature = "typescript")]
pub(crate) mod typescript;

pub use future::{Begun, BoxHandlerFuture, HandlerFuture};
pub use kind::{
    Acks, Context, Departure, EventInput, HasArgs, HasReason, IntoOutcome, Kind, NotLetIn, OnClientConnect,
    OnClientConnectError, OnClientDisconnect, OnClientEvent, OnConnect, OnConnected, OnDisconnect,
    OnDisconnecting, OnEvent, OnFilter,
};
pub use listener::ListenerHandle;
pub use peer::Peer;
pub use typed::{IntoAnswer, TypedEvent, TypedHandler};

pub(crate) use erased::{AnyHandler, SharedHandler, erase};
pub(crate) use future::{OutcomeOf, Spanned};

use crate::base::error::HandlerError;
use crate::handler::extract::{FromContext, Requirements};
use std::future::Future;

/// A function, async or not, that is a handler of kind `K`; `Params` are its parameters.
///
/// Implemented for every `Fn` of up to eight parameters that are extractors, which returns what the kind allows, or a
/// future of that which is `Send`.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a handler here",
    label = "not a handler",
    note = "a handler is a function or closure, async or not (`async |socket: Socket, Data(text): Data<String>| {{ .. }}`), \
            of up to eight parameters",
    note = "each parameter must be an extractor that exists here: `Socket`, `Server`, `Namespace`, `Auth<T>`, \
            `State<T>`, `Extension<T>`, `PeerAddr`, `Handshake` everywhere; `Data<T>`, `TryData<T>`, `Args`, \
            `EventName`, `Ack` for events; `DisconnectReason` for disconnects; a client's handlers have `ClientSocket`, \
            `State<T>`, what is for events, `ConnectError` and `DisconnectReason`",
    note = "a plain value from the client is extracted by `Data<T>`, for example `Data(text): Data<String>`",
    note = "it must return what is possible here: in event handlers `()`, a value of a standard type, a tuple \
            (several arguments), or `Data(value)` for a type of your own that is `Serialize`; elsewhere `()`; or a \
            `Result` of these, with an error type, `String` or `&str` (in connect handlers any of them refuses the \
            client, and a `Refusal`, `String` or `&str` is told to it)",
    note = "its future must be `Send`: hold no `Rc`, `RefCell` borrow or `std::sync::MutexGuard` across an `.await`",
    note = "closures must be `'static`, `Send` and `Sync`: capture by `move` and share by `Arc` or `State<T>`"
)]
pub trait Handler<K: Kind, Params>: Send + Sync + 'static {
    /// Extracts the parameters and begins the handler.
    ///
    /// # Errors
    /// If a parameter cannot be extracted.
    fn call(&self, context: &mut Context<K>) -> Result<Begun<K>, HandlerError>;

    /// Says what the server must have before it serves: see [`FromContext::requires`].
    fn requires(&self, _: &mut Requirements) {}
}

/// The parameters of a handler that is not async: it is done when it returns.
#[doc(hidden)]
#[derive(Debug)]
pub struct AtOnce<Params>(std::marker::PhantomData<fn() -> Params>);

macro_rules! handlers {
    ($($param:ident)* $(; $last:ident)?) => {
        impl<K, F, Fut, Output, $($param,)* $($last)?> Handler<K, ($($param,)* $($last,)?)> for F
        where
            K: Kind,
            F: Fn($($param,)* $($last)?) -> Fut + Send + Sync + 'static,
            Fut: Future<Output = Output> + Send + 'static,
            Output: IntoOutcome<K::Outcome>,
            $($param: FromContext<K>,)*
            $($last: FromContext<K>,)?
        {
            #[allow(non_snake_case, unused_variables)]
            fn call(&self, context: &mut Context<K>) -> Result<Begun<K>, HandlerError> {
                $(let $param = $param::from_context(context)?;)*
                $(let $last = $last::from_context_at_last(context)?;)?
                Ok(Begun::Waits(Box::pin(self($($param,)* $($last)?))))
            }

            #[allow(unused_variables)]
            fn requires(&self, requirements: &mut Requirements) {
                $(<$param as FromContext<K>>::requires(requirements);)*
                $(<$last as FromContext<K>>::requires(requirements);)?
            }
        }

        impl<K, F, Output, $($param,)* $($last)?> Handler<K, AtOnce<($($param,)* $($last,)?)>> for F
        where
            K: Kind,
            F: Fn($($param,)* $($last)?) -> Output + Send + Sync + 'static,
            Output: IntoOutcome<K::Outcome>,
            $($param: FromContext<K>,)*
            $($last: FromContext<K>,)?
        {
            #[allow(non_snake_case, unused_variables)]
            fn call(&self, context: &mut Context<K>) -> Result<Begun<K>, HandlerError> {
                $(let $param = $param::from_context(context)?;)*
                $(let $last = $last::from_context_at_last(context)?;)?
                let value = self($($param,)* $($last)?);
                Ok(Begun::Done(value.into_outcome(context.untaken_ack())))
            }

            #[allow(unused_variables)]
            fn requires(&self, requirements: &mut Requirements) {
                $(<$param as FromContext<K>>::requires(requirements);)*
                $(<$last as FromContext<K>>::requires(requirements);)?
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
