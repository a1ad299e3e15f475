//! The bytes of npm's MessagePack parser and of Python's, read and written. See `vectors/README.md`.

use bytes::Bytes;
use sansocket_protocol::message::Frame;
use sansocket_protocol::socket::{ArgsEncoder, Date, EncodeError, PacketData, Parser, ToArgs};
use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde::ser::{Serialize, Serializer};
use serde_json::{Map, Value, json};
use std::fmt;

const PARSER: Parser = Parser::msgpack();

fn unhex(text: &str) -> Bytes {
    (0..text.len() / 2).map(|n| u8::from_str_radix(&text[2 * n..2 * n + 2], 16).unwrap()).collect()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A value as the vectors write it.
#[derive(Debug, PartialEq)]
struct Written(Value);

impl Serialize for Written {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let inner = |value: &Value| Self(value.clone());
        match &self.0 {
            Value::Array(list) => serializer.collect_seq(list.iter().map(inner)),
            Value::Object(map) => match map.iter().next().map(|(key, value)| (&**key, value)) {
                Some(("$bin" | "$buffer", bytes)) => {
                    serializer.serialize_bytes(&unhex(bytes.as_str().unwrap()))
                }
                Some(("$date", millis)) => Date::from_millis(millis.as_i64().unwrap()).serialize(serializer),
                Some(("$number", number)) => {
                    serializer.serialize_f64(number.as_str().unwrap().parse().unwrap())
                }
                Some(("$undefined", _)) => serializer.serialize_unit(),
                _ => serializer.collect_map(map.iter().map(|(key, value)| (key, inner(value)))),
            },
            other => other.serialize(serializer),
        }
    }
}

impl<'de> Deserialize<'de> for Written {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Seen;

        impl<'de> Visitor<'de> for Seen {
            type Value = Written;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("anything")
            }

            fn visit_unit<E>(self) -> Result<Written, E> {
                Ok(Written(Value::Null))
            }

            fn visit_bool<E>(self, value: bool) -> Result<Written, E> {
                Ok(Written(value.into()))
            }

            fn visit_i64<E>(self, value: i64) -> Result<Written, E> {
                Ok(Written(value.into()))
            }

            fn visit_u64<E>(self, value: u64) -> Result<Written, E> {
                Ok(Written(value.into()))
            }

            fn visit_f64<E>(self, value: f64) -> Result<Written, E> {
                let text = match value {
                    f64::INFINITY => "Infinity",
                    f64::NEG_INFINITY => "-Infinity",
                    value if value.is_nan() => "NaN",
                    value => return Ok(Written(value.into())),
                };
                Ok(Written(json!({ "$number": text })))
            }

            fn visit_str<E>(self, value: &str) -> Result<Written, E> {
                Ok(Written(value.into()))
            }

            fn visit_bytes<E>(self, value: &[u8]) -> Result<Written, E> {
                Ok(Written(json!({ "$bin": hex(value) })))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Written, A::Error> {
                let mut list = Vec::new();
                while let Some(Written(element)) = seq.next_element()? {
                    list.push(element);
                }
                Ok(Written(list.into()))
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Written, A::Error> {
                let mut members = Map::new();
                while let Some((key, Written(value))) = map.next_entry()? {
                    members.insert(key, value);
                }
                Ok(Written(members.into()))
            }
        }

        deserializer.deserialize_any(Seen)
    }
}

/// The value for an application that takes anything.
fn decoded(written: &Value) -> Value {
    match written {
        Value::Array(list) => list.iter().map(decoded).collect(),
        Value::Object(map) => match map.iter().next().map(|(key, value)| (&**key, value)) {
            Some(("$buffer", bytes)) => json!({ "$bin": bytes }),
            Some(("$date", millis)) => {
                serde_json::to_value(Date::from_millis(millis.as_i64().unwrap())).unwrap()
            }
            Some(("$undefined", _)) => Value::Null,
            Some(("$bin" | "$number", _)) => written.clone(),
            _ => {
                let members = map.iter().filter(|(_, value)| value.get("$undefined").is_none());
                members.map(|(key, value)| (key.clone(), decoded(value))).collect()
            }
        },
        other => other.clone(),
    }
}

