//! Plain Engine.IO, and servers that share a port.

use crate::sansocket::SendError;
use crate::sansocket::{
    DisconnectReason, EngineServer, EngineSocket, Listener, Message as EngineMessage, Socket,
};
use crate::suite::support::{Client, Lines, Message, Poller, all_transports_work, log, soon, until};
use std::sync::Mutex;
use std::time::Duration;
use tokio::net::TcpStream;

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

struct Words(Mutex<Vec<String>>);

#[tokio::test]
async fn a_session_has_data_of_its_own_and_the_servers_state() {
    let engine = crate::engine_server()
        .state(7_u32)
        .on_open(async |socket: EngineSocket| drop(socket.insert(Words(Mutex::default()))))
        .on_message(async |socket: EngineSocket, message: EngineMessage| {
            let (Some(words), EngineMessage::Text(text)) = (socket.get::<Words>(), message) else { return };
            words.0.lock().expect("nobody panics").push(text);
            let said = words.0.lock().expect("nobody panics").join(" ");
            let state = socket.state::<u32>().expect("it was given");
            let _ = socket.send(format!("{state}: {said}"));
        })
        .build()
        .expect("a server");
    let addr = engine.listen("127.0.0.1:0").await.expect("a port").local_addr();
    let target = "/engine.io/?EIO=4&transport=websocket";
    let mut one = Client::connect_to(addr, target, "").await;
    let mut other = Client::connect_to(addr, target, "").await;
    one.send("hello").await;
    one.expect("7: hello").await;
    one.send("world").await;
    one.expect("7: hello world").await;
    other.send("mine").await;
    other.expect("7: mine").await;

    let sessions = engine.sessions();
    assert_eq!(sessions.len(), 2);
    assert!(sessions[0].state::<String>().is_none() && sessions[0].get::<u32>().is_none());
    assert!(sessions[0].remove::<Words>().is_some() && sessions[0].get::<Words>().is_none());
    assert!(sessions[1].get::<Words>().is_some());
}

#[tokio::test]
async fn sessions_are_found_listed_and_closed() {
    let (engine, mut lines) = engine();
    let addr = engine.listen("127.0.0.1:0").await.expect("a port").local_addr();
    let mut client = Client::connect_to(addr, "/engine.io/?EIO=4&transport=websocket", "").await;
    lines.next().await;
    let poller = Poller::connect_to(addr, "/engine.io/").await;
    lines.expect("open polling").await;
    assert_eq!(engine.sessions().len(), 2);
    let polling = engine.session(&poller.sid).expect("it is open");
    assert_eq!((&*polling.id(), polling.transport().as_str()), (&*poller.sid, "polling"));
    assert!(polling.is_open() && engine.session("unknown").is_none());
    // To all, from within one of them.
    let server = polling.server().expect("it is there");
    for session in server.sessions() {
        session.send("to all").expect("it is open");
    }
    client.expect("to all").await;
    assert_eq!(poller.poll().await, ["4to all"]);

    polling.close();
    lines.expect("closed: forced close").await;
    assert!(!polling.is_open());
    // The other may be listed, too, until its client has fetched the close.
    assert_eq!(engine.sessions().iter().filter(|session| session.is_open()).count(), 1);
    engine.close_all();
    lines.expect("closed: forced close").await;
    assert_eq!(client.rest().await, []);
    // It goes on.
    let _next = Client::connect_to(addr, "/engine.io/?EIO=4&transport=websocket", "").await;
    lines.next().await;
}

#[tokio::test]
async fn an_upgrade_is_told_once() {
    let (log, mut lines) = log();
    let told = log.clone();
    let engine = crate::engine_server()
        .on_upgrade(move |socket: EngineSocket| {
            let told = log.clone();
            async move { told.note(format_args!("engine {}", socket.transport().as_str())) }
        })
        .build()
        .expect("a server");
    let io = crate::server()
        .on_upgrade(move |socket: &Socket| {
            told.note(format_args!("{} {}", socket.namespace().name(), socket.transport().as_str()));
        })
        .build()
        .expect("a server");
    io.namespace("/a");
    let listener = Listener::bind("127.0.0.1:0").await.expect("a port").mount(&io).mount(&engine);
    let addr = listener.spawn().expect("an address").local_addr();
    let upgraded = async |path: &str| {
        let poller = Poller::connect_to(addr, path).await;
        if path == "/socket.io/" {
            poller.post("40\x1e40/a,").await;
            poller.poll().await;
        }
        let target = poller.target.replace("polling", "websocket");
        let stream = TcpStream::connect(addr).await.expect("a connection");
        let mut client = Client::upgraded(stream, &target, "").await;
        client.raw("2probe").await.expect("it is taken");
        assert_eq!(client.packet().await, "3probe");
        client.raw("5").await.expect("it is taken");
        client
    };
    let _one = upgraded("/engine.io/").await;
    lines.expect("engine websocket").await;
    let _other = upgraded("/socket.io/").await;
    let mut told = [lines.next().await, lines.next().await];
    told.sort();
    assert_eq!(told, ["/ websocket", "/a websocket"]);
    // A session that begins with a WebSocket has not moved.
    let mut direct = Client::connect_to(addr, "/engine.io/?EIO=4&transport=websocket", "").await;
    direct.send("hello").await;
    until("it is open", || engine.sessions().len() == 2).await;
    assert!(lines.drain().is_empty());
}

#[tokio::test]
async fn a_flush_ends_when_the_messages_are_written() {
    let (engine, mut lines) = engine();
    let addr = engine.listen("127.0.0.1:0").await.expect("a port").local_addr();
    // A poller that does not poll is not written to.
    let poller = Poller::connect_to(addr, "/engine.io/").await;
    lines.expect("open polling").await;
    let socket = engine.session(&poller.sid).expect("it is open");
    soon(socket.flushed()).await.expect("there is nothing to write");
    socket.send("one").expect("it is open");
    let mut flushed = Box::pin(socket.flushed());
    assert!(tokio::time::timeout(Duration::from_millis(50), &mut flushed).await.is_err());
    assert_eq!(poller.poll().await, ["4one"]);
    soon(flushed).await.expect("it was written");

    // One that goes away never is.
    socket.send("two").expect("it is open");
    let flushed = socket.flushed();
    poller.post("1").await;
    assert_eq!(soon(flushed).await, Err(SendError::Disconnected));

    // Nor is a WebSocket that does not read, beyond what the system takes.
    let mut client = Client::connect_to(addr, "/engine.io/?EIO=4&transport=websocket", "").await;
    lines.expect("closed: transport close").await;
    lines.next().await;
    let sessions = engine.sessions();
    let socket = sessions.iter().find(|socket| socket.is_open()).expect("the WebSocket's");
    soon(socket.flushed()).await.expect("there is nothing to write");
    let long = "x".repeat(4_000_000);
    while tokio::time::timeout(Duration::from_millis(50), socket.flushed()).await.is_ok() {
        socket.send(&*long).expect("one large message fits");
    }
    client.expect(&long).await;
    soon(socket.flushed()).await.expect("it was written");
}
