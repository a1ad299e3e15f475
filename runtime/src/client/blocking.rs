//! The client without async in the caller's code: its methods block the thread that calls them, and everything that
//! happens meanwhile runs on another.

use super::client::Client as AsyncClient;
use super::error::{ConnectError, ReceiveError};
use super::events::{Events as AsyncEvents, Received};
use super::socket::ClientSocket;
use crate::base::error::{AckError, EmitError};
use crate::handler::typed::{TypedEvent, TypedHandler};
use crate::handler::{Handler, ListenerHandle, OnClientEvent};
use sansocket_protocol::engine::TransportKind;
use sansocket_protocol::socket::{EncodeError, ToArgs};
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::fmt;
use std::future::Future;
use std::ops::Deref;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{self, Thread};
use std::time::Duration;

/// A thread that waits for a future.
struct Waiting {
    thread: Thread,
    is_woken: AtomicBool,
}

impl Wake for Waiting {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.is_woken.store(true, Ordering::Release);
        self.thread.unpark();
    }
}

/// Polls a future in this thread, which sleeps in between. What the future waits for runs elsewhere.
fn block_on<T>(future: impl Future<Output = T>) -> T {
    let mut future = pin!(future);
    let waiting = Arc::new(Waiting { thread: thread::current(), is_woken: AtomicBool::new(false) });
    let waker = Waker::from(waiting.clone());
    let mut context = Context::from_waker(&waker);
    loop {
        if let Poll::Ready(done) = future.as_mut().poll(&mut context) {
            return done;
        }
        while !waiting.is_woken.swap(false, Ordering::Acquire) {
            thread::park();
        }
    }
}

/// A Socket.IO client for code without async: scripts, threads, tools. An adapter makes it.
///
/// Its methods have the names of [`sansocket_runtime::Client`](crate::Client) and
/// [`ClientSocket`](crate::ClientSocket), and block the calling thread instead of being awaited. Handlers are async
/// functions as there, and run on a thread of the adapter's. It may be used by several threads, and in several namespaces.
///
/// With its last handle the connection is closed. [`close`](Client::close) waits until what is queued is written, which a
/// program should do before it exits.
#[derive(Clone)]
pub struct Client {
    main: Socket,
    client: AsyncClient,
}

impl Client {
    /// The same client, blocking. Its runtime must go on by itself while this thread blocks, on threads of its own.
    pub fn new(client: AsyncClient) -> Self {
        Self { main: Socket(client.socket().clone()), client }
    }

    /// The client whose methods are awaited.
    pub fn client(&self) -> &AsyncClient {
        &self.client
    }

    /// Ends the client: see [`Client::close`](crate::Client::close). Returns when what was queued is written and the
    /// connection is closed; a server that does not read delays that by some seconds.
    pub fn close(&self) {
        self.client.close();
        self.closed();
    }

    /// Waits for the end: see [`Client::closed`](crate::Client::closed).
    pub fn closed(&self) {
        block_on(self.client.closed());
    }
}

impl Deref for Client {
    type Target = Socket;

    fn deref(&self) -> &Socket {
        &self.main
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("blocking::Client").field(&self.client).finish()
    }
}

/// One namespace of a blocking [`Client`].
#[derive(Clone)]
pub struct Socket(ClientSocket);

impl Socket {
    /// The socket whose methods are awaited, for whatever this one has no method for.
    pub fn socket(&self) -> &ClientSocket {
        &self.0
    }

    /// The same client in another namespace, to be [connected](Self::connect).
    #[must_use]
    pub fn namespace(&self, name: &str) -> Self {
        Self(self.0.namespace(name))
    }

    /// The name of the namespace: `/`, or `/chat`.
    pub fn name(&self) -> &str {
        self.0.name()
    }

    /// The public id that the server gave the socket; `None` while it is not connected.
    pub fn id(&self) -> Option<Arc<str>> {
        self.0.id()
    }

    /// Returns whether the namespace is connected.
    pub fn is_connected(&self) -> bool {
        self.0.is_connected()
    }

    /// The transport of the connection; `None` while there is none.
    pub fn transport(&self) -> Option<TransportKind> {
        self.0.transport()
    }

    /// Sets the `auth` object that the server gets: see [`ClientSocket::auth`].
    ///
    /// # Errors
    /// [`EncodeError`].
    pub fn auth<T: Serialize + ?Sized>(&self, auth: &T) -> Result<&Self, EncodeError> {
        self.0.auth(auth)?;
        Ok(self)
    }

    /// Connects, and returns once the server has let the client into the namespace: see [`ClientSocket::connect`].
    ///
    /// # Errors
    /// [`ConnectError`].
    pub fn connect(&self) -> Result<(), ConnectError> {
        block_on(self.0.connect())
    }

    /// Begins to connect, and goes on trying, while the caller goes on: see [`ClientSocket::start`].
    pub fn start(&self) {
        self.0.start();
    }

