//! See `socket-tests/idle.rs`.
#![cfg(target_os = "linux")]

use sansocket_tokio as sansocket;

#[path = "../../socket-tests/idle.rs"]
mod idle;
#[path = "../../socket-tests/support.rs"]
mod support;

#[tokio::test]
async fn idle_connections_take_no_time() {
    idle::nothing_happens_and_nothing_runs(sansocket::Server::builder()).await;
}
