//! The options of a server, and the methods that set them on an adapter's builder.

use crate::base::error::Refusal;
use crate::base::runtime::{LONGEST, Runtime};
use crate::base::typemap::TypeMap;
use crate::http::connections::{ConnectionLimits, Connections};
use crate::http::files::Files;
use crate::http::gate::{ChangeHeaders, Deadlines, Gate, Hooks, MakeApplication};
use crate::http::handshake::Handshake;
use crate::http::refused::RefusedRequest;
use crate::server::dispatch::SocketDispatch;
use crate::server::server::{Parts, Server, ServerInner};
use crate::session::task::Session;
use http::HeaderMap;
use sansocket_protocol::random::Random;
use sansocket_protocol::{engine, hub, socket};
use std::fmt;
use std::future::Future;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock, Weak};
use std::time::Duration;
use thiserror::Error;

/// Why a server could not be built.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum BuildError {
    /// The system gave no random bytes, without which session ids are no secrets.
    #[error("the system's random number generator failed: {0}")]
    Entropy(String),
    /// The directory given to `serve_client` cannot be read, or holds no client.
    #[error("cannot serve the client from {}: {error}", .directory.display())]
    Client {
        /// The directory.
        directory: PathBuf,
        /// What is wrong with it.
        error: std::io::Error,
    },
    /// An option has a value that cannot work.
    #[error("{0}")]
    Option(&'static str),
}

/// The options of a server: an adapter's builder holds them, and has a method for each.
pub struct Options {
    /// Engine.IO's part.
    pub engine: engine::EngineServerConfig,
    /// Socket.IO's part.
    pub sockets: socket::SocketServerConfig,
    limits: hub::HubLimits,
    state: TypeMap,
    hooks: Hooks,
    deadlines: Deadlines,
    client: Option<PathBuf>,
    cleanup_empty: bool,
    max_dynamic: usize,
    max_concurrent: usize,
    connections: ConnectionLimits,
}

impl Options {
    /// The reference's defaults, under that path.
    pub fn new(path: &str) -> Self {
        Self {
            engine: engine::EngineServerConfig::default().path(path),
            sockets: socket::SocketServerConfig::default(),
            limits: hub::HubLimits::default(),
            state: TypeMap::default(),
            hooks: Hooks::default(),
            deadlines: Deadlines {
                first_head: Duration::from_secs(10),
                head: Duration::ZERO,
                body: Duration::from_secs(30),
                tls: Duration::from_secs(10),
                write: Duration::from_secs(30),
            },
            client: None,
            cleanup_empty: false,
            max_dynamic: 100_000,
            max_concurrent: 1000,
            connections: ConnectionLimits::default(),
        }
    }

    /// Sets how many connections a listener serves.
    pub fn connections(&mut self, in_all: Option<usize>, per_address: Option<usize>) {
        self.connections.in_all = in_all.unwrap_or(self.connections.in_all);
        self.connections.per_address = per_address.or(self.connections.per_address);
    }

    /// Sets the limits of rooms.
    pub fn rooms(&mut self, per_socket: Option<usize>, name_bytes: Option<usize>) {
        let limits = std::mem::take(&mut self.limits);
        let limits = match per_socket {
            Some(rooms) => limits.with_rooms_per_socket(rooms),
            None => limits,
        };
        self.limits = match name_bytes {
            Some(bytes) => limits.with_room_name_bytes(bytes),
            None => limits,
        };
    }

