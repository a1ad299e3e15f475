//! The Socket.IO server, as the application holds it.

use crate::base::error::{BroadcastAckError, Causes, EmitError, HandlerError, HandlerFailure};
use crate::base::pattern::fits;
use crate::base::runtime::BoxFuture;
use crate::base::trace::{debug, error, is_heard};
use crate::base::typemap::TypeMap;
#[cfg(feature = "cluster")]
use crate::cluster::Membership;
use crate::handler::ack::AckTarget;
use crate::handler::encoder::Encoder;
use crate::handler::error_hook::{DefaultErrorHook, ErrorHook};
use crate::handler::listener::ListenerHandle;
use crate::handler::reserved::{End, check_event};
use crate::handler::table::{Listener, Runs};
use crate::handler::timed::Timed;
use crate::handler::typed::{TypedEvent, TypedHandler, erase_typed};
use crate::handler::{
    Handler, OnConnect, OnConnected, OnDisconnect, OnDisconnecting, OnEvent, OnFilter, erase,
};
use crate::http::endpoint::Endpoint;
use crate::http::gate::Gate;
use crate::http::listener::Mount;
use crate::server::answers::{Answer, Answers};
use crate::server::any::AnyNamespace;
use crate::server::broadcast::Broadcast;
use crate::server::broadcast_methods::broadcast_methods;
use crate::server::concurrent::{Concurrent, Permit};
use crate::server::dynamic::{Asked, Dynamic, DynamicNamespace, NamespaceRequest};
use crate::server::namespace::{Namespace, NamespaceInner};
#[cfg(feature = "cluster")]
use crate::server::node::ServerCluster;
#[cfg(feature = "admin")]
use crate::server::observer::Observer;
use crate::server::options::{OnUpgrade, ServerOptions};
use crate::server::recovery::Recovery;
use crate::server::registry::{Namespaces, NoNamespace};
use crate::server::rooms::Rooms;
use crate::server::socket::Socket;
use crate::server::table::{NamespaceHandlers, handler_methods, outgoing_methods, registrations};
use crate::server::unrecovered::UnrecoveredSession;
use crate::session::handle::SessionHandle;
use crate::session::stats::{Stats, count};
use sansocket_protocol::hub::RoomEvent;
use sansocket_protocol::message::Frame;
use sansocket_protocol::random::Random;
use sansocket_protocol::socket::{Args, Parser, ToArgs};
use serde::de::DeserializeOwned;
use std::fmt;
use std::future::Future;
use std::sync::{Arc, Mutex, OnceLock, PoisonError, RwLock, Weak};
use std::time::Duration;

pub(crate) struct ServerInner {
    pub(crate) gate: Arc<Gate>,
    pub(super) namespaces: Namespaces,
    pub(super) options: ServerOptions,
    random: Mutex<Random>,
    concurrent: Concurrent,
    recovery: Option<Arc<Recovery>>,
    pub(super) on_error: RwLock<Option<ErrorHook<Socket>>>,
    default_error_hook: DefaultErrorHook,
    /// The states that were given later than to the builder.
    pub(super) provided: RwLock<TypeMap>,
    /// The handlers that stand in for those that a namespace does not have.
    any: OnceLock<Arc<NamespaceHandlers>>,
    /// Set before there is any namespace, or never.
    #[cfg(feature = "cluster")]
    pub(crate) cluster: OnceLock<Box<ServerCluster>>,
    /// Told of what happens to sockets, rooms and events.
    #[cfg(feature = "admin")]
    pub(crate) observer: OnceLock<Arc<dyn Observer>>,
    pub(super) this: Weak<ServerInner>,
}

impl ServerInner {
    pub(crate) fn new(
        gate: Arc<Gate>,
        options: ServerOptions,
        random: Random,
        recovery: Option<Arc<Recovery>>,
        this: Weak<Self>,
    ) -> Self {
        Self {
            recovery,
            gate,
            namespaces: Namespaces::default(),
            options,
            random: Mutex::new(random),
            concurrent: Concurrent::default(),
            on_error: RwLock::default(),
            default_error_hook: DefaultErrorHook::default(),
            provided: RwLock::default(),
            any: OnceLock::new(),
            #[cfg(feature = "cluster")]
            cluster: OnceLock::new(),
            #[cfg(feature = "admin")]
            observer: OnceLock::new(),
            this,
        }
    }

