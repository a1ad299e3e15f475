//! A server around a node, as a model: its sockets, the events that wait for the stream, the clients that come back.

use super::{DETECTION, Happening, Session, Travel, WINDOW};
use crate::cluster::node::{
    Certainty, Dialect, EarlyEvents, EntryId, FoundSession, LookupId, LookupOutcome, Node, NodeConfig,
    NodeEvent, NodeTransmit, Reach,
};
use crate::cluster::{self, Event, Message, Streams, Values};
use crate::hub::Target;
use crate::random::Random;
use crate::time::Instant;
use alloc::collections::{BTreeMap, VecDeque};
use alloc::format;
use alloc::string::{String, ToString};
use alloc::sync::Arc;
use alloc::vec;
use alloc::vec::Vec;

pub(super) struct Server {
    pub(super) node: Node,
    /// The connection to the engine.
    pub(super) epoch: u64,
    pub(super) line: VecDeque<NodeTransmit>,
    pub(super) last_up: Instant,
    pub(super) last_down: [Instant; 2],
    pub(super) is_reading: bool,
    pub(super) is_slow: bool,
    pub(super) is_refused: bool,
    pub(super) repeats: bool,
    /// Its reader is behind.
    pub(super) lags: bool,
    /// The number of entries that it was handed over, and that are on their way.
    pub(super) read: Option<usize>,
    pub(super) told: usize,
    /// The events that wait for the stream, by tickets.
    pub(super) waiting: BTreeMap<u64, (u64, Target)>,
    early: EarlyEvents,
    /// The number of events that it has sent.
    sent: u64,
    /// By the numbers of their connections.
    sockets: BTreeMap<u64, Socket>,
    pub(super) searches: BTreeMap<LookupId, Search>,
}

struct Socket {
    client: usize,
    session: usize,
    pid: Arc<str>,
    /// The number of the first event after it had come.
    since: u64,
    certainty: Certainty,
}

/// A client that waits for its session.
pub(super) struct Search {
    client: usize,
    line: u64,
    passed: Vec<(EntryId, u64, Target)>,
}

/// The place of an event that is sent.
#[derive(Clone, Copy)]
enum Place {
    At(EntryId, Option<(u64, bool)>),
    Early(u64),
}

pub(super) fn is_for(target: &Target, sid: &Arc<str>, rooms: &[Arc<str>]) -> bool {
    let is_in = |names: &[Arc<str>]| names.iter().any(|name| name == sid || rooms.contains(name));
    (target.rooms.is_empty() || is_in(&target.rooms)) && !is_in(&target.except)
}

impl Server {
    pub(super) fn new(random: Random) -> Self {
        let config = NodeConfig::default().with_recovers(true);
        let mut node = Node::new(config, Dialect::Streams(Streams::default()), random);
        node.open(Instant::ZERO, "/");
        Self {
            node,
            epoch: 0,
            line: VecDeque::new(),
            last_up: Instant::ZERO,
            last_down: [Instant::ZERO; 2],
            is_reading: false,
            is_slow: false,
            is_refused: false,
            repeats: false,
            lags: false,
            read: None,
            told: 0,
            waiting: BTreeMap::new(),
            early: EarlyEvents::default(),
            sent: 0,
            sockets: BTreeMap::new(),
            searches: BTreeMap::new(),
        }
    }
}

impl Travel {
    /// Does what a driver and a runtime do at once.
    pub(super) fn pump(&mut self, at: usize) {
        for step in 0.. {
            assert!(step < 10_000, "work at one instant has no end");
            if let Some(event) = self.servers[at].node.poll_event() {
                self.event(at, event);
            } else if let Some(transmit) = self.servers[at].node.poll_transmit() {
                self.send_to_bus(at, transmit);
            } else {
                return;
            }
        }
    }

