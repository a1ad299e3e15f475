//! The store in this process's memory.

use super::offsets::Offsets;
use super::session::{Ended, KeptSession, NotRecovered, Recovered};
use super::{Appended, Audience, NewEvent, RecoveryConfig, RecoveryStore, StoreStats};
use crate::message::Frame;
use crate::random::Random;
use crate::time::Instant;
use alloc::boxed::Box;
use alloc::collections::{BTreeMap, VecDeque};
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt;
use core::time::Duration;

/// Events are forgotten this seldom: a server that is quiet is not woken for each.
const FORGET_EVERY: Duration = Duration::from_secs(1);
/// The bytes that an offset counts for that came with its event, beside its own.
const GIVEN: usize = 128;
/// The number of no event.
const NONE: u64 = u64::MAX;

/// The events of a namespace that are for a room, or with `None` those that are for everyone.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Chain {
    namespace: Arc<str>,
    room: Option<Arc<str>>,
}

/// The numbers of the events before one in its chains.
#[derive(Debug)]
enum Links {
    /// In its only chain.
    One(u64),
    /// In those of its rooms, in their order.
    Several(Box<[u64]>),
}

#[derive(Debug)]
struct Event {
    at: Instant,
    namespace: Arc<str>,
    audience: Audience,
    /// `None` if it was retracted.
    frame: Option<Frame>,
    before: Links,
    weight: usize,
}

impl Event {
    /// The one before it in the chain of that room, which it is for.
    fn before(&self, room: Option<&Arc<str>>) -> u64 {
        match &self.before {
            Links::One(before) => *before,
            Links::Several(links) => {
                // A room that is named twice has its link at the first place.
                let at = self.audience.rooms().iter().position(|found| Some(found) == room);
                at.and_then(|at| links.get(at)).copied().unwrap_or(NONE)
            }
        }
    }
}

#[derive(Debug)]
struct Waiting {
    session: KeptSession,
    until: Instant,
    /// Its place among those that wait.
    ticket: u64,
    weight: usize,
}

/// A store in this process's memory: bounded in time, in sessions and in bytes by its [`RecoveryConfig`].
///
/// An event is kept once, however many receivers it has, and linked for each of its rooms to the one before it that has the
/// same room: the cost of a recovery grows with the events of its rooms and those for everyone, not with all that are kept,
/// and is at most [`RecoveryConfig::max_searched`] of them.
pub struct MemoryStore {
    config: RecoveryConfig,
    offsets: Offsets,
    events: VecDeque<Event>,
    /// The number of the first of them.
    first: u64,
    /// The last event of each chain.
    chains: BTreeMap<Chain, u64>,
    /// The events whose offsets came with them, by these and by their numbers.
    given: BTreeMap<Arc<str>, u64>,
    given_numbers: BTreeMap<u64, Arc<str>>,
    sessions: BTreeMap<Arc<str>, Waiting>,
    /// Those that wait, the longest first.
    queue: BTreeMap<u64, Arc<str>>,
    tickets: u64,
    bytes: usize,
    ended: VecDeque<(KeptSession, Ended)>,
    forget_at: Instant,
}

impl fmt::Debug for MemoryStore {
    /// The keys are private ids: whoever knows one can take the session over.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (events, sessions) = (self.events.len(), self.sessions.len());
        f.debug_struct("MemoryStore")
            .field("events", &events)
            .field("sessions", &sessions)
            .finish_non_exhaustive()
    }
}

impl MemoryStore {
    /// An empty store.
    pub fn new(config: RecoveryConfig, mut random: Random) -> Self {
        Self {
            config,
            offsets: Offsets::new(&mut random),
            events: VecDeque::new(),
            first: 0,
            chains: BTreeMap::new(),
            given: BTreeMap::new(),
            given_numbers: BTreeMap::new(),
            sessions: BTreeMap::new(),
            queue: BTreeMap::new(),
            tickets: 0,
            bytes: 0,
            ended: VecDeque::new(),
            forget_at: Instant::FAR_FUTURE,
        }
    }

    /// The rooms that have events here.
    #[cfg(test)]
    pub(super) fn rooms(&self) -> usize {
        self.chains.len()
    }

    fn event(&self, number: u64) -> Option<&Event> {
        let at = usize::try_from(number.checked_sub(self.first)?).ok()?;
        self.events.get(at)
    }

    /// The time for which events are kept: a period longer than promised, because sessions note events by periods.
    fn kept_for(&self) -> Duration {
        let promised = self.config.window.saturating_add(self.config.detection);
        promised.saturating_add(self.config.period())
    }

