//! Any order of calls is legal. Random ones never panic, never run in circles, answer each request at most once,
//! decide each awaited acknowledgement exactly once, keep the queues bounded, and come to an end.

use bytes::Bytes;
use proptest::prelude::*;
use proptest::test_runner::{RngAlgorithm, TestRng, TestRunner};
use sansocket_protocol::engine::config::{Config, Overflow};
use sansocket_protocol::engine::packet::Message;
use sansocket_protocol::engine::request::{RequestHead, RequestId};
use sansocket_protocol::engine::server::{Body, Transmit};
use sansocket_protocol::error::CloseReason;
use sansocket_protocol::frame::Frame;
use sansocket_protocol::server::{Connection, Event};
use sansocket_protocol::socket;
use sansocket_protocol::socket::server::{AckOutcome, SocketEvent, SocketKey};
use sansocket_protocol::time::Instant;
use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Duration;

const SEND_BUDGET: usize = 4_000;
const MAX_PAYLOAD: usize = 1_000;
/// Small enough for every limit to be met.
const LARGEST_FRAME: usize = 1_500;
/// Replies to CONNECT and DISCONNECT do not pass the budget; a hundred operations make no more of them than this.
const REPLIES: usize = 150 * 80;

/// What peers send: whole packets, broken ones, and all that a state may or may not expect.
const PACKETS: [&str; 34] = [
    "40",
    "40",
    "40/a,",
    "40/b,{\"t\":1}",
    "41",
    "41/a,",
    "42[\"e\"]",
    "42[\"e\",1,{\"a\":[]}]",
    "42/a,[\"e\"]",
    "421[\"e\"]",
    "430[]",
    "431[1]",
    "432[]",
    "43/a,0[]",
    "451-[\"e\",{\"_placeholder\":true,\"num\":0}]",
    "461-0[{\"_placeholder\":true,\"num\":0}]",
    "bAQID",
    "bAQ==",
    "2",
    "2probe",
    "2probe",
    "3",
    "3",
    "5",
    "5",
    "6",
    "0",
    "1",
    "4",
    "",
    "9",
    "42[",
    "4hello",
    "42[\"connect\"]",
];

