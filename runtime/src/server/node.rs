//! A server as a node of a cluster: it applies the messages of other nodes to its own sockets.

use crate::base::hook::Hook;
use crate::base::trace::{debug, warning};
use crate::cluster::{
    Cluster, ClusterEvent, ClusterOptions, ForwardedHere, LogNews, NodeApplication, NodeCounts, node_task,
};
use crate::server::answers::Budget;
use crate::server::broadcast::Broadcast;
use crate::server::logged;
use crate::server::namespace::NamespaceInner;
use crate::server::remote::{Incomplete, describe};
use crate::server::server::{Server, ServerInner};
use crate::server::server_side;
use crate::server::socket::Socket;
use crate::session::stats::count;
use sansocket_protocol::cluster::node::{Answer, Ask, ServingId};
use sansocket_protocol::cluster::{AckRequest, Event, ForwardedRequest, Message, Values};
use sansocket_protocol::hub::{Command, Target};
use sansocket_protocol::random::Random;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Weak};
use std::time::Duration;

/// The most time that a shutdown waits for a node that leaves: more than its bus has for its goodbye.
const LEAVING: Duration = Duration::from_secs(2);

type OnBus = dyn Fn(&ClusterEvent) + Send + Sync;

/// A server's part in its cluster. With the server it leaves it.
pub(crate) struct ServerCluster {
    pub(crate) node: Arc<Cluster>,
    pub(super) on_bus: Hook<OnBus>,
}

impl Drop for ServerCluster {
    fn drop(&mut self) {
        self.node.close();
    }
}

impl ServerInner {
    /// Makes the server a node. It has no namespace yet.
    pub(super) fn join_cluster(self: &Arc<Self>, options: ClusterOptions, mut random: Random) {
        let ClusterOptions { bus, dialect, node, request_timeout, private_handshakes, forward_requests } =
            options;
        let clock = self.gate.clock.clone();
        let of_bus = random.fork();
        let log = self.recovery().and_then(|recovery| recovery.log());
        let node = node.with_recovers(log.is_some()).with_forwards(forward_requests);
        let window = self.recovery().map_or(node.recovery_window, |recovery| recovery.config.window);
        let node = node.with_recovery_window(window);
        // A client that has nothing to hear is answered with the next ping.
        let engine = &self.gate.config;
        let longest = engine.ping_interval.saturating_add(engine.ping_timeout);
        let timeout = node.forward_timeout.max(longest);
        let node = node.with_forward_timeout(timeout);
        let node = Cluster::new(node, dialect, random, clock, request_timeout, private_handshakes);
        self.gate.join_cluster(&node);
        if let Some(log) = log {
            log.join(&node);
        }
        let _ = self.cluster.set(Box::new(ServerCluster { node: node.clone(), on_bus: Hook::default() }));
        let application = Arc::new(ServerNode(Arc::downgrade(self)));
        self.gate.runtime().spawn(node_task(node, bus, application, of_bus));
    }
}

impl Server {
    /// Sets the hook for news about the cluster's bus and the other nodes. The first hook stays. If the bus is there
    /// already, the hook is told so at once, and so it is of the nodes that are there; what comes just then, it may be told
    /// twice. The hook must not block: no message of other nodes is delivered meanwhile.
    ///
    /// ```
    /// use sansocket_runtime::{Server, cluster::ClusterEvent};
    ///
    /// fn register(io: &Server) {
    ///     io.on_bus(|event| match event {
    ///         ClusterEvent::Up { gap: Some(gap) } => println!("what other nodes said for {gap:?} is lost"),
    ///         ClusterEvent::Down { .. } => println!("each node is on its own"),
    ///         _ => {}
    ///     });
    /// }
    /// ```
    pub fn on_bus(&self, hook: impl Fn(&ClusterEvent) + Send + Sync + 'static) -> &Self {
        if let Some(cluster) = self.0.cluster.get() {
            // Setting it twice is a mistake without consequence.
            if cluster.on_bus.set(Arc::new(hook)) && cluster.node.is_on_bus() {
                if let Some(hook) = cluster.on_bus.get() {
                    hook(&ClusterEvent::Up { gap: None });
                    for (namespace, node) in cluster.node.peers() {
                        hook(&ClusterEvent::NodeUp { namespace, node });
                    }
                }
            }
        }
        self
    }

