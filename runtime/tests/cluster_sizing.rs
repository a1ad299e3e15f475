//! The messages and bytes on the bus of ten nodes with a thousand rooms: the figures of docs/cluster.md.

use sansocket_runtime::adapter::ServerOptions;
use sansocket_runtime::cluster::{ClusterOptions, Dialect, InProcessBus, dialect};
use sansocket_runtime::testing::{TestClient, TestServer};
use sansocket_runtime::{Server, ServerBuilder};
use std::time::Duration;

const NODES: usize = 10;
const ROOMS: usize = 1000;

/// The bus's traffic of some doing.
struct Traffic {
    /// Messages that were published, and their bytes.
    messages: u64,
    bytes: u64,
    /// Messages that all nodes together have read, their own left out.
    read: u64,
}

struct Cluster {
    bus: InProcessBus,
    servers: Vec<TestServer<Server>>,
}

impl Cluster {
    fn new(dialect: Option<Dialect>) -> Self {
        let bus = InProcessBus::new();
        let mut servers: Vec<TestServer<Server>> = Vec::new();
        for _ in 0..NODES {
            let build = |runtime| {
                let options = ClusterOptions::new(bus.clone());
                let options = match &dialect {
                    Some(dialect) => options.dialect(dialect.clone()),
                    None => options,
                };
                ServerBuilder::<Server, ServerOptions>::new(runtime).cluster(options).build()
            };
            let server = match servers.first() {
                None => TestServer::new(build),
                Some(first) => first.beside(build),
            };
            servers.push(server);
        }
        servers[0].settle();
        Self { bus, servers }
    }

    fn traffic(&self, doing: impl FnOnce()) -> Traffic {
        let read = || -> u64 {
            self.servers.iter().map(|server| server.server().cluster_counts().unwrap().received).sum()
        };
        let ((messages, bytes), before) = (self.bus.published(), read());
        doing();
        self.servers[0].settle();
        let (messages_after, bytes_after) = self.bus.published();
        Traffic { messages: messages_after - messages, bytes: bytes_after - bytes, read: read() - before }
    }

    /// A client at each node, and each room with a member at `members` nodes; a broadcast to each room from the next one.
    fn broadcasts(&self, members: usize) -> Traffic {
        let clients: Vec<TestClient> = self.servers.iter().map(|server| server.client("/")).collect();
        for room in 0..ROOMS {
            for member in 0..members {
                let node = (room + member) % NODES;
                let socket = self.servers[node].server().socket(&clients[node].id()).unwrap();
                socket.join(format!("room {room}")).unwrap();
            }
        }
        self.servers[0].settle();
        let traffic = self.traffic(|| {
            for room in 0..ROOMS {
                let io = self.servers[(room + members) % NODES].server();
                io.to(format!("room {room}")).emit("tick", &"0123456789").unwrap();
            }
        });
        let delivered: usize = clients.iter().map(|client| client.received().len()).sum();
        assert_eq!(delivered, ROOMS * members);
        traffic
    }
}

#[test]
fn a_broadcast_is_one_message_that_every_node_reads() {
    for members in [2, NODES] {
        let cluster = Cluster::new(None);
        let Traffic { messages, bytes, read } = cluster.broadcasts(members);
        println!("{members} nodes have each room: {} bytes a broadcast, {read} read", bytes / messages);
        assert_eq!(
            messages, ROOMS as u64,
            "a broadcast is one message, whatever the number of nodes and rooms"
        );
        assert_eq!(read, (ROOMS * (NODES - 1)) as u64);
        assert!((140..170).contains(&(bytes / messages)), "{} bytes each", bytes / messages);
    }
}

#[test]
fn with_channels_for_rooms_only_the_nodes_that_have_a_room_read_its_messages() {
    let sharded = dialect::Sharded::new("sansocket", dialect::SubscriptionMode::Dynamic);
    let cluster = Cluster::new(Some(Dialect::Heartbeats(sharded)));
    let Traffic { messages, read, .. } = cluster.broadcasts(2);
    assert_eq!((messages, read), (ROOMS as u64, 2 * ROOMS as u64));
}

#[test]
fn nodes_at_rest_say_every_five_seconds_that_they_live() {
    let cluster = Cluster::new(None);
    let Traffic { messages, bytes, read } =
        cluster.traffic(|| cluster.servers[0].advance(Duration::from_secs(60)));
    println!("a minute at rest: {messages} messages, {} bytes each, {read} read", bytes / messages);
    // Of each node in its one namespace.
    assert_eq!((messages, read), (12 * NODES as u64, 12 * (NODES * (NODES - 1)) as u64));
    assert!((40..70).contains(&(bytes / messages)), "{} bytes each", bytes / messages);
}

#[test]
fn a_request_is_one_message_and_one_answer_of_each_node() {
    let cluster = Cluster::new(None);
    let clients: Vec<TestClient> =
        cluster.servers.iter().flat_map(|server| (0..10).map(|_| server.client("/"))).collect();
    let io = cluster.servers[0].server();
    let Traffic { messages, bytes, .. } = cluster.traffic(|| {
        let sockets = cluster.servers[0].block_on(io.root().fetch_sockets()).unwrap();
        assert_eq!(sockets.len(), clients.len());
    });
    println!("a list of 100 sockets: {messages} messages, {bytes} bytes");
    assert_eq!(messages, NODES as u64);
}
