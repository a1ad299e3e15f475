//! Clients on long-polling whose requests reach any node: passed on to the node of their session.

use bytes::Bytes;
use futures_util::future::{AbortHandle, abortable};
use http::{Request, StatusCode};
use http_body_util::{BodyExt, Full};
use sansocket_runtime::adapter::{BoxFuture, ConnInfo, Dial, Runtime, ServerOptions, Stream};
use sansocket_runtime::cluster::{ClusterOptions, Dialect, InProcessBus, NodeConfig, dialect};
use sansocket_runtime::testing::TestServer;
use sansocket_runtime::{
    Args, BuildError, DisconnectReason, Handshake, Rate, RefusedRequest, Server, ServerBuilder, Socket,
    TransportKind,
};
use std::io;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

const SECOND: Duration = Duration::from_secs(1);
const POLLING: &str = "EIO=4&transport=polling";

type Builder = ServerBuilder<Server, ServerOptions>;

/// Three nodes that pass requests on, or do not.
struct Nodes {
    bus: InProcessBus,
    servers: Vec<TestServer<Server>>,
    /// The nodes of sessions in refused requests.
    refused: Arc<Mutex<Vec<Option<String>>>>,
    /// Why sockets have gone.
    ended: Arc<Mutex<Vec<DisconnectReason>>>,
}

impl Nodes {
    fn new() -> Self {
        Self::with(|options| options.forward_requests(true), |builder| builder)
    }

    fn with(cluster: impl Fn(ClusterOptions) -> ClusterOptions, set: impl Fn(Builder) -> Builder) -> Self {
        let bus = InProcessBus::new();
        let (refused, ended) = (Arc::<Mutex<Vec<_>>>::default(), Arc::<Mutex<Vec<_>>>::default());
        let mut servers: Vec<TestServer<Server>> = Vec::new();
        for _ in 0..3 {
            let told = refused.clone();
            let build = |runtime| {
                let builder = Builder::new(runtime).cluster(cluster(ClusterOptions::new(bus.clone())));
                let hook = move |request: &RefusedRequest| {
                    told.lock().unwrap().push(request.other_node().map(str::to_owned));
                };
                set(builder).on_connection_error(hook).build()
            };
            let server = match servers.first() {
                None => TestServer::new(build),
                Some(first) => first.beside(build),
            };
            let ended = ended.clone();
            server
                .server()
                .on("echo", async |socket: Socket, args: Args| {
                    let _ = socket.emit("echo", &args);
                })
                .on_disconnect(move |reason: DisconnectReason| {
                    ended.lock().unwrap().push(reason);
                    async {}
                });
            servers.push(server);
        }
        servers[0].settle();
        Self { bus, servers, refused, ended }
    }

    fn io(&self, node: usize) -> &Server {
        self.servers[node].server()
    }

    fn run<T>(&self, future: impl Future<Output = T>) -> T {
        self.servers[0].block_on(future)
    }

    /// A request to that node: the status and the body of the answer.
    fn ask(
        &self,
        node: usize,
        request: Request<Full<Bytes>>,
    ) -> impl Future<Output = (StatusCode, Bytes)> + use<> {
        let endpoint = self.io(node).endpoint();
        async move {
            let response = endpoint.respond(request, ConnInfo::default()).await;
            let status = response.status();
            // A copy: the answer counts as not written while it is held.
            (status, Bytes::copy_from_slice(&response.into_body().collect().await.unwrap().to_bytes()))
        }
    }

    fn get(&self, node: usize, query: &str) -> impl Future<Output = (StatusCode, Bytes)> + use<> {
        let request = Request::get(format!("/socket.io/?{query}"));
        self.ask(node, request.body(Full::default()).unwrap())
    }

    fn post(
        &self,
        node: usize,
        query: &str,
        body: &str,
    ) -> impl Future<Output = (StatusCode, Bytes)> + use<> {
        let request = Request::post(format!("/socket.io/?{query}"));
        self.ask(node, request.body(Full::new(body.to_owned().into())).unwrap())
    }

    /// Lets a request run, which may wait for its answer.
    fn begin(&self, request: impl Future<Output = (StatusCode, Bytes)> + Send + 'static) -> Running {
        let answer = Arc::<Mutex<Option<(StatusCode, Bytes)>>>::default();
        let place = answer.clone();
        let (request, abort) = abortable(async move {
            let answered = request.await;
            *place.lock().unwrap() = Some(answered);
        });
        self.servers[0].runtime().spawn(Box::pin(async move {
            let _ = request.await;
        }));
        self.servers[0].settle();
        Running { answer, abort }
    }

