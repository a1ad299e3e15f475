//! See `socket-tests/idle.rs`.
#![cfg(target_os = "linux")]

use sansocket_async_std as sansocket;

#[path = "../../socket-tests/idle.rs"]
mod idle;
#[path = "../../socket-tests/support.rs"]
mod support;

// One test, because two at once would measure each other.
#[tokio::test]
async fn idle_connections_take_no_time() {
    #[cfg(feature = "async-std")]
    idle::nothing_happens_and_nothing_runs(sansocket::Server::builder().runtime(sansocket::AsyncStd)).await;
    #[cfg(feature = "smol")]
    idle::nothing_happens_and_nothing_runs(sansocket::Server::builder().runtime(sansocket::Smol)).await;
}
