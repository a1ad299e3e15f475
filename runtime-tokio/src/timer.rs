//! Timers: near deadlines are tokio's, far ones are kept by a thread of their own.
//!
//! While any of its timers is set, a tokio runtime that goes to sleep has the kernel set one, too, and take it away
//! again when a message comes. That was 4 % of what an echo costs a server. The deadlines of sessions are nearly all
//! far away, and most of them never come: heartbeats are moved, connections end. So a deadline of a second or more
//! waits in a table, and one thread sleeps until the first of them. It ends when there has been none for a while.
//!
//! A clock that tests have stopped is tokio's alone: then all timers are.

use sansocket_runtime::adapter::Timer;
use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::thread;
use std::time::{Duration, Instant};
use tokio::time::{Sleep, sleep_until};

/// What is farther away is left to the thread.
const FAR: Duration = Duration::from_secs(1);
/// How late the thread may be: what is due together is woken together.
const SLACK: Duration = Duration::from_millis(5);
/// How long the thread stays when there is nothing to wait for.
const LINGER: Duration = Duration::from_secs(1);
/// How many reads of a clock that runs may give the same.
const SAME_READS: usize = 64;

static WATCH: Watch = Watch {
    table: Mutex::new(Table { waiting: BTreeMap::new(), runs: false }),
    earlier: Condvar::new(),
    keys: AtomicU64::new(0),
};

pub(crate) struct TokioTimer {
    deadline: Instant,
    kind: Kind,
}

enum Kind {
    Near(Pin<Box<Sleep>>),
    Far(Key),
    /// Far, and in the table until it was woken.
    Waiting(Key),
}

/// A deadline in the table; the number tells those of the same instant apart.
type Key = (Instant, u64);

struct Watch {
    table: Mutex<Table>,
    /// The first deadline has become an earlier one.
    earlier: Condvar,
    keys: AtomicU64,
}

struct Table {
    waiting: BTreeMap<Key, Waker>,
    /// The thread is there.
    runs: bool,
}

impl TokioTimer {
    pub(crate) fn new(deadline: Instant) -> Self {
        let kind = match is_far(deadline) {
            true => Kind::Far(WATCH.key(deadline)),
            false => near(deadline),
        };
        Self { deadline, kind }
    }
}

impl Timer for TokioTimer {
    fn reset(&mut self, deadline: Instant) {
        self.deadline = deadline;
        if is_far(deadline) {
            self.forget();
            self.kind = Kind::Far(WATCH.key(deadline));
        } else if let Kind::Near(sleep) = &mut self.kind {
            sleep.as_mut().reset(deadline.into());
        } else {
            self.forget();
            self.kind = near(deadline);
        }
    }

    fn poll_elapsed(&mut self, context: &mut Context<'_>) -> Poll<()> {
        let (key, was_waiting) = match &mut self.kind {
            Kind::Near(sleep) => return sleep.as_mut().poll(context),
            Kind::Far(key) => (*key, false),
            Kind::Waiting(key) => (*key, true),
        };
        if tokio::time::Instant::now().into_std() >= self.deadline {
            self.forget();
            return Poll::Ready(());
        }
        if WATCH.wait(key, context.waker(), was_waiting) {
            self.kind = Kind::Waiting(key);
            return Poll::Pending;
        }
        // The thread has woken it, and tokio's clock stands still; or there is no thread to be had.
        self.kind = near(self.deadline);
        self.poll_elapsed(context)
    }
}

impl TokioTimer {
    /// Takes it out of the table.
    fn forget(&mut self) {
        if let Kind::Waiting(key) = self.kind {
            let waker = WATCH.lock().waiting.remove(&key);
            drop(waker);
            self.kind = Kind::Far(key);
        }
    }
}

impl Drop for TokioTimer {
    fn drop(&mut self) {
        self.forget();
    }
}

fn near(deadline: Instant) -> Kind {
    Kind::Near(Box::pin(sleep_until(deadline.into())))
}

/// Whether it is, by a clock that runs: one that somebody has stopped (`tokio::time::pause`) always says the same.
fn is_far(deadline: Instant) -> bool {
    let now = tokio::time::Instant::now();
    let runs = || (0..SAME_READS).any(|_| tokio::time::Instant::now() != now);
    deadline.saturating_duration_since(now.into_std()) >= FAR && runs()
}

