//! The hook that hears of refused requests.

use crate::sansocket::{Cookie, Handshake, Refusal, RefusedRequest, ServerBuilder};
use crate::suite::support::{Client, Lines, Poller, get, log, request, serve, soon};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

const POLLING: &str = "/socket.io/?EIO=4&transport=polling";

/// A builder whose hook notes what it hears.
fn noted(builder: ServerBuilder) -> (ServerBuilder, Lines) {
    let (log, lines) = log();
    let builder = builder.on_connection_error(move |refused: &RefusedRequest| {
        let (code, status, peer) = (refused.code() as u8, refused.status(), refused.peer_addr().is_some());
        let (method, message, uri) = (refused.method(), refused.message(), refused.uri());
        log.note(format_args!("{code} {status} {message} | {method} {uri} {peer}"));
    });
    (builder, lines)
}

#[tokio::test]
async fn each_refusal_is_told_with_its_code_its_words_and_the_request() {
    let (builder, mut lines) = noted(crate::server());
    let io = builder.build().expect("a server");
    let addr = serve(&io).await;
    for (method, query, told) in [
        ("GET", "EIO=4&transport=pigeon", "0 400 Transport unknown"),
        ("GET", "EIO=4&transport=polling&sid=none", "1 400 Session ID unknown"),
        ("POST", "EIO=4&transport=polling", "2 400 Bad handshake method"),
        ("GET", "EIO=4&transport=websocket", "3 400 Bad request"),
        ("GET", "EIO=3&transport=polling", "5 400 Unsupported protocol version"),
    ] {
        request(addr, method, &format!("/socket.io/?{query}"), "", "").await;
        let query = query.replace("&sid=none", "");
        assert_eq!(lines.drain(), [format!("{told} | {method} /socket.io/?{query} true")]);
    }
    // A request that a living session refuses.
    let mut client = Client::joined(addr).await;
    let sid = client.opened.split('"').nth(3).expect("the id").to_owned();
    assert_eq!(get(addr, &format!("{POLLING}&sid={sid}")).await.status, 400);
    assert_eq!(lines.drain(), [format!("3 400 Bad request | GET {POLLING} true")]);
    client.send("1").await;
    assert_eq!(get(addr, "/elsewhere").await.status, 404);
    Poller::joined(addr).await;
    assert_eq!(lines.drain(), Vec::<String>::new(), "none of these is such a refusal");
}

#[tokio::test]
async fn refusals_of_the_application_and_of_the_limits_are_told_too() {
    let (builder, mut lines) = noted(crate::server());
    let io = builder
        .allow_request(async |handshake: Handshake| match handshake.query_value("token") {
            Some(_) => Ok(()),
            None => Err(Refusal::new("no token")),
        })
        .build()
        .expect("a server");
    let addr = serve(&io).await;
    get(addr, POLLING).await;
    assert_eq!(lines.drain(), [format!("4 403 no token | GET {POLLING} true")]);
    let mut stream = TcpStream::connect(addr).await.expect("a connection");
    let head = "GET /socket.io/?EIO=4&transport=websocket HTTP/1.1\r\nhost: test\r\nconnection: Upgrade\r\n\
                upgrade: websocket\r\nsec-websocket-version: 13\r\n\
                sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
    stream.write_all(head.as_bytes()).await.expect("it is taken");
    let response = soon(crate::suite::support::Response::read(&mut stream)).await.expect("a response");
    assert_eq!((response.status, response.body.as_str()), (400, "no token"));
    let uri = "/socket.io/?EIO=4&transport=websocket";
    assert_eq!(lines.drain(), [format!("4 400 no token | GET {uri} true")]);

    let (builder, mut lines) = noted(crate::server().max_sessions(0));
    let io = builder.build().expect("a server");
    get(serve(&io).await, POLLING).await;
    assert_eq!(lines.drain(), [format!("4 503 Too many sessions | GET {POLLING} true")]);
}

#[tokio::test]
async fn no_session_id_is_told_and_a_panic_of_the_hook_costs_no_answer() {
    let (log, mut lines) = log();
    let io = crate::server()
        .cookie(Cookie::new("io"))
        .on_connection_error(move |refused| {
            log.note(format_args!("{refused:?} {} {:?}", refused.uri(), refused.headers()));
            panic!("in the hook");
        })
        .build()
        .expect("a server");
    let addr = serve(&io).await;
    let poller = Poller::joined(addr).await;
    let headers = format!("cookie: a=1; io={}\r\n", poller.sid);
    let target = format!("{}&transport=websocket", poller.target);
    let response = request(addr, "GET", &target, &headers, "").await;
    assert_eq!(response.status, 400);
    let told = lines.next().await;
    assert!(told.contains("a=1") && !told.contains(&poller.sid), "{told}");
    assert_eq!(io.stats().panics, 1);
}
