//! Packets that the application's parser reads ahead: the outcome is that of a machine that reads them itself.

use bytes::Bytes;
use proptest::prelude::*;
use sansocket_protocol::client::{Manager, ReconnectConfig};
use sansocket_protocol::engine::{
    Body, ClientTransmit, EngineClientConfig, EngineServerConfig, Method, RequestHead, RequestId, Revision,
    Wants,
};
use sansocket_protocol::message::WireMessage;
use sansocket_protocol::random::Random;
use sansocket_protocol::server::{Connection, ServerEvent};
use sansocket_protocol::socket::{
    AuthSource, CustomPacket, CustomParser, Packet, PacketError, Parser, ServerSocketEvent,
    SocketClientConfig, SocketServerConfig,
};
use sansocket_protocol::time::Instant;
use std::error::Error;
use std::sync::OnceLock;

/// A whole packet as JSON text.
struct Text;

impl CustomParser for Text {
    fn name(&self) -> &str {
        "json-text"
    }

    fn is_text(&self) -> bool {
        true
    }

    fn encode(&self, packet: &CustomPacket) -> Result<Vec<u8>, Box<dyn Error + Send + Sync>> {
        Ok(serde_json::to_vec(packet)?)
    }

    fn decode(&self, message: &[u8]) -> Result<CustomPacket, Box<dyn Error + Send + Sync>> {
        Ok(serde_json::from_slice(message)?)
    }
}

/// A parser is kept as long as the program runs, so there is one for all cases.
fn text() -> Parser {
    static TEXT: OnceLock<Parser> = OnceLock::new();
    *TEXT.get_or_init(|| Parser::custom(Text))
}

fn decode(parser: &Parser, packet: Bytes) -> Result<Packet, PacketError> {
    parser.decode(packet)
}

/// Packets as they stand in a payload: good ones, some that end the session, and some that are for the engine alone.
const PACKETS: [&str; 14] = [
    r#"4{"type":0,"nsp":"/"}"#,
    r#"4{"type":0,"nsp":"/chat","data":{"token":1}}"#,
    r#"4{"type":2,"nsp":"/","data":["said","é",1]}"#,
    r#"4{"type":2,"nsp":"/","data":["asked"],"id":3}"#,
    r#"4{"type":2,"nsp":"/chat","data":["said"]}"#,
    r#"4{"type":3,"nsp":"/","data":[1],"id":0}"#,
    r#"4{"type":1,"nsp":"/"}"#,
    r#"4{"type":9,"nsp":"/"}"#,
    "4{",
    "4",
    "3",
    "1",
    "bAAEC",
    "x",
];

fn percent_encoded(payload: &str) -> String {
    payload.bytes().map(|byte| format!("%{byte:02X}")).collect()
}

/// The body of a POST with these packets.
fn body(revision: Revision, is_jsonp: bool, packets: &[&str]) -> String {
    let payload = match revision {
        Revision::V4 => packets.join("\u{1e}"),
        _ => packets
            .iter()
            .map(|packet| format!("{}:{packet}", packet.encode_utf16().count()))
            .collect::<String>(),
    };
    if is_jsonp { format!("d={}", percent_encoded(&payload)) } else { payload }
}

/// A server's connection, and everything that it has told and written.
struct Played {
    connection: Connection,
    told: Vec<String>,
    ahead: bool,
    requests: u64,
}

impl Played {
    fn new(revision: Revision, ahead: bool, target: &str, websocket: bool) -> Self {
        let sockets = SocketServerConfig::default().parser(text());
        let config = EngineServerConfig::default().allow_eio3(true);
        let mut connection =
            Connection::new(Instant::ZERO, revision, config.into(), "session".into(), Some(sockets.into()));
        let upgrade: &[(&str, &str)] =
            if websocket { &[("connection", "upgrade"), ("upgrade", "websocket")] } else { &[] };
        let head = RequestHead { method: "GET", target, headers: &upgrade };
        let _ = connection.handle_request(Instant::ZERO, RequestId(0), &head);
        if websocket {
            connection.handle_websocket_opened(Instant::ZERO, RequestId(0));
        }
        let mut played = Self { connection, told: Vec::new(), ahead, requests: 0 };
        played.drain();
        played
    }

    fn post(&mut self, target: &str, body: &str) {
        self.requests += 1;
        let request = RequestId(self.requests);
        let head = RequestHead { method: "POST", target, headers: &[] };
        let wants = self.connection.handle_request(Instant::ZERO, request, &head);
        let body = Bytes::copy_from_slice(body.as_bytes());
        if matches!(wants, Wants::Body { .. }) {
            match self.connection.ahead_reader_of_body(request) {
                Some(reader) if self.ahead => {
                    let read = reader.read_body(&body, decode);
                    let body = Body::Complete(body);
                    self.connection.handle_body_ahead(Instant::ZERO, request, body, read);
                }
                _ => self.connection.handle_body(Instant::ZERO, request, Body::Complete(body)),
            }
        }
        self.drain();
    }

    fn message(&mut self, message: WireMessage) {
        match self.connection.ahead_reader() {
            Some(reader) if self.ahead => {
                let read = reader.read_message(&message, decode);
                self.connection.handle_websocket_ahead(Instant::ZERO, RequestId(0), message, read);
            }
            _ => self.connection.handle_websocket(Instant::ZERO, RequestId(0), message),
        }
        self.drain();
    }

    fn drain(&mut self) {
        while let Some(event) = self.connection.poll_event() {
            if let ServerEvent::Socket(ServerSocketEvent::Connect { socket, .. }) = &event {
                self.connection.accept(*socket, "sid").expect("it is connecting");
            }
            self.told.push(format!("{event:?}"));
        }
        while let Some(transmit) = self.connection.poll_transmit() {
            self.told.push(format!("{transmit:?}"));
        }
    }
}

