//! Dates, as JavaScript has them.

use alloc::format;
use alloc::string::String;
use core::fmt;
use serde::de::{self, Deserialize, Deserializer, Visitor};
use serde::ser::{Serialize, Serializer};

/// A date of JavaScript's: milliseconds from the beginning of 1970 in UTC, without leap seconds.
///
/// With the MessagePack parser it is a `Date` at a JavaScript peer. As JSON it is the text that JavaScript's
/// `toJSON` makes, `"2026-01-31T12:00:00.000Z"`, as any date is there. It reads both, and numbers, which are
/// milliseconds.
///
/// ```
/// use sansocket_protocol::socket::{Args, Date, Parser};
///
/// let date = Date::from_millis(1_000);
/// let frame = Parser::json().event("/", "at", None, &date)?;
/// assert_eq!(frame.text().unwrap(), r#"42["at","1970-01-01T00:00:01.000Z"]"#);
///
/// let args = Args::from_json(r#"["1970-01-01T00:00:01.000Z"]"#, vec![])?;
/// assert_eq!(args.decode::<Date>()?, date);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Date(i64);

/// The name by which our own serializer knows it.
pub(super) const DATE: &str = "$sansocket::private::Date";

/// The farthest date of JavaScript, in both directions from 1970.
const MOST_MILLIS: i64 = 8_640_000_000_000_000;

impl Date {
    /// The date so many milliseconds after the beginning of 1970.
    pub const fn from_millis(millis: i64) -> Self {
        Self(millis)
    }

    /// The milliseconds from the beginning of 1970.
    pub const fn millis(self) -> i64 {
        self.0
    }
}

impl Serialize for Date {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_newtype_struct(DATE, &Inner(self.0))
    }
}

/// A text for everybody, milliseconds for our own serializer.
struct Inner(i64);

impl Serialize for Inner {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if !serializer.is_human_readable() {
            return serializer.serialize_i64(self.0);
        }
        match iso(self.0) {
            Some(text) => serializer.serialize_str(&text),
            None => serializer.serialize_unit(),
        }
    }
}

impl<'de> Deserialize<'de> for Date {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct DateVisitor;

        impl Visitor<'_> for DateVisitor {
            type Value = Date;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a date")
            }

            fn visit_i64<E: de::Error>(self, millis: i64) -> Result<Date, E> {
                Ok(Date(millis))
            }

            fn visit_u64<E: de::Error>(self, millis: u64) -> Result<Date, E> {
                i64::try_from(millis).map(Date).map_err(|_| E::custom("the date is too far away"))
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Date, E> {
                parse(text).map(Date).ok_or_else(|| E::invalid_value(de::Unexpected::Str(text), &self))
            }
        }

        deserializer.deserialize_any(DateVisitor)
    }
}

/// `1970-01-01T00:00:01.500Z`. `None` for what JavaScript's dates do not reach.
#[allow(
    clippy::arithmetic_side_effects,
    reason = "proof: the milliseconds are at most 8.64e15, and the rest is smaller still"
)]
pub(crate) fn iso(millis: i64) -> Option<String> {
    if !(-MOST_MILLIS..=MOST_MILLIS).contains(&millis) {
        return None;
    }
    let (seconds, millis) = (millis.div_euclid(1000), millis.rem_euclid(1000));
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
    Some(format!("{year}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{millis:03}Z"))
}

/// The milliseconds of what [`iso`] writes, and of nothing else.
fn parse(text: &str) -> Option<i64> {
    let (is_negative, rest) = match text.as_bytes().first()? {
        b'+' => (false, text.get(1..)?),
        b'-' => (true, text.get(1..)?),
        _ => (false, text),
    };
    let number = |text: &str| -> Option<i64> {
        if text.bytes().all(|byte| byte.is_ascii_digit()) { text.parse().ok() } else { None }
    };
    let (date, time) = rest.strip_suffix('Z')?.split_once('T')?;
    let mut date = date.split('-');
    let year = number(date.next()?)?;
    let year = if is_negative { year.checked_neg()? } else { year };
    let (month, day) = (number(date.next()?)?, number(date.next()?)?);
    let (clock, millis) = time.split_once('.')?;
    let mut clock = clock.split(':');
    let (hour, minute, second) = (number(clock.next()?)?, number(clock.next()?)?, number(clock.next()?)?);
    let millis = number(millis)?;
    let is_date = (1..=12).contains(&month) && year.checked_abs()? <= 300_000;
    if date.next().is_some() || clock.next().is_some() || !is_date || day > 31 || hour > 24 || millis > 999 {
        return None;
    }
    let at = moment(year, month, day, [hour, minute, second, millis])?;
    // Whatever is not written as we write it is refused: the 30th of February, a minute of 75 seconds.
    (iso(at)?.as_str() == text).then_some(at)
}

#[allow(clippy::arithmetic_side_effects, reason = "proof: years are at most six digits, the rest is smaller")]
fn moment(year: i64, month: i64, day: i64, [hour, minute, second, millis]: [i64; 4]) -> Option<i64> {
    let year = if month <= 2 { year - 1 } else { year };
    let month = if month > 2 { month - 3 } else { month + 9 };
    let (era, year) = (year.div_euclid(400), year.rem_euclid(400));
    let day = (153 * month + 2) / 5 + day - 1;
    let days = era * 146_097 + year * 365 + year / 4 - year / 100 + day - 719_468;
    if minute > 59 || second > 59 {
        return None;
    }
    Some(((days * 24 + hour) * 60 + minute) * 60_000 + second * 1000 + millis)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn dates_are_written_as_javascript_writes_them() {
        for (millis, text) in [
            (0, "1970-01-01T00:00:00.000Z"),
            (1500, "1970-01-01T00:00:01.500Z"),
            (-1, "1969-12-31T23:59:59.999Z"),
            (951_782_400_000, "2000-02-29T00:00:00.000Z"),
            (MOST_MILLIS, "+275760-09-13T00:00:00.000Z"),
            (-MOST_MILLIS, "-271821-04-20T00:00:00.000Z"),
        ] {
            assert_eq!(iso(millis).as_deref(), Some(text));
            assert_eq!(parse(text), Some(millis));
        }
        assert_eq!(iso(MOST_MILLIS + 1), None);
        assert_eq!(iso(i64::MIN), None);
    }

    #[test]
    fn what_is_no_date_is_none() {
        for text in [
            "",
            "Z",
            "1970-01-01",
            "1970-01-01T00:00:00Z",
            "1970-02-30T00:00:00.000Z",
            "1970-01-01T00:00:60.000Z",
            "1970-01-01T24:00:00.000Z",
            "1970-1-01T00:00:00.000Z",
            "99999999999999999999-01-01T00:00:00.000Z",
            "1970-01-01T00:00:00.000Zx",
        ] {
            assert_eq!(parse(text), None, "{text:?}");
        }
    }

    proptest! {
        #[test]
        fn every_date_comes_back(millis in -MOST_MILLIS..=MOST_MILLIS) {
            prop_assert_eq!(parse(&iso(millis).unwrap()), Some(millis));
        }

        #[test]
        fn no_text_breaks_the_reading_of_dates(text in "[-+0-9TZ:.]{0,30}") {
            parse(&text);
        }
    }
}
