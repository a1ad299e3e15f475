//! Calls with a time limit of their own.

use std::time::Duration;

/// The calls of a socket or of a broadcast, with a time limit of their own for the answers: what its `timeout` returns. It
/// has no other verbs, since a time limit means nothing to an event that asks for no answer.
#[derive(Clone, Copy, Debug)]
#[must_use = "it calls nobody by itself"]
pub struct Timed<C> {
    pub(crate) calls: C,
    pub(crate) timeout: Duration,
}
