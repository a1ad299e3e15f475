//! Namespaces: who is connected, and what is done with their events.

use crate::base::error::{BroadcastAckError, EmitError};
use crate::handler::outgoing::Outgoing;
use crate::handler::{
    Handler, OnConnect, OnConnected, OnDisconnect, OnEvent, OnFilter, SharedHandler, erase,
};
use crate::server::broadcast::Broadcast;
use crate::server::server::{Server, ServerInner};
use crate::server::socket::Socket;
use crate::session::stats::count;
use sansocket_protocol::hub::{Hub, Target};
use sansocket_protocol::socket::Args;
use sansocket_protocol::socket::{Parser, ToArgs};
use std::fmt;
use std::future::Future;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard, Weak};
use std::time::Duration;

/// The handlers of a namespace. They belong to it and not to its sockets, so that a socket carries none.
#[derive(Clone, Default)]
pub(crate) struct Table {
    pub(crate) connect_middleware: Vec<SharedHandler<OnConnect>>,
    pub(crate) connect: Vec<SharedHandler<OnConnect>>,
    pub(crate) connected: Vec<SharedHandler<OnConnected>>,
    pub(crate) disconnect: Vec<SharedHandler<OnDisconnect>>,
    pub(crate) event_middleware: Vec<SharedHandler<OnFilter>>,
    pub(crate) any: Vec<SharedHandler<OnEvent>>,
    pub(crate) fallback: Vec<SharedHandler<OnEvent>>,
    /// In the order of their names' lengths, then of the names: most comparisons are then of two numbers.
    events: Vec<(Box<str>, Vec<Listener>)>,
}

#[derive(Clone)]
pub(crate) struct Listener {
    pub(crate) handler: SharedHandler<OnEvent>,
    pub(crate) runs: Runs,
}

/// How a listener runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Runs {
    /// In the session's task; the socket's next events wait for it.
    InLine,
    /// In a task of its own.
    Concurrent,
    /// In line, for the first such event of each socket. Sockets remember the number.
    Once(u64),
}

impl Table {
    /// The listeners of an event, in the order of their registration.
    pub(crate) fn listeners(&self, event: &[u8]) -> &[Listener] {
        match self.find(event) {
            Ok(at) => &self.events[at].1,
            Err(_) => &[],
        }
    }

    fn find(&self, event: &[u8]) -> Result<usize, usize> {
        self.events.binary_search_by(|(name, _)| {
            name.len().cmp(&event.len()).then_with(|| name.as_bytes().cmp(event))
        })
    }

    /// Whether an event goes straight to its listeners.
    pub(crate) fn is_plain(&self) -> bool {
        self.event_middleware.is_empty() && self.any.is_empty()
    }

    fn add(&mut self, event: &str, listener: Listener) {
        match self.find(event.as_bytes()) {
            Ok(at) => self.events[at].1.push(listener),
            Err(at) => self.events.insert(at, (event.into(), vec![listener])),
        }
    }
}

/// A table that can be changed while sockets use it; children of a dynamic namespace share one.
#[derive(Default)]
pub(crate) struct Handlers {
    table: RwLock<Arc<Table>>,
    version: AtomicU64,
    next_once: AtomicU64,
    pub(crate) outgoing: Outgoing<Socket>,
}

impl Handlers {
    /// The number of the present table: it changes with each registration.
    pub(crate) fn version(&self) -> u64 {
        self.version.load(Ordering::Acquire)
    }

    pub(crate) fn table(&self) -> Arc<Table> {
        self.table.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn change(&self, change: impl FnOnce(&mut Table)) {
        let before = {
            let mut table = self.table.write().unwrap_or_else(PoisonError::into_inner);
            let mut changed = Table::clone(&table);
            change(&mut changed);
            std::mem::replace(&mut *table, Arc::new(changed))
        };
        self.version.fetch_add(1, Ordering::Release);
        // Handlers are the application's: they are dropped without the lock.
        drop(before);
    }
}

pub(crate) struct NamespaceInner {
    pub(crate) name: Arc<str>,
    pub(crate) parser: Parser,
    pub(crate) handlers: Arc<Handlers>,
    hub: RwLock<Hub<Socket>>,
    broadcast_ack: AtomicU64,
    server: Weak<ServerInner>,
}

impl NamespaceInner {
    pub(crate) fn new(
        name: Arc<str>,
        parser: Parser,
        handlers: Arc<Handlers>,
        limits: sansocket_protocol::hub::HubLimits,
        server: Weak<ServerInner>,
    ) -> Arc<Self> {
        Arc::new(Self {
            name,
            parser,
            handlers,
            hub: RwLock::new(Hub::new(limits)),
            broadcast_ack: AtomicU64::new(1),
            server,
        })
    }

