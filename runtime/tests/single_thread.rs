//! The suite of `socket-tests/` with servers on the runtime of the example `single-thread`.

#[path = "../examples/single-thread/adapter.rs"]
mod sansocket;

#[path = "../../socket-tests/mod.rs"]
mod suite;

fn server() -> sansocket::ServerBuilder {
    sansocket::Server::builder()
}

fn engine_server() -> sansocket::EngineServerBuilder {
    sansocket::EngineServer::builder()
}
