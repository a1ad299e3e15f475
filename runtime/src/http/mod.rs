//! A server's HTTP: from an accepted connection, or a host framework, to the session that a request belongs to.

pub(crate) mod body;
pub(crate) mod builder;
pub(crate) mod compression;
pub(crate) mod connections;
pub(crate) mod convert;
pub(crate) mod endpoint;
pub(crate) mod files;
pub(crate) mod gate;
mod handed;
pub(crate) mod handshake;
pub(crate) mod head_deadline;
#[cfg(feature = "http2")]
mod http2;
pub(crate) mod limits;
pub(crate) mod listener;
#[cfg(feature = "metrics")]
pub(crate) mod metrics;
#[cfg(feature = "cluster")]
mod node;
pub(crate) mod opening;
pub(crate) mod options;
#[cfg(feature = "record")]
pub(crate) mod recordings;
pub(crate) mod refused;
pub(crate) mod shutdown;
#[cfg(feature = "tls")]
pub(crate) mod tls;
pub(crate) mod tower;
#[cfg(unix)]
pub(crate) mod unix;
pub(crate) mod write_deadline;
