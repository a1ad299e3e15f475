//! A client, a server and the link between them; time jumps.

use crate::wire::{Flight, Item, Wire};
use bytes::Bytes;
use sansocket_protocol::client;
use sansocket_protocol::client::{ClientEvent, ClientState, Manager};
use sansocket_protocol::engine::EngineError;
use sansocket_protocol::engine::EngineServerConfig;
use sansocket_protocol::engine::{Body, ServerTransmit, Wants};
use sansocket_protocol::engine::{ClientTransmit, EngineClientConfig, Method, TransportKind};
use sansocket_protocol::engine::{RequestHead, RequestId};
use sansocket_protocol::random::Random;
use sansocket_protocol::server::{Connection, Route, Router, ServerEvent};
use sansocket_protocol::socket::Parser;
use sansocket_protocol::socket::ServerSocketEvent;
use sansocket_protocol::socket::{AuthSource, ClientSocketEvent, SocketClientConfig, SocketKey};
use sansocket_protocol::time::Instant;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

const PING_MS: u64 = 2000;
const PONG_MS: u64 = 1000;
const OPEN_MS: u64 = 4000;
/// The longest delay between two tries, as by default.
const BACKOFF_MS: u64 = 5000;
/// Longer than any exchange without a deadline takes.
const SLACK_MS: u64 = 1500;
const LIVELOCK: usize = 200_000;

/// A way in which the link breaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Cut {
    /// Both ends are told.
    Broken,
    /// Nobody is told: nothing arrives any more.
    Silent,
    OnlyClientKnows,
    OnlyServerKnows,
    /// As `Broken`, and the server has forgotten everything.
    Restart,
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct Plan {
    pub(crate) transports: &'static [TransportKind],
    pub(crate) seed: u64,
    pub(crate) cut: Cut,
    /// The time after the cut during which nothing can be reached.
    pub(crate) down_ms: u64,
    /// After which step.
    pub(crate) at: Option<usize>,
    /// And how often after that, each time after so many steps.
    pub(crate) again: Option<(usize, usize)>,
}

pub(crate) struct Pair {
    plan: Plan,
    now: Instant,
    client: Manager,
    socket: SocketKey,
    config: Arc<EngineServerConfig>,
    router: Router<usize>,
    connections: Vec<Option<Connection>>,
    ids: Vec<Arc<str>>,
    wire: Wire,
    /// The requests that the client waits for, and whether each is a WebSocket.
    asked: BTreeMap<RequestId, bool>,
    /// The requests that the server holds, each with its connection and whether it is a WebSocket.
    held: BTreeMap<RequestId, (usize, bool)>,
    /// Channels on which nothing arrives any more.
    dead: BTreeSet<RequestId>,
    down_until: Instant,
    cut_at: Option<Instant>,
    /// The loss that the cut has brought about.
    lost_at: Option<Instant>,
    back_at: Option<Instant>,
    accepted: usize,
    joined: Vec<(usize, SocketKey)>,
    // What was sent by numbers, and what has arrived.
    next: u64,
    plain: Vec<u64>,
    reliable: Vec<u64>,
    /// Must arrive: emitted when nothing could be lost any more.
    safe: Vec<u64>,
    server_got: Vec<u64>,
    client_got: Vec<u64>,
    client_acks: BTreeMap<u64, usize>,
    server_acks: BTreeMap<(usize, u64), usize>,
    server_sent: u64,
    was_connected: bool,
}

