//! The admin UI: what its page is told, in the shapes of the JavaScript server, and what it commands.

use sansocket_runtime::adapter::ServerOptions;
use sansocket_runtime::admin::{AdminError, AdminOptions, AdminSessions, Mode};
use sansocket_runtime::cluster::{ClusterOptions, InProcessBus};
use sansocket_runtime::recovery::RecoveryConfig;
use sansocket_runtime::testing::{TestClient, TestServer};
use sansocket_runtime::{
    Args, Bytes, ConnectError, DisconnectReason, Server, ServerBuilder, Socket, TransportKind,
};
use serde_json::{Value, json};
use std::sync::{Arc, Mutex};
use std::time::Duration;

const SECOND: Duration = Duration::from_secs(1);
/// A page that stays, and pings that do not disturb the counts.
const QUIET: Duration = Duration::from_secs(3600);

type Builder = ServerBuilder<Server, ServerOptions>;

/// A server without an admin UI.
fn server() -> TestServer<Server> {
    TestServer::new(|runtime| Builder::new(runtime).ping_interval(QUIET).build())
}

/// A server with an admin UI for everybody.
fn instrumented(set: impl FnOnce(AdminOptions) -> AdminOptions) -> TestServer<Server> {
    let test = server();
    let options = AdminOptions::without_auth().server_id("one");
    test.server().instrument(set(options)).expect("it is not instrumented");
    test
}

/// The events that a page was told since the last call, each with its name and arguments, statistics left out. Ids of sockets
/// are replaced by their names, and times by `T`.
fn told(page: &TestClient, names: &[(&TestClient, &str)]) -> Vec<Value> {
    let events = page.received().into_iter().filter(|event| event.event != "server_stats");
    events.map(|event| plain(json!([event.event, values(&event.args)]), names)).collect()
}

fn values(args: &Args) -> Vec<Value> {
    args.iter().map(|arg| serde_json::from_str(&arg.to_json()).expect("JSON")).collect()
}

fn plain(value: Value, names: &[(&TestClient, &str)]) -> Value {
    match value {
        Value::String(text) => {
            let known = names.iter().find(|(client, _)| *client.id() == *text);
            let is_time = text.len() == 24 && text.ends_with('Z') && text.as_bytes()[10] == b'T';
            match known {
                Some((_, name)) => json!(name),
                None if is_time => json!("T"),
                None => json!(text),
            }
        }
        Value::Array(list) => list.into_iter().map(|value| plain(value, names)).collect(),
        Value::Object(map) => map.into_iter().map(|(key, value)| (key, plain(value, names))).collect(),
        other => other,
    }
}

