//! Plays one transcript: it is the network, the application and the clock.

use crate::notation::{ack, duration, event, expand, hex, message, show, show_duration, show_message};
use crate::options::{Options, matches};
use bytes::Bytes;
use sansocket_protocol::client::{ClientEvent, ClientState, Manager, SessionEvent};
use sansocket_protocol::engine::EngineError;
use sansocket_protocol::engine::RequestId;
use sansocket_protocol::engine::{ClientTransmit, Method};
use sansocket_protocol::error::{CloseReason, Closed, SendError};
use sansocket_protocol::message::Frame;
use sansocket_protocol::message::WireMessage;
use sansocket_protocol::socket::PacketData;
use sansocket_protocol::socket::{AckOutcome, AuthSource, ClientSocketEvent, JoinError, SocketKey};
use sansocket_protocol::time::Instant;
use std::collections::VecDeque;
use std::fmt;
use std::time::Duration;

/// More rounds than any honest exchange takes: the machine would be running in circles.
const LIVELOCK: usize = 100_000;
/// The first packet of most servers. `OPEN-WS` is the same without upgrades.
const OPEN: &str = r#"0{"sid":"SID","upgrades":["websocket"],"pingInterval":25000,"pingTimeout":20000,"maxPayload":1000000}"#;

/// The difference between a transcript and the client's conduct.
#[derive(Debug)]
pub(crate) struct Wrong {
    place: String,
    expected: String,
    got: Vec<String>,
}

impl fmt::Display for Wrong {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let short = |text: &str| match text.char_indices().nth(300) {
            Some((at, _)) => format!("{}... ({} bytes)", show(&text.as_bytes()[..at]), text.len()),
            None => show(text.as_bytes()),
        };
        write!(f, "{}\n    expected  {}\n    got       ", self.place, short(&self.expected))?;
        let got: Vec<_> = self.got.iter().map(|line| short(line)).collect();
        f.write_str(&if got.is_empty() { "nothing".to_string() } else { got.join("\n              ") })
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Get,
    Post,
    WebSocket,
}

impl Kind {
    const ALL: [(Self, &str); 3] = [(Self::Get, "GET"), (Self::Post, "POST"), (Self::WebSocket, "WS")];

    fn as_str(self) -> &'static str {
        Self::ALL.into_iter().find(|(kind, _)| *kind == self).map_or("", |(_, name)| name)
    }
}

/// A request or WebSocket, from when the client asked for it.
struct Flight {
    kind: Kind,
    id: RequestId,
    over: bool,
}

pub(crate) struct Player {
    client: Manager,
    now: Instant,
    asks: bool,
    listens: bool,
    /// Ends of sessions that were told.
    ends: u64,
    spurious: bool,
    flights: Vec<Flight>,
    /// The client's acts that the transcript has not expected so far.
    done: VecDeque<String>,
    heard: VecDeque<String>,
    names: Vec<(SocketKey, String)>,
    /// Events that want an answer, and the connections they came on.
    asked: Vec<(SocketKey, u64, u64)>,
}

impl Player {
    pub(crate) fn new(client: &str, spurious: bool) -> Self {
        let options = Options::parse(client);
        Self {
            now: Instant::ZERO,
            asks: options.asks,
            client: options.client(),
            listens: true,
            ends: 0,
            spurious,
            flights: Vec::new(),
            done: VecDeque::new(),
            heard: VecDeque::new(),
            names: Vec::new(),
            asked: Vec::new(),
        }
    }

