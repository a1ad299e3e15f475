//! The builder of servers, and its options that concern Engine.IO and HTTP, which both kinds of servers have.

use crate::base::error::Refusal;
use crate::base::runtime::Runtime;
use crate::http::handshake::Handshake;
use crate::http::options::HttpOptions;
use crate::http::refused::RefusedRequest;
use crate::websocket::PerMessageDeflate;
use http::HeaderMap;
use sansocket_protocol::engine::{Cookie, Origins, Overflow, Transports};
use sansocket_protocol::rate::Rate;
use std::fmt;
use std::future::Future;
use std::marker::PhantomData;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

/// A builder of servers. The defaults are those of the JavaScript server.
///
/// `S` is the server that [`build`](Self::build) makes: an adapter's own type. `L` holds the options of the layer
/// above Engine.IO: [`ServerOptions`](crate::adapter::ServerOptions) for a Socket.IO server,
/// [`EngineOptions`](crate::adapter::EngineOptions) for a server of plain Engine.IO. Applications know it by the
/// names that their adapter gives it, `ServerBuilder` and `EngineServerBuilder`.
///
/// ```
/// # use sansocket_runtime::{BuildError, adapter};
/// # use std::time::Duration;
/// # type Server = sansocket_runtime::Server;
/// # type ServerBuilder = sansocket_runtime::ServerBuilder<Server, adapter::ServerOptions>;
/// # fn run(builder: ServerBuilder) -> Result<Server, BuildError> {
/// let io = builder // Server::builder()
///     .max_payload(100_000)
///     .ping_interval(Duration::from_secs(10))
///     .on_connection_error(|refused| eprintln!("refused: {}", refused.message()))
///     .build()?;
/// # Ok(io) }
/// ```
#[must_use]
pub struct ServerBuilder<S, L> {
    pub(crate) http: HttpOptions,
    pub(crate) layer: L,
    pub(crate) runtime: Arc<dyn Runtime>,
    server: PhantomData<fn() -> S>,
}

impl<S, L> ServerBuilder<S, L> {
    pub(crate) fn under(path: &str, layer: L, runtime: Arc<dyn Runtime>) -> Self {
        Self { http: HttpOptions::new(path), layer, runtime, server: PhantomData }
    }

    /// Runs the server on another runtime than the adapter's default: its tasks and its timers. Its listener is the
    /// adapter's all the same.
    pub fn runtime(mut self, runtime: impl Runtime) -> Self {
        self.runtime = Arc::new(runtime);
        self
    }

    /// Sets the path that requests begin with. A slash is put before and behind it where one is missing.
    pub fn path(mut self, path: &str) -> Self {
        self.http.engine = self.http.engine.path(path);
        self
    }

    /// Sets the path without a slash behind it: the reference's `addTrailingSlash: false`.
    pub fn exact_path(mut self, path: &str) -> Self {
        self.http.engine = self.http.engine.exact_path(path);
        self
    }

    /// Sets how long after the answer to a heartbeat the next one is sent. Default 25 s.
    pub fn ping_interval(mut self, interval: Duration) -> Self {
        self.http.engine.ping_interval = interval;
        self
    }

    /// Sets how long the answer to a heartbeat may take. Default 20 s.
    pub fn ping_timeout(mut self, timeout: Duration) -> Self {
        self.http.engine.ping_timeout = timeout;
        self
    }

    /// Sets how long an upgrade to WebSocket may take. Default 10 s.
    pub fn upgrade_timeout(mut self, timeout: Duration) -> Self {
        self.http.engine.upgrade_timeout = timeout;
        self
    }

    /// Sets the largest POST body and the largest WebSocket message, in bytes: the reference's
    /// `maxHttpBufferSize`. Default 1,000,000.
    pub fn max_payload(mut self, bytes: usize) -> Self {
        self.http.engine.max_payload = bytes;
        self
    }

    /// Sets the transports served. Default both.
    pub fn transports(mut self, transports: Transports) -> Self {
        self.http.engine.transports = transports;
        self
    }

    /// Sets whether a polling session may move to WebSocket. Default yes.
    pub fn allow_upgrades(mut self, allow: bool) -> Self {
        self.http.engine.allow_upgrades = allow;
        self
    }

    /// Sets whether clients of Engine.IO 3 are served: those of Socket.IO 1.x and 2.x. Default no.
    ///
    /// They and later clients share namespaces, rooms and broadcasts. They are in the namespace `/` without asking, have
    /// the query behind a namespace's name for `auth`, and **their socket's id is the session's id**: who knows it can read
    /// and write that session, so do not show it to other clients.
    pub fn allow_eio3(mut self, allow: bool) -> Self {
        self.http.engine.allow_eio3 = allow;
        self
    }

