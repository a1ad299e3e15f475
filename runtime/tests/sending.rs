//! Sending: lists of rooms, calls of one and of many, flags, and the shorthands of the server.

use sansocket_runtime::testing::{TestClient, TestServer};
use sansocket_runtime::{
    AckError, Answer, Broadcast, Data, EmitError, HubError, Rooms, Server, ServerBuilder, Socket,
};
use std::sync::{Arc, Mutex};
use std::time::Duration;

const SECOND: Duration = Duration::from_secs(1);

fn socket(test: &TestServer<Server>, client: &TestClient) -> Socket {
    test.server().socket(&client.id()).expect("it is connected")
}

/// Which of the clients a broadcast reaches.
fn reached(clients: &[TestClient], send: impl FnOnce() -> Result<(), EmitError>) -> Vec<usize> {
    send().expect("it is sent");
    let mut reached = Vec::new();
    for (at, client) in clients.iter().enumerate() {
        let received = client.received();
        assert!(received.len() <= 1, "once each: {received:?}");
        reached.extend(received.first().map(|_| at));
    }
    reached
}

fn room_names(socket: &Socket) -> Vec<String> {
    socket.rooms().iter().skip(1).map(ToString::to_string).collect()
}

#[test]
fn rooms_are_given_one_by_one_or_as_a_list() {
    struct User(u32);
    impl Rooms for User {
        fn each(&self, visit: &mut dyn FnMut(&str)) {
            visit(&format!("user:{}", self.0));
        }
    }
    let test = TestServer::default();
    let io = test.server();
    let clients: Vec<_> = (0..4).map(|_| test.client("/")).collect();
    let sockets: Vec<_> = clients.iter().map(|client| socket(&test, client)).collect();

    assert_eq!(sockets[0].join(["a", "b"]), Ok(true));
    assert_eq!(sockets[0].join(vec!["b".to_owned(), "a".to_owned()]), Ok(false), "it was in both");
    assert_eq!(sockets[0].join(["a", "c"]), Ok(true), "one of them is new");
    assert_eq!(room_names(&sockets[0]), ["a", "b", "c"]);
    assert_eq!(sockets[1].join(String::from("b")), Ok(true));
    assert_eq!(sockets[2].join([User(7), User(8)]), Ok(true));
    assert_eq!(sockets[3].join(Vec::<String>::new()), Ok(false));

    let names: Vec<String> = vec!["b".into(), "user:8".into()];
    assert_eq!(reached(&clients, || io.to(&names).emit("x", &1)), [0, 1, 2]);
    assert_eq!(reached(&clients, || io.to(names.as_slice()).except(["a"]).emit("x", &1)), [1, 2]);
    assert_eq!(reached(&clients, || io.except(&names).emit("x", &1)), [3]);
    assert_eq!(reached(&clients, || sockets[0].to(["a", "b"]).to(User(7)).emit("x", &1)), [1, 2]);
    let id: Arc<str> = sockets[3].id().into();
    assert_eq!(reached(&clients, || io.to(id).emit("x", &1)), [3]);

    io.to(["b", "user:7"]).join(["d", "e"]).expect("they join");
    assert_eq!(room_names(&sockets[1]), ["b", "d", "e"]);
    io.broadcast().leave(["d", "b", "nowhere"]);
    assert_eq!(room_names(&sockets[1]), ["e"]);
    assert!(sockets[2].leave(["nowhere", "e"]));
    assert!(!sockets[2].leave(["nowhere", "e"]));
}

