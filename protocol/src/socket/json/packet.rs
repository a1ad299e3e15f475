//! Reading the text of a packet.

use super::args::Args;
use super::placeholder;
use super::scan::{find_special, skip_blanks, skip_scalar, skip_string, unescape};
use super::shape::{MAX_TEXT, Shape, narrow};
use super::validate::{self, Checked};
use crate::socket::parser::Parser;
use crate::socket::{Packet, PacketError, PacketType, is_reserved};
use alloc::borrow::Cow;
use alloc::string::ToString;
use bytes::Bytes;
use core::ops::Range;

/// The bytes of `connect`.
const SHORTEST_RESERVED: usize = 7;

/// The mistake of an event that begins with something else than its name.
const NO_NAME: &str = "the event's name must be a string or an integer";

/// Reads the text of an Engine.IO message (without the engine's `4`).
#[allow(
    clippy::arithmetic_side_effects,
    reason = "proof: `at` and `end` are at most the length of the text, and what is added to them lies within it"
)]
#[inline(always)]
pub(in crate::socket) fn decode(parser: &Parser, text: Bytes) -> Result<Packet, PacketError> {
    // Most texts are ASCII, and to see that is cheaper.
    if !text.is_ascii() && core::str::from_utf8(&text).is_err() {
        return Err(PacketError::InvalidUtf8);
    }
    if text.len() > MAX_TEXT {
        return Err(PacketError::TooLong);
    }
    let bytes = &text[..];
    let digit = *bytes.first().ok_or(PacketError::Empty)?;
    let kind = PacketType::from_digit(digit).ok_or_else(|| {
        let all = core::str::from_utf8(bytes).unwrap_or_default();
        PacketError::UnknownType(all.chars().next().unwrap_or_default())
    })?;
    let mut at = 1;

    let mut attachments = 0;
    if kind.is_binary() {
        let (announced, end) = digits(bytes, at);
        if end == at || bytes.get(end) != Some(&b'-') || announced == Some(0) {
            return Err(PacketError::IllegalAttachments);
        }
        attachments = announced
            .and_then(|announced| usize::try_from(announced).ok())
            .filter(|announced| *announced <= parser.max_attachments.get())
            .ok_or(PacketError::TooManyAttachments { max: parser.max_attachments.get() })?;
        at = end + 1;
    }

    let mut namespace = at..at;
    if let Some(rest @ [b'/', ..]) = bytes.get(at..) {
        let len = rest.iter().position(|&byte| byte == b',');
        namespace.end = at + len.unwrap_or(rest.len());
        at = namespace.end + usize::from(len.is_some());
    }

    let (id, end) = digits(bytes, at);
    let id = if end == at { None } else { Some(id.ok_or(PacketError::IdOverflow)?) };

    let data = skip_blanks(bytes, end);
    let mut checked = Checked::default();
    let mut shape = check(parser, kind, bytes, data, &mut checked)?;
    let mut repeats = false;
    if attachments > 0 {
        let json = bytes.get(data..).unwrap_or_default();
        let names = placeholder::check(json, attachments, checked.has_escapes)
            .ok_or(PacketError::IllegalPlaceholder { announced: attachments })?;
        repeats = names.repeat;
        shape = shape.with_names(names);
    }
    let mut args = Args::new(text, shape);
    if checked.has_half_surrogate {
        args.mend(data);
    }
    let namespace = narrow(namespace.start)..narrow(namespace.end);
    Ok(Packet { kind, namespace, id, attachments: narrow(attachments), repeats, data: narrow(data), args })
}

/// The number that begins at `at` and where it ends; `None` if it is too large.
#[allow(
    clippy::arithmetic_side_effects,
    reason = "proof: `end` is at most the length of the text, and the digit is at least `0`"
)]
fn digits(text: &[u8], at: usize) -> (Option<u64>, usize) {
    let mut value = Some(0u64);
    let mut end = at;
    while let Some(digit @ b'0'..=b'9') = text.get(end) {
        let add = |value: u64| value.checked_mul(10)?.checked_add(u64::from(digit - b'0'));
        value = value.and_then(add);
        end += 1;
    }
    (value, end)
}

