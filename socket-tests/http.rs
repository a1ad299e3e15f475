//! The HTTP side: deadlines, refusals, headers, files.

use crate::sansocket::{
    Cookie, DisconnectReason, Handshake, Listener, Origins, Refusal, SameSite, State, Transports,
};
use crate::suite::support::{
    Client, Log, Poller, Response, get, logged, request, send_request, serve, soon, until,
};
use bytes::Bytes;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};

const OPEN: &str = "/socket.io/?EIO=4&transport=polling";
const OPEN_WEBSOCKET: &str = "/socket.io/?EIO=4&transport=websocket";
const UPGRADE: &str = "connection: Upgrade\r\nupgrade: websocket\r\nsec-websocket-version: 13\r\n\
                       sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n";
const SHORT: Duration = Duration::from_millis(50);

/// Reads until the server closes the connection.
async fn end(stream: &mut TcpStream) -> String {
    let mut rest = Vec::new();
    let _ = soon(stream.read_to_end(&mut rest)).await;
    String::from_utf8_lossy(&rest).into_owned()
}

#[tokio::test]
async fn a_first_head_that_is_slow_is_cut() {
    let io = crate::server().first_head_timeout(SHORT).build().expect("a server");
    let addr = serve(&io).await;
    let mut silent = TcpStream::connect(addr).await.expect("a connection");
    let mut slow = TcpStream::connect(addr).await.expect("a connection");
    slow.write_all(b"GET /socket.io/?EIO=4&trans").await.expect("it is taken");
    assert!(!end(&mut silent).await.contains("200"));
    assert!(!end(&mut slow).await.contains("200"));
    assert_eq!(io.clients_count(), 0);
}

#[tokio::test]
async fn a_later_head_that_is_slow_is_cut() {
    let io = crate::server().head_timeout(SHORT).build().expect("a server");
    let mut stream = TcpStream::connect(serve(&io).await).await.expect("a connection");
    stream
        .write_all(format!("GET {OPEN} HTTP/1.1\r\nhost: test\r\n\r\n").as_bytes())
        .await
        .expect("it is taken");
    assert_eq!(soon(Response::read(&mut stream)).await.expect("a response").status, 200);
    stream.write_all(b"GET /socket.io/").await.expect("it is taken");
    assert!(!end(&mut stream).await.contains("200"));
}

#[tokio::test]
async fn a_connection_may_be_idle_for_longer_than_a_head_may_take() {
    let io = crate::server().head_timeout(SHORT).build().expect("a server");
    let mut stream = TcpStream::connect(serve(&io).await).await.expect("a connection");
    let request = format!("GET {OPEN} HTTP/1.1\r\nhost: test\r\n\r\n");
    for _ in 0..2 {
        stream.write_all(request.as_bytes()).await.expect("it is taken");
        assert_eq!(soon(Response::read(&mut stream)).await.expect("a response").status, 200);
        tokio::time::sleep(SHORT * 4).await;
    }
}

#[tokio::test]
async fn a_connection_that_is_idle_for_too_long_is_closed() {
    let io = crate::server().keep_alive_timeout(SHORT).build().expect("a server");
    let mut stream = TcpStream::connect(serve(&io).await).await.expect("a connection");
    let request = format!("GET {OPEN} HTTP/1.1\r\nhost: test\r\n\r\n");
    stream.write_all(request.as_bytes()).await.expect("it is taken");
    assert_eq!(soon(Response::read(&mut stream)).await.expect("a response").status, 200);
    assert_eq!(end(&mut stream).await, "");
}

#[tokio::test]
async fn a_body_that_is_slow_is_cut() {
    let (io, mut lines) = logged(crate::server().body_timeout(SHORT));
    io.namespace("/").on_disconnect(async |State(log): State<Log>| log.note("gone"));
    let addr = serve(&io).await;
    let poller = Poller::joined(addr).await;
    let mut stream = TcpStream::connect(addr).await.expect("a connection");
    let head = format!("POST {} HTTP/1.1\r\nhost: test\r\ncontent-length: 100\r\n\r\n42[", poller.target);
    stream.write_all(head.as_bytes()).await.expect("it is taken");
    assert!(end(&mut stream).await.starts_with("HTTP/1.1 408"));
    lines.expect("gone").await;
}

/// The size of the answer to a poll in the tests of slow readers: more than a server sends in one message by default.
const LARGE: usize = 32 << 20;

