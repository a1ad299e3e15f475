//! The events of the server, told to the pages that are connected.

use super::options::{AdminOptions, DataOf, Mode};
use super::statistics::Statistics;
use super::wire;
use super::wire::{EventShape, SocketShape, StatsShape};
use crate::base::hook::Hook;
use crate::base::runtime::timeout;
use crate::base::trace::debug;
use crate::http::gate::Gate;
use crate::server::describe::handshake_value;
use crate::server::namespace::NamespaceInner;
use crate::server::observer::{NamespaceHandlers, Observer, Watch};
use crate::{Namespace, Server, Socket, WeakServer};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sansocket_protocol::engine::TransportKind;
use sansocket_protocol::error::CloseReason;
use sansocket_protocol::hub::RoomEvent;
use sansocket_protocol::socket::{Args, Date, ToArgs};
use serde_json::Value;
use std::hash::{BuildHasher, RandomState};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock, Weak};
use std::time::{Duration, Instant, UNIX_EPOCH};

/// The time between two readings of the counters: the page's charts count by the second.
const READ_EVERY: Duration = Duration::from_secs(1);

/// The feed of a server's pages.
pub(super) struct Feed {
    this: Weak<Feed>,
    server: WeakServer,
    /// The namespace of the pages, once it is there.
    pages: OnceLock<Weak<NamespaceInner>>,
    name: String,
    server_id: String,
    hostname: String,
    pub(super) detailed: bool,
    interval: Duration,
    private_handshakes: bool,
    data: Hook<DataOf>,
    /// Names connections without telling their secret ids.
    client_ids: RandomState,
    began: Instant,
    is_started: AtomicBool,
}

impl Feed {
    pub(super) fn new(server: &Server, options: &AdminOptions) -> Arc<Self> {
        let hostname = gethostname::gethostname().to_string_lossy().into_owned();
        let data = Hook::default();
        if let Some(hook) = &options.data {
            data.set(hook.clone());
        }
        Arc::new_cyclic(|this| Self {
            this: this.clone(),
            server: server.downgrade(),
            pages: OnceLock::new(),
            name: options.namespace.clone(),
            server_id: options.server_id.clone().unwrap_or_else(|| hostname.clone()),
            hostname,
            detailed: options.mode == Mode::Development,
            interval: options.interval,
            private_handshakes: options.private_handshakes,
            data,
            client_ids: RandomState::new(),
            began: server.0.gate.runtime().now(),
            is_started: AtomicBool::new(false),
        })
    }

    /// Tells the pages of that namespace.
    pub(super) fn attach(&self, pages: &Namespace) {
        // Called once.
        let _ = self.pages.set(Arc::downgrade(&pages.0));
    }

    /// The namespace of the pages, if somebody may look: here, or at another node.
    fn pages(&self) -> Option<Namespace> {
        let pages = self.pages.get()?.upgrade()?;
        #[cfg(feature = "cluster")]
        let is_alone = pages.membership.is_none();
        #[cfg(not(feature = "cluster"))]
        let is_alone = true;
        if is_alone && pages.hub().is_empty() {
            return None;
        }
        Some(Namespace(pages))
    }

    /// Tells the pages, if there are any.
    fn tell<T: ToArgs>(&self, event: &str, args: impl FnOnce(Date) -> T) {
        let Some(pages) = self.pages() else { return };
        if let Err(error) = pages.emit(event, &args(self.now())) {
            debug!(%error, event, "the admin UI cannot be told");
        }
    }

    fn now(&self) -> Date {
        Date::from_millis(i64::try_from(self.millis()).unwrap_or(i64::MAX))
    }

    /// The time since 1970.
    fn millis(&self) -> u64 {
        let wall = self.server.upgrade().map(|server| server.0.gate.runtime().wall_clock());
        let since = wall.and_then(|wall| wall.duration_since(UNIX_EPOCH).ok()).unwrap_or_default();
        u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
    }

