//! The sessions that clients ask for when they come back: taken from beside the stream, with the events that they have
//! missed.

use super::sessions::EntryId;
use super::{LookupId, Node, NodeEvent, NodeTransmit, StreamEntry, Timer};
use crate::cluster::node::Dialect;
use crate::cluster::{Event, Limits, MalformedError, Message, Session};
use crate::hub::Target;
use crate::time::Instant;
use alloc::boxed::Box;
use alloc::collections::{BTreeMap, BTreeSet, VecDeque};
use alloc::sync::Arc;
use alloc::vec::Vec;
use bytes::Bytes;

/// The entries of the first page of a session: not many, for nobody knows how large they are.
const FIRST_PAGE: usize = 16;
/// The most entries of a page.
const LONGEST_PAGE: usize = 256;
/// The bytes that a page is to have about, by the entries of the one before.
const PAGE_BYTES: usize = 1 << 20;
/// The pages that are read at a time, each for another session.
const READING: usize = 4;

/// A session that was taken for a client that comes back, and the events that it has missed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FoundSession {
    /// The session.
    pub session: Session,
    /// The missed events with their ids, in order.
    pub missed: Vec<(EntryId, Event)>,
    /// The place in the stream up to which they were read. The node has handed over all that is before it.
    pub read_to: EntryId,
}

/// The outcome of a search for a session.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum LookupOutcome {
    /// It is here, and can be recovered.
    Found(Box<FoundSession>),
    /// It was here, and cannot be recovered. It is over: nobody else finds it. It also follows an
    /// [`Unknown`](Self::Unknown) if the bus took the session too late and it could not be saved again.
    Lost {
        /// The session.
        session: Box<Session>,
        /// The reason.
        reason: LostReason,
    },
    /// Nobody keeps it, or the bus is away.
    Unknown,
}

/// The reason why a session that was found cannot be recovered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum LostReason {
    /// The stream does not hold all any more that came behind the last event that its client has seen.
    Gap,
    /// More entries have passed than [`max_recovered_entries`](super::NodeConfig::max_recovered_entries).
    TooMany,
    /// The missed entries have more bytes than [`max_recovered_bytes`](super::NodeConfig::max_recovered_bytes).
    TooMuch,
    /// The bus went away before all was read, or took too long.
    BusAway,
}

/// A session that is looked for.
#[derive(Debug)]
pub(super) struct Lookup {
    pub(super) namespace: Arc<str>,
    pub(super) pid: Arc<str>,
    pub(super) deadline: Instant,
    pub(super) read_to: EntryId,
    pub(super) session: Option<Session>,
    pub(super) missed: Vec<(EntryId, Event)>,
    pub(super) entries: usize,
    /// Of all that was read.
    pub(super) read_bytes: usize,
    /// Of what was missed.
    pub(super) bytes: usize,
    /// The entries of the next page.
    pub(super) page: usize,
    pub(super) is_read: bool,
}

/// All sessions that are looked for.
#[derive(Debug, Default)]
pub(super) struct Lookups {
    pub(super) open: BTreeMap<LookupId, Lookup>,
    pub(super) last: u64,
    /// Those whose pages are under way, and those that wait for their turn.
    pub(super) reading: BTreeSet<LookupId>,
    pub(super) waiting: VecDeque<LookupId>,
    /// Bytes of all that was found and is not handed over.
    pub(super) bytes: usize,
    /// Those that ended before the bus had answered: a session that it takes for them waits again.
    pub(super) late: BTreeMap<LookupId, Late>,
}

/// A lookup whose answer nobody waits for any more.
#[derive(Debug)]
pub(super) struct Late {
    pub(super) namespace: Arc<str>,
    pub(super) pid: Arc<str>,
    /// The driver should have said something by then.
    pub(super) until: Instant,
}

impl Lookups {
    pub(super) fn len(&self) -> usize {
        self.open.len()
    }

    fn is_full(&self, limit: usize) -> bool {
        self.open.len().saturating_add(self.late.len()) >= limit
    }
}

