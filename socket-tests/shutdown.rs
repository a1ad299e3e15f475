//! A shutdown: the work that it lets finish, and the work that it cuts.

use crate::sansocket::{DisconnectReason, Server, State};
use crate::suite::support::{
    Client, Lines, Log, Message, Poller, Response, get, logged, send_request, serve, soon, until,
};
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::sync::Notify;

#[tokio::test]
async fn clients_get_what_is_queued_and_a_close() {
    let (io, mut lines) = logged(crate::server());
    io.namespace("/")
        .on_disconnect(async |reason: DisconnectReason, State(log): State<Log>| log.note(reason));
    let listening = io.listen("127.0.0.1:0").await.expect("a port");
    let addr = listening.local_addr();
    let mut client = Client::joined(addr).await;
    let waiting = Client::joined(addr).await;
    for number in 0..3 {
        io.emit("queued", &number).expect("encoded");
    }
    let shutdown = tokio::spawn({
        let io = io.clone();
        async move { io.shutdown(Duration::from_secs(10)).await }
    });
    let rest = client.rest().await;
    let queued: Vec<_> = (0..3).map(|number| Message::Text(format!(r#"2["queued",{number}]"#))).collect();
    assert_eq!(rest[..3], queued);
    drop(waiting);
    soon(shutdown).await.expect("no panic");
    soon(listening.wait()).await;
    for _ in 0..2 {
        lines.expect("server shutting down").await;
    }
    assert_eq!(io.clients_count(), 0);
    assert!(TcpStream::connect(addr).await.is_err(), "it accepts no more");
}

#[tokio::test]
async fn a_poll_that_waits_is_told_of_the_close() {
    let (io, mut lines) = logged(crate::server());
    io.namespace("/")
        .on_disconnect(async |reason: DisconnectReason, State(log): State<Log>| log.note(reason));
    let addr = serve(&io).await;
    let poller = Poller::joined(addr).await;
    let mut poll = TcpStream::connect(addr).await.expect("a connection");
    send_request(&mut poll, "GET", &poller.target, "", "").await;
    // By the time another client has come, the poll has too.
    let mut client = Client::joined(addr).await;
    let shutdown = tokio::spawn({
        let io = io.clone();
        async move { io.shutdown(Duration::from_secs(3600)).await }
    });
    client.rest().await;
    let packets = soon(Response::read(&mut poll)).await.expect("a response").body;
    assert_eq!(packets, "1");
    soon(shutdown).await.expect("no panic");
    assert_eq!(lines.drain(), ["server shutting down"; 2]);
}

#[tokio::test]
async fn handlers_finish_and_their_answers_arrive() {
    let go = Arc::new(Notify::new());
    let (io, mut lines) = logged(crate::server().state(go.clone()));
    io.namespace("/")
        .on("work", async |State(go): State<Arc<Notify>>, State(log): State<Log>| {
            log.note("begun");
            go.notified().await;
            log.note("finished");
        })
        .on_disconnect(async |State(log): State<Log>| log.note("disconnected"));
    let mut client = Client::joined(serve(&io).await).await;
    client.emit(r#"["work"]"#).await;
    lines.expect("begun").await;
    let shutdown = tokio::spawn({
        let io = io.clone();
        async move { io.shutdown(Duration::from_secs(3600)).await }
    });
    client.rest().await;
    assert!(!shutdown.is_finished());
    go.notify_one();
    lines.expect("finished").await;
    lines.expect("disconnected").await;
    soon(shutdown).await.expect("no panic");
}

#[tokio::test]
async fn a_client_between_two_polls_fetches_its_rest() {
    let (io, mut lines) = logged(crate::server());
    io.on_disconnect(async |reason: DisconnectReason, State(log): State<Log>| log.note(reason));
    let listening = io.listen("127.0.0.1:0").await.expect("a port");
    let addr = listening.local_addr();
    let poller = Poller::joined(addr).await;
    io.emit("queued", &1).expect("encoded");
    let shutdown = tokio::spawn({
        let io = io.clone();
        async move { io.shutdown(Duration::from_secs(3600)).await }
    });
    lines.expect("server shutting down").await;
    // Each request comes on a connection of its own.
    let refused = get(addr, "/socket.io/?EIO=4&transport=polling").await;
    assert_eq!(refused.status, 503);
    assert_eq!(poller.poll().await, [r#"42["queued",1]"#]);
    assert!(!shutdown.is_finished());
    assert_eq!(poller.poll().await, ["6", "1"]);
    soon(shutdown).await.expect("no panic");
    soon(listening.wait()).await;
    assert!(TcpStream::connect(addr).await.is_err(), "it accepts no more");
}

#[tokio::test]
async fn a_listener_that_is_stopped_before_frees_its_port_at_once() {
    let (io, _lines) = logged(crate::server());
    let listening = io.listen("127.0.0.1:0").await.expect("a port");
    let addr = listening.local_addr();
    let _poller = Poller::joined(addr).await;
    listening.stop();
    soon(listening.wait()).await;
    assert!(TcpStream::connect(addr).await.is_err(), "it accepts no more");
    assert_eq!(io.clients_count(), 1);
}

/// A server whose concurrent handler waits, and a client that has called it.
async fn at_work(go: Arc<Notify>) -> (Server, Lines, Client) {
    struct Note(Log);
    impl Drop for Note {
        fn drop(&mut self) {
            self.0.note("gone");
        }
    }
    let (io, mut lines) = logged(crate::server().state(go));
    io.on_concurrent("work", async |State(go): State<Arc<Notify>>, State(log): State<Log>| {
        let log = Note(log);
        log.0.note("begun");
        go.notified().await;
        log.0.note("finished");
    });
    let mut client = Client::joined(serve(&io).await).await;
    client.emit(r#"["work"]"#).await;
    lines.expect("begun").await;
    (io, lines, client)
}

#[tokio::test]
async fn concurrent_handlers_are_waited_for() {
    let go = Arc::new(Notify::new());
    let (io, mut lines, mut client) = at_work(go.clone()).await;
    let shutdown = tokio::spawn({
        let io = io.clone();
        async move { io.shutdown(Duration::from_secs(3600)).await }
    });
    client.rest().await;
    until("the session has ended", || io.clients_count() == 0).await;
    assert!(!shutdown.is_finished());
    go.notify_one();
    soon(shutdown).await.expect("no panic");
    assert_eq!(lines.drain(), ["finished", "gone"]);
}

#[tokio::test]
async fn the_deadline_cuts_concurrent_handlers() {
    let (io, mut lines, _client) = at_work(Arc::default()).await;
    soon(io.shutdown(Duration::from_millis(50))).await;
    assert_eq!(lines.drain(), ["gone"]);
}

#[tokio::test]
async fn the_deadline_cuts_clients_that_fetch_nothing() {
    let (io, mut lines) = logged(crate::server());
    io.namespace("/")
        .on_disconnect(async |reason: DisconnectReason, State(log): State<Log>| log.note(reason));
    let addr = serve(&io).await;
    let _poller = Poller::joined(addr).await;
    io.emit("queued", &1).expect("encoded");
    soon(io.shutdown(Duration::from_millis(50))).await;
    lines.expect("server shutting down").await;
    until("the session is cut", || io.clients_count() == 0).await;
}

#[tokio::test]
async fn the_deadline_does_not_wait_for_a_handler_that_hangs() {
    let (io, mut lines) = logged(crate::server());
    io.namespace("/").on("hang", async |State(log): State<Log>| {
        log.note("begun");
        std::future::pending::<()>().await;
    });
    let mut client = Client::joined(serve(&io).await).await;
    client.emit(r#"["hang"]"#).await;
    lines.expect("begun").await;
    soon(io.shutdown(Duration::from_millis(50))).await;
    client.rest().await;
}

#[tokio::test]
async fn a_server_without_clients_shuts_down_at_once_and_twice() {
    let (io, _lines) = logged(crate::server());
    let listening = io.listen("127.0.0.1:0").await.expect("a port");
    soon(io.shutdown(Duration::from_secs(3600))).await;
    soon(io.shutdown(Duration::from_secs(3600))).await;
    soon(listening.wait()).await;
}

#[tokio::test]
async fn patience_without_end_is_a_duration_too() {
    let max = Duration::MAX;
    let builder =
        crate::server().first_head_timeout(max).head_timeout(max).body_timeout(max).write_timeout(max);
    let (io, mut lines) = logged(builder.ping_interval(max).ping_timeout(max));
    io.on_disconnect(async |reason: DisconnectReason, State(log): State<Log>| log.note(reason));
    let addr = serve(&io).await;
    let poller = Poller::joined(addr).await;
    let mut client = Client::joined(addr).await;
    let shutdown = tokio::spawn({
        let io = io.clone();
        async move { io.shutdown(max).await }
    });
    client.rest().await;
    assert_eq!(poller.poll().await, ["6", "1"]);
    soon(shutdown).await.expect("no panic");
    assert_eq!(lines.drain(), ["server shutting down"; 2]);
}
