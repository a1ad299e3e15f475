//! The server's machine by operation lists. Any order of calls is legal: it never panics, never runs in circles,
//! answers each request at most once, decides each awaited acknowledgement exactly once, keeps the queues bounded,
//! and comes to an end.

mod op;

pub use op::{Op, PACKETS};

use super::input::Input;
use crate::engine::config::{EngineServerConfig, Overflow};
use crate::engine::payload::v3;
use crate::engine::request::{RequestHead, RequestId};
use crate::engine::server::{Body, ServerTransmit};
use crate::engine::{Revision, TransportKind};
use crate::error::CloseReason;
use crate::message::{Frame, WireMessage};
use crate::rate::Rate;
use crate::record::RecordOptions;
use crate::server::{Connection, ServerEvent};
use crate::socket;
use crate::socket::server::{AckOutcome, ServerSocketEvent, SocketKey};
use crate::socket::{PacketData, Parser};
use crate::time::Instant;
use alloc::collections::{BTreeMap, BTreeSet};
use alloc::format;
use alloc::string::{String, ToString};
use alloc::sync::Arc;
use alloc::vec::Vec;
use bytes::Bytes;
use core::fmt::Write as _;
use core::time::Duration;

const SEND_BUDGET: usize = 4_000;
const MAX_PAYLOAD: usize = 1_000;
/// The largest frame that is sent. With budgets this small every limit is met.
pub const LARGEST_FRAME: usize = 1_500;
/// The bytes of replies to CONNECT and DISCONNECT, which do not pass the budget, that a hundred operations make at
/// most.
const REPLIES: usize = 150 * 80;

/// The largest number of operations in one input.
const MAX_OPS: usize = 250;

/// A story out of a fuzzer's bytes.
///
/// # Panics
/// If the machine does what it must not.
pub fn any_order(data: &[u8]) {
    play(data, None, &mut None);
}

/// The same, with the recording of its session, even if it panics.
pub(super) fn recorded(data: &[u8], recordings: &mut Vec<Vec<u8>>) {
    /// Hands over the recording when it is dropped.
    struct Keeper<'a>(Option<Run>, &'a mut Vec<Vec<u8>>);

    impl Drop for Keeper<'_> {
        fn drop(&mut self) {
            self.1.extend(self.0.as_mut().and_then(|run| run.connection.take_recording()));
        }
    }

    let options = RecordOptions::default().with_secrets(true);
    play(data, Some(options), &mut Keeper(None, recordings).0);
}

/// Plays a story in that place.
fn play(data: &[u8], record: Option<RecordOptions>, place: &mut Option<Run>) {
    let mut input = Input::new(data);
    let settings = input.byte();
    let overflow = [Overflow::Close, Overflow::Fail, Overflow::Drop][usize::from(settings / 4) % 3];
    let revision = if settings & 128 == 0 { Revision::V4 } else { Revision::V3 };
    let run = place.insert(Run::with(revision, settings & 1 == 0, settings & 2 != 0, overflow, record));
    run.taking = if settings & 64 == 0 { Taking::Later } else { Taking::Along };
    for _ in 0..MAX_OPS {
        if input.is_empty() {
            break;
        }
        run.act(&Op::read(&mut input));
        run.check();
    }
    run.end();
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Asked {
    Answer,
    Accepted,
    Done,
}

/// The way in which the owner takes the event that a WebSocket message brings; the answer to a POST is taken along with
/// its body in all but the first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Taking {
    /// When it looks for events.
    Later,
    /// As soon as the message is handled.
    Behind,
    /// Along with the message.
    Along,
}

/// One connection, and what is known of it.
#[derive(Debug)]
pub struct Run {
    connection: Connection,
    now: Instant,
    requests: BTreeMap<RequestId, Asked>,
    sockets: Vec<SocketKey>,
    over: BTreeSet<SocketKey>,
    /// The number of outcomes still to be told: an id may be used again once it is decided, told or not.
    awaited: BTreeMap<(SocketKey, u64), usize>,
    closed: bool,
    sockets_on: bool,
    namespaces: BTreeMap<SocketKey, String>,
    poll: Option<RequestId>,
    websocket: Option<RequestId>,
    /// How it takes events.
    pub taking: Taking,
    seen: Seen,
    /// All that came out.
    pub output: String,
}

