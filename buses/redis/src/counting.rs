//! The number of subscribers in a cluster: each node knows its own only, replicas among them.

use crate::Settings;
use crate::cluster::{PATIENCE, client_at};
use crate::connection::config;
use crate::slots::{Place, Topology};
use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, Client, RedisError, Value, cmd, from_redis_value};
use sansocket_runtime::adapter::BoxFuture;
use sansocket_runtime::cluster::AskId;
use std::collections::{BTreeMap, HashMap};
use std::future::poll_fn;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

/// The time for which a node that could not be asked is not asked again.
const NOT_ASKED: Duration = Duration::from_secs(5);

/// A question: its number, and the channel.
type Questions = Vec<(AskId, String)>;
type Outcome = (BTreeMap<Place, Counter>, Vec<(Place, Failure)>, Vec<(AskId, Option<u32>)>);

/// The counts of subscribers that are asked for.
#[derive(Default)]
pub(crate) struct Counting {
    waiting: Questions,
    counters: BTreeMap<Place, Counter>,
    running: Option<BoxFuture<Outcome>>,
}

/// A node that counts its own subscribers.
struct Counter {
    client: Client,
    connection: Option<MultiplexedConnection>,
    /// It could not be asked: not before that time again.
    failed: Option<(Failure, Instant)>,
}

/// Why a node could not be asked.
#[derive(Clone, Copy, PartialEq)]
enum Failure {
    /// Nobody listens there, so that it has no subscribers.
    IsGone,
    /// It may have some: no number is better than one that is too low.
    Unknown,
}

impl Counting {
    /// Takes a question. It is asked once what went before it was answered.
    pub(crate) fn ask(&mut self, ask: AskId, channel: String) {
        self.waiting.push((ask, channel));
    }

    /// Asks what waits, if nothing is under way, of the nodes that there are now.
    pub(crate) fn begin(&mut self, of: &Client, settings: &Settings, topology: &Topology, now: Instant) {
        if self.waiting.is_empty() || self.running.is_some() {
            return;
        }
        let mut before = std::mem::take(&mut self.counters);
        let mut counters = BTreeMap::new();
        for place in topology.masters.iter().chain(&topology.replicas) {
            let known = before.remove(place);
            let counter = known.or_else(|| {
                let client = client_at(of, place).ok()?;
                Some(Counter { client, connection: None, failed: None })
            });
            counters.extend(counter.map(|counter| (place.clone(), counter)));
        }
        let questions = std::mem::take(&mut self.waiting);
        let config = config(settings).set_connection_timeout(Some(PATIENCE.min(settings.timeout)));
        self.running = Some(Box::pin(count(counters, questions, config, now)));
    }

    /// The counts, once they are there; `None` for those of which a part is unknown.
    pub(crate) fn poll(
        &mut self,
        context: &mut Context<'_>,
        now: impl FnOnce() -> Instant,
    ) -> Poll<Vec<(AskId, Option<u32>)>> {
        let Some(running) = &mut self.running else { return Poll::Pending };
        let (mut counters, failed, counts) = ready!(running.as_mut().poll(context));
        self.running = None;
        // From now on: to ask it may have taken longer than it is left alone.
        let until = now() + NOT_ASKED;
        for (place, failure) in failed {
            if let Some(counter) = counters.get_mut(&place) {
                (counter.connection, counter.failed) = (None, Some((failure, until)));
            }
        }
        self.counters = counters;
        Poll::Ready(counts)
    }
}

async fn count(
    counters: BTreeMap<Place, Counter>,
    questions: Questions,
    config: AsyncConnectionConfig,
    now: Instant,
) -> Outcome {
    let channels: Vec<&str> = questions.iter().map(|(_, channel)| &**channel).collect();
    let (mut counters, mut running) = (counters, Vec::new());
    let mut is_known = true;
    for (place, counter) in &mut counters {
        if let Some((failure, until)) = counter.failed {
            if now < until {
                is_known &= failure == Failure::IsGone;
                continue;
            }
        }
        running.push((place.clone(), Box::pin(counter.ask(&channels, &config))));
    }
    let mut sums: Option<Vec<u32>> = None;
    let mut failed = Vec::new();
    poll_fn(|context| {
        running.retain_mut(|(place, one)| match one.as_mut().poll(context) {
            Poll::Ready(Ok(counts)) => {
                let sums = sums.get_or_insert_with(|| vec![0; counts.len()]);
                sums.iter_mut().zip(counts).for_each(|(sum, count)| *sum = sum.saturating_add(count));
                false
            }
            Poll::Ready(Err(failure)) => {
                is_known &= failure == Failure::IsGone;
                failed.push((place.clone(), failure));
                false
            }
            Poll::Pending => true,
        });
        if running.is_empty() { Poll::Ready(()) } else { Poll::Pending }
    })
    .await;
    drop(running);
    let sums = sums.filter(|_| is_known);
    let counts = questions
        .iter()
        .enumerate()
        .map(|(position, (ask, _))| (*ask, sums.as_ref().and_then(|sums| sums.get(position)).copied()));
    let counts = counts.collect();
    (counters, failed, counts)
}

impl Counter {
    /// The numbers of subscribers of this node, one for each channel.
    async fn ask(&mut self, channels: &[&str], config: &AsyncConnectionConfig) -> Result<Vec<u32>, Failure> {
        let had_connection = self.connection.is_some();
        let mut answer = self.try_to_ask(channels, config).await;
        if had_connection && answer.as_ref().is_err_and(RedisError::is_connection_dropped) {
            // Only another attempt to connect tells whether somebody is there.
            self.connection = None;
            answer = self.try_to_ask(channels, config).await;
        }
        let failure = |error: RedisError| {
            if error.is_connection_refusal() { Failure::IsGone } else { Failure::Unknown }
        };
        let counts = answer.map_err(failure)?;
        self.failed = None;
        Ok(counts)
    }

    async fn try_to_ask(
        &mut self,
        channels: &[&str],
        config: &AsyncConnectionConfig,
    ) -> Result<Vec<u32>, RedisError> {
        let connection = match &mut self.connection {
            Some(connection) => connection,
            none => none.insert(self.client.get_multiplexed_async_connection_with_config(config).await?),
        };
        let mut ask = redis::pipe();
        for channel in channels {
            let mut count = cmd("PUBSUB");
            count.arg("NUMSUB").arg(channel);
            ask.add_command(count);
        }
        let answers = connection.send_packed_commands(ask.ignore_errors(), 0, channels.len()).await?;
        answers.into_iter().map(subscribers).collect()
    }
}

/// The number in an answer to `PUBSUB NUMSUB` about one channel.
pub(crate) fn subscribers(answer: Value) -> Result<u32, RedisError> {
    let counts: HashMap<String, u32> = from_redis_value(answer.extract_error()?)?;
    Ok(counts.into_values().next().unwrap_or(0))
}
