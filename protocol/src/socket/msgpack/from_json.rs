//! Values from JSON text: for the data of packets, which is JSON, and for arguments on their way from another parser.

use super::write::{
    push_array, push_bin, push_bool, push_f64, push_int, push_map, push_nil, push_str, push_uint,
};
use crate::socket::json::placeholder::{self, Placeholder};
use crate::socket::json::scan::{skip_string, skip_value, unescape};
use alloc::vec;
use alloc::vec::Vec;
use bytes::Bytes;

/// Writes valid JSON text: one value, or several with commas between them. A placeholder is the attachment that it
/// names; one that names none stays the object that it is.
///
/// Does not recurse: a level of nesting costs a few bytes.
pub(crate) fn push_values(out: &mut Vec<u8>, json: &str, attachments: &[Bytes]) {
    push(out, json, attachments, false);
}

/// The same, but a number that is too large for a double is `nil` and not infinite: as it will be when somebody writes
/// JSON again, which has nothing infinite.
#[cfg(feature = "cluster")]
pub(crate) fn push_finite_values(out: &mut Vec<u8>, json: &str, attachments: &[Bytes]) {
    push(out, json, attachments, true);
}

fn push(out: &mut Vec<u8>, json: &str, attachments: &[Bytes], is_finite: bool) {
    let mut placeholders =
        if attachments.is_empty() { Vec::new() } else { placeholder::outermost(json.as_bytes()) };
    placeholders.retain(|found| found.num.is_some_and(|num| num < attachments.len()));
    let sizes = sizes(json, &placeholders).into_iter();
    FromJson { json, at: 0, attachments, placeholders: &placeholders, sizes, is_finite, out }.document();
}

/// The numbers of elements or members of each array and object, in the order in which they begin.
#[allow(
    clippy::arithmetic_side_effects,
    reason = "proof: a position is at most one byte behind the end of a slice, and each element has a byte at least"
)]
fn sizes(json: &str, placeholders: &[Placeholder]) -> Vec<usize> {
    let bytes = json.as_bytes();
    let mut placeholders = placeholders.iter();
    let mut placeholder = placeholders.next();
    let mut sizes: Vec<usize> = Vec::new();
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

struct FromJson<'a> {
    json: &'a str,
    at: usize,
    attachments: &'a [Bytes],
    placeholders: &'a [Placeholder],
    sizes: vec::IntoIter<usize>,
    is_finite: bool,
    out: &'a mut Vec<u8>,
}

impl FromJson<'_> {
    /// The sizes of what is open say where it ends, so nothing is written there.
    fn document(&mut self) {
        while let Some(&byte) = self.json.as_bytes().get(self.at) {
            match byte {
                b'"' => {
                    self.string();
                    continue;
                }
                b'[' | b'{' => {
                    if self.placeholder() {
                        continue;
                    }
                    let size = self.sizes.next().unwrap_or(0);
                    if byte == b'[' { push_array(self.out, size) } else { push_map(self.out, size) }
                }
                b']' | b'}' | b',' | b':' | b' ' | b'\t' | b'\n' | b'\r' => {}
                _ => {
                    self.scalar();
                    continue;
                }
            }
            self.at = self.at.saturating_add(1);
        }
    }

    /// Writes the bytes that a placeholder stands for, if one begins here.
    fn placeholder(&mut self) -> bool {
        let Some((found, others)) = self.placeholders.split_first() else { return false };
        if found.span.start != self.at {
            return false;
        }
        self.placeholders = others;
        self.at = found.span.end;
        let attachment = found.num.and_then(|num| self.attachments.get(num));
        push_bin(self.out, attachment.map_or(&[], |bytes| &bytes[..]));
        true
    }

    #[allow(
        clippy::arithmetic_side_effects,
        reason = "proof: a position is at most one byte behind the end of a slice, and a text in quotes has both of them"
    )]
    fn string(&mut self) {
        let end = skip_string(self.json.as_bytes(), self.at);
        let body = self.json.get(self.at + 1..end.max(self.at + 2) - 1).unwrap_or_default();
        push_str(self.out, &unescape(body));
        self.at = end;
    }

    fn scalar(&mut self) {
        let end = skip_value(self.json.as_bytes(), self.at).max(self.at.saturating_add(1));
        let raw = self.json.get(self.at..end).unwrap_or_default();
        self.at = end;
        match raw {
            "true" | "false" => push_bool(self.out, raw == "true"),
            "null" => push_nil(self.out),
            number => self.number(number),
        }
    }

    /// A number that is written without a fraction is an integer, if 64 bits hold it.
    fn number(&mut self, raw: &str) {
        if let Ok(value) = raw.parse() {
            push_uint(self.out, value);
        } else if let Ok(value) = raw.parse() {
            push_int(self.out, value);
        } else {
            match raw.parse::<f64>() {
                Ok(value) if value.is_infinite() && self.is_finite => push_nil(self.out),
                value => push_f64(self.out, value.unwrap_or(f64::NAN)),
            }
        }
    }
}