#[derive(Clone, Debug)]
enum Op {
    /// What an honest client may do next.
    Client {
        choice: u8,
        number: usize,
    },
    /// The owner's work: it writes and tells, and accepts who wants to join.
    Owner,
    /// The rest is out of place more often than not.
    Poll {
        method: u8,
    },
    Post {
        packets: Vec<usize>,
    },
    BeginPost,
    Body {
        request: usize,
        packets: Vec<usize>,
        too_large: bool,
    },
    Upgrade,
    Opened {
        request: usize,
    },
    WebSocket {
        request: usize,
        packet: usize,
        binary: bool,
    },
    WebSocketClosed {
        request: usize,
        error: bool,
    },
    Aborted {
        request: usize,
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
    let packets = || prop::collection::vec(0..PACKETS.len(), 0..4);
    let request = 0..12usize;
    prop_oneof![
        400 => (0..12u8, 0..LARGEST_FRAME).prop_map(|(choice, number)| Op::Client { choice, number }),
        150 => Just(Op::Owner),
        1 => (0..8u8).prop_map(|method| Op::Poll { method }),
        1 => packets().prop_map(|packets| Op::Post { packets }),
        1 => Just(Op::BeginPost),
        1 => (request.clone(), packets(), any::<bool>())
            .prop_map(|(request, packets, too_large)| Op::Body { request, packets, too_large }),
        1 => Just(Op::Upgrade),
        5 => request.clone().prop_map(|request| Op::Opened { request }),
        1 => (request.clone(), 0..PACKETS.len(), prop::bool::weighted(0.1))
            .prop_map(|(request, packet, binary)| Op::WebSocket { request, packet, binary }),
        1 => (request.clone(), any::<bool>()).prop_map(|(request, error)| Op::WebSocketClosed { request, error }),
        1 => request.prop_map(|request| Op::Aborted { request }),
        15 => (-50..200i16).prop_map(|to| Op::Time { to }),
        5 => Just(Op::Deadline),
        5 => (0..100_000usize).prop_map(|bytes| Op::Unwritten { bytes }),
        20 => (0..10usize).prop_map(|count| Op::Transmit { count }),
        20 => (0..10usize).prop_map(|count| Op::Events { count }),
        120 => (0..14u8, 0..4usize, 0..LARGEST_FRAME)
            .prop_map(|(command, socket, number)| Op::Command { command, socket, number }),
        1 => prop::bool::weighted(0.2).prop_map(|abort| Op::End { abort }),
    ]
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Asked {
    Answer,
    Accepted,
    Done,
}

struct Run {
    connection: Connection,
    now: Instant,
    requests: BTreeMap<RequestId, Asked>,
    sockets: Vec<SocketKey>,
    over: BTreeSet<SocketKey>,
    /// How many outcomes are to be told: an id may be used again once it is decided, told or not.
    awaited: BTreeMap<(SocketKey, u64), usize>,
    closed: bool,
    sockets_on: bool,
    namespaces: BTreeMap<SocketKey, String>,
    poll: Option<RequestId>,
    websocket: Option<RequestId>,
    seen: Seen,
    /// All that came out.
    output: String,
}

/// What the stories came by, so that they are known to be worth something.
#[derive(Debug, Default)]
struct Seen {
    joined: usize,
    events: usize,
    answered: usize,
    timed_out: usize,
    disconnected: usize,
    upgraded: usize,
    reasons: BTreeSet<&'static str>,
}

impl Run {
    fn new(sockets: bool, websocket: bool, overflow: Overflow) -> Self {
        let config = Config::default()
            .ping_interval(Duration::from_millis(300))
            .ping_timeout(Duration::from_millis(200))
            .upgrade_timeout(Duration::from_millis(500))
            .close_timeout(Duration::from_millis(700))
            .pause_timeout(Duration::from_millis(600))
            .max_payload(MAX_PAYLOAD)
            .send_budget(SEND_BUDGET)
            .receive_budget(1_000)
            .overflow(overflow);
        let layer = socket::config::Config::default()
            .max_namespaces(2)
            .max_attachments(1)
            .max_pending_acks(3)
            .connect_timeout(Duration::from_millis(900));
        let now = Instant::ZERO;
        let connection =
            Connection::new(now, Arc::new(config), "sid".into(), sockets.then(|| Arc::new(layer)));
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
            seen: Seen::default(),
            output: String::new(),
        };
        if websocket {
            let id = run.upgrade();
            run.transmit(1);
            run.connection.websocket_opened(now, id);
        } else {
            run.request("GET", "polling", &[]);
        }
        run
    }

    fn request(&mut self, method: &str, transport: &str, headers: &[(&str, &str)]) -> RequestId {
        let id = RequestId(self.requests.len() as u64);
        self.requests.insert(id, Asked::Answer);
        let target = format!("/engine.io/?EIO=4&sid=sid&transport={transport}");
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

    fn act(&mut self, op: &Op) {
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
                self.connection.handle_body(now, id, Body::Complete(body(packets)));
            }
            Op::BeginPost => {
                self.request("POST", "polling", &[]);
            }
            Op::Body { request, packets, too_large } => {
                let body = if *too_large { Body::TooLarge } else { Body::Complete(body(packets)) };
                self.connection.handle_body(now, self.pick(*request), body);
            }
            Op::Upgrade => {
                self.upgrade();
            }
            Op::Opened { request } => self.connection.websocket_opened(now, self.pick(*request)),
            Op::WebSocket { request, packet, binary } => {
                let bytes = Bytes::from_static(PACKETS[*packet].as_bytes());
                let message = if *binary { Message::Binary(bytes) } else { Message::Text(bytes) };
                self.connection.handle_websocket(now, self.pick(*request), message);
            }
            Op::WebSocketClosed { request, error } => {
                self.connection.websocket_closed(now, self.pick(*request), error.then_some(1002));
            }
            Op::Aborted { request } => {
                let id = self.pick(*request);
                self.connection.request_aborted(now, id);
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

    /// What an honest client may do next.
    fn client(&mut self, choice: u8, number: usize) {
        let polling = self.connection.transport_name() == "polling";
        let joined: Vec<_> = self.sockets.iter().filter(|key| self.connection.is_connected(**key)).collect();
        let socket = joined.get(number % joined.len().max(1)).map(|key| **key);
        let namespace = socket.map_or("", |key| match &*self.namespaces[&key] {
            "/" => "",
            name => name,
        });
        let namespace = if namespace.is_empty() { String::new() } else { format!("{namespace},") };
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
                self.connection.websocket_opened(self.now, id);
                return;
            }
            2 | 3 if polling => {
                if let Some(websocket) = self.websocket {
                    let packet = Bytes::from_static(if choice == 2 { b"5" } else { b"2probe" });
                    self.connection.handle_websocket(self.now, websocket, Message::Text(packet));
                }
                return;
            }
            4 => "3".to_string(),
            _ if !self.sockets_on => format!("4{}", "x".repeat(number % MAX_PAYLOAD)),
            _ if socket.is_none() || choice == 5 && joined.len() < 2 => {
                let taken = self.sockets.iter().filter(|key| !self.over.contains(key));
                let taken: BTreeSet<_> = taken.map(|key| &*self.namespaces[key]).collect();
                match ["/", "/a"].into_iter().find(|name| !taken.contains(name)) {
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
                self.connection.handle_body(self.now, id, Body::Complete(packet));
            }
        } else if let (Some(websocket), true) = (self.websocket, self.connection.wants_read()) {
            self.connection.handle_websocket(self.now, websocket, Message::Text(packet));
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
                let _ = connection.reject(key, "no", Some("{}"));
            }
            6 => {
                let _ = connection.emit(key, Frame::event("/", "e", None, &text).unwrap());
            }
            7 => {
                let _ = connection.emit_volatile(key, Frame::event("/", "e", None, &text).unwrap());
            }
            8 | 13 => {
                let frame = Frame::event("/", "e", Some(id), &()).unwrap();
                let deadline = self.now + Duration::from_millis(number as u64 / 8);
                if connection.emit_with_ack(key, &frame, id, deadline).is_ok() {
                    *self.awaited.entry((key, id)).or_default() += 1;
                }
            }
            9 => {
                let _ = connection.ack(key, Frame::ack("/", id, &text).unwrap());
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
            let _ = writeln!(self.output, "{transmit:?}");
            match transmit {
                Transmit::Respond { request, .. } | Transmit::Abort { request } => {
                    let asked = self.requests.insert(request, Asked::Done);
                    assert_ne!(asked, Some(Asked::Accepted), "a WebSocket was answered");
                    assert!(asked.is_some(), "nobody asked");
                }
                Transmit::AcceptWebSocket { request } => {
                    self.websocket = Some(request);
                    let asked = self.requests.insert(request, Asked::Accepted);
                    assert_ne!(asked, Some(Asked::Accepted), "it was accepted twice");
                }
                Transmit::Write { websocket, .. } => assert!(self.requests.contains_key(&websocket)),
                Transmit::CloseWebSocket { .. } => {}
                other => panic!("{other:?}"),
            }
        }
    }

    fn events(&mut self, count: usize) {
        for _ in 0..count {
            let Some(event) = self.connection.poll_event() else { return };
            let _ = writeln!(self.output, "{event:?}");
            match event {
                Event::Socket(SocketEvent::Connect { socket, namespace, .. }) => {
                    assert!(!self.sockets.contains(&socket), "a key was used again");
                    self.namespaces.insert(socket, namespace.to_string());
                    self.sockets.push(socket);
                }
                Event::Socket(SocketEvent::Event { socket, .. }) => {
                    self.seen.events += 1;
                    assert!(self.sockets.contains(&socket));
                    assert!(!self.over.contains(&socket), "an event after the last");
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
                Event::Socket(SocketEvent::Disconnected { socket, .. }) => {
                    assert!(self.over.insert(socket), "it ended twice");
                }
                Event::Upgraded => self.seen.upgraded += 1,
                Event::Closed(closed) => {
                    self.seen.reasons.insert(closed.reason.as_str());
                    assert!(!self.closed, "it closed twice");
                    self.closed = true;
                }
                _ => {}
            }
        }
    }

    fn check(&mut self) {
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

    /// Whatever has happened: an abort ends it, once the handlers have finished.
    fn finish(mut self) -> Seen {
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
        self.seen
    }
}

fn body(packets: &[usize]) -> Bytes {
    packets.iter().map(|at| PACKETS[*at]).collect::<Vec<_>>().join("\x1e").into()
}

/// Tells random stories, the same ones at each run of the test.
fn tell(cases: u32, check: impl Fn(bool, bool, Overflow, &[Op])) {
    let overflow = prop_oneof![Just(Overflow::Close), Just(Overflow::Fail), Just(Overflow::Drop)];
    let story = (prop::bool::weighted(0.8), any::<bool>(), overflow, prop::collection::vec(op(), 1..250));
    let config = ProptestConfig { cases, failure_persistence: None, ..ProptestConfig::default() };
    let rng = TestRng::deterministic_rng(RngAlgorithm::ChaCha);
    let told = TestRunner::new_with_rng(config, rng).run(&story, |(sockets, websocket, overflow, ops)| {
        check(sockets, websocket, overflow, &ops);
        Ok(())
    });
    if let Err(error) = told {
        panic!("{error}");
    }
}

#[test]
fn any_order_of_calls_is_legal() {
    let total = RefCell::new(Seen::default());
    tell(300, |sockets, websocket, overflow, ops| {
        let mut run = Run::new(sockets, websocket, overflow);
        for op in ops {
            run.act(op);
            run.check();
        }
        let seen = run.finish();
        let mut total = total.borrow_mut();
        total.joined += seen.joined;
        total.events += seen.events;
        total.answered += seen.answered;
        total.timed_out += seen.timed_out;
        total.disconnected += seen.disconnected;
        total.upgraded += seen.upgraded;
        total.reasons.extend(seen.reasons);
    });
    // The stories are worth something only if they get far.
    let total = total.into_inner();
    let Seen { joined, events, answered, timed_out, disconnected, upgraded, ref reasons } = total;
    let enough = joined > 500 && events > 500 && upgraded > 5 && reasons.len() >= 7;
    assert!(enough && answered > 30 && timed_out > 30 && disconnected > 30, "{total:?}");
}

#[test]
fn the_same_inputs_give_the_same_outputs() {
    tell(60, |sockets, websocket, overflow, ops| {
        let [first, second] = [(); 2].map(|()| {
            let mut run = Run::new(sockets, websocket, overflow);
            for op in ops {
                run.act(op);
            }
            run.output
        });
        assert_eq!(first, second);
    });
}
