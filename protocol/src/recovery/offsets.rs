//! Offsets: the numbers of events as clients see them.
//!
//! They look like the reference's, 7 characters of `A-Z a-z 0-9 - _`. A number is mixed with a key before it is written,
//! so that a client does not learn how many events others get, and so that a text which is no offset is hardly ever taken
//! for one: of 2^42 there are as many offsets as there were events.

use crate::random::Random;
use alloc::string::String;
use alloc::sync::Arc;

const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
const LENGTH: usize = 7;
const HALF: u64 = (1 << 21) - 1;
const WHOLE: u64 = (1 << 42) - 1;

/// The key of a store's offsets.
#[derive(Clone)]
pub(super) struct Offsets([u64; 4]);

impl Offsets {
    pub(super) fn new(random: &mut Random) -> Self {
        Self([random.u64(), random.u64(), random.u64(), random.u64()])
    }

    /// The offset of an event.
    pub(super) fn offset(&self, number: u64) -> Arc<str> {
        let (mut left, mut right) = ((number >> 21) & HALF, number & HALF);
        for key in self.0 {
            (left, right) = (right, left ^ mix(right, key));
        }
        let mixed = (left << 21) | right;
        let digit = |at: usize| {
            let shift = LENGTH.saturating_sub(at).saturating_sub(1).saturating_mul(6);
            let digit = usize::try_from((mixed >> shift) & 63).unwrap_or(0);
            ALPHABET.get(digit).copied().map_or('A', char::from)
        };
        (0..LENGTH).map(digit).collect::<String>().into()
    }

    /// The number of the event with that offset, if one before `next` had it.
    pub(super) fn number(&self, offset: &str, next: u64) -> Option<u64> {
        if offset.len() != LENGTH {
            return None;
        }
        let digit =
            |byte| ALPHABET.iter().position(|found| *found == byte).and_then(|at| u64::try_from(at).ok());
        let mixed = offset.bytes().try_fold(0, |sum: u64, byte| Some((sum << 6) | digit(byte)?))?;
        let (mut left, mut right) = ((mixed >> 21) & HALF, mixed & HALF);
        for key in self.0.into_iter().rev() {
            (left, right) = (right ^ mix(left, key), left);
        }
        // The latest of those that look the same.
        let back = next.wrapping_sub((left << 21) | right) & WHOLE;
        next.checked_sub(back).filter(|_| back > 0)
    }
}

/// 21 bits of half a number and a key.
fn mix(half: u64, key: u64) -> u64 {
    ((half ^ key).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 43) & HALF
}

impl core::fmt::Debug for Offsets {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("Offsets(..)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::collections::BTreeSet;

    #[test]
    fn an_offset_is_the_number_of_one_event() {
        let offsets = Offsets::new(&mut Random::new([3; 32]));
        let mut seen = BTreeSet::new();
        for number in (0..5000).chain((1 << 41)..(1 << 41) + 100).chain((1 << 50) + 7000..(1 << 50) + 7100) {
            let offset = offsets.offset(number);
            assert_eq!(offset.len(), LENGTH);
            assert_eq!(offsets.number(&offset, number + 1), Some(number));
            assert_eq!(offsets.number(&offset, number + 1_000_000), Some(number));
            assert!(seen.insert(offset));
        }
    }

    #[test]
    fn what_is_no_offset_of_an_event_is_seen_to_be_none() {
        let offsets = Offsets::new(&mut Random::new([4; 32]));
        let next = 100_000;
        for text in ["", "hello", "a longer text", "1234567", "Q8AVICU", "ééé", "-------", "0000000\n"] {
            assert_eq!(offsets.number(text, next), None, "{text}");
        }
        // Neither is that of one to come, nor that of another store.
        assert_eq!(offsets.number(&offsets.offset(next), next), None);
        let other = Offsets::new(&mut Random::new([5; 32]));
        let taken = (0..10_000).filter(|number| offsets.number(&other.offset(*number), next).is_some());
        assert!(taken.count() < 3);
    }
}
