//! The dialect and the settings of a node.

use crate::cluster::{Bridge, Classic, Limits, Postgres, Python, Sharded, Streams, Subscription};
use crate::rate::Rate;
use alloc::borrow::ToOwned;
use alloc::string::String;
use alloc::vec::Vec;
use core::time::Duration;

/// The dialect that a node speaks.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Dialect {
    /// That of python-socketio.
    Python(Python),
    /// That of the classic Redis adapter.
    Classic(Classic),
    /// That of the sharded Redis adapter.
    Sharded(Sharded),
    /// That of the Redis streams adapter.
    Streams(Streams),
    /// That of the Postgres adapter.
    Postgres(Postgres),
    /// The messages and channels of the sharded adapter with heartbeats, on any bus. For clusters of our own nodes.
    Heartbeats(Sharded),
    /// Those of Python and of the classic Redis adapter, with copies of the messages of each for the other.
    Bridge(Bridge),
}

impl Dialect {
    /// Its name, for people.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Python(_) => "python",
            Self::Classic(_) => "classic",
            Self::Sharded(_) => "sharded",
            Self::Streams(_) => "streams",
            Self::Postgres(_) => "postgres",
            Self::Heartbeats(_) => "heartbeats",
            Self::Bridge(_) => "bridge",
        }
    }

    pub(super) fn membership(&self) -> Membership {
        match self {
            Self::Python(_) => Membership::Unknown,
            Self::Classic(_) | Self::Sharded(_) | Self::Streams(_) | Self::Bridge(_) => Membership::Counted,
            Self::Postgres(_) | Self::Heartbeats(_) => Membership::Heard { nodes: 0 },
        }
    }

    pub(super) fn is_heard(&self) -> bool {
        matches!(self, Self::Postgres(_) | Self::Heartbeats(_))
    }

    pub(super) fn subscriptions(&self, namespace: &str, node: &str) -> Vec<Subscription> {
        match self {
            Self::Python(python) => python.subscriptions(),
            Self::Classic(classic) => classic.subscriptions(namespace, node),
            Self::Bridge(bridge) => bridge.subscriptions(namespace, node),
            Self::Sharded(sharded) | Self::Heartbeats(sharded) => sharded.subscriptions(namespace, node),
            Self::Streams(streams) => {
                let mut subscriptions = streams.subscriptions(namespace, node);
                subscriptions.push(Subscription::Stream(streams.stream().to_owned()));
                subscriptions
            }
            // A name that is too long for the bus is told when something is sent.
            Self::Postgres(postgres) => postgres.subscriptions(namespace).unwrap_or_default(),
        }
    }

    /// Returns whether a subscription is one for all namespaces together.
    pub(super) fn is_shared(&self, subscription: &Subscription) -> bool {
        match self {
            Self::Python(_) => true,
            Self::Bridge(bridge) => bridge.is_shared(subscription),
            _ => matches!(subscription, Subscription::Stream(_)),
        }
    }

    pub(super) fn room_channel(&self, namespace: &str, room: &str) -> Option<String> {
        match self {
            Self::Sharded(sharded) | Self::Heartbeats(sharded) => sharded.room_channel(namespace, room),
            Self::Python(_) | Self::Classic(_) | Self::Bridge(_) | Self::Streams(_) | Self::Postgres(_) => {
                None
            }
        }
    }

    pub(super) fn count_channel(&self, namespace: &str) -> Option<String> {
        match self {
            Self::Classic(classic) => Some(classic.count_channel(namespace)),
            Self::Bridge(bridge) => Some(bridge.classic.count_channel(namespace)),
            Self::Sharded(sharded) => Some(sharded.count_channel(namespace)),
            Self::Streams(streams) => Some(streams.count_channel(namespace)),
            Self::Python(_) | Self::Postgres(_) | Self::Heartbeats(_) => None,
        }
    }
}

/// The knowledge of the other nodes of a namespace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Membership {
    /// They say that they live: how many did lately, this one left out.
    Heard {
        /// The number of nodes.
        nodes: usize,
    },
    /// The bus is asked how many there are, for each request.
    Counted,
    /// Nothing.
    Unknown,
}

