//! Socket.IO, protocol revision 5: packets, their arguments and their attachments.
//!
//! A Socket.IO packet is the payload of one Engine.IO *message*. Where this module quotes traffic it shows the
//! text with the Engine.IO `4` in front, as it is seen on the wire.
//!
//! ```text
//! packet      = type [ attachments "-" ] [ namespace [ "," ] ] [ id ] [ json ]
//! type        = "0" .. "6"            CONNECT DISCONNECT EVENT ACK CONNECT_ERROR BINARY_EVENT BINARY_ACK
//! attachments = 1*DIGIT               types 5 and 6 only, at least 1
//! namespace   = "/" *( any but "," )  the namespace "/" is never written
//! id          = 1*DIGIT               the event wants an answer, or this is the answer
//! ```
//!
//! A [`Parser`] makes every frame and reads every message. In: [`Parser::decode`] reads the header and checks the text
//! once, without building anything from it. [`Reassembly`] adds the binary messages that belong to it. The application
//! sees [`Args`], which turn into its own types on demand.
//!
//! Out: a [`Frame`](crate::message::Frame) is made once per message from anything that is [`ToArgs`], by
//! [`Parser::event`] and its sisters.

mod ahead;
pub(crate) mod client;
pub(crate) mod config;
mod custom;
pub(crate) mod error;
pub(crate) mod ids;
pub(crate) mod json;
pub(crate) mod msgpack;
pub(crate) mod packet;
mod parser;
pub(crate) mod server;

/// The newest revision of the Socket.IO protocol that is spoken here.
pub const PROTOCOL: u8 = 5;

pub use ahead::{AheadReader, ReadAhead};
pub use client::{AuthSource, ClientSocketEvent, JoinError, SocketClientConfig};
pub use config::{EventExcess, SocketServerConfig};
pub use custom::{CustomData, CustomPacket, CustomParser};
pub use error::SocketError;
pub use ids::{AckOutcome, SocketKey};
pub use json::args::{Args, ArgsError};
pub use json::argument::{Argument, Iter};
pub use json::data::{DataError, PacketData};
pub use json::encode::{ArgsEncoder, EncodeError, ToArgs};
pub use json::reassembly::Reassembly;
pub use msgpack::date::Date;
pub use packet::{
    DEFAULT_MAX_ATTACHMENTS, Packet, PacketError, PacketType, RESERVED_EVENTS, is_namespace, is_reserved,
};
pub use parser::{DEFAULT_MAX_ARGUMENTS, DEFAULT_MAX_DEPTH, DEFAULT_MAX_NUMBER, Limit, Parser, Part};
pub use server::ServerSocketEvent;
