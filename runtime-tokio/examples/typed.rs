//! Events that are declared once, as types: a server, and a client of it.
//!
//! ```text
//! cargo run -p sansocket-tokio --features typescript --example typed                        # talks to itself
//! cargo run -p sansocket-tokio --features typescript --example typed > examples/typed/events.ts
//! ```
//!
//! Rename a field of `Message` in `examples/typed/mod.rs`: the server, the client and, with the declarations written anew, the
//! page (`examples/typed/page.ts`) do not compile until they follow. What it prints is the declarations; what is said goes to
//! stderr.

use sansocket_tokio::{self as sansocket, Client, Server};

#[path = "../../examples/typed/mod.rs"]
mod typed;

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    print!("{}", typed::declarations());
    let io = Server::builder().build()?;
    typed::register(&io);
    let listening = io.listen("127.0.0.1:0").await?;
    let client = Client::builder(&format!("http://{}", listening.local_addr())).build()?;
    client.connect().await?;
    eprintln!("{} others hear it", typed::talk(&client).await?);
    Ok(())
}
