//! The events of a client as a loop.

use crate::sansocket::{
    Ack, AckError, Args, Bytes, ClientSocket, Data, EmitError, HandlerError, ReceiveError, SendError, Server,
    Socket, State,
};
use crate::suite::relay::{Relay, TRANSPORTS, WEBSOCKET, quick};
use crate::suite::support::{Log, log, serve, soon, until};
use futures_util::StreamExt;
use std::net::SocketAddr;
use std::time::Duration;

async fn server() -> (Server, SocketAddr) {
    let io = crate::server().build().expect("a server");
    io.root()
        .on("burst", async |socket: Socket, Data(count): Data<u32>| {
            for number in 0..count {
                socket.emit("tick", &number).unwrap();
            }
        })
        .on("burst and kick", async |socket: Socket, Data(count): Data<u32>| {
            for number in 0..count {
                socket.emit("tick", &number).unwrap();
            }
            socket.disconnect();
        })
        .on("fine", async || "fine");
    let addr = serve(&io).await;
    (io, addr)
}

#[tokio::test]
async fn events_come_one_after_the_other_and_may_be_acknowledged() {
    let (io, addr) = server().await;
    for transports in TRANSPORTS {
        let client = quick(addr, transports).build().unwrap();
        let mut events = client.events();
        client.on("own", async || "handled");
        soon(client.connect()).await.unwrap();
        assert!(matches!(events.next_within(Duration::from_millis(1)).await, Err(ReceiveError::Timeout)));
        let socket = io.root().sockets().pop().unwrap();
        let answer = socket.emit_with_ack("question", &(1, "x"), Duration::from_secs(60));
        let own = socket.emit_with_ack("own", &(), Duration::from_secs(60));
        let event = soon(events.next()).await.unwrap();
        assert_eq!(event.event, "question");
        assert_eq!(event.decode::<(u32, String)>().unwrap(), (1, "x".to_owned()));
        assert!(event.ack.is_wanted());
        event.ack(&"because").unwrap();
        assert_eq!(soon(answer).await.unwrap().decode::<String>().unwrap(), "because");
        assert_eq!(soon(own).await.unwrap().decode::<String>().unwrap(), "handled");
        client.disconnect();
        assert!(soon(events.next()).await.is_none());
        let over = events.next_within(Duration::from_secs(60)).await;
        assert!(matches!(over, Err(ReceiveError::Disconnected)));
        until("it has left", || io.clients_count() == 0).await;
    }
}

#[tokio::test]
async fn a_loop_ends_only_once_all_was_taken() {
    let (_io, addr) = server().await;
    for transports in TRANSPORTS {
        let client = quick(addr, transports).build().unwrap();
        let mut events = client.events();
        // Nobody has begun.
        assert!(soon(events.next()).await.is_none());
        soon(client.connect()).await.unwrap();
        // More than fit into the queue: the rest waits in the core, beyond the end of the connection.
        client.emit("burst and kick", &1000).unwrap();
        soon(client.closed()).await;
        let numbers: Vec<u32> =
            soon(events.by_ref().map(|event| event.decode::<u32>().unwrap()).collect()).await;
        assert_eq!(numbers, (0..1000).collect::<Vec<_>>());
        assert!(soon(events.next()).await.is_none());
    }
}

#[tokio::test]
async fn a_loop_survives_a_lost_connection() {
    let (io, addr) = server().await;
    for transports in TRANSPORTS {
        let relay = Relay::to(addr).await;
        let client = quick(relay.addr, transports).build().unwrap();
        let mut events = client.events();
        let (log, mut ends) = log();
        client.on_disconnect(move || {
            log.note("disconnected");
            async {}
        });
        soon(client.connect()).await.unwrap();
        for round in 0..3 {
            client.emit("burst", &3).unwrap();
            for number in 0..3 {
                assert_eq!(soon(events.next()).await.unwrap().decode::<u32>().unwrap(), number, "{round}");
            }
            relay.close();
            ends.expect("disconnected").await;
            relay.open();
        }
        soon(client.connected()).await.unwrap();
        let id = client.id().unwrap();
        client.close();
        assert!(soon(events.next()).await.is_none());
        until("it has left", || io.socket(&id).is_none()).await;
    }
}

