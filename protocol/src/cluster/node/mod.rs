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
//! * **Everything is bounded** by the [`NodeConfig`]. What does not fit is dropped and counted. Poll all
//!   events after each call: the machine holds as many as the calls since then have caused.
//!
//! The formats have limits of their own. Acknowledgements do not say which socket they are of, so a bus that delivers a
//! message twice may end a request early. Where nodes are counted, one that is dead but still counted is waited for
//! until the deadline. Where they are unknown, a request ends at its deadline, or at the first acknowledgement if one
//! is enough. A copy that a bridge made is delivered like an original, but by a [bridge](crate::cluster::Bridge), which
//! heard the original; a bridge knows nothing of Python's sockets and nodes beyond their acknowledgements.
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

mod addresses;
mod asking;
mod bridging;
mod config;
#[cfg(feature = "sim")]
mod consistency;
mod early;
mod encoding;
mod forwarding;
mod interface;
mod lookups;
mod members;
mod receiving;
mod sending;
mod serving;
mod sessions;

pub use config::{Dialect, Membership, NodeConfig};
pub use early::{Certainty, EarlyEvents, Reach};
pub use encoding::{Encoded, NodeEncoder};
pub use forwarding::{ForwardId, RequestName};
pub use interface::{
    Answer, Ask, AskError, AskId, LookupId, NodeCounts, NodeEvent, NodeTransmit, Outcome, ServingId,
};
pub use lookups::{FoundSession, LookupOutcome, LostReason};
pub use sessions::{EntryId, EntryIdError, StreamEntry};

use self::asking::{Asked, token};
use self::bridging::Bridging;
use self::forwarding::Forwarding;
use self::serving::Serving;
use self::sessions::Log;
use super::message::{Message, RequestId};
use super::{InexpressibleError, MalformedError, Subscription};
use crate::random::Random;
use crate::time::Instant;
use alloc::boxed::Box;
use alloc::collections::{BTreeMap, BTreeSet, VecDeque};
use alloc::format;
use alloc::sync::Arc;
use alloc::vec::Vec;

/// A node of a cluster. See the [module](self).
#[derive(Debug)]
pub struct Node {
    config: NodeConfig,
    dialect: Dialect,
    encoder: NodeEncoder,
    random: Random,
    /// The name of this node in all its namespaces, closed ones as well: what it sent there may still come back.
    name: Arc<str>,
    /// The latest time that was told.
    now: Instant,
    is_up: bool,
    down_since: Option<Instant>,
    /// It is told that the bus is away, or could not be reached at all so far.
    is_down_told: bool,
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
    /// The latest mistake, for whoever tells of it.
    malformed: Option<MalformedError>,
    /// It only writes.
    is_emitter: bool,
    /// Of a bridge.
    bridging: Option<Box<Bridging>>,
    /// Of a node that recovers connections.
    log: Option<Box<Log>>,
    /// Of a node that passes requests on.
    forwarding: Option<Box<Forwarding>>,
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Timer {
    Ask(AskId),
    Serving(ServingId),
    Beat(Arc<str>),
    Peer(Arc<str>, Arc<str>),
    /// The acknowledgements of Python's clients have had their time.
    Collect(AskId),
    Release(ServingId),
    Relay(RequestId),
    Bridge(Arc<str>),
    BridgeBeat,
    Ticket(u64),
    Lookup(LookupId),
    Forward(ForwardId),
    Request(RequestName),
}

/// One namespace.
#[derive(Debug)]
struct Space {
    /// When to say that it lives, unless something else is sent before.
    beat_at: Instant,
    /// When it last said so in so many words.
    beaten_at: Instant,
    /// The peers, and when each is silent for too long.
    peers: BTreeMap<Arc<str>, Instant>,
    /// The rooms of this node that have a channel of their own.
    rooms: BTreeSet<Arc<str>>,
}

impl Node {
    /// A node without namespaces, whose bus is away.
    pub fn new(config: NodeConfig, dialect: Dialect, mut random: Random) -> Self {
        let name = match dialect {
            Dialect::Python(_) | Dialect::Bridge(_) => format!("{:016x}{:016x}", random.u64(), random.u64()),
            _ => token(&dialect, &mut random),
        };
        let name: Arc<str> = name.into();
        let bridging = matches!(dialect, Dialect::Bridge(_)).then(Box::default);
        let log = (config.recovers && matches!(dialect, Dialect::Streams(_))).then(Box::default);
        let forwarding = config.forwards.then(|| Forwarding::new(&dialect, &name)).flatten().map(Box::new);
        Self {
            encoder: NodeEncoder::new(dialect.clone(), config.limits, name.clone(), false),
            config,
            dialect,
            random,
            name,
            now: Instant::ZERO,
            is_up: false,
            down_since: None,
            is_down_told: false,
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
            malformed: None,
            is_emitter: false,
            bridging,
            log,
            forwarding,
        }
    }

