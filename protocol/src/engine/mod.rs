//! Engine.IO: packets, payloads, the handshake, heartbeats, long-polling, and the upgrade to WebSocket
//! (protocol v4).
//!
//! [`server::ServerSession`] is one session seen from the server, [`client::ClientSession`] one seen from the client. They decide
//! about HTTP without speaking it: heads and bodies go in and come out as data.

pub mod client;
pub mod config;
pub mod handshake;
pub mod heartbeat;
pub mod packet;
pub mod payload;
pub mod request;
pub mod server;

pub use client::ClientSession;
pub use client::{ClientTransmit, ConfigError, EngineClientConfig, Method, OpenPacket, TransportKind};
pub use config::{Cookie, Cors, EngineServerConfig, Origins, Overflow, Transports};
pub use handshake::open_packet;
pub use packet::{EnginePacket, EnginePacketError};
pub use payload::{PayloadDecoder, PayloadEncoder, SEPARATOR};
pub use request::{
    Headers, HttpRefusal, Query, RefusalCode, RequestHead, RequestId, Response, join_lines, pairs,
};
pub use server::{Body, ServerSession, ServerTransmit, Wants};
