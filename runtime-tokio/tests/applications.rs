//! The tests of the examples `private_messaging`, `whiteboard` and `typed`: without a network, and in virtual time.

use sansocket_tokio::testing::{TestClient, TestServer};
use sansocket_tokio::{self as sansocket, ConnectError, Server};
use serde_json::{Value, json};

#[path = "../../examples/private_messaging.rs"]
mod private_messaging;
#[path = "../../examples/typed/mod.rs"]
mod typed;
#[path = "../../examples/whiteboard.rs"]
mod whiteboard;

fn app(register: fn(&Server)) -> TestServer<Server> {
    let test = TestServer::new(|runtime| Server::builder().runtime(runtime).build());
    register(test.server());
    test
}

/// A page that has logged in, with its session and its user's id.
fn enter(test: &TestServer<Server>, login: Value) -> (TestClient, String, String) {
    let client = test.client_with("/", |builder| builder.auth(&login));
    let session: Value = client.expect("session");
    let text = |key: &str| session[key].as_str().expect("an id").to_owned();
    let ids = (text("sessionID"), text("userID"));
    (client, ids.0, ids.1)
}

fn names(users: &Value) -> Vec<(&str, bool)> {
    let users = users.as_array().expect("a list").iter();
    let mut names: Vec<_> =
        users.map(|user| (user["username"].as_str().unwrap_or(""), user["connected"] == true)).collect();
    names.sort_unstable();
    names
}

#[test]
fn a_line_is_drawn_by_everybody_else() {
    let test = app(whiteboard::register);
    let (ada, bob, eve) = (test.client("/"), test.client("/"), test.client("/"));
    let line = json!({ "x0": 0.1, "y0": 0.2, "x1": 0.3, "y1": 0.4, "color": "black" });
    ada.emit("drawing", &line);
    for other in [&bob, &eve] {
        assert_eq!(other.expect::<Value>("drawing"), line);
    }
    ada.expect_nothing();
}

#[test]
fn a_message_reaches_every_tab_of_both_and_nobody_else() {
    let test = app(private_messaging::register);
    let (ada, ada_session, ada_id) = enter(&test, json!({ "username": "ada" }));
    let (ada_too, _, same) = enter(&test, json!({ "sessionID": ada_session }));
    assert_eq!(same, ada_id, "the same user in another tab");
    let (bob, _, bob_id) = enter(&test, json!({ "username": "bob" }));
    let (eve, ..) = enter(&test, json!({ "username": "eve" }));
    for client in [&ada, &ada_too, &bob, &eve] {
        client.received();
    }

    bob.emit("private message", &json!({ "content": "tea?", "to": ada_id }));
    let message = json!({ "content": "tea?", "from": bob_id, "to": ada_id });
    assert_eq!(ada.expect::<Value>("private message"), message);
    assert_eq!(ada_too.expect::<Value>("private message"), message);
    ada.emit("private message", &json!({ "content": "yes", "to": bob_id }));
    assert_eq!(bob.expect::<Value>("private message")["content"], "yes");
    assert_eq!(ada_too.expect::<Value>("private message")["content"], "yes", "the sender's other tab");
    for client in [&ada, &bob, &eve] {
        client.expect_nothing();
    }
}

#[test]
fn a_room_that_is_not_a_user_hears_nothing() {
    let test = app(private_messaging::register);
    let (ada, ..) = enter(&test, json!({ "username": "ada" }));
    let (bob, ..) = enter(&test, json!({ "username": "bob" }));
    for client in [&ada, &bob] {
        client.received();
    }
    bob.emit("private message", &json!({ "content": "psst", "to": *ada.id() }));
    ada.expect_nothing();
}

#[test]
fn what_was_said_is_there_after_a_reload() {
    let test = app(private_messaging::register);
    let (ada, session, ada_id) = enter(&test, json!({ "username": "ada" }));
    let (bob, ..) = enter(&test, json!({ "username": "bob" }));
    ada.disconnect();
    bob.emit("private message", &json!({ "content": "are you there?", "to": ada_id }));

    let (ada, ..) = enter(&test, json!({ "sessionID": session }));
    let users: Value = ada.expect("users");
    let of_bob = users.as_array().expect("a list").iter().find(|user| user["username"] == "bob");
    assert_eq!(of_bob.expect("bob")["messages"][0]["content"], "are you there?");
}

#[test]
fn a_user_is_offline_with_the_last_tab() {
    let test = app(private_messaging::register);
    let (bob, ..) = enter(&test, json!({ "username": "bob" }));
    let (ada, session, ada_id) = enter(&test, json!({ "username": "ada" }));
    let (ada_too, ..) = enter(&test, json!({ "sessionID": session }));
    bob.received();

    ada.disconnect();
    bob.expect_nothing();
    ada_too.cut_network();
    assert_eq!(bob.expect::<String>("user disconnected"), ada_id);
    let (_eve, ..) = enter(&test, json!({ "username": "eve" }));
    let (last, ..) = enter(&test, json!({ "username": "dan" }));
    let users: Value = last.expect("users");
    assert_eq!(names(&users), [("ada", false), ("bob", true), ("dan", true), ("eve", true)]);
}

#[test]
fn nobody_enters_without_a_name_or_with_a_session_that_never_was() {
    let test = app(private_messaging::register);
    for login in [json!({}), json!({ "username": "" }), json!({ "sessionID": "none" })] {
        let refused = test.try_client("/", |builder| builder.auth(&login));
        let Err(ConnectError::Refused(refusal)) = refused else { panic!("{login} is let in") };
        assert_eq!(refusal.message(), "invalid username");
    }
}

#[test]
fn the_page_of_typed_events_has_the_declarations_of_the_server() {
    let file = include_str!("../../examples/typed/events.ts");
    assert_eq!(
        typed::declarations(),
        file,
        "write it anew: cargo run --example typed > examples/typed/events.ts"
    );
}

#[tokio::test]
async fn typed_events_go_both_ways() {
    use sansocket_tokio::Client;
    use sansocket_tokio::testing::Loopback;

    let io = Server::builder().build().expect("a server");
    typed::register(&io);
    // The adapter's own server, from that which a namespace knows.
    let io = Server::from(io.root().server().expect("it is there"));
    let client = || Client::builder("http://test").dial(Loopback::to(&io)).build().expect("a client");
    let (ada, bob) = (client(), client());
    let mut heard = bob.events();
    for client in [&ada, &bob] {
        client.connect().await.expect("it is let in");
    }
    assert_eq!(typed::talk(&ada).await.expect("an answer"), 1);
    let said = heard.next().await.expect("an event");
    let (who, message): (String, typed::Message) = said.decode().expect("the payload");
    assert_eq!((Some(&*who), &*message.text), (ada.id().as_deref(), "hello"));
}
