//! An error returned from a connect handler that is not an error type.
fn main() {
    let io = sansocket_tokio::Server::builder().build().unwrap();
    io.namespace("/").on_connect(async || Err::<(), u32>(5));
}
