//! The node of a server, behind a lock.

use crate::base::clock::Clock;
use crate::base::error::BoxError;
use crate::base::runtime::Runtime;
use crate::base::trace::{debug, info, warning};
use crate::cluster::forwarding::{ForwardedHere, Forwards};
use crate::cluster::log::{LogNews, LoggedEvent};
use crate::cluster::options::ClusterEvent;
use crate::cluster::unreadable::Unreadable;
use futures_channel::oneshot;
use sansocket_protocol::cluster::node::{
    Answer, Ask, AskId, Dialect, Node, NodeConfig, NodeCounts, NodeEncoder, NodeEvent, NodeTransmit, Outcome,
    ServingId,
};
use sansocket_protocol::cluster::{ForwardedRequest, InexpressibleError, Message};
use sansocket_protocol::random::Random;
use sansocket_protocol::time::Instant;
use std::collections::BTreeMap;
use std::fmt;
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

/// The application of a node: a server, which has the sockets. It is called without the lock, and in the order of the
/// messages.
pub(crate) trait NodeApplication: Send + Sync + 'static {
    /// Applies a message of another node to the sockets of this one, and answers it by `serving` if that is there.
    fn message(&self, cluster: &Arc<Cluster>, namespace: &str, message: Message, serving: Option<ServingId>);

    /// Tells news about the bus.
    fn news(&self, event: &ClusterEvent);

    /// Lets a session of this node answer a request that came to another one.
    fn request(&self, request: ForwardedRequest, here: ForwardedHere) {
        drop((request, here));
    }

    /// Tells news about the log that the nodes share.
    fn log(&self, news: LogNews) {
        drop(news);
    }
}

/// The time that the bus has to say goodbye.
const GOODBYE: Duration = Duration::from_secs(1);

/// The node of a server, its requests, and the wakers of its task and its bus.
pub(crate) struct Cluster {
    state: Mutex<State>,
    pub(super) encoder: NodeEncoder,
    clock: Clock,
    /// The name of the dialect, for the log.
    dialect: &'static str,
    request_timeout: Duration,
    answer_timeout: Duration,
    max_answer_timeout: Duration,
    /// Whether rooms have channels of their own: the hub's rooms are told then.
    pub(super) follows_rooms: bool,
    pub(crate) private_handshakes: bool,
    /// Whether requests for sessions of other nodes are passed on.
    pub(crate) forwards: bool,
    max_waiting_bytes: usize,
    is_closing: AtomicBool,
    this: std::sync::Weak<Cluster>,
}

struct State {
    node: Node,
    /// The number of live namespaces of the server that have each name: a dynamic one may come again before the last is
    /// gone.
    opened: BTreeMap<Arc<str>, usize>,
    asks: BTreeMap<AskId, oneshot::Sender<Outcome>>,
    forwards: Forwards,
    down_reason: Option<Arc<BoxError>>,
    /// The number of messages that the dialect has no form for.
    inexpressible: u64,
    /// The number of messages that the bus has refused.
    refused: u64,
    unreadable: Unreadable,
    /// The number of messages that were lost with the connection to the bus, after they were taken to be sent.
    lost: u64,
    task: Option<Waker>,
    bus: Option<Waker>,
    /// The time that the bus has to say what is left to say, once the node is closed.
    goodbye: Duration,
    /// The bus has said everything, and was there at the end.
    has_said_all: bool,
    /// The task has ended.
    has_ended: bool,
    /// Those who wait for that.
    leaving: Vec<oneshot::Sender<()>>,
}

impl State {
    /// Those who have something to do after a change.
    fn concerned(&mut self, before: Option<Instant>, tells: bool) -> (Option<Waker>, Option<Waker>) {
        let is_earlier = match (before, self.node.poll_timeout()) {
            (Some(before), Some(after)) => after < before,
            (None, Some(_)) => true,
            (_, None) => false,
        };
        let task = if is_earlier || (tells && self.node.has_events()) { self.task.take() } else { None };
        let bus = if self.node.has_transmits() { self.bus.take() } else { None };
        (task, bus)
    }
}

