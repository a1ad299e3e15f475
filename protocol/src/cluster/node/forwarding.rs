//! Requests of clients on long-polling for sessions of other nodes: passed on to the node of the session, which is known
//! by the [mark](NodeMark) in the session's id, and answered by it.
//!
//! ```text
//!   the node that got the request                          the node of the session
//!   open_forward, send_forward  ---- request, number --->  NodeEvent::Request
//!                               <--- taken --------------  if the session takes its time
//!   NodeEvent::Forwarded        <--- answer -------------  answer_request
//!   close_forward               ---- cancelled --------->  NodeEvent::RequestOver, if that was before the answer
//! ```
//!
//! A request is sent once and never again, for its packets may have been taken. Its number is higher than that of all
//! before it, so one that comes twice, or too late, is not taken. Each ends once: with its answer, or with the reason why
//! there is none.

use super::addresses::Addresses;
use super::{Dialect, Node, NodeEvent, Timer};
use crate::cluster::forward::{
    EncodedForward, Forward, ForwardError, ForwardFailure, ForwardedAnswer, ForwardedRequest, Said,
};
use crate::cluster::{Published, Subscription};
use crate::engine::{NodeMark, Response, Source};
use crate::time::Instant;
use alloc::collections::{BTreeMap, BTreeSet};
use alloc::format;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use bytes::Bytes;
use core::net::IpAddr;
use core::time::Duration;

/// A session that takes longer says that it has the request. Most answers come sooner, or not for seconds.
const TAKEN_AFTER: Duration = Duration::from_millis(200);

/// The namespace by which nodes know each other here: every server has it.
const MAIN: &str = "/";

/// The name of a request that this node passes on. Never given out twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ForwardId(u64);

/// The name of a request that another node has passed on to this one. Never given out twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RequestName(u64);

/// The requests of both directions.
#[derive(Debug)]
pub(super) struct Forwarding {
    pub(super) channel: String,
    pub(super) last_id: u64,
    pub(super) open: BTreeMap<ForwardId, Opened>,
    /// Those that were sent, by their numbers.
    pub(super) sent: BTreeMap<u64, ForwardId>,
    /// Those of bodies that are on the way.
    pub(super) bytes: usize,
    /// Those of answers: packets that their sessions have given away, so that no body may take their room.
    pub(super) answer_bytes: usize,
    pub(super) serving: BTreeMap<RequestName, Request>,
    /// Their names, by who asked and the number there.
    pub(super) names: BTreeMap<(Arc<str>, u64), RequestName>,
    pub(super) served_bytes: usize,
    /// The latest number of each node.
    pub(super) latest: BTreeMap<Arc<str>, u64>,
    pub(super) addresses: Addresses,
}

/// A request that this node passes on, until its client has the answer.
#[derive(Debug)]
pub(super) struct Opened {
    /// The nodes that may have the session: those of its mark.
    pub(super) owners: BTreeSet<Arc<str>>,
    /// The bytes of its body, while that is on the way.
    pub(super) bytes: usize,
    pub(super) answer_bytes: usize,
    pub(super) waits: Option<Waits>,
    /// Its client, if that is known, and the bytes that it sends.
    pub(super) source: Option<Source>,
    pub(super) sent_bytes: usize,
    /// Its client has gone away, and its body may still wait for the driver.
    pub(super) is_closed: bool,
}

/// The answer of a request is waited for.
#[derive(Clone, Copy, Debug)]
pub(super) struct Waits {
    pub(super) number: u64,
    pub(super) until: Instant,
    pub(super) is_taken: bool,
}

/// A request that a session of this node is to answer.
#[derive(Debug)]
pub(super) struct Request {
    pub(super) asker: Arc<str>,
    pub(super) number: u64,
    pub(super) bytes: usize,
    /// When to say that it is taken, and then when to give it up.
    pub(super) at: Instant,
    pub(super) until: Instant,
}

/// The channel of a node.
fn channel(dialect: &Dialect, node: &str) -> Option<String> {
    match dialect {
        Dialect::Heartbeats(sharded) => Some(format!("{}-http#{node}#", sharded.prefix())),
        _ => None,
    }
}

impl Forwarding {
    pub(super) fn new(dialect: &Dialect, name: &str) -> Option<Self> {
        Some(Self {
            channel: channel(dialect, name)?,
            last_id: 0,
            open: BTreeMap::new(),
            sent: BTreeMap::new(),
            bytes: 0,
            answer_bytes: 0,
            serving: BTreeMap::new(),
            names: BTreeMap::new(),
            served_bytes: 0,
            latest: BTreeMap::new(),
            addresses: Addresses::default(),
        })
    }

