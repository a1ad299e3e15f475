//! Retries: events that are sent until they are acknowledged, in order, at least once (the reference's `retries`).

use super::Socket;
use crate::engine::client::ClientSession;
use crate::message::Frame;
use crate::reason::SendError;
use crate::socket::ids::AckOutcome;
use crate::time::Instant;
use alloc::vec::Vec;
use core::time::Duration;

/// An event that waits for its acknowledgement. Only the first of a queue is on its way.
#[derive(Debug)]
pub(super) struct Reliable {
    pub(super) frame: Frame,
    pub(super) id: u64,
    pub(super) tries: u32,
    /// The number, among the messages of this connection, of the copy that was queued last.
    pub(super) copy: Option<u64>,
    /// Until when this try is waited for.
    pub(super) pending: Option<Instant>,
    /// The time limit of each try, if not as long as the settings say.
    pub(super) limit: Option<Duration>,
}

impl Socket {
    /// Sends the first event of the queue, if it is not on its way. One whose last copy still waits to be written has
    /// one try less and gets no other copy: a server that stands still must not make the client pile them up. Returned
    /// are those before it that the server would not take.
    pub(super) fn send_next(
        &mut self,
        now: Instant,
        engine: &mut ClientSession,
        timeout: Duration,
    ) -> Vec<(Reliable, SendError)> {
        let mut refused = Vec::new();
        while let Some(error) = self.queue.front().and_then(|first| engine.check_size(&first.frame).err()) {
            refused.extend(self.queue.pop_front().map(|first| (first, error)));
        }
        let Some(first) = self.queue.front_mut().filter(|first| first.pending.is_none()) else {
            return refused;
        };
        let waits = first.copy.is_some_and(|copy| engine.is_queued(copy));
        if waits || engine.send(&first.frame) {
            if !waits {
                first.copy = Some(engine.last_queued());
            }
            first.tries = first.tries.saturating_add(1);
            first.pending = Some(now + first.limit.unwrap_or(timeout));
        }
        refused
    }

    /// The first event of the queue was acknowledged.
    pub(super) fn take_answered(&mut self, id: u64) -> Option<Reliable> {
        self.queue.front().filter(|first| first.id == id && first.tries > 0)?;
        self.queue.pop_front()
    }

    /// The connection, or the namespace on it, was left: nobody answers what was queued there.
    pub(super) fn copy_lost(&mut self) {
        if let Some(first) = self.queue.front_mut() {
            first.copy = None;
        }
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
