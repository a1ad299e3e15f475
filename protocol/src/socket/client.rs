//! The Socket.IO layer of a client (protocol revision 5): its sockets, one per namespace, over sessions that come
//! and go.
//!
//! ```text
//!              a session is open: CONNECT               CONNECT with an id: what was buffered is sent
//!   Away -------------------------------> Joining ---------------------------------------------> Joined
//!    ^                                       |                                                      |
//!    |       CONNECT_ERROR, no answer        |         DISCONNECT by either side, or the session ends
//!    +---------------------------------------+------------------------------------------------------+
//! ```
//!
//! A socket that is *wanted* joins whenever a session opens. A refusal, or an end that either side brought about on
//! purpose, makes it unwanted until [`Client::connect`]. What is emitted while it is away waits; what is volatile
//! is dropped.
//!
//! It writes through the [`engine`](crate::engine::client::Client) that is passed to its commands.
//! [`crate::client::Manager`] holds both.

mod config;
mod event;
mod join;
mod queue;

pub use self::config::Config;
pub use self::event::{ConnectError, SocketEvent};
pub use super::server::{AckOutcome, SocketKey};

use self::queue::Reliable;
use super::packet::{Packet, PacketType, is_namespace};
use super::reassembly::Reassembly;
use crate::engine::client::Client as Engine;
use crate::engine::packet::Message;
use crate::error::{CloseReason, PeerError, SendError};
use crate::frame::Frame;
use crate::time::Instant;
use alloc::collections::{BTreeMap, BTreeSet, VecDeque};
use alloc::sync::Arc;
use alloc::vec::Vec;
use bytes::Bytes;
use core::mem;

/// What a buffered frame counts for beside its bytes.
const PER_FRAME: usize = 64;

/// What a socket shows when it joins.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Auth {
    /// Nothing.
    #[default]
    None,
    /// Always this: the JSON of an object.
    Fixed(Bytes),
    /// Whatever the application says at that time: see [`SocketEvent::Auth`].
    Ask,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Away,
    /// The application is asked for the auth.
    Asking,
    Joining {
        deadline: Instant,
    },
    Joined,
    /// Given up before the server has answered its CONNECT. It is told so once it has: the reference's server closes
    /// the whole connection for a packet, or a second CONNECT, to a namespace that it has not let in yet.
    Leaving,
}

#[derive(Debug)]
struct Buffered {
    frame: Frame,
    ack: Option<u64>,
}

#[derive(Debug)]
struct Socket {
    key: SocketKey,
    namespace: Arc<str>,
    wanted: bool,
    state: State,
    auth: Auth,
    id: Option<Arc<str>>,
    /// How many of its connections have ended.
    ended: u64,
    held: bool,
    /// What is to be told, in order.
    inbox: VecDeque<SocketEvent>,
    /// Events that came before the server's CONNECT.
    early: VecDeque<SocketEvent>,
    /// Frames that wait for the server's CONNECT.
    buffer: VecDeque<Buffered>,
    /// Awaited acknowledgements and their deadlines.
    acks: BTreeMap<u64, Instant>,
    /// Events that are sent until they are acknowledged.
    queue: VecDeque<Reliable>,
}

/// The Socket.IO layer of a client. See the [module](self).
#[derive(Debug)]
pub struct Client {
    config: Arc<Config>,
    sockets: Vec<Socket>,
    reassembly: Reassembly,
    /// Not earlier than this is any deadline.
    deadline: Instant,
    /// What is never held back: answers, and the application's auth.
    answers: VecDeque<SocketEvent>,
    /// The socket that is asked next.
    turn: usize,
    inbound: usize,
    buffered: usize,
}

impl Client {
    /// A layer without sockets.
    pub fn new(config: Arc<Config>) -> Self {
        Self {
            config,
            sockets: Vec::new(),
            reassembly: Reassembly::default(),
            deadline: Instant::FAR_FUTURE,
            answers: VecDeque::new(),
            turn: 0,
            inbound: 0,
            buffered: 0,
        }
    }

    // --- getters ----------------------------------------------------------------------------------------------

    /// The settings.
    pub fn config(&self) -> &Arc<Config> {
        &self.config
    }

