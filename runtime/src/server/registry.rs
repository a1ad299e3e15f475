//! The namespaces of a server by their names, and the dynamic ones that clients bring about.

use crate::server::dynamic::{Asked, Dynamic};
use crate::server::namespace::NamespaceInner;
use crate::server::table::NamespaceHandlers;
use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard, Weak};

/// The most idle namespaces that are looked at to make room for one: the application may hold on to some of them.
const LOOKS: usize = 16;

/// The namespaces of a server.
#[derive(Default)]
pub(crate) struct Namespaces {
    table: RwLock<Table>,
    /// The children without sockets, the longest idle first. Some may be in use again, or gone.
    idle: Mutex<VecDeque<Arc<str>>>,
    dynamic: RwLock<Vec<Arc<Dynamic>>>,
    /// Children that are not in the table any more, while somebody may still hold them: if a client asks for one again,
    /// it is the same that comes back, so that a name never stands for two namespaces. Locked within the table's lock.
    held: Mutex<BTreeMap<Arc<str>, Held>>,
}

struct Held {
    namespace: Weak<NamespaceInner>,
    parent: Option<Arc<Dynamic>>,
}

#[derive(Default)]
struct Table {
    by_name: BTreeMap<Arc<str>, Entry>,
    /// The number of them that are children of dynamic namespaces.
    children: usize,
}

impl Table {
    fn remove_child(&mut self, name: &str) -> Option<Entry> {
        let removed = self.by_name.remove(name)?;
        self.children -= usize::from(removed.is_child());
        Some(removed)
    }

    fn add_child(&mut self, name: Arc<str>, make: impl FnOnce() -> Entry) -> &Entry {
        let children = &mut self.children;
        self.by_name.entry(name).or_insert_with(|| {
            *children += 1;
            make()
        })
    }
}

#[derive(Clone)]
struct Entry {
    namespace: Arc<NamespaceInner>,
    /// The dynamic namespace that it is a child of: asked again for each client.
    parent: Option<Arc<Dynamic>>,
}

impl Entry {
    fn is_child(&self) -> bool {
        self.parent.is_some()
    }

    /// Returns whether it is a child that nobody but the registry holds: it has no sockets, and no client is just
    /// entering it.
    fn is_idle_child(&self) -> bool {
        self.is_child() && Arc::strong_count(&self.namespace) == 1
    }
}

/// The reason for which a client does not get the namespace that it asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NoNamespace {
    /// Neither a namespace nor a dynamic one has that name.
    Unknown,
    /// There are as many children of dynamic namespaces as there may be.
    TooMany,
}

impl Namespaces {
    fn read(&self) -> RwLockReadGuard<'_, Table> {
        self.table.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, Table> {
        self.table.write().unwrap_or_else(PoisonError::into_inner)
    }

    fn held(&self) -> MutexGuard<'_, BTreeMap<Arc<str>, Held>> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes the namespace of that name back that was removed and is still held by somebody.
    fn take_held(&self, name: &str) -> Option<Arc<NamespaceInner>> {
        let taken = self.held().remove(name)?;
        taken.namespace.upgrade()
    }

    /// Nobody holds a namespace any more.
    pub(crate) fn dropped(&self, name: &str) {
        let mut held = self.held();
        // One that has come after it may be held by now.
        if held.get(name).is_some_and(|found| found.namespace.strong_count() == 0) {
            let removed = held.remove(name);
            drop(held);
            // The last of its parent may be the application's matcher.
            drop(removed);
        }
    }

    fn idle(&self) -> MutexGuard<'_, VecDeque<Arc<str>>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// All namespaces, in the order of their names.
    pub(crate) fn all(&self) -> Vec<Arc<NamespaceInner>> {
        self.read().by_name.values().map(|entry| entry.namespace.clone()).collect()
    }

    /// The children of a dynamic namespace, in the order of their names.
    pub(crate) fn children_of(&self, parent: &Arc<Dynamic>) -> Vec<Arc<NamespaceInner>> {
        let is_child = |entry: &&Entry| entry.parent.as_ref().is_some_and(|found| Arc::ptr_eq(found, parent));
        self.read().by_name.values().filter(is_child).map(|entry| entry.namespace.clone()).collect()
    }

    /// The handlers of all namespaces, those of dynamic ones included.
    pub(crate) fn all_handlers(&self) -> Vec<Arc<NamespaceHandlers>> {
        let dynamic = self.dynamic.read().unwrap_or_else(PoisonError::into_inner);
        let of_dynamic = dynamic.iter().map(|dynamic| dynamic.handlers.clone());
        let own = self.all().into_iter().map(|namespace| namespace.handlers.clone());
        of_dynamic.chain(own).collect()
    }

    /// Drops the handlers of all namespaces, and the handlers and matchers of dynamic ones.
    pub(crate) fn drop_handlers(&self) {
        let dynamic = self.dynamic.read().unwrap_or_else(PoisonError::into_inner).clone();
        dynamic.iter().for_each(|dynamic| dynamic.clear());
        let held: Vec<_> = self.held().values().filter_map(|held| held.namespace.upgrade()).collect();
        for namespace in self.all().into_iter().chain(held) {
            namespace.drop_handlers();
        }
    }

