//! One connection to Redis, from its beginning to its loss.

use crate::inbox::{Inbox, Pushed};
use crate::sentinel::check_role;
use crate::stream::{ReadTo, Reading, bytes, entries};
use crate::{Kind, RedisBus, Settings};
use redis::aio::MultiplexedConnection;
use redis::{
    AsyncConnectionConfig, Client, Cmd, Pipeline, PushInfo, RedisError, Value, cmd, from_redis_value,
};
use sansocket_runtime::adapter::{BoxFuture, Timer};
use sansocket_runtime::cluster::{AskId, BusLink, LookupId, NodeTransmit, Subscription};
use std::collections::HashMap;
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
}

/// A batch of commands that is under way: the connection, and their answers.
type Writing = BoxFuture<(MultiplexedConnection, Result<Vec<Value>, RedisError>)>;

/// A command whose answer is of interest.
enum Question {
    Count(AskId),
    Appended(u64),
    /// Behind it are a `GET`, a `DEL` and an `EXEC`, whose answer is this one, and an `XRANGE`.
    Taken(LookupId),
    Page(LookupId),
}

struct Connection<'a> {
    bus: &'a RedisBus,
    client: Client,
    inbox: Arc<Inbox>,
    /// Not there while a batch is under way.
    idle: Option<MultiplexedConnection>,
    writing: Option<Writing>,
    /// The questions in that batch: the position of the answer to each.
    asked: Vec<(usize, Question)>,
    timer: Box<dyn Timer>,
    /// The reader of a stream, on a connection of its own.
    reading: Option<Reading>,
    /// The place up to which a stream was read, here or before.
    read: &'a mut Option<ReadTo>,
}

/// Connects, and serves until the connection is lost. `attempt` is set to 0 if it has lasted for some seconds.
pub(crate) async fn serve(
    bus: &RedisBus,
    link: &mut BusLink,
    attempt: &mut u32,
    read: &mut Option<ReadTo>,
) -> Ended {
    let inbox = Arc::new(Inbox::new(bus.settings.max_waiting_bytes));
    let pushed = inbox.clone();
    let push = move |info: PushInfo| {
        pushed.push(info);
        Ok::<(), std::convert::Infallible>(())
    };
    let config = config(&bus.settings).set_push_sender(push);
    let (client, connected) = match connect(bus, &config).await {
        Ok(connected) => connected,
        Err(error) => return Ended::Lost(error),
    };
    let runtime = link.runtime();
    let since = runtime.now();
    let timer = runtime.timer(runtime.now() + bus.settings.ping_interval);
    link.up();
    let mut connection = Connection {
        bus,
        client,
        inbox,
        idle: Some(connected),
        writing: None,
        asked: Vec::new(),
        timer,
        reading: None,
        read,
    };
    let served = poll_fn(|context| connection.poll(link, context)).await;
    // A peer that accepts and hangs up is no reason to try without a pause.
    if link.runtime().now() >= since + STEADY {
        *attempt = 0;
    }
    match served {
        Ok(()) => Ended::Closed,
        Err(error) => Ended::Lost(error),
    }
}

