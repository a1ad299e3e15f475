//! Scenarios: settings and steps, made from a seed.

use super::ClientId;
use super::dice::Dice;
use super::link::{Cut, Link, When};
use crate::engine::TransportKind;
use crate::engine::config::Overflow;
use crate::rate::Rate;
use alloc::vec::Vec;
use core::fmt;
use core::time::Duration;

/// The settings of one client of a scenario.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Player {
    /// The client's network to the server.
    pub link: Link,
    /// Its transports, in order.
    pub transports: Vec<TransportKind>,
    /// [`try_all_transports`](crate::engine::client::EngineClientConfig::try_all_transports).
    pub try_all: bool,
    /// [`remember_upgrade`](crate::engine::client::EngineClientConfig::remember_upgrade).
    pub remember: bool,
    /// The number of namespaces that the client joins.
    pub namespaces: usize,
    /// Its [`send_budget`](crate::engine::client::EngineClientConfig::send_budget).
    pub send_budget: usize,
}

/// The settings of the world of a scenario.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// The clients.
    pub clients: Vec<Player>,
    /// The number of raw clients besides, with the numbers that follow.
    pub raws: usize,
    /// The server's heartbeat.
    pub ping_interval: Duration,
    /// And how long it waits for an answer.
    pub ping_timeout: Duration,
    /// The server's budget for what one client has not read.
    pub send_budget: usize,
    /// The server's policy for a client above that budget.
    pub overflow: Overflow,
    /// The largest message that it takes.
    pub max_payload: usize,
    /// Both sides' budget for what is not handled.
    pub receive_budget: usize,
    /// The number of times that an event which must arrive is sent again.
    pub retries: u32,
    /// The number of clients of Engine.IO 3, with the numbers behind those of the raw ones.
    pub olds: usize,
    /// Whether everybody speaks MessagePack.
    pub packed: bool,
    /// The server's [`event_rate`](crate::socket::SocketServerConfig::event_rate).
    pub event_rate: Option<Rate>,
}

/// The kind of a client's event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Emit {
    /// And no more.
    Plain,
    /// With an attachment.
    Binary,
    /// Asking for an acknowledgement within that time.
    Ack(Duration),
    /// Until it is acknowledged.
    Reliable,
    /// If it can leave at once.
    Volatile,
}

/// The recipients of a server's event. Sockets are picked by a number, modulo how many there are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum To {
    /// One socket.
    One(u64),
    /// One, with an attachment.
    Binary(u64),
    /// One, asking for an acknowledgement within that time.
    Ack(u64, Duration),
    /// One, if it can leave at once.
    Volatile(u64),
    /// A namespace.
    All,
    /// A room of a namespace, but for the picked socket.
    Room(u64),
}

/// An act of a raw client, which may be wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Raw {
    /// Opens a session by polling.
    Open,
    /// Opens a session by WebSocket.
    OpenWebSocket,
    /// Joins the main namespace.
    Join,
    /// Polls, so many times at once.
    Poll(u8),
    /// Posts, so many times at once, an event or garbage.
    Post(u8, bool),
    /// Begins to move to a WebSocket, so many times at once, and never ends.
    Upgrade(u8),
    /// Moves to its WebSockets, whether it still polls or not.
    Move,
    /// Writes garbage to all its WebSockets.
    Garbage(u64),
    /// Answers with pongs that nobody asked for.
    Pong,
    /// Gives up everything that is open.
    Abort,
    /// Asks for a session that does not exist.
    Unknown,
}