/// The situations that stories met, so that they are known to be worth something.
#[derive(Debug, Default)]
#[allow(missing_docs)]
pub struct Seen {
    pub joined: usize,
    pub events: usize,
    pub answered: usize,
    pub timed_out: usize,
    pub disconnected: usize,
    pub upgraded: usize,
    /// Events that came along with their messages.
    pub along: usize,
    /// Answers to POST that were taken along with its body.
    pub answers_along: usize,
    pub reasons: BTreeSet<&'static str>,
}

impl Run {
    /// A connection, with Socket.IO on it or not, that begins with a WebSocket or not.
    pub fn new(revision: Revision, sockets: bool, websocket: bool, overflow: Overflow) -> Self {
        Self::with(revision, sockets, websocket, overflow, None)
    }

    fn with(
        revision: Revision,
        sockets: bool,
        websocket: bool,
        overflow: Overflow,
        record: Option<RecordOptions>,
    ) -> Self {
        let config = EngineServerConfig::default()
            .ping_interval(Duration::from_millis(300))
            .ping_timeout(Duration::from_millis(200))
            .upgrade_timeout(Duration::from_millis(500))
            .close_timeout(Duration::from_millis(700))
            .pause_timeout(Duration::from_millis(600))
            .max_payload(MAX_PAYLOAD)
            .send_budget(SEND_BUDGET)
            .receive_budget(1_000)
            // In one of the three ways to go: messages, or events, that wait for their turn.
            .message_rate((overflow == Overflow::Drop).then(|| Rate::per_second(20).burst(3)))
            .overflow(overflow);
        let layer = socket::SocketServerConfig::default()
            .max_namespaces(2)
            .parser(Parser::json().max_attachments(1))
            .max_pending_acks(3)
            .connect_timeout(Duration::from_millis(900))
            .event_rate((overflow == Overflow::Drop).then(|| Rate::per_second(20).burst(3)));
        let now = Instant::ZERO;
        let sockets_config = sockets.then(|| Arc::new(layer));
        let mut connection = Connection::new(now, revision, Arc::new(config), "sid".into(), sockets_config);
        if let Some(options) = record {
            connection.record(options);
        }
        let mut run = Self {
            connection,
            now,
            requests: BTreeMap::new(),
            sockets: Vec::new(),
            over: BTreeSet::new(),
            awaited: BTreeMap::new(),
            closed: false,
            sockets_on: sockets,
            namespaces: BTreeMap::new(),
            poll: None,
            websocket: None,
            taking: Taking::Later,
            seen: Seen::default(),
            output: String::new(),
        };
        if websocket {
            let id = run.upgrade();
            run.transmit(1);
            run.connection.handle_websocket_opened(now, id);
        } else {
            run.request("GET", "polling", &[]);
        }
        run
    }

    fn request(&mut self, method: &str, transport: &str, headers: &[(&str, &str)]) -> RequestId {
        let id = RequestId(self.requests.len() as u64);
        self.requests.insert(id, Asked::Answer);
        let revision = self.connection.revision().as_str();
        let target = format!("/engine.io/?EIO={revision}&sid=sid&transport={transport}");
        let head = RequestHead { method, target: &target, headers: &headers };
        let _wants = self.connection.handle_request(self.now, id, &head);
        id
    }

    fn upgrade(&mut self) -> RequestId {
        self.request("GET", "websocket", &[("connection", "upgrade"), ("upgrade", "websocket")])
    }

    /// One of the latest requests, or one that was never made.
    fn pick(&self, request: usize) -> RequestId {
        RequestId((self.requests.len() as u64 + 1).saturating_sub(request as u64))
    }

