//! One Engine.IO session, seen from the server.
//!
//! ```text
//!              first request answered              close by either side, error
//!   Opening ---------------------------> Open ------------------------------------> Closed
//!                                          |                                          ^
//!                                          | the application closes                   | all that was
//!                                          +-----------------------------> Closing ---+ queued is written
//!                                          |                                          |
//!                                          | a POST closes it and no poll is pending  | a poll, or 100 ms
//!                                          +-----------------------------> Parting ---+
//! ```
//!
//! Its methods are of four kinds: `handle_*` (something happened outside; never fails), commands (`send`,
//! `close`), `poll_*` (things to write, the end, the next deadline), and getters. Any order of calls is
//! legal. [`crate::server::Connection`] puts Socket.IO on top and is what adapters drive.

mod channel;
mod clocks;
mod deadlines;
mod ending;
mod form;
mod polling;
mod transmit;
mod upgrade;

pub(crate) use self::form::Incoming;
pub use self::transmit::{Body, Wants};
pub use crate::engine::server::transmit::ServerTransmit;

use self::channel::Channel;
use self::clocks::Undated;
use self::ending::Ending;
use self::form::Form;
use self::polling::{Post, PostProgress};
use self::upgrade::Upgrade;
use super::handshake::open_packet;
use super::heartbeat::Heartbeat;
use super::request::{ParsedHead, RefusalCode, RequestId, Response};
use super::revision::Revision;
use super::transport::TransportKind;
use crate::attachments::Beside;
use crate::cost::{SERVER_MESSAGE, WRITABLE_BELOW};
use crate::engine::config::EngineServerConfig;
use crate::engine::error::{Ended, EngineError};
use crate::engine::packet::{EnginePacket, EnginePacketError};
use crate::message::{Frame, WireMessage};
use crate::reason::CloseReason;
use crate::time::Instant;
use alloc::boxed::Box;
use alloc::collections::VecDeque;
use alloc::sync::Arc;
use bytes::Bytes;
use core::time::Duration;

/// The time between two releases of a poll that is pending during an upgrade, so that the client can stop polling.
const NOOP_INTERVAL: Duration = Duration::from_millis(100);

/// The time for which the POST that closes a session waits for a poll that was sent with it.
const PARTING_TIME: Duration = Duration::from_millis(100);

const NOOP: &[u8] = b"6";
const CLOSE: &[u8] = b"1";

/// Close codes (RFC 6455, section 7.4.1).
const NOT_UTF8: u16 = 1007;
const TOO_BIG: u16 = 1009;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Opening {
        deadline: Instant,
    },
    Open,
    Closing {
        deadline: Instant,
    },
    /// The client has closed it by a POST, whose answer waits for a poll that may have been sent with it.
    Parting {
        deadline: Instant,
    },
    Closed,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Transport {
    Polling,
    Channel(Channel),
}

#[derive(Clone, Debug)]
enum Outgoing {
    /// A ping of this side in revision 4, the answer to one of the client in revision 3.
    Heartbeat,
    Message(WireMessage),
    /// The only attachment of a frame. It is taken out of what it may share with others only when it leaves: its last
    /// owner needs no share.
    Attachment(Arc<Beside>),
    /// The message behind it is not to be compressed. An item of its own, because hardly any message is such.
    AsIs,
}

impl Outgoing {
    /// The bytes of a message, and whether it is a binary one. `None` for what is no message.
    fn content(&self) -> Option<(&Bytes, bool)> {
        match self {
            Self::Message(WireMessage::Text(text)) => Some((text, false)),
            Self::Message(WireMessage::Binary(data)) => Some((data, true)),
            Self::Attachment(beside) => beside.attachments.as_slice().first().map(|data| (data, true)),
            Self::Heartbeat | Self::AsIs => None,
        }
    }
}

/// The most answers to pings that are queued: a client that asks again and again, and reads nothing, gets no more.
const MAX_QUEUED_PONGS: u8 = 16;

