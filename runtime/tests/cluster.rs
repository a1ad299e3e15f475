//! Several servers as nodes of a cluster, in one process and in virtual time: every verb between them, and a bus that
//! goes away.

use sansocket_runtime::adapter::ServerOptions;
use sansocket_runtime::cluster::{ClusterEvent, ClusterOptions, Dialect, InProcessBus, NodeConfig, dialect};
use sansocket_runtime::testing::{TestClient, TestServer};
use sansocket_runtime::{
    AckError, Args, BroadcastAckError, Bytes, Data, Incomplete, Server, ServerBuilder, ServerSideError,
    Socket,
};
use std::sync::{Arc, Mutex};
use std::time::Duration;

const SECOND: Duration = Duration::from_secs(1);

/// Nodes on one bus, with handlers by which a test's clients drive them.
struct Nodes {
    bus: InProcessBus,
    servers: Vec<TestServer<Server>>,
}

impl Nodes {
    fn new(count: usize) -> Self {
        Self::with(count, |options| options)
    }

    fn with(count: usize, set: impl Fn(ClusterOptions) -> ClusterOptions) -> Self {
        let bus = InProcessBus::new();
        let mut servers: Vec<TestServer<Server>> = Vec::new();
        for _ in 0..count {
            let build = |runtime| {
                let options = set(ClusterOptions::new(bus.clone()));
                ServerBuilder::<Server, ServerOptions>::new(runtime).cluster(options).build()
            };
            let server = match servers.first() {
                None => TestServer::new(build),
                Some(first) => first.beside(build),
            };
            register(server.server());
            servers.push(server);
        }
        servers[0].settle();
        Self { bus, servers }
    }

    fn io(&self, node: usize) -> &Server {
        self.servers[node].server()
    }

    fn client(&self, node: usize) -> TestClient {
        self.servers[node].client("/")
    }

    /// A client in a room.
    fn member(&self, node: usize, room: &str) -> TestClient {
        let client = self.client(node);
        client.call::<()>("join", &room);
        client
    }

    fn settle(&self) {
        self.servers[0].settle();
    }

    fn run<T>(&self, future: impl Future<Output = T>) -> T {
        self.servers[0].block_on(future)
    }
}

fn register(io: &Server) {
    for name in ["/", "/other"] {
        io.namespace(name)
            .on("join", async |socket: Socket, Data(room): Data<String>| socket.join(&room).map(drop))
            .on("rooms", async |socket: Socket| {
                socket.rooms().iter().map(|room| room.to_string()).collect::<Vec<_>>()
            });
    }
}

/// The dialects that carry every verb, each on the bus in memory.
fn dialects() -> Vec<Dialect> {
    vec![
        Dialect::Heartbeats(dialect::Sharded::new("x", dialect::SubscriptionMode::Static)),
        Dialect::Heartbeats(dialect::Sharded::default()),
        Dialect::Classic(dialect::Classic::default()),
        Dialect::Sharded(dialect::Sharded::default()),
    ]
}

fn with_each_dialect(count: usize, check: impl Fn(&Nodes)) {
    for dialect in dialects() {
        println!("{dialect:?}");
        check(&Nodes::with(count, |options| options.dialect(dialect.clone())));
    }
}

fn ids(sockets: &[sansocket_runtime::RemoteSocket]) -> Vec<String> {
    let mut ids: Vec<String> = sockets.iter().map(|socket| socket.id().to_owned()).collect();
    ids.sort();
    ids
}

#[test]
fn an_event_reaches_everybody_on_every_node_once() {
    with_each_dialect(3, |nodes| {
        let clients: Vec<TestClient> = (0..6).map(|number| nodes.client(number % 3)).collect();
        let elsewhere = nodes.servers[1].client("/other");
        nodes.io(0).emit("news", &("hello", 1)).unwrap();
        for client in &clients {
            assert_eq!(client.expect::<(String, u8)>("news"), ("hello".into(), 1));
        }
        for client in clients.iter().chain([&elsewhere]) {
            client.expect_nothing();
        }
        nodes.io(2).namespace("/other").emit("news", &()).unwrap();
        elsewhere.expect_event("news");
        clients[0].expect_nothing();
    });
}