#[test]
fn a_page_is_told_of_a_sockets_whole_life_as_the_reference_tells_it() {
    let test = instrumented(|options| options);
    let io = test.server();
    io.on_connected(async |socket: Socket| socket.join("hall").map(drop));
    io.on("say", async |socket: Socket, args: Args| socket.emit("said", &args).map(|()| "ok"));
    io.on("bye", async |socket: Socket| socket.leave("hall"));
    let page = test.client("/admin");
    let first = told(&page, &[(&page, "page")]);
    let [joined, connected, config, all, _upgraded] = &first[..] else { panic!("{first:#?}") };
    assert_eq!(*joined, json!(["room_joined", ["/admin", "page", "page", "T"]]));
    assert_eq!((&connected[0], &connected[1][0]["nsp"]), (&json!("socket_connected"), &json!("/admin")));
    let features = [
        "EMIT",
        "JOIN",
        "LEAVE",
        "DISCONNECT",
        "MJOIN",
        "MLEAVE",
        "MDISCONNECT",
        "AGGREGATED_EVENTS",
        "ALL_EVENTS",
    ];
    assert_eq!(*config, json!(["config", [{ "supportedFeatures": features }]]));
    assert_eq!((&all[0], &all[1][0][0]["id"]), (&json!("all_sockets"), &json!("page")));

    let ada = test.client("/");
    let names = [(&page, "page"), (&ada, "ada")];
    let life = told(&page, &names);
    let [joined, connected, hall, upgraded] = &life[..] else { panic!("{life:#?}") };
    assert_eq!(*joined, json!(["room_joined", ["/", "ada", "ada", "T"]]));
    let socket = &connected[1][0];
    assert_eq!((&connected[0], &connected[1][1]), (&json!("socket_connected"), &json!("T")));
    let keys: Vec<&String> = socket.as_object().expect("an object").keys().collect();
    assert_eq!(keys, ["clientId", "data", "handshake", "id", "nsp", "rooms", "transport"]);
    assert_eq!(
        (&socket["id"], &socket["nsp"], &socket["transport"], &socket["data"], &socket["rooms"]),
        (&json!("ada"), &json!("/"), &json!("polling"), &json!({}), &json!(["ada"]))
    );
    assert_eq!(socket["clientId"].as_str().map(str::len), Some(12));
    let handshake = socket["handshake"].as_object().expect("an object");
    let keys: Vec<&String> = handshake.keys().collect();
    assert_eq!(keys, ["address", "headers", "issued", "query", "secure", "time", "url", "xdomain"]);
    assert_eq!(handshake["query"]["EIO"], json!("4"));
    assert_eq!(*hall, json!(["room_joined", ["/", "hall", "ada", "T"]]));
    assert_eq!(*upgraded, json!(["socket_updated", [{ "id": "ada", "nsp": "/", "transport": "websocket" }]]));

    assert_eq!(ada.call::<String>("say", &("hi", Bytes::from_static(&[1, 2]))), "ok");
    ada.emit("bye", &());
    let placeholder = json!({ "_placeholder": true, "num": 0 });
    assert_eq!(
        told(&page, &names),
        [
            json!(["event_received", ["/", "ada", ["say", "hi", placeholder], "T"]]),
            json!(["event_sent", ["/", "ada", ["said", "hi", placeholder], "T"]]),
            json!(["event_received", ["/", "ada", ["bye"], "T"]]),
            json!(["room_left", ["/", "hall", "ada", "T"]]),
        ]
    );
    io.socket(&ada.id()).expect("it is connected").join("attic").expect("there is room");
    told(&page, &names);
    let id = ada.id().to_string();
    ada.disconnect();
    let left: Vec<Value> = told(&page, &[])
        .into_iter()
        .map(|event| serde_json::from_str(&event.to_string().replace(&id, "ada")).expect("JSON"))
        .collect();
    assert_eq!(
        left,
        [
            json!(["socket_disconnected", ["/", "ada", "client namespace disconnect", "T"]]),
            json!(["room_left", ["/", "ada", "ada", "T"]]),
            json!(["room_left", ["/", "attic", "ada", "T"]]),
        ]
    );
}

