//! One connection to Redis, from its beginning to its loss.

mod commands;

use self::commands::{Question, answered};
use crate::cluster::{self, Known, Nodes};
use crate::counting::Counting;
use crate::inbox::{Inbox, Pushed};
use crate::links::{Answer, Answers, Batch, Links};
use crate::stream::{ReadTo, Reading};
use crate::{Kind, RedisBus, Settings};
use redis::{AsyncConnectionConfig, PushInfo, RedisError, ServerError, ServerErrorKind, Value, cmd};
use sansocket_runtime::adapter::{BoxFuture, Timer};
use sansocket_runtime::cluster::{BusLink, NodeTransmit};
use std::collections::BTreeMap;
use std::future::poll_fn;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;
use thiserror::Error;

/// The most commands that go out at once.
const BATCH: usize = 128;
/// The most messages that come in before others have a turn.
const TURN: usize = 256;
/// The time after which a connection has proved itself: the next wait is a short one.
const STEADY: Duration = Duration::from_secs(5);

/// Why a connection has ended.
pub(crate) enum Ended {
    /// The node is closed, and everything is said.
    Closed,
    Lost(LostError),
}

/// Why the connection was lost.
#[derive(Debug, Error)]
pub(crate) enum LostError {
    #[error("Redis: {0}")]
    Redis(#[from] RedisError),
    #[error("Redis has closed the connection")]
    Disconnected,
    #[error("no Sentinel knows a master of {0:?}")]
    NoMaster(String),
    #[error("this Redis is not the master any more")]
    Replica,
    #[error("more than {0} bytes of messages wait for this node: it does not keep up")]
    TooMuch(usize),
    #[error("no node of the Redis Cluster names the masters of all slots that are needed")]
    NoTopology,
    #[error("the Redis Cluster is down, or most of its masters are out of reach for the node that was asked")]
    ClusterDown,
    #[error("slots of the Redis Cluster have moved to other nodes")]
    Moved,
}

/// The state that the bus keeps from one connection to the next.
#[derive(Default)]
pub(crate) struct Past {
    /// The place up to which a stream was read.
    read: Option<ReadTo>,
    known: Known,
}

/// A batch of commands that is under way: the connections, and their answers.
type Writing = BoxFuture<(Links, Result<Answers, RedisError>)>;

struct Connection<'a> {
    bus: &'a RedisBus,
    inbox: Arc<Inbox>,
    /// Not there while a batch is under way.
    idle: Option<Links>,
    writing: Option<Writing>,
    /// The questions in that batch: the place of the answer to each.
    asked: Vec<(Answer, Question)>,
    /// The commands that have to wait for the answers to that batch.
    held: Option<NodeTransmit>,
    timer: Box<dyn Timer>,
    /// The reader of a stream, on a connection of its own.
    reading: Option<Reading>,
    /// Of a cluster.
    nodes: Option<Nodes>,
    counting: Counting,
    /// The channels of sharded pub/sub that are unsubscribed, each as often as that is not confirmed.
    leaving: BTreeMap<String, u32>,
    past: &'a mut Past,
}

/// Connects, and serves until the connection is lost. `attempt` is set to 0 if it has lasted for some seconds.
pub(crate) async fn serve(bus: &RedisBus, link: &mut BusLink, attempt: &mut u32, past: &mut Past) -> Ended {
    let inbox = Arc::new(Inbox::new(bus.settings.max_waiting_bytes));
    let pushed = inbox.clone();
    let push = move |info: PushInfo| {
        pushed.push(info);
        Ok::<(), std::convert::Infallible>(())
    };
    let config = config(&bus.settings).set_push_sender(push);
    let connected = Links::connect(bus, config, &past.known, *attempt).await;
    past.known.forget_redirection();
    let (links, nodes) = match connected {
        Ok(connected) => connected,
        Err(error) => return Ended::Lost(error),
    };
    let runtime = link.runtime();
    let since = runtime.now();
    let timer = runtime.timer(runtime.now() + bus.settings.ping_interval);
    link.up();
    let mut connection = Connection {
        bus,
        inbox,
        idle: Some(links),
        writing: None,
        asked: Vec::new(),
        held: None,
        timer,
        reading: None,
        nodes,
        counting: Counting::default(),
        leaving: BTreeMap::new(),
        past,
    };
    let served = poll_fn(|context| connection.poll(link, context)).await;
    if let Some(nodes) = connection.nodes.take() {
        nodes.end(&mut connection.past.known);
    }
    // A peer that accepts and hangs up is no reason to try without a pause.
    if link.runtime().now() >= since + STEADY {
        *attempt = 0;
    }
    match served {
        Ok(()) => Ended::Closed,
        Err(error) => {
            if let LostError::Redis(error) = &error {
                past.known.redirected(error);
            }
            Ended::Lost(error)
        }
    }
}

