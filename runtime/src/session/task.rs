//! The task of a session: from open to closed, whatever the transport.
//!
//! It owns the session's WebSocket, its one timer and the futures of its handlers. Nothing of a session runs
//! elsewhere: no writer task, no heartbeat task, no task per message. One pass reads what has arrived, lets the
//! handlers run, and writes once for all that they sent.

use crate::base::alarm::Alarm;
use crate::base::job::{Job, Jobs, drop_caught};
use crate::base::runtime::{BoxFuture, Stream};
use crate::base::timing::{Sampler, Since};
use crate::base::trace::debug;
use crate::base::turn::{KeptBy, NextStep, Turn};
use crate::session::handle::{ConnectionPlace, OwnerPass, SessionHandle, Upgrade};
use crate::session::outgoing::{Outgoing, find_open};
use crate::session::stats::{Counters, count};
use crate::session::websocket::{SessionWebSocket, read_ahead, tell_unwritten};
use crate::websocket::Role;
use crate::websocket::buffers::{Buffers, with_buffers};
use crate::websocket::deflate::connection::Deflate;
use crate::websocket::wire::{Wire, WireLost, WireRead};
use bytes::Bytes;
use sansocket_protocol::engine::{RequestId, ServerTransmit};
use sansocket_protocol::message::WireMessage;
use sansocket_protocol::server::ServerEvent;
use sansocket_protocol::socket::{AckOutcome, ServerSocketEvent, SocketKey};
use sansocket_protocol::time;
use std::any::Any;
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

/// The most rounds of one pass, however little time they take.
const ROUNDS_PER_PASS: usize = 8;
/// The most events that are taken from the queue between two writes.
const EVENTS_PER_ROUND: usize = 1024;
/// The most WebSockets of a session: the one in use or the one it is moving to, and one that is closing.
const MAX_WEBSOCKETS: usize = 2;

/// The user of a session's events: the Socket.IO application, or the plain Engine.IO one.
pub(crate) trait Application: Send + Unpin + 'static {
    /// The work of its jobs.
    type Work: Future<Output = ()> + Unpin + Send;

    /// The session begins: the work to do at that, if any.
    fn open(&mut self, handle: &Arc<SessionHandle>) -> Option<Job<Self::Work>>;

    /// Takes an event, and polls what it begins for it. Most handlers finish at that; the others come back as a job.
    fn handle(
        &mut self,
        event: ServerEvent,
        handle: &Arc<SessionHandle>,
        context: &mut Context<'_>,
    ) -> Option<Job<Self::Work>>;

    /// Returns whether the last event had no handler that could be timed in the session's task.
    fn is_untimed(&self) -> bool {
        false
    }

    /// A job of that socket panicked.
    fn panicked(
        &mut self,
        socket: Option<SocketKey>,
        panic: Box<dyn Any + Send>,
        handle: &Arc<SessionHandle>,
    );

    /// The session is over, and its jobs too.
    fn ended(&mut self, handle: &Arc<SessionHandle>);
}

/// A function to call at the end of a session.
pub(crate) type OnEnd = Box<dyn FnOnce() + Send>;

/// A function that makes the task of a session, once the session has a handle.
pub(crate) type MakeTask = Box<dyn FnOnce(Arc<SessionHandle>, Arc<Counters>, OnEnd) -> BoxFuture<()> + Send>;

/// The task of a session.
pub(crate) struct Session<A: Application> {
    handle: Arc<SessionHandle>,
    application: A,
    websockets: Vec<SessionWebSocket>,
    upgrading: Vec<(RequestId, Upgrade)>,
    jobs: Jobs<A::Work>,
    alarm: Alarm,
    /// The time of this round.
    now: time::Instant,
    opened: bool,
    /// The machine has not heard how much of its output is written.
    untold: bool,
    sampler: Sampler,
    counters: Arc<Counters>,
    on_end: Option<OnEnd>,
}

impl<A: Application> Session<A> {
    pub(crate) fn new(
        handle: Arc<SessionHandle>,
        application: A,
        counters: Arc<Counters>,
        on_end: OnEnd,
    ) -> Self {
        Self {
            handle,
            application,
            websockets: Vec::new(),
            upgrading: Vec::new(),
            jobs: Jobs::default(),
            alarm: Alarm::default(),
            now: time::Instant::ZERO,
            opened: false,
            untold: false,
            sampler: Sampler::default(),
            counters,
            on_end: Some(on_end),
        }
    }

    /// Makes the task of a session with that application.
    pub(crate) fn make_task(application: A) -> MakeTask {
        Box::new(|handle, counters, on_end| Box::pin(Self::new(handle, application, counters, on_end)))
    }

