//! The packets that come in, and the responses that bring them.

use super::{ClientSession, Outgoing, State, Transport, open};
use crate::engine::client::open::OpenPacket;
use crate::engine::error::{Ended, EngineError};
use crate::engine::packet::{EnginePacket, EnginePacketError};
use crate::engine::payload::PayloadDecoder;
use crate::engine::request::RequestId;
use crate::message::WireMessage;
use crate::reason::CloseReason;
use crate::time::Instant;
use bytes::Bytes;

impl ClientSession {
    /// A request was answered, with this whole body. Give the packets that come back to
    /// [`ClientSession::handle_packet`] one by one, and then call [`ClientSession::end_response`].
    pub(crate) fn begin_response(
        &mut self,
        now: Instant,
        request: RequestId,
        status: u16,
        body: Bytes,
    ) -> Option<PayloadDecoder> {
        self.fire(now);
        self.forget(request);
        if self.opening == Some(request) && self.transport == Transport::Polling {
            self.opening = None;
            if status != 200 {
                self.fail(Ended::by(CloseReason::TransportError, open::refusal(status, &body)));
                return None;
            }
            if body.first() != Some(&b'0') {
                self.fail(Ended::by(CloseReason::TransportError, open::not_a_handshake(&body)));
                return None;
            }
        } else if self.poll == Some(request) {
            self.poll = None;
            if status != 200 {
                self.fail(Ended::by(CloseReason::TransportError, open::refusal(status, &body)));
                return None;
            }
        } else {
            if self.post.is_some_and(|(post, _)| post == request) {
                self.post = None;
                if self.close_posted {
                    self.finish();
                } else if status == 200 {
                    self.move_on();
                } else {
                    self.fail(Ended::by(CloseReason::TransportError, open::refusal(status, &body)));
                }
            }
            return None;
        }
        self.reading = true;
        Some(PayloadDecoder::new(body))
    }

    /// One packet of a response. Returns a message for the layer above.
    pub(crate) fn handle_packet(
        &mut self,
        now: Instant,
        packet: Result<EnginePacket, EnginePacketError>,
    ) -> Option<WireMessage> {
        // The packet before it may have ended the transport; this one has nothing to say to the next.
        if self.reading { self.packet(now, packet) } else { None }
    }

    pub(super) fn packet(
        &mut self,
        now: Instant,
        packet: Result<EnginePacket, EnginePacketError>,
    ) -> Option<WireMessage> {
        match (self.state, packet) {
            (State::Closed, _) => {}
            (State::Opening { .. }, Ok(EnginePacket::Open(json))) => self.open(now, &json),
            (State::Opening { .. }, _) => {
                self.fail(Ended::by(CloseReason::TransportError, EngineError::Handshake))
            }
            // Its id is needed to close it.
            (State::Closing { .. }, Ok(EnginePacket::Open(json))) if self.handshake.is_none() => {
                self.handshake = OpenPacket::parse(&json).ok();
                if self.handshake.is_none() {
                    self.finish();
                }
            }
            (State::Closing { .. }, Ok(EnginePacket::Close)) => self.finish(),
            (State::Closing { .. }, _) => {}
            (State::Open, Ok(EnginePacket::Message(message))) => return Some(message),
            (State::Open, Ok(EnginePacket::Ping(_))) => {
                self.wind_up(now);
                // A server that asks faster than it reads gets one answer.
                if !self.out.iter().any(|item| matches!(item, Outgoing::Pong)) {
                    self.out.push_back(Outgoing::Pong);
                }
                // What was queued at the busiest time so far is no measure for the time until the next ping.
                self.out.shrink_to_fit();
            }
            (State::Open, Ok(EnginePacket::Close)) => self.fail(Ended::plain(CloseReason::TransportClose)),
            (State::Open, Ok(_)) => {}
            (State::Open, Err(error)) => self.fail(Ended::by(CloseReason::TransportError, error.into())),
        }
        None
    }

    /// All packets of the response were handled: the next poll may go out.
    pub(crate) fn end_response(&mut self, now: Instant) {
        self.reading = false;
        if self.is_opening() && self.opening.is_none() && self.transport == Transport::Polling {
            self.fail(Ended::by(CloseReason::TransportError, EngineError::Handshake));
        }
        self.move_on();
        self.fire(now);
    }
}