#[test]
fn statistics_come_every_two_seconds_with_counts_by_the_second() {
    let test = instrumented(|options| options.mode(Mode::Production));
    test.server().on("say", async || "ok");
    test.server().namespace("/chat");
    let page = test.client("/admin");
    assert_eq!(
        told(&page, &[]),
        [json!(["config", [{ "supportedFeatures":
            ["EMIT", "JOIN", "LEAVE", "DISCONNECT", "MJOIN", "MLEAVE", "MDISCONNECT", "AGGREGATED_EVENTS"] }]])]
    );
    test.advance(SECOND * 2);
    page.received();
    let ada = test.client("/");
    ada.call::<String>("say", &"x");
    let polling = test.client_with("/", |builder| builder.transports([TransportKind::Polling]));
    test.advance(SECOND * 2);
    let stats: Value = page.find("server_stats");
    let keys: Vec<&String> = stats.as_object().expect("an object").keys().collect();
    assert_eq!(
        keys,
        [
            "aggregatedEvents",
            "clientsCount",
            "hostname",
            "namespaces",
            "pid",
            "pollingClientsCount",
            "serverId",
            "uptime"
        ]
    );
    assert_eq!(stats["serverId"], json!("one"));
    assert_eq!(stats["pid"], json!(std::process::id()));
    assert_eq!((&stats["clientsCount"], &stats["pollingClientsCount"]), (&json!(3), &json!(1)));
    assert!(stats["uptime"].as_f64().is_some_and(|uptime| uptime >= 2.0), "{stats}");
    assert_eq!(
        stats["namespaces"],
        json!([
            { "name": "/", "socketsCount": 2 },
            { "name": "/admin", "socketsCount": 1 },
            { "name": "/chat", "socketsCount": 0 },
        ])
    );
    let counts = stats["aggregatedEvents"].as_array().expect("a list");
    let sum = |kind: &str| -> u64 {
        let of_kind = counts.iter().filter(|count| count["type"] == kind);
        of_kind.map(|count| count["count"].as_u64().expect("a number")).sum()
    };
    assert_eq!((sum("rawConnection"), sum("packetsIn")), (2, 1));
    assert!(sum("packetsOut") >= 1 && sum("bytesIn") > 0 && sum("bytesOut") > 0, "{stats}");
    assert!(counts.iter().all(|count| count["timestamp"].as_u64().is_some_and(|at| at % 1000 == 0)));
    // They are counted once, by the reason of their end.
    drop(polling);
    test.advance(SECOND * 2);
    let stats: Value = page.find("server_stats");
    let closed = json!("rawDisconnection");
    let ended: Vec<&Value> = stats["aggregatedEvents"]
        .as_array()
        .expect("a list")
        .iter()
        .filter(|count| count["type"] == closed)
        .collect();
    assert_eq!(ended.len(), 1, "{stats}");
    assert_eq!((&ended[0]["count"], ended[0]["subType"].is_string()), (&json!(1), true));
}

#[test]
fn a_page_commands_one_socket_a_room_and_a_namespace() {
    let test = instrumented(|options| options);
    test.server().namespace("/chat");
    let (ada, bob, carl) = (test.client("/"), test.client("/"), test.client("/chat"));
    let page = test.client("/admin");
    let rooms = |client: &TestClient, namespace: &str| {
        let socket = test.server().namespace(namespace).socket(&client.id()).expect("it is connected");
        socket.rooms().iter().skip(1).map(|room| room.to_string()).collect::<Vec<_>>()
    };
    page.emit("join", &("/", "x", &*ada.id()));
    assert_eq!((rooms(&ada, "/"), rooms(&bob, "/")), (vec!["x".to_owned()], vec![]));
    page.emit("join", &("/", "y", "x"));
    page.emit("join", &("/", "z"));
    page.emit("join", &("/chat", "x", Value::Null));
    assert_eq!(rooms(&ada, "/"), ["x", "y", "z"]);
    assert_eq!((rooms(&bob, "/"), rooms(&carl, "/chat")), (vec!["z".to_owned()], vec!["x".to_owned()]));
    page.emit("leave", &("/", "z", "x"));
    assert_eq!((rooms(&ada, "/"), rooms(&bob, "/")), (vec!["x".into(), "y".into()], vec!["z".to_owned()]));
    page.emit("emit", &("/", "x", "news", 1, json!({ "a": [true] }), Bytes::from_static(&[9])));
    assert_eq!(
        ada.expect::<(u8, Value, Bytes)>("news"),
        (1, json!({ "a": [true] }), Bytes::from_static(&[9]))
    );
    page.emit("emit", &("/", "", "all"));
    ada.expect_event("all");
    bob.expect_event("all");
    carl.expect_nothing();
    page.emit("_disconnect", &("/", false, &*bob.id()));
    assert!(!bob.is_connected() && ada.is_connected());
    page.emit("_disconnect", &("/chat", true));
    assert_eq!(carl.disconnects().len(), 1);
    assert!(ada.is_connected() && page.is_connected());
}

