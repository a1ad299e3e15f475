//! The dialects of JavaScript's `ClusterAdapter`, which the newer adapters have in common: sharded pub/sub, streams
//! and Postgres.
//!
//! The message is `{type, data, uid, nsp}` in all of them. They differ in where the bytes go:
//!
//! | | commands | requests | answers | in bytes |
//! |---|---|---|---|---|
//! | [`Sharded`] | channel of the namespace or of one room | the same | channel of the asker | JSON, MessagePack if there are bytes in it |
//! | [`Streams`] | entry of a stream | channel of the namespace | channel of the asker | JSON or base64 in entries, MessagePack on channels |
//! | [`Postgres`] | notification | notification | notification | JSON; MessagePack in a table if there are bytes in it, or too many |
//!
//! ```
//! use sansocket_protocol::cluster::{Envelope, Limits, Message, Sharded};
//! use sansocket_protocol::hub::Target;
//!
//! let message = Message::Join { target: Target::all().to("r1"), rooms: vec!["late".into()] };
//! let published =
//!     Sharded::default().encode(&Envelope::new("bc46d5035577ac9b", "/", message), &Limits::default())?;
//! assert_eq!(published[0].channel, "socket.io#/#");
//! assert_eq!(
//!     published[0].payload,
//!     r#"{"type":4,"data":{"opts":{"rooms":["r1"],"except":[],"flags":{}},"rooms":["late"]},"#.to_string()
//!         + r#""uid":"bc46d5035577ac9b","nsp":"/"}"#
//! );
//! # Ok::<(), sansocket_protocol::cluster::InexpressibleError>(())
//! ```

use super::classic::{EMITTER, origin, packet};
use super::codec::{Document, Draft, Flags, fields, number, present};
use super::message::{Envelope, Message, Origin, RequestId, Values};
use super::{InexpressibleError, Limits, MalformedError, Published, Subscription};
use crate::socket::is_namespace;
use alloc::borrow::ToOwned;
use alloc::boxed::Box;
use alloc::format;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec;
use alloc::vec::Vec;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;

/// The part of a message that all three dialects share, as a number on the wire.
fn kind_of(message: &Message) -> Option<u64> {
    Some(match message {
        Message::Hello => 1,
        Message::Heartbeat => 2,
        Message::Emit { .. } => 3,
        Message::Join { .. } => 4,
        Message::Leave { .. } => 5,
        Message::Disconnect { .. } => 6,
        Message::FetchSockets { .. } => 7,
        Message::Sockets { .. } => 8,
        Message::ServerSideEmit { .. } => 9,
        Message::ServerSideAnswer { .. } => 10,
        Message::AckCount { .. } => 11,
        Message::Ack { .. } => 12,
        Message::NodeClosed => 13,
        Message::FetchIds { .. }
        | Message::FetchRooms { .. }
        | Message::SocketIds { .. }
        | Message::Rooms { .. } => return None,
    })
}

/// What `data` says, by its type.
fn read_data(
    document: &Document<'_>,
    kind: u8,
    data: Option<&str>,
    namespace: &str,
) -> Result<(Message, Option<Arc<str>>), MalformedError> {
    match kind {
        1 => return Ok((Message::Hello, None)),
        2 => return Ok((Message::Heartbeat, None)),
        13 => return Ok((Message::NodeClosed, None)),
        3..=12 => {}
        _ => return Err(MalformedError::Kind),
    }
    let data = data.ok_or(MalformedError::Field { field: "data" })?;
    let names = ["opts", "packet", "requestId", "rooms", "close", "sockets", "clientCount"];
    let [opts, packet, request, rooms, close, sockets, count] =
        fields(data, names).ok_or(MalformedError::Field { field: "data" })?;
    let optional_request = document.id(request, "requestId")?.map(RequestId::new);
    let request = || optional_request.clone().ok_or(MalformedError::Field { field: "requestId" });
    let rooms = || {
        let rooms = document.array(rooms, "rooms")?;
        document.names(Some(rooms), "rooms")
    };
    let target = || Ok::<_, MalformedError>(document.options(opts)?.target);
    let mut via = None;
    let message = match kind {
        3 => {
            let (event, nsp) = document.packet(packet)?;
            // Emitters have it here.
            if let Some(nsp) = nsp {
                if *document.namespace(Some(nsp))? != *namespace {
                    return Err(MalformedError::Channel);
                }
            }
            let options = document.options(opts)?;
            let ack = optional_request.map(|request| options.ack(request));
            via = options.via;
            Message::Emit { event, target: options.target, ack }
        }
        4 => Message::Join { target: target()?, rooms: rooms()? },
        5 => Message::Leave { target: target()?, rooms: rooms()? },
        6 => Message::Disconnect { target: target()?, close: close == Some("true") },
        7 => Message::FetchSockets { request: request()?, target: target()? },
        8 => {
            let sockets = sockets.ok_or(MalformedError::Field { field: "sockets" })?;
            Message::Sockets { request: request()?, sockets: document.sockets(sockets)? }
        }
        9 => {
            let event = document.event(document.array(packet, "packet")?)?;
            Message::ServerSideEmit { event, request: optional_request }
        }
        10 => Message::ServerSideAnswer { request: request()?, value: document.value(packet)? },
        11 => {
            let sockets = count.and_then(number).ok_or(MalformedError::Field { field: "clientCount" })?;
            Message::AckCount { request: request()?, sockets }
        }
        // A client that acknowledged without a value is `null` in MessagePack.
        _ => Message::Ack { request: request()?, args: document.value(present(packet))? },
    };
    Ok((message, via))
}

