//! Sessions that move: clients that lose their connections and come back to another node, over a stream with faults.
//!
//! The nodes are this crate's, with recovery. What a server does around them is a model here: which of its sockets an event
//! reaches, which events wait for the stream, what a client is told that comes back. See the [module above](super) for the rules.

mod engine;
mod server;

use self::engine::{Answer, Engine};
use self::server::Server;
use super::play::Report;
use crate::random::Random;
use crate::sim::{Broken, Dice, Trace};
use crate::time::Instant;
use alloc::collections::{BTreeMap, BTreeSet};
use alloc::format;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::time::Duration;

/// The time that the loss of a client may go unnoticed.
const DETECTION: Duration = Duration::from_secs(5);
/// The time that sessions wait.
const WINDOW: Duration = Duration::from_secs(60);

/// Something on its way, or about to happen.
enum Happening {
    /// The next act of the story.
    Act,
    /// To the engine: the line of a node, in order.
    ToBus(usize, u64),
    /// From the engine to a node on a connection.
    FromBus(usize, u64, Answer),
    /// An event arrives at a client on a connection: its number, and the offset.
    Heard(usize, u64, u64, Option<String>),
    /// A server notices that a connection is lost.
    Notice(usize, u64),
    /// A client comes back.
    Return(usize),
    /// A fault of the bus is over.
    Heal(usize),
}

/// A session, as the one who watches all knows it.
struct Session {
    client: usize,
    rooms: Vec<Arc<str>>,
    sid: Arc<str>,
    /// The first entry of the stream that is for it.
    from: usize,
    heard: Vec<u64>,
    /// The places of what it has heard from the stream.
    places: Vec<usize>,
    is_over: bool,
    has_gap: bool,
}

struct Client {
    room: &'static str,
    /// Its private id, and the last offset.
    shows: Option<(Arc<str>, Option<String>)>,
    session: usize,
    /// The number of its connection, and the server; `None` if it is away.
    line: Option<(u64, usize)>,
    connections: u64,
    /// Its session was kept at that time.
    saved_at: Option<Instant>,
}

struct Travel {
    now: Instant,
    dice: Dice,
    flights: BTreeMap<(Instant, u64), Happening>,
    last_flight: u64,
    engine: Engine,
    servers: Vec<Server>,
    clients: Vec<Client>,
    sessions: Vec<Session>,
    /// The sessions that the engine took, and of which their nodes have said nothing so far: the keys, by node.
    taken: BTreeSet<(usize, String)>,
    /// The recipients of each event that was emitted.
    events: BTreeMap<u64, crate::hub::Target>,
    is_stormy: bool,
    /// A fault of the bus has been.
    was_storm: bool,
    broken: Option<Broken>,
    trace: Trace,
    recovered: u64,
    deliveries: u64,
}

/// Plays the story of a seed, and judges it. `keep` keeps what happened as text. In the report, `requests` is the number of
/// sessions that were given back, and `certain` that of the events that had to be heard.
pub fn travel(seed: u64, keep: bool) -> Report {
    let mut dice = Dice::new(seed ^ 0x7ea7);
    let is_stormy = dice.percent(75);
    let servers = (0..dice.between(2, 3)).map(|_| Server::new(Random::new(dice.key()))).collect();
    let clients = (0..dice.between(2, 4)).map(|number| Client {
        room: ["r0", "r1"][number as usize % 2],
        shows: None,
        session: usize::MAX,
        line: None,
        connections: 0,
        saved_at: None,
    });
    let mut travel = Travel {
        now: Instant::from_millis(1),
        flights: BTreeMap::new(),
        last_flight: 0,
        engine: Engine::default(),
        servers,
        clients: clients.collect(),
        sessions: Vec::new(),
        taken: BTreeSet::new(),
        events: BTreeMap::new(),
        is_stormy,
        was_storm: false,
        broken: None,
        trace: Trace::new(keep),
        recovered: 0,
        deliveries: 0,
        dice,
    };
    travel.play();
    travel.report()
}

impl Travel {
    fn at(&mut self, at: Instant, happening: Happening) {
        self.last_flight += 1;
        self.flights.insert((at, self.last_flight), happening);
    }

    fn after(&mut self, least: u64, most: u64, happening: Happening) {
        let at = self.now + Duration::from_millis(self.dice.between(least, most));
        self.at(at, happening);
    }

