//! What every sansocket adapter shares: handlers, sessions, HTTP and WebSocket glue, for any async runtime.
//!
//! Applications do not use this crate: they take an adapter, such as `sansocket-tokio`, which offers all of it
//! under its own name. Whoever writes an adapter implements [`Runtime`] and mounts an [`Endpoint`].
//!
//! | for | see |
//! |---|---|
//! | handlers and what they may take and return | [`handler`], [`extract`], [`ack`] |
//! | one client, many clients | [`Socket`], [`Namespace`], [`Broadcast`] |
//! | a runtime of your own | [`runtime`], [`Options`], [`Endpoint`], [`Mounted`], [`serve_connection`] |
//! | the WebSocket frames | [`websocket`] |
#![forbid(unsafe_code)]

mod adapter;
mod base;
pub mod client;
pub mod engine;
pub mod handler;
mod http;
mod server;
mod session;
pub mod websocket;

pub use base::runtime;
pub use handler::{ack, extract};

pub use base::error::{AckError, BoxError, BroadcastAckError, EmitError, HandlerError, Refusal};
pub use base::runtime::Runtime;
pub use client::client::Client;
pub use client::{
    Attempt, ClientBuildError, ClientOptions, ClientSocket, ConnectError, Dial, EngineClientSocket, Events,
    Messages, ReceiveError, Received, TransportKind, connect_to_any,
};
pub use client::{ConnectionEvent, ServerAddr, ServerAddrError, ServerRefusal};
pub use handler::Handler;
pub use handler::ack::{Ack, IntoAck};
pub use handler::extract::EventName;
pub use handler::extract::{Auth, Data, DisconnectReason, Extension, PeerAddr, State, TryData};
pub use http::endpoint::{Endpoint, Fallback, serve_connection};
pub use http::handshake::ConnInfo;
pub use http::handshake::Handshake;
pub use http::listener::{Listening, Mount, Mounted};
pub use http::refused::RefusedRequest;
pub use http::tower::{LayeredService, ServerLayer, ServerService};
pub use http::types::ResponseBody;
pub use http::write_deadline::{WriteDeadline, raw_stream};
pub use sansocket_protocol::client::ClientState;
pub use sansocket_protocol::engine::{Cookie, Cors, Origins, Overflow, Transports};
pub use sansocket_protocol::engine::{EngineError, RefusalCode};
pub use sansocket_protocol::error::{Closed, PeerError, SendError};
pub use sansocket_protocol::hub::HubError;
pub use sansocket_protocol::rate::Rate;
pub use sansocket_protocol::socket::{Args, ArgsError, DataError, PacketData, Parser};
pub use sansocket_protocol::socket::{EncodeError, ToArgs};
pub use sansocket_protocol::socket::{EventExcess, SocketError};
#[doc(hidden)]
pub use serde::Serialize;
pub use server::broadcast::Broadcast;
pub use server::dynamic::DynamicNamespace;
pub use server::namespace::Namespace;
pub use server::options::{BuildError, Options};
pub use server::server::Server;
pub use server::socket::Socket;
pub use session::stats::LimitCounts;
pub use session::stats::Stats;

#[doc(hidden)]
pub use ::bytes::Bytes;
#[doc(hidden)]
pub use ::http as http_types;
#[doc(hidden)]
pub use hyper::body::Incoming;