    /// Puts the event of that number at the end of the chains of its rooms, and returns the ones before it there.
    fn link(&mut self, namespace: &Arc<str>, audience: &Audience, number: u64) -> Links {
        let mut add = |room: Option<&Arc<str>>| {
            let chain = Chain { namespace: namespace.clone(), room: room.cloned() };
            // The room of that number is named twice.
            self.chains.insert(chain, number).filter(|before| *before != number).unwrap_or(NONE)
        };
        match audience.rooms() {
            [] => Links::One(add(None)),
            [room] => Links::One(add(Some(room))),
            rooms => Links::Several(rooms.iter().map(|room| add(Some(room))).collect()),
        }
    }

    fn forget_first(&mut self) -> bool {
        let Some(event) = self.events.pop_front() else { return false };
        let rooms = event.audience.rooms();
        let everyone = rooms.is_empty().then_some(None);
        for room in rooms.iter().cloned().map(Some).chain(everyone) {
            let chain = Chain { namespace: event.namespace.clone(), room };
            if self.chains.get(&chain) == Some(&self.first) {
                self.chains.remove(&chain);
            }
        }
        if let Some(offset) = self.given_numbers.remove(&self.first) {
            if self.given.get(&offset) == Some(&self.first) {
                self.given.remove(&offset);
            }
        }
        self.first = self.first.saturating_add(1);
        self.bytes = self.bytes.saturating_sub(event.weight);
        true
    }

    fn forget_old(&mut self, now: Instant) {
        let kept_for = self.kept_for();
        while self.events.front().is_some_and(|event| event.at + kept_for <= now) {
            self.forget_first();
        }
        if self.events.is_empty() {
            self.events = VecDeque::new();
        }
        self.forget_at = self
            .events
            .front()
            .map_or(Instant::FAR_FUTURE, |event| (event.at + kept_for).max(now + FORGET_EVERY));
    }

    fn take(&mut self, pid: &str) -> Option<KeptSession> {
        let waiting = self.sessions.remove(pid)?;
        self.queue.remove(&waiting.ticket);
        self.bytes = self.bytes.saturating_sub(waiting.weight);
        Some(waiting.session)
    }

    fn end_first(&mut self, why: Ended) -> bool {
        let Some(pid) = self.queue.values().next().cloned() else { return false };
        let session = self.take(&pid);
        self.ended.extend(session.map(|session| (session, why)));
        true
    }

    fn keep_within(&mut self) {
        while self.sessions.len() > self.config.max_sessions {
            self.end_first(Ended::Evicted);
        }
        while self.bytes > self.config.max_bytes {
            if !self.forget_first() && !self.end_first(Ended::Evicted) {
                return;
            }
        }
    }

    /// The numbers of the events from `from` on that may have been for a session, the latest first.
    fn candidates(&self, session: &KeptSession, from: u64) -> Result<Vec<u64>, NotRecovered> {
        let rooms = session.membership.ever();
        let rooms = rooms.into_iter().map(Some).chain([Some(&session.sid), None]);
        let mut found = Vec::new();
        for room in rooms {
            let chain = Chain { namespace: session.namespace.clone(), room: room.cloned() };
            let mut number = self.chains.get(&chain).copied().unwrap_or(NONE);
            while number != NONE && number >= from {
                let Some(event) = self.event(number) else { break };
                if found.len() >= self.config.max_searched {
                    return Err(NotRecovered::TooMany);
                }
                found.push(number);
                number = event.before(room);
            }
        }
        // An event for several of its rooms is found in each.
        found.sort_unstable_by(|a, b| b.cmp(a));
        found.dedup();
        Ok(found)
    }

    /// The events that a session has missed, in order, with their numbers and times.
    fn missed(
        &self,
        session: &KeptSession,
        seen: Result<Option<u64>, ()>,
        capacity: usize,
    ) -> Result<Vec<(u64, Instant, Frame)>, NotRecovered> {
        let from = session.missed_from(seen, self.first)?;
        if from < self.first || from < session.membership.journal.since() {
            return Err(NotRecovered::Gap);
        }
        let (mut missed, mut bytes) = (Vec::new(), 0usize);
        let mut past = session.membership.past();
        for number in self.candidates(session, from)? {
            let Some(event) = self.event(number) else { continue };
            let rooms = past.at(number);
            let Some(frame) = &event.frame else { continue };
            if event.audience.includes(&session.sid, |room| rooms.contains(room)) {
                bytes = bytes.saturating_add(frame.queued_len());
                if bytes > capacity {
                    return Err(NotRecovered::TooMuch);
                }
                missed.push((number, event.at, frame.clone()));
            }
        }
        missed.reverse();
        Ok(missed)
    }
}

impl RecoveryStore for MemoryStore {
    fn next(&self) -> u64 {
        self.first.saturating_add(self.events.len() as u64)
    }

    fn oldest(&self) -> u64 {
        self.first
    }

