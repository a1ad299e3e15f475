//! The server's end of a connection: which session a request belongs to, and one session with Socket.IO on top.

pub mod connection;
pub mod router;

pub use connection::{Connection, Event};
pub use router::{Grant, RegisterError, Route, Router};
