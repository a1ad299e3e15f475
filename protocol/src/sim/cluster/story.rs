//! Stories: who is on the bus, what they do, and what fails.

use crate::sim::Dice;
use alloc::vec::Vec;
use core::fmt;
use core::time::Duration;

/// The dialect of a node of this crate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Speech {
    /// That of heartbeats on any bus.
    Heartbeats,
    /// That of Postgres.
    Postgres,
    /// That of sharded pub/sub.
    Sharded,
    /// That of Redis streams.
    Streams,
    /// That of the classic adapter.
    Classic,
    /// That of python-socketio.
    Python,
    /// That of both, with copies.
    Bridge,
}

/// A member of a cluster.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A node of this crate.
    Ours(Speech),
    /// A server of python-socketio.
    Python,
    /// A server with the classic Redis adapter.
    Classic,
    /// A server with the sharded Redis adapter.
    Sharded,
}

/// The recipients of an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum To {
    /// Everybody.
    All,
    /// A room that does not change.
    Room(u8),
    /// Two of them, whose members overlap.
    Both,
    /// A room but for one socket.
    But(u8, u8, u8),
    /// One socket: of a member, by its number.
    One(u8, u8),
    /// A room that sockets join and leave.
    Loose(u8),
    /// A room without members.
    Nobody,
}

/// One thing that goes wrong with a member, or with all of them: with the bus itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The connection is gone, and the driver is told at once, or in the end only.
    Cut {
        /// At once.
        told: bool,
    },
    /// Published messages go out, and nothing comes in. In the end the driver connects anew.
    HalfOpen,
    /// Messages come in a second late. In the end the bus has had enough, and those under way are lost.
    Slow,
    /// Messages come in twice.
    Repeats,
    /// The process is gone, and the bus counts it as there until the end. Then it is started again.
    Crash,
    /// The process says that it goes. In the end it is started again.
    Leaves,
}

/// An act of a member.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Act {
    /// It emits.
    Emit(To),
    /// It emits, and wants acknowledgements. A single one is enough if there is one recipient.
    Ask(To, bool),
    /// It asks for all sockets.
    Fetch,
    /// It asks how many nodes there are.
    Nodes,
    /// It tells the other nodes something, and wants their answers.
    Tell,
    /// It lets a socket (of a member, by its number) join a room.
    Join(u8, u8, u8),
    /// It lets such a socket leave a room.
    Leave(u8, u8, u8),
    /// It closes a room.
    CloseRoom(u8),
    /// It publishes what is no message.
    Garbage(u8),
    /// Something goes wrong with it for so many milliseconds; with all of them at once if so.
    Fault(Fault, u64, bool),
}

/// A thing that happens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Step {
    /// The time since the step before.
    pub after: Duration,
    /// The member.
    pub member: u8,
    /// The act.
    pub act: Act,
}

/// A story: all that happens in one run.
#[derive(Clone, Debug)]
pub struct Story {
    /// The seed that it was made of, and that decides what the story does not say: delays and names.
    pub seed: u64,
    /// The members.
    pub members: Vec<Kind>,
    /// The longest time in milliseconds that a message takes to the bus, and from it.
    pub delay: u64,
    /// Messages of one publisher overtake each other.
    pub is_reordering: bool,
    /// The steps of the story.
    pub steps: Vec<Step>,
}

impl Story {
    /// The story of a seed.
    pub fn generate(seed: u64) -> Self {
        let mut dice = Dice::new(seed);
        let speech = *dice.pick(&[
            Speech::Heartbeats,
            Speech::Postgres,
            Speech::Sharded,
            Speech::Streams,
            Speech::Classic,
            Speech::Python,
            Speech::Bridge,
            Speech::Bridge,
            Speech::Bridge,
        ]);
        let count = dice.between(1, 4);
        let mut members: Vec<Kind> = (0..count).map(|_| Kind::Ours(speech)).collect();
        let mut some = |kind: Kind, most: u64| {
            let count = dice.below(most + 1);
            members.extend((0..count).map(|_| kind));
        };
        match speech {
            Speech::Sharded => some(Kind::Sharded, 2),
            Speech::Classic => some(Kind::Classic, 2),
            Speech::Python => some(Kind::Python, 2),
            Speech::Bridge => {
                some(Kind::Python, 2);
                some(Kind::Classic, 2);
                some(Kind::Ours(Speech::Python), 1);
                some(Kind::Ours(Speech::Classic), 1);
            }
            Speech::Heartbeats | Speech::Postgres | Speech::Streams => {}
        }
        if members.len() == 1 {
            members.push(Kind::Ours(speech));
        }
        let is_stormy = dice.percent(75);
        let is_reordering = dice.percent(20);
        let delay = dice.between(1, 20);
        let count = dice.between(5, 30);
        let steps = (0..count).map(|_| step(&mut dice, members.len() as u64, is_stormy)).collect();
        Self { seed, members, delay, is_reordering, steps }
    }
}

fn step(dice: &mut Dice, members: u64, is_stormy: bool) -> Step {
    let after = match dice.below(4) {
        0 => Duration::ZERO,
        1 => Duration::from_millis(dice.below(40)),
        2 => Duration::from_millis(dice.below(1_000)),
        _ => Duration::from_millis(dice.below(4_000)),
    };
    let small = |dice: &mut Dice, end: u64| dice.below(end) as u8;
    let to = match dice.below(8) {
        0 | 1 => To::All,
        2 => To::Room(small(dice, 2)),
        3 => To::Both,
        4 => To::But(small(dice, 2), small(dice, members), small(dice, 3)),
        5 => To::One(small(dice, members), small(dice, 3)),
        6 => To::Loose(small(dice, 2)),
        _ => To::Nobody,
    };
    let socket = (small(dice, members), small(dice, 3), small(dice, 2));
    let act = match dice.below(if is_stormy { 24 } else { 20 }) {
        0..=6 => Act::Emit(to),
        7..=10 => Act::Ask(to, matches!(to, To::One(..)) && dice.percent(50)),
        11 => Act::Fetch,
        12 => Act::Nodes,
        13 => Act::Tell,
        14..=16 => Act::Join(socket.0, socket.1, socket.2),
        17 => Act::Leave(socket.0, socket.1, socket.2),
        18 => Act::CloseRoom(socket.2),
        19 => Act::Garbage(small(dice, 5)),
        _ => {
            let fault = *dice.pick(&[
                Fault::Cut { told: true },
                Fault::Cut { told: false },
                Fault::HalfOpen,
                Fault::Slow,
                Fault::Repeats,
                Fault::Crash,
                Fault::Leaves,
            ]);
            let is_all = matches!(fault, Fault::Cut { .. }) && dice.percent(40);
            Act::Fault(fault, dice.between(20, 8_000), is_all)
        }
    };
    Step { after, member: small(dice, members), act }
}

impl fmt::Display for Story {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "members {:?}, delay up to {} ms{}",
            self.members,
            self.delay,
            if self.is_reordering { ", reordering" } else { "" }
        )?;
        for step in &self.steps {
            writeln!(f, "  after {:?}: member {}: {:?}", step.after, step.member, step.act)?;
        }
        Ok(())
    }
}
