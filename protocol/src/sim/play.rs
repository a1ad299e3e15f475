//! Plays a scenario, and judges it.

use super::coverage::{Coverage, Situation};
use super::dice::Dice;
use super::model::{Awaited, Joined, Model, Peer};
use super::old::OldClient;
use super::raw::RawState;
use super::scenario::{Emit, Scenario, Settings, To};
use super::world::{Broken, World};
use super::{ClientId, SessionId};
use crate::client::{self, Manager};
use crate::engine::client::EngineClientConfig;
use crate::engine::config::{EngineServerConfig, Overflow};
use crate::error::SendError;
use crate::hub::Target;
use crate::message::Frame;
use crate::random::Random;
use crate::socket;
use crate::socket::client::{AuthSource, SocketClientConfig};
use crate::socket::server::SocketKey;
use crate::socket::{PacketData, Parser};
use crate::time::Instant;
use alloc::collections::BTreeMap;
use alloc::format;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use bytes::Bytes;
use core::time::Duration;

pub(super) const OPEN: Duration = Duration::from_secs(4);
pub(super) const REQUEST: Duration = Duration::from_secs(5);
pub(super) const JOIN: Duration = Duration::from_secs(4);
pub(super) const ACK: Duration = Duration::from_secs(2);
pub(super) const BACKOFF: Duration = Duration::from_secs(2);
pub(super) const UPGRADE: Duration = Duration::from_secs(3);
pub(super) const CLOSE: Duration = Duration::from_secs(2);
pub(super) const PAUSE: Duration = Duration::from_secs(4);
pub(super) const CONNECT: Duration = Duration::from_millis(2_500);
pub(super) const SLACK: Duration = Duration::from_secs(1);
pub(super) const NAMESPACES: [&str; 2] = ["/", "/chat"];
pub(super) const ROOM: &str = "room";
/// The bytes by which a budget may be passed: the book-keeping of one message, and control packets, which are not
/// refused.
pub(super) const OVERHEAD: usize = 4096;

/// The outcome of a run.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// The rule that was broken, if one was.
    pub broken: Option<Broken>,
    /// The hash of all that happened.
    pub hash: u64,
    /// The number of things that happened.
    pub events: u64,
    /// Which situations occurred.
    pub coverage: Coverage,
    /// A diagram of it; empty if none was wanted.
    pub transcript: String,
}

/// A thing to be done later.
#[derive(Clone, Debug)]
pub(super) enum Later {
    Accept(SessionId, SocketKey, Arc<str>),
    ServerAck(SessionId, SocketKey, u64, u64),
    ClientAck { client: ClientId, life: u32, key: SocketKey, connection: u64, id: u64, number: u64 },
    ReleaseServer(SessionId, SocketKey),
    ReleaseClient(ClientId, u32, SocketKey),
    Connect(ClientId, u32, SocketKey),
}

pub(super) struct Play<'a> {
    pub(super) scenario: &'a Scenario,
    pub(super) dice: Dice,
    pub(super) step: usize,
    pub(super) later: BTreeMap<(Instant, u64), Later>,
    pub(super) turn: u64,
    pub(super) next: u64,
    pub(super) model: Model,
    pub(super) raws: BTreeMap<ClientId, RawState>,
    pub(super) olds: BTreeMap<ClientId, OldClient>,
    /// The sessions of these by their ids, those that are over included: what they said may still be on its way.
    pub(super) old_sessions: BTreeMap<Arc<str>, SessionId>,
    /// No chance any more: everything is let in and answered.
    pub(super) healed: bool,
    /// No socket is to come back any more.
    pub(super) ending: bool,
    pub(super) largest: usize,
    pub(super) looks: u32,
    pub(super) waiting: BTreeMap<(SessionId, SocketKey), (ClientId, u32, Arc<str>)>,
}

/// Plays a scenario to its end, in virtual time; with `transcript` it keeps a diagram.
pub fn run(scenario: &Scenario, transcript: bool) -> Outcome {
    play(scenario, &mut world(scenario, transcript))
}

