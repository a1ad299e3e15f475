//! The Socket.IO server, as the application holds it.

use crate::base::error::{BroadcastAckError, EmitError, HandlerError};
use crate::base::runtime::BoxFuture;
use crate::base::trace::{debug, is_heard};
use crate::handler::unheard::Unheard;
use crate::handler::{Handler, OnConnect, OnConnected, OnDisconnect, OnEvent, OnFilter};
use crate::http::endpoint::Endpoint;
use crate::http::gate::Gate;
use crate::http::listener::Mount;
use crate::http::shutdown::Running;
use crate::server::broadcast::Broadcast;
use crate::server::namespace::{Dynamic, DynamicNamespace, Handlers, Namespace, NamespaceInner, fits};
use crate::server::options::ServerOptions;
use crate::server::socket::Socket;
use crate::session::stats::{Stats, count};
use sansocket_protocol::random::Random;
use sansocket_protocol::socket::Args;
use sansocket_protocol::socket::ToArgs;
use std::collections::BTreeMap;
use std::fmt;
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError, RwLock, Weak};
use std::time::Duration;

type ErrorHook = Box<dyn Fn(&Socket, &HandlerError) + Send + Sync>;

pub(crate) struct ServerInner {
    pub(crate) host: Arc<Gate>,
    namespaces: RwLock<BTreeMap<Arc<str>, Child>>,
    dynamic: RwLock<Vec<Arc<Dynamic>>>,
    options: ServerOptions,
    random: Mutex<Random>,
    concurrent: Arc<AtomicUsize>,
    on_error: OnceLock<ErrorHook>,
    unheard: Unheard,
    this: Weak<ServerInner>,
}

#[derive(Clone)]
struct Child {
    namespace: Arc<NamespaceInner>,
    /// The dynamic namespace that it came from: asked again for each client.
    parent: Option<Arc<Dynamic>>,
}

/// One of the handlers that may run concurrently. A shutdown waits for it.
pub(crate) struct Permit {
    concurrent: Arc<AtomicUsize>,
    running: Running,
}

impl Permit {
    /// Ready once a shutdown waits no longer.
    pub(crate) async fn cut(&self) {
        self.running.cut().await;
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.concurrent.fetch_sub(1, Ordering::AcqRel);
    }
}

impl ServerInner {
    pub(crate) fn new(host: Arc<Gate>, options: ServerOptions, random: Random, this: Weak<Self>) -> Self {
        Self {
            host,
            namespaces: RwLock::default(),
            dynamic: RwLock::default(),
            options,
            random: Mutex::new(random),
            concurrent: Arc::default(),
            on_error: OnceLock::new(),
            unheard: Unheard::default(),
            this,
        }
    }

    /// A public id for a socket.
    pub(crate) fn fresh_id(&self) -> Arc<str> {
        self.random.lock().unwrap_or_else(PoisonError::into_inner).id().into()
    }

    /// The namespace that a client asks for, if there is one, or may be one.
    pub(crate) fn namespace_for(&self, name: &Arc<str>) -> Option<Arc<NamespaceInner>> {
        let found = self.namespaces.read().unwrap_or_else(PoisonError::into_inner).get(name).cloned();
        match found {
            Some(Child { namespace, parent: None }) => return Some(namespace),
            // A matcher that has changed its mind is heard, even if the namespace exists.
            Some(Child { namespace, parent: Some(parent) }) if (parent.matches)(name) => {
                return Some(namespace);
            }
            _ => {}
        }
        let candidates = self.dynamic.read().unwrap_or_else(PoisonError::into_inner).clone();
        let parent = candidates.into_iter().find(|candidate| (candidate.matches)(name))?;
        let mut namespaces = self.namespaces.write().unwrap_or_else(PoisonError::into_inner);
        let mut removed = Vec::new();
        if !namespaces.contains_key(name) {
            let children = |child: &Child| child.parent.is_some();
            // Counted only where it may matter: there are never more children than namespaces.
            if namespaces.len() >= self.options.max_dynamic
                && namespaces.values().filter(|child| children(child)).count() >= self.options.max_dynamic
            {
                // Clients name them, so they must not pile up. One that nobody but this table holds has no sockets,
                // nobody is just entering it, and it comes again when somebody asks for it.
                let is_idle = |child: &Child| children(child) && Arc::strong_count(&child.namespace) == 1;
                let idle: Vec<Arc<str>> = namespaces
                    .iter()
                    .filter(|(_, child)| is_idle(child))
                    .map(|(name, _)| name.clone())
                    .collect();
                removed.extend(idle.iter().filter_map(|name| namespaces.remove(name)));
                if removed.is_empty() {
                    count(&self.host.counters.dynamic_namespaces);
                    return None;
                }
            }
        }
        let child = namespaces.entry(name.clone()).or_insert_with(|| Child {
            namespace: NamespaceInner::new(
                name.clone(),
                parent.handlers.clone(),
                self.options.limits,
                self.this.clone(),
            ),
            parent: Some(parent),
        });
        let found = child.namespace.clone();
        drop(namespaces);
        drop(removed);
        Some(found)
    }

