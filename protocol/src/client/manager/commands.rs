//! The commands of a client: of its connection, of plain Engine.IO, and of its sockets.

use super::{Layer, Manager, State};
use crate::engine::EngineClientConfig;
use crate::engine::error::{Ended, EngineError};
use crate::error::{CloseReason, Closed, SendError};
use crate::message::Frame;
use crate::socket::PacketData;
use crate::socket::client::{AuthSource, SocketKey};
use crate::time::Instant;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::time::Duration;

impl Manager {
    /// Opens a session of plain Engine.IO. One that waits to dial again goes on waiting.
    pub fn open(&mut self, now: Instant) {
        let now = self.tick(now);
        if let Layer::Messages { wanted, .. } = &mut self.layer {
            *wanted = true;
            if matches!(self.state, State::Idle) {
                self.attempt = 0;
                self.begin(now);
            }
        }
    }

    /// Sends a message of plain Engine.IO.
    ///
    /// # Errors
    /// [`SendError::Disconnected`] if no session is open, [`SendError::Full`], or [`SendError::TooLarge`].
    pub fn send(&mut self, now: Instant, frame: impl Into<Frame>) -> Result<(), SendError> {
        let frame = frame.into();
        self.before_command(now, None, &frame)?;
        match (&mut self.state, &self.layer) {
            (State::Active { engine, .. }, Layer::Messages { .. }) if engine.is_open() => {
                engine.send_now(frame);
                Ok(())
            }
            _ => Err(SendError::Disconnected),
        }
    }

    /// Answers [`ClientEvent::Dialing`](crate::client::ClientEvent::Dialing) where [`ask_before_dial`](crate::client::ReconnectConfig::ask_before_dial) is set: dials, from now on with that
    /// path and query if they are given.
    pub fn dial(&mut self, now: Instant, address: Option<(&str, Vec<(String, String)>)>) {
        let now = self.tick(now);
        if let Some((path, query)) = address {
            let config = EngineClientConfig::clone(&self.engine_config).query(query);
            // One without a slash behind it stays as it is.
            self.engine_config = Arc::new(if path == config.path { config } else { config.path(path) });
        }
        if matches!(self.state, State::Asking) {
            self.start(now);
        }
    }

    /// Answers [`ClientEvent::Dialing`](crate::client::ClientEvent::Dialing) where [`ask_before_dial`](crate::client::ReconnectConfig::ask_before_dial) is set: there is no address. It
    /// counts as a try that failed.
    pub fn dial_failed(&mut self, now: Instant) {
        let now = self.tick(now);
        if matches!(self.state, State::Asking) {
            let ended = Ended::by(CloseReason::TransportError, EngineError::RequestFailed);
            self.failed(now, Closed::new(ended, None));
        }
    }

    /// Ends everything: no socket is wanted, nothing is sent any more but the queue of the session, and every
    /// acknowledgement that is awaited is decided. The application is told at once.
    pub fn close(&mut self, now: Instant) {
        let now = self.tick(now);
        if let Layer::Messages { wanted, .. } = &mut self.layer {
            *wanted = false;
        }
        self.with_sockets(|sockets, engine| sockets.shut(engine));
        self.settle(now);
    }

    /// Ends the session now, as if the connection had been lost. Its queue is thrown away.
    pub fn abort(&mut self, now: Instant, reason: CloseReason) {
        let now = self.tick(now);
        if let State::Active { engine, .. } = &mut self.state {
            engine.abort(Ended::plain(reason));
        }
        self.settle(now);
    }

    /// Adds the socket of a namespace (the empty name means `/`), which connects once it is told to. If it was added
    /// before, it gets the new `auth`.
    ///
    /// # Errors
    /// [`SendError::Namespace`] if the name does not begin with a slash, or has a comma in it;
    /// [`SendError::Disconnected`] for plain Engine.IO.
    pub fn add(&mut self, namespace: &str, auth: AuthSource) -> Result<SocketKey, SendError> {
        self.with_sockets(|sockets, _| sockets.add(namespace, auth)).unwrap_or(Err(SendError::Disconnected))
    }

