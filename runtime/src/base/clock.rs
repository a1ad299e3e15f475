//! The runtime's clock in the machines' time.

use crate::base::runtime::{LONGEST, Runtime};
use sansocket_protocol::time;
use std::sync::Arc;
use std::time::Instant;

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
