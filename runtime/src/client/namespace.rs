//! A namespace of a client, as its handles and its task share it.

use super::error::ConnectError;
use super::socket::ClientSocket;
use super::table::ClientTable;
use crate::base::runtime::BoxFuture;
use crate::handler::outgoing::Outgoing;
use sansocket_protocol::socket::{AuthSource, SocketKey};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};

/// Gives the auth for a namespace, each time it is joined.
pub(crate) type AskAuth =
    Arc<dyn Fn() -> BoxFuture<Result<AuthSource, ConnectError>> + Send + Sync + 'static>;

/// A namespace of a client.
pub(crate) struct ClientNamespace {
    pub(crate) name: Arc<str>,
    /// `None` if the name is none.
    pub(crate) key: Option<SocketKey>,
    table: RwLock<Arc<ClientTable>>,
    pub(crate) outgoing: Outgoing<ClientSocket>,
    next_ack: AtomicU64,
    pub(crate) ask: Mutex<Option<AskAuth>>,
}

impl ClientNamespace {
    pub(crate) fn new(name: Arc<str>, key: Option<SocketKey>) -> Self {
        Self {
            name,
            key,
            table: RwLock::default(),
            outgoing: Outgoing::default(),
            next_ack: AtomicU64::new(0),
            ask: Mutex::default(),
        }
    }

    pub(crate) fn table(&self) -> Arc<ClientTable> {
        self.table.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Changes the table, and returns the one before. Its handlers are the application's: they are dropped by the
    /// caller, without the lock.
    pub(crate) fn change(&self, change: impl FnOnce(&mut ClientTable)) -> Arc<ClientTable> {
        let mut table = self.table.write().unwrap_or_else(PoisonError::into_inner);
        let mut changed = ClientTable::clone(&table);
        change(&mut changed);
        std::mem::replace(&mut *table, Arc::new(changed))
    }

    /// The handlers for an event that is handled now. Those among them that run once are taken out, before they run:
    /// what they make the server send is not for them.
    pub(crate) fn begin_event(&self, event: &[u8]) -> Arc<ClientTable> {
        let table = self.table();
        // The handlers are those that were there when that was done: one that was added meanwhile is taken out, too.
        if table.events.has_once(event) {
            self.change(|table| table.events.remove_once(event))
        } else {
            table
        }
    }

    /// An id for an acknowledgement: counted from 0, as the reference does.
    pub(crate) fn next_ack_id(&self) -> u64 {
        self.next_ack.fetch_add(1, Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::handler::{OnClientEvent, erase};
    use std::thread;

    #[test]
    fn a_handler_that_runs_once_is_taken_out_by_the_event_that_it_runs_for() {
        const HANDLERS: usize = 5_000;
        let namespace = ClientNamespace::new("/".into(), None);
        let taken = thread::scope(|scope| {
            let adding = scope.spawn(|| {
                for _ in 0..HANDLERS {
                    let handler = erase::<OnClientEvent, _>(async || {});
                    drop(namespace.change(|table| table.add_once("event", handler)));
                }
            });
            let mut taken = 0;
            loop {
                let is_last = adding.is_finished();
                taken += namespace.begin_event(b"event").listeners(b"event").len();
                if is_last {
                    break taken;
                }
            }
        });
        assert_eq!(taken, HANDLERS);
        assert!(namespace.table().listeners(b"event").is_empty());
    }
}
