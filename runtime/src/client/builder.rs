//! The builder of clients, and its options that concern Engine.IO and HTTP, which both kinds of clients have.

use crate::base::clock::Clock;
use crate::base::entropy;
use crate::base::error::BoxError;
use crate::base::runtime::Runtime;
use crate::base::typemap::TypeMap;
use crate::client::engine::Session;
use crate::client::error::{ClientBuildError, ConnectError};
use crate::client::net::dial::Dial;
use crate::client::net::http::own_header;
use crate::client::net::proxy;
use crate::client::net::proxy::Proxies;
use crate::client::net::server;
use crate::client::net::tls::ClientTls;
use crate::client::socket::ClientSocket;
use crate::client::state::ConnectionEvent;
use crate::client::task::handle::ClientHandle;
use crate::client::task::shared::{Alive, Attempt, BeforeDial, Settings, Shared, StateHook};
use crate::handler::error_hook::ErrorHook;
use crate::websocket::deflate::shared::SharedDeflate;
use crate::websocket::{PerMessageDeflate, offered_subprotocols};
use http::header::SEC_WEBSOCKET_PROTOCOL;
use http::{HeaderMap, HeaderName, HeaderValue};
use sansocket_protocol::client::{Manager, ReconnectConfig};
use sansocket_protocol::engine::{EngineClientConfig, TransportKind};
use sansocket_protocol::socket::SocketClientConfig;
use std::fmt;
use std::future::Future;
use std::marker::PhantomData;
use std::sync::Arc;
use std::time::Duration;

/// A builder of clients. The defaults are those of the JavaScript client.
///
/// `C` is the client that [`build`](Self::build) makes: an adapter's own type. `L` holds the options of the layer
/// above Engine.IO: [`ClientOptions`](crate::adapter::ClientOptions) for a Socket.IO client,
/// [`EngineHandlers`](crate::adapter::EngineHandlers) for a client of plain Engine.IO. Applications know it by the
/// names that their adapter gives it, `ClientBuilder` and `EngineClientBuilder`.
///
/// ```
/// # use sansocket_runtime::{ClientBuildError, adapter};
/// # use std::time::Duration;
/// # type Client = sansocket_runtime::Client;
/// # type ClientBuilder = sansocket_runtime::ClientBuilder<Client, adapter::ClientOptions>;
/// # fn run(builder: ClientBuilder) -> Result<Client, ClientBuildError> {
/// let client = builder // Client::builder("https://example.com")
///     .header("authorization", "Bearer ...")
///     .reconnection_delay_max(Duration::from_secs(30))
///     .on_connection_event(|event| println!("{event:?}"))
///     .build()?;
/// # Ok(client) }
/// ```
#[must_use]
pub struct ClientBuilder<C, L> {
    address: String,
    pub(super) reconnect: ReconnectConfig,
    engine: EngineClientConfig,
    path: String,
    is_exact_path: bool,
    query: Vec<(String, String)>,
    headers: HeaderMap,
    wrong_header: Option<String>,
    before_dial: Option<BeforeDial>,
    proxy: ProxyOption,
    subprotocols: Vec<String>,
    deflate: Option<PerMessageDeflate>,
    cookies: bool,
    on_connection_event: Option<StateHook>,
    pub(super) layer: L,
    runtime: Arc<dyn Runtime>,
    tls: ClientTls,
    dialer: fn(ClientTls) -> Arc<dyn Dial>,
    dial: Option<Arc<dyn Dial>>,
    client: PhantomData<fn() -> C>,
}

/// The source of the proxies.
enum ProxyOption {
    None,
    /// The proxy that the environment names.
    Environment,
    /// One for all servers, perhaps with its authorization.
    Address(String, Option<String>),
}

/// The settings that the layer above Engine.IO adds to [`Settings`].
pub(super) struct LayerSettings {
    /// `None` for plain Engine.IO.
    pub(super) sockets: Option<SocketClientConfig>,
    pub(super) session: Option<Session>,
    pub(super) reliable: bool,
    pub(super) acknowledge_unit: bool,
    pub(super) on_error: Option<ErrorHook<ClientSocket>>,
    pub(super) state: TypeMap,
}

