//! `emit_async`: broadcasts that give way to other tasks between slices of their recipients. The tests poll them by hand.

use proptest::prelude::*;
use sansocket_runtime::adapter::ServerOptions;
use sansocket_runtime::cluster::{ClusterOptions, Dialect, InProcessBus, dialect};
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
    // A client that is back is in the rooms that it was in.
    io.on_connected(
        async |socket: Socket| {
            if socket.recovered() { Ok(()) } else { socket.join("room").map(drop) }
        },
    );
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
fn a_recipient_that_the_server_disconnects_has_the_event_first() {
    for (test, clients) in [plain(7), recovering(7)] {
        let emitting = begin(test.server(), "x");
        socket(&test, &clients[3]).disconnect();
        socket(&test, &clients[4]).close();
        assert_eq!(counts(&clients), [1, 1, 0, 1, 1, 0, 0]);
        test.server().to("room").except(clients[6].id()).disconnect();
        assert_eq!(counts(&clients), [0, 0, 1, 0, 0, 1, 0]);
        finish(emitting);
        assert_eq!(counts(&clients), [0, 0, 0, 0, 0, 0, 1]);
        let is_connected: Vec<bool> = clients.iter().map(TestClient::is_connected).collect();
        assert_eq!(is_connected, [false, false, false, false, false, false, true]);
        assert_eq!(clients[3].disconnects(), [DisconnectReason::IoServerDisconnect]);
    }
}

