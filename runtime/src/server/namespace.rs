//! Namespaces: their sockets, rooms and handlers.

use crate::base::error::{BroadcastAckError, EmitError, HandlerFailure};
#[cfg(feature = "cluster")]
use crate::cluster::Membership;
use crate::handler::ack::IntoAck;
use crate::handler::encoder::Encoder;
use crate::handler::error_hook::ErrorHook;
use crate::handler::listener::ListenerHandle;
use crate::handler::reserved::{End, check_event};
use crate::handler::table::{Listener, Runs};
use crate::handler::timed::Timed;
use crate::handler::typed::{TypedEvent, TypedHandler, erase_typed};
use crate::handler::{
    Handler, OnConnect, OnConnected, OnDisconnect, OnDisconnecting, OnEvent, OnFilter, erase,
};
use crate::server::answers::{Answer, Answers};
use crate::server::broadcast::Broadcast;
use crate::server::broadcast_methods::broadcast_methods;
use crate::server::recoverable::Recoverable;
use crate::server::recovery::{Recorder, Recovery};
use crate::server::room_events::{HubMut, RoomEvents};
use crate::server::rooms::Rooms;
use crate::server::server::{Server, ServerInner};
#[cfg(feature = "cluster")]
use crate::server::server_side::ServerSide;
use crate::server::slices::UnsentBroadcasts;
use crate::server::socket::Socket;
use crate::server::table::{NamespaceHandlers, error_hook, handler_methods, outgoing_methods, registrations};
use crate::session::stats::count;
use sansocket_protocol::hub;
use sansocket_protocol::hub::{Hub, HubError, HubLimits, MemberKey, RoomEvent, Target};
use sansocket_protocol::socket::{Args, ToArgs};
use serde::de::DeserializeOwned;
use std::fmt;
use std::future::Future;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock, PoisonError, RwLock, RwLockReadGuard, Weak};
use std::time::Duration;

pub(crate) struct NamespaceInner {
    pub(crate) name: Arc<str>,
    pub(crate) encoder: Arc<Encoder>,
    pub(crate) handlers: Arc<NamespaceHandlers>,
    hub: RwLock<Hub<Socket>>,
    /// The sockets that are out of the hub, and whose disconnect handlers run. Changed under the hub's lock when one
    /// comes to it.
    leaving: AtomicUsize,
    broadcast_ack: AtomicU64,
    /// Of a child of a dynamic namespace: whether it is in the registry's list of idle ones.
    listed_as_idle: Option<AtomicBool>,
    /// The hooks for the changes of rooms, if there are any.
    pub(super) room_events: OnceLock<Box<RoomEvents>>,
    /// `None` without connection state recovery.
    recorder: Option<Box<Recorder>>,
    /// The broadcasts that have recipients left, but those of the recorder.
    pub(super) unsent: UnsentBroadcasts,
    server: Weak<ServerInner>,
    #[cfg(feature = "cluster")]
    pub(crate) membership: Option<Membership>,
    #[cfg(feature = "cluster")]
    pub(crate) server_side: std::sync::OnceLock<Box<ServerSide>>,
}

impl NamespaceInner {
    pub(crate) fn new(
        name: Arc<str>,
        encoder: Arc<Encoder>,
        handlers: Arc<NamespaceHandlers>,
        limits: HubLimits,
        is_child: bool,
        recovery: Option<Arc<Recovery>>,
        server: Weak<ServerInner>,
    ) -> Self {
        Self {
            encoder,
            name,
            handlers,
            hub: RwLock::new(Hub::new(limits)),
            leaving: AtomicUsize::new(0),
            broadcast_ack: AtomicU64::new(1),
            listed_as_idle: is_child.then(AtomicBool::default),
            room_events: OnceLock::new(),
            recorder: recovery.map(|recovery| Box::new(Recorder::new(recovery))),
            unsent: UnsentBroadcasts::default(),
            server,
            #[cfg(feature = "cluster")]
            membership: None,
            #[cfg(feature = "cluster")]
            server_side: std::sync::OnceLock::new(),
        }
    }

