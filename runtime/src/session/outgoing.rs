//! The output of a session's machine on its way out: frames into the WebSockets' buffers, answers to HTTP.

use crate::session::handle::{Answer, SessionHandle, SessionInner, Upgrade};
use crate::session::websocket::SessionWebSocket;
use futures_channel::oneshot;
use sansocket_protocol::engine::{RequestId, ServerTransmit};
use sansocket_protocol::time::Instant;
use std::sync::Arc;

/// The part of a session's output that leaves once its lock is free.
pub(super) struct Outgoing {
    now: Instant,
    answers: Vec<(oneshot::Sender<Answer>, Answer)>,
    /// Their streams may be the host's, and are dropped without the lock.
    given_up: Vec<(RequestId, Upgrade)>,
}

impl Outgoing {
    pub(super) fn new(now: Instant) -> Self {
        Self { now, answers: Vec::new(), given_up: Vec::new() }
    }

    /// Takes one output of the machine that is no message as it is queued: the task writes those itself.
    pub(super) fn take(
        &mut self,
        transmit: ServerTransmit,
        handle: &Arc<SessionHandle>,
        inner: &mut SessionInner,
        websockets: &mut [SessionWebSocket],
        upgrading: &mut Vec<(RequestId, Upgrade)>,
    ) {
        match transmit {
            ServerTransmit::WriteTyped { websocket, kind, data, compress } => {
                if let Some(found) = find_open(websockets, websocket) {
                    found.wire.write_typed(kind, &data, compress);
                }
            }
            ServerTransmit::CloseWebSocket { websocket, code } => {
                if let Some(found) = find_open(websockets, websocket) {
                    found.wire.close(code, self.now, None);
                }
                if let Some(at) = upgrading.iter().position(|(id, _)| *id == websocket) {
                    self.given_up.push(upgrading.swap_remove(at));
                }
            }
            ServerTransmit::Respond { request, mut response } => {
                if let Some(sender) = inner.take_request(request) {
                    inner.count_unread(handle, self.now, &mut response.body);
                    self.answers.push((sender, Answer::Respond(response)));
                }
            }
            ServerTransmit::AcceptWebSocket { request } => {
                self.answers.extend(inner.take_request(request).map(|sender| (sender, Answer::Switch)));
            }
            ServerTransmit::Abort { request } => {
                self.answers.extend(inner.take_request(request).map(|sender| (sender, Answer::Abort)));
            }
            // The core may learn to say more; an adapter of its own version knows it all.
            _ => {}
        }
    }

    /// Gives the answers to HTTP.
    pub(super) fn answer(self) {
        for (sender, answer) in self.answers {
            // A request that is gone has said so itself.
            let _ = sender.send(answer);
        }
    }
}

/// Finds the WebSocket of that id, if it still takes messages.
#[inline]
pub(super) fn find_open(websockets: &mut [SessionWebSocket], id: RequestId) -> Option<&mut SessionWebSocket> {
    websockets.iter_mut().find(|websocket| websocket.id == id && websocket.wire.is_open())
}