/// Connects to the Redis of the address, or to the present master.
async fn connect(
    bus: &RedisBus,
    config: &AsyncConnectionConfig,
) -> Result<(Client, MultiplexedConnection), LostError> {
    let Some(sentinels) = &bus.sentinels else {
        let connected = bus.client.get_multiplexed_async_connection_with_config(config).await?;
        return Ok((bus.client.clone(), connected));
    };
    let client = sentinels.master(&bus.client, &bus.settings).await?;
    let mut connected = client.get_multiplexed_async_connection_with_config(config).await?;
    check_role(&mut connected).await?;
    Ok((client, connected))
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
            let mut is_at_rest = true;
            match self.inbox.poll(context) {
                Poll::Ready(Pushed::Message { channel, payload }) => {
                    link.message(&channel, payload);
                    is_at_rest = false;
                }
                Poll::Ready(Pushed::Disconnected) => return Poll::Ready(Err(LostError::Disconnected)),
                Poll::Ready(Pushed::TooMuch) => {
                    return Poll::Ready(Err(LostError::TooMuch(self.bus.settings.max_waiting_bytes)));
                }
                Poll::Pending => {}
            }
            if let Some(reading) = &mut self.reading {
                if let Poll::Ready(read) = reading.poll(link, context) {
                    read?;
                    *self.read = reading.read_to();
                    is_at_rest = false;
                }
            }
            if self.writing.is_none() && !self.is_reader_late() {
                match link.poll_next(context) {
                    Poll::Ready(Some(transmit)) => {
                        self.begin(link, transmit);
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
            if is_at_rest {
                return Poll::Pending;
            }
        }
        context.waker().wake_by_ref();
        Poll::Pending
    }

    /// Reads a stream. Each namespace asks for it: a new reader would lose what came since the last page.
    fn begin_to_read(&mut self, stream: String) {
        if !self.reading.as_ref().is_some_and(|reading| reading.is_of(&stream)) {
            let read = self.read.as_ref().filter(|(of, _)| *of == stream).map(|(_, id)| *id);
            self.reading = Some(Reading::new(&self.client, self.bus.settings, stream, read));
        }
    }

    /// Whether a reader does not know the end of its stream yet. What is appended must leave after that, or its answers
    /// could come before the place from which is read.
    fn is_reader_late(&self) -> bool {
        self.reading.as_ref().is_some_and(|reading| !reading.has_begun())
    }

    /// Begins to write a batch.
    fn begin(&mut self, link: &mut BusLink, first: NodeTransmit) {
        let mut batch = redis::pipe();
        let mut next = Some(first);
        while let Some(transmit) = next {
            self.add(&mut batch, transmit);
            next = if batch.len() < BATCH && !self.is_reader_late() { link.try_next() } else { None };
        }
        if batch.is_empty() {
            return;
        }
        self.write(batch);
    }

    fn write(&mut self, mut batch: Pipeline) {
        let Some(mut connection) = self.idle.take() else { return };
        // One command that Redis refuses, by an access rule say, is no reason to lose the others.
        batch.ignore_errors();
        self.writing = Some(Box::pin(async move {
            let answers = connection.send_packed_commands(&batch, 0, batch.len()).await;
            (connection, answers)
        }));
    }

    fn poll_writing(&mut self, link: &mut BusLink, context: &mut Context<'_>) -> Poll<Result<(), LostError>> {
        let Some(writing) = &mut self.writing else { return Poll::Pending };
        let (connection, answers) = ready!(writing.as_mut().poll(context));
        self.writing = None;
        self.idle = Some(connection);
        let now = link.runtime().now();
        self.timer.reset(now + self.bus.settings.ping_interval);
        let answers = match answers {
            Ok(answers) => answers,
            Err(error) => return Poll::Ready(Err(error.into())),
        };
        for answer in &answers {
            if let Value::ServerError(error) = answer {
                link.refused(RedisError::from(error.clone()));
            }
        }
        for (position, question) in std::mem::take(&mut self.asked) {
            answered(link, question, answers.get(position..).unwrap_or_default());
        }
        Poll::Ready(Ok(()))
    }

    /// Tries whether the connection is still there, if it has been quiet for long.
    fn ping_if_quiet(&mut self, link: &mut BusLink, context: &mut Context<'_>) {
        if self.timer.poll_elapsed(context).is_ready() {
            let now = link.runtime().now();
            self.timer.reset(now + self.bus.settings.ping_interval);
            let mut ping = redis::pipe();
            ping.add_command(cmd("PING"));
            self.write(ping);
        }
    }

    /// Adds what the node wants to a batch.
    fn add(&mut self, batch: &mut Pipeline, transmit: NodeTransmit) {
        let is_sharded = self.bus.kind == Kind::Sharded;
        match transmit {
            NodeTransmit::Publish(published) => {
                let mut publish = cmd(if is_sharded { "SPUBLISH" } else { "PUBLISH" });
                publish.arg(published.channel).arg(&published.payload[..]);
                batch.add_command(publish);
            }
            NodeTransmit::Subscribe(Subscription::Stream(stream)) => {
                self.begin_to_read(stream);
            }
            NodeTransmit::Unsubscribe(Subscription::Stream(_)) => {
                self.reading = None;
                // Nobody has asked for what comes now.
                *self.read = None;
            }
            NodeTransmit::Subscribe(subscription) => {
                batch.add_command(subscribe(is_sharded, subscription, ""));
            }
            NodeTransmit::Unsubscribe(subscription) => {
                batch.add_command(subscribe(is_sharded, subscription, "UN"));
            }
            NodeTransmit::Count { channel, ask } => {
                self.asked.push((batch.len(), Question::Count(ask)));
                let mut count = cmd("PUBSUB");
                count.arg(if is_sharded { "SHARDNUMSUB" } else { "NUMSUB" }).arg(channel);
                batch.add_command(count);
            }
            NodeTransmit::Append { stream, fields, ticket } => {
                self.asked.extend(ticket.map(|ticket| (batch.len(), Question::Appended(ticket))));
                let mut append = cmd("XADD");
                append.arg(stream).arg("MAXLEN").arg("~").arg(self.bus.settings.max_stream_length).arg("*");
                for (name, value) in fields {
                    append.arg(name).arg(value);
                }
                batch.add_command(append);
            }
            NodeTransmit::Save { key, value, time } => {
                let mut set = cmd("SET");
                set.arg(key)
                    .arg(&value[..])
                    .arg("PX")
                    .arg(u64::try_from(time.as_millis()).unwrap_or(u64::MAX));
                batch.add_command(set);
            }
            NodeTransmit::Take { key, stream, offset, lookup } => {
                // One command does both since Redis 6.2 only.
                batch.add_command(cmd("MULTI"));
                for name in ["GET", "DEL"] {
                    let mut command = cmd(name);
                    command.arg(&key);
                    batch.add_command(command);
                }
                self.asked.push((batch.len(), Question::Taken(lookup)));
                batch.add_command(cmd("EXEC"));
                let (mut range, offset) = (cmd("XRANGE"), offset.to_string());
                range.arg(stream).arg(&offset).arg(&offset);
                batch.add_command(range);
            }
            NodeTransmit::Page { stream, from, count, lookup } => {
                self.asked.push((batch.len(), Question::Page(lookup)));
                let mut range = cmd("XRANGE");
                range.arg(stream).arg(from.to_string()).arg("+").arg("COUNT").arg(count);
                batch.add_command(range);
            }
            // Of dialects that are not for Redis.
            _ => {}
        }
    }
}

/// Tells the node an answer, which is the first of these.
fn answered(link: &mut BusLink, question: Question, answers: &[Value]) {
    let answer = answers.first().cloned().unwrap_or(Value::Nil);
    match question {
        Question::Count(ask) => {
            let counts: Option<HashMap<String, u32>> = from_redis_value(answer).ok();
            link.counted(ask, counts.and_then(|counts| counts.into_values().next()));
        }
        Question::Appended(ticket) => {
            if let Value::ServerError(_) = answer {
                link.not_appended(ticket);
            }
        }
        Question::Taken(lookup) => {
            let value = match answer {
                Value::Array(values) => values.into_iter().next().and_then(bytes),
                _ => None,
            };
            let has_offset = answers.get(1).is_some_and(|found| !entries(found.clone()).is_empty());
            link.taken(lookup, value.as_deref(), has_offset);
        }
        Question::Page(lookup) => link.page(lookup, &entries(answer)),
    }
}

fn subscribe(is_sharded: bool, subscription: Subscription, un: &str) -> Cmd {
    let (letter, name) = match subscription {
        Subscription::Channel(name) => (if is_sharded { "S" } else { "" }, name),
        Subscription::Pattern(name) => ("P", name),
        Subscription::Stream(name) => ("", name),
    };
    let mut command = cmd(&format!("{letter}{un}SUBSCRIBE"));
    command.arg(name);
    command
}
