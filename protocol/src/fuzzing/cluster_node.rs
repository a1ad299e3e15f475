//! Nodes of a cluster by operation lists: three of them on one bus that loses, repeats and cuts off, in each dialect, and on a
//! stream with recovery of connections or without.
//! Any order of calls is legal: a request ends once and in time, nobody hears itself, everything is bounded, and in
//! the end nothing is left.

use super::input::Input;
use crate::cluster::forward::Forward;
use crate::cluster::node::{
    Answer, Ask, AskId, Dialect, EntryId, ForwardId, LookupId, Node, NodeConfig, NodeEvent, NodeTransmit,
    RequestName, ServingId, StreamEntry,
};
use crate::cluster::{
    Bridge, Classic, Event, ForwardFailure, ForwardedAnswer, ForwardedRequest, Limits, Message, Postgres,
    Published, Python, Session, Sharded, Streams, Subscription, Values,
};
use crate::engine::{NodeMark, RefusalCode, RequestHead, Response};
use crate::hub::Target;
use crate::random::Random;
use crate::time::Instant;
use alloc::boxed::Box;
use alloc::collections::{BTreeMap, BTreeSet, VecDeque};
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use bytes::Bytes;
use core::time::Duration;

const NODES: usize = 3;
const MAX_OPS: usize = 400;
const MAX_ASKS: usize = 4;
const MAX_SERVINGS: usize = 3;
const MAX_PEERS: usize = 4;
const MAX_FORWARDS: usize = 3;
const MAX_SEARCHES: usize = 3;
const NAMESPACES: [&str; 2] = ["/", "/admin"];

/// A story out of a fuzzer's bytes: the first is the dialect.
///
/// # Panics
/// If a node does what it must not.
pub fn any_order(data: &[u8]) {
    let mut input = Input::new(data);
    let dialect = match input.below(8) {
        0 => Dialect::Heartbeats(Sharded::default()),
        1 => Dialect::Postgres(Postgres::default()),
        2 => Dialect::Sharded(Sharded::default()),
        3 => Dialect::Classic(Classic::default()),
        4 => Dialect::Classic(Classic::default().with_specific_answers(true)),
        5 => Dialect::Python(Python::default()),
        6 => Dialect::Bridge(Bridge::default()),
        _ => Dialect::Streams(Streams::default()),
    };
    // A node on a stream may recover connections.
    let recovers = matches!(dialect, Dialect::Streams(_)) && input.flag();
    let mut story = Story::new(&dialect, recovers);
    for _ in 0..MAX_OPS {
        if input.is_empty() {
            break;
        }
        story.act(&mut input);
        story.check();
    }
    story.finish();
}

struct Process {
    node: Node,
    subscriptions: BTreeSet<String>,
    servings: Vec<ServingId>,
    /// Requests that are open, and when they must have ended.
    asks: BTreeMap<AskId, Instant>,
    counts: Vec<AskId>,
    /// Requests that are passed on: when they must have their answers, if those are still to come.
    forwards: BTreeMap<ForwardId, Option<Instant>>,
    requests: BTreeSet<RequestName>,
    /// Events on their way to the stream of which nothing was told, and those that are told not to come.
    tickets: BTreeSet<u64>,
    lost: BTreeSet<u64>,
    /// Those that the engine has refused, or says so.
    refused: BTreeSet<u64>,
    /// Sessions that are looked for, and what the engine was asked for them.
    searches: BTreeSet<LookupId>,
    takes: Vec<(LookupId, String)>,
    pages: Vec<(LookupId, EntryId, usize)>,
}

#[derive(Clone)]
enum Flight {
    Message(Published),
    Entry(StreamEntry),
}

