//! Panics outside of a handler's own code: in middleware, hooks, matchers, conversions, and where values are dropped.

use crate::sansocket::{Auth, DisconnectReason, Handshake, Message, Server, Socket, State};
use crate::suite::support::{Client, Lines, Log, Response, get, logged, request, send_request, serve, until};
use std::net::SocketAddr;
use std::panic::{AssertUnwindSafe, catch_unwind};
use tokio::net::TcpStream;

const OPEN: &str = "/socket.io/?EIO=4&transport=polling";
const REFUSED: &str = r#"{"code":4,"message":"Internal server error"}"#;

/// Panics, in a way of which the compiler does not know that nothing follows.
fn fail(message: &str) {
    panic!("{message}");
}

/// Panics when it is dropped, unless that would end the process.
struct Bomb;

impl Drop for Bomb {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            panic!("while it is dropped");
        }
    }
}

/// An `auth` object, an argument, or an error that panics when it is looked at.
struct Fragile;

impl<'de> serde::Deserialize<'de> for Fragile {
    fn deserialize<D: serde::Deserializer<'de>>(_: D) -> Result<Self, D::Error> {
        panic!("while it is read")
    }
}

impl From<Fragile> for Box<dyn std::error::Error + Send + Sync> {
    fn from(_: Fragile) -> Self {
        panic!("while it is turned into an error")
    }
}

/// A server, a client in two of its namespaces, and another client.
async fn stage() -> (Server, Lines, SocketAddr, Client, Client) {
    let (io, lines) = logged(crate::server());
    io.on("fine", async || "fine");
    io.on_disconnect(async |reason: DisconnectReason, State(log): State<Log>| log.note(reason));
    io.namespace("/other").on("fine", async || "other");
    let addr: SocketAddr = serve(&io).await;
    let mut client = Client::joined(addr).await;
    client.join("/other", "").await;
    let other = Client::joined(addr).await;
    (io, lines, addr, client, other)
}

