//! Clients of plain Engine.IO.

use crate::sansocket::{
    ClientState, ConnectError, DisconnectReason, EngineClient, EngineClientBuilder, EngineClientSocket,
    EngineServer, EngineSocket, Message, ReceiveError, SendError, TransportKind,
};
use crate::suite::relay::{POLLING, Relay, TRANSPORTS, UPGRADE, WEBSOCKET};
use crate::suite::support::{Lines, Log, log, soon, until};
use bytes::Bytes;
use sansocket_protocol::engine::EngineError;
use sansocket_protocol::error::PeerError;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::sync::oneshot;

/// A server that echoes, counts up, and closes when it is told to; it notes how its sessions end.
async fn server() -> (EngineServer, SocketAddr, Lines) {
    let (log, lines) = log();
    let engine = crate::engine_server()
        .on_message(async |socket: EngineSocket, message: Message| match message {
            Message::Text(text) if text == "close" => {
                socket.send("last words").unwrap();
                socket.close();
            }
            Message::Text(text) if text == "count" => {
                for number in 0..1000 {
                    socket.send(number.to_string()).unwrap();
                }
            }
            message => drop(socket.send(message)),
        })
        .on_close(move |_, reason: DisconnectReason| {
            let log = log.clone();
            async move { log.note(reason) }
        })
        .build()
        .expect("a server");
    let addr = engine.listen("127.0.0.1:0").await.expect("a port").local_addr();
    (engine, addr, lines)
}

fn builder(addr: SocketAddr, transports: &[TransportKind]) -> EngineClientBuilder {
    crate::engine_client(&format!("http://{addr}")).transports(transports.iter().copied())
}

/// Handlers that write down what they hear.
fn told(builder: EngineClientBuilder, log: &Log) -> EngineClientBuilder {
    let (opened, heard, closed) = (log.clone(), log.clone(), log.clone());
    builder
        .on_open(move |socket: EngineClientSocket| {
            let log = opened.clone();
            async move { log.note(format_args!("open {}", socket.is_open())) }
        })
        .on_message(move |_, message: Message| {
            let log = heard.clone();
            async move {
                // Whatever comes next has to wait.
                tokio::task::yield_now().await;
                match message {
                    Message::Text(text) => log.note(text),
                    Message::Binary(data) => log.note(format_args!("{data:?}")),
                }
            }
        })
        .on_close(move |_, reason: DisconnectReason| {
            let log = closed.clone();
            async move { log.note(format_args!("closed: {reason}")) }
        })
}

#[tokio::test]
async fn a_session_opens_exchanges_messages_and_is_closed_by_the_client() {
    let (engine, addr, mut ends) = server().await;
    for transports in TRANSPORTS {
        let (log, mut lines) = log();
        let client = told(builder(addr, transports), &log).build().unwrap();
        assert!(!client.is_open() && client.id().is_none() && client.transport().is_none());
        assert!(matches!(client.send("early"), Err(SendError::Disconnected)));
        soon(client.connect()).await.unwrap();
        lines.expect("open true").await;
        assert_eq!(client.status(), ClientState::Open);
        assert!(client.id().is_some());
        if transports == UPGRADE {
            until("it upgrades", || client.transport() == Some(TransportKind::WebSocket)).await;
        } else {
            assert_eq!(client.transport(), Some(transports[0]));
        }

        client.send("hello").unwrap();
        client.send(Bytes::from_static(b"\x00bytes")).unwrap();
        lines.expect("hello").await;
        lines.expect("b\"\\0bytes\"").await;
        client.send("count").unwrap();
        for number in 0..1000 {
            lines.expect(&number.to_string()).await;
        }
        client.close();
        lines.expect("closed: forced close").await;
        soon(client.closed()).await;
        assert!(!client.is_open());
        assert!(matches!(client.send("late"), Err(SendError::Disconnected)));
        ends.expect("transport close").await;
        until("nothing is left", || engine.clients_count() == 0).await;

        // And again.
        soon(client.connect()).await.unwrap();
        lines.expect("open true").await;
        client.close();
        lines.expect("closed: forced close").await;
        ends.expect("transport close").await;
        assert!(lines.drain().is_empty());
    }
}

#[tokio::test]
async fn a_session_that_the_server_closes_is_over_after_its_last_message() {
    let (_engine, addr, _ends) = server().await;
    for transports in TRANSPORTS {
        let (log, mut lines) = log();
        let client = told(builder(addr, transports), &log).build().unwrap();
        soon(client.connect()).await.unwrap();
        client.send("close").unwrap();
        lines.expect("open true").await;
        lines.expect("last words").await;
        lines.expect("closed: transport close").await;
        soon(client.closed()).await;
        assert_eq!(client.status(), ClientState::Idle);
        assert!(matches!(soon(client.connected()).await, Err(ConnectError::Session { .. })));
    }
}