#[test]
fn rooms_and_exceptions_are_those_of_all_nodes() {
    with_each_dialect(2, |nodes| {
        let (here, there) = (nodes.member(0, "red"), nodes.member(1, "red"));
        let (muted, outside) = (nodes.member(1, "red"), nodes.client(1));
        muted.call::<()>("join", &"muted");
        nodes.settle();
        nodes.io(0).to("red").except("muted").emit("ping", &1).unwrap();
        assert_eq!((here.expect::<u8>("ping"), there.expect::<u8>("ping")), (1, 1));
        muted.expect_nothing();
        outside.expect_nothing();
        nodes.io(0).except(there.id()).emit("ping", &2).unwrap();
        for client in [&here, &muted, &outside] {
            assert_eq!(client.expect::<u8>("ping"), 2);
        }
        there.expect_nothing();
    });
}

/// A value that counts how often it is written.
struct Counted<'a>(&'a std::sync::atomic::AtomicUsize);

impl serde::Serialize for Counted<'_> {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        serializer.serialize_str("é")
    }
}

#[test]
fn an_event_for_all_nodes_is_written_once() {
    with_each_dialect(2, |nodes| {
        let (here, there) = (nodes.client(0), nodes.client(1));
        there.socket().on("ask", async || "yes");
        let written = std::sync::atomic::AtomicUsize::new(0);
        nodes.io(0).emit("news", &(Counted(&written), Bytes::from_static(b"\0"))).unwrap();
        for client in [&here, &there] {
            assert_eq!(client.expect::<(String, Bytes)>("news"), ("é".into(), Bytes::from_static(b"\0")));
        }
        let asked = nodes.io(0).to(there.id()).emit_with_ack("ask", &Counted(&written), SECOND);
        assert_eq!(nodes.run(asked).unwrap().len(), 1);
        assert_eq!(written.into_inner(), 2);
    });
}

#[test]
fn one_socket_is_reached_by_its_id_wherever_it_is() {
    with_each_dialect(2, |nodes| {
        let (one, other) = (nodes.client(1), nodes.client(1));
        nodes.io(0).to(one.id()).emit("you", &Bytes::from_static(b"\0\xff")).unwrap();
        assert_eq!(one.expect::<Bytes>("you"), &b"\0\xff"[..]);
        other.expect_nothing();
    });
}

#[test]
fn a_local_broadcast_stays_on_its_node() {
    let nodes = Nodes::new(2);
    let (here, there) = (nodes.member(0, "red"), nodes.member(1, "red"));
    let (published, _) = nodes.bus.published();
    nodes.io(0).to("red").local().emit("ping", &()).unwrap();
    here.expect_event("ping");
    there.expect_nothing();
    assert_eq!(nodes.bus.published().0, published);
}

#[test]
fn events_of_one_emitter_arrive_in_order() {
    with_each_dialect(2, |nodes| {
        let there = nodes.member(1, "red");
        nodes.settle();
        for number in 0..500 {
            let broadcast = if number % 2 == 0 { nodes.io(0).to("red") } else { nodes.io(0).to(there.id()) };
            broadcast.emit("n", &number).unwrap();
        }
        // Channels of rooms are as many queues, but one bus has one order.
        for number in 0..500 {
            assert_eq!(there.expect::<u32>("n"), number);
        }
        there.expect_nothing();
    });
}

#[test]
fn sockets_of_other_nodes_join_leave_and_are_moved_out_of_rooms() {
    with_each_dialect(2, |nodes| {
        let there = nodes.member(1, "red");
        nodes.settle();
        nodes.io(0).to("red").join("blue").unwrap();
        let rooms: Vec<String> = there.call("rooms", &());
        assert_eq!(rooms, [&*there.id(), "red", "blue"]);
        nodes.io(0).to(there.id()).leave("red");
        let rooms: Vec<String> = there.call("rooms", &());
        assert_eq!(rooms, [&*there.id(), "blue"]);
        nodes.io(0).root().close_room("blue");
        let rooms: Vec<String> = there.call("rooms", &());
        assert_eq!(rooms, [&*there.id()]);
    });
}