/// Writes `data`: nothing for the messages that have none.
fn write_data(draft: &mut Draft<'_>, envelope: &Envelope, undefined_is_null: bool) {
    let is_emitter = envelope.origin == Origin::Emitter;
    let no_flags = Flags::default();
    // Emitters leave the flags out of all but events.
    let flags = if is_emitter { None } else { Some(&no_flags) };
    let request = |draft: &mut Draft<'_>, request: &RequestId| {
        draft.key("requestId");
        draft.name(request.as_str());
    };
    draft.open(b'{');
    match &envelope.message {
        Message::Emit { event, target, ack } => {
            draft.key("packet");
            packet(draft, event, is_emitter.then_some(&*envelope.namespace));
            if let Some(ack) = ack {
                request(draft, &ack.request);
            }
            draft.key("opts");
            let flags = Flags { ack: ack.as_ref(), via: envelope.via.as_deref() };
            draft.options(target, Some(&flags), is_emitter);
        }
        Message::Join { target, rooms } | Message::Leave { target, rooms } => {
            draft.key("opts");
            draft.options(target, flags, false);
            draft.key("rooms");
            draft.names(rooms);
        }
        Message::Disconnect { target, close } => {
            draft.key("opts");
            draft.options(target, flags, false);
            draft.key("close");
            draft.flag(*close);
        }
        Message::FetchSockets { request: id, target } => {
            draft.key("opts");
            draft.options(target, flags, false);
            request(draft, id);
        }
        Message::Sockets { request: id, sockets } => {
            request(draft, id);
            draft.key("sockets");
            draft.sockets(sockets);
        }
        Message::ServerSideEmit { event, request: id } => {
            if let Some(id) = id {
                request(draft, id);
            }
            draft.key("packet");
            draft.event(event);
        }
        Message::ServerSideAnswer { request: id, value } => {
            request(draft, id);
            draft.first("packet", value);
        }
        Message::Ack { request: id, args } => {
            request(draft, id);
            // How @msgpack/msgpack writes what is undefined.
            if args.is_empty() && undefined_is_null {
                draft.key("packet");
                draft.raw("null");
            }
            draft.first("packet", args);
        }
        Message::AckCount { request: id, sockets } => {
            request(draft, id);
            draft.key("clientCount");
            draft.number((*sockets).into());
        }
        // They have no data, or are of no type at all.
        Message::Hello
        | Message::Heartbeat
        | Message::NodeClosed
        | Message::FetchIds { .. }
        | Message::FetchRooms { .. }
        | Message::SocketIds { .. }
        | Message::Rooms { .. } => {}
    }
    draft.close(b'}');
}

fn has_data(message: &Message) -> bool {
    !matches!(message, Message::Hello | Message::Heartbeat | Message::NodeClosed)
}

/// Whether the mark of a bridge has a place in the options of the message.
fn has_via_inside(message: &Message) -> bool {
    matches!(message, Message::Emit { .. })
}

