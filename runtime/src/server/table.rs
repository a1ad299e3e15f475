//! The handlers of a server's namespaces, and the methods that register them.

use crate::handler::error_hook::ErrorHook;
use crate::handler::extract::Requirements;
use crate::handler::listener::{ListenerHandle, add_listener};
use crate::handler::outgoing_hook::Outgoing;
use crate::handler::table::{EventTable, SharedTable};
use crate::handler::{
    Kind, OnConnect, OnConnected, OnDisconnect, OnDisconnecting, OnEvent, OnFilter, SharedHandler,
};
use crate::server::socket::Socket;
#[cfg(feature = "admin")]
use sansocket_protocol::socket::Args;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, RwLock};

/// The handlers of a namespace by kind. They belong to it and not to its sockets, which carry no handlers.
#[derive(Clone, Default)]
pub(crate) struct ServerTable {
    pub(crate) connect_middleware: Vec<SharedHandler<OnConnect>>,
    pub(crate) connect: Vec<SharedHandler<OnConnect>>,
    pub(crate) connected: Vec<SharedHandler<OnConnected>>,
    pub(crate) disconnecting: Vec<SharedHandler<OnDisconnecting>>,
    pub(crate) disconnect: Vec<SharedHandler<OnDisconnect>>,
    pub(crate) event_middleware: Vec<SharedHandler<OnFilter>>,
    pub(crate) events: EventTable<OnEvent>,
    /// Sees every event before all others, and no `off` removes it.
    #[cfg(feature = "admin")]
    pub(crate) watch: Option<Watch>,
    /// Something stands before the listeners of an event.
    is_filtered: bool,
}

/// A function that sees the events of sockets.
#[cfg(feature = "admin")]
pub(crate) type Watch = Arc<dyn Fn(&Socket, &Args) + Send + Sync>;

impl ServerTable {
    /// This table, with the handlers of another one where it has none.
    fn with_stand_ins(&self, any: &Self) -> Self {
        fn of<T: Clone>(own: &[T], any: &[T]) -> Vec<T> {
            if own.is_empty() { any.to_vec() } else { own.to_vec() }
        }
        Self {
            connect_middleware: of(&self.connect_middleware, &any.connect_middleware),
            connect: of(&self.connect, &any.connect),
            connected: of(&self.connected, &any.connected),
            disconnecting: of(&self.disconnecting, &any.disconnecting),
            disconnect: of(&self.disconnect, &any.disconnect),
            event_middleware: of(&self.event_middleware, &any.event_middleware),
            events: self.events.with_stand_ins(&any.events),
            #[cfg(feature = "admin")]
            watch: self.watch.clone(),
            is_filtered: false,
        }
        .settled()
    }

    /// Notes what follows from the handlers, once they have changed.
    fn settled(mut self) -> Self {
        self.settle();
        self
    }

    fn settle(&mut self) {
        self.is_filtered = !self.event_middleware.is_empty() || !self.events.any.is_empty();
        #[cfg(feature = "admin")]
        {
            self.is_filtered |= self.watch.is_some();
        }
    }

    /// The needs of all these handlers.
    pub(crate) fn requirements(&self, requirements: &mut Requirements) {
        fn of<K: Kind>(handlers: &[SharedHandler<K>], requirements: &mut Requirements) {
            handlers.iter().for_each(|handler| handler.requires(requirements));
        }
        of(&self.connect_middleware, requirements);
        of(&self.connect, requirements);
        of(&self.connected, requirements);
        of(&self.disconnecting, requirements);
        of(&self.disconnect, requirements);
        of(&self.event_middleware, requirements);
        self.events.requirements(requirements);
    }

    /// Returns whether an event goes straight to its listeners.
    pub(crate) fn is_plain(&self) -> bool {
        !self.is_filtered
    }
}

/// The handlers of a namespace, and those that stand in where it has none.
struct Composed {
    own: ServerTable,
    any: Arc<ServerTable>,
}