struct Story {
    now: Instant,
    processes: Vec<Process>,
    /// The messages on their way, and their receivers.
    flights: VecDeque<(usize, Flight)>,
    rows: Vec<Bytes>,
    selects: Vec<(usize, String, usize)>,
    inserts: Vec<(usize, Box<crate::cluster::Envelope>, u64)>,
    sent: u64,
    /// The number of times that each node heard of each event.
    heard: BTreeMap<(usize, String), usize>,
    repeats: usize,
    recovers: bool,
    stream: Vec<StreamEntry>,
    keys: BTreeMap<String, Bytes>,
}

impl Story {
    fn new(dialect: &Dialect, recovers: bool) -> Self {
        let config = NodeConfig::default()
            .with_recovers(recovers)
            .with_max_lookups(MAX_SEARCHES)
            .with_max_recovered_entries(50)
            .with_max_asks(MAX_ASKS)
            .with_max_servings(MAX_SERVINGS)
            .with_max_peers(MAX_PEERS)
            .with_max_answers(5)
            .with_forwards(true)
            .with_max_forwards(MAX_FORWARDS)
            .with_max_forwarded_bytes(300)
            .with_max_waiting_bytes(3000);
        let process = |number: usize| Process {
            node: Node::new(config.clone(), dialect.clone(), Random::new([number as u8; 32])),
            subscriptions: BTreeSet::new(),
            servings: Vec::new(),
            asks: BTreeMap::new(),
            counts: Vec::new(),
            forwards: BTreeMap::new(),
            requests: BTreeSet::new(),
            tickets: BTreeSet::new(),
            lost: BTreeSet::new(),
            refused: BTreeSet::new(),
            searches: BTreeSet::new(),
            takes: Vec::new(),
            pages: Vec::new(),
        };
        let mut story = Self {
            now: Instant::from_millis(1),
            processes: (0..NODES).map(process).collect(),
            flights: VecDeque::new(),
            rows: Vec::new(),
            selects: Vec::new(),
            inserts: Vec::new(),
            sent: 0,
            heard: BTreeMap::new(),
            repeats: 0,
            recovers,
            stream: Vec::new(),
            keys: BTreeMap::new(),
        };
        for at in 0..NODES {
            story.processes[at].node.open(story.now, "/");
            story.processes[at].node.handle_bus_up(story.now);
            story.drive(at);
        }
        story
    }

