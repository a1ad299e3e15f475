//! The server inside hosts, beside other servers, and without Socket.IO.

mod support;

use axum::extract::Request;
use axum::middleware::{Next, from_fn};
use axum::response::Response as AxumResponse;
use axum::routing::get;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use hyper_util::service::TowerToHyperService;
use sansocket_tokio::{
    DisconnectReason, EngineServer, EngineSocket, Extension, Listener, Message as EngineMessage, PeerAddr,
    Server, Socket,
};
use std::net::SocketAddr;
use support::{Client, Lines, Message, Poller, Response, log, send_request, soon, until};
use tokio::net::{TcpListener, TcpStream};

#[derive(Clone)]
struct User(&'static str);

async fn add_user(mut request: Request, next: Next) -> AxumResponse {
    request.extensions_mut().insert(User("ada"));
    next.run(request).await
}

fn server() -> Server {
    let io = Server::builder().build().expect("a server");
    io.namespace("/")
        .on("user", async |Extension(user): Extension<User>| user.0)
        .on("transport", async |socket: Socket| socket.transport_name())
        .on("peer", async |peer: Option<PeerAddr>| peer.is_some());
    io
}

async fn host(router: axum::Router) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let addr = listener.local_addr().expect("an address");
    tokio::spawn(async move { axum::serve(listener, router).await });
    addr
}

