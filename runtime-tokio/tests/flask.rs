//! The tests of the example `flask`, and of the same as a namespace's type: without a network, and in virtual time.

use sansocket_tokio::testing::{Loopback, TestClient, TestServer};
use sansocket_tokio::{self as sansocket, Client, DisconnectReason, Server};
use serde_json::{Value, json};
use std::time::Duration;

#[path = "../../examples/flask.rs"]
mod flask;
#[path = "../../examples/flask_namespace.rs"]
mod flask_namespace;

fn apps() -> [TestServer<Server>; 2] {
    let registrations: [fn(&Server); 2] =
        [flask::register, |io| drop(flask_namespace::Demo::default().register(io))];
    registrations.map(|register| {
        let test = TestServer::new(|runtime| Server::builder().runtime(runtime).build());
        register(test.server());
        test
    })
}

fn client(test: &TestServer<Server>) -> TestClient {
    let client = test.client("/");
    assert_eq!(client.expect::<Value>("my_response"), json!({ "data": "Connected", "count": 0 }));
    client
}

fn heard(client: &TestClient) -> Option<(String, u64)> {
    let response: Value = client.received().first()?.decode().expect("a response");
    Some((response["data"].as_str()?.to_owned(), response["count"].as_u64()?))
}

#[test]
fn an_event_is_answered_and_counted() {
    for test in apps() {
        let (ada, bob) = (client(&test), client(&test));
        for count in 1..3 {
            ada.emit("my_event", &json!({ "data": "hello" }));
            assert_eq!(heard(&ada), Some(("hello".into(), count)));
        }
        assert_eq!(heard(&bob), None);
        bob.emit("my_broadcast_event", &json!({ "data": "all" }));
        assert_eq!((heard(&ada), heard(&bob)), (Some(("all".into(), 1)), Some(("all".into(), 1))));
    }
}

#[test]
fn rooms_are_joined_left_and_closed() {
    for test in apps() {
        let (ada, bob) = (client(&test), client(&test));
        for client in [&ada, &bob] {
            client.emit("join", &json!({ "room": "tea" }));
            assert_eq!(heard(client), Some((format!("In rooms: {}, tea", client.id()), 1)));
        }
        ada.emit("my_room_event", &json!({ "room": "tea", "data": "hot" }));
        assert_eq!((heard(&ada), heard(&bob)), (Some(("hot".into(), 2)), Some(("hot".into(), 2))));
        bob.emit("leave", &json!({ "room": "tea" }));
        assert_eq!(heard(&bob), Some((format!("In rooms: {}", bob.id()), 2)));
        bob.emit("close_room", &json!({ "room": "tea" }));
        assert_eq!((heard(&ada), heard(&bob)), (Some(("Room tea is closing.".into(), 3)), None));
        assert!(test.server().rooms().is_empty());
    }
}

#[test]
fn a_client_that_asks_for_it_is_disconnected_once_it_knows() {
    for test in apps() {
        let ada = client(&test);
        ada.emit("my_ping", &());
        ada.expect::<()>("my_pong");
        ada.emit("disconnect_request", &());
        let farewell = ada.expect_event("my_response");
        assert!(ada.is_connected());
        farewell.ack(&()).expect("it is connected");
        assert!(!ada.is_connected());
        assert_eq!(ada.disconnects(), [DisconnectReason::IoServerDisconnect]);
    }
}

#[tokio::test(start_paused = true)]
async fn the_background_task_tells_everybody_until_the_server_is_gone() {
    let io = Server::builder().build().expect("a server");
    flask::register(&io);
    let task = tokio::spawn(flask::background(io.downgrade(), tokio::time::sleep));
    let client = Client::builder("http://test").dial(Loopback::to(&io)).build().expect("a client");
    let mut events = client.events();
    client.connect().await.expect("it is let in");
    events.next().await.expect("a greeting");
    for count in 1..4 {
        let response: Value = events.next().await.expect("an event").decode().expect("a response");
        assert_eq!(response, json!({ "data": "Server generated event", "count": count }));
    }
    io.shutdown(Duration::from_secs(1)).await;
    drop((client, events, io));
    task.await.expect("it ends with the server");
}
