//! The commands of a connection: of its sockets, of plain Engine.IO, and of any connection.

#[cfg(feature = "record")]
use super::recording::{number, optional_number};
use super::{Connection, Layer};
use crate::engine::Revision;
use crate::engine::error::Ended;
use crate::error::{CloseReason, SendError};
use crate::message::Frame;
#[cfg(feature = "record")]
use crate::record::Entry;
use crate::socket::server::SocketKey;
use crate::socket::{PacketData, SocketError};
use crate::time::Instant;
#[cfg(feature = "record")]
use alloc::borrow::Cow;
use alloc::boxed::Box;
use alloc::collections::BTreeMap;

/// Adds an entry to the recording, if there is one.
macro_rules! note {
    ($self:ident, $entry:expr) => {
        #[cfg(feature = "record")]
        $self.note(|_| $entry);
    };
}

impl Connection {
    /// Lets a client into the namespace that it asked for: writes the CONNECT reply with the public id `sid`, then the
    /// frames that were emitted to the socket meanwhile. A client that has an id by itself is not told another:
    /// see [`socket_id`](Self::socket_id).
    ///
    /// # Errors
    /// [`SendError::Disconnected`] if the client is gone, or was decided about already.
    pub fn accept(&mut self, socket: SocketKey, sid: &str) -> Result<(), SendError> {
        note!(self, Entry::Accept { socket: number(socket), sid: Cow::Borrowed(sid), pid: None });
        self.with_sockets(|sockets, engine| sockets.accept(engine, socket, sid, None))
    }

    /// The same for a client whose session may be recovered: the CONNECT reply also has the private id `pid`, a secret
    /// between this server and its client. For one that has recovered its session, both ids are those that it had, and
    /// the events that it has missed are [emitted](Self::emit) before, so that they leave behind the reply.
    ///
    /// # Errors
    /// As [`accept`](Self::accept).
    pub fn accept_recoverable(&mut self, socket: SocketKey, sid: &str, pid: &str) -> Result<(), SendError> {
        note!(
            self,
            Entry::Accept { socket: number(socket), sid: Cow::Borrowed(sid), pid: Some(Cow::Borrowed(pid)) }
        );
        self.with_sockets(|sockets, engine| sockets.accept(engine, socket, sid, Some(pid)))
    }

    /// Tells [`ServerSocketEvent::Connect`](crate::socket::ServerSocketEvent::Connect) once more, for a client that
    /// could not be decided about when it was told.
    ///
    /// # Errors
    /// As [`accept`](Self::accept).
    pub fn ask_again(&mut self, socket: SocketKey, auth: Option<PacketData>) -> Result<(), SendError> {
        note!(
            self,
            Entry::AskAgain {
                socket: number(socket),
                auth: auth.as_ref().map(|auth| Cow::Borrowed(auth.json().as_bytes())),
            }
        );
        self.with_sockets(|sockets, _| sockets.ask_again(socket, auth))
    }

    /// The bytes that may be emitted to the client before the send budget is used up: as many as the events that it has
    /// missed may have.
    pub fn capacity(&self) -> usize {
        self.engine.config().effective_send_budget().saturating_sub(self.buffered())
    }

    /// Refuses a client that asked for a namespace: writes CONNECT_ERROR with a message, and with `data`, which must be
    /// JSON, if given. Frames that were emitted to the socket meanwhile are dropped. The connection stays.
    ///
    /// # Errors
    /// [`SendError::Disconnected`] if the client is gone, or was decided about already.
    pub fn reject(
        &mut self,
        socket: SocketKey,
        message: &str,
        data: Option<&PacketData>,
    ) -> Result<(), SendError> {
        note!(
            self,
            Entry::Reject {
                socket: number(socket),
                message: Cow::Borrowed(message),
                data: data.map(|data| Cow::Borrowed(data.json().as_bytes())),
            }
        );
        self.with_sockets(|sockets, engine| sockets.reject(engine, socket, message, data))?;
        let is_last = matches!(&self.layer, Layer::Sockets(sockets) if sockets.is_refused_for_good());
        if is_last && self.is_open() {
            self.mistake = Some(Box::new(SocketError::TooManyRefusals.into()));
            self.engine.close_because_of_above(self.now, CloseReason::ForcedClose);
            self.settle();
        }
        Ok(())
    }

