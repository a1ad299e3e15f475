//! A server in memory: a router, its connections and a clock that jumps. Tests read like traffic.
//!
//! Notation: a WebSocket text message is its text, a binary one is hex in angle brackets (`<010203>`). The session id
//! is written `SID`, in requests and answers alike. Each thing that the application hears is a line of text: `connect /
//! auth={"token":"123"}`, `event / ["message",1] ack=7`, `ack / 0 [1]`, `ack / 0 timeout`, `disconnect / transport
//! close`, `message hello`, `upgraded`, `closed ping timeout`, and after a `|` what the peer did wrong.

// Every test file uses its own part of this.
#![allow(dead_code, unreachable_pub, unused_imports)]

mod notation;

pub use notation::{event, event_with_id, ms, quick};

use bytes::Bytes;
use notation::{hex, message, show};
use sansocket_protocol::engine::EngineServerConfig;
use sansocket_protocol::engine::{Body, ServerTransmit, Wants};
use sansocket_protocol::engine::{RequestHead, RequestId, Response};
use sansocket_protocol::message::Frame;
use sansocket_protocol::message::WireMessage;
use sansocket_protocol::random::Random;
use sansocket_protocol::server::{Connection, Route, Router, ServerEvent};
use sansocket_protocol::socket::{AckOutcome, ServerSocketEvent, SocketKey};
use sansocket_protocol::time::Instant;
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::rc::Rc;
use std::sync::Arc;

/// More rounds than any honest exchange takes: the machine would be running in circles.
const LIVELOCK: usize = 100_000;

/// The application: called with each event as it hears it.
type Application = Box<dyn FnMut(&mut Connection, &ServerEvent)>;

enum Answer {
    Awaited,
    Body(usize),
    Response(Response),
    Aborted,
    WebSocket { received: Vec<WireMessage>, closed: Option<Option<u16>> },
}

struct World {
    now: Instant,
    config: Arc<EngineServerConfig>,
    sockets: Option<Arc<sansocket_protocol::socket::SocketServerConfig>>,
    router: Router<usize>,
    connections: Vec<Option<Connection>>,
    ids: Vec<Arc<str>>,
    owners: BTreeMap<RequestId, usize>,
    answers: BTreeMap<RequestId, Answer>,
    names: BTreeMap<(usize, SocketKey), String>,
    joined: BTreeMap<String, SocketKey>,
    heard: Vec<String>,
    application: Option<Application>,
    listens: bool,
    writes: bool,
    unwritten: usize,
}

/// The server under test. A clone is the same server.
#[derive(Clone)]
pub struct Server(Rc<RefCell<World>>);

/// A request that is on its way.
#[must_use]
pub struct Request {
    server: Server,
    id: RequestId,
}

/// The client's end of a WebSocket.
pub struct WebSocket {
    server: Server,
    id: RequestId,
}

impl Server {
    /// Plain Engine.IO.
    pub fn engine(config: EngineServerConfig) -> Self {
        Self::make(config, None)
    }

    /// Socket.IO.
    pub fn socketio(
        config: EngineServerConfig,
        sockets: sansocket_protocol::socket::SocketServerConfig,
    ) -> Self {
        Self::make(config, Some(Arc::new(sockets)))
    }

    fn make(
        config: EngineServerConfig,
        sockets: Option<Arc<sansocket_protocol::socket::SocketServerConfig>>,
    ) -> Self {
        let config = Arc::new(config);
        Self(Rc::new(RefCell::new(World {
            now: Instant::ZERO,
            router: Router::new(config.clone(), Random::new([9; 32])),
            config,
            sockets,
            connections: Vec::new(),
            ids: Vec::new(),
            owners: BTreeMap::new(),
            answers: BTreeMap::new(),
            names: BTreeMap::new(),
            joined: BTreeMap::new(),
            heard: Vec::new(),
            application: None,
            listens: true,
            writes: true,
            unwritten: 0,
        })))
    }

    /// Lets an application hear every event; it may use the connection.
    pub fn application(self, application: impl FnMut(&mut Connection, &ServerEvent) + 'static) -> Self {
        self.0.borrow_mut().application = Some(Box::new(application));
        self
    }

    /// An application that accepts every namespace, under the public ids `S1`, `S2` ...
    pub fn accepting(self) -> Self {
        let mut accepted = 0;
        self.application(move |connection, event| {
            if let ServerEvent::Socket(ServerSocketEvent::Connect { socket, .. }) = event {
                accepted += 1;
                connection.accept(*socket, &format!("S{accepted}")).expect("it is connecting");
            }
        })
    }

