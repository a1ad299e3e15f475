//! A node of a cluster as a machine: one for a process and all its namespaces. It knows no bus and does no I/O.
//!
//! ```text
//!              commands                          events
//!   runtime  ------------>  +--------+  ----------------------------->  runtime
//!   (hub)    send, ask,     |  Node  |  Message: apply it to the hub;
//!            answer, open   |        |    answer it, if it asks
//!                           |        |  Done: what came of a request, once
//!    bus     ------------>  |        |  PeerUp, PeerDown, BusUp, BusDown
//!   driver   handle_message +--------+  ----------------------------->  bus driver
//!            handle_count, handle_bus_up ..    Publish, Subscribe, Count ..
//! ```
//!
//! * **Local first.** The runtime applies its own commands to its own sockets, and then tells the machine. Nothing here
//!   waits for the bus, and that the bus is away is an event and a count, never an error.
//! * **A request ends once**, at its deadline at the latest, with what came and what is missing.
//! * **Membership is a value.** By the dialect, the other nodes are [heard](Membership::Heard) (they say that they
//!   live), [counted](Membership::Counted) (the bus is asked how many subscribe), or [unknown](Membership::Unknown).
//! * **Everything is bounded** by the [`NodeConfig`]. What does not fit is dropped and counted. Events are to be polled
//!   until there is none after each call; they are as many as what was passed in.
//!
//! The formats have limits of their own. Acknowledgements do not say which socket they are of, so a bus that delivers a
//! message twice may end a request early. Where nodes are counted, one that is dead but still counted is waited for
//! until the deadline. Where they are unknown, a request ends at its deadline, or at the first acknowledgement if one
//! is enough. A copy that a bridge made is delivered like an original.
//!
//! The methods are of four kinds, as everywhere in this crate: commands, `handle_*` for what happened, `poll_*` for
//! what is to be done, and getters. Time is passed to all that begins or ends something.
//!
//! ```
//! use sansocket_protocol::cluster::node::{Dialect, Node, NodeConfig, NodeEvent, NodeTransmit};
//! use sansocket_protocol::cluster::{Event, Message, Sharded};
//! use sansocket_protocol::hub::Target;
//! use sansocket_protocol::random::Random;
//! use sansocket_protocol::time::Instant;
//!
//! let now = Instant::ZERO;
//! let node = |seed| {
//!     let dialect = Dialect::Heartbeats(Sharded::default());
//!     let mut node = Node::new(NodeConfig::default(), dialect, Random::new([seed; 32]));
//!     node.open(now, "/");
//!     node.handle_bus_up(now);
//!     node
//! };
//! let (mut ada, mut bob) = (node(1), node(2));
//! while ada.poll_transmit().is_some() {} // subscriptions, and a greeting that nobody hears
//!
//! let event = Event::new("said", &"hello").unwrap();
//! ada.send(now, "/", Message::Emit { event, target: Target::all(), ack: None })?;
//! while let Some(transmit) = ada.poll_transmit() {
//!     if let NodeTransmit::Publish(one) = transmit {
//!         bob.handle_message(now, &one.channel, &one.payload);
//!     }
//! }
//! let told = std::iter::from_fn(|| bob.poll_event());
//! let heard = told.filter(|event| matches!(event, NodeEvent::Message { .. })).count();
//! assert_eq!(heard, 1);
//! # Ok::<(), sansocket_protocol::cluster::InexpressibleError>(())
//! ```

use super::adapter::{Notification, Notified};
use super::message::{AckRequest, Envelope, Event, Message, Origin, RemoteSocket, RequestId, Values};
use super::{
    Classic, InexpressibleError, Limits, MalformedError, Postgres, Published, Python, Sharded, Subscription,
};
use crate::hub::Target;
use crate::random::Random;
use crate::time::Instant;
use alloc::boxed::Box;
use alloc::collections::{BTreeMap, BTreeSet, VecDeque};
use alloc::format;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use bytes::Bytes;
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
    /// That of the Postgres adapter.
    Postgres(Postgres),
    /// The messages and channels of the sharded adapter with heartbeats, on any bus. For clusters of our own nodes.
    Heartbeats(Sharded),
}

impl Dialect {
    fn membership(&self) -> Membership {
        match self {
            Self::Python(_) => Membership::Unknown,
            Self::Classic(_) | Self::Sharded(_) => Membership::Counted,
            Self::Postgres(_) | Self::Heartbeats(_) => Membership::Heard { nodes: 0 },
        }
    }

    fn is_heard(&self) -> bool {
        matches!(self, Self::Postgres(_) | Self::Heartbeats(_))
    }

    fn subscriptions(&self, namespace: &str, node: &str) -> Vec<Subscription> {
        match self {
            Self::Python(python) => python.subscriptions(),
            Self::Classic(classic) => classic.subscriptions(namespace, node),
            Self::Sharded(sharded) | Self::Heartbeats(sharded) => sharded.subscriptions(namespace, node),
            // A name that is too long for the bus is told when something is sent.
            Self::Postgres(postgres) => postgres.subscriptions(namespace).unwrap_or_default(),
        }
    }

    fn room_channel(&self, namespace: &str, room: &str) -> Option<String> {
        match self {
            Self::Sharded(sharded) | Self::Heartbeats(sharded) => sharded.room_channel(namespace, room),
            Self::Python(_) | Self::Classic(_) | Self::Postgres(_) => None,
        }
    }

