//! The client's socket: one namespace of a client.

use super::error::{ConnectError, ServerRefusal};
use super::events::Events;
use super::namespace::ClientNamespace;
use super::table::ClientTable;
use crate::base::error::BoxError;
use crate::base::runtime::BoxFuture;
use crate::client::task::handle::Patience;
use crate::client::task::shared::{Lease, Shared};
use crate::handler::ack::MESSAGE;
use crate::handler::listener::ListenerHandle;
use crate::handler::reserved::{End, check_event};
use crate::handler::table::Listener;
use crate::handler::{
    Handler, OnClientConnect, OnClientConnectError, OnClientDisconnect, OnClientEvent, erase,
};
use sansocket_protocol::engine::TransportKind;
use sansocket_protocol::error::SendError;
use sansocket_protocol::socket::{Args, AuthSource, EncodeError, SocketKey};
use serde::Serialize;
use std::fmt;
use std::future::Future;
use std::sync::{Arc, PoisonError};

/// One namespace of a client. Cheap to clone, and usable anywhere: in handlers, in other tasks, before it is connected
/// and after.
///
/// Events that are emitted while it is not connected are kept, in order, and sent once it is, up to the builder's
/// `send_budget`, which each namespace has for itself. They are also kept when the server refuses or disconnects the
/// namespace, for the next time that it joins: [`discard_unsent`](Self::discard_unsent) drops them. An event that was
/// sent and not acknowledged when the connection is lost may or may not have arrived.
///
/// ```
/// use sansocket_runtime::{AckError, Client, ClientSocket, Data, DisconnectReason};
///
/// async fn run(client: Client) -> Result<(), Box<dyn std::error::Error>> {
///     let chat = client.namespace("/chat");
///     chat.auth(&serde_json::json!({ "token": "abc" }))?;
///     chat.on("said", async |Data(text): Data<String>| println!("{text}"))
///         .on("ping", async |socket: ClientSocket| format!("{:?} is here", socket.id()))
///         .on_connect(async |socket: ClientSocket| {
///             // The first time, and after each loss.
///             let _ = socket.emit("enter", &"lobby");
///         })
///         .on_disconnect(async |reason: DisconnectReason| println!("lost: {reason}"));
///     chat.connect().await?;
///
///     let count: u32 = chat.call("count", &"lobby").await?;
///     chat.emit("say", &format!("hello, all {count}"))?;
///     Ok(())
/// }
/// ```
#[derive(Clone)]
pub struct ClientSocket {
    pub(super) shared: Lease,
    pub(super) namespace: Arc<ClientNamespace>,
}

impl ClientSocket {
    pub(crate) fn new(shared: Lease, namespace: Arc<ClientNamespace>) -> Self {
        Self { shared, namespace }
    }

    pub(crate) fn shared(&self) -> &Arc<Shared> {
        &self.shared
    }

    pub(crate) fn lease(&self) -> &Lease {
        &self.shared
    }

    pub(crate) fn namespace_inner(&self) -> &Arc<ClientNamespace> {
        &self.namespace
    }

    pub(super) fn key(&self) -> Result<SocketKey, SendError> {
        self.namespace.key.ok_or(SendError::Namespace)
    }

    /// The name of the namespace: `/`, or `/chat`.
    pub fn name(&self) -> &str {
        &self.namespace.name
    }

    /// The same client in another namespace, over the same connection. A missing slash is added to the name.
    #[must_use]
    pub fn namespace(&self, name: &str) -> Self {
        let namespace = self.shared.namespace(name);
        Self { shared: self.shared.clone(), namespace }
    }

    /// The public id that the server gave the socket; `None` while it is not connected.
    pub fn id(&self) -> Option<Arc<str>> {
        let key = self.namespace.key?;
        self.shared.handle.lock().machine.socket_id(key).cloned()
    }

    /// Returns whether the namespace is connected.
    pub fn is_connected(&self) -> bool {
        self.namespace.key.is_some_and(|key| self.shared.handle.lock().machine.is_connected(key))
    }

