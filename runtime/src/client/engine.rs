//! The client of plain Engine.IO: a session that opens, exchanges messages, and closes, without Socket.IO on top.

use super::error::{ConnectError, ReceiveError};
use super::handlers::ClientJob;
use super::queue::{Queue, Taking, queue};
use crate::base::error::HandlerError;
use crate::base::runtime;
use crate::base::runtime::BoxFuture;
use crate::base::timing::Since;
use crate::base::trace::{debug, is_heard};
use crate::client::task::handle::{Key, Patience};
use crate::client::task::shared::{Lease, Shared};
use crate::handler::job::Work;
use crate::handler::message::{EngineHandlers, Message};
use futures_core::Stream;
use sansocket_protocol::client::{ClientState, SessionEvent};
use sansocket_protocol::engine::TransportKind;
use sansocket_protocol::error::SendError;
use std::fmt;
use std::future::poll_fn;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

/// The key of the one session, which has no sockets.
const SESSION: Key = None;

/// The handlers of a session, and the loop that takes its messages.
pub(crate) struct Session {
    handlers: EngineHandlers<EngineClientSocket>,
    /// A loop that takes the messages.
    taker: Mutex<Option<Queue<Message>>>,
}

impl Session {
    pub(crate) fn new(handlers: EngineHandlers<EngineClientSocket>) -> Self {
        Self { handlers, taker: Mutex::default() }
    }

    fn taker(&self) -> Option<Queue<Message>> {
        let taker = self.taker.lock().unwrap_or_else(PoisonError::into_inner).clone();
        taker.filter(|taker| !taker.is_closed())
    }
}

/// Begins the handler of what a session has brought.
pub(crate) fn begin(shared: &Arc<Shared>, event: SessionEvent) -> Option<ClientJob> {
    let session = shared.settings.session.as_ref()?;
    let socket = || EngineClientSocket::new(shared.lease());
    let future: BoxFuture<()> = match event {
        SessionEvent::Opened => session.handlers.opened(socket)?,
        SessionEvent::Message(message) => match session.taker() {
            None => session.handlers.message(socket, message)?,
            Some(taker) => {
                // The usual case: there is capacity, and nothing to wait for.
                let message = taker.try_give(Message::received(message)?).err()?;
                Box::pin(taker.give(message))
            }
        },
        SessionEvent::Closed(closed) => session.handlers.closed(socket, closed.reason)?,
        // The core may learn to say more; this crate is of its own version.
        _ => return None,
    };
    let work = Work::General { future, event: None };
    Some(ClientJob { socket: SESSION, work, since: Since::default() })
}

impl Shared {
    /// A handler of plain Engine.IO has panicked.
    pub(crate) fn report_session(&self, error: &HandlerError) {
        debug!(%error, "a handler failed");
        if !is_heard() {
            self.default_error_hook.show_session(error);
        }
    }
}

/// A client of plain Engine.IO, which has one session at a time. Cheap to clone, and usable anywhere: in handlers, in
/// other tasks, before the session is open and after. With the last handle the session is closed.
#[derive(Clone)]
pub struct EngineClientSocket {
    shared: Lease,
}

impl EngineClientSocket {
    pub(crate) fn new(shared: Lease) -> Self {
        Self { shared }
    }

    /// The session id; `None` while no session is open. It is a secret between the server and this client: never tell
    /// it to anybody else.
    pub fn id(&self) -> Option<Arc<str>> {
        let inner = self.shared.handle.lock();
        inner.machine.open_packet().map(|packet| packet.sid.clone())
    }

    /// Returns whether a session is open.
    pub fn is_open(&self) -> bool {
        self.status() == ClientState::Open
    }

    /// The state of the client: idle, opening a session, open, or waiting to dial again.
    pub fn status(&self) -> ClientState {
        self.shared.handle.lock().machine.status()
    }

    /// The transport of the session; `None` while there is none.
    pub fn transport(&self) -> Option<TransportKind> {
        self.shared.handle.lock().machine.transport()
    }

    /// Bytes that wait for the server.
    pub fn buffered(&self) -> usize {
        self.shared.handle.lock().machine.buffered()
    }

