//! The suite of `socket-tests/client/` with clients and servers on the runtime of the example `single-thread`.

#[path = "../examples/single-thread/adapter.rs"]
mod sansocket;

#[path = "../../socket-tests/client/mod.rs"]
mod suite;

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
