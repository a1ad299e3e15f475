//! The turn of a task on its thread, and the step that follows it.

use crate::base::clock::Clock;
use sansocket_protocol::time::Instant;
use std::future::poll_fn;
use std::task::Poll;
use std::time::Duration;

/// The longest that a task goes on before it lets others run. A server has few threads, and a runtime looks after its
/// sockets only between the turns of tasks.
const TURN: Duration = Duration::from_millis(1);
/// The time that the steps between two looks at the clock may take; after more, each step is looked at.
const LONG_STEPS: Duration = Duration::from_micros(125);
/// The steps between two looks at the clock may be many if they take no more time than this: 16 such steps are half a
/// turn.
const SHORT_STEPS: Duration = Duration::from_micros(30);
/// The most steps between two looks at the clock.
const STEPS_PER_LOOK: u32 = 16;

/// A task's turn: the time from when it is woken until it lets others run, about a millisecond.
///
/// The clock is looked at more seldom while the steps are short: a turn of one or two steps costs no look at all, and
/// long steps cost one each.
pub(crate) struct Turn {
    end: Instant,
    looked_at: Instant,
    steps_until_look: u32,
    steps_per_look: u32,
    has_ended: bool,
}

impl Turn {
    pub(crate) fn begin(now: Instant) -> Self {
        Self { end: now + TURN, looked_at: now, steps_until_look: 1, steps_per_look: 1, has_ended: false }
    }

    /// Returns whether the turn is over before the next step.
    pub(crate) fn is_over(&mut self, clock: &Clock) -> bool {
        if self.has_ended {
            return true;
        }
        if self.steps_until_look > 0 {
            self.steps_until_look -= 1;
            return false;
        }
        let now = clock.now();
        let took = now - self.looked_at;
        self.steps_per_look = if took >= LONG_STEPS {
            1
        } else if took <= SHORT_STEPS {
            // Each of them may have taken less time than a look at the clock does.
            STEPS_PER_LOOK
        } else {
            (self.steps_per_look * 2).min(STEPS_PER_LOOK)
        };
        self.steps_until_look = self.steps_per_look - 1;
        self.looked_at = now;
        self.has_ended_at(now)
    }

    /// Returns whether the turn is known to be over, without a look at the clock.
    pub(crate) fn has_ended(&self) -> bool {
        self.has_ended
    }

    /// Returns whether the turn is over at that time.
    pub(crate) fn has_ended_at(&mut self, now: Instant) -> bool {
        self.has_ended |= now >= self.end;
        self.has_ended
    }
}

/// Lets the tasks run that are ready: the runtime puts this one behind them.
pub(crate) async fn give_way() {
    let mut has_waited = false;
    poll_fn(|context| {
        if std::mem::replace(&mut has_waited, true) {
            return Poll::Ready(());
        }
        context.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}

/// The work that a task waits for, and that keeps it from ending.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum KeptBy {
    /// Handlers are at work, and perhaps connections are open.
    Handlers,
    /// Connections are open.
    Connections,
    /// There is neither.
    Nothing,
}

/// The next step of a task that knows of nothing to do.
pub(crate) enum NextStep {
    /// Go on: there is something to do after all.
    GoOn,
    /// Sleep, until that deadline at the latest.
    Sleep(Option<Instant>),
    /// End.
    End,
}
