//! Connection state recovery, with our client against our server, in virtual time.

use sansocket_runtime::adapter::ServerOptions;
use sansocket_runtime::recovery::{Ended, NotRecovered, RecoveryConfig};
use sansocket_runtime::testing::{TestClient, TestServer};
use sansocket_runtime::{Auth, Data, DisconnectReason, Refusal, SendError, Server, ServerBuilder, Socket};
use serde_json::{Value, json};
use std::sync::{Arc, Mutex};
use std::time::Duration;

const SECOND: Duration = Duration::from_secs(1);

/// A value that is kept with a socket.
struct Name(String);

/// The news that the server was told, in order.
type Log = Arc<Mutex<Vec<String>>>;

struct App {
    test: TestServer<Server>,
    log: Log,
    /// The auth of the client that joined last.
    auth: Arc<Mutex<Value>>,
}

fn app(config: RecoveryConfig) -> App {
    app_with(|builder| builder.connection_state_recovery(config))
}

fn app_with(
    options: impl FnOnce(ServerBuilder<Server, ServerOptions>) -> ServerBuilder<Server, ServerOptions>,
) -> App {
    let test =
        TestServer::new(|runtime| options(ServerBuilder::<Server, ServerOptions>::new(runtime)).build());
    let (log, auth) = (Log::default(), Arc::<Mutex<Value>>::default());
    let io = test.server();
    let write = |log: &Log| {
        let log = log.clone();
        move |line: String| log.lock().unwrap().push(line)
    };
    let (tell, last) = (write(&log), auth.clone());
    io.on_connected(move |socket: Socket, Auth(auth): Auth<Value>| {
        tell(format!("connected, recovered {}", socket.recovered()));
        *last.lock().unwrap() = auth;
        std::future::ready(())
    });
    let tell = write(&log);
    io.on_disconnect(move |reason: DisconnectReason| {
        tell(reason.to_string());
        std::future::ready(())
    });
    let tell = write(&log);
    io.on_unrecovered(move |session| {
        let name = session.get::<Name>().map(|name| name.0.clone());
        tell(format!("ended: {:?} {name:?} in {:?}", session.reason(), session.rooms()));
    });
    io.on("join", async |socket: Socket, Data(room): Data<String>| socket.join(&room).map(drop));
    io.on("name", async |socket: Socket, Data(name): Data<String>| {
        socket.insert(Name(name));
    });
    io.on("name?", async |socket: Socket| socket.get::<Name>().map(|name| name.0.clone()));
    io.on("leave", async |socket: Socket| socket.disconnect());
    App { test, log, auth }
}

impl App {
    fn io(&self) -> &Server {
        self.test.server()
    }

    fn log(&self) -> Vec<String> {
        std::mem::take(&mut self.log.lock().unwrap())
    }

    /// The client's connection is lost for a while.
    fn lose(&self, client: &TestClient, while_away: impl FnOnce()) {
        client.cut_network();
        while_away();
        client.restore_network();
        self.test.advance(SECOND * 6); // the longest delay is 5 s
        assert!(client.is_connected());
    }
}

/// The events of that name since the last look, without their offsets.
fn heard(client: &TestClient) -> Vec<(String, Value)> {
    let received = client.received().into_iter();
    received.map(|received| (received.event.clone(), received.args.get(0).unwrap_or_default())).collect()
}

fn event(name: &str, value: impl Into<Value>) -> (String, Value) {
    (name.into(), value.into())
}

