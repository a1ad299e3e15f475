//! Recovery of connections by a log that the nodes of a cluster share: a stream of Redis.
//!
//! An event is appended to the stream, and is sent to the sockets of this node when it comes back from there, with its place
//! in the stream for an offset. So all nodes have the same offsets in the same order, and a client that shows one to
//! another node is told there what came after it.

use crate::base::typemap::TypeMap;
use crate::cluster::{Cluster, SessionData};
use crate::server::namespace::NamespaceInner;
use crate::server::recovery::lock;
use crate::server::socket::{Delivery, Socket};
use crate::server::unrecovered::{Values, values};
use sansocket_protocol::cluster::node::{EntryId, FoundSession};
use sansocket_protocol::cluster::{self, Event, Session};
use sansocket_protocol::hub::{Journal, Membership, Target};
use sansocket_protocol::message::Frame;
use sansocket_protocol::recovery::{
    Appended, Audience, Data, Ended, KeptSession, LiveSession, Lookup, NewEvent, NotRecovered, Notify,
    Recovered, RecoveryConfig, RecoveryStore, StoreStats,
};
use sansocket_protocol::socket::Parser;
use sansocket_protocol::time::Instant;
use serde_json::{Map, Value};
use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::mem;
use std::sync::{Arc, Mutex, OnceLock, Weak};

/// The bytes that a thing counts for that waits, beside its own.
const WEIGHT: usize = 256;

/// The log of a server: its place in the cluster, and what waits for it.
pub(crate) struct StreamLog {
    /// Set once the server is a node.
    cluster: OnceLock<Weak<Cluster>>,
    parser: Parser,
    /// The events that were appended and did not come back.
    pending: Mutex<Pending>,
    max_pending: usize,
    store: Mutex<Store>,
}

#[derive(Default)]
struct Pending {
    events: BTreeMap<u64, PendingEvent>,
    bytes: usize,
}

/// An event of this node that is on its way to the stream.
pub(crate) struct PendingEvent {
    pub(crate) namespace: Arc<NamespaceInner>,
    pub(crate) target: Target,
    pub(crate) frame: Frame,
    /// The sockets that it was sent to all the same.
    pub(crate) has_reached: Vec<Socket>,
    /// It took too long, and was sent to all that were here.
    pub(crate) is_late: bool,
}

impl PendingEvent {
    fn weight(&self) -> usize {
        self.frame.wire_len().saturating_add(WEIGHT)
    }
}

/// The sessions of this node.
struct Store {
    config: RecoveryConfig,
    /// The number of the next event. No event is kept here, so all are forgotten.
    next: u64,
    /// Sessions that were saved from here, with the application's values, which do not leave the process.
    saved: BTreeMap<Arc<str>, Saved>,
    /// In the order in which they end.
    order: VecDeque<(Instant, Arc<str>)>,
    looked_for: BTreeMap<Arc<str>, LookedFor>,
    told: VecDeque<Arc<str>>,
    ended: VecDeque<(KeptSession, Ended)>,
    /// The application's values of sessions that are over here. Their destructors must not run under a lock.
    dropped: Vec<Data>,
    /// Bytes of what passes while sessions are looked for.
    bytes: usize,
    notify: Option<Notify>,
}

struct Saved {
    until: Instant,
    /// The session in the stream: if that is another one, the client has been elsewhere.
    session: Session,
    data: Data,
}

/// A session that a client waits for.
struct LookedFor {
    namespace: Arc<str>,
    found: Option<Box<FoundSession>>,
    /// The events of its namespace since it is looked for.
    passed: Vec<(EntryId, Audience, Frame)>,
    bytes: usize,
    is_beyond: bool,
}

impl StreamLog {
    pub(crate) fn new(config: RecoveryConfig, parser: Parser) -> Arc<Self> {
        let store = Store {
            config,
            next: 0,
            saved: BTreeMap::new(),
            order: VecDeque::new(),
            looked_for: BTreeMap::new(),
            told: VecDeque::new(),
            ended: VecDeque::new(),
            dropped: Vec::new(),
            bytes: 0,
            notify: None,
        };
        Arc::new(Self {
            cluster: OnceLock::new(),
            parser,
            pending: Mutex::default(),
            max_pending: config.max_bytes,
            store: Mutex::new(store),
        })
    }

    pub(crate) fn join(&self, cluster: &Arc<Cluster>) {
        // A server joins one cluster.
        let _ = self.cluster.set(Arc::downgrade(cluster));
    }

    fn cluster(&self) -> Option<Arc<Cluster>> {
        self.cluster.get()?.upgrade()
    }

