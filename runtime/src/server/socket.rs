//! The socket: one client in one namespace.

use crate::base::timing::Since;
use crate::base::typemap::TypeMap;
use crate::handler::outgoing_hook::Watched;
use crate::http::handshake::Handshake;
use crate::server::broadcast::Broadcast;
use crate::server::namespace::{Namespace, NamespaceInner};
use crate::server::recoverable::Recoverable;
use crate::server::recovery::{InOrder, Start};
use crate::server::rooms::Rooms;
use crate::server::server::Server;
use crate::session::handle::SessionHandle;
use sansocket_protocol::engine::TransportKind;
use sansocket_protocol::error::{CloseReason, SendError};
use sansocket_protocol::hub::{HubError, MemberKey, Target};
use sansocket_protocol::message::Frame;
use sansocket_protocol::socket::{AckOutcome, DataError, PacketData, SocketKey};
use serde::de::DeserializeOwned;
use std::collections::BTreeSet;
use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

const CONNECTING: u8 = 0;
const JOINED: u8 = 1;
const GONE: u8 = 2;
/// The socket was disconnected before it had joined.
const REFUSED: u8 = 3;
/// The socket is in no room and no list any more, while its disconnect handlers run.
const LEFT: u8 = 4;

/// The message for a client that is refused without a reason.
pub(crate) const CONNECTION_REFUSED: &str = "Connection refused";

/// The way of an event to a client that cannot take it at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Delivery {
    /// It waits.
    Queue,
    /// It is dropped.
    Volatile,
}

/// The outcome of a client's CONNECT that the handlers did not refuse.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Accepted {
    /// It has joined, and is told so.
    Joined,
    /// The application has disconnected it before.
    Refused,
    /// It went away meanwhile.
    Gone(CloseReason),
}

pub(crate) struct SocketInner {
    id: Arc<str>,
    pub(super) key: SocketKey,
    pub(super) session: Arc<SessionHandle>,
    pub(super) namespace: Arc<NamespaceInner>,
    handshake: Handshake,
    auth: Option<PacketData>,
    hub_key: OnceLock<MemberKey>,
    state: AtomicU8,
    /// There are handlers of this socket alone, or were.
    pub(super) has_own: AtomicBool,
    /// `None` without connection state recovery.
    recovery: Option<Box<Recoverable>>,
    data: Mutex<TypeMap>,
}

/// The numbers of the `once` listeners that have had their event. Kept beside the application's data, so that sockets
/// without any carry nothing for it.
#[derive(Default)]
struct Heard(Mutex<BTreeSet<u64>>);

/// One client in one namespace, on the server. Cheap to clone, and usable anywhere: in handlers, in other tasks, and
/// after the client is gone, when nothing is sent and the methods say so.
///
/// ```
/// use sansocket_runtime::{AckError, EmitError, HubError, Socket};
/// use std::time::Duration;
///
/// async fn welcome(socket: Socket) -> Result<(), AckError> {
///     // Events to this client, with several arguments, and with an answer.
///     socket.emit("welcome", &("hello", 42))?;
///     let name = socket.emit_with_ack("name?", &(), Duration::from_secs(5)).await?;
///
///     // Values of the application's own, kept with the socket.
///     socket.insert(name.decode::<String>()?);
///     Ok(())
/// }
///
/// fn enter(socket: &Socket, room: &str) -> Result<(), HubError> {
///     socket.join(room)?;
///     // To everybody else in the room.
///     let _: Result<(), EmitError> = socket.to(room).emit("entered", socket.id());
///     Ok(())
/// }
/// ```
#[derive(Clone)]
pub struct Socket(pub(super) Arc<SocketInner>);

