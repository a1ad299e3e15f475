//! JSON, or what should be JSON: texts but for keys and the name of an event, and all digits, are masked.

use super::{for_each_char, mask_words, masked_char};
use crate::socket::json::placeholder::placeholders;
use alloc::vec::Vec;
use core::convert::Infallible;
use core::ops::Range;
use serde::de::IgnoredAny;

/// The longest number of a placeholder that stays.
const MAX_PLACEHOLDER: usize = 5;

/// The parts that a session reads in the JSON of a packet.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Keep {
    Nothing,
    /// The event's name: a text right behind the first bracket.
    Name,
    /// The numbers of attachments.
    Placeholders,
    NameAndPlaceholders,
}

/// Masks it. What is malformed stays malformed.
pub(super) fn mask(out: &mut Vec<u8>, json: &[u8], keep: Keep) {
    let names = matches!(keep, Keep::Name | Keep::NameAndPlaceholders);
    let attached = matches!(keep, Keep::Placeholders | Keep::NameAndPlaceholders);
    let mut masking = Masking {
        name: if names { place_of_name(json) } else { None },
        placeholders: if attached { places_of_placeholders(json) } else { Vec::new() },
        is_num: false,
        before: 0,
        out,
    };
    let mut at = 0_usize;
    while let Some(rest) = json.get(at..).filter(|rest| !rest.is_empty()) {
        at = at.saturating_add(masking.next(rest, at));
    }
}

/// The place of the quote before an event's name.
fn place_of_name(json: &[u8]) -> Option<usize> {
    let at = json.iter().position(|byte| !byte.is_ascii_whitespace() && *byte != b'[')?;
    let brackets = json.get(..at)?.iter().filter(|byte| **byte == b'[').count();
    (brackets == 1 && json.get(at) == Some(&b'"')).then_some(at)
}

/// The places of placeholders. What is no JSON has none: its packet is refused anyway.
fn places_of_placeholders(json: &[u8]) -> Vec<Range<usize>> {
    let mut places = Vec::new();
    if serde_json::from_slice::<IgnoredAny>(json).is_ok() {
        let Ok(()) = placeholders(json, |found| {
            places.push(found.span);
            Ok::<(), Infallible>(())
        });
    }
    places
}

struct Masking<'a> {
    out: &'a mut Vec<u8>,
    name: Option<usize>,
    placeholders: Vec<Range<usize>>,
    /// The last text was the key of a placeholder's number.
    is_num: bool,
    /// The last byte outside of texts that is not blank: keys stand behind `{` and `,` only.
    before: u8,
}

impl Masking<'_> {
    /// Masks a text, a number, a word, or a byte between them. Returns its length.
    fn next(&mut self, rest: &[u8], at: usize) -> usize {
        match rest.split_first() {
            Some((b'"', behind)) => self.text(behind, at),
            Some((byte, _)) if byte.is_ascii_digit() || *byte == b'-' => self.number(rest, at),
            Some((byte, _)) if byte.is_ascii_alphabetic() => self.word(rest),
            _ => self.other(rest),
        }
    }

    fn text(&mut self, behind: &[u8], at: usize) -> usize {
        let (text, after) = behind.split_at(end_of_text(behind));
        let next = after.get(1..).unwrap_or_default().iter().find(|byte| !byte.is_ascii_whitespace());
        let is_key = next == Some(&b':') && matches!(self.before, b'{' | b',');
        self.out.push(b'"');
        if is_key || self.name == Some(at) {
            self.out.extend_from_slice(text);
        } else {
            mask_text(self.out, text);
        }
        // The quote behind it, if there is one.
        self.out.extend(after.first());
        self.is_num = is_key && (text == b"num" || text.contains(&b'\\'));
        self.before = b'"';
        text.len().saturating_add(1).saturating_add(usize::from(!after.is_empty()))
    }

    fn number(&mut self, rest: &[u8], at: usize) -> usize {
        let is_of_number =
            |byte: &u8| byte.is_ascii_digit() || matches!(byte, b'-' | b'+' | b'.' | b'e' | b'E');
        let number = rest.split(|byte| !is_of_number(byte)).next().unwrap_or_default();
        let is_placeholder = core::mem::take(&mut self.is_num)
            && number.len() <= MAX_PLACEHOLDER
            && self.placeholders.iter().any(|place| place.contains(&at));
        let whole = number.strip_prefix(b"-").unwrap_or(number);
        // A zero before a digit makes it malformed, and must not become a number.
        let zero =
            (whole.len() > 1 && whole.first() == Some(&b'0') && whole.get(1).is_some_and(u8::is_ascii_digit))
                .then(|| number.len().saturating_sub(whole.len()));
        for (place, byte) in number.iter().enumerate() {
            let is_kept = is_placeholder || !byte.is_ascii_digit() || zero == Some(place);
            self.out.push(if is_kept { *byte } else { b'1' });
        }
        self.before = b'0';
        number.len()
    }

    fn word(&mut self, rest: &[u8]) -> usize {
        let word = rest.split(|byte| !byte.is_ascii_alphabetic()).next().unwrap_or_default();
        match word {
            b"true" | b"false" | b"null" => self.out.extend_from_slice(word),
            word => self.out.extend(word.iter().map(|_| b'x')),
        }
        self.is_num = false;
        self.before = b'x';
        word.len()
    }

    fn other(&mut self, rest: &[u8]) -> usize {
        let is_other = |byte: &u8| !matches!(byte, b'"' | b'-') && !byte.is_ascii_alphanumeric();
        let other = rest.split(|byte| !is_other(byte)).next().unwrap_or_default();
        for_each_char(other, |bytes| self.out.extend_from_slice(masked_char(bytes)));
        if let Some(byte) = other.iter().rfind(|byte| !byte.is_ascii_whitespace()) {
            self.is_num &= *byte == b':';
            self.before = *byte;
        }
        other.len()
    }
}

/// The end of a text, behind its first quote: the place of its last one, or the end of all.
fn end_of_text(bytes: &[u8]) -> usize {
    let mut at = 0_usize;
    while let Some(byte) = bytes.get(at) {
        match byte {
            b'"' => return at,
            b'\\' => at = at.saturating_add(2),
            _ => at = at.saturating_add(1),
        }
    }
    bytes.len()
}

/// Masks the inside of a text.
fn mask_text(out: &mut Vec<u8>, text: &[u8]) {
    let mut rest = text;
    while let Some(at) = rest.iter().position(|byte| *byte == b'\\') {
        let (plain, escape) = rest.split_at(at);
        mask_words(out, plain);
        let code = escape.get(2..6).filter(|_| escape.get(1) == Some(&b'u'));
        let value = code.and_then(|code| core::str::from_utf8(code).ok());
        let value = value.and_then(|code| u32::from_str_radix(code, 16).ok());
        match value {
            // Halves of pairs must stay together.
            Some(0xd800..=0xdfff) | None => {
                let len = if value.is_some() { 6 } else { 2.min(escape.len()) };
                let (kept, after) = escape.split_at(len);
                out.extend_from_slice(kept);
                rest = after;
            }
            Some(_) => {
                out.extend_from_slice(b"\\u0078");
                rest = escape.get(6..).unwrap_or_default();
            }
        }
    }
    mask_words(out, rest);
}
