//! Every encoder against its decoder, every short input there is, and the same packets in any segments.
//! Events, acknowledgements and attachments have theirs in `src/socket/codec_tests`.

use bytes::Bytes;
use proptest::prelude::*;
use proptest::test_runner::TestRunner;
use sansocket_protocol::engine::EnginePacket;
use sansocket_protocol::engine::EngineServerConfig;
use sansocket_protocol::engine::open_packet;
use sansocket_protocol::engine::{Body, ServerTransmit};
use sansocket_protocol::engine::{PayloadDecoder, PayloadEncoder, SEPARATOR};
use sansocket_protocol::engine::{Query, RequestHead, RequestId, Revision, pairs};
use sansocket_protocol::fuzzing;
use sansocket_protocol::message::Frame;
use sansocket_protocol::message::WireMessage;
use sansocket_protocol::server::{Connection, ServerEvent};
use sansocket_protocol::socket::ServerSocketEvent;
use sansocket_protocol::socket::{Packet, PacketType};
use sansocket_protocol::socket::{PacketData, Parser};
use sansocket_protocol::time::Instant;
use serde_json::{Value, json};
use std::sync::Arc;

fn text(message: &WireMessage) -> Option<&Bytes> {
    match message {
        WireMessage::Text(text) => Some(text),
        WireMessage::Binary(_) => None,
    }
}

fn socket_packet(frame: &Frame) -> Packet {
    let packet = EnginePacket::decode(frame.text().unwrap().clone()).unwrap();
    let EnginePacket::Message(message) = packet else { panic!("{packet:?}") };
    Parser::json().decode(text(&message).unwrap().clone()).unwrap()
}

fn messages() -> impl Strategy<Value = Vec<WireMessage>> {
    let text =
        any::<String>().prop_map(|text| WireMessage::Text(text.replace(char::from(SEPARATOR), "").into()));
    let binary =
        prop::collection::vec(any::<u8>(), 0..100).prop_map(|bytes| WireMessage::Binary(bytes.into()));
    prop::collection::vec(prop_oneof![text, binary], 1..10)
}

proptest! {
    #[test]
    fn a_payload_that_was_written_is_read_again(messages in messages()) {
        let mut encoder = PayloadEncoder::default();
        for message in &messages {
            match message {
                WireMessage::Text(text) => encoder.text(&[b"4", &text[..]].concat()),
                WireMessage::Binary(data) => encoder.binary(data),
            }
        }
        let packets: Result<Vec<_>, _> = PayloadDecoder::new(encoder.finish()).collect();
        let expected: Vec<_> = messages.into_iter().map(EnginePacket::Message).collect();
        prop_assert_eq!(packets, Ok(expected));
    }

    #[test]
    fn messages_of_plain_engine_io_are_read_again(words in any::<String>(), data in any::<Vec<u8>>()) {
        let packet = EnginePacket::decode(Frame::text_message(&words).text().unwrap().clone());
        prop_assert_eq!(packet, Ok(EnginePacket::Message(WireMessage::Text(words.into()))));
        let frame = Frame::binary_message(data.clone().into());
        prop_assert_eq!((frame.text(), frame.attachments()), (None, &[Bytes::from(data)][..]));
    }

    #[test]
    fn a_handshake_is_read_again(id in any::<String>(), may_upgrade in any::<bool>(), max in any::<u32>()) {
        let packet = open_packet(&EngineServerConfig::default().max_payload(max as usize), &id, may_upgrade);
        let Ok(EnginePacket::Open(json)) = EnginePacket::decode(packet) else { panic!() };
        let upgrades: &[&str] = if may_upgrade { &["websocket"] } else { &[] };
        let expected = json!({
            "sid": id, "upgrades": upgrades, "pingInterval": 25000, "pingTimeout": 20000, "maxPayload": max,
        });
        prop_assert_eq!(serde_json::from_slice::<Value>(&json).unwrap(), expected);
    }

    #[test]
    fn what_joins_and_leaves_a_namespace_is_read_again(
        namespace in "(/[^,]{0,8})?",
        words in any::<String>(),
        data in prop::option::of(any::<String>()),
    ) {
        let name = if namespace.is_empty() { "/" } else { &namespace };
        let read = |frame: &Frame| {
            let packet = socket_packet(frame);
            let data = packet.data().map(|data| data.decode::<Value>().unwrap());
            (packet.kind(), packet.namespace().to_string(), packet.id(), data)
        };
        let expected = |kind, data| (kind, name.to_string(), None, data);
        let connect = read(&Parser::json().connect(&namespace, &words));
        prop_assert_eq!(connect, expected(PacketType::Connect, Some(json!({ "sid": words }))));
        let disconnect = read(&Parser::json().disconnect(&namespace));
        prop_assert_eq!(disconnect, expected(PacketType::Disconnect, None));
        // Data is JSON; anything else is sent as text.
        let mut reason = json!({ "message": words });
        if let Some(data) = &data {
            reason["data"] = serde_json::from_str(data).unwrap_or(json!(data));
        }
        let data = data.map(|data| {
            PacketData::from_json(&data).unwrap_or_else(|_| PacketData::encode(&data).unwrap())
        });
        let refused = read(&Parser::json().connect_error(&namespace, &words, data.as_ref()));
        prop_assert_eq!(refused, expected(PacketType::ConnectError, Some(reason)));
    }

    #[test]
    fn a_query_that_was_written_is_read_again(
        members in prop::collection::vec((any::<String>(), any::<String>()), 0..6),
        plus in any::<bool>(),
    ) {
        let escape = |text: &str| -> String {
            let plain = |byte: u8| byte.is_ascii_alphanumeric();
            text.bytes().map(|byte| match byte {
                b' ' if plus => "+".to_string(),
                byte if plain(byte) => char::from(byte).to_string(),
                byte => format!("%{byte:02X}"),
            }).collect()
        };
        let written: Vec<_> =
            members.iter().map(|(key, value)| format!("{}={}", escape(key), escape(value))).collect();
        let query = written.join("&");
        let read: Vec<_> = pairs(&query).map(|(key, value)| (key.into_owned(), value.into_owned())).collect();
        prop_assert_eq!(&read, &members);

        let target = format!("/engine.io/?{query}&EIO=4&sid=x&transport=polling");
        let head = RequestHead { method: "GET", target: &target, headers: &[] };
        prop_assert_eq!(head.path(), "/engine.io/");
        let Query { revision, transport, session, .. } = head.query();
        let read = [revision, transport, session];
        prop_assert_eq!(read.each_ref().map(|value| value.as_deref()), [Some("4"), Some("polling"), Some("x")]);
    }
}

