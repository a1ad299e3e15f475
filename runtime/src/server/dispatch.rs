//! The dispatch of a Socket.IO session's events to the handlers of its namespaces.

use crate::base::error::{HandlerError, INTERNAL_ERROR, Refusal};
use crate::base::job::Job as AnyJob;
use crate::base::timing::Since;
use crate::base::trace::{Span, debug, info, span, warning, within};
use crate::handler::ack::AckTarget;
use crate::handler::flow::EventFlow;
use crate::handler::job::{
    EventLabel, Work, begin_sole, run, run_any, run_each, run_each_caught, run_listeners, run_reported,
    take_panicked_event,
};
use crate::handler::table::{Listener, Runs, SeenTable};
use crate::handler::{
    AnyHandler, Context, Departure, EventInput, NotLetIn, OnConnect, OnConnected, OnDisconnect,
    OnDisconnecting, OnEvent, OnFilter,
};
use crate::http::handshake::Handshake;
use crate::server::dynamic::NamespaceRequest;
use crate::server::lookups::Decided;
use crate::server::namespace::NamespaceInner;
use crate::server::recovery::{Recorder, Start};
use crate::server::server::ServerInner;
use crate::server::socket::{Accepted, CONNECTION_REFUSED, Socket};
use crate::server::table::ServerTable;
use crate::session::handle::SessionHandle;
use crate::session::task::Application;
use sansocket_protocol::engine::Revision;
use sansocket_protocol::error::CloseReason;
use sansocket_protocol::hub::HubError;
use sansocket_protocol::server::ServerEvent;
use sansocket_protocol::socket::{Args, PacketData, ServerSocketEvent, SocketKey};
use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::task;

/// The sockets of one session, with what is constant for each looked up once.
pub(crate) struct SocketDispatch {
    server: Arc<ServerInner>,
    handshake: Handshake,
    live: Vec<LiveSocket>,
    /// The sockets whose sessions were looked for elsewhere.
    decided: Decided,
    /// The last event had no handler in the session's task.
    is_untimed: bool,
}

struct LiveSocket {
    socket: Socket,
    table: SeenTable<ServerTable>,
    /// Its end was told.
    over: bool,
}

impl LiveSocket {
    #[inline]
    fn table(&mut self) -> &Arc<ServerTable> {
        self.table.get(&self.socket.namespace_inner().handlers.table)
    }
}

impl SocketDispatch {
    pub(crate) fn new(server: Arc<ServerInner>, handshake: Handshake) -> Self {
        Self { server, handshake, live: Vec::new(), decided: Decided::new(), is_untimed: false }
    }

    fn find(&mut self, key: SocketKey) -> Option<&mut LiveSocket> {
        self.live.iter_mut().find(|live| live.socket.key() == key)
    }

    fn connect(
        &mut self,
        key: SocketKey,
        name: &Arc<str>,
        auth: Option<PacketData>,
        session: &Arc<SessionHandle>,
    ) -> Option<Job> {
        self.live.retain(|live| !live.socket.is_gone());
        let nothing = PacketData::EMPTY;
        let sent = auth.as_ref().unwrap_or(&nothing);
        let request = NamespaceRequest { name, auth: sent, handshake: &self.handshake };
        let Some(namespace) = self.server.namespace_for(name, Some(request)) else {
            debug!(namespace = &**name, "a client asked for a namespace that does not exist");
            let _ = session.with(|machine| machine.reject_namespace(key));
            return None;
        };
        let is_dynamic = |live: &&LiveSocket| live.socket.namespace_inner().is_child();
        if namespace.is_child()
            && self.live.iter().filter(is_dynamic).count() >= self.server.max_dynamic_per_session()
        {
            debug!(namespace = &**name, "a session is in too many dynamic namespaces");
            self.server.dynamic_refused();
            self.server.namespace_left(&namespace);
            let _ = session.with(|machine| machine.reject_namespace(key));
            return None;
        }
        let mut seen = SeenTable::default();
        let table = seen.get(&namespace.handlers.table).clone();
        // A client of the older revision has no private id: what it says in its query is the application's.
        let recovers = namespace.recorder().is_some() && session.lock().machine.revision() == Revision::V4;
        let asked = if recovers { auth.as_ref().and_then(PacketData::recovery) } else { None };
        let auth = match self.wait_first(key, auth, asked.as_ref(), &namespace, session) {
            Ok(job) => return Some(job),
            Err(auth) => auth,
        };
        let entered = self.enter(key, auth, asked, &namespace, session);
        let socket = match entered {
            Ok(socket) => socket,
            Err(error) => {
                debug!(%error, "a client could not be let in");
                self.server.namespace_left(&namespace);
                let _ = session.with(|machine| machine.reject(key, "Server full", None));
                return None;
            }
        };
        if namespace.is_child() {
            self.server.namespaces.entered(&namespace);
        }
        // Most sessions have one socket.
        self.live.reserve_exact(1);
        self.live.push(LiveSocket { socket: socket.clone(), table: seen, over: false });
        let skips = self.server.skips_middleware(&socket);
        if (table.connect_middleware.is_empty() || skips) && table.connect.is_empty() {
            if socket.accept() != Accepted::Joined {
                forget(&self.server, &socket);
                return None;
            }
            #[cfg(feature = "admin")]
            self.server.observe(|observer| observer.connected(&socket));
            if table.connected.is_empty() {
                return None;
            }
            return Some(Job::new(
                Some(key),
                within(step_span(&socket, "connect"), connected(socket, table)),
            ));
        }
        let span = step_span(&socket, "connect");
        Some(Job::new(Some(key), within(span, connect(self.server.clone(), socket, table))))
    }

