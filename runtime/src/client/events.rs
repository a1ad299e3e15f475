//! The events of a client's socket, one after the other.

use super::error::ReceiveError;
use super::queue::{Taking, queue};
use super::socket::ClientSocket;
use crate::base::runtime;
use crate::handler::ack::Ack;
use crate::handler::extract::EventName;
use crate::handler::{OnClientEvent, SharedHandler, erase};
use futures_core::Stream;
use sansocket_protocol::socket::Args;
use sansocket_protocol::socket::ToArgs;
use std::fmt;
use std::future::poll_fn;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

/// An event, as a loop takes it.
#[derive(Debug)]
pub struct Received {
    /// Its name.
    pub event: String,
    /// Its arguments.
    pub args: Args,
    /// Its acknowledgement: [`Ack::send`] it if the server wants one.
    pub ack: Ack,
}

impl Received {
    /// The arguments as a type of the application: see [`Args::decode`].
    ///
    /// # Errors
    /// If they do not fit.
    pub fn decode<'de, T: serde::Deserialize<'de>>(
        &'de self,
    ) -> Result<T, sansocket_protocol::socket::ArgsError> {
        self.args.decode()
    }

    /// Acknowledges it, if the server wants that.
    ///
    /// # Errors
    /// As [`Ack::send`].
    pub fn ack<T: ToArgs + ?Sized>(self, args: &T) -> Result<(), crate::base::error::EmitError> {
        self.ack.send(args)
    }
}

/// The events of a socket that have no handlers of their own: see [`ClientSocket::events`].
///
/// It survives a reconnection. Only the newest of a socket's `Events` gets them, before the handlers of
/// [`on_fallback`](ClientSocket::on_fallback). Once it is dropped, they are as if it had never been.
pub struct Events {
    taking: Taking<Received>,
    socket: ClientSocket,
    handler: SharedHandler<OnClientEvent>,
}

impl Events {
    pub(crate) fn new(socket: &ClientSocket) -> Self {
        let (queue, taking) = queue();
        let handler = move |EventName(event): EventName, args: Args, ack: Ack| {
            queue.give(Received { event, args, ack })
        };
        let handler = erase::<OnClientEvent, _>(handler);
        socket.namespace_inner().change(|table| table.begin_loop(handler.clone()));
        Self { taking, socket: socket.clone(), handler }
    }

    fn poll_take(&mut self, context: &mut Context<'_>) -> Poll<Option<Received>> {
        self.taking.poll(&self.socket.shared().cell, context)
    }

    /// The next event, whenever it comes: also after the connection was lost and made again. `None` once the
    /// client is disconnected for good, or was never told to connect, and all was taken.
    pub async fn next(&mut self) -> Option<Received> {
        poll_fn(|context| self.poll_take(context)).await
    }

    /// As [`next`](Self::next), if it comes in time.
    ///
    /// # Errors
    /// [`ReceiveError`] says whether it is worth waiting on.
    pub async fn next_within(&mut self, limit: Duration) -> Result<Received, ReceiveError> {
        let runtime = self.socket.shared().runtime.clone();
        ReceiveError::judge(runtime::timeout(&runtime, limit, self.next()).await)
    }
}

impl Stream for Events {
    type Item = Received;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Received>> {
        self.poll_take(context)
    }
}

impl Drop for Events {
    fn drop(&mut self) {
        self.taking.close(&self.socket.shared().cell);
        self.socket.namespace_inner().change(|table| table.end_loop(Some(&self.handler)));
    }
}

impl fmt::Debug for Events {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Events").field(&self.socket).finish()
    }
}
