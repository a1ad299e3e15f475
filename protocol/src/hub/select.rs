//! From the names in a target to the slots they stand for.

use super::rooms::Members;
use alloc::collections::btree_set;
use alloc::vec::{self, Vec};
use core::iter::Copied;
use core::option;

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

    // The standard stable sort finds the ascending runs, of which each room is one, and merges them.
    fn union(mut all: Vec<u32>) -> Self {
        all.sort();
        all.dedup();
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
