//! Connection state recovery across the nodes of a cluster, by a stream that they share.

use bytes::Bytes;
use http::Request;
use http_body_util::{BodyExt, Full};
use sansocket_runtime::adapter::{ConnInfo, Runtime, ServerOptions};
use sansocket_runtime::cluster::{ClusterOptions, Dialect, InProcessBus, SessionData, dialect};
use sansocket_runtime::recovery::{Ended, RecoveryConfig};
use sansocket_runtime::testing::{TestClient, TestRuntime, TestServer};
use sansocket_runtime::{Auth, BuildError, Data, Server, ServerBuilder, Socket};
use serde_json::{Value, json};
use std::future::ready;
use std::sync::{Arc, Mutex};
use std::time::Duration;

const SECOND: Duration = Duration::from_secs(1);

/// The auth of the client that was let in last.
type LastAuth = Arc<Mutex<Value>>;

struct Name(&'static str);

fn node(
    bus: &InProcessBus,
    auth: &LastAuth,
    config: RecoveryConfig,
) -> impl FnOnce(TestRuntime) -> Result<Server, BuildError> {
    let (bus, auth) = (bus.clone(), auth.clone());
    move |runtime| {
        let options = ClusterOptions::new(bus).dialect(Dialect::Streams(dialect::Streams::default()));
        let io = ServerBuilder::<Server, ServerOptions>::new(runtime)
            .cluster(options)
            .connection_state_recovery(config)
            .build()?;
        io.on("join", async |socket: Socket, Data(room): Data<String>| socket.join(&room).map(drop));
        io.on("bye", async |socket: Socket| {
            socket.emit("last words", &()).unwrap();
            socket.disconnect();
        });
        io.on_connected(move |socket: Socket, Auth(shown): Auth<Value>| {
            *auth.lock().unwrap() = shown;
            if !socket.recovered() {
                socket.insert(SessionData(json!({ "name": "ada" })));
                socket.insert(Name("of this process"));
            }
            ready(())
        });
        Ok(io)
    }
}

struct World {
    bus: InProcessBus,
    auth: LastAuth,
    one: TestServer<Server>,
    two: TestServer<Server>,
}

impl World {
    fn new() -> Self {
        Self::with(RecoveryConfig::default())
    }

    fn with(config: RecoveryConfig) -> Self {
        let (bus, auth) = (InProcessBus::new(), LastAuth::default());
        let one = TestServer::new(node(&bus, &auth, config));
        let two = one.beside(node(&bus, &auth, config));
        one.settle();
        Self { bus, auth, one, two }
    }

    /// The private id of a client of the first node, by a cut in which it misses nothing.
    fn pid(&self, client: &TestClient) -> String {
        client.cut_network();
        client.restore_network();
        self.one.advance(SECOND * 6);
        assert!(client.is_connected() && client.socket().recovered());
        self.auth.lock().unwrap()["pid"].as_str().unwrap().to_owned()
    }

    /// A client of a node that shows those.
    fn comes(&self, to: &TestServer<Server>, pid: &str, offset: &str) -> TestClient {
        let shown = json!({ "pid": pid, "offset": offset });
        let client = to.unconnected("/", |builder| builder.auth(&shown)).unwrap();
        let socket = client.socket().clone();
        to.runtime().spawn(Box::pin(async move { drop(socket.connect().await) }));
        to.settle();
        client
    }
}

fn heard(client: &TestClient) -> Vec<Value> {
    client.received().into_iter().map(|received| received.args.get(0).unwrap_or_default()).collect()
}

#[test]
fn a_client_moves_to_another_node_with_its_rooms_its_data_and_what_it_has_missed() {
    let world = World::new();
    let ada = world.one.client("/");
    let () = ada.call("join", &"chess");
    world.two.server().to("chess").emit("move", &1).unwrap();
    world.one.settle();
    let offset: String = ada.expect_event("move").args.get(1).unwrap();
    let (id, pid) = (ada.id(), world.pid(&ada));
    let values = world.one.server().socket(&id).unwrap();
    assert_eq!(values.get::<Name>().unwrap().0, "of this process");

    ada.cut_network();
    world.one.settle();
    for (number, server) in [&world.one, &world.two, &world.one].into_iter().enumerate() {
        server.server().to("chess").emit("move", &(number + 2)).unwrap();
        server.server().to("draughts").emit("move", &0).unwrap();
        server.settle();
    }
    world.one.server().to(&id).emit("move", &5).unwrap();
    world.one.server().to("chess").except(&id).emit("move", &0).unwrap();
    world.one.settle();
    let again = world.comes(&world.two, &pid, &offset);
    assert_eq!(again.id(), id);
    let socket = world.two.server().socket(&id).unwrap();
    assert!(socket.recovered());
    assert_eq!(heard(&again), [2, 3, 4, 5].map(Value::from));
    assert_eq!(socket.get::<SessionData>().unwrap().0, json!({ "name": "ada" }));
    assert!(socket.get::<Name>().is_none(), "it has stayed in its process");
    // It is a member as before, each event once.
    for server in [&world.one, &world.two] {
        server.server().to("chess").emit("move", &6).unwrap();
        world.one.settle();
    }
    assert_eq!(heard(&again), [6, 6].map(Value::from));
    // Nobody gets the session a second time.
    let thief = world.comes(&world.one, &pid, &offset);
    assert_ne!(thief.id(), id);
    assert!(thief.is_connected() && heard(&thief).is_empty());
}

#[test]
fn all_nodes_hear_in_the_order_of_the_stream_their_own_events_included() {
    let world = World::new();
    let clients = [world.one.client("/"), world.two.client("/")];
    for number in 0..20 {
        let server = if number % 3 == 0 { &world.two } else { &world.one };
        server.server().emit("number", &number).unwrap();
    }
    world.one.settle();
    let heard = clients.each_ref().map(heard);
    assert_eq!(heard[0].len(), 20);
    assert_eq!(heard[0], heard[1], "the same order for all");
    // Volatile events and local ones are not in the stream.
    let before = world.bus.published();
    world.one.server().local().emit("number", &1).unwrap();
    world.one.server().local().volatile().emit("number", &2).unwrap();
    world.one.settle();
    assert_eq!(world.bus.published(), before);
    assert_eq!(clients.each_ref().map(crate::heard), [vec![json!(1), json!(2)], vec![]]);
}

#[test]
fn what_is_sent_before_a_disconnect_comes_before_it() {
    let world = World::new();
    let ada = world.one.client("/");
    ada.socket().emit("bye", &()).unwrap();
    world.one.settle();
    assert!(!ada.is_connected());
    assert_eq!(ada.received().into_iter().map(|received| received.event).collect::<Vec<_>>(), ["last words"]);
}

#[test]
fn of_those_who_ask_for_a_session_at_several_nodes_one_gets_it() {
    let world = World::new();
    let ada = world.one.client("/");
    world.one.server().emit("number", &1).unwrap();
    world.one.settle();
    let offset: String = ada.expect_event("number").args.get(1).unwrap();
    let (id, pid) = (ada.id(), world.pid(&ada));
    ada.cut_network();
    world.one.settle();
    let came = [&world.two, &world.one].map(|node| world.comes(node, &pid, &offset));
    assert_eq!(came.map(|client| client.id() == id), [true, false]);
}

#[test]
fn what_is_sent_before_a_close_comes_before_it_in_every_namespace() {
    let world = World::new();
    let io = world.one.server().clone();
    for name in ["/a", "/z"] {
        io.namespace(name).on_connected(|_: Socket| ready(()));
    }
    let ada = world.one.client("/");
    let others = ["/a", "/z"].map(|name| ada.namespace(name));
    others.iter().for_each(TestClient::connect);
    let bob = world.one.client("/a");
    // Of those in other namespaces one left, and has come again.
    others[0].disconnect();
    others[0].connect();
    // Asking a client lets everything come to rest.
    let (closing, one, other) = (io.socket(&ada.id()).unwrap(), others[0].id(), bob.id());
    for namespace in [io.namespace("/a"), io.namespace("/z"), io.namespace("/")] {
        namespace.emit("to all", &()).unwrap();
    }
    io.namespace("/a").to(&*one).emit("to one", &()).unwrap();
    io.namespace("/a").to(&*other).emit("to bob", &()).unwrap();
    closing.close();
    world.one.settle();
    let names = |client: &TestClient| -> Vec<String> {
        client.received().into_iter().map(|received| received.event.to_string()).collect()
    };
    assert!(!ada.is_connected() && others.iter().all(|other| !other.is_connected()));
    assert_eq!(names(&ada), ["to all"]);
    assert_eq!(names(&others[0]), ["to all", "to one"]);
    assert_eq!(names(&others[1]), ["to all"]);
    assert_eq!(names(&bob), ["to all", "to bob"]);
}

#[test]
fn what_is_sent_before_a_close_comes_before_it_to_clients_of_the_older_revision() {
    let (bus, config) = (InProcessBus::new(), RecoveryConfig::default());
    let options = ClusterOptions::new(bus).dialect(Dialect::Streams(dialect::Streams::default()));
    let server = TestServer::new(|runtime| {
        let builder = ServerBuilder::<Server, ServerOptions>::new(runtime).cluster(options);
        builder.connection_state_recovery(config).allow_eio3(true).build()
    });
    server.settle();
    let (io, query) = (server.server().clone(), "/socket.io/?EIO=3&transport=polling");
    io.namespace("/a").on_connected(|_: Socket| ready(()));
    let ask = |method: &str, sid: &str, body: &str| -> String {
        let request = Request::builder().method(method).uri(format!("{query}{sid}"));
        let request = request.body(Full::<Bytes>::from(body.to_owned())).unwrap();
        let response = server.block_on(io.endpoint().respond(request, ConnInfo::default()));
        String::from_utf8_lossy(&server.block_on(response.into_body().collect()).unwrap().to_bytes())
            .into_owned()
    };
    let opened = ask("GET", "", "");
    let id = opened.split("\"sid\":\"").nth(1).unwrap().split('"').next().unwrap();
    let sid = format!("&sid={id}");
    assert_eq!(ask("POST", &sid, "4:40/a"), "ok");
    server.settle();
    assert_eq!(ask("GET", &sid, ""), "2:405:40/a,");

    for namespace in [io.namespace("/a"), io.namespace("/")] {
        namespace.emit("bye", &()).unwrap();
    }
    io.socket(id).unwrap().close();
    server.settle();
    assert_eq!(ask("GET", &sid, ""), r#"9:42["bye"]12:42/a,["bye"]2:415:41/a,"#);
}

#[test]
fn without_the_bus_clients_hear_their_own_node_and_begin_anew() {
    let world = World::new();
    let ended = Arc::new(Mutex::new(Vec::new()));
    let notes = ended.clone();
    world.one.server().on_unrecovered(move |session| notes.lock().unwrap().push(session.reason()));
    let ada = world.one.client("/");
    world.one.server().emit("number", &1).unwrap();
    world.one.settle();
    assert_eq!(heard(&ada), [json!(1)]);
    // On its way when the bus goes, and after that: in order, and at once.
    world.one.server().emit("number", &2).unwrap();
    world.bus.take_down();
    world.one.server().emit("number", &3).unwrap();
    world.one.settle();
    world.one.server().emit("number", &4).unwrap();
    assert_eq!(heard(&ada), [2, 3, 4].map(Value::from));
    let id = ada.id();
    ada.cut_network();
    ada.restore_network();
    world.one.advance(SECOND * 6);
    assert!(ada.is_connected() && !ada.socket().recovered() && ada.id() != id);
    assert_eq!(*ended.lock().unwrap(), [Ended::BusAway]);

    world.bus.bring_up();
    world.one.advance(SECOND);
    let id = ada.id();
    world.two.server().emit("number", &5).unwrap();
    world.one.settle();
    assert_eq!(heard(&ada), [json!(5)]);
    ada.cut_network();
    world.two.server().emit("number", &6).unwrap();
    world.one.settle();
    ada.restore_network();
    world.one.advance(SECOND * 6);
    assert!(ada.socket().recovered() && ada.id() == id);
    assert_eq!(heard(&ada), [json!(6)]);
}

#[test]
fn a_session_outlives_its_server() {
    let world = World::new();
    let ada = world.one.client("/");
    world.one.server().emit("number", &1).unwrap();
    world.one.settle();
    let offset: String = ada.expect_event("number").args.get(1).unwrap();
    let (id, pid) = (ada.id(), world.pid(&ada));
    let io = world.one.server().clone();
    world.one.runtime().spawn(Box::pin(async move { io.shutdown(SECOND).await }));
    world.one.advance(SECOND * 3);
    world.two.server().emit("number", &2).unwrap();
    world.two.settle();
    let again = world.comes(&world.two, &pid, &offset);
    assert_eq!((again.id(), heard(&again)), (id, vec![json!(2)]));
}

#[test]
fn what_has_no_room_to_wait_for_the_stream_reaches_all_nodes_once() {
    let world = World::with(RecoveryConfig::default().max_bytes(10_000));
    let clients = [world.one.client("/"), world.two.client("/")];
    let large = "x".repeat(10_000);
    world.one.server().emit("number", &1).unwrap();
    world.one.server().emit("large", &large).unwrap();
    world.one.server().emit("number", &2).unwrap();
    world.one.settle();
    for client in &clients {
        let names = client.received().into_iter().map(|received| received.event.to_string());
        assert_eq!(names.collect::<Vec<_>>(), ["number", "large", "number"]);
    }
}

/// A value of a session that emits to another socket as it is dropped.
struct LastWords(Socket, Arc<Mutex<Vec<bool>>>);

impl Drop for LastWords {
    fn drop(&mut self) {
        let awaited = self.0.emit("number", &0).is_ok();
        self.1.lock().unwrap().push(awaited);
    }
}

#[test]
fn a_value_may_emit_to_a_client_that_is_away_as_its_own_session_ends() {
    let world = World::new();
    let said = Arc::new(Mutex::new(Vec::new()));
    let window = RecoveryConfig::default().window;
    for round in 1..=2 {
        let (ada, bob) = (world.one.client("/"), world.one.client("/"));
        world.one.server().emit("number", &round).unwrap();
        world.one.settle();
        let of = |client: &TestClient| world.one.server().socket(&client.id()).unwrap();
        of(&ada).insert(LastWords(of(&bob), said.clone()));
        for client in [&ada, &bob] {
            client.cut_network();
            world.one.advance(window / 2);
        }
        world.one.advance(window);
        // The second time, too: the task that watches the sessions is still there.
        assert_eq!(*said.lock().unwrap(), vec![true; round]);
    }
}
