//! A bus between the servers of one process.

use crate::base::pattern::fits;
use crate::base::runtime::BoxFuture;
use crate::cluster::bus::{Bus, BusLink};
use bytes::Bytes;
use sansocket_protocol::cluster::Subscription;
use sansocket_protocol::cluster::node::NodeTransmit;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fmt;
use std::future::poll_fn;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Poll, Waker};

/// A bus between servers of one process, in its memory: for servers on several runtimes, and for tests.
///
/// Each clone is the same bus. It carries every dialect that publishes on channels: all but those of streams and
/// Postgres. Messages arrive in the order in which they were published.
///
/// ```
/// use sansocket_runtime::cluster::{ClusterOptions, InProcessBus};
///
/// let bus = InProcessBus::new();
/// let (one, other) = (ClusterOptions::new(bus.clone()), ClusterOptions::new(bus.clone()));
/// bus.take_down(); // in a test: the bus is away ..
/// bus.bring_up(); // .. and back
/// ```
#[derive(Clone)]
pub struct InProcessBus {
    shared: Arc<Mutex<Shared>>,
}

struct Shared {
    is_up: bool,
    max_waiting_bytes: usize,
    next: u64,
    nodes: BTreeMap<u64, Inbox>,
    published: u64,
    published_bytes: u64,
}

/// One node on the bus.
#[derive(Default)]
struct Inbox {
    channels: BTreeSet<String>,
    patterns: BTreeSet<String>,
    waiting: VecDeque<(Arc<str>, Bytes)>,
    waiting_bytes: usize,
    /// It did not keep up, or the bus was taken down: it is told, and begins anew.
    is_cut: bool,
    waker: Option<Waker>,
}

impl InProcessBus {
    /// A bus that is there.
    pub fn new() -> Self {
        Self {
            shared: Arc::new(Mutex::new(Shared {
                is_up: true,
                max_waiting_bytes: 32 << 20,
                next: 0,
                nodes: BTreeMap::new(),
                published: 0,
                published_bytes: 0,
            })),
        }
    }

    /// Sets how many bytes may wait for one node, which beyond that is cut off, loses what waits, and begins anew: as
    /// Redis does it. Default 32 MiB.
    #[must_use]
    pub fn max_waiting_bytes(self, bytes: usize) -> Self {
        self.shared().max_waiting_bytes = bytes;
        self
    }

    /// Takes the bus down, as if its engine had stopped: every node is told.
    pub fn take_down(&self) {
        self.shared().is_up = false;
        self.cut_off_all();
    }

    /// Brings the bus up again.
    pub fn bring_up(&self) {
        self.shared().is_up = true;
        self.wake_all();
    }

    /// Cuts every node off for a moment, so that each begins anew.
    pub fn cut_off_all(&self) {
        self.shared().nodes.values_mut().for_each(Inbox::cut);
        self.wake_all();
    }

    /// The messages that were published so far, and their bytes.
    pub fn published(&self) -> (u64, u64) {
        let shared = self.shared();
        (shared.published, shared.published_bytes)
    }

    fn shared(&self) -> MutexGuard<'_, Shared> {
        self.shared.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wake_all(&self) {
        let wakers: Vec<Waker> =
            self.shared().nodes.values_mut().filter_map(|inbox| inbox.waker.take()).collect();
        wakers.into_iter().for_each(Waker::wake);
    }

    /// Publishes bytes, as a process that is no node.
    pub fn publish(&self, channel: &str, payload: impl Into<Bytes>) {
        let payload = payload.into();
        let mut wakers = Vec::new();
        let mut shared = self.shared();
        if !shared.is_up {
            return;
        }
        shared.published += 1;
        shared.published_bytes += payload.len() as u64;
        let max = shared.max_waiting_bytes;
        let name: Arc<str> = channel.into();
        for inbox in shared.nodes.values_mut().filter(|inbox| inbox.hears(channel)) {
            inbox.waiting_bytes = inbox.waiting_bytes.saturating_add(payload.len());
            if inbox.waiting_bytes > max {
                inbox.cut();
            } else {
                inbox.waiting.push_back((name.clone(), payload.clone()));
            }
            wakers.extend(inbox.waker.take());
        }
        drop(shared);
        wakers.into_iter().for_each(Waker::wake);
    }

