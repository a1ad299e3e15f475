//! A node's messages as bytes, written without the node. Its owner keeps the node behind a lock, and what takes time, as
//! writing a large event does, need not wait there for others.

use super::bridging::{TO_BOTH, is_for_both};
use super::{Dialect, Node};
use crate::cluster::adapter::{Notified, Streamed};
use crate::cluster::bridge::Family;
use crate::cluster::forward::{EncodedForward, Said};
use crate::cluster::{
    Envelope, ForwardedAnswer, ForwardedRequest, InexpressibleError, Limits, Message, Origin, Published,
};
use crate::time::Instant;
use alloc::boxed::Box;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use bytes::Bytes;

/// The writing part of a node: it makes the bytes of a message for [`Node::send_encoded`]. A clone is the same.
///
/// ```
/// use sansocket_protocol::cluster::node::{Dialect, Node, NodeConfig};
/// use sansocket_protocol::cluster::{Classic, Event, Message};
/// use sansocket_protocol::hub::Target;
/// use sansocket_protocol::random::Random;
/// use sansocket_protocol::time::Instant;
///
/// let dialect = Dialect::Classic(Classic::default());
/// let mut node = Node::new(NodeConfig::default(), dialect, Random::new([1; 32]));
/// node.open(Instant::ZERO, "/");
/// node.handle_bus_up(Instant::ZERO);
/// let encoder = node.encoder();
///
/// // Anywhere, without the node:
/// let event = Event::new("said", &"hello").unwrap();
/// let encoded = encoder.encode(&"/".into(), Message::Emit { event, target: Target::all(), ack: None })?;
/// // With it:
/// assert!(node.send_encoded(Instant::ZERO, encoded));
/// # Ok::<(), sansocket_protocol::cluster::InexpressibleError>(())
/// ```
#[derive(Clone, Debug)]
pub struct NodeEncoder(Arc<Writer>);

#[derive(Debug)]
struct Writer {
    dialect: Dialect,
    limits: Limits,
    name: Arc<str>,
    /// It only writes, and goes by the name of JavaScript's emitters.
    is_emitter: bool,
}

/// A command to the other nodes, in the bytes of the node's dialect.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Encoded {
    namespace: Arc<str>,
    pub(super) written: Written,
    /// Of a bridge, if the message means the same to Python.
    for_python: Option<Result<Written, InexpressibleError>>,
    is_heard_by_all: bool,
}

