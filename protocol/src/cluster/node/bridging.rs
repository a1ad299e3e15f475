//! A node between Python and JavaScript: what it copies from one family to the other, and how their acknowledgements
//! find back. The rules are those of [`Bridge`](crate::cluster::Bridge).

use super::{Dialect, Node, ServingId, Timer, asking};
use crate::cluster::bridge::{Bridged, Family};
use crate::cluster::{
    AckRequest, Envelope, Event, MalformedError, Message, Origin, Python, RequestId, Values,
};
use crate::hub::Target;
use crate::time::Instant;
use alloc::collections::BTreeMap;
use alloc::sync::Arc;

/// The mark of what a bridge sends to both families: apply it, do not copy it.
pub(super) const TO_BOTH: &str = "*";

/// The length of a socket's id. Peers know it from the names of rooms by this.
const ID_LENGTH: usize = 20;

/// The state of a node that is a bridge.
#[derive(Debug, Default)]
pub(super) struct Bridging {
    /// On the bus, though not a member yet.
    pub(super) has_begun: bool,
    /// Whether the others count on this node: its first heartbeat has come back from the bus.
    pub(super) is_member: bool,
    /// The other bridges, and when each is silent for too long.
    pub(super) members: BTreeMap<Arc<str>, Instant>,
    /// Requests of Python nodes that JavaScript nodes were asked, by the token there.
    pub(super) relays: BTreeMap<RequestId, Relay>,
    /// Requests of JavaScript nodes that Python nodes were asked, by the token there.
    pub(super) asked: BTreeMap<RequestId, ServingId>,
    /// The same by their own tokens.
    pub(super) held: BTreeMap<RequestId, ServingId>,
    pub(super) last_request: u64,
}

/// A request of a Python node, copied.
#[derive(Debug)]
pub(super) struct Relay {
    pub(super) namespace: Arc<str>,
    pub(super) deadline: Instant,
    pub(super) request: RequestId,
    pub(super) asker: Arc<str>,
    pub(super) is_single: bool,
}

/// The part of a JavaScript node's request that is Python's to answer. The count of this node waits for it.
#[derive(Debug)]
pub(super) struct Held {
    /// The token that Python nodes were given.
    pub(super) request: RequestId,
    pub(super) until: Instant,
    pub(super) acks: u32,
    pub(super) is_single: bool,
    /// Nothing is waited for any more, but the count of this node's own sockets.
    pub(super) is_over: bool,
}

impl Bridging {
    /// Returns whether this node copies what that one says.
    fn owns(&self, name: &str, origin: &Origin) -> bool {
        let origin = match origin {
            Origin::Node(node) => node,
            Origin::Emitter => "emitter",
            Origin::Unnamed => "",
        };
        let own = (rank(name, origin), name);
        self.is_member && self.members.keys().all(|other| (rank(other, origin), &**other) < own)
    }
}

/// A number that any two bridges agree on and that puts them into another order for each origin: FNV-1a, with its bits
/// mixed as MurmurHash3 ends.
fn rank(bridge: &str, origin: &str) -> u64 {
    let bytes = bridge.bytes().chain([0xff]).chain(origin.bytes());
    let mut hash = bytes
        .fold(0xcbf2_9ce4_8422_2325u64, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3));
    hash = (hash ^ (hash >> 33)).wrapping_mul(0xff51_afd7_ed55_8ccd);
    hash = (hash ^ (hash >> 33)).wrapping_mul(0xc4ce_b9fe_1a85_ec53);
    hash ^ (hash >> 33)
}

/// Returns whether a message means the same in both families, so that there may be copies of it.
pub(super) fn is_for_both(message: &Message) -> bool {
    matches!(
        message,
        Message::Emit { .. } | Message::Join { .. } | Message::Leave { .. } | Message::Disconnect { .. }
    )
}

/// Returns whether an event is for one socket, as far as its target tells.
fn is_for_one(target: &Target, ack: &AckRequest) -> bool {
    ack.single || matches!(&target.rooms[..], [room] if room.len() == ID_LENGTH)
}

