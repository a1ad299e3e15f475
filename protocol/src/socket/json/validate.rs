//! Checking JSON without building anything from it.
//!
//! This takes what JavaScript takes, and serde_json's ignoring parser, which is its test oracle: any depth that is
//! allowed, halves of surrogate pairs, numbers beyond a double. It is there because it sees every byte of every
//! message: it takes strings eight bytes at a time, and does not allocate up to 64 levels of nesting.
//!
//! A position is at most the length of the slice, and no function looks further than 6 bytes ahead. A slice has at
//! most `isize::MAX` bytes, so that none of these sums overflows.

use crate::socket::json::scan::{find_special, skip_blanks};
use crate::socket::packet::{PacketError, PacketType};
use alloc::format;
use alloc::vec::Vec;

/// The reason why a text is refused.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::socket) enum Invalid {
    Syntax(SyntaxError),
    TooDeep { max: usize },
}

/// The mistake in a text, and its place. A type of its own: a result with it is smaller than one with [`Invalid`].
#[derive(Debug, PartialEq, Eq)]
pub(in crate::socket) struct SyntaxError {
    pub(super) expected: &'static str,
    at: usize,
}

impl From<SyntaxError> for Invalid {
    fn from(error: SyntaxError) -> Self {
        Self::Syntax(error)
    }
}

impl SyntaxError {
    fn expected<T>(expected: &'static str, at: usize) -> Result<T, Self> {
        Err(Self { expected, at })
    }
}

impl Invalid {
    fn expected<T>(expected: &'static str, at: usize) -> Result<T, Self> {
        Err(Self::Syntax(SyntaxError { expected, at }))
    }

    /// The error of a packet of that kind.
    pub(super) fn refuse(self, kind: PacketType) -> PacketError {
        match self {
            Self::Syntax(SyntaxError { expected, at }) => {
                PacketError::InvalidPayload { kind, at, reason: format!("expected {expected}") }
            }
            Self::TooDeep { max } => PacketError::TooDeep { max },
        }
    }
}

/// The findings about a valid text.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(in crate::socket) struct Checked {
    /// The elements, if it is a list.
    pub(super) elements: usize,
    /// The depth of lists and objects inside each other.
    pub(super) depth: usize,
    /// The characters of the longest number.
    pub(super) longest_number: usize,
    /// The place behind its first element, if it is a list.
    pub(super) behind_first: usize,
    /// One of its strings has an escape.
    pub(super) has_escapes: bool,
    /// Half a surrogate pair stands in one of its strings.
    pub(super) has_half_surrogate: bool,
}

/// Checks that there is one JSON value from `at` on, and nothing but blanks behind it. Refuses what nests deeper than
/// `max_depth`.
///
/// Does not recurse. A level of nesting costs one bit.
#[inline(always)]
pub(in crate::socket) fn check(json: &[u8], at: usize, max_depth: usize) -> Result<Checked, Invalid> {
    let mut seen = Checked::default();
    walk(json, at, max_depth, &mut seen)?;
    Ok(seen)
}

/// The same, which writes what it finds to where it is wanted: every message comes along here, and a result with all of
/// it would be moved more than once.
#[allow(
    clippy::arithmetic_side_effects,
    reason = "proof: a position is at most 6 behind the end of a slice, and each element has a byte at least"
)]
pub(super) fn walk(json: &[u8], mut at: usize, max_depth: usize, seen: &mut Checked) -> Result<(), Invalid> {
    let mut open = Nesting::default();
    loop {
        at = skip_blanks(json, at);
        match json.get(at) {
            Some(b'"') => at = string(json, at, seen)?,
            Some(b'-' | b'0'..=b'9') => {
                let start = at;
                at = number(json, at)?;
                seen.longest_number = seen.longest_number.max(at - start);
            }
            Some(b't') => at = word(json, at, b"true")?,
            Some(b'f') => at = word(json, at, b"false")?,
            Some(b'n') => at = word(json, at, b"null")?,
            Some(b'[') => {
                open.enter(max_depth, seen)?;
                at = skip_blanks(json, at + 1);
                if json.get(at) != Some(&b']') {
                    open.push(false);
                    continue;
                }
                at += 1;
            }
            Some(b'{') => {
                open.enter(max_depth, seen)?;
                at = skip_blanks(json, at + 1);
                if json.get(at) != Some(&b'}') {
                    open.push(true);
                    at = key(json, at, seen)?;
                    continue;
                }
                at += 1;
            }
            _ => return Invalid::expected("a value", at),
        }
        // A value has ended, and maybe what it is in.
        if seen.elements == 0 && open.depth == 1 {
            seen.behind_first = at;
        }
        loop {
            at = skip_blanks(json, at);
            let Some(is_object) = open.top() else {
                return if at == json.len() { Ok(()) } else { Invalid::expected("the end", at) };
            };
            seen.elements += usize::from(open.depth == 1);
            match json.get(at) {
                Some(b',') if is_object => {
                    at = key(json, skip_blanks(json, at + 1), seen)?;
                    break;
                }
                Some(b',') => {
                    at += 1;
                    break;
                }
                Some(b'}') if is_object => {}
                Some(b']') if !is_object => {}
                _ if is_object => return Invalid::expected("',' or '}'", at),
                _ => return Invalid::expected("',' or ']'", at),
            }
            open.pop();
            at += 1;
        }
    }
}

