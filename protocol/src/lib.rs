//! Engine.IO and Socket.IO as pure state machines.
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;
#[cfg(feature = "std")]
extern crate std;

pub mod engine;
pub mod error;
pub mod frame;
pub mod hub;
pub mod random;
pub mod server;
pub mod socket;
pub mod time;