/// All texts of up to three bytes, those with one of `first` at the front only.
fn every_short_text(first: impl IntoIterator<Item = u8>, check: impl Fn(&[u8])) {
    check(&[]);
    for a in first {
        check(&[a]);
        for b in 0..=255 {
            check(&[a, b]);
            for c in 0..=255 {
                check(&[a, b, c]);
            }
        }
    }
}

#[test]
fn every_engine_packet_of_up_to_three_bytes_is_what_it_must_be() {
    every_short_text(0..=255, fuzzing::engine::packet);
}

#[test]
fn every_payload_of_up_to_three_bytes_is_what_it_must_be() {
    let begins = |byte: &u8| matches!(byte, b'0'..=b'6' | b'b' | &SEPARATOR);
    every_short_text((0..=255).filter(begins), fuzzing::engine::payload);
    // A body that begins otherwise is refused at its first packet; that needs no oracle.
    every_short_text((0..=255).filter(|byte| !begins(byte)), |body| {
        let mut packets = PayloadDecoder::new(Bytes::copy_from_slice(body));
        assert!(matches!(packets.next(), Some(Err(_))) && packets.next().is_none(), "{body:?}");
    });
}

#[test]
fn every_socket_io_packet_of_up_to_three_bytes_is_what_it_must_be() {
    every_short_text(0..=255, fuzzing::socket::packet);
}

/// All texts of up to two bytes, and of three those of an alphabet: whoever reads them knows no others apart.
fn every_text_of(alphabet: &[u8], check: impl Fn(&[u8])) {
    check(&[]);
    for a in 0..=255 {
        check(&[a]);
        (0..=255).for_each(|b| check(&[a, b]));
    }
    for a in alphabet {
        for b in alphabet {
            alphabet.iter().for_each(|c| check(&[*a, *b, *c]));
        }
    }
}

#[test]
fn all_arguments_of_up_to_three_bytes_are_what_serde_json_reads() {
    let json = b"[]{}\",:\\ \n019-+.eEtfnu/x\x00\x1f\x7f\xc3\xa9";
    for attachments in 0..2 {
        every_text_of(json, |text| {
            fuzzing::socket::arguments(&[&[attachments, 0], text].concat());
            fuzzing::socket::arguments(&[&[attachments, 0, b'['], text, b"]"].concat());
        });
    }
}

#[test]
fn every_query_of_up_to_three_bytes_is_what_it_must_be() {
    every_text_of(b"&=+%?#;0aAfFg \x00\x7f\xc3\xa9", |text| {
        fuzzing::http::admission(&[&[0; 4], &b"/engine.io/?"[..], text].concat());
    });
}

