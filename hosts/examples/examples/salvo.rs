//! Socket.IO on a route of salvo, as the tower service that it is.
//!
//! ```text
//! cd hosts/examples && cargo run --example salvo
//! ```

use salvo::http::ReqBody;
use salvo::prelude::{Listener as _, Router, TcpListener, TowerServiceCompat, handler};
use sansocket_tokio::{Data, Server};
use std::time::Duration;

#[handler]
async fn page() -> &'static str {
    "a page of salvo's\n"
}

/// The application.
pub fn service() -> Result<(Server, Router), Box<dyn std::error::Error>> {
    let io = Server::builder().build()?;
    io.on("double", |Data(n): Data<i64>| n.checked_mul(2).ok_or("too large"));
    let service = TowerServiceCompat::<ReqBody, _, _, _>::compat(io.service());
    let router = Router::new()
        .get(page)
        // The path of the server, with the slash at its end.
        .push(Router::with_path("socket.io/{**rest}").goal(service));
    Ok((io, router))
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let (io, router) = service()?;
    let acceptor = TcpListener::new("127.0.0.1:3000").bind().await;
    println!("listening on http://127.0.0.1:3000");
    let server = salvo::Server::new(acceptor);
    let handle = server.handle();
    tokio::spawn(async move {
        io.shutdown_on(tokio::signal::ctrl_c(), Duration::from_secs(5)).await;
        handle.stop_graceful(Duration::from_secs(5));
    });
    server.serve(router).await;
    Ok(())
}
