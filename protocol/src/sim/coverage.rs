//! The situations that occurred in a run: a simulation proves something about a situation only if it occurs.

use core::fmt;

macro_rules! situations {
    ($($(#[$doc:meta])* $name:ident: $text:literal,)*) => {
        /// A situation worth counting.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
        #[non_exhaustive]
        pub enum Situation {
            $(#[doc = $text] $name,)*
        }

        impl Situation {
            /// All of them.
            pub const ALL: &'static [Self] = &[$(Self::$name),*];

            /// Returns the situation in words.
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$name => $text,)*
                }
            }
        }
    };
}

situations! {
    Polling: "sessions opened by polling",
    WebSocket: "sessions opened by WebSocket",
    Upgraded: "upgrades completed",
    UpgradeFailed: "upgrades failed, the session stayed",
    CutInUpgrade: "cuts during an upgrade",
    Cut: "connections cut",
    Refused: "connections refused while down",
    BlackHole: "connections opened into silence",
    PostCut: "posts cut inside the body",
    ResponseCut: "responses cut",
    AttachmentCut: "binary packets cut between header and attachment",
    AckPendingAtCut: "cuts while the client awaited acks",
    ServerAckPendingAtCut: "cuts while the server awaited acks",
    Reconnected: "reconnects",
    ClientPingTimeout: "half-open connections noticed by the client",
    ServerPingTimeout: "half-open connections noticed by the server",
    OpenTimeout: "sessions that did not open in time",
    Stall: "links that stalled and went on",
    Sleep: "clients that slept",
    ClockStood: "clocks that stood still meanwhile",
    ClockBack: "clocks set back",
    ClockAhead: "clocks set ahead",
    ServerPause: "servers that stood still",
    ServerRestart: "servers restarted",
    ClientCrash: "clients that crashed and came back",
    ReaderStalled: "readers that stalled",
    Unwritten: "writes held back by a stalled reader",
    OverflowClosed: "stalled readers cut off by their budget",
    OverflowFailed: "sends refused by the budget",
    OverflowDropped: "messages dropped by the budget",
    ClientFull: "a client's sends refused by its budget",
    ReadPaused: "messages left unread for a busy application",
    ServerHeld: "sockets held by a busy server",
    ClientHeld: "sockets held by a busy client",
    OfflineEmit: "events emitted while away",
    OfflineDelivered: "of these delivered",
    AckAnswered: "acks answered to clients",
    AckTimeout: "acks of clients that came too late",
    AckDisconnected: "acks of clients that ended by a loss",
    ServerAckAnswered: "acks answered to the server",
    ServerAckTimeout: "acks of the server that came too late",
    ServerAckDisconnected: "acks of the server that ended by a loss",
    Reliable: "events sent until acknowledged",
    ReliableAgain: "of these seen again by the server",
    ReliableGivenUp: "of these given up",
    VolatileSent: "volatile events sent",
    VolatileDropped: "volatile events dropped",
    Broadcast: "broadcasts to all",
    RoomBroadcast: "broadcasts to rooms",
    Rejected: "namespaces refused",
    LateAccept: "namespaces let in late",
    Behind: "events emitted before the consent",
    StaleEvent: "events of a socket told to the one that joined after it",
    Kicked: "sockets disconnected by the server",
    Left: "namespaces left by the client",
    ServerClosed: "sessions closed by the server",
    ClientClosed: "clients closed with all they had queued",
    ReplayedPoll: "polls repeated by the network",
    OverlappingPolls: "overlapping polls",
    OverlappingPosts: "overlapping posts",
    Garbage: "garbage sent",
    DoubleUpgrade: "second upgrades at once",
    HalfUpgrade: "upgrades never finished",
    NeverJoined: "sessions that never joined a namespace",
    OldJoined: "clients of Engine.IO 3 let in",
    OldEmit: "events emitted by clients of Engine.IO 3",
    OldHeard: "events of the server heard by clients of Engine.IO 3",
    UnknownSession: "requests of unknown sessions",
}

/// The number of times that each [`Situation`] occurred.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Coverage([u64; Situation::ALL.len()]);

impl Default for Coverage {
    fn default() -> Self {
        Self([0; Situation::ALL.len()])
    }
}

impl Coverage {
    /// It occurred once more.
    pub fn note(&mut self, situation: Situation) {
        self.0[situation as usize] += 1;
    }

    /// Returns the number of times that a situation occurred.
    pub fn count(&self, situation: Situation) -> u64 {
        self.0[situation as usize]
    }

    /// Adds what another run had.
    pub fn add(&mut self, other: &Self) {
        for (mine, theirs) in self.0.iter_mut().zip(other.0) {
            *mine += theirs;
        }
    }

    /// Returns the situations that never occurred.
    pub fn missing(&self) -> impl Iterator<Item = Situation> {
        Situation::ALL.iter().copied().filter(|situation| self.count(*situation) == 0)
    }
}

impl fmt::Display for Coverage {
    /// A line for each situation.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for situation in Situation::ALL {
            writeln!(f, "{:>12}  {}", self.count(*situation), situation.as_str())?;
        }
        Ok(())
    }
}