    /// Sets that WebSocket messages are compressed, with clients that offer it: permessage-deflate (RFC 7692). Default:
    /// no compression, as in the reference.
    ///
    /// It trades processor time, and with context takeover memory, for bytes. Where messages hold a secret beside
    /// something that a stranger chooses, their compressed size can give the secret away: emit such with
    /// [`Socket::compress`](crate::Socket::compress)`(false)`.
    pub fn per_message_deflate(mut self, settings: PerMessageDeflate) -> Self {
        self.http.deflate = Some(settings);
        self
    }

    /// Sets that answers to polls of that many bytes and more are compressed, for clients whose `Accept-Encoding` has
    /// `gzip` or `deflate`: the reference's `httpCompression`, where it is on from 1024 bytes. Default: they are not,
    /// because it happens on the threads that serve everybody else, and because a proxy in front mostly does it
    /// already.
    pub fn http_compression(mut self, threshold: usize) -> Self {
        self.http.http_compression = Some(threshold);
        self
    }

    /// Sets the cookie that the polling handshake sets to the session id, for load balancers. Default: no cookie.
    pub fn cookie(mut self, cookie: Cookie) -> Self {
        self.http.engine.cookie = Some(cookie);
        self
    }

    /// Sets the hook that changes that cookie for one request, or leaves it out. It gets the cookie of
    /// [`cookie`](Self::cookie); a change of the name has no effect. Default: the cookie as it is.
    ///
    /// ```
    /// # use sansocket_runtime::{Cookie, Handshake};
    /// // For `cookie_for`: over TLS for pages of other sites, too; in development without.
    /// fn as_secure_as_the_request(handshake: &Handshake, cookie: Cookie) -> Option<Cookie> {
    ///     Some(cookie.secure(handshake.is_secure()))
    /// }
    /// ```
    pub fn cookie_for(
        mut self,
        choose: impl Fn(&Handshake, Cookie) -> Option<Cookie> + Send + Sync + 'static,
    ) -> Self {
        self.http.hooks.cookie = Some(Box::new(choose));
        self
    }

    /// Sets the origins whose pages may talk to this server, by polls and by WebSockets: one setting for the refusal of
    /// all others, and for the headers of cross-origin resource sharing (CORS). A refused origin is named by a log
    /// message at info level.
    ///
    /// Default: as in the reference, requests of all origins are served, and browsers let pages of other origins open
    /// WebSockets, but not read the answers to polls. It is the default because the right setting depends on what is in
    /// front of the server: a proxy that changes `Host` without a word makes its own pages look foreign. Where a cookie
    /// is what identifies a user, set [`Origins::same_host`] at least.
    ///
    /// ```
    /// # use sansocket_runtime::{BuildError, Origins, adapter};
    /// # type Server = sansocket_runtime::Server;
    /// # type ServerBuilder = sansocket_runtime::ServerBuilder<Server, adapter::ServerOptions>;
    /// # fn run(builder: ServerBuilder) -> Result<Server, BuildError> {
    /// let io = builder // Server::builder()
    ///     .origins(Origins::list(["https://example.com", "https://*.preview.example.com"]).credentials(true))
    ///     .build()?;
    /// # Ok(io) }
    /// ```
    pub fn origins(mut self, origins: Origins) -> Self {
        self.http.engine.origins = Some(origins);
        self
    }

    /// Sets the text of an Engine.IO message that follows each handshake at once. Default: no message.
    pub fn initial_packet(mut self, text: impl Into<String>) -> Self {
        self.http.engine.initial_packet = Some(text.into());
        self
    }

    /// Sets how many bytes may wait for one client that does not read. Default 4 MiB, never less than
    /// `max_payload`. A single larger message passes if nothing else waits.
    pub fn send_budget(mut self, bytes: usize) -> Self {
        self.http.engine.send_budget = bytes;
        self
    }

    /// Sets what happens to a message that exceeds the send budget. Default: the slow client is closed.
    pub fn overflow(mut self, overflow: Overflow) -> Self {
        self.http.engine.overflow = overflow;
        self
    }

    /// Sets how many received bytes may wait for a client's handlers before reading from it pauses. Default 1 MiB.
    pub fn receive_budget(mut self, bytes: usize) -> Self {
        self.http.engine.receive_budget = bytes;
        self
    }

