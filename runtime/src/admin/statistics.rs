//! The traffic of a server, counted second by second.

use super::wire::Count;
use crate::Stats;
use sansocket_protocol::error::CloseReason;
use std::collections::BTreeMap;

/// The counts since the last statistics, read from the server's own counters, which cost messages nothing.
pub(super) struct Statistics {
    before: Totals,
    counts: Vec<Count>,
}

/// The counters that the page is told of.
struct Totals {
    opened: u64,
    closed: BTreeMap<CloseReason, u64>,
    packets_in: u64,
    packets_out: u64,
    bytes_in: u64,
    bytes_out: u64,
}

impl From<&Stats> for Totals {
    fn from(stats: &Stats) -> Self {
        Self {
            opened: stats.opened,
            closed: stats.closed.clone(),
            packets_in: stats.events_in,
            packets_out: stats.events_out,
            bytes_in: stats.websocket_bytes_in.saturating_add(stats.polling_bytes_in),
            bytes_out: stats.websocket_bytes_out.saturating_add(stats.polling_bytes_out),
        }
    }
}

impl Statistics {
    /// Begins to count from here.
    pub(super) fn new(stats: &Stats) -> Self {
        Self { before: Totals::from(stats), counts: Vec::new() }
    }

    /// Reads the counters; `at` is the time since 1970 in milliseconds. What was counted since the last reading belongs
    /// to that second.
    pub(super) fn read(&mut self, stats: &Stats, at: u64) {
        let now = Totals::from(stats);
        let before = std::mem::replace(&mut self.before, Totals::from(stats));
        let second = at - at % 1000;
        let mut count = |kind, sub_kind, more: u64| {
            if more == 0 {
                return;
            }
            let same =
                |known: &&mut Count| (known.second, known.kind, known.sub_kind) == (second, kind, sub_kind);
            match self.counts.iter_mut().rev().find(same) {
                Some(known) => known.count = known.count.saturating_add(more),
                None => self.counts.push(Count { second, kind, sub_kind, count: more }),
            }
        };
        count("rawConnection", None, now.opened.saturating_sub(before.opened));
        count("packetsIn", None, now.packets_in.saturating_sub(before.packets_in));
        count("bytesIn", None, now.bytes_in.saturating_sub(before.bytes_in));
        count("packetsOut", None, now.packets_out.saturating_sub(before.packets_out));
        count("bytesOut", None, now.bytes_out.saturating_sub(before.bytes_out));
        for (reason, sessions) in &now.closed {
            let known = before.closed.get(reason).copied().unwrap_or_default();
            count("rawDisconnection", Some(reason.as_str()), sessions.saturating_sub(known));
        }
    }

    /// The counts of finished and unfinished seconds, which begin anew.
    pub(super) fn take(&mut self) -> Vec<Count> {
        std::mem::take(&mut self.counts)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stats(opened: u64, events_in: u64, closed: &[(CloseReason, u64)]) -> Stats {
        Stats {
            opened,
            events_in,
            polling_bytes_in: events_in * 10,
            websocket_bytes_in: events_in,
            closed: closed.iter().copied().collect(),
            ..Stats::default()
        }
    }

    fn told(statistics: &mut Statistics) -> Vec<String> {
        let line = |count: &Count| {
            format!("{} {} {} {}", count.second, count.kind, count.sub_kind.unwrap_or("-"), count.count)
        };
        statistics.take().iter().map(line).collect()
    }

    #[test]
    fn counts_are_differences_by_second_and_reason_and_taken_once() {
        let mut statistics = Statistics::new(&stats(5, 5, &[]));
        assert_eq!(told(&mut statistics), [""; 0], "what was before nobody looked");
        statistics.read(&stats(7, 5, &[]), 10_400);
        statistics.read(&stats(8, 6, &[(CloseReason::PingTimeout, 2)]), 10_999);
        statistics
            .read(&stats(8, 6, &[(CloseReason::PingTimeout, 3), (CloseReason::TransportClose, 1)]), 11_000);
        assert_eq!(
            told(&mut statistics),
            [
                "10000 rawConnection - 3",
                "10000 packetsIn - 1",
                "10000 bytesIn - 11",
                "10000 rawDisconnection ping timeout 2",
                "11000 rawDisconnection transport close 1",
                "11000 rawDisconnection ping timeout 1",
            ]
        );
        assert_eq!(told(&mut statistics), [""; 0]);
    }
}
