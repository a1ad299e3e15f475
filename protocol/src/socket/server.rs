//! The Socket.IO layer of one connection, seen from the server (protocol revision 5, and 4 for the clients of Engine.IO's
//! revision 3): its sockets, one per joined namespace.
//!
//! ```text
//!                 accept: CONNECT reply, then what waited behind it
//!   Connecting ------------------------------------------------------> Connected
//!       |  \                                                               |
//!       |   reject: CONNECT_ERROR                  DISCONNECT by either side, or the connection ends
//!       v                                                                  v
//!    (gone)                                                               Left ---> (gone)
//!                                                        its events are handled first
//! ```
//!
//! It writes through the [`engine`](crate::engine::server::ServerSession) that is passed to its commands.
//!
//! **Held sockets.** Events of one socket are handled in order: while the application is busy with one,
//! [`ServerSockets::hold`] keeps the next ones back. Answers to our own events are never held, so a handler may await
//! the answer of the very client that it serves.

mod commands;
mod event;
pub(crate) mod legacy;
mod waiting;

pub(crate) use crate::socket::ids::{AckOutcome, SocketKey};
pub use crate::socket::server::event::ServerSocketEvent;

use super::error::SocketError;
use super::json::data::PacketData;
use super::packet::{Packet, PacketType};
use super::parser::{Parser, Part};
use crate::ascending::AscendingMap;
use crate::engine::Revision;
use crate::message::{Frame, WireMessage};
use crate::pace::{Pace, Turn};
use crate::rate::{Bucket, Rate};
use crate::reason::{CloseReason, SendError};
use crate::socket::config::SocketServerConfig;
use crate::socket::json::reassembly::Reassembly;
use crate::time::Instant;
use alloc::boxed::Box;
use alloc::collections::VecDeque;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::mem;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Connecting,
    Connected,
    Left,
}

#[derive(Debug)]
struct Socket {
    key: SocketKey,
    namespace: Arc<str>,
    state: State,
    held: bool,
    /// Bytes of the event that was handed out last. They count while it is held.
    in_hand: usize,
    /// Its last event was handed out.
    over: bool,
    /// This side has made it leave: packets for it may have been on their way.
    dismissed: bool,
    /// `None` while nothing waits, as for most sockets most of the time.
    pending: Option<Box<Pending>>,
    /// `None` without an `event_rate`: most servers have none.
    pace: Option<Box<Pace>>,
}

/// The events and frames that wait for a socket, and the acknowledgements that are awaited from it.
#[derive(Debug, Default)]
struct Pending {
    /// Events that came while it was held.
    waiting: VecDeque<ServerSocketEvent>,
    /// Frames that wait behind the CONNECT reply.
    behind: Vec<Frame>,
    /// Awaited acknowledgements and their deadlines.
    acks: AscendingMap<u64, Instant>,
}

impl Socket {
    /// The waiting items, to add to them.
    fn pending_mut(&mut self) -> &mut Pending {
        self.pending.get_or_insert_default()
    }

    /// Returns whether events wait for it to be released, or for their turn.
    #[inline]
    fn has_waiting(&self) -> bool {
        self.pending.as_ref().is_some_and(|pending| !pending.waiting.is_empty())
    }

    /// Returns whether packets for it may still have been on their way: the application was not told of its end.
    fn is_dismissed(&self) -> bool {
        self.dismissed && !self.over
    }

    /// Returns whether nothing keeps an event of it back, and nobody counts them.
    #[inline]
    fn takes_at_once(&self) -> bool {
        !self.held && !self.has_waiting() && self.pace.is_none()
    }

    fn acks(&self) -> Option<&AscendingMap<u64, Instant>> {
        self.pending.as_ref().map(|pending| &pending.acks)
    }

    /// Takes out the frames that wait behind the CONNECT reply.
    fn take_behind(&mut self) -> Vec<Frame> {
        self.pending.as_mut().map(|pending| mem::take(&mut pending.behind)).unwrap_or_default()
    }

    /// Gives memory back to the allocator that nothing is in.
    fn give_back(&mut self) {
        let is_empty = |pending: &mut Box<Pending>| {
            pending.waiting.is_empty() && pending.behind.is_empty() && pending.acks.is_empty()
        };
        self.pending.take_if(is_empty);
    }