/// The handlers of a namespace, or of all children of a dynamic one.
#[derive(Default)]
pub(crate) struct NamespaceHandlers {
    pub(crate) table: SharedTable<ServerTable>,
    /// Where handlers stand in for those that are not here: those that are, by themselves.
    composed: Mutex<Option<Box<Composed>>>,
    /// Of the handlers that stand in: hands a change on.
    pub(super) on_change: OnceLock<Box<dyn Fn() + Send + Sync>>,
    pub(crate) outgoing: Outgoing<Socket>,
    on_error: RwLock<Option<ErrorHook<Socket>>>,
    /// The pattern of a dynamic namespace's names, if it has one.
    pub(crate) pattern: Option<Box<str>>,
}

impl NamespaceHandlers {
    /// Those of the namespaces whose names fit a pattern.
    pub(crate) fn of_pattern(pattern: Option<Box<str>>) -> Self {
        Self { pattern, ..Self::default() }
    }

    /// The number of a new listener that runs once.
    pub(crate) fn next_once(&self) -> u64 {
        // Numbers of all namespaces: handlers may stand in for others.
        static NEXT: AtomicU64 = AtomicU64::new(0);
        NEXT.fetch_add(1, Ordering::Relaxed)
    }

    fn composed(&self) -> MutexGuard<'_, Option<Box<Composed>>> {
        self.composed.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn change(&self, change: impl FnOnce(&mut ServerTable)) {
        let mut composed = self.composed();
        let before = match &mut *composed {
            None => self.table.change(|table| {
                change(table);
                table.settle();
            }),
            Some(composed) => {
                change(&mut composed.own);
                self.table.change(|table| *table = composed.own.with_stand_ins(&composed.any))
            }
        };
        drop(composed);
        // It holds what was removed, which is dropped without a lock.
        drop(before);
        if let Some(hand_on) = self.on_change.get() {
            hand_on();
        }
    }

    /// Lets an observer see every event that comes and goes, once: another one changes nothing.
    #[cfg(feature = "admin")]
    pub(crate) fn watch(&self, received: &Watch, sent: &Watch) {
        let mut is_new = false;
        self.change(|table| {
            is_new = table.watch.is_none();
            table.watch.get_or_insert_with(|| received.clone());
        });
        if is_new {
            self.outgoing.add_lasting(sent.clone());
        }
    }

    /// Lets these handlers stand in for those that are not here.
    pub(crate) fn stand_in(&self, any: Arc<ServerTable>) {
        let mut composed = self.composed();
        let own = match composed.take() {
            Some(composed) => composed.own,
            None => ServerTable::clone(&self.table.get()),
        };
        let before = self.table.change(|table| *table = own.with_stand_ins(&any));
        *composed = Some(Box::new(Composed { own, any }));
        drop(composed);
        drop(before);
    }

    pub(crate) fn add_listener(
        self: Arc<Self>,
        event: &str,
        handler: SharedHandler<OnEvent>,
        first: bool,
    ) -> ListenerHandle {
        add_listener(&self, event, handler, first, |handlers, change| {
            handlers.change(|table| change(&mut table.events));
        })
    }

