//! The hub against the most obvious model: a list of sockets, each with the list of its rooms.

use super::input::Input;
use crate::hub::{Flags, Hub, HubError, HubLimits, Joined, MemberKey, Target};
use alloc::collections::BTreeSet;
use alloc::format;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec;
use alloc::vec::Vec;
use core::iter;

/// The number of rooms that a socket may be in here.
const LIMIT: usize = 4;
/// The largest number of operations in one input.
const MAX_OPS: usize = 200;

/// Something that is done to a hub. Sockets are numbered in the order in which they were inserted.
#[derive(Clone, Debug)]
#[allow(missing_docs)]
pub enum Op {
    Insert(String),
    Remove(usize),
    Join(usize, String),
    Leave(usize, String),
    LeaveAll(usize),
    Close(String),
    JoinAll(Target, String),
    LeaveAllIn(Target, String),
    Select(Target),
}

impl Op {
    /// An operation out of a fuzzer's bytes.
    pub fn read(input: &mut Input<'_>) -> Self {
        // Ids and rooms share their few names, so that rooms named like ids are common.
        let name = |input: &mut Input<'_>| format!("{}", input.below(8));
        let socket = |input: &mut Input<'_>| input.below(12);
        let target = |input: &mut Input<'_>| {
            let (rooms, except) = (input.below(4), input.below(4));
            let some = |input: &mut Input<'_>, n| (0..n).map(|_| name(input).into()).collect();
            Target { rooms: some(input, rooms), except: some(input, except), flags: Flags::default() }
        };
        match input.below(12) {
            0 | 1 => Self::Insert(name(input)),
            2 => Self::Remove(socket(input)),
            3 | 4 => Self::Join(socket(input), name(input)),
            5 => Self::Leave(socket(input), name(input)),
            6 => Self::LeaveAll(socket(input)),
            7 => Self::Close(name(input)),
            8 => Self::JoinAll(target(input), name(input)),
            9 => Self::LeaveAllIn(target(input), name(input)),
            _ => Self::Select(target(input)),
        }
    }
}

/// Operations on a hub and on the model.
///
/// # Panics
/// If they are not the same after each.
pub fn against_the_model(data: &[u8]) {
    let mut input = Input::new(data);
    let mut ops = vec![];
    while !input.is_empty() && ops.len() < MAX_OPS {
        ops.push(Op::read(&mut input));
    }
    compare(ops);
}

/// Does these operations to a hub and to the model.
///
/// # Panics
/// If they are not the same after each.
pub fn compare(ops: Vec<Op>) {
    let mut both = Both {
        hub: Hub::new(HubLimits::default().with_rooms_per_socket(LIMIT)),
        model: Model::default(),
        keys: vec![],
    };
    for op in ops {
        both.act(op);
        both.check();
    }
}

/// The model of the hub: for each socket ever inserted, its id and rooms while it lives.
#[derive(Default)]
struct Model {
    sockets: Vec<Option<(String, Vec<String>)>>,
}

impl Model {
    fn alive(&self, n: usize) -> Option<&(String, Vec<String>)> {
        self.sockets.get(n)?.as_ref()
    }

    fn in_any(&self, n: usize, rooms: &[Arc<str>]) -> bool {
        let Some((id, joined)) = self.alive(n) else { return false };
        rooms.iter().any(|room| **room == **id || joined.iter().any(|r| **r == **room))
    }

    fn select(&self, target: &Target) -> BTreeSet<usize> {
        (0..self.sockets.len())
            .filter(|&n| self.alive(n).is_some())
            .filter(|&n| target.rooms.is_empty() || self.in_any(n, &target.rooms))
            .filter(|&n| !self.in_any(n, &target.except))
            .collect()
    }

    fn join(&mut self, n: usize, room: &str) -> Result<bool, ()> {
        let Some(Some((id, joined))) = self.sockets.get_mut(n) else { return Ok(false) };
        if id == room || joined.iter().any(|r| r == room) {
            return Ok(false);
        }
        if joined.len() >= LIMIT {
            return Err(());
        }
        joined.push(room.into());
        Ok(true)
    }

