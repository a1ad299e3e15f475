//! Servers on a Redis of the test's own.

#[path = "../../support/mod.rs"]
mod support;

use sansocket_redis::RedisBus;
use sansocket_tokio::cluster::ClusterOptions;
use std::path::Path;
use std::process::Command;
use std::time::Duration;
use support::{Engine, Folder, hears, in_order, installed, outage, two, until};

async fn start(folder: Folder, further: Vec<String>) -> Option<Engine> {
    let program = installed("redis-server", &[])?;
    let command = move |folder: &Path, port: u16| {
        let mut command = Command::new(&program);
        command.args([
            "--port",
            &port.to_string(),
            "--bind",
            "127.0.0.1",
            "--save",
            "",
            "--appendonly",
            "no",
        ]);
        command.arg("--dir").arg(folder).args(&further).current_dir(folder);
        command
    };
    Some(Engine::start(folder, command, (b"PING\r\n", b"+PONG")).await)
}

fn options(address: &str) -> ClusterOptions {
    let bus = RedisBus::open(address).unwrap();
    let dialect = bus.dialect();
    let options = ClusterOptions::new(bus);
    match dialect {
        Some(dialect) => options.dialect(dialect),
        None => options,
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn messages_come_in_order_however_large_and_again_after_an_outage() {
    let Some(mut engine) = start(Folder::new("redis"), Vec::new()).await else { return };
    for scheme in ["redis", "redis+sharded", "redis+streams"] {
        let address = format!("{scheme}://127.0.0.1:{}/", engine.port);
        let (one, other, heard) = two(|| options(&address)).await;
        hears(&one, &heard).await;
        in_order(&one, &heard, 50_000).await;
        outage(&mut engine, &one, &other, &heard).await;
        in_order(&one, &heard, 100).await;
        assert_eq!(other.cluster_counts().unwrap().malformed, 0, "{scheme}");
    }
}

/// In a process of its own, which trusts the test's authority.
#[cfg(feature = "tls")]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn messages_come_by_tls() {
    if let Some(address) = support::address_to_try() {
        let (one, _other, heard) = two(|| options(&address)).await;
        hears(&one, &heard).await;
        return in_order(&one, &heard, 50_000).await;
    }
    let folder = Folder::new("redis-tls");
    if !support::make_certificate(&folder) {
        return;
    }
    let port = support::free_port();
    let flags = format!(
        "--tls-port {port} --tls-cert-file cert.pem --tls-key-file key.pem --tls-ca-cert-file ca.pem \
         --tls-auth-clients no"
    );
    let flags = flags.split_whitespace().map(str::to_owned).collect();
    let Some(engine) = start(folder, flags).await else { return };
    for scheme in ["rediss", "rediss+streams"] {
        let address = format!("{scheme}://localhost:{port}/");
        support::again("messages_come_by_tls", &engine.folder, &address);
    }
    // Whoever does not know the authority does not talk to it.
    until("the certificate is the reason", async || {
        let stranger = options(&format!("rediss://localhost:{port}/"));
        let io = sansocket_tokio::Server::builder().cluster(stranger).build().unwrap();
        let (sender, mut told) = tokio::sync::mpsc::unbounded_channel();
        io.on_bus(move |event| {
            if let sansocket_tokio::cluster::ClusterEvent::Down { reason: Some(reason) } = event {
                let _ = sender.send(reason.to_string());
            }
        });
        // It is told once, perhaps before anybody listened: then by the next one.
        let said = tokio::time::timeout(Duration::from_secs(1), told.recv()).await;
        matches!(said, Ok(Some(said)) if said.to_lowercase().contains("certificate"))
    })
    .await;
}
