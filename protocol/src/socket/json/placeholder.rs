//! Finding the objects that stand for attachments: `{"_placeholder":true,"num":0}`.

use crate::socket::json::scan::{skip_blanks, skip_scalar, skip_string, skip_value, unescape};
use crate::socket::json::write::push_u64;
use alloc::vec::Vec;
use bytes::Bytes;
use core::convert::Infallible;
use core::ops::Range;

/// An object whose `_placeholder` is `true`.
pub(crate) struct Placeholder {
    /// Which attachment it stands for, if its `num` is a whole number.
    pub(crate) num: Option<usize>,
    /// The place of the object.
    pub(crate) span: Range<usize>,
}

impl Placeholder {
    /// Returns whether `json` already has it in the one form that [`push`] writes.
    pub(in crate::socket) fn is_canonical(&self, json: &[u8]) -> bool {
        let found = canonical(json, self.span.start);
        found.is_some_and(|found| found.span == self.span)
    }
}

/// The way in which the placeholders of a text name the attachments.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::socket) struct Names {
    /// Some attachment may be named twice.
    pub(in crate::socket) repeat: bool,
    /// Each is named once, in order, by a placeholder as [`push`] writes it.
    pub(in crate::socket) are_in_order: bool,
}

const OBJECT: u8 = 1;
const MARKED: u8 = 2;

/// The text before the number of a placeholder as the reference writes it.
const HEAD: &[u8] = b"{\"_placeholder\":true,\"num\":";

/// The key that makes an object a placeholder.
const MARK: &[u8] = b"_placeholder";

/// Calls `each` for every placeholder in `json`, which must be valid JSON, in the order in which they end.
///
/// Does not recurse: a peer may nest as deep as its message is long. Needs one byte per level of nesting, and one
/// word more per open object, which has at least five bytes of text around the one inside of it.
/// Of a repeated key the last one counts, as in JavaScript.
pub(crate) fn placeholders<E>(json: &[u8], each: impl FnMut(Placeholder) -> Result<(), E>) -> Result<(), E> {
    // Without a way out of its middle, the compiler takes whole vectors.
    let has_escapes = json.iter().fold(false, |found, &byte| found | (byte == b'\\'));
    each_placeholder(json, has_escapes, each)
}

fn each_placeholder<E>(
    json: &[u8],
    has_escapes: bool,
    mut each: impl FnMut(Placeholder) -> Result<(), E>,
) -> Result<(), E> {
    match if has_escapes { None } else { Canonical::all(json) } {
        Some(Canonical { count: 1, last: Some(only), .. }) => each(only),
        Some(_) => {
            let mut canonical = Canonical::new(json);
            while let Ok(Some(found)) = canonical.next() {
                each(found)?;
            }
            Ok(())
        }
        None => any_placeholders(json, each),
    }
}

/// The placeholders of a text that has all of them in the form that [`push`] writes, as the reference does. They are
/// found without following the JSON: in valid JSON without a backslash, no string has a quote in it, so what looks like
/// one is one.
struct Canonical<'a> {
    json: &'a [u8],
    /// All before this is seen.
    at: usize,
    count: usize,
    last: Option<Placeholder>,
}

impl<'a> Canonical<'a> {
    fn new(json: &'a [u8]) -> Self {
        Self { json, at: 0, count: 0, last: None }
    }

    /// `None` if the text, which has no escapes, has a placeholder of another form.
    fn all(json: &'a [u8]) -> Option<Self> {
        let mut all = Self::new(json);
        while let Some(found) = all.next().ok()? {
            all.count = all.count.saturating_add(1);
            all.last = Some(found);
        }
        Some(all)
    }

    /// The next one, or an error if it has another form.
    fn next(&mut self) -> Result<Option<Placeholder>, NotCanonical> {
        while let Some(behind) = self.json.get(self.at..) {
            let Some(mark) = behind.iter().position(|&byte| byte == b'_') else { return Ok(None) };
            let at = self.at.saturating_add(mark);
            self.at = at.saturating_add(1);
            if !behind.get(mark..).is_some_and(|behind| behind.starts_with(MARK)) {
                continue;
            }
            let found =
                at.checked_sub(2).and_then(|start| canonical(self.json, start)).ok_or(NotCanonical)?;
            self.at = found.span.end;
            return Ok(Some(found));
        }
        Ok(None)
    }
}

