//! Nodes on a bus in memory, with sockets, faults and a clock.

use bytes::Bytes;
use sansocket_protocol::cluster::node::{
    Answer, Ask, AskId, Dialect, Node, NodeConfig, NodeEvent, NodeTransmit, Outcome, ServingId,
};
use sansocket_protocol::cluster::{
    Envelope, Event, Message, Postgres, Published, RemoteSocket, Subscription, Values,
};
use sansocket_protocol::hub::{Hub, HubLimits, Target};
use sansocket_protocol::random::Random;
use sansocket_protocol::time::Instant;
use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

/// One process: a node, its sockets, and what they got.
pub(crate) struct Process {
    pub(crate) node: Node,
    pub(crate) hub: Hub<String>,
    /// Each delivery, as `socket event`.
    pub(crate) got: Vec<String>,
    pub(crate) done: BTreeMap<AskId, Outcome>,
    pub(crate) told: Vec<NodeEvent>,
    pub(crate) subscriptions: Vec<Subscription>,
    /// Events whose acknowledgements are still to be given.
    unanswered: Vec<(ServingId, Vec<String>)>,
    /// Whether its sockets acknowledge an event at once.
    pub(crate) acks: bool,
    /// Events that they have not acknowledged.
    late: Vec<(ServingId, Vec<String>)>,
    /// Nothing goes in or out.
    pub(crate) is_cut: bool,
    pub(crate) is_dead: bool,
}

/// A socket's id as long as they are: by their length peers know them from rooms.
pub(crate) fn id(name: &str) -> String {
    format!("{name:.<20}")
}

fn name(id: &str) -> &str {
    id.trim_end_matches('.')
}