/// The act of a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Act {
    /// A client emits: on which of its namespaces, how, and with how many bytes.
    Emit(ClientId, usize, Emit, usize),
    /// The server emits, so many times, with so many bytes.
    ServerEmit(To, u32, usize),
    /// A client joins a namespace (again).
    Connect(ClientId, usize),
    /// A client leaves a namespace.
    Disconnect(ClientId, usize),
    /// A client ends everything. It comes back after a while.
    Close(ClientId),
    /// The server takes a socket out of its namespace.
    Kick(u64),
    /// The server closes a session.
    CloseSession(u64),
    /// A client's handler takes that long.
    HoldClient(ClientId, usize, Duration),
    /// A handler of the server takes that long.
    HoldServer(u64, Duration),
    /// Connections of a client break.
    Cut(ClientId, Cut),
    /// A client's link stalls.
    Stall(ClientId, Duration),
    /// A client sleeps; whether its clock stands still.
    Sleep(ClientId, Duration, bool),
    /// A client's clock is set back.
    ClockBack(ClientId, Duration),
    /// A client's clock is set ahead.
    ClockAhead(ClientId, Duration),
    /// A client does not read.
    Deafen(ClientId, Duration),
    /// The network repeats polls.
    Replay(ClientId),
    /// A client crashes, and is there again; whether the server is told.
    Crash(ClientId, bool),
    /// The server stands still.
    PauseServer(Duration),
    /// The server is killed and comes back; whether its clients are told.
    Restart(Duration, bool),
    /// A raw client does something.
    Raw(ClientId, Raw),
}

/// One step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Step {
    /// When, from the beginning.
    pub at: Duration,
    /// The act.
    pub act: Act,
}

/// A story to be played. The same scenario gives the same run, byte for byte.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Scenario {
    /// The seed that all chance in the run is drawn from.
    pub seed: u64,
    /// Decisions of the network and of the applications that are made already, a byte for each: [`Dice::fed`].
    pub chance: Vec<u8>,
    /// The set-up.
    pub settings: Settings,
    /// The steps, in order.
    pub steps: Vec<Step>,
}

impl fmt::Display for Scenario {
    /// The set-up, and a line for each step.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{:#?}", self.settings)?;
        for step in &self.steps {
            writeln!(f, "  {:>7} ms  {:?}", step.at.as_millis(), step.act)?;
        }
        Ok(())
    }
}

const fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

/// The time during which steps are made.
const LENGTH_MS: u64 = 12_000;

impl Scenario {
    /// The scenario of a seed.
    pub fn generate(seed: u64) -> Self {
        let mut dice = Dice::new(seed ^ 0x5eed);
        let settings = Settings::generate(&mut dice);
        let mut steps = Vec::new();
        let operations = dice.between(15, 70);
        let faults = match dice.below(10) {
            0 => 0,
            1..=5 => dice.between(1, 3),
            _ => dice.between(3, 9),
        };
        // Some like to talk all at once.
        let burst = dice.percent(15).then(|| dice.below(LENGTH_MS));
        for _ in 0..operations {
            let at = match burst {
                Some(at) if dice.percent(60) => at + dice.below(100),
                _ => Self::moment(&mut dice),
            };
            let act = settings.operation(&mut dice);
            steps.push(Step { at: ms(at), act });
        }
        if dice.percent(10) {
            let (client, at) = (settings.client(&mut dice), ms(Self::moment(&mut dice)));
            for _ in 0..dice.between(3, 9) {
                steps.push(Step { at, act: Act::Emit(client, 0, Emit::Plain, 4_000) });
            }
        }
        for _ in 0..faults {
            let at = ms(Self::moment(&mut dice));
            steps.push(Step { at, act: settings.fault(&mut dice) });
        }
        for raw in 0..settings.raws {
            let client = ClientId(settings.clients.len() + raw);
            let mut at = dice.below(4_000);
            let open = if dice.percent(70) { Raw::Open } else { Raw::OpenWebSocket };
            steps.push(Step { at: ms(at), act: Act::Raw(client, open) });
            for _ in 0..dice.between(2, 12) {
                at += dice.below(900);
                steps.push(Step { at: ms(at), act: Act::Raw(client, Self::raw(&mut dice)) });
            }
        }
        steps.sort_by_key(|step| step.at);
        Self { seed, chance: Vec::new(), settings, steps }
    }