    fn act(&mut self, input: &mut Input<'_>) {
        let at = input.below(NODES);
        let (now, namespace) = (self.now, NAMESPACES[usize::from(input.byte() >= 200)]);
        match input.below(if self.recovers { 26 } else { 24 }) {
            20 | 21 if !self.recovers => self.forward(at, input),
            22 | 23 if !self.recovers => self.answer_or_close(at, input),
            0..=2 => {
                self.sent += 1;
                let event = Event::new(&format!("{at}-{}", self.sent), &self.sent).expect("a legal event");
                let target = match input.below(4) {
                    0 => Target::all(),
                    1 => Target::all().to("r"),
                    2 => Target::all().to("r").to("s").except("t"),
                    _ => Target::all().local(),
                };
                let message = match input.below(5) {
                    0..=2 => Message::Emit { event, target, ack: None },
                    3 => Message::Join {
                        target: Target::all().to("s"),
                        rooms: [input.byte().to_string().into()].into(),
                    },
                    _ => Message::ServerSideEmit { event, request: None },
                };
                let _ = self.processes[at].node.send(now, namespace, message);
            }
            3..=5 => {
                self.sent += 1;
                let event = Event::new(&format!("{at}-{}", self.sent), &()).expect("a legal event");
                let target = if input.flag() { Target::all() } else { Target::all().to("r") };
                let ask = match input.below(5) {
                    0 | 1 => Ask::Acks { event, target, single: input.flag(), max_bytes: 500 },
                    2 => Ask::Sockets { target },
                    3 => Ask::ServerSide { event },
                    _ => Ask::Nodes,
                };
                let timeout = Duration::from_millis(100 * input.below(100) as u64);
                let process = &mut self.processes[at];
                if let Ok(id) = process.node.ask(now, namespace, ask, timeout) {
                    assert!(process.asks.insert(id, now + timeout).is_none(), "a name was given out twice");
                }
            }
            6..=9 => self.deliver(input.below(4), 1),
            10 => {
                self.repeats += 1;
                self.deliver(input.below(4), 2);
            }
            11 => self.deliver(input.below(4), 0),
            12 | 13 => {
                let process = &mut self.processes[at];
                let number = input.below(process.servings.len().max(1));
                let serving = process.servings.get(number).copied();
                let values = Values::new(&input.byte()).expect("a number");
                let answer = match input.below(8) {
                    0..=2 => Answer::Count(input.below(4) as u32),
                    3 | 4 => Answer::Ack(values),
                    5 => Answer::Sockets(Vec::new()),
                    6 => Answer::Rooms(["r".into()].into()),
                    _ => Answer::ServerSide(values),
                };
                if let Some(serving) = serving {
                    process.node.answer(now, serving, answer);
                }
            }
            14 => {
                if let Some(ask) = self.processes[at].counts.pop() {
                    let count = (input.byte() < 200).then_some(input.below(6) as u32);
                    self.processes[at].node.handle_count(now, ask, count);
                }
            }
            15 => self.pass(Duration::from_millis(20 * input.below(1000) as u64)),
            16 => {
                let process = &mut self.processes[at];
                if process.node.is_on_bus() {
                    process.node.handle_bus_down(now);
                    process.subscriptions.clear();
                    self.flights.retain(|(to, _)| *to != at);
                } else {
                    process.node.handle_bus_up(now);
                }
            }
            17 => match input.below(4) {
                0 => self.processes[at].node.close(now, namespace),
                1 => self.processes[at].node.room_began(namespace, "r"),
                2 => self.processes[at].node.room_ended(namespace, "r"),
                _ => self.processes[at].node.open(now, namespace),
            },
            18 => {
                let channel = self.processes[at].subscriptions.iter().nth(input.below(4)).cloned();
                let len = input.below(64);
                let payload = Bytes::copy_from_slice(input.take(len));
                if let Ok(read) = Forward::decode(&payload, &Limits::default()) {
                    assert_eq!(read.encode(), payload, "there is one form for each");
                }
                self.processes[at].node.handle_message(now, &channel.unwrap_or_default(), &payload);
            }
            20.. => self.act_on_stream(input, at),
            _ => {
                if let Some((at, channel, row)) = self.selects.pop() {
                    let payload = self.rows.get(row).cloned().unwrap_or_default();
                    self.processes[at].node.handle_row(now, &channel, &payload);
                }
                if let Some((at, envelope, row)) = self.inserts.pop() {
                    self.processes[at].node.handle_inserted(now, &envelope, row);
                }
            }
        }
        (0..NODES).for_each(|at| self.drive(at));
    }

    /// Passes a request on, whose body is its number.
    fn forward(&mut self, at: usize, input: &mut Input<'_>) {
        let owner = self.processes[input.below(NODES)].node.name();
        let session = NodeMark::of(owner).put_into(Random::new([input.byte(); 32]).id());
        let target = format!("/?EIO=4&transport=polling&sid={session}");
        let head = RequestHead { method: "POST", target: &target, headers: &[] };
        let request = ForwardedRequest::of(&head).expect("a request of that form");
        let (now, process) = (self.now, &mut self.processes[at]);
        let Ok(id) = process.node.open_forward(now, &session, 10 * input.below(40)) else { return };
        assert!(process.forwards.insert(id, None).is_none(), "a name was given out twice");
        // Its body may break off.
        if input.byte() < 220 {
            self.sent += 1;
            let config = NodeConfig::default();
            let until = now + config.forward_patience + config.forward_timeout;
            process.forwards.insert(id, Some(until));
            let request = process.node.encoder().forward(request.with_body(self.sent.to_string().into()));
            process.node.send_forward(now, id, request);
        }
    }

