//! Several nodes on one bus, in every dialect: what everybody gets, what comes of requests, and faults.

use crate::world::{World, dialects, id};
use bytes::Bytes;
use sansocket_protocol::cluster::node::{Ask, AskError, Dialect, Membership, NodeConfig, NodeEvent, Outcome};
use sansocket_protocol::cluster::{
    Classic, Envelope, Event, Message, Origin, Postgres, Published, Python, Sharded,
};
use sansocket_protocol::hub::Target;
use std::time::Duration;

const SECOND: Duration = Duration::from_secs(1);

fn heartbeats() -> Dialect {
    Dialect::Heartbeats(Sharded::default())
}

fn event(name: &str) -> Event {
    Event::new(name, &()).unwrap()
}

fn acks(target: Target) -> Ask {
    Ask::Acks { event: event("ask"), target, single: false, max_bytes: usize::MAX }
}

/// The texts that answers have, sorted.
fn answers(outcome: &Outcome) -> Vec<String> {
    let mut answers: Vec<String> =
        outcome.answers.iter().map(|values| values.args().decode::<String>().unwrap()).collect();
    answers.sort();
    answers
}

#[test]
fn everybody_gets_a_broadcast_once_and_at_once_at_home() {
    for dialect in dialects() {
        let mut world = World::new(3, &dialect);
        assert!(world.emit(0, "all", Target::all()));
        assert_eq!(world.processes[0].got, ["a0 all", "b0 all"], "before the bus did anything");
        world.settle();
        assert_eq!(world.got(), ["a0 all", "a1 all", "a2 all", "b0 all", "b1 all", "b2 all"], "{dialect:?}");
        world.emit(1, "room", Target::all().to("r").except(id("a0")));
        world.settle();
        assert_eq!(world.got(), ["a1 room", "a2 room"], "{dialect:?}");
        world.emit(2, "one", Target::all().to(id("b0")));
        world.settle();
        assert_eq!(world.got(), ["b0 one"], "{dialect:?}");
        assert!(!world.emit(2, "here", Target::all().local()));
        world.settle();
        assert_eq!(world.got(), ["a2 here", "b2 here"]);
    }
}

#[test]
fn messages_of_one_node_arrive_in_order() {
    for dialect in dialects() {
        let mut world = World::new(2, &dialect);
        for number in 0..50 {
            world.emit(0, &number.to_string(), Target::all().to(id("b1")));
        }
        world.settle();
        let expected: Vec<String> = (0..50).map(|number| format!("b1 {number}")).collect();
        assert_eq!(world.processes[1].got, expected);
    }
}

#[test]
fn joins_leaves_and_disconnects_are_applied_everywhere() {
    for dialect in dialects() {
        let mut world = World::new(2, &dialect);
        world.send(0, Message::Join { target: Target::all().to(id("b1")), rooms: vec!["late".into()] });
        world.settle();
        world.processes[1].node.room_began("/", "late");
        world.settle();
        world.emit(0, "e", Target::all().to("late"));
        world.settle();
        assert_eq!(world.got(), ["b1 e"], "{dialect:?}");
        world.send(0, Message::close_room("late"));
        world.settle();
        world.emit(0, "e", Target::all().to("late"));
        world.settle();
        assert_eq!(world.got(), [""; 0]);
        world.send(0, Message::Disconnect { target: Target::all().to(id("b1")), close: true });
        world.settle();
        world.emit(0, "e", Target::all());
        world.settle();
        assert_eq!(world.got(), ["a0 e", "a1 e", "b0 e"]);
    }
}

