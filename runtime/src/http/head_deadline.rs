//! The deadlines of request heads, as timers that hyper asks for.
//!
//! hyper has one timeout for a head, the time before its first byte included. It asks for a new timer each time that it
//! waits for a head, so the timer itself can tell the first head from later ones, and the wait for a head from a head
//! that is slow.

use crate::base::runtime::{Runtime, Timer};
use crate::http::options::Deadlines;
use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

/// The timers of one connection.
pub(crate) struct HeadTimer {
    runtime: Arc<dyn Runtime>,
    deadlines: Arc<Deadlines>,
    is_later: AtomicBool,
    read: Arc<AtomicBool>,
}

impl HeadTimer {
    /// `read` is set whenever something is read from the connection.
    pub(crate) fn new(runtime: Arc<dyn Runtime>, deadlines: Arc<Deadlines>, read: Arc<AtomicBool>) -> Self {
        Self { runtime, deadlines, is_later: AtomicBool::new(false), read }
    }

    fn after(&self, limit: Duration, head: Option<Head>) -> Pin<Box<dyn hyper::rt::Sleep>> {
        let timer = self.runtime.timer(self.runtime.now() + limit);
        Box::pin(Sleep(Mutex::new(Wait { timer, head })))
    }
}

/// A head that has not begun.
struct Head {
    runtime: Arc<dyn Runtime>,
    limit: Duration,
    read: Arc<AtomicBool>,
}

struct Wait {
    timer: Box<dyn Timer>,
    head: Option<Head>,
}

/// A sleep of hyper's, which shares them between threads, at least in name: the lock is never waited for.
struct Sleep(Mutex<Wait>);

impl Sleep {
    fn wait(&mut self) -> &mut Wait {
        self.0.get_mut().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Future for Sleep {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let Wait { timer, head } = self.wait();
        if let Some(begun) = head.take_if(|head| head.read.load(Ordering::Relaxed)) {
            timer.reset(begun.runtime.now() + begun.limit);
        }
        ready!(timer.poll_elapsed(context));
        Poll::Ready(())
    }
}

impl hyper::rt::Sleep for Sleep {}

impl hyper::rt::Timer for HeadTimer {
    fn sleep(&self, duration: Duration) -> Pin<Box<dyn hyper::rt::Sleep>> {
        self.after(duration, None)
    }

    /// The wait for a head begins. hyper's deadline is not looked at.
    fn sleep_until(&self, _: Instant) -> Pin<Box<dyn hyper::rt::Sleep>> {
        if !self.is_later.swap(true, Ordering::Relaxed) {
            return self.after(self.deadlines.first_head, None);
        }
        self.read.store(false, Ordering::Relaxed);
        let head =
            Head { runtime: self.runtime.clone(), limit: self.deadlines.head, read: self.read.clone() };
        self.after(self.deadlines.keep_alive, Some(head))
    }

    fn now(&self) -> Instant {
        self.runtime.now()
    }

    fn reset(&self, sleep: &mut Pin<Box<dyn hyper::rt::Sleep>>, deadline: Instant) {
        *sleep = self.sleep_until(deadline);
    }
}
