//! A member of the cluster: a program with its sockets, of this crate or of another implementation.

use super::bus::{Bus, Command, Delivery, Flight, Who};
use super::judge::Judge;
use super::peer::Peer;
use super::story::{Kind, Speech};
use crate::cluster::node::{Answer, Ask, Dialect, Node, NodeConfig, NodeEvent, NodeTransmit, ServingId};
use crate::cluster::{
    Bridge, Classic, Event, Message, Postgres, Python, RemoteSocket, RequestId, Sharded, Streams,
    Subscription, Values,
};
use crate::hub::{Hub, HubLimits, Target};
use crate::random::Random;
use crate::time::Instant;
use alloc::boxed::Box;
use alloc::collections::BTreeSet;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::time::Duration;

/// The rooms that sockets are in from the beginning, and those that they join and leave.
pub(super) const ROOMS: [&str; 4] = ["r0", "r1", "d0", "d1"];

/// The time that requests wait.
pub(super) const TIMEOUT: Duration = Duration::from_secs(5);

/// The time that a poll which is passed on waits, once it is taken.
pub(super) const FORWARDED: Duration = Duration::from_secs(45);

/// Of whom an acknowledgement is wanted.
#[derive(Clone, Debug)]
pub(super) enum Asker {
    Ours(ServingId),
    /// By a peer of that name, with that token.
    Peer(RequestId, Arc<str>),
}

pub(super) enum Machine {
    Ours(Box<Node>),
    Peer(Box<Peer>),
    /// The process does not run.
    Gone,
}

pub(super) struct Member {
    pub(super) kind: Kind,
    pub(super) machine: Machine,
    pub(super) hub: Hub<String>,
    /// The number of processes that it has been.
    pub(super) life: u64,
    /// Of the rooms, those that it has sockets in.
    began: BTreeSet<&'static str>,
    /// News of requests that are passed on.
    pub(super) forwards: Vec<NodeEvent>,
}

/// A socket's id, as long as ids are.
pub(super) fn socket_id(member: usize, life: u64, socket: u8) -> String {
    let name = format!("{}{member}.{life}", ['a', 'b', 'c'][usize::from(socket % 3)]);
    format!("{name:.<20}")
}

fn dialect(speech: Speech) -> Dialect {
    match speech {
        Speech::Heartbeats => Dialect::Heartbeats(Sharded::default()),
        Speech::Postgres => Dialect::Postgres(Postgres::default()),
        Speech::Sharded => Dialect::Sharded(Sharded::default()),
        Speech::Streams => Dialect::Streams(Streams::default()),
        Speech::Classic => Dialect::Classic(Classic::default()),
        Speech::Python => Dialect::Python(Python::default()),
        Speech::Bridge => Dialect::Bridge(Bridge::default()),
    }
}

impl Member {
    pub(super) fn new(kind: Kind) -> Self {
        let hub = Hub::new(HubLimits::default());
        Self { kind, machine: Machine::Gone, hub, life: 0, began: BTreeSet::new(), forwards: Vec::new() }
    }

    /// The program starts, and its clients are there.
    pub(super) fn start(&mut self, now: Instant, at: usize, bus: &mut Bus, judge: &mut Judge) {
        self.life += 1;
        self.hub = Hub::new(HubLimits::default());
        self.began.clear();
        self.forwards.clear();
        for socket in 0..3u8 {
            let id = socket_id(at, self.life, socket);
            let Ok(key) = self.hub.insert(id.as_str().into(), id) else { continue };
            // Everybody's `a` is in both, and `b` of every other member in the second.
            if socket == 0 {
                let _ = self.hub.join(key, "r0");
            }
            if socket == 0 || (socket == 1 && at % 2 == 0) {
                let _ = self.hub.join(key, "r1");
            }
        }
        let random = Random::new(bus.dice.key());
        match self.kind {
            Kind::Ours(speech) => {
                // A request that a node sent before its bus went is held by the other that long; sessions have pings by then.
                let config = NodeConfig::default().with_forwards(true).with_forward_timeout(FORWARDED);
                let mut node = Node::new(config, dialect(speech), random);
                node.open(now, "/");
                self.machine = Machine::Ours(Box::new(node));
            }
            kind => self.machine = Machine::Peer(Box::new(Peer::new(kind, random))),
        }
        self.rooms(at, now, bus);
        self.connect(now, at, bus, judge);
    }

    /// The bus is there.
    pub(super) fn connect(&mut self, now: Instant, at: usize, bus: &mut Bus, judge: &mut Judge) {
        match &mut self.machine {
            Machine::Ours(node) => node.handle_bus_up(now),
            Machine::Peer(peer) => {
                for name in peer.subscriptions() {
                    bus.send(now, at, Command::Subscribe(name));
                }
                for room in &self.began {
                    if let Some(channel) = peer.room_channel(room) {
                        bus.send(now, at, Command::Subscribe(channel));
                    }
                }
            }
            Machine::Gone => {}
        }
        self.pump(now, at, bus, judge);
    }