#[test]
fn acknowledgements_are_collected_across_nodes() {
    for dialect in dialects() {
        let mut world = World::new(3, &dialect);
        let all = world.ask(0, acks(Target::all()));
        world.settle();
        if let Dialect::Python(_) = dialect {
            // Nobody knows how many are to come.
            world.pass(5 * SECOND);
        }
        let outcome = &world.processes[0].done[&all];
        assert_eq!(answers(outcome), ["ack-a1", "ack-a2", "ack-b1", "ack-b2"], "{dialect:?}");
        assert_eq!(outcome.missing_acks, 0);
        assert_eq!(outcome.is_complete(), !matches!(dialect, Dialect::Python(_)));

        let nobody = world.ask(0, acks(Target::all().to("nobody")));
        let one = world.ask(
            0,
            Ask::Acks {
                event: event("ask"),
                target: Target::all().to(id("b2")),
                single: true,
                max_bytes: usize::MAX,
            },
        );
        world.settle();
        let answered = world.processes[0].done.get(&one).map(answers);
        assert_eq!(answered.unwrap_or_default(), ["ack-b2"], "{dialect:?}");
        assert_eq!(world.processes[0].done.contains_key(&nobody), !matches!(dialect, Dialect::Python(_)));
        world.pass(5 * SECOND);
        assert!(world.processes[0].done[&nobody].answers.is_empty());
        for process in &world.processes {
            assert_eq!(process.node.open_requests(), (0, 0), "{dialect:?}");
        }
    }
}

#[test]
fn a_socket_that_does_not_answer_is_missing_at_the_deadline() {
    for dialect in dialects() {
        let mut world = World::new(3, &dialect);
        world.processes[2].acks = false;
        let ask = world.ask(0, acks(Target::all()));
        world.pass(4 * SECOND);
        assert!(world.processes[0].done.is_empty());
        world.pass(SECOND);
        let outcome = &world.processes[0].done[&ask];
        assert_eq!(answers(outcome), ["ack-a1", "ack-b1"]);
        if let Dialect::Python(_) = dialect {
            assert_eq!((outcome.missing_nodes, outcome.missing_acks), (None, 0));
        } else {
            assert_eq!((outcome.missing_nodes, outcome.missing_acks), (Some(0), 2), "{dialect:?}");
        }
        for process in &world.processes {
            assert_eq!(process.node.open_requests(), (0, 0));
        }
    }
}

#[test]
fn sockets_and_nodes_of_the_whole_cluster_are_told() {
    for dialect in dialects() {
        let mut world = World::new(3, &dialect);
        let now = world.now;
        let node = &mut world.processes[0].node;
        let fetch = Ask::Sockets { target: Target::all().to("r") };
        if let Dialect::Python(_) = dialect {
            let refused = node.ask(now, "/", fetch, SECOND).unwrap_err();
            assert!(matches!(refused, AskError::Inexpressible(_)));
            let nodes = world.ask(0, Ask::Nodes);
            world.settle();
            assert_eq!(world.processes[0].done[&nodes].nodes, None);
            assert_eq!(world.processes[0].done[&nodes].missing_nodes, None);
            assert_eq!(world.processes[0].node.open_requests(), (0, 0));
            continue;
        }
        let fetch = world.ask(0, fetch);
        let nodes = world.ask(0, Ask::Nodes);
        let server = world.ask(0, Ask::ServerSide { event: event("tell") });
        world.settle();
        let done = &world.processes[0].done;
        let mut ids: Vec<&str> = done[&fetch].sockets.iter().map(|socket| &*socket.id).collect();
        ids.sort_unstable();
        assert_eq!(ids, [id("a1"), id("a2")], "{dialect:?}");
        let socket = done[&fetch].sockets.iter().find(|socket| *socket.id == *id("a1")).unwrap();
        assert_eq!(socket.rooms, [id("a1").into(), "r".into()]);
        assert_eq!(done[&nodes].nodes, Some(2));
        assert_eq!(answers(&done[&server]), ["tell", "tell"]);
        assert!([fetch, nodes, server].iter().all(|ask| done[ask].is_complete()));
        assert_eq!(world.got(), ["node tell", "node tell"]);
    }
}

#[test]
fn a_node_alone_has_its_answers_at_once() {
    for dialect in dialects() {
        let mut world = World::new(1, &dialect);
        let ask = world.ask(0, acks(Target::all()));
        world.settle();
        if let Dialect::Python(_) = dialect {
            world.pass(5 * SECOND);
            assert!(world.processes[0].done.contains_key(&ask));
        } else {
            assert!(world.processes[0].done[&ask].is_complete());
        }
        let local = world.ask(0, acks(Target::all().local()));
        world.settle();
        assert!(world.processes[0].done[&local].is_complete());
    }
}