/// The settings of a [`Node`](super::Node).
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct NodeConfig {
    /// Bounds of one message.
    pub limits: Limits,
    /// The time for which a node is silent before it says that it lives. Default 5 s, as the peers.
    pub heartbeat_interval: Duration,
    /// The time for which a peer is silent before it is not a member any more. Default 10 s, as the peers.
    pub heartbeat_timeout: Duration,
    /// The time for which this node keeps a peer's request that names no time. Default 5 s, as the peers.
    pub answer_timeout: Duration,
    /// The longest time for which this node keeps a peer's request, whatever time that names. Default 5 min.
    pub max_answer_timeout: Duration,
    /// Requests of this node that are open. Default 10,000.
    pub max_asks: usize,
    /// Answers to one of them, or sockets in them. Default 100,000.
    pub max_answers: usize,
    /// Requests of peers that are open. Default 10,000. A bridge carries as many of Python nodes besides.
    pub max_servings: usize,
    /// Members of one namespace. Default 1000.
    pub max_peers: usize,
    /// Of a bridge: how long an event for several sockets waits for acknowledgements of Python's clients, which say
    /// nowhere how many there are. Default 500 ms. Zero drops them.
    pub python_ack_wait: Duration,
    /// Of a bridge: how long it keeps a Python node's request, which names no time. Default 60 s, as Python's `call`.
    pub python_call_timeout: Duration,
    /// Of a bridge: how long it listens to the others before it takes part. Default 500 ms.
    pub bridge_settle: Duration,
    /// Bytes of messages that wait for the driver. Default 64 MiB.
    pub max_waiting_bytes: usize,
    /// Of the dialect of streams: whether connections are recovered, so that events go to the stream first. Default no.
    pub recovers: bool,
    /// The time for which an event of this node is waited for to come back from the stream. Then it is sent to the sockets
    /// here without an offset. Default 1 s.
    pub log_patience: Duration,
    /// The time for which a session is saved again if it was taken for a client that no longer waits for it. Default
    /// 2 min.
    pub recovery_window: Duration,
    /// Sessions that are looked for at a time, including those whose clients have stopped waiting. Default 1000.
    pub max_lookups: usize,
    /// Entries of the stream that are read for one session. Default 100,000, ten times what the peers keep.
    pub max_recovered_entries: usize,
    /// Bytes of missed events of all sessions that are looked for, each event with about what it takes besides; and bytes of
    /// entries that are read for one of them. Default 64 MiB.
    pub max_recovered_bytes: usize,
    /// Whether requests of clients on long-polling are passed on to the node of their session. It takes
    /// [`Dialect::Heartbeats`], by which nodes know each other's names. Default no.
    pub forwards: bool,
    /// The time that the node of a session has to take such a request. Default 5 s.
    pub forward_patience: Duration,
    /// The time after that for the answer, which comes once there is something for the client: longer than the interval of
    /// its pings. Default 120 s.
    pub forward_timeout: Duration,
    /// Requests that are passed on at a time, and those of other nodes at a time: polls that
    /// wait among them. Default 10,000.
    pub max_forwards: usize,
    /// Requests of one address that are passed on at a time. Default 500: two for each client of a large office. This and
    /// the next two are for clients whose addresses are [told](super::Node::open_forward_from).
    pub max_forwards_per_address: usize,
    /// Bytes of the bodies of one address's requests. A body of a request that is given up counts for `answer_timeout`
    /// more. Default 8 MiB.
    pub max_forwarded_bytes_per_address: usize,
    /// The rate of requests of one address. Default 200 a second, with a burst of 1000.
    pub forward_rate_per_address: Rate,
    /// Bytes of all bodies that are on the way to this node, and of answers that are not written, and of those of other
    /// nodes. Default 64 MiB.
    pub max_forwarded_bytes: usize,
}

impl Default for NodeConfig {
    fn default() -> Self {
        Self {
            limits: Limits::default(),
            heartbeat_interval: Duration::from_secs(5),
            heartbeat_timeout: Duration::from_secs(10),
            answer_timeout: Duration::from_secs(5),
            max_answer_timeout: Duration::from_secs(300),
            max_asks: 10_000,
            max_answers: 100_000,
            max_servings: 10_000,
            max_peers: 1000,
            python_ack_wait: Duration::from_millis(500),
            python_call_timeout: Duration::from_secs(60),
            bridge_settle: Duration::from_millis(500),
            max_waiting_bytes: 64 << 20,
            recovers: false,
            log_patience: Duration::from_secs(1),
            recovery_window: Duration::from_secs(120),
            max_lookups: 1000,
            max_recovered_entries: 100_000,
            max_recovered_bytes: 64 << 20,
            forwards: false,
            forward_patience: Duration::from_secs(5),
            forward_timeout: Duration::from_secs(120),
            max_forwards: 10_000,
            max_forwards_per_address: 500,
            max_forwarded_bytes_per_address: 8 << 20,
            forward_rate_per_address: Rate::per_second(200).burst(1000),
            max_forwarded_bytes: 64 << 20,
        }
    }
}

