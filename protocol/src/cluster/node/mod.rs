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

mod config;
mod interface;
mod receiving;
mod sending;

pub use config::{Dialect, Membership, NodeConfig};
pub use interface::{Answer, Ask, AskError, AskId, NodeCounts, NodeEvent, NodeTransmit, Outcome, ServingId};

use super::adapter::Notification;
use super::message::{AckRequest, Envelope, Message, Origin, RequestId};
use super::{InexpressibleError, Python, Subscription};
use crate::random::Random;
use crate::time::Instant;
use alloc::collections::{BTreeMap, BTreeSet, VecDeque};
use alloc::format;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use bytes::Bytes;
use core::time::Duration;

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

    /// Whether [`poll_transmit`](Self::poll_transmit) has something.
    pub fn has_transmits(&self) -> bool {
        !self.transmits.is_empty()
    }

    /// Whether [`poll_event`](Self::poll_event) has something.
    pub fn has_events(&self) -> bool {
        !self.events.is_empty()
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
        if self.is_up {
            let rooms = space.rooms.iter().filter_map(|room| self.dialect.room_channel(namespace, room));
            let rooms: Vec<_> = rooms.map(Subscription::Channel).collect();
            for subscription in self.dialect.subscriptions(namespace, &self.name).into_iter().chain(rooms) {
                if self.dialect.is_shared(&subscription) && !self.spaces.is_empty() {
                    continue;
                }
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
    /// [`AskError`]. Then there is no such event.
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
            matches!(
                transmit,
                NodeTransmit::Publish(_) | NodeTransmit::Append { .. } | NodeTransmit::Insert { .. }
            )
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
            Dialect::Streams(streams) => streams.decode(channel, payload, limits),
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

    /// An entry came on the stream, with its fields in any order.
    pub fn handle_entry<'a>(&mut self, now: Instant, fields: impl IntoIterator<Item = (&'a [u8], &'a [u8])>) {
        self.tick(now);
        if let Dialect::Streams(streams) = &self.dialect {
            let read = streams.decode_entry(fields, &self.config.limits);
            self.take(read);
        }
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
            NodeTransmit::Append { fields, .. } => {
                fields.iter().fold(0usize, |sum, (_, value)| sum.saturating_add(value.len()))
            }
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
}

/// A name of a node or of a request, as long as the peers' are.
fn token(dialect: &Dialect, random: &mut Random) -> String {
    match dialect {
        Dialect::Classic(_) => random.id().chars().take(6).collect(),
        _ => format!("{:016x}", random.u64()),
    }
}
