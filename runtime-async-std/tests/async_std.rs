//! The suite of `socket-tests/` with servers on async-std. With the feature `test-tls`, over TLS too.

use sansocket_async_std::{self as sansocket, AsyncStd};

#[cfg(feature = "test-tls")]
#[path = "../../socket-tests/client_tls.rs"]
mod client_tls;
#[path = "../../socket-tests/mod.rs"]
mod suite;
#[cfg(feature = "test-tls")]
#[path = "../../socket-tests/tls.rs"]
mod tls;

fn server() -> sansocket::ServerBuilder {
    sansocket::Server::builder().runtime(AsyncStd)
}

fn engine_server() -> sansocket::EngineServerBuilder {
    sansocket::EngineServer::builder().runtime(AsyncStd)
}

fn client(address: &str) -> sansocket::ClientBuilder {
    sansocket::Client::builder(address).runtime(AsyncStd)
}
