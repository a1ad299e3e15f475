//! Requests for sessions of other nodes: who is asked, what comes of it, and what strangers on the bus can do to it.

use bytes::Bytes;
use sansocket_protocol::cluster::forward::{Forward, Said};
use sansocket_protocol::cluster::node::{
    Dialect, ForwardId, Node, NodeConfig, NodeEvent, NodeTransmit, RequestName,
};
use sansocket_protocol::cluster::{
    ForwardError, ForwardFailure, ForwardedAnswer, ForwardedRequest, Limits, Published, Sharded, Subscription,
};
use sansocket_protocol::engine::{NodeMark, RefusalCode, RequestHead, Response, Revision};
use sansocket_protocol::random::Random;
use sansocket_protocol::time::Instant;
use std::collections::{BTreeSet, VecDeque};
use std::time::Duration;

pub(super) const SECOND: Duration = Duration::from_secs(1);
/// The node that gets the requests.
pub(super) const ASKER: usize = 0;
/// The node that has the sessions.
pub(super) const OWNER: usize = 1;

/// Nodes on a bus in memory, whose messages wait until they are carried.
pub(super) struct Nodes {
    pub(super) now: Instant,
    pub(super) nodes: Vec<Node>,
    subscriptions: Vec<BTreeSet<String>>,
    waiting: VecDeque<Published>,
    /// Copies of each message about requests.
    copies: usize,
}

/// News of requests, as a node was told them.
#[derive(Debug, PartialEq)]
pub(super) enum Told {
    Request(RequestName, ForwardedRequest),
    Over(RequestName),
    Outcome(ForwardId, Result<Response, ForwardError>),
}

pub(super) fn config() -> NodeConfig {
    NodeConfig::default().with_forwards(true)
}

impl Nodes {
    pub(super) fn new(nodes: usize, config: &NodeConfig) -> Self {
        let dialect = Dialect::Heartbeats(Sharded::default());
        let node = |number| Node::new(config.clone(), dialect.clone(), Random::new([number as u8 + 1; 32]));
        let mut nodes = Self {
            now: Instant::from_millis(1),
            nodes: (0..nodes).map(node).collect(),
            subscriptions: vec![BTreeSet::new(); nodes],
            waiting: VecDeque::new(),
            copies: 1,
        };
        for at in 0..nodes.nodes.len() {
            nodes.nodes[at].open(nodes.now, "/");
            nodes.nodes[at].handle_bus_up(nodes.now);
        }
        nodes.settle();
        nodes
    }

    /// An id of a session of that node.
    pub(super) fn session(&self, at: usize) -> String {
        NodeMark::of(self.nodes[at].name()).put_into(Random::new([7; 32]).id())
    }

    pub(super) fn request(&self, at: usize, method: &str) -> ForwardedRequest {
        let target = format!("/socket.io/?EIO=4&transport=polling&sid={}&t=x", self.session(at));
        ForwardedRequest::of(&RequestHead { method, target: &target, headers: &[] }).unwrap()
    }

    /// Passes a request for a session of the owner on.
    fn forward(&mut self, request: ForwardedRequest) -> Result<ForwardId, ForwardError> {
        let now = self.now;
        let id = self.nodes[ASKER].open_forward(now, &request.session, request.body.len())?;
        self.send(id, request);
        Ok(id)
    }

    /// Sends a request that was opened.
    pub(super) fn send(&mut self, id: ForwardId, request: ForwardedRequest) {
        let asker = &mut self.nodes[ASKER];
        let request = asker.encoder().forward(request);
        asker.send_forward(self.now, id, request);
    }

    fn transmit(&mut self) {
        for (node, subscriptions) in self.nodes.iter_mut().zip(&mut self.subscriptions) {
            while let Some(transmit) = node.poll_transmit() {
                match transmit {
                    NodeTransmit::Subscribe(Subscription::Channel(name)) => drop(subscriptions.insert(name)),
                    NodeTransmit::Unsubscribe(Subscription::Channel(name)) => {
                        subscriptions.remove(&name);
                    }
                    NodeTransmit::Publish(one) => self.waiting.push_back(one),
                    other => panic!("{other:?}"),
                }
            }
        }
    }

