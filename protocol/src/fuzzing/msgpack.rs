//! Packets of the MessagePack parser, against an oracle that reads them with the crate rmp, builds a tree of all that is
//! there, and judges that.

use crate::socket::{Args, Packet, PacketData, Parser, RESERVED_EVENTS, is_namespace};
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use bytes::Bytes;
use core::fmt;
use rmp::Marker;
use rmp::decode::{self, Bytes as Reader};
use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};

/// The depth down to which the oracle looks; deeper messages are only checked not to panic.
const MAX_DEPTH: usize = 60;

const PARSER: Parser = Parser::msgpack();

/// One packet: whether it is one, its parts, and that it can be passed on.
///
/// # Panics
/// If the decoder and the oracle disagree, or if what is passed on arrives as something else.
pub fn packet(data: &[u8]) {
    let decoded = PARSER.decode(Bytes::copy_from_slice(data));
    match obvious(data) {
        Verdict::Unknown => {
            if let Ok(packet) = decoded {
                pass_on(&packet.into_args());
            }
        }
        Verdict::Refused => assert!(decoded.is_err(), "{decoded:?} is no packet"),
        Verdict::Packet(expected) => {
            let packet = decoded.expect("it is a packet");
            compare(&packet, &expected);
            pass_on(&packet.into_args());
        }
    }
}

fn compare(packet: &Packet, expected: &Expected) {
    assert_eq!(packet.kind() as i128, expected.kind);
    assert_eq!((packet.namespace(), packet.id()), (&*expected.namespace, expected.id));
    assert_eq!(packet.data().is_some(), expected.data.is_some());
    // The data of a packet is JSON, whatever it was.
    assert!(packet.data().as_ref().map(PacketData::json).is_none_or(|json| !json.is_empty()));
    let args = packet.clone().into_args();
    let (name, values) = match (&expected.data, expected.kind) {
        (Some(Tree::List(list)), 2) => {
            list.split_first().map_or((None, &[][..]), |(name, rest)| (Some(name), rest))
        }
        (Some(Tree::List(list)), 3) => (None, &list[..]),
        _ => (None, &[][..]),
    };
    let name = name.map(|name| match name {
        Tree::Text(name) => name.clone(),
        Tree::Number(number) => number.to_string(),
        other => panic!("{other:?} is no name"),
    });
    assert_eq!(args.event().as_deref(), name.as_deref());
    assert_eq!(args.event_bytes().as_deref(), name.as_deref().map(str::as_bytes));
    assert_eq!(args.len(), values.len());
    for (position, value) in values.iter().enumerate() {
        let expected = value.decoded();
        assert_eq!(args.get::<Tree>(position).unwrap(), expected);
        assert_eq!(args.skip(position).decode::<Tree>().unwrap(), expected);
        assert_eq!(args.bytes(position).is_some(), matches!(value, Tree::Bytes(_)));
    }
}

/// Sends on what came in, with this parser and with the other.
fn pass_on(args: &Args) {
    let trees = |args: &Args| -> Option<Vec<Tree>> { args.iter().map(|one| one.decode().ok()).collect() };
    let frame = PARSER.ack("/n", 5, args).expect("what came in can go out");
    let packet = PARSER.decode(frame.attachments()[0].clone()).expect("what we write is a packet");
    assert_eq!((packet.namespace(), packet.id()), ("/n", Some(5)));
    let again = packet.into_args();
    assert_eq!(again.len(), args.len());
    let had_odd_keys = args.has_odd_keys();
    assert!(!again.has_odd_keys(), "keys go out as texts");
    // Where keys had to be changed, the values went through JSON.
    if !had_odd_keys {
        assert_eq!(trees(&again), trees(args));
    }
    let parser = Parser::json().max_attachments(usize::MAX).max_sent_attachments(usize::MAX);
    if let Ok(frame) = parser.ack("/n", 5, args) {
        let text = frame.text().expect("it has a text").slice(1..);
        let packet = parser.decode(text).expect("what we write is a packet");
        assert_eq!(packet.attachments(), frame.attachments().len());
        assert_eq!(packet.into_args().len(), args.len());
    }
    assert!(serde_json::from_str::<serde::de::IgnoredAny>(&format!("[{}]", args.to_json())).is_ok());
}