    pub(super) fn on_upgrade(&self) -> Option<&OnUpgrade> {
        self.options.on_upgrade.as_ref()
    }

    #[cfg(feature = "cluster")]
    pub(super) fn recovery(&self) -> Option<&Arc<Recovery>> {
        self.recovery.as_ref()
    }

    fn parser(&self) -> Parser {
        self.gate.sockets.as_ref().map(|sockets| sockets.parser).unwrap_or_default()
    }

    fn new_namespace(
        &self,
        name: &Arc<str>,
        handlers: Arc<NamespaceHandlers>,
        is_child: bool,
    ) -> Arc<NamespaceInner> {
        let (limits, server) = (self.options.limits, self.this.clone());
        let recovery = self.recovery.clone();
        #[cfg(feature = "admin")]
        let recovery = recovery.filter(|_| !self.observer.get().is_some_and(|observer| observer.owns(name)));
        let encoder = Encoder::new(name.clone(), self.parser(), self.options.acknowledge_unit);
        #[cfg_attr(not(feature = "cluster"), expect(unused_mut))]
        let mut namespace =
            NamespaceInner::new(name.clone(), encoder, handlers, limits, is_child, recovery, server);
        #[cfg(feature = "cluster")]
        if let Some(cluster) = self.cluster.get() {
            namespace.membership = Some(Membership::new(&cluster.node, name));
        }
        let namespace = Arc::new(namespace);
        #[cfg(feature = "admin")]
        self.observe(|observer| observer.found(&namespace));
        namespace
    }

    /// The public id of a socket that is to be: a new one, but for a client that makes it by itself.
    pub(crate) fn id_for(&self, session: &SessionHandle, namespace: &str) -> Arc<str> {
        let own =
            if self.gate.config.allow_eio3 { session.lock().machine.socket_id(namespace) } else { None };
        own.unwrap_or_else(|| self.fresh_id())
    }

    pub(crate) fn fresh_id(&self) -> Arc<str> {
        self.random.lock().unwrap_or_else(PoisonError::into_inner).id().into()
    }

    /// The namespace that a client asks for, if there is one, or may be one.
    pub(crate) fn namespace_for(
        &self,
        name: &Arc<str>,
        request: Option<NamespaceRequest<'_>>,
    ) -> Option<Arc<NamespaceInner>> {
        let make = |handlers| self.new_namespace(name, handlers, true);
        let asked = Asked { name, request };
        let found = self.namespaces.find_or_make(name, &asked, self.options.max_dynamic, make);
        if let Err(NoNamespace::TooMany) = found {
            self.dynamic_refused();
        }
        found.ok()
    }

    /// The namespace of that name, if it exists.
    #[cfg(feature = "admin")]
    pub(crate) fn existing_namespace(&self, name: &str) -> Option<Arc<NamespaceInner>> {
        self.namespaces.find(name)
    }

    /// A client was not let into a dynamic namespace because there are too many of them.
    pub(crate) fn dynamic_refused(&self) {
        count(&self.gate.counters.dynamic_namespaces);
    }

    /// Returns the most bytes of answers to one broadcast.
    pub(crate) fn max_broadcast_answers(&self) -> usize {
        self.options.max_answers
    }

    /// Returns the number of sockets that a broadcast reaches before it gives way.
    pub(crate) fn broadcast_slice(&self) -> usize {
        self.options.broadcast_slice
    }

    /// Returns the number of dynamic namespaces that one session may be in.
    pub(crate) fn max_dynamic_per_session(&self) -> usize {
        self.options.max_dynamic_per_session
    }

    /// A socket has left: a dynamic namespace that is empty now may go.
    pub(crate) fn namespace_left(&self, namespace: &Arc<NamespaceInner>) {
        if !namespace.is_child() || !namespace.is_vacant() {
            return;
        }
        if self.options.cleanup_empty {
            self.namespaces.remove_if_empty(namespace);
        } else {
            self.namespaces.note_idle(namespace);
        }
    }

    /// Counts a panic, and tells the error hook.
    pub(crate) fn report_panic(&self, socket: &Socket, error: &HandlerError) {
        count(&self.gate.counters.panics);
        self.report(socket, error);
    }

    /// Tells the error hook.
    pub(crate) fn report(&self, socket: &Socket, error: &HandlerError) {
        self.report_about(socket, None, error, None);
    }

