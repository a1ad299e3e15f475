//! Recordings of sessions that must go the same way for ever: those that once failed in the field, and some of each kind.
//! `sansocket replay FILE --rewrite protocol/tests/recordings/NAME.ssrec` makes one of a report, once its fault is mended.
#![expect(clippy::disallowed_methods, reason = "recordings are files")]

use sansocket_protocol::replay::{Replay, record_again};
use std::fs;
use std::path::{Path, PathBuf};

/// The recordings, in the order of their names.
fn recordings() -> Vec<(PathBuf, Vec<u8>)> {
    let folder = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/recordings"));
    let entries = fs::read_dir(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let mut files: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
    files.retain(|file| file.extension().is_some_and(|extension| extension == "ssrec"));
    files.sort();
    assert!(files.len() >= 6, "only {} recordings", files.len());
    files.into_iter().map(|file| (file.clone(), fs::read(&file).unwrap())).collect()
}

#[test]
fn recorded_sessions_go_the_same_way_for_ever() {
    for (file, recording) in recordings() {
        let mut replay =
            Replay::new(&recording).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
        for (number, step) in replay.by_ref().enumerate() {
            let step = step.unwrap_or_else(|error| panic!("{}: {error}", file.display()));
            assert!(
                step.is_same,
                "{file}, step {number}: {step:?}\nIf that is meant: sansocket replay {file} --rewrite {file}",
                file = file.display()
            );
        }
        if let Err(fault) = replay.finish() {
            panic!("{}: {fault}", file.display());
        }
        assert_eq!(record_again(&recording).unwrap(), recording, "{}", file.display());
    }
}

#[test]
fn recorded_sessions_come_to_an_end_after_any_step() {
    for (file, recording) in recordings() {
        let steps = Replay::new(&recording).unwrap().count();
        for end in 0..steps {
            let mut replay = Replay::new(&recording).unwrap();
            for step in replay.by_ref().take(end) {
                drop(step);
            }
            if let Err(fault) = replay.finish() {
                panic!("{} after {end} steps: {fault}", file.display());
            }
        }
    }
}