    pub(super) fn counts(&self) -> (usize, usize) {
        (self.open.len(), self.serving.len())
    }
}

impl Node {
    // --- the node that got the request -------------------------------------------------------------------------------

    /// Begins to pass a request on to the node of its session, of whose body `bytes` are there; more are counted by
    /// [`grow_forward`](Self::grow_forward). It is open until [`close_forward`](Self::close_forward).
    ///
    /// # Errors
    ///
    /// [`ForwardError`]. Nothing is open then.
    pub fn open_forward(
        &mut self,
        now: Instant,
        session: &str,
        bytes: usize,
    ) -> Result<ForwardId, ForwardError> {
        self.open_forward_from(now, None, session, bytes)
    }

    /// As [`open_forward`](Self::open_forward), for a client at that address: the limits for one address hold.
    ///
    /// # Errors
    ///
    /// [`ForwardError`]. Nothing is open then.
    pub fn open_forward_from(
        &mut self,
        now: Instant,
        address: Option<IpAddr>,
        session: &str,
        bytes: usize,
    ) -> Result<ForwardId, ForwardError> {
        let now = self.tick(now);
        let Some(forwarding) = &mut self.forwarding else { return Err(ForwardError::Off) };
        let mark = NodeMark::in_id(session).ok_or(ForwardError::NoOwner)?;
        if !self.is_up {
            return Err(ForwardError::BusAway);
        }
        let peers = self.spaces.get(MAIN).into_iter().flat_map(|space| space.peers.keys());
        let owners: BTreeSet<Arc<str>> = peers.filter(|name| NodeMark::of(name) == mark).cloned().collect();
        if owners.is_empty() {
            return Err(ForwardError::NoOwner);
        }
        let (limit, byte_limit) = (self.config.max_forwards, self.config.max_forwarded_bytes);
        let sum = forwarding.bytes.saturating_add(bytes);
        if forwarding.open.len() >= limit || sum > byte_limit {
            self.counts.unforwarded = self.counts.unforwarded.saturating_add(1);
            let is_full = forwarding.open.len() >= limit;
            let (many, large) =
                (ForwardError::TooMany { limit }, ForwardError::TooManyBytes { limit: byte_limit });
            return Err(if is_full { many } else { large });
        }
        let source = address.map(Source::from);
        let within =
            source.map_or(Ok(()), |source| forwarding.addresses.open(&self.config, now, source, bytes));
        if let Err(error) = within {
            self.counts.unforwarded = self.counts.unforwarded.saturating_add(1);
            return Err(error);
        }
        forwarding.bytes = sum;
        forwarding.last_id = forwarding.last_id.saturating_add(1);
        let id = ForwardId(forwarding.last_id);
        let opened = Opened {
            owners,
            bytes,
            answer_bytes: 0,
            waits: None,
            source,
            sent_bytes: bytes,
            is_closed: false,
        };
        forwarding.open.insert(id, opened);
        Ok(id)
    }

    /// Counts bytes of a body that have come for a request that was opened and is not sent.
    ///
    /// # Errors
    ///
    /// [`ForwardError::TooManyBytes`] or [`ForwardError::TooManyBytesFromAddress`]: the request is not to be sent. It stays
    /// open.
    pub fn grow_forward(&mut self, id: ForwardId, bytes: usize) -> Result<(), ForwardError> {
        let limit = self.config.max_forwarded_bytes;
        let Some(forwarding) = &mut self.forwarding else { return Err(ForwardError::Off) };
        let Some(opened) = forwarding.open.get_mut(&id).filter(|opened| opened.waits.is_none()) else {
            return Ok(());
        };
        let sum = forwarding.bytes.saturating_add(bytes);
        let within = match opened.source {
            _ if sum > limit => Err(ForwardError::TooManyBytes { limit }),
            Some(source) => forwarding.addresses.grow(&self.config, source, bytes),
            None => Ok(()),
        };
        if within.is_err() {
            self.counts.unforwarded = self.counts.unforwarded.saturating_add(1);
            return within;
        }
        forwarding.bytes = sum;
        opened.bytes = opened.bytes.saturating_add(bytes);
        opened.sent_bytes = opened.sent_bytes.saturating_add(bytes);
        Ok(())
    }