    fn count_channel(&self, namespace: &str) -> Option<String> {
        match self {
            Self::Classic(classic) => Some(classic.count_channel(namespace)),
            Self::Sharded(sharded) => Some(sharded.count_channel(namespace)),
            Self::Python(_) | Self::Postgres(_) | Self::Heartbeats(_) => None,
        }
    }
}

/// What is known of the other nodes of a namespace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Membership {
    /// They say that they live: how many did lately, this one left out.
    Heard {
        /// How many.
        nodes: usize,
    },
    /// The bus is asked how many there are, for each request.
    Counted,
    /// Nothing.
    Unknown,
}

/// The settings of a [`Node`].
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct NodeConfig {
    /// Bounds of one message.
    pub limits: Limits,
    /// How long a node is silent before it says that it lives. Default 5 s, as the peers.
    pub heartbeat_interval: Duration,
    /// How long a peer is silent before it is no member any more. Default 10 s, as the peers.
    pub heartbeat_timeout: Duration,
    /// How long this node keeps a peer's request that names no time. Default 5 s, as the peers.
    pub answer_timeout: Duration,
    /// How long this node keeps a peer's request at most, whatever time it names. Default 5 min.
    pub max_answer_timeout: Duration,
    /// Requests of this node that are open. Default 10,000.
    pub max_asks: usize,
    /// Answers to one of them, or sockets in them. Default 100,000.
    pub max_answers: usize,
    /// Requests of peers that are open. Default 10,000.
    pub max_servings: usize,
    /// Members of one namespace. Default 1000.
    pub max_peers: usize,
    /// Bytes of messages that the driver has not taken yet. Default 64 MiB.
    pub max_waiting_bytes: usize,
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
            max_waiting_bytes: 64 << 20,
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

    /// Sets [`max_waiting_bytes`](Self::max_waiting_bytes).
    #[must_use]
    pub fn with_max_waiting_bytes(mut self, bytes: usize) -> Self {
        self.max_waiting_bytes = bytes;
        self
    }
}

/// A request of this node to the others.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Ask {
    /// Send an event to the sockets of a target, and collect their acknowledgements.
    Acks {
        /// The event.
        event: Event,
        /// Its recipients.
        target: Target,
        /// The first acknowledgement is enough.
        single: bool,
    },
    /// Describe the sockets of a target.
    Sockets {
        /// The sockets.
        target: Target,
    },
    /// Hand an event to the application on each node, and collect their answers.
    ServerSide {
        /// The event.
        event: Event,
    },
    /// Count the nodes.
    Nodes,
}

/// The name of a request of this node. Never given out twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AskId(u64);

/// The name of a peer's request that this node is to answer. Never given out twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ServingId(u64);

/// Why a request was not begun.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AskError {
    /// The namespace is not open.
    #[error("the namespace is not open")]
    NotOpen,
    /// There are as many requests as [`NodeConfig::max_asks`] allows.
    #[error("{limit} requests to other nodes are open: wait for some, or raise the limit")]
    TooMany {
        /// The limit.
        limit: usize,
    },
    /// The dialect has no form for it.
    #[error(transparent)]
    Inexpressible(#[from] InexpressibleError),
}

/// What came of a request.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Outcome {
    /// The acknowledgements, or the answers to a server-side emit, in the order in which they came.
    pub answers: Vec<Values>,
    /// The sockets that were asked for.
    pub sockets: Vec<RemoteSocket>,
    /// How many other nodes there are, if nodes were asked for.
    pub nodes: Option<u32>,
    /// How many nodes did not answer; `None` if it is not known how many there are.
    pub missing_nodes: Option<u32>,
    /// How many sockets of the nodes that answered did not acknowledge.
    pub missing_acks: u32,
}

impl Outcome {
    /// Whether all that was asked for is here.
    pub fn is_complete(&self) -> bool {
        self.missing_nodes == Some(0) && self.missing_acks == 0
    }
}

/// The answer of this node to a peer's request.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Answer {
    /// How many sockets were sent the event. To be told first, also if it is none.
    Count(u32),
    /// What one of them acknowledged.
    Ack(Values),
    /// The sockets of this node.
    Sockets(Vec<RemoteSocket>),
    /// The ids of the sockets of this node.
    Ids(Vec<Arc<str>>),
    /// The rooms of this node.
    Rooms(Vec<Arc<str>>),
    /// What the application answers to a server-side emit: one value, or none.
    ServerSide(Values),
}

/// What the driver of the bus is to do.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum NodeTransmit {
    /// Subscribe.
    Subscribe(Subscription),
    /// Unsubscribe.
    Unsubscribe(Subscription),
    /// Publish.
    Publish(Published),
    /// Say by [`Node::handle_count`] how many subscribe to a channel.
    Count {
        /// The channel.
        channel: String,
        /// The request that it is for.
        ask: AskId,
    },
    /// Insert a row into the table of attachments, and say its id by [`Node::handle_inserted`].
    Insert {
        /// The row's payload.
        payload: Bytes,
        /// The message in it.
        envelope: Box<Envelope>,
    },
    /// Read a row of the table of attachments, and pass it to [`Node::handle_row`].
    Select {
        /// The channel that named it.
        channel: String,
        /// The row's id.
        row: Arc<str>,
    },
}

