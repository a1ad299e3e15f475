//! The well-known Socket.IO chat.
//!
//! ```text
//! cargo run -p sansocket-tokio --example chat
//! ```
//!
//! Then open <http://127.0.0.1:3000> in two windows. Flags: `--port` (or `PORT`; 3000), `--host` (127.0.0.1), and
//! `--client-dist node_modules/socket.io-client/dist` to serve the browser's client from there; without it, it
//! is the one in the feature `client-bundle`. The application itself is in `examples/chat.rs`, the same for every runtime.

use sansocket_tokio::{self as sansocket, Server};

#[path = "../../examples/chat.rs"]
mod chat;

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    chat::run(Server::builder(), |_| {}).await
}
