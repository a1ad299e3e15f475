//! Dynamic namespaces, which come to be when a client asks for them.

use crate::base::error::HandlerFailure;
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
use crate::server::socket::Socket;
use crate::server::table::{NamespaceHandlers, error_hook, handler_methods, outgoing_methods, registrations};
use sansocket_protocol::socket::Args;
use std::fmt;
use std::sync::Arc;

/// The namespaces whose names match a pattern: each is made when a client asks for it. They share their handlers, which
/// are registered here; each has its own sockets and rooms.
///
/// ```
/// use sansocket_runtime::{Namespace, Server, Socket};
///
/// fn register(io: &Server) {
///     io.dynamic_namespace("/game-*").on_connected(async |socket: Socket, game: Namespace| {
///         let _ = game.emit("joined", &(game.name(), socket.id()));
///     });
/// }
/// ```
#[derive(Clone)]
pub struct DynamicNamespace(pub(crate) Arc<Dynamic>);

pub(crate) struct Dynamic {
    matches: Hook<dyn Fn(&str) -> bool + Send + Sync>,
    pub(crate) handlers: Arc<NamespaceHandlers>,
}

impl Dynamic {
    pub(crate) fn new(
        matches: impl Fn(&str) -> bool + Send + Sync + 'static,
        handlers: NamespaceHandlers,
    ) -> Self {
        let matcher = Hook::default();
        matcher.set(Arc::new(matches) as Arc<dyn Fn(&str) -> bool + Send + Sync>);
        Self { matches: matcher, handlers: Arc::new(handlers) }
    }

    /// Returns whether a namespace of that name may be made. None may after the shutdown.
    pub(crate) fn matches(&self, name: &str) -> bool {
        self.matches.get().is_some_and(|matches| matches(name))
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
}

impl fmt::Debug for DynamicNamespace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("DynamicNamespace(..)")
    }
}
