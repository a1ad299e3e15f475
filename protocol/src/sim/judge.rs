//! The rules, and whether they hold.

use super::play::{CLOSE, OVERHEAD, PAUSE, Play};
use super::world::World;
use super::{ClientId, SessionId};
use crate::client::ClientState;
use alloc::format;
use alloc::sync::Arc;
use alloc::vec::Vec;

impl Play<'_> {
    pub(super) fn judge_connected(&mut self, world: &mut World) {
        for at in 0..self.model.peers.len() {
            let client = ClientId(at);
            self.sync(world, client);
            let peer = &self.model.peers[at];
            let Some(manager) = world.client(client) else { continue };
            let mut wrong = None;
            for joined in &peer.namespaces {
                let wanted = manager.is_socket_wanted(joined.key);
                if wanted && !manager.is_connected(joined.key) {
                    wrong = Some(format!("client {at} in {}: {:?}", joined.name, manager.status()));
                }
            }
            if let Some(detail) = wrong {
                return world.fail("a client comes back once it can", detail);
            }
        }
        // Both sides say the same, unless what one of them said went to a poll that the network had repeated: even a
        // DISCONNECT is lost then, and no server can know.
        let told: Vec<Arc<str>> = self
            .model
            .peers
            .iter()
            .flat_map(|peer| peer.namespaces.iter().filter_map(|joined| joined.current.clone()))
            .filter(|id| {
                let wire = self.model.wires.get(id);
                !wire.is_some_and(|wire| world.server().is_tainted(wire.session))
            })
            .collect();
        let mut members = Vec::new();
        let sockets: Vec<_> = world.server().members().collect();
        for (session, socket) in sockets {
            if world.server().is_tainted(session) {
                continue;
            }
            let id = world.server().socket_id(session, socket).cloned();
            let wire = id.as_ref().and_then(|id| self.model.wires.get(id));
            if wire.is_some_and(|wire| !self.is_scripted(wire.client)) {
                members.extend(id);
            }
        }
        let mut expected = told.clone();
        expected.sort();
        members.sort();
        if expected != members {
            let detail = format!("clients {expected:?}, server {members:?}");
            world.fail("both sides say who is connected", detail);
        }
    }

    pub(super) fn judge_delivered(&mut self, world: &mut World) {
        for at in 0..self.model.peers.len() {
            self.sync(world, ClientId(at));
            let peer = &self.model.peers[at];
            for joined in &peer.namespaces {
                let Some(wire) = joined.current.as_ref().and_then(|id| self.model.wires.get(id)) else {
                    continue;
                };
                let missing = (wire.up.missing(&self.model.unsure), wire.down.missing(&self.model.unsure));
                let tainted = world.server().is_tainted(wire.session);
                if !missing.0.is_empty() || !missing.1.is_empty() && !tainted {
                    let detail = format!("client {at} in {}: {missing:?}", joined.name);
                    return world.fail("nothing is lost on a wire that lives", detail);
                }
                let open: Vec<_> =
                    peer.acks.values().filter(|awaited| joined.reliable.contains(&awaited.number)).collect();
                if !open.is_empty() {
                    let detail = format!("client {at} in {}: {open:?}", joined.name);
                    return world.fail("what must arrive is acknowledged in the end, or given up", detail);
                }
            }
        }
        if let Err(detail) = self.model.reliable_order() {
            world.fail("what must arrive is first seen in order", detail);
        }
    }

    pub(super) fn judge_end(&mut self, world: &mut World) {
        for (at, peer) in self.model.peers.iter().enumerate() {
            if let Some((id, _)) = peer.acks.first_key_value() {
                return world.fail("each ack is decided", format!("{id} of client {at}"));
            }
            let Some(manager) = world.client(ClientId(at)) else { continue };
            if manager.status() != ClientState::Idle
                || !manager.is_finished()
                || manager.poll_timeout().is_some()
                || manager.buffered() > 0
            {
                let detail = format!("{manager:?}");
                return world.fail("a client that is closed is done", detail);
            }
        }
        let left: Vec<SessionId> = world.server().sessions().map(|(id, _)| id).collect();
        if !left.is_empty() || world.server().listed() > 0 {
            return world.fail("no session outlives its client", format!("{left:?}"));
        }
        if let Some(ack) = self.model.server_acks.keys().next() {
            return world.fail("each ack is decided", format!("{ack:?} of the server"));
        }
        let member = world.server().members().next();
        if let Some(member) = member {
            world.fail("membership", format!("{member:?} is still in a hub"));
        }
    }

    /// After everything that happens.
    pub(super) fn look(&mut self, world: &mut World) {
        for at in 0..self.model.peers.len() {
            let client = ClientId(at);
            self.sync(world, client);
            if world.is_asleep(client) {
                continue;
            }
            let now = self.clock(world, client);
            // What is sent until it is acknowledged counts a second time while it is on its way, once a namespace. Each
            // namespace has a budget of its own for what waits until it is connected.
            let settings = &self.settings().clients[at];
            let budget = settings.send_budget.max(self.largest) * settings.namespaces.max(1)
                + 2 * self.largest
                + OVERHEAD;
            let peer = &self.model.peers[at];
            let overdue =
                peer.acks.iter().find(|(_, awaited)| awaited.deadline.is_some_and(|deadline| deadline < now));
            // Its timer may still come, at this very instant.
            let idle = world
                .client(client)
                .is_some_and(|manager| manager.poll_timeout().is_none_or(|due| due > now));
            if let Some((id, _)) = overdue.filter(|_| idle) {
                return world.fail("an ack is decided in time", format!("{id} of client {at}"));
            }
            let Some(manager) = world.client(client) else { continue };
            let buffered = manager.buffered();
            if buffered > budget {
                return world.fail("queues stay within their budgets", format!("client {at}: {buffered}"));
            }
        }
        if world.is_server_paused() {
            return;
        }
        let now = world.now();
        let budget =
            self.settings().send_budget.max(self.settings().max_payload).max(self.largest) + OVERHEAD;
        let full = world.server().sessions().find(|(_, connection)| connection.buffered() > budget);
        if let Some(detail) = full.map(|(id, connection)| format!("{id:?}: {}", connection.buffered())) {
            return world.fail("queues stay within their budgets", detail);
        }
        let overdue = self
            .model
            .server_acks
            .iter()
            .find(|(_, awaited)| awaited.deadline.is_some_and(|deadline| deadline < now));
        let idle = world
            .server()
            .sessions()
            .all(|(_, connection)| connection.poll_timeout().is_none_or(|due| due > now));
        if let Some((ack, _)) = overdue.filter(|_| idle) {
            return world.fail("an ack is decided in time", format!("{ack:?} of the server"));
        }
        self.looks += 1;
        if self.looks % 32 == 0 {
            let settings = self.settings();
            let patience = settings.ping_interval + settings.ping_timeout + CLOSE + PAUSE;
            if let Some(session) = world.forgotten_session(patience) {
                world.fail("no session outlives its client", format!("{session:?}"));
            }
        }
    }
}
