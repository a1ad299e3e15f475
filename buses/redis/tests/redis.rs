//! Servers on a Redis of the test's own.

#[path = "../../support/mod.rs"]
mod support;

use redis::AsyncConnectionConfig;
use redis::aio::MultiplexedConnection;
use sansocket_redis::{RedisBus, RedisError};
use sansocket_tokio::Server;
use sansocket_tokio::cluster::{ClusterEvent, ClusterOptions};
use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use support::{Engine, Folder, hearing, hears, in_order, in_order_while, installed, outage, two, until};

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
    // A Redis that is killed is noticed at once; a machine that stands still is no outage.
    let bus = RedisBus::open(address).unwrap().timeout(Duration::from_secs(60));
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
        let before = support::tasks();
        let (one, other, heard) = two(|| options(&address)).await;
        hears(&one, &heard).await;
        in_order(&one, &heard, 50_000).await;
        outage(&mut engine, &one, &other, &heard).await;
        in_order(&one, &heard, 100).await;
        assert_eq!(other.cluster_counts().unwrap().malformed, 0, "{scheme}");
        support::nothing_is_left([one, other], heard, before).await;
    }
}

/// The ids of all connections to a Redis but that one.
async fn connections(asker: &mut MultiplexedConnection) -> BTreeSet<u64> {
    let own: u64 = redis::cmd("CLIENT").arg("ID").query_async(asker).await.unwrap();
    let list: String = redis::cmd("CLIENT").arg("LIST").query_async(asker).await.unwrap();
    let ids = list.lines().filter_map(|line| line.split(' ').next()?.strip_prefix("id=")?.parse().ok());
    ids.filter(|id| *id != own).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_whose_own_connection_breaks_misses_nothing_of_the_stream() {
    let Some(engine) = start(Folder::new("redis-cut"), Vec::new()).await else { return };
    let address = format!("redis+streams://127.0.0.1:{}/", engine.port);
    let build = || Server::builder().cluster(options(&address)).build().unwrap();
    let client = redis::Client::open(format!("redis://127.0.0.1:{}/", engine.port)).unwrap();
    let patient = AsyncConnectionConfig::new().set_response_timeout(None).set_connection_timeout(None);
    let mut asker = client.get_multiplexed_async_connection_with_config(&patient).await.unwrap();
    let one = build();
    until("its connection and that of its reader are there", async || {
        connections(&mut asker).await.len() == 2
    })
    .await;
    let of_one = connections(&mut asker).await;
    let other = build();
    let gaps = Arc::new(AtomicUsize::new(0));
    let told = gaps.clone();
    other.on_bus(move |event| {
        if let ClusterEvent::StreamGap = event {
            told.fetch_add(1, Ordering::Relaxed);
        }
    });
    let heard = hearing(&other).await;
    hears(&one, &heard).await;
    in_order_while(&one, &heard, 50_000, async |number| {
        if number % 10 == 5 {
            for id in connections(&mut asker).await.difference(&of_one) {
                // It may be gone already.
                let killed: Result<u64, RedisError> =
                    redis::cmd("CLIENT").arg("KILL").arg("ID").arg(*id).query_async(&mut asker).await;
                assert!(killed.is_ok());
            }
        }
    })
    .await;
    assert_eq!(gaps.load(Ordering::Relaxed), 0);
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
    let stranger = || options(&format!("rediss://localhost:{port}/"));
    support::is_refused_for_its_certificate(stranger, "certificate").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_says_nothing_is_told_as_a_bus_that_is_away() {
    support::says_nothing(|port| {
        ClusterOptions::new(RedisBus::open(&format!("redis://127.0.0.1:{port}/")).unwrap())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_redis_that_stops_is_noticed_and_so_is_one_that_drops_a_slow_subscriber() {
    let Some(engine) = start(Folder::new("redis-slow"), Vec::new()).await else { return };
    let address = format!("redis://127.0.0.1:{}/", engine.port);
    support::stall(&engine, || ClusterOptions::new(RedisBus::open(&address).unwrap())).await;
    let (one, other, heard) = two(|| options(&address)).await;
    hears(&one, &heard).await;
    let gaps = Arc::new(AtomicUsize::new(0));
    for io in [&one, &other] {
        let gaps = gaps.clone();
        io.on_bus(move |event| {
            if let ClusterEvent::Up { gap: Some(_) } = event {
                gaps.fetch_add(1, Ordering::Relaxed);
            }
        });
    }
    // One message is more than a subscriber may have waiting.
    let client = redis::Client::open(address).unwrap();
    // It may answer late, on a slow machine.
    let patient = redis::AsyncConnectionConfig::new().set_response_timeout(None).set_connection_timeout(None);
    let mut asker = client.get_multiplexed_async_connection_with_config(&patient).await.unwrap();
    let mut limit = async |bytes: &str| {
        let mut set = redis::cmd("CONFIG");
        set.arg("SET").arg("client-output-buffer-limit").arg(bytes);
        let () = set.query_async(&mut asker).await.unwrap();
    };
    limit("pubsub 10000 0 0").await;
    one.emit("say", &"x".repeat(100_000)).unwrap();
    until("both are back", async || gaps.load(Ordering::Relaxed) >= 2).await;
    // Later messages may wait, too, on a slow machine.
    limit("pubsub 0 0 0").await;
    hears(&one, &heard).await;
    in_order(&one, &heard, 10).await;
}