struct NotCanonical;

/// The placeholder that begins there, if it has the form that [`push`] writes.
fn canonical(json: &[u8], start: usize) -> Option<Placeholder> {
    let number = json.get(start..)?.strip_prefix(HEAD)?;
    // Valid JSON has no leading zeros, so one number is always the same digits. Nobody sends a thousand million.
    let digits =
        number.iter().take(10).position(|byte| !byte.is_ascii_digit()).filter(|digits| *digits > 0)?;
    if number.get(digits) != Some(&b'}') {
        return None;
    }
    let num = number.iter().take(digits).fold(0usize, |num, digit| {
        num.saturating_mul(10).saturating_add(usize::from(digit.wrapping_sub(b'0')))
    });
    let end = start.saturating_add(HEAD.len()).saturating_add(digits).saturating_add(1);
    Some(Placeholder { num: Some(num), span: start..end })
}

/// [`placeholders`] of any form.
#[inline(never)]
#[allow(
    clippy::arithmetic_side_effects,
    reason = "proof: `at` and `start` are positions of bytes, `after` is where a colon was found"
)]
fn any_placeholders<E>(json: &[u8], mut each: impl FnMut(Placeholder) -> Result<(), E>) -> Result<(), E> {
    let mut open: Vec<u8> = Vec::new();
    // Where the open objects begin.
    let mut starts: Vec<usize> = Vec::new();
    // The `num` members of open objects, beside the depth they were seen at.
    let mut nums: Vec<(usize, Range<usize>)> = Vec::new();
    let mut at = 0;
    while let Some(&byte) = json.get(at) {
        match byte {
            b'[' => {
                open.push(0);
                at += 1;
            }
            b'{' => {
                open.push(OBJECT);
                starts.push(at);
                at += 1;
            }
            b']' | b'}' => {
                let depth = open.len();
                let flags = open.pop().unwrap_or(0);
                let num = pop_at(&mut nums, depth);
                let start = if flags & OBJECT != 0 { starts.pop() } else { None };
                at += 1;
                if flags & MARKED != 0 {
                    let num = num.and_then(|num| number(json.get(num)?));
                    each(Placeholder { num, span: start.unwrap_or(at)..at })?;
                }
            }
            b'"' => {
                let start = at;
                at = skip_string(json, at);
                let Some(flags) = open.last_mut() else { continue };
                let after = skip_blanks(json, at);
                // A string before a colon is a key.
                if *flags & OBJECT == 0 || json.get(after) != Some(&b':') {
                    continue;
                }
                at = skip_blanks(json, after + 1);
                match Key::of(json.get(start + 1..after).unwrap_or_default()) {
                    Key::Placeholder => {
                        let end = skip_scalar(json, at);
                        let marked = json.get(at..end) == Some(b"true");
                        *flags = if marked { *flags | MARKED } else { *flags & !MARKED };
                    }
                    Key::Num => {
                        let depth = open.len();
                        pop_at(&mut nums, depth);
                        if let Some(b'-' | b'0'..=b'9') = json.get(at) {
                            let end = skip_value(json, at);
                            nums.push((depth, at..end));
                        }
                    }
                    Key::Other => {}
                }
            }
            _ => at += 1,
        }
    }
    Ok(())
}

/// Takes the last member of `nums` if it was seen at this depth.
fn pop_at(nums: &mut Vec<(usize, Range<usize>)>, depth: usize) -> Option<Range<usize>> {
    match nums.last() {
        Some((seen, _)) if *seen == depth => nums.pop().map(|(_, span)| span),
        _ => None,
    }
}

/// The placeholders that a reader of `json` replaces, in the order in which they stand: one inside of another is
/// gone with the other.
pub(crate) fn outermost(json: &[u8]) -> Vec<Placeholder> {
    let mut outermost: Vec<Placeholder> = Vec::new();
    let collected = placeholders(json, |placeholder| {
        while outermost.last().is_some_and(|inner| inner.span.start > placeholder.span.start) {
            outermost.pop();
        }
        outermost.push(placeholder);
        Ok::<(), Infallible>(())
    });
    let Ok(()) = collected;
    outermost
}

