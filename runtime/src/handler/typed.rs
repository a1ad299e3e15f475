//! Events that are declared once, as types: name, payload and answer, checked by the compiler at both ends.

use crate::base::error::{BoxError, HandlerError};
use crate::handler::ack::{AckTarget, IntoAck, Reply, reply};
use crate::handler::erased::{AnyHandler, SharedHandler};
use crate::handler::extract::{FromContext, Requirements};
use crate::handler::kind::{Acks, Context};
use crate::handler::{AtOnce, Begun};
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::future::Future;
use std::marker::PhantomData;
use std::sync::Arc;

/// An event, declared once for both ends: its name, its payload and its answer.
///
/// A type without values of its own stands for the event, and is given to `emit_typed`, `call_typed` and `on_typed` in place
/// of a name. A payload or an answer of another type does not compile, at the server as at the client.
///
/// On the wire it is the event of that name: a tuple is several arguments, `()` none, any other type one. With the feature
/// `typescript`, the events are written as TypeScript for the page.
///
/// ```
/// use sansocket_runtime::{AckError, ClientSocket, EmitError, Server, Socket, TypedEvent};
/// use serde::{Deserialize, Serialize};
///
/// // In a crate that server and client share.
/// #[derive(Serialize, Deserialize)]
/// pub struct Message {
///     pub room: String,
///     pub text: String,
/// }
///
/// /// A client says something, and is told how many hear it.
/// pub struct Say;
///
/// impl TypedEvent for Say {
///     const NAME: &'static str = "say";
///     type Payload = Message;
///     type Answer = usize;
/// }
///
/// /// Somebody has said something: the id, and the text.
/// pub struct Said;
///
/// impl TypedEvent for Said {
///     const NAME: &'static str = "said";
///     type Payload = (String, String);
///     type Answer = ();
/// }
///
/// // At the server: extractors first, then the payload. The return value is the answer, or a `Result` of it.
/// fn register(io: &Server) {
///     io.on_typed(Say, async |socket: Socket, message: Message| -> Result<usize, EmitError> {
///         let others = socket.to(&message.room);
///         others.emit_typed(Said, &(socket.id().to_owned(), message.text))?;
///         Ok(others.sockets().len())
///     });
/// }
///
/// // At the client.
/// async fn talk(socket: &ClientSocket) -> Result<usize, AckError> {
///     socket.on_typed(Said, async |(who, text): (String, String)| println!("{who}: {text}"));
///     socket.call_typed(Say, &Message { room: "tea".into(), text: "hello".into() }).await
/// }
/// ```
///
/// A payload of another type is refused by the compiler:
///
/// ```compile_fail,E0308
/// # use sansocket_runtime::{Socket, TypedEvent};
/// # struct Said;
/// # impl TypedEvent for Said {
/// #     const NAME: &'static str = "said";
/// #     type Payload = (String, String);
/// #     type Answer = ();
/// # }
/// # fn wrong(socket: &Socket) {
/// let _ = socket.emit_typed(Said, &"only the text");
/// # }
/// ```
///
/// So is a handler that returns something else than the answer:
///
/// ```compile_fail,E0277
/// # use sansocket_runtime::{Server, TypedEvent};
/// # struct Count;
/// # impl TypedEvent for Count {
/// #     const NAME: &'static str = "count";
/// #     type Payload = ();
/// #     type Answer = u32;
/// # }
/// # fn wrong(io: &Server) {
/// io.on_typed(Count, async |(): ()| "many");
/// # }
/// ```
pub trait TypedEvent: Send + Sync + 'static {
    /// The name on the wire.
    const NAME: &'static str;
    /// The arguments: a tuple is several, `()` none, any other type one.
    type Payload: Serialize + DeserializeOwned + Send + 'static;
    /// The acknowledgement; `()` for an event that is not answered, or answered without a value.
    type Answer: Serialize + DeserializeOwned + Send + 'static;
}

/// The values that a handler of an event with the answer `A` may return: `A` itself, or a `Result` of it with an error
/// type.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not the answer of this event",
    note = "the event's `Answer` is `{A}`: return it, or a `Result` of it with an error type"
)]
pub trait IntoAnswer<A> {
    /// Returns the answer.
    ///
    /// # Errors
    /// If the handler failed.
    fn into_answer(self) -> Result<A, HandlerError>;
}

impl<A> IntoAnswer<A> for A {
    fn into_answer(self) -> Result<A, HandlerError> {
        Ok(self)
    }
}

