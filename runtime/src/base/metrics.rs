//! Metrics of servers, for whatever recorder the application has installed for the crate `metrics`.
//!
//! A server records them once its builder was told to, by `metrics`: see [`MetricsOptions`]. Their names, kinds and labels
//! are in [`METRICS`]. Counts and gauges are read from the server's own counters from time to time, so they cost nothing
//! per message; durations are recorded as they happen.
//!
//! ```
//! use sansocket_runtime::metrics::{METRICS, MetricKind};
//!
//! let histograms = METRICS.iter().filter(|metric| metric.kind == MetricKind::Histogram);
//! assert!(histograms.map(|metric| metric.name).all(|name| name.ends_with("_seconds")));
//! ```

use metrics::{Counter, Gauge, Histogram, Key, Label, Level, Metadata, Unit};
use std::time::Duration;

/// The kind of a metric.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum MetricKind {
    /// A number that only grows.
    Counter,
    /// A number that goes up and down.
    Gauge,
    /// A distribution of durations, in seconds.
    Histogram,
}

/// A metric of this crate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Metric {
    /// The name, after the conventions of Prometheus: the base unit at the end, and `_total` for a counter.
    pub name: &'static str,
    /// The kind.
    pub kind: MetricKind,
    /// The labels, beside those of [`MetricsOptions::label`].
    pub labels: &'static [&'static str],
    /// The meaning.
    pub description: &'static str,
}

macro_rules! metrics_table {
    ($($constant:ident = $kind:ident $name:literal [$($label:literal),*] $description:literal;)*) => {
        $(
            #[cfg_attr(not(feature = "cluster"), allow(dead_code))] // The bus has none without it.
            pub(crate) const $constant: &str = $name;
        )*

        /// All metrics of a server.
        pub const METRICS: &[Metric] = &[$(
            Metric {
                name: $name,
                kind: MetricKind::$kind,
                labels: &[$($label),*],
                description: $description,
            },
        )*];
    };
}

metrics_table! {
    SESSIONS = Gauge "sansocket_sessions" ["transport"] "Sessions that live, by the transport in use";
    SESSIONS_OPENED = Counter "sansocket_sessions_opened_total" [] "Sessions that were opened";
    SESSIONS_CLOSED = Counter "sansocket_sessions_closed_total" ["reason"] "Sessions that ended, by the reason";
    NAMESPACES = Gauge "sansocket_namespaces" [] "Namespaces, dynamic ones included";
    SOCKETS = Gauge "sansocket_sockets" [] "Sockets in all namespaces";
    ROOMS = Gauge "sansocket_rooms" [] "Rooms in all namespaces, without those that are a socket's id";
    EVENTS_RECEIVED = Counter "sansocket_events_received_total" [] "Events, or messages of plain Engine.IO, that handlers were given";
    EVENTS_SENT = Counter "sansocket_events_sent_total" [] "Events and acknowledgements, or messages, that were queued for clients";
    EVENTS_PACED = Counter "sansocket_events_paced_total" [] "Times that events had to wait because of event_rate or message_rate";
    BYTES_RECEIVED = Counter "sansocket_received_bytes_total" ["transport"] "Bytes received: of WebSockets with frame headers, of polling the bodies";
    BYTES_SENT = Counter "sansocket_sent_bytes_total" ["transport"] "Bytes sent: of WebSockets with frame headers, of polling the bodies";
    SEND_QUEUE = Gauge "sansocket_send_queue_bytes" [] "Bytes that wait for clients, in all sessions";
    SEND_QUEUE_MAX = Gauge "sansocket_send_queue_max_bytes" [] "Bytes that wait for the client with the longest queue";
    RECEIVE_QUEUE = Gauge "sansocket_receive_queue_bytes" [] "Bytes received that handlers have not finished with, in all sessions";
    RECEIVE_QUEUE_MAX = Gauge "sansocket_receive_queue_max_bytes" [] "The same, of the session with the most";
    PENDING_ACKS = Gauge "sansocket_pending_acks" [] "Acknowledgements that are awaited from clients";
    CONCURRENT = Gauge "sansocket_concurrent_handlers" [] "Handlers of on_concurrent that run";
    HANDLER_DURATION = Histogram "sansocket_handler_duration_seconds" [] "Time that the handlers of an event took, one event in 64 of each session";
    ACK_DURATION = Histogram "sansocket_ack_duration_seconds" [] "Time from an event to its acknowledgement by the client";
    ACKS = Counter "sansocket_acks_total" ["outcome"] "Awaited acknowledgements, by what became of them";
    HEARTBEAT_DURATION = Histogram "sansocket_heartbeat_duration_seconds" [] "Time from a ping to its pong";
    HANDLER_ERRORS = Counter "sansocket_handler_errors_total" [] "Errors of handlers that the error hook was told";
    PANICS = Counter "sansocket_panics_total" [] "Panics of the application's code";
    REFUSED = Counter "sansocket_refused_total" ["reason"] "Refusals and closed sessions, by the limit";
    BUS_UP = Gauge "sansocket_bus_up" [] "1 if the bus of the cluster is connected, 0 if not";
    BUS_SENT = Counter "sansocket_bus_sent_total" [] "Messages that were published on the bus";
    BUS_RECEIVED = Counter "sansocket_bus_received_total" [] "Messages that came on the bus and were of use";
    BUS_DISCARDED = Counter "sansocket_bus_discarded_total" ["reason"] "Messages of the bus that could not be sent, read or served, by the reason";
    MISROUTED = Counter "sansocket_misrouted_total" [] "Requests that a load balancer sent to another node than their session's";
    FORWARDED = Counter "sansocket_forwarded_total" [] "Requests that were passed on to the node of their session";
    UNFORWARDED = Counter "sansocket_unforwarded_total" [] "Requests for sessions of other nodes that have no answer from there";
}

