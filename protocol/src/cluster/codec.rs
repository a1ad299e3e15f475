//! What the dialects have in common: reading the parts of a message, and writing one.
//!
//! A message is a JSON document with attachments beside it. JSON is that already; MessagePack becomes it first. Each
//! part is then found by walking over the text, and only what a [`Message`](super::Message) keeps is copied.

use super::message::{AckRequest, Event, RemoteSocket, RequestId, Values};
use super::{InexpressibleError, Limits, MalformedError, msgpack};
use crate::hub::Target;
use crate::socket::json::placeholder;
use crate::socket::json::scan::{js_number, skip_blanks, skip_string, skip_value, unescape};
use crate::socket::json::write::{push_string, push_u64};
use crate::socket::{Args, Packet, Reassembly, is_namespace};
use alloc::borrow::Cow;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::sync::Arc;
use alloc::vec::Vec;
use bytes::Bytes;
use core::time::Duration;
use serde_json::value::RawValue;

// --- reading -------------------------------------------------------------------------------------------------------

/// A message as JSON text, which is valid, and the attachments that its placeholders stand for.
pub(super) struct Document<'a> {
    text: Cow<'a, str>,
    attachments: Vec<Bytes>,
    limits: &'a Limits,
}

impl<'a> Document<'a> {
    pub(super) fn json(payload: &'a [u8], limits: &'a Limits) -> Result<Self, MalformedError> {
        check_size(payload, limits)?;
        let text = core::str::from_utf8(payload)
            .map_err(|error| MalformedError::Json { reason: error.to_string() })?;
        Self::of_text(text, limits)
    }

    fn of_text(text: &'a str, limits: &'a Limits) -> Result<Self, MalformedError> {
        let value: &RawValue =
            serde_json::from_str(text).map_err(|error| MalformedError::Json { reason: error.to_string() })?;
        check_depth(value.get(), limits)?;
        Ok(Self { text: Cow::Borrowed(value.get()), attachments: Vec::new(), limits })
    }

    pub(super) fn message_pack(payload: &Bytes, limits: &'a Limits) -> Result<Self, MalformedError> {
        check_size(payload, limits)?;
        let (text, attachments) = msgpack::to_json(payload, limits)?;
        Ok(Self { text: Cow::Owned(text), attachments, limits })
    }

    /// JSON if it begins with a brace, else MessagePack: how the peers tell them apart.
    pub(super) fn either(payload: &'a Bytes, limits: &'a Limits) -> Result<Self, MalformedError> {
        if payload.first() == Some(&b'{') {
            Self::json(payload, limits)
        } else {
            Self::message_pack(payload, limits)
        }
    }

    pub(super) fn text(&self) -> &str {
        &self.text
    }

    pub(super) fn limits(&self) -> &Limits {
        self.limits
    }

    /// The event in an array of its name and its arguments.
    pub(super) fn event(&self, json: &str) -> Result<Event, MalformedError> {
        self.event_with(json, &self.attachments)
    }

    /// The same with attachments that came by another way.
    pub(super) fn event_with(&self, json: &str, attachments: &[Bytes]) -> Result<Event, MalformedError> {
        let (json, attachments) = self.in_order(json, attachments)?;
        if attachments.is_empty() {
            let packet = Packet::decode(format!("2{json}").into(), 0)?;
            return Event::from_args(packet.into_args()).ok_or(MalformedError::NoName);
        }
        let packet = Packet::decode(format!("5{}-{json}", attachments.len()).into(), usize::MAX)?;
        let mut reassembly = Reassembly::new();
        let mut whole = reassembly.start(packet, usize::MAX)?;
        for attachment in attachments {
            whole = reassembly.push(attachment)?;
        }
        whole.and_then(|packet| Event::from_args(packet.into_args())).ok_or(MalformedError::NoName)
    }

    /// The values in an array.
    pub(super) fn values(&self, json: &str) -> Result<Values, MalformedError> {
        let (json, attachments) = self.in_order(json, &self.attachments)?;
        Ok(Values::from_args(Args::from_json(&json, attachments)?))
    }

    /// One value, or none.
    pub(super) fn value(&self, json: Option<&str>) -> Result<Values, MalformedError> {
        self.values(&format!("[{}]", json.unwrap_or_default()))
    }

