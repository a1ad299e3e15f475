//! Our client's machine and our server's against each other, with the fuzzer as the network and as both applications:
//! `sim`'s world, model and rules, played not by seeds but by operation lists.
//!
//! The bytes are a head, a number of steps, as many steps of five bytes, and then decisions, one byte for each: how
//! long the next message takes, whether the next socket is let in, when the next handler answers. So a byte that
//! changes changes one step or one decision, and leaves the others in their places.

use super::input::Input;
use crate::engine::TransportKind::{self, Polling, WebSocket};
use crate::engine::config::Overflow;
use crate::rate::Rate;
use crate::sim::{
    Act, ClientId, Cut, Emit, Link, Outcome, Player, Raw, Scenario, Settings, Step, To, When, run, shrink,
};
use alloc::vec::Vec;
use core::time::Duration;

/// The largest number of steps in one input.
const MAX_STEPS: usize = 64;

/// The number of times that a story which breaks a rule is played again, to leave out the steps that it does not need.
const SHRINK: usize = 300;

/// A story out of a fuzzer's bytes, judged by the rules of [`crate::sim`] after each thing that happens.
///
/// # Panics
/// If one of them is broken: with the steps that it takes, and a diagram of what happens.
pub fn as_the_network(data: &[u8]) {
    let scenario = scenario(data);
    let Some(broken) = run(&scenario, false).broken else { return };
    let again = |scenario: &Scenario| run(scenario, false).broken.is_some_and(|it| it.rule == broken.rule);
    let small = shrink(&scenario, SHRINK, again);
    let Outcome { broken, transcript, .. } = run(&small, true);
    panic!("{small}{transcript}\n{broken:?}");
}

/// The story of those bytes.
pub fn scenario(data: &[u8]) -> Scenario {
    let mut input = Input::new(data);
    let settings = settings(&mut input);
    let count = input.below(MAX_STEPS + 1);
    let mut at = Duration::ZERO;
    let mut steps = Vec::new();
    for _ in 0..count {
        if input.is_empty() {
            break;
        }
        at += gap(input.byte());
        steps.push(Step { at, act: act(&settings, input.byte(), input.byte(), input.byte(), input.byte()) });
    }
    Scenario { seed: 0, chance: input.rest().into(), settings, steps }
}

const fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

/// Returns the time between two steps: often none, or less than a round trip.
fn gap(byte: u8) -> Duration {
    let byte = u64::from(byte);
    ms(match byte {
        0..=63 => 0,
        64..=127 => byte - 63,
        128..=223 => (byte - 127) * 6,
        _ => (byte - 223) * 80,
    })
}

fn size(byte: u8) -> usize {
    let byte = usize::from(byte);
    match byte {
        0..=159 => byte / 4,
        160..=223 => (byte - 159) * 25,
        _ => (byte - 223) * 280,
    }
}

fn settings(input: &mut Input<'_>) -> Settings {
    let pick = |input: &mut Input<'_>, all: &[u64]| input.pick(all).unwrap_or(0);
    let shape = input.byte();
    let tight = shape & 1 == 1;
    let event_rate = (shape & 6 == 6).then(|| Rate::per_second(20).burst(3));
    let raws = usize::from(shape & 8 == 8);
    let clients = usize::from(shape >= 224) + 1;
    let clients: Vec<Player> = (0..clients)
        .map(|_| {
            let ways: [&[TransportKind]; 6] = [
                &[Polling, WebSocket],
                &[Polling],
                &[WebSocket],
                &[WebSocket, Polling],
                &[Polling, WebSocket],
                &[Polling, WebSocket],
            ];
            let bits = input.byte();
            Player {
                transports: ways[usize::from(bits & 7) % ways.len()].to_vec(),
                try_all: bits & 8 != 0,
                remember: bits & 16 != 0,
                namespaces: 1 + usize::from(bits & 32 != 0),
                link: Link {
                    latency: ms(pick(input, &[5, 0, 1, 20, 80])),
                    jitter: ms(pick(input, &[60, 0, 10, 200])),
                    bytes_per_ms: if bits & 64 != 0 { 100 } else { 10_000 },
                    buffer: if bits & 128 != 0 { 2_000 } else { 16_000 },
                },
                send_budget: if tight { 20_000 } else { 16 << 20 },
            }
        })
        .collect();
    // Who is granted less than some round trips cannot hold a session.
    let slowest = clients.iter().map(|player| player.link.latency + player.link.jitter).max();
    Settings {
        raws,
        ping_interval: ms(pick(input, &[2_500, 300, 1_000])),
        ping_timeout: ms(pick(input, &[2_000, 500, 1_000])).max(slowest.unwrap_or_default() * 7),
        send_budget: if tight { 30_000 } else { 4 << 20 },
        overflow: input.pick(&[Overflow::Close, Overflow::Fail, Overflow::Drop]).unwrap_or(Overflow::Close),
        max_payload: if tight { 12_000 } else { 1_000_000 },
        receive_budget: if tight { 3_000 } else { 1 << 20 },
        retries: u32::from(input.byte() % 4),
        olds: 0,
        packed: false,
        event_rate,
        clients,
    }
}

