//! The dialect of Redis streams, and the sessions that clients come back to.

use super::envelope::{
    channel_for, check, decode_on_channel, has_data, has_via_inside, read_data, two_channels, uid,
    write_data, write_envelope,
};
use crate::cluster::classic::origin;
use crate::cluster::codec::{Document, Draft, fields};
use crate::cluster::{
    Envelope, InexpressibleError, Limits, MalformedError, Message, Published, Subscription, Values,
};
use crate::socket::is_namespace;
use alloc::borrow::ToOwned;
use alloc::format;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec;
use alloc::vec::Vec;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;

/// The dialect of @socket.io/redis-streams-adapter with one stream. See the [module](super).
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

/// A message in the dialect of streams.
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
        let (message, via) = read_data(&document, kind, Some(document.text()), namespace, true)?;
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
        decode_on_channel(&self.prefix, channel, payload, limits, true)
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
            let payload = write_envelope(envelope, limits, true)?.message_pack()?;
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

/// The rest of a client that is gone, kept for its return to any node: the value of a session's key.
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
    /// The namespace. JavaScript nodes do not say it.
    pub namespace: Option<Arc<str>>,
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
        let [sid, pid, rooms, data, nsp] =
            fields(document.text(), ["sid", "pid", "rooms", "data", "nsp"]).ok_or(MalformedError::Kind)?;
        Ok(Self {
            sid: document.id(sid, "sid")?.ok_or(MalformedError::Field { field: "sid" })?,
            pid: document.id(pid, "pid")?.ok_or(MalformedError::Field { field: "pid" })?,
            rooms: document.names(Some(document.array(rooms, "rooms")?), "rooms")?,
            data: document.value(data)?,
            namespace: document.id(nsp, "nsp")?,
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
        if let Some(namespace) = &self.namespace {
            draft.key("nsp");
            draft.name(namespace);
        }
        draft.close(b'}');
        Ok(STANDARD.encode(draft.message_pack()?))
    }
}
