//! The masking of secrets: every length, and all that a session decides by, stays as it is.

mod body;
mod json;
mod namespace;

use crate::engine::{Query, Revision};
use alloc::borrow::Cow;
use alloc::string::String;
use alloc::vec;
use alloc::vec::Vec;
use core::ops::Range;

/// The masking of a recording's texts.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Mask {
    is_on: bool,
    /// Messages are Socket.IO packets.
    has_sockets: bool,
    revision: Revision,
}

impl Mask {
    pub(crate) fn new(is_on: bool, has_sockets: bool, revision: Revision) -> Self {
        Self { is_on, has_sockets, revision }
    }

    pub(crate) fn is_on(self) -> bool {
        self.is_on
    }

    /// An id.
    pub(crate) fn id(self, id: &str) -> Cow<'_, str> {
        if self.is_on { Cow::Owned("x".repeat(id.len())) } else { Cow::Borrowed(id) }
    }

    /// Words of the application's, which become a text of JSON: what is escaped there stays.
    pub(crate) fn words(self, words: &str) -> Cow<'_, str> {
        if !self.is_on {
            return Cow::Borrowed(words);
        }
        let mut out = Vec::with_capacity(words.len());
        for_each_char(words.as_bytes(), |bytes| match bytes {
            [b'"' | b'\\'] => out.extend_from_slice(bytes),
            bytes => mask_words(&mut out, bytes),
        });
        Cow::Owned(String::from_utf8(out).unwrap_or_default())
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

    /// A binary message of a client, whose first byte is its type in revision 3.
    pub(crate) fn binary_message(self, data: &[u8]) -> Cow<'_, [u8]> {
        let mut masked = self.binary(data);
        if let (Revision::V3, Cow::Owned(masked), Some(&kind)) = (self.revision, &mut masked, data.first()) {
            masked.iter_mut().take(1).for_each(|byte| *byte = kind);
        }
        masked
    }

    /// The name of a namespace, which is not masked but for what is no name.
    pub(crate) fn namespace(self, name: &str) -> Cow<'_, [u8]> {
        if !self.is_on {
            return Cow::Borrowed(name.as_bytes());
        }
        let mut out = Vec::with_capacity(name.len());
        namespace::mask(&mut out, name.as_bytes());
        Cow::Owned(out)
    }

    /// JSON alone.
    pub(crate) fn json(self, json: &[u8]) -> Cow<'_, [u8]> {
        if !self.is_on {
            return Cow::Borrowed(json);
        }
        let mut out = Vec::with_capacity(json.len());
        json::mask(&mut out, json, json::Keep::Nothing);
        Cow::Owned(out)
    }

    /// The body of a POST.
    pub(crate) fn body(self, body: &[u8]) -> Cow<'_, [u8]> {
        if !self.is_on {
            return Cow::Borrowed(body);
        }
        let mut out = Vec::with_capacity(body.len());
        self.form_or_payload(&mut out, body);
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
        if packet.first() == Some(&b'b') {
            return self.base64(out, packet);
        }
        if !self.has_sockets {
            let (kind, rest) = packet.split_at(1);
            out.extend_from_slice(kind);
            return mask_words(out, rest);
        }
        let header = Header::of(packet);
        out.extend_from_slice(packet.get(..header.namespace.start).unwrap_or_default());
        namespace::mask(out, packet.get(header.namespace.clone()).unwrap_or_default());
        out.extend_from_slice(packet.get(header.namespace.end..header.end).unwrap_or_default());
        let keep = match packet.get(..2) {
            Some(b"42") => json::Keep::Name,
            Some(b"45") => json::Keep::NameAndPlaceholders,
            Some(b"46") => json::Keep::Placeholders,
            _ => json::Keep::Nothing,
        };
        json::mask(out, packet.get(header.end..).unwrap_or_default(), keep);
    }

    /// A binary message as text: base64 of bytes that are 0.
    fn base64(self, out: &mut Vec<u8>, packet: &[u8]) {
        let prefix = match self.revision {
            Revision::V4 => 1,
            Revision::V3 => 2,
        };
        let (prefix, data) = packet.split_at(prefix.min(packet.len()));
        out.extend_from_slice(prefix);
        for_each_char(data, |bytes| match bytes {
            [byte] if byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/') => out.push(b'A'),
            _ => out.extend_from_slice(masked_char(bytes)),
        });
    }
}

