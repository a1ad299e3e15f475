//! The options of a node, and the news about its bus.

use crate::base::error::BoxError;
use crate::cluster::bus::Bus;
use sansocket_protocol::cluster::adapter::{Sharded, SubscriptionMode};
use sansocket_protocol::cluster::node::{Dialect, NodeConfig};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

/// The bus of a server, the dialect that it speaks there, and its limits.
///
/// ```
/// use sansocket_runtime::cluster::{ClusterOptions, Dialect, InProcessBus, dialect};
/// use std::time::Duration;
///
/// let options = ClusterOptions::new(InProcessBus::new())
///     .dialect(Dialect::Classic(dialect::Classic::default()))
///     .request_timeout(Duration::from_secs(2));
/// ```
pub struct ClusterOptions {
    pub(crate) bus: Box<dyn Bus>,
    pub(crate) dialect: Dialect,
    pub(crate) node: NodeConfig,
    pub(crate) request_timeout: Duration,
    pub(crate) private_handshakes: bool,
    pub(crate) forward_requests: bool,
}

impl ClusterOptions {
    /// A node on that bus among nodes of this project's own: they say every five seconds that they live, so requests wait
    /// for those that do, and for no other.
    pub fn new(bus: impl Bus) -> Self {
        Self {
            bus: Box::new(bus),
            // Without channels for rooms: a node would miss what is sent to a room while it subscribes to it.
            dialect: Dialect::Heartbeats(Sharded::new("sansocket", SubscriptionMode::Static)),
            node: NodeConfig::default(),
            request_timeout: Duration::from_secs(5),
            private_handshakes: false,
            forward_requests: false,
        }
    }

    /// Sets the dialect: that of the other nodes, which must be one that the bus can carry. Default: that of this
    /// project's own nodes.
    #[must_use]
    pub fn dialect(mut self, dialect: Dialect) -> Self {
        if let Dialect::Python(_) = dialect {
            // Python's requests name no time, and its `call` waits for 60 s.
            self.node.answer_timeout = self.node.answer_timeout.max(Duration::from_secs(60));
        }
        self.dialect = dialect;
        self
    }

    /// Sets the limits of the node: of messages, of open requests, of members, of what waits for the bus. It also
    /// replaces the time for which a peer's request is kept.
    #[must_use]
    pub fn limits(mut self, limits: NodeConfig) -> Self {
        self.node = limits;
        self
    }

    /// Sets how long a request for sockets, rooms or nodes may take. Default 5 s.
    #[must_use]
    pub fn request_timeout(mut self, timeout: Duration) -> Self {
        self.request_timeout = timeout;
        self
    }

    /// Sets whether other nodes that ask for sockets are told the headers `cookie` and `authorization` of their
    /// handshakes, as JavaScript nodes tell them. Default no: whoever is on the bus could read them.
    #[must_use]
    pub fn private_handshakes(mut self, tell: bool) -> Self {
        self.private_handshakes = tell;
        self
    }

    /// Returns whether requests can be passed on in this dialect, if they are to be.
    pub(crate) fn can_forward(&self) -> bool {
        !self.forward_requests || matches!(self.dialect, Dialect::Heartbeats(_))
    }

    /// Sets whether a request of a client on long-polling that reaches another node than its session's is passed on to that
    /// node, and answered by it: such clients need no sticky sessions then. It is for all nodes of a cluster, which must
    /// speak the default dialect, and for ids that [`generate_id`](crate::ServerBuilder::generate_id) does not make. A
    /// WebSocket is not passed on: a client whose upgrade reaches another node is refused there, and stays on long-polling.
    /// Default no: the request is refused, and told.
    ///
    /// The limits are in [`NodeConfig`]: `forward_patience`, `forward_timeout`, `max_forwards`, `max_forwarded_bytes`.
    #[must_use]
    pub fn forward_requests(mut self, forward: bool) -> Self {
        self.forward_requests = forward;
        self
    }
}

impl fmt::Debug for ClusterOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClusterOptions").field("dialect", &self.dialect).finish_non_exhaustive()
    }
}

/// News about the bus and the other nodes, for [`Server::on_bus`](crate::Server::on_bus).
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum ClusterEvent {
    /// The bus is there.
    Up {
        /// The time for which it was away, unless it is there for the first time. Messages of that time are lost, in both
        /// directions: an application that keeps a state by them asks for it anew. What others have appended to a stream
        /// meanwhile comes now, unless [`StreamGap`](Self::StreamGap) follows.
        gap: Option<Duration>,
    },
    /// The bus is away. It is tried again until it is back.
    Down {
        /// The reason, if the bus said one.
        reason: Option<Arc<BoxError>>,
    },
    /// The stream does not hold all that other nodes have appended since this one was last connected, or since it has read
    /// last if it does not keep up: the sockets here miss that.
    StreamGap,
    /// A node was heard for the first time. Only where nodes say that they live.
    NodeUp {
        /// The namespace.
        namespace: Arc<str>,
        /// The name of the node.
        node: Arc<str>,
    },
    /// A node said goodbye, or was not heard for too long.
    NodeDown {
        /// The namespace.
        namespace: Arc<str>,
        /// The name of the node.
        node: Arc<str>,
    },
}
