//! A runtime in memory, for tests of tasks: a clock that stands still until it is moved, timers on that clock, and a task
//! that is polled only when something has woken it; for the tests of this crate also a stream whose far end the test
//! holds.

#[cfg(any(test, fuzzing))]
mod stream;

#[cfg(any(test, fuzzing))]
pub(crate) use stream::{FarEnd, NearEnd, stream};

use crate::base::runtime::{BoxFuture, Runtime, Stream, Timer};
use bytes::Bytes;
use hyper::upgrade::Upgraded;
use std::collections::BTreeMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Wake, Waker};
use std::time::{Duration, Instant, SystemTime};

/// A runtime whose clock the test moves.
#[derive(Clone)]
pub(crate) struct InMemory(Arc<Mutex<World>>);

struct World {
    now: Instant,
    wall_clock: SystemTime,
    looks: usize,
    looks_at_wall_clock: usize,
    /// The deadlines of those timers that are awaited.
    timers: BTreeMap<u64, (Instant, Waker)>,
    next_timer: u64,
    spawned: Vec<BoxFuture<()>>,
}

impl InMemory {
    pub(crate) fn new() -> Self {
        Self(Arc::new(Mutex::new(World {
            now: Instant::now(),
            wall_clock: SystemTime::UNIX_EPOCH + Duration::from_secs(1 << 30),
            looks: 0,
            looks_at_wall_clock: 0,
            timers: BTreeMap::new(),
            next_timer: 0,
            spawned: Vec::new(),
        })))
    }

    fn world(&self) -> MutexGuard<'_, World> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Moves the clock, and wakes those whose deadlines are over.
    pub(crate) fn advance(&self, time: Duration) {
        let mut world = self.world();
        world.now += time;
        world.wall_clock += time;
        let now = world.now;
        let (due, waiting) =
            std::mem::take(&mut world.timers).into_iter().partition(|(_, (deadline, _))| *deadline <= now);
        world.timers = waiting;
        drop(world);
        let due: BTreeMap<u64, (Instant, Waker)> = due;
        due.into_values().for_each(|(_, waker)| waker.wake());
    }

    /// Moves the time of day alone: the machine sleeps.
    #[cfg(test)]
    pub(crate) fn move_wall_clock(&self, time: Duration) {
        self.world().wall_clock += time;
    }

    /// Somebody sets the time of day.
    #[cfg(test)]
    pub(crate) fn set_wall_clock_back(&self, time: Duration) {
        self.world().wall_clock -= time;
    }

    /// Returns the number of times that the clock was looked at.
    #[cfg(test)]
    pub(crate) fn looks(&self) -> usize {
        self.world().looks
    }

    /// Returns the number of times that the time of day was asked for.
    #[cfg(test)]
    pub(crate) fn looks_at_wall_clock(&self) -> usize {
        self.world().looks_at_wall_clock
    }

    /// Returns the time until the next deadline that is awaited.
    pub(crate) fn next_deadline(&self) -> Option<Duration> {
        let world = self.world();
        let next = world.timers.values().map(|(deadline, _)| *deadline).min();
        next.map(|deadline| deadline.saturating_duration_since(world.now))
    }

    /// Moves the clock to the next deadline that is awaited. Returns whether there is one.
    pub(crate) fn advance_to_next_deadline(&self) -> bool {
        self.next_deadline().map(|time| self.advance(time)).is_some()
    }

    /// The tasks that were spawned since the last call.
    pub(crate) fn spawned(&self) -> Vec<BoxFuture<()>> {
        std::mem::take(&mut self.world().spawned)
    }
}

impl Runtime for InMemory {
    fn now(&self) -> Instant {
        let mut world = self.world();
        world.looks += 1;
        world.now
    }

    fn wall_clock(&self) -> SystemTime {
        let mut world = self.world();
        world.looks_at_wall_clock += 1;
        world.wall_clock
    }

    fn timer(&self, deadline: Instant) -> Box<dyn Timer> {
        let mut world = self.world();
        world.next_timer += 1;
        Box::new(InMemoryTimer { runtime: self.clone(), number: world.next_timer, deadline })
    }

    fn spawn(&self, task: BoxFuture<()>) {
        self.world().spawned.push(task);
    }

    fn stream(&self, _: Upgraded) -> (Box<dyn Stream>, Bytes) {
        panic!("hyper serves nothing here")
    }
}

struct InMemoryTimer {
    runtime: InMemory,
    number: u64,
    deadline: Instant,
}

impl Timer for InMemoryTimer {
    fn reset(&mut self, deadline: Instant) {
        self.deadline = deadline;
        self.runtime.world().timers.remove(&self.number);
    }

    fn poll_elapsed(&mut self, context: &mut Context<'_>) -> Poll<()> {
        let mut world = self.runtime.world();
        if world.now >= self.deadline {
            return Poll::Ready(());
        }
        world.timers.insert(self.number, (self.deadline, context.waker().clone()));
        Poll::Pending
    }
}

impl Drop for InMemoryTimer {
    fn drop(&mut self) {
        self.runtime.world().timers.remove(&self.number);
    }
}

/// A task with its waker.
pub(crate) struct Task<F> {
    future: Option<Pin<Box<F>>>,
    bell: Arc<Bell>,
    /// Each turn has a waker of its own, and those of earlier turns wake nobody.
    moves: bool,
}

struct Bell(AtomicBool);

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::Release);
    }
}

impl<F: Future<Output = ()>> Task<F> {
    /// A task that has not run.
    pub(crate) fn new(future: F) -> Self {
        Self { future: Some(Box::pin(future)), bell: Arc::new(Bell(AtomicBool::new(true))), moves: false }
    }

    /// A task that moves about: only the waker of its last turn counts, as [`Future::poll`] says.
    #[cfg(any(test, fuzzing))]
    pub(crate) fn moving(future: F) -> Self {
        Self { moves: true, ..Self::new(future) }
    }

    /// Wakes it.
    #[cfg(any(test, fuzzing))]
    pub(crate) fn wake(&self) {
        self.bell.clone().wake();
    }

    /// Polls it once if it was woken. Returns whether it was.
    pub(crate) fn turn(&mut self) -> bool {
        let Some(future) = &mut self.future else { return false };
        if !self.bell.0.swap(false, Ordering::AcqRel) {
            return false;
        }
        if self.moves {
            self.bell = Arc::new(Bell(AtomicBool::new(false)));
        }
        let waker = Waker::from(self.bell.clone());
        if future.as_mut().poll(&mut Context::from_waker(&waker)).is_ready() {
            self.future = None;
        }
        true
    }

    /// Polls it until nothing wakes it any more.
    #[cfg(test)]
    pub(crate) fn settle(&mut self) {
        for _ in 0..100_000 {
            if !self.turn() {
                return;
            }
        }
        panic!("the task wakes itself for ever");
    }

    pub(crate) fn is_over(&self) -> bool {
        self.future.is_none()
    }

    /// The future, which has not ended.
    #[cfg(test)]
    pub(crate) fn future(&mut self) -> Pin<&mut F> {
        self.future.as_mut().expect("it has ended").as_mut()
    }
}