impl Pair {
    /// Plays the scenario, and returns how many steps it took.
    pub(crate) fn run(plan: Plan) -> usize {
        let config = EngineServerConfig::default()
            .path("/socket.io")
            .ping_interval(Duration::from_millis(PING_MS))
            .ping_timeout(Duration::from_millis(PONG_MS));
        let engine = EngineClientConfig::default()
            .path("/socket.io")
            .transports(plan.transports.iter().copied())
            .open_timeout(Duration::from_millis(OPEN_MS));
        let sockets = SocketClientConfig::default().retries(100).ack_timeout(Duration::from_secs(3));
        let mut client = Manager::new(
            Arc::new(client::ReconnectConfig::default()),
            Arc::new(engine),
            Random::new([u8::try_from(plan.seed % 256).unwrap(); 32]),
            Some(Arc::new(sockets)),
        );
        let config = Arc::new(config);
        let socket = client.add("/", AuthSource::None).unwrap();
        let mut pair = Self {
            plan,
            now: Instant::ZERO,
            client,
            socket,
            router: Router::new(config.clone(), Random::new([9; 32])),
            config,
            connections: Vec::new(),
            ids: Vec::new(),
            wire: Wire::new(plan.seed),
            asked: BTreeMap::new(),
            held: BTreeMap::new(),
            dead: BTreeSet::new(),
            down_until: Instant::ZERO,
            cut_at: None,
            lost_at: None,
            back_at: None,
            accepted: 0,
            joined: Vec::new(),
            next: 0,
            plain: Vec::new(),
            reliable: Vec::new(),
            safe: Vec::new(),
            server_got: Vec::new(),
            client_got: Vec::new(),
            client_acks: BTreeMap::new(),
            server_acks: BTreeMap::new(),
            server_sent: 0,
            was_connected: false,
        };
        let steps = pair.play();
        pair.judge();
        steps
    }

    fn play(&mut self) -> usize {
        self.client.connect(self.now, self.socket);
        self.pump();
        let mut step = 0;
        // Twenty things to do, one every third step, and then a while for what is on its way.
        let mut quiet_until = None;
        let mut cut_after = None;
        loop {
            let (times, distance) = self.plan.again.unwrap_or((0, 1));
            let cuts =
                |at: usize| step >= at && (step - at) % distance == 0 && (step - at) / distance <= times;
            if self.plan.at.is_some_and(cuts) && cut_after != Some(step) {
                cut_after = Some(step);
                self.cut();
            }
            if step % 3 == 0 && step / 3 < 20 {
                self.act(step / 3);
            }
            if step / 3 >= 20 && self.wire.is_empty() {
                let end = *quiet_until.get_or_insert(self.now + Duration::from_millis(2 * PING_MS));
                if self.now >= end {
                    break;
                }
                self.wait(end);
                if self.wire.is_empty() {
                    continue;
                }
            }
            self.step();
            step += 1;
            assert!(step < LIVELOCK, "{:?}: livelock", self.plan);
        }
        let patience = PING_MS + PONG_MS + OPEN_MS + 2 * BACKOFF_MS + SLACK_MS;
        let end = self.down_until.max(self.now) + Duration::from_millis(patience);
        self.settle(end);
        step
    }

    /// One thing arrives, three milliseconds pass.
    fn step(&mut self) {
        if let Some(flight) = self.wire.pop() {
            self.arrive(flight);
            self.pump();
        }
        self.wait(self.now + Duration::from_millis(3));
    }

    /// Lets everything arrive, and time pass.
    fn settle(&mut self, end: Instant) {
        for _ in 0..LIVELOCK {
            if !self.wire.is_empty() {
                self.step();
            } else if self.now < end {
                self.wait(end);
            } else {
                return;
            }
        }
        panic!("{:?}: livelock", self.plan);
    }

    /// Time passes up to `end`, or until something is on its way.
    fn wait(&mut self, end: Instant) {
        for _ in 0..LIVELOCK {
            let client = self.client.poll_timeout();
            let servers = self.connections.iter().flatten().filter_map(Connection::poll_timeout);
            let due = servers.chain(client).min().filter(|due| *due <= end);
            let Some(due) = due else {
                self.now = self.now.max(end);
                return;
            };
            let before = self.wire.is_empty();
            self.now = self.now.max(due);
            if client == Some(due) {
                self.client.handle_timeout(self.now);
                assert!(
                    self.client.poll_timeout().is_none_or(|next| next > self.now) || self.client.has_output(),
                    "{:?}: a deadline stays",
                    self.plan
                );
            }
            for connection in self.connections.iter_mut().flatten() {
                connection.handle_timeout(self.now);
            }
            self.pump();
            if before && !self.wire.is_empty() {
                return;
            }
        }
        panic!("{:?}: livelock", self.plan);
    }

