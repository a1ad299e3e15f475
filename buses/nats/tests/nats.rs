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
    start_with(Folder::new("nats"), "max_payload: 4096\n").await
}

async fn start_with(folder: Folder, settings: &str) -> Option<Engine> {
    let program = installed("nats-server", &["/usr/sbin"])?;
    folder.file("conf", settings);
    let command = move |folder: &std::path::Path, port: u16| {
        let mut command = Command::new(&program);
        command.args(["--addr", "127.0.0.1", "--port", &port.to_string(), "--config"]);
        command.arg(folder.join("conf")).current_dir(folder);
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
    support::stall(&engine, || options(&engine)).await;
    let before = support::tasks();
    let (one, other, heard) = two(|| options(&engine)).await;
    hears(&one, &heard).await;
    until("it knows of both", async || one.node_count().await.ok() == Some(2)).await;
    in_order(&one, &heard, 100).await;
    in_order(&one, &heard, 50_000).await;
    assert_eq!(one.cluster_counts().unwrap().refused, 0);
    outage(&mut engine, &one, &other, &heard).await;
    in_order(&one, &heard, 50_000).await;
    assert_eq!(other.cluster_counts().unwrap().malformed, 0);
    support::nothing_is_left([one, other], heard, before).await;
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

/// In a process of its own, which trusts the test's authority.
#[cfg(feature = "tls")]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn messages_come_by_tls() {
    let options = |address: &str| ClusterOptions::new(NatsBus::open(address).unwrap());
    if let Some(address) = support::address_to_try() {
        let (one, _other, heard) = two(|| options(&address)).await;
        hears(&one, &heard).await;
        return in_order(&one, &heard, 50_000).await;
    }
    let folder = Folder::new("nats-tls");
    if !support::make_certificate(&folder) {
        return;
    }
    let settings = "tls { cert_file: cert.pem, key_file: key.pem }\n";
    let Some(engine) = start_with(folder, settings).await else { return };
    let address = format!("tls://localhost:{}", engine.port);
    support::again("messages_come_by_tls", &engine.folder, &address);
    // Whoever does not know the authority does not talk to it, and neither does one that is not asked for TLS.
    support::is_refused_for_its_certificate(|| options(&address), "certificate").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_says_nothing_is_told_as_a_bus_that_is_away() {
    support::says_nothing(|port| {
        ClusterOptions::new(NatsBus::open(&format!("nats://127.0.0.1:{port}")).unwrap())
    })
    .await;
}