    /// Numbers the placeholders in a part of the text from 0 in the order in which they stand, and picks the
    /// attachments that they stand for.
    fn in_order<'b>(
        &self,
        json: &'b str,
        attachments: &[Bytes],
    ) -> Result<(Cow<'b, str>, Vec<Bytes>), MalformedError> {
        let limit = self.limits.event_bytes;
        let too_large = || MalformedError::TooLarge { unit: "event_bytes", limit };
        if attachments.is_empty() {
            return if json.len() > limit { Err(too_large()) } else { Ok((Cow::Borrowed(json), Vec::new())) };
        }
        let mut text: Vec<u8> = Vec::with_capacity(json.len());
        let mut picked = Vec::new();
        let mut bytes = json.len();
        let mut copied = 0;
        for found in placeholder::outermost(json.as_bytes()) {
            let attachment = found.num.and_then(|num| attachments.get(num));
            let attachment = attachment.ok_or(MalformedError::Placeholder)?;
            bytes = bytes.saturating_add(attachment.len());
            if bytes > limit {
                return Err(too_large());
            }
            if picked.len() >= self.limits.attachments {
                return Err(MalformedError::TooLarge { unit: "attachments", limit: self.limits.attachments });
            }
            text.extend_from_slice(json.as_bytes().get(copied..found.span.start).unwrap_or_default());
            placeholder::push(&mut text, picked.len());
            picked.push(attachment.clone());
            copied = found.span.end;
        }
        text.extend_from_slice(json.as_bytes().get(copied..).unwrap_or_default());
        if bytes > limit {
            return Err(too_large());
        }
        let text = String::from_utf8(text).map_err(|_| MalformedError::Placeholder)?;
        Ok((Cow::Owned(text), picked))
    }

    /// `{rooms, except, flags}`, as all of JavaScript's formats have it.
    pub(super) fn options(&self, json: Option<&str>) -> Result<Options, MalformedError> {
        let field = MalformedError::Field { field: "opts" };
        let json = json.ok_or(field.clone())?;
        let [rooms, except, flags] = fields(json, ["rooms", "except", "flags"]).ok_or(field)?;
        let mut options = Options::default();
        options.target.rooms = self.names(rooms, "rooms")?;
        options.target.except = self.names(except, "except")?;
        if let Some(flags) = present(flags) {
            let [volatile, compress, timeout, single, via] =
                fields(flags, ["volatile", "compress", "timeout", "expectSingleResponse", "via"])
                    .ok_or(MalformedError::Field { field: "flags" })?;
            options.target.flags.volatile = volatile == Some("true");
            options.target.flags.compress = match compress {
                Some("true") => Some(true),
                Some("false") => Some(false),
                _ => None,
            };
            options.timeout = timeout.and_then(number::<u32>).map(|ms| Duration::from_millis(ms.into()));
            options.single = single == Some("true");
            options.via = self.mark(via)?;
        }
        Ok(options)
    }

    /// `{type: 2, data: [name, ...], nsp}`: the event in a packet, and the namespace, if there is one.
    pub(super) fn packet<'b>(
        &self,
        json: Option<&'b str>,
    ) -> Result<(Event, Option<&'b str>), MalformedError> {
        let field = MalformedError::Field { field: "packet" };
        let json = json.ok_or(field.clone())?;
        let [kind, data, nsp] = fields(json, ["type", "data", "nsp"]).ok_or(field)?;
        if kind != Some("2") {
            return Err(MalformedError::Field { field: "packet.type" });
        }
        let event = self.array(data, "packet.data")?;
        Ok((self.event(event)?, present(nsp)))
    }

    /// The sockets of an answer, each with all that its node told about it.
    pub(super) fn sockets(&self, json: &str) -> Result<Vec<RemoteSocket>, MalformedError> {
        const FIELD: MalformedError = MalformedError::Field { field: "sockets" };
        let mut sockets = Vec::new();
        for socket in elements(json).ok_or(FIELD)? {
            self.one_more(sockets.len(), "sockets", self.limits.sockets)?;
            let [id, handshake, rooms, data] =
                fields(socket, ["id", "handshake", "rooms", "data"]).ok_or(FIELD)?;
            sockets.push(RemoteSocket {
                id: self.id(id, "id")?.ok_or(FIELD)?,
                rooms: self.names(rooms, "rooms")?,
                handshake: self.value(present(handshake).filter(|json| json.starts_with('{')))?,
                data: self.value(data)?,
            });
        }
        Ok(sockets)
    }

    /// A list of names, each a text or a number. None at all if it is missing.
    pub(super) fn names(
        &self,
        json: Option<&str>,
        field: &'static str,
    ) -> Result<Vec<Arc<str>>, MalformedError> {
        let mut names = Vec::new();
        let Some(json) = present(json) else { return Ok(names) };
        for element in elements(json).ok_or(MalformedError::Field { field })? {
            self.one_more(names.len(), "names", self.limits.names)?;
            names.push(self.name(element, field)?);
        }
        Ok(names)
    }

    /// A text, or a number as JavaScript writes it.
    pub(super) fn name(&self, json: &str, field: &'static str) -> Result<Arc<str>, MalformedError> {
        let name = match json.bytes().next() {
            Some(b'"') => string(json),
            Some(b'-' | b'0'..=b'9') => Some(js_number(json)),
            _ => None,
        };
        let name = name.ok_or(MalformedError::Field { field })?;
        let limit = self.limits.name_bytes;
        if name.len() > limit {
            return Err(MalformedError::TooLarge { unit: "name_bytes", limit });
        }
        Ok(name.into())
    }

    /// A text that is not empty, if it is there.
    pub(super) fn id(
        &self,
        json: Option<&str>,
        field: &'static str,
    ) -> Result<Option<Arc<str>>, MalformedError> {
        let Some(json) = present(json) else { return Ok(None) };
        if !json.starts_with('"') || json == "\"\"" {
            return Err(MalformedError::Field { field });
        }
        self.name(json, field).map(Some)
    }

    /// The mark of a bridge. Another member of that name may be anything.
    pub(super) fn mark(&self, json: Option<&str>) -> Result<Option<Arc<str>>, MalformedError> {
        self.id(json.filter(|json| json.starts_with('"') && *json != "\"\""), "via")
    }

    /// The token of a request, which must be there.
    pub(super) fn request(&self, json: Option<&str>) -> Result<RequestId, MalformedError> {
        let id = self.id(json, "requestId")?;
        id.map(RequestId::new).ok_or(MalformedError::Field { field: "requestId" })
    }

    /// A namespace, which must be there.
    pub(super) fn namespace(&self, json: Option<&str>) -> Result<Arc<str>, MalformedError> {
        let name = self.id(json, "namespace")?;
        name.filter(|name| is_namespace(name)).ok_or(MalformedError::Field { field: "namespace" })
    }

    /// An array, which must be there.
    pub(super) fn array<'b>(
        &self,
        json: Option<&'b str>,
        field: &'static str,
    ) -> Result<&'b str, MalformedError> {
        json.filter(|json| json.starts_with('[')).ok_or(MalformedError::Field { field })
    }

    fn one_more(&self, count: usize, unit: &'static str, limit: usize) -> Result<(), MalformedError> {
        if count < limit { Ok(()) } else { Err(MalformedError::TooLarge { unit, limit }) }
    }
}