    pub(crate) fn hub(&self) -> RwLockReadGuard<'_, Hub<Socket>> {
        self.hub.read().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn hub_mut(&self) -> RwLockWriteGuard<'_, Hub<Socket>> {
        self.hub.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// An id for a broadcast's acknowledgements: odd, where those of single events are even.
    pub(crate) fn next_broadcast_ack(&self) -> u64 {
        self.broadcast_ack.fetch_add(2, Ordering::Relaxed)
    }

    /// A socket was not let into a room.
    pub(crate) fn room_refused(&self) {
        if let Some(server) = self.server.upgrade() {
            count(&server.host.counters.rooms);
        }
    }

    pub(crate) fn server(&self) -> Option<Server> {
        self.server.upgrade().map(Server)
    }
}

/// A namespace: its handlers, its sockets and its rooms. Cheap to clone.
///
/// Handlers may be registered at any time; what is registered later is in force for events that arrive later.
#[derive(Clone)]
pub struct Namespace(pub(crate) Arc<NamespaceInner>);

macro_rules! registrations {
    ($($(#[$doc:meta])* $name:ident -> $field:ident: $kind:ty;)*) => {
        $(
            $(#[$doc])*
            pub fn $name<Params: 'static>(&self, handler: impl Handler<$kind, Params>) -> &Self {
                let handler = erase(handler);
                self.handlers().change(|table| table.$field.push(handler));
                self
            }
        )*
    };
}

macro_rules! handler_methods {
    () => {
        registrations! {
            /// Runs when a client asks to join, before `on_connect`, in the order of registration. An error
            /// refuses the client, and what follows does not run.
            middleware -> connect_middleware: OnConnect;

            /// Runs when a client asks to join, before it gets its answer. An error refuses it: the client's
            /// `connect_error` has the message, and data if given. What is emitted to the socket here follows
            /// the answer, or is dropped with the refusal.
            on_connect -> connect: OnConnect;

            /// Runs when a client has joined and was told so.
            on_connected -> connected: OnConnected;

            /// Runs when a client has left, after all its events; its rooms are still there to be seen.
            on_disconnect -> disconnect: OnDisconnect;

            /// Runs before the handlers of every event. An error goes to the error hook, and the event no
            /// further.
            event_middleware -> event_middleware: OnFilter;

            /// Runs for every event, before its handlers. What it returns is no acknowledgement.
            on_any -> any: OnEvent;

            /// Runs for events that have no handler of their own.
            on_fallback -> fallback: OnEvent;
        }

        /// Runs when the client emits `event`. Its return value is the acknowledgement. Several handlers of one
        /// event run in the order of registration, and the first value acknowledges.
        ///
        /// The events of one socket are handled one after the other: while this handler awaits, the next ones
        /// of the same client in this namespace wait.
        pub fn on<Params: 'static>(&self, event: &str, handler: impl Handler<OnEvent, Params>) -> &Self {
            let listener = Listener { handler: erase(handler), runs: Runs::InLine };
            self.handlers().change(|table| table.add(event, listener));
            self
        }

        /// As [`on`](Self::on), but the handler runs in a task of its own, and the client's next events do not
        /// wait for it. At most the builder's `max_concurrent` run at once; beyond
        /// that it runs in line.
        pub fn on_concurrent<Params: 'static>(
            &self,
            event: &str,
            handler: impl Handler<OnEvent, Params>,
        ) -> &Self {
            let listener = Listener { handler: erase(handler), runs: Runs::Concurrent };
            self.handlers().change(|table| table.add(event, listener));
            self
        }

        /// As [`on`](Self::on), but only for the first `event` of each socket: each client that joins has its own
        /// first one. Its later ones are as if this handler were not there. Whatever became of the first one counts,
        /// also arguments that did not fit; an event that middleware stopped never came here.
        pub fn once<Params: 'static>(&self, event: &str, handler: impl Handler<OnEvent, Params>) -> &Self {
            let number = self.handlers().next_once.fetch_add(1, Ordering::Relaxed);
            let listener = Listener { handler: erase(handler), runs: Runs::Once(number) };
            self.handlers().change(|table| table.add(event, listener));
            self
        }

        /// Removes all handlers of `event`.
        pub fn off(&self, event: &str) -> &Self {
            self.handlers().change(|table| table.events.retain(|(name, _)| **name != *event));
            self
        }

        /// Removes all handlers registered with [`on_any`](Self::on_any).
        pub fn off_any(&self) -> &Self {
            self.handlers().change(|table| table.any.clear());
            self
        }

        /// Removes all handlers registered with [`on_fallback`](Self::on_fallback).
        pub fn off_fallback(&self) -> &Self {
            self.handlers().change(|table| table.fallback.clear());
            self
        }

        /// Shows every event that is emitted to a socket here, once it is queued, whoever emits it: for logs and
        /// counts. The arguments are as the client gets them; `args.event()` is the name. A broadcast is shown once
        /// for each socket, but is encoded once all the same. Acknowledgements are no events.
        ///
        /// It runs where the event is emitted, so it must not block. What it emits itself is shown to it, too. While
        /// there is no such hook, this costs nothing.
        pub fn on_any_outgoing(&self, hook: impl Fn(&Socket, &Args) + Send + Sync + 'static) -> &Self {
            self.handlers().outgoing.add(hook);
            self
        }

        /// Removes all hooks registered with [`on_any_outgoing`](Self::on_any_outgoing).
        pub fn off_any_outgoing(&self) -> &Self {
            self.handlers().outgoing.clear();
            self
        }
    };
}