/// What the runtime is told.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum NodeEvent {
    /// A message of another node, to be applied to the sockets of this one.
    Message {
        /// The namespace.
        namespace: Arc<str>,
        /// The message.
        message: Message,
        /// The name by which it is to be answered, if it asks for an answer.
        serving: Option<ServingId>,
    },
    /// A request has ended.
    Done {
        /// The request.
        ask: AskId,
        /// What came of it.
        outcome: Outcome,
    },
    /// A node was heard for the first time.
    PeerUp {
        /// The namespace.
        namespace: Arc<str>,
        /// The node.
        node: Arc<str>,
    },
    /// A node said goodbye, or was not heard for too long.
    PeerDown {
        /// The namespace.
        namespace: Arc<str>,
        /// The node.
        node: Arc<str>,
    },
    /// The bus is there.
    BusUp {
        /// How long it was away. What others sent meanwhile is lost.
        gap: Option<Duration>,
    },
    /// The bus is away.
    BusDown,
}

/// What a node has counted since it began.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct NodeCounts {
    /// Messages that were published.
    pub published: u64,
    /// Messages that came and were of use.
    pub received: u64,
    /// Messages that came and were none.
    pub malformed: u64,
    /// Messages that were not published, because the bus was away or the driver did not keep up.
    pub dropped: u64,
    /// Answers that the dialect has no form for.
    pub inexpressible: u64,
    /// Requests, answers and peers beyond the limits.
    pub refused: u64,
}

/// A node of a cluster. See the [module](self).
#[derive(Debug)]
pub struct Node {
    config: NodeConfig,
    dialect: Dialect,
    random: Random,
    /// The name of this node in all its namespaces, closed ones as well: what it sent there may still come back.
    name: Arc<str>,
    /// The latest time that was told.
    now: Instant,
    is_up: bool,
    down_since: Option<Instant>,
    spaces: BTreeMap<Arc<str>, Space>,
    asks: BTreeMap<AskId, Asked>,
    tokens: BTreeMap<RequestId, AskId>,
    last_ask: u64,
    servings: BTreeMap<ServingId, Serving>,
    last_serving: u64,
    /// When to look at what. An entry may be early, and is put off then.
    timers: BTreeSet<(Instant, Timer)>,
    transmits: VecDeque<NodeTransmit>,
    waiting_bytes: usize,
    events: VecDeque<NodeEvent>,
    counts: NodeCounts,
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Timer {
    Ask(AskId),
    Serving(ServingId),
    Beat(Arc<str>),
    Peer(Arc<str>, Arc<str>),
}

/// One namespace.
#[derive(Debug)]
struct Space {
    /// When the others stop to believe that it lives.
    beat_at: Instant,
    /// The peers, and when each is silent for too long.
    peers: BTreeMap<Arc<str>, Instant>,
    /// The rooms of this node that have a channel of their own.
    rooms: BTreeSet<Arc<str>>,
}

#[derive(Debug)]
struct Asked {
    namespace: Arc<str>,
    deadline: Instant,
    token: RequestId,
    kind: Kind,
    expects: Expects,
    /// Of nodes that are known by name: acknowledgements still to come, below zero if some were before the count.
    open_acks: BTreeMap<Arc<str>, i64>,
    /// Of all nodes together.
    acks: u64,
    counted_acks: u64,
    answered: u32,
    outcome: Outcome,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Acks { single: bool },
    Sockets,
    ServerSide,
    Nodes,
}

#[derive(Debug)]
enum Expects {
    /// These nodes.
    Named(BTreeSet<Arc<str>>),
    /// So many nodes, once the bus has said it.
    Counted(Option<u32>),
    /// Nobody knows.
    Unknown,
}

#[derive(Debug)]
struct Serving {
    namespace: Arc<str>,
    deadline: Instant,
    request: RequestId,
    asker: Arc<str>,
    kind: Kind,
    expected: Option<u32>,
    acked: u32,
}

impl Node {
    /// A node without namespaces, whose bus is away.
    pub fn new(config: NodeConfig, dialect: Dialect, mut random: Random) -> Self {
        let name = match dialect {
            Dialect::Python(_) => format!("{:016x}{:016x}", random.u64(), random.u64()),
            _ => token(&dialect, &mut random),
        };
        Self {
            config,
            dialect,
            random,
            name: name.into(),
            now: Instant::ZERO,
            is_up: false,
            down_since: None,
            spaces: BTreeMap::new(),
            asks: BTreeMap::new(),
            tokens: BTreeMap::new(),
            last_ask: 0,
            servings: BTreeMap::new(),
            last_serving: 0,
            timers: BTreeSet::new(),
            transmits: VecDeque::new(),
            waiting_bytes: 0,
            events: VecDeque::new(),
            counts: NodeCounts::default(),
        }
    }

    // --- getters -----------------------------------------------------------------------------------------------------

    /// What is known of the other nodes of a namespace.
    pub fn membership(&self, namespace: &str) -> Membership {
        match self.dialect.membership() {
            Membership::Heard { .. } => {
                Membership::Heard { nodes: self.spaces.get(namespace).map_or(0, |space| space.peers.len()) }
            }
            other => other,
        }
    }

    /// Whether the bus is there.
    pub fn is_on_bus(&self) -> bool {
        self.is_up
    }

    /// The name by which the others know this node.
    pub fn name(&self) -> &Arc<str> {
        &self.name
    }

    /// What was counted.
    pub fn counts(&self) -> NodeCounts {
        self.counts
    }

