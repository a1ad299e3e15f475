//! The vectors that other implementations may use, on ours. See `vectors/README.md`.

use bytes::Bytes;
use sansocket_protocol::engine::{EnginePacket, EnginePacketError};
use sansocket_protocol::engine::{PayloadDecoder, PayloadEncoder};
use sansocket_protocol::message::WireMessage;
use sansocket_protocol::socket::Args;
use sansocket_protocol::socket::PacketType;
use sansocket_protocol::socket::Parser;
use sansocket_protocol::socket::Reassembly;
use serde_json::{Map, Value};

fn vectors(json: &str) -> Vec<Value> {
    let vectors: Vec<Value> = serde_json::from_str(json).unwrap();
    assert!(!vectors.is_empty());
    vectors
}

fn unhex(text: &Value) -> Bytes {
    let text = text.as_str().unwrap();
    (0..text.len() / 2).map(|n| u8::from_str_radix(&text[2 * n..2 * n + 2], 16).unwrap()).collect()
}

fn text(value: &Value) -> Bytes {
    Bytes::copy_from_slice(value.as_str().unwrap().as_bytes())
}

fn assert_engine_packet(packet: Result<EnginePacket, EnginePacketError>, expected: &Value) {
    let Ok(packet) = packet else {
        assert_eq!(expected["verdict"], "refuse", "{expected}");
        return;
    };
    assert_eq!(expected["verdict"], "accept", "{packet:?} {expected}");
    let expected = &expected["packet"];
    let (kind, data) = match &packet {
        EnginePacket::Open(data) => ("open", data),
        EnginePacket::Close => ("close", &Bytes::new()),
        EnginePacket::Ping(data) => ("ping", data),
        EnginePacket::Pong(data) => ("pong", data),
        EnginePacket::Message(WireMessage::Text(data) | WireMessage::Binary(data)) => ("message", data),
        EnginePacket::Upgrade => ("upgrade", &Bytes::new()),
        EnginePacket::Noop => ("noop", &Bytes::new()),
        other => panic!("{other:?}"),
    };
    assert_eq!(expected["type"], kind, "{expected}");
    if expected["hex"].is_string() {
        assert!(matches!(packet, EnginePacket::Message(WireMessage::Binary(_))), "{expected}");
        assert_eq!(data, &unhex(&expected["hex"]));
    } else {
        assert_eq!(data, expected["data"].as_str().unwrap_or_default());
    }
}

#[test]
fn engine_packets_are_what_the_vectors_say() {
    for vector in vectors(include_str!("vectors/engine-packets.json")) {
        assert_engine_packet(EnginePacket::decode(text(&vector["text"])), &vector);
    }
}

#[test]
fn engine_payloads_are_what_the_vectors_say() {
    for vector in vectors(include_str!("vectors/engine-payloads.json")) {
        let body = if vector["hex"].is_string() { unhex(&vector["hex"]) } else { text(&vector["text"]) };
        let packets: Vec<_> = PayloadDecoder::new(body).collect();
        let expected = vector["packets"].as_array().unwrap();
        assert_eq!(packets.len(), expected.len(), "{vector}");
        for (packet, expected) in packets.into_iter().zip(expected) {
            assert_engine_packet(packet, expected);
        }
    }
}

#[test]
fn engine_payloads_are_written_as_the_vectors_say() {
    for vector in vectors(include_str!("vectors/engine-payloads-to-write.json")) {
        let mut encoder = PayloadEncoder::default();
        for packet in vector["packets"].as_array().unwrap() {
            match packet["text"].as_str() {
                Some(text) => encoder.text(text.as_bytes()),
                None => encoder.binary(&unhex(&packet["hex"])),
            }
        }
        assert_eq!(encoder.finish(), text(&vector["text"]), "{vector}");
    }
}

/// The argument with attachments in the place of their placeholders.
fn resolved(value: Value, attachments: &[Bytes]) -> Value {
    match value {
        Value::Array(list) => list.into_iter().map(|element| resolved(element, attachments)).collect(),
        Value::Object(members)
            if members.get("_placeholder") == Some(&Value::Bool(true)) && !attachments.is_empty() =>
        {
            let num = members["num"].as_f64().unwrap() as usize;
            let hex: String = attachments[num].iter().map(|byte| format!("{byte:02x}")).collect();
            Value::Object(Map::from_iter([("$bin".to_string(), Value::String(hex))]))
        }
        Value::Object(members) => {
            members.into_iter().map(|(key, value)| (key, resolved(value, attachments))).collect()
        }
        other => other,
    }
}

/// Numbers are JavaScript's: 1.0 is 1.
fn same(ours: &Value, theirs: &Value) -> bool {
    match (ours, theirs) {
        (Value::Number(a), Value::Number(b)) => a.as_f64() == b.as_f64(),
        (Value::Array(a), Value::Array(b)) => a.len() == b.len() && a.iter().zip(b).all(|(a, b)| same(a, b)),
        (Value::Object(a), Value::Object(b)) => {
            a.len() == b.len() && a.iter().all(|(key, a)| b.get(key).is_some_and(|b| same(a, b)))
        }
        (a, b) => a == b,
    }
}

fn arguments(args: &Args) -> Vec<Value> {
    (0..args.len()).map(|position| resolved(args.get(position).unwrap(), args.attachments())).collect()
}

#[test]
fn socket_packets_are_what_the_vectors_say() {
    let mut values = 0;
    for vector in vectors(include_str!("vectors/socket-packets.json")) {
        let mut reassembly = Reassembly::new();
        let mut received = Parser::json()
            .decode(text(&vector["text"]))
            .and_then(|packet| reassembly.start(packet, usize::MAX, usize::MAX));
        for attachment in vector["attachments"].as_array().unwrap() {
            received = received.and_then(|_| reassembly.push(unhex(attachment)));
        }
        let verdict = match &received {
            Ok(Some(_)) => "accept",
            Ok(None) => "wait",
            Err(_) => "refuse",
        };
        assert_eq!(vector["verdict"], verdict, "{received:?} {vector}");
        let Ok(Some(packet)) = received else { continue };
        let expected = &vector["packet"];
        assert_eq!(expected["type"], packet.kind() as u8, "{vector}");
        assert_eq!(expected["namespace"], packet.namespace(), "{vector}");
        assert_eq!(expected["id"].as_str().map(|id| id.parse().unwrap()), packet.id(), "{vector}");
        let Some(data) = expected.get("data") else { continue };
        values += 1;
        let ours = match packet.kind() {
            PacketType::Connect | PacketType::Disconnect | PacketType::ConnectError => {
                packet.data().unwrap().decode().unwrap()
            }
            PacketType::Event | PacketType::BinaryEvent => {
                let args = packet.into_args();
                let name = args.event().unwrap().into_owned();
                // A name may be a number, which we hand out as JavaScript would write it.
                let name = if data[0].is_number() { data[0].clone() } else { Value::String(name) };
                Value::Array([vec![name], arguments(&args)].concat())
            }
            _ => Value::Array(arguments(&packet.into_args())),
        };
        assert!(same(&ours, data), "{ours} for {vector}");
    }
    assert!(values > 100, "{values}");
}