#[test]
fn what_a_page_asks_for_in_vain_harms_nobody() {
    let test = instrumented(|options| options);
    let (ada, page) = (test.client("/"), test.client("/admin"));
    page.emit("emit", &("/", Value::Null, "connect", 1));
    page.emit("emit", &("/", Value::Null, "disconnect"));
    page.emit("emit", &("/", Value::Null));
    page.emit("emit", &("/nowhere", Value::Null, "x"));
    page.emit("join", &("/", "r".repeat(100_000), Value::Null));
    page.emit("join", &(1, 2, 3));
    page.emit("leave", &());
    page.emit("_disconnect", &());
    page.emit("_disconnect", &("/nowhere", true));
    page.emit("unknown", &("x", 1));
    ada.expect_nothing();
    assert!(ada.is_connected() && page.is_connected());
    let namespaces: Vec<String> =
        test.server().namespaces().iter().map(|namespace| namespace.name().to_owned()).collect();
    assert_eq!(namespaces, ["/", "/admin"], "a page makes no namespaces");
}

#[test]
fn a_page_that_may_only_look_commands_nothing() {
    let test = instrumented(|options| options.read_only(true).namespace("watch"));
    let (ada, page) = (test.client("/"), test.client("/watch"));
    let config: Value = page.find("config");
    assert_eq!(config, json!({ "supportedFeatures": ["AGGREGATED_EVENTS", "ALL_EVENTS"] }));
    page.emit("emit", &("/", Value::Null, "news"));
    page.emit("_disconnect", &("/", true));
    page.emit("join", &("/", "x"));
    ada.expect_nothing();
    assert!(ada.is_connected());
    assert_eq!(test.server().rooms().len(), 0);
}

#[test]
fn credentials_are_asked_for_and_a_session_stands_in_for_them() {
    let test = server();
    let check = |auth: &Value| auth["username"] == "ada" && auth["password"] == "secret";
    test.server().instrument(AdminOptions::with_check(check)).expect("it is not instrumented");
    let try_with = |auth: Value| test.try_client("/admin", move |builder| builder.auth(&auth));
    for auth in [
        json!({}),
        json!({ "username": "ada" }),
        json!({ "username": "ada", "password": "guess" }),
        json!({ "sessionId": "guess" }),
    ] {
        match try_with(auth.clone()) {
            Err(ConnectError::Refused(refusal)) => assert_eq!(refusal.message(), "invalid credentials"),
            other => panic!("{auth}: {other:?}"),
        }
    }
    let page = try_with(json!({ "username": "ada", "password": "secret" })).expect("it is let in");
    let session: String = page.find("session");
    assert_eq!(session.len(), 20);
    let again = try_with(json!({ "sessionId": session })).expect("it is let in");
    assert!(again.received().iter().all(|event| event.event != "session"), "it has one");
    // The statistics end with the last page: a day passes quickly.
    drop((page, again));
    test.advance(SECOND * 86_399);
    assert!(try_with(json!({ "sessionId": session })).is_ok());
    test.advance(SECOND);
    assert!(try_with(json!({ "sessionId": session })).is_err(), "a day is over");
}

#[test]
fn sessions_may_be_kept_elsewhere_for_all_servers() {
    #[derive(Clone, Default)]
    struct Shared(Arc<Mutex<Vec<String>>>);
    impl AdminSessions for Shared {
        fn save(&self, id: &str) -> sansocket_runtime::adapter::BoxFuture<()> {
            self.0.lock().unwrap().push(id.to_owned());
            Box::pin(std::future::ready(()))
        }
        fn contains(&self, id: &str) -> sansocket_runtime::adapter::BoxFuture<bool> {
            let is_known = self.0.lock().unwrap().iter().any(|known| known == id);
            Box::pin(std::future::ready(is_known))
        }
    }
    let shared = Shared::default();
    let options = |password: bool| AdminOptions::with_check(move |_| password).sessions(shared.clone());
    let (one, two) = (server(), server());
    one.server().instrument(options(true)).expect("it is not instrumented");
    two.server().instrument(options(false)).expect("it is not instrumented");
    let page = one.client_with("/admin", |builder| builder.auth(&json!({ "username": "ada" })));
    let session: String = page.find("session");
    assert!(two.try_client("/admin", |builder| builder.auth(&json!({ "username": "ada" }))).is_err());
    let auth = json!({ "sessionId": session });
    assert!(two.try_client("/admin", |builder| builder.auth(&auth)).is_ok());
}

