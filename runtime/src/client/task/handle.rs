//! The handle of a client: its machine behind a lock, and the bell of its task.
//!
//! As on the server, nobody holds the lock while user code runs, and the task is rung only if there is something new
//! for it to do.

use crate::base::clock::Clock;
use crate::base::turn::{KeptBy, NextStep};
use crate::base::wakers::{Awaited, Wait, Wakers};
use crate::client::error::ConnectError;
use futures_channel::oneshot;
use sansocket_protocol::ascending::AscendingMap;
use sansocket_protocol::client::{ClientState, Manager};
use sansocket_protocol::error::SendError;
use sansocket_protocol::message::Frame;
use sansocket_protocol::socket::{AckOutcome, SocketKey};
use sansocket_protocol::time;
use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::Waker;

/// A thing that connects: a socket, or with `None` the session of plain Engine.IO.
pub(crate) type Key = Option<SocketKey>;

/// The patience of one who waits for a connection.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Patience {
    /// It has asked for the next try, whose failure is its answer.
    NextTry,
    /// It waits through any number of tries that others have asked for.
    AnyTry,
}

/// One who waits until a socket, or the session, is connected.
pub(crate) struct Waiter {
    pub(crate) who: Key,
    pub(crate) patience: Patience,
    /// The ends that came before it began to wait, told or not.
    pub(crate) before: Before,
    pub(crate) sender: oneshot::Sender<Result<(), ConnectError>>,
}

/// The ends that came before some moment. They may be told later, but do not answer what is asked at that moment.
#[derive(Clone, Copy)]
pub(crate) struct Before {
    /// The number of sessions that were lost or could not be opened.
    pub(crate) ends: u64,
    /// The number of the socket's connections that have ended, refusals included. Those of plain Engine.IO are its
    /// sessions.
    pub(crate) connections: u64,
}

pub(crate) struct ClientHandle {
    inner: Mutex<ClientInner>,
    clock: Clock,
}

pub(crate) struct ClientInner {
    pub(crate) machine: Manager,
    waker: Option<Waker>,
    awake: bool,
    /// An event has brought the time since the task is awake.
    timed: bool,
    /// Handlers are at work, and events may wait for them.
    busy: bool,
    /// The task is gone: nothing will be sent any more.
    pub(crate) ended: bool,
    /// Nobody holds the client any more: the task ends when all is done.
    pub(crate) abandoned: bool,
    armed: time::Instant,
    pub(crate) acks: AscendingMap<(u64, SocketKey), oneshot::Sender<AckOutcome>>,
    /// The tasks that were told the answer which they awaited, since the task last found a command.
    pub(crate) answered: usize,
    pub(crate) waiters: Vec<Waiter>,
    /// Those that connect only as long as somebody awaits it: nobody has called `start`, and they were not connected
    /// yet. Each with the number of its connections that had ended before.
    tentative: BTreeMap<Key, u64>,
    /// The reasons why those that are not tried any more could not connect.
    failures: BTreeMap<Key, ConnectError>,
    /// The tasks that wait for capacity in the send buffer, each with its sender.
    ready: Wakers<Key>,
    /// The tasks that wait for the final end.
    finals: Wakers<FinalEnd>,
    /// No request is on its way, and no WebSocket is open, as the task has told.
    pub(crate) quiet: bool,
}

impl ClientHandle {
    pub(crate) fn new(machine: Manager, clock: Clock) -> Self {
        Self {
            inner: Mutex::new(ClientInner {
                machine,
                waker: None,
                awake: false,
                timed: false,
                busy: false,
                ended: false,
                abandoned: false,
                armed: time::Instant::FAR_FUTURE,
                acks: AscendingMap::default(),
                answered: 0,
                waiters: Vec::new(),
                tentative: BTreeMap::new(),
                failures: BTreeMap::new(),
                ready: Wakers::default(),
                finals: Wakers::default(),
                quiet: true,
            }),
            clock,
        }
    }

    pub(crate) fn clock(&self) -> &Clock {
        &self.clock
    }