    /// Sends a request that was opened, once, as an [encoder](Self::encoder) of this node has
    /// [written](super::NodeEncoder::forward) it. Its answer is one [`NodeEvent::Forwarded`], which may come at once.
    pub fn send_forward(&mut self, now: Instant, id: ForwardId, request: EncodedForward) {
        let now = self.tick(now);
        let (until, limit) = (now + self.config.forward_patience, self.config.limits.payload_bytes);
        let Some(forwarding) = &mut self.forwarding else { return };
        let Some(opened) = forwarding.open.get_mut(&id).filter(|opened| opened.waits.is_none()) else {
            return;
        };
        // From here on its body waits for the driver, and is bounded there.
        forwarding.bytes = forwarding.bytes.saturating_sub(opened.bytes);
        opened.bytes = 0;
        forwarding.last_id = forwarding.last_id.saturating_add(1);
        let number = forwarding.last_id;
        opened.waits = Some(Waits { number, until, is_taken: false });
        let owners = opened.owners.clone();
        forwarding.sent.insert(number, id);
        self.timers.insert((until, Timer::Forward(id)));
        self.counts.forwarded = self.counts.forwarded.saturating_add(1);
        let message = request.numbered(number);
        if message.len() > limit {
            return self.forwarded(id, Err(ForwardError::TooLarge { limit }));
        }
        let mut is_sent = false;
        for owner in owners {
            is_sent |= self.say(&owner, message.clone());
        }
        if !is_sent {
            self.forwarded(id, Err(ForwardError::BusAway));
        }
    }

    /// Ends a request that was opened: the client has its answer, or has gone away before.
    pub fn close_forward(&mut self, now: Instant, id: ForwardId) {
        self.tick(now);
        let Some(forwarding) = &mut self.forwarding else { return };
        let Some(opened) = forwarding.open.get_mut(&id).filter(|opened| !opened.is_closed) else { return };
        forwarding.bytes = forwarding.bytes.saturating_sub(core::mem::take(&mut opened.bytes));
        forwarding.answer_bytes = forwarding.answer_bytes.saturating_sub(opened.answer_bytes);
        let waits = opened.waits.filter(|waits| forwarding.sent.remove(&waits.number).is_some());
        // One that sends bodies and goes away may not have more of them on their way than one that waits.
        let may_wait = waits.is_some_and(|waits| !waits.is_taken);
        let stays = may_wait && opened.source.is_some() && opened.sent_bytes > 0;
        opened.is_closed = true;
        let owners = core::mem::take(&mut opened.owners);
        if !stays {
            self.forget_forward(id);
        }
        if let Some(waits) = waits {
            self.cancel(&owners, waits.number);
        }
    }

    fn forget_forward(&mut self, id: ForwardId) {
        let Some(forwarding) = &mut self.forwarding else { return };
        let Some(opened) = forwarding.open.remove(&id) else { return };
        if let Some(waits) = opened.waits {
            self.timers.remove(&(waits.until, Timer::Forward(id)));
        }
        if let Some(source) = opened.source {
            forwarding.addresses.close(&self.config, self.now, source, opened.sent_bytes);
        }
    }

    fn cancel(&mut self, owners: &BTreeSet<Arc<str>>, number: u64) {
        let message = Forward { from: self.name.clone(), number, said: Said::Cancelled }.encode();
        for owner in owners {
            self.say(owner, message.clone());
        }
    }

    /// A request has ended. Its answer is held until it is closed.
    fn forwarded(&mut self, id: ForwardId, mut outcome: Result<Response, ForwardError>) {
        let limit = self.config.max_forwarded_bytes;
        let Some(forwarding) = &mut self.forwarding else { return };
        let Some(opened) = forwarding.open.get_mut(&id) else { return };
        let Some(waits) = opened.waits else { return };
        if forwarding.sent.remove(&waits.number).is_none() {
            return;
        }
        self.timers.remove(&(waits.until, Timer::Forward(id)));
        if let Ok(response) = &outcome {
            let sum = forwarding.answer_bytes.saturating_add(response.body.len());
            if sum > limit {
                outcome = Err(ForwardError::TooManyBytes { limit });
            } else {
                forwarding.answer_bytes = sum;
                opened.answer_bytes = response.body.len();
            }
        }
        if outcome.is_err() {
            self.counts.unforwarded = self.counts.unforwarded.saturating_add(1);
        }
        self.events.push_back(NodeEvent::Forwarded { forward: id, outcome });
    }

    /// The time of a request is over: it was not taken, or not answered. Its session need not go on with it.
    pub(super) fn forward_overdue(&mut self, id: ForwardId) {
        let opened = self.forwarding.as_ref().and_then(|forwarding| forwarding.open.get(&id));
        if opened.is_some_and(|opened| opened.is_closed) {
            return self.forget_forward(id);
        }
        let Some(Opened { owners, waits: Some(waits), .. }) = opened else { return };
        let (owners, number) = (owners.clone(), waits.number);
        self.cancel(&owners, number);
        self.forwarded(id, Err(ForwardError::Silent));
    }