impl Node {
    // --- among bridges -----------------------------------------------------------------------------------------------

    /// The bus is there, and a namespace to bridge.
    pub(super) fn bridge_begin(&mut self) {
        let settled_at = self.now + self.config.bridge_settle;
        let Some(bridging) = &mut self.bridging else { return };
        if bridging.has_begun {
            return;
        }
        bridging.has_begun = true;
        self.timers.insert((settled_at, Timer::BridgeBeat));
        self.tell_bridges(Message::Hello);
    }

    /// The bus or the last namespace is gone: nothing is copied until it begins again.
    pub(super) fn bridge_end(&mut self) {
        let Some(bridging) = &mut self.bridging else { return };
        if !core::mem::take(&mut bridging.has_begun) {
            return;
        }
        bridging.is_member = false;
        bridging.members.clear();
        self.timers.retain(|(_, timer)| !matches!(timer, Timer::BridgeBeat | Timer::Bridge(_)));
        self.tell_bridges(Message::NodeClosed);
    }

    fn tell_bridges(&mut self, message: Message) {
        let Dialect::Bridge(dialect) = &self.dialect else { return };
        let written = dialect.encode_own(message, &self.name, &self.config.limits);
        for published in written.into_iter().flatten() {
            self.push_publish(published);
        }
    }

    pub(super) fn bridge_beat(&mut self) {
        self.tell_bridges(Message::Heartbeat);
        self.timers.insert((self.now + self.config.heartbeat_interval, Timer::BridgeBeat));
    }

    fn bridge_told(&mut self, envelope: Envelope) {
        let Origin::Node(node) = envelope.origin else { return };
        let is_own = node == self.name;
        let silent_at = self.now + self.config.heartbeat_timeout;
        let limit = self.config.max_peers;
        let Some(bridging) = self.bridging.as_mut().filter(|bridging| bridging.has_begun) else { return };
        match envelope.message {
            Message::Heartbeat if is_own => bridging.is_member = true,
            Message::Heartbeat => {
                if !bridging.members.contains_key(&node) {
                    if bridging.members.len() >= limit {
                        self.counts.refused = self.counts.refused.saturating_add(1);
                        return;
                    }
                    self.timers.insert((silent_at, Timer::Bridge(node.clone())));
                }
                bridging.members.insert(node, silent_at);
            }
            // One that greets has begun anew, and is a member again when it says so.
            Message::Hello | Message::NodeClosed if !is_own => {
                bridging.members.remove(&node);
                self.timers.retain(|(_, timer)| *timer != Timer::Bridge(node.clone()));
                let is_greeted = envelope.message == Message::Hello && bridging.is_member;
                if is_greeted {
                    self.tell_bridges(Message::Heartbeat);
                }
            }
            _ => {}
        }
    }

    pub(super) fn bridge_silent(&mut self, node: Arc<str>) {
        let Some(bridging) = &mut self.bridging else { return };
        match bridging.members.get(&node) {
            Some(silent_at) if *silent_at > self.now => {
                self.timers.insert((*silent_at, Timer::Bridge(node)));
            }
            Some(_) => drop(bridging.members.remove(&node)),
            None => {}
        }
    }

    /// Returns the number of other bridges that are members, as far as this one knows, and whether it is one itself;
    /// `None` if it is not a bridge.
    pub fn bridges(&self) -> Option<(usize, bool)> {
        self.bridging.as_ref().map(|bridging| (bridging.members.len(), bridging.is_member))
    }

    // --- what comes in -----------------------------------------------------------------------------------------------

    pub(super) fn take_bridged(&mut self, read: Result<Bridged, MalformedError>) {
        match read {
            Ok(Bridged::Of(family, envelope)) => self.take_of(family, envelope),
            Ok(Bridged::Own(envelope)) => self.bridge_told(envelope),
            Err(error) => self.malformed(error),
        }
    }

