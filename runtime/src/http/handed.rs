//! A request in the hands of its session, and the switch to a WebSocket that may come of it.

use crate::http::connections::Place;
use crate::http::head_deadline::Heads;
use crate::session::handle::{SessionHandle, Upgrade};
use sansocket_protocol::engine::{RefusalCode, RequestId, Response as CoreResponse};
use std::sync::Arc;

/// A request that its session was handed. The session is told when it goes away without an answer.
pub(super) struct Handed<'a> {
    pub(super) session: &'a SessionHandle,
    pub(super) id: RequestId,
    pub(super) answered: bool,
}

impl Handed<'_> {
    /// Gives the session its WebSocket, unless it has ended meanwhile.
    pub(super) fn switch(&self, switch: Switch) -> Result<CoreResponse, CoreResponse> {
        let Switch { accept, subprotocol, extensions, upgrade } = switch;
        if let Some(connection) = &upgrade.held {
            connection.hold();
        }
        let left = self.session.with_inner(|inner| {
            if inner.is_ended() {
                return Some(upgrade);
            }
            inner.waiting_mut().upgrades.push((self.id, upgrade));
            None
        });
        if let Some(upgrade) = left {
            if let Some(connection) = &upgrade.held {
                connection.take_held();
            }
            return Err(CoreResponse::upgrade_refusal(RefusalCode::UnknownSession));
        }
        let mut response = CoreResponse::new(101)
            .header("connection", "Upgrade")
            .header("upgrade", "websocket")
            .header("sec-websocket-accept", accept);
        if let Some(subprotocol) = subprotocol {
            response = response.header("sec-websocket-protocol", subprotocol);
        }
        if let Some(extensions) = extensions {
            response = response.header("sec-websocket-extensions", extensions);
        }
        Ok(response)
    }
}

impl Drop for Handed<'_> {
    fn drop(&mut self) {
        if !self.answered {
            let now = self.session.now();
            let sender = self.session.with_inner(|inner| {
                inner.machine.handle_request_aborted(now, self.id);
                inner.take_request(self.id)
            });
            drop(sender);
        }
    }
}

/// A WebSocket handshake that can be answered with 101.
pub(super) struct Switch {
    /// The value of `sec-websocket-accept`.
    pub(super) accept: String,
    /// The value of `sec-websocket-protocol`, if it is to be there.
    pub(super) subprotocol: Option<String>,
    /// The value of `sec-websocket-extensions`, if it is to be there.
    pub(super) extensions: Option<String>,
    pub(super) upgrade: Upgrade,
}

/// The parts of its connection that a request for a WebSocket takes along.
#[derive(Clone)]
pub(crate) struct OfConnection {
    pub(crate) heads: Arc<Heads>,
    /// Among those of its listener.
    pub(crate) place: Option<Arc<Place>>,
}
