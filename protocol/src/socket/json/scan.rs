//! Walking over JSON text that serde_json has already found valid.
//!
//! Nothing here recurses, and nothing here can leave the slice: on text that is not valid after all the answers
//! are wrong, but there is no panic and no endless loop.
//!
//! A position that is passed in or handed out is at most one byte behind the end of the slice, and no function looks
//! further than 7 bytes ahead. A slice has at most `isize::MAX` bytes, so that none of these sums overflows.

use alloc::borrow::Cow;
use alloc::string::String;

/// Returns the place of the first byte at or after `at` that is not JSON whitespace.
#[inline(always)]
#[allow(clippy::arithmetic_side_effects, reason = "proof: a position is at most 8 behind the end of a slice")]
pub(crate) fn skip_blanks(json: &[u8], mut at: usize) -> usize {
    // Mostly there are none: one comparison says so.
    if json.get(at).is_some_and(|&byte| byte > b' ') {
        return at;
    }
    while let Some(b' ' | b'\t' | b'\n' | b'\r') = json.get(at) {
        at += 1;
    }
    at
}

/// Marks the bytes of a word that mean something inside of a string by their high bits: a quote, a backslash or a control
/// character. The lowest mark is right; above it there may be wrong ones.
#[inline(always)]
#[allow(clippy::arithmetic_side_effects, reason = "proof: these are products of constants, each below 2^64")]
pub(super) fn mark_specials(word: u64) -> u64 {
    const ONES: u64 = 0x0101_0101_0101_0101;
    const HIGHS: u64 = ONES << 7;
    // With one bit turned over, a quote is next to the control characters. Each subtraction sets the high bit of
    // a byte that is sought, and maybe of bytes above such a byte.
    let below = (word ^ (ONES * 2)).wrapping_sub(ONES * (b' ' as u64 + 1));
    let backslashes = (word ^ (ONES * b'\\' as u64)).wrapping_sub(ONES);
    (below | backslashes) & !word & HIGHS
}

/// Returns the place of the next byte at or after `at` that means something inside of a string: a quote, a backslash or
/// a control character. The end of the text, if there is none.
#[inline]
#[allow(clippy::arithmetic_side_effects, reason = "proof: a position is at most 8 behind the end of a slice")]
pub(in crate::socket) fn find_special(json: &[u8], mut at: usize) -> usize {
    let mut rest = json.get(at..).unwrap_or_default();
    let mut is_long = true;
    while let Some((chunk, behind)) = rest.split_first_chunk::<8>() {
        let found = mark_specials(u64::from_le_bytes(*chunk));
        if found != 0 {
            return at + (found.trailing_zeros() / 8) as usize;
        }
        at += 8;
        rest = behind;
        // Names have ended by now. This has no way out of its middle, so that the compiler takes whole vectors: what is
        // sought makes one of the three differences 0.
        while let (true, Some((block, behind))) = (is_long, rest.split_first_chunk::<32>()) {
            let least = block.iter().fold(u8::MAX, |least, &byte| {
                least.min(byte.saturating_sub(b' ' - 1)).min(byte ^ b'"').min(byte ^ b'\\')
            });
            if least == 0 {
                return at + find_in_block(block);
            }
            at += 32;
            rest = behind;
        }
        is_long = false;
    }
    for byte in rest {
        if *byte < b' ' || matches!(byte, b'"' | b'\\') {
            break;
        }
        at += 1;
    }
    at
}

/// The place of the byte that is sought in a block that has one.
#[inline(always)]
#[allow(clippy::arithmetic_side_effects, reason = "proof: the sum is at most 32")]
fn find_in_block(block: &[u8; 32]) -> usize {
    let mut at = 0;
    for chunk in block.chunks_exact(8) {
        let found = chunk.first_chunk().map_or(0, |chunk| mark_specials(u64::from_le_bytes(*chunk)));
        if found != 0 {
            return at + (found.trailing_zeros() / 8) as usize;
        }
        at += 8;
    }
    at
}

/// Past the closing quote of the string whose opening quote is at `at`.
#[allow(clippy::arithmetic_side_effects, reason = "proof: a position is at most 8 behind the end of a slice")]
pub(crate) fn skip_string(json: &[u8], at: usize) -> usize {
    let mut at = at + 1;
    loop {
        at = find_special(json, at);
        match json.get(at) {
            Some(b'"') => return at + 1,
            Some(b'\\') => at += 2,
            Some(_) => at += 1,
            None => return json.len(),
        }
    }
}

/// Past the value whose first byte is at `at`.
#[allow(
    clippy::arithmetic_side_effects,
    reason = "proof: a position is at most 8 behind the end of a slice, and each byte opens at most one level"
)]
pub(crate) fn skip_value(json: &[u8], mut at: usize) -> usize {
    let mut depth = 0usize;
    while let Some(&byte) = json.get(at) {
        match byte {
            b'"' => at = skip_string(json, at),
            b'[' | b'{' => {
                depth += 1;
                at += 1;
                continue;
            }
            b']' | b'}' => {
                depth = depth.saturating_sub(1);
                at += 1;
            }
            _ if depth == 0 => return skip_scalar(json, at),
            _ => {
                at += 1;
                continue;
            }
        }
        if depth == 0 {
            return at;
        }
    }
    json.len()
}

