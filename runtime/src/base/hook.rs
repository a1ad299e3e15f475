//! A hook of the application that is set once, and dropped when its server has shut down.

use std::sync::{Arc, PoisonError, RwLock};

/// A hook, of which the first stays. It is called without the lock.
pub(crate) struct Hook<F: ?Sized>(RwLock<Option<Arc<F>>>);

impl<F: ?Sized> Hook<F> {
    /// Sets the hook. False if there was one, which stays.
    pub(crate) fn set(&self, hook: Arc<F>) -> bool {
        let mut slot = self.0.write().unwrap_or_else(PoisonError::into_inner);
        if slot.is_some() {
            drop(slot);
            // What it has captured is dropped without the lock.
            drop(hook);
            return false;
        }
        *slot = Some(hook);
        true
    }

    pub(crate) fn get(&self) -> Option<Arc<F>> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Drops the hook, with what it has captured.
    pub(crate) fn clear(&self) {
        let hook = self.0.write().unwrap_or_else(PoisonError::into_inner).take();
        drop(hook);
    }
}

impl<F: ?Sized> Default for Hook<F> {
    fn default() -> Self {
        Self(RwLock::new(None))
    }
}