/// Polling, WebSocket, and the move from one to the other.
async fn all_transports_work(addr: SocketAddr, path: &str) {
    let target = format!("{path}?EIO=4&transport=websocket");
    let mut client = Client::connect_to(addr, &target, "").await;
    client.join("/", "").await;
    assert_eq!(client.ask(r#"["transport"]"#).await, r#"["websocket"]"#);

    let poller = Poller::connect_to(addr, path).await;
    poller.post("40").await;
    assert!(poller.poll().await[0].starts_with("40{"));
    poller.post(r#"421["transport"]"#).await;
    assert_eq!(poller.poll().await, [r#"431["polling"]"#]);

    let mut poll = TcpStream::connect(addr).await.expect("a connection");
    send_request(&mut poll, "GET", &poller.target, "", "").await;
    let stream = TcpStream::connect(addr).await.expect("a connection");
    let mut client = Client::upgraded(stream, &format!("{target}&sid={}", poller.sid), "").await;
    client.raw("2probe").await.expect("it is taken");
    assert_eq!(client.packet().await, "3probe");
    assert_eq!(soon(Response::read(&mut poll)).await.expect("a response").body, "6");
    client.raw("5").await.expect("it is taken");
    assert_eq!(client.ask(r#"["transport"]"#).await, r#"["websocket"]"#);
}

#[tokio::test]
async fn axum_mounts_it_as_a_layer() {
    let io = server();
    let routes = axum::Router::new().route("/page", get(async || "a page"));
    let addr = host(routes.layer(io.layer()).layer(from_fn(add_user))).await;
    all_transports_work(addr, "/socket.io/").await;
    assert_eq!(support::get(addr, "/page").await.body, "a page");
    assert_eq!(support::get(addr, "/else").await.status, 404);
    let mut client = Client::joined(addr).await;
    assert_eq!(client.ask(r#"["user"]"#).await, r#"["ada"]"#);
    assert_eq!(client.ask(r#"["peer"]"#).await, "[false]");
}

#[tokio::test]
async fn axum_nests_it_as_a_service() {
    let io = server();
    let routes = axum::Router::new()
        .route("/page", get(async || "a page"))
        .nest_service("/deep/down/", io.service())
        .layer(from_fn(add_user));
    let addr = host(routes).await;
    all_transports_work(addr, "/deep/down/").await;
    assert_eq!(support::get(addr, "/page").await.body, "a page");
    let target = "/deep/down/?EIO=4&transport=websocket";
    let mut client = Client::connect_to(addr, target, "").await;
    client.join("/", "").await;
    assert_eq!(client.ask(r#"["user"]"#).await, r#"["ada"]"#);
}

#[tokio::test]
async fn a_host_tells_the_peers_address_by_an_extension() {
    let io = server();
    let tell = async |mut request: Request, next: Next| {
        request.extensions_mut().insert(SocketAddr::from(([192, 0, 2, 1], 5)));
        next.run(request).await
    };
    let addr = host(axum::Router::new().layer(io.layer()).layer(from_fn(tell))).await;
    let mut client = Client::joined(addr).await;
    assert_eq!(client.ask(r#"["peer"]"#).await, "[true]");
}

#[tokio::test]
async fn hyper_utils_automatic_server_serves_it() {
    let io = server();
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let addr = listener.local_addr().expect("an address");
    let service = io.service();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let service = TowerToHyperService::new(service.clone());
            tokio::spawn(async move {
                let builder = auto::Builder::new(TokioExecutor::new());
                let _ = builder.serve_connection_with_upgrades(TokioIo::new(stream), service).await;
            });
        }
    });
    all_transports_work(addr, "/socket.io/").await;
}

#[tokio::test]
async fn a_host_without_upgrades_is_told_so_and_polling_works() {
    let io = server();
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let addr = listener.local_addr().expect("an address");
    let service = io.service();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let service = TowerToHyperService::new(service.clone());
            tokio::spawn(async move {
                // A host that drops the upgrade before the service sees it.
                let service =
                    hyper::service::service_fn(move |mut request: http::Request<hyper::body::Incoming>| {
                        request.extensions_mut().remove::<hyper::upgrade::OnUpgrade>();
                        hyper::service::Service::call(&service, request)
                    });
                let _ = hyper::server::conn::http1::Builder::new()
                    .serve_connection(TokioIo::new(stream), service)
                    .await;
            });
        }
    });
    let upgrade =
        "upgrade: websocket\r\nsec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n";
    let mut stream = TcpStream::connect(addr).await.expect("a connection");
    let head = format!(
        "GET /socket.io/?EIO=4&transport=websocket HTTP/1.1\r\nhost: x\r\nconnection: Upgrade\r\n{upgrade}\r\n"
    );
    tokio::io::AsyncWriteExt::write_all(&mut stream, head.as_bytes()).await.expect("it is taken");
    assert_eq!(soon(Response::read(&mut stream)).await.expect("a response").status, 400);
    assert_eq!(io.clients_count(), 0, "nothing is kept");
    Poller::joined(addr).await;
}

/// An Engine.IO server that echoes, and notes what happens.
fn engine() -> (EngineServer, Lines) {
    let (log, lines) = log();
    let (opened, closed) = (log.clone(), log);
    let engine = EngineServer::builder()
        .on_open(move |socket: EngineSocket| {
            let opened = opened.clone();
            async move { opened.note(format_args!("open {}", socket.transport_name())) }
        })
        .on_message(async |socket: EngineSocket, message: EngineMessage| match message {
            EngineMessage::Text(text) if text == "close" => socket.close(),
            message => drop(socket.send(message)),
        })
        .on_close(move |_, reason: DisconnectReason| {
            let closed = closed.clone();
            async move { closed.note(format_args!("closed: {reason}")) }
        })
        .build()
        .expect("a server");
    (engine, lines)
}

#[tokio::test]
async fn engine_io_alone_opens_exchanges_messages_and_closes() {
    let (engine, mut lines) = engine();
    let addr = engine.listen("127.0.0.1:0").await.expect("a port").local_addr();
    let mut client = Client::connect_to(addr, "/engine.io/?EIO=4&transport=websocket", "").await;
    let opened = lines.next().await;
    assert!(opened.starts_with("open "), "{opened}");
    client.send("hello").await;
    client.expect("hello").await;
    client.send_binary(&[1, 2, 3]).await;
    assert_eq!(client.binary().await, [1, 2, 3][..]);
    client.send("last").await;
    client.send("close").await;
    assert_eq!(client.rest().await, [Message::Text("last".into())]);
    lines.expect("closed: forced close").await;
    until("nothing is left", || engine.clients_count() == 0).await;

    let poller = Poller::connect_to(addr, "/engine.io/").await;
    lines.expect("open polling").await;
    poller.post("4one\x1e4two\x1ebAQI=").await;
    assert_eq!(poller.poll().await, ["4one", "4two", "bAQI="]);
    poller.post("1").await;
    lines.expect("closed: transport close").await;
}

#[tokio::test]
async fn two_servers_share_a_port() {
    let io = server();
    let (engine, _lines) = engine();
    let listener = Listener::bind("127.0.0.1:0").await.expect("a port").mount(&io).mount(&engine);
    let addr = listener.spawn().expect("an address").local_addr();
    all_transports_work(addr, "/socket.io/").await;
    let mut client = Client::connect_to(addr, "/engine.io/?EIO=4&transport=websocket", "").await;
    client.send("hello").await;
    client.expect("hello").await;
}
