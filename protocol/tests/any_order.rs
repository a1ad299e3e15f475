//! Any order of calls is legal. Random ones never panic, never run in circles, answer each request at most once, decide
//! each awaited acknowledgement exactly once, keep the queues bounded, and come to an end. The calls and the checks are
//! shared with the fuzzer: `sansocket_protocol::fuzzing::server`.

use proptest::prelude::*;
use proptest::test_runner::{RngAlgorithm, TestRng, TestRunner};
use sansocket_protocol::engine::{Overflow, Revision};
use sansocket_protocol::fuzzing::server::{LARGEST_FRAME, Op, PACKETS, Run, Seen, Taking};
use std::cell::{Cell, RefCell};

fn op() -> impl Strategy<Value = Op> {
    let packets = || prop::collection::vec(0..PACKETS.len(), 0..4);
    let request = 0..12usize;
    prop_oneof![
        400 => (0..12u8, 0..LARGEST_FRAME).prop_map(|(choice, number)| Op::Client { choice, number }),
        150 => Just(Op::Owner),
        1 => (0..8u8).prop_map(|method| Op::Poll { method }),
        1 => packets().prop_map(|packets| Op::Post { packets }),
        1 => Just(Op::BeginPost),
        1 => (request.clone(), packets(), any::<bool>())
            .prop_map(|(request, packets, too_large)| Op::Body { request, packets, too_large }),
        1 => Just(Op::Upgrade),
        5 => request.clone().prop_map(|request| Op::Opened { request }),
        1 => (request.clone(), 0..PACKETS.len(), prop::bool::weighted(0.1))
            .prop_map(|(request, packet, binary)| Op::WebSocket { request, packet, binary }),
        1 => (request.clone(), any::<bool>()).prop_map(|(request, error)| Op::WebSocketClosed { request, error }),
        1 => request.prop_map(|request| Op::Aborted { request }),
        15 => (-50..200i16).prop_map(|to| Op::Time { to }),
        5 => Just(Op::Deadline),
        5 => (0..100_000usize).prop_map(|bytes| Op::Unwritten { bytes }),
        20 => (0..10usize).prop_map(|count| Op::Transmit { count }),
        20 => (0..10usize).prop_map(|count| Op::Events { count }),
        120 => (0..14u8, 0..4usize, 0..LARGEST_FRAME)
            .prop_map(|(command, socket, number)| Op::Command { command, socket, number }),
        1 => prop::bool::weighted(0.2).prop_map(|abort| Op::End { abort }),
    ]
}

/// Tells random stories, the same ones at each run of the test.
fn tell(cases: u32, check: impl Fn(Revision, bool, bool, Overflow, &[Op])) {
    let overflow = prop_oneof![Just(Overflow::Close), Just(Overflow::Fail), Just(Overflow::Drop)];
    let revision = prop_oneof![3 => Just(Revision::V4), 1 => Just(Revision::V3)];
    let story =
        (revision, prop::bool::weighted(0.8), any::<bool>(), overflow, prop::collection::vec(op(), 1..250));
    let config = ProptestConfig { cases, failure_persistence: None, ..ProptestConfig::default() };
    let rng = TestRng::deterministic_rng(RngAlgorithm::ChaCha);
    let told =
        TestRunner::new_with_rng(config, rng).run(&story, |(revision, sockets, websocket, overflow, ops)| {
            check(revision, sockets, websocket, overflow, &ops);
            Ok(())
        });
    if let Err(error) = told {
        panic!("{error}");
    }
}

#[test]
fn any_order_of_calls_is_legal() {
    let total = RefCell::new(Seen::default());
    tell(300, |revision, sockets, websocket, overflow, ops| {
        let mut run = Run::new(revision, sockets, websocket, overflow);
        for op in ops {
            run.act(op);
            run.check();
        }
        let seen = run.finish();
        let mut total = total.borrow_mut();
        total.joined += seen.joined;
        total.events += seen.events;
        total.answered += seen.answered;
        total.timed_out += seen.timed_out;
        total.disconnected += seen.disconnected;
        total.upgraded += seen.upgraded;
        total.reasons.extend(seen.reasons);
    });
    // The stories are worth something only if they get far.
    let total = total.into_inner();
    let Seen { joined, events, answered, timed_out, disconnected, upgraded, ref reasons, .. } = total;
    let enough = joined > 500 && events > 500 && upgraded > 5 && reasons.len() >= 7;
    assert!(enough && answered > 30 && timed_out > 30 && disconnected > 30, "{total:?}");
}

#[test]
fn the_same_inputs_give_the_same_outputs() {
    tell(60, |revision, sockets, websocket, overflow, ops| {
        let [first, second] = [(); 2].map(|()| {
            let mut run = Run::new(revision, sockets, websocket, overflow);
            for op in ops {
                run.act(op);
            }
            run.output
        });
        assert_eq!(first, second);
    });
}

#[test]
fn an_event_that_comes_along_with_its_message_is_the_one_that_is_next_behind_it() {
    let (along, events, answers) = (Cell::new(0), Cell::new(0), Cell::new(0));
    tell(150, |revision, sockets, websocket, overflow, ops| {
        let [mut one, mut other] = [Taking::Behind, Taking::Along].map(|taking| {
            let mut run = Run::new(revision, sockets, websocket, overflow);
            run.taking = taking;
            run
        });
        for op in ops {
            one.act(op);
            other.act(op);
            assert_eq!(one.output, other.output, "{op:?}");
            assert_eq!(one.state(), other.state(), "{op:?}");
            one.output.clear();
            other.output.clear();
            one.check();
            other.check();
        }
        one.finish();
        let seen = other.finish();
        along.set(along.get() + seen.along);
        answers.set(answers.get() + seen.answers_along);
        events.set(events.get() + seen.events);
    });
    let (along, events) = (along.into_inner(), events.into_inner());
    assert!(along > 100 && along < events, "{along} of {events} events came along");
    assert!(answers.get() > 100, "{} answers were taken along with a body", answers.get());
}