    /// A node has said something about a request of this one.
    fn told(&mut self, from: &Arc<str>, number: u64, said: Said) {
        let patience = self.now + self.config.forward_timeout;
        let Some(forwarding) = &mut self.forwarding else { return };
        let Some(&id) = forwarding.sent.get(&number) else { return };
        let Some(opened) = forwarding.open.get_mut(&id) else { return };
        let Some(waits) = &mut opened.waits else { return };
        if !opened.owners.contains(from) {
            self.counts.refused = self.counts.refused.saturating_add(1);
            return;
        }
        let outcome = match said {
            Said::Taken => {
                if !waits.is_taken {
                    waits.is_taken = true;
                    self.timers.remove(&(waits.until, Timer::Forward(id)));
                    waits.until = patience;
                    self.timers.insert((patience, Timer::Forward(id)));
                    // Of several nodes of one mark, this is the one.
                    opened.owners.retain(|owner| owner == from);
                }
                return;
            }
            Said::Answer(ForwardedAnswer::Response(response)) => Ok(response),
            Said::Answer(answer) => {
                opened.owners.remove(from);
                if !opened.owners.is_empty() {
                    return;
                }
                Err(match answer {
                    ForwardedAnswer::Failed(ForwardFailure::Busy) => ForwardError::Busy,
                    ForwardedAnswer::Failed(ForwardFailure::NoAnswer) => ForwardError::NoAnswer,
                    ForwardedAnswer::NoSession | ForwardedAnswer::Response(_) => ForwardError::NoSession,
                })
            }
            Said::Request(_) | Said::Cancelled => return,
        };
        self.forwarded(id, outcome);
    }

    // --- the node of the session -------------------------------------------------------------------------------------

    /// Answers a request that another node has passed on, as an [encoder](Self::encoder) of this node has
    /// [written](super::NodeEncoder::forward_answer) it. A second answer, or one that comes too late, has no effect.
    pub fn answer_request(&mut self, now: Instant, name: RequestName, answer: EncodedForward) {
        self.tick(now);
        let Some(request) = self.end_request(name) else { return };
        let number = request.number;
        let mut message = answer.numbered(number);
        if message.len() > self.config.limits.payload_bytes {
            self.counts.refused = self.counts.refused.saturating_add(1);
            let said = Said::Answer(ForwardedAnswer::Failed(ForwardFailure::NoAnswer));
            message = Forward { from: self.name.clone(), number, said }.encode();
        }
        self.say(&request.asker, message);
    }

    fn end_request(&mut self, name: RequestName) -> Option<Request> {
        let forwarding = self.forwarding.as_mut()?;
        let request = forwarding.serving.remove(&name)?;
        forwarding.names.remove(&(request.asker.clone(), request.number));
        forwarding.served_bytes = forwarding.served_bytes.saturating_sub(request.bytes);
        self.timers.remove(&(request.at, Timer::Request(name)));
        Some(request)
    }

    /// Ends requests whose answers nobody waits for.
    fn give_up(&mut self, names: Vec<RequestName>) {
        for name in names {
            if self.end_request(name).is_some() {
                self.events.push_back(NodeEvent::RequestOver { name });
            }
        }
    }

    /// A request takes its time, or too much of it.
    pub(super) fn request_due(&mut self, name: RequestName) {
        let Some(forwarding) = &mut self.forwarding else { return };
        let Some(request) = forwarding.serving.get_mut(&name) else { return };
        if request.at >= request.until {
            return self.give_up([name].into());
        }
        request.at = request.until;
        self.timers.insert((request.at, Timer::Request(name)));
        let (asker, number) = (request.asker.clone(), request.number);
        let taken = Forward { from: self.name.clone(), number, said: Said::Taken }.encode();
        self.say(&asker, taken);
    }

    /// A node has passed a request on to this one.
    fn take_request(&mut self, asker: Arc<str>, number: u64, request: ForwardedRequest) {
        let (now, config) = (self.now, &self.config);
        let Some(forwarding) = &mut self.forwarding else { return };
        let bytes = request.body.len();
        let sum = forwarding.served_bytes.saturating_add(bytes);
        if forwarding.serving.len() >= config.max_forwards || sum > config.max_forwarded_bytes {
            self.counts.refused = self.counts.refused.saturating_add(1);
            let said = Said::Answer(ForwardedAnswer::Failed(ForwardFailure::Busy));
            let busy = Forward { from: self.name.clone(), number, said }.encode();
            self.say(&asker, busy);
            return;
        }
        forwarding.served_bytes = sum;
        forwarding.last_id = forwarding.last_id.saturating_add(1);
        let name = RequestName(forwarding.last_id);
        let until = now + config.forward_timeout;
        let at = (now + TAKEN_AFTER).min(until);
        forwarding.names.insert((asker.clone(), number), name);
        forwarding.serving.insert(name, Request { asker, number, bytes, at, until });
        self.timers.insert((at, Timer::Request(name)));
        self.events.push_back(NodeEvent::Request { name, request });
    }

