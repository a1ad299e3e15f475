//! Acknowledgements that the server awaits.

use crate::sansocket::{Ack, AckError, BroadcastAckError, Server, Socket};
use crate::suite::support::{Client, logged, serve, soon, until};
use std::time::Duration;

const LONG: Duration = Duration::from_secs(3600);

/// A server, its only client, and that client's socket.
async fn pair() -> (Server, Client, Socket) {
    let (io, _) = logged(crate::server());
    let (client, id) = Client::joined_as(serve(&io).await).await;
    let socket = io.socket(&id).expect("the socket");
    (io, client, socket)
}

/// The id in `2<id>["event"]`.
fn ack_of(packet: &str) -> &str {
    &packet[1..packet.find('[').expect("arguments")]
}

#[tokio::test]
async fn the_answer_comes_once_whatever_the_client_repeats() {
    let (_io, mut client, socket) = pair().await;
    let answer = socket.emit_with_ack("q", &("a", 1), LONG);
    let packet = client.text().await;
    assert!(packet.ends_with(r#"["q","a",1]"#), "{packet}");
    let id = ack_of(&packet);
    client.send(&format!(r#"3{id}["yes",2]"#)).await;
    client.send(&format!(r#"3{id}["no"]"#)).await;
    let args = soon(answer).await.expect("an answer");
    assert_eq!(args.decode::<(String, u32)>().expect("the types"), ("yes".to_owned(), 2));
    // Answers that nobody awaits harm nobody.
    client.send(r#"3999999["?"]"#).await;
    let answer = socket.emit_with_ack("q", &(), LONG);
    let packet = client.text().await;
    client.send(&format!("3{}[]", ack_of(&packet))).await;
    assert!(soon(answer).await.expect("an answer").is_empty());
}

#[tokio::test]
async fn the_event_is_sent_by_the_call_even_if_the_future_is_dropped() {
    let (_io, mut client, socket) = pair().await;
    drop(socket.emit_with_ack("q", &(), LONG));
    let packet = client.text().await;
    client.send(&format!("3{}[]", ack_of(&packet))).await;
    let answer = socket.emit_with_ack("q", &(), LONG);
    let packet = client.text().await;
    client.send(&format!("3{}[5]", ack_of(&packet))).await;
    assert_eq!(soon(answer).await.expect("an answer").decode::<u32>().expect("a number"), 5);
}

#[tokio::test]
async fn a_client_that_does_not_answer_in_time_is_a_timeout() {
    let (_io, mut client, socket) = pair().await;
    let answer = socket.emit_with_ack("q", &(), Duration::from_millis(20));
    let packet = client.text().await;
    assert!(matches!(soon(answer).await, Err(AckError::Timeout)));
    // The late answer is nobody's.
    client.send(&format!("3{}[]", ack_of(&packet))).await;
    assert!(socket.is_connected());
}

#[tokio::test]
async fn a_client_that_goes_away_answers_all_that_is_awaited_with_disconnected() {
    let (io, client, socket) = pair().await;
    let answers: Vec<_> = (0..5).map(|_| socket.emit_with_ack("q", &(), LONG)).collect();
    drop(client);
    for answer in answers {
        assert!(matches!(soon(answer).await, Err(AckError::Disconnected)));
    }
    until("the session ends", || io.clients_count() == 0).await;
    assert!(matches!(soon(socket.emit_with_ack("q", &(), LONG)).await, Err(AckError::Emit(_))));
}

#[tokio::test]
async fn leaving_the_namespace_answers_with_disconnected() {
    let (_io, mut client, socket) = pair().await;
    let answer = socket.emit_with_ack("q", &(), LONG);
    client.text().await;
    client.send("1").await;
    assert!(matches!(soon(answer).await, Err(AckError::Disconnected)));
}

#[tokio::test]
async fn a_broadcast_collects_the_answers_of_all() {
    let (io, _) = logged(crate::server());
    let addr = serve(&io).await;
    let mut clients = Vec::new();
    for _ in 0..3 {
        clients.push(Client::joined(addr).await);
    }
    let answers = io.emit_with_ack("q", &"x", LONG);
    for (number, client) in clients.iter_mut().enumerate() {
        let packet = client.text().await;
        client.send(&format!("3{}[{number}]", ack_of(&packet))).await;
    }
    let answers = soon(answers).await.expect("all answers");
    let mut numbers: Vec<u32> = answers.iter().map(|args| args.decode().expect("a number")).collect();
    numbers.sort_unstable();
    assert_eq!(numbers, [0, 1, 2]);
    // Nobody is a crowd that answers at once.
    assert!(soon(io.to("empty").emit_with_ack("q", &(), LONG)).await.expect("no answers").is_empty());
}

#[tokio::test]
async fn a_broadcast_tells_who_is_missing_apart_from_what_came() {
    let (io, _) = logged(crate::server());
    let addr = serve(&io).await;
    let mut good = Client::joined(addr).await;
    let mut silent = Client::joined(addr).await;
    let mut leaving = Client::joined(addr).await;
    // Time for the one that answers, on a busy machine too.
    let answers = io.emit_with_ack("q", &(), Duration::from_secs(2));
    let packet = good.text().await;
    good.send(&format!("3{}[7]", ack_of(&packet))).await;
    silent.text().await;
    leaving.text().await;
    leaving.send("1").await;
    match soon(answers).await {
        Err(BroadcastAckError::Incomplete { answers, missing }) => {
            assert_eq!(missing, 2);
            assert_eq!(answers.len(), 1);
            assert_eq!(answers[0].decode::<u32>().expect("a number"), 7);
        }
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn broadcasts_and_single_events_share_a_client_without_mixing_up_answers() {
    let (io, mut client, socket) = pair().await;
    let mut awaited = Vec::new();
    for number in 0..10 {
        let single = socket.emit_with_ack("single", &number, LONG);
        let all = io.emit_with_ack("all", &number, LONG);
        awaited.push((number, single, all));
    }
    let mut ids = Vec::new();
    for _ in 0..20 {
        let packet = client.text().await;
        let id = ack_of(&packet).to_owned();
        let args = packet[1 + id.len()..].to_owned();
        ids.push((id, args));
    }
    ids.reverse();
    for (id, args) in &ids {
        client.send(&format!("3{id}[{args}]")).await;
    }
    for (number, single, all) in awaited {
        let answer: (String, i32) = soon(single).await.expect("an answer").get(0).expect("an array");
        assert_eq!(answer, ("single".to_owned(), number));
        let answers = soon(all).await.expect("answers");
        assert_eq!(answers[0].get::<(String, i32)>(0).expect("an array"), ("all".to_owned(), number));
    }
    let mut unique: Vec<&String> = ids.iter().map(|(id, _)| id).collect();
    unique.sort();
    unique.dedup();
    assert_eq!(unique.len(), 20);
}

#[tokio::test]
async fn an_answer_may_carry_binary() {
    let (_io, mut client, socket) = pair().await;
    let answer = socket.emit_with_ack("q", &(), LONG);
    let id = ack_of(&client.text().await).to_owned();
    client.send(&format!(r#"61-{id}[{{"_placeholder":true,"num":0}}]"#)).await;
    client.send_binary(&[9, 8]).await;
    let args = soon(answer).await.expect("an answer");
    assert_eq!(args.decode::<bytes::Bytes>().expect("bytes"), [9, 8][..]);
}

#[tokio::test]
async fn a_handler_that_returns_nothing_is_silent_if_the_server_says_so() {
    let (io, _) = logged(crate::server().acknowledge_unit(false));
    io.on("unit", async || ())
        .on("result", async || Ok::<_, std::io::Error>(()))
        .on("twice", async || ())
        .on("twice", async || "second")
        .on_concurrent("apart", async || ())
        .on("by-hand", async |ack: Ack| drop(ack.send(&())))
        .on("value", async || 1);
    let mut client = Client::joined(serve(&io).await).await;
    for silent in ["unit", "result", "apart", "unknown"] {
        client.send(&format!(r#"25["{silent}"]"#)).await;
    }
    assert_eq!(client.ask(r#"["twice"]"#).await, r#"["second"]"#);
    assert_eq!(client.ask(r#"["by-hand"]"#).await, "[]");
    assert_eq!(client.ask(r#"["value"]"#).await, "[1]");
}

#[tokio::test]
async fn answers_to_a_broadcast_beyond_their_limit_count_as_missing() {
    let (io, _) = logged(crate::server().max_broadcast_answers(3000));
    let addr = serve(&io).await;
    let mut clients = Vec::new();
    for _ in 0..4 {
        clients.push(Client::joined(addr).await);
    }
    let answers = io.emit_with_ack("q", &(), LONG);
    for client in &mut clients {
        let packet = client.text().await;
        client.send(&format!(r#"3{}["{}"]"#, ack_of(&packet), "x".repeat(1000))).await;
    }
    let Err(BroadcastAckError::Incomplete { answers, missing }) = soon(answers).await else {
        panic!("they are too many bytes")
    };
    assert_eq!((answers.len(), missing), (2, 2));
    assert_eq!(io.stats().refused.broadcast_answers, 2);
}