    /// Opens a session, and returns once it is open.
    ///
    /// If that fails, it is not tried again: see [`start`](Self::start) for a client that goes on trying. A session
    /// that is lost is followed by another one only if the builder was told so by `reconnection`.
    ///
    /// # Errors
    /// [`ConnectError`]: mostly [`ConnectError::Session`], which says what the server or the network did.
    pub async fn connect(&self) -> Result<(), ConnectError> {
        let connected = self.shared.wait(SESSION, Patience::NextTry);
        self.shared.start();
        connected.await
    }

    /// Begins to open a session in the background. With the builder's `reconnection`, it goes on trying until it
    /// succeeds, or the settings say that it is enough.
    pub fn start(&self) {
        self.shared.connect(SESSION);
    }

    /// Waits until a session is open, through any number of failures. It must have been told to
    /// [`start`](Self::start), or have been connected before.
    ///
    /// # Errors
    /// [`ConnectError`] if it gives up, or was closed; at once [`ConnectError::Disconnected`] if nobody has told it to
    /// connect.
    pub async fn connected(&self) -> Result<(), ConnectError> {
        self.shared.wait(SESSION, Patience::AnyTry).await
    }

    /// Sends a message. It never waits.
    ///
    /// # Errors
    /// [`SendError::Disconnected`] if no session is open: what cannot be sent is not kept. [`SendError::Full`] if more
    /// than the builder's `send_budget` waits for the server.
    pub fn send(&self, message: impl Into<Message>) -> Result<(), SendError> {
        let frame = message.into().into_frame();
        let now = self.shared.handle.now();
        self.shared.handle.with(|inner| inner.machine.send(now, frame))
    }

    /// Waits until less than half of the send budget is used, or nothing will be sent any more.
    pub async fn ready(&self) {
        self.shared.handle.ready(SESSION).await;
    }

    /// The messages as they come, in a loop instead of a handler: while there is one, `on_message` gets no messages.
    ///
    /// While 256 of them wait to be taken, the next ones wait for these, and in the end the server does. Messages that
    /// come while there is no loop are not kept, so call this before connecting. `on_close` may run before the loop has
    /// taken the last messages; the end of the loop is `None`.
    pub fn messages(&self) -> Messages {
        let (giving, taking) = queue();
        if let Some(session) = &self.shared.settings.session {
            let before = session.taker.lock().unwrap_or_else(PoisonError::into_inner).replace(giving);
            drop(before);
        }
        Messages { taking, socket: self.clone() }
    }

    /// Closes the session after what is queued was written; nothing is dialled again. May be called anywhere, handlers
    /// included. [`connect`](Self::connect) opens another one.
    pub fn close(&self) {
        self.shared.close();
    }

    /// Waits until there is no session and none will be opened by itself: it was closed by either side, or could not be
    /// opened. Returns at once if it was never told to connect. Queued messages are written by then, so that a program
    /// may exit.
    pub async fn closed(&self) {
        self.shared.handle.over().await;
    }
}

impl fmt::Debug for EngineClientSocket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EngineClientSocket")
            .field("url", &self.shared.settings.url)
            .field("status", &self.status())
            .finish()
    }
}

/// The messages of a plain Engine.IO client, one after the other: see [`EngineClientSocket::messages`].
///
/// Only the newest of a client's `Messages` gets them.
pub struct Messages {
    taking: Taking<Message>,
    socket: EngineClientSocket,
}

impl Messages {
    fn poll_take(&mut self, context: &mut Context<'_>) -> Poll<Option<Message>> {
        self.taking.poll(&self.socket.shared.handle, context)
    }

    /// The next message. `None` once there is no session, none will be opened by itself, and all was taken.
    pub async fn next(&mut self) -> Option<Message> {
        poll_fn(|context| self.poll_take(context)).await
    }

    /// As [`next`](Self::next), if it comes in time.
    ///
    /// # Errors
    /// [`ReceiveError`] says whether it is worth waiting on.
    pub async fn next_within(&mut self, limit: Duration) -> Result<Message, ReceiveError> {
        let runtime = self.socket.shared.runtime.clone();
        ReceiveError::judge(runtime::timeout(&runtime, limit, self.next()).await)
    }
}

impl Stream for Messages {
    type Item = Message;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Message>> {
        self.poll_take(context)
    }
}

impl Drop for Messages {
    fn drop(&mut self) {
        self.taking.close(&self.socket.shared.handle);
    }
}

impl fmt::Debug for Messages {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Messages").field(&self.socket).finish()
    }
}
