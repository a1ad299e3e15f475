//! Plays of random bytes, and those that the fuzzer found worth keeping.

use super::play;
use super::scenario::Scenario;
use proptest::prelude::*;
use proptest::test_runner::{RngAlgorithm, TestRng, TestRunner};
use std::fs;
use std::panic::catch_unwind;
use std::path::Path;

#[test]
fn whatever_happens_no_wake_up_is_missed_and_nothing_is_left() {
    let plays = prop::collection::vec(any::<u8>(), 2..=130);
    let mut runner = match std::env::var("PROPTEST_CASES") {
        Ok(_) => TestRunner::default(),
        Err(_) => {
            let random = TestRng::deterministic_rng(RngAlgorithm::ChaCha);
            TestRunner::new_with_rng(ProptestConfig::with_cases(96), random)
        }
    };
    let told = runner.run(&plays, |data| {
        let played = catch_unwind(|| play(&data));
        prop_assert!(played.is_ok(), "the panic is above: {:#?}", Scenario::read(&data));
        Ok(())
    });
    told.unwrap();
}

#[test]
fn nothing_in_the_corpus_breaks_anything() {
    let folder = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../fuzz/corpus/session"));
    let mut count = 0;
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let data = fs::read(&path).unwrap();
        count += 1;
        let played = catch_unwind(|| play(&data));
        assert!(played.is_ok(), "{path:?}: the panic is above: {:#?}", Scenario::read(&data));
    }
    assert!(count >= 10, "a corpus of {count} inputs only");
}
