//! The options of a client, and the methods that set them on an adapter's builder.

use super::cell::Cell;
use super::dial::{Dial, Proxy};
use super::error::ConnectError;
use super::shared::{Attempt, ErrorHook, Settings, Shared, StateHook};
use super::socket::ClientSocket;
use super::state::ClientState;
use super::{Client, Url, UrlError};
use crate::cell::Clock;
use crate::error::HandlerError;
use crate::runtime::Runtime;
use crate::typemap::TypeMap;
use http::{HeaderMap, HeaderName, HeaderValue};
use sansocket_protocol::client::{Config, Manager};
use sansocket_protocol::{engine, socket};
use std::fmt;
use std::future::Future;
use std::sync::Arc;
use thiserror::Error;

/// Why a client could not be built.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ClientBuildError {
    /// The address is none.
    #[error(transparent)]
    Url(#[from] UrlError),
    /// The address of the proxy is none, or asks for TLS to the proxy.
    #[error("the address of the proxy must be `http://host:port`")]
    Proxy,
    /// A header's name or value has characters that no header has.
    #[error("the header `{0}` cannot be sent: its name or value has characters that no header has")]
    Header(String),
    /// The auth cannot be written as JSON.
    #[error("the auth cannot be written as JSON: {0}")]
    Auth(String),
    /// The system gave no random bytes.
    #[error("the system's random number generator failed: {0}")]
    Entropy(String),
}

/// The options of a client: an adapter's builder holds them, and has a method for each.
pub struct ClientOptions {
    address: String,
    /// When it dials again.
    pub manager: Config,
    /// Engine.IO's part.
    pub engine: engine::client::Config,
    /// Socket.IO's part.
    pub sockets: socket::client::Config,
    path: String,
    query: Vec<(String, String)>,
    headers: HeaderMap,
    before_dial: Option<super::shared::BeforeDial>,
    proxy: Option<(String, Option<String>)>,
    cookies: bool,
    reliable: bool,
    on_error: Option<ErrorHook>,
    on_state: Option<StateHook>,
    state: TypeMap,
    auth: Option<Result<String, String>>,
    wrong_header: Option<String>,
}

impl ClientOptions {
    /// The reference's defaults, for a server at that address.
    pub fn new(address: &str) -> Self {
        Self {
            address: address.to_owned(),
            manager: Config::default(),
            engine: engine::client::Config::default(),
            sockets: socket::client::Config::default(),
            path: "/socket.io/".to_owned(),
            query: Vec::new(),
            headers: HeaderMap::new(),
            before_dial: None,
            proxy: None,
            cookies: true,
            reliable: false,
            on_error: None,
            on_state: None,
            state: TypeMap::default(),
            auth: None,
            wrong_header: None,
        }
    }

    /// Sets the path of the server.
    pub fn path(&mut self, path: &str) {
        path.clone_into(&mut self.path);
    }

    /// Adds a parameter to the URL of all requests.
    pub fn add_query(&mut self, key: &str, value: &str) {
        self.query.push((key.to_owned(), value.to_owned()));
    }

    /// Adds a header to all requests.
    pub fn add_header(&mut self, name: &str, value: &str) {
        match (name.parse::<HeaderName>(), HeaderValue::from_str(value)) {
            (Ok(name), Ok(value)) => {
                self.headers.append(name, value);
            }
            _ => self.wrong_header = Some(name.to_owned()),
        }
    }

    /// Sets what is asked before each try.
    pub fn before_dial<E, F, Fut>(&mut self, before_dial: F)
    where
        E: fmt::Display,
        F: Fn(Attempt) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<Attempt, E>> + Send + 'static,
    {
        self.before_dial = Some(Box::new(move |attempt| {
            let future = before_dial(attempt);
            Box::pin(
                async move { future.await.map_err(|error| ConnectError::Application(error.to_string())) },
            )
        }));
    }

    /// Sets a proxy, and what it is shown as `Proxy-Authorization`.
    pub fn proxy(&mut self, address: &str, authorization: Option<&str>) {
        self.proxy = Some((address.to_owned(), authorization.map(str::to_owned)));
    }

