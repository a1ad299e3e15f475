//! The messages of the nodes of a cluster to each other, in the formats that people already run.
//!
//! Several processes that serve the same clients are *nodes* of a cluster. They talk over a *bus*: Redis, Postgres,
//! RabbitMQ and others. The peers of this project speak three families of formats there, which are called *dialects*
//! here. A message is neutral, and a dialect turns it into bytes and back:
//!
//! ```text
//!                                     python::Python        python-socketio: JSON on one channel
//!  Envelope { origin, namespace,  <-> classic::Classic  <-> socket.io/redis-adapter: MessagePack and JSON
//!             message }               adapter::Sharded      ClusterAdapter on sharded pub/sub,
//!                                     adapter::Streams        on Redis streams,
//!                                     adapter::Postgres       on NOTIFY with a table beside it
//! ```
//!
//! [`Bridge`] is the first two at once, for nodes that carry messages between Python and JavaScript.
//!
//! A dialect keeps no state and does no I/O. `decode` takes a channel and the bytes that came from it, `encode` says
//! which bytes to publish on which channels. Both check what they are given:
//!
//! * What comes from the bus is treated as a stranger's. It is bounded by [`Limits`], and whatever it is, the result
//!   is a message or a [`MalformedError`].
//! * What goes to the bus can be read by every peer without harm. There is no NaN and no infinite number, no event
//!   without a name, no message without its recipients, and nothing nests deeper than the limit. Some peers' processes
//!   end at a message that lacks any of this. What a dialect has no form for is an [`InexpressibleError`].
//!
//! A message of a Python node, and the same for JavaScript nodes:
//!
//! ```
//! use sansocket_protocol::cluster::{Classic, Limits, Message, Python};
//!
//! let limits = Limits::default();
//! let bytes = br#"{"method": "emit", "event": "said", "data": ["ada", 3], "binary": false, "namespace": "/",
//!     "room": "chess", "skip_sid": null, "callback": null, "host_id": "3cb685813b7b4819b0a2e9500aab95ce"}"#;
//! let mut envelope = Python::default().decode("socketio", &bytes[..].into(), &limits)?;
//! let Message::Emit { event, target, ack: None } = &envelope.message else { panic!() };
//! assert_eq!(event.name(), "said");
//! assert_eq!(&*target.rooms[0], "chess");
//!
//! envelope = envelope.via("bridge-1"); // a copy says so, or a second bridge would copy it back
//! let published = Classic::default().encode(&envelope, &limits)?;
//! assert_eq!(published[0].channel, "socket.io#/#chess#");
//! assert_eq!(published[0].payload[0], 0x93); // MessagePack: an array of three
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! [`node::Node`] is the machine above the dialects: it keeps the requests and the membership of a cluster.
//!
//! This is the core of a cluster only. The bus and the run loop are in `sansocket-runtime`, under the feature `cluster`.

pub mod adapter;
pub mod bridge;
pub mod classic;
mod codec;
pub mod forward;
pub mod message;
mod msgpack;
pub mod node;
pub mod python;

pub use adapter::{Postgres, Session, Sharded, Streams};
pub use bridge::Bridge;
pub use classic::Classic;
pub use forward::{ForwardError, ForwardFailure, ForwardedAnswer, ForwardedRequest};
pub use message::{AckRequest, Envelope, Event, Message, Origin, RemoteSocket, RequestId, Values};
pub use node::Node;
pub use python::Python;

use crate::socket::PacketError;
use alloc::string::String;
use bytes::Bytes;
use thiserror::Error;

/// Bounds of one message on the bus, in both directions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Limits {
    /// Bytes of one message on the bus. Default 16 MiB: an answer that describes all sockets of a JavaScript node has
    /// about 700 bytes for each.
    pub payload_bytes: usize,
    /// Bytes of one event or one answer's values, attachments included. Default 1 MiB and 64 KiB: what a client may
    /// send to a server by default, and some room for the names around it.
    pub event_bytes: usize,
    /// Levels of arrays and objects. Default 128, above which serde_json decodes nothing. Levels of the format count.
    pub depth: usize,
    /// Names in one list of rooms or ids. Default 10,000.
    pub names: usize,
    /// Bytes of one name: a room, a namespace, the token of a request. Default 1024.
    pub name_bytes: usize,
    /// Sockets in one answer. Default 100,000.
    pub sockets: usize,
    /// Attachments of one message. Default 1000.
    pub attachments: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            payload_bytes: 16 << 20,
            event_bytes: (1 << 20) + (64 << 10),
            depth: 128,
            names: 10_000,
            name_bytes: 1024,
            sockets: 100_000,
            attachments: 1000,
        }
    }
}

impl Limits {
    /// Sets [`payload_bytes`](Self::payload_bytes).
    #[must_use]
    pub fn with_payload_bytes(mut self, bytes: usize) -> Self {
        self.payload_bytes = bytes;
        self
    }

