//! A client that is as simple as can be, so that what the tests see is what was on the wire.
#![allow(dead_code, unreachable_pub)] // each program of tests takes what it needs

use crate::sansocket::{Server, ServerBuilder};
use bytes::Bytes;
use sansocket_runtime::websocket::{Incoming, Reader, Role, write_binary, write_close, write_text};
use std::collections::VecDeque;
use std::fmt::Display;
use std::future::Future;
use std::net::SocketAddr;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::mpsc;

/// A guard against tests that hang, never a condition.
const GUARD: Duration = Duration::from_secs(60);
const MASK: [u8; 4] = [1, 2, 3, 4];
const UPGRADE: &str = "connection: Upgrade\r\nupgrade: websocket\r\nsec-websocket-version: 13\r\n\
                       sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n";

/// Awaits something that has to come.
pub async fn soon<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(GUARD, future).await.expect("it comes within a minute")
}

/// Awaits a condition that only polling can tell.
pub async fn until(what: &str, condition: impl Fn() -> bool) {
    let waiting = async {
        while !condition() {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    };
    assert!(tokio::time::timeout(GUARD, waiting).await.is_ok(), "{what}");
}

/// The lines that handlers write down, for the test to read.
#[derive(Clone)]
pub struct Log(mpsc::UnboundedSender<String>);

/// The lines that were written down.
pub struct Lines(mpsc::UnboundedReceiver<String>);

pub fn log() -> (Log, Lines) {
    let (sender, receiver) = mpsc::unbounded_channel();
    (Log(sender), Lines(receiver))
}

impl Log {
    pub fn note(&self, line: impl Display) {
        let _ = self.0.send(line.to_string());
    }
}

impl Lines {
    pub async fn next(&mut self) -> String {
        soon(self.0.recv()).await.expect("a line")
    }

    pub async fn expect(&mut self, line: &str) {
        assert_eq!(self.next().await, line);
    }

    /// Takes the lines that are already there.
    pub fn drain(&mut self) -> Vec<String> {
        std::iter::from_fn(|| self.0.try_recv().ok()).collect()
    }
}

/// A server whose handlers find a [`Log`] as their state, and whose error hook writes into it.
pub fn logged(builder: ServerBuilder) -> (Server, Lines) {
    let (log, lines) = log();
    let io = builder.state(log.clone()).build().expect("a server");
    io.on_error(move |_, error| log.note(format_args!("error: {error}")));
    (io, lines)
}

/// Listens on any port.
pub async fn serve(io: &Server) -> SocketAddr {
    io.listen("127.0.0.1:0").await.expect("a port").local_addr()
}

/// A Socket.IO message as it was on the wire, without Engine.IO's `4`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Message {
    Text(String),
    Binary(Bytes),
}

/// A client on a WebSocket. It answers heartbeats, and nothing else by itself.
pub struct Client<S = TcpStream> {
    pub stream: S,
    pub response: Response,
    /// The first packet, of type open.
    pub opened: String,
    /// The rest of a frame that the connection did not take.
    pub unsent: Vec<u8>,
    reader: Reader,
    inbox: VecDeque<Incoming>,
}

impl Client {
    /// Opens a session, joins nothing.
    pub async fn connect(addr: SocketAddr) -> Self {
        Self::connect_to(addr, "/socket.io/?EIO=4&transport=websocket", "").await
    }

    pub async fn connect_to(addr: SocketAddr, target: &str, headers: &str) -> Self {
        let stream = soon(TcpStream::connect(addr)).await.expect("a connection");
        Client::over(stream, target, headers).await
    }

    /// Opens a session and joins the main namespace.
    pub async fn joined(addr: SocketAddr) -> Self {
        Self::joined_as(addr).await.0
    }

