//! Long-polling: what goes into a POST, and when to poll (protocol v4, "HTTP long-polling").

use super::{Method, Outgoing, State};
use crate::cost::CLIENT_MESSAGE;
use crate::engine::client::{ClientSession, ClientTransmit};
use crate::engine::payload;
use crate::message::WireMessage;
use bytes::Bytes;

/// The largest number of packets in one body: Python's server throws away a body of more, and says `OK`.
const PACKETS_PER_POST: usize = 16;

impl ClientSession {
    /// Returns whether a POST of the queue, or of the session's end, may go out.
    pub(super) fn wants_post(&self) -> bool {
        let closing = matches!(self.state, State::Closing { .. });
        self.post.is_none()
            && !self.is_moving()
            && self.handshake.is_some()
            && (!self.out.is_empty() || closing && !self.close_posted)
    }

    pub(super) fn wants_poll(&self) -> bool {
        self.is_open() && self.poll.is_none() && !self.reading && !self.paused && !self.is_moving()
    }

    /// Takes from the queue what fits into one POST. One message that does not fit goes out alone: the sender has
    /// [checked](ClientSession::check_size) all but the protocol's own.
    fn payload(&mut self) -> Bytes {
        let limit = self.handshake.as_ref().and_then(|handshake| handshake.max_payload).unwrap_or(usize::MAX);
        let size = |item: &Outgoing| match item {
            Outgoing::Pong => 1,
            Outgoing::Message { message: WireMessage::Text(text), .. } => text.len(),
            Outgoing::Message { message: WireMessage::Binary(data), .. } => {
                payload::binary_len(data).saturating_sub(1)
            }
        };
        let mut bytes = 0_usize;
        let mut count = 0_usize;
        for item in self.out.iter().take(PACKETS_PER_POST) {
            let with = bytes.saturating_add(size(item)).saturating_add(usize::from(count > 0));
            if count > 0 && with > limit {
                break;
            }
            bytes = with;
            count = count.saturating_add(1);
        }
        let mut body = payload::PayloadEncoder::with_capacity(bytes);
        for item in self.out.drain(..count) {
            let Outgoing::Message { message: WireMessage::Text(bytes) | WireMessage::Binary(bytes), .. } =
                &item
            else {
                body.text(b"3");
                continue;
            };
            self.queued = self.queued.saturating_sub(bytes.len().saturating_add(CLIENT_MESSAGE));
            match &item {
                Outgoing::Message { message: WireMessage::Binary(data), .. } => body.binary(data),
                _ => body.text(bytes),
            }
        }
        body.finish()
    }

    /// The next POST.
    pub(super) fn post(&mut self) -> ClientTransmit {
        let body = if self.out.is_empty() {
            self.close_posted = true;
            Bytes::from_static(b"1")
        } else {
            self.payload()
        };
        let request = self.fresh_id();
        self.post = Some((request, self.now + self.config.request_timeout));
        self.request(request, Method::Post, body)
    }

    /// The next poll.
    pub(super) fn poll(&mut self) -> ClientTransmit {
        let request = self.fresh_id();
        self.poll = Some(request);
        self.request(request, Method::Get, Bytes::new())
    }
}
