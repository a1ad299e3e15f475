//! Looking through a value: it is whole, its texts are UTF-8, and it is no deeper than is allowed.

use super::head::{Fault, Head};
use alloc::vec::Vec;

/// The findings about a value.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Seen {
    /// The depth of lists and maps inside each other.
    pub(crate) depth: usize,
    /// A map has a key that is no text. npm's parser reads those as texts, Python's refuses them.
    pub(crate) has_odd_keys: bool,
}

/// The levels whose sizes need no allocation.
const INLINE: usize = 16;

/// Takes one value with all that is in it from the front of `rest`, and checks it.
///
/// Does not recurse, and believes no length: a list of so many elements has as many bytes at least.
#[inline]
pub(crate) fn value(rest: &mut &[u8], max_depth: usize) -> Result<Seen, Fault> {
    match container(rest, Head::read(rest)?, false)? {
        None => Ok(Seen::default()),
        Some(open) => nested(rest, open, max_depth),
    }
}

/// Takes so many values from the front, which were checked before. Nothing is taken if they are not there after all.
pub(crate) fn skip(rest: &mut &[u8], values: usize) {
    let mut left = values;
    let mut behind = *rest;
    while let Some(others) = left.checked_sub(1) {
        left = others;
        let more = match Head::read(&mut behind) {
            Ok(Head::Array(len)) => len as usize,
            Ok(Head::Map(len)) => (len as usize).saturating_mul(2),
            Ok(_) => 0,
            Err(_) => return,
        };
        left = left.saturating_add(more);
    }
    *rest = behind;
}

/// A list or a map that has not ended.
#[derive(Clone, Copy, Default)]
struct Open {
    /// Keys count, too.
    left: u64,
    is_map: bool,
}

/// Checks what a head has beside its length, and says whether something is inside.
#[inline]
fn container(rest: &[u8], head: Head<'_>, is_key: bool) -> Result<Option<Open>, Fault> {
    let (left, is_map) = match head {
        Head::Str(text) => {
            return if text.is_ascii() || core::str::from_utf8(text).is_ok() {
                Ok(None)
            } else {
                Err(Fault::Utf8)
            };
        }
        Head::Array(len) => (u64::from(len), false),
        Head::Map(len) => (u64::from(len).saturating_mul(2), true),
        Head::Ext(_) | Head::Undefined | Head::Date(_) if is_key => return Err(Fault::Key),
        _ => return Ok(None),
    };
    if is_key {
        return Err(Fault::Key);
    }
    // Each of them has a byte at least.
    if left > rest.len() as u64 {
        return Err(Fault::Cut);
    }
    Ok(Some(Open { left, is_map }))
}

#[allow(
    clippy::arithmetic_side_effects,
    clippy::indexing_slicing,
    reason = "proof: `depth` is the number of open containers, and `depth - INLINE` that of those in `spilt`"
)]
fn nested(rest: &mut &[u8], outermost: Open, max_depth: usize) -> Result<Seen, Fault> {
    if max_depth == 0 {
        return Err(Fault::TooDeep { max: 0 });
    }
    let mut seen = Seen { depth: 1, has_odd_keys: false };
    let mut inline = [Open::default(); INLINE];
    let mut spilt: Vec<Open> = Vec::new();
    let mut open = outermost;
    // Those around `open`.
    let mut depth = 0;
    loop {
        let Some(left) = open.left.checked_sub(1) else {
            if depth == 0 {
                return Ok(seen);
            }
            depth -= 1;
            open = if depth < INLINE { inline[depth] } else { spilt.pop().unwrap_or_default() };
            continue;
        };
        let is_key = open.is_map && open.left % 2 == 0;
        open.left = left;
        let head = Head::read(rest)?;
        if is_key {
            seen.has_odd_keys |= !matches!(head, Head::Str(_));
        }
        if let Some(inner) = container(rest, head, is_key)? {
            if depth < INLINE {
                inline[depth] = open;
            } else {
                spilt.push(open);
            }
            depth += 1;
            if depth >= max_depth {
                return Err(Fault::TooDeep { max: max_depth });
            }
            seen.depth = seen.depth.max(depth + 1);
            open = inner;
        }
    }
}
