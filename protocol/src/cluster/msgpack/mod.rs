//! MessagePack, from and to JSON text with attachments beside it. Nothing is built in between.
//!
//! The crate `rmp` knows the bytes of the format. What JavaScript's values mean in it is here: bin is an attachment, a
//! timestamp is the text that `JSON.stringify` makes of a date, `undefined` and numbers that are not finite are
//! `null`. On the way back a number without a fraction is an integer if 64 bits hold it, and a double otherwise.

mod read;
mod write;

pub(super) use self::read::to_json;
pub(super) use self::write::from_json;

#[cfg(test)]
mod tests {
    use super::read::{CUT, MOST_SECONDS, push_date};
    use super::*;
    use crate::cluster::{InexpressibleError, Limits, MalformedError};
    use alloc::string::String;
    use alloc::string::ToString;
    use alloc::vec;
    use alloc::vec::Vec;
    use bytes::Bytes;

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