    /// The namespace of that name, if it exists.
    #[cfg(any(feature = "cluster", feature = "admin"))]
    pub(crate) fn find(&self, name: &str) -> Option<Arc<NamespaceInner>> {
        self.read().by_name.get(name).map(|entry| entry.namespace.clone())
    }

    /// The namespace of that name, which is made if it does not exist.
    pub(crate) fn named(
        &self,
        name: &Arc<str>,
        make: impl FnOnce() -> Arc<NamespaceInner>,
    ) -> Arc<NamespaceInner> {
        let mut table = self.write();
        let entry = table.by_name.entry(name.clone());
        let make = || Entry { namespace: self.take_held(name).unwrap_or_else(make), parent: None };
        entry.or_insert_with(make).namespace.clone()
    }

    /// Adds namespaces that are made when a client asks for them.
    pub(crate) fn add_dynamic(&self, dynamic: Arc<Dynamic>) {
        self.dynamic.write().unwrap_or_else(PoisonError::into_inner).push(dynamic);
    }

    /// The namespace that a client asks for. A child of a dynamic one is made with its parent's handlers, if there are
    /// fewer than `max_dynamic`.
    pub(crate) fn find_or_make(
        &self,
        name: &Arc<str>,
        asked: &Asked<'_>,
        max_dynamic: usize,
        make: impl FnOnce(Arc<NamespaceHandlers>) -> Arc<NamespaceInner>,
    ) -> Result<Arc<NamespaceInner>, NoNamespace> {
        let found = self.read().by_name.get(name).cloned();
        match found {
            Some(Entry { namespace, parent: None }) => return Ok(namespace),
            // A matcher that has changed its mind is heard, even if the namespace exists.
            Some(Entry { namespace, parent: Some(parent) }) if parent.matches(asked) => {
                return Ok(namespace);
            }
            _ => {}
        }
        let candidates = self.dynamic.read().unwrap_or_else(PoisonError::into_inner).clone();
        let parent = candidates.into_iter().find(|candidate| candidate.matches(asked));
        let parent = parent.ok_or(NoNamespace::Unknown)?;
        let mut table = self.write();
        let removed =
            if table.by_name.contains_key(name) { None } else { self.make_room(&mut table, max_dynamic)? };
        let make = || {
            let made = || make(parent.handlers.clone());
            Entry { namespace: self.take_held(name).unwrap_or_else(made), parent: Some(parent.clone()) }
        };
        let namespace = table.add_child(name.clone(), make).namespace.clone();
        drop(table);
        // Their values may be the application's: dropped without the lock.
        drop(removed);
        Ok(namespace)
    }

    /// Removes a child of a dynamic namespace whose last socket has left.
    pub(crate) fn remove_if_empty(&self, namespace: &Arc<NamespaceInner>) {
        let mut table = self.write();
        let found = table.by_name.get(&namespace.name);
        if !found.is_some_and(|entry| entry.is_child() && Arc::ptr_eq(&entry.namespace, namespace))
            || !namespace.is_vacant()
        {
            return;
        }
        let removed = table.remove_child(&namespace.name);
        if let Some(Entry { parent, .. }) = &removed {
            let held = Held { namespace: Arc::downgrade(namespace), parent: parent.clone() };
            self.held().insert(namespace.name.clone(), held);
        }
        drop(table);
        // Its values may be the application's: dropped without the lock.
        drop(removed);
    }

    /// A socket has entered a child of a dynamic namespace, which may have been removed since the socket's client asked
    /// for it.
    pub(crate) fn entered(&self, namespace: &Arc<NamespaceInner>) {
        if self.read().by_name.contains_key(&namespace.name) {
            return;
        }
        let mut table = self.write();
        let held = self.held().remove(&namespace.name);
        if let Some(parent) = held.and_then(|held| held.parent) {
            table.add_child(namespace.name.clone(), || Entry {
                namespace: namespace.clone(),
                parent: Some(parent),
            });
        }
    }

    /// The last socket of a namespace has left: if it is a child of a dynamic one, it can make room for another.
    pub(crate) fn note_idle(&self, namespace: &NamespaceInner) {
        if namespace.list_as_idle() {
            self.idle().push_back(namespace.name.clone());
        }
    }

    /// Makes room for one more child of a dynamic namespace, and returns the one that had to go. Clients name them, so they
    /// must not pile up; an idle one is made again when a client asks for it. However many there are, the work is the same.
    fn make_room(&self, table: &mut Table, max_dynamic: usize) -> Result<Option<Entry>, NoNamespace> {
        if table.children < max_dynamic {
            return Ok(None);
        }
        for _ in 0..LOOKS {
            let Some(name) = self.idle().pop_front() else { break };
            let Some(entry) = table.by_name.get(&name).filter(|entry| entry.is_child()) else { continue };
            // Before it is looked at: a socket that leaves from here on lists it again.
            entry.namespace.unlist_as_idle();
            if entry.is_idle_child() {
                return Ok(table.remove_child(&name));
            }
            if entry.namespace.is_vacant() {
                // Somebody holds it, or is just entering.
                let namespace = entry.namespace.clone();
                self.note_idle(&namespace);
            }
        }
        Err(NoNamespace::TooMany)
    }
}
