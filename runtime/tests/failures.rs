//! The errors of handlers: who is told of them, what the client is answered, and what stays behind.

use sansocket_runtime::testing::TestServer;
use sansocket_runtime::{
    Ack, AckError, ConnectError, Data, Error, EventName, HandlerError, HandlerFailure, Refusal, Server,
    Socket, State,
};
use serde_json::{Value, json};
use std::sync::{Arc, Mutex};
use std::time::Duration;

type Lines = Arc<Mutex<Vec<String>>>;

fn take(lines: &Lines) -> Vec<String> {
    std::mem::take(&mut lines.lock().unwrap())
}

/// An event's name and its error.
fn line(failure: &HandlerFailure) -> String {
    format!("{}: {failure}", failure.event().unwrap_or("-"))
}

#[test]
fn the_value_of_an_error_hook_is_the_acknowledgement() {
    let test = TestServer::default();
    let io = test.server();
    io.on("number", async |Data(number): Data<u32>| number)
        .on("fail", async || Err::<u32, _>("no luck"))
        .on("ok", async || "fine")
        // The second handler of an event that the first has failed at.
        .on("two", async || Err::<u32, _>("the first"))
        .on("two", async || 2)
        .on("both", async || Err::<u32, _>("the first"))
        .on("both", async || Err::<u32, _>("the second"))
        .on_concurrent("apart", async || Err::<u32, _>("apart"))
        .on_concurrent("misfit", async |Data(number): Data<u32>| number)
        .on("by hand", async |ack: Ack| {
            ack.send(&"by hand").map_err(Error::from)?;
            Err::<(), Error>(Refusal::new("too late").into())
        });
    io.on_error(|socket, failure| {
        json!([socket.namespace().name(), failure.event().unwrap_or("-"), failure.to_string()])
    });
    let ada = test.client("/");
    assert_eq!(ada.call::<Value>("fail", &()), json!(["/", "fail", "no luck"]));
    let misfit = ada.call::<Value>("number", &"seven");
    assert!(misfit[2].as_str().unwrap().starts_with("the arguments do not fit the handler: "), "{misfit}");
    assert_eq!(ada.call::<u32>("number", &7), 7);
    assert_eq!(ada.call::<u32>("two", &()), 2, "a value is worth more than an error that came before it");
    assert_eq!(ada.call::<Value>("both", &()), json!(["/", "both", "the first"]));
    assert_eq!(ada.call::<Value>("apart", &()), json!(["/", "apart", "apart"]));
    assert!(ada.call::<Value>("misfit", &"seven")[2].is_string());
    assert_eq!(ada.call::<String>("by hand", &()), "by hand", "it was taken over");
    assert_eq!(ada.call::<String>("ok", &()), "fine");
}

#[test]
fn a_namespace_has_an_error_hook_of_its_own_or_that_of_the_server() {
    let test = TestServer::default();
    let io = test.server();
    for name in ["/", "/own", "/silent"] {
        io.namespace(name).on("fail", async || Err::<(), _>("no luck"));
    }
    io.dynamic_namespace("/game-*").on_error(|_, _| "lost").on("fail", async || Err::<(), _>("no luck"));
    let silent = Lines::default();
    let seen = silent.clone();
    io.namespace("/own").on_error(|_, _| "replaced").on_error(|_, _| "own");
    io.namespace("/silent").on_error(move |_, failure| seen.lock().unwrap().push(line(failure)));
    io.on_error(|_, _| "replaced").on_error(|_, _| "default");
    for (name, answer) in [("/", "default"), ("/own", "own"), ("/game-7", "lost")] {
        assert_eq!(test.client(name).call::<String>("fail", &()), answer, "{name}");
    }
    // `()` is no answer: a client must not take a failure for a success.
    let ada = test.client("/silent");
    assert!(matches!(ada.try_call::<()>("fail", &()), Err(AckError::Timeout)));
    assert_eq!(take(&silent), ["fail: no luck"]);
}

#[test]
fn an_event_that_middleware_refuses_is_answered_by_the_error_hook() {
    let test = TestServer::default();
    test.server()
        .on("secret", async || "the secret")
        .event_middleware(async || Err::<(), _>("not for you"))
        .on_error(|_, failure| line(failure));
    assert_eq!(test.client("/").call::<String>("secret", &()), "secret: not for you");
}

