//! The rooms of a namespace and the sockets in them. The hub holds no connections.
//!
//! A [`Hub`] holds the sockets of one namespace. Beside each it keeps an opaque handle of the caller's, and it
//! answers one question: which handles does a [`Target`] stand for?
//!
//! Every socket is in the room named by its own id, as in the reference, and cannot leave it. That room is not
//! stored: an id is looked up among the ids, so an idle socket costs its slot and its entry in that index,
//! about 150 bytes and the handle.
//!
//! ```
//! use sansocket_protocol::hub::{Hub, HubLimits, Target};
//!
//! let mut hub = Hub::new(HubLimits::default());
//! let ada = hub.insert("ada".into(), 'A')?;
//! let bob = hub.insert("bob".into(), 'B')?;
//! let eve = hub.insert("eve".into(), 'E')?;
//! hub.join(ada, "chess")?;
//! hub.join(bob, "chess")?;
//!
//! let reached = |hub: &Hub<char>, target: &Target| {
//!     let mut handles = String::new();
//!     hub.select(target, |_key, handle| handles.push(*handle));
//!     handles
//! };
//! assert_eq!(reached(&hub, &Target::all()), "ABE");
//! assert_eq!(reached(&hub, &Target::all().to("chess").except("ada")), "B");
//! assert_eq!(reached(&hub, &Target::all().to("chess").to("eve")), "ABE");
//!
//! hub.remove(eve);
//! assert!(!hub.join(eve, "chess")?); // too late: no effect
//! # Ok::<(), sansocket_protocol::hub::HubError>(())
//! ```

mod command;
mod journal;
mod log;
mod rooms;
mod select;
mod target;
#[cfg(test)]
mod tests;

pub use command::{Command, Effect};
pub use journal::{Journal, Membership};
pub use log::RoomEvent;
pub use target::{Flags, Target};

use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::iter;
use core::mem;
use rooms::Rooms;
use select::Slots;
use thiserror::Error;

/// One socket in one [`Hub`]. Never given out twice, so a key that outlives its socket finds nothing.
///
/// Keys of sockets that are present at the same time are ordered, and [`Hub::select`] follows that order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MemberKey {
    index: u32,
    generation: u32,
}

/// The limits of a hub. They bound what clients can make it store where the application lets them name rooms.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct HubLimits {
    /// Rooms one socket may be in, its own id not counted. Default 1000: a membership costs about 12 bytes, a
    /// room of one's own about 250 with its name, so a handler that joins whatever its client asks for gives
    /// that client a quarter of a megabyte and no more; people are seldom in more than some hundred channels.
    pub rooms_per_socket: usize,
    /// Bytes of UTF-8 in a room's name. Default 512: enough for a path or several ids joined together.
    pub room_name_bytes: usize,
}

impl Default for HubLimits {
    fn default() -> Self {
        Self { rooms_per_socket: 1000, room_name_bytes: 512 }
    }
}

impl HubLimits {
    /// Sets [`rooms_per_socket`](Self::rooms_per_socket).
    #[must_use]
    pub fn with_rooms_per_socket(mut self, rooms: usize) -> Self {
        self.rooms_per_socket = rooms;
        self
    }

    /// Sets [`room_name_bytes`](Self::room_name_bytes).
    #[must_use]
    pub fn with_room_name_bytes(mut self, bytes: usize) -> Self {
        self.room_name_bytes = bytes;
        self
    }
}

/// The reason why a hub refused. Nothing was changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum HubError {
    /// The id belongs to a socket that is present.
    #[error("a socket with this id is already here: give each socket an id of its own")]
    DuplicateId,
    /// The socket is in as many rooms as [`HubLimits::rooms_per_socket`] allows.
    #[error("the socket is already in {limit} rooms: leave some, or raise the limit of rooms per socket")]
    TooManyRooms {
        /// The limit that was met.
        limit: usize,
    },
    /// The name is longer than [`HubLimits::room_name_bytes`].
    #[error("the room's name has more than {limit} bytes: shorten it, or raise the limit of a room's name")]
    RoomNameTooLong {
        /// The limit that was met, in bytes.
        limit: usize,
    },
    /// More than four billion sockets or rooms.
    #[error("the namespace can number no more sockets or rooms")]
    Full,
}

/// The result of [`Hub::join_all`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Joined {
    /// The number of sockets that are newly in a room, counted for each room.
    pub joined: usize,
    /// The number of sockets that were at their limit of rooms and stayed outside, counted for each room.
    pub refused: usize,
}

