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
use async_io::Async;
use sansocket_runtime::adapter::BoxFuture;
use sansocket_runtime::cluster::{Bus, BusLink, NodeTransmit, Subscription};
use std::collections::BTreeMap;
use std::future::{Future, poll_fn};
use std::io;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::pin::pin;
use std::task::{Context, Poll};
use std::time::Duration;
use thiserror::Error;

/// The most frames that are handled before others have a turn.
const TURN: usize = 256;
/// The time after which a connection has proved itself: the next wait is a short one.
const STEADY: Duration = Duration::from_secs(5);

/// A Unix socket as a bus. It carries every dialect that publishes on channels: all but those of streams and Postgres.
#[derive(Clone, Debug)]
pub struct UnixBus {
    path: PathBuf,
    max_waiting_bytes: usize,
    max_message_bytes: usize,
}

impl UnixBus {
    /// The bus at a path. Its folder must exist. Nothing is connected yet.
    pub fn new(path: impl AsRef<Path>) -> Self {
        Self { path: path.as_ref().to_owned(), max_waiting_bytes: 32 << 20, max_message_bytes: 64 << 20 }
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
}

/// Why the connection was lost, or could not be made.
#[derive(Debug, Error)]
enum LostError {
    #[error("the bus at {}: {error}", .path.display())]
    Io { path: PathBuf, error: io::Error },
    #[error("the process that carried the messages has ended, or has cut this one off for being too slow")]
    Ended,
}

impl Bus for UnixBus {
    fn run(self: Box<Self>, mut link: BusLink) -> BoxFuture<()> {
        Box::pin(async move {
            let mut hub = None;
            let mut attempt = 0;
            while !link.is_closed() {
                let lost = match beside(&mut hub, connect(&self)).await {
                    Ok(wire) => {
                        let since = link.runtime().now();
                        link.up();
                        let mut node = Node { wire, asked: BTreeMap::new(), next: 0 };
                        let served = beside(&mut hub, poll_fn(|context| node.poll(&mut link, context)));
                        let served = served.await;
                        // A peer that accepts and hangs up is no reason to try without a pause.
                        if link.runtime().now() >= since + STEADY {
                            attempt = 0;
                        }
                        match served {
                            Ok(()) => return,
                            Err(error) => error,
                        }
                    }
                    Err(error) => error,
                };
                let error = match lost {
                    None => LostError::Ended,
                    Some(error) => LostError::Io { path: self.path.clone(), error },
                };
                // Nobody is there: this process takes the place. The hub that it had is one that nobody finds any more.
                if is_nobody_there(&error) {
                    match Hub::bind(&self) {
                        Ok(bound) => {
                            hub = Some(bound);
                            continue;
                        }
                        Err(error) => link.down(LostError::Io { path: self.path.clone(), error }),
                    }
                } else {
                    link.down(error);
                }
                beside(&mut hub, link.wait_before(attempt)).await;
                attempt += 1;
            }
        })
    }
}

fn is_nobody_there(error: &LostError) -> bool {
    let LostError::Io { error, .. } = error else { return false };
    matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused)
}

async fn connect(bus: &UnixBus) -> Result<Wire, Option<io::Error>> {
    let stream = Async::<UnixStream>::connect(&bus.path).await.map_err(Some)?;
    Ok(Wire::new(stream, bus.max_message_bytes))
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
}

impl Node {
    /// Ready once the node is closed and everything is said, or the connection is lost.
    fn poll(&mut self, link: &mut BusLink, context: &mut Context<'_>) -> Poll<Result<(), Option<io::Error>>> {
        for _ in 0..TURN {
            let mut is_at_rest = true;
            let has_room = self.wire.has_room();
            match self.wire.poll_read(context) {
                Poll::Ready(Ok(Some(frame))) => {
                    is_at_rest = false;
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
                Poll::Ready(Ok(None)) => return Poll::Ready(Err(None)),
                Poll::Ready(Err(error)) => return Poll::Ready(Err(Some(error))),
                Poll::Pending => {}
            }
            if has_room {
                match link.poll_next(context) {
                    Poll::Ready(Some(transmit)) => {
                        is_at_rest = false;
                        self.say(transmit);
                    }
                    Poll::Ready(None) => {
                        return self.wire.poll_flush(context).map_err(Some);
                    }
                    Poll::Pending => {}
                }
            }
            // When there is nothing more to add, so that many frames leave at once.
            if is_at_rest || !self.wire.has_room() {
                match self.wire.poll_flush(context) {
                    Poll::Ready(Ok(())) if is_at_rest && has_room => return Poll::Pending,
                    Poll::Ready(Ok(())) => {}
                    Poll::Ready(Err(error)) => return Poll::Ready(Err(Some(error))),
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
