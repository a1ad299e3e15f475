//! The events of a client's socket as a stream.

use super::error::ReceiveError;
use super::queue::{Taking, queue};
use super::socket::ClientSocket;
use crate::base::runtime;
use crate::handler::ack::Ack;
use crate::handler::extract::EventName;
use crate::handler::{OnClientEvent, SharedHandler, erase};
use futures_core::Stream;
use sansocket_protocol::socket::{Args, ToArgs};
use std::fmt;
use std::future::poll_fn;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

/// An event that a loop over [`Events`] has taken.
#[derive(Debug)]
pub struct Received {
    /// The name of the event.
    pub event: String,
    /// The arguments.
    pub args: Args,
    /// The acknowledgement: [`Ack::send`] it if the server wants one.
    pub ack: Ack,
}

impl Received {
    /// The arguments as a type of the application: see [`Args::decode`].
    ///
    /// # Errors
    /// If the arguments do not fit.
    pub fn decode<'de, T: serde::Deserialize<'de>>(
        &'de self,
    ) -> Result<T, sansocket_protocol::socket::ArgsError> {
        self.args.decode()
    }

    /// Acknowledges the event, if the server wants that.
    ///
    /// # Errors
    /// As [`Ack::send`].
    pub fn ack<T: ToArgs + ?Sized>(self, args: &T) -> Result<(), crate::base::error::EmitError> {
        self.ack.send(args)
    }
}

/// The stream of a client's events that have no handlers of their own: see [`ClientSocket::events`].
///
/// It survives a reconnection. Only the newest `Events` of a socket gets the events, before the handlers of
/// [`on_fallback`](ClientSocket::on_fallback), until it is dropped.
///
/// ```
/// use sansocket_runtime::Client;
///
/// async fn run(client: Client) -> Result<(), Box<dyn std::error::Error>> {
///     // Before connecting: earlier events are not kept.
///     let mut events = client.events();
///     client.connect().await?;
///     while let Some(received) = events.next().await {
///         match &*received.event {
///             "news" => println!("{}", received.decode::<String>()?),
///             "ping" => received.ack(&"pong")?,
///             name => println!("{name}: {:?}", received.args),
///         }
///     }
///     Ok(())
/// }
/// ```
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
        self.taking.poll(&self.socket.shared().handle, context)
    }

    /// The next event, even if the connection is lost and made again before it comes. `None` once all events are taken
    /// and the client is disconnected for good, or was never told to connect.
    pub async fn next(&mut self) -> Option<Received> {
        poll_fn(|context| self.poll_take(context)).await
    }

    /// The [`next`](Self::next) event, if it comes in time.
    ///
    /// # Errors
    /// [`ReceiveError`], which tells a lack of events from the end of the connection.
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
        self.taking.close(&self.socket.shared().handle);
        self.socket.namespace_inner().change(|table| table.end_loop(Some(&self.handler)));
    }
}

impl fmt::Debug for Events {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Events").field(&self.socket).finish()
    }
}
