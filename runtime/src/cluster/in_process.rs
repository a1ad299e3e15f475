//! A bus between the servers of one process.

use crate::base::pattern::fits;
use crate::base::runtime::BoxFuture;
use crate::cluster::bus::{Bus, BusLink};
use crate::cluster::in_process_log::Log;
use bytes::Bytes;
use sansocket_protocol::cluster::Subscription;
use sansocket_protocol::cluster::node::{EntryId, NodeTransmit, StreamEntry};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fmt;
use std::future::poll_fn;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker, ready};

/// The most messages that a node is given before others have a turn.
const TURN: usize = 256;

/// A bus between servers of one process, in its memory: for servers on several runtimes, and for tests.
///
/// Each clone is the same bus. It carries every dialect but that of Postgres. Messages arrive in the order in which they were published.
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
    log: Log,
}

/// One node on the bus.
#[derive(Default)]
struct Inbox {
    channels: BTreeSet<String>,
    patterns: BTreeSet<String>,
    /// It reads the stream: the last entry that it has read.
    reads: Option<EntryId>,
    /// The last one that it had read when it was cut off.
    had_read: Option<EntryId>,
    /// Entries and messages take turns: an entry came last.
    was_entry: bool,
    waiting: VecDeque<(Arc<str>, Bytes)>,
    waiting_bytes: usize,
    /// It did not keep up, or the bus was taken down: it is told, and begins anew.
    is_cut: bool,
    waker: Option<Waker>,
}

/// A thing that is there for a node.
enum Item {
    Message(Arc<str>, Bytes),
    Entry(Arc<StreamEntry>),
    /// Entries are gone that it has not read.
    Gap,
}

