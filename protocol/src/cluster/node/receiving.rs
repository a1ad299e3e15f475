//! What comes into a node: members, answers, and the requests of others.

use super::{AskId, Asked, Expects, Kind, Node, NodeEvent, Serving, ServingId, Timer};
use crate::cluster::{Envelope, MalformedError, Message, Origin};
use alloc::sync::Arc;
use alloc::vec::Vec;

impl Node {
    pub(super) fn take(&mut self, read: Result<Envelope, MalformedError>) {
        let Ok(Envelope { origin, to, namespace, message, .. }) = read else {
            self.counts.malformed = self.counts.malformed.saturating_add(1);
            return;
        };
        let is_own = origin == Origin::Node(self.name.clone());
        if is_own || !self.spaces.contains_key(&namespace) || to.is_some_and(|to| to != self.name) {
            return;
        }
        self.counts.received = self.counts.received.saturating_add(1);
        let node = match origin {
            Origin::Node(node) => Some(node),
            Origin::Emitter | Origin::Unnamed => None,
        };
        if message == Message::NodeClosed {
            if let Some(node) = node {
                self.peer_down(&namespace, &node);
            }
            return;
        }
        if let Some(node) = node.as_ref().filter(|_| self.dialect.is_heard()) {
            self.heard(&namespace, node);
        }
        match message {
            Message::Hello => {
                if self.dialect.is_heard() {
                    let _ = self.publish(&namespace, None, Message::Heartbeat);
                }
            }
            Message::Heartbeat | Message::NodeClosed => {}
            message if message.answers().is_some() => self.answered(node.as_ref(), message),
            message => self.serve(namespace, node, message),
        }
    }

    pub(super) fn heard(&mut self, namespace: &Arc<str>, node: &Arc<str>) {
        let silent_at = self.now + self.config.heartbeat_timeout;
        let limit = self.config.max_peers;
        let Some(space) = self.spaces.get_mut(namespace) else { return };
        if let Some(peer) = space.peers.get_mut(node) {
            *peer = silent_at;
            return;
        }
        if space.peers.len() >= limit {
            self.counts.refused = self.counts.refused.saturating_add(1);
            return;
        }
        space.peers.insert(node.clone(), silent_at);
        self.timers.insert((silent_at, Timer::Peer(namespace.clone(), node.clone())));
        self.events.push_back(NodeEvent::PeerUp { namespace: namespace.clone(), node: node.clone() });
    }

    /// A node that is gone has answered all that it ever will.
    pub(super) fn peer_down(&mut self, namespace: &Arc<str>, node: &Arc<str>) {
        let Some(space) = self.spaces.get_mut(namespace) else { return };
        let Some(silent_at) = space.peers.remove(node) else { return };
        // Unless it was put off, and finds nobody then.
        self.timers.remove(&(silent_at, Timer::Peer(namespace.clone(), node.clone())));
        self.events.push_back(NodeEvent::PeerDown { namespace: namespace.clone(), node: node.clone() });
        let mut changed = Vec::new();
        for (id, asked) in &mut self.asks {
            let Expects::Named(nodes) = &mut asked.expects else { continue };
            if asked.namespace != *namespace {
                continue;
            }
            if nodes.remove(node) {
                let missing = asked.outcome.missing_nodes.unwrap_or(0).saturating_add(1);
                asked.outcome.missing_nodes = Some(missing);
                changed.push(*id);
            }
            if let Some(open) = asked.open_acks.remove(node).filter(|open| *open > 0) {
                let open = u32::try_from(open).unwrap_or(u32::MAX);
                asked.outcome.missing_acks = asked.outcome.missing_acks.saturating_add(open);
                asked.counted_acks = asked.counted_acks.saturating_sub(open.into());
                changed.push(*id);
            }
        }
        changed.into_iter().for_each(|id| self.finish_if_complete(id));
    }

