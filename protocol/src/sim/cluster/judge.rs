//! The record of a run, and whether it is as it must be.

use super::bus::number_in;
use super::member::TIMEOUT;
use super::story::{Kind, Speech, Story};
use crate::cluster::node::{AskId, Outcome};
use crate::sim::{Broken, Trace};
use crate::time::Instant;
use alloc::collections::{BTreeMap, BTreeSet};
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::time::Duration;

/// The longest time for a message, and all that it causes.
pub(super) const SOON: Duration = Duration::from_secs(2);
/// The time after a fault by which everybody hears everybody.
const HEALED: Duration = Duration::from_secs(5);
/// The time after a fault by which everybody knows who is there.
const KNOWN: Duration = Duration::from_secs(13);

/// An event that was emitted.
pub(super) struct Emission {
    pub(super) at: Instant,
    pub(super) from: usize,
    /// Each socket that it is for, and the socket's member.
    pub(super) expected: BTreeMap<String, usize>,
    /// The room that changes, if it is for one.
    pub(super) loose: Option<usize>,
    /// Whether its recipients are certain: that room does not change meanwhile.
    pub(super) is_certain: bool,
    pub(super) got: BTreeMap<String, u32>,
}

/// A request.
pub(super) struct Request {
    pub(super) at: Instant,
    pub(super) from: usize,
    pub(super) life: u64,
    /// Of acknowledgements, the event.
    pub(super) event: Option<u64>,
    pub(super) expected: BTreeSet<String>,
    pub(super) is_certain: bool,
    pub(super) is_single: bool,
    pub(super) answers: Vec<String>,
    pub(super) done: Option<(Instant, bool)>,
    /// Of the question how many nodes there are, the answers that are right and given.
    pub(super) nodes: Option<(Option<u32>, Option<u32>)>,
}

/// A member, or all, for a time.
struct Trouble {
    member: Option<usize>,
    from: Instant,
    until: Instant,
}

pub(super) struct Judge {
    kinds: Vec<Kind>,
    is_reordering: bool,
    pub(super) emissions: BTreeMap<u64, Emission>,
    pub(super) requests: BTreeMap<u64, Request>,
    /// The requests of nodes by their own names.
    pub(super) asks: BTreeMap<(usize, u64, AskId), u64>,
    /// The process that each member is.
    pub(super) lives: Vec<u64>,
    troubles: Vec<Trouble>,
    order: BTreeMap<(usize, String), Vec<u64>>,
    garbage: BTreeMap<(usize, u64), u64>,
    pub(super) broken: Option<Broken>,
    pub(super) trace: Trace,
    pub(super) deliveries: u64,
}

impl Judge {
    pub(super) fn new(story: &Story, keep: bool) -> Self {
        Self {
            kinds: story.members.clone(),
            is_reordering: story.is_reordering,
            emissions: BTreeMap::new(),
            requests: BTreeMap::new(),
            asks: BTreeMap::new(),
            lives: story.members.iter().map(|_| 0).collect(),
            troubles: Vec::new(),
            order: BTreeMap::new(),
            garbage: BTreeMap::new(),
            broken: None,
            trace: Trace::new(keep),
            deliveries: 0,
        }
    }

    pub(super) fn fail(&mut self, at: Instant, rule: &'static str, detail: String) {
        if self.broken.is_none() {
            self.broken = Some(Broken { at, rule, detail });
        }
    }

    // --- what happens ------------------------------------------------------------------------------------------------

    pub(super) fn trouble(&mut self, member: Option<usize>, from: Instant, until: Instant) {
        self.troubles.push(Trouble { member, from, until });
    }

    /// A room changes: what was sent to it just now may reach its members of before or of after.
    pub(super) fn room_changes(&mut self, now: Instant, room: usize) {
        for (number, emission) in &mut self.emissions {
            if emission.loose == Some(room) && emission.at + SOON >= now {
                emission.is_certain = false;
                if let Some(request) = self.requests.get_mut(number) {
                    request.is_certain = false;
                }
            }
        }
    }

    pub(super) fn garbage(&mut self, at: usize, life: u64) {
        *self.garbage.entry((at, life)).or_default() += 1;
    }

