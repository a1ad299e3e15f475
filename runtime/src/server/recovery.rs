//! Connection state recovery: the store of a server behind its lock, the sessions that are connected, and the order of
//! events.
//!
//! Locks are taken in this order: the order of a namespace's events, its hub, the store; and a session's own at any time,
//! alone. Nobody holds one while the application's code runs.

use crate::base::clock::Clock;
use crate::base::hook::Hook;
use crate::base::runtime::Timer;
use crate::base::trace::debug;
use crate::base::typemap::TypeMap;
use crate::server::lookups::Lookups;
use crate::server::namespace::NamespaceInner;
use crate::server::recoverable::{Recoverable, Remains};
use crate::server::slices::{Sent, UnsentBroadcasts};
use crate::server::socket::{Delivery, Socket, SocketInner};
#[cfg(feature = "cluster")]
use crate::server::stream_log::StreamLog;
use crate::server::unrecovered::{UnrecoveredSession, Values, values};
use crate::session::handle::SessionHandle;
use crate::session::stats::{Counters, count};
use futures_channel::oneshot;
use sansocket_protocol::error::{CloseReason, SendError};
use sansocket_protocol::hub::{Hub, Journal, MemberKey, Membership, Target};
use sansocket_protocol::message::Frame;
use sansocket_protocol::recovery::{
    Appended, Audience, Ended, KeptSession, LiveSession, NewEvent, RecoveryConfig, RecoveryStore,
};
use sansocket_protocol::time::Instant;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::future::poll_fn;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

/// The time for which a client that comes back waits for the handlers of the connection that it has lost.
pub(crate) const PATIENCE: Duration = Duration::from_secs(10);

type OnUnrecovered = dyn Fn(&UnrecoveredSession) + Send + Sync;

/// The recovery of a server that has it turned on.
pub(crate) struct Recovery {
    pub(crate) config: RecoveryConfig,
    pub(crate) store: Mutex<Box<dyn RecoveryStore>>,
    pub(crate) lookups: Lookups,
    /// The sessions whose sockets are connected, or whose disconnect handlers run, by their private ids.
    live: Mutex<LiveSessions>,
    hook: Hook<OnUnrecovered>,
    counters: Arc<Counters>,
    pub(crate) clock: Clock,
    /// A task waits for the store's deadlines.
    watched: AtomicBool,
    watcher: Mutex<Option<Waker>>,
    closed: AtomicBool,
    #[cfg(feature = "cluster")]
    log: Option<Arc<StreamLog>>,
}

/// A socket whose end is awaited.
pub(crate) struct Ending {
    socket: Weak<SocketInner>,
    ended: oneshot::Receiver<()>,
}

struct Live {
    socket: Weak<SocketInner>,
    /// Its connection.
    session: Weak<SessionHandle>,
    /// Those who wait for its end; dropping them tells.
    waiting: Vec<oneshot::Sender<()>>,
}

/// The sessions of the sockets that are connected, by their private ids.
#[derive(Default)]
struct LiveSessions {
    by_pid: BTreeMap<Arc<str>, Live>,
    /// Those of each connection, by its address: nobody else has it while one of them is here.
    by_connection: BTreeSet<(usize, Arc<str>)>,
}

impl LiveSessions {
    fn insert(&mut self, pid: Arc<str>, live: Live) {
        self.remove(&pid);
        self.by_connection.insert((live.session.as_ptr().addr(), pid.clone()));
        self.by_pid.insert(pid, live);
    }

    /// Returns the session if it is that of the given socket.
    fn of(&self, pid: &str, socket: *const SocketInner) -> Option<&Live> {
        self.by_pid.get(pid).filter(|live| live.socket.as_ptr() == socket)
    }

    fn remove(&mut self, pid: &str) -> Option<Live> {
        let (pid, live) = self.by_pid.remove_entry(pid)?;
        self.by_connection.remove(&(live.session.as_ptr().addr(), pid));
        Some(live)
    }
}

/// The recovery of one namespace.
pub(crate) struct Recorder {
    pub(crate) recovery: Arc<Recovery>,
    /// Held while an event gets its number and is queued for its receivers, or for the first of them.
    order: Mutex<()>,
    /// The events with numbers that are not queued for all of their receivers yet: they are before another gets one.
    pub(super) unsent: UnsentBroadcasts,
}

pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Recovery {
    pub(crate) fn new(
        config: RecoveryConfig,
        store: Box<dyn RecoveryStore>,
        counters: Arc<Counters>,
        clock: Clock,
        #[cfg(feature = "cluster")] log: Option<Arc<StreamLog>>,
    ) -> Arc<Self> {
        let recovery = Arc::new(Self {
            config,
            store: Mutex::new(store),
            lookups: Lookups::default(),
            live: Mutex::default(),
            hook: Hook::default(),
            counters,
            clock,
            watched: AtomicBool::new(false),
            watcher: Mutex::default(),
            closed: AtomicBool::new(false),
            #[cfg(feature = "cluster")]
            log,
        });
        let this = Arc::downgrade(&recovery);
        lock(&recovery.store).notify(Arc::new(move || {
            if let Some(this) = this.upgrade() {
                this.settle();
                this.watch();
                this.wake();
            }
        }));
        recovery
    }

    /// The log that all nodes share.
    #[cfg(feature = "cluster")]
    pub(crate) fn log(&self) -> Option<&Arc<StreamLog>> {
        self.log.as_ref()
    }

    pub(crate) fn set_hook(&self, hook: Arc<OnUnrecovered>) {
        // Setting it twice is a mistake without consequence.
        self.hook.set(hook);
    }

    /// Drops the hook: all sessions have ended.
    pub(crate) fn drop_hook(&self) {
        self.hook.clear();
    }

    /// Tells of the sessions that have ended for good, and of those that were looked for. No lock is held.
    pub(crate) fn settle(&self) {
        let (mut over, mut found) = (Vec::new(), Vec::new());
        let mut store = lock(&self.store);
        over.extend(std::iter::from_fn(|| store.poll_ended()));
        found.extend(std::iter::from_fn(|| store.poll_looked_up()));
        drop(store);
        found.iter().for_each(|pid| self.looked_up(pid));
        self.tell(over);
        self.drop_values();
    }

    /// Drops the application's values of sessions that wait elsewhere. No lock is held.
    fn drop_values(&self) {
        #[cfg(feature = "cluster")]
        for data in self.log.iter().flat_map(|log| log.take_dropped()) {
            if crate::base::job::drop_caught(data).is_err() {
                count(&self.counters.panics);
                debug!("a value of a session that is over panicked as it was dropped");
            }
        }
    }

    fn tell(&self, over: Vec<(KeptSession, Ended)>) {
        for (session, ended) in over {
            debug!(socket = &*session.sid, ?ended, "a session cannot be recovered any more");
            // The application's values may panic as they are dropped, too.
            let told = catch_unwind(AssertUnwindSafe(|| match self.hook.get() {
                Some(hook) => hook(&UnrecoveredSession::new(session, ended)),
                None => drop(session),
            }));
            if told.is_err() {
                count(&self.counters.panics);
                debug!("the hook for sessions that are not recovered, or a value of one, panicked");
            }
        }
    }

    /// Ends all sessions that wait: the server has shut down.
    pub(crate) fn close(&self) {
        let drained = {
            let mut store = lock(&self.store);
            // Under the lock: whoever saves a session after this sees it.
            self.closed.store(true, Ordering::Release);
            store.drain()
        };
        self.tell(drained.into_iter().map(|session| (session, Ended::ShutDown)).collect());
        self.drop_values();
        self.wake();
    }

    pub(crate) fn wake(&self) {
        let waker = lock(&self.watcher).take();
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    /// Keeps a session for its client, unless the server has shut down.
    fn save(self: &Arc<Self>, session: KeptSession) {
        let mut store = lock(&self.store);
        if self.closed.load(Ordering::Acquire) {
            drop(store);
            return self.tell(vec![(session, Ended::ShutDown)]);
        }
        store.save(self.clock.now(), session);
        drop(store);
        self.settle();
        self.watch();
        self.wake();
    }

    /// Has a task wait for the store's deadlines, until it has none.
    pub(crate) fn watch(self: &Arc<Self>) {
        if self.watched.load(Ordering::Acquire) || self.watched.swap(true, Ordering::AcqRel) {
            return;
        }
        let (this, clock) = (Arc::downgrade(self), self.clock.clone());
        let mut timer = None;
        self.clock.runtime().spawn(Box::pin(poll_fn(move |context| match this.upgrade() {
            Some(this) => this.poll_deadlines(&mut timer, &clock, context),
            None => Poll::Ready(()),
        })));
    }

    fn poll_deadlines(
        &self,
        timer: &mut Option<Box<dyn Timer>>,
        clock: &Clock,
        context: &mut Context<'_>,
    ) -> Poll<()> {
        *lock(&self.watcher) = Some(context.waker().clone());
        loop {
            let deadline = {
                let store = lock(&self.store);
                let deadline = store.poll_timeout().filter(|_| !self.closed.load(Ordering::Acquire));
                if deadline.is_none() {
                    // Under the lock: whoever keeps something after this has another task wait.
                    self.watched.store(false, Ordering::Release);
                }
                deadline
            };
            let Some(deadline) = deadline else { return Poll::Ready(()) };
            let at = clock.instant(deadline);
            let timer = timer.get_or_insert_with(|| clock.runtime().timer(at));
            timer.reset(at);
            if timer.poll_elapsed(context).is_pending() {
                return Poll::Pending;
            }
            lock(&self.store).handle_timeout(clock.now().max(deadline));
            self.settle();
        }
    }

    /// The end of the connection that has that session, if it is not over: its client is back on another one, so it is
    /// ended if the server has not noticed yet. `None` if there is nothing to wait for.
    pub(crate) fn end_of(&self, pid: &str, namespace: &str, back_on: &Arc<SessionHandle>) -> Option<Ending> {
        let (ended, socket) = {
            let mut live = lock(&self.live);
            let found = live.by_pid.get_mut(pid)?;
            let socket = Socket(found.socket.upgrade()?);
            // On the same connection it was left on purpose.
            if *socket.namespace_inner().name != *namespace || Arc::ptr_eq(socket.session(), back_on) {
                return None;
            }
            let (sender, ended) = oneshot::channel();
            found.waiting.push(sender);
            (ended, socket)
        };
        socket.session().with(|machine| machine.abort(CloseReason::TransportClose));
        Some(Ending { socket: Arc::downgrade(&socket.0), ended })
    }

    /// The sockets of a connection whose sessions can be recovered.
    #[cfg(feature = "cluster")]
    pub(super) fn sockets_of(&self, session: &Arc<SessionHandle>) -> Vec<Socket> {
        let live = lock(&self.live);
        let address = Arc::as_ptr(session).addr();
        let here = live.by_connection.range((address, "".into())..).take_while(|(of, _)| *of == address);
        here.filter_map(|(_, pid)| live.by_pid.get(pid)?.socket.upgrade().map(Socket)).collect()
    }

    /// Waits for that end, but not for ever: then the session is lost, which is told of once it ends.
    pub(crate) async fn wait_for(&self, pid: &str, ending: Ending) {
        let waited = crate::base::runtime::timeout(self.clock.runtime(), PATIENCE, ending.ended).await;
        if waited.is_none() {
            let mut live = lock(&self.live);
            if live.of(pid, ending.socket.as_ptr()).is_some() {
                live.remove(pid);
            }
        }
    }
}

impl Drop for Recovery {
    /// A server may go without a shutdown.
    fn drop(&mut self) {
        self.close();
    }
}

impl fmt::Debug for Recovery {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Recovery").field("config", &self.config).finish_non_exhaustive()
    }
}

