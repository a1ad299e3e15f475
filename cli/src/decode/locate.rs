//! The place where a malformed packet breaks, and what belongs there.

use sansocket_protocol::engine::EnginePacketError;
use sansocket_protocol::socket::PacketError;
use serde_json::Value;

/// A place in a packet.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Break {
    /// Bytes from the packet's beginning. May be its length.
    pub(crate) offset: usize,
    /// The words for what belongs there.
    pub(crate) expected: String,
}

fn at(offset: usize, expected: impl Into<String>) -> Break {
    Break { offset, expected: expected.into() }
}

/// Finds the place where the Engine.IO layer of a packet breaks.
pub(crate) fn engine(packet: &[u8], error: EnginePacketError) -> Break {
    match error {
        EnginePacketError::Base64 => {
            let data = packet.get(1..).unwrap_or_default();
            let is_base64 = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/');
            let good = data.iter().take_while(|byte| is_base64(byte)).count();
            // Padding may follow, and nothing after it. A last group of a single character is no byte.
            let padding = data[good..].iter().take_while(|byte| **byte == b'=').count();
            let end = good + padding;
            if end < data.len() {
                at(1 + end, "a character of base64")
            } else {
                at(1 + end, "whole groups of four characters, and zeros in the bits that are left over")
            }
        }
        _ => at(0, "an Engine.IO packet type: 0 to 6, or b for base64"),
    }
}

/// Finds the place where a handshake breaks.
pub(crate) fn handshake(json: &[u8]) -> Break {
    match serde_json::from_slice::<Value>(json) {
        Err(error) => {
            let line = json.split(|byte| *byte == b'\n').take(error.line().saturating_sub(1));
            let start: usize = line.map(|line| line.len() + 1).sum();
            let offset = (start + error.column().saturating_sub(1)).min(json.len());
            // Its words end with the place, which is shown anyway.
            let words = error.to_string();
            let words = words.split(" at line ").next().unwrap_or_default();
            at(if error.is_eof() { json.len() } else { offset }, format!("JSON: {words}"))
        }
        Ok(_) => at(0, "an object with a text `sid` and the numbers `pingInterval` and `pingTimeout`"),
    }
}

/// Finds the place where the text of a Socket.IO packet breaks.
pub(crate) fn socket(text: &[u8], error: &PacketError) -> Break {
    let header = Header::of(text);
    match error {
        PacketError::InvalidUtf8 => {
            at(std::str::from_utf8(text).map_or_else(|error| error.valid_up_to(), str::len), "UTF-8")
        }
        PacketError::Empty | PacketError::UnknownType(_) => at(0, "a Socket.IO packet type: 0 to 6"),
        PacketError::IllegalAttachments => {
            let digits = count(text, 1, u8::is_ascii_digit);
            match text.get(1..1 + digits) {
                Some([]) | None => at(1, "the number of attachments"),
                Some(number) if number.iter().all(|digit| *digit == b'0') => at(1, "at least 1 attachment"),
                Some(_) => at(1 + digits, "'-' behind the number of attachments"),
            }
        }
        PacketError::TooManyAttachments { max } => at(1, format!("at most {max} attachments")),
        PacketError::TooDeep { max } => at(header.data, format!("at most {max} levels of lists and objects")),
        PacketError::NumberTooLong { max } => at(header.data, format!("numbers of at most {max} characters")),
        PacketError::TooManyArguments { max } => at(header.data, format!("at most {max} arguments")),
        PacketError::IdOverflow => at(header.id, "an id that fits 64 bits"),
        PacketError::InvalidPayload { at: offset, reason, .. } => {
            // All reasons begin with this, except the one about the event's name.
            at(
                *offset,
                reason.strip_prefix("expected ").unwrap_or("the event's name, a string or an integer"),
            )
        }
        PacketError::ReservedEvent(_) => {
            let blanks = |at| count(text, at, u8::is_ascii_whitespace);
            let array = header.data + blanks(header.data);
            at(array + 1 + blanks(array + 1), "a name that is not reserved")
        }
        PacketError::IllegalPlaceholder { announced } => match bad_placeholder(text, *announced) {
            Some(offset) => at(offset, format!("a placeholder with a `num` from 0 to {}", announced - 1)),
            None => at(header.data, "placeholders for attachments that were announced"),
        },
        _ => at(0, "something else"),
    }
}

/// The offsets at which id and payload begin, in a packet that may be too short for them.
struct Header {
    id: usize,
    data: usize,
}

impl Header {
    fn of(text: &[u8]) -> Self {
        let mut id = 1;
        if matches!(text.first(), Some(b'5' | b'6')) {
            id += count(text, id, u8::is_ascii_digit) + 1;
        }
        if text.get(id) == Some(&b'/') {
            id += count(text, id, |byte| *byte != b',') + 1;
        }
        let id = id.min(text.len());
        Self { id, data: id + count(text, id, u8::is_ascii_digit) }
    }
}

fn count(text: &[u8], from: usize, is: impl Fn(&u8) -> bool) -> usize {
    text.get(from..).unwrap_or_default().iter().take_while(|byte| is(byte)).count()
}

/// Finds the first placeholder that names no attachment. One whose key is written with escapes is not found.
fn bad_placeholder(text: &[u8], announced: usize) -> Option<usize> {
    let text = std::str::from_utf8(text).ok()?;
    text.match_indices("\"_placeholder\"")
        .filter_map(|(key, _)| {
            // The object around the key begins before it, perhaps with other members between.
            let starts = text[..key].rmatch_indices('{').map(|(start, _)| start);
            starts.take(16).find_map(|start| {
                let mut values = serde_json::Deserializer::from_str(&text[start..]).into_iter::<Value>();
                let object = values.next()?.ok()?;
                (object.get("_placeholder") == Some(&Value::Bool(true))).then_some((start, object))
            })
        })
        .find(|(_, object)| {
            let num = object.get("num").and_then(Value::as_u64);
            !num.is_some_and(|num| usize::try_from(num).is_ok_and(|num| num < announced))
        })
        .map(|(start, _)| start)
}