/// One Engine.IO session, seen from the server. See the [module](self).
#[derive(Debug)]
pub(crate) struct ServerSession {
    config: Arc<EngineServerConfig>,
    id: Arc<str>,
    form: Form,
    state: State,
    transport: Transport,
    /// Boxed, as what ends a session is: an idle connection has none of it.
    upgrade: Option<Box<Upgrade>>,
    poll: Option<RequestId>,
    post: Option<Post>,
    paused_at: Option<Instant>,
    heartbeat: Heartbeat,
    control: VecDeque<ServerTransmit>,
    out: VecDeque<Outgoing>,
    /// The number of these that are heartbeats.
    heartbeats: u8,
    queued: usize,
    unwritten: usize,
    /// The owner could not write all, when it said so last.
    behind: bool,
    ending: Option<Box<Ending>>,
    close_code: Option<u16>,
    closed: Option<Box<Ended>>,
    upgraded: bool,
    has_opened: bool,
    undated: Undated,
}

impl ServerSession {
    /// A session that waits for its first request to be handed to [`ServerSession::handle_request`].
    pub(crate) fn new(
        now: Instant,
        revision: Revision,
        config: Arc<EngineServerConfig>,
        id: Arc<str>,
    ) -> Self {
        let heartbeat = Heartbeat::new(now, config.ping_interval, config.ping_timeout);
        let deadline = now + config.upgrade_timeout;
        Self {
            config,
            id,
            form: Form::new(revision),
            state: State::Opening { deadline },
            transport: Transport::Polling,
            upgrade: None,
            poll: None,
            post: None,
            paused_at: None,
            heartbeat,
            control: VecDeque::new(),
            out: VecDeque::new(),
            heartbeats: 0,
            queued: 0,
            unwritten: 0,
            behind: false,
            ending: None,
            close_code: None,
            closed: None,
            upgraded: false,
            has_opened: false,
            undated: Undated::default(),
        }
    }

    /// The session id: a secret between this server and its client.
    pub(crate) fn id(&self) -> &Arc<str> {
        &self.id
    }

    /// The revision of the protocol that it speaks.
    pub(crate) fn revision(&self) -> Revision {
        self.form.revision()
    }

    /// The settings.
    pub(crate) fn config(&self) -> &Arc<EngineServerConfig> {
        &self.config
    }

    /// Returns whether messages pass: neither opening, nor closing, nor closed.
    pub(crate) fn is_open(&self) -> bool {
        self.state == State::Open
    }

    /// Returns whether the session is over and all about it was told: it can be forgotten.
    pub(crate) fn is_finished(&self) -> bool {
        self.state == State::Closed && self.control.is_empty() && self.post.is_none() && self.closed.is_none()
    }

    /// Returns whether new requests still belong to this session. A closing one answers its last polls.
    pub(crate) fn is_listed(&self) -> bool {
        self.state != State::Closed
    }

    /// The transport in use.
    pub(crate) fn transport(&self) -> TransportKind {
        match self.transport {
            Transport::Polling => TransportKind::Polling,
            Transport::Channel(channel) => channel.kind(),
        }
    }

    /// Returns whether the session ever opened: one whose first WebSocket never came to be did not.
    pub(crate) fn has_opened(&self) -> bool {
        self.has_opened
    }

    /// Returns whether the channel of that id is the transport in use.
    pub(crate) fn is_on(&self, channel: RequestId) -> bool {
        matches!(self.transport, Transport::Channel(used) if used.id() == channel)
    }

    /// The time of the ping whose pong is awaited. The clients of revision 3 ping themselves.
    pub(crate) fn pong_awaited_since(&self) -> Option<Instant> {
        if self.revision() == Revision::V3 { None } else { self.heartbeat.awaited_since() }
    }

    /// Returns whether the session is moving to the channel of that id.
    fn moves_to(&self, channel: RequestId) -> bool {
        self.upgrade.as_ref().is_some_and(|upgrade| upgrade.channel.id() == channel)
    }

    /// Bytes that wait for the peer: queued here (with [`SERVER_MESSAGE`] more for each message), and not yet written
    /// by the owner.
    pub(crate) fn buffered(&self) -> usize {
        self.queued.saturating_add(self.unwritten)
    }

    /// The packets that are queued and not given out.
    pub(crate) fn unsent(&self) -> usize {
        self.out.len()
    }