#[test]
fn nodes_hear_of_each_other_and_of_their_end() {
    for dialect in [heartbeats(), Dialect::Postgres(Postgres::default())] {
        let mut world = World::new(3, &dialect);
        let nodes = |world: &World, at: usize| world.processes[at].node.membership("/");
        for at in 0..3 {
            assert_eq!(nodes(&world, at), Membership::Heard { nodes: 2 });
        }
        world.pass(60 * SECOND);
        assert_eq!(nodes(&world, 0), Membership::Heard { nodes: 2 });
        // About twelve heartbeats each in a minute, and the greetings.
        assert!((36..=45).contains(&world.log.len()), "{}", world.log.len());
        world.processes[2].is_dead = true;
        world.pass(4 * SECOND);
        assert_eq!(nodes(&world, 0), Membership::Heard { nodes: 2 });
        world.pass(7 * SECOND);
        assert_eq!(nodes(&world, 0), Membership::Heard { nodes: 1 });
        let down = |event: &&NodeEvent| matches!(event, NodeEvent::PeerDown { .. });
        assert_eq!(world.processes[0].told.iter().filter(down).count(), 1);
        let now = world.now;
        world.processes[1].node.close(now, "/");
        world.settle();
        assert_eq!(nodes(&world, 0), Membership::Heard { nodes: 0 });
        let ask = world.ask(0, acks(Target::all()));
        world.settle();
        assert!(world.processes[0].done[&ask].is_complete());
    }
    let world = World::new(1, &Dialect::Python(Python::default()));
    assert_eq!(world.processes[0].node.membership("/"), Membership::Unknown);
}

#[test]
fn a_node_that_dies_ends_the_wait_for_it() {
    let mut world = World::new(3, &heartbeats());
    world.processes[2].acks = false;
    let now = world.now;
    let minute = Duration::from_secs(60);
    let ask = world.processes[0].node.ask(now, "/", acks(Target::all()), minute).unwrap();
    world.settle();
    world.processes[2].is_dead = true;
    // Before it has answered anything.
    let fetch = Ask::Sockets { target: Target::all() };
    let fetch = world.processes[0].node.ask(now, "/", fetch, minute).unwrap();
    world.pass(11 * SECOND);
    let done = &world.processes[0].done;
    assert_eq!(answers(&done[&ask]), ["ack-a1", "ack-b1"]);
    assert_eq!((done[&ask].missing_nodes, done[&ask].missing_acks), (Some(0), 2));
    assert_eq!((done[&fetch].sockets.len(), done[&fetch].missing_nodes), (2, Some(1)));
    assert_eq!(world.processes[0].node.open_requests(), (0, 0));
}

#[test]
fn without_the_bus_everything_local_goes_on_and_nothing_waits() {
    for dialect in dialects() {
        let mut world = World::new(2, &dialect);
        world.bus(false);
        assert!(!world.processes[0].node.is_on_bus());
        assert!(!world.emit(0, "alone", Target::all()));
        assert_eq!(world.got(), ["a0 alone", "b0 alone"]);
        assert_eq!(world.processes[0].node.counts().dropped, 1);
        // The request knows that nobody hears it.
        let ask = world.ask(0, acks(Target::all()));
        world.settle();
        let outcome = &world.processes[0].done[&ask];
        assert_eq!((outcome.answers.len(), outcome.missing_nodes), (0, None));
        world.pass(30 * SECOND);
        world.bus(true);
        let gap = NodeEvent::BusUp { gap: Some(30 * SECOND) };
        assert_eq!(world.processes[0].told.iter().filter(|event| **event == gap).count(), 1);
        // Everybody hears everybody again, at once.
        world.emit(1, "back", Target::all());
        world.settle();
        assert_eq!(world.got(), ["a0 back", "a1 back", "b0 back", "b1 back"], "{dialect:?}");
        if dialect == heartbeats() {
            assert_eq!(world.processes[0].node.membership("/"), Membership::Heard { nodes: 1 });
        }
        world.pass(10 * SECOND);
        assert_eq!(world.processes[0].node.open_requests(), (0, 0));
    }
}

