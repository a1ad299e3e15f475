//! How a session ends: by either side, at once or when all is written.

use super::polling::PostProgress;
use super::{CLOSE, NOT_UTF8, Outgoing, State, Transport};
use crate::engine::request::{RefusalCode, Response};
use crate::engine::server::{ServerSession, ServerTransmit};
use crate::error::{CloseReason, Closed, PeerError};
use crate::socket::packet::PacketError;
use crate::time::Instant;
use alloc::collections::VecDeque;
use bytes::Bytes;

/// An end that the peer brought about in the middle of its messages. What it had sent before is handled first,
/// and what that gave is written.
#[derive(Clone, Debug)]
pub(super) enum Ending {
    /// The transport's rules were broken, or it was closed: a pending poll gets this, or what is queued.
    Transport { closed: Closed, to_poll: &'static [u8] },
    /// The layer above gave the peer up: the session closes as if the application had closed it.
    Session { closed: Closed },
}

impl ServerSession {
    /// Closes the session after what is queued was written. The application is told at once.
    pub fn close(&mut self, now: Instant, reason: CloseReason) {
        self.close_with(now, Closed { reason, detail: None });
    }

    pub(crate) fn close_with(&mut self, now: Instant, closed: Closed) {
        match self.state {
            State::Opening { .. } => self.abort(closed.reason, closed.detail),
            State::Open => {
                self.state = State::Closing { deadline: now + self.config.close_timeout };
                self.undated.close = true;
                self.ending = None;
                self.closed = Some(closed);
                self.drop_upgrade();
                self.out.retain(|item| !matches!(item, Outgoing::Ping));
                self.answer_post();
                if self.out.is_empty() {
                    if let Some(poll) = self.poll.take() {
                        self.respond(poll, Response::poll(Bytes::from_static(CLOSE)));
                        self.finish();
                    }
                }
            }
            State::Closing { .. } | State::Closed => {}
        }
    }

    /// Ends the session now; what is queued is thrown away.
    pub fn abort(&mut self, reason: CloseReason, detail: Option<PeerError>) {
        self.end(reason, detail, CLOSE);
    }

    /// Ends the session because of something that the layer above cannot accept from the peer, once what came
    /// before was handled: see [`ServerSession::finish_ending`].
    pub fn give_up(&mut self, reason: CloseReason, detail: PeerError) {
        let utf8 = matches!(detail, PeerError::Socket(PacketError::InvalidUtf8));
        if utf8 {
            // Text that is no UTF-8 is the transport's error (RFC 6455, section 7.4.1), only found above.
            self.close_code = Some(NOT_UTF8);
            self.end_after_events(CloseReason::TransportError, Some(detail), CLOSE);
        } else if self.takes_input() {
            self.ending = Some(Ending::Session { closed: Closed { reason, detail: Some(detail) } });
        }
    }

    /// Whether the peer has brought about the end of the session, and [`ServerSession::finish_ending`] is owed.
    pub fn is_ending(&self) -> bool {
        self.ending.is_some()
    }

    /// What the peer had sent before it brought about the end was handled: now the session ends.
    pub fn finish_ending(&mut self, now: Instant) {
        match self.ending.take() {
            Some(Ending::Session { closed }) => self.close_with(now, closed),
            Some(Ending::Transport { closed, to_poll }) => match self.transport {
                Transport::WebSocket(_) if !self.out.is_empty() => self.close_with(now, closed),
                Transport::Polling if self.poll.is_some() && !self.out.is_empty() => {
                    if let Some(poll) = self.poll.take() {
                        let payload = self.payload();
                        self.respond(poll, Response::poll(payload));
                    }
                    if self.out.is_empty() {
                        self.end(closed.reason, closed.detail, to_poll);
                    } else {
                        // It was more than one answer may have.
                        self.close_with(now, closed);
                    }
                }
                _ => self.end(closed.reason, closed.detail, to_poll),
            },
            None => {}
        }
    }

    pub(super) fn end_after_events(
        &mut self,
        reason: CloseReason,
        detail: Option<PeerError>,
        to_poll: &'static [u8],
    ) {
        if self.takes_input() {
            let closed = Closed { reason, detail };
            self.ending = Some(Ending::Transport { closed, to_poll });
        }
    }

    pub(super) fn end(&mut self, reason: CloseReason, detail: Option<PeerError>, to_poll: &'static [u8]) {
        if self.state == State::Closed {
            return;
        }
        // What the peer did first is the reason, whatever came of it meanwhile.
        let closed = match self.ending.take() {
            Some(Ending::Transport { closed, .. } | Ending::Session { closed }) => closed,
            None => Closed { reason, detail },
        };
        let code = self.close_code;
        if !matches!(self.state, State::Closing { .. }) {
            self.closed = Some(closed);
        }
        self.drop_upgrade();
        if let Some(poll) = self.poll.take() {
            self.respond(poll, Response::poll(Bytes::from_static(to_poll)));
        }
        self.answer_post();
        if let Transport::WebSocket(websocket) = self.transport {
            self.control.push_back(ServerTransmit::CloseWebSocket { websocket, code });
        }
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
