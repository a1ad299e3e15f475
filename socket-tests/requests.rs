//! The later requests of a session, as its handlers see them.

use crate::sansocket::{EngineSocket, Handshake, Message, Socket};
use crate::suite::support::{Client, Poller, logged, request, serve, until};

/// The value of the header `x-token` in a request.
fn token(request: Option<&Handshake>) -> Option<String> {
    Some(request?.headers().get("x-token")?.to_str().ok()?.to_owned())
}

#[tokio::test]
async fn a_handler_sees_the_headers_of_the_latest_request() {
    let (io, _) = logged(crate::server().keep_latest_request(true));
    io.on("token", async |socket: Socket| {
        (token(Some(socket.handshake())), token(socket.latest_request().as_ref()))
    });
    let addr = serve(&io).await;
    let poller = Poller::joined(addr).await;
    request(addr, "POST", &poller.target, "x-token: second\r\n", r#"421["token"]"#).await;
    assert_eq!(poller.poll().await, [r#"431[null,"second"]"#]);
    // The upgrade is a request, too.
    let target = format!("/socket.io/?EIO=4&transport=websocket&sid={}", poller.sid);
    let stream = tokio::net::TcpStream::connect(addr).await.expect("a connection");
    let mut client = Client::upgraded(stream, &target, "x-token: third\r\n").await;
    client.raw("5").await.expect("it is taken");
    assert_eq!(client.ask(r#"["token"]"#).await, r#"[null,"third"]"#);

    let socket = io.root().sockets().remove(0);
    drop(client);
    until("the session is forgotten", || io.clients_count() == 0).await;
    assert!(socket.latest_request().is_none());
}

#[tokio::test]
async fn without_the_setting_no_request_is_kept() {
    let (io, _) = logged(crate::server());
    io.on("token", async |socket: Socket| socket.latest_request().is_some());
    let mut client = Client::joined(serve(&io).await).await;
    assert_eq!(client.ask(r#"["token"]"#).await, "[false]");
}

#[tokio::test]
async fn a_session_of_plain_engine_io_has_them_too() {
    let builder = crate::engine_server().keep_latest_request(true);
    let io = builder
        .on_message(async |socket: EngineSocket, _: Message| {
            let _ = socket.send(token(socket.latest_request().as_ref()).unwrap_or_default());
        })
        .build()
        .expect("a server");
    let addr = io.listen("127.0.0.1:0").await.expect("a port").local_addr();
    let poller = Poller::connect_to(addr, "/engine.io/").await;
    request(addr, "POST", &poller.target, "x-token: abc\r\n", "4x").await;
    assert_eq!(poller.poll().await, ["4abc"]);
}
