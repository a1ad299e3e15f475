//! The options of a Socket.IO server that concern Socket.IO, and the server that is built with them.

use crate::base::entropy;
use crate::base::runtime::Runtime;
use crate::base::typemap::TypeMap;
#[cfg(feature = "cluster")]
use crate::cluster::{ClusterOptions, Dialect};
use crate::http::builder::ServerBuilder;
use crate::http::gate::{Gate, MakeApplication};
use crate::http::options::{BuildError, ClientFiles};
use crate::server::dispatch::SocketDispatch;
use crate::server::recovery::Recovery;
use crate::server::server::{Server, ServerInner};
use crate::server::slices::SLICE;
use crate::server::socket::Socket;
#[cfg(feature = "cluster")]
use crate::server::stream_log::{StreamLog, StreamStore};
use crate::session::task::Session;
use sansocket_protocol::hub::HubLimits;
use sansocket_protocol::rate::Rate;
use sansocket_protocol::recovery::{MemoryStore, RecoveryConfig, RecoveryStore};
use sansocket_protocol::socket::{EventExcess, Parser, SocketServerConfig};
use std::fmt;
use std::path::Path;
use std::sync::{Arc, Mutex, OnceLock, PoisonError, Weak};
use std::time::Duration;

/// A listener for sockets whose connection has moved to WebSocket.
pub(crate) type OnUpgrade = Box<dyn Fn(&Socket) + Send + Sync>;

/// The options of a [`ServerBuilder`] that concern Socket.IO.
pub struct ServerOptions {
    pub(crate) sockets: SocketServerConfig,
    pub(crate) limits: HubLimits,
    pub(crate) state: TypeMap,
    pub(crate) on_upgrade: Option<OnUpgrade>,
    pub(crate) cleanup_empty: bool,
    pub(crate) max_dynamic: usize,
    pub(crate) max_dynamic_per_session: usize,
    pub(crate) max_concurrent: usize,
    pub(crate) max_answers: usize,
    pub(crate) broadcast_slice: usize,
    pub(crate) acknowledge_unit: bool,
    pub(crate) recovery: Option<RecoveryConfig>,
    pub(crate) recovery_store: Mutex<Option<Box<dyn RecoveryStore>>>,
    #[cfg(feature = "cluster")]
    pub(crate) cluster: Option<ClusterOptions>,
}

impl Default for ServerOptions {
    fn default() -> Self {
        Self {
            sockets: SocketServerConfig::default(),
            limits: HubLimits::default(),
            state: TypeMap::default(),
            on_upgrade: None,
            cleanup_empty: false,
            max_dynamic: 100_000,
            max_dynamic_per_session: 100,
            max_concurrent: 1000,
            max_answers: 64 << 20,
            broadcast_slice: SLICE,
            acknowledge_unit: true,
            recovery: None,
            recovery_store: Mutex::default(),
            #[cfg(feature = "cluster")]
            cluster: None,
        }
    }
}

impl fmt::Debug for ServerOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ServerOptions").field("sockets", &self.sockets).finish_non_exhaustive()
    }
}

/// The options of Socket.IO.
impl<S: From<Server>> ServerBuilder<S, ServerOptions> {
    /// A builder with the defaults, at the path `/socket.io/`, for a server on that runtime.
    pub fn new(runtime: impl Runtime) -> Self {
        Self::under("/socket.io", ServerOptions::default(), Arc::new(runtime))
    }

    /// Sets the hook that runs when a connection has moved from long-polling to WebSocket, once for each socket on it. It
    /// must not block. A connection that begins with a WebSocket never runs it.
    pub fn on_upgrade(mut self, hook: impl Fn(&Socket) + Send + Sync + 'static) -> Self {
        self.layer.on_upgrade = Some(Box::new(hook));
        self
    }

    /// Sets how long a connection may take to join its first namespace. Default 45 s.
    pub fn connect_timeout(mut self, timeout: Duration) -> Self {
        self.layer.sockets.connect_timeout = timeout;
        self
    }

