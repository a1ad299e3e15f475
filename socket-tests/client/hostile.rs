//! Servers that misbehave: a typed error, in bounded time and memory.

use crate::sansocket::{AckError, ClientBuilder, ConnectError, ConnectionEvent, TransportKind};
use crate::suite::relay::{POLLING, TRANSPORTS, UPGRADE, WEBSOCKET, quick};
use crate::suite::support::{log, soon, until};
use sansocket_protocol::engine::EngineError;
use sansocket_protocol::error::PeerError;
use sansocket_runtime::websocket::accept_key;
use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;

pub(crate) const OPEN: &str =
    r#"0{"sid":"abc","upgrades":[],"pingInterval":25000,"pingTimeout":20000,"maxPayload":1000000}"#;

/// Runs `script` on each connection, with the number of connections before it.
async fn scripted<F, Fut>(script: F) -> SocketAddr
where
    F: Fn(TcpStream, usize) -> Fut + Send + 'static,
    Fut: Future<Output = ()> + Send + 'static,
{
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    tokio::spawn(async move {
        for number in 0.. {
            let (stream, _) = listener.accept().await.unwrap();
            tokio::spawn(script(stream, number));
        }
    });
    addr
}

/// The head of a request; empty if there is none any more.
pub(crate) async fn head(stream: &mut TcpStream) -> String {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        match stream.read_u8().await {
            Ok(byte) => head.push(byte),
            Err(_) => return String::new(),
        }
    }
    String::from_utf8(head).unwrap()
}

/// A request, as its head and its body.
async fn request(stream: &mut TcpStream) -> Option<(String, String)> {
    let head = head(stream).await;
    if head.is_empty() {
        return None;
    }
    let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
    let mut body = vec![0; length.map_or(0, |length| length.parse().unwrap())];
    stream.read_exact(&mut body).await.ok()?;
    Some((head, String::from_utf8(body).unwrap()))
}

async fn answer(stream: &mut TcpStream, status: &str, body: &str) {
    let response = format!("HTTP/1.1 {status}\r\ncontent-length: {}\r\n\r\n{body}", body.len());
    let _ = stream.write_all(response.as_bytes()).await;
}

/// Never ends, and keeps what it is given.
async fn forever<T>(kept: T) {
    std::future::pending::<()>().await;
    drop(kept);
}

/// Answers a WebSocket's handshake.
async fn websocket(stream: &mut TcpStream) {
    let head = head(stream).await;
    stream.write_all(accepted(&head).as_bytes()).await.unwrap();
}

/// The answer to the head of that handshake.
pub(crate) fn accepted(head: &str) -> String {
    let key = head.lines().find_map(|line| line.strip_prefix("sec-websocket-key: ")).unwrap();
    format!(
        "HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\nconnection: upgrade\r\n\
         sec-websocket-accept: {}\r\n\r\n",
        accept_key(key)
    )
}

fn text_frame(text: &str) -> Vec<u8> {
    let mut out = Vec::new();
    sansocket_runtime::websocket::write_text(&mut out, None, text.as_bytes());
    out
}

/// Returns a client's error about a server that lets nobody in.
async fn refusal(addr: SocketAddr, transports: &[TransportKind]) -> ConnectError {
    refusal_of(quick(addr, transports)).await
}

/// The same, of a client that waits for 0.3 s only: for servers that never answer.
async fn soon_given_up(addr: SocketAddr, transports: &[TransportKind]) -> ConnectError {
    refusal_of(quick(addr, transports).timeout(Duration::from_millis(300))).await
}

async fn refusal_of(builder: ClientBuilder) -> ConnectError {
    let client = builder.build().unwrap();
    let error = soon(client.connect()).await.unwrap_err();
    soon(client.closed()).await;
    error
}