/// Writes the placeholder for attachment `num`, in the one form that the reference writes.
pub(crate) fn push(out: &mut Vec<u8>, num: usize) {
    out.extend_from_slice(HEAD);
    push_u64(out, num as u64);
    out.push(b'}');
}

/// Returns how `count` attachments are named. `None` if not every placeholder in `json` stands for one of them.
/// A text without escapes is faster to check.
pub(in crate::socket) fn check(json: &[u8], count: usize, has_escapes: bool) -> Option<Names> {
    let (mut named, mut found_in_order, mut are_in_order) = (0u64, 0usize, true);
    let mut repeats = false;
    let check = |found: Placeholder| match found.num {
        Some(num) if num < count => {
            // Of those that have no bit it is not known.
            let bit = u32::try_from(num).ok().and_then(|num| 1u64.checked_shl(num));
            repeats |= bit.is_none_or(|bit| named & bit != 0);
            named |= bit.unwrap_or(0);
            // Canonical ones do not stand inside of each other: they end in the order in which they begin.
            are_in_order &= num == found_in_order && found.is_canonical(json);
            found_in_order = found_in_order.saturating_add(1);
            Ok(())
        }
        _ => Err(()),
    };
    each_placeholder(json, has_escapes, check).ok()?;
    Some(Names { repeat: repeats, are_in_order: are_in_order && found_in_order == count })
}

/// The bytes that all placeholders in `json` stand for.
pub(in crate::socket) fn referenced(json: &[u8], attachments: &[Bytes]) -> usize {
    let mut sum = 0usize;
    let counted = placeholders(json, |found| {
        let attachment = found.num.and_then(|num| attachments.get(num));
        sum = sum.saturating_add(attachment.map_or(0, Bytes::len));
        Ok::<(), Infallible>(())
    });
    let Ok(()) = counted;
    sum
}

/// The value of `num`. A whole number may be written `1.0`, as JavaScript sees no difference.
pub(in crate::socket) fn number(text: &[u8]) -> Option<usize> {
    let text = core::str::from_utf8(text).ok()?;
    text.parse().ok().or_else(|| {
        let value: f64 = text.parse().ok()?;
        // The cast saturates, so what does not fit does not come back equal.
        let whole = value as u32;
        (f64::from(whole) == value).then_some(whole as usize)
    })
}

/// The meaning of a member of an object.
#[derive(PartialEq, Eq)]
pub(in crate::socket) enum Key {
    Placeholder,
    Num,
    Other,
}

impl Key {
    /// `text` is the JSON of a key after its opening quote, up to its closing quote or the blanks behind it.
    fn of(text: &[u8]) -> Self {
        let Some(end) = text.iter().rposition(|&byte| byte == b'"') else { return Self::Other };
        let key = text.get(..end).unwrap_or_default();
        if key.contains(&b'\\') {
            return core::str::from_utf8(key).map_or(Self::Other, |key| Self::of_str(&unescape(key)));
        }
        match key {
            b"_placeholder" => Self::Placeholder,
            b"num" => Self::Num,
            _ => Self::Other,
        }
    }

