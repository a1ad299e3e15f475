//! The module `testing`: the tests of Flask-SocketIO's example application, and what that test client lacks: time,
//! several clients, the upgrade, faults.

use sansocket_runtime::testing::TestServer;
use sansocket_runtime::{
    AckError, Auth, ConnectError, Data, DisconnectReason, EmitError, Handshake, HubError, Refusal, Server,
    Socket, State, TransportKind,
};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex};
use std::time::Duration;

const SECOND: Duration = Duration::from_secs(1);

// --- the application ----------------------------------------------------------------------------------------------

#[derive(Deserialize, Serialize)]
struct Message {
    data: String,
    room: Option<String>,
}

#[derive(Deserialize)]
struct Token {
    token: String,
}

/// Those who left, and why.
type Left = Arc<Mutex<Vec<DisconnectReason>>>;

fn register(io: &Server) {
    io.on_connected(async |socket: Socket| socket.emit("my_response", &json!({ "data": "Connected" })));
    io.on("my_event", async |socket: Socket, Data(message): Data<Message>| {
        socket.emit("my_response", &json!({ "data": message.data }))
    });
    io.on("my_broadcast_event", async |io: Server, Data(message): Data<Message>| {
        io.emit("my_response", &json!({ "data": message.data }))
    });
    io.on("join", async |socket: Socket, Data(room): Data<String>| {
        socket.join(&room)?;
        let mut rooms: Vec<_> = socket.rooms().iter().map(|room| room.to_string()).collect();
        rooms.retain(|room| room != socket.id());
        Ok::<_, HubError>(rooms)
    });
    io.on("leave", async |socket: Socket, Data(room): Data<String>| socket.leave(&room));
    io.on("my_room_event", async |io: Server, Data(message): Data<Message>| {
        let room = message.room.unwrap_or_default();
        io.to(&room).emit("my_response", &json!({ "data": message.data }))
    });
    io.on("my_ping", async || "pong");
    io.on("disconnect_request", async |socket: Socket| socket.disconnect());
    io.on("silence", async |_: sansocket_runtime::Ack| std::future::pending::<()>().await);
    io.on("ask_back", async |socket: Socket| {
        let answer = socket.emit_with_ack("question", &"why?", SECOND * 10).await?;
        Ok::<_, AckError>(answer.decode::<String>()?)
    });
    io.on_disconnect(async |State(left): State<Left>, reason: DisconnectReason| {
        left.lock().unwrap().push(reason);
    });
    io.namespace("/admin").on_connect(async |auth: Option<Auth<Token>>, handshake: Handshake| {
        let language = handshake.query_value("lang").unwrap_or_default().into_owned();
        match auth {
            Some(Auth(Token { token })) if token == "secret" && language == "en" => Ok(()),
            _ => Err(Refusal::new("not you")),
        }
    });
}

struct App {
    test: TestServer<Server>,
    left: Left,
}

fn app() -> App {
    let left = Left::default();
    let state = left.clone();
    let test = TestServer::new(|runtime| {
        type Builder = sansocket_runtime::ServerBuilder<Server, sansocket_runtime::adapter::ServerOptions>;
        Builder::new(runtime).state(state).build()
    });
    register(test.server());
    App { test, left }
}

impl App {
    /// A client that has taken the greeting.
    fn client(&self) -> sansocket_runtime::testing::TestClient {
        let client = self.test.client("/");
        assert_eq!(client.expect::<Value>("my_response"), json!({ "data": "Connected" }));
        client
    }

    fn left(&self) -> Vec<DisconnectReason> {
        std::mem::take(&mut self.left.lock().unwrap())
    }
}

fn message(data: &str) -> Value {
    json!({ "data": data })
}

fn panic_of(test: impl FnOnce()) -> String {
    let panic = catch_unwind(AssertUnwindSafe(test)).expect_err("a panic");
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    text.or_else(|| panic.downcast_ref().cloned()).expect("the text of a panic")
}

// --- Flask's tests ------------------------------------------------------------------------------------------------

#[test]
fn connect_and_disconnect() {
    let app = app();
    let ada = app.client();
    assert!(ada.is_connected());
    assert_eq!(app.test.server().clients_count(), 1);
    ada.disconnect();
    assert!(!ada.is_connected());
    assert_eq!(app.left(), [DisconnectReason::ClientNamespaceDisconnect]);
    ada.connect();
    assert!(ada.is_connected());
}

