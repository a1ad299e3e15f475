//! The cell of a session: its machine behind a lock, and the bell of its owner.
//!
//! One task owns a session: it alone pulls what the machine wants written and told. Everybody else - HTTP
//! requests, emitters, broadcasts - puts input into the machine through [`SessionHandle::with`], which rings the owner
//! only if there is something new for it to do and it is not awake already. Nobody holds the lock while user
//! code runs: values are encoded before, wakers are called after.

use crate::base::clock::Clock;
use crate::session::stats::{Bytes, Passed};
use futures_channel::oneshot;
use hyper::upgrade::OnUpgrade;
use sansocket_protocol::engine::{RequestId, Response};
use sansocket_protocol::error::CloseReason;
use sansocket_protocol::server::{Connection, ServerEvent};
use sansocket_protocol::socket::{AckOutcome, ServerSocketEvent, SocketKey};
use sansocket_protocol::time;
use std::any::Any;
use std::collections::BTreeMap;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

/// A smaller answer to a poll is not worth counting: the connection that it is for costs as much.
const COUNTED_ABOVE: usize = 4096;

/// The answer to an HTTP request that waits for its session.
pub(crate) enum Answer {
    Respond(Box<Response>),
    /// Answer 101 and give the stream to the session.
    Switch,
    /// End the connection.
    Abort,
}

/// A place of a connection among those that its listener may serve, until this is dropped.
pub(crate) type ConnectionPlace = Arc<dyn Any + Send + Sync>;

/// The stream of a request for a WebSocket, once HTTP lets go of it.
pub(crate) struct Upgrade {
    pub(crate) stream: OnUpgrade,
    /// Kept until the session uses the WebSocket: from then on `max_sessions` bounds it.
    pub(crate) place: Option<ConnectionPlace>,
}

/// Who is told what became of an acknowledgement. Called without any lock.
pub(crate) type AckSink = Box<dyn FnOnce(AckOutcome) + Send>;

/// What is shared between a session's owner and everybody else.
pub(crate) struct SessionHandle {
    inner: Mutex<Inner>,
    clock: Clock,
    next_ack: AtomicU64,
}

pub(crate) struct Inner {
    pub(crate) machine: Connection,
    /// The owner's bell; taken by whoever rings it.
    waker: Option<Waker>,
    /// The owner is awake and will look again before it sleeps.
    awake: bool,
    /// The owner is gone: nobody will pull any more.
    ended: bool,
    /// The owner is to go now, whatever is left.
    cut: bool,
    /// What the owner's timer is armed for.
    armed: time::Instant,
    pub(crate) requests: Vec<(RequestId, oneshot::Sender<Answer>)>,
    pub(crate) upgrades: Vec<(RequestId, Upgrade)>,
    pub(crate) acks: BTreeMap<(SocketKey, u64), AckSink>,
    /// Those who wait for room in the send buffer, by number.
    ready: BTreeMap<u64, Waker>,
    next_ready: u64,
    pub(crate) bytes: Bytes,
    /// What the owner has not written yet to its WebSocket.
    pub(crate) unwritten: usize,
    /// What HTTP has not written yet of answers to polls.
    unread: usize,
}

impl SessionHandle {
    pub(crate) fn new(machine: Connection, clock: Clock) -> Arc<Self> {
        Arc::new(Self {
            inner: Mutex::new(Inner {
                machine,
                waker: None,
                awake: false,
                ended: false,
                cut: false,
                armed: time::Instant::FAR_FUTURE,
                requests: Vec::new(),
                upgrades: Vec::new(),
                acks: BTreeMap::new(),
                ready: BTreeMap::new(),
                next_ready: 0,
                bytes: Bytes::default(),
                unwritten: 0,
                unread: 0,
            }),
            clock,
            next_ack: AtomicU64::new(0),
        })
    }

    pub(crate) fn clock(&self) -> &Clock {
        &self.clock
    }

    pub(crate) fn now(&self) -> time::Instant {
        self.clock.now()
    }

    /// An id for an acknowledgement from this connection alone. They are even; broadcasts use odd ones, so that
    /// one frame with one id serves all its recipients.
    pub(crate) fn next_ack_id(&self) -> u64 {
        self.next_ack.fetch_add(2, Ordering::Relaxed)
    }

