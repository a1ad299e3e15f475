//! A plain Engine.IO server: sessions that open, exchange messages, and close, without Socket.IO on top.

use crate::base::error::HandlerError;
use crate::base::runtime::BoxFuture;
use crate::base::trace::debug;
use crate::handler::job::Job;
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
use std::sync::Arc;
use std::time::Duration;

/// A plain Engine.IO server. Cheap to clone.
#[derive(Clone)]
pub struct EngineServer(Arc<Gate>);

impl EngineServer {
    pub(super) fn new(gate: Gate) -> Self {
        Self(Arc::new(gate))
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
#[derive(Clone)]
pub struct EngineSocket {
    session: Arc<SessionHandle>,
    handshake: Handshake,
}

impl EngineSocket {
    /// The session id. It is a secret between the server and this client: never tell it to anybody else.
    pub fn id(&self) -> Arc<str> {
        self.session.lock().machine.id().clone()
    }

    /// The request that opened the session.
    pub fn handshake(&self) -> &Handshake {
        &self.handshake
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
    handshake: Handshake,
    /// A session that never opened is not closed either, for the application.
    opened: bool,
}

impl Messages {
    pub(super) fn new(handlers: EngineHandlers<EngineSocket>, handshake: Handshake) -> Self {
        Self { handlers, handshake, opened: false }
    }

    fn socket(&self, session: &Arc<SessionHandle>) -> EngineSocket {
        EngineSocket { session: session.clone(), handshake: self.handshake.clone() }
    }
}

fn job(future: BoxFuture<()>) -> Job<BoxFuture<()>> {
    Job { socket: None, work: future }
}

impl Application for Messages {
    type Work = BoxFuture<()>;

    fn open(&mut self, session: &Arc<SessionHandle>) -> Option<Job<Self::Work>> {
        self.opened = true;
        self.handlers.opened(|| self.socket(session)).map(job)
    }

    fn handle(&mut self, event: ServerEvent, session: &Arc<SessionHandle>) -> Option<Job<Self::Work>> {
        match event {
            ServerEvent::Message(message) => self.handlers.message(|| self.socket(session), message).map(job),
            ServerEvent::Closed(closed) => {
                debug!(reason = %closed.reason, "a session was closed");
                let told = self.opened.then(|| self.handlers.closed(|| self.socket(session), closed.reason));
                told.flatten().map(job)
            }
            _ => None,
        }
    }

    fn panicked(&mut self, _: Option<SocketKey>, panic: Box<dyn Any + Send>, session: &Arc<SessionHandle>) {
        debug!(error = %HandlerError::panic(&*panic), "a handler panicked");
        session.with(|machine| machine.close(CloseReason::HandlerPanic));
    }

    fn ended(&mut self, _: &Arc<SessionHandle>) {}
}