    // --- the scenario -------------------------------------------------------------------------------------------

    fn act(&mut self, number: usize) {
        match number % 5 {
            0 | 3 => self.emit(false),
            1 => self.emit(true),
            2 => self.emit_reliably(),
            _ => {}
        }
        if number % 2 == 1 {
            self.server_emits();
        }
        self.pump();
    }

    fn emit(&mut self, ack: bool) {
        let (now, number) = (self.now, self.next);
        self.next += 1;
        // Binary, so that a cut can fall between a header and its attachment.
        let data = Bytes::copy_from_slice(&number.to_be_bytes());
        let id = ack.then_some(number);
        let frame = Parser::json().event("/", "e", id, &(number, data)).unwrap();
        if ack {
            let deadline = now + Duration::from_secs(8);
            self.client.emit_with_ack(now, self.socket, &frame, number, deadline).unwrap();
            self.client_acks.insert(number, 0);
        } else {
            self.client.emit(now, self.socket, &frame).unwrap();
            let cannot_be_lost = self.lost_at.is_some() || self.cut_at.is_some() && !self.was_connected;
            if cannot_be_lost && self.plan.again.is_none() {
                self.safe.push(number);
            }
        }
        self.plain.push(number);
    }

    fn emit_reliably(&mut self) {
        let (now, number) = (self.now, self.next);
        self.next += 1;
        let frame = Parser::json().event("/", "e", Some(number), &(number,)).unwrap();
        self.client.emit_reliably(now, self.socket, frame, number).unwrap();
        self.client_acks.insert(number, 0);
        self.reliable.push(number);
    }

    /// One event for each socket, and one that asks.
    fn server_emits(&mut self) {
        for (key, socket) in self.joined.clone() {
            let Some(connection) = &mut self.connections[key] else { continue };
            let number = self.server_sent;
            self.server_sent += 2;
            let data = Bytes::copy_from_slice(&number.to_be_bytes());
            let _ = connection.emit(socket, Parser::json().event("/", "s", None, &(number, data)).unwrap());
            let id = number + 1;
            let frame = Parser::json().event("/", "s", Some(id), &(id,)).unwrap();
            let deadline = self.now + Duration::from_secs(8);
            if connection.emit_with_ack(socket, &frame, id, deadline).is_ok() {
                self.server_acks.insert((key, id), 0);
            }
        }
    }

    fn cut(&mut self) {
        self.cut_at = Some(self.now);
        self.down_until = self.now + Duration::from_millis(self.plan.down_ms);
        self.wire.clear();
        let cut = self.plan.cut;
        self.dead.extend(self.asked.keys().chain(self.held.keys()));
        if matches!(cut, Cut::Broken | Cut::Restart | Cut::OnlyServerKnows) {
            for (id, (key, websocket)) in std::mem::take(&mut self.held) {
                if let Some(connection) = &mut self.connections[key] {
                    if websocket {
                        connection.handle_websocket_closed(self.now, id, Some(1006));
                    } else {
                        connection.handle_request_aborted(self.now, id);
                    }
                }
            }
        }
        if cut == Cut::Restart {
            self.connections.iter_mut().for_each(|connection| *connection = None);
            self.router = Router::new(self.config.clone(), Random::new([8; 32]));
            self.joined.clear();
            self.server_acks.clear();
        }
        if matches!(cut, Cut::Broken | Cut::Restart | Cut::OnlyClientKnows) {
            for id in self.asked.keys().copied().collect::<Vec<_>>() {
                // The first of them makes the client give up the others.
                let Some(websocket) = self.asked.remove(&id) else { continue };
                if websocket {
                    self.client.handle_websocket_closed(self.now, id, Some(1006));
                } else {
                    self.client.handle_request_failed(self.now, id, EngineError::RequestFailed);
                }
                self.pump();
            }
        }
        self.pump();
    }

