//! Servers and clients on real sockets, whatever runtime they run on. Each adapter includes this file and gives it, at the root of
//! the crate, itself as `sansocket` and the functions `server()`, `engine_server()` and `client(address)`, which make builders.
//!
//! An adapter that has TLS includes `tls.rs` beside it. What plays the other side is tokio's in all cases: what the tests see is what was on the wire.

mod acks;
mod client_acks;
mod client_connect;
mod client_dial;
mod client_events;
mod client_handlers;
mod client_hostile;
mod client_lifecycle;
pub(crate) mod client_support;
mod engine;
mod handlers;
mod http;
mod ordering;
mod panics;
mod rooms;
mod shutdown;
mod slow;
pub(crate) mod support;
