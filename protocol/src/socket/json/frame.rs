//! Socket.IO packets as frames: header, JSON and attachments.

use super::args::Args;
use super::data::PacketData;
use super::encode::{ArgsEncoder, Draft, EncodeError, ToArgs};
use super::reassembly::Reassembly;
use super::write::{decimal_len, push_string, push_u64};
use crate::message::Frame;
use crate::socket::packet::{Packet, is_namespace, is_reserved};
use crate::socket::parser::Parser;
use alloc::string::ToString;
use alloc::vec::Vec;

/// Room for the arguments of an ordinary event.
const INITIAL_CAPACITY: usize = 124;

pub(in crate::socket) fn event<T: ToArgs + ?Sized>(
    parser: &Parser,
    namespace: &str,
    event: &str,
    ack: Option<u64>,
    args: &T,
) -> Result<Frame, EncodeError> {
    if is_reserved(event) {
        return Err(EncodeError::ReservedEvent(event.to_string()));
    }
    with_args(parser, b'2', namespace, ack, Some(event), args)
}

pub(in crate::socket) fn ack<T: ToArgs + ?Sized>(
    parser: &Parser,
    namespace: &str,
    id: u64,
    args: &T,
) -> Result<Frame, EncodeError> {
    with_args(parser, b'3', namespace, Some(id), None, args)
}

pub(in crate::socket) fn join(namespace: &str, auth: Option<&PacketData>) -> Frame {
    let auth = auth.map_or("", PacketData::json);
    let mut text = header(b'0', namespace, auth.len());
    text.extend_from_slice(auth.as_bytes());
    Frame::from_text(text)
}

pub(in crate::socket) fn connect(namespace: &str, sid: &str) -> Frame {
    let mut text = header(b'0', namespace, sid.len().saturating_add(11));
    text.extend_from_slice(b"{\"sid\":");
    push_string(&mut text, sid);
    text.push(b'}');
    Frame::from_text(text)
}

pub(in crate::socket) fn connect_recoverable(namespace: &str, sid: &str, pid: &str) -> Frame {
    let mut text = header(b'0', namespace, sid.len().saturating_add(pid.len()).saturating_add(20));
    text.extend_from_slice(b"{\"sid\":");
    push_string(&mut text, sid);
    text.extend_from_slice(b",\"pid\":");
    push_string(&mut text, pid);
    text.push(b'}');
    Frame::from_text(text)
}

pub(in crate::socket) fn connect_error(namespace: &str, message: &str, data: Option<&PacketData>) -> Frame {
    let mut text = header(b'4', namespace, INITIAL_CAPACITY);
    text.extend_from_slice(b"{\"message\":");
    push_string(&mut text, message);
    if let Some(data) = data {
        text.extend_from_slice(b",\"data\":");
        text.extend_from_slice(data.json().as_bytes());
    }
    text.push(b'}');
    Frame::from_text(text)
}

pub(in crate::socket) fn error(namespace: &str, reason: &PacketData) -> Frame {
    let mut text = header(b'4', namespace, reason.wire_len());
    text.extend_from_slice(reason.json().as_bytes());
    Frame::from_text(text)
}

pub(in crate::socket) fn disconnect(namespace: &str) -> Frame {
    Frame::from_text(header(b'1', namespace, 0))
}

/// The event with one more argument, a text: the header and the other arguments are copied as they are.
pub(in crate::socket) fn with_offset(frame: &Frame, offset: &str) -> Option<Frame> {
    let (b']', event) = frame.text()?.split_last()? else { return None };
    let mut text = Vec::with_capacity(event.len().saturating_add(offset.len()).saturating_add(4));
    text.extend_from_slice(event);
    text.push(b',');
    push_string(&mut text, offset);
    text.push(b']');
    Some(frame.with_text(text))
}

/// The event that a frame is.
pub(in crate::socket) fn event_of(frame: &Frame) -> Option<Args> {
    let text = frame.text()?;
    let (b"4", b'2' | b'5') = (text.get(..1)?, text.get(1)?) else { return None };
    // It was written here, so no limit for what comes from outside is meant for it.
    let packet = Parser::UNLIMITED.decode(text.slice(1..)).ok()?;
    let mut reassembly = Reassembly::new();
    let mut whole = reassembly.start(packet, usize::MAX, usize::MAX).ok()?;
    for attachment in frame.attachments() {
        whole = reassembly.push(attachment.clone()).ok()?;
    }
    whole.map(Packet::into_args)
}

