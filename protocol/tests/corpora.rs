//! The inputs that fuzzers found worth keeping, run as ordinary tests: `fuzz/corpus`, one folder for each target.
#![expect(clippy::disallowed_methods, reason = "the corpora are files")]

use sansocket_protocol::fuzzing::TARGETS;
use std::collections::BTreeSet;
use std::fs;
use std::panic::catch_unwind;
use std::path::Path;

fn folder(name: &str) -> std::path::PathBuf {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../fuzz")).join(name)
}

#[test]
fn nothing_in_the_corpora_breaks_anything() {
    for (name, target) in TARGETS {
        let folder = folder("corpus").join(name);
        let entries = fs::read_dir(&folder).unwrap_or_else(|error| panic!("{folder:?}: {error}"));
        let mut count = 0;
        for entry in entries {
            let path = entry.unwrap().path();
            let data = fs::read(&path).unwrap();
            count += 1;
            assert!(catch_unwind(|| target(&data)).is_ok(), "{path:?} breaks {name}: the panic is above");
        }
        assert!(count >= 10, "{name} has a corpus of {count} inputs only");
    }
}

#[test]
fn every_target_has_its_wrapper_and_every_wrapper_its_target() {
    let wrappers = fs::read_dir(folder("fuzz_targets")).unwrap();
    let wrappers = wrappers.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    // The codec of WebSockets and the task of a session are the runtime's, and so are the tests of their corpora.
    let names = TARGETS
        .iter()
        .map(|(name, _)| *name)
        .chain(["session", "websocket"])
        .map(|name| format!("{name}.rs"));
    assert_eq!(wrappers.collect::<BTreeSet<_>>(), names.collect());
}
