//! The interface of a bus.

use crate::base::error::BoxError;
use crate::base::runtime::{BoxFuture, Runtime};
use crate::cluster::handle::{Cluster, NodeApplication};
use bytes::Bytes;
use sansocket_protocol::cluster::Envelope;
use sansocket_protocol::cluster::node::{AskId, EntryId, LookupId, NodeTransmit, StreamEntry};
use sansocket_protocol::random::Random;
use std::fmt;
use std::future::poll_fn;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

/// A bus: whatever carries bytes from one node to all that subscribe to a channel.
///
/// It is used through `Box<dyn Bus>`, so that no type of the application's interface has it as a parameter. A bus decides
/// nothing about messages. It connects, does as the node says, hands over what comes, and connects again when the
/// connection is lost.
///
/// A bus to nowhere, which shows the shape of all of them:
///
/// ```
/// use sansocket_runtime::adapter::BoxFuture;
/// use sansocket_runtime::cluster::{Bus, BusLink, ClusterOptions, NodeTransmit, Subscription};
/// use std::collections::BTreeSet;
///
/// struct Echo;
///
/// impl Bus for Echo {
///     fn run(self: Box<Self>, mut link: BusLink) -> BoxFuture<()> {
///         Box::pin(async move {
///             let mut channels = BTreeSet::new();
///             link.up(); // connected; a real bus comes back here after `link.down(error)`
///             while let Some(transmit) = link.next().await {
///                 match transmit {
///                     NodeTransmit::Subscribe(Subscription::Channel(channel)) => {
///                         channels.insert(channel);
///                     }
///                     NodeTransmit::Unsubscribe(Subscription::Channel(channel)) => {
///                         channels.remove(&channel);
///                     }
///                     NodeTransmit::Publish(published) if channels.contains(&published.channel) => {
///                         link.message(&published.channel, published.payload);
///                     }
///                     NodeTransmit::Count { channel, ask } => {
///                         link.counted(ask, Some(u32::from(channels.contains(&channel))));
///                     }
///                     _ => {} // a dialect that this bus cannot carry
///                 }
///             }
///         })
///     }
/// }
///
/// let options = ClusterOptions::new(Echo);
/// ```
pub trait Bus: Send + Sync + 'static {
    /// Carries the messages of one node, until [`BusLink::next`] says that it is closed. It runs as a task of the
    /// server's runtime, and must give way: nothing else of the node goes on while it is polled.
    ///
    /// * A subscription counts from the moment that the engine has confirmed it. What is published after it on the same
    ///   node must leave after that.
    /// * Messages of one connection of one publisher are handed over in their order.
    /// * After [`down`](BusLink::down) the node forgets its subscriptions, and says them again after the next
    ///   [`up`](BusLink::up).
    /// * It never returns because the engine is away. A `run` that returns earlier is taken for a bus that is away for
    ///   good.
    fn run(self: Box<Self>, link: BusLink) -> BoxFuture<()>;
}

/// The connection of a [`Bus`] to its node.
///
/// The messages that wait in it for the bus are bounded by
/// [`NodeConfig::max_waiting_bytes`](crate::cluster::NodeConfig::max_waiting_bytes).
pub struct BusLink {
    cluster: Arc<Cluster>,
    application: Arc<dyn NodeApplication>,
    random: Random,
}

const FIRST_WAIT: Duration = Duration::from_millis(100);
const LONGEST_WAIT: Duration = Duration::from_secs(1);

impl BusLink {
    pub(crate) fn new(cluster: Arc<Cluster>, application: Arc<dyn NodeApplication>, random: Random) -> Self {
        Self { cluster, application, random }
    }

    /// The next thing to do; `None` once the node is closed and all is done. There is nothing to do before
    /// [`up`](Self::up).
    pub async fn next(&mut self) -> Option<NodeTransmit> {
        poll_fn(|context| self.poll_next(context)).await
    }

    /// The same for a poll.
    pub fn poll_next(&mut self, context: &mut Context<'_>) -> Poll<Option<NodeTransmit>> {
        self.cluster.poll_transmit(context)
    }

    /// The next thing to do, if there is one: to do several in one turn.
    pub fn try_next(&mut self) -> Option<NodeTransmit> {
        self.cluster.try_transmit()
    }

    /// After [`message`](Self::message): the channel and the id of the row that the message is in, if it is in the table of
    /// attachments. What comes after it must wait until that [row](Self::row) was handed over.
    pub fn wanted_row(&mut self) -> Option<(String, Arc<str>)> {
        match self.cluster.try_transmit_if(|next| matches!(next, NodeTransmit::Select { .. }))? {
            NodeTransmit::Select { channel, row } => Some((channel, row)),
            _ => None,
        }
    }

    /// Returns whether the next thing to do is an [`Insert`](NodeTransmit::Insert). Nothing may be asked for after it
    /// until it is [answered](Self::inserted): the notification of the row is next then.
    pub fn wants_to_insert(&self) -> bool {
        self.cluster.has_next(|next| matches!(next, NodeTransmit::Insert { .. }))
    }