    // --- events ----------------------------------------------------------------------------------------------------

    /// Appends an event. False if it cannot be: then it is to be sent here, behind all that is [taken](Self::take_all) before.
    pub(crate) fn append(&self, namespace: &Arc<NamespaceInner>, target: &Target, frame: &Frame) -> bool {
        let Some(cluster) = self.cluster() else { return false };
        let Some(event) = Event::of_frame(&self.parser, frame) else { return false };
        let (frame, of_message) = (frame.clone(), target.clone());
        let waiting = PendingEvent {
            namespace: namespace.clone(),
            target: target.clone(),
            frame,
            has_reached: Vec::new(),
            is_late: false,
        };
        let weight = waiting.weight();
        let mut pending = lock(&self.pending);
        if pending.bytes.saturating_add(weight) > self.max_pending {
            return false;
        }
        // It may be back before this returns, and is looked for under the lock.
        let Some(ticket) = cluster.append(&namespace.name, event, of_message) else { return false };
        pending.bytes = pending.bytes.saturating_add(weight);
        pending.events.insert(ticket, waiting);
        true
    }

    /// An event is back, or will not be.
    pub(crate) fn take(&self, ticket: u64) -> Option<PendingEvent> {
        let mut pending = lock(&self.pending);
        let event = pending.events.remove(&ticket)?;
        pending.bytes = pending.bytes.saturating_sub(event.weight());
        Some(event)
    }

    /// It was sent without an offset, and may be back later.
    pub(crate) fn put_back(&self, ticket: u64, event: PendingEvent) {
        let mut pending = lock(&self.pending);
        pending.bytes = pending.bytes.saturating_add(event.weight());
        pending.events.insert(ticket, event);
    }
}

impl StreamLog {
    /// Takes all events that are on their way, in their order: the bus is away.
    pub(crate) fn take_all(&self) -> Vec<PendingEvent> {
        let mut pending = lock(&self.pending);
        pending.bytes = 0;
        let events = mem::take(&mut pending.events);
        drop(pending);
        // Those that were sent already are not awaited any more.
        events.into_values().filter(|event| !event.is_late).collect()
    }

    /// The bus is away: what was sent already does not come back.
    pub(crate) fn forget_late(&self) {
        let mut pending = lock(&self.pending);
        let (late, others) = mem::take(&mut pending.events).into_iter().partition(|(_, event)| event.is_late);
        pending.events = others;
        pending.bytes = pending.events.values().fold(0usize, |sum, event| sum.saturating_add(event.weight()));
        drop(pending);
        // They may be the last of a socket, and of the application's values with it.
        let late: BTreeMap<u64, PendingEvent> = late;
        drop(late);
    }

    /// Sends to one socket what is on its way to it.
    pub(crate) fn serve_pending(
        &self,
        namespace: &Arc<NamespaceInner>,
        socket: &Socket,
        is_for: impl Fn(&Target) -> bool,
    ) {
        let mut pending = lock(&self.pending);
        for event in pending.events.values_mut() {
            if Arc::ptr_eq(&event.namespace, namespace)
                && !event.has_reached.contains(socket)
                && is_for(&event.target)
            {
                // It leaves for good.
                let _ = socket.deliver(&event.frame, Delivery::Queue);
                event.has_reached.push(socket.clone());
            }
        }
    }

    // --- sessions --------------------------------------------------------------------------------------------------

    /// Takes the application's values of sessions that are over here, to be dropped without a lock.
    pub(crate) fn take_dropped(&self) -> Vec<Data> {
        mem::take(&mut lock(&self.store).dropped)
    }

    /// A session was looked for.
    pub(crate) fn found(&self, pid: &Arc<str>, found: Option<Box<FoundSession>>) {
        let notify = {
            let mut guard = lock(&self.store);
            let store = &mut *guard;
            match store.looked_for.get_mut(pid) {
                Some(looked_for) => {
                    looked_for.found = found;
                    let is_there = looked_for.found.is_some();
                    if !is_there {
                        store.forget(pid);
                    }
                    store.told.push_back(pid.clone());
                }
                // Its client has gone meanwhile.
                None => {
                    if let Some(found) = found {
                        self.save_again(&store.config, &found.session);
                    }
                }
            }
            store.notify.clone()
        };
        if let Some(notify) = notify {
            notify();
        }
    }

    fn save_again(&self, config: &RecoveryConfig, session: &Session) {
        if let Some(cluster) = self.cluster() {
            cluster.save_session(session, config.window);
        }
    }
}

