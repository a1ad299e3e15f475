//! The links, and the server's end of them: an adapter, but for the sockets. The clients' ends are in `client_ends.rs`.

use super::coverage::Situation;
use super::link::{Cut, Item, When};
use super::server::Session;
use super::world::{Happening, Heard, Machine, World};
use super::{App, ClientId, SessionId};
use crate::engine::request::{RequestHead, RequestId, Response};
use crate::engine::server::{Body, ServerTransmit, Wants};
use crate::engine::{EngineError, TransportKind};
use crate::message::WireMessage;
use crate::server::{Connection, Route, ServerEvent};
use crate::socket::server::ServerSocketEvent;
use alloc::format;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt::Write as _;
use core::time::Duration;

const UPGRADE: [(&str, &str); 2] = [("connection", "Upgrade"), ("upgrade", "websocket")];
/// The close code of a connection that broke.
const BROKEN: u16 = 1006;

impl World {
    // --- on the way -------------------------------------------------------------------------------------------

    /// Puts something on its way, where it may break off.
    pub(super) fn send(&mut self, number: u64, up: bool, item: Item) {
        let now = self.now;
        let Some(channel) = self.channels.get_mut(&number) else { return };
        let client = channel.client;
        let candidate = channel.candidate;
        let lane = channel.lane(up);
        let size = item.size();
        let place = lane.sent;
        lane.sent += 1;
        if lane.dead {
            lane.bytes += size;
            return self.note_item(b'd', number, client, up, &item);
        }
        let Some(node) = self.nodes.get_mut(client.0) else { return };
        let hit = node.armed.iter_mut().position(|(cut, left)| match cut.when {
            When::Now => false,
            When::Bytes { up: direction, .. } => {
                let hit = direction == up && *left < size;
                if direction == up {
                    *left = left.saturating_sub(size);
                }
                hit
            }
            When::Attachment { up: direction } => {
                direction == up && matches!(item, Item::Message(WireMessage::Binary(_)))
            }
            When::Upgrade { up: direction, message } => {
                direction == up && candidate && matches!(item, Item::Message(_)) && place == message + 1
            }
            When::Post => matches!(item, Item::Body(_)),
            When::Response => matches!(item, Item::Response { .. }),
        });
        if let Some(hit) = hit {
            let (cut, _) = node.armed.remove(hit);
            lane.bytes += size;
            self.note_item(b'd', number, client, up, &item);
            let situation = match item {
                Item::Body(_) => Some(Situation::PostCut),
                Item::Response { .. } => Some(Situation::ResponseCut),
                Item::Message(WireMessage::Binary(_)) => Some(Situation::AttachmentCut),
                _ => None,
            };
            if let Some(situation) = situation {
                self.coverage.note(situation);
            }
            return self.break_off(client, Some((number, up)), cut);
        }
        let jitter = node.dice.below(u64::try_from(node.link.jitter.as_micros()).unwrap_or(0) + 1);
        let travel = node.link.latency + Duration::from_micros(jitter);
        let takes = (size as u64).saturating_mul(1000) / u64::from(node.link.bytes_per_ms.max(1));
        lane.last_arrival = lane.last_arrival.max(now + travel) + Duration::from_micros(takes);
        lane.bytes += size;
        let arrival = lane.last_arrival;
        self.note_item(b'd', number, client, up, &item);
        if let Some(channel) = self.channels.get_mut(&number) {
            channel.lane(up).queue.push_back(item);
        }
        self.plan(arrival, Happening::Arrival { channel: number, up });
    }