    // --- traffic ------------------------------------------------------------------------------------------------

    fn path(&self) -> String {
        self.0.borrow().config.path.clone()
    }

    /// Sends the head of a request. `SID` in the query stands for the newest session's id.
    pub fn request(&self, method: &str, query: &str, headers: &[(&str, &str)]) -> Request {
        let path = self.path();
        let mut world = self.0.borrow_mut();
        let sid = world.ids.last().cloned().unwrap_or_else(|| "none".into());
        let target = format!("{path}{}", query.replace("SID", &sid));
        let head = RequestHead { method, target: &target, headers: &headers };
        let id = RequestId(world.answers.len() as u64 + 1);
        world.answers.insert(id, Answer::Awaited);
        let owner = match world.router.route(&head) {
            Route::Reply(response) => {
                world.respond(id, response);
                None
            }
            Route::Open(grant) => {
                let key = world.connections.len();
                match world.router.register(None, |_| key) {
                    Ok(sid) => {
                        let connection = Connection::new(
                            world.now,
                            grant.revision,
                            world.config.clone(),
                            sid.clone(),
                            world.sockets.clone(),
                        );
                        world.connections.push(Some(connection));
                        world.ids.push(sid);
                        Some(key)
                    }
                    Err(error) => {
                        world.respond(id, error.response(&grant));
                        None
                    }
                }
            }
            Route::Session(key) => Some(key),
            other => panic!("{target}: {other:?}"),
        };
        if let Some(key) = owner {
            world.owners.insert(id, key);
            let now = world.now;
            if let Wants::Body { limit } = world.connection(key).handle_request(now, id, &head) {
                world.answers.insert(id, Answer::Body(limit));
            }
            world.pump(key);
        }
        drop(world);
        Request { server: self.clone(), id }
    }

    pub fn get(&self, query: &str) -> Request {
        self.request("GET", query, &[])
    }

    /// A poll of the newest session.
    pub fn poll(&self) -> Request {
        self.get("?EIO=4&transport=polling&sid=SID")
    }

    /// The head of a POST to the newest session.
    pub fn begin_post(&self) -> Request {
        self.request("POST", "?EIO=4&transport=polling&sid=SID", &[])
    }

    /// A whole POST to the newest session.
    pub fn post(&self, body: impl Into<Bytes>) -> Request {
        let post = self.begin_post();
        post.body(body);
        post
    }

    /// Asks for a WebSocket, which opens at once if it is granted.
    pub fn upgrade(&self, query: &str) -> Request {
        let request = self.begin_upgrade(query);
        request.opened();
        request
    }

    /// Asks for a WebSocket.
    pub fn begin_upgrade(&self, query: &str) -> Request {
        self.request("GET", query, &[("connection", "Upgrade"), ("upgrade", "websocket")])
    }

    /// Opens a session by polling.
    pub fn open(&self) {
        let open = self.get("?EIO=4&transport=polling").text();
        assert!(open.starts_with("200 0{\"sid\":\"SID\""), "{open}");
    }

    /// Opens a session over a WebSocket.
    pub fn connect(&self) -> WebSocket {
        let websocket = self.upgrade("?EIO=4&transport=websocket").websocket();
        let open = websocket.next().expect("the open packet");
        assert!(open.starts_with("0{\"sid\":\"SID\",\"upgrades\":[]"), "{open}");
        websocket
    }

    /// A second WebSocket for the newest session.
    pub fn candidate(&self) -> WebSocket {
        self.upgrade("?EIO=4&transport=websocket&sid=SID").websocket()
    }

    /// Opens a session over a WebSocket and joins the main namespace, which the application must accept.
    pub fn joined(&self) -> (WebSocket, SocketKey) {
        let websocket = self.connect();
        websocket.send("40");
        websocket.expect("40{\"sid\":\"S1\"}");
        self.expect_events(&["connect /"]);
        (websocket, self.socket("/"))
    }

    // --- the application ----------------------------------------------------------------------------------------

    /// The socket that last asked for that namespace.
    pub fn socket(&self, namespace: &str) -> SocketKey {
        self.0.borrow().joined[namespace]
    }

    /// A command to the newest connection, which must not be finished.
    pub fn with<R>(&self, command: impl FnOnce(&mut Connection) -> R) -> R {
        let mut world = self.0.borrow_mut();
        let key = world.connections.len() - 1;
        let result = command(world.connection(key));
        world.pump(key);
        result
    }