#[test]
fn what_is_no_hash_and_a_second_call_are_refused() {
    for no_hash in ["secret", "", "$2b$10$tooshort", "$1$abc$def"] {
        assert!(matches!(AdminOptions::basic("ada", no_hash), Err(AdminError::Password(_))), "{no_hash}");
    }
    let test = instrumented(|options| options);
    assert!(matches!(test.server().instrument(AdminOptions::without_auth()), Err(AdminError::Twice)));
}

#[test]
fn handlers_of_the_application_are_neither_disturbed_nor_a_disturbance() {
    let test = server();
    let io = test.server();
    // Registered before, and after; with stand-ins for namespaces that have no handlers.
    io.namespace("/early").on("hi", async || "early");
    io.any_namespace()
        .on_connect(async |socket: Socket| match socket.namespace().name() {
            "/admin" => Err(sansocket_runtime::Refusal::new("nobody")),
            _ => Ok(()),
        })
        .on_fallback(async || "stand-in");
    io.instrument(AdminOptions::without_auth()).expect("it is not instrumented");
    io.dynamic_namespace("/late-*").on("hi", async || "late");
    let page = test.client("/admin");
    let (early, late) = (test.client("/early"), test.client("/late-1"));
    io.namespace("/early").off_any();
    io.namespace("/early").off_any_outgoing();
    page.received();
    assert_eq!(early.call::<String>("hi", &()), "early");
    assert_eq!(late.call::<String>("hi", &()), "late");
    assert_eq!(test.client("/").call::<String>("x", &()), "stand-in");
    io.namespace("/early").emit("out", &1).expect("it is encoded");
    let events = told(&page, &[(&early, "early"), (&late, "late")]);
    let seen = |event: Value| events.iter().filter(|known| **known == event).count();
    assert_eq!(seen(json!(["event_received", ["/early", "early", ["hi"], "T"]])), 1, "{events:#?}");
    assert_eq!(seen(json!(["event_received", ["/late-1", "late", ["hi"], "T"]])), 1, "{events:#?}");
    assert_eq!(seen(json!(["event_sent", ["/early", "early", ["out", 1], "T"]])), 1, "{events:#?}");
}

