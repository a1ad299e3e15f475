//! Dynamic namespaces, which come to be when a client asks for them.

use crate::base::error::{EmitError, HandlerFailure};
use crate::base::hook::Hook;
use crate::handler::ack::IntoAck;
use crate::handler::error_hook::ErrorHook;
use crate::handler::listener::ListenerHandle;
use crate::handler::reserved::{End, check_event};
use crate::handler::table::{Listener, Runs};
use crate::handler::typed::{TypedEvent, TypedHandler, erase_typed};
use crate::handler::{
    Handler, OnConnect, OnConnected, OnDisconnect, OnDisconnecting, OnEvent, OnFilter, erase,
};
use crate::http::handshake::Handshake;
use crate::server::namespace::Namespace;
use crate::server::server::ServerInner;
use crate::server::socket::Socket;
use crate::server::table::{NamespaceHandlers, error_hook, handler_methods, outgoing_methods, registrations};
use sansocket_protocol::socket::{Args, DataError, PacketData, ToArgs};
use serde::de::DeserializeOwned;
use std::fmt;
use std::sync::{Arc, Weak};

/// The namespaces whose names match a pattern: each is made when a client asks for it. They share their handlers, which
/// are registered here; each has its own sockets and rooms.
///
/// ```
/// use sansocket_runtime::{EmitError, Namespace, Server, Socket};
///
/// fn register(io: &Server) -> Result<(), EmitError> {
///     let games = io.dynamic_namespace("/game-*");
///     games.on_connected(|socket: Socket, game: Namespace| game.emit("joined", &(game.name(), socket.id())));
///
///     // To all that there are just now.
///     games.emit("news", &"a break at ten")
/// }
/// ```
#[derive(Clone)]
pub struct DynamicNamespace(pub(crate) Arc<Dynamic>);

pub(crate) struct Dynamic {
    matches: Hook<Matcher>,
    pub(crate) handlers: Arc<NamespaceHandlers>,
    server: Weak<ServerInner>,
}

/// The application's decision about a namespace that a client asks for.
pub(crate) type Matcher = dyn Fn(&Asked<'_>) -> bool + Send + Sync;

/// A namespace that somebody asks for: a client by its request, or the admin UI without one.
pub(crate) struct Asked<'a> {
    pub(crate) name: &'a str,
    pub(crate) request: Option<NamespaceRequest<'a>>,
}

/// A client's wish to join a namespace, which is made for it if
/// [`dynamic_namespace_by`](crate::Server::dynamic_namespace_by) agrees.
pub struct NamespaceRequest<'a> {
    pub(crate) name: &'a str,
    pub(crate) auth: &'a PacketData,
    pub(crate) handshake: &'a Handshake,
}

impl NamespaceRequest<'_> {
    /// The name of the namespace, with the slash.
    pub fn name(&self) -> &str {
        self.name
    }

    /// The `auth` object that the client sent; `{}` if it sent none.
    ///
    /// # Errors
    /// [`DataError`] if it does not have that type.
    pub fn auth<T: DeserializeOwned>(&self) -> Result<T, DataError> {
        self.auth.decode()
    }

    /// The request that opened the client's session.
    pub fn handshake(&self) -> &Handshake {
        self.handshake
    }
}

impl fmt::Debug for NamespaceRequest<'_> {
    /// Without what the client wants to be known by.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NamespaceRequest").field("name", &self.name).finish_non_exhaustive()
    }
}

impl Dynamic {
    pub(crate) fn new(matches: Arc<Matcher>, handlers: NamespaceHandlers, server: Weak<ServerInner>) -> Self {
        let matcher = Hook::default();
        matcher.set(matches);
        Self { matches: matcher, handlers: Arc::new(handlers), server }
    }

    /// Returns whether the namespace may be made. None may after the shutdown.
    pub(crate) fn matches(&self, asked: &Asked<'_>) -> bool {
        self.matches.get().is_some_and(|matches| matches(asked))
    }

    /// Drops the matcher and the handlers, with what they have captured.
    pub(crate) fn clear(&self) {
        self.matches.clear();
        self.handlers.clear();
    }
}

impl DynamicNamespace {
    handler_methods!();
    outgoing_methods!();
    error_hook!();

    fn handlers(&self) -> &Arc<NamespaceHandlers> {
        &self.0.handlers
    }

    /// The namespaces that have been made so far, and are still there, in this process, in the order of their names.
    pub fn namespaces(&self) -> Vec<Namespace> {
        let server = self.0.server.upgrade();
        let children = server.map(|server| server.namespaces.children_of(&self.0)).unwrap_or_default();
        children.into_iter().map(Namespace).collect()
    }

    /// Emits an event to all sockets of all these namespaces, in the order of the namespaces' names. On several nodes it
    /// reaches the namespaces that this node has. For some of them, or rooms: [`namespaces`](Self::namespaces).
    ///
    /// # Errors
    /// [`EmitError::Encode`], before anything is sent.
    pub fn emit<T: ToArgs + ?Sized>(&self, event: &str, args: &T) -> Result<(), EmitError> {
        self.namespaces().iter().try_for_each(|namespace| namespace.emit(event, args))
    }
}

impl fmt::Debug for DynamicNamespace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("DynamicNamespace(..)")
    }
}