    // --- what comes in ------------------------------------------------------------------------------------------

    /// Begins a round that may follow a sleep: takes what has arrived.
    fn wake_up(&mut self, pass: &mut OwnerPass, turn: &mut Turn, context: &mut Context<'_>) {
        pass.awake = false;
        pass.has_more = true;
        self.poll_read(pass, turn, context);
        if !pass.awake {
            self.handle.lock().wake_up(pass);
        }
        if self.upgrading.is_empty() {
            std::mem::swap(&mut self.upgrading, &mut pass.upgrades);
        }
        self.upgrading.append(&mut pass.upgrades);
        if !self.upgrading.is_empty() {
            self.poll_upgrades(context);
            self.poll_read(pass, turn, context);
        }
    }

    /// Accepted upgrades become WebSockets. Their responses were held back, and wait for no handler.
    fn poll_upgrades(&mut self, context: &mut Context<'_>) {
        let (mut at, mut is_held) = (0, false);
        while let Some((id, upgrade)) = self.upgrading.get_mut(at) {
            let id = *id;
            let Poll::Ready(upgraded) = upgrade.stream.poll(self.handle.clock().runtime(), context) else {
                at += 1;
                continue;
            };
            let (_, Upgrade { held, place, deflate, .. }) = self.upgrading.swap_remove(at);
            if self.upgrading.is_empty() {
                self.upgrading = Vec::new();
            }
            match upgraded {
                Ok((stream, ahead)) => {
                    if self.websockets.len() >= MAX_WEBSOCKETS {
                        // One of these may be refused, and closed only by what waits to be sent. That may give up
                        // others that are on their way, too: all that are left are looked at.
                        self.transmit(context);
                        at = 0;
                    }
                    self.add_websocket(id, stream, ahead, place, deflate);
                    if let (Some(held), Some(websocket)) = (held, self.websockets.last_mut()) {
                        is_held |= websocket.wire.write_first(held.take_held());
                    }
                }
                Err(error) => {
                    debug!(%error, "a WebSocket handshake was not completed");
                    self.handle.lock().machine.handle_request_aborted(self.now, id);
                }
            }
        }
        if is_held {
            self.transmit(context);
        }
    }

    /// Begins with a WebSocket. A client could open one after the other, each to be refused, and all of them would
    /// linger: of those that are closing, the oldest is cut off.
    pub(crate) fn add_websocket(
        &mut self,
        id: RequestId,
        stream: Box<dyn Stream>,
        ahead: Bytes,
        place: Option<ConnectionPlace>,
        deflate: Option<Box<Deflate>>,
    ) {
        let mut inner = self.handle.lock();
        inner.machine.handle_websocket_opened(self.now, id);
        let wire = Wire::new(Role::Server, stream, ahead, inner.machine.max_payload()).with_deflate(deflate);
        drop(inner);
        if self.websockets.len() >= MAX_WEBSOCKETS {
            if let Some(at) = self.websockets.iter().position(|websocket| !websocket.wire.is_open()) {
                drop(self.websockets.remove(at));
            }
        }
        // Mostly there is one WebSocket: a vector's first growth would allocate four.
        self.websockets.reserve_exact(1);
        self.websockets.push(SessionWebSocket { id, wire, is_paused: false, place });
    }

    /// Reads one batch from each WebSocket, and handles what needs not wait. Returns whether anything came.
    fn poll_read(&mut self, pass: &mut OwnerPass, turn: &mut Turn, context: &mut Context<'_>) -> bool {
        let mut progress = false;
        pass.may_pull = self.opened;
        for at in 0..self.websockets.len() {
            progress |= with_buffers(|buffers| self.poll_read_from(at, buffers, pass, turn, context));
        }
        progress
    }

