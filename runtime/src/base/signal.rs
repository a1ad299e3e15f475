//! A signal that is given once, and awaited by any number of tasks.

use crate::base::wakers::{Awaited, Wait, Wakers};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::Waker;

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
    use std::future::Future;
    use std::pin::pin;
    use std::task::Context;

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
