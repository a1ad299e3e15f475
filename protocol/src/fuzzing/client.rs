//! The client's machine by operation lists. Any order of calls is legal: it never panics, never runs in circles,
//! leaves no deadline in the past, decides each awaited acknowledgement exactly once, keeps the queues bounded, and
//! comes to an end.

use super::input::Input;
use crate::client::{ClientEvent, ClientState, Manager, ReconnectConfig, SessionEvent};
use crate::engine::client::{ClientTransmit, EngineClientConfig, Method};
use crate::engine::request::RequestId;
use crate::engine::{EngineError, TransportKind};
use crate::error::CloseReason;
use crate::message::{Frame, WireMessage};
use crate::random::Random;
use crate::socket::client::{AckOutcome, AuthSource, ClientSocketEvent, SocketClientConfig, SocketKey};
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
/// The largest frame that is sent: small enough for every limit to be met.
pub const LARGEST_FRAME: usize = 1_500;
/// A number larger than a story can ask for at once.
const ENOUGH: usize = 10_000;

const OPEN: &str =
    r#"0{"sid":"s","upgrades":["websocket"],"pingInterval":300,"pingTimeout":200,"maxPayload":1000}"#;

/// Packets that servers send: whole ones, broken ones, and all that a state may or may not expect.
pub const PACKETS: [&str; 36] = [
    OPEN,
    OPEN,
    "0{}",
    "40{\"sid\":\"p\"}",
    "40{\"sid\":\"p\"}",
    "40/a,{\"sid\":\"q\"}",
    "40/a,{\"sid\":\"q\"}",
    "40",
    "41",
    "41/a,",
    "44{\"message\":\"no\"}",
    "44/a,\"no\"",
    "42[\"e\"]",
    "42[\"e\",1,{\"a\":[]}]",
    "42/a,[\"e\"]",
    "421[\"e\"]",
    "430[]",
    "431[1]",
    "432[]",
    "433[]",
    "43/a,0[]",
    "43/a,4[]",
    "451-[\"e\",{\"_placeholder\":true,\"num\":0}]",
    "bAQID",
    "2",
    "2",
    "3",
    "3probe",
    "6",
    "1",
    "4hello",
    "",
    "9",
    "42[",
    "<html>",
    "96:0{}",
];

/// Something that is done to a client.
#[derive(Clone, Debug)]
#[allow(missing_docs)]
pub enum Op {
    /// One of the things that an honest server may do next.
    Server {
        choice: u8,
        number: usize,
    },
    /// The owner's work: it writes and tells.
    Owner,
    /// The rest is out of place more often than not.
    Respond {
        id: usize,
        status: u16,
        packets: Vec<usize>,
    },
    Fail {
        id: usize,
        too_large: bool,
    },
    Refuse {
        id: usize,
    },
    Opened {
        id: usize,
    },
    WebSocket {
        id: usize,
        packet: usize,
        binary: bool,
    },
    Closed {
        id: usize,
        error: bool,
    },
    Time {
        to: i16,
    },
    Deadline,
    Unwritten {
        bytes: usize,
    },
    Transmit {
        count: usize,
    },
    Events {
        count: usize,
    },
    Command {
        command: u8,
        socket: usize,
        number: usize,
    },
    End {
        abort: bool,
    },
}