impl<C, L> ClientBuilder<C, L> {
    pub(super) fn at(
        address: &str,
        path: &str,
        layer: L,
        runtime: Arc<dyn Runtime>,
        dialer: fn(ClientTls) -> Arc<dyn Dial>,
    ) -> Self {
        Self {
            address: address.to_owned(),
            reconnect: ReconnectConfig::default(),
            engine: EngineClientConfig::default(),
            path: path.to_owned(),
            is_exact_path: false,
            query: Vec::new(),
            headers: HeaderMap::new(),
            wrong_header: None,
            before_dial: None,
            proxy: ProxyOption::None,
            subprotocols: Vec::new(),
            deflate: None,
            cookies: true,
            on_connection_event: None,
            layer,
            runtime,
            tls: ClientTls::default(),
            dialer,
            dial: None,
            client: PhantomData,
        }
    }

    /// Runs the client on another runtime than the adapter's default: its task and its timers. Its connections are the
    /// adapter's all the same.
    pub fn runtime(mut self, runtime: impl Runtime) -> Self {
        self.runtime = Arc::new(runtime);
        self
    }

    /// Sets a way of your own to make connections: over Unix sockets, a test network, another TLS.
    pub fn dial(mut self, dial: impl Dial) -> Self {
        self.dial = Some(Arc::new(dial));
        self
    }

    /// Sets the TLS of `https` and `wss`: roots, certificates of the client, and so on. `h2` among its ALPN protocols
    /// is replaced by `http/1.1`, from which WebSockets upgrade. Without a configuration, the feature
    /// `platform-verifier` trusts what the system trusts; without that feature, such addresses cannot be reached.
    #[cfg(feature = "tls")]
    pub fn tls(mut self, config: Arc<rustls::ClientConfig>) -> Self {
        self.tls = ClientTls::new(config);
        self
    }

    /// Sets the path of the server. Default `/socket.io/`, of plain Engine.IO `/engine.io/`.
    pub fn path(mut self, path: &str) -> Self {
        path.clone_into(&mut self.path);
        self.is_exact_path = false;
        self
    }

    /// Sets the path without a slash behind it: the reference's `addTrailingSlash: false`, for servers and proxies that
    /// know it without.
    pub fn exact_path(mut self, path: &str) -> Self {
        path.clone_into(&mut self.path);
        self.is_exact_path = true;
        self
    }

    /// Adds a parameter to the URL of all requests, beside those of the address.
    pub fn query(mut self, key: &str, value: &str) -> Self {
        self.query.push((key.to_owned(), value.to_owned()));
        self
    }

    /// Adds a header to all requests, WebSocket handshakes included.
    pub fn header(mut self, name: &str, value: &str) -> Self {
        match (name.parse::<HeaderName>(), HeaderValue::from_str(value)) {
            (Ok(name), Ok(value)) => {
                self.headers.append(name, value);
            }
            _ => self.wrong_header = Some(name.to_owned()),
        }
        self
    }

    /// Sets the hook that is asked before each try to reach the server, and may change the address and the headers:
    /// for addresses that move, and tokens that expire. An error counts as a try that failed.
    pub fn before_dial<E, F, Fut>(mut self, before_dial: F) -> Self
    where
        E: Into<BoxError>,
        F: Fn(Attempt) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<Attempt, E>> + Send + 'static,
    {
        self.before_dial = Some(Box::new(move |attempt| {
            let future = before_dial(attempt);
            Box::pin(async move { future.await.map_err(ConnectError::application) })
        }));
        self
    }

    /// Sets the transports, in order: the first one opens the session. Default polling, then WebSocket.
    pub fn transports(mut self, transports: impl IntoIterator<Item = TransportKind>) -> Self {
        self.engine = self.engine.transports(transports);
        self
    }

    /// Sets whether a session that opened by polling moves to WebSocket. Default yes.
    pub fn upgrade(mut self, upgrade: bool) -> Self {
        self.engine.upgrade = upgrade;
        self
    }

    /// Sets whether the next session begins with a WebSocket once one has worked. Default no.
    pub fn remember_upgrade(mut self, remember: bool) -> Self {
        self.engine.remember_upgrade = remember;
        self
    }

    /// Sets whether the next transport is tried if a session cannot be opened with the first. Default no.
    pub fn try_all_transports(mut self, try_all: bool) -> Self {
        self.engine.try_all_transports = try_all;
        self
    }

    /// Sets whether polling requests carry a parameter that never repeats, against caches. Default yes, as `t`.
    pub fn timestamp_requests(mut self, stamp: bool) -> Self {
        self.engine.timestamp_requests = stamp;
        self
    }

    /// Sets the name of the parameter of `timestamp_requests`. Default `t`.
    pub fn timestamp_param(mut self, name: impl Into<String>) -> Self {
        self.engine.timestamp_param = name.into();
        self
    }

