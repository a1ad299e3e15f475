//! Received values as text. Nothing that a server sends reaches the terminal as a control character, or breaks a line.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use sansocket_tokio::Args;
use std::fmt::Write as _;

/// The number of bytes of binary data that are shown.
const SHOWN: usize = 16;

/// Arguments for people: JSON, binary as `<3 bytes: 010203>`.
pub(crate) fn text(args: &Args) -> String {
    list(args, ", ", &|out, data| {
        // Writing to a string cannot fail.
        let _ = write!(out, "<{} byte{}", data.len(), if data.len() == 1 { "" } else { "s" });
        for (position, byte) in data.iter().take(SHOWN).enumerate() {
            let _ = write!(out, "{}{byte:02x}", if position == 0 { ": " } else { "" });
        }
        out.push_str(if data.len() > SHOWN { "…>" } else { ">" });
    })
}

/// Arguments as a JSON array, binary as `{"base64":"AQID"}`.
pub(crate) fn json(args: &Args) -> String {
    format!("[{}]", list(args, ",", &base64))
}

/// Each argument as JSON.
pub(crate) fn each(args: &Args) -> impl Iterator<Item = String> + '_ {
    (0..args.len()).map(|position| one(args, position, &base64))
}

/// The name of an event: as it is, or in quotes if it could be mistaken for something else.
pub(crate) fn event(name: &str) -> String {
    let is_plain = !name.is_empty() && !name.starts_with(['"', '[', '{', '#', '@']);
    if is_plain && name.chars().all(|char| !char.is_whitespace() && !is_control(char)) {
        return name.to_owned();
    }
    compact(&serde_json::Value::from(name).to_string())
}

/// Text without control characters.
pub(crate) fn printable(text: &str) -> String {
    text.chars().map(|char| if is_control(char) { '\u{fffd}' } else { char }).collect()
}

/// JSON without blanks between its tokens, with control characters escaped, and all other characters as they are.
pub(crate) fn compact(json: &str) -> String {
    let mut out = String::with_capacity(json.len());
    let mut string = InString::default();
    let mut rest = json;
    while let Some(char) = rest.chars().next() {
        if string.is_inside && !string.is_escaped {
            if let Some((char, after)) = escaped(rest) {
                out.push(char);
                rest = after;
                continue;
            }
        }
        rest = &rest[char.len_utf8()..];
        if is_control(char) && string.is_inside {
            // No string of JSON has those below U+0020, and for the others four digits are enough.
            let _ = write!(out, "\\u{:04x}", u32::from(char));
        } else if string.is_inside || !char.is_whitespace() {
            out.push(char);
        }
        string.step(char);
    }
    out
}

/// The character that the JSON begins with as `\\u00fc`, or as two such halves, and the rest after it; `None` if it has to
/// stay as it is.
fn escaped(json: &str) -> Option<(char, &str)> {
    let unit = |json: &str| {
        let digits = json.strip_prefix("\\u")?.get(..4).filter(|digits| !digits.starts_with('+'))?;
        u16::from_str_radix(digits, 16).ok()
    };
    let first = unit(json)?;
    let second = json.get(6..).and_then(unit);
    let units = std::iter::once(first).chain(second);
    let char = char::decode_utf16(units).next()?.ok()?;
    let is_legal = !is_control(char) && !matches!(char, '"' | '\\');
    is_legal.then(|| (char, &json[6 * char.len_utf16()..]))
}