impl Op {
    /// An operation out of a fuzzer's bytes. Those that get far come more often.
    pub fn read(input: &mut Input<'_>) -> Self {
        let kind = input.byte();
        let id = |input: &mut Input<'_>| input.below(8);
        let packet = |input: &mut Input<'_>| input.below(PACKETS.len());
        let number = |input: &mut Input<'_>| input.below(LARGEST_FRAME);
        match kind {
            0..=79 => Self::Server { choice: input.byte() % 14, number: number(input) },
            80..=119 => Self::Owner,
            120..=167 => {
                Self::Command { command: input.byte() % 16, socket: input.below(2), number: number(input) }
            }
            168..=179 => {
                let status = input.pick(&[200, 200, 400, 502]).unwrap_or(200);
                let count = input.below(4);
                Self::Respond { id: id(input), status, packets: (0..count).map(|_| packet(input)).collect() }
            }
            180..=187 => Self::Fail { id: id(input), too_large: input.flag() },
            188..=191 => Self::Refuse { id: id(input) },
            192..=199 => Self::Opened { id: id(input) },
            200..=211 => {
                let binary = input.byte() >= 230;
                Self::WebSocket { id: id(input), packet: packet(input), binary }
            }
            212..=217 => Self::Closed { id: id(input), error: input.flag() },
            218..=227 => Self::Time { to: i16::from(input.byte()) - 50 },
            228..=239 => Self::Deadline,
            240..=242 => Self::Unwritten { bytes: 2 * input.below(50_000) },
            243..=247 => Self::Transmit { count: input.below(10) },
            248..=252 => Self::Events { count: input.below(10) },
            253..=255 => Self::End { abort: input.byte() >= 128 },
        }
    }
}

/// The largest number of operations in one input.
const MAX_OPS: usize = 300;

