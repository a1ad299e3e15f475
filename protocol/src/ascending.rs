//! A map for keys that come in ascending order, and are mostly taken out in that order: the ids of acknowledgements.

use crate::cost::SHRINK_ABOVE;
use alloc::collections::{BTreeMap, VecDeque};
use core::mem;

/// One of so many places may be a hole: the memory that entries take is that of a queue, about.
const MAX_HOLES: usize = 8;

/// A map that is a queue as long as its keys come in ascending order and leave in that order. Any other order costs no
/// more than a tree.
#[derive(Clone, Debug)]
pub struct AscendingMap<K, T> {
    /// In the order of their keys. `None` is the hole of one that was taken out before its turn; neither end is a hole.
    queue: VecDeque<(K, Option<T>)>,
    holes: usize,
    /// Those whose keys came after a larger one. No key is in both.
    late: BTreeMap<K, T>,
}

impl<K, T> Default for AscendingMap<K, T> {
    fn default() -> Self {
        Self { queue: VecDeque::new(), holes: 0, late: BTreeMap::new() }
    }
}

impl<K: Copy + Ord, T> AscendingMap<K, T> {
    /// The number of entries.
    pub fn len(&self) -> usize {
        self.queue.len().saturating_sub(self.holes).saturating_add(self.late.len())
    }

    /// Returns whether there is no entry.
    pub fn is_empty(&self) -> bool {
        self.queue.is_empty() && self.late.is_empty()
    }

    /// Returns whether there is an entry with that key.
    pub fn contains_key(&self, key: K) -> bool {
        // Mostly the question is about a key that comes next.
        let is_next = self.late.is_empty() && self.queue.back().is_none_or(|(last, _)| *last < key);
        !is_next && self.has(key)
    }

    #[inline(never)]
    fn has(&self, key: K) -> bool {
        let found = self.position(key).ok().and_then(|at| self.queue.get(at));
        found.is_some_and(|(_, value)| value.is_some()) || self.late.contains_key(&key)
    }

    /// Puts an entry in, and returns the value that had its key.
    pub fn insert(&mut self, key: K, value: T) -> Option<T> {
        if self.late.is_empty() && self.queue.back().is_none_or(|(last, _)| *last < key) {
            self.queue.push_back((key, Some(value)));
            return None;
        }
        self.insert_late(key, value)
    }

    #[inline(never)]
    fn insert_late(&mut self, key: K, value: T) -> Option<T> {
        if let Some(found) = self.late.get_mut(&key) {
            return Some(mem::replace(found, value));
        }
        match self.position(key) {
            Ok(at) => {
                let before = self.queue.get_mut(at).and_then(|(_, found)| found.replace(value));
                if before.is_none() {
                    self.holes = self.holes.saturating_sub(1);
                }
                before
            }
            Err(at) if at == self.queue.len() => {
                self.queue.push_back((key, Some(value)));
                None
            }
            Err(_) => self.late.insert(key, value),
        }
    }

    /// Takes an entry out.
    pub fn remove(&mut self, key: K) -> Option<T> {
        if self.queue.front().is_some_and(|(first, _)| *first == key) {
            let (_, value) = self.queue.pop_front()?;
            self.trim();
            return value;
        }
        self.remove_between(key)
    }

    #[inline(never)]
    fn remove_between(&mut self, key: K) -> Option<T> {
        let Ok(at) = self.position(key) else { return self.late.remove(&key) };
        match self.queue.get_mut(at).and_then(|(_, value)| value.take()) {
            Some(value) => {
                self.holes = self.holes.saturating_add(1);
                self.trim();
                Some(value)
            }
            None => self.late.remove(&key),
        }
    }

    /// Keeps the entries for which `keep` is true. It sees them in the order of their keys.
    pub fn retain(&mut self, mut keep: impl FnMut(K, &T) -> bool) {
        self.line_up();
        self.queue.retain(|(key, value)| value.as_ref().is_some_and(|value| keep(*key, value)));
        self.holes = 0;
        self.trim();
    }

    /// The values, in any order.
    pub fn values(&self) -> impl Iterator<Item = &T> {
        self.queue.iter().filter_map(|(_, value)| value.as_ref()).chain(self.late.values())
    }

    /// The entries, in the order of their keys.
    pub fn into_entries(mut self) -> impl Iterator<Item = (K, T)> {
        self.line_up();
        self.queue.into_iter().filter_map(|(key, value)| value.map(|value| (key, value)))
    }

    /// Gives memory back to the allocator that no entry is in.
    pub fn give_back(&mut self) {
        if self.is_empty() {
            *self = Self::default();
        }
    }

    /// Puts the late ones where they belong.
    fn line_up(&mut self) {
        if self.late.is_empty() {
            return;
        }
        let late = mem::take(&mut self.late).into_iter().map(|(key, value)| (key, Some(value)));
        self.queue.extend(late);
        // A key of the late ones may also be that of a hole, which goes.
        self.queue.retain(|(_, value)| value.is_some());
        self.queue.make_contiguous().sort_unstable_by_key(|(key, _)| *key);
        self.holes = 0;
    }