    /// An answer to a request of this node. One that is not open, not of that kind, or told before, changes nothing.
    pub(super) fn answered(&mut self, node: Option<&Arc<str>>, message: Message) {
        let Some(&id) = message.answers().and_then(|token| self.tokens.get(token)) else { return };
        let max = self.config.max_answers;
        let Some(asked) = self.asks.get_mut(&id) else { return };
        let has_room = asked.outcome.answers.len().saturating_add(asked.outcome.sockets.len()) < max;
        match (asked.kind, message) {
            (Kind::Acks { .. }, Message::AckCount { sockets, .. }) => {
                if asked.is_first_of(node) {
                    asked.counted_acks = asked.counted_acks.saturating_add(sockets.into());
                    if let Some(node) = node {
                        let open = asked.open_acks.entry(node.clone()).or_default();
                        *open = open.saturating_add(sockets.into());
                    }
                }
            }
            (Kind::Acks { .. }, Message::Ack { args, .. }) if has_room => {
                asked.acks = asked.acks.saturating_add(1);
                if let (Some(node), Expects::Named(_)) = (node, &asked.expects) {
                    let open = asked.open_acks.entry(node.clone()).or_default();
                    *open = open.saturating_sub(1);
                }
                asked.outcome.answers.push(args);
            }
            (Kind::Sockets, Message::Sockets { sockets, .. }) => {
                if asked.is_first_of(node) {
                    let room = max.saturating_sub(asked.outcome.sockets.len());
                    if sockets.len() > room {
                        self.counts.refused = self.counts.refused.saturating_add(1);
                    }
                    asked.outcome.sockets.extend(sockets.into_iter().take(room));
                }
            }
            (Kind::ServerSide, Message::ServerSideAnswer { value, .. }) if has_room => {
                if asked.is_first_of(node) {
                    asked.outcome.answers.push(value);
                }
            }
            _ => {
                self.counts.refused = self.counts.refused.saturating_add(1);
                return;
            }
        }
        self.finish_if_complete(id);
    }

    pub(super) fn finish_if_complete(&mut self, id: AskId) {
        if self.asks.get(&id).is_some_and(Asked::is_complete) {
            self.finish(id);
        }
    }

    /// Ends a request, with what came and what is missing.
    pub(super) fn finish(&mut self, id: AskId) {
        let Some(mut asked) = self.asks.remove(&id) else { return };
        self.tokens.remove(&asked.token);
        self.timers.remove(&(asked.deadline, Timer::Ask(id)));
        let outcome = &mut asked.outcome;
        let gone = outcome.missing_nodes.unwrap_or(0);
        outcome.missing_nodes = match &asked.expects {
            Expects::Named(nodes) => {
                Some(gone.saturating_add(u32::try_from(nodes.len()).unwrap_or(u32::MAX)))
            }
            Expects::Counted(Some(nodes)) => Some(nodes.saturating_sub(asked.answered)),
            Expects::Counted(None) | Expects::Unknown => None,
        };
        let open = asked.counted_acks.saturating_sub(asked.acks);
        outcome.missing_acks = outcome.missing_acks.saturating_add(u32::try_from(open).unwrap_or(u32::MAX));
        self.events.push_back(NodeEvent::Done { ask: id, outcome: asked.outcome });
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

impl Asked {
    /// Whether this is the first answer of a node, as far as it can be told.
    fn is_first_of(&mut self, node: Option<&Arc<str>>) -> bool {
        match (&mut self.expects, node) {
            (Expects::Named(nodes), Some(node)) => nodes.remove(node),
            (Expects::Named(_), None) => false,
            (Expects::Counted(_) | Expects::Unknown, _) => {
                self.answered = self.answered.saturating_add(1);
                true
            }
        }
    }

    fn is_complete(&self) -> bool {
        let is_answered = match &self.expects {
            Expects::Named(nodes) => nodes.is_empty(),
            Expects::Counted(Some(nodes)) => self.answered >= *nodes,
            Expects::Counted(None) | Expects::Unknown => false,
        };
        match self.kind {
            Kind::Acks { single: true } if self.acks > 0 => true,
            Kind::Acks { .. } => is_answered && self.acks >= self.counted_acks,
            Kind::Sockets | Kind::ServerSide | Kind::Nodes => is_answered,
        }
    }
}