    /// The namespace of a socket.
    pub fn namespace(&self, socket: SocketKey) -> Option<&Arc<str>> {
        self.sockets.iter().find(|found| found.key == socket).map(|found| &found.namespace)
    }

    /// The socket of a namespace.
    pub fn find(&self, namespace: &str) -> Option<SocketKey> {
        let namespace = if namespace.is_empty() { "/" } else { namespace };
        self.sockets.iter().find(|socket| *socket.namespace == *namespace).map(|socket| socket.key)
    }

    /// The public id of a connected socket.
    pub fn id(&self, socket: SocketKey) -> Option<&Arc<str>> {
        self.sockets.iter().find(|found| found.key == socket).and_then(|found| found.id.as_ref())
    }

    /// Which connection of the socket this is: it counts up whenever one ends. An event that
    /// [`poll_event`](Self::poll_event) has just given, and that wants an answer, is of this one.
    pub fn connection(&self, socket: SocketKey) -> u64 {
        self.sockets.iter().find(|found| found.key == socket).map_or(0, |found| found.ended)
    }

    /// Whether a socket is connected, that is, messages to it pass.
    pub fn is_connected(&self, socket: SocketKey) -> bool {
        self.sockets.iter().any(|found| found.key == socket && found.state == State::Joined)
    }

    /// Whether a socket joins when a session opens.
    pub fn is_wanted(&self, socket: SocketKey) -> bool {
        self.sockets.iter().any(|found| found.key == socket && found.wanted)
    }

    /// Whether any socket does.
    pub fn has_wanted(&self) -> bool {
        self.sockets.iter().any(|socket| socket.wanted)
    }

    /// Bytes of events that wait to be handled, with 128 more for each.
    pub fn inbound(&self) -> usize {
        self.inbound
    }

    /// Bytes of frames that wait for a connection, or for their acknowledgement, with 64 more for each.
    pub fn buffered(&self) -> usize {
        self.buffered
    }

    /// Whether a packet waits for its attachments.
    pub fn is_reassembling(&self) -> bool {
        self.reassembly.is_waiting()
    }

    /// Whether any acknowledgement is awaited.
    pub fn awaits_ack(&self) -> bool {
        self.sockets.iter().any(|socket| !socket.acks.is_empty() || !socket.queue.is_empty())
    }

    // --- what happened outside --------------------------------------------------------------------------------

    /// A session opened: all wanted sockets join.
    pub fn handle_opened(&mut self, now: Instant, engine: &mut Engine) {
        for at in 0..self.sockets.len() {
            if self.sockets.get(at).is_some_and(|socket| socket.wanted && socket.state == State::Away) {
                self.join(now, engine, at);
            }
        }
    }

    /// A message of the session. What the server does wrong ends it.
    pub fn handle_message(&mut self, now: Instant, engine: &mut Engine, message: Message) {
        let max_bytes = engine.config().max_message;
        let packet = match message {
            Message::Text(text) => Packet::decode(text, self.config.max_attachments)
                .and_then(|packet| self.reassembly.start(packet, max_bytes)),
            Message::Binary(data) => self.reassembly.push(data),
        };
        match packet {
            Ok(Some(packet)) => self.handle_packet(now, engine, packet),
            Ok(None) => {}
            Err(error) => engine.close(now, CloseReason::ParseError, Some(PeerError::Socket(error))),
        }
    }

    /// The session ended.
    pub fn handle_closed(&mut self, reason: CloseReason) {
        self.reassembly = Reassembly::default();
        for at in 0..self.sockets.len() {
            self.leave(at, reason);
        }
    }