    /// Carries all messages.
    pub(super) fn settle(&mut self) {
        self.transmit();
        while let Some(one) = self.waiting.pop_front() {
            let copies = if one.channel.contains("-http#") { self.copies } else { 1 };
            for _ in 0..copies {
                for (node, subscriptions) in self.nodes.iter_mut().zip(&self.subscriptions) {
                    if subscriptions.contains(&one.channel) {
                        node.handle_message(self.now, &one.channel, &one.payload);
                    }
                }
            }
            self.transmit();
        }
        self.nodes.iter().for_each(|node| assert_eq!(node.inconsistency(), None));
    }

    /// Lets time pass, with everything that is due meanwhile.
    pub(super) fn pass(&mut self, time: Duration) {
        let end = self.now + time;
        while self.now < end {
            let next = self.nodes.iter().filter_map(Node::poll_timeout).min();
            self.now = next.filter(|next| *next > self.now).unwrap_or(end).min(end);
            for node in &mut self.nodes {
                node.handle_timeout(self.now);
            }
            self.settle();
        }
    }

    /// The news of requests that a node was told since the last call.
    pub(super) fn told(&mut self, at: usize) -> Vec<Told> {
        self.settle();
        let events = std::iter::from_fn(|| self.nodes[at].poll_event());
        let told = events.filter_map(|event| match event {
            NodeEvent::Request { name, request } => Some(Told::Request(name, request)),
            NodeEvent::RequestOver { name } => Some(Told::Over(name)),
            NodeEvent::Forwarded { forward, outcome } => Some(Told::Outcome(forward, outcome)),
            _ => None,
        });
        told.collect()
    }

    /// The one request that has come to that node.
    fn asked(&mut self, at: usize) -> RequestName {
        match &self.told(at)[..] {
            [Told::Request(name, _)] => *name,
            other => panic!("{other:?}"),
        }
    }

    pub(super) fn answer(&mut self, at: usize, name: RequestName, answer: ForwardedAnswer) {
        let node = &mut self.nodes[at];
        let answer = node.encoder().forward_answer(answer);
        node.answer_request(self.now, name, answer);
    }

    /// Somebody says something to that node in the name of another.
    fn say(&mut self, from: &str, to: usize, number: u64, said: Said) {
        let payload = Forward { from: from.into(), number, said }.encode();
        self.say_bytes(to, payload);
    }

    fn say_bytes(&mut self, to: usize, payload: Bytes) {
        let channel = self.subscriptions[to].iter().find(|name| name.contains("-http#")).unwrap();
        self.nodes[to].handle_message(self.now, channel, &payload);
    }

    fn name(&self, at: usize) -> String {
        self.nodes[at].name().to_string()
    }

    /// Ends the requests of the asker, after which nothing may be held anywhere.
    pub(super) fn finish(mut self, open: &[ForwardId]) {
        for id in open {
            self.nodes[ASKER].close_forward(self.now, *id);
        }
        self.settle();
        for node in &self.nodes {
            let counts = node.counts();
            assert_eq!((counts.forwards, counts.forwarded_here), (0, 0));
        }
    }
}

fn poll(body: &'static [u8]) -> Response {
    // As a session answers.
    let name = "text/plain; charset=UTF-8";
    Response::new(200).header("content-type", name).header("cache-control", "no-store").body(body)
}

pub(super) fn answered(body: &'static [u8]) -> ForwardedAnswer {
    ForwardedAnswer::Response(poll(body))
}

/// The number of the latest request of the asker on the bus.
fn number_of(nodes: &Nodes) -> u64 {
    let request = nodes.waiting.iter().rev().find(|one| one.channel.contains("-http#")).unwrap();
    Forward::decode(&request.payload, &Limits::default()).unwrap().number
}