    /// Connections of a client break: what is on its way on them does not arrive, but for what was sent before on
    /// the very lane that broke.
    pub(super) fn break_off(&mut self, client: ClientId, cause: Option<(u64, bool)>, cut: Cut) {
        let now = self.now;
        self.fresh_cuts.push(client);
        self.coverage.note(Situation::Cut);
        let Some(node) = self.nodes.get_mut(client.0) else { return };
        if cut.down > Duration::ZERO {
            node.down = Some((now + cut.down, cut.refuses));
        }
        let (polling, awaits) = match &node.machine {
            Machine::Manager(manager) => {
                (manager.transport() == Some(TransportKind::Polling), manager.awaits_ack())
            }
            Machine::Raw { .. } => (false, false),
        };
        let mut mine: Vec<u64> =
            self.channels.iter().filter(|(_, channel)| channel.client == client).map(|(n, _)| *n).collect();
        if !cut.all {
            let only = cause.map(|(number, _)| number).or(mine.first().copied());
            mine.retain(|number| Some(*number) == only);
        }
        if awaits {
            self.coverage.note(Situation::AckPendingAtCut);
        }
        for number in mine {
            let Some(channel) = self.channels.get_mut(&number) else { continue };
            if channel.candidate && polling && channel.client_open {
                self.coverage.note(Situation::CutInUpgrade);
            }
            for up in [true, false] {
                let lane = channel.lane(up);
                lane.dead = true;
                if cause != Some((number, up)) {
                    lane.queue.clear();
                    lane.arrived = 0;
                }
            }
            if !channel.reached && channel.up.queue.is_empty() {
                channel.server_open = false;
            }
            let (up, down) = (channel.up.last_arrival, channel.down.last_arrival);
            let caused_by = cause.filter(|(at, _)| *at == number).map(|(_, up)| up);
            if let Some(after) = cut.client_told {
                let at = (now + after).max(if caused_by == Some(false) { down } else { now });
                self.plan(at, Happening::Told { channel: number, client: true });
            }
            if let Some(after) = cut.server_told {
                let at = (now + after).max(if caused_by == Some(true) { up } else { now });
                self.plan(at, Happening::Told { channel: number, client: false });
            }
        }
        self.remark(&format!("cut of c{}: {cut:?}", client.0));
    }

    /// An end is told that its connection broke.
    pub(super) fn tell(&mut self, number: u64, to_client: bool) {
        let now = self.now;
        let Some(channel) = self.channels.get_mut(&number) else { return };
        let Some(node) = self.nodes.get_mut(channel.client.0) else { return };
        let wait = if to_client { node.asleep_until } else { self.server.paused_until };
        if let Some(until) = wait {
            return self.plan(until, Happening::Told { channel: number, client: to_client });
        }
        self.trace.note(now, b'x', number << 1 | u64::from(to_client), &[], |line| {
            write!(line, "{} is told that #{number} broke", if to_client { "c" } else { "srv" })
        });
        if to_client && channel.client_open {
            channel.client_open = false;
            node.open.remove(&channel.id);
            let (id, local) = (channel.id, node.local(now));
            match &mut node.machine {
                Machine::Manager(manager) if channel.opened => {
                    manager.handle_websocket_closed(local, id, Some(BROKEN))
                }
                Machine::Manager(manager) => {
                    manager.handle_request_failed(local, id, EngineError::RequestFailed)
                }
                Machine::Raw { heard, .. } => heard.push((id, Heard::Ended)),
            }
        } else if !to_client && channel.server_open {
            channel.server_open = false;
            let accepted = channel.accepted;
            if let Some(connection) = channel.session.and_then(|session| self.server.connection(session)) {
                if accepted {
                    connection.handle_websocket_closed(now, RequestId(number), Some(BROKEN));
                } else {
                    connection.handle_request_aborted(now, RequestId(number));
                }
            }
        }
        self.forget_if_over(number);
    }

    /// Notes the session that is at work.
    #[cfg_attr(not(feature = "record"), expect(clippy::unused_self))]
    pub(super) fn works(&mut self, id: SessionId) {
        #[cfg(feature = "record")]
        {
            self.kept.at_work = Some(id);
        }
        #[cfg(not(feature = "record"))]
        let _ = id;
    }

    // --- the server's end -------------------------------------------------------------------------------------

