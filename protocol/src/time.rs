//! Time as the machines see it: a number that the caller passes in.

use core::fmt;
use core::ops::{Add, Sub};
use core::time::Duration;

/// A point in time: microseconds since an epoch that the caller picks.
///
/// No clock stands behind it. An adapter counts from its own start; a test counts from zero and jumps. Two
/// instants mean something to each other only if they count from the same epoch.
///
/// ```
/// use core::time::Duration;
/// use sansocket_protocol::time::Instant;
///
/// let opened = Instant::ZERO;
/// let ping_due = opened + Duration::from_secs(25);
/// assert_eq!(ping_due - opened, Duration::from_secs(25));
/// assert_eq!(opened - ping_due, Duration::ZERO); // subtraction stops at zero
/// ```
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Instant(u64);

impl Instant {
    /// The epoch.
    pub const ZERO: Self = Self(0);
    /// A time later than anything that happens.
    pub const FAR_FUTURE: Self = Self(u64::MAX);

    /// The instant that many microseconds after the epoch.
    pub const fn from_micros(micros: u64) -> Self {
        Self(micros)
    }

    /// The instant that many milliseconds after the epoch.
    pub const fn from_millis(millis: u64) -> Self {
        Self(millis.saturating_mul(1000))
    }

    /// Returns the microseconds since the epoch.
    pub const fn as_micros(self) -> u64 {
        self.0
    }
}

impl Add<Duration> for Instant {
    type Output = Self;

    /// Stops at [`Instant::FAR_FUTURE`].
    fn add(self, duration: Duration) -> Self {
        Self(self.0.saturating_add(u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)))
    }
}

impl Sub for Instant {
    type Output = Duration;

    /// Stops at zero.
    fn sub(self, earlier: Self) -> Duration {
        Duration::from_micros(self.0.saturating_sub(earlier.0))
    }
}

impl fmt::Debug for Instant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{:06}s", self.0 / 1_000_000, self.0 % 1_000_000)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::format;

    #[test]
    fn arithmetic_saturates_at_both_ends() {
        assert_eq!(Instant::FAR_FUTURE + Duration::from_secs(1), Instant::FAR_FUTURE);
        assert_eq!(Instant::ZERO + Duration::MAX, Instant::FAR_FUTURE);
        assert_eq!(Instant::ZERO - Instant::from_millis(5), Duration::ZERO);
    }

    #[test]
    fn an_instant_prints_as_seconds() {
        assert_eq!(format!("{:?}", Instant::from_millis(1500)), "1.500000s");
    }
}