fn is_control(char: char) -> bool {
    // Characters that reverse the direction of a line, or end it, count as well.
    char.is_control() || matches!(char, '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

type Binary<'a> = &'a dyn Fn(&mut String, &Bytes);

fn base64(out: &mut String, data: &Bytes) {
    out.push_str("{\"base64\":\"");
    STANDARD.encode_string(data, out);
    out.push_str("\"}");
}

fn list(args: &Args, between: &str, binary: Binary<'_>) -> String {
    let each: Vec<_> = (0..args.len()).map(|position| one(args, position, binary)).collect();
    each.join(between)
}

fn one(args: &Args, position: usize, binary: Binary<'_>) -> String {
    let json = compact(args.json(position).unwrap_or("null"));
    if args.attachments().is_empty() {
        return json;
    }
    let mut out = String::with_capacity(json.len());
    let mut string = InString::default();
    let mut rest = json.as_str();
    while let Some(char) = rest.chars().next() {
        if char == '{' && !string.is_inside {
            if let Some((data, after)) = placeholder(rest, args.attachments()) {
                binary(&mut out, data);
                rest = after;
                continue;
            }
        }
        string.step(char);
        out.push(char);
        rest = &rest[char.len_utf8()..];
    }
    out
}

/// The attachment whose placeholder stands at the beginning of the compact JSON, and the rest after it.
fn placeholder<'a, 'b>(json: &'a str, attachments: &'b [Bytes]) -> Option<(&'b Bytes, &'a str)> {
    const ORDERS: [(&str, &str); 2] =
        [(r#"{"_placeholder":true,"num":"#, "}"), (r#"{"num":"#, r#","_placeholder":true}"#)];
    ORDERS.iter().find_map(|(before, after)| {
        let json = json.strip_prefix(before)?;
        let digits = json.bytes().take_while(u8::is_ascii_digit).count();
        let data = attachments.get(json[..digits].parse::<usize>().ok()?)?;
        Some((data, json[digits..].strip_prefix(after)?))
    })
}

/// A scanner of JSON that knows whether it is inside a string.
#[derive(Default)]
struct InString {
    is_inside: bool,
    is_escaped: bool,
}

impl InString {
    fn step(&mut self, char: char) {
        if self.is_escaped {
            self.is_escaped = false;
        } else if char == '"' {
            self.is_inside = !self.is_inside;
        } else {
            self.is_escaped = self.is_inside && char == '\\';
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn args(json: &str, attachments: &[&'static [u8]]) -> Args {
        let attachments = attachments.iter().map(|data| Bytes::from_static(data)).collect();
        Args::from_json(json, attachments).unwrap()
    }

    #[test]
    fn binary_shows_wherever_it_stands() {
        let args = args(
            r#"["{\"", {"a": [{"_placeholder": true, "num": 1}, {"num":0,"_placeholder":true}]}]"#,
            &[&[1, 2, 3], &[7; 20]],
        );
        let shown = format!("\"{{\\\"\", {{\"a\":[<20 bytes: {}…>,<3 bytes: 010203>]}}", "07".repeat(16));
        assert_eq!(text(&args), shown);
        let shown = r#"["{\"",{"a":[{"base64":"BwcHBwcHBwcHBwcHBwcHBwcHBwc="},{"base64":"AQID"}]}]"#;
        assert_eq!(json(&args), shown);
    }

    #[test]
    fn a_string_that_looks_like_a_placeholder_stays_a_string() {
        let args = args(r#"["{\"_placeholder\":true,\"num\":0}",{"_placeholder":true,"num":0}]"#, &[b"x"]);
        assert_eq!(text(&args), r#""{\"_placeholder\":true,\"num\":0}", <1 byte: 78>"#);
    }

    #[test]
    fn control_characters_are_escaped_and_blanks_left_out() {
        assert_eq!(compact("[ \"a\u{7f} \u{9b}31m\u{202e}\" ,\n1 ]"), r#"["a\u007f \u009b31m\u202e",1]"#);
        assert_eq!(compact(r#""b\u00fccher \ud83d\ude00""#), "\"b\u{fc}cher \u{1f600}\"");
        for kept in [
            r#""\u001b""#,
            r#""\u0022 \u005c""#,
            r#""\ud83d!\ude00\ud83d\u0041""#,
            r#""\\u00fc""#,
            r#""\u+0fc""#,
        ] {
            let shown = compact(kept);
            assert_eq!(shown, kept.replace(r"\u0041", "A"));
        }
        assert_eq!(event("plain"), "plain");
        assert_eq!(event("two words"), r#""two words""#);
        assert_eq!(event("\u{1b}[2J"), r#""\u001b[2J""#);
        assert_eq!(printable("a\u{1b}b"), "a\u{fffd}b");
    }
}
