//! The shutdown of a server: what it waits for, and its three moments. It has begun: nothing new is let in, clients are
//! told, connections end with their next answer. Its patience is over: whatever still runs is cut off. It is done:
//! listeners stop accepting.

use crate::base::runtime;
use crate::base::runtime::Runtime;
use crate::base::signal::{FrequentWait, Signal};
use bytes::Bytes;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

/// The time that sessions have to go once a shutdown cuts them off: one that is blocked by a handler cannot.
const CUT_OFF: Duration = Duration::from_secs(1);

/// The state of a server's shutdown.
#[derive(Debug, Default)]
pub(crate) struct Shutdown {
    /// The tasks of sessions and of concurrent handlers, and the requests to sessions.
    running: AtomicUsize,
    begun: Signal,
    cut: Signal,
    done: Signal,
}

impl Shutdown {
    /// Counts something that a shutdown waits for, until [`ended`](Self::ended) is called once for it.
    pub(crate) fn started(&self) {
        self.running.fetch_add(1, Ordering::AcqRel);
    }

    /// The counterpart of [`started`](Self::started).
    pub(crate) fn ended(&self) {
        // The lock keeps this in order with `run`, which gives the signal and then looks at the count: without, each could
        // miss the other.
        if self.running.fetch_sub(1, Ordering::AcqRel) == 1 && self.begun.is_given() {
            self.done.give();
        }
    }

    /// The same as a guard.
    pub(crate) fn start(self: &Arc<Self>) -> Running {
        self.started();
        Running(self.clone())
    }

    /// Returns whether a shutdown has begun, for one who waits for that as well: see [`Signal::is_seen`].
    pub(crate) fn is_seen(&self) -> bool {
        self.begun.is_seen()
    }

    /// Ready once a shutdown has begun.
    pub(crate) async fn begun(&self) {
        self.begun.wait().await;
    }

    /// The same for the task of a connection, which looks at each of its steps: all connections share the lock.
    pub(crate) fn closing(&self) -> FrequentWait<'_> {
        self.begun.frequent_wait()
    }

    /// Ready once the patience of a shutdown is over.
    pub(crate) async fn cut(&self) {
        self.cut.wait().await;
    }

    /// Ready once a shutdown is done.
    pub(crate) async fn done(&self) {
        self.done.wait().await;
    }

    /// Shuts down: `close` closes all sessions in good order, and after `patience` `abort` ends those that are left.
    pub(crate) async fn run(
        &self,
        runtime: &Arc<dyn Runtime>,
        patience: Duration,
        close: impl FnOnce(),
        abort: impl FnOnce(),
    ) {
        self.begun.give();
        close();
        if self.running.load(Ordering::Acquire) == 0 {
            self.done.give();
        }
        if runtime::timeout(runtime, patience, self.done()).await.is_none() {
            self.cut.give();
            abort();
            runtime::timeout(runtime, CUT_OFF, self.done()).await;
            // Even if something still blocks a thread, nothing more is accepted.
            self.done.give();
        }
    }
}

/// A thing that a shutdown waits for, until this is dropped.
#[derive(Debug)]
pub(crate) struct Running(Arc<Shutdown>);

impl Running {
    /// Ready once the shutdown waits no longer.
    pub(crate) async fn cut(&self) {
        self.0.cut().await;
    }

    /// The body of the answer to a request. During a shutdown, the wait for the request lasts until HTTP lets go of the
    /// body: a process that ends once it has shut down has told its clients so.
    pub(crate) fn until_written(self, body: Bytes) -> Bytes {
        // A shutdown that is not seen yet begins after this answer: no request takes the lock that all share.
        if body.is_empty() || !self.0.is_seen() {
            return body;
        }
        Bytes::from_owner(LastWords { body, _running: self })
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.0.ended();
    }
}

/// An answer that is given during a shutdown.
struct LastWords {
    body: Bytes,
    _running: Running,
}

impl AsRef<[u8]> for LastWords {
    fn as_ref(&self) -> &[u8] {
        &self.body
    }
}