/// The sockets of one namespace and the rooms they are in. See the [module](self).
///
/// Costs are given in s, the sockets of the namespace, r, its rooms, and m, the members of the room in question.
/// The table of slots does not shrink: a namespace that once held a million sockets keeps some 50 MB of it.
#[derive(Clone, Debug)]
pub struct Hub<H> {
    limits: HubLimits,
    slots: Vec<Slot<H>>,
    free: Vec<u32>,
    by_id: BTreeMap<Arc<str>, u32>,
    rooms: Rooms,
    /// The numbers of the next event and of the oldest that is kept: for the journals.
    events: (u64, u64),
    /// The changes of rooms that were not taken, if somebody wants them.
    log: Option<Vec<RoomEvent>>,
}

#[derive(Clone, Debug)]
struct Slot<H> {
    generation: u32,
    socket: Option<Socket<H>>,
}

#[derive(Clone, Debug)]
struct Socket<H> {
    id: Arc<str>,
    handle: H,
    /// Numbers of the rooms it joined, in that order.
    rooms: Vec<u32>,
    journal: Option<Box<Journal>>,
}

impl<H: Clone> Hub<H> {
    /// A hub without sockets.
    pub fn new(limits: HubLimits) -> Self {
        let (slots, free, by_id, rooms) = Default::default();
        Self { limits, slots, free, by_id, rooms, events: (0, 0), log: None }
    }

    /// The limits in force.
    pub fn limits(&self) -> &HubLimits {
        &self.limits
    }

