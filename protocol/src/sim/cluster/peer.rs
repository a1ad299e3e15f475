//! Scripted peers: servers of other implementations, which do on the bus what those were seen to do.
//!
//! They read and write by the same codecs as nodes, which are tested on captured messages. All above that is their
//! own: they look at no mark of a bridge, count as strictly as JavaScript's adapters do, and have no timers but that of
//! a request.

use super::bus::{Bus, Command, Delivery, Flight, Who};
use super::judge::Judge;
use super::member::{Asker, Machine, Member, TIMEOUT};
use super::story::Kind;
use crate::cluster::{
    AckRequest, Classic, Envelope, Event, Limits, Message, Origin, Published, Python, RequestId, Sharded,
    Subscription, Values,
};
use crate::hub::Target;
use crate::random::Random;
use crate::time::Instant;
use alloc::collections::BTreeMap;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::sync::Arc;
use alloc::vec::Vec;

/// The codec of a peer.
enum Codec {
    Python(Python),
    Classic(Classic),
    Sharded(Sharded),
}

pub(super) struct Peer {
    codec: Codec,
    pub(super) name: Arc<str>,
    random: Random,
    asks: BTreeMap<RequestId, Asked>,
    last: u64,
}

/// A request of a peer.
struct Asked {
    /// Its number among the requests of the story.
    number: u64,
    /// The nodes that must answer, once the bus has said it.
    nodes: Option<u32>,
    answered: u32,
    counted: u64,
    acks: u64,
}

impl Asked {
    /// JavaScript compares by equality: one answer too many is as bad as one too few.
    fn is_whole(&self) -> bool {
        self.nodes == Some(self.answered) && self.acks == self.counted
    }
}

impl Peer {
    pub(super) fn new(kind: Kind, mut random: Random) -> Self {
        let codec = match kind {
            Kind::Classic => Codec::Classic(Classic::default()),
            Kind::Sharded => Codec::Sharded(Sharded::default()),
            Kind::Python | Kind::Ours(_) => Codec::Python(Python::default()),
        };
        let name = format!("{:016x}", random.u64()).into();
        Self { codec, name, random, asks: BTreeMap::new(), last: 0 }
    }

    pub(super) fn subscriptions(&self) -> Vec<String> {
        let subscriptions = match &self.codec {
            Codec::Python(python) => python.subscriptions(),
            Codec::Classic(classic) => classic.subscriptions("/", &self.name),
            Codec::Sharded(sharded) => sharded.subscriptions("/", &self.name),
        };
        let name = |subscription| match subscription {
            Subscription::Channel(name) | Subscription::Pattern(name) | Subscription::Stream(name) => name,
        };
        subscriptions.into_iter().map(name).collect()
    }

    pub(super) fn room_channel(&self, room: &str) -> Option<String> {
        match &self.codec {
            Codec::Sharded(sharded) => sharded.room_channel("/", room),
            Codec::Python(_) | Codec::Classic(_) => None,
        }
    }

    fn count_channel(&self) -> Option<String> {
        match &self.codec {
            Codec::Python(_) => None,
            Codec::Classic(classic) => Some(classic.count_channel("/")),
            Codec::Sharded(sharded) => Some(sharded.count_channel("/")),
        }
    }

    fn is_python(&self) -> bool {
        matches!(self.codec, Codec::Python(_))
    }

    /// A message as bytes; nothing if there is no form for it.
    pub(super) fn write(&self, to: Option<Arc<str>>, message: Message) -> Vec<Published> {
        let mut envelope = Envelope::new(self.name.clone(), "/", message);
        envelope.to = to;
        let limits = Limits::default();
        let written = match &self.codec {
            Codec::Python(python) => python.encode(&envelope, &limits),
            Codec::Classic(classic) => classic.encode(&envelope, &limits),
            Codec::Sharded(sharded) => sharded.encode(&envelope, &limits),
        };
        written.unwrap_or_default()
    }

    fn read(&self, one: &Published) -> Option<Envelope> {
        let limits = Limits::default();
        let read = match &self.codec {
            Codec::Python(python) => python.decode(&one.channel, &one.payload, &limits),
            Codec::Classic(classic) => classic.decode(&one.channel, &one.payload, &limits),
            Codec::Sharded(sharded) => sharded.decode(&one.channel, &one.payload, &limits),
        };
        read.ok()
    }

    /// Gives up a request.
    pub(super) fn give_up(&mut self, number: u64) {
        self.asks.retain(|_, asked| asked.number != number);
    }

    /// Returns whether nothing is open.
    pub(super) fn is_idle(&self) -> bool {
        self.asks.is_empty()
    }
}

