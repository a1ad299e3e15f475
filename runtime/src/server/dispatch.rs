//! What a Socket.IO session does with its events: it finds the handlers and runs them.

use crate::base::error::{HandlerError, INTERNAL_ERROR, Refusal};
use crate::base::runtime::BoxFuture;
use crate::base::trace::debug;
use crate::handler::ack::{AckTarget, Reply};
use crate::handler::{AnyHandler, Context, Kind, Peer, SharedHandler};
use crate::http::handshake::Handshake;
use crate::server::namespace::{Listener, Runs, Table};
use crate::server::server::ServerInner;
use crate::server::socket::{CONNECTION_REFUSED, Socket};
use crate::session::handle::SessionHandle;
use crate::session::stats::count;
use crate::session::task::{Application, Job, Work};
use bytes::Bytes;
use sansocket_protocol::error::CloseReason;
use sansocket_protocol::message::Frame;
use sansocket_protocol::server::ServerEvent;
use sansocket_protocol::socket::Args;
use sansocket_protocol::socket::{ServerSocketEvent, SocketKey};
use std::any::Any;
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::task::Poll;

/// The sockets of one session, with what is constant for each looked up once.
pub(crate) struct SocketDispatch {
    server: Arc<ServerInner>,
    handshake: Handshake,
    live: Vec<Live>,
}

struct Live {
    socket: Socket,
    table: Arc<Table>,
    version: u64,
    /// Its end was told.
    over: bool,
}

impl Live {
    fn table(&mut self) -> &Arc<Table> {
        let handlers = &self.socket.namespace_inner().handlers;
        let version = handlers.version();
        if version != self.version {
            self.table = handlers.table();
            self.version = version;
        }
        &self.table
    }
}

impl SocketDispatch {
    pub(crate) fn new(server: Arc<ServerInner>, handshake: Handshake) -> Self {
        Self { server, handshake, live: Vec::new() }
    }

    fn find(&mut self, key: SocketKey) -> Option<&mut Live> {
        self.live.iter_mut().find(|live| live.socket.key() == key)
    }

    fn connect(
        &mut self,
        key: SocketKey,
        name: &Arc<str>,
        auth: Option<Bytes>,
        cell: &Arc<SessionHandle>,
    ) -> Option<Job> {
        self.live.retain(|live| !live.socket.is_gone());
        let Some(namespace) = self.server.namespace_for(name) else {
            debug!(namespace = &**name, "a client asked for a namespace that does not exist");
            let _ = cell.with(|machine| machine.reject(key, "Invalid namespace", None));
            return None;
        };
        let id = self.server.fresh_id();
        let version = namespace.handlers.version();
        let table = namespace.handlers.table();
        let entered = Socket::enter(id, key, cell.clone(), namespace.clone(), self.handshake.clone(), auth);
        let socket = match entered {
            Ok(socket) => socket,
            Err(error) => {
                debug!(%error, "a client could not be let in");
                self.server.namespace_left(&namespace);
                let _ = cell.with(|machine| machine.reject(key, "Server full", None));
                return None;
            }
        };
        self.live.push(Live { socket: socket.clone(), table: table.clone(), version, over: false });
        if table.connect_middleware.is_empty() && table.connect.is_empty() {
            if !socket.accept() {
                forget(&self.server, &socket);
                return None;
            }
            if table.connected.is_empty() {
                return None;
            }
            return Some(Job::plain(key, connected(self.server.clone(), socket, table)));
        }
        Some(Job::plain(key, connect(self.server.clone(), socket, table)))
    }

    fn event(&mut self, key: SocketKey, args: Args, ack: Option<u64>) -> Option<Job> {
        // Field by field: nothing is counted up and down for each event that need not be.
        let live = self.live.iter_mut().find(|live| live.socket.key() == key)?;
        let socket = live.socket.clone();
        let ack =
            ack.map(|id| AckTarget { namespace: socket.namespace_inner().name.clone(), id, connection: 0 });
        let table = live.table();
        let name = args.event_bytes()?;
        let listeners = table.listeners(&name);
        if let ([Listener { handler, runs: Runs::InLine }], true) = (listeners, table.is_plain()) {
            drop(name);
            let mut context =
                Context { args: Some(args), ack, is_sole: true, ..Context::new(Peer::Server(socket)) };
            let begun = handler.call(&mut context);
            let Context { peer: Peer::Server(socket), args, ack, .. } = context else { return None };
            return match begun {
                Ok(future) => {
                    let done = Done { socket, ack };
                    Some(Job { socket: Some(key), work: Work::Event { future, done } })
                }
                Err(error) => {
                    self.server.report_about(&socket, args.as_ref(), &error);
                    None
                }
            };
        }
        let table = table.clone();
        let listeners = listeners.to_vec();
        drop(name);
        let context = Context { args: Some(args), ack, ..Context::new(Peer::Server(socket.clone())) };
        Some(Job::plain(key, event(self.server.clone(), socket, context, table, listeners)))
    }