    pub fn send(&self, text: &str) {
        self.with(|connection| connection.send(Frame::text_message(text))).expect("it is open");
    }

    /// Returns whether events are pulled as they come. Turning it on pulls those that wait.
    pub fn listens(&self, listens: bool) {
        self.0.borrow_mut().listens = listens;
        self.pump();
    }

    /// Returns whether what is given out is written at once. Turning it on writes all that waits.
    pub fn writes(&self, writes: bool) {
        {
            let mut world = self.0.borrow_mut();
            world.writes = writes;
            let now = world.now;
            let key = world.connections.len() - 1;
            if let (true, Some(connection)) = (writes, &mut world.connections[key]) {
                connection.handle_unwritten(now, 0);
            }
        }
        self.pump();
    }

    fn pump(&self) {
        let mut world = self.0.borrow_mut();
        for key in 0..world.connections.len() {
            world.pump(key);
        }
    }

    /// Takes all that the application has heard since the last call.
    pub fn events(&self) -> Vec<String> {
        std::mem::take(&mut self.0.borrow_mut().heard)
    }

    #[track_caller]
    pub fn expect_events(&self, expected: &[&str]) {
        assert_eq!(self.events(), expected);
    }

    /// The newest connection is over and was forgotten.
    #[track_caller]
    pub fn expect_finished(&self) {
        let world = self.0.borrow();
        let newest = world.connections.last().expect("a connection");
        assert!(newest.is_none(), "not finished: {newest:?}");
        assert!(world.router.is_empty());
    }

    #[track_caller]
    pub fn expect_alive(&self) {
        assert!(self.with(|connection| connection.is_open()));
    }

    pub fn sessions(&self) -> usize {
        self.0.borrow().router.len()
    }

    // --- time ---------------------------------------------------------------------------------------------------

    pub fn now(&self) -> Instant {
        self.0.borrow().now
    }

    /// Lets time pass; every deadline on the way fires at its instant.
    pub fn advance_ms(&self, by: u64) {
        let mut world = self.0.borrow_mut();
        let target = world.now + ms(by);
        for _ in 0..LIVELOCK {
            let due = (0..world.connections.len())
                .filter_map(|key| Some((world.connections[key].as_ref()?.poll_timeout()?, key)))
                .min();
            match due {
                Some((at, key)) if at <= target => {
                    let now = world.now.max(at);
                    world.now = now;
                    world.connection(key).handle_timeout(now);
                    let next = world.connection(key).poll_timeout();
                    assert!(next.is_none_or(|next| next > now), "at {now:?} the next deadline is {next:?}");
                    world.pump(key);
                }
                _ => {
                    world.now = target;
                    return;
                }
            }
        }
        panic!("livelock");
    }

    /// Lets time pass without a deadline being judged: the server's process was stopped, say.
    pub fn stall_ms(&self, by: u64) {
        let mut world = self.0.borrow_mut();
        world.now = world.now + ms(by);
    }
}

impl World {
    fn connection(&mut self, key: usize) -> &mut Connection {
        self.connections[key].as_mut().expect("a connection that is not finished")
    }

    fn respond(&mut self, id: RequestId, response: Response) {
        let before = self.answers.insert(id, Answer::Response(response));
        assert!(matches!(before, Some(Answer::Awaited | Answer::Body(_))), "{id:?} was answered twice");
    }

    /// Carries out what the connection wants done, until it wants nothing.
    fn pump(&mut self, key: usize) {
        let Some(mut connection) = self.connections[key].take() else { return };
        let mut rounds = 0;
        loop {
            rounds += 1;
            assert!(rounds < LIVELOCK, "livelock");
            if let Some(transmit) = connection.poll_transmit() {
                self.carry_out(transmit);
                connection.handle_unwritten(self.now, self.unwritten);
                continue;
            }
            let event = if self.listens { connection.poll_event() } else { None };
            let Some(event) = event else { break };
            self.hear(key, &event);
            if let Some(application) = &mut self.application {
                application(&mut connection, &event);
            }
        }
        assert!(!self.listens || !connection.has_output(), "output was announced, and none came");
        if !connection.is_listed() {
            self.router.remove(&self.ids[key]);
        }
        if connection.is_finished() {
            assert!(connection.poll_timeout().is_none());
        } else {
            self.connections[key] = Some(connection);
        }
    }