    /// Sets [`event_bytes`](Self::event_bytes).
    #[must_use]
    pub fn with_event_bytes(mut self, bytes: usize) -> Self {
        self.event_bytes = bytes;
        self
    }

    /// Sets [`depth`](Self::depth).
    #[must_use]
    pub fn with_depth(mut self, levels: usize) -> Self {
        self.depth = levels;
        self
    }

    /// Sets [`names`](Self::names).
    #[must_use]
    pub fn with_names(mut self, names: usize) -> Self {
        self.names = names;
        self
    }

    /// Sets [`name_bytes`](Self::name_bytes).
    #[must_use]
    pub fn with_name_bytes(mut self, bytes: usize) -> Self {
        self.name_bytes = bytes;
        self
    }

    /// Sets [`sockets`](Self::sockets).
    #[must_use]
    pub fn with_sockets(mut self, sockets: usize) -> Self {
        self.sockets = sockets;
        self
    }

    /// Sets [`attachments`](Self::attachments).
    #[must_use]
    pub fn with_attachments(mut self, attachments: usize) -> Self {
        self.attachments = attachments;
        self
    }
}

/// Why bytes from the bus are no message of a dialect. Nothing was changed; a node counts it and goes on.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum MalformedError {
    /// The dialect has no such channel, or the channel belongs to another namespace than the message.
    #[error("the message came on a channel that it does not belong to")]
    Channel,
    /// The text is not JSON. Python writes numbers that are not finite as bare words, which are no JSON.
    #[error("the message is not JSON: {reason}")]
    Json {
        /// The mistake, and its place.
        reason: String,
    },
    /// The bytes are not MessagePack, or have a value that an event cannot have.
    #[error("the message is not MessagePack that an event can be made of: {reason}")]
    MessagePack {
        /// The mistake.
        reason: &'static str,
    },
    /// Bytes in text are not standard base64 with its padding.
    #[error("the message has bytes that are not base64")]
    Base64,
    /// Something is beyond one of the [`Limits`].
    #[error("the message is beyond the limit of {limit} {unit}")]
    TooLarge {
        /// The name of the limit.
        unit: &'static str,
        /// The limit.
        limit: usize,
    },
    /// A part of the message is missing, or is not what it must be.
    #[error("the message's `{field}` is missing or is not what it must be")]
    Field {
        /// The part.
        field: &'static str,
    },
    /// The message's type or method is not known, or cannot come on this channel.
    #[error("the message is of a kind that is not known")]
    Kind,
    /// A client could not be sent the event.
    #[error("the event cannot be sent to a client: {0}")]
    Event(#[from] PacketError),
    /// The event has no name.
    #[error("the event has no name")]
    NoName,
    /// A placeholder stands for no attachment, or an object beside attachments looks like a placeholder.
    #[error("a placeholder of the message stands for no attachment")]
    Placeholder,
}

/// Why a message cannot be written in a dialect. Nothing is to be published.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum InexpressibleError {
    /// The dialect has no such message.
    #[error("the dialect has no message for: {kind}")]
    Kind {
        /// The kind of message, as [`Message::kind`] has it.
        kind: &'static str,
    },
    /// The dialect cannot name this target. Python's joins, leaves and disconnects are for single sockets, by id.
    #[error("the dialect cannot name this target")]
    Target,
    /// The name of a node is missing, which the dialect has a place for.
    #[error("the message needs the name of a node that it does not have")]
    Node,
    /// The token of a request is not of the dialect's form.
    #[error("the token of the request is not of the dialect's form")]
    Request,
    /// The dialect cannot carry bytes here.
    #[error("the dialect cannot carry bytes here")]
    Binary,
    /// The dialect has no place for the mark of a bridge here.
    #[error("the dialect has no place for the mark of a bridge here")]
    Via,
    /// The name of the channel would be longer than the bus allows.
    #[error("the name of the channel would be longer than {limit} bytes")]
    Channel {
        /// The bus's limit.
        limit: usize,
    },
    /// The namespace has no `/` at its beginning, or has a comma; or it has a `#`, and the message is an answer in the
    /// classic dialect.
    #[error("the wire cannot carry the name of the namespace")]
    Namespace,
    /// Something is beyond one of the [`Limits`]: peers would have to refuse it.
    #[error("the message is beyond the limit of {limit} {unit}")]
    TooLarge {
        /// The name of the limit.
        unit: &'static str,
        /// The limit.
        limit: usize,
    },
    /// An object beside attachments looks like a placeholder.
    #[error("an object beside attachments looks like a placeholder")]
    Placeholder,
}

/// Bytes to be published on one channel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Published {
    /// The channel: a Redis channel, a Postgres notification channel, an AMQP exchange.
    pub channel: String,
    /// The bytes.
    pub payload: Bytes,
}

/// A subscription of a node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Subscription {
    /// One channel.
    Channel(String),
    /// All channels whose names match a pattern, in which `*` stands for any text.
    Pattern(String),
    /// The entries of a stream, from its end on.
    Stream(String),
}
