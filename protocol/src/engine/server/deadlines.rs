//! The deadlines of a session: when the next one is, and what happens then.

use super::{CLOSE, NOOP, NOOP_INTERVAL, State, Transport};
use crate::engine::error::{Ended, EngineError};
use crate::engine::heartbeat::Due;
use crate::engine::server::ServerSession;
use crate::reason::CloseReason;
use crate::time::Instant;

impl ServerSession {
    /// The time at which to call [`ServerSession::handle_timeout`].
    pub(crate) fn poll_timeout(&self) -> Option<Instant> {
        let mut deadline = match self.state {
            State::Opening { deadline } | State::Closing { deadline } | State::Parting { deadline } => {
                return Some(deadline);
            }
            State::Closed => return None,
            State::Open => self.heartbeat.deadline(),
        };
        if let Some(upgrade) = &self.upgrade {
            deadline = deadline.min(upgrade.deadline);
            if self.poll.is_some() {
                deadline = deadline.min(upgrade.noop_at);
            }
        }
        if let Some(paused) = self.paused_at {
            deadline = deadline.min(paused + self.config.pause_timeout);
        }
        Some(deadline)
    }

    /// Fires the deadlines that are over, but for those that judge the peer's silence. Mostly there are none.
    #[inline]
    pub(super) fn fire(&mut self, now: Instant) {
        if self.state != State::Open || self.paused_at.is_some() || self.upgrade.is_some() {
            self.fire_any(now);
        }
    }

    fn fire_any(&mut self, now: Instant) {
        match self.state {
            State::Closing { deadline } if now >= deadline => {
                self.end(Ended::plain(CloseReason::ForcedClose), CLOSE)
            }
            State::Parting { deadline } if now >= deadline => self.part(),
            State::Open => {
                if self.paused_at.is_some_and(|paused| now >= paused + self.config.pause_timeout) {
                    return self.abort(Ended::plain(CloseReason::Stalled));
                }
                if let Some(upgrade) = &mut self.upgrade {
                    if now >= upgrade.deadline {
                        self.drop_upgrade();
                    } else if now >= upgrade.noop_at && self.poll.is_some() {
                        upgrade.noop_at = now + NOOP_INTERVAL;
                        if self.out.is_empty() {
                            if let Some(poll) = self.poll.take() {
                                self.release_poll(poll, &[NOOP]);
                            }
                        }
                    }
                }
            }
            State::Opening { .. } | State::Closing { .. } | State::Parting { .. } | State::Closed => {}
        }
    }

    /// Judges the peer's silence. Not before an input: a pong, or the opening itself, that lay unread must not kill its
    /// sender after a stall of our own.
    pub(super) fn judge(&mut self, now: Instant) {
        match self.state {
            State::Opening { deadline } if now >= deadline => {
                self.abort(Ended::by(CloseReason::TransportError, EngineError::NeverOpened));
            }
            State::Open => match self.heartbeat.due(now) {
                // A client that answers without having been asked, and never polls, must not pile them up.
                Some(Due::Ping) if self.heartbeats > 0 => {}
                Some(Due::Ping) => {
                    self.queue_heartbeat();
                    // Room for what was queued at the busiest time so far is worth nothing to most connections.
                    self.out.shrink_to_fit();
                }
                // A WebSocket was read before this is judged. A pong by POST comes on a connection of its own.
                Some(Due::Timeout) if self.transport == Transport::Polling && self.heartbeat.excuse(now) => {}
                Some(Due::Timeout) => self.abort(Ended::plain(CloseReason::PingTimeout)),
                None => {}
            },
            State::Opening { .. } | State::Closing { .. } | State::Parting { .. } | State::Closed => {}
        }
    }
}
