//! Clients of Engine.IO 3, as those of Socket.IO 1.x and 2.x: they keep the rules of their revision, and are in the same rooms
//! as the others.

use super::coverage::Situation;
use super::play::{Play, SLACK};
use super::world::{Heard, World};
use super::{ClientId, SessionId};
use crate::engine::packet::EnginePacket;
use crate::engine::payload::v3;
use crate::engine::request::RequestId;
use crate::message::{Frame, WireMessage};

use crate::socket::{Packet, PacketType, Part, Reassembly};
use crate::time::Instant;
use alloc::collections::VecDeque;
use alloc::format;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use bytes::Bytes;
use core::time::Duration;

/// A client of Engine.IO 3, by its transport.
#[derive(Debug, Default)]
pub(super) struct OldClient {
    websocket: bool,
    /// The session, once it is open.
    sid: Option<String>,
    /// The socket that the server has let it in with.
    pub(super) wire: Option<Arc<str>>,
    reassembly: Reassembly,
    /// Its WebSocket, or the poll that waits.
    reading: Option<RequestId>,
    /// The POST that waits for its answer, and what follows it.
    posting: Option<RequestId>,
    unsent: VecDeque<Bytes>,
    heard: Instant,
    ping_at: Instant,
    say_at: Instant,
    open_at: Instant,
}

impl OldClient {
    pub(super) fn new(websocket: bool) -> Self {
        Self { websocket, ..Self::default() }
    }

    pub(super) fn due(&self) -> Instant {
        if self.reading.is_none() { self.open_at } else { self.ping_at.min(self.say_at) }
    }

    fn target(&self) -> String {
        let transport = if self.websocket { "websocket" } else { "polling&b64=1" };
        let sid = self.sid.as_ref().map(|sid| format!("&sid={sid}")).unwrap_or_default();
        format!("/socket.io/?EIO=3&transport={transport}{sid}")
    }

    fn read(&mut self, world: &mut World, client: ClientId) {
        self.reading = world.raw_request(client, "GET", &self.target(), self.websocket, None);
    }

    /// Gives up what it has, and begins anew at that time.
    pub(super) fn lose(&mut self, world: &mut World, client: ClientId, open_at: Instant) {
        for request in self.reading.take().into_iter().chain(self.posting.take()) {
            world.raw_abort(client, request);
        }
        *self = Self { open_at, ..Self::new(self.websocket) };
    }

    fn write(&mut self, world: &mut World, client: ClientId, message: WireMessage) {
        if self.websocket {
            if let Some(websocket) = self.reading {
                let message = match message {
                    WireMessage::Binary(data) => WireMessage::Binary([&[4], &data[..]].concat().into()),
                    text => text,
                };
                world.raw_write(client, websocket, message);
            }
            return;
        }
        let mut payload = v3::PayloadEncoder::with_capacity(v3::Form::Text, 0);
        match message {
            WireMessage::Text(text) => payload.text(&text),
            WireMessage::Binary(data) => payload.binary(&data),
        }
        self.unsent.push_back(payload.finish());
        self.post(world, client);
    }

    fn post(&mut self, world: &mut World, client: ClientId) {
        if self.posting.is_none() && self.sid.is_some() {
            if let Some(body) = self.unsent.pop_front() {
                self.posting = world.raw_request(client, "POST", &self.target(), false, Some(body));
            }
        }
    }

    fn emit(&mut self, world: &mut World, client: ClientId, frame: &Frame) {
        let text = frame.text().cloned().map(WireMessage::Text);
        let data = frame.attachments().iter().cloned().map(WireMessage::Binary);
        for message in text.into_iter().chain(data) {
            self.write(world, client, message);
        }
    }
}

