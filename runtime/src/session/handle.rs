//! The handle of a session: its machine behind a lock, and the bell of its owner.
//!
//! One task owns a session, and pulls what the machine wants written and told. The answer to a POST is an exception: the
//! request takes it along if it is there. Everybody else - HTTP requests, emitters, broadcasts - puts input into the machine
//! through [`SessionHandle::with`], which rings the owner only if there is something new for it to do and it is not awake
//! already. Nobody holds the lock while user code runs: values are encoded before, wakers are called after.

use crate::base::clock::Clock;
use crate::base::timing::Since;
use crate::base::turn::{KeptBy, NextStep};
use crate::base::upgrade::{HoldsBack, Switching};
use crate::base::wakers::{AckSink, Awaited, Wait, Wakers};
use crate::session::stats::Passed;
use crate::websocket::deflate::connection::Deflate;
use crate::websocket::wire::Traffic;
use futures_channel::oneshot;
use sansocket_protocol::ascending::AscendingMap;
use sansocket_protocol::engine::{RequestId, Response, TransportKind};
use sansocket_protocol::error::{CloseReason, SendError};
use sansocket_protocol::server::{Connection, ServerEvent};
use sansocket_protocol::socket::SocketKey;
use sansocket_protocol::time;
use std::any::Any;
use std::fmt;
use std::future::Future;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Waker;

/// The size from which answers to polls are counted: the connections of smaller ones cost as much.
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
    pub(crate) stream: Switching,
    /// The connection that keeps its response back, if it can.
    pub(crate) held: Option<Arc<dyn HoldsBack>>,
    /// Kept until the session uses the WebSocket: from then on `max_sessions` bounds it.
    pub(crate) place: Option<ConnectionPlace>,
    /// The compression that was agreed on.
    pub(crate) deflate: Option<Box<Deflate>>,
}

/// The handle of a session, shared between its owner and everybody else.
pub(crate) struct SessionHandle {
    inner: Mutex<SessionInner>,
    clock: Clock,
    next_ack: AtomicU64,
}

pub(crate) struct SessionInner {
    pub(crate) machine: Connection,
    /// The owner's bell; taken by whoever rings it.
    waker: Option<Waker>,
    /// The owner is awake and will look again before it sleeps.
    awake: bool,
    /// The owner is gone: nobody will pull any more.
    ended: bool,
    /// The owner must end now, whatever is left.
    cut: bool,
    /// The deadline that the owner's timer is armed for.
    armed: time::Instant,
    /// `None` while nobody waits, as on most connections most of the time.
    waiting: Option<Box<Waiting>>,
    /// The application's own data of the session, if it keeps any.
    attached: Option<Arc<dyn Any + Send + Sync>>,
    /// The owner has taken output, and not said how much of it is written.
    pub(crate) writing: bool,
    pub(crate) traffic: Traffic,
    /// Bytes that the owner has not written to its WebSocket yet.
    pub(crate) unwritten: usize,
    /// Bytes of answers to polls that HTTP has not written yet.
    unread: usize,
}

/// Those that wait for a session.
#[derive(Default)]
pub(crate) struct Waiting {
    pub(crate) requests: Vec<(RequestId, oneshot::Sender<Answer>)>,
    pub(crate) upgrades: Vec<(RequestId, Upgrade)>,
    /// The awaited acknowledgements, and since when they are awaited. Ids count up for all sockets of a session.
    pub(crate) acks: AscendingMap<(u64, SocketKey), (AckSink, Since)>,
    /// The tasks that wait for capacity in the send buffer, or for messages to be written.
    ready: Wakers<Awaiting>,
}

impl Waiting {
    pub(crate) fn is_empty(&self) -> bool {
        self.requests.is_empty() && self.upgrades.is_empty() && self.acks.is_empty() && self.ready.is_empty()
    }
}

impl SessionHandle {
    /// The transport in use.
    pub(crate) fn transport(&self) -> TransportKind {
        self.lock().machine.transport()
    }

