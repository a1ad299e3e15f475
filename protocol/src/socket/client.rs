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
//! purpose, makes it unwanted until [`ClientSockets::connect`]. Events emitted while it is away wait; volatile ones are
//! dropped.
//!
//! It writes through the [`engine`](crate::engine::client::ClientSession) that is passed to its commands.
//! [`crate::client::Manager`] holds both.

mod config;
mod event;
mod join;
mod recovery;
mod retries;
mod sending;
mod waiting;

pub use crate::socket::client::config::SocketClientConfig;
pub use crate::socket::client::event::{ClientSocketEvent, JoinError};
pub(crate) use crate::socket::ids::{AckOutcome, SocketKey};

use self::recovery::Recovery;
use self::retries::Reliable;
use super::error::SocketError;
use super::json::data::PacketData;
use super::packet::{Packet, PacketType, is_namespace};
use super::parser::Part;
use crate::ascending::AscendingMap;
use crate::cost;
use crate::engine::client::ClientSession;
use crate::message::{Frame, WireMessage};
use crate::reason::{CloseReason, SendError};
use crate::socket::json::reassembly::Reassembly;
use crate::time::Instant;
use alloc::boxed::Box;
use alloc::collections::{BTreeSet, VecDeque};
use alloc::sync::Arc;
use alloc::vec::Vec;

/// The longest id that a server may give a socket, in bytes: it is kept, and repeated to every server later.
const MAX_ID: usize = 1 << 10;

/// The bytes that a buffered frame counts for.
fn weight(frame: &Frame) -> usize {
    frame.wire_len().saturating_add(cost::CLIENT_FRAME)
}

/// The source of the auth that a socket shows when it joins.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum AuthSource {
    /// Nothing.
    #[default]
    None,
    /// Always this, which must be an object.
    Fixed(PacketData),
    /// The value that the application gives at that time: see [`ClientSocketEvent::Auth`].
    Ask,
    /// The same, and if the server refuses what was said, the application is asked once more: it may have a fresher token.
    /// A second refusal in a row is final.
    AskAgain,
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
    auth: AuthSource,
    /// The application was asked again since the socket began to join.
    asked_again: bool,
    id: Option<Arc<str>>,
    /// Of a server that recovers connections.
    recovery: Option<Box<Recovery>>,
    /// The number of the socket's connections that have ended.
    ended: u64,
    held: bool,
    /// The events to be told, in order.
    inbox: VecDeque<ClientSocketEvent>,
    /// Events that came before the server's CONNECT.
    early: VecDeque<ClientSocketEvent>,
    /// Frames that wait for the server's CONNECT.
    buffer: VecDeque<Buffered>,
    /// Awaited acknowledgements and their deadlines.
    acks: AscendingMap<u64, Instant>,
    /// Events that are sent until they are acknowledged.
    queue: VecDeque<Reliable>,
    /// Bytes of both, with [`cost::CLIENT_FRAME`] for each.
    buffered: usize,
}

/// The Socket.IO layer of a client. See the [module](self).
#[derive(Debug)]
pub(crate) struct ClientSockets {
    config: Arc<SocketClientConfig>,
    sockets: Vec<Socket>,
    reassembly: Reassembly,
    /// Not earlier than this is any deadline.
    deadline: Instant,
    /// The events that are never held back: answers, and requests for the application's auth.
    answers: VecDeque<ClientSocketEvent>,
    /// The socket that is asked next.
    turn: usize,
    inbound: usize,
}

impl ClientSockets {
    /// A layer without sockets.
    pub(crate) fn new(config: Arc<SocketClientConfig>) -> Self {
        Self {
            config,
            sockets: Vec::new(),
            reassembly: Reassembly::default(),
            deadline: Instant::FAR_FUTURE,
            answers: VecDeque::new(),
            turn: 0,
            inbound: 0,
        }
    }

    // --- getters ----------------------------------------------------------------------------------------------

    /// The parser of its packets.
    pub(crate) fn parser(&self) -> crate::socket::Parser {
        self.config.parser
    }

    /// The socket of a namespace.
    pub(crate) fn find(&self, namespace: &str) -> Option<SocketKey> {
        let namespace = if namespace.is_empty() { "/" } else { namespace };
        self.sockets.iter().find(|socket| *socket.namespace == *namespace).map(|socket| socket.key)
    }

