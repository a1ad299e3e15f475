//! The extension on one connection.

use super::WINDOW_BITS;
use super::compress::compress_message;
use super::inflate::Inflating;
use super::offer::{Agreed, Direction};
use super::shared::SharedDeflate;
use crate::websocket::Role;
use crate::websocket::write::write_message;
use bytes::Bytes;
use sansocket_protocol::message::WireMessage;
use std::fmt;
use std::mem;
use std::sync::Arc;

/// The extension on one connection, of which connections without it have nothing.
pub(crate) struct Deflate {
    shared: Arc<SharedDeflate>,
    pub(crate) inflating: Inflating,
    writing: Direction,
    /// The compressor that knows the past, with context takeover.
    compressor: Option<Box<zlib_rs::Deflate>>,
    /// The messages to be written. They are compressed once the session's lock is free.
    pending: Vec<Pending>,
}

struct Pending {
    message: WireMessage,
    compress: bool,
    mask: Option<[u8; 4]>,
}

impl Deflate {
    pub(crate) fn new(role: Role, shared: Arc<SharedDeflate>, agreed: Agreed) -> Box<Self> {
        Box::new(Self {
            shared,
            inflating: Inflating::new(agreed.received_by(role)),
            writing: agreed.sent_by(role),
            compressor: None,
            pending: Vec::new(),
        })
    }

    /// Queues a message.
    pub(crate) fn write(&mut self, message: WireMessage, compress: bool, mask: Option<[u8; 4]>) {
        self.pending.push(Pending { message, compress, mask });
    }

    /// Appends the frames of all that is queued.
    pub(crate) fn flush(&mut self, out: &mut Vec<u8>) {
        // No memory is kept for the next time: an idle connection has none.
        for Pending { message, compress, mask } in mem::take(&mut self.pending) {
            let (is_text, payload) = match message {
                WireMessage::Text(text) => (true, text),
                WireMessage::Binary(data) => (false, data),
            };
            // A server may have asked for a smaller window than zlib can have. Not to compress is always legal.
            let can = compress && WINDOW_BITS.contains(&self.writing.window_bits);
            if !can || payload.len() < self.shared.settings.threshold.max(1) {
                write_message(out, is_text, false, mask, &payload);
            } else if self.writing.takeover {
                self.write_in_context(is_text, &payload, mask, out);
            } else {
                self.write_alone(is_text, payload, mask, out);
            }
        }
    }

    /// Writes a message to which later ones may refer. It is sent compressed even if that makes it larger, because the
    /// receiver's window is to be the same.
    fn write_in_context(&mut self, is_text: bool, payload: &[u8], mask: Option<[u8; 4]>, out: &mut Vec<u8>) {
        let kind = self.shared.kind(self.writing.window_bits);
        let compressor = self.compressor.get_or_insert_with(|| Box::new(kind.compressor()));
        let mut compressed = Vec::new();
        match compress_message(compressor, payload, &mut compressed) {
            Ok(()) => write_message(out, is_text, true, mask, &compressed),
            Err(_) => {
                // The receiver has not seen it, so no later message may refer to it, or to anything: each is
                // compressed by itself from here on, which is always legal (7.1.1).
                self.compressor = None;
                self.writing.takeover = false;
                write_message(out, is_text, false, mask, payload);
            }
        }
    }

    fn write_alone(&self, is_text: bool, payload: Bytes, mask: Option<[u8; 4]>, out: &mut Vec<u8>) {
        let bits = self.writing.window_bits;
        if payload.is_unique() {
            return match self.shared.compress(&payload, bits) {
                Some(compressed) => write_message(out, is_text, true, mask, &compressed),
                None => write_message(out, is_text, false, mask, &payload),
            };
        }
        match self.shared.compress_once(&payload, bits) {
            Some(compressed) => write_message(out, is_text, true, mask, &compressed),
            None => write_message(out, is_text, false, mask, &payload),
        }
        drop(payload);
        self.shared.forget();
    }
}

impl fmt::Debug for Deflate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Deflate").field("writing", &self.writing).finish_non_exhaustive()
    }
}
