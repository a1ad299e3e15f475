//! The server's end of a connection: which session a request belongs to, and one session with Socket.IO on top.

mod admission;
pub mod connection;
mod counts;
mod messages;
pub mod router;

pub use admission::{Refused, Source};
pub use connection::{Connection, Event};
pub use counts::{Counts, Limit};
pub use router::{Grant, RegisterError, Route, Router};