#[test]
fn sockets_of_other_nodes_are_disconnected() {
    with_each_dialect(2, |nodes| {
        let (one, other) = (nodes.client(1), nodes.client(1));
        nodes.io(0).to(one.id()).disconnect();
        nodes.settle();
        assert!(!one.is_connected());
        assert!(other.is_connected());
        nodes.io(0).root().broadcast().close();
        nodes.settle();
        assert_eq!(nodes.io(1).root().len(), 0);
    });
}

#[test]
fn acknowledgements_come_from_all_nodes() {
    with_each_dialect(3, |nodes| {
        let clients: Vec<TestClient> = (0..5).map(|number| nodes.member(number % 3, "red")).collect();
        for (number, client) in clients.iter().enumerate() {
            client.socket().on("how many?", move || async move { number });
        }
        nodes.settle();
        let answers = nodes.run(nodes.io(0).to("red").emit_with_ack("how many?", &(), SECOND)).unwrap();
        let mut answers: Vec<usize> = answers.iter().map(|answer| answer.get(0).unwrap()).collect();
        answers.sort_unstable();
        assert_eq!(answers, [0, 1, 2, 3, 4]);
        assert!(nodes.servers[0].elapsed() < SECOND, "nobody waited for the time limit");
    });
}

#[test]
fn an_acknowledgement_that_does_not_come_is_counted_when_the_time_is_over() {
    with_each_dialect(2, |nodes| {
        let (silent, answers) = (nodes.client(1), nodes.client(1));
        answers.socket().on("ask", async || "yes");
        let asked = nodes.io(0).emit_with_ack("ask", &(), SECOND);
        let Err(BroadcastAckError::Incomplete { answers, missing, missing_nodes, .. }) = nodes.run(asked)
        else {
            panic!("one client is silent");
        };
        assert_eq!((answers.len(), missing, missing_nodes), (1, 1, Some(0)));
        silent.expect_event("ask");
    });
}

#[test]
fn sockets_are_described_by_their_nodes_and_can_be_used() {
    with_each_dialect(2, |nodes| {
        let (here, there) = (nodes.member(0, "red"), nodes.member(1, "red"));
        there.socket().on("name?", async || "there");
        nodes.settle();
        let sockets = nodes.run(nodes.io(0).to("red").fetch_sockets()).unwrap();
        let mut expected = vec![here.id().to_string(), there.id().to_string()];
        expected.sort();
        assert_eq!(ids(&sockets), expected);
        let remote = sockets.iter().find(|socket| socket.id() == &*there.id()).unwrap();
        assert_eq!(remote.rooms().iter().map(|room| &**room).collect::<Vec<_>>(), [&*there.id(), "red"]);
        let handshake: serde_json::Value = remote.handshake().unwrap();
        assert_eq!(handshake["query"]["EIO"], "4");
        assert!(remote.local().is_none());

        let name = nodes.run(remote.emit_with_ack("name?", &(), SECOND)).unwrap();
        assert_eq!(name.get::<String>(0).unwrap(), "there");
        remote.join("blue");
        remote.emit("hello", &7).unwrap();
        assert_eq!(there.expect::<u8>("hello"), 7);
        let rooms = nodes.run(nodes.io(0).root().fetch_rooms()).unwrap();
        assert_eq!(rooms.iter().map(|room| &**room).collect::<Vec<_>>(), ["blue", "red"]);
        remote.close();
        nodes.settle();
        assert_eq!(nodes.io(1).root().len(), 0);
        let gone = nodes.run(remote.emit_with_ack("name?", &(), SECOND));
        assert!(matches!(gone, Err(AckError::Disconnected)), "{gone:?}");
    });
}

#[test]
fn cookies_and_authorization_are_not_told_to_other_nodes() {
    for (tell, expected) in [(false, None), (true, Some("Bearer secret"))] {
        let nodes = Nodes::with(2, |options| options.private_handshakes(tell));
        let there =
            nodes.servers[1].client_with("/", |client| client.header("authorization", "Bearer secret"));
        let sockets = nodes.run(nodes.io(0).to(there.id()).fetch_sockets()).unwrap();
        let handshake: serde_json::Value = sockets[0].handshake().unwrap();
        assert_eq!(handshake["headers"].get("authorization").and_then(|value| value.as_str()), expected);
    }
}