    /// Does it.
    pub fn act(&mut self, op: &Op) {
        let now = self.now;
        match op {
            Op::Client { choice, number } => self.client(*choice, *number),
            Op::Owner => {
                self.transmit(1_000);
                self.events(1_000);
                for key in self.sockets.clone() {
                    let _ = self.connection.accept(key, "public");
                    self.seen.joined += usize::from(self.connection.is_connected(key));
                }
                self.connection.handle_unwritten(now, 0);
                self.transmit(1_000);
            }
            Op::Poll { method } => {
                let method = ["GET", "GET", "GET", "GET", "GET", "HEAD", "PUT", "OPTIONS"][*method as usize];
                self.request(method, if method == "HEAD" { "websocket" } else { "polling" }, &[]);
            }
            Op::Post { packets } => {
                let id = self.request("POST", "polling", &[]);
                self.post_body(id, Body::Complete(self.body(packets)));
            }
            Op::BeginPost => {
                self.request("POST", "polling", &[]);
            }
            Op::Body { request, packets, too_large } => {
                let body = if *too_large { Body::TooLarge } else { Body::Complete(self.body(packets)) };
                self.post_body(self.pick(*request), body);
            }
            Op::Upgrade => {
                self.upgrade();
            }
            Op::Opened { request } => self.connection.handle_websocket_opened(now, self.pick(*request)),
            Op::WebSocket { request, packet, binary } => {
                let bytes = Bytes::from_static(PACKETS[*packet].as_bytes());
                let message = if *binary { WireMessage::Binary(bytes) } else { WireMessage::Text(bytes) };
                self.message(self.pick(*request), message);
            }
            Op::WebSocketClosed { request, error } => {
                self.connection.handle_websocket_closed(now, self.pick(*request), error.then_some(1002));
            }
            Op::Aborted { request } => {
                let id = self.pick(*request);
                self.connection.handle_request_aborted(now, id);
                self.requests.entry(id).and_modify(|asked| *asked = Asked::Done);
            }
            Op::Time { to } => {
                let micros = now.as_micros().saturating_add_signed(i64::from(*to) * 1000);
                self.timeout(Instant::from_micros(micros));
            }
            Op::Deadline => {
                if let Some(deadline) = self.connection.poll_timeout() {
                    self.timeout(deadline);
                }
            }
            Op::Unwritten { bytes } => self.connection.handle_unwritten(now, *bytes),
            Op::Transmit { count } => self.transmit(*count),
            Op::Events { count } => self.events(*count),
            Op::Command { command, socket, number } => self.command(*command, *socket, *number),
            Op::End { abort: true } => self.connection.abort(CloseReason::ForcedClose),
            Op::End { abort: false } => self.connection.close(CloseReason::ForcedClose),
        }
    }

    /// Does one of the things that an honest client may do next.
    fn client(&mut self, choice: u8, number: usize) {
        let polling = self.connection.transport() == TransportKind::Polling;
        let joined: Vec<_> = self.sockets.iter().filter(|key| self.connection.is_connected(**key)).collect();
        let socket = joined.get(number % joined.len().max(1)).map(|key| **key);
        let namespace = socket.map_or("", |key| match &*self.namespaces[&key] {
            "/" => "",
            name => name,
        });
        let namespace = if namespace.is_empty() { String::new() } else { format!("{namespace},") };
        let is_old = self.connection.revision() == Revision::V3;
        let packet = match choice {
            0 | 1 if polling => {
                if self.poll.is_none_or(|poll| self.requests[&poll] != Asked::Answer) {
                    self.poll = Some(self.request("GET", "polling", &[]));
                }
                return;
            }
            2 if polling && number % 4 == 0 => {
                let id = self.upgrade();
                self.transmit(1_000);
                self.connection.handle_websocket_opened(self.now, id);
                return;
            }
            2 | 3 if polling => {
                if let Some(websocket) = self.websocket {
                    let packet = Bytes::from_static(if choice == 2 { b"5" } else { b"2probe" });
                    self.message(websocket, WireMessage::Text(packet));
                }
                return;
            }
            4 => if is_old { "2" } else { "3" }.to_string(),
            _ if !self.sockets_on => format!("4{}", "x".repeat(number % MAX_PAYLOAD)),
            _ if socket.is_none() || choice == 5 && joined.len() < 2 => {
                let taken = self.sockets.iter().filter(|key| !self.over.contains(key));
                let taken: BTreeSet<_> = taken.map(|key| &*self.namespaces[key]).collect();
                match ["/", "/a"].into_iter().find(|name| !taken.contains(name)) {
                    // It is in there by itself.
                    Some("/") if is_old => return,
                    Some(name) => format!("40{name},"),
                    None => return,
                }
            }
            5 if number % 8 == 0 => format!("41{namespace}"),
            6 | 10 | 11 => {
                let mine = self.awaited.keys().filter(|(key, _)| Some(*key) == socket);
                match mine.map(|(_, id)| *id).next() {
                    Some(id) => format!("43{namespace}{id}[1]"),
                    None => return,
                }
            }
            7 => format!("42{namespace}{number}[\"e\"]"),
            _ => format!("42{namespace}[\"e\",\"{}\"]", "x".repeat(number % (MAX_PAYLOAD / 2))),
        };
        let packet = Bytes::from(packet);
        if polling {
            let posts = self.requests.values().filter(|asked| **asked == Asked::Answer).count();
            let polls = self.poll.iter().filter(|poll| self.requests[poll] == Asked::Answer).count();
            // One that is pending is on its way, or withheld: it has to wait.
            if posts <= polls {
                let id = self.request("POST", "polling", &[]);
                let body = if is_old { framed([&packet[..]]) } else { packet };
                self.post_body(id, Body::Complete(body));
            }
        } else if let (Some(websocket), true) = (self.websocket, self.connection.wants_read()) {
            self.message(websocket, WireMessage::Text(packet));
        }
    }

