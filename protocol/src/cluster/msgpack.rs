//! MessagePack, from and to JSON text with attachments beside it, by the parser's own reading and writing of values.
//!
//! Stricter than the parser, because what comes from a node goes to many clients: keys are texts, and an extension that
//! is neither a date nor `undefined` nor bytes is refused.

use super::codec::check_depth;
use crate::cluster::{InexpressibleError, Limits, MalformedError};
use crate::socket::json::placeholder;
use crate::socket::msgpack::check;
use crate::socket::msgpack::from_json::push_finite_values;
use crate::socket::msgpack::head::{Fault, Head};
use crate::socket::msgpack::to_json::{Binary, push_value};
use alloc::string::String;
use alloc::vec::Vec;
use bytes::Bytes;
use core::convert::Infallible;

/// Makes JSON text of one MessagePack value, and attachments of its bytes, which share the memory of `payload`.
pub(in crate::cluster) fn to_json(
    payload: &Bytes,
    limits: &Limits,
) -> Result<(String, Vec<Bytes>), MalformedError> {
    let binary = checked(payload, limits)?;
    let mut text = Vec::with_capacity(payload.len());
    let mut attachments = Vec::with_capacity(binary);
    let mut rest = &payload[..];
    let mut into = Binary::Attach { message: payload, attachments: &mut attachments };
    push_value(&mut text, &mut rest, &mut into);
    // An object that looks like a placeholder would be taken for bytes from here on.
    if !attachments.is_empty() && count_placeholders(&text) != attachments.len() {
        return Err(MalformedError::Placeholder);
    }
    let text = String::from_utf8(text).map_err(|_| malformed(Fault::Utf8, limits))?;
    Ok((text, attachments))
}

/// Checks that it is one value, and returns how many values in it are bytes.
fn checked(payload: &[u8], limits: &Limits) -> Result<usize, MalformedError> {
    let mut rest = payload;
    let seen = check::value(&mut rest, limits.depth).map_err(|fault| malformed(fault, limits))?;
    if !rest.is_empty() {
        return Err(MalformedError::MessagePack { reason: "there are bytes behind the value" });
    }
    if seen.has_odd_keys {
        return Err(malformed(Fault::Key, limits));
    }
    let mut rest = payload;
    let mut binary = 0usize;
    while !rest.is_empty() {
        match Head::read(&mut rest).map_err(|fault| malformed(fault, limits))? {
            Head::Bin(_) => binary = binary.saturating_add(1),
            Head::Ext(_) => {
                return Err(MalformedError::MessagePack { reason: "an extension is not known" });
            }
            _ => {}
        }
    }
    if binary > limits.attachments {
        return Err(MalformedError::TooLarge { unit: "attachments", limit: limits.attachments });
    }
    Ok(binary)
}

fn malformed(fault: Fault, limits: &Limits) -> MalformedError {
    let reason = match fault {
        Fault::Cut => "the end is missing",
        Fault::Reserved => "a type does not exist",
        Fault::Utf8 => "a text is not UTF-8",
        Fault::Key => "a key is no text",
        Fault::TooDeep { .. } => {
            return MalformedError::TooLarge { unit: "depth", limit: limits.depth };
        }
    };
    MalformedError::MessagePack { reason }
}

/// Makes MessagePack of valid JSON text, and bytes of the placeholders in it, if there are attachments.
pub(in crate::cluster) fn from_json(
    json: &str,
    attachments: &[Bytes],
    limits: &Limits,
) -> Result<Vec<u8>, InexpressibleError> {
    if check_depth(json, limits).is_err() {
        return Err(InexpressibleError::TooLarge { unit: "depth", limit: limits.depth });
    }
    if !attachments.is_empty() {
        // Another object that looks like a placeholder would be lost, or taken for bytes by whoever reads it.
        let outermost = placeholder::outermost(json.as_bytes());
        let is_in_order = outermost.len() == attachments.len()
            && outermost.iter().all(|found| found.num.is_some_and(|num| num < attachments.len()))
            && count_placeholders(json.as_bytes()) == outermost.len();
        if !is_in_order {
            return Err(InexpressibleError::Placeholder);
        }
    }
    let mut out = Vec::with_capacity(json.len());
    push_finite_values(&mut out, json, attachments);
    Ok(out)
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

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::string::ToString;
    use alloc::vec;

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
            (r#""\u0041\n""#, r#""A\n""#),
            (r#""\ud83d""#, "\"\u{fffd}\""),
        ] {
            assert_eq!(bytes(text), bytes(same), "{text}");
        }
        assert_eq!(bytes("1.0"), [0xcb, 0x3f, 0xf0, 0, 0, 0, 0, 0, 0], "no integer to Python either");
        assert_eq!(bytes("1e400"), bytes("null"));
    }

    #[test]
    fn no_number_is_lost() {
        for text in ["1e+300", "-1e+300", "1.8446744073709552e+19", "-9.3e+18", "1e-7", "9007199254740993"] {
            assert_eq!(json(&bytes(text)).unwrap(), text);
        }
        assert_eq!(json(&bytes("18446744073709551616")).unwrap(), "1.8446744073709552e+19");
        assert_eq!(json(&[0xcb, 0x7f, 0xf8, 0, 0, 0, 0, 0, 0]).unwrap(), "null", "NaN");
        assert_eq!(json(&[0xcb, 0xff, 0xf0, 0, 0, 0, 0, 0, 0]).unwrap(), "null", "-Infinity");
        assert_eq!(json(&[0xcb, 0x80, 0, 0, 0, 0, 0, 0, 0]).unwrap(), "-0.0", "-0");
    }

    #[test]
    fn dates_are_the_text_of_json() {
        assert_eq!(json(&[0xd6, 0xff, 0, 0, 0, 1]).unwrap(), "\"1970-01-01T00:00:01.000Z\"");
        let long = [0xc7, 12, 0xff, 0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff];
        assert_eq!(json(&long).unwrap(), "\"1969-12-31T23:59:59.000Z\"");
        let far = [0xd7, 0, 0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff];
        assert_eq!(json(&far).unwrap(), "null", "no date of JavaScript's");
        assert!(json(&[0xd5, 0xff, 0, 0]).is_err());
    }

    #[test]
    fn what_is_undefined_is_left_out_as_in_json() {
        let list = [0x92, 0xd4, 0, 0, 0x82, 0xa1, b'a', 0xd4, 0, 0, 0xa1, b'b', 1];
        assert_eq!(json(&list).unwrap(), r#"[null,{"b":1}]"#);
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
        assert_eq!(
            to_json(&vec![0x91; 1_000_000].into(), &limits).unwrap_err(),
            malformed(Fault::Cut, &limits)
        );
        assert_eq!(from_json(&deep(1_000_000), &[], &limits).unwrap().len(), 1_000_000);
        assert!(to_json(&Bytes::new(), &limits).unwrap_err().to_string().contains("end is missing"));
    }
}