    fn count(&self, channel: &str) -> u32 {
        let shared = self.shared();
        let subscribers = shared.nodes.values().filter(|inbox| inbox.channels.contains(channel)).count();
        u32::try_from(subscribers).unwrap_or(u32::MAX)
    }
}

impl Inbox {
    fn hears(&self, channel: &str) -> bool {
        !self.is_cut
            && (self.channels.contains(channel) || self.patterns.iter().any(|pattern| fits(pattern, channel)))
    }

    fn cut(&mut self) {
        let waker = self.waker.take();
        *self = Self { is_cut: true, waker, ..Self::default() };
    }
}

impl Default for InProcessBus {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for InProcessBus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("InProcessBus").finish_non_exhaustive()
    }
}

/// What a node on the bus waits for.
enum Next {
    Transmit(Option<NodeTransmit>),
    Message(Arc<str>, Bytes),
    Cut,
}

/// The place of one node, which goes with the node's task.
struct Seat {
    bus: InProcessBus,
    number: u64,
}

impl Seat {
    fn inbox<T>(&self, look: impl FnOnce(&mut Inbox) -> T) -> Option<T> {
        self.bus.shared().nodes.get_mut(&self.number).map(look)
    }

    /// Waits until the bus is there; false if the node is closed meanwhile.
    async fn enter(&self, link: &mut BusLink) -> bool {
        poll_fn(|context| {
            let mut shared = self.bus.shared();
            let is_up = shared.is_up;
            let inbox = shared.nodes.entry(self.number).or_default();
            inbox.is_cut = !is_up;
            inbox.waker = Some(context.waker().clone());
            drop(shared);
            if is_up {
                return Poll::Ready(true);
            }
            // There is nothing to do while the bus is away, unless the node is closed.
            match link.poll_next(context) {
                Poll::Ready(None) => Poll::Ready(false),
                _ => Poll::Pending,
            }
        })
        .await
    }

    async fn next(&self, link: &mut BusLink) -> Next {
        poll_fn(|context| {
            let found = self.inbox(|inbox| {
                if inbox.is_cut {
                    return Some(Next::Cut);
                }
                let message = inbox.waiting.pop_front();
                if let Some((channel, payload)) = message {
                    inbox.waiting_bytes = inbox.waiting_bytes.saturating_sub(payload.len());
                    return Some(Next::Message(channel, payload));
                }
                inbox.waker = Some(context.waker().clone());
                None
            });
            match found {
                Some(Some(next)) => Poll::Ready(next),
                None => Poll::Ready(Next::Cut),
                Some(None) => link.poll_next(context).map(Next::Transmit),
            }
        })
        .await
    }

    fn carry_out(&self, link: &mut BusLink, transmit: NodeTransmit) {
        match transmit {
            NodeTransmit::Publish(published) => self.bus.publish(&published.channel, published.payload),
            NodeTransmit::Count { channel, ask } => link.counted(ask, Some(self.bus.count(&channel))),
            NodeTransmit::Subscribe(subscription) => {
                self.inbox(|inbox| match subscription {
                    Subscription::Channel(channel) => inbox.channels.insert(channel),
                    Subscription::Pattern(pattern) => inbox.patterns.insert(pattern),
                    Subscription::Stream(_) => false,
                });
            }
            NodeTransmit::Unsubscribe(subscription) => {
                self.inbox(|inbox| match subscription {
                    Subscription::Channel(channel) => inbox.channels.remove(&channel),
                    Subscription::Pattern(pattern) => inbox.patterns.remove(&pattern),
                    Subscription::Stream(_) => false,
                });
            }
            // Of dialects that this bus does not carry.
            _ => {}
        }
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.bus.shared().nodes.remove(&self.number);
    }
}

impl Bus for InProcessBus {
    fn run(self: Box<Self>, mut link: BusLink) -> BoxFuture<()> {
        let number = {
            let mut shared = self.shared();
            shared.next += 1;
            shared.next
        };
        let seat = Seat { bus: *self, number };
        Box::pin(async move {
            while seat.enter(&mut link).await {
                link.up();
                loop {
                    match seat.next(&mut link).await {
                        Next::Transmit(Some(transmit)) => seat.carry_out(&mut link, transmit),
                        Next::Transmit(None) => return,
                        Next::Message(channel, payload) => link.message(&channel, payload),
                        Next::Cut => break,
                    }
                }
                link.down("the node was cut off");
            }
        })
    }
}
