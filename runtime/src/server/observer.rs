//! The interface of whoever watches a server from inside: told of sockets, rooms and events, without a lock.

use crate::server::namespace::NamespaceInner;
use crate::server::server::ServerInner;
use crate::server::socket::Socket;
pub(crate) use crate::server::table::{NamespaceHandlers, Watch};
use sansocket_protocol::error::CloseReason;
use sansocket_protocol::hub::RoomEvent;
use std::sync::Arc;

/// A watcher of a server. Its methods must not block.
pub(crate) trait Observer: Send + Sync {
    /// A client has joined and been told so; its handlers come next.
    fn connected(&self, socket: &Socket);

    /// A client's connection has moved to another transport.
    fn upgraded(&self, socket: &Socket);

    /// A client that had joined has left; its handlers come next.
    fn disconnected(&self, socket: &Socket, reason: CloseReason);

    /// Returns whether a namespace is the watcher's own: its events are not kept for clients that come back.
    fn owns(&self, namespace: &str) -> bool;

    /// There is a namespace, perhaps a new one.
    fn found(&self, namespace: &Arc<NamespaceInner>);

    /// There are handlers of a namespace, or of all children of a dynamic one.
    fn found_handlers(&self, handlers: &NamespaceHandlers);

    /// The data that other nodes are told of a socket beside its rooms and its handshake.
    #[cfg(feature = "cluster")]
    fn data_of(&self, socket: &Socket) -> serde_json::Value;

    /// The server has shut down: what the application gave is dropped.
    fn close(&self);
}

impl NamespaceInner {
    /// Sets the hook of the watcher for rooms; the first one stays. The rooms that are only a socket's id are not among
    /// them.
    pub(crate) fn observe_rooms(&self, hook: impl Fn(&RoomEvent) + Send + Sync + 'static) {
        self.room_events.get_or_init(Box::default).observe(hook);
        self.hub_mut().log_rooms();
    }
}

impl ServerInner {
    /// Tells the watcher, if there is one.
    pub(super) fn observe(&self, tell: impl FnOnce(&dyn Observer)) {
        if let Some(observer) = self.observer.get() {
            tell(&**observer);
        }
    }

    /// Sets the watcher, which finds all that is there already. False if there is one.
    pub(crate) fn set_observer(&self, observer: Arc<dyn Observer>) -> bool {
        let is_first = self.observer.set(observer).is_ok();
        if is_first {
            for handlers in self.namespaces.all_handlers() {
                self.observe(|observer| observer.found_handlers(&handlers));
            }
            for namespace in self.namespaces.all() {
                self.observe(|observer| observer.found(&namespace));
            }
        }
        is_first
    }
}