/// The client's other namespace, the other client, and whoever comes now.
async fn all_else_lives_on(addr: SocketAddr, client: &mut Client, other: &mut Client) {
    client.send(r#"2/other,1["fine"]"#).await;
    client.expect(r#"3/other,1["other"]"#).await;
    assert_eq!(other.ask(r#"["fine"]"#).await, r#"["fine"]"#);
    assert_eq!(Client::joined(addr).await.ask(r#"["fine"]"#).await, r#"["fine"]"#);
}

#[tokio::test]
async fn a_panic_on_the_way_into_a_namespace_refuses_the_client() {
    let (io, mut lines, addr, mut client, mut other) = stage().await;
    io.namespace("/middleware").middleware(async || fail("in middleware"));
    io.namespace("/auth").on_connect(async |_: Auth<Fragile>| {});
    io.namespace("/refusal").on_connect(async || -> Result<(), Fragile2> { Err(Fragile2) });
    for (name, error) in [
        ("/middleware", "in middleware"),
        ("/auth", "while it is read"),
        ("/refusal", "while it is turned into a refusal"),
    ] {
        client.send(&format!("0{name},")).await;
        client.expect(&format!(r#"4{name},{{"message":"Internal server error"}}"#)).await;
        lines.expect(&format!("error: the handler panicked: {error}")).await;
        assert!(io.namespace(name).is_empty());
    }
    assert_eq!(io.stats().panics, 3);
    all_else_lives_on(addr, &mut client, &mut other).await;
}

struct Fragile2;

impl From<Fragile2> for Box<dyn std::error::Error + Send + Sync> {
    fn from(_: Fragile2) -> Self {
        panic!("while it is turned into a refusal")
    }
}

#[tokio::test]
async fn a_panic_of_a_namespace_matcher_refuses_the_client() {
    let (io, _lines, addr, mut client, mut other) = stage().await;
    io.dynamic_namespace_if(|name| {
        if name == "/panic" {
            fail("in a matcher");
        }
        name == "/dynamic"
    })
    .on("fine", async || "fine");
    for _ in 0..2 {
        client.send("0/panic,").await;
        client.expect(r#"4/panic,{"message":"Internal server error"}"#).await;
    }
    client.join("/dynamic", "").await;
    assert_eq!(io.stats().panics, 2);
    all_else_lives_on(addr, &mut client, &mut other).await;
}

#[tokio::test]
async fn a_panic_around_an_event_closes_its_own_socket_only() {
    type Register = fn(&Server);
    let stages: [(&str, Register); 6] = [
        ("in event middleware", |io| {
            io.event_middleware(async |event: crate::sansocket::EventName| {
                if &*event.0 == "panic" {
                    fail("in event middleware");
                }
            });
        }),
        ("in on_any", |io| {
            io.on_any(async |event: crate::sansocket::EventName| {
                if &*event.0 == "panic" {
                    fail("in on_any");
                }
            });
        }),
        ("in on_fallback", |io| {
            io.on_fallback(async || fail("in on_fallback"));
        }),
        ("while it is turned into an error", |io| {
            io.on("panic", async || -> Result<(), Fragile> { Err(Fragile) });
        }),
        ("while it is dropped", |io| {
            io.on("panic", async || {
                let _bomb = Bomb;
                tokio::task::yield_now().await;
            });
        }),
        ("while it is dropped", |io| {
            // In the background, so that dropping comes after the handler is done.
            io.on_concurrent("panic", async || {
                let bomb = Bomb;
                tokio::task::yield_now().await;
                drop(bomb);
            });
        }),
    ];
    for (error, register) in stages {
        let (io, mut lines, addr, mut client, mut other) = stage().await;
        register(&io);
        client.emit(r#"["panic"]"#).await;
        client.gone().await;
        lines.expect(&format!("error: the handler panicked: {error}")).await;
        lines.expect("handler panic").await;
        let mut client = Client::joined(addr).await;
        client.join("/other", "").await;
        assert_eq!(io.stats().panics, 1);
        all_else_lives_on(addr, &mut client, &mut other).await;
    }
}

#[tokio::test]
async fn a_panic_while_the_values_of_a_socket_are_dropped_leaves_nothing_behind() {
    let (io, _lines, addr, mut client, mut other) = stage().await;
    io.on("keep", async |socket: Socket| {
        socket.insert(Bomb);
    });
    io.namespace("/other").on("keep", async |socket: Socket| {
        socket.insert(Bomb);
    });
    for leave in [true, false] {
        let mut bad = Client::joined(addr).await;
        bad.join("/other", "").await;
        assert_eq!(bad.ask(r#"["keep"]"#).await, "[]");
        bad.send(r#"2/other,1["keep"]"#).await;
        bad.expect("3/other,1[]").await;
        if leave {
            bad.send("1").await;
            bad.send(r#"2/other,1["fine"]"#).await;
            bad.expect(r#"3/other,1["other"]"#).await;
        }
        drop(bad);
        until("the hubs forget it", || io.namespace("/").len() == 2 && io.namespace("/other").len() == 1)
            .await;
        until("the session is gone", || io.stats().sessions == 2).await;
    }
    all_else_lives_on(addr, &mut client, &mut other).await;
}

#[tokio::test]
async fn a_panic_while_a_handler_is_taken_away_is_the_callers_and_poisons_nothing() {
    let (io, _lines, addr, mut client, mut other) = stage().await;
    let bomb = Bomb;
    io.on("bomb", move || {
        let _bomb = &bomb;
        async {}
    });
    let taken = catch_unwind(AssertUnwindSafe(|| io.off("bomb").clone()));
    // Or it goes with the last session that still looks at the old table: then that one hears of it.
    drop(taken);
    io.on("later", async || "later");
    let mut fresh = Client::joined(addr).await;
    assert_eq!(fresh.ask(r#"["later"]"#).await, r#"["later"]"#);
    all_else_lives_on(addr, &mut client, &mut other).await;
}

/// The answers to a handshake by polling and by WebSocket.
async fn handshakes(addr: SocketAddr) -> [Response; 2] {
    let upgrade = "connection: Upgrade\r\nupgrade: websocket\r\nsec-websocket-version: 13\r\n\
                   sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\nx-panic: 1\r\n";
    let target = "/socket.io/?EIO=4&transport=websocket";
    let polling = request(addr, "GET", OPEN, "x-panic: 1\r\n", "").await;
    let mut stream = TcpStream::connect(addr).await.expect("a connection");
    let head = format!("GET {target} HTTP/1.1\r\nhost: test\r\n{upgrade}\r\n");
    tokio::io::AsyncWriteExt::write_all(&mut stream, head.as_bytes()).await.expect("it is taken");
    [polling, Response::read(&mut stream).await.expect("a response")]
}

fn is_bad(handshake: &Handshake) -> bool {
    handshake.headers().contains_key("x-panic")
}

#[tokio::test]
async fn a_panic_of_a_hook_about_handshakes_is_answered_with_500() {
    let builders = [
        crate::server().allow_request(|handshake: Handshake| {
            if is_bad(&handshake) {
                fail("in allow_request");
            }
            async { Ok(()) }
        }),
        crate::server().allow_request(async |handshake: Handshake| {
            tokio::task::yield_now().await;
            if is_bad(&handshake) {
                fail("in allow_request, later");
            }
            Ok(())
        }),
        crate::server().generate_id(|handshake| {
            if is_bad(handshake) {
                fail("in generate_id");
            }
            format!(
                "id-{:?}",
                std::time::SystemTime::now()
                    .duration_since(std::time::UNIX_EPOCH)
                    .unwrap_or_default()
                    .as_nanos()
            )
        }),
        crate::server().client_address(|handshake| {
            if is_bad(handshake) {
                fail("in client_address");
            }
            None
        }),
    ];
    for builder in builders {
        let io = builder.build().expect("a server");
        let addr = serve(&io).await;
        for response in handshakes(addr).await {
            assert_eq!((response.status, response.body.as_str()), (500, REFUSED));
        }
        let stats = io.stats();
        assert_eq!((stats.sessions, stats.opened, stats.panics), (0, 0, 2));
        assert_eq!(get(addr, OPEN).await.status, 200);
        Client::joined(addr).await;
    }
}

#[tokio::test]
async fn a_panic_of_a_header_hook_costs_no_answer() {
    let builders = [
        crate::server().headers(|request, _| {
            if request.headers.contains_key("x-panic") {
                fail("in headers");
            }
        }),
        crate::server().initial_headers(|request, _| {
            if request.headers.contains_key("x-panic") {
                fail("in initial_headers");
            }
        }),
    ];
    for builder in builders {
        let io = builder.build().expect("a server");
        let addr = serve(&io).await;
        let [polling, websocket] = handshakes(addr).await;
        assert_eq!((polling.status, websocket.status), (200, 101));
        assert_eq!(io.stats().panics, 2);
        Client::joined(addr).await;
    }
}

#[tokio::test]
async fn a_panic_in_a_plain_session_closes_it_alone() {
    let builder = crate::engine_server().on_message(
        async |socket: crate::sansocket::EngineSocket, message: Message| {
            if message == Message::from("panic") {
                fail("in on_message");
            }
            let _ = socket.send(message);
        },
    );
    let engine = builder.build().expect("a server");
    let addr = engine.listen("127.0.0.1:0").await.expect("a port").local_addr();
    let target = "/engine.io/?EIO=4&transport=websocket";
    let mut other = Client::connect_to(addr, target, "").await;
    let mut client = Client::connect_to(addr, target, "").await;
    client.send("panic").await;
    client.gone().await;
    other.send("fine").await;
    other.expect("fine").await;
    until("it is counted", || engine.stats().closed.contains_key(&DisconnectReason::HandlerPanic)).await;
    assert_eq!((engine.stats().panics, engine.stats().sessions), (1, 1));
}

#[tokio::test]
async fn a_panic_while_a_request_is_answered_ends_no_other_request() {
    let io = crate::server().headers(|request, _| {
        if request.headers.contains_key("x-panic") {
            fail("in headers");
        }
    });
    let io = io.build().expect("a server");
    let addr = serve(&io).await;
    let poller = crate::suite::support::Poller::joined(addr).await;
    let mut poll = TcpStream::connect(addr).await.expect("a connection");
    send_request(&mut poll, "GET", &poller.target, "", "").await;
    assert_eq!(request(addr, "GET", "/socket.io/?nothing", "x-panic: 1\r\n", "").await.status, 400);
    io.emit("hello", &()).expect("it is encoded");
    assert_eq!(Response::read(&mut poll).await.expect("a response").body, r#"42["hello"]"#);
}
