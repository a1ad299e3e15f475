//! The Socket.IO client: one connection to a server, any number of namespaces on it.

mod cell;
mod cookies;
pub mod dial;
mod driver;
mod error;
mod events;
mod handlers;
mod http;
mod options;
mod shared;
mod socket;
mod state;
mod websocket;

pub use dial::Dial;
pub use error::{ConnectError, Refused};
pub use events::{Events, Received};
pub use options::{ClientBuildError, ClientOptions};
pub use sansocket_protocol::client::{Url, UrlError};
pub use sansocket_protocol::engine::client::TransportKind;
pub use shared::Attempt;
pub use socket::ClientSocket;
pub use state::ClientState;

use sansocket_protocol::client::Status;
use shared::{Alive, Shared};
use std::fmt;
use std::future::poll_fn;
use std::ops::Deref;
use std::sync::Arc;
use std::task::Poll;

/// A Socket.IO client. Cheap to clone; with its last handle the connection is closed.
///
/// Each [`ClientSocket`], [`Events`] and [`Ack`](crate::Ack) of it is a handle too. A handler that captures one keeps
/// the client going until [`close`](Client::close): let it take the `ClientSocket` as a parameter instead.
///
/// It dereferences to the [`ClientSocket`] of the namespace that its address names: `/`, if it has no path.
#[derive(Clone)]
pub struct Client {
    main: ClientSocket,
    shared: Arc<Shared>,
}

impl Client {
    fn new(shared: Arc<Shared>, alive: Arc<Alive>) -> Self {
        let namespace = shared.namespace(&shared.settings.url.namespace);
        let main = ClientSocket::new(shared.clone(), namespace, Some(alive));
        Self { main, shared }
    }

    /// The socket of the namespace that the address names.
    pub fn socket(&self) -> &ClientSocket {
        &self.main
    }

    /// What the client is about: idle, opening a session, open, or waiting to dial again.
    pub fn status(&self) -> Status {
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
        let now = self.shared.cell.now();
        let waiters = self.shared.cell.with(|inner| {
            inner.machine.close(now);
            inner.take_waiters(|_| true)
        });
        for waiter in waiters {
            // Nobody listens if the future was dropped.
            let _ = waiter.sender.send(Err(ConnectError::Disconnected));
        }
    }

    /// Waits until nothing is wanted of the server any more: all namespaces were left by either side, or refused,
    /// or the client gave up. A connection that is lost and made again is no end.
    ///
    /// What was queued is written then, and the connection closed, so that a program may exit. A server that does
    /// not take it in delays that by some seconds.
    pub async fn closed(&self) {
        let mut end = End { shared: &self.shared, number: None };
        poll_fn(|context| {
            let mut inner = end.shared.cell.lock();
            if inner.is_closed() {
                return Poll::Ready(());
            }
            inner.wait_for_final(&mut end.number, true, context.waker());
            Poll::Pending
        })
        .await;
    }
}

/// A wait for the end. Dropped, it leaves nothing behind.
struct End<'a> {
    shared: &'a Shared,
    number: Option<u64>,
}

impl Drop for End<'_> {
    fn drop(&mut self) {
        let waker = self.number.and_then(|number| self.shared.cell.lock().forget_final(number));
        drop(waker);
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
