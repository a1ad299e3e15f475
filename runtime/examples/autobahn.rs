//! The codec of WebSockets and permessage-deflate under the Autobahn test suite, in either role: `interop/autobahn`
//! installs the suite and runs it.
//!
//! ```text
//! cargo run --release -p sansocket-runtime --example autobahn -- server 9001   # then wstest -m fuzzingclient
//! cargo run --release -p sansocket-runtime --example autobahn -- client 9002   # after wstest -m fuzzingserver
//! ```
//!
//! A server prints the address that it listens on, which may be of port 0. `.ci/autobahn` runs most cases by kosoku.

use http::{HeaderMap, HeaderName, HeaderValue};
use hyper_util::rt::TokioIo;
use sansocket_runtime::testing::echo::Echo;
use sansocket_runtime::websocket::PerMessageDeflate;
use std::error::Error;
use std::io;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// The largest message of the suite.
const MAX_MESSAGE: usize = 16 << 20;

fn main() -> Result<(), Box<dyn Error>> {
    let mut args = std::env::args().skip(1);
    let (role, port) = (args.next(), args.next().and_then(|port| port.parse().ok()));
    let port = port.ok_or("usage: autobahn server|client PORT")?;
    // Each offer is answered in its own terms.
    let settings =
        PerMessageDeflate::default().threshold(0).server_context_takeover(true).client_context_takeover(true);
    let echo = Echo::new(settings, MAX_MESSAGE);
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    match role.as_deref() {
        Some("server") => runtime.block_on(serve(echo, port)),
        Some("client") => runtime.block_on(go_through(echo, port)),
        _ => Err("usage: autobahn server|client PORT".into()),
    }
}

async fn serve(echo: Echo, port: u16) -> Result<(), Box<dyn Error>> {
    let listener = TcpListener::bind(("127.0.0.1", port)).await?;
    println!("listening on {}", listener.local_addr()?);
    loop {
        let (mut stream, _) = listener.accept().await?;
        let echo = echo.clone();
        tokio::spawn(async move {
            let (_, headers) = head(&mut stream).await?;
            if let Some((answer, socket)) = echo.accept(&headers) {
                stream.write_all(answer.as_bytes()).await?;
                socket.run(TokioIo::new(stream)).await;
            }
            io::Result::Ok(())
        });
    }
}

/// Every case that the suite has, and then its report.
async fn go_through(echo: Echo, port: u16) -> Result<(), Box<dyn Error>> {
    let mut stream = dial(&echo, port, "/getCaseCount").await?.0;
    // A text frame without a mask, of a number with up to three digits.
    let len = usize::from(stream.read_u16().await? & 0x7f);
    let mut count = vec![0; len];
    stream.read_exact(&mut count).await?;
    let count: u32 = String::from_utf8(count)?.parse()?;
    for case in 1..=count {
        let (stream, headers) = dial(&echo, port, &format!("/runCase?case={case}&agent=sansocket")).await?;
        let socket = echo.answered(&headers).ok_or("the suite's answer does not fit the offer")?;
        socket.run(TokioIo::new(stream)).await;
    }
    let (stream, headers) = dial(&echo, port, "/updateReports?agent=sansocket").await?;
    if let Some(socket) = echo.answered(&headers) {
        socket.run(TokioIo::new(stream)).await;
    }
    println!("{count} cases");
    Ok(())
}

/// A WebSocket to the suite.
async fn dial(echo: &Echo, port: u16, target: &str) -> io::Result<(TcpStream, HeaderMap)> {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).await?;
    // The suite's own words come without compression.
    let offer = if target.starts_with("/runCase") {
        format!("sec-websocket-extensions: {}\r\n", echo.offer())
    } else {
        String::new()
    };
    let request = format!(
        "GET {target} HTTP/1.1\r\nhost: 127.0.0.1:{port}\r\nconnection: Upgrade\r\nupgrade: websocket\r\n\
         sec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
         {offer}\r\n",
    );
    stream.write_all(request.as_bytes()).await?;
    let (first, headers) = head(&mut stream).await?;
    if !first.contains(" 101 ") {
        return Err(io::Error::other(first));
    }
    Ok((stream, headers))
}

/// Reads the head of a request or an answer, and nothing behind it: its first line, and its headers.
async fn head(stream: &mut TcpStream) -> io::Result<(String, HeaderMap)> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await?);
    }
    let head = String::from_utf8_lossy(&head);
    let mut lines = head.lines();
    let first = lines.next().unwrap_or_default().to_owned();
    let mut headers = HeaderMap::new();
    for (name, value) in lines.filter_map(|line| line.split_once(':')) {
        if let (Ok(name), Ok(value)) = (name.parse::<HeaderName>(), HeaderValue::from_str(value.trim())) {
            headers.append(name, value);
        }
    }
    Ok((first, headers))
}
