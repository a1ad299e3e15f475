//! The suite of `socket-tests/` with servers on tokio. With the feature `test-tls`, over TLS too.

use sansocket_tokio as sansocket;

#[cfg(feature = "test-tls")]
#[path = "../../socket-tests/client_tls.rs"]
mod client_tls;
#[path = "../../socket-tests/mod.rs"]
mod suite;
#[cfg(feature = "test-tls")]
#[path = "../../socket-tests/tls.rs"]
mod tls;

fn server() -> sansocket::ServerBuilder {
    sansocket::Server::builder()
}

fn engine_server() -> sansocket::EngineServerBuilder {
    sansocket::EngineServer::builder()
}

fn client(address: &str) -> sansocket::ClientBuilder {
    sansocket::Client::builder(address)
}