    pub(crate) fn now(&self) -> time::Instant {
        self.clock.now()
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, ClientInner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Runs `change`, and rings the task if that gave it something to do.
    pub(crate) fn with<T>(&self, change: impl FnOnce(&mut ClientInner) -> T) -> T {
        let mut inner = self.lock();
        let result = change(&mut inner);
        let waker = inner.bell();
        drop(inner);
        if let Some(waker) = waker {
            waker.wake();
        }
        result
    }

    /// Emits an event. The clock is looked at once for all events of a turn of the task.
    pub(crate) fn emit(&self, socket: SocketKey, frame: Frame) -> Result<(), SendError> {
        let emitted = self.with(|inner| {
            if inner.ended {
                return Ok(Err(SendError::Disconnected));
            }
            if inner.awake && std::mem::replace(&mut inner.timed, true) {
                return Ok(inner.machine.emit_in_turn(socket, frame));
            }
            Err(frame)
        });
        emitted.unwrap_or_else(|frame| {
            // Without the lock: the runtime may be the application's own.
            let now = self.now();
            self.with(|inner| {
                if inner.ended {
                    return Err(SendError::Disconnected);
                }
                inner.machine.emit(now, socket, frame)
            })
        })
    }

    // --- the task's side ------------------------------------------------------------------------------------------

    /// The task looks at everything from now on. Returns whether it was woken by a command, and other tasks are likely
    /// to give some, too: several have just been told their answers, or await some, which often come together.
    pub(crate) fn wake_up(&self) -> bool {
        let mut inner = self.lock();
        inner.awake = true;
        inner.timed = false;
        if !inner.machine.has_transmit() {
            return false;
        }
        let answered = std::mem::take(&mut inner.answered);
        answered > 1 || inner.acks.len() > 1
    }

    /// The turn is over: what is emitted from here on is of another one.
    pub(crate) fn judge_deadlines(&self, now: time::Instant) {
        let mut inner = self.lock();
        inner.timed = false;
        inner.machine.handle_timeout(now);
    }

    /// The task knows of nothing to do: it may sleep until `waker` is called.
    pub(crate) fn fall_asleep(&self, waker: &Waker, kept_by: KeptBy) -> NextStep {
        let mut inner = self.lock();
        if inner.machine.has_output() {
            return NextStep::GoOn;
        }
        if kept_by == KeptBy::Nothing && inner.abandoned && inner.machine.is_finished() {
            return NextStep::End;
        }
        let deadline = inner.machine.poll_timeout();
        inner.armed = deadline.unwrap_or(time::Instant::FAR_FUTURE);
        match &mut inner.waker {
            Some(before) => before.clone_from(waker),
            none => *none = Some(waker.clone()),
        }
        inner.awake = false;
        inner.busy = kept_by == KeptBy::Handlers;
        // Whatever was to be told is told by now.
        let finals = inner.take_finals();
        let failed = inner.take_vain();
        drop(inner);
        for (waiter, error) in failed {
            // Nobody listens if the future was dropped.
            let _ = waiter.sender.send(Err(error));
        }
        finals.into_iter().for_each(Waker::wake);
        NextStep::Sleep(deadline)
    }

    /// Waits until the send buffer has capacity for what that one sends, or never will.
    pub(crate) fn ready(&self, who: Key) -> Wait<Capacity<'_>> {
        Wait::new(Capacity(self), who)
    }

    /// Waits until nothing is wanted of the server any more, or it is tried no more, and all is written.
    pub(crate) fn over(&self) -> Wait<End<'_>> {
        Wait::new(End(self), FinalEnd::Written)
    }
}

/// The end of all that a client wants of its server, as it is awaited.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum FinalEnd {
    /// Nothing comes in any more.
    Received,
    /// All that was queued is written, too.
    Written,
}

impl ClientInner {
    /// Takes out the tasks that wait for capacity in the send buffer, if there is some now, or never will be.
    pub(crate) fn take_ready(&mut self) -> Vec<Waker> {
        if self.ready.is_empty() {
            return Vec::new();
        }
        let mut waiting = std::mem::take(&mut self.ready);
        let ready = waiting.take_those(|who| self.has_capacity(*who));
        self.ready = waiting;
        ready
    }