    /// How many requests are open: of this node, and of others.
    pub fn open_requests(&self) -> (usize, usize) {
        (self.asks.len(), self.servings.len())
    }

    // --- commands ----------------------------------------------------------------------------------------------------

    /// Takes part in a namespace. A second time has no effect.
    pub fn open(&mut self, now: Instant, namespace: &str) {
        let now = self.tick(now);
        if self.spaces.contains_key(namespace) {
            return;
        }
        let namespace: Arc<str> = namespace.into();
        let space = Space { beat_at: now, peers: BTreeMap::new(), rooms: BTreeSet::new() };
        self.spaces.insert(namespace.clone(), space);
        if self.is_up {
            self.join_bus(&namespace);
        }
    }

    /// Leaves a namespace. Its requests end with what came.
    pub fn close(&mut self, now: Instant, namespace: &str) {
        self.tick(now);
        if self.dialect.is_heard() && self.spaces.contains_key(namespace) {
            let _ = self.publish(namespace, None, Message::NodeClosed);
        }
        let asks: Vec<AskId> =
            self.asks.iter().filter(|(_, asked)| *asked.namespace == *namespace).map(|(id, _)| *id).collect();
        asks.into_iter().for_each(|id| self.finish(id));
        let timers = &mut self.timers;
        self.servings.retain(|id, serving| {
            let is_other = *serving.namespace != *namespace;
            is_other || !timers.remove(&(serving.deadline, Timer::Serving(*id)))
        });
        let Some(space) = self.spaces.remove(namespace) else { return };
        self.timers.retain(|(_, timer)| match timer {
            Timer::Beat(of) | Timer::Peer(of, _) => **of != *namespace,
            Timer::Ask(_) | Timer::Serving(_) => true,
        });
        // Python has one channel for all namespaces.
        let is_shared = matches!(self.dialect, Dialect::Python(_)) && !self.spaces.is_empty();
        if self.is_up && !is_shared {
            let rooms = space.rooms.iter().filter_map(|room| self.dialect.room_channel(namespace, room));
            let rooms: Vec<_> = rooms.map(Subscription::Channel).collect();
            for subscription in self.dialect.subscriptions(namespace, &self.name).into_iter().chain(rooms) {
                self.transmits.push_back(NodeTransmit::Unsubscribe(subscription));
            }
        }
    }

    /// Tells the others of a command that this node has applied to its own sockets: an emit without
    /// acknowledgements, a join, a leave, a disconnect, or a server-side emit without answers. False if it was not
    /// published: it is for this node alone, or the bus is away.
    ///
    /// # Errors
    ///
    /// [`InexpressibleError`] if the dialect has no form for it.
    pub fn send(
        &mut self,
        now: Instant,
        namespace: &str,
        message: Message,
    ) -> Result<bool, InexpressibleError> {
        self.tick(now);
        let kind = message.kind();
        match &message {
            Message::Emit { target, ack: None, .. }
            | Message::Join { target, .. }
            | Message::Leave { target, .. }
            | Message::Disconnect { target, .. }
                if target.flags.local =>
            {
                return Ok(false);
            }
            Message::Emit { ack: None, .. }
            | Message::Join { .. }
            | Message::Leave { .. }
            | Message::Disconnect { .. }
            | Message::ServerSideEmit { request: None, .. } => {}
            _ => return Err(InexpressibleError::Kind { kind }),
        }
        self.publish(namespace, None, message)
    }

    /// Asks the others. The request ends in one [`NodeEvent::Done`], when all have answered or after `timeout`. What
    /// this node's own sockets have to say is the runtime's.
    ///
    /// # Errors
    ///
    /// [`AskError`], and then there is no such event.
    pub fn ask(
        &mut self,
        now: Instant,
        namespace: &str,
        ask: Ask,
        timeout: Duration,
    ) -> Result<AskId, AskError> {
        let now = self.tick(now);
        let limit = self.config.max_asks;
        if self.asks.len() >= limit {
            self.counts.refused = self.counts.refused.saturating_add(1);
            return Err(AskError::TooMany { limit });
        }
        let (namespace, space) = self.spaces.get_key_value(namespace).ok_or(AskError::NotOpen)?;
        let namespace = namespace.clone();
        let expects = match self.dialect.membership() {
            Membership::Heard { .. } => Expects::Named(space.peers.keys().cloned().collect()),
            Membership::Counted => Expects::Counted(None),
            Membership::Unknown => Expects::Unknown,
        };
        self.last_ask = self.last_ask.saturating_add(1);
        let id = AskId(self.last_ask);
        let token = match (&self.dialect, &ask) {
            (Dialect::Python(_), Ask::Acks { target, .. }) => Python::request(target, &namespace, id.0),
            _ => RequestId::new(token(&self.dialect, &mut self.random)),
        };
        let (kind, message, is_local) = match ask {
            Ask::Acks { event, target, single } => {
                let is_local = target.flags.local;
                let ack = AckRequest { request: token.clone(), timeout: Some(timeout), single };
                (Kind::Acks { single }, Some(Message::Emit { event, target, ack: Some(ack) }), is_local)
            }
            Ask::Sockets { target } => {
                let is_local = target.flags.local;
                (Kind::Sockets, Some(Message::FetchSockets { request: token.clone(), target }), is_local)
            }
            Ask::ServerSide { event } => {
                let request = Some(token.clone());
                (Kind::ServerSide, Some(Message::ServerSideEmit { event, request }), false)
            }
            Ask::Nodes => (Kind::Nodes, None, false),
        };
        let count = self.dialect.count_channel(&namespace).filter(|_| self.is_up && !is_local);
        let deadline = now + timeout;
        let mut asked = Asked {
            namespace: namespace.clone(),
            deadline,
            token: token.clone(),
            kind,
            expects,
            open_acks: BTreeMap::new(),
            acks: 0,
            counted_acks: 0,
            answered: 0,
            outcome: Outcome::default(),
        };
        if kind == Kind::Nodes {
            if let Expects::Named(nodes) = &mut asked.expects {
                asked.outcome.nodes = Some(u32::try_from(nodes.len()).unwrap_or(u32::MAX));
                nodes.clear();
            }
        }
        if is_local {
            asked.expects = Expects::Counted(Some(0));
        }
        // Before the request: a node that comes in between then answers without being waited for.
        let has_count = count.is_some();
        if let Some(channel) = count {
            self.transmits.push_back(NodeTransmit::Count { channel, ask: id });
        }
        let is_published = match message.filter(|_| !is_local) {
            Some(message) => match self.publish(&namespace, None, message) {
                Ok(is_published) => is_published,
                Err(error) => {
                    if has_count {
                        self.transmits.pop_back();
                    }
                    return Err(error.into());
                }
            },
            None => self.is_up || is_local,
        };
        self.asks.insert(id, asked);
        self.tokens.insert(token, id);
        // Nobody can answer what nobody hears, and without a bus or a count nobody knows who is there.
        let is_hopeless = !is_local && (!is_published || (kind == Kind::Nodes && self.is_unknown()));
        if is_hopeless {
            if let Some(asked) = self.asks.get_mut(&id) {
                asked.expects = Expects::Unknown;
            }
            self.finish(id);
        } else {
            self.timers.insert((deadline, Timer::Ask(id)));
            self.finish_if_complete(id);
        }
        Ok(id)
    }

