//! Rate limits: token buckets, with time passed in.

use crate::time::Instant;
use core::time::Duration;

/// The worth of one token: a bucket fills by whole microseconds.
const TOKEN: u64 = 1_000_000;

/// A rate limit: an average per second, and a burst.
///
/// ```
/// use sansocket_protocol::rate::Rate;
///
/// let rate = Rate::per_second(50).burst(200);
/// assert_eq!((rate.tokens_per_second(), rate.tokens_at_once()), (50, 200));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    per_second: u32,
    burst: u32,
}

impl Rate {
    /// A limit of `times` per second on average, and as many at once. 0 counts as 1: a rate that never lets anything
    /// pass would be no rate.
    #[must_use]
    pub const fn per_second(times: u32) -> Self {
        let times = if times == 0 { 1 } else { times };
        Self { per_second: times, burst: times }
    }

    /// Sets the burst: the times that something may happen at once, after a time in which it did not. 0 counts as 1.
    #[must_use]
    pub const fn burst(mut self, times: u32) -> Self {
        self.burst = if times == 0 { 1 } else { times };
        self
    }

    /// The average per second.
    pub const fn tokens_per_second(self) -> u32 {
        self.per_second
    }

    /// The burst.
    pub const fn tokens_at_once(self) -> u32 {
        self.burst
    }

    const fn full(self) -> u64 {
        (self.burst as u64).saturating_mul(TOKEN)
    }
}

/// A bucket that is full of tokens at first, is filled up at a [`Rate`], and gives one token for each happening.
///
/// The rate is passed in rather than kept, so that a table of many buckets does not repeat it. Time that runs backwards
/// stands still.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Bucket {
    level: u64,
    at: Instant,
}

impl Bucket {
    /// A full bucket.
    pub(crate) const fn full(now: Instant, rate: Rate) -> Self {
        Self { level: rate.full(), at: now }
    }

    /// Takes a token.
    ///
    /// # Errors
    /// The time until there is a token, if there is none. Nothing changes then.
    pub(crate) fn take(&mut self, now: Instant, rate: Rate) -> Result<(), Duration> {
        self.wait(now, rate)?;
        self.level = self.level.saturating_sub(TOKEN);
        Ok(())
    }

    /// Returns whether there is a token.
    ///
    /// # Errors
    /// The time until there is a token, if there is none.
    pub(crate) fn wait(&mut self, now: Instant, rate: Rate) -> Result<(), Duration> {
        self.fill(now, rate);
        match TOKEN.saturating_sub(self.level) {
            0 => Ok(()),
            missing => Err(Duration::from_micros(missing.div_ceil(u64::from(rate.per_second)))),
        }
    }

    /// Returns whether it is full: forgetting it and making a new one later comes to the same.
    pub(crate) fn is_full(&mut self, now: Instant, rate: Rate) -> bool {
        self.fill(now, rate);
        self.level == rate.full()
    }

    fn fill(&mut self, now: Instant, rate: Rate) {
        if now > self.at {
            let micros = now.as_micros().saturating_sub(self.at.as_micros());
            let gained = micros.saturating_mul(u64::from(rate.per_second));
            self.level = self.level.saturating_add(gained).min(rate.full());
            self.at = now;
        }
    }
}

/// The fate of events that come faster than [`event_rate`](crate::socket::SocketServerConfig::event_rate), or of
/// messages that come faster than [`message_rate`](crate::engine::EngineServerConfig::message_rate).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum EventExcess {
    /// They wait for their turn, and once `receive_budget` is used up, reading from the client pauses: TCP tells it to
    /// wait. Nothing is lost, except that what still waits for its turn when the socket, or the session, ends is
    /// dropped: a client that leaves is not waited for. The default.
    #[default]
    Pace,
    /// The connection is closed.
    Close,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(millis: u64) -> Instant {
        Instant::from_millis(millis)
    }

    #[test]
    fn a_burst_passes_and_then_the_average() {
        let rate = Rate::per_second(100).burst(5);
        let mut bucket = Bucket::full(at(0), rate);
        let passed =
            |bucket: &mut Bucket, now| (0..1000).take_while(|_| bucket.take(now, rate).is_ok()).count();
        assert_eq!(passed(&mut bucket, at(0)), 5);
        assert_eq!(passed(&mut bucket, at(9)), 0);
        assert_eq!(passed(&mut bucket, at(10)), 1);
        assert_eq!(passed(&mut bucket, at(40)), 3);
        assert_eq!(passed(&mut bucket, at(1_000_000)), 5);
    }

    #[test]
    fn after_the_time_that_it_names_there_is_a_token() {
        for per_second in [1, 3, 7, 1000, 999_999, u32::MAX] {
            let rate = Rate::per_second(per_second).burst(1);
            let mut bucket = Bucket::full(at(5), rate);
            bucket.take(at(5), rate).unwrap();
            let wait = bucket.take(at(5), rate).unwrap_err();
            assert!(wait > Duration::ZERO);
            assert_eq!(bucket.take(at(5) + wait, rate), Ok(()), "{per_second}");
        }
    }

    #[test]
    fn time_that_runs_backwards_or_far_ahead_does_no_harm() {
        let rate = Rate::per_second(u32::MAX).burst(u32::MAX);
        let mut bucket = Bucket::full(at(1000), rate);
        assert_eq!(bucket.take(at(0), rate), Ok(()));
        assert!(!bucket.is_full(at(1000), rate));
        assert!(bucket.is_full(Instant::FAR_FUTURE, rate));
    }

    #[test]
    fn a_rate_of_nothing_is_one_a_second() {
        assert_eq!(Rate::per_second(0).burst(0), Rate::per_second(1));
    }
}