/// The bytes of a message, with about what it takes besides its contents: many small ones have a bound, too.
fn weight(channel: &str, payload: &Bytes) -> usize {
    const OVERHEAD: usize = 96;
    channel.len().saturating_add(payload.len()).saturating_add(OVERHEAD)
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
                log: Log::default(),
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

    /// A place on the bus, which has subscribed to nothing yet.
    pub fn seat(&self) -> BusSeat {
        let mut shared = self.shared();
        shared.next += 1;
        let number = shared.next;
        shared.nodes.insert(number, Inbox::default());
        drop(shared);
        BusSeat { bus: self.clone(), number }
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
        let (channel, payload): (Arc<str>, Bytes) = (channel.into(), payload.into());
        let weight = weight(&channel, &payload);
        self.hand_out(
            payload.len(),
            |_| {},
            |inbox, max_waiting_bytes| {
                if !inbox.hears(&channel) {
                    return false;
                }
                inbox.waiting_bytes = inbox.waiting_bytes.saturating_add(weight);
                if inbox.waiting_bytes > max_waiting_bytes {
                    inbox.cut();
                } else {
                    inbox.waiting.push_back((channel.clone(), payload.clone()));
                }
                true
            },
        );
    }

    fn append(&self, fields: &[(&'static str, String)]) {
        let bytes = fields.iter().fold(0, |sum, (_, value)| sum + value.len());
        self.hand_out(bytes, |log| log.append(fields), |inbox, _| inbox.reads.is_some());
    }

    /// Puts something onto the bus. `give` says whether it is of interest to a node.
    fn hand_out(&self, bytes: usize, put: impl FnOnce(&mut Log), give: impl Fn(&mut Inbox, usize) -> bool) {
        let mut wakers = Vec::new();
        let mut guard = self.shared();
        let shared = &mut *guard;
        if !shared.is_up {
            return;
        }
        shared.published += 1;
        shared.published_bytes += bytes as u64;
        put(&mut shared.log);
        for inbox in shared.nodes.values_mut() {
            if give(inbox, shared.max_waiting_bytes) {
                wakers.extend(inbox.waker.take());
            }
        }
        drop(guard);
        wakers.into_iter().for_each(Waker::wake);
    }

    /// The number of nodes that subscribe to a channel, patterns not counted.
    pub fn count(&self, channel: &str) -> u32 {
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
        let (waker, had_read) = (self.waker.take(), self.reads.or(self.had_read));
        *self = Self { is_cut: true, waker, had_read, ..Self::default() };
    }

    /// The next thing that is there for it.
    fn next(&mut self, log: &Log) -> Option<Item> {
        let entry = |inbox: &mut Self| {
            let read = inbox.reads.as_mut()?;
            let (id, next) = log.after(*read)?;
            if log.has_gap(*read) {
                // What is left comes next.
                *read = log.before_first();
                return Some(Item::Gap);
            }
            *read = id;
            Some(Item::Entry(next))
        };
        let message = |inbox: &mut Self| {
            let (channel, payload) = inbox.waiting.pop_front()?;
            inbox.waiting_bytes = inbox.waiting_bytes.saturating_sub(weight(&channel, &payload));
            Some(Item::Message(channel, payload))
        };
        let item = match self.was_entry {
            true => message(self).or_else(|| entry(self)),
            false => entry(self).or_else(|| message(self)),
        };
        self.was_entry = matches!(item, Some(Item::Entry(_)));
        item
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

/// A place on an [`InProcessBus`], for buses that are made of one: what is subscribed to here, and the messages of that. It
/// is given up when it is dropped.
pub struct BusSeat {
    bus: InProcessBus,
    number: u64,
}

impl BusSeat {
    fn inbox<T>(&self, look: impl FnOnce(&mut Inbox) -> T) -> Option<T> {
        self.bus.shared().nodes.get_mut(&self.number).map(look)
    }

    /// Subscribes to a channel or a pattern; streams are for nodes alone.
    pub fn subscribe(&self, subscription: Subscription) {
        self.inbox(|inbox| match subscription {
            Subscription::Channel(channel) => inbox.channels.insert(channel),
            Subscription::Pattern(pattern) => inbox.patterns.insert(pattern),
            Subscription::Stream(_) => false,
        });
    }

    /// Reads the stream, from where it was read last or from its end on, and says where that is.
    fn read_stream(&self, link: &mut BusLink) {
        let mut shared = self.bus.shared();
        let end = shared.log.end();
        let inbox = shared.nodes.get_mut(&self.number).filter(|inbox| inbox.reads.is_none());
        let Some(inbox) = inbox else { return };
        let from = inbox.had_read.unwrap_or(end);
        inbox.reads = Some(from);
        drop(shared);
        link.reads_from(from);
    }

    /// Takes a subscription back.
    pub fn unsubscribe(&self, subscription: Subscription) {
        self.inbox(|inbox| match subscription {
            Subscription::Channel(channel) => inbox.channels.remove(&channel),
            Subscription::Pattern(pattern) => inbox.patterns.remove(&pattern),
            Subscription::Stream(_) => false,
        });
    }

    /// The next message and its channel; `None` once the place was cut off.
    pub fn poll_message(&self, context: &mut Context<'_>) -> Poll<Option<(Arc<str>, Bytes)>> {
        loop {
            match ready!(self.poll_item(context)) {
                Some(Item::Message(channel, payload)) => return Poll::Ready(Some((channel, payload))),
                Some(Item::Entry(_) | Item::Gap) => {}
                None => return Poll::Ready(None),
            }
        }
    }

    fn poll_item(&self, context: &mut Context<'_>) -> Poll<Option<Item>> {
        let mut guard = self.bus.shared();
        let shared = &mut *guard;
        let Some(inbox) = shared.nodes.get_mut(&self.number).filter(|inbox| !inbox.is_cut) else {
            return Poll::Ready(None);
        };
        if let Some(item) = inbox.next(&shared.log) {
            return Poll::Ready(Some(item));
        }
        if !inbox.waker.as_ref().is_some_and(|waker| waker.will_wake(context.waker())) {
            inbox.waker = Some(context.waker().clone());
        }
        Poll::Pending
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

    /// Serves a node until it is closed (true), or cut off (false).
    fn poll_serve(&self, link: &mut BusLink, context: &mut Context<'_>) -> Poll<bool> {
        for _ in 0..TURN {
            match self.poll_item(context) {
                Poll::Ready(Some(Item::Message(channel, payload))) => link.message(&channel, payload),
                Poll::Ready(Some(Item::Entry(entry))) => link.entry(&entry.id, entry.fields()),
                Poll::Ready(Some(Item::Gap)) => link.stream_gap(),
                Poll::Ready(None) => return Poll::Ready(false),
                Poll::Pending => match ready!(link.poll_next(context)) {
                    Some(transmit) => self.carry_out(link, transmit),
                    None => return Poll::Ready(true),
                },
            }
        }
        context.waker().wake_by_ref();
        Poll::Pending
    }

    fn carry_out(&self, link: &mut BusLink, transmit: NodeTransmit) {
        match transmit {
            NodeTransmit::Publish(published) => self.bus.publish(&published.channel, published.payload),
            NodeTransmit::Count { channel, ask } => link.counted(ask, Some(self.bus.count(&channel))),
            NodeTransmit::Subscribe(Subscription::Stream(_)) => self.read_stream(link),
            NodeTransmit::Append { fields, .. } => self.bus.append(&fields),
            NodeTransmit::Save { key, value, time } => self.bus.shared().log.save(key, value, time),
            NodeTransmit::Take { key, offset, lookup, .. } => {
                let (value, has_offset) = self.bus.shared().log.take(&key, offset);
                link.taken(lookup, value.as_deref(), has_offset);
            }
            NodeTransmit::Page { from, count, lookup, .. } => {
                let page = self.bus.shared().log.page(from, count);
                link.page(lookup, page.iter().map(|entry| &**entry));
            }
            NodeTransmit::Subscribe(subscription) => self.subscribe(subscription),
            NodeTransmit::Unsubscribe(subscription) => self.unsubscribe(subscription),
            // Of dialects that this bus does not carry.
            _ => {}
        }
    }
}

impl Drop for BusSeat {
    fn drop(&mut self) {
        self.bus.shared().nodes.remove(&self.number);
    }
}

impl fmt::Debug for BusSeat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BusSeat").field("number", &self.number).finish_non_exhaustive()
    }
}

impl Bus for InProcessBus {
    fn run(self: Box<Self>, mut link: BusLink) -> BoxFuture<()> {
        let seat = self.seat();
        Box::pin(async move {
            while seat.enter(&mut link).await {
                link.up();
                if poll_fn(|context| seat.poll_serve(&mut link, context)).await {
                    return;
                }
                link.down("the node was cut off");
            }
        })
    }
}