const TARGET: &str = "/engine.io/?EIO=4&sid=sid&transport=polling";
const UPGRADE: [(&str, &str); 2] = [("connection", "upgrade"), ("upgrade", "websocket")];

/// The connection through which an application sees these packets.
struct Told {
    connection: Connection,
    requests: u64,
    events: Vec<String>,
}

impl Told {
    fn begin(transport: &str) -> Self {
        let config = Arc::new(EngineServerConfig::default());
        let connection =
            Connection::new(Instant::ZERO, Revision::V4, config, "sid".into(), Some(Arc::default()));
        let mut told = Self { connection, requests: 0, events: vec![] };
        if transport == "polling" {
            told.request("GET", TARGET, &[]);
        } else {
            let id = told.request("GET", "/engine.io/?EIO=4&transport=websocket", &UPGRADE);
            told.connection.handle_websocket_opened(Instant::ZERO, id);
        }
        told.look();
        told
    }

    fn request(&mut self, method: &str, target: &str, headers: &[(&str, &str)]) -> RequestId {
        let id = RequestId(self.requests);
        self.requests += 1;
        let head = RequestHead { method, target, headers: &headers };
        let _ = self.connection.handle_request(Instant::ZERO, id, &head);
        self.written();
        id
    }

    fn written(&mut self) {
        while let Some(transmit) = self.connection.poll_transmit() {
            assert!(!matches!(transmit, ServerTransmit::Abort { .. }), "{transmit:?}");
        }
    }

    fn post(&mut self, packets: &[&str]) {
        let id = self.request("POST", TARGET, &[]);
        self.connection.handle_body(Instant::ZERO, id, Body::Complete(packets.join("\x1e").into()));
        self.look();
    }

    fn message(&mut self, packet: &str) {
        let bytes = match packet.strip_prefix('b') {
            Some(_) => match EnginePacket::decode(packet.to_string().into()) {
                Ok(EnginePacket::Message(message)) => message,
                other => panic!("{other:?}"),
            },
            None => WireMessage::Text(packet.to_string().into()),
        };
        self.connection.handle_websocket(Instant::ZERO, RequestId(0), bytes);
        self.look();
    }

    fn look(&mut self) {
        self.written();
        while let Some(event) = self.connection.poll_event() {
            self.events.push(match &event {
                ServerEvent::Closed(closed) => format!("closed: {:?}", closed.reason),
                event => format!("{event:?}"),
            });
            if let ServerEvent::Socket(ServerSocketEvent::Connect { socket, .. }) = event {
                self.connection.accept(socket, "id").unwrap();
            }
        }
        self.written();
    }
}

#[test]
fn packets_mean_the_same_in_any_segments_and_over_any_transport() {
    let packet = prop::sample::select(vec![
        "40",
        "40/a,",
        "41",
        "41/a,",
        "42[\"e\"]",
        "42[\"e\"]",
        "42[\"e\",1,{\"a\":[]}]",
        "42/a,[\"e\"]",
        "421[\"e\"]",
        "430[]",
        "451-[\"e\",{\"_placeholder\":true,\"num\":0}]",
        "452-[\"e\",{\"_placeholder\":true,\"num\":1}]",
        "bAQID",
        "bAQ==",
        "6",
        "42[",
        "42[\"connect\"]",
        "4",
    ]);
    // Most stories begin by joining, and some packets must come in a row to mean anything.
    let story =
        (prop::bool::weighted(0.9), prop::collection::vec(packet, 0..14)).prop_map(|(joins, mut packets)| {
            if joins {
                packets.insert(0, "40");
            }
            packets
        });
    let cuts = prop::collection::vec(1..6usize, 1..6);
    let mut runner = TestRunner::deterministic();
    let checked = runner.run(&(story, cuts), |(packets, cuts)| {
        let mut one_by_one = Told::begin("polling");
        packets.iter().for_each(|packet| one_by_one.post(&[packet]));
        let mut in_segments = Told::begin("polling");
        let mut rest = &packets[..];
        for cut in cuts.iter().cycle() {
            if rest.is_empty() {
                break;
            }
            // Nothing may follow a CONNECT before its answer, here as in the reference.
            let joins =
                rest.iter().position(|packet| packet.starts_with("40")).map_or(rest.len(), |at| at + 1);
            let (segment, behind) = rest.split_at(joins.min(*cut));
            in_segments.post(segment);
            rest = behind;
        }
        prop_assert_eq!(&one_by_one.events, &in_segments.events);
        let mut websocket = Told::begin("websocket");
        packets.iter().for_each(|packet| websocket.message(packet));
        prop_assert_eq!(&one_by_one.events, &websocket.events);
        Ok(())
    });
    checked.unwrap();
}
