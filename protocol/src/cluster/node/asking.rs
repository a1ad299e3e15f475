//! The requests of this node: each ends once, with what came and what is missing.

use super::{Ask, AskError, AskId, Dialect, Membership, Node, NodeEvent, NodeTransmit, Outcome, Timer};
use crate::cluster::{AckRequest, Event, Message, Python, RequestId, Values};
use crate::hub::Target;
use crate::random::Random;
use crate::socket::Args;
use crate::time::Instant;
use alloc::collections::{BTreeMap, BTreeSet};
use alloc::format;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::mem;
use core::time::Duration;

#[derive(Debug)]
pub(super) struct Asked {
    pub(super) namespace: Arc<str>,
    pub(super) deadline: Instant,
    pub(super) token: RequestId,
    pub(super) kind: Kind,
    pub(super) expects: Expects,
    /// Of nodes that are known by name: acknowledgements still to come, below zero if some were before the count.
    pub(super) open_acks: BTreeMap<Arc<str>, i64>,
    /// Of all nodes together.
    pub(super) acks: u64,
    pub(super) counted_acks: u64,
    /// The bytes that further acknowledgements may have.
    pub(super) budget: usize,
    /// Of a bridge: the part that Python nodes were asked.
    pub(super) python: Option<PythonPart>,
    pub(super) answered: u32,
    pub(super) outcome: Outcome,
}

/// The part of a request that Python nodes were asked besides. They do not say how many answers are to come.
#[derive(Debug)]
pub(super) struct PythonPart {
    pub(super) token: RequestId,
    /// The request does not end without an answer before that.
    pub(super) until: Instant,
    pub(super) acks: u64,
    pub(super) is_over: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Acks { single: bool },
    Sockets,
    ServerSide,
    Nodes,
}

#[derive(Debug)]
pub(super) enum Expects {
    /// These nodes.
    Named(BTreeSet<Arc<str>>),
    /// So many nodes, once the bus has said it.
    Counted(Option<u32>),
    /// Nobody knows.
    Unknown,
}

impl Node {
    /// Asks the others. The request ends in one [`NodeEvent::Done`], when all have answered or after `timeout`. What
    /// this node's own sockets have to say is the runtime's.
    ///
    /// # Errors
    ///
    /// [`AskError`]. Then there is no such event.
    pub fn ask(
        &mut self,
        now: Instant,
        namespace: &str,
        ask: Ask,
        timeout: Duration,
    ) -> Result<AskId, AskError> {
        let now = self.tick(now);
        let limit = self.config.max_asks;
        if self.asks.len() >= limit {
            self.counts.refused = self.counts.refused.saturating_add(1);
            return Err(AskError::TooMany { limit });
        }
        let (namespace, space) = self.spaces.get_key_value(namespace).ok_or(AskError::NotOpen)?;
        let namespace = namespace.clone();
        let expects = match self.dialect.membership() {
            Membership::Heard { .. } => Expects::Named(space.peers.keys().cloned().collect()),
            Membership::Counted => Expects::Counted(None),
            Membership::Unknown => Expects::Unknown,
        };
        self.last_ask = self.last_ask.saturating_add(1);
        let id = AskId(self.last_ask);
        let token = match (&self.dialect, &ask) {
            (Dialect::Python(_), Ask::Acks { target, .. }) => Python::request(target, &namespace, id.0),
            _ => RequestId::new(token(&self.dialect, &mut self.random)),
        };
        let is_local = ask.is_local();
        let budget = ask.max_bytes();
        let (kind, message) = ask.into_message(&token, timeout);
        let deadline = now + timeout;
        let expects = if is_local { Expects::Counted(Some(0)) } else { expects };
        let to_python = match &message {
            Some(Message::Emit { event, target, .. }) if self.bridging.is_some() && !is_local => {
                Some((event.clone(), target.clone()))
            }
            _ => None,
        };
        let mut asked = Asked::new(namespace.clone(), deadline, token.clone(), kind, expects);
        asked.budget = budget;
        let is_published = if is_local { true } else { self.count_and_publish(id, &namespace, message)? };
        if let Some((event, target)) = to_python.filter(|_| is_published) {
            asked.python = self.ask_python_too(id, &asked, event, target);
        }
        self.asks.insert(id, asked);
        self.tokens.insert(token, id);
        // Nobody can answer what nobody hears, and without a bus or a count nobody knows who is there.
        let is_hopeless = !is_local && (!is_published || (kind == Kind::Nodes && self.is_unknown()));
        if is_hopeless {
            if let Some(asked) = self.asks.get_mut(&id) {
                asked.expects = Expects::Unknown;
            }
            self.finish(id);
        } else {
            self.timers.insert((deadline, Timer::Ask(id)));
            self.finish_if_complete(id);
        }
        Ok(id)
    }