    fn carry_out(&mut self, transmit: ServerTransmit) {
        match transmit {
            ServerTransmit::Respond { request, response } => self.respond(request, *response),
            ServerTransmit::Abort { request } => {
                self.answers.insert(request, Answer::Aborted);
            }
            ServerTransmit::AcceptWebSocket { request } => {
                let websocket = Answer::WebSocket { received: Vec::new(), closed: None };
                let before = self.answers.insert(request, websocket);
                assert!(matches!(before, Some(Answer::Awaited)), "{request:?} was answered twice");
            }
            ServerTransmit::WriteTyped { websocket, kind, data, compress } => {
                let message = WireMessage::Binary([&[kind], &data[..]].concat().into());
                self.carry_out(ServerTransmit::Write { websocket, message, compress });
            }
            ServerTransmit::Write { websocket, message, .. } => {
                let (WireMessage::Text(bytes) | WireMessage::Binary(bytes)) = &message;
                self.unwritten += if self.writes { 0 } else { bytes.len() };
                match self.answers.get_mut(&websocket) {
                    Some(Answer::WebSocket { received, closed: None }) => received.push(message),
                    _ => panic!("{websocket:?} is no open WebSocket: {message:?}"),
                }
            }
            ServerTransmit::CloseWebSocket { websocket, code } => match self.answers.get_mut(&websocket) {
                Some(Answer::WebSocket { closed, .. }) => {
                    closed.get_or_insert(code);
                }
                _ => panic!("{websocket:?} is no WebSocket"),
            },
            other => panic!("{other:?}"),
        }
        if self.writes {
            self.unwritten = 0;
        }
    }

    fn hear(&mut self, key: usize, event: &ServerEvent) {
        let name = |names: &BTreeMap<(usize, SocketKey), String>, socket: &SocketKey| {
            names.get(&(key, *socket)).cloned().expect("a socket whose CONNECT was told")
        };
        let line = match event {
            ServerEvent::Upgraded => "upgraded".to_string(),
            ServerEvent::Message(message) => format!("message {}", show(message)),
            ServerEvent::Closed(closed) => match &closed.detail {
                Some(detail) => format!("closed {} | {detail}", closed.reason),
                None => format!("closed {}", closed.reason),
            },
            ServerEvent::Socket(ServerSocketEvent::Connect { socket, namespace, auth }) => {
                self.names.insert((key, *socket), namespace.to_string());
                self.joined.insert(namespace.to_string(), *socket);
                match auth {
                    Some(auth) => format!("connect {namespace} auth={}", auth.json()),
                    None => format!("connect {namespace}"),
                }
            }
            ServerEvent::Socket(ServerSocketEvent::Event { socket, args, ack }) => {
                let mut line = format!("event {} [\"{}\"", name(&self.names, socket), args.event().unwrap());
                for at in 0..args.len() {
                    let _ = write!(line, ",{}", args.json(at).unwrap());
                }
                line.push(']');
                for attachment in args.attachments() {
                    let _ = write!(line, " {}", hex(attachment));
                }
                if let Some(ack) = ack {
                    let _ = write!(line, " ack={ack}");
                }
                line
            }
            ServerEvent::Socket(ServerSocketEvent::Ack { socket, id, outcome }) => {
                let outcome = match outcome {
                    AckOutcome::Answered(args) => {
                        let args: Vec<_> = (0..args.len()).map(|at| args.json(at).unwrap()).collect();
                        format!("[{}]", args.join(","))
                    }
                    AckOutcome::Timeout => "timeout".to_string(),
                    AckOutcome::Disconnected => "disconnected".to_string(),
                    other => panic!("{other:?}"),
                };
                format!("ack {} {id} {outcome}", name(&self.names, socket))
            }
            ServerEvent::Socket(ServerSocketEvent::Disconnected { socket, reason }) => {
                format!("disconnect {} {reason}", name(&self.names, socket))
            }
            other => panic!("{other:?}"),
        };
        self.heard.push(line);
    }
}

impl Request {
    fn act(&self, act: impl FnOnce(&mut Connection, Instant)) {
        let mut world = self.server.0.borrow_mut();
        let Some(&key) = world.owners.get(&self.id) else { return };
        let now = world.now;
        if let Some(connection) = &mut world.connections[key] {
            act(connection, now);
        }
        world.pump(key);
    }

    /// The body that the head promised; nothing, if the answer has come already.
    pub fn body(&self, body: impl Into<Bytes>) {
        let body = body.into();
        let limit = match self.server.0.borrow().answers[&self.id] {
            Answer::Body(limit) => limit,
            _ => return,
        };
        let body = if body.len() > limit { Body::TooLarge } else { Body::Complete(body) };
        self.act(|connection, now| connection.handle_body(now, self.id, body));
    }