#[test]
fn an_empty_list_of_rooms_is_nobody() {
    let test = TestServer::default();
    let io = test.server();
    let clients = [test.client("/"), test.client("/")];
    let nothing: [&str; 0] = [];
    let nobody = io.to(nothing);
    assert_eq!(reached(&clients, || nobody.emit("x", &1)), [0_usize; 0]);
    assert_eq!(reached(&clients, || nobody.clone().volatile().emit("x", &1)), [0_usize; 0]);
    assert!(nobody.sockets().is_empty());
    assert_eq!(nobody.join("a"), Ok(()));
    assert!(io.rooms().is_empty());
    nobody.disconnect();
    nobody.close();
    test.settle();
    assert_eq!(io.clients_count(), 2);
    assert_eq!(test.block_on(nobody.emit_with_ack("x", &1, SECOND)).expect("nobody is missing").len(), 0);
    assert_eq!(test.block_on(nobody.call::<_, u32>("x", &1)).expect("it is encoded").len(), 0);
    // With a room besides, it is that room; without any in `except`, it is everybody.
    let one = socket(&test, &clients[1]);
    assert_eq!(reached(&clients, || io.to(nothing).to(one.id()).emit("x", &1)), [1]);
    assert_eq!(reached(&clients, || io.except(nothing).emit("x", &1)), [0, 1]);
}

#[test]
fn a_list_of_rooms_ends_at_the_limit() {
    let test = TestServer::new(|runtime| {
        ServerBuilder::<Server, sansocket_runtime::adapter::ServerOptions>::new(runtime)
            .max_rooms(2)
            .max_room_name(5)
            .build()
    });
    let client = test.client("/");
    let socket = socket(&test, &client);
    assert_eq!(socket.join(["a", "too long", "b"]), Err(HubError::RoomNameTooLong { limit: 5 }));
    assert_eq!(room_names(&socket), ["a"], "none behind the one that failed");
    assert_eq!(
        test.server().broadcast().join(["too long", "b", "c"]),
        Err(HubError::RoomNameTooLong { limit: 5 }),
        "the first error"
    );
    assert_eq!(room_names(&socket), ["a", "b"]);
    assert_eq!(test.server().broadcast().join(["c"]), Err(HubError::TooManyRooms { limit: 2 }));
}

#[test]
fn send_is_the_event_message() {
    let test = TestServer::default();
    let io = test.server();
    io.on_message(async |socket: Socket, Data(text): Data<String>| {
        socket.send(&format!("echo: {text}"))?;
        socket.broadcast().send(&text)?;
        Ok::<_, EmitError>(text.len())
    });
    let (ada, bob) = (test.client("/"), test.client("/"));
    assert_eq!(ada.call::<usize>("message", &"hello"), 5);
    assert_eq!(ada.expect::<String>("message"), "echo: hello");
    assert_eq!(bob.expect::<String>("message"), "hello");
    let heard = Arc::new(Mutex::new(Vec::new()));
    let hears = heard.clone();
    bob.socket().on_message(move |Data(text): Data<String>| {
        hears.lock().unwrap().push(text);
        std::future::ready(())
    });
    ada.socket().send(&"again").expect("it is connected");
    test.settle();
    io.send(&"to all").expect("it is encoded");
    test.settle();
    assert_eq!(*heard.lock().unwrap(), ["again", "to all"]);
}

#[test]
fn a_server_calls_one_client_and_gets_a_value() {
    let test = TestServer::default();
    let client = test.client("/");
    client.socket().on("age", async || 42).on("name", async || "ada");
    let socket = socket(&test, &client);
    assert_eq!(test.block_on(socket.call::<_, u32>("age", &())).expect("an answer"), 42);
    let misfit = test.block_on(socket.call::<_, u32>("name", &()));
    assert!(matches!(misfit, Err(AckError::Answer(_))), "{misfit:?}");
    let before = test.elapsed();
    let late = test.block_on(socket.timeout(SECOND * 3).call::<_, u32>("nothing", &()));
    assert!(matches!(late, Err(AckError::Timeout)));
    assert_eq!(test.elapsed() - before, SECOND * 3);
    let late = test.block_on(socket.call::<_, u32>("nothing", &()));
    assert!(matches!(late, Err(AckError::Timeout)));
    assert_eq!(test.elapsed() - before, SECOND * 63);
    // A client has the same idiom.
    let late = test.block_on(client.socket().timeout(SECOND).call::<_, u32>("nothing", &()));
    assert!(matches!(late, Err(AckError::Timeout)));
    assert_eq!(test.elapsed() - before, SECOND * 64);
}

/// Four clients: one answers, one with another type, one not, and one goes away.
struct Voters {
    test: TestServer<Server>,
    clients: Vec<TestClient>,
}