    /// Answers a request of another node, or ends one of this.
    fn answer_or_close(&mut self, at: usize, input: &mut Input<'_>) {
        let (now, process) = (self.now, &mut self.processes[at]);
        let number = input.below(4);
        let answer = match input.below(5) {
            0 => {
                let open = process.forwards.keys().nth(number).copied();
                if let Some(id) = open {
                    process.forwards.remove(&id);
                    process.node.close_forward(now, id);
                }
                return;
            }
            1 => ForwardedAnswer::NoSession,
            2 => ForwardedAnswer::Failed(ForwardFailure::NoAnswer),
            3 => ForwardedAnswer::Response(Response::refusal(RefusalCode::BadRequest)),
            _ => ForwardedAnswer::Response(Response::poll(Bytes::from(alloc::vec![b'4'; input.below(200)]))),
        };
        if let Some(name) = process.requests.iter().nth(number).copied() {
            process.requests.remove(&name);
            let answer = process.node.encoder().forward_answer(answer);
            process.node.answer_request(now, name, answer);
        }
    }

    /// The steps of nodes that recover connections.
    fn act_on_stream(&mut self, input: &mut Input<'_>, at: usize) {
        let now = self.now;
        let process = &mut self.processes[at];
        match input.below(6) {
            0 | 1 => {
                self.sent += 1;
                let event = Event::new(&format!("{at}-{}", self.sent), &self.sent).expect("a legal event");
                let target = if input.flag() { Target::all() } else { Target::all().to("r") };
                let message = Message::Emit { event, target, ack: None };
                let encoded = process.node.encoder().encode(&"/".into(), message).expect("it has a form");
                if let Some(ticket) = process.node.send_logged(now, encoded) {
                    assert!(process.tickets.insert(ticket), "a ticket was given out twice");
                }
            }
            2 => {
                let pid = if input.flag() { "one" } else { "other" };
                let rooms = ["sid".into(), "r".into()].into();
                let data = Values::new(&()).expect("nothing");
                let session =
                    Session { sid: "sid".into(), pid: pid.into(), rooms, data, namespace: Some("/".into()) };
                process.node.save_session(now, &session, Duration::from_secs(60));
            }
            3 => {
                let pid = if input.flag() { "one" } else { "other" };
                let offset = EntryId::new(1, input.below(self.stream.len() + 2) as u64).to_string();
                if let Some(lookup) = process.node.find_session(now, "/", pid, &offset) {
                    assert!(process.searches.insert(lookup), "a name was given out twice");
                }
            }
            4 => {
                if let Some((lookup, key)) = process.takes.pop() {
                    let value = if input.byte() < 20 { Some("?".into()) } else { self.keys.remove(&key) };
                    process.node.handle_taken(now, lookup, value.as_deref(), input.byte() < 220);
                } else if let Some((lookup, from, count)) = process.pages.pop() {
                    let is_behind =
                        |entry: &&StreamEntry| entry.id.parse::<EntryId>().is_ok_and(|id| id >= from);
                    let count = count.min(2 + input.below(20));
                    process.node.handle_page(now, lookup, self.stream.iter().filter(is_behind).take(count));
                }
            }
            _ => match input.below(3) {
                0 => {
                    if let Some(ticket) = process.tickets.first().copied() {
                        process.refused.insert(ticket);
                        process.node.handle_not_appended(now, ticket);
                    }
                }
                1 => process.node.handle_stream_gap(now),
                _ => {
                    let end = EntryId::new(1, self.stream.len() as u64);
                    process.node.handle_stream_position(now, end);
                }
            },
        }
    }

    /// Lets something arrive so many times.
    fn deliver(&mut self, number: usize, times: usize) {
        let Some((at, one)) = self.flights.remove(number.min(self.flights.len().saturating_sub(1))) else {
            return;
        };
        for _ in 0..times {
            let node = &mut self.processes[at].node;
            match &one {
                Flight::Message(one) => node.handle_message(self.now, &one.channel, &one.payload),
                Flight::Entry(entry) => node.handle_entry(self.now, &entry.id, entry.fields()),
            }
        }
    }

