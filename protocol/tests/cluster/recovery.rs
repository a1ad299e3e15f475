//! Recovery of connections across nodes by a stream: a log, and two nodes that read it.

use bytes::Bytes;
use proptest::collection::vec;
use proptest::prelude::*;
use sansocket_protocol::cluster::node::{
    Dialect, EntryId, FoundSession, LookupId, LookupOutcome, LostReason, Node, NodeConfig, NodeEvent,
    NodeTransmit, StreamEntry,
};
use sansocket_protocol::cluster::{Event, Message, Session, Streams, Values};
use sansocket_protocol::hub::Target;
use sansocket_protocol::random::Random;
use sansocket_protocol::time::Instant;
use std::collections::BTreeMap;
use std::time::Duration;

pub(super) const SECOND: Duration = Duration::from_secs(1);

/// The stream and the keys beside it, and how far each node has read.
pub(super) struct World {
    pub(super) now: Instant,
    pub(super) nodes: Vec<Node>,
    stream: Vec<StreamEntry>,
    read: Vec<usize>,
    pub(super) keys: BTreeMap<String, Bytes>,
    /// The events that each node has told.
    told: Vec<Vec<String>>,
    pub(super) found: Vec<Option<FoundSession>>,
    /// The sessions that were found and are lost.
    pub(super) lost: Vec<(LookupId, LostReason)>,
    /// The pages that were asked for and are not answered, if they are not answered at once.
    pages: Option<Vec<(EntryId, usize, LookupId)>>,
    /// The events that its node had told before the last one.
    told_before: usize,
    tickets: Vec<u64>,
}

impl World {
    fn new(nodes: usize) -> Self {
        Self::with(nodes, NodeConfig::default().with_max_lookups(2))
    }

    pub(super) fn with(nodes: usize, config: NodeConfig) -> Self {
        let node = |seed| {
            let config = config.clone().with_recovers(true);
            let mut node = Node::new(config, Dialect::Streams(Streams::default()), Random::new([seed; 32]));
            node.open(Instant::ZERO, "/");
            node.open(Instant::ZERO, "/custom");
            node.handle_bus_up(Instant::ZERO);
            node
        };
        let mut world = Self {
            now: Instant::ZERO,
            nodes: (0..nodes as u8).map(node).collect(),
            stream: Vec::new(),
            read: vec![0; nodes],
            keys: BTreeMap::new(),
            told: vec![Vec::new(); nodes],
            found: Vec::new(),
            lost: Vec::new(),
            pages: None,
            told_before: 0,
            tickets: Vec::new(),
        };
        world.settle();
        world
    }

    pub(super) fn emit(&mut self, at: usize, name: &str, target: Target) {
        self.emit_in(at, "/", name, target);
    }

    fn emit_in(&mut self, at: usize, namespace: &str, name: &str, target: Target) {
        let event = Event::new(name, &()).unwrap();
        let encoder = self.nodes[at].encoder();
        let encoded = encoder.encode(&namespace.into(), Message::Emit { event, target, ack: None }).unwrap();
        self.tickets.extend(self.nodes[at].send_logged(self.now, encoded));
    }

    /// Carries out what the nodes want; they do not read.
    fn transmit(&mut self) {
        for at in 0..self.nodes.len() {
            while self.transmit_one(at) {}
        }
    }

    /// Carries out the next thing that a node wants.
    fn transmit_one(&mut self, at: usize) -> bool {
        let Some(transmit) = self.nodes[at].poll_transmit() else { return false };
        let (now, node) = (self.now, &mut self.nodes[at]);
        match transmit {
            NodeTransmit::Append { fields, .. } => {
                let fields =
                    fields.iter().map(|(name, value)| (name.as_bytes().to_vec(), value.clone().into()));
                let id = EntryId::new(1000, self.stream.len() as u64).to_string();
                self.stream.push(StreamEntry { id, fields: fields.collect() });
            }
            NodeTransmit::Save { key, value, time } => {
                assert_eq!(time, 120 * SECOND);
                self.keys.insert(key, value);
            }
            NodeTransmit::Take { key, offset, lookup, .. } => {
                let has_offset = self.stream.iter().any(|entry| entry.id == offset.to_string());
                let value = self.keys.remove(&key);
                node.handle_taken(now, lookup, value.as_deref(), has_offset);
            }
            NodeTransmit::Page { from, count, lookup, .. } => match &mut self.pages {
                Some(pages) => pages.push((from, count, lookup)),
                None => {
                    let page =
                        self.stream.iter().filter(|entry| entry.id.parse::<EntryId>().unwrap() >= from);
                    node.handle_page(now, lookup, page.take(count.min(2)));
                }
            },
            _ => {}
        }
        true
    }