impl Play<'_> {
    /// A session is one of an old client's, which knows it by its id.
    pub(super) fn old_opens(&mut self, world: &mut World, session: SessionId) {
        if let Some(connection) = world.server().connection(session) {
            self.old_sessions.insert(connection.id().clone(), session);
        }
    }

    /// Lets a client do what is due.
    pub(super) fn old_wakes(&mut self, world: &mut World, client: ClientId) {
        let (now, settings) = (world.now(), self.settings());
        let (interval, timeout) = (settings.ping_interval, settings.ping_timeout);
        let Some(mut old) = self.olds.remove(&client) else { return };
        if old.reading.is_none() {
            if old.open_at <= now {
                (old.heard, old.ping_at) = (now, now + interval);
                old.say_at = now + Duration::from_millis(200 + self.dice.below(1_000));
                old.open_at = Instant::FAR_FUTURE;
                old.read(world, client);
            }
        } else if now > old.heard + interval + timeout + SLACK {
            old.lose(world, client, now + SLACK);
        } else {
            if old.ping_at <= now {
                old.ping_at = now + interval;
                old.write(world, client, WireMessage::Text(Bytes::from_static(b"2")));
            }
            if old.say_at <= now {
                old.say_at = now + Duration::from_millis(100 + self.dice.below(1_500));
                self.old_says(world, client, &mut old);
            }
        }
        self.olds.insert(client, old);
    }

    fn old_says(&mut self, world: &mut World, client: ClientId, old: &mut OldClient) {
        let Some(id) = old.wire.clone().filter(|_| !self.healed) else { return };
        let size = usize::try_from(self.dice.below(200)).unwrap_or(0);
        let (number, frame) = self.frame("m", "/", None, size, size % 3 == 0);
        if let Some(wire) = self.model.wires.get_mut(&id) {
            wire.up.send(number);
            old.emit(world, client, &frame);
            world.coverage().note(Situation::OldEmit);
        }
    }

    /// Takes what a client was told.
    pub(super) fn old_listens(&mut self, world: &mut World, client: ClientId) {
        for (id, heard) in world.raw_heard(client) {
            let Some(mut old) = self.olds.remove(&client) else { return };
            let is_post = old.posting == Some(id);
            if is_post || old.reading == Some(id) {
                self.old_hears(world, client, &mut old, heard, is_post);
            }
            self.olds.insert(client, old);
        }
    }

    fn old_hears(
        &mut self,
        world: &mut World,
        client: ClientId,
        old: &mut OldClient,
        heard: Heard,
        is_post: bool,
    ) {
        let again = world.now() + Duration::from_millis(300);
        match heard {
            Heard::Opened => {}
            Heard::Message(message) => {
                let packet = match message {
                    WireMessage::Text(text) => EnginePacket::decode_v3(text).ok(),
                    WireMessage::Binary(data) => EnginePacket::decode_v3_binary(data),
                };
                self.old_takes(world, client, old, packet);
            }
            Heard::Response { status: 200, .. } if is_post => {
                old.posting = None;
                old.post(world, client);
            }
            Heard::Response { status: 200, body } => {
                old.reading = None;
                for packet in v3::PayloadDecoder::new(v3::Form::Text, body) {
                    self.old_takes(world, client, old, packet.ok());
                }
                if old.open_at == Instant::FAR_FUTURE {
                    old.read(world, client);
                }
            }
            Heard::Response { .. } | Heard::Ended => {
                if is_post {
                    old.posting = None;
                } else {
                    old.reading = None;
                }
                old.lose(world, client, again);
            }
        }
    }

    fn old_takes(
        &mut self,
        world: &mut World,
        client: ClientId,
        old: &mut OldClient,
        packet: Option<EnginePacket>,
    ) {
        old.heard = world.now();
        let packet = match packet {
            Some(EnginePacket::Open(json)) => {
                let text = String::from_utf8_lossy(&json).into_owned();
                let sid = text.strip_prefix("{\"sid\":\"").and_then(|rest| rest.split('"').next());
                old.sid = sid.map(Into::into);
                return old.post(world, client);
            }
            Some(EnginePacket::Message(message)) => self.parser().part(message).and_then(|part| match part {
                Part::Packet(packet) => {
                    let packet = self.parser().decode(packet)?;
                    old.reassembly.start(packet, usize::MAX, usize::MAX)
                }
                Part::Attachment(data) => old.reassembly.push(data),
            }),
            Some(EnginePacket::Close) => return old.lose(world, client, world.now() + SLACK),
            Some(_) => return,
            None => return world.fail("an old client reads all that it is sent", format!("{client:?}")),
        };
        match packet {
            Ok(Some(packet)) => self.old_packet(world, client, old, packet),
            Ok(None) => {}
            Err(error) => world.fail("an old client reads all that it is sent", format!("{error}")),
        }
    }

    fn old_packet(&mut self, world: &mut World, client: ClientId, old: &mut OldClient, packet: Packet) {
        match packet.kind() {
            PacketType::Connect => {
                let session = old.sid.as_deref().and_then(|sid| self.old_sessions.get(sid)).copied();
                let mut wires = self.model.wires.iter();
                old.wire = wires.find(|(_, wire)| Some(wire.session) == session).map(|(id, _)| id.clone());
                world.coverage().note(Situation::OldJoined);
            }
            PacketType::Event | PacketType::BinaryEvent => self.old_event(world, client, old, packet),
            // Let in nowhere, or not any more.
            PacketType::ConnectError | PacketType::Disconnect => {
                old.lose(world, client, world.now() + Duration::from_millis(300));
            }
            _ => {}
        }
    }

    fn old_event(&mut self, world: &mut World, client: ClientId, old: &mut OldClient, packet: Packet) {
        let ack = packet.id();
        let args = packet.into_args();
        let wire = old.wire.as_ref().and_then(|id| self.model.wires.get_mut(id));
        let (Some(wire), Ok(number)) = (wire, args.get::<u64>(0)) else {
            return world.fail("an event arrives as it was sent", format!("{args:?} at {client:?}"));
        };
        if args.attachments().first().is_some_and(|data| *data != Self::data(number, data.len())) {
            return world.fail("an attachment stays with its event", format!("{number}"));
        }
        if let Err(detail) = wire.down.arrive(number, &self.model.unsure) {
            return world.fail("what the server emits arrives once, in order, without gaps", detail);
        }
        world.coverage().note(Situation::OldHeard);
        if let Some(Ok(frame)) = ack.map(|id| self.parser().ack("/", id, &(number,))) {
            old.emit(world, client, &frame);
        }
    }

    /// Every one is let in again once it can be, and has lost nothing since.
    pub(super) fn judge_old(&mut self, world: &mut World) {
        let olds: Vec<_> = self.olds.iter().map(|(client, old)| (*client, old.wire.clone())).collect();
        for (client, id) in olds {
            let Some(wire) = id.as_ref().and_then(|id| self.model.wires.get(id)) else {
                return world.fail("a client comes back once it can", format!("{client:?}"));
            };
            let missing = (wire.up.missing(&self.model.unsure), wire.down.missing(&self.model.unsure));
            if !missing.0.is_empty() || !missing.1.is_empty() {
                return world
                    .fail("nothing is lost on a wire that lives", format!("{client:?}: {missing:?}"));
            }
        }
    }
}
