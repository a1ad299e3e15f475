//! Processes without a server on the bus of servers, in virtual time.

use sansocket_runtime::adapter::{BoxFuture, ServerOptions};
use sansocket_runtime::cluster::{
    Bus, BusLink, ClusterEvent, ClusterOptions, Dialect, Emitter, EmitterError, InProcessBus, NodeConfig,
    dialect,
};
use sansocket_runtime::testing::{TestClient, TestServer};
use sansocket_runtime::{Args, Data, Server, ServerBuilder, Socket};
use std::error::Error as _;
use std::sync::{Arc, Mutex};
use std::time::Duration;

const SECOND: Duration = Duration::from_secs(1);

/// Two servers on a bus.
struct Fixture {
    bus: InProcessBus,
    dialect: Dialect,
    servers: [TestServer<Server>; 2],
}

impl Fixture {
    fn new(dialect: Dialect) -> Self {
        let bus = InProcessBus::new();
        let build = |runtime| {
            let options = ClusterOptions::new(bus.clone()).dialect(dialect.clone());
            ServerBuilder::<Server, ServerOptions>::new(runtime).cluster(options).build()
        };
        let one = TestServer::new(build);
        let other = one.beside(build);
        let servers = [one, other];
        for server in &servers {
            for name in ["/", "/other"] {
                let namespace = server.server().namespace(name);
                namespace.on("join", async |socket: Socket, Data(room): Data<String>| {
                    socket.join(&room).map(drop)
                });
                let told = namespace.clone();
                namespace.on_server_side("config", move |args: Args| {
                    let _ = told.broadcast().local().emit("config", &args);
                    async {}
                });
            }
        }
        servers[0].settle();
        Self { bus, dialect, servers }
    }

    fn run<T>(&self, future: impl Future<Output = T>) -> T {
        self.servers[0].block_on(future)
    }

    fn options(&self) -> ClusterOptions {
        ClusterOptions::new(self.bus.clone()).dialect(self.dialect.clone()).request_timeout(SECOND)
    }

    fn open(&self, options: ClusterOptions) -> Result<Emitter, EmitterError> {
        self.run(Emitter::open(self.servers[0].runtime(), options))
    }

    fn clients(&self, namespace: &str) -> [TestClient; 2] {
        [self.servers[0].client(namespace), self.servers[1].client(namespace)]
    }
}

fn dialects() -> [Dialect; 3] {
    [
        Dialect::Heartbeats(dialect::Sharded::new("x", dialect::SubscriptionMode::Static)),
        Dialect::Classic(dialect::Classic::default()),
        Dialect::Sharded(dialect::Sharded::default()),
    ]
}

#[test]
fn every_verb_of_an_emitter_reaches_every_node_once() {
    for dialect in dialects() {
        println!("{dialect:?}");
        let fixture = Fixture::new(dialect);
        let emitter = fixture.open(fixture.options()).unwrap();
        let [one, other] = fixture.clients("/");
        let [elsewhere, _] = fixture.clients("/other");
        one.call::<()>("join", &"red");
        emitter.emit("all", &("hello", 1)).unwrap();
        emitter.to("red").emit("red", &2).unwrap();
        emitter.broadcast().except("red").volatile().compress(false).emit("not red", &3).unwrap();
        emitter.namespace("/other").emit("there", &4).unwrap();
        emitter.server_side_emit("config", &5).unwrap();
        fixture.servers[0].settle();
        assert_eq!(one.expect::<(String, u8)>("all"), ("hello".into(), 1));
        assert_eq!(one.expect::<u8>("red"), 2);
        assert_eq!(one.expect::<u8>("config"), 5);
        assert_eq!(other.expect::<(String, u8)>("all"), ("hello".into(), 1));
        assert_eq!(other.expect::<u8>("not red"), 3);
        assert_eq!(other.expect::<u8>("config"), 5);
        assert_eq!(elsewhere.expect::<u8>("there"), 4);

        emitter.to(&other.id()).join("red").unwrap();
        fixture.servers[0].settle();
        emitter.to("red").emit("red", &6).unwrap();
        fixture.servers[0].settle();
        assert_eq!((one.expect::<u8>("red"), other.expect::<u8>("red")), (6, 6));
        emitter.to(&one.id()).leave("red").unwrap();
        emitter.to("red").emit("red", &7).unwrap();
        emitter.close_room("red").unwrap();
        emitter.to("red").emit("red", &8).unwrap();
        fixture.servers[0].settle();
        assert_eq!(other.expect::<u8>("red"), 7);
        emitter.to(&one.id()).disconnect().unwrap();
        emitter.to(&other.id()).close().unwrap();
        fixture.servers[0].settle();
        assert!(!one.is_connected() && !other.is_connected());
        for client in [&one, &other, &elsewhere] {
            client.expect_nothing();
        }
        fixture.run(emitter.close(SECOND)).unwrap();
    }
}

