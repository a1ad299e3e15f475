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
use sansocket_protocol::socket::server::{SocketEvent, SocketKey};
use sansocket_protocol::time::Instant;
use std::collections::{BTreeMap, BTreeSet};
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
    Poll { method: u8 },
    Post { packets: Vec<usize> },
    BeginPost,
    Body { request: usize, packets: Vec<usize>, too_large: bool },
    Upgrade,
    Opened { request: usize },
    WebSocket { request: usize, packet: usize, binary: bool },
    WebSocketClosed { request: usize, error: bool },
    Aborted { request: usize },
    Time { to: i16 },
    Deadline,
    Unwritten { bytes: usize },
    Transmit { count: usize },
    Events { count: usize },
    Command { command: u8, socket: usize, number: usize },
    End { abort: bool },
}

fn op() -> impl Strategy<Value = Op> {
    let packets = || prop::collection::vec(0..PACKETS.len(), 0..4);
    let request = 0..12usize;
    prop_oneof![
        3 => (0..8u8).prop_map(|method| Op::Poll { method }),
        3 => packets().prop_map(|packets| Op::Post { packets }),
        1 => Just(Op::BeginPost),
        2 => (request.clone(), packets(), any::<bool>())
            .prop_map(|(request, packets, too_large)| Op::Body { request, packets, too_large }),
        1 => Just(Op::Upgrade),
        2 => request.clone().prop_map(|request| Op::Opened { request }),
        8 => (request.clone(), 0..PACKETS.len(), prop::bool::weighted(0.1))
            .prop_map(|(request, packet, binary)| Op::WebSocket { request, packet, binary }),
        1 => (request.clone(), any::<bool>()).prop_map(|(request, error)| Op::WebSocketClosed { request, error }),
        1 => request.prop_map(|request| Op::Aborted { request }),
        2 => (-50..400i16).prop_map(|to| Op::Time { to }),
        2 => Just(Op::Deadline),
        1 => (0..100_000usize).prop_map(|bytes| Op::Unwritten { bytes }),
        4 => (0..10usize).prop_map(|count| Op::Transmit { count }),
        4 => (0..10usize).prop_map(|count| Op::Events { count }),
        10 => (0..13u8, 0..6usize, 0..LARGEST_FRAME)
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
    awaited: BTreeSet<(SocketKey, u64)>,
    closed: bool,
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
            awaited: BTreeSet::new(),
            closed: false,
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
            let _ = connection.send(&Frame::text_message(&text));
        }
        if command == 1 {
            if number % 2 == 0 { connection.hold(None) } else { connection.release(None) }
        }
        let Some(&key) = self.sockets.iter().rev().nth(socket) else { return };
        let id = number as u64 % 5;
        match command {
            2..=4 => {
                let _ = connection.accept(key, "public");
            }
            5 => {
                let _ = connection.reject(key, "no", Some("{}"));
            }
            6 => {
                let _ = connection.emit(key, &Frame::event("/", "e", None, &text).unwrap());
            }
            7 => {
                let _ = connection.emit_volatile(key, &Frame::event("/", "e", None, &text).unwrap());
            }
            8 => {
                let frame = Frame::event("/", "e", Some(id), &()).unwrap();
                let deadline = self.now + Duration::from_millis(number as u64 / 4);
                if connection.emit_with_ack(key, &frame, id, deadline).is_ok() {
                    assert!(self.awaited.insert((key, id)), "an id that is awaited was taken again");
                }
            }
            9 => {
                let _ = connection.ack(key, &Frame::ack("/", id, &text).unwrap());
            }
            10 => {
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
            match transmit {
                Transmit::Respond { request, .. } | Transmit::Abort { request } => {
                    let asked = self.requests.insert(request, Asked::Done);
                    assert_ne!(asked, Some(Asked::Accepted), "a WebSocket was answered");
                    assert!(asked.is_some(), "nobody asked");
                }
                Transmit::AcceptWebSocket { request } => {
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
            match event {
                Event::Socket(SocketEvent::Connect { socket, .. }) => {
                    assert!(!self.sockets.contains(&socket), "a key was used again");
                    self.sockets.push(socket);
                }
                Event::Socket(SocketEvent::Event { socket, .. }) => {
                    assert!(self.sockets.contains(&socket));
                    assert!(!self.over.contains(&socket), "an event after the last");
                }
                Event::Socket(SocketEvent::Ack { socket, id, .. }) => {
                    assert!(self.awaited.remove(&(socket, id)), "nobody awaited it, or it was decided twice");
                }
                Event::Socket(SocketEvent::Disconnected { socket, .. }) => {
                    assert!(self.over.insert(socket), "it ended twice");
                }
                Event::Closed(_) => {
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
    fn finish(mut self) {
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

fn body(packets: &[usize]) -> Bytes {
    packets.iter().map(|at| PACKETS[*at]).collect::<Vec<_>>().join("\x1e").into()
}

#[test]
fn any_order_of_calls_is_legal() {
    let overflow = prop_oneof![Just(Overflow::Close), Just(Overflow::Fail), Just(Overflow::Drop)];
    let story = (prop::bool::weighted(0.8), any::<bool>(), overflow, prop::collection::vec(op(), 1..150));
    let config = ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() };
    let rng = TestRng::deterministic_rng(RngAlgorithm::ChaCha);
    let checked = TestRunner::new_with_rng(config, rng).run(&story, |(sockets, websocket, overflow, ops)| {
        let mut run = Run::new(sockets, websocket, overflow);
        for op in &ops {
            run.act(op);
            run.check();
        }
        run.finish();
        Ok(())
    });
    if let Err(error) = checked {
        panic!("{error}");
    }
}