/// The answer to a poll is far larger than what the kernel buffers, and its client reads nothing. Returns how much
/// arrives when the client does read after all, `wait` later.
async fn unread_answer(io: &crate::sansocket::Server, wait: Duration) -> usize {
    let addr = serve(io).await;
    let poller = Poller::joined(addr).await;
    io.emit("large", &"x".repeat(LARGE)).expect("encoded");
    // After what takes long: a connection without a request is not kept for ever.
    let socket = TcpSocket::new_v4().expect("a socket");
    socket.set_recv_buffer_size(4096).expect("a small buffer");
    let mut stream = soon(socket.connect(addr)).await.expect("a connection");
    send_request(&mut stream, "GET", &poller.target, "", "").await;
    tokio::time::sleep(wait).await;
    let mut got = vec![0; LARGE * 2];
    let mut len = 0;
    while let Ok(bytes @ 1..) = soon(stream.read(&mut got[len..])).await {
        len += bytes;
        if len > LARGE {
            break;
        }
    }
    assert!(String::from_utf8_lossy(&got[..12]).starts_with("HTTP/1.1 200"), "{len}");
    len
}

#[tokio::test]
async fn a_response_that_is_not_read_is_cut() {
    let io = crate::server().write_timeout(SHORT).send_budget(LARGE * 2).build().expect("a server");
    // Nothing can be seen of it before the client reads: time for a busy machine.
    assert!(unread_answer(&io, SHORT * 60).await < LARGE);
}

#[tokio::test]
async fn a_response_that_is_read_late_is_whole() {
    let io = crate::server().send_budget(LARGE * 2).build().expect("a server");
    assert!(unread_answer(&io, SHORT * 6).await > LARGE);
}

