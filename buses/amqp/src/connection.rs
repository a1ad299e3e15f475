//! One connection to the broker, from its beginning to its loss.

use crate::wire::{self, Scissors};
use crate::{AmqpBus, Settings};
use futures_core::Stream;
use lapin::message::Delivery;
use lapin::options::{
    BasicAckOptions, BasicConsumeOptions, BasicPublishOptions, BasicQosOptions, ExchangeDeclareOptions,
    QueueBindOptions, QueueDeclareOptions,
};
use lapin::types::{AMQPValue, FieldTable, ShortString};
use lapin::{BasicProperties, Channel, Connection, ConnectionProperties, Consumer, Error, ExchangeKind};
use sansocket_runtime::adapter::BoxFuture;
use sansocket_runtime::cluster::{BusLink, NodeTransmit, Subscription};
use std::collections::BTreeSet;
use std::future::poll_fn;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;
use thiserror::Error;

/// The most that goes out at once.
const BATCH: usize = 128;
/// The most messages that come in before others have a turn.
const TURN: usize = 256;
/// The messages that the broker sends ahead of their acknowledgement: what waits in this process.
const AHEAD: u16 = 1000;
/// The time after which a connection has proved itself: the next wait is a short one.
const STEADY: Duration = Duration::from_secs(5);
/// The most bytes of the name of an exchange and of a routing key.
const LONGEST_NAME: usize = 255;

/// Why a connection has ended.
pub(crate) enum Ended {
    /// The node is closed, and everything is said.
    Closed,
    Lost(LostError),
}