    /// A socket has left: a dynamic namespace that is empty now may go.
    pub(crate) fn namespace_left(&self, namespace: &Arc<NamespaceInner>) {
        if !self.options.cleanup_empty || !namespace.hub().is_empty() {
            return;
        }
        let removed = {
            let mut namespaces = self.namespaces.write().unwrap_or_else(PoisonError::into_inner);
            let is_child = namespaces
                .get(&namespace.name)
                .is_some_and(|child| child.parent.is_some() && Arc::ptr_eq(&child.namespace, namespace));
            if is_child { namespaces.remove(&namespace.name) } else { None }
        };
        // Somebody may have entered it meanwhile: then it stays, unless a new one has come already.
        if let Some(child) = removed.filter(|_| !namespace.hub().is_empty()) {
            let mut namespaces = self.namespaces.write().unwrap_or_else(PoisonError::into_inner);
            namespaces.entry(namespace.name.clone()).or_insert(child);
        }
    }

    /// Tells the error hook.
    pub(crate) fn report(&self, socket: &Socket, error: &HandlerError) {
        self.report_about(socket, None, error);
    }

    /// The same, with the event that it is about.
    pub(crate) fn report_about(&self, socket: &Socket, args: Option<&Args>, error: &HandlerError) {
        debug!(socket = socket.id(), %error, "in a handler");
        match self.on_error.get() {
            Some(hook) => {
                if catch_unwind(AssertUnwindSafe(|| hook(socket, error))).is_err() {
                    count(&self.host.counters.panics);
                    debug!("the error hook panicked");
                }
            }
            None if is_heard() => {}
            None => self.unheard.show(&socket.namespace_inner().name, args, error),
        }
    }

    pub(crate) fn concurrent_permit(&self) -> Option<Permit> {
        let limit = self.options.max_concurrent;
        let taken = self.concurrent.fetch_update(Ordering::AcqRel, Ordering::Acquire, |running| {
            (running < limit).then(|| running + 1)
        });
        taken
            .ok()
            .map(|_| Permit { concurrent: self.concurrent.clone(), running: self.host.shutdown.start() })
    }

    pub(crate) fn spawn(&self, task: BoxFuture<()>) {
        self.host.runtime().spawn(task);
    }
}

/// A Socket.IO server. Cheap to clone; usable in handlers and outside.
///
/// An adapter makes it (`Server::builder()` there) and lets it listen.
#[derive(Clone)]
pub struct Server(pub(crate) Arc<ServerInner>);

