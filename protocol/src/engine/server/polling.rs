//! Long-polling: one GET that waits and one POST that is read, at most (protocol v4, "HTTP long-polling").

use super::ending::Ending;
use super::{Body, NOOP, Outgoing, State, Wants};
use crate::cost::{self, SHRINK_ABOVE};
use crate::engine::error::{Ended, EngineError};
use crate::engine::handshake::open_packet;
use crate::engine::payload;
use crate::engine::request::{RequestHead, RequestId, Response};
use crate::engine::server::{ServerSession, ServerTransmit};
use crate::message::WireMessage;
use crate::reason::CloseReason;
use crate::time::Instant;
use alloc::collections::VecDeque;
use bytes::Bytes;

/// A POST whose answer is still owed.
#[derive(Clone, Copy, Debug)]
pub(super) struct Post {
    pub(super) request: RequestId,
    pub(super) progress: PostProgress,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum PostProgress {
    /// Its body is on its way.
    Reading,
    /// Its packets are being handled.
    Handling,
    Malformed,
    /// Its packets were taken; the answer waits for reading to go on.
    Withheld,
}

impl ServerSession {
    /// The body of a POST ended. Give the packets that come back to [`ServerSession::handle_packet`] one by one, and
    /// then call [`ServerSession::end_body`]. `None`: there is nothing to read.
    pub(crate) fn begin_body(
        &mut self,
        now: Instant,
        request: RequestId,
        body: Body,
    ) -> Option<payload::PayloadDecoder> {
        self.fire(now);
        if self.post.is_none_or(|post| post.request != request) {
            return None;
        }
        match body {
            Body::Complete(body) if body.len() <= self.config.max_payload => {
                self.post = Some(Post { request, progress: PostProgress::Handling });
                Some(payload::PayloadDecoder::new(body))
            }
            Body::Complete(_) | Body::TooLarge => {
                self.post = None;
                self.respond(request, Response::new(413));
                None
            }
        }
    }

    /// All packets of a body were read: the POST is answered, once reading goes on.
    pub(crate) fn end_body(&mut self, request: RequestId) {
        let Some(post) = self.post.as_mut().filter(|post| post.request == request) else { return };
        if post.progress == PostProgress::Malformed {
            self.post = None;
            // The reference says `ok` here and closes; the specification asks for a refusal.
            self.respond(request, Response::new(400));
        } else {
            post.progress = PostProgress::Withheld;
            if (self.paused_at.is_none() || self.state != State::Open) && !self.awaits_last_poll() {
                self.answer_post();
            }
        }
    }

    pub(super) fn open_polling(&mut self, now: Instant, request: RequestId) {
        self.open(now);
        let may_upgrade = self.config.allow_upgrades && self.config.transports.websocket;
        let open = open_packet(&self.config, &self.id, may_upgrade);
        self.queued = self.queued.saturating_add(open.len().saturating_add(cost::SERVER_MESSAGE));
        self.out.push_front(Outgoing::Message(WireMessage::Text(open)));
        let mut response = self.poll_answer();
        if let Some(cookie) = &self.config.cookie {
            response = response.header("set-cookie", cookie.set(&self.id));
        }
        self.respond(request, response);
    }

    pub(super) fn handle_poll(&mut self, request: RequestId) {
        if self.poll.is_some() {
            self.respond(request, Response::new(400));
            self.abort(Ended::by(CloseReason::TransportError, EngineError::OverlappingPolls));
        } else if matches!(self.state, State::Closing { .. }) && self.out.is_empty() {
            self.respond(request, Response::poll(Bytes::from_static(b"6\x1e1")));
            self.finish();
        } else if matches!(self.state, State::Parting { .. }) {
            self.respond(request, Response::poll(Bytes::from_static(NOOP)));
            self.part();
        } else {
            self.poll = Some(request);
        }
    }

    pub(super) fn handle_post(&mut self, request: RequestId, head: &RequestHead<'_>) -> Wants {
        let declared = head.headers.header("content-length").and_then(|length| length.parse::<u64>().ok());
        if let Some(post) = self.post.take() {
            self.respond(request, Response::new(400));
            self.control.push_back(ServerTransmit::Abort { request: post.request });
            self.abort(Ended::by(CloseReason::TransportError, EngineError::OverlappingPosts));
        } else if head.headers.header("content-type").is_some_and(|kind| kind == "application/octet-stream") {
            // Binary bodies belong to protocol v3.
            self.respond(request, Response::new(400));
            self.abort(Ended::plain(CloseReason::TransportError));
        } else if declared.is_some_and(|length| length > self.config.max_payload as u64) {
            self.respond(request, Response::new(413));
        } else {
            self.post = Some(Post { request, progress: PostProgress::Reading });
            return Wants::Body { limit: self.config.max_payload };
        }
        Wants::Answer
    }

    /// Returns whether the client closes the session by the POST in hand and has no poll pending. One that it has sent
    /// at the same time may be seen later, and would find no session: it was sent before this POST was answered.
    fn awaits_last_poll(&self) -> bool {
        self.poll.is_none() && self.ending.as_ref().is_some_and(Ending::is_by_client)
    }

    /// Gives the answer that was withheld, if one was.
    pub(super) fn answer_post(&mut self) {
        if let Some(post) = self.post.take_if(|post| post.progress == PostProgress::Withheld) {
            self.respond(post.request, Response::posted());
        }
    }

    /// Returns the queued packets as one polling body: as many as fit into about `max_payload`, and no more than
    /// `max_poll_packets`. The rest waits for the next poll. One packet goes out whatever its size is.
    ///
    /// As in the reference, it may be compressed unless none of its packets may.
    pub(super) fn poll_answer(&mut self) -> Response {
        let (mut packets, mut items, mut bytes) = (0usize, 0usize, 0usize);
        for (at, item) in self.out.iter().enumerate() {
            let len = match item {
                Outgoing::AsIs => continue,
                Outgoing::Ping => payload::text_len(b"2"),
                Outgoing::Message(WireMessage::Text(text)) => payload::text_len(text),
                Outgoing::Message(WireMessage::Binary(data)) => payload::binary_len(data),
            };
            let sum = bytes.saturating_add(len);
            if packets > 0 && (sum > self.config.max_payload || packets >= self.config.max_poll_packets) {
                break;
            }
            (packets, items, bytes) = (packets.saturating_add(1), at.saturating_add(1), sum);
        }
        // Exactly what it takes: a client that reads slowly must not make the server hold more than is counted for it.
        // No separator stands in front of the first.
        let mut payload = payload::PayloadEncoder::with_capacity(bytes.saturating_sub(1));
        let mut as_is = 0usize;
        for item in self.out.drain(..items) {
            if let Outgoing::Message(WireMessage::Text(data) | WireMessage::Binary(data)) = &item {
                self.queued = self.queued.saturating_sub(data.len().saturating_add(cost::SERVER_MESSAGE));
            }
            match item {
                Outgoing::AsIs => as_is = as_is.saturating_add(1),
                Outgoing::Ping => payload.text(b"2"),
                Outgoing::Message(WireMessage::Text(text)) => payload.text(&text),
                Outgoing::Message(WireMessage::Binary(data)) => payload.binary(&data),
            }
        }
        if self.out.is_empty() && self.out.capacity() > SHRINK_ABOVE {
            self.out = VecDeque::new();
        }
        Response::poll(payload.finish()).compress(as_is < packets)
    }
}
