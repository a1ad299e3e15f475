//! The deadlines of a session: the server's silence, requests without an answer, an upgrade that does not end.

use super::{ClientSession, State};
use crate::engine::error::{Ended, EngineError};
use crate::reason::CloseReason;
use crate::time::Instant;

impl ClientSession {
    /// Judges the server's silence: a machine that has slept learns so before it sends.
    pub(crate) fn check(&mut self, now: Instant) {
        self.tick(now);
        if self.state == State::Open && !self.paused && now >= self.watchdog {
            self.fail(Ended::plain(CloseReason::PingTimeout));
        }
    }

    /// The time goes on.
    pub(crate) fn tick(&mut self, now: Instant) {
        self.now = self.now.max(now);
        if core::mem::take(&mut self.resumed) {
            self.wind_up(self.now);
        }
    }

    /// The server was heard: it may be silent for as long again.
    pub(super) fn wind_up(&mut self, now: Instant) {
        if let Some(handshake) = &self.handshake {
            self.watchdog = now + handshake.patience();
        }
    }

    /// Fires the deadlines that are over, but for those that judge the server's silence.
    pub(super) fn fire(&mut self, now: Instant) {
        self.tick(now);
        match self.state {
            State::Closing { deadline } if now >= deadline => self.finish(),
            State::Open => {
                if self.upgrade.as_ref().is_some_and(|upgrade| now >= upgrade.deadline) {
                    self.give_upgrade_up(Some(EngineError::OpenTimeout));
                }
            }
            State::Opening { .. } | State::Closing { .. } | State::Closed => {}
        }
    }

    /// Judges the server's silence. Not before an input: a ping that lay unread must not kill the session after a stall
    /// of our own.
    pub(super) fn judge(&mut self, now: Instant) {
        match self.state {
            State::Opening { deadline } if now >= deadline => {
                self.order.clear();
                self.fail(Ended::by(CloseReason::TransportError, EngineError::OpenTimeout));
            }
            State::Open if self.post.is_some_and(|(_, deadline)| now >= deadline) => {
                self.fail(Ended::by(CloseReason::TransportError, EngineError::RequestTimeout));
            }
            State::Open => self.check(now),
            State::Opening { .. } | State::Closing { .. } | State::Closed => {}
        }
    }
}
