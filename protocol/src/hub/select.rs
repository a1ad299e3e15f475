//! From the names in a target to the slots they stand for.

use super::rooms::Members;
use alloc::collections::btree_set;
use alloc::vec;
use alloc::vec::Vec;
use core::iter::Copied;
use core::option;

/// The bits of a slot's number that say which bit of a word is its own.
const WORD: u32 = u64::BITS.trailing_zeros();

/// Slots, ascending and each once. Only a union of several names costs an allocation.
pub(super) enum Slots<'a> {
    One(Option<u32>),
    Room(&'a Members),
    Union(Vec<u32>),
}

impl<'a> Slots<'a> {
    pub(super) fn of_none() -> Self {
        Self::One(None)
    }

    /// One name: the socket with this id, the members of the room, or, where a room is named like somebody's id,
    /// both.
    pub(super) fn of_name(id: Option<u32>, room: Option<&'a Members>) -> Self {
        match (id, room) {
            (None, Some(room)) => Self::Room(room),
            (id, None) => Self::One(id),
            (Some(id), Some(room)) => {
                let mut all = Vec::with_capacity(room.len().saturating_add(1));
                all.push(id);
                all.extend(room);
                Self::union(all)
            }
        }
    }

    pub(super) fn union_of(names: impl Iterator<Item = Slots<'a>>) -> Self {
        let mut all = Vec::new();
        names.for_each(|slots| slots.append_to(&mut all));
        Self::union(all)
    }

    fn union(mut all: Vec<u32>) -> Self {
        let highest = all.iter().max().copied().unwrap_or_default();
        if is_dense(all.len(), highest) {
            mark(&mut all, highest);
        } else {
            // The standard stable sort finds the ascending runs, of which each room is one, and merges them.
            all.sort();
            all.dedup();
        }
        Self::Union(all)
    }

    fn append_to(self, all: &mut Vec<u32>) {
        match self {
            Self::One(slot) => all.extend(slot),
            Self::Room(room) => all.extend(room),
            Self::Union(mut union) => all.append(&mut union),
        }
    }

    pub(super) fn contains(&self, slot: u32) -> bool {
        match self {
            Self::One(one) => *one == Some(slot),
            Self::Room(room) => room.contains(&slot),
            Self::Union(union) => union.binary_search(&slot).is_ok(),
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        match self {
            Self::One(one) => one.is_none(),
            Self::Room(room) => room.is_empty(),
            Self::Union(union) => union.is_empty(),
        }
    }
}

/// Returns whether so many slots are quicker marked than sorted: not where few are spread over very many.
fn is_dense(count: usize, highest: u32) -> bool {
    (highest >> WORD) as usize <= count
}

/// Puts slots in order, each once, by a bit for each slot up to the highest.
fn mark(slots: &mut Vec<u32>, highest: u32) {
    let mut marks = vec![0_u64; (highest >> WORD).saturating_add(1) as usize];
    for slot in slots.drain(..) {
        if let Some(word) = marks.get_mut((slot >> WORD) as usize) {
            *word |= 1_u64.rotate_left(slot);
        }
    }
    for (first, mut word) in (0_u32..).step_by(u64::BITS as usize).zip(marks) {
        while word != 0 {
            slots.push(first.saturating_add(word.trailing_zeros()));
            word &= word.wrapping_sub(1);
        }
    }
}

impl<'a> IntoIterator for Slots<'a> {
    type Item = u32;
    type IntoIter = SlotsIter<'a>;

    fn into_iter(self) -> SlotsIter<'a> {
        match self {
            Self::One(one) => SlotsIter::One(one.into_iter()),
            Self::Room(room) => SlotsIter::Room(room.iter().copied()),
            Self::Union(union) => SlotsIter::Union(union.into_iter()),
        }
    }
}

pub(super) enum SlotsIter<'a> {
    One(option::IntoIter<u32>),
    Room(Copied<btree_set::Iter<'a, u32>>),
    Union(vec::IntoIter<u32>),
}

impl Iterator for SlotsIter<'_> {
    type Item = u32;

    fn next(&mut self) -> Option<u32> {
        match self {
            Self::One(one) => one.next(),
            Self::Room(room) => room.next(),
            Self::Union(union) => union.next(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::collections::BTreeSet;
    use alloc::{format, vec};
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn marks_give_the_same_as_a_set(slots in prop::collection::vec(prop_oneof![0_u32..200, 0_u32..5000], 0..300)) {
            let wanted: Vec<u32> = slots.iter().copied().collect::<BTreeSet<_>>().into_iter().collect();
            let highest = slots.iter().max().copied().unwrap_or_default();
            let mut marked = slots.clone();
            mark(&mut marked, highest);
            prop_assert_eq!(&marked, &wanted);
            prop_assert!(Slots::union(slots).into_iter().eq(wanted));
        }
    }

    #[test]
    fn a_few_slots_among_very_many_are_not_marked() {
        assert!(is_dense(64, 4095));
        assert!(!is_dense(2, u32::MAX));
        assert!(Slots::union(vec![u32::MAX, 0, u32::MAX]).into_iter().eq([0, u32::MAX]));
    }
}