#[inline]
fn with_args<T: ToArgs + ?Sized>(
    parser: &Parser,
    digit: u8,
    namespace: &str,
    id: Option<u64>,
    event: Option<&str>,
    args: &T,
) -> Result<Frame, EncodeError> {
    if !matches!(namespace, "" | "/") && !is_namespace(namespace) {
        return Err(EncodeError::Namespace(namespace.to_string()));
    }
    let len = match args.len_hint() {
        // Bytes that are allocated at their exact size need nothing beside them.
        Some(list) => {
            let name = event.map_or(0, |event| event.len().saturating_add(2));
            let comma = usize::from(event.is_some() && list > 0);
            let digits = id.map_or(0, decimal_len);
            // The `2` are the brackets.
            [digits, name, comma, list].into_iter().fold(2, usize::saturating_add)
        }
        None => INITIAL_CAPACITY,
    };
    let mut message = Draft::new(parser, header(digit, namespace, len));
    if let Some(id) = id {
        push_u64(&mut message.text, id);
    }
    message.array = message.text.len();
    message.text.push(b'[');
    if let Some(event) = event {
        push_string(&mut message.text, event);
    }
    args.to_args(&mut ArgsEncoder::json(&mut message))?;
    message.text.push(b']');
    message.check()?;

    let Draft { mut text, beside, .. } = message;
    let Some(beside) = beside else { return Ok(Frame::from_text(text)) };
    announce(&mut text, digit, beside.attachments.len());
    Ok(Frame::from_parts(text, beside))
}

/// Makes a packet one with attachments: 2 becomes 5, 3 becomes 6, and their number comes in behind that.
fn announce(text: &mut Vec<u8>, digit: u8, attached: usize) {
    let before = text.len();
    push_u64(text, attached as u64);
    text.push(b'-');
    let added = text.len().saturating_sub(before);
    if let Some(behind) = text.get_mut(2..) {
        behind.rotate_right(added);
    }
    if let Some(kind) = text.get_mut(1) {
        *kind = digit.saturating_add(3);
    }
}

/// The engine's digit, the packet's digit and the namespace, with capacity for what comes behind.
#[inline(always)]
fn header(digit: u8, namespace: &str, behind: usize) -> Vec<u8> {
    let named = !matches!(namespace, "" | "/");
    let mut text =
        Vec::with_capacity(if named { namespace.len().saturating_add(3) } else { 2 }.saturating_add(behind));
    text.extend_from_slice(&[b'4', digit]);
    if named {
        text.extend_from_slice(namespace.as_bytes());
        text.push(b',');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cost::MOST_SPARE;
    use bytes::Bytes;

    #[test]
    fn an_event_is_seen_as_its_receiver_gets_it() {
        let picture = Bytes::from_static(&[1, 2, 3]);
        for namespace in ["/", "/chat"] {
            for ack in [None, Some(0), Some(1 << 40)] {
                let frame = Parser::json().event(namespace, "said", ack, &("a", &picture, 1)).unwrap();
                let event = Parser::json().event_of(&frame).unwrap();
                assert_eq!(event.event().as_deref(), Some("said"));
                assert_eq!(event.decode::<(alloc::string::String, Bytes, u8)>().unwrap().1, picture);
            }
        }
        assert_eq!(
            Parser::json().event_of(&Parser::json().event("/", "bare", None, &()).unwrap()).unwrap().len(),
            0
        );
    }

    #[test]
    fn a_large_message_holds_no_more_than_its_text() {
        for bytes in [10_000, 70_000, 1_000_000] {
            let word = "x".repeat(bytes / 100);
            let words: Vec<&str> = core::iter::repeat_n(&*word, 100).collect();
            let held = allocation_counter::measure(|| {
                let frame = Parser::json().event("/", "e", None, &words).unwrap();
                assert!(frame.wire_len() >= bytes && frame.wire_len() < bytes + 1000);
                core::mem::forget(frame);
            });
            assert!(held.bytes_current as usize <= bytes + 1000 + MOST_SPARE, "{held:?}");
        }
    }

    #[test]
    fn what_is_no_event_is_seen_as_none() {
        for frame in [
            Parser::json().ack("/", 7, &"done").unwrap(),
            Parser::json().ack("/", 7, &Bytes::from_static(b"done")).unwrap(),
            Parser::json().connect("/", "id"),
            Parser::json().connect_error("/", "no", None),
            Parser::json().disconnect("/chat"),
            Frame::text_message("2[\"like one\"]x"),
            Frame::binary_message(Bytes::from_static(b"42[\"raw\"]")),
            Frame::text_message(""),
        ] {
            assert!(Parser::json().event_of(&frame).is_none(), "{frame:?}");
        }
    }
}
