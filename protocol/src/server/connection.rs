//! One client of a server: an Engine.IO session with Socket.IO, or the application's own messages, on top.

mod commands;
mod inputs;
mod outputs;
#[cfg(feature = "record")]
pub(super) mod recording;

use super::counts::{Counts, Limit};
use super::messages::Messages;
use crate::engine::config::{EngineServerConfig, Overflow};
use crate::engine::error::Ended;
use crate::engine::request::RequestId;
use crate::engine::server::ServerSession;
use crate::engine::{Revision, TransportKind};
use crate::error::{CloseReason, Closed, PeerError, SendError};
use crate::message::{Frame, WireMessage};
#[cfg(feature = "record")]
use crate::record::Recorder;
use crate::socket;
use crate::socket::server::legacy;
use crate::socket::server::{ServerSocketEvent, ServerSockets, SocketKey};
use crate::socket::{Packet, PacketError, SocketError};
use crate::time::Instant;
use alloc::boxed::Box;
use alloc::sync::Arc;

/// An event for the application about one connection.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum ServerEvent {
    /// An event about one of its sockets.
    Socket(ServerSocketEvent),
    /// A message of a plain Engine.IO session.
    Message(WireMessage),
    /// The session moved from long-polling to WebSocket.
    Upgraded,
    /// The session ended. Events of held sockets may still follow.
    Closed(Closed),
}

#[derive(Debug)]
// Nearly all connections are of the large kind.
#[allow(clippy::large_enum_variant)]
enum Layer {
    /// Socket.IO.
    Sockets(ServerSockets),
    /// Plain Engine.IO: messages for the application.
    Messages(Messages),
}

/// The bytes that one message may have when nothing else waits, however little clients may send: as many as a packet of
/// theirs has by default, text and 10 attachments of 1 MB each.
const LARGEST_MESSAGE: usize = 11_000_000;

/// One client of a server: an Engine.IO session with Socket.IO, or the application's own messages, on top.
///
/// # The run loop
///
/// 1. Something happened (a request, a body, a WebSocket message): call the `handle_*` for it.
/// 2. The application wants something: call a command.
/// 3. Write what [`poll_transmit`](Connection::poll_transmit) gives, until it gives nothing, and tell
///    [`handle_unwritten`](Connection::handle_unwritten) how many bytes of it are not yet written. Messages that
///    are not pulled stay inside, counted and bounded.
/// 4. Tell the application what [`poll_event`](Connection::poll_event) gives.
/// 5. Read on only while [`wants_read`](Connection::wants_read) says so.
/// 6. Wait for the next input, but not beyond [`poll_timeout`](Connection::poll_timeout); then call
///    [`handle_timeout`](Connection::handle_timeout).
/// 7. Forget the connection when [`is_finished`](Connection::is_finished).
///
/// Any order of these calls is legal, and a spurious one does nothing.
///
/// ```
/// use std::sync::Arc;
/// use sansocket_protocol::engine::EngineServerConfig;
/// use sansocket_protocol::message::WireMessage;
/// use sansocket_protocol::engine::{RequestHead, RequestId, Revision};
/// use sansocket_protocol::engine::ServerTransmit;
/// use sansocket_protocol::server::{Connection, ServerEvent};
/// use sansocket_protocol::socket::ServerSocketEvent;
/// use sansocket_protocol::time::Instant;
///
/// let now = Instant::ZERO;
/// let config = Arc::new(EngineServerConfig::default().path("/socket.io"));
/// let mut connection = Connection::new(now, Revision::V4, config, "session-id".into(), Some(Arc::default()));
///
/// // The client opens a WebSocket ...
/// let head = RequestHead {
///     method: "GET",
///     target: "/socket.io/?EIO=4&transport=websocket",
///     headers: &[("connection", "upgrade"), ("upgrade", "websocket")],
/// };
/// let ws = RequestId(1);
/// let _ = connection.handle_request(now, ws, &head);
/// assert!(matches!(connection.poll_transmit(), Some(ServerTransmit::AcceptWebSocket { .. })));
/// connection.handle_websocket_opened(now, ws);
/// assert!(matches!(connection.poll_transmit(), Some(ServerTransmit::Write { .. }))); // 0{"sid":...}
///
/// // ... and asks for the main namespace.
/// connection.handle_websocket(now, ws, WireMessage::Text("40".into()));
/// let Some(ServerEvent::Socket(ServerSocketEvent::Connect { socket, .. })) = connection.poll_event() else { panic!() };
/// connection.accept(socket, "public-id").unwrap();
/// let Some(ServerTransmit::Write { message: WireMessage::Text(reply), .. }) = connection.poll_transmit() else { panic!() };
/// assert_eq!(reply, r#"40{"sid":"public-id"}"#);
/// ```
#[derive(Debug)]
pub struct Connection {
    engine: ServerSession,
    layer: Layer,
    now: Instant,
    upgraded: bool,
    closed: Option<Box<Closed>>,
    /// The peer's mistake for which the engine was told to give it up.
    mistake: Option<Box<PeerError>>,
    counts: Counts,
    ended: Option<(CloseReason, Option<Limit>)>,
    #[cfg(feature = "record")]
    recorder: Option<Box<Recorder>>,
    #[cfg(feature = "record")]
    broke_a_rule: bool,
}