    /// Sets the parser of packets, and what they may hold. It replaces what [`max_attachments`](Self::max_attachments)
    /// has set. Default [`Parser::json`]; all clients must use the same: [`Parser::msgpack`], or one of your own.
    pub fn parser(mut self, parser: Parser) -> Self {
        self.layer.sockets.parser = parser;
        self
    }

    /// Sets how many attachments a received packet may have. Default 10.
    pub fn max_attachments(mut self, attachments: usize) -> Self {
        self.layer.sockets.parser.max_attachments = attachments.into();
        self
    }

    /// Sets how many namespaces one connection may be in. Default 100.
    pub fn max_namespaces(mut self, namespaces: usize) -> Self {
        self.layer.sockets.max_namespaces = namespaces;
        self
    }

    /// Sets the longest name of a namespace that a client may ask for, in bytes. Default 512.
    pub fn max_namespace_name(mut self, bytes: usize) -> Self {
        self.layer.sockets.max_namespace_name = bytes;
        self
    }

    /// Sets how large the `auth` of a CONNECT may be, in bytes; a client that sends more is disconnected. Default 16 KiB.
    pub fn max_auth(mut self, bytes: usize) -> Self {
        self.layer.sockets.max_auth = bytes;
        self
    }

    /// Sets how long each attachment of a packet may take; then the connection is closed. Default 30 s.
    pub fn attachment_timeout(mut self, timeout: Duration) -> Self {
        self.layer.sockets.attachment_timeout = timeout;
        self
    }

    /// Sets the rate at which one client may ask to join namespaces; one that asks more often is disconnected. `None`: no
    /// limit. Default 10 a second, 100 at once.
    pub fn connect_rate(mut self, rate: impl Into<Option<Rate>>) -> Self {
        self.layer.sockets.connect_rate = rate.into();
        self
    }

    /// Sets how many CONNECT packets of one connection may be refused before it is closed. Default 100.
    pub fn max_refused_connects(mut self, times: usize) -> Self {
        self.layer.sockets.max_refused_connects = times;
        self
    }

    /// Sets how many events one client may emit in one namespace. Events that come faster wait, or end the connection:
    /// see [`event_excess`](Self::event_excess). Default: no limit, because `receive_budget` bounds the events that
    /// wait, and only you know what an event costs. Acknowledgements and heartbeats are not counted.
    pub fn event_rate(mut self, rate: Rate) -> Self {
        self.layer.sockets.event_rate = Some(rate);
        self
    }

    /// Sets what happens to events beyond `event_rate`. Default: they wait for their turn, and reading from the client
    /// pauses once `receive_budget` is used up.
    pub fn event_excess(mut self, excess: EventExcess) -> Self {
        self.layer.sockets.event_excess = excess;
        self
    }

    /// Sets how many acknowledgements may be awaited from one client. Default 10,000.
    pub fn max_pending_acks(mut self, acks: usize) -> Self {
        self.layer.sockets.max_pending_acks = acks;
        self
    }

    /// Sets how many rooms one socket may be in. Default 1000.
    pub fn max_rooms(mut self, rooms: usize) -> Self {
        self.layer.limits = self.layer.limits.with_rooms_per_socket(rooms);
        self
    }

    /// Sets the longest name of a room, in bytes. Default 512.
    pub fn max_room_name(mut self, bytes: usize) -> Self {
        self.layer.limits = self.layer.limits.with_room_name_bytes(bytes);
        self
    }

    /// Sets how many handlers registered with `on_concurrent` may run at once on this server. Default 1000.
    pub fn max_concurrent(mut self, handlers: usize) -> Self {
        self.layer.max_concurrent = handlers;
        self
    }

    /// Sets how many bytes the answers to one broadcast with acknowledgements may have together, in the form in which
    /// they were received. Those beyond count as missing. Default 64 MiB.
    pub fn max_broadcast_answers(mut self, bytes: usize) -> Self {
        self.layer.max_answers = bytes;
        self
    }

