//! Packets as frames: one binary message each.

use super::check::skip;
use super::from_json::push_values;
use super::head::Head;
use super::serialize::Draft;
use super::to_json::key_text;
use super::write::{push_array, push_map, push_str, push_uint, set_len};
use crate::message::Frame;
use crate::socket::json::args::Args;
use crate::socket::json::data::PacketData;
use crate::socket::json::encode::{ArgsEncoder, EncodeError, ToArgs};
use crate::socket::packet::{PacketType, is_namespace, is_reserved};
use crate::socket::parser::Parser;
use alloc::string::ToString;
use alloc::vec::Vec;
use bytes::Bytes;

/// Room for the arguments of an ordinary event.
const INITIAL_CAPACITY: usize = 96;

/// An event, or an acknowledgement if there is no name.
pub(in crate::socket) fn with_args<T: ToArgs + ?Sized>(
    parser: &Parser,
    namespace: &str,
    event: Option<&str>,
    id: Option<u64>,
    args: &T,
) -> Result<Vec<u8>, EncodeError> {
    if let Some(event) = event.filter(|event| is_reserved(event)) {
        return Err(EncodeError::ReservedEvent(event.to_string()));
    }
    if !namespace.is_empty() && !is_namespace(namespace) {
        return Err(EncodeError::Namespace(namespace.to_string()));
    }
    let kind = if event.is_some() { PacketType::Event } else { PacketType::Ack };
    let behind = args.len_hint().unwrap_or(INITIAL_CAPACITY).saturating_add(event.map_or(0, str::len));
    let mut draft = Draft::new(parser, header(kind, namespace, if id.is_some() { 4 } else { 3 }, behind));
    push_key(&mut draft.out, b"data");
    let list = draft.out.len();
    draft.out.push(0x90);
    if let Some(event) = event {
        draft.push_other(event);
    }
    args.to_args(&mut ArgsEncoder::packed(&mut draft))?;
    if draft.arguments > parser.max_arguments.get() {
        return Err(EncodeError::TooManyArguments { max: parser.max_arguments.get() });
    }
    let Draft { mut out, arguments, others, .. } = draft;
    set_len(&mut out, list, false, arguments.saturating_add(others));
    if let Some(id) = id {
        push_key(&mut out, b"id");
        push_uint(&mut out, id);
    }
    Ok(out)
}

pub(in crate::socket) fn join(namespace: &str, auth: Option<&PacketData>) -> Vec<u8> {
    let Some(auth) = auth else { return header(PacketType::Connect, namespace, 2, 0) };
    let mut out = header(PacketType::Connect, namespace, 3, auth.wire_len());
    push_key(&mut out, b"data");
    push_values(&mut out, auth.json(), &[]);
    out
}

pub(in crate::socket) fn connect(namespace: &str, sid: &str) -> Vec<u8> {
    let mut out = header(PacketType::Connect, namespace, 3, sid.len().saturating_add(16));
    push_key(&mut out, b"data");
    push_map(&mut out, 1);
    push_key(&mut out, b"sid");
    push_str(&mut out, sid);
    out
}

pub(in crate::socket) fn connect_recoverable(namespace: &str, sid: &str, pid: &str) -> Vec<u8> {
    let behind = sid.len().saturating_add(pid.len()).saturating_add(24);
    let mut out = header(PacketType::Connect, namespace, 3, behind);
    push_key(&mut out, b"data");
    push_map(&mut out, 2);
    push_key(&mut out, b"sid");
    push_str(&mut out, sid);
    push_key(&mut out, b"pid");
    push_str(&mut out, pid);
    out
}

pub(in crate::socket) fn connect_error(namespace: &str, message: &str, data: Option<&PacketData>) -> Vec<u8> {
    let mut out = header(PacketType::ConnectError, namespace, 3, INITIAL_CAPACITY);
    push_key(&mut out, b"data");
    push_map(&mut out, if data.is_some() { 2 } else { 1 });
    push_key(&mut out, b"message");
    push_str(&mut out, message);
    if let Some(data) = data {
        push_key(&mut out, b"data");
        push_values(&mut out, data.json(), &[]);
    }
    out
}

pub(in crate::socket) fn error(namespace: &str, reason: &PacketData) -> Vec<u8> {
    let mut out = header(PacketType::ConnectError, namespace, 3, reason.wire_len());
    push_key(&mut out, b"data");
    push_values(&mut out, reason.json(), &[]);
    out
}

pub(in crate::socket) fn disconnect(namespace: &str) -> Vec<u8> {
    header(PacketType::Disconnect, namespace, 2, 0)
}

