//! Recovery of connections by a log that the nodes of a cluster share: a stream of Redis.
//!
//! An event is appended to the stream, and is sent to the sockets of this node when it comes back from there, with its place
//! in the stream for an offset. So all nodes have the same offsets in the same order, and a client that shows one to
//! another node is told there what came after it.

use crate::base::typemap::TypeMap;
use crate::cluster::{Cluster, SessionData};
use crate::server::pending::{LogEvent, Pending, WEIGHT};
use crate::server::recovery::lock;
use crate::server::unrecovered::{Values, values};
use sansocket_protocol::cluster::node::{EntryId, FoundSession, LookupId, LookupOutcome, LostReason};
use sansocket_protocol::cluster::{self, Event, Session};
use sansocket_protocol::hub::{Journal, Membership};
use sansocket_protocol::message::Frame;
use sansocket_protocol::recovery::{
    Appended, Audience, Data, Ended, KeptSession, LiveSession, Lookup, NewEvent, NotRecovered, Notify,
    Recovered, RecoveryConfig, RecoveryStore, StoreStats,
};
use sansocket_protocol::socket::Parser;
use sansocket_protocol::time::Instant;
use serde_json::{Map, Value};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fmt;
use std::mem;
use std::sync::{Arc, Mutex, OnceLock, Weak};

/// The log of a server: its place in the cluster, and what waits for it.
pub(crate) struct StreamLog {
    /// Set once the server is a node.
    cluster: OnceLock<Weak<Cluster>>,
    parser: Parser,
    pub(super) pending: Pending,
    store: Mutex<Store>,
}

/// The sessions of this node.
struct Store {
    config: RecoveryConfig,
    /// The number of the next event. No event is kept here, so all are forgotten.
    next: u64,
    /// Sessions that were saved from here, with the application's values, which do not leave the process.
    saved: BTreeMap<Arc<str>, Saved>,
    /// In the order in which they end: one for each of them.
    order: BTreeSet<(Instant, Arc<str>)>,
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
    lookup: LookupId,
    namespace: Arc<str>,
    /// The offset that the client shows: what it has missed is from there on.
    offset: Arc<str>,
    found: Option<Found>,
    /// Nobody waits for it any more. Its search goes on, for whoever asks next.
    is_given_up: bool,
    /// The events of its namespace since it is looked for.
    passed: Vec<(EntryId, Audience, Frame)>,
    bytes: usize,
    is_beyond: bool,
}

/// A session that was taken from the stream's keys.
enum Found {
    /// With all that its client has missed.
    Whole(Box<FoundSession>),
    /// The bus was too slow to tell that. It is over, unless its client has gone: that may come again.
    Unread(Box<Session>),
}

impl Found {
    fn session(&self) -> &Session {
        match self {
            Self::Whole(found) => &found.session,
            Self::Unread(session) => session,
        }
    }
}