    fn append(&mut self, now: Instant, event: NewEvent<'_>) -> Appended {
        if now >= self.forget_at {
            self.forget_old(now);
        }
        let number = self.next();
        let given = event.offset.is_some();
        let offset = event.offset.unwrap_or_else(|| self.offsets.offset(number));
        let frame = event.parser.with_offset(event.frame, &offset);
        let before = self.link(event.namespace, &event.audience, number);
        let mut weight =
            frame.wire_len().saturating_add(event.audience.weight()).saturating_add(RecoveryConfig::EVENT);
        if given {
            weight = weight.saturating_add(offset.len()).saturating_add(GIVEN);
            self.given.insert(offset.clone(), number);
            self.given_numbers.insert(number, offset.clone());
        }
        self.events.push_back(Event {
            at: now,
            namespace: event.namespace.clone(),
            audience: event.audience,
            frame: Some(frame.clone()),
            before,
            weight,
        });
        self.bytes = self.bytes.saturating_add(weight);
        self.forget_at = self.forget_at.min(now + self.kept_for());
        self.keep_within();
        Appended { number, offset, frame }
    }

    fn retract(&mut self, number: u64) {
        let at = number.checked_sub(self.first).and_then(|at| usize::try_from(at).ok());
        if let Some(frame) = at.and_then(|at| self.events.get_mut(at)).and_then(|event| {
            let frame = event.frame.take()?;
            event.weight = event.weight.saturating_sub(frame.wire_len());
            Some(frame)
        }) {
            self.bytes = self.bytes.saturating_sub(frame.wire_len());
        }
    }

    fn save(&mut self, now: Instant, session: KeptSession) {
        let pid = session.live.pid().clone();
        // Private ids are drawn at random, and a session is saved once: but what ends is told of.
        let replaced = self.take(&pid);
        self.ended.extend(replaced.map(|session| (session, Ended::Replaced)));
        let weight = session.weight();
        self.tickets = self.tickets.saturating_add(1);
        self.queue.insert(self.tickets, pid.clone());
        let until = now + self.config.window;
        self.sessions.insert(pid, Waiting { session, until, ticket: self.tickets, weight });
        self.bytes = self.bytes.saturating_add(weight);
        self.keep_within();
    }

    fn holds(&self, pid: &str) -> bool {
        self.sessions.contains_key(pid)
    }

    fn restore(
        &mut self,
        now: Instant,
        namespace: &str,
        pid: &str,
        offset: Option<&str>,
        capacity: usize,
    ) -> Result<Recovered, NotRecovered> {
        let waiting = self.sessions.get(pid).filter(|waiting| *waiting.session.namespace == *namespace);
        let waiting = waiting.ok_or(NotRecovered::Unknown)?;
        if waiting.until <= now {
            let session = self.take(pid);
            self.ended.extend(session.map(|session| (session, Ended::Expired)));
            return Err(NotRecovered::Unknown);
        }
        let seen = match offset {
            None => Ok(None),
            Some(offset) => {
                let given = self.given.get(offset).copied();
                given.or_else(|| self.offsets.number(offset, self.next())).map(Some).ok_or(())
            }
        };
        let missed = self.missed(&waiting.session, seen, capacity);
        let mut session = self.take(pid).ok_or(NotRecovered::Unknown)?;
        match missed {
            Ok(missed) => {
                // Nobody asks again for what was seen.
                if let Ok(Some(seen)) = seen {
                    session.live.seen(seen);
                }
                for (number, at, _) in &missed {
                    session.live.sent(*at, *number);
                }
                Ok(Recovered { session, missed: missed.into_iter().map(|(_, _, frame)| frame).collect() })
            }
            Err(error) => {
                self.ended.push_back((session, Ended::NotRecovered(error)));
                Err(error)
            }
        }
    }

    fn poll_timeout(&self) -> Option<Instant> {
        let first = self.queue.values().next().and_then(|pid| self.sessions.get(pid));
        let session = first.map_or(Instant::FAR_FUTURE, |waiting| waiting.until);
        Some(session.min(self.forget_at)).filter(|at| *at < Instant::FAR_FUTURE)
    }

    fn handle_timeout(&mut self, now: Instant) {
        // They wait equally long, so that the first one is the first to end.
        while let Some(pid) = self.queue.values().next() {
            if self.sessions.get(pid).is_some_and(|waiting| waiting.until > now) {
                break;
            }
            self.end_first(Ended::Expired);
        }
        if now >= self.forget_at {
            self.forget_old(now);
        }
    }

    fn poll_ended(&mut self) -> Option<(KeptSession, Ended)> {
        self.ended.pop_front()
    }

    fn drain(&mut self) -> Vec<KeptSession> {
        let pids: Vec<Arc<str>> = self.queue.values().cloned().collect();
        pids.iter().filter_map(|pid| self.take(pid)).collect()
    }

    fn stats(&self) -> StoreStats {
        StoreStats { sessions: self.sessions.len(), events: self.events.len(), bytes: self.bytes }
    }
}
