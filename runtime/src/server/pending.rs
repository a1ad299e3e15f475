//! The events of a server on their way to the log and back, and the order in which events leave for the sockets here.
//!
//! Code that has something to send puts it into the queue, under the same lock under which it was taken from where it waited,
//! and then has the queue sent, one thread at a time. So what leaves the wait in an order reaches the sockets in that order,
//! whichever threads do it.

use crate::server::namespace::NamespaceInner;
use crate::server::recovery::lock;
use sansocket_protocol::cluster::node::{EarlyEvents, EntryId, Reach};
use sansocket_protocol::hub::Target;
use sansocket_protocol::message::Frame;
use std::collections::{BTreeMap, VecDeque};
use std::mem;
use std::sync::{Arc, Mutex, MutexGuard};

/// The bytes that an event counts for that waits, beside its own.
pub(super) const WEIGHT: usize = 256;
/// The bytes that the note counts for that an event has left early.
const NOTE: usize = 64;

/// An event and those that it is for.
#[derive(Clone)]
pub(crate) struct LogEvent {
    pub(crate) namespace: Arc<NamespaceInner>,
    pub(crate) target: Target,
    pub(crate) frame: Frame,
}

impl LogEvent {
    fn weight(&self) -> usize {
        self.frame.wire_len().saturating_add(WEIGHT)
    }
}

/// An event that is to be sent, with or without a place in the log.
pub(crate) struct Outgoing {
    pub(crate) event: LogEvent,
    pub(crate) place: Place,
}

#[derive(Clone, Copy, Debug)]
pub(crate) enum Place {
    /// It came from the log. Of an event of this node: by that ticket.
    At { id: EntryId, ticket: Option<u64>, has_waited: bool },
    /// It has none so far. It may be in the log by that ticket, or come there.
    Early(u64),
    /// It has none, and will not get one.
    Nowhere,
}

/// See the [module](self).
pub(super) struct Pending {
    state: Mutex<State>,
    /// Held by the thread that sends.
    sending: Mutex<()>,
    max_bytes: usize,
}

#[derive(Default)]
struct State {
    /// The events that were appended and did not come back, by their tickets.
    waiting: BTreeMap<u64, LogEvent>,
    early: EarlyEvents,
    queue: VecDeque<Outgoing>,
    /// The namespace of the event that was taken from the queue last, while its sockets may not have it yet.
    sending: Option<Arc<NamespaceInner>>,
    bytes: usize,
}

impl State {
    fn take(&mut self, ticket: u64) -> Option<LogEvent> {
        let event = self.waiting.remove(&ticket)?;
        self.bytes = self.bytes.saturating_sub(event.weight());
        Some(event)
    }

    /// Changes the notes of events that have left early.
    fn early<T>(&mut self, change: impl FnOnce(&mut EarlyEvents) -> T) -> T {
        let before = self.early.len().saturating_mul(NOTE);
        let changed = change(&mut self.early);
        self.bytes = self.bytes.saturating_sub(before).saturating_add(self.early.len().saturating_mul(NOTE));
        changed
    }
}

impl Pending {
    pub(super) fn new(max_bytes: usize) -> Self {
        Self { state: Mutex::default(), sending: Mutex::new(()), max_bytes }
    }

    /// An event of this node, which `append` appends to the log: it gives its ticket. It waits for the log, or goes into the
    /// queue, behind all that wait, if it cannot. True if there is something to send.
    pub(super) fn append(&self, event: LogEvent, append: impl FnOnce() -> Option<u64>) -> bool {
        let mut state = lock(&self.state);
        // It may be back before this returns, and is looked for under the lock.
        let ticket = append();
        let weight = event.weight();
        if let Some(ticket) = ticket {
            if state.bytes.saturating_add(weight) <= self.max_bytes {
                state.bytes = state.bytes.saturating_add(weight);
                state.waiting.insert(ticket, event);
                return false;
            }
        }
        for (before, event) in mem::take(&mut state.waiting) {
            state.bytes = state.bytes.saturating_sub(event.weight());
            state.queue.push_back(Outgoing { event, place: Place::Early(before) });
        }
        state.queue.push_back(Outgoing { event, place: ticket.map_or(Place::Nowhere, Place::Early) });
        true
    }

