//! The heads of a connection's requests and of the response that ends its HTTP: the deadlines of the former, as timers that
//! hyper asks for.
//!
//! hyper has one timeout for a head, the time before its first byte included. It asks for a new timer each time that it
//! waits for a head, so the timer itself can tell the first head from later ones, and the wait for a head from a head
//! that is slow.

use crate::base::runtime::{Runtime, Timer};
use crate::base::upgrade::HoldsBack;
use crate::http::options::Deadlines;
use std::future::Future;
use std::io::IoSlice;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

/// The heads of one connection's requests, and the timer that all of them share.
pub(crate) struct Heads {
    pub(crate) runtime: Arc<dyn Runtime>,
    pub(crate) deadlines: Arc<Deadlines>,
    /// Something was read since the wait for the present head began.
    read: AtomicBool,
    /// A whole head has come.
    is_seen: AtomicBool,
    /// Whether writes are held back.
    holds: AtomicBool,
    held: Mutex<Vec<u8>>,
    /// Never waited for: hyper has one sleep at a time, and shares it between threads in name only.
    timer: Mutex<SharedTimer>,
}

impl Heads {
    pub(crate) fn new(runtime: Arc<dyn Runtime>, deadlines: Arc<Deadlines>) -> Self {
        Self {
            runtime,
            deadlines,
            read: AtomicBool::new(false),
            is_seen: AtomicBool::new(false),
            holds: AtomicBool::new(false),
            held: Mutex::default(),
            timer: Mutex::default(),
        }
    }

    /// Something was read from the connection.
    pub(crate) fn note_read(&self) {
        self.read.store(true, Ordering::Relaxed);
    }

    /// A whole head has come.
    pub(crate) fn note_head(&self) {
        self.is_seen.store(true, Ordering::Relaxed);
    }

    /// Returns whether a whole head has come.
    pub(crate) fn is_seen(&self) -> bool {
        self.is_seen.load(Ordering::Relaxed)
    }

