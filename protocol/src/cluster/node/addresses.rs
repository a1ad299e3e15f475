//! The shares of single addresses in the requests that a node passes on.

use super::NodeConfig;
use crate::cluster::ForwardError;
use crate::engine::Source;
use crate::rate::Bucket;
use crate::time::Instant;
use alloc::collections::BTreeMap;

/// The most addresses without a request that are remembered for their rate.
const REMEMBERED: usize = 8192;

/// The addresses that have requests, or had some a moment ago.
#[derive(Debug, Default)]
pub(super) struct Addresses(pub(super) BTreeMap<Source, Share>);

#[derive(Debug)]
pub(super) struct Share {
    /// Requests that are open.
    pub(super) open: usize,
    /// Bytes of their bodies, until they have left.
    pub(super) bytes: usize,
    pub(super) rate: Bucket,
}

impl Addresses {
    /// Takes a place for a request of an address, with the first bytes of its body.
    pub(super) fn open(
        &mut self,
        config: &NodeConfig,
        now: Instant,
        source: Source,
        bytes: usize,
    ) -> Result<(), ForwardError> {
        let rate = config.forward_rate_per_address;
        if !self.0.contains_key(&source) && self.0.len() >= config.max_forwards.saturating_add(REMEMBERED) {
            self.0.retain(|_, share| share.open > 0 || !share.rate.is_full(now, rate));
            // A flood from so many addresses is held by the limits for all: these begin anew.
            if self.0.len() >= config.max_forwards.saturating_add(REMEMBERED / 2) {
                self.0.retain(|_, share| share.open > 0);
            }
        }
        let new = || Share { open: 0, bytes: 0, rate: Bucket::full(now, rate) };
        let share = self.0.entry(source).or_insert_with(new);
        let limit = config.max_forwards_per_address;
        if share.open >= limit {
            return Err(ForwardError::TooManyFromAddress { limit });
        }
        share.check(config, bytes)?;
        share.rate.take(now, rate).map_err(|retry_after| ForwardError::TooOften { retry_after })?;
        share.open = share.open.saturating_add(1);
        share.bytes = share.bytes.saturating_add(bytes);
        Ok(())
    }

    /// Counts further bytes of a body.
    pub(super) fn grow(
        &mut self,
        config: &NodeConfig,
        source: Source,
        bytes: usize,
    ) -> Result<(), ForwardError> {
        let Some(share) = self.0.get_mut(&source) else { return Ok(()) };
        share.check(config, bytes)?;
        share.bytes = share.bytes.saturating_add(bytes);
        Ok(())
    }

    /// A request has ended, whose body had that many bytes.
    pub(super) fn close(&mut self, config: &NodeConfig, now: Instant, source: Source, bytes: usize) {
        let Some(share) = self.0.get_mut(&source) else { return };
        share.open = share.open.saturating_sub(1);
        share.bytes = share.bytes.saturating_sub(bytes);
        if share.open == 0 && share.rate.is_full(now, config.forward_rate_per_address) {
            self.0.remove(&source);
        }
    }
}

impl Share {
    fn check(&self, config: &NodeConfig, bytes: usize) -> Result<(), ForwardError> {
        let limit = config.max_forwarded_bytes_per_address;
        if self.bytes.saturating_add(bytes) > limit {
            return Err(ForwardError::TooManyBytesFromAddress { limit });
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_of_addresses_is_bounded_and_keeps_those_with_requests() {
        let config = NodeConfig::default().with_max_forwards(10);
        let mut addresses = Addresses::default();
        let source = |number: u32| Source::V4(number.to_be_bytes());
        assert_eq!(addresses.open(&config, Instant::ZERO, source(0), 7), Ok(()));
        for number in 1..50_000 {
            assert_eq!(addresses.open(&config, Instant::ZERO, source(number), 0), Ok(()));
            addresses.close(&config, Instant::ZERO, source(number), 0);
            assert!(addresses.0.len() <= REMEMBERED + 11);
        }
        let kept = &addresses.0[&source(0)];
        assert_eq!((kept.open, kept.bytes), (1, 7));
        let later = Instant::from_millis(60_000);
        addresses.close(&config, later, source(0), 7);
        assert!(!addresses.0.contains_key(&source(0)));
    }
}