    /// Adds a socket under its public `id` (that of the CONNECT reply). O(log s).
    ///
    /// # Errors
    /// [`HubError::DuplicateId`] when a socket with this id is present.
    pub fn insert(&mut self, id: Arc<str>, handle: H) -> Result<MemberKey, HubError> {
        if self.by_id.contains_key(&id) {
            return Err(HubError::DuplicateId);
        }
        let index = match self.free.pop() {
            Some(index) => index,
            None => {
                let index = u32::try_from(self.slots.len()).map_err(|_| HubError::Full)?;
                self.slots.push(Slot { generation: 0, socket: None });
                index
            }
        };
        self.by_id.insert(id.clone(), index);
        #[allow(
            clippy::indexing_slicing,
            reason = "proof: it is the index of a slot, and a slot is never taken out"
        )]
        let slot = &mut self.slots[index as usize];
        slot.socket = Some(Socket { id, handle, rooms: Vec::new(), journal: None });
        Ok(MemberKey { index, generation: slot.generation })
    }

    /// Takes a socket out of its rooms and of the hub, and gives its handle back; `None` for a key that is no
    /// longer valid. O(log m) for each of its rooms.
    pub fn remove(&mut self, key: MemberKey) -> Option<H> {
        self.leave_all(key);
        let socket = self.slot_mut(key)?.socket.take()?;
        self.by_id.remove(&socket.id);
        // A slot whose generations are used up is retired: a key must never come back to life.
        #[allow(clippy::indexing_slicing, reason = "proof: `slot_mut` has just found it")]
        let slot = &mut self.slots[key.index as usize];
        if let Some(next) = slot.generation.checked_add(1) {
            slot.generation = next;
            self.free.push(key.index);
        }
        Some(socket.handle)
    }

    /// The handle beside a key. O(1).
    pub fn get(&self, key: MemberKey) -> Option<&H> {
        Some(&self.socket(key)?.handle)
    }

    /// The public id of a socket. O(1).
    pub fn id(&self, key: MemberKey) -> Option<&Arc<str>> {
        Some(&self.socket(key)?.id)
    }

    /// The socket with this public id. O(log s).
    pub fn by_id(&self, id: &str) -> Option<(MemberKey, &H)> {
        self.at(*self.by_id.get(id)?)
    }

    /// The number of sockets that are present.
    pub fn len(&self) -> usize {
        self.by_id.len()
    }

    /// Returns whether no socket is present.
    pub fn is_empty(&self) -> bool {
        self.by_id.is_empty()
    }

    /// Every socket, in key order.
    pub fn iter(&self) -> impl Iterator<Item = (MemberKey, &H)> {
        (0..).zip(&self.slots).filter_map(|(index, slot)| {
            let socket = slot.socket.as_ref()?;
            Some((MemberKey { index, generation: slot.generation }, &socket.handle))
        })
    }

    /// Puts a socket into a room, which comes to be with its first member. True when it was not there before;
    /// false also for a key that is no longer valid, so that a handler which joins late has no effect, and for
    /// the socket's own id. O(log r + log m).
    ///
    /// # Errors
    /// [`HubError::TooManyRooms`] and [`HubError::RoomNameTooLong`], by the [`HubLimits`]. Joining again a room one
    /// is in never fails.
    pub fn join(&mut self, key: MemberKey, room: &str) -> Result<bool, HubError> {
        let Some(socket) = self.socket(key) else { return Ok(false) };
        if *socket.id == *room || self.rooms.named(room).is_some_and(|members| members.contains(&key.index)) {
            return Ok(false);
        }
        if socket.rooms.len() >= self.limits.rooms_per_socket {
            return Err(HubError::TooManyRooms { limit: self.limits.rooms_per_socket });
        }
        self.check_name(room)?;
        let number = self.rooms.find_or_create(room).ok_or(HubError::Full)?;
        self.rooms.add(number, key.index);
        if let Some(socket) = self.socket_mut(key) {
            socket.rooms.push(number);
        }
        self.log_joined(number, key.index);
        self.note(key, &[number], true);
        Ok(true)
    }

    /// Takes a socket out of a room, which ends with its last member. False when it was not there, and for the
    /// socket's own id. O(log r + log m), and a scan of the socket's list of rooms.
    pub fn leave(&mut self, key: MemberKey, room: &str) -> bool {
        let Some(number) = self.rooms.find(room) else { return false };
        let Some(socket) = self.socket_mut(key) else { return false };
        if !forget(&mut socket.rooms, number) {
            return false;
        }
        self.note(key, &[number], false);
        self.log_leaving(number, key.index);
        self.rooms.take(number, key.index)
    }

    /// Takes a socket out of all rooms but that of its own id.
    pub fn leave_all(&mut self, key: MemberKey) {
        let Some(socket) = self.socket_mut(key) else { return };
        let left = mem::take(&mut socket.rooms);
        self.note(key, &left, false);
        for number in left {
            self.log_leaving(number, key.index);
            self.rooms.take(number, key.index);
        }
    }

    /// The rooms a socket is in: its own id first, as in the reference, then in the order it joined them. Empty
    /// for a key that is no longer valid.
    pub fn rooms_of(&self, key: MemberKey) -> Vec<Arc<str>> {
        let Some(socket) = self.socket(key) else { return Vec::new() };
        let joined = socket.rooms.iter().filter_map(|&number| self.rooms.name(number));
        iter::once(&socket.id).chain(joined).cloned().collect()
    }

    /// The rooms that a socket is the only member of, in the order it joined them: they end when it leaves. O(log r) for
    /// each of its rooms.
    pub fn rooms_with_only(&self, key: MemberKey) -> Vec<Arc<str>> {
        let Some(socket) = self.socket(key) else { return Vec::new() };
        let alone = |number: &&u32| self.rooms.members(**number).is_some_and(|members| members.len() == 1);
        socket.rooms.iter().filter(alone).filter_map(|&number| self.rooms.name(number)).cloned().collect()
    }

    /// The names of the rooms somebody joined, in their order as text. The rooms that are only a socket's own id
    /// are not among them.
    pub fn rooms(&self) -> impl Iterator<Item = &Arc<str>> {
        self.rooms.names()
    }

    /// The sockets in a room, in key order; for a socket's id, that socket and whoever joined a room of that
    /// name.
    pub fn members(&self, room: &str) -> impl Iterator<Item = (MemberKey, &H)> {
        self.named(room).into_iter().filter_map(|index| self.at(index))
    }

    /// Takes every socket out of a room. A socket whose id is the room's name stays reachable by it.
    pub fn close_room(&mut self, room: &str) {
        let Some(number) = self.rooms.find(room) else { return };
        let events = self.events;
        self.log_closing(number);
        for index in self.rooms.close(number) {
            if let Some(Slot { socket: Some(socket), .. }) = self.slots.get_mut(index as usize) {
                forget(&mut socket.rooms, number);
                if let Some(journal) = &mut socket.journal {
                    journal.note(events, room.into(), false);
                }
            }
        }
    }

    /// Calls `each` once for every socket a target stands for, in key order. The usual use is to collect clones
    /// of the handles under the hub's lock and to work on them after it.
    ///
    /// For one room with nothing or one id left out, nothing is allocated: O(log r + m). Several rooms are merged
    /// in a temporary list of 4 bytes a member. Everyone: a walk over all the slots.
    pub fn select(&self, target: &Target, mut each: impl FnMut(MemberKey, &H)) {
        let except = self.union(&target.except);
        let mut visit = |(key, handle): (MemberKey, &H)| {
            if !except.contains(key.index) {
                each(key, handle);
            }
        };
        if target.rooms.is_empty() {
            return self.iter().for_each(visit);
        }
        match self.union(&target.rooms) {
            // Without the test of each member: this is the loop of a plain broadcast to a room.
            Slots::Room(members) if except.is_empty() => {
                members
                    .iter()
                    .filter_map(|&index| self.at(index))
                    .for_each(|(key, handle)| each(key, handle));
            }
            slots => slots.into_iter().filter_map(|index| self.at(index)).for_each(&mut visit),
        }
    }

    /// Puts every socket of a target into rooms. The sockets are those that the target stands for before the first of
    /// them joins. Those at their limit of rooms stay outside and are counted.
    ///
    /// # Errors
    /// [`HubError::RoomNameTooLong`] for any of the names, and then nobody joined.
    pub fn join_all(&mut self, target: &Target, rooms: &[impl AsRef<str>]) -> Result<Joined, HubError> {
        for room in rooms {
            self.check_name(room.as_ref())?;
        }
        let keys = self.keys(target);
        let mut outcome = Joined::default();
        for room in rooms {
            for key in &keys {
                match self.join(*key, room.as_ref()) {
                    Ok(newly) => outcome.joined = outcome.joined.saturating_add(usize::from(newly)),
                    Err(_) => outcome.refused = outcome.refused.saturating_add(1),
                }
            }
        }
        Ok(outcome)
    }

    /// Takes every socket of a target out of rooms, and returns how many were in them, counted for each room. The
    /// sockets are those that the target stands for before the first of them leaves.
    pub fn leave_all_in(&mut self, target: &Target, rooms: &[impl AsRef<str>]) -> usize {
        let keys = self.keys(target);
        let mut left = 0_usize;
        for room in rooms {
            for key in &keys {
                left = left.saturating_add(usize::from(self.leave(*key, room.as_ref())));
            }
        }
        left
    }

    /// The keys a target stands for, ascending: [`select`](Self::select) for a caller that then changes the hub.
    pub fn keys(&self, target: &Target) -> Vec<MemberKey> {
        let mut keys = Vec::new();
        self.select(target, |key, _| keys.push(key));
        keys
    }

    fn check_name(&self, room: &str) -> Result<(), HubError> {
        let limit = self.limits.room_name_bytes;
        if room.len() > limit { Err(HubError::RoomNameTooLong { limit }) } else { Ok(()) }
    }

    fn named(&self, name: &str) -> Slots<'_> {
        Slots::of_name(self.by_id.get(name).copied(), self.rooms.named(name))
    }

    fn union(&self, names: &[Arc<str>]) -> Slots<'_> {
        match names {
            [] => Slots::of_none(),
            [name] => self.named(name),
            names => Slots::union_of(names.iter().map(|name| self.named(name))),
        }
    }

    fn at(&self, index: u32) -> Option<(MemberKey, &H)> {
        let slot = self.slots.get(index as usize)?;
        let socket = slot.socket.as_ref()?;
        Some((MemberKey { index, generation: slot.generation }, &socket.handle))
    }

    fn socket(&self, key: MemberKey) -> Option<&Socket<H>> {
        let slot = self.slots.get(key.index as usize)?;
        if slot.generation == key.generation { slot.socket.as_ref() } else { None }
    }

    fn slot_mut(&mut self, key: MemberKey) -> Option<&mut Slot<H>> {
        self.slots.get_mut(key.index as usize).filter(|slot| slot.generation == key.generation)
    }

    fn socket_mut(&mut self, key: MemberKey) -> Option<&mut Socket<H>> {
        self.slot_mut(key)?.socket.as_mut()
    }
}

impl<H: Clone> Default for Hub<H> {
    fn default() -> Self {
        Self::new(HubLimits::default())
    }
}

/// Removes a number from a socket's list, which keeps the order of joining.
fn forget(rooms: &mut Vec<u32>, number: u32) -> bool {
    let Some(position) = rooms.iter().position(|&n| n == number) else { return false };
    rooms.remove(position);
    true
}
