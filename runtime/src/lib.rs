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

pub mod ack;
mod adapter;
mod broadcast;
mod cell;
pub mod client;
mod connections;
mod endpoint;
pub mod engine;
mod error;
pub mod extract;
mod files;
pub mod handler;
mod handshake;
mod host;
mod http;
mod listener;
mod namespace;
mod options;
mod outgoing;
mod refused;
pub mod runtime;
mod served;
mod server;
mod session;
mod signal;
mod socket;
mod sockets;
mod stats;
mod timer;
mod tower;
mod trace;
mod typemap;
mod unheard;
pub mod websocket;
mod worker;
mod write_deadline;

pub use ack::{Ack, IntoAck};
pub use broadcast::Broadcast;
pub use client::{
    Attempt, Client, ClientBuildError, ClientOptions, ClientSocket, ClientState, ConnectError, Dial,
    EngineClientSocket, Events, Messages, ReceiveError, Received, Refused, TransportKind, Url, UrlError,
    connect_to_any,
};
pub use endpoint::{Endpoint, Fallback, serve_connection};
pub use error::{AckError, BroadcastAckError, EmitError, HandlerError, Refusal};
pub use extract::{Auth, Data, DisconnectReason, Event, Extension, PeerAddr, State, TryData};
pub use handler::Handler;
pub use handshake::{Connection, Handshake};
pub use http::ResponseBody;
pub use listener::{Listening, Mount, Mounted};
pub use namespace::{DynamicNamespace, Namespace};
pub use options::{BuildError, Options};
pub use refused::RefusedRequest;
pub use runtime::Runtime;
pub use sansocket_protocol::client::Status;
pub use sansocket_protocol::engine::config::{Cookie, Cors, Origins, Overflow, Transports};
pub use sansocket_protocol::engine::request::RefusalCode;
pub use sansocket_protocol::error::{Closed, PeerError, SendError};
pub use sansocket_protocol::hub::HubError;
pub use sansocket_protocol::rate::Rate;
pub use sansocket_protocol::socket::args::{Args, ArgsError};
pub use sansocket_protocol::socket::config::EventExcess;
pub use sansocket_protocol::socket::encode::{EncodeError, ToArgs};
#[doc(hidden)]
pub use serde::Serialize;
pub use server::Server;
pub use socket::Socket;
pub use stats::{Refusals, Stats};
pub use tower::{LayeredService, ServerLayer, ServerService};
pub use write_deadline::{WriteDeadline, raw_stream};

#[doc(hidden)]
pub use ::bytes::Bytes;
#[doc(hidden)]
pub use ::http as http_types;
#[doc(hidden)]
pub use hyper::body::Incoming;
