//! A whole client: it dials, keeps one session at a time, and dials again when that is lost.
//!
//! ```text
//!           connect                    the session opens
//!   Idle ------------> Opening --------------------------> Open
//!    ^                 |     ^                              |
//!    |         failed  |     | the delay is over            | lost
//!    |                 v     |                              v
//!    +-------------- Waiting <------------------------------+
//!      the application or the server ends it, or it was tried often enough
//! ```

mod commands;
mod event;
mod inputs;
mod sessions;

pub use crate::client::manager::event::ClientEvent;
pub use event::SessionEvent;

use super::backoff::Backoff;
use crate::client::config::ReconnectConfig;
use crate::cost;
use crate::engine;
use crate::engine::TransportKind;
use crate::engine::client::{ClientSession, ClientTransmit, OpenPacket};
use crate::engine::request::RequestId;
use crate::error::{PeerError, SendError};
use crate::message::{Frame, WireMessage};
use crate::random::Random;
use crate::socket;
use crate::socket::client::{ClientSockets, SocketKey};
use crate::time::Instant;
use alloc::boxed::Box;
use alloc::collections::VecDeque;
use alloc::sync::Arc;
use alloc::vec::Vec;

/// The number of sessions that may still write their last words; more are cut off.
const MAX_LINGERING: usize = 4;
/// The number of request ids that belong to each session.
const IDS_PER_SESSION: u32 = 32;

/// The state of a client's connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ClientState {
    /// There is no session, and no session is wanted: the client was not told to connect, was told to stop, or gave up.
    Idle,
    /// A session is being opened.
    Opening,
    /// A session is open.
    Open,
    /// The client waits before it dials again.
    Waiting,
}

#[derive(Debug)]
enum State {
    Idle,
    /// The owner is asked where to dial.
    Asking,
    Active {
        engine: Box<ClientSession>,
        opened: bool,
    },
    Waiting {
        until: Instant,
    },
}

#[derive(Debug)]
// Nearly all clients are of the large kind.
#[allow(clippy::large_enum_variant)]
enum Layer {
    /// Socket.IO.
    Sockets(ClientSockets),
    /// Plain Engine.IO: messages for the application. `wanted` says whether a session is.
    Messages { wanted: bool, inbound: usize, held: bool, events: VecDeque<SessionEvent> },
}

