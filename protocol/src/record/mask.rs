//! The masking of secrets: every length, and all that a session decides by, stays as it is.

use crate::engine::Query;
use alloc::borrow::Cow;
use alloc::string::String;
use alloc::vec;
use alloc::vec::Vec;

/// The longest number that stays: those of placeholders are short.
const SHORT_NUMBER: usize = 3;

/// How the texts of a recording are masked.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Mask {
    is_on: bool,
    /// Messages are Socket.IO packets.
    has_sockets: bool,
}

impl Mask {
    pub(crate) fn new(is_on: bool, has_sockets: bool) -> Self {
        Self { is_on, has_sockets }
    }

    pub(crate) fn is_on(self) -> bool {
        self.is_on
    }

    /// An id.
    pub(crate) fn id(self, id: &str) -> Cow<'_, str> {
        if self.is_on { Cow::Owned("x".repeat(id.len())) } else { Cow::Borrowed(id) }
    }

    /// A message of a WebSocket, with its Engine.IO type.
    pub(crate) fn text(self, text: &[u8]) -> Cow<'_, [u8]> {
        if !self.is_on {
            return Cow::Borrowed(text);
        }
        let mut out = Vec::with_capacity(text.len());
        self.packet(&mut out, text);
        Cow::Owned(out)
    }

    /// An attachment, or a binary message.
    pub(crate) fn binary(self, data: &[u8]) -> Cow<'_, [u8]> {
        if self.is_on { Cow::Owned(vec![0; data.len()]) } else { Cow::Borrowed(data) }
    }

    /// JSON alone.
    pub(crate) fn json(self, json: &[u8]) -> Cow<'_, [u8]> {
        if !self.is_on {
            return Cow::Borrowed(json);
        }
        let mut out = Vec::with_capacity(json.len());
        mask_json(&mut out, json, false);
        Cow::Owned(out)
    }

    /// The body of a POST.
    pub(crate) fn body(self, body: &[u8]) -> Cow<'_, [u8]> {
        if !self.is_on {
            return Cow::Borrowed(body);
        }
        let mut out = Vec::with_capacity(body.len());
        for (at, packet) in body.split(|byte| *byte == 0x1e).enumerate() {
            if at > 0 {
                out.push(0x1e);
            }
            match packet.split_first() {
                // Base64 of bytes that are 0.
                Some((b'b', data)) => {
                    out.push(b'b');
                    out.extend(
                        data.iter().map(|byte| if byte.is_ascii_alphanumeric() { b'A' } else { *byte }),
                    );
                }
                _ => self.packet(&mut out, packet),
            }
        }
        Cow::Owned(out)
    }

    /// The target of a request.
    pub(crate) fn target(self, target: &str) -> Cow<'_, str> {
        let Some((path, query)) = target.split_once('?').filter(|_| self.is_on) else {
            return Cow::Borrowed(target);
        };
        let Query { revision, transport, session, jsonp, base64 } = Query::parse(query);
        let mut out = String::from(path);
        let mut separator = '?';
        let mut add = |name: &str, value: Option<&str>| {
            if let Some(value) = value {
                out.push(core::mem::replace(&mut separator, '&'));
                out.push_str(name);
                out.push('=');
                out.push_str(value);
            }
        };
        add("EIO", revision.as_deref());
        add("transport", transport.as_deref());
        add("sid", session.as_deref().map(|sid| self.id(sid)).as_deref());
        add("j", jsonp.as_deref());
        add("b64", base64.then_some("1"));
        Cow::Owned(out)
    }

    /// One packet of Engine.IO.
    fn packet(self, out: &mut Vec<u8>, packet: &[u8]) {
        if matches!(packet, b"2probe" | b"3probe") || packet.len() < 2 {
            return out.extend_from_slice(packet);
        }
        let is_event = packet.starts_with(b"42") || packet.starts_with(b"45");
        let header = if self.has_sockets { header_len(packet) } else { 1 };
        let (header, rest) = packet.split_at(header);
        out.extend_from_slice(header);
        if self.has_sockets {
            mask_json(out, rest, is_event);
        } else {
            mask_words(out, rest);
        }
    }
}

