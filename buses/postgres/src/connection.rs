//! One connection to Postgres, from its beginning to its loss.

use crate::statements::{Statements, identifier, prepare};
use crate::tls::{self, NoRootsError};
use crate::{PostgresBus, Settings};
use bytes::Bytes;
use sansocket_runtime::adapter::{BoxFuture, Timer};
use sansocket_runtime::cluster::{BusLink, Envelope, NodeTransmit, Subscription};
use std::collections::VecDeque;
use std::future::{Future, poll_fn};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;
use thiserror::Error;
use tokio_postgres::{AsyncMessage, Client, Error, Notification, Socket};

/// The most that goes out at once.
const BATCH: usize = 128;
/// The most messages that come in before others have a turn.
const TURN: usize = 256;
/// The time after which a connection has proved itself: the next wait is a short one.
const STEADY: Duration = Duration::from_secs(5);
/// The interval at which old attachments are deleted.
const CLEAN: Duration = Duration::from_secs(30);

/// Why a connection has ended.
pub(crate) enum Ended {
    /// The node is closed, and everything is said.
    Closed,
    Lost(LostError),
}

/// Why the connection was lost.
#[derive(Debug, Error)]
pub(crate) enum LostError {
    #[error("Postgres: {}", with_reason(.0))]
    Postgres(#[from] Error),
    #[error(transparent)]
    NoRoots(#[from] NoRootsError),
    #[error("Postgres has closed the connection")]
    Disconnected,
    #[error("Postgres does not answer")]
    Silent,
    #[error("more than {0} bytes of messages wait for this node: it does not keep up")]
    TooMuch(usize),
}

/// The client's error, and why that was: it says itself only what failed.
fn with_reason(error: &Error) -> String {
    match std::error::Error::source(error) {
        Some(source) => format!("{error}: {source}"),
        None => error.to_string(),
    }
}

/// A thing that is asked of Postgres, with its outcome.
enum Asked {
    /// Statements, and what was refused of them.
    Batch(Vec<Error>),
    Inserted(Box<Envelope>, Result<i64, Error>),
    Row(String, Result<Option<Vec<u8>>, Error>),
}

/// The statement that is under way: for what goes out, or for what comes in.
#[derive(Clone, Copy)]
enum Side {
    Writing,
    Reading,
}

type Wire = tokio_postgres::Connection<Socket, tls::Stream>;

struct Connection<'a> {
    settings: &'a Settings,
    client: Arc<Client>,
    statements: Statements,
    wire: Wire,
    /// The messages that have come, while a row is read that comes before it.
    waiting: VecDeque<Notification>,
    waiting_bytes: usize,
    /// The batch that goes out. Nothing else goes out meanwhile.
    writing: Option<BoxFuture<Asked>>,
    /// The row that is read. Nothing else is handed over meanwhile.
    reading: Option<BoxFuture<Asked>>,
    /// A statement of the batch has been answered since the last look.
    has_progressed: Arc<AtomicBool>,
    /// When the connection is tried, or is given up.
    timer: Box<dyn Timer>,
    clean: Box<dyn Timer>,
}

/// Connects, and serves until the connection is lost. `attempt` is set to 0 if it has lasted for some seconds.
pub(crate) async fn serve(bus: &PostgresBus, link: &mut BusLink, attempt: &mut u32) -> Ended {
    let settings = &bus.settings;
    let opened = tokio::time::timeout(settings.timeout, open(bus)).await;
    let (client, wire, statements, refused) = match opened {
        Ok(Ok(opened)) => opened,
        Ok(Err(error)) => return Ended::Lost(error),
        Err(_) => return Ended::Lost(LostError::Silent),
    };
    let runtime = link.runtime();
    let since = runtime.now();
    let timer = runtime.timer(since + settings.ping_interval);
    let clean = runtime.timer(since + CLEAN);
    if let Some(refused) = refused {
        link.refused(with_reason(&refused));
    }
    link.up();
    let mut connection = Connection {
        settings,
        client: Arc::new(client),
        statements,
        wire,
        waiting: VecDeque::new(),
        waiting_bytes: 0,
        writing: None,
        reading: None,
        has_progressed: Arc::default(),
        timer,
        clean,
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

async fn open(bus: &PostgresBus) -> Result<(Client, Wire, Statements, Option<Error>), LostError> {
    let mut config = bus.config.clone();
    config.connect_timeout(bus.settings.timeout);
    if config.get_application_name().is_none() {
        config.application_name("sansocket");
    }
    let connector = tls::connector(bus, &mut config)?;
    let (client, mut wire) = config.connect(connector).await?;
    let (statements, refused) = {
        let mut prepared = Box::pin(prepare(&client, &bus.settings.table));
        // What is asked goes out, and comes back, while the connection is polled.
        poll_fn(|context| {
            loop {
                if let Poll::Ready(prepared) = prepared.as_mut().poll(context) {
                    return Poll::Ready(prepared);
                }
                match wire.poll_message(context) {
                    Poll::Ready(Some(Ok(_))) => {}
                    Poll::Ready(Some(Err(error))) => return Poll::Ready(Err(error)),
                    Poll::Ready(None) | Poll::Pending => return Poll::Pending,
                }
            }
        })
        .await?
    };
    Ok((client, wire, statements, refused))
}

impl Connection<'_> {
    /// Ready once the node is closed, or the connection is lost.
    fn poll(&mut self, link: &mut BusLink, context: &mut Context<'_>) -> Poll<Result<(), LostError>> {
        for _ in 0..TURN {
            let mut is_at_rest = true;
            match self.wire.poll_message(context) {
                Poll::Ready(Some(Ok(message))) => {
                    if let AsyncMessage::Notification(notification) = message {
                        self.take(notification)?;
                    }
                    is_at_rest = false;
                }
                Poll::Ready(Some(Err(error))) => return Poll::Ready(Err(error.into())),
                Poll::Ready(None) => return Poll::Ready(Err(LostError::Disconnected)),
                Poll::Pending => {}
            }
            for which in [Side::Writing, Side::Reading] {
                let asked = match which {
                    Side::Writing => &mut self.writing,
                    Side::Reading => &mut self.reading,
                };
                let Some(running) = asked else { continue };
                let Poll::Ready(answer) = running.as_mut().poll(context) else {
                    if self.has_progressed.swap(false, Ordering::Relaxed) {
                        self.waits(link);
                    }
                    continue;
                };
                *asked = None;
                is_at_rest = false;
                answered(link, answer)?;
                let is_waiting = self.writing.is_some() || self.reading.is_some();
                let time = if is_waiting { self.settings.timeout } else { self.settings.ping_interval };
                self.timer.reset(link.runtime().now() + time);
            }
            if self.reading.is_none() {
                if let Some(notification) = self.waiting.pop_front() {
                    self.hand_over(link, &notification);
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
                    // What it begins has to be polled before this may wait.
                    Poll::Pending => is_at_rest &= !self.clean_if_due(link, context),
                }
            }
            if is_at_rest && self.timer.poll_elapsed(context).is_ready() {
                if self.writing.is_some() || self.reading.is_some() {
                    return Poll::Ready(Err(LostError::Silent));
                }
                // Has been quiet for long: is it still there?
                self.write(link, Vec::new());
                is_at_rest = false;
            }
            if is_at_rest {
                return Poll::Pending;
            }
        }
        context.waker().wake_by_ref();
        Poll::Pending
    }

    fn take(&mut self, notification: Notification) -> Result<(), LostError> {
        self.waiting_bytes = self.waiting_bytes.saturating_add(weight(&notification));
        if self.waiting_bytes > self.settings.max_waiting_bytes {
            return Err(LostError::TooMuch(self.settings.max_waiting_bytes));
        }
        self.waiting.push_back(notification);
        Ok(())
    }

    /// Hands a notification over. If it names a row, that is read before anything else is handed over.
    fn hand_over(&mut self, link: &mut BusLink, notification: &Notification) {
        self.waiting_bytes = self.waiting_bytes.saturating_sub(weight(notification));
        let payload = Bytes::copy_from_slice(notification.payload().as_bytes());
        link.message(notification.channel(), payload);
        let Some((channel, row)) = link.wanted_row() else { return };
        let Some(rows) = self.statements.rows.clone() else { return };
        let Ok(row) = row.parse::<i64>() else { return };
        let client = self.client.clone();
        self.waits(link);
        self.reading = Some(Box::pin(async move {
            let found = client.query_opt(&rows.select, &[&row]).await;
            Asked::Row(channel, found.and_then(|row| row.map_or(Ok(None), |row| row.try_get(0))))
        }));
    }

    /// Begins to do what the node wants.
    fn begin(&mut self, link: &mut BusLink, first: NodeTransmit) {
        let mut batch = Vec::new();
        let mut next = Some(first);
        while let Some(transmit) = next {
            match transmit {
                NodeTransmit::Insert { payload, envelope } if batch.is_empty() => {
                    return self.insert(link, payload, envelope);
                }
                // Postgres does not tell who listens.
                NodeTransmit::Count { ask, .. } => link.counted(ask, None),
                transmit => batch.push(transmit),
            }
            // A row's notification must leave before what was said after it.
            next = if batch.len() < BATCH && !link.wants_to_insert() { link.try_next() } else { None };
        }
        if !batch.is_empty() {
            self.write(link, batch);
        }
    }

    fn insert(&mut self, link: &mut BusLink, payload: Bytes, envelope: Box<Envelope>) {
        let Some(rows) = self.statements.rows.clone() else {
            link.refused("there is no table for what has bytes in it or is long");
            return;
        };
        let client = self.client.clone();
        self.waits(link);
        self.writing = Some(Box::pin(async move {
            let inserted = client.query_one(&rows.insert, &[&&payload[..]]).await;
            Asked::Inserted(envelope, inserted.and_then(|row| row.try_get(0)))
        }));
    }

    /// Carries out all of them, each as a transaction of its own: of two notifications of one transaction that are alike
    /// Postgres drops one. Nothing at all is a question whether the connection is there.
    fn write(&mut self, link: &BusLink, batch: Vec<NodeTransmit>) {
        let (client, statements) = (self.client.clone(), self.statements.clone());
        let mut running: Vec<BoxFuture<Result<(), Error>>> =
            batch.into_iter().filter_map(|transmit| statement(&client, &statements, transmit)).collect();
        if running.is_empty() {
            running.push(Box::pin(async move { client.check_connection().await }));
        }
        self.waits(link);
        let mut refused = Vec::new();
        let has_progressed = self.has_progressed.clone();
        self.writing = Some(Box::pin(async move {
            // The first poll sends, so it goes in order, and does not wait for the answers in between.
            poll_fn(|context| {
                running.retain_mut(|one| match one.as_mut().poll(context) {
                    Poll::Ready(done) => {
                        refused.extend(done.err());
                        has_progressed.store(true, Ordering::Relaxed);
                        false
                    }
                    Poll::Pending => true,
                });
                if running.is_empty() { Poll::Ready(()) } else { Poll::Pending }
            })
            .await;
            Asked::Batch(refused)
        }));
    }

    /// Deletes old attachments, if it is time. Returns whether that has begun.
    fn clean_if_due(&mut self, link: &BusLink, context: &mut Context<'_>) -> bool {
        if self.clean.poll_elapsed(context).is_pending() {
            return false;
        }
        self.clean.reset(link.runtime().now() + CLEAN);
        // Without a table the timer has to be polled again, too.
        let Some(rows) = self.statements.rows.clone() else { return true };
        let client = self.client.clone();
        self.waits(link);
        self.writing = Some(Box::pin(async move {
            Asked::Batch(client.execute(&rows.clean, &[]).await.err().into_iter().collect())
        }));
        true
    }

    /// From now on an answer is waited for.
    fn waits(&mut self, link: &BusLink) {
        self.timer.reset(link.runtime().now() + self.settings.timeout);
    }
}

/// The bytes of a notification that waits, with about what it takes besides.
fn weight(notification: &Notification) -> usize {
    const OVERHEAD: usize = 96;
    notification.channel().len() + notification.payload().len() + OVERHEAD
}

/// Tells the node the outcome. An error of the connection, and not of a statement, is its end.
fn answered(link: &mut BusLink, answer: Asked) -> Result<(), LostError> {
    let refused = match answer {
        Asked::Batch(refused) => refused,
        Asked::Inserted(envelope, Ok(row)) => {
            if let Ok(row) = u64::try_from(row) {
                link.inserted(&envelope, row);
            }
            return Ok(());
        }
        Asked::Row(channel, Ok(row)) => {
            // Gone if it took longer than half a minute.
            if let Some(row) = row {
                link.row(&channel, &row.into());
            }
            return Ok(());
        }
        Asked::Inserted(_, Err(error)) | Asked::Row(_, Err(error)) => vec![error],
    };
    for error in refused {
        if error.as_db_error().is_none() {
            return Err(error.into());
        }
        link.refused(with_reason(&error));
    }
    Ok(())
}

/// A statement that does what the node wants; `None` for what other dialects want.
fn statement(
    client: &Arc<Client>,
    statements: &Statements,
    transmit: NodeTransmit,
) -> Option<BoxFuture<Result<(), Error>>> {
    let client = client.clone();
    let (verb, channel) = match transmit {
        NodeTransmit::Publish(published) => {
            let notify = statements.notify.clone();
            return Some(Box::pin(async move {
                let payload = String::from_utf8_lossy(&published.payload);
                client.execute(&notify, &[&published.channel, &&*payload]).await.map(drop)
            }));
        }
        NodeTransmit::Subscribe(Subscription::Channel(channel)) => ("LISTEN", channel),
        NodeTransmit::Unsubscribe(Subscription::Channel(channel)) => ("UNLISTEN", channel),
        _ => return None,
    };
    Some(Box::pin(async move { client.batch_execute(&format!("{verb} {}", identifier(&channel))).await }))
}
