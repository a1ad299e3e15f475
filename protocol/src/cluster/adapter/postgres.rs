//! The dialect of Postgres: notifications, and a table for what does not fit into one.

use super::envelope::{check, read_envelope, uid, write_envelope};
use crate::cluster::classic::origin;
use crate::cluster::codec::{Document, Draft, fields, present};
use crate::cluster::{Envelope, InexpressibleError, Limits, MalformedError, Origin, Published, Subscription};
use alloc::borrow::ToOwned;
use alloc::boxed::Box;
use alloc::format;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec;
use alloc::vec::Vec;
use bytes::Bytes;

/// The dialect of @socket.io/postgres-adapter. See the [module](super).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Postgres {
    prefix: String,
}

impl Default for Postgres {
    fn default() -> Self {
        Self::new("socket.io")
    }
}

/// The content of a notification.
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

/// A message in the dialect of Postgres.
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
        Ok(Notification::Message(Box::new(read_envelope(&document, Some(namespace), false)?)))
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
        read_envelope(&document, Some(namespace), true)
    }

    /// Writes a message.
    ///
    /// # Errors
    ///
    /// [`InexpressibleError`] if this dialect has no form for it.
    pub fn encode(&self, envelope: &Envelope, limits: &Limits) -> Result<Notified, InexpressibleError> {
        let channel = self.channel(&envelope.namespace)?;
        // npm's emitter leaves the namespace out, and npm's adapter drops what has none.
        let draft = write_envelope(envelope, limits, false)?;
        if draft.attachments.is_empty() {
            let payload = draft.javascript()?;
            if payload.len() <= MOST_NOTIFIED {
                return Ok(Notified::Published(Published { channel, payload }));
            }
        }
        let payload = write_envelope(envelope, limits, true)?.message_pack()?;
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