/// The event with one more argument, a text: all else is copied as it is.
pub(in crate::socket) fn with_offset(frame: &Frame, offset: &str) -> Option<Frame> {
    let [message] = frame.attachments() else { return None };
    push_offset(message, offset).map(Frame::from_binary)
}

/// The same for a message.
pub(in crate::socket) fn push_offset(message: &Bytes, offset: &str) -> Option<Vec<u8>> {
    let packet = super::packet::decode(&Parser::UNLIMITED, message.clone()).ok()?;
    if packet.kind() != PacketType::Event {
        return None;
    }
    let (before, mut rest) = message.split_at_checked(packet.data as usize)?;
    let Ok(Head::Array(len)) = Head::read(&mut rest) else { return None };
    let mut behind = rest;
    skip(&mut behind, len as usize);
    let list = rest.get(..rest.len().saturating_sub(behind.len()))?;
    let mut out = Vec::with_capacity(message.len().saturating_add(offset.len()).saturating_add(8));
    out.extend_from_slice(before);
    push_array(&mut out, (len as usize).saturating_add(1));
    out.extend_from_slice(list);
    push_str(&mut out, offset);
    out.extend_from_slice(behind);
    Some(out)
}

/// The event that a frame is.
pub(in crate::socket) fn event_of(frame: &Frame) -> Option<Args> {
    let [message] = frame.attachments() else { return None };
    if frame.text().is_some() {
        return None;
    }
    // It was written here, so no limit for what comes from outside is meant for it.
    let packet = super::packet::decode(&Parser::UNLIMITED, message.clone()).ok()?;
    (packet.kind() == PacketType::Event).then(|| packet.into_args())
}

/// Writes so many values, which stand at the front of `rest`, as they are.
fn push_packed(out: &mut Vec<u8>, rest: &[u8], values: usize) {
    let mut behind = rest;
    skip(&mut behind, values);
    let len = rest.len().saturating_sub(behind.len());
    out.extend_from_slice(rest.get(..len).unwrap_or_default());
}

/// Writes received arguments, whatever parser has read them.
pub(in crate::socket) fn push_args(out: &mut Vec<u8>, args: &Args) {
    let list = args.argument(0).unwrap_or_default();
    if !args.is_packed() {
        let json = core::str::from_utf8(args.list()).unwrap_or_default();
        return push_values(out, json, args.attachments());
    }
    if !args.has_odd_keys() {
        return push_packed(out, list, args.len());
    }
    let mut rest = list;
    for _ in 0..args.len() {
        push_with_text_keys(out, &mut rest);
    }
}

/// Takes one value, which was checked, and writes it as it is, but for the keys of maps: they become texts, because
/// peers would refuse all others.
///
/// Does not recurse: a level of nesting costs a few bytes.
fn push_with_text_keys(out: &mut Vec<u8>, rest: &mut &[u8]) {
    let mut open: Vec<(u32, bool)> = Vec::new();
    loop {
        let before = *rest;
        let head = Head::read(rest).unwrap_or(Head::Nil);
        out.extend_from_slice(before.get(..before.len().saturating_sub(rest.len())).unwrap_or_default());
        match head {
            Head::Array(values) => open.push((values, false)),
            Head::Map(members) => open.push((members, true)),
            _ => {}
        }
        // To the place of the next value, and out of all that ends before it.
        loop {
            let Some((left, is_map)) = open.last_mut() else { return };
            let Some(fewer) = left.checked_sub(1) else {
                open.pop();
                continue;
            };
            *left = fewer;
            if *is_map {
                push_str(out, &key_text(Head::read(rest).unwrap_or(Head::Nil)));
            }
            break;
        }
    }
}

/// A key of less than 32 bytes.
fn push_key(out: &mut Vec<u8>, key: &[u8]) {
    out.push(0xa0 | (key.len() as u8 & 0x1f));
    out.extend_from_slice(key);
}

/// The map of so many members, its type and its namespace, with capacity for what comes behind.
fn header(kind: PacketType, namespace: &str, members: usize, behind: usize) -> Vec<u8> {
    let namespace = if namespace.is_empty() { "/" } else { namespace };
    let mut out = Vec::with_capacity([namespace.len(), behind].into_iter().fold(32, usize::saturating_add));
    push_map(&mut out, members);
    push_key(&mut out, b"type");
    out.push(kind as u8);
    push_key(&mut out, b"nsp");
    push_str(&mut out, namespace);
    out
}