    pub(crate) fn line(&mut self, place: &str, line: &str) -> Result<(), Wrong> {
        let line = line.trim_end();
        let (verb, rest) = line.split_once(' ').unwrap_or((line, ""));
        let rest = expand(rest.trim_start());
        let wrong = |expected: &str, got: Vec<String>| Wrong {
            place: place.to_string(),
            expected: expected.to_string(),
            got,
        };
        match (verb, rest.strip_prefix("hears ")) {
            ("" | "#" | "client", _) => return Ok(()),
            (">", _) => {
                let got = self.done.pop_front();
                return match got {
                    Some(got) if got == rest => Ok(()),
                    got => Err(wrong(
                        line,
                        got.map(|got| format!(">    {got}")).into_iter().chain(self.rest()).collect(),
                    )),
                };
            }
            ("app", Some(expected)) => {
                let got = self.heard.pop_front();
                return match got {
                    Some(got) if matches(expected.trim_start(), &got) => Ok(()),
                    got => Err(wrong(
                        line,
                        got.map(|got| format!("app    hears {got}")).into_iter().chain(self.rest()).collect(),
                    )),
                };
            }
            _ => {}
        }
        if !self.done.is_empty() || !self.heard.is_empty() {
            return Err(wrong("nothing more before this line", self.rest()));
        }
        let known = match verb {
            "<" => self.network(&rest),
            "app" => self.command(&rest),
            "wait" => duration(&rest).map(|time| self.wait(time)),
            "sleep" => duration(&rest).map(|time| self.now = self.now + time),
            "status" => {
                let status = self.status();
                if status != rest {
                    return Err(wrong(line, vec![format!("status {status}")]));
                }
                Some(())
            }
            _ => None,
        };
        assert!(known.is_some(), "{place}: this line makes no sense: {line}");
        self.pump();
        if self.spurious && self.client.poll_timeout().is_none_or(|at| at > self.now) {
            self.client.handle_timeout(self.now);
            self.client.handle_response(self.now, RequestId(1), 200, "4x".into());
            self.client.handle_request_failed(self.now, RequestId(u64::MAX), EngineError::RequestFailed);
            self.client.handle_websocket_closed(self.now, RequestId(0), None);
            self.pump();
        }
        Ok(())
    }

    pub(crate) fn end(&mut self, place: &str) -> Result<(), Wrong> {
        if self.done.is_empty() && self.heard.is_empty() {
            return Ok(());
        }
        Err(Wrong { place: place.to_string(), expected: "nothing more".to_string(), got: self.rest() })
    }

    fn rest(&self) -> Vec<String> {
        let done = self.done.iter().map(|line| format!(">    {line}"));
        done.chain(self.heard.iter().map(|line| format!("app    hears {line}"))).collect()
    }

    fn status(&self) -> String {
        let status = match self.client.status() {
            ClientState::Idle => "idle",
            ClientState::Opening => "opening",
            ClientState::Open => "open",
            ClientState::Waiting => "waiting",
            other => panic!("{other:?}"),
        };
        let finished = if self.client.is_finished() { " finished" } else { "" };
        let pending = if self.client.poll_timeout().is_some() { " timer" } else { "" };
        format!("{status}{finished}{pending}")
    }

    // --- the clock ----------------------------------------------------------------------------------------------

    fn wait(&mut self, time: Duration) {
        let target = self.now + time;
        for _ in 0..LIVELOCK {
            match self.client.poll_timeout() {
                Some(at) if at <= target => {
                    self.now = self.now.max(at);
                    self.client.handle_timeout(self.now);
                    self.pump();
                    let next = self.client.poll_timeout();
                    assert!(
                        next.is_none_or(|next| next > self.now),
                        "at {:?} it waits for {next:?}",
                        self.now
                    );
                }
                _ => {
                    self.now = target;
                    return;
                }
            }
        }
        panic!("livelock");
    }

    // --- the network --------------------------------------------------------------------------------------------

    /// `GET 200 body`, `WS@1 text` ...
    fn network(&mut self, line: &str) -> Option<()> {
        let (what, rest) = line.split_once(' ').unwrap_or((line, ""));
        let (name, number) = what.split_once('@').unwrap_or((what, ""));
        let kind = Kind::ALL.into_iter().find(|(_, known)| *known == name)?.0;
        let of_kind = self.flights.iter_mut().filter(|flight| flight.kind == kind);
        let flight = match number.parse::<usize>() {
            Ok(number) => of_kind.into_iter().nth(number - 1)?,
            Err(_) => of_kind.into_iter().filter(|flight| !flight.over).last()?,
        };
        let (id, now, client) = (flight.id, self.now, &mut self.client);
        let open = OPEN.replace("[\"websocket\"]", "[]");
        let rest = rest.replace("OPEN-WS", &open).replace("OPEN", OPEN);
        let (word, after) = rest.split_once(' ').unwrap_or((&rest, ""));
        let status = || word.parse::<u16>().ok();
        flight.over = true;
        match (kind, word) {
            (_, "fails") => client.handle_request_failed(now, id, EngineError::RequestFailed),
            (_, "too-large") => {
                client.handle_request_failed(now, id, EngineError::TooLarge { limit: 64 << 20 })
            }
            (Kind::Get | Kind::Post, _) => {
                client.handle_response(now, id, status()?, Bytes::copy_from_slice(after.as_bytes()));
            }
            (Kind::WebSocket, "closes") => client.handle_websocket_closed(now, id, None),
            (Kind::WebSocket, "breaks") => client.handle_websocket_closed(now, id, Some(after.parse().ok()?)),
            (Kind::WebSocket, "refused") => {
                let (status, body) = after.split_once(' ').unwrap_or((after, ""));
                client.handle_websocket_refused(now, id, status.parse().ok()?, body.as_bytes());
            }
            (Kind::WebSocket, "opens") => {
                flight.over = false;
                client.handle_websocket_opened(now, id);
            }
            (Kind::WebSocket, _) => {
                flight.over = false;
                client.handle_websocket(now, id, message(&rest));
            }
        }
        Some(())
    }