    // --- both --------------------------------------------------------------------------------------------------------

    /// A further subscription of this node while it has that namespace.
    pub(super) fn forward_subscription(&self, namespace: &str) -> Option<Subscription> {
        let forwarding = self.forwarding.as_ref().filter(|_| namespace == MAIN)?;
        Some(Subscription::Channel(forwarding.channel.clone()))
    }

    pub(super) fn is_forward_channel(&self, channel: &str) -> bool {
        self.forwarding.as_ref().is_some_and(|forwarding| forwarding.channel == channel)
    }

    /// Bytes came on the channel of this node.
    pub(super) fn handle_forward(&mut self, payload: &Bytes) {
        let Forward { from, number, said } = match Forward::decode(payload, &self.config.limits) {
            Ok(message) => message,
            Err(error) => return self.malformed(error),
        };
        let is_known = self.spaces.get(MAIN).is_some_and(|space| space.peers.contains_key(&from));
        if !is_known {
            self.counts.refused = self.counts.refused.saturating_add(1);
            return;
        }
        self.counts.received = self.counts.received.saturating_add(1);
        match said {
            Said::Request(request) => {
                let Some(forwarding) = &mut self.forwarding else { return };
                // It came twice, or was overtaken: whoever asked may have given it up.
                let latest = forwarding.latest.entry(from.clone()).or_default();
                if number <= *latest {
                    self.counts.refused = self.counts.refused.saturating_add(1);
                    return;
                }
                *latest = number;
                self.take_request(from, number, request);
            }
            Said::Cancelled => {
                let names = self.forwarding.as_ref().map(|forwarding| &forwarding.names);
                let name = names.and_then(|names| names.get(&(from, number))).copied();
                self.give_up(name.into_iter().collect());
            }
            said => self.told(&from, number, said),
        }
    }

    fn give_up_where(&mut self, is_over: impl Fn(&Request) -> bool) {
        let Some(forwarding) = &self.forwarding else { return };
        let over = forwarding.serving.iter().filter(|(_, request)| is_over(request));
        let over = over.map(|(name, _)| *name).collect();
        self.give_up(over);
    }

    /// A node is gone: it neither answers nor waits any more.
    pub(super) fn forwards_without(&mut self, namespace: &str, node: &Arc<str>) {
        if namespace != MAIN {
            return;
        }
        let Some(forwarding) = &mut self.forwarding else { return };
        forwarding.latest.remove(node);
        let mut over = Vec::new();
        for (id, opened) in &mut forwarding.open {
            // One that is not sent yet finds nobody then, and does not wait.
            if opened.owners.remove(node) && opened.owners.is_empty() && opened.waits.is_some() {
                over.push(*id);
            }
        }
        over.into_iter().for_each(|id| self.forwarded(id, Err(ForwardError::Gone)));
        self.give_up_where(|request| request.asker == *node);
    }

    /// This node leaves a namespace.
    pub(super) fn end_forwards_in(&mut self, namespace: &str) {
        if namespace == MAIN {
            self.end_forwards();
            // Nobody says any more which nodes have gone.
            if let Some(forwarding) = &mut self.forwarding {
                forwarding.latest.clear();
            }
        }
    }

    /// The bus is away, or this node leaves it: no answer comes, and none can be given.
    pub(super) fn end_forwards(&mut self) {
        let Some(forwarding) = &self.forwarding else { return };
        let sent: Vec<ForwardId> = forwarding.sent.values().copied().collect();
        // The messages that waited for the driver are gone.
        let closed = forwarding.open.iter().filter(|(_, opened)| opened.is_closed);
        let closed: Vec<ForwardId> = closed.map(|(id, _)| *id).collect();
        sent.into_iter().for_each(|id| self.forwarded(id, Err(ForwardError::BusAway)));
        closed.into_iter().for_each(|id| self.forget_forward(id));
        self.give_up_where(|_| true);
    }

    /// False if it was dropped.
    fn say(&mut self, node: &str, payload: Bytes) -> bool {
        match channel(&self.dialect, node) {
            Some(channel) => self.push_publish(Published { channel, payload }),
            None => false,
        }
    }
}