impl<A, E: Into<BoxError>> IntoAnswer<A> for Result<A, E> {
    fn into_answer(self) -> Result<A, HandlerError> {
        self.map_err(HandlerError::failed)
    }
}

/// A function, async or not, that is a handler of the event `E` at the end of kind `K`: up to seven extractors (`Params`), then the
/// payload. It returns the answer, or a `Result` of it.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a handler of this event",
    note = "its last parameter is the event's `Payload`, those before are up to seven extractors, and it returns the \
            event's `Answer` or a `Result` of it",
    note = "its future must be `Send`, and the closure `'static`, `Send` and `Sync`"
)]
pub trait TypedHandler<E: TypedEvent, K: Acks, Params>: Send + Sync + 'static {
    /// Extracts the parameters and begins the handler.
    ///
    /// # Errors
    /// If a parameter cannot be extracted.
    fn call(&self, context: &mut Context<K>) -> Result<Begun<K>, HandlerError>;

    /// Says what the server must have before it serves: see [`FromContext::requires`].
    fn requires(&self, _: &mut Requirements) {}
}

macro_rules! handlers {
    ($($param:ident)*) => {
        impl<E, K, F, Fut, Output, $($param,)*> TypedHandler<E, K, ($($param,)*)> for F
        where
            E: TypedEvent,
            K: Acks,
            F: Fn($($param,)* E::Payload) -> Fut + Send + Sync + 'static,
            Fut: Future<Output = Output> + Send + 'static,
            Output: IntoAnswer<E::Answer>,
            $($param: FromContext<K>,)*
        {
            #[allow(non_snake_case)]
            fn call(&self, context: &mut Context<K>) -> Result<Begun<K>, HandlerError> {
                $(let $param = $param::from_context(context)?;)*
                let payload = context.input().args().decode::<E::Payload>()?;
                let future = self($($param,)* payload);
                Ok(Begun::Waits(Box::pin(async move { Answered::<E::Answer>(future.await.into_answer()) })))
            }

            #[allow(unused_variables)]
            fn requires(&self, requirements: &mut Requirements) {
                $(<$param as FromContext<K>>::requires(requirements);)*
            }
        }

        impl<E, K, F, Output, $($param,)*> TypedHandler<E, K, AtOnce<($($param,)*)>> for F
        where
            E: TypedEvent,
            K: Acks,
            F: Fn($($param,)* E::Payload) -> Output + Send + Sync + 'static,
            Output: IntoAnswer<E::Answer>,
            $($param: FromContext<K>,)*
        {
            #[allow(non_snake_case)]
            fn call(&self, context: &mut Context<K>) -> Result<Begun<K>, HandlerError> {
                $(let $param = $param::from_context(context)?;)*
                let payload = context.input().args().decode::<E::Payload>()?;
                let answered = Answered::<E::Answer>(self($($param,)* payload).into_answer());
                Ok(Begun::Done(answered.into_ack(context.untaken_ack())))
            }

            #[allow(unused_variables)]
            fn requires(&self, requirements: &mut Requirements) {
                $(<$param as FromContext<K>>::requires(requirements);)*
            }
        }
    };
}

handlers!();
handlers!(A);
handlers!(A B);
handlers!(A B C);
handlers!(A B C D);
handlers!(A B C D G);
handlers!(A B C D G H);
handlers!(A B C D G H I);

/// The answer of a typed handler.
struct Answered<A>(Result<A, HandlerError>);

impl<A: Serialize> IntoAck for Answered<A> {
    fn into_ack(self, target: Option<&AckTarget>) -> Result<Reply, HandlerError> {
        reply(target, &self.0?)
    }
}

struct Typed<E, H, Params> {
    handler: H,
    types: PhantomData<fn() -> (E, Params)>,
}

impl<E: TypedEvent, K: Acks, Params, H: TypedHandler<E, K, Params>> AnyHandler<K> for Typed<E, H, Params> {
    fn call(&self, context: &mut Context<K>) -> Result<Begun<K>, HandlerError> {
        self.handler.call(context)
    }

    fn requires(&self, requirements: &mut Requirements) {
        self.handler.requires(requirements);
    }
}

pub(crate) fn erase_typed<E: TypedEvent, K: Acks, Params: 'static>(
    handler: impl TypedHandler<E, K, Params>,
) -> SharedHandler<K> {
    Arc::new(Typed::<E, _, Params> { handler, types: PhantomData })
}
