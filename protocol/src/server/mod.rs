//! The server's end of a connection: which session a request belongs to, and one session with Socket.IO on top.

mod admission;
pub mod connection;
pub mod router;

pub use admission::Refused;
pub use connection::{Connection, Counts, Event, Limit};
pub use router::{Grant, RegisterError, Route, Router};
