//! The reader of a stream, on a connection of its own: it waits in `XREAD`, and nothing else could be asked meanwhile.

use crate::Settings;
use crate::connection::{LostError, config};
use redis::aio::MultiplexedConnection;
use redis::{Client, RedisError, Value, cmd};
use sansocket_runtime::adapter::BoxFuture;
use sansocket_runtime::cluster::{BusLink, EntryId, StreamEntry};
use std::task::{Context, Poll, ready};
use std::time::Duration;

/// The time that one `XREAD` waits. Redis may not notice earlier that the node is gone.
const BLOCK: Duration = Duration::from_secs(2);
/// The most entries of one answer.
const COUNT: usize = 100;

struct Page {
    connection: MultiplexedConnection,
    /// The id of the last entry that was read.
    last: String,
    entries: Vec<StreamEntry>,
}

/// The reader of one stream.
pub(crate) struct Reading {
    stream: String,
    /// The end of the stream is known: nothing that is appended from now on is missed.
    has_begun: bool,
    page: BoxFuture<Result<Page, RedisError>>,
}

impl Reading {
    /// Reads from the present end of the stream.
    pub(crate) fn new(client: &Client, settings: Settings, stream: String) -> Self {
        let client = client.clone();
        let name = stream.clone();
        Self { stream, has_begun: false, page: Box::pin(async move { begin(client, settings, name).await }) }
    }

    pub(crate) fn is_of(&self, stream: &str) -> bool {
        self.stream == stream
    }

    pub(crate) fn has_begun(&self) -> bool {
        self.has_begun
    }

    /// Hands over what has come. Ready after each page, and with an error if the connection is lost.
    pub(crate) fn poll(
        &mut self,
        link: &mut BusLink,
        context: &mut Context<'_>,
    ) -> Poll<Result<(), LostError>> {
        let page = ready!(self.page.as_mut().poll(context))?;
        if !self.has_begun {
            self.has_begun = true;
            link.reads_from(page.last.parse().unwrap_or(EntryId::default()));
        }
        for entry in &page.entries {
            link.entry(&entry.id, entry.fields());
        }
        let (connection, last, stream) = (page.connection, page.last, self.stream.clone());
        self.page = Box::pin(read(connection, stream, last));
        Poll::Ready(Ok(()))
    }
}

/// Finds the end of the stream by its last entry: `$` would mean another end in each `XREAD` until something came.
async fn begin(client: Client, settings: Settings, stream: String) -> Result<Page, RedisError> {
    let config = config(&settings).set_response_timeout(Some(BLOCK + settings.timeout));
    let mut connection = client.get_multiplexed_async_connection_with_config(&config).await?;
    let mut ask = cmd("XREVRANGE");
    ask.arg(&stream).arg("+").arg("-").arg("COUNT").arg(1);
    let answer = connection.send_packed_command(&ask).await?;
    let last = match entries(answer).pop() {
        Some(entry) => entry.id,
        None => "0-0".to_owned(),
    };
    Ok(Page { connection, last, entries: Vec::new() })
}

async fn read(
    mut connection: MultiplexedConnection,
    stream: String,
    mut last: String,
) -> Result<Page, RedisError> {
    let mut ask = cmd("XREAD");
    ask.arg("COUNT").arg(COUNT).arg("BLOCK").arg(BLOCK.as_millis() as u64);
    ask.arg("STREAMS").arg(&stream).arg(&last);
    let answer = connection.send_packed_command(&ask).await?.extract_error()?;
    let mut page = Vec::new();
    page.extend(streams(answer).into_iter().flat_map(entries));
    if let Some(entry) = page.last() {
        last.clone_from(&entry.id);
    }
    Ok(Page { connection, last, entries: page })
}

/// The entries of each stream in an answer to `XREAD`: in RESP3 a map.
fn streams(answer: Value) -> Vec<Value> {
    match answer {
        Value::Map(streams) => streams.into_iter().map(|(_, entries)| entries).collect(),
        Value::Array(streams) => streams
            .into_iter()
            .filter_map(|stream| match stream {
                Value::Array(mut pair) => pair.pop(),
                _ => None,
            })
            .collect(),
        _ => Vec::new(),
    }
}

/// The entries of an answer.
pub(crate) fn entries(answer: Value) -> Vec<StreamEntry> {
    let Value::Array(entries) = answer else { return Vec::new() };
    entries.into_iter().filter_map(entry).collect()
}

fn entry(value: Value) -> Option<StreamEntry> {
    let Value::Array(parts) = value else { return None };
    let mut parts = parts.into_iter();
    let id = String::from_utf8(bytes(parts.next()?)?).ok()?;
    let Some(Value::Array(fields)) = parts.next() else {
        return Some(StreamEntry { id, fields: Vec::new() });
    };
    let mut fields = fields.into_iter();
    let mut pairs = Vec::new();
    while let (Some(name), Some(value)) = (fields.next().and_then(bytes), fields.next().and_then(bytes)) {
        pairs.push((name, value));
    }
    Some(StreamEntry { id, fields: pairs })
}

pub(crate) fn bytes(value: Value) -> Option<Vec<u8>> {
    match value {
        Value::BulkString(bytes) => Some(bytes),
        Value::SimpleString(text) => Some(text.into_bytes()),
        _ => None,
    }
}