    /// Returns whether the server has given the socket its session back when it connected last: the same id, and every event that
    /// it has missed. False while it is not connected, and at a server without connection state recovery.
    pub fn recovered(&self) -> bool {
        self.namespace.key.is_some_and(|key| self.shared.handle.lock().machine.is_recovered(key))
    }

    /// The transport of the connection; `None` while there is none.
    pub fn transport(&self) -> Option<TransportKind> {
        self.shared.handle.lock().machine.transport()
    }

    // --- connecting -------------------------------------------------------------------------------------------

    /// Sets the `auth` object that the server gets when the client joins the namespace: any value that serializes to an
    /// object, or `null` for nothing.
    ///
    /// # Errors
    /// [`EncodeError`] if the value cannot be encoded, or is not an object.
    pub fn auth<T: Serialize + ?Sized>(&self, auth: &T) -> Result<&Self, EncodeError> {
        self.set_auth(super::auth::encode(auth)?);
        Ok(self)
    }

    /// Sets a callback that gives the auth each time that the client joins the namespace: for tokens that expire.
    ///
    /// If the callback fails, the socket is not connected, as if the server had refused it: it does not join again by
    /// itself, not on a later connection either. Retry inside the callback whatever may work the next time. Its error
    /// is found in [`ConnectError::Application`].
    pub fn auth_with<T, E, F, Fut>(&self, auth: F) -> &Self
    where
        T: Serialize,
        E: Into<BoxError>,
        F: Fn() -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<T, E>> + Send + 'static,
    {
        self.ask_with(AuthSource::Ask, move |_| auth())
    }

    /// As [`auth_with`](Self::auth_with), for tokens that have to be refreshed: if the server refuses the client, the
    /// callback runs once more, and sees the refusal. A second refusal in a row is final, as any other is.
    ///
    /// Meanwhile the socket counts as about to connect: [`connect`](Self::connect) waits, no `on_connect_error` handler
    /// runs, and [`Client::closed`](crate::Client::closed) does not end. A callback that has nothing better to offer hands
    /// the refusal back as its error.
    ///
    /// ```
    /// use sansocket_runtime::{Client, ConnectError, ServerRefusal};
    ///
    /// # #[derive(serde::Serialize)]
    /// # struct Login { token: String }
    /// # async fn kept_token() -> String { String::new() }
    /// # async fn fresh_token() -> String { String::new() }
    /// fn log_in(client: &Client) {
    ///     client.auth_refreshed(async |refused: Option<ServerRefusal>| {
    ///         let token = match refused {
    ///             None => kept_token().await,
    ///             Some(refusal) if refusal.message() == "token expired" => fresh_token().await,
    ///             Some(refusal) => return Err(refusal),
    ///         };
    ///         Ok(Login { token })
    ///     });
    /// }
    /// ```
    pub fn auth_refreshed<T, E, F, Fut>(&self, auth: F) -> &Self
    where
        T: Serialize,
        E: Into<BoxError>,
        F: Fn(Option<ServerRefusal>) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<T, E>> + Send + 'static,
    {
        self.ask_with(AuthSource::AskAgain, auth)
    }

    fn ask_with<T, E, F, Fut>(&self, source: AuthSource, auth: F) -> &Self
    where
        T: Serialize,
        E: Into<BoxError>,
        F: Fn(Option<ServerRefusal>) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<T, E>> + Send + 'static,
    {
        let ask = move |refused| -> BoxFuture<Result<AuthSource, ConnectError>> {
            let future = auth(refused);
            Box::pin(async move {
                let auth = future.await.map_err(ConnectError::application)?;
                let auth = super::auth::encode(&auth);
                auth.map_err(ConnectError::application)
            })
        };
        let before = self.namespace.ask.lock().unwrap_or_else(PoisonError::into_inner).replace(Arc::new(ask));
        drop(before);
        self.set_auth(source);
        self
    }

