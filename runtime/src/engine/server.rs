//! A plain Engine.IO server: sessions that open, exchange messages, and close, without Socket.IO on top.

use crate::base::error::HandlerError;
use crate::base::job::Job;
use crate::base::runtime::BoxFuture;
use crate::base::timing::Since;
use crate::base::trace::debug;
use crate::base::typemap::TypeMap;
use crate::handler::message::{EngineHandlers, Message};
use crate::http::endpoint::Endpoint;
use crate::http::gate::Gate;
use crate::http::handshake::Handshake;
use crate::http::listener::Mount;
use crate::session::handle::SessionHandle;
use crate::session::stats::Stats;
use crate::session::task::Application;
use sansocket_protocol::engine::TransportKind;
use sansocket_protocol::error::{CloseReason, SendError};
use sansocket_protocol::server::ServerEvent;
use sansocket_protocol::socket::SocketKey;
use std::any::Any;
use std::fmt;
use std::future::Future;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak};
use std::task;
use std::time::Duration;

/// A plain Engine.IO server. Cheap to clone.
#[derive(Clone)]
pub struct EngineServer(Arc<Gate>);

/// The state that all sessions of a server share with the application.
pub(super) struct EngineShared {
    pub(super) state: TypeMap,
    pub(super) server: OnceLock<Weak<Gate>>,
}

impl EngineServer {
    pub(super) fn new(gate: Gate, shared: &EngineShared) -> Self {
        let gate = Arc::new(gate);
        // Just made, so nobody has set it.
        let _ = shared.server.set(Arc::downgrade(&gate));
        #[cfg(feature = "metrics")]
        {
            let of = Arc::downgrade(&gate);
            gate.set_record(move || {
                if let Some(gate) = of.upgrade() {
                    gate.record_metrics();
                }
            });
        }
        Self(gate)
    }

    /// The open session of that id, which is a secret between the server and its client.
    pub fn session(&self, id: &str) -> Option<EngineSocket> {
        EngineSocket::of(self.0.session(id)?)
    }

    /// The open sessions, in the order of their ids. To send a message to all of them:
    ///
    /// ```
    /// # use sansocket_runtime::{EngineServer, Message};
    /// fn tell_all(engine: &EngineServer, text: &str) {
    ///     for session in engine.sessions() {
    ///         // Those that have gone meanwhile need no message.
    ///         let _ = session.send(text);
    ///     }
    /// }
    /// ```
    pub fn sessions(&self) -> Vec<EngineSocket> {
        self.0.all_sessions().into_iter().filter_map(EngineSocket::of).collect()
    }

    /// Brings the metrics that are counts and gauges up to date, at once instead of in a while: before they are scraped.
    /// Without [`metrics`](crate::ServerBuilder::metrics) of the builder it does nothing. It visits all sessions.
    #[cfg(feature = "metrics")]
    pub fn record_metrics(&self) {
        self.0.record_metrics();
    }

    /// Closes all sessions after their queued messages were written. New ones may be opened at once: see
    /// [`shutdown`](Self::shutdown).
    pub fn close_all(&self) {
        for session in self.0.all_sessions() {
            session.with(|machine| machine.close(CloseReason::ForcedClose));
        }
    }

    /// The HTTP side, for adapters to mount.
    pub fn endpoint(&self) -> Endpoint {
        Endpoint::new(self.0.clone(), None)
    }

    /// The figures of the server so far: sessions, messages, refusals by the limits. This visits every session.
    pub fn stats(&self) -> Stats {
        self.0.stats()
    }

    /// The number of open sessions.
    pub fn clients_count(&self) -> usize {
        self.0.sessions()
    }

    /// Shuts down in good order: no session is opened any more, queued messages are written, handlers finish. Anything
    /// left after `timeout` is cut off, handlers that still wait included.
    pub async fn shutdown(&self, timeout: Duration) {
        self.0.shutdown(timeout).await;
        // The task that does it every few seconds may not come to it any more.
        #[cfg(feature = "metrics")]
        self.record_metrics();
    }

