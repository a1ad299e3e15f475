//! The acts of members, and their mishaps.

use super::bus::{Command, Flight};
use super::judge::{Request, SOON};
use super::member::{Machine, Member, socket_id};
use super::play::Play;
use super::story::{Act, Fault, Kind, Speech, To};
use crate::cluster::node::Ask;
use crate::cluster::{Event, Message, Published};
use crate::hub::Target;
use crate::time::Instant;
use alloc::collections::BTreeSet;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec;
use bytes::Bytes;
use core::time::Duration;

/// A look at a room some time after it was changed.
pub(super) struct Check {
    at: Instant,
    from: usize,
    /// The socket and its member; all of them, if the room was closed.
    socket: Option<(String, usize)>,
    room: usize,
    is_in: bool,
    /// The number of times that the room had been changed.
    changes: u64,
}

impl Member {
    pub(super) fn is_bridge(&self) -> bool {
        self.kind == Kind::Ours(Speech::Bridge)
    }
}

impl Play {
    /// The target, and whether its members are certain.
    fn target(&self, to: To) -> (Target, bool) {
        let member = |number: u8| usize::from(number) % self.members.len();
        let id =
            |number: u8, socket: u8| socket_id(member(number), self.members[member(number)].life, socket);
        let is_quiet = |room: usize| self.changes[room].0 + SOON < self.now;
        match to {
            To::All => (Target::all(), true),
            To::Room(room) => (Target::all().to(format!("r{}", room % 2)), true),
            To::Both => (Target::all().to("r0").to("r1"), true),
            To::But(room, number, socket) => {
                (Target::all().to(format!("r{}", room % 2)).except(id(number, socket)), true)
            }
            To::One(number, socket) => (Target::all().to(id(number, socket)), true),
            To::Loose(room) => (Target::all().to(format!("d{}", room % 2)), is_quiet(usize::from(room % 2))),
            To::Nobody => (Target::all().to("nobody"), true),
        }
    }

    pub(super) fn act(&mut self, at: usize, act: Act) {
        let is_there = !matches!(self.members[at].machine, Machine::Gone);
        match act {
            Act::Fault(fault, millis, is_all) => self.fail(at, fault, millis, is_all),
            _ if !is_there => {}
            Act::Emit(to) => self.emit(at, to),
            Act::Ask(to, is_single) => self.ask(at, to, is_single),
            Act::Fetch => self.fetch(at),
            Act::Nodes => self.nodes(at),
            Act::Tell => self.tell(at),
            Act::Join(member, socket, room) => self.change(at, (member, socket), room, true),
            Act::Leave(member, socket, room) => self.change(at, (member, socket), room, false),
            Act::CloseRoom(room) => {
                let message = Message::close_room(format!("d{}", room % 2));
                self.changed(at, None, usize::from(room % 2), false);
                self.members[at].send(self.now, at, message, &mut self.bus, &mut self.judge);
            }
            Act::Garbage(which) => self.garbage(at, which),
        }
    }

    fn event(&mut self) -> (u64, Event) {
        self.next_event += 1;
        let number = self.next_event;
        (number, Event::new(&format!("e{number};"), &number).expect("a legal event"))
    }

    fn emit(&mut self, at: usize, to: To) {
        let (target, is_certain) = self.target(to);
        let (number, event) = self.event();
        self.judge.emissions.insert(number, self.emission(at, &target, is_certain));
        self.members[at].emit(self.now, at, event, target, &mut self.bus, &mut self.judge);
    }

    /// A request of a member, of whom this is expected.
    fn request(&mut self, at: usize, expected: BTreeSet<String>) -> Request {
        Request {
            at: self.now,
            from: at,
            life: self.members[at].life,
            event: None,
            expected,
            is_certain: true,
            is_single: false,
            answers: vec![],
            done: None,
            nodes: None,
        }
    }

    /// Begins it. A node whose dialect has no form for it does not ask.
    fn begin(&mut self, at: usize, number: u64, request: Request, ask: Ask) {
        let Some(id) = self.members[at].ask_ours(self.now, ask) else { return };
        self.judge.asks.insert((at, request.life, id), number);
        self.judge.requests.insert(number, request);
        self.pump(at);
    }

