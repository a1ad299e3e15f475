//! Bridges between Python and JavaScript: everything once, whoever sends it and however many bridges there are.

use crate::world::{World, id};
use proptest::prelude::*;
use sansocket_protocol::cluster::node::{Ask, Dialect, NodeConfig, NodeEvent};
use sansocket_protocol::cluster::{Bridge, Classic, Event, Message, Python, Values};
use sansocket_protocol::hub::Target;
use std::time::Duration;

const SECOND: Duration = Duration::from_secs(1);

fn bridge() -> Dialect {
    Dialect::Bridge(Bridge::default())
}

fn classic() -> Dialect {
    Dialect::Classic(Classic::default())
}

fn python() -> Dialect {
    Dialect::Python(Python::default())
}

/// Two nodes of each family, and so many bridges behind them; ready.
fn world(bridges: usize) -> World {
    let mut dialects = vec![python(), python(), classic(), classic()];
    dialects.extend(vec![bridge(); bridges]);
    let mut world = World::mixed(&dialects, NodeConfig::default());
    world.pass(SECOND);
    let ready = |at: usize| world.processes[at].node.bridges();
    assert!((4..4 + bridges).all(|at| ready(at) == Some((bridges - 1, true))));
    world.log.clear();
    world
}

fn sockets(names: &[&str], nodes: usize, event: &str) -> Vec<String> {
    let mut all: Vec<String> = (0..nodes)
        .flat_map(|number| names.iter().map(move |name| format!("{name}{number} {event}")))
        .collect();
    all.sort();
    all
}

#[test]
fn everybody_hears_everybody_once() {
    for bridges in 1..=4 {
        let mut world = world(bridges);
        let nodes = 4 + bridges;
        for at in 0..nodes {
            world.emit(at, "all", Target::all());
            world.settle();
            assert_eq!(world.got(), sockets(&["a", "b"], nodes, "all"), "{bridges} bridges, from {at}");
            // The message, its copy, and no more.
            assert_eq!(world.log.len(), 2, "{:?}", world.log);
            world.log.clear();
            world.emit(at, "room", Target::all().to("r").except(id("a0")).except(id("a3")));
            world.settle();
            let expected: Vec<String> = sockets(&["a"], nodes, "room")
                .into_iter()
                .filter(|got| !got.starts_with("a0") && !got.starts_with("a3"))
                .collect();
            assert_eq!(world.got(), expected, "{bridges} bridges, from {at}");
            for to in 0..nodes {
                world.emit(at, "one", Target::all().to(id(&format!("b{to}"))));
                world.settle();
                assert_eq!(world.got(), [format!("b{to} one")], "{bridges} bridges, from {at}");
            }
            world.log.clear();
        }
    }
}

#[test]
fn rooms_are_changed_in_both_families() {
    for bridges in 1..=3 {
        for (from, to) in [(0, 2), (2, 0), (0, 4), (4, 0), (4, 2), (2, 4)] {
            let mut world = world(bridges);
            let one = Target::all().to(id(&format!("b{to}")));
            world.send(from, Message::Join { target: one.clone(), rooms: vec!["late".into()] });
            world.settle();
            world.emit(from, "e", Target::all().to("late"));
            world.settle();
            assert_eq!(world.got(), [format!("b{to} e")]);
            world.send(from, Message::close_room("late"));
            world.settle();
            world.emit(from, "e", Target::all().to("late"));
            world.settle();
            assert_eq!(world.got(), [""; 0]);
            world.send(from, Message::Disconnect { target: one.clone(), close: false });
            world.settle();
            world.emit(from, "e", one);
            world.settle();
            assert_eq!(world.got(), [""; 0]);
        }
    }
}

fn ask(event: &str, target: Target, single: bool) -> Ask {
    Ask::Acks { event: Event::new(event, &()).unwrap(), target, single, max_bytes: usize::MAX }
}

