//! The steps of a scenario, and what is put off, done.

use super::SessionId;
use super::coverage::Situation;
use super::model::Wire;
use super::play::{Later, Play, ROOM, SLACK, socket_is_even};
use super::scenario::Act;
use super::world::World;
use crate::error::CloseReason;
use crate::socket::server::SocketKey;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::time::Duration;

impl Play<'_> {
    pub(super) fn act(&mut self, world: &mut World, act: Act) {
        let now = world.now();
        match act {
            Act::Emit(client, namespace, how, size) => self.emit(world, client, namespace, how, size),
            Act::ServerEmit(to, count, size) => {
                (0..count).for_each(|_| self.server_emit(world, to, size));
            }
            Act::Connect(client, namespace) | Act::Disconnect(client, namespace) => {
                let Some(joined) = self.model.peers[client.0].namespaces.get(namespace) else { return };
                let (key, local) = (joined.key, world.local(client));
                if world.is_asleep(client) {
                    return;
                }
                self.sync(world, client);
                let life = self.model.peers[client.0].life;
                let Some(manager) = world.client(client) else { return };
                if matches!(act, Act::Connect(..)) {
                    manager.connect(local, key);
                } else {
                    let connected = manager.is_connected(key);
                    manager.disconnect(local, key);
                    if connected {
                        world.coverage().note(Situation::Left);
                    }
                    let back = now + Duration::from_millis(self.dice.below(1_500));
                    self.later(back, Later::Connect(client, life, key));
                }
            }
            Act::Close(client) => {
                if !world.is_asleep(client) {
                    world.coverage().note(Situation::ClientClosed);
                    self.close(world, client);
                    let peer = &self.model.peers[client.0];
                    let keys: Vec<_> = peer.namespaces.iter().map(|joined| joined.key).collect();
                    let life = peer.life;
                    let back = now + Duration::from_millis(self.dice.below(2_000));
                    for key in keys {
                        self.later(back, Later::Connect(client, life, key));
                    }
                }
            }
            Act::Kick(pick) => {
                let Some((session, socket)) = self.member(world, pick) else { return };
                if let Some(connection) = world.server().connection(session) {
                    if connection.disconnect(socket, CloseReason::ServerNamespaceDisconnect).is_ok() {
                        world.coverage().note(Situation::Kicked);
                    }
                }
            }
            Act::CloseSession(pick) => {
                let Some((session, _)) = self.member(world, pick) else { return };
                if let Some(connection) = world.server().connection(session) {
                    connection.close(CloseReason::ForcedClose);
                    world.coverage().note(Situation::ServerClosed);
                }
            }
            Act::HoldClient(client, namespace, time) => {
                let life = self.model.peers[client.0].life;
                let Some(joined) = self.model.peers[client.0].namespaces.get_mut(namespace) else { return };
                let Some(manager) = world.client(client) else { return };
                if !joined.held {
                    joined.held = true;
                    let key = joined.key;
                    manager.hold(Some(key));
                    world.coverage().note(Situation::ClientHeld);
                    self.later(now + time, Later::ReleaseClient(client, life, key));
                }
            }
            Act::HoldServer(pick, time) => {
                let Some((session, socket)) = self.member(world, pick) else { return };
                if let Some(connection) = world.server().connection(session) {
                    connection.hold(Some(socket));
                    world.coverage().note(Situation::ServerHeld);
                    self.later(now + time, Later::ReleaseServer(session, socket));
                }
            }
            Act::Cut(client, cut) => world.cut(client, cut),
            Act::Stall(client, time) => world.stall(client, time),
            Act::Sleep(client, time, stands) => world.sleep(client, time, stands),
            Act::ClockBack(client, by) => world.set_clock_back(client, by),
            Act::ClockAhead(client, by) => world.set_clock_ahead(client, by),
            Act::Deafen(client, time) => world.deafen(client, time),
            Act::Replay(client) => world.replay_polls(client, 1),
            Act::Crash(client, told) => {
                let life = self.model.peers[client.0].life + 1;
                let (manager, peer) = self.program(client, life);
                self.model.peers[client.0] = peer;
                world.crash(client, manager, told);
                self.connect_all(world, client);
            }
            Act::PauseServer(time) => world.pause_server(time),
            Act::Restart(down, told) => {
                world.restart_server(down, told);
                self.model.server_acks.clear();
                self.model.behind.clear();
                self.waiting.clear();
            }
            Act::Raw(client, raw) => {
                if let Some(state) = self.raws.get_mut(&client) {
                    state.act(world, client, raw);
                }
            }
        }
    }

    pub(super) fn do_later(&mut self, world: &mut World, later: Later) {
        let now = world.now();
        match later {
            Later::Accept(session, socket, namespace) => self.accept(world, session, socket, &namespace),
            Later::ServerAck(session, socket, id, number) => {
                let namespace = world.server().namespace(session, socket).cloned();
                let (Some(namespace), Some(connection)) = (namespace, world.server().connection(session))
                else {
                    return;
                };
                if let Ok(frame) = self.parser().ack(&namespace, id, &(number,)) {
                    let _ = connection.ack(socket, &frame);
                }
            }
            Later::ClientAck { client, life, key, connection, id, number } => {
                let local = world.local(client);
                if world.is_asleep(client) {
                    let later = Later::ClientAck { client, life, key, connection, id, number };
                    return self.later(now + SLACK, later);
                }
                self.sync(world, client);
                let parser = self.parser();
                let peer = &mut self.model.peers[client.0];
                let current = peer.life == life;
                let Some(joined) = peer.find(key).filter(|_| current) else { return };
                if let (Some(manager), Ok(frame)) =
                    (world.client(client), parser.ack(&joined.name, id, &(number,)))
                {
                    // It may be another connection meanwhile.
                    let _ = manager.ack_on(local, key, connection, &frame);
                }
            }
            Later::ReleaseServer(session, socket) => {
                if let Some(connection) = world.server().connection(session) {
                    connection.release(Some(socket));
                }
            }
            Later::ReleaseClient(client, life, key) => {
                let peer = &mut self.model.peers[client.0];
                if peer.life == life {
                    if let (Some(joined), Some(manager)) = (peer.find(key), world.client(client)) {
                        joined.held = false;
                        manager.release(Some(key));
                    }
                }
            }
            Later::Connect(client, life, key) => {
                let local = world.local(client);
                if self.model.peers[client.0].life != life || self.ending {
                } else if world.is_asleep(client) {
                    self.later(now + SLACK, Later::Connect(client, life, key));
                } else if let Some(manager) = world.client(client) {
                    manager.connect(local, key);
                }
            }
        }
    }

    pub(super) fn accept(
        &mut self,
        world: &mut World,
        session: SessionId,
        socket: SocketKey,
        namespace: &Arc<str>,
    ) {
        let behind = self.model.behind.remove(&(session, socket)).unwrap_or_default();
        let Some((client, life, _)) = self.waiting.remove(&(session, socket)) else { return };
        let Ok(id) = world.server().accept(session, socket, namespace) else { return };
        let mut wire = Wire {
            client,
            life,
            namespace: namespace.clone(),
            session,
            seen: false,
            up: Default::default(),
            down: Default::default(),
            last_ack: 0,
        };
        for number in behind {
            wire.down.send(number);
        }
        if socket_is_even(&id) {
            world.server().join(session, socket, ROOM);
        }
        self.model.wires.insert(id, wire);
    }
}
