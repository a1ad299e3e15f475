//! Some hundred stories of the simulation: `examples/simulate_cluster.rs` plays as many as one likes.

use sansocket_protocol::sim::cluster::{Story, play, shrink};

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
fn a_seed_is_one_story() {
    for seed in [7, 1_234, 99_999] {
        let story = Story::generate(seed);
        assert_eq!(play(&story, false).hash, play(&story, true).hash);
    }
}
