//! The packets of a body of long-polling in revision 3, each of which has its length in front.

use super::locate::Break;

/// A packet in a body, or the place where the body breaks.
pub(crate) type Part<'a> = Result<Packet<'a>, Break>;

/// A packet in a body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Packet<'a> {
    /// Text, or a binary one in base64.
    Text(&'a [u8]),
    /// Bytes, the type in front.
    Binary(&'a [u8]),
}

/// The most digits of a length.
const MAX_DIGITS: usize = 10;
/// The byte behind the digits of a length, where the body is bytes.
const END_OF_LENGTH: u8 = 255;

/// Returns the packets of a body, up to the place where it breaks. A body that begins with a byte 0 or 1 is bytes.
pub(crate) fn split(body: &[u8]) -> Vec<Part<'_>> {
    let mut parts = Vec::new();
    let mut at = 0;
    let take = if matches!(body.first(), Some(0 | 1)) { bytes } else { text };
    while at < body.len() {
        let part = take(body, &mut at);
        let is_broken = part.is_err();
        parts.push(part);
        if is_broken {
            break;
        }
    }
    parts
}

fn expected(offset: usize, words: &str) -> Break {
    Break { offset, expected: words.to_owned() }
}

/// `6:4hello`: the length counts UTF-16 code units.
fn text<'a>(body: &'a [u8], at: &mut usize) -> Part<'a> {
    let rest = &body[*at..];
    let digits = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
    if digits == 0 || digits > MAX_DIGITS {
        return Err(expected(*at, "the length of a packet, in digits"));
    }
    if rest.get(digits) != Some(&b':') {
        return Err(expected(*at + digits, "':' behind the length of a packet"));
    }
    let number = std::str::from_utf8(&rest[..digits]).ok().and_then(|digits| digits.parse::<usize>().ok());
    let mut left = number.unwrap_or(usize::MAX);
    let begin = *at + digits + 1;
    let Ok(text) = std::str::from_utf8(&body[begin..]) else {
        let error = std::str::from_utf8(&body[begin..]).map_or_else(|error| error.valid_up_to(), str::len);
        return Err(expected(begin + error, "UTF-8"));
    };
    let mut end = 0;
    for char in text.chars() {
        if left == 0 {
            break;
        }
        let Some(rest) = left.checked_sub(char.len_utf16()) else {
            return Err(expected(begin + end, "a length that does not end within a character"));
        };
        left = rest;
        end += char.len_utf8();
    }
    if left > 0 {
        return Err(expected(body.len(), &format!("{left} more UTF-16 code units of the packet")));
    }
    *at = begin + end;
    Ok(Packet::Text(&body[begin..begin + end]))
}

/// A byte 0 for text or 1 for bytes, the digits of the length as bytes, 255, and as many bytes.
fn bytes<'a>(body: &'a [u8], at: &mut usize) -> Part<'a> {
    let rest = &body[*at + 1..];
    let kind = body[*at];
    if kind > 1 {
        return Err(expected(*at, "a byte 0 for text or 1 for a binary packet"));
    }
    let digits = rest.iter().take_while(|byte| **byte <= 9).count();
    if digits == 0 || digits > MAX_DIGITS {
        return Err(expected(*at + 1, "the length of a packet, its digits as bytes 0 to 9"));
    }
    if rest.get(digits) != Some(&END_OF_LENGTH) {
        return Err(expected(*at + 1 + digits, "a byte 255 behind the length of a packet"));
    }
    let length = rest[..digits].iter().fold(0usize, |sum, digit| sum * 10 + usize::from(*digit));
    let begin = *at + digits + 2;
    let Some(packet) = body.get(begin..begin + length) else {
        let missing = begin + length - body.len();
        return Err(expected(body.len(), &format!("{missing} more bytes of the packet")));
    };
    *at = begin + length;
    Ok(if kind == 0 { Packet::Text(packet) } else { Packet::Binary(packet) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_count_utf16_in_text_and_bytes_in_bytes() {
        let text = "5:4😀ab2:4é1:2".as_bytes();
        let packets = [Packet::Text("4😀ab".as_bytes()), Packet::Text("4é".as_bytes()), Packet::Text(b"2")];
        assert_eq!(split(text), packets.map(Ok));
        let bytes = b"\x00\x01\x255\xff4hello".as_slice();
        assert_eq!(split(bytes), [Err(expected(2, "a byte 255 behind the length of a packet"))]);
        let bytes = b"\x00\x06\xff4hello\x01\x03\xff\x04\x01\x02".as_slice();
        assert_eq!(split(bytes), [Ok(Packet::Text(b"4hello")), Ok(Packet::Binary(&[4, 1, 2]))]);
        assert!(split(b"").is_empty());
    }

    #[test]
    fn a_body_breaks_at_its_first_wrong_byte() {
        for (body, offset) in [
            (&b"x:4a"[..], 0),
            (b"2;4a", 1),
            (b"2:4a9:4a", 8),
            (b"2:4a3", 5),
            ("2:4😀".as_bytes(), 3),
            (b"\x00\x02\xff4", 4),
            (b"\x00\xff4", 1),
            (b"\x00\x01\xff2\x07", 4),
            (b"2:4\xff", 3),
        ] {
            let parts = split(body);
            let broken = parts.last().and_then(|part| part.as_ref().err()).map(|place| place.offset);
            assert_eq!(broken, Some(offset), "{body:?}: {parts:?}");
        }
    }
}
