//! Clients that know no rules.

use super::ClientId;
use super::coverage::Situation;
use super::scenario::Raw;
use super::world::{Heard, World};
use crate::engine::request::RequestId;
use crate::message::WireMessage;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use bytes::Bytes;

const PATH: &str = "/socket.io/?EIO=4";

/// The knowledge of a raw client.
#[derive(Clone, Debug, Default)]
pub(super) struct RawState {
    sid: Option<String>,
    open: Vec<RequestId>,
    websockets: Vec<RequestId>,
}

impl RawState {
    fn listen(&mut self, world: &mut World, client: ClientId) {
        for (id, heard) in world.raw_heard(client) {
            match heard {
                Heard::Response { body, .. } => {
                    self.open.retain(|open| *open != id);
                    self.handshake(&body);
                }
                Heard::Message(WireMessage::Text(text)) => self.handshake(&text),
                Heard::Message(WireMessage::Binary(_)) | Heard::Opened => {}
                Heard::Ended => {
                    self.open.retain(|open| *open != id);
                    self.websockets.retain(|open| *open != id);
                }
            }
        }
    }

    fn handshake(&mut self, body: &[u8]) {
        let text = String::from_utf8_lossy(body);
        if let Some(rest) = text.strip_prefix("0{\"sid\":\"") {
            self.sid = rest.split('"').next().map(ToString::to_string);
        }
    }

    fn target(&self, transport: &str) -> String {
        let sid = self.sid.as_ref().map(|sid| format!("&sid={sid}")).unwrap_or_default();
        format!("{PATH}&transport={transport}{sid}")
    }

    fn get(&mut self, world: &mut World, client: ClientId) {
        let target = self.target("polling");
        self.open.extend(world.raw_request(client, "GET", &target, false, None));
    }

    fn post(&mut self, world: &mut World, client: ClientId, body: Bytes) {
        let target = self.target("polling");
        self.open.extend(world.raw_request(client, "POST", &target, false, Some(body)));
    }

    fn websocket(&mut self, world: &mut World, client: ClientId) -> Option<RequestId> {
        let target = self.target("websocket");
        let id = world.raw_request(client, "GET", &target, true, None)?;
        self.websockets.push(id);
        Some(id)
    }

    /// Says something on its WebSocket if it has one, by a POST otherwise.
    fn say(&mut self, world: &mut World, client: ClientId, text: Bytes) {
        match self.websockets.last() {
            Some(websocket) => world.raw_write(client, *websocket, WireMessage::Text(text)),
            None => self.post(world, client, text),
        }
    }

    pub(super) fn act(&mut self, world: &mut World, client: ClientId, raw: Raw) {
        self.listen(world, client);
        match raw {
            Raw::Open => {
                self.sid = None;
                self.get(world, client);
            }
            Raw::OpenWebSocket => {
                self.sid = None;
                self.websocket(world, client);
            }
            Raw::Join => self.say(world, client, Bytes::from_static(b"40")),
            Raw::Poll(count) => (0..count).for_each(|_| self.get(world, client)),
            Raw::Post(count, garbage) => {
                if garbage {
                    world.coverage().note(Situation::Garbage);
                }
                let body = if garbage { "4x\x1e\x1e9" } else { "42[\"raw\",\"hello\"]" };
                (0..count).for_each(|_| self.post(world, client, Bytes::from_static(body.as_bytes())));
            }
            Raw::Upgrade(count) => {
                world.coverage().note(Situation::HalfUpgrade);
                if count > 1 {
                    world.coverage().note(Situation::DoubleUpgrade);
                }
                for _ in 0..count {
                    if let Some(websocket) = self.websocket(world, client) {
                        world.raw_write(client, websocket, WireMessage::Text(Bytes::from_static(b"2probe")));
                    }
                }
            }
            Raw::Move => {
                for websocket in self.websockets.clone() {
                    world.raw_write(client, websocket, WireMessage::Text(Bytes::from_static(b"5")));
                }
            }
            Raw::Garbage(bits) => {
                world.coverage().note(Situation::Garbage);
                let garbage: Bytes = bits.to_le_bytes().to_vec().into();
                for websocket in self.websockets.clone() {
                    let message = if bits % 2 == 0 {
                        WireMessage::Text(garbage.clone())
                    } else {
                        WireMessage::Binary(garbage.clone())
                    };
                    world.raw_write(client, websocket, message);
                }
            }
            Raw::Pong => self.say(world, client, Bytes::from_static(b"3")),
            Raw::Abort => self.stop(world, client),
            Raw::Unknown => {
                let target = format!("{PATH}&transport=polling&sid=nobody");
                self.open.extend(world.raw_request(client, "GET", &target, false, None));
            }
        }
    }

    /// Leaves without a word.
    pub(super) fn stop(&mut self, world: &mut World, client: ClientId) {
        self.listen(world, client);
        for request in self.open.drain(..).chain(self.websockets.drain(..)) {
            world.raw_abort(client, request);
        }
    }
}
