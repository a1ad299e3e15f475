//! What a client's task shares with everybody else: its machine behind a lock, and its bell.
//!
//! As on the server, nobody holds the lock while user code runs, and the task is rung only if there is something new
//! for it to do.

use crate::base::clock::Clock;
use crate::client::error::ConnectError;
use crate::session::handle::AckSink;
use futures_channel::oneshot;
use sansocket_protocol::client::{ClientState, Manager};
use sansocket_protocol::socket::SocketKey;
use sansocket_protocol::time;
use std::collections::BTreeMap;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

/// Who connects: a socket, or with `None` the session of plain Engine.IO.
pub(crate) type Key = Option<SocketKey>;

/// Who waits until somebody is connected.
pub(crate) struct Waiter {
    pub(crate) who: Key,
    /// Whether a failure to reach the server is not the end of it.
    pub(crate) patient: bool,
    /// What was over before it began to wait, told or not.
    pub(crate) before: Before,
    pub(crate) sender: oneshot::Sender<Result<(), ConnectError>>,
}

/// What is over at some moment: what is told later, but was before that, is no answer to what is asked then.
#[derive(Clone, Copy)]
pub(crate) struct Before {
    /// How many sessions were lost or could not be opened.
    pub(crate) ends: u64,
    /// How many connections of the socket have ended, refusals included. Those of plain Engine.IO are its sessions.
    pub(crate) connections: u64,
}

pub(crate) struct ClientHandle {
    inner: Mutex<Inner>,
    clock: Clock,
}

pub(crate) struct Inner {
    pub(crate) machine: Manager,
    waker: Option<Waker>,
    awake: bool,
    /// Handlers are at work, and events may wait for them.
    busy: bool,
    /// The task is gone: nothing will be sent any more.
    pub(crate) ended: bool,
    /// Nobody holds the client any more: the task ends when all is done.
    pub(crate) abandoned: bool,
    armed: time::Instant,
    pub(crate) acks: BTreeMap<(SocketKey, u64), AckSink>,
    pub(crate) waiters: Vec<Waiter>,
    /// Those who are wanted only as long as somebody awaits it: nobody has told them to start, and they were not
    /// connected yet. With how many connections of theirs had ended before.
    tentative: BTreeMap<Key, u64>,
    /// Why those could not connect that are not tried any more.
    failures: BTreeMap<Key, ConnectError>,
    /// Those who wait for room in the send buffer, by number, and who is to send.
    ready: BTreeMap<u64, (Key, Waker)>,
    /// Those who wait for the final end, by number, and whether they also wait until all is written.
    finals: BTreeMap<u64, (bool, Waker)>,
    /// No request is on its way, and no WebSocket is open: so says the task.
    pub(crate) quiet: bool,
    next_number: u64,
}

