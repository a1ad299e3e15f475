//! Socket.IO and Engine.IO servers inside actix-web, beside the application's own routes: polling, WebSockets, and the
//! upgrade from one to the other.
//!
//! ```no_run
//! use actix_web::{App, HttpServer, web};
//! use sansocket_actix_web::mount;
//! use sansocket_tokio::{Data, Server, Socket};
//! use std::time::Duration;
//!
//! #[tokio::main]
//! async fn main() -> std::io::Result<()> {
//!     let io = Server::builder().build().map_err(std::io::Error::other)?;
//!     io.on("say", async |socket: Socket, Data(text): Data<String>| socket.broadcast().emit("said", &text));
//!
//!     let served = io.clone();
//!     let server = HttpServer::new(move || {
//!         App::new().service(mount(&served)).route("/", web::get().to(async || "hello"))
//!     });
//!     let server = server.bind("127.0.0.1:3000")?.disable_signals().run();
//!     // On Ctrl-C the clients are told first, and come back to the next process by themselves.
//!     let handle = server.handle();
//!     tokio::spawn(async move {
//!         io.shutdown_on(tokio::signal::ctrl_c(), Duration::from_secs(5)).await;
//!         handle.stop(true).await;
//!     });
//!     server.await
//! }
//! ```
//!
//! The server is one of `sansocket-tokio`, on whose runtime actix-web runs. A session's task stays with the worker that
//! has answered its first request; rooms and broadcasts reach the sockets of all workers, because they share the server.
//!
//! # What a handler sees of actix-web
//!
//! `PeerAddr` and `Handshake` give the peer's address, the headers and the target as actix-web has read them. Values that
//! middleware has put on the request, such as a user, are handed on by [`Mounted::extensions`]:
//!
//! ```
//! use actix_web::{HttpMessage, HttpRequest};
//! use sansocket_tokio::{Extension, Server};
//!
//! #[derive(Clone)]
//! struct User(String);
//!
//! # fn run(io: Server) -> sansocket_actix_web::Mounted {
//! io.on("whoami", async |Extension(user): Extension<User>| user.0);
//! sansocket_actix_web::mount(&io).extensions(|request: &HttpRequest, extensions| {
//!     if let Some(user) = request.extensions().get::<User>() {
//!         extensions.insert(user.clone());
//!     }
//! })
//! # }
//! ```
//!
//! # Differences from sansocket's own listener
//!
//! * The limits on connections (`max_connections`) and the deadlines for heads are actix-web's: `max_connections`,
//!   `client_request_timeout` of `HttpServer`. `max_sessions` and all limits on sessions hold.
//! * Each WebSocket has a task of actix-web beside the session's, and passes its bytes on in pieces of up to 64 KiB, of
//!   which at most two wait in each direction.
//! * `compress` and other middleware must leave responses of this service alone: wrap the other routes in it, by a scope.
#![forbid(unsafe_code)]

mod stream;

use actix_web::dev::{AppService, HttpServiceFactory};
use actix_web::http::StatusCode;
use actix_web::{HttpRequest, HttpResponse, guard, web};
use bytes::Bytes;
use futures_channel::mpsc;
use futures_util::{SinkExt as _, StreamExt as _, TryStreamExt as _};
use http::{Extensions, Request, Uri};
use http_body_util::{BodyExt as _, Empty, StreamBody};
use hyper::body::Frame;
use sansocket_runtime::adapter::{ConnInfo, Endpoint, HostStream, Mount};
use std::fmt;
use std::io;
use std::sync::Arc;

/// Puts a server at its own path, which its builder has set. Register it before routes that match every path.
pub fn mount(server: &impl Mount) -> Mounted {
    Mounted { endpoint: server.mount_point(), extensions: None }
}

/// The function that hands values of actix-web's request on.
type HandOn = Arc<dyn Fn(&HttpRequest, &mut Extensions) + Send + Sync>;

/// A server that is mounted into actix-web: what [`mount`] returns, for `App::service` and its like.
#[derive(Clone)]
#[must_use]
pub struct Mounted {
    endpoint: Endpoint,
    extensions: Option<HandOn>,
}

