//! A namespace of a client: its handlers, and what is done with its events.

use super::error::ConnectError;
use super::socket::ClientSocket;
use crate::base::error::HandlerError;
use crate::base::runtime::BoxFuture;
use crate::base::trace::is_heard;
use crate::client::task::handle::Key;
use crate::client::task::shared::Shared;
use crate::handler::ack::{AckTarget, Reply};
use crate::handler::outgoing::Outgoing;
use crate::handler::{
    Context, Kind, OnClientConnect, OnClientConnectError, OnClientDisconnect, OnClientEvent, Peer,
    SharedHandler,
};
use sansocket_protocol::error::{CloseReason, SendError};
use sansocket_protocol::socket::Args;
use sansocket_protocol::socket::{AuthSource, Parser, SocketKey};
use std::any::Any;
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::task::{self, Poll};

/// The handlers of a namespace.
#[derive(Clone, Default)]
pub(crate) struct Table {
    pub(crate) connect: Vec<SharedHandler<OnClientConnect>>,
    pub(crate) connect_error: Vec<SharedHandler<OnClientConnectError>>,
    pub(crate) disconnect: Vec<SharedHandler<OnClientDisconnect>>,
    pub(crate) any: Vec<SharedHandler<OnClientEvent>>,
    pub(crate) fallback: Vec<SharedHandler<OnClientEvent>>,
    /// The one among them that is a loop's.
    looping: Option<SharedHandler<OnClientEvent>>,
    /// Those among the handlers of events that run once.
    once: Vec<SharedHandler<OnClientEvent>>,
    /// In the order of their names.
    events: Vec<(Box<str>, Vec<SharedHandler<OnClientEvent>>)>,
}

impl Table {
    /// The handlers of an event, in the order of their registration; those for the rest if it has none.
    fn listeners(&self, event: &str) -> &[SharedHandler<OnClientEvent>] {
        match self.events.binary_search_by(|(name, _)| (**name).cmp(event)) {
            Ok(at) => &self.events[at].1,
            Err(_) => &self.fallback,
        }
    }

    pub(crate) fn add(&mut self, event: &str, handler: SharedHandler<OnClientEvent>) {
        match self.events.binary_search_by(|(name, _)| (**name).cmp(event)) {
            Ok(at) => self.events[at].1.push(handler),
            Err(at) => self.events.insert(at, (event.into(), vec![handler])),
        }
    }

    /// Gives the events that have no handlers of their own to a loop: before the handlers for the rest, and in place
    /// of the loop before.
    pub(crate) fn begin_loop(&mut self, handler: SharedHandler<OnClientEvent>) {
        self.end_loop(None);
        self.fallback.insert(0, handler.clone());
        self.looping = Some(handler);
    }

    /// Adds a handler that [`begin_event`](Self::begin_event) takes out.
    pub(crate) fn add_once(&mut self, event: &str, handler: SharedHandler<OnClientEvent>) {
        self.once.push(handler.clone());
        self.add(event, handler);
    }

    /// Whether the next event of that name is the last one for any of its handlers.
    fn has_once(&self, event: &str) -> bool {
        !self.once.is_empty() && self.listeners(event).iter().any(|handler| is_among(handler, &self.once))
    }

    /// An event is handled: takes those of its handlers out that have run then.
    fn begin_event(&mut self, event: &str) {
        let Ok(at) = self.events.binary_search_by(|(name, _)| (**name).cmp(event)) else { return };
        let (_, handlers) = &mut self.events[at];
        let (over, left): (Vec<_>, _) =
            std::mem::take(handlers).into_iter().partition(|handler| is_among(handler, &self.once));
        *handlers = left;
        if handlers.is_empty() {
            self.events.remove(at);
        }
        self.once.retain(|handler| !is_among(handler, &over));
    }

    /// Takes the handlers for the rest out, but for a loop.
    pub(crate) fn remove_fallback(&mut self) {
        let looping = self.looping.clone();
        self.fallback.retain(|handler| looping.as_ref().is_some_and(|looping| same(handler, looping)));
    }

    /// Takes that loop out, or whichever there is.
    pub(crate) fn end_loop(&mut self, handler: Option<&SharedHandler<OnClientEvent>>) {
        type Known = SharedHandler<OnClientEvent>;
        let is_it = |looping: &mut Known| handler.is_none_or(|handler| same(handler, looping));
        if let Some(looping) = self.looping.take_if(is_it) {
            self.fallback.retain(|found| !same(found, &looping));
        }
    }

