//! Recovery of connections on a stream: the entries that have places in it, the sessions that are kept beside it, and what
//! a client that comes back has missed.

use super::{LookupId, Node, NodeEvent, NodeTransmit, Timer};
use crate::cluster::node::Dialect;
use crate::cluster::node::encoding::{Encoded, Written};
use crate::cluster::{Event, MalformedError, Message, Origin, Session};
use crate::hub::Target;
use crate::time::Instant;
use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use alloc::string::{String, ToString};
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt;
use core::str::FromStr;
use core::time::Duration;

/// The field of an entry by which its node knows it again. Others do not read it.
const TICKET: &str = "ref";

/// The place of an entry in a stream, as Redis writes it: `<milliseconds>-<number>`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EntryId {
    milliseconds: u64,
    number: u64,
}

impl EntryId {
    /// An id of these two parts.
    pub fn new(milliseconds: u64, number: u64) -> Self {
        Self { milliseconds, number }
    }

    /// The first id behind this one.
    #[must_use]
    pub fn next(self) -> Self {
        match self.number.checked_add(1) {
            Some(number) => Self { number, ..self },
            None => Self { milliseconds: self.milliseconds.saturating_add(1), number: 0 },
        }
    }
}

impl fmt::Display for EntryId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.milliseconds, self.number)
    }
}

/// The text is no id of an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the text is no id of an entry, which is <milliseconds>-<number>")]
pub struct EntryIdError;

impl FromStr for EntryId {
    type Err = EntryIdError;

    fn from_str(text: &str) -> Result<Self, EntryIdError> {
        let is_number = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
        let (milliseconds, number) = text.split_once('-').ok_or(EntryIdError)?;
        if !is_number(milliseconds) || !is_number(number) {
            return Err(EntryIdError);
        }
        let part = |text: &str| text.parse().map_err(|_| EntryIdError);
        Ok(Self { milliseconds: part(milliseconds)?, number: part(number)? })
    }
}

/// An entry of a stream as a driver hands it over: its id, and the names and values of its fields.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StreamEntry {
    /// The id.
    pub id: String,
    /// The fields, in any order.
    pub fields: Vec<(Vec<u8>, Vec<u8>)>,
}

impl StreamEntry {
    /// The fields, borrowed.
    pub fn fields(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        self.fields.iter().map(|(name, value)| (&name[..], &value[..]))
    }
}

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

/// A session that is looked for.
#[derive(Debug)]
pub(super) struct Lookup {
    namespace: Arc<str>,
    pid: Arc<str>,
    deadline: Instant,
    read_to: EntryId,
    session: Option<Session>,
    missed: Vec<(EntryId, Event)>,
    entries: usize,
    bytes: usize,
    is_read: bool,
}

/// The state of a node that recovers connections by a stream.
#[derive(Debug, Default)]
pub(super) struct Log {
    /// The last entry that was handed over.
    position: EntryId,
    lookups: BTreeMap<LookupId, Lookup>,
    last_lookup: u64,
    /// The events that were appended and did not come back, and how long they are waited for.
    tickets: BTreeMap<u64, Instant>,
    last_ticket: u64,
    /// Bytes of all that was found and is not handed over.
    bytes: usize,
}

impl Node {
    /// Appends an event to the stream. The others hear it from there, and so does this node, which sends it to its own
    /// sockets then: by [`NodeEvent::Logged`], or by [`NodeEvent::Unlogged`] if it does not come back in time. `None` if it was
    /// not appended: the bus is away, or the node keeps no log.
    pub fn send_logged(&mut self, now: Instant, mut encoded: Encoded) -> Option<u64> {
        let log = self.log.as_mut()?;
        let ticket = log.last_ticket.saturating_add(1);
        let Written::Entry { fields, ticket: of_entry, .. } = &mut encoded.written else { return None };
        fields.push((TICKET, ticket.to_string()));
        *of_entry = Some(ticket);
        if !self.send_encoded(now, encoded) {
            return None;
        }
        let deadline = self.now + self.config.log_patience;
        let log = self.log.as_mut()?;
        log.last_ticket = ticket;
        log.tickets.insert(ticket, deadline);
        self.timers.insert((deadline, Timer::Ticket(ticket)));
        Some(ticket)
    }

    /// The bus has refused an event that was to be appended.
    pub fn handle_not_appended(&mut self, now: Instant, ticket: u64) {
        self.tick(now);
        self.unlogged(ticket, false);
    }

    pub(super) fn unlogged(&mut self, ticket: u64, may_come: bool) {
        if self.forget_ticket(ticket) {
            self.events.push_back(NodeEvent::Unlogged { ticket, may_come });
        }
    }

    fn forget_ticket(&mut self, ticket: u64) -> bool {
        let deadline = self.log.as_mut().and_then(|log| log.tickets.remove(&ticket));
        deadline.is_some_and(|deadline| {
            self.timers.remove(&(deadline, Timer::Ticket(ticket)));
            true
        })
    }

