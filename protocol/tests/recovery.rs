//! Connection state recovery under faults (`src/sim/recovery.rs`): some thousand seeds. Many more:
//! `cargo run --release -p sansocket-protocol --features sim --example simulate -- --recovery --seeds 100000`.

use sansocket_protocol::sim::{Recoveries, recover};

fn play(seeds: std::ops::Range<u64>) -> Recoveries {
    let mut told = Recoveries::default();
    for seed in seeds {
        match recover(seed, false) {
            Ok(one) => told.add(&one),
            Err(_) => {
                let broken = recover(seed, true).expect_err("the same seed gives the same run");
                panic!("seed {seed}: {broken}");
            }
        }
    }
    told
}

#[test]
fn inside_the_window_each_event_is_heard_once_and_outside_of_it_clients_are_told() {
    let told = play(0..1000);
    assert!(told.recovered > 1000 && told.replayed > 5000 && told.early > 200 && told.anew > 200, "{told}");
}

#[test]
fn no_rule_is_broken_under_a_second_thousand_of_seeds() {
    play(10_000..11_000);
}

#[test]
fn no_rule_is_broken_under_a_third_thousand_of_seeds() {
    play(20_000..21_000);
}
