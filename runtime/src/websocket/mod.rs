//! WebSocket (RFC 6455, version 13) as pure state: bytes in, messages out, and back. No I/O.
//!
//! It is our own and not a library's because an idle connection keeps nothing but a [`Reader`] of a few words.
//! The owner of the socket reads a batch into one large buffer that belongs to the thread, hands it to
//! [`Reader::feed`], and uses the buffer for the next connection. Complete messages are copied out of it once;
//! only an incomplete one is kept, in memory that grows with what has arrived.
//!
//! The one extension is permessage-deflate, which servers and clients take by [`PerMessageDeflate`].
//!
//! [`write_text`] and its sisters append frames to a `Vec<u8>`, so that one write to the socket carries any number of
//! them. Closing is left to the owner: answer [`Incoming::Close`] and
//! [`ReadError`] with [`write_close`], then close the socket.
//!
//! ```
//! use sansocket_runtime::websocket::{Incoming, Reader, Role, write_text};
//!
//! let mut client_out = Vec::new();
//! write_text(&mut client_out, Some([1, 2, 3, 4]), b"hello");
//!
//! let mut server = Reader::new(Role::Server, 1_000_000);
//! let mut seen = Vec::new();
//! server.feed(&mut client_out, &mut |item| seen.push(item))?;
//! assert_eq!(seen, [Incoming::Text("hello".into())]);
//! assert!(server.is_idle());
//! # Ok::<(), sansocket_runtime::websocket::ReadError>(())
//! ```

pub(crate) mod buffers;
pub(crate) mod deflate;
#[cfg(test)]
mod fuzzing;
mod handshake;
mod header;
mod read;
mod role;
#[cfg(test)]
mod tests;
pub(crate) mod wire;
mod write;

pub use deflate::{DeflateSettingError, PerMessageDeflate};
pub use handshake::{HandshakeError, accept_key, accept_upgrade, offered_subprotocols};
pub use read::{Incoming, MAX_EMPTY_FRAGMENTS, ReadError, Reader};
pub use role::Role;
use role::mask;
pub(crate) use write::write_binary_parts;
pub use write::{write_binary, write_close, write_ping, write_pong, write_text};
