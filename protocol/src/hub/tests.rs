use super::*;
use crate::fuzzing::hub::{Op, compare};
use alloc::format;
use alloc::string::String;
use proptest::prelude::*;
use proptest::test_runner::TestRunner;

fn hub() -> Hub<u32> {
    Hub::new(HubLimits::default())
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
fn the_rooms_of_one_socket_alone_end_with_it() {
    let mut hub = hub();
    let a = hub.insert("a".into(), 1).unwrap();
    let b = hub.insert("b".into(), 2).unwrap();
    for (key, room) in [(a, "x"), (a, "y"), (b, "y"), (a, "z"), (b, "b's")] {
        hub.join(key, room).unwrap();
    }
    assert_eq!(names(&hub.rooms_with_only(a)), ["x", "z"]);
    hub.remove(a);
    assert!(hub.rooms_with_only(a).is_empty());
    assert_eq!(names(&hub.rooms_with_only(b)), ["y", "b's"]);
    assert_eq!(names(&hub.rooms().cloned().collect::<Vec<_>>()), ["b's", "y"]);
}

#[test]
fn a_slot_whose_generations_are_used_up_is_retired() {
    let mut hub = hub();
    let first = hub.insert("a".into(), 1).unwrap();
    hub.slots[0].generation = u32::MAX;
    let last = MemberKey { generation: u32::MAX, ..first };
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
    let mut hub = Hub::new(HubLimits::default().with_rooms_per_socket(2));
    let a = hub.insert("a".into(), 1).unwrap();
    let b = hub.insert("b".into(), 2).unwrap();
    hub.join(a, "x").unwrap();
    hub.join(a, "y").unwrap();
    assert_eq!(hub.join(a, "z"), Err(HubError::TooManyRooms { limit: 2 }));
    assert_eq!(hub.join(a, "y"), Ok(false));
    assert_eq!(hub.join_all(&Target::all(), &["z"]), Ok(Joined { joined: 1, refused: 1 }));
    assert_eq!(names(&hub.rooms_of(b)), ["b", "z"]);
    assert!(hub.leave(a, "x"));
    assert_eq!(hub.join(a, "z"), Ok(true));
    assert_eq!(names(&hub.rooms_of(a)), ["a", "y", "z"]);
}

#[test]
fn the_sockets_of_a_target_are_chosen_once_for_all_rooms() {
    let mut hub = Hub::new(HubLimits::default());
    let a = hub.insert("a".into(), 1).unwrap();
    let b = hub.insert("b".into(), 2).unwrap();
    let of_x = Target::all().to("x");
    hub.join(a, "x").unwrap();
    hub.join(a, "y").unwrap();
    hub.join(b, "y").unwrap();
    assert_eq!(hub.leave_all_in(&of_x, &["x", "y"]), 2);
    assert_eq!(names(&hub.rooms_of(a)), ["a"]);
    assert_eq!(names(&hub.rooms_of(b)), ["b", "y"]);
    // Joining the first room does not leave them out of the second one.
    let joined = hub.join_all(&Target::all().except("x"), &["x", "z"]);
    assert_eq!(joined, Ok(Joined { joined: 4, refused: 0 }));
}

#[test]
fn a_room_name_cannot_be_longer_than_allowed() {
    let mut hub = Hub::new(HubLimits::default().with_room_name_bytes(4));
    let a = hub.insert("a".into(), 1).unwrap();
    assert_eq!(hub.join(a, "four"), Ok(true));
    assert_eq!(hub.join(a, "fives"), Err(HubError::RoomNameTooLong { limit: 4 }));
    assert!(hub.join_all(&Target::all(), &["ok", "fives"]).is_err());
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
    let keys: Vec<MemberKey> = (0..100_000u32)
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
        compare(ops);
        Ok(())
    };
    TestRunner::deterministic().run(&prop::collection::vec(op(), 0..80), check).unwrap();
}