fn uid(envelope: &Envelope) -> Result<&str, InexpressibleError> {
    let is_request = match &envelope.message {
        Message::Emit { ack, .. } => ack.is_some(),
        Message::ServerSideEmit { request, .. } => request.is_some(),
        Message::Join { .. } | Message::Leave { .. } | Message::Disconnect { .. } => false,
        _ => true,
    };
    match &envelope.origin {
        Origin::Node(uid) => Ok(uid),
        Origin::Emitter if !is_request => Ok(EMITTER),
        Origin::Emitter | Origin::Unnamed => Err(InexpressibleError::Node),
    }
}

fn check(envelope: &Envelope) -> Result<u64, InexpressibleError> {
    if !is_namespace(&envelope.namespace) {
        return Err(InexpressibleError::Namespace);
    }
    let kind = envelope.message.kind();
    kind_of(&envelope.message).ok_or(InexpressibleError::Kind { kind })
}

/// `{type, data, uid, nsp}`. Emitters leave the namespace out where the channel says it.
fn write_envelope<'a>(
    envelope: &Envelope,
    limits: &'a Limits,
    undefined_is_null: bool,
    has_nsp: bool,
) -> Result<Draft<'a>, InexpressibleError> {
    let kind = check(envelope)?;
    let mut draft = Draft::new(limits);
    draft.open(b'{');
    draft.key("type");
    draft.number(kind);
    if has_data(&envelope.message) {
        draft.key("data");
        write_data(&mut draft, envelope, undefined_is_null);
    }
    draft.key("uid");
    draft.name(uid(envelope)?);
    if has_nsp {
        draft.key("nsp");
        draft.name(&envelope.namespace);
    }
    if let Some(via) = envelope.via.as_ref().filter(|_| !has_via_inside(&envelope.message)) {
        draft.key("via");
        draft.name(via);
    }
    draft.close(b'}');
    Ok(draft)
}

/// Reads `{type, data, uid, nsp}`. `channel` is the namespace that the channel names, if it does.
fn read_envelope(document: &Document<'_>, channel: Option<&str>) -> Result<Envelope, MalformedError> {
    let [kind, data, uid, nsp, via] =
        fields(document.text(), ["type", "data", "uid", "nsp", "via"]).ok_or(MalformedError::Kind)?;
    let kind: u8 = kind.and_then(number).ok_or(MalformedError::Kind)?;
    let namespace: Arc<str> = match (channel, present(nsp)) {
        (Some(channel), None) => {
            let limit = document.limits().name_bytes;
            if channel.len() > limit || !is_namespace(channel) {
                return Err(MalformedError::Channel);
            }
            channel.into()
        }
        (channel, nsp) => {
            let namespace = document.namespace(nsp)?;
            if channel.is_some_and(|channel| *channel != *namespace) {
                return Err(MalformedError::Channel);
            }
            namespace
        }
    };
    let (message, inside) = read_data(document, kind, data, &namespace)?;
    let uid = document.id(uid, "uid")?.ok_or(MalformedError::Field { field: "uid" })?;
    let via = inside.or(document.mark(via)?);
    Ok(Envelope { origin: origin(Some(uid)), to: None, namespace, via, message })
}

/// The namespace that a message names itself, checked against its channel `<prefix>#<nsp>#` or `<prefix>#<nsp>#<to>#`.
/// Gives back what is between the last two.
fn channel_of<'a>(prefix: &str, channel: &'a str, namespace: &str) -> Option<Option<&'a str>> {
    let rest = channel.strip_prefix(prefix)?.strip_prefix('#')?.strip_prefix(namespace)?.strip_prefix('#')?;
    match rest {
        "" => Some(None),
        rest => Some(Some(rest.strip_suffix('#')?)),
    }
}

fn decode_on_channel(
    prefix: &str,
    channel: &str,
    payload: &Bytes,
    limits: &Limits,
) -> Result<Envelope, MalformedError> {
    let document = Document::either(payload, limits)?;
    let mut envelope = read_envelope(&document, None)?;
    let to = channel_of(prefix, channel, &envelope.namespace).ok_or(MalformedError::Channel)?;
    if envelope.message.answers().is_some() {
        if to.is_some_and(|to| to.is_empty() || to.len() > limits.name_bytes) {
            return Err(MalformedError::Channel);
        }
        envelope.to = to.map(Arc::from);
    }
    Ok(envelope)
}

