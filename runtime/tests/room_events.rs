//! The events of rooms: created, joined, left, deleted, in the order of the changes.

use sansocket_runtime::testing::TestServer;
use sansocket_runtime::{EmptiedRooms, RoomEvent, Server, Socket};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};
use std::thread;

type Lines = Arc<Mutex<Vec<String>>>;

fn text(event: &RoomEvent) -> String {
    match event {
        RoomEvent::Created { room } => format!("+{room}"),
        RoomEvent::Joined { room, socket } => format!("{socket}>{room}"),
        RoomEvent::Left { room, socket } => format!("{socket}<{room}"),
        RoomEvent::Deleted { room } => format!("-{room}"),
        other => format!("{other:?}"),
    }
}

fn followed(io: &Server) -> impl Fn() -> Vec<String> {
    let lines = Lines::default();
    let told = lines.clone();
    io.on_room_event(move |event| told.lock().unwrap().push(text(event)));
    move || std::mem::take(&mut lines.lock().unwrap())
}

#[test]
fn every_change_of_a_room_is_told_once_and_in_order() {
    let test = TestServer::default();
    let io = test.server();
    let told = followed(io);
    let (ada, bob) = (test.client("/"), test.client("/"));
    let [a, b] = [&ada, &bob].map(|client| client.id().to_string());
    let names = |lines: Vec<String>| -> Vec<String> {
        lines.iter().map(|line| line.replace(&a, "a").replace(&b, "b")).collect()
    };
    assert!(told().is_empty(), "the room of an id is none");
    let socket = io.socket(&a).expect("it is connected");
    socket.join(["x", "y"]).expect("there is room");
    assert_eq!(names(told()), ["+x", "a>x", "+y", "a>y"]);
    io.broadcast().join("x").expect("there is room");
    assert_eq!(names(told()), ["b>x"]);
    socket.leave_all();
    assert_eq!(names(told()), ["a<x", "a<y", "-y"]);
    io.close_room("x");
    assert_eq!(names(told()), ["b<x", "-x"]);
    socket.join("x").expect("there is room");
    drop(told());
    // A client that goes away: told before its disconnect handlers run.
    let seen = Lines::default();
    let saw = seen.clone();
    io.on_disconnect(move |EmptiedRooms(rooms): EmptiedRooms| {
        saw.lock().unwrap().push(format!("gone from {rooms:?}"));
        std::future::ready(())
    });
    let saw = seen.clone();
    io.on_room_event(move |event| saw.lock().unwrap().push(text(event)));
    ada.disconnect();
    let seen = names(std::mem::take(&mut seen.lock().unwrap()));
    assert_eq!(seen, ["a<x", "-x", r#"gone from ["x"]"#]);
    // Another namespace has its own.
    io.namespace("/other").on_connect(async |socket: Socket| socket.join("x").map(drop));
    drop(told());
    let _other = test.client("/other");
    assert!(told().is_empty());
}

#[test]
fn a_hook_may_change_rooms_itself_and_one_that_panics_harms_nobody() {
    let test = TestServer::default();
    let io = test.server();
    let weak = io.downgrade();
    io.on_room_event(move |event| {
        // Whoever is in the hall is in the house.
        if let (RoomEvent::Joined { room, socket }, Some(io)) = (event, weak.upgrade()) {
            if **room == *"hall" {
                io.to(socket).join("house").expect("there is room");
            }
        }
    });
    io.on_room_event(|_| panic!("in the hook"));
    let told = followed(io);
    let ada = test.client("/");
    let id = ada.id().to_string();
    io.to(&id).join("hall").expect("there is room");
    let lines: Vec<_> = told().iter().map(|line| line.replace(&id, "a")).collect();
    assert_eq!(lines, ["+hall", "a>hall", "+house", "a>house"]);
}

#[test]
fn who_follows_the_events_knows_who_is_where_whatever_happens_at_once() {
    let test = TestServer::default();
    let io = test.server().clone();
    let known: Arc<Mutex<BTreeMap<String, BTreeSet<String>>>> = Arc::default();
    let follows = known.clone();
    io.on_room_event(move |event| {
        let mut known = follows.lock().unwrap();
        match event {
            RoomEvent::Created { room } => {
                assert!(known.insert(room.to_string(), BTreeSet::new()).is_none());
            }
            RoomEvent::Joined { room, socket } => {
                assert!(known.get_mut(&**room).expect("it began").insert(socket.to_string()));
            }
            RoomEvent::Left { room, socket } => {
                assert!(known.get_mut(&**room).expect("it is there").remove(&**socket));
            }
            RoomEvent::Deleted { room } => assert!(known.remove(&**room).expect("it is there").is_empty()),
            _ => {}
        }
    });
    let clients: Vec<_> = (0..8).map(|_| test.client("/")).collect();
    let sockets: Vec<Socket> =
        clients.iter().map(|client| io.socket(&client.id()).expect("it is there")).collect();
    thread::scope(|scope| {
        for (at, socket) in sockets.iter().enumerate() {
            let io = &io;
            scope.spawn(move || {
                for round in 0..200 {
                    let room = format!("room {}", (round * 7 + at) % 5);
                    match (round + at) % 4 {
                        0 | 1 => drop(socket.join(&room)),
                        2 => drop(socket.leave(&room)),
                        _ => io.close_room(&room),
                    }
                }
            });
        }
    });
    let known = known.lock().unwrap().clone();
    let rooms: Vec<String> = io.rooms().iter().map(ToString::to_string).collect();
    assert_eq!(known.keys().cloned().collect::<Vec<_>>(), rooms);
    for (room, members) in known {
        let present: BTreeSet<_> =
            io.to(&room).sockets().iter().map(|socket| socket.id().to_owned()).collect();
        assert_eq!(members, present, "{room}");
    }
}