/// The length of the Engine.IO type and the header of a Socket.IO packet: its type, attachments, namespace and id.
fn header_len(packet: &[u8]) -> usize {
    let digits = |from: usize| {
        let rest = packet.get(from..).unwrap_or_default();
        let after = rest.iter().position(|byte| !byte.is_ascii_digit()).unwrap_or(rest.len());
        from.saturating_add(after)
    };
    if packet.first() != Some(&b'4') {
        return 1;
    }
    let mut at = digits(1);
    if packet.get(at) == Some(&b'-') {
        at = at.saturating_add(1);
    }
    if packet.get(at) == Some(&b'/') {
        let rest = packet.get(at..).unwrap_or_default();
        let end =
            rest.iter().position(|byte| *byte == b',').map_or(rest.len(), |comma| comma.saturating_add(1));
        at = at.saturating_add(end);
    }
    digits(at).min(packet.len())
}

/// Masks JSON, or what should be JSON: texts but for keys and, if it is said so, the first one, and long numbers.
fn mask_json(out: &mut Vec<u8>, json: &[u8], mut keep_first: bool) {
    let mut rest = json;
    while let Some((&byte, behind)) = rest.split_first() {
        if byte == b'"' {
            let end = end_of_text(behind);
            let (text, after) = behind.split_at(end);
            out.push(byte);
            let is_key = after.get(1..).unwrap_or_default().iter().find(|byte| !byte.is_ascii_whitespace())
                == Some(&b':');
            if is_key || core::mem::take(&mut keep_first) {
                out.extend_from_slice(text);
            } else {
                mask_text(out, text);
            }
            // The quote behind it, if there is one.
            out.extend(after.first());
            rest = after.get(1..).unwrap_or_default();
            continue;
        }
        let is_of_number =
            |byte: &u8| byte.is_ascii_digit() || matches!(byte, b'-' | b'+' | b'.' | b'e' | b'E');
        if byte.is_ascii_digit() || byte == b'-' {
            let end = rest.iter().position(|byte| !is_of_number(byte)).unwrap_or(rest.len());
            let (number, after) = rest.split_at(end);
            let is_short = number.len() <= SHORT_NUMBER;
            out.extend(number.iter().map(|byte| match byte {
                b'1'..=b'9' if !is_short => b'1',
                byte => *byte,
            }));
            rest = after;
            continue;
        }
        let end =
            rest.iter().position(|byte| matches!(byte, b'"' | b'-' | b'0'..=b'9')).unwrap_or(rest.len());
        let (other, after) = rest.split_at(end);
        for_each_char(other, |bytes| match bytes {
            // The letters of `true`, `false` and `null`.
            [b't' | b'r' | b'u' | b'e' | b'f' | b'a' | b'l' | b's' | b'n'] => out.extend_from_slice(bytes),
            _ => out.extend_from_slice(masked_char(bytes)),
        });
        rest = after;
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

/// Masks each character but control characters.
fn mask_words(out: &mut Vec<u8>, text: &[u8]) {
    for_each_char(text, |bytes| match bytes {
        [byte] if *byte >= 0x20 && byte.is_ascii() => out.push(b'x'),
        _ => out.extend_from_slice(masked_char(bytes)),
    });
}

/// The mask of a character of that many bytes, with as many units of UTF-16; what is no letter stays.
fn masked_char(bytes: &[u8]) -> &[u8] {
    match bytes {
        [byte] if byte.is_ascii_alphabetic() => b"x",
        [_, _] => "\u{e9}".as_bytes(),
        [_, _, _] => "\u{20ac}".as_bytes(),
        [_, _, _, _] => "\u{1f600}".as_bytes(),
        _ => bytes,
    }
}

/// The characters of a text, each as its bytes; bytes that are not UTF-8 come one by one.
fn for_each_char(text: &[u8], mut each: impl FnMut(&[u8])) {
    for chunk in text.utf8_chunks() {
        let mut buffer = [0; 4];
        for character in chunk.valid().chars() {
            each(character.encode_utf8(&mut buffer).as_bytes());
        }
        chunk.invalid().iter().for_each(|byte| each(&[*byte]));
    }
}
