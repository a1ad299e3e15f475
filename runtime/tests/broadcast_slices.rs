//! `emit_async`: broadcasts that give way to other tasks between slices of their recipients. The tests poll them by hand.

use proptest::prelude::*;
use sansocket_runtime::adapter::ServerOptions;
use sansocket_runtime::recovery::RecoveryConfig;
use sansocket_runtime::testing::{TestClient, TestServer};
use sansocket_runtime::{Data, DisconnectReason, EmitError, Server, ServerBuilder, Socket};
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

const SECOND: Duration = Duration::from_secs(1);
/// The recipients of a slice in these tests.
const SLICE: usize = 2;

type Emitting = Pin<Box<dyn Future<Output = Result<(), EmitError>> + Send>>;

/// A server with that many clients, all in the room `room`.
fn app(
    clients: usize,
    options: impl FnOnce(ServerBuilder<Server, ServerOptions>) -> ServerBuilder<Server, ServerOptions>,
) -> (TestServer<Server>, Vec<TestClient>) {
    let test = TestServer::new(|runtime| {
        options(ServerBuilder::<Server, ServerOptions>::new(runtime).broadcast_slice(SLICE)).build()
    });
    let io = test.server();
    io.on_connected(async |socket: Socket| socket.join("room").map(drop));
    io.on("echo", async |Data(text): Data<String>| text);
    let clients: Vec<_> = (0..clients).map(|_| test.client("/")).collect();
    (test, clients)
}

fn plain(clients: usize) -> (TestServer<Server>, Vec<TestClient>) {
    app(clients, |builder| builder)
}

fn recovering(clients: usize) -> (TestServer<Server>, Vec<TestClient>) {
    app(clients, |builder| builder.connection_state_recovery(RecoveryConfig::default()))
}

fn socket(test: &TestServer<Server>, client: &TestClient) -> Socket {
    test.server().socket(&client.id()).expect("it is connected")
}

fn poll(emitting: &mut Emitting) -> Poll<Result<(), EmitError>> {
    emitting.as_mut().poll(&mut Context::from_waker(Waker::noop()))
}

/// Polls until it is over, and returns how often it gave way.
fn finish(mut emitting: Emitting) -> usize {
    let mut turns = 0;
    while poll(&mut emitting).is_pending() {
        turns += 1;
    }
    turns
}

fn begin(io: &Server, event: &str) -> Emitting {
    Box::pin(io.to("room").emit_async(event, &()))
}

/// The names of the events that a client has received since the last look.
fn names(client: &TestClient) -> Vec<String> {
    client.received().iter().map(|event| event.event.clone()).collect()
}

/// The numbers of events that the clients have received since the last look.
fn counts(clients: &[TestClient]) -> Vec<usize> {
    clients.iter().map(|client| client.received().len()).collect()
}

#[test]
fn the_call_serves_the_first_slice_and_others_run_before_each_of_the_rest() {
    let (test, clients) = plain(5);
    let mut emitting = begin(test.server(), "x");
    assert_eq!(counts(&clients), [1, 1, 0, 0, 0]);

    assert!(poll(&mut emitting).is_pending(), "it gives way first");
    assert_eq!(counts(&clients), [0; 5]);
    assert_eq!(clients[4].call::<String>("echo", &"meanwhile"), "meanwhile");
    assert!(poll(&mut emitting).is_pending());
    assert_eq!(counts(&clients), [0, 0, 1, 1, 0]);
    assert!(matches!(poll(&mut emitting), Poll::Ready(Ok(()))));
    assert_eq!(counts(&clients), [0, 0, 0, 0, 1]);
}

#[test]
fn a_broadcast_to_no_more_than_a_slice_is_over_at_once() {
    let (test, clients) = plain(SLICE);
    assert_eq!(finish(begin(test.server(), "x")), 0);
    assert_eq!(counts(&clients), [1, 1]);
    let nothing: [&str; 0] = [];
    assert_eq!(finish(Box::pin(test.server().to(nothing).emit_async("x", &()))), 0);
    assert_eq!(counts(&clients), [0, 0]);
}

#[test]
fn an_emitter_that_awaits_reaches_each_socket_in_the_order_of_its_calls() {
    let (test, clients) = plain(7);
    let io = test.server();
    io.on("go", async |io: Server, socket: Socket| -> Result<u32, EmitError> {
        io.emit_async("first", &()).await?;
        io.to("room").emit_async("second", &()).await?;
        io.emit("third", &())?;
        socket.emit("fourth", &())?;
        Ok(5)
    });
    assert_eq!(clients[6].call::<u32>("go", &()), 5, "the acknowledgement comes last");
    assert_eq!(names(&clients[6]), ["first", "second", "third", "fourth"]);
    for client in &clients[..6] {
        assert_eq!(names(client), ["first", "second", "third"]);
    }
}