/// The bytes of one message, by how the dialect carries them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Written {
    Published(Vec<Published>),
    Entry { stream: String, fields: Vec<(&'static str, String)>, ticket: Option<u64> },
    Row { payload: Bytes, envelope: Box<Envelope> },
}

impl NodeEncoder {
    pub(super) fn new(dialect: Dialect, limits: Limits, name: Arc<str>, is_emitter: bool) -> Self {
        Self(Arc::new(Writer { dialect, limits, name, is_emitter }))
    }

    /// Writes a command that this node has applied to its own sockets: an emit without acknowledgements, a join, a leave,
    /// a disconnect, or a server-side emit without answers.
    ///
    /// # Errors
    ///
    /// [`InexpressibleError`] if the dialect has no form for it, or it is none of these.
    pub fn encode(&self, namespace: &Arc<str>, message: Message) -> Result<Encoded, InexpressibleError> {
        match &message {
            Message::Emit { ack: None, .. }
            | Message::Join { .. }
            | Message::Leave { .. }
            | Message::Disconnect { .. }
            | Message::ServerSideEmit { request: None, .. } => {}
            other => return Err(InexpressibleError::Kind { kind: other.kind() }),
        }
        let is_heard_by_all = is_heard_by_all(&message);
        let is_copied = matches!(self.0.dialect, Dialect::Bridge(_)) && is_for_both(&message);
        let copy = is_copied.then(|| message.clone());
        let mark = is_copied.then(|| TO_BOTH.into());
        let written = self
            .write(Family::JavaScript, self.envelope(Family::JavaScript, namespace, None, mark, message))?;
        let for_python = copy.map(|copy| {
            self.write(
                Family::Python,
                self.envelope(Family::Python, namespace, None, Some(self.0.name.clone()), copy),
            )
        });
        Ok(Encoded { namespace: namespace.clone(), written, for_python, is_heard_by_all })
    }

    /// Writes a request that is to be [passed on](Node::send_forward).
    pub fn forward(&self, request: ForwardedRequest) -> EncodedForward {
        EncodedForward::new(&self.0.name, &Said::Request(request))
    }

    /// Writes the [answer](Node::answer_request) to a request of another node.
    pub fn forward_answer(&self, answer: ForwardedAnswer) -> EncodedForward {
        EncodedForward::new(&self.0.name, &Said::Answer(answer))
    }

    pub(super) fn envelope(
        &self,
        family: Family,
        namespace: &Arc<str>,
        to: Option<Arc<str>>,
        via: Option<Arc<str>>,
        message: Message,
    ) -> Envelope {
        // Python's format has no name for a process that only writes.
        let is_python = family == Family::Python || matches!(self.0.dialect, Dialect::Python(_));
        let is_emitter = self.0.is_emitter && !is_python;
        let origin = if is_emitter { Origin::Emitter } else { Origin::Node(self.0.name.clone()) };
        Envelope { origin, to, namespace: namespace.clone(), via, message }
    }

    /// Nodes that are no bridges have one family.
    pub(super) fn write(&self, family: Family, envelope: Envelope) -> Result<Written, InexpressibleError> {
        let Writer { dialect, limits, .. } = &*self.0;
        Ok(Written::Published(match dialect {
            Dialect::Python(python) => python.encode(&envelope, limits)?,
            Dialect::Classic(classic) => classic.encode(&envelope, limits)?,
            Dialect::Bridge(bridge) => bridge.encode(family, &envelope, limits)?,
            Dialect::Sharded(sharded) | Dialect::Heartbeats(sharded) => sharded.encode(&envelope, limits)?,
            Dialect::Streams(streams) => match streams.encode(&envelope, limits)? {
                Streamed::Published(published) => alloc::vec![published],
                Streamed::Entry { stream, fields } => {
                    return Ok(Written::Entry { stream, fields, ticket: None });
                }
            },
            Dialect::Postgres(postgres) => match postgres.encode(&envelope, limits)? {
                Notified::Published(published) => alloc::vec![published],
                Notified::Row { payload } => {
                    return Ok(Written::Row { payload, envelope: Box::new(envelope) });
                }
            },
        }))
    }
}

impl Node {
    /// The part of this node that writes its messages, to be used without it.
    pub fn encoder(&self) -> NodeEncoder {
        self.encoder.clone()
    }

    /// Sends what an [encoder](Self::encoder) of this node has written. False if it was not published: the bus is away,
    /// the driver does not keep up, or the namespace is not open.
    pub fn send_encoded(&mut self, now: Instant, encoded: Encoded) -> bool {
        self.tick(now);
        let Encoded { namespace, written, for_python, is_heard_by_all } = encoded;
        if !self.is_emitter && !self.spaces.contains_key(&namespace) {
            return false;
        }
        let is_sent = self.push_written(&namespace, written, is_heard_by_all);
        match for_python {
            Some(Ok(written)) => drop(self.push_written(&namespace, written, is_heard_by_all)),
            Some(Err(_)) => self.counts.inexpressible = self.counts.inexpressible.saturating_add(1),
            None => {}
        }
        is_sent
    }
}

/// Whether every other node hears a message. An answer may go to the asker's channel, and an event to that of one room.
pub(super) fn is_heard_by_all(message: &Message) -> bool {
    match message {
        Message::Emit { target, ack: None, .. } => target.rooms.len() != 1,
        message => message.answers().is_none(),
    }
}