/// A message on its way.
enum Flight {
    Message(Published),
    Row(String, Bytes),
    Entry(Vec<(&'static str, String)>),
    Count(AskId, u32),
    Inserted(Box<Envelope>, u64),
}

pub(crate) struct World {
    pub(crate) now: Instant,
    pub(crate) processes: Vec<Process>,
    in_flight: VecDeque<(usize, Flight)>,
    rows: BTreeMap<u64, Bytes>,
    /// Every message arrives twice.
    pub(crate) duplicates: bool,
    /// Everything that was published, in order.
    pub(crate) log: Vec<Published>,
}

impl World {
    /// So many nodes of a dialect, each with two sockets: `a0` and `b0`, `a1` and `b1`, of which `a` are in room `r`.
    pub(crate) fn new(nodes: usize, dialect: &Dialect) -> Self {
        Self::with(nodes, dialect, NodeConfig::default())
    }

    pub(crate) fn with(nodes: usize, dialect: &Dialect, config: NodeConfig) -> Self {
        Self::mixed(&vec![dialect.clone(); nodes], config)
    }

    /// One node of each of these dialects, on one bus.
    pub(crate) fn mixed(dialects: &[Dialect], config: NodeConfig) -> Self {
        let mut world = Self {
            now: Instant::ZERO,
            processes: Vec::new(),
            in_flight: VecDeque::new(),
            rows: BTreeMap::new(),
            duplicates: false,
            log: Vec::new(),
        };
        for (number, dialect) in dialects.iter().enumerate() {
            let mut node = Node::new(config.clone(), dialect.clone(), Random::new([number as u8; 32]));
            node.open(world.now, "/");
            let mut hub = Hub::new(HubLimits::default());
            for name in ["a", "b"] {
                let id = id(&format!("{name}{number}"));
                let key = hub.insert(id.as_str().into(), id).unwrap();
                if name == "a" {
                    hub.join(key, "r").unwrap();
                }
            }
            node.room_began("/", "r");
            node.handle_bus_up(world.now);
            world.processes.push(Process::new(node, hub));
        }
        world.settle();
        world
    }

    /// A process without sockets that only writes.
    pub(crate) fn add_emitter(&mut self, dialect: &Dialect) {
        let mut node = Node::emitter(NodeConfig::default(), dialect.clone(), Random::new([99; 32]));
        node.handle_bus_up(self.now);
        self.processes.push(Process::new(node, Hub::new(HubLimits::default())));
    }

    /// Does all that can be done without time.
    pub(crate) fn settle(&mut self) {
        loop {
            for at in 0..self.processes.len() {
                self.events(at);
                self.transmit(at);
                assert_eq!(self.processes[at].node.inconsistency(), None);
            }
            let Some((at, flight)) = self.in_flight.pop_front() else {
                let is_idle = |process: &mut Process| process.unanswered.is_empty();
                if self.processes.iter_mut().all(is_idle) {
                    break;
                }
                continue;
            };
            let (now, process) = (self.now, &mut self.processes[at]);
            if process.is_dead || process.is_cut {
                continue;
            }
            match flight {
                Flight::Message(one) => {
                    process.node.handle_message(now, &one.channel, &one.payload);
                    if self.duplicates {
                        process.node.handle_message(now, &one.channel, &one.payload);
                    }
                }
                Flight::Row(channel, payload) => process.node.handle_row(now, &channel, &payload),
                Flight::Entry(fields) => {
                    let fields = fields.iter().map(|(name, value)| (name.as_bytes(), value.as_bytes()));
                    process.node.handle_entry(now, "", fields);
                }
                Flight::Count(ask, subscribers) => process.node.handle_count(now, ask, Some(subscribers)),
                Flight::Inserted(envelope, row) => process.node.handle_inserted(now, &envelope, row),
            }
        }
    }

    /// Goes from deadline to deadline, as far as the time lasts.
    pub(crate) fn pass(&mut self, time: Duration) {
        let end = self.now + time;
        for _ in 0..100_000 {
            self.settle();
            let living = self.processes.iter().filter(|process| !process.is_dead);
            let next = living.filter_map(|process| process.node.poll_timeout()).min();
            let next = next.filter(|next| *next <= end).unwrap_or(end);
            self.now = self.now.max(next);
            for process in self.processes.iter_mut().filter(|process| !process.is_dead) {
                process.node.handle_timeout(self.now);
                let next = process.node.poll_timeout();
                assert!(next.is_none_or(|next| next > self.now), "a deadline in the past");
            }
            self.settle();
            if self.now == end {
                return;
            }
        }
        panic!("time does not pass");
    }

    fn transmit(&mut self, at: usize) {
        while let Some(transmit) = self.processes[at].node.poll_transmit() {
            let process = &mut self.processes[at];
            if process.is_dead || process.is_cut {
                continue;
            }
            match transmit {
                NodeTransmit::Subscribe(subscription) => {
                    if !process.subscriptions.contains(&subscription) {
                        process.subscriptions.push(subscription);
                    }
                }
                NodeTransmit::Unsubscribe(subscription) => {
                    process.subscriptions.retain(|other| *other != subscription);
                }
                NodeTransmit::Publish(published) => self.publish(published),
                NodeTransmit::Count { channel, ask } => {
                    let hears = |process: &&Process| {
                        !process.is_dead && process.subscriptions.iter().any(|one| is_channel(one, &channel))
                    };
                    let count = self.processes.iter().filter(hears).count() as u32;
                    self.in_flight.push_back((at, Flight::Count(ask, count)));
                }
                NodeTransmit::Append { stream, fields, .. } => {
                    let stream = Subscription::Stream(stream);
                    for (at, process) in self.processes.iter().enumerate() {
                        if process.subscriptions.contains(&stream) {
                            self.in_flight.push_back((at, Flight::Entry(fields.clone())));
                        }
                    }
                }
                NodeTransmit::Insert { payload, envelope } => {
                    let row = self.rows.len() as u64 + 1;
                    self.rows.insert(row, payload);
                    self.in_flight.push_back((at, Flight::Inserted(envelope, row)));
                }
                NodeTransmit::Select { channel, row } => {
                    let payload = self.rows[&row.parse().unwrap()].clone();
                    self.in_flight.push_back((at, Flight::Row(channel, payload)));
                }
                other => panic!("{other:?}"),
            }
        }
    }

    /// The acts that anybody on the bus may do.
    pub(crate) fn publish(&mut self, published: Published) {
        for (at, process) in self.processes.iter().enumerate() {
            // Once for each subscription that fits, as in Redis.
            let fits = |one: &&Subscription| match one {
                Subscription::Channel(channel) => *channel == published.channel,
                Subscription::Pattern(pattern) => {
                    published.channel.starts_with(pattern.trim_end_matches('*'))
                }
                Subscription::Stream(_) => false,
            };
            for _ in process.subscriptions.iter().filter(fits) {
                self.in_flight.push_back((at, Flight::Message(published.clone())));
            }
        }
        self.log.push(published);
    }

    fn events(&mut self, at: usize) {
        let now = self.now;
        let process = &mut self.processes[at];
        for (serving, sockets) in std::mem::take(&mut process.unanswered) {
            for socket in sockets {
                let ack = Answer::Ack(Values::new(&format!("ack-{}", name(&socket))).unwrap());
                process.node.answer(now, serving, ack);
            }
        }
        while let Some(event) = process.node.poll_event() {
            match event {
                NodeEvent::Message { message, serving, .. } => process.apply(now, message, serving),
                NodeEvent::Done { ask, outcome } => {
                    assert!(process.done.insert(ask, outcome).is_none(), "{ask:?} ended twice");
                }
                other => process.told.push(other),
            }
        }
    }

    /// Sends as an application does: local first.
    pub(crate) fn send(&mut self, at: usize, message: Message) -> bool {
        let now = self.now;
        let process = &mut self.processes[at];
        process.apply(now, message.clone(), None);
        process.node.send(now, "/", message).unwrap()
    }

    pub(crate) fn emit(&mut self, at: usize, name: &str, target: Target) -> bool {
        self.send(at, Message::Emit { event: Event::new(name, &()).unwrap(), target, ack: None })
    }

    pub(crate) fn ask(&mut self, at: usize, ask: Ask) -> AskId {
        let now = self.now;
        self.processes[at].node.ask(now, "/", ask, Duration::from_secs(5)).unwrap()
    }

    /// Lets the sockets of a process acknowledge what they have not acknowledged before.
    pub(crate) fn acknowledge(&mut self, at: usize) {
        let process = &mut self.processes[at];
        process.unanswered.append(&mut process.late);
        self.settle();
    }

    /// Takes all that the sockets got, sorted.
    pub(crate) fn got(&mut self) -> Vec<String> {
        let mut all: Vec<String> =
            self.processes.iter_mut().flat_map(|process| process.got.drain(..)).collect();
        all.sort();
        all
    }

    pub(crate) fn bus(&mut self, is_up: bool) {
        let now = self.now;
        for process in &mut self.processes {
            if is_up {
                process.node.handle_bus_up(now);
            } else {
                process.subscriptions.clear();
                process.node.handle_bus_down(now);
            }
        }
        if !is_up {
            self.in_flight.clear();
        }
        self.settle();
    }
}

fn is_channel(subscription: &Subscription, channel: &str) -> bool {
    matches!(subscription, Subscription::Channel(own) if own == channel)
}

impl Process {
    fn new(node: Node, hub: Hub<String>) -> Self {
        Self {
            node,
            hub,
            got: Vec::new(),
            done: BTreeMap::new(),
            told: Vec::new(),
            subscriptions: Vec::new(),
            unanswered: Vec::new(),
            acks: true,
            late: Vec::new(),
            is_cut: false,
            is_dead: false,
        }
    }

    fn selected(&self, target: &Target) -> Vec<String> {
        let mut sockets = Vec::new();
        self.hub.select(target, |_, id| sockets.push(id.clone()));
        sockets
    }

    fn apply(&mut self, now: Instant, message: Message, serving: Option<ServingId>) {
        match message {
            Message::Emit { event, target, .. } => {
                let sockets = self.selected(&target);
                self.got.extend(sockets.iter().map(|id| format!("{} {}", name(id), event.name())));
                if let Some(serving) = serving {
                    self.node.answer(now, serving, Answer::Count(sockets.len() as u32));
                    if self.acks {
                        self.unanswered.push((serving, sockets));
                    } else {
                        self.late.push((serving, sockets));
                    }
                }
            }
            Message::Join { target, rooms } => {
                self.hub.join_all(&target, &rooms).unwrap();
            }
            Message::Leave { target, rooms } => {
                self.hub.leave_all_in(&target, &rooms);
            }
            Message::Disconnect { target, .. } => {
                for key in self.hub.keys(&target) {
                    self.hub.remove(key);
                }
            }
            Message::FetchSockets { target, .. } => {
                let socket = |id: String| RemoteSocket {
                    rooms: self.hub.rooms_of(self.hub.by_id(&id).unwrap().0),
                    id: id.into(),
                    handshake: Values::new(&()).unwrap(),
                    data: Values::new(&()).unwrap(),
                };
                let sockets = self.selected(&target).into_iter().map(socket).collect();
                self.node.answer(now, serving.unwrap(), Answer::Sockets(sockets));
            }
            Message::FetchRooms { .. } => {
                let rooms = self.hub.rooms().cloned().collect();
                self.node.answer(now, serving.unwrap(), Answer::Rooms(rooms));
            }
            Message::FetchIds { target, .. } => {
                let ids = self.selected(&target).into_iter().map(Into::into).collect();
                self.node.answer(now, serving.unwrap(), Answer::Ids(ids));
            }
            Message::ServerSideEmit { event, .. } => {
                self.got.push(format!("node {}", event.name()));
                if let Some(serving) = serving {
                    let value = Values::new(&event.name()).unwrap();
                    self.node.answer(now, serving, Answer::ServerSide(value));
                }
            }
            other => panic!("{other:?}"),
        }
    }
}

/// A dialect of each kind.
pub(crate) fn dialects() -> Vec<Dialect> {
    use sansocket_protocol::cluster::{Classic, Python, Sharded, Streams};
    vec![
        Dialect::Heartbeats(Sharded::default()),
        Dialect::Postgres(Postgres::default()),
        Dialect::Sharded(Sharded::default()),
        Dialect::Streams(Streams::default()),
        Dialect::Classic(Classic::default()),
        Dialect::Classic(Classic::default().with_specific_answers(true)),
        Dialect::Python(Python::default()),
    ]
}
