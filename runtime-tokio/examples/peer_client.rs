//! Our client against one of the peer servers of `interop/README.md`, which it starts, kills and starts again.
//!
//! ```text
//! cargo run -p sansocket-tokio --example peer_client -- basics upgrade node interop/peers/node.mjs
//! cargo run -p sansocket-tokio --example peer_client -- restart websocket node interop/peers/node.mjs
//! ```
//!
//! The arguments are the program (`basics`; `restart`; `retries`, which is `restart` with events that are sent until they
//! are acknowledged), the transport (`polling`, `websocket`, `upgrade`), and the server's command. It prints its
//! observations, and fails with status 1 and a reason. The application itself is in `examples/peer_client.rs`, the
//! same for every runtime.

use sansocket_tokio as sansocket;

#[path = "../../examples/peer_client.rs"]
mod peer_client;

fn main() {
    peer_client::run(sansocket::Client::builder);
}