    /// Lets a node read one entry.
    fn read(&mut self, at: usize) -> bool {
        let Some(entry) = self.stream.get(self.read[at]) else { return false };
        self.nodes[at].handle_entry(self.now, &entry.id, entry.fields());
        self.read[at] += 1;
        true
    }

    pub(super) fn events(&mut self) {
        for at in 0..self.nodes.len() {
            while let Some(event) = self.nodes[at].poll_event() {
                match event {
                    NodeEvent::Logged { event, id, ticket, .. } => {
                        let own = if ticket.is_some() { " own" } else { "" };
                        self.told[at].push(format!("{} {id}{own}", event.name()));
                    }
                    NodeEvent::Unlogged { may_come, .. } => {
                        self.told[at].push(format!("unlogged {may_come}"))
                    }
                    NodeEvent::Found { lookup, outcome, .. } => {
                        self.told_before = self.told[at].len();
                        self.found.push(match outcome {
                            LookupOutcome::Found(found) => Some(*found),
                            LookupOutcome::Lost { reason, .. } => {
                                self.lost.push((lookup, reason));
                                None
                            }
                            _ => None,
                        });
                    }
                    NodeEvent::StreamGap => self.told[at].push("gap".into()),
                    _ => {}
                }
            }
        }
    }

    pub(super) fn settle(&mut self) {
        loop {
            self.transmit();
            let mut has_read = false;
            for at in 0..self.nodes.len() {
                has_read |= self.read(at);
            }
            self.events();
            self.nodes.iter().for_each(|node| assert_eq!(node.inconsistency(), None));
            if !has_read && self.nodes.iter().all(|node| !node.has_transmits()) {
                return;
            }
        }
    }

    fn told(&mut self, at: usize) -> Vec<String> {
        std::mem::take(&mut self.told[at])
    }

    pub(super) fn missed(&mut self) -> Option<Vec<String>> {
        let found = self.found.pop().expect("it was told")?;
        let missed = found.missed.iter().map(|(id, event)| format!("{} {id}", event.name())).collect();
        self.found.clear();
        Some(missed)
    }
}

pub(super) fn session(rooms: &[&str]) -> Session {
    let rooms = ["a socket's id"].iter().chain(rooms).map(|room| (*room).into()).collect();
    let (sid, pid) = ("a socket's id".into(), "secret".into());
    let namespace = Some("/".into());
    Session { sid, pid, rooms, data: Values::new(&serde_json::json!({ "name": "ada" })).unwrap(), namespace }
}

#[test]
fn every_node_hears_all_events_from_the_stream_in_its_order() {
    let mut world = World::new(2);
    for name in ["one", "two"] {
        for at in 0..2 {
            world.emit(at, name, Target::all());
        }
    }
    assert!(world.told(0).is_empty(), "nothing has a place yet");
    world.settle();
    assert_eq!(world.told(0), ["one 1000-0 own", "two 1000-1 own", "one 1000-2", "two 1000-3"]);
    assert_eq!(world.told(1), ["one 1000-0", "two 1000-1", "one 1000-2 own", "two 1000-3 own"]);
    assert_eq!(world.nodes[0].poll_timeout(), None, "nothing is waited for");
}

#[test]
fn an_event_of_ones_own_that_was_told_when_it_was_made_is_not_told_again() {
    let mut world = World::new(2);
    let message =
        Message::Emit { event: Event::new("plain", &()).unwrap(), target: Target::all(), ack: None };
    let encoded = world.nodes[0].encoder().encode(&"/".into(), message).unwrap();
    assert!(world.nodes[0].send_encoded(world.now, encoded));
    world.settle();
    assert_eq!((world.told(0).len(), world.told(1).len()), (0, 1));
}

