//! Waiting tasks, which leave nothing behind when they stop waiting: a waker would keep their memory.

use sansocket_protocol::socket::AckOutcome;
use std::collections::BTreeMap;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};

/// The receiver of an acknowledgement's outcome. It is called without any lock.
pub(crate) type AckSink = Box<dyn FnOnce(AckOutcome) + Send>;

/// A table of wakers by number, each with a word about who waits.
#[derive(Debug)]
pub(crate) struct Wakers<W = ()> {
    waiting: BTreeMap<u64, (W, Waker)>,
    next: u64,
}

impl<W> Default for Wakers<W> {
    fn default() -> Self {
        Self { waiting: BTreeMap::new(), next: 0 }
    }
}

impl<W> Wakers<W> {
    pub(crate) fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// Puts a waker in. The number, which is given at the first call, is for the next call and for
    /// [`remove`](Self::remove). Returns the waker that was there, to be dropped without a lock.
    pub(crate) fn put(&mut self, number: &mut Option<u64>, who: W, waker: &Waker) -> Option<Waker> {
        let number = *number.get_or_insert_with(|| {
            self.next += 1;
            self.next
        });
        self.waiting.insert(number, (who, waker.clone())).map(|(_, waker)| waker)
    }

    /// Takes the waker of one that has stopped waiting out, to be dropped without a lock.
    pub(crate) fn remove(&mut self, number: u64) -> Option<Waker> {
        self.waiting.remove(&number).map(|(_, waker)| waker)
    }

    /// Takes all out, to be woken without a lock.
    pub(crate) fn take(&mut self) -> Vec<Waker> {
        std::mem::take(&mut self.waiting).into_values().map(|(_, waker)| waker).collect()
    }

    /// Returns whether one of those waits.
    pub(crate) fn has_any(&self, mut which: impl FnMut(&W) -> bool) -> bool {
        self.waiting.values().any(|(who, _)| which(who))
    }

    /// Takes some out, to be woken without a lock.
    pub(crate) fn take_those(&mut self, mut which: impl FnMut(&W) -> bool) -> Vec<Waker> {
        let (taken, left): (BTreeMap<_, _>, _) =
            std::mem::take(&mut self.waiting).into_iter().partition(|(_, (who, _))| which(who));
        self.waiting = left;
        taken.into_values().map(|(_, waker)| waker).collect()
    }
}

/// Something that tasks wait for, behind a lock.
pub(crate) trait Awaited {
    /// A word about who waits.
    type Who: Copy + Unpin;

    /// Calls `then` under the lock: with whether `who` need not wait, and with the table of those who do.
    fn look<T>(&self, who: Self::Who, then: impl FnOnce(bool, &mut Wakers<Self::Who>) -> T) -> T;
}

/// A future that waits for something. Dropped, it leaves nothing behind.
pub(crate) struct Wait<A: Awaited> {
    awaited: A,
    who: A::Who,
    number: Option<u64>,
}

impl<A: Awaited> Wait<A> {
    pub(crate) fn new(awaited: A, who: A::Who) -> Self {
        Self { awaited, who, number: None }
    }

    /// The thing that it waits for.
    pub(crate) fn awaited(&self) -> &A {
        &self.awaited
    }
}

impl<A: Awaited + Unpin> Future for Wait<A> {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let Self { awaited, who, number } = &mut *self;
        let (is_there, before) = awaited.look(*who, |is_there, wakers| {
            let before = if is_there { None } else { wakers.put(number, *who, context.waker()) };
            (is_there, before)
        });
        drop(before);
        if is_there { Poll::Ready(()) } else { Poll::Pending }
    }
}

impl<A: Awaited> Drop for Wait<A> {
    fn drop(&mut self) {
        if let Some(number) = self.number {
            drop(self.awaited.look(self.who, |_, wakers| wakers.remove(number)));
        }
    }
}