    fn ask(&mut self, at: usize, to: To, is_single: bool) {
        let (target, is_certain) = self.target(to);
        let (number, event) = self.event();
        let mut emission = self.emission(at, &target, is_certain);
        // Its own sockets are not asked over the bus.
        emission.expected.retain(|_, member| *member != at);
        let mut request = self.request(at, emission.expected.keys().cloned().collect());
        request.event = Some(number);
        request.is_certain = is_certain;
        request.is_single = is_single;
        self.judge.emissions.insert(number, emission);
        if let Machine::Ours(_) = &self.members[at].machine {
            self.begin(
                at,
                number,
                request,
                Ask::Acks { event, target, single: is_single, max_bytes: 1 << 20 },
            );
            return;
        }
        self.judge.requests.insert(number, request);
        self.members[at].peer_ask(self.now, at, number, Some((event, target, is_single)), &mut self.bus);
    }

    /// The other members that can be asked for lists.
    fn others(&self, at: usize) -> impl Iterator<Item = (usize, &Member)> {
        self.members.iter().enumerate().filter(move |(other, member)| {
            *other != at && self.judge.tells(*other) && !matches!(member.machine, Machine::Gone)
        })
    }

    fn fetch(&mut self, at: usize) {
        if !self.judge.tells(at) {
            return;
        }
        let sockets = self.others(at).flat_map(|(_, member)| member.selected(&Target::all())).collect();
        let request = self.request(at, sockets);
        let (number, _) = self.event();
        if let Machine::Ours(_) = &self.members[at].machine {
            self.begin(at, number, request, Ask::Sockets { target: Target::all() });
            return;
        }
        self.judge.requests.insert(number, request);
        self.members[at].peer_ask(self.now, at, number, None, &mut self.bus);
    }

    fn nodes(&mut self, at: usize) {
        let count = self.others(at).count() as u32;
        let right = self.judge.tells(at).then_some(count);
        let mut request = self.request(at, BTreeSet::new());
        request.nodes = Some((right, None));
        let (number, _) = self.event();
        self.begin(at, number, request, Ask::Nodes);
    }

    fn tell(&mut self, at: usize) {
        if !self.judge.tells(at) {
            return;
        }
        let expected = self.others(at).map(|(other, _)| other.to_string()).collect();
        let request = self.request(at, expected);
        let (number, _) = self.event();
        let event = Event::new("tell", &number).expect("a legal event");
        self.begin(at, number, request, Ask::ServerSide { event });
    }

    fn change(&mut self, at: usize, (member, socket): (u8, u8), room: u8, is_in: bool) {
        let owner = usize::from(member) % self.members.len();
        let id = socket_id(owner, self.members[owner].life, socket);
        let room = usize::from(room % 2);
        let target = Target::all().to(id.as_str());
        let rooms = vec![format!("d{room}").into()];
        self.changed(at, Some((id, owner)), room, is_in);
        let message = if is_in { Message::Join { target, rooms } } else { Message::Leave { target, rooms } };
        self.members[at].send(self.now, at, message, &mut self.bus, &mut self.judge);
    }

    /// A room is changed, and is looked at when that must have been everywhere.
    fn changed(&mut self, from: usize, socket: Option<(String, usize)>, room: usize, is_in: bool) {
        self.judge.room_changes(self.now, room);
        let (at, changes) = &mut self.changes[room];
        let was_quiet = *at + SOON < self.now;
        *at = self.now;
        *changes += 1;
        if was_quiet {
            let check = Check { at: self.now, from, socket, room, is_in, changes: *changes };
            self.bus.at(self.now + SOON, Flight::Check(self.checks.len()));
            self.checks.push(check);
        }
    }

    pub(super) fn check(&mut self, number: usize) {
        let check = &self.checks[number];
        if self.changes[check.room].1 != check.changes {
            return;
        }
        let room = format!("d{}", check.room);
        for (to, member) in self.members.iter().enumerate() {
            let is_concerned = check.socket.as_ref().is_none_or(|(_, owner)| *owner == to);
            if !is_concerned || !self.judge.must_reach(check.from, to, check.at) {
                continue;
            }
            let members = member.selected(&Target::all().to(room.as_str()));
            let is_right = match &check.socket {
                Some((id, _)) => members.contains(id) == check.is_in,
                None => members.is_empty(),
            };
            if !is_right {
                let detail = format!("{:?} in {room} at {to}: {members:?}", check.socket);
                return self.judge.fail(self.now, "rooms change everywhere", detail);
            }
        }
    }

