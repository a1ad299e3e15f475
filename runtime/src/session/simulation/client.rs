//! The client of a play: polls and posts, a WebSocket, and its way from one to the other.

use super::Streams;
use crate::base::in_memory::{self, FarEnd, NearEnd};
use crate::base::runtime::Stream;
use crate::base::upgrade::Switching;
use crate::session::handle::{Answer, ConnectionPlace, SessionHandle, Upgrade};
use crate::websocket::{Incoming, Reader, Role, write_text};
use bytes::Bytes;
use futures_channel::oneshot;
use sansocket_protocol::engine::{Body, RequestHead, RequestId, Wants};
use std::collections::VecDeque;
use std::sync::Arc;

/// The length of a message of the client, and that of its frame.
pub(super) const MESSAGE: usize = 12;
pub(super) const FRAME: usize = 2 + 4 + 1 + MESSAGE;

/// The client's behaviour on a WebSocket that its session could move to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Switchover {
    Completes,
    /// It probes, and never says more.
    Hesitates,
    /// It sends a message where only a probe may be.
    Misbehaves,
    Ends,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Poll,
    Post,
    WebSocket(Switchover),
}

struct Request {
    id: RequestId,
    kind: Kind,
    answer: oneshot::Receiver<Answer>,
}

/// A WebSocket that HTTP has not let go of.
struct Pending {
    far: FarEnd,
    near: NearEnd,
    session: oneshot::Sender<Box<dyn Stream>>,
    switchover: Switchover,
}

struct WebSocket {
    far: FarEnd,
    reader: Reader,
    switchover: Switchover,
    is_greeted: bool,
    is_probed: bool,
    is_closed: bool,
    is_used: bool,
}

pub(super) struct Client {
    handle: Arc<SessionHandle>,
    streams: Streams,
    place: ConnectionPlace,
    next_request: u64,
    requests: Vec<Request>,
    pending: Vec<Pending>,
    websockets: Vec<WebSocket>,
    /// Packets to send.
    outbox: VecDeque<String>,
    pub(super) polls: bool,
    keeps: bool,
    kept: Vec<Bytes>,
    on_websocket: bool,
    asked: usize,
    delivered: usize,
    heard_answers: usize,
    heard_told: usize,
    /// It has heard that its session is open.
    pub(super) opened: bool,
    /// It has left, or has heard of the end.
    over: bool,
}

impl Client {
    pub(super) fn new(handle: Arc<SessionHandle>, streams: Streams) -> Self {
        Self {
            handle,
            streams,
            place: Arc::new(()),
            next_request: 0,
            requests: Vec::new(),
            pending: Vec::new(),
            websockets: Vec::new(),
            outbox: VecDeque::new(),
            polls: true,
            keeps: false,
            kept: Vec::new(),
            on_websocket: false,
            asked: 0,
            delivered: 0,
            heard_answers: 0,
            heard_told: 0,
            opened: false,
            over: false,
        }
    }

    // --- what it does -------------------------------------------------------------------------------------------

    pub(super) fn open(&mut self, on_websocket: bool) {
        self.on_websocket = on_websocket;
        let kind = if on_websocket { Kind::WebSocket(Switchover::Completes) } else { Kind::Poll };
        self.request(kind, "");
    }

    pub(super) fn ask(&mut self, waits: &[u16]) {
        if self.over {
            return;
        }
        for wait in waits {
            self.outbox.push_back(format!("4{:06}{wait:6}", self.asked));
            self.asked += 1;
        }
    }

    pub(super) fn leave(&mut self) {
        if !self.over {
            self.outbox.push_back("1".to_owned());
            self.send();
            self.over = true;
        }
    }

    /// It loses its WebSocket, if it is on one.
    pub(super) fn lose(&mut self, end: impl Fn(&FarEnd)) {
        self.over |= self.on_websocket;
        self.websockets().for_each(end);
    }

    pub(super) fn abort_poll(&mut self) {
        let Some(at) = self.requests.iter().position(|request| request.kind == Kind::Poll) else { return };
        let Request { id, .. } = self.requests.remove(at);
        let now = self.handle.now();
        // As the gate does when the connection of a request goes away.
        let sender = self.handle.with_inner(|inner| {
            inner.machine.handle_request_aborted(now, id);
            inner.take_request(id)
        });
        assert!(sender.is_some(), "the session has forgotten a request that waits");
    }