#[test]
fn an_event_is_answered_and_a_broadcast_reaches_all() {
    let app = app();
    let (ada, bob) = (app.client(), app.client());
    ada.emit("my_event", &message("a"));
    assert_eq!(ada.expect::<Value>("my_response"), message("a"));
    bob.expect_nothing();
    bob.emit("my_broadcast_event", &message("b"));
    for client in [&ada, &bob] {
        assert_eq!(client.expect::<Value>("my_response"), message("b"));
        client.expect_nothing();
    }
}

#[test]
fn rooms() {
    let app = app();
    let (ada, bob) = (app.client(), app.client());
    assert_eq!(ada.call::<Vec<String>>("join", &"kitchen"), ["kitchen"]);
    bob.emit("my_room_event", &json!({ "data": "tea", "room": "kitchen" }));
    assert_eq!(ada.expect::<Value>("my_response"), message("tea"));
    bob.expect_nothing();
    // The server's socket has the client's id.
    let socket = app.test.server().socket(&ada.id()).expect("a socket");
    assert!(socket.rooms().iter().any(|room| &**room == "kitchen"));
    assert!(ada.call::<bool>("leave", &"kitchen"));
    bob.emit("my_room_event", &json!({ "data": "tea", "room": "kitchen" }));
    ada.expect_nothing();
}

#[test]
fn acknowledgements_in_both_directions() {
    let app = app();
    let ada = app.client();
    assert_eq!(ada.call::<String>("my_ping", &()), "pong");
    let call = ada.begin_call::<String>("ask_back", &());
    let question = ada.expect_event("question");
    assert_eq!(question.decode::<String>().expect("a text"), "why?");
    question.ack(&"because").expect("an answer");
    assert_eq!(call.answer(), "because");
}

#[test]
fn the_server_disconnects() {
    let app = app();
    let ada = app.client();
    ada.emit("disconnect_request", &());
    assert!(!ada.is_connected());
    assert_eq!(ada.disconnects(), [DisconnectReason::IoServerDisconnect]);
    assert_eq!(ada.disconnects(), []);
}

#[test]
fn a_namespace_is_refused_and_let_in_with_auth_and_query() {
    let app = app();
    let refused = app.test.try_client("/admin", |builder| builder);
    assert!(matches!(refused, Err(ConnectError::Refused(refusal)) if refusal.message() == "not you"));
    let admin = app
        .test
        .client_with("/admin", |builder| builder.auth(&json!({ "token": "secret" })).query("lang", "en"));
    assert!(admin.is_connected());

    // The same over the connection of another namespace.
    let ada = app.client();
    let also_admin = ada.namespace("/admin");
    assert!(also_admin.try_connect().is_err());
    assert!(ada.is_connected());
}

// --- what Flask lacks ---------------------------------------------------------------------------------------------

#[test]
fn each_transport_and_the_upgrade() {
    let app = app();
    assert_eq!(app.client().transport(), Some(TransportKind::WebSocket));
    for transport in [TransportKind::Polling, TransportKind::WebSocket] {
        let ada = app.test.client_with("/", |builder| builder.transports([transport]));
        assert_eq!(ada.transport(), Some(transport));
        assert_eq!(ada.call::<String>("my_ping", &()), "pong");
        assert_eq!(ada.received().len(), 1); // the greeting
    }
}

#[test]
fn an_unanswered_call_takes_virtual_time_only() {
    let app = app();
    let ada = app.client();
    let before = app.test.elapsed();
    assert!(matches!(ada.try_call::<u32>("silence", &()), Err(AckError::Timeout)));
    assert_eq!(app.test.elapsed() - before, SECOND * 60);
}

#[test]
fn a_stalled_network_is_found_out_by_the_heartbeat() {
    let app = app();
    let (ada, bob) = (app.client(), app.client());
    ada.stall_network();
    app.test.advance(SECOND * 24); // the interval is 25 s, the limit of the answer 20 s
    assert!(ada.is_connected());
    assert_eq!(app.left(), []);
    app.test.advance(SECOND * 22);
    assert_eq!(app.left(), [DisconnectReason::PingTimeout]);
    assert!(!ada.is_connected());
    assert_eq!(ada.disconnects(), [DisconnectReason::PingTimeout]);
    assert!(bob.is_connected());
    assert_eq!(bob.disconnects(), []);
}