impl Store {
    /// Nobody waits for that session any more.
    fn forget(&mut self, pid: &str) -> Option<LookedFor> {
        let looked_for = self.looked_for.remove(pid)?;
        self.bytes = self.bytes.saturating_sub(looked_for.bytes);
        Some(looked_for)
    }

    /// Keeps what passes for those whose sessions are looked for.
    fn pass(&mut self, namespace: &str, id: EntryId, audience: &Audience, frame: &Frame) {
        let (max, mut bytes) = (self.config.max_bytes, self.bytes);
        for looked_for in
            self.looked_for.values_mut().filter(|one| *one.namespace == *namespace && !one.is_beyond)
        {
            let weight = frame.wire_len().saturating_add(WEIGHT);
            if bytes.saturating_add(weight) > max {
                looked_for.is_beyond = true;
                bytes = bytes.saturating_sub(mem::take(&mut looked_for.bytes));
                looked_for.passed = Vec::new();
                continue;
            }
            looked_for.passed.push((id, audience.clone(), frame.clone()));
            looked_for.bytes = looked_for.bytes.saturating_add(weight);
            bytes = bytes.saturating_add(weight);
        }
        self.bytes = bytes;
    }

    fn keep_within(&mut self, now: Instant) {
        while let Some((until, pid)) = self.order.front() {
            if *until > now && self.saved.len() <= self.config.max_sessions {
                break;
            }
            if self.saved.get(pid).is_some_and(|saved| saved.until == *until) {
                self.dropped.extend(self.saved.remove(pid).map(|saved| saved.data));
            }
            self.order.pop_front();
        }
    }
}

/// The store of a server that shares a log: what it is asked for is in the stream.
pub(crate) struct StreamStore(pub(crate) Arc<StreamLog>);

impl fmt::Debug for StreamStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StreamStore").field("stats", &self.stats()).finish()
    }
}

impl RecoveryStore for StreamStore {
    fn next(&self) -> u64 {
        lock(&self.0.store).next
    }

    fn oldest(&self) -> u64 {
        self.next()
    }

    fn append(&mut self, _: Instant, event: NewEvent<'_>) -> Appended {
        let mut store = lock(&self.0.store);
        let number = store.next;
        store.next = number.saturating_add(1);
        let Some(offset) = event.offset else {
            // It has no place in the stream.
            return Appended { number, offset: "".into(), frame: event.frame.clone() };
        };
        let frame = event.parser.with_offset(event.frame, &offset);
        if let Ok(id) = offset.parse() {
            store.pass(event.namespace, id, &event.audience, &frame);
        }
        Appended { number, offset, frame }
    }

    /// Does nothing: entries of the stream stay there.
    fn retract(&mut self, _: u64) {}

    fn save(&mut self, now: Instant, session: KeptSession) {
        let values = values(&session).and_then(|values| values.0.get::<SessionData>());
        let data = values
            .map_or_else(|| cluster::Values::new(&(Map::new(),)), |data| cluster::Values::new(&(&data.0,)));
        let of_stream = data.ok().map(|data| Session {
            sid: session.sid.clone(),
            pid: session.live.pid().clone(),
            rooms: [&session.sid].into_iter().chain(&session.membership.rooms).cloned().collect(),
            data,
            namespace: Some(session.namespace.clone()),
        });
        let config = lock(&self.0.store).config;
        let is_saved = of_stream.as_ref().is_some_and(|of_stream| {
            self.0.cluster().is_some_and(|cluster| cluster.save_session(of_stream, config.window))
        });
        let mut store = lock(&self.0.store);
        let Some(of_stream) = of_stream.filter(|_| is_saved) else {
            store.ended.push_back((session, Ended::BusAway));
            return;
        };
        let until = now + config.window;
        store.order.push_back((until, of_stream.pid.clone()));
        let saved = Saved { until, session: of_stream, data: session.data };
        let before = store.saved.insert(saved.session.pid.clone(), saved);
        store.dropped.extend(before.map(|before| before.data));
        store.keep_within(now);
    }

    fn holds(&self, pid: &str) -> bool {
        lock(&self.0.store).saved.contains_key(pid)
    }