/// The options of a server's metrics.
///
/// The recorder of the crate `metrics` must be installed before the server is built.
///
/// ```
/// use sansocket_runtime::metrics::MetricsOptions;
/// use std::time::Duration;
///
/// // For `metrics` of a server's builder.
/// let options = MetricsOptions::default().label("server", "chat").every(Duration::from_secs(5));
/// ```
#[derive(Clone, Debug)]
pub struct MetricsOptions {
    labels: Vec<Label>,
    every: Duration,
}

impl Default for MetricsOptions {
    fn default() -> Self {
        Self { labels: Vec::new(), every: Duration::from_secs(15) }
    }
}

impl MetricsOptions {
    /// Adds a label to each metric, to tell several servers of one process apart.
    pub fn label(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.labels.push(Label::new(name.into(), value.into()));
        self
    }

    /// Sets how often counts and gauges are brought up to date. Each time visits all sessions, which takes some milliseconds
    /// for a hundred thousand of them. Default 15 s. [`Server::record_metrics`](crate::Server::record_metrics) does it at
    /// once.
    pub fn every(mut self, interval: Duration) -> Self {
        self.every = interval.max(Duration::from_millis(1));
        self
    }

    pub(crate) fn interval(&self) -> Duration {
        self.every
    }

    fn key(&self, name: &'static str, label: Option<(&'static str, &'static str)>) -> Key {
        let own = label.map(|(name, value)| Label::from_static_parts(name, value));
        Key::from_parts(name, self.labels.iter().cloned().chain(own).collect::<Vec<_>>())
    }

    /// Tells the recorder what each metric means.
    pub(crate) fn describe(&self) {
        metrics::with_recorder(|recorder| {
            for metric in METRICS {
                let unit = if metric.name.ends_with("_seconds") {
                    Unit::Seconds
                } else if metric.name.contains("_bytes") {
                    Unit::Bytes
                } else {
                    Unit::Count
                };
                let (name, description) = (metric.name.into(), metric.description.into());
                match metric.kind {
                    MetricKind::Counter => recorder.describe_counter(name, Some(unit), description),
                    MetricKind::Gauge => recorder.describe_gauge(name, Some(unit), description),
                    MetricKind::Histogram => recorder.describe_histogram(name, Some(unit), description),
                }
            }
        });
    }

    pub(crate) fn counter(&self, name: &'static str, label: Option<(&'static str, &'static str)>) -> Counter {
        metrics::with_recorder(|recorder| recorder.register_counter(&self.key(name, label), &METADATA))
    }

    pub(crate) fn gauge(&self, name: &'static str, label: Option<(&'static str, &'static str)>) -> Gauge {
        metrics::with_recorder(|recorder| recorder.register_gauge(&self.key(name, label), &METADATA))
    }

    pub(crate) fn histogram(&self, name: &'static str) -> Histogram {
        metrics::with_recorder(|recorder| recorder.register_histogram(&self.key(name, None), &METADATA))
    }
}

static METADATA: Metadata<'static> = Metadata::new("sansocket", Level::INFO, Some("sansocket"));
