//! Virtual time, and the tasks of a test, which run on the test's own thread.

use super::loopback::End;
use crate::adapter::raw_stream;
use crate::base::in_memory::{InMemory, Task};
use crate::base::runtime::{BoxFuture, Runtime, Stream, Timer};
use bytes::Bytes;
use hyper::upgrade::Upgraded;
use std::cell::RefCell;
use std::fmt;
use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Wake, Waker};
use std::time::{Duration, Instant};

/// The most turns that tasks may take one after the other without any time passing.
const MOST_TURNS: usize = 1_000_000;

/// The most virtual time that a test waits for one thing.
const PATIENCE: Duration = Duration::from_secs(60 * 60);

/// A runtime in virtual time, for [`ServerBuilder::runtime`](crate::ServerBuilder::runtime) and
/// [`ClientBuilder::runtime`](crate::ClientBuilder::runtime) in tests.
///
/// A [`TestServer`](crate::testing::TestServer) makes it, runs its tasks and moves its clock.
#[derive(Clone)]
pub struct TestRuntime(pub(super) InMemory);

impl Runtime for TestRuntime {
    fn now(&self) -> Instant {
        self.0.now()
    }

    fn timer(&self, deadline: Instant) -> Box<dyn Timer> {
        self.0.timer(deadline)
    }

    fn spawn(&self, task: BoxFuture<()>) {
        self.0.spawn(task);
    }

    fn stream(&self, upgraded: Upgraded) -> (Box<dyn Stream>, Bytes) {
        raw_stream::<End>(upgraded).unwrap_or_else(|upgraded| (Box::new(upgraded), Bytes::new()))
    }
}

impl fmt::Debug for TestRuntime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TestRuntime").finish_non_exhaustive()
    }
}

/// The tasks of a test, and their clock.
pub(super) struct World {
    pub(super) runtime: TestRuntime,
    tasks: RefCell<Vec<Task<BoxFuture<()>>>>,
    began: Instant,
}

impl World {
    pub(super) fn new() -> Self {
        let runtime = TestRuntime(InMemory::new());
        let began = runtime.now();
        Self { runtime, tasks: RefCell::default(), began }
    }

    pub(super) fn elapsed(&self) -> Duration {
        self.runtime.now() - self.began
    }

    /// Runs all tasks until nothing wakes any of them.
    pub(super) fn settle(&self) {
        let mut tasks = self.tasks.borrow_mut();
        let mut turns = 0;
        loop {
            let spawned = self.runtime.0.spawned();
            let mut is_at_rest = spawned.is_empty();
            tasks.extend(spawned.into_iter().map(Task::new));
            for task in tasks.iter_mut() {
                if task.turn() {
                    is_at_rest = false;
                    turns += 1;
                }
            }
            if is_at_rest {
                return;
            }
            tasks.retain(|task| !task.is_over());
            assert!(turns < MOST_TURNS, "the server and its clients do not come to rest: a loop of events?");
        }
    }

    /// Lets virtual time pass, deadline by deadline.
    pub(super) fn advance(&self, time: Duration) {
        let end = self.runtime.now() + time;
        self.settle();
        loop {
            let left = end - self.runtime.now();
            let next = self.runtime.0.next_deadline().filter(|next| *next < left);
            self.runtime.0.advance(next.unwrap_or(left));
            self.settle();
            if next.is_none() {
                return;
            }
        }
    }

    /// Runs a future to its end; while all tasks rest, virtual time passes.
    #[track_caller]
    pub(super) fn block_on<T>(&self, future: impl Future<Output = T>) -> T {
        let mut future = pin!(future);
        let bell = Arc::new(Bell(AtomicBool::new(true)));
        let waker = Waker::from(bell.clone());
        let began = self.runtime.now();
        loop {
            while bell.0.swap(false, Ordering::AcqRel) {
                if let Poll::Ready(output) = future.as_mut().poll(&mut Context::from_waker(&waker)) {
                    self.settle();
                    return output;
                }
                self.settle();
            }
            let waited = self.runtime.now() - began;
            assert!(waited < PATIENCE, "after an hour of virtual time, what the test waits for has not come");
            assert!(
                self.runtime.0.advance_to_next_deadline(),
                "what the test waits for cannot come: no task is running, and no timer"
            );
            self.settle();
        }
    }
}

struct Bell(AtomicBool);

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::Release);
    }
}
