#![doc = include_str!("../README.md")]
#![cfg_attr(docsrs, feature(doc_cfg))]
#![forbid(unsafe_code)]
#![cfg(unix)]

mod frame;
mod hub;
mod wire;

use crate::frame::Frame;
use crate::hub::Hub;
use crate::wire::Wire;
use async_io::{Async, Timer};
use sansocket_runtime::adapter::BoxFuture;
use sansocket_runtime::cluster::{Bus, BusLink, NodeTransmit, Subscription};
use std::collections::BTreeMap;
use std::future::{Future, poll_fn};
use std::io;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::pin::{Pin, pin};
use std::task::{Context, Poll};
use std::time::Duration;
use thiserror::Error;

/// The most frames that are handled before others have a turn.
const TURN: usize = 256;
/// The least time between two pings.
const LEAST_PING_INTERVAL: Duration = Duration::from_millis(10);
/// The intervals after which a hub that has said nothing is given up.
const SILENT_INTERVALS: u32 = 2;
/// The time after which a connection has proved itself: the next wait is a short one.
const STEADY: Duration = Duration::from_secs(5);

/// A Unix socket as a bus. It carries every dialect that publishes on channels: all but those of streams and Postgres.
#[derive(Clone, Debug)]
pub struct UnixBus {
    path: PathBuf,
    max_waiting_bytes: usize,
    max_message_bytes: usize,
    ping_interval: Duration,
}

impl UnixBus {
    /// The bus at a path. Its folder must exist. Nothing is connected yet.
    pub fn new(path: impl AsRef<Path>) -> Self {
        Self {
            path: path.as_ref().to_owned(),
            max_waiting_bytes: 32 << 20,
            max_message_bytes: 64 << 20,
            ping_interval: Duration::from_secs(5),
        }
    }

    /// Sets how many bytes may wait for one node at the process that carries the messages; a node that does not keep up is
    /// cut off, and connects anew. Default 32 MiB.
    #[must_use]
    pub fn max_waiting_bytes(mut self, bytes: usize) -> Self {
        self.max_waiting_bytes = bytes;
        self
    }

    /// Sets the largest message, in bytes. A process that sends a larger one is cut off. Default 64 MiB.
    #[must_use]
    pub fn max_message_bytes(mut self, bytes: usize) -> Self {
        self.max_message_bytes = bytes;
        self
    }

    /// Sets how often a node asks whether the process that carries the messages is still at work. If that says nothing for
    /// two to three intervals, the node connects anew; and if it gets no answer to that for another one, it takes the
    /// other's place. A node that says nothing for three intervals is cut off, and is counted no more. To be the same in all
    /// processes. Default 5 s.
    #[must_use]
    pub fn ping_interval(mut self, interval: Duration) -> Self {
        self.ping_interval = interval.max(LEAST_PING_INTERVAL);
        self
    }

    /// The time after which a node that has said nothing is gone.
    fn patience(&self) -> Duration {
        self.ping_interval.saturating_mul(3)
    }
}

/// Why the connection was lost, or could not be made.
#[derive(Debug, Error)]
enum LostError {
    #[error("the bus at {}: {error}", .path.display())]
    Io { path: PathBuf, error: io::Error },
    #[error("the process that carried the messages has ended, or has cut this one off for being too slow")]
    Ended,
    #[error("the process that carries the messages at {} does not answer", .0.display())]
    Silent(PathBuf),
}