#[test]
fn a_client_comes_back_after_a_cut_and_sends_what_it_kept() {
    let app = app();
    let (ada, bob) = (app.client(), app.client());
    let first = ada.id();
    ada.cut_network();
    assert!(!ada.is_connected());
    assert_eq!(app.left(), [DisconnectReason::TransportError]);
    ada.emit("my_broadcast_event", &message("kept"));
    app.test.advance(SECOND * 30);
    bob.expect_nothing();
    ada.restore_network();
    app.test.advance(SECOND * 6); // the longest delay is 5 s
    assert!(ada.is_connected());
    assert_ne!(ada.id(), first);
    assert_eq!(bob.expect::<Value>("my_response"), message("kept"));
    assert_eq!(ada.find::<Value>("my_response"), message("Connected"));
}

#[test]
fn a_short_stall_loses_nothing() {
    let app = app();
    let (ada, bob) = (app.client(), app.client());
    ada.stall_network();
    ada.emit("my_broadcast_event", &message("late"));
    bob.expect_nothing();
    ada.restore_network();
    assert_eq!(bob.expect::<Value>("my_response"), message("late"));
    assert_eq!(ada.expect::<Value>("my_response"), message("late"));
    assert_eq!(ada.disconnects(), []);
}

#[test]
fn many_events_and_much_data_come_to_rest_at_once() {
    let app = app();
    let (ada, bob) = (app.client(), app.client());
    for _ in 0..1000 {
        app.test.server().emit("news", &"x".repeat(1000)).expect("room in the budget");
        app.test.settle();
    }
    let big = "y".repeat(500_000);
    ada.emit("my_broadcast_event", &message(&big));
    for client in [ada, bob] {
        let received = client.received();
        assert_eq!(received.len(), 1001);
        assert_eq!(received[1000].decode::<Value>().expect("a message"), message(&big));
    }
}

#[test]
fn a_dropped_client_ends_its_connection_and_a_shutdown_all() {
    let app = app();
    let (ada, bob) = (app.client(), app.client());
    drop(ada);
    app.test.settle();
    assert_eq!(app.test.server().clients_count(), 1);
    app.test.block_on(app.test.server().shutdown(SECOND));
    assert!(!bob.is_connected());
    assert_eq!(app.left().len(), 2);
}

#[test]
fn a_failed_expectation_says_what_was_received() {
    let app = app();
    let ada = app.client();
    ada.emit("my_event", &message("a"));
    let wrong_name = panic_of(|| drop(ada.expect_event("other")));
    assert!(
        wrong_name.contains("`other`") && wrong_name.contains(r#"my_response [{"data":"a"}]"#),
        "{wrong_name}"
    );
    assert!(panic_of(|| ada.expect_nothing()).contains("my_response"));
    let wrong_type = panic_of(|| assert_eq!(ada.expect::<u32>("my_response"), 1));
    assert!(wrong_type.contains(r#"my_response [{"data":"a"}]"#), "{wrong_type}");
    assert!(panic_of(|| drop(ada.expect_event("other"))).contains("nothing"));
    ada.disconnect();
    let gone = panic_of(|| drop(ada.expect_event("other")));
    assert!(gone.contains("not connected"), "{gone}");
}

#[test]
fn waiting_in_vain_ends_at_once_or_after_an_hour_of_virtual_time() {
    let test = TestServer::default();
    let never = panic_of(|| test.block_on(std::future::pending()));
    assert!(never.contains("cannot come"), "{never}");
    let _ada = test.client("/");
    let late = panic_of(|| test.block_on(std::future::pending()));
    assert!(late.contains("an hour"), "{late}");
}

#[test]
fn the_same_story_takes_the_same_virtual_time() {
    let story = || {
        let app = app();
        let ada = app.client();
        ada.cut_network();
        app.test.advance(SECOND * 3);
        ada.restore_network();
        while !ada.is_connected() {
            app.test.advance(Duration::from_millis(10));
        }
        app.test.elapsed()
    };
    assert_eq!(story(), story());
}

#[test]
fn errors_of_handlers_reach_the_error_hook() {
    let app = app();
    let errors = Arc::new(Mutex::new(Vec::new()));
    let seen = errors.clone();
    app.test.server().on_error(move |_, error| seen.lock().unwrap().push(error.to_string()));
    app.test.server().on("fail", async || {
        Err::<(), EmitError>(EmitError::from(sansocket_runtime::SendError::Disconnected))
    });
    let ada = app.client();
    ada.emit("fail", &());
    assert_eq!(errors.lock().unwrap().len(), 1);
}