/// The channel of an answer is the asker's.
fn channel_for(prefix: &str, envelope: &Envelope) -> Result<String, InexpressibleError> {
    let namespace = &envelope.namespace;
    Ok(match (envelope.message.answers(), &envelope.to) {
        (None, _) => format!("{prefix}#{namespace}#"),
        (Some(_), Some(node)) => format!("{prefix}#{namespace}#{node}#"),
        (Some(_), None) => return Err(InexpressibleError::Node),
    })
}

/// The names of the channels on which a node hears everything and what is for it alone.
fn two_channels(prefix: &str, namespace: &str, node: &str) -> Vec<Subscription> {
    vec![
        Subscription::Channel(format!("{prefix}#{namespace}#")),
        Subscription::Channel(format!("{prefix}#{namespace}#{node}#")),
    ]
}

/// Which rooms have a channel of their own in the sharded dialect. All nodes of a cluster must have the same.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum SubscriptionMode {
    /// No room has.
    Static,
    /// Rooms have whose names are not of 20 bytes, which is how long a socket's id is. The peers' default.
    #[default]
    Dynamic,
    /// Every room has, those of single sockets included.
    DynamicPrivate,
}

/// The dialect of `createShardedAdapter` in @socket.io/redis-adapter. See the [module](self).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sharded {
    prefix: String,
    mode: SubscriptionMode,
}

impl Default for Sharded {
    fn default() -> Self {
        Self::new("socket.io", SubscriptionMode::default())
    }
}

impl Sharded {
    /// The dialect under a prefix, the adapter's option `channelPrefix`, in one of its modes, `subscriptionMode`.
    pub fn new(prefix: &str, mode: SubscriptionMode) -> Self {
        Self { prefix: prefix.to_owned(), mode }
    }

    /// The channels of a node for one namespace, beside those of its rooms.
    pub fn subscriptions(&self, namespace: &str, node: &str) -> Vec<Subscription> {
        two_channels(&self.prefix, namespace, node)
    }

    /// The channel of a room, which a node subscribes to while it has members; `None` if the room has no channel.
    pub fn room_channel(&self, namespace: &str, room: &str) -> Option<String> {
        /// JavaScript's `length` of a socket's id.
        const ID_LENGTH: usize = 20;
        let has_channel = match self.mode {
            SubscriptionMode::Static => false,
            SubscriptionMode::Dynamic => room.encode_utf16().count() != ID_LENGTH,
            SubscriptionMode::DynamicPrivate => true,
        };
        has_channel.then(|| format!("{}#{namespace}#{room}#", self.prefix))
    }

    /// The channel whose subscribers are counted to know how many nodes will answer.
    pub fn count_channel(&self, namespace: &str) -> String {
        format!("{}#{namespace}#", self.prefix)
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
        decode_on_channel(&self.prefix, channel, payload, limits)
    }

    /// Writes a message.
    ///
    /// # Errors
    ///
    /// [`InexpressibleError`] if this dialect has no form for it. Answers need [`Envelope::to`].
    pub fn encode(&self, envelope: &Envelope, limits: &Limits) -> Result<Vec<Published>, InexpressibleError> {
        let draft = write_envelope(envelope, limits, false, true)?;
        let channel = match &envelope.message {
            Message::Emit { target, ack: None, .. } => match &target.rooms[..] {
                [room] => self.room_channel(&envelope.namespace, room),
                _ => None,
            },
            _ => None,
        };
        let channel = match channel {
            Some(channel) => channel,
            None => channel_for(&self.prefix, envelope)?,
        };
        let payload =
            if draft.attachments.is_empty() { draft.javascript()? } else { draft.message_pack()? };
        Ok(vec![Published { channel, payload }])
    }
}

/// The dialect of @socket.io/redis-streams-adapter with one stream. See the [module](self).
///
/// Commands are entries of a stream, which keeps them for clients that come back. What is of no use later goes by
/// channels: events with acknowledgements, all other requests, and the answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Streams {
    stream: String,
    prefix: String,
    session_prefix: String,
}

impl Default for Streams {
    fn default() -> Self {
        Self::new("socket.io", "socket.io", "sio:session:")
    }
}

/// What a message becomes in the dialect of streams.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Streamed {
    /// An entry to append to the stream, by `XADD`: names and values, in order.
    Entry {
        /// The stream.
        stream: String,
        /// The fields of the entry.
        fields: Vec<(&'static str, String)>,
    },
    /// Bytes to publish.
    Published(Published),
}