    /// A name for the connection of a socket, of 12 characters, from which its secret id cannot be told.
    fn client_id(&self, socket: &Socket) -> String {
        let id = socket.session().lock().machine.id().to_owned();
        let (low, high) = (self.client_ids.hash_one(&id), self.client_ids.hash_one((&id, 1)));
        let mut bytes = [0; 9];
        bytes[..8].copy_from_slice(&low.to_be_bytes());
        bytes[8] = high.to_be_bytes()[0];
        URL_SAFE_NO_PAD.encode(bytes)
    }

    /// The application's data of a socket.
    fn application_data(&self, socket: &Socket) -> Value {
        let Some(data) = self.data.get() else { return Value::Null };
        catch_unwind(AssertUnwindSafe(|| data(socket))).unwrap_or_else(|_| {
            debug!("the hook for the admin UI's data panicked");
            Value::Null
        })
    }

    /// A socket of this server.
    pub(super) fn describe(&self, socket: &Socket) -> Value {
        SocketShape {
            id: socket.id().into(),
            client_id: self.client_id(socket).into(),
            transport: socket.transport().as_str().into(),
            namespace: socket.namespace_inner().name.as_ref().into(),
            data: wire::shown_data(self.application_data(socket)),
            handshake: handshake_value(socket.handshake(), self.private_handshakes),
            rooms: socket.rooms().iter().map(|room| room.to_string()).collect(),
        }
        .into_value(self.private_handshakes)
    }

    /// All sockets, of all nodes.
    pub(super) async fn all_sockets(&self, server: &Server) -> Vec<Value> {
        let mut all = Vec::new();
        for namespace in server.namespaces() {
            #[cfg(feature = "cluster")]
            {
                // Those that do not answer are not shown.
                let found = namespace.fetch_sockets().await.unwrap_or_else(|missing| missing.came);
                for socket in found {
                    all.push(match socket.local() {
                        Some(socket) => self.describe(&socket),
                        None => describe_remote(namespace.name(), &socket, self.private_handshakes),
                    });
                }
            }
            #[cfg(not(feature = "cluster"))]
            all.extend(namespace.sockets().iter().map(|socket| self.describe(socket)));
        }
        all
    }

    /// Begins with the statistics. They end with the last page.
    pub(super) fn start(&self) {
        if self.is_started.swap(true, Ordering::SeqCst) {
            return;
        }
        let (Some(feed), Some(server)) = (self.this.upgrade(), self.server.upgrade()) else { return };
        let (shutdown, runtime) = (server.0.gate.shutdown.clone(), server.0.gate.runtime().clone());
        let every = self.interval.min(READ_EVERY);
        // What was before nobody looked.
        let before = server.0.gate.stats();
        let task = async move {
            let mut statistics = Statistics::new(&before);
            let mut told = runtime.now();
            loop {
                if timeout(&runtime, every, shutdown.begun()).await.is_some() {
                    return;
                }
                let Some(server) = feed.server.upgrade() else { return };
                if feed.pages().is_none() {
                    feed.is_started.store(false, Ordering::SeqCst);
                    // One that has come just now has found it running.
                    if feed.pages().is_some() {
                        feed.start();
                    }
                    return;
                }
                let is_due = runtime.now().saturating_duration_since(told) >= feed.interval;
                if is_due {
                    told = runtime.now();
                }
                feed.take_statistics(&mut statistics, &server, is_due);
            }
        };
        server.0.gate.runtime().spawn(Box::pin(task));
    }

    /// Reads the counters, and tells the pages if it is time.
    fn take_statistics(&self, statistics: &mut Statistics, server: &Server, is_due: bool) {
        let Some(pages) = self.pages() else { return };
        let gate = &server.0.gate;
        statistics.read(&gate.stats(), self.millis());
        if !is_due {
            return;
        }
        let namespaces: Vec<_> = server
            .namespaces()
            .iter()
            .map(|namespace| (namespace.name().to_owned(), namespace.len()))
            .collect();
        let uptime = gate.runtime().now().saturating_duration_since(self.began);
        let told = StatsShape {
            server_id: &self.server_id,
            hostname: &self.hostname,
            pid: std::process::id(),
            uptime: uptime.as_secs_f64(),
            clients: gate.sessions(),
            polling_clients: polling_clients(gate),
            counts: &statistics.take(),
            namespaces: &namespaces,
        };
        if let Err(error) = pages.emit("server_stats", &told.to_value()) {
            debug!(%error, "the admin UI cannot be told the statistics");
        }
    }

