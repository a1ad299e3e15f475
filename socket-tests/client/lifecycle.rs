//! The ends of a client's connection, and its returns.

use crate::sansocket::{
    AckError, Args, ClientSocket, ClientState, ConnectionEvent, DisconnectReason, Server, Socket, State,
};
use crate::suite::relay::{Relay, TRANSPORTS, UPGRADE, WEBSOCKET, quick};
use crate::suite::support::{Lines, Log, log, logged, serve, soon, until};
use sansocket_protocol::error::CloseReason;
use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

/// A server that writes down what it hears.
async fn server() -> (Server, SocketAddr, Lines) {
    let (io, lines) = logged(crate::server());
    io.root()
        .on("note", async |State(log): State<Log>, args: Args| log.note(args.decode::<u32>().unwrap()))
        .on("kick", async |socket: Socket| socket.disconnect())
        .on("close", async |socket: Socket| socket.close());
    let addr = serve(&io).await;
    (io, addr, lines)
}

fn told(client: &ClientSocket, log: &Log) {
    let (up, down) = (log.clone(), log.clone());
    client.on_connect(move || {
        let log = up.clone();
        async move { log.note("connected") }
    });
    client.on_disconnect(move |reason: DisconnectReason| {
        let log = down.clone();
        async move { log.note(reason) }
    });
}

#[tokio::test]
async fn a_servers_word_is_final_and_a_lost_connection_is_not() {
    let (io, addr, _heard) = server().await;
    for transports in TRANSPORTS {
        let relay = Relay::to(addr).await;
        let (log, mut lines) = log();
        let client = quick(relay.addr, transports).build().unwrap();
        told(&client, &log);
        soon(client.connect()).await.unwrap();
        lines.expect("connected").await;

        relay.close();
        let reason = lines.next().await;
        assert!(reason == "transport close" || reason == "transport error", "{reason}");
        relay.open();
        lines.expect("connected").await;

        // The server closes the connection, but did not say that the namespace is left.
        client.emit("close", &()).unwrap();
        let reason = lines.next().await;
        if reason != "io server disconnect" {
            lines.expect("connected").await;
            client.emit("kick", &()).unwrap();
            lines.expect("io server disconnect").await;
        }
        soon(client.closed()).await;
        assert_eq!(client.status(), ClientState::Idle);
        soon(client.connect()).await.unwrap();
        lines.expect("connected").await;
        let id = client.id().unwrap();
        assert!(io.socket(&id).is_some());
        client.close();
        lines.expect("io client disconnect").await;
        until("the server has forgotten it", || io.socket(&id).is_none()).await;
        assert!(lines.drain().is_empty());
    }
}

#[tokio::test]
async fn a_client_comes_back_by_itself_after_a_handlers_panic() {
    let (io, addr, mut heard) = server().await;
    io.on("panic", async || {
        tokio::task::yield_now().await;
        assert!(std::env::args().count() == 0, "on purpose");
    });
    for transports in TRANSPORTS {
        let (log, mut lines) = log();
        let client = quick(addr, transports).build().unwrap();
        told(&client, &log);
        soon(client.connect()).await.unwrap();
        lines.expect("connected").await;
        client.emit("panic", &()).unwrap();
        heard.expect("error: the handler panicked: on purpose").await;
        lines.expect("transport close").await;
        lines.expect("connected").await;
        client.emit("note", &7).unwrap();
        heard.expect("7").await;
        client.close();
        lines.expect("io client disconnect").await;
    }
}