#[tokio::test]
async fn a_loop_takes_messages_and_the_server_waits_for_it() {
    let (_engine, addr, _ends) = server().await;
    for transports in TRANSPORTS {
        let client = builder(addr, transports).receive_budget(10_000).build().unwrap();
        let mut messages = client.messages();
        // It was never told to connect.
        assert_eq!(soon(messages.next()).await, None);
        soon(client.connect()).await.unwrap();
        client.send("count").unwrap();
        tokio::time::sleep(Duration::from_millis(20)).await;
        for number in 0..1000 {
            assert_eq!(
                soon(messages.next()).await,
                Some(Message::Text(number.to_string())),
                "{transports:?}"
            );
        }
        assert_eq!(messages.next_within(Duration::from_millis(1)).await, Err(ReceiveError::Timeout));
        client.send("close").unwrap();
        assert_eq!(soon(messages.next()).await, Some(Message::from("last words")));
        assert_eq!(soon(messages.next()).await, None);
    }
}

#[tokio::test]
async fn handlers_get_what_no_loop_takes_any_more() {
    let (_engine, addr, _ends) = server().await;
    let (log, mut lines) = log();
    let client = told(builder(addr, WEBSOCKET), &log).build().unwrap();
    soon(client.connect()).await.unwrap();
    lines.expect("open true").await;
    let mut messages = client.messages();
    client.send("one").unwrap();
    assert_eq!(soon(messages.next()).await, Some(Message::from("one")));
    drop(messages);
    client.send("two").unwrap();
    lines.expect("two").await;
}

#[tokio::test]
async fn nobody_there_and_nothing_of_engine_io_are_told_apart() {
    let nobody = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let page = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut head = [0; 4096];
            let _ = stream.read(&mut head).await;
            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 6\r\n\r\n<html>").await;
        }
    });
    let (_engine, addr, _ends) = server().await;
    for transports in TRANSPORTS {
        let client = builder(nobody, transports).build().unwrap();
        let error = soon(client.connect()).await.unwrap_err();
        assert_eq!(error.peer_error(), Some(&PeerError::Engine(EngineError::RequestFailed)));
        assert!(error.to_string().contains("refused"), "{error}");
        soon(client.closed()).await;

        let client = builder(page, transports).build().unwrap();
        let error = soon(client.connect()).await.unwrap_err();
        assert!(matches!(&error, ConnectError::Session { .. }), "{error:?}");
        assert_ne!(error.peer_error(), Some(&PeerError::Engine(EngineError::RequestFailed)), "{error}");
        assert_eq!(client.status(), ClientState::Idle);

        // Another path than the server's.
        let client = builder(addr, transports).path("/socket.io").build().unwrap();
        let error = soon(client.connect()).await.unwrap_err();
        assert!(matches!(&error, ConnectError::Session { .. }), "{error:?}");
    }
    assert!(EngineClient::connect_to("nonsense://").await.is_err());
}

#[tokio::test]
async fn a_lost_session_stays_lost_unless_it_was_told_to_reconnect() {
    let (_engine, addr, _ends) = server().await;
    let relay = Relay::to(addr).await;
    let (log, mut lines) = log();
    let client = told(builder(relay.addr, WEBSOCKET), &log).build().unwrap();
    soon(client.connect()).await.unwrap();
    lines.expect("open true").await;
    relay.cut();
    let reason = lines.next().await;
    assert!(reason.starts_with("closed: transport "), "{reason}");
    soon(client.closed()).await;
    assert_eq!(relay.accepted(), 1);

    let (log, mut lines) = crate::suite::support::log();
    let client = told(builder(relay.addr, POLLING), &log)
        .reconnection(true)
        .reconnection_delay(Duration::from_millis(10))
        .build()
        .unwrap();
    // It also goes on trying for the first one.
    relay.close();
    client.start();
    let before = relay.accepted();
    until("it tries", || relay.accepted() > before + 2).await;
    relay.open();
    soon(client.connected()).await.unwrap();
    lines.expect("open true").await;
    // Closed and not only cut: between two polls it would not lose its session.
    relay.close();
    let reason = lines.next().await;
    assert!(reason.starts_with("closed: transport "), "{reason}");
    relay.open();
    lines.expect("open true").await;
    client.send("hello").unwrap();
    lines.expect("hello").await;
}