fn answers(world: &World, at: usize, ask: sansocket_protocol::cluster::node::AskId) -> Vec<String> {
    let outcome = &world.processes[at].done[&ask];
    let mut all: Vec<String> =
        outcome.answers.iter().map(|values| values.args().decode::<String>().unwrap()).collect();
    all.sort();
    all
}

#[test]
fn one_socket_answers_across_families() {
    for bridges in 1..=3 {
        for from in 0..4 + bridges {
            for to in (0..4 + bridges).filter(|to| *to != from) {
                let mut world = world(bridges);
                let name = format!("b{to}");
                let single = from % 2 == 0;
                let asked = world.ask(from, ask("ask", Target::all().to(id(&name)), single));
                world.pass(SECOND);
                if from < 2 && !single {
                    // Python's own node says nowhere that it is done.
                    world.pass(5 * SECOND);
                }
                assert_eq!(world.got(), [format!("{name} ask")], "{bridges} bridges, {from} to {to}");
                assert_eq!(answers(&world, from, asked), [format!("ack-{name}")], "{from} to {to}");
                assert_eq!(world.processes[from].done[&asked].missing_acks, 0);
                world.pass(100 * SECOND);
                for process in &world.processes {
                    assert_eq!(process.node.open_requests(), (0, 0));
                    assert_eq!(process.node.open_copies(), (0, 0));
                }
            }
        }
    }
}

#[test]
fn several_sockets_answer_across_families() {
    for bridges in 1..=3 {
        let nodes = 4 + bridges;
        for from in 0..nodes {
            let mut world = world(bridges);
            let asked = world.ask(from, ask("ask", Target::all().to("r"), false));
            world.settle();
            let is_done = world.processes[from].done.contains_key(&asked);
            assert!(!is_done, "Python's clients say nowhere how many they are");
            world.pass(SECOND);
            if from >= 2 {
                assert!(world.processes[from].done[&asked].is_complete());
            } else {
                world.pass(5 * SECOND);
            }
            let expected: Vec<String> =
                (0..nodes).filter(|to| *to != from).map(|to| format!("ack-a{to}")).collect();
            assert_eq!(answers(&world, from, asked), expected, "{bridges} bridges, from {from}");
        }
    }
}

#[test]
fn a_request_to_a_socket_that_is_nowhere_ends_before_its_asker_gives_up() {
    let mut world = world(2);
    for from in [2, 4] {
        let asked = world.ask(from, ask("ask", Target::all().to(id("nobody")), false));
        world.pass(5 * SECOND);
        let outcome = &world.processes[from].done[&asked];
        assert!(outcome.answers.is_empty() && outcome.missing_acks == 0, "{outcome:?}");
        assert!(outcome.is_complete(), "{outcome:?}");
    }
}

#[test]
fn sockets_nodes_and_server_side_emits_are_those_of_javascript() {
    let mut world = world(2);
    let fetched = world.ask(2, Ask::Sockets { target: Target::all() });
    let counted = world.ask(4, Ask::Nodes);
    let told = world.ask(3, Ask::ServerSide { event: Event::new("tell", &()).unwrap() });
    world.settle();
    assert_eq!(world.processes[2].done[&fetched].sockets.len(), 6, "of 3 nodes that are not its own");
    assert_eq!(world.processes[4].done[&counted].nodes, Some(3));
    assert_eq!(answers(&world, 3, told), ["tell"; 3]);
}

#[test]
fn bytes_go_both_ways_and_only_what_has_no_form_is_counted() {
    let mut world = world(2);
    let bytes = bytes::Bytes::from_static(&[1, 2, 3]);
    for at in [0, 2, 4] {
        let event = Event::new("bytes", &(&bytes, 7)).unwrap();
        world.send(at, Message::Emit { event, target: Target::all(), ack: None });
        world.settle();
        assert_eq!(world.got(), sockets(&["a", "b"], 6, "bytes"));
    }
    let inexpressible = |world: &World| -> u64 {
        world.processes.iter().map(|process| process.node.counts().inexpressible).sum()
    };
    assert_eq!(inexpressible(&world), 0);
    // A join of everybody: Python has no word for it.
    world.send(2, Message::Join { target: Target::all(), rooms: vec!["x".into()] });
    world.settle();
    assert_eq!(inexpressible(&world), 1);
    let values = Values::new(&bytes).unwrap();
    assert_eq!(values.len(), 1);
}

