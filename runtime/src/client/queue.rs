//! The queue between the handler that takes an event in and the loop that takes it out.

use crate::client::task::handle::ClientHandle;
use std::collections::VecDeque;
use std::future::{Future, poll_fn};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

/// The items that may wait to be taken before the next ones wait in the core.
const WAITING: usize = 256;

/// The state of a queue. Handlers run one after the other, so there is one giver, and one taker.
struct State<T> {
    items: VecDeque<T>,
    taker: Option<Waker>,
    giver: Option<Waker>,
    /// Nobody takes any more.
    closed: bool,
}

/// The handler's end.
pub(crate) struct Queue<T>(Arc<Mutex<State<T>>>);

/// The loop's end.
pub(crate) struct Taking<T> {
    queue: Queue<T>,
    /// The number of the wait for the client's end.
    number: Option<u64>,
}

pub(crate) fn queue<T>() -> (Queue<T>, Taking<T>) {
    let state = State { items: VecDeque::new(), taker: None, giver: None, closed: false };
    let queue = Queue(Arc::new(Mutex::new(state)));
    (queue.clone(), Taking { queue, number: None })
}

impl<T> Clone for Queue<T> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<T> Queue<T> {
    fn lock(&self) -> MutexGuard<'_, State<T>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.lock().closed
    }

    /// Gives an item over if the queue has capacity, and drops it if nobody takes any more.
    ///
    /// # Errors
    /// The item, if the queue is full.
    pub(crate) fn try_give(&self, item: T) -> Result<(), T> {
        self.give_or_wait(item, None)
    }

    fn give_or_wait(&self, item: T, waker: Option<&Waker>) -> Result<(), T> {
        let mut state = self.lock();
        if state.closed {
            // The item is the application's: dropped without the lock.
            drop(state);
            return Ok(());
        }
        if state.items.len() >= WAITING {
            let before = waker.and_then(|waker| state.giver.replace(waker.clone()));
            drop(state);
            drop(before);
            return Err(item);
        }
        state.items.push_back(item);
        let taker = state.taker.take();
        drop(state);
        taker.into_iter().for_each(Waker::wake);
        Ok(())
    }

    /// Gives an item over once the queue has capacity.
    pub(crate) fn give(&self, item: T) -> impl Future<Output = ()> + Send + use<T>
    where
        T: Send,
    {
        let queue = self.clone();
        let mut left = Some(item);
        poll_fn(move |context| {
            match left.take().map(|item| queue.give_or_wait(item, Some(context.waker()))) {
                Some(Err(item)) => {
                    left = Some(item);
                    Poll::Pending
                }
                Some(Ok(())) | None => Poll::Ready(()),
            }
        })
    }
}

impl<T> Taking<T> {
    /// The next item; `None` once the client is disconnected for good and all items were taken.
    pub(crate) fn poll(&mut self, handle: &ClientHandle, context: &mut Context<'_>) -> Poll<Option<T>> {
        // Before the queue is looked at: what comes after this look wakes us.
        let mut before = None;
        let is_over = {
            let mut inner = handle.lock();
            let is_over = inner.is_over();
            if !is_over {
                before = inner.wait_for_final(&mut self.number, context.waker());
            }
            is_over
        };
        drop(before);
        let mut state = self.queue.lock();
        if let Some(item) = state.items.pop_front() {
            // Not for each one: the task would wake up as often.
            let giver = if state.items.len() <= WAITING / 2 { state.giver.take() } else { None };
            drop(state);
            giver.into_iter().for_each(Waker::wake);
            return Poll::Ready(Some(item));
        }
        if is_over {
            return Poll::Ready(None);
        }
        let before = state.taker.replace(context.waker().clone());
        drop(state);
        drop(before);
        Poll::Pending
    }

    /// Ends the loop: nothing is taken any more.
    pub(crate) fn close(&mut self, handle: &ClientHandle) {
        let waker = self.number.take().and_then(|number| handle.lock().forget_final(number));
        drop(waker);
        let mut state = self.queue.lock();
        state.closed = true;
        let items = std::mem::take(&mut state.items);
        let (giver, taker) = (state.giver.take(), state.taker.take());
        drop(state);
        giver.into_iter().for_each(Waker::wake);
        drop((items, taker));
    }
}