    /// The hook for errors in this namespace, if it has one of its own.
    pub(crate) fn error_hook(&self) -> Option<ErrorHook<Socket>> {
        self.on_error.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(crate) fn set_error_hook(&self, hook: Option<ErrorHook<Socket>>) {
        let before =
            std::mem::replace(&mut *self.on_error.write().unwrap_or_else(PoisonError::into_inner), hook);
        // What it has captured is the application's: it is dropped without the lock.
        drop(before);
    }

    /// Drops all of them.
    pub(crate) fn clear(&self) {
        let composed = self.composed().take();
        drop(composed);
        self.change(|table| *table = ServerTable::default());
        self.outgoing.drop_all();
        self.set_error_hook(None);
    }
}

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

/// The error hook of a namespace, or of the children of a dynamic one.
macro_rules! error_hook {
    () => {
        /// Sets the hook for errors in the handlers of this namespace, in place of the server's
        /// ([`Server::on_error`](crate::Server::on_error), which says more) and of the hook before.
        pub fn on_error(&self, hook: impl Fn(&Socket, &HandlerFailure) + Send + Sync + 'static) -> &Self {
            self.on_error_reply(hook)
        }

        /// As [`on_error`](Self::on_error), with a hook whose value acknowledges the event; see
        /// [`Server::on_error_reply`](crate::Server::on_error_reply).
        pub fn on_error_reply<R: IntoAck>(
            &self,
            hook: impl Fn(&Socket, &HandlerFailure) -> R + Send + Sync + 'static,
        ) -> &Self {
            self.handlers().set_error_hook(Some(ErrorHook::new(hook)));
            self
        }
    };
}

macro_rules! handler_methods {
    () => {
        registrations! {
            /// Runs when a client asks to join, before `on_connect`, in the order of registration. An error
            /// refuses the client, and the handlers that follow do not run.
            middleware -> connect_middleware: OnConnect;

            /// Runs when a client asks to join, before it gets its answer. An error refuses the client: its
            /// `connect_error` has the message, and data if given. Events that are emitted to the socket here
            /// follow the answer, or are dropped with the refusal.
            ///
            /// Joining and leaving come in pairs. It does not run for a client that went away while middleware
            /// awaited. Once it has run and not refused the client, `on_connected`, `on_disconnecting` and
            /// `on_disconnect` follow, even if the client goes away meanwhile. For a client that is refused (by an
            /// error, by a panic, or by [`Socket::disconnect`](crate::Socket::disconnect) before it has joined) none
            /// of them runs. Handlers that the end of a shutdown's patience cuts off are not run either.
            on_connect -> connect: OnConnect;

            /// Runs when a client has joined and been told so. It may have gone away meanwhile.
            on_connected -> connected: OnConnected;

            /// Runs when a client has gone away, after all its events and before `on_disconnect`, while the socket is
            /// still in its rooms: [`Socket::rooms`](crate::Socket::rooms) has them.
            on_disconnecting -> disconnecting: OnDisconnecting;

            /// Runs when a client has left: after all its events, and after `on_disconnecting`. The socket is in no
            /// room any more, and no list has it. Of several sockets that leave at once, the last one finds nobody
            /// there: to be told of that exactly once, extract [`EmptiedRooms`](crate::EmptiedRooms).
            on_disconnect -> disconnect: OnDisconnect;

            /// Runs before the handlers of every event. An error goes to the error hook, and the event goes to no
            /// handler. An [`EventFlow`](crate::EventFlow) ends the event without an error, answers it, or puts
            /// another in its place.
            event_middleware -> event_middleware: OnFilter;
        }

        /// Runs for every event, before its handlers. Its return value is not an acknowledgement.
        pub fn on_any<Params: 'static>(&self, handler: impl Handler<OnEvent, Params>) -> &Self {
            let handler = erase(handler);
            self.handlers().change(|table| table.events.any.push(handler));
            self
        }

        /// Runs for events that have no handler of their own.
        pub fn on_fallback<Params: 'static>(&self, handler: impl Handler<OnEvent, Params>) -> &Self {
            let listener = Listener::in_line(erase(handler));
            self.handlers().change(|table| table.events.fallback.push(listener));
            self
        }