    /// Carries out what the client wants, until it wants nothing.
    fn pump(&mut self) {
        for _ in 0..LIVELOCK {
            if let Some(transmit) = self.client.poll_transmit() {
                let line = self.carry_out(transmit);
                self.done.push_back(line);
                self.client.handle_unwritten(0);
                continue;
            }
            let event = if self.listens { self.client.poll_event() } else { None };
            let Some(event) = event else {
                assert!(!self.listens || !self.client.has_output(), "output was announced, and none came");
                assert!(!self.listens || self.client.ends() == self.ends, "an end that is not told");
                return;
            };
            self.hear(&event);
        }
        panic!("livelock");
    }

    fn carry_out(&mut self, transmit: ClientTransmit) -> String {
        match transmit {
            ClientTransmit::Request { request, method, target, body, .. } => {
                let kind = if method == Method::Get { Kind::Get } else { Kind::Post };
                self.flights.push(Flight { kind, id: request, over: false });
                let standard = "/socket.io/?EIO=4&transport=polling";
                let target = match (kind, target.strip_prefix(standard)) {
                    (Kind::Get, Some("")) => " open".to_string(),
                    (Kind::Get, Some("&sid=SID")) => " poll".to_string(),
                    (Kind::Post, Some("&sid=SID")) => String::new(),
                    _ => format!(" {target}"),
                };
                let body = if body.is_empty() {
                    String::new()
                } else {
                    format!(" {}", String::from_utf8_lossy(&body))
                };
                format!("{}{target}{body}", kind.as_str())
            }
            ClientTransmit::Abort { request } => {
                let name = self.name(request);
                self.flight(request).over = true;
                format!("abort {name}")
            }
            ClientTransmit::OpenWebSocket { websocket, target } => {
                self.flights.push(Flight { kind: Kind::WebSocket, id: websocket, over: false });
                match target.strip_prefix("/socket.io/?EIO=4&transport=websocket") {
                    Some("") => "WS open".to_string(),
                    Some("&sid=SID") => "WS upgrade".to_string(),
                    _ => format!("WS {target}"),
                }
            }
            ClientTransmit::Write { websocket, message, .. } => {
                let text = match &message {
                    WireMessage::Text(text) => String::from_utf8(text.to_vec()).expect("UTF-8"),
                    WireMessage::Binary(data) => hex(data),
                };
                format!("{} {text}", self.name(websocket))
            }
            ClientTransmit::CloseWebSocket { websocket, code } => {
                let name = self.name(websocket);
                self.flight(websocket).over = true;
                match code {
                    Some(code) => format!("{name} close {code}"),
                    None => format!("{name} close"),
                }
            }
            other => panic!("{other:?}"),
        }
    }

    fn flight(&mut self, id: RequestId) -> &mut Flight {
        self.flights.iter_mut().find(|flight| flight.id == id).expect("an id that was given out")
    }

    /// `GET` if it is the newest of its kind, else `GET@1`, counted from the beginning.
    fn name(&mut self, id: RequestId) -> String {
        let kind = self.flight(id).kind;
        let of_kind: Vec<_> = self.flights.iter().filter(|flight| flight.kind == kind).collect();
        let at = of_kind.iter().position(|flight| flight.id == id).unwrap_or(0) + 1;
        if at == of_kind.len() { kind.as_str().to_string() } else { format!("{}@{at}", kind.as_str()) }
    }

    // --- the application ----------------------------------------------------------------------------------------

    fn key(&mut self, namespace: &str) -> Option<SocketKey> {
        self.names.iter().find(|(_, name)| name == namespace).map(|(key, _)| *key)
    }

