//! The memory that clients can make the server hold, counted in bytes.
//!
//! The server has the test's thread for itself, and whatever it allocates there is counted. The clients are elsewhere.

#[path = "../../socket-tests/support.rs"]
mod support;

use sansocket_tokio as sansocket;

use allocation_counter::{AllocationInfo, measure};
use sansocket_tokio::{Args, Limits, Overflow, Server, Socket};
use std::future::Future;
use std::time::Duration;
use support::{Client, Message, Poller, request, send_request, serve, until};
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpSocket, TcpStream};
use tokio::runtime::{Builder, Runtime};

/// A runtime for the server on this thread, and one for the clients on another.
struct Stage {
    server: Runtime,
    clients: Runtime,
}

impl Stage {
    fn new() -> Self {
        let server = Builder::new_current_thread().enable_all().build().expect("a runtime");
        let clients = Builder::new_multi_thread().worker_threads(1).enable_all().build().expect("a runtime");
        Self { server, clients }
    }

    /// Runs something of the clients, while the server does its part.
    fn clients<T: Send + 'static>(&self, work: impl Future<Output = T> + Send + 'static) -> T {
        let work = self.clients.spawn(work);
        self.server.block_on(work).expect("no panic")
    }

    /// Runs something of the server, and counts.
    fn counted(&self, work: impl Future<Output = ()>) -> AllocationInfo {
        measure(|| self.server.block_on(work))
    }
}

const READERS: usize = 4;
const BUDGET: usize = 4 << 20;
/// Beyond the budgets, for each reader: what is kept for a session and its connection.
const EACH: usize = 32 << 10;
/// Beyond the budgets, for all: the buffers of the thread, and one event in the making.
const ONCE: usize = 512 << 10;

fn server() -> Server {
    let builder = Server::builder().max_payload(1 << 20).send_budget(BUDGET).overflow(Overflow::Fail);
    let io = builder.build().expect("a server");
    io.on("echo", async |socket: Socket, args: Args| drop(socket.emit("echo", &args)));
    io
}

/// Emits events of that size, each a copy of its own, until none of the sockets takes more, however long it waits.
/// Returns how many were taken.
async fn fill(sockets: &[Socket], bytes: usize) -> usize {
    let text = "x".repeat(bytes);
    let (mut taken, mut in_vain) = (0, 0);
    while in_vain < 20 {
        let before = taken;
        for socket in sockets {
            while socket.emit("fill", &text).is_ok() {
                taken += 1;
            }
        }
        // The sessions write meanwhile, as much as their clients' kernels take.
        tokio::time::sleep(Duration::from_millis(5)).await;
        in_vain = if taken == before { in_vain + 1 } else { 0 };
    }
    taken
}

/// The readers' budgets were used up, and were the most that was held.
fn assert_bounded(held: AllocationInfo, once: usize, what: &str) {
    let (most, budgets) = (held.bytes_max as usize, READERS * BUDGET);
    println!("{what}: {most} bytes, {:.3} of the budgets", most as f64 / budgets as f64);
    assert!(most <= budgets + READERS * EACH + once, "{what}: {held:?}");
    assert!(most >= budgets * 4 / 5, "{what}: the budgets were not used: {held:?}");
}

#[test]
fn clients_that_stop_reading_their_websockets_cost_their_budgets() {
    for bytes in [10, 1000, 10_000, 100_000] {
        let stage = Stage::new();
        let io = server();
        let addr = stage.server.block_on(serve(&io));
        let _readers = stage.clients(async move {
            let mut readers = Vec::new();
            for _ in 0..READERS {
                readers.push(Client::joined(addr).await);
            }
            readers
        });
        let sockets = io.root().sockets();
        assert_eq!(sockets.len(), READERS);
        let held = stage.counted(async {
            fill(&sockets, bytes).await;
        });
        assert_bounded(held, ONCE, &format!("WebSockets, events of {bytes} bytes"));
    }
}

