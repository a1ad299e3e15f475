//! A signal that is given once, and awaited by any number of tasks.

use crate::base::wakers::{Awaited, Wait, Wakers};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::Waker;

/// A signal that is given once.
#[derive(Debug, Default)]
pub(crate) struct Signal(Mutex<SignalState>);

#[derive(Debug, Default)]
struct SignalState {
    given: bool,
    wakers: Wakers,
}

impl Signal {
    fn state(&self) -> MutexGuard<'_, SignalState> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Gives it; giving it again does nothing.
    pub(crate) fn give(&self) {
        let wakers = {
            let mut state = self.state();
            state.given = true;
            state.wakers.take()
        };
        wakers.into_iter().for_each(Waker::wake);
    }

    /// Returns whether it was given.
    pub(crate) fn is_given(&self) -> bool {
        self.state().given
    }

    /// Waits for it.
    pub(crate) fn wait(&self) -> Wait<&Self> {
        Wait::new(self, ())
    }
}

impl Awaited for &Signal {
    type Who = ();

    fn look<T>(&self, (): (), then: impl FnOnce(bool, &mut Wakers) -> T) -> T {
        let mut state = self.state();
        let given = state.given;
        then(given, &mut state.wakers)
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
            assert!(!signal.state().wakers.is_empty());
        }
        assert!(signal.state().wakers.is_empty());
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
