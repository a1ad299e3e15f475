//! The published advisories that need a socket, each as a test by its number. The others are in the core's
//! `tests/advisories.rs`; `docs/reliability.md` lists them all.

use crate::suite::support::{Client, Poller, Response, get, serve, soon, until};
use sansocket_runtime::websocket::{MAX_EMPTY_FRAGMENTS, Role};
use std::net::SocketAddr;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

const WEBSOCKET: &str = "/socket.io/?EIO=4&transport=websocket";

async fn server() -> (crate::sansocket::Server, SocketAddr) {
    // As much as would cost time if a head did.
    let io = crate::server().max_head(64 << 10).build().expect("a server");
    io.on("fine", async || "fine");
    let addr = serve(&io).await;
    (io, addr)
}

fn handshake(target: &str, headers: &str) -> String {
    format!(
        "GET {target} HTTP/1.1\r\nhost: test\r\nconnection: Upgrade\r\nupgrade: websocket\r\n\
         sec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n{headers}\r\n"
    )
}

/// Sends bytes on a connection of their own. `None`: it ended without an answer.
async fn answer(addr: SocketAddr, bytes: &[u8]) -> Option<Response> {
    let mut stream = soon(TcpStream::connect(addr)).await.expect("a connection");
    // The server may cut it off in the middle.
    let _ = soon(stream.write_all(bytes)).await;
    soon(Response::read(&mut stream)).await
}

