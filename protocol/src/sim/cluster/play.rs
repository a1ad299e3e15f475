//! Plays a story.

use super::balanced::Balanced;
use super::bus::{Bus, Flight};
use super::judge::{Emission, Judge};
use super::member::{Machine, Member};
use super::story::{Kind, Speech, Story};
use crate::cluster::node::Membership;
use crate::sim::{Broken, Dice};
use crate::time::Instant;
use alloc::collections::BTreeMap;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::time::Duration;

/// The result of a run.
#[derive(Clone, Debug)]
pub struct Report {
    /// The rule that was broken, if one was.
    pub broken: Option<Broken>,
    /// Deliveries to sockets.
    pub deliveries: u64,
    /// Messages on the bus.
    pub published: u64,
    /// Deliveries that had to be, and were: what the rules had to do with.
    pub certain: u64,
    /// Requests of members, and those of clients that another node has answered.
    pub requests: u64,
    /// A number that two runs share only if all was the same.
    pub hash: u64,
    /// The transcript of the run, if it was kept.
    pub transcript: String,
}

pub(super) struct Play {
    pub(super) now: Instant,
    pub(super) members: Vec<Member>,
    pub(super) bus: Bus,
    pub(super) judge: Judge,
    pub(super) story: Story,
    pub(super) next_event: u64,
    /// Faults that are under way: the step, the members and their lives.
    pub(super) faults: Vec<(super::Fault, Vec<usize>)>,
    /// The checks to be made later.
    pub(super) checks: Vec<super::act::Check>,
    /// When each room was changed last, and how often.
    pub(super) changes: [(Instant, u64); 2],
    pub(super) balanced: Balanced,
}

/// The time at which the first thing happens: all have found each other.
const BEGIN: Instant = Instant::from_millis(3_000);

/// Plays a story, and judges it. `keep` keeps what happened as text.
pub fn play(story: &Story, keep: bool) -> Report {
    let mut dice = Dice::new(story.seed ^ 0x5eed);
    let bus = Bus::new(story.members.len(), story.delay, story.is_reordering, dice.fork());
    let mut play = Play {
        now: Instant::ZERO,
        members: story.members.iter().map(|kind| Member::new(*kind)).collect(),
        bus,
        judge: Judge::new(story, keep),
        story: story.clone(),
        next_event: 0,
        faults: Vec::new(),
        checks: Vec::new(),
        changes: [(Instant::ZERO, 0); 2],
        balanced: Balanced::default(),
    };
    for at in 0..play.members.len() {
        play.start(at);
    }
    if story.members.iter().all(|kind| *kind == Kind::Ours(Speech::Heartbeats)) {
        play.balance(2);
    }
    let mut time = BEGIN;
    for (number, step) in story.steps.iter().enumerate() {
        time = time + step.after;
        play.bus.at(time, Flight::Step(number));
    }
    play.run_to(time);
    // Past the last fault, with time for all to hear of each other again.
    play.run_to(time + Duration::from_secs(8 + 14));
    play.probe();
    play.run_to(play.now + Duration::from_secs(10));
    play.clients_go();
    play.run_to(play.now + Duration::from_secs(70));
    play.judge_forwards();
    play.finish();
    let now = play.now;
    play.judge.judge(now, &play.bus.copies);
    let judge = &play.judge;
    let certain = judge.emissions.values().map(|emission| {
        let must = |(_, to): &(&String, &usize)| {
            emission.is_certain && judge.must_reach(emission.from, **to, emission.at)
        };
        emission.expected.iter().filter(must).count() as u64
    });
    Report {
        certain: certain.sum(),
        deliveries: judge.deliveries,
        published: play.bus.published,
        requests: judge.requests.len() as u64 + play.balanced.passed_on,
        hash: judge.trace.hash(),
        transcript: judge.trace.transcript(),
        broken: play.judge.broken,
    }
}

impl Play {
    pub(super) fn start(&mut self, at: usize) {
        self.members[at].start(self.now, at, &mut self.bus, &mut self.judge);
        self.judge.lives[at] = self.members[at].life;
    }

    /// Goes from one thing to the next.
    fn run_to(&mut self, end: Instant) {
        for round in 0..100_000 {
            if round % 16 == 0 {
                (0..self.members.len()).for_each(|at| self.look_into(at));
            }
            let flight = self.bus.flights.first_key_value().map(|((at, _), _)| *at);
            let timer = self.members.iter().filter_map(|member| match &member.machine {
                Machine::Ours(node) => node.poll_timeout(),
                Machine::Peer(_) | Machine::Gone => None,
            });
            let next = flight.into_iter().chain(timer).min().filter(|next| *next <= end);
            let Some(next) = next else {
                self.now = end;
                return;
            };
            self.now = self.now.max(next);
            self.timeouts();
            while let Some(entry) = self.bus.flights.first_entry() {
                if entry.key().0 > self.now {
                    break;
                }
                let flight = entry.remove();
                self.fly(flight);
            }
        }
        self.judge.fail(self.now, "time passes", String::new());
    }

    fn timeouts(&mut self) {
        let now = self.now;
        for at in 0..self.members.len() {
            let Machine::Ours(node) = &mut self.members[at].machine else { continue };
            if node.poll_timeout().is_none_or(|next| next > now) {
                continue;
            }
            node.handle_timeout(now);
            if node.poll_timeout().is_some_and(|next| next <= now) {
                self.judge.fail(now, "no deadline stays in the past", format!("member {at}"));
            }
            self.pump(at);
        }
    }

    /// Whether the parts of a node agree: not after each thing that happens, for that would take half of the time.
    fn look_into(&mut self, at: usize) {
        let Machine::Ours(node) = &self.members[at].machine else { return };
        if let Some(detail) = node.inconsistency() {
            self.judge.fail(self.now, "the parts of a node agree", format!("member {at}: {detail}"));
        }
    }

