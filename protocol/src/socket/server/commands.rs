//! The commands of a connection's sockets: letting clients in, refusing them, sending, and taking sockets out.

use super::{ServerSockets, State, legacy};
use crate::ascending::AscendingMap;
use crate::engine::Revision;
use crate::engine::server::ServerSession;
use crate::message::Frame;
use crate::reason::{CloseReason, SendError};
use crate::socket::SocketError;
use crate::socket::ids::SocketKey;
use crate::socket::json::data::PacketData;
use crate::socket::server::ServerSocketEvent;
use crate::time::Instant;
use alloc::vec::Vec;

impl ServerSockets {
    /// Lets a client into the namespace it asked for: writes the CONNECT reply with the public id `sid`, and the private
    /// id `pid` if its session may be recovered, then what was emitted to the socket meanwhile.
    ///
    /// # Errors
    /// [`SendError::Disconnected`] if the client is gone, or was decided about already.
    pub(crate) fn accept(
        &mut self,
        engine: &mut ServerSession,
        socket: SocketKey,
        sid: &str,
        pid: Option<&str>,
    ) -> Result<(), SendError> {
        let (parser, revision) = (self.config.parser, self.revision);
        let joined = self.find_mut(socket, State::Connecting)?;
        joined.state = State::Connected;
        let behind = joined.take_behind();
        joined.give_back();
        engine.send(match pid {
            Some(pid) if revision == Revision::V4 => parser.connect_recoverable(&joined.namespace, sid, pid),
            _ => legacy::consent(revision, &parser, &joined.namespace, sid),
        });
        for frame in behind {
            self.behind = self.behind.saturating_sub(frame.queued_len());
            engine.send(frame);
        }
        self.connect_deadline = None;
        Ok(())
    }

    /// Tells of a client that asked for a namespace once more, with that auth: the application could not decide yet.
    ///
    /// # Errors
    /// [`SendError::Disconnected`] if the client is gone, or was decided about already.
    pub(crate) fn ask_again(&mut self, socket: SocketKey, auth: Option<PacketData>) -> Result<(), SendError> {
        let namespace = self.find(socket, State::Connecting)?.1.namespace.clone();
        self.push(ServerSocketEvent::Connect { socket, namespace, auth });
        Ok(())
    }

    /// Refuses a client that asked for a namespace: writes CONNECT_ERROR with a message, and `data` if given. Events
    /// emitted to the socket meanwhile are dropped. The connection stays.
    ///
    /// # Errors
    /// [`SendError::Disconnected`] if the client is gone, or was decided about already.
    pub(crate) fn reject(
        &mut self,
        engine: &mut ServerSession,
        socket: SocketKey,
        message: &str,
        data: Option<&PacketData>,
    ) -> Result<(), SendError> {
        let (at, refused) = self.find(socket, State::Connecting)?;
        let parser = &self.config.parser;
        engine.send(legacy::refusal(self.revision, parser, &refused.namespace, message, data));
        self.refused = self.refused.saturating_add(1);
        self.leave(at, CloseReason::ServerNamespaceDisconnect);
        self.sweep();
        Ok(())
    }

    /// Keeps a frame for a socket that is still connecting, which gets it behind its CONNECT reply. The budget is the
    /// caller's to check.
    ///
    /// # Errors
    /// [`SendError::Disconnected`].
    pub(crate) fn emit(
        &mut self,
        engine: &mut ServerSession,
        socket: SocketKey,
        frame: Frame,
    ) -> Result<(), SendError> {
        let joining = self.find_mut(socket, State::Connecting)?;
        if !engine.is_open() {
            return Err(SendError::Disconnected);
        }
        let len = frame.queued_len();
        joining.pending_mut().behind.push(frame);
        self.behind = self.behind.saturating_add(len);
        Ok(())
    }

    /// Queues a frame that asks for an acknowledgement under `id`, which is awaited until `deadline`.
    ///
    /// # Errors
    /// [`SendError`]. A socket that is still connecting cannot answer, so it counts as disconnected.
    pub(crate) fn emit_with_ack(
        &mut self,
        engine: &mut ServerSession,
        socket: SocketKey,
        frame: Frame,
        id: u64,
        deadline: Instant,
    ) -> Result<(), SendError> {
        self.may_await(socket, id)?;
        let asked = self.find_mut(socket, State::Connected)?;
        if !engine.send(frame) {
            return Err(SendError::Disconnected);
        }
        asked.pending_mut().acks.insert(id, deadline);
        self.ack_deadline = self.ack_deadline.min(deadline);
        Ok(())
    }

    /// Returns whether a socket is connected, or only about to be: [`ServerSockets::emit`] keeps its frames then.
    ///
    /// # Errors
    /// [`SendError::Disconnected`] if there is no such socket any more.
    pub(crate) fn takes_frames(&self, socket: SocketKey) -> Result<bool, SendError> {
        let found = self.sockets.iter().find(|found| found.key == socket && found.state != State::Left);
        found.map(|found| found.state == State::Connected).ok_or(SendError::Disconnected)
    }

    /// Returns whether [`ServerSockets::emit_with_ack`] may await one more, under that id.
    pub(crate) fn may_await(&self, socket: SocketKey, id: u64) -> Result<(), SendError> {
        let acks = self.find(socket, State::Connected)?.1.acks();
        if acks.is_some_and(|acks| acks.contains_key(id)) {
            Err(SendError::DuplicateAck)
        } else if acks.map_or(0, AscendingMap::len) >= self.config.max_pending_acks {
            Err(SendError::TooManyAcks)
        } else {
            Ok(())
        }
    }

    /// Takes a socket out of its namespace: writes DISCONNECT. The connection stays.
    ///
    /// # Errors
    /// [`SendError::Disconnected`] if it is not connected.
    pub(crate) fn disconnect(
        &mut self,
        engine: &mut ServerSession,
        socket: SocketKey,
        reason: CloseReason,
    ) -> Result<(), SendError> {
        let (at, leaving) = self.find(socket, State::Connected)?;
        engine.send(self.config.parser.disconnect(&leaving.namespace));
        self.leave(at, reason);
        if let Some(left) = self.sockets.get_mut(at) {
            left.dismissed = true;
        }
        Ok(())
    }

    /// A packet for a namespace that is not joined. It may have crossed this side's DISCONNECT on its way: such a one is
    /// ignored until the application is told of the socket's end.
    #[cold]
    pub(super) fn handle_late(&self, namespace: &str) -> Result<Option<ServerSocketEvent>, SocketError> {
        let is_late =
            self.sockets.iter().any(|socket| socket.is_dismissed() && *socket.namespace == *namespace);
        if is_late { Ok(None) } else { Err(SocketError::NotJoined) }
    }

    /// Takes all sockets out of their namespaces.
    pub(crate) fn disconnect_all(&mut self, engine: &mut ServerSession, reason: CloseReason) {
        let keys: Vec<SocketKey> = self.sockets.iter().map(|socket| socket.key).collect();
        for key in keys {
            // Those that are not connected have nothing to leave.
            let _ = self.disconnect(engine, key, reason);
        }
    }

    /// Returns whether a client that asked to join is still there and not decided about.
    pub(crate) fn is_connecting(&self, socket: SocketKey) -> bool {
        self.find(socket, State::Connecting).is_ok()
    }

    /// Returns whether a socket is connected, that is, messages to it pass.
    pub(crate) fn is_connected(&self, socket: SocketKey) -> bool {
        self.find(socket, State::Connected).is_ok()
    }
}
