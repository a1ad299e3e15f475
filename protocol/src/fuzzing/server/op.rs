//! The operations that the stories of the server's machine are made of.

use super::LARGEST_FRAME;
use crate::fuzzing::input::Input;
use alloc::vec::Vec;

/// Packets that peers send: whole ones, broken ones, and all that a state may or may not expect.
pub const PACKETS: [&str; 34] = [
    "40",
    "40",
    "40/a,",
    "40/b,{\"t\":1}",
    "41",
    "41/a,",
    "42[\"e\"]",
    "42[\"e\",1,{\"a\":[]}]",
    "42/a,[\"e\"]",
    "421[\"e\"]",
    "430[]",
    "431[1]",
    "432[]",
    "43/a,0[]",
    "451-[\"e\",{\"_placeholder\":true,\"num\":0}]",
    "461-0[{\"_placeholder\":true,\"num\":0}]",
    "bAQID",
    "bAQ==",
    "2",
    "2probe",
    "2probe",
    "3",
    "3",
    "5",
    "5",
    "6",
    "0",
    "1",
    "4",
    "",
    "9",
    "42[",
    "4hello",
    "42[\"connect\"]",
];

/// Something that is done to a connection.
#[derive(Clone, Debug)]
#[allow(missing_docs)]
pub enum Op {
    /// One of the things that an honest client may do next.
    Client {
        choice: u8,
        number: usize,
    },
    /// The owner's work: it writes and tells, and accepts who wants to join.
    Owner,
    /// The rest is out of place more often than not.
    Poll {
        method: u8,
    },
    Post {
        packets: Vec<usize>,
    },
    BeginPost,
    Body {
        request: usize,
        packets: Vec<usize>,
        too_large: bool,
    },
    Upgrade,
    Opened {
        request: usize,
    },
    WebSocket {
        request: usize,
        packet: usize,
        binary: bool,
    },
    WebSocketClosed {
        request: usize,
        error: bool,
    },
    Aborted {
        request: usize,
    },
    Time {
        to: i16,
    },
    Deadline,
    Unwritten {
        bytes: usize,
    },
    Transmit {
        count: usize,
    },
    Events {
        count: usize,
    },
    Command {
        command: u8,
        socket: usize,
        number: usize,
    },
    End {
        abort: bool,
    },
}

impl Op {
    /// An operation out of a fuzzer's bytes. Those that get far come more often.
    pub fn read(input: &mut Input<'_>) -> Self {
        let kind = input.byte();
        let request = |input: &mut Input<'_>| input.below(12);
        let packet = |input: &mut Input<'_>| input.below(PACKETS.len());
        let packets = |input: &mut Input<'_>| {
            let count = input.below(4);
            (0..count).map(|_| packet(input)).collect()
        };
        let number = |input: &mut Input<'_>| input.below(LARGEST_FRAME);
        match kind {
            0..=79 => Self::Client { choice: input.byte() % 12, number: number(input) },
            80..=119 => Self::Owner,
            120..=167 => {
                Self::Command { command: input.byte() % 14, socket: input.below(4), number: number(input) }
            }
            168..=175 => Self::Poll { method: input.byte() % 8 },
            176..=183 => Self::Post { packets: packets(input) },
            184..=187 => Self::BeginPost,
            188..=195 => {
                Self::Body { request: request(input), packets: packets(input), too_large: input.flag() }
            }
            196..=199 => Self::Upgrade,
            200..=207 => Self::Opened { request: request(input) },
            208..=219 => {
                let binary = input.byte() >= 230;
                Self::WebSocket { request: request(input), packet: packet(input), binary }
            }
            220..=223 => Self::WebSocketClosed { request: request(input), error: input.flag() },
            224..=227 => Self::Aborted { request: request(input) },
            228..=233 => Self::Time { to: i16::from(input.byte()) - 50 },
            234..=239 => Self::Deadline,
            240..=242 => Self::Unwritten { bytes: 2 * input.below(50_000) },
            243..=247 => Self::Transmit { count: input.below(10) },
            248..=252 => Self::Events { count: input.below(10) },
            253..=255 => Self::End { abort: input.byte() >= 200 },
        }
    }
}