    /// Sends a request, behind the question how many there are to answer it: a node that comes in between then
    /// answers without being waited for. False if it was dropped.
    fn count_and_publish(
        &mut self,
        id: AskId,
        namespace: &str,
        message: Option<Message>,
    ) -> Result<bool, AskError> {
        let count = self.dialect.count_channel(namespace).filter(|_| self.is_up);
        let has_count = count.is_some();
        if let Some(channel) = count {
            self.transmits.push_back(NodeTransmit::Count { channel, ask: id });
        }
        let Some(message) = message else { return Ok(self.is_up) };
        let published = self.publish(namespace, None, message);
        if published.is_err() && has_count {
            self.transmits.pop_back();
        }
        Ok(published?)
    }

    /// The same to Python nodes, whose answers are waited for as long as the settings say, and to one socket to the end.
    fn ask_python_too(
        &mut self,
        id: AskId,
        asked: &Asked,
        event: Event,
        target: Target,
    ) -> Option<PythonPart> {
        let wait_until = (self.now + self.config.python_ack_wait).min(asked.deadline);
        let until = if asked.kind == (Kind::Acks { single: true }) { asked.deadline } else { wait_until };
        let token = self.ask_python(&asked.namespace, event, target)?;
        self.tokens.insert(token.clone(), id);
        self.timers.insert((until, Timer::Collect(id)));
        Some(PythonPart { token, until, acks: 0, is_over: false })
    }

    /// The acknowledgements of Python's clients have had their time.
    pub(super) fn collected(&mut self, id: AskId) {
        if let Some(python) = self.asks.get_mut(&id).and_then(|asked| asked.python.as_mut()) {
            python.is_over = true;
            self.finish_if_complete(id);
        }
    }

    fn is_unknown(&self) -> bool {
        self.dialect.membership() == Membership::Unknown
    }

