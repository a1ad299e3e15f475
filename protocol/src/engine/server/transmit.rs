//! The data that passes between a session and its owner.

use super::{Outgoing, State, Transport};
use crate::attachments::Beside;
use crate::cost::{SERVER_MESSAGE, SHRINK_ABOVE, WRITE_AHEAD};
use crate::engine::request::{RequestId, Response};
use crate::engine::server::ServerSession;
use crate::message::WireMessage;
use alloc::boxed::Box;
use alloc::collections::VecDeque;
use bytes::Bytes;

/// A server's wish: an answer to a request, or a message or close on a WebSocket.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum ServerTransmit {
    /// Answer that request.
    Respond {
        /// The id of the request.
        request: RequestId,
        /// The answer. Apply
        /// [`EngineServerConfig::decorate`](crate::engine::EngineServerConfig::decorate) to it.
        response: Box<Response>,
    },
    /// End the connection of that request without an answer.
    Abort {
        /// The id of the request.
        request: RequestId,
    },
    /// Answer that request with 101, and call
    /// [`Connection::handle_websocket_opened`](crate::server::Connection::handle_websocket_opened)
    /// once its WebSocket is there. From then on the request's id names the WebSocket.
    AcceptWebSocket {
        /// The id of the request.
        request: RequestId,
    },
    /// Write one message to that WebSocket.
    Write {
        /// The id of the WebSocket.
        websocket: RequestId,
        /// A text message is a whole packet, type digit included.
        message: WireMessage,
        /// Whether it may be compressed, if an extension of the WebSocket does so.
        compress: bool,
    },
    /// Write one binary message of revision 3 to that WebSocket.
    WriteTyped {
        /// The id of the WebSocket.
        websocket: RequestId,
        /// The first byte of the message: the packet's type.
        kind: u8,
        /// The rest of the message. It is apart, so that clients of all revisions share the bytes of a broadcast.
        data: Bytes,
        /// Whether it may be compressed, as for [`ServerTransmit::Write`].
        compress: bool,
    },
    /// Close that WebSocket. It may be gone already.
    CloseWebSocket {
        /// The id of the WebSocket.
        websocket: RequestId,
        /// The code of the close frame; without one, the frame is empty.
        code: Option<u16>,
    },
}

/// The thing that a request waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum Wants {
    /// A [`ServerTransmit`] about it.
    Answer,
    /// Its body, up to that many bytes: it goes to
    /// [`Connection::handle_body`](crate::server::Connection::handle_body).
    Body {
        /// In bytes.
        limit: usize,
    },
}

/// The body of a POST.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Body {
    /// The whole body.
    Complete(Bytes),
    /// A body that is larger than the limit. The bytes that came were thrown away.
    TooLarge,
}

impl ServerSession {
    /// The next thing to write.
    #[inline(always)]
    pub(crate) fn poll_transmit(&mut self) -> Option<ServerTransmit> {
        if let Some(control) = self.control.pop_front() {
            // Nothing more is to come on a channel, as a rule.
            let is_on_channel = matches!(self.transport, Transport::Channel(_));
            if self.control.is_empty() && (is_on_channel || self.control.capacity() > 4) {
                self.control = VecDeque::new();
            }
            return Some(control);
        }
        match self.transport {
            Transport::Channel(channel)
                if !matches!(self.state, State::Opening { .. }) && self.unwritten < WRITE_AHEAD =>
            {
                let compress = !matches!(self.out.front(), Some(Outgoing::AsIs));
                if !compress {
                    self.out.pop_front();
                }
                let Some(item) = self.out.pop_front() else {
                    if matches!(self.state, State::Closing { .. }) {
                        self.finish();
                        return Some(channel.close(self.close_code));
                    }
                    return None;
                };
                if self.out.is_empty() && self.out.capacity() > SHRINK_ABOVE {
                    self.out = VecDeque::new();
                }
                let message = match item {
                    Outgoing::Heartbeat | Outgoing::AsIs => {
                        self.heartbeats = self.heartbeats.saturating_sub(1);
                        WireMessage::Text(Bytes::from_static(self.form.heartbeat()))
                    }
                    Outgoing::Message(message) => self.given_out(message),
                    Outgoing::Attachment(beside) => {
                        self.given_out(WireMessage::Binary(Beside::into_first(beside)))
                    }
                };
                Some(self.form.write(channel, message, compress))
            }
            Transport::Polling if !self.out.is_empty() => {
                let request = self.poll.take()?;
                let response = Box::new(self.poll_answer());
                Some(ServerTransmit::Respond { request, response })
            }
            _ => None,
        }
    }

    #[inline(always)]
    fn given_out(&mut self, message: WireMessage) -> WireMessage {
        let (WireMessage::Text(bytes) | WireMessage::Binary(bytes)) = &message;
        self.queued = self.queued.saturating_sub(bytes.len().saturating_add(SERVER_MESSAGE));
        self.unwritten = self.unwritten.saturating_add(bytes.len());
        message
    }

    /// Returns whether the answer to that request is the first of what is to be written.
    pub(crate) fn answers_next(&self, request: RequestId) -> bool {
        matches!(self.control.front(), Some(ServerTransmit::Respond { request: next, .. }) if *next == request)
    }

    /// Returns whether [`ServerSession::poll_transmit`] has something.
    pub(crate) fn has_transmit(&self) -> bool {
        !self.control.is_empty()
            || match self.transport {
                Transport::Polling => self.poll.is_some() && !self.out.is_empty(),
                Transport::Channel(_) if self.unwritten >= WRITE_AHEAD => false,
                Transport::Channel(_) => match self.state {
                    State::Opening { .. } => false,
                    State::Closing { .. } => true,
                    State::Open | State::Parting { .. } | State::Closed => !self.out.is_empty(),
                },
            }
    }
}