    pub(crate) fn remove(&mut self, event: &str) {
        if let Ok(at) = self.events.binary_search_by(|(name, _)| (**name).cmp(event)) {
            let (_, over) = self.events.remove(at);
            self.once.retain(|handler| !is_among(handler, &over));
        }
    }
}

fn same<K: Kind>(a: &SharedHandler<K>, b: &SharedHandler<K>) -> bool {
    Arc::as_ptr(a).cast::<()>() == Arc::as_ptr(b).cast()
}

fn is_among<K: Kind>(handler: &SharedHandler<K>, all: &[SharedHandler<K>]) -> bool {
    all.iter().any(|known| same(handler, known))
}

/// Gives the auth for a namespace, each time it is joined.
pub(crate) type AskAuth =
    Arc<dyn Fn() -> BoxFuture<Result<AuthSource, ConnectError>> + Send + Sync + 'static>;

/// A namespace of a client.
pub(crate) struct Namespace {
    pub(crate) name: Arc<str>,
    pub(crate) parser: Parser,
    /// `None` if the name is none.
    pub(crate) key: Option<SocketKey>,
    table: RwLock<Arc<Table>>,
    pub(crate) outgoing: Outgoing<ClientSocket>,
    next_ack: AtomicU64,
    pub(crate) ask: Mutex<Option<AskAuth>>,
}

