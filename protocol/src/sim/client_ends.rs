//! The clients' ends of the links: their wishes, and what reaches them. An adapter, but for the sockets.

use super::coverage::Situation;
use super::link::{Channel, Item, Lane};
use super::world::{Happening, Heard, Machine, World};
use super::{App, ClientId};
use crate::engine::EngineError;
use crate::engine::client::{ClientTransmit, Method};
use crate::engine::request::RequestId;
use crate::message::WireMessage;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use bytes::Bytes;
use core::fmt::Write as _;

impl World {
    /// Does what a client wants done. True if there was anything.
    pub(super) fn serve_client(&mut self, client: ClientId, app: &mut dyn App) -> bool {
        let mut busy = false;
        loop {
            let Some(node) = self.nodes.get_mut(client.0).filter(|node| node.asleep_until.is_none()) else {
                return busy;
            };
            let Machine::Manager(manager) = &mut node.machine else { return busy };
            if let Some(transmit) = manager.poll_transmit() {
                busy = true;
                self.client_wants(client, transmit);
            } else if let Some(event) = manager.poll_event() {
                busy = true;
                self.trace.note(self.now, b'e', client.0 as u64, &[], |line| {
                    let text = format!("{event:?}");
                    write!(line, "c{} * {}", client.0, text.get(..160).unwrap_or(&text))
                });
                app.client_event(self, client, event);
            } else if !self.report_unwritten(client) {
                return busy;
            }
        }
    }

    /// Tells a client how much of what it wrote is not away yet. True if that changes what it may do.
    fn report_unwritten(&mut self, client: ClientId) -> bool {
        let Some(node) = self.nodes.get_mut(client.0) else { return false };
        let Machine::Manager(manager) = &mut node.machine else { return false };
        let Some((_, number)) = node.open.iter().find(|(id, _)| manager.is_on(**id)) else { return false };
        let Some(lane) = self.channels.get_mut(number).map(|channel| &mut channel.up) else { return false };
        let unwritten = lane.bytes.saturating_sub(node.link.buffer);
        if unwritten > 0 && lane.reported != unwritten {
            self.coverage.note(Situation::Unwritten);
        }
        lane.reported = unwritten;
        manager.handle_unwritten(unwritten);
        manager.has_transmit()
    }

    fn client_wants(&mut self, client: ClientId, transmit: ClientTransmit) {
        match transmit {
            ClientTransmit::Request { request, method, target, body, .. } => {
                let method = if method == Method::Get { "GET" } else { "POST" };
                self.request(client, request, method, target, false, Some(body));
            }
            ClientTransmit::OpenWebSocket { websocket, target } => {
                self.request(client, websocket, "GET", target, true, None);
            }
            ClientTransmit::Abort { request: id } | ClientTransmit::CloseWebSocket { websocket: id, .. } => {
                let Some(number) = self.nodes.get_mut(client.0).and_then(|node| node.open.remove(&id)) else {
                    return self.fail("what is given up was open", format!("client {}: {id:?}", client.0));
                };
                self.send(number, true, Item::Close(None));
                if let Some(channel) = self.channels.get_mut(&number) {
                    channel.client_open = false;
                    channel.down.queue.clear();
                    channel.down.arrived = 0;
                }
                self.forget_if_over(number);
            }
            ClientTransmit::Write { websocket, message, .. } => {
                match self.nodes.get(client.0).and_then(|node| node.open.get(&websocket).copied()) {
                    Some(number) => self.send(number, true, Item::Message(message)),
                    None => self.fail("what is written to is open", format!("client {}", client.0)),
                }
            }
        }
    }

    fn request(
        &mut self,
        client: ClientId,
        id: RequestId,
        method: &'static str,
        target: String,
        websocket: bool,
        body: Option<Bytes>,
    ) -> u64 {
        let now = self.now;
        let number = self.open_channel(client, id, websocket, target.contains("sid="));
        let Some(node) = self.nodes.get_mut(client.0) else { return number };
        node.open.insert(id, number);
        let down = node.down.filter(|(until, _)| *until > now);
        let latency = node.link.latency;
        let replayed = method == "GET" && !websocket && target.contains("sid=") && node.replay_polls > 0;
        if let Some((_, refuses)) = down {
            if let Some(channel) = self.channels.get_mut(&number) {
                channel.server_open = false;
                channel.up.dead = true;
                channel.down.dead = true;
            }
            if refuses {
                self.coverage.note(Situation::Refused);
                self.plan(now + latency, Happening::Told { channel: number, client: true });
            } else {
                self.coverage.note(Situation::BlackHole);
            }
        } else if replayed {
            node.replay_polls -= 1;
            self.coverage.note(Situation::ReplayedPoll);
            let ghost = self.open_channel(client, id, false, false);
            if let Some(channel) = self.channels.get_mut(&ghost) {
                channel.client_open = false;
                channel.ghost = true;
            }
            let target = target.clone();
            self.send(ghost, true, Item::Head { method, target, websocket, length: 0 });
        }
        let length = body.as_ref().map_or(0, Bytes::len);
        self.send(number, true, Item::Head { method, target, websocket, length });
        if let (Some(body), "POST") = (body, method) {
            self.send(number, true, Item::Body(body));
        }
        number
    }

