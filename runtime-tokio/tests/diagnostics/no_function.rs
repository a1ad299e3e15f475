//! Something that cannot be called.
fn main() {
    let io = sansocket_tokio::Server::builder().build().unwrap();
    io.namespace("/").on("event", "pong");
}