    /// Hands in a body, and takes the answer along unless the owner takes everything later.
    fn post_body(&mut self, id: RequestId, body: Body) {
        self.connection.handle_body(self.now, id, body);
        if self.taking == Taking::Later {
            return;
        }
        if let Some(response) = self.connection.poll_response(id) {
            self.seen.answers_along += 1;
            self.transmitted(ServerTransmit::Respond { request: id, response });
        }
    }

    fn message(&mut self, websocket: RequestId, message: WireMessage) {
        if self.taking == Taking::Along {
            if let Some(event) = self.connection.handle_websocket_event(self.now, websocket, message) {
                self.seen.along += 1;
                return self.event(event);
            }
        } else {
            self.connection.handle_websocket(self.now, websocket, message);
        }
        if self.taking != Taking::Later {
            self.events(1);
        }
    }

    fn body(&self, packets: &[usize]) -> Bytes {
        let packets = packets.iter().map(|at| PACKETS[*at]);
        match self.connection.revision() {
            Revision::V4 => packets.collect::<Vec<_>>().join("\x1e").into(),
            Revision::V3 => framed(packets.map(str::as_bytes)),
        }
    }

    fn timeout(&mut self, at: Instant) {
        self.now = self.now.max(at);
        self.connection.handle_timeout(at);
        let next = self.connection.poll_timeout();
        assert!(next.is_none_or(|next| next > self.now), "at {:?} the next is {next:?}", self.now);
    }

    fn command(&mut self, command: u8, socket: usize, number: usize) {
        let connection = &mut self.connection;
        let text = "x".repeat(number);
        if command == 0 {
            let _ = connection.send(Frame::text_message(&text));
        }
        if command == 1 {
            if number % 2 == 0 { connection.hold(None) } else { connection.release(None) }
        }
        let Some(&key) = self.sockets.iter().rev().nth(socket % self.sockets.len().max(1)) else { return };
        let id = number as u64 % 5;
        match command {
            2..=4 => {
                let _ = connection.accept(key, "public");
            }
            5 => {
                let _ = connection.reject(key, "no", Some(&PacketData::from_json("{}").unwrap()));
            }
            6 => {
                let _ = connection.emit(key, Parser::json().event("/", "e", None, &text).unwrap());
            }
            7 => {
                let _ = connection.emit_volatile(key, Parser::json().event("/", "e", None, &text).unwrap());
            }
            8 | 13 => {
                let frame = Parser::json().event("/", "e", Some(id), &()).unwrap();
                let deadline = self.now + Duration::from_millis(number as u64 / 8);
                if connection.emit_with_ack(key, &frame, id, deadline).is_ok() {
                    *self.awaited.entry((key, id)).or_default() += 1;
                }
            }
            9 => {
                let _ = connection.ack(key, Parser::json().ack("/", id, &text).unwrap());
            }
            10 if number % 4 == 0 => {
                let _ = connection.disconnect(key, CloseReason::ServerNamespaceDisconnect);
            }
            11 => connection.hold(Some(key)),
            12 => connection.release(Some(key)),
            _ => {}
        }
    }

    fn transmit(&mut self, count: usize) {
        for _ in 0..count {
            let Some(transmit) = self.connection.poll_transmit() else { return };
            self.transmitted(transmit);
        }
    }