impl Connection {
    /// A connection with the revision of its [`Grant`](super::Grant) and the session id from
    /// [`Router::register`](super::Router::register), which waits for its first request to be handed to
    /// [`Connection::handle_request`]. Without `sockets` it is plain Engine.IO.
    pub fn new(
        now: Instant,
        revision: Revision,
        engine: Arc<EngineServerConfig>,
        id: Arc<str>,
        sockets: Option<Arc<socket::SocketServerConfig>>,
    ) -> Self {
        let layer = match sockets {
            Some(config) => Layer::Sockets(ServerSockets::new(now, revision, config)),
            None => Layer::Messages(Messages::new(now, &engine)),
        };
        let engine = ServerSession::new(now, revision, engine, id);
        let counts = Counts::default();
        Self {
            engine,
            layer,
            now,
            upgraded: false,
            closed: None,
            mistake: None,
            counts,
            ended: None,
            #[cfg(feature = "record")]
            recorder: None,
            #[cfg(feature = "record")]
            broke_a_rule: false,
        }
    }

    // --- getters ----------------------------------------------------------------------------------------------

    /// The session id: a secret between this server and its client. Sockets have public ids of their own.
    pub fn id(&self) -> &Arc<str> {
        self.engine.id()
    }

    /// Returns the revision of Engine.IO that the client speaks.
    pub fn revision(&self) -> Revision {
        self.engine.revision()
    }

    /// Returns the id that the client gives to its socket in that namespace by itself: one of [`Revision::V3`] makes it from the
    /// session's. `None`: it takes the id that [`accept`](Self::accept) gives it.
    pub fn socket_id(&self, namespace: &str) -> Option<Arc<str>> {
        (self.revision() == Revision::V3).then(|| legacy::socket_id(self.id(), namespace))
    }

    /// Returns whether messages pass.
    pub fn is_open(&self) -> bool {
        self.engine.is_open()
    }

    /// Returns whether a client that asked to join a namespace is still there, and neither accepted nor rejected.
    pub fn is_connecting(&self, socket: SocketKey) -> bool {
        match &self.layer {
            Layer::Sockets(sockets) => sockets.is_connecting(socket),
            Layer::Messages(_) => false,
        }
    }

    /// Returns whether a socket is connected.
    pub fn is_connected(&self, socket: SocketKey) -> bool {
        match &self.layer {
            Layer::Sockets(sockets) => sockets.is_connected(socket),
            Layer::Messages(_) => false,
        }
    }

    /// Returns whether all is over and told.
    pub fn is_finished(&self) -> bool {
        let told = match &self.layer {
            // A held one has events left to tell, or may.
            Layer::Sockets(sockets) => sockets.is_finished(),
            Layer::Messages(messages) => messages.is_empty(),
        };
        self.engine.is_finished() && self.closed.is_none() && !self.upgraded && told
    }

    /// Returns whether requests with this session's id still belong to it.
    pub fn is_listed(&self) -> bool {
        self.engine.is_listed()
    }

    /// The counts of what has passed through it so far.
    pub fn counts(&self) -> Counts {
        let events_paced = match &self.layer {
            Layer::Sockets(sockets) => sockets.paced(),
            Layer::Messages(messages) => messages.paced(),
        };
        Counts { events_paced, ..self.counts }
    }

