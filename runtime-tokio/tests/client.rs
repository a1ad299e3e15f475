//! The suite of `socket-tests/client/` with clients and servers on tokio. With the feature `test-tls`, over TLS too.

use sansocket_tokio as sansocket;

use std::time::Duration;
use suite::relay::{WEBSOCKET, quick};
use suite::support::{serve, soon};

#[path = "../../socket-tests/blocking_client.rs"]
mod blocking_client;
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

fn engine_server() -> sansocket::EngineServerBuilder {
    sansocket::EngineServer::builder()
}

fn engine_client(address: &str) -> sansocket::EngineClientBuilder {
    sansocket::EngineClient::builder(address)
}

/// Of the runtimes here, only this one can end before the process does.
#[test]
fn a_runtime_that_ends_ends_what_is_awaited() {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    let (_io, client, answer) = runtime.block_on(async {
        let io = server().build().expect("a server");
        let addr = serve(&io).await;
        io.root().on("never", async |_: sansocket::Ack| {});
        let client = quick(addr, WEBSOCKET).build().unwrap();
        soon(client.connect()).await.unwrap();
        let answer = client.emit_with_ack("never", &(), Duration::from_secs(60));
        (io, client, answer)
    });
    runtime.shutdown_timeout(Duration::from_secs(5));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        assert!(soon(answer).await.is_err());
        assert!(soon(client.connected()).await.is_err());
        assert!(soon(client.connect()).await.is_err());
        assert!(client.emit("x", &()).is_err(), "nobody will ever send it");
        soon(client.closed()).await;
    });
}
