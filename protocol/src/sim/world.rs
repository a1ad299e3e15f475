//! Clients, a server, what is on its way between them, and time.

use super::coverage::{Coverage, Situation};
use super::dice::Dice;
use super::link::{Channel, Cut, Item, Link};
use super::trace::{Trace, shown};
use super::{App, ClientId, SessionId};
use crate::client::Manager;
use crate::engine::config::EngineServerConfig;
use crate::engine::request::RequestId;
use crate::message::WireMessage;
use crate::random::Random;
use crate::sim::server::SimServer;
use crate::socket::SocketServerConfig;
use crate::time::Instant;
use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use bytes::Bytes;
use core::fmt::Write as _;
use core::time::Duration;

/// The number of things that may happen at one instant: more is no progress.
const LIVELOCK: u64 = 50_000;

/// Something that a raw client was told.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Heard {
    /// A request was answered.
    Response {
        /// The HTTP status.
        status: u16,
        /// The body.
        body: Bytes,
    },
    /// A WebSocket is there.
    Opened,
    /// A message on a WebSocket.
    Message(WireMessage),
    /// A request or a WebSocket ended otherwise.
    Ended,
}

#[derive(Debug)]
pub(super) enum Machine {
    Manager(Box<Manager>),
    /// Driven by whoever runs the simulation.
    Raw {
        last: u64,
        heard: Vec<(RequestId, Heard)>,
    },
}

#[derive(Debug)]
pub(super) struct Node {
    pub(super) machine: Machine,
    pub(super) link: Link,
    pub(super) dice: Dice,
    /// The requests whose answers it waits for, by its own names.
    pub(super) open: BTreeMap<RequestId, u64>,
    /// Its clock is behind the world's by this,
    pub(super) lag: Duration,
    /// and ahead of it by this.
    pub(super) lead: Duration,
    pub(super) asleep_until: Option<Instant>,
    /// Nothing new can be reached until then; whether it is refused.
    pub(super) down: Option<(Instant, bool)>,
    pub(super) stalled_until: Instant,
    /// It does not read its WebSockets until then.
    pub(super) deaf_until: Instant,
    pub(super) armed: Vec<(Cut, usize)>,
    pub(super) replay_polls: u32,
}

impl Node {
    pub(super) fn local(&self, now: Instant) -> Instant {
        Instant::ZERO + (now + self.lead - Instant::ZERO).saturating_sub(self.lag)
    }

    /// By when it has to be called, in the world's time.
    fn due(&self) -> Option<Instant> {
        let Machine::Manager(manager) = &self.machine else { return None };
        let due =
            Instant::ZERO + (manager.poll_timeout()? + self.lag - Instant::ZERO).saturating_sub(self.lead);
        Some(self.asleep_until.map_or(due, |until| due.max(until)))
    }
}

/// An event at a known time.
#[derive(Clone, Copy, Debug)]
pub(super) enum Happening {
    /// The next item of a lane arrives.
    Arrival {
        channel: u64,
        up: bool,
    },
    /// An end is told that its connection broke.
    Told {
        channel: u64,
        client: bool,
    },
    /// A look at a client: something that held it is over.
    Wake(ClientId),
    ServerWakes,
}

/// A rule was broken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Broken {
    /// Which one.
    pub rule: &'static str,
    /// By what.
    pub detail: String,
    /// When.
    pub at: Instant,
}

/// A world: clients, one server, and the links between them, in virtual time.
///
/// Nothing happens but in [`run_until`](World::run_until), and there only what the seed and the calls before decide.
/// See the [module](super) for an example.
#[derive(Debug)]
pub struct World {
    pub(super) now: Instant,
    pub(super) nodes: Vec<Node>,
    pub(super) server: SimServer,
    pub(super) channels: BTreeMap<u64, Channel>,
    pub(super) last_channel: u64,
    agenda: BTreeMap<(Instant, u64), Happening>,
    turn: u64,
    pub(super) dice: Dice,
    pub(super) trace: Trace,
    pub(super) coverage: Coverage,
    broken: Option<Broken>,
    /// Whose connections were cut since the last look.
    pub(super) fresh_cuts: Vec<ClientId>,
    /// The amount of work done at this instant.
    work: u64,
    #[cfg(feature = "record")]
    pub(super) kept: super::recordings::Kept,
}

