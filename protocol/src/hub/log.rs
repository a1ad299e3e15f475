//! The beginnings and ends of rooms and of memberships, for callers that ask for them.

use super::Hub;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::mem;

/// A change of a room, in the order in which the hub makes them. The rooms that are only a socket's own id are not among
/// them.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum RoomEvent {
    /// The room began: somebody is about to join it.
    Created {
        /// The room.
        room: Arc<str>,
    },
    /// A socket joined it.
    Joined {
        /// The room.
        room: Arc<str>,
        /// The public id of the socket.
        socket: Arc<str>,
    },
    /// A socket left it, or was disconnected.
    Left {
        /// The room.
        room: Arc<str>,
        /// The public id of the socket.
        socket: Arc<str>,
    },
    /// The room ended: the last one has left it, or it was closed.
    Deleted {
        /// The room.
        room: Arc<str>,
    },
}

impl<H: Clone> Hub<H> {
    /// Begins to keep the changes of rooms for [`take_room_events`](Self::take_room_events). Without it nothing is kept.
    pub fn log_rooms(&mut self) {
        self.log.get_or_insert_with(Vec::new);
    }

    /// Takes the changes of rooms since the last call.
    pub fn take_room_events(&mut self) -> Vec<RoomEvent> {
        self.log.as_mut().map(mem::take).unwrap_or_default()
    }

    /// A socket has just joined a room.
    pub(super) fn log_joined(&mut self, number: u32, index: u32) {
        let Some(log) = &mut self.log else { return };
        let socket = self.slots.get(index as usize).and_then(|slot| slot.socket.as_ref());
        let (Some(room), Some(socket)) = (self.rooms.name(number), socket) else { return };
        if self.rooms.members(number).is_some_and(|members| members.len() == 1) {
            log.push(RoomEvent::Created { room: room.clone() });
        }
        log.push(RoomEvent::Joined { room: room.clone(), socket: socket.id.clone() });
    }

    /// A socket is about to leave a room.
    pub(super) fn log_leaving(&mut self, number: u32, index: u32) {
        let Some(log) = &mut self.log else { return };
        let socket = self.slots.get(index as usize).and_then(|slot| slot.socket.as_ref());
        let (Some(room), Some(socket)) = (self.rooms.name(number), socket) else { return };
        log.push(RoomEvent::Left { room: room.clone(), socket: socket.id.clone() });
        if self.rooms.members(number).is_some_and(|members| members.len() == 1) {
            log.push(RoomEvent::Deleted { room: room.clone() });
        }
    }

    /// A room is about to be closed.
    pub(super) fn log_closing(&mut self, number: u32) {
        let Some(log) = &mut self.log else { return };
        let (Some(room), Some(members)) = (self.rooms.name(number), self.rooms.members(number)) else {
            return;
        };
        for index in members {
            if let Some(socket) = self.slots.get(*index as usize).and_then(|slot| slot.socket.as_ref()) {
                log.push(RoomEvent::Left { room: room.clone(), socket: socket.id.clone() });
            }
        }
        log.push(RoomEvent::Deleted { room: room.clone() });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hub::{HubLimits, Target};
    use alloc::collections::{BTreeMap, BTreeSet};
    use alloc::format;
    use alloc::string::{String, ToString};
    use proptest::prelude::*;

    fn told(hub: &mut Hub<()>) -> Vec<String> {
        let text = |event: RoomEvent| match event {
            RoomEvent::Created { room } => format!("+{room}"),
            RoomEvent::Joined { room, socket } => format!("{socket}>{room}"),
            RoomEvent::Left { room, socket } => format!("{socket}<{room}"),
            RoomEvent::Deleted { room } => format!("-{room}"),
        };
        hub.take_room_events().into_iter().map(text).collect()
    }

    #[test]
    fn every_way_into_a_room_and_out_of_it_is_told_once() {
        let mut hub = Hub::new(HubLimits::default());
        let silent = hub.insert("silent".into(), ()).unwrap();
        hub.join(silent, "before").unwrap();
        hub.log_rooms();
        let [a, b] = ["a", "b"].map(|id| hub.insert(id.into(), ()).unwrap());
        assert!(told(&mut hub).is_empty(), "the room of an id is none");
        hub.join(a, "x").unwrap();
        hub.join(a, "x").unwrap();
        hub.join(b, "x").unwrap();
        assert_eq!(told(&mut hub), ["+x", "a>x", "b>x"]);
        hub.leave(a, "x");
        hub.leave(a, "x");
        hub.leave(b, "x");
        assert_eq!(told(&mut hub), ["a<x", "b<x", "-x"]);
        hub.join_all(&Target::all().except("silent"), &["y"]).unwrap();
        hub.join(a, "z").unwrap();
        assert_eq!(told(&mut hub), ["+y", "a>y", "b>y", "+z", "a>z"]);
        hub.leave_all(a);
        assert_eq!(told(&mut hub), ["a<y", "a<z", "-z"]);
        hub.join(a, "y").unwrap();
        hub.close_room("y");
        hub.close_room("y");
        assert_eq!(told(&mut hub), ["a>y", "a<y", "b<y", "-y"]);
        hub.join(a, "w").unwrap();
        hub.remove(a);
        hub.remove(silent);
        assert_eq!(told(&mut hub), ["+w", "a>w", "a<w", "-w", "silent<before", "-before"]);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn who_follows_the_events_knows_the_rooms(
            steps in prop::collection::vec((0..5_u8, 0..4_usize, 0..3_usize), 1..60),
        ) {
            let mut hub = Hub::new(HubLimits::default().with_rooms_per_socket(2));
            hub.log_rooms();
            let mut keys: Vec<_> = (0..4).map(|id| hub.insert(format!("s{id}").into(), ()).unwrap()).collect();
            let mut known: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
            for (step, (verb, socket, room)) in steps.into_iter().enumerate() {
                let room = format!("r{room}");
                match verb {
                    0 | 1 => drop(hub.join(keys[socket], &room)),
                    2 => drop(hub.leave(keys[socket], &room)),
                    3 => hub.close_room(&room),
                    _ => {
                        hub.remove(keys[socket]);
                        keys[socket] = hub.insert(format!("t{step}").into(), ()).unwrap();
                    }
                }
                for event in hub.take_room_events() {
                    match event {
                        RoomEvent::Created { room } => {
                            prop_assert!(known.insert(room.to_string(), BTreeSet::new()).is_none());
                        }
                        RoomEvent::Joined { room, socket } => {
                            prop_assert!(known.get_mut(&*room).unwrap().insert(socket.to_string()));
                        }
                        RoomEvent::Left { room, socket } => {
                            prop_assert!(known.get_mut(&*room).unwrap().remove(&*socket));
                        }
                        RoomEvent::Deleted { room } => {
                            prop_assert!(known.remove(&*room).unwrap().is_empty());
                        }
                    }
                }
                let rooms: Vec<String> = hub.rooms().map(ToString::to_string).collect();
                prop_assert_eq!(known.keys().cloned().collect::<Vec<_>>(), rooms);
                for (room, members) in &known {
                    let mut present = BTreeSet::new();
                    hub.select(&Target::all().to(room.as_str()), |key, ()| {
                        present.insert(hub.id(key).unwrap().to_string());
                    });
                    prop_assert_eq!(&present, members);
                }
            }
        }
    }
}
