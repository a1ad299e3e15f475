//! Clients on long-polling behind a load balancer that sends each request to the next node: requests for sessions of other
//! nodes are passed on. The sessions are models; what must reach them, and come back, is the nodes' affair.

use super::bus::Flight;
use super::member::{FORWARDED, Machine, TIMEOUT};
use super::play::Play;
use crate::cluster::node::{ForwardId, NodeEvent, RequestName};
use crate::cluster::{ForwardedAnswer, ForwardedRequest};
use crate::engine::{NodeMark, RequestHead, Response};
use crate::random::Random;
use crate::time::Instant;
use alloc::collections::{BTreeMap, BTreeSet, VecDeque};
use alloc::format;
use alloc::string::{String, ToString};
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::time::Duration;

/// A request of a client: its client, the number of its session, and whether it is a POST.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Asked {
    client: usize,
    session: u64,
    is_post: bool,
}

/// One who waits for the answer of a session.
enum Waits {
    Here(Asked),
    Elsewhere(RequestName),
}

/// A client, and its session at a node.
struct Client {
    /// The number of its sessions so far.
    session: u64,
    id: Arc<str>,
    /// The node of the session, and the process that it was.
    owner: (usize, u64),
    begun: Instant,
    /// The last number that the client has heard, and that it has posted.
    heard: u64,
    posted: u64,
    /// Its requests on the way.
    open: BTreeMap<Asked, Option<(usize, u64, ForwardId)>>,
    /// The session at its node.
    sent: u64,
    queue: VecDeque<u64>,
    poll: Option<Waits>,
    taken: u64,
    is_over: bool,
}

impl Client {
    fn new(session: u64, id: &str, owner: (usize, u64), begun: Instant) -> Self {
        Self {
            session,
            id: id.into(),
            owner,
            begun,
            heard: 0,
            posted: 0,
            open: BTreeMap::new(),
            sent: 0,
            queue: VecDeque::new(),
            poll: None,
            taken: 0,
            is_over: false,
        }
    }
}

/// The clients of a cluster whose nodes pass requests on.
#[derive(Default)]
pub(super) struct Balanced {
    clients: Vec<Client>,
    /// The node that gets the next request.
    next: usize,
    has_closed: bool,
    /// Requests whose clients have gone: that they have ended may be on its way.
    given_up: BTreeSet<(usize, u64, ForwardId)>,
    /// The requests that were answered by way of another node.
    pub(super) passed_on: u64,
}

/// The request of a client, by the head that it has.
fn request(id: &str, is_post: bool) -> Option<ForwardedRequest> {
    let target = format!("/socket.io/?EIO=4&transport=polling&sid={id}");
    let method = if is_post { "POST" } else { "GET" };
    ForwardedRequest::of(&RequestHead { method, target: &target, headers: &[] })
}

impl Play {
    /// Lets clients come.
    pub(super) fn balance(&mut self, clients: usize) {
        for client in 0..clients {
            let client_of_none = Client { is_over: true, ..Client::new(0, "", (0, 0), self.now) };
            self.balanced.clients.push(client_of_none);
            self.bus.at(self.now + Duration::from_millis(2_000), Flight::Client(client, 0));
        }
    }

    /// The node that the balancer chooses: it knows which processes are gone.
    fn choose(&mut self) -> Option<usize> {
        let count = self.members.len();
        for _ in 0..count {
            self.balanced.next = (self.balanced.next + 1) % count;
            if let Machine::Ours(_) = self.members[self.balanced.next].machine {
                return Some(self.balanced.next);
            }
        }
        None
    }

    /// A client does something: it begins, posts, or its session has something for it.
    pub(super) fn client_acts(&mut self, client: usize, session: u64) {
        if self.balanced.has_closed || self.balanced.clients[client].session != session {
            return;
        }
        if self.balanced.clients[client].is_over {
            self.client_begins(client);
        } else if self.bus.dice.percent(50) {
            self.session_sends(client);
        } else {
            self.client_asks(client, true);
        }
        let session = self.balanced.clients[client].session;
        let after = Duration::from_millis(self.bus.dice.between(1, 900));
        self.bus.at(self.now + after, Flight::Client(client, session));
    }

    fn client_begins(&mut self, client: usize) {
        let Some(at) = self.choose() else { return };
        let Machine::Ours(node) = &self.members[at].machine else { return };
        let id = NodeMark::of(node.name()).put_into(Random::new(self.bus.dice.key()).id());
        let (before, now) = (&mut self.balanced.clients[client], self.now);
        let owner = (at, self.members[at].life);
        *before = Client::new(before.session + 1, &id, owner, now);
        self.client_asks(client, false);
    }

