//! The dialect of python-socketio's managers: one JSON object on one channel for everything.
//!
//! | method | message |
//! |---|---|
//! | `emit` | [`Message::Emit`] |
//! | `callback` | [`Message::Ack`] |
//! | `enter_room`, `leave_room` | [`Message::Join`], [`Message::Leave`] of one socket |
//! | `close_room` | [`Message::close_room`] |
//! | `disconnect` | [`Message::Disconnect`] of one socket |
//!
//! There is nothing else: no lists of sockets or rooms, no server-side emit, no heartbeats, no counts of what was
//! delivered. Flags are not carried, `except` leaves out socket ids only, and an acknowledgement cannot have bytes.
//! The same bytes are used on Redis (`PUBLISH`), RabbitMQ (a fanout exchange), Kafka and ZMQ.
//!
//! ```
//! use sansocket_protocol::cluster::{Envelope, Event, Limits, Message, Python};
//! use sansocket_protocol::hub::Target;
//!
//! let event = Event::new("said", &("ada", 3)).unwrap();
//! let message = Message::Emit { event, target: Target::all().to("chess"), ack: None };
//! let envelope = Envelope::new("3cb685813b7b4819b0a2e9500aab95ce", "/", message);
//! let published = Python::default().encode(&envelope, &Limits::default())?;
//! assert_eq!(published[0].channel, "socketio");
//! assert_eq!(
//!     published[0].payload,
//!     r#"{"method": "emit", "event": "said", "data": ["ada", 3], "binary": false, "namespace": "/", "#.to_string()
//!         + r#""room": "chess", "skip_sid": null, "callback": null, "#
//!         + r#""host_id": "3cb685813b7b4819b0a2e9500aab95ce"}"#
//! );
//! # Ok::<(), sansocket_protocol::cluster::InexpressibleError>(())
//! ```

use super::codec::{Document, Draft, elements, fields, number, present, string};
use super::message::{AckRequest, Envelope, Event, Message, Origin, RequestId, Values};
use super::{InexpressibleError, Limits, MalformedError, Published, Subscription};
use crate::hub::Target;
use crate::socket::is_namespace;
use alloc::borrow::ToOwned;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec;
use alloc::vec::Vec;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;

/// The dialect of python-socketio. See the [module](self).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Python {
    channel: String,
}

const FIELDS: [&str; 13] = [
    "method",
    "namespace",
    "host_id",
    "via",
    "event",
    "data",
    "binary",
    "room",
    "skip_sid",
    "callback",
    "sid",
    "id",
    "args",
];

impl Default for Python {
    fn default() -> Self {
        Self::new("socketio")
    }
}

impl Python {
    /// The dialect on a channel of this name: python-socketio's option `channel`, by default `socketio`.
    pub fn new(channel: &str) -> Self {
        Self { channel: channel.to_owned() }
    }

    /// The channels of a node, for all its namespaces.
    pub fn subscriptions(&self) -> Vec<Subscription> {
        vec![Subscription::Channel(self.channel.clone())]
    }

    /// The token of a request in Python's form: the target as one room (nothing for several or all), the namespace,
    /// and a number that the asker has not used before with the two.
    pub fn request(target: &Target, namespace: &str, number: u64) -> RequestId {
        let limits = Limits::default();
        let mut draft = Draft::new(&limits);
        draft.open(b'[');
        match &target.rooms[..] {
            [room] => draft.string(room),
            _ => draft.raw("null"),
        }
        draft.string(namespace);
        draft.number(number);
        draft.close(b']');
        // Without attachments and names that are counted, the text is written as it is.
        let text = draft.javascript().unwrap_or_default();
        RequestId::new(core::str::from_utf8(&text).unwrap_or_default())
    }