/// A whole client: it dials, keeps one session at a time, dials again when that is lost, and runs its sockets on it.
///
/// # The run loop
///
/// 1. Something happened outside: call the `handle_*` for it.
/// 2. The application wants something: call a command.
/// 3. Do what [`poll_transmit`](Manager::poll_transmit) gives, until it gives nothing, and tell
///    [`handle_unwritten`](Manager::handle_unwritten) how many of the bytes to write are not yet written.
/// 4. Tell the application what [`poll_event`](Manager::poll_event) gives.
/// 5. Read on only while [`wants_read`](Manager::wants_read) says so.
/// 6. Wait for the next happening, but not beyond [`poll_timeout`](Manager::poll_timeout); then call
///    [`handle_timeout`](Manager::handle_timeout).
///
/// Any order of these calls is legal, and a spurious one does nothing.
///
/// ```
/// use std::sync::Arc;
/// use sansocket_protocol::client::{ClientEvent, Manager, ReconnectConfig};
/// use sansocket_protocol::engine::{ClientTransmit, EngineClientConfig, TransportKind};
/// use sansocket_protocol::message::WireMessage;
/// use sansocket_protocol::random::Random;
/// use sansocket_protocol::socket::{AuthSource, ClientSocketEvent, Parser};
/// use sansocket_protocol::time::Instant;
///
/// let now = Instant::ZERO;
/// let engine = EngineClientConfig::default().path("/socket.io").transports([TransportKind::WebSocket]);
/// let random = Random::new([7; 32]); // from the caller's entropy
/// let mut client = Manager::new(Arc::new(ReconnectConfig::default()), Arc::new(engine), random, Some(Arc::default()));
/// let socket = client.add("/", AuthSource::None).unwrap();
/// client.connect(now, socket);
/// client.emit(now, socket, Parser::json().event("/", "early", None, &1).unwrap()).unwrap(); // is sent once it can be
///
/// // The owner opens the WebSocket that is asked for, and the server speaks.
/// let Some(ClientTransmit::OpenWebSocket { websocket, target }) = client.poll_transmit() else { panic!() };
/// assert_eq!(target, "/socket.io/?EIO=4&transport=websocket");
/// client.handle_websocket_opened(now, websocket);
/// let mut says = |client: &mut Manager, text: &'static str| {
///     client.handle_websocket(now, websocket, WireMessage::Text(text.into()));
/// };
/// says(&mut client, r#"0{"sid":"x","upgrades":[],"pingInterval":25000,"pingTimeout":20000}"#);
/// says(&mut client, r#"40{"sid":"public-id"}"#);
/// says(&mut client, r#"42["hello","world"]"#);
///
/// let mut written = Vec::new();
/// while let Some(ClientTransmit::Write { message: WireMessage::Text(text), .. }) = client.poll_transmit() {
///     written.push(text);
/// }
/// assert_eq!(written, ["40", r#"42["early",1]"#]);
///
/// let mut heard = Vec::new();
/// while let Some(event) = client.poll_event() {
///     if let ClientEvent::Socket(ClientSocketEvent::Event { args, .. }) = event {
///         heard.push(args.decode::<(String,)>().unwrap().0);
///     }
/// }
/// assert_eq!(heard, ["world"]);
/// ```
#[derive(Debug)]
pub struct Manager {
    config: Arc<ReconnectConfig>,
    engine_config: Arc<engine::client::EngineClientConfig>,
    random: Random,
    now: Instant,
    state: State,
    /// Sessions that are over for the application, with their numbers.
    lingering: Vec<(u64, ClientSession)>,
    layer: Layer,
    backoff: Backoff,
    /// Tries since the last session, this one included.
    attempt: u32,
    sessions: u64,
    /// Sessions that were lost or could not be opened.
    ends: u64,
    websocket_worked: bool,
    /// The server's mistake for which the session was closed.
    mistake: Option<Box<PeerError>>,
    events: VecDeque<ClientEvent>,
}

impl Manager {
    /// A client that does nothing until [`connect`](Self::connect). Without `sockets` it is plain Engine.IO.
    pub fn new(
        config: Arc<ReconnectConfig>,
        engine: Arc<engine::client::EngineClientConfig>,
        random: Random,
        sockets: Option<Arc<socket::client::SocketClientConfig>>,
    ) -> Self {
        let layer = match sockets {
            Some(config) => Layer::Sockets(ClientSockets::new(config)),
            None => Layer::Messages { wanted: false, inbound: 0, held: false, events: VecDeque::new() },
        };
        let backoff = Backoff::new(
            config.reconnection_delay,
            config.reconnection_delay_max,
            config.randomization_factor,
        );
        Self {
            config,
            engine_config: engine,
            random,
            now: Instant::ZERO,
            state: State::Idle,
            lingering: Vec::new(),
            layer,
            backoff,
            attempt: 0,
            sessions: 0,
            ends: 0,
            websocket_worked: false,
            mistake: None,
            events: VecDeque::new(),
        }
    }

    // --- getters ----------------------------------------------------------------------------------------------

    /// The state of the connection.
    pub fn status(&self) -> ClientState {
        match &self.state {
            State::Idle => ClientState::Idle,
            State::Asking | State::Active { opened: false, .. } => ClientState::Opening,
            State::Active { opened: true, .. } => ClientState::Open,
            State::Waiting { .. } => ClientState::Waiting,
        }
    }

    /// Returns whether a session is open or being opened.
    pub fn has_session(&self) -> bool {
        self.engine().is_some()
    }

    /// The server's first packet in the session that is open: its id, its intervals and its limits.
    pub fn open_packet(&self) -> Option<&OpenPacket> {
        self.engine().filter(|engine| engine.is_open()).and_then(ClientSession::handshake)
    }