impl ClientHandle {
    pub(crate) fn new(machine: Manager, clock: Clock) -> Self {
        Self {
            inner: Mutex::new(Inner {
                machine,
                waker: None,
                awake: false,
                busy: false,
                ended: false,
                abandoned: false,
                armed: time::Instant::FAR_FUTURE,
                acks: BTreeMap::new(),
                waiters: Vec::new(),
                tentative: BTreeMap::new(),
                failures: BTreeMap::new(),
                ready: BTreeMap::new(),
                finals: BTreeMap::new(),
                quiet: true,
                next_number: 0,
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

    pub(crate) fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Runs `change`, and rings the task if that gave it something to do.
    pub(crate) fn with<T>(&self, change: impl FnOnce(&mut Inner) -> T) -> T {
        let mut inner = self.lock();
        let result = change(&mut inner);
        let waker = inner.bell();
        drop(inner);
        if let Some(waker) = waker {
            waker.wake();
        }
        result
    }

    // --- the task's side ------------------------------------------------------------------------------------------

    /// The task looks at everything from now on. Returns whether it was woken by a command, and other tasks are likely
    /// to give some, too: several await answers, which often come together.
    pub(crate) fn wake_up(&self) -> bool {
        let mut inner = self.lock();
        inner.awake = true;
        inner.acks.len() > 1 && inner.machine.has_transmit()
    }

    /// The task has nothing to do that it knows of. With `may_end`, nothing but the machine keeps it alive; `busy`
    /// says whether handlers are at work.
    pub(crate) fn fall_asleep(&self, waker: &Waker, may_end: bool, busy: bool) -> Rest {
        let mut inner = self.lock();
        if inner.machine.has_output() {
            return Rest::Awake;
        }
        if may_end && inner.abandoned && inner.machine.is_finished() {
            return Rest::Over;
        }
        let deadline = inner.machine.poll_timeout();
        inner.armed = deadline.unwrap_or(time::Instant::FAR_FUTURE);
        match &mut inner.waker {
            Some(before) => before.clone_from(waker),
            none => *none = Some(waker.clone()),
        }
        inner.awake = false;
        inner.busy = busy;
        // Whatever was to be told is told by now.
        let finals = inner.take_finals();
        let failed = inner.take_vain();
        drop(inner);
        for (waiter, error) in failed {
            // Nobody listens if the future was dropped.
            let _ = waiter.sender.send(Err(error));
        }
        finals.into_iter().for_each(Waker::wake);
        Rest::Asleep(deadline)
    }

    /// Waits until the send buffer has room for what that one sends, or never will.
    pub(crate) fn ready(&self, who: Key) -> Ready<'_> {
        Ready { cell: self, who, id: None }
    }

    /// Waits until nothing is wanted of the server any more, or it is tried no more, and all is written.
    pub(crate) fn over(&self) -> Over<'_> {
        Over { cell: self, number: None }
    }
}

/// What a task that has nothing to do does next.
pub(crate) enum Rest {
    Awake,
    Asleep(Option<time::Instant>),
    Over,
}

impl Inner {
    /// Those who wait for room in the send buffer, if there is room now, or never will be.
    pub(crate) fn take_ready(&mut self) -> Vec<Waker> {
        if self.ready.is_empty() {
            return Vec::new();
        }
        let (ready, waiting): (BTreeMap<_, _>, BTreeMap<_, _>) =
            std::mem::take(&mut self.ready).into_iter().partition(|(_, (who, _))| self.has_capacity(*who));
        self.ready = waiting;
        ready.into_values().map(|(_, waker)| waker).collect()
    }

    /// Whether there is room for what that one sends, or none will be made by waiting: it is not connected, and will
    /// not be by itself.
    fn has_capacity(&self, who: Key) -> bool {
        self.is_final() || who.is_some() && !self.is_wanted(who) || self.machine.has_capacity(who)
    }

    /// Whether nothing is wanted of the server any more, or it is tried no more.
    pub(crate) fn is_final(&self) -> bool {
        self.ended || self.machine.status() == ClientState::Idle
    }

    /// Whether that is so, and all events were handled.
    pub(crate) fn is_over(&self) -> bool {
        self.is_final() && (self.ended || !self.awake && !self.busy && !self.machine.has_output())
    }

    /// Whether nothing is wanted of the server any more, and all that was queued for it is written.
    pub(crate) fn is_closed(&self) -> bool {
        self.is_final() && (self.ended || self.quiet && !self.machine.has_transmit())
    }

    pub(crate) fn take_finals(&mut self) -> Vec<Waker> {
        if self.finals.is_empty() || !self.is_final() {
            return Vec::new();
        }
        let is_closed = self.is_closed();
        let waits = |until_written: bool| until_written && !is_closed;
        let (waiting, over): (BTreeMap<_, _>, BTreeMap<_, _>) = std::mem::take(&mut self.finals)
            .into_iter()
            .partition(|(_, (until_written, _))| waits(*until_written));
        self.finals = waiting;
        over.into_values().map(|(_, waker)| waker).collect()
    }

    /// Wakes that waker at the final end. The number is for [`Inner::forget_final`], and for the next call.
    /// What it gives back is to be dropped without the lock.
    pub(crate) fn wait_for_final(
        &mut self,
        number: &mut Option<u64>,
        until_written: bool,
        waker: &Waker,
    ) -> Option<Waker> {
        let number = *number.get_or_insert_with(|| {
            self.next_number += 1;
            self.next_number
        });
        let before = self.finals.insert(number, (until_written, waker.clone()));
        before.map(|(_, waker)| waker)
    }

    pub(crate) fn forget_final(&mut self, number: u64) -> Option<Waker> {
        self.finals.remove(&number).map(|(_, waker)| waker)
    }

    /// Whether it was told to connect, and not to leave since.
    pub(crate) fn is_wanted(&self, who: Key) -> bool {
        match who {
            Some(socket) => self.machine.sockets().is_some_and(|sockets| sockets.is_wanted(socket)),
            None => self.machine.is_wanted(),
        }
    }

    pub(crate) fn is_connected(&self, who: Key) -> bool {
        match who {
            Some(socket) => self.machine.is_connected(socket),
            None => self.machine.status() == ClientState::Open,
        }
    }

    /// Connects from now on, whatever became of it before. `awaited` says that the caller wants no more than the next
    /// try: what goes on already goes on.
    pub(crate) fn connect(&mut self, now: time::Instant, who: Key, awaited: bool) {
        self.failures.remove(&who);
        if !awaited {
            self.tentative.remove(&who);
        } else if !self.is_expected(who) {
            self.tentative.insert(who, self.before(who).connections);
        }
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

    /// Takes out those who await a try that has failed, the session's end number `ends`. Whoever gets an error does
    /// not expect it to connect later, so it is wanted no more, unless others want it.
    pub(crate) fn take_disappointed(&mut self, now: time::Instant, ends: u64) -> Vec<Waiter> {
        let told = |waiter: &Waiter| !waiter.patient && waiter.before.ends < ends;
        let (told, left): (Vec<_>, Vec<_>) = std::mem::take(&mut self.waiters)
            .into_iter()
            // Of the others, what is told to their sockets says why.
            .partition(|waiter| told(waiter) && self.is_wanted(waiter.who));
        self.waiters = left;
        for who in told.iter().map(|waiter| waiter.who) {
            let awaits =
                |waiter: &Waiter| waiter.who == who && !waiter.patient && !waiter.sender.is_canceled();
            if self.tentative.contains_key(&who) && !self.waiters.iter().any(awaits) {
                self.tentative.remove(&who);
                self.disconnect(now, who);
            }
        }
        told
    }

    /// What is over by now, for that one.
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

    /// Whether it is connected, or will be by itself.
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

/// Ready once the send buffer has room, or never will. Dropped, it leaves nothing behind.
pub(crate) struct Ready<'a> {
    cell: &'a ClientHandle,
    who: Key,
    id: Option<u64>,
}

impl Future for Ready<'_> {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let mut inner = self.cell.lock();
        if inner.has_capacity(self.who) {
            return Poll::Ready(());
        }
        let id = self.id.unwrap_or_else(|| {
            inner.next_number += 1;
            inner.next_number
        });
        let before = inner.ready.insert(id, (self.who, context.waker().clone()));
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

/// Ready once all is over and written. Dropped, it leaves nothing behind.
pub(crate) struct Over<'a> {
    cell: &'a ClientHandle,
    number: Option<u64>,
}

impl Future for Over<'_> {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let mut inner = self.cell.lock();
        if inner.is_closed() {
            return Poll::Ready(());
        }
        let mut number = self.number;
        let before = inner.wait_for_final(&mut number, true, context.waker());
        drop(inner);
        drop(before);
        self.number = number;
        Poll::Pending
    }
}

impl Drop for Over<'_> {
    fn drop(&mut self) {
        let waker = self.number.and_then(|number| self.cell.lock().forget_final(number));
        drop(waker);
    }
}

impl fmt::Debug for ClientHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ClientHandle(..)")
    }
}