    fn note(&mut self, what: u8, number: u64, line: impl FnOnce() -> String) {
        let now = self.now;
        self.trace.note(now, what, number, &[], |to| core::fmt::Write::write_str(to, &line()));
    }

    fn fail(&mut self, rule: &'static str, detail: String) {
        if self.broken.is_none() {
            self.broken = Some(Broken { at: self.now, rule, detail });
        }
    }

    fn play(&mut self) {
        for at in 0..self.servers.len() {
            self.connect_bus(at);
        }
        for client in 0..self.clients.len() {
            self.after(100, 500, Happening::Return(client));
        }
        self.run_to(Instant::from_millis(1_000));
        for _ in 0..self.dice.between(20, 80) {
            let after = match self.dice.below(3) {
                0 => 0,
                1 => self.dice.below(100),
                _ => self.dice.below(3_000),
            };
            let at = self.now + Duration::from_millis(after);
            self.at(at, Happening::Act);
            self.run_to(at);
        }
        // All that is wrong is over, everybody is back, and everybody says something.
        self.run_to(self.now + Duration::from_secs(80));
        for server in 0..self.servers.len() {
            self.emit(server, crate::hub::Target::all());
        }
        self.run_to(self.now + Duration::from_secs(20));
    }

    fn run_to(&mut self, end: Instant) {
        for round in 0..200_000 {
            if round % 16 == 0 {
                self.look_into();
            }
            let flight = self.flights.first_key_value().map(|((at, _), _)| *at);
            let timers = self.servers.iter().filter_map(|server| server.node.poll_timeout());
            let Some(next) = flight.into_iter().chain(timers).min().filter(|next| *next <= end) else {
                self.now = end;
                return;
            };
            self.now = self.now.max(next);
            for at in 0..self.servers.len() {
                if self.servers[at].node.poll_timeout().is_some_and(|next| next <= self.now) {
                    self.servers[at].node.handle_timeout(self.now);
                    self.pump(at);
                }
            }
            while let Some(entry) = self.flights.first_entry() {
                if entry.key().0 > self.now {
                    break;
                }
                let happening = entry.remove();
                self.happen(happening);
            }
        }
        self.fail("time passes", String::new());
    }

    /// Whether the parts of the nodes agree.
    fn look_into(&mut self) {
        let mut wrong = self.servers.iter().filter_map(|server| server.node.inconsistency());
        if let Some(detail) = wrong.next() {
            self.fail("the parts of a node agree", detail);
        }
    }

    fn happen(&mut self, happening: Happening) {
        match happening {
            Happening::Act => self.act(),
            Happening::ToBus(at, epoch) => self.arrive_at_bus(at, epoch),
            Happening::FromBus(at, epoch, answer) => self.arrive_from_bus(at, epoch, answer),
            Happening::Heard(client, line, number, offset) => self.heard(client, line, number, offset),
            Happening::Notice(at, line) => self.notice(at, line),
            Happening::Return(client) => self.comes(client),
            Happening::Heal(at) => {
                self.servers[at].is_slow = false;
                self.servers[at].is_refused = false;
                if !self.servers[at].node.is_on_bus() {
                    self.connect_bus(at);
                }
                self.push_line(at);
            }
        }
    }

    fn act(&mut self) {
        let at = self.dice.below(self.servers.len() as u64) as usize;
        let client = self.dice.below(self.clients.len() as u64) as usize;
        match self.dice.below(if self.is_stormy { 26 } else { 16 }) {
            0..=9 => {
                let all = crate::hub::Target::all();
                let sid = self.sessions.get(self.clients[client].session).map(|session| session.sid.clone());
                let target = match (self.dice.below(6), sid) {
                    (0 | 1, _) => all,
                    (2, _) => all.to("r0"),
                    (3, _) => all.to("r1"),
                    (4, Some(sid)) => all.to(sid),
                    (_, Some(sid)) => all.except(sid),
                    (_, None) => all,
                };
                self.emit(at, target);
            }
            10..=15 => self.cut(client),
            16..=18 => self.break_bus(at),
            19 | 20 => {
                self.was_storm = true;
                self.servers[at].is_slow = true;
                let most = if self.dice.percent(30) { 15_000 } else { 4_000 };
                self.after(200, most, Happening::Heal(at));
            }
            21 => {
                self.was_storm = true;
                self.servers[at].is_refused = true;
                self.after(200, 2_000, Happening::Heal(at));
            }
            22 => {
                self.was_storm = true;
                self.engine.trim(&mut self.dice);
            }
            23 => self.servers[at].repeats = !self.servers[at].repeats,
            _ => self.servers[at].lags = !self.servers[at].lags,
        }
    }

