//! The events of a client's socket, one after the other.

use super::socket::ClientSocket;
use crate::ack::Ack;
use crate::extract::Event;
use crate::handler::{OnClientEvent, SharedHandler, erase};
use futures_core::Stream;
use sansocket_protocol::socket::args::Args;
use sansocket_protocol::socket::encode::ToArgs;
use std::collections::VecDeque;
use std::fmt;
use std::future::poll_fn;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

/// How many events wait to be taken before the next ones wait in the core.
const WAITING: usize = 256;

/// An event, as a loop takes it.
#[derive(Debug)]
pub struct Received {
    /// Its name.
    pub event: String,
    /// Its arguments.
    pub args: Args,
    /// Its acknowledgement: [`Ack::send`] it if the server wants one.
    pub ack: Ack,
}

impl Received {
    /// The arguments as a type of the application: see [`Args::decode`].
    ///
    /// # Errors
    /// If they do not fit.
    pub fn decode<'de, T: serde::Deserialize<'de>>(
        &'de self,
    ) -> Result<T, sansocket_protocol::socket::args::ArgsError> {
        self.args.decode()
    }

    /// Acknowledges it, if the server wants that.
    ///
    /// # Errors
    /// As [`Ack::send`].
    pub fn ack<T: ToArgs + ?Sized>(self, args: &T) -> Result<(), crate::error::EmitError> {
        self.ack.send(args)
    }
}

/// Between the handler that takes an event in and the loop that takes it out. The handlers of a socket run one
/// after the other, so there is one of each.
#[derive(Default)]
struct Queue {
    items: VecDeque<Received>,
    taker: Option<Waker>,
    giver: Option<Waker>,
    /// Nobody takes any more.
    closed: bool,
}

type SharedQueue = Arc<Mutex<Queue>>;

fn lock(queue: &Mutex<Queue>) -> MutexGuard<'_, Queue> {
    queue.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The events of a socket that have no handlers of their own: see [`ClientSocket::events`].
///
/// It survives a reconnection. Only the newest of a socket's `Events` gets them, before the handlers of
/// [`on_fallback`](ClientSocket::on_fallback). Once it is dropped, they are as if it had never been.
pub struct Events {
    queue: SharedQueue,
    socket: ClientSocket,
    handler: SharedHandler<OnClientEvent>,
    /// Of its wait for the end.
    number: Option<u64>,
}

impl Events {
    pub(crate) fn new(socket: &ClientSocket) -> Self {
        let queue = SharedQueue::default();
        let shared = queue.clone();
        let handler = move |Event(event): Event, args: Args, ack: Ack| {
            let queue = shared.clone();
            async move {
                let mut item = Some(Received { event, args, ack });
                poll_fn(|context| {
                    let mut queue = lock(&queue);
                    if !queue.closed && queue.items.len() >= WAITING {
                        queue.giver = Some(context.waker().clone());
                        return Poll::Pending;
                    }
                    let taker = queue.taker.take();
                    let item = item.take();
                    if !queue.closed {
                        queue.items.extend(item);
                    }
                    drop(queue);
                    taker.into_iter().for_each(Waker::wake);
                    Poll::Ready(())
                })
                .await;
            }
        };
        let handler = erase::<OnClientEvent, _>(handler);
        socket.namespace_inner().change(|table| table.begin_loop(handler.clone()));
        Self { queue, socket: socket.clone(), handler, number: None }
    }

    fn poll_take(&mut self, context: &mut Context<'_>) -> Poll<Option<Received>> {
        // Before the queue is looked at: what comes after this look wakes us.
        let is_over = {
            let mut inner = self.socket.shared().cell.lock();
            let is_over = inner.is_over();
            if !is_over {
                inner.wait_for_final(&mut self.number, false, context.waker());
            }
            is_over
        };
        let mut queue = lock(&self.queue);
        if let Some(item) = queue.items.pop_front() {
            let giver = queue.giver.take();
            drop(queue);
            giver.into_iter().for_each(Waker::wake);
            return Poll::Ready(Some(item));
        }
        if is_over {
            return Poll::Ready(None);
        }
        queue.taker = Some(context.waker().clone());
        Poll::Pending
    }

    /// The next event, whenever it comes: also after the connection was lost and made again. `None` once the
    /// client is disconnected for good, or was never told to connect, and all was taken.
    pub async fn next(&mut self) -> Option<Received> {
        poll_fn(|context| self.poll_take(context)).await
    }

    /// As [`next`](Self::next), if it comes in time.
    pub async fn next_within(&mut self, limit: Duration) -> Option<Received> {
        let runtime = self.socket.shared().runtime.clone();
        crate::host::within(&runtime, limit, self.next()).await.flatten()
    }
}

impl Stream for Events {
    type Item = Received;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Received>> {
        self.poll_take(context)
    }
}

impl Drop for Events {
    fn drop(&mut self) {
        if let Some(number) = self.number {
            let waker = self.socket.shared().cell.lock().forget_final(number);
            drop(waker);
        }
        let mut queue = lock(&self.queue);
        queue.closed = true;
        let items = std::mem::take(&mut queue.items);
        let giver = queue.giver.take();
        drop(queue);
        giver.into_iter().for_each(Waker::wake);
        drop(items);
        self.socket.namespace_inner().change(|table| table.end_loop(Some(&self.handler)));
    }
}

impl fmt::Debug for Events {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Events").field(&self.socket).finish()
    }
}
