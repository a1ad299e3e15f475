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
//! In: [`packet::Packet::decode`] reads the header and checks the JSON once, without building anything from it.
//! [`Reassembly`] adds the binary frames that belong to it. What the application sees is
//! [`Args`], which turns into the application's own types on demand.
//!
//! Out: [`crate::message::Frame`] is made once per message from anything that is [`ToArgs`].
//!
//! ```
//! use sansocket_protocol::message::Frame;
//! use sansocket_protocol::socket::Packet;
//!
//! let frame = Frame::event("/chat", "said", Some(7), &("ada", 3)).unwrap();
//! assert_eq!(frame.text().unwrap(), r#"42/chat,7["said","ada",3]"#);
//!
//! // The other end. The engine has taken its type digit away.
//! let packet = Packet::decode(frame.text().unwrap().slice(1..), 10).unwrap();
//! assert_eq!((packet.namespace(), packet.id()), ("/chat", Some(7)));
//! let args = packet.into_args();
//! assert_eq!(args.event().as_deref(), Some("said"));
//! assert_eq!(args.decode::<(String, u32)>().unwrap(), ("ada".to_string(), 3));
//! ```

pub(crate) mod client;
pub mod config;
pub(crate) mod error;
pub mod json;
pub mod packet;
pub(crate) mod server;

pub use client::{AuthSource, ClientSocketEvent, JoinError, SocketClientConfig};
pub use config::{EventExcess, SocketServerConfig};
pub use error::SocketError;
pub use json::args::{Args, ArgsError};
pub use json::encode::{ArgsEncoder, EncodeError, ToArgs};
pub use json::reassembly::Reassembly;
pub use packet::{
    DEFAULT_MAX_ATTACHMENTS, Packet, PacketError, PacketType, RESERVED_EVENTS, is_namespace, is_reserved,
};
pub use server::{AckOutcome, ServerSocketEvent, SocketKey};
