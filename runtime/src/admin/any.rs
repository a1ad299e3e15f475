//! The arguments of an event as values of whatever type, bytes included, to be shown inside of another event.

use bytes::Bytes;
use sansocket_protocol::socket::{Args, Argument};
use serde::de::{Deserialize, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde::ser::{Serialize, SerializeMap, SerializeSeq, Serializer};
use std::fmt;

/// An event as a list: its name, and its arguments.
pub(super) struct Event(Vec<Any>);

impl Event {
    pub(super) fn new(args: &Args) -> Self {
        let name = Any::Text(args.event().unwrap_or_default().into_owned());
        Self(
            [name]
                .into_iter()
                .chain(args.iter().map(|argument| value(argument, args.attachments())))
                .collect(),
        )
    }
}

impl Serialize for Event {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.serialize(serializer)
    }
}

/// One argument.
fn value(argument: Argument<'_>, attachments: &[Bytes]) -> Any {
    match argument.decode::<Any>() {
        Ok(mut value) => {
            if !attachments.is_empty() {
                value.resolve(attachments);
            }
            value
        }
        // MessagePack can hold what neither JSON nor Rust can: shown as a text.
        Err(_) => Any::Text(argument.to_json()),
    }
}

/// A value of JSON or MessagePack.
#[derive(Debug, PartialEq)]
enum Any {
    Null,
    Bool(bool),
    Signed(i64),
    Unsigned(u64),
    Float(f64),
    Text(String),
    Bytes(Bytes),
    List(Vec<Any>),
    Map(Vec<(String, Any)>),
}

impl Serialize for Any {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Null => serializer.serialize_unit(),
            Self::Bool(value) => serializer.serialize_bool(*value),
            Self::Signed(value) => serializer.serialize_i64(*value),
            Self::Unsigned(value) => serializer.serialize_u64(*value),
            Self::Float(value) => serializer.serialize_f64(*value),
            Self::Text(value) => serializer.serialize_str(value),
            Self::Bytes(value) => serializer.serialize_bytes(value),
            Self::List(values) => {
                let mut list = serializer.serialize_seq(Some(values.len()))?;
                for value in values {
                    list.serialize_element(value)?;
                }
                list.end()
            }
            Self::Map(entries) => {
                let mut map = serializer.serialize_map(Some(entries.len()))?;
                for (key, value) in entries {
                    map.serialize_entry(key, value)?;
                }
                map.end()
            }
        }
    }
}

impl Any {
    /// Puts the bytes where their placeholders stand.
    fn resolve(&mut self, attachments: &[Bytes]) {
        match self {
            Self::List(values) => values.iter_mut().for_each(|value| value.resolve(attachments)),
            Self::Map(entries) => {
                let field = |name| entries.iter().find(|(key, _)| key == name).map(|(_, value)| value);
                let number = match (field("_placeholder"), field("num")) {
                    (Some(Self::Bool(true)), Some(Self::Unsigned(number))) => usize::try_from(*number).ok(),
                    _ => None,
                };
                match number.and_then(|number| attachments.get(number)) {
                    Some(bytes) => *self = Self::Bytes(bytes.clone()),
                    None => entries.iter_mut().for_each(|(_, value)| value.resolve(attachments)),
                }
            }
            _ => {}
        }
    }
}

impl<'de> Deserialize<'de> for Any {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(AnyVisitor)
    }
}

struct AnyVisitor;

impl<'de> Visitor<'de> for AnyVisitor {
    type Value = Any;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_unit<E: Error>(self) -> Result<Any, E> {
        Ok(Any::Null)
    }

    fn visit_none<E: Error>(self) -> Result<Any, E> {
        Ok(Any::Null)
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Any, D::Error> {
        Any::deserialize(deserializer)
    }

    fn visit_newtype_struct<D: Deserializer<'de>>(self, deserializer: D) -> Result<Any, D::Error> {
        Any::deserialize(deserializer)
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<Any, E> {
        Ok(Any::Bool(value))
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<Any, E> {
        Ok(u64::try_from(value).map_or(Any::Signed(value), Any::Unsigned))
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<Any, E> {
        Ok(Any::Unsigned(value))
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<Any, E> {
        Ok(Any::Float(value))
    }

    fn visit_str<E: Error>(self, value: &str) -> Result<Any, E> {
        Ok(Any::Text(value.into()))
    }

    fn visit_bytes<E: Error>(self, value: &[u8]) -> Result<Any, E> {
        Ok(Any::Bytes(Bytes::copy_from_slice(value)))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut values: A) -> Result<Any, A::Error> {
        let mut list = Vec::new();
        while let Some(value) = values.next_element()? {
            list.push(value);
        }
        Ok(Any::List(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Any, A::Error> {
        let mut map = Vec::new();
        while let Some(entry) = entries.next_entry()? {
            map.push(entry);
        }
        Ok(Any::Map(map))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use sansocket_protocol::socket::Parser;

    /// The event inside of another one, as JSON, and the bytes beside it.
    fn shown(args: &Args) -> (String, Vec<Bytes>) {
        let frame = Parser::json().event("/", "e", None, &("/", Event::new(args))).expect("it is encoded");
        let text = String::from_utf8(frame.text().expect("text").to_vec()).expect("UTF-8");
        (text, frame.attachments().to_vec())
    }

    #[test]
    fn an_event_is_shown_as_it_came_with_its_bytes_wherever_they_stand() {
        let list =
            r#"[1,-1,1.5,null,true,"x",[{"a":{"_placeholder":true,"num":0}}],{"_placeholder":true,"num":1}]"#;
        let bytes = vec![Bytes::from_static(&[1, 2]), Bytes::from_static(&[3])];
        let list = Args::from_json(list, bytes).expect("it is JSON");
        let parser = Parser::json();
        let frame = parser.event("/", "say", None, &list).expect("it is encoded");
        let args = parser.event_of(&frame).expect("it is an event");
        let (text, bytes) = shown(&args);
        assert_eq!(
            text,
            r#"452-["e","/",["say",1,-1,1.5,null,true,"x",[{"a":{"_placeholder":true,"num":0}}],{"_placeholder":true,"num":1}]]"#
        );
        assert_eq!(bytes, [&[1u8, 2][..], &[3]]);
    }

    #[test]
    fn an_event_in_messagepack_is_shown_the_same() {
        let parser = Parser::msgpack();
        let frame =
            parser.event("/", "say", None, &(1, "x", Bytes::from_static(&[7]))).expect("it is encoded");
        let args = parser.decode(frame.attachments()[0].clone()).expect("it is a packet").into_args();
        let (text, bytes) = shown(&args);
        assert_eq!(text, r#"451-["e","/",["say",1,"x",{"_placeholder":true,"num":0}]]"#);
        assert_eq!(bytes, [&[7u8][..]]);
    }
}