    /// Whether cookies that the server sets are sent back.
    pub fn cookies(&mut self, cookies: bool) {
        self.cookies = cookies;
    }

    /// Sets how often events are sent again that were not acknowledged.
    pub fn retries(&mut self, retries: u32) {
        self.reliable = true;
        self.sockets.retries = retries;
    }

    /// Sets the hook for errors of handlers.
    pub fn on_error(&mut self, hook: impl Fn(&ClientSocket, &HandlerError) + Send + Sync + 'static) {
        self.on_error = Some(Box::new(hook));
    }

    /// Sets the hook for the state of the connection.
    pub fn on_state(&mut self, hook: impl Fn(&ClientState) + Send + Sync + 'static) {
        self.on_state = Some(Box::new(hook));
    }

    /// Adds a value for `State<T>`.
    pub fn add_state<T: Clone + Send + Sync + 'static>(&mut self, state: T) {
        self.state.insert(Arc::new(state));
    }

    /// Sets what is shown to the server when the namespace of the address is joined.
    pub fn auth<T: serde::Serialize + ?Sized>(&mut self, auth: &T) {
        self.auth = Some(serde_json::to_string(auth).map_err(|error| error.to_string()));
    }

    /// Builds the client, on a runtime and a way to dial. It does nothing until it is told to connect.
    ///
    /// # Errors
    /// [`ClientBuildError`].
    pub fn build(
        mut self,
        runtime: Arc<dyn Runtime>,
        dial: Arc<dyn Dial>,
    ) -> Result<Client, ClientBuildError> {
        let url = Url::parse(&self.address)?;
        if let Some(name) = self.wrong_header {
            return Err(ClientBuildError::Header(name));
        }
        let proxy = match self.proxy {
            None => None,
            Some((address, authorization)) => {
                let url = Url::parse(&address).map_err(|_| ClientBuildError::Proxy)?;
                if url.secure {
                    return Err(ClientBuildError::Proxy);
                }
                let authorization = authorization
                    .map(|value| HeaderValue::from_str(&value))
                    .transpose()
                    .map_err(|_| ClientBuildError::Header("proxy-authorization".to_owned()))?;
                Some(Proxy { host: url.host, port: url.port, authorization })
            }
        };
        let auth = match self.auth {
            None => socket::client::Auth::None,
            Some(Ok(json)) => socket::client::Auth::Fixed(json.into()),
            Some(Err(error)) => return Err(ClientBuildError::Auth(error)),
        };
        let mut random = match crate::options::random() {
            Ok(random) => random,
            Err(error) => return Err(ClientBuildError::Entropy(error.to_string())),
        };
        self.manager.ask = self.before_dial.is_some();
        let query = url.query.iter().chain(&self.query).cloned();
        self.engine = self.engine.path(&self.path).query(query);
        let max_message = self.engine.max_message;
        let machine = Manager::new(
            Arc::new(self.manager),
            Arc::new(self.engine),
            random.fork(),
            Some(Arc::new(self.sockets)),
        );
        let cell = Cell::new(machine, Clock::new(runtime.clone()));
        let settings = Settings {
            url,
            address: self.address,
            path: self.path,
            query: self.query,
            headers: self.headers,
            before_dial: self.before_dial,
            proxy,
            cookies: self.cookies,
            reliable: self.reliable,
            max_message,
            on_error: self.on_error,
            on_state: self.on_state,
            state: self.state,
        };
        let (shared, alive) = Shared::new(cell, runtime, dial, settings, random);
        let client = Client::new(shared, alive);
        if !matches!(auth, socket::client::Auth::None) {
            client.socket().set_auth(auth);
        }
        Ok(client)
    }
}

impl fmt::Debug for ClientOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClientOptions")
            .field("manager", &self.manager)
            .field("engine", &self.engine)
            .field("sockets", &self.sockets)
            .finish_non_exhaustive()
    }
}