    /// The bus has said how many subscribe to the channel of a request, this node included; `None` if it could not.
    pub fn handle_count(&mut self, now: Instant, ask: AskId, subscribers: Option<u32>) {
        self.tick(now);
        let Some(asked) = self.asks.get_mut(&ask) else { return };
        let Expects::Counted(count @ None) = &mut asked.expects else { return };
        let Some(subscribers) = subscribers else {
            // Others may answer all the same; there is nothing to wait for if the number itself was asked for.
            if asked.kind == Kind::Nodes {
                self.finish(ask);
            }
            return;
        };
        let others = subscribers.saturating_sub(1);
        *count = Some(others);
        if asked.kind == Kind::Nodes {
            asked.outcome.nodes = Some(others);
            asked.answered = others;
        }
        self.finish_if_complete(ask);
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
            (Kind::Acks { .. }, Message::Ack { args, request }) if has_room => {
                if let Some(python) = asked.python.as_mut().filter(|python| python.token == request) {
                    python.acks = python.acks.saturating_add(1);
                    self.counts.refused = self.counts.refused.saturating_add(asked.keep(args));
                    self.finish_if_complete(id);
                    return;
                }
                asked.acks = asked.acks.saturating_add(1);
                if let (Some(node), Expects::Named(_)) = (node, &asked.expects) {
                    let open = asked.open_acks.entry(node.clone()).or_default();
                    *open = open.saturating_sub(1);
                }
                self.counts.refused = self.counts.refused.saturating_add(asked.keep(args));
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

    /// Ends the requests whose answers nodes send at once.
    pub(super) fn finish_lists(&mut self) {
        let is_list = |asked: &Asked| !matches!(asked.kind, Kind::Acks { .. });
        let lists: Vec<AskId> =
            self.asks.iter().filter(|(_, asked)| is_list(asked)).map(|(id, _)| *id).collect();
        lists.into_iter().for_each(|id| self.finish(id));
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
        if let Some(python) = &asked.python {
            self.tokens.remove(&python.token);
            self.timers.remove(&(python.until, Timer::Collect(id)));
        }
        let outcome = &mut asked.outcome;
        let gone = outcome.missing_nodes.unwrap_or(0);
        outcome.missing_nodes = match &asked.expects {
            Expects::Named(nodes) => {
                Some(gone.saturating_add(u32::try_from(nodes.len()).unwrap_or(u32::MAX)))
            }
            Expects::Counted(Some(nodes)) => Some(nodes.saturating_sub(asked.answered)),
            Expects::Counted(None) | Expects::Unknown => None,
        };
        let is_enough = asked.kind == Kind::Acks { single: true } && !outcome.answers.is_empty();
        if is_enough {
            // Whoever has not answered was not the one.
            outcome.missing_nodes = Some(0);
            asked.counted_acks = asked.acks;
            outcome.missing_acks = 0;
        }
        let open = asked.counted_acks.saturating_sub(asked.acks);
        outcome.missing_acks = outcome.missing_acks.saturating_add(u32::try_from(open).unwrap_or(u32::MAX));
        self.events.push_back(NodeEvent::Done { ask: id, outcome: asked.outcome });
    }
}

impl Ask {
    fn is_local(&self) -> bool {
        match self {
            Self::Acks { target, .. } | Self::Sockets { target } => target.flags.local,
            Self::ServerSide { .. } | Self::Nodes => false,
        }
    }

    /// The bytes that its acknowledgements may have.
    fn max_bytes(&self) -> usize {
        match self {
            Self::Acks { max_bytes, .. } => *max_bytes,
            Self::Sockets { .. } | Self::ServerSide { .. } | Self::Nodes => 0,
        }
    }

    /// The message that asks, if the bus itself does not know the answer.
    fn into_message(self, token: &RequestId, timeout: Duration) -> (Kind, Option<Message>) {
        match self {
            Self::Acks { event, target, single, .. } => {
                let ack = AckRequest { request: token.clone(), timeout: Some(timeout), single };
                (Kind::Acks { single }, Some(Message::Emit { event, target, ack: Some(ack) }))
            }
            Self::Sockets { target } => {
                (Kind::Sockets, Some(Message::FetchSockets { request: token.clone(), target }))
            }
            Self::ServerSide { event } => {
                let request = Some(token.clone());
                (Kind::ServerSide, Some(Message::ServerSideEmit { event, request }))
            }
            Self::Nodes => (Kind::Nodes, None),
        }
    }
}

impl Asked {
    fn new(
        namespace: Arc<str>,
        deadline: Instant,
        token: RequestId,
        kind: Kind,
        mut expects: Expects,
    ) -> Self {
        let mut outcome = Outcome::default();
        // Nodes that are known by name need not be asked whether they are there.
        if let (Kind::Nodes, Expects::Named(nodes)) = (kind, &mut expects) {
            outcome.nodes = Some(u32::try_from(nodes.len()).unwrap_or(u32::MAX));
            nodes.clear();
        }
        Self {
            namespace,
            deadline,
            token,
            kind,
            expects,
            open_acks: BTreeMap::new(),
            acks: 0,
            counted_acks: 0,
            budget: 0,
            python: None,
            answered: 0,
            outcome,
        }
    }

    /// Keeps an acknowledgement, if its bytes are within the budget. Returns the number of those that were dropped.
    fn keep(&mut self, args: Values) -> u64 {
        let weight = args.args().wire_len().saturating_add(mem::size_of::<Args>());
        match self.budget.checked_sub(weight) {
            Some(left) => {
                self.budget = left;
                self.outcome.answers.push(args);
                0
            }
            None => {
                self.outcome.refused_acks = self.outcome.refused_acks.saturating_add(1);
                1
            }
        }
    }

    /// Returns whether this is the first answer of a node, as far as it can be told.
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
            Kind::Acks { single: true } if self.python.as_ref().is_some_and(|python| python.acks > 0) => true,
            Kind::Acks { single } => {
                // The one socket is no Python node's if another has it.
                let is_elsewhere = single && self.counted_acks > 0;
                let is_collected = self.python.as_ref().is_none_or(|python| python.is_over || is_elsewhere);
                is_answered && is_collected && self.acks >= self.counted_acks
            }
            Kind::Sockets | Kind::ServerSide | Kind::Nodes => is_answered,
        }
    }
}

/// A name of a node or of a request, as long as the peers' are.
pub(super) fn token(dialect: &Dialect, random: &mut Random) -> String {
    match dialect {
        Dialect::Classic(_) => random.id().chars().take(6).collect(),
        _ => format!("{:016x}", random.u64()),
    }
}
