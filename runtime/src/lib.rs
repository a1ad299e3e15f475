//! Socket.IO and Engine.IO for any async runtime: handlers, sessions, HTTP, WebSocket frames, and the client.
//!
//! **Applications do not use this crate.** They take an adapter, which offers all of it under its own name:
//! [`sansocket-tokio`](https://docs.rs/sansocket-tokio) for tokio and axum, or
//! [`sansocket-async-std`](https://docs.rs/sansocket-async-std) for smol and async-std. This page is for authors of
//! adapters.
//!
//! ```text
//!   your adapter           an impl of Runtime, a stream, a listening socket, an impl of Dial
//!   sansocket-runtime      handlers, one task per session or client, HTTP, tower, WebSocket frames
//!   sansocket-protocol     pure state machines: no I/O, no clock, no futures
//! ```
//!
//! | for | see |
//! |---|---|
//! | what an async runtime must give | [`Runtime`], [`runtime`] |
//! | accepting connections | [`Mounted`], [`Listening`], [`Mount`]; below them [`Endpoint`] and [`serve_connection`] |
//! | a stream after its upgrade to WebSocket | [`raw_stream`] |
//! | connections that a client makes | [`Dial`], [`connect_to_any`] |
//! | hosts made of tower services | [`ServerService`], [`ServerLayer`] |
//! | handlers, and what they may take and return | [`handler`], [`extract`], [`ack`] |
//! | what an application holds | [`Server`], [`Namespace`], [`Socket`], [`Broadcast`]; [`Client`], [`ClientSocket`] |
//! | WebSocket frames as pure state | [`websocket`] |
//!
#![doc = include_str!("../docs/writing-an-adapter.md")]
#![cfg_attr(docsrs, feature(doc_cfg))]
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

pub use base::error::{AckError, BroadcastAckError, EmitError, HandlerError, Refusal};
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
pub use sansocket_protocol::engine::RefusalCode;
pub use sansocket_protocol::engine::{Cookie, Cors, Origins, Overflow, Transports};
pub use sansocket_protocol::error::{Closed, PeerError, SendError};
pub use sansocket_protocol::hub::HubError;
pub use sansocket_protocol::rate::Rate;
pub use sansocket_protocol::socket::EventExcess;
pub use sansocket_protocol::socket::{Args, ArgsError};
pub use sansocket_protocol::socket::{EncodeError, ToArgs};
#[doc(hidden)]
pub use serde::Serialize;
pub use server::broadcast::Broadcast;
pub use server::namespace::{DynamicNamespace, Namespace};
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
