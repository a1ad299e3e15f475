//! The course of a play, read from bytes.

use super::client::{FRAME, Switchover};
use sansocket_protocol::fuzzing::input::Input;

/// The milliseconds of a handler that cuts its session off.
pub(super) const ABORTS: u16 = 401;
/// The most steps of a play: a fuzzer has more to try.
const MAX_STEPS: usize = 64;

/// A play.
#[derive(Clone, Debug)]
pub(super) struct Scenario {
    pub(super) streams: Streams,
    /// The milliseconds between two heartbeats.
    pub(super) heartbeats: u32,
    pub(super) on_websocket: bool,
    /// The task has the same waker in each turn.
    pub(super) stays: bool,
    pub(super) steps: Vec<Step>,
}

/// The streams of a play: bytes for each read, and bytes that they keep until they are flushed.
#[derive(Clone, Copy, Debug)]
pub(super) struct Streams {
    pub(super) most_per_read: usize,
    pub(super) most_kept: usize,
}

/// Something that happens.
#[derive(Clone, Debug)]
pub(super) enum Step {
    /// The client sends messages, each of which takes its handler so many milliseconds.
    Asks(Vec<u16>),
    /// The server sends a message of that many bytes.
    Tells(usize),
    /// Somebody waits until all is written.
    AwaitsWritten,
    TimePasses(u16),
    StopsPolling,
    PollsOn,
    AbortsPoll,
    /// The client keeps the bodies that it gets, or lets go of them.
    KeepsBodies(bool),
    BeginsUpgrade(Switchover),
    HttpLetsGo(bool),
    BreaksCandidate,
    StopsReading,
    ReadsSome(usize),
    ReadsOn,
    Closes,
    Aborts,
    Leaves,
    Ends,
    BreaksOff,
}

impl Scenario {
    /// Reads a play: a byte for the streams, one for the session, then the steps, of one byte or more each.
    pub(super) fn read(data: &[u8]) -> Self {
        let input = &mut Input::new(data);
        let streams = input.byte();
        let [most_per_read, most_kept] = [streams & 3, streams >> 2].map(usize::from);
        let session = input.byte();
        let mut steps = Vec::new();
        while !input.is_empty() && steps.len() < MAX_STEPS {
            steps.push(Step::read(input));
        }
        Self {
            streams: Streams {
                most_per_read: [1, 7, FRAME, 64 << 10][most_per_read],
                most_kept: [0, 10, 20_000][most_kept % 3],
            },
            // Fewer than all other deadlines, or more.
            heartbeats: if session & 1 == 0 { 300 } else { 25_000 },
            on_websocket: session & 2 != 0,
            stays: session & 4 != 0,
            steps,
        }
    }
}

impl Step {
    /// Reads a step. Of random bytes, most ask, let time pass or move to a WebSocket, and few end the session.
    fn read(input: &mut Input<'_>) -> Self {
        match input.below(60) {
            0..10 => Self::Asks((0..=input.below(11)).map(|_| milliseconds(input)).collect()),
            10..16 => {
                Self::Tells(if input.flag() { 1 + 2 * input.below(50_000) } else { 1 + input.below(200) })
            }
            16..20 => Self::AwaitsWritten,
            20..28 => Self::TimePasses(1 + u16::from(input.byte())),
            28..30 => Self::StopsPolling,
            30..33 => Self::PollsOn,
            33 => Self::AbortsPoll,
            34..36 => Self::KeepsBodies(input.flag()),
            36..41 => Self::BeginsUpgrade(match input.below(5) {
                0 | 1 => Switchover::Completes,
                2 => Switchover::Hesitates,
                3 => Switchover::Misbehaves,
                _ => Switchover::Ends,
            }),
            41..46 => Self::HttpLetsGo(input.flag()),
            46 => Self::BreaksCandidate,
            47..50 => Self::StopsReading,
            50..55 => Self::ReadsSome(1 + input.below(30_000)),
            55..58 => Self::ReadsOn,
            58 => Self::Closes,
            _ => match input.below(4) {
                0 => Self::Aborts,
                1 => Self::Leaves,
                2 => Self::Ends,
                _ => Self::BreaksOff,
            },
        }
    }
}

/// The time of a handler: mostly none, mostly a few milliseconds otherwise.
fn milliseconds(input: &mut Input<'_>) -> u16 {
    match input.byte() {
        0..160 => 0,
        few @ 160..218 => u16::from(few - 160) / 2 + 1,
        more @ 218..=254 => u16::from(more - 218) * 11 + 1,
        255 => ABORTS,
    }
}
