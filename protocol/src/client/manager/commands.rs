//! The commands of a Socket.IO client.

use super::{Layer, Manager, State};
use crate::error::SendError;
use crate::message::Frame;
use crate::socket::PacketData;
use crate::socket::client::{AuthSource, SocketKey};
use crate::time::Instant;

impl Manager {
    /// Adds the socket of a namespace: see [`Sockets::add`](crate::socket::client::ClientSockets::add).
    ///
    /// # Errors
    /// [`SendError::Namespace`]; [`SendError::Disconnected`] for plain Engine.IO.
    pub fn add(&mut self, namespace: &str, auth: AuthSource) -> Result<SocketKey, SendError> {
        self.with_sockets(|sockets, _| sockets.add(namespace, auth)).unwrap_or(Err(SendError::Disconnected))
    }

    /// Wants a socket: joins at once if a session is open, or opens one. One that waits to dial again goes on
    /// waiting.
    pub fn connect(&mut self, now: Instant, socket: SocketKey) {
        let now = self.tick(now);
        self.with_sockets(|sockets, engine| sockets.connect(now, engine, socket));
        if matches!(self.state, State::Idle) && self.is_wanted() {
            self.attempt = 0;
            self.begin(now);
        }
        self.settle(now);
    }

    /// Answers [`SocketEvent::Auth`](crate::socket::client::ClientSocketEvent::Auth): see
    /// [`Sockets::authenticate`](crate::socket::client::ClientSockets::authenticate).
    pub fn authenticate(&mut self, now: Instant, socket: SocketKey, auth: Option<&PacketData>) {
        let now = self.tick(now);
        self.with_sockets(|sockets, engine| sockets.authenticate(now, engine, socket, auth));
    }

    /// Answers [`SocketEvent::Auth`](crate::socket::client::ClientSocketEvent::Auth): there is none, so the socket is not
    /// wanted any more. False, having done nothing, if it is not asked any more: the connection that it was asked for
    /// is lost, and it will be asked again.
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

    /// Throws away what waits to be sent on a socket: see [`Sockets::discard`](crate::socket::client::ClientSockets::discard).
    pub fn discard(&mut self, now: Instant, socket: SocketKey) {
        self.tick(now);
        self.with_sockets(|sockets, _| sockets.discard(socket));
    }

    /// Sends an event, or keeps it until the socket is connected.
    ///
    /// # Errors
    /// [`SendError::Full`] if [`send_budget`](crate::engine::client::EngineClientConfig::send_budget) is used up by what is
    /// [before it](Self::buffered_before);
    /// [`SendError::Disconnected`] if there is no such socket.
    pub fn emit(&mut self, now: Instant, socket: SocketKey, frame: &Frame) -> Result<(), SendError> {
        self.before_command(now, Some(socket), frame)?;
        self.with_sockets(|sockets, engine| sockets.emit(engine, socket, frame))
            .unwrap_or(Err(SendError::Disconnected))
    }

    /// Sends an event if it would leave at once; otherwise it is dropped, and false comes back.
    ///
    /// # Errors
    /// [`SendError::Disconnected`] if there is no such socket.
    pub fn emit_volatile(
        &mut self,
        now: Instant,
        socket: SocketKey,
        frame: &Frame,
    ) -> Result<bool, SendError> {
        self.check(now);
        self.with_sockets(|sockets, engine| sockets.emit_volatile(engine, socket, frame))
            .unwrap_or(Err(SendError::Disconnected))
    }

    /// Sends an event that asks for an acknowledgement: see
    /// [`Sockets::emit_with_ack`](crate::socket::client::ClientSockets::emit_with_ack). What becomes of it is told by
    /// [`SocketEvent::Ack`](crate::socket::client::ClientSocketEvent::Ack), once.
    ///
    /// # Errors
    /// [`SendError`]; then nothing is awaited.
    pub fn emit_with_ack(
        &mut self,
        now: Instant,
        socket: SocketKey,
        frame: &Frame,
        id: u64,
        deadline: Instant,
    ) -> Result<(), SendError> {
        self.before_command(now, Some(socket), frame)?;
        self.with_sockets(|sockets, engine| sockets.emit_with_ack(engine, socket, frame, id, deadline))
            .unwrap_or(Err(SendError::Disconnected))
    }

    /// Sends an event until it is acknowledged: see
    /// [`Sockets::emit_reliably`](crate::socket::client::ClientSockets::emit_reliably).
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
        self.before_command(now, Some(socket), &frame)?;
        let now = self.now;
        self.with_sockets(|sockets, engine| sockets.emit_reliably(now, engine, socket, frame, id))
            .unwrap_or(Err(SendError::Disconnected))
    }

    /// Acknowledges an event of the server, on the present connection of the socket. Who answers later than at once
    /// uses [`ack_on`](Self::ack_on).
    ///
    /// # Errors
    /// [`SendError::Disconnected`], [`SendError::Full`].
    pub fn ack(&mut self, now: Instant, socket: SocketKey, frame: &Frame) -> Result<(), SendError> {
        self.answer(now, socket, None, frame)
    }

    /// Acknowledges an event of the server, unless the [`connection`](Self::connection) that it came on has ended: on
    /// another one the same id may stand for another event. (The reference's client answers on any.)
    ///
    /// # Errors
    /// [`SendError::Disconnected`], [`SendError::Full`].
    pub fn ack_on(
        &mut self,
        now: Instant,
        socket: SocketKey,
        connection: u64,
        frame: &Frame,
    ) -> Result<(), SendError> {
        self.answer(now, socket, Some(connection), frame)
    }

    fn answer(
        &mut self,
        now: Instant,
        socket: SocketKey,
        connection: Option<u64>,
        frame: &Frame,
    ) -> Result<(), SendError> {
        self.before_command(now, Some(socket), frame)?;
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
