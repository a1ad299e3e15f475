//! The handle of a client.

use crate::client::ClientSocket;
use crate::client::task::shared::{Alive, Shared};
use sansocket_protocol::client::ClientState;
use std::fmt;
use std::ops::Deref;
use std::sync::Arc;

/// A Socket.IO client. Cheap to clone; with its last handle the connection is closed.
///
/// Each [`ClientSocket`], [`Events`](crate::client::Events) and [`Ack`](crate::Ack) of it is a handle too. A handler that captures one keeps
/// the client going until [`close`](Client::close): let it take the `ClientSocket` as a parameter instead.
///
/// It dereferences to the [`ClientSocket`] of the namespace that its address names: `/`, if it has no path.
#[derive(Clone)]
pub struct Client {
    main: ClientSocket,
    shared: Arc<Shared>,
}

impl Client {
    pub(super) fn new(shared: Arc<Shared>, alive: Arc<Alive>) -> Self {
        let namespace = shared.namespace(&shared.settings.url.namespace);
        let main = ClientSocket::new(shared.clone(), namespace, Some(alive));
        Self { main, shared }
    }

    /// The socket of the namespace that the address names.
    pub fn socket(&self) -> &ClientSocket {
        &self.main
    }

    /// What the client is about: idle, opening a session, open, or waiting to dial again.
    pub fn status(&self) -> ClientState {
        self.shared.cell.lock().machine.status()
    }

    /// Bytes that wait for the server, those included that wait for a connection.
    pub fn buffered(&self) -> usize {
        self.shared.cell.lock().machine.buffered()
    }

    /// Ends everything, at once: all namespaces are left, nothing is dialled again, what waits for a connection is
    /// thrown away, what is queued on the present one is written, and all that is awaited fails. May be called
    /// anywhere, handlers included.
    pub fn close(&self) {
        self.shared.close();
    }

    /// Waits until nothing is wanted of the server any more: all namespaces were left by either side, or refused,
    /// or the client gave up. A connection that is lost and made again is no end.
    ///
    /// What was queued is written then, and the connection closed, so that a program may exit. A server that does
    /// not take it in delays that by some seconds.
    pub async fn closed(&self) {
        self.shared.cell.over().await;
    }
}

impl Deref for Client {
    type Target = ClientSocket;

    fn deref(&self) -> &ClientSocket {
        &self.main
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client")
            .field("url", &self.shared.settings.url)
            .field("status", &self.status())
            .finish()
    }
}
