//! The one timer of a task.

use crate::base::clock::Clock;
use crate::base::runtime::Timer;
use sansocket_protocol::time::Instant;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

/// The one timer of a task. It is never moved to a later time: a timer that fires too early costs less than one that is
/// moved for every message.
#[derive(Default)]
pub(crate) struct Alarm {
    timer: Option<Box<dyn Timer>>,
    armed: Option<Instant>,
    /// The sleep of the machine that its time is reckoned with.
    slept: Duration,
    /// The task that the armed timer wakes.
    armed_for: Option<Waker>,
}

impl Alarm {
    /// Arms it. Ready if the deadline is over already, or one that it was armed for before.
    pub(crate) fn poll(
        &mut self,
        deadline: Instant,
        now: Instant,
        clock: &Clock,
        context: &mut Context<'_>,
    ) -> Poll<()> {
        let slept = clock.slept();
        if slept != self.slept {
            // The timer would fire too late by the time for which the machine has slept.
            self.slept = slept;
            self.armed = None;
        }
        let waits = |armed: Instant| armed <= deadline && now < armed;
        let same_task = self.armed_for.as_ref().is_some_and(|waker| waker.will_wake(context.waker()));
        if same_task && self.armed.is_some_and(waits) {
            return Poll::Pending;
        }
        self.armed_for = Some(context.waker().clone());
        let timer = match &mut self.timer {
            Some(timer) => {
                if self.armed.is_none_or(|armed| deadline < armed) {
                    timer.reset(clock.instant(deadline));
                    self.armed = Some(deadline);
                }
                timer
            }
            none => {
                self.armed = Some(deadline);
                none.insert(clock.runtime().timer(clock.instant(deadline)))
            }
        };
        let elapsed = timer.poll_elapsed(context);
        if elapsed.is_ready() {
            self.armed = None;
        }
        elapsed
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::in_memory::InMemory;
    use std::sync::Arc;
    use std::time::Duration;

    #[test]
    fn a_timer_does_not_wait_for_the_time_that_the_machine_has_slept() {
        let runtime = InMemory::new();
        let clock = Clock::awake_in_sleep(Arc::new(runtime.clone()));
        let mut alarm = Alarm::default();
        let mut poll = |deadline: u64| {
            let context = &mut Context::from_waker(Waker::noop());
            let deadline = Instant::ZERO + Duration::from_secs(deadline);
            alarm.poll(deadline, clock.now(), &clock, context)
        };
        assert!(poll(100).is_pending());
        runtime.move_wall_clock(Duration::from_secs(60));
        runtime.advance(Duration::from_secs(1));
        assert!(poll(100).is_pending());
        assert_eq!(runtime.next_deadline(), Some(Duration::from_secs(39)));
        runtime.move_wall_clock(Duration::from_secs(60));
        runtime.advance(Duration::from_secs(1));
        assert!(poll(100).is_ready());
    }

    #[test]
    fn a_timer_is_moved_forward_and_left_alone_otherwise() {
        let runtime = InMemory::new();
        let clock = Clock::new(Arc::new(runtime.clone()));
        let mut alarm = Alarm::default();
        let mut poll = |deadline: u64| {
            let context = &mut Context::from_waker(Waker::noop());
            let deadline = Instant::ZERO + Duration::from_millis(deadline);
            alarm.poll(deadline, clock.now(), &clock, context)
        };
        assert!(poll(5000).is_pending());
        // A later deadline leaves it, an earlier one moves it.
        assert!(poll(9000).is_pending());
        assert_eq!(runtime.next_deadline(), Some(Duration::from_secs(5)));
        assert!(poll(2000).is_pending());
        assert_eq!(runtime.next_deadline(), Some(Duration::from_secs(2)));
        runtime.advance(Duration::from_secs(2));
        assert!(poll(9000).is_ready());
        assert!(poll(9500).is_pending());
    }
}