    pub(super) fn delivered(&mut self, now: Instant, at: usize, id: &str, name: &str) {
        let Some(number) = number_in(name.as_bytes()) else { return };
        self.deliveries += 1;
        self.trace.note(now, 1, number, id.as_bytes(), |line| {
            core::fmt::Write::write_fmt(line, format_args!("{at} gets {name} at {id}"))
        });
        let Some(emission) = self.emissions.get_mut(&number) else { return };
        *emission.got.entry(id.to_string()).or_default() += 1;
        let from = emission.from;
        self.order.entry((from, id.to_string())).or_default().push(number);
    }

    pub(super) fn answer(&mut self, number: u64, text: String) {
        if let Some(request) = self.requests.get_mut(&number) {
            request.answers.push(text);
        }
    }

    pub(super) fn peer_done(&mut self, now: Instant, number: u64, is_whole: bool) {
        if let Some(request) = self.requests.get_mut(&number) {
            request.done = Some((now, is_whole));
        }
    }

    pub(super) fn done(&mut self, now: Instant, at: usize, ask: AskId, outcome: &Outcome) {
        let life = self.lives[at];
        let Some(number) = self.asks.remove(&(at, life, ask)) else {
            return self.fail(now, "a request ends once", format!("{ask:?} of member {at}"));
        };
        let Some(request) = self.requests.get_mut(&number) else { return };
        let texts = outcome.answers.iter().map(|values| values.args().decode::<String>().unwrap_or_default());
        request.answers.extend(texts);
        request.answers.extend(outcome.sockets.iter().map(|socket| socket.id.to_string()));
        request.done = Some((now, outcome.is_complete()));
        if let Some((_, given)) = &mut request.nodes {
            *given = outcome.nodes;
        }
        if now > request.at + TIMEOUT {
            self.fail(now, "a request ends by its deadline", format!("{ask:?} of member {at}"));
        }
    }

    /// The session of a client behind the balancer is over.
    pub(super) fn session_lost(&mut self, now: Instant, begun: Instant, client: usize, reason: &str) {
        // A request that is overtaken is not taken, and nobody says so.
        if !self.is_reordering && self.is_calm(None, begun, now, KNOWN) {
            let detail = format!("client {client}, begun at {begun:?}: {reason}");
            self.fail(now, "without a fault no session ends", detail);
        }
    }

    // --- what was calm -----------------------------------------------------------------------------------------------

    /// Returns whether nothing was wrong with a member, or any of them, in a time and for `slack` before.
    fn is_calm(&self, member: Option<usize>, from: Instant, until: Instant, slack: Duration) -> bool {
        !self.troubles.iter().any(|trouble| {
            let concerns = member.is_none() || trouble.member.is_none() || trouble.member == member;
            concerns && trouble.from <= until && trouble.until + slack >= from
        })
    }

    fn is_python(&self, member: usize) -> bool {
        matches!(self.kinds[member], Kind::Python | Kind::Ours(Speech::Python))
    }

    fn is_bridge(&self, member: usize) -> bool {
        self.kinds[member] == Kind::Ours(Speech::Bridge)
    }

    /// Returns whether a bridge must be between the two.
    fn is_across(&self, from: usize, to: usize) -> bool {
        !self.is_bridge(from) && !self.is_bridge(to) && self.is_python(from) != self.is_python(to)
    }

    fn bridges_are_calm(&self, from: Instant, until: Instant) -> bool {
        (0..self.kinds.len())
            .filter(|at| self.is_bridge(*at))
            .all(|at| self.is_calm(Some(at), from, until, KNOWN))
    }

    /// Returns whether a message of one member must have reached another.
    pub(super) fn must_reach(&self, from: usize, to: usize, at: Instant) -> bool {
        let until = at + SOON;
        self.is_calm(Some(from), at, until, HEALED)
            && self.is_calm(Some(to), at, until, HEALED)
            && (!self.is_across(from, to) || self.bridges_are_calm(at, until))
    }

    /// Of whom a member can ask for lists: all that are not Python.
    pub(super) fn tells(&self, member: usize) -> bool {
        !self.is_python(member)
    }

    // --- the verdict -------------------------------------------------------------------------------------------------