    /// Somebody publishes what is no message.
    fn garbage(&mut self, at: usize, which: u8) {
        let payloads: [&[u8]; 5] = [
            b"garbage!",
            b"{\"garbage!\":1}",
            b"\x81\xa8garbage!\x01",
            b"\"garbage! method\"",
            b"{\"method\":\"emit\",\"namespace\":\"/\",\"garbage!\":1}",
        ];
        let channels =
            ["socketio", "socket.io#/#", "socket.io-request#/#", "socket.io#/", "sansocket-bridge#/#"];
        let payload = Bytes::from_static(payloads[usize::from(which) % payloads.len()]);
        for channel in channels {
            let published = Published { channel: channel.to_string(), payload: payload.clone() };
            self.bus.send(self.now, at, Command::Publish(published));
        }
    }

    // --- faults ------------------------------------------------------------------------------------------------------

    fn fail(&mut self, at: usize, fault: Fault, millis: u64, is_all: bool) {
        let members: alloc::vec::Vec<usize> =
            if is_all { (0..self.members.len()).collect() } else { vec![at] };
        // One thing at a time.
        let is_busy = |member: &usize| {
            matches!(self.members[*member].machine, Machine::Gone)
                || self.faults.iter().any(|(_, members)| members.contains(member))
        };
        if members.iter().any(is_busy) {
            return;
        }
        let until = self.now + Duration::from_millis(millis);
        for member in &members {
            self.judge.trouble(Some(*member), self.now, until);
            self.begin_fault(*member, fault);
            self.tell_forwards(*member);
            if let Machine::Gone = self.members[*member].machine {
                self.connections_break(*member);
            }
        }
        self.bus.at(until, Flight::Heal(self.faults.len()));
        self.faults.push((fault, members));
    }

    fn begin_fault(&mut self, at: usize, fault: Fault) {
        let now = self.now;
        match fault {
            Fault::Cut { told } => {
                self.bus.break_line(at);
                self.bus.lines[at].is_cut = true;
                if told {
                    self.bus.lines[at].subscriptions.clear();
                    self.members[at].disconnect(now, at, &mut self.bus, &mut self.judge);
                }
            }
            Fault::HalfOpen => self.bus.lines[at].is_deaf = true,
            Fault::Slow => self.bus.lines[at].late = Duration::from_secs(1),
            Fault::Repeats => self.bus.lines[at].repeats = true,
            Fault::Crash => {
                self.bus.break_line(at);
                self.members[at].machine = Machine::Gone;
            }
            Fault::Leaves => {
                match &mut self.members[at].machine {
                    Machine::Ours(node) => node.close(now, "/"),
                    // Peers unsubscribe, and say nothing.
                    Machine::Peer(_) | Machine::Gone => self.bus.lines[at].subscriptions.clear(),
                }
                self.pump(at);
                self.members[at].machine = Machine::Gone;
            }
        }
    }

    pub(super) fn heal(&mut self, number: usize) {
        let (fault, members) = self.faults[number].clone();
        self.faults[number].1.clear();
        for at in members {
            let line = &mut self.bus.lines[at];
            line.is_cut = false;
            line.is_deaf = false;
            line.repeats = false;
            line.late = Duration::ZERO;
            let is_connection = matches!(fault, Fault::Cut { .. } | Fault::HalfOpen | Fault::Slow);
            match fault {
                Fault::Repeats => {}
                _ => {
                    self.bus.break_line(at);
                    self.bus.lines[at].subscriptions.clear();
                }
            }
            if is_connection {
                self.members[at].disconnect(self.now, at, &mut self.bus, &mut self.judge);
                self.members[at].connect(self.now, at, &mut self.bus, &mut self.judge);
                self.tell_forwards(at);
            }
            if matches!(fault, Fault::Crash | Fault::Leaves) {
                self.start(at);
            }
        }
    }
}
