//! The client's end: when to dial, one session at a time, and Socket.IO on top.
//!
//! [`Manager`] is what an adapter drives. [`ServerAddr`] reads the address that people write.

mod backoff;
mod config;
mod manager;
mod url;

pub use crate::client::config::ReconnectConfig;
pub use crate::client::manager::{ClientEvent, ClientState};
pub use crate::client::url::{ServerAddr, ServerAddrError};
pub use manager::{Manager, SessionEvent};