    // --- the link -----------------------------------------------------------------------------------------------

    fn send(&mut self, id: RequestId, to_server: bool, item: Item) {
        let is_new = matches!(item, Item::Request { .. } | Item::OpenWebSocket { .. });
        if is_new && self.now < self.down_until {
            match self.plan.cut {
                Cut::Broken | Cut::Restart => self.wire.push(id, false, Item::Failed),
                Cut::Silent | Cut::OnlyClientKnows | Cut::OnlyServerKnows => {
                    self.dead.insert(id);
                }
            }
        } else if !self.dead.contains(&id) {
            self.wire.push(id, to_server, item);
        }
    }

    fn arrive(&mut self, flight: Flight) {
        let Flight { id, to_server, item } = flight;
        let now = self.now;
        match (to_server, item) {
            (true, Item::Request { method, target, body }) => self.request(id, method, &target, body, &[]),
            (true, Item::OpenWebSocket { target }) => {
                let headers = [("connection", "Upgrade"), ("upgrade", "websocket")];
                self.request(id, "GET", &target, Bytes::new(), &headers);
            }
            (true, item) => {
                let Some(&(key, websocket)) = self.held.get(&id) else { return };
                let Some(connection) = &mut self.connections[key] else { return };
                match item {
                    Item::Message(message) => connection.handle_websocket(now, id, message),
                    _ if websocket => connection.handle_websocket_closed(now, id, None),
                    _ => connection.handle_request_aborted(now, id),
                }
            }
            (false, item) => {
                if !self.asked.contains_key(&id) {
                    return;
                }
                if !matches!(item, Item::Opened | Item::Message(_)) {
                    self.asked.remove(&id);
                }
                match item {
                    Item::Response { status, body } => self.client.handle_response(now, id, status, body),
                    Item::Opened => self.client.handle_websocket_opened(now, id),
                    Item::Message(message) => self.client.handle_websocket(now, id, message),
                    Item::Close => self.client.handle_websocket_closed(now, id, None),
                    _ => self.client.handle_request_failed(now, id, EngineError::RequestFailed),
                }
            }
        }
    }

    fn request(&mut self, id: RequestId, method: &str, target: &str, body: Bytes, headers: &[(&str, &str)]) {
        let now = self.now;
        let head = RequestHead { method, target, headers: &headers };
        let key = match self.router.route(&head) {
            Route::Reply(response) => {
                return self.send(id, false, Item::Response { status: response.status, body: response.body });
            }
            Route::Open(grant) => {
                let key = self.connections.len();
                let sid = self.router.register(None, |_| key).unwrap();
                let connection = Connection::new(
                    now,
                    grant.revision,
                    self.config.clone(),
                    sid.clone(),
                    Some(Arc::default()),
                );
                self.connections.push(Some(connection));
                self.ids.push(sid);
                key
            }
            Route::Session(key) => key,
            other => panic!("{other:?}"),
        };
        self.held.insert(id, (key, false));
        let connection = self.connections[key].as_mut().expect("listed, so not finished");
        if let Wants::Body { limit } = connection.handle_request(now, id, &head) {
            let body = if body.len() > limit { Body::TooLarge } else { Body::Complete(body) };
            connection.handle_body(now, id, body);
        }
    }

    // --- both ends ----------------------------------------------------------------------------------------------

    fn pump(&mut self) {
        for _ in 0..LIVELOCK {
            let mut idle = true;
            while let Some(transmit) = self.client.poll_transmit() {
                idle = false;
                self.client_wants(transmit);
            }
            self.client.handle_unwritten(0);
            while let Some(event) = self.client.poll_event() {
                idle = false;
                self.client_hears(event);
            }
            for key in 0..self.connections.len() {
                idle &= !self.pump_server(key);
            }
            if idle && !self.client.has_output() {
                return;
            }
        }
        panic!("{:?}: livelock", self.plan);
    }

