//! Any order of calls to a client is legal. Random ones never panic, never run in circles, leave no deadline in the
//! past, decide each awaited acknowledgement exactly once, keep the queues bounded, and come to an end.

use bytes::Bytes;
use proptest::prelude::*;
use proptest::test_runner::{RngAlgorithm, TestRng, TestRunner};
use sansocket_protocol::client::{Config, Event, Manager, SessionEvent, Status};
use sansocket_protocol::engine::client::{Config as EngineConfig, Method, Transmit, TransportKind};
use sansocket_protocol::engine::packet::Message;
use sansocket_protocol::engine::request::RequestId;
use sansocket_protocol::error::{CloseReason, PeerError};
use sansocket_protocol::frame::Frame;
use sansocket_protocol::random::Random;
use sansocket_protocol::socket::client::{AckOutcome, Auth, Config as SocketConfig, SocketEvent, SocketKey};
use sansocket_protocol::time::Instant;
use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Duration;

const SEND_BUDGET: usize = 4_000;
/// Small enough for every limit to be met.
const LARGEST_FRAME: usize = 1_500;
/// More than a story can ask for at once.
const ENOUGH: usize = 10_000;

const OPEN: &str =
    r#"0{"sid":"s","upgrades":["websocket"],"pingInterval":300,"pingTimeout":200,"maxPayload":1000}"#;

