//! Socket.IO's example of private messaging.
//!
//! ```text
//! cargo run -p sansocket-tokio --example private_messaging
//! ```
//!
//! Then open <http://127.0.0.1:3000> in two windows. The handlers are in `examples/private_messaging.rs`, the same for every
//! runtime, and their tests in `runtime-tokio/tests/applications.rs`.

use sansocket_tokio::{self as sansocket, Bytes, Listener, Server, http};

#[path = "../../examples/private_messaging.rs"]
mod private_messaging;

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let io = Server::builder().serve_client_bundle().build()?;
    private_messaging::register(&io);
    let page = async |_| {
        let page = http::Response::builder().header("content-type", "text/html; charset=utf-8");
        page.body(Bytes::from_static(include_bytes!("../../examples/private_messaging.html")))
            .expect("a page")
    };
    let listening = Listener::bind("127.0.0.1:3000").await?.mount(&io).fallback(page).spawn()?;
    println!("open http://{}", listening.local_addr());
    listening.wait().await;
    Ok(())
}