    /// Adds a value for `State<T>`.
    pub fn add_state<T: Clone + Send + Sync + 'static>(&mut self, state: T) {
        self.state.insert(Arc::new(state));
    }

    /// Sets what is asked before a session is opened.
    pub fn allow_request<F, Fut>(&mut self, allow: F)
    where
        F: Fn(Handshake) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<(), Refusal>> + Send + 'static,
    {
        self.hooks.allow_request = Some(Box::new(move |handshake| Box::pin(allow(handshake))));
    }

    /// Sets what makes session ids.
    pub fn generate_id(&mut self, make: impl Fn(&Handshake) -> String + Send + Sync + 'static) {
        self.hooks.make_id = Some(Box::new(make));
    }

    /// Sets what tells whose handshake it is.
    pub fn client_address(&mut self, tell: impl Fn(&Handshake) -> Option<IpAddr> + Send + Sync + 'static) {
        self.hooks.client_address = Some(Box::new(tell));
    }

    /// Sets what changes response headers: of the first response of a session, or of all.
    pub fn change_headers(
        &mut self,
        initial: bool,
        change: impl Fn(&http::request::Parts, &mut HeaderMap) + Send + Sync + 'static,
    ) {
        let change: ChangeHeaders = Box::new(change);
        if initial {
            self.hooks.initial_headers = Some(change);
        } else {
            self.hooks.headers = Some(change);
        }
    }

    /// Sets what hears of requests that were refused.
    pub fn on_connection_error(&mut self, hook: impl Fn(&RefusedRequest) + Send + Sync + 'static) {
        self.hooks.refused = Some(Box::new(hook));
    }

    /// Sets the deadlines that are given.
    pub fn deadlines(
        &mut self,
        first_head: Option<Duration>,
        head: Option<Duration>,
        body: Option<Duration>,
        tls: Option<Duration>,
    ) {
        let deadlines = &mut self.deadlines;
        deadlines.first_head = first_head.unwrap_or(deadlines.first_head);
        deadlines.head = head.unwrap_or(deadlines.head);
        deadlines.body = body.unwrap_or(deadlines.body);
        deadlines.tls = tls.unwrap_or(deadlines.tls);
    }

    /// Sets how long a client may take nothing of a response.
    pub fn write_timeout(&mut self, timeout: Duration) {
        self.deadlines.write = timeout;
    }

    /// Sets where the browser's client is served from.
    pub fn serve_client(&mut self, directory: &Path) {
        self.client = Some(directory.to_owned());
    }

    /// Sets whether empty dynamic namespaces go.
    pub fn cleanup_empty_namespaces(&mut self, cleanup: bool) {
        self.cleanup_empty = cleanup;
    }

    /// Sets how many dynamic namespaces there may be.
    pub fn max_dynamic_namespaces(&mut self, namespaces: usize) {
        self.max_dynamic = namespaces;
    }

    /// Sets how many concurrent handlers run at once.
    pub fn max_concurrent(&mut self, handlers: usize) {
        self.max_concurrent = handlers;
    }

    fn check(&mut self) -> Result<(), BuildError> {
        if !self.engine.transports.polling && !self.engine.transports.websocket {
            return Err(BuildError::Option("`transports` names none: enable polling, websocket, or both"));
        }
        if self.engine.max_payload == 0 {
            return Err(BuildError::Option("`max_payload` is 0: no message could be received"));
        }
        if let Some(cookie) = &self.engine.cookie {
            // RFC 6265, 4.1.1: anything else could end the value, and add attributes or headers.
            let is_token = |byte: u8| byte.is_ascii_graphic() && !b"()<>@,;:\\\"/[]?={}".contains(&byte);
            if cookie.name.is_empty() || !cookie.name.bytes().all(is_token) {
                return Err(BuildError::Option(
                    "the cookie's name is no name: letters, digits, - and _ are safe",
                ));
            }
            if !cookie.attributes.bytes().all(|byte| byte == b' ' || byte.is_ascii_graphic()) {
                return Err(BuildError::Option(
                    "the cookie's attributes have characters that no header can hold",
                ));
            }
        }
        if self.engine.ping_timeout.is_zero() {
            return Err(BuildError::Option("`ping_timeout` is 0: every client would be given up at once"));
        }
        if self.deadlines.head.is_zero() {
            // It is hyper's idle limit of a connection too, so it outlasts the pause between two polls.
            let heartbeat = self.engine.ping_interval.saturating_add(self.engine.ping_timeout);
            self.deadlines.head = heartbeat.saturating_add(Duration::from_secs(5));
        }
        // hyper adds it to the time, as `WriteDeadline` does.
        self.deadlines.head = self.deadlines.head.min(LONGEST);
        self.deadlines.write = self.deadlines.write.min(LONGEST);
        Ok(())
    }

    pub(crate) fn into_host(
        mut self,
        runtime: Arc<dyn Runtime>,
        sockets: bool,
        random: Random,
        application: MakeApplication,
    ) -> Result<(Gate, Rest), BuildError> {
        self.check()?;
        let files = match &self.client {
            Some(directory) => Files::read(directory)
                .map_err(|error| BuildError::Client { directory: directory.clone(), error })?,
            None => Files::default(),
        };
        let sockets = sockets.then(|| Arc::new(self.sockets));
        let engine = Arc::new(self.engine);
        let deadlines = self.deadlines;
        let mut host = Gate::new(runtime, random, engine, sockets, self.hooks, files, deadlines, application);
        host.connections = Arc::new(Connections::new(self.connections));
        let rest = Rest {
            state: self.state,
            limits: self.limits,
            cleanup_empty: self.cleanup_empty,
            max_dynamic: self.max_dynamic,
            max_concurrent: self.max_concurrent,
        };
        Ok((host, rest))
    }

    /// Builds a Socket.IO server on a runtime.
    ///
    /// # Errors
    /// [`BuildError`].
    pub fn build(self, runtime: Arc<dyn Runtime>) -> Result<Server, BuildError> {
        let mut random = random()?;
        let this: Arc<OnceLock<Weak<ServerInner>>> = Arc::default();
        let server = this.clone();
        let application: MakeApplication = Box::new(move |handshake| {
            let server = server.get()?.upgrade()?;
            Some(Session::make_task(SocketDispatch::new(server, handshake.clone())))
        });
        let (host, rest) = self.into_host(runtime, true, random.fork(), application)?;
        let host = Arc::new(host);
        let server = Arc::new_cyclic(|weak| {
            let Rest { state, limits, cleanup_empty, max_dynamic, max_concurrent } = rest;
            let parts = Parts { host, state, random, limits, cleanup_empty, max_dynamic, max_concurrent };
            ServerInner::new(parts, weak.clone())
        });
        // Just made, so nobody has set it.
        let _ = this.set(Arc::downgrade(&server));
        let server = Server(server);
        // The main namespace exists without being asked for.
        server.root();
        Ok(server)
    }
}

