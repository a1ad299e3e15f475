//! Socket.IO inside an axum application, beside ordinary routes, with shared state and a login.
//!
//! ```text
//! cargo run -p sansocket-tokio --example axum
//! curl http://127.0.0.1:3000/            # how many visitors there were
//! ```
//!
//! A client connects with `io("http://127.0.0.1:3000", { auth: { name: "ada", password: "lovelace" } })` and
//! emits `visit`, whose acknowledgement is the number of visits so far.

use axum::Router;
use axum::extract::{ConnectInfo, Request, State as AxumState};
use axum::middleware::map_request;
use axum::routing::get;
use sansocket_tokio::{Auth, PeerAddr, Refusal, Server, Socket, State};
use serde::Deserialize;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// The state that routes and handlers share.
#[derive(Clone, Default)]
struct App {
    visits: Arc<AtomicU64>,
}

#[derive(Deserialize)]
struct Login {
    name: String,
    password: String,
}

struct Name(String);

async fn log_in(socket: Socket, login: Option<Auth<Login>>) -> Result<(), Refusal> {
    let Some(Auth(login)) = login else { return Err("a name and a password are needed".into()) };
    if login.password != "lovelace" {
        return Err("wrong password".into());
    }
    socket.insert(Name(login.name));
    Ok(())
}

async fn visit(socket: Socket, PeerAddr(peer): PeerAddr, State(app): State<App>) -> u64 {
    if let Some(name) = socket.get::<Name>() {
        println!("{} visits from {peer}", name.0);
    }
    app.visits.fetch_add(1, Ordering::Relaxed) + 1
}

async fn visits(AxumState(app): AxumState<App>) -> String {
    format!("{} visits\n", app.visits.load(Ordering::Relaxed))
}

/// For `PeerAddr`, and for the limits that count by address: axum keeps the peer's address in a type of its own.
async fn tell_peer(ConnectInfo(peer): ConnectInfo<SocketAddr>, mut request: Request) -> Request {
    request.extensions_mut().insert(peer);
    request
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let port = std::env::var("PORT").ok().and_then(|port| port.parse().ok()).unwrap_or(3000);
    let app = App::default();
    let io = Server::builder().state(app.clone()).build()?;
    io.namespace("/").on_connect(log_in).on("visit", visit);

    // The layer answers what begins with `/socket.io/`, and passes everything else on to the routes.
    let router =
        Router::new().route("/", get(visits)).with_state(app).layer(io.layer()).layer(map_request(tell_peer));
    let listener = tokio::net::TcpListener::bind(("127.0.0.1", port)).await?;
    println!("listening on {}", listener.local_addr()?);
    // On Ctrl-C the clients are told, and come back to the next process by themselves.
    let signal = tokio::signal::ctrl_c();
    axum::serve(listener, router.into_make_service_with_connect_info::<SocketAddr>())
        .with_graceful_shutdown(io.shutdown_on(signal, Duration::from_secs(5)))
        .await?;
    Ok(())
}