    /// Returns whether there is capacity for what that one sends, or waiting will not make any: it is not connected,
    /// and will not be by itself.
    fn has_capacity(&self, who: Key) -> bool {
        self.is_final() || who.is_some() && !self.is_wanted(who) || self.machine.has_capacity(who)
    }

    /// Returns whether nothing is wanted of the server any more, or it is tried no more.
    pub(crate) fn is_final(&self) -> bool {
        self.ended || self.machine.status() == ClientState::Idle
    }

    /// Returns whether that is so, and all events were handled.
    pub(crate) fn is_over(&self) -> bool {
        self.is_final() && (self.ended || !self.awake && !self.busy && !self.machine.has_output())
    }

    /// Returns whether nothing is wanted of the server any more, and all that was queued for it is written.
    pub(crate) fn is_closed(&self) -> bool {
        self.is_final() && (self.ended || self.quiet && !self.machine.has_transmit())
    }

    pub(crate) fn take_finals(&mut self) -> Vec<Waker> {
        if self.finals.is_empty() || !self.is_final() {
            return Vec::new();
        }
        let is_closed = self.is_closed();
        self.finals.take_those(|end| *end == FinalEnd::Received || is_closed)
    }

    /// Wakes that waker once nothing comes in any more. The number is for the next call, and for
    /// [`ClientInner::forget_final`]. The waker that comes back is to be dropped without the lock.
    pub(crate) fn wait_for_final(&mut self, number: &mut Option<u64>, waker: &Waker) -> Option<Waker> {
        self.finals.put(number, FinalEnd::Received, waker)
    }

    pub(crate) fn forget_final(&mut self, number: u64) -> Option<Waker> {
        self.finals.remove(number)
    }

    /// Returns whether it was told to connect, and not to leave since.
    pub(crate) fn is_wanted(&self, who: Key) -> bool {
        match who {
            Some(socket) => self.machine.is_socket_wanted(socket),
            None => self.machine.is_wanted(),
        }
    }

    pub(crate) fn is_connected(&self, who: Key) -> bool {
        match who {
            Some(socket) => self.machine.is_connected(socket),
            None => self.machine.status() == ClientState::Open,
        }
    }

    /// Connects from now on, whatever became of it before.
    pub(crate) fn connect(&mut self, now: time::Instant, who: Key) {
        self.tentative.remove(&who);
        self.want(now, who);
    }

    /// Connects by the next try. Tries that are under way, or were asked for, go on after that.
    pub(crate) fn try_to_connect(&mut self, now: time::Instant, who: Key) {
        if !self.is_expected(who) {
            self.tentative.insert(who, self.before(who).connections);
        }
        self.want(now, who);
    }

    fn want(&mut self, now: time::Instant, who: Key) {
        self.failures.remove(&who);
        match who {
            Some(socket) => self.machine.connect(now, socket),
            None => self.machine.open(now),
        }
    }

    /// It was connected by that connection: from then on it stays so by itself, unless it was told otherwise since.
    pub(crate) fn settled(&mut self, who: Key, connection: u64) {
        if self.tentative.get(&who).is_some_and(|before| *before <= connection) {
            self.tentative.remove(&who);
        }
    }

    /// Takes out those who await a try that has failed, the session's end number `ends`. One that gets an error does
    /// not expect a connection later, so none is tried for it, unless others want it.
    pub(crate) fn take_disappointed(&mut self, now: time::Instant, ends: u64) -> Vec<Waiter> {
        let told = |waiter: &Waiter| waiter.patience == Patience::NextTry && waiter.before.ends < ends;
        let (told, left): (Vec<_>, Vec<_>) = std::mem::take(&mut self.waiters)
            .into_iter()
            // Of the others, the events of their sockets say why.
            .partition(|waiter| told(waiter) && self.is_wanted(waiter.who));
        self.waiters = left;
        for who in told.iter().map(|waiter| waiter.who) {
            let awaits = |waiter: &Waiter| {
                let is_for = waiter.who == who && waiter.patience == Patience::NextTry;
                is_for && !waiter.sender.is_canceled()
            };
            if self.tentative.contains_key(&who) && !self.waiters.iter().any(awaits) {
                self.tentative.remove(&who);
                self.disconnect(now, who);
            }
        }
        told
    }

