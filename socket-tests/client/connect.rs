//! Joining namespaces as a client, and being refused.

use crate::sansocket::{
    Auth, Client, ClientSocket, ClientState, ConnectError, ConnectionEvent, DisconnectReason, Refusal,
    Server, ServerRefusal, Socket,
};
use crate::suite::relay::{Relay, TRANSPORTS, UPGRADE, WEBSOCKET, quick};
use crate::suite::support::{log, serve, soon, until};
use sansocket_protocol::engine::EngineError;
use sansocket_protocol::error::PeerError;
use sansocket_runtime::websocket::{write_close, write_text};
use serde_json::{Value, json};
use std::future::Future;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::oneshot;

async fn server() -> (Server, SocketAddr) {
    let io = crate::server().build().expect("a server");
    io.root().on("auth", async |Auth(auth): Auth<Value>| crate::sansocket::Data(auth));
    io.namespace("/chat").on("name", async |socket: Socket| socket.namespace().name().to_owned());
    io.namespace("/closed")
        .on_connect(async || Err::<(), _>(Refusal::new("not today").data(&json!({ "code": 42 }))));
    let addr = serve(&io).await;
    (io, addr)
}

#[tokio::test]
async fn what_it_shows_when_it_joins_may_be_fixed_or_asked_for_each_time() {
    let (_io, addr) = server().await;
    let relay = Relay::to(addr).await;
    let client = quick(relay.addr, WEBSOCKET).auth(&json!({ "token": 1 })).build().unwrap();
    soon(client.connect()).await.unwrap();
    assert_eq!(client.call::<_, Value>("auth", &()).await.unwrap(), json!({ "token": 1 }));

    client.disconnect();
    client.auth(&json!({ "token": 2 })).unwrap();
    soon(client.connect()).await.unwrap();
    assert_eq!(client.call::<_, Value>("auth", &()).await.unwrap(), json!({ "token": 2 }));

    let count = Arc::new(AtomicU32::new(10));
    let counter = count.clone();
    client.auth_with(move || {
        let number = counter.fetch_add(1, Ordering::Relaxed);
        async move {
            tokio::task::yield_now().await;
            Ok::<_, &str>(json!({ "token": number }))
        }
    });
    client.disconnect();
    soon(client.connect()).await.unwrap();
    assert_eq!(client.call::<_, Value>("auth", &()).await.unwrap(), json!({ "token": 10 }));
    let (log, mut lines) = log();
    client.on_connect(move || {
        let log = log.clone();
        async move { log.note("again") }
    });
    relay.cut();
    lines.expect("again").await;
    assert_eq!(client.call::<_, Value>("auth", &()).await.unwrap(), json!({ "token": 11 }));
}

#[tokio::test]
async fn a_refusal_is_told_with_its_message_and_data_and_is_not_asked_for_again() {
    let (_io, addr) = server().await;
    for transports in TRANSPORTS {
        let client = quick(addr, transports).build().unwrap();
        let closed = client.namespace("closed");
        let (log, mut lines) = log();
        closed.on_connect_error(move |error: ConnectError| {
            let log = log.clone();
            async move { log.note(error) }
        });
        let ConnectError::Refused(refused) = soon(closed.connect()).await.unwrap_err() else { panic!() };
        assert_eq!(refused.message(), "not today");
        assert_eq!(refused.data::<Value>().unwrap(), json!({ "code": 42 }));
        lines.expect("the server refused: not today").await;
        soon(client.closed()).await;
        assert_eq!(client.status(), ClientState::Idle);
        // Who asks later learns the same.
        let ConnectError::Refused(refused) = soon(closed.connected()).await.unwrap_err() else { panic!() };
        assert_eq!(refused.message(), "not today");
        assert!(lines.drain().is_empty());

        // And others are not concerned.
        soon(client.connect()).await.unwrap();
        soon(closed.connect()).await.unwrap_err();
        assert!(client.is_connected() && !closed.is_connected());
    }
}

#[tokio::test]
async fn auth_that_cannot_be_had_is_an_error_of_the_application() {
    let (_io, addr) = server().await;
    let client = quick(addr, UPGRADE).build().unwrap();
    client.auth_with(async || Err::<(), _>("no token"));
    let error = soon(client.connect()).await.unwrap_err();
    assert!(
        matches!(&error, ConnectError::Application(error) if error.to_string() == "no token"),
        "{error:?}"
    );
    client.auth_with(async || -> Result<(), String> { panic!("oh") });
    let error = soon(client.connect()).await.unwrap_err();
    assert!(
        matches!(&error, ConnectError::Application(error) if error.to_string().contains("oh")),
        "{error:?}"
    );
    soon(client.closed()).await;
}