    /// Whether the cluster's bus is there. False without a cluster.
    pub fn is_on_bus(&self) -> bool {
        self.0.cluster.get().is_some_and(|cluster| cluster.node.is_on_bus())
    }

    /// The numbers of this node so far: messages that were published, that came, and that were dropped because the bus was
    /// away. `None` without a cluster.
    pub fn cluster_counts(&self) -> Option<NodeCounts> {
        self.0.cluster.get().map(|cluster| cluster.node.counts())
    }

    /// The number of nodes, this one included. Without a cluster it is 1.
    ///
    /// # Errors
    /// [`Incomplete`] if the bus is away, or the dialect does not count nodes: Python's does not.
    pub async fn node_count(&self) -> Result<usize, Incomplete<()>> {
        let Some(cluster) = self.0.cluster.get() else { return Ok(1) };
        let asked = cluster.node.ask("/", Ask::Nodes, cluster.node.request_timeout());
        let nodes = asked.await.unwrap_or_default().nodes;
        let others = nodes.ok_or(Incomplete { came: Vec::new(), missing_nodes: None })?;
        Ok((others as usize).saturating_add(1))
    }

    /// Leaves the cluster, and waits until that is said: about a second at the most.
    pub(crate) async fn leave_cluster(&self) {
        if let Some(cluster) = self.0.cluster.get() {
            cluster.node.close();
            cluster.node.left(LEAVING).await;
        }
    }
}

/// The server, as its node sees it.
struct ServerNode(Weak<ServerInner>);

impl NodeApplication for ServerNode {
    fn message(&self, cluster: &Arc<Cluster>, namespace: &str, message: Message, serving: Option<ServingId>) {
        let Some(server) = self.0.upgrade() else { return };
        // Code of the application runs in it: a parser, a hook.
        let served = catch_unwind(AssertUnwindSafe(|| serve(&server, cluster, namespace, message, serving)));
        if served.is_err() {
            count(&server.gate.counters.panics);
            warning!(namespace, "a message of another node has made the application panic");
        }
    }

    fn log(&self, news: LogNews) {
        let Some(server) = self.0.upgrade() else { return };
        // Code of the application runs in it, too.
        if catch_unwind(AssertUnwindSafe(|| logged::apply(&server, news))).is_err() {
            count(&server.gate.counters.panics);
            warning!("an event of the log has made the application panic");
        }
    }

    fn request(&self, request: ForwardedRequest, here: ForwardedHere) {
        let Some(server) = self.0.upgrade() else { return };
        let gate = server.gate.clone();
        // A shutdown leaves the cluster only when the answer has been passed back.
        let running = gate.shutdown.start();
        server.gate.runtime().spawn(Box::pin(async move {
            here.answer(gate.answer_forwarded(request)).await;
            drop(running);
        }));
    }

    fn news(&self, event: &ClusterEvent) {
        let Some(server) = self.0.upgrade() else { return };
        let Some(hook) = server.cluster.get().and_then(|cluster| cluster.on_bus.get()) else { return };
        if catch_unwind(AssertUnwindSafe(|| hook(event))).is_err() {
            count(&server.gate.counters.panics);
            debug!("the hook for news of the bus panicked");
        }
    }
}