    fn take_of(&mut self, family: Family, envelope: Envelope) {
        let Envelope { origin, to, namespace, via, message } = envelope;
        let is_own = origin == Origin::Node(self.name.clone());
        if is_own || !self.spaces.contains_key(&namespace) || to.is_some_and(|to| to != self.name) {
            return;
        }
        self.counts.received = self.counts.received.saturating_add(1);
        if message.answers().is_some() {
            self.bridged_answer(family, message);
            return;
        }
        let asker = match &origin {
            Origin::Node(node) => Some(node.clone()),
            Origin::Emitter | Origin::Unnamed => None,
        };
        let is_copy = is_for_both(&message) && via.as_deref().is_some_and(|via| via != TO_BOTH);
        if is_copy {
            // The original was heard in the other family. Who counts this node waits for its answer all the same.
            if let (Message::Emit { ack: Some(ack), .. }, Some(asker), Family::JavaScript) =
                (&message, asker, family)
            {
                let answer = Message::AckCount { request: ack.request.clone(), sockets: 0 };
                let _ = self.publish_to(family, &namespace, Some(asker), None, answer);
            }
            return;
        }
        let is_owner = self.bridging.as_ref().is_some_and(|bridging| bridging.owns(&self.name, &origin));
        let is_copied = is_owner && is_for_both(&message) && via.is_none();
        let copy = is_copied.then(|| message.clone());
        let serving = self.serve(family, namespace.clone(), asker.clone(), message);
        if let Some(copy) = copy {
            self.copy(family, &namespace, asker, copy, serving);
        }
    }

    /// Copies a message of a family to the other.
    fn copy(
        &mut self,
        family: Family,
        namespace: &Arc<str>,
        asker: Option<Arc<str>>,
        message: Message,
        serving: Option<ServingId>,
    ) {
        let (other, message) = match (family, message) {
            (Family::Python, Message::Emit { event, target, ack }) => {
                let ack = ack.zip(asker).and_then(|(ack, asker)| self.relay(namespace, &target, ack, asker));
                (Family::JavaScript, Message::Emit { event, target, ack })
            }
            (Family::JavaScript, Message::Emit { event, target, ack }) => {
                let ack = ack.zip(serving);
                let ack = ack.and_then(|(ack, serving)| self.hold(namespace, &target, &ack, serving));
                (Family::Python, Message::Emit { event, target, ack })
            }
            (Family::Python, message) => (Family::JavaScript, message),
            (Family::JavaScript, message) => (Family::Python, message),
        };
        let is_asking = matches!(message, Message::Emit { ack: Some(_), .. });
        match self.publish_to(other, namespace, None, Some(self.name.clone()), message) {
            Ok(true) => self.counts.copied = self.counts.copied.saturating_add(1),
            Ok(false) => {}
            Err(_) => {
                self.counts.inexpressible = self.counts.inexpressible.saturating_add(1);
                if let Some(serving) = serving.filter(|_| is_asking) {
                    self.release(serving);
                }
            }
        }
    }

    /// A request of a Python node goes to JavaScript's under a token of this node.
    fn relay(
        &mut self,
        namespace: &Arc<str>,
        target: &Target,
        ack: AckRequest,
        asker: Arc<str>,
    ) -> Option<AckRequest> {
        let is_single = is_for_one(target, &ack);
        let timeout = self.config.python_call_timeout;
        let deadline = self.now + timeout;
        let token = RequestId::new(asking::token(&self.dialect, &mut self.random));
        let limit = self.config.max_servings;
        let bridging = self.bridging.as_mut()?;
        if bridging.relays.len() >= limit {
            self.counts.refused = self.counts.refused.saturating_add(1);
            return None;
        }
        let relay = Relay { namespace: namespace.clone(), deadline, request: ack.request, asker, is_single };
        bridging.relays.insert(token.clone(), relay);
        self.timers.insert((deadline, Timer::Relay(token.clone())));
        Some(AckRequest { request: token, timeout: Some(timeout), single: is_single })
    }

