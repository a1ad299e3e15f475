//! Jobs: application code at work in a task, which polls them in turn and catches their panics.

use crate::base::clock::Clock;
use crate::base::timing::Since;
use crate::base::turn::Turn;
use sansocket_protocol::socket::SocketKey;
use std::any::Any;
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::task::{self, Poll};

/// The payload of a panic in the application's code.
pub(crate) type Panic = Box<dyn Any + Send>;

/// The handlers of one event, or of one step in a socket's life, at work. Until a job is done, the later events of its
/// socket wait.
pub(crate) struct Job<W> {
    /// `None` for plain Engine.IO.
    pub(crate) socket: Option<SocketKey>,
    pub(crate) work: W,
    /// When it began, if it is timed.
    pub(crate) since: Since,
}

impl<W: Future<Output = ()> + Unpin> Job<W> {
    /// Polls it once: it comes back if it is not done.
    pub(crate) fn begun(mut self, context: &mut task::Context<'_>) -> Option<Self> {
        Pin::new(&mut self.work).poll(context).is_pending().then_some(self)
    }

    /// Polls it; a panic of the application's code comes back as an error.
    pub(crate) fn poll_caught(&mut self, context: &mut task::Context<'_>) -> Result<Poll<()>, Panic> {
        poll_caught(&mut self.work, context)
    }
}

/// The jobs of a task that were not done at once.
pub(crate) struct Jobs<W>(Vec<Job<W>>);

/// A round of polls through the jobs of a task, each of which gets one poll in it.
pub(crate) struct Round {
    at: usize,
    left: usize,
}

impl<W> Default for Jobs<W> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<W: Future<Output = ()> + Unpin> Jobs<W> {
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn push(&mut self, job: Job<W>) {
        self.0.push(job);
    }

    /// Returns whether a job of that socket is at work.
    pub(crate) fn are_of(&self, socket: Option<SocketKey>) -> bool {
        self.0.iter().any(|job| job.socket == socket)
    }

    pub(crate) fn begin_round(&self) -> Round {
        Round { at: 0, left: self.0.len() }
    }

    /// Goes on with a round until a job is done, which comes out with its panic, if it had one. `None` if there are no
    /// more in this round, or the turn is over: the next one begins with the jobs that had no poll in this one.
    pub(crate) fn poll_done(
        &mut self,
        round: &mut Round,
        turn: &mut Turn,
        clock: &Clock,
        context: &mut task::Context<'_>,
    ) -> Option<(Job<W>, Option<Panic>)> {
        while round.left > 0 {
            if turn.is_over(clock) {
                self.0.rotate_left(round.at);
                return None;
            }
            round.left -= 1;
            match self.0.get_mut(round.at)?.poll_caught(context) {
                Ok(Poll::Pending) => round.at += 1,
                Ok(Poll::Ready(())) => return Some((self.0.remove(round.at), None)),
                Err(panic) => return Some((self.0.remove(round.at), Some(panic))),
            }
        }
        None
    }

    /// Drops all jobs. Their captured values are the application's, and so is the code that drops them.
    pub(crate) fn drop_caught(&mut self) {
        for job in self.0.drain(..) {
            let _ = drop_caught(job);
        }
    }
}

/// Drops a value of the application; a panic of the code that drops it comes back as an error.
pub(crate) fn drop_caught(value: impl Sized) -> Result<(), Panic> {
    catch_unwind(AssertUnwindSafe(|| drop(value)))
}

/// Polls work; a panic of the application's code comes back as an error.
pub(crate) fn poll_caught(
    work: &mut (impl Future<Output = ()> + Unpin),
    context: &mut task::Context<'_>,
) -> Result<Poll<()>, Panic> {
    catch_unwind(AssertUnwindSafe(|| Pin::new(work).poll(context)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::in_memory::InMemory;
    use crate::base::runtime::BoxFuture;
    use std::future::poll_fn;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::task::Waker;
    use std::time::Duration;

    #[test]
    fn a_turn_polls_as_many_jobs_as_it_has_time_for_and_the_next_begins_with_the_others() {
        let runtime = InMemory::new();
        let clock = Clock::new(Arc::new(runtime.clone()));
        let polls: Vec<Arc<AtomicUsize>> = (0..7).map(|_| Arc::default()).collect();
        let mut jobs = Jobs::default();
        for polls in &polls {
            let (polls, runtime) = (Arc::clone(polls), runtime.clone());
            let work: BoxFuture<()> = Box::pin(poll_fn(move |_| {
                runtime.advance(Duration::from_micros(400));
                polls.fetch_add(1, Ordering::Relaxed);
                Poll::Pending
            }));
            jobs.push(Job { socket: None, work, since: Since::default() });
        }
        let counts = || polls.iter().map(|polls| polls.load(Ordering::Relaxed)).collect::<Vec<_>>();
        for _ in 0..50 {
            let before: usize = counts().iter().sum();
            let context = &mut task::Context::from_waker(Waker::noop());
            let turn = &mut Turn::begin(clock.now());
            let round = &mut jobs.begin_round();
            assert!(jobs.poll_done(round, turn, &clock, context).is_none());
            let counts = counts();
            let polled = counts.iter().sum::<usize>() - before;
            assert!((1..=4).contains(&polled), "{polled} jobs of 400 us in a turn of a millisecond");
            let (least, most) = (counts.iter().min(), counts.iter().max());
            assert!(most <= least.map(|least| least + 1).as_ref(), "{counts:?}");
        }
    }
}