/// Plays a scenario like [`run`], and adds the recordings of the server's sessions to `recordings`, even if something
/// panics.
#[cfg(feature = "record")]
pub fn run_recorded(scenario: &Scenario, transcript: bool, recordings: &mut Vec<super::Recorded>) -> Outcome {
    /// Hands over the recordings when it is dropped.
    struct Keeper<'a>(World, &'a mut Vec<super::Recorded>, bool);

    impl Drop for Keeper<'_> {
        fn drop(&mut self) {
            self.1.extend(self.0.take_recordings(self.2));
        }
    }

    let mut keeper = Keeper(world(scenario, transcript), recordings, true);
    keeper.0.keep_recordings();
    let outcome = play(scenario, &mut keeper.0);
    keeper.2 = false;
    outcome
}

/// The world of a scenario, with nobody in it but the server.
fn world(scenario: &Scenario, transcript: bool) -> World {
    let settings = &scenario.settings;
    let config = EngineServerConfig::default()
        .path("/socket.io")
        .ping_interval(settings.ping_interval)
        .ping_timeout(settings.ping_timeout)
        .upgrade_timeout(UPGRADE)
        .close_timeout(CLOSE)
        .pause_timeout(PAUSE)
        .send_budget(settings.send_budget)
        .receive_budget(settings.receive_budget)
        .overflow(settings.overflow)
        .max_payload(settings.max_payload)
        .allow_eio3(settings.olds > 0);
    let sockets = socket::SocketServerConfig::default()
        .parser(parser(settings))
        .connect_timeout(CONNECT)
        .event_rate(settings.event_rate);
    let chance = Dice::fed(scenario.seed, scenario.chance.clone());
    World::of_chance(chance, Arc::new(config), Arc::new(sockets), transcript)
}

fn play(scenario: &Scenario, world: &mut World) -> Outcome {
    let own = world.dice.reseeded(scenario.seed ^ 0xa99);
    let mut play = Play {
        scenario,
        dice: own,
        step: 0,
        later: BTreeMap::new(),
        turn: 0,
        next: 0,
        model: Model::default(),
        raws: BTreeMap::new(),
        olds: BTreeMap::new(),
        old_sessions: BTreeMap::new(),
        healed: false,
        ending: false,
        largest: 0,
        looks: 0,
        waiting: BTreeMap::new(),
    };
    play.begin(world);
    play.run(world);
    Outcome {
        broken: world.broken().cloned(),
        hash: world.trace().hash(),
        events: world.trace().events(),
        coverage: world.coverage().clone(),
        transcript: world.trace().transcript(),
    }
}