    /// The driver has found out that the bus is gone.
    pub(super) fn disconnect(&mut self, now: Instant, at: usize, bus: &mut Bus, judge: &mut Judge) {
        if let Machine::Ours(node) = &mut self.machine {
            node.handle_bus_down(now);
        }
        self.pump(now, at, bus, judge);
    }

    /// The ids of a target's sockets.
    pub(super) fn selected(&self, target: &Target) -> Vec<String> {
        let mut sockets = Vec::new();
        self.hub.select(target, |_, id| sockets.push(id.clone()));
        sockets
    }

    /// Tells the machine which rooms have begun and ended.
    fn rooms(&mut self, at: usize, now: Instant, bus: &mut Bus) {
        for room in ROOMS {
            let has = self.hub.members(room).next().is_some();
            let had = self.began.contains(room);
            if has == had {
                continue;
            }
            if has {
                self.began.insert(room);
            } else {
                self.began.remove(room);
            }
            match &mut self.machine {
                Machine::Ours(node) if has => node.room_began("/", room),
                Machine::Ours(node) => node.room_ended("/", room),
                Machine::Peer(peer) => {
                    if let Some(channel) = peer.room_channel(room) {
                        let command =
                            if has { Command::Subscribe(channel) } else { Command::Unsubscribe(channel) };
                        bus.send(now, at, command);
                    }
                }
                Machine::Gone => {}
            }
        }
    }

    /// Applies a command to this member's own sockets. Gives back the sockets that an event reached.
    pub(super) fn apply(
        &mut self,
        now: Instant,
        at: usize,
        message: &Message,
        bus: &mut Bus,
        judge: &mut Judge,
    ) -> Vec<String> {
        match message {
            Message::Emit { event, target, .. } => {
                let sockets = self.selected(target);
                sockets.iter().for_each(|id| judge.delivered(now, at, id, &event.name()));
                return sockets;
            }
            Message::Join { target, rooms } => {
                let _ = self.hub.join_all(target, rooms);
            }
            Message::Leave { target, rooms } => {
                self.hub.leave_all_in(target, rooms);
            }
            _ => {}
        }
        self.rooms(at, now, bus);
        Vec::new()
    }

    pub(super) fn remote_sockets(&self) -> Vec<RemoteSocket> {
        let nothing = Values::new(&()).expect("nothing is JSON");
        let socket = |id: String| RemoteSocket {
            rooms: self.hub.by_id(&id).map(|(key, _)| self.hub.rooms_of(key)).unwrap_or_default(),
            id: id.into(),
            handshake: nothing.clone(),
            data: nothing.clone(),
        };
        self.selected(&Target::all()).into_iter().map(socket).collect()
    }

    /// Something has come from the bus.
    pub(super) fn take(
        &mut self,
        now: Instant,
        at: usize,
        delivery: Delivery,
        bus: &mut Bus,
        judge: &mut Judge,
    ) {
        match (&mut self.machine, delivery) {
            (Machine::Ours(node), Delivery::Message(one)) => {
                if one.payload.windows(8).any(|part| part == b"garbage!") {
                    judge.garbage(at, self.life);
                }
                node.handle_message(now, &one.channel, &one.payload);
            }
            (Machine::Ours(node), Delivery::Entry(fields)) => {
                let fields = fields.iter().map(|(name, value)| (name.as_bytes(), value.as_bytes()));
                node.handle_entry(now, "", fields);
            }
            (Machine::Ours(node), Delivery::Count(Who::Ours(ask), count)) => {
                node.handle_count(now, ask, Some(count));
            }
            (Machine::Ours(node), Delivery::Row(channel, payload)) => {
                node.handle_row(now, &channel, &payload);
            }
            (Machine::Ours(node), Delivery::Inserted(envelope, row)) => {
                node.handle_inserted(now, &envelope, row);
            }
            (Machine::Peer(_), delivery) => self.peer_take(now, at, delivery, bus, judge),
            (Machine::Ours(_) | Machine::Gone, _) => {}
        }
        self.pump(now, at, bus, judge);
    }