    /// Sets how long reading from a client may pause without any of its handlers finishing, or a byte written to
    /// it, before it is closed. Default 60 s.
    pub fn pause_timeout(mut self, timeout: Duration) -> Self {
        self.http.engine.pause_timeout = timeout;
        self
    }

    /// Sets how long a session that this side closes waits for its client to fetch the rest. Default 30 s.
    pub fn close_timeout(mut self, timeout: Duration) -> Self {
        self.http.engine.close_timeout = timeout;
        self
    }

    /// Sets how many sessions there may be at once; more get 503. Default 1,000,000.
    pub fn max_sessions(mut self, sessions: usize) -> Self {
        self.http.engine.max_sessions = sessions;
        self
    }

    /// Sets how many sessions one address may hold at once; more get 429. An IPv6 address counts as its /64 network.
    /// Default: no limit: behind a proxy all clients have one address (see [`client_address`](Self::client_address)),
    /// and behind the routers of companies, schools and mobile networks thousands share one.
    pub fn max_sessions_per_address(mut self, sessions: usize) -> Self {
        self.http.engine.max_sessions_per_address = Some(sessions);
        self
    }

    /// Sets how many TCP connections the listener serves at once, but for WebSockets, which `max_sessions` bounds:
    /// those that have sent nothing yet, and those that carry requests, of which a polling client has up to two. More
    /// get 503, or with TLS are closed. Default 1,000,000. Stand-alone only; of several servers the first one's
    /// counts.
    pub fn max_connections(mut self, connections: usize) -> Self {
        self.http.connections.in_all = connections;
        self
    }

    /// Sets how many of these connections one address may have; more get 429, or with TLS are closed. An IPv6 address
    /// counts as its /64 network, and it is the other end of the TCP connection, whatever
    /// [`client_address`](Self::client_address) says. Default: no limit, for the reasons of
    /// [`max_sessions_per_address`](Self::max_sessions_per_address).
    pub fn max_connections_per_address(mut self, connections: usize) -> Self {
        self.http.connections.per_address = Some(connections);
        self
    }

    /// Sets how often sessions may be opened, in all; what comes faster gets 503 and `retry-after`, before
    /// `allow_request` is asked. Default: no limit: after a restart all clients come back at once, and what the
    /// application can take, only you know.
    pub fn handshake_rate(mut self, rate: Rate) -> Self {
        self.http.engine.handshake_rate = Some(rate);
        self
    }

    /// Sets how often one address may open sessions; what comes faster gets 429 and `retry-after`. Default: no limit,
    /// for the reasons of [`max_sessions_per_address`](Self::max_sessions_per_address).
    pub fn handshake_rate_per_address(mut self, rate: Rate) -> Self {
        self.http.engine.handshake_rate_per_address = Some(rate);
        self
    }