    /// Does the work that a driver and a runtime do without delay.
    fn drive(&mut self, at: usize) {
        for step in 0.. {
            assert!(step < 10_000, "it has no end");
            let process = &mut self.processes[at];
            let Some(transmit) = process.node.poll_transmit() else { break };
            match transmit {
                NodeTransmit::Subscribe(Subscription::Channel(name) | Subscription::Pattern(name)) => {
                    process.subscriptions.insert(name);
                }
                NodeTransmit::Unsubscribe(Subscription::Channel(name) | Subscription::Pattern(name)) => {
                    process.subscriptions.remove(&name);
                }
                NodeTransmit::Publish(one) => {
                    assert!(process.node.is_on_bus());
                    for (to, process) in self.processes.iter().enumerate() {
                        let fits = |name: &String| match name.strip_suffix('*') {
                            Some(head) => one.channel.starts_with(head),
                            None => *name == one.channel,
                        };
                        if process.subscriptions.iter().any(fits) && self.flights.len() < 500 {
                            self.flights.push_back((to, Flight::Message(one.clone())));
                        }
                    }
                }
                NodeTransmit::Append { stream, fields, .. } => {
                    assert!(process.node.is_on_bus());
                    let fields = fields
                        .into_iter()
                        .map(|(name, value)| (name.as_bytes().to_vec(), value.into_bytes()));
                    let id = EntryId::new(1, self.stream.len() as u64 + 1).to_string();
                    let entry = StreamEntry { id, fields: fields.collect() };
                    self.stream.push(entry.clone());
                    for (to, process) in self.processes.iter().enumerate() {
                        if process.subscriptions.contains(&format!("stream {stream}"))
                            && self.flights.len() < 500
                        {
                            self.flights.push_back((to, Flight::Entry(entry.clone())));
                        }
                    }
                }
                NodeTransmit::Subscribe(Subscription::Stream(name)) => {
                    process.subscriptions.insert(format!("stream {name}"));
                }
                NodeTransmit::Unsubscribe(Subscription::Stream(name)) => {
                    process.subscriptions.remove(&format!("stream {name}"));
                }
                NodeTransmit::Count { ask, .. } => process.counts.push(ask),
                NodeTransmit::Insert { payload, envelope } => {
                    self.inserts.push((at, envelope, self.rows.len() as u64));
                    self.rows.push(payload);
                }
                NodeTransmit::Select { channel, row } => {
                    self.selects.push((at, channel, row.parse().unwrap_or(usize::MAX)));
                }
                NodeTransmit::Save { key, value, .. } => drop(self.keys.insert(key, value)),
                NodeTransmit::Take { key, lookup, .. } => process.takes.push((lookup, key)),
                NodeTransmit::Page { from, count, lookup, .. } => {
                    assert!((2..=1000).contains(&count));
                    process.pages.push((lookup, from, count));
                }
            }
        }
        while let Some(event) = self.processes[at].node.poll_event() {
            let process = &mut self.processes[at];
            match event {
                NodeEvent::Message { message, serving, .. } => {
                    process.servings.extend(serving);
                    if let Message::Emit { event, .. } | Message::ServerSideEmit { event, .. } = &message {
                        let name = event.name().into_owned();
                        assert!(!name.starts_with(&format!("{at}-")), "node {at} hears itself: {name}");
                        let times = self.heard.entry((at, name)).or_default();
                        *times += 1;
                        assert!(*times <= 1 + self.repeats, "{message:?} came {times} times");
                    }
                }
                NodeEvent::Done { ask, outcome } => {
                    let deadline = process.asks.remove(&ask).expect("it ends once");
                    assert!(self.now <= deadline, "it is late");
                    assert!(outcome.answers.len() + outcome.sockets.len() <= 5);
                }
                NodeEvent::Forwarded { forward, .. } => {
                    let until =
                        process.forwards.insert(forward, None).flatten().expect("it is answered once");
                    assert!(self.now <= until, "its answer is late");
                }
                NodeEvent::Request { name, request } => {
                    assert!(process.requests.insert(name), "a name was given out twice");
                    let body = String::from_utf8_lossy(&request.body).into_owned();
                    let times = self.heard.entry((at, format!("request {body}"))).or_default();
                    *times += 1;
                    assert_eq!(*times, 1, "a request was taken twice");
                }
                NodeEvent::RequestOver { name } => {
                    assert!(process.requests.remove(&name), "it ends once");
                }
                NodeEvent::Logged { event, ticket, .. } => {
                    if let Some(ticket) = ticket {
                        process.tickets.remove(&ticket);
                        assert!(!process.lost.contains(&ticket), "it was not to come");
                    }
                    let times = self.heard.entry((at, event.name().into_owned())).or_default();
                    *times += 1;
                    assert!(*times == 1, "it came {times} times");
                }
                NodeEvent::Unlogged { ticket, may_come } => {
                    let is_first = process.tickets.remove(&ticket);
                    assert!(is_first, "it is told once");
                    if !may_come && !process.refused.contains(&ticket) {
                        process.lost.insert(ticket);
                    }
                }
                NodeEvent::Found { lookup, .. } => {
                    assert!(process.searches.remove(&lookup), "it ends once");
                }
                _ => {}
            }
        }
    }

