//! Extractors: what a handler's parameters may be.

use crate::base::error::HandlerError;
use crate::client::{ClientSocket, ConnectError};
use crate::handler::ack::Ack;
use crate::handler::unheard::AUTH_MISFIT;
use crate::handler::{
    ClientKind, Context, Kind, OnClientConnectError, OnClientDisconnect, OnClientEvent, OnDisconnect,
    OnEvent, OnFilter, Peer, ServerKind,
};
use crate::http::handshake::Handshake;
use crate::server::namespace::Namespace;
use crate::server::server::Server;
use crate::server::socket::Socket;
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
    fn from_context(context: &mut Context) -> Result<Self, HandlerError>;

    /// The same for the last parameter of a handler: nothing is extracted after it, so that it may take what
    /// [`from_context`](Self::from_context) has to copy.
    ///
    /// # Errors
    /// As for [`from_context`](Self::from_context).
    fn from_context_at_last(context: &mut Context) -> Result<Self, HandlerError> {
        Self::from_context(context)
    }
}

/// The kinds of handlers that see an event's arguments.
pub trait HasArgs: Kind {}

impl HasArgs for OnEvent {}
impl HasArgs for OnFilter {}
impl HasArgs for OnClientEvent {}

/// The kinds of handlers that may acknowledge.
pub trait Acks: Kind {}

impl Acks for OnEvent {}
impl Acks for OnClientEvent {}

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

fn args(context: &Context) -> Result<&Args, HandlerError> {
    context
        .args
        .as_ref()
        .ok_or_else(|| HandlerError::Missing("this handler was called without an event".into()))
}

impl<K: ServerKind> FromContext<K> for Socket {
    fn from_context(context: &mut Context) -> Result<Self, HandlerError> {
        context.socket().cloned()
    }
}

impl<K: ServerKind> FromContext<K> for Namespace {
    fn from_context(context: &mut Context) -> Result<Self, HandlerError> {
        Ok(context.socket()?.namespace())
    }
}

impl<K: ServerKind> FromContext<K> for Server {
    fn from_context(context: &mut Context) -> Result<Self, HandlerError> {
        context.socket()?.server().ok_or_else(|| HandlerError::Missing("the server is gone".into()))
    }
}

impl<K: ServerKind> FromContext<K> for Handshake {
    fn from_context(context: &mut Context) -> Result<Self, HandlerError> {
        Ok(context.socket()?.handshake().clone())
    }
}

impl<K: ServerKind, T: DeserializeOwned> FromContext<K> for Auth<T> {
    fn from_context(context: &mut Context) -> Result<Self, HandlerError> {
        context
            .socket()?
            .auth()
            .map(Self)
            .map_err(|error| HandlerError::Missing(format!("{AUTH_MISFIT}{}`: {error}", type_name::<T>())))
    }
}

impl<K: Kind, T: Clone + Send + Sync + 'static> FromContext<K> for State<T> {
    fn from_context(context: &mut Context) -> Result<Self, HandlerError> {
        let state = match &context.peer {
            Peer::Server(socket) => socket.server().and_then(|server| server.state::<T>()),
            Peer::Client(socket) => socket.state::<T>(),
        };
        state.map(Self).ok_or_else(|| {
            HandlerError::Missing(format!(
                "there is no state of type `{0}`: give it to the builder with `.state({0} ..)`",
                type_name::<T>()
            ))
        })
    }
}

impl<K: ServerKind, T: Clone + Send + Sync + 'static> FromContext<K> for Extension<T> {
    fn from_context(context: &mut Context) -> Result<Self, HandlerError> {
        context.socket()?.handshake().extension::<T>().cloned().map(Self).ok_or_else(|| {
            HandlerError::Missing(format!(
                "the request carried no extension of type `{}`: a middleware of the host has to add it",
                type_name::<T>()
            ))
        })
    }
}

impl<K: ServerKind> FromContext<K> for PeerAddr {
    fn from_context(context: &mut Context) -> Result<Self, HandlerError> {
        context.socket()?.handshake().peer_addr().map(Self).ok_or_else(|| {
            HandlerError::Missing(
                "the host did not tell the peer's address: put a `SocketAddr` into the request's extensions (with axum: \
                 see the documentation of `PeerAddr`)"
                    .into(),
            )
        })
    }
}

/// `None` where the extraction fails.
impl<K: Kind, T: FromContext<K>> FromContext<K> for Option<T> {
    fn from_context(context: &mut Context) -> Result<Self, HandlerError> {
        Ok(T::from_context(context).ok())
    }

    fn from_context_at_last(context: &mut Context) -> Result<Self, HandlerError> {
        Ok(T::from_context_at_last(context).ok())
    }
}

impl<K: HasArgs, T: DeserializeOwned> FromContext<K> for Data<T> {
    fn from_context(context: &mut Context) -> Result<Self, HandlerError> {
        Ok(Self(args(context)?.decode::<T>()?))
    }
}

impl<K: HasArgs, T: DeserializeOwned> FromContext<K> for TryData<T> {
    fn from_context(context: &mut Context) -> Result<Self, HandlerError> {
        Ok(Self(args(context)?.decode::<T>()))
    }
}

impl<K: HasArgs> FromContext<K> for Args {
    fn from_context(context: &mut Context) -> Result<Self, HandlerError> {
        args(context).cloned()
    }

    fn from_context_at_last(context: &mut Context) -> Result<Self, HandlerError> {
        // Other handlers of the same event may still want them.
        let taken = if context.is_sole { context.args.take() } else { None };
        taken.map_or_else(|| args(context).cloned(), Ok)
    }
}

impl<K: HasArgs> FromContext<K> for EventName {
    fn from_context(context: &mut Context) -> Result<Self, HandlerError> {
        let name = args(context)?.event().map(|name| name.into_owned());
        name.map(Self).ok_or_else(|| HandlerError::Missing("the event has no name".into()))
    }
}

impl<K: Acks> FromContext<K> for Ack {
    fn from_context(context: &mut Context) -> Result<Self, HandlerError> {
        context.ack_taken = true;
        Ok(Self { peer: context.peer.clone(), target: context.ack.take() })
    }
}

impl<K: ClientKind> FromContext<K> for ClientSocket {
    fn from_context(context: &mut Context) -> Result<Self, HandlerError> {
        context.client().cloned()
    }
}

impl FromContext<OnClientConnectError> for ConnectError {
    fn from_context(context: &mut Context) -> Result<Self, HandlerError> {
        let error = context.connect_error.clone();
        error.ok_or_else(|| HandlerError::Missing("there is no error".into()))
    }
}

impl FromContext<OnClientDisconnect> for CloseReason {
    fn from_context(context: &mut Context) -> Result<Self, HandlerError> {
        context.reason.ok_or_else(|| HandlerError::Missing("there is no reason yet".into()))
    }
}

impl FromContext<OnDisconnect> for CloseReason {
    fn from_context(context: &mut Context) -> Result<Self, HandlerError> {
        context.reason.ok_or_else(|| HandlerError::Missing("there is no reason yet".into()))
    }
}