    /// Judges the deadlines. `engine` is the session that is open, if one is.
    pub fn handle_timeout(&mut self, now: Instant, mut engine: Option<&mut Engine>) {
        if now < self.deadline {
            return;
        }
        self.expire_acks(now);
        let retries = self.config.retries;
        for at in 0..self.sockets.len() {
            let Some(socket) = self.sockets.get_mut(at) else { continue };
            let key = socket.key;
            if socket.queue.front().and_then(|first| first.pending).is_some_and(|deadline| deadline <= now) {
                let given_up = socket.try_failed(retries, AckOutcome::Timeout);
                if let (Some(engine), State::Joined) = (engine.as_deref_mut(), socket.state) {
                    if engine.buffered() > 0 {
                        socket.wait_on(now, self.config.ack_timeout);
                    }
                    socket.send_next(now, engine, self.config.ack_timeout);
                }
                if let Some((given_up, outcome)) = given_up {
                    self.told(key, &given_up, outcome);
                }
            }
            if matches!(self.sockets.get(at), Some(Socket { state: State::Joining { deadline }, .. }) if *deadline <= now)
            {
                self.refuse(at, ConnectError::Timeout);
            }
        }
        self.rearm();
    }

    /// Judges the awaited acknowledgements alone: before an input, too, or what is too late would still be sent by a
    /// machine that slept.
    pub(crate) fn expire_acks(&mut self, now: Instant) {
        if now < self.deadline {
            return;
        }
        for socket in &mut self.sockets {
            let key = socket.key;
            let over: BTreeSet<u64> =
                socket.acks.iter().filter(|(_, deadline)| **deadline <= now).map(|(id, _)| *id).collect();
            if over.is_empty() {
                continue;
            }
            socket.acks.retain(|id, _| !over.contains(id));
            // What was not sent yet never will be.
            socket.buffer.retain(|waiting| {
                let late = waiting.ack.is_some_and(|id| over.contains(&id));
                if late {
                    self.buffered =
                        self.buffered.saturating_sub(waiting.frame.wire_len().saturating_add(PER_FRAME));
                }
                !late
            });
            for id in over {
                let outcome = AckOutcome::Timeout;
                self.answers.push_back(SocketEvent::Ack { socket: key, id, outcome });
            }
        }
    }

    fn handle_packet(&mut self, now: Instant, engine: &mut Engine, packet: Packet) {
        // Packets for namespaces that are not joined are ignored, as in the reference.
        let found = |socket: &Socket| *socket.namespace == *packet.namespace();
        let Some(at) = self.sockets.iter().position(found) else { return };
        let Some(socket) = self.sockets.get_mut(at) else { return };
        let key = socket.key;
        match (packet.kind(), socket.state) {
            // An answer that comes too late: both sides are to say the same.
            (PacketType::Connect, State::Away | State::Leaving) => {
                socket.state = State::Away;
                if event::sid(&packet).is_some() {
                    engine.send(&Frame::disconnect(&socket.namespace));
                }
            }
            (PacketType::ConnectError | PacketType::Disconnect, State::Leaving) => socket.state = State::Away,
            (_, State::Away | State::Asking | State::Leaving) => {}
            (PacketType::Connect, _) => match event::sid(&packet) {
                Some(id) => self.joined(now, engine, at, id),
                None => self.refuse(at, ConnectError::OldServer),
            },
            (PacketType::ConnectError, _) => self.refuse(at, event::refusal(&packet)),
            (PacketType::Disconnect, State::Joining { .. }) => self.refuse(at, ConnectError::Disconnected),
            (PacketType::Disconnect, State::Joined) => {
                socket.wanted = false;
                self.leave(at, CloseReason::IoServerDisconnect);
            }
            (PacketType::Event | PacketType::BinaryEvent, state) => {
                let ack = packet.id();
                let args = packet.into_args();
                // `42` alone is legal, and names no event that anybody could handle.
                if !args.has_event() {
                    return;
                }
                let event = SocketEvent::Event { socket: key, args, ack };
                self.inbound = self.inbound.saturating_add(event.weight());
                if state == State::Joined {
                    socket.inbox.push_back(event);
                } else {
                    socket.early.push_back(event);
                }
            }
            // What it answers was not sent yet.
            (PacketType::Ack | PacketType::BinaryAck, State::Joining { .. }) => {}
            (PacketType::Ack | PacketType::BinaryAck, State::Joined) => {
                // Unknown and repeated ids are ignored.
                let Some(id) = packet.id() else { return };
                if let Some(done) = socket.take_answered(id) {
                    socket.send_next(now, engine, self.config.ack_timeout);
                    self.told(key, &done, AckOutcome::Answered(packet.into_args()));
                    self.rearm();
                } else if socket.acks.remove(&id).is_some() {
                    let outcome = AckOutcome::Answered(packet.into_args());
                    self.answer(SocketEvent::Ack { socket: key, id, outcome });
                }
            }
        }
    }