    /// The public id of a connected socket.
    pub(crate) fn id(&self, socket: SocketKey) -> Option<&Arc<str>> {
        self.sockets.iter().find(|found| found.key == socket).and_then(|found| found.id.as_ref())
    }

    /// Returns whether the server has given a connected socket its session back: it has missed nothing.
    pub(crate) fn is_recovered(&self, socket: SocketKey) -> bool {
        let found = self.sockets.iter().find(|found| found.key == socket && found.state == State::Joined);
        found.and_then(|found| found.recovery.as_ref()).is_some_and(|recovery| recovery.is_recovered)
    }

    /// Which connection of the socket this is: it counts up whenever one ends. An event that
    /// [`poll_event`](Self::poll_event) has just given, and that wants an answer, is of this one.
    pub(crate) fn connection(&self, socket: SocketKey) -> u64 {
        self.sockets.iter().find(|found| found.key == socket).map_or(0, |found| found.ended)
    }

    /// Returns whether a socket is connected, that is, messages to it pass.
    pub(crate) fn is_connected(&self, socket: SocketKey) -> bool {
        self.sockets.iter().any(|found| found.key == socket && found.state == State::Joined)
    }

    /// Returns whether a socket joins when a session opens.
    pub(crate) fn is_wanted(&self, socket: SocketKey) -> bool {
        self.sockets.iter().any(|found| found.key == socket && found.wanted)
    }

    /// Returns whether any socket does.
    pub(crate) fn has_wanted(&self) -> bool {
        self.sockets.iter().any(|socket| socket.wanted)
    }

    /// Bytes of events that wait to be handled, with 128 more for each.
    pub(crate) fn inbound(&self) -> usize {
        self.inbound
    }

    /// Bytes of frames that wait for a connection, or for their acknowledgement, with 64 more for each.
    pub(crate) fn buffered(&self) -> usize {
        self.sockets.iter().fold(0, |sum, socket| sum.saturating_add(socket.buffered))
    }

    /// The same, of one socket.
    pub(crate) fn buffered_by(&self, socket: SocketKey) -> usize {
        self.sockets.iter().find(|found| found.key == socket).map_or(0, |found| found.buffered)
    }

    /// Returns whether a packet waits for its attachments.
    pub(crate) fn is_reassembling(&self) -> bool {
        self.reassembly.is_waiting()
    }

    /// Returns whether any acknowledgement is awaited.
    pub(crate) fn awaits_ack(&self) -> bool {
        self.sockets.iter().any(|socket| !socket.acks.is_empty() || !socket.queue.is_empty())
    }

    // --- what happened outside --------------------------------------------------------------------------------

    /// A session opened: all wanted sockets join.
    pub(crate) fn handle_opened(&mut self, now: Instant, engine: &mut ClientSession) {
        for at in 0..self.sockets.len() {
            if self.sockets.get(at).is_some_and(|socket| socket.wanted && socket.state == State::Away) {
                self.join(now, engine, at);
            }
        }
    }

    /// A message of the session.
    ///
    /// # Errors
    /// [`SocketError`]: a mistake of the server, for which the session is to be closed.
    pub(crate) fn handle_message(
        &mut self,
        now: Instant,
        engine: &mut ClientSession,
        message: WireMessage,
    ) -> Result<(), SocketError> {
        let parser = &self.config.parser;
        let packet = match parser.part(message)? {
            Part::Packet(packet) => return self.handle_read(now, engine, parser.decode(packet)?),
            Part::Attachment(data) => self.reassembly.push(data)?,
        };
        if let Some(packet) = packet {
            self.handle_packet(now, engine, packet);
        }
        Ok(())
    }

    /// A packet that was read from a message of the session.
    ///
    /// # Errors
    /// As [`handle_message`](Self::handle_message).
    pub(crate) fn handle_read(
        &mut self,
        now: Instant,
        engine: &mut ClientSession,
        packet: Packet,
    ) -> Result<(), SocketError> {
        let max_bytes = engine.config().max_message;
        if let Some(packet) = self.reassembly.start(packet, max_bytes, max_bytes)? {
            self.handle_packet(now, engine, packet);
        }
        Ok(())
    }