#[test]
fn clients_that_stop_reading_their_polls_cost_their_budgets() {
    for bytes in [10, 1000, 10_000, 100_000] {
        let stage = Stage::new();
        let io = server();
        let addr = stage.server.block_on(serve(&io));
        let targets = stage.clients(async move {
            let mut targets = Vec::new();
            for _ in 0..READERS {
                targets.push(Poller::joined(addr).await.target);
            }
            targets
        });
        let sockets = io.root().sockets();
        let clients = stage.clients.handle().clone();
        let mut polls = Vec::new();
        let held = stage.counted(async {
            // Each poll takes what is queued, and reads nothing of it.
            for _ in 0..6 {
                fill(&sockets, bytes).await;
                for target in targets.clone() {
                    let poll = clients.spawn(async move {
                        let socket = TcpSocket::new_v4().expect("a socket");
                        socket.set_recv_buffer_size(1024).expect("a small one");
                        let mut stream: TcpStream = socket.connect(addr).await.expect("a connection");
                        send_request(&mut stream, "GET", &target, "", "").await;
                        stream
                    });
                    polls.push(poll.await.expect("no panic"));
                }
            }
        });
        // A body is made while the messages that it is made of are still there.
        assert_bounded(held, ONCE + BUDGET, &format!("polls, events of {bytes} bytes"));
    }
}