    /// The scenario of a seed with one or two clients of Engine.IO 3 beside the others; for every other seed everybody
    /// speaks MessagePack.
    pub fn mixed(seed: u64) -> Self {
        let mut scenario = Self::generate(seed);
        scenario.settings.olds = if seed % 4 < 2 { 1 } else { 2 };
        scenario.settings.packed = seed % 2 == 1;
        if scenario.settings.packed {
            // The whole packet is base64 in a poll, and not its attachments alone.
            scenario.settings.max_payload = scenario.settings.max_payload.max(16_000);
        }
        scenario
    }

    /// Often early, where sessions open and upgrade.
    fn moment(dice: &mut Dice) -> u64 {
        if dice.percent(25) { dice.below(600) } else { dice.below(LENGTH_MS) }
    }

    fn raw(dice: &mut Dice) -> Raw {
        match dice.below(20) {
            0..=3 => Raw::Poll(1),
            4 => Raw::Poll(2),
            5..=7 => Raw::Join,
            8..=9 => Raw::Post(1, false),
            10 => Raw::Post(2, false),
            11 => Raw::Post(1, true),
            12 => Raw::Upgrade(1),
            13 => Raw::Upgrade(2),
            14 => Raw::Garbage(dice.next_u64()),
            15..=16 => Raw::Pong,
            17 => Raw::Abort,
            18 => Raw::Unknown,
            _ => Raw::Open,
        }
    }
}

impl Settings {
    fn generate(dice: &mut Dice) -> Self {
        use TransportKind::{Polling, WebSocket};
        let count = *dice.pick(&[1, 1, 1, 2, 2, 3, 4]);
        let tight = dice.percent(35);
        let clients = (0..count)
            .map(|_| {
                let latency = *dice.pick(&[0, 1, 5, 20, 80]);
                let jitter = *dice.pick(&[0, 1, 10, 60, 200]);
                let transports: &[TransportKind] = match dice.below(10) {
                    0..=1 => &[Polling],
                    2..=3 => &[WebSocket],
                    4 => &[WebSocket, Polling],
                    _ => &[Polling, WebSocket],
                };
                Player {
                    link: Link {
                        latency: ms(latency),
                        jitter: ms(jitter),
                        bytes_per_ms: *dice.pick(&[30, 300, 10_000]),
                        buffer: *dice.pick(&[2_000, 16_000, 64_000]),
                    },
                    transports: transports.to_vec(),
                    try_all: dice.percent(30),
                    remember: dice.percent(30),
                    namespaces: *dice.pick(&[1, 1, 2]),
                    send_budget: if tight { 20_000 } else { 16 << 20 },
                }
            })
            .collect();
        let clients: Vec<Player> = clients;
        // Who is granted less than some round trips cannot hold a session: an upgrade alone takes three.
        let slowest = clients.iter().map(|player| player.link.latency + player.link.jitter).max();
        let least = slowest.unwrap_or_default() * 7;
        let raws = if dice.percent(30) { dice.between(1, 2) } else { 0 };
        Self {
            clients,
            raws: usize::try_from(raws).unwrap_or(0),
            ping_interval: ms(*dice.pick(&[300, 1000, 2500])),
            ping_timeout: ms(*dice.pick(&[500, 1000, 2000])).max(least),
            send_budget: if tight { 30_000 } else { 4 << 20 },
            overflow: *dice.pick(&[Overflow::Close, Overflow::Fail, Overflow::Drop]),
            max_payload: if tight { 12_000 } else { 1_000_000 },
            receive_budget: if tight { 3_000 } else { 1 << 20 },
            retries: u32::try_from(dice.below(4)).unwrap_or(0),
            olds: 0,
            packed: false,
            event_rate: None,
        }
    }

    fn client(&self, dice: &mut Dice) -> ClientId {
        ClientId(usize::try_from(dice.below(self.clients.len() as u64)).unwrap_or(0))
    }

    fn size(&self, dice: &mut Dice) -> usize {
        let size = match dice.below(20) {
            0 => dice.between(1_000, 9_000),
            1..=4 => dice.between(100, 1_500),
            _ => dice.below(40),
        };
        usize::try_from(size).unwrap_or(0)
    }