#[tokio::test]
async fn a_namespace_is_one_of_several_on_one_connection() {
    let (io, addr) = server().await;
    let relay = Relay::to(addr).await;
    let client = quick(relay.addr, WEBSOCKET).build().unwrap();
    let chat = client.namespace("/chat");
    let (one, two) = soon(async { tokio::join!(client.connect(), chat.connect()) }).await;
    one.unwrap();
    two.unwrap();
    assert_eq!(relay.accepted(), 1);
    assert_ne!(client.id(), chat.id());
    assert_eq!(chat.call::<_, String>("name", &()).await.unwrap(), "/chat");

    // One is left, the other stays.
    client.disconnect();
    until("it is left", || io.root().is_empty()).await;
    assert_eq!(chat.call::<_, String>("name", &()).await.unwrap(), "/chat");
    soon(client.connect()).await.unwrap();
    assert_eq!(relay.accepted(), 1);
    client.disconnect();
    chat.disconnect();
    soon(client.closed()).await;
    until("all is left", || io.clients_count() == 0).await;
}

#[tokio::test]
async fn a_path_without_a_slash_behind_it_is_asked_for_as_it_is() {
    for transports in TRANSPORTS {
        // Such a server knows `/rt` alone, as a proxy that rewrites paths may.
        let io = crate::server().exact_path("/rt?").build().expect("a server");
        let addr = serve(&io).await;
        let client = quick(addr, transports).exact_path("/rt").build().unwrap();
        soon(client.connect()).await.unwrap();
        client.close();
        let client = quick(addr, transports).path("/rt").build().unwrap();
        assert!(soon(client.connect()).await.is_err());
    }
}

#[tokio::test]
async fn the_path_of_the_address_names_the_namespace() {
    let (_io, addr) = server().await;
    let client = Client::connect_to(&format!("http://{addr}/chat?x=1")).await.unwrap();
    assert_eq!(client.name(), "/chat");
    assert_eq!(client.call::<_, String>("name", &()).await.unwrap(), "/chat");
    let wrong = client.namespace("/a,b");
    assert!(matches!(soon(wrong.connect()).await, Err(ConnectError::Namespace)));
    assert!(wrong.emit("x", &()).is_err());
}

#[tokio::test]
async fn connecting_in_vain_leaves_nothing_behind() {
    let (_io, addr) = server().await;
    let relay = Relay::to(addr).await;
    relay.close();
    for transports in TRANSPORTS {
        let client = quick(relay.addr, transports).build().unwrap();
        let before = relay.accepted();
        let error = soon(client.connect()).await.unwrap_err();
        assert!(matches!(error, ConnectError::Session { .. }), "{error:?}");
        soon(client.closed()).await;
        assert_eq!(client.status(), ClientState::Idle);
        assert_eq!(relay.accepted() - before, 1, "{transports:?}");
    }
    // Nobody listens at all.
    let nobody = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let client = quick(nobody, UPGRADE).build().unwrap();
    let error = soon(client.connect()).await.unwrap_err();
    assert_eq!(error.peer_error(), Some(&PeerError::Engine(EngineError::RequestFailed)));
    assert!(error.to_string().contains("refused"), "{error}");
}

#[tokio::test]
async fn starting_goes_on_until_it_has_connected() {
    let (_io, addr) = server().await;
    let relay = Relay::to(addr).await;
    relay.close();
    let (log, mut lines) = log();
    let client = quick(relay.addr, UPGRADE).build().unwrap();
    client.on_connect_error(move |_: ConnectError| {
        let log = log.clone();
        async move { log.note("failed") }
    });
    // Nobody has begun it yet.
    assert!(matches!(soon(client.connected()).await, Err(ConnectError::Disconnected)));
    client.start();
    lines.expect("failed").await;
    lines.expect("failed").await;
    let waiting = tokio::spawn({
        let client = client.clone();
        async move { client.connected().await }
    });
    lines.expect("failed").await;
    relay.open();
    soon(waiting).await.unwrap().unwrap();
    soon(client.connected()).await.unwrap();
}

#[tokio::test]
async fn a_client_gives_up_after_so_many_tries_and_can_be_told_to_begin_again() {
    let (_io, addr) = server().await;
    let relay = Relay::to(addr).await;
    relay.close();
    let client = quick(relay.addr, WEBSOCKET).reconnection_attempts(3).build().unwrap();
    client.start();
    let error = soon(client.connected()).await.unwrap_err();
    assert!(matches!(error, ConnectError::GaveUp), "{error:?}");
    soon(client.closed()).await;
    assert_eq!(relay.accepted(), 4);
    assert!(matches!(soon(client.connected()).await, Err(ConnectError::GaveUp)));
    relay.open();
    soon(client.connect()).await.unwrap();
}