    /// The job of a client whose session cannot be given back yet: its lost connection is not over, or its session is
    /// looked for elsewhere. Then it asks again. Gives `auth` back if there is nothing to wait for.
    fn wait_first(
        &self,
        key: SocketKey,
        auth: Option<PacketData>,
        asked: Option<&(String, Option<String>)>,
        namespace: &Arc<NamespaceInner>,
        session: &Arc<SessionHandle>,
    ) -> Result<Job, Option<PacketData>> {
        let (Some(recorder), Some(asked)) = (namespace.recorder(), asked) else { return Err(auth) };
        let recovery = recorder.recovery.clone();
        let (server, again) = (self.server.clone(), session.clone());
        let (namespace, pid) = (namespace.clone(), asked.0.clone());
        // The client may be gone by then.
        let ask_again = move |auth| again.with(|machine| machine.ask_again(key, auth)).is_ok();
        if let Some(ended) = recovery.end_of(&pid, &namespace.name, session) {
            return Ok(Job::new(Some(key), async move {
                recovery.wait_for(&pid, ended).await;
                server.namespace_left(&namespace);
                ask_again(auth);
            }));
        }
        let Some(found) = recovery.look_up(&namespace.name, asked, &self.decided, key) else {
            return Err(auth);
        };
        Ok(Job::new(Some(key), async move {
            found
                .wait(|| {
                    server.namespace_left(&namespace);
                    ask_again(auth)
                })
                .await;
        }))
    }

    /// A socket that asks to join: with the session that its client asks for, if it can be recovered.
    fn enter(
        &self,
        key: SocketKey,
        auth: Option<PacketData>,
        asked: Option<(String, Option<String>)>,
        namespace: &Arc<NamespaceInner>,
        session: &Arc<SessionHandle>,
    ) -> Result<Socket, HubError> {
        // A client of the older revision has nowhere to keep a private id.
        let knows = |_: &&Recorder| session.lock().machine.revision() == Revision::V4;
        let recorder = namespace.recorder().filter(knows);
        let in_order = recorder.map(Recorder::in_order);
        let back = match (recorder, &in_order, asked) {
            (Some(recorder), Some(in_order), Some(asked)) => {
                let capacity = session.lock().machine.capacity();
                recorder.restore(in_order, &namespace.name, &asked, capacity)
            }
            _ => None,
        };
        let start = back.unwrap_or_else(|| {
            let id = self.server.id_for(session, &namespace.name);
            match recorder {
                Some(recorder) => recorder.begin(id, self.server.fresh_id()),
                None => Start::plain(id),
            }
        });
        let handshake = self.handshake.clone();
        Socket::enter(in_order, start, key, session.clone(), namespace.clone(), handshake, auth)
    }