impl StreamLog {
    pub(crate) fn new(config: RecoveryConfig, parser: Parser) -> Arc<Self> {
        let store = Store {
            config,
            next: 0,
            saved: BTreeMap::new(),
            order: BTreeSet::new(),
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
            pending: Pending::new(config.max_bytes),
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

    /// Appends an event. True if there is something to send.
    pub(crate) fn append(&self, event: LogEvent) -> bool {
        let LogEvent { namespace, target, frame } = &event;
        let (name, of_message) = (namespace.name.clone(), target.clone());
        let cluster = self.cluster().zip(Event::of_frame(&self.parser, frame));
        self.pending
            .append(event, || cluster.and_then(|(cluster, event)| cluster.append(&name, event, of_message)))
    }

    // --- sessions --------------------------------------------------------------------------------------------------

    /// Takes the application's values of sessions that are over here, to be dropped without a lock.
    pub(crate) fn take_dropped(&self) -> Vec<Data> {
        mem::take(&mut lock(&self.store).dropped)
    }

    /// A session was looked for.
    pub(crate) fn found(
        &self,
        lookup: LookupId,
        namespace: Arc<str>,
        pid: &Arc<str>,
        outcome: LookupOutcome,
    ) {
        let notify = {
            let mut guard = lock(&self.store);
            let store = &mut *guard;
            let found = match outcome {
                LookupOutcome::Found(found) => Some(Found::Whole(found)),
                LookupOutcome::Lost { session, reason: LostReason::BusAway } => Some(Found::Unread(session)),
                LookupOutcome::Lost { session, reason } => {
                    let reason = match reason {
                        LostReason::TooMany => NotRecovered::TooMany,
                        LostReason::TooMuch => NotRecovered::TooMuch,
                        _ => NotRecovered::Gap,
                    };
                    store.end(&session, namespace.clone(), Ended::NotRecovered(reason));
                    None
                }
                _ => None,
            };
            let is_it = |looked_for: &&mut LookedFor| looked_for.lookup == lookup;
            let looked_for = store.looked_for.get_mut(pid).filter(is_it);
            let (is_known, is_awaited) =
                (looked_for.is_some(), looked_for.as_ref().is_some_and(|one| !one.is_given_up));
            let has_found = match (found, looked_for) {
                (Some(found), Some(looked_for)) if is_awaited => {
                    looked_for.found = Some(found);
                    true
                }
                (Some(found), _) => {
                    self.put_back(store, found.session(), namespace);
                    false
                }
                (None, _) => false,
            };
            if is_known && !has_found {
                store.forget(pid);
            }
            if is_awaited {
                store.told.push_back(pid.clone());
            }
            store.notify.clone()
        };
        if let Some(notify) = notify {
            notify();
        }
    }

    /// A session that was taken for nobody waits again. If it cannot, that is its end.
    fn put_back(&self, store: &mut Store, session: &Session, namespace: Arc<str>) {
        let window = store.config.window;
        if !self.cluster().is_some_and(|cluster| cluster.save_session(session, window)) {
            store.end(session, namespace, Ended::BusAway);
        }
    }
}

impl LookedFor {
    fn is_for(&self, namespace: &str, offset: &str) -> bool {
        *self.namespace == *namespace && *self.offset == *offset
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
        while let Some((until, pid)) = self.order.first() {
            if *until > now && self.saved.len() <= self.config.max_sessions {
                break;
            }
            let pid = pid.clone();
            let over = self.remove(&pid);
            self.dropped.extend(over.map(|saved| saved.data));
        }
    }

    /// Keeps a session's values for its client, if it comes back here.
    fn insert(&mut self, saved: Saved) {
        let pid = saved.session.pid.clone();
        let before = self.remove(&pid);
        self.dropped.extend(before.map(|before| before.data));
        self.order.insert((saved.until, pid.clone()));
        self.saved.insert(pid, saved);
    }

    /// A session is over that was taken from the stream's keys.
    fn end(&mut self, session: &Session, namespace: Arc<str>, reason: Ended) {
        let lost = self.take_up(session, namespace);
        self.ended.push_back((lost, reason));
    }

    fn remove(&mut self, pid: &Arc<str>) -> Option<Saved> {
        let saved = self.saved.remove(pid)?;
        self.order.remove(&(saved.until, pid.clone()));
        Some(saved)
    }

    /// A session that was found, as it is kept here: with the application's values, if it was saved here and has not been
    /// elsewhere since.
    fn take_up(&mut self, session: &Session, namespace: Arc<str>) -> KeptSession {
        let mut saved = self.remove(&session.pid);
        if saved.as_ref().is_some_and(|saved| saved.session != *session) {
            self.dropped.extend(saved.take().map(|saved| saved.data));
        }
        let data = saved.map_or_else(|| data_of(session), |saved| saved.data);
        let rooms = session.rooms.iter().filter(|room| **room != session.sid).cloned().collect();
        let membership = Membership { rooms, journal: Journal::new(self.config.max_room_changes) };
        let live = LiveSession::new(session.pid.clone(), self.next, &self.config);
        live.keep(session.sid.clone(), namespace, membership, self.next, data.0)
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
        store.insert(Saved { until: now + config.window, session: of_stream, data: session.data });
        store.keep_within(now);
    }

    fn holds(&self, pid: &str) -> bool {
        lock(&self.0.store).saved.contains_key(pid)
    }

    fn look_up(&mut self, now: Instant, namespace: &str, pid: &str, offset: Option<&str>) -> Lookup {
        // Without an offset nobody knows what the client has seen.
        let Some(offset) = offset else { return Lookup::Ready };
        if let Some(looked_for) = lock(&self.0.store).looked_for.get_mut(pid) {
            // Another question has another answer: that client begins anew.
            if !looked_for.is_for(namespace, offset) || looked_for.found.is_some() {
                return Lookup::Ready;
            }
            looked_for.is_given_up = false;
            return Lookup::Pending;
        }
        let Some(cluster) = self.0.cluster() else { return Lookup::Ready };
        let mut store = lock(&self.0.store);
        store.keep_within(now);
        // The answer finds it: it waits for the store.
        let Some(lookup) = cluster.find_session(namespace, pid, offset) else { return Lookup::Ready };
        let looked_for = LookedFor {
            lookup,
            namespace: namespace.into(),
            offset: offset.into(),
            found: None,
            is_given_up: false,
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
        let Some(looked_for) = store.looked_for.get_mut(pid) else { return };
        looked_for.is_given_up = true;
        let (found, namespace) = (looked_for.found.take(), looked_for.namespace.clone());
        if let Some(found) = found {
            store.forget(pid);
            self.0.put_back(&mut store, found.session(), namespace);
        }
    }

    fn notify(&mut self, notify: Notify) {
        lock(&self.0.store).notify = Some(notify);
    }

    fn restore(
        &mut self,
        _: Instant,
        namespace: &str,
        pid: &str,
        offset: Option<&str>,
        capacity: usize,
    ) -> Result<Recovered, NotRecovered> {
        let mut store = lock(&self.0.store);
        let is_it = |looked_for: &&LookedFor| {
            offset.is_some_and(|offset| looked_for.is_for(namespace, offset)) && looked_for.found.is_some()
        };
        store.looked_for.get(pid).filter(is_it).ok_or(NotRecovered::Unknown)?;
        let looked_for = store.forget(pid).ok_or(NotRecovered::Unknown)?;
        let LookedFor { namespace: of_it, found, passed, is_beyond, .. } = looked_for;
        let FoundSession { session, missed, read_to } = match found.ok_or(NotRecovered::Unknown)? {
            Found::Whole(found) => *found,
            Found::Unread(session) => {
                store.end(&session, of_it, Ended::BusAway);
                return Err(NotRecovered::Unknown);
            }
        };
        let kept = store.take_up(&session, of_it);
        drop(store);
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
        if is_beyond || bytes > capacity {
            lock(&self.0.store).ended.push_back((kept, Ended::NotRecovered(NotRecovered::TooMuch)));
            return Err(NotRecovered::TooMuch);
        }
        Ok(Recovered { session: kept, missed: frames })
    }

    fn poll_timeout(&self) -> Option<Instant> {
        lock(&self.0.store).order.first().map(|(until, _)| *until)
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