    /// An event is not back in time, or will not be. True if there is something to send.
    pub(super) fn give_up(&self, ticket: u64, may_come: bool) -> bool {
        let mut state = lock(&self.state);
        let place = if may_come { Place::Early(ticket) } else { Place::Nowhere };
        match state.take(ticket) {
            Some(event) => state.queue.push_back(Outgoing { event, place }),
            None if may_come => return false,
            None => {
                state.early(|early| early.lost(ticket));
                return false;
            }
        }
        true
    }

    /// An event is back. `make` makes it anew if it does not wait here any more.
    pub(super) fn back(&self, id: EntryId, ticket: u64, make: impl FnOnce() -> Option<LogEvent>) {
        let waited = {
            let mut state = lock(&self.state);
            let waited = state.take(ticket);
            let has_waited = waited.is_some();
            let place = Place::At { id, ticket: Some(ticket), has_waited };
            state.queue.extend(waited.map(|event| Outgoing { event, place }));
            has_waited
        };
        if !waited {
            // Only the node's task puts in what came from the log, so nothing comes between.
            if let Some(event) = make() {
                let place = Place::At { id, ticket: Some(ticket), has_waited: false };
                lock(&self.state).queue.push_back(Outgoing { event, place });
            }
        }
    }

    /// An event of another node.
    pub(super) fn other(&self, id: EntryId, event: LogEvent) {
        let place = Place::At { id, ticket: None, has_waited: false };
        lock(&self.state).queue.push_back(Outgoing { event, place });
    }

    /// The namespaces in which an event is on its way to sockets here, in the order of their names.
    pub(super) fn namespaces(&self) -> Vec<Arc<NamespaceInner>> {
        let mut namespaces: Vec<_> = {
            let state = lock(&self.state);
            let waiting = state.waiting.values().map(|event| &event.namespace);
            let queued = state.queue.iter().map(|next| &next.event.namespace);
            waiting.chain(queued).chain(&state.sending).cloned().collect()
        };
        namespaces.sort_by(|one, other| one.name.cmp(&other.name));
        namespaces.dedup_by(|one, other| Arc::ptr_eq(one, other));
        namespaces
    }

    /// Waits until it is this thread's turn to send.
    pub(super) fn turn(&self) -> MutexGuard<'_, ()> {
        lock(&self.sending)
    }

    /// The namespace of the next event in the queue. The one before is sent by now.
    pub(super) fn next_namespace(&self) -> Option<Arc<NamespaceInner>> {
        let (next, _sent) = {
            let mut state = lock(&self.state);
            let next = state.queue.front().map(|next| next.event.namespace.clone());
            (next, state.sending.take())
        };
        next
    }

    /// The next event, with those that it is to reach, and the greatest ticket that is back by now. With the order of its
    /// namespace held.
    pub(super) fn next(&self) -> Option<(Outgoing, Reach, u64)> {
        let mut state = lock(&self.state);
        let next = state.queue.pop_front()?;
        state.sending = Some(next.event.namespace.clone());
        let reach = match next.place {
            Place::At { ticket: Some(ticket), has_waited, .. } => {
                state.early(|early| early.back(ticket, has_waited))
            }
            Place::At { .. } | Place::Early(_) | Place::Nowhere => Reach::All,
        };
        Some((next, reach, state.early.returned()))
    }

    /// An event was sent without its place, as that number. With the order of its namespace held.
    pub(super) fn sent_early(&self, ticket: u64, number: u64) {
        let mut state = lock(&self.state);
        state.early(|early| early.sent(ticket, number));
        while state.bytes > self.max_bytes && state.early(EarlyEvents::forget_oldest) {}
    }

    /// The events of a namespace that are not sent yet and are of this node, in order. With the order of the namespace held.
    pub(super) fn of(&self, namespace: &Arc<NamespaceInner>) -> Vec<(Target, Frame)> {
        let state = lock(&self.state);
        let is_own = |next: &&Outgoing| match next.place {
            Place::At { ticket, has_waited, .. } => ticket.is_some() && has_waited,
            Place::Early(_) | Place::Nowhere => true,
        };
        let queued = state.queue.iter().filter(is_own).map(|next| &next.event);
        let own = queued.chain(state.waiting.values());
        own.filter(|event| Arc::ptr_eq(&event.namespace, namespace))
            .map(|event| (event.target.clone(), event.frame.clone()))
            .collect()
    }
}