#[test]
fn a_client_answers_with_the_value_of_its_error_hook() {
    let test = TestServer::default();
    test.server().on("ask", async |socket: Socket| {
        let answer = socket.emit_with_ack("question", &(), Duration::from_secs(5)).await?;
        Ok::<_, AckError>(answer.decode::<String>()?)
    });
    let ada = test.client_with("/", |builder| builder.on_error(|_, failure| line(failure)));
    ada.socket().on("question", async || Err::<(), _>("no idea"));
    assert_eq!(ada.call::<String>("ask", &()), "question: no idea");
}

#[test]
fn the_error_hook_is_told_of_the_event_whose_handler_panicked() {
    let test = TestServer::default();
    let lines = Lines::default();
    let seen = lines.clone();
    struct Bad;
    impl<'de> serde::Deserialize<'de> for Bad {
        fn deserialize<D: serde::Deserializer<'de>>(_: D) -> Result<Self, D::Error> {
            panic!("in an extractor")
        }
    }
    test.server()
        .on("at once", async || -> u32 { panic!("one") })
        .on("extracted", async |_: Data<Bad>| ())
        .on("later", async |socket: Socket| {
            let _ = socket.emit_with_ack("x", &(), Duration::from_secs(1)).await;
            assert!(!socket.is_connected(), "three");
        })
        .on("several", async || ())
        .on("several", async || -> u32 { panic!("four") })
        .on_concurrent("apart", async || -> u32 { panic!("five") })
        .on_connected(async |socket: Socket| {
            assert!(socket.handshake().query_value("panic").is_none(), "six");
        })
        .on_error(move |_, failure| {
            assert!(matches!(failure.error(), HandlerError::Panic(_)));
            seen.lock().unwrap().push(line(failure));
        });
    for event in ["at once", "extracted", "later", "several", "apart"] {
        let client = test.client("/");
        client.emit(event, &());
        test.advance(Duration::from_secs(2));
    }
    // An event's name does not stick to the next panic.
    let _ = test.try_client("/", |builder| builder.query("panic", "yes"));
    test.settle();
    let told: Vec<_> = take(&lines).iter().map(|line| line.replace("the handler panicked: ", "")).collect();
    assert_eq!(
        told,
        [
            "at once: one",
            "extracted: in an extractor",
            "later: three",
            "several: four",
            "apart: five",
            "-: six"
        ]
    );
}

#[test]
fn a_refusal_whose_data_cannot_be_encoded_refuses_and_is_reported() {
    struct Unspeakable;
    impl serde::Serialize for Unspeakable {
        fn serialize<S: serde::Serializer>(&self, _: S) -> Result<S::Ok, S::Error> {
            Err(serde::ser::Error::custom("no words for it"))
        }
    }
    let test = TestServer::default();
    let lines = Lines::default();
    let seen = lines.clone();
    let io = test.server();
    io.on_error(move |_, failure| seen.lock().unwrap().push(line(failure)));
    io.namespace("/fine").on_connect(async || Err::<(), _>(Refusal::new("no").data(&("code", 42))));
    io.namespace("/bad").on_connect(async || Err::<(), _>(Refusal::new("no").data(&Unspeakable)));
    let refused = |name: &str| match test.try_client(name, |builder| builder) {
        Err(ConnectError::Refused(refusal)) => (refusal.message().to_owned(), refusal.data::<Value>().ok()),
        other => panic!("{other:?}"),
    };
    assert_eq!(refused("/fine"), ("no".into(), Some(json!(["code", 42]))));
    assert!(take(&lines).is_empty());
    assert_eq!(refused("/bad").0, "no");
    let told = take(&lines);
    assert!(told.len() == 1 && told[0].contains("no words for it"), "{told:?}");
}

