//! `sansocket bench`: round trips, counted and timed.

mod histogram;

use crate::failure::{Failure, block_on, interrupt, or_interrupt};
use crate::output::{Colour, Line, Output};
use crate::target::{Target, leave, seconds};
use bytes::Bytes;
use clap::Args;
use histogram::Histogram;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use sansocket_tokio::{Client, ClientSocket, TransportKind};
use std::collections::VecDeque;
use std::process::ExitCode;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::oneshot;
use tokio::task::JoinSet;

/// Measures round trips: emits an event again and again, and awaits each answer.
///
/// The answer is the acknowledgement, or with --reply an event that the server emits back. With --rate, a round trip is
/// timed from when it was due, even if the one before took too long. The transport is websocket, unless --transport
/// says otherwise.
#[derive(Debug, Args)]
pub(crate) struct Options {
    #[command(flatten)]
    target: Target,
    /// Number of connections
    #[arg(short, long, value_name = "N", default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..))]
    connections: u32,
    /// Number of round trips that each connection has in flight at once
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..))]
    in_flight: u32,
    /// Round trips per second, of all connections together [default: as many as possible]
    #[arg(short, long, value_name = "N", value_parser = rate)]
    rate: Option<f64>,
    /// Duration of the measurement
    #[arg(short, long, value_name = "SECS", default_value = "10", value_parser = seconds)]
    duration: Duration,
    /// Event to emit, which the server acknowledges
    #[arg(short, long, value_name = "NAME", default_value = "echo")]
    event: String,
    /// Event with which the server answers, instead of an acknowledgement
    #[arg(long, value_name = "NAME")]
    reply: Option<String>,
    /// Size of each event's argument
    #[arg(short, long, value_name = "BYTES", default_value_t = 32)]
    size: usize,
    /// Send the argument as binary
    #[arg(long)]
    binary: bool,
    /// Send no argument
    #[arg(long, conflicts_with_all = ["size", "binary"])]
    no_argument: bool,
}

fn rate(typed: &str) -> Result<f64, String> {
    match typed.parse() {
        Ok(rate) if (0.001..=1e9).contains(&rate) => Ok(rate),
        _ => Err("must be a number of round trips per second, at least 0.001".to_owned()),
    }
}

pub(crate) fn run(options: &Options) -> ExitCode {
    let output = Arc::new(Output::new("bench", options.target.json));
    block_on(&output, true, bench(options, &output))
}

/// A connection with its measurements.
struct Connection {
    client: Client,
    socket: ClientSocket,
    tally: Mutex<Tally>,
    /// The round trips that wait for the server's event, in order.
    waiting: Mutex<VecDeque<oneshot::Sender<()>>>,
    reply: bool,
}

#[derive(Default)]
struct Tally {
    latencies: Histogram,
    last: Option<Instant>,
    failed: u64,
    /// The error of the first round trip that failed.
    error: Option<Failure>,
}

