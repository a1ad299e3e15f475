//! Socket.IO and Engine.IO for any async runtime: handlers, sessions, HTTP, WebSocket frames, and the client.
//!
//! **Applications do not use this crate.** They take an adapter, which offers all of it under its own name:
//! [`sansocket-tokio`](https://docs.rs/sansocket-tokio) for tokio and axum, or
//! [`sansocket-async-std`](https://docs.rs/sansocket-async-std) for smol and async-std.
//!
//! **Authors of adapters** find everything that an adapter implements and calls in [`adapter`](mod@adapter), with a guide.
//!
//! ```text
//!   your adapter           an impl of Runtime, a stream, a listening socket, an impl of Dial
//!   sansocket-runtime      handlers, one task per session or client, HTTP, tower, WebSocket frames
//!   sansocket-protocol     pure state machines: no I/O, no clock, no futures
//! ```
//!
//! | for | see |
//! |---|---|
//! | an adapter of your own | [`adapter`](mod@adapter) |
//! | handlers, and what they may take and return | [`handler`], [`extract`], [`ack`] |
//! | a server as its application holds it | [`ServerBuilder`], [`Server`], [`Namespace`], [`Socket`], [`Broadcast`] |
//! | a client as its application holds it | [`ClientBuilder`], [`Client`], [`ClientSocket`], [`Events`] |
//! | plain Engine.IO | [`EngineServer`], [`EngineSocket`], [`EngineClientSocket`] |
//! | tests of applications, without a network and in virtual time | `testing`, with the feature of that name |
//! | hosts made of tower services | [`ServerService`], [`ServerLayer`] |
//! | WebSocket frames as pure state | [`websocket`] |
#![cfg_attr(docsrs, feature(doc_cfg))]
#![forbid(unsafe_code)]

pub mod adapter;
#[cfg(feature = "admin")]
pub mod admin;
mod base;
mod client;
#[cfg(feature = "cluster")]
pub mod cluster;
mod engine;
pub mod handler;
mod http;
#[cfg(feature = "metrics")]
pub use base::metrics;
mod server;
mod session;
#[cfg(feature = "testing")]
pub mod testing;
pub mod websocket;

// For applications, which see them through their adapter: servers.
pub use engine::server::{EngineServer, EngineSocket};
pub use http::builder::ServerBuilder;
pub use http::convert::ResponseBody;
pub use http::handshake::Handshake;
pub use http::limits::Limits;
pub use http::listener::Listening;
pub use http::options::BuildError;
#[cfg(feature = "record")]
pub use http::recordings::Recordings;
pub use http::refused::RefusedRequest;
pub use http::tower::{LayeredService, ServerLayer, ServerService};
pub use server::answers::{Answer, Answers};
pub use server::any::AnyNamespace;
pub use server::broadcast::Broadcast;
pub use server::dynamic::{DynamicNamespace, NamespaceRequest};
pub use server::emitter::SocketEmitter;
pub use server::namespace::Namespace;
#[cfg(feature = "cluster")]
pub use server::remote::{Incomplete, RemoteSocket};
pub use server::rooms::Rooms;
pub use server::server::Server;
#[cfg(feature = "cluster")]
pub use server::server_side::ServerSideError;
pub use server::socket::Socket;
pub use server::state::WeakServer;
pub use server::unrecovered::UnrecoveredSession;
pub use session::stats::{LimitCounts, Stats};

// Clients.
pub use client::blocking;
pub use client::{
    Attempt, Client, ClientBuildError, ClientBuilder, ClientEmitter, ClientSocket, ConnectError,
    ConnectionEvent, EngineClientSocket, Events, Messages, ReceiveError, Received, ServerAddr,
    ServerAddrError, ServerRefusal, TransportKind,
};
pub use sansocket_protocol::client::ClientState;

// Handlers, and what goes through them.
pub use base::error::{
    AckError, BoxError, BroadcastAckError, EmitError, Error, HandlerError, HandlerFailure, Refusal,
};
pub use handler::ack::{Ack, IntoAck};
pub use handler::extract::{
    Auth, Data, DisconnectReason, EmptiedRooms, EventName, Extension, NameParts, PeerAddr, State, TryData,
};
pub use handler::flow::EventFlow;
pub use handler::message::Message;
pub use handler::timed::Timed;
#[cfg(feature = "typescript")]
pub use handler::typescript::TypeScript;
pub use handler::{Handler, ListenerHandle, TypedEvent, ack, extract};
pub use sansocket_protocol::engine::EngineError;
pub use sansocket_protocol::error::{Closed, PeerError, SendError};
pub use sansocket_protocol::hub::{HubError, RoomEvent};
pub use sansocket_protocol::socket::{
    Args, ArgsError, CustomPacket, CustomParser, DataError, Date, EncodeError, PacketData, Parser,
    SocketError, ToArgs,
};

// Connection state recovery.
pub use sansocket_protocol::recovery;

// The values of options.
pub use sansocket_protocol::engine::{
    Cookie, CookieError, OriginError, Origins, Overflow, RefusalCode, RequestHead, SameSite, Transports,
};
pub use sansocket_protocol::rate::Rate;
pub use sansocket_protocol::socket::EventExcess;
pub use websocket::{DeflateSettingError, PerMessageDeflate};

// The revisions of the protocols.
pub use sansocket_protocol::engine::PROTOCOL as ENGINE_PROTOCOL;
pub use sansocket_protocol::socket::PROTOCOL as SOCKET_PROTOCOL;

// For the macro of adapters.
#[doc(hidden)]
pub use ::bytes::Bytes;
#[doc(hidden)]
pub use ::http as http_types;
#[doc(hidden)]
pub use hyper::body::Incoming;