#[tokio::test]
async fn what_is_emitted_while_away_arrives_in_order_and_what_is_volatile_does_not() {
    let (_io, addr, mut heard) = server().await;
    for transports in TRANSPORTS {
        let relay = Relay::to(addr).await;
        let (log, mut lines) = log();
        let client = quick(relay.addr, transports).build().unwrap();
        told(&client, &log);
        // Before the first connection, too.
        client.emit("note", &0).unwrap();
        soon(client.connect()).await.unwrap();
        lines.expect("connected").await;
        heard.expect("0").await;

        relay.close();
        lines.next().await;
        for number in 1..50 {
            client.emit("note", &number).unwrap();
            client.emit_volatile("note", &(number + 1000)).unwrap();
        }
        assert!(client.buffered() > 0 && !client.is_connected());
        relay.open();
        lines.expect("connected").await;
        client.emit("note", &50).unwrap();
        for number in 1..=50 {
            heard.expect(&number.to_string()).await;
        }
        until("nothing waits", || client.buffered() == 0).await;
        client.close();
    }
    assert!(heard.drain().is_empty());
}

#[tokio::test]
async fn more_than_the_budget_is_refused_while_away() {
    let nobody = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let client = quick(nobody, UPGRADE).send_budget(10_000).build().unwrap();
    client.start();
    let text = "x".repeat(1000);
    let kept = (0..20).filter(|_| client.emit("x", &text).is_ok()).count();
    assert!((5..=10).contains(&kept), "{kept}");
    assert!(client.buffered() <= 10_000);
    client.close();
    assert_eq!(client.buffered(), 0);
}

#[tokio::test]
async fn a_handler_may_disconnect_close_and_connect_again() {
    let (io, addr, _heard) = server().await;
    for transports in TRANSPORTS {
        let (log, mut lines) = log();
        let client = quick(addr, transports).state(log.clone()).build().unwrap();
        told(&client, &log);
        client
            .on("leave", async |socket: ClientSocket| {
                socket.disconnect();
                assert!(!socket.is_connected());
            })
            .on("return", async |State(log): State<Log>, socket: ClientSocket| {
                socket.disconnect();
                socket.connect().await.unwrap();
                log.note("returned");
            });
        soon(client.connect()).await.unwrap();
        lines.expect("connected").await;
        io.emit("leave", &()).unwrap();
        lines.expect("io client disconnect").await;
        soon(client.closed()).await;
        until("it has left", || io.clients_count() == 0).await;

        soon(client.connect()).await.unwrap();
        lines.expect("connected").await;
        io.emit("return", &()).unwrap();
        lines.expect("returned").await;
        lines.expect("io client disconnect").await;
        lines.expect("connected").await;
        assert!(client.is_connected());

        let whole = client.clone();
        client.on("close", move || {
            let client = whole.clone();
            async move { client.close() }
        });
        io.emit("close", &()).unwrap();
        lines.expect("io client disconnect").await;
        soon(client.closed()).await;
        until("it has left", || io.clients_count() == 0).await;
    }
}

#[tokio::test]
async fn a_disconnect_handler_may_connect_again() {
    let (io, addr, _heard) = server().await;
    let relay = Relay::to(addr).await;
    let (log, mut lines) = log();
    let client = quick(relay.addr, WEBSOCKET).state(log).build().unwrap();
    client.on_disconnect(async |State(log): State<Log>, socket: ClientSocket| {
        log.note(socket.connect().await.is_ok());
    });
    soon(client.connect()).await.unwrap();
    let socket = io.root().sockets().pop().unwrap();
    socket.disconnect();
    lines.expect("true").await;
    assert!(client.is_connected());
    // And it is of no harm where it would come back by itself.
    relay.cut();
    lines.expect("true").await;
    assert!(client.is_connected());
}

#[tokio::test]
async fn what_is_emitted_last_is_written_before_the_end() {
    let (io, addr, mut heard) = server().await;
    for transports in TRANSPORTS {
        let client = quick(addr, transports).close_timeout(Duration::from_secs(60)).build().unwrap();
        soon(client.connect()).await.unwrap();
        for number in 0..100 {
            client.emit("note", &number).unwrap();
        }
        // The last handle goes.
        drop(client);
        for number in 0..100 {
            heard.expect(&number.to_string()).await;
        }
        until("it has left", || io.clients_count() == 0).await;
    }
}