    /// The same, from one of them.
    fn poll_read_from(
        &mut self,
        at: usize,
        buffers: &mut Buffers,
        pass: &mut OwnerPass,
        turn: &mut Turn,
        context: &mut Context<'_>,
    ) -> bool {
        let now = self.now;
        let is_failing = self.websockets.get(at).is_some_and(|websocket| websocket.wire.is_failing());
        if is_failing && std::mem::take(&mut self.untold) {
            // Whether anything is left to be written before its end depends on it.
            tell_unwritten(&mut self.handle.lock(), &mut self.websockets, now);
        }
        let Some(websocket) = self.websockets.get_mut(at).filter(|websocket| !websocket.wire.is_dead())
        else {
            return false;
        };
        let read = websocket.poll_read(&self.handle, now, buffers, context);
        if read == WireRead::Nothing {
            return false;
        }
        let id = websocket.id;
        let mut inner = self.handle.lock();
        inner.wake_up(pass);
        inner.traffic.add(websocket.wire.take_traffic());
        if buffers.inbox.is_empty() && websocket.wire.awaits_more() {
            inner.machine.handle_bytes(now, id);
        }
        let pong = self.counters.timing.before_input(&inner.machine);
        let reader = inner.machine.ahead_reader();
        drop(inner);
        match reader {
            None => self.handle_messages(id, &mut buffers.inbox, pass, turn, context),
            Some(reader) => {
                let read = read_ahead(&reader, std::mem::take(&mut buffers.inbox), &self.counters);
                let mut inner = self.handle.lock();
                for (message, ahead) in read {
                    inner.machine.handle_websocket_ahead(now, id, message, ahead);
                }
            }
        }
        let mut inner = self.handle.lock();
        self.counters.timing.after_input(&pong, &inner.machine, now);
        match read {
            WireRead::Nothing | WireRead::Received => {}
            WireRead::Closed => inner.machine.handle_websocket_closed(now, id, None),
            WireRead::Failed(code) => inner.machine.handle_websocket_closed(now, id, Some(code)),
        }
        if !pass.may_pull || pass.pulled.is_some() {
            pass.has_more = true;
        } else {
            pass.pulled = inner.pull(&mut pass.has_more);
        }
        let is_paused = !inner.machine.wants_read_from(id);
        drop(inner);
        if let Some(websocket) = self.websockets.get_mut(at) {
            websocket.is_paused = is_paused;
        }
        true
    }

    /// Gives messages to the machine, and handles at once what needs not wait for anything, until the turn is over.
    fn handle_messages(
        &mut self,
        websocket: RequestId,
        messages: &mut Vec<WireMessage>,
        pass: &OwnerPass,
        turn: &mut Turn,
        context: &mut Context<'_>,
    ) {
        let mut may_handle = pass.may_pull && pass.pulled.is_none();
        for message in messages.drain(..) {
            let mut inner = self.handle.lock();
            if !may_handle {
                inner.machine.handle_websocket(self.now, websocket, message);
                continue;
            }
            let event = inner.machine.handle_websocket_event(self.now, websocket, message);
            drop(inner);
            if let Some(event) = event {
                self.handle(event, context);
                may_handle = !turn.is_over(self.handle.clock());
            }
        }
    }

    // --- the application ----------------------------------------------------------------------------------------

    /// Tells the application once that the session has opened.
    fn open(&mut self, context: &mut Context<'_>) {
        if self.opened || !self.handle.lock().machine.has_opened() {
            return;
        }
        self.opened = true;
        let opened = catch_unwind(AssertUnwindSafe(|| self.application.open(&self.handle)));
        match opened {
            Ok(Some(job)) => self.begin(job, context),
            Ok(None) => {}
            Err(panic) => self.panicked(None, panic),
        }
    }

    /// Hands events to the application and begins its jobs, until the turn is over.
    fn dispatch(&mut self, pass: &mut OwnerPass, turn: &mut Turn, context: &mut Context<'_>) {
        for _ in 0..EVENTS_PER_ROUND {
            let event = match pass.pulled.take() {
                Some(event) => event,
                // Events that a handler causes after the last look are found before the session falls asleep.
                None if !pass.has_more || turn.is_over(self.handle.clock()) => break,
                None => match self.handle.lock().pull(&mut pass.has_more) {
                    Some(event) => event,
                    None => break,
                },
            };
            self.handle(event, context);
        }
        // The next round looks again.
        pass.has_more = true;
    }

    /// Hands one event to the application, or an acknowledgement to those who await it.
    #[inline]
    fn handle(&mut self, event: ServerEvent, context: &mut Context<'_>) {
        if let ServerEvent::Socket(ServerSocketEvent::Ack { socket, id, outcome }) = event {
            return self.handle_ack(socket, id, outcome);
        }
        let socket = match &event {
            ServerEvent::Socket(
                ServerSocketEvent::Connect { socket, .. }
                | ServerSocketEvent::Event { socket, .. }
                | ServerSocketEvent::Disconnected { socket, .. },
            ) => Some(*socket),
            _ => None,
        };
        let since = match &event {
            ServerEvent::Socket(ServerSocketEvent::Event { .. }) | ServerEvent::Message(_) => {
                self.counters.timing.sample(&mut self.sampler, || self.handle.now())
            }
            _ => Since::default(),
        };
        let begun = catch_unwind(AssertUnwindSafe(|| self.application.handle(event, &self.handle, context)));
        let since = if self.application.is_untimed() { Since::default() } else { since };
        match begun {
            Ok(Some(job)) => self.keep(Job { since, ..job }),
            Ok(None) => self.counters.timing.handled(since, || self.handle.now()),
            Err(panic) => self.panicked(socket, panic),
        }
    }