    /// Returns whether a volatile message would leave at once: a poll is pending with nothing to answer it, or the
    /// WebSocket is not behind.
    pub(crate) fn is_writable(&self) -> bool {
        self.is_open()
            && match self.transport {
                Transport::Polling => self.poll.is_some() && self.out.is_empty(),
                // The bytes that the owner is about to write count as written.
                Transport::Channel(_) => {
                    !self.behind && self.queued.saturating_add(self.unwritten) < WRITABLE_BELOW
                }
            }
    }

    // --- inputs ---------------------------------------------------------------------------------------------

    /// A request for this session arrived: its first one, or one that names its id.
    pub(crate) fn handle_request(
        &mut self,
        now: Instant,
        request: RequestId,
        parsed: &ParsedHead<'_>,
    ) -> Wants {
        self.fire(now);
        let (head, query) = (parsed.head(), parsed.query());
        if parsed.is_websocket_upgrade() {
            let channel = Channel::WebSocket(request);
            if query.transport() != Some(channel.kind()) {
                self.respond(request, Response::upgrade_refusal(RefusalCode::BadRequest));
            } else if matches!(self.state, State::Opening { .. }) && self.transport == Transport::Polling {
                self.form.begin_channel(query.base64);
                self.transport = Transport::Channel(channel);
                // A queue's first growth would allocate four.
                self.control.reserve_exact(1);
                self.control.push_back(channel.accept());
            } else if self.may_upgrade() && query.revision() == self.revision() {
                self.upgrade = Some(Box::new(Upgrade {
                    channel,
                    probes: 0,
                    deadline: now + self.config.upgrade_timeout,
                    noop_at: Instant::FAR_FUTURE,
                    base64: query.base64,
                }));
                self.control.push_back(channel.accept());
            } else if query.revision() == self.revision() && self.has_channel() {
                // As in the reference, it is closed once it is there: clients expect no refusal for such a request.
                self.control.push_back(channel.accept());
            } else {
                self.respond(request, Response::upgrade_refusal(RefusalCode::BadRequest));
            }
            return Wants::Answer;
        }
        let is_poll = head.method == "GET" && query.transport() == Some(TransportKind::Polling);
        if self.state == State::Closed || matches!(self.state, State::Parting { .. }) && !is_poll {
            self.refuse(request, RefusalCode::UnknownSession);
            return Wants::Answer;
        }
        // A session on a channel has no use for plain requests, whatever transport they name.
        if self.transport != Transport::Polling
            || query.transport() != Some(TransportKind::Polling)
            || query.revision() != self.revision()
        {
            self.refuse(request, RefusalCode::BadRequest);
            return Wants::Answer;
        }
        match (head.method, self.state) {
            ("GET", State::Opening { .. }) => self.open_polling(now, request, query),
            ("GET", _) => self.handle_poll(request),
            ("POST", State::Open | State::Closing { .. }) => return self.handle_post(request, head),
            _ => self.refuse(request, RefusalCode::BadHandshakeMethod),
        }
        Wants::Answer
    }

    /// The form of what the client sends on a WebSocket.
    #[inline]
    pub(crate) fn incoming(&self) -> Incoming {
        self.form.incoming(false)
    }

    /// One packet of a polling body. Returns a message for the layer above.
    #[inline(always)]
    pub(crate) fn handle_packet(
        &mut self,
        now: Instant,
        packet: Result<EnginePacket, EnginePacketError>,
    ) -> Option<WireMessage> {
        if !self.takes_input() {
            // The rest of the input counts no more, but for the peer's own end.
            if matches!((&self.state, &packet), (State::Closing { .. }, Ok(EnginePacket::Close))) {
                self.end(Ended::plain(CloseReason::TransportClose), NOOP);
            }
            return None;
        }
        match packet {
            Ok(packet) => self.handle_any_packet(now, packet),
            Err(error) => {
                // Not one whose body is still on its way, while the WebSocket speaks.
                if let Some(post) = self.post.as_mut().filter(|post| post.progress == PostProgress::Handling)
                {
                    post.progress = PostProgress::Malformed;
                }
                self.end_after_events(Ended::by(CloseReason::ParseError, error.into()), CLOSE);
                None
            }
        }
    }