impl Node {
    /// Takes a session for a client that shows its private id and the offset of the last event that it has seen, with what it
    /// has missed since: [`NodeEvent::Found`] tells by this name, also if it is not there. `None` if it need not be looked
    /// for: the offset is none of this stream, the bus is away, or too many are looked for.
    pub fn find_session(
        &mut self,
        now: Instant,
        namespace: &str,
        pid: &str,
        offset: &str,
    ) -> Option<LookupId> {
        let now = self.tick(now);
        let (Dialect::Streams(streams), Some(log)) = (&self.dialect, self.log.as_mut()) else { return None };
        let (namespace, _) = self.spaces.get_key_value(namespace)?;
        let read_to = offset.parse::<EntryId>().ok()?;
        let lookups = &mut log.lookups;
        let is_too_long = pid.len() > self.config.limits.name_bytes;
        if !self.is_up || is_too_long || lookups.is_full(self.config.max_lookups) {
            return None;
        }
        lookups.last = lookups.last.saturating_add(1);
        let id = LookupId(lookups.last);
        let deadline = now + self.config.answer_timeout;
        let lookup = Lookup {
            namespace: namespace.clone(),
            pid: pid.into(),
            deadline,
            read_to,
            session: None,
            missed: Vec::new(),
            entries: 0,
            read_bytes: 0,
            bytes: 0,
            page: FIRST_PAGE,
            is_read: false,
        };
        lookups.open.insert(id, lookup);
        self.timers.insert((deadline, Timer::Lookup(id)));
        self.transmits.push_back(NodeTransmit::Take {
            key: streams.session_key(pid),
            stream: streams.stream().into(),
            offset: read_to,
            lookup: id,
        });
        Some(id)
    }

    /// The value of a session's key, which is deleted with that, and whether the stream still has the entry of the offset.
    /// If the search has ended meanwhile, the session goes to the next one for it, or is put back.
    pub fn handle_taken(&mut self, now: Instant, lookup: LookupId, value: Option<&[u8]>, has_offset: bool) {
        self.tick(now);
        let limits = self.config.limits;
        let Some(log) = self.log.as_mut() else { return };
        if let Some(late) = log.lookups.late.remove(&lookup) {
            self.timers.remove(&(late.until, Timer::Lookup(lookup)));
            let Some(value) = value else { return };
            return match self.next_lookup(&late) {
                // Its pages say whether the stream still has its offset.
                Some(next) => self.handle_taken(now, next, Some(value), true),
                None => self.put_back(lookup, &late, value),
            };
        }
        // One that has its session from the search before is told by the bus that there is none.
        let is_looked_for = |found: &&mut Lookup| found.session.is_none();
        let Some(found) = log.lookups.open.get_mut(&lookup).filter(is_looked_for) else { return };
        let Some(value) = value else { return self.end_lookup(lookup, None) };
        let session = session_of(value, &found.namespace, &found.pid, &limits);
        match session {
            Ok(session) => {
                found.session = Some(session);
                if has_offset {
                    self.read_on(lookup);
                } else {
                    self.end_lookup(lookup, Some(LostReason::Gap));
                }
            }
            Err(error) => {
                self.malformed(error);
                self.end_lookup(lookup, None);
            }
        }
    }

    /// The search for the same session that has begun since. The bus says to it that nobody keeps the session.
    fn next_lookup(&self, late: &Late) -> Option<LookupId> {
        let mut open = self.log.as_ref()?.lookups.open.iter();
        let is_next = |next: &Lookup| {
            next.session.is_none() && next.pid == late.pid && next.namespace == late.namespace
        };
        open.find(|(_, next)| is_next(next)).map(|(id, _)| *id)
    }

    /// A session was taken for a search that is over. It waits again; if it cannot, it is told that it is lost.
    fn put_back(&mut self, lookup: LookupId, late: &Late, value: &[u8]) {
        let Dialect::Streams(streams) = &self.dialect else { return };
        let session = match session_of(value, &late.namespace, &late.pid, &self.config.limits) {
            Ok(session) => Box::new(session),
            Err(error) => return self.malformed(error),
        };
        let (key, time) = (streams.session_key(&late.pid), self.config.recovery_window);
        let value = Bytes::copy_from_slice(value);
        if !self.push(value.len(), move || NodeTransmit::Save { key, value, time }) {
            let (namespace, pid) = (late.namespace.clone(), late.pid.clone());
            let outcome = LookupOutcome::Lost { session, reason: LostReason::BusAway };
            self.events.push_back(NodeEvent::Found { lookup, namespace, pid, outcome });
        }
    }