    fn disconnected(&mut self, key: SocketKey, reason: CloseReason) -> Option<Job> {
        let server = self.server.clone();
        let live = self.find(key)?;
        live.over = true;
        let table = live.table().clone();
        let socket = live.socket.clone();
        debug!(socket = socket.id(), %reason, "disconnected");
        if table.disconnect.is_empty() {
            forget(&server, &socket);
            self.live.retain(|live| live.socket.key() != key);
            return None;
        }
        Some(Job::plain(key, async move {
            let mut context = Context { reason: Some(reason), ..Context::new(Peer::Server(socket.clone())) };
            for handler in &table.disconnect {
                run_reported(&server, &socket, &mut context, handler).await;
            }
            forget(&server, &socket);
        }))
    }
}

impl Application for SocketDispatch {
    fn open(&mut self, _: &Arc<SessionHandle>) -> Option<Job> {
        None
    }

    fn handle(&mut self, event: ServerEvent, cell: &Arc<SessionHandle>) -> Option<Job> {
        match event {
            ServerEvent::Socket(ServerSocketEvent::Event { socket, args, ack }) => {
                self.event(socket, args, ack)
            }
            ServerEvent::Socket(ServerSocketEvent::Connect { socket, namespace, auth }) => {
                self.connect(socket, &namespace, auth, cell)
            }
            ServerEvent::Socket(ServerSocketEvent::Disconnected { socket, reason }) => {
                self.disconnected(socket, reason)
            }
            ServerEvent::Closed(closed) => {
                match &closed.detail {
                    Some(detail) => debug!(reason = %closed.reason, %detail, "a session was closed"),
                    None => debug!(reason = %closed.reason, "a session was closed"),
                }
                None
            }
            _ => None,
        }
    }

    fn panicked(&mut self, key: Option<SocketKey>, panic: Box<dyn Any + Send>, cell: &Arc<SessionHandle>) {
        let error = HandlerError::panic(&*panic);
        let server = self.server.clone();
        let Some(live) = key.and_then(|key| self.find(key)) else {
            debug!(%error, "outside a socket");
            // A matcher of namespaces, say: whoever asked for one has to hear something.
            if let Some(key) = key {
                let _ = cell.with(|machine| machine.reject(key, INTERNAL_ERROR, None));
            }
            return;
        };
        let (socket, over) = (live.socket.clone(), live.over);
        server.report(&socket, &error);
        cell.with(|machine| {
            let key = socket.key();
            if machine.disconnect(key, CloseReason::HandlerPanic).is_err() {
                let _ = machine.reject(key, INTERNAL_ERROR, None);
            }
        });
        // One that has joined gets its disconnect handlers yet, if it has not: it may have left by itself meanwhile.
        // One that was connecting is refused.
        if over || !socket.is_joined() {
            forget(&server, &socket);
        }
    }

    fn ended(&mut self, _: &Arc<SessionHandle>) {
        for live in std::mem::take(&mut self.live) {
            // Each by itself: what the application keeps with one socket may panic as it is dropped.
            let _ = catch_unwind(AssertUnwindSafe(|| {
                forget(&self.server, &live.socket);
                drop(live);
            }));
        }
    }
}

/// What is done with the outcome of an event's only listener.
pub(crate) struct Done {
    socket: Socket,
    ack: Option<AckTarget>,
}

impl Done {
    pub(crate) fn finish(&self, outcome: Result<Reply, HandlerError>) {
        match outcome {
            Ok(reply) => self.answer(reply),
            Err(error) => self.report(&error),
        }
    }

    fn report(&self, error: &HandlerError) {
        // It is there as long as its sessions are.
        if let Some(server) = self.socket.server() {
            server.0.report(&self.socket, error);
        }
    }

    fn answer(&self, reply: Reply) {
        let Some(target) = &self.ack else { return };
        let frame = match reply {
            Reply::Value(frame) => Ok(frame),
            Reply::Done => Frame::ack(&target.namespace, target.id, &()),
        };
        match frame {
            // The client may be gone meanwhile; nobody is left to be told.
            Ok(frame) => drop(self.socket.send_ack(frame)),
            Err(error) => self.report(&error.into()),
        }
    }
}

fn forget(server: &ServerInner, socket: &Socket) {
    socket.forget();
    server.namespace_left(socket.namespace_inner());
}

async fn run<K: Kind>(
    context: &mut Context,
    handler: &dyn AnyHandler<K>,
) -> Result<K::Outcome, HandlerError> {
    let future: BoxFuture<K::Outcome> = handler.call(context)?;
    Ok(future.await)
}

/// Runs a handler whose errors are nobody's but the error hook's.
async fn run_reported<K>(
    server: &ServerInner,
    socket: &Socket,
    context: &mut Context,
    handler: &SharedHandler<K>,
) where
    K: Kind<Outcome = Result<(), HandlerError>>,
{
    let outcome = run(context, &**handler).await;
    if let Err(error) = outcome.and_then(|outcome| outcome) {
        server.report_about(socket, context.args.as_ref(), &error);
    }
}