/// The header of a Socket.IO packet, with the Engine.IO type in front: its type, attachments, namespace and id.
struct Header {
    namespace: Range<usize>,
    end: usize,
}

impl Header {
    fn of(packet: &[u8]) -> Self {
        let digits = |from: usize| {
            let rest = packet.get(from..).unwrap_or_default();
            let after = rest.iter().position(|byte| !byte.is_ascii_digit()).unwrap_or(rest.len());
            from.saturating_add(after)
        };
        if packet.first() != Some(&b'4') {
            return Self { namespace: 1..1, end: 1 };
        }
        let mut at = digits(1);
        if packet.get(at) == Some(&b'-') {
            at = at.saturating_add(1);
        }
        let start = at;
        if packet.get(at) == Some(&b'/') {
            let rest = packet.get(at..).unwrap_or_default();
            at = at.saturating_add(rest.iter().position(|byte| *byte == b',').unwrap_or(rest.len()));
        }
        let behind = at.saturating_add(usize::from(at > start && packet.get(at) == Some(&b',')));
        Self { namespace: start..at, end: digits(behind) }
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packets_keep_their_structure_and_nothing_else() {
        for (packet, masked) in [
            // An old client's query, with a comma behind it and without.
            ("40/chat?token=SECRET", "40/chat?token=xxxxxx"),
            ("40/chat?token=SECRET&b=1,", "40/chat?token=xxxxxx&b=x,"),
            ("40/chat?a=%41%22%C3%A9+%4&SECRET", "40/chat?a=%78%22%c3%a9xxx&xxxxxx"),
            // Without the comma.
            (r#"40/admin{"token":"SECRET","a":"SECRET"}"#, r#"40/admin{xxxxxxxxxxxxxxxx,"x":"xxxxxx"}"#),
            ("40/admin,", "40/admin,"),
            // Words and numbers.
            (r#"42["card",123,0,-1.5e10,4111]"#, r#"42["card",111,1,-1.1e11,1111]"#),
            ("42[\"e\",true,false,null,tru,SECRETS,01]", "42[\"e\",true,false,null,xxx,xxxxxxx,01]"),
            // No names: they are texts in the wrong place.
            (r#"42[{"a":"SECRET"}]"#, r#"42[{"a":"xxxxxx"}]"#),
            (r#"42[7,"SECRET"]"#, r#"42[1,"xxxxxx"]"#),
            (r#"42["e",{"a":"b":"c"}]"#, r#"42["e",{"a":"x":"x"}]"#),
            // Numbers of attachments, and one that is none.
            (
                r#"451-["e",{"_placeholder":true,"num":0},{"num":123},7]"#,
                r#"451-["e",{"_placeholder":true,"num":0},{"num":111},1]"#,
            ),
            (r#"42["e",{"_placeholder":true,"num":123}]"#, r#"42["e",{"_placeholder":true,"num":111}]"#),
            ("b+/A9==", "bAAAA=="),
            ("2probe", "2probe"),
        ] {
            let mask = Mask::new(true, true, Revision::V4);
            let once = mask.text(packet.as_bytes()).into_owned();
            assert_eq!(core::str::from_utf8(&once), Ok(masked), "{packet}");
            // Outputs of a replay are masked once more.
            assert_eq!(mask.text(&once), once, "{packet}");
        }
    }

    #[test]
    fn a_name_is_masked_as_in_its_packet() {
        let mask = Mask::new(true, true, Revision::V4);
        assert_eq!(&*mask.namespace("/chat?token=SECRET"), b"/chat?token=xxxxxx");
        assert_eq!(&*mask.namespace("/chat"), b"/chat");
    }
}
