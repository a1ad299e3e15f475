//! A client that a test of another language drives, line by line: `interop/support/members.mjs`.
//!
//! A line on stdin is `{"id":1,"event":"ack","args":[..]}`; an id other than 0 asks for an acknowledgement. A line on
//! stdout is `{"id":1,"args":[..]}` for that, or `{"event":"bcast","args":[..]}` for an event of the server. Bytes are
//! `{"$bytes":[0,255]}`, because JSON has none.

use super::{Build, Outcome, PATIENCE, soon, until};
use crate::sansocket::{Args, Parser, TransportKind};
use bytes::Bytes;
use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde::ser::{Serialize, SerializeTuple, Serializer};
use serde_json::{Map, Number, Value as Json, json};
use std::collections::BTreeMap;
use std::fmt;
use tokio::sync::mpsc;

const HEARD: [&str; 4] = ["echo", "bcast", "answer", "question"];

/// A value of either parser.
enum Value {
    Plain(Json),
    Bytes(Vec<u8>),
    List(Vec<Value>),
    Map(BTreeMap<String, Value>),
}

impl Value {
    fn from_line(line: Json) -> Outcome<Self> {
        Ok(match line {
            Json::Array(items) => Self::List(items.into_iter().map(Self::from_line).collect::<Outcome<_>>()?),
            Json::Object(members) => match members.get("$bytes") {
                Some(bytes) => Self::Bytes(serde_json::from_value(bytes.clone())?),
                None => {
                    let members = members.into_iter().map(|(key, value)| Ok((key, Self::from_line(value)?)));
                    Self::Map(members.collect::<Outcome<_>>()?)
                }
            },
            plain => Self::Plain(plain),
        })
    }

    /// A type that takes anything sees the placeholders of the JSON parser, for which the attachments are.
    fn into_line(self, attachments: &[Bytes]) -> Json {
        match self {
            Self::Plain(plain) => plain,
            Self::Bytes(bytes) => json!({ "$bytes": bytes }),
            Self::List(items) => items.into_iter().map(|item| item.into_line(attachments)).collect(),
            Self::Map(members) => {
                if let (Some(_), Some(Self::Plain(num))) = (members.get("_placeholder"), members.get("num")) {
                    let num = num.as_u64().and_then(|num| usize::try_from(num).ok());
                    if let Some(bytes) = num.and_then(|num| attachments.get(num)) {
                        return json!({ "$bytes": bytes.to_vec() });
                    }
                }
                let members = members.into_iter().map(|(key, value)| (key, value.into_line(attachments)));
                Json::Object(members.collect::<Map<_, _>>())
            }
        }
    }
}

impl Serialize for Value {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Plain(plain) => plain.serialize(serializer),
            Self::Bytes(bytes) => serializer.serialize_bytes(bytes),
            Self::List(items) => items.serialize(serializer),
            Self::Map(members) => members.serialize(serializer),
        }
    }
}

struct AnyValue;

macro_rules! plain {
    ($($method:ident: $of:ty),*) => {
        $(fn $method<E>(self, value: $of) -> Result<Value, E> {
            Ok(Value::Plain(value.into()))
        })*
    };
}

impl<'de> Visitor<'de> for AnyValue {
    type Value = Value;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a value")
    }

    plain!(visit_bool: bool, visit_u64: u64, visit_i64: i64, visit_str: &str);

    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        Ok(Value::Plain(Number::from_f64(value).map_or(Json::Null, Json::Number)))
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Plain(Json::Null))
    }

    fn visit_bytes<E>(self, bytes: &[u8]) -> Result<Value, E> {
        Ok(Value::Bytes(bytes.to_vec()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Value, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = seq.next_element()? {
            items.push(item);
        }
        Ok(Value::List(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Value, A::Error> {
        let mut members = BTreeMap::new();
        while let Some((key, value)) = map.next_entry()? {
            members.insert(key, value);
        }
        Ok(Value::Map(members))
    }
}

impl<'de> Deserialize<'de> for Value {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(AnyValue)
    }
}

/// As many arguments as there are: a tuple, of which no type knows the length.
struct Arguments(Vec<Value>);

impl Serialize for Arguments {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut tuple = serializer.serialize_tuple(self.0.len())?;
        for value in &self.0 {
            tuple.serialize_element(value)?;
        }
        tuple.end()
    }
}

fn args_line(args: &Args) -> Json {
    let value = |position| match args.get::<Value>(position) {
        Ok(value) => value.into_line(args.attachments()),
        Err(error) => json!(error.to_string()),
    };
    (0..args.len()).map(value).collect()
}

/// Carries out the lines of stdin until its end.
pub(super) async fn run(
    build: Build,
    mut args: impl Iterator<Item = String>,
    transports: &[TransportKind],
) -> Outcome {
    let url = args.next().ok_or("the server's address is missing")?;
    let parser = match args.nth(1).as_deref() {
        Some("msgpack") => Parser::msgpack(),
        _ => Parser::json(),
    };
    let client =
        build(&url).parser(parser).transports(transports.iter().copied()).reconnection(false).build()?;
    for event in HEARD {
        client.on(event, move |args: Args| {
            println!("{}", json!({ "event": event, "args": args_line(&args) }));
            // The acknowledgement of those who ask for one.
            async move { args }
        });
    }
    soon("connect", client.connect()).await??;
    if let [.., last] = transports {
        until("the upgrade", || client.transport() == Some(*last)).await?;
        println!("{}", json!({ "event": "ready", "args": [last.as_str()] }));
    }

    let (line, mut lines) = mpsc::unbounded_channel();
    // Ends with the process, if not before.
    std::thread::spawn(move || {
        std::io::stdin().lines().map_while(Result::ok).try_for_each(|text| line.send(text))
    });
    while let Some(line) = lines.recv().await {
        let mut line: Json = serde_json::from_str(&line)?;
        let (id, event) = (line["id"].as_u64().unwrap_or(0), line["event"].as_str().unwrap_or("").to_owned());
        let Json::Array(args) = line["args"].take() else { return Err("there are no args".into()) };
        let args = Arguments(args.into_iter().map(Value::from_line).collect::<Outcome<_>>()?);
        if id == 0 {
            client.emit(&event, &args)?;
        } else {
            let answer = client.emit_with_ack(&event, &args, PATIENCE);
            tokio::spawn(async move {
                match answer.await {
                    Ok(args) => println!("{}", json!({ "id": id, "args": args_line(&args) })),
                    Err(error) => println!("{}", json!({ "id": id, "args": [error.to_string()] })),
                }
            });
        }
    }
    client.close();
    Ok(())
}