enum Verdict {
    Packet(Expected),
    Refused,
    /// Too deep for the oracle.
    Unknown,
}

struct Expected {
    kind: i128,
    namespace: String,
    id: Option<u64>,
    data: Option<Tree>,
}

/// A value.
#[derive(Clone, Debug, PartialEq)]
enum Tree {
    Nil,
    Undefined,
    Bool(bool),
    Number(i128),
    /// Its bits, so that NaN is itself.
    Float(u64),
    Text(String),
    Bytes(Vec<u8>),
    /// An extension that means nothing.
    Other(Vec<u8>),
    Date(i64),
    List(Vec<Tree>),
    Map(Vec<(Tree, Tree)>),
}

enum Fault {
    Wrong,
    Deep,
}

fn obvious(data: &[u8]) -> Verdict {
    let mut rest = Reader::new(data);
    let tree = match read(&mut rest, 0) {
        Ok(tree) if rest.remaining_slice().is_empty() => tree,
        Err(Fault::Deep) => return Verdict::Unknown,
        _ => return Verdict::Refused,
    };
    judge(tree).map_or(Verdict::Refused, Verdict::Packet)
}

fn judge(tree: Tree) -> Option<Expected> {
    let Tree::Map(members) = tree else { return None };
    let (mut kind, mut namespace, mut id, mut data) = (None, None, None, None);
    for (key, value) in members {
        let Tree::Text(key) = key else { return None };
        match (&*key, value) {
            ("type", Tree::Number(number)) if (0..=4).contains(&number) => kind = Some(number),
            ("nsp", Tree::Text(name)) if is_namespace(&name) => namespace = Some(name),
            ("id", Tree::Nil | Tree::Undefined) => id = None,
            ("id", Tree::Number(number)) => id = Some(u64::try_from(number).ok()?),
            ("data", Tree::Nil | Tree::Undefined) => data = None,
            ("data", value) => data = Some(value),
            ("type" | "nsp" | "id", _) => return None,
            _ => {}
        }
    }
    let (kind, namespace) = (kind?, namespace?);
    let fits = match (kind, &data) {
        (0, None | Some(Tree::Map(_))) | (1, None) | (3, Some(Tree::List(_))) => true,
        (4, Some(Tree::Map(_) | Tree::Text(_))) => true,
        (2, Some(Tree::List(list))) => match list.first() {
            Some(Tree::Text(name)) => !RESERVED_EVENTS.contains(&&**name),
            Some(Tree::Number(_)) | None => true,
            Some(_) => false,
        },
        _ => false,
    };
    let count = match &data {
        Some(Tree::List(list)) => list.len().saturating_sub(usize::from(kind == 2)),
        _ => 0,
    };
    (fits && count <= 1000).then_some(Expected { kind, namespace, id, data })
}

