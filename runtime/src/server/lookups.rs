//! The clients that wait while a store of sessions asks somewhere else for theirs.

use crate::server::recovery::{PATIENCE, Recovery, lock};
use futures_channel::oneshot;
use sansocket_protocol::recovery::Lookup;
use sansocket_protocol::socket::SocketKey;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, OnceLock};

/// The sockets of a session whose clients have waited, and are about to be decided about. Made with the first one.
pub(crate) type Decided = OnceLock<Arc<Mutex<BTreeSet<SocketKey>>>>;

/// The sessions that are looked for.
#[derive(Default)]
pub(crate) struct Lookups {
    /// Those who wait, by private ids. Changed under the store's lock.
    waiting: Mutex<BTreeMap<Arc<str>, Vec<oneshot::Sender<()>>>>,
}

/// A client that waits for what the store finds.
pub(crate) struct Awaited {
    recovery: Arc<Recovery>,
    pid: Arc<str>,
    /// The marks of the client's session, and its socket.
    decided: Arc<Mutex<BTreeSet<SocketKey>>>,
    key: SocketKey,
    /// `None` once it is known.
    found: Option<oneshot::Receiver<()>>,
}

impl Recovery {
    /// Has the store look for the session of a client. `None`: it need not, or has done so.
    pub(crate) fn look_up(
        self: &Arc<Self>,
        namespace: &str,
        (pid, offset): &(String, Option<String>),
        decided: &Decided,
        key: SocketKey,
    ) -> Option<Awaited> {
        if decided.get().is_some_and(|decided| lock(decided).remove(&key)) {
            return None;
        }
        let found = {
            let mut store = lock(&self.store);
            match store.look_up(self.clock.now(), namespace, pid, offset.as_deref()) {
                Lookup::Ready => None,
                Lookup::Pending => {
                    let (sender, found) = oneshot::channel();
                    let mut waiting = lock(&self.lookups.waiting);
                    waiting.entry(pid.as_str().into()).or_default().push(sender);
                    Some(found)
                }
            }
        };
        let found = found?;
        self.settle();
        self.watch();
        self.wake();
        let decided = decided.get_or_init(Arc::default).clone();
        Some(Awaited { recovery: self.clone(), pid: pid.as_str().into(), decided, key, found: Some(found) })
    }

    /// It is known whether that session is there.
    pub(crate) fn looked_up(&self, pid: &str) {
        // Dropping them tells.
        drop(lock(&self.lookups.waiting).remove(pid));
    }
}

impl Awaited {
    /// Waits, but not for ever. Then the client asks again, by `ask`, which returns whether it is still there.
    pub(crate) async fn wait(mut self, ask: impl FnOnce() -> bool) {
        let runtime = self.recovery.clock.runtime().clone();
        if let Some(found) = &mut self.found {
            if crate::base::runtime::timeout(&runtime, PATIENCE, found).await.is_some() {
                self.found = None;
            }
        }
        lock(&self.decided).insert(self.key);
        if !ask() {
            lock(&self.decided).remove(&self.key);
            // It was found for nobody.
            self.recovery.give_up(&self.pid);
        }
    }
}

impl Drop for Awaited {
    fn drop(&mut self) {
        if self.found.take().is_some() {
            self.recovery.give_up(&self.pid);
        }
    }
}

impl Recovery {
    /// A client does not wait for that session any more; the store is told, unless another one does.
    fn give_up(&self, pid: &str) {
        {
            let mut store = lock(&self.store);
            let mut waiting = lock(&self.lookups.waiting);
            if let Some(senders) = waiting.get_mut(pid) {
                senders.retain(|sender| !sender.is_canceled());
                if !senders.is_empty() {
                    return;
                }
                waiting.remove(pid);
            }
            store.give_up(pid);
        }
        self.settle();
    }
}
