//! A plain Engine.IO server: sessions that open, exchange messages, and close, without Socket.IO on top.

use crate::base::runtime::{BoxFuture, Runtime};
use crate::base::trace::debug;
use crate::handler::job::Job;
use crate::http::endpoint::Endpoint;
use crate::http::gate::{Gate, MakeApplication};
use crate::http::handshake::Handshake;
use crate::server::options::{BuildError, Options, random};
use crate::session::handle::SessionHandle;
use crate::session::stats::Stats;
use crate::session::task::{Application, Session};
use bytes::Bytes;
use sansocket_protocol::engine::TransportKind;
use sansocket_protocol::error::{CloseReason, SendError};
use sansocket_protocol::message::Frame;
use sansocket_protocol::message::WireMessage;
use sansocket_protocol::server::ServerEvent;
use sansocket_protocol::socket::SocketKey;
use std::any::Any;
use std::fmt;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

/// One message: text or bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Message {
    /// Text.
    Text(String),
    /// Bytes.
    Binary(Bytes),
}

impl Message {
    /// A message as the core gives it.
    pub(crate) fn received(message: WireMessage) -> Option<Self> {
        Some(match message {
            // The core has checked it.
            WireMessage::Text(text) => Self::Text(String::from_utf8(text.into()).ok()?),
            WireMessage::Binary(data) => Self::Binary(data),
        })
    }

    pub(crate) fn into_frame(self) -> Frame {
        match self {
            Self::Text(text) => Frame::text_message(&text),
            Self::Binary(data) => Frame::binary_message(data),
        }
    }
}

impl From<&str> for Message {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

impl From<String> for Message {
    fn from(text: String) -> Self {
        Self::Text(text)
    }
}

impl From<Bytes> for Message {
    fn from(data: Bytes) -> Self {
        Self::Binary(data)
    }
}

impl From<Vec<u8>> for Message {
    fn from(data: Vec<u8>) -> Self {
        Self::Binary(data.into())
    }
}

type OnOpen<S> = Arc<dyn Fn(S) -> BoxFuture<()> + Send + Sync>;
type OnMessage<S> = Arc<dyn Fn(S, Message) -> BoxFuture<()> + Send + Sync>;
type OnClose<S> = Arc<dyn Fn(S, CloseReason) -> BoxFuture<()> + Send + Sync>;

/// What is done with plain Engine.IO sessions: a server's, whose handlers get an [`EngineSocket`], or a client's, whose
/// handlers get an [`EngineClientSocket`](crate::EngineClientSocket). Messages of one session are handled one after the
/// other.
pub struct EngineHandlers<S = EngineSocket> {
    open: Option<OnOpen<S>>,
    message: Option<OnMessage<S>>,
    close: Option<OnClose<S>>,
}

impl<S: 'static> EngineHandlers<S> {
    /// Runs when a session opens, before its first message is handled.
    #[must_use]
    pub fn on_open<F, Fut>(mut self, handler: F) -> Self
    where
        F: Fn(S) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = ()> + Send + 'static,
    {
        self.open = Some(Arc::new(move |socket| Box::pin(handler(socket))));
        self
    }

    /// Runs for each message.
    #[must_use]
    pub fn on_message<F, Fut>(mut self, handler: F) -> Self
    where
        F: Fn(S, Message) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = ()> + Send + 'static,
    {
        self.message = Some(Arc::new(move |socket, message| Box::pin(handler(socket, message))));
        self
    }

    /// Runs when a session has closed.
    #[must_use]
    pub fn on_close<F, Fut>(mut self, handler: F) -> Self
    where
        F: Fn(S, CloseReason) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = ()> + Send + 'static,
    {
        self.close = Some(Arc::new(move |socket, reason| Box::pin(handler(socket, reason))));
        self
    }

    pub(crate) fn opened(&self, socket: impl FnOnce() -> S) -> Option<BoxFuture<()>> {
        self.open.as_ref().map(|handler| handler(socket()))
    }

    pub(crate) fn message(&self, socket: impl FnOnce() -> S, message: WireMessage) -> Option<BoxFuture<()>> {
        let handler = self.message.as_ref()?;
        Some(handler(socket(), Message::received(message)?))
    }

    pub(crate) fn closed(&self, socket: impl FnOnce() -> S, reason: CloseReason) -> Option<BoxFuture<()>> {
        self.close.as_ref().map(|handler| handler(socket(), reason))
    }
}

impl<S> Clone for EngineHandlers<S> {
    fn clone(&self) -> Self {
        Self { open: self.open.clone(), message: self.message.clone(), close: self.close.clone() }
    }
}

impl<S> Default for EngineHandlers<S> {
    fn default() -> Self {
        Self { open: None, message: None, close: None }
    }
}