        /// Runs when the client emits `event`. Its return value is the acknowledgement. Several handlers of one
        /// event run in the order of registration, and the first value acknowledges.
        ///
        /// The events of one socket are handled one after the other: while this handler awaits, the next ones
        /// of the same client in this namespace wait.
        ///
        /// # Panics
        /// If `event` is a name that no client may send, such as `connect` or `disconnect`: the message says which
        /// method to use.
        #[track_caller]
        pub fn on<Params: 'static>(&self, event: &str, handler: impl Handler<OnEvent, Params>) -> &Self {
            check_event(End::Server, event);
            let listener = Listener::in_line(erase(handler));
            self.handlers().change(|table| table.events.add(event, listener));
            self
        }

        /// Runs when the client emits `message`, as `send` does: [`on`](Self::on) of that name.
        pub fn on_message<Params: 'static>(&self, handler: impl Handler<OnEvent, Params>) -> &Self {
            self.on(crate::handler::ack::MESSAGE, handler)
        }

        /// Runs when the client emits that [typed event](crate::TypedEvent): extractors, then the payload. Otherwise as
        /// [`on`](Self::on).
        ///
        /// # Panics
        /// As [`on`](Self::on).
        #[track_caller]
        pub fn on_typed<E: TypedEvent, Params: 'static>(
            &self,
            _: E,
            handler: impl TypedHandler<E, OnEvent, Params>,
        ) -> &Self {
            check_event(End::Server, E::NAME);
            let listener = Listener::in_line(erase_typed::<E, OnEvent, Params>(handler));
            self.handlers().change(|table| table.events.add(E::NAME, listener));
            self
        }

        /// As [`on`](Self::on), but the handler runs in a task of its own, and the client's next events do not
        /// wait for it. At most the builder's `max_concurrent` run at once; beyond that it runs in line.
        ///
        /// # Panics
        /// As [`on`](Self::on).
        #[track_caller]
        pub fn on_concurrent<Params: 'static>(
            &self,
            event: &str,
            handler: impl Handler<OnEvent, Params>,
        ) -> &Self {
            check_event(End::Server, event);
            let listener = Listener { handler: erase(handler), runs: Runs::Concurrent };
            self.handlers().change(|table| table.events.add(event, listener));
            self
        }

        /// As [`on`](Self::on), but only for the first `event` of each socket: each client that joins has its own
        /// first one. Later ones are handled as if this handler were not there. The first event counts whatever
        /// became of it, even if its arguments did not fit; one that middleware stopped does not count.
        ///
        /// # Panics
        /// As [`on`](Self::on).
        #[track_caller]
        pub fn once<Params: 'static>(&self, event: &str, handler: impl Handler<OnEvent, Params>) -> &Self {
            check_event(End::Server, event);
            let number = self.handlers().next_once();
            let listener = Listener { handler: erase(handler), runs: Runs::Once(number) };
            self.handlers().change(|table| table.events.add(event, listener));
            self
        }

        /// As [`on`](Self::on), and returns a handle by which this one handler is removed.
        ///
        /// # Panics
        /// As [`on`](Self::on).
        #[track_caller]
        pub fn add_listener<Params: 'static>(
            &self,
            event: &str,
            handler: impl Handler<OnEvent, Params>,
        ) -> ListenerHandle {
            check_event(End::Server, event);
            self.handlers().clone().add_listener(event, erase(handler), false)
        }

        /// As [`add_listener`](Self::add_listener), before the handlers of `event` that are registered already.
        ///
        /// # Panics
        /// As [`on`](Self::on).
        #[track_caller]
        pub fn prepend_listener<Params: 'static>(
            &self,
            event: &str,
            handler: impl Handler<OnEvent, Params>,
        ) -> ListenerHandle {
            check_event(End::Server, event);
            self.handlers().clone().add_listener(event, erase(handler), true)
        }

        /// Removes all handlers of `event`. For a single one, see [`add_listener`](Self::add_listener).
        pub fn off(&self, event: &str) -> &Self {
            self.handlers().change(|table| table.events.remove(event));
            self
        }

        /// Removes all handlers registered with [`on_any`](Self::on_any).
        pub fn off_any(&self) -> &Self {
            self.handlers().change(|table| table.events.any.clear());
            self
        }

        /// Removes all handlers registered with [`on_fallback`](Self::on_fallback).
        pub fn off_fallback(&self) -> &Self {
            self.handlers().change(|table| table.events.fallback.clear());
            self
        }
    };
}

/// The hooks for the events that a namespace emits.
macro_rules! outgoing_methods {
    () => {
        /// Adds a hook that sees every event that is emitted to a socket here, once it is queued: for logs and counts.
        /// The arguments are as the client gets them; `args.event()` is the name. A broadcast is shown once for each
        /// socket, but encoded once all the same. Acknowledgements are not events.
        ///
        /// The hook runs where the event is emitted, so it must not block. It also sees the events that it emits
        /// itself. Without a hook, this costs nothing.
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

pub(crate) use {error_hook, handler_methods, outgoing_methods, registrations};
