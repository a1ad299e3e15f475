//! A tokio runtime on a thread of its own, for clients without async.

use crate::runtime::Tokio;
use bytes::Bytes;
use hyper::upgrade::Upgraded;
use sansocket_runtime::adapter::{BoxFuture, Runtime, Stream, Timer};
use std::future::poll_fn;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Poll, Waker};
use std::thread;
use std::time::Instant;
use tokio::runtime::{Builder, Handle};

/// A thread that runs tasks, and ends with the last of them once nobody can spawn more.
pub(crate) struct OwnThread {
    handle: Handle,
    keep: Arc<Keep>,
}

/// Keeps the thread: held by whoever can spawn tasks, and by each task.
struct Keep(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    is_over: bool,
    waker: Option<Waker>,
}

impl Drop for Keep {
    fn drop(&mut self) {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        state.is_over = true;
        let waker = state.waker.take();
        drop(state);
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}

impl OwnThread {
    pub(crate) fn start() -> io::Result<Self> {
        let runtime = Builder::new_current_thread().enable_all().build()?;
        let handle = runtime.handle().clone();
        let state: Arc<Mutex<State>> = Arc::default();
        let keep = Arc::new(Keep(state.clone()));
        let over = poll_fn(move |context| {
            let mut state = state.lock().unwrap_or_else(PoisonError::into_inner);
            if state.is_over {
                return Poll::Ready(());
            }
            state.waker = Some(context.waker().clone());
            Poll::Pending
        });
        thread::Builder::new().name("sansocket-client".into()).spawn(move || runtime.block_on(over))?;
        Ok(Self { handle, keep })
    }
}

impl Runtime for OwnThread {
    fn now(&self) -> Instant {
        Tokio.now()
    }

    fn timer(&self, deadline: Instant) -> Box<dyn Timer> {
        let _entered = self.handle.enter();
        Tokio.timer(deadline)
    }

    fn spawn(&self, task: BoxFuture<()>) {
        let keep = self.keep.clone();
        self.handle.spawn(async move {
            task.await;
            drop(keep);
        });
    }

    fn stream(&self, upgraded: Upgraded) -> (Box<dyn Stream>, Bytes) {
        Tokio.stream(upgraded)
    }
}