    fn event(&mut self, at: usize, event: NodeEvent) {
        match event {
            NodeEvent::Logged { event, target, id, ticket, .. } => {
                let number = event.args().get::<u64>(0).unwrap_or_default();
                let ticket =
                    ticket.map(|ticket| (ticket, self.servers[at].waiting.remove(&ticket).is_some()));
                self.send(at, number, &target, Place::At(id, ticket));
            }
            NodeEvent::Unlogged { ticket, may_come } => match self.servers[at].waiting.remove(&ticket) {
                Some((number, target)) => {
                    self.send(at, number, &target, Place::Early(if may_come { ticket } else { 0 }));
                }
                None if !may_come => self.servers[at].early.lost(ticket),
                None => {}
            },
            NodeEvent::Found { lookup, outcome, pid, .. } => {
                if !matches!(outcome, LookupOutcome::Unknown) {
                    self.taken.remove(&(at, Streams::default().session_key(&pid)));
                }
                let Some(search) = self.servers[at].searches.remove(&lookup) else {
                    return self.fail("a search ends once", format!("{lookup:?} at {at}"));
                };
                self.found(at, search, outcome);
            }
            NodeEvent::StreamGap => {
                for socket in self.servers[at].sockets.values() {
                    self.sessions[socket.session].has_gap = true;
                }
            }
            _ => {}
        }
    }

    /// A server emits an event.
    pub(super) fn emit(&mut self, at: usize, target: Target) {
        let number = self.events.len() as u64 + 1;
        self.events.insert(number, target.clone());
        self.note(5, number, || format!("{at} emits {number} to {target:?}"));
        let event = Event::new(&format!("e{number};"), &number).expect("a legal event");
        let message = Message::Emit { event, target: target.clone(), ack: None };
        let server = &mut self.servers[at];
        let encoded = server.node.encoder().encode(&"/".into(), message).expect("it has a form");
        if let Some(ticket) = server.node.send_logged(self.now, encoded) {
            server.waiting.insert(ticket, (number, target));
        } else {
            // Behind those that wait.
            for (ticket, (number, target)) in core::mem::take(&mut server.waiting) {
                self.send(at, number, &target, Place::Early(ticket));
            }
            self.send(at, number, &target, Place::Early(0));
        }
        self.pump(at);
    }

    /// Sends an event to the sockets of a server.
    fn send(&mut self, at: usize, number: u64, target: &Target, place: Place) {
        let now = self.now;
        let server = &mut self.servers[at];
        let own = server.sent;
        server.sent += 1;
        let reach = match place {
            Place::At(_, Some((ticket, has_waited))) => server.early.back(ticket, has_waited),
            Place::At(_, None) => Reach::All,
            Place::Early(ticket) => {
                server.early.sent(ticket, own);
                Reach::All
            }
        };
        if let Place::At(id, _) = place {
            for search in server.searches.values_mut() {
                search.passed.push((id, number, target.clone()));
            }
        }
        let returned = server.early.returned();
        let mut reached = Vec::new();
        for (line, socket) in &mut server.sockets {
            let session = &self.sessions[socket.session];
            let comes = match reach {
                Reach::All => true,
                Reach::After(early) => socket.since > early,
                Reach::Nobody => false,
            };
            if !comes || !is_for(target, &session.sid, &session.rooms) {
                continue;
            }
            let offset = match place {
                Place::At(id, _) => {
                    socket.certainty.sent_with_offset(now, returned, DETECTION);
                    Some(id.to_string())
                }
                Place::Early(ticket) => {
                    socket.certainty.sent_without_offset(now, ticket);
                    None
                }
            };
            reached.push((socket.client, *line, offset));
        }
        for (client, line, offset) in reached {
            self.tell(client, line, number, offset);
        }
    }

    /// An event leaves for a client: in order on its connection.
    fn tell(&mut self, client: usize, line: u64, number: u64, offset: Option<String>) {
        // Each takes equally long, so that they stay in order.
        self.after(15, 15, Happening::Heard(client, line, number, offset));
    }

    /// A server notices that a connection is lost, and keeps the session if it may be recovered.
    pub(super) fn notice(&mut self, at: usize, line: u64) {
        let now = self.now;
        let server = &mut self.servers[at];
        let Some(socket) = server.sockets.remove(&line) else { return };
        let session = &mut self.sessions[socket.session];
        let kept = cluster::Session {
            sid: session.sid.clone(),
            pid: socket.pid,
            rooms: [&session.sid].into_iter().chain(&session.rooms).cloned().collect(),
            data: Values::new(&()).expect("nothing is JSON"),
            namespace: Some("/".into()),
        };
        let is_kept =
            socket.certainty.is_certain(now, DETECTION) && server.node.save_session(now, &kept, WINDOW);
        session.is_over |= !is_kept;
        let client = &mut self.clients[socket.client];
        if is_kept && client.session == socket.session {
            client.saved_at = Some(now);
        }
        self.note(6, line, || format!("{at} notices that client {} is gone; kept: {is_kept}", socket.client));
        self.pump(at);
    }

