//! The codecs' verdicts on vectors: JSON lines in, JSON lines out. `interop/parsers.test.mjs` compares them with those of
//! the reference's parsers.
//!
//! ```text
//! {"kind":"packet","text":"4hi"}                             {"type":"message","data":"hi"}
//! {"kind":"payload","text":"4a\u001eb"}                      {"packets":[..],"error":"Base64"?}
//! {"kind":"payload","hex":"34ff"}                            the same for a body that may not be UTF-8
//! {"kind":"socket","text":"51-[..]","attachments":["01"]}    {"type":5,"nsp":"/","args":[..],..} or {"error":".."}
//! {"kind":"encode","type":2,"nsp":"/","id":1,"data":[..]}    {"text":"..","attachments":[".."]}
//! {"kind":"encode-payload","packets":[..]}                   {"text":".."}
//! ```
//!
//! Bytes are written in hexadecimal; in what is to be encoded they stand as `{"$bin":"0102"}`.

use bytes::Bytes;
use sansocket_protocol::engine::{EnginePacket, PayloadDecoder, PayloadEncoder};
use sansocket_protocol::message::{Frame, WireMessage};
use sansocket_protocol::socket::{
    ArgsEncoder, EncodeError, PacketData, PacketError, PacketType, Parser, Reassembly, ToArgs,
};
use serde::de::{MapAccess, SeqAccess, Visitor};
use serde::ser::{SerializeMap, SerializeSeq};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::{Value, json};
use std::fmt;
use std::io::{self, BufRead, BufWriter, Write};

#[derive(Deserialize)]
struct Vector {
    kind: String,
    text: Option<String>,
    hex: Option<String>,
    #[serde(default)]
    attachments: Vec<String>,
    #[serde(default)]
    packets: Vec<Outgoing>,
    #[serde(default)]
    r#type: u8,
    #[serde(default)]
    nsp: String,
    id: Option<u64>,
    data: Option<Json>,
}

#[derive(Deserialize)]
struct Outgoing {
    text: Option<String>,
    hex: Option<String>,
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut out = BufWriter::new(io::stdout().lock());
    for line in io::stdin().lock().lines() {
        let vector: Vector = serde_json::from_str(&line?)?;
        let verdict =
            match &*vector.kind {
                "packet" => one(EnginePacket::decode(vector.text.unwrap_or_default().into())
                    .map_err(|e| format!("{e:?}"))),
                "payload" => payload(&vector),
                "socket" => socket(&vector).unwrap_or_else(|error| json!({ "error": name(&error) })),
                "encode" => encode(&vector).unwrap_or_else(|error| json!({ "error": name(&error) })),
                "encode-payload" => encode_payload(&vector),
                other => return Err(format!("there is no kind {other:?}").into()),
            };
        serde_json::to_writer(&mut out, &verdict)?;
        out.write_all(b"\n")?;
    }
    out.flush()?;
    Ok(())
}

/// The name of an error's variant.
fn name(error: &impl fmt::Debug) -> String {
    let words = format!("{error:?}");
    words.split([' ', '(', '{']).next().unwrap_or_default().to_owned()
}

fn one(packet: Result<EnginePacket, String>) -> Value {
    let text = |data: &Bytes| String::from_utf8_lossy(data).into_owned();
    match packet {
        Err(error) => json!({ "error": name_of(&error) }),
        Ok(EnginePacket::Open(data)) => json!({ "type": "open", "data": text(&data) }),
        Ok(EnginePacket::Close) => json!({ "type": "close" }),
        Ok(EnginePacket::Ping(data)) => json!({ "type": "ping", "data": text(&data) }),
        Ok(EnginePacket::Pong(data)) => json!({ "type": "pong", "data": text(&data) }),
        Ok(EnginePacket::Message(WireMessage::Text(data))) => {
            json!({ "type": "message", "data": text(&data) })
        }
        Ok(EnginePacket::Message(WireMessage::Binary(data))) => {
            json!({ "type": "message", "hex": hex(&data) })
        }
        Ok(EnginePacket::Upgrade) => json!({ "type": "upgrade" }),
        Ok(EnginePacket::Noop) => json!({ "type": "noop" }),
        Ok(other) => json!({ "error": name(&other) }),
    }
}

