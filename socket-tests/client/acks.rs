//! The fate of each answer that a client awaits: exactly one thing.

use crate::sansocket::{Ack, AckError, Args, Client, Data, EmitError, Server, Socket};
use crate::suite::relay::{Relay, TRANSPORTS, WEBSOCKET, quick};
use crate::suite::support::{Lines, Log, logged, serve, soon, until};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

async fn server() -> (Server, SocketAddr, Lines) {
    let (io, lines) = logged(crate::server());
    io.root()
        .on("add", async |Data((a, b)): Data<(i32, i32)>| a + b)
        .on("pair", async || (1, "two"))
        .on("never", async |_: Ack| {})
        .on("kick", async |socket: Socket, _: Ack| socket.disconnect())
        .on("note", async |log: crate::sansocket::State<Log>, args: Args| {
            log.0.note(args.decode::<u32>().unwrap());
            true
        });
    let addr = serve(&io).await;
    (io, addr, lines)
}

#[tokio::test]
async fn an_answer_is_a_value_or_several_or_a_typed_error() {
    let (_io, addr, _lines) = server().await;
    for transports in TRANSPORTS {
        let client = quick(addr, transports).build().unwrap();
        client.connect().await.unwrap();
        assert_eq!(soon(client.call::<_, i32>("add", &(1, 2))).await.unwrap(), 3);
        let pair: (u32, String) = soon(client.call("pair", &())).await.unwrap();
        assert_eq!(pair, (1, "two".to_owned()));
        let wrong = soon(client.call::<_, String>("add", &(1, 2))).await;
        assert!(matches!(wrong, Err(AckError::Answer(_))), "{wrong:?}");
        let late = client.emit_with_ack("never", &(), Duration::from_millis(20));
        assert!(matches!(soon(late).await, Err(AckError::Timeout)));
        let kicked = client.emit_with_ack("kick", &(), Duration::from_secs(60));
        assert!(matches!(soon(kicked).await, Err(AckError::Disconnected)));
        let reserved = soon(client.call::<_, ()>("disconnect", &())).await;
        assert!(matches!(reserved, Err(AckError::Emit(EmitError::Encode(_)))), "{reserved:?}");
    }
}

#[tokio::test]
async fn many_answers_find_their_questions() {
    let (_io, addr, _lines) = server().await;
    let client = quick(addr, WEBSOCKET).build().unwrap();
    client.connect().await.unwrap();
    let calls: Vec<_> = (0..500).map(|n| client.call::<_, i32>("add", &(n, 1))).collect();
    for (n, call) in calls.into_iter().enumerate() {
        assert_eq!(usize::try_from(soon(call).await.unwrap()).unwrap(), n + 1);
    }
}

#[tokio::test]
async fn a_question_of_before_the_connection_is_sent_with_it() {
    let (_io, addr, _lines) = server().await;
    let client = quick(addr, WEBSOCKET).build().unwrap();
    let early = client.call::<_, i32>("add", &(1, 2));
    client.connect().await.unwrap();
    assert_eq!(soon(early).await.unwrap(), 3);
}

#[tokio::test]
async fn a_question_that_is_never_sent_ends_too() {
    let nobody = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let client = quick(nobody, WEBSOCKET).build().unwrap();
    // Without any word about connecting.
    let late = client.emit_with_ack("x", &(), Duration::from_millis(20));
    assert!(matches!(soon(late).await, Err(AckError::Timeout)));
    let closed = client.emit_with_ack("x", &(), Duration::from_secs(60));
    client.close();
    assert!(matches!(soon(closed).await, Err(AckError::Disconnected)));
    let dropped = client.emit_with_ack("x", &(), Duration::from_secs(60));
    drop(client);
    assert!(matches!(soon(dropped).await, Err(AckError::Disconnected)));

    let client = quick(nobody, WEBSOCKET).build().unwrap();
    let dropped = client.emit_with_ack("x", &(), Duration::from_secs(60));
    drop(client);
    assert!(matches!(soon(dropped).await, Err(AckError::Disconnected)));
}

#[tokio::test]
async fn no_more_are_awaited_than_the_limit_says() {
    let (_io, addr, _lines) = server().await;
    let client = quick(addr, WEBSOCKET).max_pending_acks(2).build().unwrap();
    client.connect().await.unwrap();
    // Long enough that it still waits when the third is emitted.
    let first = client.emit_with_ack("never", &(), Duration::from_secs(1));
    let second = client.emit_with_ack("never", &(), Duration::from_secs(60));
    let third = client.emit_with_ack("never", &(), Duration::from_secs(60));
    assert!(matches!(soon(third).await, Err(AckError::Emit(EmitError::Send(_)))));
    assert!(matches!(soon(first).await, Err(AckError::Timeout)));
    assert_eq!(soon(client.call::<_, i32>("add", &(1, 2))).await.unwrap(), 3);
    client.close();
    assert!(matches!(soon(second).await, Err(AckError::Disconnected)));
}

#[tokio::test]
async fn with_retries_nothing_is_lost_and_the_order_is_kept() {
    let (_io, addr, mut lines) = server().await;
    let relay = Relay::to(addr).await;
    let client =
        quick(relay.addr, WEBSOCKET).retries(1000).ack_timeout(Duration::from_secs(5)).build().unwrap();
    client.connect().await.unwrap();
    let total = 200;
    let emitter = tokio::spawn({
        let client = client.clone();
        async move {
            for number in 0..total {
                client.emit("note", &number).unwrap();
                if number % 20 == 0 {
                    tokio::time::sleep(Duration::from_millis(2)).await;
                }
            }
            client.call::<_, bool>("note", &total).await
        }
    });
    let mut heard: Vec<u32> = Vec::new();
    while heard.last() != Some(&total) {
        let number = lines.next().await.parse().unwrap();
        if number % 50 == 25 && heard.last() != Some(&number) {
            relay.cut();
        }
        heard.push(number);
    }
    assert!(soon(emitter).await.unwrap().unwrap());
    heard.dedup();
    assert_eq!(heard, (0..=total).collect::<Vec<_>>());
    until("nothing waits", || client.buffered() == 0).await;
}

#[tokio::test]
async fn a_retried_event_is_given_up_after_so_many_tries() {
    let (_io, addr, _lines) = server().await;
    let client = quick(addr, WEBSOCKET).retries(2).ack_timeout(Duration::from_millis(20)).build().unwrap();
    client.connect().await.unwrap();
    assert!(matches!(soon(client.call::<_, ()>("never", &())).await, Err(AckError::Timeout)));
    assert_eq!(soon(client.call::<_, i32>("add", &(1, 2))).await.unwrap(), 3);
}

#[tokio::test]
async fn nothing_is_left_of_answers_that_nobody_awaits() {
    let (_io, addr, _lines) = server().await;
    let token = Arc::new(());
    let client: Client = quick(addr, WEBSOCKET).state(token.clone()).build().unwrap();
    client.connect().await.unwrap();
    for _ in 0..50 {
        drop(client.emit_with_ack("never", &(), Duration::from_millis(10)));
        drop(client.call::<_, i32>("add", &(1, 2)));
    }
    assert_eq!(soon(client.call::<_, i32>("add", &(1, 2))).await.unwrap(), 3);
    drop(client);
    // With the task the settings go, and this with them.
    until("the task has ended", || Arc::strong_count(&token) == 1).await;
}