    pub(crate) fn set_auth(&self, auth: AuthSource) {
        // A name that no namespace can have is found out by `connect`.
        let _ = self.shared.handle.lock().machine.add(&self.namespace.name, auth);
    }

    /// Connects, and returns once the server has let the client into the namespace.
    ///
    /// If that fails, it is not tried again: see [`start`](Self::start) for a client that goes on trying. Once
    /// the client has connected, it makes a lost connection again by itself. While it does, or after `start`, this
    /// method awaits the next try, and the trying goes on if that fails.
    ///
    /// # Errors
    /// [`ConnectError`], which tells a refusal from a failure to reach the server.
    pub async fn connect(&self) -> Result<(), ConnectError> {
        let connected = self.wait(Patience::NextTry);
        self.shared.start();
        connected.await
    }

    /// Begins to connect in the background, and goes on trying until the client is connected, is refused, or has tried
    /// as often as the settings of `reconnection` allow.
    pub fn start(&self) {
        if self.namespace.key.is_some() {
            self.shared.connect(self.namespace.key);
        }
    }

    /// Waits until the namespace is connected, through any number of failures to reach the server. Call
    /// [`start`](Self::start) or [`connect`](Self::connect) before.
    ///
    /// # Errors
    /// [`ConnectError`] if the namespace is, or was, refused or disconnected, or the client gives up; at once
    /// [`ConnectError::Disconnected`] if it was never told to connect.
    pub async fn connected(&self) -> Result<(), ConnectError> {
        self.wait(Patience::AnyTry).await
    }