impl Namespace {
    pub(crate) fn new(name: Arc<str>, key: Option<SocketKey>, parser: Parser) -> Self {
        Self {
            name,
            parser,
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
    fn begin_event(&self, event: &str) -> Arc<Table> {
        let table = self.table();
        // The handlers are those that were there when that was done: one that was added meanwhile is taken out, too.
        if table.has_once(event) { self.change(|table| table.begin_event(event)) } else { table }
    }

    /// An id for an acknowledgement: counted from 0, as the reference does.
    pub(crate) fn next_ack_id(&self) -> u64 {
        self.next_ack.fetch_add(1, Ordering::Relaxed)
    }
}

/// Handlers at work on one event. Until it is done, the later events of the same socket wait.
pub(crate) struct Job {
    pub(crate) who: Key,
    work: Work,
}

enum Work {
    Plain(BoxFuture<()>),
    /// The only listener of an event: the usual case.
    Event {
        socket: ClientSocket,
        future: BoxFuture<Result<Reply, HandlerError>>,
        ack: Option<AckTarget>,
    },
}

impl Job {
    pub(crate) fn new(who: Key, work: BoxFuture<()>) -> Self {
        Self { who, work: Work::Plain(work) }
    }

    fn plain(socket: &ClientSocket, work: impl Future<Output = ()> + Send + 'static) -> Self {
        Self::new(socket.namespace_inner().key, Box::pin(work))
    }

    /// Polls it; a panic of user code comes back as an error.
    pub(crate) fn poll_caught(
        &mut self,
        context: &mut task::Context<'_>,
    ) -> Result<Poll<()>, Box<dyn Any + Send>> {
        let Self { work, .. } = self;
        catch_unwind(AssertUnwindSafe(|| match work {
            Work::Plain(future) => future.as_mut().poll(context),
            Work::Event { socket, future, ack } => {
                future.as_mut().poll(context).map(|outcome| match outcome {
                    Ok(reply) => answer(socket, ack.as_ref(), reply),
                    Err(error) => socket.shared().report(socket, &error),
                })
            }
        }))
    }
}

/// Begins the handlers of an event.
///
/// `connection` is the one that it came on.
pub(crate) fn event(socket: ClientSocket, args: Args, ack: Option<u64>, connection: u64) -> Option<Job> {
    let ack = ack.map(|id| {
        let namespace = socket.namespace_inner();
        AckTarget { parser: namespace.parser, namespace: namespace.name.clone(), id, connection }
    });
    let name = args.event()?;
    let table = socket.namespace_inner().begin_event(&name);
    let listeners = table.listeners(&name);
    if let ([handler], true) = (listeners, table.any.is_empty()) {
        let handler = handler.clone();
        drop(name);
        let mut context = Context { args: Some(args), ack, ..Context::new(Peer::Client(socket.clone())) };
        return match handler.call(&mut context) {
            Ok(future) => {
                let who = socket.namespace_inner().key;
                Some(Job { who, work: Work::Event { socket, future, ack: context.ack } })
            }
            Err(error) => {
                socket.shared().report_about(&socket, context.args.as_ref(), &error);
                None
            }
        };
    }
    let listeners = listeners.to_vec();
    drop(name);
    if listeners.is_empty() && table.any.is_empty() {
        return None;
    }
    let mut context = Context { args: Some(args), ..Context::new(Peer::Client(socket.clone())) };
    Some(Job::plain(&socket.clone(), async move {
        for handler in &table.any {
            if let Err(error) = run(&mut context, handler).await.and_then(|outcome| outcome) {
                socket.shared().report_about(&socket, context.args.as_ref(), &error);
            }
        }
        context.ack = ack;
        context.ack_taken = false;
        let mut reply: Option<Reply> = None;
        for handler in &listeners {
            match run(&mut context, handler).await.and_then(|outcome| outcome) {
                Ok(value @ Reply::Value(_)) if !matches!(reply, Some(Reply::Value(_))) => reply = Some(value),
                Ok(_) => reply = reply.or(Some(Reply::Done)),
                Err(error) => socket.shared().report_about(&socket, context.args.as_ref(), &error),
            }
        }
        if let Some(reply) = reply {
            answer(&socket, context.ack.as_ref(), reply);
        }
    }))
}

/// Begins the handlers of a socket that has joined.
pub(crate) fn connected(socket: ClientSocket) -> Option<Job> {
    let table = socket.namespace_inner().table();
    let context = Context::new(Peer::Client(socket.clone()));
    all(socket, table, |table| &table.connect, context)
}

/// Begins the handlers of a socket that could not join.
pub(crate) fn not_connected(socket: ClientSocket, error: ConnectError) -> Option<Job> {
    let table = socket.namespace_inner().table();
    let context = Context { connect_error: Some(error), ..Context::new(Peer::Client(socket.clone())) };
    all(socket, table, |table| &table.connect_error, context)
}

/// Begins the handlers of a socket that is not connected any more.
pub(crate) fn disconnected(socket: ClientSocket, reason: CloseReason) -> Option<Job> {
    let table = socket.namespace_inner().table();
    let context = Context { reason: Some(reason), ..Context::new(Peer::Client(socket.clone())) };
    all(socket, table, |table| &table.disconnect, context)
}

fn all<K: Kind<Outcome = Result<(), HandlerError>>>(
    socket: ClientSocket,
    table: Arc<Table>,
    which: fn(&Table) -> &Vec<SharedHandler<K>>,
    mut context: Context,
) -> Option<Job> {
    if which(&table).is_empty() {
        return None;
    }
    Some(Job::plain(&socket.clone(), async move {
        for handler in which(&table) {
            if let Err(error) = run(&mut context, handler).await.and_then(|outcome| outcome) {
                socket.shared().report(&socket, &error);
            }
        }
    }))
}

async fn run<K: Kind>(context: &mut Context, handler: &SharedHandler<K>) -> Result<K::Outcome, HandlerError> {
    let future: Pin<Box<dyn Future<Output = K::Outcome> + Send>> = handler.call(context)?;
    Ok(future.await)
}

fn answer(socket: &ClientSocket, target: Option<&AckTarget>, reply: Reply) {
    let Some(target) = target else { return };
    let frame = match reply {
        Reply::Value(frame) => Ok(frame),
        Reply::Done => target.parser.ack(&target.namespace, target.id, &()),
    };
    match frame {
        Ok(frame) => match socket.send_ack(target, &frame) {
            // The connection may be lost meanwhile; nobody is left to be told.
            Ok(()) | Err(SendError::Disconnected) => {}
            Err(error) => socket.shared().report(socket, &HandlerError::Unsent(error)),
        },
        Err(error) => socket.shared().report(socket, &error.into()),
    }
}

impl Shared {
    /// Tells the error hook.
    pub(crate) fn report(&self, socket: &ClientSocket, error: &HandlerError) {
        self.report_about(socket, None, error);
    }

    /// As [`Shared::report`], with the event that it was about.
    fn report_about(&self, socket: &ClientSocket, args: Option<&Args>, error: &HandlerError) {
        crate::base::trace::debug!(namespace = socket.name(), %error, "a handler failed");
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
        let namespace = Namespace::new("/".into(), None, Parser::json());
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
                taken += namespace.begin_event("event").listeners("event").len();
                if is_last {
                    break taken;
                }
            }
        });
        assert_eq!(taken, HANDLERS);
        assert!(namespace.table().once.is_empty());
    }
}
