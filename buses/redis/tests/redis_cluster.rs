//! Servers on a Redis Cluster of the test's own: three masters, and a replica of the one that has what is used.

#[path = "../../support/mod.rs"]
mod support;

use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, FromRedisValue, cmd};
use sansocket_redis::RedisBus;
use sansocket_tokio::Server;
use sansocket_tokio::cluster::{ClusterEvent, ClusterOptions, Dialect, dialect};
use std::collections::HashMap;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use support::{Engine, Folder, free_port, hears, in_order, installed, two, until};

/// The slots of the three masters. The last one has those of `socket.io`, 9972, and of `socket.io#/#`, 13868.
const RANGES: [(u16, u16); 3] = [(0, 4999), (5000, 9971), (9972, 16383)];
const STREAM: u16 = 9972;
const CHANNEL: u16 = 13868;

/// One node of the cluster, and a connection to it.
struct Node {
    engine: Engine,
    /// The port for the other nodes.
    between: String,
    id: String,
    asker: MultiplexedConnection,
}

impl Node {
    async fn start() -> Option<Self> {
        let program = installed("redis-server", &[])?;
        // By itself it would take one that is 10000 above, which need not be free.
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
            command.args(["--cluster-enabled", "yes", "--cluster-port", &free_port().to_string()]);
            // Nobody is taken for dead because the machine stands still: the test says when.
            command.args(["--cluster-node-timeout", "60000", "--repl-diskless-sync-delay", "0"]);
            command.arg("--dir").arg(folder).current_dir(folder);
            command
        };
        let engine = Engine::start(Folder::new("redis-cluster"), command, (b"PING\r\n", b"+PONG")).await;
        let mut asker = asker(engine.port).await;
        let id = ask(&mut asker, "CLUSTER MYID").await;
        let mut settings: HashMap<String, String> = ask(&mut asker, "CONFIG GET cluster-port").await;
        let between = settings.remove("cluster-port").unwrap();
        Some(Self { engine, between, id, asker })
    }

    async fn ask<T: FromRedisValue>(&mut self, words: &str) -> T {
        ask(&mut self.asker, words).await
    }

    fn port(&self) -> u16 {
        self.engine.port
    }
}

async fn asker(port: u16) -> MultiplexedConnection {
    let client = redis::Client::open(format!("redis://127.0.0.1:{port}/?protocol=resp3")).unwrap();
    let patient = AsyncConnectionConfig::new().set_response_timeout(None).set_connection_timeout(None);
    client.get_multiplexed_async_connection_with_config(&patient).await.unwrap()
}

async fn ask<T: FromRedisValue>(asker: &mut MultiplexedConnection, words: &str) -> T {
    let mut words = words.split(' ');
    let mut command = cmd(words.next().unwrap());
    for word in words {
        command.arg(word);
    }
    command.query_async(asker).await.unwrap()
}

/// The masters, and the replica.
async fn start() -> Option<(Vec<Node>, Node)> {
    let mut nodes = Vec::new();
    for (first, last) in RANGES {
        let mut node = Node::start().await?;
        let () = node.ask(&format!("CLUSTER ADDSLOTSRANGE {first} {last}")).await;
        // Of two that claim the same the higher one is right.
        let () = node.ask(&format!("CLUSTER SET-CONFIG-EPOCH {}", nodes.len() + 1)).await;
        nodes.push(node);
    }
    let mut replica = Node::start().await?;
    for node in &mut nodes {
        let () = replica.ask(&format!("CLUSTER MEET 127.0.0.1 {} {}", node.port(), node.between)).await;
    }
    for node in nodes.iter_mut().chain([&mut replica]) {
        until("each knows of all", async || {
            let info: String = node.ask("CLUSTER INFO").await;
            info.contains("cluster_state:ok") && info.contains("cluster_known_nodes:4")
        })
        .await;
    }
    let id = nodes[2].id.clone();
    let () = replica.ask(&format!("CLUSTER REPLICATE {id}")).await;
    until("the replica has all", async || {
        replica.ask::<String>("INFO replication").await.contains("master_link_status:up")
    })
    .await;
    for node in &mut nodes {
        until("each knows of the replica", async || {
            node.ask::<String>("CLUSTER NODES").await.contains(&format!("slave {id}"))
        })
        .await;
    }
    Some((nodes, replica))
}

fn bus(scheme: &str, nodes: &[Node]) -> RedisBus {
    // One of them does not answer, and is no node.
    let hosts: Vec<String> = nodes.iter().map(|node| format!("127.0.0.1:{}", node.port())).collect();
    // A node that is killed is noticed at once; a machine that stands still is no outage.
    RedisBus::open(&format!("{scheme}://127.0.0.1:1,{}/", hosts.join(",")))
        .unwrap()
        .timeout(Duration::from_secs(60))
}

fn options(bus: RedisBus) -> ClusterOptions {
    match bus.dialect() {
        Some(dialect) => ClusterOptions::new(bus).dialect(dialect),
        None => ClusterOptions::new(bus),
    }
}

