//! See `socket-tests/idle.rs`; the runtime is that of the example `single-thread`.
#![cfg(target_os = "linux")]

#[path = "../examples/single-thread/adapter.rs"]
mod sansocket;

#[path = "../../socket-tests/idle.rs"]
mod idle;
#[path = "../../socket-tests/support.rs"]
mod support;

#[tokio::test]
async fn idle_connections_take_no_time() {
    idle::nothing_happens_and_nothing_runs(sansocket::Server::builder()).await;
}
