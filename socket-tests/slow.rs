//! Clients that read slowly, and clients that send faster than they are served.

use crate::sansocket::{
    Data, DisconnectReason, EmitError, Overflow, SendError, Server, ServerBuilder, Socket, State,
};
use crate::suite::support::{Client, Lines, Log, Message, Poller, Response, logged, serve, soon, until};
use sansocket_runtime::websocket::write_text;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::sync::Notify;

const BUDGET: usize = 64 << 10;

/// A server with a small budget, with a client that does not read, and its socket.
async fn stalled(overflow: Overflow) -> (Server, Lines, Client, Socket) {
    let (io, lines) = logged(crate::server().max_payload(BUDGET).send_budget(BUDGET).overflow(overflow));
    io.namespace("/")
        .on("end", async || "end")
        .on_disconnect(async |reason: DisconnectReason, State(log): State<Log>| log.note(reason));
    let (client, id) = Client::joined_as(serve(&io).await).await;
    let socket = io.socket(&id).expect("the socket");
    (io, lines, client, socket)
}

/// Emits numbered kilobytes until one fails, because the client is behind and not because the session's thread is: it
/// fails as often as that thread can have had its turn in between. Returns how many were taken.
async fn fill(socket: &Socket, most: u32) -> Result<u32, EmitError> {
    let kilobyte = "x".repeat(1000);
    let mut number = 0;
    while number < most {
        if let Err(error) = socket.emit("filling", &(number, &kilobyte)) {
            let mut tries = 1;
            while socket.emit("filling", &(number, &kilobyte)).is_err() {
                tries += 1;
                if tries == 20 {
                    return Err(error);
                }
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        }
        number += 1;
        tokio::task::yield_now().await;
    }
    Ok(most)
}

/// More than the kernel's buffers of a connection and the budget hold together, in events of a kilobyte.
const PLENTY: u32 = 100_000;

#[tokio::test]
async fn a_client_that_stops_reading_is_closed() {
    let (io, mut lines, _client, socket) = stalled(Overflow::Close).await;
    let error = fill(&socket, PLENTY).await.expect_err("it is too much");
    assert!(matches!(error, EmitError::Send(SendError::Full)), "{error}");
    lines.expect("slow consumer").await;
    assert!(matches!(socket.emit("after", &()), Err(EmitError::Send(SendError::Disconnected))));
    until("nothing is left", || io.clients_count() == 0 && io.namespace("/").is_empty()).await;
}

#[tokio::test]
async fn with_fail_the_sender_hears_of_it_and_the_client_lives_on() {
    let (io, mut lines, mut client, socket) = stalled(Overflow::Fail).await;
    let error = fill(&socket, PLENTY).await.expect_err("it is too much");
    assert!(matches!(error, EmitError::Send(SendError::Full)), "{error}");
    assert!(socket.is_connected());
    // Another broadcast does not fail, and what was taken arrives, whole and in order.
    io.emit("filling", &(u32::MAX, "x".repeat(BUDGET))).expect("encoded");
    client.send(r#"21["end"]"#).await;
    let mut next = 0;
    soon(async {
        while let Some(Message::Text(text)) = client.next().await {
            if text.starts_with("31") {
                break;
            }
            assert!(text.starts_with(&format!(r#"2["filling",{next},"#)), "{next}: {}", &text[..30]);
            next += 1;
        }
    })
    .await;
    assert!(next > 0);
    assert!(lines.drain().is_empty());
}

#[tokio::test]
async fn with_drop_what_exceeds_the_budget_is_gone() {
    let (_io, mut lines, mut client, socket) = stalled(Overflow::Drop).await;
    // By far more than any kernel buffers.
    let most = 20_000;
    assert_eq!(fill(&socket, most).await.expect("nothing fails"), most);
    client.send(r#"21["end"]"#).await;
    let mut came = Vec::new();
    soon(async {
        while came.len() < most as usize {
            let text = client.text().await;
            match text.strip_prefix(r#"2["filling","#) {
                Some(rest) => came.push(rest.split(',').next().map(str::to_owned)),
                None => break,
            }
        }
    })
    .await;
    assert!(!came.is_empty() && came.len() < most as usize, "{} came", came.len());
    assert!(lines.drain().is_empty());
    assert!(socket.is_connected());
}

#[tokio::test]
async fn emit_when_ready_waits_for_room() {
    let (_io, mut lines, mut client, socket) = stalled(Overflow::Close).await;
    let most = 20_000;
    let sender = tokio::spawn(async move {
        let kilobyte = "x".repeat(1000);
        for number in 0..most {
            socket.emit_when_ready("filling", &(number, &kilobyte)).await?;
        }
        Ok::<(), EmitError>(())
    });
    soon(async {
        for number in 0..most {
            let text = client.text().await;
            assert!(text.starts_with(&format!(r#"2["filling",{number},"#)), "{number}");
        }
    })
    .await;
    soon(sender).await.expect("no panic").expect("nothing was lost");
    assert!(lines.drain().is_empty());
}

#[tokio::test]
async fn a_sender_that_waits_for_room_hears_that_the_client_is_gone() {
    let (_io, _lines, client, socket) = stalled(Overflow::Fail).await;
    assert!(fill(&socket, PLENTY).await.is_err());
    let waiting = tokio::spawn(async move { socket.emit_when_ready("more", &()).await });
    tokio::task::yield_now().await;
    assert!(!waiting.is_finished());
    drop(client);
    let result = soon(waiting).await.expect("no panic");
    assert!(matches!(result, Err(EmitError::Send(SendError::Disconnected))));
}

#[tokio::test]
async fn volatile_events_are_dropped_while_the_client_is_behind() {
    let (io, _lines, mut client, socket) = stalled(Overflow::Fail).await;
    socket.emit_volatile("volatile", &"first").expect("sent");
    client.expect(r#"2["volatile","first"]"#).await;
    assert!(fill(&socket, PLENTY).await.is_err());
    socket.emit_volatile("volatile", &"dropped").expect("no error");
    io.namespace("/").broadcast().volatile().emit("volatile", &"dropped").expect("no error");
    client.send(r#"21["end"]"#).await;
    soon(async {
        loop {
            let text = client.text().await;
            if text.starts_with("31") {
                break;
            }
            assert!(text.starts_with(r#"2["filling""#), "{}", &text[..text.len().min(30)]);
        }
    })
    .await;
    // Once it answers again, it knows that it has written what came before.
    assert_eq!(client.ask(r#"["end"]"#).await, r#"["end"]"#);
    socket.emit_volatile("volatile", &"last").expect("sent");
    client.expect(r#"2["volatile","last"]"#).await;
}

/// A server whose handler waits, with a small receive budget.
fn busy(builder: ServerBuilder) -> (Server, Lines, Arc<Notify>) {
    let go = Arc::new(Notify::new());
    let (io, lines) = logged(builder.receive_budget(BUDGET).state(go.clone()));
    io.namespace("/")
        .on("wait", async |State(go): State<Arc<Notify>>| go.notified().await)
        .on("note", async |Data((number, _)): Data<(u32, String)>, State(log): State<Log>| log.note(number))
        .on_disconnect(async |reason: DisconnectReason, State(log): State<Log>| log.note(reason));
    (io, lines, go)
}

/// Sends numbered kilobytes until the connection takes no more. Returns how many were sent.
async fn flood(addr: SocketAddr) -> (Client, u32) {
    let mut client = Client::joined(addr).await;
    client.emit(r#"["wait"]"#).await;
    let kilobyte = "x".repeat(1000);
    let mut sent = 0;
    for number in 0..PLENTY {
        let mut frame = Vec::new();
        let event = format!(r#"42["note",{number},"{kilobyte}"]"#);
        sansocket_runtime::websocket::write_text(&mut frame, Some([1, 2, 3, 4]), event.as_bytes());
        // A write that is cut leaves half a frame, which the next bytes of this client complete.
        let mut at = 0;
        while at < frame.len() {
            match tokio::time::timeout(Duration::from_millis(500), client.stream.write(&frame[at..])).await {
                Ok(Ok(written)) => at += written,
                // On a busy machine the server may have lost its patience already.
                Ok(Err(_)) => return (client, number),
                Err(_) => {
                    client.unsent = frame.split_off(at);
                    return (client, number + 1);
                }
            }
        }
        sent = number + 1;
    }
    (client, sent)
}

#[tokio::test]
async fn a_client_that_floods_a_slow_handler_is_paused_and_loses_nothing() {
    let (io, mut lines, go) = busy(crate::server());
    let addr = serve(&io).await;
    let (mut client, sent) = flood(addr).await;
    // Budget and kernel buffers took some; nearly all of what it meant to send it could not.
    assert!(sent < PLENTY, "nothing held it back");
    assert!(lines.drain().is_empty());
    go.notify_one();
    let unsent = std::mem::take(&mut client.unsent);
    soon(client.stream.write_all(&unsent)).await.expect("the rest is taken");
    for number in 0..sent {
        lines.expect(&number.to_string()).await;
    }
}

#[tokio::test]
async fn a_pause_without_any_progress_ends() {
    let (io, mut lines, go) = busy(crate::server().pause_timeout(Duration::from_millis(600)));
    let addr = serve(&io).await;
    let (mut client, _) = flood(addr).await;
    client.gone().await;
    // Its handler is still waited for, and then what came before the end is handled.
    go.notify_one();
    loop {
        let line = lines.next().await;
        if line.parse::<u32>().is_err() {
            assert_eq!(line, "stalled");
            break;
        }
    }
}

#[tokio::test]
async fn a_client_with_a_slow_handler_still_gets_its_heartbeats() {
    let (io, mut lines, go) =
        busy(crate::server().ping_interval(Duration::from_millis(20)).ping_timeout(Duration::from_secs(5)));
    let mut client = Client::joined(serve(&io).await).await;
    client.emit(r#"["wait"]"#).await;
    for _ in 0..3 {
        assert_eq!(client.packet().await, "2");
        client.raw("3").await.expect("it is taken");
    }
    go.notify_one();
    client.emit(r#"["note",1,""]"#).await;
    lines.expect("1").await;
}

/// Writes in 60 parts that take 3 seconds together.
async fn trickle(stream: &mut TcpStream, bytes: &[u8]) {
    for part in bytes.chunks(bytes.len().div_ceil(60)) {
        soon(stream.write_all(part)).await.expect("it is taken");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test]
async fn bytes_of_a_message_that_takes_longer_than_a_heartbeat_are_a_sign_of_life() {
    let builder = crate::server().ping_interval(Duration::from_millis(100));
    let io = builder.ping_timeout(Duration::from_secs(2)).build().expect("a server");
    io.on("length", async |Data(text): Data<String>| text.len());
    let addr = serve(&io).await;
    let event = format!(r#"420["length","{}"]"#, "x".repeat(300_000));

    let mut client = Client::joined(addr).await;
    let mut frame = Vec::new();
    write_text(&mut frame, Some([1, 2, 3, 4]), event.as_bytes());
    trickle(&mut client.stream, &frame).await;
    client.expect("30[300000]").await;

    let poller = Poller::joined(addr).await;
    let mut stream = soon(TcpStream::connect(addr)).await.expect("a connection");
    let target = &poller.target;
    let head = format!("POST {target} HTTP/1.1\r\nhost: test\r\ncontent-length: {}\r\n\r\n", event.len());
    soon(stream.write_all(head.as_bytes())).await.expect("it is taken");
    trickle(&mut stream, event.as_bytes()).await;
    assert_eq!(soon(Response::read(&mut stream)).await.expect("an answer").status, 200);
    let packets = poller.poll().await;
    assert!(packets.contains(&"430[300000]".to_owned()), "{packets:?}");
}
