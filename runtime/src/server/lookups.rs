//! The clients that wait while a store of sessions asks somewhere else for theirs.

use crate::server::recovery::{PATIENCE, Recovery, lock};
use futures_channel::oneshot;
use sansocket_protocol::recovery::{Lookup, RecoveryStore};
use sansocket_protocol::socket::SocketKey;
use std::collections::BTreeMap;
use std::mem;
use std::sync::{Arc, Mutex, OnceLock};

/// The sockets of a session whose clients have waited, and are about to be decided about, with what was found for them.
/// Made with the first one.
pub(crate) type Decided = OnceLock<Arc<Mutex<BTreeMap<SocketKey, Option<Claim>>>>>;

/// The sessions that are looked for.
#[derive(Default)]
pub(crate) struct Lookups {
    /// Those who want each, by private ids. Changed under the store's lock.
    wanted: Mutex<BTreeMap<Arc<str>, Wanted>>,
}

#[derive(Default)]
struct Wanted {
    /// The number of clients that have not been decided about.
    claims: usize,
    /// Those who wait; dropping them tells.
    waiting: Vec<oneshot::Sender<()>>,
}

/// A client that wants a session. If it goes before it is decided about, the session is given up, unless another one wants
/// it, too.
pub(crate) struct Claim {
    recovery: Arc<Recovery>,
    pid: Arc<str>,
    is_open: bool,
}

/// A client that waits for what the store finds.
pub(crate) struct Awaited {
    claim: Claim,
    /// The marks of the client's session, and its socket.
    decided: Arc<Mutex<BTreeMap<SocketKey, Option<Claim>>>>,
    key: SocketKey,
    found: oneshot::Receiver<()>,
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
        let claim = decided.get().and_then(|decided| lock(decided).remove(&key));
        if let Some(mut claim) = claim {
            claim.iter_mut().for_each(|claim| claim.close(|_| {}));
            return None;
        }
        let pid: Arc<str> = pid.as_str().into();
        let found = {
            let mut store = lock(&self.store);
            match store.look_up(self.clock.now(), namespace, &pid, offset.as_deref()) {
                Lookup::Ready => None,
                Lookup::Pending => {
                    let (sender, found) = oneshot::channel();
                    let mut wanted = lock(&self.lookups.wanted);
                    let wanted = wanted.entry(pid.clone()).or_default();
                    wanted.claims += 1;
                    wanted.waiting.push(sender);
                    Some(found)
                }
            }
        };
        let found = found?;
        let claim = Claim { recovery: self.clone(), pid, is_open: true };
        self.settle();
        self.watch();
        self.wake();
        let decided = decided.get_or_init(Arc::default).clone();
        Some(Awaited { claim, decided, key, found })
    }

    /// It is known whether that session is there.
    pub(crate) fn looked_up(&self, pid: &str) {
        let told = lock(&self.lookups.wanted).get_mut(pid).map(|wanted| mem::take(&mut wanted.waiting));
        drop(told);
    }
}

impl Awaited {
    /// Waits, but not for ever. Then the client asks again, by `ask`, which returns whether it is still there.
    pub(crate) async fn wait(self, ask: impl FnOnce() -> bool) {
        let Self { claim, decided, key, found } = self;
        let runtime = claim.recovery.clock.runtime().clone();
        let told = crate::base::runtime::timeout(&runtime, PATIENCE, found).await;
        // One that has waited in vain begins anew.
        let claim = told.map(|_| claim);
        lock(&decided).insert(key, claim);
        if !ask() {
            // It was found for nobody.
            let claim = lock(&decided).remove(&key);
            drop(claim);
        }
    }
}

impl Claim {
    /// The client wants it no more: if it was the last one, `end` is called with the store.
    fn close(&mut self, end: impl FnOnce(&mut dyn RecoveryStore)) {
        if !mem::replace(&mut self.is_open, false) {
            return;
        }
        let mut store = lock(&self.recovery.store);
        let mut all = lock(&self.recovery.lookups.wanted);
        if let Some(wanted) = all.get_mut(&self.pid) {
            wanted.claims -= 1;
            if wanted.claims == 0 {
                all.remove(&self.pid);
                end(&mut **store);
            }
        }
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        if self.is_open {
            let pid = self.pid.clone();
            self.close(|store| store.give_up(&pid));
            self.recovery.settle();
        }
    }
}