    /// A process without a server, which only [sends](Self::send): in every namespace, without opening it. It subscribes
    /// to nothing, is no member, and answers nothing, so the other nodes neither count it nor wait for it. In
    /// JavaScript's formats it goes by the name of their emitters; Python's do not tell such a process from a node.
    ///
    /// It takes no part in namespaces: [`open`](Self::open) has no effect, and what others are asked is refused. Speaking
    /// a [`Bridge`](crate::cluster::Bridge), it publishes to both families itself, and no bridge copies it.
    ///
    /// ```
    /// use sansocket_protocol::cluster::node::{Dialect, Node, NodeConfig, NodeTransmit};
    /// use sansocket_protocol::cluster::{Classic, Event, Message};
    /// use sansocket_protocol::hub::Target;
    /// use sansocket_protocol::random::Random;
    /// use sansocket_protocol::time::Instant;
    ///
    /// let dialect = Dialect::Classic(Classic::default());
    /// let mut emitter = Node::emitter(NodeConfig::default(), dialect, Random::new([1; 32]));
    /// emitter.handle_bus_up(Instant::ZERO);
    /// let event = Event::new("said", &"hello").unwrap();
    /// emitter.send(Instant::ZERO, "/", Message::Emit { event, target: Target::all(), ack: None })?;
    /// let Some(NodeTransmit::Publish(published)) = emitter.poll_transmit() else { panic!() };
    /// assert_eq!(published.channel, "socket.io#/#");
    /// # Ok::<(), sansocket_protocol::cluster::InexpressibleError>(())
    /// ```
    pub fn emitter(config: NodeConfig, dialect: Dialect, random: Random) -> Self {
        let node = Self::new(config, dialect, random);
        let encoder = NodeEncoder::new(node.dialect.clone(), node.config.limits, node.name.clone(), true);
        Self { is_emitter: true, encoder, forwarding: None, ..node }
    }

    /// The reason why the latest payload could not be read, once.
    pub fn take_malformed(&mut self) -> Option<MalformedError> {
        self.malformed.take()
    }

    // --- getters -----------------------------------------------------------------------------------------------------

    /// Returns what is known of the other nodes of a namespace.
    pub fn membership(&self, namespace: &str) -> Membership {
        match self.dialect.membership() {
            Membership::Heard { .. } => {
                Membership::Heard { nodes: self.spaces.get(namespace).map_or(0, |space| space.peers.len()) }
            }
            other => other,
        }
    }

    /// The other nodes that are members: their namespaces, and their names there. Only where nodes say that they live.
    pub fn peers(&self) -> impl Iterator<Item = (&Arc<str>, &Arc<str>)> {
        self.spaces
            .iter()
            .flat_map(|(namespace, space)| space.peers.keys().map(move |node| (namespace, node)))
    }

    /// Returns whether the bus is there.
    pub fn is_on_bus(&self) -> bool {
        self.is_up
    }

    /// The name by which the others know this node.
    pub fn name(&self) -> &Arc<str> {
        &self.name
    }

    /// Returns the counts of the node so far, and of what it holds now.
    pub fn counts(&self) -> NodeCounts {
        let peers = self.spaces.values().fold(0usize, |sum, space| sum.saturating_add(space.peers.len()));
        let (forwards, forwarded_here) =
            self.forwarding.as_ref().map_or((0, 0), |forwarding| forwarding.counts());
        NodeCounts {
            forwards,
            forwarded_here,
            asks: self.asks.len(),
            servings: self.servings.len(),
            peers,
            waiting_bytes: self.waiting_bytes,
            ..self.counts
        }
    }

    /// Returns whether [`poll_transmit`](Self::poll_transmit) has something.
    pub fn has_transmits(&self) -> bool {
        !self.transmits.is_empty()
    }

    /// Returns the item that [`poll_transmit`](Self::poll_transmit) would return, without taking it.
    pub fn next_transmit(&self) -> Option<&NodeTransmit> {
        self.transmits.front()
    }

    /// Returns whether [`poll_event`](Self::poll_event) has something.
    pub fn has_events(&self) -> bool {
        !self.events.is_empty()
    }

    /// Returns the number of open requests: of this node, and of others.
    pub fn open_requests(&self) -> (usize, usize) {
        (self.asks.len(), self.servings.len())
    }

    // --- commands ----------------------------------------------------------------------------------------------------

