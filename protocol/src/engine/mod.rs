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
