//! Flask-SocketIO's example `sessions.py`: a session of the site that routes and Socket.IO handlers share, here by
//! tower-sessions. What one of them changes, the other sees.
//!
//! ```text
//! cd hosts/examples && cargo run --example axum_sessions
//! ```

use axum::routing::get;
use axum::{Json, Router};
use sansocket_tokio::{BoxError, Data, Extension, Origins, Server, Socket};
use serde::{Deserialize, Serialize};
use serde_json::json;
use std::time::Duration;
use tower_sessions::session::Error;
use tower_sessions::{MemoryStore, Session, SessionManagerLayer};

const KEY: &str = "value";

#[derive(Deserialize, Serialize)]
struct Value {
    session: String,
}

async fn read(session: &Session) -> Result<Value, Error> {
    Ok(Value { session: session.get(KEY).await?.unwrap_or_default() })
}

async fn show(session: Session) -> Result<Json<Value>, String> {
    read(&session).await.map(Json).map_err(|error| error.to_string())
}

async fn change(session: Session, Json(value): Json<Value>) -> Result<(), String> {
    session.insert(KEY, value.session).await.map_err(|error| error.to_string())
}

async fn get_session(socket: Socket, Extension(session): Extension<Session>) -> Result<(), BoxError> {
    session.load().await?; // a route may have changed it since the handshake
    socket.emit("refresh-session", &json!(read(&session).await?))?;
    Ok(())
}

async fn set_session(
    socket: Socket,
    Extension(session): Extension<Session>,
    Data(value): Data<Value>,
) -> Result<(), BoxError> {
    session.insert(KEY, &value.session).await?;
    session.save().await?; // the layer does that for routes only
    socket.emit("refresh-session", &value)?;
    Ok(())
}

/// The application. Sessions are cookies, so only pages of this host may connect.
pub fn service() -> Result<(Server, Router), Box<dyn std::error::Error>> {
    let io = Server::builder().origins(Origins::same_host()).build()?;
    io.on("get-session", get_session).on("set-session", set_session);
    let sessions = SessionManagerLayer::new(MemoryStore::default()).with_secure(false); // true behind TLS
    let router = Router::new().route("/session", get(show).post(change)).layer(io.layer()).layer(sessions);
    Ok((io, router))
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let (io, router) = service()?;
    let listener = tokio::net::TcpListener::bind("127.0.0.1:3000").await?;
    println!("listening on http://{}", listener.local_addr()?);
    axum::serve(listener, router)
        .with_graceful_shutdown(io.shutdown_on(tokio::signal::ctrl_c(), Duration::from_secs(5)))
        .await?;
    Ok(())
}
