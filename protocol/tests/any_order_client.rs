//! Any order of calls to a client is legal. Random ones never panic, never run in circles, leave no deadline in the
//! past, decide each awaited acknowledgement exactly once, keep the queues bounded, and come to an end. The calls and
//! the checks are shared with the fuzzer: `sansocket_protocol::fuzzing::client`.

use proptest::prelude::*;
use proptest::test_runner::{RngAlgorithm, TestRng, TestRunner};
use sansocket_protocol::fuzzing::client::{LARGEST_FRAME, Op, PACKETS, Run, Seen};
use std::cell::RefCell;

fn op() -> impl Strategy<Value = Op> {
    let id = 0..8usize;
    let packets = prop::collection::vec(0..PACKETS.len(), 0..4);
    prop_oneof![
        400 => (0..14u8, 0..LARGEST_FRAME).prop_map(|(choice, number)| Op::Server { choice, number }),
        150 => Just(Op::Owner),
        2 => (id.clone(), prop_oneof![Just(200u16), Just(400), Just(502)], packets)
            .prop_map(|(id, status, packets)| Op::Respond { id, status, packets }),
        2 => (id.clone(), any::<bool>()).prop_map(|(id, too_large)| Op::Fail { id, too_large }),
        1 => id.clone().prop_map(|id| Op::Refuse { id }),
        2 => id.clone().prop_map(|id| Op::Opened { id }),
        3 => (id.clone(), 0..PACKETS.len(), prop::bool::weighted(0.1))
            .prop_map(|(id, packet, binary)| Op::WebSocket { id, packet, binary }),
        2 => (id, any::<bool>()).prop_map(|(id, error)| Op::Closed { id, error }),
        20 => (-50..300i16).prop_map(|to| Op::Time { to }),
        20 => Just(Op::Deadline),
        5 => (0..100_000usize).prop_map(|bytes| Op::Unwritten { bytes }),
        20 => (0..10usize).prop_map(|count| Op::Transmit { count }),
        20 => (0..10usize).prop_map(|count| Op::Events { count }),
        150 => (0..16u8, 0..2usize, 0..LARGEST_FRAME)
            .prop_map(|(command, socket, number)| Op::Command { command, socket, number }),
        1 => prop::bool::weighted(0.5).prop_map(|abort| Op::End { abort }),
    ]
}

/// Tells random stories, the same ones at each run of the test.
fn tell(cases: u32, check: impl Fn(bool, u8, bool, &[Op])) {
    let story =
        (prop::bool::weighted(0.8), 0..6u8, prop::bool::weighted(0.2), prop::collection::vec(op(), 1..300));
    let config = ProptestConfig { cases, failure_persistence: None, ..ProptestConfig::default() };
    let rng = TestRng::deterministic_rng(RngAlgorithm::ChaCha);
    let told = TestRunner::new_with_rng(config, rng).run(&story, |(sockets, transports, ask, ops)| {
        check(sockets, transports, ask, &ops);
        Ok(())
    });
    if let Err(error) = told {
        panic!("{error}");
    }
}

#[test]
fn any_order_of_calls_is_legal() {
    let total = RefCell::new(Seen::default());
    tell(300, |sockets, transports, ask, ops| {
        let mut run = Run::new(sockets, transports, ask);
        for op in ops {
            run.act(op);
            run.check();
        }
        let seen = run.finish();
        let mut total = total.borrow_mut();
        total.opened += seen.opened;
        total.joined += seen.joined;
        total.events += seen.events;
        total.answered += seen.answered;
        total.timed_out += seen.timed_out;
        total.disconnected += seen.disconnected;
        total.upgraded += seen.upgraded;
        total.gave_up += seen.gave_up;
        total.reasons.extend(seen.reasons);
    });
    // The stories are worth something only if they get far.
    let total = total.into_inner();
    let Seen { opened, joined, events, upgraded, gave_up, ref reasons, .. } = total;
    let enough = opened > 400 && joined > 300 && events > 500 && upgraded > 20 && gave_up > 1;
    let acks = total.answered > 20 && total.timed_out > 30 && total.disconnected > 30;
    assert!(enough && acks && reasons.len() >= 5, "{total:?}");
}

#[test]
fn the_same_inputs_give_the_same_outputs() {
    tell(60, |sockets, transports, ask, ops| {
        let [first, second] = [(); 2].map(|()| {
            let mut run = Run::new(sockets, transports, ask);
            for op in ops {
                run.act(op);
            }
            run.output
        });
        assert_eq!(first, second);
    });
}