    /// A client comes back, to any server.
    pub(super) fn comes(&mut self, client: usize) {
        let at = self.dice.below(self.servers.len() as u64) as usize;
        // The number of a connection is unique.
        self.clients[client].connections += 1;
        let line = self.clients[client].connections * 10 + client as u64;
        self.clients[client].line = Some((line, at));
        // The same server knows then that the connection before is lost.
        let before = self.servers[at].sockets.iter().find(|(_, socket)| socket.client == client);
        if let Some(before) = before.map(|(line, _)| *line) {
            self.notice(at, before);
        }
        let shown = self.clients[client].shows.clone();
        self.note(7, client as u64, || format!("client {client} comes to {at} and shows {shown:?}"));
        if let Some((pid, Some(offset))) = shown {
            let found = self.servers[at].node.find_session(self.now, "/", &pid, &offset);
            if let Some(lookup) = found {
                self.servers[at].searches.insert(lookup, Search { client, line, passed: Vec::new() });
                return self.pump(at);
            }
        }
        self.begin(at, client, line);
    }

    fn found(&mut self, at: usize, search: Search, outcome: LookupOutcome) {
        let Search { client, line, passed } = search;
        let is_there = self.clients[client].line == Some((line, at));
        match outcome {
            LookupOutcome::Found(found) if is_there => self.go_on(at, client, line, *found, passed),
            LookupOutcome::Found(found) => {
                // It is gone meanwhile: its session waits again.
                let is_saved = self.servers[at].node.save_session(self.now, &found.session, WINDOW);
                self.clients[client].saved_at = is_saved.then_some(self.now);
            }
            _ if is_there => self.begin(at, client, line),
            _ => {}
        }
    }

    /// A client begins anew.
    fn begin(&mut self, at: usize, client: usize, line: u64) {
        let before = &self.clients[client];
        let (now, window) = (self.now, core::time::Duration::from_secs(55));
        let had_offset = before.shows.as_ref().is_some_and(|(_, offset)| offset.is_some());
        // Its saving may be on the way for a moment.
        let second = core::time::Duration::from_secs(1);
        let waited = before.saved_at.is_some_and(|at| at + second <= now && now < at + window);
        if had_offset && waited && !self.was_storm {
            self.fail("a client that is back in time goes on", format!("client {client} at {at}"));
        }
        if let Some(session) = self.sessions.get_mut(self.clients[client].session) {
            session.is_over = true;
        }
        let number = self.sessions.len();
        let sid: Arc<str> = format!("socket {number}").into();
        let pid: Arc<str> = format!("private {number}").into();
        let rooms = vec![self.clients[client].room.into()];
        let from = self.servers[at].read.unwrap_or(0);
        self.sessions.push(Session {
            client,
            rooms,
            sid,
            from,
            heard: Vec::new(),
            places: Vec::new(),
            is_over: false,
            has_gap: false,
        });
        self.clients[client].session = number;
        self.clients[client].shows = Some((pid.clone(), None));
        self.enter(at, client, line, pid);
    }

    fn enter(&mut self, at: usize, client: usize, line: u64, pid: Arc<str>) {
        self.clients[client].saved_at = None;
        let (session, since) = (self.clients[client].session, self.servers[at].sent);
        let socket = Socket { client, session, pid, since, certainty: Certainty::default() };
        self.servers[at].sockets.insert(line, socket);
    }

    /// A client goes on with its session, and hears what it has missed.
    fn go_on(
        &mut self,
        at: usize,
        client: usize,
        line: u64,
        found: FoundSession,
        passed: Vec<(EntryId, u64, Target)>,
    ) {
        self.recovered += 1;
        self.note(8, client as u64, || format!("client {client} goes on at {at}, read to {}", found.read_to));
        let FoundSession { session, missed, read_to } = found;
        if self.sessions[self.clients[client].session].is_over {
            self.fail("a session that is over is not given back", format!("client {client} at {at}"));
        }
        self.enter(at, client, line, session.pid.clone());
        for (id, event) in missed {
            let number = event.args().get::<u64>(0).unwrap_or_default();
            self.tell(client, line, number, Some(id.to_string()));
        }
        for (id, number, target) in passed {
            if id > read_to && is_for(&target, &session.sid, &session.rooms) {
                self.tell(client, line, number, Some(id.to_string()));
            }
        }
    }
}