enum Payload {
    Nothing,
    Text(String),
    Binary(Bytes),
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

async fn bench(options: &Options, output: &Arc<Output>) -> Result<(), Failure> {
    let mut connects = Histogram::default();
    let connections = or_interrupt(connect(options, output, &mut connects)).await?;
    let payload = Arc::new(match (options.no_argument, options.binary) {
        (true, _) => Payload::Nothing,
        (false, true) => Payload::Binary(vec![b'x'; options.size].into()),
        (false, false) => Payload::Text("x".repeat(options.size)),
    });
    let done = Arc::new(AtomicU64::new(0));
    let begun = Instant::now();
    let end = begun + options.duration;
    let mut lanes = JoinSet::new();
    let lane_count = u64::from(options.connections) * u64::from(options.in_flight);
    let interval = options.rate.map(|rate| Duration::from_secs_f64(lane_count as f64 / rate));
    for number in 0..lane_count {
        let at = number as usize % connections.len();
        // Lanes begin one after the other, so that the events are spread over the time.
        let first =
            interval.map_or(begun, |interval| begun + interval.mul_f64(number as f64 / lane_count as f64));
        let lane = Lane {
            connection: connections[at].clone(),
            payload: payload.clone(),
            event: options.event.clone(),
            timeout: options.target.timeout,
            done: done.clone(),
            first,
            interval,
            end,
        };
        lanes.spawn(lane.run());
    }
    let bar = progress(output, options.duration);
    let interrupted = interrupt();
    tokio::pin!(interrupted);
    let mut outcome = Ok(());
    let mut tick = tokio::time::interval(Duration::from_millis(100));
    loop {
        tokio::select! {
            lane = lanes.join_next() => if lane.is_none() { break },
            failure = &mut interrupted => {
                outcome = Err(failure);
                lanes.abort_all();
                break;
            }
            _ = tick.tick() => {
                let elapsed = begun.elapsed();
                bar.set_position(elapsed.min(options.duration).as_millis() as u64);
                let count = done.load(Ordering::Relaxed);
                bar.set_message(format!("{count}, {:.0}/s", count as f64 / elapsed.as_secs_f64().max(1e-3)));
            }
        }
    }
    bar.finish_and_clear();

    let mut total = Tally::default();
    for connection in &connections {
        let tally = std::mem::take(&mut *lock(&connection.tally));
        total.latencies.merge(&tally.latencies);
        total.last = total.last.max(tally.last);
        total.failed += tally.failed;
        total.error = total.error.or(tally.error);
    }
    let elapsed = total.last.map_or(Duration::ZERO, |last| last - begun);
    report(options, output, &connects, &total, elapsed);
    for connection in &connections {
        connection.client.close();
    }
    for connection in &connections {
        // All is measured: whether the server learns of the end does not matter.
        let _ = leave(&connection.client, Duration::from_secs(2)).await;
    }
    outcome?;
    match total.error {
        None => Ok(()),
        Some(Failure::Failed { message, .. }) => {
            let hint = match total.latencies.len() {
                0 => "; does the server answer this event? See --event and --reply",
                _ => "",
            };
            let failed = total.failed;
            Err(Failure::failed(format_args!("{failed} round trips failed, the first one: {message}{hint}")))
        }
        Some(failure) => Err(failure),
    }
}

/// Makes all connections, a limited number at a time.
async fn connect(
    options: &Options,
    output: &Arc<Output>,
    connects: &mut Histogram,
) -> Result<Vec<Arc<Connection>>, Failure> {
    /// The connections that are opened at once. With more, the server's queue of connections would be measured.
    const AT_ONCE: usize = 32;
    let websocket = [TransportKind::WebSocket];
    let mut connections = Vec::new();
    let mut under_way = JoinSet::new();
    let mut left = options.connections;
    while left > 0 || !under_way.is_empty() {
        if left > 0 && under_way.len() < AT_ONCE {
            left -= 1;
            let sockets = match options.target.any_transport() {
                true => options.target.client_by(&websocket, output)?,
                false => options.target.client(output)?,
            };
            let (client, socket) = options.target.only_of(sockets)?;
            let connection = Arc::new(Connection {
                client,
                socket,
                tally: Mutex::default(),
                waiting: Mutex::default(),
                reply: options.reply.is_some(),
            });
            if let Some(reply) = &options.reply {
                let answered = Arc::downgrade(&connection);
                connection.socket.on(reply, move || {
                    let first =
                        answered.upgrade().and_then(|connection| lock(&connection.waiting).pop_front());
                    // For an event that comes too late, no round trip is waiting.
                    let _ = first.map(|sender| sender.send(()));
                    std::future::ready(())
                });
            }
            under_way.spawn(async move {
                let begun = Instant::now();
                let connected = connection.socket.connect().await;
                (connected, begun.elapsed(), connection)
            });
            continue;
        }
        if let Some(Ok((connected, took, connection))) = under_way.join_next().await {
            connected.map_err(|error| Failure::connect(connection.socket.name(), &error))?;
            connects.add(took);
            connections.push(connection);
        }
    }
    Ok(connections)
}

fn progress(output: &Output, duration: Duration) -> ProgressBar {
    // Drawn only if stderr is a terminal.
    let target = if output.is_json() { ProgressDrawTarget::hidden() } else { ProgressDrawTarget::stderr() };
    let bar = ProgressBar::with_draw_target(Some(duration.as_millis() as u64), target);
    match ProgressStyle::with_template("{bar:40} {percent:>3} % {msg}") {
        Ok(style) => bar.with_style(style),
        Err(_) => bar,
    }
}

/// A sequence of round trips, one after the other.
struct Lane {
    connection: Arc<Connection>,
    payload: Arc<Payload>,
    event: String,
    timeout: Duration,
    done: Arc<AtomicU64>,
    first: Instant,
    interval: Option<Duration>,
    end: Instant,
}

impl Lane {
    async fn run(self) {
        let mut due = self.first;
        loop {
            if self.interval.is_some() {
                tokio::time::sleep_until(due.into()).await;
            } else {
                due = Instant::now();
            }
            if due >= self.end || Instant::now() >= self.end {
                return;
            }
            let outcome = self.round_trip().await;
            let now = Instant::now();
            let mut tally = lock(&self.connection.tally);
            match outcome {
                Ok(()) => {
                    tally.latencies.add(now - due);
                    tally.last = Some(now);
                    self.done.fetch_add(1, Ordering::Relaxed);
                }
                Err(failure) => {
                    tally.failed += 1;
                    tally.error.get_or_insert(failure);
                    // The connection is lost, or its server does not answer: there is nothing more to measure.
                    return;
                }
            }
            drop(tally);
            due += self.interval.unwrap_or_default();
        }
    }

