//! The server that test suites and load generators talk to: on async-std, or on smol if only that
//! is on.
//!
//! ```text
//! cargo run --release -p sansocket-async-std --example conformance -- --port 3000
//! ```
//!
//! On one port: an Engine.IO echo server at `/engine.io/`, and a Socket.IO server at `/socket.io/` with the
//! namespaces `/` and `/custom`. Flags: `--port` (or `PORT`; 3000), `--ping-interval` and `--ping-timeout` in
//! milliseconds (300 and 200), `--max-payload` in bytes (1000000), `--connect-timeout` in milliseconds (1000),
//! `--recovery`, the window of connection state recovery in milliseconds (off),
//! `--parser` (`json`, or `msgpack`),
//! `--allow-eio3` for clients of Engine.IO 3,
//! `--deflate` (compressed WebSocket messages of any size, with `--deflate-takeover` and `--deflate-window BITS` in both
//! directions), `--tell-headers` (the Engine.IO server sets cookies, and tells the headers of requests) and
//! `--http-compression` (polls from 1024 bytes on). With
//! `--bus URL` (`redis://`, `redis+sharded://`, `redis+streams://`, each also with `+cluster`; `unix:PATH`) it is a node of
//! a cluster, which speaks what `--dialect` says: `python`, `classic`, `cluster` (that of the URL, or our own), or
//! `python,classic`, which also bridges between them, as does `--bridge`. The application itself is in
//! `examples/conformance.rs`, the same for every runtime.
//!
//! On smol: `cargo run --release -p sansocket-async-std --no-default-features --features smol --example conformance`.

use sansocket_async_std::{self as sansocket, EngineServer, Server};

#[path = "../../examples/conformance.rs"]
mod conformance;
#[path = "../../examples/conformance_cluster.rs"]
mod conformance_cluster;

use sansocket_async_std::cluster::{ClusterOptions, Dialect};

type Opened = Result<(ClusterOptions, Option<Dialect>), Box<dyn std::error::Error>>;

/// Buses that need this runtime: none.
fn more_buses(_: &str, _: &[&str]) -> Option<Opened> {
    None
}

#[cfg(feature = "async-std")]
use async_std::task::block_on;
#[cfg(not(feature = "async-std"))]
use smol::block_on;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    block_on(conformance::run(
        conformance_cluster::join(Server::builder())?,
        EngineServer::builder(),
        conformance_cluster::register,
    ))
}
