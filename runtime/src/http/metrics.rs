//! The part of a server's metrics that is read from its counters, from time to time.

use crate::base::metrics as names;
use crate::base::metrics::MetricsOptions;
use crate::base::runtime;
use crate::http::gate::Gate;
use crate::session::stats::{LimitCounts, Stats};
use sansocket_protocol::engine::TransportKind;
use std::future::pending;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};

/// A function that brings the metrics of a server up to date.
type Record = Box<dyn Fn() + Send + Sync>;

/// The metrics of a server: their options, and the task that brings them up to date.
pub(crate) struct GateMetrics {
    pub(crate) options: MetricsOptions,
    record: OnceLock<Record>,
    is_started: AtomicBool,
}

/// The sums over the sessions that live.
#[derive(Default)]
struct Depths {
    polling: usize,
    websocket: usize,
    unsent: usize,
    unsent_max: usize,
    inbound: usize,
    inbound_max: usize,
    pending_acks: usize,
}

impl GateMetrics {
    pub(crate) fn new(options: MetricsOptions) -> Self {
        options.describe();
        Self { options, record: OnceLock::new(), is_started: AtomicBool::new(false) }
    }
}

impl Gate {
    /// Sets the function that brings the metrics up to date. Called once, before there is any session.
    pub(crate) fn set_record(&self, record: impl Fn() + Send + Sync + 'static) {
        if let Some(metrics) = &self.metrics {
            let _ = metrics.record.set(Box::new(record));
        }
    }

    /// Begins with the task that brings the metrics up to date, with the first session: only then is it certain that the
    /// async runtime runs.
    pub(super) fn start_metrics(self: &Arc<Self>) {
        let Some(metrics) = &self.metrics else { return };
        if metrics.is_started.swap(true, Ordering::Relaxed) {
            return;
        }
        let (gate, runtime, every) =
            (Arc::downgrade(self), self.runtime().clone(), metrics.options.interval());
        self.runtime().spawn(Box::pin(async move {
            loop {
                runtime::timeout(&runtime, every, pending::<()>()).await;
                let Some(gate) = gate.upgrade() else { return };
                if let Some(record) = gate.metrics.as_ref().and_then(|metrics| metrics.record.get()) {
                    record();
                }
            }
        }));
    }

    /// Records what every server counts.
    pub(crate) fn record_metrics(&self) {
        let Some(GateMetrics { options, .. }) = &self.metrics else { return };
        let stats = self.stats();
        let counter = |name, value| options.counter(name, None).absolute(value);
        counter(names::SESSIONS_OPENED, stats.opened);
        counter(names::EVENTS_RECEIVED, stats.events_in);
        counter(names::EVENTS_SENT, stats.events_out);
        counter(names::EVENTS_PACED, stats.events_paced);
        counter(names::HANDLER_ERRORS, stats.handler_errors);
        counter(names::PANICS, stats.panics);
        record_labelled(options, &stats);
        let depths = self.depths();
        let gauge = |name, label, value: usize| options.gauge(name, label).set(value as f64);
        let transport = |kind: TransportKind| Some(("transport", kind.as_str()));
        gauge(names::SESSIONS, transport(TransportKind::Polling), depths.polling);
        gauge(names::SESSIONS, transport(TransportKind::WebSocket), depths.websocket);
        gauge(names::SEND_QUEUE, None, depths.unsent);
        gauge(names::SEND_QUEUE_MAX, None, depths.unsent_max);
        gauge(names::RECEIVE_QUEUE, None, depths.inbound);
        gauge(names::RECEIVE_QUEUE_MAX, None, depths.inbound_max);
        gauge(names::PENDING_ACKS, None, depths.pending_acks);
    }

    fn depths(&self) -> Depths {
        let mut depths = Depths::default();
        for session in self.all_sessions() {
            let inner = session.lock();
            match inner.machine.transport() {
                TransportKind::WebSocket => depths.websocket += 1,
                _ => depths.polling += 1,
            }
            let (unsent, inbound) = (inner.machine.buffered(), inner.machine.inbound());
            depths.pending_acks += inner.waiting().map_or(0, |waiting| waiting.acks.len());
            drop(inner);
            depths.unsent += unsent;
            depths.unsent_max = depths.unsent_max.max(unsent);
            depths.inbound += inbound;
            depths.inbound_max = depths.inbound_max.max(inbound);
        }
        depths
    }
}

/// Records the counts that have a label.
fn record_labelled(options: &MetricsOptions, stats: &Stats) {
    let counter = |name, label, value| options.counter(name, Some(label)).absolute(value);
    let (polling, websocket) = (TransportKind::Polling.as_str(), TransportKind::WebSocket.as_str());
    counter(names::BYTES_RECEIVED, ("transport", polling), stats.polling_bytes_in);
    counter(names::BYTES_RECEIVED, ("transport", websocket), stats.websocket_bytes_in);
    counter(names::BYTES_SENT, ("transport", polling), stats.polling_bytes_out);
    counter(names::BYTES_SENT, ("transport", websocket), stats.websocket_bytes_out);
    for (reason, sessions) in &stats.closed {
        counter(names::SESSIONS_CLOSED, ("reason", reason.as_str()), *sessions);
    }
    for (reason, refusals) in refusals(&stats.refused) {
        counter(names::REFUSED, ("reason", reason), refusals);
    }
}

/// The counts of the limits with the names of their fields. All fields are named, so that none is forgotten.
fn refusals(counts: &LimitCounts) -> impl Iterator<Item = (&'static str, u64)> {
    macro_rules! named {
        ($($field:ident),*) => {{
            let LimitCounts { $($field),* } = *counts;
            [$((stringify!($field), $field)),*]
        }};
    }
    named!(
        connections,
        connections_per_address,
        sessions,
        sessions_per_address,
        handshakes,
        handshakes_per_address,
        shutting_down,
        by_application,
        bad_id,
        bad_requests,
        namespaces,
        namespace_names,
        auth,
        attachment_timeouts,
        connects,
        refused_connects,
        events,
        messages,
        connect_timeouts,
        dynamic_namespaces,
        rooms,
        pending_acks,
        broadcast_answers,
        concurrent
    )
    .into_iter()
}