fn voters() -> Voters {
    let test = TestServer::default();
    let clients: Vec<_> = (0..4).map(|_| test.client("/")).collect();
    clients[0].socket().on("agreed?", async |Data(what): Data<String>| what == "peace");
    clients[1].socket().on("agreed?", async || "perhaps");
    clients[3].socket().on("agreed?", async |socket: sansocket_runtime::ClientSocket| {
        socket.disconnect();
        true
    });
    Voters { test, clients }
}

fn said(answer: &Answer<bool>) -> String {
    match &answer.result {
        Ok(value) => value.to_string(),
        Err(AckError::Answer(_)) => "misfit".into(),
        Err(AckError::Timeout) => "timeout".into(),
        Err(error) => format!("{error:?}"),
    }
}

#[test]
fn a_call_of_many_tells_who_has_answered_and_who_has_not() {
    let Voters { test, clients } = voters();
    let ids: Vec<_> = clients.iter().map(TestClient::id).collect();
    let call = test.server().timeout(SECOND * 5).call::<_, bool>("agreed?", &"peace");
    let answers = test.block_on(call).expect("it is encoded");
    let mut outcomes = vec![String::new(); 4];
    for answer in &answers {
        let id = answer.id.as_ref().expect("sockets of this process have their ids");
        let at = ids.iter().position(|known| known == id).expect("it was asked");
        assert!(outcomes[at].is_empty(), "each once");
        outcomes[at] = said(answer);
    }
    assert_eq!(outcomes, ["true", "misfit", "timeout", "Disconnected"]);
    assert_eq!(answers.last().and_then(|last| last.id.clone()), Some(ids[2].clone()), "in their order");
    struct Unspeakable;
    impl serde::Serialize for Unspeakable {
        fn serialize<S: serde::Serializer>(&self, _: S) -> Result<S::Ok, S::Error> {
            Err(serde::ser::Error::custom("no words for it"))
        }
    }
    let failed = test.block_on(test.server().call::<_, bool>("agreed?", &Unspeakable));
    assert!(matches!(failed, Err(EmitError::Encode(_))));
}

#[test]
fn the_answers_of_a_call_come_one_by_one() {
    let Voters { test, clients } = voters();
    let broadcast: Broadcast = test.server().timeout(SECOND * 5);
    let mut answers = broadcast.call_stream::<_, bool>("agreed?", &"peace").expect("it is encoded");
    let before = test.elapsed();
    let mut told = Vec::new();
    for _ in 0..3 {
        told.push(said(&test.block_on(answers.next()).expect("an answer")));
    }
    told.sort();
    assert_eq!(told, ["Disconnected", "misfit", "true"]);
    assert_eq!(test.elapsed(), before, "nobody waits for the slow one");
    let late = test.block_on(answers.next()).expect("an answer");
    assert_eq!((said(&late), late.id), ("timeout".into(), Some(clients[2].id())));
    assert_eq!(test.elapsed() - before, SECOND * 5);
    assert!(test.block_on(answers.next()).is_none());
    assert!(test.block_on(answers.next()).is_none(), "it stays at its end");
    // Answers that nobody waits for harm nobody.
    drop(broadcast.call_stream::<_, bool>("agreed?", &"war").expect("it is encoded"));
    test.advance(SECOND * 10);
    assert_eq!(test.server().sockets().len(), 3);
}

#[test]
fn the_flags_are_the_same_for_one_socket_and_for_many() {
    let test = TestServer::default();
    let io = test.server();
    let clients = [test.client("/"), test.client("/")];
    let (ada, bob) = (socket(&test, &clients[0]), socket(&test, &clients[1]));
    assert_eq!(reached(&clients, || ada.volatile().compress(false).timeout(SECOND).emit("x", &1)), [0]);
    assert_eq!(
        reached(&clients, || io.volatile().compress(false).timeout(SECOND).local().emit("x", &1)),
        [0, 1]
    );
    assert_eq!(reached(&clients, || ada.local().emit("x", &1)), [1]);
    assert_eq!(reached(&clients, || io.compress(true).except(bob.id()).emit("x", &1)), [0]);
    // What is volatile is dropped for a client that cannot take it, and the rest waits.
    clients[1].stall_network();
    let large = "x".repeat(100_000);
    for _ in 0..8 {
        bob.emit("large", &large).expect("it waits");
    }
    bob.volatile().emit("lost", &1).expect("it is dropped");
    io.volatile().emit("lost", &2).expect("it is dropped");
    clients[1].restore_network();
    test.settle();
    assert_eq!(clients[0].expect::<u32>("lost"), 2);
    assert!(clients[1].received().iter().all(|received| received.event == "large"));
}

