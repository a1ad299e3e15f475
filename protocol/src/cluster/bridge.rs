//! Both families of peers at once: the dialect of nodes that carry messages between Python and JavaScript.
//!
//! A node that speaks [`Bridge`] is a full member of both families: Python's nodes and those of the classic adapter hear
//! it, and it hears them. Besides, it copies what the one family says to the other, which neither can do alone. There
//! may be any number of such nodes on a bus, and every message reaches every socket once:
//!
//! * A copy says which bridge made it (`via`). Peers ignore the mark; a bridge neither copies a marked message nor
//!   applies it, since it heard the original.
//! * Of all bridges, one copies the messages of a node: the one with the highest hash of its name and the node's. So one
//!   node's messages stay in order. Bridges know of each other by heartbeats on a channel of their own, and take part
//!   from the place in the bus's order on where they hear their own first heartbeat.
//! * What a bridge itself sends it publishes to both families. The copy for JavaScript is marked `*`, which bridges
//!   apply and do not copy; that for Python is marked as any copy.
//!
//! | | carried over |
//! |---|---|
//! | events, with bytes | both ways; flags and a room in `except` mean nothing to Python |
//! | acknowledgements | both ways: of Python all that come in time, to JavaScript the first value of each; no bytes from Python |
//! | joins, leaves, disconnects | both ways; to Python of single sockets by their ids, and closing a room |
//! | lists of sockets and rooms, server-side emits | JavaScript only: Python has no such messages |
//!
//! All bridges of a bus must serve the same namespaces, and the bus must have one order for all its subscribers, as
//! one Redis has. While bridges come and go in another way than by saying so, a message may be copied twice or not at
//! all, for as long as [`NodeConfig::heartbeat_timeout`](super::node::NodeConfig::heartbeat_timeout).

use super::{Classic, Limits, MalformedError, Published, Python, Sharded, Subscription};
use crate::cluster::adapter::SubscriptionMode;
use crate::cluster::{Envelope, InexpressibleError};
use alloc::vec::Vec;
use bytes::Bytes;

/// The dialects of Python and of the classic adapter together, with bridging between them. See the [module](self).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bridge {
    pub(super) classic: Classic,
    pub(super) python: Python,
    /// The dialect in which bridges talk among themselves.
    own: Sharded,
}

/// The namespace in the messages of bridges to each other, which are about no namespace.
const NAMESPACE: &str = "/";

/// A family of peers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Family {
    JavaScript,
    Python,
}

/// A message on the bus of a bridge.
pub(super) enum Bridged {
    Of(Family, Envelope),
    /// Of one bridge to the others.
    Own(Envelope),
}

impl Default for Bridge {
    fn default() -> Self {
        Self::new(Classic::default(), Python::default())
    }
}

impl Bridge {
    /// A bridge between nodes of these dialects.
    pub fn new(classic: Classic, python: Python) -> Self {
        Self { classic, python, own: Sharded::new("sansocket-bridge", SubscriptionMode::Static) }
    }

    /// Sets the prefix of the channel on which bridges talk among themselves, by default `sansocket-bridge`. All
    /// bridges of a bus must have the same, and two clusters on one bus must not.
    #[must_use]
    pub fn with_channel(mut self, prefix: &str) -> Self {
        self.own = Sharded::new(prefix, SubscriptionMode::Static);
        self
    }

    /// The channels of a node for one namespace, those for all namespaces included.
    pub fn subscriptions(&self, namespace: &str, node: &str) -> Vec<Subscription> {
        let mut subscriptions = self.classic.subscriptions(namespace, node);
        subscriptions.extend(self.python.subscriptions());
        subscriptions.push(Subscription::Channel(self.own.count_channel(NAMESPACE)));
        subscriptions
    }

    /// Returns whether a subscription is one for all namespaces together.
    pub(super) fn is_shared(&self, subscription: &Subscription) -> bool {
        let Subscription::Channel(channel) = subscription else { return false };
        *channel == self.own.count_channel(NAMESPACE) || self.python.subscriptions().contains(subscription)
    }

    pub(super) fn decode(
        &self,
        channel: &str,
        payload: &Bytes,
        limits: &Limits,
    ) -> Result<Bridged, MalformedError> {
        if channel == self.own.count_channel(NAMESPACE) {
            return self.own.decode(channel, payload, limits).map(Bridged::Own);
        }
        match self.python.decode(channel, payload, limits) {
            Err(MalformedError::Channel) => {
                let read = self.classic.decode(channel, payload, limits);
                read.map(|read| Bridged::Of(Family::JavaScript, read))
            }
            read => read.map(|read| Bridged::Of(Family::Python, read)),
        }
    }

    pub(super) fn encode(
        &self,
        family: Family,
        envelope: &Envelope,
        limits: &Limits,
    ) -> Result<Vec<Published>, InexpressibleError> {
        match family {
            Family::JavaScript => self.classic.encode(envelope, limits),
            Family::Python => self.python.encode(envelope, limits),
        }
    }

    /// A message to the other bridges.
    pub(super) fn encode_own(
        &self,
        message: super::Message,
        node: &str,
        limits: &Limits,
    ) -> Result<Vec<Published>, InexpressibleError> {
        self.own.encode(&Envelope::new(node, NAMESPACE, message), limits)
    }
}
