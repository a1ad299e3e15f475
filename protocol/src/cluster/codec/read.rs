//! Finding the parts of a message.

use super::number::js_number;
use crate::cluster::message::{AckRequest, Event, RemoteSocket, RequestId, Values};
use crate::cluster::{Limits, MalformedError, msgpack};
use crate::hub::Target;
use crate::socket::json::placeholder;
use crate::socket::json::scan::{skip_blanks, skip_string, skip_value, unescape};
use crate::socket::{Args, Parser, Reassembly, is_namespace};
use alloc::borrow::Cow;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::sync::Arc;
use alloc::vec::Vec;
use bytes::Bytes;
use core::time::Duration;
use serde_json::value::RawValue;

/// A message as JSON text, which is valid, and the attachments that its placeholders stand for.
pub(in crate::cluster) struct Document<'a> {
    text: Cow<'a, str>,
    attachments: Vec<Bytes>,
    limits: &'a Limits,
}

impl<'a> Document<'a> {
    pub(in crate::cluster) fn json(payload: &'a [u8], limits: &'a Limits) -> Result<Self, MalformedError> {
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

    pub(in crate::cluster) fn message_pack(
        payload: &Bytes,
        limits: &'a Limits,
    ) -> Result<Self, MalformedError> {
        check_size(payload, limits)?;
        let (text, attachments) = msgpack::to_json(payload, limits)?;
        Ok(Self { text: Cow::Owned(text), attachments, limits })
    }

    /// JSON if it begins with a brace, else MessagePack: how the peers tell them apart.
    pub(in crate::cluster) fn either(payload: &'a Bytes, limits: &'a Limits) -> Result<Self, MalformedError> {
        if payload.first() == Some(&b'{') {
            Self::json(payload, limits)
        } else {
            Self::message_pack(payload, limits)
        }
    }

    pub(in crate::cluster) fn text(&self) -> &str {
        &self.text
    }

    pub(in crate::cluster) fn limits(&self) -> &Limits {
        self.limits
    }

    /// The event in an array of its name and its arguments.
    pub(in crate::cluster) fn event(&self, json: &str) -> Result<Event, MalformedError> {
        self.event_with(json, &self.attachments)
    }

    /// The same with attachments that came by another way.
    pub(in crate::cluster) fn event_with(
        &self,
        json: &str,
        attachments: &[Bytes],
    ) -> Result<Event, MalformedError> {
        let (json, attachments) = self.in_order(json, attachments)?;
        if attachments.is_empty() {
            let packet = Parser::json().decode(format!("2{json}").into())?;
            return Event::from_args(packet.into_args()).ok_or(MalformedError::NoName);
        }
        // `in_order` has seen to the number and the size of the attachments, each of which stands in one place.
        let parser = Parser::json().max_attachments(usize::MAX);
        let packet = parser.decode(format!("5{}-{json}", attachments.len()).into())?;
        let mut reassembly = Reassembly::new();
        let mut whole = reassembly.start(packet, usize::MAX, usize::MAX)?;
        for attachment in attachments {
            whole = reassembly.push(attachment)?;
        }
        whole.and_then(|packet| Event::from_args(packet.into_args())).ok_or(MalformedError::NoName)
    }

    /// The values in an array.
    pub(in crate::cluster) fn values(&self, json: &str) -> Result<Values, MalformedError> {
        let (json, attachments) = self.in_order(json, &self.attachments)?;
        Ok(Values::from_args(Args::from_json(&json, attachments)?))
    }

    /// One value, or none.
    pub(in crate::cluster) fn value(&self, json: Option<&str>) -> Result<Values, MalformedError> {
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
    pub(in crate::cluster) fn options(&self, json: Option<&str>) -> Result<Options, MalformedError> {
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
    pub(in crate::cluster) fn packet<'b>(
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
    pub(in crate::cluster) fn sockets(&self, json: &str) -> Result<Vec<RemoteSocket>, MalformedError> {
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
    pub(in crate::cluster) fn names(
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
    pub(in crate::cluster) fn name(
        &self,
        json: &str,
        field: &'static str,
    ) -> Result<Arc<str>, MalformedError> {
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
    pub(in crate::cluster) fn id(
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
    pub(in crate::cluster) fn mark(&self, json: Option<&str>) -> Result<Option<Arc<str>>, MalformedError> {
        self.id(json.filter(|json| json.starts_with('"') && *json != "\"\""), "via")
    }

    /// The token of a request, which must be there.
    pub(in crate::cluster) fn request(&self, json: Option<&str>) -> Result<RequestId, MalformedError> {
        let id = self.id(json, "requestId")?;
        id.map(RequestId::new).ok_or(MalformedError::Field { field: "requestId" })
    }

    /// A namespace, which must be there.
    pub(in crate::cluster) fn namespace(&self, json: Option<&str>) -> Result<Arc<str>, MalformedError> {
        let name = self.id(json, "namespace")?;
        name.filter(|name| is_namespace(name)).ok_or(MalformedError::Field { field: "namespace" })
    }

    /// An array, which must be there.
    pub(in crate::cluster) fn array<'b>(
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

/// The options that [`Document::options`] reads.
#[derive(Default)]
pub(in crate::cluster) struct Options {
    pub(in crate::cluster) target: Target,
    pub(in crate::cluster) timeout: Option<Duration>,
    pub(in crate::cluster) single: bool,
    pub(in crate::cluster) via: Option<Arc<str>>,
}

impl Options {
    /// The wish for acknowledgements with this token.
    pub(in crate::cluster) fn ack(&self, request: RequestId) -> AckRequest {
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

pub(in crate::cluster) fn check_depth(json: &str, limits: &Limits) -> Result<(), MalformedError> {
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

/// Returns JSON that is neither missing nor `null`.
pub(in crate::cluster) fn present(json: Option<&str>) -> Option<&str> {
    json.filter(|json| *json != "null")
}

/// The members of an object that have these names. Of a repeated one the last counts. `None` for any other value.
pub(in crate::cluster) fn fields<'a, const N: usize>(
    json: &'a str,
    names: [&str; N],
) -> Option<[Option<&'a str>; N]> {
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

/// The elements of an array; `None` for any other value.
pub(in crate::cluster) fn elements(json: &str) -> Option<impl Iterator<Item = &str>> {
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
pub(in crate::cluster) fn string(json: &str) -> Option<Cow<'_, str>> {
    json.strip_prefix('"')?.strip_suffix('"').map(unescape)
}

/// A whole number without a sign.
pub(in crate::cluster) fn number<T: core::str::FromStr>(json: &str) -> Option<T> {
    json.parse().ok()
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