    /// Asks whether an event may be handed out, and takes its token if so.
    fn turn(&mut self, event: &ServerSocketEvent, now: Instant) -> Turn {
        match (&mut self.pace, event) {
            (Some(pace), ServerSocketEvent::Event { .. }) => pace.turn(now, self.state == State::Left),
            _ => Turn::Now,
        }
    }

    /// Returns whether all about it was told, and handled.
    fn is_done(&self) -> bool {
        self.state == State::Left && self.over && !self.held && !self.has_waiting()
    }
}

/// The packets that go before the events in the queue.
#[derive(Debug, Default)]
struct First {
    /// The outcomes of awaited acknowledgements.
    answers: VecDeque<ServerSocketEvent>,
    /// The sockets whose waiting events may go on.
    released: VecDeque<SocketKey>,
}

impl First {
    fn is_empty(&self) -> bool {
        self.answers.is_empty() && self.released.is_empty()
    }

    /// Lets the waiting events of a socket go on.
    fn release(&mut self, socket: SocketKey) {
        if !self.released.contains(&socket) {
            self.released.push_back(socket);
        }
    }
}

/// The Socket.IO layer of one connection. See the [module](self).
#[derive(Debug)]
pub(crate) struct ServerSockets {
    config: Arc<SocketServerConfig>,
    revision: Revision,
    /// The client is to join the main namespace without asking.
    joins_main: bool,
    sockets: Vec<Socket>,
    last_key: u32,
    reassembly: Reassembly,
    connect_deadline: Option<Instant>,
    /// The tokens of `connect_rate`.
    connects: Bucket,
    refused: usize,
    /// When the next attachment of a packet is due.
    attachment_deadline: Instant,
    ack_deadline: Instant,
    events: VecDeque<ServerSocketEvent>,
    /// `None` while there are none of them, as on most connections.
    first: Option<Box<First>>,
    inbound: usize,
    /// Bytes of the events that handlers are at work on.
    in_hand: usize,
    behind: usize,
    /// An end was told since the last look.
    told_over: bool,
    now: Instant,
    /// When the first of the sockets whose events wait for their turn has one.
    pace_deadline: Instant,
    paced: u64,
}

impl ServerSockets {
    /// The layer of a connection that has joined nothing yet.
    pub(crate) fn new(now: Instant, revision: Revision, config: Arc<SocketServerConfig>) -> Self {
        let connect_deadline = Some(now + config.connect_timeout);
        let connects = Bucket::full(now, config.connect_rate.unwrap_or(Rate::per_second(1)));
        Self {
            config,
            revision,
            joins_main: revision == Revision::V3,
            sockets: Vec::new(),
            last_key: 0,
            reassembly: Reassembly::default(),
            connect_deadline,
            connects,
            refused: 0,
            attachment_deadline: Instant::FAR_FUTURE,
            ack_deadline: Instant::FAR_FUTURE,
            events: VecDeque::new(),
            first: None,
            inbound: 0,
            in_hand: 0,
            behind: 0,
            told_over: false,
            now,
            pace_deadline: Instant::FAR_FUTURE,
            paced: 0,
        }
    }

    /// The time, for what has none among its arguments.
    pub(crate) fn tick(&mut self, now: Instant) {
        self.now = self.now.max(now);
    }

    /// Bytes of events that wait to be handled, with 128 more for each.
    pub(crate) fn waiting(&self) -> usize {
        self.inbound
    }

    /// The parser of its packets.
    #[inline]
    pub(crate) fn parser(&self) -> &Parser {
        &self.config.parser
    }

    /// The settings.
    #[cfg(feature = "record")]
    pub(crate) fn config(&self) -> &SocketServerConfig {
        &self.config
    }

    /// The same, with those that handlers are at work on.
    pub(crate) fn inbound(&self) -> usize {
        self.inbound.saturating_add(self.in_hand)
    }

    /// A handler that does not hold its socket begins with an event of that many bytes.
    pub(crate) fn begin_apart(&mut self, bytes: usize) {
        self.in_hand = self.in_hand.saturating_add(bytes);
    }

    /// Such a handler is done.
    pub(crate) fn end_apart(&mut self, bytes: usize) {
        self.in_hand = self.in_hand.saturating_sub(bytes);
    }

    /// Bytes of frames that wait behind a CONNECT reply, with 192 more for each of their messages.
    pub(crate) fn behind(&self) -> usize {
        self.behind
    }

    /// Returns whether a packet waits for its attachments.
    pub(crate) fn is_reassembling(&self) -> bool {
        self.reassembly.is_waiting()
    }

