//! A closure that is not async.
fn main() {
    let io = sansocket_tokio::Server::builder().build().unwrap();
    io.namespace("/").on("event", |_: sansocket_tokio::Socket| {});
}
