//! The server's end of a connection: which session a request belongs to, and one session with Socket.IO on top.

mod admission;
mod connection;
mod counts;
mod messages;
mod router;

pub use crate::server::admission::RefusedHandshakes;
pub use crate::server::connection::ServerEvent;
pub use admission::{Grant, RegisterError, Source};
pub use connection::Connection;
pub use counts::{Counts, Limit};
pub use router::{Route, Router};
