//! The client, against our own server.

use crate::sansocket::{Args, Data, Refusal, Server, Socket, TransportKind};
use std::time::Duration;
use tokio::sync::mpsc;

async fn server() -> (Server, String) {
    let io = crate::server().build().unwrap();
    let root = io.namespace("/");
    root.on("echo", async |socket: Socket, args: Args| socket.emit("echo", &args));
    root.on("add", async |Data((a, b)): Data<(i32, i32)>| a + b);
    root.on("ask", async |socket: Socket| {
        let answer = socket.emit_with_ack("question", &"why?", Duration::from_secs(60)).await;
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
        let client = crate::client(&url).transports(transports.iter().copied()).build().unwrap();
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