#[tokio::test]
async fn a_session_that_is_told_late_is_no_answer_to_who_connects_after_it() {
    // The message comes with the session: it is not forgotten for having brought nothing.
    let engine = crate::engine_server().initial_packet("work").build().expect("a server");
    let addr = engine.listen("127.0.0.1:0").await.expect("a port").local_addr();
    let relay = Relay::to(addr).await;
    let (log, mut lines) = log();
    let closed = log.clone();
    let (open, gate) = oneshot::channel::<()>();
    let gate = std::sync::Mutex::new(Some(gate));
    let client = builder(relay.addr, POLLING)
        .reconnection(true)
        .reconnection_delay(Duration::from_millis(10))
        .on_message(move |_, _| {
            let gate = gate.lock().unwrap().take();
            let log = log.clone();
            async move {
                log.note("at work");
                if let Some(gate) = gate {
                    gate.await.unwrap();
                }
            }
        })
        .on_close(move |_, reason: DisconnectReason| {
            let log = closed.clone();
            async move { log.note(format_args!("closed: {reason}")) }
        })
        .build()
        .unwrap();
    client.start();
    lines.expect("at work").await;

    // While the handler is at work, the session is lost and another one opens, which the client closes.
    relay.close();
    until("it is lost", || !client.is_open()).await;
    relay.open();
    until("there is another one", || client.is_open()).await;
    client.close();
    relay.hush();
    let connecting = tokio::spawn({
        let client = client.clone();
        async move { client.connect().await }
    });
    until("it dials", || client.status() == ClientState::Opening).await;
    open.send(()).unwrap();
    assert!(lines.next().await.starts_with("closed: transport "));
    lines.expect("at work").await;
    lines.expect("closed: forced close").await;
    relay.close();
    let error = soon(connecting).await.unwrap().unwrap_err();
    assert!(matches!(error, ConnectError::Session { .. }), "{error}");
    until("nothing goes on", || client.status() == ClientState::Idle).await;
}

#[tokio::test]
async fn a_handler_may_await_the_next_session() {
    let (_engine, addr, _ends) = server().await;
    let relay = Relay::to(addr).await;
    for transports in TRANSPORTS {
        let (log, mut lines) = log();
        let noted = log.clone();
        let client = builder(relay.addr, transports)
            .on_message(move |socket: EngineClientSocket, _| {
                let log = noted.clone();
                async move {
                    socket.close();
                    log.note(format_args!("again: {:?}", socket.connect().await.is_ok()));
                }
            })
            .on_close(move |socket: EngineClientSocket, reason: DisconnectReason| {
                let log = log.clone();
                async move {
                    log.note(reason);
                    if reason != DisconnectReason::ForcedClose {
                        log.note(format_args!("again: {:?}", socket.connect().await.is_ok()));
                    }
                }
            })
            .build()
            .unwrap();
        soon(client.connect()).await.unwrap();
        client.send("x").unwrap();
        lines.expect("again: true").await;
        lines.expect("forced close").await;
        until("it is open", || client.is_open()).await;
        relay.close();
        let reason = lines.next().await;
        assert!(reason.starts_with("transport "), "{reason}");
        lines.expect("again: false").await;
        relay.open();
    }
}

#[tokio::test]
async fn the_last_handle_closes_the_session_and_the_task_ends() {
    let (engine, addr, mut ends) = server().await;
    for transports in TRANSPORTS {
        let token = Arc::new(());
        let kept = token.clone();
        let client = builder(addr, transports)
            .on_message(move |_, _| {
                let _ = &kept;
                async {}
            })
            .build()
            .unwrap();
        soon(client.connect()).await.unwrap();
        let messages = client.messages();
        drop(client);
        assert_eq!(engine.clients_count(), 1);
        drop(messages);
        ends.expect("transport close").await;
        until("the task ends", || Arc::strong_count(&token) == 1).await;
    }
}

#[tokio::test]
async fn a_panic_in_a_handler_is_not_the_end() {
    let (_engine, addr, _ends) = server().await;
    let count = Arc::new(AtomicUsize::new(0));
    let counter = count.clone();
    let client = builder(addr, WEBSOCKET)
        .on_message(move |_, message: Message| {
            assert_ne!(message, Message::from("at once"), "on purpose");
            let counter = counter.clone();
            async move {
                tokio::task::yield_now().await;
                assert_ne!(message, Message::from("later"), "on purpose");
                counter.fetch_add(1, Ordering::Relaxed);
            }
        })
        .build()
        .unwrap();
    soon(client.connect()).await.unwrap();
    for message in ["at once", "later", "fine"] {
        client.send(message).unwrap();
    }
    until("it goes on", || count.load(Ordering::Relaxed) == 1).await;
}