    /// The client ended a request before it was answered, or its WebSocket never came to be.
    pub(crate) fn handle_request_aborted(&mut self, now: Instant, request: RequestId) {
        self.fire(now);
        let is_poll = self.poll == Some(request);
        let is_post = self.post.is_some_and(|post| post.request == request);
        if is_poll {
            self.poll = None;
        }
        if is_post {
            self.post = None;
        }
        if self.moves_to(request) {
            self.upgrade = None;
        }
        if is_poll || is_post || self.is_on(request) {
            self.abort(Ended::by(CloseReason::TransportError, EngineError::RequestAborted));
        }
    }

    /// The WebSocket of an accepted request has opened.
    pub(crate) fn handle_websocket_opened(&mut self, now: Instant, websocket: RequestId) {
        self.fire(now);
        if matches!(self.state, State::Opening { .. }) && self.is_on(websocket) {
            self.open(now);
            let open = open_packet(&self.config, &self.id, false);
            self.queued = self.queued.saturating_add(open.len().saturating_add(SERVER_MESSAGE));
            self.out.reserve_exact(1);
            self.out.push_front(Outgoing::Message(WireMessage::Text(open)));
        } else if !self.moves_to(websocket) && (!self.is_on(websocket) || self.state == State::Closed) {
            // Its upgrade, or the session, was given up meanwhile, or the session has another one.
            self.control.push_back(Channel::WebSocket(websocket).close(None));
        }
    }

    /// A message arrived on a WebSocket. Returns a message for the layer above.
    pub(crate) fn handle_websocket(
        &mut self,
        now: Instant,
        websocket: RequestId,
        message: WireMessage,
    ) -> Option<WireMessage> {
        self.fire(now);
        if self.is_on(websocket) {
            let (WireMessage::Text(bytes) | WireMessage::Binary(bytes)) = &message;
            if self.takes_input() && bytes.len() > self.config.max_payload {
                self.close_code = Some(TOO_BIG);
                self.end_after_events(
                    Ended::by(CloseReason::TransportError, EngineError::WebSocket(TOO_BIG)),
                    CLOSE,
                );
                return None;
            }
            // One that is to be ignored is a sign of life all the same.
            let packet = self.form.incoming(false).decode(message).unwrap_or(Ok(EnginePacket::Noop));
            return self.handle_packet(now, packet);
        }
        if self.moves_to(websocket) {
            self.handle_probe(now, message);
        }
        None
    }

    /// Bytes of a message, or of a POST, that is not complete arrived.
    pub(crate) fn handle_bytes(&mut self, now: Instant, from: RequestId) {
        self.fire(now);
        if self.is_on(from) || self.post.is_some_and(|post| post.request == from) {
            self.heartbeat.bytes(now);
        }
    }

    /// A WebSocket ended: by a close frame or the end of the stream (`None`), or by an error, after which the
    /// adapter has sent that close code.
    pub(crate) fn handle_websocket_closed(&mut self, now: Instant, websocket: RequestId, error: Option<u16>) {
        self.fire(now);
        if self.moves_to(websocket) {
            self.upgrade = None;
        }
        if self.is_on(websocket) {
            match error {
                Some(code) => {
                    self.abort(Ended::by(CloseReason::TransportError, EngineError::WebSocket(code)))
                }
                None => self.abort(Ended::plain(CloseReason::TransportClose)),
            }
        }
    }

    /// The owner has not yet written that many of the bytes that it was given, answers to polls included. For a
    /// WebSocket it is given no more while there are 64 KiB or more, so it has to say 0 when all is written.
    pub(crate) fn handle_unwritten(&mut self, now: Instant, bytes: usize) {
        if bytes < self.unwritten && self.paused_at.is_some() {
            self.paused_at = Some(now);
        }
        self.unwritten = bytes;
        self.behind = bytes > 0;
    }

    /// A deadline may have passed. Calling it early or often does no harm.
    pub(crate) fn handle_timeout(&mut self, now: Instant) {
        self.fire(now);
        self.judge(now);
    }

    // --- commands ---------------------------------------------------------------------------------------------

    /// Queues a frame, whatever waits already: the budget is the caller's to check with [`ServerSession::buffered`].
    /// Returns false, having done nothing, if the session is not open.
    pub(crate) fn send(&mut self, frame: Frame) -> bool {
        self.send_now(frame)
    }