    /// A client sends a request, if the one before it is answered.
    fn client_asks(&mut self, client: usize, is_post: bool) {
        let (session, id) = {
            let client = &self.balanced.clients[client];
            (client.session, client.id.clone())
        };
        let asked = Asked { client, session, is_post };
        if self.balanced.clients[client].open.contains_key(&asked) {
            return;
        }
        let Some(at) = self.choose() else { return self.client_loses(client, "no node is there") };
        let body = if is_post {
            self.balanced.clients[client].posted += 1;
            self.balanced.clients[client].posted.to_string()
        } else {
            String::new()
        };
        self.balanced.clients[client].open.insert(asked, None);
        let life = self.members[at].life;
        if self.balanced.clients[client].owner == (at, life) {
            return self.session_takes(client, Waits::Here(asked), is_post, &body);
        }
        let Some(request) = request(&id, is_post).map(|request| request.with_body(body.into())) else {
            return self.judge.fail(self.now, "an id with a mark can be passed on", id.to_string());
        };
        let Machine::Ours(node) = &mut self.members[at].machine else { return };
        match node.open_forward(self.now, &id, request.body.len()) {
            Ok(forward) => {
                self.balanced.clients[client].open.insert(asked, Some((at, life, forward)));
                let request = node.encoder().forward(request);
                node.send_forward(self.now, forward, request);
                self.bus.at(self.now + TIMEOUT * 2 + FORWARDED, Flight::Overdue(asked, (at, life, forward)));
                self.pump(at);
            }
            Err(error) => self.client_loses(client, &error.to_string()),
        }
    }

    /// A request has waited for its answer longer than any may.
    pub(super) fn client_overdue(&mut self, asked: Asked, place: (usize, u64, ForwardId)) {
        let client = &self.balanced.clients[asked.client];
        if client.open.get(&asked) == Some(&Some(place)) && !self.balanced.has_closed {
            self.judge.fail(self.now, "a request that is passed on ends", format!("{asked:?}"));
        }
    }

    /// News of requests, told by a node.
    pub(super) fn forward_event(&mut self, at: usize, event: NodeEvent) {
        match event {
            NodeEvent::Forwarded { forward, outcome } => {
                let life = self.members[at].life;
                let place = Some((at, life, forward));
                let found = self.balanced.clients.iter().enumerate().find_map(|(number, client)| {
                    let (asked, _) = client.open.iter().find(|(_, open)| **open == place)?;
                    Some((number, *asked))
                });
                if self.balanced.given_up.remove(&(at, life, forward)) {
                    return;
                }
                let Some((client, asked)) = found else {
                    let detail = format!("{forward:?} at {at}");
                    return self.judge.fail(self.now, "a request that is passed on ends once", detail);
                };
                if let Machine::Ours(node) = &mut self.members[at].machine {
                    node.close_forward(self.now, forward);
                }
                match outcome {
                    Ok(response) => {
                        self.balanced.passed_on += 1;
                        self.client_hears(client, asked, &response);
                    }
                    Err(error) => {
                        self.balanced.clients[client].open.remove(&asked);
                        self.client_loses(client, &error.to_string());
                    }
                }
            }
            NodeEvent::Request { name, request } => {
                let owner = (at, self.members[at].life);
                let found = self.balanced.clients.iter().position(|client| client.id == request.session);
                let body = String::from_utf8_lossy(&request.body).into_owned();
                match found.filter(|client| !self.balanced.clients[*client].is_over) {
                    Some(client) if self.balanced.clients[client].owner == owner => {
                        self.session_takes(client, Waits::Elsewhere(name), request.is_post, &body);
                    }
                    // Two nodes may have one mark; it has given its session up meanwhile.
                    found if found.is_none() || self.has_mark_of(at, &request.session) => {
                        self.answer(at, name, ForwardedAnswer::NoSession)
                    }
                    _ => self.judge.fail(self.now, "the node of the session is asked", format!("{at}")),
                }
            }
            NodeEvent::RequestOver { name } => {
                let owner = (at, self.members[at].life);
                let waits = |client: &Client| {
                    client.owner == owner
                        && matches!(client.poll, Some(Waits::Elsewhere(poll)) if poll == name)
                };
                if let Some(client) = self.balanced.clients.iter().position(waits) {
                    self.client_loses(client, "its poll is over");
                }
            }
            _ => {}
        }
    }

    fn has_mark_of(&self, at: usize, session: &str) -> bool {
        match &self.members[at].machine {
            Machine::Ours(node) => NodeMark::in_id(session) == Some(NodeMark::of(node.name())),
            Machine::Peer(_) | Machine::Gone => false,
        }
    }

    /// The process of a node is gone, and with it the connections of clients to it.
    pub(super) fn connections_break(&mut self, at: usize) {
        let process = (at, self.members[at].life);
        for client in 0..self.balanced.clients.len() {
            let of_client = &self.balanced.clients[client];
            let is_on = |place: &Option<(usize, u64, ForwardId)>| match place {
                Some((at, life, _)) => (*at, *life) == process,
                None => of_client.owner == process,
            };
            if of_client.open.values().any(is_on) {
                self.client_loses(client, "its connection breaks");
            }
        }
    }

