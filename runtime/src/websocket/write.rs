//! The writing half: each function appends one unfragmented frame.

use super::header::MAX_CONTROL;

/// Appends a text message. A server passes no mask; a client passes four fresh unpredictable bytes each time
/// (RFC 6455, section 5.3). The caller vouches that `payload` is UTF-8.
///
/// The frame is 2 to 10 bytes longer than its payload, and 4 more with a mask.
pub fn write_text(out: &mut Vec<u8>, mask: Option<[u8; 4]>, payload: &[u8]) {
    write_frame(out, 0x81, mask, payload);
}

/// Appends a binary message; the mask is as in [`write_text`].
pub fn write_binary(out: &mut Vec<u8>, mask: Option<[u8; 4]>, payload: &[u8]) {
    write_frame(out, 0x82, mask, payload);
}

/// Appends a binary message of two parts, without a mask.
pub(crate) fn write_binary_parts(out: &mut Vec<u8>, [first, second]: [&[u8]; 2]) {
    write_header(out, 0x82, None, first.len() + second.len());
    out.extend_from_slice(first);
    out.extend_from_slice(second);
}

/// Appends a ping. A control frame carries 125 bytes (5.5); a longer payload is cut there.
pub fn write_ping(out: &mut Vec<u8>, mask: Option<[u8; 4]>, payload: &[u8]) {
    write_frame(out, 0x89, mask, &payload[..payload.len().min(MAX_CONTROL)]);
}

/// Appends the answer to a ping, which carries the ping's bytes. A payload of more than 125 bytes is cut there.
pub fn write_pong(out: &mut Vec<u8>, mask: Option<[u8; 4]>, payload: &[u8]) {
    write_frame(out, 0x8a, mask, &payload[..payload.len().min(MAX_CONTROL)]);
}

/// Appends a close, after which nothing may be sent. Without a code there is no reason either; a reason longer
/// than 123 bytes is cut before the character that does not fit.
pub fn write_close(out: &mut Vec<u8>, mask: Option<[u8; 4]>, code: Option<u16>, reason: &str) {
    let Some(code) = code else { return write_frame(out, 0x88, mask, &[]) };
    let mut end = reason.len().min(MAX_CONTROL - 2);
    while !reason.is_char_boundary(end) {
        end -= 1;
    }
    let mut payload = [0; MAX_CONTROL];
    payload[..2].copy_from_slice(&code.to_be_bytes());
    payload[2..2 + end].copy_from_slice(&reason.as_bytes()[..end]);
    write_frame(out, 0x88, mask, &payload[..2 + end]);
}

/// Appends a message that an extension may have compressed: that is told by the first reserved bit (RFC 7692, section 6).
pub(super) fn write_message(
    out: &mut Vec<u8>,
    is_text: bool,
    compressed: bool,
    mask: Option<[u8; 4]>,
    payload: &[u8],
) {
    let opcode = if is_text { 0x81 } else { 0x82 };
    write_frame(out, if compressed { opcode | 0x40 } else { opcode }, mask, payload);
}

#[inline]
fn write_frame(out: &mut Vec<u8>, first: u8, mask: Option<[u8; 4]>, payload: &[u8]) {
    write_header(out, first, mask, payload.len());
    let start = out.len();
    out.extend_from_slice(payload);
    if let Some(mask) = mask {
        super::mask(&mut out[start..], mask, 0);
    }
}

/// Appends the header of a frame whose payload has that length, and makes room for that.
#[inline(always)]
fn write_header(out: &mut Vec<u8>, first: u8, mask: Option<[u8; 4]>, len: usize) {
    let masked = if mask.is_some() { 0x80 } else { 0 };
    out.reserve(len + 14);
    if len < 126 {
        out.extend_from_slice(&[first, masked | len as u8]);
    } else if let Ok(len) = u16::try_from(len) {
        let [a, b] = len.to_be_bytes();
        out.extend_from_slice(&[first, masked | 126, a, b]);
    } else {
        out.extend_from_slice(&[first, masked | 127]);
        out.extend_from_slice(&(len as u64).to_be_bytes());
    }
    if let Some(mask) = mask {
        out.extend_from_slice(&mask);
    }
}