    /// The same, in line: for what is sent most often.
    #[inline(always)]
    pub(crate) fn send_now(&mut self, frame: Frame) -> bool {
        if !self.is_open() {
            return false;
        }
        self.queued = self.queued.saturating_add(frame.queued_len());
        let compress = frame.may_compress();
        let (text, beside) = frame.into_parts();
        // Only a raw binary message has no text.
        if !text.is_empty() {
            self.queue(Outgoing::Message(WireMessage::Text(text)), compress);
        }
        if let Some(beside) = beside {
            self.queue_attachments(beside, compress);
        }
        true
    }

    fn queue_attachments(&mut self, beside: Arc<Beside>, compress: bool) {
        if beside.attachments.len() == 1 {
            return self.queue(Outgoing::Attachment(beside), compress);
        }
        for attachment in beside.attachments.as_slice() {
            self.queue(Outgoing::Message(WireMessage::Binary(attachment.clone())), compress);
        }
    }

    #[inline(always)]
    fn queue(&mut self, message: Outgoing, compress: bool) {
        if !compress {
            self.out.push_back(Outgoing::AsIs);
        }
        self.out.push_back(message);
    }

    // --- outputs ----------------------------------------------------------------------------------------------

    /// Returns whether the session has moved or ended since that was last asked, or reading is paused.
    #[inline]
    pub(crate) fn has_news(&self) -> bool {
        self.upgraded || self.closed.is_some() || self.paused_at.is_some()
    }

    /// The end of the session, once.
    pub(crate) fn poll_closed(&mut self) -> Option<Ended> {
        self.closed.take().map(|ended| *ended)
    }

    /// Returns whether the session has moved to WebSocket since the last call.
    pub(crate) fn poll_upgraded(&mut self) -> bool {
        core::mem::take(&mut self.upgraded)
    }

    // --- inside -----------------------------------------------------------------------------------------------

    /// Returns whether the peer's packets still count.
    fn takes_input(&self) -> bool {
        self.state == State::Open && self.ending.is_none()
    }

    fn open(&mut self, now: Instant) {
        self.state = State::Open;
        self.has_opened = true;
        let (interval, timeout) = (self.config.ping_interval, self.config.ping_timeout);
        self.heartbeat = match self.revision() {
            Revision::V4 => Heartbeat::new(now, interval, timeout),
            Revision::V3 => Heartbeat::watching(now, interval, timeout),
        };
        if let Some(initial) = &self.config.initial_packet {
            let frame = Frame::text_message(initial);
            self.send(frame);
        }
    }

    /// A packet on the transport in use.
    #[inline]
    fn handle_any_packet(&mut self, now: Instant, packet: EnginePacket) -> Option<WireMessage> {
        if let EnginePacket::Message(message) = packet {
            self.heartbeat.activity(now);
            return Some(message);
        }
        self.handle_other_packet(now, packet);
        None
    }

    #[inline(never)]
    fn handle_other_packet(&mut self, now: Instant, packet: EnginePacket) {
        match packet {
            EnginePacket::Pong(_) if self.revision() == Revision::V4 => self.heartbeat.pong(now),
            EnginePacket::Ping(_) if self.revision() == Revision::V3 => {
                self.heartbeat.ping(now);
                if self.heartbeats < MAX_QUEUED_PONGS {
                    self.queue_heartbeat();
                }
            }
            EnginePacket::Pong(_) | EnginePacket::Ping(_) => {
                let ended = Ended::by(CloseReason::TransportError, EngineError::HeartbeatDirection);
                self.end_after_events(ended, CLOSE);
            }
            EnginePacket::Close => self.end_after_events(Ended::plain(CloseReason::TransportClose), NOOP),
            EnginePacket::Message(_) | EnginePacket::Open(_) | EnginePacket::Upgrade | EnginePacket::Noop => {
                self.heartbeat.activity(now)
            }
        }
    }

    fn queue_heartbeat(&mut self) {
        self.heartbeats = self.heartbeats.saturating_add(1);
        self.out.push_back(Outgoing::Heartbeat);
    }

    fn respond(&mut self, request: RequestId, response: Response) {
        self.control.push_back(ServerTransmit::Respond { request, response: Box::new(response) });
    }

    fn refuse(&mut self, request: RequestId, code: RefusalCode) {
        self.respond(request, Response::refusal(code));
    }
}
