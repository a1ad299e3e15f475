//! The module `testing` with this adapter: its `Server` on the runtime of a test, and its `Client` on a `Loopback`, with
//! handlers that sleep and spawn.

use sansocket_tokio::testing::{Loopback, TestServer};
use sansocket_tokio::{
    Client, ClientBuilder, ConnectionEvent, Data, PeerAddr, Server, Socket, TransportKind,
};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::time::{Instant, sleep};

const SECOND: Duration = Duration::from_secs(1);

/// The application, as it is in production.
fn register(io: &Server) {
    io.on("slow", async |Data(text): Data<String>| {
        sleep(SECOND * 30).await;
        text.len()
    });
    io.on("background", async |socket: Socket| {
        tokio::spawn(async move {
            sleep(SECOND).await;
            socket.emit("done", &"in the background")
        });
    });
    io.on("whence", async |PeerAddr(address): PeerAddr| address.to_string());
    io.on("echo", async |Data(text): Data<String>| text);
}

fn client(loopback: &Loopback) -> ClientBuilder {
    Client::builder("http://test").dial(loopback.clone())
}

#[test]
fn an_ordinary_test_blocks() {
    let test = TestServer::new(|runtime| Server::builder().runtime(runtime).build());
    register(test.server());
    let ada = test.client("/");
    assert_eq!(ada.call::<String>("echo", &"hello"), "hello");
    test.server().to(ada.id()).emit("news", &("tea", 2)).expect("encoded");
    assert_eq!(ada.expect::<(String, u32)>("news"), ("tea".to_owned(), 2));
}

#[tokio::test(start_paused = true)]
async fn handlers_that_sleep_and_spawn_take_no_real_time() {
    let io = Server::builder().build().expect("a server");
    register(&io);
    let began = Instant::now();
    let ada = client(&Loopback::to(&io)).build().expect("a client");
    let mut events = ada.events();
    ada.connect().await.expect("connected");
    assert_eq!(ada.call::<_, usize>("slow", "hello").await.expect("an answer"), 5);
    ada.emit("background", &()).expect("emitted");
    let done = events.next_within(SECOND * 2).await.expect("an event");
    assert_eq!(
        (&*done.event, done.decode::<String>().expect("a text")),
        ("done", "in the background".to_owned())
    );
    assert!(began.elapsed() >= SECOND * 31);
    assert_eq!(ada.transport(), Some(TransportKind::WebSocket));
}

#[tokio::test(start_paused = true)]
async fn the_address_is_the_tests_own() {
    let io = Server::builder().build().expect("a server");
    register(&io);
    let loopback = Loopback::from_addr(&io, "192.0.2.1:4000".parse().expect("an address"));
    let ada = client(&loopback).build().expect("a client");
    ada.connect().await.expect("connected");
    assert_eq!(ada.call::<_, String>("whence", &()).await.expect("an answer"), "192.0.2.1:4000");
}

#[tokio::test(start_paused = true)]
async fn a_cut_and_a_stall_are_survived() {
    let io = Server::builder().build().expect("a server");
    register(&io);
    let gone = Arc::new(AtomicUsize::new(0));
    let count = gone.clone();
    io.on_disconnect(move || {
        count.fetch_add(1, Ordering::Relaxed);
        std::future::ready(())
    });
    let loopback = Loopback::to(&io);
    let lost = Arc::new(Mutex::new(Vec::new()));
    let seen = lost.clone();
    let ada = client(&loopback)
        .on_connection_event(move |event| {
            if let ConnectionEvent::Closed { .. } = event {
                seen.lock().expect("not poisoned").push(format!("{event:?}"));
            }
        })
        .build()
        .expect("a client");
    ada.connect().await.expect("connected");
    for (fault, losses) in [(Loopback::cut as fn(&Loopback), 1), (Loopback::stall, 2)] {
        fault(&loopback);
        sleep(SECOND * 60).await;
        assert!(!ada.is_connected());
        assert_eq!(gone.load(Ordering::Relaxed), losses);
        loopback.restore();
        ada.connected().await.expect("it comes back by itself");
        assert_eq!(ada.call::<_, String>("echo", "again").await.expect("an answer"), "again");
        assert_eq!(lost.lock().expect("not poisoned").len(), losses);
    }
}

#[tokio::test(start_paused = true)]
async fn plain_engine_io_over_a_loopback() {
    let engine = sansocket_tokio::EngineServer::builder()
        .on_message(async |socket: sansocket_tokio::EngineSocket, message| {
            let _ = socket.send(message);
        })
        .build()
        .expect("a server");
    let client = sansocket_tokio::EngineClient::builder("http://test")
        .dial(Loopback::to(&engine))
        .build()
        .expect("a client");
    let mut messages = client.messages();
    client.connect().await.expect("connected");
    client.send("hello").expect("sent");
    assert_eq!(messages.next().await, Some(sansocket_tokio::Message::Text("hello".into())));
}