/// Counts the gaps that servers tell of: those of the connection, and those of the stream.
fn gaps(servers: [&Server; 2]) -> Arc<[AtomicUsize; 2]> {
    let gaps = Arc::new([AtomicUsize::new(0), AtomicUsize::new(0)]);
    for io in servers {
        let gaps = gaps.clone();
        io.on_bus(move |event| match event {
            ClusterEvent::Up { gap: Some(_) } => drop(gaps[0].fetch_add(1, Ordering::Relaxed)),
            ClusterEvent::StreamGap => drop(gaps[1].fetch_add(1, Ordering::Relaxed)),
            _ => {}
        });
    }
    gaps
}

/// Moves a slot from the last master to the first, with the keys in it.
async fn move_slot(nodes: &mut [Node], slot: u16) {
    let [first, .., last] = nodes else { panic!("there are three") };
    let () = first.ask(&format!("CLUSTER SETSLOT {slot} IMPORTING {}", last.id)).await;
    let () = last.ask(&format!("CLUSTER SETSLOT {slot} MIGRATING {}", first.id)).await;
    let keys: Vec<String> = last.ask(&format!("CLUSTER GETKEYSINSLOT {slot} 10")).await;
    for key in keys {
        let () = last.ask(&format!("MIGRATE 127.0.0.1 {} {key} 0 60000", first.port())).await;
    }
    for of in 0..nodes.len() {
        let id = nodes[0].id.clone();
        let () = nodes[of].ask(&format!("CLUSTER SETSLOT {slot} NODE {id}")).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn messages_come_in_order_and_again_after_slots_have_moved_and_a_master_is_gone() {
    let Some((mut nodes, mut replica)) = start().await else { return };
    let mut pairs = Vec::new();
    for scheme in ["redis+cluster", "redis+sharded+cluster", "redis+streams+cluster"] {
        let pair = two(|| options(bus(scheme, &nodes))).await;
        hears(&pair.0, &pair.2).await;
        in_order(&pair.0, &pair.2, 50_000).await;
        pairs.push(pair);
    }
    let told: Vec<_> = pairs.iter().map(|(one, other, _)| gaps([one, other])).collect();
    let both = |pair: usize, times: usize| told[pair][0].load(Ordering::Relaxed) >= 2 * times;

    move_slot(&mut nodes, CHANNEL).await;
    until("both tell of the slot that has moved", async || both(1, 1)).await;
    hears(&pairs[1].0, &pairs[1].2).await;
    in_order(&pairs[1].0, &pairs[1].2, 100).await;

    move_slot(&mut nodes, STREAM).await;
    until("both tell of the slot that has moved", async || both(2, 1)).await;
    hears(&pairs[2].0, &pairs[2].2).await;
    in_order(&pairs[2].0, &pairs[2].2, 100).await;

    // And back, to the one that has a replica.
    let last = nodes[2].id.clone();
    nodes.swap(0, 2);
    for slot in [CHANNEL, STREAM] {
        move_slot(&mut nodes, slot).await;
    }
    nodes.swap(0, 2);
    assert_eq!(nodes[2].id, last);
    until("both tell of it", async || both(1, 2) && both(2, 2)).await;
    for (one, _, heard) in &pairs {
        hears(one, heard).await;
    }
    for (one, _, heard) in &pairs {
        in_order(one, heard, 100).await;
    }

    nodes[2].engine.kill();
    until("the loss is noticed", async || {
        pairs[1..].iter().all(|(one, other, _)| !one.is_on_bus() && !other.is_on_bus())
    })
    .await;
    let () = replica.ask("CLUSTER FAILOVER TAKEOVER").await;
    until("both are back", async || both(1, 3) && both(2, 3)).await;
    for (one, other, heard) in &pairs {
        hears(one, heard).await;
        in_order(one, heard, 100).await;
        assert_eq!(other.cluster_counts().unwrap().malformed, 0);
    }
    // Its entries go with the slot, and from master to replica.
    assert_eq!(told[2][1].load(Ordering::Relaxed), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_subscribers_of_all_nodes_are_counted_and_nothing_else_is_needed_of_a_node_that_is_gone() {
    let Some((mut nodes, mut replica)) = start().await else { return };
    let classic =
        options(bus("redis+cluster", &nodes)).dialect(Dialect::Classic(dialect::Classic::default()));
    let io = Server::builder().cluster(classic).build().unwrap();
    until("it counts itself", async || io.node_count().await.ok() == Some(1)).await;
    for node in nodes.iter_mut().chain([&mut replica]) {
        let () = node.ask("SUBSCRIBE socket.io-request#/#").await;
    }
    until("it counts those at each node", async || io.node_count().await.ok() == Some(5)).await;
    // Its subscriber is gone with it. If it was the one that the bus used, that uses another one.
    nodes[0].engine.kill();
    until("it counts the others", async || io.node_count().await.ok() == Some(4)).await;
}
