//! A returned error that is not an error type.
fn main() {
    let io = sansocket_tokio::Server::builder().build().unwrap();
    io.namespace("/").on("event", async || Err::<(), u32>(5));
}
