//! Recovery of connections on a stream: the entries that have places in it, and the sessions that are kept beside it.

use super::lookups::{Lookups, LostReason};
use super::{Node, NodeEvent, NodeTransmit, Timer};
use crate::cluster::node::Dialect;
use crate::cluster::node::encoding::{Encoded, Written};
use crate::cluster::{Message, Origin, Session};
use crate::time::Instant;
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

    /// The next id, or this one if it is the last of all.
    #[must_use]
    pub fn next(self) -> Self {
        match (self.number.checked_add(1), self.milliseconds.checked_add(1)) {
            (Some(number), _) => Self { number, ..self },
            (None, Some(milliseconds)) => Self { milliseconds, number: 0 },
            (None, None) => self,
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
    /// The bytes of the names and values.
    pub fn bytes(&self) -> usize {
        self.fields
            .iter()
            .fold(0, |sum, (name, value)| sum.saturating_add(name.len()).saturating_add(value.len()))
    }

    /// The fields, borrowed.
    pub fn fields(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        self.fields.iter().map(|(name, value)| (&name[..], &value[..]))
    }
}

/// The state of a node that recovers connections by a stream.
#[derive(Debug, Default)]
pub(super) struct Log {
    /// The last entry that was handed over.
    pub(super) position: EntryId,
    pub(super) lookups: Lookups,
    /// The events that were appended and did not come back, and how long they are waited for.
    pub(super) tickets: BTreeMap<u64, Instant>,
    pub(super) last_ticket: u64,
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

    /// An event is back: those that were appended before it and are not are lost, for a stream keeps the order.
    fn pass_tickets(&mut self, ticket: u64) {
        while let Some((&before, _)) = self
            .log
            .as_ref()
            .and_then(|log| log.tickets.first_key_value())
            .filter(|(before, _)| **before < ticket)
        {
            self.unlogged(before, false);
        }
    }

    fn forget_ticket(&mut self, ticket: u64) -> bool {
        let deadline = self.log.as_mut().and_then(|log| log.tickets.remove(&ticket));
        deadline.is_some_and(|deadline| {
            self.timers.remove(&(deadline, Timer::Ticket(ticket)));
            true
        })
    }

    /// The entries of the stream are read from behind that one on: behind the last one that came, or, if that is not known,
    /// from the stream's end.
    pub fn handle_stream_position(&mut self, now: Instant, id: EntryId) {
        self.tick(now);
        if let Some(log) = &mut self.log {
            log.position = id;
            self.end_lookups_that_are_read();
        }
    }

    /// The stream does not hold all any more that came behind the last entry which this node was given.
    pub fn handle_stream_gap(&mut self, now: Instant) {
        self.tick(now);
        self.events.push_back(NodeEvent::StreamGap);
        // What is not handed over would be missing for them.
        self.end_lookups(LostReason::Gap);
    }

    /// An entry came on the stream, with its fields in any order. A node that recovers connections gives no heed to one that
    /// is not behind those that came before.
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
        if id.zip(self.log.as_ref()).is_some_and(|(id, log)| id <= log.position) {
            return;
        }
        match (read, id, &self.log) {
            (Ok(envelope), Some(id), Some(_))
                if matches!(envelope.message, Message::Emit { ack: None, .. }) =>
            {
                let is_own = envelope.origin == Origin::Node(self.name.clone());
                self.logged(id, ticket.filter(|_| is_own), is_own, envelope.namespace, envelope.message);
            }
            (read, _, _) => self.take(read),
        }
        if let (Some(id), Some(log)) = (id, &mut self.log) {
            log.position = id;
            self.end_lookups_that_are_read();
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
            self.pass_tickets(ticket);
            self.forget_ticket(ticket);
        } else {
            self.counts.received = self.counts.received.saturating_add(1);
        }
        self.events.push_back(NodeEvent::Logged { namespace, event, target, id, ticket });
    }

    /// Keeps a session for its client, which may come back to any node. False if it cannot: the bus is away.
    pub fn save_session(&mut self, now: Instant, session: &Session, time: Duration) -> bool {
        self.tick(now);
        let Dialect::Streams(streams) = &self.dialect else { return false };
        let Ok(value) = session.encode(&self.config.limits) else { return false };
        let key = streams.session_key(&session.pid);
        self.log.is_some()
            && self.push(value.len(), move || NodeTransmit::Save { key, value: value.into(), time })
    }

    /// The bus is away: what was appended may be in the stream, or not.
    pub(super) fn end_log(&mut self) {
        let Some(log) = self.log.as_mut() else { return };
        let tickets = core::mem::take(&mut log.tickets);
        for (ticket, deadline) in tickets {
            self.timers.remove(&(deadline, Timer::Ticket(ticket)));
            self.events.push_back(NodeEvent::Unlogged { ticket, may_come: true });
        }
        self.end_lookups(LostReason::BusAway);
        self.forget_late_lookups();
    }
}