#[tokio::test]
async fn a_websocket_that_is_not_read_has_no_deadline_of_http() {
    let (io, mut lines) = logged(crate::server().write_timeout(SHORT));
    io.on_disconnect(async |reason: DisconnectReason, State(log): State<Log>| log.note(reason));
    let (mut client, id) = Client::joined_as(serve(&io).await).await;
    let large = "x".repeat(8 << 20);
    io.socket(&id).expect("the socket").emit("large", &large).expect("queued");
    tokio::time::sleep(SHORT * 6).await;
    assert_eq!(lines.drain(), [""; 0]);
    client.expect(&format!(r#"2["large","{large}"]"#)).await;
}

#[tokio::test]
async fn a_poll_that_is_aborted_closes_the_session() {
    let (io, mut lines) = logged(crate::server());
    io.namespace("/")
        .on_disconnect(async |reason: DisconnectReason, State(log): State<Log>| log.note(reason));
    let addr = serve(&io).await;
    let poller = Poller::joined(addr).await;
    let mut poll = TcpStream::connect(addr).await.expect("a connection");
    send_request(&mut poll, "GET", &poller.target, "", "").await;
    // By the time another client is served, the poll has arrived.
    Client::joined(addr).await.raw("1").await.expect("it is taken");
    lines.expect("transport close").await;
    drop(poll);
    lines.expect("transport error").await;
    until("nothing is left", || io.clients_count() == 0).await;
    assert_eq!(get(addr, &poller.target).await.status, 400);
}

#[tokio::test]
async fn a_second_poll_closes_the_session() {
    let (io, mut lines) = logged(crate::server());
    io.namespace("/")
        .on_disconnect(async |reason: DisconnectReason, State(log): State<Log>| log.note(reason));
    let addr = serve(&io).await;
    let poller = Poller::joined(addr).await;
    // Whichever comes first waits, and is released by the end that the other brings about.
    let (one, other) = tokio::join!(get(addr, &poller.target), get(addr, &poller.target));
    let mut statuses = [one.status, other.status];
    statuses.sort_unstable();
    assert_eq!(statuses, [200, 400]);
    lines.expect("transport error").await;
}

#[tokio::test]
async fn other_paths_are_not_found_or_the_fallbacks() {
    let io = crate::server().path("/ws").build().expect("a server");
    let addr = serve(&io).await;
    assert_eq!(get(addr, "/").await.status, 404);
    assert_eq!(get(addr, OPEN).await.status, 404);
    assert_eq!(get(addr, "/ws/?EIO=4&transport=polling").await.status, 200);
    let listener = Listener::bind("127.0.0.1:0")
        .await
        .expect("a port")
        .mount(&io)
        .fallback(async |request| http::Response::new(Bytes::from(request.uri().path().to_owned())));
    let addr = listener.spawn().expect("an address").local_addr();
    assert_eq!(get(addr, "/page").await.body, "/page");
    assert_eq!(get(addr, "/ws/?EIO=4&transport=polling").await.status, 200);
}

#[tokio::test]
async fn bad_requests_are_refused_in_the_words_of_the_reference() {
    let io = crate::server().max_payload(100).build().expect("a server");
    let addr = serve(&io).await;
    for (method, target, status, body) in [
        (
            "GET",
            "/socket.io/?EIO=4&transport=carrier-pigeon",
            400,
            r#"{"code":0,"message":"Transport unknown"}"#,
        ),
        (
            "GET",
            "/socket.io/?EIO=4&transport=polling&sid=none",
            400,
            r#"{"code":1,"message":"Session ID unknown"}"#,
        ),
        ("POST", OPEN, 400, r#"{"code":2,"message":"Bad handshake method"}"#),
        (
            "GET",
            "/socket.io/?EIO=3&transport=polling",
            400,
            r#"{"code":5,"message":"Unsupported protocol version"}"#,
        ),
    ] {
        let response = request(addr, method, target, "", "").await;
        assert_eq!((response.status, response.body.as_str()), (status, body));
    }
    let poller = Poller::joined(addr).await;
    let response = request(addr, "POST", &poller.target, "", &"4".repeat(101)).await;
    assert_eq!(response.status, 413);
}

#[tokio::test]
async fn a_websocket_handshake_that_is_refused_leaves_no_session_behind() {
    let io = crate::server().build().expect("a server");
    let addr = serve(&io).await;
    let target = "/socket.io/?EIO=4&transport=websocket";
    for (version, key) in [("12", "dGhlIHNhbXBsZSBub25jZQ=="), ("13", "short")] {
        let mut stream = TcpStream::connect(addr).await.expect("a connection");
        let head = format!(
            "GET {target} HTTP/1.1\r\nhost: test\r\nconnection: Upgrade\r\nupgrade: websocket\r\n\
             sec-websocket-version: {version}\r\nsec-websocket-key: {key}\r\n\r\n"
        );
        stream.write_all(head.as_bytes()).await.expect("it is taken");
        let response = soon(Response::read(&mut stream)).await.expect("a response");
        assert!((400..500).contains(&response.status), "{response:?}");
        assert_eq!(io.clients_count(), 0);
    }
}

#[tokio::test]
async fn the_client_is_served_with_etags() {
    let directory = std::path::Path::new(env!("CARGO_TARGET_TMPDIR")).join("client");
    std::fs::create_dir_all(&directory).expect("a directory");
    for name in ["socket.io.js", "socket.io.js.map", "secret.txt"] {
        std::fs::write(directory.join(name), name).expect("a file");
    }
    let io = crate::server().serve_client(&directory).build().expect("a server");
    let addr = serve(&io).await;
    let first = get(addr, "/socket.io/socket.io.js").await;
    assert_eq!((first.status, first.body.as_str()), (200, "socket.io.js"));
    assert_eq!(first.header("content-type"), Some("application/javascript; charset=utf-8"));
    let etag = first.header("etag").expect("an ETag");
    for tag in [etag.to_owned(), format!("W/{etag}"), format!("\"other\", {etag}")] {
        let again =
            request(addr, "GET", "/socket.io/socket.io.js", &format!("if-none-match: {tag}\r\n"), "").await;
        assert_eq!((again.status, again.body.as_str()), (304, ""));
        assert_eq!(again.header("etag"), Some(etag));
    }
    let other = request(addr, "GET", "/socket.io/socket.io.js", "if-none-match: \"other\"\r\n", "").await;
    assert_eq!(other.status, 200);
    assert_eq!(get(addr, "/socket.io/socket.io.js.map?x=1").await.status, 200);
    assert_eq!(get(addr, "/socket.io/secret.txt").await.status, 400);
    assert_eq!(get(addr, "/socket.io/..%2fclient%2fsecret.txt").await.status, 400);
    let _client = Client::joined(addr).await;
    let missing = crate::server().serve_client(directory.join("nowhere")).build();
    assert!(missing.expect_err("there is none").to_string().starts_with("cannot serve the client from"));
}

#[tokio::test]
async fn allow_request_refuses_before_anything_is_kept() {
    let builder = crate::server().allow_request(async |handshake: Handshake| {
        tokio::task::yield_now().await;
        match handshake.query_value("token").as_deref() {
            Some("good") => Ok(()),
            _ => Err(Refusal::new("no token")),
        }
    });
    let io = builder.build().expect("a server");
    let addr = serve(&io).await;
    let refused = get(addr, OPEN).await;
    assert_eq!((refused.status, refused.body.as_str()), (403, r#"{"code":4,"message":"no token"}"#));
    let refused = request(addr, "GET", "/socket.io/?EIO=4&transport=websocket", "", "").await;
    assert_eq!(refused.status, 400);
    assert_eq!(io.clients_count(), 0);
    assert_eq!(get(addr, &format!("{OPEN}&token=good")).await.status, 200);
    let target = "/socket.io/?EIO=4&transport=websocket&token=good";
    Client::connect_to(addr, target, "").await.join("/", "").await;
}

#[tokio::test]
async fn session_ids_are_the_applications_if_it_likes() {
    let next = AtomicU32::new(0);
    let make = move |_: &Handshake| match next.fetch_add(1, Ordering::Relaxed) {
        0 | 1 => "first".to_owned(),
        n => format!("id-{n}"),
    };
    let io = crate::server().generate_id(make).build().expect("a server");
    let addr = serve(&io).await;
    let first = Poller::connect(addr).await;
    assert_eq!(first.sid, "first");
    // One that is in use refuses the second client.
    assert_ne!(get(addr, OPEN).await.status, 200);
    assert_eq!(Poller::connect(addr).await.sid, "id-2");
    first.post("40").await;
}

#[tokio::test]
async fn hooks_change_the_headers_of_the_first_response_or_of_all() {
    let builder = crate::server()
        .initial_headers(|_, headers| {
            headers.insert("x-first", http::HeaderValue::from_static("1"));
        })
        .headers(|request, headers| {
            let method = http::HeaderValue::from_str(request.method.as_str()).expect("a token");
            headers.insert("x-all", method);
        });
    let io = builder.build().expect("a server");
    let addr = serve(&io).await;
    let first = get(addr, OPEN).await;
    assert_eq!((first.header("x-first"), first.header("x-all")), (Some("1"), Some("GET")));
    let poller = Poller::connect(addr).await;
    let post = request(addr, "POST", &poller.target, "", "40").await;
    assert_eq!((post.header("x-first"), post.header("x-all")), (None, Some("POST")));
    let client = Client::connect(addr).await;
    assert_eq!(
        (client.response.header("x-first"), client.response.header("x-all")),
        (Some("1"), Some("GET"))
    );
}

#[tokio::test]
async fn a_cookie_names_the_session_at_the_handshake() {
    let io = crate::server().cookie(Cookie::new("io")).build().expect("a server");
    let addr = serve(&io).await;
    let first = get(addr, OPEN).await;
    let sid = first.body.split('"').nth(3).expect("an id");
    let cookie = first.header("set-cookie").expect("a cookie");
    assert!(cookie.starts_with(&format!("io={sid};")), "{cookie}");
    let later = request(addr, "POST", &format!("{OPEN}&sid={sid}"), "", "40").await;
    assert_eq!(later.header("set-cookie"), None);
}

#[tokio::test]
async fn a_handshake_is_an_object_for_others() {
    let io = crate::server().build().expect("a server");
    io.namespace("/")
        .on("handshake", async |handshake: Handshake| serde_json::to_value(&handshake).expect("JSON"));
    let addr = serve(&io).await;
    let target = "/socket.io/?EIO=4&transport=websocket&room=a%20b&room=c";
    let mut client = Client::connect_to(addr, target, "x-twice: 1\r\nx-twice: 2\r\n").await;
    client.join("/", "").await;
    let told: serde_json::Value = serde_json::from_str(&client.ask(r#"["handshake"]"#).await).expect("JSON");
    let told = &told[0];
    assert_eq!(told["headers"]["x-twice"], "1, 2");
    assert_eq!(told["headers"]["host"], "test");
    assert_eq!(told["query"]["room"], "c");
    assert_eq!(told["url"], target);
    assert_eq!((&told["address"], &told["secure"]), (&"127.0.0.1".into(), &false.into()));
    assert!(told["issued"].as_u64() > Some(1_600_000_000_000));
}

#[tokio::test]
async fn the_cookie_of_each_request_is_the_applications_choice() {
    let io = crate::server()
        .cookie(Cookie::new("io").secure(true).same_site(SameSite::None))
        .cookie_for(|handshake, mut cookie| match &*handshake.query_value("cookie")? {
            "plain" => {
                cookie.name = "other".to_owned();
                Some(cookie.secure(false).same_site(SameSite::Strict))
            }
            "bad" => Some(cookie.domain("a;b")),
            _ => panic!("not asked for"),
        })
        .build()
        .expect("a server");
    let addr = serve(&io).await;
    let cookie = async |query: &str| {
        let response = get(addr, &format!("{OPEN}{query}")).await;
        let sid = response.body.split('"').nth(3).unwrap_or("none").to_owned();
        (response.status, response.header("set-cookie").map(|cookie| cookie.replace(&sid, "SID")))
    };
    let plain = "io=SID; Path=/; HttpOnly; SameSite=Strict";
    assert_eq!(cookie("&cookie=plain").await, (200, Some(plain.to_owned())));
    assert_eq!(cookie("").await, (200, None));
    assert_eq!(cookie("&cookie=bad").await, (200, None));
    assert_eq!(cookie("&cookie=panic").await, (500, None));
    assert_eq!((io.clients_count(), io.stats().panics), (3, 1));
}

#[tokio::test]
async fn cors_allows_pages_of_the_listed_origins() {
    let io = crate::server().origins(Origins::list(["https://good.example"])).build().expect("a server");
    let addr = serve(&io).await;
    let good = "origin: https://good.example\r\n";
    let allowed = |response: &Response| response.header("access-control-allow-origin").map(str::to_owned);
    let response = request(addr, "GET", OPEN, good, "").await;
    assert_eq!(allowed(&response).as_deref(), Some("https://good.example"));
    let response = request(addr, "GET", OPEN, "origin: https://bad.example\r\n", "").await;
    assert_ne!(allowed(&response).as_deref(), Some("https://bad.example"));
    let preflight =
        request(addr, "OPTIONS", OPEN, &format!("{good}access-control-request-method: POST\r\n"), "").await;
    assert_eq!(preflight.status, 204);
    assert_eq!(allowed(&preflight).as_deref(), Some("https://good.example"));
    // On the switch to WebSocket too, as the reference does.
    let client = Client::connect_to(addr, "/socket.io/?EIO=4&transport=websocket", good).await;
    assert_eq!(allowed(&client.response).as_deref(), Some("https://good.example"));
}

#[tokio::test]
async fn a_websocket_that_is_refused_has_cors_headers_too() {
    let io = crate::server().origins(Origins::list(["https://good.example"])).build().expect("a server");
    let addr = serve(&io).await;
    for (target, headers) in [
        ("/socket.io/?EIO=4&transport=websocket", UPGRADE.replace("13", "12")),
        ("/socket.io/?EIO=3&transport=websocket", UPGRADE.to_owned()),
        ("/socket.io/?EIO=4&transport=websocket&sid=unknown", UPGRADE.to_owned()),
    ] {
        let mut stream = TcpStream::connect(addr).await.expect("a connection");
        let head =
            format!("GET {target} HTTP/1.1\r\nhost: test\r\norigin: https://good.example\r\n{headers}\r\n");
        stream.write_all(head.as_bytes()).await.expect("it is taken");
        let response = soon(Response::read(&mut stream)).await.expect("a response");
        assert_eq!(response.status, 400);
        assert_eq!(response.header("access-control-allow-origin"), Some("https://good.example"));
    }
}

#[tokio::test]
async fn a_header_in_several_lines_is_one_list() {
    let io = crate::server().origins(Origins::any()).build().expect("a server");
    let addr = serve(&io).await;
    let poller = Poller::joined(addr).await;
    for target in
        ["/socket.io/?EIO=4&transport=websocket".to_owned(), poller.target.replace("polling", "websocket")]
    {
        let mut stream = TcpStream::connect(addr).await.expect("a connection");
        let head = format!(
            "GET {target} HTTP/1.1\r\nhost: test\r\nConnection: keep-alive\r\nupgrade: h2c\r\n{UPGRADE}\r\n"
        );
        stream.write_all(head.as_bytes()).await.expect("it is taken");
        let response = soon(Response::read(&mut stream)).await.expect("a response");
        assert_eq!(response.status, 101, "{target}");
    }
    let asked = "origin: https://any.example\r\naccess-control-request-headers: x-a\r\n\
                 access-control-request-headers: x-b\r\n";
    let preflight = request(addr, "OPTIONS", OPEN, asked, "").await;
    assert_eq!(preflight.header("access-control-allow-headers"), Some("x-a, x-b"));
}

/// The status of the answer to a request of a page of that origin.
async fn asked_by(addr: SocketAddr, method: &str, target: &str, headers: &str, origin: &str) -> u16 {
    let mut stream = TcpStream::connect(addr).await.expect("a connection");
    let head = format!(
        "{method} {target} HTTP/1.1\r\nhost: own.example:3000\r\n{headers}origin: {origin}\r\n\
         content-length: 0\r\n\r\n"
    );
    stream.write_all(head.as_bytes()).await.expect("it is taken");
    soon(Response::read(&mut stream)).await.expect("a response").status
}

#[tokio::test]
async fn one_setting_decides_about_origins_on_every_way_in() {
    let panicking = |origin: &str| assert_ne!(origin, "https://panic.example");
    let origins =
        Origins::list(["https://good.example", "https://*.tenant.example"]).and_by(move |origin, request| {
            panicking(origin);
            request.query().transport.is_some() && origin == "https://known.example"
        });
    let io = crate::server().origins(origins).build().expect("a server");
    let addr = serve(&io).await;
    let websocket = "/socket.io/?EIO=4&transport=websocket";
    for origin in [
        "https://good.example",
        "https://a.b.tenant.example",
        "https://known.example",
        // The server's own pages.
        "http://own.example:3000",
    ] {
        let poller = Poller::joined(addr).await;
        assert_eq!(asked_by(addr, "GET", OPEN, "", origin).await, 200, "{origin}");
        assert_eq!(asked_by(addr, "POST", &poller.target, "", origin).await, 400, "an empty body: {origin}");
        assert_eq!(asked_by(addr, "GET", websocket, UPGRADE, origin).await, 101, "{origin}");
        assert_eq!(asked_by(addr, "OPTIONS", OPEN, "", origin).await, 204, "{origin}");
    }
    for origin in ["https://bad.example", "https://tenant.example", "null", "https://panic.example"] {
        let poller = Poller::joined(addr).await;
        assert_eq!(asked_by(addr, "GET", OPEN, "", origin).await, 403, "{origin}");
        assert_eq!(asked_by(addr, "POST", &poller.target, "", origin).await, 403, "{origin}");
        assert_eq!(asked_by(addr, "GET", websocket, UPGRADE, origin).await, 400, "{origin}");
        let upgrade = poller.target.replace("polling", "websocket");
        assert_eq!(asked_by(addr, "GET", &upgrade, UPGRADE, origin).await, 400, "{origin}");
        assert_eq!(asked_by(addr, "OPTIONS", OPEN, "", origin).await, 403, "{origin}");
        // The session lives on.
        let taken = request(addr, "POST", &poller.target, "", "42[\"a\"]").await;
        assert_eq!(taken.status, 200);
    }
    // Once for each of the five ways in.
    assert_eq!(io.stats().panics, 5);
}

#[tokio::test]
async fn origins_that_are_none_build_no_server() {
    for origin in ["example.com", "https://example.com/", "https://b\u{fc}cher.example"] {
        let refused = crate::server().origins(Origins::list([origin])).build().expect_err("no origin");
        assert!(refused.to_string().contains(origin), "{refused}");
    }
}

#[tokio::test]
async fn a_transport_that_is_off_is_unknown() {
    let transports = Transports::WEBSOCKET;
    let io = crate::server().transports(transports).build().expect("a server");
    let addr = serve(&io).await;
    assert_eq!(get(addr, OPEN).await.status, 400);
    let _client = Client::joined(addr).await;
}

#[tokio::test]
async fn a_second_websocket_of_a_session_is_opened_and_closed() {
    let io = crate::server().build().expect("a server");
    io.namespace("/other");
    let addr = serve(&io).await;
    let poller = Poller::joined(addr).await;
    let target = poller.target.replace("polling", "websocket");
    let connect = async || soon(TcpStream::connect(addr)).await.expect("a connection");
    let mut first = Client::upgraded(connect().await, &target, "").await;
    Client::upgraded(connect().await, &target, "").await.gone().await;
    first.raw("2probe").await.expect("it is taken");
    assert_eq!(first.packet().await, "3probe");
    first.raw("5").await.expect("it is taken");
    Client::upgraded(connect().await, &target, "").await.gone().await;
    first.join("/other", "").await;
}

#[tokio::test]
async fn a_polling_session_moves_to_a_websocket() {
    let (io, _lines) = logged(crate::server());
    io.namespace("/").on("transport", async |socket: crate::sansocket::Socket| socket.transport().as_str());
    let addr = serve(&io).await;
    let poller = Poller::joined(addr).await;
    poller.post(r#"421["transport"]"#).await;
    assert_eq!(poller.poll().await, [r#"431["polling"]"#]);
    let mut poll = TcpStream::connect(addr).await.expect("a connection");
    send_request(&mut poll, "GET", &poller.target, "", "").await;
    let target = format!("/socket.io/?EIO=4&transport=websocket&sid={}", poller.sid);
    let stream = TcpStream::connect(addr).await.expect("a connection");
    let mut client = Client::upgraded(stream, &target, "").await;
    client.raw("2probe").await.expect("it is taken");
    assert_eq!(client.packet().await, "3probe");
    // The poll that waits is let go, so that the client can upgrade.
    assert_eq!(soon(Response::read(&mut poll)).await.expect("a response").body, "6");
    client.raw("5").await.expect("it is taken");
    assert_eq!(client.ask(r#"["transport"]"#).await, r#"["websocket"]"#);
    io.emit("told", &1).expect("encoded");
    client.expect(r#"2["told",1]"#).await;
}

#[tokio::test]
async fn a_client_that_does_not_answer_heartbeats_is_given_up() {
    // The first ping leaves it time to join.
    let builder = crate::server().ping_interval(SHORT * 20).ping_timeout(SHORT);
    let (io, mut lines) = logged(builder);
    io.namespace("/")
        .on_disconnect(async |reason: DisconnectReason, State(log): State<Log>| log.note(reason));
    let _client = Client::joined(serve(&io).await).await;
    lines.expect("ping timeout").await;
}

#[tokio::test]
async fn a_client_that_joins_nothing_is_closed() {
    let io = crate::server().connect_timeout(SHORT).build().expect("a server");
    Client::connect(serve(&io).await).await.gone().await;
    until("nothing is left", || io.clients_count() == 0).await;
}

#[tokio::test]
async fn more_sessions_than_allowed_get_503() {
    let io = crate::server().max_sessions(1).build().expect("a server");
    let addr = serve(&io).await;
    let _first = Poller::connect(addr).await;
    assert_eq!(get(addr, OPEN).await.status, 503);
}

/// A session keeps the head that opened it.
#[tokio::test]
async fn a_request_head_may_have_16_kib() {
    let io = crate::server().build().expect("a server");
    let addr = serve(&io).await;
    let head = |bytes: usize| {
        let padding = "x".repeat(bytes);
        format!(
            "GET /socket.io/?EIO=4&transport=polling HTTP/1.1\r\nhost: test\r\nx-padding: {padding}\r\n\r\n"
        )
    };
    for (bytes, status) in [(15 << 10, 200), (17 << 10, 431)] {
        let mut stream = soon(TcpStream::connect(addr)).await.expect("a connection");
        soon(stream.write_all(head(bytes).as_bytes())).await.expect("it takes the head");
        assert_eq!(soon(Response::read(&mut stream)).await.expect("an answer").status, status);
    }
    assert_eq!(io.stats().opened, 1);
}

#[tokio::test]
async fn the_first_subprotocol_that_is_offered_is_agreed_on() {
    let io = crate::server().build().unwrap();
    let addr = serve(&io).await;
    for (offer, chosen) in [
        ("", None),
        ("sec-websocket-protocol: tok\r\n", Some("tok")),
        ("sec-websocket-protocol: a, b\r\nsec-websocket-protocol: c\r\n", Some("a")),
        ("sec-websocket-protocol: a b\r\n", None),
    ] {
        let client = Client::connect_to(addr, OPEN_WEBSOCKET, offer).await;
        assert_eq!(client.response.header("sec-websocket-protocol"), chosen, "{offer}");
    }
    let io = crate::server().subprotocol(|_, _| None).build().unwrap();
    let client = Client::connect_to(serve(&io).await, OPEN_WEBSOCKET, "sec-websocket-protocol: a\r\n").await;
    assert_eq!(client.response.header("sec-websocket-protocol"), None);
}