#[test]
fn the_recipients_are_those_of_the_moment_of_the_call() {
    let (test, clients) = plain(6);
    let [stays_out, leaves] = [socket(&test, &clients[4]), socket(&test, &clients[5])];
    stays_out.leave("room");
    let emitting = begin(test.server(), "x");
    leaves.leave("room");
    stays_out.join("room").expect("there is room");
    let late = test.client("/");
    finish(emitting);
    assert_eq!(counts(&clients), [1, 1, 1, 1, 0, 1]);
    assert!(late.received().is_empty());
}

#[test]
fn a_recipient_that_is_disconnected_afterwards_has_the_event_and_one_that_was_before_its_turn_is_left_out() {
    let (test, clients) = plain(6);
    let emitting = begin(test.server(), "x");
    socket(&test, &clients[3]).disconnect();
    let last = socket(&test, &clients[5]);
    finish(emitting);
    last.disconnect();
    assert_eq!(counts(&clients), [1, 1, 1, 0, 1, 1]);
    for gone in [3, 5] {
        assert_eq!(clients[gone].disconnects(), [DisconnectReason::IoServerDisconnect]);
    }
}

#[test]
fn a_broadcast_that_nobody_awaits_is_sent_all_the_same() {
    let (test, clients) = plain(7);
    drop(begin(test.server(), "never polled"));
    assert_eq!(counts(&clients), [1; 7]);

    let mut emitting = begin(test.server(), "given up");
    assert!(poll(&mut emitting).is_pending());
    assert!(poll(&mut emitting).is_pending());
    drop(emitting);
    assert_eq!(counts(&clients), [1; 7]);
}

#[test]
fn a_shutdown_sends_the_rest_before_it_says_goodbye() {
    let (test, clients) = plain(7);
    let emitting = begin(test.server(), "x");
    test.block_on(test.server().shutdown(SECOND));
    assert_eq!(counts(&clients), [1; 7]);
    assert!(clients.iter().all(|client| !client.is_connected()));
    assert_eq!(finish(emitting), 0, "it finds that it is over");
    assert_eq!(finish(begin(test.server(), "y")), 0, "nobody is there");
    assert_eq!(counts(&clients), [0; 7]);
}

#[test]
fn an_event_that_cannot_be_encoded_reaches_nobody() {
    let (test, clients) = plain(3);
    let mut emitting: Emitting = Box::pin(test.server().emit_async("connect", &()));
    assert!(matches!(poll(&mut emitting), Poll::Ready(Err(EmitError::Encode(_)))));
    assert_eq!(counts(&clients), [0; 3]);
}

/// Outgoing events as the hooks see them.
fn seen(io: &Server) -> Arc<Mutex<Vec<String>>> {
    let seen = Arc::<Mutex<Vec<String>>>::default();
    let note = seen.clone();
    io.on_any_outgoing(move |socket, _| note.lock().unwrap().push(socket.id().to_owned()));
    seen
}

#[test]
fn the_hooks_see_the_event_once_for_each_recipient_it_is_queued_for() {
    for (test, clients) in [plain(5), recovering(5)] {
        let seen = seen(test.server());
        let emitting = begin(test.server(), "x");
        assert_eq!(seen.lock().unwrap().len(), SLICE);
        socket(&test, &clients[4]).disconnect();
        finish(emitting);
        let ids: Vec<String> = clients[..4].iter().map(|client| client.id().to_string()).collect();
        assert_eq!(*seen.lock().unwrap(), ids);
    }
}

#[test]
fn a_volatile_broadcast_gives_way_too() {
    for (test, clients) in [plain(5), recovering(5)] {
        let emitting: Emitting = Box::pin(test.server().volatile().emit_async("x", &()));
        assert_eq!(counts(&clients), [1, 1, 0, 0, 0]);
        assert_eq!(finish(emitting), 2);
        assert_eq!(counts(&clients), [0, 0, 1, 1, 1]);
    }
}

// --- connection state recovery --------------------------------------------------------------------------------------

#[test]
fn the_next_event_to_a_room_has_the_rest_sent_first() {
    let (test, clients) = recovering(5);
    let io = test.server();
    let seen = seen(io);
    let emitting = begin(io, "first");
    io.to("room").emit("second", &()).expect("it is sent");
    for client in &clients {
        assert_eq!(names(client), ["first", "second"]);
    }
    assert_eq!(seen.lock().unwrap().len(), 10);
    assert_eq!(finish(emitting), 0, "it finds that it is over");
    assert_eq!(counts(&clients), [0; 5]);
}

#[test]
fn an_event_to_one_recipient_comes_behind_the_broadcast_and_the_others_wait_for_their_turn() {
    let (test, clients) = recovering(6);
    let seen = seen(test.server());
    let mut emitting = begin(test.server(), "first");
    let last = socket(&test, &clients[5]);
    last.emit("second", &()).expect("it is sent");
    last.emit("third", &()).expect("it is sent");
    assert_eq!(names(&clients[5]), ["first", "second", "third"]);
    assert_eq!(counts(&clients), [1, 1, 0, 0, 0, 0]);
    assert!(poll(&mut emitting).is_pending());
    finish(emitting);
    assert_eq!(counts(&clients), [0, 0, 1, 1, 1, 0]);
    assert_eq!(seen.lock().unwrap().len(), 8, "each once");
}