/// A step. `who` chooses client and namespace at the client's end, and a socket at the server's.
fn act(settings: &Settings, kind: u8, who: u8, a: u8, b: u8) -> Act {
    let client = ClientId(usize::from(who) % settings.clients.len().max(1));
    let namespace = usize::from(who >> 4) % 2;
    let pick = u64::from(who);
    let time = gap(a) + ms(u64::from(b));
    let patience = ms([400, 50, 3_000, 15_000][usize::from(a) % 4]);
    match kind {
        0..=23 => Act::Emit(client, namespace, Emit::Plain, size(b)),
        24..=35 => Act::Emit(client, namespace, Emit::Binary, size(b)),
        36..=51 => Act::Emit(client, namespace, Emit::Ack(patience), size(b)),
        52..=63 => Act::Emit(client, namespace, Emit::Reliable, size(b)),
        64..=67 => Act::Emit(client, namespace, Emit::Volatile, size(b)),
        68..=79 => Act::ServerEmit(To::One(pick), 1, size(b)),
        80..=89 => Act::ServerEmit(To::Binary(pick), 1, size(b)),
        90..=99 => Act::ServerEmit(To::Ack(pick, patience), 1, size(b)),
        100..=103 => Act::ServerEmit(To::Volatile(pick), 1, size(b)),
        104..=109 => Act::ServerEmit(To::All, 1, size(b)),
        110..=115 => Act::ServerEmit(To::Room(pick), 1, size(b)),
        116..=121 => Act::ServerEmit(To::One(pick), u32::from(a % 12), size(b) / 2),
        122..=129 => Act::Connect(client, namespace),
        130..=137 => Act::Disconnect(client, namespace),
        138..=143 => Act::Kick(pick),
        144..=147 => Act::CloseSession(pick),
        148..=151 => Act::Close(client),
        152..=157 => Act::HoldClient(client, namespace, time),
        158..=163 => Act::HoldServer(pick, time),
        164..=203 => Act::Cut(client, cut(who, a, b)),
        204..=209 => Act::Stall(client, time),
        210..=215 => Act::Sleep(client, time, a & 1 == 1),
        216 | 217 => Act::ClockBack(client, time),
        218 | 219 => Act::ClockAhead(client, time),
        220..=225 => Act::Deafen(client, time),
        226..=229 => Act::Replay(client),
        230..=234 => Act::Crash(client, a & 1 == 1),
        235..=238 => Act::PauseServer(time),
        239..=243 => Act::Restart(time.min(ms(3_000)), a & 1 == 1),
        244..=255 => Act::Raw(ClientId(settings.clients.len()), raw(who, a, b)),
    }
}

fn cut(who: u8, a: u8, b: u8) -> Cut {
    let up = a & 1 == 1;
    let told = |bits: u8| [Some(ms(0)), Some(ms(40)), Some(ms(1_500)), None][usize::from(bits & 3)];
    Cut {
        when: match a >> 1 & 7 {
            0 => When::Now,
            1 => When::Bytes { up, count: usize::from(b) },
            2 => When::Bytes { up, count: size(b) * 8 },
            3 => When::Attachment { up },
            4 | 5 => When::Upgrade { up, message: u32::from(b % 3) },
            6 => When::Post,
            _ => When::Response,
        },
        all: a & 16 != 0,
        client_told: told(a >> 5),
        server_told: told(who >> 5),
        down: ms(if a & 128 != 0 { u64::from(b) * 20 } else { 0 }),
        refuses: who & 16 != 0,
    }
}

fn raw(who: u8, a: u8, b: u8) -> Raw {
    match who % 16 {
        0 | 1 => Raw::Open,
        2 => Raw::OpenWebSocket,
        3 | 4 => Raw::Join,
        5..=7 => Raw::Poll(1 + a % 2),
        8 => Raw::Post(1 + a % 2, false),
        9 => Raw::Post(1, true),
        10 => Raw::Upgrade(1 + a % 2),
        11 => Raw::Garbage(u64::from(a) << 8 | u64::from(b)),
        12 => Raw::Pong,
        13 => Raw::Abort,
        14 => Raw::Unknown,
        _ => Raw::Move,
    }
}
