//! The reader of a stream, on a connection of its own: it waits in `XREAD`, and nothing else could be asked meanwhile.

use crate::Settings;
use crate::connection::{LostError, config};
use redis::aio::MultiplexedConnection;
use redis::{Client, Cmd, RedisError, Value, cmd};
use sansocket_runtime::adapter::BoxFuture;
use sansocket_runtime::cluster::{BusLink, EntryId, StreamEntry};
use std::task::{Context, Poll, ready};
use std::time::Duration;

/// The time that one `XREAD` waits. Redis may not notice earlier that the node is gone.
const BLOCK: Duration = Duration::from_secs(2);
/// The most entries of one answer.
const COUNT: usize = 100;

/// The place up to which a stream was read: its name, and the id of the last entry.
pub(crate) type ReadTo = (String, EntryId);

struct Page {
    connection: MultiplexedConnection,
    /// Behind which entry these are.
    after: EntryId,
    /// The stream may not hold all any more that came behind the last one which was read.
    has_gap: bool,
    entries: Vec<StreamEntry>,
}

/// The reader of one stream.
pub(crate) struct Reading {
    stream: String,
    /// The last entry that was handed over; `None` before it is known where to begin.
    last: Option<EntryId>,
    page: BoxFuture<Result<Page, RedisError>>,
}

impl Reading {
    /// Reads on from where it was read last, or else from the present end of the stream.
    pub(crate) fn new(client: &Client, settings: Settings, stream: String, read: Option<EntryId>) -> Self {
        let client = client.clone();
        let name = stream.clone();
        Self { stream, last: None, page: Box::pin(async move { begin(client, settings, name, read).await }) }
    }

    pub(crate) fn is_of(&self, stream: &str) -> bool {
        self.stream == stream
    }

    /// The place is known from which it reads: nothing that is appended from now on is missed.
    pub(crate) fn has_begun(&self) -> bool {
        self.last.is_some()
    }

    /// The place up to which it has read.
    pub(crate) fn read_to(&self) -> Option<ReadTo> {
        Some((self.stream.clone(), self.last?))
    }

    /// Hands over what has come. Ready after each page, and with an error if the connection is lost.
    pub(crate) fn poll(
        &mut self,
        link: &mut BusLink,
        context: &mut Context<'_>,
    ) -> Poll<Result<(), LostError>> {
        let Page { connection, after, has_gap, entries } = ready!(self.page.as_mut().poll(context))?;
        if has_gap {
            link.stream_gap();
        }
        if self.last.is_none() {
            link.reads_from(after);
        }
        let mut last = after;
        for entry in &entries {
            link.entry(&entry.id, entry.fields());
            last = entry.id.parse().unwrap_or(last);
        }
        self.last = Some(last);
        let (stream, is_behind) = (self.stream.clone(), entries.len() >= COUNT);
        self.page = Box::pin(read(connection, stream, last, is_behind));
        Poll::Ready(Ok(()))
    }
}

/// Finds the place from which to read. The end of the stream is its last entry: `$` would mean another end in each `XREAD`
/// until something came.
async fn begin(
    client: Client,
    settings: Settings,
    stream: String,
    read: Option<EntryId>,
) -> Result<Page, RedisError> {
    let config = config(&settings).set_response_timeout(Some(BLOCK + settings.timeout));
    let mut connection = client.get_multiplexed_async_connection_with_config(&config).await?;
    let mut ask = redis::pipe();
    let mut newest = cmd("XREVRANGE");
    newest.arg(&stream).arg("+").arg("-").arg("COUNT").arg(1);
    ask.add_command(newest);
    ask.add_command(held(&stream, read.unwrap_or_default()));
    let mut answers = connection.send_packed_commands(ask.ignore_errors(), 0, 2).await?.into_iter();
    let newest = entries(answers.next().unwrap_or(Value::Nil).extract_error()?).pop();
    let newest = newest.and_then(|entry| entry.id.parse().ok());
    let is_held = answers.next().is_some_and(is_held);
    let (after, has_gap) = place(read, is_held, newest.unwrap_or_default());
    Ok(Page { connection, after, has_gap, entries: Vec::new() })
}

/// Where to read on, and whether there may be a gap: from the last entry that was read, whether or not the stream still
/// holds it, so that nothing comes twice. If it has begun anew, its entries have ids of before, or will: then from its end.
fn place(read: Option<EntryId>, is_held: bool, newest: EntryId) -> (EntryId, bool) {
    match read {
        None => (newest, false),
        Some(read) if is_held => (read, false),
        Some(read) => (if newest > read { read } else { newest }, true),
    }
}

/// Asks for one entry.
fn held(stream: &str, id: EntryId) -> Cmd {
    let (mut ask, id) = (cmd("XRANGE"), id.to_string());
    ask.arg(stream).arg(&id).arg(&id);
    ask
}

/// Whether it is there. It counts as gone if one may not ask.
fn is_held(answer: Value) -> bool {
    !entries(answer).is_empty()
}

async fn read(
    mut connection: MultiplexedConnection,
    stream: String,
    after: EntryId,
    is_behind: bool,
) -> Result<Page, RedisError> {
    let mut ask = redis::pipe();
    // Those who are behind may be overtaken by the end that is cut off.
    if is_behind {
        ask.add_command(held(&stream, after));
    }
    let mut next = cmd("XREAD");
    next.arg("COUNT").arg(COUNT).arg("BLOCK").arg(BLOCK.as_millis() as u64);
    next.arg("STREAMS").arg(&stream).arg(after.to_string());
    ask.add_command(next);
    let count = ask.len();
    let mut answers = connection.send_packed_commands(ask.ignore_errors(), 0, count).await?;
    let answer = answers.pop().unwrap_or(Value::Nil).extract_error()?;
    let has_gap = answers.pop().is_some_and(|answer| !is_held(answer));
    let page = streams(answer).into_iter().flat_map(entries).collect();
    Ok(Page { connection, after, has_gap, entries: page })
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reader_goes_on_where_it_was_and_begins_anew_with_a_stream_that_did() {
        let id = |milliseconds| EntryId::new(milliseconds, 0);
        assert_eq!(place(None, false, id(7)), (id(7), false));
        assert_eq!(place(Some(id(5)), true, id(7)), (id(5), false));
        assert_eq!(place(Some(id(7)), true, id(7)), (id(7), false));
        // Its end was cut off meanwhile.
        assert_eq!(place(Some(id(5)), false, id(7)), (id(5), true));
        // Its entries are gone, and ids may begin below.
        assert_eq!(place(Some(id(5)), false, id(3)), (id(3), true));
        assert_eq!(place(Some(id(5)), false, EntryId::default()), (EntryId::default(), true));
    }
}