    /// Returns whether no socket is left about which anything is to be told, and none is held.
    pub(crate) fn is_finished(&self) -> bool {
        !self.has_answer() && self.sockets.iter().all(Socket::is_done)
    }

    /// The bytes of the largest packet that the client may send, with all its attachments.
    pub(crate) fn max_packet(&self, max_payload: usize) -> usize {
        max_payload.saturating_mul(self.config.parser.max_attachments.get().saturating_add(1))
    }

    /// Returns whether its CONNECTs were refused so often that the connection is to be closed.
    pub(crate) fn is_refused_for_good(&self) -> bool {
        self.refused >= self.config.max_refused_connects.max(1)
    }

    /// Returns whether any acknowledgement is awaited from this client.
    pub(crate) fn awaits_ack(&self) -> bool {
        self.sockets.iter().any(|socket| socket.acks().is_some_and(|acks| !acks.is_empty()))
    }

    // --- what happened outside ------------------------------------------------------------------------------

    /// A message of the Engine.IO session, whose largest payload is `max_payload`. The event that it is comes back, to be
    /// [queued](Self::push) or [handed out](Self::hand_out).
    ///
    /// # Errors
    /// [`SocketError`]: a mistake of the peer, for which the connection is to be given up.
    #[inline]
    pub(crate) fn handle_message(
        &mut self,
        message: WireMessage,
        max_payload: usize,
    ) -> Result<Option<ServerSocketEvent>, SocketError> {
        let parser = &self.config.parser;
        match parser.part(message)? {
            Part::Packet(packet) => {
                let packet = parser.decode(packet)?;
                self.handle_read(packet, max_payload)
            }
            Part::Attachment(data) => {
                let packet = self.reassembly.push(data)?;
                self.handle_reassembled(packet)
            }
        }
    }

    /// A packet that was read from a message of the Engine.IO session.
    ///
    /// # Errors
    /// As [`handle_message`](Self::handle_message).
    #[inline]
    pub(crate) fn handle_read(
        &mut self,
        packet: Packet,
        max_payload: usize,
    ) -> Result<Option<ServerSocketEvent>, SocketError> {
        // Mostly it is whole, and not passed through hands that it does not need.
        if packet.attachments() == 0 && !self.reassembly.is_waiting() {
            return self.handle_packet(packet);
        }
        // Before anything is kept for it (CVE-2026-48804): nobody sends attachments before the CONNECT reply.
        let namespace = legacy::namespace(self.revision, &packet);
        let takes = |socket: &Socket| socket.state == State::Connected || socket.is_dismissed();
        if !self.sockets.iter().any(|socket| takes(socket) && *socket.namespace == *namespace) {
            return Err(SocketError::NotJoined);
        }
        let max_bytes = self.config.parser.max_attachments.get().saturating_mul(max_payload);
        let packet = self.reassembly.start(packet, max_bytes, max_payload)?;
        self.handle_reassembled(packet)
    }

    /// A packet is whole, or waits for more attachments.
    fn handle_reassembled(
        &mut self,
        packet: Option<Packet>,
    ) -> Result<Option<ServerSocketEvent>, SocketError> {
        self.attachment_deadline = if self.reassembly.is_waiting() {
            self.now + self.config.attachment_timeout
        } else {
            Instant::FAR_FUTURE
        };
        packet.map_or(Ok(None), |packet| self.handle_whole(packet))
    }

    /// A packet whose attachments are all there.
    #[inline(never)]
    fn handle_whole(&mut self, packet: Packet) -> Result<Option<ServerSocketEvent>, SocketError> {
        self.handle_packet(packet)
    }

    /// The connection ended: so do all sockets.
    pub(crate) fn handle_closed(&mut self, reason: CloseReason) {
        self.connect_deadline = None;
        self.reassembly = Reassembly::default();
        self.attachment_deadline = Instant::FAR_FUTURE;
        for at in 0..self.sockets.len() {
            self.leave(at, reason);
        }
        self.sweep();
    }

