//! Plain Engine.IO: a server whose sessions exchange messages.

pub(crate) mod server;

pub use server::{EngineHandlers, EngineServer, EngineSocket, Message};
