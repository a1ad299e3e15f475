//! Requests for sessions of other nodes, as those who wait hold them.

use crate::base::trace::warning;
use crate::cluster::handle::{Cluster, NodeApplication};
use bytes::Bytes;
use futures_channel::oneshot;
use sansocket_protocol::cluster::node::{ForwardId, NodeEvent, RequestName};
use sansocket_protocol::cluster::{ForwardError, ForwardFailure, ForwardedAnswer, ForwardedRequest};
use sansocket_protocol::engine::{NodeMark, Response};
use std::collections::BTreeMap;
use std::future::{Future, poll_fn};
use std::net::IpAddr;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::Poll;

type Outcome = Result<Response, ForwardError>;

/// Those who wait for news of a request.
#[derive(Default)]
pub(crate) struct Forwards {
    /// For its answer.
    pub(super) asked: BTreeMap<ForwardId, oneshot::Sender<Outcome>>,
    /// For its end before it is answered: that the sender is dropped says so.
    pub(super) served: BTreeMap<RequestName, oneshot::Sender<()>>,
}

impl Forwards {
    /// Whether it is they who are told that.
    pub(super) fn are_told(event: &NodeEvent) -> bool {
        use NodeEvent::{Forwarded, Request, RequestOver};
        matches!(event, Forwarded { .. } | Request { .. } | RequestOver { .. })
    }

    /// The news of a request that an event of the machine contains, to be told without the lock.
    pub(super) fn take(&mut self, event: NodeEvent, cluster: &Arc<Cluster>) -> News {
        match event {
            NodeEvent::Forwarded { forward, outcome } => News::Answered(self.asked.remove(&forward), outcome),
            NodeEvent::Request { name, request } => {
                let (sender, over) = oneshot::channel();
                self.served.insert(name, sender);
                News::Request(request, ForwardedHere { cluster: cluster.clone(), name, over })
            }
            NodeEvent::RequestOver { name } => News::Over(self.served.remove(&name)),
            _ => News::Over(None),
        }
    }
}

/// News of a request.
pub(super) enum News {
    Answered(Option<oneshot::Sender<Outcome>>, Outcome),
    Request(ForwardedRequest, ForwardedHere),
    Over(Option<oneshot::Sender<()>>),
}

impl News {
    pub(super) fn tell(self, application: &dyn NodeApplication) {
        match self {
            // Nobody listens if the client has gone away.
            Self::Answered(asker, outcome) => drop(asker.map(|asker| asker.send(outcome))),
            Self::Request(request, here) => application.request(request, here),
            Self::Over(sender) => drop(sender),
        }
    }
}

impl Cluster {
    /// The mark in the ids of this node's sessions.
    pub(crate) fn mark(&self) -> NodeMark {
        NodeMark::of(&self.with_node(|node, _| node.name().clone()))
    }

    /// The node whose session a request names that was refused here, if it is another one's.
    pub(crate) fn owner_of(&self, session_id: &str) -> Option<Arc<str>> {
        let (owner, times) =
            self.with_node(|node, _| Some((node.owner_of(session_id)?, node.counts().misrouted)))?;
        // A client tries again and again, and there may be thousands. What is refused among nodes that pass requests on are
        // WebSockets, whose clients stay on long-polling.
        if times.is_power_of_two() && !self.forwards {
            warning!(
                node = &*owner,
                times,
                "a client's request came to a node that does not have its session: let the load balancer send each client \
                 to the same node always, let clients use WebSocket alone, or turn on `forward_requests` at all nodes"
            );
        }
        Some(owner)
    }

    /// Begins to pass a request on, of a client at that address, if it is known.
    ///
    /// # Errors
    /// [`ForwardError`].
    pub(crate) fn forward(
        self: &Arc<Self>,
        address: Option<IpAddr>,
        session: &str,
    ) -> Result<Forwarding, ForwardError> {
        let id = self.with_node(|node, now| node.open_forward_from(now, address, session, 0))?;
        Ok(Forwarding { cluster: self.clone(), id })
    }

    fn answer_request(&self, name: RequestName, answer: ForwardedAnswer) {
        // Its body is copied before the lock is taken.
        let answer = self.encoder.forward_answer(answer);
        let over = self.with_forwards(|node, forwards, now| {
            node.answer_request(now, name, answer);
            forwards.served.remove(&name)
        });
        // Without the lock.
        drop(over);
    }
}

/// A request that is passed on, until this is dropped: its client has the answer then, or has gone away.
pub(crate) struct Forwarding {
    cluster: Arc<Cluster>,
    id: ForwardId,
}

impl Forwarding {
    /// Counts bytes of its body that have come.
    ///
    /// # Errors
    /// [`ForwardError::TooManyBytes`] and the same of the client's address.
    pub(crate) fn grow(&self, bytes: usize) -> Result<(), ForwardError> {
        self.cluster.with_node(|node, _| node.grow_forward(self.id, bytes))
    }

    /// Passes it on, and waits for the answer.
    ///
    /// # Errors
    /// [`ForwardError`] if there is none.
    pub(crate) async fn send(&self, request: ForwardedRequest) -> Outcome {
        let (sender, answer) = oneshot::channel();
        // Its body is copied before the lock is taken.
        let request = self.cluster.encoder.forward(request);
        self.cluster.with_forwards(|node, forwards, now| {
            // The task would not hand over the answer any more.
            if !self.cluster.is_closing() {
                forwards.asked.insert(self.id, sender);
                node.send_forward(now, self.id, request);
            }
        });
        // Nothing comes from a node that is closed meanwhile.
        answer.await.unwrap_or(Err(ForwardError::BusAway))
    }

    /// The body of the answer, which counts among those that are not written until HTTP lets go of it.
    pub(crate) fn until_written(self, body: Bytes) -> Bytes {
        if body.is_empty() { body } else { Bytes::from_owner(Held { body, _forwarding: self }) }
    }
}

impl Drop for Forwarding {
    fn drop(&mut self) {
        let asker = self.cluster.with_forwards(|node, forwards, now| {
            node.close_forward(now, self.id);
            forwards.asked.remove(&self.id)
        });
        // Without the lock.
        drop(asker);
    }
}

struct Held {
    body: Bytes,
    _forwarding: Forwarding,
}

impl AsRef<[u8]> for Held {
    fn as_ref(&self) -> &[u8] {
        &self.body
    }
}

/// A request of another node, to be answered by its session here. If this is dropped without that, the other node is told.
pub(crate) struct ForwardedHere {
    cluster: Arc<Cluster>,
    name: RequestName,
    over: oneshot::Receiver<()>,
}

impl ForwardedHere {
    /// Passes the answer back, unless nobody waits for it any more: what makes it is dropped then.
    pub(crate) async fn answer(mut self, answer: impl Future<Output = ForwardedAnswer>) {
        let mut answer = pin!(answer);
        let answered = poll_fn(|context| {
            if let Poll::Ready(answer) = answer.as_mut().poll(context) {
                return Poll::Ready(Some(answer));
            }
            Pin::new(&mut self.over).poll(context).map(|_| None)
        })
        .await;
        if let Some(answer) = answered {
            self.cluster.answer_request(self.name, answer);
        }
    }
}

impl Drop for ForwardedHere {
    fn drop(&mut self) {
        // Without effect on one that is answered.
        self.cluster.answer_request(self.name, ForwardedAnswer::Failed(ForwardFailure::NoAnswer));
    }
}
