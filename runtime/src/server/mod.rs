//! The Socket.IO server as an application holds it: the server, its namespaces and rooms, its sockets.

pub(crate) mod answers;
pub(crate) mod any;
pub(crate) mod broadcast;
mod broadcast_methods;
mod concurrent;
#[cfg(any(feature = "admin", feature = "cluster"))]
pub(crate) mod describe;
pub(crate) mod dispatch;
pub(crate) mod dynamic;
pub(crate) mod emitter;
mod errors;
mod extract;
mod limits;
#[cfg(feature = "cluster")]
mod logged;
pub(crate) mod lookups;
mod messages;
#[cfg(feature = "metrics")]
mod metrics;
pub(crate) mod namespace;
#[cfg(feature = "cluster")]
pub(crate) mod node;
#[cfg(feature = "admin")]
pub(crate) mod observer;
pub(crate) mod options;
mod own;
mod peer;
#[cfg(feature = "cluster")]
pub(crate) mod pending;
pub(crate) mod recoverable;
pub(crate) mod recovery;
mod registry;
#[cfg(feature = "cluster")]
pub(crate) mod remote;
mod room_events;
pub(crate) mod rooms;
#[allow(clippy::module_inception)]
pub(crate) mod server;
#[cfg(feature = "cluster")]
pub(crate) mod server_side;
pub(crate) mod slices;
pub(crate) mod socket;
pub(crate) mod state;
#[cfg(feature = "cluster")]
pub(crate) mod stream_log;
mod table;
#[cfg(test)]
mod tests;
mod typed;
pub(crate) mod unrecovered;
