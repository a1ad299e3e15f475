//! The client, as the application holds it.

use crate::client::ClientSocket;
use crate::client::task::shared::{Alive, Lease, Shared};
use sansocket_protocol::client::ClientState;
use std::fmt;
use std::ops::Deref;
use std::sync::Arc;

/// A Socket.IO client. Cheap to clone; with its last handle the connection is closed.
///
/// Each [`ClientSocket`] and [`Events`](crate::client::Events) of it is a handle too, and so is each
/// [`Ack`](crate::Ack) that the server waits for. A handler that captures one keeps the client going until
/// [`close`](Client::close): let it take the `ClientSocket` as a parameter instead.
///
/// It dereferences to the [`ClientSocket`] of the namespace that its address names: `/`, if it has no path.
///
/// ```
/// use sansocket_runtime::{Client, ClientState, Data};
///
/// // With an adapter: Client::builder("http://localhost:3000").build()
/// async fn run(client: Client) -> Result<(), Box<dyn std::error::Error>> {
///     client.on("news", async |Data(text): Data<String>| println!("{text}"));
///     client.connect().await?;
///     assert_eq!(client.status(), ClientState::Open);
///
///     client.emit("subscribe", &"news")?;
///     client.closed().await;
///     Ok(())
/// }
/// ```
#[derive(Clone)]
pub struct Client {
    main: ClientSocket,
    shared: Arc<Shared>,
}

impl Client {
    pub(super) fn new(shared: Arc<Shared>, alive: Arc<Alive>) -> Self {
        let namespace = shared.namespace(&shared.settings.url.namespace);
        let main = ClientSocket::new(Lease::Lasting(alive), namespace);
        Self { main, shared }
    }

    /// The socket of the namespace that the address names.
    pub fn socket(&self) -> &ClientSocket {
        &self.main
    }

    /// The state of the connection: idle, opening a session, open, or waiting to dial again.
    pub fn status(&self) -> ClientState {
        self.shared.handle.lock().machine.status()
    }

    /// The bytes that wait to be sent, including those that wait for a connection.
    pub fn buffered(&self) -> usize {
        self.shared.handle.lock().machine.buffered()
    }

    /// Ends the client, at once: all namespaces are left, no server is dialled again, events that wait for a connection
    /// are dropped, those that are queued on the present one are written, and every awaited connection or
    /// acknowledgement fails. It may be called anywhere, in handlers too.
    pub fn close(&self) {
        self.shared.close();
    }

    /// Waits until no namespace is connected or will be by itself: all were left by either side, or refused, or the
    /// client gave up. A connection that is lost and made again is not the end, and neither is a refusal after which
    /// [`auth_refreshed`](ClientSocket::auth_refreshed) finds a better auth.
    ///
    /// A handler that calls [`start`](ClientSocket::start) after a refusal does not delay it: this has ended by then. A
    /// program that refreshes a token uses `auth_refreshed`.
    ///
    /// The queued events are then written and the connection is closed, so that a program may exit. A server that does
    /// not read them delays that by some seconds.
    pub async fn closed(&self) {
        self.shared.handle.over().await;
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
