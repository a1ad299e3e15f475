//! What tokio gives: its clock, its timers, its tasks, and its sockets.

use crate::timer::TokioTimer;
use bytes::Bytes;
use hyper::upgrade::Upgraded;
use hyper_util::rt::TokioIo;
use sansocket_runtime::adapter::{BoxFuture, Runtime, Stream, Timer, raw_stream};
use std::time::Instant;
use tokio::net::TcpStream;

/// The tokio runtime that the caller is in.
#[derive(Clone, Copy, Debug, Default)]
pub struct Tokio;

impl Runtime for Tokio {
    fn now(&self) -> Instant {
        tokio::time::Instant::now().into_std()
    }

    fn timer(&self, deadline: Instant) -> Box<dyn Timer> {
        Box::new(TokioTimer::new(deadline))
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
        // A host with streams of its own: hyper's wrapper around them does too.
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
