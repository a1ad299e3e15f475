//! A signal that is given once, and awaited by any number of tasks.

use crate::base::wakers::{Awaited, Wait, Wakers};
use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

/// A signal that is given once.
#[derive(Debug, Default)]
pub(crate) struct Signal {
    /// Changed under the lock. Without it, it may be read only by those who are woken, too.
    given: AtomicBool,
    wakers: Mutex<Wakers>,
}

impl Signal {
    fn wakers(&self) -> MutexGuard<'_, Wakers> {
        self.wakers.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Gives it; giving it again does nothing.
    pub(crate) fn give(&self) {
        let woken = {
            let mut wakers = self.wakers();
            self.given.store(true, Ordering::Release);
            wakers.take()
        };
        woken.into_iter().for_each(Waker::wake);
    }

    /// Returns whether it was given.
    pub(crate) fn is_given(&self) -> bool {
        let _in_order = self.wakers();
        self.is_seen()
    }

    /// The same without the lock, for one who waits for it as well: just given, it may not be seen yet, but then the waker
    /// is still to be called.
    pub(crate) fn is_seen(&self) -> bool {
        self.given.load(Ordering::Acquire)
    }

    /// Waits for it.
    pub(crate) fn wait(&self) -> Wait<&Self> {
        Wait::new(self, ())
    }

    /// The same for one who looks often: it takes the lock once, as long as it is the same task that waits.
    pub(crate) fn frequent_wait(&self) -> FrequentWait<'_> {
        FrequentWait { wait: self.wait(), woken: None }
    }
}

/// A wait for a signal that costs no lock per poll: see [`Signal::frequent_wait`].
pub(crate) struct FrequentWait<'a> {
    wait: Wait<&'a Signal>,
    /// The task that the signal will wake.
    woken: Option<Waker>,
}

impl Future for FrequentWait<'_> {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let Self { wait, woken } = &mut *self;
        let waits = woken.as_ref().is_some_and(|woken| woken.will_wake(context.waker()));
        if waits && !wait.awaited().is_seen() {
            return Poll::Pending;
        }
        let polled = Pin::new(wait).poll(context);
        if polled.is_pending() && !waits {
            *woken = Some(context.waker().clone());
        }
        polled
    }
}

impl Awaited for &Signal {
    type Who = ();

    fn look<T>(&self, (): (), then: impl FnOnce(bool, &mut Wakers) -> T) -> T {
        let mut wakers = self.wakers();
        then(self.is_seen(), &mut wakers)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::in_memory::Task;
    use std::pin::pin;

    #[test]
    fn one_who_stops_waiting_leaves_nothing_behind() {
        let signal = Signal::default();
        let mut context = Context::from_waker(Waker::noop());
        {
            let mut wait = pin!(signal.wait());
            assert!(wait.as_mut().poll(&mut context).is_pending());
            assert!(wait.as_mut().poll(&mut context).is_pending());
            assert!(!signal.wakers().is_empty());
        }
        assert!(signal.wakers().is_empty());
        signal.give();
        assert!(pin!(signal.wait()).poll(&mut context).is_ready());
    }

    #[test]
    fn one_who_looks_often_is_woken_where_it_last_looked() {
        let signal = Signal::default();
        let mut wait = signal.frequent_wait();
        let mut context = Context::from_waker(Waker::noop());
        for _ in 0..3 {
            assert!(Pin::new(&mut wait).poll(&mut context).is_pending());
        }
        let mut task = Task::moving(wait);
        for _ in 0..3 {
            task.settle();
            assert!(!task.is_over());
            task.wake();
        }
        task.settle();
        signal.give();
        task.settle();
        assert!(task.is_over());
        assert!(Pin::new(&mut signal.frequent_wait()).poll(&mut context).is_ready());
    }

    #[test]
    fn one_who_waits_in_another_task_is_woken_there() {
        let signal = Signal::default();
        let mut wait = signal.wait();
        assert!(pin!(&mut wait).poll(&mut Context::from_waker(Waker::noop())).is_pending());
        let mut task = Task::new(wait);
        task.settle();
        assert!(!task.is_over());
        signal.give();
        task.settle();
        assert!(task.is_over());
    }
}
