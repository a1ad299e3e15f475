//! Listeners on Unix sockets, and on sockets that a process was given. Each adapter that has Unix sockets includes this file.

use crate::sansocket::{EngineServer, Handshake, Listener, PeerAddr, Server, Socket};
use crate::suite::support::{Client, logged, request_over, soon};
use std::path::PathBuf;
use std::time::Duration;
use tokio::net::UnixStream;

const WEBSOCKET: &str = "/socket.io/?EIO=4&transport=websocket";
const POLLING: &str = "/socket.io/?EIO=4&transport=polling";

/// A folder that goes with the test, and the path of a socket in it. It is short: the system allows about 100 bytes.
struct Place(PathBuf);

impl Place {
    fn new(name: &str) -> Self {
        let program = env!("CARGO_CRATE_NAME");
        let folder = std::env::temp_dir().join(format!("{program}-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&folder).expect("a folder");
        Self(folder)
    }

    fn socket(&self) -> PathBuf {
        self.0.join("io")
    }

    async fn dial(&self) -> UnixStream {
        soon(UnixStream::connect(self.socket())).await.expect("a connection")
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn echo(io: &Server) {
    io.on("where", async |peer: Option<PeerAddr>, handshake: Handshake| {
        peer.is_none() && handshake.peer_addr().is_none()
    });
    io.on("all", async |socket: Socket| socket.namespace().emit("all", &1));
}

#[tokio::test]
async fn a_unix_socket_serves_polls_and_websockets_and_goes_with_the_server() {
    let place = Place::new("serves");
    let (io, _lines) = logged(crate::server());
    echo(&io);
    let listening = io.listen_unix(place.socket()).await.expect("a socket");
    assert_eq!(listening.local_addr().to_string(), "0.0.0.0:0");

    let opened = request_over(place.dial().await, "GET", POLLING, "", "").await;
    assert!(opened.body.starts_with("0{"), "{opened:?}");
    let mut client = Client::over(place.dial().await, WEBSOCKET, "").await;
    client.join("/", "").await;
    assert_eq!(client.ask(r#"["where"]"#).await, "[true]", "nobody has an address");
    client.send(r#"2["all"]"#).await;
    client.expect(r#"2["all",1]"#).await;

    // The one that polls does not come back.
    io.shutdown(Duration::from_millis(100)).await;
    soon(listening.wait()).await;
    assert!(!place.socket().exists());
}

#[tokio::test]
async fn a_second_server_does_not_take_a_socket_that_is_in_use() {
    let place = Place::new("second");
    let first = crate::server().build().expect("a server");
    let listening = first.listen_unix(place.socket()).await.expect("a socket");
    let second = crate::server().build().expect("a server");
    let refused = second.listen_unix(place.socket()).await.expect_err("it is in use");
    assert_eq!(refused.kind(), std::io::ErrorKind::AddrInUse);
    Client::over(place.dial().await, WEBSOCKET, "").await.join("/", "").await;

    // Once the first one has stopped, its place is free.
    listening.stop();
    soon(listening.wait()).await;
    second.listen_unix(place.socket()).await.expect("a socket");
    Client::over(place.dial().await, WEBSOCKET, "").await.join("/", "").await;
}

#[tokio::test]
async fn several_servers_share_a_unix_socket() {
    let place = Place::new("several");
    let io = crate::server().build().expect("a server");
    let engine: EngineServer = crate::engine_server().build().expect("a server");
    let listener = Listener::bind_unix(place.socket()).await.expect("a socket").mount(&io).mount(&engine);
    let _listening = listener.spawn().expect("a socket");
    for path in ["/socket.io/", "/engine.io/"] {
        Client::over(place.dial().await, &format!("{path}?EIO=4&transport=websocket"), "").await;
    }
}

#[tokio::test]
async fn sockets_that_the_process_was_given_are_served() {
    let place = Place::new("given");
    let io = crate::server().build().expect("a server");
    let tcp = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let unix = std::os::unix::net::UnixListener::bind(place.socket()).expect("a socket");
    let on_tcp = Listener::try_from(tcp).expect("a listener").mount(&io).spawn().expect("an address");
    let _on_unix = Listener::try_from(unix).expect("a listener").mount(&io).spawn().expect("a socket");

    let mut by_tcp = Client::joined(on_tcp.local_addr()).await;
    let mut by_unix = Client::over(place.dial().await, WEBSOCKET, "").await;
    by_unix.join("/", "").await;
    io.emit("all", &1).expect("encoded");
    by_tcp.expect(r#"2["all",1]"#).await;
    by_unix.expect(r#"2["all",1]"#).await;

    // It belongs to the process that made it.
    drop((by_tcp, by_unix));
    io.shutdown(Duration::from_secs(10)).await;
    soon(on_tcp.wait()).await;
    assert!(place.socket().exists());
}