    pub(in crate::socket) fn of_str(key: &str) -> Self {
        match key {
            "_placeholder" => Self::Placeholder,
            "num" => Self::Num,
            _ => Self::Other,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::string::String;

    #[test]
    fn every_placeholder_must_name_an_attachment() {
        for (json, count, legal) in [
            (r#"["e"]"#, 1, true),
            (r#"["e",{"_placeholder":true,"num":0}]"#, 1, true),
            (r#"["e",{"_placeholder":true,"num":1}]"#, 1, false),
            (r#"["e",{"_placeholder":true,"num":1}]"#, 2, true),
            (r#"["e",{"num":0,"_placeholder":true,"extra":[{}]}]"#, 1, true),
            (r#"["e",{ "_placeholder" : true , "num" : 0 }]"#, 1, true),
            (r#"["e",{"_placeholder":true}]"#, 1, false),
            (r#"["e",{"_placeholder":true,"num":-1}]"#, 1, false),
            (r#"["e",{"_placeholder":true,"num":"0"}]"#, 1, false),
            (r#"["e",{"_placeholder":true,"num":null}]"#, 1, false),
            (r#"["e",{"_placeholder":true,"num":0.5}]"#, 1, false),
            (r#"["e",{"_placeholder":true,"num":0.0}]"#, 1, true),
            (r#"["e",{"_placeholder":true,"num":1e0}]"#, 2, true),
            (r#"["e",{"_placeholder":true,"num":1e400}]"#, 2, false),
            (r#"["e",{"_placeholder":true,"num":99999999999999999999999}]"#, 2, false),
            (r#"["e",{"_placeholder":true,"num":{"num":0}}]"#, 1, false),
            (r#"["e",{"_placeholder":"true","num":9}]"#, 1, true),
            (r#"["e",{"_placeholder":1,"num":9}]"#, 1, true),
            (r#"["e",{"_placeholder":[true],"num":9}]"#, 1, true),
            (r#"["e",{"_placeholder":true,"_placeholder":false,"num":9}]"#, 1, true),
            (r#"["e",{"_placeholder":true,"num":9,"num":0}]"#, 1, true),
            (r#"["e",{"_placeholder":true,"num":0,"num":9}]"#, 1, false),
            (r#"["e",{"_placeholder":true,"num":0,"num":"0"}]"#, 1, false),
            (r#"["e",{"\u005fplaceholder":true,"n\u0075m":9}]"#, 1, false),
            (r#"["e",{"a":{"_placeholder":true,"num":9}}]"#, 1, false),
            (r#"["e",{"num":0,"a":{"_placeholder":true}}]"#, 1, false),
            (r#"["e",{"_placeholder":true,"a":{"num":9},"num":0}]"#, 1, true),
            (r#"["_placeholder",true,"num",9]"#, 1, true),
            (r#"["e",{"x":"_placeholder","y":true}]"#, 1, true),
            (r#"["e",{"x\"_placeholder":true}]"#, 1, true),
            (r#"["e",{"_placeholder":true,"_placeholder":true,"num":9}]"#, 1, false),
            (r#"["e",{"_placeholder":true,"num":9,"x":"_placeholder"}]"#, 1, false),
            (r#"["e",{"_placeholder":true,"num":0,"x":"num"}]"#, 1, true),
        ] {
            assert_eq!(check(json.as_bytes(), count, json.contains('\\')).is_some(), legal, "{json}");
        }
    }

    #[test]
    fn deep_nesting_needs_no_stack() {
        let mut json = String::new();
        for _ in 0..200_000 {
            json.push_str(r#"{"a":["#);
        }
        json.push_str(r#"{"_placeholder":true,"num":1}"#);
        for _ in 0..200_000 {
            json.push_str("]}");
        }
        assert!(check(json.as_bytes(), 2, false).is_some());
        assert!(check(json.as_bytes(), 1, false).is_none());
    }

    #[test]
    fn an_attachment_that_is_named_twice_is_seen() {
        let list = |nums: &[usize]| {
            let one = |num| alloc::format!(r#"{{"_placeholder":true,"num":{num}}}"#);
            let list: Vec<_> = nums.iter().map(one).collect();
            alloc::format!("[{}]", list.join(","))
        };
        for (nums, repeats) in [
            (&[][..], false),
            (&[0], false),
            (&[1, 0], false),
            (&[0, 0], true),
            (&[1, 0, 1], true),
            (&[63, 62], false),
        ] {
            let names = check(list(nums).as_bytes(), 64, false).unwrap();
            assert_eq!(names, Names { repeat: repeats, are_in_order: false }, "{nums:?}");
        }
        // Those above 63 are taken for repeated, and counted.
        assert!(check(list(&[64]).as_bytes(), 65, false).unwrap().repeat);
        let attachments = [Bytes::from_static(b"12345"), Bytes::from_static(b"1")];
        assert_eq!(referenced(list(&[0, 1, 0]).as_bytes(), &attachments), 11);
    }
}
