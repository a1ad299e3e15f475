//! Clients on real sockets, whatever runtime they run on. Each adapter includes this file and gives it, at the root of
//! the crate, itself as `sansocket` and the functions `server()`, `client(address)`, `engine_server()` and
//! `engine_client(address)`, which make builders.
//!
//! An adapter that has TLS includes `tls.rs` beside it, and one that has a blocking client `../blocking_client.rs`. The channels and locks in the tests are tokio's in all cases.

mod acks;
mod compression;
mod connect;
mod dial;
mod engine;
mod events;
mod handlers;
mod hostile;
mod lifecycle;
mod parsers;
pub(crate) mod relay;
mod socks;
#[path = "../support.rs"]
pub(crate) mod support;
mod transports;
