//! Events that are sent until they are acknowledged: in order, at least once (the reference's `retries`).

use super::Socket;
use crate::engine::client::Client as Engine;
use crate::frame::Frame;
use crate::socket::server::AckOutcome;
use crate::time::Instant;
use core::time::Duration;

/// An event that waits for its acknowledgement. Only the first of a queue is on its way.
#[derive(Debug)]
pub(super) struct Reliable {
    pub(super) frame: Frame,
    pub(super) id: u64,
    pub(super) tries: u32,
    /// Until when this try is waited for.
    pub(super) pending: Option<Instant>,
}

impl Socket {
    /// Sends the first event of the queue, if it is not on its way.
    pub(super) fn send_next(&mut self, now: Instant, engine: &mut Engine, timeout: Duration) {
        let Some(first) = self.queue.front_mut().filter(|first| first.pending.is_none()) else { return };
        if engine.send(&first.frame) {
            first.tries = first.tries.saturating_add(1);
            first.pending = Some(now + timeout);
        }
    }

    /// The next try of the first event is the copy before, which may wait to be written still: a second one would lie
    /// behind it, and count once more.
    pub(super) fn wait_on(&mut self, now: Instant, timeout: Duration) {
        if let Some(first) = self.queue.front_mut().filter(|first| first.tries > 0 && first.pending.is_none())
        {
            first.tries = first.tries.saturating_add(1);
            first.pending = Some(now + timeout);
        }
    }

    /// The first event of the queue was acknowledged.
    pub(super) fn take_answered(&mut self, id: u64) -> Option<Reliable> {
        self.queue.front().filter(|first| first.id == id && first.tries > 0)?;
        self.queue.pop_front()
    }

    /// A try came to nothing: the event is sent again, or was tried often enough.
    pub(super) fn try_failed(&mut self, retries: u32, outcome: AckOutcome) -> Option<(Reliable, AckOutcome)> {
        let first = self.queue.front_mut()?;
        first.pending.take()?;
        if first.tries <= retries {
            return None;
        }
        self.queue.pop_front().map(|given_up| (given_up, outcome))
    }
}
