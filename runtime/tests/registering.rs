//! Registering handlers: those of one socket, those that are removed one by one, and the parts of a namespace's name.

use sansocket_runtime::testing::TestServer;
use sansocket_runtime::{
    Ack, ConnectError, Data, DisconnectReason, EventName, NameParts, Namespace, Server, Socket, State,
    TypedEvent,
};
use std::future::ready;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

type Lines = Arc<Mutex<Vec<String>>>;

fn take(lines: &Lines) -> Vec<String> {
    std::mem::take(&mut lines.lock().unwrap())
}

/// A handler that notes its name.
macro_rules! noting {
    ($lines:expr, $name:literal) => {{
        let lines = $lines.clone();
        move || {
            lines.lock().unwrap().push($name.to_owned());
            ready(())
        }
    }};
}

#[test]
fn a_socket_has_handlers_of_its_own_after_those_of_its_namespace() {
    let test = TestServer::default();
    let lines = Lines::default();
    let noted = lines.clone();
    test.server().on_connect(move |socket: Socket| {
        let name = socket.handshake().query_value("name").unwrap_or_default().into_owned();
        let (who, lines) = (name.clone(), noted.clone());
        socket.on("who", move || ready(who.clone()));
        if name == "ada" {
            socket
                .once("first", noting!(lines, "once"))
                .on("first", noting!(lines, "always"))
                .on_any(noting!(lines, "any"));
        }
        ready(())
    });
    test.server().on("who", noting!(lines, "namespace"));
    let [ada, bob] = ["ada", "bob"].map(|name| test.client_with("/", |builder| builder.query("name", name)));
    // The namespace's handler returns nothing, and the first value acknowledges.
    assert_eq!(bob.call::<String>("who", &()), "bob");
    assert_eq!(take(&lines), ["namespace"]);
    assert_eq!(ada.call::<String>("who", &()), "ada");
    assert_eq!(take(&lines), ["any", "namespace"]);
    for client in [&ada, &bob] {
        client.emit("first", &());
        client.emit("first", &());
    }
    assert_eq!(take(&lines), ["any", "once", "always", "any", "always"], "those of ada alone");

    // Registered at any time, as in a handler, and taken away again.
    let socket = test.server().socket(&ada.id()).expect("it is connected");
    socket.off("first").off_any();
    let later = socket.add_listener("first", noting!(lines, "later"));
    ada.emit("first", &());
    assert_eq!(take(&lines), ["later"]);
    assert!(later.remove());
    ada.emit("first", &());
    assert!(take(&lines).is_empty());
    assert_eq!(ada.call::<String>("who", &()), "ada", "the others stay");
}

#[test]
fn a_sockets_own_handlers_go_with_it_even_if_they_have_captured_it() {
    let test = TestServer::default();
    let watched = Arc::new(());
    let held = watched.clone();
    test.server().on_connect(move |socket: Socket| {
        let (own, held) = (socket.clone(), held.clone());
        socket.on("id", move || {
            let _ = &held;
            ready(own.id().to_owned())
        });
        ready(())
    });
    let ada = test.client("/");
    assert_eq!(ada.call::<String>("id", &()), *ada.id());
    let socket = test.server().socket(&ada.id()).expect("it is connected");
    let count = || Arc::strong_count(&watched);
    assert_eq!(count(), 3);
    let gone_first = socket.add_listener("x", || ready(()));
    ada.disconnect();
    assert_eq!(count(), 2, "the socket's handlers are dropped, though somebody has the socket");
    assert!(!gone_first.remove());
    // What is registered too late is not kept.
    let held = watched.clone();
    socket.on("late", move || {
        let _ = &held;
        ready(())
    });
    assert_eq!(count(), 2);
}

#[test]
fn a_recovered_socket_registers_its_own_handlers_again() {
    use sansocket_runtime::recovery::RecoveryConfig;
    use sansocket_runtime::{ServerBuilder, adapter::ServerOptions};
    let test = TestServer::new(|runtime| {
        ServerBuilder::<Server, ServerOptions>::new(runtime)
            .connection_state_recovery(RecoveryConfig::default())
            .build()
    });
    let lines = Lines::default();
    let noted = lines.clone();
    test.server().on_connect(move |socket: Socket| {
        socket.on("once more", noting!(noted, "heard"));
        ready(())
    });
    let ada = test.client("/");
    ada.cut_network();
    ada.restore_network();
    test.advance(Duration::from_secs(10));
    assert!(ada.socket().recovered());
    ada.emit("once more", &());
    assert_eq!(take(&lines), ["heard"], "and not twice");
}