/// Clients that were there, and those that come now, are served.
async fn all_is_well(other: &mut Client, addr: SocketAddr) {
    assert_eq!(other.ask(r#"["fine"]"#).await, r#"["fine"]"#);
    assert_eq!(Client::joined(addr).await.ask(r#"["fine"]"#).await, r#"["fine"]"#);
}

#[tokio::test]
async fn cve_2022_21676_reserved_bits_close_that_session_only() {
    let (io, addr) = server().await;
    let mut other = Client::joined(addr).await;
    // Right behind the handshake, in the same segment, and after it.
    let mut stream = TcpStream::connect(addr).await.expect("a connection");
    let mut bytes = handshake(WEBSOCKET, "").into_bytes();
    bytes.extend_from_slice(&[0xf1, 0x81, 1, 2, 3, 4, b'2' ^ 1]);
    stream.write_all(&bytes).await.expect("it is taken");
    let mut rest = Vec::new();
    soon(stream.read_to_end(&mut rest)).await.expect("the end");
    // A close frame with 1002 is the last of it.
    assert!(rest.windows(4).any(|frame| frame == [0x88, 2, 3, 234]), "{rest:?}");
    let mut bad = Client::joined(addr).await;
    bad.stream.write_all(&[0xc1, 0x80, 1, 2, 3, 4]).await.expect("it is taken");
    assert!(bad.rest().await.is_empty());
    until("they are gone", || io.clients_count() == 1).await;
    all_is_well(&mut other, addr).await;
}

#[tokio::test]
async fn cve_2022_41940_a_reset_during_a_refused_upgrade_is_nobodys_error() {
    let (io, addr) = server().await;
    let mut other = Client::joined(addr).await;
    for target in [format!("{WEBSOCKET}&sid=unknown"), "/socket.io/?EIO=3&transport=websocket".to_owned()] {
        for _ in 0..20 {
            let mut stream = TcpStream::connect(addr).await.expect("a connection");
            stream.write_all(handshake(&target, "").as_bytes()).await.expect("it is taken");
            // Closed with bytes unread, or at once: the kernel sends RST.
            stream.set_zero_linger().expect("an option");
            drop(stream);
        }
    }
    all_is_well(&mut other, addr).await;
    until("nothing is left", || io.clients_count() == 1).await;
}

#[tokio::test]
async fn cve_2026_48809_a_body_without_a_length_is_cut_at_the_limit() {
    let io = crate::server().max_payload(1000).build().expect("a server");
    let addr = serve(&io).await;
    let poller = Poller::joined(addr).await;
    let mut stream = TcpStream::connect(addr).await.expect("a connection");
    let head = format!("POST {} HTTP/1.1\r\nhost: test\r\ntransfer-encoding: chunked\r\n\r\n", poller.target);
    stream.write_all(head.as_bytes()).await.expect("it is taken");
    for _ in 0..11 {
        stream.write_all(format!("64\r\n{}\r\n", "4".repeat(100)).as_bytes()).await.expect("it is taken");
    }
    // Its end never comes, and the answer does all the same.
    assert_eq!(soon(Response::read(&mut stream)).await.expect("a response").status, 413);
}

#[tokio::test]
async fn ghsa_5v72_xg48_5rpm_an_extension_named_like_a_property_is_ignored() {
    let (_io, addr) = server().await;
    for value in ["constructor", "__proto__; toString", "permessage-deflate; constructor", ";;,,=\"\\"] {
        let head = handshake(WEBSOCKET, &format!("sec-websocket-extensions: {value}\r\n"));
        let response = answer(addr, head.as_bytes()).await.expect("a response");
        assert_eq!((response.status, response.header("sec-websocket-extensions")), (101, None), "{value}");
    }
}

#[tokio::test]
async fn cve_2021_32640_a_long_list_of_protocols_is_not_even_looked_at() {
    let (_io, addr) = server().await;
    for part in ["a, ", " ", ",", "a\t"] {
        let value = part.repeat(50_000 / part.len());
        let head = handshake(WEBSOCKET, &format!("sec-websocket-protocol: b{value}b\r\n"));
        let response = answer(addr, head.as_bytes()).await.expect("a response");
        assert_eq!((response.status, response.header("sec-websocket-protocol")), (101, None));
    }
}

#[tokio::test]
async fn cve_2024_37890_more_headers_than_fit_are_refused() {
    let (io, addr) = server().await;
    let mut other = Client::joined(addr).await;
    let many = "x-a: b\r\n".repeat(3000);
    let response = answer(addr, handshake(WEBSOCKET, &many).as_bytes()).await;
    assert!(response.is_none_or(|response| response.status == 431));
    // Not even an upgrade whose own headers come last.
    let head = format!("GET {WEBSOCKET} HTTP/1.1\r\n{many}connection: Upgrade\r\nupgrade: websocket\r\n\r\n");
    assert!(answer(addr, head.as_bytes()).await.is_none_or(|response| response.status == 431));
    assert_eq!(io.clients_count(), 1);
    all_is_well(&mut other, addr).await;
}

#[tokio::test]
async fn cve_2023_43669_a_long_head_is_refused() {
    let (io, addr) = server().await;
    let mut other = Client::joined(addr).await;
    for headers in [format!("x-a: {}\r\n", "b".repeat(1 << 20)), format!("{}: b\r\n", "a".repeat(1 << 20))] {
        let response = answer(addr, handshake(WEBSOCKET, &headers).as_bytes()).await;
        assert!(response.is_none_or(|response| response.status == 431));
    }
    let target = format!("{WEBSOCKET}&x={}", "y".repeat(1 << 20));
    let response = answer(addr, handshake(&target, "").as_bytes()).await;
    assert!(response.is_none_or(|response| matches!(response.status, 414 | 431)));
    assert_eq!(io.clients_count(), 1);
    all_is_well(&mut other, addr).await;
}

#[tokio::test]
async fn cve_2026_48779_and_62389_a_message_of_masses_of_fragments_closes() {
    let (io, addr) = server().await;
    let mut other = Client::joined(addr).await;
    let mut bad = Client::joined(addr).await;
    let mut bytes = vec![0x01, 0x80, 0, 0, 0, 0];
    for _ in 0..=MAX_EMPTY_FRAGMENTS {
        bytes.extend_from_slice(&[0x00, 0x80, 0, 0, 0, 0]);
    }
    let _ = bad.stream.write_all(&bytes).await;
    assert!(bad.rest().await.is_empty());
    until("it is gone", || io.clients_count() == 1).await;
    all_is_well(&mut other, addr).await;
    // The client reads frames by the same code.
    let mut reader = sansocket_runtime::websocket::Reader::new(Role::Client, 1 << 20);
    let mut frames: Vec<u8> =
        [0x01, 0x00].into_iter().chain([0x00, 0x00].repeat(MAX_EMPTY_FRAGMENTS as usize + 1)).collect();
    assert!(reader.feed(&mut frames, &mut |_| ()).is_err());
}

#[tokio::test]
async fn cve_2024_38355_an_event_called_error_harms_nobody() {
    let (io, addr) = server().await;
    let mut client = Client::joined(addr).await;
    client.send(r#"2["error"]"#).await;
    client.send(r#"2["error",{"message":"x"}]"#).await;
    assert_eq!(client.ask(r#"["fine"]"#).await, r#"["fine"]"#);
    assert_eq!(io.stats().panics, 0);
}

#[tokio::test]
async fn cve_2024_47764_a_cookie_with_a_bad_name_is_no_server() {
    use crate::sansocket::Cookie;
    for name in ["", "a b", "a;Domain=evil.example", "a\r\nset-cookie: b", "a=b", "\u{e9}"] {
        assert!(crate::server().cookie(Cookie::new(name)).build().is_err(), "{name:?}");
    }
    for bad in ["Path=/\r\nset-cookie: b=c", "\u{e9}"] {
        assert!(crate::server().cookie(Cookie::new("io").other(bad)).build().is_err(), "{bad:?}");
    }
}

#[tokio::test]
async fn lesson_9_no_line_break_reaches_a_header() {
    use crate::sansocket::Origins;
    let io = crate::server().origins(Origins::any().credentials(true)).build().expect("a server");
    let addr = serve(&io).await;
    let head = "GET /socket.io/?EIO=4&transport=polling&x=%0d%0aset-cookie:a HTTP/1.1\r\nhost: test\r\n\
                origin: https://a.example%0d%0aset-cookie: b\r\nconnection: close\r\n\r\n";
    let response = answer(addr, head.as_bytes()).await.expect("a response");
    assert_eq!(response.header("set-cookie"), None);
    assert_eq!(get(addr, "/socket.io/?EIO=4&transport=polling").await.status, 200);
}