    fn handle_ack(&mut self, socket: SocketKey, id: u64, outcome: AckOutcome) {
        let awaited = self.handle.lock().take_ack(socket, id);
        let Some((sink, since)) = awaited else { return };
        self.counters.timing.acknowledged(since, self.now, &outcome);
        if let Err(panic) = catch_unwind(AssertUnwindSafe(|| sink(outcome))) {
            self.panicked(Some(socket), panic);
        }
    }

    fn begin(&mut self, mut job: Job<A::Work>, context: &mut Context<'_>) {
        match job.poll_caught(context) {
            Ok(Poll::Ready(())) => self.let_go(job),
            Ok(Poll::Pending) => self.keep(job),
            Err(panic) => {
                self.panicked(job.socket, panic);
                self.let_go(job);
            }
        }
    }

    /// Later events of its socket wait for it.
    fn keep(&mut self, job: Job<A::Work>) {
        self.handle.lock().machine.hold(job.socket);
        self.jobs.push(job);
    }

    /// Goes on with the jobs that were not done at once, until the turn is over.
    fn poll_jobs(&mut self, turn: &mut Turn, context: &mut Context<'_>) {
        let round = &mut self.jobs.begin_round();
        while let Some((job, panic)) = self.jobs.poll_done(round, turn, self.handle.clock(), context) {
            let socket = job.socket;
            self.counters.timing.handled(job.since, || self.handle.now());
            if let Some(panic) = panic {
                self.panicked(socket, panic);
            }
            self.let_go(job);
            self.handle.lock().machine.release(socket);
        }
    }

    /// Drops a job that is done: its captured values are the application's, and so is the code that drops them.
    fn let_go(&mut self, job: Job<A::Work>) {
        let socket = job.socket;
        if let Err(panic) = drop_caught(job) {
            self.panicked(socket, panic);
        }
    }

    /// Reports a panic of the application's code.
    fn panicked(&mut self, socket: Option<SocketKey>, panic: Box<dyn Any + Send>) {
        count(&self.counters.panics);
        #[cfg(feature = "record")]
        self.handle.lock().machine.remark("the application's code panicked");
        let told = catch_unwind(AssertUnwindSafe(|| self.application.panicked(socket, panic, &self.handle)));
        if let Err(again) = told {
            // The payload of this panic may panic in its own drop: it is never dropped.
            std::mem::forget(again);
        }
    }

    // --- what goes out ------------------------------------------------------------------------------------------

    /// Writes what the machine wants written, as far as the sockets take it.
    fn transmit(&mut self, context: &mut Context<'_>) {
        let mut inner = self.handle.lock();
        if std::mem::take(&mut self.untold) {
            tell_unwritten(&mut inner, &mut self.websockets, self.now);
        }
        for websocket in &mut self.websockets {
            // An event that a handler has begun with counts until that is done, so that there may be less to read now.
            websocket.is_paused |= !inner.machine.wants_read_from(websocket.id);
            if websocket.place.is_some() && inner.machine.is_on(websocket.id) {
                websocket.place = None;
            }
        }
        let ready = inner.take_ready();
        let is_behind = self.websockets.iter().any(|websocket| websocket.wire.is_behind());
        if !is_behind && !inner.machine.has_transmit() {
            drop(inner);
            return ready.into_iter().for_each(Waker::wake);
        }
        let mut outgoing = Outgoing::new(self.now);
        inner.writing = true;
        with_buffers(|buffers| {
            // The first WebSocket writes from the thread's buffer, and takes over only what is left.
            if let Some(first) = self.websockets.first_mut() {
                first.wire.lend(&mut buffers.write);
            }
            while let Some(transmit) = inner.machine.poll_transmit() {
                if let ServerTransmit::Write { websocket, message, compress } = &transmit {
                    if let Some(found) = find_open(&mut self.websockets, *websocket) {
                        found.wire.write(message, *compress, None);
                    }
                    continue;
                }
                let upgrading = &mut self.upgrading;
                outgoing.take(transmit, &self.handle, &mut inner, &mut self.websockets, upgrading);
            }
            drop(inner);
            for websocket in &mut self.websockets {
                if let Err(WireLost) = websocket.wire.poll_write(context) {
                    self.handle.lock().machine.handle_websocket_closed(self.now, websocket.id, Some(1006));
                }
                websocket.wire.give_back(&mut buffers.write);
            }
        });
        self.untold = true;
        outgoing.answer();
        ready.into_iter().for_each(Waker::wake);
    }

