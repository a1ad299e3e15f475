//! The commands for what the node wants, and what the answers to them mean.

use super::{Connection, LostError};
use crate::Kind;
use crate::counting::subscribers;
use crate::links::{Answer, Answers, Batch};
use crate::stream::{bytes, entries};
use redis::{Cmd, Value, cmd};
use sansocket_runtime::cluster::{AskId, BusLink, LookupId, NodeTransmit, Subscription};

/// A command whose answer is of interest.
pub(super) enum Question {
    Count(AskId),
    Appended(u64),
    /// The answer to an `EXEC`, behind a `GET` and a `DEL`; and the place of that to an `XRANGE`.
    Taken(LookupId, Answer),
    Page(LookupId),
    /// Two answers about a cluster.
    Cluster,
}

impl Connection<'_> {
    /// Adds what the node wants to a batch.
    pub(super) fn add(&mut self, batch: &mut Batch, transmit: NodeTransmit) -> Result<(), LostError> {
        let is_sharded = self.bus.kind == Kind::Sharded;
        match transmit {
            NodeTransmit::Publish(published) => {
                let mut publish = cmd(if is_sharded { "SPUBLISH" } else { "PUBLISH" });
                publish.arg(&published.channel).arg(&published.payload[..]);
                batch.add(self.of_channel(&published.channel)?, publish);
            }
            NodeTransmit::Subscribe(Subscription::Stream(stream)) => {
                let node = self.of_key(&stream)?;
                self.begin_to_read(stream, node);
            }
            NodeTransmit::Unsubscribe(Subscription::Stream(_)) => {
                self.reading = None;
                // Nobody has asked for what comes now.
                self.past.read = None;
            }
            NodeTransmit::Subscribe(subscription) => {
                self.add_subscription(batch, subscription, "")?;
            }
            NodeTransmit::Unsubscribe(subscription) => {
                if let (true, Subscription::Channel(channel)) = (is_sharded, &subscription) {
                    *self.leaving.entry(channel.clone()).or_default() += 1;
                }
                self.add_subscription(batch, subscription, "UN")?;
            }
            NodeTransmit::Count { channel, ask } => {
                // All nodes of a cluster pass on what is published, and count their own subscribers.
                if self.nodes.is_some() && !is_sharded {
                    self.counting.ask(ask, channel);
                    return Ok(());
                }
                let mut count = cmd("PUBSUB");
                count.arg(if is_sharded { "SHARDNUMSUB" } else { "NUMSUB" }).arg(&channel);
                let node = self.of_channel(&channel)?;
                self.add_question(batch, node, count, Question::Count(ask));
            }
            NodeTransmit::Append { stream, fields, ticket } => {
                let mut append = cmd("XADD");
                append.arg(&stream).arg("MAXLEN").arg("~").arg(self.bus.settings.max_stream_length).arg("*");
                for (name, value) in fields {
                    append.arg(name).arg(value);
                }
                let node = self.of_key(&stream)?;
                match ticket {
                    Some(ticket) => self.add_question(batch, node, append, Question::Appended(ticket)),
                    None => batch.add(node, append),
                }
            }
            NodeTransmit::Save { key, value, time } => {
                let mut set = cmd("SET");
                set.arg(&key)
                    .arg(&value[..])
                    .arg("PX")
                    .arg(u64::try_from(time.as_millis()).unwrap_or(u64::MAX));
                batch.add(self.of_session(&key)?, set);
            }
            NodeTransmit::Take { key, stream, offset, lookup } => {
                let (of_session, of_stream) = (self.of_session(&key)?, self.of_key(&stream)?);
                // One command does both since Redis 6.2 only.
                batch.add(of_session, cmd("MULTI"));
                for name in ["GET", "DEL"] {
                    let mut command = cmd(name);
                    command.arg(&key);
                    batch.add(of_session, command);
                }
                let value = batch.next(of_session);
                batch.add(of_session, cmd("EXEC"));
                self.asked.push((value, Question::Taken(lookup, batch.next(of_stream))));
                let (mut range, offset) = (cmd("XRANGE"), offset.to_string());
                range.arg(stream).arg(&offset).arg(&offset);
                batch.add(of_stream, range);
            }
            NodeTransmit::Page { stream, from, count, lookup } => {
                let mut range = cmd("XRANGE");
                range.arg(&stream).arg(from.to_string()).arg("+").arg("COUNT").arg(count);
                let node = self.of_key(&stream)?;
                self.add_question(batch, node, range, Question::Page(lookup));
            }
            // Of dialects that are not for Redis.
            _ => {}
        }
        Ok(())
    }

    fn add_question(&mut self, batch: &mut Batch, node: usize, command: Cmd, question: Question) {
        self.asked.push((batch.next(node), question));
        batch.add(node, command);
    }

    fn add_subscription(
        &mut self,
        batch: &mut Batch,
        subscription: Subscription,
        un: &str,
    ) -> Result<(), LostError> {
        let is_sharded = self.bus.kind == Kind::Sharded;
        let (letter, name, node) = match subscription {
            Subscription::Channel(name) => {
                let node = self.of_channel(&name)?;
                (if is_sharded { "S" } else { "" }, name, node)
            }
            Subscription::Pattern(name) => ("P", name, self.home()),
            Subscription::Stream(name) => ("", name, self.home()),
        };
        let mut command = cmd(&format!("{letter}{un}SUBSCRIBE"));
        command.arg(name);
        batch.add(node, command);
        Ok(())
    }

    /// The position of the node that has a channel: one of many for sharded pub/sub in a cluster.
    fn of_channel(&mut self, channel: &str) -> Result<usize, LostError> {
        if self.bus.kind == Kind::Sharded { self.of_key(channel) } else { Ok(self.home()) }
    }

    /// The position of the node that has a key.
    fn of_key(&mut self, key: &str) -> Result<usize, LostError> {
        match &mut self.nodes {
            Some(nodes) => nodes.master(key).ok_or(LostError::NoTopology),
            None => Ok(0),
        }
    }

    /// The same for the key of a session: the slots of all sessions are all slots.
    fn of_session(&self, key: &str) -> Result<usize, LostError> {
        match &self.nodes {
            Some(nodes) => nodes.master_once(key).ok_or(LostError::NoTopology),
            None => Ok(0),
        }
    }

    fn home(&self) -> usize {
        self.nodes.as_ref().map_or(0, |nodes| nodes.home)
    }
}

/// Tells the node an answer.
pub(super) fn answered(link: &mut BusLink, question: Question, answers: &Answers, place: Answer) {
    let answer = |place| answers.from(place).first().cloned().unwrap_or(Value::Nil);
    let value = answer(place);
    match question {
        Question::Count(ask) => link.counted(ask, subscribers(value).ok()),
        Question::Appended(ticket) => {
            if let Value::ServerError(_) = value {
                link.not_appended(ticket);
            }
        }
        Question::Taken(lookup, range) => {
            let value = match value {
                Value::Array(values) => values.into_iter().next().and_then(bytes),
                _ => None,
            };
            let has_offset = !entries(answer(range)).is_empty();
            link.taken(lookup, value.as_deref(), has_offset);
        }
        Question::Page(lookup) => link.page(lookup, &entries(value)),
        // Not of the node.
        Question::Cluster => {}
    }
}