/// Applies a message of another node, and answers it.
fn serve(
    server: &Arc<ServerInner>,
    cluster: &Arc<Cluster>,
    namespace: &str,
    message: Message,
    serving: Option<ServingId>,
) {
    let Some(namespace) = server.namespaces.find(namespace) else {
        // It was open a moment ago. The other node need not wait until its time is over.
        if let Some((serving, nothing)) = serving.zip(nothing(&message)) {
            cluster.answer(serving, nothing);
        }
        return;
    };
    let answer = match message {
        Message::Emit { event, target, ack } => {
            return emit(cluster, &namespace, &event, target, ack, serving);
        }
        Message::ServerSideEmit { event, .. } => {
            return server_side::serve(cluster, &namespace, &event, serving);
        }
        Message::Join { target, rooms } => {
            // Refusals are counted.
            let _ = Broadcast::new(namespace, target).join_rooms(rooms);
            return;
        }
        Message::Leave { target, rooms } => {
            let _ = Broadcast::new(namespace, target).apply(&Command::Leave { rooms });
            return;
        }
        Message::Disconnect { target, close } => {
            let command = if close { Command::Close } else { Command::Disconnect };
            let _ = Broadcast::new(namespace, target).apply(&command);
            return;
        }
        Message::FetchSockets { target, .. } => {
            let sockets = reached(namespace, target);
            let with_private = cluster.private_handshakes;
            Answer::Sockets(sockets.iter().map(|socket| describe(socket, with_private)).collect())
        }
        Message::FetchIds { target, .. } => {
            Answer::Ids(reached(namespace, target).iter().map(|socket| socket.id().into()).collect())
        }
        Message::FetchRooms { .. } => {
            let ids = reached(namespace.clone(), Target::all());
            let mut rooms: Vec<Arc<str>> = namespace.hub().rooms().cloned().collect();
            rooms.extend(ids.iter().map(|socket| socket.id().into()));
            Answer::Rooms(rooms)
        }
        // Answers and heartbeats are the node's.
        _ => return,
    };
    if let Some(serving) = serving {
        cluster.answer(serving, answer);
    }
}

/// The answer of a node that has no socket there.
fn nothing(message: &Message) -> Option<Answer> {
    match message {
        Message::Emit { ack: Some(_), .. } => Some(Answer::Count(0)),
        Message::FetchSockets { .. } => Some(Answer::Sockets(Vec::new())),
        Message::FetchIds { .. } => Some(Answer::Ids(Vec::new())),
        Message::FetchRooms { .. } => Some(Answer::Rooms(Vec::new())),
        _ => None,
    }
}

fn reached(namespace: Arc<NamespaceInner>, target: Target) -> Vec<Socket> {
    Broadcast::new(namespace, target).apply(&Command::Fetch).unwrap_or_default()
}

/// Sends another node's event to the sockets that it is for.
fn emit(
    cluster: &Arc<Cluster>,
    namespace: &Arc<NamespaceInner>,
    event: &Event,
    target: Target,
    ack: Option<AckRequest>,
    serving: Option<ServingId>,
) {
    let wants = ack.zip(serving);
    let id = wants.as_ref().map(|_| namespace.next_broadcast_ack());
    let broadcast = Broadcast::new(namespace.clone(), target);
    let frame = broadcast.encode(&event.name(), id, event.args());
    let frame = match frame {
        Ok(frame) => frame,
        Err(error) => {
            debug!(%error, "an event of another node cannot be sent");
            if let Some((_, serving)) = wants {
                cluster.answer(serving, Answer::Count(0));
            }
            return;
        }
    };
    let (Some((ack, serving)), Some(id)) = (wants, id) else {
        // Here, and not to the log of all nodes once more. Only rooms can refuse.
        let _ = broadcast.local().apply(&Command::Emit { frame, ack: None });
        return;
    };
    let timeout = cluster.answer_timeout(ack.timeout);
    let recipients: Vec<Socket> = broadcast.recipients().into_iter().filter(Socket::is_connected).collect();
    // Before any acknowledgement can come.
    cluster.answer(serving, Answer::Count(u32::try_from(recipients.len()).unwrap_or(u32::MAX)));
    let watched = namespace.handlers.outgoing.watch(namespace.encoder.parser(), &frame);
    // A copy of each answer waits for the bus.
    let budget = Budget::of(&broadcast);
    for socket in recipients {
        let (cluster, budget) = (cluster.clone(), budget.clone());
        let sink = move |outcome| {
            let Ok(args) = budget.judge(outcome) else { return };
            match Values::new(&args) {
                Ok(values) => cluster.answer(serving, Answer::Ack(values)),
                Err(error) => cluster.inexpressible("acknowledgement", &error),
            }
        };
        if socket.send_with_ack(&frame, id, timeout, sink).is_ok() {
            if let Some(watched) = &watched {
                socket.show(watched);
            }
        }
    }
}
