//! The client's end: when to dial, one session at a time, and Socket.IO on top.
//!
//! [`Manager`] is what an adapter drives. [`Url`] reads the address that people write.

mod backoff;
mod config;
mod manager;
mod url;

pub use backoff::Backoff;
pub use config::Config;
pub use manager::{Event, Manager, SessionEvent, Status};
pub use url::{Url, UrlError};
