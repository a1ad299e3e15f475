//! Writing a message, and spelling it as the peers do.

use super::string;
use crate::cluster::message::{AckRequest, Event, RemoteSocket, Values};
use crate::cluster::{InexpressibleError, Limits, msgpack};
use crate::hub::Target;
use crate::socket::Args;
use crate::socket::json::placeholder;
use crate::socket::json::scan::{skip_string, skip_value};
use crate::socket::json::write::{push_string, push_u64};
use alloc::format;
use alloc::sync::Arc;
use alloc::vec::Vec;
use bytes::Bytes;

/// The spelling of a document's text.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Style {
    /// As `JSON.stringify` does.
    JavaScript,
    /// As Python's `json.dumps` does: blanks behind commas and colons, and ASCII only.
    Python,
}

/// A message while it is written: JSON text with attachments beside it.
pub(in crate::cluster) struct Draft<'a> {
    text: Vec<u8>,
    pub(in crate::cluster) attachments: Vec<Bytes>,
    limits: &'a Limits,
    failed: Option<InexpressibleError>,
}

impl<'a> Draft<'a> {
    pub(in crate::cluster) fn new(limits: &'a Limits) -> Self {
        Self { text: Vec::new(), attachments: Vec::new(), limits, failed: None }
    }

    /// A comma, unless nothing stands before it. No value ends in an opening bracket or a colon.
    fn separate(&mut self) {
        if !matches!(self.text.last(), None | Some(b'[' | b'{' | b':')) {
            self.text.push(b',');
        }
    }

    /// The beginning of an array or an object.
    pub(in crate::cluster) fn open(&mut self, bracket: u8) {
        self.separate();
        self.text.push(bracket);
    }

    /// The end of it.
    pub(in crate::cluster) fn close(&mut self, bracket: u8) {
        self.text.push(bracket);
    }

    /// The name of a member, which must be ASCII that needs no escapes.
    pub(in crate::cluster) fn key(&mut self, name: &str) {
        self.separate();
        push_string(&mut self.text, name);
        self.text.push(b':');
    }

    /// Valid JSON.
    pub(in crate::cluster) fn raw(&mut self, json: &str) {
        self.separate();
        self.text.extend_from_slice(json.as_bytes());
    }

    pub(in crate::cluster) fn string(&mut self, text: &str) {
        self.separate();
        push_string(&mut self.text, text);
    }

    pub(in crate::cluster) fn number(&mut self, number: u64) {
        self.separate();
        push_u64(&mut self.text, number);
    }

    pub(in crate::cluster) fn flag(&mut self, flag: bool) {
        self.raw(if flag { "true" } else { "false" });
    }

    /// A name that a peer is to keep: bounded, as it is when we read it.
    pub(in crate::cluster) fn name(&mut self, name: &str) {
        let limit = self.limits.name_bytes;
        if name.len() > limit {
            self.fail(InexpressibleError::TooLarge { unit: "name_bytes", limit });
        }
        self.string(name);
    }

    pub(in crate::cluster) fn names(&mut self, names: &[Arc<str>]) {
        let limit = self.limits.names;
        if names.len() > limit {
            self.fail(InexpressibleError::TooLarge { unit: "names", limit });
        }
        self.open(b'[');
        for name in names {
            self.name(name);
        }
        self.close(b']');
    }

    /// The elements of an array that is open.
    pub(in crate::cluster) fn args(&mut self, args: &Args) {
        let limit = self.limits.event_bytes;
        if args.wire_len() > limit.saturating_add(32) {
            self.fail(InexpressibleError::TooLarge { unit: "event_bytes", limit });
        }
        let json = args.list();
        if json.is_empty() {
            return;
        }
        self.separate();
        if args.attachments().is_empty() {
            self.text.extend_from_slice(json);
            return;
        }
        let mut copied = 0;
        for found in placeholder::outermost(json) {
            let Some(attachment) = found.num.and_then(|num| args.attachments().get(num)) else {
                self.fail(InexpressibleError::Placeholder);
                return;
            };
            self.text.extend_from_slice(json.get(copied..found.span.start).unwrap_or_default());
            placeholder::push(&mut self.text, self.attachments.len());
            self.attachments.push(attachment.clone());
            copied = found.span.end;
        }
        self.text.extend_from_slice(json.get(copied..).unwrap_or_default());
        let limit = self.limits.attachments;
        if self.attachments.len() > limit {
            self.fail(InexpressibleError::TooLarge { unit: "attachments", limit });
        }
    }

    /// `[name, arguments...]`.
    pub(in crate::cluster) fn event(&mut self, event: &Event) {
        self.open(b'[');
        self.string(&event.name());
        self.args(event.args());
        self.close(b']');
    }