pub(crate) fn config(settings: &Settings) -> AsyncConnectionConfig {
    AsyncConnectionConfig::new()
        .set_connection_timeout(Some(settings.timeout))
        .set_response_timeout(Some(settings.timeout))
}

impl Connection<'_> {
    /// Ready once the node is closed, or the connection is lost.
    fn poll(&mut self, link: &mut BusLink, context: &mut Context<'_>) -> Poll<Result<(), LostError>> {
        for _ in 0..TURN {
            let mut is_at_rest = !self.poll_pushed(link, context)?;
            if let Some(reading) = &mut self.reading {
                if let Poll::Ready(read) = reading.poll(link, context) {
                    read?;
                    self.past.read = reading.read_to();
                    is_at_rest = false;
                }
            }
            if self.writing.is_none() && !self.is_reader_late() {
                self.ask_about_cluster_if_due(link, context);
            }
            if self.writing.is_none() && !self.is_reader_late() {
                let next =
                    self.held.take().map_or_else(|| link.poll_next(context), |held| Poll::Ready(Some(held)));
                match next {
                    Poll::Ready(Some(transmit)) => {
                        self.begin(link, transmit)?;
                        is_at_rest = false;
                    }
                    Poll::Ready(None) => return Poll::Ready(Ok(())),
                    Poll::Pending => self.ping_if_quiet(link, context),
                }
            }
            if self.writing.is_some() {
                if let Poll::Ready(written) = self.poll_writing(link, context) {
                    written?;
                    is_at_rest = false;
                }
            }
            if let Poll::Ready(counts) = self.counting.poll(context, || link.runtime().now()) {
                counts.into_iter().for_each(|(ask, count)| link.counted(ask, count));
                self.count(link);
                is_at_rest = false;
            }
            if is_at_rest {
                return Poll::Pending;
            }
        }
        context.waker().wake_by_ref();
        Poll::Pending
    }

    /// Hands over what Redis has pushed. Returns whether that was something.
    fn poll_pushed(&mut self, link: &mut BusLink, context: &Context<'_>) -> Result<bool, LostError> {
        match self.inbox.poll(context) {
            Poll::Ready(Pushed::Message { channel, payload }) => link.message(&channel, payload),
            Poll::Ready(Pushed::Unsubscribed(channel)) => {
                // An answer that nobody has asked for says that its slot has moved.
                let Some(left) = self.leaving.get_mut(&channel) else { return Err(LostError::Moved) };
                *left -= 1;
                if *left == 0 {
                    self.leaving.remove(&channel);
                }
            }
            Poll::Ready(Pushed::Disconnected) => return Err(LostError::Disconnected),
            Poll::Ready(Pushed::TooMuch) => {
                return Err(LostError::TooMuch(self.bus.settings.max_waiting_bytes));
            }
            Poll::Pending => return Ok(false),
        }
        Ok(true)
    }

    /// Reads a stream. Each namespace asks for it: a new reader would lose what came since the last page.
    fn begin_to_read(&mut self, stream: String, node: usize) {
        if !self.reading.as_ref().is_some_and(|reading| reading.is_of(&stream)) {
            let Some(links) = &self.idle else { return };
            let read = self.past.read.as_ref().filter(|(of, _)| *of == stream).map(|(_, id)| *id);
            self.reading = Some(Reading::new(links.client(node), self.bus.settings, stream, read));
        }
    }

    /// Whether a reader does not know the end of its stream yet. What is appended must leave after that, or its answers
    /// could come before the place from which is read.
    fn is_reader_late(&self) -> bool {
        self.reading.as_ref().is_some_and(|reading| !reading.has_begun())
    }

    /// Begins to write a batch.
    fn begin(&mut self, link: &mut BusLink, first: NodeTransmit) -> Result<(), LostError> {
        let mut batch = Batch::default();
        let mut next = Some(first);
        let mut has_subscribed = false;
        while let Some(transmit) = next {
            let is_subscription =
                matches!(transmit, NodeTransmit::Subscribe(_) | NodeTransmit::Unsubscribe(_));
            if self.nodes.is_some() && has_subscribed && !is_subscription {
                // Another node may have it, and would be faster than the one that subscribes.
                self.held = Some(transmit);
                break;
            }
            has_subscribed |= is_subscription;
            self.add(&mut batch, transmit)?;
            next = if batch.len() < BATCH && !self.is_reader_late() { link.try_next() } else { None };
        }
        if batch.len() > 0 {
            self.write(batch);
        } else {
            self.count(link);
        }
        Ok(())
    }

    fn write(&mut self, batch: Batch) {
        let Some(links) = self.idle.take() else { return };
        self.writing = Some(Box::pin(links.send(batch)));
    }

    /// Asks for the counts that wait, if everything before them has left.
    fn count(&mut self, link: &BusLink) {
        if let (Some(nodes), None) = (&self.nodes, &self.writing) {
            let now = link.runtime().now();
            self.counting.begin(&self.bus.client, &self.bus.settings, &nodes.now, now);
        }
    }

    fn poll_writing(&mut self, link: &mut BusLink, context: &mut Context<'_>) -> Poll<Result<(), LostError>> {
        let Some(writing) = &mut self.writing else { return Poll::Pending };
        let (links, answers) = ready!(writing.as_mut().poll(context));
        self.writing = None;
        self.idle = Some(links);
        if self.nodes.is_none() {
            let now = link.runtime().now();
            self.timer.reset(now + self.bus.settings.ping_interval);
        }
        let answers = match answers {
            Ok(answers) => answers,
            Err(error) => return Poll::Ready(Err(error.into())),
        };
        for answer in answers.all() {
            if let Value::ServerError(error) = answer {
                self.refused(link, error)?;
            }
        }
        for (place, question) in std::mem::take(&mut self.asked) {
            if let Question::Cluster = question {
                self.hear_about_cluster(answers.from(place))?;
            } else {
                answered(link, question, &answers, place);
            }
        }
        self.count(link);
        Poll::Ready(Ok(()))
    }

    /// Tells that a command was refused, or ends the connection if that says that another node has what it needs.
    fn refused(&self, link: &mut BusLink, error: &ServerError) -> Result<(), LostError> {
        use ServerErrorKind::{Ask, ClusterDown, MasterDown, Moved, ReadOnly};
        let redis_error = RedisError::from(error.clone());
        match error.kind() {
            // Its slot is on its way to another node. That of a session is no reason to lose the bus: all else is where it was.
            Some(Ask) if self.nodes.as_ref().is_some_and(|nodes| !nodes.needs(&redis_error)) => {
                link.refused(format!("{redis_error}: its slot is being moved to another node"));
            }
            Some(Moved | Ask | ClusterDown | MasterDown | ReadOnly) if self.nodes.is_some() => {
                return Err(redis_error.into());
            }
            Some(Moved | Ask) => {
                let what =
                    "it is a node of a Redis Cluster, so the scheme of its address has to end in `+cluster`";
                link.refused(format!("{redis_error}: {what}"));
            }
            _ => link.refused(redis_error),
        }
        Ok(())
    }

    /// Tries whether the connection is still there, if it has been quiet for long.
    fn ping_if_quiet(&mut self, link: &mut BusLink, context: &mut Context<'_>) {
        if self.nodes.is_none() && self.timer.poll_elapsed(context).is_ready() {
            let now = link.runtime().now();
            self.timer.reset(now + self.bus.settings.ping_interval);
            let mut ping = Batch::default();
            ping.add(0, cmd("PING"));
            self.write(ping);
        }
    }

    /// Tries each connection to a cluster from time to time, and asks whether its slots are where they were.
    fn ask_about_cluster_if_due(&mut self, link: &BusLink, context: &mut Context<'_>) {
        let (Some(nodes), Some(links)) = (&self.nodes, &self.idle) else { return };
        if self.timer.poll_elapsed(context).is_pending() {
            return;
        }
        self.timer.reset(link.runtime().now() + self.bus.settings.ping_interval);
        let mut batch = Batch::default();
        for node in links.connected() {
            batch.add(node, cmd("PING"));
        }
        self.asked.push((batch.next(nodes.home), Question::Cluster));
        for ask in cluster::about() {
            batch.add(nodes.home, ask);
        }
        self.write(batch);
    }

    fn hear_about_cluster(&mut self, answers: &[Value]) -> Result<(), LostError> {
        let Some(nodes) = &mut self.nodes else { return Ok(()) };
        // A user who may not ask learns of it when a command fails.
        let [slots @ Value::Array(_), info, ..] = answers else { return Ok(()) };
        if cluster::is_useless(info.clone(), self.bus.kind == Kind::Streams) {
            return Err(LostError::ClusterDown);
        }
        if nodes.have_moved(slots.clone()) { Err(LostError::Moved) } else { Ok(()) }
    }
}