/// Past the key at `at` and its colon.
#[allow(clippy::arithmetic_side_effects, reason = "proof: a position is at most 6 behind the end of a slice")]
fn key(json: &[u8], at: usize, seen: &mut Checked) -> Result<usize, SyntaxError> {
    if json.get(at) != Some(&b'"') {
        return SyntaxError::expected("a key in quotes", at);
    }
    let at = skip_blanks(json, string(json, at, seen)?);
    if json.get(at) != Some(&b':') {
        return SyntaxError::expected("':'", at);
    }
    Ok(at + 1)
}

/// Past the string whose opening quote is at `at`.
#[allow(clippy::arithmetic_side_effects, reason = "proof: a position is at most 6 behind the end of a slice")]
fn string(json: &[u8], at: usize, seen: &mut Checked) -> Result<usize, SyntaxError> {
    // Most strings have no escape, and need no more than this.
    let at = find_special(json, at + 1);
    if json.get(at) == Some(&b'"') { Ok(at + 1) } else { rest_of_string(json, at, seen) }
}

/// Past the string of which that byte is the first that is not plain.
#[inline(never)]
#[allow(clippy::arithmetic_side_effects, reason = "proof: a position is at most 6 behind the end of a slice")]
fn rest_of_string(json: &[u8], mut at: usize, seen: &mut Checked) -> Result<usize, SyntaxError> {
    loop {
        match json.get(at) {
            Some(b'"') => return Ok(at + 1),
            Some(b'\\') => {
                seen.has_escapes = true;
                at += escape(json, at, seen)?;
            }
            Some(_) => return SyntaxError::expected("no control character in a string", at),
            None => return SyntaxError::expected("a closing quote", at),
        }
        at = find_special(json, at);
    }
}

/// The length of the escape at `at`, of both if they are a surrogate pair.
#[allow(clippy::arithmetic_side_effects, reason = "proof: a position is at most 6 behind the end of a slice")]
fn escape(json: &[u8], at: usize, seen: &mut Checked) -> Result<usize, SyntaxError> {
    match json.get(at + 1) {
        Some(b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't') => Ok(2),
        Some(b'u') => match json.get(at + 2..at + 6) {
            Some(digits) if digits.iter().all(u8::is_ascii_hexdigit) => {
                let (len, is_half) = surrogates(json, at);
                seen.has_half_surrogate |= is_half;
                Ok(len)
            }
            _ => SyntaxError::expected("four hexadecimal digits", at + 2),
        },
        _ => SyntaxError::expected("an escape that JSON knows", at),
    }
}

/// The length of the escape `\uXXXX` at `at`, of both if it begins a surrogate pair, and whether it is half of one.
#[allow(clippy::arithmetic_side_effects, reason = "proof: a position is at most 6 behind the end of a slice")]
fn surrogates(json: &[u8], at: usize) -> (usize, bool) {
    match escaped_unit(json, at) {
        Some(0xD800..=0xDBFF) => match escaped_unit(json, at + 6) {
            Some(0xDC00..=0xDFFF) => (12, false),
            _ => (6, true),
        },
        Some(0xDC00..=0xDFFF) => (6, true),
        _ => (6, false),
    }
}

