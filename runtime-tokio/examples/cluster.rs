//! One node of the well-known chat: several of them, on one bus, are one chat.
//!
//! ```text
//! cargo run -p sansocket-tokio --example cluster -- --bus unix:/tmp/chat-bus --port 3001
//! cargo run -p sansocket-tokio --example cluster -- --bus unix:/tmp/chat-bus --port 3002
//! ```
//!
//! Then open both addresses. `--bus` is also `redis://`, `redis+sharded://` or `redis+streams://`; `--dialect bridge` makes it
//! a node beside Python's and JavaScript's on one Redis; with `--forward-requests` clients on long-polling may reach any node
//! with each request. `examples/cluster/run` starts three of them behind nginx, and
//! `examples/mixed/run` one beside a node of python-socketio and one of JavaScript's.

use sansocket_redis::RedisBus;
use sansocket_tokio::cluster::{ClusterEvent, ClusterOptions, Dialect, dialect};
use sansocket_tokio::{self as sansocket, Server};
use sansocket_unix::UnixBus;

#[path = "../../examples/chat.rs"]
mod chat;

fn flag(name: &str) -> Option<String> {
    std::env::args().skip_while(|arg| arg != name).nth(1)
}

/// The bus at an address.
fn bus(address: &str) -> Result<ClusterOptions, Box<dyn std::error::Error>> {
    if let Some(path) = address.strip_prefix("unix:") {
        return Ok(ClusterOptions::new(UnixBus::new(path)));
    }
    let bus = RedisBus::open(address)?;
    Ok(match bus.dialect() {
        Some(dialect) => ClusterOptions::new(bus).dialect(dialect),
        None => ClusterOptions::new(bus),
    })
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let address = flag("--bus").ok_or("--bus is missing: unix:PATH or redis://HOST:PORT")?;
    let options = match flag("--dialect").as_deref() {
        None => bus(&address)?,
        Some("bridge") => bus(&address)?.dialect(Dialect::Bridge(dialect::Bridge::default())),
        Some(other) => return Err(format!("--dialect is `bridge`, not `{other}`").into()),
    };
    let forwards = std::env::args().any(|arg| arg == "--forward-requests");
    let options = options.forward_requests(forwards);
    let say_news = |io: &Server| {
        io.on_bus(|event| match event {
            ClusterEvent::Up { .. } => println!("the bus is there"),
            ClusterEvent::Down { reason } => println!("the bus is away: {reason:?}"),
            ClusterEvent::NodeUp { node, .. } => println!("node {node} has come"),
            ClusterEvent::NodeDown { node, .. } => println!("node {node} has gone"),
            _ => {}
        });
    };
    chat::run(Server::builder().cluster(options), say_news).await
}