#[test]
fn a_client_that_is_away_at_its_turn_gets_the_event_once_when_it_is_back() {
    for early in [false, true] {
        let (test, clients) = recovering(5);
        // The client has an offset from then on.
        test.server().emit("before", &()).expect("it is sent");
        assert_eq!(counts(&clients), [1; 5]);
        let emitting = begin(test.server(), "x");
        clients[4].cut_network();
        test.settle();
        if early {
            clients[4].restore_network();
            test.advance(SECOND * 6);
            finish(emitting);
        } else {
            finish(emitting);
            clients[4].restore_network();
            test.advance(SECOND * 6);
        }
        assert!(clients[4].is_connected());
        assert!(socket(&test, &clients[4]).recovered());
        assert_eq!(counts(&clients), [1; 5]);
    }
}

/// A step of the emitters of a namespace, each in a task of its own.
#[derive(Clone, Debug)]
enum Step {
    Begin { room: usize },
    Poll { nth: usize },
    Drop { nth: usize },
    Broadcast { room: usize },
    One { client: usize },
    Leave { client: usize, room: usize },
    Join { client: usize, room: usize },
}

fn step() -> impl Strategy<Value = Step> {
    let (client, room, nth) = (0_usize..6, 0_usize..2, 0_usize..4);
    prop_oneof![
        3 => room.clone().prop_map(|room| Step::Begin { room }),
        4 => nth.clone().prop_map(|nth| Step::Poll { nth }),
        1 => nth.prop_map(|nth| Step::Drop { nth }),
        1 => room.clone().prop_map(|room| Step::Broadcast { room }),
        2 => client.clone().prop_map(|client| Step::One { client }),
        1 => (client.clone(), room.clone()).prop_map(|(client, room)| Step::Leave { client, room }),
        1 => (client, room).prop_map(|(client, room)| Step::Join { client, room }),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    /// With numbers, the order of the calls is the order on each connection, whoever calls and whichever future is polled.
    /// Without, each recipient of the moment of the call gets the event once.
    #[test]
    fn each_recipient_gets_each_event_once(steps in prop::collection::vec(step(), 1..40), has_numbers: bool) {
        let (test, clients) = if has_numbers { recovering(6) } else { plain(6) };
        let io = test.server();
        let sockets: Vec<Socket> = clients.iter().map(|client| socket(&test, client)).collect();
        let rooms = ["even", "room"];
        for socket in sockets.iter().step_by(2) {
            socket.join(rooms[0]).expect("there is room");
        }
        let mut running: Vec<Emitting> = Vec::new();
        let mut wanted = vec![Vec::new(); clients.len()];
        let mut want = |number: usize, to: &dyn Fn(&Socket) -> bool| {
            let those = sockets.iter().zip(&mut wanted).filter(|(socket, _)| to(socket));
            those.for_each(|(_, wanted)| wanted.push(number));
        };
        let is_in = |room: &'static str| move |socket: &Socket| socket.rooms().iter().any(|known| **known == *room);
        for (number, step) in steps.into_iter().enumerate() {
            match step {
                Step::Begin { room } => {
                    want(number, &is_in(rooms[room]));
                    running.push(Box::pin(io.to(rooms[room]).emit_async("x", &number)));
                }
                Step::Poll { nth } if !running.is_empty() => {
                    let nth = nth % running.len();
                    if poll(&mut running[nth]).is_ready() {
                        drop(running.remove(nth));
                    }
                }
                Step::Drop { nth } if !running.is_empty() => drop(running.remove(nth % running.len())),
                Step::Poll { .. } | Step::Drop { .. } => {}
                Step::Broadcast { room } => {
                    want(number, &is_in(rooms[room]));
                    io.to(rooms[room]).emit("x", &number).expect("it is sent");
                }
                Step::One { client } => {
                    want(number, &|socket| *socket == sockets[client]);
                    sockets[client].emit("x", &number).expect("it is sent");
                }
                Step::Leave { client, room } => {
                    sockets[client].leave(rooms[room]);
                }
                Step::Join { client, room } => {
                    sockets[client].join(rooms[room]).expect("there is room");
                }
            }
        }
        for emitting in running {
            finish(emitting);
        }
        for (client, wanted) in clients.iter().zip(wanted) {
            let mut received: Vec<usize> =
                client.received().iter().map(|event| event.args.get(0).expect("a number")).collect();
            if !has_numbers {
                received.sort_unstable();
            }
            prop_assert_eq!(received, wanted);
        }
    }
}