#[tokio::test]
async fn with_its_last_handle_the_connection_goes_and_the_task_ends() {
    let (io, addr, _heard) = server().await;
    for transports in TRANSPORTS {
        let token = Arc::new(());
        let client = quick(addr, transports).state(token.clone()).build().unwrap();
        let chat = client.namespace("/");
        let events = client.events();
        soon(client.connect()).await.unwrap();
        drop(client);
        drop(events);
        // One is left.
        assert!(chat.is_connected());
        assert_eq!(io.clients_count(), 1);
        drop(chat);
        until("the task has ended", || Arc::strong_count(&token) == 1).await;
        until("it has left", || io.clients_count() == 0).await;
    }
}

#[tokio::test]
async fn the_task_ends_wherever_the_client_is_dropped() {
    let (_io, addr, _heard) = server().await;
    let relay = Relay::to(addr).await;
    for transports in TRANSPORTS {
        // Never started.
        let token = Arc::new(());
        drop(quick(relay.addr, transports).state(token.clone()).build().unwrap());
        assert_eq!(Arc::strong_count(&token), 1);

        // While it dials, and before that.
        let client = quick(relay.addr, transports).state(token.clone()).build().unwrap();
        client.start();
        drop(client);
        until("the task has ended", || Arc::strong_count(&token) == 1).await;

        // While it waits to dial again.
        relay.close();
        let (log, mut lines) = log();
        let client = quick(relay.addr, transports)
            .reconnection_delay(Duration::from_secs(100))
            .reconnection_delay_max(Duration::from_secs(100))
            .state(token.clone())
            .on_connection_event(move |state| {
                if let ConnectionEvent::Failed { retry_in, .. } = state {
                    log.note(retry_in.is_some());
                }
            })
            .build()
            .unwrap();
        client.start();
        lines.expect("true").await;
        assert_eq!(client.status(), ClientState::Waiting);
        drop(client);
        until("the task has ended", || Arc::strong_count(&token) == 1).await;
        relay.open();

        // By its own handler.
        let client = quick(relay.addr, transports).state(token.clone()).build().unwrap();
        let slot = Arc::new(std::sync::Mutex::new(None));
        let inner = slot.clone();
        client.on_connect(move || {
            let client: Option<crate::sansocket::Client> = inner.lock().unwrap().take();
            async move { drop(client) }
        });
        let connected = client.connect();
        *slot.lock().unwrap() = Some(client.clone());
        soon(connected).await.unwrap();
        drop(client);
        until("the task has ended", || Arc::strong_count(&token) == 1).await;
    }
}

#[tokio::test]
async fn nobody_waits_for_room_that_will_not_come() {
    let (_io, addr, _heard) = server().await;
    let client = quick(addr, WEBSOCKET).send_budget(1000).build().unwrap();
    let nowhere = client.namespace("/nowhere");
    nowhere.emit("x", &"x".repeat(900)).unwrap();
    // Nobody has told it to connect.
    soon(nowhere.ready()).await;
    client.start();
    soon(client.connected()).await.unwrap();
    soon(nowhere.ready()).await;

    // It is waited for while it may still come, and no longer.
    let (log, mut lines) = log();
    nowhere.auth_with(move || {
        log.note("asked");
        std::future::pending::<Result<(), String>>()
    });
    nowhere.start();
    lines.expect("asked").await;
    for end in [ClientSocket::disconnect, ClientSocket::discard_unsent] {
        nowhere.start();
        let mut waiting = Box::pin(nowhere.ready());
        let mut context = std::task::Context::from_waker(std::task::Waker::noop());
        assert!(waiting.as_mut().poll(&mut context).is_pending());
        end(&nowhere);
        soon(waiting).await;
    }
    assert_eq!((nowhere.unsent(), client.buffered()), (0, 0));
    assert!(client.is_connected());
}