    fn command(&mut self, line: &str) -> Option<()> {
        let now = self.now;
        let (what, rest) = line.split_once(' ').unwrap_or((line, ""));
        let (first, rest_of_rest) = rest.split_once(' ').unwrap_or((rest, ""));
        match what {
            "connect" => {
                let auth = match rest_of_rest.strip_prefix("auth=") {
                    None => AuthSource::None,
                    Some("ask") => AuthSource::Ask,
                    Some("ask-again") => AuthSource::AskAgain,
                    Some(auth) => AuthSource::Fixed(PacketData::from_json(auth).unwrap()),
                };
                match self.client.add(first, auth) {
                    Ok(key) => {
                        if self.key(first).is_none() {
                            self.names.push((key, first.to_string()));
                        }
                        self.client.connect(now, key);
                    }
                    Err(error) => self.failed(error),
                }
            }
            "auth" => {
                let key = self.key(first)?;
                let auth = Some(rest_of_rest).filter(|auth| !auth.is_empty());
                let auth = auth.map(|auth| PacketData::from_json(auth).unwrap());
                self.client.authenticate(now, key, auth.as_ref());
            }
            "no-auth" => {
                let key = self.key(first)?;
                let _ = self.client.auth_failed(now, key);
            }
            "disconnect" => {
                let key = self.key(first)?;
                self.client.disconnect(now, key);
            }
            "discard" => {
                let key = self.key(first)?;
                self.client.discard(now, key);
            }
            "close" => self.client.close(now),
            "abort" => self.client.abort(now, CloseReason::TransportError),
            "open" => self.client.open(now),
            "send" => {
                let frame = match message(rest) {
                    WireMessage::Text(_) => Frame::text_message(rest),
                    WireMessage::Binary(data) => Frame::binary_message(data),
                };
                if let Err(error) = self.client.send(now, &frame) {
                    self.failed(error);
                }
            }
            "emit" => return self.emit(first, rest_of_rest),
            "ack" => {
                let (id, args) = rest_of_rest.split_once(' ')?;
                let id = id.parse().ok()?;
                let (frame, key) = (ack(first, args, id)?, self.key(first)?);
                let asked = self.asked.iter().position(|(on, asked, _)| (*on, *asked) == (key, id))?;
                let (_, _, connection) = self.asked.remove(asked);
                if let Err(error) = self.client.ack_on(now, key, connection, &frame) {
                    self.failed(error);
                }
            }
            "hold" => {
                self.client.hold(self.names.iter().find(|(_, name)| name == first).map(|(key, _)| *key))
            }
            "release" => {
                self.client.release(self.names.iter().find(|(_, name)| name == first).map(|(key, _)| *key));
            }
            "listens" => self.listens = rest == "yes",
            "dial" => {
                let mut words = rest.split_whitespace();
                let address = words.next().map(|path| {
                    let query = words.map(|pair| pair.split_once('=').expect("key=value"));
                    (path, query.map(|(key, value)| (key.to_string(), value.to_string())).collect())
                });
                self.client.dial(now, address);
            }
            "has-no-address" => self.client.dial_failed(now),
            _ => return None,
        }
        Some(())
    }

    /// `emit / ["name",1]`, with `volatile`, `reliable 7` or `ack 7 within 10s` before the bracket.
    fn emit(&mut self, namespace: &str, line: &str) -> Option<()> {
        let now = self.now;
        let (how, json) = line.split_at(line.find('[')?);
        let words: Vec<_> = how.split_whitespace().collect();
        let key = self.key(namespace).or_else(|| {
            let key = self.client.add(namespace, AuthSource::None).ok()?;
            self.names.push((key, namespace.to_string()));
            Some(key)
        })?;
        let result = match &*words {
            [] => self.client.emit(now, key, event(namespace, json, None)?),
            ["volatile"] => self.client.emit_volatile(now, key, event(namespace, json, None)?).map(|sent| {
                if !sent {
                    self.heard.push_back("dropped".to_string());
                }
            }),
            ["ack", id, "within", time] => {
                let id = id.parse().ok()?;
                let deadline = now + duration(time)?;
                self.client.emit_with_ack(now, key, event(namespace, json, Some(id))?, id, deadline)
            }
            ["reliable", id] => {
                let id = id.parse().ok()?;
                self.client.emit_reliably(now, key, event(namespace, json, Some(id))?, id)
            }
            _ => return None,
        };
        if let Err(error) = result {
            self.failed(error);
        }
        Some(())
    }

    fn failed(&mut self, error: SendError) {
        self.heard.push_back(format!("error {error:?}"));
    }