    /// Waits for the signal, and then [shuts down](Self::shutdown): for a host's own graceful shutdown, which otherwise waits
    /// for the polls of all clients, and cuts WebSockets off.
    pub fn shutdown_on<F>(&self, signal: F, timeout: Duration) -> impl Future<Output = ()> + Send + use<F>
    where
        F: Future + Send,
    {
        let server = self.clone();
        async move {
            signal.await;
            server.shutdown(timeout).await;
        }
    }
}

impl Mount for EngineServer {
    fn mount_point(&self) -> Endpoint {
        self.endpoint()
    }
}

impl fmt::Debug for EngineServer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EngineServer").field("path", &self.0.config.path).finish_non_exhaustive()
    }
}

/// One session of a plain Engine.IO server. Cheap to clone, and usable anywhere.
///
/// ```
/// # use sansocket_runtime::{EngineSocket, Message};
/// # use std::sync::atomic::{AtomicU32, Ordering};
/// struct Received(AtomicU32);
///
/// async fn on_open(socket: EngineSocket) {
///     socket.insert(Received(AtomicU32::new(0)));
/// }
///
/// async fn on_message(socket: EngineSocket, message: Message) {
///     if let Some(received) = socket.get::<Received>() {
///         println!("{} messages", received.0.fetch_add(1, Ordering::Relaxed) + 1);
///     }
/// }
/// ```
#[derive(Clone)]
pub struct EngineSocket {
    session: Arc<SessionHandle>,
    own: Arc<Own>,
}

/// The part of a session that is the application's.
struct Own {
    handshake: Handshake,
    data: Mutex<TypeMap>,
    shared: Arc<EngineShared>,
}

impl EngineSocket {
    /// The socket of a session that has opened.
    fn of(session: Arc<SessionHandle>) -> Option<Self> {
        let own = session.attached::<Own>()?;
        Some(Self { session, own })
    }

    /// The session id. It is a secret between the server and this client: never tell it to anybody else.
    pub fn id(&self) -> Arc<str> {
        self.session.lock().machine.id().clone()
    }

    /// The request that opened the session.
    pub fn handshake(&self) -> &Handshake {
        &self.own.handshake
    }

    /// The latest request of the session so far: a poll, a POST, the upgrade to a WebSocket. `None` without
    /// [`keep_latest_request`](crate::ServerBuilder::keep_latest_request), and once the session has ended.
    pub fn latest_request(&self) -> Option<Handshake> {
        self.own.shared.server.get()?.upgrade()?.latest_request(&self.session)
    }

    /// The server, unless all its handles are gone.
    pub fn server(&self) -> Option<EngineServer> {
        self.own.shared.server.get()?.upgrade().map(EngineServer)
    }

