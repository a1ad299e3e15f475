//! The handlers of one socket, beside those of its namespace.

use crate::base::trace::warning;
use crate::handler::listener::{HandlerId, ListenerHandle};
use crate::handler::reserved::{End, check_event};
use crate::handler::table::{EventTable, Listener, Runs};
use crate::handler::{Handler, OnEvent, SharedHandler, erase};
use crate::server::socket::{Socket, SocketInner};
use sansocket_protocol::socket::Args;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// The handlers of one socket. They are kept beside the application's values, so that a socket without any carries nothing
/// for them, and dropped when it has gone: they may have captured the socket itself.
#[derive(Default)]
pub(crate) struct OwnHandlers(Mutex<EventTable<OnEvent>>);

/// So many handlers of one socket for one event are told of, once: perhaps something adds one at each event.
const MANY: usize = 100;

/// The handlers of one socket for one event.
pub(crate) struct OwnListeners {
    pub(crate) any: Vec<SharedHandler<OnEvent>>,
    pub(crate) listeners: Vec<Listener<OnEvent>>,
}

impl OwnHandlers {
    fn lock(&self) -> MutexGuard<'_, EventTable<OnEvent>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Handlers of this socket alone, which run after those of its namespace: for those whose captured values belong to one
/// client. They end with the socket; a client that comes back is another socket, and joins by `on_connect` again.
///
/// ```
/// use sansocket_runtime::{Data, Server, Socket};
/// use std::sync::Arc;
/// use std::sync::atomic::{AtomicU32, Ordering};
///
/// fn register(io: &Server) {
///     io.on_connect(async |socket: Socket| {
///         let score = Arc::new(AtomicU32::new(0));
///         socket.on("hit", move |Data(points): Data<u32>| {
///             let score = score.clone();
///             async move { score.fetch_add(points, Ordering::Relaxed) + points }
///         });
///     });
/// }
/// ```
impl Socket {
    /// The handlers of this socket, made if there are none. `None` if the socket has gone.
    fn own_handlers(&self) -> Option<Arc<OwnHandlers>> {
        let mut data = self.data();
        if self.is_gone() {
            return None;
        }
        let own = data.get::<OwnHandlers>().unwrap_or_else(|| {
            let own = Arc::<OwnHandlers>::default();
            data.insert(own.clone());
            own
        });
        self.0.note_own_handlers();
        Some(own)
    }

    /// The handlers of this socket, if it has had any.
    fn present_own(&self) -> Option<Arc<OwnHandlers>> {
        if self.has_own() { self.data().get() } else { None }
    }

    /// Adds a handler of `event`, or one that sees every event.
    fn add_handler(&self, event: Option<&str>, listener: Listener<OnEvent>) -> &Self {
        let Some(own) = self.own_handlers() else { return self };
        let mut table = own.lock();
        let count = match event {
            Some(event) => {
                table.add(event, listener);
                table.listeners(event.as_bytes()).len()
            }
            None => {
                table.any.push(listener.handler);
                table.any.len()
            }
        };
        drop(table);
        if count == MANY {
            warning!(
                socket = self.id(),
                event,
                "a socket has {MANY} handlers of its own for one event: are they added again and again?"
            );
        }
        self
    }

    /// Runs when this client emits `event`, after the namespace's handlers of it. Otherwise as
    /// [`Namespace::on`](crate::Namespace::on). After the client has gone this does nothing.
    ///
    /// Handlers are added, not replaced: register them in `on_connect`, and not where an event may do it again and again.
    /// A socket with 100 of one event is a warning of `tracing`.
    ///
    /// # Panics
    /// As [`Namespace::on`](crate::Namespace::on).
    #[track_caller]
    pub fn on<Params: 'static>(&self, event: &str, handler: impl Handler<OnEvent, Params>) -> &Self {
        check_event(End::Server, event);
        let listener = Listener::in_line(erase(handler));
        self.add_handler(Some(event), listener)
    }

    #[track_caller]
    pub(super) fn add_own(&self, event: &str, listener: Listener<OnEvent>) -> &Self {
        check_event(End::Server, event);
        self.add_handler(Some(event), listener)
    }