    /// The session that is open or being opened.
    pub(crate) fn engine(&self) -> Option<&ClientSession> {
        match &self.state {
            State::Active { engine, .. } => Some(engine),
            State::Idle | State::Asking | State::Waiting { .. } => None,
        }
    }

    /// The sockets; `None` for plain Engine.IO.
    pub(crate) fn sockets(&self) -> Option<&ClientSockets> {
        match &self.layer {
            Layer::Sockets(sockets) => Some(sockets),
            Layer::Messages { .. } => None,
        }
    }

    /// The transport of the session that is open.
    pub fn transport(&self) -> Option<TransportKind> {
        self.engine().filter(|engine| engine.is_open()).map(ClientSession::transport)
    }

    /// Returns whether a socket is connected.
    pub fn is_connected(&self, socket: SocketKey) -> bool {
        self.sockets().is_some_and(|sockets| sockets.is_connected(socket))
    }

    /// Returns whether the server has given a connected socket its session back after the connection was lost: it has the same id,
    /// and has missed nothing. False while it is not connected, and at a server that does not recover connections.
    pub fn is_recovered(&self, socket: SocketKey) -> bool {
        self.sockets().is_some_and(|sockets| sockets.is_recovered(socket))
    }

    /// The number of the socket's connection, to be kept with an event that wants an answer: it counts up whenever one
    /// ends. An event that [`poll_event`](Self::poll_event) has just given belongs to this one.
    pub fn connection(&self, socket: SocketKey) -> u64 {
        self.sockets().map_or(0, |sockets| sockets.connection(socket))
    }

    /// The parser of its packets: the default one for plain Engine.IO.
    pub fn parser(&self) -> crate::socket::Parser {
        self.sockets().map(crate::socket::client::ClientSockets::parser).unwrap_or_default()
    }

    /// The socket of a namespace, if it was added.
    pub fn find(&self, namespace: &str) -> Option<SocketKey> {
        self.sockets().and_then(|sockets| sockets.find(namespace))
    }

    /// The public id of a connected socket.
    pub fn socket_id(&self, socket: SocketKey) -> Option<&Arc<str>> {
        self.sockets().and_then(|sockets| sockets.id(socket))
    }

    /// Returns whether a socket was told to connect, and has not been told to leave, refused or disconnected by the
    /// server since.
    pub fn is_socket_wanted(&self, socket: SocketKey) -> bool {
        self.sockets().is_some_and(|sockets| sockets.is_wanted(socket))
    }

    /// Returns whether any acknowledgement is awaited.
    pub fn awaits_ack(&self) -> bool {
        self.sockets().is_some_and(ClientSockets::awaits_ack)
    }

    /// The number of sessions that were lost or could not be opened so far. Each is told by [`ClientEvent::Closed`] or
    /// [`ClientEvent::DialFailed`], perhaps later than the next command comes. To know which of these events were
    /// before a command, keep this number with the command and count them.
    pub fn ends(&self) -> u64 {
        self.ends
    }

    /// Returns whether a session is wanted: a socket was told to connect, or plain Engine.IO to open, and neither was
    /// told to stop since. Still true after the client has given up.
    pub fn is_wanted(&self) -> bool {
        match &self.layer {
            Layer::Sockets(sockets) => sockets.has_wanted(),
            Layer::Messages { wanted, .. } => *wanted,
        }
    }

    /// Returns whether it is idle, and all is told and written.
    pub fn is_finished(&self) -> bool {
        matches!(self.state, State::Idle) && self.lingering.is_empty() && !self.has_event()
    }

    /// Bytes that wait for the server, those included that wait for a connection.
    pub fn buffered(&self) -> usize {
        let kept = self.sockets().map_or(0, ClientSockets::buffered);
        kept.saturating_add(self.engine().map_or(0, ClientSession::buffered))
    }

