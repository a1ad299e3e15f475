//! The server's end: the router of requests, and one connection for each client.
//!
//! ```text
//!              Pass: another server's                Session: hand it to that connection
//!   request -----------------> Router::route ----------------------------------------------> Connection
//!                                |      |                                                       ^
//!             Reply: answered <--+      +--- Open: admit, register, Connection::new ------------+
//! ```
//!
//! * [`Router`] decides about a request by its head: refuse it, open a session, or find the session that it belongs to.
//!   It holds the table of sessions and the limits on new ones ([`RegisterError`], [`Source`], [`RefusedHandshakes`]).
//! * [`Connection`] is one client: an Engine.IO session with Socket.IO on top. Its methods are of four kinds: `handle_*`
//!   (something came from outside; never fails), commands (`emit`, `ack`, `close`), `poll_*` (things to write, events to
//!   tell, the next deadline), and getters. Any order of calls is legal.
//!
//! Each has an example; the run loop is on the [front page](crate).

mod admission;
mod connection;
mod counts;
mod messages;
mod router;

pub use crate::engine::Source;
pub use admission::{Grant, RefusedHandshakes, RegisterError};
#[cfg(feature = "record")]
pub(crate) use connection::recording::{digest_event, digest_transmit};
pub use connection::{Connection, ServerEvent};
pub use counts::{Counts, Limit};
pub use router::{Route, Router};
