//! A namespace of a client: its handlers, and what is done with its events.

use super::error::ConnectError;
use super::socket::ClientSocket;
use crate::base::error::HandlerError;
use crate::base::runtime::BoxFuture;
use crate::base::trace::{debug, is_heard};
use crate::client::task::shared::Shared;
use crate::handler::ack::AckTarget;
use crate::handler::job::{Job, Work, begin_sole, run_any, run_each, run_listeners};
use crate::handler::outgoing::Outgoing;
use crate::handler::table::{EventTable, Listener, Runs};
use crate::handler::{
    Context, EventInput, Kind, OnClientConnect, OnClientConnectError, OnClientDisconnect, OnClientEvent,
    SharedHandler,
};
use sansocket_protocol::error::CloseReason;
use sansocket_protocol::socket::{Args, AuthSource, SocketKey};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};

/// The jobs of a client.
pub(crate) type ClientJob = Job<Work<ClientSocket>>;

/// The handlers of a namespace.
#[derive(Clone, Default)]
pub(crate) struct Table {
    pub(crate) connect: Vec<SharedHandler<OnClientConnect>>,
    pub(crate) connect_error: Vec<SharedHandler<OnClientConnectError>>,
    pub(crate) disconnect: Vec<SharedHandler<OnClientDisconnect>>,
    pub(crate) events: EventTable<OnClientEvent>,
    /// The one among the handlers for the rest that is a loop's.
    looping: Option<SharedHandler<OnClientEvent>>,
}

impl Table {
    /// The listeners of an event, in the order of their registration; those for the rest if it has none.
    fn listeners(&self, event: &[u8]) -> &[Listener<OnClientEvent>] {
        match self.events.listeners(event) {
            [] => &self.events.fallback,
            listeners => listeners,
        }
    }

    /// Gives the events that have no handlers of their own to a loop: before the handlers for the rest, and in place
    /// of the loop before.
    pub(crate) fn begin_loop(&mut self, handler: SharedHandler<OnClientEvent>) {
        self.end_loop(None);
        self.events.fallback.insert(0, Listener::in_line(handler.clone()));
        self.looping = Some(handler);
    }

    /// Adds a handler that the next such event removes.
    pub(crate) fn add_once(&mut self, event: &str, handler: SharedHandler<OnClientEvent>) {
        // Nobody counts them: the next event takes all of them.
        self.events.add(event, Listener { handler, runs: Runs::Once(0) });
    }

    /// Removes the handlers for the rest, but for a loop.
    pub(crate) fn remove_fallback(&mut self) {
        let looping = self.looping.clone();
        let is_looping =
            |found: &SharedHandler<_>| looping.as_ref().is_some_and(|looping| same(found, looping));
        self.events.fallback.retain(|listener| is_looping(&listener.handler));
    }

    /// Removes that loop, or whichever there is.
    pub(crate) fn end_loop(&mut self, handler: Option<&SharedHandler<OnClientEvent>>) {
        type Known = SharedHandler<OnClientEvent>;
        let is_it = |looping: &mut Known| handler.is_none_or(|handler| same(handler, looping));
        if let Some(looping) = self.looping.take_if(is_it) {
            self.events.fallback.retain(|listener| !same(&listener.handler, &looping));
        }
    }
}

fn same<K: Kind>(a: &SharedHandler<K>, b: &SharedHandler<K>) -> bool {
    Arc::as_ptr(a).cast::<()>() == Arc::as_ptr(b).cast()
}

/// Gives the auth for a namespace, each time it is joined.
pub(crate) type AskAuth =
    Arc<dyn Fn() -> BoxFuture<Result<AuthSource, ConnectError>> + Send + Sync + 'static>;

/// A namespace of a client.
pub(crate) struct Namespace {
    pub(crate) name: Arc<str>,
    /// `None` if the name is none.
    pub(crate) key: Option<SocketKey>,
    table: RwLock<Arc<Table>>,
    pub(crate) outgoing: Outgoing<ClientSocket>,
    next_ack: AtomicU64,
    pub(crate) ask: Mutex<Option<AskAuth>>,
}

impl Namespace {
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