#[test]
fn one_listener_is_removed_and_the_others_stay() {
    let test = TestServer::default();
    let lines = Lines::default();
    let io = test.server();
    let second = io.on("e", noting!(lines, "one")).add_listener("e", noting!(lines, "two"));
    let zeroth = io.prepend_listener("e", noting!(lines, "zero"));
    let elsewhere = io.namespace("/x").add_listener("e", noting!(lines, "elsewhere"));
    let ada = test.client("/");
    let heard = || {
        ada.emit("e", &());
        take(&lines)
    };
    assert_eq!(heard(), ["zero", "one", "two"]);
    assert!(second.remove());
    assert!(elsewhere.remove());
    assert_eq!(heard(), ["zero", "one"]);
    let third = io.add_listener("e", noting!(lines, "three"));
    io.off("e");
    assert!(!zeroth.remove() && !third.remove(), "they were gone");
    assert!(heard().is_empty());
    drop(io.add_listener("e", noting!(lines, "stays")));
    assert_eq!(heard(), ["stays"], "a handle that is dropped removes nothing");
    let orphan = TestServer::default().server().add_listener("e", noting!(lines, "orphan"));
    assert!(!orphan.remove());
}

#[test]
fn a_client_removes_one_listener_and_prepends_another() {
    let test = TestServer::default();
    let lines = Lines::default();
    let ada = test.client("/");
    let second = ada.socket().on("e", noting!(lines, "one")).add_listener("e", noting!(lines, "two"));
    let _zeroth = ada.socket().prepend_listener("e", noting!(lines, "zero"));
    test.server().emit("e", &()).expect("it is encoded");
    test.settle();
    assert_eq!(take(&lines), ["zero", "one", "two"]);
    assert!(second.remove());
    test.server().emit("e", &()).expect("it is encoded");
    test.settle();
    assert_eq!(take(&lines), ["zero", "one"]);
}

#[test]
fn a_removed_listener_is_dropped_with_what_it_has_captured() {
    let test = TestServer::default();
    let watched = Arc::new(());
    let held = watched.clone();
    let listener = test.server().add_listener("e", move || {
        let _ = &held;
        ready(())
    });
    assert_eq!(Arc::strong_count(&watched), 2);
    assert!(listener.remove());
    assert_eq!(Arc::strong_count(&watched), 1);
}

#[test]
fn the_parts_of_a_dynamic_namespaces_name_are_extracted() {
    let test = TestServer::default();
    let io = test.server();
    let games = io.dynamic_namespace("/game-*/*");
    games
        .on_connect(async |_: NameParts<(u32, String)>| ())
        .on("parts", async |NameParts((game, side)): NameParts<(u32, String)>, Data(n): Data<u32>| {
            format!("{side} in {game}: {n}")
        })
        .on("texts", async |NameParts(parts): NameParts<Vec<String>>| parts)
        .on("too few", async |parts: Option<NameParts<(u32,)>>| parts.is_some());
    io.on("none", async |parts: Option<NameParts<(u32,)>>| parts.is_some());
    io.dynamic_namespace_if(|name| name.starts_with("/other")).on(
        "none",
        async |parts: Option<NameParts<(String,)>>, namespace: Namespace| {
            (parts.is_some(), namespace.name().to_owned())
        },
    );
    let ada = test.client("/game-7/red/team");
    assert_eq!(ada.call::<String>("parts", &3), "red/team in 7: 3");
    assert_eq!(ada.call::<Vec<String>>("texts", &()), ["7", "red/team"]);
    assert!(!ada.call::<bool>("too few", &()));
    // One value has one name.
    for name in ["/game-seven/red", "/game-07/red", "/game-+7/red", "/game-/red"] {
        let refused = test.try_client(name, |builder| builder);
        assert!(matches!(refused, Err(ConnectError::Refused(_))), "{name} {refused:?}");
    }
    assert!(!test.client("/").call::<bool>("none", &()));
    assert_eq!(test.client("/other").call::<(bool, String)>("none", &()), (false, "/other".to_owned()));
}

#[test]
fn an_event_that_middleware_stops_is_not_the_one_that_runs_once() {
    let test = TestServer::default();
    let lines = Lines::default();
    let noted = lines.clone();
    test.server()
        .on_connect(move |socket: Socket| {
            socket.once("enter", noting!(noted, "entered"));
            ready(())
        })
        .event_middleware(async |Data(word): Data<String>| match word.as_str() {
            "sesame" => Ok(()),
            _ => Err("closed"),
        })
        .on_error(|_, _| ());
    let ada = test.client("/");
    for word in ["barley", "sesame", "sesame"] {
        ada.emit("enter", &word);
    }
    assert_eq!(take(&lines), ["entered"]);
}

