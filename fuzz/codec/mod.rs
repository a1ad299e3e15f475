//! The codec of WebSockets: its own files, so that nothing else of the runtime is built for the target `websocket`.
#![allow(dead_code, unused_imports, reason = "the codec has more users than this one")]

#[path = "../../runtime/src/websocket/deflate/mod.rs"]
pub(crate) mod deflate;
#[path = "../../runtime/src/websocket/fuzzing.rs"]
pub(crate) mod fuzzing;
#[path = "../../runtime/src/websocket/header.rs"]
mod header;
#[path = "../../runtime/src/websocket/read.rs"]
mod read;
#[path = "../../runtime/src/websocket/role.rs"]
mod role;
#[path = "../../runtime/src/websocket/write.rs"]
mod write;

pub(crate) use read::{Incoming, ReadError, Reader};
pub(crate) use role::Role;
use role::mask;