/// The arguments of an event or an acknowledgement.
struct Arguments<'a>(&'a [Value]);

impl ToArgs for Arguments<'_> {
    fn to_args(&self, out: &mut ArgsEncoder<'_>) -> Result<(), EncodeError> {
        self.0.iter().try_for_each(|value| out.arg(&Written(value.clone())))
    }
}

fn vectors() -> Vec<Value> {
    let vectors: Vec<Value> = serde_json::from_str(include_str!("vectors/msgpack-packets.json")).unwrap();
    for by in ["npm", "python"] {
        assert!(vectors.iter().filter(|vector| vector["by"] == by).count() > 20, "{by}");
    }
    vectors
}

#[test]
fn what_the_peers_write_is_read() {
    for vector in vectors() {
        let expected = &vector["packet"];
        let packet = PARSER.decode(unhex(vector["hex"].as_str().unwrap())).unwrap();
        assert_eq!(packet.kind() as u64, expected["type"].as_u64().unwrap());
        assert_eq!(packet.namespace(), expected["nsp"]);
        assert_eq!(packet.id(), expected.get("id").and_then(Value::as_u64), "{expected}");
        let data = expected.get("data");
        assert_eq!(packet.data().is_some(), data.is_some());
        let is_event = expected["type"] == 2;
        if !is_event && expected["type"] != 3 {
            let read = packet.data().map(|data| serde_json::from_str::<Value>(data.json()).unwrap());
            assert_eq!(read.as_ref(), data);
            continue;
        }
        let list = data.unwrap().as_array().unwrap();
        let args = packet.into_args();
        let name = args.event().map(|name| name.into_owned());
        let (expected_name, values) = if is_event { (list.first(), &list[1..]) } else { (None, &list[..]) };
        assert_eq!(
            name,
            expected_name.map(|name| name.as_str().map_or_else(|| name.to_string(), str::to_owned))
        );
        assert_eq!(args.len(), values.len());
        for (position, value) in values.iter().enumerate() {
            assert_eq!(args.get::<Written>(position).unwrap().0, decoded(value), "{value}");
        }
    }
}

#[test]
fn what_we_write_is_what_the_peers_write() {
    for vector in vectors() {
        let packet = &vector["packet"];
        let text = packet.to_string();
        // Rust has no `undefined`, and one kind of bytes only. An event's name is a text here.
        if text.contains("$undefined") || text.contains("$buffer") || packet["data"][0].is_number() {
            continue;
        }
        let (namespace, data) = (packet["nsp"].as_str().unwrap(), packet.get("data"));
        let id = packet.get("id").and_then(Value::as_u64);
        let stored = data.map(|data| PacketData::encode(data).unwrap());
        let frame: Frame = match packet["type"].as_u64().unwrap() {
            0 if data.is_some_and(|data| data.get("sid").is_some()) => {
                PARSER.connect(namespace, data.unwrap()["sid"].as_str().unwrap())
            }
            0 => PARSER.join(namespace, stored.as_ref()),
            1 => PARSER.disconnect(namespace),
            2 => {
                let list = data.unwrap().as_array().unwrap();
                PARSER.event(namespace, list[0].as_str().unwrap(), id, &Arguments(&list[1..])).unwrap()
            }
            3 => PARSER.ack(namespace, id.unwrap(), &Arguments(data.unwrap().as_array().unwrap())).unwrap(),
            _ if data.unwrap().is_string() => continue,
            _ => {
                let data = data.unwrap();
                let beside = data.get("data").map(|data| PacketData::encode(data).unwrap());
                PARSER.connect_error(namespace, data["message"].as_str().unwrap(), beside.as_ref())
            }
        };
        let message = &frame.attachments()[0];
        let Some(theirs) = vector.get("data") else {
            assert!(!hex(message).contains(&hex(b"data")), "no member, rather than one that is nothing");
            continue;
        };
        let theirs = theirs.as_str().unwrap();
        assert!(hex(message).contains(theirs), "{text}: {}, and not {theirs}", hex(message));
        let read = PARSER.decode(message.clone()).unwrap();
        assert_eq!((read.namespace(), read.id()), (namespace, id));
    }
}
