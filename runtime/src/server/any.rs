//! Handlers for whatever namespace.

use crate::handler::listener::ListenerHandle;
use crate::handler::reserved::{End, check_event};
use crate::handler::table::{Listener, Runs};
use crate::handler::typed::{TypedEvent, TypedHandler, erase_typed};
use crate::handler::{
    Handler, OnConnect, OnConnected, OnDisconnect, OnDisconnecting, OnEvent, OnFilter, erase,
};
use crate::server::table::{NamespaceHandlers, handler_methods, registrations};
use std::fmt;
use std::sync::Arc;

/// The handlers that stand in for those that a namespace does not have: what python-socketio has as `namespace="*"`.
///
/// A handler of an event runs in every namespace that has neither a handler of that event nor one of
/// [`on_fallback`](Self::on_fallback); one of `on_connect`, `on_disconnect` and so on in every namespace that has none of
/// that kind. It makes no namespaces: for names that do not exist, there is
/// [`dynamic_namespace("*")`](crate::Server::dynamic_namespace).
///
/// ```
/// use sansocket_runtime::{Namespace, Server};
///
/// fn register(io: &Server) {
///     io.any_namespace()
///         .on_connect(async |namespace: Namespace| println!("somebody comes to {}", namespace.name()))
///         .on("who", async |namespace: Namespace| namespace.len());
///     io.namespace("/chat");
///     // This one has an answer of its own.
///     io.namespace("/secret").on("who", async || "nobody you know");
/// }
/// ```
#[derive(Clone)]
pub struct AnyNamespace(pub(super) Arc<NamespaceHandlers>);

impl AnyNamespace {
    handler_methods!();

    fn handlers(&self) -> &Arc<NamespaceHandlers> {
        &self.0
    }
}

impl fmt::Debug for AnyNamespace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("AnyNamespace(..)")
    }
}
