//! HTTP/2 at a server's own listener, with clients of the crate h2: polls over it, WebSockets beside it. It is part of the
//! suite with an adapter's feature `http2`.

use crate::sansocket::{Data, Handshake, Origins, Server};
use crate::suite::support::{Client, Poller, serve, soon};
use bytes::Bytes;
use h2::client::{Builder, SendRequest};
use http::{Method, Request, StatusCode};
use std::net::SocketAddr;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;

const OPEN: &str = "/socket.io/?EIO=4&transport=polling";
const WEBSOCKET: &str = "/socket.io/?EIO=4&transport=websocket";
const SHORT: Duration = Duration::from_millis(100);

/// A client's connection.
pub(crate) struct Http2 {
    requests: SendRequest<Bytes>,
    /// Ends with the connection.
    connection: JoinHandle<Result<(), h2::Error>>,
    server: SocketAddr,
}

impl Http2 {
    pub(crate) async fn over<IO>(stream: IO, server: SocketAddr, settings: &Builder) -> Self
    where
        IO: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let (requests, connection) = soon(settings.handshake(stream)).await.expect("HTTP/2");
        Self { requests, connection: tokio::spawn(connection), server }
    }

    /// By prior knowledge.
    async fn dial(server: SocketAddr) -> Self {
        let stream = TcpStream::connect(server).await.expect("a connection");
        Self::over(stream, server, &Builder::new()).await
    }

    /// The status and the body of the response to a request.
    async fn ask(&self, method: Method, target: &str, body: &str) -> (StatusCode, String) {
        let request = Request::builder().method(method).uri(format!("http://{}{target}", self.server));
        let request =
            request.header("origin", format!("http://{}", self.server)).body(()).expect("a request");
        let mut requests = self.requests.clone().ready().await.expect("it takes requests");
        let (response, mut sending) = requests.send_request(request, body.is_empty()).expect("it is sent");
        if !body.is_empty() {
            sending.send_data(Bytes::copy_from_slice(body.as_bytes()), true).expect("it is sent");
        }
        let (head, mut body) = soon(response).await.expect("a response").into_parts();
        let mut text = Vec::new();
        while let Some(part) = soon(body.data()).await {
            let part = part.expect("a part of the body");
            body.flow_control().release_capacity(part.len()).expect("it was taken");
            text.extend_from_slice(&part);
        }
        (head.status, String::from_utf8(text).expect("text"))
    }

    async fn get(&self, target: &str) -> String {
        let (status, body) = self.ask(Method::GET, target, "").await;
        assert_eq!(status, 200, "{body}");
        body
    }

    /// Opens a session in the main namespace, and returns the target of its requests.
    pub(crate) async fn join(&self) -> String {
        let open = self.get(OPEN).await;
        let id = open.split('"').nth(3).expect("an id");
        let target = format!("{OPEN}&sid={id}");
        self.post(&target, "40").await;
        assert!(self.get(&target).await.starts_with("40{"));
        target
    }

    async fn post(&self, target: &str, body: &str) {
        assert_eq!(self.ask(Method::POST, target, body).await, (StatusCode::OK, "ok".to_owned()));
    }
}

fn register(io: &Server) {
    io.on("double", |Data(n): Data<u32>| n * 2);
    io.on("long", |Data(n): Data<usize>| "x".repeat(n));
}

