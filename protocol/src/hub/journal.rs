//! The rooms that a socket was in, as far back as events are kept: what a session needs beside its rooms to be recovered.
//!
//! An event that a client has missed was for those who were in its rooms when it passed, and not for those who are in them
//! now. So each change of the rooms is noted with the number of the event that comes after it.

use super::{Hub, MemberKey};
use alloc::boxed::Box;
use alloc::collections::{BTreeSet, VecDeque};
use alloc::sync::Arc;
use alloc::vec::Vec;

/// The latest changes of a socket's rooms.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Journal {
    changes: VecDeque<Change>,
    most: usize,
    /// Of the events before this one the rooms are not known.
    since: u64,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Change {
    /// The first event that passed after it.
    before: u64,
    room: Arc<str>,
    joined: bool,
}

impl Journal {
    /// A journal that keeps that many changes. With one more, nothing is known of the events before the oldest.
    pub fn new(most: usize) -> Self {
        Self { changes: VecDeque::new(), most, since: 0 }
    }

    /// The first event for which the rooms are known.
    pub fn since(&self) -> u64 {
        self.since
    }

    /// The number of changes that are kept.
    pub fn len(&self) -> usize {
        self.changes.len()
    }

    /// The bytes of the names of rooms in it.
    pub(crate) fn name_bytes(&self) -> usize {
        self.changes.iter().fold(0, |sum, change| sum.saturating_add(change.room.len()))
    }

    /// Returns whether none is kept.
    pub fn is_empty(&self) -> bool {
        self.changes.is_empty()
    }

    pub(super) fn note(&mut self, (next, oldest): (u64, u64), room: Arc<str>, joined: bool) {
        // Nobody asks for what was before the oldest event.
        while self.changes.front().is_some_and(|change| change.before <= oldest) {
            self.changes.pop_front();
        }
        self.changes.push_back(Change { before: next, room, joined });
        if self.changes.len() > self.most {
            if let Some(lost) = self.changes.pop_front() {
                self.since = self.since.max(lost.before);
            }
        }
    }
}

/// The rooms of a socket that has left its hub, in the order it joined them, without its own id, and their latest changes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Membership {
    /// The rooms.
    pub rooms: Vec<Arc<str>>,
    /// Their changes.
    pub journal: Journal,
}

impl Membership {
    /// Every room that the socket was in at some time since the journal begins.
    pub(crate) fn ever(&self) -> BTreeSet<&Arc<str>> {
        self.rooms.iter().chain(self.journal.changes.iter().map(|change| &change.room)).collect()
    }

    /// A way back through its rooms.
    pub(crate) fn past(&self) -> Past<'_> {
        Past { rooms: self.rooms.iter().map(|room| &**room).collect(), changes: self.journal.changes.iter() }
    }
}

/// The rooms of a socket, as they were when events passed. It goes back only.
pub(crate) struct Past<'a> {
    rooms: BTreeSet<&'a str>,
    changes: alloc::collections::vec_deque::Iter<'a, Change>,
}

impl<'a> Past<'a> {
    /// The rooms when that event passed; it must not be later than the one before.
    pub(crate) fn at(&mut self, event: u64) -> &BTreeSet<&'a str> {
        while let Some(change) = self.changes.clone().next_back().filter(|change| change.before > event) {
            self.changes.next_back();
            if change.joined {
                self.rooms.remove(&*change.room);
            } else {
                self.rooms.insert(&*change.room);
            }
        }
        &self.rooms
    }
}

/// Recovery of connections.
impl<H: Clone> Hub<H> {
    /// Keeps a journal of a socket's rooms from here on. Without one, nothing is kept.
    pub fn record(&mut self, key: MemberKey, journal: Journal) {
        if let Some(socket) = self.socket_mut(key) {
            socket.journal = Some(Box::new(journal));
        }
    }

    /// An event passes: the next one has the number `next`, and the oldest that is kept `oldest`. To be called while the
    /// recipients are selected, so that each knows which changes of its rooms came before.
    pub fn passed(&mut self, next: u64, oldest: u64) {
        self.events = (self.events.0.max(next), self.events.1.max(oldest));
    }

    /// As [`remove`](Self::remove), and gives the rooms back of a socket with a [journal](Self::record).
    pub fn detach(&mut self, key: MemberKey) -> Option<(H, Option<Membership>)> {
        let journal = self.socket_mut(key)?.journal.take();
        let membership = journal.map(|journal| Membership {
            rooms: self.rooms_of(key).into_iter().skip(1).collect(),
            journal: *journal,
        });
        Some((self.remove(key)?, membership))
    }

    /// Puts a socket into the rooms that it was in when it was [detached](Self::detach), and goes on with its journal.
    /// Rooms beyond the limit are left out.
    pub fn restore(&mut self, key: MemberKey, membership: Membership) {
        for room in &membership.rooms {
            // Only the limits can refuse, and those were the same before.
            let _ = self.join(key, room);
        }
        self.record(key, membership.journal);
    }

    pub(super) fn note(&mut self, key: MemberKey, rooms: &[u32], joined: bool) {
        if self.socket(key).is_none_or(|socket| socket.journal.is_none()) {
            return;
        }
        let names: Vec<Arc<str>> = rooms.iter().filter_map(|&room| self.rooms.name(room)).cloned().collect();
        let events = self.events;
        let Some(journal) = self.socket_mut(key).and_then(|socket| socket.journal.as_mut()) else { return };
        for name in names {
            journal.note(events, name, joined);
        }
    }
}