#[test]
fn those_that_are_left_out_stay_left_out_and_answers_are_awaited_beside() {
    let (test, clients) = plain(6);
    for client in &clients {
        client.socket().on("ask", async || "answer");
    }
    let out = socket(&test, &clients[3]);
    out.join("out").expect("there is room");
    let emitting: Emitting = Box::pin(test.server().to("room").except("out").emit_async("x", &()));
    let answers =
        test.block_on(test.server().to("room").emit_with_ack("ask", &(), SECOND)).expect("all answer");
    assert_eq!(answers.len(), 6);
    finish(emitting);
    for (at, client) in clients.iter().enumerate() {
        assert_eq!(names(client).iter().filter(|name| *name == "x").count(), usize::from(at != 3));
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
        let ids: Vec<String> = [0, 1, 3, 2].map(|at: usize| clients[at].id().to_string()).into();
        socket(&test, &clients[3]).disconnect();
        clients[4].disconnect();
        finish(emitting);
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
fn a_client_that_joins_meanwhile_is_let_in_without_having_the_rest_sent() {
    let (test, clients) = recovering(5);
    let mut emitting = begin(test.server(), "x");
    let late = test.client("/");
    assert_eq!(counts(&clients), [1, 1, 0, 0, 0]);
    assert!(poll(&mut emitting).is_pending());
    finish(emitting);
    assert_eq!(counts(&clients), [0, 0, 1, 1, 1]);
    assert!(late.received().is_empty());
}

#[test]
fn an_event_through_the_handle_of_before_a_loss_comes_behind_the_broadcast_too() {
    let (test, clients) = recovering(5);
    let old = socket(&test, &clients[4]);
    test.server().emit("before", &()).expect("it is sent");
    clients[4].cut_network();
    clients[4].restore_network();
    test.advance(SECOND * 6);
    assert!(socket(&test, &clients[4]).recovered());
    let emitting = begin(test.server(), "first");
    old.emit("second", &()).expect("it is sent");
    assert_eq!(names(&clients[4]), ["before", "first", "second"]);
    finish(emitting);
    assert_eq!(counts(&clients), [2, 2, 2, 2, 0]);
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

// --- clusters -------------------------------------------------------------------------------------------------------

#[test]
fn another_node_is_told_by_the_call_and_once() {
    for dialect in
        [Dialect::Classic(dialect::Classic::default()), Dialect::Streams(dialect::Streams::default())]
    {
        let is_stream = matches!(dialect, Dialect::Streams(_));
        let bus = InProcessBus::new();
        let options = |builder: ServerBuilder<Server, ServerOptions>| {
            let builder = builder.cluster(ClusterOptions::new(bus.clone()).dialect(dialect.clone()));
            if is_stream { builder.connection_state_recovery(RecoveryConfig::default()) } else { builder }
        };
        let (test, clients) = app(5, options);
        let other =
            test.beside(|runtime| options(ServerBuilder::<Server, ServerOptions>::new(runtime)).build());
        other.server().on_connected(async |socket: Socket| socket.join("room").map(drop));
        let there: Vec<_> = (0..3).map(|_| other.client("/")).collect();

        let emitting = begin(test.server(), "x");
        assert_eq!(counts(&there), [1; 3]);
        assert_eq!(counts(&clients), if is_stream { [1; 5] } else { [1, 1, 0, 0, 0] });
        finish(emitting);
        assert_eq!(counts(&clients), if is_stream { [0; 5] } else { [0, 0, 1, 1, 1] });
        // Not to the log, but to those of this node: with a log, at once.
        let emitting: Emitting = Box::pin(test.server().to("room").local().emit_async("x", &()));
        assert_eq!(counts(&clients), if is_stream { [1; 5] } else { [1, 1, 0, 0, 0] });
        finish(emitting);
        assert_eq!(counts(&there), [0; 3]);
    }
}

// --- any order ------------------------------------------------------------------------------------------------------

/// A step of the emitters of a namespace, each in a task of its own, and of its clients.
#[derive(Clone, Debug)]
enum Step {
    Begin {
        room: usize,
    },
    Poll {
        nth: usize,
    },
    Drop {
        nth: usize,
    },
    Broadcast {
        room: usize,
    },
    /// An event to one client, through the handle of its first connection.
    One {
        client: usize,
    },
    Leave {
        client: usize,
        room: usize,
    },
    Join {
        client: usize,
        room: usize,
    },
    Disconnect {
        client: usize,
    },
    /// The connection is lost. Without recovery, nothing happens.
    Lose {
        client: usize,
    },
    /// The client comes back.
    Recover {
        client: usize,
    },
    /// Another client comes.
    Connect,
}

const ROOMS: [&str; 2] = ["room", "even"];

fn step() -> impl Strategy<Value = Step> {
    let (client, room, nth) = (0_usize..6, 0_usize..2, 0_usize..4);
    let pair = (client.clone(), room.clone());
    prop_oneof![
        6 => room.clone().prop_map(|room| Step::Begin { room }),
        8 => nth.clone().prop_map(|nth| Step::Poll { nth }),
        2 => nth.prop_map(|nth| Step::Drop { nth }),
        2 => room.prop_map(|room| Step::Broadcast { room }),
        4 => client.clone().prop_map(|client| Step::One { client }),
        2 => pair.clone().prop_map(|(client, room)| Step::Leave { client, room }),
        2 => pair.prop_map(|(client, room)| Step::Join { client, room }),
        1 => client.clone().prop_map(|client| Step::Disconnect { client }),
        2 => client.clone().prop_map(|client| Step::Lose { client }),
        2 => client.prop_map(|client| Step::Recover { client }),
        1 => Just(Step::Connect),
    ]
}

/// The test, and what each client is to receive.
struct Story {
    test: TestServer<Server>,
    clients: Vec<TestClient>,
    /// The handles of the first connections.
    first: Vec<Socket>,
    /// The rooms of each, its connection, and whether it has ended for good.
    rooms: Vec<[bool; 2]>,
    is_away: Vec<bool>,
    is_gone: Vec<bool>,
    has_numbers: bool,
    running: Vec<Emitting>,
    wanted: Vec<Vec<usize>>,
    others: Vec<TestClient>,
}

impl Story {
    fn new(has_numbers: bool) -> Self {
        let (test, clients) = if has_numbers { recovering(6) } else { plain(6) };
        let first: Vec<Socket> = clients.iter().map(|client| socket(&test, client)).collect();
        let mut rooms = vec![[true, false]; 6];
        for at in [0, 2, 4] {
            first[at].join(ROOMS[1]).expect("there is room");
            rooms[at][1] = true;
        }
        let (is_away, is_gone, wanted) = (vec![false; 6], vec![false; 6], vec![Vec::new(); 6]);
        let (running, others) = (Vec::new(), Vec::new());
        Self { test, clients, first, rooms, is_away, is_gone, has_numbers, running, wanted, others }
    }

    fn want(&mut self, number: usize, room: usize) {
        for at in (0..6).filter(|at| self.rooms[*at][room] && !self.is_gone[*at]) {
            self.wanted[at].push(number);
        }
    }

    /// The socket of a client, if it is connected.
    fn current(&self, client: usize) -> Option<Socket> {
        let is_here = !self.is_away[client] && !self.is_gone[client];
        is_here.then(|| socket(&self.test, &self.clients[client]))
    }

    fn take(&mut self, number: usize, step: Step) {
        match step {
            Step::Begin { room } => {
                self.want(number, room);
                let io = self.test.server();
                self.running.push(Box::pin(io.to(ROOMS[room]).emit_async("x", &number)));
            }
            Step::Broadcast { room } => {
                self.want(number, room);
                self.test.server().to(ROOMS[room]).emit("x", &number).expect("it is sent");
            }
            Step::Poll { nth } if !self.running.is_empty() => {
                let nth = nth % self.running.len();
                if poll(&mut self.running[nth]).is_ready() {
                    drop(self.running.remove(nth));
                }
            }
            Step::Drop { nth } if !self.running.is_empty() => {
                drop(self.running.remove(nth % self.running.len()));
            }
            Step::One { client } => {
                if self.first[client].emit("x", &number).is_ok() {
                    assert!(!self.is_gone[client]);
                    self.wanted[client].push(number);
                }
            }
            Step::Join { client, room } | Step::Leave { client, room } => {
                let joins = matches!(step, Step::Join { .. });
                if let Some(socket) = self.current(client) {
                    if joins {
                        socket.join(ROOMS[room]).expect("there is room");
                    } else {
                        socket.leave(ROOMS[room]);
                    }
                    self.rooms[client][room] = joins;
                }
            }
            Step::Disconnect { client } => {
                if let Some(socket) = self.current(client) {
                    socket.disconnect();
                    self.test.settle();
                    self.is_gone[client] = true;
                }
            }
            Step::Lose { client } if self.has_numbers && self.current(client).is_some() => {
                self.clients[client].cut_network();
                self.test.settle();
                self.is_away[client] = true;
            }
            Step::Recover { client } if self.is_away[client] => self.recover(client),
            Step::Connect => self.others.push(self.test.client("/")),
            Step::Poll { .. } | Step::Drop { .. } | Step::Lose { .. } | Step::Recover { .. } => {}
        }
    }

    fn recover(&mut self, client: usize) {
        self.clients[client].restore_network();
        self.test.advance(SECOND * 6);
        self.is_away[client] = false;
        assert!(self.current(client).expect("it is back").recovered());
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    /// With numbers, the order of the calls is the order on each connection, whoever calls, whichever future is polled, and
    /// whoever is away for a while. Without, each recipient of the moment of the call gets the event once.
    #[test]
    fn each_recipient_gets_each_event_once(steps in prop::collection::vec(step(), 1..50), has_numbers: bool) {
        let mut story = Story::new(has_numbers);
        for (number, step) in steps.into_iter().enumerate() {
            story.take(number, step);
        }
        for emitting in std::mem::take(&mut story.running) {
            finish(emitting);
        }
        for client in 0..6 {
            if story.is_away[client] {
                story.recover(client);
            }
        }
        for (client, wanted) in story.clients.iter().zip(&story.wanted) {
            let mut received: Vec<usize> =
                client.received().iter().map(|event| event.args.get(0).expect("a number")).collect();
            if !has_numbers {
                received.sort_unstable();
            }
            prop_assert_eq!(&received, wanted);
        }
    }
}