    /// Opens a session at the first node, and joins `/`. Gives back the query of its requests.
    fn open(&self, query: &str) -> String {
        let (_, body) = self.run(self.get(0, query));
        let text = String::from_utf8_lossy(&body);
        let id = text.split("\"sid\":\"").nth(1).and_then(|rest| rest.split('"').next());
        format!("{query}&sid={}", id.unwrap())
    }

    fn join(&self) -> String {
        let query = self.open(POLLING);
        assert_eq!(self.run(self.post(1, &query, "40")), ok("ok"));
        let (status, body) = self.run(self.get(2, &query));
        assert!(status == 200 && body.starts_with(b"40{\"sid\""), "{status} {body:?}");
        query
    }

    fn counts(&self, node: usize) -> sansocket_runtime::cluster::NodeCounts {
        self.io(node).cluster_counts().unwrap()
    }

    /// Nothing is held anywhere.
    fn is_at_rest(&self) {
        self.servers[0].settle();
        for node in 0..3 {
            let counts = self.counts(node);
            assert_eq!((counts.forwards, counts.forwarded_here), (0, 0), "node {node}");
        }
    }
}

/// A request that was begun.
struct Running {
    answer: Arc<Mutex<Option<(StatusCode, Bytes)>>>,
    abort: AbortHandle,
}

impl Running {
    fn answer(&self) -> Option<(StatusCode, Bytes)> {
        self.answer.lock().unwrap().clone()
    }
}

fn ok(body: &'static str) -> (StatusCode, Bytes) {
    (StatusCode::OK, Bytes::from_static(body.as_bytes()))
}