    /// The functions that see the events of sockets.
    fn watches(&self) -> (Watch, Watch) {
        let watch = |event: &'static str| -> Watch {
            let feed = self.this.clone();
            Arc::new(move |socket: &Socket, args: &Args| {
                let Some(feed) = feed.upgrade() else { return };
                let namespace = &socket.namespace_inner().name;
                feed.tell(event, |at| EventShape { namespace, id: socket.id(), event: args, at });
            })
        };
        (watch("event_received"), watch("event_sent"))
    }
}

impl Observer for Feed {
    fn connected(&self, socket: &Socket) {
        if !self.detailed {
            return;
        }
        let namespace = &*socket.namespace_inner().name;
        // Every socket is in the room of its id.
        self.tell("room_joined", |at| (namespace, socket.id(), socket.id(), at));
        self.tell("socket_connected", |at| (self.describe(socket), at));
    }

    fn upgraded(&self, socket: &Socket) {
        if self.detailed {
            let (namespace, transport) = (&*socket.namespace_inner().name, socket.transport().as_str());
            self.tell("socket_updated", |_| wire::transport_updated(socket.id(), namespace, transport));
        }
    }

    fn disconnected(&self, socket: &Socket, reason: CloseReason) {
        if self.detailed {
            let namespace = &*socket.namespace_inner().name;
            self.tell("socket_disconnected", |at| (namespace, socket.id(), reason.as_str(), at));
            self.tell("room_left", |at| (namespace, socket.id(), socket.id(), at));
        }
    }

    fn owns(&self, namespace: &str) -> bool {
        namespace == self.name
    }

    fn found(&self, namespace: &Arc<NamespaceInner>) {
        if !self.detailed {
            return;
        }
        let (feed, name) = (self.this.clone(), namespace.name.clone());
        let hook = move |event: &RoomEvent| {
            let Some(feed) = feed.upgrade() else { return };
            match event {
                RoomEvent::Joined { room, socket } => {
                    feed.tell("room_joined", |at| (&*name, &**room, &**socket, at));
                }
                RoomEvent::Left { room, socket } => {
                    feed.tell("room_left", |at| (&*name, &**room, &**socket, at));
                }
                _ => {}
            }
        };
        namespace.observe_rooms(hook);
        if !self.owns(&namespace.name) && !namespace.is_child() {
            self.found_handlers(&namespace.handlers);
        }
    }

    fn found_handlers(&self, handlers: &NamespaceHandlers) {
        if self.detailed {
            let (received, sent) = self.watches();
            handlers.watch(&received, &sent);
        }
    }

    #[cfg(feature = "cluster")]
    fn data_of(&self, socket: &Socket) -> Value {
        let data = self.application_data(socket);
        wire::data_for_nodes(data, &self.client_id(socket), socket.transport().as_str())
    }

    fn close(&self) {
        self.data.clear();
    }
}

/// A socket of another node.
#[cfg(feature = "cluster")]
fn describe_remote(namespace: &str, socket: &crate::RemoteSocket, private: bool) -> Value {
    let (data, client_id, transport) = wire::data_of_node(socket.data().unwrap_or_default());
    SocketShape {
        id: socket.id().into(),
        client_id,
        transport,
        namespace: namespace.into(),
        data,
        handshake: socket.handshake().unwrap_or_default(),
        rooms: socket.rooms().iter().map(|room| room.to_string()).collect(),
    }
    .into_value(private)
}

/// The sessions that poll.
fn polling_clients(gate: &Gate) -> usize {
    let polls =
        |session: &Arc<crate::session::handle::SessionHandle>| session.transport() == TransportKind::Polling;
    gate.all_sessions().iter().filter(|session| polls(session)).count()
}
