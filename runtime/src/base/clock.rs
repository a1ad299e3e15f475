//! The runtime's clock in the machines' time.

use crate::base::runtime::{LONGEST, Runtime};
use sansocket_protocol::time;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant, SystemTime};

/// The time between two looks at the wall clock, at least: few enough looks to cost nothing beside the messages.
const LOOK_EVERY: Duration = Duration::from_millis(10);
/// The wall clock's advance beyond the runtime's that counts as sleep: it is set by less than this all the time.
const LEAST_SLEEP: Duration = Duration::from_secs(1);

/// The runtime's clock, which tells the machines' time. Each session has one, so it is a pointer.
#[derive(Clone)]
pub(crate) struct Clock(Arc<ClockInner>);

struct ClockInner {
    runtime: Arc<dyn Runtime>,
    epoch: Instant,
    sleep: Option<Sleep>,
}

/// The time that the machine has slept. The runtime's clock stands still meanwhile, and the wall clock goes on.
struct Sleep {
    /// When the wall clock was last looked at, by the runtime's clock, in microseconds.
    looked_at: AtomicU64,
    /// All sleep that was seen, in microseconds.
    slept: AtomicU64,
    /// The readings of both clocks at the last look.
    last: Mutex<(Instant, SystemTime)>,
}

impl Clock {
    /// A clock that stands still while the machine sleeps.
    pub(crate) fn new(runtime: Arc<dyn Runtime>) -> Self {
        Self::with_sleep(runtime, None)
    }

    fn with_sleep(runtime: Arc<dyn Runtime>, sleep: Option<Sleep>) -> Self {
        let epoch = runtime.now();
        Self(Arc::new(ClockInner { runtime, epoch, sleep }))
    }

    /// A clock that counts the time for which the machine has slept: what was not heard meanwhile was not said, or is
    /// lost. A wall clock that is set forward looks the same.
    pub(crate) fn awake_in_sleep(runtime: Arc<dyn Runtime>) -> Self {
        let last = Mutex::new((runtime.now(), runtime.wall_clock()));
        let sleep = Sleep { looked_at: AtomicU64::new(0), slept: AtomicU64::new(0), last };
        Self::with_sleep(runtime, Some(sleep))
    }

    pub(crate) fn now(&self) -> time::Instant {
        let ClockInner { runtime, epoch, sleep } = &*self.0;
        let now = runtime.now();
        let elapsed = micros(now.saturating_duration_since(*epoch));
        let slept = sleep.as_ref().map_or(0, |sleep| {
            if elapsed.saturating_sub(sleep.looked_at.load(Ordering::Relaxed)) >= micros(LOOK_EVERY) {
                sleep.looked_at.store(elapsed, Ordering::Relaxed);
                sleep.look(now, runtime.wall_clock());
            }
            sleep.slept.load(Ordering::Relaxed)
        });
        time::Instant::from_micros(elapsed.saturating_add(slept))
    }

    /// The sleep that was seen so far: timers that were armed before do not know of it.
    pub(crate) fn slept(&self) -> Duration {
        let slept = self.0.sleep.as_ref().map_or(0, |sleep| sleep.slept.load(Ordering::Relaxed));
        Duration::from_micros(slept)
    }

    pub(crate) fn instant(&self, at: time::Instant) -> Instant {
        self.0.epoch + (at - time::Instant::ZERO).saturating_sub(self.slept()).min(LONGEST)
    }

    pub(crate) fn runtime(&self) -> &Arc<dyn Runtime> {
        &self.0.runtime
    }
}

impl Sleep {
    fn look(&self, now: Instant, wall: SystemTime) {
        let mut last = self.last.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        // Another thread may have looked later than this one, and waited for less.
        let Some(passed) = now.checked_duration_since(last.0) else { return };
        // An error means that the wall clock was set back.
        let by_wall = wall.duration_since(last.1).unwrap_or_default();
        *last = (now, wall);
        let beyond = by_wall.saturating_sub(passed);
        if beyond >= LEAST_SLEEP {
            self.slept.fetch_add(micros(beyond.min(LONGEST)), Ordering::Relaxed);
        }
    }
}

/// Not `as_micros`: that reckons with 128 bits, and this is asked for each message.
fn micros(duration: Duration) -> u64 {
    duration.as_secs().saturating_mul(1_000_000).saturating_add(u64::from(duration.subsec_micros()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::in_memory::InMemory;

    const HOUR: Duration = Duration::from_secs(3600);

    fn seconds(clock: &Clock) -> u64 {
        (clock.now() - time::Instant::ZERO).as_secs()
    }

    #[test]
    fn a_machines_sleep_is_counted_once_and_by_every_copy_of_the_clock() {
        let runtime = InMemory::new();
        let clock = Clock::awake_in_sleep(Arc::new(runtime.clone()));
        let copy = clock.clone();
        runtime.advance(Duration::from_secs(5));
        assert_eq!(seconds(&clock), 5);
        runtime.move_wall_clock(HOUR);
        runtime.advance(LOOK_EVERY);
        assert_eq!((seconds(&copy), seconds(&clock)), (3605, 3605));
        runtime.advance(Duration::from_secs(5));
        assert_eq!((seconds(&clock), clock.slept()), (3610, HOUR));
        // A deadline in machines' time is that much nearer by the runtime's.
        let in_a_minute = clock.now() + Duration::from_secs(60);
        let wait = clock.instant(in_a_minute) - runtime.now();
        assert!(wait <= Duration::from_secs(60) && wait > Duration::from_secs(59), "{wait:?}");
    }

    #[test]
    fn a_wall_clock_that_is_set_back_or_little_changes_nothing() {
        let runtime = InMemory::new();
        let clock = Clock::awake_in_sleep(Arc::new(runtime.clone()));
        for _ in 0..100 {
            runtime.move_wall_clock(Duration::from_millis(900));
            runtime.advance(LOOK_EVERY);
            clock.now();
        }
        runtime.set_wall_clock_back(HOUR);
        runtime.advance(LOOK_EVERY);
        assert_eq!(seconds(&clock), 1);
        // It is not sleep, either, if it goes on from there.
        runtime.advance(HOUR);
        assert_eq!(seconds(&clock), 3601);
    }

    #[test]
    fn a_clock_that_stands_still_in_sleep_does_so() {
        let runtime = InMemory::new();
        let clock = Clock::new(Arc::new(runtime.clone()));
        runtime.move_wall_clock(HOUR);
        runtime.advance(LOOK_EVERY * 2);
        assert_eq!(seconds(&clock), 0);
    }

    #[test]
    fn the_wall_clock_is_not_asked_for_every_message() {
        let runtime = InMemory::new();
        let clock = Clock::awake_in_sleep(Arc::new(runtime.clone()));
        for _ in 0..1000 {
            runtime.advance(Duration::from_micros(100));
            clock.now();
        }
        let looks = runtime.looks_at_wall_clock();
        assert!((2..=11).contains(&looks), "{looks} looks in a tenth of a second");
    }
}