#[test]
fn a_session_is_taken_once_with_what_was_missed() {
    let mut world = World::new(2);
    world.emit(0, "seen", Target::all());
    assert!(world.nodes[0].save_session(world.now, &session(&["r"]), 120 * SECOND));
    world.settle();
    for (name, target) in [
        ("all", Target::all()),
        ("room", Target::all().to("r")),
        ("other", Target::all().to("q")),
        ("id", Target::all().to("a socket's id")),
        ("except", Target::all().except("r")),
        ("volatile", Target::all().volatile()),
    ] {
        world.emit(1, name, target);
    }
    world.emit_in(1, "/custom", "elsewhere", Target::all());
    world.settle();
    assert!(world.nodes[1].find_session(world.now, "/", "secret", "1000-0").is_some());
    world.settle();
    let found = world.found[0].clone().unwrap();
    assert_eq!(found.session, session(&["r"]));
    assert_eq!(found.read_to, EntryId::new(1000, 7));
    assert_eq!(world.missed().unwrap(), ["all 1000-1", "room 1000-2", "id 1000-4"]);
    // Nobody gets it again.
    for at in 0..2 {
        assert!(world.nodes[at].find_session(world.now, "/", "secret", "1000-0").is_some());
        world.settle();
        assert_eq!(world.missed(), None);
    }
}

#[test]
fn a_session_waits_until_its_node_has_read_as_far_as_was_looked() {
    let mut world = World::new(2);
    world.emit(0, "seen", Target::all());
    world.settle();
    world.nodes[0].save_session(world.now, &session(&[]), 120 * SECOND);
    for name in ["one", "two"] {
        world.emit(0, name, Target::all());
    }
    world.transmit();
    assert!(world.nodes[1].find_session(world.now, "/", "secret", "1000-0").is_some());
    for _ in 0..5 {
        world.transmit();
    }
    world.events();
    assert!(world.found.is_empty(), "it would hear them twice");
    world.read(1);
    world.events();
    assert!(world.found.is_empty());
    world.emit(0, "after", Target::all());
    world.read(1);
    world.events();
    world.settle();
    assert_eq!(world.missed().unwrap(), ["one 1000-1", "two 1000-2"]);
    assert_eq!(world.told(1).last().unwrap(), "after 1000-3", "that one comes as to all");
}

#[test]
fn what_cannot_be_recovered_is_told_and_nothing_stays_behind() {
    let mut world = World::new(1);
    world.emit(0, "seen", Target::all());
    world.settle();
    let node = &mut world.nodes[0];
    for offset in ["", "Q8AVICU", "1-", "-1", "1-2-3", "+1-2", "99999999999999999999-0"] {
        assert!(node.find_session(world.now, "/", "secret", offset).is_none(), "{offset}");
    }
    assert!(node.find_session(world.now, "/nowhere", "secret", "1-0").is_none());
    // The stream has no such entry any more; the session is of another namespace; it is no session; no one has saved it.
    let (whole, elsewhere) = (session(&[]), Session { namespace: Some("/custom".into()), ..session(&[]) });
    let limits = Default::default();
    for (offset, value) in [
        ("999-0", Some(whole.encode(&limits).unwrap())),
        ("1000-0", Some(elsewhere.encode(&limits).unwrap())),
        ("1000-0", Some("?".into())),
        ("1000-0", None),
    ] {
        world.keys.extend(value.map(|value| ("sio:session:secret".into(), value.into())));
        assert!(world.nodes[0].find_session(world.now, "/", "secret", offset).is_some());
        world.settle();
        assert_eq!(world.missed(), None);
        assert!(world.keys.is_empty());
    }
    // Only so many at a time, and not for ever.
    for expected in [true, true, false] {
        assert_eq!(world.nodes[0].find_session(world.now, "/", "secret", "1000-0").is_some(), expected);
    }
    world.now = world.now + 5 * SECOND;
    world.nodes[0].handle_timeout(world.now);
    world.events();
    assert_eq!(world.found, [None, None]);
    world.settle();
    assert_eq!(world.nodes[0].poll_timeout(), None);
}

