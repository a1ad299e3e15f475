//! Engine.IO, protocol revision 4: packets, payloads, the handshake, heartbeats, long-polling, and the upgrade to
//! WebSocket.
//!
//! HTTP and WebSockets are data here: a [`RequestHead`] and a [`Body`] go in, a [`Response`] comes out, and things to
//! do outside are a [`ServerTransmit`] or a [`ClientTransmit`]. The two machines that decide, one session of a server and one of a
//! client, are inside [`server::Connection`](crate::server::Connection) and [`client::Manager`](crate::client::Manager). This
//! module knows nothing of Socket.IO.
//!
//! | to | use |
//! |---|---|
//! | set a server up | [`EngineServerConfig`], with [`Transports`], [`Origins`], [`Cookie`] and [`Overflow`] |
//! | set a client up | [`EngineClientConfig`] |
//! | hand in a request | [`RequestHead`], [`ParsedHead`], [`Headers`], [`RequestId`], [`Body`] |
//! | send an answer | [`Response`], [`RefusalCode`] |
//! | read or write packets without a session | [`EnginePacket`], [`PayloadEncoder`], [`PayloadDecoder`], [`OpenPacket`] |

/// The newest revision of the Engine.IO protocol that is spoken here: the value of `EIO`.
pub const PROTOCOL: u8 = 4;

pub(crate) mod client;
pub(crate) mod config;
pub(crate) mod cookie;
pub(crate) mod error;
mod handshake;
mod heartbeat;
mod mark;
pub(crate) mod origins;
pub(crate) mod packet;
pub(crate) mod payload;
pub(crate) mod request;
pub(crate) mod revision;
pub(crate) mod server;
mod source;
pub(crate) mod transport;

pub use client::{ClientTransmit, ConfigError, EngineClientConfig, Method, OpenPacket};
pub use config::{EngineServerConfig, Overflow};
pub use cookie::{Cookie, CookieError, SameSite};
pub use error::EngineError;
pub use handshake::open_packet;
pub use mark::NodeMark;
pub use origins::{OriginDecision, OriginError, Origins};
pub use packet::{EnginePacket, EnginePacketError};
pub use payload::{PayloadDecoder, PayloadEncoder, SEPARATOR};
pub use request::{
    Headers, HttpRefusal, ParsedHead, Query, RefusalCode, RequestHead, RequestId, Response, join_lines, pairs,
};
pub use revision::Revision;
pub use server::{Body, ServerTransmit, Wants};
pub use source::Source;
pub use transport::{TransportKind, Transports};