    /// Bytes of a socket's own frames that wait until it is connected, or until they are acknowledged, with 64 more for
    /// each.
    pub fn buffered_by(&self, socket: SocketKey) -> usize {
        self.sockets().map_or(0, |sockets| sockets.buffered_by(socket))
    }

    /// Bytes that the next event of a socket would wait behind: those that are queued on the connection, and those of
    /// its own that wait until it is connected or until they are acknowledged. Frames that other sockets keep are not
    /// counted, so that one which the server does not let in takes no capacity from the others.
    pub fn buffered_before(&self, socket: Option<SocketKey>) -> usize {
        let own = socket.map_or(0, |socket| self.buffered_by(socket));
        own.saturating_add(self.engine().map_or(0, ClientSession::buffered))
    }

    /// Returns whether less than half of the send budget is used by the bytes [before](Self::buffered_before) a socket,
    /// or with `None` before a message of plain Engine.IO: the time to send more, for a sender that waits.
    pub fn has_capacity(&self, socket: Option<SocketKey>) -> bool {
        self.buffered_before(socket) <= self.engine_config.send_budget / 2
    }

    /// Returns whether the owner should read on from the WebSocket in use. Read from the others at any time.
    #[inline]
    pub fn wants_read(&self) -> bool {
        let inbound = self.inbound();
        inbound < self.engine_config.receive_budget || self.wants_more(inbound)
    }

    /// Bytes of events, or of messages, that wait to be handled.
    #[inline]
    pub(super) fn inbound(&self) -> usize {
        match &self.layer {
            Layer::Sockets(sockets) => sockets.inbound(),
            Layer::Messages { inbound, .. } => *inbound,
        }
    }

    /// Returns whether the owner should read on although as much waits as `receive_budget` allows.
    fn wants_more(&self, inbound: usize) -> bool {
        match &self.layer {
            // A packet that waits for its attachments is let through, and bounded by itself.
            Layer::Sockets(sockets) => {
                inbound < self.engine_config.most_inbound() && sockets.awaits_ack()
                    || sockets.is_reassembling()
            }
            Layer::Messages { .. } => false,
        }
    }

    /// Returns whether that WebSocket is the one in use.
    pub fn is_on(&self, websocket: RequestId) -> bool {
        self.engine().is_some_and(|engine| engine.is_on(websocket))
    }

    /// The number of the session that a request or a WebSocket belongs to: sessions count up, and each has ids of its
    /// own.
    pub const fn session(id: RequestId) -> u64 {
        id.0 >> IDS_PER_SESSION
    }

    // --- outputs ----------------------------------------------------------------------------------------------

    /// The next thing to do outside.
    pub fn poll_transmit(&mut self) -> Option<ClientTransmit> {
        // Last words come first: their WebSocket may be the one that the next session needs a file descriptor for.
        if !self.lingering.is_empty() {
            let last_words = self.lingering.iter_mut().find_map(|(_, engine)| engine.poll_transmit());
            if last_words.is_some() {
                return last_words;
            }
            self.lingering.retain(|(_, engine)| !engine.is_finished());
        }
        match &mut self.state {
            State::Active { engine, .. } => engine.poll_transmit(),
            State::Idle | State::Asking | State::Waiting { .. } => None,
        }
    }

    /// The next event for the application.
    pub fn poll_event(&mut self) -> Option<ClientEvent> {
        let event = self.events.pop_front().or_else(|| match &mut self.layer {
            Layer::Messages { held: true, .. } => None,
            Layer::Messages { inbound, events, .. } => {
                let event = events.pop_front()?;
                if let SessionEvent::Message(WireMessage::Text(bytes) | WireMessage::Binary(bytes)) = &event {
                    *inbound = inbound.saturating_sub(bytes.len().saturating_add(cost::EVENT));
                }
                Some(ClientEvent::Session(event))
            }
            Layer::Sockets(sockets) => sockets.poll_event().map(ClientEvent::Socket),
        });
        if event.is_some() && !self.reads_on() {
            self.settle_pause(None);
        }
        event
    }

