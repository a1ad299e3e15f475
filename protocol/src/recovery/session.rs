//! A session, while its socket is connected and while its client is away.

use super::RecoveryConfig;
use crate::hub::Membership;
use crate::message::Frame;
use crate::time::Instant;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::any::Any;
use core::fmt;
use core::time::Duration;
use thiserror::Error;

/// The application's values of a session: opaque here, and of no use outside of the process.
#[derive(Clone, Default)]
pub struct Data(pub Option<Arc<dyn Any + Send + Sync>>);

impl fmt::Debug for Data {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.is_some() { "Data(..)" } else { "Data(none)" })
    }
}

/// The marks of a session: as many as periods are kept, and one more.
const MARKS: usize = 4;

/// The session of a socket that is connected.
///
/// It notes which events were sent to it as far as that is needed to tell whether it has missed any of those that are not
/// kept any more: the last one, and for the latest periods the first one of each and the one before that.
#[derive(Clone, PartialEq, Eq)]
pub struct LiveSession {
    pid: Arc<str>,
    /// The first event that was not before it, and that its client has not told to have seen.
    start: u64,
    /// Behind the last event that was sent to it; 0 if none was.
    last: u64,
    /// The latest first.
    marks: [Mark; MARKS],
    /// When the next period may begin.
    next_mark: Instant,
    period: Duration,
}

/// A period of a session.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
struct Mark {
    /// The first event in it.
    from: u64,
    /// Behind the last event before it.
    before: u64,
}

impl LiveSession {
    /// A session that begins before the event of number `next`. `pid` is a secret between server and client: whoever knows
    /// it can take the session over.
    pub fn new(pid: Arc<str>, next: u64, config: &RecoveryConfig) -> Self {
        let (marks, next_mark, period) = ([Mark::default(); MARKS], Instant::ZERO, config.period());
        Self { pid, start: next, last: 0, marks, next_mark, period }
    }

    /// The private id.
    pub fn pid(&self) -> &Arc<str> {
        &self.pid
    }

    /// The number of the first event that was not before it.
    pub fn start(&self) -> u64 {
        self.start
    }

    /// That event is sent to it now, or would be if its connection were not lost.
    pub fn sent(&mut self, now: Instant, number: u64) {
        if now >= self.next_mark || self.last == 0 {
            self.marks.rotate_right(1);
            if let Some(mark) = self.marks.first_mut() {
                *mark = Mark { from: number, before: self.last };
            }
            self.next_mark = now + self.period;
        }
        self.last = self.last.max(number.saturating_add(1));
    }

    /// Its client has seen that event, and so those before it, and will not ask for them again.
    pub(super) fn seen(&mut self, number: u64) {
        self.start = self.start.max(number.saturating_add(1).min(self.last));
    }

    /// The first event that it may have missed of those from `after` on, if they are kept from `oldest` on. `None` if it
    /// may have missed one before.
    fn first_kept(&self, after: u64, oldest: u64) -> Option<u64> {
        if after >= oldest {
            return Some(after);
        }
        // None of its events was between these two.
        let mut marks = self.marks.iter().filter(|mark| mark.from >= oldest && after >= mark.before);
        marks.next().map(|mark| mark.from)
    }

    /// The session as it is kept: of the socket of that public id, whose rooms it left before the event of number `next`.
    pub fn keep(
        self,
        sid: Arc<str>,
        namespace: Arc<str>,
        membership: Membership,
        next: u64,
        data: impl Into<Option<Arc<dyn Any + Send + Sync>>>,
    ) -> KeptSession {
        KeptSession { live: self, sid, namespace, membership, left: next, data: Data(data.into()) }
    }
}

/// Private ids are secrets.
impl fmt::Debug for LiveSession {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LiveSession")
            .field("start", &self.start)
            .field("last", &self.last)
            .finish_non_exhaustive()
    }
}