    pub(super) fn keep_bodies(&mut self, keeps: bool) {
        self.keeps = keeps;
        if !keeps {
            self.kept.clear();
        }
    }

    pub(super) fn begin_upgrade(&mut self, switchover: Switchover) {
        if !self.on_websocket && !self.over {
            self.request(Kind::WebSocket(switchover), "&sid=an+id");
        }
    }

    /// HTTP lets go of the WebSockets, or their connections fail.
    pub(super) fn let_go(&mut self, fails: bool) {
        for Pending { far, near, session, switchover } in self.pending.drain(..) {
            if fails {
                continue;
            }
            // The session may have ended.
            let _ = session.send(Box::new(near));
            let reader = Reader::new(Role::Client, usize::MAX);
            self.websockets.push(WebSocket {
                far,
                reader,
                switchover,
                is_greeted: false,
                is_probed: false,
                is_closed: false,
                is_used: false,
            });
        }
    }

    fn request(&mut self, kind: Kind, rest: &str) {
        self.next_request += 1;
        let id = RequestId(self.next_request);
        let (sender, answer) = oneshot::channel();
        let (method, transport, headers): (_, _, &[_]) = match kind {
            Kind::Poll => ("GET", "polling", &[]),
            Kind::Post => ("POST", "polling", &[]),
            Kind::WebSocket(_) => {
                ("GET", "websocket", &[("connection", "upgrade"), ("upgrade", "websocket")])
            }
        };
        let target = format!("/engine.io/?EIO=4&transport={transport}{rest}");
        let now = self.handle.now();
        let wants = self.handle.with_inner(|inner| {
            if inner.is_ended() {
                return None;
            }
            inner.waiting_mut().requests.push((id, sender));
            let head = RequestHead { method, target: &target, headers: &headers };
            Some(inner.machine.handle_request(now, id, &head))
        });
        let Some(wants) = wants else {
            self.over = true;
            return;
        };
        self.requests.push(Request { id, kind, answer });
        if let (Kind::Post, Wants::Body { .. }) = (kind, wants) {
            let packets: Vec<String> = self.outbox.drain(..).collect();
            self.delivered += packets.iter().filter(|packet| packet.starts_with('4')).count();
            let body = Body::Complete(packets.join("\x1e").into());
            self.handle.with(|machine| machine.handle_body(now, id, body));
        }
    }

    /// Sends what waits, if it may now.
    fn send(&mut self) -> bool {
        if self.outbox.is_empty() || self.over {
            return false;
        }
        if self.on_websocket {
            let Some(used) = self.websockets.iter().find(|websocket| websocket.is_used) else { return false };
            for packet in self.outbox.drain(..) {
                self.delivered += usize::from(packet.starts_with('4'));
                used.send(&packet);
            }
            return true;
        }
        let may_post = self.may_post();
        if may_post {
            self.request(Kind::Post, "&sid=an+id");
        }
        may_post
    }

    /// Returns whether it may send a POST: it is on polling, and all that it has sent were answered.
    pub(super) fn may_post(&self) -> bool {
        let posts = self.requests.iter().any(|request| request.kind == Kind::Post);
        !self.on_websocket && !self.over && !self.is_switching() && !posts
    }

    // --- what it hears ------------------------------------------------------------------------------------------

    /// Takes what has come, and does what follows. Returns whether there was anything.
    pub(super) fn goes_on(&mut self) -> bool {
        let heard = self.hear_answers() | self.hear_websockets();
        let sent = self.switch_over() | self.send();
        let polls = self.polls && !self.on_websocket && !self.over && !self.is_switching();
        let polls = polls && !self.requests.iter().any(|request| request.kind == Kind::Poll);
        if polls {
            self.request(Kind::Poll, "&sid=an+id");
        }
        heard | sent | polls
    }

    fn hear_answers(&mut self) -> bool {
        let mut heard = false;
        for mut request in std::mem::take(&mut self.requests) {
            match request.answer.try_recv() {
                Ok(None) => {
                    self.requests.push(request);
                    continue;
                }
                Ok(Some(answer)) => self.hear_answer(request, answer),
                Err(oneshot::Canceled) => {
                    assert!(self.handle.lock().is_ended(), "the answer of a session that lives was dropped");
                    self.over = true;
                }
            }
            heard = true;
        }
        heard
    }