    fn event(
        &mut self,
        key: SocketKey,
        args: Args,
        ack: Option<u64>,
        context: &mut task::Context<'_>,
    ) -> Option<Job> {
        self.is_untimed = false;
        // Field by field: nothing is counted up and down for each event that need not be.
        let live = self.live.iter_mut().find(|live| live.socket.key() == key)?;
        let socket = live.socket.clone();
        let ack = ack.map(|id| {
            let encoder = socket.namespace_inner().encoder.clone();
            AckTarget { encoder, id, socket: key, connection: 0 }
        });
        let table = live.table();
        let name = args.event_bytes()?;
        let (event, listeners) = table.events.entry(&name);
        let has_own = socket.has_own() && socket.has_own_for(&name);
        if let ([Listener { handler, runs: Runs::InLine }], true) = (listeners, table.is_plain() && !has_own)
        {
            drop(name);
            let span = event_span(&socket, || Some(event));
            let input = EventInput { args, ack, is_sole: true, is_ack_taken: false };
            let work = begin_sole(&**handler, socket, event, input, span, context)?;
            return Some(Job { socket: Some(key), work, since: Since::default() });
        }
        let is_unheard = listeners.is_empty() && !has_own && table.events.fallback.is_empty();
        if is_unheard && ack.is_some() {
            let (namespace, event) = (&*socket.namespace_inner().name, String::from_utf8_lossy(&name));
            debug!(
                namespace,
                ?event,
                socket = socket.id(),
                "a client awaits the answer to an event without a handler"
            );
        }
        if is_unheard && table.is_plain() {
            self.is_untimed = true;
            return None;
        }
        let is_concurrent = |listener: &Listener<_>| listener.runs == Runs::Concurrent;
        // Those are timed in their own tasks.
        self.is_untimed =
            table.is_plain() && !has_own && !listeners.is_empty() && listeners.iter().all(is_concurrent);
        let table = table.clone();
        let listeners = listeners.to_vec();
        let label = EventLabel::new(&name);
        drop(name);
        let span = event_span(&socket, || label.as_str());
        let input = EventInput { args, ack, is_sole: false, is_ack_taken: false };
        let work = within(span, run_event(socket, input, table, listeners));
        Job::of_event(Some(key), label, work).begun(context)
    }

    fn disconnected(&mut self, key: SocketKey, reason: CloseReason) -> Option<Job> {
        let server = self.server.clone();
        let live = self.find(key)?;
        live.over = true;
        let table = live.table().clone();
        let socket = live.socket.clone();
        debug!(socket = socket.id(), %reason, "disconnected");
        #[cfg(feature = "admin")]
        server.observe(|observer| observer.disconnected(&socket, reason));
        socket.lost(reason);
        if table.disconnecting.is_empty() && table.disconnect.is_empty() {
            forget(&server, &socket);
            self.live.retain(|live| live.socket.key() != key);
            return None;
        }
        let span = step_span(&socket, "disconnect");
        Some(Job::new(Some(key), within(span, leave(server, socket, table, reason))))
    }

    /// Takes an event that is not one of the application's: a step in a session's life. Apart from those, which are
    /// by far the most.
    #[inline(never)]
    fn handle_other(&mut self, event: ServerEvent, session: &Arc<SessionHandle>) -> Option<Job> {
        match event {
            ServerEvent::Socket(ServerSocketEvent::Connect { socket, namespace, auth }) => {
                self.connect(socket, &namespace, auth, session)
            }
            ServerEvent::Socket(ServerSocketEvent::Disconnected { socket, reason }) => {
                self.disconnected(socket, reason)
            }
            ServerEvent::Upgraded => {
                #[cfg(feature = "admin")]
                for live in self.live.iter().filter(|live| live.socket.is_connected()) {
                    self.server.observe(|observer| observer.upgraded(&live.socket));
                }
                let hook = self.server.on_upgrade()?;
                for live in self.live.iter().filter(|live| live.socket.is_connected()) {
                    let told = catch_unwind(AssertUnwindSafe(|| hook(&live.socket)));
                    if let Err(panic) = told {
                        session.with(|machine| machine.close(CloseReason::HandlerPanic));
                        self.server.report(&live.socket, &HandlerError::panic(panic));
                    }
                }
                None
            }
            ServerEvent::Closed(closed) => {
                let socket = self.live.first().map(|live| live.socket.id());
                match (&closed.detail, closed.reason) {
                    (Some(detail), reason) => {
                        info!(socket, %reason, %detail, "a session was closed: the client has made a mistake");
                    }
                    (None, CloseReason::SlowConsumer) => {
                        warning!(
                            socket,
                            "a session was closed: its client reads too slowly (see `send_budget`)"
                        );
                    }
                    (None, CloseReason::Stalled) => {
                        warning!(
                            socket,
                            "a session was closed: its handlers are too slow (see `receive_budget`, `pause_timeout`)"
                        );
                    }
                    (None, reason) => debug!(socket, %reason, "a session was closed"),
                }
                None
            }
            _ => None,
        }
    }
}

