//! A service on axum: users log in by HTTP, and their tokens (JWT) open Socket.IO connections; tower-http's layers see the
//! requests of both; on Ctrl-C clients are told before the process ends.
//!
//! ```text
//! cd hosts/examples && JWT_KEY=something-long cargo run --example axum_service
//! curl -d '{"name":"ada","password":"lovelace"}' -H 'content-type: application/json' http://127.0.0.1:3000/login
//! ```
//!
//! A page connects with `io("http://127.0.0.1:3000", { auth: { token } })`, and hears `note` when somebody does
//! `curl -X POST http://127.0.0.1:3000/notify/ada/hello`.

use axum::extract::{Path, State as AxumState};
use axum::http::{HeaderName, StatusCode};
use axum::routing::post;
use axum::{Json, Router};
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation, decode, encode};
use sansocket_tokio::{Auth, Error, Extension, Refusal, Server, Socket, State};
use serde::{Deserialize, Serialize};
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tower_http::request_id::{MakeRequestUuid, PropagateRequestIdLayer, RequestId, SetRequestIdLayer};
use tower_http::trace::TraceLayer;

/// The state that routes and handlers share.
#[derive(Clone)]
struct App {
    key: String,
    tokens_last: Duration,
}

#[derive(Deserialize)]
struct Login {
    name: String,
    password: String,
}

#[derive(Deserialize, Serialize)]
struct Claims {
    sub: String,
    /// Seconds since 1970.
    exp: u64,
}

#[derive(Deserialize)]
struct Token {
    token: String,
}

/// The user of a socket, kept with it.
struct User(String);

fn now() -> Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()
}

impl App {
    fn sign(&self, name: &str) -> Result<String, jsonwebtoken::errors::Error> {
        let claims = Claims { sub: name.into(), exp: (now() + self.tokens_last).as_secs() };
        encode(&Header::default(), &claims, &EncodingKey::from_secret(self.key.as_bytes()))
    }

    /// The client hears no more than that, and fetches another token.
    fn verify(&self, token: &str) -> Result<Claims, Refusal> {
        let mut rules = Validation::new(Algorithm::HS256);
        rules.leeway = 0;
        let decoded = decode::<Claims>(token, &DecodingKey::from_secret(self.key.as_bytes()), &rules);
        Ok(decoded.map_err(|_| Refusal::new("token expired"))?.claims)
    }
}

async fn login(
    AxumState((app, _)): AxumState<Shared>,
    Json(login): Json<Login>,
) -> Result<String, StatusCode> {
    // Yours: a look into a database, with a hash in place of the password.
    if login.password != "lovelace" {
        return Err(StatusCode::UNAUTHORIZED);
    }
    app.sign(&login.name).map_err(|_| StatusCode::INTERNAL_SERVER_ERROR)
}

/// A route that reaches sockets: those of one user, in all of their tabs.
async fn notify(
    AxumState((_, io)): AxumState<Shared>,
    Path((name, note)): Path<(String, String)>,
) -> Result<(), StatusCode> {
    io.to(format!("user:{name}")).emit("note", &note).map_err(|_| StatusCode::INTERNAL_SERVER_ERROR)
}

async fn let_in(State(app): State<App>, socket: Socket, Auth(token): Auth<Token>) -> Result<(), Error> {
    let claims = app.verify(&token.token)?;
    socket.join(format!("user:{}", claims.sub))?;
    socket.insert(User(claims.sub));
    // The connection outlives the token, unless somebody ends it.
    tokio::spawn(async move {
        tokio::time::sleep(Duration::from_secs(claims.exp).saturating_sub(now())).await;
        socket.disconnect();
    });
    Ok(())
}

/// The user's name, and the id that tower-http's layer gave to the request of the handshake.
fn whoami(socket: Socket, request: Option<Extension<RequestId>>) -> (Option<String>, Option<String>) {
    let id = request.and_then(|Extension(id)| id.header_value().to_str().ok().map(str::to_owned));
    (socket.get::<User>().map(|user| user.0.clone()), id)
}

type Shared = (App, Server);

/// The service, whose tokens are good for that long.
pub fn service(key: &str, tokens_last: Duration) -> Result<(Server, Router), Box<dyn std::error::Error>> {
    let app = App { key: key.into(), tokens_last };
    let io = Server::builder().state(app.clone()).build()?;
    io.on_connect(let_in).on("whoami", whoami);
    let id = HeaderName::from_static("x-request-id");
    let router = Router::new()
        .route("/login", post(login))
        .route("/notify/{name}/{note}", post(notify))
        .with_state((app, io.clone()))
        // Layers that come later are outside: those below see Socket.IO's requests, too. Timeouts and limits on bodies belong
        // above this line, because a poll waits for up to 25 s.
        .layer(io.layer())
        .layer(PropagateRequestIdLayer::new(id.clone()))
        .layer(TraceLayer::new_for_http())
        .layer(SetRequestIdLayer::new(id, MakeRequestUuid));
    Ok((io, router))
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    tracing_subscriber::fmt().init();
    let (io, router) = service(&std::env::var("JWT_KEY")?, Duration::from_secs(900))?;
    let listener = tokio::net::TcpListener::bind("127.0.0.1:3000").await?;
    println!("listening on http://{}", listener.local_addr()?);
    axum::serve(listener, router)
        .with_graceful_shutdown(io.shutdown_on(tokio::signal::ctrl_c(), Duration::from_secs(5)))
        .await?;
    Ok(())
}