impl World {
    /// A world with a server and nobody else. With `transcript` it keeps a diagram of what happens.
    pub fn new(
        seed: u64,
        config: Arc<EngineServerConfig>,
        sockets: Arc<SocketServerConfig>,
        transcript: bool,
    ) -> Self {
        Self::of_chance(Dice::new(seed), config, sockets, transcript)
    }

    /// The same, with all chance from `dice`: the network's is somebody's who thinks, if it is [fed](Dice::fed).
    pub fn of_chance(
        mut dice: Dice,
        config: Arc<EngineServerConfig>,
        sockets: Arc<SocketServerConfig>,
        transcript: bool,
    ) -> Self {
        let random = Random::new(dice.key());
        Self {
            now: Instant::ZERO,
            nodes: Vec::new(),
            server: SimServer::new(config, sockets, random),
            channels: BTreeMap::new(),
            last_channel: 0,
            agenda: BTreeMap::new(),
            turn: 0,
            dice,
            trace: Trace::new(transcript),
            coverage: Coverage::default(),
            broken: None,
            fresh_cuts: Vec::new(),
            work: 0,
            #[cfg(feature = "record")]
            kept: super::recordings::Kept::default(),
        }
    }

    /// Adds a client behind a link.
    pub fn add_client(&mut self, manager: Manager, link: Link) -> ClientId {
        self.add(Machine::Manager(Box::new(manager)), link)
    }

    /// Adds a client that does what it is told by [`World::raw_request`] and [`World::raw_write`], right or wrong.
    pub fn add_raw(&mut self, link: Link) -> ClientId {
        self.add(Machine::Raw { last: 0, heard: Vec::new() }, link)
    }

    fn add(&mut self, machine: Machine, link: Link) -> ClientId {
        let dice = self.dice.fork();
        self.nodes.push(Node {
            machine,
            link,
            dice,
            open: BTreeMap::new(),
            lag: Duration::ZERO,
            lead: Duration::ZERO,
            asleep_until: None,
            down: None,
            stalled_until: Instant::ZERO,
            deaf_until: Instant::ZERO,
            armed: Vec::new(),
            replay_polls: 0,
        });
        ClientId(self.nodes.len() - 1)
    }

    // --- getters ----------------------------------------------------------------------------------------------

    /// The time.
    pub fn now(&self) -> Instant {
        self.now
    }

    /// The time by a client's own clock, which commands to it take.
    pub fn local(&self, client: ClientId) -> Instant {
        self.nodes.get(client.0).map_or(self.now, |node| node.local(self.now))
    }

    /// Returns the number of clients.
    pub fn clients(&self) -> usize {
        self.nodes.len()
    }

    /// A client's machine, for commands; `None` for a raw one.
    pub fn client(&mut self, client: ClientId) -> Option<&mut Manager> {
        match &mut self.nodes.get_mut(client.0)?.machine {
            Machine::Manager(manager) => Some(manager),
            Machine::Raw { .. } => None,
        }
    }

    /// Returns whether a client is asleep: it gives no commands then.
    pub fn is_asleep(&self, client: ClientId) -> bool {
        self.nodes.get(client.0).is_some_and(|node| node.asleep_until.is_some())
    }

    /// The server.
    pub fn server(&mut self) -> &mut SimServer {
        &mut self.server
    }

    /// Returns whether the server stands still: it gives no commands then.
    pub fn is_server_paused(&self) -> bool {
        self.server.paused_until.is_some()
    }

    /// The client of a session.
    pub fn client_of(&self, session: SessionId) -> Option<ClientId> {
        self.server.sessions.get(&session).map(|session| session.client)
    }