    /// The value of that type that was given to the server's builder (`state`).
    pub fn state<T: Send + Sync + 'static>(&self) -> Option<Arc<T>> {
        self.own.shared.state.get()
    }

    /// Keeps a value with the session, one of each type, until the last handle of the session is gone. Returns the value
    /// of that type that was there.
    pub fn insert<T: Send + Sync + 'static>(&self, value: T) -> Option<Arc<T>> {
        self.data().insert(Arc::new(value))
    }

    /// The value of that type that was kept with the session.
    pub fn get<T: Send + Sync + 'static>(&self) -> Option<Arc<T>> {
        self.data().get()
    }

    /// Takes the value of that type out.
    pub fn remove<T: Send + Sync + 'static>(&self) -> Option<Arc<T>> {
        self.data().remove()
    }

    fn data(&self) -> MutexGuard<'_, TypeMap> {
        self.own.data.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns whether messages pass.
    pub fn is_open(&self) -> bool {
        self.session.lock().machine.is_open()
    }

    /// The transport in use at the moment.
    pub fn transport(&self) -> TransportKind {
        self.session.transport()
    }

    /// Queues a message. It never waits.
    ///
    /// A text must not contain U+001E if the client may be polling: that character stands between two packets there, and
    /// the protocol has no way to escape it. Text of one client that is passed on to another could so forge packets of
    /// the other's session, and end it. Refuse or replace the character in such text, or send it as JSON, which escapes
    /// it. Socket.IO always does.
    ///
    /// # Errors
    /// [`SendError`].
    pub fn send(&self, message: impl Into<Message>) -> Result<(), SendError> {
        let frame = message.into().into_frame();
        self.session.with(|machine| machine.send(frame))
    }

    /// Waits until less than half of the send budget is used, or the client is gone.
    pub async fn ready(&self) {
        self.session.ready().await;
    }

    /// Waits until all messages that were queued before this call are written: to the WebSocket's connection, or into the
    /// answer to a poll that HTTP has taken, and if that is longer than 4 KiB, written. It says nothing about the client
    /// having read them.
    ///
    /// ```
    /// # use sansocket_runtime::EngineSocket;
    /// # use sansocket_protocol::error::SendError;
    /// async fn send_and_flush(socket: &EngineSocket) -> Result<(), SendError> {
    ///     socket.send("one")?;
    ///     socket.flushed().await
    /// }
    /// ```
    ///
    /// # Errors
    /// [`SendError::Disconnected`] if the session has ended before that was known.
    pub fn flushed(&self) -> impl Future<Output = Result<(), SendError>> + Send {
        self.session.flushed()
    }

    /// Closes the session after the queued messages were written.
    pub fn close(&self) {
        self.session.with(|machine| machine.close(CloseReason::ForcedClose));
    }
}

impl fmt::Debug for EngineSocket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("EngineSocket(..)")
    }
}

/// The application of a plain Engine.IO session: it runs the handlers.
pub(super) struct Messages {
    handlers: EngineHandlers<EngineSocket>,
    own: Arc<Own>,
    /// A session that never opened is not closed either, for the application.
    opened: bool,
}

impl Messages {
    pub(super) fn new(
        handlers: EngineHandlers<EngineSocket>,
        handshake: Handshake,
        shared: Arc<EngineShared>,
    ) -> Self {
        let own = Arc::new(Own { handshake, data: Mutex::default(), shared });
        Self { handlers, own, opened: false }
    }

    fn socket(&self, session: &Arc<SessionHandle>) -> EngineSocket {
        EngineSocket { session: session.clone(), own: self.own.clone() }
    }
}

fn job(future: BoxFuture<()>) -> Job<BoxFuture<()>> {
    Job { socket: None, work: future, since: Since::default() }
}

impl Application for Messages {
    type Work = BoxFuture<()>;

    fn open(&mut self, session: &Arc<SessionHandle>) -> Option<Job<Self::Work>> {
        self.opened = true;
        session.attach(self.own.clone());
        self.handlers.opened(|| self.socket(session)).map(job)
    }

    fn handle(
        &mut self,
        event: ServerEvent,
        session: &Arc<SessionHandle>,
        context: &mut task::Context<'_>,
    ) -> Option<Job<Self::Work>> {
        let begun = match event {
            ServerEvent::Message(message) => self.handlers.message(|| self.socket(session), message),
            ServerEvent::Upgraded => self.handlers.upgraded(|| self.socket(session)),
            ServerEvent::Closed(closed) => {
                debug!(reason = %closed.reason, "a session was closed");
                let told = self.opened.then(|| self.handlers.closed(|| self.socket(session), closed.reason));
                told.flatten()
            }
            _ => None,
        };
        job(begun?).begun(context)
    }

    fn panicked(&mut self, _: Option<SocketKey>, panic: Box<dyn Any + Send>, session: &Arc<SessionHandle>) {
        let error = HandlerError::panic(panic);
        debug!(%error, "a handler panicked");
        session.with(|machine| machine.close(CloseReason::HandlerPanic));
    }

    fn ended(&mut self, _: &Arc<SessionHandle>) {}
}
