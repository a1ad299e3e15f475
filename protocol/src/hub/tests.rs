use super::*;
use alloc::collections::BTreeSet;
use alloc::format;
use alloc::string::String;
use alloc::vec;
use proptest::prelude::*;
use proptest::test_runner::TestRunner;

fn hub() -> Hub<u32> {
    Hub::new(Limits::default())
}

fn handles(hub: &Hub<u32>, target: &Target) -> Vec<u32> {
    let mut all = Vec::new();
    hub.select(target, |_, handle| all.push(*handle));
    all
}

fn names(rooms: &[Arc<str>]) -> Vec<&str> {
    rooms.iter().map(|room| &**room).collect()
}

#[test]
fn a_socket_is_in_the_room_of_its_own_id_and_stays_there() {
    let mut hub = hub();
    let a = hub.insert("a".into(), 1).unwrap();
    assert_eq!(hub.join(a, "a"), Ok(false));
    assert!(!hub.leave(a, "a"));
    hub.close_room("a");
    hub.leave_all(a);
    assert_eq!(names(&hub.rooms_of(a)), ["a"]);
    assert_eq!(handles(&hub, &Target::all().to("a")), [1]);
    assert_eq!(hub.rooms().count(), 0);
}

#[test]
fn a_dead_key_does_nothing_even_when_its_slot_is_taken_again() {
    let mut hub = hub();
    let old = hub.insert("a".into(), 1).unwrap();
    assert_eq!(hub.remove(old), Some(1));
    let new = hub.insert("a".into(), 2).unwrap();
    assert_eq!(old.index, new.index);
    assert_eq!(hub.join(old, "room"), Ok(false));
    assert_eq!(hub.remove(old), None);
    assert_eq!(hub.get(old), None);
    assert!(hub.rooms_of(old).is_empty());
    hub.join(new, "room").unwrap();
    assert!(!hub.leave(old, "room"));
    hub.leave_all(old);
    assert_eq!(names(&hub.rooms_of(new)), ["a", "room"]);
}

#[test]
fn a_slot_whose_generations_are_used_up_is_retired() {
    let mut hub = hub();
    let first = hub.insert("a".into(), 1).unwrap();
    hub.slots[0].generation = u32::MAX;
    let last = Key { generation: u32::MAX, ..first };
    assert_eq!(hub.remove(last), Some(1));
    let next = hub.insert("b".into(), 2).unwrap();
    assert_eq!(next.index, 1);
    assert_eq!(hub.get(last), None);
}

#[test]
fn a_second_socket_with_the_same_id_is_refused() {
    let mut hub = hub();
    hub.insert("a".into(), 1).unwrap();
    assert_eq!(hub.insert("a".into(), 2), Err(HubError::DuplicateId));
    assert_eq!(hub.len(), 1);
    assert_eq!(hub.by_id("a").unwrap().1, &1);
}

#[test]
fn a_socket_cannot_be_in_more_rooms_than_allowed() {
    let mut hub = Hub::new(Limits::default().with_rooms_per_socket(2));
    let a = hub.insert("a".into(), 1).unwrap();
    let b = hub.insert("b".into(), 2).unwrap();
    hub.join(a, "x").unwrap();
    hub.join(a, "y").unwrap();
    assert_eq!(hub.join(a, "z"), Err(HubError::TooManyRooms { limit: 2 }));
    assert_eq!(hub.join(a, "y"), Ok(false));
    assert_eq!(hub.join_all(&Target::all(), "z"), Ok(Joined { joined: 1, refused: 1 }));
    assert_eq!(names(&hub.rooms_of(b)), ["b", "z"]);
    assert!(hub.leave(a, "x"));
    assert_eq!(hub.join(a, "z"), Ok(true));
    assert_eq!(names(&hub.rooms_of(a)), ["a", "y", "z"]);
}

#[test]
fn a_room_name_cannot_be_longer_than_allowed() {
    let mut hub = Hub::new(Limits::default().with_room_name_bytes(4));
    let a = hub.insert("a".into(), 1).unwrap();
    assert_eq!(hub.join(a, "four"), Ok(true));
    assert_eq!(hub.join(a, "fives"), Err(HubError::RoomNameTooLong { limit: 4 }));
    assert!(hub.join_all(&Target::all(), "fives").is_err());
    assert_eq!(hub.rooms().count(), 1);
}

#[test]
fn a_room_named_like_an_id_reaches_the_socket_and_the_members() {
    let mut hub = hub();
    let a = hub.insert("a".into(), 1).unwrap();
    let b = hub.insert("b".into(), 2).unwrap();
    hub.insert("c".into(), 3).unwrap();
    hub.join(a, "b").unwrap();
    assert_eq!(handles(&hub, &Target::all().to("b")), [1, 2]);
    assert_eq!(handles(&hub, &Target::all().except("b")), [3]);
    assert_eq!(hub.members("b").map(|(key, _)| key).collect::<Vec<_>>(), [a, b]);
}

#[test]
fn an_unknown_room_reaches_nobody() {
    let mut hub = hub();
    hub.insert("a".into(), 1).unwrap();
    assert!(handles(&hub, &Target::all().to("nobody")).is_empty());
    assert_eq!(handles(&hub, &Target::all().except("nobody")), [1]);
}

