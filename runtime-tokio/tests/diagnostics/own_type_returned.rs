//! A return value that is a type of the application.
struct Answer;

fn main() {
    let io = sansocket_tokio::Server::builder().build().unwrap();
    io.namespace("/").on("event", async || Answer);
}