/// The beginning of a socket: new, or with the session that its client has got back.
pub(crate) struct Start {
    pub(crate) id: Arc<str>,
    pub(crate) data: TypeMap,
    pub(crate) recoverable: Option<Box<Recoverable>>,
    /// The rooms that it was in, and what it has missed.
    resumed: Option<(Membership, Vec<Frame>)>,
}

/// No event of a namespace gets a number while this lives.
pub(crate) struct InOrder<'a> {
    order: Option<MutexGuard<'a, ()>>,
    recovery: &'a Recovery,
    /// Earlier events that were sent just now. The hooks see them once the order is free.
    sent: Vec<Sent>,
}

impl Drop for InOrder<'_> {
    fn drop(&mut self) {
        self.order = None;
        self.recovery.settle();
    }
}

impl Recorder {
    pub(crate) fn new(recovery: Arc<Recovery>) -> Self {
        Self { recovery, order: Mutex::new(()), unsent: UnsentBroadcasts::default() }
    }

    /// The same for whoever settles afterwards.
    #[cfg(feature = "cluster")]
    pub(super) fn lock_order(&self) -> MutexGuard<'_, ()> {
        lock(&self.order)
    }

    /// Holds the order of events. To give one a number, see [`in_order_behind`](Self::in_order_behind).
    pub(crate) fn in_order(&self) -> InOrder<'_> {
        InOrder { order: Some(lock(&self.order)), recovery: &self.recovery, sent: Vec::new() }
    }

    /// The same, once all earlier events are queued: for that socket, or for everybody.
    pub(super) fn in_order_behind(&self, to: Option<&Socket>) -> InOrder<'_> {
        let mut in_order = self.in_order();
        in_order.sent = self.unsent.send_all(to);
        in_order
    }

    /// The beginning of a new session.
    pub(crate) fn begin(&self, id: Arc<str>, pid: Arc<str>) -> Start {
        let live = LiveSession::new(pid, lock(&self.recovery.store).next(), &self.recovery.config);
        Start { recoverable: Some(Box::new(Recoverable::new(live, false))), ..Start::plain(id) }
    }

    /// The session of that private id, if it can be recovered. Nothing may be emitted until its socket is in the hub.
    pub(crate) fn restore(
        &self,
        _: &InOrder<'_>,
        namespace: &str,
        (pid, offset): &(String, Option<String>),
        capacity: usize,
    ) -> Option<Start> {
        let now = self.recovery.clock.now();
        let restored = lock(&self.recovery.store).restore(now, namespace, pid, offset.as_deref(), capacity);
        let back = restored.inspect_err(|error| debug!(%error, "a session is not recovered")).ok()?;
        let data = values(&back.session).map(|values| values.0.clone()).unwrap_or_default();
        let KeptSession { live, sid, membership, .. } = back.session;
        let recoverable = Some(Box::new(Recoverable::new(live, true)));
        Some(Start { id: sid, data, recoverable, resumed: Some((membership, back.missed)) })
    }

    /// A socket has entered the hub, under whose lock this is called: its rooms are noted from here on.
    pub(crate) fn entered(
        &self,
        namespace: &NamespaceInner,
        hub: &mut Hub<Socket>,
        key: MemberKey,
        membership: Option<Membership>,
    ) {
        let (next, oldest) = self.passed();
        hub.passed(next, oldest);
        match membership {
            Some(membership) => namespace.restore(hub, key, membership),
            None => hub.record(key, Journal::new(self.recovery.config.max_room_changes)),
        }
    }

    pub(super) fn passed(&self) -> (u64, u64) {
        let store = lock(&self.recovery.store);
        (store.next(), store.oldest())
    }

    /// Enters a socket among those that are connected.
    pub(crate) fn enlist(&self, socket: &Socket, recoverable: &Recoverable) {
        let session = Arc::downgrade(socket.session());
        let live = Live { socket: Arc::downgrade(&socket.0), session, waiting: Vec::new() };
        lock(&self.recovery.live).insert(recoverable.pid.clone(), live);
    }

    pub(super) fn append(
        &self,
        now: Instant,
        namespace: &NamespaceInner,
        audience: Audience,
        frame: &Frame,
        offset: Option<Arc<str>>,
    ) -> Appended {
        let event = NewEvent {
            namespace: &namespace.name,
            audience,
            frame,
            parser: namespace.encoder.parser(),
            offset,
        };
        lock(&self.recovery.store).append(now, event)
    }

    /// Emits an event to the sockets of a target. With `tell`, those are given back that it was queued for.
    pub(crate) fn broadcast(
        &self,
        namespace: &NamespaceInner,
        target: &Target,
        frame: &Frame,
        tell: bool,
    ) -> Vec<Socket> {
        let in_order = self.in_order_behind(None);
        let (appended, reached) = self.number(namespace, target, frame);
        let mut queued = Vec::new();
        for (at, socket) in reached.iter().enumerate() {
            if socket.deliver(&appended.frame, Delivery::Queue) == Ok(true) && tell {
                queued.push(at);
            }
        }
        drop(in_order);
        self.recovery.watch();
        queued.into_iter().filter_map(|at| reached.get(at).cloned()).collect()
    }

    /// Gives an event its number, and notes with its receivers that they are sent it. With the order held.
    pub(super) fn number(
        &self,
        namespace: &NamespaceInner,
        target: &Target,
        frame: &Frame,
    ) -> (Appended, Vec<Socket>) {
        let now = self.recovery.clock.now();
        let (appended, reached) = {
            let mut hub = namespace.hub_mut();
            let appended = self.append(now, namespace, Audience::of(target), frame, None);
            let (next, oldest) = self.passed();
            hub.passed(next, oldest);
            (appended, hub.reached(target))
        };
        for recoverable in reached.iter().filter_map(Socket::recoverable) {
            recoverable.sent(now, &appended);
        }
        (appended, reached)
    }

    /// Emits an event to one socket. While its client is away, and may come back, the event waits for it.
    pub(crate) fn emit(
        &self,
        socket: &Socket,
        recoverable: &Recoverable,
        frame: &Frame,
    ) -> Result<bool, SendError> {
        let namespace = socket.namespace_inner();
        // Dropped after the order is free: it may be the last of what the application keeps with a socket.
        let heir: Option<Socket>;
        let mut in_order = self.in_order_behind(Some(socket));
        let now = self.recovery.clock.now();
        let appended = self.append(now, namespace, Audience::Socket(socket.id_shared()), frame, None);
        recoverable.sent(now, &appended);
        let mut queued = socket.deliver(&appended.frame, Delivery::Queue);
        if queued == Err(SendError::Disconnected) {
            // Its client may be back on another connection.
            let found = namespace.hub().by_id(socket.id()).map(|(_, heir)| heir.clone());
            heir = found.filter(|heir| heir != socket);
            if let Some((heir, part)) = heir.as_ref().and_then(|heir| Some((heir, heir.recoverable()?))) {
                if part.pid == recoverable.pid {
                    part.sent(now, &appended);
                    in_order.sent.extend(self.unsent.send_all(Some(heir)));
                    queued = heir.deliver(&appended.frame, Delivery::Queue);
                    if queued == Err(SendError::Disconnected) && self.awaits(heir, part) {
                        queued = Ok(false);
                    }
                }
            } else if self.awaits(socket, recoverable) {
                queued = Ok(false);
            }
            if queued.is_err() {
                lock(&self.recovery.store).retract(appended.number);
            }
        } else if queued != Ok(true) {
            lock(&self.recovery.store).retract(appended.number);
        }
        drop(in_order);
        self.recovery.watch();
        queued
    }

    /// Returns whether the client of a socket that is not connected may come back.
    pub(super) fn awaits(&self, socket: &Socket, recoverable: &Recoverable) -> bool {
        if lock(&self.recovery.store).holds(&recoverable.pid) {
            return true;
        }
        let is_live = lock(&self.recovery.live).of(&recoverable.pid, Arc::as_ptr(&socket.0)).is_some();
        is_live && (recoverable.is_kept() || recoverable.may_be_kept() && socket.was_lost())
    }

    /// A socket could not enter the hub: the session that it was to go on with ends.
    pub(crate) fn refused(&self, socket: &Socket, recoverable: &Recoverable, membership: Membership) {
        self.left(recoverable, membership);
        let (data, namespace) = (socket.values(), socket.namespace_inner().name.clone());
        let Remains { live, left, .. } = recoverable.remains();
        let Some((membership, next)) = left else { return };
        let kept = live.keep(socket.id_shared(), namespace, membership, next, Some(Values::of(data)));
        self.recovery.tell(vec![(kept, Ended::Refused)]);
    }

    /// A socket leaves the hub, under whose lock this is called.
    pub(crate) fn left(&self, recoverable: &Recoverable, membership: Membership) {
        let (next, _) = self.passed();
        recoverable.left(membership, next);
    }

    /// A socket is gone, its disconnect handlers included: its session waits from here on, or is over.
    pub(crate) fn end(&self, socket: &Socket, recoverable: &Recoverable, data: TypeMap) {
        let Remains { live, left, keeps, accepted, is_unsure } = recoverable.remains();
        // Somebody has waited for this in vain if it is not there any more.
        let waiting = {
            let mut live = lock(&self.recovery.live);
            let is_there = live.of(&recoverable.pid, Arc::as_ptr(&socket.0)).is_some();
            if is_there { live.remove(&recoverable.pid).map(|live| live.waiting) } else { None }
        };
        let was_refused = recoverable.recovered && !accepted;
        if let Some((membership, next)) = left.filter(|_| keeps || was_refused) {
            let namespace = socket.namespace_inner().name.clone();
            let kept = live.keep(socket.id_shared(), namespace, membership, next, Some(Values::of(data)));
            if waiting.is_none() {
                self.recovery.tell(vec![(kept, Ended::Replaced)]);
            } else if keeps && is_unsure {
                self.recovery.tell(vec![(kept, Ended::BusAway)]);
            } else if keeps {
                self.recovery.save(kept);
            } else {
                self.recovery.tell(vec![(kept, Ended::Refused)]);
            }
        }
        drop(waiting);
    }
}

impl Start {
    /// The beginning of a socket of a server that does not recover connections.
    pub(crate) fn plain(id: Arc<str>) -> Self {
        Self { id, data: TypeMap::default(), recoverable: None, resumed: None }
    }

    /// Takes the rooms out that the socket was in, and what it has missed.
    pub(crate) fn take_resumed(&mut self) -> (Option<Membership>, Vec<Frame>) {
        match self.resumed.take() {
            Some((membership, missed)) => (Some(membership), missed),
            None => (None, Vec::new()),
        }
    }
}
