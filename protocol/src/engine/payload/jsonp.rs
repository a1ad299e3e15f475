//! JSONP: answers to polls as calls in a script, and POST bodies as forms, for browsers without CORS (protocol v3,
//! "JSONP"). The payload inside is that of the session's revision.

use alloc::boxed::Box;
use alloc::string::String;
use alloc::vec::Vec;
use bytes::Bytes;

/// The most digits of a callback's number that are kept.
const MAX_DIGITS: usize = 20;

/// The callback of a session that polls by scripts: its number.
#[derive(Debug)]
pub(crate) struct Callback(Box<str>);

impl Callback {
    /// The callback that the handshake names by `j`. Only its digits count, and of them the first 20: anything else would be
    /// code.
    pub(crate) fn new(parameter: &str) -> Self {
        Self(parameter.chars().filter(char::is_ascii_digit).take(MAX_DIGITS).collect())
    }

    /// The script that calls it with a payload.
    pub(crate) fn call(&self, payload: &[u8]) -> Bytes {
        // A payload that is text is UTF-8: what was checked on its way in, and what was written here.
        let payload = String::from_utf8_lossy(payload);
        let mut script = Vec::with_capacity(payload.len().saturating_add(self.0.len()).saturating_add(16));
        script.extend_from_slice(b"___eio[");
        script.extend_from_slice(self.0.as_bytes());
        script.extend_from_slice(b"](\"");
        for character in payload.chars() {
            push_escaped(&mut script, character);
        }
        script.extend_from_slice(b"\");");
        script.into()
    }
}

/// Writes a character of a string in a script, as the reference does: JSON, but for the two line ends that older scripts do
/// not take in a string.
fn push_escaped(script: &mut Vec<u8>, character: char) {
    let short = match character {
        '"' => b'"',
        '\\' => b'\\',
        '\u{8}' => b'b',
        '\t' => b't',
        '\n' => b'n',
        '\u{c}' => b'f',
        '\r' => b'r',
        '\0'..='\u{1f}' | '\u{2028}' | '\u{2029}' => {
            script.extend_from_slice(b"\\u");
            for shift in [12, 8, 4, 0] {
                let digit = char::from_digit(u32::from(character) >> shift & 15, 16).unwrap_or('0');
                script.extend(u8::try_from(digit));
            }
            return;
        }
        _ => {
            script.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes());
            return;
        }
    };
    script.extend_from_slice(&[b'\\', short]);
}

/// The payload in the form that a client posts: its field `d`, in which the client has escaped line ends, because browsers
/// change them. `None` if there is no such field, or more than one.
pub(crate) fn posted(body: &[u8]) -> Option<Bytes> {
    let mut fields = form_urlencoded::parse(body).filter(|(name, _)| name == "d");
    let (Some((_, data)), None) = (fields.next(), fields.next()) else { return None };
    let mut payload = Vec::with_capacity(data.len());
    let mut rest = data.as_bytes();
    while let Some((&first, behind)) = rest.split_first() {
        rest = match rest {
            [b'\\', b'\\', b'n', behind @ ..] => {
                payload.extend_from_slice(b"\\n");
                behind
            }
            [b'\\', b'n', behind @ ..] => {
                payload.push(b'\n');
                behind
            }
            _ => {
                payload.push(first);
                behind
            }
        };
    }
    Some(payload.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_script_calls_back_with_the_payload() {
        let script = Callback::new("5").call("15:4a\"b\u{2028}</script>\n".as_bytes());
        assert_eq!(script, r#"___eio[5]("15:4a\"b\u2028</script>\n");"#);
        let script = Callback::new("").call("\0\u{1f}\\\t\r\u{8}\u{c}\u{2029}é😀\u{7f}".as_bytes());
        assert_eq!(script, "___eio[](\"\\u0000\\u001f\\\\\\t\\r\\b\\f\\u2029é😀\u{7f}\");");
    }

    #[test]
    fn a_script_escapes_as_json_does() {
        for character in ('\0'..='\u{2100}').chain(['😀']) {
            let mut escaped = Vec::new();
            push_escaped(&mut escaped, character);
            let json = serde_json::to_string(&character).unwrap();
            let json = json.replace('\u{2028}', "\\u2028").replace('\u{2029}', "\\u2029");
            assert_eq!(escaped, json.as_bytes()[1..json.len() - 1]);
        }
    }

    #[test]
    fn a_callback_is_its_digits() {
        assert_eq!(&*Callback::new("x7y").0, "7");
        assert_eq!(&*Callback::new("alert(1)").0, "1");
        assert_eq!(&*Callback::new("٣").0, "");
        assert_eq!(Callback::new(&"9".repeat(1000)).0.len(), MAX_DIGITS);
    }

    #[test]
    fn a_form_has_its_line_ends_escaped() {
        for (body, payload) in [
            ("d=4:4a\\nb", Some("4:4a\nb")),
            ("d=5:4a\\\\nb", Some("5:4a\\nb")),
            ("d=\\\\\\n", Some("\\\\n")),
            ("d=\\", Some("\\")),
            ("d=a%5Cnb%2B+c%0A", Some("a\nb+ c\n")),
            ("d=", Some("")),
            ("x=1&d=2%3A4a", Some("2:4a")),
            ("", None),
            ("e=1", None),
            ("d=1&d=2", None),
        ] {
            assert_eq!(posted(body.as_bytes()).as_deref(), payload.map(str::as_bytes), "{body}");
        }
    }
}
