//! The common part of the dialects: reading the parts of a message, and writing one.
//!
//! A message is a JSON document with attachments beside it. JSON is that already; MessagePack becomes it first. Each
//! part is then found by walking over the text, and only what a [`Message`](super::Message) keeps is copied.

mod number;
mod read;
mod write;

pub(super) use read::{Document, check_depth, elements, fields, number, present, string};
pub(super) use write::{Draft, Flags};
