//! Connection state recovery: the sessions of clients that have lost their connection, and the events that they miss.
//!
//! ```text
//!   a socket joins             its connection is lost          the client is back in time
//!  -----------------> live --------------------------> kept ------------------------------> live, as before
//!                       |                                |
//!                       | the namespace is left          | the window ends, a limit is met, events are gone
//!                       v                                v
//!                     (gone)                  ended for good: `poll_ended`
//! ```
//!
//! Each event that is not volatile and asks for no acknowledgement gets a number in a [`RecoveryStore`], and carries it to
//! its receivers as an *offset*, a text behind its arguments: once for all of them. A client that comes back shows the
//! private id of its session and the last offset that it has seen. The store gives it the session back, and the events
//! behind that offset that it would have received, in order.
//!
//! A socket's part of a session is a [`LiveSession`]; what is kept of it while its client is away is a [`KeptSession`].
//! The store is a value without locks and clocks; [`MemoryStore`] keeps everything in this process.
//!
//! The owner does this:
//!
//! 1. For each event: [`RecoveryStore::append`], then [`Hub::passed`](crate::hub::Hub::passed) while it selects the
//!    recipients, then [`LiveSession::sent`] and [`Connection::emit`](crate::server::Connection::emit) for each. No other
//!    event of the namespace may come in between: the order of numbers is the order on each connection.
//! 2. At a disconnect: [`Hub::detach`](crate::hub::Hub::detach), and [`RecoveryStore::save`] if the reason
//!    [is recoverable](crate::error::CloseReason::is_recoverable).
//! 3. At a CONNECT that [shows a private id](crate::socket::PacketData::recovery): [`RecoveryStore::restore`],
//!    [`Hub::restore`](crate::hub::Hub::restore), an emit for each missed event, and
//!    [`Connection::accept_recoverable`](crate::server::Connection::accept_recoverable).
//!
//! ```
//! use sansocket_protocol::hub::{Hub, HubLimits, Journal, Target};
//! use sansocket_protocol::random::Random;
//! use sansocket_protocol::recovery::{Audience, LiveSession, MemoryStore, NewEvent, RecoveryConfig, RecoveryStore};
//! use sansocket_protocol::socket::Parser;
//! use sansocket_protocol::time::Instant;
//! use std::sync::Arc;
//!
//! let (now, parser, namespace) = (Instant::ZERO, Parser::json(), Arc::from("/"));
//! let mut store = MemoryStore::new(RecoveryConfig::default(), Random::new([7; 32]));
//! let mut hub = Hub::new(HubLimits::default());
//! let mut say = |store: &mut MemoryStore, text: &str| {
//!     let frame = parser.event("/", "said", None, text).unwrap();
//!     let audience = Audience::of(&Target::all().to("chess"));
//!     store.append(now, NewEvent { namespace: &namespace, audience, frame: &frame, parser: &parser })
//! };
//!
//! // Ada joins, and hears an event.
//! let ada = hub.insert("ada".into(), 'A')?;
//! hub.record(ada, Journal::new(64));
//! let mut live = LiveSession::new(Arc::from("private"), store.next(), &RecoveryConfig::default());
//! hub.join(ada, "chess")?;
//! let first = say(&mut store, "hello");
//! live.sent(now, first.number);
//! assert_eq!(first.frame.text().unwrap(), &format!(r#"42["said","hello","{}"]"#, first.offset));
//!
//! // Her connection is lost, and she misses one.
//! let (_, membership) = hub.detach(ada).unwrap();
//! store.save(now, live.keep("ada".into(), namespace.clone(), membership.unwrap(), store.next(), None));
//! let second = say(&mut store, "are you there?");
//!
//! let back = store.restore(now, "/", "private", Some(&*first.offset), 1_000_000)?;
//! assert_eq!(back.missed, [second.frame]);
//! assert_eq!(back.session.membership.rooms, [Arc::from("chess")]);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod memory;
mod offsets;
mod session;
#[cfg(test)]
mod tests;

pub use memory::MemoryStore;
pub use session::{Data, Ended, KeptSession, LiveSession, NotRecovered, Recovered};

use crate::hub::Target;
use crate::message::Frame;
use crate::socket::Parser;
use crate::time::Instant;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt;
use core::time::Duration;

/// The settings of connection state recovery.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct RecoveryConfig {
    /// The time for which a session waits for its client. Default 2 minutes, as in the reference.
    pub window: Duration,
    /// The time that it may take to notice that a connection is lost: events are kept for so much longer than the
    /// [`window`](Self::window), because they may have been sent into it, and for half of both again, so that it is known
    /// which of those that are gone were for a client. Default 45 s, the reference's ping interval and
    /// ping timeout; a server sets its own.
    pub detection: Duration,
    /// The most sessions that wait. Default 100,000; beyond it the one that has waited longest ends.
    pub max_sessions: usize,
    /// The most bytes of events and sessions that are kept, with the prices of [`EVENT`](Self::EVENT) and
    /// [`SESSION`](Self::SESSION) for each. Default 64 MiB; beyond it the oldest events go, and sessions that would need
    /// them cannot be recovered.
    pub max_bytes: usize,
    /// The most changes of its rooms that are kept for each socket while the events before them are. Default 64; with one
    /// more, what was before the oldest cannot be recovered.
    pub max_room_changes: usize,
    /// Whether the middleware of a namespace is left out for a client that recovers its session, as it was let in before.
    /// Default yes, as in the reference.
    pub skip_middlewares: bool,
}

impl Default for RecoveryConfig {
    fn default() -> Self {
        Self {
            window: Duration::from_secs(120),
            detection: Duration::from_secs(45),
            max_sessions: 100_000,
            max_bytes: 64 << 20,
            max_room_changes: 64,
            skip_middlewares: true,
        }
    }
}

