//! The application at both ends of a scenario: it answers, and compares what it is told with the model.

use super::coverage::Situation;
use super::old::OldClient;
use super::play::{Later, Play};
use super::world::World;
use super::{App, ClientId, SessionId};
use crate::client::ClientEvent;
use crate::engine::EngineError;
use crate::error::{CloseReason, PeerError};
use crate::server::ServerEvent;
use crate::socket::client::ClientSocketEvent;
use crate::socket::json::args::Args;
use crate::socket::server::{AckOutcome, ServerSocketEvent, SocketKey};
use crate::socket::{PacketData, SocketError};
use crate::time::Instant;
use alloc::format;
use alloc::vec::Vec;
use core::time::Duration;

impl Play<'_> {
    /// A client's event at the server.
    pub(super) fn server_hears(
        &mut self,
        world: &mut World,
        session: SessionId,
        socket: SocketKey,
        args: &Args,
        ack: Option<u64>,
    ) {
        let Some(id) = world.server().socket_id(session, socket).cloned() else {
            return world.fail("an event is of a socket that was let in", format!("{session:?}"));
        };
        let Some(wire) = self.model.wires.get_mut(&id) else { return };
        let Ok(number) = args.get::<u64>(0) else {
            if self.raws.contains_key(&wire.client) {
                return;
            }
            return world.fail("an event arrives as it was sent", format!("{args:?}"));
        };
        if args.attachments().first().is_some_and(|data| *data != Self::data(number, data.len())) {
            return world.fail("an attachment stays with its event", format!("{number}"));
        }
        let (client, life, namespace) = (wire.client, wire.life, wire.namespace.clone());
        if args.event().as_deref() == Some("r") {
            if self.model.seen_all.insert(number) {
                self.model.seen.entry((client, life, namespace)).or_default().push(number);
            } else {
                world.coverage().note(Situation::ReliableAgain);
            }
        } else {
            if let Err(detail) = wire.up.arrive(number, &self.model.unsure) {
                return world.fail("what a client emits arrives once, in order, without gaps", detail);
            }
            if !self.model.seen_all.insert(number) {
                return world.fail("nothing arrives twice", format!("{number} at the server"));
            }
            if self.model.peers.get(client.0).is_some_and(|peer| peer.offline.contains(&number)) {
                world.coverage().note(Situation::OfflineDelivered);
            }
        }
        if let Some(ack) = ack {
            let delay = match self.dice.below(10) {
                _ if self.healed => 0,
                0 => return,
                1..=2 => self.dice.below(4_000),
                _ => 0,
            };
            let at = world.now() + Duration::from_millis(delay);
            self.later(at, Later::ServerAck(session, socket, ack, number));
        }
    }

    /// Returns whether a client is none of ours.
    pub(super) fn is_scripted(&self, client: ClientId) -> bool {
        self.raws.contains_key(&client) || self.olds.contains_key(&client)
    }

    pub(super) fn client_ack(&mut self, world: &mut World, client: ClientId, id: u64, outcome: &AckOutcome) {
        let now = self.clock(world, client);
        let peer = &mut self.model.peers[client.0];
        let Some(awaited) = peer.acks.remove(&id) else {
            return world
                .fail("each ack is decided once", format!("{id} of client {}: {outcome:?}", client.0));
        };
        let pending = peer.namespaces.iter_mut().find(|joined| joined.pending.contains(&awaited.number));
        match outcome {
            AckOutcome::Answered(args) => {
                world.coverage().note(Situation::AckAnswered);
                if args.get::<u64>(0) != Ok(awaited.number) {
                    return world.fail("an ack has the answer to its event", format!("{id}: {args:?}"));
                }
                if !self.model.seen_all.contains(&awaited.number) {
                    return world.fail("what is acknowledged was delivered", format!("{id}"));
                }
                if awaited.deadline.is_none() {
                    self.model.answered.insert(awaited.number);
                }
            }
            AckOutcome::Timeout => {
                world.coverage().note(Situation::AckTimeout);
                if awaited.deadline.is_some_and(|deadline| deadline > now) {
                    return world.fail("an ack is not too late before its time", format!("{id}"));
                }
                // It was not sent, and will not be; or it was, just now.
                if peer.offline.contains(&awaited.number) {
                    self.model.unsure.insert(awaited.number);
                }
                if let Some(joined) = pending {
                    joined.pending.retain(|number| *number != awaited.number);
                }
            }
            AckOutcome::Disconnected => world.coverage().note(Situation::AckDisconnected),
            AckOutcome::Unsent(error) => {
                return world.fail("what is sent is small enough", format!("{id}: {error}"));
            }
        }
        if awaited.deadline.is_none() && !matches!(outcome, AckOutcome::Answered(_)) {
            world.coverage().note(Situation::ReliableGivenUp);
        }
    }

    pub(super) fn client_hears(
        &mut self,
        world: &mut World,
        client: ClientId,
        key: SocketKey,
        args: &Args,
        ack: Option<u64>,
    ) {
        let peer = &mut self.model.peers[client.0];
        let life = peer.life;
        let Some(joined) = peer.find(key) else { return };
        let Some(id) = joined.told.clone() else {
            // What was on its way to the socket before, when its client left and joined again on the same session.
            // Nobody can tell that from what a server says before its consent, which clients must take; the
            // reference's client tells it as ours does.
            let number = args.get::<u64>(0);
            let name = joined.name.clone();
            let mut before = self
                .model
                .wires
                .values()
                .filter(|wire| wire.client == client && wire.life == life && wire.namespace == name);
            if number.is_ok_and(|number| before.any(|wire| wire.down.knows(number))) {
                return world.coverage().note(Situation::StaleEvent);
            }
            return world.fail("no event before the connect or after the disconnect", format!("{args:?}"));
        };
        let (Some(wire), Ok(number)) = (self.model.wires.get_mut(&id), args.get::<u64>(0)) else {
            return world.fail("an event arrives as it was sent", format!("{args:?}"));
        };
        if args.attachments().first().is_some_and(|data| *data != Self::data(number, data.len())) {
            return world.fail("an attachment stays with its event", format!("{number}"));
        }
        wire.down.gaps |= world.server().is_tainted(wire.session);
        if let Err(detail) = wire.down.arrive(number, &self.model.unsure) {
            return world.fail("what the server emits arrives once, in order, without gaps", detail);
        }
        let connection = world.client(client).map(|manager| manager.connection(key));
        if let (Some(ack), Some(connection)) = (ack, connection) {
            let delay = match self.dice.below(10) {
                _ if self.healed => 0,
                0 => return,
                1..=2 => self.dice.below(4_000),
                _ => 0,
            };
            let at = world.now() + Duration::from_millis(delay);
            self.later(at, Later::ClientAck { client, life, key, connection, id: ack, number });
        }
    }
}