    pub(super) fn pump(&mut self, at: usize) {
        self.members[at].pump(self.now, at, &mut self.bus, &mut self.judge);
        self.tell_forwards(at);
    }

    /// Tells the clients behind the balancer what a node has told of their requests.
    pub(super) fn tell_forwards(&mut self, at: usize) {
        for event in core::mem::take(&mut self.members[at].forwards) {
            self.forward_event(at, event);
        }
    }

    fn fly(&mut self, flight: Flight) {
        let now = self.now;
        match flight {
            Flight::Up(from, epoch, command) => {
                if self.bus.lines[from].epoch == epoch {
                    self.judge.trace.note(now, 2, from as u64, &[], |line| {
                        core::fmt::Write::write_fmt(line, format_args!("bus <- {from}: {command:?}"))
                    });
                    self.bus.arrived(now, from, command);
                }
            }
            Flight::Down(to, epoch, delivery) => {
                let line = &self.bus.lines[to];
                if line.epoch == epoch && !line.is_cut && !line.is_deaf {
                    self.judge.trace.note(now, 3, to as u64, &[], |line| {
                        core::fmt::Write::write_fmt(line, format_args!("bus -> {to}: {delivery:?}"))
                    });
                    self.members[to].take(now, to, delivery, &mut self.bus, &mut self.judge);
                    self.tell_forwards(to);
                }
            }
            Flight::Acked(at, life, asker, id) => {
                if self.members[at].life == life && !matches!(self.members[at].machine, Machine::Gone) {
                    self.members[at].acked(now, at, asker, &id, &mut self.bus, &mut self.judge);
                }
            }
            Flight::Step(number) => {
                let step = self.story.steps[number];
                self.judge.trace.note(now, 4, number as u64, &[], |line| {
                    core::fmt::Write::write_fmt(line, format_args!("member {}: {:?}", step.member, step.act))
                });
                self.act(usize::from(step.member), step.act);
            }
            Flight::Heal(number) => self.heal(number),
            Flight::Check(number) => self.check(number),
            Flight::Client(client, session) => self.client_acts(client, session),
            Flight::Overdue(asked, place) => self.client_overdue(asked, place),
            Flight::PeerDeadline(at, number) => {
                if let Machine::Peer(peer) = &mut self.members[at].machine {
                    peer.give_up(number);
                }
            }
        }
    }

    /// Returns the sockets that an event is to reach.
    pub(super) fn emission(&self, from: usize, target: &crate::hub::Target, is_certain: bool) -> Emission {
        let mut expected = BTreeMap::new();
        for (at, member) in self.members.iter().enumerate() {
            if !matches!(member.machine, Machine::Gone) {
                expected.extend(member.selected(target).into_iter().map(|id| (id, at)));
            }
        }
        let loose = match target.rooms.first().map(|room| &**room) {
            Some("d0") => Some(0),
            Some("d1") => Some(1),
            _ => None,
        };
        Emission { at: self.now, from, expected, loose, is_certain, got: BTreeMap::new() }
    }

    /// Everybody says something, now that all is well.
    fn probe(&mut self) {
        for at in 0..self.members.len() {
            self.act(at, super::Act::Emit(super::To::All));
            self.act(at, super::Act::Emit(super::To::Room(1)));
            self.act(at, super::Act::Ask(super::To::Room(0), false));
            self.act(at, super::Act::Fetch);
            self.act(at, super::Act::Nodes);
        }
    }

    /// All is over: nothing is open, and who leaves leaves nothing.
    fn finish(&mut self) {
        let now = self.now;
        for at in 0..self.members.len() {
            let others = (0..self.members.len()).filter(|other| *other != at).count();
            let bridges = self.members.iter().filter(|member| member.is_bridge()).count();
            let Machine::Ours(node) = &mut self.members[at].machine else { continue };
            let mut wrong = Vec::new();
            if node.open_requests() != (0, 0) || node.open_copies() != (0, 0) {
                wrong.push(format!("{:?} {:?}", node.open_requests(), node.open_copies()));
            }
            if let Membership::Heard { nodes } = node.membership("/") {
                if nodes != others {
                    wrong.push(format!("{nodes} of {others} nodes are heard"));
                }
            }
            if node.bridges().is_some_and(|known| known != (bridges - 1, true)) {
                wrong.push(format!("{:?} of {bridges} bridges", node.bridges()));
            }
            let malformed = node.counts().malformed;
            for detail in wrong {
                self.judge.fail(now, "in the end all is known and nothing open", format!("{at}: {detail}"));
            }
            self.judge.judge_malformed(now, at, malformed);
        }
        for at in 0..self.members.len() {
            match &mut self.members[at].machine {
                Machine::Ours(node) => {
                    node.close(now, "/");
                    let is_left = node.poll_timeout().is_some();
                    self.pump(at);
                    if is_left {
                        self.judge.fail(now, "who has left has no deadlines", format!("member {at}"));
                    }
                }
                Machine::Peer(peer) if !peer.is_idle() => {
                    self.judge.fail(now, "peers' requests end", format!("member {at}"));
                }
                Machine::Peer(_) | Machine::Gone => {}
            }
        }
        self.run_to(now + Duration::from_secs(2));
        for at in 0..self.members.len() {
            let left = &self.bus.lines[at].subscriptions;
            if matches!(self.members[at].machine, Machine::Ours(_)) && !left.is_empty() {
                let detail = format!("member {at}: {left:?}");
                self.judge.fail(now, "who has left has unsubscribed", detail);
            }
        }
    }
}
