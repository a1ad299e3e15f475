//! A handler's panic: the things that it ends, and those that it does not.

use crate::sansocket::{DisconnectReason, Server, Socket, State};
use crate::suite::support::{Client, Lines, Log, logged, serve, until};
use std::net::SocketAddr;
use std::sync::Arc;
use tokio::sync::Notify;

/// Panics, in a way of which the compiler does not know that nothing follows.
fn fail(message: &str) {
    panic!("{message}");
}

/// A server on which much panics, one client with two namespaces, and another client.
async fn stage() -> (Server, Lines, Client, Client) {
    let (io, lines) = logged(crate::server());
    io.namespace("/")
        .on("at once", async || -> u32 { panic!("at once") })
        .on("before", |_: Socket| {
            fail("before its future");
            async {}
        })
        .on("later", async || -> u32 {
            tokio::task::yield_now().await;
            panic!("later")
        })
        .on_concurrent("apart", async || {
            tokio::task::yield_now().await;
            fail("apart");
        })
        .on("fine", async || "fine")
        .on_disconnect(async |reason: DisconnectReason, State(log): State<Log>| log.note(reason));
    io.namespace("/other").on("fine", async || "other");
    io.namespace("/no entry").on_connect(async || fail("in on_connect"));
    io.namespace("/no exit").on_disconnect(async |State(log): State<Log>| {
        log.note("leaving");
        tokio::task::yield_now().await;
        fail("in on_disconnect");
    });
    let addr: SocketAddr = serve(&io).await;
    let mut client = Client::joined(addr).await;
    client.join("/other", "").await;
    let other = Client::joined(addr).await;
    (io, lines, client, other)
}