    /// Waits until the namespace is connected: see [`ClientSocket::connected`].
    ///
    /// # Errors
    /// [`ConnectError`].
    pub fn connected(&self) -> Result<(), ConnectError> {
        block_on(self.0.connected())
    }

    /// Leaves the namespace: see [`ClientSocket::disconnect`].
    pub fn disconnect(&self) {
        self.0.disconnect();
    }

    /// Emits an event. It does not wait: see [`ClientSocket::emit`].
    ///
    /// # Errors
    /// [`EmitError`].
    pub fn emit<T: ToArgs + ?Sized>(&self, event: &str, args: &T) -> Result<(), EmitError> {
        self.0.emit(event, args)
    }

    /// Emits the event `message`.
    ///
    /// # Errors
    /// [`EmitError`].
    pub fn send<T: ToArgs + ?Sized>(&self, args: &T) -> Result<(), EmitError> {
        self.0.send(args)
    }

    /// Waits until less than half of the send budget is used, then emits: for a sender that produces faster than the
    /// server reads.
    ///
    /// # Errors
    /// [`EmitError`].
    pub fn emit_when_ready<T: ToArgs + ?Sized>(&self, event: &str, args: &T) -> Result<(), EmitError> {
        block_on(self.0.emit_when_ready(event, args))
    }

    /// Emits a [typed event](TypedEvent).
    ///
    /// # Errors
    /// [`EmitError`].
    pub fn emit_typed<E: TypedEvent>(&self, event: E, payload: &E::Payload) -> Result<(), EmitError> {
        self.0.emit_typed(event, payload)
    }

    /// Emits an event and waits for the server's answer, for up to 60 seconds: see [`ClientSocket::call`].
    ///
    /// # Errors
    /// [`AckError`].
    pub fn call<T: ToArgs + ?Sized, R: DeserializeOwned>(
        &self,
        event: &str,
        args: &T,
    ) -> Result<R, AckError> {
        block_on(self.0.call(event, args))
    }

    /// As [`call`](Self::call), for up to that long.
    ///
    /// # Errors
    /// [`AckError`].
    pub fn call_within<T: ToArgs + ?Sized, R: DeserializeOwned>(
        &self,
        timeout: Duration,
        event: &str,
        args: &T,
    ) -> Result<R, AckError> {
        block_on(self.0.timeout(timeout).call(event, args))
    }

    /// Emits a [typed event](TypedEvent) and waits for its answer.
    ///
    /// # Errors
    /// [`AckError`].
    pub fn call_typed<E: TypedEvent>(&self, event: E, payload: &E::Payload) -> Result<E::Answer, AckError> {
        block_on(self.0.call_typed(event, payload))
    }

    /// Runs when the server emits `event`, on another thread: see [`ClientSocket::on`].
    ///
    /// # Panics
    /// As there.
    #[track_caller]
    pub fn on<Params: 'static>(&self, event: &str, handler: impl Handler<OnClientEvent, Params>) -> &Self {
        self.0.on(event, handler);
        self
    }

    /// As [`on`](Self::on), and returns a handle by which the handler is removed.
    ///
    /// # Panics
    /// As [`on`](Self::on).
    #[track_caller]
    pub fn add_listener<Params: 'static>(
        &self,
        event: &str,
        handler: impl Handler<OnClientEvent, Params>,
    ) -> ListenerHandle {
        self.0.add_listener(event, handler)
    }

    /// Runs when the server emits that [typed event](TypedEvent), on another thread.
    ///
    /// # Panics
    /// As [`on`](Self::on).
    #[track_caller]
    pub fn on_typed<E: TypedEvent, Params: 'static>(
        &self,
        event: E,
        handler: impl TypedHandler<E, OnClientEvent, Params>,
    ) -> &Self {
        self.0.on_typed(event, handler);
        self
    }

    /// Removes all handlers of `event`.
    pub fn off(&self, event: &str) -> &Self {
        self.0.off(event);
        self
    }

    /// The events that have no handlers, from now on, to be received one after the other: see [`ClientSocket::events`].
    pub fn events(&self) -> Events {
        Events(self.0.events())
    }
}

impl fmt::Debug for Socket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("blocking::Socket").field(&self.0.name()).finish()
    }
}

/// The events of a blocking client that have no handlers: an iterator, which ends when the client is disconnected for good.
#[derive(Debug)]
pub struct Events(AsyncEvents);

impl Events {
    /// The next event, if it comes in time.
    ///
    /// # Errors
    /// [`ReceiveError`], which tells a lack of events from the end of the connection.
    pub fn receive(&mut self, timeout: Duration) -> Result<Received, ReceiveError> {
        block_on(self.0.next_within(timeout))
    }
}

impl Iterator for Events {
    type Item = Received;

    fn next(&mut self) -> Option<Received> {
        block_on(self.0.next())
    }
}
