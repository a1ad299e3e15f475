//! The bus: who subscribes to what, and what is on its way.

use crate::cluster::node::{AskId, ForwardId};
use crate::cluster::{Envelope, Published};
use crate::sim::Dice;
use crate::time::Instant;
use alloc::boxed::Box;
use alloc::collections::{BTreeMap, BTreeSet};
use alloc::format;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec;
use alloc::vec::Vec;
use bytes::Bytes;
use core::time::Duration;

/// Fields of an entry.
pub(super) type Fields = Vec<(&'static str, String)>;

/// A message of a member to the bus.
#[derive(Clone, Debug)]
pub(super) enum Command {
    Publish(Published),
    Subscribe(String),
    Unsubscribe(String),
    Count(String, Who),
    Append(String, Fields),
    Insert(Bytes, Box<Envelope>),
    Select(String, Arc<str>),
}

/// The purpose of a count.
#[derive(Clone, Copy, Debug)]
pub(super) enum Who {
    Ours(AskId),
    Peer(u64),
}

/// A message of the bus.
#[derive(Clone, Debug)]
pub(super) enum Delivery {
    Message(Published),
    Entry(Fields),
    Count(Who, u32),
    Row(String, Bytes),
    Inserted(Box<Envelope>, u64),
}

/// Something that is on its way to somewhere, or is to happen.
#[derive(Clone, Debug)]
pub(super) enum Flight {
    /// To the bus, from a member on one of its connections.
    Up(usize, u64, Command),
    /// From the bus.
    Down(usize, u64, Delivery),
    /// A client of a member acknowledges, if the program still runs.
    Acked(usize, u64, super::member::Asker, String),
    Step(usize),
    Heal(usize),
    Check(usize),
    PeerDeadline(usize, u64),
    /// A client behind the balancer acts, if it still has that session.
    Client(usize, u64),
    /// The longest time for a request of one is over.
    Overdue(super::balanced::Asked, (usize, u64, ForwardId)),
}

/// The connection of a member.
#[derive(Clone, Debug, Default)]
pub(super) struct Line {
    /// Which connection it is: what is on its way on another one is lost.
    pub(super) epoch: u64,
    pub(super) is_cut: bool,
    pub(super) is_deaf: bool,
    pub(super) repeats: bool,
    pub(super) late: Duration,
    up_until: Instant,
    down_until: Instant,
    pub(super) subscriptions: BTreeSet<String>,
}

pub(super) struct Bus {
    pub(super) lines: Vec<Line>,
    pub(super) flights: BTreeMap<(Instant, u64), Flight>,
    sequence: u64,
    rows: Vec<Bytes>,
    delay: u64,
    is_reordering: bool,
    pub(super) dice: Dice,
    /// The number of times that each event was published, by its number.
    pub(super) copies: BTreeMap<u64, u32>,
    pub(super) published: u64,
}

/// The number in the name of an event, which is `e<number>;`, wherever it is in a message.
pub(super) fn number_in(payload: &[u8]) -> Option<u64> {
    for (at, byte) in payload.iter().enumerate() {
        if *byte != b'e' {
            continue;
        }
        let digits: Vec<u8> = payload[at + 1..].iter().copied().take_while(u8::is_ascii_digit).collect();
        if !digits.is_empty() && payload.get(at + 1 + digits.len()) == Some(&b';') {
            return core::str::from_utf8(&digits).ok()?.parse().ok();
        }
    }
    None
}

impl Bus {
    pub(super) fn new(members: usize, delay: u64, is_reordering: bool, dice: Dice) -> Self {
        Self {
            lines: vec![Line::default(); members],
            flights: BTreeMap::new(),
            sequence: 0,
            rows: Vec::new(),
            delay,
            is_reordering,
            dice,
            copies: BTreeMap::new(),
            published: 0,
        }
    }

    pub(super) fn at(&mut self, time: Instant, flight: Flight) {
        self.sequence += 1;
        self.flights.insert((time, self.sequence), flight);
    }

    fn delay(&mut self) -> Duration {
        Duration::from_micros(self.dice.between(100, self.delay * 1000))
    }

    /// A member sends something.
    pub(super) fn send(&mut self, now: Instant, from: usize, command: Command) {
        let delay = self.delay();
        let line = &mut self.lines[from];
        if line.is_cut {
            return;
        }
        let mut time = now + delay;
        // Publishers with several connections keep no order among their messages, but publish after they subscribed.
        let overtakes = self.is_reordering && matches!(command, Command::Publish(_));
        time = time.max(line.up_until);
        if !overtakes {
            line.up_until = time;
        } else {
            time = time + Duration::from_micros(self.dice.below(self.delay * 1000));
        }
        let epoch = self.lines[from].epoch;
        self.at(time, Flight::Up(from, epoch, command));
    }

    fn deliver(&mut self, now: Instant, to: usize, delivery: Delivery) {
        let delay = self.delay();
        let line = &mut self.lines[to];
        if line.is_cut || line.is_deaf {
            return;
        }
        let time = (now + delay + line.late).max(line.down_until);
        line.down_until = time;
        let (epoch, repeats) = (line.epoch, line.repeats);
        if repeats && matches!(delivery, Delivery::Message(_) | Delivery::Entry(_)) {
            self.at(time, Flight::Down(to, epoch, delivery.clone()));
        }
        self.at(time, Flight::Down(to, epoch, delivery));
    }

    /// Something has arrived at the bus.
    pub(super) fn arrived(&mut self, now: Instant, from: usize, command: Command) {
        match command {
            Command::Subscribe(name) => drop(self.lines[from].subscriptions.insert(name)),
            Command::Unsubscribe(name) => drop(self.lines[from].subscriptions.remove(&name)),
            Command::Publish(published) => {
                self.count(&published.payload);
                for to in 0..self.lines.len() {
                    // Once for each subscription that fits, as in Redis.
                    let fits = |name: &&String| match name.strip_suffix('*') {
                        Some(head) => published.channel.starts_with(head),
                        None => **name == published.channel,
                    };
                    let times = self.lines[to].subscriptions.iter().filter(fits).count();
                    for _ in 0..times {
                        self.deliver(now, to, Delivery::Message(published.clone()));
                    }
                }
            }
            Command::Append(stream, fields) => {
                fields.iter().for_each(|(_, value)| self.count(value.as_bytes()));
                let name = format!("stream {stream}");
                for to in 0..self.lines.len() {
                    if self.lines[to].subscriptions.contains(&name) {
                        self.deliver(now, to, Delivery::Entry(fields.clone()));
                    }
                }
            }
            Command::Count(channel, who) => {
                let count = self.lines.iter().filter(|line| line.subscriptions.contains(&channel)).count();
                self.deliver(now, from, Delivery::Count(who, count as u32));
            }
            Command::Insert(payload, envelope) => {
                self.count(&payload);
                self.rows.push(payload);
                self.deliver(now, from, Delivery::Inserted(envelope, self.rows.len() as u64 - 1));
            }
            Command::Select(channel, row) => {
                let row = row.parse::<usize>().ok().and_then(|row| self.rows.get(row)).cloned();
                if let Some(row) = row {
                    self.deliver(now, from, Delivery::Row(channel, row));
                }
            }
        }
    }

    fn count(&mut self, payload: &[u8]) {
        self.published += 1;
        if let Some(number) = number_in(payload) {
            *self.copies.entry(number).or_default() += 1;
        }
    }

    /// The connection of a member breaks: what is on its way on it is lost.
    pub(super) fn break_line(&mut self, member: usize) {
        let line = &mut self.lines[member];
        line.epoch += 1;
        line.up_until = Instant::ZERO;
        line.down_until = Instant::ZERO;
    }
}