macro_rules! shorthands {
    ($($(#[$doc:meta])* $name:ident: $kind:ty;)*) => {
        $(
            $(#[$doc])*
            pub fn $name<Params: 'static>(&self, handler: impl Handler<$kind, Params>) -> &Self {
                self.root().$name(handler);
                self
            }
        )*
    };
}

impl Server {
    /// The HTTP side, for adapters to mount.
    pub fn endpoint(&self) -> Endpoint {
        Endpoint::new(self.0.host.clone(), Some(self.0.clone()))
    }

    /// The namespace of that name, which is made if there is none: handlers are registered on it. A slash is put
    /// before a name without one; `""` is `/`.
    pub fn namespace(&self, name: &str) -> Namespace {
        let name: Arc<str> = if name.starts_with('/') { name.into() } else { format!("/{name}").into() };
        let mut namespaces = self.0.namespaces.write().unwrap_or_else(PoisonError::into_inner);
        let child = namespaces.entry(name.clone()).or_insert_with(|| Child {
            namespace: NamespaceInner::new(
                name,
                Arc::new(Handlers::default()),
                self.0.options.limits,
                Arc::downgrade(&self.0),
            ),
            parent: None,
        });
        Namespace(child.namespace.clone())
    }

    /// The main namespace, `/`.
    pub fn root(&self) -> Namespace {
        self.namespace("/")
    }

    /// Namespaces that come to be when a client asks for one whose name fits `pattern`, in which `*` stands for
    /// any number of characters: `/room-*`, or `*` for all.
    pub fn dynamic_namespace(&self, pattern: &str) -> DynamicNamespace {
        let pattern = pattern.to_owned();
        self.dynamic_namespace_if(move |name| fits(&pattern, name))
    }

    /// Namespaces that come to be when a client asks for one whose name `matches`. It is asked for every client
    /// that joins, but it sees only the name: who may join is for `middleware` or `on_connect` to decide.
    pub fn dynamic_namespace_if(
        &self,
        matches: impl Fn(&str) -> bool + Send + Sync + 'static,
    ) -> DynamicNamespace {
        let dynamic =
            Arc::new(Dynamic { matches: Box::new(matches), handlers: Arc::new(Handlers::default()) });
        self.0.dynamic.write().unwrap_or_else(PoisonError::into_inner).push(dynamic.clone());
        DynamicNamespace(dynamic)
    }

    shorthands! {
        /// [`Namespace::middleware`] of the main namespace.
        middleware: OnConnect;
        /// [`Namespace::on_connect`] of the main namespace.
        on_connect: OnConnect;
        /// [`Namespace::on_connected`] of the main namespace.
        on_connected: OnConnected;
        /// [`Namespace::on_disconnect`] of the main namespace.
        on_disconnect: OnDisconnect;
        /// [`Namespace::event_middleware`] of the main namespace.
        event_middleware: OnFilter;
        /// [`Namespace::on_any`] of the main namespace.
        on_any: OnEvent;
        /// [`Namespace::on_fallback`] of the main namespace.
        on_fallback: OnEvent;
    }

    /// [`Namespace::on`] of the main namespace: runs when a client emits `event` there.
    ///
    /// ```
    /// # use sansocket_runtime::{Data, Server, Socket};
    /// fn register(io: &Server) {
    ///     io.on("message", async |socket: Socket, Data(text): Data<String>| {
    ///         let _ = socket.emit("message-back", &text);
    ///     })
    ///     .on_disconnect(async |socket: Socket| println!("{} has left", socket.id()));
    /// }
    /// ```
    pub fn on<Params: 'static>(&self, event: &str, handler: impl Handler<OnEvent, Params>) -> &Self {
        self.root().on(event, handler);
        self
    }

    /// [`Namespace::on_concurrent`] of the main namespace.
    pub fn on_concurrent<Params: 'static>(
        &self,
        event: &str,
        handler: impl Handler<OnEvent, Params>,
    ) -> &Self {
        self.root().on_concurrent(event, handler);
        self
    }

    /// [`Namespace::once`] of the main namespace.
    pub fn once<Params: 'static>(&self, event: &str, handler: impl Handler<OnEvent, Params>) -> &Self {
        self.root().once(event, handler);
        self
    }

    /// [`Namespace::off`] of the main namespace.
    pub fn off(&self, event: &str) -> &Self {
        self.root().off(event);
        self
    }

    /// [`Namespace::off_any`] of the main namespace.
    pub fn off_any(&self) -> &Self {
        self.root().off_any();
        self
    }

    /// [`Namespace::off_fallback`] of the main namespace.
    pub fn off_fallback(&self) -> &Self {
        self.root().off_fallback();
        self
    }

    /// [`Namespace::on_any_outgoing`] of the main namespace.
    pub fn on_any_outgoing(&self, hook: impl Fn(&Socket, &Args) + Send + Sync + 'static) -> &Self {
        self.root().on_any_outgoing(hook);
        self
    }

    /// [`Namespace::off_any_outgoing`] of the main namespace.
    pub fn off_any_outgoing(&self) -> &Self {
        self.root().off_any_outgoing();
        self
    }

    /// All namespaces that exist, in the order of their names.
    pub fn namespaces(&self) -> Vec<Namespace> {
        let namespaces = self.0.namespaces.read().unwrap_or_else(PoisonError::into_inner);
        namespaces.values().map(|child| Namespace(child.namespace.clone())).collect()
    }

    /// Sets what hears of errors in handlers: arguments that do not fit, returned errors, panics. The first one
    /// set stays.
    ///
    /// Without one, and without a subscriber of tracing that hears this library's debug messages, each error is one
    /// line on stderr, up to 100 of them. A line names the event, the namespace and what is wrong, and shows no ids
    /// and nothing of what the client sent; the words of returned errors and panics are the application's own.
    /// Setting a hook replaces that: one that does nothing silences it.
    pub fn on_error(&self, hook: impl Fn(&Socket, &HandlerError) + Send + Sync + 'static) -> &Self {
        // Setting it twice is a mistake without consequence.
        let _ = self.0.on_error.set(Box::new(hook));
        self
    }

    /// What was given to the builder's `state` with that type.
    pub fn state<T: Clone + Send + Sync + 'static>(&self) -> Option<T> {
        self.0.options.state.get::<T>().map(|state| T::clone(&state))
    }

    /// How many clients are connected: sessions, whatever namespaces they are in.
    pub fn clients_count(&self) -> usize {
        self.0.host.sessions()
    }

    /// What the server has done so far: sessions, events, what the limits refused. It visits every session.
    pub fn stats(&self) -> Stats {
        self.0.host.stats()
    }

    /// The socket of that id, in any namespace.
    pub fn socket(&self, id: &str) -> Option<Socket> {
        self.namespaces().iter().find_map(|namespace| namespace.socket(id))
    }

    /// Sockets of the main namespace in a room, as the target of a broadcast.
    pub fn to(&self, room: &str) -> Broadcast {
        self.root().to(room)
    }

    /// All sockets of the main namespace but those in a room, as the target of a broadcast.
    pub fn except(&self, room: &str) -> Broadcast {
        self.root().except(room)
    }

    /// Emits an event to all sockets of the main namespace.
    ///
    /// # Errors
    /// [`EmitError::Encode`].
    pub fn emit<T: ToArgs + ?Sized>(&self, event: &str, args: &T) -> Result<(), EmitError> {
        self.root().emit(event, args)
    }

    /// Emits an event to all sockets of the main namespace, and collects their acknowledgements.
    pub fn emit_with_ack<T: ToArgs + ?Sized>(
        &self,
        event: &str,
        args: &T,
        timeout: Duration,
    ) -> impl Future<Output = Result<Vec<Args>, BroadcastAckError>> + Send + 'static + use<T> {
        self.root().emit_with_ack(event, args, timeout)
    }

    /// Shuts down in good order: no session is opened, every client is told, what is queued is written, answers to polls
    /// included, handlers finish, those registered with `on_concurrent` too. After `timeout` what is left is cut off,
    /// handlers that still wait included. Listeners accept connections until then, because clients that poll fetch the
    /// rest by them; for a port that is free at once, see [`Listening::stop`](crate::Listening::stop).
    ///
    /// A handler that awaits this waits for itself, until `timeout` is over: spawn a task for it.
    pub async fn shutdown(&self, timeout: Duration) {
        self.0.host.shutdown(timeout).await;
    }
}

impl Mount for Server {
    fn mount_point(&self) -> Endpoint {
        self.endpoint()
    }
}

impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Server").field("path", &self.0.host.config.path).finish_non_exhaustive()
    }
}
