//! Plain Engine.IO, and servers that share a port.

use crate::sansocket::{
    DisconnectReason, EngineServer, EngineSocket, Listener, Message as EngineMessage, Socket,
};
use crate::suite::support::{Client, Lines, Message, Poller, all_transports_work, log, until};

/// An Engine.IO server that echoes, and notes what happens.
fn engine() -> (EngineServer, Lines) {
    let (log, lines) = log();
    let (opened, closed) = (log.clone(), log);
    let engine = crate::engine_server()
        .on_open(move |socket: EngineSocket| {
            let opened = opened.clone();
            async move { opened.note(format_args!("open {}", socket.transport().as_str())) }
        })
        .on_message(async |socket: EngineSocket, message: EngineMessage| match message {
            EngineMessage::Text(text) if text == "close" => socket.close(),
            message => drop(socket.send(message)),
        })
        .on_close(move |_, reason: DisconnectReason| {
            let closed = closed.clone();
            async move { closed.note(format_args!("closed: {reason}")) }
        })
        .build()
        .expect("a server");
    (engine, lines)
}

#[tokio::test]
async fn engine_io_alone_opens_exchanges_messages_and_closes() {
    let (engine, mut lines) = engine();
    let addr = engine.listen("127.0.0.1:0").await.expect("a port").local_addr();
    let mut client = Client::connect_to(addr, "/engine.io/?EIO=4&transport=websocket", "").await;
    let opened = lines.next().await;
    assert!(opened.starts_with("open "), "{opened}");
    client.send("hello").await;
    client.expect("hello").await;
    client.send_binary(&[1, 2, 3]).await;
    assert_eq!(client.binary().await, [1, 2, 3][..]);
    client.send("last").await;
    client.send("close").await;
    assert_eq!(client.rest().await, [Message::Text("last".into())]);
    lines.expect("closed: forced close").await;
    until("nothing is left", || engine.clients_count() == 0).await;

    let poller = Poller::connect_to(addr, "/engine.io/").await;
    lines.expect("open polling").await;
    poller.post("4one\x1e4two\x1ebAQI=").await;
    assert_eq!(poller.poll().await, ["4one", "4two", "bAQI="]);
    poller.post("1").await;
    lines.expect("closed: transport close").await;
}

#[tokio::test]
async fn two_servers_share_a_port() {
    let io = crate::server().build().expect("a server");
    io.namespace("/").on("transport", async |socket: Socket| socket.transport().as_str());
    let (engine, _lines) = engine();
    let listener = Listener::bind("127.0.0.1:0").await.expect("a port").mount(&io).mount(&engine);
    let addr = listener.spawn().expect("an address").local_addr();
    all_transports_work(addr, "/socket.io/").await;
    let mut client = Client::connect_to(addr, "/engine.io/?EIO=4&transport=websocket", "").await;
    client.send("hello").await;
    client.expect("hello").await;
}
