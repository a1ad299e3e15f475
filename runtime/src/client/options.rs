//! The options of a client that concern Socket.IO, the handlers of one of plain Engine.IO, and the clients that are
//! built with them.

use super::engine::{EngineClientSocket, Session};
use super::socket::ClientSocket;
use crate::base::error::HandlerFailure;
use crate::base::runtime::Runtime;
use crate::base::typemap::TypeMap;
use crate::client::builder::{ClientBuilder, LayerSettings};
use crate::client::client::Client;
use crate::client::error::ClientBuildError;
use crate::client::net::dial::Dial;
use crate::client::net::tls::ClientTls;
use crate::client::task::shared::Lease;
use crate::handler::ack::IntoAck;
use crate::handler::error_hook::ErrorHook;
use crate::handler::message::{EngineHandlers, Message};
use sansocket_protocol::error::CloseReason;
use sansocket_protocol::socket::{AuthSource, EncodeError, Parser, SocketClientConfig};
use serde::Serialize;
use std::fmt;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

/// The options of a [`ClientBuilder`] that concern Socket.IO.
#[derive(Default)]
pub struct ClientOptions {
    sockets: SocketClientConfig,
    reliable: bool,
    is_unit_silent: bool,
    on_error: Option<ErrorHook<ClientSocket>>,
    state: TypeMap,
    auth: Option<Result<AuthSource, EncodeError>>,
}

impl fmt::Debug for ClientOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClientOptions").field("sockets", &self.sockets).finish_non_exhaustive()
    }
}

/// The options of Socket.IO.
impl<C: From<Client>> ClientBuilder<C, ClientOptions> {
    /// A builder with the defaults, for a client of the server at that address. `dialer` makes the adapter's [`Dial`].
    pub fn new(address: &str, runtime: impl Runtime, dialer: fn(ClientTls) -> Arc<dyn Dial>) -> Self {
        Self::at(address, "/socket.io/", ClientOptions::default(), Arc::new(runtime), dialer)
    }

    /// Sets the auth that the server is shown when the client joins: anything that serializes to an object. For one
    /// that changes, see [`auth_with`](ClientSocket::auth_with).
    pub fn auth<T: Serialize + ?Sized>(mut self, auth: &T) -> Self {
        self.layer.auth = Some(super::auth::encode(auth));
        self
    }

    /// Sets how long the server may take to let the client into a namespace. Default 20 s.
    pub fn join_timeout(mut self, timeout: Duration) -> Self {
        self.layer.sockets.join_timeout = timeout;
        self
    }

    /// Sends every event (but volatile ones) until it is acknowledged: one after the other, again after
    /// `ack_timeout` and with each new connection, at most so many times after the first. Nothing is lost
    /// before that, and the server may see an event more than once. Default off.
    pub fn retries(mut self, retries: u32) -> Self {
        self.layer.reliable = true;
        self.layer.sockets.retries = retries;
        self
    }

    /// Sets how long each try of `retries` may take, unless a call has a time of its own. Default 10 s.
    pub fn ack_timeout(mut self, timeout: Duration) -> Self {
        self.layer.sockets.ack_timeout = timeout;
        self
    }

    /// Sets how many acknowledgements may be awaited at once, in each namespace. Default 10,000.
    pub fn max_pending_acks(mut self, acks: usize) -> Self {
        self.layer.sockets.max_pending_acks = acks;
        self
    }

    /// Sets the parser of packets, and what they may hold. It replaces what [`max_attachments`](Self::max_attachments)
    /// has set. Default [`Parser::json`]; the server must use the same: [`Parser::msgpack`], or one of your own.
    pub fn parser(mut self, parser: Parser) -> Self {
        self.layer.sockets.parser = parser;
        self
    }

    /// Sets how many attachments a received packet may have. Default 10.
    pub fn max_attachments(mut self, attachments: usize) -> Self {
        self.layer.sockets.parser.max_attachments = attachments.into();
        self
    }

    /// Sets whether a handler that returns `()` acknowledges its event, if the server asks for that. Default yes. With
    /// `false`, as in JavaScript, only a value or an [`Ack`](crate::Ack) does.
    pub fn acknowledge_unit(mut self, acknowledge: bool) -> Self {
        self.layer.is_unit_silent = !acknowledge;
        self
    }

