//! Some hundred stories of the simulation: `examples/simulate_cluster.rs` plays as many as one likes.

use sansocket_protocol::sim::cluster::{Story, play, shrink, travel};

#[test]
fn no_story_breaks_a_rule() {
    let (mut certain, mut requests) = (0, 0);
    for seed in 1_000_000..1_000_100 {
        let story = Story::generate(seed);
        let report = play(&story, false);
        if let Some(broken) = report.broken {
            let is_same =
                |story: &Story| play(story, false).broken.is_some_and(|other| other.rule == broken.rule);
            let small = shrink(&story, 200, is_same);
            panic!("seed {seed}: {}: {}\n{small}", broken.rule, broken.detail);
        }
        certain += report.certain;
        requests += report.requests;
    }
    // The rules have something to do with.
    assert!(certain > 6_000 && requests > 700, "{certain} deliveries, {requests} requests");
}

#[test]
fn sessions_that_move_lose_nothing_and_hear_nothing_twice() {
    let (mut certain, mut recovered) = (0, 0);
    for seed in 2_000_000..2_000_200 {
        let report = travel(seed, false);
        if let Some(broken) = report.broken {
            panic!("seed {seed}: {}: {}\n{}", broken.rule, broken.detail, travel(seed, true).transcript);
        }
        certain += report.certain;
        recovered += report.requests;
    }
    assert!(certain > 4_000 && recovered > 300, "{certain} events, {recovered} sessions");
}

#[test]
fn a_seed_is_one_story() {
    for seed in [7, 1_234, 99_999] {
        let story = Story::generate(seed);
        assert_eq!(play(&story, false).hash, play(&story, true).hash);
        assert_eq!(travel(seed, false).hash, travel(seed, true).hash);
    }
}
