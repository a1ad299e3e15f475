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
//! 3. At a CONNECT that [shows a private id](crate::socket::PacketData::recovery): [`RecoveryStore::look_up`], and once
//!    that is [`Lookup::Ready`] or told by [`RecoveryStore::poll_looked_up`], [`RecoveryStore::restore`],
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
//!     store.append(now, NewEvent { namespace: &namespace, audience, frame: &frame, parser: &parser, offset: None })
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
    /// The most events that are searched for what one client has missed: those since the last one that it has seen that were
    /// for everyone, or for a room that it was in at some time since, whether or not it was when they passed; one
    /// for several of these counts for each. Default 20,000. With one more its session ends, so that a client that reconnects again and again costs no more than
    /// this each time.
    pub max_searched: usize,
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
            max_searched: 20_000,
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
    pub const EVENT: usize = 272;
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
        max_searched: usize,
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
    pub fn includes(&self, id: &str, is_in: impl Fn(&str) -> bool) -> bool {
        let among = |rooms: &[Arc<str>]| rooms.iter().any(|room| **room == *id || is_in(room));
        match self {
            Self::Socket(socket) => **socket == *id,
            Self::Rooms { rooms, except } => (rooms.is_empty() || among(rooms)) && !among(except),
        }
    }

    /// The rooms that each of them is in at least one of, with ids among them; empty means everyone.
    fn rooms(&self) -> &[Arc<str>] {
        match self {
            Self::Socket(socket) => core::slice::from_ref(socket),
            Self::Rooms { rooms, .. } => rooms,
        }
    }

    fn weight(&self) -> usize {
        match self {
            // The chain of a socket's own events.
            Self::Socket(socket) => socket.len().saturating_add(96),
            Self::Rooms { rooms, except } => {
                let names = rooms.iter().chain(&**except);
                let names = names.fold(0usize, |sum, name| sum.saturating_add(name.len()).saturating_add(32));
                // The chains of the rooms behind the first, and the links in them.
                names.saturating_add(rooms.len().saturating_sub(1).saturating_mul(104))
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
    /// The offset that a log outside of the store has given it, such as a stream that several processes share. `None`: the
    /// store gives one. No two events of a store have the same.
    ///
    /// A server of the runtime gives one where the nodes of its cluster share a stream, and none to a store of the
    /// application's own: see [`RecoveryStore`] for the order that a shared store has to keep then.
    pub offset: Option<Arc<str>>,
}

/// The answer of a store that is to look for a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lookup {
    /// It need not look any further: restore the session.
    Ready,
    /// It has to ask somewhere else: [`RecoveryStore::poll_looked_up`] tells when it knows.
    Pending,
}

/// Tells the owner of a store that something has happened to it from outside.
pub type Notify = Arc<dyn Fn() + Send + Sync>;

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
/// A store never waits. [`MemoryStore`], which decides by what its owner tells it alone, is the one that is used unless the
/// application brings its own.
///
/// # A store that several processes share
///
/// Its methods are called under a lock, so it must not ask a database in them. The seam has three places for that:
///
/// * **Events.** An owner that shares a log may append an event to that first, and broadcast it once the log has given it
///   its place: [`NewEvent::offset`] is that place. So [`append`](Self::append) stands in the order of the log, and the
///   numbers are the process's own count. A server of the runtime does so in a cluster on a stream of its own; with a store
///   of the application's, an event reaches the clients of its process at once, and those of the others later, so that
///   two processes may tell two events in different orders. Such events have no offset, and the store gives one that says which event of *which process* it
///   was, such as the process's name and its own count. From such an offset a store knows what a client of that process
///   has seen of its events; of those of other processes it has to note, beside the process's own events, how far it had
///   read the others by then. One number for all of them, in the order of the log, would lose an event that the log has
///   before and the client's process has after the one that the client saw last.
/// * **Sessions that are lost.** [`save`](Self::save) hands the session over. What is sent away need be no more than the
///   private and public ids, the namespace and the rooms: from these,
///   [`LiveSession::new`], a [`Membership`](crate::hub::Membership) with an empty journal and
///   [`LiveSession::keep`] make a session in another process. [`Data`] does not leave the process.
/// * **Sessions that come back.** Before a session is restored, the owner has the store look for it by
///   [`look_up`](Self::look_up). A store that has to ask says [`Lookup::Pending`], and gives the private id by
///   [`poll_looked_up`](Self::poll_looked_up) when it has the answer, whatever it is. From then on until
///   [`restore`](Self::restore) the store keeps what passes, so that `restore` gives everything that was missed up to
///   that very moment: no event of the namespace comes between it and the socket's entrance.
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

    /// Looks for a session that is about to be restored, for a client that shows that offset. By default, and in a store
    /// that keeps everything itself, there is nothing to look for. It may be called again while it is pending, for
    /// another client that shows the same private id.
    fn look_up(&mut self, now: Instant, namespace: &str, pid: &str, offset: Option<&str>) -> Lookup {
        let _ = (now, namespace, pid, offset);
        Lookup::Ready
    }

    /// The private id of the next session that was looked for and of which it is known now whether it is there:
    /// [`restore`](Self::restore) says which. To be called after each of the other calls, and when
    /// [notified](Self::notify).
    fn poll_looked_up(&mut self) -> Option<Arc<str>> {
        None
    }

    /// Nobody waits for that session any more: its client is gone, or begins anew. If it is found after all, or was found, it
    /// waits for the rest of its window, as if it had not been looked for.
    fn give_up(&mut self, pid: &str) {
        let _ = pid;
    }

    /// Takes the function that the store's own driver is to call when it has changed the store: never from within one of
    /// these methods, whose callers hold the store's lock. By default, nothing changes a store but its owner.
    fn notify(&mut self, notify: Notify) {
        let _ = notify;
    }

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

    /// The kept events and sessions.
    fn stats(&self) -> StoreStats;
}
