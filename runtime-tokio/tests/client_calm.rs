//! The number of times that a client's task runs: an idle or a reconnecting client costs next to nothing.

use hyper::upgrade::Upgraded;
use hyper_util::rt::TokioIo;
use sansocket_runtime::adapter::{Runtime, Timer};
use sansocket_tokio as sansocket;
use sansocket_tokio::{BoxFuture, Dial, Stream, Tokio, TransportKind};
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};
use support::{serve, soon, until};
use tokio::net::{TcpListener, TcpStream};

#[path = "../../socket-tests/support.rs"]
mod support;

const TRANSPORTS: [&[TransportKind]; 3] = [
    &[TransportKind::Polling],
    &[TransportKind::WebSocket],
    &[TransportKind::Polling, TransportKind::WebSocket],
];

/// Tokio, and how often the tasks on it were polled.
#[derive(Default)]
struct Counting {
    polls: Arc<AtomicUsize>,
}

impl Runtime for Counting {
    fn now(&self) -> Instant {
        Tokio.now()
    }

    fn timer(&self, deadline: Instant) -> Box<dyn Timer> {
        Tokio.timer(deadline)
    }

    fn spawn(&self, mut task: BoxFuture<()>) {
        let polls = self.polls.clone();
        Tokio.spawn(Box::pin(std::future::poll_fn(move |context| {
            polls.fetch_add(1, Ordering::Relaxed);
            task.as_mut().poll(context)
        })));
    }

    fn stream(&self, upgraded: Upgraded) -> (Box<dyn Stream>, bytes::Bytes) {
        Tokio.stream(upgraded)
    }
}

/// TCP, and how often it was dialled.
#[derive(Default)]
struct Dials(Arc<AtomicUsize>);

impl Dial for Dials {
    fn dial(&self, host: String, port: u16) -> BoxFuture<io::Result<Box<dyn Stream>>> {
        self.0.fetch_add(1, Ordering::Relaxed);
        Box::pin(async move { Ok(Box::new(TokioIo::new(TcpStream::connect((&*host, port)).await?)) as _) })
    }

    fn secure(&self, _: String, _: Box<dyn Stream>) -> BoxFuture<io::Result<Box<dyn Stream>>> {
        Box::pin(async { Err(io::Error::other("no TLS here")) })
    }
}

struct Counted {
    client: sansocket::Client,
    polls: Arc<AtomicUsize>,
    dials: Arc<AtomicUsize>,
}

fn counted(addr: SocketAddr, transports: &[TransportKind]) -> Counted {
    let (runtime, dial) = (Counting::default(), Dials::default());
    let (polls, dials) = (runtime.polls.clone(), dial.0.clone());
    let client = sansocket::Client::builder(&format!("http://{addr}"))
        .transports(transports.iter().copied())
        .reconnection_delay(Duration::from_millis(5))
        .reconnection_delay_max(Duration::from_millis(10))
        .runtime(runtime)
        .dial(dial)
        .build()
        .expect("a client");
    Counted { client, polls, dials }
}

#[tokio::test]
async fn the_task_of_an_idle_client_does_not_run() {
    let io = sansocket::Server::builder().ping_interval(Duration::from_secs(600)).build().expect("a server");
    io.root().on("add", async |sansocket::Data((a, b)): sansocket::Data<(u32, u32)>| a + b);
    let addr = serve(&io).await;
    for transports in TRANSPORTS {
        let Counted { client, polls, .. } = counted(addr, transports);
        soon(client.connect()).await.unwrap();
        let last = transports.last().copied();
        until("it has moved", || client.transport() == last).await;
        assert_eq!(soon(client.call::<_, u32>("add", &(1, 2))).await.unwrap(), 3);
        // What the server says about the end of the upgrade comes first, on a busy machine later.
        let mut before = polls.load(Ordering::Relaxed);
        for _ in 0..100 {
            tokio::time::sleep(Duration::from_millis(100)).await;
            if polls.load(Ordering::Relaxed) == before {
                break;
            }
            before = polls.load(Ordering::Relaxed);
        }
        tokio::time::sleep(Duration::from_millis(500)).await;
        let spent = polls.load(Ordering::Relaxed) - before;
        assert!(spent <= 1, "{spent} polls in half a second in which nothing happened, over {transports:?}");
        // A round trip takes few.
        let before = polls.load(Ordering::Relaxed);
        for _ in 0..100 {
            soon(client.call::<_, u32>("add", &(1, 2))).await.unwrap();
        }
        let spent = polls.load(Ordering::Relaxed) - before;
        assert!(spent <= 800, "{spent} polls for a hundred round trips over {transports:?}");
    }
}

#[tokio::test]
async fn each_try_to_reach_a_server_takes_a_handful_of_polls() {
    let nobody = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    for transports in TRANSPORTS {
        let Counted { client, polls, dials } = counted(nobody, transports);
        client.start();
        until("twenty tries", || dials.load(Ordering::Relaxed) >= 20).await;
        client.close();
        soon(client.closed()).await;
        let (polls, dials) = (polls.load(Ordering::Relaxed), dials.load(Ordering::Relaxed));
        assert!(polls <= dials * 6 + 10, "{polls} polls for {dials} tries over {transports:?}");
    }
}

#[tokio::test]
async fn a_server_that_lets_in_and_throws_out_is_not_asked_in_a_hurry() {
    // It opens each session, and ends it at once: the delay begins anew each time, but there is one.
    let io = sansocket::Server::builder().build().expect("a server");
    let target = serve(&io).await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    tokio::spawn(async move {
        loop {
            let (mut near, _) = listener.accept().await.unwrap();
            tokio::spawn(async move {
                let mut far = TcpStream::connect(target).await.unwrap();
                let copied = tokio::io::copy_bidirectional(&mut near, &mut far);
                let _ = tokio::time::timeout(Duration::from_millis(20), copied).await;
            });
        }
    });
    let Counted { client, polls, dials } = counted(addr, &[TransportKind::WebSocket]);
    client.start();
    until("twenty tries", || dials.load(Ordering::Relaxed) >= 20).await;
    let (polls, dials) = (polls.load(Ordering::Relaxed), dials.load(Ordering::Relaxed));
    assert!(polls <= dials * 20, "{polls} polls for {dials} tries");
    client.close();
}

// One worker, whose next task is the one that was woken last: the client's, after each single event.
#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn what_several_tasks_ask_leaves_together() {
    const TASKS: usize = 16;
    const CALLS: usize = 100;
    let io = sansocket::Server::builder().build().expect("a server");
    io.root().on("ask", async |sansocket::Data(number): sansocket::Data<usize>| number);
    let counted = counted(serve(&io).await, TRANSPORTS[1]);
    soon(counted.client.connect()).await.expect("it is let in");
    let before = counted.polls.load(Ordering::Relaxed);
    let tasks: Vec<_> = (0..TASKS)
        .map(|_| {
            let client = counted.client.clone();
            tokio::spawn(async move {
                for number in 0..CALLS {
                    assert_eq!(client.call::<_, usize>("ask", &number).await.expect("an answer"), number);
                }
            })
        })
        .collect();
    for task in tasks {
        soon(task).await.expect("all answers");
    }
    let polls = counted.polls.load(Ordering::Relaxed) - before;
    // Two to let the others go first and to write, one to read, for each round of all; some rounds are of a few.
    assert!(polls < TASKS * CALLS / 2, "{polls} polls for {} questions", TASKS * CALLS);
}