#[test]
fn a_request_is_answered_by_the_node_of_its_session() {
    let mut nodes = Nodes::new(3, &config());
    let get = nodes.forward(nodes.request(OWNER, "GET")).unwrap();
    let name = nodes.asked(OWNER);
    assert!(nodes.told(2).is_empty(), "nobody else is asked");
    let post = nodes.request(OWNER, "POST").with_body(Bytes::from_static(b"4\x00\xff"));
    let post_id = nodes.forward(post.clone()).unwrap();
    let [Told::Request(post_name, came)] = &nodes.told(OWNER)[..] else { panic!() };
    assert_eq!(*came, post);
    let post_name = *post_name;
    let posted =
        Response::new(200).header("content-type", "text/html").header("cache-control", "no-store").body("ok");
    nodes.answer(OWNER, post_name, ForwardedAnswer::Response(posted.clone()));
    assert_eq!(nodes.told(ASKER), [Told::Outcome(post_id, Ok(posted))]);
    nodes.answer(OWNER, name, answered(b"4hello"));
    assert_eq!(nodes.told(ASKER), [Told::Outcome(get, Ok(poll(b"4hello")))]);
    let counts = nodes.nodes[ASKER].counts();
    assert_eq!((counts.forwarded, counts.unforwarded, counts.forwards), (2, 0, 2));
    nodes.finish(&[get, post_id]);
}

#[test]
fn what_a_session_refuses_is_refused() {
    let mut nodes = Nodes::new(2, &config());
    let id = nodes.forward(nodes.request(OWNER, "GET")).unwrap();
    let name = nodes.asked(OWNER);
    let refusal = Response::refusal(RefusalCode::BadRequest);
    nodes.answer(OWNER, name, ForwardedAnswer::Response(refusal.clone()));
    assert_eq!(nodes.told(ASKER), [Told::Outcome(id, Ok(refusal))]);
    for (answer, error, status) in [
        (ForwardedAnswer::NoSession, ForwardError::NoSession, 400),
        (ForwardedAnswer::Failed(ForwardFailure::NoAnswer), ForwardError::NoAnswer, 503),
        (ForwardedAnswer::Failed(ForwardFailure::Busy), ForwardError::Busy, 503),
    ] {
        let id = nodes.forward(nodes.request(OWNER, "GET")).unwrap();
        let name = nodes.asked(OWNER);
        nodes.answer(OWNER, name, answer);
        assert_eq!(nodes.told(ASKER), [Told::Outcome(id, Err(error))]);
        assert_eq!(error.response().status, status);
    }
}

#[test]
fn a_poll_may_wait_for_long_once_it_is_taken() {
    let mut nodes = Nodes::new(2, &config());
    let id = nodes.forward(nodes.request(OWNER, "GET")).unwrap();
    let name = nodes.asked(OWNER);
    nodes.pass(60 * SECOND);
    assert_eq!((nodes.told(ASKER), nodes.told(OWNER)), (vec![], vec![]));
    nodes.answer(OWNER, name, answered(b"2"));
    assert_eq!(nodes.told(ASKER), [Told::Outcome(id, Ok(poll(b"2")))]);
    nodes.finish(&[id]);
}

#[test]
fn what_takes_too_long_ends_at_both_nodes() {
    let mut nodes = Nodes::new(2, &config());
    let id = nodes.forward(nodes.request(OWNER, "GET")).unwrap();
    let name = nodes.asked(OWNER);
    nodes.pass(130 * SECOND);
    assert_eq!(nodes.told(ASKER), [Told::Outcome(id, Err(ForwardError::Silent))]);
    assert_eq!(nodes.told(OWNER), [Told::Over(name)]);
    nodes.answer(OWNER, name, answered(b"late"));
    assert_eq!(nodes.told(ASKER), []);
    nodes.finish(&[id]);
}