#[test]
fn an_event_that_gets_no_place_goes_without() {
    let mut world = World::new(1);
    world.emit(0, "refused", Target::all());
    let (now, ticket) = (world.now, world.tickets[0]);
    world.nodes[0].handle_not_appended(now, ticket);
    world.events();
    assert_eq!(world.told(0), ["unlogged false"]);
    world.settle();
    world.told(0);

    // The stream is slow, and has it in the end.
    world.emit(0, "late", Target::all());
    world.transmit();
    world.now = world.now + SECOND;
    world.nodes[0].handle_timeout(world.now);
    world.events();
    assert_eq!(world.told(0), ["unlogged true"]);
    world.settle();
    assert_eq!(world.told(0), ["late 1000-1 own"]);

    // The bus goes.
    world.emit(0, "lost", Target::all());
    assert!(world.nodes[0].find_session(world.now, "/", "secret", "1000-0").is_some());
    world.nodes[0].handle_bus_down(world.now);
    world.events();
    // It may have got into the stream, which is read on when the bus is back.
    assert_eq!((world.told(0), world.missed()), (vec!["unlogged true".into()], None));
    let before = world.tickets.len();
    world.emit(0, "away", Target::all());
    assert_eq!(world.tickets.len(), before);
    assert!(!world.nodes[0].save_session(world.now, &session(&[]), SECOND));
    assert!(world.nodes[0].find_session(world.now, "/", "secret", "1000-0").is_none());
    assert_eq!(world.nodes[0].poll_timeout(), None);
}

#[test]
fn an_event_that_is_back_says_that_those_before_it_do_not_come() {
    let mut world = World::new(1);
    for name in ["lost", "late and lost", "here"] {
        world.emit(0, name, Target::all());
    }
    world.transmit();
    world.stream.drain(..2);
    let (now, ticket) = (world.now, world.tickets[1]);
    world.settle();
    assert_eq!(world.told(0), ["unlogged false", "unlogged false", "here 1000-2 own"]);
    world.nodes[0].handle_not_appended(now, ticket);
    assert!(!world.nodes[0].has_events(), "each is told once");
}

#[test]
fn no_entry_is_given_to_a_node_twice_and_a_gap_is_told() {
    let mut world = World::new(1);
    for name in ["one", "two"] {
        world.emit(0, name, Target::all());
    }
    world.settle();
    assert_eq!(world.told(0).len(), 2);
    world.nodes[0].handle_bus_down(world.now);
    world.nodes[0].handle_bus_up(world.now);
    world.nodes[0].handle_stream_position(world.now, EntryId::new(1000, 1));
    world.read = vec![0];
    world.settle();
    assert!(world.told(0).is_empty());
    // Another stream, behind which is nothing that this node knows.
    world.nodes[0].handle_stream_gap(world.now);
    world.nodes[0].handle_stream_position(world.now, EntryId::default());
    world.read = vec![1];
    world.settle();
    assert_eq!(world.told(0), ["gap", "two 1000-1 own"]);
}

/// Saves the session of a client that has seen the first event, and lets so many pass.
fn missed_by_one(world: &mut World, events: usize) {
    world.emit(0, "seen", Target::all());
    world.nodes[0].save_session(world.now, &session(&[]), 120 * SECOND);
    (0..events).for_each(|_| world.emit(0, "missed", Target::all()));
    world.settle();
}

#[test]
fn a_session_that_was_taken_and_is_lost_is_told_with_the_reason() {
    let config = NodeConfig::default().with_max_recovered_entries(100);
    for (events, offset, expected) in [
        (100, "1000-0", None),
        (101, "1000-0", Some(LostReason::TooMany)),
        (1, "999-0", Some(LostReason::Gap)),
    ] {
        let mut world = World::with(1, config.clone());
        missed_by_one(&mut world, events);
        let lookup = world.nodes[0].find_session(world.now, "/", "secret", offset).unwrap();
        world.settle();
        assert_eq!(world.lost, expected.map(|reason| (lookup, reason)).into_iter().collect::<Vec<_>>());
        assert_eq!(world.missed().map(|missed| missed.len()), expected.is_none().then_some(events));
    }
    // Too many bytes for others, and for it.
    for room in ["r", "a socket's id"] {
        let mut world = World::with(1, NodeConfig::default().with_max_recovered_bytes(20_000));
        missed_by_one(&mut world, 0);
        (0..100).for_each(|_| world.emit(0, "x".repeat(200).as_str(), Target::all().to(room)));
        world.settle();
        let lookup = world.nodes[0].find_session(world.now, "/", "secret", "1000-0").unwrap();
        world.settle();
        assert_eq!(world.lost, [(lookup, LostReason::TooMuch)]);
    }
    // The bus goes while it is read.
    let mut world = World::new(1);
    missed_by_one(&mut world, 10);
    world.pages = Some(Vec::new());
    let lookup = world.nodes[0].find_session(world.now, "/", "secret", "1000-0").unwrap();
    world.transmit();
    world.nodes[0].handle_bus_down(world.now);
    world.events();
    assert_eq!(world.lost, [(lookup, LostReason::BusAway)]);
}