    /// The same, with the event that it is about, and the acknowledgement that the client awaits. The hook may have an
    /// answer to that.
    pub(crate) fn report_about(
        &self,
        socket: &Socket,
        event: Option<&str>,
        error: &HandlerError,
        ack: Option<&AckTarget>,
    ) -> Option<Frame> {
        count(&self.gate.counters.handler_errors);
        let namespace = socket.namespace_inner();
        let default = || self.on_error.read().unwrap_or_else(PoisonError::into_inner).clone();
        let name = &*namespace.name;
        match namespace.handlers.error_hook().or_else(default) {
            Some(hook) => {
                debug!(namespace = name, event, socket = socket.id(), %error, "a handler failed");
                let told = hook.tell(socket, &HandlerFailure::new(event, error), ack);
                return told.unwrap_or_else(|()| {
                    count(&self.gate.counters.panics);
                    None
                });
            }
            None if is_heard() => {
                error!(namespace = name, event, socket = socket.id(), error = %Causes(error), "a handler failed");
            }
            None => self.default_error_hook.show(name, event, error),
        }
        None
    }

    /// Gives a namespace the handlers of [`Server::any_namespace`], as they are now.
    fn let_stand_in(&self, handlers: &NamespaceHandlers) {
        if let Some(any) = self.any.get() {
            handlers.stand_in(any.table.get());
        }
    }

    /// Drops all handlers and hooks of the application: no session is open any more, and whatever they have captured is
    /// free, the server itself included.
    fn drop_handlers(&self) {
        if let Some(any) = self.any.get() {
            any.clear();
        }
        self.namespaces.drop_handlers();
        if let Some(recovery) = &self.recovery {
            recovery.drop_hook();
        }
        #[cfg(feature = "cluster")]
        if let Some(cluster) = self.cluster.get() {
            cluster.on_bus.clear();
        }
        #[cfg(feature = "admin")]
        self.observe(|observer| observer.close());
        let hook = self.on_error.write().unwrap_or_else(PoisonError::into_inner).take();
        drop(hook);
    }

    /// Returns whether the middleware is left out for a socket: its client was let in before.
    pub(crate) fn skips_middleware(&self, socket: &Socket) -> bool {
        let skips = self.recovery.as_ref().is_some_and(|recovery| recovery.config.skip_middlewares);
        skips && socket.recovered()
    }

    /// The number of handlers of `on_concurrent` that run.
    #[cfg(feature = "metrics")]
    pub(super) fn concurrent_handlers(&self) -> usize {
        self.concurrent.running()
    }

    /// A place for a handler of `on_concurrent`, if one is free.
    pub(crate) fn concurrent_permit(&self) -> Option<Permit> {
        self.concurrent.permit(self.options.max_concurrent, || self.gate.shutdown.start())
    }

    pub(crate) fn spawn(&self, task: BoxFuture<()>) {
        self.gate.runtime().spawn(task);
    }
}

/// A Socket.IO server. Cheap to clone; usable in handlers and outside.
///
/// An adapter builds it (`Server::builder()` there) and lets it listen. Its methods for events, rooms and handlers are
/// those of the main [`Namespace`], `/`.
///
/// ```
/// use sansocket_runtime::{Data, Server, Socket};
/// use std::time::Duration;
///
/// fn register(io: &Server) {
///     io.on("say", async |io: Server, Data(text): Data<String>| {
///         let _ = io.emit("said", &text);
///     });
///     io.namespace("/admin").on("kick", async |io: Server, Data(id): Data<String>| {
///         io.socket(&id).is_some_and(|socket| {
///             socket.close();
///             true
///         })
///     });
///     io.on_error(|socket, error| eprintln!("{}: {error}", socket.id()));
/// }
///
/// async fn stop(io: Server) {
///     println!("{} clients are told", io.clients_count());
///     io.shutdown(Duration::from_secs(10)).await;
/// }
/// ```
#[derive(Clone)]
pub struct Server(pub(crate) Arc<ServerInner>);

impl Server {
    /// The HTTP side of the server, for adapters to mount.
    ///
    /// # Panics
    /// If a handler extracts a [`State`](crate::State) that the server has not: see [`provide`](Self::provide).
    #[track_caller]
    pub fn endpoint(&self) -> Endpoint {
        self.check_state();
        Endpoint::new(self.0.gate.clone(), Some(self.0.clone()))
    }