    fn hear_answer(&mut self, request: Request, answer: Answer) {
        match (request.kind, answer) {
            (Kind::WebSocket(switchover), Answer::Switch) => self.accept(request.id, switchover),
            (Kind::WebSocket(_), Answer::Respond(_)) => {}
            (Kind::Poll, Answer::Respond(response)) if response.status == 200 => {
                let body = response.body;
                let text = String::from_utf8(body.to_vec()).expect("UTF-8");
                text.split('\x1e').for_each(|packet| self.hear(packet));
                if self.keeps {
                    self.kept.push(body);
                }
            }
            (Kind::Post, Answer::Respond(response)) if response.status == 200 => {}
            (Kind::Poll | Kind::Post, Answer::Respond(_) | Answer::Abort) => self.over = true,
            (Kind::WebSocket(_), Answer::Abort) => {}
            (Kind::Poll | Kind::Post, Answer::Switch) => panic!("a request of another kind was answered"),
        }
    }

    /// As the gate does with a request that is answered with 101.
    fn accept(&mut self, id: RequestId, switchover: Switchover) {
        let (near, far) = in_memory::stream();
        far.send_in_pieces(self.streams.most_per_read);
        far.keep_until_flushed(self.streams.most_kept);
        let (session, stream) = oneshot::channel();
        let place = Some(self.place.clone());
        let upgrade = Upgrade { stream: Switching::Later(stream), held: None, place, deflate: None };
        let left = self.handle.with_inner(|inner| {
            if inner.is_ended() {
                return Some(upgrade);
            }
            inner.waiting_mut().upgrades.push((id, upgrade));
            None
        });
        if left.is_none() {
            self.pending.push(Pending { far, near, session, switchover });
        }
        if self.on_websocket {
            self.let_go(false);
            self.websockets.iter_mut().for_each(|websocket| websocket.is_used = true);
        }
    }

    fn hear_websockets(&mut self) -> bool {
        let mut packets = Vec::new();
        let mut heard = false;
        for websocket in &mut self.websockets {
            let mut bytes = websocket.far.take();
            heard |= !bytes.is_empty();
            let (is_probed, is_closed) = (&mut websocket.is_probed, &mut websocket.is_closed);
            let fed = websocket.reader.feed(&mut bytes, &mut |item| match item {
                Incoming::Text(text) if &text[..] == b"3probe" => *is_probed = true,
                Incoming::Text(text) => packets.push(String::from_utf8(text.into()).expect("UTF-8")),
                Incoming::Close(_) => *is_closed = true,
                Incoming::Binary(_) | Incoming::Ping(_) | Incoming::Pong => panic!("nobody sends such"),
            });
            fed.expect("frames");
            websocket.is_closed |= websocket.far.is_closed();
            self.over |= websocket.is_used && websocket.is_closed;
        }
        packets.iter().for_each(|packet| self.hear(packet));
        heard
    }

    fn hear(&mut self, packet: &str) {
        match packet.split_at(packet.len().min(2)) {
            ("4r", number) => {
                assert_eq!(number, format!("{:06}", self.heard_answers), "answers come in order, and once");
                self.heard_answers += 1;
            }
            ("4s", text) => {
                assert_eq!(text[..6], format!("{:06}", self.heard_told), "messages come in order, and once");
                self.heard_told += 1;
            }
            ("2", _) => self.outbox.push_front("3".to_owned()),
            ("1", _) => self.over = true,
            ("6", _) => {}
            (open, _) if open.starts_with('0') => self.opened = true,
            (other, _) => panic!("the server sent {other:?}"),
        }
    }

    /// Goes on with the way from polling to a WebSocket.
    fn switch_over(&mut self) -> bool {
        let waits = self.requests.iter().any(|request| matches!(request.kind, Kind::Poll | Kind::Post));
        let mut went_on = false;
        for websocket in self.websockets.iter_mut().filter(|websocket| !websocket.is_used) {
            if !std::mem::replace(&mut websocket.is_greeted, true) {
                went_on = true;
                match websocket.switchover {
                    Switchover::Completes | Switchover::Hesitates => websocket.send("2probe"),
                    Switchover::Misbehaves => websocket.send("4hello"),
                    Switchover::Ends => websocket.far.end(),
                }
            }
            let completes = websocket.switchover == Switchover::Completes && !self.on_websocket;
            if completes && websocket.is_probed && !websocket.is_closed && !waits && !self.over {
                websocket.send("5");
                websocket.is_used = true;
                self.on_websocket = true;
                went_on = true;
            }
        }
        went_on
    }