impl Play<'_> {
    pub(super) fn settings(&self) -> &Settings {
        &self.scenario.settings
    }

    /// The parser of everybody.
    pub(super) fn parser(&self) -> Parser {
        parser(self.settings())
    }

    pub(super) fn begin(&mut self, world: &mut World) {
        for at in 0..self.settings().clients.len() {
            let (manager, peer) = self.program(ClientId(at), 0);
            let link = self.settings().clients[at].link;
            self.model.peers.push(peer);
            world.add_client(manager, link);
            self.connect_all(world, ClientId(at));
        }
        for _ in 0..self.settings().raws {
            let client = world.add_raw(super::Link::default());
            self.raws.insert(client, RawState::default());
        }
        for at in 0..self.settings().olds {
            let client = world.add_raw(super::Link::default());
            self.olds.insert(client, OldClient::new((self.scenario.seed / 2 + at as u64) % 2 == 0));
        }
    }

    /// A client's program, not started yet.
    pub(super) fn program(&mut self, client: ClientId, life: u32) -> (Manager, Peer) {
        let settings = &self.scenario.settings;
        let player = &settings.clients[client.0];
        let reconnection = client::ReconnectConfig::default()
            .reconnection_delay(Duration::from_millis(300))
            .reconnection_delay_max(BACKOFF);
        let engine = EngineClientConfig::default()
            .path("/socket.io")
            .transports(player.transports.iter().copied())
            .try_all_transports(player.try_all)
            .remember_upgrade(player.remember)
            .open_timeout(OPEN)
            .request_timeout(REQUEST)
            .upgrade_timeout(UPGRADE)
            .close_timeout(CLOSE)
            .send_budget(player.send_budget)
            .receive_budget(settings.receive_budget);
        let sockets = SocketClientConfig::default()
            .parser(parser(settings))
            .join_timeout(JOIN)
            .retries(settings.retries)
            .ack_timeout(ACK);
        let random = Random::new(self.dice.key());
        let mut manager =
            Manager::new(Arc::new(reconnection), Arc::new(engine), random, Some(Arc::new(sockets)));
        let auth = format!("{{\"who\":[{},{life}]}}", client.0);
        let auth = PacketData::from_json(&auth).map_or(AuthSource::None, AuthSource::Fixed);
        let mut namespaces = Vec::new();
        for name in NAMESPACES.into_iter().take(player.namespaces) {
            if let Ok(key) = manager.add(name, auth.clone()) {
                namespaces.push(Joined {
                    key,
                    name: name.into(),
                    current: None,
                    told: None,
                    pending: Vec::new(),
                    reliable: Vec::new(),
                    held: false,
                });
            }
        }
        let peer = Peer {
            life,
            clock: Instant::ZERO,
            namespaces,
            acks: BTreeMap::new(),
            offline: Default::default(),
        };
        (manager, peer)
    }

    pub(super) fn connect_all(&mut self, world: &mut World, client: ClientId) {
        let now = world.local(client);
        let keys: Vec<SocketKey> =
            self.model.peers[client.0].namespaces.iter().map(|joined| joined.key).collect();
        for key in keys {
            if let Some(manager) = world.client(client) {
                manager.connect(now, key);
            }
        }
    }

    pub(super) fn run(&mut self, world: &mut World) {
        let last = self.scenario.steps.last().map_or(Duration::ZERO, |step| step.at);
        world.run_until(Instant::ZERO + last + Duration::from_secs(3), self);
        // Whatever sleeps, stalls or is down is back before the judgement.
        world.heal();
        self.healed = true;
        world.run_until(world.now() + Duration::from_secs(10), self);
        let settings = self.settings();
        let (interval, timeout) = (settings.ping_interval, settings.ping_timeout);
        let patience = interval + 2 * timeout + 3 * OPEN + REQUEST + 3 * BACKOFF + PAUSE + JOIN + SLACK;
        world.run_until(world.now() + patience, self);
        self.judge_connected(world);
        let retries = ACK * (self.settings().retries + 2);
        world.run_until(world.now() + retries * 3 + Duration::from_secs(5), self);
        self.judge_delivered(world);
        self.judge_old(world);
        self.ending = true;
        for at in 0..self.model.peers.len() {
            self.close(world, ClientId(at));
        }
        for (client, raw) in &mut self.raws {
            raw.stop(world, *client);
        }
        for (client, old) in &mut self.olds {
            old.lose(world, *client, Instant::FAR_FUTURE);
        }
        world.run_until(world.now() + interval + 2 * timeout + CLOSE + CONNECT + PAUSE + SLACK, self);
        self.judge_end(world);
    }

    // --- what is done -----------------------------------------------------------------------------------------

    pub(super) fn later(&mut self, at: Instant, later: Later) {
        self.turn += 1;
        self.later.insert((at, self.turn), later);
    }

    /// Data of that size that only that message has.
    pub(super) fn data(number: u64, size: usize) -> Bytes {
        let pattern = number.to_le_bytes();
        pattern.iter().copied().cycle().take(size.max(1)).collect()
    }

    pub(super) fn frame(
        &mut self,
        name: &str,
        namespace: &str,
        ack: Option<u64>,
        size: usize,
        binary: bool,
    ) -> (u64, Frame) {
        let number = self.next;
        self.next += 1;
        let frame = if binary {
            self.parser().event(namespace, name, ack, &(number, Self::data(number, size)))
        } else {
            self.parser().event(namespace, name, ack, &(number, "x".repeat(size)))
        };
        let Ok(frame) = frame else { unreachable!("numbers and text have a JSON form") };
        self.largest = self.largest.max(frame.wire_len());
        (number, frame)
    }

    /// A client's clock, as its machine takes it: it does not go back.
    pub(super) fn clock(&mut self, world: &World, client: ClientId) -> Instant {
        let peer = &mut self.model.peers[client.0];
        peer.clock = peer.clock.max(world.local(client));
        peer.clock
    }

    pub(super) fn sync(&mut self, world: &mut World, client: ClientId) {
        let keys: Vec<SocketKey> = match self.model.peers.get(client.0) {
            Some(peer) => peer.namespaces.iter().map(|joined| joined.key).collect(),
            None => return,
        };
        for key in keys {
            let id = world.client(client).and_then(|manager| manager.socket_id(key).cloned());
            if let Err(detail) = self.model.sync(client, key, id.as_ref()) {
                return world.fail("a public id is the server's", detail);
            }
        }
    }

    pub(super) fn emit(
        &mut self,
        world: &mut World,
        client: ClientId,
        namespace: usize,
        how: Emit,
        size: usize,
    ) {
        if world.is_asleep(client) {
            return;
        }
        self.sync(world, client);
        let now = world.local(client);
        let Some(joined) = self.model.peers[client.0].namespaces.get(namespace) else { return };
        let (key, name) = (joined.key, joined.name.clone());
        let (number, sent, awaited);
        match how {
            Emit::Plain | Emit::Binary => {
                let frame;
                (number, frame) = self.frame("m", &name, None, size, how == Emit::Binary);
                sent = world.client(client).map(|manager| manager.emit(now, key, &frame).map(|()| true));
                awaited = None;
            }
            Emit::Ack(patience) => {
                let (id, deadline) = (self.next, now + patience);
                let frame;
                (number, frame) = self.frame("m", &name, Some(id), size, size % 2 == 1);
                sent = world
                    .client(client)
                    .map(|manager| manager.emit_with_ack(now, key, &frame, id, deadline).map(|()| true));
                awaited = Some(Awaited { number, deadline: Some(deadline) });
            }
            Emit::Reliable => {
                let id = self.next;
                let frame;
                (number, frame) = self.frame("r", &name, Some(id), size, false);
                sent = world
                    .client(client)
                    .map(|manager| manager.emit_reliably(now, key, frame, id).map(|()| true));
                awaited = Some(Awaited { number, deadline: None });
            }
            Emit::Volatile => {
                let frame;
                (number, frame) = self.frame("m", &name, None, size, false);
                sent = world.client(client).map(|manager| manager.emit_volatile(now, key, &frame));
                awaited = None;
            }
        }
        match sent {
            Some(Ok(true)) => {}
            Some(Err(SendError::Full)) => return world.coverage().note(Situation::ClientFull),
            Some(Ok(false)) => return world.coverage().note(Situation::VolatileDropped),
            other => return world.fail("an application may emit at any time", format!("{other:?}")),
        }
        // A client that slept may have learnt of it just now, before it sent.
        self.sync(world, client);
        if how == Emit::Volatile {
            world.coverage().note(Situation::VolatileSent);
        }
        let peer = &mut self.model.peers[client.0];
        if let Some(awaited) = awaited {
            peer.acks.insert(number, awaited);
        }
        let Some(joined) = peer.namespaces.iter_mut().find(|joined| joined.key == key) else { return };
        match joined.current.as_ref().and_then(|id| self.model.wires.get_mut(id)) {
            _ if how == Emit::Reliable => {
                world.coverage().note(Situation::Reliable);
                joined.reliable.push(number);
            }
            Some(wire) => wire.up.send(number),
            None => {
                world.coverage().note(Situation::OfflineEmit);
                joined.pending.push(number);
                peer.offline.insert(number);
            }
        }
    }

    /// One of the sockets that the server has.
    pub(super) fn member(&self, world: &mut World, pick: u64) -> Option<(SessionId, SocketKey)> {
        let members: Vec<_> = world.server().members().collect();
        let at = usize::try_from(pick % members.len().max(1) as u64).unwrap_or(0);
        members.get(at).copied()
    }

    pub(super) fn server_emit(&mut self, world: &mut World, to: To, size: usize) {
        if world.is_server_paused() {
            return;
        }
        let now = world.now();
        let (To::One(pick) | To::Binary(pick) | To::Ack(pick, _) | To::Volatile(pick) | To::Room(pick)) = to
        else {
            let (number, frame) = self.frame("s", "/", None, size, size % 2 == 1);
            world.coverage().note(Situation::Broadcast);
            return self.broadcast(world, &Target::all(), number, &frame);
        };
        let Some((session, socket)) = self.member(world, pick) else { return };
        let server = world.server();
        let (Some(id), Some(namespace)) =
            (server.socket_id(session, socket).cloned(), server.namespace(session, socket).cloned())
        else {
            return;
        };
        if matches!(to, To::Room(_)) {
            world.server().join(session, socket, ROOM);
            let target = Target::all().to(ROOM).except(&*id);
            let (number, frame) = self.frame("s", "/", None, size, false);
            world.coverage().note(Situation::RoomBroadcast);
            return self.broadcast(world, &target, number, &frame);
        }
        let Some(wire) = self.model.wires.get_mut(&id) else { return };
        let ack = wire.last_ack;
        let before = world.server().connection(session).map(|connection| connection.buffered());
        let wants_ack = if let To::Ack(..) = to { Some(ack) } else { None };
        let (number, frame) = self.frame("s", &namespace, wants_ack, size, matches!(to, To::Binary(_)));
        let Some(connection) = world.server().connection(session) else { return };
        let sent = match to {
            To::Ack(_, patience) => {
                let deadline = now + patience;
                let sent = connection.emit_with_ack(socket, &frame, ack, deadline);
                if sent.is_ok() {
                    let awaited = Awaited { number, deadline: Some(deadline) };
                    self.model.server_acks.insert((session, socket, ack), awaited);
                    if let Some(wire) = self.model.wires.get_mut(&id) {
                        wire.last_ack += 1;
                    }
                }
                sent
            }
            To::Volatile(_) => match connection.emit_volatile(socket, &frame) {
                Ok(true) => {
                    world.coverage().note(Situation::VolatileSent);
                    Ok(())
                }
                Ok(false) => return world.coverage().note(Situation::VolatileDropped),
                Err(error) => Err(error),
            },
            _ => connection.emit(socket, &frame).map(drop),
        };
        self.sent(world, session, &id, number, sent, before);
    }

    pub(super) fn broadcast(&mut self, world: &mut World, target: &Target, number: u64, frame: &Frame) {
        let before: BTreeMap<SessionId, usize> =
            world.server().sessions().map(|(id, connection)| (id, connection.buffered())).collect();
        for (session, socket, sent) in world.server().broadcast("/", target, frame) {
            if let Some(id) = world.server().socket_id(session, socket).cloned() {
                self.sent(world, session, &id, number, sent, before.get(&session).copied());
            }
        }
    }

    /// The server emitted: it belongs to the wire, unless the budget spoke.
    pub(super) fn sent(
        &mut self,
        world: &mut World,
        session: SessionId,
        id: &Arc<str>,
        number: u64,
        sent: Result<(), SendError>,
        before: Option<usize>,
    ) {
        let overflow = self.settings().overflow;
        match sent {
            Ok(()) => {
                let after = world.server().connection(session).map(|connection| connection.buffered());
                if overflow == Overflow::Drop && before == after {
                    return world.coverage().note(Situation::OverflowDropped);
                }
                if let Some(wire) = self.model.wires.get_mut(id) {
                    wire.down.send(number);
                }
            }
            Err(SendError::Full) => world.coverage().note(if overflow == Overflow::Close {
                Situation::OverflowClosed
            } else {
                Situation::OverflowFailed
            }),
            Err(_) => {}
        }
    }

    pub(super) fn close(&mut self, world: &mut World, client: ClientId) {
        let now = world.local(client);
        self.sync(world, client);
        let Some(manager) = world.client(client) else { return };
        manager.close(now);
        for joined in &mut self.model.peers[client.0].namespaces {
            joined.pending.clear();
        }
    }
}

fn parser(settings: &Settings) -> Parser {
    if settings.packed { Parser::msgpack() } else { Parser::json() }
}

/// Every other one joins a room.
pub(super) fn socket_is_even(id: &str) -> bool {
    id.bytes().last().is_some_and(|digit| digit % 2 == 0)
}