/// The application's value, whose life is watched.
struct Guard(#[allow(dead_code)] &'static str);

#[test]
fn a_server_that_its_handlers_have_captured_is_free_after_its_shutdown() {
    let guard = Arc::new(Guard("held by the handlers"));
    let watched = Arc::downgrade(&guard);
    let test = TestServer::new(|runtime| {
        use sansocket_runtime::{ServerBuilder, adapter::ServerOptions};
        ServerBuilder::<Server, ServerOptions>::new(runtime).state(guard).build()
    });
    let io: Server = test.server().clone();
    let captured = io.clone();
    io.on("say", move |Data(text): Data<String>, _: State<Arc<Guard>>| {
        let io = captured.clone();
        async move { io.emit("said", &text) }
    });
    for (hooked, name) in [(io.clone(), "/a"), (io.clone(), "/b")] {
        io.namespace(name).on_error(move |_, _| drop(hooked.clone()));
    }
    let (default, outgoing, child) = (io.clone(), io.clone(), io.clone());
    io.on_error(move |_, _| drop(default.clone()));
    io.on_any_outgoing(move |_, _| drop(outgoing.clone()));
    io.dynamic_namespace("/x-*").on("any", move || {
        let io = child.clone();
        async move { io.clients_count() }
    });
    let ada = test.client("/");
    ada.emit("say", &"hello");
    assert_eq!(ada.expect::<String>("said"), "hello");
    test.block_on(io.shutdown(Duration::from_secs(1)));
    let weak = io.downgrade();
    assert!(weak.upgrade().is_some());
    drop((ada, io, test));
    assert!(weak.upgrade().is_none());
    assert!(watched.upgrade().is_none(), "the server's state is dropped with it");
}

#[test]
fn a_concurrent_handler_that_cannot_be_called_leaves_the_answer_to_the_others() {
    let test = TestServer::default();
    let lines = Lines::default();
    let seen = lines.clone();
    test.server()
        .on_concurrent("twice", async |Data(number): Data<u32>| number)
        .on("twice", async || "a value")
        .on_error(move |_, failure| {
            seen.lock().unwrap().push(failure.event().unwrap_or("-").to_owned());
            "a failure"
        });
    let ada = test.client("/");
    assert_eq!(ada.call::<String>("twice", &"seven"), "a value");
    assert_eq!(take(&lines), ["twice"]);
}

#[test]
fn an_acknowledgement_that_was_taken_over_comes_back_if_the_handler_cannot_be_called() {
    let test = TestServer::default();
    test.server()
        .on("sole", async |_: Ack, Data(number): Data<u32>| number)
        .on("several", async |_: Ack, Data(number): Data<u32>| number)
        .on("several", async |name: EventName| name.0)
        .on_concurrent("apart", async |_: Ack, Data(number): Data<u32>| number)
        .on_any(async || ())
        .on_error(|_, failure| line(failure));
    let ada = test.client("/");
    let misfit = "the arguments do not fit the handler";
    assert!(ada.call::<String>("sole", &"seven").starts_with(&format!("sole: {misfit}")));
    assert_eq!(ada.call::<String>("several", &"seven"), "several");
    assert!(ada.call::<String>("apart", &"seven").starts_with(&format!("apart: {misfit}")));
    test.server().off_any();
    assert!(ada.call::<String>("sole", &"seven").starts_with(&format!("sole: {misfit}")));
}

#[test]
fn every_hook_is_dropped_by_the_shutdown() {
    use sansocket_runtime::cluster::{ClusterOptions, InProcessBus};
    use sansocket_runtime::recovery::RecoveryConfig;
    use sansocket_runtime::{Args, ServerBuilder, adapter::ServerOptions};
    let build = |runtime| {
        let builder = ServerBuilder::<Server, ServerOptions>::new(runtime);
        let builder = builder.connection_state_recovery(RecoveryConfig::default());
        builder.cluster(ClusterOptions::new(InProcessBus::new())).build()
    };
    let test = TestServer::new(build);
    let io = test.server().clone();
    let guard = Arc::new(Guard("held by the hooks"));
    let watched = || Arc::strong_count(&guard);
    let hold = || guard.clone();
    let held = hold();
    io.on_unrecovered(move |_| drop(held.clone()));
    let held = hold();
    io.root().on_server_side("news", move |_: Args| {
        drop(held.clone());
        std::future::ready(())
    });
    let held = hold();
    io.on_bus(move |_| drop(held.clone()));
    let held = hold();
    let dynamic = io.dynamic_namespace_if(move |name| {
        drop(held.clone());
        name.starts_with("/x-")
    });
    let child = test.client("/x-1");
    assert!(child.is_connected());
    assert_eq!(watched(), 5);
    test.block_on(io.shutdown(Duration::from_secs(1)));
    assert_eq!(watched(), 1, "whoever still has the server, or a namespace of it");
    drop((io, dynamic));
}