    pub(crate) fn table(&self) -> Arc<Table> {
        self.table.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Changes the table, and returns the one before. Its handlers are the application's: they are dropped by the
    /// caller, without the lock.
    pub(crate) fn change(&self, change: impl FnOnce(&mut Table)) -> Arc<Table> {
        let mut table = self.table.write().unwrap_or_else(PoisonError::into_inner);
        let mut changed = Table::clone(&table);
        change(&mut changed);
        std::mem::replace(&mut *table, Arc::new(changed))
    }

    /// The handlers for an event that is handled now. Those among them that run once are taken out, before they run:
    /// what they make the server send is not for them.
    fn begin_event(&self, event: &[u8]) -> Arc<Table> {
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

/// Begins the handlers of an event.
///
/// `connection` is the one that it came on.
pub(crate) fn event(
    key: SocketKey,
    socket: ClientSocket,
    args: Args,
    ack: Option<u64>,
    connection: u64,
) -> Option<ClientJob> {
    let namespace = socket.namespace_inner();
    let ack = ack.map(|id| AckTarget { namespace: namespace.name.clone(), id, socket: key, connection });
    let name = args.event_bytes()?;
    let table = namespace.begin_event(&name);
    let listeners = table.listeners(&name);
    if let ([Listener { handler, .. }], true) = (listeners, table.events.any.is_empty()) {
        drop(name);
        return Some(Job { socket: Some(key), work: begin_sole(&**handler, socket, args, ack)? });
    }
    if listeners.is_empty() && table.events.any.is_empty() {
        return None;
    }
    let listeners = listeners.to_vec();
    drop(name);
    let mut context = Context::<OnClientEvent>::new(socket, EventInput { args, ack, is_sole: false });
    Some(Job::new(Some(key), async move {
        run_any(&mut context, &table.events.any).await;
        run_listeners(context, &listeners).await;
    }))
}

/// Begins the handlers of a socket that has joined.
pub(crate) fn connected(socket: ClientSocket) -> Option<ClientJob> {
    each::<OnClientConnect>(socket, (), |table| &table.connect)
}

/// Begins the handlers of a socket that could not join.
pub(crate) fn not_connected(socket: ClientSocket, error: ConnectError) -> Option<ClientJob> {
    each::<OnClientConnectError>(socket, error, |table| &table.connect_error)
}

/// Begins the handlers of a socket that is not connected any more.
pub(crate) fn disconnected(socket: ClientSocket, reason: CloseReason) -> Option<ClientJob> {
    each::<OnClientDisconnect>(socket, reason, |table| &table.disconnect)
}

fn each<K>(
    socket: ClientSocket,
    input: K::Input,
    which: fn(&Table) -> &Vec<SharedHandler<K>>,
) -> Option<ClientJob>
where
    K: Kind<Peer = ClientSocket, Outcome = Result<(), HandlerError>>,
{
    let table = socket.namespace_inner().table();
    if which(&table).is_empty() {
        return None;
    }
    let key = socket.namespace_inner().key;
    let mut context = Context::<K>::new(socket, input);
    Some(Job::new(key, async move { run_each(&mut context, which(&table)).await }))
}

impl Shared {
    /// Tells the error hook.
    pub(crate) fn report(&self, socket: &ClientSocket, error: &HandlerError) {
        self.report_about(socket, None, error);
    }

    /// As [`Shared::report`], with the event that it was about.
    pub(crate) fn report_about(&self, socket: &ClientSocket, args: Option<&Args>, error: &HandlerError) {
        debug!(namespace = socket.name(), %error, "a handler failed");
        match &self.settings.on_error {
            // A hook that panics must not take the client along.
            Some(hook) => drop(catch_unwind(AssertUnwindSafe(|| hook(socket, error)))),
            None if is_heard() => {}
            None => self.unheard.show(socket.name(), args, error),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::handler::erase;
    use std::thread;

    #[test]
    fn a_handler_that_runs_once_is_taken_out_by_the_event_that_it_runs_for() {
        const HANDLERS: usize = 5_000;
        let namespace = Namespace::new("/".into(), None);
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
