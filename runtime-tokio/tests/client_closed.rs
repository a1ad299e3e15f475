//! Closing a client, on a runtime that ends with it.

use sansocket_tokio::{Client, Data, Server, TransportKind};
use std::time::{Duration, Instant};
use tokio::sync::mpsc;

const TRANSPORTS: [&[TransportKind]; 3] = [
    &[TransportKind::Polling],
    &[TransportKind::WebSocket],
    &[TransportKind::Polling, TransportKind::WebSocket],
];

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
                let client = Client::builder(&url)
                    .transports(transports.iter().copied())
                    .close_timeout(Duration::from_secs(60))
                    .build()
                    .unwrap();
                client.connect().await.unwrap();
                client.emit("last words", &"x".repeat(500_000)).unwrap();
                client.disconnect();
                let begun = Instant::now();
                client.closed().await;
                begun.elapsed()
            })
        };
        let took = tokio::task::spawn_blocking(program).await.unwrap();
        let length = tokio::time::timeout(Duration::from_secs(60), heard.recv()).await.unwrap();
        assert_eq!(length, Some(500_000));
        assert!(took < Duration::from_secs(30), "no time limit has to end it: {took:?}");
    }
}
