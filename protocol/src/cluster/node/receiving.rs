//! Messages and other input of a node.

use super::{Dialect, Node, NodeTransmit};
use crate::cluster::adapter::Notification;
use crate::cluster::bridge::Family;
use crate::cluster::{Envelope, MalformedError, Message, Origin};
use crate::time::Instant;
use bytes::Bytes;

impl Node {
    /// Bytes came on a channel. Whatever they are, nothing but a count changes if they are no message.
    pub fn handle_message(&mut self, now: Instant, channel: &str, payload: &Bytes) {
        self.tick(now);
        if self.is_forward_channel(channel) {
            return self.handle_forward(payload);
        }
        let limits = &self.config.limits;
        let read = match &self.dialect {
            Dialect::Python(python) => python.decode(channel, payload, limits),
            Dialect::Classic(classic) => classic.decode(channel, payload, limits),
            Dialect::Sharded(sharded) | Dialect::Heartbeats(sharded) => {
                sharded.decode(channel, payload, limits)
            }
            Dialect::Streams(streams) => streams.decode(channel, payload, limits),
            Dialect::Bridge(bridge) => {
                let read = bridge.decode(channel, payload, limits);
                return self.take_bridged(read);
            }
            Dialect::Postgres(postgres) => match postgres.decode(channel, payload, limits) {
                Ok(Notification::Message(read)) => Ok(*read),
                Ok(Notification::Row { origin, id }) => {
                    let is_own = origin == Origin::Node(self.name.clone());
                    if !is_own && self.is_up {
                        // First of all: the driver holds back what comes after the notification until the row is there.
                        self.transmits.push_front(NodeTransmit::Select { channel: channel.into(), row: id });
                    }
                    return;
                }
                Err(error) => Err(error),
            },
        };
        self.take(read);
    }

    /// A row was read that [`NodeTransmit::Select`] asked for.
    pub fn handle_row(&mut self, now: Instant, channel: &str, payload: &Bytes) {
        self.tick(now);
        if let Dialect::Postgres(postgres) = &self.dialect {
            let read = postgres.decode_row(channel, payload, &self.config.limits);
            self.take(read);
        }
    }

    /// A row was inserted that [`NodeTransmit::Insert`] asked for.
    pub fn handle_inserted(&mut self, now: Instant, envelope: &Envelope, row: u64) {
        self.tick(now);
        if let Dialect::Postgres(postgres) = &self.dialect {
            if let Ok(header) = postgres.header(envelope, row, &self.config.limits) {
                // Before what was sent after the message.
                if self.push_publish(header) {
                    self.transmits.rotate_right(1);
                }
            }
        }
    }

    pub(super) fn malformed(&mut self, error: MalformedError) {
        self.counts.malformed = self.counts.malformed.saturating_add(1);
        self.malformed = Some(error);
    }

    pub(super) fn take(&mut self, read: Result<Envelope, MalformedError>) {
        let Envelope { origin, to, namespace, message, .. } = match read {
            Ok(envelope) => envelope,
            Err(error) => return self.malformed(error),
        };
        let is_own = origin == Origin::Node(self.name.clone());
        if is_own || !self.spaces.contains_key(&namespace) || to.is_some_and(|to| to != self.name) {
            return;
        }
        self.counts.received = self.counts.received.saturating_add(1);
        let node = match origin {
            Origin::Node(node) => Some(node),
            Origin::Emitter | Origin::Unnamed => None,
        };
        if message == Message::NodeClosed {
            if let Some(node) = node {
                self.peer_down(&namespace, &node);
            }
            return;
        }
        if let Some(node) = node.as_ref().filter(|_| self.dialect.is_heard()) {
            self.heard(&namespace, node);
        }
        match message {
            Message::Hello => {
                if self.dialect.is_heard() {
                    let _ = self.publish(&namespace, None, Message::Heartbeat);
                }
            }
            Message::Heartbeat | Message::NodeClosed => {}
            message if message.answers().is_some() => self.answered(node.as_ref(), message),
            message => drop(self.serve(Family::JavaScript, namespace, node, message)),
        }
    }
}
