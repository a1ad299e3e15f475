//! JSON text with attachments beside it to MessagePack.

use super::read::count_placeholders;
use crate::cluster::{InexpressibleError, Limits};
use crate::socket::json::placeholder::{self, Placeholder};
use crate::socket::json::scan::{skip_string, skip_value, unescape};
use alloc::vec;
use alloc::vec::Vec;
use bytes::Bytes;
use rmp::encode::{self, ByteBuf};

/// Makes MessagePack of valid JSON text, and bytes of the placeholders in it, if there are attachments.
pub(in crate::cluster) fn from_json(
    json: &str,
    attachments: &[Bytes],
    limits: &Limits,
) -> Result<Vec<u8>, InexpressibleError> {
    let placeholders =
        if attachments.is_empty() { Vec::new() } else { placeholder::outermost(json.as_bytes()) };
    let mut from_json = FromJson {
        json,
        at: 0,
        attachments,
        placeholders: &placeholders,
        sizes: sizes(json, &placeholders).into_iter(),
        limits,
        out: ByteBuf::with_capacity(json.len()),
    };
    // Another object that looks like a placeholder would be lost, or taken for bytes by whoever reads it.
    let is_in_order = || {
        placeholders.len() == attachments.len() && count_placeholders(json.as_bytes()) == placeholders.len()
    };
    if !attachments.is_empty() && !is_in_order() {
        return Err(InexpressibleError::Placeholder);
    }
    from_json.document()?;
    Ok(from_json.out.into_vec())
}

/// The numbers of elements or members of each array and object, in the order in which they begin.
#[allow(
    clippy::arithmetic_side_effects,
    reason = "proof: a position is at most one byte behind the end of a slice, and each element has a byte at least"
)]
fn sizes(json: &str, placeholders: &[Placeholder]) -> Vec<u32> {
    let bytes = json.as_bytes();
    let mut placeholders = placeholders.iter();
    let mut placeholder = placeholders.next();
    let mut sizes: Vec<u32> = Vec::new();
    let mut open: Vec<usize> = Vec::new();
    let mut at = 0;
    // A container has one element more than it has commas, unless nothing is in it.
    let mut is_empty = false;
    while let Some(&byte) = bytes.get(at) {
        if byte > b' ' && !matches!(byte, b']' | b'}') && is_empty {
            is_empty = false;
            if let Some(size) = open.last().and_then(|&at| sizes.get_mut(at)) {
                *size = 1;
            }
        }
        match byte {
            b'"' => {
                at = skip_string(bytes, at);
                continue;
            }
            b'[' | b'{' => {
                if let Some(found) = placeholder.filter(|found| found.span.start == at) {
                    placeholder = placeholders.next();
                    at = found.span.end;
                    continue;
                }
                open.push(sizes.len());
                sizes.push(0);
                is_empty = true;
            }
            b']' | b'}' => {
                open.pop();
                is_empty = false;
            }
            b',' => {
                if let Some(size) = open.last().and_then(|&at| sizes.get_mut(at)) {
                    *size += 1;
                }
            }
            _ => {}
        }
        at += 1;
    }
    sizes
}

/// Results of `rmp` are not looked at here: writing to memory does not fail.
struct FromJson<'a> {
    json: &'a str,
    at: usize,
    attachments: &'a [Bytes],
    placeholders: &'a [Placeholder],
    sizes: vec::IntoIter<u32>,
    limits: &'a Limits,
    out: ByteBuf,
}

impl FromJson<'_> {
    /// Does not recurse. The sizes of what is open say where it ends, so nothing is written there.
    fn document(&mut self) -> Result<(), InexpressibleError> {
        let mut depth = 0usize;
        while let Some(&byte) = self.json.as_bytes().get(self.at) {
            match byte {
                b'"' => {
                    self.string();
                    continue;
                }
                b'[' | b'{' => {
                    if self.placeholder()? {
                        continue;
                    }
                    let limit = self.limits.depth;
                    if depth >= limit {
                        return Err(InexpressibleError::TooLarge { unit: "depth", limit });
                    }
                    depth = depth.saturating_add(1);
                    let size = self.sizes.next().unwrap_or(0);
                    let _ = if byte == b'[' {
                        encode::write_array_len(&mut self.out, size)
                    } else {
                        encode::write_map_len(&mut self.out, size)
                    };
                }
                b']' | b'}' => depth = depth.saturating_sub(1),
                b',' | b':' | b' ' | b'\t' | b'\n' | b'\r' => {}
                _ => {
                    self.scalar();
                    continue;
                }
            }
            self.at = self.at.saturating_add(1);
        }
        Ok(())
    }

    /// Writes the bytes that a placeholder stands for, if one begins here.
    fn placeholder(&mut self) -> Result<bool, InexpressibleError> {
        let Some((found, others)) = self.placeholders.split_first() else { return Ok(false) };
        if found.span.start != self.at {
            return Ok(false);
        }
        self.placeholders = others;
        self.at = found.span.end;
        let attachment = found.num.and_then(|num| self.attachments.get(num));
        let attachment = attachment.ok_or(InexpressibleError::Placeholder)?;
        let _ = encode::write_bin(&mut self.out, attachment);
        Ok(true)
    }

    #[allow(
        clippy::arithmetic_side_effects,
        reason = "proof: a position is at most one byte behind the end of a slice, and a text in quotes has both of them"
    )]
    fn string(&mut self) {
        let end = skip_string(self.json.as_bytes(), self.at);
        let body = self.json.get(self.at + 1..end.max(self.at + 2) - 1).unwrap_or_default();
        let _ = encode::write_str(&mut self.out, &unescape(body));
        self.at = end;
    }

    fn scalar(&mut self) {
        let end = skip_value(self.json.as_bytes(), self.at).max(self.at.saturating_add(1));
        let raw = self.json.get(self.at..end).unwrap_or_default();
        self.at = end;
        match raw {
            "true" | "false" => {
                let _ = encode::write_bool(&mut self.out, raw == "true");
            }
            "null" => {
                let _ = encode::write_nil(&mut self.out);
            }
            number => self.number(number),
        }
    }

    fn number(&mut self, raw: &str) {
        if let Ok(value) = raw.parse() {
            let _ = encode::write_uint(&mut self.out, value);
            return;
        }
        if let Ok(value) = raw.parse() {
            let _ = encode::write_sint(&mut self.out, value);
            return;
        }
        /// The bound below which a whole number is a `u64`.
        const U64: f64 = 18_446_744_073_709_551_616.0;
        let value: f64 = raw.parse().unwrap_or(f64::NAN);
        if !value.is_finite() {
            let _ = encode::write_nil(&mut self.out);
        } else if (0.0..U64).contains(&value) && value as u64 as f64 == value {
            let _ = encode::write_uint(&mut self.out, value as u64);
        } else if (-U64 / 2.0..0.0).contains(&value) && value as i64 as f64 == value {
            let _ = encode::write_sint(&mut self.out, value as i64);
        } else {
            let _ = encode::write_f64(&mut self.out, value);
        }
    }
}