    /// Sets whether a lost connection is made again, and `start` goes on trying. Default yes, with plain Engine.IO
    /// no.
    pub fn reconnection(mut self, reconnection: bool) -> Self {
        self.reconnect.reconnection = reconnection;
        self
    }

    /// Sets how many times in a row a lost connection is tried again. Default: for ever.
    pub fn reconnection_attempts(mut self, attempts: u32) -> Self {
        self.reconnect.reconnection_attempts = Some(attempts);
        self
    }

    /// Sets the delay before the first try to reconnect; it doubles with each try. Default 1 s.
    pub fn reconnection_delay(mut self, delay: Duration) -> Self {
        self.reconnect.reconnection_delay = delay;
        self
    }

    /// Sets the longest delay between tries to reconnect. Default 5 s.
    pub fn reconnection_delay_max(mut self, delay: Duration) -> Self {
        self.reconnect.reconnection_delay_max = delay;
        self
    }

    /// Sets the part (0 to 1) by which a delay is moved up or down at random. Default 0.5.
    pub fn randomization_factor(mut self, factor: f64) -> Self {
        self.reconnect.randomization_factor = factor;
        self
    }

    /// Sets how long a session may take to open: the reference's `timeout`. Default 20 s.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.engine.open_timeout = timeout;
        self
    }

    /// Sets how long a POST may go unanswered. Default 60 s.
    pub fn request_timeout(mut self, timeout: Duration) -> Self {
        self.engine.request_timeout = timeout;
        self
    }

    /// Sets how long writing what is queued may take once the client is closed or its last handle is gone; what is not
    /// written by then is lost. Default 2 s.
    pub fn close_timeout(mut self, timeout: Duration) -> Self {
        self.engine.close_timeout = timeout;
        self
    }

    /// Sets the largest message that is taken from the server, in bytes: also the largest body of a response, and the
    /// largest sum of the attachments of a packet. Default 64 MiB.
    pub fn max_message(mut self, bytes: usize) -> Self {
        self.engine.max_message = bytes;
        self
    }

    /// Sets how many bytes may wait for the server: those queued on the connection, and for each namespace by itself
    /// those that wait until it is connected. Default 16 MiB; above it, sending fails.
    pub fn send_budget(mut self, bytes: usize) -> Self {
        self.engine.send_budget = bytes;
        self
    }

    /// Sets how many bytes of received events or messages may wait for their handlers. Default 16 MiB; above it,
    /// reading pauses, unless an acknowledgement is awaited, which may lie behind them: then it goes on up to twice as
    /// much, or twice `max_message`, if that is more.
    pub fn receive_budget(mut self, bytes: usize) -> Self {
        self.engine.receive_budget = bytes;
        self
    }

    /// Sets whether cookies that the server sets are sent back, as load balancers with sticky sessions want it.
    /// Default yes.
    pub fn cookies(mut self, cookies: bool) -> Self {
        self.cookies = cookies;
        self
    }

    /// Sets a forward proxy, and the value of `Proxy-Authorization`, if it wants one; the address may hold user and password,
    /// too, percent-encoded, as `http://user:password@host:port`.
    ///
    /// | address | proxy |
    /// |---|---|
    /// | `http://host:port` | long-polling of `http` asks it in absolute form, all else goes through a tunnel that it makes (CONNECT) |
    /// | `https://host:port` | the same, over TLS to the proxy |
    /// | `socks5://host:port`, `socks5h://host:port` | all goes through tunnels of SOCKS 5; the proxy looks names up; without `authorization` |
    pub fn proxy(mut self, address: &str, authorization: Option<&str>) -> Self {
        self.proxy = ProxyOption::Address(address.to_owned(), authorization.map(str::to_owned));
        self
    }

    /// Takes the forward proxies that the environment names: `HTTP_PROXY` for `http` and `ws`, `HTTPS_PROXY` for `https`
    /// and `wss`, `ALL_PROXY` for both where these are missing. Hosts, domains and addresses in `NO_PROXY` are reached
    /// directly. Names in small letters come first. Default: the environment is not looked at.
    pub fn proxy_from_env(mut self) -> Self {
        self.proxy = ProxyOption::Environment;
        self
    }

    /// Sets the hook that is told what becomes of the connection: dialling, open, upgraded, lost, given up. It runs in
    /// the client's task, so it must not block.
    pub fn on_connection_event(mut self, hook: impl Fn(&ConnectionEvent) + Send + Sync + 'static) -> Self {
        self.on_connection_event = Some(Box::new(hook));
        self
    }

    /// Sets the subprotocols that WebSocket handshakes offer, the preferred one first (`protocols` in JavaScript). The server
    /// may choose one of them; another one is an error. Default: none.
    pub fn subprotocols<S: Into<String>>(mut self, names: impl IntoIterator<Item = S>) -> Self {
        self.subprotocols = names.into_iter().map(Into::into).collect();
        self
    }

    /// Sets that WebSocket messages are compressed, if the server takes the offer: permessage-deflate (RFC 7692).
    /// Default: it is not offered.
    pub fn per_message_deflate(mut self, settings: PerMessageDeflate) -> Self {
        self.deflate = Some(settings);
        self
    }

    /// The offered subprotocols as a header.
    fn checked_subprotocols(&self) -> Result<Option<HeaderValue>, ClientBuildError> {
        if self.subprotocols.is_empty() {
            return Ok(None);
        }
        let list = self.subprotocols.join(", ");
        let value = HeaderValue::from_str(&list).ok().filter(|value| {
            let headers = HeaderMap::from_iter([(SEC_WEBSOCKET_PROTOCOL, value.clone())]);
            // As a server reads it: a name with a comma in it would be two.
            offered_subprotocols(&headers) == self.subprotocols
        });
        value.map(Some).ok_or(ClientBuildError::Subprotocols(list))
    }

    /// The checked proxies.
    fn checked_proxies(&self) -> Result<Proxies, ClientBuildError> {
        match &self.proxy {
            ProxyOption::None => Ok(Proxies::default()),
            ProxyOption::Environment => Ok(Proxies::of_environment(|name| std::env::var(name).ok())?),
            ProxyOption::Address(address, authorization) => {
                Ok(Proxies::all(proxy::parse(address, authorization.as_deref())?))
            }
        }
    }

    fn check_headers(&self) -> Result<(), ClientBuildError> {
        if let Some(name) = &self.wrong_header {
            return Err(ClientBuildError::Header(name.clone()));
        }
        match own_header(&self.headers) {
            Some(name) => Err(ClientBuildError::OwnHeader(name.clone())),
            None => Ok(()),
        }
    }

    pub(super) fn build_any(
        mut self,
        layer: impl FnOnce(L) -> LayerSettings,
    ) -> Result<(Arc<Shared>, Arc<Alive>), ClientBuildError> {
        let url = server::parse(&self.address)?;
        self.check_headers()?;
        let proxies = self.checked_proxies()?;
        let subprotocols = self.checked_subprotocols()?;
        if let Some(deflate) = &self.deflate {
            deflate.check()?;
        }
        let (dialer, tls) = (self.dialer, self.tls);
        let dial = self.dial.unwrap_or_else(|| dialer(tls));
        // `before_dial` may name another address.
        if (url.secure && self.before_dial.is_none()) || proxies.need_tls() {
            dial.check_secure().map_err(ClientBuildError::Tls)?;
        }
        let mut random = entropy::random().map_err(|error| ClientBuildError::Entropy(error.into()))?;
        self.reconnect.ask_before_dial = self.before_dial.is_some();
        let query = url.query.iter().chain(&self.query).cloned();
        let engine = self.engine.query(query);
        let engine = if self.is_exact_path { engine.exact_path(&self.path) } else { engine.path(&self.path) };
        engine.check()?;
        let max_message = engine.max_message;
        let path = engine.path.clone();
        let layer = layer(self.layer);
        let sockets = layer.sockets.map(Arc::new);
        let machine = Manager::new(Arc::new(self.reconnect), Arc::new(engine), random.fork(), sockets);
        let handle = ClientHandle::new(machine, Clock::awake_in_sleep(self.runtime.clone()));
        let settings = Settings {
            url,
            address: self.address,
            path,
            query: self.query,
            headers: self.headers,
            before_dial: self.before_dial,
            proxies,
            subprotocols,
            deflate: self.deflate.map(SharedDeflate::new),
            cookies: self.cookies,
            reliable: layer.reliable,
            acknowledge_unit: layer.acknowledge_unit,
            max_message,
            on_error: layer.on_error,
            on_connection_event: self.on_connection_event,
            state: layer.state,
            session: layer.session,
        };
        Ok(Shared::new(handle, self.runtime, dial, settings, random))
    }
}

impl<C, L> fmt::Debug for ClientBuilder<C, L> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClientBuilder")
            .field("reconnect", &self.reconnect)
            .field("engine", &self.engine)
            .finish_non_exhaustive()
    }
}