/// Why the connection was lost.
#[derive(Debug, Error)]
pub(crate) enum LostError {
    #[error("AMQP: {0}")]
    Amqp(#[from] Error),
    #[error("AMQP: {0}")]
    Connect(#[from] std::io::Error),
    #[cfg(feature = "tls")]
    #[error(transparent)]
    Tls(#[from] crate::tls::TlsError),
    #[error("the broker has ended the subscription")]
    Unsubscribed,
    #[error("the broker does not answer")]
    Silent,
}

/// The open channels and queues at the broker.
struct Open {
    connection: Connection,
    channel: Channel,
    queue: ShortString,
    consumer: Consumer,
    /// Dropped last: the thread of the client ends with its connection, whatever the broker does.
    _scissors: Scissors,
}

struct Link<'a> {
    settings: &'a Settings,
    open: &'a mut Open,
    /// Exchanges that are declared.
    declared: BTreeSet<String>,
    writing: Option<BoxFuture<Result<(), Error>>>,
    acking: Option<BoxFuture<Result<(), Error>>>,
    /// The last message that was handed over, if it is not acknowledged.
    unacked: Option<u64>,
}

/// Connects, and serves until the connection is lost. `attempt` is set to 0 if it has lasted for some seconds.
pub(crate) async fn serve(bus: &AmqpBus, link: &mut BusLink, attempt: &mut u32) -> Ended {
    let mut open = match open(bus).await {
        Ok(open) => open,
        Err(error) => return Ended::Lost(error),
    };
    let since = link.runtime().now();
    link.up();
    let served = {
        let mut served = Link {
            settings: &bus.settings,
            open: &mut open,
            declared: bus.settings.exchange.iter().cloned().collect(),
            writing: None,
            acking: None,
            unacked: None,
        };
        poll_fn(|context| served.poll(link, context)).await
    };
    // A peer that accepts and hangs up is no reason to try without a pause.
    if link.runtime().now() >= since + STEADY {
        *attempt = 0;
    }
    match served {
        Ok(()) => {
            // Answered after everything that was said before.
            let _ = open.connection.close(200, "".into()).await;
            Ended::Closed
        }
        Err(error) => Ended::Lost(error),
    }
}

async fn open(bus: &AmqpBus) -> Result<Open, LostError> {
    let properties = ConnectionProperties::default().with_connection_name("sansocket".into());
    let (connection, scissors) = wire::connect(bus, properties).await?;
    let (channel, queue, consumer) = wire::within(prepare(bus, &connection)).await?;
    Ok(Open { connection, channel, queue, consumer, _scissors: scissors })
}

/// Opens the channel, and the queue of this node.
async fn prepare(
    bus: &AmqpBus,
    connection: &Connection,
) -> Result<(Channel, ShortString, Consumer), LostError> {
    let channel = connection.create_channel().await?;
    if let Some(exchange) = &bus.settings.exchange {
        declare(&channel, exchange, ExchangeKind::Direct).await?;
    }
    let options =
        QueueDeclareOptions { exclusive: true, auto_delete: true, ..QueueDeclareOptions::default() };
    let mut arguments = FieldTable::default();
    let most = AMQPValue::LongLongInt(bus.settings.max_waiting_bytes.into());
    arguments.insert("x-max-length-bytes".into(), most);
    let queue = channel.queue_declare("".into(), options, arguments).await?.name().clone();
    channel.basic_qos(AHEAD, BasicQosOptions::default()).await?;
    let (options, arguments) = (BasicConsumeOptions::default(), FieldTable::default());
    let consumer = channel.basic_consume(queue.clone(), "".into(), options, arguments).await?;
    Ok((channel, queue, consumer))
}

/// Declares an exchange as Python's managers do: it stays when nobody is there.
async fn declare(channel: &Channel, exchange: &str, kind: ExchangeKind) -> Result<(), Error> {
    let options = ExchangeDeclareOptions::default();
    channel.exchange_declare(exchange.into(), kind, options, FieldTable::default()).await
}

impl Link<'_> {
    /// Ready once the node is closed, or the connection is lost.
    fn poll(&mut self, link: &mut BusLink, context: &mut Context<'_>) -> Poll<Result<(), LostError>> {
        for _ in 0..TURN {
            let mut is_at_rest = true;
            match Pin::new(&mut self.open.consumer).poll_next(context) {
                Poll::Ready(Some(delivery)) => {
                    self.take(link, delivery?);
                    is_at_rest = false;
                }
                Poll::Ready(None) => return Poll::Ready(Err(LostError::Unsubscribed)),
                Poll::Pending => self.acknowledge(),
            }
            for running in [&mut self.writing, &mut self.acking] {
                let Some(one) = running else { continue };
                if let Poll::Ready(done) = one.as_mut().poll(context) {
                    *running = None;
                    done?;
                    is_at_rest = false;
                }
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
            if is_at_rest {
                return Poll::Pending;
            }
        }
        self.acknowledge();
        context.waker().wake_by_ref();
        Poll::Pending
    }

    fn take(&mut self, link: &mut BusLink, delivery: Delivery) {
        let name = if self.settings.exchange.is_some() { &delivery.routing_key } else { &delivery.exchange };
        link.message(name.as_str(), delivery.data.into());
        self.unacked = Some(delivery.delivery_tag);
    }

    /// Acknowledges what was handed over, all at once.
    fn acknowledge(&mut self) {
        if self.acking.is_some() {
            return;
        }
        let Some(tag) = self.unacked.take() else { return };
        let channel = self.open.channel.clone();
        self.acking =
            Some(Box::pin(async move { channel.basic_ack(tag, BasicAckOptions { multiple: true }).await }));
    }

    /// Begins to do what the node wants, up to a batch of it.
    fn begin(&mut self, link: &mut BusLink, first: NodeTransmit) {
        let mut batch = Vec::new();
        let mut next = Some(first);
        while let Some(transmit) = next {
            if let NodeTransmit::Count { ask, .. } = transmit {
                // AMQP tells nobody how many queues an exchange has.
                link.counted(ask, None);
            } else if name(&transmit).is_some_and(|name| name.len() > LONGEST_NAME) {
                link.refused("the name of a channel is longer than AMQP allows: 255 bytes");
            } else {
                batch.push(transmit);
            }
            next = if batch.len() < BATCH { link.try_next() } else { None };
        }
        if batch.is_empty() {
            return;
        }
        // The set of exchanges grows here, and what fails ends the connection, and the set with it.
        let mut missing = BTreeSet::new();
        if self.settings.exchange.is_none() {
            let names = batch.iter().filter_map(name).map(str::to_owned);
            missing = names.filter(|name| self.declared.insert(name.clone())).collect();
        }
        let (channel, queue) = (self.open.channel.clone(), self.open.queue.clone());
        self.writing = Some(Box::pin(write(channel, queue, self.settings.exchange.clone(), missing, batch)));
    }
}

/// The channel that something is about.
fn name(transmit: &NodeTransmit) -> Option<&str> {
    match transmit {
        NodeTransmit::Publish(published) => Some(&published.channel),
        NodeTransmit::Subscribe(Subscription::Channel(channel))
        | NodeTransmit::Unsubscribe(Subscription::Channel(channel)) => Some(channel),
        _ => None,
    }
}

async fn write(
    channel: Channel,
    queue: ShortString,
    exchange: Option<String>,
    missing: BTreeSet<String>,
    batch: Vec<NodeTransmit>,
) -> Result<(), Error> {
    for exchange in missing {
        declare(&channel, &exchange, ExchangeKind::Fanout).await?;
    }
    // Where a channel is: the exchange, and the routing key there.
    let place = |name: String| -> (ShortString, ShortString) {
        match &exchange {
            Some(exchange) => (exchange.as_str().into(), name.into()),
            None => (name.into(), "".into()),
        }
    };
    for transmit in batch {
        match transmit {
            NodeTransmit::Publish(published) => {
                let (exchange, key) = place(published.channel);
                // What Python's readers take for text.
                let properties = BasicProperties::default()
                    .with_content_type("text/plain".into())
                    .with_content_encoding("utf-8".into());
                let options = BasicPublishOptions::default();
                let sent =
                    channel.basic_publish(exchange, key, options, &published.payload, properties).await?;
                // The channel does not confirm, so there is nothing to wait for.
                drop(sent);
            }
            NodeTransmit::Subscribe(Subscription::Channel(name)) => {
                let (exchange, key) = place(name);
                let options = QueueBindOptions::default();
                channel.queue_bind(queue.clone(), exchange, key, options, FieldTable::default()).await?;
            }
            NodeTransmit::Unsubscribe(Subscription::Channel(name)) => {
                let (exchange, key) = place(name);
                channel.queue_unbind(queue.clone(), exchange, key, FieldTable::default()).await?;
            }
            // Of dialects that are not for AMQP.
            _ => {}
        }
    }
    Ok(())
}
