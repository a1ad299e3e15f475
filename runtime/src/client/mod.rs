//! The Socket.IO client: one connection to a server, any number of namespaces on it. And the client of plain
//! Engine.IO, which is the same without them.

mod auth;
pub mod blocking;
mod builder;
#[allow(clippy::module_inception)]
pub(crate) mod client;
mod emitter;
mod engine;
mod error;
mod events;
pub(crate) mod handlers;
mod messages;
pub(crate) mod namespace;
mod net;
mod options;
mod peer;
mod queue;
mod socket;
mod state;
mod table;
pub(crate) mod task;
mod typed;

pub use builder::ClientBuilder;
pub use client::Client;
pub use emitter::ClientEmitter;
pub use engine::{EngineClientSocket, Messages};
pub use error::{ClientBuildError, ConnectError, ReceiveError, ServerRefusal};
pub use events::{Events, Received};
pub use net::addresses::connect_to_any;
pub use net::dial::Dial;
pub use net::tls::ClientTls;
pub use options::ClientOptions;
pub use sansocket_protocol::client::{ServerAddr, ServerAddrError};
pub use sansocket_protocol::engine::TransportKind;
pub use socket::ClientSocket;
pub use state::ConnectionEvent;
pub use task::shared::Attempt;
