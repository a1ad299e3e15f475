//! Servers with a bus each, as if each were a process of its own.

use sansocket_tokio::cluster::{ClusterEvent, ClusterOptions, Dialect, dialect};
use sansocket_tokio::{Args, Client, Data, Server};
use sansocket_unix::UnixBus;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::sync::mpsc;

/// A folder of its own for each test, which goes with it.
struct Folder(PathBuf);

impl Folder {
    fn new() -> Self {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("sansocket-unix-{}-{number}", std::process::id()));
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    fn bus(&self) -> PathBuf {
        self.0.join("bus")
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn server(path: &Path) -> Server {
    let dialect = Dialect::Classic(dialect::Classic::default());
    let options = ClusterOptions::new(UnixBus::new(path)).dialect(dialect);
    Server::builder().cluster(options).build().unwrap()
}

/// Waits until a condition holds.
async fn until<Fut: Future<Output = bool>>(what: &str, mut check: impl FnMut() -> Fut) {
    for _ in 0..1000 {
        if check().await {
            return;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("not so in time: {what}");
}

async fn counts(io: &Server, nodes: usize) {
    until(&format!("there are {nodes} nodes"), || async { io.node_count().await.ok() == Some(nodes) }).await;
}

#[tokio::test]
async fn the_first_process_carries_the_messages_and_another_when_it_ends() {
    let folder = Folder::new();
    let mut servers = Vec::new();
    for _ in 0..4 {
        servers.push(server(&folder.bus()));
    }
    for io in &servers {
        counts(io, 4).await;
    }
    let heard = Arc::new(Mutex::new(Vec::new()));
    let gaps = Arc::new(AtomicU32::new(0));
    for (number, io) in servers.iter().enumerate() {
        let (heard, gaps) = (heard.clone(), gaps.clone());
        io.root().on_server_side("hello", move |args: Args| {
            heard.lock().unwrap().push((number, args.get::<String>(0).unwrap()));
            async {}
        });
        io.on_bus(move |event| {
            if let ClusterEvent::Up { gap: Some(_) } = event {
                gaps.fetch_add(1, Ordering::Relaxed);
            }
        });
    }
    servers[3].root().server_side_emit("hello", &"one").unwrap();
    until("three have heard it", || async { heard.lock().unwrap().len() == 3 }).await;

    // The first one is as good as any: whoever carries the messages goes, in the end.
    while servers.len() > 1 {
        servers.remove(0).shutdown(Duration::from_secs(1)).await;
        for io in &servers {
            counts(io, servers.len()).await;
        }
    }
    assert!(gaps.load(Ordering::Relaxed) >= 1, "a gap is told");
}

#[tokio::test]
async fn what_a_dead_process_has_left_at_the_path_is_replaced() {
    let folder = Folder::new();
    // A socket that nobody listens at any more.
    drop(std::os::unix::net::UnixListener::bind(folder.bus()).unwrap());
    let (one, other) = (server(&folder.bus()), server(&folder.bus()));
    counts(&one, 2).await;
    counts(&other, 2).await;
    use std::os::unix::fs::PermissionsExt;
    let mode = std::fs::metadata(folder.bus()).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600, "nobody else may connect");
}

#[tokio::test]
async fn processes_that_begin_at_once_agree_on_one() {
    let folder = Folder::new();
    let paths = vec![folder.bus(); 8];
    let started: Vec<_> = paths.into_iter().map(|path| tokio::spawn(async move { server(&path) })).collect();
    let mut servers = Vec::new();
    for one in started {
        servers.push(one.await.unwrap());
    }
    for io in &servers {
        counts(io, 8).await;
    }
}

#[tokio::test]
async fn clients_of_one_process_hear_those_of_another_in_order() {
    let folder = Folder::new();
    let (one, other) = (server(&folder.bus()), server(&folder.bus()));
    one.on("say", async |io: Server, Data(text): Data<String>| io.emit("said", &text));
    let (here, there) =
        (one.listen("127.0.0.1:0").await.unwrap(), other.listen("127.0.0.1:0").await.unwrap());
    counts(&one, 2).await;
    let hears = Client::builder(&format!("http://{}", there.local_addr())).build().unwrap();
    let (sender, mut receiver) = mpsc::unbounded_channel();
    hears.on("said", move |Data(text): Data<String>| {
        let _ = sender.send(text);
        async {}
    });
    hears.connect().await.unwrap();
    let says = Client::connect_to(&format!("http://{}", here.local_addr())).await.unwrap();
    // Larger than what is read at once.
    let long = "x".repeat(300_000);
    for number in 0..100 {
        says.emit("say", &format!("{number} {}", if number % 50 == 0 { &long } else { "" })).unwrap();
    }
    for number in 0..100 {
        let text = receiver.recv().await.unwrap();
        assert!(text.starts_with(&format!("{number} ")), "{number}: {}", text.len());
    }
}

#[tokio::test]
async fn a_path_that_cannot_be_is_told_and_tried_again() {
    let folder = Folder::new();
    let path = folder.0.join("later").join("bus");
    let io = server(&path);
    let (sender, mut receiver) = mpsc::unbounded_channel();
    io.on_bus(move |event| {
        if let ClusterEvent::Up { .. } = event {
            let _ = sender.send(());
        }
    });
    assert!(!io.is_on_bus());
    std::fs::create_dir(folder.0.join("later")).unwrap();
    receiver.recv().await.unwrap();
    assert!(io.is_on_bus());
}

#[tokio::test]
async fn a_file_that_is_no_socket_is_not_overwritten() {
    let folder = Folder::new();
    std::fs::write(folder.bus(), "precious").unwrap();
    let io = server(&folder.bus());
    let (sender, mut receiver) = mpsc::unbounded_channel();
    io.on_bus(move |event| {
        let _ = sender.send(match event {
            ClusterEvent::Down { reason } => reason.as_ref().map(ToString::to_string),
            _ => None,
        });
    });
    let said = receiver.recv().await.unwrap().unwrap();
    assert!(said.contains("no socket"), "{said}");
    assert_eq!(std::fs::read_to_string(folder.bus()).unwrap(), "precious");
}

#[tokio::test]
async fn a_guest_that_does_not_read_is_not_listened_to() {
    use std::io::Write;
    let folder = Folder::new();
    let io = server(&folder.bus());
    counts(&io, 1).await;
    let mut guest = std::os::unix::net::UnixStream::connect(folder.bus()).unwrap();
    guest.set_nonblocking(true).unwrap();
    // Counts of a channel with no name: the question is as long as the answer.
    let questions = [0, 0, 0, 9, 6, 0, 0, 0, 0, 0, 0, 0, 7].repeat(1000);
    let (mut written, mut refused) = (0, 0);
    // Far more than all buffers hold. It ends because nothing goes out any more.
    while refused < 20 && written < 64 << 20 {
        match guest.write(&questions[written % 13..]) {
            Ok(bytes) => (written, refused) = (written + bytes, 0),
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {
                refused += 1;
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
            Err(error) => panic!("{error}"),
        }
    }
    assert!(written < 16 << 20, "{written} bytes were taken");
    // The hub serves the others, and this one again once it reads.
    counts(&io, 1).await;
    guest.set_nonblocking(false).unwrap();
    guest.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    let answers = tokio::task::spawn_blocking(move || {
        use std::io::Read;
        let mut answers = vec![0; written / 13 * 17];
        guest.read_exact(&mut answers).map(|()| answers)
    });
    let answers = answers.await.unwrap().unwrap();
    assert!(answers.chunks(17).all(|answer| answer[..5] == [0, 0, 0, 13, 8]));
}
