//! The task of a node: its timers, and its bus.

use crate::base::alarm::Alarm;
use crate::base::runtime::BoxFuture;
use crate::base::trace::warning;
use crate::cluster::bus::{Bus, BusLink};
use crate::cluster::handle::{Cluster, NodeApplication};
use sansocket_protocol::random::Random;
use std::future::poll_fn;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::task::{Context, Poll};

/// The task of a node, until it is closed.
pub(crate) fn node_task(
    cluster: Arc<Cluster>,
    bus: Box<dyn Bus>,
    application: Arc<dyn NodeApplication>,
    random: Random,
) -> BoxFuture<()> {
    let link = BusLink::new(cluster.clone(), application.clone(), random);
    let mut bus = Some(bus.run(link));
    let mut alarm = Alarm::default();
    let mut goodbye = None;
    let ending = Ending(cluster);
    Box::pin(poll_fn(move |context| {
        let cluster = &ending.0;
        loop {
            let bus_progress = poll_bus(cluster, &mut bus, context);
            let was_closing = cluster.is_closing();
            cluster.deliver(&*application);
            let now = cluster.clock().now();
            if was_closing {
                // What `close` has ended is delivered by now.
                let until = *goodbye.get_or_insert(now + cluster.goodbye());
                if bus_progress == Progress::Ended || now >= until {
                    cluster.ended();
                    return Poll::Ready(());
                }
            }
            let Poll::Ready(wakes_at) = cluster.poll_timeout(context) else { continue };
            if let Some(until) = goodbye {
                if alarm.poll(until, now, cluster.clock(), context).is_pending() {
                    return Poll::Pending;
                }
                continue;
            }
            if cluster.is_closing() {
                continue;
            }
            let Some(deadline) = wakes_at else { return Poll::Pending };
            if deadline > now && alarm.poll(deadline, now, cluster.clock(), context).is_pending() {
                return Poll::Pending;
            }
            cluster.with_node(|node, now| node.handle_timeout(now));
        }
    }))
}

/// Says that the task has ended, also if the runtime drops it unfinished.
struct Ending(Arc<Cluster>);

impl Drop for Ending {
    fn drop(&mut self) {
        self.0.ended();
    }
}

#[derive(PartialEq, Eq)]
enum Progress {
    Waits,
    Ended,
}

/// Polls the bus. One that ends too early, or panics, is away for good.
fn poll_bus(cluster: &Arc<Cluster>, bus: &mut Option<BoxFuture<()>>, context: &mut Context<'_>) -> Progress {
    let Some(run) = bus else { return Progress::Ended };
    let said = match catch_unwind(AssertUnwindSafe(|| run.as_mut().poll(context))) {
        Ok(Poll::Pending) => return Progress::Waits,
        Ok(Poll::Ready(())) => {
            if cluster.is_closing() {
                cluster.said_all();
            }
            "the bus has ended, and is away for good"
        }
        Err(_) => "the bus has panicked, and is away for good",
    };
    *bus = None;
    if !cluster.is_closing() {
        warning!("{said}");
        cluster.down(Some(Arc::new(said.into())));
    }
    Progress::Ended
}