    /// The place of a key, or of a hole that has it; otherwise the place that it would have.
    fn position(&self, key: K) -> Result<usize, usize> {
        self.queue.binary_search_by_key(&key, |(key, _)| *key)
    }

    /// Takes the holes away from both ends, and all of them if there are many.
    #[inline]
    fn trim(&mut self) {
        if self.holes > 0 {
            self.trim_holes();
        }
        // A burst may have been long.
        if self.queue.is_empty() && self.queue.capacity() > SHRINK_ABOVE {
            self.queue = VecDeque::new();
        }
    }

    #[inline(never)]
    fn trim_holes(&mut self) {
        let is_hole = |entry: Option<&(K, Option<T>)>| entry.is_some_and(|(_, value)| value.is_none());
        while is_hole(self.queue.front()) {
            self.queue.pop_front();
            self.holes = self.holes.saturating_sub(1);
        }
        while is_hole(self.queue.back()) {
            self.queue.pop_back();
            self.holes = self.holes.saturating_sub(1);
        }
        if self.holes > self.queue.len() / MAX_HOLES {
            self.queue.retain(|(_, value)| value.is_some());
            self.holes = 0;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::format;
    use alloc::vec::Vec;
    use proptest::prelude::*;

    #[derive(Clone, Debug)]
    enum Act {
        /// The next id: some steps behind the last one.
        Next(u8),
        Insert(u8),
        RemoveFirst,
        Remove(u8),
        Retain(u8),
        GiveBack,
    }

    fn act() -> impl Strategy<Value = Act> {
        prop_oneof![
            8 => (1_u8..4).prop_map(Act::Next),
            3 => any::<u8>().prop_map(Act::Insert),
            4 => Just(Act::RemoveFirst),
            6 => any::<u8>().prop_map(Act::Remove),
            1 => (1_u8..5).prop_map(Act::Retain),
            1 => Just(Act::GiveBack),
        ]
    }

    fn check(map: &AscendingMap<u8, usize>, model: &BTreeMap<u8, usize>) {
        assert_eq!((map.len(), map.is_empty()), (model.len(), model.is_empty()));
        for key in 0..=u8::MAX {
            assert_eq!(map.contains_key(key), model.contains_key(&key), "{key} in {map:?}");
        }
        let sorted = |values: &mut dyn Iterator<Item = usize>| {
            let mut values: Vec<usize> = values.collect();
            values.sort_unstable();
            values
        };
        assert_eq!(sorted(&mut map.values().copied()), sorted(&mut model.values().copied()));
        let holes = map.queue.iter().filter(|(_, value)| value.is_none()).count();
        assert_eq!(map.holes, holes);
        assert!(holes <= map.queue.len() / MAX_HOLES, "{holes} holes of {}", map.queue.len());
        let ends = [map.queue.front(), map.queue.back()];
        assert!(ends.into_iter().flatten().all(|(_, value)| value.is_some()), "{map:?}");
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(100))]
        #[test]
        fn it_does_what_a_tree_does(acts in prop::collection::vec(act(), 0..80)) {
            let (mut map, mut model) = (AscendingMap::default(), BTreeMap::new());
            let mut last = 0_u8;
            for (number, act) in acts.into_iter().enumerate() {
                match act {
                    Act::Next(step) => {
                        last = last.wrapping_add(step);
                        prop_assert_eq!(map.insert(last, number), model.insert(last, number));
                    }
                    Act::Insert(key) => prop_assert_eq!(map.insert(key, number), model.insert(key, number)),
                    Act::RemoveFirst => {
                        if let Some((&key, _)) = model.first_key_value() {
                            prop_assert_eq!(map.remove(key), model.remove(&key));
                        }
                    }
                    Act::Remove(key) => prop_assert_eq!(map.remove(key), model.remove(&key)),
                    Act::Retain(of) => {
                        let (mut seen, mut expected) = (Vec::new(), Vec::new());
                        map.retain(|key, value| { seen.push((key, *value)); key % of > 0 });
                        model.retain(|key, value| { expected.push((*key, *value)); key % of > 0 });
                        prop_assert_eq!(seen, expected);
                    }
                    Act::GiveBack => map.give_back(),
                }
                check(&map, &model);
            }
            let entries: Vec<_> = map.into_entries().collect();
            prop_assert_eq!(entries, model.into_iter().collect::<Vec<_>>());
        }
    }

    #[test]
    fn thousands_of_holes_take_no_more_than_the_entries_between_them() {
        let mut map = AscendingMap::default();
        for id in 0..10_000_u64 {
            map.insert(id, id);
        }
        // From the middle to both ends, as no peer answers that means well.
        for step in 1..4_990 {
            assert_eq!(map.remove(5_000 - step), Some(5_000 - step));
            assert_eq!(map.remove(5_000 + step), Some(5_000 + step));
        }
        assert_eq!(map.len(), 22);
        assert!(map.queue.len() <= 2 * map.len(), "{} places", map.queue.len());
        for id in (0..=10).chain([5_000]).chain(9_990..10_000) {
            map.remove(id);
        }
        assert!(map.is_empty());
        assert_eq!(map.queue.capacity(), 0);
    }
}
