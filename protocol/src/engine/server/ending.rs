//! The end of a session: by either side, at once or when all is written.

use super::polling::PostProgress;
use super::{CLOSE, NOOP, NOT_UTF8, Outgoing, PARTING_TIME, State, Transport};
use crate::engine::error::Ended;
use crate::engine::request::RefusalCode;
use crate::engine::server::ServerSession;
use crate::reason::CloseReason;
use crate::time::Instant;
use alloc::boxed::Box;
use alloc::collections::VecDeque;

/// An end that the peer brought about in the middle of its messages. Its earlier messages are handled
/// first, and the answers to them are written.
#[derive(Clone, Debug)]
pub(super) enum Ending {
    /// The transport's rules were broken, or it was closed: a pending poll gets `to_poll`, or the queue.
    Transport { ended: Ended, to_poll: &'static [u8] },
    /// The layer above gave the peer up: the session closes as if the application had closed it.
    Session { ended: Ended },
}

impl Ending {
    /// Returns whether the client closed the session, rather than broke a rule.
    pub(super) fn is_by_client(&self) -> bool {
        matches!(self, Self::Transport { ended, .. } if ended.reason == CloseReason::TransportClose)
    }
}

impl ServerSession {
    /// Closes the session after its queue was written. The application is told at once.
    pub(crate) fn close(&mut self, now: Instant, reason: CloseReason) {
        self.close_with(now, Ended::plain(reason));
    }

    /// As [`ServerSession::close`], because of a mistake of the peer that the layer above knows of.
    pub(crate) fn close_because_of_above(&mut self, now: Instant, reason: CloseReason) {
        self.close_with(now, Ended::above(reason));
    }

    fn close_with(&mut self, now: Instant, ended: Ended) {
        match self.state {
            State::Opening { .. } => self.abort(ended),
            State::Open => {
                self.state = State::Closing { deadline: now + self.config.close_timeout };
                self.undated.close = true;
                self.ending = None;
                self.closed = Some(Box::new(ended));
                self.drop_upgrade();
                self.out.retain(|item| !matches!(item, Outgoing::Heartbeat));
                self.heartbeats = 0;
                self.answer_post();
                if self.out.is_empty() {
                    if let Some(poll) = self.poll.take() {
                        self.release_poll(poll, &[CLOSE]);
                        self.finish();
                    }
                }
            }
            State::Closing { .. } | State::Parting { .. } | State::Closed => {}
        }
    }

    /// Ends the session now; its queue is thrown away.
    pub(crate) fn abort(&mut self, ended: Ended) {
        self.end(ended, CLOSE);
    }

    /// Ends the session because of a mistake of the peer that the layer above found, once the messages before it were
    /// handled: see [`ServerSession::finish_ending`]. False, having done nothing, if it is ending already.
    pub(crate) fn give_up(&mut self, reason: CloseReason) -> bool {
        let takes_input = self.takes_input();
        if takes_input {
            self.ending = Some(Box::new(Ending::Session { ended: Ended::above(reason) }));
        }
        takes_input
    }

    /// As [`ServerSession::give_up`], because of a text that is not UTF-8: that is the transport's error (RFC 6455,
    /// section 7.4.1), only found above.
    pub(crate) fn give_up_not_utf8(&mut self) -> bool {
        self.close_code = Some(NOT_UTF8);
        let takes_input = self.takes_input();
        self.end_after_events(Ended::above(CloseReason::TransportError), CLOSE);
        takes_input
    }

    /// Returns whether the peer has brought about the end of the session, and [`ServerSession::finish_ending`] is owed.
    pub(crate) fn is_ending(&self) -> bool {
        self.ending.is_some()
    }

    /// The messages that the peer had sent before it brought about the end were handled: now the session ends.
    pub(crate) fn finish_ending(&mut self, now: Instant) {
        match self.ending.take().map(|ending| *ending) {
            Some(Ending::Session { ended }) => self.close_with(now, ended),
            Some(Ending::Transport { ended, to_poll }) => match self.transport {
                Transport::Channel(_) if !self.out.is_empty() => self.close_with(now, ended),
                Transport::Polling if self.poll.is_some() && !self.out.is_empty() => {
                    if let Some(poll) = self.poll.take() {
                        let answer = self.poll_answer();
                        self.respond(poll, answer);
                    }
                    if self.out.is_empty() {
                        self.end(ended, to_poll);
                    } else {
                        // It was more than one answer may have.
                        self.close_with(now, ended);
                    }
                }
                Transport::Polling if self.poll.is_none() && self.post.is_some() && to_poll == NOOP => {
                    self.state = State::Parting { deadline: now + PARTING_TIME };
                    self.closed = Some(Box::new(ended));
                    self.drop_upgrade();
                    self.out = VecDeque::new();
                    self.queued = 0;
                }
                _ => self.end(ended, to_poll),
            },
            None => {}
        }
    }

    pub(super) fn end_after_events(&mut self, ended: Ended, to_poll: &'static [u8]) {
        if self.takes_input() {
            self.ending = Some(Box::new(Ending::Transport { ended, to_poll }));
        }
    }

    pub(super) fn end(&mut self, ended: Ended, to_poll: &'static [u8]) {
        if self.state == State::Closed {
            return;
        }
        // The peer's first mistake is the reason, whatever happened meanwhile.
        let ended = match self.ending.take().map(|ending| *ending) {
            Some(Ending::Transport { ended: first, .. } | Ending::Session { ended: first }) => first,
            None => ended,
        };
        let code = self.close_code;
        if !matches!(self.state, State::Closing { .. } | State::Parting { .. }) {
            self.closed = Some(Box::new(ended));
        }
        self.drop_upgrade();
        if let Some(poll) = self.poll.take() {
            self.release_poll(poll, &[to_poll]);
        }
        self.answer_post();
        if let Transport::Channel(channel) = self.transport {
            self.control.push_back(channel.close(code));
        }
        self.finish();
    }

    /// The end of a session that its client has closed: nothing more is expected of it.
    pub(super) fn part(&mut self) {
        self.answer_post();
        self.finish();
    }

    /// The end of a session that was told to the application already.
    pub(super) fn finish(&mut self) {
        self.state = State::Closed;
        // A body that is still on its way comes too late, and may never be complete.
        if let Some(post) = self.post.take_if(|post| post.progress == PostProgress::Reading) {
            self.refuse(post.request, RefusalCode::UnknownSession);
        }
        self.out = VecDeque::new();
        self.queued = 0;
    }
}