#[test]
fn the_shorthands_of_the_server_are_those_of_its_main_namespace() {
    let test = TestServer::default();
    let io = test.server();
    io.namespace("/admin");
    let (ada, admin) = (test.client("/"), test.client("/admin"));
    socket(&test, &ada).join(["a", "b"]).expect("there is room");
    assert_eq!(io.rooms().iter().map(|room| &**room).collect::<Vec<_>>(), ["a", "b"]);
    assert_eq!(io.sockets().len(), 1);
    io.close_room("a");
    assert_eq!(io.rooms().len(), 1);
    io.broadcast().disconnect();
    test.settle();
    assert!(!ada.is_connected() && io.sockets().is_empty());
    assert!(admin.is_connected());
}

#[test]
fn the_answers_of_a_call_are_bounded_and_those_that_are_taken_make_place_for_others() {
    let test = TestServer::new(|runtime| {
        ServerBuilder::<Server, sansocket_runtime::adapter::ServerOptions>::new(runtime)
            .max_broadcast_answers(3000)
            .build()
    });
    let clients: Vec<_> = (0..5).map(|_| test.client("/")).collect();
    for client in &clients {
        client.socket().on("text?", async || "x".repeat(1000));
    }
    let texts = |answers: &[Answer<String>]| answers.iter().filter(|answer| answer.result.is_ok()).count();
    let answers = test.block_on(test.server().call::<_, String>("text?", &())).expect("it is encoded");
    assert_eq!((answers.len(), texts(&answers)), (5, 2));
    assert!(answers.iter().any(|answer| matches!(answer.result, Err(AckError::TooManyAnswers))));
    // One that is taken makes place for the next one.
    clients.iter().for_each(TestClient::stall_network);
    let mut answers = test.server().call_stream::<_, String>("text?", &()).expect("it is encoded");
    for client in &clients {
        client.restore_network();
        let answer = test.block_on(answers.next()).expect("an answer");
        assert_eq!(answer.result.expect("a text").len(), 1000);
    }
    assert!(test.block_on(answers.next()).is_none());
}

#[test]
fn the_sockets_of_a_broadcast_are_chosen_once_for_all_rooms() {
    let test = TestServer::default();
    let io = test.server();
    let clients = [test.client("/"), test.client("/")];
    let (ada, bob) = (socket(&test, &clients[0]), socket(&test, &clients[1]));
    ada.join(["a", "b"]).expect("there is room");
    bob.join("b").expect("there is room");
    io.to("a").leave(["a", "b"]);
    assert!(room_names(&ada).is_empty(), "{:?}", room_names(&ada));
    assert_eq!(room_names(&bob), ["b"]);
    io.except("c").join(["c", "d"]).expect("there is room");
    assert_eq!(room_names(&ada), ["c", "d"]);
}

#[test]
fn a_call_of_many_tells_why_an_event_was_not_sent() {
    let test = TestServer::new(|runtime| {
        ServerBuilder::<Server, sansocket_runtime::adapter::ServerOptions>::new(runtime)
            .max_pending_acks(1)
            .build()
    });
    let _client = test.client("/");
    let _open = test.server().call_stream::<_, u32>("number?", &()).expect("it is encoded");
    let answers = test.block_on(test.server().call::<_, u32>("number?", &())).expect("it is encoded");
    let refused = |answer: &Answer<u32>| matches!(&answer.result, Err(AckError::Emit(EmitError::Send(_))));
    assert!(answers.len() == 1 && refused(&answers[0]), "{answers:?}");
}