    fn is_unknown(&self) -> bool {
        self.dialect.membership() == Membership::Unknown
    }

    /// Answers a peer's request. An answer that comes too late, or to what does not ask for it, has no effect.
    pub fn answer(&mut self, now: Instant, serving: ServingId, answer: Answer) {
        self.tick(now);
        let Some(served) = self.servings.get_mut(&serving) else { return };
        let request = served.request.clone();
        let message = match (served.kind, answer) {
            (Kind::Acks { .. }, Answer::Count(sockets)) if served.expected.is_none() => {
                served.expected = Some(sockets);
                Message::AckCount { request, sockets }
            }
            (Kind::Acks { .. }, Answer::Ack(args)) => {
                served.acked = served.acked.saturating_add(1);
                Message::Ack { request, args }
            }
            (Kind::Sockets, Answer::Sockets(sockets)) => {
                served.expected = Some(0);
                Message::Sockets { request, sockets }
            }
            (Kind::Sockets, Answer::Ids(ids)) => {
                served.expected = Some(0);
                Message::SocketIds { request, ids }
            }
            (Kind::Sockets, Answer::Rooms(rooms)) => {
                served.expected = Some(0);
                Message::Rooms { request, rooms }
            }
            (Kind::ServerSide, Answer::ServerSide(value)) => {
                served.expected = Some(0);
                Message::ServerSideAnswer { request, value }
            }
            _ => return,
        };
        let (namespace, asker) = (served.namespace.clone(), served.asker.clone());
        if served.expected.is_some_and(|expected| served.acked >= expected) {
            self.timers.remove(&(served.deadline, Timer::Serving(serving)));
            self.servings.remove(&serving);
        }
        // Python has no counts, and is not told any.
        let is_untold = matches!((&self.dialect, &message), (Dialect::Python(_), Message::AckCount { .. }));
        if !is_untold && self.publish(&namespace, Some(asker), message).is_err() {
            self.counts.inexpressible = self.counts.inexpressible.saturating_add(1);
        }
    }

    /// A room has its first member on this node.
    pub fn room_began(&mut self, namespace: &str, room: &str) {
        self.room(namespace, room, true);
    }

    /// A room has lost its last member on this node.
    pub fn room_ended(&mut self, namespace: &str, room: &str) {
        self.room(namespace, room, false);
    }

    fn room(&mut self, namespace: &str, room: &str, has_begun: bool) {
        let Some(channel) = self.dialect.room_channel(namespace, room) else { return };
        let Some(space) = self.spaces.get_mut(namespace) else { return };
        let has_changed = if has_begun { space.rooms.insert(room.into()) } else { space.rooms.remove(room) };
        if has_changed && self.is_up {
            let channel = Subscription::Channel(channel);
            self.transmits.push_back(if has_begun {
                NodeTransmit::Subscribe(channel)
            } else {
                NodeTransmit::Unsubscribe(channel)
            });
        }
    }

    // --- what happened -----------------------------------------------------------------------------------------------

    /// The driver is connected. It is told what to subscribe to, whatever it was told before.
    pub fn handle_bus_up(&mut self, now: Instant) {
        let now = self.tick(now);
        if self.is_up {
            return;
        }
        self.is_up = true;
        let gap = self.down_since.take().map(|since| now - since);
        self.events.push_back(NodeEvent::BusUp { gap });
        let namespaces: Vec<Arc<str>> = self.spaces.keys().cloned().collect();
        for namespace in namespaces {
            self.join_bus(&namespace);
        }
    }