    /// Takes part in a namespace. A second time has no effect.
    pub fn open(&mut self, now: Instant, namespace: &str) {
        let now = self.tick(now);
        if self.is_emitter || self.spaces.contains_key(namespace) {
            return;
        }
        let namespace: Arc<str> = namespace.into();
        let space = Space { beat_at: now, beaten_at: now, peers: BTreeMap::new(), rooms: BTreeSet::new() };
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
        let servings: Vec<ServingId> = self
            .servings
            .iter()
            .filter(|(_, served)| *served.namespace == *namespace)
            .map(|(id, _)| *id)
            .collect();
        servings.into_iter().for_each(|id| self.end_serving(id));
        self.bridge_close(namespace);
        self.end_forwards_in(namespace);
        let Some(space) = self.spaces.remove(namespace) else { return };
        self.timers.retain(|(_, timer)| match timer {
            Timer::Beat(of) | Timer::Peer(of, _) => **of != *namespace,
            _ => true,
        });
        if self.spaces.is_empty() {
            self.bridge_end();
        }
        if self.is_up {
            let rooms = space.rooms.iter().filter_map(|room| self.dialect.room_channel(namespace, room));
            let rooms: Vec<_> = rooms.map(Subscription::Channel).collect();
            let others = rooms.into_iter().chain(self.forward_subscription(namespace));
            for subscription in self.dialect.subscriptions(namespace, &self.name).into_iter().chain(others) {
                if self.dialect.is_shared(&subscription) && !self.spaces.is_empty() {
                    continue;
                }
                self.transmits.push_back(NodeTransmit::Unsubscribe(subscription));
            }
        }
    }

    /// Tells the others of a command that this node has applied to its own sockets: an emit without
    /// acknowledgements, a join, a leave, a disconnect, or a server-side emit without answers. False if it was not
    /// published: it is for this node alone, or the bus is away. To do most of the work without the node, see
    /// [`NodeEncoder`].
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
        match &message {
            Message::Emit { target, ack: None, .. }
            | Message::Join { target, .. }
            | Message::Leave { target, .. }
            | Message::Disconnect { target, .. }
                if target.flags.local =>
            {
                return Ok(false);
            }
            _ => {}
        }
        let encoded = self.encoder.encode(&namespace.into(), message)?;
        Ok(self.send_encoded(now, encoded))
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
        self.is_down_told = false;
        let gap = self.down_since.take().map(|since| now - since);
        self.events.push_back(NodeEvent::BusUp { gap });
        let namespaces: Vec<Arc<str>> = self.spaces.keys().cloned().collect();
        for namespace in namespaces {
            self.join_bus(&namespace);
        }
    }

    /// The driver has lost its connection, or could not connect, which is told once. What it has not taken yet is
    /// dropped. Requests that nodes answer at once end with what came, for the rest is lost; those for acknowledgements,
    /// which clients send when they like, go on until their deadlines.
    pub fn handle_bus_down(&mut self, now: Instant) {
        let now = self.tick(now);
        if !self.is_down_told {
            self.is_down_told = true;
            self.events.push_back(NodeEvent::BusDown);
        }
        if !self.is_up {
            return;
        }
        self.is_up = false;
        self.bridge_end();
        self.down_since = Some(now);
        let lost = |transmit: &NodeTransmit| {
            matches!(
                transmit,
                NodeTransmit::Publish(_) | NodeTransmit::Append { .. } | NodeTransmit::Insert { .. }
            )
        };
        let lost = self.transmits.iter().filter(|transmit| lost(transmit)).count();
        self.counts.dropped = self.counts.dropped.saturating_add(lost as u64);
        self.transmits.clear();
        self.waiting_bytes = 0;
        self.finish_lists();
        self.end_log();
        self.end_forwards();
    }

    /// The bus has refused something that was published: it may have been what the others were to hear of this node, which
    /// says that it lives when it would have without it.
    pub fn handle_refused(&mut self, now: Instant) {
        self.tick(now);
        if !self.is_up || !self.dialect.is_heard() {
            return;
        }
        for (namespace, space) in &mut self.spaces {
            let at = space.beaten_at + self.config.heartbeat_interval;
            if at < space.beat_at {
                space.beat_at = at;
                self.timers.insert((at, Timer::Beat(namespace.clone())));
            }
        }
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
                Timer::Serving(id) => self.end_serving(id),
                Timer::Beat(namespace) => self.beat(now, namespace),
                Timer::Collect(id) => self.collected(id),
                Timer::Release(id) => self.release(id),
                Timer::Relay(token) => self.relay_over(&token),
                Timer::Bridge(node) => self.bridge_silent(node),
                Timer::BridgeBeat => self.bridge_beat(),
                Timer::Ticket(ticket) => self.unlogged(ticket, true),
                Timer::Forward(id) => self.forward_overdue(id),
                Timer::Request(name) => self.request_due(name),
                Timer::Lookup(id) => self.lookup_overdue(id),
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
        self.waiting_bytes = self.waiting_bytes.saturating_sub(transmit.bytes());
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
}