#[test]
fn a_state_is_given_after_the_build_and_the_start_panics_without_it() {
    #[derive(Clone)]
    struct Late(&'static str);
    #[derive(Clone)]
    struct Never;
    let test = TestServer::default();
    let io = test.server();
    io.on("late", async |State(Late(text)): State<Late>| text);
    let start = || {
        let panic = catch_unwind(AssertUnwindSafe(|| drop(io.endpoint()))).err()?;
        Some(panic.downcast_ref::<String>().expect("a text").clone())
    };
    let panic = start().expect("the state is missing");
    assert!(panic.contains("State<registering::") && panic.contains("Late>"), "{panic}");
    io.provide(Late("never seen")).provide(Late("here it is"));
    assert_eq!(start(), None);
    assert_eq!(test.client("/").call::<String>("late", &()), "here it is");
    // Of every kind of handler and in every namespace, but for those that can do without.
    io.on_connected(async |_: Option<State<Never>>| ());
    assert_eq!(start(), None);
    struct Ping;
    impl TypedEvent for Ping {
        const NAME: &'static str = "ping";
        type Payload = ();
        type Answer = ();
    }
    let registering: [fn(&Server); 5] = [
        |io| _ = io.namespace("/a").on_disconnect(async |_: State<Never>| ()),
        |io| _ = io.namespace("/a").middleware(async |_: State<Never>| ()),
        |io| _ = io.dynamic_namespace("/b-*").on_any(async |_: Socket, _: State<Never>| ()),
        |io| _ = io.on_typed(Ping, async |_: State<Never>, (): ()| ()),
        |io| _ = io.on_fallback(async |_: State<Never>, _: Socket| ()),
    ];
    for register in registering {
        let test = TestServer::default();
        register(test.server());
        let started = catch_unwind(AssertUnwindSafe(|| drop(test.server().endpoint())));
        assert!(started.is_err());
        test.server().provide(Never).endpoint();
    }
}

#[test]
fn handlers_for_any_namespace_stand_in_where_there_is_none() {
    let test = TestServer::default();
    let io = test.server();
    let lines = Lines::default();
    io.namespace("/own").on("who", async || "own").on_disconnect(noting!(lines, "own left"));
    io.namespace("/rest").on_fallback(async || "rest");
    let any = io.any_namespace();
    any.on("who", async |namespace: Namespace| format!("any of {}", namespace.name()))
        .on("only here", async || "any")
        .on_fallback(async || "any fallback")
        .on_disconnect(noting!(lines, "any left"));
    // Those that come later have them, too.
    io.namespace("/later");
    io.dynamic_namespace("/game-*").on("play", async || "game");
    let answers = |name: &str| {
        let client = test.client(name);
        ["who", "only here", "else"].map(|event| client.call::<String>(event, &()))
    };
    assert_eq!(answers("/"), ["any of /", "any", "any fallback"]);
    assert_eq!(answers("/later"), ["any of /later", "any", "any fallback"]);
    assert_eq!(answers("/game-7"), ["any of /game-7", "any", "any fallback"]);
    assert_eq!(test.client("/game-7").call::<String>("play", &()), "game");
    test.settle();
    assert_eq!(take(&lines), ["any left"; 4]);
    assert_eq!(answers("/own"), ["own", "any", "any fallback"]);
    assert_eq!(answers("/rest"), ["rest"; 3]);
    test.settle();
    assert_eq!(take(&lines), ["own left", "any left"]);

    // What a namespace gets takes the place, and what it loses is stood in for.
    let client = test.client("/later");
    let own = io.namespace("/later").add_listener("who", async || "later");
    assert_eq!(client.call::<String>("who", &()), "later");
    assert!(own.remove());
    assert_eq!(client.call::<String>("who", &()), "any of /later");
    any.off("who").off_fallback();
    assert_eq!(test.client("/own").call::<String>("who", &()), "own");
    let nobody = test.block_on(client.socket().timeout(Duration::from_secs(1)).call::<_, String>("who", &()));
    assert!(nobody.is_err(), "{nobody:?}");
    assert!(matches!(test.try_client("/unknown", |builder| builder), Err(ConnectError::Refused(_))));
}

#[test]
fn functions_that_await_nothing_are_handlers() {
    fn double(Data(n): Data<u32>) -> Result<u32, String> {
        n.checked_mul(2).ok_or_else(|| "too large".into())
    }
    let test = TestServer::default();
    let io = test.server();
    let sum = Arc::new(AtomicU32::new(0));
    io.on("double", double)
        .on("add", {
            let sum = sum.clone();
            move |Data(n): Data<u32>| sum.fetch_add(n, Ordering::Relaxed) + n
        })
        .on("ping", || "pong")
        .event_middleware(|EventName(event): EventName| if &*event == "secret" { Err("no") } else { Ok(()) })
        .on_connect(|socket: Socket| socket.join("all").map(drop))
        .on_disconnect(move |_: Socket, _: DisconnectReason| sum.store(0, Ordering::Relaxed))
        .on_error_reply(|_, failure| failure.to_string());
    let ada = test.client("/");
    ada.socket().on("ask", |Data(n): Data<u32>| n + 1);
    assert_eq!(ada.call::<u32>("double", &4), 8);
    assert_eq!(ada.call::<String>("double", &u32::MAX), "too large");
    assert_eq!(ada.call::<String>("ping", &()), "pong");
    assert_eq!(ada.call::<String>("secret", &()), "no");
    assert_eq!((ada.call::<u32>("add", &2), ada.call::<u32>("add", &3)), (2, 5));
    let answers = test.block_on(io.to("all").call::<_, u32>("ask", &1)).expect("it is encoded");
    assert_eq!(answers[0].result.as_ref().expect("an answer"), &2);
}

#[test]
fn what_a_function_returns_that_awaits_nothing_is_the_acknowledgement_wherever_it_runs() {
    let test = TestServer::default();
    let io = test.server();
    io.on("taken", |ack: Ack| {
        ack.send(&"by hand").expect("it is sent");
        "returned"
    })
    .on("misfit", |_: Ack, Data(n): Data<u32>| n)
    .on("several", || Err::<u32, _>("the first"))
    .on("several", || "the second")
    .on("several", || "the third")
    .on_concurrent("apart", || "apart")
    .on_concurrent("apart too", || Err::<u32, _>("apart too"))
    .on_concurrent("both", || "the first")
    .on_concurrent("both", || "the second")
    .once("once", || "once")
    .on_error_reply(|_, failure| failure.to_string());
    let ada = test.client("/");
    let answer = |event: &str| ada.call::<String>(event, &"no number");
    assert_eq!(answer("taken"), "by hand");
    assert!(answer("misfit").starts_with("the arguments do not fit the handler: "));
    assert_eq!(answer("several"), "the second");
    assert_eq!((answer("apart"), answer("apart too")), ("apart".to_owned(), "apart too".to_owned()));
    assert_eq!((answer("both"), answer("once")), ("the first".to_owned(), "once".to_owned()));
    ada.expect_nothing();
}

#[test]
fn an_event_behind_one_whose_handler_disconnects_the_socket_is_ignored() {
    let test = TestServer::default();
    let handled = Arc::new(AtomicU32::new(0));
    for name in ["/", "/left"] {
        let handled = handled.clone();
        let namespace = test.server().namespace(name);
        namespace.on("leave", |socket: Socket| socket.disconnect());
        namespace.on("count", move || handled.fetch_add(1, Ordering::Relaxed));
    }
    let ada = test.client("/");
    let left = ada.namespace("/left");
    left.connect();
    // They leave in one write, and are read at once.
    for event in ["count", "leave", "count"] {
        left.socket().emit(event, &()).expect("it is connected");
    }
    assert_eq!(ada.call::<u32>("count", &()), 1, "the one before, and the connection goes on");
    assert!(!left.is_connected() && ada.is_connected());
}

#[test]
fn a_dynamic_namespace_may_look_at_the_auth_and_reaches_all_that_came_of_it() {
    #[derive(serde::Deserialize)]
    struct Login {
        tenant: String,
    }
    let test = TestServer::default();
    let io = test.server();
    let tenants = io.dynamic_namespace_by(|request| {
        let tenant = request.name().strip_prefix("/tenant/");
        let is_known = request.handshake().query_value("key").is_some();
        is_known && request.auth::<Login>().is_ok_and(|login| tenant == Some(&login.tenant))
    });
    io.dynamic_namespace("/tenants");
    assert!(tenants.namespaces().is_empty());
    let join = |name: &str, query: &str, auth: serde_json::Value| {
        test.try_client(name, |builder| builder.query("key", query).auth(&auth))
    };
    let red = join("/tenant/red", "1", serde_json::json!({ "tenant": "red" })).expect("it is let in");
    let blue = join("/tenant/blue", "1", serde_json::json!({ "tenant": "blue" })).expect("it is let in");
    let other = test.client("/tenants");
    for auth in
        [serde_json::json!({ "tenant": "red" }), serde_json::json!({}), serde_json::json!({ "tenant": 1 })]
    {
        match join("/tenant/green", "1", auth) {
            Err(ConnectError::Refused(refusal)) => assert_eq!(refusal.message(), "Invalid namespace"),
            answer => panic!("{answer:?}"),
        }
    }
    let names: Vec<_> = tenants.namespaces().iter().map(|namespace| namespace.name().to_owned()).collect();
    assert_eq!(names, ["/tenant/blue", "/tenant/red"], "and none was made for those that were refused");

    tenants.emit("news", &1).expect("it is encoded");
    assert_eq!((red.expect::<u32>("news"), blue.expect::<u32>("news")), (1, 1));
    other.expect_nothing();
    blue.expect_nothing();
}