    /// The namespace of that name, on which handlers are registered. It is made if it does not exist. A missing slash
    /// is added to the name; `""` is `/`.
    pub fn namespace(&self, name: &str) -> Namespace {
        let name: Arc<str> = if name.starts_with('/') { name.into() } else { format!("/{name}").into() };
        let inner = &self.0;
        let made = || inner.new_namespace(&name, Arc::default(), false);
        let namespace = inner.namespaces.named(&name, made);
        inner.let_stand_in(&namespace.handlers);
        Namespace(namespace)
    }

    /// The main namespace, `/`.
    pub fn root(&self) -> Namespace {
        self.namespace("/")
    }

    /// The namespaces whose names fit `pattern`, each of which is made when a client asks for it. In the pattern, `*`
    /// stands for any number of characters: `/room-*`, or `*` for all. What it stands for, handlers get by
    /// [`NameParts`](crate::NameParts).
    pub fn dynamic_namespace(&self, pattern: &str) -> DynamicNamespace {
        let of_names = pattern.to_owned();
        self.add_dynamic(move |asked| fits(&of_names, asked.name), Some(pattern.into()))
    }

    /// The namespaces whose names match, each of which is made when a client asks for it. `matches` is called for every
    /// client that joins.
    pub fn dynamic_namespace_if(
        &self,
        matches: impl Fn(&str) -> bool + Send + Sync + 'static,
    ) -> DynamicNamespace {
        self.add_dynamic(move |asked| matches(asked.name), None)
    }

