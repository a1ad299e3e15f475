//! Handlers: async functions whose parameters are extracted from what happened, and whose return value is the
//! acknowledgement.

pub mod ack;
mod erased;
pub mod extract;
pub(crate) mod job;
mod kind;
pub(crate) mod outgoing;
pub(crate) mod peer;
pub(crate) mod table;
pub(crate) mod unheard;

pub use kind::{
    Acks, Context, EventInput, HasArgs, IntoOutcome, Kind, OnClientConnect, OnClientConnectError,
    OnClientDisconnect, OnClientEvent, OnConnect, OnConnected, OnDisconnect, OnEvent, OnFilter,
};
pub use peer::Peer;

pub(crate) use erased::{AnyHandler, SharedHandler, erase};

use crate::base::error::HandlerError;
use crate::base::runtime::BoxFuture;
use crate::handler::extract::FromContext;
use std::future::Future;

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
            `EventName`, `Ack` for events; `DisconnectReason` for disconnects; a client's handlers have `ClientSocket`, \
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
    fn call(&self, context: &mut Context<K>) -> Result<BoxFuture<K::Outcome>, HandlerError>;
}

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
            #[allow(non_snake_case)]
            fn call(&self, context: &mut Context<K>) -> Result<BoxFuture<K::Outcome>, HandlerError> {
                $(let $param = $param::from_context(context)?;)*
                $(let $last = $last::from_context_at_last(context)?;)?
                let ack = context.ack();
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