/// What of the options is no matter of HTTP.
pub(crate) struct Rest {
    state: TypeMap,
    limits: hub::HubLimits,
    cleanup_empty: bool,
    max_dynamic: usize,
    max_concurrent: usize,
}

impl fmt::Debug for Options {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Options").field("engine", &self.engine).field("sockets", &self.sockets).finish()
    }
}

/// A generator keyed by the system's entropy.
pub(crate) fn random() -> Result<Random, BuildError> {
    let mut seed = [0; 32];
    getrandom::fill(&mut seed).map_err(|error| BuildError::Entropy(error.to_string()))?;
    Ok(Random::new(seed))
}

/// The methods of an adapter's builders that concern Engine.IO; it keeps its [`Options`] in `self.options`.
#[doc(hidden)]
#[macro_export]
macro_rules! engine_builder_methods {
    () => {
        /// The path that requests begin with. A slash is put before and behind it where there is none.
        pub fn path(mut self, path: &str) -> Self {
            self.options.engine = self.options.engine.path(path);
            self
        }

        /// The path without a slash behind it: the reference's `addTrailingSlash: false`.
        pub fn exact_path(mut self, path: &str) -> Self {
            self.options.engine = self.options.engine.exact_path(path);
            self
        }

        /// How long after the answer to a heartbeat the next one is sent. Default 25 s.
        pub fn ping_interval(mut self, interval: ::std::time::Duration) -> Self {
            self.options.engine.ping_interval = interval;
            self
        }

        /// How long the answer to a heartbeat may take. Default 20 s.
        pub fn ping_timeout(mut self, timeout: ::std::time::Duration) -> Self {
            self.options.engine.ping_timeout = timeout;
            self
        }

        /// How long an upgrade to WebSocket may take. Default 10 s.
        pub fn upgrade_timeout(mut self, timeout: ::std::time::Duration) -> Self {
            self.options.engine.upgrade_timeout = timeout;
            self
        }

        /// The largest POST body and the largest WebSocket message, in bytes: the reference's
        /// `maxHttpBufferSize`. Default 1,000,000.
        pub fn max_payload(mut self, bytes: usize) -> Self {
            self.options.engine.max_payload = bytes;
            self
        }

        /// The transports served. Default both.
        pub fn transports(mut self, transports: $crate::Transports) -> Self {
            self.options.engine.transports = transports;
            self
        }

        /// Whether a polling session may move to WebSocket. Default yes.
        pub fn allow_upgrades(mut self, allow: bool) -> Self {
            self.options.engine.allow_upgrades = allow;
            self
        }

        /// The cookie that the polling handshake sets to the session id, for load balancers. Default none.
        pub fn cookie(mut self, cookie: $crate::Cookie) -> Self {
            self.options.engine.cookie = Some(cookie);
            self
        }

        /// Cross-origin resource sharing: the pages of which other origins a browser lets talk to this server.
        /// Default none.
        pub fn cors(mut self, cors: $crate::Cors) -> Self {
            self.options.engine.cors = Some(cors);
            self
        }

        /// Refuses requests with any other `Origin`, WebSockets included. CORS does not protect WebSockets, so
        /// set this where cookies say who somebody is. Default all are accepted.
        pub fn allowed_origins<S: ::std::convert::Into<::std::string::String>>(
            mut self,
            origins: impl ::std::iter::IntoIterator<Item = S>,
        ) -> Self {
            let origins = origins.into_iter().map(::std::convert::Into::into).collect();
            self.options.engine.allowed_origins = $crate::Origins::List(origins);
            self
        }

        /// The text of an Engine.IO message that follows each handshake at once. Default none.
        pub fn initial_packet(mut self, text: impl ::std::convert::Into<::std::string::String>) -> Self {
            self.options.engine.initial_packet = Some(text.into());
            self
        }

        /// How many bytes may wait for one client that does not read. Default 4 MiB, never less than
        /// `max_payload`. A single larger message passes if nothing else waits.
        pub fn send_budget(mut self, bytes: usize) -> Self {
            self.options.engine.send_budget = bytes;
            self
        }

        /// What happens to what exceeds the send budget. Default: the slow client is closed.
        pub fn overflow(mut self, overflow: $crate::Overflow) -> Self {
            self.options.engine.overflow = overflow;
            self
        }

        /// How many received bytes may wait for a client's handlers before reading from it pauses. Default 1 MiB.
        pub fn receive_budget(mut self, bytes: usize) -> Self {
            self.options.engine.receive_budget = bytes;
            self
        }

        /// How long reading from a client may pause without any of its handlers finishing, or a byte written to
        /// it, before it is closed. Default 60 s.
        pub fn pause_timeout(mut self, timeout: ::std::time::Duration) -> Self {
            self.options.engine.pause_timeout = timeout;
            self
        }

        /// How long a session that this side closes waits for its client to fetch the rest. Default 30 s.
        pub fn close_timeout(mut self, timeout: ::std::time::Duration) -> Self {
            self.options.engine.close_timeout = timeout;
            self
        }

        /// How many sessions there may be at once; more get 503. Default 1,000,000.
        pub fn max_sessions(mut self, sessions: usize) -> Self {
            self.options.engine.max_sessions = sessions;
            self
        }

        /// How many sessions one address may hold at once; more get 429. An IPv6 address counts as its /64 network.
        /// Default no limit: behind a proxy all clients have one address (see [`client_address`](Self::client_address)),
        /// and behind the routers of companies, schools and mobile networks thousands share one.
        pub fn max_sessions_per_address(mut self, sessions: usize) -> Self {
            self.options.engine.max_sessions_per_address = Some(sessions);
            self
        }

        /// How many TCP connections the listener serves at once, but for WebSockets, which `max_sessions` bounds: those
        /// that have sent nothing yet, and those that carry requests, of which a polling client has up to two. More get
        /// 503, or with TLS are closed. Default 1,000,000. Stand-alone only; of several servers the first one's counts.
        pub fn max_connections(mut self, connections: usize) -> Self {
            self.options.connections(Some(connections), None);
            self
        }

        /// How many of those one address may have; more get 429, or with TLS are closed. An IPv6 address counts as its /64
        /// network, and it is the other end of the TCP connection, whatever [`client_address`](Self::client_address) says.
        /// Default no limit, for the reasons of [`max_sessions_per_address`](Self::max_sessions_per_address).
        pub fn max_connections_per_address(mut self, connections: usize) -> Self {
            self.options.connections(None, Some(connections));
            self
        }

        /// How often sessions may be opened, in all; what comes faster gets 503 and `retry-after`, before
        /// `allow_request` is asked. Default no limit: after a restart all clients come back at once, and what the
        /// application can take is known to it alone.
        pub fn handshake_rate(mut self, rate: $crate::Rate) -> Self {
            self.options.engine.handshake_rate = Some(rate);
            self
        }

        /// How often one address may open sessions; what comes faster gets 429 and `retry-after`. Default no limit, for
        /// the reasons of [`max_sessions_per_address`](Self::max_sessions_per_address).
        pub fn handshake_rate_per_address(mut self, rate: $crate::Rate) -> Self {
            self.options.engine.handshake_rate_per_address = Some(rate);
            self
        }

        /// Tells at which address a client is, for the limits that count by address. Default the other end of the TCP
        /// connection; also where this returns `None`.
        ///
        /// Behind a proxy of your own, take what that proxy says. Anybody can send such a header, so trust it only if
        /// every connection comes through the proxy, and only the entry that the proxy itself has added: of
        /// `x-forwarded-for` the last one.
        ///
        /// ```
        /// # use sansocket_runtime::Handshake;
        /// # use std::net::IpAddr;
        /// fn behind_one_proxy(handshake: &Handshake) -> Option<IpAddr> {
        ///     let list = handshake.headers().get_all("x-forwarded-for").iter().next_back()?.to_str().ok()?;
        ///     list.rsplit(',').next()?.trim().parse().ok()
        /// }
        /// ```
        pub fn client_address(
            mut self,
            tell: impl Fn(&$crate::Handshake) -> ::std::option::Option<::std::net::IpAddr>
            + Send
            + Sync
            + 'static,
        ) -> Self {
            self.options.client_address(tell);
            self
        }

        /// Asked before a session is opened: an error refuses the client with 403 and the error's message (a
        /// WebSocket handshake with 400). Nothing is kept for a client until this has answered.
        pub fn allow_request<F, Fut>(mut self, allow: F) -> Self
        where
            F: Fn($crate::Handshake) -> Fut + Send + Sync + 'static,
            Fut: ::std::future::Future<Output = Result<(), $crate::Refusal>> + Send + 'static,
        {
            self.options.allow_request(allow);
            self
        }

        /// Makes the session ids. They are bearer secrets, so they must not be guessable; one that is in use
        /// refuses the client. Default 20 characters with 120 random bits.
        pub fn generate_id(
            mut self,
            make: impl Fn(&$crate::Handshake) -> ::std::string::String + Send + Sync + 'static,
        ) -> Self {
            self.options.generate_id(make);
            self
        }

        /// Changes the headers of the first response of each session.
        pub fn initial_headers(
            mut self,
            change: impl Fn(&$crate::http_types::request::Parts, &mut $crate::http_types::HeaderMap)
            + Send
            + Sync
            + 'static,
        ) -> Self {
            self.options.change_headers(true, change);
            self
        }

        /// Changes the headers of all responses.
        pub fn headers(
            mut self,
            change: impl Fn(&$crate::http_types::request::Parts, &mut $crate::http_types::HeaderMap)
            + Send
            + Sync
            + 'static,
        ) -> Self {
            self.options.change_headers(false, change);
            self
        }

        /// Is told of each request that is refused with one of Engine.IO's codes: an unknown transport or session, a
        /// handshake that the limits or `allow_request` refuse, and so on. It is the reference's `connection_error`.
        /// It runs before the answer is sent, so it must not block.
        ///
        /// ```
        /// # fn log(refused: &sansocket_runtime::RefusedRequest) {
        /// let (code, peer) = (refused.code() as u8, refused.peer_addr());
        /// eprintln!("{peer:?} was refused: {code} {}", refused.message());
        /// # }
        /// ```
        pub fn on_connection_error(
            mut self,
            hook: impl Fn(&$crate::RefusedRequest) + Send + Sync + 'static,
        ) -> Self {
            self.options.on_connection_error(hook);
            self
        }

        /// How long a new connection may take to send its first request head. Default 10 s. Stand-alone only.
        pub fn first_head_timeout(mut self, timeout: ::std::time::Duration) -> Self {
            self.options.deadlines(Some(timeout), None, None, None);
            self
        }

        /// How long a connection may take to send a later request head, the time between two requests included.
        /// Default `ping_interval + ping_timeout + 5 s`; much less would cut idle pollers. Stand-alone only.
        pub fn head_timeout(mut self, timeout: ::std::time::Duration) -> Self {
            self.options.deadlines(None, Some(timeout), None, None);
            self
        }

        /// How long the body of a POST may take. Default 30 s.
        pub fn body_timeout(mut self, timeout: ::std::time::Duration) -> Self {
            self.options.deadlines(None, None, Some(timeout), None);
            self
        }

        /// How long a client may take nothing of a response that waits to be written; then its connection is cut.
        /// Default 30 s. It does not concern WebSockets, which have `close_timeout`, `send_budget` and the
        /// heartbeat. Stand-alone only.
        pub fn write_timeout(mut self, timeout: ::std::time::Duration) -> Self {
            self.options.write_timeout(timeout);
            self
        }

        /// How long a TLS handshake may take. Default 10 s. Stand-alone only.
        pub fn tls_timeout(mut self, timeout: ::std::time::Duration) -> Self {
            self.options.deadlines(None, None, None, Some(timeout));
            self
        }
    };
}

