//! The futures of handlers, which become outcomes as they are polled.

use crate::base::trace::{Span, in_scope};
use crate::handler::ack::AckTarget;
use crate::handler::kind::{IntoOutcome, Kind};
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

/// The future of a handler of kind `K`. Its output becomes the kind's outcome as it is polled: to put a future that does
/// so around that of the application would move it once more for each event.
pub trait HandlerFuture<K: Kind>: Send {
    /// Polls it. Its value is for the acknowledgement `ack`, if the peer waits for one.
    fn poll_outcome(
        self: Pin<&mut Self>,
        ack: Option<&AckTarget>,
        task: &mut Context<'_>,
    ) -> Poll<K::Outcome>;
}

impl<K, F> HandlerFuture<K> for F
where
    K: Kind,
    F: Future<Output: IntoOutcome<K::Outcome>> + Send,
{
    #[inline]
    fn poll_outcome(
        self: Pin<&mut Self>,
        ack: Option<&AckTarget>,
        task: &mut Context<'_>,
    ) -> Poll<K::Outcome> {
        self.poll(task).map(|value| value.into_outcome(ack))
    }
}

/// The future of a handler of kind `K`, whatever its type.
pub type BoxHandlerFuture<K> = Pin<Box<dyn HandlerFuture<K>>>;

/// A handler that has begun.
pub enum Begun<K: Kind> {
    /// It awaits nothing, and is done: no future was put on the heap for it.
    Done(K::Outcome),
    /// It is async.
    Waits(BoxHandlerFuture<K>),
}

impl<K: Kind> Begun<K> {
    /// As a future, whatever it is.
    pub(crate) fn into_future(self) -> BoxHandlerFuture<K> {
        match self {
            Self::Done(outcome) => Box::pin(Done(Some(outcome))),
            Self::Waits(future) => future,
        }
    }
}

impl<K: Kind> fmt::Debug for Begun<K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Done(_) => "Done(..)",
            Self::Waits(_) => "Waits(..)",
        })
    }
}

/// The outcome of a handler that is done, as a future.
struct Done<O>(Option<O>);

// Nothing in it is pinned.
impl<O> Unpin for Done<O> {}

impl<K: Kind> HandlerFuture<K> for Done<K::Outcome> {
    fn poll_outcome(
        mut self: Pin<&mut Self>,
        _: Option<&AckTarget>,
        _: &mut Context<'_>,
    ) -> Poll<K::Outcome> {
        self.0.take().map_or(Poll::Pending, Poll::Ready)
    }
}

/// Waits for the outcome of a handler, whose value is for that acknowledgement. No async function: the futures around it
/// would have room for it twice.
pub(crate) struct OutcomeOf<'a, K: Kind> {
    pub(crate) future: BoxHandlerFuture<K>,
    pub(crate) ack: Option<&'a AckTarget>,
}

impl<K: Kind> Future for OutcomeOf<'_, K> {
    type Output = K::Outcome;

    fn poll(mut self: Pin<&mut Self>, task: &mut Context<'_>) -> Poll<K::Outcome> {
        let Self { future, ack } = &mut *self;
        future.as_mut().poll_outcome(*ack, task)
    }
}

/// The future of a handler within a span.
pub(crate) struct Spanned<K: Kind> {
    pub(crate) span: Span,
    pub(crate) future: BoxHandlerFuture<K>,
}

impl<K: Kind> HandlerFuture<K> for Spanned<K> {
    fn poll_outcome(
        mut self: Pin<&mut Self>,
        ack: Option<&AckTarget>,
        task: &mut Context<'_>,
    ) -> Poll<K::Outcome> {
        let Self { span, future } = &mut *self;
        in_scope(span, || future.as_mut().poll_outcome(ack, task))
    }
}