    /// The session ended.
    pub(crate) fn handle_closed(&mut self, reason: CloseReason) {
        self.reassembly = Reassembly::default();
        self.give_back();
        for at in 0..self.sockets.len() {
            self.leave(at, reason);
        }
    }

    /// Judges the deadlines. `engine` is the session that is open, if one is.
    pub(crate) fn handle_timeout(&mut self, now: Instant, mut engine: Option<&mut ClientSession>) {
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
                    self.send_next(now, engine, at);
                }
                if let Some((given_up, outcome)) = given_up {
                    self.told(key, &given_up, outcome);
                }
            }
            if matches!(self.sockets.get(at), Some(Socket { state: State::Joining { deadline }, .. }) if *deadline <= now)
            {
                self.refuse(at, JoinError::Timeout);
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
            let mut over = BTreeSet::new();
            socket.acks.retain(|id, deadline| *deadline > now || !over.insert(id));
            if over.is_empty() {
                continue;
            }
            // What was not sent yet never will be.
            socket.buffer.retain(|waiting| {
                let late = waiting.ack.is_some_and(|id| over.contains(&id));
                if late {
                    socket.buffered = socket.buffered.saturating_sub(weight(&waiting.frame));
                }
                !late
            });
            for id in over {
                let outcome = AckOutcome::Timeout;
                self.answers.push_back(ClientSocketEvent::Ack { socket: key, id, outcome });
            }
        }
    }

    fn handle_packet(&mut self, now: Instant, engine: &mut ClientSession, packet: Packet) {
        // Packets for namespaces that are not joined are ignored, as in the reference.
        let found = |socket: &Socket| *socket.namespace == *packet.namespace();
        let Some(at) = self.sockets.iter().position(found) else { return };
        let Some(socket) = self.sockets.get_mut(at) else { return };
        let key = socket.key;
        match (packet.kind(), socket.state) {
            // An answer that comes too late: both sides are to say the same.
            (PacketType::Connect, State::Away | State::Leaving) => {
                socket.state = State::Away;
                if packet.sid().is_some() {
                    engine.send(&self.config.parser.disconnect(&socket.namespace));
                }
            }
            (PacketType::ConnectError | PacketType::Disconnect, State::Leaving) => socket.state = State::Away,
            (_, State::Away | State::Asking | State::Leaving) => {}
            (PacketType::Connect, _) => match packet.sid() {
                Some(id) => {
                    let pid = packet.pid();
                    if id.len() > MAX_ID || pid.as_ref().is_some_and(|pid| pid.len() > MAX_ID) {
                        // It is in, as the server sees it.
                        engine.send(&self.config.parser.disconnect(&socket.namespace));
                        return self.refuse(at, JoinError::IdTooLong);
                    }
                    self.joined(now, engine, at, id, pid);
                }
                None => self.refuse(at, JoinError::OldServer),
            },
            (PacketType::ConnectError, _) => {
                let (message, data) = packet.refusal();
                self.refuse(at, JoinError::Refused { message, data });
            }
            (PacketType::Disconnect, State::Joining { .. }) => self.refuse(at, JoinError::Disconnected),
            (PacketType::Disconnect, State::Joined) => {
                socket.wanted = false;
                socket.recovery = None;
                self.leave(at, CloseReason::IoServerDisconnect);
            }
            (PacketType::Event | PacketType::BinaryEvent, state) => {
                let ack = packet.id();
                let args = packet.into_args();
                // `42` alone is legal, and names no event that anybody could handle.
                if !args.has_event() {
                    return;
                }
                let event = ClientSocketEvent::Event { socket: key, args, ack };
                self.inbound = self.inbound.saturating_add(event.weight());
                if state == State::Joined {
                    recovery::seen(&mut socket.recovery, &event);
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
                    self.send_next(now, engine, at);
                    self.told(key, &done, AckOutcome::Answered(packet.into_args()));
                    self.rearm();
                } else if socket.acks.remove(id).is_some() {
                    let outcome = AckOutcome::Answered(packet.into_args());
                    self.answer(ClientSocketEvent::Ack { socket: key, id, outcome });
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
    pub(crate) fn add(&mut self, namespace: &str, auth: AuthSource) -> Result<SocketKey, SendError> {
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
            asked_again: false,
            id: None,
            recovery: None,
            ended: 0,
            held: false,
            inbox: VecDeque::new(),
            early: VecDeque::new(),
            buffer: VecDeque::new(),
            acks: AscendingMap::default(),
            queue: VecDeque::new(),
            buffered: 0,
        });
        Ok(key)
    }

    /// Wants a socket, and joins at once if a session is open.
    pub(crate) fn connect(&mut self, now: Instant, engine: Option<&mut ClientSession>, socket: SocketKey) {
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

    /// Answers [`ClientSocketEvent::Auth`]: joins with that auth, which must be an object.
    pub(crate) fn authenticate(
        &mut self,
        now: Instant,
        engine: Option<&mut ClientSession>,
        socket: SocketKey,
        auth: Option<&PacketData>,
    ) {
        let Some(engine) = engine else { return };
        let Some(at) = self.at(socket) else { return };
        if self.sockets.get(at).is_some_and(|socket| socket.state == State::Asking) {
            self.send_join(now, engine, at, auth);
        }
    }

    /// Answers [`ClientSocketEvent::Auth`]: there is none, so the socket is not wanted any more. False, having done
    /// nothing, if it is not asked any more.
    pub(crate) fn auth_failed(&mut self, socket: SocketKey) -> bool {
        let Some(at) = self.at(socket) else { return false };
        let Some(found) = self.sockets.get_mut(at).filter(|found| found.state == State::Asking) else {
            return false;
        };
        found.wanted = false;
        self.leave(at, CloseReason::IoClientDisconnect);
        true
    }

    /// Takes a socket out of its namespace, and does not want it any more. Events that wait to be sent stay, for the
    /// next time.
    pub(crate) fn disconnect(&mut self, engine: Option<&mut ClientSession>, socket: SocketKey) {
        let Some(at) = self.at(socket) else { return };
        let Some(found) = self.sockets.get_mut(at) else { return };
        found.wanted = false;
        // The server keeps no session that was left on purpose.
        found.recovery = None;
        if let (Some(engine), State::Joined) = (engine, found.state) {
            engine.send(&self.config.parser.disconnect(&found.namespace));
        }
        let joins = matches!(found.state, State::Joining { .. } | State::Leaving);
        self.leave(at, CloseReason::IoClientDisconnect);
        if let Some(found) = self.sockets.get_mut(at).filter(|_| joins) {
            found.state = State::Leaving;
        }
    }

    /// Ends all: no socket is wanted, nothing waits to be sent, every awaited acknowledgement is decided.
    pub(crate) fn shut(&mut self, mut engine: Option<&mut ClientSession>) {
        for at in 0..self.sockets.len() {
            let Some(key) = self.sockets.get(at).map(|socket| socket.key) else { continue };
            self.disconnect(engine.as_deref_mut(), key);
            self.discard(key);
        }
    }

    // --- what is to be done -----------------------------------------------------------------------------------

    /// By when [`ClientSockets::handle_timeout`] is to be called.
    pub(crate) fn poll_timeout(&self) -> Instant {
        self.deadline
    }

    // --- inside -----------------------------------------------------------------------------------------------

    fn at(&self, socket: SocketKey) -> Option<usize> {
        self.sockets.iter().position(|found| found.key == socket)
    }

    /// Sends the first event of a socket's queue, if it is not on its way.
    fn send_next(&mut self, now: Instant, engine: &mut ClientSession, at: usize) {
        let Some(socket) = self.sockets.get_mut(at) else { return };
        let key = socket.key;
        for (refused, error) in socket.send_next(now, engine, self.config.ack_timeout) {
            self.told(key, &refused, AckOutcome::Unsent(error));
        }
    }

    /// An event of the queue is decided.
    fn told(&mut self, socket: SocketKey, done: &Reliable, outcome: AckOutcome) {
        if let Some(found) = self.at(socket).and_then(|at| self.sockets.get_mut(at)) {
            found.buffered = found.buffered.saturating_sub(weight(&done.frame));
        }
        self.answer(ClientSocketEvent::Ack { socket, id: done.id, outcome });
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