    pub(super) fn server_receives(&mut self, number: u64, item: Item) {
        let now = self.now;
        let Some(channel) = self.channels.get_mut(&number) else { return };
        let (accepted, wants_body) = (channel.accepted, channel.wants_body);
        if let Item::Head { method, target, websocket, length } = item {
            channel.reached = true;
            return self.server_request(number, method, &target, websocket, length);
        }
        if matches!(item, Item::Close(_)) {
            channel.server_open = false;
        }
        let Some(session) = channel.session else { return };
        self.works(session);
        let Some(session) = self.server.sessions.get_mut(&session) else { return };
        session.heard = now;
        let id = RequestId(number);
        let connection = &mut session.connection;
        match item {
            Item::Body(body) => {
                if let Some(limit) = wants_body {
                    let body = if body.len() > limit { Body::TooLarge } else { Body::Complete(body) };
                    connection.handle_body(now, id, body);
                    // Whoever brings a body may take the answer along, or leave it to the session's owner.
                    let along = (number % 2 == 0).then(|| connection.poll_response(id)).flatten();
                    if let Some(response) = along {
                        self.respond(number, *response);
                    }
                }
            }
            Item::Message(message) if accepted => connection.handle_websocket(now, id, message),
            Item::Close(_) if accepted => connection.handle_websocket_closed(now, id, None),
            Item::Close(_) => connection.handle_request_aborted(now, id),
            _ => {}
        }
    }

    fn server_request(
        &mut self,
        number: u64,
        method: &'static str,
        target: &str,
        websocket: bool,
        length: usize,
    ) {
        let now = self.now;
        let Some(client) = self.channels.get(&number).map(|channel| channel.client) else { return };
        let length = format!("{length}");
        let post = [("content-length", length.as_str())];
        let head = match (websocket, method) {
            (true, _) => RequestHead { method, target, headers: &UPGRADE },
            (false, "POST") => RequestHead { method, target, headers: &post },
            (false, _) => RequestHead { method, target, headers: &[] },
        };
        let id = match self.server.router.route(&head) {
            Route::Pass => return self.respond(number, Response::new(404)),
            Route::Reply(response) => {
                self.coverage.note(Situation::UnknownSession);
                return self.respond(number, response);
            }
            Route::Open(grant) => {
                let id = SessionId(self.server.last_session + 1);
                let sid = match self.server.router.register(None, |_| id) {
                    Ok(sid) => sid,
                    Err(error) => return self.respond(number, error.response(&grant)),
                };
                self.server.last_session = id.0;
                let (config, sockets) = (self.server.config.clone(), self.server.sockets.clone());
                #[cfg_attr(not(feature = "record"), expect(unused_mut))]
                let mut connection = Connection::new(now, grant.revision, config, sid, Some(sockets));
                #[cfg(feature = "record")]
                self.kept.begin(&mut connection, id);
                let session = Session { connection, heard: now, orphan: None, client };
                self.server.sessions.insert(id, session);
                let situation = if websocket { Situation::WebSocket } else { Situation::Polling };
                self.coverage.note(situation);
                id
            }
            Route::Session(id) => id,
        };
        self.works(id);
        let Some(session) = self.server.sessions.get_mut(&id) else {
            return self.fail("the router lists no session that is gone", format!("{id:?}"));
        };
        session.heard = now;
        let wants = session.connection.handle_request(now, RequestId(number), &head);
        if let Some(channel) = self.channels.get_mut(&number) {
            channel.session = Some(id);
            if channel.ghost {
                self.server.tainted.insert(id);
            }
            if let Wants::Body { limit } = wants {
                channel.wants_body = Some(limit);
            }
        }
    }

    fn respond(&mut self, number: u64, response: Response) {
        if let Some(channel) = self.channels.get_mut(&number) {
            if !channel.server_open {
                return;
            }
            channel.server_open = false;
            let item = Item::Response { status: response.status, body: response.body };
            self.send(number, false, item);
            self.forget_if_over(number);
        }
    }

    /// Does what a session wants done. True if there was anything.
    pub(super) fn serve_session(&mut self, id: SessionId, app: &mut dyn App) -> bool {
        let mut busy = false;
        self.works(id);
        loop {
            let Some(connection) = self.server.connection(id) else { return busy };
            if let Some(transmit) = connection.poll_transmit() {
                busy = true;
                self.server_wants(id, transmit);
            } else if let Some(event) = connection.poll_event() {
                busy = true;
                self.trace.note(self.now, b'E', id.0, &[], |line| {
                    let text = format!("{event:?}");
                    write!(line, "{:40}s{} * {}", "", id.0, text.get(..160).unwrap_or(&text))
                });
                let over = match &event {
                    ServerEvent::Socket(ServerSocketEvent::Disconnected { socket, .. }) => Some(*socket),
                    _ => None,
                };
                app.server_event(self, id, event);
                if let Some(socket) = over {
                    // Its rooms are visible to whoever handles the end.
                    self.server.leave(id, socket);
                }
            } else if !self.report_to_server(id) {
                break;
            }
        }
        let Some(connection) = self.server.connection(id) else { return busy };
        let (listed, finished, sid) =
            (connection.is_listed(), connection.is_finished(), connection.id().clone());
        if !listed {
            self.server.router.remove(&sid);
        }
        if finished {
            self.forget_session(id, &sid, listed);
        }
        busy
    }