#[test]
fn a_node_that_takes_no_such_requests_is_not_waited_for_long() {
    let mut nodes = Nodes::new(2, &config());
    let channel = nodes.subscriptions[OWNER].iter().find(|name| name.contains("-http#")).cloned();
    nodes.subscriptions[OWNER].remove(&channel.unwrap());
    let id = nodes.forward(nodes.request(OWNER, "GET")).unwrap();
    nodes.pass(6 * SECOND);
    assert_eq!(nodes.told(ASKER), [Told::Outcome(id, Err(ForwardError::Silent))]);
    assert_eq!(ForwardError::Silent.response().status, 503);
    assert_eq!(nodes.nodes[ASKER].counts().unforwarded, 1);
    nodes.finish(&[id]);
}

#[test]
fn a_session_of_no_node_that_is_there_is_unknown_at_once() {
    let mut nodes = Nodes::new(2, &config());
    for id in [NodeMark::of("nobody").put_into(Random::new([7; 32]).id()), nodes.session(ASKER)] {
        let opened = nodes.nodes[ASKER].open_forward(nodes.now, &id, 0);
        assert_eq!(opened, Err(ForwardError::NoOwner));
    }
    assert_eq!(ForwardError::NoOwner.response(), Response::refusal(RefusalCode::UnknownSession));
    let session = nodes.session(OWNER);
    assert_eq!(nodes.nodes[ASKER].open_forward(nodes.now, "short", 0), Err(ForwardError::NoOwner));
    nodes.nodes[OWNER].close(nodes.now, "/");
    nodes.settle();
    assert_eq!(nodes.nodes[ASKER].open_forward(nodes.now, &session, 0), Err(ForwardError::NoOwner));
}

#[test]
fn a_node_that_goes_answers_no_more_and_waits_no_more() {
    let mut nodes = Nodes::new(2, &config());
    let id = nodes.forward(nodes.request(OWNER, "GET")).unwrap();
    nodes.asked(OWNER);
    nodes.nodes[OWNER].close(nodes.now, "/");
    assert_eq!(nodes.told(ASKER), [Told::Outcome(id, Err(ForwardError::Gone))]);

    let mut nodes = Nodes::new(2, &config());
    nodes.forward(nodes.request(OWNER, "GET")).unwrap();
    let name = nodes.asked(OWNER);
    nodes.nodes[ASKER].close(nodes.now, "/");
    assert_eq!(nodes.told(OWNER), [Told::Over(name)]);

    // Without a word: it is not heard any more.
    let mut nodes = Nodes::new(2, &config());
    let id = nodes.forward(nodes.request(OWNER, "GET")).unwrap();
    nodes.asked(OWNER);
    nodes.pass(SECOND);
    nodes.nodes.truncate(1);
    nodes.pass(20 * SECOND);
    assert_eq!(nodes.told(ASKER), [Told::Outcome(id, Err(ForwardError::Gone))]);
}

#[test]
fn with_the_bus_away_requests_end_at_both_nodes() {
    let mut nodes = Nodes::new(2, &config());
    let id = nodes.forward(nodes.request(OWNER, "GET")).unwrap();
    let name = nodes.asked(OWNER);
    let session = nodes.session(OWNER);
    for node in &mut nodes.nodes {
        node.handle_bus_down(nodes.now);
    }
    assert_eq!(nodes.told(ASKER), [Told::Outcome(id, Err(ForwardError::BusAway))]);
    assert_eq!(nodes.told(OWNER), [Told::Over(name)]);
    assert_eq!(nodes.nodes[ASKER].open_forward(nodes.now, &session, 0), Err(ForwardError::BusAway));
    assert_eq!(ForwardError::BusAway.response().status, 503);
    // One that was opened before, and whose body has come meanwhile.
    let mut nodes = Nodes::new(2, &config());
    let request = nodes.request(OWNER, "POST");
    let id = nodes.nodes[ASKER].open_forward(nodes.now, &request.session, 10).unwrap();
    nodes.nodes[ASKER].handle_bus_down(nodes.now);
    nodes.send(id, request);
    assert_eq!(nodes.told(ASKER), [Told::Outcome(id, Err(ForwardError::BusAway))]);
    nodes.finish(&[id]);
}