    /// The first of the values under a key; without a value, no member at all.
    pub(in crate::cluster) fn first(&mut self, key: &str, values: &Values) {
        if values.is_empty() {
            return;
        }
        self.key(key);
        if values.len() == 1 {
            // Written as the elements of nothing: the colon before it takes the comma's place.
            self.args(values.args());
            return;
        }
        let first = values.args().json(0).unwrap_or("null");
        let first = format!("[{first}]");
        match Args::from_json(&first, values.args().attachments().to_vec()) {
            Ok(first) => self.args(&first),
            Err(_) => self.fail(InexpressibleError::Placeholder),
        }
    }

    /// `{rooms, except, flags}`, as far as a message of this kind has flags.
    pub(in crate::cluster) fn options(
        &mut self,
        target: &Target,
        flags: Option<&Flags<'_>>,
        is_emitter: bool,
    ) {
        self.open(b'{');
        self.key("rooms");
        self.names(&target.rooms);
        if !is_emitter {
            self.key("except");
            self.names(&target.except);
        }
        if let Some(flags) = flags {
            self.key("flags");
            self.open(b'{');
            if target.flags.volatile {
                self.key("volatile");
                self.flag(true);
            }
            if let Some(compress) = target.flags.compress {
                self.key("compress");
                self.flag(compress);
            }
            if let Some(ack) = flags.ack {
                if ack.single {
                    self.key("expectSingleResponse");
                    self.flag(true);
                }
                if let Some(timeout) = ack.timeout {
                    self.key("timeout");
                    self.number(u64::try_from(timeout.as_millis()).unwrap_or(u64::MAX).min(u32::MAX.into()));
                }
            }
            if let Some(via) = flags.via {
                self.key("via");
                self.name(via);
            }
            self.close(b'}');
        }
        if is_emitter {
            self.key("except");
            self.names(&target.except);
        }
        self.close(b'}');
    }

    /// The sockets of an answer.
    pub(in crate::cluster) fn sockets(&mut self, sockets: &[RemoteSocket]) {
        let limit = self.limits.sockets;
        if sockets.len() > limit {
            self.fail(InexpressibleError::TooLarge { unit: "sockets", limit });
        }
        self.open(b'[');
        for socket in sockets {
            self.open(b'{');
            self.key("id");
            self.name(&socket.id);
            // A peer that asks reads the parts of it without looking whether it is there.
            if socket.handshake.is_empty() {
                self.key("handshake");
                self.raw("{}");
            } else {
                self.first("handshake", &socket.handshake);
            }
            self.key("rooms");
            self.names(&socket.rooms);
            self.first("data", &socket.data);
            self.close(b'}');
        }
        self.close(b']');
    }

    pub(in crate::cluster) fn fail(&mut self, error: InexpressibleError) {
        self.failed.get_or_insert(error);
    }

    /// The text as `JSON.stringify` writes it. There must be no attachments.
    pub(in crate::cluster) fn javascript(self) -> Result<Bytes, InexpressibleError> {
        if !self.attachments.is_empty() {
            return Err(InexpressibleError::Binary);
        }
        self.spell(Style::JavaScript)
    }

    /// The same with each attachment as `JSON.stringify` writes a Buffer.
    pub(in crate::cluster) fn javascript_with_buffers(mut self) -> Result<Bytes, InexpressibleError> {
        let attachments = core::mem::take(&mut self.attachments);
        if attachments.is_empty() {
            return self.javascript();
        }
        let json = core::mem::take(&mut self.text);
        let found = placeholder::outermost(&json);
        if found.len() != attachments.len() {
            return Err(InexpressibleError::Placeholder);
        }
        let mut copied = 0;
        for (found, attachment) in found.into_iter().zip(attachments) {
            self.text.extend_from_slice(json.get(copied..found.span.start).unwrap_or_default());
            self.text.extend_from_slice(b"{\"type\":\"Buffer\",\"data\":[");
            for (at, byte) in attachment.iter().enumerate() {
                if at > 0 {
                    self.text.push(b',');
                }
                push_u64(&mut self.text, u64::from(*byte));
            }
            self.text.extend_from_slice(b"]}");
            copied = found.span.end;
        }
        self.text.extend_from_slice(json.get(copied..).unwrap_or_default());
        self.spell(Style::JavaScript)
    }

    /// The text as `json.dumps` writes it, placeholders included.
    pub(in crate::cluster) fn python(self) -> Result<Bytes, InexpressibleError> {
        self.spell(Style::Python)
    }

    /// MessagePack with the attachments in it.
    pub(in crate::cluster) fn message_pack(self) -> Result<Bytes, InexpressibleError> {
        if let Some(error) = self.failed {
            return Err(error);
        }
        // Made of text in whole and nothing else.
        let text = core::str::from_utf8(&self.text).map_err(|_| InexpressibleError::Placeholder)?;
        let out = msgpack::from_json(text, &self.attachments, self.limits)?;
        bounded(out, self.limits)
    }