    /// Refuses a client that asked for a namespace that does not exist, in the reference's words. The connection stays.
    ///
    /// # Errors
    /// [`SendError::Disconnected`] if the client is gone, or was decided about already.
    pub fn reject_namespace(&mut self, socket: SocketKey) -> Result<(), SendError> {
        let message = "Invalid namespace";
        match self.revision() {
            Revision::V4 => self.reject(socket, message, None),
            // The only refusal that has the later form there, too.
            Revision::V3 => {
                let reason = PacketData::encode(&BTreeMap::from([("message", message)])).ok();
                self.reject(socket, message, reason.as_ref())
            }
        }
    }

    /// Queues an event for a socket. A frame for this one alone is given away; one for several is lent, and shared.
    /// False if the event was dropped, as [`Overflow::Drop`](crate::engine::Overflow::Drop) says.
    ///
    /// # Errors
    /// [`SendError::Disconnected`], or [`SendError::Full`] if the budget is used up and the policy says so.
    #[inline]
    pub fn emit(&mut self, socket: SocketKey, frame: impl Into<Frame>) -> Result<bool, SendError> {
        let is_connected = self.check(|sockets| sockets.takes_frames(socket))?;
        let frame = frame.into();
        note!(self, Entry::Emit { socket: number(socket), frame: frame.clone() });
        if !self.admit(&frame)? {
            return Ok(false);
        }
        let sent = if is_connected {
            // Nothing but the queue changes: there is nothing to settle.
            self.engine.send_now(frame).then_some(()).ok_or(SendError::Disconnected)
        } else {
            self.with_sockets(|sockets, engine| sockets.emit(engine, socket, frame))
        };
        self.count_out(sent).map(|()| true)
    }

    /// Queues an event for a socket if it would leave at once; otherwise it is dropped, and false comes back.
    ///
    /// # Errors
    /// [`SendError::Disconnected`].
    pub fn emit_volatile(&mut self, socket: SocketKey, frame: impl Into<Frame>) -> Result<bool, SendError> {
        if !self.is_connected(socket) {
            return Err(SendError::Disconnected);
        }
        if !self.is_writable() {
            return Ok(false);
        }
        self.emit(socket, frame)
    }

    /// Queues an event that asks for an acknowledgement. Ids are the caller's, unique among those awaited from this
    /// socket: for example even ones for single events and odd ones for broadcasts.
    /// [`ServerSocketEvent::Ack`](crate::socket::ServerSocketEvent::Ack) tells the outcome, once.
    ///
    /// # Errors [`SendError`]; then nothing is awaited.
    pub fn emit_with_ack(
        &mut self,
        socket: SocketKey,
        frame: impl Into<Frame>,
        id: u64,
        deadline: Instant,
    ) -> Result<(), SendError> {
        let may = self.check(|sockets| sockets.may_await(socket, id));
        if may == Err(SendError::TooManyAcks) {
            self.counts.acks_refused = self.counts.acks_refused.wrapping_add(1);
        }
        may?;
        let frame = frame.into();
        note!(
            self,
            Entry::EmitWithAck {
                socket: number(socket),
                frame: frame.clone(),
                id,
                deadline: deadline.as_micros(),
            }
        );
        if !self.admit(&frame)? {
            return Err(SendError::Full);
        }
        let sent =
            self.with_sockets(|sockets, engine| sockets.emit_with_ack(engine, socket, frame, id, deadline));
        self.count_out(sent)
    }

    /// Acknowledges an event of the client. It is dropped if the socket has left its namespace.
    ///
    /// # Errors
    /// [`SendError::Disconnected`], or [`SendError::Full`] as in [`Connection::emit`].
    pub fn ack(&mut self, socket: SocketKey, frame: impl Into<Frame>) -> Result<(), SendError> {
        self.check(|sockets| sockets.is_connected(socket).then_some(()).ok_or(SendError::Disconnected))?;
        let frame = frame.into();
        note!(self, Entry::Ack { socket: number(socket), frame: frame.clone() });
        if !self.admit(&frame)? {
            return Ok(());
        }
        let sent = self.engine.send_now(frame).then_some(()).ok_or(SendError::Disconnected);
        self.count_out(sent)
    }

