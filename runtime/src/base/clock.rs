//! The runtime's clock in the machines' time, and a turn of a task on it.

use crate::base::runtime::{LONGEST, Runtime};
use sansocket_protocol::time;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// The longest that a task goes on before it lets others run. A server has few threads, and a runtime looks after its
/// sockets only between the turns of tasks.
const TURN: Duration = Duration::from_millis(1);
/// Steps between two looks at the clock that took so long together are looked at one by one.
const LONG_STEPS: Duration = Duration::from_micros(125);
/// The most steps between two looks at the clock.
const STEPS_PER_LOOK: u32 = 16;

/// The runtime's clock, which tells the machines' time.
#[derive(Clone)]
pub(crate) struct Clock {
    runtime: Arc<dyn Runtime>,
    epoch: Instant,
}

impl Clock {
    pub(crate) fn new(runtime: Arc<dyn Runtime>) -> Self {
        let epoch = runtime.now();
        Self { runtime, epoch }
    }

    pub(crate) fn now(&self) -> time::Instant {
        let elapsed = self.runtime.now().saturating_duration_since(self.epoch);
        // Not `as_micros`: that reckons with 128 bits, and this is asked for each message.
        let micros = elapsed.as_secs().saturating_mul(1_000_000);
        time::Instant::from_micros(micros.saturating_add(u64::from(elapsed.subsec_micros())))
    }

    pub(crate) fn instant(&self, at: time::Instant) -> Instant {
        self.epoch + (at - time::Instant::ZERO).min(LONGEST)
    }

    pub(crate) fn runtime(&self) -> &Arc<dyn Runtime> {
        &self.runtime
    }
}

/// A task's turn: the time from when it is woken until it lets others run, about a millisecond.
///
/// The clock is looked at more seldom while the steps are short: a turn of one or two steps costs no look at all, and
/// long steps cost one each.
pub(crate) struct Turn {
    end: time::Instant,
    looked_at: time::Instant,
    steps_until_look: u32,
    steps_per_look: u32,
    has_ended: bool,
}

impl Turn {
    pub(crate) fn begin(now: time::Instant) -> Self {
        Self { end: now + TURN, looked_at: now, steps_until_look: 1, steps_per_look: 1, has_ended: false }
    }

    /// Whether the turn is over before the next step.
    pub(crate) fn is_over(&mut self, clock: &Clock) -> bool {
        if self.has_ended {
            return true;
        }
        if self.steps_until_look > 0 {
            self.steps_until_look -= 1;
            return false;
        }
        let now = clock.now();
        let are_long = now - self.looked_at >= LONG_STEPS;
        self.steps_per_look = if are_long { 1 } else { (self.steps_per_look * 2).min(STEPS_PER_LOOK) };
        self.steps_until_look = self.steps_per_look - 1;
        self.looked_at = now;
        self.has_ended_at(now)
    }

    /// Whether the turn is known to be over, without a look at the clock.
    pub(crate) fn has_ended(&self) -> bool {
        self.has_ended
    }

    /// Whether the turn is over at that time.
    pub(crate) fn has_ended_at(&mut self, now: time::Instant) -> bool {
        self.has_ended |= now >= self.end;
        self.has_ended
    }
}
