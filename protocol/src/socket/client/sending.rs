//! Sending as a client, and its offline buffer: events with and without an acknowledgement, and acknowledgements, wait
//! here until the socket has joined.

use super::{AckOutcome, Buffered, Reliable, SocketKey, State, weight};
use crate::engine::client::ClientSession;
use crate::message::Frame;
use crate::reason::SendError;
use crate::socket::client::{ClientSocketEvent, ClientSockets};
use crate::time::Instant;
use core::mem;
use core::time::Duration;

impl ClientSockets {
    /// Throws away what waits to be sent on a socket, and what is sent until it is acknowledged. The
    /// acknowledgements that were awaited for it are decided.
    pub(crate) fn discard(&mut self, socket: SocketKey) {
        let Some(found) = self.at(socket).and_then(|at| self.sockets.get_mut(at)) else { return };
        found.buffered = 0;
        let unsent = mem::take(&mut found.buffer).into_iter().filter_map(|waiting| waiting.ack);
        for id in unsent {
            found.acks.remove(id);
            let outcome = AckOutcome::Disconnected;
            self.answers.push_back(ClientSocketEvent::Ack { socket, id, outcome });
        }
        for id in mem::take(&mut found.queue).into_iter().map(|reliable| reliable.id) {
            let outcome = AckOutcome::Disconnected;
            self.answers.push_back(ClientSocketEvent::Ack { socket, id, outcome });
        }
        self.rearm();
    }

    /// Sends a frame, or keeps it until the socket is connected. The budget is the caller's to check.
    ///
    /// # Errors
    /// [`SendError::Disconnected`] if there is no such socket.
    pub(crate) fn emit(
        &mut self,
        engine: Option<&mut ClientSession>,
        socket: SocketKey,
        frame: Frame,
    ) -> Result<(), SendError> {
        self.send_or_keep(engine, socket, frame, None)
    }

    /// Sends a frame if the socket is connected and it would leave at once; otherwise it is dropped, and false
    /// comes back.
    ///
    /// # Errors
    /// [`SendError::Disconnected`] if there is no such socket; [`SendError::TooLarge`] if the server would not take it.
    pub(crate) fn emit_volatile(
        &mut self,
        engine: Option<&mut ClientSession>,
        socket: SocketKey,
        frame: Frame,
    ) -> Result<bool, SendError> {
        self.at(socket).ok_or(SendError::Disconnected)?;
        match engine {
            Some(engine) if self.is_connected(socket) && engine.is_writable() => {
                engine.check_size(&frame)?;
                Ok(engine.send_now(frame))
            }
            _ => Ok(false),
        }
    }

    /// Sends a frame that asks for an acknowledgement under `id`, or keeps it until the socket is connected. The
    /// answer is awaited until `deadline`, and no longer than the connection that the frame was sent on.
    ///
    /// # Errors
    /// [`SendError`]; then nothing is awaited.
    pub(crate) fn emit_with_ack(
        &mut self,
        engine: Option<&mut ClientSession>,
        socket: SocketKey,
        frame: Frame,
        id: u64,
        deadline: Instant,
    ) -> Result<(), SendError> {
        self.may_await(socket, id)?;
        self.send_or_keep(engine, socket, frame, Some(id))?;
        if let Some(socket) = self.at(socket).and_then(|at| self.sockets.get_mut(at)) {
            socket.acks.insert(id, deadline);
            self.deadline = self.deadline.min(deadline);
        }
        Ok(())
    }

    /// Sends a frame that asks for an acknowledgement under `id` until it gets one: after those that were emitted so
    /// before, again after [`ack_timeout`](crate::socket::client::SocketClientConfig::ack_timeout) and with each new
    /// connection, at most [`retries`](crate::socket::client::SocketClientConfig::retries) times after the first. The
    /// server may see it more than once. With a `limit`, each try is waited for that long instead.
    ///
    /// # Errors
    /// [`SendError`]; then nothing is awaited.
    pub(crate) fn emit_reliably(
        &mut self,
        now: Instant,
        engine: Option<&mut ClientSession>,
        socket: SocketKey,
        frame: Frame,
        id: u64,
        limit: Option<Duration>,
    ) -> Result<(), SendError> {
        self.may_await(socket, id)?;
        let at = self.at(socket).ok_or(SendError::Disconnected)?;
        let Some(found) = self.sockets.get_mut(at) else { return Err(SendError::Disconnected) };
        found.buffered = found.buffered.saturating_add(weight(&frame));
        found.queue.push_back(Reliable { frame, id, tries: 0, copy: None, pending: None, limit });
        if let (Some(engine), State::Joined) = (engine, found.state) {
            self.send_next(now, engine, at);
            self.rearm();
        }
        Ok(())
    }

    /// Answers an event of the server, on the [`connection`](Self::connection) that the event came on: on another one
    /// the same id may stand for another event. `None` means the present one.
    ///
    /// # Errors
    /// [`SendError::Disconnected`] if that has ended.
    pub(crate) fn ack(
        &mut self,
        engine: Option<&mut ClientSession>,
        socket: SocketKey,
        connection: Option<u64>,
        frame: Frame,
    ) -> Result<(), SendError> {
        let is_on = connection.is_none_or(|connection| connection == self.connection(socket));
        let engine = engine.filter(|_| is_on && self.is_connected(socket)).ok_or(SendError::Disconnected)?;
        if engine.send_now(frame) { Ok(()) } else { Err(SendError::Disconnected) }
    }

    /// Returns whether one more acknowledgement may be awaited, under that id.
    pub(crate) fn may_await(&self, socket: SocketKey, id: u64) -> Result<(), SendError> {
        let found = self.at(socket).and_then(|at| self.sockets.get(at)).ok_or(SendError::Disconnected)?;
        if found.acks.contains_key(id) || found.queue.iter().any(|waiting| waiting.id == id) {
            Err(SendError::DuplicateAck)
        } else if found.acks.len().saturating_add(found.queue.len()) >= self.config.max_pending_acks {
            Err(SendError::TooManyAcks)
        } else {
            Ok(())
        }
    }

    #[inline]
    fn send_or_keep(
        &mut self,
        engine: Option<&mut ClientSession>,
        socket: SocketKey,
        frame: Frame,
        ack: Option<u64>,
    ) -> Result<(), SendError> {
        let found = self.at(socket).and_then(|at| self.sockets.get_mut(at)).ok_or(SendError::Disconnected)?;
        match engine.filter(|engine| found.state == State::Joined && engine.is_open()) {
            Some(engine) => drop(engine.send_now(frame)),
            None => {
                found.buffered = found.buffered.saturating_add(weight(&frame));
                found.buffer.push_back(Buffered { frame, ack });
            }
        }
        Ok(())
    }
}