impl Streams {
    /// The dialect with the adapter's options `streamName`, `channelPrefix` and `sessionKeyPrefix`.
    pub fn new(stream: &str, prefix: &str, session_prefix: &str) -> Self {
        Self {
            stream: stream.to_owned(),
            prefix: prefix.to_owned(),
            session_prefix: session_prefix.to_owned(),
        }
    }

    /// The channels of a node for one namespace, beside the stream.
    pub fn subscriptions(&self, namespace: &str, node: &str) -> Vec<Subscription> {
        two_channels(&self.prefix, namespace, node)
    }

    /// The stream of all namespaces.
    pub fn stream(&self) -> &str {
        &self.stream
    }

    /// The channel whose subscribers are counted to know how many nodes will answer.
    pub fn count_channel(&self, namespace: &str) -> String {
        format!("{}#{namespace}#", self.prefix)
    }

    /// The key of a session that a client may come back to, by its private id.
    pub fn session_key(&self, pid: &str) -> String {
        format!("{}{pid}", self.session_prefix)
    }

    /// Reads an entry of the stream: its fields in any order.
    ///
    /// # Errors
    ///
    /// [`MalformedError`] for everything else. A reader must go on behind such an entry.
    pub fn decode_entry<'a>(
        &self,
        fields: impl IntoIterator<Item = (&'a [u8], &'a [u8])>,
        limits: &Limits,
    ) -> Result<Envelope, MalformedError> {
        let [mut uid, mut nsp, mut kind, mut data] = [None; 4];
        for (name, value) in fields {
            match name {
                b"uid" => uid = Some(value),
                b"nsp" => nsp = Some(value),
                b"type" => kind = Some(value),
                b"data" => data = Some(value),
                _ => {}
            }
        }
        let name = |value: Option<&'a [u8]>, field| {
            let text =
                value.and_then(|value| core::str::from_utf8(value).ok()).filter(|text| !text.is_empty());
            let text = text.ok_or(MalformedError::Field { field })?;
            let limit = limits.name_bytes;
            if text.len() > limit {
                return Err(MalformedError::TooLarge { unit: "name_bytes", limit });
            }
            Ok(text)
        };
        let (uid, namespace) = (name(uid, "uid")?, name(nsp, "nsp")?);
        if !is_namespace(namespace) {
            return Err(MalformedError::Field { field: "namespace" });
        }
        let kind: u8 = name(kind, "type")?.parse().map_err(|_| MalformedError::Kind)?;
        let unpacked;
        let document = match data {
            None => Document::json(b"{}", limits)?,
            Some(data) if data.starts_with(b"{") => Document::json(data, limits)?,
            Some(data) if data.len() > limits.payload_bytes => {
                return Err(MalformedError::TooLarge { unit: "payload_bytes", limit: limits.payload_bytes });
            }
            Some(data) => {
                unpacked = Bytes::from(STANDARD.decode(data).map_err(|_| MalformedError::Base64)?);
                Document::message_pack(&unpacked, limits)?
            }
        };
        let (message, via) = read_data(&document, kind, Some(document.text()), namespace)?;
        Ok(Envelope { origin: origin(Some(uid.into())), to: None, namespace: namespace.into(), via, message })
    }

    /// Reads what was published on a channel.
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
        decode_on_channel(&self.prefix, channel, payload, limits)
    }

    /// Writes a message.
    ///
    /// # Errors
    ///
    /// [`InexpressibleError`] if this dialect has no form for it. Answers need [`Envelope::to`]. The mark of a bridge
    /// has a place in events only.
    pub fn encode(&self, envelope: &Envelope, limits: &Limits) -> Result<Streamed, InexpressibleError> {
        let is_entry = match &envelope.message {
            Message::Emit { ack, .. } => ack.is_none(),
            Message::Join { .. }
            | Message::Leave { .. }
            | Message::Disconnect { .. }
            | Message::Hello
            | Message::Heartbeat
            | Message::NodeClosed => true,
            _ => false,
        };
        if !is_entry {
            let channel = channel_for(&self.prefix, envelope)?;
            let payload = write_envelope(envelope, limits, true, true)?.message_pack()?;
            return Ok(Streamed::Published(Published { channel, payload }));
        }
        let kind = check(envelope)?;
        if envelope.via.is_some() && !has_via_inside(&envelope.message) {
            return Err(InexpressibleError::Via);
        }
        let limit = limits.name_bytes;
        let uid = uid(envelope)?;
        if uid.len() > limit || envelope.namespace.len() > limit {
            return Err(InexpressibleError::TooLarge { unit: "name_bytes", limit });
        }
        let mut fields = vec![
            ("uid", uid.to_owned()),
            ("nsp", (*envelope.namespace).to_owned()),
            ("type", format!("{kind}")),
        ];
        if has_data(&envelope.message) {
            let mut draft = Draft::new(limits);
            write_data(&mut draft, envelope, true);
            let data = if draft.attachments.is_empty() {
                let text = draft.javascript()?;
                core::str::from_utf8(&text).unwrap_or_default().to_owned()
            } else {
                STANDARD.encode(draft.message_pack()?)
            };
            if data.len() > limits.payload_bytes {
                return Err(InexpressibleError::TooLarge {
                    unit: "payload_bytes",
                    limit: limits.payload_bytes,
                });
            }
            fields.push(("data", data));
        }
        Ok(Streamed::Entry { stream: self.stream.clone(), fields })
    }
}