/// A session whose client is away.
#[derive(Clone, Debug)]
pub struct KeptSession {
    /// The session as it goes on once its client is back.
    pub live: LiveSession,
    /// The public id of its socket.
    pub sid: Arc<str>,
    /// The namespace.
    pub namespace: Arc<str>,
    /// The rooms, without its own id.
    pub membership: Membership,
    /// The first event that passed after it had left its rooms.
    pub(super) left: u64,
    /// The application's values.
    pub data: Data,
}

impl KeptSession {
    /// The first event that it may have missed, by the number of the last one that its client has seen: `Ok(None)` if it
    /// has seen none, `Err` if it shows something that is no number. Events before `oldest` are not kept.
    pub(super) fn missed_from(
        &self,
        seen: Result<Option<u64>, ()>,
        oldest: u64,
    ) -> Result<u64, NotRecovered> {
        let LiveSession { start, last, .. } = self.live;
        let kept = |after| self.live.first_kept(after, oldest).ok_or(NotRecovered::Gap);
        if last == 0 {
            // Nothing was sent, so it can have missed nothing before it left, whatever it shows: an offset of an earlier
            // session, or of a volatile event, whose last argument is the application's.
            return Ok(self.left);
        }
        match seen {
            // An offset that is older than the session is of an earlier one: the reference's client shows it until it gets
            // another.
            Ok(Some(seen)) if seen >= start => {
                let after = seen.saturating_add(1);
                if after >= last { Ok(after.max(self.left)) } else { kept(after) }
            }
            Ok(_) => kept(start),
            Err(()) => Err(NotRecovered::Offset),
        }
    }

    /// The bytes that it counts for in [`max_bytes`](super::RecoveryConfig::max_bytes).
    pub(super) fn weight(&self) -> usize {
        let membership = &self.membership;
        let names = membership.rooms.iter().fold(membership.journal.name_bytes(), |sum, room| {
            // A room that was joined and not left since stands in both, and has one name.
            sum.saturating_add(room.len())
        });
        let entries = self.membership.rooms.len().saturating_add(self.membership.journal.len());
        RecoveryConfig::SESSION.saturating_add(names).saturating_add(entries.saturating_mul(48))
    }
}

/// A session that is given back to its client.
#[derive(Clone, Debug)]
pub struct Recovered {
    /// The session.
    pub session: KeptSession,
    /// The events that it has missed, in order, each with its offset.
    pub missed: Vec<Frame>,
}

/// The reason why a client does not get its session back. It begins a new one, and is told so by other ids.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum NotRecovered {
    /// No session with this private id waits in the namespace: its time is over, it was left on purpose, or it never was.
    #[error("no session with this private id waits in this namespace")]
    Unknown,
    /// The client shows an offset that no event had.
    #[error("the client shows an offset that no event of this server had")]
    Offset,
    /// Events that it may have missed are not kept any more, or it is not known any more which of them were for it.
    #[error(
        "events that the client has missed are not kept any more: see `max_bytes` and `max_room_changes`"
    )]
    Gap,
    /// More events were to be searched for what it has missed than are for one client.
    #[error("too many events have passed in the client's rooms to search them for it: see `max_searched`")]
    TooMany,
    /// The missed events do not fit into its send buffer.
    #[error("the client has missed more than fits into its send buffer: see `send_budget`")]
    TooMuch,
}

/// The reason why a session that was kept has ended for good.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Ended {
    /// Its client did not come back in time.
    Expired,
    /// It had to make room: see [`max_sessions`](super::RecoveryConfig::max_sessions) and
    /// [`max_bytes`](super::RecoveryConfig::max_bytes).
    Evicted,
    /// Its client came back, but could not be told what it had missed.
    NotRecovered(NotRecovered),
    /// Its client came back, and was not let in.
    Refused,
    /// Its client began anew instead: it came back before the handlers of its lost connection had finished, and waited for
    /// them in vain. Or another session was saved under its private id.
    Replaced,
    /// The bus that the nodes of a cluster share was away: it was not kept there, or it is not known what was missed.
    BusAway,
    /// The server has shut down.
    ShutDown,
}
