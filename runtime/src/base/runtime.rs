//! The interface of an async runtime: a clock, timers, tasks, and the sockets of HTTP upgrades.

use bytes::Bytes;
use hyper::upgrade::Upgraded;
use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant, SystemTime};

/// The longest wait, which is as good as for ever: adding more to the time could overflow.
pub(crate) const LONGEST: Duration = Duration::from_secs(60 * 60 * 24 * 365 * 30);

/// A future on the heap that may be sent to another thread.
pub type BoxFuture<T> = Pin<Box<dyn Future<Output = T> + Send>>;

/// The I/O of a connection after its HTTP part: anything that reads and writes by hyper's traits.
pub trait Stream: hyper::rt::Read + hyper::rt::Write + Send + Unpin {}

impl<T: hyper::rt::Read + hyper::rt::Write + Send + Unpin> Stream for T {}

/// A timer that can be armed again and again.
pub trait Timer: Send {
    /// Arms it, or moves it.
    fn reset(&mut self, deadline: Instant);

    /// Ready once the deadline is over, and then at each call until the timer is reset.
    fn poll_elapsed(&mut self, context: &mut Context<'_>) -> Poll<()>;
}

/// An async runtime.
///
/// It is used through `Arc<dyn Runtime>`, so that no type of the application's interface has it as a parameter. Of its
/// methods only `now` is called per message.
pub trait Runtime: Send + Sync + 'static {
    /// The present time. If tests can stop the runtime's clock, it is the time of that clock.
    fn now(&self) -> Instant;

    /// The time of day. It goes on while the machine sleeps, when [`now`](Self::now) may stand still: from the
    /// difference a client learns that it has slept. By default the system's, ahead of it or behind it by as much as `now`
    /// is, so that a test's clock is not taken for a sleep.
    fn wall_clock(&self) -> SystemTime {
        let (now, real) = (self.now(), Instant::now());
        let wall = SystemTime::now();
        let moved = match now.checked_duration_since(real) {
            Some(ahead) => wall.checked_add(ahead),
            None => wall.checked_sub(real.duration_since(now)),
        };
        moved.unwrap_or(wall)
    }

    /// A timer armed for `deadline`.
    fn timer(&self, deadline: Instant) -> Box<dyn Timer>;

    /// Runs a task to its end.
    fn spawn(&self, task: BoxFuture<()>);

    /// The stream of an upgraded connection, with the bytes that hyper had read beyond the request. The raw socket,
    /// where it can be had, saves a layer and its buffers.
    fn stream(&self, upgraded: Upgraded) -> (Box<dyn Stream>, Bytes);
}

/// Runs a future for at most that long. There is no timer until the future has to wait.
pub(crate) async fn timeout<T>(
    runtime: &Arc<dyn Runtime>,
    limit: Duration,
    future: impl Future<Output = T>,
) -> Option<T> {
    let mut future = pin!(future);
    let mut timer = None;
    poll_fn(|context| {
        if let Poll::Ready(done) = future.as_mut().poll(context) {
            return Poll::Ready(Some(done));
        }
        let timer = timer.get_or_insert_with(|| runtime.timer(runtime.now() + limit.min(LONGEST)));
        timer.poll_elapsed(context).map(|()| None)
    })
    .await
}