    pub(crate) fn new(machine: Connection, clock: Clock) -> Arc<Self> {
        Arc::new(Self {
            inner: Mutex::new(SessionInner {
                machine,
                waker: None,
                awake: false,
                ended: false,
                cut: false,
                armed: time::Instant::FAR_FUTURE,
                waiting: None,
                attached: None,
                writing: false,
                traffic: Traffic::default(),
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
    pub(crate) fn lock(&self) -> MutexGuard<'_, SessionInner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Runs `change` on the machine, and rings the owner if that gave it something to do.
    pub(crate) fn with<T>(&self, change: impl FnOnce(&mut Connection) -> T) -> T {
        self.with_inner(|inner| change(&mut inner.machine))
    }

    /// As [`SessionHandle::with`], with the fields beside the machine.
    #[inline(always)]
    pub(crate) fn with_inner<T>(&self, change: impl FnOnce(&mut SessionInner) -> T) -> T {
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
    pub(crate) fn force_end(&self) -> StillWaiting {
        let mut inner = self.lock();
        inner.ended = true;
        let Waiting { requests, upgrades, acks, mut ready } =
            inner.waiting.take().map(|waiting| *waiting).unwrap_or_default();
        // Handles of its sockets find them disconnected.
        inner.machine.abort(CloseReason::TransportError);
        let acks = acks.into_entries().map(|(_, ack)| ack).collect();
        StillWaiting { requests, upgrades, acks, ready: ready.take() }
    }

    /// Ends a session that is left at the end of a drain, together with its handlers.
    pub(crate) fn abort(&self, reason: CloseReason) {
        self.with_inner(|inner| {
            inner.machine.abort(reason);
            inner.cut();
        });
    }

    /// Waits until the send buffer has capacity, or never will.
    pub(crate) fn ready(&self) -> Wait<&Self> {
        Wait::new(self, Awaiting::Capacity)
    }

    /// Waits until all messages that were queued up to now are written.
    ///
    /// # Errors
    /// The session ended before that was known.
    pub(crate) fn flushed(&self) -> impl Future<Output = Result<(), SendError>> {
        let upto = self.lock().machine.counts().events_out;
        let wait = Wait::new(self, Awaiting::Written { upto });
        async move {
            wait.await;
            if self.lock().is_written(upto) { Ok(()) } else { Err(SendError::Disconnected) }
        }
    }

    /// Puts the application's part in, for the life of the session.
    pub(crate) fn attach(&self, attached: Arc<dyn Any + Send + Sync>) {
        let before = self.lock().attached.replace(attached);
        drop(before);
    }

    /// The application's part.
    pub(crate) fn attached<T: Send + Sync + 'static>(&self) -> Option<Arc<T>> {
        self.lock().attached.clone()?.downcast().ok()
    }
}

/// The answer to a poll, until HTTP lets go of it.
struct Unread {
    handle: Arc<SessionHandle>,
    body: bytes::Bytes,
}

impl AsRef<[u8]> for Unread {
    fn as_ref(&self) -> &[u8] {
        &self.body
    }
}

impl Drop for Unread {
    fn drop(&mut self) {
        let now = self.handle.now();
        let ready = self.handle.with_inner(|inner| {
            inner.unread = inner.unread.saturating_sub(self.body.len());
            inner.tell_unwritten(now);
            inner.take_ready()
        });
        ready.into_iter().for_each(Waker::wake);
    }
}

/// A thing that tasks wait for.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Awaiting {
    /// Capacity in the send buffer.
    Capacity,
    /// That so many messages, of all that were ever queued, are written.
    Written { upto: u64 },
}

impl Awaited for &SessionHandle {
    type Who = Awaiting;

    fn look<T>(&self, who: Awaiting, then: impl FnOnce(bool, &mut Wakers<Awaiting>) -> T) -> T {
        let mut inner = self.lock();
        let is_ready = inner.ended || inner.is_there(who);
        then(is_ready, &mut inner.waiting_mut().ready)
    }
}

/// The tasks that still wait for a session whose owner goes away, to be told without the lock.
pub(crate) struct StillWaiting {
    /// Dropping them answers.
    pub(crate) requests: Vec<(RequestId, oneshot::Sender<Answer>)>,
    pub(crate) upgrades: Vec<(RequestId, Upgrade)>,
    pub(crate) acks: Vec<(AckSink, Since)>,
    pub(crate) ready: Vec<Waker>,
}

/// The owner's notes for one poll of its task. Idle sessions have none.
#[derive(Default)]
pub(crate) struct OwnerPass {
    /// It has said that it is awake.
    pub(crate) awake: bool,
    /// The session must end now, whatever is left.
    pub(crate) cut: bool,
    /// Upgrades that were accepted meanwhile.
    pub(crate) upgrades: Vec<(RequestId, Upgrade)>,
    /// The application hears of events. It does not before the session has opened for it.
    pub(crate) may_pull: bool,
    /// An event that was pulled together with what brought it.
    pub(crate) pulled: Option<ServerEvent>,
    /// There may be another one.
    pub(crate) has_more: bool,
}

impl SessionInner {
    /// Those that wait, for one more.
    pub(crate) fn waiting_mut(&mut self) -> &mut Waiting {
        self.waiting.get_or_insert_default()
    }

    /// Those that wait, if any do.
    #[cfg(any(feature = "metrics", test, fuzzing))]
    pub(crate) fn waiting(&self) -> Option<&Waiting> {
        self.waiting.as_deref()
    }

    /// Takes out those who await an acknowledgement.
    pub(crate) fn take_ack(&mut self, socket: SocketKey, id: u64) -> Option<(AckSink, Since)> {
        self.waiting.as_mut()?.acks.remove((id, socket))
    }

    fn has_upgrades(&self) -> bool {
        self.waiting.as_ref().is_some_and(|waiting| !waiting.upgrades.is_empty())
    }

    /// The owner is awake, and takes the upgrades that were accepted meanwhile. Part of the first lock that it needs
    /// anyway: whoever rings it before that rings once too often.
    pub(crate) fn wake_up(&mut self, pass: &mut OwnerPass) {
        if !pass.awake {
            pass.awake = true;
            self.awake = true;
            pass.cut = self.cut;
            if let Some(waiting) = &mut self.waiting {
                pass.upgrades = std::mem::take(&mut waiting.upgrades);
            }
        }
    }

    /// The next event, and whether there may be another one.
    #[inline]
    pub(crate) fn pull(&mut self, has_more: &mut bool) -> Option<ServerEvent> {
        let event = self.machine.poll_event();
        *has_more = self.machine.has_event();
        event
    }

    /// The owner knows of nothing to do: it may sleep until `waker` is called.
    pub(crate) fn fall_asleep(&mut self, waker: &Waker, kept_by: KeptBy) -> NextStep {
        if self.machine.has_output() || self.has_upgrades() || self.cut {
            return NextStep::GoOn;
        }
        // A session whose answers are not written yet lives on: the next session of that client would have a new budget.
        if kept_by == KeptBy::Nothing && self.unread == 0 && self.machine.is_finished() {
            self.ended = true;
            return NextStep::End;
        }
        let deadline = self.machine.poll_timeout();
        self.armed = deadline.unwrap_or(time::Instant::FAR_FUTURE);
        match &mut self.waker {
            Some(before) => before.clone_from(waker),
            none => *none = Some(waker.clone()),
        }
        self.awake = false;
        // A session on polling has a request that waits nearly all the time, and one that has just been let in has a
        // WebSocket coming: they need it again at once.
        let needs_it = self.machine.transport() == TransportKind::Polling || !self.machine.has_opened();
        self.waiting.take_if(|waiting| !needs_it && waiting.is_empty());
        NextStep::Sleep(deadline)
    }

    /// Takes a request out, to be answered without the lock.
    pub(crate) fn take_request(&mut self, request: RequestId) -> Option<oneshot::Sender<Answer>> {
        let requests = &mut self.waiting.as_mut()?.requests;
        let at = requests.iter().position(|(id, _)| *id == request)?;
        Some(requests.swap_remove(at).1)
    }

    /// Takes the answer to a POST out, if that is what the machine wants written next: whoever has brought the body is
    /// awake, and the owner need not wake it once more. It is short, so that it is not counted as unwritten.
    ///
    /// To be given without the lock.
    pub(crate) fn take_answer(&mut self, post: RequestId) -> Option<(oneshot::Sender<Answer>, Answer)> {
        let response = self.machine.poll_response(post)?;
        Some((self.take_request(post)?, Answer::Respond(response)))
    }

    /// Counts an answer as unwritten until HTTP lets go of it: a client that polls and reads nothing makes the server
    /// hold no more than one that does not read its WebSocket. It counts from here on, because emitters would find room
    /// that does not exist if it counted only once HTTP had taken it over.
    ///
    /// The answer must not be dropped under the lock.
    pub(crate) fn count_unread(
        &mut self,
        handle: &Arc<SessionHandle>,
        now: time::Instant,
        body: &mut bytes::Bytes,
    ) {
        if body.len() <= COUNTED_ABOVE {
            return;
        }
        self.unread = self.unread.saturating_add(body.len());
        self.tell_unwritten(now);
        *body = bytes::Bytes::from_owner(Unread { handle: handle.clone(), body: std::mem::take(body) });
    }

    /// Tells the machine how many bytes are not written yet.
    pub(crate) fn tell_unwritten(&mut self, now: time::Instant) {
        self.machine.handle_unwritten(now, self.unwritten.saturating_add(self.unread));
    }

    /// The traffic of the session so far.
    pub(crate) fn passed(&self) -> Passed {
        Passed::new(&self.machine, self.traffic)
    }

    pub(crate) fn is_ended(&self) -> bool {
        self.ended
    }

    pub(crate) fn cut(&mut self) {
        self.cut = true;
    }

    /// Takes out the tasks that need not wait any more, because what they wait for is there, or never will be.
    pub(crate) fn take_ready(&mut self) -> Vec<Waker> {
        let Some(waiting) = self.waiting.as_mut().filter(|waiting| !waiting.ready.is_empty()) else {
            return Vec::new();
        };
        let mut ready = std::mem::take(&mut waiting.ready);
        let woken = ready.take_those(|who| self.is_there(*who));
        self.waiting_mut().ready = ready;
        woken
    }

    /// Returns whether somebody need not wait any more, and is not told yet.
    fn has_ready(&self) -> bool {
        self.waiting.as_ref().is_some_and(|waiting| waiting.ready.has_any(|who| self.is_there(*who)))
    }

    /// Returns whether nobody needs to wait for it: it is there, or never will be.
    fn is_there(&self, who: Awaiting) -> bool {
        match who {
            Awaiting::Capacity => self.has_capacity_or_never_will(),
            Awaiting::Written { upto } => self.machine.ended().is_some() || self.is_written(upto),
        }
    }

    /// Returns whether so many messages are written. A session that has thrown its queue away has written none of it.
    fn is_written(&self, upto: u64) -> bool {
        // Packets that are no messages are in the queue as well: then a message counts as written later, never sooner.
        let waiting = self.machine.unsent().try_into().unwrap_or(u64::MAX);
        let given_out = self.machine.counts().events_out.saturating_sub(waiting);
        let is_aborted = self.ended || self.machine.ended().is_some();
        !is_aborted && given_out >= upto && !self.writing && self.unwritten == 0 && self.unread == 0
    }

    fn has_capacity_or_never_will(&self) -> bool {
        !self.machine.is_open() || self.machine.has_capacity()
    }

    fn bell(&mut self) -> Option<Waker> {
        if self.awake || self.waker.is_none() {
            return None;
        }
        let earlier = |deadline| deadline < self.armed;
        if self.machine.has_output()
            || self.has_upgrades()
            || self.cut
            || self.machine.poll_timeout().is_some_and(earlier)
            || self.machine.is_finished()
            || self.has_ready()
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
