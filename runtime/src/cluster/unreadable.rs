//! Payloads that are no messages of the dialect, as they are told of.

use sansocket_protocol::cluster::MalformedError;
use sansocket_protocol::cluster::node::Node;
use sansocket_protocol::time::Instant;
use std::time::Duration;

/// The time between two warnings.
const EVERY: Duration = Duration::from_secs(60);

/// The payloads that could not be read, and when that was last told.
#[derive(Default)]
pub(crate) struct Unreadable {
    next: Instant,
    /// The number of them when it was told.
    told: u64,
}

impl Unreadable {
    /// The mistake in the payload that has just come, and the number of those since the last time, if it is to be told.
    pub(crate) fn tell(&mut self, node: &mut Node, now: Instant) -> Option<(MalformedError, u64)> {
        let error = node.take_malformed()?;
        if now < self.next {
            return None;
        }
        self.next = now + EVERY;
        let all = node.counts().malformed;
        let times = all.saturating_sub(self.told);
        self.told = all;
        Some((error, times))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;
    use sansocket_protocol::cluster::node::{Dialect, NodeConfig};
    use sansocket_protocol::cluster::{Classic, Python};
    use sansocket_protocol::random::Random;

    #[test]
    fn the_wrong_dialect_is_told_of_once_a_minute() {
        let dialect = Dialect::Python(Python::default());
        let mut node = Node::new(NodeConfig::default(), dialect.clone(), Random::new([1; 32]));
        let mut unreadable = Unreadable::default();
        let mut hear = |seconds, payload: &'static [u8]| {
            let now = Instant::ZERO + Duration::from_secs(seconds);
            node.handle_message(now, "socketio", &Bytes::from_static(payload));
            unreadable.tell(&mut node, now).map(|(_, times)| times)
        };
        assert_eq!(hear(0, b"\x93\xa2me"), Some(1), "the first, at once");
        for seconds in 1..60 {
            assert_eq!(hear(seconds, b"\x93\xa2me"), None);
        }
        assert_eq!(
            hear(61, br#"{"method":"leave_room","sid":"a","room":"b","namespace":"/","host_id":"c"}"#),
            None
        );
        assert_eq!(hear(62, b"\x93\xa2me"), Some(60));
        assert_eq!(dialect.name(), "python");
        assert_eq!(Dialect::Classic(Classic::default()).name(), "classic");
    }
}
