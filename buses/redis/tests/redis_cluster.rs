//! Servers on a Redis Cluster of the test's own: three masters, and a replica of the one that has what is used.

#[path = "../../support/mod.rs"]
mod support;

use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, FromRedisValue, cmd};
use sansocket_redis::RedisBus;
use sansocket_tokio::Server;
use sansocket_tokio::cluster::{ClusterEvent, ClusterOptions, Dialect, dialect};
use sansocket_tokio::recovery::RecoveryConfig;
use std::collections::HashMap;
use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use support::{
    Engine, Folder, Heard, free_port, hears, in_order, in_order_after_losses, installed, two, until,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

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

/// The gaps that a server tells of: those of the connection, and those of the stream.
#[derive(Clone, Default)]
struct Gaps(Arc<[AtomicUsize; 2]>);

impl Gaps {
    fn of(io: &Server) -> Self {
        let gaps = Self::default();
        let counts = gaps.clone();
        io.on_bus(move |event| match event {
            ClusterEvent::Up { gap: Some(_) } => drop(counts.0[0].fetch_add(1, Ordering::Relaxed)),
            ClusterEvent::StreamGap => drop(counts.0[1].fetch_add(1, Ordering::Relaxed)),
            _ => {}
        });
        gaps
    }

    fn of_connection(&self) -> usize {
        self.0[0].load(Ordering::Relaxed)
    }

    fn of_stream(&self) -> usize {
        self.0[1].load(Ordering::Relaxed)
    }
}

/// Two servers on the same bus, and what they tell.
struct Pair {
    servers: [Server; 2],
    heard: Heard,
    gaps: [Gaps; 2],
}

impl Pair {
    async fn new(options: impl Fn() -> ClusterOptions) -> Self {
        let (one, other, heard) = two(options).await;
        let gaps = [Gaps::of(&one), Gaps::of(&other)];
        Self { servers: [one, other], heard, gaps }
    }

    /// The losses that each has told of so far.
    fn losses(&self) -> [usize; 2] {
        self.gaps.each_ref().map(Gaps::of_connection)
    }

    /// Waits until each has told of a loss since then. There may be more of them: the nodes of the cluster do not learn of
    /// a change at the same time.
    async fn have_lost_since(&self, before: [usize; 2]) {
        until("both tell of the loss", async || {
            self.losses().iter().zip(before).all(|(now, before)| *now > before)
        })
        .await;
    }

    async fn in_order(&self) {
        in_order_after_losses(&self.servers[0], &self.heard, || self.losses().iter().sum()).await;
    }
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
        let pair = Pair::new(|| options(bus(scheme, &nodes))).await;
        hears(&pair.servers[0], &pair.heard).await;
        in_order(&pair.servers[0], &pair.heard, 50_000).await;
        pairs.push(pair);
    }

    for (pair, slot) in [(1, CHANNEL), (2, STREAM)] {
        let before = pairs[pair].losses();
        move_slot(&mut nodes, slot).await;
        pairs[pair].have_lost_since(before).await;
        pairs[pair].in_order().await;
    }

    // And back, to the one that has a replica.
    let last = nodes[2].id.clone();
    nodes.swap(0, 2);
    for (pair, slot) in [(1, CHANNEL), (2, STREAM)] {
        let before = pairs[pair].losses();
        move_slot(&mut nodes, slot).await;
        pairs[pair].have_lost_since(before).await;
    }
    nodes.swap(0, 2);
    assert_eq!(nodes[2].id, last);
    for pair in &pairs {
        pair.in_order().await;
    }

    // The replica has all that the servers have read, so that they can go on behind it.
    let () = nodes[2].ask("SET {socket.io}last 1").await;
    let acknowledged: usize = nodes[2].ask("WAIT 1 0").await;
    assert_eq!(acknowledged, 1);
    let before = [pairs[1].losses(), pairs[2].losses()];
    nodes[2].engine.kill();
    until("the loss is noticed", async || {
        pairs[1..].iter().all(|pair| pair.servers.iter().all(|io| !io.is_on_bus()))
    })
    .await;
    let () = replica.ask("CLUSTER FAILOVER TAKEOVER").await;
    for (pair, before) in pairs[1..].iter().zip(before) {
        pair.have_lost_since(before).await;
    }
    for pair in &pairs {
        pair.in_order().await;
        assert_eq!(pair.servers[1].cluster_counts().unwrap().malformed, 0);
    }
    // Its entries go with the slot, and from master to replica.
    assert_eq!(pairs[2].gaps.each_ref().map(Gaps::of_stream), [0, 0]);
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
    // One that does not tell may have some: that is no reason to say that there are fewer.
    let () = nodes[1].ask("ACL SETUSER default -pubsub").await;
    until("there is no count", async || io.is_on_bus() && io.node_count().await.is_err()).await;
    let () = nodes[1].ask("ACL SETUSER default +@all").await;
    until("it counts all again", async || io.node_count().await.ok() == Some(5)).await;
    // Its subscriber is gone with it. If it was the one that the bus used, that uses another one.
    nodes[0].engine.kill();
    until("it counts the others", async || io.node_count().await.ok() == Some(4)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sessions_whose_slot_is_being_moved_are_told_and_the_bus_stays() {
    let Some((mut nodes, _replica)) = start().await else { return };
    // Each session has a key of its own. All but those at the last node, which has the stream, are on their way.
    let target = nodes[2].id.clone();
    for (node, (first, last)) in nodes.iter_mut().zip(&RANGES[..2]) {
        let mut moves = redis::pipe();
        for slot in *first..=*last {
            moves.cmd("CLUSTER").arg("SETSLOT").arg(slot).arg("MIGRATING").arg(&target).ignore();
        }
        let () = moves.query_async(&mut node.asker).await.unwrap();
    }
    let options = options(bus("redis+streams+cluster", &nodes));
    let io = Server::builder()
        .cluster(options)
        .connection_state_recovery(RecoveryConfig::default())
        .ping_interval(Duration::from_millis(200))
        .ping_timeout(Duration::from_millis(200))
        .build()
        .unwrap();
    let gaps = Gaps::of(&io);
    until("it is on the bus", async || io.is_on_bus()).await;
    let listening = io.listen("127.0.0.1:0").await.unwrap();
    // Of those that are lost, three of five have a slot that moves.
    until("a session could not be saved", async || {
        vanish_after_joining(listening.local_addr()).await;
        io.cluster_counts().unwrap().refused > 0
    })
    .await;
    assert!(io.is_on_bus());
    assert_eq!(gaps.of_connection(), 0);
}

/// A client on long-polling that joins and is not heard of again.
async fn vanish_after_joining(server: SocketAddr) {
    let opened = request(server, "GET", "", "").await;
    let (_, from_id) = opened.split_once("\"sid\":\"").unwrap();
    let (id, _) = from_id.split_once('"').unwrap();
    // The session may be over by now, on a slow machine: then the next one joins.
    request(server, "POST", &format!("&sid={id}"), "40").await;
}

async fn request(server: SocketAddr, method: &str, query: &str, body: &str) -> String {
    let mut stream = TcpStream::connect(server).await.unwrap();
    let head = format!(
        "{method} /socket.io/?EIO=4&transport=polling{query} HTTP/1.1\r\nhost: test\r\nconnection: close\r\n\
         content-length: {}\r\n\r\n{body}",
        body.len()
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut response = String::new();
    stream.read_to_string(&mut response).await.unwrap();
    response
}