    /// The entries of the stream are read from behind that one on.
    pub fn handle_stream_position(&mut self, now: Instant, id: EntryId) {
        self.tick(now);
        if let Some(log) = &mut self.log {
            log.position = log.position.max(id);
            self.end_lookups_that_are_read();
        }
    }

    /// An entry came on the stream, with its fields in any order.
    pub fn handle_entry<'a>(
        &mut self,
        now: Instant,
        id: &str,
        fields: impl IntoIterator<Item = (&'a [u8], &'a [u8])>,
    ) {
        self.tick(now);
        let Dialect::Streams(streams) = &self.dialect else { return };
        let mut ticket = None;
        let fields = fields.into_iter().inspect(|(name, value)| {
            if *name == TICKET.as_bytes() {
                ticket = core::str::from_utf8(value).ok().and_then(|value| value.parse().ok());
            }
        });
        let read = streams.decode_entry(fields, &self.config.limits);
        let id = id.parse().ok();
        match (read, id, &self.log) {
            (Ok(envelope), Some(id), Some(_))
                if matches!(envelope.message, Message::Emit { ack: None, .. }) =>
            {
                let is_own = envelope.origin == Origin::Node(self.name.clone());
                self.logged(id, ticket.filter(|_| is_own), is_own, envelope.namespace, envelope.message);
            }
            (read, _, _) => self.take(read),
        }
        if let (Some(id), Some(_)) = (id, &self.log) {
            self.handle_stream_position(now, id);
        }
    }

    fn logged(
        &mut self,
        id: EntryId,
        ticket: Option<u64>,
        is_own: bool,
        namespace: Arc<str>,
        message: Message,
    ) {
        // Of one's own, those without a ticket were sent to the sockets here when they were made.
        let is_for_here = ticket.is_some() || !is_own;
        let Message::Emit { event, target, .. } = message else { return };
        if !is_for_here || !self.spaces.contains_key(&namespace) {
            return;
        }
        if let Some(ticket) = ticket {
            self.forget_ticket(ticket);
        } else {
            self.counts.received = self.counts.received.saturating_add(1);
        }
        self.events.push_back(NodeEvent::Logged { namespace, event, target, id, ticket });
    }

    // --- sessions ----------------------------------------------------------------------------------------------------

    /// Keeps a session for its client, which may come back to any node. False if it cannot: the bus is away.
    pub fn save_session(&mut self, now: Instant, session: &Session, time: Duration) -> bool {
        self.tick(now);
        let Dialect::Streams(streams) = &self.dialect else { return false };
        let Ok(value) = session.encode(&self.config.limits) else { return false };
        let key = streams.session_key(&session.pid);
        self.log.is_some()
            && self.push(value.len(), move || NodeTransmit::Save { key, value: value.into(), time })
    }

    /// Takes a session for a client that shows its private id and the offset of the last event that it has seen, with what it
    /// has missed since: [`NodeEvent::Found`] tells, also if it is not there. False if it need not be looked for: the offset
    /// is none of this stream, the bus is away, or too many are looked for.
    pub fn find_session(&mut self, now: Instant, namespace: &str, pid: &str, offset: &str) -> bool {
        let now = self.tick(now);
        let (Dialect::Streams(streams), Some(log)) = (&self.dialect, self.log.as_mut()) else { return false };
        let Some((namespace, _)) = self.spaces.get_key_value(namespace) else { return false };
        let Ok(read_to) = offset.parse::<EntryId>() else { return false };
        let is_too_long = pid.len() > self.config.limits.name_bytes;
        if !self.is_up || is_too_long || log.lookups.len() >= self.config.max_lookups {
            return false;
        }
        log.last_lookup = log.last_lookup.saturating_add(1);
        let id = LookupId(log.last_lookup);
        let deadline = now + self.config.answer_timeout;
        let lookup = Lookup {
            namespace: namespace.clone(),
            pid: pid.into(),
            deadline,
            read_to,
            session: None,
            missed: Vec::new(),
            entries: 0,
            bytes: 0,
            is_read: false,
        };
        log.lookups.insert(id, lookup);
        self.timers.insert((deadline, Timer::Lookup(id)));
        self.transmits.push_back(NodeTransmit::Take {
            key: streams.session_key(pid),
            stream: streams.stream().into(),
            offset: read_to,
            lookup: id,
        });
        true
    }

    /// The value of a session's key, which is deleted with that, and whether the stream still has the entry of the offset.
    pub fn handle_taken(&mut self, now: Instant, lookup: LookupId, value: Option<&[u8]>, has_offset: bool) {
        self.tick(now);
        let limits = self.config.limits;
        let Some(found) = self.log.as_mut().and_then(|log| log.lookups.get_mut(&lookup)) else { return };
        let Some(value) = value.filter(|_| has_offset) else { return self.end_lookup(lookup, false) };
        let session = Session::decode(value, &limits).and_then(|session| {
            let is_of_here = session.namespace.as_ref().is_none_or(|namespace| *namespace == found.namespace);
            let is_asked_for = session.pid == found.pid && is_of_here && found.session.is_none();
            if is_asked_for { Ok(session) } else { Err(MalformedError::Field { field: "pid" }) }
        });
        match session {
            Ok(session) => {
                found.session = Some(session);
                let after = found.read_to.next();
                self.read_on(lookup, after);
            }
            Err(error) => {
                self.malformed(error);
                self.end_lookup(lookup, false);
            }
        }
    }

    fn read_on(&mut self, lookup: LookupId, from: EntryId) {
        if let Dialect::Streams(streams) = &self.dialect {
            self.transmits.push_back(NodeTransmit::Page { stream: streams.stream().into(), from, lookup });
        }
    }

    /// The next entries of the stream for a session: none at its end.
    pub fn handle_page<'a>(
        &mut self,
        now: Instant,
        lookup: LookupId,
        entries: impl IntoIterator<Item = &'a StreamEntry>,
    ) {
        self.tick(now);
        let (limits, config) = (&self.config.limits, &self.config);
        let (Dialect::Streams(streams), Some(log)) = (&self.dialect, self.log.as_mut()) else { return };
        let Some(found) = log.lookups.get_mut(&lookup) else { return };
        let (before, mut is_beyond) = (found.read_to, false);
        for entry in entries {
            let Ok(id) = entry.id.parse::<EntryId>() else { continue };
            if id <= found.read_to {
                continue;
            }
            found.read_to = id;
            found.entries = found.entries.saturating_add(1);
            let read = streams.decode_entry(entry.fields(), limits);
            let (Ok(envelope), Some(session)) = (read, &found.session) else { continue };
            let Message::Emit { event, target, ack: None } = envelope.message else { continue };
            if envelope.namespace != found.namespace || !is_for(session, &target) {
                continue;
            }
            let bytes = event.weight();
            found.bytes = found.bytes.saturating_add(bytes);
            log.bytes = log.bytes.saturating_add(bytes);
            is_beyond |= log.bytes > config.max_recovered_bytes;
            found.missed.push((id, event));
        }
        is_beyond |= found.entries > config.max_recovered_entries;
        if is_beyond {
            self.counts.refused = self.counts.refused.saturating_add(1);
            return self.end_lookup(lookup, false);
        }
        if found.read_to > before {
            let after = found.read_to.next();
            return self.read_on(lookup, after);
        }
        found.is_read = true;
        self.end_lookups_that_are_read();
    }

    /// A client goes on here once this node has handed over all that was read for it: what comes next is new to it.
    fn end_lookups_that_are_read(&mut self) {
        let Some(log) = self.log.as_ref().filter(|log| !log.lookups.is_empty()) else { return };
        let is_over = |lookup: &Lookup| lookup.is_read && lookup.read_to <= log.position;
        let over: Vec<LookupId> =
            log.lookups.iter().filter(|(_, lookup)| is_over(lookup)).map(|(id, _)| *id).collect();
        over.into_iter().for_each(|id| self.end_lookup(id, true));
    }

    pub(super) fn end_lookup(&mut self, id: LookupId, is_found: bool) {
        let Some(log) = self.log.as_mut() else { return };
        let Some(lookup) = log.lookups.remove(&id) else { return };
        log.bytes = log.bytes.saturating_sub(lookup.bytes);
        self.timers.remove(&(lookup.deadline, Timer::Lookup(id)));
        let Lookup { namespace, pid, session, missed, read_to, .. } = lookup;
        let found = session.filter(|_| is_found);
        let found = found.map(|session| Box::new(FoundSession { session, missed, read_to }));
        self.events.push_back(NodeEvent::Found { namespace, pid, found });
    }

    /// The bus is away: nothing is found, and what was appended may be lost.
    pub(super) fn end_log(&mut self) {
        let Some(log) = self.log.as_mut() else { return };
        let tickets = core::mem::take(&mut log.tickets);
        let lookups: Vec<LookupId> = log.lookups.keys().copied().collect();
        for (ticket, deadline) in tickets {
            self.timers.remove(&(deadline, Timer::Ticket(ticket)));
            self.events.push_back(NodeEvent::Unlogged { ticket, may_come: false });
        }
        lookups.into_iter().for_each(|id| self.end_lookup(id, false));
    }
}

/// Returns whether an event was for a session, by the rooms that it had at the end: what was volatile is not kept.
fn is_for(session: &Session, target: &Target) -> bool {
    let is_in = |rooms: &[Arc<str>]| rooms.iter().any(|room| session.rooms.contains(room));
    !target.flags.volatile && (target.rooms.is_empty() || is_in(&target.rooms)) && !is_in(&target.except)
}