    fn leave(&mut self, n: usize, room: &str) -> bool {
        let Some(Some((_, joined))) = self.sockets.get_mut(n) else { return false };
        let before = joined.len();
        joined.retain(|r| r != room);
        joined.len() < before
    }
}

struct Both {
    hub: Hub<usize>,
    model: Model,
    keys: Vec<MemberKey>,
}

impl Both {
    fn act(&mut self, op: Op) {
        let Self { hub, model, keys } = self;
        match op {
            Op::Insert(id) => {
                let taken = model.sockets.iter().flatten().any(|(other, _)| *other == id);
                match hub.insert(id.as_str().into(), keys.len()) {
                    Ok(key) => {
                        assert!(!taken && !keys.contains(&key));
                        keys.push(key);
                        model.sockets.push(Some((id, vec![])));
                    }
                    Err(error) => assert!(taken && error == HubError::DuplicateId),
                }
            }
            Op::Remove(n) if n < keys.len() => {
                let expected = model.sockets[n].take().map(|_| n);
                assert_eq!(hub.remove(keys[n]), expected);
            }
            Op::Join(n, room) if n < keys.len() => {
                assert_eq!(hub.join(keys[n], &room).map_err(|_| ()), model.join(n, &room));
            }
            Op::Leave(n, room) if n < keys.len() => {
                assert_eq!(hub.leave(keys[n], &room), model.leave(n, &room));
            }
            Op::LeaveAll(n) if n < keys.len() => {
                hub.leave_all(keys[n]);
                if let Some((_, joined)) = &mut model.sockets[n] {
                    joined.clear();
                }
            }
            Op::Close(room) => {
                hub.close_room(&room);
                for n in 0..keys.len() {
                    model.leave(n, &room);
                }
            }
            Op::JoinAll(target, room) => {
                let results: Vec<_> =
                    model.select(&target).into_iter().map(|n| model.join(n, &room)).collect();
                let joined = results.iter().filter(|r| **r == Ok(true)).count();
                let refused = results.iter().filter(|r| r.is_err()).count();
                assert_eq!(hub.join_all(&target, &[&room]), Ok(Joined { joined, refused }));
            }
            Op::LeaveAllIn(target, room) => {
                let left = model.select(&target).into_iter().filter(|&n| model.leave(n, &room)).count();
                assert_eq!(hub.leave_all_in(&target, &[&room]), left);
            }
            Op::Select(target) => {
                let mut seen = vec![];
                hub.select(&target, |key, n| seen.push((key, *n)));
                assert!(seen.windows(2).all(|pair| pair[0].0 < pair[1].0));
                assert!(seen.iter().all(|(key, n)| keys[*n] == *key));
                assert_eq!(seen.iter().map(|s| s.1).collect::<BTreeSet<_>>(), model.select(&target));
            }
            // There is no such socket.
            Op::Remove(_) | Op::Join(..) | Op::Leave(..) | Op::LeaveAll(_) => {}
        }
    }

    fn check(&self) {
        let Self { hub, model, keys } = self;
        for (n, &key) in keys.iter().enumerate() {
            let expected: Vec<&str> = match model.alive(n) {
                Some((id, joined)) => iter::once(id).chain(joined).map(|name| &**name).collect(),
                None => vec![],
            };
            let rooms = hub.rooms_of(key);
            assert_eq!(rooms.iter().map(|room| &**room).collect::<Vec<_>>(), expected);
        }
        let rooms: BTreeSet<&str> =
            model.sockets.iter().flatten().flat_map(|(_, joined)| joined).map(|r| &**r).collect();
        let ours: Vec<&str> = hub.rooms().map(|r| &**r).collect();
        assert_eq!(ours, rooms.into_iter().collect::<Vec<_>>());
        assert_eq!(hub.len(), model.sockets.iter().flatten().count());
        assert_eq!(hub.iter().count(), hub.len());
    }
}