#[tokio::test]
async fn clients_poll_over_one_connection_of_http_2() {
    // The host is in the request's `:authority`.
    let io = crate::server().origins(Origins::same_host()).build().expect("a server");
    register(&io);
    let client = Http2::dial(serve(&io).await).await;
    let (ada, bob) = (client.join().await, client.join().await);
    // Polls that wait, beside other requests on the same connection.
    let answers = tokio::join!(client.get(&ada), client.get(&bob), async {
        client.post(&ada, r#"420["double",21]"#).await;
        client.post(&bob, r#"420["double",4]"#).await;
    });
    assert_eq!((&*answers.0, &*answers.1), ("430[42]", "430[8]"));
    // More than a frame, and than the client's window.
    let (answer, ()) = tokio::join!(client.get(&ada), client.post(&ada, r#"421["long",300000]"#));
    assert_eq!(answer, format!(r#"431["{}"]"#, "x".repeat(300_000)));
    let long = format!(r#"422["double",4,"{}"]"#, "y".repeat(400_000));
    let (answer, ()) = tokio::join!(client.get(&bob), client.post(&bob, &long));
    assert_eq!(answer, "432[8]");
    assert_eq!(client.ask(Method::GET, "/elsewhere", "").await.0, 404);
    assert_eq!(client.ask(Method::GET, WEBSOCKET, "").await.0, 400);
    client.post(&ada, "41").await;
    assert_eq!(io.clients_count(), 2);
}

#[tokio::test]
async fn http_1_1_goes_on_beside_it() {
    let io = crate::server().build().expect("a server");
    register(&io);
    let addr = serve(&io).await;
    let mut websocket = Client::joined(addr).await;
    assert_eq!(websocket.ask(r#"["double",3]"#).await, "[6]");
    Poller::joined(addr).await;
    // A method that begins as the preface does, one byte at a time.
    let mut slow = TcpStream::connect(addr).await.expect("a connection");
    slow.set_nodelay(true).expect("a setting");
    for byte in b"PRI /elsewhere HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n" {
        slow.write_all(&[*byte]).await.expect("it is taken");
        tokio::task::yield_now().await;
    }
    let mut answer = Vec::new();
    soon(slow.read_to_end(&mut answer)).await.expect("an answer");
    assert!(answer.starts_with(b"HTTP/1.1 404"), "{}", String::from_utf8_lossy(&answer));
}

#[tokio::test]
async fn a_connection_that_asks_for_nothing_is_closed() {
    let io = crate::server().first_head_timeout(SHORT).build().expect("a server");
    let addr = serve(&io).await;
    let mut undecided = TcpStream::connect(addr).await.expect("a connection");
    undecided.write_all(b"PRI * HTT").await.expect("it is taken");
    assert_eq!(soon(undecided.read(&mut [0])).await.unwrap_or(0), 0);
    let silent = Http2::dial(addr).await;
    let _ = soon(silent.connection).await.expect("its task");
    let io = crate::server().keep_alive_timeout(SHORT).build().expect("a server");
    let idle = Http2::dial(serve(&io).await).await;
    idle.get(OPEN).await;
    // It is asked to go, and goes.
    soon(idle.connection).await.expect("its task").expect("a good end");
}

#[tokio::test]
async fn a_client_that_takes_nothing_of_a_response_is_cut() {
    let io = crate::server().write_timeout(Duration::from_secs(2)).build().expect("a server");
    let addr = serve(&io).await;
    let (sound, stream) = (Http2::dial(addr).await, TcpStream::connect(addr).await.expect("a connection"));
    sound.join().await;
    let mut settings = Builder::new();
    settings.initial_window_size(0);
    let greedy = Http2::over(stream, addr, &settings).await;
    let request = Request::get(format!("http://{addr}{OPEN}")).body(()).expect("a request");
    let mut requests = greedy.requests.clone().ready().await.expect("it takes requests");
    let (response, _) = requests.send_request(request, true).expect("it is sent");
    let _response = soon(response).await.expect("the head, which needs no window");
    let _ = soon(greedy.connection).await.expect("its task");
    sound.join().await;
}

#[tokio::test]
async fn a_shutdown_answers_the_polls_that_wait_and_ends_the_connection() {
    let io = crate::server().build().expect("a server");
    let (begin, mut begun) = tokio::sync::mpsc::channel(1);
    io.on("end", move || begin.try_send(()).is_ok());
    let client = Http2::dial(serve(&io).await).await;
    let target = client.join().await;
    let shut_down = async {
        client.post(&target, r#"42["end"]"#).await;
        soon(begun.recv()).await.expect("the event");
        io.shutdown(Duration::from_secs(10)).await;
    };
    let (answer, ()) = tokio::join!(client.get(&target), shut_down);
    assert_eq!(answer, "1");
    soon(client.connection).await.expect("its task").expect("a good end");
}

#[tokio::test]
async fn the_peer_and_the_security_of_a_connection_are_known() {
    let io = crate::server().build().expect("a server");
    io.on("who", |handshake: Handshake| (handshake.peer_addr(), handshake.is_secure()));
    let client = Http2::dial(serve(&io).await).await;
    let target = client.join().await;
    let (answer, ()) = tokio::join!(client.get(&target), client.post(&target, r#"420["who"]"#));
    assert!(answer.starts_with(r#"430["127.0.0.1:"#) && answer.ends_with(",false]"), "{answer}");
}
