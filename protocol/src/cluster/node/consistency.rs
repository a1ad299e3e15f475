//! Whether the parts of a node agree with each other: for the simulation, which asks a node again and again. What a node
//! forgets too late, or not at all, shows nowhere else for a long time.

use super::forwarding::Forwarding;
use super::lookups::Lookups;
use super::{Node, Timer};
use crate::time::Instant;
use alloc::format;
use alloc::string::String;

impl Node {
    /// A part of this node that disagrees with another: a deadline of something that is over, something without its
    /// deadline, a name of nothing, a sum that is wrong. There is none, whatever happens.
    pub fn inconsistency(&self) -> Option<String> {
        self.stray_timer()
            .or_else(|| self.missing_timer())
            .or_else(|| self.stray_token())
            .or_else(|| self.wrong_sum())
            .or_else(|| self.log.as_ref().and_then(|log| log.lookups.inconsistency()))
            .or_else(|| self.forwarding.as_ref().and_then(|forwarding| forwarding.inconsistency()))
    }

    fn stray_timer(&self) -> Option<String> {
        let bridging = self.bridging.as_ref();
        let is_stray = |(at, timer): &&(Instant, Timer)| match timer {
            // These are looked at, and put off, when they are due.
            Timer::Beat(namespace) | Timer::Peer(namespace, _) => !self.spaces.contains_key(namespace),
            Timer::Bridge(node) => !bridging.is_some_and(|bridging| bridging.members.contains_key(node)),
            Timer::BridgeBeat => !bridging.is_some_and(|bridging| bridging.has_begun),
            timer => self.deadline(timer) != Some(*at),
        };
        let stray = self.timers.iter().find(is_stray)?;
        Some(format!("{stray:?} is a deadline of nothing"))
    }

    /// The deadline of what a timer is for, if that is still there.
    fn deadline(&self, timer: &Timer) -> Option<Instant> {
        let (log, forwarding) = (self.log.as_ref(), self.forwarding.as_ref());
        match timer {
            Timer::Ask(id) => Some(self.asks.get(id)?.deadline),
            Timer::Serving(id) => Some(self.servings.get(id)?.deadline),
            Timer::Collect(id) => Some(self.asks.get(id)?.python.as_ref()?.until),
            Timer::Release(id) => {
                let held = self.servings.get(id)?.held.as_ref()?;
                (!held.is_over).then_some(held.until)
            }
            Timer::Relay(token) => Some(self.bridging.as_ref()?.relays.get(token)?.deadline),
            Timer::Ticket(ticket) => log?.tickets.get(ticket).copied(),
            Timer::Lookup(id) => {
                let Lookups { open, late, .. } = &log?.lookups;
                open.get(id).map(|lookup| lookup.deadline).or_else(|| Some(late.get(id)?.until))
            }
            Timer::Forward(id) => {
                let forwarding = forwarding?;
                let opened = forwarding.open.get(id)?;
                let waits = opened.waits?;
                let is_awaited = opened.is_closed || forwarding.sent.get(&waits.number) == Some(id);
                is_awaited.then_some(waits.until)
            }
            Timer::Request(name) => Some(forwarding?.serving.get(name)?.at),
            Timer::Beat(_) | Timer::Peer(..) | Timer::Bridge(_) | Timer::BridgeBeat => None,
        }
    }

    fn missing_timer(&self) -> Option<String> {
        let asks = self.asks.keys().map(|id| Timer::Ask(*id));
        let servings = self.servings.keys().map(|id| Timer::Serving(*id));
        let relays = self.bridging.iter().flat_map(|bridging| bridging.relays.keys());
        let lookups = self.log.iter().flat_map(|log| log.lookups.open.keys().chain(log.lookups.late.keys()));
        let tickets = self.log.iter().flat_map(|log| log.tickets.keys());
        let sent = self.forwarding.iter().flat_map(|forwarding| forwarding.sent.values());
        let requests = self.forwarding.iter().flat_map(|forwarding| forwarding.serving.keys());
        let mut all = asks
            .chain(servings)
            .chain(relays.map(|token| Timer::Relay(token.clone())))
            .chain(lookups.map(|id| Timer::Lookup(*id)))
            .chain(tickets.map(|ticket| Timer::Ticket(*ticket)))
            .chain(sent.map(|id| Timer::Forward(*id)))
            .chain(requests.map(|name| Timer::Request(*name)));
        let is_missing =
            |timer: &Timer| self.deadline(timer).is_none_or(|at| !self.timers.contains(&(at, timer.clone())));
        all.find(is_missing).map(|timer| format!("there is no deadline for {timer:?}"))
    }