    /// Keeps what HTTP is about to write, if that is to be held back. Returns how much it was.
    #[inline]
    pub(crate) fn keep(&self, parts: &[IoSlice<'_>]) -> Option<usize> {
        if self.holds.load(Ordering::Relaxed) { self.keep_short(parts) } else { None }
    }

    #[cold]
    fn keep_short(&self, parts: &[IoSlice<'_>]) -> Option<usize> {
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        let length: usize = parts.iter().map(|part| part.len()).sum();
        // An answer before the response of status 101 may be longer; behind that, HTTP writes nothing.
        if held.is_empty() && length > MAX_HELD {
            return None;
        }
        // A first message and its header find room.
        held.reserve(2 * length);
        parts.iter().for_each(|part| held.extend_from_slice(part));
        Some(length)
    }
}

impl HoldsBack for Heads {
    fn hold(&self) {
        self.holds.store(true, Ordering::Relaxed);
    }

    fn take_held(&self) -> Vec<u8> {
        self.holds.store(false, Ordering::Relaxed);
        std::mem::take(&mut *self.held.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// The most bytes that are held back.
const MAX_HELD: usize = 4 << 10;

/// A timer that stays from head to head: a connection that polls has a new deadline with each request, and is hardly ever
/// at one.
#[derive(Default)]
struct SharedTimer {
    timer: Option<Box<dyn Timer>>,
    /// The deadline that it was armed for: for the present head, or for one before.
    armed: Option<Instant>,
}

impl SharedTimer {
    /// Ready once the deadline is over. The timer is moved to a later time only when it has fired for nothing.
    fn poll(&mut self, deadline: Instant, runtime: &dyn Runtime, context: &mut Context<'_>) -> Poll<()> {
        loop {
            let timer = self.timer.get_or_insert_with(|| runtime.timer(deadline));
            let armed = *self.armed.get_or_insert(deadline);
            if deadline < armed {
                timer.reset(deadline);
                self.armed = Some(deadline);
            }
            ready!(timer.poll_elapsed(context));
            if deadline <= armed {
                return Poll::Ready(());
            }
            timer.reset(deadline);
            self.armed = Some(deadline);
        }
    }
}

/// The timers of one connection, as hyper asks for them.
pub(crate) struct HeadTimer {
    heads: Arc<Heads>,
    first_head: Duration,
    /// The beginning of the connection.
    begun: Instant,
    is_later: AtomicBool,
}

impl HeadTimer {
    /// `first_head` is what is left of the time for the first one.
    pub(crate) fn new(heads: Arc<Heads>, first_head: Duration) -> Self {
        let begun = heads.runtime.now();
        Self { heads, first_head, begun, is_later: AtomicBool::new(false) }
    }

    fn after(&self, limit: Duration, awaits_first_byte: bool) -> Pin<Box<dyn hyper::rt::Sleep>> {
        let deadline = self.heads.runtime.now() + limit;
        Box::pin(Sleep { heads: self.heads.clone(), deadline, awaits_first_byte })
    }
}

/// A sleep of hyper's.
struct Sleep {
    heads: Arc<Heads>,
    deadline: Instant,
    /// Nothing of the head has come: from its first byte on it has another deadline.
    awaits_first_byte: bool,
}

impl Future for Sleep {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let Self { heads, deadline, awaits_first_byte } = &mut *self;
        if *awaits_first_byte && heads.read.load(Ordering::Relaxed) {
            *awaits_first_byte = false;
            *deadline = heads.runtime.now() + heads.deadlines.head;
        }
        let mut timer = heads.timer.lock().unwrap_or_else(PoisonError::into_inner);
        timer.poll(*deadline, &*heads.runtime, context)
    }
}

impl hyper::rt::Sleep for Sleep {}

impl hyper::rt::Timer for HeadTimer {
    fn sleep(&self, duration: Duration) -> Pin<Box<dyn hyper::rt::Sleep>> {
        self.after(duration, false)
    }

    /// The wait for a head begins. hyper's deadline is not looked at.
    fn sleep_until(&self, _: Instant) -> Pin<Box<dyn hyper::rt::Sleep>> {
        if !self.is_later.swap(true, Ordering::Relaxed) {
            return self.after(self.first_head, false);
        }
        self.heads.read.store(false, Ordering::Relaxed);
        self.after(self.heads.deadlines.keep_alive, true)
    }

    /// hyper reckons its deadlines from this, and they are not looked at: any time will do, and the clock is not asked for
    /// each head.
    fn now(&self) -> Instant {
        self.begun
    }

    fn reset(&self, sleep: &mut Pin<Box<dyn hyper::rt::Sleep>>, deadline: Instant) {
        *sleep = self.sleep_until(deadline);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::in_memory::InMemory;
    use hyper::rt::Timer as _;
    use std::task::Waker;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn a_timer_serves_all_heads_and_is_moved_only_where_it_must() {
        let runtime = InMemory::new();
        let limits = Deadlines {
            first_head: 10 * SECOND,
            head: 5 * SECOND,
            keep_alive: 60 * SECOND,
            ..Deadlines::default()
        };
        let heads = Arc::new(Heads::new(Arc::new(runtime.clone()), Arc::new(limits)));
        let timer = HeadTimer::new(heads.clone(), 10 * SECOND);
        let sleep = || timer.sleep_until(runtime.now());
        let mut context = Context::from_waker(Waker::noop());
        let mut is_over =
            |sleep: &mut Pin<Box<dyn hyper::rt::Sleep>>| sleep.as_mut().poll(&mut context).is_ready();

        let mut first = sleep();
        heads.note_read();
        assert!(!is_over(&mut first));
        assert_eq!(runtime.next_deadline(), Some(10 * SECOND));
        drop(first);

        // Fires for the first one, and is moved on.
        let mut second = sleep();
        assert!(!is_over(&mut second));
        assert_eq!(runtime.next_deadline(), Some(10 * SECOND));
        runtime.advance(10 * SECOND);
        assert!(!is_over(&mut second));
        assert_eq!(runtime.next_deadline(), Some(50 * SECOND));

        // Its first byte comes: it has a nearer deadline.
        heads.note_read();
        assert!(!is_over(&mut second));
        assert_eq!(runtime.next_deadline(), Some(5 * SECOND));
        drop(second);

        // The next one is slow, and the connection is at its end.
        runtime.advance(4 * SECOND);
        let mut third = sleep();
        heads.note_read();
        assert!(!is_over(&mut third));
        runtime.advance(SECOND);
        assert!(!is_over(&mut third));
        assert_eq!(runtime.next_deadline(), Some(4 * SECOND));
        runtime.advance(4 * SECOND);
        assert!(is_over(&mut third) && is_over(&mut third));
    }
}