#[test]
fn what_is_on_its_way_when_the_bus_fails_is_lost_and_the_request_ends() {
    for dialect in dialects() {
        let mut world = World::new(2, &dialect);
        let ask = world.ask(0, acks(Target::all()));
        world.bus(false);
        world.pass(SECOND);
        world.bus(true);
        world.pass(5 * SECOND);
        let outcome = &world.processes[0].done[&ask];
        assert!(outcome.answers.is_empty() && !outcome.is_complete(), "{dialect:?}");
        assert_eq!(world.processes[0].node.open_requests(), (0, 0));
    }
}

#[test]
fn a_list_ends_when_the_bus_goes_and_acknowledgements_may_still_come_when_it_is_back() {
    for dialect in [heartbeats(), Dialect::Classic(Classic::default())] {
        let mut world = World::new(3, &dialect);
        world.processes[1].acks = false;
        let ask = world.ask(0, acks(Target::all().except(id("a0")).except(id("b0"))));
        world.settle();
        world.processes[2].is_cut = true;
        let fetch = world.ask(0, Ask::Sockets { target: Target::all() });
        world.settle();
        assert!(world.processes[0].done.is_empty(), "node 2 has not answered");
        world.bus(false);
        let outcome = &world.processes[0].done[&fetch];
        assert_eq!((outcome.sockets.len(), outcome.missing_nodes), (2, Some(1)), "{dialect:?}");
        assert!(!world.processes[0].done.contains_key(&ask));
        assert_eq!(world.processes[0].node.counts().asks, 1);
        world.bus(true);
        world.acknowledge(1);
        let outcome = &world.processes[0].done[&ask];
        assert_eq!(answers(outcome), ["ack-a1", "ack-a2", "ack-b1", "ack-b2"]);
        assert!(outcome.is_complete(), "{dialect:?}: {outcome:?}");
        assert_eq!(world.processes[0].node.counts().asks, 0);
    }
}

#[test]
fn a_node_that_is_cut_off_is_missed_and_comes_back() {
    let mut world = World::new(3, &heartbeats());
    world.processes[2].is_cut = true;
    world.pass(11 * SECOND);
    assert_eq!(world.processes[0].node.membership("/"), Membership::Heard { nodes: 1 });
    assert_eq!(world.processes[2].node.membership("/"), Membership::Heard { nodes: 0 });
    world.processes[2].is_cut = false;
    world.pass(5 * SECOND);
    for process in &world.processes {
        assert_eq!(process.node.membership("/"), Membership::Heard { nodes: 2 });
    }
}

#[test]
fn a_dead_node_that_is_still_counted_is_missing_at_the_deadline() {
    for dialect in dialects() {
        let is_counted = matches!(dialect, Dialect::Sharded(_) | Dialect::Streams(_) | Dialect::Classic(_));
        if !is_counted {
            continue;
        }
        let mut world = World::new(3, &dialect);
        world.processes[2].is_cut = true;
        let fetch = world.ask(0, Ask::Sockets { target: Target::all() });
        world.pass(5 * SECOND);
        let outcome = &world.processes[0].done[&fetch];
        assert_eq!((outcome.sockets.len(), outcome.missing_nodes), (2, Some(1)), "{dialect:?}");
    }
}

#[test]
fn duplicates_do_not_complete_a_request_where_nodes_have_names() {
    let mut world = World::new(3, &heartbeats());
    world.duplicates = true;
    let fetch = world.ask(0, Ask::Sockets { target: Target::all() });
    world.settle();
    let outcome = &world.processes[0].done[&fetch];
    assert_eq!((outcome.sockets.len(), outcome.missing_nodes), (4, Some(0)));
}

