//! The requests of other nodes that this one answers.

use super::asking::Kind;
use super::{Answer, Dialect, Node, NodeEvent, ServingId, Timer};
use crate::cluster::{Message, RequestId};
use crate::time::Instant;
use alloc::sync::Arc;
use alloc::vec::Vec;

#[derive(Debug)]
pub(super) struct Serving {
    pub(super) namespace: Arc<str>,
    pub(super) deadline: Instant,
    pub(super) request: RequestId,
    pub(super) asker: Arc<str>,
    pub(super) kind: Kind,
    pub(super) expected: Option<u32>,
    pub(super) acked: u32,
}

impl Node {
    /// Answers a peer's request. An answer that comes too late, or to what does not ask for it, has no effect.
    pub fn answer(&mut self, now: Instant, serving: ServingId, answer: Answer) {
        self.tick(now);
        let Some(served) = self.servings.get_mut(&serving) else { return };
        let request = served.request.clone();
        let message = match (served.kind, answer) {
            (Kind::Acks { .. }, Answer::Count(sockets)) if served.expected.is_none() => {
                served.expected = Some(sockets);
                Message::AckCount { request, sockets }
            }
            (Kind::Acks { .. }, Answer::Ack(args)) => {
                served.acked = served.acked.saturating_add(1);
                Message::Ack { request, args }
            }
            (Kind::Sockets, Answer::Sockets(sockets)) => {
                served.expected = Some(0);
                Message::Sockets { request, sockets }
            }
            (Kind::Sockets, Answer::Ids(ids)) => {
                served.expected = Some(0);
                Message::SocketIds { request, ids }
            }
            (Kind::Sockets, Answer::Rooms(rooms)) => {
                served.expected = Some(0);
                Message::Rooms { request, rooms }
            }
            (Kind::ServerSide, Answer::ServerSide(value)) => {
                served.expected = Some(0);
                Message::ServerSideAnswer { request, value }
            }
            _ => return,
        };
        let (namespace, asker) = (served.namespace.clone(), served.asker.clone());
        if served.expected.is_some_and(|expected| served.acked >= expected) {
            self.timers.remove(&(served.deadline, Timer::Serving(serving)));
            self.servings.remove(&serving);
        }
        // Python has no counts, and is not told any.
        let is_untold = matches!((&self.dialect, &message), (Dialect::Python(_), Message::AckCount { .. }));
        if !is_untold && self.publish(&namespace, Some(asker), message).is_err() {
            self.counts.inexpressible = self.counts.inexpressible.saturating_add(1);
        }
    }

    /// A peer's command or request.
    pub(super) fn serve(&mut self, namespace: Arc<str>, asker: Option<Arc<str>>, message: Message) {
        let (request, kind, timeout) = match &message {
            Message::Emit { ack: Some(ack), .. } => {
                (Some(&ack.request), Kind::Acks { single: ack.single }, ack.timeout)
            }
            Message::ServerSideEmit { request, .. } => (request.as_ref(), Kind::ServerSide, None),
            Message::FetchSockets { request, .. }
            | Message::FetchIds { request, .. }
            | Message::FetchRooms { request } => (Some(request), Kind::Sockets, None),
            _ => (None, Kind::Nodes, None),
        };
        let mut serving = None;
        if let (Some(request), Some(asker)) = (request, asker) {
            if self.servings.len() >= self.config.max_servings {
                self.refuse(namespace, asker, message);
                return;
            }
            self.last_serving = self.last_serving.saturating_add(1);
            let id = ServingId(self.last_serving);
            let timeout = timeout.unwrap_or(self.config.answer_timeout).min(self.config.max_answer_timeout);
            let deadline = self.now + timeout;
            let served = Serving {
                namespace: namespace.clone(),
                deadline,
                request: request.clone(),
                asker,
                kind,
                expected: None,
                acked: 0,
            };
            self.servings.insert(id, served);
            self.timers.insert((deadline, Timer::Serving(id)));
            serving = Some(id);
        }
        self.events.push_back(NodeEvent::Message { namespace, message, serving });
    }

    /// There are too many requests of peers. The asker is told that there is nothing here, or it would wait; an event
    /// is delivered, but its acknowledgements are not passed on.
    pub(super) fn refuse(&mut self, namespace: Arc<str>, asker: Arc<str>, message: Message) {
        self.counts.refused = self.counts.refused.saturating_add(1);
        let answer = match &message {
            Message::Emit { ack: Some(ack), .. } => {
                Some(Message::AckCount { request: ack.request.clone(), sockets: 0 })
            }
            Message::FetchSockets { request, .. } => {
                Some(Message::Sockets { request: request.clone(), sockets: Vec::new() })
            }
            Message::FetchIds { request, .. } => {
                Some(Message::SocketIds { request: request.clone(), ids: Vec::new() })
            }
            Message::FetchRooms { request } => {
                Some(Message::Rooms { request: request.clone(), rooms: Vec::new() })
            }
            _ => None,
        };
        if let Some(answer) = answer {
            let _ = self.publish(&namespace, Some(asker), answer);
        }
        if let Message::Emit { .. } = message {
            self.events.push_back(NodeEvent::Message { namespace, message, serving: None });
        }
    }
}
