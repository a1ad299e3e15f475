//! The examples at work: real clients on real sockets, by polling and by WebSocket.

#[allow(dead_code)]
#[path = "../examples/axum_service.rs"]
mod axum_service;
#[allow(dead_code)]
#[path = "../examples/axum_sessions.rs"]
mod axum_sessions;
#[allow(dead_code)]
#[path = "../examples/salvo.rs"]
mod salvo_service;

use sansocket_tokio::{Client, ConnectError, ServerRefusal, TransportKind};
use std::net::SocketAddr;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

const TRANSPORTS: [TransportKind; 2] = [TransportKind::Polling, TransportKind::WebSocket];

/// The response to a request, as text.
async fn request(addr: SocketAddr, line: &str, body: &str) -> String {
    request_with(addr, line, "", body).await
}

async fn request_with(addr: SocketAddr, line: &str, headers: &str, body: &str) -> String {
    let mut stream = tokio::net::TcpStream::connect(addr).await.unwrap();
    let head = format!(
        "{line} HTTP/1.1\r\nhost: {addr}\r\nconnection: close\r\n{headers}content-length: {}",
        body.len()
    );
    let request = format!("{head}\r\ncontent-type: application/json\r\n\r\n{body}");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut response = String::new();
    soon(stream.read_to_string(&mut response)).await.unwrap();
    response
}

/// A client of that server, by one transport.
fn client(addr: SocketAddr, transport: TransportKind, token: &str) -> Client {
    let builder = Client::builder(&format!("http://{addr}")).transports([transport]).reconnection(false);
    builder.auth(&serde_json::json!({ "token": token })).build().unwrap()
}

/// Longer than anything here takes.
async fn soon<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(60), future).await.expect("it happens")
}

#[tokio::test]
async fn the_service_on_axum_lets_tokens_in_tells_users_and_ends_in_good_order() {
    let (io, router) = axum_service::service("a key of this test", Duration::from_secs(900)).unwrap();
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    let (end, ended) = tokio::sync::oneshot::channel::<()>();
    let shutdown = io.shutdown_on(ended, Duration::from_secs(30));
    let serving = tokio::spawn(async move {
        axum::serve(listener, router).with_graceful_shutdown(shutdown).await.unwrap();
    });

    let refused = request(addr, "POST /login", r#"{"name":"ada","password":"guess"}"#).await;
    assert!(refused.starts_with("HTTP/1.1 401"), "{refused}");
    let answer = request(addr, "POST /login", r#"{"name":"ada","password":"lovelace"}"#).await;
    let (head, token) = answer.split_once("\r\n\r\n").unwrap();
    assert!(head.starts_with("HTTP/1.1 200") && head.contains("x-request-id: "), "{head}");
    let refused = request(addr, "GET /socket.io/?EIO=4&transport=pigeon", "").await;
    assert!(
        refused.starts_with("HTTP/1.1 400") && refused.contains("x-request-id: "),
        "the layers see it: {refused}"
    );

    let mut clients = Vec::new();
    for transport in TRANSPORTS {
        match soon(client(addr, transport, "forged").connect()).await {
            Err(ConnectError::Refused(refusal)) => {
                assert_eq!(ServerRefusal::message(&refusal), "token expired")
            }
            answer => panic!("{answer:?}"),
        }
        let client = client(addr, transport, token);
        let events = client.events();
        soon(client.connect()).await.unwrap();
        let (user, id): (Option<String>, Option<String>) = soon(client.call("whoami", &())).await.unwrap();
        assert_eq!(user.as_deref(), Some("ada"));
        assert_eq!(id.map(|id| id.len()), Some(36), "the id of the handshake's request");
        clients.push((client, events));
    }
    let told = request(addr, "POST /notify/ada/hello", "").await;
    assert!(told.starts_with("HTTP/1.1 200"), "{told}");
    for (_, events) in &mut clients {
        let event = soon(events.next()).await.unwrap();
        assert_eq!((&*event.event, event.decode::<String>().unwrap()), ("note", "hello".to_owned()));
    }

    end.send(()).unwrap();
    soon(serving).await.unwrap();
    for (client, _) in clients {
        soon(client.closed()).await;
    }
}

#[tokio::test]
async fn a_connection_to_the_service_on_axum_ends_with_its_token() {
    let (_, router) = axum_service::service("a key of this test", Duration::from_secs(5)).unwrap();
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    tokio::spawn(async move { axum::serve(listener, router).await });
    // On a machine that stands still, a token may be over before it is used.
    let client = loop {
        let answer = request(addr, "POST /login", r#"{"name":"ada","password":"lovelace"}"#).await;
        let client = client(addr, TransportKind::WebSocket, answer.split_once("\r\n\r\n").unwrap().1);
        if soon(client.connect()).await.is_ok() {
            break client;
        }
    };
    soon(client.closed()).await;
}

#[tokio::test]
async fn routes_and_handlers_share_a_session() {
    let (_io, router) = axum_sessions::service().unwrap();
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    tokio::spawn(async move { axum::serve(listener, router).await });
    let answer = request(addr, "POST /session", r#"{"session":"by a route"}"#).await;
    let cookie = answer.lines().find_map(|line| line.strip_prefix("set-cookie: ")).expect("a cookie");
    let cookie = cookie.split(';').next().unwrap();
    let cookies = format!("cookie: {cookie}\r\n");

    for transport in TRANSPORTS {
        let builder = Client::builder(&format!("http://{addr}")).transports([transport]).reconnection(false);
        let client = builder.header("cookie", cookie).build().unwrap();
        let mut events = client.events();
        soon(client.connect()).await.unwrap();
        let mut expect = async |value: &str| {
            let event = soon(events.next()).await.unwrap();
            let said: serde_json::Value = event.decode().unwrap();
            assert_eq!((&*event.event, said["session"].as_str()), ("refresh-session", Some(value)));
        };
        request_with(addr, "POST /session", &cookies, r#"{"session":"again"}"#).await;
        client.emit("get-session", &()).unwrap();
        expect("again").await;
        client.emit("set-session", &serde_json::json!({ "session": "by a handler" })).unwrap();
        expect("by a handler").await;
        let shown = request_with(addr, "GET /session", &cookies, "").await;
        assert!(shown.ends_with(r#"{"session":"by a handler"}"#), "{shown}");
    }
}

#[tokio::test]
async fn salvo_serves_both_transports_on_a_route() {
    use salvo::prelude::{Listener as _, TcpListener};

    let (io, router) = salvo_service::service().unwrap();
    let acceptor = TcpListener::new("127.0.0.1:0").bind().await;
    let addr = salvo::conn::Acceptor::holdings(&acceptor)[0].local_addr.clone().into_std().unwrap();
    let server = salvo::Server::new(acceptor);
    let handle = server.handle();
    let serving = tokio::spawn(async move { server.serve(router).await });
    let page = request(addr, "GET /", "").await;
    assert!(page.ends_with("a page of salvo's\n"), "{page}");
    for transport in TRANSPORTS {
        let client = client(addr, transport, "");
        soon(client.connect()).await.unwrap();
        assert_eq!(client.transport(), Some(transport));
        assert_eq!(soon(client.call::<_, i64>("double", &21)).await.unwrap(), 42);
    }
    io.shutdown(Duration::from_secs(30)).await;
    handle.stop_graceful(Duration::from_secs(5));
    soon(serving).await.unwrap();
}
