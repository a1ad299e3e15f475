//! The handlers of `on_concurrent` at work: at most `max_concurrent` at once.

use crate::http::shutdown::Running;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// The number of handlers that run concurrently.
#[derive(Debug, Default)]
pub(crate) struct Concurrent(Arc<AtomicUsize>);

impl Concurrent {
    /// The number of handlers that run.
    #[cfg(feature = "metrics")]
    pub(crate) fn running(&self) -> usize {
        self.0.load(Ordering::Acquire)
    }

    /// The place of one more handler, unless `limit` of them run. `start` registers it with the shutdown.
    pub(crate) fn permit(&self, limit: usize, start: impl FnOnce() -> Running) -> Option<Permit> {
        let taken = self.0.fetch_update(Ordering::AcqRel, Ordering::Acquire, |running| {
            (running < limit).then(|| running + 1)
        });
        taken.ok().map(|_| Permit { concurrent: self.0.clone(), running: start() })
    }
}

/// One of the handlers that may run concurrently. A shutdown waits for it.
pub(crate) struct Permit {
    concurrent: Arc<AtomicUsize>,
    running: Running,
}

impl Permit {
    /// Ready once a shutdown waits no longer.
    pub(crate) async fn cut(&self) {
        self.running.cut().await;
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.concurrent.fetch_sub(1, Ordering::AcqRel);
    }
}