/// What is kept of a client that is gone, for it to come back to any node: the value of a session's key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Session {
    /// The socket's public id.
    pub sid: Arc<str>,
    /// Its private id, which the client presents.
    pub pid: Arc<str>,
    /// The rooms it was in, its own id included.
    pub rooms: Vec<Arc<str>>,
    /// The data that the application attached to it: one value, or nothing.
    pub data: Values,
}

impl Session {
    /// Reads the value of a key: base64 of MessagePack.
    ///
    /// # Errors
    ///
    /// [`MalformedError`] for everything else.
    pub fn decode(value: &[u8], limits: &Limits) -> Result<Self, MalformedError> {
        let limit = limits.payload_bytes;
        if value.len() > limit {
            return Err(MalformedError::TooLarge { unit: "payload_bytes", limit });
        }
        let bytes = Bytes::from(STANDARD.decode(value).map_err(|_| MalformedError::Base64)?);
        let document = Document::message_pack(&bytes, limits)?;
        let [sid, pid, rooms, data] =
            fields(document.text(), ["sid", "pid", "rooms", "data"]).ok_or(MalformedError::Kind)?;
        Ok(Self {
            sid: document.id(sid, "sid")?.ok_or(MalformedError::Field { field: "sid" })?,
            pid: document.id(pid, "pid")?.ok_or(MalformedError::Field { field: "pid" })?,
            rooms: document.names(Some(document.array(rooms, "rooms")?), "rooms")?,
            data: document.value(data)?,
        })
    }

    /// Writes the value of a key.
    ///
    /// # Errors
    ///
    /// [`InexpressibleError::TooLarge`] if it is beyond the limits.
    pub fn encode(&self, limits: &Limits) -> Result<String, InexpressibleError> {
        let mut draft = Draft::new(limits);
        draft.open(b'{');
        draft.key("sid");
        draft.name(&self.sid);
        draft.key("pid");
        draft.name(&self.pid);
        draft.key("rooms");
        draft.names(&self.rooms);
        draft.first("data", &self.data);
        draft.close(b'}');
        Ok(STANDARD.encode(draft.message_pack()?))
    }
}

/// The dialect of @socket.io/postgres-adapter. See the [module](self).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Postgres {
    prefix: String,
}

impl Default for Postgres {
    fn default() -> Self {
        Self::new("socket.io")
    }
}

/// What a notification says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Notification {
    /// A whole message.
    Message(Box<Envelope>),
    /// The message is in the table of attachments: read the row and give it to
    /// [`Postgres::decode_row`]. There is no need to if the sender is the node itself.
    Row {
        /// The sender.
        origin: Origin,
        /// The row's id.
        id: Arc<str>,
    },
}

/// What a message becomes in the dialect of Postgres.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Notified {
    /// A payload for `pg_notify`.
    Published(Published),
    /// A row to insert into the table of attachments. The notification is then
    /// [`Postgres::header`] with the row's id.
    Row {
        /// The row's payload.
        payload: Bytes,
    },
}

/// The most bytes that Postgres takes as a notification.
const MOST_NOTIFIED: usize = 7999;
/// The most bytes of an identifier in Postgres, which the name of a channel is.
const MOST_CHANNEL: usize = 63;

