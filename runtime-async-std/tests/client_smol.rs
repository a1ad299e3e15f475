//! The suite of `socket-tests/client/` with clients and servers on smol. With the feature `test-tls`, over TLS too.

use sansocket_async_std::{self as sansocket, Smol};

#[path = "../../socket-tests/blocking_client.rs"]
mod blocking_client;
#[path = "../../socket-tests/client/mod.rs"]
mod suite;
#[cfg(feature = "test-tls")]
#[path = "../../socket-tests/client/tls.rs"]
mod tls;

fn server() -> sansocket::ServerBuilder {
    sansocket::Server::builder().runtime(Smol)
}

fn client(address: &str) -> sansocket::ClientBuilder {
    sansocket::Client::builder(address).runtime(Smol)
}

fn engine_server() -> sansocket::EngineServerBuilder {
    sansocket::EngineServer::builder().runtime(Smol)
}

fn engine_client(address: &str) -> sansocket::EngineClientBuilder {
    sansocket::EngineClient::builder(address).runtime(Smol)
}