fn read(rest: &mut Reader<'_>, depth: usize) -> Result<Tree, Fault> {
    let wrong = |_| Fault::Wrong;
    let Some(&first) = rest.remaining_slice().first() else { return Err(Fault::Wrong) };
    Ok(match Marker::from_u8(first) {
        Marker::Null => decode::read_nil(rest).map(|()| Tree::Nil).map_err(|_| Fault::Wrong)?,
        Marker::True | Marker::False => decode::read_bool(rest).map(Tree::Bool).map_err(|_| Fault::Wrong)?,
        Marker::F32 => Tree::Float(f64::from(decode::read_f32(rest).map_err(|_| Fault::Wrong)?).to_bits()),
        Marker::F64 => Tree::Float(decode::read_f64(rest).map_err(|_| Fault::Wrong)?.to_bits()),
        Marker::U64 => Tree::Number(decode::read_u64(rest).map_err(|_| Fault::Wrong)?.into()),
        Marker::FixPos(_)
        | Marker::FixNeg(_)
        | Marker::U8
        | Marker::U16
        | Marker::U32
        | Marker::I8
        | Marker::I16
        | Marker::I32
        | Marker::I64 => {
            let number: i64 = decode::read_int(rest).map_err(|_| Fault::Wrong)?;
            Tree::Number(number.into())
        }
        Marker::FixStr(_) | Marker::Str8 | Marker::Str16 | Marker::Str32 => {
            let len = decode::read_str_len(rest).map_err(|_| Fault::Wrong)?;
            Tree::Text(String::from_utf8(take(rest, len)?).map_err(|_| Fault::Wrong)?)
        }
        Marker::Bin8 | Marker::Bin16 | Marker::Bin32 => {
            let len = decode::read_bin_len(rest).map_err(|_| Fault::Wrong)?;
            Tree::Bytes(take(rest, len)?)
        }
        Marker::FixArray(_) | Marker::Array16 | Marker::Array32 => {
            let len = decode::read_array_len(rest).map_err(|_| Fault::Wrong)?;
            if depth >= MAX_DEPTH {
                return Err(Fault::Deep);
            }
            let mut list = Vec::new();
            for _ in 0..len {
                list.push(read(rest, depth + 1)?);
            }
            Tree::List(list)
        }
        Marker::FixMap(_) | Marker::Map16 | Marker::Map32 => {
            let len = decode::read_map_len(rest).map_err(wrong)?;
            if depth >= MAX_DEPTH {
                return Err(Fault::Deep);
            }
            let mut members = Vec::new();
            for _ in 0..len {
                let key = read(rest, depth + 1)?;
                if !key.is_key() {
                    return Err(Fault::Wrong);
                }
                members.push((key, read(rest, depth + 1)?));
            }
            Tree::Map(members)
        }
        Marker::Reserved => return Err(Fault::Wrong),
        marker => {
            let meta = decode::read_ext_meta(rest).map_err(|_| Fault::Wrong)?;
            let data = take(rest, meta.size)?;
            let is_fixed = !matches!(marker, Marker::Ext8 | Marker::Ext16 | Marker::Ext32);
            match (meta.typeid, is_fixed, data.len()) {
                (0, true, 1) => Tree::Undefined,
                (0, true, 8) => Tree::Date(i64::from_be_bytes(data.try_into().expect("it has 8 bytes"))),
                (0, false, _) => Tree::Bytes(data),
                (-1, _, _) => timestamp(&data).map_or(Tree::Other(data), Tree::Date),
                _ => Tree::Other(data),
            }
        }
    })
}

fn take(rest: &mut Reader<'_>, len: u32) -> Result<Vec<u8>, Fault> {
    let slice = rest.remaining_slice();
    let (taken, behind) = slice.split_at_checked(len as usize).ok_or(Fault::Wrong)?;
    *rest = Reader::new(behind);
    Ok(taken.to_vec())
}

fn timestamp(data: &[u8]) -> Option<i64> {
    let number = |bytes: &[u8]| bytes.iter().fold(0i128, |sum, byte| sum * 256 + i128::from(*byte));
    let (seconds, nanos) = match data.len() {
        4 => (number(data), 0),
        8 => (number(data) & 0x3_ffff_ffff, number(data) >> 34),
        12 => (i128::from(number(&data[4..]) as u64 as i64), number(&data[..4])),
        _ => return None,
    };
    let millis = i64::try_from(seconds * 1000).ok()?;
    millis.checked_add(i64::try_from(nanos / 1_000_000).ok()?)
}

impl Tree {
    fn is_key(&self) -> bool {
        !matches!(self, Self::List(_) | Self::Map(_) | Self::Undefined | Self::Date(_) | Self::Other(_))
    }