#[test]
fn emitters_are_no_nodes_and_strangers_change_nothing() {
    for dialect in [heartbeats(), Dialect::Postgres(Postgres::default())] {
        let mut world = World::new(2, &dialect);
        let event = event("news");
        let message = Message::Emit { event, target: Target::all(), ack: None };
        let envelope = Envelope { origin: Origin::Emitter, ..Envelope::new("", "/", message) };
        let limits = Default::default();
        let published = match &dialect {
            Dialect::Postgres(postgres) => match postgres.encode(&envelope, &limits).unwrap() {
                sansocket_protocol::cluster::adapter::Notified::Published(one) => one,
                other => panic!("{other:?}"),
            },
            _ => Sharded::default().encode(&envelope, &limits).unwrap().remove(0),
        };
        world.publish(published.clone());
        world.settle();
        assert_eq!(world.got(), ["a0 news", "a1 news", "b0 news", "b1 news"]);
        assert_eq!(world.processes[0].node.membership("/"), Membership::Heard { nodes: 1 });
        for payload in
            [&b""[..], b"{}", b"\xc1\xc1", b"null", b"{\"type\":3,\"data\":{},\"uid\":\"x\",\"nsp\":\"/\"}"]
        {
            world.publish(Published {
                channel: published.channel.clone(),
                payload: Bytes::from_static(payload),
            });
        }
        world.settle();
        assert_eq!(world.got(), [""; 0]);
        assert_eq!(world.processes[0].node.counts().malformed, 5);
        assert_eq!(world.processes[0].node.membership("/"), Membership::Heard { nodes: 1 });
    }
}

#[test]
fn nothing_grows_beyond_its_limit() {
    let config =
        NodeConfig::default().with_max_asks(2).with_max_servings(1).with_max_peers(1).with_max_answers(3);
    let mut world = World::with(3, &heartbeats(), config);
    assert_eq!(world.processes[0].node.membership("/"), Membership::Heard { nodes: 1 });
    world.processes[0].acks = false;
    world.processes[1].acks = false;
    world.processes[2].acks = false;
    let minute = Duration::from_secs(60);
    let now = world.now;
    let node = &mut world.processes[0].node;
    let first = node.ask(now, "/", acks(Target::all()), minute).unwrap();
    world.settle();
    // The others have each a request open, and say that nobody is there for the second.
    let node = &mut world.processes[0].node;
    let second = node.ask(now, "/", acks(Target::all()), minute).unwrap();
    assert_eq!(node.ask(now, "/", Ask::Nodes, minute), Err(AskError::TooMany { limit: 2 }));
    world.settle();
    assert_eq!(world.processes[0].done[&second].missing_acks, 0);
    assert_eq!(world.processes[1].node.open_requests(), (0, 1));
    assert!(world.processes[1].node.counts().refused > 0);
    assert_eq!(world.got().len(), 8, "the events are delivered nevertheless");
    world.pass(minute);
    assert_eq!(world.processes[0].done[&first].missing_acks, 2);
    for process in &world.processes {
        assert_eq!(process.node.open_requests(), (0, 0));
    }

    let config = NodeConfig::default().with_max_waiting_bytes(300);
    let mut world = World::with(1, &heartbeats(), config);
    let sent: Vec<bool> = (0..5).map(|_| world.emit(0, "e", Target::all())).collect();
    assert_eq!(sent, [true, true, false, false, false]);
    world.settle();
    assert!(world.emit(0, "e", Target::all()));
}

#[test]
fn large_messages_and_bytes_go_by_the_table_of_postgres() {
    let mut world = World::new(2, &Dialect::Postgres(Postgres::default()));
    let before = world.log.len();
    let event = Event::new("big", &"x".repeat(9000)).unwrap();
    world.send(0, Message::Emit { event, target: Target::all(), ack: None });
    world.settle();
    assert_eq!(world.got(), ["a0 big", "a1 big", "b0 big", "b1 big"]);
    let text = String::from_utf8_lossy(&world.log[before].payload).into_owned();
    assert!(text.contains("\"attachmentId\":\"1\""), "{text}");
}

