//! The suite of `socket-tests/` with servers on smol. With the features `test-tls` and `http2`, over TLS and HTTP/2, too.

use sansocket_async_std::{self as sansocket, Smol};

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
    sansocket::Server::builder().runtime(Smol)
}

fn engine_server() -> sansocket::EngineServerBuilder {
    sansocket::EngineServer::builder().runtime(Smol)
}