impl Cluster {
    /// The node of a server.
    pub(crate) fn new(
        config: NodeConfig,
        dialect: Dialect,
        random: Random,
        clock: Clock,
        request_timeout: Duration,
        private_handshakes: bool,
    ) -> Arc<Self> {
        let of_node = (config.clone(), dialect.clone());
        let node = Node::new(config, dialect, random);
        Self::of(node, of_node, clock, request_timeout, private_handshakes)
    }

    /// That of a process without one.
    pub(crate) fn emitter(
        config: NodeConfig,
        dialect: Dialect,
        random: Random,
        clock: Clock,
        request_timeout: Duration,
    ) -> Arc<Self> {
        let of_node = (config.clone(), dialect.clone());
        Self::of(Node::emitter(config, dialect, random), of_node, clock, request_timeout, false)
    }

    fn of(
        node: Node,
        (config, dialect): (NodeConfig, Dialect),
        clock: Clock,
        request_timeout: Duration,
        private_handshakes: bool,
    ) -> Arc<Self> {
        let follows_rooms = match &dialect {
            Dialect::Sharded(sharded) | Dialect::Heartbeats(sharded) => {
                sharded.room_channel("/", "").is_some()
            }
            _ => false,
        };
        let (answer_timeout, max_answer_timeout) = (config.answer_timeout, config.max_answer_timeout);
        let encoder = node.encoder();
        let state = State {
            node,
            opened: BTreeMap::new(),
            asks: BTreeMap::new(),
            forwards: Forwards::default(),
            down_reason: None,
            inexpressible: 0,
            refused: 0,
            unreadable: Unreadable::default(),
            lost: 0,
            task: None,
            bus: None,
            goodbye: GOODBYE,
            has_said_all: false,
            has_ended: false,
            leaving: Vec::new(),
        };
        Arc::new_cyclic(|this| Self {
            state: Mutex::new(state),
            encoder,
            clock,
            dialect: dialect.name(),
            request_timeout,
            answer_timeout,
            max_answer_timeout,
            follows_rooms,
            private_handshakes,
            forwards: config.forwards,
            max_waiting_bytes: config.max_waiting_bytes,
            is_closing: AtomicBool::new(false),
            this: this.clone(),
        })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Calls the machine, and wakes those who have something to do because of it.
    pub(crate) fn with_node<T>(&self, call: impl FnOnce(&mut Node, Instant) -> T) -> T {
        self.change(|state, now| call(&mut state.node, now))
    }

    /// The same with those who wait for requests that are passed on.
    pub(super) fn with_forwards<T>(&self, call: impl FnOnce(&mut Node, &mut Forwards, Instant) -> T) -> T {
        self.change(|state, now| call(&mut state.node, &mut state.forwards, now))
    }

    fn change<T>(&self, call: impl FnOnce(&mut State, Instant) -> T) -> T {
        let now = self.clock.now();
        let mut state = self.state();
        let before = state.node.poll_timeout();
        let result = call(&mut state, now);
        let wakers = state.concerned(before, true);
        drop(state);
        wake(wakers);
        result
    }

    /// The same for what the bus tells: its caller hands over by [`deliver`](Self::deliver) what comes of it.
    pub(crate) fn heard<T>(&self, call: impl FnOnce(&mut Node, Instant) -> T) -> T {
        let now = self.clock.now();
        let mut state = self.state();
        let before = state.node.poll_timeout();
        let result = call(&mut state.node, now);
        let wakers = state.concerned(before, false);
        drop(state);
        wake(wakers);
        result
    }

    /// The same for a payload. One that cannot be read is logged, but not each: whoever speaks another dialect on this bus
    /// may say much.
    pub(crate) fn came(&self, channel: &str, call: impl FnOnce(&mut Node, Instant)) {
        let now = self.clock.now();
        let mut guard = self.state();
        let state = &mut *guard;
        let before = state.node.poll_timeout();
        call(&mut state.node, now);
        let told = state.unreadable.tell(&mut state.node, now);
        let wakers = state.concerned(before, false);
        drop(guard);
        wake(wakers);
        if let Some((error, times)) = told {
            warning!(
                channel,
                dialect = self.dialect,
                times,
                %error,
                "what came from the bus is no message: the others must speak the dialect that this node expects there"
            );
        }
    }

    pub(crate) fn runtime(&self) -> &Arc<dyn Runtime> {
        self.clock.runtime()
    }

    pub(crate) fn clock(&self) -> &Clock {
        &self.clock
    }

    pub(crate) fn max_waiting_bytes(&self) -> usize {
        self.max_waiting_bytes
    }

    pub(crate) fn request_timeout(&self) -> Duration {
        self.request_timeout
    }

    /// Returns the time for which a peer's request is of interest.
    pub(crate) fn answer_timeout(&self, told: Option<Duration>) -> Duration {
        told.unwrap_or(self.answer_timeout).min(self.max_answer_timeout)
    }

    pub(crate) fn is_on_bus(&self) -> bool {
        self.state().node.is_on_bus()
    }

    /// The other nodes that are members: namespaces and names.
    pub(crate) fn peers(&self) -> Vec<(Arc<str>, Arc<str>)> {
        self.state().node.peers().map(|(namespace, node)| (namespace.clone(), node.clone())).collect()
    }

    pub(crate) fn counts(&self) -> NodeCounts {
        let state = self.state();
        let mut counts = state.node.counts();
        counts.inexpressible = counts.inexpressible.saturating_add(state.inexpressible);
        counts.refused = counts.refused.saturating_add(state.refused);
        counts
    }

    // --- for the server -------------------------------------------------------------------------------------------

    /// Tells the other nodes of a command that has been applied here. It is written before the lock is taken.
    pub(crate) fn send(&self, namespace: &Arc<str>, message: Message) {
        let kind = message.kind();
        match self.encoder.encode(namespace, message) {
            Ok(encoded) => drop(self.with_node(|node, now| node.send_encoded(now, encoded))),
            Err(error) => self.inexpressible(kind, &error),
        }
    }

    /// The same for a process that has nobody to serve itself. False if it was not published: the node may be closed.
    pub(crate) fn try_send(
        &self,
        namespace: &Arc<str>,
        message: Message,
    ) -> Result<bool, InexpressibleError> {
        let encoded = self.encoder.encode(namespace, message)?;
        // With the lock: `close` on another thread comes before this, and nothing is sent, or after, and waits for it.
        Ok(self.with_node(|node, now| !self.is_closing() && node.send_encoded(now, encoded)))
    }

    /// Counts something that other nodes are not told because the dialect has no form for it.
    pub(crate) fn inexpressible(&self, kind: &'static str, error: &dyn fmt::Display) {
        let mut state = self.state();
        state.inexpressible = state.inexpressible.saturating_add(1);
        drop(state);
        debug!(kind, %error, "the other nodes cannot be told");
    }

    /// Asks the other nodes. The receiver gets the outcome, at the deadline at the latest; nothing if the question could
    /// not be asked, or the node is closed meanwhile.
    pub(crate) fn ask(&self, namespace: &str, ask: Ask, timeout: Duration) -> oneshot::Receiver<Outcome> {
        let (sender, receiver) = oneshot::channel();
        let asked = self.change(|state, now| {
            // The task would not hand over the outcome any more.
            if self.is_closing() {
                return None;
            }
            let asked = state.node.ask(now, namespace, ask, timeout);
            match &asked {
                Ok(id) => {
                    state.asks.insert(*id, sender);
                }
                Err(_) => state.inexpressible = state.inexpressible.saturating_add(1),
            }
            Some(asked)
        });
        if let Some(Err(error)) = asked {
            debug!(%error, "the other nodes cannot be asked");
        }
        receiver
    }

    pub(crate) fn answer(&self, serving: ServingId, answer: Answer) {
        self.with_node(|node, now| node.answer(now, serving, answer));
    }

    // --- for the task and the bus ---------------------------------------------------------------------------------

    pub(crate) fn poll_transmit(&self, context: &mut Context<'_>) -> Poll<Option<NodeTransmit>> {
        let mut state = self.state();
        if let Some(transmit) = state.node.poll_transmit() {
            return Poll::Ready(Some(transmit));
        }
        if self.is_closing() {
            return Poll::Ready(None);
        }
        register(&mut state.bus, context);
        Poll::Pending
    }

    pub(crate) fn try_transmit(&self) -> Option<NodeTransmit> {
        self.state().node.poll_transmit()
    }

    /// The same if it is of a kind.
    pub(crate) fn try_transmit_if(
        &self,
        is_wanted: impl FnOnce(&NodeTransmit) -> bool,
    ) -> Option<NodeTransmit> {
        let mut state = self.state();
        let is_wanted = state.node.next_transmit().is_some_and(is_wanted);
        if is_wanted { state.node.poll_transmit() } else { None }
    }

    /// Returns whether the next thing to do is of a kind.
    pub(crate) fn has_next(&self, is_so: impl FnOnce(&NodeTransmit) -> bool) -> bool {
        self.state().node.next_transmit().is_some_and(is_so)
    }

    /// Returns whether the node is closed; if not, the task is woken when it is.
    pub(crate) fn is_closed(&self, context: &mut Context<'_>) -> bool {
        let mut state = self.state();
        register(&mut state.bus, context);
        self.is_closing()
    }

    /// When the machine wants to be called. The task is woken when that changes. Pending if there is something to
    /// [`deliver`](Self::deliver): it may have come when no waker was registered.
    pub(crate) fn poll_timeout(&self, context: &mut Context<'_>) -> Poll<Option<Instant>> {
        let mut state = self.state();
        register(&mut state.task, context);
        if state.node.has_events() { Poll::Pending } else { Poll::Ready(state.node.poll_timeout()) }
    }

    /// Counts something that the bus has refused.
    pub(crate) fn refused(&self, error: &(dyn std::error::Error + Send + Sync)) {
        let mut state = self.state();
        state.refused = state.refused.saturating_add(1);
        let times = state.refused;
        drop(state);
        self.with_node(|node, now| node.handle_refused(now));
        // A rule that is missing refuses every message.
        if times.is_power_of_two() {
            warning!(%error, times, "the bus has refused a command");
        }
    }

    /// The number of commands that the bus has refused.
    pub(crate) fn refused_by_bus(&self) -> u64 {
        self.state().refused
    }

    pub(crate) fn down(&self, reason: Option<Arc<BoxError>>) {
        self.change(|state, now| {
            state.down_reason = reason;
            let before = state.node.counts().dropped;
            state.node.handle_bus_down(now);
            let lost = state.node.counts().dropped.saturating_sub(before);
            state.lost = state.lost.saturating_add(lost);
        });
    }

    /// Hands over all that the machine has to tell.
    pub(crate) fn deliver(&self, application: &dyn NodeApplication) {
        let Some(this) = self.this.upgrade() else { return };
        loop {
            let mut state = self.state();
            let Some(event) = state.node.poll_event() else { return };
            if let NodeEvent::Done { ask, outcome } = event {
                let asker = state.asks.remove(&ask);
                drop(state);
                if let Some(asker) = asker {
                    // Nobody listens if the future was dropped.
                    let _ = asker.send(outcome);
                }
                continue;
            }
            if Forwards::are_told(&event) {
                let news = state.forwards.take(event, &this);
                drop(state);
                news.tell(application);
                continue;
            }
            let reason = state.down_reason.clone();
            drop(state);
            match event {
                NodeEvent::Message { namespace, message, serving } => {
                    application.message(&this, &namespace, message, serving);
                }
                NodeEvent::Done { .. } => {}
                NodeEvent::Logged { namespace, event, target, id, ticket } => {
                    application.log(LogNews::Logged(LoggedEvent { namespace, event, target, id, ticket }));
                }
                NodeEvent::Unlogged { ticket, may_come } => {
                    application.log(LogNews::Unlogged { ticket, may_come });
                }
                NodeEvent::Found { lookup, namespace, pid, outcome } => {
                    application.log(LogNews::Found { lookup, namespace, pid, outcome });
                }
                NodeEvent::StreamGap => {
                    warning!("the stream does not hold all any more that this node has not read");
                    application.news(&ClusterEvent::StreamGap);
                }
                NodeEvent::BusUp { gap } => {
                    info!(?gap, "the bus is there");
                    application.news(&ClusterEvent::Up { gap });
                }
                NodeEvent::BusDown => {
                    warning!(?reason, "the bus is away");
                    application.news(&ClusterEvent::Down { reason });
                }
                NodeEvent::PeerUp { namespace, node } => {
                    debug!(namespace = &*namespace, node = &*node, "a node has come");
                    application.news(&ClusterEvent::NodeUp { namespace, node });
                }
                NodeEvent::PeerDown { namespace, node } => {
                    debug!(namespace = &*namespace, node = &*node, "a node has gone");
                    application.news(&ClusterEvent::NodeDown { namespace, node });
                }
                // The core may learn more of them; this crate is of its own version.
                _ => {}
            }
        }
    }

    // --- namespaces ------------------------------------------------------------------------------------------------

    // The count and the machine change under one lock: a namespace that goes while one of the same name comes would be
    // closed for both.

    pub(super) fn open(&self, namespace: &Arc<str>) {
        self.change(|state, now| {
            *state.opened.entry(namespace.clone()).or_default() += 1;
            if !self.is_closing() {
                state.node.open(now, namespace);
            }
        });
    }

    pub(super) fn shut(&self, namespace: &Arc<str>) {
        self.change(|state, now| {
            let Some(times) = state.opened.get_mut(namespace) else { return };
            *times -= 1;
            if *times == 0 {
                state.opened.remove(namespace);
                state.node.close(now, namespace);
            }
        });
    }

    // --- the end ---------------------------------------------------------------------------------------------------

    pub(crate) fn is_closing(&self) -> bool {
        self.is_closing.load(Ordering::Acquire)
    }

    /// The time that the bus has for its goodbye.
    pub(crate) fn goodbye(&self) -> Duration {
        self.state().goodbye
    }

    /// Sets it.
    pub(crate) fn set_goodbye(&self, time: Duration) {
        self.state().goodbye = time;
    }

    /// The bus has done everything.
    pub(crate) fn said_all(&self) {
        let mut state = self.state();
        state.has_said_all = state.node.is_on_bus() && !state.node.has_transmits();
    }

    /// Returns whether it had at the end, and nothing was lost before that waited for it.
    pub(crate) fn has_said_all(&self) -> bool {
        let state = self.state();
        state.has_said_all && state.lost == 0
    }

    /// Leaves the cluster: says goodbye, and ends the task once that is said.
    pub(crate) fn close(&self) {
        if self.is_closing.load(Ordering::Acquire) {
            return;
        }
        let wakers = {
            let now = self.clock.now();
            let mut state = self.state();
            let State { node, opened, .. } = &mut *state;
            opened.keys().for_each(|namespace| node.close(now, namespace));
            self.is_closing.store(true, Ordering::Release);
            (state.task.take(), state.bus.take())
        };
        wake(wakers);
    }

    /// The task has ended: it answers nobody any more.
    pub(crate) fn ended(&self) {
        let mut state = self.state();
        self.is_closing.store(true, Ordering::Release);
        state.has_ended = true;
        let (asks, leaving) = (std::mem::take(&mut state.asks), std::mem::take(&mut state.leaving));
        let forwards = std::mem::take(&mut state.forwards);
        // Their receivers are woken: without the lock.
        drop(state);
        drop((asks, leaving, forwards));
    }

    /// Waits until the task has ended: about a second after [`close`](Self::close), and not longer than `limit`, for a
    /// bus that blocks.
    pub(crate) async fn left(&self, limit: Duration) {
        let mut receiver = {
            let mut state = self.state();
            if state.has_ended {
                return;
            }
            let (sender, receiver) = oneshot::channel();
            state.leaving.push(sender);
            receiver
        };
        let mut timer = self.runtime().timer(self.runtime().now() + limit);
        // That the sender is dropped says it.
        poll_fn(|context| match Pin::new(&mut receiver).poll(context) {
            Poll::Ready(_) => Poll::Ready(()),
            Poll::Pending => timer.poll_elapsed(context),
        })
        .await;
    }
}

fn register(place: &mut Option<Waker>, context: &Context<'_>) {
    if !place.as_ref().is_some_and(|waker| waker.will_wake(context.waker())) {
        *place = Some(context.waker().clone());
    }
}

fn wake((task, bus): (Option<Waker>, Option<Waker>)) {
    if let Some(task) = task {
        task.wake();
    }
    if let Some(bus) = bus {
        bus.wake();
    }
}
