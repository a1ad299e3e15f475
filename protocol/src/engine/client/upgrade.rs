//! Moving a session from long-polling to WebSocket (protocol v4, "Upgrade").
//!
//! ```text
//!   Dialing --- the WebSocket is there: `2probe` ---> Probing --- `3probe` ---> Pausing --- no request is in
//!                                                                               flight any more: `5` ---> moved
//! ```
//!
//! A failure on the way leaves the session where it is. While it pauses, nothing is sent or polled, so no
//! message overtakes another.

use super::{Transport, open};
use crate::engine::client::{ClientSession, ClientTransmit};
use crate::engine::error::EngineError;
use crate::engine::request::RequestId;
use crate::engine::transport::TransportKind;
use crate::message::WireMessage;
use crate::time::Instant;
use bytes::Bytes;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stage {
    Dialing,
    Probing,
    Pausing,
}

#[derive(Clone, Debug)]
pub(super) struct Upgrade {
    pub(super) websocket: RequestId,
    pub(super) stage: Stage,
    pub(super) deadline: Instant,
}

impl ClientSession {
    pub(super) fn begin_upgrade(&mut self, now: Instant) {
        let websocket = self.fresh_id();
        let deadline = now + self.config.upgrade_timeout;
        self.upgrade = Some(Upgrade { websocket, stage: Stage::Dialing, deadline });
        let sid = self.handshake.as_ref().map(|handshake| handshake.sid.clone());
        let target = open::target(&self.config, TransportKind::WebSocket, &mut self.random, sid.as_deref());
        self.control.push_back(ClientTransmit::OpenWebSocket { websocket, target });
    }

    /// Returns whether polling pauses for the upgrade.
    pub(super) fn is_moving(&self) -> bool {
        self.upgrade.as_ref().is_some_and(Upgrade::is_moving)
    }

    /// A WebSocket has opened. False if it is not the one that this session moves to.
    pub(super) fn begin_probe(&mut self, websocket: RequestId) -> bool {
        let Some(upgrade) = self.upgrade.as_mut().filter(|upgrade| upgrade.websocket == websocket) else {
            return false;
        };
        if upgrade.stage == Stage::Dialing {
            upgrade.stage = Stage::Probing;
            let message = WireMessage::Text(Bytes::from_static(b"2probe"));
            self.control.push_back(ClientTransmit::Write { websocket, message, compress: false });
        }
        true
    }

    /// A message on a WebSocket that is not in use.
    pub(super) fn handle_probe(&mut self, websocket: RequestId, message: &WireMessage) {
        let Some(upgrade) = self.upgrade.as_mut().filter(|upgrade| upgrade.websocket == websocket) else {
            return;
        };
        let answered = matches!(message, WireMessage::Text(text) if text == "3probe".as_bytes());
        if answered && upgrade.stage == Stage::Probing {
            upgrade.stage = Stage::Pausing;
            self.move_on();
        } else if !answered {
            self.give_upgrade_up(Some(EngineError::Probe));
        }
    }

    /// Moves, if polling has come to rest.
    pub(super) fn move_on(&mut self) {
        let rests = self.poll.is_none() && self.post.is_none() && !self.reading;
        if !rests || !self.is_moving() || !self.is_open() {
            return;
        }
        if let Some(upgrade) = self.upgrade.take() {
            let websocket = upgrade.websocket;
            let message = WireMessage::Text(Bytes::from_static(b"5"));
            self.control.push_back(ClientTransmit::Write { websocket, message, compress: false });
            self.transport = Transport::WebSocket(websocket);
            self.upgraded = true;
        }
    }

    /// The WebSocket is gone: there is nothing to close. The session stays where it is.
    pub(super) fn lose_upgrade(&mut self, error: EngineError) {
        self.upgrade = None;
        self.upgrade_failed = Some(error);
    }

    /// The session stays where it is.
    pub(super) fn give_upgrade_up(&mut self, error: Option<EngineError>) {
        if let Some(Upgrade { websocket, stage, .. }) = self.upgrade.take() {
            self.control.push_back(if stage == Stage::Dialing {
                ClientTransmit::Abort { request: websocket }
            } else {
                ClientTransmit::CloseWebSocket { websocket, code: None }
            });
            self.upgrade_failed = error;
        }
    }
}
