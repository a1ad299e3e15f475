//! The part of sansocket that all adapters share: handlers, sessions, HTTP and WebSocket glue, for any async runtime.
//!
//! Applications do not use this crate: they take an adapter, such as `sansocket-tokio`, which offers all of it
//! under its own name. To write an adapter, see [`adapter`](mod@adapter).
//!
//! | for | see |
//! |---|---|
//! | handlers and what they may take and return | [`handler`], [`extract`], [`ack`] |
//! | one client, many clients | [`Socket`], [`Namespace`], [`Broadcast`] |
//! | a runtime of your own | [`adapter`](mod@adapter) |
//! | the WebSocket frames | [`websocket`] |
#![forbid(unsafe_code)]

pub mod adapter;
mod base;
mod client;
mod engine;
pub mod handler;
mod http;
mod server;
mod session;
pub mod websocket;

// For applications, which see them through their adapter: servers.
pub use engine::server::{EngineServer, EngineSocket};
pub use http::builder::ServerBuilder;
pub use http::handshake::Handshake;
pub use http::listener::Listening;
pub use http::options::BuildError;
pub use http::refused::RefusedRequest;
pub use http::tower::{LayeredService, ServerLayer, ServerService};
pub use http::types::ResponseBody;
pub use server::broadcast::Broadcast;
pub use server::dynamic::DynamicNamespace;
pub use server::namespace::Namespace;
pub use server::server::Server;
pub use server::socket::Socket;
pub use session::stats::{LimitCounts, Stats};

// Clients.
pub use client::{
    Attempt, Client, ClientBuildError, ClientBuilder, ClientSocket, ConnectError, ConnectionEvent,
    EngineClientSocket, Events, Messages, ReceiveError, Received, ServerAddr, ServerAddrError, ServerRefusal,
    TransportKind,
};
pub use sansocket_protocol::client::ClientState;

// Handlers, and what goes through them.
pub use base::error::{AckError, BoxError, BroadcastAckError, EmitError, HandlerError, Refusal};
pub use handler::ack::{Ack, IntoAck};
pub use handler::extract::{Auth, Data, DisconnectReason, EventName, Extension, PeerAddr, State, TryData};
pub use handler::message::Message;
pub use handler::{Handler, ack, extract};
pub use sansocket_protocol::engine::EngineError;
pub use sansocket_protocol::error::{Closed, PeerError, SendError};
pub use sansocket_protocol::hub::HubError;
pub use sansocket_protocol::socket::{
    Args, ArgsError, DataError, EncodeError, PacketData, Parser, SocketError, ToArgs,
};

// The values of options.
pub use sansocket_protocol::engine::{Cookie, Cors, Origins, Overflow, RefusalCode, Transports};
pub use sansocket_protocol::rate::Rate;
pub use sansocket_protocol::socket::EventExcess;

// For the macro of adapters.
#[doc(hidden)]
pub use ::bytes::Bytes;
#[doc(hidden)]
pub use ::http as http_types;
#[doc(hidden)]
pub use hyper::body::Incoming;