/// Checks the payload, which begins at `data` with something else than a blank, and need not be there. Says where its
/// parts are, and writes to `checked` what was found in it.
#[allow(clippy::arithmetic_side_effects, reason = "proof: `data` is the position of a byte")]
fn check(
    parser: &Parser,
    kind: PacketType,
    bytes: &[u8],
    data: usize,
    checked: &mut Checked,
) -> Result<Shape, PacketError> {
    let invalid = |at, reason: &str| PacketError::InvalidPayload { kind, at, reason: reason.to_string() };
    let Some(&first) = bytes.get(data) else { return Ok(Shape::default()) };
    let fits = match kind {
        PacketType::Event | PacketType::BinaryEvent | PacketType::Ack | PacketType::BinaryAck => {
            first == b'['
        }
        PacketType::Connect => first == b'{',
        PacketType::ConnectError => first == b'{' || first == b'"',
        PacketType::Disconnect => false,
    };
    if !fits {
        return Err(invalid(data, expected(kind)));
    }
    validate::walk(bytes, data, parser.max_depth.get(), checked).map_err(|error| error.refuse(kind))?;
    let shape = match kind {
        PacketType::Event | PacketType::BinaryEvent => {
            let start = skip_blanks(bytes, data + 1);
            let (name, behind) = find_name(bytes, start, checked).ok_or_else(|| invalid(start, NO_NAME))?;
            // A shorter one is none of them, however it is written.
            if name.len() >= SHORTEST_RESERVED {
                let name = bytes.get(name.clone()).and_then(event_name);
                if let Some(name) = name.filter(|name| is_reserved(name)) {
                    return Err(PacketError::ReservedEvent(name.into_owned()));
                }
            }
            Shape::event(bytes, name, behind, checked)
        }
        PacketType::Ack | PacketType::BinaryAck => Shape::list(bytes, data, checked),
        PacketType::Connect | PacketType::Disconnect | PacketType::ConnectError => Shape::default(),
    };
    judge(parser, checked, shape.count())?;
    Ok(shape)
}

/// The payload that packets of that kind have.
fn expected(kind: PacketType) -> &'static str {
    match kind {
        PacketType::Connect => "expected an object",
        PacketType::Disconnect => "expected none",
        PacketType::ConnectError => "expected an object or a string",
        PacketType::Event | PacketType::BinaryEvent => "expected an array that begins with the event's name",
        PacketType::Ack | PacketType::BinaryAck => "expected an array",
    }
}

/// Returns whether that many arguments, and the numbers in them, are within the limits.
pub(super) fn judge(parser: &Parser, checked: &Checked, count: usize) -> Result<(), PacketError> {
    if checked.longest_number > parser.max_number.get() {
        return Err(PacketError::NumberTooLong { max: parser.max_number.get() });
    }
    if count > parser.max_arguments.get() {
        return Err(PacketError::TooManyArguments { max: parser.max_arguments.get() });
    }
    Ok(())
}

/// The event's name in valid JSON, which begins at `start`, and the end of its JSON text. The name is as
/// [`event_name`] takes it.
#[inline]
#[allow(
    clippy::arithmetic_side_effects,
    reason = "proof: a position is at most one byte behind the end of a slice"
)]
fn find_name(json: &[u8], start: usize, checked: &Checked) -> Option<(Range<usize>, usize)> {
    match json.get(start)? {
        b'"' if !checked.has_escapes && checked.behind_first > start + 1 => {
            Some((start + 1..checked.behind_first - 1, checked.behind_first))
        }
        b'"' => {
            let end = find_special(json, start + 1);
            if json.get(end) == Some(&b'"') {
                return Some((start + 1..end, end + 1));
            }
            let end = skip_string(json, start);
            Some((start..end, end))
        }
        b'-' | b'0'..=b'9' => {
            let end = skip_scalar(json, start);
            // As JavaScript writes it: -0 is 0.
            let is_minus_zero = json.get(start..end) == Some(b"-0");
            is_integer(json, start..end).then_some((start + usize::from(is_minus_zero)..end, end))
        }
        _ => None,
    }
}

/// The event name of which that is the text: with its quotes if it has escapes, else without. Digits are the name of
/// an integer.
pub(super) fn event_name(raw: &[u8]) -> Option<Cow<'_, str>> {
    Some(match raw {
        [b'"', name @ .., b'"'] => unescape(core::str::from_utf8(name).ok()?),
        name => Cow::Borrowed(core::str::from_utf8(name).ok()?),
    })
}

/// Returns whether that number is an integer: of the numbers they alone can be names, because their digits are their
/// text in every language.
fn is_integer(json: &[u8], number: Range<usize>) -> bool {
    let number = json.get(number).unwrap_or_default();
    number.strip_prefix(b"-").unwrap_or(number).iter().all(u8::is_ascii_digit)
}
