//! The recordings of the server's sessions: each must replay to the same outputs.

use crate::record::RecordOptions;
use crate::replay::Replay;
use crate::server::Connection;
use crate::sim::SessionId;
use alloc::format;
use alloc::string::{String, ToString};

/// Begins the recording of a session: with secrets, or every second one without.
pub(super) fn begin(connection: &mut Connection, session: SessionId) {
    let with_secrets = session.0 % 2 == 0;
    connection.record(RecordOptions::default().max_bytes(64 << 20).with_secrets(with_secrets));
}

/// Replays the recording of a session up to now.
///
/// # Errors
/// The first difference.
pub(super) fn check(connection: &mut Connection) -> Result<(), String> {
    let Some(recording) = connection.take_recording() else { return Ok(()) };
    let mut replay = Replay::new(&recording).map_err(|error| error.to_string())?;
    let mut steps = 0_u64;
    for step in replay.by_ref() {
        let step = step.map_err(|error| error.to_string())?;
        if !step.is_same {
            return Err(format!("step {steps} at {:?}: {:?} gave {:?}", step.at, step.entry, step.output));
        }
        steps += 1;
    }
    let again = replay.connection();
    let states = [again, &*connection]
        .map(|session| (session.ended(), session.counts(), session.buffered(), session.poll_timeout()));
    if states[0] == states[1] { Ok(()) } else { Err(format!("after {steps} steps: {states:?}")) }
}