impl App for Play<'_> {
    fn client_event(&mut self, world: &mut World, client: ClientId, event: ClientEvent) {
        self.sync(world, client);
        let now = world.now();
        let event = match event {
            ClientEvent::Socket(event) => event,
            ClientEvent::Upgraded => return world.coverage().note(Situation::Upgraded),
            ClientEvent::UpgradeFailed(_) => return world.coverage().note(Situation::UpgradeFailed),
            ClientEvent::Opened { attempt } if attempt > 0 => {
                return world.coverage().note(Situation::Reconnected);
            }
            ClientEvent::Closed { closed, .. } if closed.reason == CloseReason::PingTimeout => {
                return world.coverage().note(Situation::ClientPingTimeout);
            }
            ClientEvent::DialFailed { closed, .. }
                if closed.detail == Some(PeerError::Engine(EngineError::OpenTimeout)) =>
            {
                return world.coverage().note(Situation::OpenTimeout);
            }
            _ => return,
        };
        let life = self.model.peers[client.0].life;
        match event {
            ClientSocketEvent::Connected { socket, id, .. } => {
                if let Some(joined) = self.model.peers[client.0].find(socket) {
                    if joined.told.is_some() {
                        return world.fail("a socket connects once", format!("{id} of client {}", client.0));
                    }
                }
                self.model.told(client, socket, &id);
            }
            ClientSocketEvent::Disconnected { socket, reason } => {
                let told = self.model.peers[client.0].find(socket).and_then(|joined| joined.told.take());
                let Some(id) = told else {
                    return world.fail("a socket disconnects once", format!("client {}", client.0));
                };
                if reason == CloseReason::IoServerDisconnect {
                    if let Some(wire) = self.model.wires.get(&id) {
                        let missing = wire.down.missing(&self.model.unsure);
                        if !missing.is_empty() && !world.server().is_tainted(wire.session) {
                            let detail = format!("{id}: {missing:?}");
                            return world.fail("nothing is lost before a disconnect", detail);
                        }
                    }
                    let back = now + Duration::from_millis(self.dice.below(1_000));
                    self.later(back, Later::Connect(client, life, socket));
                }
            }
            ClientSocketEvent::Refused { socket, .. } => {
                let back = now + Duration::from_millis(100 + self.dice.below(500));
                self.later(back, Later::Connect(client, life, socket));
            }
            ClientSocketEvent::Event { socket, args, ack } => {
                self.client_hears(world, client, socket, &args, ack);
            }
            ClientSocketEvent::Ack { id, outcome, .. } => self.client_ack(world, client, id, &outcome),
            ClientSocketEvent::Auth { .. } => {}
            ClientSocketEvent::Unsent { error, .. } => {
                world.fail("what is sent is small enough", format!("{error}"));
            }
        }
    }

    fn server_event(&mut self, world: &mut World, session: SessionId, event: ServerEvent) {
        let now = world.now();
        let event = match event {
            ServerEvent::Socket(event) => event,
            ServerEvent::Closed(closed) => {
                match (closed.reason, closed.detail) {
                    (CloseReason::PingTimeout, _) => world.coverage().note(Situation::ServerPingTimeout),
                    (_, Some(PeerError::Engine(EngineError::OverlappingPolls))) => {
                        world.coverage().note(Situation::OverlappingPolls);
                    }
                    (_, Some(PeerError::Engine(EngineError::OverlappingPosts))) => {
                        world.coverage().note(Situation::OverlappingPosts);
                    }
                    (_, Some(PeerError::Socket(SocketError::ConnectTimeout))) => {
                        world.coverage().note(Situation::NeverJoined);
                    }
                    _ => {}
                }
                return;
            }
            ServerEvent::Message(_) | ServerEvent::Upgraded => return,
        };
        match event {
            ServerSocketEvent::Connect { socket, namespace, auth } => {
                let who = auth.as_ref().and_then(|auth| who(auth.json()));
                let client = world.client_of(session);
                let raw = client.is_some_and(|client| self.is_scripted(client));
                let known = client.map(|client| client.0 as u64) == who.map(|(client, _)| client);
                let (Some(client), true) = (client, raw || known) else {
                    let detail = format!("{session:?}: {client:?}, {who:?}");
                    return world.fail("a socket belongs to its client", detail);
                };
                if self.olds.contains_key(&client) {
                    self.old_opens(world, session);
                }
                let life = who.map_or(0, |(_, life)| u32::try_from(life).unwrap_or(0));
                self.waiting.insert((session, socket), (client, life, namespace.clone()));
                match self.dice.below(20) {
                    0 if !self.healed => {
                        self.waiting.remove(&(session, socket));
                        world.coverage().note(Situation::Rejected);
                        if let Some(connection) = world.server().connection(session) {
                            let _ = connection.reject(
                                socket,
                                "not now",
                                PacketData::from_json("{\"why\":1}").ok().as_ref(),
                            );
                        }
                    }
                    1..=3 if !self.healed => {
                        world.coverage().note(Situation::LateAccept);
                        let (number, frame) = self.frame("s", &namespace, None, 3, true);
                        let Some(connection) = world.server().connection(session) else { return };
                        let before = connection.buffered();
                        if connection.emit(socket, &frame).is_ok() && connection.buffered() != before {
                            self.model.behind.entry((session, socket)).or_default().push(number);
                            world.coverage().note(Situation::Behind);
                        }
                        let at = now + Duration::from_millis(self.dice.below(1_500));
                        self.later(at, Later::Accept(session, socket, namespace));
                    }
                    _ => self.accept(world, session, socket, &namespace),
                }
            }
            ServerSocketEvent::Event { socket, args, ack } => {
                self.server_hears(world, session, socket, &args, ack);
            }
            ServerSocketEvent::Ack { socket, id, outcome } => {
                let Some(awaited) = self.model.server_acks.remove(&(session, socket, id)) else {
                    return world.fail("each ack is decided once", format!("{id} of {session:?}"));
                };
                match outcome {
                    AckOutcome::Answered(args) => {
                        world.coverage().note(Situation::ServerAckAnswered);
                        if args.get::<u64>(0) != Ok(awaited.number) {
                            world.fail("an ack has the answer to its event", format!("{id}: {args:?}"));
                        }
                    }
                    AckOutcome::Timeout => {
                        world.coverage().note(Situation::ServerAckTimeout);
                        if awaited.deadline.is_some_and(|deadline| deadline > now) {
                            world.fail("an ack is not too late before its time", format!("{id}"));
                        }
                    }
                    AckOutcome::Disconnected => world.coverage().note(Situation::ServerAckDisconnected),
                    AckOutcome::Unsent(error) => {
                        world.fail("only clients keep what they cannot send", format!("{id}: {error}"));
                    }
                }
            }
            ServerSocketEvent::Disconnected { socket, reason } => {
                let Some(id) = world.server().socket_id(session, socket).cloned() else {
                    return world.fail("a socket disconnects once", format!("{session:?}"));
                };
                let Some(wire) = self.model.wires.get(&id) else { return };
                let missing = wire.up.missing(&self.model.unsure);
                // Events that wait for their turn go with their socket.
                let all_due = self.settings().event_rate.is_none();
                if reason == CloseReason::ClientNamespaceDisconnect && all_due && !missing.is_empty() {
                    let detail = format!("{id}: {missing:?}");
                    world.fail("nothing is lost before a disconnect", detail);
                }
            }
        }
    }

    fn due(&self) -> Option<Instant> {
        let step = self.scenario.steps.get(self.step).map(|step| Instant::ZERO + step.at);
        let later = self.later.first_key_value().map(|((at, _), _)| *at);
        let olds = self.olds.values().map(OldClient::due).filter(|at| *at < Instant::FAR_FUTURE);
        step.into_iter().chain(later).chain(olds).min()
    }

    fn wake(&mut self, world: &mut World) {
        let now = world.now();
        if let Some(step) = self.scenario.steps.get(self.step).filter(|step| Instant::ZERO + step.at <= now) {
            self.step += 1;
            return self.act(world, step.act);
        }
        if self.later.first_key_value().is_some_and(|((at, _), _)| *at <= now) {
            if let Some((_, later)) = self.later.pop_first() {
                self.do_later(world, later);
            }
            return;
        }
        let old = self.olds.iter().find(|(_, old)| old.due() <= now).map(|(client, _)| *client);
        if let Some(client) = old {
            self.old_wakes(world, client);
        }
    }

    fn inspect(&mut self, world: &mut World) {
        let olds: Vec<ClientId> = self.olds.keys().copied().collect();
        olds.into_iter().for_each(|client| self.old_listens(world, client));
        for client in world.take_cuts() {
            let awaits = self
                .model
                .server_acks
                .keys()
                .any(|(session, _, _)| world.client_of(*session) == Some(client));
            if awaits {
                world.coverage().note(Situation::ServerAckPendingAtCut);
            }
        }
        self.look(world);
    }
}

/// Returns the client that an auth names, and which of its lives.
fn who(text: &str) -> Option<(u64, u64)> {
    let inner = text.strip_prefix("{\"who\":[")?.strip_suffix("]}")?;
    let (client, life) = inner.split_once(',')?;
    Some((client.parse().ok()?, life.parse().ok()?))
}