#[test]
fn servers_speak_to_each_other() {
    with_each_dialect(3, |nodes| {
        let heard = Arc::new(Mutex::new(Vec::new()));
        for node in 0..3 {
            let heard = heard.clone();
            nodes.io(node).root().on_server_side("load?", move |args: Args| {
                let heard = heard.clone();
                async move {
                    heard.lock().unwrap().push((node, args.get::<String>(0).unwrap()));
                    node
                }
            });
        }
        nodes.io(0).root().server_side_emit("load?", &"tell").unwrap();
        nodes.settle();
        let mut said = std::mem::take(&mut *heard.lock().unwrap());
        said.sort();
        assert_eq!(said, [(1, "tell".to_owned()), (2, "tell".to_owned())]);

        let answers = nodes.run(nodes.io(0).root().server_side_emit_with_ack("load?", &"ask")).unwrap();
        let mut answers: Vec<usize> = answers.iter().map(|answer| answer.get(0).unwrap()).collect();
        answers.sort_unstable();
        assert_eq!(answers, [1, 2]);
        // Without a handler there is an answer, too.
        let answers = nodes.run(nodes.io(0).root().server_side_emit_with_ack("unknown", &())).unwrap();
        assert!(answers.iter().all(Args::is_empty));
        assert_eq!(nodes.run(nodes.io(0).node_count()).unwrap(), 3);
    });
}

#[test]
fn a_node_that_has_shut_down_is_waited_for_by_nobody() {
    with_each_dialect(3, |nodes| {
        nodes.run(nodes.io(2).shutdown(SECOND));
        nodes.settle();
        let before = nodes.servers[0].elapsed();
        assert_eq!(nodes.run(nodes.io(0).node_count()).unwrap(), 2);
        nodes.run(nodes.io(0).root().fetch_sockets()).unwrap();
        assert_eq!(nodes.servers[0].elapsed(), before);
    });
}

#[test]
fn a_server_that_is_dropped_leaves_the_bus() {
    let mut nodes = Nodes::with(2, |options| options.dialect(Dialect::Classic(dialect::Classic::default())));
    assert_eq!(nodes.run(nodes.io(0).node_count()).unwrap(), 2);
    drop(nodes.servers.pop());
    nodes.settle();
    assert_eq!(nodes.run(nodes.io(0).node_count()).unwrap(), 1);
}

