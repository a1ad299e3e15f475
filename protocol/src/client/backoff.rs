//! The delays between tries to connect.

use crate::random::Random;
use core::time::Duration;

/// The shortest delay, whatever the settings are: a server that is away must not keep a processor busy.
const MIN: Duration = Duration::from_millis(10);

/// The reference's schedule: the delay doubles with each try, is moved up or down by a random part of itself, and
/// is cut at a maximum.
#[derive(Clone, Debug)]
pub(crate) struct Backoff {
    delay: Duration,
    max: Duration,
    jitter: f64,
    attempts: u32,
}

impl Backoff {
    /// A schedule from its first delay, its longest delay, and the part (0 to 1) by which a delay may be moved.
    /// It counts in whole milliseconds.
    pub(super) fn new(delay: Duration, max: Duration, jitter: f64) -> Self {
        let jitter = if jitter.is_finite() { jitter.clamp(0.0, 1.0) } else { 0.0 };
        Self { delay, max, jitter, attempts: 0 }
    }

    /// The number of delays that were given since the last reset.
    pub(super) fn attempts(&self) -> u32 {
        self.attempts
    }

    /// Begins again, after a success.
    pub(super) fn reset(&mut self) {
        self.attempts = 0;
    }

    /// The next delay.
    pub(super) fn next(&mut self, random: &mut Random) -> Duration {
        // 53 bits are what a float between 0 and 1 can hold.
        let bits = random.u64() >> 11;
        #[allow(clippy::cast_precision_loss)]
        let part = bits as f64 / (1_u64 << 53) as f64;
        self.next_with(part)
    }

    fn next_with(&mut self, random: f64) -> Duration {
        let millis = u64::try_from(self.delay.as_millis()).unwrap_or(u64::MAX);
        // Where the reference overflows, this stays at the maximum.
        let doubled = 1_u64.checked_shl(self.attempts).unwrap_or(u64::MAX);
        let millis = millis.saturating_mul(doubled);
        self.attempts = self.attempts.saturating_add(1);
        #[allow(clippy::cast_precision_loss, clippy::cast_possible_truncation, clippy::cast_sign_loss)]
        let (deviation, digit) = ((random * self.jitter * millis as f64) as u64, (random * 10.0) as u64);
        let millis =
            if digit % 2 == 0 { millis.saturating_sub(deviation) } else { millis.saturating_add(deviation) };
        Duration::from_millis(millis).min(self.max).max(MIN)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec::Vec;

    /// The reference's own delays, for its own random numbers.
    #[test]
    fn the_delays_are_those_of_the_reference() {
        for (random, delays) in [
            (0.0, [1000, 2000, 4000, 5000, 5000]),
            (0.05, [975, 1950, 3900, 5000, 5000]),
            (0.15, [1075, 2150, 4300, 5000, 5000]),
            (0.25, [875, 1750, 3500, 5000, 5000]),
            (0.5, [1250, 2500, 5000, 5000, 5000]),
            (0.95, [1475, 2950, 5000, 5000, 5000]),
        ] {
            let mut backoff = Backoff::new(Duration::from_secs(1), Duration::from_secs(5), 0.5);
            let ours: Vec<_> = (0..5).map(|_| backoff.next_with(random).as_millis()).collect();
            assert_eq!(ours, delays, "{random}");
        }
    }

    #[test]
    fn a_long_outage_stays_at_the_maximum() {
        let mut backoff = Backoff::new(Duration::from_secs(1), Duration::from_secs(5), 0.5);
        for attempt in 0..5000 {
            let delay = backoff.next_with(0.85);
            assert!(delay >= Duration::from_millis(500), "attempt {attempt}: {delay:?}");
            assert!(delay <= Duration::from_secs(5), "attempt {attempt}: {delay:?}");
        }
        backoff.reset();
        assert_eq!(backoff.next_with(0.0), Duration::from_secs(1));
    }

    #[test]
    fn no_setting_makes_it_spin() {
        let mut backoff = Backoff::new(Duration::ZERO, Duration::ZERO, f64::NAN);
        assert_eq!(backoff.next_with(0.9), MIN);
    }
}
