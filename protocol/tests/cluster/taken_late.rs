//! Sessions that the bus takes for searches that have ended meanwhile.

use super::recovery::{SECOND, World, session};
use bytes::Bytes;
use sansocket_protocol::cluster::Session;
use sansocket_protocol::cluster::node::{LookupId, NodeConfig, NodeTransmit};
use sansocket_protocol::hub::Target;

/// An answer of the engine that is on its way.
struct Taken {
    lookup: LookupId,
    value: Option<Bytes>,
}

impl World {
    /// A session is kept whose client has seen the first event, and has missed the second one.
    fn keeps_one(config: NodeConfig) -> Self {
        let mut world = Self::with(2, config);
        world.emit(0, "seen", Target::all());
        world.settle();
        assert!(world.nodes[0].save_session(world.now, &session(&[]), 120 * SECOND));
        world.emit(0, "missed", Target::all());
        world.settle();
        world
    }

    /// A node looks for it: the engine takes it, and its answer does not come yet.
    fn takes(&mut self, at: usize) -> Taken {
        let lookup = self.nodes[at].find_session(self.now, "/", "secret", "1000-0").unwrap();
        match self.nodes[at].poll_transmit().expect("it is asked for") {
            NodeTransmit::Take { key, .. } => Taken { lookup, value: self.keys.remove(&key) },
            other => panic!("{other:?}"),
        }
    }

    fn answers(&mut self, at: usize, taken: &Taken) {
        self.nodes[at].handle_taken(self.now, taken.lookup, taken.value.as_deref(), true);
    }

    fn passes(&mut self, seconds: u32) {
        self.now = self.now + seconds * SECOND;
        for node in &mut self.nodes {
            assert_eq!(node.inconsistency(), None);
            node.handle_timeout(self.now);
            assert_eq!(node.inconsistency(), None);
        }
        self.events();
    }
}

#[test]
fn a_session_that_was_taken_for_nobody_waits_again_once() {
    let mut world = World::keeps_one(NodeConfig::default());
    let taken = world.takes(1);
    assert!(taken.value.is_some());
    world.passes(5);
    assert_eq!(world.found, [None], "its client does not wait any longer");
    world.answers(1, &taken);
    world.settle();
    assert_eq!(world.keys.values().collect::<Vec<_>>(), [taken.value.as_ref().unwrap()]);
    // It is found by the next one, at any node, and by nobody after that.
    world.found.clear();
    assert!(world.nodes[0].find_session(world.now, "/", "secret", "1000-0").is_some());
    world.settle();
    assert_eq!(world.missed().unwrap(), ["missed 1000-1"]);
    world.answers(1, &taken);
    world.settle();
    assert!(world.keys.is_empty() && world.found.is_empty(), "it is put back once");
    assert!(world.nodes.iter().all(|node| node.poll_timeout().is_none()));
}

#[test]
fn a_session_that_was_taken_late_goes_to_the_search_that_follows() {
    let mut world = World::keeps_one(NodeConfig::default());
    let first = world.takes(1);
    world.passes(5);
    world.found.clear();
    let second = world.takes(1);
    assert!(first.value.is_some() && second.value.is_none());
    world.answers(1, &first);
    world.answers(1, &second);
    world.settle();
    assert_eq!(world.missed().unwrap(), ["missed 1000-1"]);
    assert!(world.keys.is_empty());
    assert!(world.nodes.iter().all(|node| node.poll_timeout().is_none()));
}

#[test]
fn a_search_that_a_gap_has_ended_puts_its_session_back_too() {
    let mut world = World::keeps_one(NodeConfig::default());
    let taken = world.takes(1);
    world.nodes[1].handle_stream_gap(world.now);
    world.events();
    assert_eq!(world.found, [None]);
    world.answers(1, &taken);
    world.settle();
    assert_eq!(world.keys.len(), 1);
}

#[test]
fn a_session_that_cannot_be_put_back_is_told_as_lost() {
    // There is room for another one, and none besides while that waits for the driver.
    let rooms = ["r".repeat(200), "q".repeat(200), "p".repeat(200)];
    let other = session(&rooms.each_ref().map(|room| room.as_str()));
    let other = Session { pid: "other".into(), ..other };
    let room = other.encode(&Default::default()).unwrap().len();
    let mut world = World::keeps_one(NodeConfig::default().with_max_waiting_bytes(room));
    let taken = world.takes(1);
    world.passes(5);
    world.found.clear();
    assert!(world.nodes[1].save_session(world.now, &other, 120 * SECOND));
    world.answers(1, &taken);
    world.events();
    assert_eq!(world.lost.len(), 1);
    world.settle();
    assert_eq!(world.keys.keys().collect::<Vec<_>>(), ["sio:session:other"]);
}

#[test]
fn searches_that_wait_for_late_answers_are_bounded_and_end() {
    let mut world = World::keeps_one(NodeConfig::default().with_max_lookups(2));
    let late = [world.takes(1), world.takes(1)];
    world.passes(5);
    let is_found =
        |world: &mut World| world.nodes[1].find_session(world.now, "/", "secret", "1000-0").is_some();
    assert!(!is_found(&mut world), "two may take sessions still");
    // An answer that is not the session that was asked for is none.
    world.nodes[1].handle_taken(world.now, late[1].lookup, Some(b"?"), true);
    assert_eq!(world.nodes[1].counts().malformed, 1);
    assert!(!world.nodes[1].has_transmits());
    assert!(is_found(&mut world));
    world.nodes[1].handle_bus_down(world.now);
    world.nodes[1].handle_bus_up(world.now);
    world.settle();
    // Their answers would have come on the connection that is gone.
    world.answers(1, &late[0]);
    world.settle();
    assert!(world.keys.is_empty());
    world.found.clear();
    let silent = [world.takes(1), world.takes(1)];
    world.passes(5);
    assert!(!is_found(&mut world));
    world.passes(300);
    assert!(is_found(&mut world), "a driver that says nothing is not waited for without an end");
    world.answers(1, &silent[0]);
    assert!(world.keys.is_empty());
}