    fn open_channel(&mut self, client: ClientId, id: RequestId, websocket: bool, of_session: bool) -> u64 {
        self.last_channel += 1;
        self.channels.insert(
            self.last_channel,
            Channel {
                client,
                id,
                websocket,
                candidate: websocket && of_session,
                accepted: false,
                opened: false,
                wants_body: None,
                reached: false,
                ghost: false,
                session: None,
                client_open: true,
                server_open: true,
                up: Lane::default(),
                down: Lane::default(),
            },
        );
        self.last_channel
    }

    pub(super) fn client_receives(&mut self, client: ClientId, id: RequestId, number: u64, item: Item) {
        let Some(channel) = self.channels.get_mut(&number) else { return };
        let Some(node) = self.nodes.get_mut(client.0) else { return };
        let now = node.local(self.now);
        let (websocket, opened) = (channel.websocket, channel.opened);
        match &item {
            Item::Accepted => channel.opened = true,
            Item::Message(_) => {}
            _ => {
                channel.client_open = false;
                node.open.remove(&id);
            }
        }
        match (&mut node.machine, item) {
            (Machine::Manager(manager), Item::Response { status, body }) if websocket => {
                manager.handle_websocket_refused(now, id, status, &body);
            }
            (Machine::Manager(manager), Item::Response { status, body }) => {
                manager.handle_response(now, id, status, body);
            }
            (Machine::Manager(manager), Item::Accepted) => manager.handle_websocket_opened(now, id),
            (Machine::Manager(manager), Item::Message(message)) => manager.handle_websocket(now, id, message),
            (Machine::Manager(manager), _) if opened => manager.handle_websocket_closed(now, id, None),
            (Machine::Manager(manager), _) => {
                manager.handle_request_failed(now, id, EngineError::RequestFailed)
            }
            (Machine::Raw { heard, .. }, item) => heard.push((
                id,
                match item {
                    Item::Response { status, body } => Heard::Response { status, body },
                    Item::Accepted => Heard::Opened,
                    Item::Message(message) => Heard::Message(message),
                    _ => Heard::Ended,
                },
            )),
        }
    }

    // --- raw clients ------------------------------------------------------------------------------------------

    /// Makes a raw client send a request, with a body if it is a POST. None if that client is not raw.
    pub fn raw_request(
        &mut self,
        client: ClientId,
        method: &'static str,
        target: &str,
        websocket: bool,
        body: Option<Bytes>,
    ) -> Option<RequestId> {
        let Machine::Raw { last, .. } = &mut self.nodes.get_mut(client.0)?.machine else { return None };
        *last += 1;
        let id = RequestId(*last);
        self.request(client, id, method, target.into(), websocket, body);
        Some(id)
    }

    /// Makes a raw client write a message to its WebSocket.
    pub fn raw_write(&mut self, client: ClientId, websocket: RequestId, message: WireMessage) {
        if let Some(number) = self.nodes.get(client.0).and_then(|node| node.open.get(&websocket).copied()) {
            self.send(number, true, Item::Message(message));
        }
    }

    /// Makes a raw client give up a request or close a WebSocket.
    pub fn raw_abort(&mut self, client: ClientId, request: RequestId) {
        if self.nodes.get(client.0).is_some_and(|node| node.open.contains_key(&request)) {
            self.client_wants(client, ClientTransmit::Abort { request });
        }
    }

    /// Takes all that a raw client was told since the last call.
    pub fn raw_heard(&mut self, client: ClientId) -> Vec<(RequestId, Heard)> {
        match self.nodes.get_mut(client.0).map(|node| &mut node.machine) {
            Some(Machine::Raw { heard, .. }) => core::mem::take(heard),
            _ => Vec::new(),
        }
    }
}
