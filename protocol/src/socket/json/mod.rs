//! The default parser: packets whose arguments are JSON, with attachments beside it.
//!
//! In: `scan`, `validate` and `placeholder` look through the text once, [`args::Args`] keeps it, `decode` and `resolve`
//! turn it into the application's types. Out: `serialize`, `spread` and `write` make the text of a
//! [`Frame`](crate::message::Frame) from anything that is [`encode::ToArgs`].

pub mod args;
#[cfg(test)]
mod codec_tests;
mod decode;
pub mod encode;
mod frame;
pub(crate) mod placeholder;
pub mod reassembly;
mod resolve;
pub(crate) mod scan;
mod serialize;
mod spread;
pub(crate) mod validate;
pub(crate) mod write;
