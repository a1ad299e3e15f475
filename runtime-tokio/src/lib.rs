//! Socket.IO and Engine.IO for tokio.
//!
//! ```no_run
//! use sansocket_tokio::{Data, Server, Socket};
//!
//! #[tokio::main]
//! async fn main() -> Result<(), Box<dyn std::error::Error>> {
//!     let io = Server::builder().build()?;
//!
//!     io.namespace("/").on("message", async |socket: Socket, Data(text): Data<String>| {
//!         // Everybody gets it, and the sender's acknowledgement is the number of its characters.
//!         socket.namespace().emit("message", &text)?;
//!         Ok::<_, sansocket_tokio::EmitError>(text.chars().count())
//!     });
//!
//!     io.listen("127.0.0.1:3000").await?.wait().await;
//!     Ok(())
//! }
//! ```
//!
//! [`Server`] speaks Socket.IO; [`EngineServer`] is Engine.IO alone. Both listen by themselves ([`Listener`]),
//! or mount into axum and anything else that is made of tower services ([`Server::service`], [`Server::layer`]).
//!
//! What the reference calls `in` is `within` here, since `in` is a keyword.
#![forbid(unsafe_code)]

mod dial;
mod listener;
mod runtime;
mod server;

pub use runtime::Tokio;
pub use server::{
    Client, ClientBuilder, EngineClient, EngineClientBuilder, EngineServer, EngineServerBuilder, Listener,
    Server, ServerBuilder,
};

/// Bytes in arguments travel as binary.
pub use bytes::Bytes;
pub use sansocket_runtime::adapter::{BoxFuture, Dial, Endpoint, Mount, Stream};
pub use sansocket_runtime::{
    Ack, AckError, Args, ArgsError, Attempt, Auth, Broadcast, BroadcastAckError, BuildError,
    ClientBuildError, ClientSocket, ClientState, Closed, ConnectError, ConnectionEvent, Cookie, Cors, Data,
    DataError, DisconnectReason, DynamicNamespace, EmitError, EncodeError, EngineClientSocket, EngineError,
    EngineSocket, EventExcess, EventName, Events, Extension, Handler, HandlerError, Handshake, HubError,
    IntoAck, LimitCounts, Listening, Message, Messages, Namespace, Origins, Overflow, Parser, PeerAddr,
    PeerError, Rate, ReceiveError, Received, Refusal, RefusalCode, RefusedRequest, ResponseBody, SendError,
    ServerAddrError, ServerLayer, ServerRefusal, ServerService, Socket, SocketError, State, Stats, ToArgs,
    TransportKind, Transports, TryData, ack, extract, handler,
};

/// The code of the README compiles.
#[cfg(doctest)]
#[doc = include_str!("../../README.md")]
struct Readme;
