//! Socket.IO and Engine.IO for tokio: a server for the official JavaScript and Python clients, and a client for the
//! official servers.
//!
//! The wire is Socket.IO protocol 5 over Engine.IO protocol 4, which Socket.IO 3 and 4 speak.
//!
//! # A server
//!
//! ```no_run
//! use sansocket_tokio::{Data, EmitError, Server, Socket};
//!
//! #[tokio::main]
//! async fn main() -> Result<(), Box<dyn std::error::Error>> {
//!     let io = Server::builder().build()?;
//!
//!     io.on("message", async |socket: Socket, Data(text): Data<String>| {
//!         socket.broadcast().emit("message", &text)?; // to everybody else
//!         Ok::<_, EmitError>(text.len()) // the acknowledgement, if the client asked for one
//!     });
//!
//!     let listening = io.listen("127.0.0.1:3000").await?;
//!     println!("listening on {}", listening.local_addr());
//!     listening.wait().await; // until `io.shutdown(..)`
//!     Ok(())
//! }
//! ```
//!
//! [`Server`] speaks Socket.IO; [`EngineServer`] is Engine.IO alone. Both listen by themselves ([`Listener`] puts several
//! of them, TLS and a page or two on one port), or mount into axum and anything else that is made of tower services:
//!
//! ```no_run
//! # use axum::{Router, routing::get};
//! # async fn run(io: sansocket_tokio::Server) -> std::io::Result<()> {
//! // The layer answers what begins with `/socket.io/`, and passes everything else on to the routes.
//! let router = Router::new().route("/", get(async || "hello")).layer(io.layer());
//! axum::serve(tokio::net::TcpListener::bind("127.0.0.1:3000").await?, router).await
//! # }
//! ```
//!
//! # Rooms
//!
//! A socket joins and leaves rooms; a [`Broadcast`] selects sockets by them. From a [`Socket`] it leaves that socket out,
//! from a [`Namespace`] or the [`Server`] it does not. A socket's id is a room with that socket alone.
//!
//! ```
//! # use sansocket_tokio::{Data, EmitError, HubError, Server, Socket};
//! # fn register(io: &Server) -> Result<(), EmitError> {
//! io.on("enter", async |socket: Socket, Data(room): Data<String>| socket.join(&room).map(|_| ()));
//! io.on("say", async |socket: Socket, Data((room, text)): Data<(String, String)>| {
//!     socket.to(&room).emit("said", &text) // to the others in the room
//! });
//!
//! // From anywhere, whoever has the server:
//! io.emit("news", &"tea is ready")?;
//! io.to("kitchen").to("cellar").except("asleep").emit("news", &("tea is ready", 2))?;
//! io.namespace("/admin").emit("load", &0.5)?;
//! # Ok(()) }
//! ```
//!
//! # An awaited acknowledgement
//!
//! A handler's return value acknowledges the event. In the other direction, [`Socket::emit_with_ack`] and
//! [`Broadcast::emit_with_ack`] send an event and await what the client answers, with a time limit. The client's
//! [`call`](ClientSocket::call) does the same towards the server.
//!
//! ```
//! # use sansocket_tokio::{AckError, Server, Socket};
//! # use std::time::Duration;
//! # fn register(io: &Server) {
//! io.on("order", async |socket: Socket| {
//!     let answer = socket.emit_with_ack("with milk?", &(), Duration::from_secs(10)).await?;
//!     let milk: bool = answer.decode()?;
//!     Ok::<_, AckError>(if milk { "white" } else { "black" })
//! });
//! # }
//! ```
//!
//! # A client
//!
//! ```no_run
//! use sansocket_tokio::{Client, ClientSocket, Data};
//!
//! #[tokio::main]
//! async fn main() -> Result<(), Box<dyn std::error::Error>> {
//!     let client = Client::builder("http://127.0.0.1:3000").build()?;
//!     client.on("message", async |Data(text): Data<String>| println!("somebody said {text}"));
//!     client.on_connect(async |socket: ClientSocket| println!("connected as {:?}", socket.id()));
//!     client.connect().await?; // the server has let us in
//!
//!     let length: usize = client.call("message", &"hello").await?; // its acknowledgement
//!     println!("acknowledged: {length}");
//!     client.closed().await; // a connection that is lost is made again; this is the end
//!     Ok(())
//! }
//! ```
//!
//! [`Client`] begins with long-polling and moves to a WebSocket, reconnects with growing delays, and keeps what is emitted
//! meanwhile. [`ClientSocket::namespace`] is another namespace on the same connection; [`ClientSocket::events`] is a loop
//! in place of handlers; [`EngineClient`] is Engine.IO alone.
//!
//! # Features
//!
//! | feature | default | what it adds |
//! |---|---|---|
//! | `mount` | yes | inside axum, or another host on hyper-util's server, a WebSocket gets the raw TCP stream back; without it mounting works too, with an extra layer and its buffers |
//! | `tracing` | yes | messages of `tracing`: errors of handlers, warnings with the setting concerned, and at debug level the reason of each refusal |
//! | `cluster` | no | servers as nodes of a cluster: broadcasts reach the clients of several processes; [the page](https://github.com/sansocket/sansocket/blob/main/docs/cluster.md) |
//! | `typescript` | no | `TypeScript`: typed events as declarations for pages |
//! | `admin` | no | `instrument`, for the page of npm's `@socket.io/admin-ui`: [what it shows, and to whom](https://github.com/sansocket/sansocket/blob/main/docs/admin.md) |
//! | `client-bundle` | no | `serve_client_bundle`: the browser's client as part of the program |
//! | `http2` | no | a server's own listener speaks HTTP/2 for polls |
//! | `metrics` | no | servers record metrics, for Prometheus and others: [the table](https://github.com/sansocket/sansocket/blob/main/docs/metrics.md) |
//! | `record` | no | servers record sessions that fail, for `sansocket replay` of the command-line tool |
//! | `testing` | no | the module `testing`: clients without a network, in virtual time, for the tests of applications |
//! | `idn` | no | clients reach hosts whose names have letters beyond ASCII, as in `http://bücher.example` |
//! | `tls` | no | TLS by rustls: `Listener::tls`, and `ClientBuilder::tls` for `https` and `wss` |
//! | `platform-verifier` | no | clients trust what the system trusts; brings `tls` and ring, which needs a C compiler |
//!
//! Features whose names begin with `test-` serve the tests of this crate.
#![doc = include_str!("../docs/handlers.md")]
#![doc = include_str!("../docs/extractors.md")]
#![doc = include_str!("../docs/parsers.md")]
#![doc = include_str!("../docs/testing.md")]
#![doc = include_str!("../docs/from-javascript.md")]
#![doc = include_str!("../docs/from-python.md")]
//!
//! # Where to look
//!
//! | for | see |
//! |---|---|
//! | options of a server, of a client | [`ServerBuilder`], [`ClientBuilder`], [`EngineServerBuilder`], [`EngineClientBuilder`] |
//! | namespaces, one client of a server, many of them | [`Namespace`], [`DynamicNamespace`], [`Socket`], [`Broadcast`] |
//! | a client's namespaces, its loop over events | [`ClientSocket`], [`Events`] |
//! | arguments whose types are not known in advance | [`Args`], [`ToArgs`] |
//! | what was refused, and how much there is | [`Stats`], [`RefusedRequest`] |
//! | other origins, cookies, transports, rates | [`Origins`], [`Cookie`], [`Transports`], [`Rate`] |
//! | another way to make connections | [`Dial`] |
//! | async-std and smol | the crate `sansocket-async-std`, which has the same names |
//! | another async runtime | the crate `sansocket-runtime` |
//! | the protocols without any I/O | the crate `sansocket-protocol` |
//!
//! The examples of items that come from `sansocket-runtime` and `sansocket-protocol` name those crates. An application
//! imports the same items from `sansocket_tokio`.
//!
//! The limits on what a peer may do, with their defaults, are in the project's
//! [SECURITY.md](https://github.com/sansocket/sansocket/blob/main/SECURITY.md); the differences from the JavaScript
//! server in [deviations.md](https://github.com/sansocket/sansocket/blob/main/docs/deviations.md).
#![cfg_attr(docsrs, feature(doc_cfg))]
#![forbid(unsafe_code)]