    /// Connects a socket: it joins at once if a session is open; otherwise a session is opened. A client that waits
    /// before it dials again goes on waiting.
    pub fn connect(&mut self, now: Instant, socket: SocketKey) {
        let now = self.tick(now);
        self.with_sockets(|sockets, engine| sockets.connect(now, engine, socket));
        if matches!(self.state, State::Idle) && self.is_wanted() {
            self.attempt = 0;
            self.begin(now);
        }
        self.settle(now);
    }

    /// Answers [`ClientSocketEvent::Auth`](crate::socket::ClientSocketEvent::Auth): the socket joins with that auth,
    /// which must be an object.
    pub fn authenticate(&mut self, now: Instant, socket: SocketKey, auth: Option<&PacketData>) {
        let now = self.tick(now);
        self.with_sockets(|sockets, engine| sockets.authenticate(now, engine, socket, auth));
    }

    /// Answers [`ClientSocketEvent::Auth`](crate::socket::ClientSocketEvent::Auth): there is no auth, and the socket is
    /// given up. False, having done nothing, if the question is out of date: the connection that it was asked for is
    /// lost, and the next one asks again.
    pub fn auth_failed(&mut self, now: Instant, socket: SocketKey) -> bool {
        let now = self.tick(now);
        let asked = self.with_sockets(|sockets, _| sockets.auth_failed(socket)).unwrap_or(false);
        self.settle(now);
        asked
    }

    /// Takes a socket out of its namespace. The session ends with the last one.
    pub fn disconnect(&mut self, now: Instant, socket: SocketKey) {
        let now = self.tick(now);
        self.with_sockets(|sockets, engine| sockets.disconnect(engine, socket));
        self.settle(now);
    }

    /// Throws away the frames of a socket that wait to be sent, or that are sent until they are acknowledged. The
    /// acknowledgements that were awaited for them are decided.
    pub fn discard(&mut self, now: Instant, socket: SocketKey) {
        self.tick(now);
        self.with_sockets(|sockets, _| sockets.discard(socket));
    }

    /// Sends an event, or keeps it until the socket is connected.
    ///
    /// # Errors
    /// [`SendError::Full`] if [`send_budget`](crate::engine::EngineClientConfig::send_budget) is used up by the bytes
    /// [before it](Self::buffered_before);
    /// [`SendError::TooLarge`] if the server has said that it takes no message of that size. If it says so only when the
    /// event has waited, [`ClientSocketEvent::Unsent`](crate::socket::ClientSocketEvent::Unsent) tells;
    /// [`SendError::Disconnected`] if there is no such socket.
    pub fn emit(
        &mut self,
        now: Instant,
        socket: SocketKey,
        frame: impl Into<Frame>,
    ) -> Result<(), SendError> {
        let frame = frame.into();
        self.check(now);
        self.emit_in_turn(socket, frame)
    }

    /// As [`emit`](Self::emit), at the time of the last call that has brought one, for an event that follows closely: a
    /// clock need not be read for each. A server that is silent for too long is found out by the next such call; until then,
    /// events are queued for its session, and lost with it.
    ///
    /// # Errors
    /// As for [`emit`](Self::emit).
    pub fn emit_in_turn(&mut self, socket: SocketKey, frame: Frame) -> Result<(), SendError> {
        self.may_send(Some(socket), &frame)?;
        self.with_sockets(|sockets, engine| sockets.emit(engine, socket, frame))
            .unwrap_or(Err(SendError::Disconnected))
    }

    /// Sends an event if it would leave at once; otherwise it is dropped, and false comes back.
    ///
    /// # Errors
    /// [`SendError::Disconnected`] if there is no such socket; [`SendError::TooLarge`] if the server does not take it.
    pub fn emit_volatile(
        &mut self,
        now: Instant,
        socket: SocketKey,
        frame: impl Into<Frame>,
    ) -> Result<bool, SendError> {
        let frame = frame.into();
        self.check(now);
        self.with_sockets(|sockets, engine| sockets.emit_volatile(engine, socket, frame))
            .unwrap_or(Err(SendError::Disconnected))
    }