    fn look_up(&mut self, now: Instant, namespace: &str, pid: &str, offset: Option<&str>) -> Lookup {
        if let Some(looked_for) = lock(&self.0.store).looked_for.get(pid) {
            return if looked_for.found.is_some() { Lookup::Ready } else { Lookup::Pending };
        }
        // Without an offset nobody knows what the client has seen.
        let Some(offset) = offset else { return Lookup::Ready };
        let Some(cluster) = self.0.cluster() else { return Lookup::Ready };
        let mut store = lock(&self.0.store);
        store.keep_within(now);
        // The answer finds it: it waits for the store.
        if !cluster.find_session(namespace, pid, offset) {
            return Lookup::Ready;
        }
        let looked_for = LookedFor {
            namespace: namespace.into(),
            found: None,
            passed: Vec::new(),
            bytes: 0,
            is_beyond: false,
        };
        store.looked_for.insert(pid.into(), looked_for);
        Lookup::Pending
    }

    fn poll_looked_up(&mut self) -> Option<Arc<str>> {
        lock(&self.0.store).told.pop_front()
    }

    fn give_up(&mut self, pid: &str) {
        let mut store = lock(&self.0.store);
        let config = store.config;
        let Some(LookedFor { found: Some(found), .. }) = store.forget(pid) else { return };
        drop(store);
        self.0.save_again(&config, &found.session);
    }

    fn notify(&mut self, notify: Notify) {
        lock(&self.0.store).notify = Some(notify);
    }

    fn restore(
        &mut self,
        _: Instant,
        namespace: &str,
        pid: &str,
        _: Option<&str>,
        capacity: usize,
    ) -> Result<Recovered, NotRecovered> {
        let mut store = lock(&self.0.store);
        let looked_for = store.forget(pid).filter(|looked_for| *looked_for.namespace == *namespace);
        let LookedFor { found, passed, is_beyond, .. } = looked_for.ok_or(NotRecovered::Unknown)?;
        let FoundSession { session, missed, read_to } = *found.ok_or(NotRecovered::Unknown)?;
        let number = store.next;
        let mut saved = store.saved.remove(pid);
        if saved.as_ref().is_some_and(|saved| saved.session != session) {
            store.dropped.extend(saved.take().map(|saved| saved.data));
        }
        let config = store.config;
        drop(store);
        let data = saved.map_or_else(|| data_of(&session), |saved| saved.data);
        let is_in = |room: &str| session.rooms.iter().any(|known| **known == *room);
        let mut frames = Vec::new();
        for (id, event) in missed {
            // It has been written once, and is now, too.
            if let Ok(frame) = self.0.parser.event(namespace, &event.name(), None, event.args()) {
                frames.push(self.0.parser.with_offset(&frame, &id.to_string()));
            }
        }
        let later = passed
            .into_iter()
            .filter(|(id, audience, _)| *id > read_to && audience.includes(&session.sid, is_in));
        frames.extend(later.map(|(_, _, frame)| frame));
        let bytes = frames.iter().fold(0usize, |sum, frame| sum.saturating_add(frame.queued_len()));
        let rooms = session.rooms.iter().filter(|room| **room != session.sid).cloned().collect();
        let membership = Membership { rooms, journal: Journal::new(config.max_room_changes) };
        let live = LiveSession::new(session.pid.clone(), number, &config);
        let kept = live.keep(session.sid, namespace.into(), membership, number, data.0);
        if is_beyond || bytes > capacity {
            lock(&self.0.store).ended.push_back((kept, Ended::NotRecovered(NotRecovered::TooMuch)));
            return Err(NotRecovered::TooMuch);
        }
        Ok(Recovered { session: kept, missed: frames })
    }

    fn poll_timeout(&self) -> Option<Instant> {
        lock(&self.0.store).order.front().map(|(until, _)| *until)
    }

    fn handle_timeout(&mut self, now: Instant) {
        lock(&self.0.store).keep_within(now);
    }

    fn poll_ended(&mut self) -> Option<(KeptSession, Ended)> {
        lock(&self.0.store).ended.pop_front()
    }

    /// They wait in the stream, whatever becomes of this server.
    fn drain(&mut self) -> Vec<KeptSession> {
        let mut guard = lock(&self.0.store);
        let store = &mut *guard;
        store.dropped.extend(mem::take(&mut store.saved).into_values().map(|saved| saved.data));
        store.order.clear();
        Vec::new()
    }

    fn stats(&self) -> StoreStats {
        let store = lock(&self.0.store);
        let mut stats = StoreStats::default();
        stats.sessions = store.saved.len();
        stats.bytes = store.bytes;
        stats
    }
}

/// The application's values of a session that comes from another node.
fn data_of(session: &Session) -> Data {
    let mut values = TypeMap::default();
    match session.data.args().get::<Value>(0) {
        Ok(value) if value != Value::Object(Map::new()) => drop(values.insert(Arc::new(SessionData(value)))),
        _ => {}
    }
    Data(Some(Values::of(values)))
}
