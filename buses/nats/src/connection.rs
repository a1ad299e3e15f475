//! One connection to NATS, from its beginning to its loss.

use crate::news::{News, Told};
use crate::parts::{LostPart, Parts, split};
use crate::{NatsBus, PING, TIMEOUT};
use async_nats::{Client, ConnectError, Message, PublishError, SubscribeError, Subscriber};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::Bytes;
use futures_core::Stream;
use sansocket_runtime::adapter::BoxFuture;
use sansocket_runtime::cluster::{BusLink, NodeTransmit, Subscription};
use std::collections::{BTreeMap, VecDeque};
use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;
use thiserror::Error;

/// The most that goes out at once.
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
    #[error("NATS: {0}")]
    Connect(#[from] ConnectError),
    #[error("NATS: {0}")]
    Subscribe(#[from] SubscribeError),
    #[error("NATS: {0}")]
    Flush(#[from] async_nats::client::FlushError),
    #[error("NATS: {0}")]
    Told(String),
    #[error("NATS has ended a subscription")]
    Unsubscribed,
    #[error("more than {0} bytes of messages wait for this node: it does not keep up")]
    TooMuch(usize),
}

/// The outcome of a batch: new subscriptions with their channels, and what the client has refused to publish.
#[derive(Default)]
struct Written {
    subscribed: Vec<(Arc<str>, Subscriber)>,
    refused: Vec<PublishError>,
}

struct Connection<'a> {
    bus: &'a NatsBus,
    client: Client,
    news: Arc<News>,
    subscribers: BTreeMap<Arc<str>, Subscriber>,
    /// The messages that have come and are not handed over, and their bytes.
    inbox: VecDeque<(Arc<str>, Message)>,
    inbox_bytes: usize,
    parts: Parts,
    writing: Option<BoxFuture<Result<Written, LostError>>>,
}

/// Connects, and serves until the connection is lost. `attempt` is set to 0 if it has lasted for some seconds.
pub(crate) async fn serve(bus: &NatsBus, link: &mut BusLink, attempt: &mut u32) -> Ended {
    let news = Arc::new(News::default());
    let told = news.clone();
    // The client would connect again by itself, and nobody would learn of the gap: it is given up at the first loss. The
    // number is that of the first attempt, at each server once.
    let options = bus
        .options
        .clone()
        .name("sansocket")
        .connection_timeout(TIMEOUT)
        .ping_interval(PING)
        .subscription_capacity(bus.max_waiting)
        .max_reconnects(bus.servers.len())
        .event_callback(move |event| {
            told.tell(event);
            std::future::ready(())
        });
    let client = match options.connect(&bus.servers[..]).await {
        Ok(client) => client,
        Err(error) => return Ended::Lost(error.into()),
    };
    let since = link.runtime().now();
    link.up();
    let mut connection = Connection {
        bus,
        client,
        news,
        subscribers: BTreeMap::new(),
        inbox: VecDeque::new(),
        inbox_bytes: 0,
        parts: Parts::new(bus.max_waiting_bytes),
        writing: None,
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

impl Connection<'_> {
    /// Ready once the node is closed, or the connection is lost.
    fn poll(&mut self, link: &mut BusLink, context: &mut Context<'_>) -> Poll<Result<(), LostError>> {
        for _ in 0..TURN {
            let mut is_at_rest = true;
            match self.news.poll(context) {
                Poll::Ready(Told::Lost(what)) => return Poll::Ready(Err(LostError::Told(what))),
                Poll::Ready(Told::Refused(what)) => {
                    link.refused(what);
                    is_at_rest = false;
                }
                Poll::Pending => {}
            }
            match self.poll_messages(context) {
                Ok(came) => is_at_rest &= !came,
                Err(error) => return Poll::Ready(Err(error)),
            }
            if let Some((channel, message)) = self.inbox.pop_front() {
                self.hand_over(link, &channel, message);
                is_at_rest = false;
            }
            if self.writing.is_none() {
                match link.poll_next(context) {
                    Poll::Ready(Some(transmit)) => {
                        self.begin(link, transmit);
                        is_at_rest = false;
                    }
                    Poll::Ready(None) => return Poll::Ready(Ok(())),
                    Poll::Pending => {}
                }
            }
            let written = self.writing.as_mut().map(|writing| writing.as_mut().poll(context));
            if let Some(Poll::Ready(written)) = written {
                self.writing = None;
                match written {
                    Ok(written) => self.written(link, written),
                    Err(error) => return Poll::Ready(Err(error)),
                }
                is_at_rest = false;
            }
            if is_at_rest {
                return Poll::Pending;
            }
        }
        context.waker().wake_by_ref();
        Poll::Pending
    }

    /// Takes what has come from the client, which bounds it in number, to bound it in bytes.
    fn poll_messages(&mut self, context: &mut Context<'_>) -> Result<bool, LostError> {
        let mut came = false;
        for (channel, subscriber) in &mut self.subscribers {
            for _ in 0..self.bus.max_waiting {
                match Pin::new(&mut *subscriber).poll_next(context) {
                    Poll::Ready(Some(message)) => {
                        self.inbox_bytes = self.inbox_bytes.saturating_add(weight(&message));
                        self.inbox.push_back((channel.clone(), message));
                    }
                    Poll::Ready(None) => return Err(LostError::Unsubscribed),
                    Poll::Pending => break,
                }
                came = true;
                if self.inbox_bytes > self.bus.max_waiting_bytes {
                    return Err(LostError::TooMuch(self.bus.max_waiting_bytes));
                }
            }
        }
        Ok(came)
    }

    fn hand_over(&mut self, link: &mut BusLink, channel: &str, message: Message) {
        self.inbox_bytes = self.inbox_bytes.saturating_sub(weight(&message));
        match self.parts.take(message.headers.as_ref(), message.payload) {
            Ok(Some(payload)) => link.message(channel, payload),
            Ok(None) => {}
            // What is left of a message that began before this node subscribed.
            Err(LostPart::Order) => {}
            Err(error) => link.refused(error),
        }
    }

    /// Begins to do what the node wants, up to a batch of it.
    fn begin(&mut self, link: &mut BusLink, first: NodeTransmit) {
        let mut batch = Vec::new();
        let mut next = Some(first);
        while let Some(transmit) = next {
            match transmit {
                // NATS does not tell who subscribes.
                NodeTransmit::Count { ask, .. } => link.counted(ask, None),
                transmit => batch.push(transmit),
            }
            next = if batch.len() < BATCH { link.try_next() } else { None };
        }
        if batch.is_empty() {
            return;
        }
        // Dropping a subscriber unsubscribes it, after what the client was told before.
        for transmit in &batch {
            if let NodeTransmit::Unsubscribe(Subscription::Channel(channel)) = transmit {
                self.subscribers.remove(&**channel);
            }
        }
        let (client, prefix) = (self.client.clone(), self.bus.prefix.clone());
        self.writing = Some(Box::pin(write(client, prefix, batch)));
    }

    fn written(&mut self, link: &mut BusLink, written: Written) {
        self.subscribers.extend(written.subscribed);
        written.refused.into_iter().for_each(|error| link.refused(error));
    }
}

/// Publishes and subscribes, and waits until all that has left.
async fn write(client: Client, prefix: String, batch: Vec<NodeTransmit>) -> Result<Written, LostError> {
    let mut written = Written::default();
    for transmit in batch {
        match transmit {
            NodeTransmit::Publish(published) => {
                let subject = subject(&prefix, &published.channel);
                if let Err(error) = publish(&client, subject, published.payload).await {
                    written.refused.push(error);
                }
            }
            NodeTransmit::Subscribe(Subscription::Channel(channel)) => {
                let subscriber = client.subscribe(subject(&prefix, &channel)).await?;
                written.subscribed.push((channel.into(), subscriber));
            }
            NodeTransmit::Unsubscribe(Subscription::Channel(channel)) => {
                written.subscribed.retain(|(subscribed, _)| **subscribed != channel);
            }
            // Of dialects that are not for NATS.
            _ => {}
        }
    }
    client.flush().await?;
    Ok(written)
}

/// Publishes a payload, in parts if the server takes none that large.
async fn publish(client: &Client, subject: String, payload: Bytes) -> Result<(), PublishError> {
    let max = client.max_payload();
    if payload.len() <= max {
        return client.publish(subject, payload).await;
    }
    // Every client has other ones, and gives each out once.
    let Some(parts) = split(&payload, max, &client.new_inbox()) else {
        // It says why.
        return client.publish(subject, payload).await;
    };
    for (headers, part) in parts {
        client.publish_with_headers(subject.clone(), headers, part).await?;
    }
    Ok(())
}

/// The bytes of a message that waits, with about what it takes besides.
fn weight(message: &Message) -> usize {
    const OVERHEAD: usize = 192;
    message.length.saturating_add(OVERHEAD)
}

/// The subject of a channel. NATS has meanings for dots, blanks, `*` and `>`.
fn subject(prefix: &str, channel: &str) -> String {
    format!("{prefix}.{}", URL_SAFE_NO_PAD.encode(channel))
}

#[cfg(test)]
mod tests {
    use super::subject;

    #[test]
    fn a_channel_is_one_token_of_a_subject() {
        assert_eq!(subject("sansocket", "sansocket#/#"), "sansocket.c2Fuc29ja2V0Iy8j");
        assert_eq!(subject("x", "a b.*>\u{e9}").matches(['.', ' ', '*', '>']).count(), 1);
    }
}