#[test]
fn nodes_do_not_count_an_emitter() {
    for dialect in dialects() {
        let fixture = Fixture::new(dialect);
        let emitter = fixture.open(fixture.options()).unwrap();
        emitter.emit("all", &()).unwrap();
        fixture.servers[0].settle();
        assert_eq!(fixture.run(fixture.servers[0].server().node_count()).unwrap(), 2);
    }
}

#[test]
fn a_bus_that_is_away_is_told() {
    let fixture = Fixture::new(dialects()[0].clone());
    fixture.bus.take_down();
    let error = fixture.open(fixture.options()).unwrap_err();
    assert!(matches!(error, EmitterError::Away(_)), "{error}");

    fixture.bus.bring_up();
    let emitter = fixture.open(fixture.options()).unwrap();
    let told = Arc::new(Mutex::new(Vec::new()));
    let news = told.clone();
    emitter.on_bus(move |event| {
        news.lock().unwrap().push(matches!(event, ClusterEvent::Up { gap: Some(_) }));
    });
    fixture.bus.take_down();
    fixture.servers[0].settle();
    let error = emitter.emit("lost", &()).unwrap_err();
    assert_eq!(error.to_string(), "nothing was sent: the bus is away: the node was cut off");
    assert_eq!(error.source().and_then(|away| away.source()).unwrap().to_string(), "the node was cut off");
    fixture.bus.bring_up();
    fixture.servers[0].settle();
    emitter.emit("back", &()).unwrap();
    assert_eq!(*told.lock().unwrap(), [false, true]);
    fixture.run(emitter.close(SECOND)).unwrap();
    assert!(matches!(emitter.emit("late", &()), Err(EmitterError::Away(_))), "it is closed");
}

#[test]
fn what_was_not_sent_by_the_end_is_told() {
    let fixture = Fixture::new(dialects()[0].clone());
    let emitter = fixture.open(fixture.options()).unwrap();
    fixture.bus.take_down();
    fixture.servers[0].settle();
    assert!(matches!(fixture.run(emitter.close(SECOND)), Err(EmitterError::Unsent)));
}

/// A bus that is up from the beginning, and does something to what it is to publish.
#[derive(Clone, Copy)]
enum BadBus {
    Refuses,
    /// It is lost before it takes anything, and is back at once.
    Loses,
}

impl Bus for BadBus {
    fn run(self: Box<Self>, mut link: BusLink) -> BoxFuture<()> {
        Box::pin(async move {
            link.refused("what is of no concern to an emitter");
            link.up();
            if matches!(*self, Self::Loses) {
                link.sleep(SECOND).await;
                link.down("lost");
                link.up();
            }
            while link.next().await.is_some() {
                if matches!(*self, Self::Refuses) {
                    link.refused("no rights");
                }
            }
        })
    }
}

#[test]
fn what_the_bus_has_refused_or_lost_is_told_by_the_end() {
    let fixture = Fixture::new(dialects()[0].clone());
    for (bus, emits) in [(BadBus::Refuses, 0), (BadBus::Refuses, 2), (BadBus::Loses, 0), (BadBus::Loses, 2)] {
        let emitter = fixture.open(ClusterOptions::new(bus).request_timeout(SECOND)).unwrap();
        for _ in 0..emits {
            emitter.emit("news", &()).unwrap();
        }
        fixture.servers[0].advance(2 * SECOND);
        let closed = fixture.run(emitter.close(SECOND));
        match (bus, emits) {
            (_, 0) => assert!(closed.is_ok(), "{closed:?}"),
            (BadBus::Refuses, _) => {
                assert!(matches!(closed, Err(EmitterError::Refused { times: 2 })), "{closed:?}");
            }
            (BadBus::Loses, _) => assert!(matches!(closed, Err(EmitterError::Unsent)), "{closed:?}"),
        }
    }
}

#[test]
fn what_cannot_be_said_or_does_not_fit_is_an_error() {
    let fixture = Fixture::new(Dialect::Python(dialect::Python::default()));
    let emitter = fixture.open(fixture.options()).unwrap();
    assert!(matches!(emitter.emit("disconnect", &()), Err(EmitterError::Encode(_))));
    assert!(matches!(emitter.server_side_emit("x", &()), Err(EmitterError::Inexpressible(_))));
    assert!(matches!(emitter.broadcast().join("another"), Err(EmitterError::Inexpressible(_))));

    let limits = NodeConfig::default().with_max_waiting_bytes(10);
    let emitter = fixture.open(fixture.options().limits(limits)).unwrap();
    assert!(matches!(emitter.emit("news", &"long"), Err(EmitterError::TooMuch { limit: 10 })));
}