#[tokio::test]
async fn a_namespace_that_is_refused_takes_no_room_from_the_others() {
    let (_io, addr, mut heard) = server().await;
    let relay = Relay::to(addr).await;
    for transports in TRANSPORTS {
        let client = quick(relay.addr, transports).send_budget(1000).build().unwrap();
        let (log, mut lines) = log();
        told(&client, &log);
        let nowhere = client.namespace("/nowhere");
        nowhere.emit("x", &"x".repeat(900)).unwrap();
        soon(nowhere.connect()).await.unwrap_err();
        assert!(nowhere.emit("x", &"x".repeat(900)).is_err());
        soon(client.connect()).await.unwrap();
        lines.expect("connected").await;
        client.emit("note", &1).unwrap();
        heard.expect("1").await;

        relay.close();
        lines.next().await;
        client.emit("note", &2).unwrap();
        client.emit("note", &3).unwrap();
        relay.open();
        lines.expect("connected").await;
        heard.expect("2").await;
        heard.expect("3").await;

        // It is kept until it is thrown away.
        assert!(nowhere.unsent() > 900);
        // The server may have the others before this side has counted them as written.
        until("the others are written", || client.buffered() == nowhere.unsent()).await;
        let answer = nowhere.call::<_, ()>("x", &());
        nowhere.discard_unsent();
        assert_eq!(nowhere.unsent(), 0);
        let answered = soon(answer).await;
        assert!(matches!(answered, Err(AckError::Disconnected)), "{answered:?}");
        nowhere.emit("x", &"x".repeat(900)).unwrap();
        client.close();
        assert_eq!(client.buffered(), 0);
    }
}

#[tokio::test]
async fn the_states_are_told_in_order() {
    let (_io, addr, _heard) = server().await;
    let relay = Relay::to(addr).await;
    let (log, mut lines) = log();
    let client = quick(relay.addr, UPGRADE)
        .on_connection_event(move |state| {
            log.note(match state {
                ConnectionEvent::Dialing { attempt } => format!("dialing {attempt}"),
                ConnectionEvent::Failed { retry_in, .. } => format!("failed {}", retry_in.is_some()),
                ConnectionEvent::Open { attempt } => format!("open {attempt}"),
                ConnectionEvent::Upgraded => "upgraded".to_owned(),
                ConnectionEvent::Closed { reason, retry_in, .. } => format!(
                    "closed {} {}",
                    if *reason == CloseReason::ForcedClose { "here" } else { "there" },
                    retry_in.is_some()
                ),
                other => format!("{other:?}"),
            });
        })
        .build()
        .unwrap();
    client.start();
    for line in ["dialing 0", "open 0", "upgraded"] {
        lines.expect(line).await;
    }
    relay.close();
    for line in ["closed there true", "dialing 1", "failed true", "dialing 2"] {
        lines.expect(line).await;
    }
    relay.open();
    while lines.next().await != "upgraded" {}
    client.close();
    lines.expect("closed here false").await;
    soon(client.closed()).await;
    assert!(lines.drain().is_empty());
}

#[tokio::test]
async fn heartbeats_keep_a_client_and_silence_is_left_after_the_servers_patience() {
    let (interval, timeout) = (Duration::from_millis(200), Duration::from_millis(1800));
    let io = crate::server().ping_interval(interval).ping_timeout(timeout).build().unwrap();
    let addr = serve(&io).await;
    let (log, mut lines) = log();
    let relays = [Relay::to(addr).await, Relay::to(addr).await, Relay::to(addr).await];
    let mut clients = Vec::new();
    for (relay, transports) in relays.iter().zip(TRANSPORTS) {
        let client = quick(relay.addr, transports).reconnection(false).build().unwrap();
        told(&client, &log);
        soon(client.connect()).await.unwrap();
        lines.expect("connected").await;
        until("it has moved", || client.transport() == transports.last().copied()).await;
        clients.push(client);
    }
    // For longer than the heartbeat grants without a ping, they stay.
    let calm = tokio::time::timeout((interval + timeout) * 3 / 2, lines.next()).await;
    assert!(calm.is_err(), "{calm:?}");
    assert!(clients.iter().all(|client| client.is_connected()));
    for relay in &relays {
        relay.hush();
    }
    for _ in &clients {
        lines.expect("ping timeout").await;
    }
}
