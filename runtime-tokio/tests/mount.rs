//! The server inside hosts, which are tokio's.

#[path = "../../socket-tests/support.rs"]
mod support;

use sansocket_tokio as sansocket;

use axum::extract::{ConnectInfo, Request};
use axum::middleware::{Next, from_fn, map_request};
use axum::response::Response as AxumResponse;
use axum::routing::get;
use http_body_util::Full;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use hyper_util::service::TowerToHyperService;
use sansocket_tokio::{Bytes, Extension, Overflow, PeerAddr, Server, Socket};
use std::future::Future;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Wake};
use std::time::Duration;
use support::{Client, Poller, Response, all_transports_work, soon};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;
use tower_service::Service;

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
        .on("transport", async |socket: Socket| socket.transport().as_str())
        .on("peer", async |peer: Option<PeerAddr>| peer.is_some());
    io
}

async fn host(router: axum::Router) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let addr = listener.local_addr().expect("an address");
    tokio::spawn(async move { axum::serve(listener, router).await });
    addr
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
async fn axums_graceful_shutdown_takes_the_clients_along() {
    let io = server();
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let addr = listener.local_addr().expect("an address");
    let patience = Duration::from_secs(20);
    let served = axum::serve(listener, axum::Router::new().layer(io.layer()))
        .with_graceful_shutdown(io.shutdown_on(stopped, patience));
    let served = tokio::spawn(async move { served.await });
    let mut client = Client::joined(addr).await;
    let poller = Poller::joined(addr).await;
    let pending = tokio::spawn(async move { poller.poll().await });
    stop.send(()).expect("it is awaited");
    // Neither the pending poll nor the WebSocket holds it up, or is cut off.
    // A noop comes before it if the poll has arrived after the signal.
    assert_eq!(soon(pending).await.expect("no panic").last().map(String::as_str), Some("1"));
    client.gone().await;
    soon(served).await.expect("no panic").expect("it ends well");
    assert_eq!(io.clients_count(), 0);
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
async fn the_peers_address_that_axum_knows_is_handed_on_in_one_line() {
    let io = server();
    io.on("address", async |PeerAddr(peer): PeerAddr| peer.to_string());
    let tell = async |ConnectInfo(peer): ConnectInfo<SocketAddr>, mut request: Request| {
        request.extensions_mut().insert(peer);
        request
    };
    let router = axum::Router::new().layer(io.layer()).layer(map_request(tell));
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let addr = listener.local_addr().expect("an address");
    let service = router.into_make_service_with_connect_info::<SocketAddr>();
    tokio::spawn(async move { axum::serve(listener, service).await });
    let mut client = Client::joined(addr).await;
    let here = client.stream.local_addr().expect("an address");
    assert_eq!(client.ask(r#"["address"]"#).await, format!(r#"["{here}"]"#));
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

#[tokio::test]
async fn new_sessions_are_refused_by_a_host_that_goes_on() {
    let io = server();
    let router = axum::Router::new().layer(io.layer());
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let addr = listener.local_addr().expect("an address");
    let host = tokio::spawn(async move { axum::serve(listener, router).await });
    let mut client = Client::joined(addr).await;
    let shutdown = tokio::spawn({
        let io = io.clone();
        async move { io.shutdown(Duration::from_secs(10)).await }
    });
    client.rest().await;
    soon(shutdown).await.expect("no panic");
    let response = support::get(addr, "/socket.io/?EIO=4&transport=polling").await;
    assert_eq!(response.status, 503, "{response:?}");
    host.abort();
}

/// A task that only notes that it was woken.
#[derive(Default)]
struct Woken(Notify);

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.0.notify_one();
    }
}

#[tokio::test]
async fn an_answer_counts_before_the_host_has_taken_it_over() {
    const BUDGET: usize = 100_000;
    let builder = Server::builder().max_payload(BUDGET).send_budget(BUDGET).overflow(Overflow::Fail);
    let io = builder.build().expect("a server");
    let poller = Poller::joined(support::serve(&io).await).await;
    let socket = io.root().sockets().pop().expect("the socket");
    let is_full = || socket.emit("more", &"x".repeat(2000)).is_err();
    socket.emit("large", &"x".repeat(BUDGET - 1000)).expect("there is room");
    assert!(is_full());

    let request = Request::get(&poller.target).body(Full::<Bytes>::default()).expect("a request");
    let mut service = io.service();
    let mut answer = pin!(service.call(request));
    let woken = Arc::<Woken>::default();
    let waker = woken.clone().into();
    assert!(answer.as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
    soon(woken.0.notified()).await;
    assert!(is_full(), "the session has answered, and nobody has looked");
    let response = soon(answer).await.expect("an answer");
    assert_eq!(response.status(), 200);
    assert!(is_full());
    drop(response);
    assert!(!is_full());
}

#[tokio::test]
async fn a_session_counts_until_its_answers_are_written() {
    let io = Server::builder().max_sessions(1).build().expect("a server");
    let addr = support::serve(&io).await;
    let poller = Poller::joined(addr).await;
    io.emit("large", &"x".repeat(10_000)).expect("encoded");
    let request = Request::get(&poller.target).body(Full::<Bytes>::default()).expect("a request");
    let response = soon(io.service().call(request)).await.expect("an answer");
    poller.post("1").await;
    let handshake = || support::get(addr, "/socket.io/?EIO=4&transport=polling");
    for _ in 0..3 {
        assert_eq!(handshake().await.status, 503);
    }
    let late = support::get(addr, &poller.target).await;
    assert_eq!((late.status, &*late.body), (400, r#"{"code":1,"message":"Session ID unknown"}"#));
    drop(response);
    support::until("the session is over", || io.clients_count() == 0).await;
    assert_eq!(handshake().await.status, 200);
}
