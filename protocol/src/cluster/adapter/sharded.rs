//! The dialect of sharded pub/sub.

use super::envelope::{channel_for, decode_on_channel, two_channels, write_envelope};
use crate::cluster::{
    Envelope, InexpressibleError, Limits, MalformedError, Message, Published, Subscription,
};
use alloc::borrow::ToOwned;
use alloc::format;
use alloc::string::String;
use alloc::vec;
use alloc::vec::Vec;
use bytes::Bytes;

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

/// The dialect of `createShardedAdapter` in @socket.io/redis-adapter. See the [module](super).
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

    /// The prefix of the names of its channels.
    pub fn prefix(&self) -> &str {
        &self.prefix
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
        decode_on_channel(&self.prefix, channel, payload, limits, false)
    }

    /// Writes a message.
    ///
    /// # Errors
    ///
    /// [`InexpressibleError`] if this dialect has no form for it. Answers need [`Envelope::to`].
    pub fn encode(&self, envelope: &Envelope, limits: &Limits) -> Result<Vec<Published>, InexpressibleError> {
        let draft = write_envelope(envelope, limits, false)?;
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
