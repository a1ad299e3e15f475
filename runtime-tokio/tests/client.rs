//! The suite of `socket-tests/client/` with clients and servers on tokio. With the feature `test-tls`, over TLS too.

use sansocket_tokio as sansocket;

#[path = "../../socket-tests/client/mod.rs"]
mod suite;
#[cfg(feature = "test-tls")]
#[path = "../../socket-tests/client/tls.rs"]
mod tls;

fn server() -> sansocket::ServerBuilder {
    sansocket::Server::builder()
}

fn client(address: &str) -> sansocket::ClientBuilder {
    sansocket::Client::builder(address)
}