    /// As [`on`](Self::on), for the next `event` only: the handler is then removed.
    ///
    /// # Panics
    /// As [`on`](Self::on).
    #[track_caller]
    pub fn once<Params: 'static>(&self, event: &str, handler: impl Handler<OnEvent, Params>) -> &Self {
        check_event(End::Server, event);
        let listener = Listener { handler: erase(handler), runs: Runs::Once(0) };
        self.add_handler(Some(event), listener)
    }

    /// Runs for every event of this client, before its handlers. Its return value is not an acknowledgement.
    pub fn on_any<Params: 'static>(&self, handler: impl Handler<OnEvent, Params>) -> &Self {
        self.add_handler(None, Listener::in_line(erase(handler)))
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
        let handler = erase(handler);
        let (id, event) = (HandlerId::of(&handler), event.to_owned());
        self.add_handler(Some(&event), Listener::in_line(handler));
        let socket = Arc::downgrade(&self.0);
        ListenerHandle::new(move || {
            let Some(own) = socket.upgrade().and_then(|socket| Socket(socket).present_own()) else {
                return false;
            };
            let removed = own.lock().take_one(&event, &id);
            // What it has captured is dropped without the lock.
            removed.is_some()
        })
    }

    /// Removes all handlers of `event` that this socket has. Those of its namespace stay.
    pub fn off(&self, event: &str) -> &Self {
        let removed = self.present_own().map(|own| own.lock().take(event));
        // What they have captured is dropped without the lock.
        drop(removed);
        self
    }

    /// Removes all handlers of [`on_any`](Self::on_any) that this socket has.
    pub fn off_any(&self) -> &Self {
        let removed = self.present_own().map(|own| std::mem::take(&mut own.lock().any));
        drop(removed);
        self
    }

    /// Returns whether one of the socket's own handlers is for that event.
    pub(crate) fn has_own_for(&self, event: &[u8]) -> bool {
        self.present_own().is_some_and(|own| {
            let table = own.lock();
            !(table.any.is_empty() && table.listeners(event).is_empty())
        })
    }

    /// The socket's own handlers of an event that is handled now. Those that run once are removed before they run.
    pub(crate) fn begin_own(&self, args: &Args) -> Option<OwnListeners> {
        let event = &*args.event_bytes()?;
        let own = self.present_own()?;
        let mut table = own.lock();
        let listeners = table.listeners(event).to_vec();
        if table.any.is_empty() && listeners.is_empty() {
            return None;
        }
        if table.has_once(event) {
            table.remove_once(event);
        }
        let listeners = listeners
            .into_iter()
            .map(|listener| match listener.runs {
                // It is decided: nobody counts it again.
                Runs::Once(_) => Listener::in_line(listener.handler),
                Runs::InLine | Runs::Concurrent => listener,
            })
            .collect();
        Some(OwnListeners { any: table.any.clone(), listeners })
    }

    /// Drops the socket's own handlers: it has gone. Whoever is just adding one has not seen that yet, or has added it:
    /// both happen under the lock of the socket's data.
    pub(super) fn drop_own(&self) {
        let own = self.data().remove::<OwnHandlers>();
        drop(own);
    }
}

impl SocketInner {
    fn note_own_handlers(&self) {
        self.has_own.store(true, std::sync::atomic::Ordering::Release);
    }
}

#[cfg(all(test, feature = "testing"))]
mod tests {
    use super::*;
    use crate::testing::TestServer;
    use std::future::ready;

    #[test]
    fn handlers_that_are_just_being_added_are_dropped_with_the_socket() {
        let test = TestServer::default();
        let client = test.client("/");
        let socket = test.server().socket(&client.id()).expect("it is connected");
        let captured = Arc::new(());
        let held = captured.clone();
        let handler = erase::<OnEvent, _>(move || {
            let _ = &held;
            ready(())
        });
        // Another thread has put them in, and has not said so yet.
        let own = Arc::<OwnHandlers>::default();
        own.lock().add("late", Listener::in_line(handler));
        socket.data().insert(own);
        assert!(!socket.has_own());
        client.disconnect();
        assert!(socket.is_gone());
        assert_eq!(Arc::strong_count(&captured), 1);
    }

    #[test]
    fn to_look_for_handlers_of_a_socket_makes_none() {
        let test = TestServer::default();
        let client = test.client("/");
        let socket = test.server().socket(&client.id()).expect("it is connected");
        socket.off("x").off_any();
        assert!(!socket.has_own());
        let listener = socket.add_listener("x", || ready(()));
        assert!(socket.has_own_for(b"x") && !socket.has_own_for(b"y"));
        assert!(listener.remove());
        assert!(!socket.has_own_for(b"x"));
    }
}
