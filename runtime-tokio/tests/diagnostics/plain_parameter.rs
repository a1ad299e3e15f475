//! A parameter that is a plain value.
async fn greet(name: String) {
    println!("hello {name}");
}

fn main() {
    let io = sansocket_tokio::Server::builder().build().unwrap();
    io.namespace("/").on("event", greet);
}