    pub(super) fn judge(&mut self, now: Instant, copies: &BTreeMap<u64, u32>) {
        let mut wrong = Vec::new();
        for (number, emission) in &self.emissions {
            self.judge_emission(*number, emission, &mut wrong);
            let until = emission.at + SOON;
            let bridges = (0..self.kinds.len()).filter(|at| self.is_bridge(*at)).count() as u32;
            let most = match bridges {
                0 => 1,
                _ if self.bridges_are_calm(emission.at, until) => 2,
                bridges => 2 + 2 * bridges,
            };
            let count = copies.get(number).copied().unwrap_or(0);
            if count > most {
                wrong.push(("there are no loops", format!("e{number} was published {count} times")));
            }
        }
        if !self.is_reordering {
            for ((from, id), numbers) in &self.order {
                let certain: Vec<&u64> = numbers
                    .iter()
                    .filter(|number| {
                        let emission = &self.emissions[*number];
                        let to = emission.expected.get(id).copied();
                        to.is_some_and(|to| self.must_reach(*from, to, emission.at))
                    })
                    .collect();
                if !certain.is_sorted() {
                    let detail = format!("from {from} at {id}: {certain:?}");
                    wrong.push(("messages of one node arrive in order", detail));
                }
            }
        }
        for (number, request) in &self.requests {
            self.judge_request(*number, request, &mut wrong);
        }
        for (rule, detail) in wrong {
            self.fail(now, rule, detail);
        }
    }

    fn judge_emission(&self, number: u64, emission: &Emission, wrong: &mut Vec<(&'static str, String)>) {
        let (at, from, until) = (emission.at, emission.from, emission.at + SOON);
        for (id, to) in &emission.expected {
            let times = emission.got.get(id).copied().unwrap_or(0);
            let detail = || format!("e{number} from {from} at {at:?} came {times} times at {id}");
            if times == 0 && *to == from {
                wrong.push(("local first", detail()));
            }
            if times == 0 && emission.is_certain && self.must_reach(from, *to, at) {
                wrong.push(("everybody hears everybody", detail()));
            }
            let is_repeated = !self.is_calm(Some(*to), at, until, SOON);
            let is_unsettled = self.is_across(from, *to) && !self.bridges_are_calm(at, until);
            if times > 1 && !is_repeated && !is_unsettled {
                wrong.push(("nothing arrives twice", detail()));
            }
        }
        if emission.is_certain && self.is_calm(None, at, until, HEALED) {
            let other = emission.got.keys().find(|id| !emission.expected.contains_key(*id));
            if let Some(id) = other {
                wrong.push(("nobody else gets it", format!("e{number} from {from} came at {id}")));
            }
        }
    }

    fn judge_request(&self, number: u64, request: &Request, wrong: &mut Vec<(&'static str, String)>) {
        let from = request.from;
        let until = request.at + TIMEOUT;
        let is_ours = matches!(self.kinds[from], Kind::Ours(_));
        let is_python = self.is_python(from);
        let is_alive = self.lives[from] == request.life;
        let what = || format!("request {number} of {from} at {:?}", request.at);
        if is_ours && is_alive && request.done.is_none() {
            return wrong.push(("each request ends", what()));
        }
        if let Some(emission) = request.event.and_then(|event| self.emissions.get(&event)) {
            if let Some(answer) = request.answers.iter().find(|answer| !emission.got.contains_key(*answer)) {
                wrong.push(("answers are of those who were asked", format!("{}: {answer}", what())));
            }
        }
        if !request.is_certain || !self.is_calm(None, request.at, until, KNOWN) {
            return;
        }
        let mut answers = request.answers.clone();
        answers.sort();
        let is_whole = answers.iter().eq(request.expected.iter());
        if !is_whole {
            let detail = format!("{}: {answers:?} of {:?}", what(), request.expected);
            wrong.push(("all answers come", detail));
        }
        // A node without a list of the others, and one that asks for one socket that is not there, wait to the end.
        let is_open = is_python || (request.is_single && request.expected.is_empty());
        let is_in_time = request.done.is_some_and(|(at, is_complete)| is_complete && at < until);
        if !is_open && request.nodes.is_none() && !is_in_time {
            wrong.push((
                "a request does not wait for its deadline",
                format!("{}: {:?}", what(), request.done),
            ));
        }
        if let Some((right, given)) = request.nodes {
            if right != given {
                wrong.push(("nodes are counted", format!("{}: {given:?} of {right:?}", what())));
            }
        }
    }

    /// Judges the count of malformed messages: it must be that of the garbage.
    pub(super) fn judge_malformed(&mut self, now: Instant, at: usize, malformed: u64) {
        let garbage = self.garbage.get(&(at, self.lives[at])).copied().unwrap_or(0);
        if malformed != garbage {
            let detail = format!("{malformed} of {garbage} at member {at}");
            self.fail(now, "bytes that are no message are counted, and nothing else", detail);
        }
    }
}