async fn connect(server: Arc<ServerInner>, socket: Socket, table: Arc<Table>) {
    let mut context = Context::new(Peer::Server(socket.clone()));
    for handler in table.connect_middleware.iter().chain(&table.connect) {
        let refusal = match run(&mut context, &**handler).await {
            Ok(Ok(())) if socket.is_refused() => return forget(&server, &socket),
            Ok(Ok(())) => continue,
            Ok(Err(refusal)) => refusal,
            Err(error) => {
                server.report(&socket, &error);
                // What did not fit is the server's business; the client hears that it is refused.
                Refusal::new(CONNECTION_REFUSED)
            }
        };
        debug!(socket = socket.id(), message = refusal.message(), "a client was refused");
        let (message, data) = (refusal.message(), refusal.raw_data());
        let _ = socket.cell().with(|machine| machine.reject(socket.key(), message, data));
        return forget(&server, &socket);
    }
    if !socket.accept() {
        return forget(&server, &socket);
    }
    connected(server, socket, table).await;
}

async fn connected(server: Arc<ServerInner>, socket: Socket, table: Arc<Table>) {
    let mut context = Context::new(Peer::Server(socket.clone()));
    for handler in &table.connected {
        run_reported(&server, &socket, &mut context, handler).await;
    }
}

/// The general way of an event: middleware, those who see everything, the listeners, or those for the rest.
async fn event(
    server: Arc<ServerInner>,
    socket: Socket,
    mut context: Context,
    table: Arc<Table>,
    mut listeners: Vec<Listener>,
) {
    for filter in &table.event_middleware {
        let passed = run(&mut context, &**filter).await.and_then(|outcome| outcome);
        if let Err(error) = passed {
            return server.report_about(&socket, context.args.as_ref(), &error);
        }
    }
    let ack = context.ack.take();
    for handler in &table.any {
        match run(&mut context, &**handler).await {
            Ok(Ok(_)) => {}
            Ok(Err(error)) | Err(error) => server.report_about(&socket, context.args.as_ref(), &error),
        }
    }
    context.ack = ack;
    context.ack_taken = false;
    listeners.retain(|listener| match listener.runs {
        Runs::Once(number) => socket.is_first(number),
        Runs::InLine | Runs::Concurrent => true,
    });
    if listeners.is_empty() {
        let listener = |handler: &SharedHandler<_>| Listener { handler: handler.clone(), runs: Runs::InLine };
        listeners = table.fallback.iter().map(listener).collect();
    }
    let mut reply: Option<Reply> = None;
    for listener in &listeners {
        if listener.runs == Runs::Concurrent {
            if let Some(permit) = server.concurrent_permit() {
                let answered = matches!(reply, Some(Reply::Value(_)));
                spawn_concurrent(&server, &socket, &mut context, &listener.handler, permit, answered);
                continue;
            }
            count(&server.host.counters.concurrent);
        }
        match run(&mut context, &*listener.handler).await.and_then(|outcome| outcome) {
            Ok(value @ Reply::Value(_)) if !matches!(reply, Some(Reply::Value(_))) => reply = Some(value),
            Ok(_) => reply = reply.or(Some(Reply::Done)),
            Err(error) => server.report_about(&socket, context.args.as_ref(), &error),
        }
    }
    if let Some(reply) = reply {
        Done { socket, ack: context.ack }.answer(reply);
    }
}

/// Runs a listener in a task of its own. It takes the acknowledgement along, unless another has given one.
fn spawn_concurrent(
    server: &Arc<ServerInner>,
    socket: &Socket,
    context: &mut Context,
    handler: &SharedHandler<crate::handler::OnEvent>,
    permit: crate::server::server::Permit,
    answered: bool,
) {
    let future = match handler.call(context) {
        Ok(future) => future,
        Err(error) => return server.report_about(socket, context.args.as_ref(), &error),
    };
    // The first value acknowledges, and there was one already.
    let ack = if answered { None } else { context.ack.take() };
    let done = Done { socket: socket.clone(), ack };
    let counters = server.host.counters.clone();
    let task = async move {
        let mut work = Work::Event { future, done };
        let mut cut = Box::pin(permit.cut());
        let finished = std::future::poll_fn(|context| match work.poll_caught(context) {
            Ok(Poll::Pending) => cut.as_mut().poll(context).map(|()| Ok(())),
            Ok(Poll::Ready(())) => Poll::Ready(Ok(())),
            Err(panic) => Poll::Ready(Err(panic)),
        });
        let result = finished.await;
        if let (Err(panic), Work::Event { done, .. }) = (result, &work) {
            count(&counters.panics);
            done.report(&HandlerError::panic(&*panic));
            let socket = &done.socket;
            let _ = socket.cell().with(|machine| machine.disconnect(socket.key(), CloseReason::HandlerPanic));
        }
        // What the handler had captured goes before the shutdown hears that it is done.
        let _ = catch_unwind(AssertUnwindSafe(|| drop(work)));
        drop(cut);
        drop(permit);
    };
    server.spawn(Box::pin(task));
}
