//! Events that leave for the sockets of a node before they are in the stream: which sockets have got them when they are, and
//! whether the offset of a client still says what it has got.

use crate::time::Instant;
use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use core::time::Duration;

/// The sockets of a node that an event of its own is for and has not reached, when it comes back from the stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reach {
    /// All.
    All,
    /// Those that came after the event of this number.
    After(u64),
    /// None.
    Nobody,
}

/// The events of a node that were sent to its sockets before they came back from the stream, by their
/// [tickets](super::Node::send_logged).
#[derive(Debug, Default)]
pub struct EarlyEvents {
    /// The number that each had among all that the node has sent.
    sent: BTreeMap<u64, u64>,
    /// The greatest ticket that came back.
    returned: u64,
}

impl EarlyEvents {
    /// That event was sent, as the event of that number. False if it is not awaited any more.
    pub fn sent(&mut self, ticket: u64, number: u64) -> bool {
        ticket > self.returned && self.sent.insert(ticket, number).is_none()
    }

    /// That event is back; `has_waited` if it was not sent before. A stream keeps the order, so those of smaller tickets do
    /// not come any more.
    pub fn back(&mut self, ticket: u64, has_waited: bool) -> Reach {
        self.returned = self.returned.max(ticket);
        let number = self.sent.remove(&ticket);
        while self.sent.first_key_value().is_some_and(|(before, _)| *before < ticket) {
            self.sent.pop_first();
        }
        match number {
            _ if has_waited => Reach::All,
            Some(number) => Reach::After(number),
            None => Reach::Nobody,
        }
    }

    /// That event does not come.
    pub fn lost(&mut self, ticket: u64) {
        self.sent.remove(&ticket);
    }

    /// Forgets the oldest one: it counts as one that has reached everybody. False if there is none.
    pub fn forget_oldest(&mut self) -> bool {
        self.sent.pop_first().is_some()
    }

    /// The greatest ticket that came back: no smaller one will.
    pub fn returned(&self) -> u64 {
        self.returned
    }

    /// The number of events that may come back.
    pub fn len(&self) -> usize {
        self.sent.len()
    }

    /// Returns whether none may come back.
    pub fn is_empty(&self) -> bool {
        self.sent.is_empty()
    }
}

/// Whether the offset that a client would show says which events it has got. An event that was sent to it without an offset,
/// and that may be in the stream, is before or behind that offset: if nothing behind it was sent to the client with one, it
/// would come once more.
#[derive(Debug, Default)]
pub struct Certainty(Option<Box<Uncertain>>);

#[derive(Debug)]
struct Uncertain {
    /// The greatest ticket of those events.
    ticket: u64,
    /// When the client was sent one that is behind it in the stream; itself, if it is not there.
    followed_at: Option<Instant>,
}

impl Uncertain {
    fn is_over(&self, now: Instant, detection: Duration) -> bool {
        self.followed_at.is_some_and(|at| at + detection <= now)
    }
}

impl Certainty {
    /// An event is sent to the client without an offset. It may be in the stream, or come there, by that ticket; 0 if not:
    /// then nobody gives it to the client again, should its connection be lost already.
    pub fn sent_without_offset(&mut self, now: Instant, ticket: u64) {
        let before = self.0.take().filter(|before| ticket == 0 || before.ticket > ticket);
        let is_awaited = before.as_ref().map_or(ticket > 0, |before| before.followed_at.is_none());
        let ticket = before.map_or(ticket, |before| before.ticket);
        self.0 = Some(Box::new(Uncertain { ticket, followed_at: (!is_awaited).then_some(now) }));
    }

    /// An event is sent to the client with its offset; before it, the event of the ticket
    /// [`returned`](EarlyEvents::returned) came back. `detection` is the time that a loss of the connection may go
    /// unnoticed: a client that is still there after that has got the event.
    pub fn sent_with_offset(&mut self, now: Instant, returned: u64, detection: Duration) {
        let Some(uncertain) = self.0.as_deref_mut().filter(|uncertain| uncertain.ticket <= returned) else {
            return;
        };
        uncertain.followed_at.get_or_insert(now);
        if uncertain.is_over(now, detection) {
            self.0 = None;
        }
    }

    /// Returns whether a session can be kept, if its connection is lost now.
    pub fn is_certain(&self, now: Instant, detection: Duration) -> bool {
        self.0.as_ref().is_none_or(|uncertain| uncertain.is_over(now, detection))
    }
}
