//! `emit --bus`, against servers on a Unix socket.
#![cfg(all(unix, feature = "bus"))]

use sansocket_tokio::cluster::{ClusterEvent, ClusterOptions};
use sansocket_tokio::{Args, Client, Server};
use sansocket_unix::UnixBus;
use std::process::{Command, Output};
use std::time::Duration;
use tokio::sync::mpsc;

async fn run(args: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_sansocket"));
    command.arg("emit").args(args);
    let running = tokio::task::spawn_blocking(move || command.output().unwrap());
    tokio::time::timeout(Duration::from_secs(60), running).await.expect("it ends").unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_goes_to_the_clients_of_a_cluster() {
    let folder = std::env::temp_dir().join(format!("sansocket-cli-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let path = folder.join("bus");
    let bus = format!("unix:{}", path.display());
    let io = Server::builder().cluster(ClusterOptions::new(UnixBus::new(&path))).build().unwrap();
    let (sender, mut up) = mpsc::unbounded_channel();
    io.on_bus(move |event| {
        if let ClusterEvent::Up { .. } = event {
            let _ = sender.send(());
        }
    });
    tokio::time::timeout(Duration::from_secs(60), up.recv()).await.expect("the bus is there").unwrap();
    io.root().on("join", async |socket: sansocket_tokio::Socket| socket.join("red").map(drop));
    let url = format!("http://{}", io.listen("127.0.0.1:0").await.unwrap().local_addr());
    let client = Client::builder(&url).build().unwrap();
    let (sender, mut heard) = mpsc::unbounded_channel();
    client.on("news", move |args: Args| {
        let _ = sender.send(args.decode::<(u8, String, Vec<u8>)>().unwrap());
        std::future::ready(())
    });
    client.connect().await.unwrap();
    client.call::<(), ()>("join", &()).await.unwrap();

    for (room, other) in [("red", "1"), ("blue", "2"), ("", "3")] {
        let said = run(&["--bus", &bus, room, "news", other, "two", "[3]"]).await;
        assert!(said.status.success(), "{said:?}");
    }
    for other in [1, 3] {
        let came = tokio::time::timeout(Duration::from_secs(60), heard.recv()).await.expect("it comes");
        assert_eq!(came.unwrap(), (other, "two".to_owned(), vec![3]));
    }
    io.shutdown(Duration::from_secs(5)).await;
    std::fs::remove_dir_all(&folder).unwrap();
}

#[tokio::test]
async fn what_is_wrong_with_a_bus_is_told() {
    for (code, said, args) in [
        (2, "no kind of bus", &["--bus", "http://localhost/", "red", "news"][..]),
        (2, "--dialect is", &["--bus", "redis://localhost/", "--dialect", "klingon", "red", "news"]),
        (2, "no acknowledgement", &["--bus", "redis://localhost/", "red", "news", "--ack"]),
        // Nobody listens on port 1.
        (1, "the bus is away", &["--bus", "redis://127.0.0.1:1/", "--timeout", "0.5", "red", "news"]),
    ] {
        let output = run(args).await;
        let err = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(code), "{args:?} {err}");
        assert!(err.contains(said), "{args:?} {err}");
    }
}