    /// Judges the deadlines: awaited acknowledgements, the first CONNECT, and attachments, unless reading `is_paused`.
    ///
    /// # Errors
    /// [`SocketError::ConnectTimeout`] or [`SocketError::AttachmentTimeout`], once: the connection is to be closed.
    pub(crate) fn handle_timeout(&mut self, now: Instant, is_paused: bool) -> Result<(), SocketError> {
        self.expire_acks(now);
        self.next_turns(now);
        if now >= self.attachment_deadline {
            if !is_paused {
                self.attachment_deadline = Instant::FAR_FUTURE;
                return Err(SocketError::AttachmentTimeout);
            }
            self.attachment_deadline = now + self.config.attachment_timeout;
        }
        match self.connect_deadline.take_if(|deadline| now >= *deadline) {
            Some(_) => Err(SocketError::ConnectTimeout),
            None => Ok(()),
        }
    }

    /// The attachment that is awaited, if one is, has its whole time from here.
    pub(crate) fn restart_attachment(&mut self) {
        if self.reassembly.is_waiting() {
            self.attachment_deadline = self.now + self.config.attachment_timeout;
        }
    }

    /// Judges the awaited acknowledgements alone.
    #[inline]
    pub(crate) fn expire_acks(&mut self, now: Instant) {
        if now >= self.ack_deadline {
            self.expire_due_acks(now);
        }
    }

    fn expire_due_acks(&mut self, now: Instant) {
        self.ack_deadline = Instant::FAR_FUTURE;
        for socket in &mut self.sockets {
            let key = socket.key;
            let Some(pending) = &mut socket.pending else { continue };
            pending.acks.retain(|id, &deadline| {
                let over = deadline <= now;
                if over {
                    self.first.get_or_insert_default().answers.push_back(ServerSocketEvent::Ack {
                        socket: key,
                        id,
                        outcome: AckOutcome::Timeout,
                    });
                } else {
                    self.ack_deadline = self.ack_deadline.min(deadline);
                }
                !over
            });
        }
    }

