//! The suite of `socket-tests/` with servers on tokio. With the feature `test-tls`, over TLS too.

use sansocket_tokio as sansocket;

#[path = "../../socket-tests/mod.rs"]
mod suite;
#[cfg(feature = "test-tls")]
#[path = "../../socket-tests/tls.rs"]
mod tls;
#[cfg(unix)]
#[path = "../../socket-tests/unix.rs"]
mod unix;

fn server() -> sansocket::ServerBuilder {
    sansocket::Server::builder()
}

fn engine_server() -> sansocket::EngineServerBuilder {
    sansocket::EngineServer::builder()
}
