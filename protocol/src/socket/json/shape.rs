//! The places of the arguments in the bytes of a packet.

use crate::socket::json::placeholder::Names;
use crate::socket::json::scan::skip_blanks;
use crate::socket::json::validate::Checked;
use crate::socket::msgpack::check::Seen;
use core::ops::Range;

/// Where the parts of the array are in the text, and what was seen of it. All zero if there is none. A text is at most
/// [`MAX_TEXT`] long.
#[derive(Clone, Copy, Default)]
pub(in crate::socket) struct Shape {
    /// Of a name without escapes the characters between the quotes, or the digits; else the whole string.
    pub(super) name: (u32, u32),
    pub(super) first: u32,
    pub(super) count: u32,
    pub(super) depth: u16,
    pub(super) form: Form,
    /// Each attachment is named once, in order, as [`placeholder::push`] writes it.
    pub(super) names_in_order: bool,
    pub(super) longest_number: u32,
}

/// The form of the bytes that arguments are.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub(super) enum Form {
    #[default]
    Json,
    /// MessagePack.
    Packed,
    /// MessagePack with maps whose keys are no texts.
    PackedWithOddKeys,
}

/// The bytes of the longest text of a packet.
pub(in crate::socket) const MAX_TEXT: usize = u32::MAX as usize;

/// A position in a text that is at most [`MAX_TEXT`] long, or a number of things in it.
#[inline]
#[allow(
    clippy::cast_possible_truncation,
    reason = "proof: whoever makes a `Shape` has checked the text's length"
)]
pub(in crate::socket) fn narrow(value: usize) -> u32 {
    value as u32
}

impl Shape {
    /// The arguments of a MessagePack message, and the event's name before them as it stands there: an empty range if there
    /// is none.
    pub(in crate::socket) fn packed(name: Range<usize>, first: usize, count: usize, seen: Seen) -> Self {
        let form = if seen.has_odd_keys { Form::PackedWithOddKeys } else { Form::Packed };
        let depth = u16::try_from(seen.depth).unwrap_or(u16::MAX);
        let name = (narrow(name.start), narrow(name.end));
        Self { name, first: narrow(first), count: narrow(count), depth, form, ..Self::default() }
    }

    /// `[name, arguments...]`. The name has its quotes only if it has escapes, and ends in front of `behind`.
    #[inline]
    #[allow(
        clippy::arithmetic_side_effects,
        reason = "proof: a position is at most one byte behind the end of a slice"
    )]
    pub(in crate::socket) fn event(
        json: &[u8],
        name: Range<usize>,
        behind: usize,
        checked: &Checked,
    ) -> Self {
        // Behind the name stands a comma, if anything.
        let comma = skip_blanks(json, behind);
        let count = narrow(checked.elements.saturating_sub(1));
        let name = (narrow(name.start), narrow(name.end));
        Self { name, first: narrow(skip_blanks(json, comma + 1)), count, ..Self::of(checked) }
    }

    /// `[arguments...]` at `array`.
    #[inline]
    #[allow(
        clippy::arithmetic_side_effects,
        reason = "proof: a position is at most one byte behind the end of a slice"
    )]
    pub(in crate::socket) fn list(json: &[u8], array: usize, checked: &Checked) -> Self {
        let first = narrow(skip_blanks(json, array + 1));
        Self { first, count: narrow(checked.elements), ..Self::of(checked) }
    }

    fn of(checked: &Checked) -> Self {
        let depth = u16::try_from(checked.depth).unwrap_or(u16::MAX);
        let longest_number = narrow(checked.longest_number);
        Self { depth, longest_number, ..Self::default() }
    }

    pub(super) fn with_names(self, names: Names) -> Self {
        Self { names_in_order: names.are_in_order, ..self }
    }

    pub(in crate::socket) fn count(&self) -> usize {
        self.count as usize
    }

    #[inline]
    pub(super) fn name(&self) -> Option<Range<usize>> {
        (self.name.1 > 0).then_some(self.name.0 as usize..self.name.1 as usize)
    }
}
