//! An echo server for the Autobahn test suite, which tests WebSockets and permessage-deflate from outside.
//!
//! ```text
//! cargo test --release -p sansocket-runtime --lib autobahn -- --ignored &
//! wstest -m fuzzingclient -s spec.json    # of autobahntestsuite, against ws://127.0.0.1:9001
//! ```

use super::buffers::with_buffers;
use super::deflate::connection::Deflate;
use super::deflate::shared::SharedDeflate;
use super::wire::{Wire, WireRead};
use super::{PerMessageDeflate, Role, accept_upgrade};
use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method};
use hyper_util::rt::TokioIo;
use sansocket_protocol::message::WireMessage;
use sansocket_protocol::time::Instant;
use std::future::poll_fn;
use std::sync::Arc;
use std::task::Poll;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// The largest message of the suite.
const MAX_MESSAGE: usize = 16 << 20;

#[tokio::test(flavor = "multi_thread")]
#[ignore = "serves the Autobahn test suite until it is stopped"]
async fn autobahn() {
    // Each offer is answered in its own terms.
    let settings =
        PerMessageDeflate::default().threshold(0).server_context_takeover(true).client_context_takeover(true);
    let shared = SharedDeflate::new(settings);
    let listener = TcpListener::bind("127.0.0.1:9001").await.expect("the port");
    loop {
        let (stream, _) = listener.accept().await.expect("a connection");
        let shared = shared.clone();
        tokio::spawn(async move {
            if let Some(wire) = accept(stream, &shared).await {
                echo(wire).await;
            }
        });
    }
}

async fn accept(mut stream: TcpStream, shared: &Arc<SharedDeflate>) -> Option<Wire> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.ok()?);
    }
    let head = String::from_utf8(head).ok()?;
    let lines = head.lines().skip(1).filter_map(|line| line.split_once(':'));
    let mut headers = HeaderMap::new();
    for (name, value) in lines {
        headers.append(name.parse::<HeaderName>().ok()?, HeaderValue::from_str(value.trim()).ok()?);
    }
    let accept = accept_upgrade(&Method::GET, &headers).ok()?;
    let mut answer = format!(
        "HTTP/1.1 101 Switching Protocols\r\nconnection: Upgrade\r\nupgrade: websocket\r\n\
         sec-websocket-accept: {accept}\r\n"
    );
    let agreed = shared.settings().accept(&headers);
    if let Some((_, extensions)) = &agreed {
        answer.push_str(&format!("sec-websocket-extensions: {extensions}\r\n"));
    }
    answer.push_str("\r\n");
    stream.write_all(answer.as_bytes()).await.ok()?;
    let deflate = agreed.map(|(agreed, _)| Deflate::new(Role::Server, shared.clone(), agreed));
    let stream = Box::new(TokioIo::new(stream));
    Some(Wire::new(Role::Server, stream, Bytes::new(), MAX_MESSAGE).with_deflate(deflate))
}

async fn echo(mut wire: Wire) {
    poll_fn(|context| {
        loop {
            let read = with_buffers(|buffers| {
                let read = wire.poll_read(buffers, Instant::ZERO, None, context);
                for message in buffers.inbox.drain(..) {
                    // The core's part.
                    match &message {
                        WireMessage::Text(text) if std::str::from_utf8(text).is_err() => {
                            wire.close(Some(1007), Instant::ZERO, None);
                        }
                        _ if wire.is_open() => wire.write(&message, true, None),
                        _ => {}
                    }
                }
                read
            });
            if wire.poll_write(context).is_err() || wire.is_dead() {
                return Poll::Ready(());
            }
            match read {
                // It lingers no longer than its words take.
                WireRead::Nothing if !wire.is_open() && !wire.is_behind() => return Poll::Ready(()),
                WireRead::Nothing => return Poll::Pending,
                WireRead::Received | WireRead::Closed | WireRead::Failed(_) => {}
            }
        }
    })
    .await;
}
