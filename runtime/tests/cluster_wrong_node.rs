//! Nodes behind a load balancer that does not send a client to the same node again.

use sansocket_runtime::adapter::{BoxFuture, Dial, ServerOptions, Stream};
use sansocket_runtime::cluster::{ClusterEvent, ClusterOptions, InProcessBus};
use sansocket_runtime::testing::TestServer;
use sansocket_runtime::{RefusedRequest, Server, ServerBuilder, TransportKind};
use std::io;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

/// Each connection goes to the next server.
struct RoundRobin {
    networks: Vec<Arc<dyn Dial>>,
    next: AtomicUsize,
}

impl Dial for RoundRobin {
    fn dial(&self, host: String, port: u16) -> BoxFuture<io::Result<Box<dyn Stream>>> {
        let next = self.next.fetch_add(1, Ordering::Relaxed);
        self.networks[next % self.networks.len()].dial(host, port)
    }

    fn secure(&self, _: String, stream: Box<dyn Stream>) -> BoxFuture<io::Result<Box<dyn Stream>>> {
        Box::pin(std::future::ready(Ok(stream)))
    }
}

#[derive(Default)]
struct Told {
    /// The nodes that this one has heard of.
    nodes: Vec<String>,
    /// The other nodes of refused requests.
    refused: Vec<Option<String>>,
}

struct Node {
    server: TestServer<Server>,
    told: Arc<Mutex<Told>>,
}

impl Node {
    fn new(bus: &InProcessBus, beside: Option<&Node>) -> Self {
        let told = Arc::new(Mutex::new(Told::default()));
        let refused = told.clone();
        let build = |runtime| {
            ServerBuilder::<Server, ServerOptions>::new(runtime)
                .cluster(ClusterOptions::new(bus.clone()))
                .on_connection_error(move |request: &RefusedRequest| {
                    refused.lock().unwrap().refused.push(request.other_node().map(str::to_owned));
                })
                .build()
        };
        let server = match beside {
            None => TestServer::new(build),
            Some(node) => node.server.beside(build),
        };
        let heard = told.clone();
        server.server().on_bus(move |event| {
            if let ClusterEvent::NodeUp { node, .. } = event {
                heard.lock().unwrap().nodes.push(node.to_string());
            }
        });
        Self { server, told }
    }

    /// Lets a client of long-polling come to the next of these nodes with each connection.
    fn client_of(nodes: &[&Node]) -> Result<(), String> {
        let networks = nodes.iter().map(|node| Arc::new(node.server.network()) as Arc<dyn Dial>).collect();
        let balancer = Arc::new(RoundRobin { networks, next: AtomicUsize::new(0) });
        let client = nodes[0].server.try_client("/", |client| {
            client.dial(Balancer(balancer)).transports([TransportKind::Polling]).reconnection(false)
        });
        client.map(drop).map_err(|error| error.to_string())
    }
}

struct Balancer(Arc<RoundRobin>);

impl Dial for Balancer {
    fn dial(&self, host: String, port: u16) -> BoxFuture<io::Result<Box<dyn Stream>>> {
        self.0.dial(host, port)
    }

    fn secure(&self, host: String, stream: Box<dyn Stream>) -> BoxFuture<io::Result<Box<dyn Stream>>> {
        self.0.secure(host, stream)
    }
}

#[test]
fn a_request_for_a_session_of_another_node_says_so() {
    let bus = InProcessBus::new();
    let one = Node::new(&bus, None);
    let other = Node::new(&bus, Some(&one));
    one.server.settle();
    assert_eq!(Node::client_of(&[&one]), Ok(()));
    assert!(Node::client_of(&[&one, &other]).is_err());

    let told = other.told.lock().unwrap();
    assert_eq!(told.nodes.len(), 1);
    assert!(!told.refused.is_empty());
    assert!(told.refused.iter().all(|node| node.as_ref() == told.nodes.first()), "{:?}", told.refused);
    let counts = other.server.server().cluster_counts().unwrap();
    assert_eq!(counts.misrouted, told.refused.len() as u64);
    assert_eq!(one.server.server().cluster_counts().unwrap().misrouted, 0);
}

#[test]
fn a_session_that_no_node_has_is_nobody_s() {
    let bus = InProcessBus::new();
    let one = Node::new(&bus, None);
    // Of another cluster.
    let stranger = Node::new(&InProcessBus::new(), Some(&one));
    one.server.settle();
    assert!(Node::client_of(&[&stranger, &one]).is_err());
    let told = one.told.lock().unwrap();
    assert!(!told.refused.is_empty());
    assert!(told.refused.iter().all(Option::is_none));
    assert_eq!(one.server.server().cluster_counts().unwrap().misrouted, 0);
}