impl Postgres {
    /// The dialect under a prefix: the adapter's option `channelPrefix`, by default `socket.io`.
    pub fn new(prefix: &str) -> Self {
        Self { prefix: prefix.to_owned() }
    }

    /// The channel of a namespace, for messages and answers alike.
    ///
    /// # Errors
    ///
    /// [`InexpressibleError::Channel`] if the name would be too long: `LISTEN` would cut it and hear nothing.
    pub fn channel(&self, namespace: &str) -> Result<String, InexpressibleError> {
        let channel = format!("{}#{namespace}", self.prefix);
        if channel.len() > MOST_CHANNEL {
            return Err(InexpressibleError::Channel { limit: MOST_CHANNEL });
        }
        Ok(channel)
    }

    /// The channels of a node for one namespace.
    ///
    /// # Errors
    ///
    /// As [`channel`](Self::channel).
    pub fn subscriptions(&self, namespace: &str) -> Result<Vec<Subscription>, InexpressibleError> {
        Ok(vec![Subscription::Channel(self.channel(namespace)?)])
    }

    fn namespace<'a>(&self, channel: &'a str) -> Result<&'a str, MalformedError> {
        let rest = channel.strip_prefix(&*self.prefix).and_then(|rest| rest.strip_prefix('#'));
        rest.ok_or(MalformedError::Channel)
    }

    /// Reads a notification. A message without a namespace, as the emitter's are, is of that of its channel.
    ///
    /// # Errors
    ///
    /// [`MalformedError`] for everything else, as for a message that would hurt the clients.
    pub fn decode(
        &self,
        channel: &str,
        payload: &Bytes,
        limits: &Limits,
    ) -> Result<Notification, MalformedError> {
        let namespace = self.namespace(channel)?;
        let document = Document::json(payload, limits)?;
        let [uid, row] = fields(document.text(), ["uid", "attachmentId"]).ok_or(MalformedError::Kind)?;
        if let Some(row) = present(row) {
            let uid = document.id(uid, "uid")?.ok_or(MalformedError::Field { field: "uid" })?;
            let id = document.name(row, "attachmentId")?;
            if id.is_empty() || !id.bytes().all(|byte| byte.is_ascii_digit()) {
                return Err(MalformedError::Field { field: "attachmentId" });
            }
            return Ok(Notification::Row { origin: origin(Some(uid)), id });
        }
        Ok(Notification::Message(Box::new(read_envelope(&document, Some(namespace))?)))
    }

    /// Reads the payload of a row that a notification on this channel named.
    ///
    /// # Errors
    ///
    /// [`MalformedError`] for everything else, as for a message that would hurt the clients.
    pub fn decode_row(
        &self,
        channel: &str,
        payload: &Bytes,
        limits: &Limits,
    ) -> Result<Envelope, MalformedError> {
        let namespace = self.namespace(channel)?;
        let document = Document::message_pack(payload, limits)?;
        read_envelope(&document, Some(namespace))
    }

    /// Writes a message.
    ///
    /// # Errors
    ///
    /// [`InexpressibleError`] if this dialect has no form for it.
    pub fn encode(&self, envelope: &Envelope, limits: &Limits) -> Result<Notified, InexpressibleError> {
        let channel = self.channel(&envelope.namespace)?;
        let has_nsp = envelope.origin != Origin::Emitter;
        let draft = write_envelope(envelope, limits, false, has_nsp)?;
        if draft.attachments.is_empty() {
            let payload = draft.javascript()?;
            if payload.len() <= MOST_NOTIFIED {
                return Ok(Notified::Published(Published { channel, payload }));
            }
        }
        let payload = write_envelope(envelope, limits, true, has_nsp)?.message_pack()?;
        Ok(Notified::Row { payload })
    }

    /// The notification that names a row.
    ///
    /// # Errors
    ///
    /// As for [`encode`](Self::encode) of the same message.
    pub fn header(
        &self,
        envelope: &Envelope,
        row: u64,
        limits: &Limits,
    ) -> Result<Published, InexpressibleError> {
        let kind = check(envelope)?;
        let mut draft = Draft::new(limits);
        draft.open(b'{');
        draft.key("uid");
        draft.name(uid(envelope)?);
        draft.key("type");
        draft.number(kind);
        draft.key("attachmentId");
        draft.string(&format!("{row}"));
        draft.close(b'}');
        Ok(Published { channel: self.channel(&envelope.namespace)?, payload: draft.javascript()? })
    }
}