#[test]
fn a_client_that_goes_away_is_told_to_the_session() {
    let mut nodes = Nodes::new(2, &config());
    let id = nodes.forward(nodes.request(OWNER, "GET")).unwrap();
    let name = nodes.asked(OWNER);
    nodes.nodes[ASKER].close_forward(nodes.now, id);
    assert_eq!(nodes.told(OWNER), [Told::Over(name)]);
    // Once it is answered, there is nothing to tell.
    let id = nodes.forward(nodes.request(OWNER, "GET")).unwrap();
    let name = nodes.asked(OWNER);
    nodes.answer(OWNER, name, answered(b"6"));
    nodes.settle();
    nodes.nodes[ASKER].close_forward(nodes.now, id);
    nodes.transmit();
    assert!(nodes.waiting.is_empty());
    nodes.finish(&[]);
}

#[test]
fn messages_that_come_twice_count_once() {
    let mut nodes = Nodes::new(2, &config());
    nodes.copies = 3;
    let id = nodes.forward(nodes.request(OWNER, "POST").with_body(Bytes::from_static(b"41"))).unwrap();
    let name = nodes.asked(OWNER);
    nodes.pass(SECOND);
    nodes.answer(OWNER, name, answered(b"6"));
    nodes.answer(OWNER, name, answered(b"7"));
    assert_eq!(nodes.told(ASKER), [Told::Outcome(id, Ok(poll(b"6")))]);
    // Also when it has been answered, and by one that was overtaken.
    let payload = |number, nodes: &Nodes| {
        let said = Said::Request(nodes.request(OWNER, "POST"));
        Forward { from: nodes.name(ASKER).as_str().into(), number, said }.encode()
    };
    for number in [2, 1, 0] {
        let payload = payload(number, &nodes);
        nodes.say_bytes(OWNER, payload);
    }
    assert_eq!(nodes.told(OWNER), []);
    nodes.finish(&[id]);
}

