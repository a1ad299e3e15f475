//! A map from the names of events, which is changed seldom and asked for each event.

/// A map from names: a hash table with open addressing. The names are the application's and not the peers', so that
/// nobody can choose them to make it slow.
#[derive(Clone)]
pub(crate) struct NameMap<T> {
    entries: Vec<(Box<str>, T)>,
    /// Places in `entries`, or [`EMPTY`], where the hash of the name says, or behind that. A power of two, and at least
    /// twice as many as there are entries; none without entries.
    slots: Box<[u32]>,
}

/// A slot without an entry.
const EMPTY: u32 = u32::MAX;

impl<T> Default for NameMap<T> {
    fn default() -> Self {
        Self { entries: Vec::new(), slots: Box::default() }
    }
}

impl<T> NameMap<T> {
    /// The entry of a name, with the name as the map has it.
    #[inline]
    pub(crate) fn get(&self, name: &[u8]) -> Option<(&str, &T)> {
        let (kept, value) = self.entries.get(self.find(name)?)?;
        Some((kept, value))
    }

    pub(crate) fn get_mut(&mut self, name: &[u8]) -> Option<&mut T> {
        let at = self.find(name)?;
        self.entries.get_mut(at).map(|(_, value)| value)
    }

    /// The entries, in the order in which they came.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &(Box<str>, T)> {
        self.entries.iter()
    }

    /// The value of a name, which is added if it is not there.
    pub(crate) fn entry(&mut self, name: &str) -> &mut T
    where
        T: Default,
    {
        let at = self.find(name.as_bytes()).unwrap_or_else(|| {
            self.entries.push((name.into(), T::default()));
            self.fill_slots();
            self.entries.len() - 1
        });
        &mut self.entries[at].1
    }

    pub(crate) fn remove(&mut self, name: &[u8]) -> Option<T> {
        let (_, removed) = self.entries.remove(self.find(name)?);
        self.fill_slots();
        Some(removed)
    }

    #[inline(always)]
    fn find(&self, name: &[u8]) -> Option<usize> {
        let mask = self.slots.len().checked_sub(1)?;
        let mut slot = hash(name) & mask;
        loop {
            let at = *self.slots.get(slot)? as usize;
            // An empty slot leads to no entry. There is one, so that this ends.
            if self.entries.get(at)?.0.as_bytes() == name {
                return Some(at);
            }
            slot = (slot + 1) & mask;
        }
    }

    fn fill_slots(&mut self) {
        let size = if self.entries.is_empty() { 0 } else { (self.entries.len() * 2).next_power_of_two() };
        let mut slots = vec![EMPTY; size].into_boxed_slice();
        for (at, (name, _)) in self.entries.iter().enumerate() {
            let mut slot = hash(name.as_bytes()) & (size - 1);
            while slots[slot] != EMPTY {
                slot = (slot + 1) & (size - 1);
            }
            slots[slot] = at as u32;
        }
        self.slots = slots;
    }
}

/// A hash of a name: of its length and of 8 bytes at its beginning, its middle and its end, which differ in nearly all
/// names of one application.
#[inline]
fn hash(name: &[u8]) -> usize {
    let mut mixed = name.len() as u64;
    let mut mix = |word: u64| {
        mixed = (mixed.rotate_left(5) ^ word).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    };
    if let (Some(first), Some(last)) = (name.first_chunk::<8>(), name.last_chunk::<8>()) {
        mix(u64::from_le_bytes(*first));
        mix(u64::from_le_bytes(*last));
        if name.len() > 16 {
            if let Some(middle) = name[name.len() / 2 - 4..].first_chunk::<8>() {
                mix(u64::from_le_bytes(*middle));
            }
        }
    } else if let (Some(first), Some(last)) = (name.first_chunk::<4>(), name.last_chunk::<4>()) {
        mix(u64::from(u32::from_le_bytes(*first)) << 32 | u64::from(u32::from_le_bytes(*last)));
    } else {
        name.iter().for_each(|byte| mix(u64::from(*byte)));
    }
    // The highest bits depend on all that was mixed in: enough of them for a million names.
    (mixed >> 44) as usize
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    #[test]
    fn a_map_of_names_is_what_a_map_with_an_order_is() {
        let names: Vec<String> = (0..200u32)
            .map(|number| match number % 4 {
                0 => format!("{number}"),
                1 => format!("user:{number}:moved"),
                2 => "x".repeat(number as usize),
                _ => format!("the event of an application with a long name, the {number}th of many"),
            })
            .chain(["", "a", "ab", "abc", "é", "message", "messagE"].map(String::from))
            .collect();
        let mut map = NameMap::<u32>::default();
        let mut expected = BTreeMap::new();
        assert!(map.get(b"").is_none());
        for (number, name) in (0u32..).zip(&names) {
            *map.entry(name) += number;
            *expected.entry(name.as_str()).or_insert(0) += number;
            // Every third one goes again, and an earlier one with it.
            if number % 3 == 0 {
                for gone in [name, &names[number as usize / 2]] {
                    assert_eq!(map.remove(gone.as_bytes()), expected.remove(gone.as_str()), "{gone}");
                }
            }
            for name in &names {
                let found = map.get(name.as_bytes());
                assert_eq!(found, expected.get_key_value(name.as_str()).map(|(name, value)| (*name, value)));
            }
        }
        let mut all: Vec<_> = map.iter().map(|(name, value)| (&**name, *value)).collect();
        all.sort_unstable();
        assert_eq!(all, expected.into_iter().collect::<Vec<_>>());
    }

    #[test]
    fn names_of_one_application_hardly_meet() {
        let mut map = NameMap::<()>::default();
        for number in 0..512 {
            map.entry(&format!("namespace:{number:04}:update"));
            map.entry(&format!("e{number}"));
        }
        let size = map.slots.len();
        let steps = |name: &str| {
            let mut slot = hash(name.as_bytes()) & (size - 1);
            let mut steps = 1usize;
            while map.entries[map.slots[slot] as usize].0.as_ref() != name {
                slot = (slot + 1) & (size - 1);
                steps += 1;
            }
            steps
        };
        let all: usize = map.iter().map(|(name, ())| steps(name)).sum();
        assert!(all <= map.entries.len() * 3, "{all} looks for {} names", map.entries.len());
    }
}