    fn answer(&mut self, at: usize, name: RequestName, answer: ForwardedAnswer) {
        let Machine::Ours(node) = &mut self.members[at].machine else { return };
        let answer = node.encoder().forward_answer(answer);
        node.answer_request(self.now, name, answer);
        self.pump(at);
    }

    /// A session takes a request.
    fn session_takes(&mut self, client: usize, waits: Waits, is_post: bool, body: &str) {
        let session = &mut self.balanced.clients[client];
        if !is_post {
            if session.poll.is_some() {
                let detail = format!("client {client}");
                return self.judge.fail(self.now, "a session gets each request once", detail);
            }
            session.poll = Some(waits);
            return self.session_answers(client);
        }
        session.taken += 1;
        if body != session.taken.to_string() {
            let detail = format!("{body} is number {} of client {client}", session.taken);
            return self.judge.fail(self.now, "what clients post comes once and in order", detail);
        }
        self.respond(client, waits, Response::posted().body("ok"));
    }

    fn session_sends(&mut self, client: usize) {
        let session = &mut self.balanced.clients[client];
        let (at, life) = session.owner;
        if self.members[at].life != life || matches!(self.members[at].machine, Machine::Gone) {
            return;
        }
        session.sent += 1;
        session.queue.push_back(session.sent);
        self.session_answers(client);
    }

    /// Answers the poll of a session, if there is something for it.
    fn session_answers(&mut self, client: usize) {
        let session = &mut self.balanced.clients[client];
        if session.queue.is_empty() {
            return;
        }
        let Some(waits) = session.poll.take() else { return };
        let numbers: Vec<String> = session.queue.drain(..).map(|number| number.to_string()).collect();
        self.respond(client, waits, Response::poll(numbers.join(" ").into()));
    }

    fn respond(&mut self, client: usize, waits: Waits, response: Response) {
        let (at, _) = self.balanced.clients[client].owner;
        match waits {
            Waits::Here(asked) => self.client_hears(client, asked, &response),
            Waits::Elsewhere(name) => self.answer(at, name, ForwardedAnswer::Response(response)),
        }
    }

    /// A client has its answer.
    fn client_hears(&mut self, client: usize, asked: Asked, response: &Response) {
        let of_client = &mut self.balanced.clients[client];
        if of_client.open.remove(&asked).is_none() || of_client.session != asked.session {
            return self.judge.fail(self.now, "a request is answered once", format!("{asked:?}"));
        }
        if response.status != 200 {
            return self.client_loses(client, "it is refused");
        }
        let body = String::from_utf8_lossy(&response.body).into_owned();
        if asked.is_post {
            if body != "ok" {
                self.judge.fail(self.now, "each request has its own answer", format!("{asked:?}: {body}"));
            }
            return;
        }
        for number in body.split(' ') {
            let of_client = &mut self.balanced.clients[client];
            of_client.heard += 1;
            if number != of_client.heard.to_string() {
                let detail = format!("{number} is number {} at client {client}", of_client.heard);
                return self.judge.fail(self.now, "what clients hear comes once and in order", detail);
            }
        }
        self.client_asks(client, false);
    }

    /// A client has an error for an answer: its session is over, and it begins anew.
    fn client_loses(&mut self, client: usize, reason: &str) {
        let of_client = &mut self.balanced.clients[client];
        if core::mem::replace(&mut of_client.is_over, true) {
            return;
        }
        let (begun, open) = (of_client.begun, core::mem::take(&mut of_client.open));
        for (at, life, forward) in open.into_values().flatten() {
            self.balanced.given_up.insert((at, life, forward));
            let member = &mut self.members[at];
            if let (Machine::Ours(node), true) = (&mut member.machine, member.life == life) {
                node.close_forward(self.now, forward);
                self.pump(at);
            }
        }
        if !self.balanced.has_closed {
            self.judge.session_lost(self.now, begun, client, reason);
        }
    }

    /// All clients go.
    pub(super) fn clients_go(&mut self) {
        self.balanced.has_closed = true;
        for client in 0..self.balanced.clients.len() {
            self.client_loses(client, "it goes");
        }
    }

    /// Nothing of their requests is left.
    pub(super) fn judge_forwards(&mut self) {
        for at in 0..self.members.len() {
            let Machine::Ours(node) = &self.members[at].machine else { continue };
            let counts = node.counts();
            if (counts.forwards, counts.forwarded_here) != (0, 0) {
                let detail = format!("{} and {} at {at}", counts.forwards, counts.forwarded_here);
                self.judge.fail(self.now, "no request that was passed on is left", detail);
            }
        }
    }
}
