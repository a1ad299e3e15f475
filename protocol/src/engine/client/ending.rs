//! The end of a session, and the requests and WebSockets that are given up with it.

use super::{State, Transport};
use crate::engine::client::{ClientSession, ClientTransmit};
use crate::engine::error::Ended;
use crate::engine::request::RequestId;
use crate::reason::CloseReason;
use alloc::collections::VecDeque;

impl ClientSession {
    /// The session fails, now. Its queue is thrown away.
    pub(super) fn fail(&mut self, ended: Ended) {
        self.fail_with_code(ended, None);
    }

    pub(super) fn fail_with_code(&mut self, ended: Ended, code: Option<u16>) {
        match self.state {
            State::Closed => return,
            State::Opening { .. } if self.config.try_all_transports && self.order.len() > 1 => {
                self.leave_transport(code);
                self.order.remove(0);
                return self.begin();
            }
            // It was told when it began to close.
            State::Closing { .. } => {}
            State::Opening { .. } | State::Open => self.closed = Some(ended),
        }
        self.state = State::Closed;
        self.give_upgrade_up(None);
        self.leave_transport(code);
        self.out = VecDeque::new();
        self.queued = 0;
    }

    /// All is written.
    pub(super) fn finish(&mut self) {
        self.fail(Ended::plain(CloseReason::ForcedClose));
    }

    /// Gives up all requests and the WebSocket in use.
    pub(super) fn leave_transport(&mut self, code: Option<u16>) {
        let opening = self.opening.take();
        let requests = [opening, self.poll.take(), self.post.take().map(|(request, _)| request)];
        for request in requests.into_iter().flatten() {
            self.control.push_back(ClientTransmit::Abort { request });
        }
        if let Transport::WebSocket(websocket) = self.transport {
            if opening.is_none() {
                self.control.push_back(ClientTransmit::CloseWebSocket { websocket, code });
            }
        }
        self.transport = Transport::Polling;
        self.reading = false;
        self.unwritten = 0;
    }

    /// The WebSocket in use is gone: there is nothing to close.
    pub(super) fn lose_websocket(&mut self) {
        self.transport = Transport::Polling;
        self.opening = None;
    }

    /// A request or a WebSocket is gone: nothing is left to do about it.
    pub(super) fn forget(&mut self, gone: RequestId) {
        self.control.retain(|transmit| match transmit {
            ClientTransmit::Request { .. } | ClientTransmit::OpenWebSocket { .. } => true,
            ClientTransmit::Abort { request: id }
            | ClientTransmit::Write { websocket: id, .. }
            | ClientTransmit::CloseWebSocket { websocket: id, .. } => *id != gone,
        });
    }
}
