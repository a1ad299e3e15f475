//! Servers on real sockets, whatever runtime they run on. Each adapter includes this file and gives it, at the root of
//! the crate, itself as `sansocket` and the functions `server()` and `engine_server()`, which make builders.
//!
//! An adapter that has TLS includes `tls.rs` beside it. The clients are tokio's in all cases: what the tests see is what was on the wire.

mod acks;
mod advisories;
mod engine;
mod handlers;
mod http;
mod limits;
mod listeners;
mod ordering;
mod panics;
mod panics_elsewhere;
mod refusals;
mod requests;
mod rooms;
mod shutdown;
mod slow;
pub(crate) mod support;