impl Socket {
    /// A socket that asks to join, entered into the hub. Nothing else of its namespace is emitted while it gets what it has
    /// missed.
    pub(crate) fn enter(
        in_order: Option<InOrder<'_>>,
        mut start: Start,
        key: SocketKey,
        session: Arc<SessionHandle>,
        namespace: Arc<NamespaceInner>,
        handshake: Handshake,
        auth: Option<PacketData>,
    ) -> Result<Self, HubError> {
        let (membership, missed) = start.take_resumed();
        let Start { id, recoverable: recovery, data, .. } = start;
        let socket = Self(Arc::new(SocketInner {
            id: id.clone(),
            key,
            session,
            namespace,
            handshake,
            auth,
            hub_key: OnceLock::new(),
            state: AtomicU8::new(CONNECTING),
            has_own: AtomicBool::new(false),
            recovery,
            data: Mutex::new(data),
        }));
        let mut hub = socket.0.namespace.hub_mut();
        let hub_key = match hub.insert(id, socket.clone()) {
            Ok(key) => key,
            Err(error) => {
                drop(hub);
                // The application hears of it without a lock.
                drop(in_order);
                if let (Some(recorder), Some(recoverable), Some(membership)) =
                    (socket.0.namespace.recorder(), socket.recoverable(), membership)
                {
                    recorder.refused(&socket, recoverable, membership);
                }
                return Err(error);
            }
        };
        // Set under the hub's lock, so whoever finds the socket there finds its key too.
        let _ = socket.0.hub_key.set(hub_key);
        if let (Some(recorder), Some(recoverable)) = (socket.0.namespace.recorder(), socket.recoverable()) {
            recorder.entered(&socket.0.namespace, &mut hub, hub_key, membership);
            recorder.enlist(&socket, recoverable);
        }
        drop(hub);
        for frame in missed {
            // It fits, as was looked at, and leaves behind the answer to the CONNECT. If another namespace of the session
            // has been quicker, the client comes back once more rather than miss it.
            if !matches!(socket.deliver(frame, Delivery::Queue), Ok(true)) {
                socket.0.session.with(|machine| machine.abort(CloseReason::SlowConsumer));
                break;
            }
        }
        Ok(socket)
    }

    pub(crate) fn key(&self) -> SocketKey {
        self.0.key
    }

    /// Its key in the hub: `None` for one that could not enter it.
    pub(super) fn hub_key(&self) -> Option<MemberKey> {
        self.0.hub_key.get().copied()
    }

    pub(crate) fn session(&self) -> &Arc<SessionHandle> {
        &self.0.session
    }