    /// Lets go of the WebSockets that are at their end.
    fn bury_websockets(&mut self) {
        if self.websockets.iter().any(|websocket| websocket.wire.is_dead()) {
            tell_unwritten(&mut self.handle.lock(), &mut self.websockets, self.now);
            self.websockets.retain(|websocket| !websocket.wire.is_dead());
        }
    }

    // --- time ---------------------------------------------------------------------------------------------------

    /// Sleeps until something wakes it, if there is nothing to do.
    fn fall_asleep(&mut self, context: &mut Context<'_>) -> NextStep {
        let kept_by = match (self.jobs.is_empty(), self.websockets.is_empty()) {
            (false, _) => KeptBy::Handlers,
            (true, false) => KeptBy::Connections,
            (true, true) => KeptBy::Nothing,
        };
        let mut inner = self.handle.lock();
        if std::mem::take(&mut self.untold) {
            tell_unwritten(&mut inner, &mut self.websockets, self.now);
        }
        let ready = inner.take_ready();
        let next = inner.fall_asleep(context.waker(), kept_by);
        drop(inner);
        ready.into_iter().for_each(Waker::wake);
        let NextStep::Sleep(deadline) = next else { return next };
        let lingering = self.websockets.iter().filter_map(|websocket| websocket.wire.lingers_until());
        let deadline = lingering.chain(deadline).min();
        let is_over = |deadline| self.alarm.poll(deadline, self.now, self.handle.clock(), context).is_ready();
        if !deadline.is_some_and(is_over) {
            return NextStep::Sleep(deadline);
        }
        self.judge_deadlines();
        NextStep::GoOn
    }

    /// Judges the deadlines by the clock. At the end of each turn, too: the timer is looked at only when a session
    /// falls asleep, and one whose socket is always readable never does.
    fn judge_deadlines(&mut self) {
        self.now = self.handle.now();
        let mut inner = self.handle.lock();
        if inner.machine.poll_timeout().is_some_and(|deadline| deadline <= self.now) {
            inner.machine.handle_timeout(self.now);
        }
        drop(inner);
        for websocket in &mut self.websockets {
            websocket.wire.end_lingering(self.now);
        }
    }
}

impl<A: Application> Future for Session<A> {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let this = &mut *self;
        let pass = &mut OwnerPass::default();
        this.now = this.handle.now();
        let turn = &mut Turn::begin(this.now);
        this.wake_up(pass, turn, context);
        for _ in 0..ROUNDS_PER_PASS {
            // What has arrived is handled, then all that this gave is written at once.
            this.open(context);
            this.dispatch(pass, turn, context);
            this.poll_jobs(turn, context);
            this.transmit(context);
            this.bury_websockets();
            if pass.cut {
                return Poll::Ready(());
            }
            if turn.has_ended() {
                break;
            }
            if this.poll_read(pass, turn, context) {
                this.now = this.handle.now();
                if turn.has_ended_at(this.now) {
                    break;
                }
                continue;
            }
            match this.fall_asleep(context) {
                NextStep::End => return Poll::Ready(()),
                NextStep::Sleep(_) => return Poll::Pending,
                NextStep::GoOn => {
                    this.now = this.handle.now();
                    this.wake_up(pass, turn, context);
                }
            }
        }
        if pass.pulled.is_some() {
            // It was pulled already, so it cannot wait for the next turn; the others can.
            pass.has_more = false;
            this.dispatch(pass, turn, context);
        }
        this.judge_deadlines();
        context.waker().wake_by_ref();
        Poll::Pending
    }
}

impl<A: Application> Drop for Session<A> {
    fn drop(&mut self) {
        // Handlers that are left are dropped: at the end of a shutdown's patience, or with the runtime.
        self.jobs.drop_caught();
        let waiting = self.handle.force_end();
        drop((waiting.requests, waiting.upgrades));
        // Whichever code of the application panics here, the session is counted and forgotten.
        for (sink, since) in waiting.acks {
            self.counters.timing.acknowledged(since, self.now, &AckOutcome::Disconnected);
            let _ = catch_unwind(AssertUnwindSafe(|| sink(AckOutcome::Disconnected)));
        }
        for waker in waiting.ready {
            let _ = catch_unwind(AssertUnwindSafe(|| waker.wake()));
        }
        let _ = catch_unwind(AssertUnwindSafe(|| self.application.ended(&self.handle)));
        let passed = self.handle.lock().passed();
        self.counters.session_ended(&passed);
        if let Some(on_end) = self.on_end.take() {
            on_end();
        }
    }
}