    /// The reason of its end, once it has ended, and the limit that was passed, if that was it.
    pub fn ended(&self) -> Option<(CloseReason, Option<Limit>)> {
        self.ended
    }

    /// The transport in use.
    pub fn transport(&self) -> TransportKind {
        self.engine.transport()
    }

    /// Returns whether the session ever opened: one whose first WebSocket never came to be did not.
    pub fn has_opened(&self) -> bool {
        self.engine.has_opened()
    }

    /// Returns whether that WebSocket is the transport in use, and not one that the session is moving to.
    pub fn is_on(&self, websocket: RequestId) -> bool {
        self.engine.is_on(websocket)
    }

    /// The largest message that a client may send.
    pub fn max_payload(&self) -> usize {
        self.engine.config().max_payload
    }

    /// Bytes that wait for the client, with 192 more for each message that is not yet given out.
    pub fn buffered(&self) -> usize {
        let behind = match &self.layer {
            Layer::Sockets(sockets) => sockets.behind(),
            Layer::Messages(_) => 0,
        };
        self.engine.buffered().saturating_add(behind)
    }

    /// Bytes that were received and wait for handlers, or are in their hands.
    pub fn inbound(&self) -> usize {
        match &self.layer {
            Layer::Sockets(sockets) => sockets.inbound(),
            Layer::Messages(messages) => messages.inbound(),
        }
    }

    /// The time of the ping whose pong is awaited. `None` if none is, and always with a client of [`Revision::V3`], which
    /// pings itself.
    pub fn pong_awaited_since(&self) -> Option<Instant> {
        self.engine.pong_awaited_since()
    }

    /// The packets that are queued, and that [`poll_transmit`](Self::poll_transmit) has not given out. They leave in order.
    pub fn unsent(&self) -> usize {
        self.engine.unsent()
    }

    /// Returns whether less than half of the send budget is used: the time to send more, for a sender that waits.
    pub fn has_capacity(&self) -> bool {
        self.buffered() <= self.engine.config().effective_send_budget() / 2
    }

    /// Returns whether a volatile message would leave at once.
    pub fn is_writable(&self) -> bool {
        self.engine.is_writable()
    }

    /// Returns whether the owner should read on from that WebSocket: see [`Connection::wants_read`]. One that the
    /// session is moving to should always be read: it carries no messages, and the upgrade has its own deadline.
    pub fn wants_read_from(&self, websocket: RequestId) -> bool {
        !self.engine.is_on(websocket) || self.wants_read()
    }

    /// Returns whether the owner should read on from the WebSocket in use.
    pub fn wants_read(&self) -> bool {
        let limit = self.engine.config().effective_receive_budget();
        match &self.layer {
            // A packet that waits for its attachments is let through, and bounded by itself.
            Layer::Sockets(sockets) => {
                sockets.inbound() < limit || sockets.is_reassembling() || sockets.awaits_ack()
            }
            Layer::Messages(messages) => messages.inbound() < limit,
        }
    }

    // --- inside -----------------------------------------------------------------------------------------------

    /// The session may have opened.
    fn handle_open(&mut self) {
        if let (Layer::Sockets(sockets), true) = (&mut self.layer, self.engine.is_open()) {
            sockets.handle_open();
        }
    }

    /// Time that runs backwards stands still.
    #[inline(always)]
    fn tick(&mut self, now: Instant) -> Instant {
        self.now = self.now.max(now);
        if let Layer::Sockets(sockets) = &mut self.layer {
            sockets.tick(self.now);
        }
        if self.engine.is_undated() || self.engine.is_paused() {
            self.set_clocks();
        }
        self.now
    }

    /// Sets the clocks that commands have started, and the one of a pause.
    fn set_clocks(&mut self) {
        let has_resumed = self.engine.date(self.now);
        if self.engine.is_paused() && self.waiting() < self.engine.config().effective_receive_budget() {
            // Only for handlers that are at work, however long they take: nothing stalls.
            self.engine.progress(self.now);
        }
        if let (Layer::Sockets(sockets), true) = (&mut self.layer, has_resumed) {
            sockets.restart_attachment();
        }
    }

    /// The same for an input: deadlines that are over fire before it. Not those that judge the peer's silence: the
    /// input may be the very pong, or CONNECT, that lay unread while this side stood still.
    #[inline]
    fn tick_input(&mut self, now: Instant) -> Instant {
        let now = self.tick(now);
        if let Layer::Sockets(sockets) = &mut self.layer {
            sockets.expire_acks(now);
            sockets.next_turns(now);
        }
        self.next_turn(now);
        now
    }

