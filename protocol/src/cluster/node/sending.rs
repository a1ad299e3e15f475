//! The sending side of a node: messages, subscriptions, heartbeats.

use super::encoding::{Written, is_heard_by_all};
use super::{Node, NodeTransmit, Timer};
use crate::cluster::bridge::Family;
use crate::cluster::{InexpressibleError, Message, Published, Subscription};
use crate::time::Instant;
use alloc::sync::Arc;

impl Node {
    /// Time does not go back.
    pub(super) fn tick(&mut self, now: Instant) -> Instant {
        self.now = self.now.max(now);
        self.now
    }

    pub(super) fn join_bus(&mut self, namespace: &Arc<str>) {
        // Before the others can hear of this node.
        let of_forwards = self.forward_subscription(namespace);
        self.transmits.extend(of_forwards.map(NodeTransmit::Subscribe));
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
            let now = self.now;
            if let Some(space) = self.spaces.get_mut(namespace) {
                space.beaten_at = now;
            }
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
        let Some((namespace, _)) = self.spaces.get_key_value(namespace) else { return Ok(false) };
        let namespace = namespace.clone();
        let is_heard_by_all = is_heard_by_all(&message);
        let envelope = self.encoder.envelope(family, &namespace, to, via, message);
        let written = self.encoder.write(family, envelope)?;
        Ok(self.push_written(&namespace, written, is_heard_by_all))
    }

    /// False if something of it was dropped.
    pub(super) fn push_written(&mut self, namespace: &str, written: Written, is_heard_by_all: bool) -> bool {
        let is_sent = match written {
            Written::Published(transmits) => {
                let mut is_sent = true;
                for published in transmits {
                    is_sent &= self.push_publish(published);
                }
                is_sent
            }
            // The stream has no heartbeats.
            Written::Entry { stream, fields, ticket } => {
                let bytes = fields.iter().fold(0usize, |sum, (_, value)| sum.saturating_add(value.len()));
                return self.push(bytes, move || NodeTransmit::Append { stream, fields, ticket });
            }
            Written::Row { payload, envelope } => {
                self.push(payload.len(), move || NodeTransmit::Insert { payload, envelope })
            }
        };
        self.put_off_beat(namespace, is_sent && is_heard_by_all);
        is_sent
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