#[test]
fn a_megabyte_in_and_out_leaves_nothing_behind() {
    let stage = Stage::new();
    let io = server();
    let addr = stage.server.block_on(serve(&io));
    let echo = |mut client: Client, bytes: usize| {
        stage.clients(async move {
            client.emit(&format!(r#"["echo","{}"]"#, "x".repeat(bytes))).await;
            let Some(Message::Text(text)) = client.next().await else { panic!("no echo") };
            assert!(text.len() > bytes);
            client
        })
    };
    // What is allocated once is allocated now.
    let mut client = stage.clients(Client::joined(addr));
    for bytes in [1, 900_000, 1] {
        client = echo(client, bytes);
    }
    let mut kept = None;
    let held = measure(|| kept = Some(echo(client, 900_000)));
    println!("{held:?}");
    assert!(held.bytes_max > 900_000, "it was not counted: {held:?}");
    assert!(held.bytes_current.abs() < 4096, "{held:?}");
    drop(kept);
    stage.server.block_on(until("the session ends", || io.clients_count() == 0));
}

/// The clients of the tests of `Limits`.
const CLIENTS: usize = 4;

/// The memory held for each client is within the sum of the limits, and not far below it. A thread moves one message at a
/// time to a larger place while more of it comes: its old place, of up to `largest` bytes, is held for that long, too.
fn assert_computed(held: AllocationInfo, each: u64, largest: usize, what: &str) {
    let (most, computed) = (held.bytes_max, CLIENTS as u64 * each + (ONCE + largest) as u64);
    println!("{what}: {} bytes each, {} computed", most / CLIENTS as u64, each);
    assert!(most <= computed, "{what}: {held:?}, computed {computed}");
    assert!(most >= CLIENTS as u64 * each / 4, "{what}: {held:?}, computed {computed}");
}

/// The first bytes of a masked frame of that size.
fn frame_begun(bytes: usize) -> Vec<u8> {
    let mut frame = vec![0x81, 0x80 | 127];
    frame.extend_from_slice(&(bytes as u64).to_be_bytes());
    frame.extend_from_slice(&[0; 4]);
    frame.resize(frame.len() + bytes - 1, b' ');
    frame
}

#[test]
fn a_stranger_costs_no_more_than_the_limits_add_up_to() {
    for (name, limits) in [("default", Limits::default()), ("internet", Limits::internet())] {
        let stage = Stage::new();
        let io = Server::builder().limits(&limits).build().expect("a server");
        // It never says whether it lets them in.
        io.dynamic_namespace("*").on_connect(async || std::future::pending::<()>().await);
        let addr = stage.server.block_on(serve(&io));
        let strangers = limits.clone();
        let attack = async move {
            let mut open = Vec::new();
            for _ in 0..CLIENTS {
                let agent = format!("user-agent: {}\r\n", "x".repeat(strangers.max_head - 1500));
                let response = request(addr, "GET", "/socket.io/?EIO=4&transport=polling", &agent, "").await;
                let sid = response.body.split('"').nth(3).expect("a session").to_owned();
                let target = format!("/socket.io/?EIO=4&transport=polling&sid={sid}");
                let auth = "x".repeat(strangers.max_auth - 20);
                let at_once = strangers.connect_rate.expect("a rate").tokens_at_once() as usize;
                for number in 0..strangers.max_namespaces.min(at_once) {
                    let body = format!("40/{number},{{\"token\":\"{auth}\"}}");
                    let response = request(addr, "POST", &target, "", &body).await;
                    assert_eq!(response.body, "ok");
                }
                // A body and a candidate's message that lack their last byte.
                let mut post = TcpStream::connect(addr).await.expect("a connection");
                let head = format!(
                    "POST {target} HTTP/1.1\r\nhost: test\r\ncontent-length: {}\r\n\r\n",
                    strangers.max_payload
                );
                post.write_all(head.as_bytes()).await.expect("it is taken");
                post.write_all(&vec![b'x'; strangers.max_payload - 1]).await.expect("it is taken");
                let target = format!("/socket.io/?EIO=4&transport=websocket&sid={sid}");
                let stream = TcpStream::connect(addr).await.expect("a connection");
                let mut candidate = Client::upgraded(stream, &target, "").await;
                candidate.stream.write_all(&frame_begun(strangers.max_payload)).await.expect("it is taken");
                open.push((post, candidate));
            }
            open
        };
        let attack = stage.clients.spawn(attack);
        let mut open = Vec::new();
        let held = stage.counted(async {
            open = attack.await.expect("no panic");
            // What was sent last arrives.
            tokio::time::sleep(Duration::from_millis(200)).await;
        });
        assert_eq!(io.clients_count(), CLIENTS);
        assert_computed(held, limits.bytes_per_stranger(), limits.max_payload, &format!("strangers, {name}"));
        drop(open);
    }
}

#[test]
fn a_client_costs_no_more_than_the_limits_add_up_to() {
    let limits = Limits::internet();
    let stage = Stage::new();
    let io = Server::builder().limits(&limits).overflow(Overflow::Fail).build().expect("a server");
    io.on("stuck", async |_: Args| std::future::pending::<()>().await);
    let addr = stage.server.block_on(serve(&io));
    let largest = limits.max_payload;
    let attachments = limits.max_attachments;
    let attack = stage.clients.spawn(async move {
        let mut clients = Vec::new();
        for _ in 0..CLIENTS {
            let mut client = Client::joined(addr).await;
            // One event with all its attachments in the hands of a handler that does not finish, one behind it, and a
            // third that lacks an attachment.
            for missing in [0, 0, 1] {
                let places: Vec<_> =
                    (0..attachments).map(|at| format!(r#"{{"_placeholder":true,"num":{at}}}"#)).collect();
                client.send(&format!(r#"5{attachments}-["stuck",{}]"#, places.join(","))).await;
                for _ in missing..attachments {
                    client.send_binary(&vec![0; largest]).await;
                }
            }
            clients.push(client);
        }
        clients
    });
    let mut clients = Vec::new();
    let held = stage.counted(async {
        clients = attack.await.expect("no panic");
        let sockets = io.root().sockets();
        fill(&sockets, 1000).await;
        for socket in &sockets {
            for room in 0..99 {
                let name = format!("{room:0>128}");
                socket.join(&name).expect("it may be in so many rooms");
            }
        }
    });
    assert_eq!(clients.len(), CLIENTS);
    // A single message may be larger than the budget if nothing else waits: up to 11 MB, which are not tried here.
    let untried = 11_000_000 - limits.send_budget as u64;
    let computed = limits.bytes_per_stranger() + limits.bytes_per_client() - untried;
    assert_computed(held, computed, largest, "clients, internet");
}