/// What servers send: whole packets, broken ones, and all that a state may or may not expect.
const PACKETS: [&str; 36] = [
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

#[derive(Clone, Debug)]
enum Op {
    /// What an honest server may do next.
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

fn op() -> impl Strategy<Value = Op> {
    let id = 0..8usize;
    let packets = prop::collection::vec(0..PACKETS.len(), 0..4);
    prop_oneof![
        400 => (0..14u8, 0..LARGEST_FRAME).prop_map(|(choice, number)| Op::Server { choice, number }),
        150 => Just(Op::Owner),
        2 => (id.clone(), prop_oneof![Just(200u16), Just(400), Just(502)], packets)
            .prop_map(|(id, status, packets)| Op::Respond { id, status, packets }),
        2 => (id.clone(), any::<bool>()).prop_map(|(id, too_large)| Op::Fail { id, too_large }),
        1 => id.clone().prop_map(|id| Op::Refuse { id }),
        2 => id.clone().prop_map(|id| Op::Opened { id }),
        3 => (id.clone(), 0..PACKETS.len(), prop::bool::weighted(0.1))
            .prop_map(|(id, packet, binary)| Op::WebSocket { id, packet, binary }),
        2 => (id, any::<bool>()).prop_map(|(id, error)| Op::Closed { id, error }),
        20 => (-50..300i16).prop_map(|to| Op::Time { to }),
        20 => Just(Op::Deadline),
        5 => (0..100_000usize).prop_map(|bytes| Op::Unwritten { bytes }),
        20 => (0..10usize).prop_map(|count| Op::Transmit { count }),
        20 => (0..10usize).prop_map(|count| Op::Events { count }),
        150 => (0..16u8, 0..2usize, 0..LARGEST_FRAME)
            .prop_map(|(command, socket, number)| Op::Command { command, socket, number }),
        1 => prop::bool::weighted(0.5).prop_map(|abort| Op::End { abort }),
    ]
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Asked {
    Get,
    Post,
    WebSocket,
    Over,
}

/// What the stories came by, so that they are known to be worth something.
#[derive(Debug, Default)]
struct Seen {
    opened: usize,
    joined: usize,
    events: usize,
    answered: usize,
    timed_out: usize,
    disconnected: usize,
    upgraded: usize,
    gave_up: usize,
    reasons: BTreeSet<&'static str>,
}

struct Run {
    client: Manager,
    now: Instant,
    asked: BTreeMap<RequestId, Asked>,
    probing: BTreeSet<RequestId>,
    keys: Vec<SocketKey>,
    /// How many outcomes are to be told: an id may be used again once it is decided, told or not.
    awaited: BTreeMap<(SocketKey, u64), usize>,
    seen: Seen,
    /// All that came out.
    output: String,
}

impl Run {
    fn new(sockets: bool, transports: u8, ask: bool) -> Self {
        let (polling, websocket) = (TransportKind::Polling, TransportKind::WebSocket);
        let transports: &[_] = match transports {
            0 => &[polling],
            1 => &[websocket],
            2 => &[websocket, polling],
            _ => &[polling, websocket],
        };
        let millis = Duration::from_millis;
        let engine = EngineConfig::default()
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
        let layer = SocketConfig::default()
            .join_timeout(millis(500))
            .ack_timeout(millis(300))
            .max_attachments(1)
            .max_pending_acks(4)
            .retries(1);
        let config = Config::default()
            .reconnection_delay(millis(50))
            .reconnection_delay_max(millis(200))
            .reconnection_attempts(Some(3))
            .ask(ask);
        let random = Random::new([5; 32]);
        let mut client =
            Manager::new(Arc::new(config), Arc::new(engine), random, sockets.then(|| Arc::new(layer)));
        let mut keys = Vec::new();
        if sockets {
            keys.push(client.add("/", Auth::None).unwrap());
            keys.push(client.add("/a", Auth::Ask).unwrap());
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

    fn act(&mut self, op: &Op) {
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
                    if *too_large { PeerError::TooLarge { limit: 9 } } else { PeerError::RequestFailed };
                self.client.request_failed(now, self.pick(*id), error);
            }
            Op::Refuse { id } => self.client.websocket_refused(now, self.pick(*id), 400, b"no"),
            Op::Opened { id } => self.client.websocket_opened(now, self.pick(*id)),
            Op::WebSocket { id, packet, binary } => {
                let bytes = Bytes::from_static(PACKETS[*packet].as_bytes());
                let message = if *binary { Message::Binary(bytes) } else { Message::Text(bytes) };
                self.client.handle_websocket(now, self.pick(*id), message);
            }
            Op::Closed { id, error } => {
                self.client.websocket_closed(now, self.pick(*id), error.then_some(1002));
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

    /// What an honest server may do next.
    fn server(&mut self, choice: u8, number: usize) {
        let now = self.now;
        let fresh = self.client.engine().is_none_or(|engine| engine.handshake().is_none());
        let text = |text: String| Message::Text(text.into());
        match choice {
            0 => {
                if let Some(id) = self.open(Asked::Post) {
                    self.asked.insert(id, Asked::Over);
                    self.client.handle_response(now, id, 200, "ok".into());
                }
            }
            1 | 2 => {
                if let Some(id) = self.open(Asked::WebSocket) {
                    self.client.websocket_opened(now, id);
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
                self.client.request_failed(self.now, id, PeerError::RequestFailed);
            } else {
                self.client.websocket_closed(self.now, id, None);
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
                3..=5 => drop(client.send(now, &Frame::text_message(&text))),
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
            2 => client.authenticate(now, key, Some(b"{}")),
            3 => drop(client.emit(now, key, &Frame::event("/", "e", None, &text).unwrap())),
            4 => drop(client.emit_volatile(now, key, &Frame::event("/", "e", None, &text).unwrap())),
            5 | 6 => {
                let frame = Frame::event("/", "e", Some(id), &()).unwrap();
                let deadline = now + Duration::from_millis(number as u64 / 2);
                if client.emit_with_ack(now, key, &frame, id, deadline).is_ok() {
                    *self.awaited.entry((key, id)).or_default() += 1;
                }
            }
            7 => {
                let frame = Frame::event("/", "e", Some(id), &Bytes::from(text)).unwrap();
                if client.emit_reliably(now, key, frame, id).is_ok() {
                    *self.awaited.entry((key, id)).or_default() += 1;
                }
            }
            8 => drop(client.ack(now, key, &Frame::ack("/", id, &text).unwrap())),
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
                Transmit::Request { request, method, .. } => {
                    let kind = if method == Method::Get { Asked::Get } else { Asked::Post };
                    assert!(self.asked.insert(request, kind).is_none(), "{request:?} was used twice");
                }
                Transmit::OpenWebSocket { websocket, .. } => {
                    let before = self.asked.insert(websocket, Asked::WebSocket);
                    assert!(before.is_none(), "{websocket:?} was used twice");
                }
                Transmit::Write { websocket, message } => {
                    assert_eq!(self.asked.get(&websocket), Some(&Asked::WebSocket), "{message:?}");
                    if message == Message::Text("2probe".into()) {
                        self.probing.insert(websocket);
                    }
                }
                Transmit::Abort { request: id } | Transmit::CloseWebSocket { websocket: id, .. } => {
                    assert!(self.asked.insert(id, Asked::Over).is_some(), "nobody asked");
                }
                other => panic!("{other:?}"),
            }
        }
        assert!(count < ENOUGH, "it wants more and more");
    }

    fn events(&mut self, count: usize) {
        for _ in 0..count {
            let Some(event) = self.client.poll_event() else { return };
            let _ = writeln!(self.output, "{event:?}");
            match event {
                Event::Opened { .. } => self.seen.opened += 1,
                Event::Upgraded => self.seen.upgraded += 1,
                Event::GaveUp => self.seen.gave_up += 1,
                Event::Closed { closed, .. } => {
                    self.seen.reasons.insert(closed.reason.as_str());
                }
                Event::Socket(SocketEvent::Connected { .. }) => self.seen.joined += 1,
                Event::Session(SessionEvent::Message(_)) | Event::Socket(SocketEvent::Event { .. }) => {
                    self.seen.events += 1
                }
                Event::Socket(SocketEvent::Ack { socket, id, outcome }) => {
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

    fn check(&mut self) {
        let buffered = self.client.buffered();
        assert!(buffered <= SEND_BUDGET + 2 * LARGEST_FRAME + 200_000, "{buffered} bytes wait");
        if !self.client.has_output() {
            assert!(self.client.poll_transmit().is_none());
            assert!(self.client.poll_event().is_none());
        }
        if self.client.is_finished() {
            assert!(!self.client.has_output());
        }
    }

    /// Whatever has happened: close() ends it, when all deadlines are over.
    fn finish(mut self) -> Seen {
        self.client.close(self.now);
        assert_eq!(self.client.status(), Status::Idle);
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

/// Tells random stories, the same ones at each run of the test.
fn tell(cases: u32, check: impl Fn(bool, u8, bool, &[Op])) {
    let story =
        (prop::bool::weighted(0.8), 0..6u8, prop::bool::weighted(0.2), prop::collection::vec(op(), 1..300));
    let config = ProptestConfig { cases, failure_persistence: None, ..ProptestConfig::default() };
    let rng = TestRng::deterministic_rng(RngAlgorithm::ChaCha);
    let told = TestRunner::new_with_rng(config, rng).run(&story, |(sockets, transports, ask, ops)| {
        check(sockets, transports, ask, &ops);
        Ok(())
    });
    if let Err(error) = told {
        panic!("{error}");
    }
}

#[test]
fn any_order_of_calls_is_legal() {
    let total = RefCell::new(Seen::default());
    tell(300, |sockets, transports, ask, ops| {
        let mut run = Run::new(sockets, transports, ask);
        for op in ops {
            run.act(op);
            run.check();
        }
        let seen = run.finish();
        let mut total = total.borrow_mut();
        total.opened += seen.opened;
        total.joined += seen.joined;
        total.events += seen.events;
        total.answered += seen.answered;
        total.timed_out += seen.timed_out;
        total.disconnected += seen.disconnected;
        total.upgraded += seen.upgraded;
        total.gave_up += seen.gave_up;
        total.reasons.extend(seen.reasons);
    });
    // The stories are worth something only if they get far.
    let total = total.into_inner();
    let Seen { opened, joined, events, upgraded, gave_up, ref reasons, .. } = total;
    let enough = opened > 400 && joined > 300 && events > 500 && upgraded > 20 && gave_up > 1;
    let acks = total.answered > 20 && total.timed_out > 30 && total.disconnected > 30;
    assert!(enough && acks && reasons.len() >= 5, "{total:?}");
}

#[test]
fn the_same_inputs_give_the_same_outputs() {
    tell(60, |sockets, transports, ask, ops| {
        let [first, second] = [(); 2].map(|()| {
            let mut run = Run::new(sockets, transports, ask);
            for op in ops {
                run.act(op);
            }
            run.output
        });
        assert_eq!(first, second);
    });
}