#[test]
fn of_two_nodes_of_one_mark_the_one_that_has_the_session_answers() {
    // Marks are short: names are tried until two have the same.
    let mut marks = std::collections::BTreeMap::new();
    let (one, other) = (0..)
        .find_map(|number| {
            let name = format!("{number:016x}");
            marks.insert(format!("{:?}", NodeMark::of(&name)), name.clone()).map(|before| (before, name))
        })
        .unwrap();
    let hello = |nodes: &mut Nodes, name: &str| {
        let hello = format!(r#"{{"type":2,"uid":"{name}","nsp":"/"}}"#);
        nodes.nodes[ASKER].handle_message(nodes.now, "socket.io#/#", &Bytes::from(hello));
    };
    for (first, second, status) in [
        (Said::Answer(ForwardedAnswer::NoSession), Said::Answer(answered(b"4x")), 200),
        (Said::Answer(answered(b"4x")), Said::Answer(ForwardedAnswer::NoSession), 200),
        (Said::Answer(ForwardedAnswer::NoSession), Said::Answer(ForwardedAnswer::NoSession), 400),
    ] {
        let mut nodes = Nodes::new(2, &config());
        hello(&mut nodes, &one);
        hello(&mut nodes, &other);
        let session = NodeMark::of(&one).put_into(Random::new([7; 32]).id());
        let target = format!("/?EIO=4&transport=polling&sid={session}");
        let request = ForwardedRequest::of(&RequestHead { method: "GET", target: &target, headers: &[] });
        let id = nodes.forward(request.unwrap()).unwrap();
        nodes.transmit();
        assert_eq!(nodes.waiting.len(), 2, "both are asked");
        let number = number_of(&nodes);
        nodes.say(&one, ASKER, number, first);
        nodes.say(&other, ASKER, number, second);
        let told = nodes.told(ASKER);
        let [Told::Outcome(of, outcome)] = &told[..] else { panic!("{told:?}") };
        let got = outcome.as_ref().map_or_else(|error| error.response().status, |response| response.status);
        assert_eq!((*of, got), (id, status));
    }
    // Two that both say they have it: the first is believed, and the other one's answer is not.
    let mut nodes = Nodes::new(2, &config());
    hello(&mut nodes, &one);
    hello(&mut nodes, &other);
    let session = NodeMark::of(&one).put_into(Random::new([7; 32]).id());
    let target = format!("/?EIO=4&transport=polling&sid={session}");
    let request =
        ForwardedRequest::of(&RequestHead { method: "GET", target: &target, headers: &[] }).unwrap();
    let id = nodes.forward(request).unwrap();
    nodes.transmit();
    let number = number_of(&nodes);
    nodes.say(&one, ASKER, number, Said::Taken);
    nodes.say(&other, ASKER, number, Said::Taken);
    nodes.say(&other, ASKER, number, Said::Answer(answered(b"4forged")));
    assert_eq!(nodes.told(ASKER), []);
    nodes.say(&one, ASKER, number, Said::Answer(answered(b"4x")));
    assert_eq!(nodes.told(ASKER), [Told::Outcome(id, Ok(poll(b"4x")))]);
}

#[test]
fn strangers_on_the_bus_answer_nothing_and_ask_nothing() {
    let mut nodes = Nodes::new(3, &config());
    let id = nodes.forward(nodes.request(OWNER, "GET")).unwrap();
    nodes.transmit();
    let number = number_of(&nodes);
    let name = nodes.asked(OWNER);
    for from in ["a stranger", "nobody", &nodes.name(2)] {
        nodes.say(from, ASKER, number, Said::Taken);
        nodes.say(from, ASKER, number, Said::Answer(answered(b"4forged")));
        nodes.say(from, ASKER, number, Said::Answer(ForwardedAnswer::NoSession));
        nodes.say(from, OWNER, number, Said::Cancelled);
    }
    let request = nodes.request(OWNER, "GET");
    nodes.say("nobody", OWNER, 99, Said::Request(request));
    assert_eq!((nodes.told(ASKER), nodes.told(OWNER)), (vec![], vec![]));
    let (asker, owner) = (nodes.nodes[ASKER].counts(), nodes.nodes[OWNER].counts());
    assert_eq!((asker.malformed, asker.refused), (3, 6), "a name that is none, and two that are of no owner");
    assert_eq!((owner.malformed, owner.refused), (1, 2));
    nodes.answer(OWNER, name, answered(b"4x"));
    assert_eq!(nodes.told(ASKER), [Told::Outcome(id, Ok(poll(b"4x")))]);
    nodes.finish(&[id]);
}

#[test]
fn malformed_messages_change_nothing_but_a_count() {
    let nodes = Nodes::new(2, &config());
    let from = nodes.name(ASKER);
    let encoded = |said: Said| Forward { from: from.as_str().into(), number: 5, said }.encode();
    let request = nodes.request(OWNER, "POST").with_body(Bytes::from_static(b"4x"));
    let wholes = [
        encoded(Said::Request(request.clone())),
        encoded(Said::Taken),
        encoded(Said::Answer(answered(b"4x"))),
        encoded(Said::Answer(ForwardedAnswer::Response(Response::refusal(RefusalCode::BadRequest)))),
        encoded(Said::Answer(ForwardedAnswer::NoSession)),
        encoded(Said::Answer(ForwardedAnswer::Failed(ForwardFailure::Busy))),
        encoded(Said::Cancelled),
    ];
    let mut bad: Vec<Bytes> = vec![Bytes::new(), Bytes::from_static(b"{}")];
    for whole in &wholes {
        assert!(Forward::decode(whole, &Limits::default()).is_ok());
        // Within a body there is no end to miss.
        let head = whole.len() - if whole.ends_with(b"4x") { 2 } else { 0 };
        bad.extend((0..head).map(|end| whole.slice(..end)));
        let mut longer = whole.to_vec();
        longer[3] = 99;
        bad.push(longer.into());
    }
    let with = |whole: &Bytes, at: usize, byte: u8| {
        let mut changed = whole.to_vec();
        changed[at] = byte;
        Bytes::from(changed)
    };
    let after_name = 4 + 8 + 1 + from.len();
    bad.extend([
        with(&wholes[0], after_name, 4),           // bytes of a GET
        with(&wholes[0], after_name, 0),           // a GET with a body
        with(&wholes[0], after_name, 255),         // unknown flags
        with(&wholes[0], after_name + 3, b'&'),    // an id that would be more of a query
        with(&wholes[2], after_name, 1),           // a status that no session gives
        with(&wholes[2], after_name + 2, 9),       // an unknown content
        with(&wholes[3], after_name, 9),           // an unknown refusal
        with(&wholes[5], after_name, 9),           // an unknown failure
        with(&wholes[1], 4 + 8 + 1, b'\n'),        // a name that is none
        [&wholes[1][..], b"more"].concat().into(), // more than there is to say
    ]);
    let mut nodes = nodes;
    for payload in &bad {
        let before = nodes.nodes[OWNER].counts().malformed;
        nodes.say_bytes(OWNER, payload.clone());
        assert_eq!(nodes.nodes[OWNER].counts().malformed, before + 1, "{payload:?}");
    }
    assert_eq!(nodes.told(OWNER), []);
    let limits = Limits::default().with_payload_bytes(10);
    assert!(Forward::decode(&wholes[0], &limits).is_err());
}

#[test]
fn requests_that_cannot_be_passed_on_are_told_from_those_that_can() {
    let session = NodeMark::of("node").put_into(Random::new([7; 32]).id());
    let of = |method, query: &str, headers: &[(&str, &str)]| {
        let target = format!("/socket.io/?{query}&sid={session}");
        ForwardedRequest::of(&RequestHead { method, target: &target, headers: &headers })
    };
    let binary =
        of("POST", "EIO=3&transport=polling", &[("content-type", "application/octet-stream")]).unwrap();
    assert_eq!((binary.is_binary, binary.revision), (true, Revision::V3));
    assert_eq!(binary.headers().len(), 1);
    assert!(binary.target().starts_with("/?EIO=3&transport=polling&sid="));
    assert!(!format!("{binary:?}").contains(&session), "it is a secret");
    let upgrade = [("connection", "Upgrade"), ("upgrade", "websocket")];
    assert!(of("GET", "EIO=4&transport=websocket", &upgrade).is_none());
    assert!(of("GET", "EIO=4&transport=websocket", &[]).is_none());
    assert!(of("OPTIONS", "EIO=4&transport=polling", &[]).is_none());
    for id in ["", "short", "twenty-characters%20!", "lv_VI97HAXpY6yYWA%26x"] {
        let target = format!("/socket.io/?EIO=4&transport=polling&sid={id}");
        let head = RequestHead { method: "GET", target: &target, headers: &[] };
        assert!(ForwardedRequest::of(&head).is_none(), "{id}");
    }
}

#[test]
fn requests_are_bounded_in_number_and_bytes_at_both_nodes() {
    let mut nodes = Nodes::new(2, &config().with_max_forwards(2).with_max_forwarded_bytes(100));
    let session = nodes.session(OWNER);
    let open = |nodes: &mut Nodes, bytes| nodes.nodes[ASKER].open_forward(nodes.now, &session, bytes);
    assert_eq!(open(&mut nodes, 101), Err(ForwardError::TooManyBytes { limit: 100 }));
    let one = open(&mut nodes, 60).unwrap();
    assert_eq!(open(&mut nodes, 60), Err(ForwardError::TooManyBytes { limit: 100 }));
    let two = open(&mut nodes, 0).unwrap();
    assert_eq!(open(&mut nodes, 0), Err(ForwardError::TooMany { limit: 2 }));
    assert_eq!(ForwardError::TooMany { limit: 2 }.response().status, 503);
    assert_eq!(nodes.nodes[ASKER].grow_forward(one, 40), Ok(()));
    let too_many = Err(ForwardError::TooManyBytes { limit: 100 });
    assert_eq!(nodes.nodes[ASKER].grow_forward(two, 1), too_many);
    nodes.nodes[ASKER].close_forward(nodes.now, two);

    // What answers hold is theirs, whatever bodies are on the way: their packets would be lost.
    let poll_id = nodes.forward(nodes.request(OWNER, "GET")).unwrap();
    let name = nodes.asked(OWNER);
    nodes.answer(OWNER, name, answered(&[b'4'; 60]));
    assert_eq!(nodes.told(ASKER), [Told::Outcome(poll_id, Ok(poll(&[b'4'; 60])))]);
    nodes.nodes[ASKER].close_forward(nodes.now, poll_id);
    nodes.nodes[ASKER].close_forward(nodes.now, one);

    // Answers are held until they are written.
    let first = nodes.forward(nodes.request(OWNER, "GET")).unwrap();
    let second = nodes.forward(nodes.request(OWNER, "GET")).unwrap();
    let [Told::Request(name, _), Told::Request(other, _)] = nodes.told(OWNER)[..] else { panic!() };
    nodes.answer(OWNER, name, answered(&[b'4'; 60]));
    nodes.answer(OWNER, other, answered(&[b'4'; 60]));
    let too_many = Err(ForwardError::TooManyBytes { limit: 100 });
    let told = [Told::Outcome(first, Ok(poll(&[b'4'; 60]))), Told::Outcome(second, too_many)];
    assert_eq!(nodes.told(ASKER), told);
    nodes.nodes[ASKER].close_forward(nodes.now, first);
    let third = nodes.forward(nodes.request(OWNER, "GET")).unwrap();
    let name = nodes.asked(OWNER);
    nodes.answer(OWNER, name, answered(&[b'4'; 60]));
    assert_eq!(nodes.told(ASKER), [Told::Outcome(third, Ok(poll(&[b'4'; 60])))]);
    nodes.nodes[ASKER].close_forward(nodes.now, second);
    nodes.nodes[ASKER].close_forward(nodes.now, third);

    // Those of other nodes.
    let from = nodes.name(ASKER);
    for number in 100..104 {
        let request = nodes.request(OWNER, "POST").with_body(Bytes::from_static(&[b'4'; 40]));
        nodes.say(&from, OWNER, number, Said::Request(request));
    }
    assert_eq!(nodes.told(OWNER).len(), 2);
    assert_eq!(nodes.nodes[OWNER].counts().forwarded_here, 2);
    nodes.pass(130 * SECOND);
    nodes.finish(&[]);
}

#[test]
fn what_is_too_large_for_the_bus_is_told() {
    let mut config = config();
    config.limits = Limits::default().with_payload_bytes(200);
    let mut nodes = Nodes::new(2, &config);
    let large = nodes.request(OWNER, "POST").with_body(Bytes::from_static(&[b'4'; 200]));
    let id = nodes.forward(large).unwrap();
    assert_eq!(nodes.told(ASKER), [Told::Outcome(id, Err(ForwardError::TooLarge { limit: 200 }))]);
    assert_eq!(ForwardError::TooLarge { limit: 200 }.response().status, 413);
    let poll = nodes.forward(nodes.request(OWNER, "GET")).unwrap();
    let name = nodes.asked(OWNER);
    nodes.answer(OWNER, name, answered(&[b'4'; 200]));
    assert_eq!(nodes.told(ASKER), [Told::Outcome(poll, Err(ForwardError::NoAnswer))]);
    nodes.finish(&[id, poll]);
}

#[test]
fn without_the_option_there_is_no_channel_and_no_request() {
    let mut nodes = Nodes::new(2, &NodeConfig::default());
    let session = nodes.session(OWNER);
    assert_eq!(nodes.nodes[ASKER].open_forward(nodes.now, &session, 0), Err(ForwardError::Off));
    assert!(nodes.subscriptions.iter().flatten().all(|channel| !channel.contains("http")));
}
