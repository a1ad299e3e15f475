//! Something that is not `Send`, kept across an await.
fn main() {
    let io = sansocket_tokio::Server::builder().build().unwrap();
    io.namespace("/").on("event", async || {
        let kept = std::rc::Rc::new(1);
        std::future::ready(()).await;
        drop(kept);
    });
}
