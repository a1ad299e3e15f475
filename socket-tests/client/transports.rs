//! The client, against our own server.

use crate::sansocket::{
    Args, ClientBuildError, ConnectionEvent, Data, Handshake, Refusal, Server, Socket, TransportKind,
};
use crate::suite::relay::{UPGRADE, WEBSOCKET, quick};
use crate::suite::support::{log, serve, soon};
use sansocket_protocol::engine::EngineError;
use sansocket_protocol::error::PeerError;
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
    io.namespace("/closed").on_connect(async || Err::<(), _>(Refusal::new("not today").data(&("code", 42))));
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

#[tokio::test]
async fn subprotocols_are_offered_and_one_of_them_is_agreed_on() {
    for transports in [WEBSOCKET, UPGRADE] {
        let (asked, mut lines) = log();
        let io = crate::server()
            .subprotocol(move |handshake: &Handshake, offered| {
                let header = handshake.headers().get("sec-websocket-protocol").unwrap();
                asked.note(header.to_str().unwrap());
                offered.last().copied()
            })
            .build()
            .unwrap();
        let addr = serve(&io).await;
        let (events, mut told) = log();
        let client = quick(addr, transports)
            .subprotocols(["chat.v1", "chat.v2"])
            .on_connection_event(move |event| match event {
                ConnectionEvent::Upgraded => events.note("upgraded"),
                ConnectionEvent::UpgradeFailed(error) => events.note(error),
                _ => {}
            })
            .build()
            .unwrap();
        soon(client.connect()).await.unwrap();
        lines.expect("chat.v1, chat.v2").await;
        if transports == UPGRADE {
            told.expect("upgraded").await;
        }
        client.close();
    }
    for wrong in ["", "a b", "a,b", "\u{e9}"] {
        let client = crate::client("http://localhost").subprotocols([wrong]).build();
        assert!(matches!(client, Err(ClientBuildError::Subprotocols(_))), "{wrong}");
    }
}

#[tokio::test]
async fn a_subprotocol_that_was_not_offered_is_an_error() {
    for (offered, chosen) in [(&[][..], "a"), (&["a"], "b"), (&["a", "b"], "a, b")] {
        // The header is put in behind the server's back.
        let io = crate::server()
            .headers(move |_, headers| {
                headers.insert("sec-websocket-protocol", chosen.parse().unwrap());
            })
            .build()
            .unwrap();
        let addr = serve(&io).await;
        let client = quick(addr, WEBSOCKET).subprotocols(offered.iter().copied()).build().unwrap();
        let error = soon(client.connect()).await.unwrap_err();
        assert!(matches!(error.peer_error(), Some(PeerError::Engine(EngineError::NotEngineIo))), "{error}");
    }
}
