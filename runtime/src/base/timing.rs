//! The durations in a session's metrics. Without the feature `metrics`, everything here is empty.

#[cfg(feature = "metrics")]
pub(crate) use on::{Sampler, Since, Timing};

#[cfg(not(feature = "metrics"))]
pub(crate) use off::{Sampler, Since, Timing};

/// One event in so many of each session is timed.
#[cfg(feature = "metrics")]
const SAMPLED: u8 = 64;

#[cfg(feature = "metrics")]
mod on {
    use super::SAMPLED;
    use crate::base::metrics::{ACK_DURATION, ACKS, HANDLER_DURATION, HEARTBEAT_DURATION, MetricsOptions};
    use metrics::{Counter, Histogram};
    use sansocket_protocol::server::Connection;
    use sansocket_protocol::socket::AckOutcome;
    use sansocket_protocol::time::Instant;
    use std::sync::atomic::{AtomicU64, Ordering};

    /// The recorders of durations, if the server records metrics.
    #[derive(Default)]
    pub(crate) struct Timing(Option<Box<Recorders>>);

    struct Recorders {
        handler: Histogram,
        heartbeat: Histogram,
        ack: Histogram,
        answered: Counter,
        timeout: Counter,
        disconnected: Counter,
        /// The handlers of `on_concurrent` that were counted.
        apart: AtomicU64,
    }

    /// The events of a session that were counted, to time one in so many.
    pub(crate) type Sampler = u8;

    /// When something that is timed began.
    #[derive(Clone, Copy, Debug, Default)]
    pub(crate) struct Since(Option<Instant>);

    impl Since {
        pub(crate) fn new(now: Instant) -> Self {
            Self(Some(now))
        }
    }

    /// The ping whose pong is awaited, before some input.
    pub(crate) struct PongWait(Option<Instant>);

    impl Timing {
        pub(crate) fn new(options: Option<&MetricsOptions>) -> Self {
            Self(options.map(|options| {
                let acks = |outcome| options.counter(ACKS, Some(("outcome", outcome)));
                Box::new(Recorders {
                    handler: options.histogram(HANDLER_DURATION),
                    heartbeat: options.histogram(HEARTBEAT_DURATION),
                    ack: options.histogram(ACK_DURATION),
                    answered: acks("answered"),
                    timeout: acks("timeout"),
                    disconnected: acks("disconnected"),
                    apart: AtomicU64::new(0),
                })
            }))
        }

        /// Counts an event, and begins to time it if its turn has come.
        #[inline]
        pub(crate) fn sample(&self, events: &mut Sampler, now: impl FnOnce() -> Instant) -> Since {
            if self.0.is_none() {
                return Since(None);
            }
            let is_sampled = *events % SAMPLED == 0;
            *events = events.wrapping_add(1);
            Since(is_sampled.then(now))
        }

        /// Counts a handler that runs in a task of its own, and begins to time it if its turn has come.
        pub(crate) fn sample_apart(&self, now: impl FnOnce() -> Instant) -> Since {
            let is_sampled = self.0.as_ref().is_some_and(|recorders| {
                recorders.apart.fetch_add(1, Ordering::Relaxed) % u64::from(SAMPLED) == 0
            });
            Since(is_sampled.then(now))
        }

        /// The handlers of an event are done.
        #[inline]
        pub(crate) fn handled(&self, since: Since, now: impl FnOnce() -> Instant) {
            if let (Some(recorders), Some(since)) = (&self.0, since.0) {
                recorders.handler.record((now() - since).as_secs_f64());
            }
        }

        /// An awaited acknowledgement has come, or never will.
        pub(crate) fn acknowledged(&self, since: Since, now: Instant, outcome: &AckOutcome) {
            let (Some(recorders), Some(since)) = (&self.0, since.0) else { return };
            match outcome {
                AckOutcome::Answered(_) => {
                    recorders.answered.increment(1);
                    recorders.ack.record((now - since).as_secs_f64());
                }
                AckOutcome::Timeout => recorders.timeout.increment(1),
                _ => recorders.disconnected.increment(1),
            }
        }

        /// Looks whether a pong is awaited, before some input.
        #[inline]
        pub(crate) fn before_input(&self, machine: &Connection) -> PongWait {
            PongWait(self.0.as_ref().and_then(|_| machine.pong_awaited_since()))
        }

        /// Looks whether the pong was in the input.
        #[inline]
        pub(crate) fn after_input(&self, before: &PongWait, machine: &Connection, now: Instant) {
            if let (Some(recorders), PongWait(Some(pinged))) = (&self.0, before) {
                if machine.is_open() && machine.pong_awaited_since().is_none() {
                    recorders.heartbeat.record((now - *pinged).as_secs_f64());
                }
            }
        }
    }

    impl std::fmt::Debug for Timing {
        fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            f.debug_tuple("Timing").field(&self.0.is_some()).finish()
        }
    }
}

#[cfg(not(feature = "metrics"))]
mod off {
    use sansocket_protocol::server::Connection;
    use sansocket_protocol::socket::AckOutcome;
    use sansocket_protocol::time::Instant;

    #[derive(Debug, Default)]
    pub(crate) struct Timing;

    pub(crate) type Sampler = ();

    #[derive(Clone, Copy, Debug, Default)]
    pub(crate) struct Since(());

    impl Since {
        pub(crate) fn new(_: Instant) -> Self {
            Self(())
        }
    }

    pub(crate) struct PongWait;

    impl Timing {
        #[inline(always)]
        pub(crate) fn sample(&self, _: &mut Sampler, _: impl FnOnce() -> Instant) -> Since {
            Since(())
        }

        #[inline(always)]
        pub(crate) fn sample_apart(&self, _: impl FnOnce() -> Instant) -> Since {
            Since(())
        }

        #[inline(always)]
        pub(crate) fn handled(&self, _: Since, _: impl FnOnce() -> Instant) {}

        #[inline(always)]
        pub(crate) fn acknowledged(&self, _: Since, _: Instant, _: &AckOutcome) {}

        #[inline(always)]
        pub(crate) fn before_input(&self, _: &Connection) -> PongWait {
            PongWait
        }

        #[inline(always)]
        pub(crate) fn after_input(&self, _: &PongWait, _: &Connection, _: Instant) {}
    }
}