    fn spell(self, style: Style) -> Result<Bytes, InexpressibleError> {
        if let Some(error) = self.failed {
            return Err(error);
        }
        let text = core::str::from_utf8(&self.text).map_err(|_| InexpressibleError::Placeholder)?;
        let bytes = text.as_bytes();
        let mut out = Vec::with_capacity(text.len().saturating_add(text.len() / 8));
        let mut depth = 0usize;
        let mut at = 0usize;
        while let Some(&byte) = bytes.get(at) {
            match byte {
                b' ' | b'\t' | b'\n' | b'\r' => {}
                b'"' => {
                    let end = skip_string(bytes, at);
                    spell_string(&mut out, text.get(at..end).unwrap_or_default(), style);
                    at = end;
                    continue;
                }
                b'[' | b'{' => {
                    let limit = self.limits.depth;
                    if depth >= limit {
                        return Err(InexpressibleError::TooLarge { unit: "depth", limit });
                    }
                    depth = depth.saturating_add(1);
                    out.push(byte);
                }
                b']' | b'}' => {
                    depth = depth.saturating_sub(1);
                    out.push(byte);
                }
                b',' | b':' => {
                    out.push(byte);
                    if style == Style::Python {
                        out.push(b' ');
                    }
                }
                _ => {
                    let end = skip_value(bytes, at).max(at.saturating_add(1));
                    let scalar = text.get(at..end).unwrap_or_default();
                    out.extend_from_slice(if is_infinite(scalar) { b"null" } else { scalar.as_bytes() });
                    at = end;
                    continue;
                }
            }
            at = at.saturating_add(1);
        }
        bounded(out, self.limits)
    }
}

/// The flags of an event, beside its target.
#[derive(Default)]
pub(in crate::cluster) struct Flags<'a> {
    pub(in crate::cluster) ack: Option<&'a AckRequest>,
    pub(in crate::cluster) via: Option<&'a str>,
}

fn bounded(out: Vec<u8>, limits: &Limits) -> Result<Bytes, InexpressibleError> {
    let limit = limits.payload_bytes;
    if out.len() > limit {
        return Err(InexpressibleError::TooLarge { unit: "payload_bytes", limit });
    }
    Ok(out.into())
}

/// Returns whether a double cannot hold the number. Python would make the word `Infinity` of it, which is no JSON.
fn is_infinite(scalar: &str) -> bool {
    let is_candidate = scalar.len() > 300 || scalar.bytes().any(|byte| matches!(byte, b'e' | b'E'));
    let is_number = scalar.bytes().next().is_some_and(|byte| byte == b'-' || byte.is_ascii_digit());
    is_candidate && is_number && scalar.parse::<f64>().is_ok_and(f64::is_infinite)
}

/// A text with its quotes.
fn spell_string(out: &mut Vec<u8>, json: &str, style: Style) {
    let is_plain = !json.contains('\\');
    match style {
        Style::JavaScript if is_plain => out.extend_from_slice(json.as_bytes()),
        Style::Python if is_plain && json.bytes().all(|byte| (b' '..=b'~').contains(&byte)) => {
            out.extend_from_slice(json.as_bytes());
        }
        Style::JavaScript => push_string(out, &string(json).unwrap_or_default()),
        Style::Python => {
            let mut quoted = Vec::new();
            push_string(&mut quoted, &string(json).unwrap_or_default());
            for char in core::str::from_utf8(&quoted).unwrap_or("\"\"").chars() {
                if (' '..='~').contains(&char) {
                    out.push(char as u8);
                    continue;
                }
                for unit in char.encode_utf16(&mut [0; 2]) {
                    out.extend_from_slice(format!("\\u{unit:04x}").as_bytes());
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::string::String;

    fn spelled(json: &str, style: Style) -> String {
        let limits = Limits::default();
        let mut draft = Draft::new(&limits);
        draft.raw(json);
        String::from_utf8(draft.spell(style).unwrap().to_vec()).unwrap()
    }

    #[test]
    fn text_is_spelled_as_the_peers_spell_it() {
        for (json, javascript, python) in [
            (
                r#"{ "a":[1 ,2.50 , null ], "b":{ } }"#,
                r#"{"a":[1,2.50,null],"b":{}}"#,
                r#"{"a": [1, 2.50, null], "b": {}}"#,
            ),
            (r#""é😀""#, r#""é😀""#, r#""\u00e9\ud83d\ude00""#),
            (r#""\u00e9\ud83d\ude00\/""#, "\"é😀/\"", r#""\u00e9\ud83d\ude00/""#),
            ("\"\\u0001\\n\\\"\\\\ \u{7f}\"", "\"\\u0001\\n\\\"\\\\ \u{7f}\"", r#""\u0001\n\"\\ \u007f""#),
            ("[1e400,-1e999,1e300]", "[null,null,1e300]", "[null, null, 1e300]"),
        ] {
            assert_eq!(spelled(json, Style::JavaScript), javascript);
            assert_eq!(spelled(json, Style::Python), python);
        }
        let long = "9".repeat(400);
        assert_eq!(spelled(&long, Style::Python), "null");
        assert_eq!(spelled(&"9".repeat(300), Style::Python), "9".repeat(300));
    }
}
