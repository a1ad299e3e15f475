//! The codec of WebSockets as the task of a session uses it, without the handshake, which HTTP does.

#[path = "../../runtime/src/websocket/buffers.rs"]
pub(crate) mod buffers;
#[path = "../../runtime/src/websocket/deflate/mod.rs"]
pub(crate) mod deflate;
#[path = "../../runtime/src/websocket/header.rs"]
mod header;
#[path = "../../runtime/src/websocket/read.rs"]
mod read;
#[path = "../../runtime/src/websocket/role.rs"]
mod role;
#[path = "../../runtime/src/websocket/wire.rs"]
pub(crate) mod wire;
#[path = "../../runtime/src/websocket/write.rs"]
mod write;

pub(crate) use read::{Incoming, ReadError, Reader};
pub(crate) use role::Role;
use role::mask;
pub(crate) use write::{write_binary, write_binary_parts, write_close, write_ping, write_pong, write_text};
