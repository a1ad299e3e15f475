//! A namespace of a client, as its handles and its task share it.

use super::error::{ConnectError, ServerRefusal};
use super::socket::ClientSocket;
use super::table::ClientTable;
use crate::base::runtime::BoxFuture;
use crate::handler::encoder::Encoder;
use crate::handler::listener::{ListenerHandle, add_listener};
use crate::handler::outgoing_hook::Outgoing;
use crate::handler::table::{SeenTable, SharedTable};
use crate::handler::{OnClientEvent, SharedHandler};
use sansocket_protocol::socket::{AuthSource, Parser, SocketKey};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

/// The callback that gives the auth for a namespace each time it is joined.
pub(crate) type AskAuth =
    Arc<dyn Fn(Option<ServerRefusal>) -> BoxFuture<Result<AuthSource, ConnectError>> + Send + Sync + 'static>;

/// A namespace of a client: its handlers, and its key in the machine.
pub(crate) struct ClientNamespace {
    pub(crate) name: Arc<str>,
    pub(crate) encoder: Arc<Encoder>,
    /// `None` if no namespace can have that name.
    pub(crate) key: Option<SocketKey>,
    pub(crate) table: SharedTable<ClientTable>,
    pub(crate) outgoing: Outgoing<ClientSocket>,
    next_ack: AtomicU64,
    pub(crate) ask: Mutex<Option<AskAuth>>,
}

/// A namespace that had events, as the client's task knows it.
pub(crate) struct KnownNamespace {
    pub(crate) namespace: Arc<ClientNamespace>,
    /// Its handlers, only while events are handed to them: they may hold the client, and be removed while the task sleeps.
    pub(crate) table: SeenTable<ClientTable>,
}

impl ClientNamespace {
    pub(crate) fn new(
        name: Arc<str>,
        key: Option<SocketKey>,
        parser: Parser,
        unit_acknowledges: bool,
    ) -> Self {
        Self {
            encoder: Encoder::new(name.clone(), parser, unit_acknowledges),
            name,
            key,
            table: SharedTable::default(),
            outgoing: Outgoing::default(),
            next_ack: AtomicU64::new(0),
            ask: Mutex::default(),
        }
    }

    pub(crate) fn table(&self) -> Arc<ClientTable> {
        self.table.get()
    }

    /// Changes the table, and returns the one before, whose handlers the caller drops.
    pub(crate) fn change(&self, change: impl FnOnce(&mut ClientTable)) -> Arc<ClientTable> {
        self.table.change(change)
    }

    pub(crate) fn add_listener(
        self: Arc<Self>,
        event: &str,
        handler: SharedHandler<OnClientEvent>,
        first: bool,
    ) -> ListenerHandle {
        add_listener(&self, event, handler, first, |namespace, change| {
            drop(namespace.change(|table| change(&mut table.events)));
        })
    }

    /// The handlers for an event that is handled now. Those that run once are removed before they run: the events that
    /// they make the server send are not for them.
    pub(crate) fn begin_event(&self, event: &[u8]) -> Arc<ClientTable> {
        let table = self.table();
        // The handlers are those of the table that was changed: one that was added meanwhile is removed, and runs, too.
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
        let namespace = ClientNamespace::new("/".into(), None, Parser::json(), true);
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