impl From<io::Error> for Lost {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

/// The same without the path.
enum Lost {
    Io(io::Error),
    Ended,
    Silent,
}

impl Bus for UnixBus {
    fn run(self: Box<Self>, mut link: BusLink) -> BoxFuture<()> {
        Box::pin(async move {
            let mut hub = None;
            let mut attempt = 0;
            while !link.is_closed() {
                let greeted = beside(&mut hub, until_closed(&mut link, connect(&self))).await;
                let Some(greeted) = greeted else { return };
                let is_greeted = greeted.is_ok();
                let lost = match greeted {
                    Ok(wire) => {
                        let since = link.runtime().now();
                        link.up();
                        let mut node = Node::new(wire, self.ping_interval);
                        let served = beside(&mut hub, poll_fn(|context| node.poll(&mut link, context)));
                        let served = served.await;
                        // A peer that accepts and hangs up is no reason to try without a pause.
                        if link.runtime().now() >= since + STEADY {
                            attempt = 0;
                        }
                        match served {
                            Ok(()) => return,
                            Err(lost) => lost,
                        }
                    }
                    Err(lost) => lost,
                };
                // Nobody is there, or nobody who answers: this process takes the place. The hub that it had is one that
                // nobody finds any more.
                if is_nobody_there(&lost) || (matches!(lost, Lost::Silent) && !is_greeted) {
                    match Hub::bind(&self) {
                        Ok(bound) => {
                            hub = Some(bound);
                            continue;
                        }
                        Err(error) => link.down(self.lost(Lost::Io(error))),
                    }
                } else {
                    link.down(self.lost(lost));
                }
                beside(&mut hub, link.wait_before(attempt)).await;
                attempt += 1;
            }
        })
    }
}

impl UnixBus {
    fn lost(&self, lost: Lost) -> LostError {
        match lost {
            Lost::Io(error) => LostError::Io { path: self.path.clone(), error },
            Lost::Ended => LostError::Ended,
            Lost::Silent => LostError::Silent(self.path.clone()),
        }
    }
}

fn is_nobody_there(lost: &Lost) -> bool {
    let Lost::Io(error) = lost else { return false };
    matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused)
}

/// Connects to the hub, and waits for its answer to a first ping: a process that was stopped is connected to all the same.
async fn connect(bus: &UnixBus) -> Result<Wire, Lost> {
    let stream = Async::<UnixStream>::connect(&bus.path).await?;
    let mut wire = Wire::new(stream, bus.max_message_bytes);
    wire.write(&Frame::Ping);
    let mut patience = Timer::after(bus.ping_interval);
    poll_fn(|context| {
        if let Poll::Ready(Err(error)) = wire.poll_flush(context) {
            return Poll::Ready(Err(error.into()));
        }
        match wire.poll_read(context) {
            // Nothing else is said to one that has subscribed to nothing.
            Poll::Ready(Ok(Some(_))) => Poll::Ready(Ok(())),
            Poll::Ready(Ok(None)) => Poll::Ready(Err(Lost::Ended)),
            Poll::Ready(Err(error)) => Poll::Ready(Err(error.into())),
            Poll::Pending => Pin::new(&mut patience).poll(context).map(|_| Err(Lost::Silent)),
        }
    })
    .await?;
    Ok(wire)
}

/// Awaits a future; `None` if the node is closed meanwhile.
async fn until_closed<T>(link: &mut BusLink, future: impl Future<Output = T>) -> Option<T> {
    let mut future = pin!(future);
    poll_fn(|context| {
        if let Poll::Ready(outcome) = future.as_mut().poll(context) {
            return Poll::Ready(Some(outcome));
        }
        // There is nothing to do before the bus is there, unless the node is closed.
        match link.poll_next(context) {
            Poll::Ready(None) => Poll::Ready(None),
            _ => Poll::Pending,
        }
    })
    .await
}

/// Awaits a future while the hub of this process works, if it has one.
async fn beside<T>(hub: &mut Option<Hub>, future: impl Future<Output = T>) -> T {
    let mut future = pin!(future);
    poll_fn(|context| {
        if hub.as_mut().is_some_and(|hub| hub.poll(context).is_ready()) {
            *hub = None;
        }
        future.as_mut().poll(context)
    })
    .await
}

/// The connection of a node.
struct Node {
    wire: Wire,
    /// The counts that were asked for.
    asked: BTreeMap<u64, sansocket_runtime::cluster::AskId>,
    next: u64,
    ping: Timer,
    ping_interval: Duration,
    /// Intervals in which the hub has said nothing.
    silent: u32,
}