#[test]
fn a_second_namespace_is_another_cluster() {
    for dialect in dialects() {
        let mut world = World::new(2, &dialect);
        let now = world.now;
        world.processes[0].node.open(now, "/admin");
        world.settle();
        let message = Message::Emit { event: event("e"), target: Target::all(), ack: None };
        world.processes[0].node.send(now, "/admin", message.clone()).unwrap();
        world.settle();
        assert_eq!(world.got(), [""; 0], "the other node has no such namespace");
        world.processes[1].node.open(now, "/admin");
        world.settle();
        world.processes[0].node.send(now, "/admin", message).unwrap();
        world.settle();
        assert_eq!(world.got(), ["a1 e", "b1 e"], "{dialect:?}");
        world.processes[1].node.close(now, "/admin");
        world.emit(0, "main", Target::all());
        world.settle();
        assert_eq!(world.got(), ["a0 main", "a1 main", "b0 main", "b1 main"], "{dialect:?}");
    }
}

/// Found by the simulation: answers and events of one room are not heard by everybody, and put the heartbeat off.
#[test]
fn a_node_that_talks_to_some_is_heard_by_all() {
    let mut world = World::new(3, &heartbeats());
    for _ in 0..10 {
        world.pass(3 * SECOND);
        // Node 0 answers node 1, on a channel that node 2 does not hear.
        world.ask(1, acks(Target::all().to("nobody")));
        world.emit(0, "room", Target::all().to("elsewhere"));
        world.settle();
        for process in &world.processes {
            assert_eq!(process.node.membership("/"), Membership::Heard { nodes: 2 });
        }
    }
    let down = |event: &NodeEvent| matches!(event, NodeEvent::PeerDown { .. });
    assert!(!world.processes.iter().any(|process| process.told.iter().any(down)));
}

#[test]
fn acknowledgements_are_kept_as_far_as_their_bytes_allow() {
    let mut world = World::new(3, &heartbeats());
    let now = world.now;
    let ask = |max_bytes| Ask::Acks { event: event("ask"), target: Target::all(), single: false, max_bytes };
    let node = &mut world.processes[0].node;
    let (all, none) = (
        node.ask(now, "/", ask(1 << 20), SECOND * 60).unwrap(),
        node.ask(now, "/", ask(1), SECOND * 60).unwrap(),
    );
    world.settle();
    let all = world.processes[0].done[&all].clone();
    let none = &world.processes[0].done[&none];
    assert!(all.is_complete() && all.refused_acks == 0 && !all.answers.is_empty(), "{all:?}");
    // They have come: nobody waits for them until the time is over.
    assert_eq!((none.answers.len(), none.refused_acks as usize), (0, all.answers.len()));
    assert_eq!((none.missing_nodes, none.missing_acks), (Some(0), 0));
    assert!(!none.is_complete());
    assert_eq!(world.processes[0].node.counts().refused, u64::from(none.refused_acks));
}

#[test]
fn a_node_whose_messages_are_refused_says_that_it_lives_and_judges_others() {
    let mut world = World::new(3, &heartbeats());
    world.settle();
    let peers = |world: &World, at: usize| match world.processes[at].node.membership("/") {
        Membership::Heard { nodes } => nodes,
        other => panic!("{other:?}"),
    };
    assert_eq!(peers(&world, 1), 2);
    world.processes[2].is_dead = true;
    let before = world.processes[0].node.counts();
    for _ in 0..60 {
        world.pass(SECOND / 2);
        // It sends nothing but what its bus refuses, and gets nothing but what it cannot read.
        let now = world.now;
        let node = &mut world.processes[0].node;
        let refused = Message::Emit { event: event("too large"), target: Target::all(), ack: None };
        assert!(node.send(now, "/", refused).unwrap());
        while node.poll_transmit().is_some() {}
        node.handle_refused(now);
        node.handle_message(now, "socket.io#/#", &Bytes::from_static(b"?"));
        world.settle();
        assert_ne!(peers(&world, 1), 0, "the other one believes that it lives");
    }
    let after = world.processes[0].node.counts();
    assert_eq!(after.malformed - before.malformed, 60);
    assert_eq!((peers(&world, 0), peers(&world, 1)), (1, 1), "the one that died is gone for both");
    // 30 s: six times, and no more often than a quiet node.
    let beats = after.published - before.published - 60;
    assert!((5..=7).contains(&beats), "{beats}");
}
