//! One namespace of a client.

use super::error::ConnectError;
use super::events::Events;
use super::handlers::Namespace;
use crate::base::error::{AckError, EmitError};
use crate::base::runtime::BoxFuture;
use crate::client::task::shared::{Alive, Shared};
use crate::handler::ack::AckTarget;
use crate::handler::outgoing::Watched;
use crate::handler::{
    Handler, OnClientConnect, OnClientConnectError, OnClientDisconnect, OnClientEvent, erase,
};
use futures_channel::oneshot;
use sansocket_protocol::error::SendError;
use sansocket_protocol::message::Frame;
use sansocket_protocol::socket::Args;
use sansocket_protocol::socket::ToArgs;
use sansocket_protocol::socket::{AckOutcome, AuthSource, EncodeError, SocketKey};
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::fmt;
use std::future::Future;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

/// How long [`ClientSocket::call`] waits for the answer.
const CALL_TIMEOUT: Duration = Duration::from_secs(60);

/// A client in one namespace. Cheap to clone, and usable anywhere: in handlers, in other tasks, before it is
/// connected and after.
///
/// What is emitted while it is not connected is kept, in order, and sent once it is, up to the builder's
/// `send_budget`, which each namespace has for itself. It is kept when the server refuses or disconnects the
/// namespace, too, for the next time that it joins: [`discard_unsent`](Self::discard_unsent) throws it away. What was
/// sent and not acknowledged when the connection is lost may or may not have arrived.
#[derive(Clone)]
pub struct ClientSocket {
    shared: Arc<Shared>,
    namespace: Arc<Namespace>,
    /// Keeps the client going.
    alive: Option<Arc<Alive>>,
}

impl ClientSocket {
    pub(crate) fn new(shared: Arc<Shared>, namespace: Arc<Namespace>, alive: Option<Arc<Alive>>) -> Self {
        Self { shared, namespace, alive }
    }

    pub(crate) fn shared(&self) -> &Arc<Shared> {
        &self.shared
    }

    pub(crate) fn namespace_inner(&self) -> &Arc<Namespace> {
        &self.namespace
    }

    fn key(&self) -> Result<SocketKey, SendError> {
        self.namespace.key.ok_or(SendError::Namespace)
    }

    /// The name of its namespace: `/`, or `/chat`.
    pub fn name(&self) -> &str {
        &self.namespace.name
    }

    /// The same client in another namespace, over the same connection. A missing slash is added to the name.
    #[must_use]
    pub fn namespace(&self, name: &str) -> Self {
        let namespace = self.shared.namespace(name);
        Self { shared: self.shared.clone(), namespace, alive: self.alive.clone() }
    }

    /// The public id that the server gave it; `None` while it is not connected.
    pub fn id(&self) -> Option<Arc<str>> {
        let key = self.namespace.key?;
        self.shared.cell.lock().machine.sockets()?.id(key).cloned()
    }

    /// Whether it is connected.
    pub fn is_connected(&self) -> bool {
        self.namespace.key.is_some_and(|key| self.shared.cell.lock().machine.is_connected(key))
    }