    /// Adds a value that handlers get by `State<T>`, cloned: one of each type. An `Arc` makes that cheap.
    pub fn state<T: Clone + Send + Sync + 'static>(mut self, state: T) -> Self {
        self.layer.state.insert(Arc::new(state));
        self
    }

    /// Sets the hook that is told what goes wrong in handlers: arguments that do not fit, errors they return, panics.
    /// It takes the place of the hook before.
    ///
    /// Without it, and without a subscriber of `tracing` that hears debug messages, each is a line on stderr, up to
    /// 100.
    pub fn on_error(self, hook: impl Fn(&ClientSocket, &HandlerFailure) + Send + Sync + 'static) -> Self {
        self.on_error_reply(hook)
    }

    /// As [`on_error`](Self::on_error), with a hook whose value acknowledges the event, if the server asks for that and no
    /// other handler has answered. `()` is no answer.
    pub fn on_error_reply<R: IntoAck>(
        mut self,
        hook: impl Fn(&ClientSocket, &HandlerFailure) -> R + Send + Sync + 'static,
    ) -> Self {
        self.layer.on_error = Some(ErrorHook::new(hook));
        self
    }

    /// Builds the client. It does nothing until it is told to connect, which must be inside of its runtime.
    ///
    /// # Errors
    /// [`ClientBuildError`].
    pub fn build(mut self) -> Result<C, ClientBuildError> {
        let auth = self.layer.auth.take().transpose().map_err(ClientBuildError::Auth)?;
        let (shared, alive) = self.build_any(|layer| LayerSettings {
            sockets: Some(layer.sockets),
            session: None,
            reliable: layer.reliable,
            acknowledge_unit: !layer.is_unit_silent,
            on_error: layer.on_error,
            state: layer.state,
        })?;
        let client = Client::new(shared, alive);
        if let Some(auth) = auth.filter(|auth| !matches!(auth, AuthSource::None)) {
            client.socket().set_auth(auth);
        }
        Ok(client.into())
    }
}

/// The options of plain Engine.IO.
impl<C: From<EngineClientSocket>> ClientBuilder<C, EngineHandlers<EngineClientSocket>> {
    /// A builder with the defaults, for a client of the server at that address: its path is `/engine.io/`, and a
    /// session that is lost stays lost. `dialer` makes the adapter's [`Dial`].
    pub fn new(address: &str, runtime: impl Runtime, dialer: fn(ClientTls) -> Arc<dyn Dial>) -> Self {
        let mut builder =
            Self::at(address, "/engine.io/", EngineHandlers::default(), Arc::new(runtime), dialer);
        builder.reconnect.reconnection = false;
        builder
    }

    /// Sets the handler that runs when a session opens, before its first message is handled.
    pub fn on_open<F, Fut>(mut self, handler: F) -> Self
    where
        F: Fn(EngineClientSocket) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = ()> + Send + 'static,
    {
        self.layer.on_open(handler);
        self
    }

    /// Sets the handler that runs for each message. Messages of one session are handled one after the other.
    pub fn on_message<F, Fut>(mut self, handler: F) -> Self
    where
        F: Fn(EngineClientSocket, Message) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = ()> + Send + 'static,
    {
        self.layer.on_message(handler);
        self
    }

    /// Sets the handler that runs when a session has closed.
    pub fn on_close<F, Fut>(mut self, handler: F) -> Self
    where
        F: Fn(EngineClientSocket, CloseReason) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = ()> + Send + 'static,
    {
        self.layer.on_close(handler);
        self
    }

    /// Builds the client. It does nothing until it is told to connect, which must be inside of its runtime.
    ///
    /// # Errors
    /// [`ClientBuildError`].
    pub fn build(self) -> Result<C, ClientBuildError> {
        let (_, alive) = self.build_any(|handlers| LayerSettings {
            sockets: None,
            session: Some(Session::new(handlers)),
            reliable: false,
            acknowledge_unit: true,
            on_error: None,
            state: TypeMap::default(),
        })?;
        Ok(EngineClientSocket::new(Lease::Lasting(alive)).into())
    }
}