    /// Does the work that a driver and a runtime do at once.
    pub(super) fn pump(&mut self, now: Instant, at: usize, bus: &mut Bus, judge: &mut Judge) {
        for step in 0.. {
            assert!(step < 10_000, "work at one instant has no end");
            let Machine::Ours(node) = &mut self.machine else { return };
            if let Some(event) = node.poll_event() {
                self.event(now, at, event, bus, judge);
                continue;
            }
            let Some(transmit) = node.poll_transmit() else { break };
            let name = |subscription: Subscription| match subscription {
                Subscription::Channel(name) | Subscription::Pattern(name) => name,
                Subscription::Stream(name) => format!("stream {name}"),
            };
            let command = match transmit {
                NodeTransmit::Subscribe(one) => Command::Subscribe(name(one)),
                NodeTransmit::Unsubscribe(one) => Command::Unsubscribe(name(one)),
                NodeTransmit::Publish(published) => {
                    assert!(node.is_on_bus(), "published without a bus");
                    Command::Publish(published)
                }
                NodeTransmit::Append { stream, fields, .. } => Command::Append(stream, fields),
                NodeTransmit::Count { channel, ask } => Command::Count(channel, Who::Ours(ask)),
                NodeTransmit::Insert { payload, envelope } => Command::Insert(payload, envelope),
                NodeTransmit::Select { channel, row } => Command::Select(channel, row),
                // Nodes of the simulator do not recover connections.
                NodeTransmit::Save { .. } | NodeTransmit::Take { .. } | NodeTransmit::Page { .. } => continue,
            };
            bus.send(now, at, command);
        }
    }

    fn event(&mut self, now: Instant, at: usize, event: NodeEvent, bus: &mut Bus, judge: &mut Judge) {
        match event {
            NodeEvent::Message { message, serving, .. } => {
                let sockets = self.apply(now, at, &message, bus, judge);
                let (Some(serving), remote) = (serving, self.remote_sockets()) else { return };
                let Machine::Ours(node) = &mut self.machine else { return };
                let answer = match &message {
                    Message::Emit { .. } => Answer::Count(sockets.len() as u32),
                    Message::ServerSideEmit { .. } => {
                        Answer::ServerSide(Values::new(&at.to_string()).expect("a text is JSON"))
                    }
                    Message::FetchSockets { .. } => Answer::Sockets(remote),
                    Message::FetchIds { .. } => {
                        Answer::Ids(remote.into_iter().map(|socket| socket.id).collect())
                    }
                    _ => Answer::Rooms(self.hub.rooms().cloned().collect()),
                };
                node.answer(now, serving, answer);
                for id in sockets {
                    let after = Duration::from_millis(bus.dice.below(50));
                    bus.at(now + after, Flight::Acked(at, self.life, Asker::Ours(serving), id));
                }
            }
            NodeEvent::Done { ask, outcome } => judge.done(now, at, ask, &outcome),
            event @ (NodeEvent::Forwarded { .. }
            | NodeEvent::Request { .. }
            | NodeEvent::RequestOver { .. }) => self.forwards.push(event),
            _ => {}
        }
    }

    /// A client of this member acknowledges.
    pub(super) fn acked(
        &mut self,
        now: Instant,
        at: usize,
        asker: Asker,
        id: &str,
        bus: &mut Bus,
        judge: &mut Judge,
    ) {
        let values = Values::new(&id).expect("a text is JSON");
        match (&mut self.machine, asker) {
            (Machine::Ours(node), Asker::Ours(serving)) => node.answer(now, serving, Answer::Ack(values)),
            (Machine::Peer(peer), Asker::Peer(request, asker)) => {
                let message = Message::Ack { request, args: values };
                for published in peer.write(Some(asker), message) {
                    bus.send(now, at, Command::Publish(published));
                }
            }
            _ => {}
        }
        self.pump(now, at, bus, judge);
    }

    /// Emits: local first. False if nothing was published.
    pub(super) fn emit(
        &mut self,
        now: Instant,
        at: usize,
        event: Event,
        target: Target,
        bus: &mut Bus,
        judge: &mut Judge,
    ) {
        self.send(now, at, Message::Emit { event, target, ack: None }, bus, judge);
    }

    /// Applies a command here, and tells the others.
    pub(super) fn send(
        &mut self,
        now: Instant,
        at: usize,
        message: Message,
        bus: &mut Bus,
        judge: &mut Judge,
    ) {
        self.apply(now, at, &message, bus, judge);
        match &mut self.machine {
            // What a dialect has no form for goes nowhere.
            Machine::Ours(node) => drop(node.send(now, "/", message)),
            Machine::Peer(peer) => {
                for published in peer.write(None, message) {
                    bus.send(now, at, Command::Publish(published));
                }
            }
            Machine::Gone => {}
        }
        self.pump(now, at, bus, judge);
    }

    /// Asks as the owner of a node does: its own sockets are its own affair.
    pub(super) fn ask_ours(&mut self, now: Instant, ask: Ask) -> Option<crate::cluster::node::AskId> {
        let Machine::Ours(node) = &mut self.machine else { return None };
        node.ask(now, "/", ask, TIMEOUT).ok()
    }
}
