//! Writing the scalars of JSON, exactly as serde_json's compact form has them. Its own serializer exists with
//! std only.

use crate::socket::json::scan::{find_special, mark_specials};
use alloc::vec::Vec;
use core::fmt;
use core::fmt::{Display, Write as _};

/// A string in quotes.
pub(crate) fn push_string(out: &mut Vec<u8>, text: &str) {
    out.reserve(text.len().saturating_add(2));
    out.push(b'"');
    push_escaped(out, text);
    out.push(b'"');
}

/// The displayed form of a value, in quotes.
pub(crate) fn push_displayed<T: Display + ?Sized>(out: &mut Vec<u8>, value: &T) -> fmt::Result {
    struct Escaped<'a>(&'a mut Vec<u8>);

    impl fmt::Write for Escaped<'_> {
        fn write_str(&mut self, text: &str) -> fmt::Result {
            push_escaped(self.0, text);
            Ok(())
        }
    }

    out.push(b'"');
    write!(Escaped(out), "{value}")?;
    out.push(b'"');
    Ok(())
}

/// Returns whether something in a text has to be escaped.
#[inline]
fn has_special(text: &[u8]) -> bool {
    // Names are short: two words, which may overlap, are all of one.
    if text.len() <= 16 {
        if let (Some(first), Some(last)) = (text.first_chunk(), text.last_chunk()) {
            return mark_specials(u64::from_le_bytes(*first)) | mark_specials(u64::from_le_bytes(*last)) != 0;
        }
        if let (Some(first), Some(last)) = (text.first_chunk(), text.last_chunk()) {
            let (first, last) = (u32::from_le_bytes(*first), u32::from_le_bytes(*last));
            return mark_specials(u64::from(first) << 32 | u64::from(last)) != 0;
        }
    }
    let is_special = |byte| byte < b' ' || byte == b'"' || byte == b'\\';
    // Without a way out of its middle, the compiler takes whole vectors.
    text.iter().fold(false, |found, &byte| found | is_special(byte))
}

fn push_escaped(out: &mut Vec<u8>, text: &str) {
    if has_special(text.as_bytes()) {
        push_escapes(out, text);
    } else {
        out.extend_from_slice(text.as_bytes());
    }
}

#[inline(never)]
fn push_escapes(out: &mut Vec<u8>, text: &str) {
    const HEX: &[u8; 16] = b"0123456789abcdef";
    let mut rest = text.as_bytes();
    loop {
        // What has to be escaped is what ends the search.
        let (plain, special) = rest.split_at_checked(find_special(rest, 0)).unwrap_or((rest, &[]));
        out.extend_from_slice(plain);
        let Some((&byte, behind)) = special.split_first() else { return };
        rest = behind;
        let short = match byte {
            b'"' | b'\\' => byte,
            0x08 => b'b',
            b'\t' => b't',
            b'\n' => b'n',
            0x0c => b'f',
            b'\r' => b'r',
            _ => {
                out.extend_from_slice(b"\\u00");
                #[allow(
                    clippy::indexing_slicing,
                    reason = "proof: there are 16 digits, and 4 bits are below 16"
                )]
                let digits = [HEX[usize::from(byte >> 4)], HEX[usize::from(byte & 15)]];
                out.extend_from_slice(&digits);
                continue;
            }
        };
        out.extend_from_slice(&[b'\\', short]);
    }
}

/// A whole number.
#[allow(
    clippy::arithmetic_side_effects,
    clippy::indexing_slicing,
    reason = "proof: the loop ends after at most 20 steps, because 10^20 is above `u64::MAX`"
)]
pub(crate) fn push_u64(out: &mut Vec<u8>, mut value: u64) {
    let mut digits = [0; 20];
    let mut at = digits.len();
    loop {
        at -= 1;
        digits[at] = b'0' + (value % 10) as u8;
        value /= 10;
        if value == 0 {
            break;
        }
    }
    out.extend_from_slice(&digits[at..]);
}

/// The digits of a whole number.
pub(in crate::socket) fn decimal_len(value: u64) -> usize {
    value.checked_ilog10().map_or(1, |log| (log as usize).saturating_add(1))
}

/// A whole number with its sign.
pub(in crate::socket) fn push_i64(out: &mut Vec<u8>, value: i64) {
    if value < 0 {
        out.push(b'-');
    }
    push_u64(out, value.unsigned_abs());
}

/// A value that displays as ASCII without escapes: the wide integers, serde_json's numbers.
pub(super) fn push_plain<T: Display>(out: &mut Vec<u8>, value: T) {
    struct Plain<'a>(&'a mut Vec<u8>);

    impl fmt::Write for Plain<'_> {
        fn write_str(&mut self, text: &str) -> fmt::Result {
            self.0.extend_from_slice(text.as_bytes());
            Ok(())
        }
    }

    // Numbers do not fail to display.
    let _ = write!(Plain(out), "{value}");
}

/// A double; `null` if it is not finite. serde_json picks the digits, so they are the same.
pub(in crate::socket) fn push_f64(out: &mut Vec<u8>, value: f64) {
    match serde_json::Number::from_f64(value) {
        Some(number) => push_plain(out, number),
        None => out.extend_from_slice(b"null"),
    }
}

/// A single: its own shortest digits, not those of the double that it equals.
pub(super) fn push_f32(out: &mut Vec<u8>, value: f32) {
    out.extend_from_slice(&serde_json::to_vec(&value).unwrap_or_default());
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::string::String;

    fn written(write: impl FnOnce(&mut Vec<u8>)) -> String {
        let mut out = Vec::new();
        write(&mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn every_character_is_escaped_as_serde_json_escapes_it() {
        for code in 0..=0x3000 {
            let Some(char) = char::from_u32(code) else { continue };
            let text = alloc::format!("a{char}{char}b");
            assert_eq!(written(|out| push_string(out, &text)), serde_json::to_string(&text).unwrap());
            let displayed = written(|out| push_displayed(out, &text).unwrap());
            assert_eq!(displayed, serde_json::to_string(&text).unwrap());
        }
    }

    #[test]
    fn numbers_are_written_as_serde_json_writes_them() {
        for value in [0, 1, 9, 10, 99, 100, 12345, u64::MAX - 1, u64::MAX] {
            assert_eq!(written(|out| push_u64(out, value)), serde_json::to_string(&value).unwrap());
        }
        for value in [0, -1, 1, i64::MIN, i64::MAX] {
            assert_eq!(written(|out| push_i64(out, value)), serde_json::to_string(&value).unwrap());
        }
        for value in
            [0.0, -0.0, 1.0, 0.1, 1e15, 1e16, 1e17, 1e21, 1e-5, 1e-7, 1.5e300, f64::NAN, f64::INFINITY]
        {
            assert_eq!(written(|out| push_f64(out, value)), serde_json::to_string(&value).unwrap());
            let single = value as f32;
            assert_eq!(written(|out| push_f32(out, single)), serde_json::to_string(&single).unwrap());
        }
    }
}
