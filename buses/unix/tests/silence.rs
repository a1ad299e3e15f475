//! Processes that are connected and say nothing any more: stopped, stuck, or half gone.

use sansocket_tokio::Server;
use sansocket_tokio::cluster::{ClusterEvent, ClusterOptions, Dialect, dialect};
use sansocket_unix::UnixBus;
use std::io::{Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;
use tokio::sync::mpsc;

const PING: [u8; 5] = [0, 0, 0, 1, 9];
const PONG: [u8; 5] = [0, 0, 0, 1, 10];

/// A folder of its own for each test, which goes with it.
struct Folder(PathBuf);

impl Folder {
    fn new() -> Self {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("sansocket-silence-{}-{number}", std::process::id()));
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// A server whose bus is impatient, and the news that it tells: "up", or why the bus is away.
fn server(path: &Path, ping_interval: Duration) -> (Server, mpsc::UnboundedReceiver<String>) {
    let dialect = Dialect::Classic(dialect::Classic::default());
    let bus = UnixBus::new(path).ping_interval(ping_interval);
    let io = Server::builder().cluster(ClusterOptions::new(bus).dialect(dialect)).build().unwrap();
    let (sender, receiver) = mpsc::unbounded_channel();
    io.on_bus(move |event| {
        let _ = sender.send(match event {
            ClusterEvent::Up { .. } => "up".to_owned(),
            ClusterEvent::Down { reason } => reason.as_ref().map(ToString::to_string).unwrap_or_default(),
            _ => return,
        });
    });
    (io, receiver)
}

/// Waits until the server counts so many nodes.
async fn counts(io: &Server, nodes: usize) {
    for _ in 0..1000 {
        if io.node_count().await.ok() == Some(nodes) {
            return;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("there are not {nodes} nodes");
}

#[tokio::test]
async fn the_place_of_a_process_that_accepts_and_never_answers_is_taken() {
    let folder = Folder::new();
    let path = folder.0.join("bus");
    // As one that was stopped before the first node came: the system accepts in its name.
    let _stopped = UnixListener::bind(&path).unwrap();
    let (io, mut news) = server(&path, Duration::from_millis(100));
    assert_eq!(news.recv().await.unwrap(), "up");
    counts(&io, 1).await;
}

#[tokio::test]
async fn a_process_that_falls_silent_is_told_and_its_place_is_taken() {
    let folder = Folder::new();
    let path = folder.0.join("bus");
    let stuck = UnixListener::bind(&path).unwrap();
    let answers_once = std::thread::spawn(move || {
        let (mut guest, _) = stuck.accept().unwrap();
        let mut ping = [0; 5];
        guest.read_exact(&mut ping).unwrap();
        assert_eq!(ping, PING);
        guest.write_all(&PONG).unwrap();
        (stuck, guest)
    });
    // Long, for a busy machine: the thread must not be late.
    let (io, mut news) = server(&path, Duration::from_millis(1500));
    assert_eq!(news.recv().await.unwrap(), "up");
    let _held = answers_once.join().unwrap();
    let said = news.recv().await.unwrap();
    assert!(said.contains("does not answer"), "{said}");
    assert_eq!(news.recv().await.unwrap(), "up");
    counts(&io, 1).await;
}

#[tokio::test]
async fn a_node_that_falls_silent_is_cut_off_and_one_that_pings_is_not() {
    let folder = Folder::new();
    let path = folder.0.join("bus");
    // Long, for a busy machine: the one that pings must not be late.
    let (io, mut news) = server(&path, Duration::from_millis(1500));
    assert_eq!(news.recv().await.unwrap(), "up");
    let connect = || {
        let mut guest = UnixStream::connect(&path).unwrap();
        let channel = b"socket.io-request#/#";
        guest.write_all(&[0, 0, 0, channel.len() as u8 + 1, 1]).unwrap();
        guest.write_all(channel).unwrap();
        guest
    };
    let (mut silent, mut pings) = (connect(), connect());
    let (stop, stopped) = std::sync::mpsc::channel::<()>();
    let pinging = std::thread::spawn(move || {
        while stopped.recv_timeout(Duration::from_millis(50)).is_err() {
            pings.write_all(&PING).unwrap();
        }
        // Every ping was answered: the connection is as good as before.
        let mut pong = [0; 5];
        pings.read_exact(&mut pong).unwrap();
        assert_eq!(pong, PONG);
        pings
    });
    let cut = tokio::task::spawn_blocking(move || {
        silent.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
        silent.read(&mut [0; 1]).unwrap()
    });
    assert_eq!(cut.await.unwrap(), 0, "the end of the connection");
    // The server and the one that pings.
    counts(&io, 2).await;
    stop.send(()).unwrap();
    let _held = pinging.join().unwrap();
}
