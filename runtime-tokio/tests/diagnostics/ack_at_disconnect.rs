//! An extractor that does not exist in handlers of that kind.
fn main() {
    let io = sansocket_tokio::Server::builder().build().unwrap();
    io.namespace("/").on_disconnect(async |_: sansocket_tokio::Ack| {});
}