fn name_of(words: &str) -> &str {
    words.split([' ', '(', '{']).next().unwrap_or_default()
}

fn payload(vector: &Vector) -> Value {
    let body = match (&vector.text, &vector.hex) {
        (Some(text), _) => Bytes::from(text.clone()),
        (_, hex) => unhex(hex.as_deref().unwrap_or_default()),
    };
    let packets: Vec<Value> =
        PayloadDecoder::new(body).map(|packet| one(packet.map_err(|error| format!("{error:?}")))).collect();
    json!({ "packets": packets })
}

fn socket(vector: &Vector) -> Result<Value, PacketError> {
    let text = Bytes::from(vector.text.clone().unwrap_or_default());
    let packet = Parser::json().decode(text)?;
    let mut reassembly = Reassembly::new();
    let mut complete = reassembly.start(packet, 1 << 20, 1 << 20)?;
    for (n, attachment) in vector.attachments.iter().enumerate() {
        if complete.is_some() {
            return Err(reassembly.push(Bytes::new()).err().unwrap_or(PacketError::Empty));
        }
        complete = reassembly.push(unhex(attachment))?;
        debug_assert!(n < vector.attachments.len());
    }
    let Some(packet) = complete else { return Ok(json!({ "waiting": true })) };
    let mut verdict = json!({
        "type": packet.kind() as u8,
        "nsp": packet.namespace(),
        "id": packet.id().map(|id| id.to_string()),
        "data": packet.data().map(|data| data.json().to_owned()),
    });
    let (kind, id) = (packet.kind(), packet.id());
    if !matches!(kind, PacketType::Connect | PacketType::Disconnect | PacketType::ConnectError) {
        let args = packet.into_args();
        let list: Vec<_> = (0..args.len()).map(|position| args.json(position)).collect();
        // As a server passes it on: the name stays ours, since one that is no Rust string cannot be given back.
        let frame = Parser::json().ack("/", id.unwrap_or(0), &args).expect("what came in can go out");
        verdict["event"] = json!(args.event());
        verdict["args"] = json!(list);
        verdict["relay"] = written(&frame);
    }
    Ok(verdict)
}

fn encode(vector: &Vector) -> Result<Value, EncodeError> {
    let data = vector.data.as_ref();
    let list = match data {
        Some(Json::Array(list)) => &list[..],
        _ => &[],
    };
    let frame = match vector.r#type {
        0 => Parser::json().connect(&vector.nsp, data.and_then(|data| data.text("sid")).unwrap_or_default()),
        1 => Parser::json().disconnect(&vector.nsp),
        2 => {
            let (event, args) = list.split_first().expect("an event has a name");
            let Json::String(event) = event else { panic!("the name is text") };
            Parser::json().event(&vector.nsp, event, vector.id, &List(args))?
        }
        3 => Parser::json().ack(&vector.nsp, vector.id.unwrap_or(0), &List(list))?,
        _ => {
            let message = data.and_then(|data| data.text("message")).unwrap_or_default();
            let more = data.and_then(|data| data.member("data"));
            let more = more.map(|more| PacketData::encode(more).expect("it was JSON"));
            Parser::json().connect_error(&vector.nsp, message, more.as_ref())
        }
    };
    Ok(written(&frame))
}

/// Without the engine's `4`.
fn written(frame: &Frame) -> Value {
    let text = frame.text().map(|text| String::from_utf8_lossy(&text[1..]).into_owned());
    let attachments: Vec<_> = frame.attachments().iter().map(|bytes| hex(bytes)).collect();
    json!({ "text": text, "attachments": attachments })
}

