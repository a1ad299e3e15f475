//! Reading a packet.

use super::check::{self, Seen};
use super::head::{Fault, Head};
use crate::socket::json::args::Args;
use crate::socket::json::shape::{MAX_TEXT, Shape, narrow};
use crate::socket::parser::Parser;
use crate::socket::{Packet, PacketError, PacketType, is_namespace, is_reserved};
use alloc::borrow::Cow;
use alloc::string::ToString;
use bytes::Bytes;
use core::ops::Range;

/// The most levels that the data of a CONNECT or a CONNECT_ERROR may have, which is handed out as JSON.
const MAX_DATA_DEPTH: usize = 128;

/// The parts of a packet, as they stand in the message.
#[derive(Default)]
struct Parts {
    kind: Option<PacketType>,
    namespace: Option<Range<usize>>,
    id: Option<u64>,
    /// Where the data begins, what it begins with, and what was seen of it.
    data: Option<(usize, Seen)>,
}

/// Reads a binary message.
///
/// Members that a packet does not have are let pass: npm's client adds one. A member that is `nil`, as Python writes it,
/// or `undefined`, as npm's parser does, is not there.
pub(in crate::socket) fn decode(parser: &Parser, message: Bytes) -> Result<Packet, PacketError> {
    if message.len() > MAX_TEXT {
        return Err(PacketError::TooLong);
    }
    let parts = parts(parser, &message)?;
    let malformed = |reason| PacketError::Malformed { at: 0, reason };
    let kind = parts.kind.ok_or(malformed("the map has no \"type\""))?;
    let namespace = parts.namespace.ok_or(malformed("the map has no \"nsp\""))?;
    let shape = judge(parser, kind, &message, parts.data)?;
    let data = parts.data.map_or(message.len(), |(at, _)| at);
    let args = Args::new(message, shape);
    // The main namespace is no range at all, as in a text.
    let is_main = args.text().get(namespace.clone()) == Some(b"/");
    let end = if is_main { namespace.start } else { namespace.end };
    let namespace = narrow(namespace.start)..narrow(end);
    Ok(Packet { kind, namespace, id: parts.id, attachments: 0, repeats: false, data: narrow(data), args })
}

/// The place of what is left in the message.
fn place(message: &[u8], rest: &[u8]) -> usize {
    message.len().saturating_sub(rest.len())
}

fn refuse(fault: Fault, at: usize) -> PacketError {
    let reason = match fault {
        Fault::Utf8 => return PacketError::InvalidUtf8,
        Fault::TooDeep { max } => return PacketError::TooDeep { max },
        Fault::Cut => "the end is missing",
        Fault::Reserved => "the byte c1 means nothing",
        Fault::Key => "the key of a map must be a text or a number",
    };
    PacketError::Malformed { at, reason }
}

fn parts(parser: &Parser, message: &[u8]) -> Result<Parts, PacketError> {
    let malformed = |rest: &[u8], reason| PacketError::Malformed { at: place(message, rest), reason };
    let mut rest = message;
    let members = match Head::read(&mut rest) {
        Ok(Head::Map(members)) => members,
        _ if message.is_empty() => return Err(PacketError::Empty),
        _ => return Err(malformed(message, "expected a map, does the peer use another parser?")),
    };
    let mut parts = Parts::default();
    for _ in 0..members {
        let start = rest;
        let key = Head::read(&mut rest).map_err(|fault| refuse(fault, place(message, start)))?;
        let value = rest;
        let max_depth = parser.max_depth.get();
        let seen =
            check::value(&mut rest, max_depth).map_err(|fault| refuse(fault, place(message, value)))?;
        let Head::Str(key) = key else {
            return Err(malformed(start, "a key of the packet is no text"));
        };
        if core::str::from_utf8(key).is_err() {
            return Err(PacketError::InvalidUtf8);
        }
        // It was read before.
        let head = Head::read(&mut &*value).unwrap_or(Head::Nil);
        match (key, head) {
            (b"type", Head::Uint(kind)) => {
                let digit = u8::try_from(kind).ok().filter(|kind| *kind <= 4).map(|kind| b'0' | kind);
                let kind = digit.and_then(PacketType::from_digit);
                parts.kind = Some(kind.ok_or(malformed(value, "the type must be 0 to 4"))?);
            }
            (b"type", _) => return Err(malformed(value, "the type must be an integer from 0 to 4")),
            (b"nsp", Head::Str(name)) => {
                if !core::str::from_utf8(name).is_ok_and(is_namespace) {
                    return Err(malformed(value, "the namespace must begin with '/' and have no ','"));
                }
                let end = place(message, rest);
                parts.namespace = Some(end.saturating_sub(name.len())..end);
            }
            (b"nsp", _) => return Err(malformed(value, "the namespace must be a text")),
            (b"id", Head::Uint(id)) => parts.id = Some(id),
            (b"id", Head::Nil | Head::Undefined) => parts.id = None,
            (b"id", _) => return Err(malformed(value, "the id must be an integer of at least 0")),
            (b"data", Head::Nil | Head::Undefined) => parts.data = None,
            (b"data", _) => parts.data = Some((place(message, value), seen)),
            _ => {}
        }
    }
    if rest.is_empty() { Ok(parts) } else { Err(malformed(rest, "there are bytes behind the packet")) }
}