impl Watch {
    fn lock(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn key(&self, deadline: Instant) -> Key {
        (deadline, self.keys.fetch_add(1, Ordering::Relaxed))
    }

    /// Has `waker` called once the deadline is over. Returns false if it was waiting and was woken already, and if there
    /// can be no thread that wakes it.
    fn wait(&'static self, key: Key, waker: &Waker, was_waiting: bool) -> bool {
        let waker = waker.clone();
        let mut table = self.lock();
        if was_waiting && !table.waiting.contains_key(&key) {
            return false;
        }
        if !table.runs {
            let thread = thread::Builder::new().name("sansocket-timers".into()).spawn(|| self.run());
            if thread.is_err() {
                return false;
            }
            table.runs = true;
        }
        let before = table.waiting.insert(key, waker);
        let is_first = table.waiting.first_key_value().is_some_and(|(first, _)| *first == key);
        drop(table);
        if is_first && before.is_none() {
            self.earlier.notify_one();
        }
        drop(before);
        true
    }

    /// The thread: sleeps until the first deadline, wakes those whose deadline is over, and so on.
    fn run(&self) {
        let mut table = self.lock();
        loop {
            let Some((&(first, _), _)) = table.waiting.first_key_value() else {
                let (again, waited) =
                    self.earlier.wait_timeout(table, LINGER).unwrap_or_else(PoisonError::into_inner);
                table = again;
                if waited.timed_out() && table.waiting.is_empty() {
                    table.runs = false;
                    return;
                }
                continue;
            };
            let now = Instant::now();
            if first > now {
                let patience = first - now + SLACK;
                table = self.earlier.wait_timeout(table, patience).unwrap_or_else(PoisonError::into_inner).0;
                continue;
            }
            let later = table.waiting.split_off(&(now, u64::MAX));
            let due = std::mem::replace(&mut table.waiting, later);
            drop(table);
            for waker in due.into_values() {
                // Whatever a waker does: the others are waiting, too.
                if let Err(panic) = catch_unwind(AssertUnwindSafe(|| waker.wake())) {
                    std::mem::forget(panic);
                }
            }
            table = self.lock();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::future::poll_fn;
    use std::sync::Arc;

    async fn elapsed(timer: &mut TokioTimer) {
        poll_fn(|context| timer.poll_elapsed(context)).await;
    }

    #[tokio::test]
    async fn far_deadlines_are_met_in_their_order_and_not_too_early() {
        let begin = Instant::now();
        let met = Arc::new(Mutex::new(Vec::new()));
        let tasks = [1300, 1100, 1200, 1100].map(|ms| {
            let met = met.clone();
            tokio::spawn(async move {
                let deadline = begin + Duration::from_millis(ms);
                let mut timer = TokioTimer::new(deadline);
                assert!(matches!(timer.kind, Kind::Far(_)));
                elapsed(&mut timer).await;
                assert!(Instant::now() >= deadline);
                // And again at each call.
                elapsed(&mut timer).await;
                met.lock().unwrap().push(ms);
            })
        });
        for task in tasks {
            task.await.expect("no panic");
        }
        assert_eq!(*met.lock().unwrap(), [1100, 1100, 1200, 1300]);
    }

    #[tokio::test]
    async fn a_timer_is_moved_from_far_to_near_and_back() {
        let begin = Instant::now();
        let mut timer = TokioTimer::new(begin + Duration::from_secs(3600));
        let polled = poll_fn(|context| Poll::Ready(timer.poll_elapsed(context))).await;
        assert!(polled.is_pending());
        let Kind::Waiting(key) = timer.kind else { panic!("an hour is far") };
        assert!(WATCH.lock().waiting.contains_key(&key));

        timer.reset(begin + Duration::from_millis(20));
        assert!(!WATCH.lock().waiting.contains_key(&key), "nothing is left behind");
        elapsed(&mut timer).await;
        assert!(Instant::now() >= begin + Duration::from_millis(20));

        timer.reset(Instant::now() + Duration::from_millis(1050));
        assert!(matches!(timer.kind, Kind::Far(_)));
        elapsed(&mut timer).await;
    }

    #[tokio::test]
    async fn what_is_dropped_leaves_nothing_behind() {
        let mut timer = TokioTimer::new(Instant::now() + Duration::from_secs(3600));
        let _ = poll_fn(|context| Poll::Ready(timer.poll_elapsed(context))).await;
        let Kind::Waiting(key) = timer.kind else { panic!("an hour is far") };
        drop(timer);
        assert!(!WATCH.lock().waiting.contains_key(&key));
    }

    #[cfg(feature = "test-clock")]
    #[tokio::test(start_paused = true)]
    async fn a_stopped_clock_is_followed() {
        let deadline = tokio::time::Instant::now().into_std() + Duration::from_secs(3600);
        let mut timer = TokioTimer::new(deadline);
        assert!(matches!(timer.kind, Kind::Near(_)));
        let real = Instant::now();
        elapsed(&mut timer).await;
        assert!(real.elapsed() < Duration::from_secs(60), "an hour passed at once");
    }

    #[cfg(feature = "test-clock")]
    #[tokio::test]
    async fn a_clock_that_is_stopped_later_is_followed_too() {
        let deadline = Instant::now() + Duration::from_millis(1100);
        let mut timer = TokioTimer::new(deadline);
        let polled = poll_fn(|context| Poll::Ready(timer.poll_elapsed(context))).await;
        assert!(polled.is_pending());
        tokio::time::pause();
        // The thread wakes it after a second of real time, and tokio's clock then goes on by itself.
        elapsed(&mut timer).await;
        assert!(tokio::time::Instant::now().into_std() >= deadline);
    }
}