impl Member {
    /// A peer asks for acknowledgements of an event, or with none for all sockets.
    pub(super) fn peer_ask(
        &mut self,
        now: Instant,
        at: usize,
        number: u64,
        event: Option<(Event, Target, bool)>,
        bus: &mut Bus,
    ) {
        let Machine::Peer(peer) = &mut self.machine else { return };
        peer.last += 1;
        let token = match (&peer.codec, &event) {
            (Codec::Python(_), Some((_, target, _))) => Python::request(target, "/", peer.last),
            _ => RequestId::new(format!("{:016x}", peer.random.u64())),
        };
        let count = peer.count_channel().map(|channel| Command::Count(channel, Who::Peer(number)));
        let asked = Asked { number, nodes: None, answered: 0, counted: 0, acks: 0 };
        peer.asks.insert(token.clone(), asked);
        let is_fetch = event.is_none();
        let message = match event {
            Some((event, target, single)) => {
                let timeout = Some(TIMEOUT).filter(|_| !peer.is_python());
                let ack = Some(AckRequest { request: token, timeout, single });
                Message::Emit { event, target, ack }
            }
            None => Message::FetchSockets { request: token, target: Target::all() },
        };
        let written = peer.write(None, message).into_iter().map(Command::Publish);
        // Subscribers are counted behind an event, and before anything else.
        let (before, behind) = if is_fetch { (count, None) } else { (None, count) };
        for command in before.into_iter().chain(written).chain(behind) {
            bus.send(now, at, command);
        }
        bus.at(now + TIMEOUT, Flight::PeerDeadline(at, number));
    }

    pub(super) fn peer_take(
        &mut self,
        now: Instant,
        at: usize,
        delivery: Delivery,
        bus: &mut Bus,
        judge: &mut Judge,
    ) {
        let Machine::Peer(peer) = &mut self.machine else { return };
        match delivery {
            Delivery::Count(Who::Peer(number), count) => {
                if let Some(asked) = peer.asks.values_mut().find(|asked| asked.number == number) {
                    asked.nodes = Some(count.saturating_sub(1));
                }
                self.peer_finish(now, judge);
            }
            Delivery::Message(one) => {
                let Some(read) = peer.read(&one) else {
                    let is_garbage = one.payload.windows(8).any(|part| part == b"garbage!");
                    if !is_garbage {
                        let detail = format!("on {}: {}", one.channel, String::from_utf8_lossy(&one.payload));
                        judge.fail(now, "peers can read what is sent", detail);
                    }
                    return;
                };
                let is_own = read.origin == Origin::Node(peer.name.clone());
                let is_for_another = read.to.is_some_and(|to| to != peer.name);
                if !is_own && !is_for_another {
                    let asker = match read.origin {
                        Origin::Node(node) => Some(node),
                        Origin::Emitter | Origin::Unnamed => None,
                    };
                    self.peer_hear(now, at, asker, read.message, bus, judge);
                }
            }
            _ => {}
        }
    }

    fn peer_hear(
        &mut self,
        now: Instant,
        at: usize,
        asker: Option<Arc<str>>,
        message: Message,
        bus: &mut Bus,
        judge: &mut Judge,
    ) {
        if message.answers().is_some() {
            self.peer_answered(now, message, judge);
            return;
        }
        let sockets = self.apply(now, at, &message, bus, judge);
        let (life, remote) = (self.life, self.remote_sockets());
        let Machine::Peer(peer) = &mut self.machine else { return };
        let Some(asker) = asker else { return };
        let answer = match message {
            Message::Emit { ack: Some(ack), .. } => {
                let count = Message::AckCount { request: ack.request.clone(), sockets: sockets.len() as u32 };
                for id in sockets {
                    let after = core::time::Duration::from_millis(bus.dice.below(50));
                    let asker = Asker::Peer(ack.request.clone(), asker.clone());
                    bus.at(now + after, Flight::Acked(at, life, asker, id));
                }
                count
            }
            Message::FetchSockets { request, .. } => Message::Sockets { request, sockets: remote },
            Message::ServerSideEmit { request: Some(request), .. } => {
                let value = Values::new(&at.to_string()).expect("a text is JSON");
                Message::ServerSideAnswer { request, value }
            }
            _ => return,
        };
        for published in peer.write(Some(asker), answer) {
            bus.send(now, at, Command::Publish(published));
        }
    }

    fn peer_answered(&mut self, now: Instant, message: Message, judge: &mut Judge) {
        let Machine::Peer(peer) = &mut self.machine else { return };
        let is_python = peer.is_python();
        let Some(asked) = message.answers().and_then(|token| peer.asks.get_mut(token)) else { return };
        match message {
            Message::AckCount { sockets, .. } => {
                asked.answered += 1;
                asked.counted += u64::from(sockets);
            }
            Message::Ack { args, .. } => {
                asked.acks += 1;
                judge.answer(asked.number, args.args().decode::<String>().unwrap_or_default());
            }
            Message::Sockets { sockets, .. } => {
                asked.answered += 1;
                sockets.iter().for_each(|socket| judge.answer(asked.number, socket.id.to_string()));
            }
            _ => {}
        }
        if !is_python {
            self.peer_finish(now, judge);
        }
    }

    fn peer_finish(&mut self, now: Instant, judge: &mut Judge) {
        let Machine::Peer(peer) = &mut self.machine else { return };
        peer.asks.retain(|_, asked| {
            let is_whole = asked.is_whole();
            if is_whole {
                judge.peer_done(now, asked.number, true);
            }
            !is_whole
        });
    }
}
