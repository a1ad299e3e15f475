//! What goes out of a node: messages, subscriptions, heartbeats.

use super::{Dialect, Node, NodeTransmit, Timer};
use crate::cluster::adapter::{Notified, Streamed};
use crate::cluster::bridge::Family;
use crate::cluster::{Envelope, InexpressibleError, Message, Origin, Published, Subscription};
use crate::time::Instant;
use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec::Vec;

impl Node {
    /// Time does not go back.
    pub(super) fn tick(&mut self, now: Instant) -> Instant {
        self.now = self.now.max(now);
        self.now
    }

    pub(super) fn join_bus(&mut self, namespace: &Arc<str>) {
        let Some(space) = self.spaces.get(namespace) else { return };
        let mut subscriptions = self.dialect.subscriptions(namespace, &self.name);
        let rooms = space.rooms.iter().filter_map(|room| self.dialect.room_channel(namespace, room));
        subscriptions.extend(rooms.map(Subscription::Channel));
        for subscription in subscriptions {
            let is_shared = self.dialect.is_shared(&subscription);
            let subscribe = NodeTransmit::Subscribe(subscription);
            if !(is_shared && self.transmits.contains(&subscribe)) {
                self.transmits.push_back(subscribe);
            }
        }
        self.bridge_begin();
        if self.dialect.is_heard() {
            let _ = self.publish(namespace, None, Message::Hello);
            let at = self.now + self.config.heartbeat_interval;
            // Should one be left of before, the two become one when they are due.
            self.timers.insert((at, Timer::Beat(namespace.clone())));
        }
    }

    /// False if it was dropped. Of a bridge, it is for JavaScript.
    pub(super) fn publish(
        &mut self,
        namespace: &str,
        to: Option<Arc<str>>,
        message: Message,
    ) -> Result<bool, InexpressibleError> {
        let via = self.own_mark(&message);
        self.publish_to(Family::JavaScript, namespace, to, via, message)
    }

    /// The same to a family, with a mark. Nodes that are no bridges have one family.
    pub(super) fn publish_to(
        &mut self,
        family: Family,
        namespace: &str,
        to: Option<Arc<str>>,
        via: Option<Arc<str>>,
        message: Message,
    ) -> Result<bool, InexpressibleError> {
        let namespace = match self.spaces.get_key_value(namespace) {
            Some((namespace, _)) => namespace.clone(),
            None if self.is_emitter => namespace.into(),
            None => return Ok(false),
        };
        let envelope = Envelope { origin: self.origin(family), to, namespace, via, message };
        let is_heard_by_all = is_heard_by_all(&envelope.message);
        let limits = &self.config.limits;
        let mut transmits = Vec::new();
        match &self.dialect {
            Dialect::Python(python) => transmits = python.encode(&envelope, limits)?,
            Dialect::Classic(classic) => transmits = classic.encode(&envelope, limits)?,
            Dialect::Bridge(bridge) => transmits = bridge.encode(family, &envelope, limits)?,
            Dialect::Sharded(sharded) | Dialect::Heartbeats(sharded) => {
                transmits = sharded.encode(&envelope, limits)?;
            }
            Dialect::Streams(streams) => match streams.encode(&envelope, limits)? {
                Streamed::Published(published) => transmits.push(published),
                Streamed::Entry { stream, fields } => {
                    let bytes = fields.iter().fold(0usize, |sum, (_, value)| sum.saturating_add(value.len()));
                    return Ok(self.push(bytes, move || NodeTransmit::Append { stream, fields }));
                }
            },
            Dialect::Postgres(postgres) => match postgres.encode(&envelope, limits)? {
                Notified::Published(published) => transmits.push(published),
                Notified::Row { payload } => {
                    let namespace = envelope.namespace.clone();
                    let is_sent = self.push(payload.len(), move || NodeTransmit::Insert {
                        payload,
                        envelope: Box::new(envelope),
                    });
                    self.put_off_beat(&namespace, is_sent && is_heard_by_all);
                    return Ok(is_sent);
                }
            },
        }
        let namespace = envelope.namespace;
        let mut is_sent = true;
        for published in transmits {
            is_sent &= self.push_publish(published);
        }
        self.put_off_beat(&namespace, is_sent && is_heard_by_all);
        Ok(is_sent)
    }

    /// The name of the sender. Python's format has none for a process that only writes.
    fn origin(&self, family: Family) -> Origin {
        let is_python = family == Family::Python || matches!(self.dialect, Dialect::Python(_));
        if self.is_emitter && !is_python { Origin::Emitter } else { Origin::Node(self.name.clone()) }
    }

    pub(super) fn push_publish(&mut self, published: Published) -> bool {
        self.push(published.payload.len(), move || NodeTransmit::Publish(published))
    }

    pub(super) fn push(&mut self, bytes: usize, transmit: impl FnOnce() -> NodeTransmit) -> bool {
        let waiting = self.waiting_bytes.saturating_add(bytes);
        if !self.is_up || waiting > self.config.max_waiting_bytes {
            self.counts.dropped = self.counts.dropped.saturating_add(1);
            return false;
        }
        self.waiting_bytes = waiting;
        self.counts.published = self.counts.published.saturating_add(1);
        self.transmits.push_back(transmit());
        true
    }
}

/// Whether every other node hears a message. An answer may go to the asker's channel, and an event to that of one room.
fn is_heard_by_all(message: &Message) -> bool {
    match message {
        Message::Emit { target, ack: None, .. } => target.rooms.len() != 1,
        message => message.answers().is_none(),
    }
}
