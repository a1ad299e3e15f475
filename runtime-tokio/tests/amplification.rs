//! The bytes that a stranger gets for its own: SECURITY.md has them in a table, which this measures.

use sansocket_tokio::{Listener, Server};
use std::fmt::Write as _;
use std::io;
use std::net::SocketAddr;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

const SECURITY: &str = include_str!("../../SECURITY.md");

/// A request with the least that HTTP asks for, on a connection of its own.
fn request(method: &str, query: &str, rest: &str) -> Vec<u8> {
    format!("{method} /socket.io/?EIO=4&{query} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n{rest}")
        .into_bytes()
}

/// A WebSocket that sends these messages, each of less than 126 bytes.
fn websocket(messages: &[&str]) -> Vec<u8> {
    let mut bytes = b"GET /socket.io/?EIO=4&transport=websocket HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\n\
        Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
        .to_vec();
    for message in messages {
        let length = u8::try_from(message.len()).expect("a short message");
        bytes.extend([0x81, 0x80 | length, 0, 0, 0, 0]);
        bytes.extend(message.as_bytes());
    }
    bytes
}

/// The bytes that come until the server closes the connection, or until so many WebSocket frames have come.
async fn answered(server: SocketAddr, bytes: &[u8], frames: usize) -> io::Result<usize> {
    let mut stream = TcpStream::connect(server).await?;
    stream.write_all(bytes).await?;
    let mut answer = Vec::new();
    if frames == 0 {
        stream.read_to_end(&mut answer).await?;
        return Ok(answer.len());
    }
    while !answer.ends_with(b"\r\n\r\n") {
        answer.push(stream.read_u8().await?);
    }
    let mut count = answer.len();
    for _ in 0..frames {
        if stream.read_u8().await.is_err() {
            break;
        }
        let (header, length) = match stream.read_u8().await? {
            126 => (4, usize::from(stream.read_u16().await?)),
            length => (2, usize::from(length)),
        };
        let mut payload = vec![0; length];
        stream.read_exact(&mut payload).await?;
        count += header + length;
    }
    Ok(count)
}

#[tokio::test]
async fn the_table_of_security_has_what_a_stranger_gets_for_its_bytes() {
    let io = Server::builder().build().expect("a server");
    io.namespace("/shop");
    let listening =
        Listener::bind("127.0.0.1:0").await.expect("a port").mount(&io).spawn().expect("a listener");
    let refused: Vec<String> = (10..110).map(|name| format!("40/{name},")).collect();
    let refused: Vec<&str> = refused.iter().map(String::as_str).collect();
    let rows = [
        ("a request for a session that does not exist", request("GET", "transport=polling&sid=x", "\r\n"), 0),
        ("a POST to one", request("POST", "transport=polling&sid=x", "Content-Length: 1\r\n\r\n1"), 0),
        ("a preflight", request("OPTIONS", "transport=polling", "Origin: x\r\n\r\n"), 0),
        ("the handshake of a session that polls", request("GET", "transport=polling", "\r\n"), 0),
        ("a WebSocket, and its session", websocket(&[]), 1),
        ("the same, and joining a namespace", websocket(&["40"]), 2),
        ("the same, and 100 CONNECTs that are refused", websocket(&refused), usize::MAX),
    ];
    let mut table = String::new();
    for (what, bytes, frames) in rows {
        let answer = answered(listening.local_addr(), &bytes, frames).await.expect("an answer");
        let times = answer as f64 / bytes.len() as f64;
        writeln!(table, "| {what} | {} | {answer} | {times:.1} |", bytes.len()).expect("a text");
    }
    assert!(SECURITY.contains(&table), "SECURITY.md should have\n{table}");
}
