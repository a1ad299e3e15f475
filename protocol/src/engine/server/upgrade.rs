//! Moving from long-polling to a WebSocket (protocol v4, "Upgrade").

use super::channel::Channel;
use super::{NOOP, NOOP_INTERVAL, State, Transport};
use crate::engine::packet::EnginePacket;
use crate::engine::server::ServerSession;
use crate::message::WireMessage;
use crate::time::Instant;
use bytes::Bytes;

/// The most probes of one channel. Their answers do not pass the send budget, so they are few.
const MAX_PROBES: u8 = 16;

/// The move of a polling session to a channel.
#[derive(Clone, Copy, Debug)]
pub(super) struct Upgrade {
    pub(super) channel: Channel,
    pub(super) probes: u8,
    pub(super) deadline: Instant,
    pub(super) noop_at: Instant,
    /// Its request says that the client takes no bytes.
    pub(super) base64: bool,
}

impl ServerSession {
    pub(super) fn may_upgrade(&self) -> bool {
        self.state == State::Open
            && self.transport == Transport::Polling
            && self.upgrade.is_none()
            && self.config.allow_upgrades
            && self.config.transports.websocket
    }

    /// Returns whether a session that goes on is on a channel, or is moving to one.
    pub(super) fn has_channel(&self) -> bool {
        self.state != State::Closed && (self.transport != Transport::Polling || self.upgrade.is_some())
    }

    /// A packet on the channel that the session is moving to (protocol v4, "Upgrade").
    pub(super) fn handle_probe(&mut self, now: Instant, message: WireMessage) {
        let packet = match message {
            WireMessage::Text(text) => EnginePacket::decode(text).ok(),
            WireMessage::Binary(_) => None,
        };
        let Some(upgrade) = &mut self.upgrade else { return };
        let Upgrade { channel, base64, .. } = **upgrade;
        match packet {
            Some(EnginePacket::Ping(data)) if data == "probe" && upgrade.probes < MAX_PROBES => {
                upgrade.noop_at = upgrade.noop_at.min(now + NOOP_INTERVAL);
                upgrade.probes = upgrade.probes.saturating_add(1);
                let message = WireMessage::Text(Bytes::from_static(b"3probe"));
                self.control.push_back(channel.write(message, true));
            }
            // With or without a probe before it: that it came shows that the way is open (.NET's client sends none).
            Some(EnginePacket::Upgrade) => {
                // A well-behaved client has stopped polling by now. The answer has the form of polls: a script is a call.
                if let Some(poll) = self.poll.take() {
                    self.release_poll(poll, &[NOOP]);
                }
                self.form.begin_channel(base64);
                self.upgrade = None;
                self.transport = Transport::Channel(channel);
                self.upgraded = true;
            }
            _ => self.drop_upgrade(),
        }
    }

    pub(super) fn drop_upgrade(&mut self) {
        if let Some(upgrade) = self.upgrade.take() {
            self.control.push_back(upgrade.channel.close(None));
        }
    }
}