    /// The transport of the connection: `polling` or `websocket`; `None` while there is none.
    pub fn transport_name(&self) -> Option<&'static str> {
        self.shared.cell.lock().machine.transport().map(|transport| transport.as_str())
    }

    /// The value of that type that was given to the builder.
    pub(crate) fn state<T: Clone + Send + Sync + 'static>(&self) -> Option<T> {
        self.shared.settings.state.get::<T>().map(|value| T::clone(&value))
    }

    // --- connecting -------------------------------------------------------------------------------------------

    /// Sets what is shown to the server when it joins the namespace: anything that serializes to an object, or `null`
    /// for nothing.
    ///
    /// # Errors
    /// [`EncodeError`] if the value cannot be encoded, or is no object.
    pub fn auth<T: Serialize + ?Sized>(&self, auth: &T) -> Result<&Self, EncodeError> {
        self.set_auth(super::auth::encode(auth)?);
        Ok(self)
    }

    /// Sets what gives the auth anew, each time that it joins the namespace: for tokens that expire.
    ///
    /// If it fails, the socket is not connected, as if the server had refused it: it does not join again by itself,
    /// on a later connection neither. Retry inside of it what may work the next time.
    pub fn auth_with<T, E, F, Fut>(&self, auth: F) -> &Self
    where
        T: Serialize,
        E: fmt::Display,
        F: Fn() -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<T, E>> + Send + 'static,
    {
        let ask = move || -> BoxFuture<Result<AuthSource, ConnectError>> {
            let future = auth();
            Box::pin(async move {
                let auth = future.await.map_err(|error| ConnectError::Application(error.to_string()))?;
                let auth = super::auth::encode(&auth);
                auth.map_err(|error| ConnectError::Application(error.to_string()))
            })
        };
        let before = self.namespace.ask.lock().unwrap_or_else(PoisonError::into_inner).replace(Arc::new(ask));
        drop(before);
        self.set_auth(AuthSource::Ask);
        self
    }

    pub(crate) fn set_auth(&self, auth: AuthSource) {
        // A namespace that is none has nothing to show.
        let _ = self.shared.cell.lock().machine.add(&self.namespace.name, auth);
    }

    /// Connects, and returns once the server has let it into the namespace.
    ///
    /// If that fails, it is not tried again: see [`start`](Self::start) for a client that goes on trying. Once
    /// it has connected, a lost connection is made again by itself. Where that is under way, or `start` was called,
    /// this awaits the next try, and the trying goes on if that fails.
    ///
    /// # Errors
    /// [`ConnectError`] says who said no.
    pub async fn connect(&self) -> Result<(), ConnectError> {
        let connected = self.wait(false, true);
        self.shared.start();
        connected.await
    }

    /// Begins to connect in the background, and goes on trying until it succeeds, is refused, or `reconnection`'s
    /// settings say that it is enough.
    pub fn start(&self) {
        if self.namespace.key.is_some() {
            self.shared.connect(self.namespace.key);
        }
    }

    /// Waits until it is connected, through any number of failures to reach the server. It must have been told to
    /// [`start`](Self::start), or have been connected before.
    ///
    /// # Errors
    /// [`ConnectError`] if it is, or was, refused or disconnected, or the client gives up; at once
    /// [`ConnectError::Disconnected`] if nobody has told it to connect.
    pub async fn connected(&self) -> Result<(), ConnectError> {
        self.wait(true, false).await
    }

    fn wait(
        &self,
        patient: bool,
        connect: bool,
    ) -> impl Future<Output = Result<(), ConnectError>> + Send + 'static + use<> {
        // `None` would be plain Engine.IO.
        let key = self.namespace.key.ok_or(ConnectError::Namespace);
        let waiting = key.map(|key| self.shared.wait(Some(key), patient, connect));
        async move { waiting?.await }
    }

    /// Leaves the namespace, at once; with the last one the connection is closed, after what is queued was
    /// written. It does not come back by itself: [`connect`](Self::connect) or [`start`](Self::start) again.
    ///
    /// It may be called anywhere, handlers included. Acknowledgements that are awaited fail.
    pub fn disconnect(&self) {
        if self.namespace.key.is_some() {
            self.shared.disconnect(self.namespace.key);
        }
    }

    // --- handlers ---------------------------------------------------------------------------------------------

    fn change(&self, change: impl FnOnce(&mut super::handlers::Table)) -> &Self {
        self.namespace.change(change);
        self
    }

    /// Runs when the server emits `event`. Its return value is the acknowledgement. Several handlers of one event
    /// run in the order of registration, and the first value acknowledges.
    ///
    /// The events of one namespace are handled one after the other: while this handler awaits, the next ones
    /// wait. It may await an answer of the server.
    pub fn on<Params: 'static>(&self, event: &str, handler: impl Handler<OnClientEvent, Params>) -> &Self {
        let handler = erase(handler);
        self.change(|table| table.add(event, handler))
    }

    /// As [`on`](Self::on), for the next `event` only: then the handler is gone.
    pub fn once<Params: 'static>(&self, event: &str, handler: impl Handler<OnClientEvent, Params>) -> &Self {
        let handler = erase(handler);
        self.change(|table| table.add_once(event, handler))
    }

    /// Removes all handlers of `event`.
    pub fn off(&self, event: &str) -> &Self {
        self.change(|table| table.remove(event))
    }

    /// Runs for every event, before its handlers. What it returns is no acknowledgement.
    pub fn on_any<Params: 'static>(&self, handler: impl Handler<OnClientEvent, Params>) -> &Self {
        let handler = erase(handler);
        self.change(|table| table.any.push(handler))
    }

    /// Removes all handlers of [`on_any`](Self::on_any).
    pub fn off_any(&self) -> &Self {
        self.change(|table| table.any.clear())
    }

    /// Runs for events that have no handler of their own.
    pub fn on_fallback<Params: 'static>(&self, handler: impl Handler<OnClientEvent, Params>) -> &Self {
        let handler = erase(handler);
        self.change(|table| table.fallback.push(handler))
    }

    /// Removes all handlers of [`on_fallback`](Self::on_fallback). A loop over the [`events`](Self::events) stays.
    pub fn off_fallback(&self) -> &Self {
        self.change(super::handlers::Table::remove_fallback)
    }

    /// Shows every event that is emitted in this namespace, once it is queued, connected or not: for logs and counts.
    /// The arguments are as the server gets them; `args.event()` is the name. An event that is sent again (`retries`)
    /// is shown once. Acknowledgements are no events.
    ///
    /// It runs where the event is emitted, so it must not block. What it emits itself is shown to it, too. While
    /// there is no such hook, this costs nothing.
    pub fn on_any_outgoing(&self, hook: impl Fn(&ClientSocket, &Args) + Send + Sync + 'static) -> &Self {
        self.namespace.outgoing.add(hook);
        self
    }

    /// Removes all hooks registered with [`on_any_outgoing`](Self::on_any_outgoing).
    pub fn off_any_outgoing(&self) -> &Self {
        self.namespace.outgoing.clear();
        self
    }

    /// Runs each time that it has connected: the first time, and after each loss.
    pub fn on_connect<Params: 'static>(&self, handler: impl Handler<OnClientConnect, Params>) -> &Self {
        let handler = erase(handler);
        self.change(|table| table.connect.push(handler))
    }

    /// Runs each time that it could not connect: the server refused it, or could not be reached.
    pub fn on_connect_error<Params: 'static>(
        &self,
        handler: impl Handler<OnClientConnectError, Params>,
    ) -> &Self {
        let handler = erase(handler);
        self.change(|table| table.connect_error.push(handler))
    }

    /// Runs each time that it is not connected any more, after all its events.
    pub fn on_disconnect<Params: 'static>(&self, handler: impl Handler<OnClientDisconnect, Params>) -> &Self {
        let handler = erase(handler);
        self.change(|table| table.disconnect.push(handler))
    }

    /// The events as they come, for those who want a loop instead of handlers. Events that have handlers of their
    /// own are not among them.
    ///
    /// While 256 of them wait to be taken, the next ones of this namespace wait, too. What comes while there is no
    /// `Events` is not kept, so take it before connecting.
    pub fn events(&self) -> Events {
        Events::new(self)
    }

    // --- messages ---------------------------------------------------------------------------------------------

    /// Emits an event to the server. A tuple is several arguments, `&()` none, anything else one; bytes (`Bytes`)
    /// travel as binary.
    ///
    /// It never waits: what cannot be sent now is kept and sent in order.
    ///
    /// # Errors
    /// [`EmitError`] if the value cannot be encoded, the name is reserved, more than `send_budget` bytes wait, or the
    /// async runtime that the client ran on is gone.
    pub fn emit<T: ToArgs + ?Sized>(&self, event: &str, args: &T) -> Result<(), EmitError> {
        if self.shared.settings.reliable {
            let id = self.namespace.next_ack_id();
            let frame = self.namespace.parser.event(&self.namespace.name, event, Some(id), args)?;
            return Ok(self.send_reliably(frame, id, None)?);
        }
        let frame = self.namespace.parser.event(&self.namespace.name, event, None, args)?;
        let key = self.key()?;
        let watched = self.namespace.outgoing.watch(&self.namespace.parser, &frame);
        let now = self.shared.cell.now();
        self.shared.cell.with(|inner| {
            if inner.ended {
                return Err(SendError::Disconnected);
            }
            inner.machine.emit(now, key, &frame)
        })?;
        self.show(watched);
        Ok(())
    }

    /// An event was queued that somebody may want to see.
    fn show(&self, watched: Option<Watched<Self>>) {
        if let Some(watched) = watched {
            watched.show(self, None);
        }
    }

    /// Emits an event if it can leave at once, and otherwise drops it: for positions, cursors, sounds.
    ///
    /// # Errors
    /// As [`emit`](Self::emit). That it was dropped is none.
    pub fn emit_volatile<T: ToArgs + ?Sized>(&self, event: &str, args: &T) -> Result<(), EmitError> {
        let frame = self.namespace.parser.event(&self.namespace.name, event, None, args)?;
        let key = self.key()?;
        let watched = self.namespace.outgoing.watch(&self.namespace.parser, &frame);
        let now = self.shared.cell.now();
        if self.shared.cell.with(|inner| inner.machine.emit_volatile(now, key, &frame))? {
            self.show(watched);
        }
        Ok(())
    }

    /// Waits until less than half of the send budget is used, then emits: for a sender that produces faster than
    /// the server reads.
    ///
    /// # Errors
    /// As [`emit`](Self::emit).
    pub async fn emit_when_ready<T: ToArgs + ?Sized>(&self, event: &str, args: &T) -> Result<(), EmitError> {
        self.ready().await;
        self.emit(event, args)
    }

    /// Bytes of events that wait until it is connected, or with the builder's `retries` until they are acknowledged,
    /// with 64 more for each.
    pub fn unsent(&self) -> usize {
        let Some(key) = self.namespace.key else { return 0 };
        self.shared.cell.lock().machine.sockets().map_or(0, |sockets| sockets.buffered_by(key))
    }

    /// Throws away what is [unsent](Self::unsent). Acknowledgements that are awaited for it fail as disconnected.
    pub fn discard_unsent(&self) {
        if let Some(key) = self.namespace.key {
            self.shared.discard(key);
        }
    }

    /// Waits until less than half of the send budget is used, or nothing will be sent unless somebody
    /// [connects](Self::connect) again.
    pub async fn ready(&self) {
        self.shared.cell.ready(self.namespace.key).await;
    }

    /// Emits an event and awaits the server's acknowledgement, for up to 60 seconds: its first argument, or a tuple
    /// of several.
    ///
    /// The event is sent by the call, not by the first poll. The answer comes exactly once: the value, or an error
    /// when it took too long or the connection was lost.
    ///
    /// ```
    /// # use sansocket_runtime::{AckError, ClientSocket};
    /// async fn ask(socket: ClientSocket) -> Result<u32, AckError> {
    ///     socket.call("add", &(1, 2)).await
    /// }
    /// ```
    ///
    /// With the builder's `retries`, the event is sent until it is acknowledged, and the settings of the retries
    /// decide when it is enough.
    pub fn call<T: ToArgs + ?Sized, R: DeserializeOwned>(
        &self,
        event: &str,
        args: &T,
    ) -> impl Future<Output = Result<R, AckError>> + Send + 'static + use<T, R> {
        let answer = self.emit_with_ack(event, args, CALL_TIMEOUT);
        async move { Ok(answer.await?.decode()?) }
    }

    /// As [`call`](Self::call), with a time limit of its own and the arguments as they came.
    pub fn emit_with_ack<T: ToArgs + ?Sized>(
        &self,
        event: &str,
        args: &T,
        timeout: Duration,
    ) -> impl Future<Output = Result<Args, AckError>> + Send + 'static + use<T> {
        let id = self.namespace.next_ack_id();
        let (sender, receiver) = oneshot::channel();
        let sent = self
            .namespace
            .parser
            .event(&self.namespace.name, event, Some(id), args)
            .map_err(EmitError::from)
            .and_then(|frame| {
                let sink = move |outcome| {
                    // Nobody listens if the future was dropped.
                    let _ = sender.send(outcome);
                };
                if self.shared.settings.reliable {
                    return Ok(self.send_reliably(frame, id, Some(Box::new(sink)))?);
                }
                let key = self.key()?;
                let watched = self.namespace.outgoing.watch(&self.namespace.parser, &frame);
                let now = self.shared.cell.now();
                self.shared.cell.with(|inner| {
                    if inner.ended {
                        return Err(SendError::Disconnected);
                    }
                    inner.machine.emit_with_ack(now, key, &frame, id, now + timeout)?;
                    inner.acks.insert((key, id), Box::new(sink));
                    Ok(())
                })?;
                self.show(watched);
                Ok(())
            });
        let shared = self.shared.clone();
        async move {
            sent?;
            // The task watches the time, connected or not.
            shared.start();
            drop(shared);
            match receiver.await {
                Ok(AckOutcome::Answered(args)) => Ok(args),
                Ok(AckOutcome::Timeout) => Err(AckError::Timeout),
                Ok(_) | Err(oneshot::Canceled) => Err(AckError::Disconnected),
            }
        }
    }

    fn send_reliably(
        &self,
        frame: Frame,
        id: u64,
        sink: Option<crate::session::handle::AckSink>,
    ) -> Result<(), SendError> {
        let key = self.key()?;
        let watched = self.namespace.outgoing.watch(&self.namespace.parser, &frame);
        let now = self.shared.cell.now();
        self.shared.cell.with(|inner| {
            if inner.ended {
                return Err(SendError::Disconnected);
            }
            inner.machine.emit_reliably(now, key, frame, id)?;
            if let Some(sink) = sink {
                inner.acks.insert((key, id), sink);
            }
            Ok(())
        })?;
        self.show(watched);
        Ok(())
    }

    pub(crate) fn send_ack(&self, target: &AckTarget, frame: &Frame) -> Result<(), SendError> {
        let key = self.key()?;
        let now = self.shared.cell.now();
        self.shared.cell.with(|inner| inner.machine.ack_on(now, key, target.connection, frame))
    }
}

impl PartialEq for ClientSocket {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.namespace, &other.namespace)
    }
}

impl Eq for ClientSocket {}

impl fmt::Debug for ClientSocket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClientSocket").field("namespace", &self.namespace.name).finish()
    }
}
