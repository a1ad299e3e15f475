//! The hooks that see every event on its way out.

use crate::base::trace::debug;
use sansocket_protocol::message::Frame;
use sansocket_protocol::socket::{Args, Parser};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

type Hook<S> = Arc<dyn Fn(&S, &Args) + Send + Sync>;

/// The hooks of a namespace, on the server or at a client. Without any, an event that leaves costs one look at a flag.
pub(crate) struct Outgoing<S> {
    hooks: RwLock<Arc<[Hook<S>]>>,
    any: AtomicBool,
    /// A hook that `clear` leaves: not the application's.
    #[cfg(feature = "admin")]
    lasting: std::sync::OnceLock<Hook<S>>,
}

impl<S> Default for Outgoing<S> {
    fn default() -> Self {
        Self {
            hooks: RwLock::default(),
            any: AtomicBool::new(false),
            #[cfg(feature = "admin")]
            lasting: std::sync::OnceLock::new(),
        }
    }
}

impl<S> Outgoing<S> {
    pub(crate) fn add(&self, hook: impl Fn(&S, &Args) + Send + Sync + 'static) {
        let hook: Hook<S> = Arc::new(hook);
        self.change(|hooks| hooks.iter().cloned().chain([hook]).collect());
    }

    /// Adds a hook before the others, which [`clear`](Self::clear) leaves. The first one stays.
    #[cfg(feature = "admin")]
    pub(crate) fn add_lasting(&self, hook: Hook<S>) {
        if self.lasting.set(hook.clone()).is_ok() {
            self.change(|hooks| [hook].into_iter().chain(hooks.iter().cloned()).collect());
        }
    }

    /// Removes the application's hooks.
    pub(crate) fn clear(&self) {
        #[cfg(feature = "admin")]
        if let Some(lasting) = self.lasting.get() {
            return self.change(|_| Arc::new([lasting.clone()]));
        }
        self.drop_all();
    }

    /// Removes all hooks.
    pub(crate) fn drop_all(&self) {
        self.change(|_| Arc::default());
    }

    fn change(&self, change: impl FnOnce(&[Hook<S>]) -> Arc<[Hook<S>]>) {
        let before = {
            let mut hooks = self.hooks.write().unwrap_or_else(PoisonError::into_inner);
            let changed = change(&hooks);
            self.any.store(!changed.is_empty(), Ordering::Release);
            std::mem::replace(&mut *hooks, changed)
        };
        // Hooks are the application's: they are dropped without the lock.
        drop(before);
    }

    /// The event in this frame, decoded for the hooks if there are any: once for all receivers.
    #[inline]
    pub(crate) fn watch(&self, parser: &Parser, frame: &Frame) -> Option<Watched<S>> {
        if self.any.load(Ordering::Acquire) { self.decode(parser, frame) } else { None }
    }

    fn decode(&self, parser: &Parser, frame: &Frame) -> Option<Watched<S>> {
        let event = parser.event_of(frame)?;
        let hooks = self.hooks.read().unwrap_or_else(PoisonError::into_inner).clone();
        Some(Watched { hooks, event })
    }
}

/// An event that is on its way out, with the hooks that are shown it.
pub(crate) struct Watched<S> {
    hooks: Arc<[Hook<S>]>,
    event: Args,
}

impl<S> Watched<S> {
    /// Shows it: it was queued for that socket. The panics of hooks are counted.
    pub(crate) fn show(&self, socket: &S, panics: Option<&AtomicU64>) {
        for hook in &*self.hooks {
            // The emit must not fail because a hook does.
            if catch_unwind(AssertUnwindSafe(|| hook(socket, &self.event))).is_err() {
                if let Some(panics) = panics {
                    panics.fetch_add(1, Ordering::Relaxed);
                }
                debug!("a hook for outgoing events panicked");
            }
        }
    }
}
