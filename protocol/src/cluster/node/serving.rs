//! The requests of other nodes that this one answers.

use super::asking::Kind;
use super::bridging::Held;
use super::{Answer, Dialect, Node, NodeEvent, ServingId, Timer};
use crate::cluster::bridge::Family;
use crate::cluster::{Message, RequestId};
use crate::time::Instant;
use alloc::boxed::Box;
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
    /// Of a bridge: the family that the asker is of, and what Python is still to answer.
    pub(super) family: Family,
    pub(super) held: Option<Box<Held>>,
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
        let (namespace, asker, family) = (served.namespace.clone(), served.asker.clone(), served.family);
        let is_count = matches!(message, Message::AckCount { .. });
        let is_held = is_count && self.is_held(serving);
        self.end_serving_if_over(serving);
        // Python has no counts, and is not told any.
        let is_python = family == Family::Python || matches!(self.dialect, Dialect::Python(_));
        let is_untold = is_count && (is_python || is_held);
        if !is_untold && self.publish_to(family, &namespace, Some(asker), None, message).is_err() {
            self.counts.inexpressible = self.counts.inexpressible.saturating_add(1);
        }
    }

    /// Forgets a request that nothing more is to be answered to.
    pub(super) fn end_serving_if_over(&mut self, serving: ServingId) {
        let is_over = |served: &Serving| {
            served.held.is_none() && served.expected.is_some_and(|expected| served.acked >= expected)
        };
        if self.servings.get(&serving).is_some_and(is_over) {
            self.end_serving(serving);
        }
    }

    pub(super) fn end_serving(&mut self, serving: ServingId) {
        let Some(served) = self.servings.remove(&serving) else { return };
        self.timers.remove(&(served.deadline, Timer::Serving(serving)));
        if let Some(held) = served.held {
            self.unhold(serving, &served.request, &held);
        }
    }

    /// A peer's command or request. Gives back its name, if it is to be answered.
    pub(super) fn serve(
        &mut self,
        family: Family,
        namespace: Arc<str>,
        asker: Option<Arc<str>>,
        message: Message,
    ) -> Option<ServingId> {
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
                self.refuse(family, namespace, asker, message);
                return None;
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
                family,
                held: None,
            };
            self.servings.insert(id, served);
            self.timers.insert((deadline, Timer::Serving(id)));
            serving = Some(id);
        }
        self.events.push_back(NodeEvent::Message { namespace, message, serving });
        serving
    }

    /// There are too many requests of peers. The asker is told that there is nothing here, or it would wait; an event
    /// is delivered, but its acknowledgements are not passed on.
    fn refuse(&mut self, family: Family, namespace: Arc<str>, asker: Arc<str>, message: Message) {
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
            // Python is told no counts.
            let _ = self.publish_to(family, &namespace, Some(asker), None, answer);
        }
        if let Message::Emit { .. } = message {
            self.events.push_back(NodeEvent::Message { namespace, message, serving: None });
        }
    }
}
