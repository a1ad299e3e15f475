//! Everything that can go wrong in a world, as calls.

use super::ClientId;
use super::coverage::Situation;
use super::link::{Cut, When};
use super::world::{Happening, Machine, World};
use crate::client::Manager;
use crate::random::Random;
use crate::server::Router;
use alloc::boxed::Box;
use alloc::format;
use core::time::Duration;

impl World {
    /// Breaks connections of a client, now or when something happens to be written.
    pub fn cut(&mut self, client: ClientId, cut: Cut) {
        let left = match cut.when {
            When::Now => return self.break_off(client, None, cut),
            When::Bytes { count, .. } => count,
            _ => 0,
        };
        if let Some(node) = self.nodes.get_mut(client.0) {
            node.armed.push((cut, left));
        }
    }

    /// Ends all faults: nothing is armed, nothing is down. A connection that was cut stays cut.
    pub fn heal(&mut self) {
        let now = self.now;
        for node in &mut self.nodes {
            node.armed.clear();
            node.down = None;
            node.replay_polls = 0;
            node.deaf_until = node.deaf_until.min(now);
        }
        self.remark("all faults are over");
    }

    /// Nothing of a client's arrives for that long, in either direction; then all does.
    pub fn stall(&mut self, client: ClientId, time: Duration) {
        self.coverage.note(Situation::Stall);
        self.remark(&format!("the link of c{} stalls for {time:?}", client.0));
        let until = self.now + time;
        if let Some(node) = self.nodes.get_mut(client.0) {
            node.stalled_until = node.stalled_until.max(until);
        }
    }

    /// A client sleeps. Its clock goes on meanwhile, or stands still.
    pub fn sleep(&mut self, client: ClientId, time: Duration, clock_stands: bool) {
        let until = self.now + time;
        let Some(node) = self.nodes.get_mut(client.0).filter(|node| node.asleep_until.is_none()) else {
            return;
        };
        node.asleep_until = Some(until);
        if clock_stands {
            node.lag += time;
            self.coverage.note(Situation::ClockStood);
        }
        self.coverage.note(Situation::Sleep);
        self.remark(&format!("c{} sleeps for {time:?}, its clock stands still: {clock_stands}", client.0));
        self.plan(until, Happening::Wake(client));
    }

    /// A client's clock is set back.
    pub fn set_clock_back(&mut self, client: ClientId, by: Duration) {
        if let Some(node) = self.nodes.get_mut(client.0) {
            node.lag += by;
            self.coverage.note(Situation::ClockBack);
            self.remark(&format!("the clock of c{} is set back by {by:?}", client.0));
        }
    }

    /// A client's clock is set ahead: what it waits for seems overdue.
    pub fn set_clock_ahead(&mut self, client: ClientId, by: Duration) {
        if let Some(node) = self.nodes.get_mut(client.0) {
            node.lead += by;
            self.coverage.note(Situation::ClockAhead);
            self.remark(&format!("the clock of c{} is set ahead by {by:?}", client.0));
        }
    }

    /// A client does not read its WebSockets for that long.
    pub fn deafen(&mut self, client: ClientId, time: Duration) {
        let until = self.now + time;
        if let Some(node) = self.nodes.get_mut(client.0) {
            node.deaf_until = node.deaf_until.max(until);
            self.coverage.note(Situation::ReaderStalled);
            self.remark(&format!("c{} reads nothing for {time:?}", client.0));
            self.plan(until, Happening::Wake(client));
        }
    }

    /// The network repeats the next polls of a client, as proxies do that try again.
    pub fn replay_polls(&mut self, client: ClientId, count: u32) {
        if let Some(node) = self.nodes.get_mut(client.0) {
            node.replay_polls += count;
        }
    }

    /// The server stands still: it handles nothing, and its timers are late.
    pub fn pause_server(&mut self, time: Duration) {
        let until = self.now + time;
        if self.server.paused_until.is_none() {
            self.server.paused_until = Some(until);
            self.coverage.note(Situation::ServerPause);
            self.remark(&format!("the server stands still for {time:?}"));
            self.plan(until, Happening::ServerWakes);
        }
    }

    /// The server is killed, and is back after that long. It has forgotten everything. Its clients are told that
    /// their connections broke, or not.
    pub fn restart_server(&mut self, down: Duration, told: bool) {
        self.coverage.note(Situation::ServerRestart);
        let random = Random::new(self.dice.key());
        self.server.router = Router::new(self.server.config.clone(), random);
        let sessions = core::mem::take(&mut self.server.sessions);
        for (id, session) in sessions {
            self.session_is_over(id, session);
        }
        self.server.hubs.clear();
        self.server.members.clear();
        for client in (0..self.nodes.len()).map(ClientId) {
            let after = told.then_some(Duration::from_millis(1));
            let cut = Cut { client_told: after, server_told: None, down, refuses: told, ..Cut::now() };
            self.break_off(client, None, cut);
        }
        for channel in self.channels.values_mut() {
            channel.server_open = false;
        }
        self.remark("the server was restarted");
    }

    /// A client's program ends without a word, and another one takes its place. The server is told that the
    /// connections broke, or not.
    pub fn crash(&mut self, client: ClientId, manager: Manager, told: bool) {
        self.coverage.note(Situation::ClientCrash);
        self.remark(&format!("c{} crashes", client.0));
        let after = told.then_some(Duration::from_millis(1));
        self.break_off(client, None, Cut { client_told: None, server_told: after, ..Cut::now() });
        for channel in self.channels.values_mut().filter(|channel| channel.client == client) {
            channel.client_open = false;
        }
        if let Some(node) = self.nodes.get_mut(client.0) {
            node.open.clear();
            node.asleep_until = None;
            node.machine = Machine::Manager(Box::new(manager));
        }
    }
}