    /// The same, with the id of its socket.
    pub async fn joined_as(addr: SocketAddr) -> (Self, String) {
        let mut client = Self::connect(addr).await;
        let id = client.join("/", "").await;
        (client, id)
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> Client<S> {
    /// Opens a session over a stream.
    pub async fn over(stream: S, target: &str, headers: &str) -> Self {
        let mut client = Self::upgraded(stream, target, headers).await;
        client.opened = match soon(client.next_frame()).await {
            Some(Incoming::Text(text)) => text_of(&text),
            other => panic!("the open packet, not {other:?}"),
        };
        assert!(client.opened.starts_with("0{"), "{}", client.opened);
        client
    }

    /// Makes a WebSocket, and reads nothing from it.
    pub async fn upgraded(mut stream: S, target: &str, headers: &str) -> Self {
        let head = format!("GET {target} HTTP/1.1\r\nhost: test\r\n{UPGRADE}{headers}\r\n");
        soon(stream.write_all(head.as_bytes())).await.expect("the head is taken");
        let response = soon(Response::read(&mut stream)).await.expect("a response");
        assert_eq!(response.status, 101, "{response:?}");
        let reader = Reader::new(Role::Client, 64 << 20);
        Self { stream, response, opened: String::new(), unsent: Vec::new(), reader, inbox: VecDeque::new() }
    }

    /// Joins a namespace, with an `auth` object if it is not empty. Returns the id of the socket.
    pub async fn join(&mut self, namespace: &str, auth: &str) -> String {
        let prefix = if namespace == "/" { "0".to_owned() } else { format!("0{namespace},") };
        self.send(&format!("{prefix}{auth}")).await;
        let answer = self.text().await;
        let Some(id) = answer.strip_prefix(&format!("{prefix}{{\"sid\":\"")) else {
            panic!("not let into {namespace}: {answer}")
        };
        id.split('"').next().unwrap_or_default().to_owned()
    }

    /// Sends a Socket.IO packet; Engine.IO's `4` is put before it.
    pub async fn send(&mut self, packet: &str) {
        self.try_send(packet).await.expect("it is taken");
    }

    pub async fn try_send(&mut self, packet: &str) -> std::io::Result<()> {
        self.raw(&format!("4{packet}")).await
    }

    /// Sends packets in one write.
    pub async fn send_all(&mut self, packets: &[&str]) {
        let mut out = Vec::new();
        for packet in packets {
            write_text(&mut out, Some(MASK), format!("4{packet}").as_bytes());
        }
        soon(self.stream.write_all(&out)).await.expect("it is taken");
    }

    /// Sends an Engine.IO packet.
    pub async fn raw(&mut self, packet: &str) -> std::io::Result<()> {
        let mut out = Vec::new();
        write_text(&mut out, Some(MASK), packet.as_bytes());
        soon(self.stream.write_all(&out)).await?;
        soon(self.stream.flush()).await
    }

    /// Sends an attachment.
    pub async fn send_binary(&mut self, data: &[u8]) {
        let mut out = Vec::new();
        write_binary(&mut out, Some(MASK), data);
        soon(self.stream.write_all(&out)).await.expect("it is taken");
    }

    /// Emits an event: `["name",1,2]`.
    pub async fn emit(&mut self, array: &str) {
        self.send(&format!("2{array}")).await;
    }

    /// Emits an event, and returns the arguments of its acknowledgement. It must be the next thing to come.
    pub async fn ask(&mut self, array: &str) -> String {
        self.send(&format!("277{array}")).await;
        let answer = self.text().await;
        answer.strip_prefix("377").unwrap_or_else(|| panic!("no acknowledgement: {answer}")).to_owned()
    }

    /// The next message; `None` once the server has closed the connection.
    pub async fn next(&mut self) -> Option<Message> {
        soon(async {
            loop {
                match self.next_frame().await? {
                    Incoming::Text(text) if *text == *b"2" => {
                        // A connection that is closing meanwhile needs no answer.
                        let _ = self.raw("3").await;
                    }
                    Incoming::Text(text) => match text_of(&text).strip_prefix('4') {
                        Some(message) => return Some(Message::Text(message.to_owned())),
                        None if *text == *b"1" || *text == *b"6" => {}
                        None => panic!("not a message: {text:?}"),
                    },
                    Incoming::Binary(data) => return Some(Message::Binary(data)),
                    Incoming::Close(_) => {
                        let mut out = Vec::new();
                        write_close(&mut out, Some(MASK), None, "");
                        let _ = self.stream.write_all(&out).await;
                        return None;
                    }
                    Incoming::Ping(_) | Incoming::Pong => {}
                }
            }
        })
        .await
    }

    /// The next Engine.IO packet, which is text.
    pub async fn packet(&mut self) -> String {
        match soon(self.next_frame()).await {
            Some(Incoming::Text(text)) => text_of(&text),
            other => panic!("a packet, not {other:?}"),
        }
    }

    /// The next message, which is text.
    pub async fn text(&mut self) -> String {
        match self.next().await {
            Some(Message::Text(text)) => text,
            other => panic!("text, not {other:?}"),
        }
    }

    /// The next message, which is an attachment.
    pub async fn binary(&mut self) -> Bytes {
        match self.next().await {
            Some(Message::Binary(data)) => data,
            other => panic!("an attachment, not {other:?}"),
        }
    }

    /// The next message is this one.
    pub async fn expect(&mut self, packet: &str) {
        assert_eq!(self.text().await, packet);
    }

    /// Reads on until the server closes the connection. Returns what came before.
    pub async fn rest(&mut self) -> Vec<Message> {
        let mut rest = Vec::new();
        while let Some(message) = self.next().await {
            rest.push(message);
        }
        rest
    }

    /// The server closes the connection, and sends nothing more before.
    pub async fn gone(&mut self) {
        assert_eq!(self.rest().await, []);
    }

    async fn next_frame(&mut self) -> Option<Incoming> {
        let mut buffer = vec![0; 64 << 10];
        while self.inbox.is_empty() {
            let bytes = match self.stream.read(&mut buffer).await {
                Ok(0) | Err(_) => return None,
                Ok(bytes) => bytes,
            };
            let inbox = &mut self.inbox;
            self.reader
                .feed(&mut buffer[..bytes], &mut |item| inbox.push_back(item))
                .expect("WebSocket frames");
        }
        self.inbox.pop_front()
    }
}

fn text_of(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).expect("UTF-8")
}

/// An HTTP response.
#[derive(Debug)]
pub struct Response {
    pub status: u16,
    pub headers: Vec<(String, String)>,
    pub body: String,
}

impl Response {
    /// Reads one; `None` if the connection ends first.
    pub async fn read(stream: &mut (impl AsyncRead + Unpin)) -> Option<Self> {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(stream.read_u8().await.ok()?);
        }
        let head = text_of(&head);
        let mut lines = head.lines();
        let status = lines.next()?.split(' ').nth(1)?.parse().ok()?;
        let headers: Vec<(String, String)> = lines
            .filter_map(|line| line.split_once(':'))
            .map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_owned()))
            .collect();
        let mut response = Self { status, headers, body: String::new() };
        let length = response.header("content-length").and_then(|length| length.parse().ok()).unwrap_or(0);
        let mut body = vec![0; if status == 304 { 0 } else { length }];
        stream.read_exact(&mut body).await.ok()?;
        response.body = text_of(&body);
        Some(response)
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }
}