async fn all_else_lives_on(client: &mut Client, other: &mut Client) {
    client.send(r#"2/other,1["fine"]"#).await;
    client.expect(r#"3/other,1["other"]"#).await;
    assert_eq!(other.ask(r#"["fine"]"#).await, r#"["fine"]"#);
}

/// The server ends the connection and disconnects no namespace, so that the official clients connect again by themselves:
/// this one does so too.
async fn comes_back(mut client: Client) -> Client {
    let addr = client.stream.peer_addr().expect("an address");
    client.gone().await;
    let mut client = Client::joined(addr).await;
    client.join("/other", "").await;
    client
}

#[tokio::test]
async fn a_panic_closes_its_own_connection_only() {
    for event in ["at once", "before", "later", "apart"] {
        let (io, mut lines, mut client, mut other) = stage().await;
        client.send(&format!(r#"25["{event}"]"#)).await;
        let error = lines.next().await;
        assert!(error.starts_with("error: the handler panicked: "), "{error}");
        lines.expect("handler panic").await;
        until("the hub forgets it", || io.namespace("/").len() == 1).await;
        let mut client = comes_back(client).await;
        all_else_lives_on(&mut client, &mut other).await;
        assert_eq!(client.ask(r#"["fine"]"#).await, r#"["fine"]"#);
    }
}

#[tokio::test]
async fn a_panic_after_the_client_has_left_takes_nothing_from_the_disconnect_handler() {
    let go = Arc::new(Notify::new());
    let (io, mut lines) = logged(crate::server().state(go.clone()));
    io.on("join", async |socket: Socket, State(go): State<Arc<Notify>>, State(log): State<Log>| {
        socket.join("kitchen").expect("there is room");
        log.note("joined");
        go.notified().await;
        fail("too late");
    });
    io.on_disconnecting(async |socket: Socket, reason: DisconnectReason, State(log): State<Log>| {
        log.note(format_args!("{} {reason}", socket.rooms().join(" in ").len()));
        assert!(socket.rooms().iter().any(|room| **room == *"kitchen"), "{:?}", socket.rooms());
        fail("once more");
    });
    let mut client = Client::joined(serve(&io).await).await;
    client.emit(r#"["join"]"#).await;
    lines.expect("joined").await;
    let socket = io.root().sockets().pop().expect("it has joined");
    drop(client);
    until("the server hears that it has left", || !socket.is_connected()).await;
    go.notify_one();
    lines.expect("error: the handler panicked: too late").await;
    lines.expect("31 transport close").await;
    lines.expect("error: the handler panicked: once more").await;
    until("the hub forgets it", || io.root().is_empty()).await;
    until("the session ends", || io.clients_count() == 0).await;
}

#[tokio::test]
async fn events_queued_behind_a_panic_are_not_handled() {
    let (io, mut lines, mut client, mut other) = stage().await;
    io.namespace("/").on("note", async |State(log): State<Log>| log.note("handled"));
    // In one write: an event that came only after the disconnect would end the session, as in the reference.
    client.send_all(&[r#"2["later"]"#, r#"2["note"]"#]).await;
    until("the hub forgets it", || io.namespace("/").len() == 1).await;
    let mut client = comes_back(client).await;
    all_else_lives_on(&mut client, &mut other).await;
    let lines = lines.drain();
    assert_eq!(lines[0], "error: the handler panicked: later");
    assert_eq!(lines[lines.len() - 1], "handler panic");
}

#[tokio::test]
async fn a_panic_in_on_connect_refuses_the_client() {
    let (io, mut lines, mut client, mut other) = stage().await;
    client.send("0/no entry,").await;
    client.expect(r#"4/no entry,{"message":"Internal server error"}"#).await;
    lines.expect("error: the handler panicked: in on_connect").await;
    assert!(io.namespace("/no entry").is_empty());
    all_else_lives_on(&mut client, &mut other).await;
}

#[tokio::test]
async fn a_panic_in_on_disconnect_leaves_nothing_behind() {
    let (io, mut lines, mut client, mut other) = stage().await;
    client.join("/no exit", "").await;
    client.send("1/no exit,").await;
    lines.expect("leaving").await;
    lines.expect("error: the handler panicked: in on_disconnect").await;
    until("the hub forgets it", || io.namespace("/no exit").is_empty()).await;
    all_else_lives_on(&mut client, &mut other).await;
    // And with the whole connection.
    client.join("/no exit", "").await;
    drop(client);
    while lines.next().await != "leaving" {}
    until("the hub forgets it", || io.namespace("/no exit").is_empty() && io.clients_count() == 1).await;
    assert_eq!(other.ask(r#"["fine"]"#).await, r#"["fine"]"#);
}

#[tokio::test]
async fn a_panic_in_on_connected_or_in_a_conversion_closes_the_connection() {
    #[derive(Clone)]
    struct Fragile;

    impl serde::Serialize for Fragile {
        fn serialize<S: serde::Serializer>(&self, _: S) -> Result<S::Ok, S::Error> {
            panic!("while it is written")
        }
    }

    impl<'de> serde::Deserialize<'de> for Fragile {
        fn deserialize<D: serde::Deserializer<'de>>(_: D) -> Result<Self, D::Error> {
            panic!("while it is read")
        }
    }

    let (io, mut lines, mut client, mut other) = stage().await;
    io.namespace("/hello").on_connected(async || fail("in on_connected"));
    client.join("/hello", "").await;
    lines.expect("error: the handler panicked: in on_connected").await;
    lines.expect("handler panic").await;
    client = comes_back(client).await;
    io.namespace("/")
        .on("write", async || crate::sansocket::Data(Fragile))
        .on("read", async |_: crate::sansocket::Data<Fragile>| {});
    for (event, error) in [("write", "while it is written"), ("read", "while it is read")] {
        client.send(&format!(r#"25["{event}",1]"#)).await;
        lines.expect(&format!("error: the handler panicked: {error}")).await;
        lines.expect("handler panic").await;
        client = comes_back(client).await;
    }
    all_else_lives_on(&mut client, &mut other).await;
}

#[tokio::test]
async fn a_panic_of_the_error_hook_harms_nobody() {
    let io = crate::server().build().expect("a server");
    io.on_error(|_, _| fail("in the hook"));
    io.namespace("/")
        .on("wrong", async || Err::<(), _>("wrong"))
        .on("fine", async || "fine")
        .on("worse", async || fail("worse"));
    let addr = serve(&io).await;
    let mut client = Client::joined(addr).await;
    client.emit(r#"["wrong"]"#).await;
    assert_eq!(client.ask(r#"["fine"]"#).await, r#"["fine"]"#);
    client.emit(r#"["worse"]"#).await;
    client.gone().await;
    let mut client = Client::joined(addr).await;
    assert_eq!(client.ask(r#"["fine"]"#).await, r#"["fine"]"#);
}