    pub(crate) fn hub(&self) -> RwLockReadGuard<'_, Hub<Socket>> {
        self.hub.read().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn hub_mut(&self) -> HubMut<'_> {
        HubMut::new(self.hub.write().unwrap_or_else(PoisonError::into_inner), self)
    }

    /// Drops all handlers of the application.
    pub(crate) fn drop_handlers(&self) {
        self.handlers.clear();
        if let Some(events) = self.room_events.get() {
            events.clear();
        }
        #[cfg(feature = "cluster")]
        if let Some(server_side) = self.server_side.get() {
            server_side.clear();
        }
    }

    /// Sends what broadcasts have left to send, and has those that follow wait no more: the server shuts down.
    pub(crate) fn finish_broadcasts(&self) {
        let recorded = self.recorder().map(|recorder| recorder.unsent.close());
        drop((recorded, self.unsent.close()));
    }

    /// The recorder of events and rooms for connection state recovery.
    pub(crate) fn recorder(&self) -> Option<&Recorder> {
        self.recorder.as_deref()
    }

    /// Takes a socket out of the hub; its disconnect handlers follow. Returns the rooms that ended with it.
    pub(crate) fn begin_leaving(&self, key: MemberKey, recoverable: Option<&Recoverable>) -> Vec<Arc<str>> {
        let hub = self.hub_mut();
        self.leaving.fetch_add(1, Ordering::AcqRel);
        let emptied = hub.rooms_with_only(key);
        self.detach(hub, key, recoverable, &emptied);
        emptied
    }

    /// Takes a socket out of the hub, for good.
    pub(crate) fn remove(&self, key: MemberKey, recoverable: Option<&Recoverable>) {
        let hub = self.hub_mut();
        #[cfg(feature = "cluster")]
        let emptied = if self.membership.is_some() { hub.rooms_with_only(key) } else { Vec::new() };
        #[cfg(not(feature = "cluster"))]
        let emptied = Vec::new();
        self.detach(hub, key, recoverable, &emptied);
    }

    fn detach(
        &self,
        mut hub: HubMut<'_>,
        key: MemberKey,
        recoverable: Option<&Recoverable>,
        #[cfg_attr(not(feature = "cluster"), expect(unused_variables))] emptied: &[Arc<str>],
    ) {
        let Some((socket, left)) = hub.detach(key) else { return };
        if let (Some(recorder), Some(recoverable), Some(left)) = (self.recorder(), recoverable, left) {
            recorder.left(recoverable, left);
        }
        #[cfg(feature = "cluster")]
        if let Some(membership) = &self.membership {
            emptied.iter().for_each(|room| membership.room_ended(room));
        }
        drop(hub);
        // What the application keeps with it is dropped without the lock.
        drop(socket);
    }

    /// Puts a socket back into the rooms that it was in.
    pub(crate) fn restore(&self, hub: &mut Hub<Socket>, key: MemberKey, rooms: hub::Membership) {
        #[cfg(feature = "cluster")]
        let names = rooms.rooms.clone();
        hub.restore(key, rooms);
        #[cfg(feature = "cluster")]
        if let Some(membership) = &self.membership {
            names.iter().for_each(|room| membership.look_at_room(hub, room));
        }
    }

    /// The disconnect handlers of a socket have run.
    pub(crate) fn end_leaving(&self) {
        self.leaving.fetch_sub(1, Ordering::AcqRel);
    }

    /// Returns whether nobody is here, and nobody's disconnect handlers run.
    pub(crate) fn is_vacant(&self) -> bool {
        let hub = self.hub();
        hub.is_empty() && self.leaving.load(Ordering::Acquire) == 0
    }

    /// Returns whether it was made because a client asked for it.
    pub(crate) fn is_child(&self) -> bool {
        self.listed_as_idle.is_some()
    }

    /// Returns whether it is to be added to the list of idle ones: a child that is not there already.
    pub(crate) fn list_as_idle(&self) -> bool {
        self.listed_as_idle.as_ref().is_some_and(|listed| !listed.swap(true, Ordering::AcqRel))
    }

    /// It was taken from the list.
    pub(crate) fn unlist_as_idle(&self) {
        if let Some(listed) = &self.listed_as_idle {
            listed.store(false, Ordering::Release);
        }
    }

    /// An id for a broadcast's acknowledgements: odd, as those of single events are even.
    pub(crate) fn next_broadcast_ack(&self) -> u64 {
        self.broadcast_ack.fetch_add(2, Ordering::Relaxed)
    }

    /// Lets a socket join a room.
    pub(crate) fn join(&self, key: MemberKey, room: &str) -> Result<bool, HubError> {
        let mut hub = self.hub_mut();
        let joined = hub.join(key, room);
        #[cfg(feature = "cluster")]
        if let (Some(membership), Ok(true)) = (&self.membership, &joined) {
            // Under the lock, so that the room's beginnings and ends are told in their order.
            membership.room_began(room);
        }
        drop(hub);
        joined.inspect_err(|_| self.room_refused())
    }

    /// Lets a socket leave a room.
    pub(crate) fn leave(&self, key: MemberKey, room: &str) -> bool {
        let mut hub = self.hub_mut();
        let left = hub.leave(key, room);
        #[cfg(feature = "cluster")]
        if let Some(membership) = self.membership.as_ref().filter(|_| left) {
            membership.look_at_room(&hub, room);
        }
        left
    }

    /// Lets a socket leave all rooms but that of its id.
    pub(crate) fn leave_all(&self, key: MemberKey) {
        let mut hub = self.hub_mut();
        #[cfg(feature = "cluster")]
        if let Some(membership) = &self.membership {
            hub.rooms_with_only(key).iter().for_each(|room| membership.room_ended(room));
        }
        hub.leave_all(key);
    }

    /// A socket was not let into a room.
    pub(crate) fn room_refused(&self) {
        if let Some(server) = self.server.upgrade() {
            count(&server.gate.counters.rooms);
        }
    }

    pub(crate) fn server(&self) -> Option<Server> {
        self.server.upgrade().map(Server)
    }
}