#[test]
fn without_the_bus_each_node_serves_its_own_and_says_so() {
    let nodes = Nodes::new(2);
    let news = Arc::new(Mutex::new(Vec::new()));
    let told = news.clone();
    nodes.io(0).on_bus(move |event| match event {
        ClusterEvent::Up { gap } => told.lock().unwrap().push(format!("up after {gap:?}")),
        ClusterEvent::Down { reason } => told.lock().unwrap().push(format!("down, {}", reason.is_some())),
        _ => {}
    });
    let (here, there) = (nodes.member(0, "red"), nodes.member(1, "red"));
    assert!(nodes.io(0).is_on_bus());
    nodes.bus.take_down();
    nodes.settle();
    assert!(!nodes.io(0).is_on_bus());

    let before = nodes.servers[0].elapsed();
    nodes.io(0).to("red").emit("ping", &1).unwrap();
    assert_eq!(here.expect::<u8>("ping"), 1);
    here.socket().on("ask", async || "yes");
    let asked = nodes.run(nodes.io(0).to("red").emit_with_ack("ask", &(), SECOND));
    let Err(error) = asked else { panic!("nobody has asked the other node's sockets") };
    assert!(error.to_string().starts_with("other nodes could not be asked"), "{error}");
    let BroadcastAckError::Incomplete { answers, missing, missing_nodes, .. } = error else { panic!() };
    assert_eq!((answers.len(), missing, missing_nodes), (1, 0, None));
    let answers = nodes.run(nodes.io(0).to("red").call::<_, String>("ask", &())).expect("it is encoded");
    assert_eq!(answers[0].result.as_ref().expect("an answer"), "yes");
    assert!(matches!(answers[1].result, Err(AckError::NodesMissing { nodes: None })), "{answers:?}");
    assert_eq!(answers.len(), 2);
    // Those of this node alone are complete.
    let own = nodes.io(0).to("red").local().emit_with_ack("ask", &(), SECOND);
    assert_eq!(nodes.run(own).expect("all of them").len(), 1);
    let Err(Incomplete { came, missing_nodes }) = nodes.run(nodes.io(0).root().fetch_sockets()) else {
        panic!("nobody knows the sockets of the other node");
    };
    assert_eq!((ids(&came), missing_nodes), (vec![here.id().to_string()], None));
    let asked = nodes.run(nodes.io(0).root().server_side_emit_with_ack("x", &()));
    assert!(matches!(asked, Err(ServerSideError::Incomplete(Incomplete { missing_nodes: None, .. }))));
    assert_eq!(nodes.servers[0].elapsed(), before, "nothing has waited");
    assert!(nodes.io(0).cluster_counts().unwrap().dropped >= 3);

    nodes.servers[0].advance(SECOND * 7);
    nodes.bus.bring_up();
    nodes.settle();
    there.expect_nothing();
    nodes.io(0).to("red").emit("ping", &2).unwrap();
    assert_eq!((here.expect::<u8>("ping"), there.expect::<u8>("ping")), (2, 2));
    assert_eq!(*news.lock().unwrap(), ["up after None", "down, true", "up after Some(7s)"]);
}

#[test]
fn a_hook_that_comes_late_is_told_of_the_bus_and_the_nodes_that_are_there() {
    let nodes = Nodes::new(3);
    nodes.settle();
    let news = Arc::new(Mutex::new(Vec::new()));
    let told = news.clone();
    nodes.io(0).on_bus(move |event| match event {
        ClusterEvent::Up { gap: None } => told.lock().unwrap().push("up".to_owned()),
        ClusterEvent::NodeUp { namespace, .. } => told.lock().unwrap().push(format!("a node in {namespace}")),
        other => panic!("{other:?}"),
    });
    assert_eq!(
        *news.lock().unwrap(),
        ["up", "a node in /", "a node in /", "a node in /other", "a node in /other"]
    );
}

#[test]
fn a_node_that_does_not_keep_up_is_cut_off_and_comes_back() {
    let nodes = Nodes::new(2);
    let there = nodes.client(1);
    let gaps = Arc::new(Mutex::new(0));
    let told = gaps.clone();
    nodes.io(1).on_bus(move |event| {
        if let ClusterEvent::Up { gap: Some(_) } = event {
            *told.lock().unwrap() += 1;
        }
    });
    let _ = nodes.bus.clone().max_waiting_bytes(10_000);
    let text = "x".repeat(1000);
    for _ in 0..50 {
        nodes.io(0).emit("much", &text).unwrap();
    }
    nodes.settle();
    let came = there.received().len();
    nodes.io(0).emit("again", &()).unwrap();
    if came == 50 {
        assert_eq!(*gaps.lock().unwrap(), 0);
    } else {
        assert!(*gaps.lock().unwrap() > 0, "what was lost is told");
    }
    assert_eq!(there.expect_event("again").event, "again");
}

#[test]
fn what_waits_for_the_bus_is_bounded() {
    let limits = NodeConfig::default().with_max_waiting_bytes(5000);
    let nodes = Nodes::with(2, |options| options.limits(limits.clone()));
    let (here, there) = (nodes.client(0), nodes.client(1));
    let text = "x".repeat(1000);
    // The bus has no turn meanwhile.
    for _ in 0..50 {
        nodes.io(0).emit("much", &text).unwrap();
    }
    nodes.settle();
    assert_eq!(here.received().len(), 50);
    assert_eq!(there.received().len(), 4);
    assert_eq!(nodes.io(0).cluster_counts().unwrap().dropped, 46);
}