#[tokio::test]
async fn a_wait_that_is_given_up_is_forgotten() {
    let (_io, addr) = server().await;
    let relay = Relay::to(addr).await;
    relay.close();
    let client = quick(relay.addr, WEBSOCKET).build().unwrap();
    client.start();
    for _ in 0..10 {
        let given_up = tokio::time::timeout(Duration::from_millis(1), client.connected()).await;
        assert!(given_up.is_err());
    }
    relay.open();
    soon(client.connected()).await.unwrap();
}

#[tokio::test]
async fn who_starts_when_it_hears_of_a_failure_goes_on() {
    let (_io, addr) = server().await;
    let relay = Relay::to(addr).await;
    for transports in TRANSPORTS {
        for attempts in [0, 100] {
            relay.close();
            let client = quick(relay.addr, transports).reconnection_attempts(attempts).build().unwrap();
            client.on_connect_error(async |socket: ClientSocket| socket.start());
            let error = soon(client.connect()).await.unwrap_err();
            assert!(matches!(error, ConnectError::Session { .. }), "{error:?}");
            // With no more tries the handler begins anew with each failure, and may be about to.
            until("it goes on", || client.status() != ClientState::Idle).await;
            relay.open();
            until("it has connected", || client.is_connected()).await;
        }
    }
}

#[tokio::test]
async fn a_failed_connect_ends_nothing_that_others_have_begun() {
    let (_io, addr) = server().await;
    let relay = Relay::to(addr).await;
    for transports in TRANSPORTS {
        // What goes on trying goes on.
        relay.close();
        let client = quick(relay.addr, transports).build().unwrap();
        client.start();
        soon(client.connect()).await.unwrap_err();
        assert_ne!(client.status(), ClientState::Idle);
        relay.open();
        soon(client.connected()).await.unwrap();

        // What is lost comes back.
        relay.close();
        until("it is lost", || !client.is_connected()).await;
        while soon(client.connect()).await.is_ok() {}
        relay.open();
        soon(client.connected()).await.unwrap();
    }
}

#[tokio::test]
async fn a_loss_that_is_not_told_yet_is_no_answer_to_who_connects() {
    let (_io, target) = server().await;
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    tokio::spawn(async move {
        for number in 0.. {
            let (mut near, _) = listener.accept().await.unwrap();
            tokio::spawn(async move {
                if number > 0 {
                    let mut far = tokio::net::TcpStream::connect(target).await.unwrap();
                    let _ = tokio::io::copy_bidirectional(&mut near, &mut far).await;
                    return;
                }
                // The session opens and is lost within one read.
                let head = crate::suite::hostile::head(&mut near).await;
                let mut said = crate::suite::hostile::accepted(&head).into_bytes();
                write_text(&mut said, None, crate::suite::hostile::OPEN.as_bytes());
                write_close(&mut said, None, None, "");
                near.write_all(&said).await.unwrap();
                let _ = near.read_to_end(&mut Vec::new()).await;
            });
        }
    });
    for reconnection in [true, false] {
        let slot: Arc<OnceLock<Client>> = Arc::default();
        let (sender, mut connecting) = tokio::sync::mpsc::unbounded_channel();
        let inner = slot.clone();
        let client = quick(addr, WEBSOCKET)
            .reconnection(reconnection)
            .on_connection_event(move |state| {
                if let (ConnectionEvent::Open { .. }, Some(client)) = (state, inner.get()) {
                    let client = client.clone();
                    let mut connect = Box::pin(async move { client.connect().await });
                    let mut context = std::task::Context::from_waker(std::task::Waker::noop());
                    if connect.as_mut().poll(&mut context).is_pending() {
                        let _ = sender.send(connect);
                    }
                }
            })
            .build()
            .unwrap();
        assert!(slot.set(client.clone()).is_ok());
        client.start();
        let connecting = soon(connecting.recv()).await.expect("it is lost before it is connected");
        soon(connecting).await.unwrap();
        assert!(client.is_connected());
        client.close();
    }
}