/// The code unit of the escape `\uXXXX` at `at`, if one is there.
#[allow(
    clippy::arithmetic_side_effects,
    reason = "proof: a position is at most 12 behind the end of a slice"
)]
fn escaped_unit(json: &[u8], at: usize) -> Option<u32> {
    let digits = json.get(at..at + 6)?.strip_prefix(b"\\u")?;
    u32::from_str_radix(core::str::from_utf8(digits).ok()?, 16).ok()
}

/// The same JSON, which must be valid, with U+FFFD in place of each half of a surrogate pair: what JavaScript can hold
/// and Rust cannot. All positions stay as they are.
#[allow(
    clippy::arithmetic_side_effects,
    reason = "proof: a position is at most 12 behind the end of a slice"
)]
pub(super) fn mend(json: &mut [u8]) {
    let mut at = 0;
    while at < json.len() {
        at += match json.get(at..at + 2) {
            Some(b"\\u") => {
                let (len, is_half) = surrogates(json, at);
                if let (true, Some(escape)) = (is_half, json.get_mut(at..at + 6)) {
                    escape.copy_from_slice(b"\\ufffd");
                }
                len
            }
            Some([b'\\', _]) => 2,
            _ => 1,
        };
    }
}

/// Past the number at `at`.
#[allow(clippy::arithmetic_side_effects, reason = "proof: a position is at most 6 behind the end of a slice")]
fn number(json: &[u8], mut at: usize) -> Result<usize, SyntaxError> {
    at += usize::from(json.get(at) == Some(&b'-'));
    at = match json.get(at) {
        // Nothing but a fraction may follow a leading zero.
        Some(b'0') => at + 1,
        _ => digits(json, at)?,
    };
    if json.get(at) == Some(&b'.') {
        at = digits(json, at + 1)?;
    }
    if let Some(b'e' | b'E') = json.get(at) {
        at += 1;
        at += usize::from(matches!(json.get(at), Some(b'+' | b'-')));
        at = digits(json, at)?;
    }
    // A digit behind a leading zero is what is left that could go wrong, and no value is followed by one.
    Ok(at)
}

/// Past at least one digit.
#[allow(clippy::arithmetic_side_effects, reason = "proof: a position is at most 6 behind the end of a slice")]
fn digits(json: &[u8], at: usize) -> Result<usize, SyntaxError> {
    let mut end = at;
    while let Some(b'0'..=b'9') = json.get(end) {
        end += 1;
    }
    if end == at { SyntaxError::expected("a digit", at) } else { Ok(end) }
}

#[allow(clippy::arithmetic_side_effects, reason = "proof: a position is at most 6 behind the end of a slice")]
fn word(json: &[u8], at: usize, word: &'static [u8]) -> Result<usize, SyntaxError> {
    let end = at + word.len();
    if json.get(at..end) == Some(word) { Ok(end) } else { SyntaxError::expected("a value", at) }
}

/// The open lists and objects, the innermost last: one bit each, set for an object.
#[derive(Default)]
struct Nesting {
    depth: usize,
    /// The bits of the innermost up to 64.
    bits: u64,
    /// The full words before them.
    outer: Vec<u64>,
}

impl Nesting {
    /// A list or an object begins.
    #[allow(clippy::arithmetic_side_effects, reason = "proof: each byte opens at most one level")]
    fn enter(&self, max: usize, seen: &mut Checked) -> Result<(), Invalid> {
        let depth = self.depth + 1;
        seen.depth = seen.depth.max(depth);
        if depth > max { Err(Invalid::TooDeep { max }) } else { Ok(()) }
    }

    #[allow(clippy::arithmetic_side_effects, reason = "proof: each byte opens at most one level")]
    fn push(&mut self, is_object: bool) {
        if self.depth > 0 && self.depth % 64 == 0 {
            self.outer.push(self.bits);
        }
        self.bits = self.bits << 1 | u64::from(is_object);
        self.depth += 1;
    }