#[test]
fn an_idle_socket_stays_within_its_memory() {
    // Slot, entry in the index of ids (two thirds full, as B-tree nodes are on average), and the id itself: two
    // counters and 20 bytes, rounded by the allocator.
    let slot = size_of::<Slot<Arc<u8>>>();
    let entry = size_of::<(Arc<str>, u32)>() * 3 / 2;
    assert!(slot <= 64, "{slot}");
    assert!(slot + entry + 48 <= 200, "{slot} {entry}");
}

#[test]
fn a_large_room_can_be_left_in_any_order() {
    let mut hub = hub();
    let keys: Vec<Key> = (0..100_000u32)
        .map(|n| {
            let key = hub.insert(format!("{n}").into(), n).unwrap();
            hub.join(key, "all").unwrap();
            key
        })
        .collect();
    for n in 0..50_000usize {
        assert!(hub.leave(keys[n * 7919 % 100_000], "all"));
    }
    assert_eq!(hub.members("all").count(), 50_000);
    hub.close_room("all");
    assert_eq!(hub.rooms().count(), 0);
}

/// The same by the most obvious means: for each socket ever inserted, its id and rooms while it lives.
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

const LIMIT: usize = 4;

#[derive(Clone, Debug)]
enum Op {
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

// Ids and rooms share their few names, so that rooms named like ids are common.
fn name() -> impl Strategy<Value = String> {
    (0..8u8).prop_map(|n| format!("{n}"))
}

fn target() -> impl Strategy<Value = Target> {
    let some = || prop::collection::vec(name().prop_map(|n| n.into()), 0..4);
    (some(), some()).prop_map(|(rooms, except)| Target { rooms, except, flags: Flags::default() })
}

fn op() -> impl Strategy<Value = Op> {
    let n = || 0..12usize;
    prop_oneof![
        3 => name().prop_map(Op::Insert),
        1 => n().prop_map(Op::Remove),
        6 => (n(), name()).prop_map(|(n, room)| Op::Join(n, room)),
        2 => (n(), name()).prop_map(|(n, room)| Op::Leave(n, room)),
        1 => n().prop_map(Op::LeaveAll),
        1 => name().prop_map(Op::Close),
        1 => (target(), name()).prop_map(|(t, room)| Op::JoinAll(t, room)),
        1 => (target(), name()).prop_map(|(t, room)| Op::LeaveAllIn(t, room)),
        3 => target().prop_map(Op::Select),
    ]
}

#[test]
fn the_hub_agrees_with_the_obvious_model() {
    let check = |ops: Vec<Op>| {
        let mut hub = Hub::new(Limits::default().with_rooms_per_socket(LIMIT));
        let mut model = Model::default();
        let mut keys: Vec<Key> = vec![];
        for op in ops {
            match op {
                Op::Insert(id) => {
                    let taken = model.sockets.iter().flatten().any(|(other, _)| *other == id);
                    match hub.insert(id.as_str().into(), keys.len()) {
                        Ok(key) => {
                            prop_assert!(!taken && !keys.contains(&key));
                            keys.push(key);
                            model.sockets.push(Some((id, vec![])));
                        }
                        Err(error) => prop_assert!(taken && error == HubError::DuplicateId),
                    }
                }
                Op::Remove(n) if n < keys.len() => {
                    let expected = model.sockets[n].take().map(|_| n);
                    prop_assert_eq!(hub.remove(keys[n]), expected);
                }
                Op::Join(n, room) if n < keys.len() => {
                    prop_assert_eq!(hub.join(keys[n], &room).map_err(|_| ()), model.join(n, &room));
                }
                Op::Leave(n, room) if n < keys.len() => {
                    prop_assert_eq!(hub.leave(keys[n], &room), model.leave(n, &room));
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
                    prop_assert_eq!(hub.join_all(&target, &room), Ok(Joined { joined, refused }));
                }
                Op::LeaveAllIn(target, room) => {
                    let left = model.select(&target).into_iter().filter(|&n| model.leave(n, &room)).count();
                    prop_assert_eq!(hub.leave_all_in(&target, &room), left);
                }
                Op::Select(target) => {
                    let mut seen = vec![];
                    hub.select(&target, |key, n| seen.push((key, *n)));
                    prop_assert!(seen.windows(2).all(|pair| pair[0].0 < pair[1].0));
                    prop_assert!(seen.iter().all(|(key, n)| keys[*n] == *key));
                    prop_assert_eq!(seen.iter().map(|s| s.1).collect::<BTreeSet<_>>(), model.select(&target));
                }
                _ => {}
            }
            for (n, &key) in keys.iter().enumerate() {
                let expected: Vec<String> = match model.alive(n) {
                    Some((id, joined)) => iter::once(id).chain(joined).cloned().collect(),
                    None => vec![],
                };
                let rooms = hub.rooms_of(key);
                prop_assert_eq!(names(&rooms), expected);
            }
            let rooms: BTreeSet<&str> =
                model.sockets.iter().flatten().flat_map(|(_, joined)| joined).map(|r| &**r).collect();
            prop_assert_eq!(
                hub.rooms().map(|r| &**r).collect::<Vec<_>>(),
                rooms.into_iter().collect::<Vec<_>>()
            );
            prop_assert_eq!(hub.len(), model.sockets.iter().flatten().count());
            prop_assert_eq!(hub.iter().count(), hub.len());
        }
        Ok(())
    };
    TestRunner::deterministic().run(&prop::collection::vec(op(), 0..80), check).unwrap();
}