impl Namespace {
    handler_methods!();

    fn handlers(&self) -> &Handlers {
        &self.0.handlers
    }

    /// Its name: `/`, or `/chat`.
    pub fn name(&self) -> &str {
        &self.0.name
    }

    /// The server it belongs to; `None` once that is gone.
    pub fn server(&self) -> Option<Server> {
        self.0.server()
    }

    /// All its sockets, as the target of a broadcast.
    pub fn broadcast(&self) -> Broadcast {
        Broadcast::new(self.0.clone(), Target::all())
    }

    /// The sockets in a room, as the target of a broadcast. A socket's id is the name of a room with it alone.
    pub fn to(&self, room: &str) -> Broadcast {
        self.broadcast().to(room)
    }

    /// All sockets but those in a room, as the target of a broadcast.
    pub fn except(&self, room: &str) -> Broadcast {
        self.broadcast().except(room)
    }

    /// Emits an event to all sockets.
    ///
    /// # Errors
    /// [`EmitError::Encode`].
    pub fn emit<T: ToArgs + ?Sized>(&self, event: &str, args: &T) -> Result<(), EmitError> {
        self.broadcast().emit(event, args)
    }

    /// Emits an event to all sockets, and collects their acknowledgements: see [`Broadcast::emit_with_ack`].
    pub fn emit_with_ack<T: ToArgs + ?Sized>(
        &self,
        event: &str,
        args: &T,
        timeout: Duration,
    ) -> impl Future<Output = Result<Vec<Args>, BroadcastAckError>> + Send + 'static + use<T> {
        self.broadcast().emit_with_ack(event, args, timeout)
    }

    /// The socket of that id.
    pub fn socket(&self, id: &str) -> Option<Socket> {
        let socket = self.0.hub().by_id(id).map(|(_, socket)| socket.clone());
        socket.filter(Socket::is_joined)
    }

    /// All its sockets.
    pub fn sockets(&self) -> Vec<Socket> {
        self.broadcast().sockets()
    }

    /// How many clients are connected to it, those included that are just joining.
    pub fn len(&self) -> usize {
        self.0.hub().len()
    }

    /// Whether nobody is connected to it.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Its rooms, without those that are only a socket's id.
    pub fn rooms(&self) -> Vec<Arc<str>> {
        self.0.hub().rooms().cloned().collect()
    }

    /// Takes everybody out of a room.
    pub fn close_room(&self, room: &str) {
        self.0.hub_mut().close_room(room);
    }
}

impl fmt::Debug for Namespace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Namespace").field(&self.0.name).finish()
    }
}

/// Namespaces that come to be when a client asks for one whose name matches. They share their handlers, which
/// are registered here; each has its own sockets and rooms.
#[derive(Clone)]
pub struct DynamicNamespace(pub(crate) Arc<Dynamic>);

pub(crate) struct Dynamic {
    pub(crate) matches: Box<dyn Fn(&str) -> bool + Send + Sync>,
    pub(crate) handlers: Arc<Handlers>,
}

impl DynamicNamespace {
    handler_methods!();

    fn handlers(&self) -> &Handlers {
        &self.0.handlers
    }
}

impl fmt::Debug for DynamicNamespace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("DynamicNamespace(..)")
    }
}

/// Whether `name` fits `pattern`, in which `*` stands for any number of characters.
pub(crate) fn fits(pattern: &str, name: &str) -> bool {
    let mut parts = pattern.split('*');
    let Some(mut rest) = parts.next().and_then(|first| name.strip_prefix(first)) else { return false };
    let mut last = None;
    for part in parts {
        if let Some(before) = last.replace(part) {
            match rest.find(before) {
                Some(at) => rest = &rest[at + before.len()..],
                None => return false,
            }
        }
    }
    last.map_or(rest.is_empty(), |last| rest.ends_with(last))
}

#[cfg(test)]
mod tests {
    use super::fits;

    #[test]
    fn a_star_in_a_pattern_stands_for_anything() {
        for (pattern, name, fit) in [
            ("/room", "/room", true),
            ("/room", "/rooms", false),
            ("/room-*", "/room-1", true),
            ("/room-*", "/room-", true),
            ("/room-*", "/hall-1", false),
            ("/*/chat", "/a/chat", true),
            ("/*/chat", "/chat", false),
            ("/a*b*c", "/a1b2c", true),
            ("/a*b*c", "/acb", false),
            ("/ab*ba", "/aba", false),
            ("*", "/anything", true),
        ] {
            assert_eq!(fits(pattern, name), fit, "{pattern} {name}");
        }
    }
}