    /// Lets the messages go on that have waited long enough.
    #[inline]
    fn next_turn(&mut self, now: Instant) {
        if let Layer::Messages(messages) = &mut self.layer {
            messages.next_turn(now);
        }
    }

    /// Returns whether the application is busy with a message of a plain Engine.IO session.
    fn is_held(&self) -> bool {
        matches!(&self.layer, Layer::Messages(messages) if messages.is_held())
    }

    /// Returns whether events wait until the client has read more. Not those that it sent before it brought about the
    /// end: no more can follow them, and they are handled first.
    #[inline]
    fn is_paced(&self) -> bool {
        self.engine.is_open() && !self.engine.is_ending() && !self.has_capacity()
    }

    /// Bytes received that no handler has begun with.
    fn waiting(&self) -> usize {
        match &self.layer {
            Layer::Sockets(sockets) => sockets.waiting(),
            Layer::Messages(messages) => messages.waiting(),
        }
    }

    #[inline]
    fn has_layer_event(&self) -> bool {
        self.upgraded
            || match &self.layer {
                Layer::Sockets(sockets) => sockets.has_event() && (sockets.has_answer() || !self.is_paced()),
                Layer::Messages(messages) => messages.has_next() && !self.is_paced(),
            }
    }

    fn handle_message(&mut self, message: WireMessage) {
        let taken = match &mut self.layer {
            Layer::Sockets(sockets) => {
                let max_payload = self.engine.config().max_payload;
                let event = sockets.handle_message(message, max_payload).map_err(PeerError::from);
                event.map(|event| event.into_iter().for_each(|event| sockets.push(event)))
            }
            Layer::Messages(messages) => messages.push(self.now, message).map_err(PeerError::from),
        };
        if let Err(error) = taken {
            self.give_up(error);
        }
    }

    /// The same, but an event for which nothing has to be done first comes back.
    #[inline]
    fn handle_message_now(&mut self, message: WireMessage) -> Option<ServerEvent> {
        let may_be_plain = !self.upgraded && !self.engine.has_news() && !self.is_paced();
        let (true, Layer::Sockets(sockets)) = (may_be_plain, &mut self.layer) else {
            self.handle_message(message);
            return None;
        };
        match sockets.handle_message(message, self.engine.config().max_payload) {
            Ok(event) => {
                let event = sockets.hand_out(event?, self.engine.config().effective_receive_budget())?;
                self.counts.events_in = self.counts.events_in.wrapping_add(1);
                Some(ServerEvent::Socket(event))
            }
            Err(error) => {
                self.give_up(error.into());
                None
            }
        }
    }

    /// The same for a message that the application's parser may have read already.
    fn handle_message_ahead(&mut self, message: WireMessage, read: Option<Result<Packet, PacketError>>) {
        let (Layer::Sockets(sockets), Some(read)) = (&mut self.layer, read) else {
            return self.handle_message(message);
        };
        let max_payload = self.engine.config().max_payload;
        let taken =
            read.map_err(SocketError::from).and_then(|packet| sockets.handle_read(packet, max_payload));
        match taken {
            Ok(Some(event)) => sockets.push(event),
            Ok(None) => {}
            Err(error) => self.give_up(error.into()),
        }
    }

    /// Ends the connection for a mistake of the peer, once the messages before it were handled.
    fn give_up(&mut self, error: PeerError) {
        let is_new = if error.is_not_utf8() {
            self.engine.give_up_not_utf8()
        } else {
            self.engine.give_up(CloseReason::ForcedClose)
        };
        if is_new {
            self.mistake = Some(Box::new(error));
        }
    }

    /// Returns whether a frame may be queued: `Ok(false)` if it is to be dropped silently.
    #[inline]
    fn admit(&mut self, frame: &Frame) -> Result<bool, SendError> {
        let buffered = self.buffered();
        let budget = self.engine.config().effective_send_budget();
        if buffered.saturating_add(frame.wire_len()) <= budget { Ok(true) } else { self.judge_excess(frame) }
    }