/// What [`Document::options`] reads.
#[derive(Default)]
pub(super) struct Options {
    pub(super) target: Target,
    pub(super) timeout: Option<Duration>,
    pub(super) single: bool,
    pub(super) via: Option<Arc<str>>,
}

impl Options {
    /// The wish for acknowledgements with this token.
    pub(super) fn ack(&self, request: RequestId) -> AckRequest {
        AckRequest { request, timeout: self.timeout, single: self.single }
    }
}

fn check_size(payload: &[u8], limits: &Limits) -> Result<(), MalformedError> {
    let limit = limits.payload_bytes;
    if payload.len() > limit {
        return Err(MalformedError::TooLarge { unit: "payload_bytes", limit });
    }
    Ok(())
}

fn check_depth(json: &str, limits: &Limits) -> Result<(), MalformedError> {
    let bytes = json.as_bytes();
    let mut depth = 0usize;
    let mut at = 0usize;
    while let Some(byte) = bytes.get(at) {
        match byte {
            b'"' => {
                at = skip_string(bytes, at);
                continue;
            }
            b'[' | b'{' if depth >= limits.depth => {
                return Err(MalformedError::TooLarge { unit: "depth", limit: limits.depth });
            }
            b'[' | b'{' => depth = depth.saturating_add(1),
            b']' | b'}' => depth = depth.saturating_sub(1),
            _ => {}
        }
        at = at.saturating_add(1);
    }
    Ok(())
}

/// What is neither missing nor `null`.
pub(super) fn present(json: Option<&str>) -> Option<&str> {
    json.filter(|json| *json != "null")
}