    /// The ends that have come for that one.
    pub(crate) fn before(&self, who: Key) -> Before {
        let ends = self.machine.ends();
        Before { ends, connections: who.map_or(ends, |socket| self.machine.connection(socket)) }
    }

    pub(crate) fn disconnect(&mut self, now: time::Instant, who: Key) {
        match who {
            Some(socket) => self.machine.disconnect(now, socket),
            None => self.machine.close(now),
        }
    }

    /// Returns whether it is connected, or will be by itself.
    fn is_expected(&self, who: Key) -> bool {
        self.is_wanted(who) && self.machine.status() != ClientState::Idle
    }

    /// Why waiting until it is connected is in vain, if it is.
    pub(crate) fn in_vain(&self, who: Key) -> Option<ConnectError> {
        if self.ended {
            return Some(ConnectError::Disconnected);
        }
        // The task has more to tell, perhaps.
        if self.awake || self.machine.has_output() || self.is_expected(who) {
            return None;
        }
        Some(self.failures.get(&who).cloned().unwrap_or(ConnectError::Disconnected))
    }

    /// Takes out those who wait in vain.
    fn take_vain(&mut self) -> Vec<(Waiter, ConnectError)> {
        if self.waiters.is_empty() {
            return Vec::new();
        }
        let (waiting, vain): (Vec<Waiter>, Vec<Waiter>) =
            std::mem::take(&mut self.waiters).into_iter().partition(|waiter| self.is_expected(waiter.who));
        self.waiters = waiting;
        let with_error = |waiter: Waiter| {
            let error = self.failures.get(&waiter.who).cloned().unwrap_or(ConnectError::Disconnected);
            (waiter, error)
        };
        vain.into_iter().map(with_error).collect()
    }

    pub(crate) fn failed(&mut self, who: Key, error: &ConnectError) {
        self.failures.insert(who, error.clone());
    }

    /// Takes out those of the waiting.
    pub(crate) fn take_waiters(&mut self, mut which: impl FnMut(&Waiter) -> bool) -> Vec<Waiter> {
        let (taken, left) = std::mem::take(&mut self.waiters).into_iter().partition(|waiter| which(waiter));
        self.waiters = left;
        taken
    }

    /// Takes out those who wait no more: they are connected.
    pub(crate) fn take_connected(&mut self) -> Vec<Waiter> {
        if self.waiters.is_empty() {
            return Vec::new();
        }
        let waiters = std::mem::take(&mut self.waiters);
        let (connected, waiting): (Vec<_>, _) =
            waiters.into_iter().partition(|waiter| self.is_connected(waiter.who));
        self.waiters = waiting;
        for who in connected.iter().map(|waiter| waiter.who) {
            self.settled(who, self.before(who).connections);
        }
        connected
    }

    fn bell(&mut self) -> Option<Waker> {
        if self.awake || self.waker.is_none() {
            return None;
        }
        let earlier = |deadline| deadline < self.armed;
        if self.machine.has_output()
            || self.machine.poll_timeout().is_some_and(earlier)
            || self.abandoned
            || !self.finals.is_empty() && self.is_final()
        {
            return self.waker.take();
        }
        None
    }
}

/// The wait for capacity in the send buffer, or for the certainty that there never will be.
pub(crate) struct Capacity<'a>(&'a ClientHandle);

impl Awaited for Capacity<'_> {
    type Who = Key;

    fn look<T>(&self, who: Key, then: impl FnOnce(bool, &mut Wakers<Key>) -> T) -> T {
        let mut inner = self.0.lock();
        let has_capacity = inner.has_capacity(who);
        then(has_capacity, &mut inner.ready)
    }
}

/// The final end of a client.
pub(crate) struct End<'a>(&'a ClientHandle);

impl Awaited for End<'_> {
    type Who = FinalEnd;

    fn look<T>(&self, end: FinalEnd, then: impl FnOnce(bool, &mut Wakers<FinalEnd>) -> T) -> T {
        let mut inner = self.0.lock();
        let has_come = match end {
            FinalEnd::Received => inner.is_over(),
            FinalEnd::Written => inner.is_closed(),
        };
        then(has_come, &mut inner.finals)
    }
}

impl fmt::Debug for ClientHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ClientHandle(..)")
    }
}