    /// Sets how many sockets [`emit_async`](crate::Broadcast::emit_async) reaches before it lets other tasks run. At least
    /// 1. Default 128: more hold a thread longer, fewer cost more turns.
    pub fn broadcast_slice(mut self, sockets: usize) -> Self {
        self.layer.broadcast_slice = sockets.max(1);
        self
    }

    /// Sets whether a handler that returns `()` acknowledges its event, if the client asks for that. Default yes. With
    /// `false`, as in JavaScript, only a value or an [`Ack`](crate::Ack) does: for handlers that are ported from there.
    ///
    /// ```
    /// # use sansocket_runtime::{BuildError, adapter};
    /// # type Server = sansocket_runtime::Server;
    /// # type ServerBuilder = sansocket_runtime::ServerBuilder<Server, adapter::ServerOptions>;
    /// # fn run(builder: ServerBuilder) -> Result<(), BuildError> {
    /// let io = builder.acknowledge_unit(false).build()?;
    /// io.on("typing", async || ()) // never acknowledged
    ///     .on("save", async || "saved"); // acknowledged
    /// # Ok(()) }
    /// ```
    pub fn acknowledge_unit(mut self, acknowledge: bool) -> Self {
        self.layer.acknowledge_unit = acknowledge;
        self
    }

    /// Turns connection state recovery on: a client that has lost its connection and is back within the window gets its
    /// session back, with its id, rooms, values and all events that it has missed. Default off. The time in which a lost
    /// connection is noticed is set to the ping interval and the ping timeout.
    ///
    /// ```
    /// use sansocket_runtime::recovery::RecoveryConfig;
    /// use std::time::Duration;
    ///
    /// # fn set<S: From<sansocket_runtime::Server>>(
    /// #     builder: sansocket_runtime::ServerBuilder<S, sansocket_runtime::adapter::ServerOptions>,
    /// # ) {
    /// builder.connection_state_recovery(RecoveryConfig::default().window(Duration::from_secs(60)));
    /// # }
    /// ```
    pub fn connection_state_recovery(mut self, config: RecoveryConfig) -> Self {
        self.layer.recovery = Some(config);
        self
    }

    /// Sets the store of [`connection_state_recovery`](Self::connection_state_recovery), which this does not turn on. Its
    /// limits are its own. Default: this process's memory, within those of the settings.
    pub fn recovery_store(mut self, store: impl RecoveryStore + 'static) -> Self {
        self.layer.recovery_store = Mutex::new(Some(Box::new(store)));
        self
    }

    /// Sets whether a dynamic namespace goes when its last client leaves. Default no. A [`Namespace`](crate::Namespace) that
    /// the application still holds stays the one of its name: if a client asks for it again, it is the same.
    pub fn cleanup_empty_namespaces(mut self, cleanup: bool) -> Self {
        self.layer.cleanup_empty = cleanup;
        self
    }

    /// Sets how many dynamic namespaces there may be at once. Clients name them, so beyond this number an empty one
    /// goes for each new one, and without an empty one the client that asks for one more is refused. Default 100,000.
    pub fn max_dynamic_namespaces(mut self, namespaces: usize) -> Self {
        self.layer.max_dynamic = namespaces;
        self
    }

    /// Sets how many dynamic namespaces one session may be in. Default 100.
    pub fn max_dynamic_namespaces_per_session(mut self, namespaces: usize) -> Self {
        self.layer.max_dynamic_per_session = namespaces;
        self
    }

