//! The suite of `socket-tests/` with servers on tokio. With the features `test-tls` and `http2`, over TLS and HTTP/2, too.

use sansocket_tokio as sansocket;

#[cfg(feature = "http2")]
#[path = "../../socket-tests/http2.rs"]
mod http2;
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
