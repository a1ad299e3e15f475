//! Recordings of sessions as inputs: `fuzz/corpus/replay` takes what a server of the field has recorded, and what is found
//! there is a recording again, which `sansocket replay` shows.

use super::{pair, server};
use crate::record::{Entry, ReadSettings, Reader};
use crate::replay::{Replay, record_again};
use crate::sim::run_recorded;
use alloc::collections::BTreeSet;
use alloc::vec::Vec;

/// The most bytes that an owner has unwritten.
const MAX_UNWRITTEN: u64 = 1 << 30;

/// A recording, whole, damaged or made up: the session breaks no rule of its own, comes to its end after any step, and,
/// recorded again, goes the same way.
///
/// # Panics
/// If it does not.
pub fn session(data: &[u8]) {
    let Some(steps) = legal_steps(data) else { return };
    let Ok(mut replay) = Replay::new(data) else { return };
    let is_masked = replay.is_masked();
    let mut played = 0;
    for step in replay.by_ref().take(steps) {
        played += usize::from(step.is_ok());
    }
    if let Err(fault) = replay.finish() {
        panic!("{fault}");
    }
    // One that says it is masked need not be.
    if is_masked || played < steps {
        return;
    }
    let Ok(again) = record_again(data) else { return };
    for (number, step) in Replay::new(&again).expect("it is ours").enumerate() {
        let step = step.expect("it is ours");
        assert!(step.is_same, "step {number} of the second recording: {step:?}");
    }
}

/// The number of steps up to the first thing that no owner does: a request's number is used once. `None` if a server with
/// these settings would not be built.
fn legal_steps(data: &[u8]) -> Option<usize> {
    let mut reader = Reader::new(data);
    let settings = ReadSettings::read(&mut reader).ok()?;
    if settings.engine.max_payload == 0 || settings.engine.ping_timeout.is_zero() {
        return None;
    }
    reader.number().ok()?;
    let mut requests = BTreeSet::new();
    let mut steps = 0;
    while !reader.is_at_end() {
        match Entry::read(&mut reader) {
            Ok((_, Entry::Request { request, .. })) if !requests.insert(request) => return Some(steps),
            Ok((_, Entry::Unwritten { size })) if size > MAX_UNWRITTEN => return Some(steps),
            Ok(_) => steps += 1,
            Err(_) => return Some(steps),
        }
    }
    Some(steps)
}

/// Adds the recordings of the sessions that an input of a target has, even if it panics: of `server`, `pair` and
/// `replay`. Returns whether that target has sessions.
pub fn recordings(target: &str, data: &[u8], recordings: &mut Vec<Vec<u8>>) -> bool {
    match target {
        "server" => server::recorded(data, recordings),
        "pair" => {
            /// Hands over what the story has left, panic or not.
            struct Keeper<'a>(Vec<crate::sim::Recorded>, &'a mut Vec<Vec<u8>>);

            impl Drop for Keeper<'_> {
                fn drop(&mut self) {
                    self.1.extend(self.0.drain(..).map(|recorded| recorded.recording));
                }
            }

            let mut keeper = Keeper(Vec::new(), recordings);
            run_recorded(&pair::scenario(data), false, &mut keeper.0);
        }
        "replay" => recordings.push(data.to_vec()),
        _ => return false,
    }
    true
}