const UNKNOWN: (StatusCode, Bytes) =
    (StatusCode::BAD_REQUEST, Bytes::from_static(br#"{"code":1,"message":"Session ID unknown"}"#));
const ELSEWHERE: (StatusCode, Bytes) = (
    StatusCode::SERVICE_UNAVAILABLE,
    Bytes::from_static(br#"{"code":1,"message":"Session on another node"}"#),
);

#[test]
fn each_message_comes_once_and_in_order_whatever_node_the_requests_reach() {
    let nodes = Nodes::new();
    let query = nodes.join();
    let mut heard = Vec::new();
    for number in 0..30 {
        let packets = format!(
            r#"42["echo",{number}]{0}451-["echo",{{"_placeholder":true,"num":0}}]{0}bAQID"#,
            '\u{1e}'
        );
        assert_eq!(nodes.run(nodes.post(number % 3, &query, &packets)), ok("ok"));
        if number % 4 == 0 {
            let (status, body) = nodes.run(nodes.get((number + 1) % 3, &query));
            assert_eq!(status, 200);
            heard.push(String::from_utf8(body.to_vec()).unwrap());
        }
    }
    heard.push(String::from_utf8(nodes.run(nodes.get(1, &query)).1.to_vec()).unwrap());
    let heard = heard.join("\u{1e}");
    let packets: Vec<&str> = heard.split('\u{1e}').collect();
    let expected: Vec<String> = (0..30)
        .flat_map(|number| {
            let binary = r#"451-["echo",{"_placeholder":true,"num":0}]"#;
            [format!(r#"42["echo",{number}]"#), binary.to_owned(), "bAQID".to_owned()]
        })
        .collect();
    assert_eq!(packets, expected);
    let forwarded: u64 = (0..3).map(|node| nodes.counts(node).forwarded).sum();
    assert!(forwarded > 20, "{forwarded}");
    assert_eq!(nodes.counts(0).forwarded, 0);
    assert!(nodes.refused.lock().unwrap().is_empty());
    assert_eq!(nodes.io(0).stats().refused.bad_requests, 0);
    nodes.is_at_rest();
}

#[test]
fn a_poll_waits_at_another_node_until_there_is_something() {
    let nodes = Nodes::new();
    let query = nodes.join();
    let poll = nodes.begin(nodes.get(1, &query));
    nodes.servers[0].advance(3 * SECOND);
    assert_eq!(poll.answer(), None);
    assert_eq!((nodes.counts(1).forwards, nodes.counts(0).forwarded_here), (1, 1));
    nodes.io(2).emit("news", &"from a third node").unwrap();
    nodes.servers[0].settle();
    assert_eq!(poll.answer(), Some(ok(r#"42["news","from a third node"]"#)));
    // With nothing to hear, the next ping is the answer.
    assert_eq!(nodes.run(nodes.get(2, &query)), ok("2"));
    assert_eq!(nodes.run(nodes.post(1, &query, "3")), ok("ok"));
    nodes.is_at_rest();
}

#[test]
fn a_client_that_goes_away_while_it_polls_ends_its_session() {
    let nodes = Nodes::new();
    let query = nodes.join();
    let poll = nodes.begin(nodes.get(1, &query));
    assert_eq!(nodes.io(0).root().len(), 1);
    poll.abort.abort();
    nodes.servers[0].settle();
    assert_eq!(nodes.io(0).root().len(), 0);
    assert_eq!(*nodes.ended.lock().unwrap(), [DisconnectReason::TransportError]);
    assert_eq!(nodes.run(nodes.get(2, &query)), UNKNOWN);
    nodes.is_at_rest();
}

#[test]
fn a_session_that_has_ended_is_unknown_at_every_node() {
    let nodes = Nodes::new();
    let query = nodes.join();
    assert_eq!(nodes.run(nodes.post(1, &query, "1")), ok("ok"));
    nodes.servers[0].advance(60 * SECOND);
    for node in 0..3 {
        assert_eq!(nodes.run(nodes.get(node, &query)), UNKNOWN);
    }
    // The hook of the node that was asked tells whose it was; the node itself does not know of any other.
    let refused = std::mem::take(&mut *nodes.refused.lock().unwrap());
    assert_eq!(refused.iter().filter(|node| node.is_some()).count(), 2, "{refused:?}");
    assert!(nodes.counts(1).unforwarded > 0);
    nodes.is_at_rest();
}

#[test]
fn what_a_session_refuses_is_refused_through_other_nodes() {
    let nodes = Nodes::new();
    let query = nodes.join();
    let other_revision = query.replace("EIO=4", "EIO=3");
    let refused = r#"{"code":3,"message":"Bad request"}"#;
    assert_eq!(nodes.run(nodes.get(0, &other_revision)), (StatusCode::BAD_REQUEST, refused.into()));
    assert_eq!(nodes.run(nodes.get(1, &other_revision)), (StatusCode::BAD_REQUEST, refused.into()));
    assert_eq!(nodes.run(nodes.get(1, &query.replace("polling", "nothing"))).0, 400);
    // Two polls at once end the session, whatever nodes they are at.
    let first = nodes.begin(nodes.get(1, &query));
    assert_eq!(nodes.run(nodes.get(2, &query)).0, 400);
    nodes.servers[0].settle();
    assert!(first.answer().is_some());
    assert_eq!(nodes.run(nodes.get(1, &query)), UNKNOWN);
    nodes.is_at_rest();
}

#[test]
fn a_websocket_of_another_node_is_refused_and_its_session_goes_on() {
    let nodes = Nodes::new();
    let query = nodes.join();
    let upgrade = Request::get(format!("/socket.io/?{}", query.replace("polling", "websocket")))
        .header("connection", "Upgrade")
        .header("upgrade", "websocket")
        .header("sec-websocket-version", "13")
        .header("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ==");
    let answer = nodes.run(nodes.ask(1, upgrade.body(Full::default()).unwrap()));
    assert_eq!(answer, (StatusCode::BAD_REQUEST, "Session ID unknown".into()));
    assert_eq!((nodes.counts(1).misrouted, nodes.counts(1).forwarded), (1, 1), "told, and not passed on");
    assert_eq!(nodes.run(nodes.post(2, &query, r#"42["echo",1]"#)), ok("ok"));
    assert_eq!(nodes.run(nodes.get(1, &query)), ok(r#"42["echo",1]"#));
    nodes.is_at_rest();
}

#[test]
fn bodies_are_bounded_at_the_node_that_reads_them() {
    let nodes = Nodes::with(
        |options| options.forward_requests(true).limits(NodeConfig::default().with_max_forwarded_bytes(1500)),
        |builder| builder.max_payload(1000),
    );
    let query = nodes.join();
    let large = |length: Option<usize>| {
        let mut request = Request::post(format!("/socket.io/?{query}"));
        if let Some(length) = length {
            request = request.header("content-length", length);
        }
        request.body(Full::new(Bytes::from(vec![b'4'; 1001]))).unwrap()
    };
    for length in [Some(1001), None] {
        assert_eq!(nodes.run(nodes.ask(1, large(length))).0, 413);
    }
    // What has come of a body counts, and not what is announced.
    let stuck = |bytes: usize| {
        let body = NeverEnds(Bytes::from(vec![b'4'; bytes]));
        let request = Request::post(format!("/socket.io/?{query}")).body(body).unwrap();
        let endpoint = nodes.io(1).endpoint();
        nodes.begin(
            async move { (endpoint.respond(request, ConnInfo::default()).await.status(), Bytes::new()) },
        )
    };
    let stuck = [0, 0, 900, 595].map(stuck);
    assert_eq!(nodes.run(nodes.post(1, &query, r#"42["echo",1]"#)), ELSEWHERE);
    // They are given up after `body_timeout`.
    nodes.servers[0].advance(31 * SECOND);
    for stuck in stuck {
        assert_eq!(stuck.answer().unwrap().0, 408);
    }
    assert_eq!(nodes.run(nodes.post(1, &query, r#"42["echo",1]"#)), ok("ok"));
    nodes.is_at_rest();
}

/// A body of which no more comes than that.
struct NeverEnds(Bytes);

impl http_body::Body for NeverEnds {
    type Data = Bytes;
    type Error = std::convert::Infallible;

    fn poll_frame(
        mut self: std::pin::Pin<&mut Self>,
        _: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<Result<http_body::Frame<Bytes>, Self::Error>>> {
        match std::mem::take(&mut self.0) {
            part if part.is_empty() => std::task::Poll::Pending,
            part => std::task::Poll::Ready(Some(Ok(http_body::Frame::data(part)))),
        }
    }
}

#[test]
fn one_address_has_its_share_of_the_requests_that_are_passed_on() {
    let limits = NodeConfig::default()
        .with_max_forwards_per_address(2)
        .with_max_forwarded_bytes_per_address(1000)
        .with_forward_rate_per_address(Rate::per_second(1).burst(6));
    let nodes = Nodes::with(
        |options| options.forward_requests(true).limits(limits.clone()),
        |builder| {
            builder.client_address(|handshake: &Handshake| {
                handshake.headers().get("x-real-ip")?.to_str().ok()?.parse().ok()
            })
        },
    );
    let post = |address: &str, query: &str, body: String| {
        let request = Request::post(format!("/socket.io/?{query}")).header("x-real-ip", address);
        nodes.ask(1, request.body(Full::new(body.into())).unwrap())
    };
    let poll = |address: &str, query: &str| {
        let request = Request::get(format!("/socket.io/?{query}")).header("x-real-ip", address);
        nodes.begin(nodes.ask(1, request.body(Full::default()).unwrap()))
    };
    let sessions: Vec<String> = (0..3).map(|_| nodes.open(POLLING)).collect();
    sessions.iter().for_each(|query| assert_eq!(nodes.run(nodes.post(0, query, "40")).0, 200));
    sessions.iter().for_each(|query| assert_eq!(nodes.run(nodes.get(0, query)).0, 200));
    let waiting = [poll("10.0.0.1", &sessions[0]), poll("10.0.0.1", &sessions[1])];
    let echo = || r#"42["echo",1]"#.to_owned();
    let too_many: (StatusCode, Bytes) = (
        StatusCode::TOO_MANY_REQUESTS,
        r#"{"code":4,"message":"Too many requests from this address"}"#.into(),
    );
    assert_eq!(nodes.run(post("10.0.0.1", &sessions[2], echo())), too_many);
    assert_eq!(nodes.run(post("10.0.0.2", &sessions[0], echo())), ok("ok"));
    assert_eq!(nodes.run(post("10.0.0.2", &sessions[1], echo())), ok("ok"));
    waiting.iter().for_each(|poll| assert_eq!(poll.answer(), Some(ok(r#"42["echo",1]"#))));
    // The bytes, and then the rate. What is not told of a client's address is not bounded by it.
    let large = format!(r#"42["echo","{}"]"#, "x".repeat(1000));
    assert_eq!(nodes.run(post("10.0.0.1", &sessions[2], large.clone())), too_many);
    assert_eq!(nodes.run(post("10.0.0.2", &sessions[2], echo())), ok("ok"));
    for _ in 0..3 {
        assert_eq!(nodes.run(post("10.0.0.1", &sessions[2], echo())), ok("ok"));
    }
    assert_eq!(nodes.run(post("10.0.0.1", &sessions[2], echo())), too_many);
    nodes.servers[0].advance(SECOND);
    assert_eq!(nodes.run(post("10.0.0.1", &sessions[2], echo())), ok("ok"));
    assert_eq!(nodes.run(nodes.post(1, &sessions[2], &large)), ok("ok"));
    nodes.is_at_rest();
}

#[test]
fn with_the_bus_away_requests_are_refused_and_the_session_s_own_node_goes_on() {
    let nodes = Nodes::new();
    let query = nodes.join();
    let other = nodes.join();
    let waiting = nodes.begin(nodes.get(1, &query));
    nodes.bus.take_down();
    nodes.servers[0].settle();
    assert_eq!(waiting.answer(), Some(ELSEWHERE), "its answer could not come");
    assert_eq!(nodes.run(nodes.post(1, &other, r#"42["echo",1]"#)), ELSEWHERE);
    assert_eq!(nodes.run(nodes.post(0, &other, r#"42["echo",1]"#)), ok("ok"));
    assert_eq!(nodes.run(nodes.get(0, &other)), ok(r#"42["echo",1]"#));
    nodes.bus.bring_up();
    nodes.servers[0].advance(2 * SECOND);
    assert_eq!(nodes.run(nodes.post(1, &other, r#"42["echo",2]"#)), ok("ok"));
    assert_eq!(nodes.run(nodes.get(2, &other)), ok(r#"42["echo",2]"#));
    nodes.is_at_rest();
}

#[test]
fn a_node_that_shuts_down_tells_its_clients_through_others() {
    let nodes = Nodes::new();
    let query = nodes.join();
    let poll = nodes.begin(nodes.get(1, &query));
    nodes.run(nodes.io(0).shutdown(SECOND));
    // The packets that close its socket and its session.
    assert_eq!(poll.answer(), Some(ok("1")));
    for answer in [nodes.run(nodes.get(1, &query)), nodes.run(nodes.post(2, &query, "3"))] {
        assert_eq!(answer, UNKNOWN, "its client begins anew, at a node that is there");
    }
    nodes.servers[0].settle();
    assert_eq!((nodes.counts(1).forwards, nodes.counts(2).forwards), (0, 0));
}

#[test]
fn a_node_that_shuts_down_waits_for_what_it_has_passed_on_and_then_gives_it_up() {
    let nodes = Nodes::new();
    let (query, other) = (nodes.join(), nodes.join());
    let poll = nodes.begin(nodes.get(1, &query));
    let answered = nodes.begin(nodes.get(1, &other));
    nodes.io(0).emit("news", &1).unwrap();
    nodes.servers[0].settle();
    assert_eq!(poll.answer(), Some(ok(r#"42["news",1]"#)));
    assert_eq!(answered.answer(), Some(ok(r#"42["news",1]"#)));
    let poll = nodes.begin(nodes.get(1, &query));
    let before = nodes.servers[0].elapsed();
    let leaving = nodes.io(1).clone();
    let has_left = nodes.begin(async move {
        leaving.shutdown(5 * SECOND).await;
        ok("")
    });
    // Requests that still reach it are passed on as before, until it has left.
    assert_eq!(nodes.run(nodes.post(1, &other, r#"42["echo",0]"#)), ok("ok"));
    assert_eq!(nodes.run(nodes.get(1, &other)), ok(r#"42["echo",0]"#));
    assert_eq!((poll.answer(), has_left.answer()), (None, None));
    nodes.servers[0].advance(6 * SECOND);
    assert_eq!(has_left.answer(), Some(ok("")));
    assert!(nodes.servers[0].elapsed() >= before + 5 * SECOND);
    assert_eq!(nodes.run(nodes.post(1, &other, r#"42["echo",0]"#)), UNKNOWN);
    assert_eq!(poll.answer(), Some(ELSEWHERE));
    // To its session, the client has gone away; the other one goes on.
    assert_eq!(nodes.run(nodes.get(2, &query)), UNKNOWN);
    assert_eq!(nodes.run(nodes.post(2, &other, r#"42["echo",1]"#)), ok("ok"));
    nodes.is_at_rest();
}

#[test]
fn clients_of_revision_3_have_their_bytes_passed_on() {
    let nodes = Nodes::with(|options| options.forward_requests(true), |builder| builder.allow_eio3(true));
    let query = nodes.open("EIO=3&transport=polling");
    let (status, body) = nodes.run(nodes.get(2, &query));
    assert!(status == 200 && body.ends_with(b"40"), "{body:?}");
    // Text and bytes in the binary form of payloads: a kind, the digits of the length, 255, the packet.
    let text = br#"451-["echo",{"_placeholder":true,"num":0}]"#;
    let mut payload = vec![0, 4, 2, 255];
    payload.extend_from_slice(text);
    payload.extend_from_slice(&[1, 4, 255, 4, 1, 2, 3]);
    let request =
        Request::post(format!("/socket.io/?{query}")).header("content-type", "application/octet-stream");
    assert_eq!(nodes.run(nodes.ask(1, request.body(Full::new(payload.clone().into())).unwrap())), ok("ok"));
    let endpoint = nodes.io(2).endpoint();
    let get = Request::get(format!("/socket.io/?{query}")).body(Full::<Bytes>::default()).unwrap();
    let response = nodes.run(endpoint.respond(get, ConnInfo::default()));
    assert_eq!(response.headers()["content-type"], "application/octet-stream");
    assert_eq!(nodes.run(response.into_body().collect()).unwrap().to_bytes(), payload);
    nodes.is_at_rest();
}

#[test]
fn answers_are_compressed_by_the_node_that_gives_them() {
    let nodes =
        Nodes::with(|options| options.forward_requests(true), |builder| builder.http_compression(1024));
    let query = nodes.join();
    nodes.io(0).emit("news", &"x".repeat(5000)).unwrap();
    let request = Request::get(format!("/socket.io/?{query}")).header("accept-encoding", "gzip");
    let endpoint = nodes.io(1).endpoint();
    let request = request.body(Full::<Bytes>::default()).unwrap();
    let response = nodes.run(endpoint.respond(request, ConnInfo::default()));
    assert_eq!(response.headers()["content-encoding"], "gzip");
    assert_eq!(nodes.counts(1).forwards, 1, "until it is written");
    drop(response);
    nodes.is_at_rest();
}

#[test]
fn the_option_is_for_dialects_whose_nodes_have_names() {
    let refused = TestServer::default();
    let bus = InProcessBus::new();
    for (dialect, works) in [
        (Dialect::Classic(dialect::Classic::default()), false),
        (Dialect::Python(dialect::Python::default()), false),
        (Dialect::Heartbeats(dialect::Sharded::default()), true),
    ] {
        let options = ClusterOptions::new(bus.clone()).dialect(dialect).forward_requests(true);
        let built = Builder::new(refused.runtime()).cluster(options).build();
        assert_eq!(built.is_ok(), works);
        if let Err(error) = built {
            assert!(matches!(error, BuildError::NoForwarding), "{error}");
        }
    }
}

/// Each connection goes to the next server.
struct RoundRobin {
    networks: Vec<Arc<dyn Dial>>,
    next: AtomicUsize,
}

impl Dial for RoundRobin {
    fn dial(&self, host: String, port: u16) -> BoxFuture<io::Result<Box<dyn Stream>>> {
        let next = self.next.fetch_add(1, Ordering::Relaxed);
        self.networks[next % self.networks.len()].dial(host, port)
    }

    fn secure(&self, _: String, stream: Box<dyn Stream>) -> BoxFuture<io::Result<Box<dyn Stream>>> {
        Box::pin(std::future::ready(Ok(stream)))
    }
}

#[test]
fn a_whole_client_comes_by_way_of_all_nodes() {
    for transports in [&[TransportKind::Polling][..], &[TransportKind::Polling, TransportKind::WebSocket]] {
        let nodes = Nodes::new();
        let networks =
            nodes.servers.iter().map(|server| Arc::new(server.network()) as Arc<dyn Dial>).collect();
        let balancer = RoundRobin { networks, next: AtomicUsize::new(0) };
        let client = nodes.servers[0]
            .client_with("/", |client| client.dial(balancer).transports(transports.iter().copied()));
        for number in 0..20 {
            client.emit("echo", &number);
            assert_eq!(client.expect::<u32>("echo"), number);
        }
        nodes.servers[0].advance(120 * SECOND);
        assert!(client.is_connected(), "{:?}", client.disconnects());
        client.disconnect();
        nodes.is_at_rest();
        let forwarded: u64 = (0..3).map(|node| nodes.counts(node).forwarded).sum();
        assert!(forwarded > 0);
    }
}
