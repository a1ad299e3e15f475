//! Limits on sessions, handshakes and events, and what `stats` tells of them.

use crate::sansocket::{DisconnectReason, EngineSocket, EventExcess, Handshake, Message, Rate, Socket};
use crate::suite::support::{Client, Poller, Response, get, request, serve, soon, until};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

const OPEN: &str = "/socket.io/?EIO=4&transport=polling";
const NEVER: Rate = Rate::per_second(1);

/// The answer to a WebSocket handshake.
async fn upgrade(addr: SocketAddr, headers: &str) -> Response {
    let mut stream = soon(TcpStream::connect(addr)).await.expect("a connection");
    let head = format!(
        "GET /socket.io/?EIO=4&transport=websocket HTTP/1.1\r\nhost: test\r\nconnection: Upgrade\r\n\
         upgrade: websocket\r\nsec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n{headers}\r\n"
    );
    stream.write_all(head.as_bytes()).await.expect("it is taken");
    soon(Response::read(&mut stream)).await.expect("a response")
}

#[tokio::test]
async fn an_address_with_too_many_sessions_gets_429() {
    let io = crate::server().max_sessions_per_address(2).build().expect("a server");
    let addr = serve(&io).await;
    let first = Client::joined(addr).await;
    let _second = Poller::joined(addr).await;
    let body = r#"{"code":4,"message":"Too many sessions from this address"}"#;
    for response in [get(addr, OPEN).await, upgrade(addr, "").await] {
        assert_eq!((response.status, response.body.as_str()), (429, body));
        assert_eq!(response.header("content-type"), Some("application/json"));
    }
    drop(first);
    until("its place is free", || io.stats().sessions == 1).await;
    let _third = Client::joined(addr).await;
    assert_eq!(io.stats().refused.sessions_per_address, 2);
}

#[tokio::test]
async fn handshakes_beyond_the_rate_get_503_before_the_application_is_asked() {
    let asked = Arc::new(AtomicU32::new(0));
    let count = asked.clone();
    let builder = crate::server().handshake_rate(NEVER.burst(3)).allow_request(move |_| {
        count.fetch_add(1, Ordering::Relaxed);
        async { Err("nobody".into()) }
    });
    let io = builder.build().expect("a server");
    let addr = serve(&io).await;
    for _ in 0..3 {
        assert_eq!(get(addr, OPEN).await.status, 403);
    }
    for response in [get(addr, OPEN).await, upgrade(addr, "").await] {
        let body = r#"{"code":4,"message":"Too many handshakes"}"#;
        assert_eq!((response.status, response.body.as_str()), (503, body));
        assert_eq!(response.header("retry-after"), Some("1"));
    }
    assert_eq!(asked.load(Ordering::Relaxed), 3);
    let stats = io.stats();
    assert_eq!((stats.opened, stats.refused.by_application, stats.refused.handshakes), (0, 3, 2));
}

#[tokio::test]
async fn behind_a_proxy_the_application_says_whose_handshake_it_is() {
    let builder =
        crate::server().handshake_rate_per_address(NEVER).client_address(|handshake: &Handshake| {
            handshake.headers().get("x-forwarded-for")?.to_str().ok()?.rsplit(',').next()?.trim().parse().ok()
        });
    let io = builder.build().expect("a server");
    let addr = serve(&io).await;
    for (list, status) in [
        ("192.0.2.1", 200),
        ("192.0.2.1", 429),
        // What the client itself has put there counts for nothing.
        ("198.51.100.7, 192.0.2.1", 429),
        ("192.0.2.2", 200),
        ("2001:db8::1", 200),
        ("2001:db8::2", 429),
        // No address: the TCP connection's.
        ("unknown", 200),
        ("", 429),
    ] {
        let header = if list.is_empty() { String::new() } else { format!("x-forwarded-for: {list}\r\n") };
        assert_eq!(request(addr, "GET", OPEN, &header, "").await.status, status, "{list}");
    }
    assert_eq!(io.stats().refused.handshakes_per_address, 4);
}