    /// The lock; a panic elsewhere does not poison the session.
    pub(crate) fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Runs `change` on the machine, and rings the owner if that gave it something to do.
    pub(crate) fn with<T>(&self, change: impl FnOnce(&mut Connection) -> T) -> T {
        self.with_inner(|inner| change(&mut inner.machine))
    }

    /// As [`SessionHandle::with`], with what lies beside the machine.
    pub(crate) fn with_inner<T>(&self, change: impl FnOnce(&mut Inner) -> T) -> T {
        let mut inner = self.lock();
        let result = change(&mut inner);
        let waker = inner.bell();
        drop(inner);
        if let Some(waker) = waker {
            waker.wake();
        }
        result
    }

    // --- the owner's side -------------------------------------------------------------------------------------

    /// Ends the session whatever is left: its owner goes away.
    pub(crate) fn force_end(&self) -> Leftovers {
        let mut inner = self.lock();
        inner.ended = true;
        let acks = std::mem::take(&mut inner.acks).into_values().collect();
        let requests = std::mem::take(&mut inner.requests);
        let upgrades = std::mem::take(&mut inner.upgrades);
        let ready = std::mem::take(&mut inner.ready).into_values().collect();
        // Who still holds a socket of it finds it disconnected.
        inner.machine.abort(CloseReason::TransportError);
        Leftovers { requests, upgrades, acks, ready }
    }

    /// Waits until the send buffer has room, or never will.
    pub(crate) fn ready(&self) -> Ready<'_> {
        Ready { cell: self, id: None }
    }
}

/// The answer to a poll, until HTTP lets go of it.
struct Unread {
    cell: Arc<SessionHandle>,
    body: bytes::Bytes,
}

impl AsRef<[u8]> for Unread {
    fn as_ref(&self) -> &[u8] {
        &self.body
    }
}

impl Drop for Unread {
    fn drop(&mut self) {
        let now = self.cell.now();
        let ready = self.cell.with_inner(|inner| {
            inner.unread = inner.unread.saturating_sub(self.body.len());
            inner.tell_unwritten(now);
            inner.take_ready()
        });
        ready.into_iter().for_each(Waker::wake);
    }
}

/// Ready once the send buffer has room, or never will. Dropped, it leaves nothing behind.
pub(crate) struct Ready<'a> {
    cell: &'a SessionHandle,
    id: Option<u64>,
}

impl Future for Ready<'_> {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let mut inner = self.cell.lock();
        if inner.ended || !inner.machine.is_open() || inner.machine.has_capacity() {
            return Poll::Ready(());
        }
        let id = self.id.unwrap_or_else(|| {
            inner.next_ready += 1;
            inner.next_ready
        });
        let before = inner.ready.insert(id, context.waker().clone());
        drop(inner);
        drop(before);
        self.id = Some(id);
        Poll::Pending
    }
}

impl Drop for Ready<'_> {
    fn drop(&mut self) {
        if let Some(id) = self.id {
            let waker = self.cell.lock().ready.remove(&id);
            drop(waker);
        }
    }
}

/// What an owner that has nothing to do does next.
pub(crate) enum Rest {
    /// There is something to do after all.
    Awake,
    /// It sleeps, until that deadline at the latest.
    Asleep(Option<time::Instant>),
    /// The session is over.
    Over,
}

/// What a session leaves behind when its owner goes away: those who wait for it, to be told without the lock.
pub(crate) struct Leftovers {
    /// Dropping them answers.
    pub(crate) requests: Vec<(RequestId, oneshot::Sender<Answer>)>,
    pub(crate) upgrades: Vec<(RequestId, Upgrade)>,
    pub(crate) acks: Vec<AckSink>,
    pub(crate) ready: Vec<Waker>,
}

/// What the owner knows of the round that it is in. It lives no longer than a poll: idle sessions have none.
#[derive(Default)]
pub(crate) struct Round {
    /// It has said that it is awake.
    pub(crate) awake: bool,
    /// The session is to end now, whatever is left.
    pub(crate) cut: bool,
    /// Upgrades that were accepted meanwhile.
    pub(crate) upgrades: Vec<(RequestId, Upgrade)>,
    /// An event that was pulled together with what brought it.
    pub(crate) pulled: Option<Pulled>,
}