    fn stray_token(&self) -> Option<String> {
        let of_asks = self.asks.iter().flat_map(|(id, asked)| {
            let python = asked.python.as_ref().map(|python| (&python.token, *id));
            [(&asked.token, *id)].into_iter().chain(python)
        });
        let mut count = 0usize;
        for (token, id) in of_asks {
            count = count.saturating_add(1);
            if self.tokens.get(token) != Some(&id) {
                return Some(format!("{token:?} does not name {id:?}"));
            }
        }
        (count != self.tokens.len()).then(|| format!("{} tokens name {count} requests", self.tokens.len()))
    }

    fn wrong_sum(&self) -> Option<String> {
        let waiting = self.transmits.iter().fold(0usize, |sum, next| sum.saturating_add(next.bytes()));
        if waiting != self.waiting_bytes {
            return Some(format!("{waiting} bytes wait, and {} are counted", self.waiting_bytes));
        }
        let held = self.servings.iter().filter_map(|(id, served)| Some((id, served.held.as_ref()?)));
        let held = held.filter(|(_, held)| !held.is_over).count();
        let asked = self.bridging.as_ref().map_or(0, |bridging| bridging.asked.len());
        (asked != held).then(|| format!("{asked} requests to Python, of which {held} are waited for"))
    }
}

impl Lookups {
    fn inconsistency(&self) -> Option<String> {
        let bytes = self.open.values().fold(0usize, |sum, lookup| sum.saturating_add(lookup.bytes));
        if bytes != self.bytes {
            return Some(format!("{bytes} bytes of sessions, and {} are counted", self.bytes));
        }
        let stray = self.reading.iter().find(|id| !self.open.contains_key(id))?;
        Some(format!("pages are read for {stray:?}, which is over"))
    }
}

impl Forwarding {
    fn inconsistency(&self) -> Option<String> {
        let sum = |bytes: &mut dyn Iterator<Item = usize>| bytes.fold(0usize, usize::saturating_add);
        let sums = [
            (sum(&mut self.open.values().map(|opened| opened.bytes)), self.bytes),
            (
                sum(&mut self
                    .open
                    .values()
                    .filter(|opened| !opened.is_closed)
                    .map(|opened| opened.answer_bytes)),
                self.answer_bytes,
            ),
            (sum(&mut self.serving.values().map(|request| request.bytes)), self.served_bytes),
        ];
        if sums.iter().any(|(there, counted)| there != counted) {
            return Some(format!("bytes that are there and that are counted: {sums:?}"));
        }
        for (source, share) in &self.addresses.0 {
            let of_it = || self.open.values().filter(|opened| opened.source == Some(*source));
            let (open, bytes) = (of_it().count(), sum(&mut of_it().map(|opened| opened.sent_bytes)));
            if (open, bytes) != (share.open, share.bytes) {
                return Some(format!("{source:?} has {open} requests of {bytes} bytes: {share:?}"));
            }
        }
        for (number, id) in &self.sent {
            let waits = self.open.get(id).and_then(|opened| opened.waits);
            if waits.is_none_or(|waits| waits.number != *number) {
                return Some(format!("number {number} is of no request"));
            }
        }
        let is_named = |(name, request): (_, &super::forwarding::Request)| {
            self.names.get(&(request.asker.clone(), request.number)) == Some(name)
        };
        let is_whole = self.names.len() == self.serving.len() && self.serving.iter().all(is_named);
        (!is_whole).then(|| format!("{:?} name {:?}", self.names, self.serving))
    }
}
