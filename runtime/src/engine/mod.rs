//! Plain Engine.IO: a server whose sessions exchange messages.

pub(crate) mod options;
pub(crate) mod server;