#[test]
fn pages_are_bounded_and_few_are_read_at_a_time() {
    let mut world = World::with(1, NodeConfig::default());
    world.emit(0, "seen", Target::all());
    (0..400).for_each(|_| world.emit(0, "small", Target::all()));
    (0..150).for_each(|_| world.emit(0, "x".repeat(20_000).as_str(), Target::all().to("r")));
    world.settle();
    world.pages = Some(Vec::new());
    let mut counts: BTreeMap<LookupId, Vec<usize>> = BTreeMap::new();
    for number in 0..5 {
        let pid: std::sync::Arc<str> = format!("secret {number}").into();
        let of_it = Session { pid: pid.clone(), ..session(&[]) };
        world.nodes[0].save_session(world.now, &of_it, 120 * SECOND);
        world.nodes[0].find_session(world.now, "/", &pid, "1000-0").unwrap();
    }
    loop {
        world.transmit();
        let pages = world.pages.as_mut().unwrap();
        assert!(pages.len() <= 4);
        if pages.is_empty() {
            break;
        }
        let (from, count, lookup) = pages.remove(0);
        counts.entry(lookup).or_default().push(count);
        let at = world.stream.partition_point(|entry| entry.id.parse::<EntryId>().unwrap() < from);
        world.nodes[0].handle_page(world.now, lookup, world.stream[at..].iter().take(count));
    }
    world.events();
    assert_eq!(world.found.len(), 5);
    assert!(world.found.iter().all(|found| found.as_ref().unwrap().missed.len() == 400));
    for counts in counts.values() {
        assert_eq!(counts[..4], [16, 64, 256, 256]);
        assert!(counts[4] < 100, "large ones come a few at a time: {counts:?}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    /// Two nodes emit, write and read at any time, and a client moves from one to the other meanwhile.
    #[test]
    fn a_client_that_moves_hears_each_event_once_and_in_order_whatever_the_timing(
        steps in vec(0u8..6, 20..160),
        cut in 5usize..60,
        away in 0usize..40,
    ) {
        let mut world = World::new(2);
        let id = |told: &String| told.split(' ').nth(1).unwrap().to_owned();
        let mut heard: Option<Vec<String>> = None;
        let mut asked_at = None;
        for (number, step) in steps.iter().enumerate() {
            match step {
                at @ (0 | 1) => world.emit((*at).into(), "event", Target::all()),
                at @ (2 | 3) => drop(world.read((*at - 2).into())),
                at => drop(world.transmit_one((*at - 4).into())),
            }
            world.events();
            if number >= cut && heard.is_none() && !world.told[0].is_empty() {
                heard = Some(world.told[0].iter().map(id).collect());
                world.nodes[0].save_session(world.now, &session(&[]), 120 * SECOND);
            }
            if let Some(offset) = heard.as_ref().and_then(|heard| heard.last()) {
                if number >= cut + away && asked_at.is_none() {
                    // What was saved is there before anybody asks.
                    while world.transmit_one(0) {}
                    world.events();
                    asked_at = Some(world.told[1].len());
                    prop_assert!(world.nodes[1].find_session(world.now, "/", "secret", offset).is_some());
                }
            }
        }
        world.settle();
        prop_assume!(asked_at.is_some());
        let found = world.found[0].as_ref().expect("it was there");
        let mut heard = heard.unwrap_or_default();
        heard.extend(found.missed.iter().map(|(id, _)| id.to_string()));
        // What passed while it was looked for, as far as it was not read for the client; and what came after.
        let (passed, after) = world.told[1][asked_at.unwrap()..].split_at(world.told_before - asked_at.unwrap());
        let is_new = |id: &String| id.parse::<EntryId>().unwrap() > found.read_to;
        heard.extend(passed.iter().map(id).filter(is_new));
        heard.extend(after.iter().map(id));
        let all: Vec<String> = world.stream.iter().map(|entry| entry.id.clone()).collect();
        prop_assert_eq!(heard, all);
    }
}