    fn hear(&mut self, event: &ClientEvent) {
        if let ClientEvent::Socket(ClientSocketEvent::Event { socket, ack: Some(id), .. }) = event {
            self.asked.push((*socket, *id, self.client.connection(*socket)));
        }
        if let ClientEvent::DialFailed { .. } | ClientEvent::Closed { .. } = event {
            self.ends += 1;
            assert!(self.ends <= self.client.ends(), "told, and not counted");
        }
        let again = |retry_in: &Option<Duration>| {
            retry_in.map_or(String::new(), |delay| format!(" again={}", show_duration(delay)))
        };
        let detail =
            |closed: &Closed| closed.detail.as_ref().map_or(String::new(), |detail| format!(" | {detail}"));
        let line = match event {
            ClientEvent::Dialing { attempt } if self.asks => format!("dialing {attempt}"),
            ClientEvent::Dialing { .. } | ClientEvent::Opened { attempt: 0 } => return,
            ClientEvent::Opened { attempt } => format!("reopened {attempt}"),
            ClientEvent::DialFailed { closed, retry_in } => {
                format!("failed{}{}", again(retry_in), detail(closed))
            }
            ClientEvent::Closed { closed, retry_in } => {
                format!("closed {}{}{}", closed.reason, again(retry_in), detail(closed))
            }
            ClientEvent::GaveUp => "gave-up".to_string(),
            ClientEvent::Upgraded => "upgraded".to_string(),
            ClientEvent::UpgradeFailed(error) => format!("not-upgraded | {error}"),
            // What concerns the connection says it too.
            ClientEvent::Session(SessionEvent::Opened | SessionEvent::Closed(_)) => return,
            ClientEvent::Session(SessionEvent::Message(message)) => {
                format!("message {}", show_message(message))
            }
            ClientEvent::Socket(event) => self.socket_event(event),
            other => panic!("{other:?}"),
        };
        self.heard.push_back(line.trim_end().to_string());
    }

    fn socket_event(&self, event: &ClientSocketEvent) -> String {
        let name = |socket: &SocketKey| {
            self.names.iter().find(|(key, _)| key == socket).map_or("?", |(_, name)| name.as_str())
        };
        match event {
            ClientSocketEvent::Auth { socket, refused: None } => format!("auth {}", name(socket)),
            ClientSocketEvent::Auth { socket, refused: Some(error) } => {
                format!("auth {} again: {error}", name(socket))
            }
            ClientSocketEvent::Connected { socket, id, .. } => format!("connect {} {id}", name(socket)),
            ClientSocketEvent::Refused { socket, error, .. } => match error {
                JoinError::Refused { message, data: Some(data) } => {
                    format!("connect_error {} {message} data={}", name(socket), data.json())
                }
                JoinError::Refused { message, data: None } => {
                    format!("connect_error {} {message}", name(socket))
                }
                other => format!("connect_error {} | {other}", name(socket)),
            },
            ClientSocketEvent::Event { socket, args, ack } => {
                let mut line = format!("event {} [\"{}\"", name(socket), args.event().unwrap_or_default());
                for at in 0..args.len() {
                    line.push(',');
                    line.push_str(args.json(at).unwrap_or_default());
                }
                line.push(']');
                for attachment in args.attachments() {
                    line.push(' ');
                    line.push_str(&hex(attachment));
                }
                if let Some(ack) = ack {
                    line.push_str(&format!(" ack={ack}"));
                }
                line
            }
            ClientSocketEvent::Ack { socket, id, outcome } => {
                let outcome = match outcome {
                    AckOutcome::Answered(args) => {
                        let values: Vec<_> = (0..args.len()).filter_map(|at| args.json(at)).collect();
                        let attachments: String =
                            args.attachments().iter().map(|data| format!(" {}", hex(data))).collect();
                        format!("[{}]{attachments}", values.join(","))
                    }
                    AckOutcome::Timeout => "timeout".to_string(),
                    AckOutcome::Disconnected => "disconnected".to_string(),
                    AckOutcome::Unsent(error) => format!("unsent {error:?}"),
                    other => panic!("{other:?}"),
                };
                format!("ack {} {id} {outcome}", name(socket))
            }
            ClientSocketEvent::Unsent { socket, error } => format!("unsent {} {error:?}", name(socket)),
            ClientSocketEvent::Disconnected { socket, reason } => {
                format!("disconnect {} {reason}", name(socket))
            }
            other => panic!("{other:?}"),
        }
    }
}