#[test]
fn a_bridge_that_comes_or_leaves_by_saying_so_loses_and_repeats_nothing() {
    let mut world = World::mixed(&[python(), classic(), bridge(), bridge(), bridge()], NodeConfig::default());
    // The third is not there yet.
    world.processes[4].node.handle_bus_down(world.now);
    world.settle();
    world.pass(SECOND);
    let mut number = 0;
    let mut rounds = |world: &mut World, nodes: &[usize]| {
        for _ in 0..10 {
            for at in [0, 1, 2] {
                number += 1;
                let name = number.to_string();
                world.emit(at, &name, Target::all());
                world.pass(Duration::from_millis(30));
                let got = world.got();
                for to in nodes {
                    let times = got.iter().filter(|got| **got == format!("a{to} {name}")).count();
                    assert_eq!(times, 1, "{name} at {to} from {at}: {got:?}");
                }
            }
        }
    };
    rounds(&mut world, &[0, 1, 2, 3]);
    world.processes[4].node.handle_bus_up(world.now);
    rounds(&mut world, &[0, 1, 2, 3, 4]);
    assert_eq!(world.processes[4].node.bridges(), Some((2, true)));
    let now = world.now;
    world.processes[3].node.close(now, "/");
    rounds(&mut world, &[0, 1, 2, 4]);
    assert_eq!(world.processes[4].node.bridges(), Some((1, true)));
    // One that dies is missed for as long as the others wait for it, and no longer.
    world.processes[4].is_dead = true;
    world.pass(12 * SECOND);
    rounds(&mut world, &[0, 1, 2]);
    let down = |event: &NodeEvent| matches!(event, NodeEvent::BusDown);
    assert!(!world.processes[2].told.iter().any(down));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Any nodes, any messages: each socket gets what it is meant to get once, and the messages on the bus are at most
    /// two for each that was sent.
    #[test]
    fn each_message_reaches_each_socket_once(
        pythons in 0..3usize,
        javascripts in 0..3usize,
        bridges in 1..5usize,
        steps in prop::collection::vec((any::<prop::sample::Index>(), 0..4u8, any::<prop::sample::Index>(), any::<bool>()), 1..40),
    ) {
        let mut dialects = vec![python(); pythons];
        dialects.extend(vec![classic(); javascripts]);
        dialects.extend(vec![bridge(); bridges]);
        let nodes = dialects.len();
        let mut world = World::mixed(&dialects, NodeConfig::default());
        world.pass(SECOND);
        world.log.clear();
        let mut expected: Vec<String> = Vec::new();
        for (number, (from, kind, to, settles)) in steps.iter().enumerate() {
            let (from, to) = (from.index(nodes), to.index(nodes));
            let name = number.to_string();
            let (target, names) = match kind {
                0 => (Target::all(), &["a", "b"][..]),
                1 => (Target::all().to("r"), &["a"][..]),
                2 => (Target::all().to("r").except(id(&format!("a{to}"))), &["a"][..]),
                _ => (Target::all().to(id(&format!("b{to}"))), &["b"][..]),
            };
            let is_left_out = |got: &String| match kind {
                2 => got.starts_with(&format!("a{to} ")),
                3 => !got.starts_with(&format!("b{to} ")),
                _ => false,
            };
            expected.extend(sockets(names, nodes, &name).into_iter().filter(|got| !is_left_out(got)));
            world.emit(from, &name, target);
            if *settles {
                world.settle();
            }
        }
        world.settle();
        expected.sort();
        prop_assert_eq!(world.got(), expected);
        prop_assert!(world.log.len() <= 2 * steps.len(), "{} messages", world.log.len());
    }
}
