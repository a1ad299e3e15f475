//! Socket.IO and Engine.IO for smol and async-std: a server for the official JavaScript and Python clients, and a client
//! for the official servers.
//!
//! Everything here has the name that it has in [`sansocket-tokio`](https://docs.rs/sansocket-tokio), whose page explains
//! handlers, extractors, rooms and acknowledgements, with tables for those who come from JavaScript or Python. This page
//! has what differs.
//!
//! # A server
//!
#![cfg_attr(feature = "async-std", doc = "```no_run\nuse async_std::task::block_on;")]
#![cfg_attr(not(feature = "async-std"), doc = "```no_run\nuse smol::block_on;")]
//! use sansocket_async_std::{Data, EmitError, Server, Socket};
//!
//! fn main() -> Result<(), Box<dyn std::error::Error>> {
//!     let io = Server::builder().build()?;
//!
//!     io.on("message", async |socket: Socket, Data(text): Data<String>| {
//!         socket.broadcast().emit("message", &text)?; // to everybody else
//!         Ok::<_, EmitError>(text.len()) // the acknowledgement, if the client asked for one
//!     });
//!
//!     block_on(async {
//!         io.listen("127.0.0.1:3000").await?.wait().await;
//!         Ok(())
//!     })
//! }
//! ```
//!
//! # A client
//!
//! ```no_run
//! use sansocket_async_std::{Client, Data};
//!
//! # async fn run() -> Result<(), Box<dyn std::error::Error>> {
//! let client = Client::builder("http://127.0.0.1:3000").build()?;
//! client.on("message", async |Data(text): Data<String>| println!("somebody said {text}"));
//! client.connect().await?;
//!
//! let length: usize = client.call("message", &"hello").await?; // its acknowledgement
//! # Ok(()) }
//! ```
//!
//! It is one task on the chosen executor. Its connections are async-io's, so it may be started from any thread.
//!
//! # Features
//!
//! The crate reads and writes by futures-io and async-io, the reactor of smol and of async-std. Its features choose the
//! executor of the tasks:
//!
//! | feature | default | what it adds |
//! |---|---|---|
//! | `async-std` | yes | the runtime `AsyncStd`, which servers and clients use unless told otherwise |
//! | `smol` | no | the runtime `Smol`, which they use if `async-std` is off |
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
//! async-std is no longer developed ([RUSTSEC-2025-0052](https://rustsec.org/advisories/RUSTSEC-2025-0052)): new
//! programs take `default-features = false, features = ["smol", "tracing"]`, and have no async-std among their
//! dependencies. With both executors on, `Server::builder().runtime(Smol)` makes a server that runs on smol beside others
//! on async-std.
//!
//! # Differences from `sansocket-tokio`
//!
//! * There is no feature `mount`: the frameworks that a server is mounted into are tokio's. [`Server::service`] and
//!   [`Server::layer`] exist all the same, for hosts made of tower services.
//! * `Listener::from` takes async-io's `Async<TcpListener>`.
//! * Blocking work belongs to `unblock` (of the crate `blocking`, or `smol::unblock`), timers to `async_io::Timer`, tasks
//!   to the executor.
//! * smol runs tasks on one thread unless the environment variable `SMOL_THREADS` says how many.
//!
//! A program moves over by changing the crate's name and the attribute of `main`.
//!
//! The examples of items that come from `sansocket-runtime` and `sansocket-protocol` name those crates. An application
//! imports the same items from `sansocket_async_std`.
#![cfg_attr(docsrs, feature(doc_cfg))]
#![forbid(unsafe_code)]

#[cfg(not(any(feature = "async-std", feature = "smol")))]
compile_error!(
    "sansocket-async-std needs to know who runs its tasks: turn on the feature `async-std` or `smol`"
);

mod dial;
mod io;
mod listener;
mod runtime;
mod server;

#[cfg(feature = "async-std")]
pub use runtime::AsyncStd;
#[cfg(feature = "smol")]
pub use runtime::Smol;
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

/// The code of this crate's README compiles.
#[cfg(all(doctest, feature = "smol"))]
#[doc = include_str!("../README.md")]
struct Readme;