#[tokio::test]
async fn a_loop_that_does_not_take_holds_the_server_back() {
    let (io, addr) = server().await;
    for transports in TRANSPORTS {
        let client = quick(addr, transports).receive_budget(100_000).build().unwrap();
        let mut events = client.events();
        soon(client.connect()).await.unwrap();
        let socket = io.root().sockets().pop().unwrap();
        let text = "x".repeat(10_000);
        let flood = tokio::spawn(async move {
            for number in 0..1_500_u32 {
                if socket.emit_when_ready("tick", &(number, &text)).await.is_err() {
                    return number;
                }
            }
            1_500
        });
        // The queue, the budget, what is on the way: the server cannot get rid of it all.
        tokio::time::sleep(Duration::from_millis(200)).await;
        assert!(!flood.is_finished(), "{transports:?}");
        // An answer still comes through, and nothing is lost.
        for expected in 0..1_500_u32 {
            let event = soon(events.next()).await.unwrap();
            assert_eq!(event.decode::<(u32, String)>().unwrap().0, expected);
        }
        assert_eq!(soon(flood).await.unwrap(), 1_500);
        client.close();
        until("it has left", || io.clients_count() == 0).await;
    }
}

#[tokio::test]
async fn only_the_newest_loop_gets_the_events_and_a_dropped_one_holds_nobody() {
    let (_io, addr) = server().await;
    let client = quick(addr, WEBSOCKET).build().unwrap();
    let first = client.events();
    let mut second = client.events();
    drop(first);
    soon(client.connect()).await.unwrap();
    client.emit("burst", &2).unwrap();
    assert_eq!(soon(second.next()).await.unwrap().decode::<u32>().unwrap(), 0);
    drop(second);
    client.emit("burst", &1000).unwrap();
    client.on("tick", async |_: Args, _: Ack| {});
    assert_eq!(soon(client.call::<_, String>("fine", &())).await.unwrap(), "fine");
}

#[tokio::test]
async fn a_loop_and_the_handlers_for_the_rest_leave_each_other_alone() {
    let (io, addr) = server().await;
    let (log, mut lines) = log();
    let client = quick(addr, WEBSOCKET).build().unwrap();
    let note = |name: &'static str| {
        let log = log.clone();
        move |Data(number): Data<u32>| {
            log.note(format_args!("{name} {number}"));
            async move { number }
        }
    };
    client.on_fallback(note("before"));
    let first = client.events();
    let mut second = client.events();
    client.on_fallback(note("after"));
    drop(first);
    soon(client.connect()).await.unwrap();
    let socket = io.root().sockets().pop().unwrap();
    socket.emit("tick", &1).unwrap();
    assert_eq!(soon(second.next()).await.unwrap().decode::<u32>().unwrap(), 1);
    lines.expect("before 1").await;
    lines.expect("after 1").await;
    drop(second);
    // The acknowledgement is theirs again.
    let answer = soon(socket.emit_with_ack("tick", &2, Duration::from_secs(60))).await.unwrap();
    assert_eq!(answer.decode::<u32>().unwrap(), 2);
    assert_eq!(lines.drain(), ["before 2", "after 2"]);
}

#[tokio::test]
async fn many_tasks_may_take_turns_at_a_loop() {
    let (_io, addr) = server().await;
    let client = quick(addr, WEBSOCKET).build().unwrap();
    let mut events = client.events();
    soon(client.connect()).await.unwrap();
    for number in 0..100 {
        client.emit("burst", &1).unwrap();
        events = tokio::spawn(async move {
            assert!(soon(events.next()).await.is_some());
            events
        })
        .await
        .unwrap_or_else(|error| panic!("{number}: {error}"));
    }
}

#[tokio::test]
async fn what_the_server_does_not_take_fails_and_the_connection_lives() {
    for transports in TRANSPORTS {
        let (heard, mut hears) = log();
        let io = crate::server().max_payload(1000).state(heard).build().expect("a server");
        io.root().on("said", async |State(heard): State<Log>, Data(text): Data<String>| heard.note(text));
        let addr = serve(&io).await;
        let (told, mut tells) = log();
        let client = quick(addr, transports)
            .on_error(move |_: &ClientSocket, error: &HandlerError| {
                assert!(matches!(error, HandlerError::UnsentEvent(_)), "{error}");
                told.note("unsent");
            })
            .build()
            .unwrap();
        // The server's limit is not known yet.
        client.emit("said", &"x".repeat(1000)).unwrap();
        client.emit("said", &"early").unwrap();
        let early = client.emit_with_ack("said", &Bytes::from(vec![0; 1001]), Duration::from_secs(60));
        soon(client.connect()).await.unwrap();
        let too_large =
            |error: &EmitError| matches!(error, EmitError::Send(SendError::TooLarge { limit: 1000 }));
        assert!(matches!(soon(early).await, Err(AckError::Emit(error)) if too_large(&error)));
        assert_eq!(tells.next().await, "unsent");
        assert!(client.emit("said", &"x".repeat(1000)).is_err_and(|error| too_large(&error)));
        assert!(client.emit("said", &Bytes::from(vec![0; 1001])).is_err_and(|error| too_large(&error)));
        client.emit("said", &"late").unwrap();
        assert_eq!(hears.next().await, "early");
        assert_eq!(hears.next().await, "late");
        client.close();
    }
}