macro_rules! setters {
    ($($name:ident: $kind:ty),* $(,)?) => {
        $(
            #[doc = concat!("Sets [`RecoveryConfig::", stringify!($name), "`].")]
            #[must_use]
            pub fn $name(mut self, $name: $kind) -> Self {
                self.$name = $name;
                self
            }
        )*
    };
}

impl RecoveryConfig {
    /// The bytes that a kept event counts for beside its own.
    pub const EVENT: usize = 256;
    /// The bytes that a kept session counts for beside its rooms.
    pub const SESSION: usize = 768;

    /// The length of the periods by which sessions note their events: events are kept for one more than the window and the
    /// detection ask for.
    pub(crate) fn period(&self) -> Duration {
        self.window.saturating_add(self.detection).checked_div(2).unwrap_or_default()
    }

    setters! {
        window: Duration,
        detection: Duration,
        max_sessions: usize,
        max_bytes: usize,
        max_room_changes: usize,
        skip_middlewares: bool,
    }
}

/// The receivers of an event, as they are kept beside it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Audience {
    /// The socket of that public id alone.
    Socket(Arc<str>),
    /// Those that a [`Target`] stands for.
    Rooms {
        /// The rooms or ids to reach; empty means everyone.
        rooms: Arc<[Arc<str>]>,
        /// Those to leave out.
        except: Arc<[Arc<str>]>,
    },
}

impl Audience {
    /// The receivers of a broadcast.
    pub fn of(target: &Target) -> Self {
        Self::Rooms { rooms: target.rooms.clone().into(), except: target.except.clone().into() }
    }

    /// Returns whether a socket is among them: one of that public id, for whose rooms `is_in` answers.
    fn includes(&self, id: &str, is_in: impl Fn(&str) -> bool) -> bool {
        let among = |rooms: &[Arc<str>]| rooms.iter().any(|room| **room == *id || is_in(room));
        match self {
            Self::Socket(socket) => **socket == *id,
            Self::Rooms { rooms, except } => (rooms.is_empty() || among(rooms)) && !among(except),
        }
    }

    /// The one room that all of them are in, if there is one by its name.
    fn room(&self) -> Option<&Arc<str>> {
        match self {
            Self::Socket(socket) => Some(socket),
            Self::Rooms { rooms, .. } => match &**rooms {
                [room] => Some(room),
                _ => None,
            },
        }
    }

    fn weight(&self) -> usize {
        match self {
            // The chain of a socket's own events.
            Self::Socket(socket) => socket.len().saturating_add(96),
            Self::Rooms { rooms, except } => {
                let names = rooms.iter().chain(&**except);
                names.fold(0, |sum, name| sum.saturating_add(name.len()).saturating_add(32))
            }
        }
    }
}

/// An event that is about to be sent.
#[derive(Clone, Debug)]
pub struct NewEvent<'a> {
    /// Its namespace.
    pub namespace: &'a Arc<str>,
    /// Its receivers.
    pub audience: Audience,
    /// The event, without an offset.
    pub frame: &'a Frame,
    /// The parser of the frame.
    pub parser: &'a Parser,
}

/// An event that has its number.
#[derive(Clone, Debug)]
pub struct Appended {
    /// Its number: they count up.
    pub number: u64,
    /// The same as its receivers see it.
    pub offset: Arc<str>,
    /// The event, with the offset.
    pub frame: Frame,
}

/// The content of a store.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct StoreStats {
    /// Sessions that wait for their clients.
    pub sessions: usize,
    /// Events that are kept.
    pub events: usize,
    /// Bytes of both, as [`RecoveryConfig::max_bytes`] counts them.
    pub bytes: usize,
}

/// A store of sessions and events. A server has one for all of its namespaces.
///
/// A store decides by what its owner tells it alone, and never waits. [`MemoryStore`] is the one that is used unless the
/// application brings its own.
pub trait RecoveryStore: fmt::Debug + Send {
    /// The number of the next event.
    fn next(&self) -> u64;

    /// The number of the oldest event that is kept; that of the next if none is.
    fn oldest(&self) -> u64;

    /// Gives an event its number, and keeps it.
    fn append(&mut self, now: Instant, event: NewEvent<'_>) -> Appended;

    /// Takes the content of an event back: it was not sent. Its number stays used.
    fn retract(&mut self, number: u64);

    /// Keeps a session until its client is back, or the window ends.
    fn save(&mut self, now: Instant, session: KeptSession);

    /// Returns whether a session with this private id waits.
    fn holds(&self, pid: &str) -> bool;

    /// Gives a session back that waits in that namespace, with the events behind `offset` that it has missed, if they have
    /// at most `capacity` bytes as a connection counts them.
    ///
    /// # Errors
    /// [`NotRecovered`]. Unless it is [`NotRecovered::Unknown`], the session has ended for good, which
    /// [`poll_ended`](Self::poll_ended) tells.
    fn restore(
        &mut self,
        now: Instant,
        namespace: &str,
        pid: &str,
        offset: Option<&str>,
        capacity: usize,
    ) -> Result<Recovered, NotRecovered>;

    /// The time at which to call [`handle_timeout`](Self::handle_timeout).
    fn poll_timeout(&self) -> Option<Instant>;

    /// A deadline may have passed: ends sessions, and forgets events.
    fn handle_timeout(&mut self, now: Instant);

    /// The next session that has ended for good, and why. To be called after each of the other calls.
    fn poll_ended(&mut self) -> Option<(KeptSession, Ended)>;

    /// The sessions that wait, to be ended at once: their server goes away.
    fn drain(&mut self) -> Vec<KeptSession>;

    /// What it keeps.
    fn stats(&self) -> StoreStats;
}