fn encode_payload(vector: &Vector) -> Value {
    let mut encoder = PayloadEncoder::default();
    for packet in &vector.packets {
        match (&packet.text, &packet.hex) {
            (Some(text), _) => encoder.text(text.as_bytes()),
            (None, hex) => encoder.binary(&unhex(hex.as_deref().unwrap_or_default())),
        }
    }
    json!({ "text": String::from_utf8_lossy(&encoder.finish()) })
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn unhex(text: &str) -> Bytes {
    let byte = |at: usize| u8::from_str_radix(&text[at..at + 2], 16).expect("hexadecimal digits");
    (0..text.len() / 2).map(|n| byte(2 * n)).collect()
}

/// Arguments, each of them whatever it is.
struct List<'a>(&'a [Json]);

impl ToArgs for List<'_> {
    fn to_args(&self, out: &mut ArgsEncoder<'_>) -> Result<(), EncodeError> {
        self.0.iter().try_for_each(|argument| out.arg(argument))
    }
}

/// JSON whose objects keep their order, with bytes in it.
enum Json {
    Null,
    Bool(bool),
    Unsigned(u64),
    Signed(i64),
    Float(f64),
    String(String),
    Array(Vec<Json>),
    Object(Vec<(String, Json)>),
}

impl Json {
    fn member(&self, key: &str) -> Option<&Json> {
        let Self::Object(members) = self else { return None };
        members.iter().find(|(name, _)| name == key).map(|(_, value)| value)
    }

    fn text(&self, key: &str) -> Option<&str> {
        match self.member(key)? {
            Self::String(text) => Some(text),
            _ => None,
        }
    }
}

impl Serialize for Json {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Null => serializer.serialize_unit(),
            Self::Bool(value) => serializer.serialize_bool(*value),
            Self::Unsigned(value) => serializer.serialize_u64(*value),
            Self::Signed(value) => serializer.serialize_i64(*value),
            Self::Float(value) => serializer.serialize_f64(*value),
            Self::String(value) => serializer.serialize_str(value),
            Self::Array(list) => {
                let mut seq = serializer.serialize_seq(Some(list.len()))?;
                list.iter().try_for_each(|element| seq.serialize_element(element))?;
                seq.end()
            }
            Self::Object(members) => {
                if let [(key, Self::String(digits))] = &members[..] {
                    if key == "$bin" {
                        return serializer.serialize_bytes(&unhex(digits));
                    }
                }
                let mut map = serializer.serialize_map(Some(members.len()))?;
                members.iter().try_for_each(|(key, value)| map.serialize_entry(key, value))?;
                map.end()
            }
        }
    }
}

impl<'de> Deserialize<'de> for Json {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Any;
        impl<'de> Visitor<'de> for Any {
            type Value = Json;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("JSON")
            }
            fn visit_unit<E>(self) -> Result<Json, E> {
                Ok(Json::Null)
            }
            fn visit_bool<E>(self, value: bool) -> Result<Json, E> {
                Ok(Json::Bool(value))
            }
            fn visit_u64<E>(self, value: u64) -> Result<Json, E> {
                Ok(Json::Unsigned(value))
            }
            fn visit_i64<E>(self, value: i64) -> Result<Json, E> {
                Ok(Json::Signed(value))
            }
            fn visit_f64<E>(self, value: f64) -> Result<Json, E> {
                Ok(Json::Float(value))
            }
            fn visit_str<E>(self, value: &str) -> Result<Json, E> {
                Ok(Json::String(value.to_owned()))
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Json, A::Error> {
                let mut list = Vec::new();
                while let Some(element) = seq.next_element()? {
                    list.push(element);
                }
                Ok(Json::Array(list))
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Json, A::Error> {
                let mut members = Vec::new();
                while let Some(member) = map.next_entry()? {
                    members.push(member);
                }
                Ok(Json::Object(members))
            }
        }
        deserializer.deserialize_any(Any)
    }
}
