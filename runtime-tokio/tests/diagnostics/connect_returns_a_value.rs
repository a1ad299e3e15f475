//! A value returned from a handler that has nobody to tell.
fn main() {
    let io = sansocket_tokio::Server::builder().build().unwrap();
    io.namespace("/").on_connect(async || 5);
}