    /// A request of a JavaScript node goes to Python's, which tell no counts: this node's count waits for them.
    fn hold(
        &mut self,
        namespace: &Arc<str>,
        target: &Target,
        ack: &AckRequest,
        serving: ServingId,
    ) -> Option<AckRequest> {
        let is_single = is_for_one(target, ack);
        let served = self.servings.get(&serving)?;
        // The last fifth of the time is for the answer's way.
        let whole = served.deadline - self.now;
        let most = whole.saturating_sub(whole.checked_div(5).unwrap_or_default());
        let wait = if is_single { most } else { self.config.python_ack_wait.min(most) };
        if wait.is_zero() {
            return None;
        }
        let until = self.now + wait;
        let request = self.python_request(target, namespace)?;
        let served = self.servings.get_mut(&serving)?;
        served.held = Some(alloc::boxed::Box::new(Held {
            request: request.clone(),
            until,
            acks: 0,
            is_single,
            is_over: false,
        }));
        let bridging = self.bridging.as_mut()?;
        bridging.asked.insert(request.clone(), serving);
        bridging.held.insert(served.request.clone(), serving);
        self.timers.insert((until, Timer::Release(serving)));
        Some(AckRequest::new(request))
    }

    /// A token for a request to Python nodes.
    fn python_request(&mut self, target: &Target, namespace: &str) -> Option<RequestId> {
        let bridging = self.bridging.as_mut()?;
        bridging.last_request = bridging.last_request.saturating_add(1);
        Some(Python::request(target, namespace, bridging.last_request))
    }

    // --- answers -----------------------------------------------------------------------------------------------------

    fn bridged_answer(&mut self, family: Family, message: Message) {
        let Some((token, bridging)) = message.answers().zip(self.bridging.as_ref()) else { return };
        if family == Family::Python {
            let serving = bridging.asked.get(token).copied();
            match (serving, message) {
                (Some(serving), Message::Ack { args, .. }) => self.python_acked(serving, args),
                (_, message) => self.answered(None, message),
            }
            return;
        }
        if bridging.relays.contains_key(token) {
            self.javascript_acked(message);
            return;
        }
        // Of a request that this node holds: does another have the socket?
        let held = bridging.held.get(token).copied();
        if let (Some(serving), Message::AckCount { sockets: 1.., .. }) = (held, &message) {
            let held = self.servings.get(&serving).and_then(|served| served.held.as_ref());
            if held.is_some_and(|held| held.is_single) {
                self.release(serving);
            }
            return;
        }
        self.answered(None, message);
    }

    /// An acknowledgement by a JavaScript node's client to what a Python node asked.
    fn javascript_acked(&mut self, message: Message) {
        let Message::Ack { request: token, args } = message else { return };
        let Some(bridging) = &mut self.bridging else { return };
        let Some(relay) = bridging.relays.get(&token) else { return };
        let (namespace, asker, request) =
            (relay.namespace.clone(), relay.asker.clone(), relay.request.clone());
        if relay.is_single {
            self.timers.remove(&(relay.deadline, Timer::Relay(token.clone())));
            bridging.relays.remove(&token);
        }
        let answer = Message::Ack { request, args };
        if self.publish_to(Family::Python, &namespace, Some(asker), None, answer).is_err() {
            self.counts.inexpressible = self.counts.inexpressible.saturating_add(1);
        }
    }

    pub(super) fn relay_over(&mut self, token: &RequestId) {
        if let Some(bridging) = &mut self.bridging {
            bridging.relays.remove(token);
        }
    }

    /// An acknowledgement by a Python node's client to what a JavaScript node asked.
    fn python_acked(&mut self, serving: ServingId, args: Values) {
        let Some(served) = self.servings.get_mut(&serving) else { return };
        let Some(held) = served.held.as_mut().filter(|held| !held.is_over) else { return };
        held.acks = held.acks.saturating_add(1);
        let is_single = held.is_single;
        let (namespace, asker) = (served.namespace.clone(), served.asker.clone());
        let answer = Message::Ack { request: served.request.clone(), args };
        if self.publish_to(Family::JavaScript, &namespace, Some(asker), None, answer).is_err() {
            self.counts.inexpressible = self.counts.inexpressible.saturating_add(1);
            if let Some(held) = self.servings.get_mut(&serving).and_then(|served| served.held.as_mut()) {
                held.acks = held.acks.saturating_sub(1);
            }
            return;
        }
        if is_single {
            self.release(serving);
        }
    }