    /// The bus is connected.
    pub fn up(&mut self) {
        self.cluster.heard(|node, now| node.handle_bus_up(now));
        self.deliver();
    }

    /// The bus has lost its connection, or could not connect. What has not been done yet is dropped.
    pub fn down(&mut self, reason: impl Into<BoxError>) {
        self.cluster.down(Some(Arc::new(reason.into())));
        self.deliver();
    }

    /// Bytes came on a channel.
    pub fn message(&mut self, channel: &str, payload: Bytes) {
        self.cluster.came(channel, |node, now| node.handle_message(now, channel, &payload));
        self.deliver();
    }

    /// An entry came on a stream, with its id and its fields in any order.
    pub fn entry<'a>(&mut self, id: &str, fields: impl IntoIterator<Item = (&'a [u8], &'a [u8])>) {
        self.cluster.came("a stream", |node, now| node.handle_entry(now, id, fields));
        self.deliver();
    }

    /// The entries of a stream are read from behind that one on: to be told before the first, and before anything is
    /// appended. After a loss of the connection that is the last one that was read before it; if it is another one, there
    /// is a [gap](Self::stream_gap).
    pub fn reads_from(&mut self, id: EntryId) {
        self.cluster.heard(|node, now| node.handle_stream_position(now, id));
        self.deliver();
    }

    /// A stream does not hold all entries any more that came behind the last one that was read.
    pub fn stream_gap(&mut self) {
        self.cluster.heard(|node, now| node.handle_stream_gap(now));
        self.deliver();
    }

    /// The engine has refused an [`Append`](NodeTransmit::Append) of that ticket.
    pub fn not_appended(&mut self, ticket: u64) {
        self.cluster.heard(|node, now| node.handle_not_appended(now, ticket));
        self.deliver();
    }

    /// The answer to [`NodeTransmit::Take`]: the value of the key, and whether the stream has that entry.
    pub fn taken(&mut self, lookup: LookupId, value: Option<&[u8]>, has_offset: bool) {
        self.cluster
            .came("the keys of sessions", |node, now| node.handle_taken(now, lookup, value, has_offset));
        self.deliver();
    }

    /// The answer to [`NodeTransmit::Page`]: the entries from that one on, in order.
    pub fn page<'a>(&mut self, lookup: LookupId, entries: impl IntoIterator<Item = &'a StreamEntry>) {
        self.cluster.heard(|node, now| node.handle_page(now, lookup, entries));
        self.deliver();
    }

    /// The answer to [`NodeTransmit::Count`]: how many subscribe to the channel; `None` if the bus cannot say.
    pub fn counted(&mut self, ask: AskId, subscribers: Option<u32>) {
        self.cluster.heard(|node, now| node.handle_count(now, ask, subscribers));
        self.deliver();
    }

    /// The answer to [`NodeTransmit::Insert`]: the id of the row.
    pub fn inserted(&mut self, envelope: &Envelope, row: u64) {
        self.cluster.heard(|node, now| node.handle_inserted(now, envelope, row));
        self.deliver();
    }

    /// The answer to [`NodeTransmit::Select`]: the row's payload.
    pub fn row(&mut self, channel: &str, payload: &Bytes) {
        self.cluster.came(channel, |node, now| node.handle_row(now, channel, payload));
        self.deliver();
    }

    /// The runtime of the server: its clock, its timers, its tasks.
    pub fn runtime(&self) -> &Arc<dyn Runtime> {
        self.cluster.runtime()
    }

    /// Waits, by the server's runtime. It ends early when the node is closed.
    pub async fn sleep(&mut self, time: Duration) {
        let runtime = self.cluster.runtime();
        let mut timer = runtime.timer(runtime.now() + time.min(crate::base::runtime::LONGEST));
        poll_fn(|context| match timer.poll_elapsed(context) {
            Poll::Pending if !self.cluster.is_closed(context) => Poll::Pending,
            _ => Poll::Ready(()),
        })
        .await;
    }

    /// Waits before the next attempt to connect: about 0.1 s after the first failure, and twice as long after each further
    /// one, up to 1 s, so that a node is back soon after the engine is. Nodes do not wait equally long.
    pub async fn wait_before(&mut self, attempt: u32) {
        let wait = FIRST_WAIT.saturating_mul(1 << attempt.min(8)).min(LONGEST_WAIT);
        let wait = wait.mul_f64(0.5 + f64::from(self.random.u64() as u32) / f64::from(u32::MAX) / 2.0);
        self.sleep(wait).await;
    }

    /// The engine has refused something, and the connection goes on: an access rule, perhaps. It is counted and logged.
    pub fn refused(&mut self, reason: impl Into<BoxError>) {
        self.cluster.refused(&*reason.into());
    }

    /// Returns whether the node is closed.
    pub fn is_closed(&self) -> bool {
        self.cluster.is_closing()
    }

    fn deliver(&self) {
        self.cluster.deliver(&*self.application);
    }
}

impl fmt::Debug for BusLink {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BusLink").field("closed", &self.is_closed()).finish_non_exhaustive()
    }
}