/// An event, pulled out of the machine.
pub(crate) struct Pulled {
    pub(crate) event: ServerEvent,
    /// Whom it concerns, if it is an acknowledgement.
    pub(crate) sink: Option<AckSink>,
    /// There may be another one.
    pub(crate) more: bool,
}

impl Inner {
    /// The owner is awake, and takes the upgrades that were accepted meanwhile. Part of the first lock that it needs
    /// anyway: whoever rings it before that rings once too often.
    pub(crate) fn wake_up(&mut self, round: &mut Round) {
        if !round.awake {
            round.awake = true;
            self.awake = true;
            round.cut = self.cut;
            if !self.upgrades.is_empty() {
                round.upgrades = std::mem::take(&mut self.upgrades);
            }
        }
    }

    /// The next event.
    pub(crate) fn pull(&mut self) -> Option<Pulled> {
        let event = self.machine.poll_event()?;
        let sink = match &event {
            ServerEvent::Socket(ServerSocketEvent::Ack { socket, id, .. }) => {
                self.acks.remove(&(*socket, *id))
            }
            _ => None,
        };
        Some(Pulled { event, sink, more: self.machine.has_event() })
    }

    /// The owner has nothing to do that it knows of: it may sleep until `waker` is called. With `may_end`, nothing
    /// but the machine keeps the session alive.
    pub(crate) fn fall_asleep(&mut self, waker: &Waker, may_end: bool) -> Rest {
        if self.machine.has_output() || !self.upgrades.is_empty() || self.cut {
            return Rest::Awake;
        }
        // One whose answers are not written yet counts on: a new session for each of them would have a budget of its own.
        if may_end && self.unread == 0 && self.machine.is_finished() {
            self.ended = true;
            return Rest::Over;
        }
        let deadline = self.machine.poll_timeout();
        self.armed = deadline.unwrap_or(time::Instant::FAR_FUTURE);
        match &mut self.waker {
            Some(before) => before.clone_from(waker),
            none => *none = Some(waker.clone()),
        }
        self.awake = false;
        Rest::Asleep(deadline)
    }

    /// An answer, which counts as unwritten until HTTP lets go of it: so that one who polls and reads nothing makes the
    /// server hold no more than one who reads no WebSocket. From here on and not from when HTTP takes it over: meanwhile
    /// others would find room that there is not.
    ///
    /// It must not be dropped under the lock.
    pub(crate) fn count_unread(
        &mut self,
        cell: &Arc<SessionHandle>,
        now: time::Instant,
        body: &mut bytes::Bytes,
    ) {
        if body.len() <= COUNTED_ABOVE {
            return;
        }
        self.unread = self.unread.saturating_add(body.len());
        self.tell_unwritten(now);
        *body = bytes::Bytes::from_owner(Unread { cell: cell.clone(), body: std::mem::take(body) });
    }

    /// Tells the machine what was not written yet.
    pub(crate) fn tell_unwritten(&mut self, now: time::Instant) {
        self.machine.handle_unwritten(now, self.unwritten.saturating_add(self.unread));
    }

    /// What has passed through the session so far.
    pub(crate) fn passed(&self) -> Passed {
        Passed::new(&self.machine, self.bytes)
    }

    pub(crate) fn is_ended(&self) -> bool {
        self.ended
    }

    pub(crate) fn cut(&mut self) {
        self.cut = true;
    }

    /// Those who wait for room in the send buffer, if there is room now, or never will be.
    pub(crate) fn take_ready(&mut self) -> Vec<Waker> {
        if self.ready.is_empty() || self.machine.is_open() && !self.machine.has_capacity() {
            return Vec::new();
        }
        std::mem::take(&mut self.ready).into_values().collect()
    }

    fn bell(&mut self) -> Option<Waker> {
        if self.awake || self.waker.is_none() {
            return None;
        }
        let earlier = |deadline| deadline < self.armed;
        if self.machine.has_output()
            || !self.upgrades.is_empty()
            || self.cut
            || self.machine.poll_timeout().is_some_and(earlier)
            || self.machine.is_finished()
        {
            return self.waker.take();
        }
        None
    }
}

impl fmt::Debug for SessionHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SessionHandle(..)")
    }
}