    /// Nothing more is waited for of Python: the count goes out, as soon as that of this node's own sockets is known.
    pub(super) fn release(&mut self, serving: ServingId) {
        let Some(served) = self.servings.get_mut(&serving) else { return };
        let Some(held) = &mut served.held else { return };
        if !core::mem::replace(&mut held.is_over, true) {
            self.timers.remove(&(held.until, Timer::Release(serving)));
            if let Some(bridging) = &mut self.bridging {
                bridging.asked.remove(&held.request);
                bridging.held.remove(&served.request);
            }
        }
        let Some(own) = served.expected else { return };
        let sockets = own.saturating_add(held.acks);
        served.held = None;
        let (namespace, asker) = (served.namespace.clone(), served.asker.clone());
        let answer = Message::AckCount { request: served.request.clone(), sockets };
        let _ = self.publish_to(Family::JavaScript, &namespace, Some(asker), None, answer);
        self.end_serving_if_over(serving);
    }

    /// Returns whether the count of a request waits for Python. It goes out when nothing more is waited for.
    pub(super) fn is_held(&mut self, serving: ServingId) -> bool {
        let Some(held) = self.servings.get(&serving).and_then(|served| served.held.as_ref()) else {
            return false;
        };
        let own = self.servings.get(&serving).and_then(|served| served.expected);
        if held.is_over || (held.is_single && own.is_some_and(|own| own > 0)) {
            self.release(serving);
        }
        true
    }

    /// Forgets what a request that is over has here.
    pub(super) fn unhold(&mut self, serving: ServingId, request: &RequestId, held: &Held) {
        self.timers.remove(&(held.until, Timer::Release(serving)));
        if let Some(bridging) = &mut self.bridging {
            bridging.asked.remove(&held.request);
            bridging.held.remove(request);
        }
    }

    // --- what goes out -----------------------------------------------------------------------------------------------

    /// The copy for Python of what this node sends or asks.
    pub(super) fn send_to_python(&mut self, namespace: &str, message: Message) -> bool {
        if !is_for_both(&message) {
            return false;
        }
        let sent = self.publish_to(Family::Python, namespace, None, Some(self.name.clone()), message);
        if sent.is_err() {
            self.counts.inexpressible = self.counts.inexpressible.saturating_add(1);
        }
        sent.unwrap_or(false)
    }

    /// The copy for Python of a request of this node, and the token that the answers will have.
    pub(super) fn ask_python(&mut self, namespace: &str, event: Event, target: Target) -> Option<RequestId> {
        let request = self.python_request(&target, namespace)?;
        let ack = Some(AckRequest::new(request.clone()));
        self.send_to_python(namespace, Message::Emit { event, target, ack }).then_some(request)
    }

    /// The mark of what this node sends to both families itself.
    pub(super) fn own_mark(&self, message: &Message) -> Option<Arc<str>> {
        (self.bridging.is_some() && is_for_both(message)).then(|| TO_BOTH.into())
    }

    /// Requests between the families end with their namespace.
    pub(super) fn bridge_close(&mut self, namespace: &str) {
        let Some(bridging) = &mut self.bridging else { return };
        let timers = &mut self.timers;
        bridging.relays.retain(|token, relay| {
            let is_other = *relay.namespace != *namespace;
            is_other || !timers.remove(&(relay.deadline, Timer::Relay(token.clone())))
        });
    }

    /// Open requests between the families: of Python nodes, and of JavaScript nodes.
    pub fn open_copies(&self) -> (usize, usize) {
        self.bridging.as_ref().map_or((0, 0), |bridging| (bridging.relays.len(), bridging.asked.len()))
    }
}
