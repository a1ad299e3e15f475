//! Writing values in their shortest forms.

use alloc::vec::Vec;

/// An unsigned number.
#[inline]
pub(crate) fn push_uint(out: &mut Vec<u8>, value: u64) {
    if value < 0x80 {
        out.push(value as u8);
    } else if let Ok(value) = u8::try_from(value) {
        out.extend_from_slice(&[0xcc, value]);
    } else if let Ok(value) = u16::try_from(value) {
        push_with(out, 0xcd, value.to_be_bytes());
    } else if let Ok(value) = u32::try_from(value) {
        push_with(out, 0xce, value.to_be_bytes());
    } else {
        push_with(out, 0xcf, value.to_be_bytes());
    }
}

/// A number with a sign.
#[inline]
pub(crate) fn push_int(out: &mut Vec<u8>, value: i64) {
    if let Ok(value) = u64::try_from(value) {
        push_uint(out, value);
    } else if value >= -0x20 {
        out.push(value as u8);
    } else if let Ok(value) = i8::try_from(value) {
        push_with(out, 0xd0, value.to_be_bytes());
    } else if let Ok(value) = i16::try_from(value) {
        push_with(out, 0xd1, value.to_be_bytes());
    } else if let Ok(value) = i32::try_from(value) {
        push_with(out, 0xd2, value.to_be_bytes());
    } else {
        push_with(out, 0xd3, value.to_be_bytes());
    }
}

pub(crate) fn push_f32(out: &mut Vec<u8>, value: f32) {
    push_with(out, 0xca, value.to_be_bytes());
}

pub(crate) fn push_f64(out: &mut Vec<u8>, value: f64) {
    push_with(out, 0xcb, value.to_be_bytes());
}

pub(crate) fn push_bool(out: &mut Vec<u8>, value: bool) {
    out.push(if value { 0xc3 } else { 0xc2 });
}

pub(crate) fn push_nil(out: &mut Vec<u8>) {
    out.push(0xc0);
}

/// A text. What is longer than 4 GiB is longer than any message may be, and loses its end.
#[inline]
pub(crate) fn push_str(out: &mut Vec<u8>, text: &str) {
    let len = text.len();
    out.reserve(len.saturating_add(5));
    if len < 0x20 {
        out.push(0xa0 | len as u8);
    } else {
        push_len(out, [0xd9, 0xda, 0xdb], len);
    }
    out.extend_from_slice(text.as_bytes());
}

/// Bytes.
pub(crate) fn push_bin(out: &mut Vec<u8>, bytes: &[u8]) {
    out.reserve(bytes.len().saturating_add(5));
    push_len(out, [0xc4, 0xc5, 0xc6], bytes.len());
    out.extend_from_slice(bytes);
}

/// A date as npm's parser writes it: milliseconds.
pub(crate) fn push_date(out: &mut Vec<u8>, millis: i64) {
    out.extend_from_slice(&[0xd7, 0x00]);
    out.extend_from_slice(&millis.to_be_bytes());
}

/// The beginning of a list.
#[inline]
pub(crate) fn push_array(out: &mut Vec<u8>, len: usize) {
    if len < 0x10 { out.push(0x90 | len as u8) } else { push_wide(out, [0xdc, 0xdd], len) }
}

/// The beginning of a map of so many pairs.
#[inline]
pub(crate) fn push_map(out: &mut Vec<u8>, len: usize) {
    if len < 0x10 { out.push(0x80 | len as u8) } else { push_wide(out, [0xde, 0xdf], len) }
}

/// Gives a list, or a map, whose beginning is one byte at `start`, its length.
pub(crate) fn set_len(out: &mut Vec<u8>, start: usize, is_map: bool, len: usize) {
    if len < 0x10 {
        if let Some(place) = out.get_mut(start) {
            *place = if is_map { 0x80 } else { 0x90 } | len as u8;
        }
        return;
    }
    let mut head = Vec::new();
    if is_map {
        push_map(&mut head, len)
    } else {
        push_array(&mut head, len)
    }
    if start < out.len() {
        out.splice(start..start.saturating_add(1), head);
    }
}

#[inline]
fn push_with<const N: usize>(out: &mut Vec<u8>, marker: u8, bytes: [u8; N]) {
    out.push(marker);
    out.extend_from_slice(&bytes);
}

fn push_len(out: &mut Vec<u8>, [short, middle, long]: [u8; 3], len: usize) {
    if let Ok(len) = u8::try_from(len) {
        out.extend_from_slice(&[short, len]);
    } else {
        push_wide(out, [middle, long], len);
    }
}

fn push_wide(out: &mut Vec<u8>, [middle, long]: [u8; 2], len: usize) {
    if let Ok(len) = u16::try_from(len) {
        push_with(out, middle, len.to_be_bytes());
    } else {
        push_with(out, long, u32::try_from(len).unwrap_or(u32::MAX).to_be_bytes());
    }
}