    /// Reads a message.
    ///
    /// # Errors
    ///
    /// [`MalformedError`] for everything else, as for a message that would hurt the clients.
    pub fn decode(
        &self,
        channel: &str,
        payload: &Bytes,
        limits: &Limits,
    ) -> Result<Envelope, MalformedError> {
        if channel != self.channel {
            return Err(MalformedError::Channel);
        }
        let document = Document::json(payload, limits)?;
        let fields = fields(document.text(), FIELDS).ok_or(MalformedError::Kind)?;
        let [
            method,
            namespace,
            host,
            via,
            event,
            data,
            binary,
            room,
            skip_sid,
            callback,
            sid_or_room,
            id,
            args,
        ] = fields;
        let method = method.and_then(string).ok_or(MalformedError::Kind)?;
        let namespace = document.namespace(namespace)?;
        let host = document.id(host, "host_id")?;
        let via = document.mark(via)?;
        let mut origin = host.clone().map_or(Origin::Unnamed, Origin::Node);
        let mut to = None;
        let sid = || {
            let sid = document.id(sid_or_room, "sid")?.ok_or(MalformedError::Field { field: "sid" })?;
            Ok::<_, MalformedError>(Target::all().to(sid))
        };
        let one_room = || {
            let room = present(room).ok_or(MalformedError::Field { field: "room" })?;
            document.name(room, "room")
        };
        let message = match &*method {
            "emit" => read_emit(&document, [event, data, binary, room, skip_sid, callback])?,
            "callback" => {
                origin = Origin::Unnamed;
                to = Some(host.ok_or(MalformedError::Field { field: "host_id" })?);
                read_answer(&document, &namespace, [sid_or_room, id, args])?
            }
            "enter_room" => Message::Join { target: sid()?, rooms: vec![one_room()?] },
            "leave_room" => Message::Leave { target: sid()?, rooms: vec![one_room()?] },
            "close_room" => Message::close_room(one_room()?),
            "disconnect" => Message::Disconnect { target: sid()?, close: false },
            _ => return Err(MalformedError::Kind),
        };
        Ok(Envelope { origin, to, namespace, via, message })
    }

    /// Writes a message. A join or a leave of several rooms is several messages.
    ///
    /// The names in `target.except` must be ids of sockets: Python does not look for rooms among them. A room or a
    /// `target` of one name in a join, a leave or a disconnect must be the id of a socket as well.
    ///
    /// # Errors
    ///
    /// [`InexpressibleError`] if Python has no form for it.
    pub fn encode(&self, envelope: &Envelope, limits: &Limits) -> Result<Vec<Published>, InexpressibleError> {
        let writer = Writer { dialect: self, envelope, limits };
        if !is_namespace(&envelope.namespace) {
            return Err(InexpressibleError::Namespace);
        }
        match &envelope.message {
            Message::Emit { event, target, ack } => writer.emit(event, target, ack.as_ref()),
            Message::Ack { request, args } => writer.callback(request, args),
            Message::Leave { target, rooms }
                if target.except.is_empty() && !rooms.is_empty() && target.rooms == *rooms =>
            {
                let [room] = &rooms[..] else { return Err(InexpressibleError::Target) };
                let host = writer.host()?;
                let mut draft = writer.begin("close_room");
                draft.key("room");
                draft.name(room);
                writer.namespace(&mut draft);
                writer.end(draft, host)
            }
            Message::Join { target, rooms } => writer.membership("enter_room", target, rooms),
            Message::Leave { target, rooms } => writer.membership("leave_room", target, rooms),
            Message::Disconnect { target, close: _ } => {
                let host = writer.host()?;
                let mut published = Vec::new();
                for sid in single_sockets(target)? {
                    let mut draft = writer.begin("disconnect");
                    draft.key("sid");
                    draft.name(sid);
                    writer.namespace(&mut draft);
                    published.append(&mut writer.end(draft, host)?);
                }
                Ok(published)
            }
            other => Err(InexpressibleError::Kind { kind: other.kind() }),
        }
    }
}

fn read_emit(
    document: &Document<'_>,
    [event, data, binary, room, skip_sid, callback]: [Option<&str>; 6],
) -> Result<Message, MalformedError> {
    let event = read_event(document, event, data, binary == Some("true"))?;
    let mut target = Target::all();
    target.rooms = one_or_more(document, room, "room")?;
    target.except = one_or_more(document, skip_sid, "skip_sid")?;
    // An empty list reaches nobody, and makes every Python node fail.
    if target.rooms.is_empty() && present(room).is_some() {
        return Err(MalformedError::Field { field: "room" });
    }
    let callback = present(callback).map(|callback| read_callback(document, callback)).transpose()?;
    Ok(Message::Emit { event, target, ack: callback.map(AckRequest::new) })
}

fn read_answer(
    document: &Document<'_>,
    namespace: &str,
    [room, id, args]: [Option<&str>; 3],
) -> Result<Message, MalformedError> {
    let id = id.and_then(number::<u64>).ok_or(MalformedError::Field { field: "id" })?;
    let mut target = Target::all();
    if let Some(room) = present(room) {
        target.rooms.push(document.name(room, "sid")?);
    }
    let request = Python::request(&target, namespace, id);
    Ok(Message::Ack { request, args: document.values(document.array(args, "args")?)? })
}

