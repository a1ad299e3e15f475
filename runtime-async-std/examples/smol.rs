//! The well-known Socket.IO chat on smol alone, without async-std.
//!
//! ```text
//! cargo run -p sansocket-async-std --no-default-features --features smol --example smol
//! ```
//!
//! Then open <http://127.0.0.1:3000> in two windows. Flags: `--port` (or `PORT`; 3000), `--host` (127.0.0.1), and
//! `--client-dist node_modules/socket.io-client/dist` to serve the browser's client from there; without it, it
//! is the one in the feature `client-bundle`. The application itself is in `examples/chat.rs`, the same for every runtime.

use sansocket_async_std::{self as sansocket, Server, Smol};

#[path = "../../examples/chat.rs"]
mod chat;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    // With the feature `async-std` off, `Smol` is the default.
    smol::block_on(chat::run(Server::builder().runtime(Smol), |_| {}))
}
