//! Servers in several processes that serve the same clients: the nodes of a cluster, and the bus between them.
//!
//! A server becomes a node by the builder's [`cluster`](crate::ServerBuilder::cluster). Then its broadcasts, and the
//! joins, leaves and disconnects of many sockets, reach the sockets of all nodes.
//!
//! ```text
//!   Server, Namespace, Broadcast            the application's calls, which are applied here first
//!        |                 ^
//!        v                 | messages of other nodes
//!   Node (protocol::cluster), behind a lock
//!        |                 ^
//!        v  NodeTransmit   | BusLink::message, up, down
//!   Bus: Redis, a socket of the machine, the memory of this process, one of your own
//! ```
//!
//! | type | |
//! |---|---|
//! | [`ClusterOptions`] | the bus of a server, the dialect that it speaks there, limits |
//! | [`Bus`], [`BusLink`] | a bus, and its connection to the node: for authors of buses |
//! | [`InProcessBus`] | a bus between servers of one process |
//! | [`Emitter`] | a process without a server that emits to the clients of a cluster |
//! | [`ClusterEvent`] | news about the bus and the other nodes |
//! | [`Dialect`], [`dialect`] | the formats that peers speak |
//!
//! **Local first.** Sockets of this process are served at once, whatever the bus does. While it is away, what is for
//! other nodes is dropped and counted; no call fails or waits because of it.
//!
//! **Two servers of one process:**
//!
//! ```
//! use sansocket_runtime::cluster::{ClusterOptions, InProcessBus};
//! use sansocket_runtime::testing::TestServer;
//! use sansocket_runtime::{Server, ServerBuilder, Socket, adapter::ServerOptions};
//!
//! let bus = InProcessBus::new();
//! let server = |runtime| {
//!     // With an adapter: Server::builder().cluster(..)
//!     ServerBuilder::<Server, ServerOptions>::new(runtime).cluster(ClusterOptions::new(bus.clone())).build()
//! };
//! let one = TestServer::new(server);
//! let other = one.beside(server);
//! other.server().on_connect(async |socket: Socket| socket.join("news").map(drop));
//!
//! let client = other.client("/");
//! one.server().to("news").emit("headline", &"a cluster").unwrap();
//! assert_eq!(client.expect::<String>("headline"), "a cluster");
//! ```

mod bus;
mod emitter;
mod forwarding;
mod handle;
mod in_process;
mod in_process_log;
mod log;
mod membership;
mod options;
mod task;
mod unreadable;

pub use bus::{Bus, BusLink};
pub use emitter::{BusAway, Emitter, EmitterError, EmitterTarget};
pub use in_process::{BusSeat, InProcessBus};
pub use log::SessionData;
pub use options::{ClusterEvent, ClusterOptions};
pub use sansocket_protocol::cluster::node::{
    AskId, Dialect, EntryId, LookupId, NodeConfig, NodeCounts, NodeTransmit, StreamEntry,
};
pub use sansocket_protocol::cluster::{Envelope, InexpressibleError, Limits, Published, Subscription};

pub(crate) use forwarding::{ForwardedHere, Forwarding};
pub(crate) use handle::{Cluster, NodeApplication};
pub(crate) use log::{LogNews, LoggedEvent};
pub(crate) use membership::Membership;
pub(crate) use task::node_task;

/// The dialects with their settings.
pub mod dialect {
    pub use sansocket_protocol::cluster::adapter::SubscriptionMode;
    pub use sansocket_protocol::cluster::{Bridge, Classic, Postgres, Python, Sharded, Streams};
}