/// Past the number or word that begins at `at`.
#[allow(clippy::arithmetic_side_effects, reason = "proof: a position is at most 8 behind the end of a slice")]
pub(in crate::socket) fn skip_scalar(json: &[u8], mut at: usize) -> usize {
    while let Some(byte) = json.get(at) {
        if matches!(byte, b',' | b']' | b'}' | b':' | b' ' | b'\t' | b'\n' | b'\r') {
            break;
        }
        at += 1;
    }
    at
}

/// The string behind its JSON text (without the quotes). Borrowed unless it has escapes. Half a surrogate pair,
/// which JavaScript can hold and Rust cannot, becomes U+FFFD.
pub(crate) fn unescape(body: &str) -> Cow<'_, str> {
    // Byte by byte: for names of a few bytes that beats a search with a set-up.
    let Some(first) = body.bytes().position(|byte| byte == b'\\') else { return Cow::Borrowed(body) };
    let mut out = String::with_capacity(body.len());
    let (plain, mut rest) = body.split_at(first);
    out.push_str(plain);
    while let Some(escaped) = rest.strip_prefix('\\') {
        let mut chars = escaped.chars();
        let kind = chars.next();
        rest = chars.as_str();
        match kind {
            Some('u') => {
                let unit = hex4(rest);
                rest = rest.get(4..).unwrap_or("");
                let pair = match unit {
                    0xD800..=0xDBFF => rest.strip_prefix("\\u").map(hex4),
                    _ => None,
                };
                #[allow(
                    clippy::arithmetic_side_effects,
                    reason = "proof: both halves are at least what is taken from them, and their sum is below 0x110000"
                )]
                let code = match pair {
                    Some(low @ 0xDC00..=0xDFFF) => {
                        rest = rest.get(6..).unwrap_or("");
                        0x10000 + ((unit - 0xD800) << 10) + (low - 0xDC00)
                    }
                    _ => unit,
                };
                out.push(char::from_u32(code).unwrap_or(char::REPLACEMENT_CHARACTER));
            }
            Some('b') => out.push('\u{8}'),
            Some('f') => out.push('\u{c}'),
            Some('n') => out.push('\n'),
            Some('r') => out.push('\r'),
            Some('t') => out.push('\t'),
            Some(other) => out.push(other),
            None => {}
        }
        let (plain, next) = rest.split_at(rest.find('\\').unwrap_or(rest.len()));
        out.push_str(plain);
        rest = next;
    }
    Cow::Owned(out)
}

fn hex4(text: &str) -> u32 {
    text.get(..4).and_then(|digits| u32::from_str_radix(digits, 16).ok()).unwrap_or(0xFFFD)
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec;

    #[test]
    fn a_value_ends_where_it_ends() {
        for (json, end) in [
            (r#""a\"]b",1"#, 7),
            (r"12,3", 2),
            (r"true]", 4),
            (r"[[],{}],1", 7),
            (r#"{"a":"}"},1"#, 9),
            (r"[", 1),
            (r#""\"#, 2),
            ("", 0),
            ("],1", 1),
            // Not valid, and nevertheless it ends.
            ("\"a\u{1}b\",1", 5),
        ] {
            assert_eq!(skip_value(json.as_bytes(), 0), end, "{json}");
        }
    }

    #[test]
    fn the_first_special_byte_is_found_wherever_it_stands() {
        // Longer than a word and two blocks behind it, from every position, with every byte that there is.
        for len in 0..=90 {
            for start in [0, 1, 7, 31] {
                assert_eq!(find_special(&vec![b'a'; len], start), len.max(start), "{len} from {start}");
            }
            for at in 0..len {
                let mut json = vec![0xc3; len];
                for byte in 0..=u8::MAX {
                    json[at] = byte;
                    let is_special = byte < b' ' || byte == b'"' || byte == b'\\';
                    let found = if is_special { at } else { len };
                    assert_eq!(find_special(&json, 0), found, "{byte} at {at} of {len}");
                }
            }
        }
        // The first of several.
        let mut json = [b'a'; 80];
        for at in (0..80).rev() {
            json[at] = b'"';
            assert_eq!(find_special(&json, 0), at);
        }
    }

    #[test]
    fn escapes_become_characters() {
        for (body, plain) in [
            (r"plain", "plain"),
            (r#"a\"b\\c\/d\b\f\n\r\t"#, "a\"b\\c/d\u{8}\u{c}\n\r\t"),
            (r"\u0041\u00e4", "Aä"),
            (r"\ud83d\ude00!", "😀!"),
            (r"\ud83d!", "\u{fffd}!"),
            (r"\ude00\ud83d", "\u{fffd}\u{fffd}"),
            (r"\ud83d\u0041", "\u{fffd}A"),
            (r"\", ""),
            (r"\u12", "\u{fffd}"),
        ] {
            assert_eq!(unescape(body), plain, "{body}");
        }
    }
}