    fn forget_session(&mut self, id: SessionId, sid: &Arc<str>, listed: bool) {
        if let Some(session) = self.server.sessions.remove(&id) {
            self.session_is_over(id, session);
        }
        if listed {
            self.fail("what is finished is not listed", format!("{sid}"));
        }
        let unanswered =
            self.channels.iter().find(|(_, channel)| channel.session == Some(id) && channel.server_open);
        if let Some((number, _)) = unanswered {
            let detail = format!("#{number} of s{}", id.0);
            self.fail("every request is answered before its session is forgotten", detail);
        }
    }

    /// Forgets a session; its recording must replay to the same.
    #[cfg_attr(not(feature = "record"), expect(clippy::needless_pass_by_value, clippy::unused_self))]
    pub(super) fn session_is_over(&mut self, id: SessionId, session: Session) {
        #[cfg(feature = "record")]
        {
            let mut session = session;
            if let Err(difference) = self.kept.check(&mut session.connection, id) {
                self.fail("a session replays as it was recorded", difference);
            }
        }
        #[cfg(not(feature = "record"))]
        let _ = (id, session);
    }

    fn report_to_server(&mut self, id: SessionId) -> bool {
        let Some(session) = self.server.sessions.get_mut(&id) else { return false };
        let connection = &mut session.connection;
        let in_use = self.channels.iter_mut().find(|(number, channel)| {
            channel.session == Some(id) && channel.accepted && connection.is_on(RequestId(**number))
        });
        let Some((_, channel)) = in_use else { return false };
        let buffer = self.nodes.get(channel.client.0).map_or(0, |node| node.link.buffer);
        let unwritten = channel.down.bytes.saturating_sub(buffer);
        if unwritten > 0 && channel.down.reported != unwritten {
            self.coverage.note(Situation::Unwritten);
        }
        channel.down.reported = unwritten;
        connection.handle_unwritten(self.now, unwritten);
        connection.has_transmit()
    }

    fn server_wants(&mut self, id: SessionId, transmit: ServerTransmit) {
        match transmit {
            ServerTransmit::Respond { request, response } => self.respond(request.0, *response),
            ServerTransmit::Abort { request: RequestId(number) }
            | ServerTransmit::CloseWebSocket { websocket: RequestId(number), .. } => {
                if let Some(channel) = self.channels.get_mut(&number).filter(|channel| channel.server_open) {
                    channel.server_open = false;
                    self.send(number, false, Item::Close(None));
                    self.forget_if_over(number);
                }
            }
            ServerTransmit::AcceptWebSocket { request } => {
                let now = self.now;
                let Some(channel) = self.channels.get_mut(&request.0).filter(|channel| channel.server_open)
                else {
                    return;
                };
                channel.accepted = true;
                self.send(request.0, false, Item::Accepted);
                if let Some(connection) = self.server.connection(id) {
                    connection.handle_websocket_opened(now, request);
                }
            }
            ServerTransmit::WriteTyped { websocket, kind, data, .. } => {
                if self.channels.get(&websocket.0).is_some_and(|channel| channel.server_open) {
                    let message = WireMessage::Binary([&[kind], &data[..]].concat().into());
                    self.send(websocket.0, false, Item::Message(message));
                }
            }
            ServerTransmit::Write { websocket, message, .. } => {
                if self.channels.get(&websocket.0).is_some_and(|channel| channel.server_open) {
                    self.send(websocket.0, false, Item::Message(message));
                }
            }
        }
    }
}