    fn transmitted(&mut self, transmit: ServerTransmit) {
        let _ = writeln!(self.output, "{transmit:?}");
        match transmit {
            ServerTransmit::Respond { request, .. } | ServerTransmit::Abort { request } => {
                let asked = self.requests.insert(request, Asked::Done);
                assert_ne!(asked, Some(Asked::Accepted), "a WebSocket was answered");
                assert!(asked.is_some(), "nobody asked");
            }
            ServerTransmit::AcceptWebSocket { request } => {
                self.websocket = Some(request);
                let asked = self.requests.insert(request, Asked::Accepted);
                assert_ne!(asked, Some(Asked::Accepted), "it was accepted twice");
            }
            ServerTransmit::Write { websocket, .. } | ServerTransmit::WriteTyped { websocket, .. } => {
                assert!(self.requests.contains_key(&websocket))
            }
            ServerTransmit::CloseWebSocket { .. } => {}
        }
    }

    fn events(&mut self, count: usize) {
        for _ in 0..count {
            let Some(event) = self.connection.poll_event() else { return };
            self.event(event);
        }
    }

    fn event(&mut self, event: ServerEvent) {
        let _ = writeln!(self.output, "{event:?}");
        match event {
            ServerEvent::Socket(ServerSocketEvent::Connect { socket, namespace, .. }) => {
                assert!(!self.sockets.contains(&socket), "a key was used again");
                self.namespaces.insert(socket, namespace.to_string());
                self.sockets.push(socket);
            }
            ServerEvent::Socket(ServerSocketEvent::Event { socket, .. }) => {
                self.seen.events += 1;
                assert!(self.sockets.contains(&socket));
                assert!(!self.over.contains(&socket), "an event after the last");
            }
            ServerEvent::Socket(ServerSocketEvent::Ack { socket, id, outcome }) => {
                match outcome {
                    AckOutcome::Answered(_) => self.seen.answered += 1,
                    AckOutcome::Timeout => self.seen.timed_out += 1,
                    _ => self.seen.disconnected += 1,
                }
                match self.awaited.get_mut(&(socket, id)) {
                    Some(1) => drop(self.awaited.remove(&(socket, id))),
                    Some(more) => *more -= 1,
                    None => panic!("nobody awaited it, or it was decided twice"),
                }
            }
            ServerEvent::Socket(ServerSocketEvent::Disconnected { socket, .. }) => {
                assert!(self.over.insert(socket), "it ended twice");
            }
            ServerEvent::Upgraded => self.seen.upgraded += 1,
            ServerEvent::Closed(closed) => {
                self.seen.reasons.insert(closed.reason.as_str());
                assert!(!self.closed, "it closed twice");
                self.closed = true;
            }
            _ => {}
        }
    }

    /// All of the machine's state, as text.
    pub fn state(&self) -> String {
        format!("{:?}", self.connection)
    }

    /// Checks all that must hold after each operation.
    ///
    /// # Panics
    /// If it does not.
    pub fn check(&mut self) {
        let buffered = self.connection.buffered();
        assert!(buffered <= SEND_BUDGET + LARGEST_FRAME + REPLIES + 100_000, "{buffered} bytes wait");
        if !self.connection.has_output() {
            assert!(self.connection.poll_transmit().is_none());
            assert!(self.connection.poll_event().is_none());
        }
        if self.connection.is_finished() {
            assert!(self.connection.poll_timeout().is_none());
            assert!(!self.connection.has_output());
        }
    }

    /// Checks the end: an abort ends it, once the handlers have finished.
    ///
    /// # Panics
    /// If it does not.
    pub fn finish(mut self) -> Seen {
        self.end();
        self.seen
    }

    fn end(&mut self) {
        self.connection.abort(CloseReason::ForcedClose);
        self.connection.release(None);
        for _ in 0..3 {
            self.transmit(10_000);
            self.events(10_000);
            for socket in self.sockets.clone() {
                self.connection.release(Some(socket));
            }
        }
        assert!(self.connection.is_finished(), "{:?}", self.connection);
        assert!(!self.connection.is_listed());
        assert!(self.closed);
        assert!(self.awaited.is_empty(), "never decided: {:?}", self.awaited);
        for (id, asked) in &self.requests {
            assert_ne!(*asked, Asked::Answer, "{id:?} was never answered");
        }
        assert_eq!(self.connection.poll_timeout(), None);
    }
}

/// A payload of revision 3.
fn framed<'a>(packets: impl IntoIterator<Item = &'a [u8]>) -> Bytes {
    let mut payload = v3::PayloadEncoder::with_capacity(v3::Form::Text, 0);
    packets.into_iter().for_each(|packet| payload.text(packet));
    payload.finish()
}
