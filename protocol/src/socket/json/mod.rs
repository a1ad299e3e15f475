//! The default parser: packets whose arguments are JSON, with attachments beside it.
//!
//! In: `scan`, `validate` and `placeholder` look through the text once, [`args::Args`] keeps it, `decode` and `resolve`
//! turn it into the application's types. Out: `serialize`, `spread` and `write` make the text of a
//! [`Frame`](crate::message::Frame) from anything that is [`encode::ToArgs`]. `packet` and `frame` are what
//! [`Parser`](crate::socket::Parser) calls.

pub(crate) mod args;
pub(crate) mod argument;
#[cfg(test)]
mod codec_tests;
pub(crate) mod data;
mod decode;
pub(crate) mod encode;
pub(crate) mod frame;
pub(crate) mod packet;
pub(crate) mod placeholder;
pub(crate) mod reassembly;
mod resolve;
pub(crate) mod scan;
pub(crate) mod serialize;
pub(crate) mod shape;
pub(crate) mod spread;
pub(crate) mod validate;
pub(crate) mod write;
