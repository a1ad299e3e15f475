//! In which order the events of a client are handled.

use crate::sansocket::{Data, Socket, State};
use crate::suite::support::{Client, Log, logged, serve, soon};
use sansocket_runtime::websocket::write_text;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::AsyncWriteExt;
use tokio::sync::Semaphore;

#[tokio::test]
async fn the_events_of_one_socket_run_in_order_while_a_handler_awaits() {
    let go = Arc::new(Semaphore::new(0));
    let (io, mut lines) = logged(crate::server().state(go.clone()));
    io.namespace("/")
        .on("slow", async |State(log): State<Log>, State(go): State<Arc<Semaphore>>| {
            log.note("slow begins");
            go.acquire().await.expect("open").forget();
            log.note("slow ends");
        })
        .on("fast", async |State(log): State<Log>, Data(number): Data<u32>| log.note(number));
    io.namespace("/other").on("fast", async || "other");
    let mut client = Client::joined(serve(&io).await).await;
    client.join("/other", "").await;
    client.emit(r#"["slow"]"#).await;
    for number in 0..100 {
        client.emit(&format!(r#"["fast",{number}]"#)).await;
    }
    // Another namespace of the same connection goes on, and by its answer all of the above has been read.
    client.send(r#"2/other,1["fast"]"#).await;
    client.expect(r#"3/other,1["other"]"#).await;
    assert_eq!(lines.drain(), ["slow begins"]);
    go.add_permits(1);
    lines.expect("slow ends").await;
    for number in 0..100 {
        lines.expect(&number.to_string()).await;
    }
}

#[tokio::test]
async fn a_handler_gets_the_answer_of_its_own_client_past_a_hundred_queued_events() {
    let (io, mut lines) = logged(crate::server());
    io.namespace("/")
        .on("ask", async |socket: Socket, State(log): State<Log>| {
            let answer = socket.emit_with_ack("question", &(), Duration::from_secs(10)).await;
            log.note(answer.expect("an answer").decode::<String>().expect("text"));
        })
        .on("fast", async |State(log): State<Log>, Data(number): Data<u32>| log.note(number));
    let mut client = Client::joined(serve(&io).await).await;
    client.emit(r#"["ask"]"#).await;
    for number in 0..100 {
        client.emit(&format!(r#"["fast",{number}]"#)).await;
    }
    let question = client.text().await;
    let id =
        question.strip_prefix('2').and_then(|rest| rest.strip_suffix(r#"["question"]"#)).expect("a question");
    client.send(&format!(r#"3{id}["answer"]"#)).await;
    lines.expect("answer").await;
    for number in 0..100 {
        lines.expect(&number.to_string()).await;
    }
}

#[tokio::test]
async fn a_client_that_stalls_one_socket_does_not_delay_another_client() {
    let (io, _lines) = logged(crate::server());
    io.namespace("/").on("slow", async || std::future::pending::<()>().await).on("fast", async || "fast");
    let addr = serve(&io).await;
    let mut stalled = Client::joined(addr).await;
    stalled.emit(r#"["slow"]"#).await;
    let mut other = Client::joined(addr).await;
    assert_eq!(other.ask(r#"["fast"]"#).await, r#"["fast"]"#);
}

#[tokio::test]
async fn a_concurrent_handler_holds_nobody() {
    let go = Arc::new(Semaphore::new(0));
    let (io, _lines) = logged(crate::server().state(go.clone()));
    io.namespace("/")
        .on_concurrent("slow", async |State(go): State<Arc<Semaphore>>, Data(number): Data<u32>| {
            go.acquire().await.expect("open").forget();
            number
        })
        .on("fast", async || "fast");
    let mut client = Client::joined(serve(&io).await).await;
    client.send(r#"21["slow",1]"#).await;
    client.send(r#"22["slow",2]"#).await;
    assert_eq!(client.ask(r#"["fast"]"#).await, r#"["fast"]"#);
    go.add_permits(2);
    let mut answers = [client.text().await, client.text().await];
    answers.sort();
    assert_eq!(answers, ["31[1]", "32[2]"]);
}

#[tokio::test]
async fn beyond_the_limit_a_concurrent_handler_runs_in_line() {
    let go = Arc::new(Semaphore::new(0));
    let (io, mut lines) = logged(crate::server().state(go.clone()).max_concurrent(1));
    io.namespace("/")
        .on_concurrent("slow", async |State(go): State<Arc<Semaphore>>, State(log): State<Log>| {
            log.note("slow");
            go.acquire().await.expect("open").forget();
        })
        .on("fast", async |State(log): State<Log>| log.note("fast"));
    io.namespace("/other").on("fast", async || "other");
    let mut client = Client::joined(serve(&io).await).await;
    client.join("/other", "").await;
    client.send(r#"21["slow"]"#).await;
    client.send(r#"22["slow"]"#).await;
    client.send(r#"23["fast"]"#).await;
    client.send(r#"2/other,1["fast"]"#).await;
    client.expect(r#"3/other,1["other"]"#).await;
    lines.expect("slow").await;
    lines.expect("slow").await;
    assert!(lines.drain().is_empty());
    go.add_permits(2);
    lines.expect("fast").await;
}

#[tokio::test]
async fn an_event_in_front_of_a_broken_frame_is_answered_before_the_close() {
    let io = crate::server().build().expect("options");
    io.namespace("/").on("ask", async || "answer");
    let mut client = Client::joined(serve(&io).await).await;
    let mut out = Vec::new();
    write_text(&mut out, Some([1, 2, 3, 4]), br#"4277["ask"]"#);
    // An opcode without a meaning, in the same write.
    out.extend([0x83, 0x80, 0, 0, 0, 0]);
    soon(client.stream.write_all(&out)).await.expect("it is taken");
    client.expect(r#"377["answer"]"#).await;
    client.gone().await;
}
