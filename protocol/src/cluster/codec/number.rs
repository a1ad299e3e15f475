//! Numbers where a name is expected, as JavaScript writes them.

use alloc::borrow::Cow;
use alloc::format;

/// The number as JavaScript's `String(number)` writes it. Borrowed for ordinary integers.
#[allow(
    clippy::arithmetic_side_effects,
    reason = "proof: the exponent of a double is from -324 to 308, and its digits are at most 17"
)]
pub(super) fn js_number(raw: &str) -> Cow<'_, str> {
    let magnitude = raw.strip_prefix('-').unwrap_or(raw);
    let is_integer = magnitude.bytes().all(|byte| byte.is_ascii_digit());
    // Up to 15 digits a double is exact. `-0` is written `0`.
    if is_integer && magnitude.len() <= 15 && raw != "-0" {
        return Cow::Borrowed(raw);
    }
    let value: f64 = raw.parse().unwrap_or(f64::NAN);
    if value == 0.0 {
        return Cow::Borrowed("0");
    }
    let sign = if value < 0.0 { "-" } else { "" };
    if !value.is_finite() {
        return Cow::Owned(format!("{sign}Infinity"));
    }
    // Rust and JavaScript agree on the shortest digits; they differ in where the exponent begins.
    let scientific = format!("{:e}", value.abs());
    let (mantissa, exponent) = scientific.split_once('e').unwrap_or((&scientific, "0"));
    let digits = mantissa.replace('.', "");
    let exponent: i32 = exponent.parse().unwrap_or(0);
    let point = exponent + 1;
    let len = digits.len() as i32;
    Cow::Owned(if (len..=21).contains(&point) {
        format!("{sign}{digits}{}", "0".repeat((point - len) as usize))
    } else if (1..=21).contains(&point) {
        let (whole, fraction) = digits.split_at(point as usize);
        format!("{sign}{whole}.{fraction}")
    } else if (-5..=0).contains(&point) {
        format!("{sign}0.{}{digits}", "0".repeat(-point as usize))
    } else {
        format!("{sign}{mantissa}e{exponent:+}")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_written_as_javascript_writes_them() {
        for (raw, text) in [
            ("1", "1"),
            ("-7", "-7"),
            ("-0", "0"),
            ("0.0", "0"),
            ("1.0", "1"),
            ("1.50", "1.5"),
            ("1e3", "1000"),
            ("123456789012345680000", "123456789012345680000"),
            ("12345678901234567890", "12345678901234567000"),
            ("1e21", "1e+21"),
            ("-1.25e300", "-1.25e+300"),
            ("0.000001", "0.000001"),
            ("1e-7", "1e-7"),
            ("1e400", "Infinity"),
            ("-1e400", "-Infinity"),
        ] {
            assert_eq!(js_number(raw), text, "{raw}");
        }
    }
}
