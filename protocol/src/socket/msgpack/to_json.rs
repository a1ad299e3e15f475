//! JSON text from values that were checked: for the data of packets, which is JSON, and for arguments on their way to
//! another parser.

use super::check;
use super::date::iso;
use super::head::Head;
use crate::socket::json::placeholder;
use crate::socket::json::write::{push_displayed, push_f64, push_i64, push_string, push_u64};
use alloc::string::String;
use alloc::vec::Vec;
use bytes::Bytes;

/// Where bytes go, which JSON does not have.
pub(crate) enum Binary<'a> {
    /// Attachments, which share the memory of the message.
    Attach { message: &'a Bytes, attachments: &'a mut Vec<Bytes> },
    /// Lists of numbers, as serde_json writes them.
    Numbers,
}

/// Takes one value from the front of `rest`, and writes it as JSON. `undefined` and numbers that are not finite are
/// `null`, a date is a text, and a member that is `undefined` is left out, as `JSON.stringify` does it.
///
/// Does not recurse: a level of nesting costs a few bytes.
pub(crate) fn push_value(out: &mut Vec<u8>, rest: &mut &[u8], binary: &mut Binary<'_>) {
    struct Open {
        left: u32,
        is_map: bool,
        is_new: bool,
    }

    let mut open: Vec<Open> = Vec::new();
    loop {
        // What cannot be read was not checked.
        match Head::read(rest).unwrap_or(Head::Nil) {
            Head::Array(left) => {
                out.push(b'[');
                open.push(Open { left, is_map: false, is_new: true });
            }
            Head::Map(left) => {
                out.push(b'{');
                open.push(Open { left, is_map: true, is_new: true });
            }
            scalar => push_scalar(out, scalar, binary),
        }
        // To the place of the next value, and out of all that ends before it.
        loop {
            let Some(container) = open.last_mut() else { return };
            let Some(left) = container.left.checked_sub(1) else {
                out.push(if container.is_map { b'}' } else { b']' });
                open.pop();
                continue;
            };
            container.left = left;
            if container.is_map {
                let key = Head::read(rest).unwrap_or(Head::Nil);
                if is_undefined(rest) {
                    check::skip(rest, 1);
                    continue;
                }
                if !core::mem::take(&mut container.is_new) {
                    out.push(b',');
                }
                push_string(out, &key_text(key));
                out.push(b':');
            } else if !core::mem::take(&mut container.is_new) {
                out.push(b',');
            }
            break;
        }
    }
}

/// Whether the value that begins there is JavaScript's `undefined`.
pub(super) fn is_undefined(mut rest: &[u8]) -> bool {
    // A look at the first byte says it mostly.
    rest.first() == Some(&0xd4) && Head::read(&mut rest) == Ok(Head::Undefined)
}

/// The text that a key is to JavaScript.
pub(super) fn key_text(key: Head<'_>) -> String {
    match key {
        Head::Str(text) | Head::Bin(text) => String::from_utf8_lossy(text).into_owned(),
        Head::Bool(value) => String::from(if value { "true" } else { "false" }),
        Head::Nil => String::from("null"),
        Head::F32(value) => number_text(f64::from(value)),
        Head::F64(value) => number_text(value),
        other => {
            let mut out = Vec::new();
            push_scalar(&mut out, other, &mut Binary::Numbers);
            String::from_utf8(out).unwrap_or_default()
        }
    }
}

/// The text of a number in JavaScript: digits as far as they go to 21 places, else an exponent with its sign.
fn number_text(value: f64) -> String {
    let size = value.abs();
    if value.is_nan() {
        String::from("NaN")
    } else if size == 0.0 {
        String::from("0")
    } else if value.is_infinite() {
        String::from(if value > 0.0 { "Infinity" } else { "-Infinity" })
    } else if (1e-6..1e21).contains(&size) {
        alloc::format!("{value}")
    } else {
        let text = alloc::format!("{value:e}");
        if size < 1.0 { text } else { text.replace('e', "e+") }
    }
}

fn push_scalar(out: &mut Vec<u8>, head: Head<'_>, binary: &mut Binary<'_>) {
    match head {
        Head::Bool(value) => out.extend_from_slice(if value { b"true" } else { b"false" }),
        Head::Uint(value) => push_u64(out, value),
        Head::Int(value) => push_i64(out, value),
        Head::F32(value) => push_f64(out, f64::from(value)),
        Head::F64(value) => push_f64(out, value),
        Head::Str(text) => push_string(out, core::str::from_utf8(text).unwrap_or_default()),
        Head::Date(millis) => match iso(millis) {
            // Writing to memory does not fail.
            Some(text) => push_displayed(out, &text).unwrap_or_default(),
            None => out.extend_from_slice(b"null"),
        },
        Head::Bin(bytes) | Head::Ext(bytes) => match binary {
            Binary::Attach { message, attachments } => {
                placeholder::push(out, attachments.len());
                attachments.push(message.slice_ref(bytes));
            }
            Binary::Numbers => {
                out.push(b'[');
                for (at, byte) in bytes.iter().enumerate() {
                    if at > 0 {
                        out.push(b',');
                    }
                    push_u64(out, u64::from(*byte));
                }
                out.push(b']');
            }
        },
        Head::Nil | Head::Undefined | Head::Array(_) | Head::Map(_) => out.extend_from_slice(b"null"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_that_are_numbers_have_the_texts_of_javascript() {
        // As `String(number)` says them in Node.js.
        for (number, text) in [
            (1e21, "1e+21"),
            (1e-7, "1e-7"),
            (0.000_001, "0.000001"),
            (1.5, "1.5"),
            (-0.0, "0"),
            (-1.25e300, "-1.25e+300"),
            (123_456_789_012_345_680_000.0, "123456789012345680000"),
            (1e16, "10000000000000000"),
            (5e-324, "5e-324"),
            (f64::from(f32::MIN_POSITIVE), "1.1754943508222875e-38"),
            (f64::NAN, "NaN"),
            (f64::INFINITY, "Infinity"),
            (f64::NEG_INFINITY, "-Infinity"),
        ] {
            assert_eq!(key_text(Head::F64(number)), text);
        }
        assert_eq!(key_text(Head::F32(f32::NAN)), "NaN");
        assert_eq!(key_text(Head::F32(0.1)), "0.10000000149011612");
    }
}