/// The event in `event` and `data`. Data that is no array is one argument, and a single `null` is no argument: so
/// Python's own clients and ours see the same.
fn read_event(
    document: &Document<'_>,
    name: Option<&str>,
    data: Option<&str>,
    is_binary: bool,
) -> Result<Event, MalformedError> {
    let name = present(name)
        .filter(|name| matches!(name.bytes().next(), Some(b'"' | b'-' | b'0'..=b'9')))
        .ok_or(MalformedError::Field { field: "event" })?;
    let mut args = data.ok_or(MalformedError::Field { field: "data" })?;
    let mut attachments = Vec::new();
    if is_binary {
        let mut parts = elements(args).ok_or(MalformedError::Field { field: "data" })?;
        args = parts.next().ok_or(MalformedError::Field { field: "data" })?;
        for part in parts {
            let limit = document.limits().attachments;
            if attachments.len() >= limit {
                return Err(MalformedError::TooLarge { unit: "attachments", limit });
            }
            let text = string(part).filter(|_| part.starts_with('"')).ok_or(MalformedError::Base64)?;
            let bytes = STANDARD.decode(text.as_bytes()).map_err(|_| MalformedError::Base64)?;
            attachments.push(Bytes::from(bytes));
        }
    }
    let list = match args.strip_prefix('[').and_then(|args| args.strip_suffix(']')) {
        Some(list) => list.trim_matches([' ', '\t', '\n', '\r']),
        None => args,
    };
    let comma = if matches!(list, "" | "null") { "" } else { "," };
    let list = if comma.is_empty() { "" } else { list };
    document.event_with(&alloc::format!("[{name}{comma}{list}]"), &attachments)
}

/// Nothing, one name, or a list of names.
fn one_or_more(
    document: &Document<'_>,
    json: Option<&str>,
    field: &'static str,
) -> Result<Vec<Arc<str>>, MalformedError> {
    match present(json) {
        None => Ok(Vec::new()),
        Some(list) if list.starts_with('[') => document.names(Some(list), field),
        Some(name) => Ok(vec![document.name(name, field)?]),
    }
}

fn write_one_or_more(draft: &mut Draft<'_>, key: &str, names: &[Arc<str>]) {
    draft.key(key);
    match names {
        [] => draft.raw("null"),
        [name] => draft.name(name),
        names => draft.names(names),
    }
}

/// `[room, namespace, id]`, as a token.
fn read_callback(document: &Document<'_>, json: &str) -> Result<RequestId, MalformedError> {
    const FIELD: MalformedError = MalformedError::Field { field: "callback" };
    let mut parts = elements(json).ok_or(FIELD)?;
    let (Some(room), Some(namespace), Some(id), None) =
        (parts.next(), parts.next(), parts.next(), parts.next())
    else {
        return Err(FIELD);
    };
    let mut target = Target::all();
    if let Some(room) = present(Some(room)) {
        target.rooms.push(document.name(room, "callback")?);
    }
    let namespace = document.namespace(Some(namespace)).map_err(|_| FIELD)?;
    Ok(Python::request(&target, &namespace, number(id).ok_or(FIELD)?))
}

/// The parts of a token: room, namespace and number as JSON.
fn callback_parts(token: &str) -> Result<[&str; 3], InexpressibleError> {
    let is_json = serde_json::from_str::<&serde_json::value::RawValue>(token).is_ok();
    let mut parts = elements(token).filter(|_| is_json).ok_or(InexpressibleError::Request)?;
    let (Some(room), Some(namespace), Some(id), None) =
        (parts.next(), parts.next(), parts.next(), parts.next())
    else {
        return Err(InexpressibleError::Request);
    };
    let is_room = room == "null" || string(room).is_some();
    let is_namespace = string(namespace).is_some_and(|name| is_namespace(&name));
    if is_room && is_namespace && number::<u64>(id).is_some() {
        Ok([room, namespace, id])
    } else {
        Err(InexpressibleError::Request)
    }
}

/// The ids of a target that names sockets only.
fn single_sockets(target: &Target) -> Result<&[Arc<str>], InexpressibleError> {
    let is_named = !target.rooms.is_empty() && target.rooms.iter().all(|sid| !sid.is_empty());
    if !is_named || !target.except.is_empty() {
        return Err(InexpressibleError::Target);
    }
    Ok(&target.rooms)
}