    // --- commands ---------------------------------------------------------------------------------------------

    /// Adds the socket of a namespace (the empty name means `/`), which is not wanted yet. One that is there
    /// already gets the `auth`.
    ///
    /// # Errors
    /// [`SendError::Namespace`] if the name does not begin with a slash, or has a comma in it.
    pub fn add(&mut self, namespace: &str, auth: Auth) -> Result<SocketKey, SendError> {
        let namespace = if namespace.is_empty() { "/" } else { namespace };
        if !is_namespace(namespace) {
            return Err(SendError::Namespace);
        }
        if let Some(socket) = self.sockets.iter_mut().find(|socket| *socket.namespace == *namespace) {
            socket.auth = auth;
            return Ok(socket.key);
        }
        let key = SocketKey::new(u32::try_from(self.sockets.len()).unwrap_or(u32::MAX));
        self.sockets.push(Socket {
            key,
            namespace: namespace.into(),
            wanted: false,
            state: State::Away,
            auth,
            id: None,
            ended: 0,
            held: false,
            inbox: VecDeque::new(),
            early: VecDeque::new(),
            buffer: VecDeque::new(),
            acks: BTreeMap::new(),
            queue: VecDeque::new(),
        });
        Ok(key)
    }

    /// Wants a socket, and joins at once if a session is open.
    pub fn connect(&mut self, now: Instant, engine: Option<&mut Engine>, socket: SocketKey) {
        let Some(at) = self.at(socket) else { return };
        let Some(found) = self.sockets.get_mut(at) else { return };
        found.wanted = true;
        match (found.state, engine.filter(|engine| engine.is_open())) {
            (State::Away, Some(engine)) => self.join(now, engine, at),
            // Its CONNECT is on its way.
            (State::Leaving, Some(_)) => {
                let deadline = now + self.config.join_timeout;
                found.state = State::Joining { deadline };
                self.deadline = self.deadline.min(deadline);
            }
            _ => {}
        }
    }

    /// Answers [`SocketEvent::Auth`]: joins with that auth, the JSON of an object.
    pub fn authenticate(
        &mut self,
        now: Instant,
        engine: Option<&mut Engine>,
        socket: SocketKey,
        auth: Option<&[u8]>,
    ) {
        let Some(engine) = engine else { return };
        let Some(at) = self.at(socket) else { return };
        if self.sockets.get(at).is_some_and(|socket| socket.state == State::Asking) {
            self.send_join(now, engine, at, auth);
        }
    }

    /// Answers [`SocketEvent::Auth`]: there is none, so the socket is not wanted any more. False, having done nothing,
    /// if it is not asked any more.
    pub fn auth_failed(&mut self, socket: SocketKey) -> bool {
        let Some(at) = self.at(socket) else { return false };
        let Some(found) = self.sockets.get_mut(at).filter(|found| found.state == State::Asking) else {
            return false;
        };
        found.wanted = false;
        self.leave(at, CloseReason::IoClientDisconnect);
        true
    }

    /// Takes a socket out of its namespace, and does not want it any more. What waits to be sent stays, for the
    /// next time.
    pub fn disconnect(&mut self, engine: Option<&mut Engine>, socket: SocketKey) {
        let Some(at) = self.at(socket) else { return };
        let Some(found) = self.sockets.get_mut(at) else { return };
        found.wanted = false;
        if let (Some(engine), State::Joined) = (engine, found.state) {
            engine.send(&Frame::disconnect(&found.namespace));
        }
        let joins = matches!(found.state, State::Joining { .. } | State::Leaving);
        self.leave(at, CloseReason::IoClientDisconnect);
        if let Some(found) = self.sockets.get_mut(at).filter(|_| joins) {
            found.state = State::Leaving;
        }
    }