impl NodeConfig {
    /// Sets [`limits`](Self::limits).
    #[must_use]
    pub fn with_limits(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self
    }

    /// Sets [`python_ack_wait`](Self::python_ack_wait).
    #[must_use]
    pub fn with_python_ack_wait(mut self, wait: Duration) -> Self {
        self.python_ack_wait = wait;
        self
    }

    /// Sets [`max_asks`](Self::max_asks).
    #[must_use]
    pub fn with_max_asks(mut self, asks: usize) -> Self {
        self.max_asks = asks;
        self
    }

    /// Sets [`max_answers`](Self::max_answers).
    #[must_use]
    pub fn with_max_answers(mut self, answers: usize) -> Self {
        self.max_answers = answers;
        self
    }

    /// Sets [`max_servings`](Self::max_servings).
    #[must_use]
    pub fn with_max_servings(mut self, servings: usize) -> Self {
        self.max_servings = servings;
        self
    }

    /// Sets [`max_peers`](Self::max_peers).
    #[must_use]
    pub fn with_max_peers(mut self, peers: usize) -> Self {
        self.max_peers = peers;
        self
    }

    /// Sets [`recovers`](Self::recovers).
    #[must_use]
    pub fn with_recovers(mut self, recovers: bool) -> Self {
        self.recovers = recovers;
        self
    }

    /// Sets [`log_patience`](Self::log_patience).
    #[must_use]
    pub fn with_log_patience(mut self, patience: Duration) -> Self {
        self.log_patience = patience;
        self
    }

    /// Sets [`recovery_window`](Self::recovery_window).
    #[must_use]
    pub fn with_recovery_window(mut self, window: Duration) -> Self {
        self.recovery_window = window;
        self
    }

    /// Sets [`max_recovered_entries`](Self::max_recovered_entries).
    #[must_use]
    pub fn with_max_recovered_entries(mut self, entries: usize) -> Self {
        self.max_recovered_entries = entries;
        self
    }

    /// Sets [`max_recovered_bytes`](Self::max_recovered_bytes).
    #[must_use]
    pub fn with_max_recovered_bytes(mut self, bytes: usize) -> Self {
        self.max_recovered_bytes = bytes;
        self
    }

    /// Sets [`max_lookups`](Self::max_lookups).
    #[must_use]
    pub fn with_max_lookups(mut self, lookups: usize) -> Self {
        self.max_lookups = lookups;
        self
    }

    /// Sets [`forwards`](Self::forwards).
    #[must_use]
    pub fn with_forwards(mut self, forwards: bool) -> Self {
        self.forwards = forwards;
        self
    }

    /// Sets [`forward_patience`](Self::forward_patience).
    #[must_use]
    pub fn with_forward_patience(mut self, patience: Duration) -> Self {
        self.forward_patience = patience;
        self
    }

    /// Sets [`forward_timeout`](Self::forward_timeout).
    #[must_use]
    pub fn with_forward_timeout(mut self, timeout: Duration) -> Self {
        self.forward_timeout = timeout;
        self
    }

    /// Sets [`max_forwards`](Self::max_forwards).
    #[must_use]
    pub fn with_max_forwards(mut self, forwards: usize) -> Self {
        self.max_forwards = forwards;
        self
    }

    /// Sets [`max_forwards_per_address`](Self::max_forwards_per_address).
    #[must_use]
    pub fn with_max_forwards_per_address(mut self, forwards: usize) -> Self {
        self.max_forwards_per_address = forwards;
        self
    }

    /// Sets [`max_forwarded_bytes_per_address`](Self::max_forwarded_bytes_per_address).
    #[must_use]
    pub fn with_max_forwarded_bytes_per_address(mut self, bytes: usize) -> Self {
        self.max_forwarded_bytes_per_address = bytes;
        self
    }

    /// Sets [`forward_rate_per_address`](Self::forward_rate_per_address).
    #[must_use]
    pub fn with_forward_rate_per_address(mut self, rate: Rate) -> Self {
        self.forward_rate_per_address = rate;
        self
    }

    /// Sets [`max_forwarded_bytes`](Self::max_forwarded_bytes).
    #[must_use]
    pub fn with_max_forwarded_bytes(mut self, bytes: usize) -> Self {
        self.max_forwarded_bytes = bytes;
        self
    }

    /// Sets [`max_waiting_bytes`](Self::max_waiting_bytes).
    #[must_use]
    pub fn with_max_waiting_bytes(mut self, bytes: usize) -> Self {
        self.max_waiting_bytes = bytes;
        self
    }
}
