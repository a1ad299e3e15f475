//! A histogram of latencies that takes little memory.

use std::time::Duration;

/// The number of steps in each power of two: a value that is read out is at most 1/64 too large.
const STEPS: u32 = 64;

/// A histogram of latencies, in nanoseconds.
#[derive(Clone, Debug, Default)]
pub(super) struct Histogram {
    counts: Vec<u64>,
    total: u64,
    max: Duration,
}

impl Histogram {
    pub(super) fn add(&mut self, latency: Duration) {
        let slot = slot(u64::try_from(latency.as_nanos()).unwrap_or(u64::MAX));
        if self.counts.len() <= slot {
            self.counts.resize(slot + 1, 0);
        }
        self.counts[slot] += 1;
        self.total += 1;
        self.max = self.max.max(latency);
    }

    pub(super) fn merge(&mut self, other: &Self) {
        if self.counts.len() < other.counts.len() {
            self.counts.resize(other.counts.len(), 0);
        }
        for (count, more) in self.counts.iter_mut().zip(&other.counts) {
            *count += more;
        }
        self.total += other.total;
        self.max = self.max.max(other.max);
    }

    /// The number of latencies.
    pub(super) fn len(&self) -> u64 {
        self.total
    }

    /// The largest latency, exactly.
    pub(super) fn max(&self) -> Duration {
        self.max
    }

    /// The latency that this percentage of them does not exceed.
    pub(super) fn percentile(&self, percent: u64) -> Duration {
        let rank = (self.total * percent).div_ceil(100).max(1);
        let mut seen = 0;
        for (slot, count) in self.counts.iter().enumerate() {
            seen += count;
            if seen >= rank {
                return Duration::from_nanos(upper(slot)).min(self.max);
            }
        }
        self.max
    }
}

fn slot(nanos: u64) -> usize {
    // Below STEPS each value has a slot of its own; above, only the highest seven bits count.
    let shift = (u64::BITS - nanos.leading_zeros()).saturating_sub(STEPS.ilog2() + 1);
    // At most 58 * 64 + 127.
    (u64::from(shift * STEPS) + (nanos >> shift)) as usize
}

/// The largest value that falls into a slot.
fn upper(slot: usize) -> u64 {
    let slot = slot as u64;
    let steps = u64::from(STEPS);
    let shift = (slot / steps).saturating_sub(1);
    let low = (slot - shift * steps) << shift;
    low + ((1 << shift) - 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_never_read_out_as_less_and_at_most_a_sixty_fourth_more() {
        for nanos in (0..2000).chain((11..63).flat_map(|bit| [(1 << bit) - 1, 1 << bit, (1 << bit) + 12_345]))
        {
            let read = upper(slot(nanos));
            assert!(nanos <= read && read - nanos <= nanos / 64, "{nanos} is read as {read}");
        }
        assert_eq!(upper(slot(u64::MAX)), u64::MAX);
    }

    #[test]
    fn percentiles_are_ranks() {
        let mut all = Histogram::default();
        let mut even = Histogram::default();
        for milli in 1..=100 {
            let into = if milli % 2 == 0 { &mut even } else { &mut all };
            into.add(Duration::from_millis(milli));
        }
        all.merge(&even);
        assert_eq!(all.len(), 100);
        assert_eq!(all.max(), Duration::from_millis(100));
        for percent in [1, 50, 90, 99] {
            let exact = Duration::from_millis(percent);
            let read = all.percentile(percent);
            assert!(exact <= read && read <= exact + exact / 64, "{read:?}");
        }
        assert_eq!(all.percentile(100), Duration::from_millis(100));
        assert_eq!(Histogram::default().percentile(50), Duration::ZERO);
    }
}
