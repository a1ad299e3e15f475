//! Names of namespaces. They stay; what a client of Socket.IO 2.x writes behind one, its query, is its `auth`.

use super::{for_each_char, mask_words, masked_char};
use alloc::vec::Vec;

/// Masks the values of the query behind a name, and JSON in place of one: the comma before it was forgotten.
pub(super) fn mask(out: &mut Vec<u8>, name: &[u8]) {
    let end = name.iter().position(|byte| *byte == b'?').unwrap_or(name.len());
    let (name, query) = name.split_at(end);
    let json = name.iter().position(|byte| matches!(byte, b'{' | b'[' | b'"'));
    let (name, json) = name.split_at(json.map_or(name.len(), |at| at.saturating_add(1)));
    out.extend_from_slice(name);
    mask_words(out, json);
    let Some((mark, query)) = query.split_first() else { return };
    out.push(*mark);
    for (at, pair) in query.split(|byte| *byte == b'&').enumerate() {
        if at > 0 {
            out.push(b'&');
        }
        // A word without a value may be anything.
        let value = pair.iter().position(|byte| *byte == b'=').map_or(0, |at| at.saturating_add(1));
        let (key, value) = pair.split_at(value);
        out.extend_from_slice(key);
        mask_value(out, value);
    }
}

/// Masks a value of a query. It keeps its length, and that of the JSON which is made of it.
fn mask_value(out: &mut Vec<u8>, value: &[u8]) {
    let (mut decoded, mut is_escape) = (Vec::new(), Vec::new());
    let mut rest = value;
    while let Some((&first, behind)) = rest.split_first() {
        let escape =
            behind.get(..2).filter(|digits| first == b'%' && digits.iter().all(u8::is_ascii_hexdigit));
        let escape = escape.and_then(|digits| core::str::from_utf8(digits).ok());
        let escape = escape.and_then(|digits| u8::from_str_radix(digits, 16).ok());
        decoded.push(escape.unwrap_or(if first == b'+' { b' ' } else { first }));
        is_escape.push(escape.is_some());
        rest = behind.get(if escape.is_some() { 2 } else { 0 }..).unwrap_or_default();
    }
    let mut masked = Vec::with_capacity(decoded.len());
    for_each_char(&decoded, |bytes| match bytes {
        // Escaped in JSON.
        [b'"' | b'\\' | ..0x20] => masked.extend_from_slice(bytes),
        [byte] if byte.is_ascii() => masked.push(b'x'),
        _ => masked.extend_from_slice(masked_char(bytes)),
    });
    for (byte, is_escape) in masked.into_iter().zip(is_escape) {
        if is_escape {
            let digit = |four: u8| char::from_digit(u32::from(four), 16).unwrap_or('0') as u8;
            out.extend_from_slice(&[b'%', digit(byte >> 4), digit(byte & 15)]);
        } else {
            out.push(byte);
        }
    }
}
