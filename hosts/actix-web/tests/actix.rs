//! A server inside actix-web, on real sockets and several workers.

#[path = "../../../socket-tests/support.rs"]
mod support;

use sansocket_tokio as sansocket;

use actix_web::dev::{ServerHandle, Service};
use actix_web::{App, HttpMessage, HttpRequest, HttpServer, web};
use sansocket_tokio::{
    Bytes, Data, DisconnectReason, EngineServer, Extension, Handshake, PeerAddr, Server, Socket, State,
};
use std::net::SocketAddr;
use std::time::Duration;
use support::{Client, Log, Message, Poller, all_transports_work, get, logged, request, soon, until};
use tokio::net::TcpStream;

const WEBSOCKET: &str = "/socket.io/?EIO=4&transport=websocket";

#[derive(Clone)]
struct User(&'static str);

fn server() -> Server {
    let io = Server::builder().max_payload(3_000_000).serve_client_bundle().build().expect("a server");
    io.namespace("/")
        .on("transport", async |socket: Socket| socket.transport().as_str())
        .on("user", async |Extension(user): Extension<User>| user.0)
        .on("peer", async |PeerAddr(peer): PeerAddr| peer.to_string())
        .on("agent", async |handshake: Handshake| {
            handshake.headers().get("user-agent").map(|agent| agent.to_str().unwrap_or("").to_owned())
        })
        .on("echo", async |Data(bytes): Data<Bytes>| bytes)
        .on("all", async |socket: Socket, Data(text): Data<String>| socket.namespace().emit("all", &text));
    io
}

/// An application of two workers, with a page of its own, and middleware that knows the user.
async fn host(io: &Server) -> (SocketAddr, ServerHandle) {
    let io = io.clone();
    let server = HttpServer::new(move || {
        let mounted = sansocket_actix_web::mount(&io).extensions(|request: &HttpRequest, extensions| {
            if let Some(user) = request.extensions().get::<User>() {
                extensions.insert(user.clone());
            }
        });
        App::new()
            .wrap_fn(|request, service| {
                request.extensions_mut().insert(User("ada"));
                service.call(request)
            })
            .service(mounted)
            .route("/page", web::get().to(async || "a page"))
    });
    let server = server.workers(2).disable_signals().bind("127.0.0.1:0").expect("a port");
    let addr = server.addrs()[0];
    let running = server.run();
    let handle = running.handle();
    tokio::spawn(running);
    (addr, handle)
}

#[tokio::test]
async fn every_transport_works_beside_the_applications_routes() {
    let (addr, handle) = host(&server()).await;
    all_transports_work(addr, "/socket.io/").await;
    assert_eq!(get(addr, "/page").await.body, "a page");
    assert_eq!(get(addr, "/else").await.status, 404);
    let script = get(addr, "/socket.io/socket.io.js").await;
    assert!(script.body.starts_with("/*!\n * Socket.IO v4"), "{} {:.40}", script.status, script.body);
    handle.stop(false).await;
}

#[tokio::test]
async fn handlers_see_the_request_as_actix_web_has_read_it() {
    let (addr, handle) = host(&server()).await;
    let mut client = Client::connect_to(addr, WEBSOCKET, "user-agent: a test\r\n").await;
    client.join("/", "").await;
    let here = client.stream.local_addr().expect("an address");
    assert_eq!(client.ask(r#"["peer"]"#).await, format!(r#"["{here}"]"#));
    assert_eq!(client.ask(r#"["agent"]"#).await, r#"["a test"]"#);
    assert_eq!(client.ask(r#"["user"]"#).await, r#"["ada"]"#);
    handle.stop(false).await;
}

#[tokio::test]
async fn broadcasts_reach_the_sockets_of_all_workers() {
    let (addr, handle) = host(&server()).await;
    let mut clients = Vec::new();
    for _ in 0..8 {
        clients.push(Client::joined(addr).await);
    }
    let poller = Poller::joined(addr).await;
    clients[0].send(r#"2["all","tea"]"#).await;
    for client in &mut clients {
        client.expect(r#"2["all","tea"]"#).await;
    }
    assert_eq!(poller.poll().await, [r#"42["all","tea"]"#]);
    handle.stop(false).await;
}

#[tokio::test]
async fn large_messages_pass_whole_in_both_directions() {
    let (addr, handle) = host(&server()).await;
    let mut client = Client::joined(addr).await;
    let bytes: Vec<u8> = (0..2_000_000_u32).map(|at| (at % 251) as u8).collect();
    client.send(r#"51-7["echo",{"_placeholder":true,"num":0}]"#).await;
    client.send_binary(&bytes).await;
    client.expect(r#"61-7[{"_placeholder":true,"num":0}]"#).await;
    assert!(client.binary().await == bytes);
    handle.stop(false).await;
}

#[tokio::test]
async fn what_is_too_large_or_wrong_is_refused_in_the_usual_words() {
    let io = Server::builder().max_payload(100).build().expect("a server");
    let (addr, handle) = host(&io).await;
    let poller = Poller::joined(addr).await;
    let large = request(addr, "POST", &poller.target, "", &"4".repeat(101)).await;
    assert_eq!(large.status, 413);
    let unknown = get(addr, "/socket.io/?EIO=4&transport=polling&sid=none").await;
    assert_eq!((unknown.status, &*unknown.body), (400, r#"{"code":1,"message":"Session ID unknown"}"#));
    // A handshake whose key is no key is answered, and leaves nothing behind.
    let before = io.clients_count();
    let upgrade =
        "connection: Upgrade\r\nupgrade: websocket\r\nsec-websocket-version: 13\r\nsec-websocket-key: no\r\n";
    assert_eq!(request(addr, "GET", WEBSOCKET, upgrade, "").await.status, 400);
    assert_eq!(io.clients_count(), before);
    handle.stop(false).await;
}

#[tokio::test]
async fn a_client_that_goes_away_is_gone_at_once() {
    let (io, mut lines) = logged(Server::builder());
    io.on_disconnect(async |reason: DisconnectReason, State(log): State<Log>| {
        log.note(format_args!("{reason:?}"))
    });
    let (addr, handle) = host(&io).await;
    drop(Client::joined(addr).await);
    lines.expect("TransportClose").await;
    until("no session is left", || io.clients_count() == 0).await;
    handle.stop(false).await;
}

#[tokio::test]
async fn a_shutdown_tells_the_clients_before_the_host_ends() {
    let io = server();
    let (addr, handle) = host(&io).await;
    let mut client = Client::joined(addr).await;
    client.send(r#"2["all","last"]"#).await;
    client.expect(r#"2["all","last"]"#).await;
    let shutdown = tokio::spawn({
        let io = io.clone();
        async move { io.shutdown(Duration::from_secs(30)).await }
    });
    client.gone().await;
    soon(shutdown).await.expect("no panic");
    soon(handle.stop(true)).await;
    assert!(TcpStream::connect(addr).await.is_err(), "the port is free");
}

#[tokio::test]
async fn a_plain_engine_server_is_mounted_beside_it() {
    let engine = EngineServer::builder()
        .on_message(async |socket: sansocket::EngineSocket, message: sansocket::Message| {
            let _ = socket.send(message);
        })
        .build()
        .expect("a server");
    let io = server();
    let both = (io.clone(), engine.clone());
    let server = HttpServer::new(move || {
        let (io, engine) = &both;
        App::new().service(sansocket_actix_web::mount(engine)).service(sansocket_actix_web::mount(io))
    });
    let server = server.workers(1).disable_signals().bind("127.0.0.1:0").expect("a port");
    let addr = server.addrs()[0];
    let running = server.run();
    let handle = running.handle();
    tokio::spawn(running);
    Client::joined(addr).await;
    let mut client = Client::connect_to(addr, "/engine.io/?EIO=4&transport=websocket", "").await;
    client.raw("4hello").await.expect("it is taken");
    assert_eq!(client.next().await, Some(Message::Text("hello".into())));
    handle.stop(false).await;
}