    /// The driver has lost its connection. What it has not taken yet is dropped.
    pub fn handle_bus_down(&mut self, now: Instant) {
        let now = self.tick(now);
        if !self.is_up {
            return;
        }
        self.is_up = false;
        self.down_since = Some(now);
        self.events.push_back(NodeEvent::BusDown);
        let lost = |transmit: &NodeTransmit| {
            matches!(transmit, NodeTransmit::Publish(_) | NodeTransmit::Insert { .. })
        };
        let lost = self.transmits.iter().filter(|transmit| lost(transmit)).count();
        self.counts.dropped = self.counts.dropped.saturating_add(lost as u64);
        self.transmits.clear();
        self.waiting_bytes = 0;
    }

    /// Bytes came on a channel. Whatever they are, nothing but a count changes if they are no message.
    pub fn handle_message(&mut self, now: Instant, channel: &str, payload: &Bytes) {
        self.tick(now);
        let limits = &self.config.limits;
        let read = match &self.dialect {
            Dialect::Python(python) => python.decode(channel, payload, limits),
            Dialect::Classic(classic) => classic.decode(channel, payload, limits),
            Dialect::Sharded(sharded) | Dialect::Heartbeats(sharded) => {
                sharded.decode(channel, payload, limits)
            }
            Dialect::Postgres(postgres) => match postgres.decode(channel, payload, limits) {
                Ok(Notification::Message(read)) => Ok(*read),
                Ok(Notification::Row { origin, id }) => {
                    let is_own = origin == Origin::Node(self.name.clone());
                    if !is_own && self.is_up {
                        self.transmits.push_back(NodeTransmit::Select { channel: channel.into(), row: id });
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
                self.push_publish(header);
            }
        }
    }

    /// The bus has said how many subscribe to the channel of a request, this node included; `None` if it could not.
    pub fn handle_count(&mut self, now: Instant, ask: AskId, subscribers: Option<u32>) {
        self.tick(now);
        let Some(asked) = self.asks.get_mut(&ask) else { return };
        let (Expects::Counted(count @ None), Some(subscribers)) = (&mut asked.expects, subscribers) else {
            return;
        };
        let others = subscribers.saturating_sub(1);
        *count = Some(others);
        if asked.kind == Kind::Nodes {
            asked.outcome.nodes = Some(others);
            asked.answered = others;
        }
        self.finish_if_complete(ask);
    }

    /// Time has passed: ends what has lasted too long, and says that this node lives.
    pub fn handle_timeout(&mut self, now: Instant) {
        let now = self.tick(now);
        while let Some((at, timer)) = self.timers.first().cloned() {
            if at > now {
                break;
            }
            self.timers.pop_first();
            match timer {
                Timer::Ask(id) => self.finish(id),
                Timer::Serving(id) => drop(self.servings.remove(&id)),
                Timer::Beat(namespace) => self.beat(now, namespace),
                Timer::Peer(namespace, node) => {
                    let silent_at =
                        self.spaces.get(&namespace).and_then(|space| space.peers.get(&node)).copied();
                    match silent_at {
                        Some(silent_at) if silent_at > now => {
                            self.timers.insert((silent_at, Timer::Peer(namespace, node)));
                        }
                        Some(_) => self.peer_down(&namespace, &node),
                        None => {}
                    }
                }
            }
        }
    }

    // --- what is to be done ------------------------------------------------------------------------------------------

    /// The next thing for the driver of the bus to do.
    pub fn poll_transmit(&mut self) -> Option<NodeTransmit> {
        let transmit = self.transmits.pop_front()?;
        let bytes = match &transmit {
            NodeTransmit::Publish(published) => published.payload.len(),
            NodeTransmit::Insert { payload, .. } => payload.len(),
            _ => 0,
        };
        self.waiting_bytes = self.waiting_bytes.saturating_sub(bytes);
        Some(transmit)
    }

    /// The next thing to tell the runtime.
    pub fn poll_event(&mut self) -> Option<NodeEvent> {
        self.events.pop_front()
    }

    /// When to call [`handle_timeout`](Self::handle_timeout). It may be too early, which does no harm.
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.timers.first().map(|(at, _)| *at)
    }

    // --- inside ------------------------------------------------------------------------------------------------------

    /// Time does not go back.
    fn tick(&mut self, now: Instant) -> Instant {
        self.now = self.now.max(now);
        self.now
    }

    fn join_bus(&mut self, namespace: &Arc<str>) {
        let Some(space) = self.spaces.get(namespace) else { return };
        let mut subscriptions = self.dialect.subscriptions(namespace, &self.name);
        let rooms = space.rooms.iter().filter_map(|room| self.dialect.room_channel(namespace, room));
        subscriptions.extend(rooms.map(Subscription::Channel));
        for subscription in subscriptions {
            let subscribe = NodeTransmit::Subscribe(subscription);
            // Python's namespaces have one channel.
            if !self.transmits.contains(&subscribe) || !matches!(self.dialect, Dialect::Python(_)) {
                self.transmits.push_back(subscribe);
            }
        }
        if self.dialect.is_heard() {
            let _ = self.publish(namespace, None, Message::Hello);
            let at = self.now + self.config.heartbeat_interval;
            // Should one be left of before, the two become one when they are due.
            self.timers.insert((at, Timer::Beat(namespace.clone())));
        }
    }

    /// False if it was dropped.
    fn publish(
        &mut self,
        namespace: &str,
        to: Option<Arc<str>>,
        message: Message,
    ) -> Result<bool, InexpressibleError> {
        let Some((namespace, _)) = self.spaces.get_key_value(namespace) else { return Ok(false) };
        let envelope = Envelope {
            origin: Origin::Node(self.name.clone()),
            to,
            namespace: namespace.clone(),
            via: None,
            message,
        };
        let limits = &self.config.limits;
        let mut transmits = Vec::new();
        match &self.dialect {
            Dialect::Python(python) => transmits = python.encode(&envelope, limits)?,
            Dialect::Classic(classic) => transmits = classic.encode(&envelope, limits)?,
            Dialect::Sharded(sharded) | Dialect::Heartbeats(sharded) => {
                transmits = sharded.encode(&envelope, limits)?;
            }
            Dialect::Postgres(postgres) => match postgres.encode(&envelope, limits)? {
                Notified::Published(published) => transmits.push(published),
                Notified::Row { payload } => {
                    let namespace = envelope.namespace.clone();
                    let is_sent = self.push(payload.len(), move || NodeTransmit::Insert {
                        payload,
                        envelope: Box::new(envelope),
                    });
                    self.put_off_beat(&namespace, is_sent);
                    return Ok(is_sent);
                }
            },
        }
        let namespace = envelope.namespace;
        let mut is_sent = true;
        for published in transmits {
            is_sent &= self.push_publish(published);
        }
        self.put_off_beat(&namespace, is_sent);
        Ok(is_sent)
    }

    /// Whoever has just been heard need not say that it lives.
    fn put_off_beat(&mut self, namespace: &str, is_sent: bool) {
        let beat_at = self.now + self.config.heartbeat_interval;
        if let Some(space) = self.spaces.get_mut(namespace).filter(|_| is_sent) {
            space.beat_at = beat_at;
        }
    }

    fn push_publish(&mut self, published: Published) -> bool {
        self.push(published.payload.len(), move || NodeTransmit::Publish(published))
    }

    fn push(&mut self, bytes: usize, transmit: impl FnOnce() -> NodeTransmit) -> bool {
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

    fn beat(&mut self, now: Instant, namespace: Arc<str>) {
        // The bus is away, and says when it is back.
        if !self.is_up {
            return;
        }
        let Some(space) = self.spaces.get(&namespace) else { return };
        if space.beat_at <= now {
            let _ = self.publish(&namespace, None, Message::Heartbeat);
        }
        let next = self.spaces.get(&namespace).map_or(now, |space| space.beat_at);
        // If it could not be sent, it is sent next time.
        let next = if next > now { next } else { now + self.config.heartbeat_interval };
        self.timers.insert((next, Timer::Beat(namespace)));
    }

    fn take(&mut self, read: Result<Envelope, MalformedError>) {
        let Ok(Envelope { origin, to, namespace, message, .. }) = read else {
            self.counts.malformed = self.counts.malformed.saturating_add(1);
            return;
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
            message => self.serve(namespace, node, message),
        }
    }

    fn heard(&mut self, namespace: &Arc<str>, node: &Arc<str>) {
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

    /// A node that is gone has answered all that it ever will.
    fn peer_down(&mut self, namespace: &Arc<str>, node: &Arc<str>) {
        let Some(space) = self.spaces.get_mut(namespace) else { return };
        let Some(silent_at) = space.peers.remove(node) else { return };
        // Unless it was put off, and finds nobody then.
        self.timers.remove(&(silent_at, Timer::Peer(namespace.clone(), node.clone())));
        self.events.push_back(NodeEvent::PeerDown { namespace: namespace.clone(), node: node.clone() });
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

    /// An answer to a request of this node. One that is not open, not of that kind, or told before, changes nothing.
    fn answered(&mut self, node: Option<&Arc<str>>, message: Message) {
        let Some(&id) = message.answers().and_then(|token| self.tokens.get(token)) else { return };
        let max = self.config.max_answers;
        let Some(asked) = self.asks.get_mut(&id) else { return };
        let has_room = asked.outcome.answers.len().saturating_add(asked.outcome.sockets.len()) < max;
        match (asked.kind, message) {
            (Kind::Acks { .. }, Message::AckCount { sockets, .. }) => {
                if asked.is_first_of(node) {
                    asked.counted_acks = asked.counted_acks.saturating_add(sockets.into());
                    if let Some(node) = node {
                        let open = asked.open_acks.entry(node.clone()).or_default();
                        *open = open.saturating_add(sockets.into());
                    }
                }
            }
            (Kind::Acks { .. }, Message::Ack { args, .. }) if has_room => {
                asked.acks = asked.acks.saturating_add(1);
                if let (Some(node), Expects::Named(_)) = (node, &asked.expects) {
                    let open = asked.open_acks.entry(node.clone()).or_default();
                    *open = open.saturating_sub(1);
                }
                asked.outcome.answers.push(args);
            }
            (Kind::Sockets, Message::Sockets { sockets, .. }) => {
                if asked.is_first_of(node) {
                    let room = max.saturating_sub(asked.outcome.sockets.len());
                    if sockets.len() > room {
                        self.counts.refused = self.counts.refused.saturating_add(1);
                    }
                    asked.outcome.sockets.extend(sockets.into_iter().take(room));
                }
            }
            (Kind::ServerSide, Message::ServerSideAnswer { value, .. }) if has_room => {
                if asked.is_first_of(node) {
                    asked.outcome.answers.push(value);
                }
            }
            _ => {
                self.counts.refused = self.counts.refused.saturating_add(1);
                return;
            }
        }
        self.finish_if_complete(id);
    }

    fn finish_if_complete(&mut self, id: AskId) {
        if self.asks.get(&id).is_some_and(Asked::is_complete) {
            self.finish(id);
        }
    }

    /// Ends a request, with what came and what is missing.
    fn finish(&mut self, id: AskId) {
        let Some(mut asked) = self.asks.remove(&id) else { return };
        self.tokens.remove(&asked.token);
        self.timers.remove(&(asked.deadline, Timer::Ask(id)));
        let outcome = &mut asked.outcome;
        let gone = outcome.missing_nodes.unwrap_or(0);
        outcome.missing_nodes = match &asked.expects {
            Expects::Named(nodes) => {
                Some(gone.saturating_add(u32::try_from(nodes.len()).unwrap_or(u32::MAX)))
            }
            Expects::Counted(Some(nodes)) => Some(nodes.saturating_sub(asked.answered)),
            Expects::Counted(None) | Expects::Unknown => None,
        };
        let open = asked.counted_acks.saturating_sub(asked.acks);
        outcome.missing_acks = outcome.missing_acks.saturating_add(u32::try_from(open).unwrap_or(u32::MAX));
        self.events.push_back(NodeEvent::Done { ask: id, outcome: asked.outcome });
    }

    /// A peer's command or request.
    fn serve(&mut self, namespace: Arc<str>, asker: Option<Arc<str>>, message: Message) {
        let (request, kind, timeout) = match &message {
            Message::Emit { ack: Some(ack), .. } => {
                (Some(&ack.request), Kind::Acks { single: ack.single }, ack.timeout)
            }
            Message::ServerSideEmit { request, .. } => (request.as_ref(), Kind::ServerSide, None),
            Message::FetchSockets { request, .. }
            | Message::FetchIds { request, .. }
            | Message::FetchRooms { request } => (Some(request), Kind::Sockets, None),
            _ => (None, Kind::Nodes, None),
        };
        let mut serving = None;
        if let (Some(request), Some(asker)) = (request, asker) {
            if self.servings.len() >= self.config.max_servings {
                self.refuse(namespace, asker, message);
                return;
            }
            self.last_serving = self.last_serving.saturating_add(1);
            let id = ServingId(self.last_serving);
            let timeout = timeout.unwrap_or(self.config.answer_timeout).min(self.config.max_answer_timeout);
            let deadline = self.now + timeout;
            let served = Serving {
                namespace: namespace.clone(),
                deadline,
                request: request.clone(),
                asker,
                kind,
                expected: None,
                acked: 0,
            };
            self.servings.insert(id, served);
            self.timers.insert((deadline, Timer::Serving(id)));
            serving = Some(id);
        }
        self.events.push_back(NodeEvent::Message { namespace, message, serving });
    }

    /// There are too many requests of peers. The asker is told that there is nothing here, or it would wait; an event
    /// is delivered, but its acknowledgements are not passed on.
    fn refuse(&mut self, namespace: Arc<str>, asker: Arc<str>, message: Message) {
        self.counts.refused = self.counts.refused.saturating_add(1);
        let answer = match &message {
            Message::Emit { ack: Some(ack), .. } => {
                Some(Message::AckCount { request: ack.request.clone(), sockets: 0 })
            }
            Message::FetchSockets { request, .. } => {
                Some(Message::Sockets { request: request.clone(), sockets: Vec::new() })
            }
            Message::FetchIds { request, .. } => {
                Some(Message::SocketIds { request: request.clone(), ids: Vec::new() })
            }
            Message::FetchRooms { request } => {
                Some(Message::Rooms { request: request.clone(), rooms: Vec::new() })
            }
            _ => None,
        };
        if let Some(answer) = answer {
            let _ = self.publish(&namespace, Some(asker), answer);
        }
        if let Message::Emit { .. } = message {
            self.events.push_back(NodeEvent::Message { namespace, message, serving: None });
        }
    }
}

/// A name of a node or of a request, as long as the peers' are.
fn token(dialect: &Dialect, random: &mut Random) -> String {
    match dialect {
        Dialect::Classic(_) => random.id().chars().take(6).collect(),
        _ => format!("{:016x}", random.u64()),
    }
}

impl Asked {
    /// Whether this is the first answer of a node, as far as it can be told.
    fn is_first_of(&mut self, node: Option<&Arc<str>>) -> bool {
        match (&mut self.expects, node) {
            (Expects::Named(nodes), Some(node)) => nodes.remove(node),
            (Expects::Named(_), None) => false,
            (Expects::Counted(_) | Expects::Unknown, _) => {
                self.answered = self.answered.saturating_add(1);
                true
            }
        }
    }

    fn is_complete(&self) -> bool {
        let is_answered = match &self.expects {
            Expects::Named(nodes) => nodes.is_empty(),
            Expects::Counted(Some(nodes)) => self.answered >= *nodes,
            Expects::Counted(None) | Expects::Unknown => false,
        };
        match self.kind {
            Kind::Acks { single: true } if self.acks > 0 => true,
            Kind::Acks { .. } => is_answered && self.acks >= self.counted_acks,
            Kind::Sockets | Kind::ServerSide | Kind::Nodes => is_answered,
        }
    }
}