fn packets() -> impl Strategy<Value = Vec<Vec<&'static str>>> {
    prop::collection::vec(prop::collection::vec(prop::sample::select(PACKETS.to_vec()), 1..5), 1..6)
}

/// A socket of the main namespace, so that most of what follows has somebody to go to.
const JOIN: &str = PACKETS[0];

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn a_body_that_is_read_ahead_is_a_body_that_is_read_in_place(bodies in packets()) {
        for (revision, is_jsonp) in [(Revision::V4, false), (Revision::V4, true), (Revision::V3, false), (Revision::V3, true)] {
            let target = format!(
                "/engine.io/?EIO={}&transport=polling&sid=session{}",
                if revision == Revision::V4 { 4 } else { 3 },
                if is_jsonp { "&j=0" } else { "" },
            );
            let [ahead, in_place] = [true, false].map(|ahead| {
                let mut played = Played::new(revision, ahead, &target, false);
                played.post(&target, &body(revision, is_jsonp, &[JOIN]));
                for packets in &bodies {
                    played.post(&target, &body(revision, is_jsonp, packets));
                }
                played.told
            });
            prop_assert_eq!(&ahead, &in_place);
            prop_assert!(ahead.iter().any(|told| told.contains("Connect")), "{:?}", ahead);
        }
    }

    #[test]
    fn a_message_that_is_read_ahead_is_a_message_that_is_read_in_place(messages in packets()) {
        for (revision, number) in [(Revision::V4, 4), (Revision::V3, 3)] {
            let target = format!("/engine.io/?EIO={number}&transport=websocket");
            let [ahead, in_place] = [true, false].map(|ahead| {
                let mut played = Played::new(revision, ahead, &target, true);
                for packet in [JOIN].iter().chain(messages.iter().flatten()) {
                    played.message(WireMessage::Text(Bytes::from_static(packet.as_bytes())));
                    if packet.starts_with('b') {
                        played.message(WireMessage::Binary(Bytes::from_static(&[4, 1, 2])));
                    }
                }
                played.told
            });
            prop_assert_eq!(&ahead, &in_place);
            prop_assert!(ahead.iter().any(|told| told.contains("Connect")), "{:?}", ahead);
        }
    }

    #[test]
    fn a_client_hears_the_same_of_what_is_read_ahead(bodies in packets()) {
        let [ahead, in_place] = [true, false].map(|ahead| client_hears(&bodies, ahead));
        prop_assert_eq!(&ahead, &in_place);
        prop_assert!(ahead.iter().any(|told| told.contains("public")), "{:?}", ahead);
    }
}

/// Plays a client that polls, and is answered with these payloads.
fn client_hears(bodies: &[Vec<&'static str>], ahead: bool) -> Vec<String> {
    let now = Instant::ZERO;
    let sockets = SocketClientConfig::default().parser(text());
    let (reconnect, engine) = (ReconnectConfig::default(), EngineClientConfig::default());
    let mut client =
        Manager::new(reconnect.into(), engine.into(), Random::new([7; 32]), Some(sockets.into()));
    let socket = client.add("/", AuthSource::None).unwrap();
    client.connect(now, socket);
    let open =
        r#"0{"sid":"session","upgrades":[],"pingInterval":25000,"pingTimeout":20000,"maxPayload":1000000}"#;
    let joined = r#"4{"type":0,"nsp":"/","data":{"sid":"public"}}"#;
    let mut payloads = [vec![open], vec![joined]]
        .iter()
        .chain(bodies)
        .map(|packets| packets.join("\u{1e}"))
        .collect::<Vec<_>>();
    payloads.reverse();
    let mut told = Vec::new();
    loop {
        while let Some(event) = client.poll_event() {
            told.push(format!("{event:?}"));
        }
        let Some(transmit) = client.poll_transmit() else { return told };
        told.push(format!("{transmit:?}"));
        let ClientTransmit::Request { request, method, .. } = transmit else { continue };
        let body = match method {
            Method::Get => match payloads.pop() {
                Some(payload) => payload,
                None => continue,
            },
            _ => "ok".to_owned(),
        };
        let body = Bytes::from(body);
        match client.ahead_reader() {
            Some(reader) if ahead => {
                let read = reader.read_body(&body, decode);
                client.handle_response_ahead(now, request, 200, body, read);
            }
            _ => client.handle_response(now, request, 200, body),
        }
    }
}

#[test]
fn only_the_applications_parser_reads_ahead() {
    for (parser, reads) in [(Parser::json(), false), (Parser::msgpack(), false), (text(), true)] {
        let sockets = SocketServerConfig::default().parser(parser);
        let config = EngineServerConfig::default();
        let connection =
            Connection::new(Instant::ZERO, Revision::V4, config.into(), "id".into(), Some(sockets.into()));
        assert_eq!(connection.ahead_reader().is_some(), reads);
        assert_eq!(connection.ahead_reader_of_body(RequestId(1)).is_some(), reads);
    }
}

#[test]
fn a_body_is_read_ahead_up_to_its_first_malformed_packet() {
    let sockets = SocketServerConfig::default().parser(text());
    let config = EngineServerConfig::default();
    let connection =
        Connection::new(Instant::ZERO, Revision::V4, config.into(), "id".into(), Some(sockets.into()));
    let reader = connection.ahead_reader_of_body(RequestId(1)).unwrap();
    let mut calls = 0;
    let body = Bytes::from(body(Revision::V4, false, &[PACKETS[0], "3", PACKETS[8], PACKETS[2], PACKETS[2]]));
    let _ = reader.read_body(&body, |parser, packet| {
        calls += 1;
        parser.decode(packet)
    });
    assert_eq!(calls, 2, "what follows is thrown away");
}