    /// Takes a socket out of its namespace; the connection stays.
    ///
    /// # Errors
    /// [`SendError::Disconnected`].
    pub fn disconnect(&mut self, socket: SocketKey, reason: CloseReason) -> Result<(), SendError> {
        note!(self, Entry::Disconnect { socket: number(socket), reason });
        self.with_sockets(|sockets, engine| sockets.disconnect(engine, socket, reason))
    }

    /// Keeps the next events back: of one socket, or with `None` the messages of a plain Engine.IO session.
    pub fn hold(&mut self, socket: Option<SocketKey>) {
        note!(self, Entry::Hold { socket: optional_number(socket) });
        match (&mut self.layer, socket) {
            (Layer::Sockets(sockets), Some(socket)) => sockets.hold(socket),
            (Layer::Messages(messages), _) => messages.hold(),
            (Layer::Sockets(_), None) => {}
        }
        self.settle();
    }

    /// A handler has begun with an event of that many bytes, and the next ones of its socket do not wait for it. They
    /// count in `receive_budget` until [`end_apart`](Self::end_apart), which is owed for each.
    pub fn begin_apart(&mut self, bytes: usize) {
        note!(self, Entry::BeginApart { size: bytes as u64 });
        if let Layer::Sockets(sockets) = &mut self.layer {
            sockets.begin_apart(bytes);
        }
        self.settle();
    }

    /// A handler for which [`begin_apart`](Self::begin_apart) was called is done.
    pub fn end_apart(&mut self, bytes: usize) {
        note!(self, Entry::EndApart { size: bytes as u64 });
        if let Layer::Sockets(sockets) = &mut self.layer {
            sockets.end_apart(bytes);
        }
        self.engine.progress(self.now);
        self.settle();
    }

    /// Lets them go on: a handler has finished.
    pub fn release(&mut self, socket: Option<SocketKey>) {
        note!(self, Entry::Release { socket: optional_number(socket) });
        match (&mut self.layer, socket) {
            (Layer::Sockets(sockets), Some(socket)) => sockets.release(socket),
            (Layer::Messages(messages), _) => messages.release(),
            (Layer::Sockets(_), None) => {}
        }
        self.engine.progress(self.now);
        self.settle();
    }

    // --- commands of any connection ---------------------------------------------------------------------------

    /// Queues a message of a plain Engine.IO session.
    ///
    /// # Errors
    /// [`SendError::Disconnected`], or [`SendError::Full`] as in [`Connection::emit`].
    pub fn send(&mut self, frame: impl Into<Frame>) -> Result<(), SendError> {
        if !self.is_open() {
            return Err(SendError::Disconnected);
        }
        let frame = frame.into();
        note!(self, Entry::Send { frame: frame.clone() });
        if self.admit(&frame)? {
            self.engine.send(frame);
            self.counts.events_out = self.counts.events_out.wrapping_add(1);
        }
        Ok(())
    }

    /// Closes the connection: every socket is told, and the queue is written first. A client that is to come back by
    /// itself, because the server shuts down or a handler panicked, is not told that its sockets are disconnected.
    pub fn close(&mut self, reason: CloseReason) {
        note!(self, Entry::Close { reason });
        if let Layer::Sockets(sockets) = &mut self.layer {
            match reason {
                // A client that is told that it was disconnected does not come back by itself.
                CloseReason::ServerShuttingDown => {}
                CloseReason::HandlerPanic => sockets.handle_closed(reason),
                _ => sockets.disconnect_all(&mut self.engine, CloseReason::ServerNamespaceDisconnect),
            }
        }
        self.engine.close(self.now, reason);
        self.settle();
    }

    /// Ends the connection now; its queue is thrown away.
    pub fn abort(&mut self, reason: CloseReason) {
        note!(self, Entry::Abort { reason });
        self.abort_now(reason);
    }

    pub(super) fn abort_now(&mut self, reason: CloseReason) {
        self.engine.abort(Ended::plain(reason));
        self.settle();
    }
}