/// The jobs of a session with sockets.
type Job = AnyJob<Work<OnEvent>>;

impl Application for SocketDispatch {
    type Work = Work<OnEvent>;

    fn open(&mut self, _: &Arc<SessionHandle>) -> Option<Job> {
        None
    }

    #[inline]
    fn handle(
        &mut self,
        event: ServerEvent,
        session: &Arc<SessionHandle>,
        context: &mut task::Context<'_>,
    ) -> Option<Job> {
        if let ServerEvent::Socket(ServerSocketEvent::Event { socket, args, ack }) = event {
            return self.event(socket, args, ack, context);
        }
        self.handle_other(event, session)?.begun(context)
    }

    fn is_untimed(&self) -> bool {
        self.is_untimed
    }

    fn panicked(&mut self, key: Option<SocketKey>, panic: Box<dyn Any + Send>, session: &Arc<SessionHandle>) {
        let error = HandlerError::panic(panic);
        let event = take_panicked_event();
        let server = self.server.clone();
        let Some(live) = key.and_then(|key| self.find(key)) else {
            debug!(%error, "outside a socket");
            // A matcher of namespaces, say: whoever asked for one has to hear something.
            if let Some(key) = key {
                let _ = session.with(|machine| machine.reject(key, INTERNAL_ERROR, None));
            }
            return;
        };
        let (socket, over) = (live.socket.clone(), live.over);
        server.report_about(&socket, event.as_deref(), &error, None);
        session.with(|machine| {
            // The whole connection ends, as it would if the process had ended: the client connects again by itself.
            if machine.is_connected(socket.key()) {
                machine.close(CloseReason::HandlerPanic);
            } else {
                let _ = machine.reject(socket.key(), INTERNAL_ERROR, None);
            }
        });
        // A socket that has joined still gets its disconnect handlers, unless it has left by itself meanwhile. One that
        // was connecting is refused.
        if over || !socket.is_joined() {
            forget(&server, &socket);
        }
    }

    fn ended(
        &mut self,
        #[cfg_attr(not(feature = "admin"), expect(unused_variables))] session: &Arc<SessionHandle>,
    ) {
        for live in std::mem::take(&mut self.live) {
            #[cfg(feature = "admin")]
            if !live.over && live.socket.is_joined() {
                let reason =
                    session.lock().machine.ended().map_or(CloseReason::ForcedClose, |(reason, _)| reason);
                self.server.observe(|observer| observer.disconnected(&live.socket, reason));
            }
            // Each by itself: what the application keeps with one socket may panic as it is dropped.
            let _ = catch_unwind(AssertUnwindSafe(|| {
                forget(&self.server, &live.socket);
                drop(live);
            }));
        }
    }
}

/// The span of an event's handlers.
fn event_span<'a>(socket: &Socket, name: impl FnOnce() -> Option<&'a str>) -> Option<Span> {
    // The name is read only if somebody listens.
    let namespace = &*socket.namespace_inner().name;
    span!("event", namespace, socket = socket.id(), event = name())
}

/// The span of the handlers of a step in a socket's life.
fn step_span(socket: &Socket, step: &'static str) -> Option<Span> {
    span!("step", namespace = &*socket.namespace_inner().name, socket = socket.id(), step)
}

fn forget(server: &ServerInner, socket: &Socket) {
    socket.forget();
    server.namespace_left(socket.namespace_inner());
}

