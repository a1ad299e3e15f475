//! The example application of Flask-SocketIO, with its background task.
//!
//! ```text
//! cargo run -p sansocket-tokio --example flask
//! ```
//!
//! Then open <http://127.0.0.1:5000>. The handlers are in `examples/flask.rs`, the same for every runtime, and their tests
//! in `runtime-tokio/tests/flask.rs`.

use sansocket_tokio::{self as sansocket, Bytes, Listener, Server, http};

#[path = "../../examples/flask.rs"]
mod flask;

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let io = Server::builder().serve_client_bundle().build()?;
    flask::register(&io);
    tokio::spawn(flask::background(io.downgrade(), tokio::time::sleep));
    let page = async |_| {
        let page = http::Response::builder().header("content-type", "text/html; charset=utf-8");
        page.body(Bytes::from_static(include_bytes!("../../examples/flask.html"))).expect("a page")
    };
    let listening = Listener::bind("127.0.0.1:5000").await?.mount(&io).fallback(page).spawn()?;
    println!("open http://{}", listening.local_addr());
    listening.wait().await;
    Ok(())
}