    /// As [`dynamic_namespace_if`](Self::dynamic_namespace_if), by the client's `auth` and handshake as well: a client for
    /// which the function says no hears `Invalid namespace`, and no namespace is made. What takes time, or has words for the
    /// client, belongs in `middleware` or `on_connect`.
    ///
    /// ```
    /// use sansocket_runtime::Server;
    /// use serde::Deserialize;
    ///
    /// #[derive(Deserialize)]
    /// struct Login {
    ///     tenant: String,
    /// }
    ///
    /// fn register(io: &Server) {
    ///     io.dynamic_namespace_by(|request| {
    ///         let tenant = request.name().strip_prefix("/tenant/");
    ///         request.auth::<Login>().is_ok_and(|login| tenant == Some(&login.tenant))
    ///     });
    /// }
    /// ```
    pub fn dynamic_namespace_by(
        &self,
        matches: impl Fn(&NamespaceRequest<'_>) -> bool + Send + Sync + 'static,
    ) -> DynamicNamespace {
        self.add_dynamic(move |asked| asked.request.as_ref().is_some_and(&matches), None)
    }

    fn add_dynamic(
        &self,
        matches: impl Fn(&Asked<'_>) -> bool + Send + Sync + 'static,
        pattern: Option<Box<str>>,
    ) -> DynamicNamespace {
        let handlers = NamespaceHandlers::of_pattern(pattern);
        let dynamic = Arc::new(Dynamic::new(Arc::new(matches), handlers, Arc::downgrade(&self.0)));
        #[cfg(feature = "admin")]
        self.0.observe(|observer| observer.found_handlers(&dynamic.handlers));
        self.0.namespaces.add_dynamic(dynamic.clone());
        self.0.let_stand_in(&dynamic.handlers);
        DynamicNamespace(dynamic)
    }

    handler_methods!();
    outgoing_methods!();

    /// The handlers of the main namespace.
    fn handlers(&self) -> Arc<NamespaceHandlers> {
        self.root().0.handlers.clone()
    }

    /// Handlers that run in every namespace that has none of that kind or for that event: see [`AnyNamespace`].
    pub fn any_namespace(&self) -> AnyNamespace {
        let any = self.0.any.get_or_init(|| {
            let any = Arc::new(NamespaceHandlers::default());
            let server = self.0.this.clone();
            let hand_on = move || {
                let Some(server) = server.upgrade() else { return };
                for handlers in server.namespaces.all_handlers() {
                    server.let_stand_in(&handlers);
                }
            };
            // It is new.
            let _ = any.on_change.set(Box::new(hand_on));
            any
        });
        AnyNamespace(any.clone())
    }

    /// The namespaces that exist, in the order of their names.
    pub fn namespaces(&self) -> Vec<Namespace> {
        self.0.namespaces.all().into_iter().map(Namespace).collect()
    }

    /// Sets the hook for sessions that were kept for their clients and cannot be recovered any more: the window is over, or
    /// one of the reasons of [`Ended`](crate::recovery::Ended). It is called once for each, after `on_disconnect`, with
    /// the rooms and values that its socket had: the place to take back what was kept for the client's return. The first
    /// hook stays. Without connection state recovery it is never called.
    ///
    /// It may be called within an emit, whose event pushes a session out of the store: the hook must not wait for a lock
    /// that is held while something is emitted.
    ///
    /// ```
    /// use sansocket_runtime::Server;
    ///
    /// fn register(io: &Server) {
    ///     io.on_unrecovered(|session| println!("{} is not coming back", session.id()));
    /// }
    /// ```
    pub fn on_unrecovered(&self, hook: impl Fn(&UnrecoveredSession) + Send + Sync + 'static) -> &Self {
        if let Some(recovery) = &self.0.recovery {
            recovery.set_hook(Arc::new(hook));
        }
        self
    }

    /// The number of clients that are connected: sessions, whatever namespaces they are in.
    pub fn clients_count(&self) -> usize {
        self.0.gate.sessions()
    }

    /// The numbers of the server so far: sessions, events, refusals by limits. It visits every session.
    pub fn stats(&self) -> Stats {
        self.0.gate.stats()
    }

    /// The socket of that id, in any namespace.
    pub fn socket(&self, id: &str) -> Option<Socket> {
        self.namespaces().iter().find_map(|namespace| namespace.socket(id))
    }

    /// All sockets of the main namespace, as the target of a broadcast.
    pub fn broadcast(&self) -> Broadcast {
        self.root().broadcast()
    }

    broadcast_methods!();

    /// The rooms of the main namespace, without those that are only a socket's id.
    pub fn rooms(&self) -> Vec<Arc<str>> {
        self.root().rooms()
    }

    /// Adds a hook for the rooms of the main namespace: see [`Namespace::on_room_event`].
    pub fn on_room_event(&self, hook: impl Fn(&RoomEvent) + Send + Sync + 'static) -> &Self {
        self.root().on_room_event(hook);
        self
    }

    /// Makes all sockets of the main namespace leave a room, those of other nodes as well.
    pub fn close_room(&self, room: &str) {
        self.root().close_room(room);
    }

    /// Shuts down in good order: no session is opened, every client is told, queued events and answers to polls are
    /// written, handlers finish, including those of `on_concurrent`. After `timeout` the rest is cut off, including
    /// handlers that still wait. Listeners accept connections until then, because clients that poll need them to fetch
    /// their last events; for a port that is free at once, see [`Listening::stop`](crate::Listening::stop).
    ///
    /// A node of a cluster says goodbye then, and what it has told the others leaves, for which its bus has a second.
    ///
    /// At the end all handlers and hooks are dropped, with what they have captured.
    ///
    /// A handler that awaits this waits for itself until `timeout` is over: spawn a task for it.
    pub async fn shutdown(&self, timeout: Duration) {
        // Earlier events are written, so they are queued before the sessions close.
        self.0.namespaces.all().iter().for_each(|namespace| namespace.finish_broadcasts());
        self.0.gate.shutdown(timeout).await;
        if let Some(recovery) = &self.0.recovery {
            recovery.close();
        }
        #[cfg(feature = "cluster")]
        self.leave_cluster().await;
        // The task that does it every few seconds may not come to it any more.
        #[cfg(feature = "metrics")]
        self.record_metrics();
        self.0.drop_handlers();
    }

    /// Waits for the signal, and then [shuts down](Self::shutdown): for a host's own graceful shutdown, which otherwise waits
    /// for the polls of all clients, and cuts WebSockets off.
    ///
    /// ```
    /// # use std::{future::Future, time::Duration};
    /// # fn run(io: &sansocket_runtime::Server, ctrl_c: impl Future + Send + 'static) {
    /// // axum::serve(listener, router).with_graceful_shutdown(io.shutdown_on(ctrl_c(), Duration::from_secs(5)))
    /// # let _ =
    /// io.shutdown_on(ctrl_c, Duration::from_secs(5))
    /// # ; }
    /// ```
    pub fn shutdown_on<F>(&self, signal: F, timeout: Duration) -> impl Future<Output = ()> + Send + use<F>
    where
        F: Future + Send,
    {
        let server = self.clone();
        async move {
            signal.await;
            server.shutdown(timeout).await;
        }
    }
}

impl Mount for Server {
    fn mount_point(&self) -> Endpoint {
        self.endpoint()
    }
}

impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Server").field("path", &self.0.gate.config.path).finish_non_exhaustive()
    }
}