impl Node {
    fn new(wire: Wire, ping_interval: Duration) -> Self {
        let ping = Timer::after(ping_interval);
        Self { wire, asked: BTreeMap::new(), next: 0, ping, ping_interval, silent: 0 }
    }

    /// Asks whether the hub lives when it is time. An error if it has not answered before.
    fn look(&mut self, context: &mut Context<'_>) -> Result<(), Lost> {
        while Pin::new(&mut self.ping).poll(context).is_ready() {
            if self.silent >= SILENT_INTERVALS {
                return Err(Lost::Silent);
            }
            // From now on, and not from when it was due: a process that was stopped has heard nobody meanwhile.
            self.ping.set_after(self.ping_interval);
            self.silent += 1;
            // Behind so much that waits to be written, it would say nothing new.
            if self.wire.has_room() {
                self.wire.write(&Frame::Ping);
            }
        }
        Ok(())
    }

    /// Ready once the node is closed and everything is said, or the connection is lost.
    fn poll(&mut self, link: &mut BusLink, context: &mut Context<'_>) -> Poll<Result<(), Lost>> {
        self.look(context)?;
        for _ in 0..TURN {
            let mut is_at_rest = true;
            let has_room = self.wire.has_room();
            match self.wire.poll_read(context) {
                Poll::Ready(Ok(Some(frame))) => {
                    is_at_rest = false;
                    self.silent = 0;
                    match frame {
                        Frame::Message { channel, payload } => link.message(&channel, payload),
                        Frame::Counted { number, nodes } => {
                            if let Some(ask) = self.asked.remove(&number) {
                                link.counted(ask, Some(nodes));
                            }
                        }
                        // What only a node says.
                        _ => {}
                    }
                }
                Poll::Ready(Ok(None)) => return Poll::Ready(Err(Lost::Ended)),
                Poll::Ready(Err(error)) => return Poll::Ready(Err(error.into())),
                Poll::Pending => {}
            }
            if has_room {
                match link.poll_next(context) {
                    Poll::Ready(Some(transmit)) => {
                        is_at_rest = false;
                        self.say(transmit);
                    }
                    Poll::Ready(None) => {
                        return self.wire.poll_flush(context).map_err(Lost::Io);
                    }
                    Poll::Pending => {}
                }
            }
            // When there is nothing more to add, so that many frames leave at once.
            if is_at_rest || !self.wire.has_room() {
                match self.wire.poll_flush(context) {
                    Poll::Ready(Ok(())) if is_at_rest && has_room => return Poll::Pending,
                    Poll::Ready(Ok(())) => {}
                    Poll::Ready(Err(error)) => return Poll::Ready(Err(error.into())),
                    Poll::Pending if is_at_rest => return Poll::Pending,
                    Poll::Pending => {}
                }
            }
        }
        context.waker().wake_by_ref();
        Poll::Pending
    }

    fn say(&mut self, transmit: NodeTransmit) {
        let frame = match transmit {
            NodeTransmit::Publish(published) => {
                Frame::Publish { channel: published.channel, payload: published.payload }
            }
            NodeTransmit::Subscribe(Subscription::Channel(channel)) => Frame::Subscribe(channel),
            NodeTransmit::Subscribe(Subscription::Pattern(pattern)) => Frame::SubscribePattern(pattern),
            NodeTransmit::Unsubscribe(Subscription::Channel(channel)) => Frame::Unsubscribe(channel),
            NodeTransmit::Unsubscribe(Subscription::Pattern(pattern)) => Frame::UnsubscribePattern(pattern),
            NodeTransmit::Count { channel, ask } => {
                self.next += 1;
                self.asked.insert(self.next, ask);
                Frame::Count { number: self.next, channel }
            }
            // Of dialects that this bus does not carry.
            _ => return,
        };
        self.wire.write(&frame);
    }
}