/// Whether the data is of the shape that the type asks for and within the limits, and where its parts are.
fn judge(
    parser: &Parser,
    kind: PacketType,
    message: &[u8],
    data: Option<(usize, Seen)>,
) -> Result<Shape, PacketError> {
    let invalid = |at, reason: &str| PacketError::InvalidPayload { kind, at, reason: reason.to_string() };
    let at = data.map_or(message.len(), |(at, _)| at);
    let mut rest = message.get(at..).unwrap_or_default();
    let head = match data {
        Some(_) => Head::read(&mut rest).ok(),
        None => None,
    };
    let seen = data.map_or(Seen::default(), |(_, seen)| seen);
    let (is_event, count) = match (kind, head) {
        (PacketType::Connect, None | Some(Head::Map(_)))
        | (PacketType::ConnectError, Some(Head::Map(_) | Head::Str(_))) => {
            if seen.depth > MAX_DATA_DEPTH {
                return Err(PacketError::TooDeep { max: MAX_DATA_DEPTH });
            }
            return Ok(Shape::packed(0..0, 0, 0, seen));
        }
        (PacketType::Disconnect, None) => return Ok(Shape::packed(0..0, 0, 0, seen)),
        (PacketType::Event, Some(Head::Array(count))) => (true, count as usize),
        (PacketType::Ack, Some(Head::Array(count))) => (false, count as usize),
        (PacketType::Connect, _) => return Err(invalid(at, "expected a map")),
        (PacketType::Disconnect, _) => return Err(invalid(at, "expected none")),
        (PacketType::ConnectError, _) => return Err(invalid(at, "expected a map or a text")),
        (PacketType::Event, _) => {
            return Err(invalid(at, "expected a list that begins with the event's name"));
        }
        _ => return Err(invalid(at, "expected a list")),
    };
    let mut name = 0..0;
    let mut arguments = count;
    // A list without a name is an event that nothing hears, as in the reference.
    if let (true, Some(others)) = (is_event, count.checked_sub(1)) {
        arguments = others;
        let start = place(message, rest);
        match Head::read(&mut rest) {
            Ok(Head::Str(_) | Head::Uint(_) | Head::Int(_)) => name = start..place(message, rest),
            _ => return Err(invalid(start, "the event's name must be a text or an integer")),
        }
        let raw = message.get(name.clone()).and_then(event_name).unwrap_or_default();
        if let Some(name) = core::str::from_utf8(&raw).ok().filter(|name| is_reserved(name)) {
            return Err(PacketError::ReservedEvent(name.to_string()));
        }
    }
    if arguments > parser.max_arguments.get() {
        return Err(PacketError::TooManyArguments { max: parser.max_arguments.get() });
    }
    Ok(Shape::packed(name, place(message, rest), arguments, seen))
}

/// The event name that stands there: a text, or the digits of an integer.
pub(in crate::socket) fn event_name(mut raw: &[u8]) -> Option<Cow<'_, [u8]>> {
    Some(match Head::read(&mut raw).ok()? {
        Head::Str(name) => Cow::Borrowed(name),
        Head::Uint(number) => Cow::Owned(number.to_string().into_bytes()),
        Head::Int(number) => Cow::Owned(number.to_string().into_bytes()),
        _ => return None,
    })
}