    /// The value for an application that takes anything.
    fn decoded(&self) -> Self {
        match self {
            Self::Undefined => Self::Nil,
            Self::Other(bytes) => Self::Bytes(bytes.clone()),
            Self::Date(millis) => crate::socket::msgpack::date::iso(*millis).map_or(Self::Nil, Self::Text),
            Self::List(list) => Self::List(list.iter().map(Self::decoded).collect()),
            Self::Map(members) => Self::Map(
                members
                    .iter()
                    .filter(|(_, value)| *value != Self::Undefined)
                    .map(|(key, value)| (Self::Text(key.as_key()), value.decoded()))
                    .collect(),
            ),
            other => other.clone(),
        }
    }

    fn as_key(&self) -> String {
        match self {
            Self::Text(text) => text.clone(),
            Self::Bytes(bytes) => String::from_utf8_lossy(bytes).into_owned(),
            Self::Bool(value) => value.to_string(),
            Self::Number(number) => number.to_string(),
            Self::Float(bits) => number_text(f64::from_bits(*bits)),
            _ => "null".to_string(),
        }
    }
}

/// The text of a number, by the words of ECMAScript (Number::toString).
fn number_text(value: f64) -> String {
    if value.is_nan() {
        return "NaN".to_string();
    }
    if value == 0.0 {
        return "0".to_string();
    }
    let sign = if value < 0.0 { "-" } else { "" };
    if value.is_infinite() {
        return format!("{sign}Infinity");
    }
    let exact = format!("{:e}", value.abs());
    let (digits, exponent) = exact.split_once('e').expect("an exponent");
    let digits = digits.replace('.', "");
    let k = digits.len() as i32;
    let n = exponent.parse::<i32>().expect("a number") + 1;
    let text = if k <= n && n <= 21 {
        format!("{digits}{}", "0".repeat((n - k) as usize))
    } else if 0 < n && n <= 21 {
        format!("{}.{}", &digits[..n as usize], &digits[n as usize..])
    } else if -6 < n && n <= 0 {
        format!("0.{}{digits}", "0".repeat(-n as usize))
    } else {
        let (first, rest) = digits.split_at(1);
        let point = if rest.is_empty() { "" } else { "." };
        format!("{first}{point}{rest}e{}{}", if n > 0 { "+" } else { "-" }, (n - 1).abs())
    };
    format!("{sign}{text}")
}

impl<'de> Deserialize<'de> for Tree {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct TreeVisitor;

        impl<'de> Visitor<'de> for TreeVisitor {
            type Value = Tree;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("anything")
            }

            fn visit_unit<E>(self) -> Result<Tree, E> {
                Ok(Tree::Nil)
            }

            fn visit_bool<E>(self, value: bool) -> Result<Tree, E> {
                Ok(Tree::Bool(value))
            }

            fn visit_i64<E>(self, value: i64) -> Result<Tree, E> {
                Ok(Tree::Number(value.into()))
            }

            fn visit_u64<E>(self, value: u64) -> Result<Tree, E> {
                Ok(Tree::Number(value.into()))
            }

            fn visit_f32<E>(self, value: f32) -> Result<Tree, E> {
                Ok(Tree::Float(f64::from(value).to_bits()))
            }

            fn visit_f64<E>(self, value: f64) -> Result<Tree, E> {
                Ok(Tree::Float(value.to_bits()))
            }

            fn visit_str<E>(self, value: &str) -> Result<Tree, E> {
                Ok(Tree::Text(value.to_string()))
            }

            fn visit_bytes<E>(self, value: &[u8]) -> Result<Tree, E> {
                Ok(Tree::Bytes(value.to_vec()))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Tree, A::Error> {
                let mut list = Vec::new();
                while let Some(element) = seq.next_element()? {
                    list.push(element);
                }
                Ok(Tree::List(list))
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Tree, A::Error> {
                let mut members = Vec::new();
                while let Some(member) = map.next_entry()? {
                    members.push(member);
                }
                Ok(Tree::Map(members))
            }
        }

        deserializer.deserialize_any(TreeVisitor)
    }
}