    /// Has the next page of a session read, when it is its turn.
    fn read_on(&mut self, lookup: LookupId) {
        if let Some(log) = self.log.as_mut() {
            log.lookups.waiting.push_back(lookup);
        }
        self.begin_pages();
    }

    fn begin_pages(&mut self) {
        let (Dialect::Streams(streams), Some(log)) = (&self.dialect, self.log.as_mut()) else { return };
        let lookups = &mut log.lookups;
        while lookups.reading.len() < READING {
            let Some(id) = lookups.waiting.pop_front() else { return };
            // It may be over.
            let Some(lookup) = lookups.open.get(&id) else { continue };
            lookups.reading.insert(id);
            // From the last one that was read: as long as that is there, nothing behind it has been cut off.
            let (stream, from) = (streams.stream().into(), lookup.read_to);
            self.transmits.push_back(NodeTransmit::Page { stream, from, count: lookup.page, lookup: id });
        }
    }

    /// The next entries of the stream for a session, from the one on that was asked for: at the end of the stream that one
    /// alone, and without it if the stream does not hold it any more.
    pub fn handle_page<'a>(
        &mut self,
        now: Instant,
        lookup: LookupId,
        entries: impl IntoIterator<Item = &'a StreamEntry>,
    ) {
        self.tick(now);
        let has_read = self.read_page(lookup, entries);
        if let Some(log) = self.log.as_mut() {
            log.lookups.reading.remove(&lookup);
        }
        match has_read {
            Ok(true) => self.read_on(lookup),
            Ok(false) => {
                self.begin_pages();
                self.end_lookups_that_are_read();
            }
            Err(reason) => {
                self.counts.refused =
                    self.counts.refused.saturating_add(u64::from(reason != LostReason::Gap));
                self.end_lookup(lookup, Some(reason));
            }
        }
    }

    /// Whether there was something, or the reason why it is too much.
    fn read_page<'a>(
        &mut self,
        lookup: LookupId,
        entries: impl IntoIterator<Item = &'a StreamEntry>,
    ) -> Result<bool, LostReason> {
        let (limits, config) = (&self.config.limits, &self.config);
        let (Dialect::Streams(streams), Some(log)) = (&self.dialect, self.log.as_mut()) else {
            return Ok(false);
        };
        let lookups = &mut log.lookups;
        let Some(found) = lookups.open.get_mut(&lookup) else { return Ok(false) };
        let (before, mut bytes, mut count, mut is_held) = (found.read_to, 0usize, 0usize, false);
        for entry in entries {
            let Ok(id) = entry.id.parse::<EntryId>() else { continue };
            if id <= found.read_to {
                is_held |= id == before;
                continue;
            }
            found.read_to = id;
            (bytes, count) = (bytes.saturating_add(entry.bytes()), count.saturating_add(1));
            let read = streams.decode_entry(entry.fields(), limits);
            let (Ok(envelope), Some(session)) = (read, &found.session) else { continue };
            let Message::Emit { event, target, ack: None } = envelope.message else { continue };
            if envelope.namespace != found.namespace || !is_for(session, &target) {
                continue;
            }
            let weight = event.weight();
            found.bytes = found.bytes.saturating_add(weight);
            lookups.bytes = lookups.bytes.saturating_add(weight);
            if lookups.bytes > config.max_recovered_bytes {
                return Err(LostReason::TooMuch);
            }
            found.missed.push((id, event));
        }
        if !is_held {
            return Err(LostReason::Gap);
        }
        found.entries = found.entries.saturating_add(count);
        found.read_bytes = found.read_bytes.saturating_add(bytes);
        if found.entries > config.max_recovered_entries {
            return Err(LostReason::TooMany);
        }
        if found.read_bytes > config.max_recovered_bytes {
            return Err(LostReason::TooMuch);
        }
        let fitting = PAGE_BYTES.checked_div(bytes.checked_div(count).unwrap_or(0)).unwrap_or(LONGEST_PAGE);
        found.page = fitting.clamp(2, LONGEST_PAGE.min(found.page.saturating_mul(4)));
        found.is_read = found.read_to == before;
        Ok(!found.is_read)
    }

    /// A client goes on here once this node has handed over all that was read for it: what comes next is new to it.
    pub(super) fn end_lookups_that_are_read(&mut self) {
        let Some(log) = self.log.as_ref().filter(|log| log.lookups.len() > 0) else { return };
        let is_over = |lookup: &Lookup| lookup.is_read && lookup.read_to <= log.position;
        let open = log.lookups.open.iter();
        let over: Vec<LookupId> = open.filter(|(_, lookup)| is_over(lookup)).map(|(id, _)| *id).collect();
        over.into_iter().for_each(|id| self.end_lookup(id, None));
    }

    /// Tells what came of it; if there is a reason, that is why a session that was found is lost.
    pub(super) fn end_lookup(&mut self, id: LookupId, lost: Option<LostReason>) {
        let Some(log) = self.log.as_mut() else { return };
        let Some(lookup) = log.lookups.open.remove(&id) else { return };
        log.lookups.bytes = log.lookups.bytes.saturating_sub(lookup.bytes);
        log.lookups.reading.remove(&id);
        self.timers.remove(&(lookup.deadline, Timer::Lookup(id)));
        let Lookup { namespace, pid, session, missed, read_to, .. } = lookup;
        if session.is_none() && lost.is_some() {
            let until = self.now + self.config.max_answer_timeout;
            log.lookups.late.insert(id, Late { namespace: namespace.clone(), pid: pid.clone(), until });
            self.timers.insert((until, Timer::Lookup(id)));
        }
        let outcome = match (session, lost) {
            (None, _) => LookupOutcome::Unknown,
            (Some(session), None) => {
                LookupOutcome::Found(Box::new(FoundSession { session, missed, read_to }))
            }
            (Some(session), Some(reason)) => LookupOutcome::Lost { session: Box::new(session), reason },
        };
        self.events.push_back(NodeEvent::Found { lookup: id, namespace, pid, outcome });
        self.begin_pages();
    }

    /// The time of a search is over, or that in which its late answer might have come.
    pub(super) fn lookup_overdue(&mut self, id: LookupId) {
        let late = self.log.as_mut().and_then(|log| log.lookups.late.remove(&id));
        if late.is_none() {
            self.end_lookup(id, Some(LostReason::BusAway));
        }
    }

    /// The connection is gone on which late answers would have come.
    pub(super) fn forget_late_lookups(&mut self) {
        let Some(log) = self.log.as_mut() else { return };
        for (id, late) in core::mem::take(&mut log.lookups.late) {
            self.timers.remove(&(late.until, Timer::Lookup(id)));
        }
    }

    /// Nothing is found any more, for that reason.
    pub(super) fn end_lookups(&mut self, reason: LostReason) {
        let Some(log) = self.log.as_mut() else { return };
        log.lookups.waiting.clear();
        let open: Vec<LookupId> = log.lookups.open.keys().copied().collect();
        open.into_iter().for_each(|id| self.end_lookup(id, Some(reason)));
    }
}

/// The session in the value of a key, if it is the one that was asked for.
fn session_of(value: &[u8], namespace: &str, pid: &str, limits: &Limits) -> Result<Session, MalformedError> {
    let session = Session::decode(value, limits)?;
    let is_of_here = session.namespace.as_deref().is_none_or(|of_it| of_it == namespace);
    if *session.pid == *pid && is_of_here { Ok(session) } else { Err(MalformedError::Field { field: "pid" }) }
}

/// Returns whether an event was for a session, by the rooms that it had at the end: what was volatile is not kept.
fn is_for(session: &Session, target: &Target) -> bool {
    let is_in = |rooms: &[Arc<str>]| rooms.iter().any(|room| session.rooms.contains(room));
    !target.flags.volatile && (target.rooms.is_empty() || is_in(&target.rooms)) && !is_in(&target.except)
}