/// The members of an object that have these names. Of a repeated one the last counts. `None` if it is no object.
pub(super) fn fields<'a, const N: usize>(json: &'a str, names: [&str; N]) -> Option<[Option<&'a str>; N]> {
    let mut found = [None; N];
    let bytes = json.as_bytes();
    if bytes.first() != Some(&b'{') {
        return None;
    }
    let mut at = skip_blanks(bytes, 1);
    while bytes.get(at) == Some(&b'"') {
        let end = skip_string(bytes, at);
        let key = string(json.get(at..end)?)?;
        // Behind the key stands a colon, and behind the value a comma or the end.
        let start = skip_blanks(bytes, skip_blanks(bytes, end).saturating_add(1));
        let end = skip_value(bytes, start);
        if let Some(slot) = names.iter().position(|name| *name == key).and_then(|slot| found.get_mut(slot)) {
            *slot = Some(json.get(start..end)?);
        }
        at = skip_blanks(bytes, skip_blanks(bytes, end).saturating_add(1));
    }
    Some(found)
}

/// The elements of an array; `None` if it is none.
pub(super) fn elements(json: &str) -> Option<impl Iterator<Item = &str>> {
    let bytes = json.as_bytes();
    if bytes.first() != Some(&b'[') {
        return None;
    }
    let mut at = skip_blanks(bytes, 1);
    Some(core::iter::from_fn(move || {
        if let None | Some(b']') = bytes.get(at) {
            return None;
        }
        let end = skip_value(bytes, at);
        let element = json.get(at..end);
        let behind = skip_blanks(bytes, end);
        at = if bytes.get(behind) == Some(&b',') {
            skip_blanks(bytes, behind.saturating_add(1))
        } else {
            bytes.len()
        };
        element
    }))
}

/// The text in quotes.
pub(super) fn string(json: &str) -> Option<Cow<'_, str>> {
    json.strip_prefix('"')?.strip_suffix('"').map(unescape)
}

/// A whole number without a sign.
pub(super) fn number<T: core::str::FromStr>(json: &str) -> Option<T> {
    json.parse().ok()
}

// --- writing -------------------------------------------------------------------------------------------------------

/// How the text of a document is spelled.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Style {
    /// As `JSON.stringify` does.
    JavaScript,
    /// As Python's `json.dumps` does: blanks behind commas and colons, and ASCII only.
    Python,
}

/// A message while it is written: JSON text with attachments beside it.
pub(super) struct Draft<'a> {
    text: Vec<u8>,
    pub(super) attachments: Vec<Bytes>,
    limits: &'a Limits,
    failed: Option<InexpressibleError>,
}

impl<'a> Draft<'a> {
    pub(super) fn new(limits: &'a Limits) -> Self {
        Self { text: Vec::new(), attachments: Vec::new(), limits, failed: None }
    }

    /// A comma, unless nothing stands before it. No value ends in an opening bracket or a colon.
    fn separate(&mut self) {
        if !matches!(self.text.last(), None | Some(b'[' | b'{' | b':')) {
            self.text.push(b',');
        }
    }

    /// The beginning of an array or an object.
    pub(super) fn open(&mut self, bracket: u8) {
        self.separate();
        self.text.push(bracket);
    }

    /// The end of it.
    pub(super) fn close(&mut self, bracket: u8) {
        self.text.push(bracket);
    }

    /// The name of a member, which must be ASCII that needs no escapes.
    pub(super) fn key(&mut self, name: &str) {
        self.separate();
        push_string(&mut self.text, name);
        self.text.push(b':');
    }

    /// Valid JSON.
    pub(super) fn raw(&mut self, json: &str) {
        self.separate();
        self.text.extend_from_slice(json.as_bytes());
    }

    pub(super) fn string(&mut self, text: &str) {
        self.separate();
        push_string(&mut self.text, text);
    }

    pub(super) fn number(&mut self, number: u64) {
        self.separate();
        push_u64(&mut self.text, number);
    }

    pub(super) fn flag(&mut self, flag: bool) {
        self.raw(if flag { "true" } else { "false" });
    }

    /// A name that a peer is to keep: bounded, as it is when we read it.
    pub(super) fn name(&mut self, name: &str) {
        let limit = self.limits.name_bytes;
        if name.len() > limit {
            self.fail(InexpressibleError::TooLarge { unit: "name_bytes", limit });
        }
        self.string(name);
    }

