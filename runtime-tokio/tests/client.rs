//! The client, against our own server.

use sansocket_tokio::{Args, Client, Data, Refusal, Server, Socket, TransportKind};
use std::time::{Duration, Instant};
use tokio::sync::mpsc;

async fn server() -> (Server, String) {
    let io = Server::builder().build().unwrap();
    let root = io.namespace("/");
    root.on("echo", async |socket: Socket, args: Args| socket.emit("echo", &args));
    root.on("add", async |Data((a, b)): Data<(i32, i32)>| a + b);
    root.on("ask", async |socket: Socket| {
        let answer = socket.emit_with_ack("question", &"why?", Duration::from_secs(5)).await;
        answer.map(|args| args.decode::<String>().unwrap_or_default())
    });
    root.on("kick", async |socket: Socket| socket.disconnect());
    io.namespace("/closed")
        .on_connect(async || Err::<(), _>(Refusal::new("not today").data(&("code", 42)).unwrap()));
    io.namespace("/chat").on("name", async |socket: Socket| socket.namespace().name().to_owned());
    let listening = io.listen("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listening.local_addr());
    (io, url)
}

const TRANSPORTS: [&[TransportKind]; 3] = [
    &[TransportKind::Polling],
    &[TransportKind::WebSocket],
    &[TransportKind::Polling, TransportKind::WebSocket],
];

#[tokio::test]
async fn events_and_acknowledgements_go_both_ways_over_each_transport() {
    let (_io, url) = server().await;
    for transports in TRANSPORTS {
        let client = Client::builder(&url).transports(transports.iter().copied()).build().unwrap();
        let (sender, mut heard) = mpsc::unbounded_channel();
        client.on("echo", move |args: Args| {
            let sender = sender.clone();
            async move { drop(sender.send(args.decode::<(String, bytes::Bytes)>().unwrap())) }
        });
        client.on("question", async |Data(text): Data<String>| format!("{text} because"));
        client.connect().await.unwrap();
        assert!(client.is_connected() && client.id().is_some());

        client.emit("echo", &("hi", bytes::Bytes::from_static(&[1, 2, 3]))).unwrap();
        assert_eq!(heard.recv().await.unwrap(), ("hi".to_owned(), bytes::Bytes::from_static(&[1, 2, 3])));
        let sum: i32 = client.call("add", &(1, 2)).await.unwrap();
        assert_eq!(sum, 3);
        let answer: String = client.call("ask", &()).await.unwrap();
        assert_eq!(answer, "why? because");
        let name: String = {
            let chat = client.namespace("chat");
            chat.connect().await.unwrap();
            chat.call("name", &()).await.unwrap()
        };
        assert_eq!(name, "/chat");
        client.disconnect();
        assert!(!client.is_connected());
    }
}

#[tokio::test]
async fn once_a_client_is_closed_all_that_was_queued_has_been_written() {
    let io = Server::builder().build().unwrap();
    let (sender, mut heard) = mpsc::unbounded_channel();
    io.namespace("/").on("last words", move |Data(text): Data<String>| {
        let sender = sender.clone();
        async move { assert!(sender.send(text.len()).is_ok()) }
    });
    let listening = io.listen("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listening.local_addr());
    for transports in TRANSPORTS {
        // Nothing but this runtime drives the client: what is not written when `closed` returns never is.
        let url = url.clone();
        let program = move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async {
                let client = Client::builder(&url).transports(transports.iter().copied()).build().unwrap();
                client.connect().await.unwrap();
                client.emit("last words", &"x".repeat(500_000)).unwrap();
                client.disconnect();
                let begun = Instant::now();
                client.closed().await;
                begun.elapsed()
            })
        };
        let took = tokio::task::spawn_blocking(program).await.unwrap();
        let length = tokio::time::timeout(Duration::from_secs(10), heard.recv()).await.unwrap();
        assert_eq!(length, Some(500_000));
        assert!(took < Duration::from_secs(1), "no time limit has to end it: {took:?}");
    }
}