    // --- what it knows ------------------------------------------------------------------------------------------

    /// It has been told that its session may move to a WebSocket: it does not poll meanwhile.
    fn is_switching(&self) -> bool {
        self.websockets.iter().any(|websocket| {
            let completes = websocket.switchover == Switchover::Completes;
            completes && websocket.is_probed && !websocket.is_used && !websocket.is_closed
        })
    }

    pub(super) fn websockets(&self) -> impl Iterator<Item = &FarEnd> {
        self.websockets.iter().filter(|websocket| websocket.is_used).map(|websocket| &websocket.far)
    }

    pub(super) fn candidates(&self) -> impl Iterator<Item = &FarEnd> {
        self.websockets.iter().filter(|websocket| !websocket.is_used).map(|websocket| &websocket.far)
    }

    /// Returns whether all that the session has for it comes to it.
    pub(super) fn reads(&self) -> bool {
        if self.over {
            return false;
        }
        if self.on_websocket {
            return self.websockets().any(FarEnd::reads);
        }
        self.requests.iter().any(|request| request.kind == Kind::Poll)
    }

    /// Returns whether bodies or streams keep bytes that the session has given away.
    pub(super) fn keeps_anything(&self) -> bool {
        !self.kept.is_empty() || (self.streams.most_kept > 0 && !self.websockets().all(FarEnd::reads))
    }

    /// Returns whether it keeps a body that counts as unread: small ones do not.
    pub(super) fn keeps_a_large_body(&self) -> bool {
        self.kept.iter().any(|body| body.len() > 4096)
    }

    /// The bytes that its session has not read from the WebSocket in use, while it goes on.
    pub(super) fn unread(&self) -> Option<usize> {
        let used = self.websockets().next().filter(|_| !self.over);
        used.map(FarEnd::unread)
    }

    pub(super) fn delivered(&self) -> usize {
        self.delivered
    }

    pub(super) fn heard_answers(&self) -> usize {
        self.heard_answers
    }

    pub(super) fn heard_told(&self) -> usize {
        self.heard_told
    }

    pub(super) fn waiting_requests(&self) -> usize {
        self.requests.len()
    }

    pub(super) fn look(&self) -> String {
        let unread: Vec<_> = self.websockets.iter().map(|websocket| websocket.far.unread()).collect();
        let ends = self.websockets.iter().filter(|websocket| websocket.far.is_closed()).count();
        let [delivered, answers, told] = [self.delivered, self.heard_answers, self.heard_told];
        let pending = self.pending.iter().filter(|pending| !pending.session.is_canceled()).count();
        let places = Arc::strong_count(&self.place);
        format!(
            "{delivered} delivered, {answers} answers, {told} told, {unread:?} unread, {ends} ended, {pending} pending, \
             {places} places"
        )
    }

    /// Each WebSocket that the session does not use has a place, and no other.
    pub(super) fn check_places(&self) {
        let pending = self.pending.iter().filter(|pending| !pending.session.is_canceled()).count();
        let candidates = self.candidates().filter(|far| !far.is_closed()).count();
        assert_eq!(Arc::strong_count(&self.place) - 1, pending + candidates, "places of WebSockets");
        assert!(candidates <= 2, "{candidates} WebSockets of one session");
    }

    /// Nothing is left.
    pub(super) fn check_end(&mut self) {
        assert_eq!(self.requests.len(), 0, "requests without an answer");
        assert!(self.websockets.iter().all(|websocket| websocket.far.is_closed()), "a WebSocket is left");
        assert_eq!(Arc::strong_count(&self.place), 1, "a place is left");
    }
}

impl WebSocket {
    fn send(&self, packet: &str) {
        let mut out = Vec::new();
        write_text(&mut out, Some([1, 2, 3, 4]), packet.as_bytes());
        self.far.send(&out);
    }
}
