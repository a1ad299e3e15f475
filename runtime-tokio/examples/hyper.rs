//! Socket.IO beside the pages of a server that is written on hyper alone.
//!
//! ```text
//! cargo run -p sansocket-tokio --example hyper
//! ```
//!
//! Then open <http://127.0.0.1:3000>.

use http_body_util::{Either, Full};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use sansocket_tokio::http::Response;
use sansocket_tokio::{Bytes, Data, Server};
use std::convert::Infallible;
use tokio::net::TcpListener;
use tower_service::Service as _;

const PAGE: &str = r#"<!doctype html><title>hyper</title><p id="answer"></p>
<script src="/socket.io/socket.io.js"></script>
<script>io().emit("double", 21, (answer) => (document.getElementById("answer").textContent = answer));</script>"#;

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let io = Server::builder().serve_client_bundle().build()?;
    io.on("double", async |Data(n): Data<i64>| n.checked_mul(2).ok_or("too large"));

    let listener = TcpListener::bind("127.0.0.1:3000").await?;
    println!("open http://{}", listener.local_addr()?);
    loop {
        let (stream, peer) = listener.accept().await?;
        let service = io.service();
        // Messages are small, and wanted at once.
        let _ = stream.set_nodelay(true);
        tokio::spawn(async move {
            let answer = service_fn(move |mut request: hyper::Request<hyper::body::Incoming>| {
                let mut service = service.clone();
                async move {
                    if !request.uri().path().starts_with("/socket.io/") {
                        return Ok::<_, Infallible>(Response::new(Either::Right(Full::new(Bytes::from(
                            PAGE,
                        )))));
                    }
                    request.extensions_mut().insert(peer); // for `PeerAddr`
                    Ok(service.call(request).await?.map(Either::Left))
                }
            });
            // With upgrades, or there are no WebSockets.
            let builder = auto::Builder::new(TokioExecutor::new());
            if let Err(error) = builder.serve_connection_with_upgrades(TokioIo::new(stream), answer).await {
                eprintln!("a connection failed: {error}");
            }
        });
    }
}