#[tokio::test]
async fn events_that_come_too_fast_wait_and_none_is_lost() {
    let io = crate::server().event_rate(Rate::per_second(1000).burst(1)).build().expect("a server");
    io.on("echo", async |crate::sansocket::Data(number): crate::sansocket::Data<u32>| number);
    let mut client = Client::joined(serve(&io).await).await;
    for number in 0..50 {
        client.send(&format!(r#"2{number}["echo",{number}]"#)).await;
    }
    for number in 0..50 {
        client.expect(&format!("3{number}[{number}]")).await;
    }
    let stats = io.stats();
    assert_eq!((stats.events_in, stats.events_out), (50, 50));
    assert!(stats.events_paced > 0);
}

#[tokio::test]
async fn events_that_come_too_fast_close_where_that_is_set() {
    let builder = crate::server().event_rate(NEVER.burst(2)).event_excess(EventExcess::Close);
    let io = builder.build().expect("a server");
    let mut client = Client::joined(serve(&io).await).await;
    client.send_all(&[r#"2["a"]"#, r#"2["b"]"#, r#"2["c"]"#]).await;
    client.gone().await;
    until("it is counted", || io.stats().refused.events == 1).await;
}

const PLAIN: &str = "/engine.io/?EIO=4&transport=websocket";

#[tokio::test]
async fn messages_of_plain_engine_io_that_come_too_fast_wait_and_none_is_lost() {
    let engine = crate::engine_server()
        .message_rate(Rate::per_second(1000).burst(1))
        .on_message(async |socket: EngineSocket, message: Message| {
            let _ = socket.send(message);
        })
        .build()
        .expect("a server");
    let addr = engine.listen("127.0.0.1:0").await.expect("a port").local_addr();
    let mut client = Client::connect_to(addr, PLAIN, "").await;
    for number in 0..50 {
        client.send(&format!("{number}")).await;
    }
    for number in 0..50 {
        client.expect(&format!("{number}")).await;
    }
    let stats = engine.stats();
    assert_eq!((stats.events_in, stats.events_out), (50, 50));
    assert!(stats.events_paced > 0);
}

#[tokio::test]
async fn messages_that_come_too_fast_close_where_that_is_set() {
    let engine = crate::engine_server()
        .message_rate(NEVER.burst(2))
        .message_excess(EventExcess::Close)
        .build()
        .expect("a server");
    let addr = engine.listen("127.0.0.1:0").await.expect("a port").local_addr();
    let mut client = Client::connect_to(addr, PLAIN, "").await;
    for text in ["a", "b", "c"] {
        client.send(text).await;
    }
    client.gone().await;
    until("it is counted", || engine.stats().refused.messages == 1).await;
}

/// A server learns a moment later that a connection is gone, or that it has become a WebSocket.
async fn until_let_in(addr: SocketAddr) {
    let trying = async {
        while get(addr, OPEN).await.status != 200 {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    };
    soon(trying).await;
}

/// A connection that sends nothing.
async fn silent(addr: SocketAddr) -> TcpStream {
    soon(TcpStream::connect(addr)).await.expect("a connection")
}

#[tokio::test]
async fn connections_that_send_nothing_take_no_more_places_than_there_are() {
    let io = crate::server().max_connections(3).build().expect("a server");
    let addr = serve(&io).await;
    let held = [silent(addr).await, silent(addr).await, silent(addr).await];
    // Whoever comes now is told, without having asked anything.
    let mut fourth = silent(addr).await;
    let response = soon(Response::read(&mut fourth)).await.expect("a response");
    let body = r#"{"code":4,"message":"Too many connections"}"#;
    assert_eq!((response.status, response.body.as_str()), (503, body));
    assert_eq!(response.header("connection"), Some("close"));
    // Or having asked.
    assert_eq!(get(addr, OPEN).await.status, 503);
    assert_eq!(upgrade(addr, "").await.status, 503);
    assert_eq!(io.stats().refused.connections, 3);
    drop(held);
    until_let_in(addr).await;
}

#[tokio::test]
async fn a_websocket_takes_the_place_of_a_connection_only_until_it_is_one() {
    // One for the request before, of which the server may not know yet that it is over.
    let io = crate::server().max_connections(2).build().expect("a server");
    let addr = serve(&io).await;
    let mut joined = Vec::new();
    for _ in 0..4 {
        joined.push(Client::joined(addr).await);
        until_let_in(addr).await;
    }
    for client in &mut joined {
        client.emit(r#"["here"]"#).await;
    }
    until("all are served", || io.stats().events_in == 4).await;
}

#[tokio::test]
async fn a_websocket_that_no_session_uses_counts_as_a_connection() {
    let io = crate::server().max_connections(2).build().expect("a server");
    let addr = serve(&io).await;
    // The first place is that of a connection which opens a session, and stays.
    let mut poller = silent(addr).await;
    let open = format!("GET {OPEN} HTTP/1.1\r\nhost: test\r\n\r\n");
    poller.write_all(open.as_bytes()).await.expect("it is taken");
    let opened = soon(Response::read(&mut poller)).await.expect("a response");
    let sid = opened.body.split('"').nth(3).expect("a session");
    // The second one is that of the WebSocket which the session could move to.
    let target = format!("/socket.io/?EIO=4&transport=websocket&sid={sid}");
    let mut candidate = Client::upgraded(silent(addr).await, &target, "").await;
    candidate.raw("2probe").await.expect("it is taken");
    assert_eq!(candidate.packet().await, "3probe");
    for _ in 0..3 {
        assert_eq!(get(addr, OPEN).await.status, 503);
    }
    // It moves.
    candidate.raw("5").await.expect("it is taken");
    candidate.join("/", "").await;
    until_let_in(addr).await;
}

#[tokio::test]
async fn an_address_with_too_many_connections_gets_429() {
    let io = crate::server().max_connections_per_address(2).build().expect("a server");
    let addr = serve(&io).await;
    let (first, _second) = (silent(addr).await, silent(addr).await);
    let mut third = silent(addr).await;
    let response = soon(Response::read(&mut third)).await.expect("a response");
    let body = r#"{"code":4,"message":"Too many connections from this address"}"#;
    assert_eq!((response.status, response.body.as_str()), (429, body));
    assert_eq!(io.stats().refused.connections_per_address, 1);
    drop(first);
    until_let_in(addr).await;
}

#[tokio::test]
async fn stats_tell_what_happened_and_to_whom() {
    let builder = crate::server().max_rooms(1).max_pending_acks(1).max_namespaces(2).max_sessions(3);
    let io = builder.build().expect("a server");
    io.on("rooms", async |socket: Socket| {
        let _ = (socket.join("one"), socket.join("two"));
    })
    .on("asks", async |socket: Socket| {
        let first = socket.emit_with_ack("a", &(), Duration::from_secs(60));
        assert!(socket.emit_with_ack("b", &(), Duration::from_secs(60)).await.is_err());
        drop(first);
    });
    for name in ["/1", "/2"] {
        io.namespace(name);
    }
    let addr = serve(&io).await;
    let mut first = Client::joined(addr).await;
    assert_eq!(first.ask(r#"["rooms"]"#).await, "[]");
    first.send(r#"2["asks"]"#).await;
    first.expect(r#"20["a"]"#).await;
    let second = Client::joined(addr).await;
    let poller = Poller::joined(addr).await;
    assert_eq!(get(addr, OPEN).await.status, 503);
    assert_eq!(get(addr, "/socket.io/?EIO=4&transport=pigeon").await.status, 400);

    let stats = io.stats();
    assert_eq!((stats.sessions, stats.opened), (3, 3));
    assert_eq!((stats.events_in, stats.events_out), (2, 2));
    assert_eq!((stats.refused.sessions, stats.refused.bad_requests), (1, 1));
    assert_eq!((stats.refused.rooms, stats.refused.pending_acks), (1, 1));
    assert!(stats.closed.is_empty());
    assert!(stats.websocket_bytes_in > 0 && stats.websocket_bytes_out > 0);

    first.send_all(&["0/1,", "0/2,"]).await;
    drop(second);
    poller.post("1").await;
    until("all are gone", || io.stats().sessions == 0).await;
    let after = io.stats();
    assert_eq!((after.sessions, after.opened, after.events_in, after.events_out), (0, 3, 2, 2));
    assert_eq!(after.refused.namespaces, 1);
    let closed: Vec<_> = after.closed.into_iter().collect();
    assert_eq!(closed, [(DisconnectReason::TransportClose, 2), (DisconnectReason::ForcedClose, 1)]);
    assert!(after.websocket_bytes_in > stats.websocket_bytes_in);
}

#[tokio::test]
async fn dynamic_namespaces_that_are_empty_make_room_for_others() {
    let io = crate::server().max_dynamic_namespaces(3).build().expect("a server");
    io.dynamic_namespace("/d-*");
    let addr = serve(&io).await;
    let mut client = Client::joined(addr).await;
    client.join("/d-kept", "").await;
    for number in 0..20 {
        client.join(&format!("/d-{number}"), "").await;
        client.send(&format!("1/d-{number},")).await;
    }
    client.join("/d-a", "").await;
    client.join("/d-b", "").await;
    assert!(io.namespaces().len() <= 4, "{:?}", io.namespaces());
    // All of them are in use: the next one is refused, and those that exist are not.
    client.send("0/d-c,").await;
    client.expect(r#"4/d-c,{"message":"Invalid namespace"}"#).await;
    let mut other = Client::joined(addr).await;
    other.join("/d-kept", "").await;
    assert_eq!(io.namespace("/d-kept").len(), 2);
    assert_eq!(io.stats().refused.dynamic_namespaces, 1);
}

#[tokio::test]
async fn of_the_empty_dynamic_namespaces_the_longest_empty_one_makes_room() {
    let io = crate::server().max_dynamic_namespaces(3).build().expect("a server");
    io.dynamic_namespace("/d-*");
    let addr = serve(&io).await;
    let mut client = Client::joined(addr).await;
    for name in ["/d-a", "/d-b", "/d-c"] {
        client.join(name, "").await;
        client.send(&format!("1{name},")).await;
    }
    // In use again, though it was the first to be empty.
    client.join("/d-a", "").await;
    client.join("/d-d", "").await;
    let names = || io.namespaces().iter().map(|one| one.name().to_owned()).collect::<Vec<_>>();
    assert_eq!(names(), ["/", "/d-a", "/d-c", "/d-d"]);
    client.send("1/d-a,").await;
    client.join("/d-e", "").await;
    assert_eq!(names(), ["/", "/d-a", "/d-d", "/d-e"]);
    client.join("/d-f", "").await;
    assert_eq!(names(), ["/", "/d-d", "/d-e", "/d-f"]);
}

#[tokio::test]
async fn a_session_may_be_in_so_many_dynamic_namespaces() {
    let io = crate::server().max_dynamic_namespaces_per_session(2).build().expect("a server");
    io.namespace("/fixed");
    io.dynamic_namespace("/d-*");
    let addr = serve(&io).await;
    let mut client = Client::joined(addr).await;
    client.join("/d-a", "").await;
    client.join("/d-b", "").await;
    client.send("0/d-c,").await;
    client.expect(r#"4/d-c,{"message":"Invalid namespace"}"#).await;
    client.join("/fixed", "").await;
    client.send("1/d-a,").await;
    client.join("/d-c", "").await;
    assert_eq!(io.stats().refused.dynamic_namespaces, 1);
    Client::joined(addr).await.join("/d-a", "").await;
}
