//! The plain Engine.IO server on tokio.

use crate::listener::{Listener, Listening};
use crate::runtime::Tokio;
use crate::tower::{ServerLayer, ServerService};
use sansocket_runtime::engine::{EngineHandlers, EngineSocket, Message};
use sansocket_runtime::{BuildError, DisconnectReason, Options};
use std::future::Future;
use std::io;
use std::ops::Deref;
use std::sync::Arc;
use tokio::net::ToSocketAddrs;

/// A plain Engine.IO server: sessions that open, exchange messages, and close. Cheap to clone.
///
/// ```no_run
/// use sansocket_tokio::{EngineServer, EngineSocket, Message};
///
/// # async fn run() -> Result<(), Box<dyn std::error::Error>> {
/// let engine = EngineServer::builder()
///     .on_message(async |socket: EngineSocket, message: Message| {
///         let _ = socket.send(message);
///     })
///     .build()?;
/// engine.listen("127.0.0.1:3000").await?.wait().await;
/// # Ok(()) }
/// ```
#[derive(Clone, Debug)]
pub struct EngineServer(sansocket_runtime::engine::EngineServer);

/// Builds an [`EngineServer`]. The defaults are those of the JavaScript server.
#[derive(Debug)]
#[must_use]
pub struct EngineServerBuilder {
    options: Options,
    handlers: EngineHandlers,
}

impl EngineServer {
    /// A builder with the defaults, at the path `/engine.io/`.
    pub fn builder() -> EngineServerBuilder {
        EngineServerBuilder { options: Options::new("/engine.io"), handlers: EngineHandlers::default() }
    }

    /// Listens on an address, port 0 for any, and serves it in the background.
    ///
    /// # Errors
    /// If the address cannot be bound.
    pub async fn listen(&self, address: impl ToSocketAddrs) -> io::Result<Listening> {
        Listener::bind(address).await?.mount(self).spawn()
    }

    /// A tower service that answers whatever reaches it.
    pub fn service(&self) -> ServerService {
        ServerService::new(self.endpoint())
    }

    /// A tower layer that answers what begins with this server's path, and passes the rest on.
    pub fn layer(&self) -> ServerLayer {
        ServerLayer::new(self.endpoint())
    }
}

impl EngineServerBuilder {
    sansocket_runtime::engine_builder_methods!();

    /// Runs when a session opens, before its first message is handled.
    pub fn on_open<F, Fut>(mut self, handler: F) -> Self
    where
        F: Fn(EngineSocket) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = ()> + Send + 'static,
    {
        self.handlers = self.handlers.on_open(handler);
        self
    }

    /// Runs for each message. Those of one session are handled one after the other.
    pub fn on_message<F, Fut>(mut self, handler: F) -> Self
    where
        F: Fn(EngineSocket, Message) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = ()> + Send + 'static,
    {
        self.handlers = self.handlers.on_message(handler);
        self
    }

    /// Runs when a session has closed.
    pub fn on_close<F, Fut>(mut self, handler: F) -> Self
    where
        F: Fn(EngineSocket, DisconnectReason) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = ()> + Send + 'static,
    {
        self.handlers = self.handlers.on_close(handler);
        self
    }

    /// Builds the server. It serves nothing until it listens or is mounted.
    ///
    /// # Errors
    /// [`BuildError`].
    pub fn build(self) -> Result<EngineServer, BuildError> {
        let server =
            sansocket_runtime::engine::EngineServer::build(self.options, self.handlers, Arc::new(Tokio))?;
        Ok(EngineServer(server))
    }
}

impl Deref for EngineServer {
    type Target = sansocket_runtime::engine::EngineServer;

    fn deref(&self) -> &Self::Target {
        &self.0
    }
}
