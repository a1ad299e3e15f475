//! The parser of the application, run without a lock, its panics caught.

use crate::base::error::HandlerError;
use bytes::Bytes;
use sansocket_protocol::socket::{Packet, PacketError, Parser};
use std::panic::{AssertUnwindSafe, catch_unwind};

/// Reads a packet. A parser that panics over one has not read it, and its session ends as for any packet that is
/// malformed; `panicked` is told.
pub(crate) fn decode(parser: &Parser, packet: Bytes, panicked: impl FnOnce()) -> Result<Packet, PacketError> {
    catch_unwind(AssertUnwindSafe(|| parser.decode(packet))).unwrap_or_else(|panic| {
        panicked();
        Err(PacketError::Custom { reason: HandlerError::panic(panic).to_string() })
    })
}