    fn client_wants(&mut self, transmit: ClientTransmit) {
        match transmit {
            ClientTransmit::Request { request, method, target, body, .. } => {
                let method = if method == Method::Get { "GET" } else { "POST" };
                self.asked.insert(request, false);
                self.send(request, true, Item::Request { method, target, body });
            }
            ClientTransmit::OpenWebSocket { websocket, target } => {
                self.asked.insert(websocket, true);
                self.send(websocket, true, Item::OpenWebSocket { target });
            }
            ClientTransmit::Abort { request } => {
                assert!(self.asked.remove(&request).is_some(), "{:?}: {request:?} is over", self.plan);
                self.send(request, true, Item::Abort);
            }
            ClientTransmit::Write { websocket, message, .. } => {
                self.send(websocket, true, Item::Message(message));
            }
            ClientTransmit::CloseWebSocket { websocket, .. } => {
                assert!(self.asked.remove(&websocket).is_some(), "{:?}: {websocket:?} is over", self.plan);
                self.send(websocket, true, Item::Close);
            }
            other => panic!("{other:?}"),
        }
    }

    fn client_hears(&mut self, event: ClientEvent) {
        let now = self.now;
        let ClientEvent::Socket(event) = event else { return };
        match event {
            ClientSocketEvent::Connected { .. } => {
                self.was_connected = true;
                if self.cut_at.is_some() {
                    self.back_at.get_or_insert(now);
                }
            }
            ClientSocketEvent::Disconnected { reason, .. } => {
                assert!(
                    self.plan.at.is_some() || reason.as_str() == "io client disconnect",
                    "{:?}: {reason}",
                    self.plan
                );
                if self.cut_at.is_some() {
                    self.lost_at.get_or_insert(now);
                    if self.lost_at == Some(now) {
                        self.back_at = None;
                    }
                }
            }
            ClientSocketEvent::Event { args, ack, .. } => {
                self.client_got.push(args.get(0).unwrap());
                if let Some(id) = ack {
                    let _ = self.client.ack(now, self.socket, Parser::json().ack("/", id, &()).unwrap());
                }
            }
            ClientSocketEvent::Ack { id, .. } => {
                *self.client_acks.get_mut(&id).expect("an id that was asked") += 1;
            }
            other => panic!("{other:?}"),
        }
    }

    /// Returns whether there was anything to do.
    fn pump_server(&mut self, key: usize) -> bool {
        let Some(mut connection) = self.connections[key].take() else { return false };
        let mut busy = false;
        loop {
            if let Some(transmit) = connection.poll_transmit() {
                busy = true;
                match transmit {
                    ServerTransmit::Respond { request, response } => {
                        self.held.remove(&request);
                        let item = Item::Response { status: response.status, body: response.body };
                        self.send(request, false, item);
                    }
                    ServerTransmit::Abort { request } => {
                        self.held.remove(&request);
                        self.send(request, false, Item::Failed);
                    }
                    ServerTransmit::AcceptWebSocket { request } => {
                        self.held.insert(request, (key, true));
                        self.send(request, false, Item::Opened);
                        connection.handle_websocket_opened(self.now, request);
                    }
                    ServerTransmit::Write { websocket, message, .. } => {
                        self.send(websocket, false, Item::Message(message))
                    }
                    ServerTransmit::CloseWebSocket { websocket, .. } => {
                        self.held.remove(&websocket);
                        self.send(websocket, false, Item::Close);
                    }
                    other => panic!("{other:?}"),
                }
                connection.handle_unwritten(self.now, 0);
                continue;
            }
            let Some(event) = connection.poll_event() else { break };
            busy = true;
            self.server_hears(key, &mut connection, event);
        }
        if !connection.is_listed() {
            self.router.remove(&self.ids[key]);
        }
        if !connection.is_finished() {
            self.connections[key] = Some(connection);
        }
        busy
    }

