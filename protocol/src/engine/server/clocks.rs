//! Pauses of reading, and the clocks that commands start.

use super::State;
use crate::engine::server::ServerSession;
use crate::time::Instant;

/// The clocks that a command has started. Commands carry no time, so these count from the last input, which may be long
/// ago, until the next one sets them right.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Undated {
    pub(super) close: bool,
    pub(super) pause: bool,
    pub(super) resume: bool,
}

impl ServerSession {
    /// Reading pauses: the application is behind. Meanwhile the answer to a POST is withheld and no pong is missed;
    /// after `pause_timeout` without progress the session ends.
    pub(crate) fn pause(&mut self, now: Instant) {
        if self.paused_at.is_none() {
            self.paused_at = Some(now);
            self.undated.pause = true;
            self.heartbeat.suspend();
        }
    }

    /// Reading goes on.
    pub(crate) fn resume(&mut self, now: Instant) {
        if self.paused_at.take().is_some() {
            self.undated.resume = true;
            self.heartbeat.resume(now);
            self.answer_post();
        }
    }

    /// Returns whether reading pauses.
    pub(crate) fn is_paused(&self) -> bool {
        self.paused_at.is_some()
    }

    /// Something moved: a pause counts from here.
    pub(crate) fn progress(&mut self, now: Instant) {
        if self.paused_at.is_some() {
            self.paused_at = Some(now);
            self.undated.pause = true;
        }
    }

    /// Dates the clocks that commands started since the last input: they count from here. Tells whether reading goes on
    /// since then.
    pub(crate) fn date(&mut self, now: Instant) -> bool {
        let undated = core::mem::take(&mut self.undated);
        if let (true, State::Closing { deadline }) = (undated.close, &mut self.state) {
            *deadline = now + self.config.close_timeout;
        }
        if undated.pause && self.paused_at.is_some() {
            self.paused_at = Some(now);
        }
        if undated.resume {
            self.heartbeat.restart(now);
        }
        undated.resume
    }

    /// The clocks that were started since [`ServerSession::date`] have the right time.
    pub(crate) fn dated(&mut self) {
        self.undated = Undated::default();
    }

    /// Returns whether [`ServerSession::date`] should be called soon.
    #[inline]
    pub(crate) fn is_undated(&self) -> bool {
        self.undated != Undated::default()
    }
}
