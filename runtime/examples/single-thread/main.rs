//! The conformance server on a runtime that is written here: one thread, `std` and mio.
//!
//! ```text
//! cargo run -p sansocket-runtime --example single-thread -- --port 3000
//! ```
//!
//! The flags are those of the `conformance` example of the adapters. `runtime/docs/writing-an-adapter.md`
//! explains how to write an adapter.

#[path = "adapter.rs"]
mod sansocket;

#[path = "../../../examples/conformance.rs"]
mod conformance;

use sansocket::{EngineServer, Server};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    sansocket::block_on(conformance::run(Server::builder(), EngineServer::builder(), |_| {}))
}
