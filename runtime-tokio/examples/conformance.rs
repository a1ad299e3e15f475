//! The server that test suites and load generators talk to.
//!
//! ```text
//! cargo run --release -p sansocket-tokio --example conformance -- --port 3000
//! ```
//!
//! On one port: an Engine.IO echo server at `/engine.io/`, and a Socket.IO server at `/socket.io/` with the
//! namespaces `/` and `/custom`. Flags: `--port` (or `PORT`; 3000), `--ping-interval` and `--ping-timeout` in
//! milliseconds (300 and 200), `--max-payload` in bytes (1000000), `--connect-timeout` in milliseconds (1000),
//! `--recovery`, the window of connection state recovery in milliseconds (off),
//! `--parser` (`json`, or `msgpack`),
//! `--allow-eio3` for clients of Engine.IO 3,
//! `--deflate` (compressed WebSocket messages of any size, with `--deflate-takeover` and `--deflate-window BITS` in both
//! directions), `--tell-headers` (the Engine.IO server sets cookies, and tells the headers of requests), `--admin HASH` for the admin UI with the password of that hash of bcrypt (with `--server-id NAME` and
//! `--read-only`), and `--http-compression` (polls from 1024 bytes on). With
//! `--bus URL` (`redis://`, `redis+sharded://`, `redis+streams://`, each also with `+cluster`; `nats://`, `postgres://`,
//! `amqp://`, `amqps://`, `unix:PATH`) it is a node of a cluster in the dialect of `--dialect`: `python`, `classic`,
//! `cluster` (that of the URL, or our own), or `python,classic`, which also bridges between them, as does `--bridge`.
//! `--patience` sets the milliseconds that the bus may take to answer (by default those of its crate). With `--emit JSON`
//! as well, it is no server: it carries out a list of verbs on that bus and ends. The application itself is in
//! `examples/conformance.rs`, the same for every runtime.

use sansocket_tokio::{self as sansocket, EngineServer, Server};

#[path = "../../examples/conformance.rs"]
mod conformance;
#[path = "../../examples/conformance_cluster.rs"]
mod conformance_cluster;
#[path = "../../examples/conformance_emitter.rs"]
mod conformance_emitter;

use sansocket_amqp::AmqpBus;
use sansocket_nats::NatsBus;
use sansocket_postgres::PostgresBus;
use sansocket_tokio::Tokio;
use sansocket_tokio::cluster::{ClusterOptions, Dialect};

type Opened = Result<(ClusterOptions, Option<Dialect>), Box<dyn std::error::Error>>;

/// Buses that need tokio.
fn more_buses(address: &str, dialects: &[&str]) -> Option<Opened> {
    let scheme = address.split("://").next().unwrap_or_default();
    Some(match scheme {
        "nats" | "tls" => {
            NatsBus::open(address).map(|bus| (ClusterOptions::new(bus), None)).map_err(Into::into)
        }
        "postgres" | "postgresql" => postgres(address),
        "amqp" | "amqps" => AmqpBus::open(address).map_err(Into::into).map(|bus| {
            let bus = if dialects == ["python"] { bus.python() } else { bus };
            (ClusterOptions::new(bus), None)
        }),
        _ => return None,
    })
}

fn postgres(address: &str) -> Opened {
    let mut bus = PostgresBus::open(address)?;
    if let Some(patience) = conformance_cluster::patience()? {
        bus = bus.timeout(patience);
    }
    let dialect = bus.dialect();
    Ok((ClusterOptions::new(bus), Some(dialect)))
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    if conformance_emitter::run(Tokio).await? {
        return Ok(());
    }
    conformance::run(
        conformance_cluster::join(Server::builder())?,
        EngineServer::builder(),
        conformance_cluster::register,
    )
    .await
}
