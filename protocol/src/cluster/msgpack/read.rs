//! MessagePack to JSON text with attachments beside it.

use crate::cluster::{Limits, MalformedError};
use crate::socket::json::placeholder;
use crate::socket::json::write::{push_string, push_u64};
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use bytes::Bytes;
use core::convert::Infallible;
use rmp::Marker;
use rmp::decode::{self, Bytes as Reader};

/// Makes JSON text of one MessagePack value, and attachments of its bytes, which share the memory of `payload`.
pub(in crate::cluster) fn to_json(
    payload: &Bytes,
    limits: &Limits,
) -> Result<(String, Vec<Bytes>), MalformedError> {
    let mut to_json =
        ToJson { payload, rest: Reader::new(payload), limits, text: Vec::new(), attachments: Vec::new() };
    to_json.document()?;
    if !to_json.rest.remaining_slice().is_empty() {
        return Err(MalformedError::MessagePack { reason: "there are bytes behind the value" });
    }
    let ToJson { text, attachments, .. } = to_json;
    // An object that looks like a placeholder would be taken for bytes from here on.
    if !attachments.is_empty() && count_placeholders(&text) != attachments.len() {
        return Err(MalformedError::Placeholder);
    }
    let text =
        String::from_utf8(text).map_err(|_| MalformedError::MessagePack { reason: "a text is not UTF-8" })?;
    Ok((text, attachments))
}

pub(super) fn count_placeholders(json: &[u8]) -> usize {
    let mut count = 0usize;
    let counted = placeholder::placeholders(json, |_| {
        count = count.saturating_add(1);
        Ok::<(), Infallible>(())
    });
    let Ok(()) = counted;
    count
}

struct ToJson<'a> {
    payload: &'a Bytes,
    rest: Reader<'a>,
    limits: &'a Limits,
    text: Vec<u8>,
    attachments: Vec<Bytes>,
}

pub(super) const CUT: MalformedError = MalformedError::MessagePack { reason: "the end is missing" };

/// An array or a map that has not ended.
struct Open {
    /// Elements or members still to come.
    left: u32,
    is_map: bool,
    is_new: bool,
}

