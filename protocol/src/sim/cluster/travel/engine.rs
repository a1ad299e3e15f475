//! The engine: one stream, the keys of sessions, and the lines of the nodes to it.

use super::super::bus::{Fields, number_in};
use super::{Happening, Travel};
use crate::cluster::Subscription;
use crate::cluster::node::{EntryId, LookupId, NodeTransmit, StreamEntry};
use crate::sim::Dice;
use crate::time::Instant;
use alloc::collections::BTreeMap;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use bytes::Bytes;
use core::time::Duration;

/// An answer of the engine to a node.
pub(super) enum Answer {
    /// It reads behind that entry.
    ReadsFrom(EntryId),
    /// That entry.
    Entry(usize),
    Taken(LookupId, String, Option<Bytes>, bool),
    Page(LookupId, Vec<StreamEntry>),
    NotAppended(u64),
}

#[derive(Default)]
pub(super) struct Engine {
    stream: Vec<StreamEntry>,
    /// The event in each entry.
    numbers: Vec<u64>,
    /// The entries that are cut off.
    trimmed: usize,
    keys: BTreeMap<String, (Instant, Bytes)>,
}

fn id(place: usize) -> EntryId {
    EntryId::new(place as u64 / 3 + 1, place as u64 % 3)
}

impl Engine {
    /// The events from that place on.
    pub(super) fn events(&self, from: usize) -> &[u64] {
        self.numbers.get(from..).unwrap_or_default()
    }

    pub(super) fn place(&self, offset: &str) -> Option<usize> {
        self.stream.iter().position(|entry| entry.id == offset)
    }

    pub(super) fn trim(&mut self, dice: &mut Dice) {
        let left = dice.below(10) as usize;
        self.trimmed = self.trimmed.max(self.stream.len().saturating_sub(left));
    }

    fn append(&mut self, fields: &Fields) {
        let number = fields.iter().find_map(|(_, value)| number_in(value.as_bytes()));
        let fields = fields.iter().map(|(name, value)| (name.as_bytes().to_vec(), value.as_bytes().to_vec()));
        self.stream.push(StreamEntry { id: id(self.stream.len()).to_string(), fields: fields.collect() });
        self.numbers.push(number.unwrap_or(0));
    }
}

impl Travel {
    /// Puts onto a node's line what it wants.
    pub(super) fn send_to_bus(&mut self, at: usize, transmit: NodeTransmit) {
        if let NodeTransmit::Save { key, .. } = &transmit {
            self.taken.remove(&(at, key.clone()));
        }
        self.servers[at].line.push_back(transmit);
        let epoch = self.servers[at].epoch;
        let at_engine = self.servers[at].last_up.max(self.now) + Duration::from_millis(self.dice.below(20));
        self.servers[at].last_up = at_engine;
        self.at(at_engine, Happening::ToBus(at, epoch));
    }

    pub(super) fn arrive_at_bus(&mut self, at: usize, epoch: u64) {
        if self.servers[at].epoch == epoch && !self.servers[at].is_slow {
            self.carry_out_next(at);
        }
    }

    /// Delivers the messages that have waited on a slow line.
    pub(super) fn push_line(&mut self, at: usize) {
        while self.carry_out_next(at) {}
    }

    /// The engine carries out the next thing on a node's line.
    pub(super) fn carry_out_next(&mut self, at: usize) -> bool {
        let Some(transmit) = self.servers[at].line.pop_front() else { return false };
        match transmit {
            NodeTransmit::Subscribe(Subscription::Stream(_)) => {
                let from = *self.servers[at].read.get_or_insert(self.engine.stream.len());
                self.servers[at].is_reading = true;
                self.servers[at].told = from;
                let behind = from.checked_sub(1).map_or(EntryId::default(), id);
                self.answer(at, Answer::ReadsFrom(behind));
                self.tell_readers();
            }
            NodeTransmit::Append { fields, ticket, .. } => {
                match ticket.filter(|_| self.servers[at].is_refused && self.dice.percent(50)) {
                    Some(ticket) => self.answer(at, Answer::NotAppended(ticket)),
                    None => {
                        let place = self.engine.stream.len();
                        self.engine.append(&fields);
                        self.note(4, at as u64, || format!("{at} appends {fields:?} as {}", id(place)));
                        self.tell_readers();
                    }
                }
            }
            NodeTransmit::Save { key, value, time } => {
                self.engine.keys.insert(key, (self.now + time, value));
            }
            NodeTransmit::Take { key, offset, lookup, .. } => {
                let taken = self.engine.keys.remove(&key).filter(|(until, _)| *until > self.now);
                let left = &self.engine.stream[self.engine.trimmed..];
                let has_offset = left.iter().any(|entry| entry.id == offset.to_string());
                let taken = taken.map(|(_, value)| value);
                self.answer(at, Answer::Taken(lookup, key, taken, has_offset));
            }
            NodeTransmit::Page { from, count, lookup, .. } => {
                let places =
                    (self.engine.trimmed..self.engine.stream.len()).filter(|place| id(*place) >= from);
                let count = count.min(self.dice.between(2, 5) as usize);
                let page = places.take(count).map(|place| self.engine.stream[place].clone()).collect();
                self.answer(at, Answer::Page(lookup, page));
            }
            _ => {}
        }
        true
    }

    fn answer(&mut self, at: usize, answer: Answer) {
        // The reader and the other commands have a connection each.
        let is_read = matches!(answer, Answer::ReadsFrom(_) | Answer::Entry(_));
        let most = if is_read && self.servers[at].lags { 400 } else { 20 };
        let due = self.now + Duration::from_millis(self.dice.below(most));
        let due = due.max(self.servers[at].last_down[usize::from(is_read)]);
        self.servers[at].last_down[usize::from(is_read)] = due;
        let epoch = self.servers[at].epoch;
        self.at(due, Happening::FromBus(at, epoch, answer));
    }

    fn tell_readers(&mut self) {
        for at in 0..self.servers.len() {
            while self.servers[at].is_reading && self.servers[at].told < self.engine.stream.len() {
                let place = self.servers[at].told;
                self.servers[at].told += 1;
                self.answer(at, Answer::Entry(place));
                if self.servers[at].repeats {
                    self.answer(at, Answer::Entry(place));
                }
            }
        }
    }

    pub(super) fn arrive_from_bus(&mut self, at: usize, epoch: u64, answer: Answer) {
        if self.servers[at].epoch != epoch {
            return;
        }
        let now = self.now;
        let is_new = |place: usize, read: Option<usize>| read.is_none_or(|read| read <= place);
        let super::Server { node, read, .. } = &mut self.servers[at];
        match answer {
            Answer::ReadsFrom(id) => node.handle_stream_position(now, id),
            Answer::Entry(place) => {
                if is_new(place, *read) && place < self.engine.trimmed {
                    // It is cut off before it was read.
                    node.handle_stream_gap(now);
                } else if let Some(entry) = self.engine.stream.get(place) {
                    node.handle_entry(now, &entry.id, entry.fields());
                }
                *read = Some(read.unwrap_or(0).max(place + 1));
            }
            Answer::Taken(lookup, key, value, has_offset) => {
                if value.is_some() && !self.taken.insert((at, key)) {
                    return self.fail("a session is taken once", format!("at {at}"));
                }
                node.handle_taken(now, lookup, value.as_deref(), has_offset);
            }
            Answer::Page(lookup, entries) => node.handle_page(now, lookup, &entries),
            Answer::NotAppended(ticket) => node.handle_not_appended(now, ticket),
        }
        self.pump(at);
    }
}