    /// Sends an event that asks for an acknowledgement under `id`, or keeps it until the socket is connected. The answer
    /// is awaited until `deadline`, and no longer than the connection that the event was sent on.
    /// [`ClientSocketEvent::Ack`](crate::socket::ClientSocketEvent::Ack) tells the outcome, once.
    ///
    /// # Errors
    /// [`SendError`]; then nothing is awaited.
    pub fn emit_with_ack(
        &mut self,
        now: Instant,
        socket: SocketKey,
        frame: impl Into<Frame>,
        id: u64,
        deadline: Instant,
    ) -> Result<(), SendError> {
        let frame = frame.into();
        self.before_command(now, Some(socket), &frame)?;
        self.with_sockets(|sockets, engine| sockets.emit_with_ack(engine, socket, frame, id, deadline))
            .unwrap_or(Err(SendError::Disconnected))
    }

    /// Sends an event that asks for an acknowledgement under `id` until it gets one: after those that were sent so
    /// before, again after [`ack_timeout`](crate::socket::SocketClientConfig::ack_timeout) and with each new connection, at
    /// most [`retries`](crate::socket::SocketClientConfig::retries) times after the first. The server may see it more than
    /// once.
    ///
    /// # Errors
    /// [`SendError`]; then nothing is awaited.
    pub fn emit_reliably(
        &mut self,
        now: Instant,
        socket: SocketKey,
        frame: Frame,
        id: u64,
    ) -> Result<(), SendError> {
        self.retry(now, socket, frame, id, None)
    }

    /// As [`emit_reliably`](Self::emit_reliably), with a limit of its own for each try, in place of
    /// [`ack_timeout`](crate::socket::SocketClientConfig::ack_timeout).
    ///
    /// # Errors
    /// As there.
    pub fn emit_reliably_within(
        &mut self,
        now: Instant,
        socket: SocketKey,
        frame: Frame,
        id: u64,
        limit: Duration,
    ) -> Result<(), SendError> {
        self.retry(now, socket, frame, id, Some(limit))
    }

    fn retry(
        &mut self,
        now: Instant,
        socket: SocketKey,
        frame: Frame,
        id: u64,
        limit: Option<Duration>,
    ) -> Result<(), SendError> {
        self.before_command(now, Some(socket), &frame)?;
        let now = self.now;
        self.with_sockets(|sockets, engine| sockets.emit_reliably(now, engine, socket, frame, id, limit))
            .unwrap_or(Err(SendError::Disconnected))
    }

    /// Acknowledges an event of the server, on the present connection of the socket. To answer later than at once, use
    /// [`ack_on`](Self::ack_on).
    ///
    /// # Errors
    /// [`SendError::Disconnected`], [`SendError::Full`], [`SendError::TooLarge`].
    pub fn ack(&mut self, now: Instant, socket: SocketKey, frame: impl Into<Frame>) -> Result<(), SendError> {
        self.answer(now, socket, None, frame.into())
    }

    /// Acknowledges an event of the server, unless the [`connection`](Self::connection) that it came on has ended: on
    /// another one the same id may stand for another event. (The reference's client answers on any.)
    ///
    /// # Errors
    /// [`SendError::Disconnected`], [`SendError::Full`], [`SendError::TooLarge`].
    pub fn ack_on(
        &mut self,
        now: Instant,
        socket: SocketKey,
        connection: u64,
        frame: impl Into<Frame>,
    ) -> Result<(), SendError> {
        self.answer(now, socket, Some(connection), frame.into())
    }

    fn answer(
        &mut self,
        now: Instant,
        socket: SocketKey,
        connection: Option<u64>,
        frame: Frame,
    ) -> Result<(), SendError> {
        self.before_command(now, Some(socket), &frame)?;
        self.with_sockets(|sockets, engine| sockets.ack(engine, socket, connection, frame))
            .unwrap_or(Err(SendError::Disconnected))
    }

    /// Keeps the next events back: of one socket, or with `None` the [`SessionEvent`](super::SessionEvent)s of
    /// plain Engine.IO.
    pub fn hold(&mut self, socket: Option<SocketKey>) {
        match (&mut self.layer, socket) {
            (Layer::Sockets(sockets), Some(socket)) => sockets.hold(socket),
            (Layer::Messages { held, .. }, _) => *held = true,
            (Layer::Sockets(_), None) => {}
        }
    }

    /// Lets them go on: a handler has finished.
    pub fn release(&mut self, socket: Option<SocketKey>) {
        match (&mut self.layer, socket) {
            (Layer::Sockets(sockets), Some(socket)) => sockets.release(socket),
            (Layer::Messages { held, .. }, _) => *held = false,
            (Layer::Sockets(_), None) => {}
        }
    }
}