    fn operation(&self, dice: &mut Dice) -> Act {
        let client = self.client(dice);
        let namespace = usize::try_from(dice.below(2)).unwrap_or(0);
        let patience = ms(*dice.pick(&[50, 400, 3_000, 15_000]));
        let size = self.size(dice);
        match dice.below(100) {
            0..=15 => Act::Emit(client, namespace, Emit::Plain, size),
            16..=23 => Act::Emit(client, namespace, Emit::Binary, size),
            24..=33 => Act::Emit(client, namespace, Emit::Ack(patience), size),
            34..=41 => Act::Emit(client, namespace, Emit::Reliable, size),
            42..=44 => Act::Emit(client, namespace, Emit::Volatile, size),
            45..=52 => Act::ServerEmit(To::One(dice.next_u64()), 1, size),
            53..=59 => Act::ServerEmit(To::Binary(dice.next_u64()), 1, size),
            60..=66 => Act::ServerEmit(To::Ack(dice.next_u64(), patience), 1, size),
            67..=69 => Act::ServerEmit(To::Volatile(dice.next_u64()), 1, size),
            70..=74 => Act::ServerEmit(To::All, 1, size),
            75..=79 => Act::ServerEmit(To::Room(dice.next_u64()), 1, size),
            80..=82 => {
                let count = u32::try_from(dice.between(5, 30)).unwrap_or(1);
                Act::ServerEmit(To::One(dice.next_u64()), count, 3_000)
            }
            83..=85 => Act::Connect(client, namespace),
            86..=88 => Act::Disconnect(client, namespace),
            89..=90 => Act::Kick(dice.next_u64()),
            91 => Act::CloseSession(dice.next_u64()),
            92 => Act::Close(client),
            93..=95 => Act::HoldClient(client, namespace, ms(dice.between(10, 2_500))),
            _ => Act::HoldServer(dice.next_u64(), ms(dice.between(10, 2_500))),
        }
    }

    fn fault(&self, dice: &mut Dice) -> Act {
        let client = self.client(dice);
        let time = ms(match dice.below(4) {
            0 => dice.between(10, 200),
            1..=2 => dice.between(200, 2_500),
            _ => dice.between(2_500, 9_000),
        });
        match dice.below(100) {
            0..=54 => Act::Cut(client, Self::cut(dice)),
            55..=62 => Act::Stall(client, time),
            63..=69 => Act::Sleep(client, time, dice.percent(50)),
            // No throw of its own: the scenarios of all seeds would be others.
            70..=73 if time.as_millis() % 2 == 1 => Act::ClockAhead(client, time),
            70..=73 => Act::ClockBack(client, time),
            74..=81 => Act::Deafen(client, time),
            82..=85 => Act::Replay(client),
            86..=89 => Act::Crash(client, dice.percent(50)),
            90..=93 => Act::PauseServer(time),
            _ => Act::Restart(time.min(ms(3_000)), dice.percent(60)),
        }
    }

    fn cut(dice: &mut Dice) -> Cut {
        let up = dice.percent(50);
        let when = match dice.below(12) {
            0..=2 => When::Now,
            3..=5 => {
                let most = *dice.pick(&[300, 3_000, 20_000]);
                When::Bytes { up, count: usize::try_from(dice.below(most)).unwrap_or(0) }
            }
            6..=7 => When::Attachment { up },
            8..=9 => When::Upgrade { up, message: u32::try_from(dice.below(3)).unwrap_or(0) },
            10 => When::Post,
            _ => When::Response,
        };
        let told = |dice: &mut Dice| match dice.below(5) {
            0 => None,
            1 => Some(ms(dice.below(3_000))),
            _ => Some(ms(dice.below(50))),
        };
        Cut {
            when,
            all: dice.percent(60),
            client_told: told(dice),
            server_told: told(dice),
            down: ms(if dice.percent(50) { 0 } else { dice.below(6_000) }),
            refuses: dice.percent(50),
        }
    }
}