#[test]
fn a_client_that_was_away_gets_its_session_back_and_what_it_has_missed() {
    let app = app(RecoveryConfig::default());
    let (ada, bob) = (app.test.client("/"), app.test.client("/"));
    let id = ada.id();
    assert!(!ada.socket().recovered());
    let () = ada.call("join", &"chess");
    ada.emit("name", &"Ada");
    app.io().to("chess").emit("move", &1).unwrap();
    assert_eq!(heard(&ada), [event("move", 1)]);
    app.log();

    let gone = app.io().socket(&id).unwrap();
    app.lose(&ada, || {
        app.io().to("chess").emit("move", &2).unwrap();
        app.io().to("draughts").emit("move", &3).unwrap();
        app.io().to("chess").except("chess").emit("move", &4).unwrap();
        app.io().to("chess").volatile().emit("move", &5).unwrap();
        app.io().emit("all", &6).unwrap();
        // A task that still has the socket of the lost connection.
        gone.emit("you", &7).unwrap();
        app.test.advance(SECOND * 60);
    });
    assert_eq!((ada.id(), ada.socket().recovered()), (id.clone(), true));
    assert_eq!(heard(&ada), [event("move", 2), event("all", 6), event("you", 7)]);
    assert_eq!(ada.call::<Option<String>>("name?", &()).as_deref(), Some("Ada"));
    app.io().to("chess").emit("move", &8).unwrap();
    gone.emit("you", &9).unwrap();
    assert_eq!(heard(&ada), [event("move", 8), event("you", 9)]);
    assert_eq!(app.io().socket(&id).map(|socket| socket.recovered()), Some(true));
    assert_eq!(app.log(), ["transport error", "connected, recovered true"]);
    assert_eq!(heard(&bob), [event("all", 6)]);

    // Again and again.
    for number in 10..13 {
        app.lose(&ada, || app.io().to("chess").emit("move", &number).unwrap());
        assert_eq!(heard(&ada), [event("move", number)]);
    }
    app.log();
    // Nothing is left of it once the window of the last loss is over.
    ada.cut_network();
    app.test.advance(SECOND * 119);
    assert_eq!(app.log(), ["transport error"]);
    app.test.advance(SECOND);
    assert_eq!(app.log(), [r#"ended: Expired Some("Ada") in ["chess"]"#]);
    ada.restore_network();
    app.test.advance(SECOND * 6);
    assert_eq!((ada.socket().recovered(), ada.id() == id), (false, false));
    assert_eq!(ada.call::<Option<String>>("name?", &()), None);
    assert_eq!(app.log(), ["connected, recovered false"]);
    assert_eq!(gone.emit("you", &14).unwrap_err().to_string(), SendError::Disconnected.to_string());
}

#[test]
fn events_that_want_an_answer_have_no_offset_and_are_not_sent_again() {
    let app = app(RecoveryConfig::default());
    let ada = app.test.client("/");
    app.io().emit("kept", &"x").unwrap();
    assert_eq!(ada.expect_event("kept").args.len(), 2);
    let socket = app.io().socket(&ada.id()).unwrap();
    let answer = socket.emit_with_ack("asked", &"x", SECOND);
    assert_eq!(ada.expect_event("asked").args.len(), 1);
    drop(answer);
    let answers = app.io().emit_with_ack("asked", &"x", SECOND);
    assert_eq!(ada.expect_event("asked").args.len(), 1);
    drop(answers);
    socket.emit_volatile("volatile", &1).unwrap();
    assert_eq!(ada.expect_event("volatile").args.len(), 1);
    app.lose(&ada, || assert!(app.test.block_on(socket.emit_with_ack("asked", &1, SECOND)).is_err()));
    assert!(ada.socket().recovered());
    assert_eq!(heard(&ada), []);
}

#[test]
fn what_is_left_on_purpose_is_not_kept() {
    let app = app(RecoveryConfig::default());
    let ada = app.test.client("/");
    let id = ada.id();
    ada.disconnect();
    ada.connect();
    assert_ne!(ada.id(), id);
    let id = ada.id();
    ada.emit("leave", &());
    assert_eq!(ada.disconnects().len(), 2);
    ada.connect();
    assert_ne!(ada.id(), id);
    assert_eq!(
        app.log(),
        [
            "connected, recovered false",
            "client namespace disconnect",
            "connected, recovered false",
            "server namespace disconnect",
            "connected, recovered false"
        ]
    );
}

#[test]
fn middleware_is_left_out_for_a_client_that_was_let_in_before_unless_it_is_to_run() {
    for skip in [true, false] {
        let app = app(RecoveryConfig::default().skip_middlewares(skip));
        let asked = Arc::new(Mutex::new(Vec::new()));
        let (by, runs) = (asked.clone(), asked.clone());
        app.io().middleware(move |socket: Socket| {
            by.lock().unwrap().push(format!("middleware {}", socket.recovered()));
            std::future::ready(Ok::<_, Refusal>(()))
        });
        app.io().on_connect(move |socket: Socket| {
            runs.lock().unwrap().push(format!("on_connect {}", socket.recovered()));
            std::future::ready(Ok::<_, Refusal>(()))
        });
        let ada = app.test.client("/");
        app.lose(&ada, || app.io().emit("missed", &1).unwrap());
        let mut expected = vec!["middleware false", "on_connect false", "middleware true", "on_connect true"];
        if skip {
            expected.remove(2);
        }
        assert_eq!(*asked.lock().unwrap(), expected);
        assert_eq!(heard(&ada), [event("missed", 1)]);
    }
}

#[test]
fn a_session_ends_when_the_application_does_not_let_its_client_in_again() {
    let app = app(RecoveryConfig::default());
    app.io().on_connect(async |socket: Socket| match socket.recovered() {
        true => Err(Refusal::new("not again")),
        false => Ok(()),
    });
    let ada = app.test.client("/");
    app.log();
    ada.cut_network();
    ada.restore_network();
    app.test.advance(SECOND * 6);
    assert!(!ada.is_connected());
    assert_eq!(app.log(), ["transport error", "ended: Refused None in []"]);
    ada.connect();
    assert!(!ada.socket().recovered());
}

#[test]
fn what_passes_while_a_client_is_let_in_again_comes_behind_what_it_has_missed() {
    let app = app(RecoveryConfig::default());
    let server = app.io().clone();
    app.io().on_connect(move |socket: Socket| {
        let server = server.clone();
        async move {
            if socket.recovered() {
                server.emit("passing", &2).unwrap();
                socket.emit("passing", &3).unwrap();
            }
            Ok::<_, Refusal>(())
        }
    });
    let ada = app.test.client("/");
    app.lose(&ada, || app.io().emit("missed", &1).unwrap());
    assert_eq!(heard(&ada), [event("missed", 1), event("passing", 2), event("passing", 3)]);
}

#[test]
fn a_client_that_is_back_before_its_loss_was_noticed_gets_its_session_back() {
    let app = app(RecoveryConfig::default());
    let server = app.io().clone();
    // Its handlers have finished before those of the next connection begin.
    let log = app.log.clone();
    let runtime = app.test.runtime();
    app.io().on_disconnect(move |socket: Socket| {
        let (log, _) = (log.clone(), runtime.clone());
        async move { log.lock().unwrap().push(format!("{} rooms", socket.rooms().len())) }
    });
    let ada = app.test.client("/");
    let () = ada.call("join", &"chess");
    app.lose(&ada, || server.to("chess").emit("move", &1).unwrap());
    let shown = app.auth.lock().unwrap().clone();
    assert!(shown["pid"].is_string() && shown.get("offset").is_none(), "{shown}");
    let offset: String = ada.expect_event("move").args.get(1).unwrap();
    app.log();

    // Nothing arrives at either side, and neither knows.
    let id = ada.id();
    ada.stall_network();
    server.to("chess").emit("move", &2).unwrap();
    let auth = json!({ "pid": shown["pid"], "offset": offset });
    let again = app.test.client_with("/", |builder| builder.auth(&auth));
    assert_eq!(again.id(), id);
    assert_eq!(heard(&again), [event("move", 2)]);
    server.to("chess").emit("move", &3).unwrap();
    assert_eq!(heard(&again), [event("move", 3)]);
    assert_eq!(app.log(), ["transport close", "0 rooms", "connected, recovered true"]);
    assert_eq!(app.io().namespaces()[0].len(), 1);
}

#[test]
fn a_session_whose_handlers_never_finish_is_given_up_and_its_client_begins_anew() {
    let app = app(RecoveryConfig::default());
    app.io().on_disconnect(async || std::future::pending::<()>().await);
    let ada = app.test.client("/");
    let id = ada.id();
    ada.cut_network();
    ada.restore_network();
    app.test.advance(SECOND * 6);
    assert!(!ada.is_connected());
    app.test.advance(SECOND * 10);
    assert!(ada.is_connected());
    assert_eq!((ada.socket().recovered(), ada.id() == id), (false, false));
}

#[test]
fn a_session_whose_client_did_not_wait_for_its_handlers_is_told_of_once() {
    let app = app(RecoveryConfig::default());
    let (finish, finished) = futures_channel::oneshot::channel::<()>();
    let finished = Arc::new(Mutex::new(Some(finished)));
    app.io().on_disconnect(move || {
        let finished = finished.lock().unwrap().take();
        async move {
            if let Some(finished) = finished {
                let _ = finished.await;
            }
        }
    });
    let ada = app.test.client("/");
    ada.emit("name", &"Ada");
    ada.cut_network();
    ada.restore_network();
    app.test.advance(SECOND * 16);
    assert!(ada.is_connected() && !ada.socket().recovered());
    app.log();
    let _ = finish.send(());
    app.test.advance(SECOND);
    assert_eq!(app.log(), [r#"ended: Replaced Some("Ada") in []"#]);
    app.test.advance(SECOND * 300);
    assert_eq!(app.log(), [""; 0]);
}

#[test]
fn a_session_that_is_lost_after_the_shutdown_is_told_of() {
    let app = app(RecoveryConfig::default());
    let (finish, finished) = futures_channel::oneshot::channel::<()>();
    let finished = Arc::new(Mutex::new(Some(finished)));
    let (begun, has_begun) = futures_channel::oneshot::channel::<()>();
    let begun = Arc::new(Mutex::new(Some(begun)));
    app.io().on_disconnect(move || {
        let (finished, begun) = (finished.lock().unwrap().take(), begun.lock().unwrap().take());
        async move {
            drop(begun);
            if let Some(finished) = finished {
                let _ = finished.await;
            }
        }
    });
    let ada = app.test.client("/");
    ada.cut_network();
    let _ = app.test.block_on(has_begun);
    app.log();
    // Its handlers outlast the patience of the shutdown, and are cut off with it.
    app.test.block_on(app.io().shutdown(SECOND));
    app.test.advance(SECOND);
    drop(finish);
    app.test.advance(SECOND);
    assert_eq!(app.log(), ["ended: ShutDown None in []"]);
}

#[test]
fn a_server_that_goes_without_a_shutdown_tells_of_the_sessions_that_wait() {
    let App { test, log, auth } = app(RecoveryConfig::default());
    let ada = test.client("/");
    ada.cut_network();
    test.advance(SECOND);
    log.lock().unwrap().clear();
    drop((ada, test, auth));
    assert_eq!(*log.lock().unwrap(), ["ended: ShutDown None in []"]);
}

#[test]
fn a_namespace_that_was_cleaned_up_and_comes_again_is_the_one_that_its_handles_stand_for() {
    let app = app_with(|builder| {
        builder.connection_state_recovery(RecoveryConfig::default()).cleanup_empty_namespaces(true)
    });
    app.io()
        .dynamic_namespace("/room-*")
        .on("join", async |socket: Socket, Data(room): Data<String>| socket.join(&room).map(drop));
    let names = || app.io().namespaces().iter().map(|found| found.name().to_owned()).collect::<Vec<_>>();
    let ada = app.test.client("/room-1");
    let () = ada.call("join", &"chess");
    let held = app.io().namespaces().into_iter().find(|found| found.name() == "/room-1").unwrap();
    let old = held.socket(&ada.id()).unwrap();

    // It is gone while its client is away, and what is emitted by those who hold it waits all the same.
    app.lose(&ada, || {
        assert_eq!(names(), ["/"]);
        held.to("chess").emit("move", &1).unwrap();
        old.emit("you", &2).unwrap();
    });
    assert!(ada.socket().recovered());
    held.to("chess").emit("move", &3).unwrap();
    old.emit("you", &4).unwrap();
    assert_eq!(heard(&ada), [event("move", 1), event("you", 2), event("move", 3), event("you", 4)]);
    assert_eq!((names(), held.len()), (vec!["/".to_owned(), "/room-1".to_owned()], 1));

    // The socket of the lost connection does nothing to the one that has its id now.
    old.disconnect();
    assert_eq!((old.join("draughts"), old.leave("chess"), old.is_connected()), (Ok(false), false, false));
    assert_eq!(held.rooms(), ["chess".into()]);
    assert!(ada.is_connected());

    // Another one begins anew in it: the rooms of the first are not its own.
    ada.disconnect();
    assert_eq!(names(), ["/"]);
    let bob = app.test.client("/room-1");
    held.to("chess").emit("move", &5).unwrap();
    held.emit("all", &6).unwrap();
    assert_eq!(heard(&bob), [event("all", 6)]);
    // Without anybody who holds it, it is made anew.
    drop((held, old));
    bob.disconnect();
    let bob = app.test.client("/room-1");
    app.io().namespace("/room-1").emit("all", &7).unwrap();
    assert_eq!(heard(&bob), [event("all", 7)]);
}

#[test]
fn more_than_fits_into_the_send_buffer_is_not_sent_and_the_client_is_told() {
    let app = app_with(|builder| {
        // The budget has capacity for the largest message, at least.
        builder.connection_state_recovery(RecoveryConfig::default()).send_budget(20_000).max_payload(20_000)
    });
    let ada = app.test.client("/");
    app.log();
    app.lose(&ada, || {
        (0..30).for_each(|_| app.io().emit("much", &"x".repeat(1000)).unwrap());
    });
    assert!(!ada.socket().recovered());
    let ended = format!("ended: {:?} None in []", Ended::NotRecovered(NotRecovered::TooMuch));
    assert_eq!(app.log(), ["transport error", &*ended, "connected, recovered false"]);
    assert_eq!(heard(&ada), []);
}

#[test]
fn sessions_of_several_namespaces_are_each_recovered() {
    let app = app(RecoveryConfig::default());
    app.io().dynamic_namespace("/room-*");
    let ada = app.test.client("/");
    let other = ada.namespace("/room-1");
    other.connect();
    let ids = (ada.id(), other.id());
    app.lose(&ada, || {
        app.io().emit("here", &1).unwrap();
        app.io().namespace("/room-1").emit("there", &2).unwrap();
    });
    assert_eq!((ada.id(), other.id()), ids);
    assert!(ada.socket().recovered() && other.socket().recovered());
    assert_eq!((heard(&ada), heard(&other)), (vec![event("here", 1)], vec![event("there", 2)]));
}

#[test]
fn at_a_shutdown_every_session_that_waits_is_told_of() {
    let app = app(RecoveryConfig::default());
    let (ada, bob) = (app.test.client("/"), app.test.client("/"));
    ada.cut_network();
    bob.cut_network();
    app.log();
    app.test.block_on(app.io().shutdown(SECOND));
    assert_eq!(app.log(), ["ended: ShutDown None in []"; 2]);
}