    /// Adds a value that handlers get by `State<T>`, cloned: one of each type. An `Arc` makes that cheap.
    pub fn state<T: Clone + Send + Sync + 'static>(mut self, state: T) -> Self {
        self.layer.state.insert(Arc::new(state));
        self
    }

    /// Serves the browser's client from a directory such as `node_modules/socket.io-client/dist`, at
    /// `/socket.io/socket.io.js` and so on, with ETags. The files are read once, by `build`.
    pub fn serve_client(mut self, directory: impl AsRef<Path>) -> Self {
        self.http.client = Some(ClientFiles::Directory(directory.as_ref().to_owned()));
        self
    }

    /// Serves the browser's client that is part of this crate, at `/socket.io/socket.io.js`, with ETags, and compressed
    /// for browsers that take that. The last call of this or [`serve_client`](Self::serve_client) counts.
    ///
    /// It is npm's `socket.io-client` 4.8.4, minified, without source maps: `socket.io.js` and `socket.io.min.js` are the
    /// same file here; `socket.io.esm.min.js` is for `import`, `socket.io.msgpack.min.js` for
    /// [`Parser::msgpack`](crate::Parser::msgpack).
    #[cfg(feature = "client-bundle")]
    pub fn serve_client_bundle(mut self) -> Self {
        self.http.client = Some(ClientFiles::Bundle);
        self
    }

    /// Makes the server a node of a cluster: its broadcasts reach the sockets of all nodes. See
    /// [`cluster`](crate::cluster). The bus is connected by [`build`](Self::build), which must then be called inside of
    /// the async runtime.
    #[cfg(feature = "cluster")]
    pub fn cluster(mut self, options: ClusterOptions) -> Self {
        self.layer.cluster = Some(options);
        self
    }

    /// Builds the server. It serves nothing until it listens or is mounted.
    ///
    /// # Errors
    /// [`BuildError`].
    pub fn build(self) -> Result<S, BuildError> {
        let Self { http, mut layer, runtime, .. } = self;
        #[cfg(feature = "cluster")]
        if layer.cluster.as_ref().is_some_and(|cluster| !cluster.can_forward()) {
            return Err(BuildError::NoForwarding);
        }
        let mut random = entropy::random().map_err(BuildError::Entropy)?;
        let this: Arc<OnceLock<Weak<ServerInner>>> = Arc::default();
        let server = this.clone();
        let application: MakeApplication = Box::new(move |handshake| {
            let server = server.get()?.upgrade()?;
            Some(Session::make_task(SocketDispatch::new(server, handshake.clone())))
        });
        let sockets = std::mem::take(&mut layer.sockets);
        let gate = Arc::new(Gate::new(http, runtime, Some(sockets), random.fork(), application)?);
        let recovery = layer.recovery.map(|config| {
            let config = config.detection(gate.config.ping_interval.saturating_add(gate.config.ping_timeout));
            let store = layer.recovery_store.get_mut().unwrap_or_else(PoisonError::into_inner).take();
            #[cfg(feature = "cluster")]
            let log = layer.cluster.as_ref().filter(|_| store.is_none()).and_then(|cluster| {
                let parser = gate.sockets.as_ref().map(|sockets| sockets.parser).unwrap_or_default();
                let is_shared = matches!(cluster.dialect, Dialect::Streams(_)) && parser.is_json();
                is_shared.then(|| StreamLog::new(config, parser))
            });
            #[cfg(feature = "cluster")]
            let store =
                store.or_else(|| log.clone().map(|log| Box::new(StreamStore(log)) as Box<dyn RecoveryStore>));
            let store = store.unwrap_or_else(|| Box::new(MemoryStore::new(config, random.fork())));
            let (counters, clock) = (gate.counters.clone(), gate.clock.clone());
            #[cfg(feature = "cluster")]
            return Recovery::new(config, store, counters, clock, log);
            #[cfg(not(feature = "cluster"))]
            Recovery::new(config, store, counters, clock)
        });
        #[cfg(feature = "cluster")]
        let (cluster, of_node) = (layer.cluster.take(), random.fork());
        let server = Arc::new_cyclic(|weak| ServerInner::new(gate, layer, random, recovery, weak.clone()));
        #[cfg(feature = "cluster")]
        if let Some(options) = cluster {
            server.join_cluster(options, of_node);
        }
        // Just made, so nobody has set it.
        let _ = this.set(Arc::downgrade(&server));
        #[cfg(feature = "metrics")]
        server.follow_metrics();
        let server = Server(server);
        // The main namespace exists without being asked for.
        server.root();
        Ok(server.into())
    }
}