    /// Whose connections were cut since the last look.
    pub(super) fn take_cuts(&mut self) -> Vec<ClientId> {
        core::mem::take(&mut self.fresh_cuts)
    }

    /// A session that no client knows of, and that was not heard for longer than `patience`.
    pub fn forgotten_session(&mut self, patience: Duration) -> Option<SessionId> {
        let now = self.now;
        let (nodes, resumed) = (&self.nodes, self.server.resumed);
        for (id, session) in &mut self.server.sessions {
            let sid = session.connection.id();
            let known = nodes.iter().any(|node| match &node.machine {
                Machine::Manager(manager) => manager
                    .engine()
                    .and_then(|engine| engine.handshake())
                    .is_some_and(|handshake| *handshake.sid == **sid),
                Machine::Raw { .. } => false,
            });
            if known || !session.connection.is_listed() {
                session.orphan = None;
                continue;
            }
            let since = *session.orphan.get_or_insert(now);
            if now - since.max(session.heard).max(resumed) > patience {
                return Some(*id);
            }
        }
        None
    }

    /// Returns the trace of all that happened.
    pub fn trace(&self) -> &Trace {
        &self.trace
    }

    /// Returns the situations that occurred, counted.
    pub fn coverage(&mut self) -> &mut Coverage {
        &mut self.coverage
    }

    /// The first rule that was broken.
    pub fn broken(&self) -> Option<&Broken> {
        self.broken.as_ref()
    }

    /// Says that a rule was broken. The world stands still from here on.
    pub fn fail(&mut self, rule: &'static str, detail: impl Into<String>) {
        if self.broken.is_none() {
            let detail = detail.into();
            self.remark(&alloc::format!("!!! {rule}: {detail}"));
            self.broken = Some(Broken { rule, detail, at: self.now });
        }
    }

    /// Writes a line into the transcript.
    pub fn remark(&mut self, text: &str) {
        self.trace.note(self.now, b'#', 0, text.as_bytes(), |line| write!(line, "# {text}"));
    }

    // --- time -------------------------------------------------------------------------------------------------

    /// Lets time pass up to `end`, or until a rule is broken.
    pub fn run_until(&mut self, end: Instant, app: &mut dyn App) {
        self.settle(app);
        while self.broken.is_none() {
            let clients = self.nodes.iter().filter_map(Node::due);
            let servers = self.server.sessions.values().filter_map(|session| {
                let due = session.connection.poll_timeout()?;
                Some(self.server.paused_until.map_or(due, |until| due.max(until)))
            });
            let happening = self.agenda.first_key_value().map(|((at, _), _)| *at);
            let next = clients.chain(servers).chain(happening).chain(app.due()).min();
            let Some(next) = next.filter(|next| *next <= end) else { break };
            if next > self.now {
                self.now = next;
                self.work = 0;
            }
            self.work += 1;
            if self.work > LIVELOCK {
                return self.fail("bounded work", "no end of work at one instant");
            }
            if happening.is_some_and(|at| at <= self.now) {
                if let Some((_, happening)) = self.agenda.pop_first() {
                    self.happen(happening);
                }
            } else if app.due().is_some_and(|due| due <= self.now) {
                app.wake(self);
            } else {
                self.time_out();
            }
            self.settle(app);
            app.inspect(self);
            if let Some(what) = self.server.inconsistency() {
                self.fail("membership", what);
            }
        }
        if self.broken.is_none() {
            self.now = self.now.max(end);
        }
    }

    /// Puts something on the agenda.
    pub(super) fn plan(&mut self, at: Instant, happening: Happening) {
        self.turn += 1;
        self.agenda.insert((at.max(self.now), self.turn), happening);
    }