    /// Goes from deadline to deadline.
    fn pass(&mut self, time: Duration) {
        let end = self.now + time;
        for step in 0.. {
            assert!(step < 10_000, "time does not pass");
            let next = self.processes.iter().filter_map(|process| process.node.poll_timeout()).min();
            self.now = self.now.max(next.filter(|next| *next < end).unwrap_or(end));
            for at in 0..NODES {
                self.processes[at].node.handle_timeout(self.now);
                let next = self.processes[at].node.poll_timeout();
                assert!(next.is_none_or(|next| next > self.now), "a deadline in the past");
                self.drive(at);
            }
            if self.now == end {
                return;
            }
        }
    }

    fn check(&self) {
        for process in &self.processes {
            let (asks, servings) = process.node.open_requests();
            assert!(asks <= MAX_ASKS && servings <= MAX_SERVINGS);
            assert_eq!(asks, process.asks.len());
            let counts = process.node.counts();
            assert!(counts.forwards <= MAX_FORWARDS && counts.forwarded_here <= MAX_FORWARDS);
            assert_eq!(counts.forwards, process.forwards.len());
            assert_eq!(counts.forwarded_here, process.requests.len());
            assert!(process.searches.len() <= MAX_SEARCHES);
        }
    }

    /// Checks the end: all requests end, and a closed node wants nothing.
    fn finish(mut self) {
        self.flights.clear();
        self.pass(Duration::from_secs(400));
        for process in &self.processes {
            assert!(process.asks.is_empty(), "never ended: {:?}", process.asks);
            assert_eq!(process.node.open_requests(), (0, 0));
            assert!(process.requests.is_empty(), "never ended: {:?}", process.requests);
            assert!(process.forwards.values().all(Option::is_none), "never answered: {:?}", process.forwards);
            assert!(process.tickets.is_empty() && process.searches.is_empty());
        }
        for at in 0..NODES {
            for id in core::mem::take(&mut self.processes[at].forwards).into_keys() {
                self.processes[at].node.close_forward(self.now, id);
            }
            assert_eq!(self.processes[at].node.counts().forwards, 0);
            for namespace in NAMESPACES {
                self.processes[at].node.close(self.now, namespace);
            }
            self.drive(at);
            assert_eq!(self.processes[at].node.poll_timeout(), None);
            let left = &self.processes[at].subscriptions;
            assert!(!self.processes[at].node.is_on_bus() || left.is_empty(), "still subscribed: {left:?}");
        }
    }
}
