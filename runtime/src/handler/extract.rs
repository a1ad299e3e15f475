//! Extractors: what a handler's parameters may be.

use crate::base::error::HandlerError;
use crate::handler::ack::Ack;
use crate::handler::kind::{Context, Kind};
use crate::handler::peer::sealed::HandlerPeer as _;
use sansocket_protocol::error::CloseReason;
use sansocket_protocol::socket::{Args, ArgsError};
use serde::de::DeserializeOwned;
use std::any::type_name;
use std::net::SocketAddr;
use std::ops::{Deref, DerefMut};

/// Something that can be a parameter of a handler of kind `K`.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be extracted in this kind of handler",
    label = "not an extractor here",
    note = "everywhere: `Socket`, `Server`, `Namespace`, `Handshake`, `Auth<T>`, `State<T>`, `Extension<T>`, \
            `PeerAddr`, and `Option` of each",
    note = "in event handlers and event middleware: `Data<T>`, `TryData<T>`, `Args`, `EventName`; in event handlers \
            also `Ack`; in disconnect handlers: `DisconnectReason`",
    note = "in a client's handlers: `ClientSocket`, `State<T>`, and what is for events; in its handlers of connect \
            errors: `ConnectError`",
    note = "a plain value from the client is extracted by `Data<T>`, for example `Data(text): Data<String>`"
)]
pub trait FromContext<K: Kind>: Sized {
    /// Extracts it.
    ///
    /// # Errors
    /// [`HandlerError`] if it is not there; then the handler is not called.
    fn from_context(context: &mut Context<K>) -> Result<Self, HandlerError>;

    /// The same for the last parameter of a handler: nothing is extracted after it, so that it may take what
    /// [`from_context`](Self::from_context) has to copy.
    ///
    /// # Errors
    /// As for [`from_context`](Self::from_context).
    fn from_context_at_last(context: &mut Context<K>) -> Result<Self, HandlerError> {
        Self::from_context(context)
    }
}

pub use crate::handler::kind::{Acks, HasArgs};

macro_rules! wrapper {
    ($name:ident) => {
        impl<T> Deref for $name<T> {
            type Target = T;

            fn deref(&self) -> &T {
                &self.0
            }
        }

        impl<T> DerefMut for $name<T> {
            fn deref_mut(&mut self) -> &mut T {
                &mut self.0
            }
        }
    };
}

/// The arguments of an event as a type of the application: a tuple takes several, any other type the first.
/// Binary arrives wherever the type asks for bytes (`Bytes`). If they do not fit, the handler is not called and
/// the error hook is told.
///
/// As a return value, it acknowledges with any type that is `Serialize`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Data<T>(pub T);

/// As [`Data`], but the handler is called even if the arguments do not fit.
#[derive(Debug)]
pub struct TryData<T>(pub Result<T, ArgsError>);

/// The `auth` object of the client's CONNECT; `{}` if there was none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Auth<T>(pub T);

/// What the application gave to the builder's `state`, cloned.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct State<T>(pub T);

/// What a host framework's middleware put on the request that opened the session, cloned.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Extension<T>(pub T);

/// The name of the event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EventName(pub String);

/// The address at the other end of the connection: see [`Handshake::peer_addr`].
///
/// The own listener knows it. A host tells it by a `SocketAddr` among the request's extensions; axum has it in a type
/// of its own, so there one line hands it on, which the example `axum` of `sansocket-tokio` shows:
/// `map_request(async |ConnectInfo(peer): ConnectInfo<SocketAddr>, mut request: Request| { .. })`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PeerAddr(pub SocketAddr);

/// Why a socket ended.
pub type DisconnectReason = CloseReason;

wrapper!(Data);
wrapper!(Auth);
wrapper!(State);
wrapper!(Extension);

impl<K: Kind, T: Clone + Send + Sync + 'static> FromContext<K> for State<T> {
    fn from_context(context: &mut Context<K>) -> Result<Self, HandlerError> {
        context.peer.state::<T>().map(Self).ok_or(HandlerError::NoState(type_name::<T>()))
    }
}

/// `None` where the extraction fails.
impl<K: Kind, T: FromContext<K>> FromContext<K> for Option<T> {
    fn from_context(context: &mut Context<K>) -> Result<Self, HandlerError> {
        Ok(T::from_context(context).ok())
    }

    fn from_context_at_last(context: &mut Context<K>) -> Result<Self, HandlerError> {
        Ok(T::from_context_at_last(context).ok())
    }
}

impl<K: HasArgs, T: DeserializeOwned> FromContext<K> for Data<T> {
    fn from_context(context: &mut Context<K>) -> Result<Self, HandlerError> {
        Ok(Self(context.input.args.decode::<T>()?))
    }
}

impl<K: HasArgs, T: DeserializeOwned> FromContext<K> for TryData<T> {
    fn from_context(context: &mut Context<K>) -> Result<Self, HandlerError> {
        Ok(Self(context.input.args.decode::<T>()))
    }
}

impl<K: HasArgs> FromContext<K> for Args {
    fn from_context(context: &mut Context<K>) -> Result<Self, HandlerError> {
        Ok(context.input.args.clone())
    }

    fn from_context_at_last(context: &mut Context<K>) -> Result<Self, HandlerError> {
        // Other handlers of the same event may still want them.
        if context.input.is_sole {
            Ok(std::mem::take(&mut context.input.args))
        } else {
            Self::from_context(context)
        }
    }
}

impl<K: HasArgs> FromContext<K> for EventName {
    fn from_context(context: &mut Context<K>) -> Result<Self, HandlerError> {
        // An event without a name comes to no handler.
        Ok(Self(context.input.args.event().unwrap_or_default().into_owned()))
    }
}

impl<K: Acks> FromContext<K> for Ack {
    fn from_context(context: &mut Context<K>) -> Result<Self, HandlerError> {
        Ok(Self::new(context.input.ack.take(), &context.peer))
    }
}

impl<K: Kind<Input = CloseReason>> FromContext<K> for CloseReason {
    fn from_context(context: &mut Context<K>) -> Result<Self, HandlerError> {
        Ok(context.input)
    }
}
