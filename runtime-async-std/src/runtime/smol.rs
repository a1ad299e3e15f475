//! smol's executor.

use bytes::Bytes;
use hyper::upgrade::Upgraded;
use sansocket_runtime::adapter::{BoxFuture, Runtime, Stream, Timer};
use std::time::Instant;

/// The runtime of smol: servers run on the threads of its global executor, one or as many as the environment variable
/// `SMOL_THREADS` says.
#[derive(Clone, Copy, Debug, Default)]
pub struct Smol;

impl Runtime for Smol {
    fn now(&self) -> Instant {
        Instant::now()
    }

    fn timer(&self, deadline: Instant) -> Box<dyn Timer> {
        super::timer(deadline)
    }

    fn spawn(&self, task: BoxFuture<()>) {
        smol::spawn(task).detach();
    }

    fn stream(&self, upgraded: Upgraded) -> (Box<dyn Stream>, Bytes) {
        super::stream(upgraded)
    }
}
