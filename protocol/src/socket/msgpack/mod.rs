//! The MessagePack parser: a packet is one binary message, a map of `type`, `nsp`, `data` and `id`, as npm's
//! `socket.io-msgpack-parser` and Python's `serializer="msgpack"` have it.
//!
//! In: `head` reads the beginning of a value, `check` looks through a message once, `packet` finds the parts of a packet,
//! `decode` turns arguments into the application's types. Out: `write` and `serialize` make a message, `frame` is what
//! [`Parser`](crate::socket::Parser) calls. `to_json` and `from_json` are for arguments that another parser has read,
//! and for the data of packets without arguments, which is JSON whatever the parser.
//!
//! The values of JavaScript in MessagePack:
//!
//! | value | bytes | read as |
//! |---|---|---|
//! | `undefined` | fixext 1 of type 0 | nothing: a member is left out, an argument is `null` |
//! | a `Date` | fixext 8 of type 0, milliseconds; from others a timestamp, type -1 | the text of `toJSON`, or milliseconds |
//! | bytes | bin; an `ArrayBuffer` is ext 8, 16 or 32 of type 0 | bytes |
//! | a number | an integer in its shortest form if it has no fraction, else a double | itself, NaN and infinities too |

pub(crate) mod check;
pub(crate) mod date;
pub(crate) mod decode;
pub(crate) mod frame;
pub(crate) mod from_json;
pub(crate) mod head;
pub(crate) mod packet;
mod private;
pub(crate) mod serialize;
#[cfg(test)]
mod tests;
pub(crate) mod to_json;
pub(crate) mod write;
