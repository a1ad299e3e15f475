//! Tokio as a runtime: its clock, its timers, its tasks, and its streams.

use bytes::Bytes;
use hyper::upgrade::Upgraded;
use hyper_util::rt::TokioIo;
use sansocket_runtime::adapter::{BoxFuture, Runtime, Stream, Timer, raw_stream};
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Instant;
use tokio::net::TcpStream;
use tokio::time::{Sleep, sleep_until};

/// The tokio runtime that the caller is in.
#[derive(Clone, Copy, Debug, Default)]
pub struct Tokio;

struct TokioTimer(Pin<Box<Sleep>>);

impl Timer for TokioTimer {
    fn reset(&mut self, deadline: Instant) {
        self.0.as_mut().reset(deadline.into());
    }

    fn poll_elapsed(&mut self, context: &mut Context<'_>) -> Poll<()> {
        self.0.as_mut().poll(context)
    }
}

impl Runtime for Tokio {
    fn now(&self) -> Instant {
        tokio::time::Instant::now().into_std()
    }

    fn timer(&self, deadline: Instant) -> Box<dyn Timer> {
        Box::new(TokioTimer(Box::pin(sleep_until(deadline.into()))))
    }

    fn spawn(&self, task: BoxFuture<()>) {
        tokio::spawn(task);
    }

    fn stream(&self, upgraded: Upgraded) -> (Box<dyn Stream>, Bytes) {
        let upgraded = match raw::<TokioIo<TcpStream>>(upgraded) {
            Ok(stream) => return stream,
            Err(upgraded) => upgraded,
        };
        #[cfg(feature = "tls")]
        let upgraded = match raw::<TokioIo<tokio_rustls::server::TlsStream<TcpStream>>>(upgraded) {
            Ok(stream) => return stream,
            Err(upgraded) => upgraded,
        };
        #[cfg(unix)]
        let upgraded = match raw::<TokioIo<tokio::net::UnixStream>>(upgraded) {
            Ok(stream) => return stream,
            Err(upgraded) => upgraded,
        };
        // A host with streams of its own, and TLS on a Unix socket: hyper's wrapper around them does too.
        (Box::new(upgraded), Bytes::new())
    }
}

/// The stream itself, out of hyper's wrappers: our own listener's, or those of `hyper_util`'s server (axum's).
fn raw<T: Stream + 'static>(upgraded: Upgraded) -> Result<(Box<dyn Stream>, Bytes), Upgraded> {
    let stream = raw_stream::<T>(upgraded);
    #[cfg(feature = "mount")]
    let stream = stream.or_else(|upgraded| {
        let parts = hyper_util::server::conn::auto::upgrade::downcast::<T>(upgraded)?;
        Ok((Box::new(parts.io) as _, parts.read_buf))
    });
    stream
}