    fn wait(
        &self,
        patience: Patience,
    ) -> impl Future<Output = Result<(), ConnectError>> + Send + 'static + use<> {
        // `None` would be plain Engine.IO.
        let key = self.namespace.key.ok_or(ConnectError::Namespace);
        let waiting = key.map(|key| self.shared.wait(Some(key), patience));
        async move { waiting?.await }
    }

    /// Leaves the namespace, at once; with the last namespace the connection is closed, once the queued events are
    /// written. The client does not join again by itself: call [`connect`](Self::connect) or [`start`](Self::start).
    ///
    /// It may be called anywhere, in handlers too. Acknowledgements that are awaited fail.
    pub fn disconnect(&self) {
        if self.namespace.key.is_some() {
            self.shared.disconnect(self.namespace.key);
        }
    }

    // --- handlers ---------------------------------------------------------------------------------------------

    fn change(&self, change: impl FnOnce(&mut ClientTable)) -> &Self {
        self.namespace.change(change);
        self
    }

    /// Runs when the server emits `event`. Its return value is the acknowledgement. Several handlers of one event
    /// run in the order of registration, and the first value acknowledges.
    ///
    /// The events of one namespace are handled one after the other: while this handler awaits, the next ones
    /// wait. It may await an answer of the server.
    ///
    /// # Panics
    /// If `event` is a name that no server may send, such as `connect` or `disconnect`: the message says which method
    /// to use.
    #[track_caller]
    pub fn on<Params: 'static>(&self, event: &str, handler: impl Handler<OnClientEvent, Params>) -> &Self {
        check_event(End::Client, event);
        let handler = erase(handler);
        self.change(|table| table.events.add(event, Listener::in_line(handler)))
    }

    /// Runs when the server emits `message`, as `send` does: [`on`](Self::on) of that name.
    pub fn on_message<Params: 'static>(&self, handler: impl Handler<OnClientEvent, Params>) -> &Self {
        self.on(MESSAGE, handler)
    }

    /// As [`on`](Self::on), for the next `event` only: the handler is then removed.
    ///
    /// # Panics
    /// As [`on`](Self::on).
    #[track_caller]
    pub fn once<Params: 'static>(&self, event: &str, handler: impl Handler<OnClientEvent, Params>) -> &Self {
        check_event(End::Client, event);
        let handler = erase(handler);
        self.change(|table| table.add_once(event, handler))
    }

    /// As [`on`](Self::on), and returns a handle by which this one handler is removed.
    ///
    /// # Panics
    /// As [`on`](Self::on).
    #[track_caller]
    pub fn add_listener<Params: 'static>(
        &self,
        event: &str,
        handler: impl Handler<OnClientEvent, Params>,
    ) -> ListenerHandle {
        check_event(End::Client, event);
        self.namespace.clone().add_listener(event, erase(handler), false)
    }

    /// As [`add_listener`](Self::add_listener), before the handlers of `event` that are registered already.
    ///
    /// # Panics
    /// As [`on`](Self::on).
    #[track_caller]
    pub fn prepend_listener<Params: 'static>(
        &self,
        event: &str,
        handler: impl Handler<OnClientEvent, Params>,
    ) -> ListenerHandle {
        check_event(End::Client, event);
        self.namespace.clone().add_listener(event, erase(handler), true)
    }

    /// Removes all handlers of `event`. For a single one, see [`add_listener`](Self::add_listener).
    pub fn off(&self, event: &str) -> &Self {
        self.change(|table| table.events.remove(event))
    }

    /// Runs for every event, before its handlers. Its return value is not an acknowledgement.
    pub fn on_any<Params: 'static>(&self, handler: impl Handler<OnClientEvent, Params>) -> &Self {
        let handler = erase(handler);
        self.change(|table| table.events.any.push(handler))
    }

    /// Removes all handlers of [`on_any`](Self::on_any).
    pub fn off_any(&self) -> &Self {
        self.change(|table| table.events.any.clear())
    }

    /// Runs for events that have no handler of their own.
    pub fn on_fallback<Params: 'static>(&self, handler: impl Handler<OnClientEvent, Params>) -> &Self {
        let handler = erase(handler);
        self.change(|table| table.events.fallback.push(Listener::in_line(handler)))
    }

    /// Removes all handlers of [`on_fallback`](Self::on_fallback). A loop over the [`events`](Self::events) stays.
    pub fn off_fallback(&self) -> &Self {
        self.change(ClientTable::remove_fallback)
    }

    /// Adds a hook that sees every event that is emitted in this namespace, once it is queued, connected or not: for
    /// logs and counts. The arguments are as the server gets them; `args.event()` is the name. An event that is sent
    /// again (`retries`) is shown once. Acknowledgements are not events.
    ///
    /// The hook runs where the event is emitted, so it must not block. It also sees the events that it emits itself.
    /// Without a hook, this costs nothing.
    pub fn on_any_outgoing(&self, hook: impl Fn(&ClientSocket, &Args) + Send + Sync + 'static) -> &Self {
        self.namespace.outgoing.add(hook);
        self
    }

    /// Removes all hooks registered with [`on_any_outgoing`](Self::on_any_outgoing).
    pub fn off_any_outgoing(&self) -> &Self {
        self.namespace.outgoing.clear();
        self
    }

    /// Runs each time that the namespace has connected: the first time, and after each loss.
    pub fn on_connect<Params: 'static>(&self, handler: impl Handler<OnClientConnect, Params>) -> &Self {
        let handler = erase(handler);
        self.change(|table| table.connect.push(handler))
    }

    /// Runs each time that the namespace could not be connected: the server refused, or could not be reached.
    pub fn on_connect_error<Params: 'static>(
        &self,
        handler: impl Handler<OnClientConnectError, Params>,
    ) -> &Self {
        let handler = erase(handler);
        self.change(|table| table.connect_error.push(handler))
    }

    /// Runs each time that the namespace is no longer connected, after all its events.
    pub fn on_disconnect<Params: 'static>(&self, handler: impl Handler<OnClientDisconnect, Params>) -> &Self {
        let handler = erase(handler);
        self.change(|table| table.disconnect.push(handler))
    }

    /// The events as they come, for a loop instead of handlers. Events that have handlers of their own are not among
    /// them.
    ///
    /// While 256 of them wait to be taken, the next ones of this namespace wait, too. Events that come while there is
    /// no `Events` are not kept, so call this before connecting.
    pub fn events(&self) -> Events {
        Events::new(self)
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