/// A handler at work holds the events of its socket back, and with them what became of its connections.
#[tokio::test]
async fn a_connection_that_is_told_late_is_no_answer_to_who_connects_after_it() {
    for refused in [true, false] {
        let io = crate::server().build().unwrap();
        let (asked, mut questions) = tokio::sync::mpsc::unbounded_channel::<oneshot::Sender<bool>>();
        io.root().on_connect(move || {
            let (sender, answer) = oneshot::channel();
            let _ = asked.send(sender);
            async move { if answer.await == Ok(true) { Ok(()) } else { Err(Refusal::new("no more")) } }
        });
        let relay = Relay::to(serve(&io).await).await;
        let client = quick(relay.addr, WEBSOCKET).build().unwrap();
        let (log, mut lines) = log();
        let lost = log.clone();
        client.on_disconnect(move |reason: DisconnectReason| {
            let log = lost.clone();
            async move { log.note(format_args!("lost: {reason}")) }
        });
        let (open, gate) = oneshot::channel::<()>();
        let gate = std::sync::Mutex::new(Some(gate));
        client.on("slow", move || {
            let (gate, log) = (gate.lock().unwrap().take().unwrap(), log.clone());
            async move {
                log.note("at work");
                gate.await.unwrap();
            }
        });
        client.start();
        soon(questions.recv()).await.unwrap().send(true).unwrap();
        soon(client.connected()).await.unwrap();
        io.emit("slow", &()).unwrap();
        lines.expect("at work").await;

        // It is lost and made again, and the server ends that one, too.
        relay.cut();
        soon(questions.recv()).await.unwrap().send(true).unwrap();
        until("only the new one is there", || client.is_connected() && io.root().len() == 1).await;
        io.root().sockets()[0].disconnect();
        until("it hears of it", || !client.is_connected()).await;
        let mut connecting = tokio::spawn({
            let client = client.clone();
            async move { client.connect().await }
        });
        let question = soon(questions.recv()).await.unwrap();
        // What was held back is told.
        open.send(()).unwrap();
        for _ in 0..2 {
            let line = lines.next().await;
            assert!(line.starts_with("lost: "), "{line}");
        }
        if refused {
            question.send(false).unwrap();
        } else {
            relay.close();
        }
        let error = soon(&mut connecting).await.unwrap().unwrap_err();
        assert_eq!(matches!(error, ConnectError::Refused(_)), refused, "{error}");
        // Nobody has started it since.
        until("nothing goes on", || client.status() == ClientState::Idle).await;
    }
}

#[tokio::test]
async fn a_refused_token_is_refreshed_once() {
    let io = crate::server().build().expect("a server");
    io.root().on_connect(async |Auth(auth): Auth<Value>| match auth["token"].as_u64() {
        Some(2) => Ok(()),
        Some(token) => Err(Refusal::new(format!("{token} expired"))),
        None => Err(Refusal::new("no token")),
    });
    let addr = serve(&io).await;
    let (log, mut lines) = log();
    for transports in TRANSPORTS {
        let client = quick(addr, transports).build().unwrap();
        let noted = log.clone();
        client.auth_refreshed(move |refused: Option<ServerRefusal>| {
            let noted = noted.clone();
            async move {
                tokio::task::yield_now().await;
                noted.note(format_args!("{:?}", refused.as_ref().map(ServerRefusal::message)));
                Ok::<_, String>(json!({ "token": if refused.is_some() { 2 } else { 1 } }))
            }
        });
        let noted = log.clone();
        client.on_connect_error(move |error: ConnectError| {
            let noted = noted.clone();
            async move { noted.note(format_args!("{error}")) }
        });
        soon(client.connect()).await.unwrap();
        let closed = client.closed();
        lines.expect("None").await;
        lines.expect("Some(\"1 expired\")").await;
        assert!(tokio::time::timeout(Duration::from_millis(20), closed).await.is_err());
        client.close();
        soon(client.closed()).await;
        assert!(lines.drain().is_empty());
    }

    // One that is of no use either is final, and so is a callback that gives the refusal back.
    for give_up in [false, true] {
        let client = quick(addr, WEBSOCKET).build().unwrap();
        let count = Arc::new(AtomicU32::new(0));
        let counter = count.clone();
        client.auth_refreshed(move |refused: Option<ServerRefusal>| {
            let number = 5 + counter.fetch_add(1, Ordering::Relaxed);
            async move {
                match refused.filter(|_| give_up) {
                    Some(refusal) => Err(refusal),
                    None => Ok(json!({ "token": number })),
                }
            }
        });
        let error = soon(client.connect()).await.unwrap_err();
        let ConnectError::Refused(refusal) = &error else { panic!("{error:?}") };
        assert_eq!(refusal.message(), if give_up { "5 expired" } else { "6 expired" });
        assert_eq!(count.load(Ordering::Relaxed), 2);
        soon(client.closed()).await;
        // The next time begins anew.
        soon(client.connect()).await.unwrap_err();
        assert_eq!(count.load(Ordering::Relaxed), 4);
    }
}
