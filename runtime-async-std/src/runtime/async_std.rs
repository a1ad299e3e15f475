//! async-std's executor.

use bytes::Bytes;
use hyper::upgrade::Upgraded;
use sansocket_runtime::adapter::{BoxFuture, Runtime, Stream, Timer};
use std::time::Instant;

/// The runtime of async-std: servers run on the threads of its global executor.
#[derive(Clone, Copy, Debug, Default)]
pub struct AsyncStd;

impl Runtime for AsyncStd {
    fn now(&self) -> Instant {
        Instant::now()
    }

    fn timer(&self, deadline: Instant) -> Box<dyn Timer> {
        super::timer(deadline)
    }

    fn spawn(&self, task: BoxFuture<()>) {
        // The task goes on without its handle.
        drop(async_std::task::spawn(task));
    }

    fn stream(&self, upgraded: Upgraded) -> (Box<dyn Stream>, Bytes) {
        super::stream(upgraded)
    }
}