    /// The connection of a client is lost, and its server notices at once or later.
    fn cut(&mut self, client: usize) {
        let Some((line, at)) = self.clients[client].line.take() else { return };
        self.note(1, client as u64, || format!("client {client} is cut from {at}"));
        self.clients[client].saved_at = None;
        let most = if self.dice.percent(60) { 1 } else { DETECTION.as_millis() as u64 };
        self.after(0, most, Happening::Notice(at, line));
        let most = if self.dice.percent(90) { 20_000 } else { 70_000 };
        self.after(50, most, Happening::Return(client));
    }

    /// The connection of a node to the engine breaks. What was on its way has arrived in part.
    fn break_bus(&mut self, at: usize) {
        if !self.servers[at].node.is_on_bus() {
            return;
        }
        self.was_storm = true;
        self.note(2, at as u64, || format!("the bus of {at} breaks"));
        while self.dice.percent(60) {
            if !self.carry_out_next(at) {
                break;
            }
        }
        let server = &mut self.servers[at];
        server.epoch += 1;
        server.line.clear();
        server.is_reading = false;
        server.node.handle_bus_down(self.now);
        self.pump(at);
        // A session that is put back is lost with the connection.
        self.taken.retain(|(node, _)| *node != at);
        self.after(50, 5_000, Happening::Heal(at));
    }

    fn connect_bus(&mut self, at: usize) {
        self.servers[at].node.handle_bus_up(self.now);
        self.pump(at);
    }

    /// A client hears an event, unless its connection is lost meanwhile.
    fn heard(&mut self, client: usize, line: u64, number: u64, offset: Option<String>) {
        let Some((_, at)) = self.clients[client].line.filter(|(now, _)| *now == line) else { return };
        self.deliveries += 1;
        self.note(3, number, || format!("client {client} at {at} hears {number} {offset:?}"));
        let session = &mut self.sessions[self.clients[client].session];
        let is_twice = session.heard.contains(&number);
        session.heard.push(number);
        let place = offset.as_ref().and_then(|offset| self.engine.place(offset));
        let is_behind = place.is_none_or(|place| session.places.last().is_none_or(|last| *last < place));
        session.places.extend(place);
        if let (Some(offset), Some((_, shown))) = (offset, &mut self.clients[client].shows) {
            *shown = Some(offset);
        }
        if is_twice {
            self.fail("nothing comes twice", format!("{number} at client {client}"));
        }
        if !is_behind {
            self.fail("events come in the order of the stream", format!("{number} at client {client}"));
        }
    }

    fn report(mut self) -> Report {
        let mut certain = 0;
        for number in 0..self.sessions.len() {
            let session = &self.sessions[number];
            if session.is_over || session.has_gap {
                continue;
            }
            let heard: BTreeSet<u64> = session.heard.iter().copied().collect();
            let is_for = |event: &&u64| {
                self.events
                    .get(*event)
                    .is_some_and(|target| server::is_for(target, &session.sid, &session.rooms))
            };
            let owed: Vec<u64> = self.engine.events(session.from).iter().filter(is_for).copied().collect();
            certain += owed.len() as u64;
            if let Some(missed) = owed.iter().find(|event| !heard.contains(event)) {
                let detail = format!("{missed} at client {} in session {number}", session.client);
                self.fail("nothing is lost", detail);
            }
        }
        if let Some((at, key)) = self.taken.first() {
            let detail = format!("{key} at {at}");
            self.fail("a session that is taken is told, or waits again", detail);
        }
        for at in 0..self.servers.len() {
            let server = &self.servers[at];
            let left = (server.waiting.len(), server.searches.len(), server.node.poll_timeout());
            if left != (0, 0, None) {
                self.fail("nothing is left over", format!("at {at}: {left:?}"));
            }
        }
        Report {
            broken: self.broken,
            deliveries: self.deliveries,
            published: self.engine.events(0).len() as u64,
            certain,
            requests: self.recovered,
            hash: self.trace.hash(),
            transcript: self.trace.transcript(),
        }
    }
}
