//! The tables of handlers, the same for both ends: a namespace's listeners by the names of their events, and a table
//! that changes while it is in use.

use crate::handler::SharedHandler;
use crate::handler::extract::Requirements;
use crate::handler::kind::Kind;
use crate::handler::listener::HandlerId;
use crate::handler::names::NameMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

/// A table that can be changed while it is in use: whoever has it keeps the one that it was.
#[derive(Default)]
pub(crate) struct SharedTable<T> {
    table: RwLock<Arc<T>>,
    version: AtomicU64,
}

impl<T: Clone> SharedTable<T> {
    /// The number of the present table: each change makes another one.
    pub(crate) fn version(&self) -> u64 {
        self.version.load(Ordering::Acquire)
    }

    pub(crate) fn get(&self) -> Arc<T> {
        self.table.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Changes the table, and returns the one before. Its handlers are the application's: the caller drops them,
    /// without the lock.
    pub(crate) fn change(&self, change: impl FnOnce(&mut T)) -> Arc<T> {
        let before = {
            let mut table = self.table.write().unwrap_or_else(PoisonError::into_inner);
            let mut changed = T::clone(&table);
            change(&mut changed);
            std::mem::replace(&mut *table, Arc::new(changed))
        };
        self.version.fetch_add(1, Ordering::Release);
        before
    }
}

/// A shared table as it was last seen, so that no lock is needed as long as it does not change.
#[derive(Default)]
pub(crate) struct SeenTable<T> {
    table: Option<Arc<T>>,
    version: u64,
}

impl<T: Clone> SeenTable<T> {
    /// The table as it is now. If it has changed, the one before may be dropped, whose handlers are the application's.
    #[inline]
    pub(crate) fn get(&mut self, shared: &SharedTable<T>) -> &Arc<T> {
        let version = shared.version();
        if version != self.version {
            self.table = None;
            self.version = version;
        }
        self.table.get_or_insert_with(|| shared.get())
    }

    /// Lets go of it.
    pub(crate) fn take(&mut self) -> Option<Arc<T>> {
        self.table.take()
    }
}

/// The listeners of a namespace's events.
pub(crate) struct EventTable<K> {
    /// See every event, before its listeners.
    pub(crate) any: Vec<SharedHandler<K>>,
    /// Get the events that have no listener of their own.
    pub(crate) fallback: Vec<Listener<K>>,
    /// By their names.
    events: NameMap<Vec<Listener<K>>>,
}

/// A handler of one event, and the way in which it runs.
pub(crate) struct Listener<K> {
    pub(crate) handler: SharedHandler<K>,
    pub(crate) runs: Runs,
}

/// The way in which a listener runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Runs {
    /// In the session's task; the socket's next events wait for it.
    InLine,
    /// In a task of its own.
    Concurrent,
    /// In line, for one event: at a server the first one of each socket, which remembers the number, at a client the
    /// next one.
    Once(u64),
}

impl<K: Kind> Listener<K> {
    pub(crate) fn in_line(handler: SharedHandler<K>) -> Self {
        Self { handler, runs: Runs::InLine }
    }

    fn is_once(&self) -> bool {
        matches!(self.runs, Runs::Once(_))
    }
}

impl<K: Kind> EventTable<K> {
    /// The listeners of an event, in the order of their registration.
    pub(crate) fn listeners(&self, event: &[u8]) -> &[Listener<K>] {
        self.entry(event).1
    }

    /// The same, with the event's name as the table has it.
    pub(crate) fn entry(&self, event: &[u8]) -> (&str, &[Listener<K>]) {
        self.events.get(event).map_or(("", &[]), |(name, listeners)| (name, listeners))
    }

    /// This table, with the handlers of another one for the events that come to none of its own.
    pub(crate) fn with_stand_ins(&self, others: &Self) -> Self {
        let mut table = self.clone();
        if table.any.is_empty() {
            table.any.clone_from(&others.any);
        }
        if table.fallback.is_empty() {
            table.fallback.clone_from(&others.fallback);
            for (event, listeners) in others.events.iter() {
                if table.events.get(event.as_bytes()).is_none() {
                    table.events.entry(event).extend_from_slice(listeners);
                }
            }
        }
        table
    }

    /// The needs of all these handlers.
    pub(crate) fn requirements(&self, requirements: &mut Requirements) {
        self.any.iter().for_each(|handler| handler.requires(requirements));
        let listeners = self.events.iter().flat_map(|(_, listeners)| listeners).chain(&self.fallback);
        listeners.for_each(|listener| listener.handler.requires(requirements));
    }

    pub(crate) fn add(&mut self, event: &str, listener: Listener<K>) {
        self.events.entry(event).push(listener);
    }

    /// Adds a listener before the others of its event.
    pub(crate) fn prepend(&mut self, event: &str, listener: Listener<K>) {
        self.events.entry(event).insert(0, listener);
    }

    /// Takes the listeners of an event out.
    pub(crate) fn take(&mut self, event: &str) -> Vec<Listener<K>> {
        self.events.remove(event.as_bytes()).unwrap_or_default()
    }

    /// Takes one listener of an event out.
    pub(crate) fn take_one(&mut self, event: &str, id: &HandlerId<K>) -> Option<Listener<K>> {
        let listeners = self.events.get_mut(event.as_bytes())?;
        let taken = listeners.remove(listeners.iter().position(|listener| id.is(&listener.handler))?);
        if listeners.is_empty() {
            self.events.remove(event.as_bytes());
        }
        Some(taken)
    }

    /// Removes all listeners of an event.
    pub(crate) fn remove(&mut self, event: &str) {
        self.events.remove(event.as_bytes());
    }

    /// Returns whether some listener of that event runs once.
    pub(crate) fn has_once(&self, event: &[u8]) -> bool {
        self.listeners(event).iter().any(Listener::is_once)
    }

    /// Removes the listeners of that event that run once.
    pub(crate) fn remove_once(&mut self, event: &[u8]) {
        let Some(listeners) = self.events.get_mut(event) else { return };
        listeners.retain(|listener| !listener.is_once());
        if listeners.is_empty() {
            self.events.remove(event);
        }
    }
}

// By hand: a derived one would ask it of `K`, which is a name and no value.
impl<K> Clone for EventTable<K> {
    fn clone(&self) -> Self {
        Self { any: self.any.clone(), fallback: self.fallback.clone(), events: self.events.clone() }
    }
}

impl<K> Default for EventTable<K> {
    fn default() -> Self {
        Self { any: Vec::new(), fallback: Vec::new(), events: NameMap::default() }
    }
}

impl<K> Clone for Listener<K> {
    fn clone(&self) -> Self {
        Self { handler: self.handler.clone(), runs: self.runs }
    }
}