    /// Returns whether [`Manager::poll_event`] has something.
    pub fn has_event(&self) -> bool {
        let of_layer = || match &self.layer {
            Layer::Messages { held, events, .. } => !held && !events.is_empty(),
            Layer::Sockets(sockets) => sockets.has_event(),
        };
        !self.events.is_empty() || of_layer()
    }

    /// Returns whether [`Manager::poll_transmit`] has something.
    pub fn has_transmit(&self) -> bool {
        self.engine().is_some_and(ClientSession::has_transmit)
            || self.lingering.iter().any(|(_, engine)| engine.has_transmit())
    }

    /// Returns whether the owner has something to do: outside, or to tell.
    pub fn has_output(&self) -> bool {
        self.has_transmit() || self.has_event()
    }

    /// The time at which to call [`Manager::handle_timeout`]; `None` if nothing is waited for.
    pub fn poll_timeout(&self) -> Option<Instant> {
        let current = match &self.state {
            State::Idle | State::Asking => None,
            State::Active { engine, .. } => engine.poll_timeout(),
            State::Waiting { until } => Some(*until),
        };
        let sockets = self.sockets().map(ClientSockets::poll_timeout).filter(|at| *at < Instant::FAR_FUTURE);
        let lingering = self.lingering.iter().filter_map(|(_, engine)| engine.poll_timeout());
        lingering.chain(current).chain(sockets).min()
    }

    // --- inside -----------------------------------------------------------------------------------------------

    /// The time of a message. Acknowledgements that were awaited for too long are decided first, so that nothing of
    /// them is sent any more. The server's silence is not judged: this input may end it.
    fn tick_input(&mut self, now: Instant) -> Instant {
        let now = self.tick(now);
        if let Layer::Sockets(sockets) = &mut self.layer {
            sockets.expire_acks(now);
        }
        now
    }

    /// Time that runs backwards stands still.
    fn tick(&mut self, now: Instant) -> Instant {
        self.now = self.now.max(now);
        self.now
    }

    /// The session that a request or a WebSocket belongs to.
    fn owner(&mut self, id: RequestId) -> Option<&mut ClientSession> {
        let session = Self::session(id);
        if session == self.sessions {
            if let State::Active { engine, .. } = &mut self.state {
                return Some(engine);
            }
        }
        self.lingering.iter_mut().find(|(number, _)| *number == session).map(|(_, engine)| engine)
    }

    /// Runs something on the sockets, and on the session if one is open.
    fn with_sockets<T>(
        &mut self,
        run: impl FnOnce(&mut ClientSockets, Option<&mut ClientSession>) -> T,
    ) -> Option<T> {
        let Layer::Sockets(sockets) = &mut self.layer else { return None };
        let engine = match &mut self.state {
            State::Active { engine, opened: true } => Some(&mut **engine),
            State::Active { .. } | State::Idle | State::Asking | State::Waiting { .. } => None,
        };
        Some(run(sockets, engine))
    }

    /// A machine that has slept learns before it sends that the session is gone.
    fn check(&mut self, now: Instant) {
        let now = self.tick(now);
        if let State::Active { engine, .. } = &mut self.state {
            engine.check(now);
            self.settle(now);
        }
    }

    fn before_command(
        &mut self,
        now: Instant,
        socket: Option<SocketKey>,
        frame: &Frame,
    ) -> Result<(), SendError> {
        self.check(now);
        self.may_send(socket, frame)
    }

    /// Returns whether the server takes a frame of that size, and the budget has capacity for it.
    #[inline]
    fn may_send(&self, socket: Option<SocketKey>, frame: &Frame) -> Result<(), SendError> {
        if let Some(engine) = self.engine() {
            engine.check_size(frame)?;
        }
        let buffered = self.buffered_before(socket);
        // A single message of any size passes when nothing waits: it has to be sent somehow.
        if buffered == 0 || buffered.saturating_add(frame.wire_len()) <= self.engine_config.send_budget {
            Ok(())
        } else {
            Err(SendError::Full)
        }
    }
}