/// One request on a connection of its own. `headers` are whole lines.
pub async fn request(addr: SocketAddr, method: &str, target: &str, headers: &str, body: &str) -> Response {
    let stream = soon(TcpStream::connect(addr)).await.expect("a connection");
    request_over(stream, method, target, headers, body).await
}

/// The same over a connection that is there.
pub async fn request_over(
    mut stream: impl AsyncRead + AsyncWrite + Unpin,
    method: &str,
    target: &str,
    headers: &str,
    body: &str,
) -> Response {
    send_request(&mut stream, method, target, headers, body).await;
    soon(Response::read(&mut stream)).await.expect("a response")
}

pub async fn get(addr: SocketAddr, target: &str) -> Response {
    request(addr, "GET", target, "", "").await
}

pub async fn send_request(
    stream: &mut (impl AsyncWrite + Unpin),
    method: &str,
    target: &str,
    headers: &str,
    body: &str,
) {
    let length = body.len();
    let request = format!(
        "{method} {target} HTTP/1.1\r\nhost: test\r\nconnection: close\r\ncontent-length: {length}\r\n{headers}\r\n{body}"
    );
    soon(stream.write_all(request.as_bytes())).await.expect("the request is taken");
}

/// A client that polls.
pub struct Poller {
    pub addr: SocketAddr,
    /// The target of its requests.
    pub target: String,
    pub sid: String,
}

impl Poller {
    pub async fn connect(addr: SocketAddr) -> Self {
        Self::connect_to(addr, "/socket.io/").await
    }

    pub async fn connect_to(addr: SocketAddr, path: &str) -> Self {
        let response = get(addr, &format!("{path}?EIO=4&transport=polling")).await;
        assert_eq!(response.status, 200, "{response:?}");
        let sid = response.body.split('"').nth(3).unwrap_or_default().to_owned();
        Self { addr, target: format!("{path}?EIO=4&transport=polling&sid={sid}"), sid }
    }

    pub async fn joined(addr: SocketAddr) -> Self {
        let poller = Self::connect(addr).await;
        poller.post("40").await;
        assert!(poller.poll().await[0].starts_with("40{"));
        poller
    }

    pub async fn post(&self, body: &str) {
        let response = request(self.addr, "POST", &self.target, "", body).await;
        assert_eq!((response.status, response.body.as_str()), (200, "ok"));
    }

    /// The packets of one poll.
    pub async fn poll(&self) -> Vec<String> {
        let response = get(self.addr, &self.target).await;
        assert_eq!(response.status, 200, "{response:?}");
        response.body.split('\x1e').map(str::to_owned).collect()
    }
}

/// Polling, WebSocket, and the move from one to the other, on a server whose event `transport` answers with the name.
pub async fn all_transports_work(addr: SocketAddr, path: &str) {
    let target = format!("{path}?EIO=4&transport=websocket");
    let mut client = Client::connect_to(addr, &target, "").await;
    client.join("/", "").await;
    assert_eq!(client.ask(r#"["transport"]"#).await, r#"["websocket"]"#);

    let poller = Poller::connect_to(addr, path).await;
    poller.post("40").await;
    assert!(poller.poll().await[0].starts_with("40{"));
    poller.post(r#"421["transport"]"#).await;
    assert_eq!(poller.poll().await, [r#"431["polling"]"#]);

    let mut poll = TcpStream::connect(addr).await.expect("a connection");
    send_request(&mut poll, "GET", &poller.target, "", "").await;
    let stream = TcpStream::connect(addr).await.expect("a connection");
    let mut client = Client::upgraded(stream, &format!("{target}&sid={}", poller.sid), "").await;
    client.raw("2probe").await.expect("it is taken");
    assert_eq!(client.packet().await, "3probe");
    assert_eq!(soon(Response::read(&mut poll)).await.expect("a response").body, "6");
    client.raw("5").await.expect("it is taken");
    assert_eq!(client.ask(r#"["transport"]"#).await, r#"["websocket"]"#);
}
