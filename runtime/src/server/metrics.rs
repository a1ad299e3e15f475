//! The metrics of a Socket.IO server: what its namespaces and its cluster add to those of its sessions.

use crate::base::metrics as names;
use crate::server::server::{Server, ServerInner};
use std::sync::Arc;

impl Server {
    /// Brings the metrics that are counts and gauges up to date, at once instead of in a while: before they are scraped.
    /// Without [`metrics`](crate::ServerBuilder::metrics) of the builder it does nothing. It visits all sessions.
    pub fn record_metrics(&self) {
        self.0.record_metrics();
    }
}

impl ServerInner {
    /// Lets the gate bring the metrics up to date by itself.
    pub(super) fn follow_metrics(self: &Arc<Self>) {
        let server = Arc::downgrade(self);
        self.gate.set_record(move || {
            if let Some(server) = server.upgrade() {
                server.record_metrics();
            }
        });
    }

    fn record_metrics(&self) {
        let Some(metrics) = &self.gate.metrics else { return };
        self.gate.record_metrics();
        let namespaces = self.namespaces.all();
        let (mut sockets, mut rooms) = (0, 0);
        for namespace in &namespaces {
            let hub = namespace.hub();
            sockets += hub.len();
            rooms += hub.rooms().count();
        }
        let gauge = |name, value: usize| metrics.options.gauge(name, None).set(value as f64);
        gauge(names::NAMESPACES, namespaces.len());
        gauge(names::SOCKETS, sockets);
        gauge(names::ROOMS, rooms);
        gauge(names::CONCURRENT, self.concurrent_handlers());
        #[cfg(feature = "cluster")]
        if let Some(cluster) = self.cluster.get() {
            let counts = cluster.node.counts();
            gauge(names::BUS_UP, usize::from(cluster.node.is_on_bus()));
            let counter = |name, label, value| metrics.options.counter(name, label).absolute(value);
            counter(names::BUS_SENT, None, counts.published);
            counter(names::BUS_RECEIVED, None, counts.received);
            counter(names::MISROUTED, None, counts.misrouted);
            counter(names::FORWARDED, None, counts.forwarded);
            counter(names::UNFORWARDED, None, counts.unforwarded);
            for (reason, messages) in [
                ("malformed", counts.malformed),
                ("dropped", counts.dropped),
                ("inexpressible", counts.inexpressible),
                ("refused", counts.refused),
            ] {
                counter(names::BUS_DISCARDED, Some(("reason", reason)), messages);
            }
        }
    }
}