    async fn round_trip(&self) -> Result<(), Failure> {
        let Connection { socket, waiting, reply, .. } = &*self.connection;
        if !reply {
            let answer = match &*self.payload {
                Payload::Nothing => socket.emit_with_ack(&self.event, &(), self.timeout).await,
                Payload::Text(text) => socket.emit_with_ack(&self.event, text, self.timeout).await,
                Payload::Binary(data) => socket.emit_with_ack(&self.event, data, self.timeout).await,
            };
            return Ok(answer.map(drop)?);
        }
        let answer = {
            let mut waiting = lock(waiting);
            let (sender, answer) = oneshot::channel();
            waiting.push_back(sender);
            match &*self.payload {
                Payload::Nothing => socket.emit(&self.event, &())?,
                Payload::Text(text) => socket.emit(&self.event, text)?,
                Payload::Binary(data) => socket.emit(&self.event, data)?,
            }
            answer
        };
        match tokio::time::timeout(self.timeout, answer).await {
            Ok(Ok(())) => Ok(()),
            _ => Err(Failure::failed("the event was not answered in time")),
        }
    }
}

/// Prints the table, or its JSON line.
fn report(options: &Options, output: &Output, connects: &Histogram, total: &Tally, elapsed: Duration) {
    let seconds = elapsed.as_secs_f64();
    let per_second = if seconds > 0.0 { total.latencies.len() as f64 / seconds } else { 0.0 };
    let bytes = per_second * options.size as f64;
    let rows = [("connect", "connect", connects), ("round trip", "round_trip", &total.latencies)];
    const PERCENTILES: [u64; 3] = [50, 90, 99];
    let millis = |duration: Duration| duration.as_secs_f64() * 1e3;
    if output.is_json() {
        let mut line = Line::new("bench")
            .raw("connections", options.connections)
            .raw("in_flight", options.in_flight)
            .raw("size", options.size)
            .raw("seconds", format_args!("{seconds:.3}"))
            .raw("per_second", format_args!("{per_second:.1}"))
            .raw("failed", total.failed);
        for (_, key, histogram) in rows {
            let mut row = format!("{{\"count\":{}", histogram.len());
            for percent in PERCENTILES {
                row += &format!(",\"p{percent}_ms\":{:.4}", millis(histogram.percentile(percent)));
            }
            line = line.raw(key, format_args!("{row},\"max_ms\":{:.4}}}", millis(histogram.max())));
        }
        return output.line(line.end());
    }
    let head = format!("{:12}{:>10}{:>11}{:>11}{:>11}{:>11}", "", "count", "p50", "p90", "p99", "max");
    output.line(output.paint(Colour::Bold, head));
    for (name, _, histogram) in rows {
        let mut line = format!("{name:12}{:>10}", histogram.len());
        let values = PERCENTILES.map(|percent| histogram.percentile(percent));
        for value in values.into_iter().chain([histogram.max()]) {
            line += &format!("{:>8.3} ms", millis(value));
        }
        output.line(line);
    }
    output.line(format!(
        "{} connections, {} in flight each: {per_second:.0} round trips/s, {:.2} MB/s each way, in {seconds:.2} s",
        options.connections,
        options.in_flight,
        bytes / 1e6,
    ));
    if total.failed > 0 {
        output.line(output.paint(Colour::Red, format_args!("{} failed", total.failed)));
    }
}