#[test]
fn headers_that_say_who_somebody_is_and_ids_of_sessions_are_not_shown() {
    for (shown, set) in [(false, None), (true, Some(true))] {
        let test = instrumented(|options| match set {
            Some(set) => options.private_handshakes(set),
            None => options,
        });
        let page = test.client("/admin");
        let _ada = test.client_with("/", |builder| {
            builder
                .header("cookie", "key=1")
                .header("authorization", "Bearer 2")
                .header("x-forwarded-for", "203.0.113.7")
                .auth(&json!({ "token": "three" }))
        });
        let events = page.received();
        let texts: Vec<String> = events.iter().map(|event| event.args.to_json()).collect();
        let text = texts.join("\n");
        assert_eq!(text.contains("key=1"), shown, "{text}");
        assert_eq!(text.contains("Bearer 2"), shown);
        assert!(!text.contains("three"), "{text}");
        assert!(text.contains(r#""address":"203.0.113.7""#), "{text}");
    }
}

#[test]
fn a_clients_query_is_shown_without_its_values() {
    for shown in [false, true] {
        let test = instrumented(|options| options.private_handshakes(shown));
        let page = test.client("/admin");
        page.received();
        let _ada = test.client_with("/", |builder| builder.query("token", "geheim").query("EIO2", "geheim"));
        let (socket, _): (Value, Value) = page.find("socket_connected");
        let handshake = &socket["handshake"];
        let text = handshake.to_string();
        assert_eq!(text.contains("geheim"), shown, "{text}");
        assert_eq!(handshake["query"]["EIO"], json!("4"));
        assert_eq!(handshake["query"]["token"], json!(if shown { "geheim" } else { "***" }));
        let url = handshake["url"].as_str().expect("a text");
        assert_eq!(url.contains("token=***"), !shown, "{url}");
        assert!(url.contains("transport=polling"), "{url}");
    }
}

#[test]
fn those_who_were_in_the_namespace_before_have_not_logged_in() {
    let test = server();
    let io = test.server();
    io.namespace("/admin");
    let early = test.client("/admin");
    let ada = test.client("/");
    // One of them is about to join while the server is instrumented.
    let held = Arc::new(Mutex::new(None));
    let gate = held.clone();
    io.namespace("/admin").middleware(move |_: Socket| {
        let (let_go, wait) = futures_channel::oneshot::channel::<()>();
        *gate.lock().unwrap() = Some(let_go);
        async move {
            let _ = wait.await;
        }
    });
    let late = test.unconnected("/admin", |builder| builder).expect("a client");
    late.socket().start();
    test.settle();
    let held = held.lock().unwrap().take();
    assert!(held.is_some(), "its middleware runs");
    io.instrument(AdminOptions::without_auth()).expect("it is not instrumented");
    drop(held);
    test.settle();
    assert!(!early.is_connected());
    let _bob = test.client("/");
    for one in [&early, &late] {
        let heard: Vec<String> = one.received().into_iter().map(|event| event.event).collect();
        assert_eq!(heard, [""; 0]);
        one.emit("_disconnect", &("/", true));
    }
    assert!(ada.is_connected() && !early.is_connected() && !late.is_connected());
}

#[test]
fn no_store_is_asked_for_what_can_be_no_session() {
    #[derive(Clone, Default)]
    struct Asked(Arc<Mutex<Vec<String>>>);
    impl AdminSessions for Asked {
        fn save(&self, _: &str) -> sansocket_runtime::adapter::BoxFuture<()> {
            Box::pin(std::future::ready(()))
        }
        fn contains(&self, id: &str) -> sansocket_runtime::adapter::BoxFuture<bool> {
            self.0.lock().unwrap().push(id.to_owned());
            Box::pin(std::future::ready(true))
        }
    }
    let asked = Asked::default();
    let test = server();
    let options = AdminOptions::with_check(|_| false).sessions(asked.clone());
    test.server().instrument(options).expect("it is not instrumented");
    let try_with =
        |id: String| test.try_client("/admin", move |builder| builder.auth(&json!({ "sessionId": id })));
    for id in ["x".repeat(65), "x".repeat(10_000), "a key\r\nDEL *".to_owned(), String::new()] {
        assert!(try_with(id).is_err());
    }
    assert!(try_with("known_-1".to_owned()).is_ok());
    assert_eq!(*asked.0.lock().unwrap(), ["known_-1"]);
}

#[test]
fn the_applications_data_of_a_socket_is_shown() {
    struct Name(&'static str);
    let test = instrumented(|options| {
        options.data(|socket| {
            let name = socket.get::<Name>().expect("every socket has a name: this one panics");
            [("name", name.0)].into_iter().collect::<std::collections::BTreeMap<_, _>>()
        })
    });
    test.server().middleware(async |socket: Socket| {
        socket.insert(Name("ada"));
    });
    let page = test.client("/admin");
    page.received();
    let _ada = test.client("/");
    let (socket, _): (Value, Value) = page.find("socket_connected");
    assert_eq!(socket["data"], json!({ "name": "ada" }));
}

#[test]
fn the_pages_events_are_not_kept_for_clients_that_come_back() {
    let test = TestServer::new(|runtime| {
        Builder::new(runtime).connection_state_recovery(RecoveryConfig::default()).build()
    });
    test.server().instrument(AdminOptions::without_auth()).expect("it is not instrumented");
    let page = test.client("/admin");
    let config: Args =
        page.received().into_iter().find(|event| event.event == "config").expect("it is told").args;
    // With recovery, an offset would follow.
    assert_eq!(config.len(), 1);
    // A client of the application's comes back, and the page sees it go and come.
    let ada = test.client("/");
    test.server().emit("news", &()).expect("it is encoded");
    page.received();
    ada.cut_network();
    test.advance(SECOND);
    ada.restore_network();
    test.advance(SECOND * 20);
    assert!(ada.is_connected());
    let seen: Vec<String> = page
        .received()
        .into_iter()
        .map(|event| event.event)
        .filter(|event| event.starts_with("socket_"))
        .collect();
    assert_eq!(seen[..2], ["socket_disconnected", "socket_connected"], "{seen:?}");
}

#[test]
fn several_servers_are_in_the_page_of_each() {
    let bus = InProcessBus::new();
    let build = |runtime| {
        Builder::new(runtime).ping_interval(QUIET).cluster(ClusterOptions::new(bus.clone())).build()
    };
    let one = TestServer::new(build);
    let two = one.beside(build);
    for (test, id) in [(&one, "one"), (&two, "two")] {
        let options = AdminOptions::without_auth().server_id(id);
        test.server().instrument(options).expect("it is not instrumented");
    }
    one.settle();
    let ada = two.client("/");
    let page = one.client("/admin");
    let all: Vec<Value> = page.find("all_sockets");
    let of_ada = all.iter().find(|socket| socket["id"] == *ada.id()).expect("it is on the other server");
    assert_eq!(
        (&of_ada["transport"], &of_ada["nsp"], &of_ada["data"]),
        (&json!("websocket"), &json!("/"), &json!({}))
    );
    assert_eq!(of_ada["clientId"].as_str().map(str::len), Some(12), "{of_ada}");
    assert!(of_ada["handshake"]["headers"].is_object());
    // What happens there is told here.
    page.received();
    let bob = two.client("/");
    let (socket, _): (Value, Value) = page.find("socket_connected");
    assert_eq!(socket["id"], *bob.id());
    // Statistics of both.
    one.advance(SECOND * 2);
    let stats = page.received().into_iter().filter(|event| event.event == "server_stats");
    let mut servers: Vec<String> =
        stats.map(|event| event.args.get::<Value>(0).unwrap()["serverId"].as_str().unwrap().into()).collect();
    servers.sort();
    servers.dedup();
    assert_eq!(servers, ["one", "two"]);
    // And commanded from here.
    page.emit("join", &("/", "attic", &*ada.id()));
    one.settle();
    let socket = two.server().socket(&ada.id()).expect("it is connected");
    assert_eq!(socket.rooms().len(), 2);
    page.emit("emit", &("/", "attic", "news", 1));
    assert_eq!(ada.expect::<u8>("news"), 1);
    page.emit("_disconnect", &("/", false, &*bob.id()));
    assert!(!bob.is_connected() && ada.is_connected());
}

#[test]
fn a_server_that_shuts_down_tells_the_page_until_the_end_and_leaves_nothing() {
    let test = instrumented(|options| options.mode(Mode::Development));
    let page = test.client("/admin");
    let ada = test.client("/");
    let held = Arc::new(());
    let weak = Arc::downgrade(&held);
    let other = server();
    other
        .server()
        .instrument(AdminOptions::without_auth().data(move |_| {
            let _ = &held;
        }))
        .expect("it is not instrumented");
    other.block_on(other.server().shutdown(SECOND));
    assert!(weak.upgrade().is_none(), "the hook is dropped");
    test.block_on(test.server().shutdown(SECOND));
    assert!(!page.is_connected() && !ada.is_connected());
    let reasons: Vec<DisconnectReason> = ada.disconnects();
    assert_eq!(reasons.len(), 1);
}