/// The methods of an adapter's builder of plain Engine.IO servers that concern messages.
#[doc(hidden)]
#[macro_export]
macro_rules! message_builder_methods {
    () => {
        /// How many messages one client may send. What comes faster waits, or ends the session: see
        /// [`message_excess`](Self::message_excess). Default no limit: `receive_budget` bounds what waits, and what a
        /// message costs is known to the application alone. Heartbeats are not counted.
        pub fn message_rate(mut self, rate: $crate::Rate) -> Self {
            self.options.engine.message_rate = Some(rate);
            self
        }

        /// What happens to messages beyond `message_rate`. Default: they wait for their turn, and reading from the client
        /// pauses once `receive_budget` is used up.
        pub fn message_excess(mut self, excess: $crate::EventExcess) -> Self {
            self.options.engine.message_excess = excess;
            self
        }
    };
}

/// The methods of an adapter's builder that concern Socket.IO.
#[doc(hidden)]
#[macro_export]
macro_rules! server_builder_methods {
    () => {
        $crate::engine_builder_methods!();

        /// How long a connection may take to join its first namespace. Default 45 s.
        pub fn connect_timeout(mut self, timeout: ::std::time::Duration) -> Self {
            self.options.sockets.connect_timeout = timeout;
            self
        }

        /// The parser of packets, and what they may hold. It replaces what
        /// [`max_attachments`](Self::max_attachments) has set. Default JSON.
        pub fn parser(mut self, parser: $crate::Parser) -> Self {
            self.options.sockets.parser = parser;
            self
        }

        /// How many attachments a received packet may have. Default 10.
        pub fn max_attachments(mut self, attachments: usize) -> Self {
            self.options.sockets.parser.max_attachments = attachments;
            self
        }

        /// How many namespaces one connection may be in. Default 100.
        pub fn max_namespaces(mut self, namespaces: usize) -> Self {
            self.options.sockets.max_namespaces = namespaces;
            self
        }

        /// How long the name of a namespace may be that a client asks for, in bytes. Default 512.
        pub fn max_namespace_name(mut self, bytes: usize) -> Self {
            self.options.sockets.max_namespace_name = bytes;
            self
        }

        /// How many events one client may emit in one namespace. What comes faster waits, or ends the connection: see
        /// [`event_excess`](Self::event_excess). Default no limit: `receive_budget` bounds what waits, and what an event
        /// costs is known to the application alone. Acknowledgements and heartbeats are not counted.
        pub fn event_rate(mut self, rate: $crate::Rate) -> Self {
            self.options.sockets.event_rate = Some(rate);
            self
        }

        /// What happens to events beyond `event_rate`. Default: they wait for their turn, and reading from the client
        /// pauses once `receive_budget` is used up.
        pub fn event_excess(mut self, excess: $crate::EventExcess) -> Self {
            self.options.sockets.event_excess = excess;
            self
        }

        /// How many acknowledgements may be awaited from one client. Default 10,000.
        pub fn max_pending_acks(mut self, acks: usize) -> Self {
            self.options.sockets.max_pending_acks = acks;
            self
        }

        /// How many rooms one socket may be in. Default 1000.
        pub fn max_rooms(mut self, rooms: usize) -> Self {
            self.options.rooms(Some(rooms), None);
            self
        }

        /// How long the name of a room may be, in bytes. Default 512.
        pub fn max_room_name(mut self, bytes: usize) -> Self {
            self.options.rooms(None, Some(bytes));
            self
        }

        /// How many handlers registered with `on_concurrent` may run at once on this server. Default 1000.
        pub fn max_concurrent(mut self, handlers: usize) -> Self {
            self.options.max_concurrent(handlers);
            self
        }

        /// Whether a dynamic namespace goes when its last client leaves. Default no.
        pub fn cleanup_empty_namespaces(mut self, cleanup: bool) -> Self {
            self.options.cleanup_empty_namespaces(cleanup);
            self
        }

        /// How many dynamic namespaces there may be at once. Clients name them, so beyond this those that are empty go,
        /// and if none is, the client that asks for one more is refused. Default 100,000.
        pub fn max_dynamic_namespaces(mut self, namespaces: usize) -> Self {
            self.options.max_dynamic_namespaces(namespaces);
            self
        }

        /// A value that handlers get by `State<T>`, cloned: one of each type. An `Arc` makes that cheap.
        pub fn state<T: Clone + Send + Sync + 'static>(mut self, state: T) -> Self {
            self.options.add_state(state);
            self
        }

        /// Serves the browser's client from a directory such as `node_modules/socket.io-client/dist`, at
        /// `/socket.io/socket.io.js` and so on, with ETags. The files are read once, by `build`.
        pub fn serve_client(mut self, directory: impl ::std::convert::AsRef<::std::path::Path>) -> Self {
            self.options.serve_client(directory.as_ref());
            self
        }
    };
}