mod dial;
mod listener;
mod runtime;
mod server;
mod thread;

pub use runtime::Tokio;
pub use server::{
    Client, ClientBuilder, EngineClient, EngineClientBuilder, EngineServer, EngineServerBuilder, Listener,
    Server, ServerBuilder, blocking,
};

/// Bytes in arguments travel as binary.
pub use bytes::Bytes;
#[cfg(feature = "record")]
pub use sansocket_runtime::Recordings;
#[cfg(feature = "typescript")]
pub use sansocket_runtime::TypeScript;
pub use sansocket_runtime::adapter::{BoxFuture, Dial, Endpoint, Mount, Stream};
#[cfg(feature = "admin")]
pub use sansocket_runtime::admin;
/// The crate whose types are in the signatures of hooks, of [`Handshake`] and of [`RefusedRequest`].
pub use sansocket_runtime::http_types as http;
#[cfg(feature = "metrics")]
pub use sansocket_runtime::metrics;
#[cfg(feature = "testing")]
pub use sansocket_runtime::testing;
pub use sansocket_runtime::{
    Ack, AckError, Answer, Answers, AnyNamespace, Args, ArgsError, Attempt, Auth, BoxError, Broadcast,
    BroadcastAckError, BuildError, ClientBuildError, ClientEmitter, ClientSocket, ClientState, Closed,
    ConnectError, ConnectionEvent, Cookie, CookieError, Data, DataError, DeflateSettingError,
    DisconnectReason, DynamicNamespace, EmitError, EmptiedRooms, EncodeError, EngineClientSocket,
    EngineError, EngineSocket, Error, EventExcess, EventFlow, EventName, Events, Extension, Handler,
    HandlerError, HandlerFailure, Handshake, HubError, IntoAck, LimitCounts, Limits, ListenerHandle,
    Listening, Message, Messages, NameParts, Namespace, NamespaceRequest, OriginError, Origins, Overflow,
    Parser, PeerAddr, PeerError, PerMessageDeflate, Rate, ReceiveError, Received, Refusal, RefusalCode,
    RefusedRequest, RequestHead, ResponseBody, RoomEvent, Rooms, SameSite, SendError, ServerAddrError,
    ServerLayer, ServerRefusal, ServerService, Socket, SocketEmitter, SocketError, State, Stats, Timed,
    ToArgs, TransportKind, Transports, TryData, TypedEvent, WeakServer, ack, extract, handler,
};
pub use sansocket_runtime::{CustomPacket, CustomParser, Date};
pub use sansocket_runtime::{ENGINE_PROTOCOL, SOCKET_PROTOCOL};
#[cfg(feature = "cluster")]
pub use sansocket_runtime::{Incomplete, RemoteSocket, ServerSideError, cluster};
pub use sansocket_runtime::{UnrecoveredSession, recovery};

#[cfg(doctest)]
mod guides;

/// The code of this crate's README compiles.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;

/// The code of the project's README compiles.
#[cfg(doctest)]
#[doc = include_str!("../../README.md")]
struct ProjectReadme;
