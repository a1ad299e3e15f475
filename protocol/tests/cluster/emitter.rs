//! Processes without a server, which only write: in every dialect, what nodes make of it, and that nobody counts them.

use crate::world::{World, dialects, id};
use sansocket_protocol::cluster::node::{Ask, AskError, Dialect, Membership, NodeConfig};
use sansocket_protocol::cluster::{Bridge, Classic, Event, InexpressibleError, Message, Python};
use sansocket_protocol::hub::Target;
use std::time::Duration;

/// Two nodes of a dialect, and an emitter behind them.
fn world(dialect: &Dialect) -> World {
    let mut world = World::new(2, dialect);
    world.add_emitter(dialect);
    world.settle();
    world.log.clear();
    world
}

const EMITTER: usize = 2;

fn is_python(dialect: &Dialect) -> bool {
    matches!(dialect, Dialect::Python(_))
}

#[test]
fn what_an_emitter_says_reaches_each_socket_once() {
    for dialect in dialects() {
        let mut world = world(&dialect);
        assert!(world.emit(EMITTER, "all", Target::all()));
        world.settle();
        assert_eq!(world.got(), ["a0 all", "a1 all", "b0 all", "b1 all"], "{dialect:?}");
        world.emit(EMITTER, "room", Target::all().to("r").except(id("a0")));
        world.settle();
        assert_eq!(world.got(), ["a1 room"], "{dialect:?}");
        let (target, rooms) = (Target::all().to(id("b1")), vec!["r".into()]);
        world.send(EMITTER, Message::Join { target: target.clone(), rooms });
        world.settle();
        world.emit(EMITTER, "late", Target::all().to("r"));
        world.settle();
        assert_eq!(world.got(), ["a0 late", "a1 late", "b1 late"], "{dialect:?}");
        world.send(EMITTER, Message::close_room("r"));
        world.settle();
        world.emit(EMITTER, "late", Target::all().to("r"));
        world.settle();
        assert_eq!(world.got(), [""; 0], "{dialect:?}");
        world.send(EMITTER, Message::Disconnect { target, close: false });
        world.settle();
        world.emit(0, "left", Target::all());
        world.settle();
        assert_eq!(world.got(), ["a0 left", "a1 left", "b0 left"], "{dialect:?}");
    }
}

#[test]
fn an_emitter_speaks_to_the_servers_where_the_dialect_can() {
    for dialect in dialects() {
        let mut world = world(&dialect);
        let event = Event::new("config", &7).unwrap();
        let message = Message::ServerSideEmit { event, request: None };
        let now = world.now;
        let sent = world.processes[EMITTER].node.send(now, "/", message);
        world.settle();
        if is_python(&dialect) {
            assert_eq!(sent, Err(InexpressibleError::Kind { kind: "server-side emit" }));
        } else {
            assert_eq!(sent, Ok(true));
            assert_eq!(world.got(), ["node config", "node config"], "{dialect:?}");
        }
    }
}

#[test]
fn nobody_counts_an_emitter_or_waits_for_it() {
    for dialect in dialects().iter().filter(|dialect| !is_python(dialect)) {
        let mut world = world(dialect);
        world.emit(EMITTER, "all", Target::all());
        world.settle();
        assert_eq!(world.processes[EMITTER].subscriptions, []);
        if let Membership::Heard { nodes } = world.processes[0].node.membership("/") {
            assert_eq!(nodes, 1, "{dialect:?}");
        }
        let asked = world.ask(0, Ask::Sockets { target: Target::all() });
        world.settle();
        let outcome = &world.processes[0].done[&asked];
        assert!(outcome.is_complete() && outcome.sockets.len() == 2, "{dialect:?} {outcome:?}");
        let now = world.now;
        let node = &mut world.processes[EMITTER].node;
        let asked = node.ask(now, "/", Ask::Nodes, Duration::from_secs(1));
        assert_eq!(asked, Err(AskError::NotOpen));
        node.open(now, "/");
        assert!(!node.has_transmits() && node.poll_timeout().is_none(), "it says nothing by itself");
    }
}

#[test]
fn an_emitter_that_speaks_to_both_families_is_copied_by_no_bridge() {
    let bridge = Dialect::Bridge(Bridge::default());
    let (python, classic) = (Dialect::Python(Python::default()), Dialect::Classic(Classic::default()));
    for bridges in 0..3 {
        let mut dialects = vec![python.clone(), classic.clone()];
        dialects.extend(vec![bridge.clone(); bridges]);
        let mut world = World::mixed(&dialects, NodeConfig::default());
        world.pass(Duration::from_secs(1));
        world.add_emitter(&bridge);
        world.settle();
        world.log.clear();
        let all = world.processes.len() - 1;
        world.emit(all, "all", Target::all());
        world.settle();
        let mut expected: Vec<String> =
            (0..all).flat_map(|at| [format!("a{at} all"), format!("b{at} all")]).collect();
        expected.sort();
        assert_eq!(world.got(), expected, "{bridges} bridges");
        assert_eq!(world.log.len(), 2);
    }
}

#[test]
fn bridges_copy_what_an_emitter_says_to_one_family() {
    let bridge = Dialect::Bridge(Bridge::default());
    for of_emitter in [Dialect::Python(Python::default()), Dialect::Classic(Classic::default())] {
        let mut dialects = vec![Dialect::Python(Python::default()), Dialect::Classic(Classic::default())];
        dialects.extend(vec![bridge.clone(); 2]);
        let mut world = World::mixed(&dialects, NodeConfig::default());
        world.pass(Duration::from_secs(1));
        world.add_emitter(&of_emitter);
        world.settle();
        world.emit(4, "all", Target::all());
        world.settle();
        let got = world.got();
        assert_eq!(got, ["a0 all", "a1 all", "a2 all", "a3 all", "b0 all", "b1 all", "b2 all", "b3 all"]);
    }
}

#[test]
fn while_the_bus_is_away_nothing_is_sent_and_that_is_said() {
    for dialect in dialects() {
        let mut world = world(&dialect);
        world.bus(false);
        assert!(!world.emit(EMITTER, "lost", Target::all()));
        world.bus(true);
        assert!(world.emit(EMITTER, "back", Target::all().to(id("a0"))));
        world.settle();
        assert_eq!(world.got(), ["a0 back"], "{dialect:?}");
    }
}
