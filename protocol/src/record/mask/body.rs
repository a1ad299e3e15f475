//! Bodies of POSTs, in the form of each revision.

use super::{Mask, mask_words};
use crate::engine::Revision;
use crate::engine::payload::{SEPARATOR, jsonp, v3};
use alloc::vec::Vec;
use bytes::Bytes;

impl Mask {
    /// A body: the form that clients post who poll by scripts, or a payload. No payload begins like a form.
    pub(super) fn form_or_payload(self, out: &mut Vec<u8>, body: &[u8]) {
        let is_text = core::str::from_utf8(body).is_ok();
        if !is_text || !body.starts_with(b"d=") {
            return self.payload(out, body);
        }
        // With a field too many it is no form.
        let Some(payload) = jsonp::posted(body) else { return out.extend_from_slice(b"d=&d=") };
        let mut masked = Vec::with_capacity(payload.len());
        self.payload(&mut masked, &payload);
        out.extend_from_slice(b"d=");
        push_field(out, &masked);
        // A field that nobody reads keeps the length.
        if out.len() < body.len() {
            out.push(b'&');
            out.resize(body.len(), b'x');
        }
    }

    fn payload(self, out: &mut Vec<u8>, body: &[u8]) {
        match (self.revision, body.first()) {
            (Revision::V4, _) => {
                for (at, packet) in body.split(|byte| *byte == SEPARATOR).enumerate() {
                    if at > 0 {
                        out.push(SEPARATOR);
                    }
                    self.packet(out, packet);
                }
            }
            (Revision::V3, Some(..b' ')) => self.bytes(out, body),
            (Revision::V3, _) => self.texts(out, body),
        }
    }

    /// The text of revision 3: `6:4hello`.
    fn texts(self, out: &mut Vec<u8>, body: &[u8]) {
        let mut rest = Bytes::copy_from_slice(body);
        while !rest.is_empty() {
            let whole = rest.clone();
            let Some(packet) = v3::text_packet(&mut rest) else {
                // Without a colon it has no length, as before.
                return mask_words(out, &rest);
            };
            let header = whole.len().saturating_sub(rest.len()).saturating_sub(packet.len());
            out.extend_from_slice(whole.get(..header).unwrap_or_default());
            self.packet(out, &packet);
        }
    }

    /// The bytes of revision 3: each packet behind its kind and the digits of its length.
    fn bytes(self, out: &mut Vec<u8>, body: &[u8]) {
        let mut rest = Bytes::copy_from_slice(body);
        while !rest.is_empty() {
            let whole = rest.clone();
            let Some((kind, packet)) = v3::binary_packet(&mut rest) else {
                // Without the end of a length it has none, as before.
                return out.resize(out.len().saturating_add(rest.len()), 0);
            };
            let header = whole.len().saturating_sub(rest.len()).saturating_sub(packet.len());
            out.extend_from_slice(whole.get(..header).unwrap_or_default());
            match kind {
                v3::TEXT => self.packet(out, &packet),
                _ => out.extend_from_slice(&self.binary_message(&packet)),
            }
        }
    }
}

/// Writes a payload as the value of a form's field: the reverse of [`jsonp::posted`].
fn push_field(out: &mut Vec<u8>, payload: &[u8]) {
    let mut before = 0;
    for &byte in payload {
        match byte {
            // Line ends are escaped, so what looks like an escaped one is escaped once more.
            b'n' if before == b'\\' => out.extend_from_slice(b"\\n"),
            b'%' => out.extend_from_slice(b"%25"),
            b'&' => out.extend_from_slice(b"%26"),
            b'+' => out.extend_from_slice(b"%2B"),
            byte => out.push(byte),
        }
        before = byte;
    }
}