    pub(super) fn names(&mut self, names: &[Arc<str>]) {
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
    pub(super) fn args(&mut self, args: &Args) {
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
    pub(super) fn event(&mut self, event: &Event) {
        self.open(b'[');
        self.string(&event.name());
        self.args(event.args());
        self.close(b']');
    }

    /// The first of the values under a key; no member at all, if there is none.
    pub(super) fn first(&mut self, key: &str, values: &Values) {
        if values.is_empty() {
            return;
        }
        self.key(key);
        if values.len() == 1 {
            // Written as the elements of nothing: the colon before it takes the comma's place.
            self.args(values.args());
            return;
        }
        let first = values.args().raw(0).unwrap_or("null");
        let first = format!("[{first}]");
        match Args::from_json(&first, values.args().attachments().to_vec()) {
            Ok(first) => self.args(&first),
            Err(_) => self.fail(InexpressibleError::Placeholder),
        }
    }

    /// `{rooms, except, flags}`, as far as a message of this kind has flags.
    pub(super) fn options(&mut self, target: &Target, flags: Option<&Flags<'_>>, is_emitter: bool) {
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
    pub(super) fn sockets(&mut self, sockets: &[RemoteSocket]) {
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

    pub(super) fn fail(&mut self, error: InexpressibleError) {
        self.failed.get_or_insert(error);
    }

    /// The text as `JSON.stringify` writes it. There must be no attachments.
    pub(super) fn javascript(self) -> Result<Bytes, InexpressibleError> {
        if !self.attachments.is_empty() {
            return Err(InexpressibleError::Binary);
        }
        self.spell(Style::JavaScript)
    }

    /// The same with each attachment as `JSON.stringify` writes a Buffer.
    pub(super) fn javascript_with_buffers(mut self) -> Result<Bytes, InexpressibleError> {
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
    pub(super) fn python(self) -> Result<Bytes, InexpressibleError> {
        self.spell(Style::Python)
    }

    /// MessagePack with the attachments in it.
    pub(super) fn message_pack(self) -> Result<Bytes, InexpressibleError> {
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

/// What beside the target goes into the flags of an event.
#[derive(Default)]
pub(super) struct Flags<'a> {
    pub(super) ack: Option<&'a AckRequest>,
    pub(super) via: Option<&'a str>,
}

fn bounded(out: Vec<u8>, limits: &Limits) -> Result<Bytes, InexpressibleError> {
    let limit = limits.payload_bytes;
    if out.len() > limit {
        return Err(InexpressibleError::TooLarge { unit: "payload_bytes", limit });
    }
    Ok(out.into())
}

/// Whether a double cannot hold the number. Python would make the word `Infinity` of it, which is no JSON.
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
    use alloc::vec;

    #[test]
    fn members_and_elements_are_found() {
        let json = r#"{"a":1,"b" : [1, {"a":2}] , "\u0063":"x","a":{"b":3}}"#;
        assert_eq!(
            fields(json, ["a", "b", "c", "d"]).unwrap(),
            [Some(r#"{"b":3}"#), Some(r#"[1, {"a":2}]"#), Some("\"x\""), None]
        );
        assert_eq!(fields("{ }", ["a"]), Some([None]));
        assert_eq!(fields("[]", ["a"]), None);
        let list = |json| elements(json).map(Iterator::collect::<Vec<_>>);
        assert_eq!(list(r#"[ 1 ,"],", [2 ,3]]"#), Some(vec!["1", "\"],\"", "[2 ,3]"]));
        assert_eq!(list("[ ]"), Some(vec![]));
        assert_eq!(list("{}"), None);
    }

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

    #[test]
    fn only_the_attachments_of_a_part_go_with_it() {
        let limits = Limits::default();
        let payload = Bytes::from_static(&[0x92, 0x91, 0xc4, 1, 7, 0x92, 0xa1, b'e', 0xc4, 1, 8]);
        let document = Document::message_pack(&payload, &limits).unwrap();
        let parts: Vec<&str> = elements(document.text()).unwrap().collect();
        let values = document.values(parts[0]).unwrap();
        assert_eq!(values, Values::new(&Bytes::from_static(&[7])).unwrap());
        let event = document.event(parts[1]).unwrap();
        assert_eq!(event, Event::new("e", &Bytes::from_static(&[8])).unwrap());
    }
}
