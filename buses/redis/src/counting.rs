//! The number of subscribers in a cluster: each node knows its own only, replicas among them.

use crate::Settings;
use crate::cluster::client_at;
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

/// How long a node that could not be asked is left out.
const LEFT_OUT: Duration = Duration::from_secs(5);

/// What is asked: the number of a question, and the channel.
type Questions = Vec<(AskId, String)>;
type Outcome = (BTreeMap<Place, Counter>, Vec<(AskId, Option<u32>)>);

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
    failed_until: Option<Instant>,
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
                Some(Counter { client, connection: None, failed_until: None })
            });
            counters.extend(counter.map(|counter| (place.clone(), counter)));
        }
        let questions = std::mem::take(&mut self.waiting);
        self.running = Some(Box::pin(count(counters, questions, config(settings), now)));
    }

    /// The counts, once they are there.
    pub(crate) fn poll(&mut self, context: &mut Context<'_>) -> Poll<Vec<(AskId, Option<u32>)>> {
        let Some(running) = &mut self.running else { return Poll::Pending };
        let (counters, counts) = ready!(running.as_mut().poll(context));
        self.running = None;
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
    for (place, counter) in &mut counters {
        if counter.failed_until.is_some_and(|until| now < until) {
            continue;
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
            Poll::Ready(Err(_)) => {
                failed.push(place.clone());
                false
            }
            Poll::Pending => true,
        });
        if running.is_empty() { Poll::Ready(()) } else { Poll::Pending }
    })
    .await;
    drop(running);
    for place in failed {
        if let Some(counter) = counters.get_mut(&place) {
            (counter.connection, counter.failed_until) = (None, Some(now + LEFT_OUT));
        }
    }
    let counts = questions
        .iter()
        .enumerate()
        .map(|(position, (ask, _))| (*ask, sums.as_ref().and_then(|sums| sums.get(position)).copied()));
    let counts = counts.collect();
    (counters, counts)
}

impl Counter {
    /// The numbers of subscribers of this node, one for each channel.
    async fn ask(
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
