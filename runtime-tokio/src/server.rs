//! The Socket.IO server on tokio.

use crate::listener::{Listener, Listening};
use crate::runtime::Tokio;
use crate::tower::{ServerLayer, ServerService};
use sansocket_runtime::extract::FromContext;
use sansocket_runtime::handler::{Context, ServerKind};
use sansocket_runtime::{BuildError, HandlerError, Options};
use std::io;
use std::ops::Deref;
use std::sync::Arc;
use tokio::net::ToSocketAddrs;

/// A Socket.IO server. Cheap to clone; usable in handlers and outside.
///
/// Its namespaces, broadcasts and so on are methods of [`sansocket_runtime::Server`], to which it dereferences.
#[derive(Clone, Debug)]
pub struct Server(sansocket_runtime::Server);

/// Builds a [`Server`]. The defaults are those of the JavaScript server.
#[derive(Debug)]
#[must_use]
pub struct ServerBuilder {
    options: Options,
}

impl Server {
    /// A builder with the defaults, at the path `/socket.io/`.
    pub fn builder() -> ServerBuilder {
        ServerBuilder { options: Options::new("/socket.io") }
    }

    /// Listens on an address, port 0 for any, and serves it in the background.
    ///
    /// For more on one port, TLS, or pages beside it, see [`Listener`].
    ///
    /// # Errors
    /// If the address cannot be bound.
    pub async fn listen(&self, address: impl ToSocketAddrs) -> io::Result<Listening> {
        Listener::bind(address).await?.mount(self).spawn()
    }

    /// A tower service that answers whatever reaches it: for `nest_service` and its like, where the host matches
    /// the path.
    pub fn service(&self) -> ServerService {
        ServerService::new(self.endpoint())
    }

    /// A tower layer that answers what begins with this server's path, and passes the rest on.
    pub fn layer(&self) -> ServerLayer {
        ServerLayer::new(self.endpoint())
    }
}

impl ServerBuilder {
    sansocket_runtime::server_builder_methods!();

    /// Builds the server. It serves nothing until it listens or is mounted.
    ///
    /// # Errors
    /// [`BuildError`].
    pub fn build(self) -> Result<Server, BuildError> {
        self.options.build(Arc::new(Tokio)).map(Server)
    }
}

impl Deref for Server {
    type Target = sansocket_runtime::Server;

    fn deref(&self) -> &Self::Target {
        &self.0
    }
}

impl<K: ServerKind> FromContext<K> for Server {
    fn from_context(context: &mut Context) -> Result<Self, HandlerError> {
        <sansocket_runtime::Server as FromContext<K>>::from_context(context).map(Self)
    }
}
