//! Socket.IO and Engine.IO for async-std and smol.
//!
#![cfg_attr(feature = "async-std", doc = "```no_run\nuse async_std::task::block_on;")]
#![cfg_attr(not(feature = "async-std"), doc = "```no_run\nuse smol::block_on;")]
//! use sansocket_async_std::{Data, Server, Socket};
//!
//! fn main() -> Result<(), Box<dyn std::error::Error>> {
//!     let io = Server::builder().build()?;
//!
//!     io.namespace("/").on("message", async |socket: Socket, Data(text): Data<String>| {
//!         // Everybody gets it, and the sender's acknowledgement is the number of its characters.
//!         socket.namespace().emit("message", &text)?;
//!         Ok::<_, sansocket_async_std::EmitError>(text.chars().count())
//!     });
//!
//!     block_on(async {
//!         io.listen("127.0.0.1:3000").await?.wait().await;
//!         Ok(())
//!     })
//! }
//! ```
//!
//! What is here has the names that it has in `sansocket-tokio`: a program moves from one to the other by the name of
//! the crate and the attribute of `main`. [`Server`] speaks Socket.IO; [`EngineServer`] is Engine.IO alone; both
//! listen by themselves ([`Listener`]).
//!
//! The crate reads and writes by futures-io and async-io, which is the reactor of async-std and of smol. Its features
//! choose who runs the tasks:
//!
//! | feature | runtime | is the default |
//! |---|---|---|
//! | `async-std`, on unless turned off | `AsyncStd` | whenever it is on |
//! | `smol` | `Smol` | if `async-std` is off |
//!
//! With both on, `Server::builder().runtime(Smol)` makes a server that runs on smol beside others on async-std. With
//! `default-features = false, features = ["smol"]` there is no async-std among the dependencies. async-std itself is
//! no longer developed (RUSTSEC-2025-0052): new programs take smol.
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