#[test]
fn garbage_on_the_bus_changes_nothing_but_a_count() {
    let nodes = Nodes::new(2);
    let there = nodes.client(1);
    let garbage = nodes.servers[0].beside(|runtime| {
        let mut limits = NodeConfig::default();
        limits.heartbeat_interval = Duration::from_secs(1000);
        let options = ClusterOptions::new(Garbage(nodes.bus.clone())).limits(limits);
        ServerBuilder::<Server, ServerOptions>::new(runtime).cluster(options).build()
    });
    garbage.settle();
    for _ in 0..10 {
        garbage.server().emit("x", &"y").unwrap();
    }
    nodes.settle();
    there.expect_nothing();
    assert!(nodes.io(1).cluster_counts().unwrap().malformed >= 10);
    nodes.io(0).emit("fine", &()).unwrap();
    there.expect_event("fine");
}

/// A node that speaks another dialect than it should: it bites a byte off everything.
struct Garbage(InProcessBus);

impl sansocket_runtime::cluster::Bus for Garbage {
    fn run(
        self: Box<Self>,
        mut link: sansocket_runtime::cluster::BusLink,
    ) -> sansocket_runtime::adapter::BoxFuture<()> {
        use sansocket_runtime::cluster::NodeTransmit;
        Box::pin(async move {
            link.up();
            while let Some(transmit) = link.next().await {
                if let NodeTransmit::Publish(published) = transmit {
                    let payload = published.payload.slice(1..);
                    self.0.publish(&published.channel, payload);
                }
            }
        })
    }
}

#[test]
fn python_s_dialect_carries_what_python_has() {
    let python = Dialect::Python(dialect::Python::default());
    let nodes = Nodes::with(2, |options| options.dialect(python.clone()));
    let (here, there) = (nodes.member(0, "red"), nodes.member(1, "red"));
    there.socket().on("ask", async || 42);
    nodes.io(0).to("red").except(here.id()).emit("ping", &Bytes::from_static(b"bytes")).unwrap();
    assert_eq!(there.expect::<Bytes>("ping"), &b"bytes"[..]);
    here.expect_nothing();
    let remote = nodes.io(0).root().anywhere(&there.id());
    let answer = nodes.run(remote.emit_with_ack("ask", &(), SECOND)).unwrap();
    assert_eq!(answer.get::<u8>(0).unwrap(), 42);
    remote.join("blue");
    let rooms: Vec<String> = there.call("rooms", &());
    assert_eq!(rooms, [&*there.id(), "red", "blue"]);
    nodes.io(0).root().close_room("red");
    remote.leave("blue");
    let rooms: Vec<String> = there.call("rooms", &());
    assert_eq!(rooms, [&*there.id()]);
    assert!(nodes.run(nodes.io(0).node_count()).is_err(), "Python's nodes are not counted");
    // Of everybody, Python cannot say it: it is counted, and no error.
    nodes.io(0).root().broadcast().join("green").unwrap();
    assert_eq!(nodes.io(0).cluster_counts().unwrap().inexpressible, 1);
    remote.disconnect();
    nodes.settle();
    assert!(!there.is_connected());
}

#[test]
fn a_dynamic_namespace_is_of_the_cluster_while_it_lives() {
    let bus = InProcessBus::new();
    let build = |runtime| {
        let options = ClusterOptions::new(bus.clone()).dialect(Dialect::Classic(dialect::Classic::default()));
        ServerBuilder::<Server, ServerOptions>::new(runtime)
            .cleanup_empty_namespaces(true)
            .cluster(options)
            .build()
    };
    let one = TestServer::new(build);
    let other = one.beside(build);
    for server in [&one, &other] {
        server.server().dynamic_namespace("/room-*");
    }
    let there = other.client("/room-1");
    one.server().namespace("/room-1").emit("hello", &()).unwrap();
    there.expect_event("hello");
    there.disconnect();
    let again = other.client("/room-1");
    one.server().namespace("/room-1").emit("hello", &()).unwrap();
    again.expect_event("hello");
}