/// The methods of an adapter's builder of clients; it keeps its [`ClientOptions`] in `self.options`.
#[doc(hidden)]
#[macro_export]
macro_rules! client_builder_methods {
    () => {
        /// The path of the server. Default `/socket.io/`.
        pub fn path(mut self, path: &str) -> Self {
            self.options.path(path);
            self
        }

        /// Adds a parameter to the URL of all requests, beside those of the address.
        pub fn query(mut self, key: &str, value: &str) -> Self {
            self.options.add_query(key, value);
            self
        }

        /// Adds a header to all requests, WebSocket handshakes included.
        pub fn header(mut self, name: &str, value: &str) -> Self {
            self.options.add_header(name, value);
            self
        }

        /// What the server is shown when the client joins: anything that serializes to an object. For one that
        /// changes, see [`auth_with`]($crate::ClientSocket::auth_with).
        pub fn auth<T: $crate::Serialize + ?::std::marker::Sized>(mut self, auth: &T) -> Self {
            self.options.auth(auth);
            self
        }

        /// Is asked before each try to reach the server, and may change the address and the headers: for addresses
        /// that move, and tokens that expire. An error counts as a try that failed.
        pub fn before_dial<E, F, Fut>(mut self, before_dial: F) -> Self
        where
            E: ::std::fmt::Display,
            F: Fn($crate::Attempt) -> Fut + Send + Sync + 'static,
            Fut: ::std::future::Future<Output = ::std::result::Result<$crate::Attempt, E>> + Send + 'static,
        {
            self.options.before_dial(before_dial);
            self
        }

        /// The transports, in order: the first one opens the session. Default polling, then WebSocket.
        pub fn transports(
            mut self,
            transports: impl ::std::iter::IntoIterator<Item = $crate::TransportKind>,
        ) -> Self {
            self.options.engine = self.options.engine.transports(transports);
            self
        }

        /// Whether a session that opened by polling moves to WebSocket. Default yes.
        pub fn upgrade(mut self, upgrade: bool) -> Self {
            self.options.engine.upgrade = upgrade;
            self
        }

        /// Whether the next session begins with a WebSocket once one has worked. Default no.
        pub fn remember_upgrade(mut self, remember: bool) -> Self {
            self.options.engine.remember_upgrade = remember;
            self
        }

        /// Whether the next transport is tried if a session cannot be opened with the first. Default no.
        pub fn try_all_transports(mut self, try_all: bool) -> Self {
            self.options.engine.try_all_transports = try_all;
            self
        }

        /// Whether polling requests carry a parameter that never repeats, against caches. Default yes, as `t`.
        pub fn timestamp_requests(mut self, stamp: bool) -> Self {
            self.options.engine.timestamp_requests = stamp;
            self
        }

        /// The name of that parameter.
        pub fn timestamp_param(mut self, name: impl ::std::convert::Into<::std::string::String>) -> Self {
            self.options.engine.timestamp_param = name.into();
            self
        }

        /// Whether a lost connection is made again, and [`start`]($crate::ClientSocket::start) goes on trying.
        /// Default yes.
        pub fn reconnection(mut self, reconnection: bool) -> Self {
            self.options.manager.reconnection = reconnection;
            self
        }

        /// How often in a row. Default for ever.
        pub fn reconnection_attempts(mut self, attempts: u32) -> Self {
            self.options.manager.reconnection_attempts = ::std::option::Option::Some(attempts);
            self
        }

        /// The delay before the first of these tries; it doubles with each. Default 1 s.
        pub fn reconnection_delay(mut self, delay: ::std::time::Duration) -> Self {
            self.options.manager.reconnection_delay = delay;
            self
        }

        /// The longest delay. Default 5 s.
        pub fn reconnection_delay_max(mut self, delay: ::std::time::Duration) -> Self {
            self.options.manager.reconnection_delay_max = delay;
            self
        }

        /// The part (0 to 1) by which a delay is moved up or down at random. Default 0.5.
        pub fn randomization_factor(mut self, factor: f64) -> Self {
            self.options.manager.randomization_factor = factor;
            self
        }

        /// How long a session may take to open: the reference's `timeout`. Default 20 s.
        pub fn timeout(mut self, timeout: ::std::time::Duration) -> Self {
            self.options.engine.open_timeout = timeout;
            self
        }

        /// How long a POST may go unanswered. Default 60 s.
        pub fn request_timeout(mut self, timeout: ::std::time::Duration) -> Self {
            self.options.engine.request_timeout = timeout;
            self
        }

        /// How long the server may take to let the client into a namespace. Default 20 s.
        pub fn join_timeout(mut self, timeout: ::std::time::Duration) -> Self {
            self.options.sockets.join_timeout = timeout;
            self
        }

        /// Sends every event (but volatile ones) until it is acknowledged: one after the other, again after
        /// `ack_timeout` and with each new connection, at most so many times after the first. Nothing is lost
        /// before that, and the server may see an event more than once. Default off.
        pub fn retries(mut self, retries: u32) -> Self {
            self.options.retries(retries);
            self
        }

        /// How long each try of `retries` may take. Default 10 s.
        pub fn ack_timeout(mut self, timeout: ::std::time::Duration) -> Self {
            self.options.sockets.ack_timeout = timeout;
            self
        }

        /// How many acknowledgements may be awaited at once, in each namespace. Default 10,000.
        pub fn max_pending_acks(mut self, acks: usize) -> Self {
            self.options.sockets.max_pending_acks = acks;
            self
        }

        /// How many attachments a received packet may have. Default 10.
        pub fn max_attachments(mut self, attachments: usize) -> Self {
            self.options.sockets.max_attachments = attachments;
            self
        }

        /// The largest message, and the largest body of a response, that is taken from the server, in bytes.
        /// Default 64 MiB.
        pub fn max_message(mut self, bytes: usize) -> Self {
            self.options.engine.max_message = bytes;
            self
        }

        /// Bytes that may wait for the server, those included that wait for a connection. Default 16 MiB; above
        /// it, emitting fails.
        pub fn send_budget(mut self, bytes: usize) -> Self {
            self.options.engine.send_budget = bytes;
            self
        }

        /// Bytes of received events that may wait for their handlers. Default 16 MiB; above it, reading pauses,
        /// unless an acknowledgement is awaited, which may lie behind them: then it goes on up to twice as much, or
        /// twice the largest packet (`max_message` for it and for each of `max_attachments`), if that is more.
        pub fn receive_budget(mut self, bytes: usize) -> Self {
            self.options.engine.receive_budget = bytes;
            self
        }

        /// Whether cookies that the server sets are sent back, as load balancers with sticky sessions want it.
        /// Default yes.
        pub fn cookies(mut self, cookies: bool) -> Self {
            self.options.cookies(cookies);
            self
        }

        /// A proxy that tunnels by CONNECT, as `http://host:port`, and what it is shown as
        /// `Proxy-Authorization`, if it wants that.
        pub fn proxy(mut self, address: &str, authorization: ::std::option::Option<&str>) -> Self {
            self.options.proxy(address, authorization);
            self
        }

        /// A value that handlers get by `State<T>`, cloned: one of each type. An `Arc` makes that cheap.
        pub fn state<T: Clone + Send + Sync + 'static>(mut self, state: T) -> Self {
            self.options.add_state(state);
            self
        }

        /// Is told what goes wrong in handlers: arguments that do not fit, errors they return, panics. Without it,
        /// and without a subscriber of `tracing` that hears debug messages, each is a line on stderr, up to 100.
        pub fn on_error(
            mut self,
            hook: impl Fn(&$crate::ClientSocket, &$crate::HandlerError) + Send + Sync + 'static,
        ) -> Self {
            self.options.on_error(hook);
            self
        }

        /// Is told what becomes of the connection: dialling, open, upgraded, lost, given up. It runs in the client's
        /// task, so it must not block.
        pub fn on_state(mut self, hook: impl Fn(&$crate::ClientState) + Send + Sync + 'static) -> Self {
            self.options.on_state(hook);
            self
        }
    };
}
