//! The hooks for the beginnings and ends of rooms: told in their order, and without the hub's lock.

use crate::base::trace::debug;
use crate::server::namespace::NamespaceInner;
use crate::server::socket::Socket;
use sansocket_protocol::hub::{Hub, RoomEvent};
use std::collections::VecDeque;
use std::ops::{Deref, DerefMut};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, RwLockWriteGuard};

type Hook = Arc<dyn Fn(&RoomEvent) + Send + Sync>;

/// The application's hooks for the rooms of a namespace, and the changes that they were not told yet.
#[derive(Default)]
pub(crate) struct RoomEvents {
    hooks: RwLock<Arc<[Hook]>>,
    /// A hook that is not the application's, told first.
    #[cfg(feature = "admin")]
    observer: std::sync::OnceLock<Hook>,
    queue: Mutex<Queue>,
}

#[derive(Default)]
struct Queue {
    events: VecDeque<RoomEvent>,
    /// Somebody tells them, one after the other.
    is_told: bool,
}

impl RoomEvents {
    pub(crate) fn add(&self, hook: impl Fn(&RoomEvent) + Send + Sync + 'static) {
        let hook: Hook = Arc::new(hook);
        let mut hooks = self.hooks.write().unwrap_or_else(PoisonError::into_inner);
        *hooks = hooks.iter().cloned().chain([hook]).collect();
    }

    /// Sets the hook that is told first; the first one stays.
    #[cfg(feature = "admin")]
    pub(crate) fn observe(&self, hook: impl Fn(&RoomEvent) + Send + Sync + 'static) {
        // One that is there already is the same.
        let _ = self.observer.set(Arc::new(hook));
    }

    /// Drops the hooks of the application.
    pub(crate) fn clear(&self) {
        let hooks = std::mem::take(&mut *self.hooks.write().unwrap_or_else(PoisonError::into_inner));
        drop(hooks);
    }

    fn queue(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Tells the hooks, unless somebody does so already, who goes on with these.
    fn tell(&self) {
        let mut queue = self.queue();
        if std::mem::replace(&mut queue.is_told, true) {
            return;
        }
        while let Some(event) = queue.events.pop_front() {
            drop(queue);
            let hooks = self.hooks.read().unwrap_or_else(PoisonError::into_inner).clone();
            #[cfg(feature = "admin")]
            if let Some(observer) = self.observer.get() {
                observer(&event);
            }
            for hook in &*hooks {
                if catch_unwind(AssertUnwindSafe(|| hook(&event))).is_err() {
                    debug!("a hook for the events of rooms panicked");
                }
            }
            queue = self.queue();
        }
        queue.is_told = false;
    }
}

/// The hub of a namespace, to be changed. Once its lock is gone, the hooks are told of the changes of rooms.
pub(crate) struct HubMut<'a> {
    /// There until it is dropped.
    hub: Option<RwLockWriteGuard<'a, Hub<Socket>>>,
    namespace: &'a NamespaceInner,
}

impl<'a> HubMut<'a> {
    pub(super) fn new(hub: RwLockWriteGuard<'a, Hub<Socket>>, namespace: &'a NamespaceInner) -> Self {
        Self { hub: Some(hub), namespace }
    }
}

impl Deref for HubMut<'_> {
    type Target = Hub<Socket>;

    fn deref(&self) -> &Hub<Socket> {
        match &self.hub {
            Some(hub) => hub,
            None => unreachable!("it is taken by `drop` alone"),
        }
    }
}

impl DerefMut for HubMut<'_> {
    fn deref_mut(&mut self) -> &mut Hub<Socket> {
        match &mut self.hub {
            Some(hub) => hub,
            None => unreachable!("it is taken by `drop` alone"),
        }
    }
}

impl Drop for HubMut<'_> {
    fn drop(&mut self) {
        let Some(mut hub) = self.hub.take() else { return };
        let Some(events) = self.namespace.room_events.get() else { return };
        let changes = hub.take_room_events();
        if changes.is_empty() {
            return;
        }
        // Under the hub's lock, so that they are in its order.
        events.queue().events.extend(changes);
        drop(hub);
        events.tell();
    }
}
