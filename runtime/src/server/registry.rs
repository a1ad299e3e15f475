//! The namespaces of a server by their names, and the dynamic ones that clients bring about.

use crate::server::dynamic::Dynamic;
use crate::server::namespace::NamespaceInner;
use crate::server::table::NamespaceHandlers;
use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError, RwLock, RwLockWriteGuard};

/// The namespaces of a server.
#[derive(Default)]
pub(crate) struct Namespaces {
    by_name: RwLock<BTreeMap<Arc<str>, Entry>>,
    dynamic: RwLock<Vec<Arc<Dynamic>>>,
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

    /// Whether it is a child that nobody but the registry holds: it has no sockets, and no client is just entering it.
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
    fn write(&self) -> RwLockWriteGuard<'_, BTreeMap<Arc<str>, Entry>> {
        self.by_name.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// All namespaces, in the order of their names.
    pub(crate) fn all(&self) -> Vec<Arc<NamespaceInner>> {
        let by_name = self.by_name.read().unwrap_or_else(PoisonError::into_inner);
        by_name.values().map(|entry| entry.namespace.clone()).collect()
    }

    /// The namespace of that name, which is made if it does not exist.
    pub(crate) fn named(
        &self,
        name: &Arc<str>,
        make: impl FnOnce() -> Arc<NamespaceInner>,
    ) -> Arc<NamespaceInner> {
        let mut by_name = self.write();
        let entry = by_name.entry(name.clone());
        entry.or_insert_with(|| Entry { namespace: make(), parent: None }).namespace.clone()
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
        max_dynamic: usize,
        make: impl FnOnce(Arc<NamespaceHandlers>) -> Arc<NamespaceInner>,
    ) -> Result<Arc<NamespaceInner>, NoNamespace> {
        let found = self.by_name.read().unwrap_or_else(PoisonError::into_inner).get(name).cloned();
        match found {
            Some(Entry { namespace, parent: None }) => return Ok(namespace),
            // A matcher that has changed its mind is heard, even if the namespace exists.
            Some(Entry { namespace, parent: Some(parent) }) if (parent.matches)(name) => {
                return Ok(namespace);
            }
            _ => {}
        }
        let candidates = self.dynamic.read().unwrap_or_else(PoisonError::into_inner).clone();
        let parent = candidates.into_iter().find(|candidate| (candidate.matches)(name));
        let parent = parent.ok_or(NoNamespace::Unknown)?;
        let mut by_name = self.write();
        let removed =
            if by_name.contains_key(name) { Vec::new() } else { make_room(&mut by_name, max_dynamic)? };
        let entry = by_name.entry(name.clone());
        let make = || Entry { namespace: make(parent.handlers.clone()), parent: Some(parent) };
        let namespace = entry.or_insert_with(make).namespace.clone();
        drop(by_name);
        // Their values may be the application's: dropped without the lock.
        drop(removed);
        Ok(namespace)
    }

    /// Removes a child of a dynamic namespace whose last socket has left.
    pub(crate) fn remove_if_empty(&self, namespace: &Arc<NamespaceInner>) {
        let removed = {
            let mut by_name = self.write();
            let is_it = by_name
                .get(&namespace.name)
                .is_some_and(|entry| entry.is_child() && Arc::ptr_eq(&entry.namespace, namespace));
            if is_it { by_name.remove(&namespace.name) } else { None }
        };
        // Somebody may have entered it meanwhile: then it stays, unless a new one has come already.
        if let Some(entry) = removed.filter(|_| !namespace.is_vacant()) {
            self.write().entry(namespace.name.clone()).or_insert(entry);
        }
    }
}

/// Makes space for one more child of a dynamic namespace, and returns those that had to go. Clients name them, so they
/// must not pile up; an idle one is made again when a client asks for it.
fn make_room(by_name: &mut BTreeMap<Arc<str>, Entry>, max_dynamic: usize) -> Result<Vec<Entry>, NoNamespace> {
    // Counted only where it may matter: there are never more children than namespaces.
    if by_name.len() < max_dynamic || by_name.values().filter(|entry| entry.is_child()).count() < max_dynamic
    {
        return Ok(Vec::new());
    }
    let idle: Vec<Arc<str>> =
        by_name.iter().filter(|(_, entry)| entry.is_idle_child()).map(|(name, _)| name.clone()).collect();
    let removed: Vec<Entry> = idle.iter().filter_map(|name| by_name.remove(name)).collect();
    if removed.is_empty() { Err(NoNamespace::TooMany) } else { Ok(removed) }
}