async fn connect(server: Arc<ServerInner>, socket: Socket, table: Arc<ServerTable>) {
    let mut context = Context::<OnConnect>::new(socket.clone(), ());
    let middleware: &[_] = if server.skips_middleware(&socket) { &[] } else { &table.connect_middleware };
    for handler in middleware {
        if !let_in(&server, &mut context, &**handler).await {
            return forget(&server, &socket);
        }
        // Nobody is there to be let in.
        if !socket.is_connecting() {
            return forget(&server, &socket);
        }
    }
    // From here on they all run, whatever the client does: `on_disconnect` makes up for them.
    for handler in &table.connect {
        if !let_in(&server, &mut context, &**handler).await {
            return forget(&server, &socket);
        }
    }
    match socket.accept() {
        Accepted::Joined => {
            #[cfg(feature = "admin")]
            server.observe(|observer| observer.connected(&socket));
            connected(socket, table).await;
        }
        Accepted::Gone(reason) if !table.connect.is_empty() => {
            let panicked = |error: &HandlerError| server.report_panic(&socket, error);
            let mut context = Context::<OnConnected>::new(socket.clone(), ());
            run_each_caught(&mut context, &table.connected, panicked).await;
            leave(server.clone(), socket.clone(), table, reason).await;
        }
        Accepted::Gone(_) | Accepted::Refused => forget(&server, &socket),
    }
}

/// Asks one handler whether a client may join. If not, the client is told.
async fn let_in(
    server: &ServerInner,
    context: &mut Context<OnConnect>,
    handler: &dyn AnyHandler<OnConnect>,
) -> bool {
    let socket = context.peer.clone();
    let refusal = match run(context, handler).await {
        Ok(Ok(())) => return !socket.is_refused(),
        Ok(Err(NotLetIn::Refused(refusal))) => refusal,
        Ok(Err(NotLetIn::Failed(error))) => {
            server.report(&socket, &error);
            Refusal::new(INTERNAL_ERROR)
        }
        Err(error) => {
            server.report(&socket, &error);
            // The error is the server's business; the client hears that it is refused.
            Refusal::new(CONNECTION_REFUSED)
        }
    };
    debug!(socket = socket.id(), message = refusal.message(), "a client was refused");
    let data = refusal.packet_data().unwrap_or_else(|error| {
        server.report(&socket, &error.clone().into());
        None
    });
    let message = refusal.message();
    let _ = socket.session().with(|machine| machine.reject(socket.key(), message, data));
    false
}

async fn connected(socket: Socket, table: Arc<ServerTable>) {
    run_each(&mut Context::<OnConnected>::new(socket, ()), &table.connected).await;
}

/// The end of a socket: its handlers see it first in its rooms, and then gone from all of them.
async fn leave(server: Arc<ServerInner>, socket: Socket, table: Arc<ServerTable>, reason: CloseReason) {
    let panicked = |error: &HandlerError| server.report_panic(&socket, error);
    let mut context = Context::<OnDisconnecting>::new(socket.clone(), reason);
    run_each_caught(&mut context, &table.disconnecting, panicked).await;
    let departure = Departure { reason, emptied: socket.begin_leaving() };
    let mut context = Context::<OnDisconnect>::new(socket.clone(), departure);
    run_each_caught(&mut context, &table.disconnect, panicked).await;
    forget(&server, &socket);
}

/// The general way of an event: middleware, those who see everything, the listeners, or those for the rest.
async fn run_event(
    socket: Socket,
    input: EventInput,
    table: Arc<ServerTable>,
    mut listeners: Vec<Listener<OnEvent>>,
) {
    #[cfg(feature = "admin")]
    if let Some(watch) = &table.watch {
        watch(&socket, &input.args);
    }
    let mut context = Context::<OnFilter>::new(socket, input);
    for filter in &table.event_middleware {
        match run_reported(&mut context, &**filter).await {
            Some(EventFlow::Continue) => {}
            Some(EventFlow::Stop) | None => return,
            Some(EventFlow::Answer(args)) => return context.answer(&args),
            Some(EventFlow::Replace(args)) => {
                let name = args.event_bytes().unwrap_or_default();
                listeners = table.events.entry(&name).1.to_vec();
                drop(name);
                context.input.args = args;
            }
        }
    }
    let mut context = Context::<OnEvent>::new(context.peer, context.input);
    // Behind the filters: an event that they stop is not the one that a handler of `once` waits for.
    let own = if context.peer.has_own() { context.peer.begin_own(&context.input.args) } else { None };
    run_any(&mut context, &table.events.any).await;
    listeners.retain(|listener| match listener.runs {
        Runs::Once(number) => context.peer.is_first(number),
        Runs::InLine | Runs::Concurrent => true,
    });
    if let Some(own) = own {
        run_any(&mut context, &own.any).await;
        listeners.extend(own.listeners);
    }
    let listeners = if listeners.is_empty() { &table.events.fallback } else { &listeners };
    run_listeners(context, listeners).await;
}
