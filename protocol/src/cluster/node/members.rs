//! The other nodes, as far as they say that they live; and saying it.

use super::asking::Expects;
use super::{Node, NodeEvent, Timer};
use crate::cluster::Message;
use crate::engine::NodeMark;
use crate::time::Instant;
use alloc::sync::Arc;
use alloc::vec::Vec;

impl Node {
    pub(super) fn heard(&mut self, namespace: &Arc<str>, node: &Arc<str>) {
        let silent_at = self.now + self.config.heartbeat_timeout;
        let limit = self.config.max_peers;
        let Some(space) = self.spaces.get_mut(namespace) else { return };
        if let Some(peer) = space.peers.get_mut(node) {
            *peer = silent_at;
            return;
        }
        if space.peers.len() >= limit {
            self.counts.refused = self.counts.refused.saturating_add(1);
            return;
        }
        space.peers.insert(node.clone(), silent_at);
        self.timers.insert((silent_at, Timer::Peer(namespace.clone(), node.clone())));
        self.events.push_back(NodeEvent::PeerUp { namespace: namespace.clone(), node: node.clone() });
    }

    /// Returns the name of the node that a session id is of, by the [mark](NodeMark) in it; `None` if it is of no live node
    /// that this one knows by name, or of this one itself. It counts: a load balancer has sent a request to the wrong node.
    pub fn owner_of(&mut self, session_id: &str) -> Option<Arc<str>> {
        let mark = NodeMark::in_id(session_id)?;
        if mark == NodeMark::of(&self.name) {
            return None;
        }
        // Every server has this namespace. To look through all would be a long time, of which strangers have a choice.
        let space = self.spaces.get("/")?;
        let owner = space.peers.keys().find(|name| NodeMark::of(name) == mark).cloned()?;
        self.counts.misrouted = self.counts.misrouted.saturating_add(1);
        Some(owner)
    }

    /// A node that is gone has answered all that it ever will.
    pub(super) fn peer_down(&mut self, namespace: &Arc<str>, node: &Arc<str>) {
        let Some(space) = self.spaces.get_mut(namespace) else { return };
        let Some(silent_at) = space.peers.remove(node) else { return };
        // Unless it was put off, and finds nobody then.
        self.timers.remove(&(silent_at, Timer::Peer(namespace.clone(), node.clone())));
        self.events.push_back(NodeEvent::PeerDown { namespace: namespace.clone(), node: node.clone() });
        self.forwards_without(namespace, node);
        let mut changed = Vec::new();
        for (id, asked) in &mut self.asks {
            let Expects::Named(nodes) = &mut asked.expects else { continue };
            if asked.namespace != *namespace {
                continue;
            }
            if nodes.remove(node) {
                let missing = asked.outcome.missing_nodes.unwrap_or(0).saturating_add(1);
                asked.outcome.missing_nodes = Some(missing);
                changed.push(*id);
            }
            if let Some(open) = asked.open_acks.remove(node).filter(|open| *open > 0) {
                let open = u32::try_from(open).unwrap_or(u32::MAX);
                asked.outcome.missing_acks = asked.outcome.missing_acks.saturating_add(open);
                asked.counted_acks = asked.counted_acks.saturating_sub(open.into());
                changed.push(*id);
            }
        }
        changed.into_iter().for_each(|id| self.finish_if_complete(id));
    }

    /// A node that has just been heard need not say that it lives.
    pub(super) fn put_off_beat(&mut self, namespace: &str, is_sent: bool) {
        let beat_at = self.now + self.config.heartbeat_interval;
        if let Some(space) = self.spaces.get_mut(namespace).filter(|_| is_sent) {
            space.beat_at = beat_at;
        }
    }

    pub(super) fn beat(&mut self, now: Instant, namespace: Arc<str>) {
        // The bus is away, and says when it is back.
        if !self.is_up {
            return;
        }
        let Some(space) = self.spaces.get(&namespace) else { return };
        if space.beat_at <= now {
            let _ = self.publish(&namespace, None, Message::Heartbeat);
            if let Some(space) = self.spaces.get_mut(&namespace) {
                space.beaten_at = now;
            }
        }
        let next = self.spaces.get(&namespace).map_or(now, |space| space.beat_at);
        // If it could not be sent, it is sent next time.
        let next = if next > now { next } else { now + self.config.heartbeat_interval };
        self.timers.insert((next, Timer::Beat(namespace)));
    }
}