    fn server_hears(&mut self, key: usize, connection: &mut Connection, event: ServerEvent) {
        let ServerEvent::Socket(event) = event else { return };
        match event {
            ServerSocketEvent::Connect { socket, .. } => {
                self.accepted += 1;
                let _ = connection.accept(socket, &format!("S{}", self.accepted));
                self.joined.push((key, socket));
            }
            ServerSocketEvent::Event { socket, args, ack } => {
                let number: u64 = args.get(0).unwrap();
                if let [data] = args.attachments() {
                    assert_eq!(
                        **data,
                        number.to_be_bytes(),
                        "{:?}: an attachment of another event",
                        self.plan
                    );
                }
                self.server_got.push(number);
                if let Some(id) = ack {
                    let _ = connection.ack(socket, Parser::json().ack("/", id, &(number,)).unwrap());
                }
            }
            ServerSocketEvent::Ack { id, .. } => {
                *self.server_acks.get_mut(&(key, id)).expect("an id that was asked") += 1;
            }
            ServerSocketEvent::Disconnected { socket, .. } => {
                self.joined.retain(|joined| *joined != (key, socket))
            }
            other => panic!("{other:?}"),
        }
    }

    // --- the judgement ------------------------------------------------------------------------------------------

    fn judge(&mut self) {
        let plan = self.plan;
        assert_eq!(self.client.status(), ClientState::Open, "{plan:?}");
        assert!(self.client.is_connected(self.socket), "{plan:?}: it is not connected");
        let listed = self.router.len();
        assert_eq!(listed, 1, "{plan:?}: sessions that the client has left behind");
        assert_eq!(self.joined.len(), 1, "{plan:?}");
        if let (Some(lost), Some(back), None) = (self.lost_at, self.back_at, plan.again) {
            let from = lost.max(self.down_until);
            let limit = BACKOFF_MS + SLACK_MS + if plan.cut == Cut::Broken { 0 } else { OPEN_MS };
            assert!(back - from <= Duration::from_millis(limit), "{plan:?}: back after {:?}", back - from);
        }

        let arrived: BTreeSet<u64> = self.server_got.iter().copied().collect();
        let plain: Vec<_> =
            self.server_got.iter().copied().filter(|number| self.plain.contains(number)).collect();
        assert!(plain.is_sorted_by(|a, b| a < b), "{plan:?}: twice, or out of order: {plain:?}");
        let first_tries =
            self.reliable.iter().map(|number| self.server_got.iter().position(|got| got == number));
        let first_tries: Vec<_> = first_tries.map(|at| at.unwrap_or(usize::MAX)).collect();
        assert!(first_tries.is_sorted(), "{plan:?}: {:?}", self.server_got);
        for number in self.reliable.iter().chain(&self.safe) {
            assert!(arrived.contains(number), "{plan:?}: {number} was lost: {:?}", self.server_got);
        }
        if plan.at.is_none() {
            assert_eq!(arrived.len() as u64, self.next, "{plan:?}");
            assert_eq!(self.server_got.len() as u64, self.next, "{plan:?}");
            assert_eq!(self.client_got.len() as u64, self.server_sent, "{plan:?}");
            assert!(self.client.transport() == self.plan.transports.last().copied());
        }
        let got = &self.client_got;
        assert!(got.is_sorted_by(|a, b| a < b), "{plan:?}: twice, or out of order: {got:?}");
        let twice_or_never = |(_, times): (_, &usize)| *times != 1;
        assert!(
            !self.client_acks.iter().any(|(id, times)| twice_or_never((id, times))),
            "{plan:?}: {:?}",
            self.client_acks
        );
        assert!(!self.server_acks.values().any(|times| *times != 1), "{plan:?}: {:?}", self.server_acks);

        self.client.close(self.now);
        self.pump();
        self.settle(self.now + Duration::from_millis(PING_MS + PONG_MS + SLACK_MS));
        assert!(
            self.client.is_finished() && self.client.poll_timeout().is_none(),
            "{plan:?}: {:?}",
            self.client
        );
        assert!(self.router.is_empty(), "{plan:?}");
        assert!(self.connections.iter().all(Option::is_none), "{plan:?}");
        assert!(self.asked.is_empty(), "{plan:?}: {:?}", self.asked);
        assert_eq!(self.client.buffered(), 0, "{plan:?}");
    }
}
