//! The recordings of the server's sessions: each must replay to the same outputs, and break no rule of its own. Those of
//! a story can be kept, so that its failure can be seen again without the story.

use super::{SessionId, World};
use crate::record::RecordOptions;
use crate::replay::Replay;
use crate::server::Connection;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

/// The most bytes of a recording: more than any story has.
const MAX_BYTES: usize = 64 << 20;

/// The recording of one session of a story.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Recorded {
    /// Its number, in the order in which sessions began.
    pub session: SessionId,
    /// The recording, in the form of [`record`](crate::record), with all that was said.
    pub recording: Vec<u8>,
    /// Whether this session was at work last when a rule broke, or when something panicked.
    pub failed: bool,
}

/// The recordings of a world's sessions, if they are kept.
#[derive(Debug, Default)]
pub(super) struct Kept {
    is_on: bool,
    /// The session that was at work last.
    pub(super) at_work: Option<SessionId>,
    over: Vec<(SessionId, Vec<u8>)>,
}

impl Kept {
    /// Begins the recording of a session: with secrets, or every second one without.
    pub(super) fn begin(&self, connection: &mut Connection, session: SessionId) {
        let with_secrets = self.is_on || session.0 % 2 == 0;
        connection.record(RecordOptions::default().max_bytes(MAX_BYTES).with_secrets(with_secrets));
    }

    /// Replays the recording of a session that is over.
    ///
    /// # Errors
    /// The first difference, or the first rule that was broken.
    pub(super) fn check(&mut self, connection: &mut Connection, session: SessionId) -> Result<(), String> {
        let Some(recording) = connection.take_recording() else { return Ok(()) };
        let checked = check(connection, &recording);
        if self.is_on {
            if checked.is_err() {
                self.at_work = Some(session);
            }
            self.over.push((session, recording));
        }
        checked
    }
}

fn check(connection: &Connection, recording: &[u8]) -> Result<(), String> {
    let mut replay = Replay::new(recording).map_err(|error| error.to_string())?;
    let mut steps = 0_u64;
    for step in replay.by_ref() {
        let step = step.map_err(|error| error.to_string())?;
        if !step.is_same {
            return Err(format!("step {steps} at {:?}: {:?} gave {:?}", step.at, step.entry, step.output));
        }
        steps += 1;
    }
    let again = replay.connection();
    let states = [again, connection]
        .map(|session| (session.ended(), session.counts(), session.buffered(), session.poll_timeout()));
    if states[0] != states[1] {
        return Err(format!("after {steps} steps: {states:?}"));
    }
    replay.finish().map_err(|fault| format!("in the replay: {fault}"))
}

impl World {
    /// Keeps the recordings of all sessions that begin from now on, with all that is said.
    pub fn keep_recordings(&mut self) {
        self.kept.is_on = true;
    }

    /// Gives back the recordings of all sessions so far. Those of a story that broke a rule, or that panicked, end with a
    /// remark which says so.
    pub fn take_recordings(&mut self, panicked: bool) -> Vec<Recorded> {
        let at_work = self.kept.at_work;
        let remark = match self.broken() {
            Some(broken) => Some(format!("the story broke a rule: {}: {}", broken.rule, broken.detail)),
            None => panicked.then(|| "the story panicked".to_string()),
        };
        let mut all = core::mem::take(&mut self.kept.over);
        for (id, session) in &mut self.server.sessions {
            if let Some(remark) = &remark {
                session.connection.remark(remark);
            }
            all.extend(session.connection.take_recording().map(|recording| (*id, recording)));
        }
        all.into_iter()
            .map(|(session, recording)| {
                let failed = remark.is_some() && at_work == Some(session);
                Recorded { session, recording, failed }
            })
            .collect()
    }
}
