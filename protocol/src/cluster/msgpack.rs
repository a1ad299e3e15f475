//! MessagePack, from and to JSON text with attachments beside it. Nothing is built in between.
//!
//! The crate `rmp` knows the bytes of the format. What JavaScript's values mean in it is here: bin is an attachment, a
//! timestamp is the text that `JSON.stringify` makes of a date, `undefined` and numbers that are not finite are
//! `null`. On the way back a number without a fraction is an integer if 64 bits hold it, and a double otherwise.

use super::{InexpressibleError, Limits, MalformedError};
use crate::socket::json::placeholder::{self, Placeholder};
use crate::socket::json::scan::{skip_string, skip_value, unescape};
use crate::socket::json::write::{push_string, push_u64};
use alloc::format;
use alloc::string::String;
use alloc::vec;
use alloc::vec::Vec;
use bytes::Bytes;
use core::convert::Infallible;
use rmp::Marker;
use rmp::decode::{self, Bytes as Reader};
use rmp::encode::{self, ByteBuf};

/// Makes JSON text of one MessagePack value, and attachments of its bytes, which share the memory of `payload`.
pub(super) fn to_json(payload: &Bytes, limits: &Limits) -> Result<(String, Vec<Bytes>), MalformedError> {
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

fn count_placeholders(json: &[u8]) -> usize {
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

const CUT: MalformedError = MalformedError::MessagePack { reason: "the end is missing" };

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
            Marker::F64 => {
                let value = decode::read_f64(&mut self.rest).map_err(|_| CUT)?;
                push_number(&mut self.text, value);
            }
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
            | Marker::Ext32 => {
                let meta = decode::read_ext_meta(&mut self.rest).map_err(|_| CUT)?;
                let bytes = self.take(meta.size)?;
                match meta.typeid {
                    -1 => self.timestamp(&bytes)?,
                    // How older versions of notepack write `undefined`.
                    0 if meta.size == 1 => self.text.extend_from_slice(b"null"),
                    _ => return Err(MalformedError::MessagePack { reason: "an extension is not known" }),
                }
            }
            Marker::Reserved => return Err(MalformedError::MessagePack { reason: "a type does not exist" }),
        }
        Ok(None)
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
const MOST_SECONDS: i64 = 8_640_000_000_000;

/// `"1970-01-01T00:00:01.500Z"`; `null` for what JavaScript's dates do not reach.
#[allow(
    clippy::arithmetic_side_effects,
    reason = "proof: the seconds are at most 8.64e12, and the rest is smaller still"
)]
fn push_date(out: &mut Vec<u8>, seconds: i64, millis: u32) {
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

/// Makes MessagePack of valid JSON text, and bytes of the placeholders in it, if there are attachments.
pub(super) fn from_json(
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
        /// What is below is a `u64` if it is whole.
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

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::string::ToString;

    fn json(bytes: &[u8]) -> Result<String, MalformedError> {
        to_json(&Bytes::copy_from_slice(bytes), &Limits::default()).map(|(json, _)| json)
    }

    fn bytes(json: &str) -> Vec<u8> {
        from_json(json, &[], &Limits::default()).unwrap()
    }

    #[test]
    fn values_go_both_ways() {
        for (text, bytes_of) in [
            ("null", &[0xc0][..]),
            ("true", &[0xc3]),
            ("0", &[0]),
            ("127", &[127]),
            ("128", &[0xcc, 128]),
            ("65536", &[0xce, 0, 1, 0, 0]),
            ("-1", &[0xff]),
            ("-33", &[0xd0, 0xdf]),
            ("18446744073709551615", &[0xcf, 255, 255, 255, 255, 255, 255, 255, 255]),
            ("1.5", &[0xcb, 0x3f, 0xf8, 0, 0, 0, 0, 0, 0]),
            ("[]", &[0x90]),
            ("{}", &[0x80]),
            (r#"[1,[],{"a":[{}]},"b"]"#, &[0x94, 1, 0x90, 0x81, 0xa1, b'a', 0x91, 0x80, 0xa1, b'b']),
            (r#"{"a":1,"b":{"c":2}}"#, &[0x82, 0xa1, b'a', 1, 0xa1, b'b', 0x81, 0xa1, b'c', 2]),
        ] {
            assert_eq!(bytes(text), bytes_of, "{text}");
            assert_eq!(json(bytes_of).unwrap(), text);
        }
    }

    #[test]
    fn json_may_be_written_in_other_ways() {
        for (text, same) in [
            (" [ 1 , { \"a\" : [ ] } ] ", r#"[1,{"a":[]}]"#),
            ("-0", "0"),
            ("1.0", "1"),
            ("-2e3", "-2000"),
            ("1e19", "10000000000000000000"),
            ("18446744073709549568.0", "18446744073709549568"),
            ("-9223372036854775808.0", "-9223372036854775808"),
            (r#""\u0041\n""#, r#""A\n""#),
            (r#""\ud83d""#, "\"\u{fffd}\""),
            ("1e400", "null"),
        ] {
            assert_eq!(bytes(text), bytes(same), "{text}");
        }
    }

    #[test]
    fn no_number_is_lost() {
        for (text, read) in [
            ("1e300", "1e300"),
            ("1.8446744073709551616e19", "18446744073709552000"),
            ("-9.3e18", "-9300000000000000000"),
            ("-1e300", "-1e300"),
            ("18446744073709551616", "18446744073709552000"),
            ("1180591620717411303424", "1.1805916207174113e21"),
            ("1e-7", "1e-7"),
            ("0.000001", "0.000001"),
            ("9007199254740993", "9007199254740993"),
        ] {
            assert_eq!(json(&bytes(text)).unwrap(), read, "{text}");
        }
        assert_eq!(json(&[0xcb, 0x7f, 0xf8, 0, 0, 0, 0, 0, 0]).unwrap(), "null", "NaN");
        assert_eq!(json(&[0xcb, 0xff, 0xf0, 0, 0, 0, 0, 0, 0]).unwrap(), "null", "-Infinity");
        assert_eq!(json(&[0xcb, 0x80, 0, 0, 0, 0, 0, 0, 0]).unwrap(), "0", "-0");
    }

    #[test]
    fn dates_are_the_text_of_json() {
        let date = |seconds, millis| {
            let mut out = Vec::new();
            push_date(&mut out, seconds, millis);
            String::from_utf8(out).unwrap()
        };
        for (seconds, millis, text) in [
            (0, 0, "\"1970-01-01T00:00:00.000Z\""),
            (1, 500, "\"1970-01-01T00:00:01.500Z\""),
            (951_782_400, 0, "\"2000-02-29T00:00:00.000Z\""),
            (1_795_990_383, 520, "\"2026-11-29T22:13:03.520Z\""),
            (-1, 0, "\"1969-12-31T23:59:59.000Z\""),
            (-62_167_219_200, 0, "\"0000-01-01T00:00:00.000Z\""),
            (-62_167_219_201, 0, "\"-000001-12-31T23:59:59.000Z\""),
            (253_402_300_800, 0, "\"+010000-01-01T00:00:00.000Z\""),
            (MOST_SECONDS, 0, "\"+275760-09-13T00:00:00.000Z\""),
            (MOST_SECONDS + 1, 0, "null"),
            (i64::MIN, 0, "null"),
            (0, 1000, "null"),
        ] {
            assert_eq!(date(seconds, millis), text, "{seconds}");
        }
        assert_eq!(json(&[0xd6, 0xff, 0, 0, 0, 1]).unwrap(), "\"1970-01-01T00:00:01.000Z\"");
        let long = [0xc7, 12, 0xff, 0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff];
        assert_eq!(json(&long).unwrap(), "\"1969-12-31T23:59:59.000Z\"");
        assert!(json(&[0xd5, 0xff, 0, 0]).is_err());
    }

    #[test]
    fn what_is_no_value_is_refused() {
        for bytes in [
            &[][..],
            &[0xc1],
            &[0xc1, 0xc1],
            &[0xa3, b's', b't'],
            &[0xdd, 0xff, 0xff, 0xff, 0xff],
            &[0xdf, 0xff, 0xff, 0xff, 0xff],
            &[0xc6, 0xff, 0xff, 0xff, 0xff, 0],
            &[0x81, 1, 1],
            &[0xa1, 0xff],
            &[0xd4, 5, 0],
            &[1, 1],
            &[0x91],
            &[0xcf, 0, 0],
        ] {
            assert!(json(bytes).is_err(), "{bytes:?}");
        }
    }

    #[test]
    fn bytes_become_attachments_and_back() {
        let payload = Bytes::from_static(&[0x92, 0xc4, 2, 1, 2, 0x81, 0xa1, b'a', 0xc4, 0]);
        let (json, attachments) = to_json(&payload, &Limits::default()).unwrap();
        assert_eq!(json, r#"[{"_placeholder":true,"num":0},{"a":{"_placeholder":true,"num":1}}]"#);
        assert_eq!(attachments, [&[1, 2][..], &[]]);
        assert_eq!(from_json(&json, &attachments, &Limits::default()).unwrap(), payload);
        // Without attachments it is an object like any other.
        let (same, none) = to_json(&bytes(&json).into(), &Limits::default()).unwrap();
        assert_eq!((same, none.len()), (json.clone(), 0));
        // Beside attachments it would be taken for one.
        let mut lookalike = vec![0x92, 0xc4, 0];
        lookalike.extend(bytes(r#"{"_placeholder":true,"num":0}"#));
        assert_eq!(to_json(&lookalike.into(), &Limits::default()).unwrap_err(), MalformedError::Placeholder);
        let one = &attachments[..1];
        assert_eq!(from_json(&json, one, &Limits::default()), Err(InexpressibleError::Placeholder));
    }

    #[test]
    fn nesting_ends_at_the_limit() {
        let limits = Limits::default().with_depth(3);
        let deep = |levels: usize| "[".repeat(levels) + &"]".repeat(levels);
        for (levels, fits) in [(3, true), (4, false)] {
            let mut nested = vec![0x91; levels - 1];
            nested.push(0x90);
            assert_eq!(to_json(&nested.into(), &limits).is_ok(), fits);
            assert_eq!(from_json(&deep(levels), &[], &limits).is_ok(), fits);
        }
        // However high the limit, the stack holds.
        let limits = Limits::default().with_depth(usize::MAX);
        assert_eq!(to_json(&vec![0x91; 1_000_000].into(), &limits).unwrap_err(), CUT);
        assert_eq!(from_json(&deep(1_000_000), &[], &limits).unwrap().len(), 1_000_000);
        assert!(to_json(&Bytes::new(), &limits).unwrap_err().to_string().contains("end is missing"));
    }
}