impl Drop for NamespaceInner {
    fn drop(&mut self) {
        if let Some(server) = self.server.upgrade().filter(|_| self.is_child()) {
            server.namespaces.dropped(&self.name);
        }
    }
}

/// A namespace of a server: its handlers, its sockets and its rooms. Cheap to clone.
///
/// Handlers may be registered at any time; a later one is in force for events that arrive later.
///
/// ```
/// use sansocket_runtime::{Data, EmitError, Server, Socket};
///
/// fn register(io: &Server) {
///     let chat = io.namespace("/chat");
///     chat.on_connected(async |socket: Socket| socket.join("lobby").map(drop))
///         .on("say", async |socket: Socket, Data(text): Data<String>| -> Result<(), EmitError> {
///             socket.to("lobby").emit("said", &(socket.id(), text))
///         });
///
///     // Outside of handlers, too: a timer, an HTTP route.
///     println!("{} clients in {:?}", chat.len(), chat.rooms());
///     let _ = chat.emit("news", &"the server has started");
/// }
/// ```
#[derive(Clone)]
pub struct Namespace(pub(crate) Arc<NamespaceInner>);

impl Namespace {
    handler_methods!();
    outgoing_methods!();
    error_hook!();

    fn handlers(&self) -> &Arc<NamespaceHandlers> {
        &self.0.handlers
    }

    /// The name: `/`, or `/chat`.
    pub fn name(&self) -> &str {
        &self.0.name
    }

    /// The server that the namespace belongs to; `None` once that is gone.
    pub fn server(&self) -> Option<Server> {
        self.0.server()
    }

    /// All sockets, as the target of a broadcast.
    pub fn broadcast(&self) -> Broadcast {
        Broadcast::new(self.0.clone(), Target::all())
    }

    broadcast_methods!();

    /// The socket of that id.
    pub fn socket(&self, id: &str) -> Option<Socket> {
        let socket = self.0.hub().by_id(id).map(|(_, socket)| socket.clone());
        socket.filter(Socket::is_joined)
    }

    /// The number of clients that are connected, including those that are just joining.
    pub fn len(&self) -> usize {
        self.0.hub().len()
    }

    /// Returns whether no client is connected.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The rooms, without those that are only a socket's id.
    pub fn rooms(&self) -> Vec<Arc<str>> {
        self.0.hub().rooms().cloned().collect()
    }

    /// Adds a hook for the beginnings and ends of rooms, and for the sockets that join and leave them, in this process: for
    /// presence, counters, subscriptions elsewhere. The rooms that are only a socket's id are not among them.
    ///
    /// It is told of each change once, in the order of the changes, where they are made: within `join`, for example. It must
    /// not block; it may join and leave rooms itself. A change that was just told may be undone already.
    ///
    /// ```
    /// use sansocket_runtime::{RoomEvent, Server};
    ///
    /// fn register(io: &Server) {
    ///     io.on_room_event(|event| match event {
    ///         RoomEvent::Created { room } => println!("{room} is open"),
    ///         RoomEvent::Joined { room, socket } => println!("{socket} is in {room}"),
    ///         RoomEvent::Left { room, socket } => println!("{socket} has left {room}"),
    ///         RoomEvent::Deleted { room } => println!("{room} is closed"),
    ///         _ => {}
    ///     });
    /// }
    /// ```
    pub fn on_room_event(&self, hook: impl Fn(&RoomEvent) + Send + Sync + 'static) -> &Self {
        self.0.room_events.get_or_init(Box::default).add(hook);
        self.0.hub_mut().log_rooms();
        self
    }

    /// Makes all sockets leave a room, those of other nodes as well.
    pub fn close_room(&self, room: &str) {
        let mut hub = self.0.hub_mut();
        hub.close_room(room);
        #[cfg(feature = "cluster")]
        if let Some(membership) = &self.0.membership {
            // Under the lock: a socket that joins just now begins the room again, after this.
            membership.look_at_room(&hub, room);
            drop(hub);
            membership.send(sansocket_protocol::cluster::Message::close_room(room));
        }
    }
}

impl fmt::Debug for Namespace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Namespace").field(&self.0.name).finish()
    }
}