    #[inline(always)]
    #[allow(
        clippy::indexing_slicing,
        reason = "proof: `at` is the position of a socket, and none is taken out here"
    )]
    fn handle_packet(&mut self, packet: Packet) -> Result<Option<ServerSocketEvent>, SocketError> {
        let namespace = legacy::namespace(self.revision, &packet);
        let at = self
            .sockets
            .iter()
            .position(|socket| socket.state != State::Left && *socket.namespace == *namespace);
        if packet.kind() == PacketType::Connect {
            return match at {
                // One that is still being decided counts as joined.
                Some(_) => Err(SocketError::AlreadyJoined),
                None => self.ask(namespace.into(), legacy::auth(self.revision, &packet)).map(|()| None),
            };
        }
        let connected = |at: &usize| self.sockets[*at].state == State::Connected;
        let Some(at) = at.filter(connected) else { return self.handle_late(namespace) };
        let socket = self.sockets[at].key;
        match packet.kind() {
            PacketType::Event | PacketType::BinaryEvent => {
                if let Some(pace) = &mut self.sockets[at].pace {
                    if !pace.admits(self.now) {
                        return Err(SocketError::TooManyEvents);
                    }
                }
                let ack = packet.id();
                let args = packet.into_args();
                // `42` alone is legal, and names no event that anybody could handle.
                if !args.has_event() {
                    return Ok(None);
                }
                Ok(Some(ServerSocketEvent::Event { socket, args, ack }))
            }
            PacketType::Ack | PacketType::BinaryAck => {
                // Unknown and repeated ids are ignored, as in the reference.
                let acks = self.sockets[at].pending.as_mut().map(|pending| &mut pending.acks);
                let is_awaited = |id: &u64| acks.is_some_and(|acks| acks.remove(*id).is_some());
                if let Some(id) = packet.id().filter(is_awaited) {
                    let outcome = AckOutcome::Answered(packet.into_args());
                    let event = ServerSocketEvent::Ack { socket, id, outcome };
                    self.inbound = self.inbound.saturating_add(event.weight());
                    self.first.get_or_insert_default().answers.push_back(event);
                }
                Ok(None)
            }
            PacketType::Disconnect => {
                self.leave(at, CloseReason::ClientNamespaceDisconnect);
                Ok(None)
            }
            _ => Err(SocketError::Direction),
        }
    }

    /// A client asks to join a namespace.
    fn ask(&mut self, namespace: Arc<str>, auth: Option<PacketData>) -> Result<(), SocketError> {
        if self.config.connect_rate.is_some_and(|rate| self.connects.take(self.now, rate).is_err()) {
            return Err(SocketError::TooManyConnects);
        }
        if namespace.len() > self.config.max_namespace_name {
            return Err(SocketError::NamespaceTooLong);
        }
        let is_large = |auth: &PacketData| auth.wire_len() > self.config.max_auth;
        // The reference's client shows the last text of an event without an offset, however long it is, again and again:
        // such a client begins a new session.
        let auth = if auth.as_ref().is_some_and(is_large) {
            auth.and_then(PacketData::without_recovery)
        } else {
            auth
        };
        if auth.as_ref().is_some_and(is_large) {
            return Err(SocketError::AuthTooLarge);
        }
        let alive = self.sockets.iter().filter(|socket| socket.state != State::Left).count();
        // Those that it left stay until their handlers have finished: leaving and joining again and again must
        // not pile them up.
        let in_all = self.config.max_namespaces.saturating_mul(2);
        if alive >= self.config.max_namespaces || self.sockets.len() >= in_all {
            return Err(SocketError::TooManyNamespaces);
        }
        self.last_key = self.last_key.checked_add(1).ok_or(SocketError::TooManyNamespaces)?;
        let socket = SocketKey::new(self.last_key);
        // Most connections have one socket: no allocation for four.
        self.sockets.reserve_exact(1);
        self.sockets.push(Socket {
            key: socket,
            namespace: namespace.clone(),
            state: State::Connecting,
            held: false,
            in_hand: 0,
            over: false,
            dismissed: false,
            pending: None,
            pace: self
                .config
                .event_rate
                .map(|rate| Box::new(Pace::new(self.now, rate, self.config.event_excess))),
        });
        self.push(ServerSocketEvent::Connect { socket, namespace, auth });
        Ok(())
    }

    /// Gives memory back to the allocator that nothing is in: a deadline comes seldom, and finds most queues empty.
    pub(crate) fn give_back(&mut self) {
        if self.events.is_empty() {
            self.events = VecDeque::new();
        }
        self.first.take_if(|first| first.is_empty());
        self.sockets.iter_mut().for_each(Socket::give_back);
    }

    // --- what is to be done -----------------------------------------------------------------------------------

    /// By when [`ServerSockets::handle_timeout`] is to be called.
    pub(crate) fn poll_timeout(&self) -> Instant {
        let connect = self.connect_deadline.unwrap_or(Instant::FAR_FUTURE);
        connect.min(self.attachment_deadline).min(self.ack_deadline).min(self.pace_deadline)
    }

    // --- inside -----------------------------------------------------------------------------------------------

    fn find(&self, key: SocketKey, state: State) -> Result<(usize, &Socket), SendError> {
        let mut sockets = self.sockets.iter().enumerate();
        let found = sockets.find(|(_, socket)| socket.key == key && socket.state == state);
        found.ok_or(SendError::Disconnected)
    }

    fn find_mut(&mut self, key: SocketKey, state: State) -> Result<&mut Socket, SendError> {
        let found = self.sockets.iter_mut().find(|socket| socket.key == key && socket.state == state);
        found.ok_or(SendError::Disconnected)
    }

    /// A socket ends: its acknowledgements are decided at once, its last event queues behind the others.
    fn leave(&mut self, at: usize, reason: CloseReason) {
        let Some(socket) = self.sockets.get_mut(at) else { return };
        let key = socket.key;
        let was = mem::replace(&mut socket.state, State::Left);
        let pending = socket.pending.as_mut();
        let (behind, acks) = pending
            .map(|pending| (mem::take(&mut pending.behind), mem::take(&mut pending.acks)))
            .unwrap_or_default();
        for frame in behind {
            self.behind = self.behind.saturating_sub(frame.queued_len());
        }
        for (id, _) in acks.into_entries() {
            let outcome = AckOutcome::Disconnected;
            self.first.get_or_insert_default().answers.push_back(ServerSocketEvent::Ack {
                socket: key,
                id,
                outcome,
            });
        }
        // Nobody waits for the turn of what is left.
        if socket.pace.as_mut().is_some_and(|pace| pace.until.take().is_some()) && !socket.held {
            self.first.get_or_insert_default().release(key);
        }
        match was {
            State::Connected => self.push(ServerSocketEvent::Disconnected { socket: key, reason }),
            // The application never had it.
            State::Connecting => socket.over = true,
            State::Left => {}
        }
    }

    /// Forgets the sockets about which everything was told.
    fn sweep(&mut self) {
        self.sockets.retain(|socket| !socket.is_done());
    }
}