    fn time_out(&mut self) {
        let now = self.now;
        let mut late = None;
        for (at, node) in self.nodes.iter_mut().enumerate() {
            if node.asleep_until.is_some() || node.due().is_none_or(|due| due > now) {
                continue;
            }
            let local = node.local(now);
            let Machine::Manager(manager) = &mut node.machine else { continue };
            manager.handle_timeout(local);
            self.trace.note(now, b't', at as u64, &[], |line| write!(line, "c{at} timer"));
            if manager.poll_timeout().is_some_and(|next| next <= local) && !manager.has_output() {
                late = Some(alloc::format!("client {at}: {manager:?}"));
            }
        }
        if self.server.paused_until.is_none() {
            for (id, session) in &mut self.server.sessions {
                let connection = &mut session.connection;
                if connection.poll_timeout().is_none_or(|due| due > now) {
                    continue;
                }
                #[cfg(feature = "record")]
                {
                    self.kept.at_work = Some(*id);
                }
                connection.handle_timeout(now);
                self.trace.note(now, b'T', id.0, &[], |line| write!(line, "{:40}srv timer of s{}", "", id.0));
                if connection.poll_timeout().is_some_and(|next| next <= now) && !connection.has_output() {
                    late = Some(alloc::format!("session {}: {connection:?}", id.0));
                }
            }
        }
        if let Some(detail) = late {
            self.fail("a deadline is never in the past", detail);
        }
    }

    fn happen(&mut self, happening: Happening) {
        match happening {
            Happening::Arrival { channel, up } => self.arrive(channel, up),
            Happening::Told { channel, client } => self.tell(channel, client),
            Happening::Wake(client) => {
                let now = self.now;
                let Some(node) = self.nodes.get_mut(client.0) else { return };
                if node.asleep_until.is_some_and(|until| until <= now) {
                    node.asleep_until = None;
                    self.remark(&alloc::format!("c{} wakes up", client.0));
                }
            }
            Happening::ServerWakes => {
                if self.server.paused_until.is_some_and(|until| until <= self.now) {
                    self.server.paused_until = None;
                    self.server.resumed = self.now;
                    self.remark("the server goes on");
                }
            }
        }
    }

    /// Does all that is to be done now, on both ends.
    pub(super) fn settle(&mut self, app: &mut dyn App) {
        loop {
            let mut idle = true;
            for at in 0..self.nodes.len() {
                if self.broken.is_some() {
                    return;
                }
                idle &= !self.serve_client(ClientId(at), app);
            }
            if self.server.paused_until.is_none() {
                let ids: Vec<SessionId> = self.server.sessions.keys().copied().collect();
                for id in ids {
                    if self.broken.is_some() {
                        return;
                    }
                    idle &= !self.serve_session(id, app);
                }
            }
            idle &= !self.read_on();
            if idle {
                return;
            }
            self.work += 1;
            if self.work > LIVELOCK {
                return self.fail("bounded work", "no end of output at one instant");
            }
        }
    }

    /// Reads everything that was left unread, where it may be read.
    fn read_on(&mut self) -> bool {
        let waiting: Vec<(u64, bool)> = self
            .channels
            .iter()
            .flat_map(|(number, channel)| {
                let up = (channel.up.arrived > 0).then_some((*number, true));
                let down = (channel.down.arrived > 0).then_some((*number, false));
                up.into_iter().chain(down)
            })
            .collect();
        let mut read = false;
        for (number, up) in waiting {
            if !self.may_read(number, up) {
                continue;
            }
            // What was read a moment ago may have broken this connection: then nothing is there any more.
            let lane = self.channels.get_mut(&number).map(|channel| channel.lane(up));
            if let Some(lane) = lane.filter(|lane| lane.arrived > 0) {
                lane.arrived -= 1;
                self.receive(number, up);
                read = true;
            }
        }
        read
    }