#[test]
fn what_is_said_before_a_shutdown_has_left_when_it_is_over() {
    with_each_dialect(2, |nodes| {
        let there = nodes.client(1);
        nodes.settle();
        let io = nodes.io(0).clone();
        let (published, _) = nodes.bus.published();
        let bus = nodes.bus.clone();
        nodes.run(async move {
            io.emit("last", &1).unwrap();
            io.shutdown(SECOND).await;
            assert!(bus.published().0 > published);
        });
        assert_eq!(there.expect::<u8>("last"), 1);
    });
}

#[test]
fn a_call_is_answered_by_the_sockets_of_all_nodes_and_an_empty_list_is_nobody_anywhere() {
    with_each_dialect(2, |nodes| {
        let (here, there, silent) = (nodes.member(0, "a"), nodes.member(1, "a"), nodes.member(1, "a"));
        here.socket().on("sum", async |Data((a, b)): Data<(u32, u32)>| a + b);
        there.socket().on("sum", async |Data((a, b)): Data<(u32, u32)>| 10 * (a + b));
        let call = nodes.io(0).to(["a"]).timeout(SECOND * 2).call::<_, u32>("sum", &(1, 2));
        let answers = nodes.run(call).expect("it is encoded");
        let values: Vec<_> = answers
            .iter()
            .map(|answer| (answer.id.is_some(), answer.result.as_ref().ok().copied()))
            .collect();
        assert_eq!(values[0], (true, Some(3)), "of this node, with its id");
        assert_eq!(values[1..], [(false, Some(30)), (false, None)]);
        assert_eq!(silent.received().len(), 1);

        let nobody = nodes.io(0).to(Vec::<String>::new());
        nobody.emit("x", &1).expect("it is encoded");
        nobody.join("b").expect("nobody is refused");
        assert!(nodes.run(nobody.call::<_, u32>("x", &1)).expect("it is encoded").is_empty());
        nobody.disconnect();
        nodes.settle();
        for client in [&here, &there, &silent] {
            client.expect_nothing();
            assert!(client.is_connected());
        }
    });
}

#[test]
fn the_sockets_of_a_verb_are_chosen_once_for_all_rooms_on_every_node() {
    with_each_dialect(2, |nodes| {
        let (here, there) = (nodes.member(0, "a"), nodes.member(1, "a"));
        let rooms = |client: &TestClient| client.call::<Vec<String>>("rooms", &()).split_off(1);
        nodes.io(0).to("a").join(["b", "c"]).unwrap();
        nodes.settle();
        nodes.io(0).to("b").leave(["a", "b", "c"]);
        nodes.settle();
        for client in [&here, &there] {
            assert!(rooms(client).is_empty(), "{:?}", rooms(client));
        }
    });
}

#[test]
fn the_answers_of_other_nodes_are_bounded_by_their_bytes() {
    let bus = InProcessBus::new();
    let build = |max: usize| {
        let options = ClusterOptions::new(bus.clone());
        move |runtime| {
            let builder = ServerBuilder::<Server, ServerOptions>::new(runtime);
            builder.max_broadcast_answers(max).cluster(options).build()
        }
    };
    // The one that asks has a limit, then the one that is asked.
    for (here, there, is_late) in [(3000, 1 << 20, false), (1 << 20, 3000, true)] {
        let one = TestServer::new(build(here));
        let other = one.beside(build(there));
        let clients: Vec<TestClient> = (0..5).map(|_| other.client("/")).collect();
        for client in &clients {
            client.socket().on("text?", async || "x".repeat(1000));
        }
        let before = one.elapsed();
        let call = one.server().timeout(SECOND).call::<_, String>("text?", &());
        let answers = one.block_on(call).expect("it is encoded");
        let texts = answers.iter().filter(|answer| answer.result.is_ok()).count();
        assert_eq!((answers.len(), texts), (5, 2));
        let is_expected = |error: &AckError| match error {
            AckError::TooManyAnswers => !is_late,
            AckError::Timeout => is_late,
            _ => false,
        };
        assert!(answers.iter().all(|answer| answer.result.as_ref().err().is_none_or(is_expected)));
        assert_eq!(one.elapsed() - before >= SECOND, is_late);
    }
}