    /// Ends all: no socket is wanted, nothing waits to be sent, every awaited acknowledgement is decided.
    pub fn shut(&mut self, mut engine: Option<&mut Engine>) {
        for at in 0..self.sockets.len() {
            let Some(key) = self.sockets.get(at).map(|socket| socket.key) else { continue };
            self.disconnect(engine.as_deref_mut(), key);
            let Some(socket) = self.sockets.get_mut(at) else { continue };
            socket.buffer.clear();
            let waiting = mem::take(&mut socket.queue).into_iter().map(|reliable| reliable.id);
            let awaited = mem::take(&mut socket.acks).into_keys();
            for id in awaited.chain(waiting) {
                let outcome = AckOutcome::Disconnected;
                self.answers.push_back(SocketEvent::Ack { socket: key, id, outcome });
            }
        }
        self.buffered = 0;
        self.rearm();
    }

    /// Sends a frame, or keeps it until the socket is connected. The budget is the caller's to check.
    ///
    /// # Errors
    /// [`SendError::Disconnected`] if there is no such socket.
    pub fn emit(
        &mut self,
        engine: Option<&mut Engine>,
        socket: SocketKey,
        frame: &Frame,
    ) -> Result<(), SendError> {
        self.send_or_keep(engine, socket, frame, None)
    }

    /// Sends a frame if the socket is connected and it would leave at once; otherwise it is dropped, and false
    /// comes back.
    ///
    /// # Errors
    /// [`SendError::Disconnected`] if there is no such socket.
    pub fn emit_volatile(
        &mut self,
        engine: Option<&mut Engine>,
        socket: SocketKey,
        frame: &Frame,
    ) -> Result<bool, SendError> {
        self.at(socket).ok_or(SendError::Disconnected)?;
        match engine {
            Some(engine) if self.is_connected(socket) && engine.is_writable() => Ok(engine.send(frame)),
            _ => Ok(false),
        }
    }