    /// Returns whether an end takes what is there for it.
    fn may_read(&self, number: u64, up: bool) -> bool {
        let Some(channel) = self.channels.get(&number) else { return false };
        if up {
            if self.server.paused_until.is_some() {
                return false;
            }
            let (true, Some(session)) = (channel.accepted, channel.session) else { return true };
            self.server
                .sessions
                .get(&session)
                .is_none_or(|session| session.connection.wants_read_from(RequestId(number)))
        } else {
            let Some(node) = self.nodes.get(channel.client.0) else { return true };
            if node.asleep_until.is_some() || channel.websocket && self.now < node.deaf_until {
                return false;
            }
            match &node.machine {
                Machine::Manager(manager) => !manager.is_on(channel.id) || manager.wants_read(),
                Machine::Raw { .. } => true,
            }
        }
    }

    fn arrive(&mut self, number: u64, up: bool) {
        let Some(channel) = self.channels.get_mut(&number) else { return };
        let client = channel.client;
        let stalled = self.nodes.get(client.0).map_or(Instant::ZERO, |node| node.stalled_until);
        if stalled > self.now {
            return self.plan(stalled, Happening::Arrival { channel: number, up });
        }
        let lane = channel.lane(up);
        if lane.arrived >= lane.queue.len() {
            return;
        }
        if lane.arrived > 0 || !self.may_read(number, up) {
            let awake = self.nodes.get(client.0).is_some_and(|node| node.asleep_until.is_none());
            if awake && self.server.paused_until.is_none() {
                self.coverage.note(Situation::ReadPaused);
            }
            if let Some(channel) = self.channels.get_mut(&number) {
                channel.lane(up).arrived += 1;
            }
            return;
        }
        self.receive(number, up);
    }

    /// One end takes the next thing from a lane.
    fn receive(&mut self, number: u64, up: bool) {
        let Some(channel) = self.channels.get_mut(&number) else { return };
        let (client, id) = (channel.client, channel.id);
        let listens = if up { channel.server_open } else { channel.client_open };
        let lane = channel.lane(up);
        let Some(item) = lane.queue.pop_front() else { return };
        lane.bytes -= item.size();
        if !listens {
            return self.forget_if_over(number);
        }
        self.note_item(b'a', number, client, up, &item);
        if up {
            self.server_receives(number, item);
        } else {
            self.client_receives(client, id, number, item);
        }
        self.forget_if_over(number);
    }

    /// A line for something that departs (`d`) or arrives (`a`).
    pub(super) fn note_item(&mut self, what: u8, number: u64, client: ClientId, up: bool, item: &Item) {
        let data: &[u8] = match item {
            Item::Head { target, .. } => target.as_bytes(),
            Item::Body(bytes)
            | Item::Response { body: bytes, .. }
            | Item::Message(WireMessage::Text(bytes) | WireMessage::Binary(bytes)) => bytes,
            Item::Accepted | Item::Close(_) => &[],
        };
        self.trace.note(self.now, what, number << 1 | u64::from(up), data, |line| {
            let arrow = match (what, up) {
                (b'd', true) => "|-->        ",
                (b'd', false) => "        <--|",
                (_, true) => "        -->|",
                (_, false) => "|<--        ",
            };
            write!(line, "c{} {arrow} srv  #{number} ", client.0)?;
            match item {
                Item::Head { method, target, websocket, .. } => {
                    write!(line, "{}{method} {target}", if *websocket { "WebSocket " } else { "" })
                }
                Item::Body(body) => write!(line, "body {}", shown(body)),
                Item::Response { status, body } => write!(line, "{status} {}", shown(body)),
                Item::Accepted => write!(line, "101"),
                Item::Message(WireMessage::Text(text)) => write!(line, "{}", shown(text)),
                Item::Message(WireMessage::Binary(data)) => write!(line, "<{}>", shown(data)),
                Item::Close(code) => write!(line, "close {code:?}"),
            }
        });
    }

    /// Forgets a connection that is over for both ends.
    pub(super) fn forget_if_over(&mut self, number: u64) {
        let over = self.channels.get(&number).is_some_and(|channel| {
            !channel.client_open && !channel.server_open && channel.up.queue.is_empty()
        });
        if over {
            self.channels.remove(&number);
        }
    }
}
