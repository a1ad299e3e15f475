//! A node whose bus, application or end is not as it should be.

use sansocket_runtime::adapter::{BoxFuture, ServerOptions};
use sansocket_runtime::cluster::{
    Bus, BusLink, ClusterEvent, ClusterOptions, Dialect, InProcessBus, Subscription, dialect,
};
use sansocket_runtime::testing::TestServer;
use sansocket_runtime::{Bytes, CustomPacket, CustomParser, Parser, Server, ServerBuilder};
use std::error::Error;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

const SECOND: Duration = Duration::from_secs(1);

/// A bus that lets everything wait, and ends when its node is closed.
struct Silent;

impl Bus for Silent {
    fn run(self: Box<Self>, mut link: BusLink) -> BoxFuture<()> {
        Box::pin(async move {
            link.down("nobody is there");
            link.down("and still not");
            link.up();
            while link.next().await.is_some() {}
        })
    }
}

fn on_silent_bus() -> TestServer<Server> {
    TestServer::new(|runtime| {
        let options = ClusterOptions::new(Silent).dialect(Dialect::Classic(dialect::Classic::default()));
        ServerBuilder::<Server, ServerOptions>::new(runtime).cluster(options).build()
    })
}

#[test]
fn requests_end_when_their_server_is_closed_and_none_begins_after_that() {
    let server = on_silent_bus();
    server.settle();
    let io = server.server().clone();
    let mut asked = Box::pin(async move { io.root().fetch_sockets().await });
    let mut context = Context::from_waker(Waker::noop());
    assert!(asked.as_mut().poll(&mut context).is_pending());
    server.settle();
    assert!(asked.as_mut().poll(&mut context).is_pending(), "the bus has not counted the nodes");

    server.block_on(server.server().shutdown(SECOND));
    assert!(matches!(asked.as_mut().poll(&mut context), Poll::Ready(Err(_))), "nobody has answered");
    let elapsed = server.elapsed();
    assert!(server.block_on(server.server().node_count()).is_err());
    assert_eq!(server.elapsed(), elapsed, "nothing has waited");
}

#[test]
fn a_bus_that_could_never_be_reached_is_told_once() {
    let server = on_silent_bus();
    let news = Arc::new(Mutex::new(Vec::new()));
    let told = news.clone();
    server.server().on_bus(move |event| {
        told.lock().unwrap().push(match event {
            ClusterEvent::Up { gap: None } => "up",
            ClusterEvent::Down { reason: Some(_) } => "down",
            _ => "else",
        });
    });
    server.settle();
    assert_eq!(*news.lock().unwrap(), ["down", "up"]);
}

#[test]
fn small_messages_that_wait_are_bounded_as_well() {
    let bus = InProcessBus::new().max_waiting_bytes(10_000);
    let seat = bus.seat();
    seat.subscribe(Subscription::Channel("x".into()));
    let mut context = Context::from_waker(Waker::noop());
    // Read at once, any number comes.
    for _ in 0..1000 {
        bus.publish("x", Bytes::new());
        assert!(matches!(seat.poll_message(&mut context), Poll::Ready(Some(_))));
    }
    for _ in 0..1000 {
        bus.publish("x", Bytes::new());
    }
    assert!(matches!(seat.poll_message(&mut context), Poll::Ready(None)), "it is cut off");
}

#[test]
fn an_outage_leaves_nothing_behind() {
    for dialect in [
        Dialect::Heartbeats(dialect::Sharded::new("x", dialect::SubscriptionMode::Static)),
        Dialect::Classic(dialect::Classic::default()),
    ] {
        let bus = InProcessBus::new();
        let build = |runtime| {
            let options = ClusterOptions::new(bus.clone()).dialect(dialect.clone());
            ServerBuilder::<Server, ServerOptions>::new(runtime).cluster(options).build()
        };
        let one = TestServer::new(build);
        let other = one.beside(build);
        one.settle();
        let counts = || [one.server(), other.server()].map(|io| io.cluster_counts().unwrap());
        let at_rest = counts();
        // Their clients never answer.
        let silent: Vec<_> = (0..10).map(|_| other.client("/")).collect();
        let asked: Vec<_> =
            (0..100).map(|_| Box::pin(one.server().emit_with_ack("ask", &(), SECOND * 4))).collect();
        one.settle();
        let open = counts();
        assert_eq!((open[0].asks, open[1].servings), (100, 100), "{dialect:?}");

        bus.take_down();
        one.settle();
        for number in 0..10_000 {
            one.server().to("room").emit("news", &number).unwrap();
        }
        let down = counts();
        assert_eq!((down[0].waiting_bytes, down[0].dropped), (0, 10_000));
        one.advance(SECOND);
        bus.bring_up();
        one.settle();
        let fetched = one.block_on(one.server().root().fetch_sockets()).unwrap();
        assert_eq!(fetched.len(), silent.len(), "{dialect:?}: they hear each other again");
        for asked in asked {
            assert!(one.block_on(asked).is_err());
        }
        one.advance(SECOND * 5);
        for (now, before) in counts().iter().zip(at_rest) {
            assert_eq!((now.asks, now.servings, now.waiting_bytes), (0, 0, 0), "{dialect:?}");
            assert_eq!(now.peers, before.peers, "{dialect:?}");
        }
    }
}

/// A parser of the application that does not survive one event.
struct Fragile;

impl CustomParser for Fragile {
    fn name(&self) -> &str {
        "fragile"
    }

    fn encode(&self, packet: &CustomPacket) -> Result<Vec<u8>, Box<dyn Error + Send + Sync>> {
        let message = serde_json::to_string(packet)?;
        assert!(!message.contains("bang"), "the parser of this test panics");
        Ok(message.into_bytes())
    }

    fn decode(&self, message: &[u8]) -> Result<CustomPacket, Box<dyn Error + Send + Sync>> {
        Ok(serde_json::from_slice(message)?)
    }
}

#[test]
fn a_panic_of_the_application_for_another_node_s_message_is_counted_and_the_node_goes_on() {
    let bus = InProcessBus::new();
    let build = |parser: Parser| {
        let bus = bus.clone();
        move |runtime| {
            let options = ClusterOptions::new(bus).dialect(Dialect::Classic(dialect::Classic::default()));
            ServerBuilder::<Server, ServerOptions>::new(runtime).parser(parser).cluster(options).build()
        }
    };
    let one = TestServer::new(build(Parser::json()));
    let other = one.beside(build(Parser::custom(Fragile)));
    for server in [&one, &other] {
        server.server().namespace("/");
    }
    let (heard, news) = (Arc::new(Mutex::new(0)), Arc::new(Mutex::new(0)));
    let (hears, told) = (heard.clone(), news.clone());
    other.server().root().on_server_side("after", move |_| {
        *hears.lock().unwrap() += 1;
        async {}
    });
    one.settle();
    other.server().on_bus(move |event| {
        if let ClusterEvent::Down { .. } = event {
            *told.lock().unwrap() += 1;
        }
    });
    one.server().emit("bang", &()).unwrap();
    one.server().root().server_side_emit("after", &()).unwrap();
    one.settle();
    assert_eq!((*heard.lock().unwrap(), *news.lock().unwrap()), (1, 0));
    assert_eq!(other.server().stats().panics, 1);
    assert_eq!(one.block_on(one.server().node_count()).unwrap(), 2);
}