/// A story out of a fuzzer's bytes.
///
/// # Panics
/// If the machine does what it must not.
pub fn any_order(data: &[u8]) {
    let mut input = Input::new(data);
    let settings = input.byte();
    let mut run = Run::new(settings & 1 == 0, settings / 8, settings & 2 != 0);
    for _ in 0..MAX_OPS {
        if input.is_empty() {
            break;
        }
        run.act(&Op::read(&mut input));
        run.check();
    }
    run.finish();
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Asked {
    Get,
    Post,
    WebSocket,
    Over,
}

/// The situations that a story met, so that it is known to be worth something.
#[derive(Debug, Default)]
#[allow(missing_docs)]
pub struct Seen {
    pub opened: usize,
    pub joined: usize,
    pub events: usize,
    pub answered: usize,
    pub timed_out: usize,
    pub disconnected: usize,
    pub upgraded: usize,
    pub gave_up: usize,
    pub reasons: BTreeSet<&'static str>,
}

/// A client, and what is remembered of what was done to it.
#[allow(missing_debug_implementations)]
pub struct Run {
    client: Manager,
    now: Instant,
    asked: BTreeMap<RequestId, Asked>,
    probing: BTreeSet<RequestId>,
    keys: Vec<SocketKey>,
    /// The number of outcomes still to be told: an id may be used again once it is decided, told or not.
    awaited: BTreeMap<(SocketKey, u64), usize>,
    seen: Seen,
    /// All that came out.
    pub output: String,
}

impl Run {
    /// A client with or without Socket.IO; `transports` chooses the list; `ask` is `ReconnectConfig::ask_before_dial`.
    ///
    /// # Panics
    /// Never.
    pub fn new(sockets: bool, transports: u8, ask: bool) -> Self {
        let (polling, websocket) = (TransportKind::Polling, TransportKind::WebSocket);
        let transports: &[_] = match transports {
            0 => &[polling],
            1 => &[websocket],
            2 => &[websocket, polling],
            _ => &[polling, websocket],
        };
        let millis = Duration::from_millis;
        let engine = EngineClientConfig::default()
            .transports(transports.iter().copied())
            .try_all_transports(true)
            .remember_upgrade(true)
            .open_timeout(millis(400))
            .upgrade_timeout(millis(300))
            .request_timeout(millis(600))
            .close_timeout(millis(200))
            .max_message(2_000)
            .send_budget(SEND_BUDGET)
            .receive_budget(1_000);
        let layer = SocketClientConfig::default()
            .join_timeout(millis(500))
            .ack_timeout(millis(300))
            .parser(Parser::json().max_attachments(1))
            .max_pending_acks(4)
            .retries(1);
        let config = ReconnectConfig::default()
            .reconnection_delay(millis(50))
            .reconnection_delay_max(millis(200))
            .reconnection_attempts(Some(3))
            .ask_before_dial(ask);
        let random = Random::new([5; 32]);
        let mut client =
            Manager::new(Arc::new(config), Arc::new(engine), random, sockets.then(|| Arc::new(layer)));
        let mut keys = Vec::new();
        if sockets {
            keys.push(client.add("/", AuthSource::None).unwrap());
            keys.push(client.add("/a", AuthSource::Ask).unwrap());
        }
        Self {
            client,
            now: Instant::ZERO,
            asked: BTreeMap::new(),
            probing: BTreeSet::new(),
            keys,
            awaited: BTreeMap::new(),
            seen: Seen::default(),
            output: String::new(),
        }
    }

    /// One of the latest ids, or one that was never given out.
    fn pick(&self, id: usize) -> RequestId {
        let id = self.asked.keys().rev().nth(id);
        id.copied().unwrap_or(RequestId(7))
    }

    fn open(&self, kind: Asked) -> Option<RequestId> {
        self.asked.iter().rev().find(|(_, asked)| **asked == kind).map(|(id, _)| *id)
    }

    /// Does something to it.
    ///
    /// # Panics
    /// If the machine does what it must not.
    pub fn act(&mut self, op: &Op) {
        let now = self.now;
        match op {
            Op::Server { choice, number } => self.server(*choice, *number),
            Op::Owner => {
                self.transmit(ENOUGH);
                self.client.handle_unwritten(0);
                self.transmit(ENOUGH);
                self.events(ENOUGH);
            }
            Op::Respond { id, status, packets } => {
                self.client.handle_response(now, self.pick(*id), *status, body(packets));
            }
            Op::Fail { id, too_large } => {
                let error =
                    if *too_large { EngineError::TooLarge { limit: 9 } } else { EngineError::RequestFailed };
                self.client.handle_request_failed(now, self.pick(*id), error);
            }
            Op::Refuse { id } => self.client.handle_websocket_refused(now, self.pick(*id), 400, b"no"),
            Op::Opened { id } => self.client.handle_websocket_opened(now, self.pick(*id)),
            Op::WebSocket { id, packet, binary } => {
                let bytes = Bytes::from_static(PACKETS[*packet].as_bytes());
                let message = if *binary { WireMessage::Binary(bytes) } else { WireMessage::Text(bytes) };
                self.client.handle_websocket(now, self.pick(*id), message);
            }
            Op::Closed { id, error } => {
                self.client.handle_websocket_closed(now, self.pick(*id), error.then_some(1002));
            }
            Op::Time { to } => {
                let micros = now.as_micros().saturating_add_signed(i64::from(*to) * 1000);
                self.timeout(Instant::from_micros(micros));
            }
            Op::Deadline => {
                if let Some(deadline) = self.client.poll_timeout() {
                    self.timeout(deadline);
                }
            }
            Op::Unwritten { bytes } => self.client.handle_unwritten(*bytes),
            Op::Transmit { count } => self.transmit(*count),
            Op::Events { count } => self.events(*count),
            Op::Command { command, socket, number } => self.command(*command, *socket, *number),
            Op::End { abort: true } => self.client.abort(now, CloseReason::TransportError),
            Op::End { abort: false } => self.client.close(now),
        }
    }

    /// Does one of the things that an honest server may do next.
    fn server(&mut self, choice: u8, number: usize) {
        let now = self.now;
        let fresh = self.client.engine().is_none_or(|engine| engine.handshake().is_none());
        let text = |text: String| WireMessage::Text(text.into());
        match choice {
            0 => {
                if let Some(id) = self.open(Asked::Post) {
                    self.asked.insert(id, Asked::Over);
                    self.client.handle_response(now, id, 200, "ok".into());
                }
            }
            1 | 2 => {
                if let Some(id) = self.open(Asked::WebSocket) {
                    self.client.handle_websocket_opened(now, id);
                }
            }
            3 => {
                if let Some(id) = self.probing.pop_last() {
                    self.client.handle_websocket(now, id, text("3probe".into()));
                }
            }
            _ => {
                let packet = match choice {
                    13 if number % 12 == 0 => return self.server_goes(),
                    13 if number % 12 == 1 => "47".to_string(),
                    13 if number % 12 == 2 => "1".to_string(),
                    _ if fresh => OPEN.to_string(),
                    4 | 5 => "40{\"sid\":\"p\"}".to_string(),
                    6 => "40/a,{\"sid\":\"q\"}".to_string(),
                    7 => "2".to_string(),
                    8 => format!("42[\"e\",\"{}\"]", "x".repeat(number % 900)),
                    9 => format!("42/a,{number}[\"e\"]"),
                    10 => format!("43{}[1]", number % 5),
                    11 => format!("43/a,{}[1]", number % 5),
                    12 if number % 8 == 0 => "41/a,".to_string(),
                    _ => "6".to_string(),
                };
                let engine = self.client.engine();
                let polling = engine.is_some_and(|engine| engine.transport() == TransportKind::Polling);
                if let (true, Some(id)) = (polling, self.open(Asked::Get)) {
                    self.asked.insert(id, Asked::Over);
                    self.client.handle_response(now, id, 200, packet.into());
                } else if let Some(id) = self.open(Asked::WebSocket).filter(|id| self.client.is_on(*id)) {
                    self.client.handle_websocket(now, id, text(packet));
                }
            }
        }
    }

    /// The connection is gone.
    fn server_goes(&mut self) {
        let (get, websocket) = (self.open(Asked::Get), self.open(Asked::WebSocket));
        for id in get.into_iter().chain(websocket) {
            self.asked.insert(id, Asked::Over);
            if Some(id) == get || self.client.engine().is_none_or(|engine| !engine.is_open()) {
                self.client.handle_request_failed(self.now, id, EngineError::RequestFailed);
            } else {
                self.client.handle_websocket_closed(self.now, id, None);
            }
        }
    }

    fn timeout(&mut self, at: Instant) {
        self.now = self.now.max(at);
        self.client.handle_timeout(at);
        let next = self.client.poll_timeout();
        assert!(next.is_none_or(|next| next > self.now), "at {:?} the next is {next:?}", self.now);
    }

    fn command(&mut self, command: u8, socket: usize, number: usize) {
        let (now, client) = (self.now, &mut self.client);
        let text = "x".repeat(number);
        let id = number as u64 % 5;
        let Some(&key) = self.keys.get(socket) else {
            match command {
                0..=2 => client.open(now),
                3..=5 => drop(client.send(now, Frame::text_message(&text))),
                6 => client.hold(None),
                7 => client.release(None),
                8 if number % 8 == 0 => client.close(now),
                9..=11 => client.dial(now, None),
                _ => client.dial_failed(now),
            }
            return;
        };
        match command {
            0 | 1 => client.connect(now, key),
            2 => client.authenticate(now, key, Some(&PacketData::from_json("{}").unwrap())),
            3 => drop(client.emit(now, key, Parser::json().event("/", "e", None, &text).unwrap())),
            4 => drop(client.emit_volatile(now, key, Parser::json().event("/", "e", None, &text).unwrap())),
            5 | 6 => {
                let frame = Parser::json().event("/", "e", Some(id), &()).unwrap();
                let deadline = now + Duration::from_millis(number as u64 / 2);
                if client.emit_with_ack(now, key, &frame, id, deadline).is_ok() {
                    *self.awaited.entry((key, id)).or_default() += 1;
                }
            }
            7 => {
                let frame = Parser::json().event("/", "e", Some(id), &Bytes::from(text)).unwrap();
                if client.emit_reliably(now, key, frame, id).is_ok() {
                    *self.awaited.entry((key, id)).or_default() += 1;
                }
            }
            8 => drop(client.ack(now, key, Parser::json().ack("/", id, &text).unwrap())),
            9 if number % 8 == 0 => client.disconnect(now, key),
            10 if number % 4 == 0 => client.hold(Some(key)),
            10 => client.release(Some(key)),
            11 | 12 => client.dial(now, Some(("/x", Vec::new()))),
            13 => client.dial_failed(now),
            _ => {}
        }
    }

    fn transmit(&mut self, count: usize) {
        for _ in 0..count {
            let Some(transmit) = self.client.poll_transmit() else { return };
            let _ = writeln!(self.output, "{transmit:?}");
            match transmit {
                ClientTransmit::Request { request, method, .. } => {
                    let kind = if method == Method::Get { Asked::Get } else { Asked::Post };
                    assert!(self.asked.insert(request, kind).is_none(), "{request:?} was used twice");
                }
                ClientTransmit::OpenWebSocket { websocket, .. } => {
                    let before = self.asked.insert(websocket, Asked::WebSocket);
                    assert!(before.is_none(), "{websocket:?} was used twice");
                }
                ClientTransmit::Write { websocket, message, .. } => {
                    assert_eq!(self.asked.get(&websocket), Some(&Asked::WebSocket), "{message:?}");
                    if message == WireMessage::Text("2probe".into()) {
                        self.probing.insert(websocket);
                    }
                }
                ClientTransmit::Abort { request: id }
                | ClientTransmit::CloseWebSocket { websocket: id, .. } => {
                    assert!(self.asked.insert(id, Asked::Over).is_some(), "nobody asked");
                }
            }
        }
        assert!(count < ENOUGH, "it wants more and more");
    }

    fn events(&mut self, count: usize) {
        for _ in 0..count {
            let Some(event) = self.client.poll_event() else { return };
            let _ = writeln!(self.output, "{event:?}");
            match event {
                ClientEvent::Opened { .. } => self.seen.opened += 1,
                ClientEvent::Upgraded => self.seen.upgraded += 1,
                ClientEvent::GaveUp => self.seen.gave_up += 1,
                ClientEvent::Closed { closed, .. } => {
                    self.seen.reasons.insert(closed.reason.as_str());
                }
                ClientEvent::Socket(ClientSocketEvent::Connected { .. }) => self.seen.joined += 1,
                ClientEvent::Session(SessionEvent::Message(_))
                | ClientEvent::Socket(ClientSocketEvent::Event { .. }) => self.seen.events += 1,
                ClientEvent::Socket(ClientSocketEvent::Ack { socket, id, outcome }) => {
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
                _ => {}
            }
        }
        assert!(count < ENOUGH, "it tells more and more");
    }

    /// Looks at it between two operations.
    ///
    /// # Panics
    /// If a bound is broken.
    pub fn check(&mut self) {
        let buffered = self.client.buffered();
        // Each of the sockets has a budget of its own for what waits until it is connected.
        let budgets = SEND_BUDGET * self.keys.len().max(1);
        assert!(buffered <= budgets + 2 * LARGEST_FRAME + 200_000, "{buffered} bytes wait");
        for key in &self.keys {
            let own = self.client.buffered_by(*key);
            assert!(own <= SEND_BUDGET + LARGEST_FRAME, "{own} bytes wait for {key:?}");
        }
        if !self.client.has_output() {
            assert!(self.client.poll_transmit().is_none());
            assert!(self.client.poll_event().is_none());
        }
        if self.client.is_finished() {
            assert!(!self.client.has_output());
        }
    }

    /// Checks the end: close() ends it, when all deadlines are over.
    ///
    /// # Panics
    /// If it does not.
    pub fn finish(mut self) -> Seen {
        self.client.close(self.now);
        assert_eq!(self.client.status(), ClientState::Idle);
        for _ in 0..20 {
            self.client.release(None);
            for key in self.keys.clone() {
                self.client.release(Some(key));
            }
            self.transmit(ENOUGH);
            self.events(ENOUGH);
            match self.client.poll_timeout() {
                Some(deadline) => self.timeout(deadline),
                None => break,
            }
        }
        assert!(self.client.is_finished(), "{:?}", self.client);
        assert_eq!(self.client.poll_timeout(), None);
        assert!(self.awaited.is_empty(), "never decided: {:?}", self.awaited);
        assert_eq!(self.client.buffered(), 0);
        assert!(self.client.sockets().is_none_or(|sockets| sockets.inbound() == 0), "{:?}", self.client);
        self.seen
    }
}

fn body(packets: &[usize]) -> Bytes {
    packets.iter().map(|at| PACKETS[*at]).collect::<Vec<_>>().join("\x1e").into()
}