impl<S> fmt::Debug for EngineHandlers<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("EngineHandlers(..)")
    }
}

/// A plain Engine.IO server. Cheap to clone.
#[derive(Clone)]
pub struct EngineServer(Arc<Gate>);

impl EngineServer {
    /// Builds one on a runtime.
    ///
    /// # Errors
    /// [`BuildError`].
    pub fn build(
        options: Options,
        handlers: EngineHandlers,
        runtime: Arc<dyn Runtime>,
    ) -> Result<Self, BuildError> {
        let application: MakeApplication = Box::new(move |handshake| {
            Some(Session::make_task(Messages {
                handlers: handlers.clone(),
                handshake: handshake.clone(),
                opened: false,
            }))
        });
        let (host, _) = options.into_host(runtime, false, random()?, application)?;
        Ok(Self(Arc::new(host)))
    }

    /// The HTTP side, for adapters to mount.
    pub fn endpoint(&self) -> Endpoint {
        Endpoint::new(self.0.clone(), None)
    }

    /// What the server has done so far: sessions, messages, what the limits refused. It visits every session.
    pub fn stats(&self) -> Stats {
        self.0.stats()
    }

    /// How many sessions there are.
    pub fn clients_count(&self) -> usize {
        self.0.sessions()
    }

    /// Shuts down in good order: no session is opened any more, what is queued is written, handlers finish.
    /// What is left after `timeout` is cut off, handlers that still wait included.
    pub async fn shutdown(&self, timeout: Duration) {
        self.0.shutdown(timeout).await;
    }
}

impl fmt::Debug for EngineServer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EngineServer").field("path", &self.0.config.path).finish_non_exhaustive()
    }
}

/// One session of a plain Engine.IO server. Cheap to clone, and usable anywhere.
#[derive(Clone)]
pub struct EngineSocket {
    cell: Arc<SessionHandle>,
    handshake: Handshake,
}

impl EngineSocket {
    /// The session id. It is a secret between the server and this client: never tell it to anybody else.
    pub fn id(&self) -> Arc<str> {
        self.cell.lock().machine.id().clone()
    }

    /// The request that opened the session.
    pub fn handshake(&self) -> &Handshake {
        &self.handshake
    }

    /// The transport in use at the moment.
    pub fn transport(&self) -> TransportKind {
        self.cell.transport()
    }

    /// Queues a message. It never waits.
    ///
    /// # Errors
    /// [`SendError`].
    pub fn send(&self, message: impl Into<Message>) -> Result<(), SendError> {
        let frame = message.into().into_frame();
        self.cell.with(|machine| machine.send(frame))
    }

    /// Waits until less than half of the send budget is used, or the client is gone.
    pub async fn ready(&self) {
        self.cell.ready().await;
    }

    /// Closes the session after what is queued was written.
    pub fn close(&self) {
        self.cell.with(|machine| machine.close(CloseReason::ForcedClose));
    }
}

impl fmt::Debug for EngineSocket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("EngineSocket(..)")
    }
}

struct Messages {
    handlers: EngineHandlers,
    handshake: Handshake,
    /// A session that never opened is not closed either, for the application.
    opened: bool,
}

impl Messages {
    fn socket(&self, cell: &Arc<SessionHandle>) -> EngineSocket {
        EngineSocket { cell: cell.clone(), handshake: self.handshake.clone() }
    }
}

fn job(future: BoxFuture<()>) -> Job<BoxFuture<()>> {
    Job { socket: None, work: future }
}

impl Application for Messages {
    type Work = BoxFuture<()>;

    fn open(&mut self, cell: &Arc<SessionHandle>) -> Option<Job<Self::Work>> {
        self.opened = true;
        self.handlers.opened(|| self.socket(cell)).map(job)
    }

    fn handle(&mut self, event: ServerEvent, cell: &Arc<SessionHandle>) -> Option<Job<Self::Work>> {
        match event {
            ServerEvent::Message(message) => self.handlers.message(|| self.socket(cell), message).map(job),
            ServerEvent::Closed(closed) => {
                debug!(reason = %closed.reason, "a session was closed");
                let told = self.opened.then(|| self.handlers.closed(|| self.socket(cell), closed.reason));
                told.flatten().map(job)
            }
            _ => None,
        }
    }

    fn panicked(&mut self, _: Option<SocketKey>, panic: Box<dyn Any + Send>, cell: &Arc<SessionHandle>) {
        debug!(error = %crate::HandlerError::panic(&*panic), "a handler panicked");
        cell.with(|machine| machine.close(CloseReason::HandlerPanic));
    }

    fn ended(&mut self, _: &Arc<SessionHandle>) {}
}
