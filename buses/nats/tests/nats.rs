//! Servers on a NATS of the test's own.

#[path = "../../support/mod.rs"]
mod support;

use sansocket_nats::NatsBus;
use sansocket_tokio::cluster::{ClusterOptions, Dialect, dialect};
use sansocket_tokio::{Client, Server};
use std::process::Command;
use support::{Engine, Folder, hears, in_order, installed, outage, two, until};

/// A server that takes messages of up to 4 KiB.
async fn start() -> Option<Engine> {
    let program = installed("nats-server", &["/usr/sbin"])?;
    let folder = Folder::new("nats");
    folder.file("conf", "max_payload: 4096\n");
    let command = move |folder: &std::path::Path, port: u16| {
        let mut command = Command::new(&program);
        command.args(["--addr", "127.0.0.1", "--port", &port.to_string(), "--config"]);
        command.arg(folder.join("conf"));
        command
    };
    Some(Engine::start(folder, command, (b"", b"INFO ")).await)
}

fn options(engine: &Engine) -> ClusterOptions {
    ClusterOptions::new(NatsBus::open(&format!("nats://127.0.0.1:{}", engine.port)).unwrap())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn messages_come_in_order_however_large_and_again_after_an_outage() {
    let Some(mut engine) = start().await else { return };
    let (one, other, heard) = two(|| options(&engine)).await;
    hears(&one, &heard).await;
    until("it knows of both", async || one.node_count().await.ok() == Some(2)).await;
    in_order(&one, &heard, 100).await;
    in_order(&one, &heard, 50_000).await;
    assert_eq!(one.cluster_counts().unwrap().refused, 0);
    outage(&mut engine, &one, &other, &heard).await;
    in_order(&one, &heard, 50_000).await;
    assert_eq!(other.cluster_counts().unwrap().malformed, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_list_of_sockets_may_be_larger_than_a_message() {
    let Some(engine) = start().await else { return };
    let (one, other, heard) = two(|| options(&engine)).await;
    hears(&one, &heard).await;
    let listening = other.listen("127.0.0.1:0").await.unwrap();
    let mut clients = Vec::new();
    for _ in 0..30 {
        let url = format!("http://{}", listening.local_addr());
        clients.push(Client::connect_to(&url).await.unwrap());
    }
    until("all are listed", || async { one.root().fetch_sockets().await.is_ok_and(|list| list.len() == 31) })
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dialect_that_counts_its_nodes_by_the_bus_is_told_that_this_one_cannot() {
    let Some(engine) = start().await else { return };
    let classic = || options(&engine).dialect(Dialect::Classic(dialect::Classic::default()));
    let io: Server = Server::builder().cluster(classic()).build().unwrap();
    until("it is on the bus", || async { io.is_on_bus() }).await;
    // At once, and not after a minute.
    let patient = std::time::Duration::from_secs(30);
    let counted = tokio::time::timeout(patient, io.node_count()).await.unwrap();
    assert!(counted.is_err(), "{counted:?}");
}