#[tokio::test]
async fn silence_is_given_up_in_time() {
    let addr = scripted(|stream, _| forever(stream)).await;
    for transports in TRANSPORTS {
        let error = soon_given_up(addr, transports).await;
        assert_eq!(error.peer_error(), Some(&PeerError::Engine(EngineError::OpenTimeout)), "{error:?}");
    }
    // After half of a response, too.
    let addr = scripted(|mut stream, _| async move {
        head(&mut stream).await;
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n0{").await;
        forever(stream).await;
    })
    .await;
    let error = soon_given_up(addr, POLLING).await;
    assert_eq!(error.peer_error(), Some(&PeerError::Engine(EngineError::OpenTimeout)), "{error:?}");
    // A drop now and then does not prolong it.
    let addr = scripted(|mut stream, _| async move {
        head(&mut stream).await;
        for byte in b"HTTP/1.1 200 OK\r\ncontent-length: 100000\r\n\r\n0{".iter().cycle() {
            tokio::time::sleep(Duration::from_millis(20)).await;
            if stream.write_all(&[*byte]).await.is_err() {
                return;
            }
        }
    })
    .await;
    for transports in TRANSPORTS {
        let error = soon_given_up(addr, transports).await;
        assert_eq!(error.peer_error(), Some(&PeerError::Engine(EngineError::OpenTimeout)), "{error:?}");
    }
}

#[tokio::test]
async fn a_connection_that_is_closed_at_once_has_failed() {
    let addr = scripted(|stream, _| async move { drop(stream) }).await;
    for transports in TRANSPORTS {
        let error = refusal(addr, transports).await;
        assert_eq!(error.peer_error(), Some(&PeerError::Engine(EngineError::RequestFailed)), "{error:?}");
    }
}

#[tokio::test]
async fn garbage_is_no_server() {
    for garbage in
        ["\0\x01\x02\r\n\r\n\r\n", "SSH-2.0-OpenSSH_9\r\n", "HTTP/1.1 abc\r\n\r\n", "HTTP/9.9 200 OK\r\n\r\n"]
    {
        let addr = scripted(move |mut stream, _| async move {
            let _ = stream.write_all(garbage.as_bytes()).await;
            forever(stream).await;
        })
        .await;
        for transports in TRANSPORTS {
            let error = soon_given_up(addr, transports).await;
            assert!(
                matches!(
                    error.peer_error(),
                    Some(PeerError::Engine(EngineError::RequestFailed | EngineError::OpenTimeout))
                ),
                "{garbage:?} {error:?}"
            );
        }
    }
}

#[tokio::test]
async fn other_servers_are_told_apart() {
    let of = |status: u16, message: Option<&str>| {
        PeerError::Engine(EngineError::Status { status, message: message.map(str::to_owned) })
    };
    let cases = [
        ("200 OK", "<!doctype html><html></html>", PeerError::Engine(EngineError::NotEngineIo)),
        ("200 OK", "", PeerError::Engine(EngineError::NotEngineIo)),
        ("200 OK", "0", PeerError::Engine(EngineError::Handshake)),
        ("200 OK", "0{}", PeerError::Engine(EngineError::Handshake)),
        ("200 OK", "2", PeerError::Engine(EngineError::NotEngineIo)),
        ("502 Bad Gateway", "<html>nginx</html>", of(502, None)),
        ("404 Not Found", "", of(404, None)),
        ("301 Moved", "", of(301, None)),
        ("403 Forbidden", r#"{"code":4,"message":"Forbidden"}"#, of(403, Some("Forbidden"))),
        (
            "400 Bad Request",
            r#"{"code":5,"message":"Unsupported protocol version"}"#,
            PeerError::Engine(EngineError::UnsupportedRevision),
        ),
        (
            "200 OK",
            r#"96:0{"sid":"x","upgrades":["websocket"],"pingInterval":25000,"pingTimeout":5000}2:40"#,
            PeerError::Engine(EngineError::UnsupportedRevision),
        ),
    ];
    for (status, body, expected) in cases {
        let addr = scripted(move |mut stream, _| async move {
            while !head(&mut stream).await.is_empty() {
                answer(&mut stream, status, body).await;
            }
        })
        .await;
        let error = refusal(addr, UPGRADE).await;
        assert_eq!(error.peer_error(), Some(&expected), "{status} {body}");
        if !status.starts_with("200") {
            let error = refusal(addr, WEBSOCKET).await;
            assert_eq!(error.peer_error(), Some(&expected), "{status} {body}");
        } else {
            let error = refusal(addr, WEBSOCKET).await;
            assert_eq!(error.peer_error(), Some(&of(200, None)), "{status} {body}");
        }
    }
}

#[tokio::test]
async fn a_server_of_the_old_line_is_named_as_such_on_a_websocket() {
    let addr = scripted(|mut stream, _| async move {
        websocket(&mut stream).await;
        // It joins by itself, without an id.
        let open = r#"0{"sid":"x","upgrades":[],"pingInterval":25000,"pingTimeout":5000}"#;
        let _ = stream.write_all(&text_frame(open)).await;
        let _ = stream.write_all(&text_frame("40")).await;
        forever(stream).await;
    })
    .await;
    let error = refusal(addr, WEBSOCKET).await;
    assert!(matches!(error, ConnectError::OldServer), "{error:?}");
}

#[tokio::test]
async fn a_server_that_gives_a_long_id_is_left() {
    let addr = scripted(|mut stream, _| async move {
        websocket(&mut stream).await;
        let _ = stream.write_all(&text_frame(OPEN)).await;
        let _ = stream.write_all(&text_frame(&format!(r#"40{{"sid":"{}"}}"#, "x".repeat(20_000)))).await;
        forever(stream).await;
    })
    .await;
    let error = refusal(addr, WEBSOCKET).await;
    assert!(matches!(error, ConnectError::IdTooLong), "{error:?}");
}

#[tokio::test]
async fn a_namespace_that_is_never_answered_is_given_up() {
    let addr = scripted(|mut stream, _| async move {
        websocket(&mut stream).await;
        let _ = stream.write_all(&text_frame(OPEN)).await;
        forever(stream).await;
    })
    .await;
    let error = refusal_of(quick(addr, WEBSOCKET).join_timeout(Duration::from_millis(300))).await;
    assert!(matches!(error, ConnectError::Timeout), "{error:?}");
}

#[tokio::test]
async fn a_server_that_disconnects_in_place_of_an_answer_is_not_called_slow() {
    let addr = scripted(|mut stream, _| async move {
        websocket(&mut stream).await;
        let _ = stream.write_all(&text_frame(OPEN)).await;
        let _ = stream.write_all(&text_frame("41")).await;
        forever(stream).await;
    })
    .await;
    let error = refusal(addr, WEBSOCKET).await;
    assert!(matches!(error, ConnectError::Dismissed), "{error:?}");
}

#[tokio::test]
async fn an_endless_body_is_cut_off() {
    let sent = Arc::new(AtomicUsize::new(0));
    for announced in ["transfer-encoding: chunked", "content-length: 1000000000000", "connection: close"] {
        for status in ["200 OK", "500 Oh"] {
            let counter = sent.clone();
            counter.store(0, Ordering::Relaxed);
            let addr = scripted(move |mut stream, _| {
                let sent = counter.clone();
                async move {
                    head(&mut stream).await;
                    let _ = stream
                        .write_all(format!("HTTP/1.1 {status}\r\n{announced}\r\n\r\n").as_bytes())
                        .await;
                    let chunk = if announced.contains("chunked") {
                        format!("1000\r\n{}\r\n", "0".repeat(0x1000))
                    } else {
                        "0".repeat(0x1000)
                    };
                    while stream.write_all(chunk.as_bytes()).await.is_ok() {
                        sent.fetch_add(chunk.len(), Ordering::Relaxed);
                    }
                }
            })
            .await;
            for transports in TRANSPORTS {
                let client = quick(addr, transports).max_message(100_000).build().unwrap();
                let error = soon(client.connect()).await.unwrap_err();
                if transports == WEBSOCKET {
                    let expected: u16 = status[..3].parse().unwrap();
                    let found = matches!(error.peer_error(), Some(PeerError::Engine(EngineError::Status { status, .. })) if *status == expected);
                    assert!(found, "{error:?}");
                } else {
                    assert_eq!(
                        error.peer_error(),
                        Some(&PeerError::Engine(EngineError::TooLarge { limit: 100_000 })),
                        "{error:?}"
                    );
                }
            }
            // What the kernel holds for both sides, and no more.
            assert!(sent.load(Ordering::Relaxed) < 64 << 20);
        }
    }
}

#[tokio::test]
async fn an_endless_head_is_cut_off() {
    let addr = scripted(|mut stream, _| async move {
        head(&mut stream).await;
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\n").await;
        while stream.write_all(b"x-more: xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx\r\n").await.is_ok() {}
    })
    .await;
    for transports in TRANSPORTS {
        let error = refusal(addr, transports).await;
        assert_eq!(error.peer_error(), Some(&PeerError::Engine(EngineError::RequestFailed)), "{error:?}");
    }
}

#[tokio::test]
async fn a_websocket_handshake_must_be_one() {
    let heads = [
        "HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\nconnection: upgrade\r\n\
         sec-websocket-accept: wrong\r\n\r\n",
        "HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\nconnection: upgrade\r\n\r\n",
    ];
    for response in heads {
        let addr = scripted(move |mut stream, _| async move {
            head(&mut stream).await;
            let _ = stream.write_all(response.as_bytes()).await;
            forever(stream).await;
        })
        .await;
        let error = refusal(addr, WEBSOCKET).await;
        assert_eq!(error.peer_error(), Some(&PeerError::Engine(EngineError::NotEngineIo)), "{error:?}");
    }
}

#[tokio::test]
async fn malformed_frames_end_the_session_which_is_made_again() {
    let masked: &[u8] = &[0x81, 0x82, 1, 2, 3, 4, b'6' ^ 1, b'x' ^ 2];
    let cases: [(&str, &[u8], u16); 6] = [
        ("masked", masked, 1002),
        ("a reserved bit", &[0xf1, 0x01, b'6'], 1002),
        ("an unknown opcode", &[0x83, 0x00], 1002),
        ("a long ping", &[0x89, 126, 0, 200], 1002),
        ("too large", &[0x81, 127, 0, 0, 0, 1, 0, 0, 0, 0], 1009),
        ("a continuation of nothing", &[0x80, 0x01, b'x'], 1002),
    ];
    for (name, frame, code) in cases {
        let (log, mut lines) = log();
        let frame = frame.to_vec();
        let (answers, mut answered) = crate::suite::support::log();
        let addr = scripted(move |mut stream, number| {
            let (frame, answers) = (frame.clone(), answers.clone());
            async move {
                websocket(&mut stream).await;
                let _ = stream.write_all(&text_frame(OPEN)).await;
                let _ = stream.write_all(&text_frame(r#"40{"sid":"y"}"#)).await;
                if number == 0 {
                    let _ = stream.write_all(&frame).await;
                    // The client says what was wrong, in its close frame.
                    let mut rest = Vec::new();
                    let _ = stream.read_to_end(&mut rest).await;
                    let Some([0x88, 0x82, a, b, _, _, c, d]) = rest.last_chunk() else { panic!("{rest:?}") };
                    answers.note(u16::from_be_bytes([a ^ c, b ^ d]));
                }
                forever(stream).await;
            }
        })
        .await;
        let client = quick(addr, WEBSOCKET)
            .on_connection_event(move |state| {
                if let ConnectionEvent::Closed { detail, .. } = state {
                    log.note(format_args!("{detail:?}"));
                }
            })
            .build()
            .unwrap();
        soon(client.connect()).await.unwrap();
        lines.expect(&format!("Some(Engine(WebSocket({code})))")).await;
        answered.expect(&code.to_string()).await;
        soon(client.connected()).await.unwrap_or_else(|error| panic!("{name}: {error}"));
    }
}

#[tokio::test]
async fn malformed_packets_end_the_session_which_is_made_again() {
    for packet in ["42{", "4", "x", "451-[\"a\"]", "9", "42[\"a\"", "4\u{0}"] {
        let addr = scripted(move |mut stream, number| async move {
            websocket(&mut stream).await;
            let _ = stream.write_all(&text_frame(OPEN)).await;
            let _ = stream.write_all(&text_frame(r#"40{"sid":"y"}"#)).await;
            if number == 0 {
                let _ = stream.write_all(&text_frame(packet)).await;
            }
            forever(stream).await;
        })
        .await;
        let (log, mut lines) = log();
        let client = quick(addr, WEBSOCKET).build().unwrap();
        client.on_connect(move || {
            let log = log.clone();
            async move { log.note("connected") }
        });
        soon(client.connect()).await.unwrap();
        lines.expect("connected").await;
        // A placeholder that waits for its attachment for ever is not a mistake.
        if packet != "451-[\"a\"]" {
            lines.expect("connected").await;
        }
    }
}

#[tokio::test]
async fn a_response_in_many_pieces_is_one() {
    let addr = scripted(|mut stream, _| async move {
        let _ = stream.set_nodelay(true);
        let mut polls = 0;
        while let Some((head, _)) = request(&mut stream).await {
            let body = match () {
                () if head.starts_with("POST") => "ok".to_owned(),
                () if !head.contains("sid=") => OPEN.to_owned(),
                () if polls == 0 => "40{\"sid\":\"y\"}\u{1e}42[\"x\",\"é\"]".to_owned(),
                () => return forever(stream).await,
            };
            polls += usize::from(head.contains("sid=") && head.starts_with("GET"));
            let response = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}", body.len());
            for byte in response.bytes() {
                stream.write_all(&[byte]).await.unwrap();
                tokio::task::yield_now().await;
            }
        }
    })
    .await;
    let client = quick(addr, POLLING).build().unwrap();
    let mut events = client.events();
    soon(client.connect()).await.unwrap();
    assert_eq!(soon(events.next()).await.unwrap().decode::<String>().unwrap(), "é");
}

/// The number of connections of a [`forgetful`] server that were or will be answered, and of those that have ended
/// since.
#[derive(Default)]
struct Count {
    answered: AtomicUsize,
    ended: AtomicUsize,
}

impl Count {
    async fn all_have_ended(&self) {
        let is_so = || self.answered.load(Ordering::SeqCst) == self.ended.load(Ordering::SeqCst);
        until("each connection that was answered has ended", is_so).await;
    }
}

/// A polling server that ends each connection some time after a response, and says so or does not. It writes down
/// what is posted.
async fn forgetful(says_so: bool, count: Arc<Count>, log: crate::suite::support::Log) -> SocketAddr {
    let pushed = Arc::new(tokio::sync::Semaphore::new(0));
    scripted(move |mut stream, _| {
        let (log, count, pushed) = (log.clone(), count.clone(), pushed.clone());
        async move {
            let Some((head, body)) = request(&mut stream).await else { return };
            let body = if head.starts_with("POST") {
                // Each POST lets one poll be answered.
                count.answered.fetch_add(2, Ordering::SeqCst);
                pushed.add_permits(1);
                log.note(&body);
                "ok".to_owned()
            } else if !head.contains("sid=") {
                count.answered.fetch_add(1, Ordering::SeqCst);
                OPEN.to_owned()
            } else {
                // A poll of a session that is over must not take what the next one's waits for.
                tokio::select! {
                    biased;
                    _ = stream.read_u8() => return,
                    permit = pushed.acquire() => permit.unwrap().forget(),
                }
                r#"40{"sid":"y"}"#.to_owned()
            };
            let extra = if says_so { "connection: close\r\n" } else { "" };
            let response = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n{extra}\r\n{body}", body.len());
            let _ = stream.write_all(response.as_bytes()).await;
            drop(stream);
            count.ended.fetch_add(1, Ordering::SeqCst);
        }
    })
    .await
}

#[tokio::test]
async fn a_server_that_ends_each_connection_loses_nothing() {
    let (log, mut lines) = log();
    let addr = forgetful(true, Arc::default(), log).await;
    let client = quick(addr, POLLING).build().unwrap();
    let id = {
        soon(client.connect()).await.unwrap();
        client.id().unwrap()
    };
    lines.expect("40").await;
    for number in 0..20 {
        client.emit("x", &number).unwrap();
        lines.expect(&format!("42[\"x\",{number}]")).await;
    }
    assert_eq!(client.id().unwrap(), id);
}

#[tokio::test]
async fn connections_that_ended_between_two_requests_are_not_used_again() {
    let count = Arc::<Count>::default();
    let (log, mut lines) = log();
    let addr = forgetful(false, count.clone(), log.clone()).await;
    let client = quick(addr, POLLING)
        .on_connection_event(move |state| {
            if let ConnectionEvent::Closed { .. } = state {
                log.note("closed");
            }
        })
        .build()
        .unwrap();
    // A poll may take a connection that is ending just then: that is a session lost, which is made again, and no POST
    // that is lost without a word.
    client.start();
    soon(client.connected()).await.unwrap();
    for number in 0..20 {
        count.all_have_ended().await;
        client.emit("x", &number).unwrap();
        let expected = format!("42[\"x\",{number}]");
        loop {
            match lines.next().await {
                // What was emitted while away comes in one body.
                line if line.contains(&expected) => break,
                line if line == "closed" => client.emit("x", &number).unwrap(),
                _ => {}
            }
        }
    }
}

#[tokio::test]
async fn a_post_that_is_never_answered_ends_the_session() {
    let addr = scripted(|mut stream, _| async move {
        while let Some((head, _)) = request(&mut stream).await {
            if head.contains("sid=") {
                return forever(stream).await;
            }
            answer(&mut stream, "200 OK", OPEN).await;
        }
    })
    .await;
    let client = quick(addr, POLLING).request_timeout(Duration::from_secs(1)).build().unwrap();
    let error = soon(client.connect()).await.unwrap_err();
    assert_eq!(error.peer_error(), Some(&PeerError::Engine(EngineError::RequestTimeout)), "{error:?}");
}

#[tokio::test]
async fn what_is_awaited_ends_when_a_poll_is_refused() {
    let asked = Arc::new(Notify::new());
    let addr = scripted(move |mut stream, _| {
        let asked = asked.clone();
        async move {
            let mut polls = 0;
            while let Some((head, body)) = request(&mut stream).await {
                if head.starts_with("POST") {
                    answer(&mut stream, "200 OK", "ok").await;
                    if body.contains("question") {
                        return asked.notify_one();
                    }
                } else if !head.contains("sid=") {
                    answer(&mut stream, "200 OK", OPEN).await;
                } else if polls == 0 {
                    polls += 1;
                    answer(&mut stream, "200 OK", r#"40{"sid":"y"}"#).await;
                } else {
                    asked.notified().await;
                    answer(&mut stream, "400 Bad Request", r#"{"code":1,"message":"Session ID unknown"}"#)
                        .await;
                }
            }
        }
    })
    .await;
    let client = quick(addr, POLLING).reconnection(false).build().unwrap();
    soon(client.connect()).await.unwrap();
    let asked = client.emit_with_ack("question", &(), Duration::from_secs(60));
    assert!(matches!(soon(asked).await, Err(AckError::Disconnected)));
    soon(client.closed()).await;
}

#[tokio::test]
async fn an_upgrade_that_goes_wrong_leaves_the_session_where_it_is() {
    let open = r#"0{"sid":"abc","upgrades":["websocket"],"pingInterval":25000,"pingTimeout":20000}"#;
    for answer_to_upgrade in ["", "HTTP/1.1 400 No\r\ncontent-length: 0\r\n\r\n", "101", "garbage\r\n\r\n"] {
        let addr = scripted(move |mut stream, _| async move {
            let mut joined = false;
            loop {
                let mut peeked = [0; 200];
                let bytes = stream.peek(&mut peeked).await.unwrap_or(0);
                if String::from_utf8_lossy(&peeked[..bytes]).contains("transport=websocket") {
                    if answer_to_upgrade == "101" {
                        websocket(&mut stream).await;
                        let _ = stream.write_all(&text_frame("9what")).await;
                        return forever(stream).await;
                    }
                    head(&mut stream).await;
                    let _ = stream.write_all(answer_to_upgrade.as_bytes()).await;
                    return;
                }
                let Some((head, _)) = request(&mut stream).await else { return };
                if head.starts_with("POST") {
                    answer(&mut stream, "200 OK", "ok").await;
                } else if !head.contains("sid=") {
                    answer(&mut stream, "200 OK", open).await;
                } else if !joined {
                    joined = true;
                    answer(&mut stream, "200 OK", r#"40{"sid":"y"}"#).await;
                } else {
                    return forever(stream).await;
                }
            }
        })
        .await;
        let (log, mut lines) = log();
        let client = quick(addr, UPGRADE)
            .on_connection_event(move |state| match state {
                ConnectionEvent::UpgradeFailed(_) => log.note("stays"),
                ConnectionEvent::Upgraded | ConnectionEvent::Closed { .. } => {
                    log.note(format_args!("{state:?}"))
                }
                _ => {}
            })
            .build()
            .unwrap();
        soon(client.connect()).await.unwrap();
        lines.expect("stays").await;
        assert_eq!(client.transport(), Some(TransportKind::Polling));
        assert!(client.is_connected() && lines.drain().is_empty());
    }
}

/// Another client took each piece of a response that it read for a whole payload.
#[tokio::test]
async fn a_polled_answer_that_comes_in_pieces_is_one_payload() {
    let addr = scripted(|mut stream, _| async move {
        while let Some((head, _)) = request(&mut stream).await {
            if head.starts_with("POST") {
                answer(&mut stream, "200 OK", "ok").await;
                continue;
            }
            let body = match head.contains("sid=") {
                false => OPEN.to_string(),
                true => {
                    "40{\"sid\":\"x\"}\x1e42[\"news\",\"one\"]\x1e42[\"news\",\"zwölf\"]\x1e1".to_string()
                }
            };
            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n").await;
            for piece in body.as_bytes().chunks(3) {
                let chunk = [format!("{:x}\r\n", piece.len()).as_bytes(), piece, b"\r\n"].concat();
                let _ = stream.write_all(&chunk).await;
                tokio::task::yield_now().await;
            }
            let _ = stream.write_all(b"0\r\n\r\n").await;
        }
    })
    .await;
    let client = quick(addr, POLLING).reconnection(false).build().unwrap();
    let (log, mut lines) = log();
    client.on("news", move |crate::sansocket::Data(text): crate::sansocket::Data<String>| {
        log.note(&text);
        async {}
    });
    soon(client.connect()).await.unwrap();
    lines.expect("one").await;
    lines.expect("zwölf").await;
    soon(client.closed()).await;
}