    /// Sends what is on its way to it by a log. Nothing follows until what this returns is dropped.
    fn flush(&self) -> Option<InOrder<'_>> {
        #[cfg(feature = "cluster")]
        return self.0.namespace.recorder()?.flush(self);
        #[cfg(not(feature = "cluster"))]
        None
    }

    /// Returns whether it is out of the hub, or about to be forgotten.
    #[cfg(feature = "cluster")]
    pub(crate) fn has_left(&self) -> bool {
        matches!(self.0.state.load(Ordering::Acquire), GONE | LEFT)
    }

    pub(crate) fn namespace_inner(&self) -> &Arc<NamespaceInner> {
        &self.0.namespace
    }

    /// Answers the client's CONNECT.
    pub(crate) fn accept(&self) -> Accepted {
        let joined = self.0.state.compare_exchange(CONNECTING, JOINED, Ordering::AcqRel, Ordering::Acquire);
        if joined == Err(REFUSED) {
            return Accepted::Refused;
        }
        let accepted = self.0.session.with(|machine| {
            let told = match self.recoverable() {
                Some(recoverable) => machine.accept_recoverable(self.0.key, &self.0.id, recoverable.pid()),
                None => machine.accept(self.0.key, &self.0.id),
            };
            match told {
                Ok(()) => Accepted::Joined,
                // If the connection is still there, the application has disconnected it just now.
                Err(_) => Accepted::Gone(
                    machine.ended().map_or(CloseReason::ServerNamespaceDisconnect, |(reason, _)| reason),
                ),
            }
        });
        match (self.recoverable(), accepted) {
            (Some(recoverable), Accepted::Joined) => recoverable.accepted(),
            (Some(_), Accepted::Gone(reason)) => self.lost(reason),
            _ => {}
        }
        accepted
    }

    /// The part that can be recovered: `None` without connection state recovery.
    pub(crate) fn recoverable(&self) -> Option<&Recoverable> {
        self.0.recovery.as_deref()
    }

    /// Returns whether the connection has ended in a way after which its client may come back.
    pub(crate) fn was_lost(&self) -> bool {
        self.0.session.lock().machine.ended().is_some_and(|(reason, _)| reason.is_recoverable())
    }

    /// Its connection is lost, for that reason.
    pub(crate) fn lost(&self, reason: CloseReason) {
        if let (Some(recorder), Some(recoverable)) = (self.0.namespace.recorder(), self.recoverable()) {
            recoverable.lost(reason, &recorder.recovery);
        }
    }

    pub(crate) fn id_shared(&self) -> Arc<str> {
        self.0.id.clone()
    }

    /// Returns whether the client waits for the answer to its CONNECT.
    pub(crate) fn is_connecting(&self) -> bool {
        self.0.session.lock().machine.is_connecting(self.0.key)
    }

    /// Takes it out of its rooms and of the hub; its disconnect handlers follow. Returns the rooms that ended with it.
    pub(crate) fn begin_leaving(&self) -> Vec<Arc<str>> {
        let Some(key) = self.0.hub_key.get() else { return Vec::new() };
        self.0.state.store(LEFT, Ordering::Release);
        self.0.namespace.begin_leaving(*key, self.recoverable())
    }

    /// Takes it out of the hub, for good.
    pub(crate) fn forget(&self) {
        let before = self.0.state.swap(GONE, Ordering::AcqRel);
        match before {
            GONE => return,
            LEFT => self.0.namespace.end_leaving(),
            _ => {
                if let Some(key) = self.0.hub_key.get() {
                    self.0.namespace.remove(*key, self.recoverable());
                }
            }
        }
        // Before the data is kept for a client that comes back.
        self.drop_own();
        if let (Some(recorder), Some(recoverable)) = (self.0.namespace.recorder(), self.recoverable()) {
            if before == CONNECTING && self.was_lost() {
                // Before it was decided about.
                self.lost(CloseReason::TransportClose);
            }
            recorder.end(self, recoverable, self.values());
        }
    }

    pub(crate) fn is_gone(&self) -> bool {
        self.0.state.load(Ordering::Acquire) == GONE
    }

    /// Returns whether it may have handlers of its own.
    #[inline]
    pub(crate) fn has_own(&self) -> bool {
        self.0.has_own.load(Ordering::Acquire)
    }

    pub(crate) fn is_refused(&self) -> bool {
        self.0.state.load(Ordering::Acquire) == REFUSED
    }

    pub(crate) fn is_joined(&self) -> bool {
        self.0.state.load(Ordering::Acquire) == JOINED
    }

    /// Returns whether this is the first event for the listener of that number.
    pub(crate) fn is_first(&self, once: u64) -> bool {
        let mut data = self.data();
        let heard = data.get::<Heard>().unwrap_or_else(|| {
            let heard = Arc::new(Heard::default());
            data.insert(heard.clone());
            heard
        });
        drop(data);
        heard.0.lock().unwrap_or_else(PoisonError::into_inner).insert(once)
    }

    /// Queues an event. False if it was dropped: because of the `delivery`, or of the server's `overflow`.
    #[inline]
    pub(crate) fn deliver(&self, frame: impl Into<Frame>, delivery: Delivery) -> Result<bool, SendError> {
        self.0.session.with(|machine| match delivery {
            Delivery::Queue => machine.emit(self.0.key, frame),
            Delivery::Volatile => machine.emit_volatile(self.0.key, frame),
        })
    }

    pub(super) fn send_frame(&self, frame: Frame, delivery: Delivery) -> Result<(), SendError> {
        let watched = self.0.namespace.handlers.outgoing.watch(self.0.namespace.encoder.parser(), &frame);
        let recorded = self.0.namespace.recorder().filter(|_| delivery == Delivery::Queue);
        let recorded = recorded.and_then(|recorder| Some((recorder, self.recoverable()?)));
        #[cfg(feature = "cluster")]
        if let Some((recorder, recoverable)) = recorded.filter(|(recorder, _)| recorder.logs(&Target::all()))
        {
            return recorder.log_for(self, recoverable, &frame);
        }
        let queued = match recorded {
            Some((recorder, recoverable)) => recorder.emit(self, recoverable, &frame)?,
            None => self.deliver(frame, delivery)?,
        };
        if let Some(watched) = watched.filter(|_| queued) {
            self.show(&watched);
        }
        Ok(())
    }

    /// Shows the hooks an event that was queued.
    pub(crate) fn show(&self, watched: &Watched<Self>) {
        let server = self.server();
        watched.show(self, server.as_ref().map(|server| &server.0.gate.counters.panics));
    }

    /// Sends a frame that asks for an acknowledgement; `sink` is called once, unless this fails.
    pub(crate) fn send_with_ack(
        &self,
        frame: impl Into<Frame>,
        id: u64,
        timeout: Duration,
        sink: impl FnOnce(AckOutcome) + Send + 'static,
    ) -> Result<(), SendError> {
        let now = self.0.session.now();
        let deadline = now + timeout;
        let key = self.0.key;
        self.0.session.with_inner(|inner| {
            inner.machine.emit_with_ack(key, frame, id, deadline)?;
            inner.waiting_mut().acks.insert((id, key), (Box::new(sink), Since::new(now)));
            Ok(())
        })
    }

    /// The public id: 20 random characters, which the client knows too. It is not the secret id of the session.
    pub fn id(&self) -> &str {
        &self.0.id
    }

    /// The namespace that the socket is in.
    pub fn namespace(&self) -> Namespace {
        Namespace(self.0.namespace.clone())
    }

    /// The server that the socket belongs to; `None` once that is gone.
    pub fn server(&self) -> Option<Server> {
        self.0.namespace.server()
    }

    /// The request that opened the session.
    pub fn handshake(&self) -> &Handshake {
        &self.0.handshake
    }

    /// The latest request of the session so far: a poll, a POST, the upgrade to a WebSocket. `None` without
    /// [`keep_latest_request`](crate::ServerBuilder::keep_latest_request), and once the session has ended.
    pub fn latest_request(&self) -> Option<Handshake> {
        self.server()?.0.gate.latest_request(&self.0.session)
    }

    /// The `auth` object that the client sent when it joined; `{}` if it sent none.
    ///
    /// # Errors
    /// [`DataError`] if it does not have that type.
    pub fn auth<T: DeserializeOwned>(&self) -> Result<T, DataError> {
        self.0.auth.as_ref().unwrap_or(&PacketData::EMPTY).decode()
    }

    /// Returns whether the client is connected: events to it are sent.
    pub fn is_connected(&self) -> bool {
        self.0.session.lock().machine.is_connected(self.0.key)
    }

    /// Returns whether the client has got its session back after it had lost its connection: the same id, its rooms and values, and
    /// every event that it has missed. Always false without
    /// [`connection_state_recovery`](crate::ServerBuilder::connection_state_recovery).
    pub fn recovered(&self) -> bool {
        self.recoverable().is_some_and(|recoverable| recoverable.recovered)
    }

    /// The transport that the client's connection uses at the moment.
    pub fn transport(&self) -> TransportKind {
        self.0.session.transport()
    }

    // --- rooms ------------------------------------------------------------------------------------------------

    /// Joins a room, or several. Returns false if the socket was in all of them before. After the client has gone this does
    /// nothing.
    ///
    /// If clients choose the name, put a prefix before it (`format!("chat:{name}")`): a socket in a room that is named
    /// like another socket's public id is sent what is for that socket.
    ///
    /// # Errors
    /// [`HubError`] if the socket is in too many rooms, or a name is too long. It has joined the rooms before that one in the
    /// list, and none behind it.
    pub fn join(&self, rooms: impl Rooms) -> Result<bool, HubError> {
        let Some(key) = self.0.hub_key.get() else { return Ok(false) };
        let mut result = Ok(false);
        rooms.each(&mut |room| {
            if let Ok(before) = result {
                result = self.0.namespace.join(*key, room).map(|joined| before || joined);
            }
        });
        result
    }

    /// Leaves a room, or several. Returns whether the socket was in any of them.
    pub fn leave(&self, rooms: impl Rooms) -> bool {
        let Some(key) = self.0.hub_key.get() else { return false };
        let mut left = false;
        rooms.each(&mut |room| left |= self.0.namespace.leave(*key, room));
        left
    }

    /// Leaves all rooms but the one that is named after the socket's id.
    pub fn leave_all(&self) {
        if let Some(key) = self.0.hub_key.get() {
            self.0.namespace.leave_all(*key);
        }
    }

    /// The rooms that the socket is in, beginning with its id. In `on_disconnect` it is in none any more.
    pub fn rooms(&self) -> Vec<Arc<str>> {
        self.0.hub_key.get().map_or_else(Vec::new, |key| self.0.namespace.hub().rooms_of(*key))
    }

    /// All sockets of the namespace but this one, as the target of a broadcast.
    pub fn broadcast(&self) -> Broadcast {
        Broadcast::new(self.0.namespace.clone(), Target::all().except(self.0.id.clone()))
    }

    /// The sockets in a room, or in several, but this one, as the target of a broadcast.
    pub fn to(&self, rooms: impl Rooms) -> Broadcast {
        self.broadcast().to(rooms)
    }

    /// All sockets but this one and those in a room, or in several, as the target of a broadcast.
    pub fn except(&self, rooms: impl Rooms) -> Broadcast {
        self.broadcast().except(rooms)
    }

    /// All sockets of the namespace in this process but this one, as the target of a broadcast.
    pub fn local(&self) -> Broadcast {
        self.broadcast().local()
    }

    // --- the application's own data ---------------------------------------------------------------------------

    pub(super) fn data(&self) -> std::sync::MutexGuard<'_, TypeMap> {
        self.0.data.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The data kept with it.
    pub(crate) fn values(&self) -> TypeMap {
        self.data().clone()
    }

    /// Keeps a value with the socket, one of each type, and returns the one before. A value that is to change later
    /// goes inside a `Mutex` or an atomic.
    ///
    /// ```
    /// # use sansocket_runtime::Socket;
    /// struct Name(String);
    ///
    /// async fn greet(socket: Socket) {
    ///     socket.insert(Name("ada".into()));
    ///     assert_eq!(socket.get::<Name>().unwrap().0, "ada");
    /// }
    /// ```
    pub fn insert<T: Send + Sync + 'static>(&self, value: T) -> Option<Arc<T>> {
        let value = Arc::new(value);
        self.data().insert(value)
    }

    /// The value of that type that was kept with the socket.
    pub fn get<T: Send + Sync + 'static>(&self) -> Option<Arc<T>> {
        self.data().get()
    }

    /// Removes the value of that type.
    pub fn remove<T: Send + Sync + 'static>(&self) -> Option<Arc<T>> {
        self.data().remove()
    }

    // --- the end ----------------------------------------------------------------------------------------------

    /// Disconnects the client from this namespace. Its connection, and its other namespaces, stay.
    ///
    /// A client that has not joined yet is refused, with the message `Connection refused`: in `on_connect`, the
    /// handlers that follow do not run then, nor does `on_disconnect`. To refuse with words of your own, return an
    /// error there.
    pub fn disconnect(&self) {
        self.send_unsent();
        let _in_order = self.flush();
        let reason = CloseReason::ServerNamespaceDisconnect;
        let _ = self.0.state.compare_exchange(CONNECTING, REFUSED, Ordering::AcqRel, Ordering::Acquire);
        // One that is gone already needs no telling.
        let _ = self.0.session.with(|machine| {
            let key = self.0.key;
            machine.disconnect(key, reason).or_else(|_| machine.reject(key, CONNECTION_REFUSED, None))
        });
    }

    /// The socket of the same connection in that namespace, for a client of Engine.IO 3.
    #[cfg(feature = "cluster")]
    pub(super) fn legacy_neighbor(&self, namespace: &NamespaceInner) -> Option<Socket> {
        let id = self.0.session.with(|machine| machine.socket_id(&namespace.name))?;
        namespace.hub().by_id(&id).map(|(_, socket)| socket.clone())
    }

    /// Disconnects the client from all namespaces and closes its connection, once the queued events are written.
    pub fn close(&self) {
        self.send_unsent();
        let close = || self.0.session.with(|machine| machine.close(CloseReason::ForcedClose));
        #[cfg(feature = "cluster")]
        if let Some(recovery) = self.0.namespace.recorder().map(|recorder| &recorder.recovery) {
            if let Some(log) = recovery.log() {
                return recovery.close_after_log(log, self, close);
            }
        }
        close();
    }
}

impl PartialEq for Socket {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl Eq for Socket {}

impl fmt::Debug for Socket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Socket").field("id", &self.0.id).field("namespace", &self.0.namespace.name).finish()
    }
}
