//! A signal that is given once, and awaited by any number of tasks.

use std::collections::BTreeMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

/// A signal that is given once.
#[derive(Debug, Default)]
pub(crate) struct Signal(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    given: bool,
    next: u64,
    wakers: BTreeMap<u64, Waker>,
}

impl Signal {
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Gives it; giving it again does nothing.
    pub(crate) fn give(&self) {
        let wakers = {
            let mut state = self.state();
            state.given = true;
            std::mem::take(&mut state.wakers)
        };
        for waker in wakers.into_values() {
            waker.wake();
        }
    }

    /// Whether it was given.
    pub(crate) fn is_given(&self) -> bool {
        self.state().given
    }

    /// Waits for it. One who stops waiting leaves nothing behind: a waker keeps its task's memory.
    pub(crate) fn wait(&self) -> Wait<'_> {
        Wait { signal: self, id: None }
    }
}

/// Ready once the signal was given.
pub(crate) struct Wait<'a> {
    signal: &'a Signal,
    id: Option<u64>,
}

impl Future for Wait<'_> {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let mut state = self.signal.state();
        if state.given {
            return Poll::Ready(());
        }
        let id = self.id.unwrap_or_else(|| {
            state.next += 1;
            state.next
        });
        let before = state.wakers.insert(id, context.waker().clone());
        drop(state);
        drop(before);
        self.id = Some(id);
        Poll::Pending
    }
}

impl Drop for Wait<'_> {
    fn drop(&mut self) {
        if let Some(id) = self.id {
            let waker = self.signal.state().wakers.remove(&id);
            drop(waker);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::pin::pin;

    #[test]
    fn one_who_stops_waiting_leaves_nothing_behind() {
        let signal = Signal::default();
        let mut context = Context::from_waker(Waker::noop());
        {
            let mut wait = pin!(signal.wait());
            assert!(wait.as_mut().poll(&mut context).is_pending());
            assert!(wait.as_mut().poll(&mut context).is_pending());
            assert_eq!(signal.state().wakers.len(), 1);
        }
        assert!(signal.state().wakers.is_empty());
        signal.give();
        assert!(pin!(signal.wait()).poll(&mut context).is_ready());
    }
}