    /// The client goes away.
    pub fn abort(&self) {
        self.act(|connection, now| connection.handle_request_aborted(now, self.id));
    }

    /// The id of the request.
    pub fn id(&self) -> RequestId {
        self.id
    }

    /// The WebSocket that was granted is there.
    pub fn opened(&self) {
        if matches!(self.server.0.borrow().answers[&self.id], Answer::WebSocket { .. }) {
            self.act(|connection, now| connection.handle_websocket_opened(now, self.id));
        }
    }

    #[track_caller]
    pub fn websocket(&self) -> WebSocket {
        assert_eq!(self.text(), "101");
        WebSocket { server: self.server.clone(), id: self.id }
    }

    /// Status and body, `pending`, or `reset`.
    pub fn text(&self) -> String {
        let world = self.server.0.borrow();
        let text = match &world.answers[&self.id] {
            Answer::Awaited | Answer::Body(_) => "pending".to_string(),
            Answer::Aborted => "reset".to_string(),
            Answer::WebSocket { .. } => "101".to_string(),
            Answer::Response(response) if response.body.is_empty() => response.status.to_string(),
            Answer::Response(response)
                if response.get("content-type") == Some("application/octet-stream") =>
            {
                format!("{} {}", response.status, hex(&response.body))
            }
            Answer::Response(response) => {
                format!("{} {}", response.status, String::from_utf8_lossy(&response.body))
            }
        };
        world.ids.iter().fold(text, |text, id| text.replace(&**id, "SID"))
    }

    #[track_caller]
    pub fn expect(&self, expected: &str) {
        assert_eq!(self.text(), expected);
    }

    /// A successful answer with that body.
    #[track_caller]
    pub fn expect_body(&self, body: &str) {
        assert_eq!(self.text(), format!("200 {body}"));
    }

    #[track_caller]
    pub fn expect_pending(&self) {
        assert_eq!(self.text(), "pending");
    }

    #[track_caller]
    pub fn expect_header(&self, name: &str, value: Option<&str>) {
        let world = self.server.0.borrow();
        let Answer::Response(response) = &world.answers[&self.id] else { panic!("no response yet") };
        let found = response.get(name).map(|found| found.replace(&**world.ids.last().unwrap(), "SID"));
        assert_eq!(found.as_deref(), value, "{name}");
    }
}

impl WebSocket {
    pub fn id(&self) -> RequestId {
        self.id
    }

    fn act(&self, act: impl FnOnce(&mut Connection, Instant)) {
        Request { server: self.server.clone(), id: self.id }.act(act);
    }

    pub fn send(&self, text: &str) {
        self.act(|connection, now| connection.handle_websocket(now, self.id, message(text)));
    }

    pub fn send_text(&self, text: &[u8]) {
        let text = WireMessage::Text(Bytes::copy_from_slice(text));
        self.act(|connection, now| connection.handle_websocket(now, self.id, text));
    }

    /// The client closes it, or goes away.
    pub fn close(&self) {
        self.act(|connection, now| connection.handle_websocket_closed(now, self.id, None));
    }

    /// It failed, and the adapter closed it with that code.
    pub fn fail(&self, code: u16) {
        self.act(|connection, now| connection.handle_websocket_closed(now, self.id, Some(code)));
    }

    /// The next message that the client receives.
    pub fn next(&self) -> Option<String> {
        let mut world = self.server.0.borrow_mut();
        let message = match world.answers.get_mut(&self.id) {
            Some(Answer::WebSocket { received, .. }) if !received.is_empty() => received.remove(0),
            _ => return None,
        };
        Some(world.ids.iter().fold(show(&message), |text, id| text.replace(&**id, "SID")))
    }

    #[track_caller]
    pub fn expect(&self, expected: &str) {
        assert_eq!(self.next().as_deref(), Some(expected));
    }

    #[track_caller]
    pub fn expect_nothing(&self) {
        assert_eq!(self.next(), None);
        assert_eq!(self.closed(), None, "it was closed");
    }

    fn closed(&self) -> Option<Option<u16>> {
        match &self.server.0.borrow().answers[&self.id] {
            Answer::WebSocket { closed, .. } => *closed,
            _ => None,
        }
    }

    /// All was received, and the server has closed it with that code.
    #[track_caller]
    pub fn expect_closed(&self, code: Option<u16>) {
        assert_eq!(self.next(), None);
        assert_eq!(self.closed(), Some(code), "it is not closed so");
    }
}