    /// Sends a frame that asks for an acknowledgement under `id`, or keeps it until the socket is connected. The
    /// answer is awaited until `deadline`, and no longer than the connection that the frame was sent on.
    ///
    /// # Errors
    /// [`SendError`]; then nothing is awaited.
    pub fn emit_with_ack(
        &mut self,
        engine: Option<&mut Engine>,
        socket: SocketKey,
        frame: &Frame,
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

    /// Sends a frame that asks for an acknowledgement under `id` until it gets one: after those that were emitted
    /// so before, again after [`Config::ack_timeout`] and with each new connection, at most [`Config::retries`]
    /// times after the first. The server may see it more than once.
    ///
    /// # Errors
    /// [`SendError`]; then nothing is awaited.
    pub fn emit_reliably(
        &mut self,
        now: Instant,
        engine: Option<&mut Engine>,
        socket: SocketKey,
        frame: Frame,
        id: u64,
    ) -> Result<(), SendError> {
        self.may_await(socket, id)?;
        let at = self.at(socket).ok_or(SendError::Disconnected)?;
        let Some(found) = self.sockets.get_mut(at) else { return Err(SendError::Disconnected) };
        self.buffered = self.buffered.saturating_add(frame.wire_len().saturating_add(PER_FRAME));
        found.queue.push_back(Reliable { frame, id, tries: 0, pending: None });
        if let (Some(engine), State::Joined) = (engine, found.state) {
            found.send_next(now, engine, self.config.ack_timeout);
            self.rearm();
        }
        Ok(())
    }

    /// Answers an event of the server, on the [`connection`](Self::connection) that the event came on: on another one
    /// the same id may stand for another event. `None` means the present one.
    ///
    /// # Errors
    /// [`SendError::Disconnected`] if that has ended.
    pub fn ack(
        &mut self,
        engine: Option<&mut Engine>,
        socket: SocketKey,
        connection: Option<u64>,
        frame: &Frame,
    ) -> Result<(), SendError> {
        let is_on = connection.is_none_or(|connection| connection == self.connection(socket));
        let engine = engine.filter(|_| is_on && self.is_connected(socket)).ok_or(SendError::Disconnected)?;
        if engine.send(frame) { Ok(()) } else { Err(SendError::Disconnected) }
    }

    /// Keeps the next events of a socket back until [`Client::release`].
    pub fn hold(&mut self, socket: SocketKey) {
        if let Some(found) = self.at(socket).and_then(|at| self.sockets.get_mut(at)) {
            found.held = true;
        }
    }

    /// Lets the events of a held socket go on.
    pub fn release(&mut self, socket: SocketKey) {
        if let Some(found) = self.at(socket).and_then(|at| self.sockets.get_mut(at)) {
            found.held = false;
        }
    }

    // --- what is to be done -----------------------------------------------------------------------------------

    /// The next event. Those of held sockets are passed over; answers never are.
    pub fn poll_event(&mut self) -> Option<SocketEvent> {
        let event = self.answers.pop_front().or_else(|| self.next_event())?;
        self.inbound = self.inbound.saturating_sub(event.weight());
        Some(event)
    }

    /// Whether [`Client::poll_event`] has something.
    pub fn has_event(&self) -> bool {
        !self.answers.is_empty() || self.sockets.iter().any(|socket| !socket.held && !socket.inbox.is_empty())
    }

    /// By when [`Client::handle_timeout`] is to be called.
    pub fn poll_timeout(&self) -> Instant {
        self.deadline
    }

    // --- inside -----------------------------------------------------------------------------------------------

    fn at(&self, socket: SocketKey) -> Option<usize> {
        self.sockets.iter().position(|found| found.key == socket)
    }

    fn next_event(&mut self) -> Option<SocketEvent> {
        let count = self.sockets.len();
        for _ in 0..count {
            let at = if self.turn < count { self.turn } else { 0 };
            self.turn = at.saturating_add(1);
            let Some(socket) = self.sockets.get_mut(at).filter(|socket| !socket.held) else { continue };
            if let Some(event) = socket.inbox.pop_front() {
                if socket.inbox.is_empty() && socket.inbox.capacity() > 32 {
                    socket.inbox = VecDeque::new();
                }
                return Some(event);
            }
        }
        None
    }

    fn answer(&mut self, event: SocketEvent) {
        self.inbound = self.inbound.saturating_add(event.weight());
        self.answers.push_back(event);
    }

    /// An event of the queue is decided.
    fn told(&mut self, socket: SocketKey, done: &Reliable, outcome: AckOutcome) {
        self.buffered = self.buffered.saturating_sub(done.frame.wire_len().saturating_add(PER_FRAME));
        self.answer(SocketEvent::Ack { socket, id: done.id, outcome });
    }

    /// Whether one more acknowledgement may be awaited, under that id.
    pub(crate) fn may_await(&self, socket: SocketKey, id: u64) -> Result<(), SendError> {
        let found = self.at(socket).and_then(|at| self.sockets.get(at)).ok_or(SendError::Disconnected)?;
        if found.acks.contains_key(&id) || found.queue.iter().any(|waiting| waiting.id == id) {
            Err(SendError::DuplicateAck)
        } else if found.acks.len().saturating_add(found.queue.len()) >= self.config.max_pending_acks {
            Err(SendError::TooManyAcks)
        } else {
            Ok(())
        }
    }

    fn send_or_keep(
        &mut self,
        engine: Option<&mut Engine>,
        socket: SocketKey,
        frame: &Frame,
        ack: Option<u64>,
    ) -> Result<(), SendError> {
        let found = self.at(socket).and_then(|at| self.sockets.get_mut(at)).ok_or(SendError::Disconnected)?;
        if let (Some(engine), State::Joined) = (engine, found.state) {
            if engine.send(frame) {
                return Ok(());
            }
        }
        self.buffered = self.buffered.saturating_add(frame.wire_len().saturating_add(PER_FRAME));
        found.buffer.push_back(Buffered { frame: frame.clone(), ack });
        Ok(())
    }

    /// Finds the next deadline anew.
    fn rearm(&mut self) {
        let deadlines = self.sockets.iter().flat_map(|socket| {
            let join = match socket.state {
                State::Joining { deadline } => Some(deadline),
                State::Away | State::Asking | State::Joined | State::Leaving => None,
            };
            let queue = socket.queue.front().and_then(|first| first.pending);
            socket.acks.values().copied().chain(join).chain(queue)
        });
        self.deadline = deadlines.min().unwrap_or(Instant::FAR_FUTURE);
    }
}