    /// Sets the hook that tells a client's address, for the limits that count by address. Default: the other end of the
    /// TCP connection, also where the hook returns `None`.
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
        tell: impl Fn(&Handshake) -> Option<IpAddr> + Send + Sync + 'static,
    ) -> Self {
        self.http.hooks.client_address = Some(Box::new(tell));
        self
    }

    /// Sets the hook that is asked before a session is opened: an error refuses the client with 403 and the error's
    /// message (a WebSocket handshake with 400). Nothing is kept for a client until the hook has answered.
    pub fn allow_request<F, Fut>(mut self, allow: F) -> Self
    where
        F: Fn(Handshake) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<(), Refusal>> + Send + 'static,
    {
        self.http.hooks.allow_request = Some(Box::new(move |handshake| Box::pin(allow(handshake))));
        self
    }

    /// Records [`METRICS`](crate::metrics::METRICS) for the recorder of the crate `metrics` that is installed when the
    /// server is built. Default: no metrics.
    #[cfg(feature = "metrics")]
    pub fn metrics(mut self, options: crate::metrics::MetricsOptions) -> Self {
        self.http.metrics = Some(options);
        self
    }

    /// Records sessions: what their machines are given goes to files, which the command-line tool replays. Default: no
    /// recordings.
    #[cfg(feature = "record")]
    pub fn record(mut self, recordings: crate::Recordings) -> Self {
        self.http.recordings = Some(recordings);
        self
    }

    /// Sets whether the latest request of each session is kept, for [`Socket::latest_request`](crate::Socket::latest_request)
    /// and [`EngineSocket::latest_request`](crate::EngineSocket::latest_request): its headers may be newer than those of the
    /// handshake, a cookie for one. It costs a copy of the head for each poll and POST, and at most `max_head` bytes for each
    /// session. Default no.
    pub fn keep_latest_request(mut self, keep: bool) -> Self {
        self.http.keep_latest_request = keep;
        self
    }

    /// Sets the hook that makes the session ids. They are bearer secrets, so they must not be guessable; one that is
    /// in use refuses the client. Default: 20 characters with 120 random bits.
    pub fn generate_id(mut self, make: impl Fn(&Handshake) -> String + Send + Sync + 'static) -> Self {
        self.http.hooks.make_id = Some(Box::new(make));
        self
    }

    /// Sets the hook that chooses among the WebSocket subprotocols that a client offers, which are one at least. With `None`
    /// the answer names none, and browsers then close the WebSocket. Default: the first one, as in the reference.
    ///
    /// ```
    /// # use sansocket_runtime::Handshake;
    /// fn newest<'a>(_: &Handshake, offered: &[&'a str]) -> Option<&'a str> {
    ///     offered.iter().copied().filter(|name| name.starts_with("chat.v")).max()
    /// }
    /// ```
    pub fn subprotocol(
        mut self,
        choose: impl for<'a> Fn(&Handshake, &[&'a str]) -> Option<&'a str> + Send + Sync + 'static,
    ) -> Self {
        self.http.hooks.subprotocol = Some(Box::new(choose));
        self
    }

    /// Sets the hook that changes the headers of the first response of each session.
    pub fn initial_headers(
        mut self,
        change: impl Fn(&http::request::Parts, &mut HeaderMap) + Send + Sync + 'static,
    ) -> Self {
        self.http.hooks.initial_headers = Some(Box::new(change));
        self
    }

    /// Sets the hook that changes the headers of all responses.
    pub fn headers(
        mut self,
        change: impl Fn(&http::request::Parts, &mut HeaderMap) + Send + Sync + 'static,
    ) -> Self {
        self.http.hooks.headers = Some(Box::new(change));
        self
    }

    /// Sets the hook that is told of each request that is refused with one of Engine.IO's codes: an unknown transport
    /// or session, a handshake that the limits or `allow_request` refuse, and so on. It is the reference's
    /// `connection_error`. It runs before the answer is sent, so it must not block.
    ///
    /// ```
    /// # fn log(refused: &sansocket_runtime::RefusedRequest) {
    /// let (code, peer) = (refused.code() as u8, refused.peer_addr());
    /// eprintln!("{peer:?} was refused: {code} {}", refused.message());
    /// # }
    /// ```
    pub fn on_connection_error(mut self, hook: impl Fn(&RefusedRequest) + Send + Sync + 'static) -> Self {
        self.http.hooks.refused = Some(Box::new(hook));
        self
    }

    /// Sets how long a new connection may take to send its first request head. Default 10 s. Stand-alone only.
    pub fn first_head_timeout(mut self, timeout: Duration) -> Self {
        self.http.deadlines.first_head = timeout;
        self
    }

    /// Sets how large the head of a request may be, in bytes, and at least 8 KiB; a larger one gets 431. A session keeps the
    /// head that opened it. Default 16 KiB, as in Node. Stand-alone only.
    pub fn max_head(mut self, bytes: usize) -> Self {
        self.http.max_head = bytes;
        self
    }

    /// Sets how long a connection may take to send a later request head, from its first byte on. Default 10 s.
    /// Stand-alone only.
    pub fn head_timeout(mut self, timeout: Duration) -> Self {
        self.http.deadlines.head = timeout;
        self
    }

    /// Sets how long a connection may be idle between two requests. Default 75 s: more than the 60 s of common load
    /// balancers, which must be the ones that close first. Stand-alone only.
    pub fn keep_alive_timeout(mut self, timeout: Duration) -> Self {
        self.http.deadlines.keep_alive = timeout;
        self
    }

    /// Sets how long the body of a POST may take. Default 30 s.
    pub fn body_timeout(mut self, timeout: Duration) -> Self {
        self.http.deadlines.body = timeout;
        self
    }

    /// Sets how long a client may take nothing of a response that waits to be written; then its connection is cut.
    /// Default 30 s. It does not concern WebSockets, which have `close_timeout`, `send_budget` and the
    /// heartbeat. Stand-alone only.
    pub fn write_timeout(mut self, timeout: Duration) -> Self {
        self.http.deadlines.write = timeout;
        self
    }

    /// Sets how long a TLS handshake may take. Default 10 s. Stand-alone only.
    pub fn tls_timeout(mut self, timeout: Duration) -> Self {
        self.http.deadlines.tls = timeout;
        self
    }
}

impl<S, L> fmt::Debug for ServerBuilder<S, L> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ServerBuilder").field("engine", &self.http.engine).finish_non_exhaustive()
    }
}