    #[allow(
        clippy::arithmetic_side_effects,
        reason = "proof: it is called only when `top` has found a level, so the depth is not 0"
    )]
    fn pop(&mut self) {
        self.depth -= 1;
        self.bits >>= 1;
        if self.depth % 64 == 0 {
            self.bits = self.outer.pop().unwrap_or(0);
        }
    }

    fn top(&self) -> Option<bool> {
        (self.depth > 0).then_some(self.bits & 1 == 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::string::String;
    use alloc::vec;
    use proptest::prelude::*;
    use serde::de::IgnoredAny;

    fn agrees(json: &str) {
        let ours = check(json.as_bytes(), 0, usize::MAX).map(|seen| seen.elements);
        let oracle = serde_json::from_str::<IgnoredAny>(json);
        assert_eq!(ours.is_ok(), oracle.is_ok(), "{json:?}: {ours:?} {oracle:?}");
        if json.trim_start().starts_with('[') {
            if let Ok(count) = ours {
                let elements = serde_json::from_str::<Vec<IgnoredAny>>(json).unwrap();
                assert_eq!(count, elements.len(), "{json:?}");
            }
        }
    }

    #[test]
    fn it_agrees_with_the_oracle_on_what_is_json() {
        for json in [
            "",
            " ",
            "[",
            "]",
            "{",
            "}",
            "[]",
            "{}",
            "[ ]",
            "{ }",
            "[,]",
            "[1,]",
            "[,1]",
            "[1 2]",
            "[1,2]",
            "[[],[]]",
            "{,}",
            r#"{"a"}"#,
            r#"{"a":}"#,
            r#"{"a":1}"#,
            r#"{"a":1,}"#,
            r#"{"a":1,"a":[{}]}"#,
            "{1:1}",
            "[}",
            "[1}",
            "{]",
            r#"[{"a":1]}"#,
            "0",
            "-0",
            "-",
            "00",
            "01",
            "-01",
            "1.",
            "1.0",
            ".5",
            "1e",
            "1e+",
            "1e+5",
            "1E-05",
            "1e5.0",
            "0e0",
            "0x1",
            "+1",
            "1 1",
            "--1",
            "1a",
            "true",
            "tru",
            "truee",
            "null",
            "nul",
            "false",
            "[true,false,null]",
            "True",
            "NaN",
            "Infinity",
            "1e400",
            "\"",
            "\"\"",
            r#""\"#,
            r#""\""#,
            r#""\"""#,
            r#""\a""#,
            r#""\u""#,
            r#""\u12""#,
            r#""\u123g""#,
            r#""\u12é""#,
            r#""\ud800""#,
            r#""\udc00\ud800""#,
            "\"\t\"",
            "\"\u{1f}\"",
            "\"\u{7f}\"",
            "\"é😀\"",
            "'a'",
            "[1]x",
            "[1] \r\n\t",
            "[1]\u{b}",
            "\u{feff}[]",
            "[1]\0",
            "\"12345678\"",
            "\"1234567\\n\"",
            "\"123456789012345\u{1}\"",
            "\"12345678",
        ] {
            agrees(json);
        }
    }

    #[test]
    fn nesting_of_any_depth_is_followed() {
        for depth in [1, 2, 63, 64, 65, 127, 128, 129, 1000, 100_000] {
            // Lists and objects in turn of three and five, so that no bit is its neighbour's copy.
            let is_object = |level: usize| level % 3 == 0 || level % 5 == 0;
            let mut json = String::new();
            for level in 0..depth {
                json.push_str(if is_object(level) { r#"{"a":"# } else { "[" });
            }
            json.push('1');
            for level in (0..depth).rev() {
                json.push(if is_object(level) { '}' } else { ']' });
            }
            let elements =
                |json: &str| check(json.as_bytes(), 0, usize::MAX).map(|seen| (seen.elements, seen.depth));
            assert_eq!(elements(&json), Ok((1, depth)));
            assert_eq!(check(json.as_bytes(), 0, depth - 1), Err(Invalid::TooDeep { max: depth - 1 }));
            json.pop();
            assert!(elements(&json).is_err());
            json.push(']'); // the outermost is an object
            assert!(elements(&json).is_err());
        }
    }

    proptest! {
        #[test]
        fn it_agrees_with_the_oracle_on_what_is_nearly_json(
            pieces in prop::collection::vec(
                prop::sample::select(vec![
                    "[", "]", "{", "}", ",", ":", "\"", "\\", "\\\"", "\\u00e9", "\\ud83d", "true", "null", "0", "-", ".5",
                    "e1", "12", " ", "\n", "\"a\"", "\"a\":", "é", "\u{1}", "a", "[1,", "{\"b\":", "]]", "}]",
                ]),
                0..14,
            )
        ) {
            agrees(&pieces.concat());
        }

        #[test]
        fn it_agrees_with_the_oracle_on_text(text in any::<String>()) {
            agrees(&text);
            agrees(&alloc::format!("\"{text}\""));
        }
    }
}