impl Mounted {
    /// Sets what hands values on to the handlers' `Extension<T>`, from each request that opens a session or belongs to one.
    pub fn extensions(
        mut self,
        hand_on: impl Fn(&HttpRequest, &mut Extensions) + Send + Sync + 'static,
    ) -> Self {
        self.extensions = Some(Arc::new(hand_on));
        self
    }

    async fn answer(self, request: HttpRequest, payload: web::Payload) -> HttpResponse {
        let Some((mut converted, peer)) = convert(&request) else {
            return HttpResponse::BadRequest().finish();
        };
        if let Some(hand_on) = &self.extensions {
            hand_on(&request, converted.extensions_mut());
        }
        let wants_websocket = converted.headers().contains_key(http::header::UPGRADE);
        if !wants_websocket && request.method() == actix_web::http::Method::GET {
            let response = self.endpoint.respond(converted.map(|()| Empty::<Bytes>::new()), peer).await;
            return plain(response).await;
        }
        let incoming = pass_on(payload);
        if !wants_websocket {
            let body = StreamBody::new(incoming.map_ok(Frame::data));
            return plain(self.endpoint.respond(converted.map(|()| body), peer).await).await;
        }
        let (stream, outgoing) = stream::HostIo::new(incoming);
        converted.extensions_mut().insert(HostStream::new(stream));
        let response = self.endpoint.respond(converted.map(|()| Empty::<Bytes>::new()), peer).await;
        if response.status() != http::StatusCode::SWITCHING_PROTOCOLS {
            return plain(response).await;
        }
        let mut switched = head(&response);
        switched.upgrade("websocket").streaming(outgoing)
    }
}

impl HttpServiceFactory for Mounted {
    fn register(self, config: &mut AppService) {
        let endpoint = self.endpoint.clone();
        let is_for_it = guard::fn_guard(move |context| {
            let target = context.head().uri.path_and_query().map_or("/", |target| target.as_str());
            endpoint.matches(target)
        });
        let answer = move |request: HttpRequest, payload: web::Payload| self.clone().answer(request, payload);
        web::resource("{tail:.*}").guard(is_for_it).route(web::route().to(answer)).register(config);
    }
}

impl fmt::Debug for Mounted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Mounted").field("endpoint", &self.endpoint).finish_non_exhaustive()
    }
}

/// The request's head in the types of the crate `http` 1, which actix-web does not use yet, and its connection.
fn convert(request: &HttpRequest) -> Option<(Request<()>, ConnInfo)> {
    let uri: Uri = request.uri().to_string().parse().ok()?;
    let mut converted = Request::builder().method(request.method().as_str()).uri(uri);
    for (name, value) in request.headers() {
        converted = converted.header(name.as_str(), value.as_bytes());
    }
    let peer = ConnInfo { peer: request.peer_addr(), secure: request.app_config().secure() };
    Some((converted.body(()).ok()?, peer))
}

/// The bytes that the client sends, as they come: read ahead of their reader by one piece.
fn pass_on(mut payload: web::Payload) -> mpsc::Receiver<io::Result<Bytes>> {
    let (mut sender, receiver) = mpsc::channel(0);
    // actix-web's payload stays on its thread, and the session may be on another one.
    actix_web::rt::spawn(async move {
        while let Some(piece) = payload.next().await {
            let piece = piece.map_err(|error| io::Error::other(error.to_string()));
            if sender.send(piece).await.is_err() {
                return;
            }
        }
    });
    receiver
}

/// The status and the headers of a response.
fn head(response: &http::Response<sansocket_runtime::ResponseBody>) -> actix_web::HttpResponseBuilder {
    let status =
        StatusCode::from_u16(response.status().as_u16()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let mut head = HttpResponse::build(status);
    for (name, value) in response.headers() {
        match name.as_str() {
            // actix-web's own affair.
            "content-length" | "upgrade" => {}
            "connection" if value.as_bytes().eq_ignore_ascii_case(b"close") => {
                head.force_close();
            }
            "connection" => {}
            name => {
                head.append_header((name, value.as_bytes()));
            }
        }
    }
    head
}

/// A response that is not the beginning of a WebSocket.
async fn plain(response: http::Response<sansocket_runtime::ResponseBody>) -> HttpResponse {
    let mut head = head(&response);
    let Ok(body) = response.into_body().collect().await;
    head.body(body.to_bytes())
}

/// The code of this crate's README compiles.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
