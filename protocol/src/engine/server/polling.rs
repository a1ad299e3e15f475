//! Long-polling: one GET that waits and one POST that is read, at most (protocol v4, "HTTP long-polling").

use super::ending::Ending;
use super::form::Incoming;
use super::form::Packets;
use super::{Body, CLOSE, NOOP, Outgoing, State, Wants};
use crate::cost::{self, SHRINK_ABOVE};
use crate::engine::error::{Ended, EngineError};
use crate::engine::handshake::open_packet;
use crate::engine::payload::v3;
use crate::engine::request::{Query, RequestHead, RequestId, Response};
use crate::engine::revision::Revision;
use crate::engine::server::{ServerSession, ServerTransmit};
use crate::message::WireMessage;
use crate::reason::CloseReason;
use crate::time::Instant;
use alloc::collections::VecDeque;

/// A POST whose answer is still owed.
#[derive(Clone, Copy, Debug)]
pub(super) struct Post {
    pub(super) request: RequestId,
    pub(super) progress: PostProgress,
    /// Its head says that the body is bytes.
    pub(super) is_binary: bool,
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
    pub(crate) fn begin_body(&mut self, now: Instant, request: RequestId, body: Body) -> Option<Packets> {
        self.fire(now);
        let post = self.post.filter(|post| post.request == request)?;
        match body {
            Body::Complete(body) if body.len() <= self.config.max_payload => {
                self.post = Some(Post { progress: PostProgress::Handling, ..post });
                Some(self.form.incoming(post.is_binary).packets(body))
            }
            Body::Complete(_) | Body::TooLarge => {
                self.post = None;
                self.respond(request, Response::new(413));
                None
            }
        }
    }

    /// The form of the body of that POST.
    pub(crate) fn incoming_body(&self, request: RequestId) -> Incoming {
        let post = self.post.filter(|post| post.request == request);
        self.form.incoming(post.is_some_and(|post| post.is_binary))
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

    pub(super) fn open_polling(&mut self, now: Instant, request: RequestId, query: &Query<'_>) {
        self.form.begin_polling(query);
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
            self.release_poll(request, &[NOOP, CLOSE]);
            self.finish();
        } else if matches!(self.state, State::Parting { .. }) {
            self.release_poll(request, &[NOOP]);
            self.part();
        } else {
            self.poll = Some(request);
        }
    }

    pub(super) fn handle_post(&mut self, request: RequestId, head: &RequestHead<'_>) -> Wants {
        let is_binary =
            head.headers.header("content-type").is_some_and(|kind| kind == "application/octet-stream");
        let declared = head.headers.header("content-length").and_then(|length| length.parse::<u64>().ok());
        if let Some(post) = self.post.take() {
            self.respond(request, Response::new(400));
            self.control.push_back(ServerTransmit::Abort { request: post.request });
            self.abort(Ended::by(CloseReason::TransportError, EngineError::OverlappingPosts));
        } else if is_binary && self.form.revision() == Revision::V4 {
            // Binary bodies belong to protocol v3.
            self.respond(request, Response::new(400));
            self.abort(Ended::plain(CloseReason::TransportError));
        } else if declared.is_some_and(|length| length > self.config.max_payload as u64) {
            self.respond(request, Response::new(413));
        } else {
            self.post = Some(Post { request, progress: PostProgress::Reading, is_binary });
            return Wants::Body { limit: self.config.max_payload };
        }
        Wants::Answer
    }

    /// Returns whether the client closes the session by the POST in hand and has no poll pending. One that it has sent
    /// at the same time may be seen later, and would find no session: it was sent before this POST was answered.
    fn awaits_last_poll(&self) -> bool {
        self.poll.is_none() && self.ending.as_deref().is_some_and(Ending::is_by_client)
    }

    /// Gives the answer that was withheld, if one was.
    pub(super) fn answer_post(&mut self) {
        if let Some(post) = self.post.take_if(|post| post.progress == PostProgress::Withheld) {
            self.respond(post.request, Response::posted());
        }
    }

    /// Answers a poll with these packets, which are text and not queued.
    pub(super) fn release_poll(&mut self, poll: RequestId, packets: &[&'static [u8]]) {
        let response = self.form.answer(packets);
        self.respond(poll, response);
    }

    /// Returns the queued packets as the answer to a poll: as many as fit into about `max_payload`, and no more than
    /// `max_poll_packets`. The rest waits for the next poll. One packet goes out whatever its size is.
    ///
    /// As in the reference, it may be compressed unless none of its packets may.
    pub(super) fn poll_answer(&mut self) -> Response {
        let (mut packets, mut items, mut bytes, mut form) = (0usize, 0usize, 0usize, v3::Form::Text);
        for (at, item) in self.out.iter().enumerate() {
            if matches!(item, Outgoing::AsIs) {
                continue;
            }
            let sum = bytes.saturating_add(self.form.len_of(item));
            if packets > 0 && (sum > self.config.max_payload || packets >= self.config.max_poll_packets) {
                break;
            }
            if self.form.makes_bytes(item) {
                form = v3::Form::Binary;
            }
            (packets, items, bytes) = (packets.saturating_add(1), at.saturating_add(1), sum);
        }
        // Exactly what it takes: a client that reads slowly must not make the server hold more than is counted for it.
        let mut payload = self.form.payload(form, bytes);
        let mut as_is = 0usize;
        for item in self.out.drain(..items) {
            let Some((bytes, is_binary)) = item.content() else {
                if matches!(item, Outgoing::AsIs) {
                    as_is = as_is.saturating_add(1);
                } else {
                    self.heartbeats = self.heartbeats.saturating_sub(1);
                    payload.text(self.form.heartbeat());
                }
                continue;
            };
            self.queued = self.queued.saturating_sub(bytes.len().saturating_add(cost::SERVER_MESSAGE));
            if is_binary { payload.binary(bytes) } else { payload.text(bytes) }
        }
        if self.out.is_empty() && self.out.capacity() > SHRINK_ABOVE {
            self.out = VecDeque::new();
        }
        self.form.respond(form, payload.finish()).compress(as_is < packets)
    }
}