impl ToJson<'_> {
    /// One value with all that is in it. Does not recurse: a level of nesting costs a few bytes.
    fn document(&mut self) -> Result<(), MalformedError> {
        let mut open: Vec<Open> = Vec::new();
        loop {
            if let Some(container) = self.value()? {
                let limit = self.limits.depth;
                if open.len() >= limit {
                    return Err(MalformedError::TooLarge { unit: "depth", limit });
                }
                self.text.push(if container.is_map { b'{' } else { b'[' });
                open.push(container);
            }
            // To the place of the next value, and out of all that ends before it.
            loop {
                let Some(container) = open.last_mut() else { return Ok(()) };
                let Some(left) = container.left.checked_sub(1) else {
                    self.text.push(if container.is_map { b'}' } else { b']' });
                    open.pop();
                    continue;
                };
                container.left = left;
                if !core::mem::take(&mut container.is_new) {
                    self.text.push(b',');
                }
                if container.is_map {
                    self.string()?;
                    self.text.push(b':');
                }
                break;
            }
        }
    }

    /// One value, or the beginning of an array or a map.
    fn value(&mut self) -> Result<Option<Open>, MalformedError> {
        let marker = self.rest.remaining_slice().first().copied().map(Marker::from_u8).ok_or(CUT)?;
        match marker {
            Marker::Null => {
                decode::read_nil(&mut self.rest).map_err(|_| CUT)?;
                self.text.extend_from_slice(b"null");
            }
            Marker::True | Marker::False => {
                let value = decode::read_bool(&mut self.rest).map_err(|_| CUT)?;
                self.text.extend_from_slice(if value { b"true" } else { b"false" });
            }
            Marker::FixPos(_)
            | Marker::U8
            | Marker::U16
            | Marker::U32
            | Marker::U64
            | Marker::FixNeg(_)
            | Marker::I8
            | Marker::I16
            | Marker::I32
            | Marker::I64
            | Marker::F32
            | Marker::F64 => self.number(marker)?,
            Marker::FixStr(_) | Marker::Str8 | Marker::Str16 | Marker::Str32 => self.string()?,
            Marker::Bin8 | Marker::Bin16 | Marker::Bin32 => {
                let len = decode::read_bin_len(&mut self.rest).map_err(|_| CUT)?;
                let bytes = self.take(len)?;
                let limit = self.limits.attachments;
                if self.attachments.len() >= limit {
                    return Err(MalformedError::TooLarge { unit: "attachments", limit });
                }
                placeholder::push(&mut self.text, self.attachments.len());
                self.attachments.push(bytes);
            }
            Marker::FixArray(_) | Marker::Array16 | Marker::Array32 => {
                let left = decode::read_array_len(&mut self.rest).map_err(|_| CUT)?;
                return Ok(Some(Open { left, is_map: false, is_new: true }));
            }
            Marker::FixMap(_) | Marker::Map16 | Marker::Map32 => {
                let left = decode::read_map_len(&mut self.rest).map_err(|_| CUT)?;
                return Ok(Some(Open { left, is_map: true, is_new: true }));
            }
            Marker::FixExt1
            | Marker::FixExt2
            | Marker::FixExt4
            | Marker::FixExt8
            | Marker::FixExt16
            | Marker::Ext8
            | Marker::Ext16
            | Marker::Ext32 => self.extension()?,
            Marker::Reserved => return Err(MalformedError::MessagePack { reason: "a type does not exist" }),
        }
        Ok(None)
    }

    fn number(&mut self, marker: Marker) -> Result<(), MalformedError> {
        match marker {
            Marker::FixPos(_) | Marker::U8 | Marker::U16 | Marker::U32 | Marker::U64 => {
                let value: u64 = decode::read_int(&mut self.rest).map_err(|_| CUT)?;
                push_u64(&mut self.text, value);
            }
            Marker::FixNeg(_) | Marker::I8 | Marker::I16 | Marker::I32 | Marker::I64 => {
                let value: i64 = decode::read_int(&mut self.rest).map_err(|_| CUT)?;
                if value < 0 {
                    self.text.push(b'-');
                }
                push_u64(&mut self.text, value.unsigned_abs());
            }
            Marker::F32 => {
                let value = decode::read_f32(&mut self.rest).map_err(|_| CUT)?;
                push_number(&mut self.text, f64::from(value));
            }
            _ => {
                let value = decode::read_f64(&mut self.rest).map_err(|_| CUT)?;
                push_number(&mut self.text, value);
            }
        }
        Ok(())
    }

    fn extension(&mut self) -> Result<(), MalformedError> {
        let meta = decode::read_ext_meta(&mut self.rest).map_err(|_| CUT)?;
        let bytes = self.take(meta.size)?;
        match meta.typeid {
            -1 => self.timestamp(&bytes)?,
            // How older versions of notepack write `undefined`.
            0 if meta.size == 1 => self.text.extend_from_slice(b"null"),
            _ => return Err(MalformedError::MessagePack { reason: "an extension is not known" }),
        }
        Ok(())
    }

    fn string(&mut self) -> Result<(), MalformedError> {
        let len = decode::read_str_len(&mut self.rest)
            .map_err(|_| MalformedError::MessagePack { reason: "a text is missing" })?;
        let bytes = self.take(len)?;
        let text = core::str::from_utf8(&bytes)
            .map_err(|_| MalformedError::MessagePack { reason: "a text is not UTF-8" })?;
        push_string(&mut self.text, text);
        Ok(())
    }

    /// The next bytes, without a copy.
    fn take(&mut self, len: u32) -> Result<Bytes, MalformedError> {
        let rest = self.rest.remaining_slice();
        let (taken, rest) = rest.split_at_checked(len as usize).ok_or(CUT)?;
        self.rest = Reader::new(rest);
        Ok(self.payload.slice_ref(taken))
    }

    /// The text that `JSON.stringify` makes of a date.
    fn timestamp(&mut self, bytes: &[u8]) -> Result<(), MalformedError> {
        let (seconds, nanos) = if let Ok(four) = <[u8; 4]>::try_from(bytes) {
            (i64::from(u32::from_be_bytes(four)), 0)
        } else if let Ok(eight) = <[u8; 8]>::try_from(bytes) {
            let both = u64::from_be_bytes(eight);
            ((both & 0x3_ffff_ffff) as i64, (both >> 34) as u32)
        } else if let Some((four, eight)) = bytes.split_first_chunk::<4>() {
            let eight = <[u8; 8]>::try_from(eight)
                .map_err(|_| MalformedError::MessagePack { reason: "a timestamp has no known length" })?;
            (i64::from_be_bytes(eight), u32::from_be_bytes(*four))
        } else {
            return Err(MalformedError::MessagePack { reason: "a timestamp has no known length" });
        };
        push_date(&mut self.text, seconds, nanos / 1_000_000);
        Ok(())
    }
}

/// The farthest date of JavaScript, in seconds from 1970 in both directions.
pub(super) const MOST_SECONDS: i64 = 8_640_000_000_000;

/// `"1970-01-01T00:00:01.500Z"`; `null` for what JavaScript's dates do not reach.
#[allow(
    clippy::arithmetic_side_effects,
    reason = "proof: the seconds are at most 8.64e12, and the rest is smaller still"
)]
pub(super) fn push_date(out: &mut Vec<u8>, seconds: i64, millis: u32) {
    if !(-MOST_SECONDS..=MOST_SECONDS).contains(&seconds) || millis > 999 {
        out.extend_from_slice(b"null");
        return;
    }
    let (days, second) = (seconds.div_euclid(86_400), seconds.rem_euclid(86_400));
    // Days to years in the calendar that has always been Gregorian, in eras of 400 years that begin in March.
    let days = days + 719_468;
    let (era, day) = (days.div_euclid(146_097), days.rem_euclid(146_097));
    let year = (day - day / 1460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day + 2) / 153;
    let day = day - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    let year = year + era * 400 + i64::from(month <= 2);
    let year = match year {
        0..=9999 => format!("{year:04}"),
        _ if year < 0 => format!("-{:06}", -year),
        _ => format!("+{year:06}"),
    };
    let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
    out.extend_from_slice(
        format!("\"{year}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{millis:03}Z\"").as_bytes(),
    );
}

/// A number in as few digits as JavaScript needs; `null` if it is not finite.
fn push_number(out: &mut Vec<u8>, value: f64) {
    let magnitude = value.abs();
    let text = if !value.is_finite() {
        "null".into()
    } else if value == 0.0 {
        "0".into()
    } else if (1e-6..1e21).contains(&magnitude) {
        format!("{value}")
    } else {
        format!("{value:e}")
    };
    out.extend_from_slice(text.as_bytes());
}
