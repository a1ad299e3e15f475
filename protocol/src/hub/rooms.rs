//! The rooms somebody has joined: names, and the members of each.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::mem;

/// The slots of the sockets in one room, ascending.
///
/// A B-tree: a join or a leave touches one path however many members there are (a sorted array moves on average
/// half of itself, 200 KB for 100,000 members), the walk is in key order at array-like speed, an entry costs
/// 4 to 8 bytes, and a room of one member one allocation of 56. An array with a position index beside each
/// member would be O(1) but in no stable order, and would cost every membership as much again.
pub(super) type Members = BTreeSet<u32>;

/// Rooms by name and by number. A room exists while it has a member; its number is then reused, so each socket's
/// list of numbers must be kept equal to the member sets, which [`Hub`](super::Hub) does.
#[derive(Clone, Debug, Default)]
pub(super) struct Rooms {
    by_name: BTreeMap<Arc<str>, u32>,
    table: Vec<Option<Room>>,
    free: Vec<u32>,
}

#[derive(Clone, Debug)]
struct Room {
    name: Arc<str>,
    members: Members,
}

impl Rooms {
    pub(super) fn find(&self, name: &str) -> Option<u32> {
        self.by_name.get(name).copied()
    }

    pub(super) fn named(&self, name: &str) -> Option<&Members> {
        self.find(name).and_then(|number| self.members(number))
    }

    pub(super) fn members(&self, number: u32) -> Option<&Members> {
        Some(&self.table.get(number as usize)?.as_ref()?.members)
    }

    pub(super) fn name(&self, number: u32) -> Option<&Arc<str>> {
        Some(&self.table.get(number as usize)?.as_ref()?.name)
    }

    pub(super) fn names(&self) -> impl Iterator<Item = &Arc<str>> {
        self.by_name.keys()
    }

    /// The number of the room called `name`, created when nobody is in it yet. `None` when the numbers are used
    /// up.
    pub(super) fn find_or_create(&mut self, name: &str) -> Option<u32> {
        if let Some(number) = self.find(name) {
            return Some(number);
        }
        let number = match self.free.pop() {
            Some(number) => number,
            None => {
                let number = u32::try_from(self.table.len()).ok()?;
                self.table.push(None);
                number
            }
        };
        let name: Arc<str> = name.into();
        self.by_name.insert(name.clone(), number);
        *self.table.get_mut(number as usize)? = Some(Room { name, members: Members::new() });
        Some(number)
    }

    /// Puts `slot` into the room. False when it was there.
    pub(super) fn add(&mut self, number: u32, slot: u32) -> bool {
        match self.table.get_mut(number as usize) {
            Some(Some(room)) => room.members.insert(slot),
            _ => false,
        }
    }

    /// Takes `slot` out of the room, which ends with its last member. False when it was not there.
    pub(super) fn take(&mut self, number: u32, slot: u32) -> bool {
        let Some(Some(room)) = self.table.get_mut(number as usize) else { return false };
        let was_there = room.members.remove(&slot);
        if room.members.is_empty() {
            self.close(number);
        }
        was_there
    }

    /// Ends the room; the members it had.
    pub(super) fn close(&mut self, number: u32) -> Members {
        let Some(room) = self.table.get_mut(number as usize).and_then(mem::take) else {
            return Members::new();
        };
        self.by_name.remove(&room.name);
        self.free.push(number);
        room.members
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_room_ends_with_its_last_member_and_its_number_is_reused() {
        let mut rooms = Rooms::default();
        let a = rooms.find_or_create("a").unwrap();
        assert!(rooms.add(a, 7));
        assert!(!rooms.add(a, 7));
        assert!(rooms.take(a, 7));
        assert!(rooms.find("a").is_none());
        assert_eq!(rooms.find_or_create("b"), Some(a));
        assert_eq!(&**rooms.name(a).unwrap(), "b");
        assert_eq!(rooms.table.len(), 1);
    }
}
