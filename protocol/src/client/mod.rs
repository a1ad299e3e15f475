//! The client's end: a manager that dials, keeps one session at a time, and dials again.
//!
//! * [`Manager`] is the machine to drive. Its methods are of four kinds: `handle_*` (something came from outside; never
//!   fails), commands (`connect`, `emit`, `close`), `poll_*` (things to do outside, events to tell, the next deadline), and
//!   getters. Any order of calls is legal. The run loop is on the [front page](crate).
//! * [`ClientEvent`] is an event that it tells; for plain Engine.IO, without Socket.IO on top, with a [`SessionEvent`] inside.
//! * [`ReconnectConfig`] says when it dials again. The settings of its sessions and sockets are
//!   [`EngineClientConfig`](crate::engine::EngineClientConfig) and
//!   [`SocketClientConfig`](crate::socket::SocketClientConfig).
//! * [`ServerAddr`] reads an address as people write it.

mod addr;
mod backoff;
mod config;
mod manager;

pub use addr::{ServerAddr, ServerAddrError};
pub use config::ReconnectConfig;
pub use manager::{ClientEvent, ClientState, Manager, SessionEvent};