/// The most messages that one join or leave becomes.
const MOST_MESSAGES: usize = 1000;

struct Writer<'a> {
    dialect: &'a Python,
    envelope: &'a Envelope,
    limits: &'a Limits,
}

impl<'a> Writer<'a> {
    fn host(&self) -> Result<&'a str, InexpressibleError> {
        match &self.envelope.origin {
            Origin::Node(host) => Ok(host),
            Origin::Emitter | Origin::Unnamed => Err(InexpressibleError::Node),
        }
    }

    fn begin(&self, method: &str) -> Draft<'a> {
        let mut draft = Draft::new(self.limits);
        draft.open(b'{');
        draft.key("method");
        draft.string(method);
        draft
    }

    fn namespace(&self, draft: &mut Draft<'_>) {
        draft.key("namespace");
        draft.name(&self.envelope.namespace);
    }

    fn mark(&self, draft: &mut Draft<'_>) {
        if let Some(via) = &self.envelope.via {
            draft.key("via");
            draft.name(via);
        }
    }

    fn end(&self, mut draft: Draft<'_>, host: &str) -> Result<Vec<Published>, InexpressibleError> {
        draft.key("host_id");
        draft.name(host);
        self.mark(&mut draft);
        draft.close(b'}');
        self.publish(draft)
    }

    fn publish(&self, draft: Draft<'_>) -> Result<Vec<Published>, InexpressibleError> {
        Ok(vec![Published { channel: self.dialect.channel.clone(), payload: draft.python()? }])
    }

    fn emit(
        &self,
        event: &Event,
        target: &Target,
        ack: Option<&AckRequest>,
    ) -> Result<Vec<Published>, InexpressibleError> {
        let host = self.host()?;
        let request = ack.map(|ack| callback_parts(ack.request.as_str())).transpose()?;
        let mut draft = self.begin("emit");
        draft.key("event");
        draft.string(&event.name());
        draft.key("data");
        let has_bytes = !event.args().attachments().is_empty();
        if has_bytes {
            draft.open(b'[');
        }
        draft.open(b'[');
        draft.args(event.args());
        draft.close(b']');
        for attachment in core::mem::take(&mut draft.attachments) {
            draft.string(&STANDARD.encode(attachment));
        }
        if has_bytes {
            draft.close(b']');
        }
        draft.key("binary");
        draft.flag(has_bytes);
        self.namespace(&mut draft);
        write_one_or_more(&mut draft, "room", &target.rooms);
        write_one_or_more(&mut draft, "skip_sid", &target.except);
        draft.key("callback");
        match request {
            Some(parts) => {
                draft.open(b'[');
                parts.into_iter().for_each(|part| draft.raw(part));
                draft.close(b']');
            }
            None => draft.raw("null"),
        }
        self.end(draft, host)
    }

    fn callback(&self, request: &RequestId, args: &Values) -> Result<Vec<Published>, InexpressibleError> {
        if !args.args().attachments().is_empty() {
            return Err(InexpressibleError::Binary);
        }
        let host = self.envelope.to.as_deref().ok_or(InexpressibleError::Node)?;
        let [room, namespace, id] = callback_parts(request.as_str())?;
        let mut draft = self.begin("callback");
        draft.key("host_id");
        draft.name(host);
        draft.key("sid");
        draft.raw(room);
        draft.key("namespace");
        draft.raw(namespace);
        draft.key("id");
        draft.raw(id);
        draft.key("args");
        draft.open(b'[');
        draft.args(args.args());
        draft.close(b']');
        self.mark(&mut draft);
        draft.close(b'}');
        self.publish(draft)
    }

    fn membership(
        &self,
        method: &str,
        target: &Target,
        rooms: &[Arc<str>],
    ) -> Result<Vec<Published>, InexpressibleError> {
        let host = self.host()?;
        let sids = single_sockets(target)?;
        if sids.len().saturating_mul(rooms.len()) > MOST_MESSAGES {
            return Err(InexpressibleError::TooLarge { unit: "messages", limit: MOST_MESSAGES });
        }
        let mut published = Vec::new();
        for sid in sids {
            for room in rooms {
                let mut draft = self.begin(method);
                draft.key("sid");
                draft.name(sid);
                draft.key("room");
                draft.name(room);
                self.namespace(&mut draft);
                published.append(&mut self.end(draft, host)?);
            }
        }
        Ok(published)
    }
}
