//! The options of a client, and the methods that set them on an adapter's builder.

use super::engine::{EngineClientSocket, Session};
use super::error::{ClientBuildError, ConnectError};
use super::socket::ClientSocket;
use crate::base::clock::Clock;
use crate::base::error::{BoxError, HandlerError};
use crate::base::runtime::Runtime;
use crate::base::typemap::TypeMap;
use crate::client::ServerAddr;
use crate::client::client::Client;
use crate::client::net::dial::{Dial, Proxy};
use crate::client::state::ConnectionEvent;
use crate::client::task::handle::ClientHandle;
use crate::client::task::shared::{Alive, Attempt, ErrorHook, Settings, Shared, StateHook};
use crate::engine::server::EngineHandlers;
use http::{HeaderMap, HeaderName, HeaderValue};
use sansocket_protocol::client::{Manager, ReconnectConfig};
use sansocket_protocol::{engine, socket};
use std::fmt;
use std::future::Future;
use std::sync::Arc;

/// The options of a client: an adapter's builder holds them, and has a method for each.
pub struct ClientOptions {
    address: String,
    /// When it dials again.
    pub manager: ReconnectConfig,
    /// Engine.IO's part.
    pub engine: engine::EngineClientConfig,
    /// Socket.IO's part.
    pub sockets: socket::SocketClientConfig,
    path: String,
    query: Vec<(String, String)>,
    headers: HeaderMap,
    before_dial: Option<crate::client::task::shared::BeforeDial>,
    proxy: Option<(String, Option<String>)>,
    cookies: bool,
    reliable: bool,
    on_error: Option<ErrorHook>,
    on_connection_event: Option<StateHook>,
    state: TypeMap,
    auth: Option<Result<socket::AuthSource, socket::EncodeError>>,
    wrong_header: Option<String>,
}

impl ClientOptions {
    /// The reference's defaults, for a server at that address.
    pub fn new(address: &str) -> Self {
        Self {
            address: address.to_owned(),
            manager: ReconnectConfig::default(),
            engine: engine::EngineClientConfig::default(),
            sockets: socket::SocketClientConfig::default(),
            path: "/socket.io/".to_owned(),
            query: Vec::new(),
            headers: HeaderMap::new(),
            before_dial: None,
            proxy: None,
            cookies: true,
            reliable: false,
            on_error: None,
            on_connection_event: None,
            state: TypeMap::default(),
            auth: None,
            wrong_header: None,
        }
    }

    /// The defaults of a client of plain Engine.IO: another path, and a session that is lost stays lost.
    pub fn engine(address: &str) -> Self {
        let mut options = Self::new(address);
        options.path("/engine.io/");
        options.manager.reconnection = false;
        options
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
        E: Into<BoxError>,
        F: Fn(Attempt) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<Attempt, E>> + Send + 'static,
    {
        self.before_dial = Some(Box::new(move |attempt| {
            let future = before_dial(attempt);
            Box::pin(async move { future.await.map_err(ConnectError::application) })
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
    pub fn on_connection_event(&mut self, hook: impl Fn(&ConnectionEvent) + Send + Sync + 'static) {
        self.on_connection_event = Some(Box::new(hook));
    }

    /// Adds a value for `State<T>`.
    pub fn add_state<T: Clone + Send + Sync + 'static>(&mut self, state: T) {
        self.state.insert(Arc::new(state));
    }

    /// Sets what is shown to the server when the namespace of the address is joined.
    pub fn auth<T: serde::Serialize + ?Sized>(&mut self, auth: &T) {
        self.auth = Some(super::auth::encode(auth));
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
        let auth = match self.auth.take() {
            None => socket::AuthSource::None,
            Some(Ok(auth)) => auth,
            Some(Err(error)) => return Err(ClientBuildError::Auth(error)),
        };
        let (shared, alive) = self.build_any(None, runtime, dial)?;
        let client = Client::new(shared, alive);
        if !matches!(auth, socket::AuthSource::None) {
            client.socket().set_auth(auth);
        }
        Ok(client)
    }

    /// Builds a client of plain Engine.IO. It does nothing until it is told to connect.
    ///
    /// # Errors
    /// [`ClientBuildError`].
    pub fn build_engine(
        self,
        handlers: EngineHandlers<EngineClientSocket>,
        runtime: Arc<dyn Runtime>,
        dial: Arc<dyn Dial>,
    ) -> Result<EngineClientSocket, ClientBuildError> {
        let (shared, alive) = self.build_any(Some(Session::new(handlers)), runtime, dial)?;
        Ok(EngineClientSocket::new(shared, Some(alive)))
    }

    fn build_any(
        mut self,
        session: Option<Session>,
        runtime: Arc<dyn Runtime>,
        dial: Arc<dyn Dial>,
    ) -> Result<(Arc<Shared>, Arc<Alive>), ClientBuildError> {
        let url = ServerAddr::parse(&self.address)?;
        if let Some(name) = self.wrong_header {
            return Err(ClientBuildError::Header(name));
        }
        if let Some(name) = own_header(&self.headers) {
            return Err(ClientBuildError::OwnHeader(name.clone()));
        }
        // Who is asked before each try may name another address.
        if url.secure && self.before_dial.is_none() {
            dial.check_secure().map_err(ClientBuildError::Tls)?;
        }
        let proxy = match self.proxy {
            None => None,
            Some((address, authorization)) => {
                let url = ServerAddr::parse(&address).map_err(|_| ClientBuildError::Proxy)?;
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
        let mut random = match crate::server::options::random() {
            Ok(random) => random,
            Err(error) => return Err(ClientBuildError::Entropy(error.into())),
        };
        self.manager.ask = self.before_dial.is_some();
        let query = url.query.iter().chain(&self.query).cloned();
        self.engine = self.engine.path(&self.path).query(query);
        self.engine.check()?;
        let max_message = self.engine.max_message;
        let machine = Manager::new(
            Arc::new(self.manager),
            Arc::new(self.engine),
            random.fork(),
            session.is_none().then(|| Arc::new(self.sockets)),
        );
        let cell = ClientHandle::new(machine, Clock::new(runtime.clone()));
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
            on_connection_event: self.on_connection_event,
            state: self.state,
            session,
        };
        Ok(Shared::new(cell, runtime, dial, settings, random))
    }
}

/// A header that only the client itself can set, because it says how the request is sent.
pub(super) fn own_header(headers: &HeaderMap) -> Option<&HeaderName> {
    use http::header::{
        CONNECTION, CONTENT_LENGTH, SEC_WEBSOCKET_EXTENSIONS, SEC_WEBSOCKET_KEY, SEC_WEBSOCKET_VERSION, TE,
        TRAILER, TRANSFER_ENCODING, UPGRADE,
    };
    headers.keys().find(|name| {
        matches!(
            **name,
            CONNECTION
                | CONTENT_LENGTH
                | SEC_WEBSOCKET_EXTENSIONS
                | SEC_WEBSOCKET_KEY
                | SEC_WEBSOCKET_VERSION
                | TE
                | TRAILER
                | TRANSFER_ENCODING
                | UPGRADE
        )
    })
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
