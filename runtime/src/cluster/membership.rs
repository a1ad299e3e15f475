//! A namespace in the cluster of its server.

use crate::cluster::handle::Cluster;
use futures_channel::oneshot;
use sansocket_protocol::cluster::Message;
use sansocket_protocol::cluster::node::{Ask, Outcome};
use sansocket_protocol::hub::Hub;
use std::sync::Arc;
use std::time::Duration;

/// The part of a namespace in its server's cluster, for as long as the namespace lives.
pub(crate) struct Membership {
    pub(crate) cluster: Arc<Cluster>,
    namespace: Arc<str>,
}

impl Membership {
    pub(crate) fn new(cluster: &Arc<Cluster>, namespace: &Arc<str>) -> Self {
        cluster.open(namespace);
        Self { cluster: cluster.clone(), namespace: namespace.clone() }
    }

    pub(crate) fn send(&self, message: Message) {
        self.cluster.send(&self.namespace, message);
    }

    pub(crate) fn ask(&self, ask: Ask, timeout: Duration) -> oneshot::Receiver<Outcome> {
        self.cluster.ask(&self.namespace, ask, timeout)
    }

    /// A room has a member here: of no consequence if it is not the first.
    pub(crate) fn room_began(&self, room: &str) {
        if self.cluster.follows_rooms {
            self.cluster.with_node(|node, _| node.room_began(&self.namespace, room));
        }
    }

    /// A room has no member here any more.
    pub(crate) fn room_ended(&self, room: &str) {
        if self.cluster.follows_rooms {
            self.cluster.with_node(|node, _| node.room_ended(&self.namespace, room));
        }
    }

    /// The members of a room have changed.
    pub(crate) fn look_at_room<H: Clone>(&self, hub: &Hub<H>, room: &str) {
        if self.cluster.follows_rooms {
            if hub.members(room).next().is_some() {
                self.room_began(room);
            } else {
                self.room_ended(room);
            }
        }
    }
}

impl Drop for Membership {
    fn drop(&mut self) {
        self.cluster.shut(&self.namespace);
    }
}
