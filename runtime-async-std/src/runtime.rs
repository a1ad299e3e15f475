//! Timers of async-io, the same for every executor, and a module for each executor, which spawns.

#[cfg(feature = "async-std")]
mod async_std;
#[cfg(feature = "smol")]
mod smol;

#[cfg(feature = "async-std")]
pub use async_std::AsyncStd;
#[cfg(feature = "smol")]
pub use smol::Smol;

/// The runtime of servers and clients whose builder names no other.
#[cfg(feature = "async-std")]
pub(crate) type Standard = AsyncStd;
#[cfg(not(feature = "async-std"))]
pub(crate) type Standard = Smol;

use crate::io::{HyperIo, Tcp};
use bytes::Bytes;
use hyper::upgrade::Upgraded;
use sansocket_runtime::adapter::{Stream, Timer, raw_stream};
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Instant;

struct IoTimer {
    timer: async_io::Timer,
    /// async-io's timer forgets that it has elapsed once it has said so.
    elapsed: bool,
}

impl Timer for IoTimer {
    fn reset(&mut self, deadline: Instant) {
        self.timer.set_at(deadline);
        self.elapsed = false;
    }

    fn poll_elapsed(&mut self, context: &mut Context<'_>) -> Poll<()> {
        if !self.elapsed {
            ready!(Pin::new(&mut self.timer).poll(context));
            self.elapsed = true;
        }
        Poll::Ready(())
    }
}

fn timer(deadline: Instant) -> Box<dyn Timer> {
    Box::new(IoTimer { timer: async_io::Timer::at(deadline), elapsed: false })
}

fn stream(upgraded: Upgraded) -> (Box<dyn Stream>, Bytes) {
    let upgraded = match raw_stream::<HyperIo<Tcp>>(upgraded) {
        Ok(stream) => return stream,
        Err(upgraded) => upgraded,
    };
    #[cfg(feature = "tls")]
    let upgraded = match raw_stream::<HyperIo<futures_rustls::server::TlsStream<Tcp>>>(upgraded) {
        Ok(stream) => return stream,
        Err(upgraded) => upgraded,
    };
    #[cfg(unix)]
    let upgraded = match raw_stream::<HyperIo<crate::io::Unix>>(upgraded) {
        Ok(stream) => return stream,
        Err(upgraded) => upgraded,
    };
    // A host with streams of its own, and TLS on a Unix socket: hyper's wrapper around them does too.
    (Box::new(upgraded), Bytes::new())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::future::poll_fn;
    use std::time::Duration;

    #[test]
    fn a_timer_stays_elapsed_until_it_is_reset() {
        async_io::block_on(async {
            let now = Instant::now();
            let mut timer = timer(now + Duration::from_millis(5));
            for _ in 0..2 {
                poll_fn(|context| timer.poll_elapsed(context)).await;
            }
            timer.reset(now + Duration::from_secs(3600));
            let pending = poll_fn(|context| Poll::Ready(timer.poll_elapsed(context).is_pending())).await;
            assert!(pending);
            timer.reset(now);
            poll_fn(|context| timer.poll_elapsed(context)).await;
        });
    }
}