    /// Judges a frame for which the send budget has no room.
    fn judge_excess(&mut self, frame: &Frame) -> Result<bool, SendError> {
        let buffered = self.buffered();
        let config = self.engine.config();
        if buffered == 0 {
            // A message that is as large as one from a client may be passes when nothing waits: it has to be sent
            // somehow. For a larger one it is not the client who is to blame.
            let largest = match &self.layer {
                Layer::Sockets(sockets) => sockets.max_packet(config.max_payload),
                Layer::Messages(_) => config.max_payload,
            };
            if frame.wire_len() <= largest.max(LARGEST_MESSAGE) {
                return Ok(true);
            }
            return if config.overflow == Overflow::Drop { Ok(false) } else { Err(SendError::Full) };
        }
        match config.overflow {
            Overflow::Drop => Ok(false),
            Overflow::Fail => Err(SendError::Full),
            Overflow::Close => {
                self.abort_now(CloseReason::SlowConsumer);
                Err(SendError::Full)
            }
        }
    }

    fn count_out(&mut self, sent: Result<(), SendError>) -> Result<(), SendError> {
        self.counts.events_out = self.counts.events_out.wrapping_add(u64::from(sent.is_ok()));
        sent
    }

    fn with_sockets(
        &mut self,
        command: impl FnOnce(&mut ServerSockets, &mut ServerSession) -> Result<(), SendError>,
    ) -> Result<(), SendError> {
        let done = match &mut self.layer {
            Layer::Sockets(sockets) => command(sockets, &mut self.engine),
            Layer::Messages(_) => Err(SendError::Disconnected),
        };
        // An acknowledgement that is awaited from here on lets reading go on, for one.
        self.settle();
        done
    }

    /// Asks before the budget is: a command that fails for another reason must not close the connection.
    fn check<T>(&self, ask: impl FnOnce(&ServerSockets) -> Result<T, SendError>) -> Result<T, SendError> {
        match &self.layer {
            Layer::Sockets(sockets) if self.is_open() => ask(sockets),
            _ => Err(SendError::Disconnected),
        }
    }

    /// Ends an input: the clocks that it started count from its time.
    fn settle_input(&mut self) {
        self.settle();
        self.engine.dated();
    }

    /// Carries what happened in one layer over to the others. Every input and most commands end with it, and mostly
    /// nothing has happened.
    #[inline]
    fn settle(&mut self) {
        let inbound = match &self.layer {
            Layer::Sockets(sockets) => sockets.inbound(),
            Layer::Messages(messages) => messages.inbound(),
        };
        if self.engine.has_news() || inbound >= self.engine.config().effective_receive_budget() {
            self.carry_over();
        }
    }

    #[inline(never)]
    fn carry_over(&mut self) {
        self.upgraded |= self.engine.poll_upgraded();
        if let Some(ended) = self.engine.poll_closed() {
            let closed = Closed::new(ended, self.mistake.take().map(|mistake| *mistake));
            match &mut self.layer {
                Layer::Sockets(sockets) => sockets.handle_closed(closed.reason),
                Layer::Messages(messages) => messages.end_turns(),
            }
            #[cfg(feature = "record")]
            {
                self.broke_a_rule = closed.detail.is_some();
            }
            self.ended = Some((closed.reason, closed.detail.as_ref().and_then(Limit::of)));
            self.closed = Some(Box::new(closed));
        }
        let config = self.engine.config();
        let budget = config.effective_receive_budget();
        let (inbound, awaits, is_twice) = match &self.layer {
            Layer::Sockets(sockets) if sockets.inbound() < budget => (0, false, false),
            Layer::Sockets(sockets) => {
                // Never below what one legal packet may hold: it alone must not end the connection.
                let twice = budget.max(sockets.max_packet(config.max_payload)).saturating_mul(2);
                (sockets.inbound(), sockets.awaits_ack(), sockets.waiting() >= twice)
            }
            Layer::Messages(messages) => (messages.inbound(), false, false),
        };
        // A handler may await this very client, whose answer lies behind what it has sent before: reading goes
        // on for a second budget, and no further.
        if awaits && is_twice && self.engine.is_open() {
            self.engine.abort(Ended::plain(CloseReason::Stalled));
            return self.carry_over();
        }
        if inbound >= budget && !awaits {
            self.engine.pause(self.now);
        } else if self.engine.is_paused() {
            self.engine.resume(self.now);
            if let Layer::Sockets(sockets) = &mut self.layer {
                sockets.restart_attachment();
            }
        }
    }
}
