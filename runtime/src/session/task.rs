//! The task of a session: from open to closed, whatever the transport.
//!
//! It owns the session's WebSocket, its one timer and the futures of its handlers. Nothing of a session runs
//! elsewhere: no writer task, no heartbeat task, no task per message. One pass reads what has arrived, lets the
//! handlers run, and writes once for all that they sent.

use crate::base::clock::Turn;
use crate::base::error::HandlerError;
use crate::base::runtime::{BoxFuture, Stream, Timer};
use crate::base::trace::debug;
use crate::handler::ack::Reply;
use crate::server::dispatch::Done;
use crate::session::handle::{Answer, ConnectionPlace, Inner, Pulled, Rest, Round, SessionHandle, Upgrade};
use crate::session::stats::{Counters, count};
use crate::websocket::buffers::with_buffers;
use crate::websocket::{self, Incoming, ReadError, Reader, Role};
use bytes::Bytes;
use futures_channel::oneshot;
use hyper::rt::ReadBuf;
use sansocket_protocol::engine::RequestId;
use sansocket_protocol::engine::ServerTransmit;
use sansocket_protocol::error::CloseReason;
use sansocket_protocol::message::WireMessage;
use sansocket_protocol::server::ServerEvent;
use sansocket_protocol::socket::{ServerSocketEvent, SocketKey};
use sansocket_protocol::time;
use std::any::Any;
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

/// How often a pass may go round, however little time that takes.
const ROUNDS_PER_POLL: usize = 8;
/// How many events are handled between two writes.
const EVENTS_PER_ROUND: usize = 1024;
/// The one in use, or one that the session is moving to, and one that is closing.
const MAX_WEBSOCKETS: usize = 2;
/// WebSocket pings are answered while less than this waits to be written.
const PONGS_BELOW: usize = 16 << 10;
/// A timer that is armed for less than this is near.
const SOON: Duration = Duration::from_secs(1);
/// How long a WebSocket that we have closed may take to close its side.
const LINGER: Duration = Duration::from_secs(2);

/// What a session does with its events: the Socket.IO application, or the plain Engine.IO one.
pub(crate) trait Application: Send + 'static {
    /// The session begins: the work to do at that, if any.
    fn open(&mut self, cell: &Arc<SessionHandle>) -> Option<Job>;

    /// Takes an event. What takes longer comes back as a job.
    fn handle(&mut self, event: ServerEvent, cell: &Arc<SessionHandle>) -> Option<Job>;

    /// A job of that socket panicked.
    fn panicked(&mut self, socket: Option<SocketKey>, panic: Box<dyn Any + Send>, cell: &Arc<SessionHandle>);

    /// The session is over, and its jobs too.
    fn ended(&mut self, cell: &Arc<SessionHandle>);
}

/// Handlers at work on one event. Until it is done, the later events of the same socket wait.
pub(crate) struct Job {
    pub(crate) socket: Option<SocketKey>,
    pub(crate) work: Work,
}

/// What a job does.
pub(crate) enum Work {
    Plain(BoxFuture<()>),
    /// The only listener of an event: the usual case, with one allocation less.
    Event {
        future: BoxFuture<Result<Reply, HandlerError>>,
        done: Done,
    },
}

impl Job {
    pub(crate) fn plain(socket: SocketKey, future: impl Future<Output = ()> + Send + 'static) -> Self {
        Self { socket: Some(socket), work: Work::Plain(Box::pin(future)) }
    }
}

impl Work {
    fn poll(&mut self, context: &mut Context<'_>) -> Poll<()> {
        match self {
            Self::Plain(future) => future.as_mut().poll(context),
            Self::Event { future, done } => future.as_mut().poll(context).map(|outcome| done.finish(outcome)),
        }
    }

    /// Polls it; a panic of user code comes back as an error.
    pub(crate) fn poll_caught(&mut self, context: &mut Context<'_>) -> Result<Poll<()>, Box<dyn Any + Send>> {
        catch_unwind(AssertUnwindSafe(|| self.poll(context)))
    }
}

/// A WebSocket of the session: the one in use, or the one it is moving to.
struct WebSocket {
    id: RequestId,
    stream: Box<dyn Stream>,
    reader: Reader,
    /// What hyper had read beyond the handshake.
    ahead: Bytes,
    unwritten: Vec<u8>,
    /// How much at its beginning is written: a large backlog is not moved for every part that leaves.
    written: usize,
    state: State,
    /// The machine did not want more at the last look.
    paused: bool,
    /// What was written still waits inside of the stream: TLS has buffers of its own.
    flushing: bool,
    /// Bytes written since they were counted.
    uncounted: u64,
    /// Held by one that the session does not use.
    place: Option<ConnectionPlace>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    Open,
    /// Our close frame is queued; what comes in is thrown away.
    Closing(time::Instant),
    /// Nothing more is read or written.
    Dead,
}

/// The task of a session.
pub(crate) struct Session {
    cell: Arc<SessionHandle>,
    application: Box<dyn Application>,
    websockets: Vec<WebSocket>,
    upgrading: Vec<(RequestId, Upgrade)>,
    jobs: Vec<Job>,
    timer: Option<Box<dyn Timer>>,
    armed: Option<time::Instant>,
    /// Who the armed timer wakes.
    armed_for: Option<Waker>,
    /// The time of this round.
    now: time::Instant,
    opened: bool,
    /// Something was written, or was not, that the machine has not heard of.
    untold: bool,
    counters: Arc<Counters>,
    on_end: Option<Box<dyn FnOnce() + Send>>,
}

impl Session {
    /// `on_end` is called when the session is over.
    pub(crate) fn new(
        cell: Arc<SessionHandle>,
        application: Box<dyn Application>,
        counters: Arc<Counters>,
        on_end: Box<dyn FnOnce() + Send>,
    ) -> Self {
        Self {
            cell,
            application,
            websockets: Vec::new(),
            upgrading: Vec::new(),
            jobs: Vec::new(),
            timer: None,
            armed: None,
            armed_for: None,
            now: time::Instant::ZERO,
            opened: false,
            untold: false,
            counters,
            on_end: Some(on_end),
        }
    }

    /// Begins a round that may follow a sleep: takes what has arrived.
    fn wake_up(&mut self, round: &mut Round, context: &mut Context<'_>) {
        self.now = self.cell.now();
        round.awake = false;
        self.poll_read(round, context);
        if !round.awake {
            self.cell.lock().wake_up(round);
        }
        if !round.upgrades.is_empty() {
            self.upgrading.append(&mut round.upgrades);
        }
        if !self.upgrading.is_empty() {
            self.poll_upgrades(context);
            self.poll_read(round, context);
        }
    }

    /// Tells the application once that the session has opened.
    fn open(&mut self, context: &mut Context<'_>) {
        if self.opened || !self.cell.lock().machine.has_opened() {
            return;
        }
        self.opened = true;
        let opened = catch_unwind(AssertUnwindSafe(|| self.application.open(&self.cell)));
        match opened {
            Ok(Some(job)) => self.begin(job, context),
            Ok(None) => {}
            Err(panic) => self.panicked(None, panic),
        }
    }

    /// Accepted upgrades become WebSockets.
    fn poll_upgrades(&mut self, context: &mut Context<'_>) {
        let mut at = 0;
        while let Some((id, upgrade)) = self.upgrading.get_mut(at) {
            let id = *id;
            let Poll::Ready(upgraded) = Pin::new(&mut upgrade.stream).poll(context) else {
                at += 1;
                continue;
            };
            let (_, Upgrade { place, .. }) = self.upgrading.swap_remove(at);
            if self.upgrading.is_empty() {
                self.upgrading = Vec::new();
            }
            match upgraded {
                Ok(upgraded) => {
                    let (stream, ahead) = self.cell.clock().runtime().stream(upgraded);
                    self.add_websocket(id, stream, ahead, place);
                }
                Err(error) => {
                    debug!(%error, "a WebSocket handshake was not completed");
                    self.cell.lock().machine.handle_request_aborted(self.now, id);
                }
            }
        }
    }

    /// Begins with a WebSocket. A client that opens one after the other, each to be refused, has the last ones cut off:
    /// they would linger at no limit.
    pub(super) fn add_websocket(
        &mut self,
        id: RequestId,
        stream: Box<dyn Stream>,
        ahead: Bytes,
        place: Option<ConnectionPlace>,
    ) {
        let mut inner = self.cell.lock();
        inner.machine.handle_websocket_opened(self.now, id);
        let reader = Reader::new(Role::Server, inner.machine.max_payload());
        drop(inner);
        if self.websockets.len() >= MAX_WEBSOCKETS {
            if let Some(at) = self.websockets.iter().position(|websocket| websocket.state != State::Open) {
                drop(self.websockets.remove(at));
            }
        }
        // There is one, and for the moment of an upgrade none: no room for four.
        self.websockets.reserve_exact(1);
        self.websockets.push(WebSocket {
            id,
            stream,
            reader,
            // An empty slice would keep the buffer that it is a slice of.
            ahead: if ahead.is_empty() { Bytes::new() } else { ahead },
            unwritten: Vec::new(),
            written: 0,
            state: State::Open,
            paused: false,
            flushing: false,
            uncounted: 0,
            place,
        });
    }

    /// Reads one batch from each WebSocket. Returns whether anything came.
    fn poll_read(&mut self, round: &mut Round, context: &mut Context<'_>) -> bool {
        let mut progress = false;
        for websocket in &mut self.websockets {
            if websocket.state != State::Dead {
                // Before the session has opened, for the application, it is told of no event.
                let round = (&mut *round, self.opened);
                progress |= websocket.poll_read(&self.cell, self.now, round, context);
            }
        }
        progress
    }

    /// Hands events to the application and begins its jobs, until the turn is over.
    fn dispatch(&mut self, round: &mut Round, turn: &mut Turn, context: &mut Context<'_>) {
        let mut more = true;
        for _ in 0..EVENTS_PER_ROUND {
            // What a handler brings about after the last look is found before the session falls asleep.
            let pulled = match round.pulled.take() {
                Some(pulled) => pulled,
                None if !more || turn.is_over(self.cell.clock()) => break,
                None => match self.cell.lock().pull() {
                    Some(pulled) => pulled,
                    None => break,
                },
            };
            more = pulled.more;
            self.handle(pulled, context);
        }
    }

    /// Hands one event to whom it concerns.
    fn handle(&mut self, Pulled { event, sink, .. }: Pulled, context: &mut Context<'_>) {
        if let Some(sink) = sink {
            if let ServerEvent::Socket(ServerSocketEvent::Ack { socket, outcome, .. }) = event {
                if let Err(panic) = catch_unwind(AssertUnwindSafe(|| sink(outcome))) {
                    self.panicked(Some(socket), panic);
                }
            }
            return;
        }
        let socket = match &event {
            ServerEvent::Socket(
                ServerSocketEvent::Connect { socket, .. }
                | ServerSocketEvent::Event { socket, .. }
                | ServerSocketEvent::Disconnected { socket, .. },
            ) => Some(*socket),
            _ => None,
        };
        // Most handlers finish at the first poll.
        let begun = catch_unwind(AssertUnwindSafe(|| {
            let mut job = self.application.handle(event, &self.cell)?;
            job.work.poll(context).is_pending().then_some(job)
        }));
        match begun {
            Ok(Some(job)) => self.keep(job),
            Ok(None) => {}
            Err(panic) => self.panicked(socket, panic),
        }
    }

    fn begin(&mut self, mut job: Job, context: &mut Context<'_>) {
        match job.work.poll_caught(context) {
            Ok(Poll::Ready(())) => self.let_go(job),
            Ok(Poll::Pending) => self.keep(job),
            Err(panic) => {
                self.panicked(job.socket, panic);
                self.let_go(job);
            }
        }
    }

    /// Later events of its socket wait for it.
    fn keep(&mut self, job: Job) {
        self.cell.lock().machine.hold(job.socket);
        self.jobs.push(job);
    }

    /// Goes on with the jobs that were not done at once, until the turn is over.
    fn poll_jobs(&mut self, turn: &mut Turn, context: &mut Context<'_>) {
        let mut at = 0;
        for _ in 0..self.jobs.len() {
            if turn.is_over(self.cell.clock()) {
                // The next turn begins with those that had none in this one.
                return self.jobs.rotate_left(at);
            }
            let Some(job) = self.jobs.get_mut(at) else { return };
            let done = match job.work.poll_caught(context) {
                Ok(Poll::Pending) => {
                    at += 1;
                    continue;
                }
                Ok(Poll::Ready(())) => None,
                Err(panic) => Some(panic),
            };
            let job = self.jobs.remove(at);
            let socket = job.socket;
            if let Some(panic) = done {
                self.panicked(socket, panic);
            }
            self.let_go(job);
            self.cell.lock().machine.release(socket);
        }
    }

    /// Drops a job that is done. What it had captured is the application's, and so is the code that drops it.
    fn let_go(&mut self, job: Job) {
        let socket = job.socket;
        if let Err(panic) = catch_unwind(AssertUnwindSafe(|| drop(job))) {
            self.panicked(socket, panic);
        }
    }

    /// The application's code panicked.
    fn panicked(&mut self, socket: Option<SocketKey>, panic: Box<dyn Any + Send>) {
        count(&self.counters.panics);
        let told = catch_unwind(AssertUnwindSafe(|| self.application.panicked(socket, panic, &self.cell)));
        if let Err(again) = told {
            // Somebody's panic has a payload whose own drop panics: it is let go of without that.
            std::mem::forget(again);
        }
    }

    /// Writes what the machine wants written, as far as the sockets take it.
    fn transmit(&mut self, context: &mut Context<'_>) {
        let mut inner = self.cell.lock();
        if std::mem::take(&mut self.untold) {
            tell(&mut inner, &mut self.websockets, self.now);
        }
        for websocket in &mut self.websockets {
            if websocket.place.is_some() && inner.machine.is_on(websocket.id) {
                websocket.place = None;
            }
        }
        let ready = inner.take_ready();
        let is_behind = |websocket: &WebSocket| websocket.flushing || !websocket.unwritten.is_empty();
        let behind = self.websockets.iter().any(is_behind);
        if !behind && !inner.machine.has_transmit() {
            drop(inner);
            return ready.into_iter().for_each(Waker::wake);
        }
        let mut answers: Vec<(oneshot::Sender<Answer>, Answer)> = Vec::new();
        // Dropped without the lock: their streams may be the host's.
        let mut given_up = Vec::new();
        with_buffers(|buffers| {
            // The first WebSocket writes from the worker's buffer, and takes over only what is left.
            if let Some(first) = self.websockets.first_mut() {
                if first.unwritten.is_empty() {
                    std::mem::swap(&mut first.unwritten, &mut buffers.write);
                }
            }
            while let Some(transmit) = inner.machine.poll_transmit() {
                let (request, mut answer) = match transmit {
                    ServerTransmit::Write { websocket, message } => {
                        if let Some(found) = find(&mut self.websockets, websocket) {
                            match &message {
                                WireMessage::Text(text) => {
                                    websocket::write_text(&mut found.unwritten, None, text)
                                }
                                WireMessage::Binary(data) => {
                                    websocket::write_binary(&mut found.unwritten, None, data)
                                }
                            }
                        }
                        continue;
                    }
                    ServerTransmit::CloseWebSocket { websocket, code } => {
                        if let Some(found) = find(&mut self.websockets, websocket) {
                            websocket::write_close(&mut found.unwritten, None, code, "");
                            found.state = State::Closing(self.now + LINGER);
                        }
                        if let Some(at) = self.upgrading.iter().position(|(id, _)| *id == websocket) {
                            given_up.push(self.upgrading.swap_remove(at));
                        }
                        continue;
                    }
                    ServerTransmit::Respond { request, response } => (request, Answer::Respond(response)),
                    ServerTransmit::AcceptWebSocket { request } => (request, Answer::Switch),
                    ServerTransmit::Abort { request } => (request, Answer::Abort),
                    // The core may learn to say more; an adapter of its own version knows it all.
                    _ => continue,
                };
                if let Some(at) = inner.requests.iter().position(|(id, _)| *id == request) {
                    let sender = inner.requests.swap_remove(at).1;
                    if let Answer::Respond(response) = &mut answer {
                        inner.count_unread(&self.cell, self.now, &mut response.body);
                    }
                    answers.push((sender, answer));
                }
            }
            drop(inner);
            for websocket in &mut self.websockets {
                websocket.poll_write(&self.cell, self.now, context);
            }
            if let Some(first) = self.websockets.first_mut() {
                if first.unwritten.capacity() > 0 && first.unwritten.is_empty() {
                    std::mem::swap(&mut first.unwritten, &mut buffers.write);
                    // Whatever capacity came back with the swap was given up before.
                    first.unwritten = Vec::new();
                } else if buffers.write.capacity() == 0 {
                    // The socket is behind: keep only what is left, and give the large buffer back.
                    let left = first.unwritten[std::mem::take(&mut first.written)..].to_vec();
                    buffers.write = std::mem::replace(&mut first.unwritten, left);
                }
            }
        });
        self.untold = true;
        for (sender, answer) in answers {
            // A request that is gone has said so itself.
            let _ = sender.send(answer);
        }
        ready.into_iter().for_each(Waker::wake);
    }

    fn fall_asleep(&mut self, waker: &Waker, may_end: bool) -> Rest {
        let mut inner = self.cell.lock();
        if std::mem::take(&mut self.untold) {
            tell(&mut inner, &mut self.websockets, self.now);
        }
        let ready = inner.take_ready();
        let rest = inner.fall_asleep(waker, may_end);
        drop(inner);
        ready.into_iter().for_each(Waker::wake);
        rest
    }

    /// Arms the timer. Returns whether a deadline is over already.
    fn poll_timer(&mut self, deadline: Option<time::Instant>, context: &mut Context<'_>) -> bool {
        let linger = self.websockets.iter().filter_map(|websocket| match websocket.state {
            State::Closing(deadline) => Some(deadline),
            State::Open | State::Dead => None,
        });
        let Some(deadline) = linger.chain(deadline).min() else { return false };
        // It would go off soon and in vain. Until then a runtime may set a timer of the kernel's for each message.
        let now = self.now;
        let is_vain = |armed: time::Instant| armed - now < SOON && deadline - armed >= SOON;
        let waits = |armed: time::Instant| armed <= deadline && now < armed && !is_vain(armed);
        let same_task = self.armed_for.as_ref().is_some_and(|waker| waker.will_wake(context.waker()));
        if same_task && self.armed.is_some_and(waits) {
            return false;
        }
        self.armed_for = Some(context.waker().clone());
        let at = self.cell.clock().instant(deadline);
        // One timer, hardly ever moved to a later time: one that fires too early costs less than moving it for
        // every message.
        let timer = match &mut self.timer {
            Some(timer) => {
                if self.armed.is_none_or(|armed| deadline < armed || is_vain(armed)) {
                    timer.reset(at);
                    self.armed = Some(deadline);
                }
                timer
            }
            none => {
                self.armed = Some(deadline);
                none.insert(self.cell.clock().runtime().timer(at))
            }
        };
        if timer.poll_elapsed(context).is_pending() {
            return false;
        }
        self.armed = None;
        self.now = self.cell.now();
        self.cell.lock().machine.handle_timeout(self.now);
        self.end_lingering();
        true
    }

    /// Judges the deadlines by the clock, because the timer is looked at only when a session falls asleep, and one whose
    /// socket is always readable never does.
    fn judge_deadlines(&mut self) {
        self.now = self.cell.now();
        let mut inner = self.cell.lock();
        if inner.machine.poll_timeout().is_some_and(|deadline| deadline <= self.now) {
            inner.machine.handle_timeout(self.now);
        }
        drop(inner);
        self.end_lingering();
    }

    /// Ends the WebSockets that we have closed and whose clients have had their time to close them, too.
    fn end_lingering(&mut self) {
        for websocket in &mut self.websockets {
            if matches!(websocket.state, State::Closing(deadline) if deadline <= self.now) {
                websocket.state = State::Dead;
            }
        }
    }
}

impl Future for Session {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let this = &mut *self;
        let round = &mut Round::default();
        this.wake_up(round, context);
        let turn = &mut Turn::begin(this.now);
        for _ in 0..ROUNDS_PER_POLL {
            // What has arrived is handled, then all that this gave is written at once.
            this.open(context);
            this.dispatch(round, turn, context);
            this.poll_jobs(turn, context);
            this.transmit(context);
            if this.websockets.iter().any(|websocket| websocket.state == State::Dead) {
                tell(&mut this.cell.lock(), &mut this.websockets, this.now);
                this.websockets.retain(|websocket| websocket.state != State::Dead);
            }
            if round.cut {
                return Poll::Ready(());
            }
            if turn.has_ended() {
                break;
            }
            if this.poll_read(round, context) {
                this.now = this.cell.now();
                if turn.has_ended_at(this.now) {
                    break;
                }
                continue;
            }
            let may_end = this.jobs.is_empty() && this.websockets.is_empty();
            match this.fall_asleep(context.waker(), may_end) {
                Rest::Over => return Poll::Ready(()),
                Rest::Asleep(deadline) if !this.poll_timer(deadline, context) => return Poll::Pending,
                Rest::Asleep(_) | Rest::Awake => this.wake_up(round, context),
            }
        }
        if let Some(pulled) = round.pulled.take() {
            // It was pulled already, so it cannot wait for the next turn.
            this.handle(pulled, context);
        }
        this.judge_deadlines();
        context.waker().wake_by_ref();
        Poll::Pending
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        // Handlers that are left are dropped: at the end of a shutdown's patience, or with the runtime.
        for job in self.jobs.drain(..) {
            let _ = catch_unwind(AssertUnwindSafe(|| drop(job)));
        }
        let left = self.cell.force_end();
        drop((left.requests, left.upgrades));
        // Whatever of the application's own runs here and panics: the session is counted, and forgotten.
        for sink in left.acks {
            let outcome = sansocket_protocol::socket::AckOutcome::Disconnected;
            let _ = catch_unwind(AssertUnwindSafe(|| sink(outcome)));
        }
        for waker in left.ready {
            let _ = catch_unwind(AssertUnwindSafe(|| waker.wake()));
        }
        let _ = catch_unwind(AssertUnwindSafe(|| self.application.ended(&self.cell)));
        let passed = self.cell.lock().passed();
        self.counters.session_ended(&passed);
        if let Some(on_end) = self.on_end.take() {
            on_end();
        }
    }
}

/// Tells the machine what was not written yet.
fn tell(inner: &mut Inner, websockets: &mut [WebSocket], now: time::Instant) {
    for websocket in &mut *websockets {
        inner.bytes.written += std::mem::take(&mut websocket.uncounted);
    }
    let current = websockets.iter().find(|websocket| inner.machine.is_on(websocket.id));
    inner.unwritten = current.map_or(0, WebSocket::left);
    inner.tell_unwritten(now);
}

fn find(websockets: &mut [WebSocket], id: RequestId) -> Option<&mut WebSocket> {
    websockets.iter_mut().find(|websocket| websocket.id == id && websocket.state == State::Open)
}

impl WebSocket {
    /// Reads one batch and gives its messages to the machine. Returns whether anything came. The first event that
    /// this makes is pulled with it, if the application `may_hear`.
    fn poll_read(
        &mut self,
        cell: &SessionHandle,
        now: time::Instant,
        (round, may_hear): (&mut Round, bool),
        context: &mut Context<'_>,
    ) -> bool {
        if self.paused && self.state == State::Open {
            self.paused = !cell.lock().machine.wants_read_from(self.id);
            if self.paused {
                return false;
            }
        }
        with_buffers(|buffers| {
            let bytes = if self.ahead.is_empty() {
                let mut buffer = ReadBuf::new(&mut buffers.read);
                match Pin::new(&mut *self.stream).poll_read(context, buffer.unfilled()) {
                    Poll::Pending => return false,
                    Poll::Ready(Ok(())) => buffer.filled().len(),
                    Poll::Ready(Err(error)) => {
                        debug!(%error, "a WebSocket failed");
                        self.ended(cell, now, Some(1006));
                        return true;
                    }
                }
            } else {
                let bytes = self.ahead.len().min(buffers.read.len());
                buffers.read[..bytes].copy_from_slice(&self.ahead[..bytes]);
                let rest = self.ahead.slice(bytes..);
                self.ahead = if rest.is_empty() { Bytes::new() } else { rest };
                bytes
            };
            if bytes == 0 {
                self.ended(cell, now, None);
                return true;
            }
            let inbox = &mut buffers.inbox;
            let fed = self.reader.feed(&mut buffers.read[..bytes], &mut |item| inbox.push(item));
            if let Err(error) = &fed {
                // Before the lock: a subscriber is user code.
                debug!(%error, "a client broke the WebSocket protocol");
            }
            let mut inner = cell.lock();
            inner.wake_up(round);
            inner.bytes.read += bytes as u64;
            for item in inbox.drain(..) {
                if self.state != State::Open && !matches!(item, Incoming::Close(_)) {
                    continue;
                }
                match item {
                    Incoming::Text(text) => {
                        inner.machine.handle_websocket(now, self.id, WireMessage::Text(text));
                    }
                    Incoming::Binary(data) => {
                        inner.machine.handle_websocket(now, self.id, WireMessage::Binary(data));
                    }
                    // One who pings without reading gets no more answers than fit (RFC 6455, section 5.5.3).
                    Incoming::Ping(data) if self.left() < PONGS_BELOW => {
                        websocket::write_pong(&mut self.unwritten, None, &data);
                    }
                    Incoming::Ping(_) => {}
                    Incoming::Pong => {}
                    Incoming::Close(code) => {
                        if self.state == State::Open {
                            inner.machine.handle_websocket_closed(now, self.id, None);
                            websocket::write_close(&mut self.unwritten, None, code, "");
                            self.state = State::Closing(now);
                        } else {
                            // Both sides have said it.
                            self.state = State::Dead;
                        }
                    }
                }
            }
            if let Err(error) = fed {
                self.violated(error, &mut inner.machine, now);
            }
            if may_hear && round.pulled.is_none() {
                round.pulled = inner.pull();
            }
            self.paused = !inner.machine.wants_read_from(self.id);
            true
        })
    }

    fn violated(
        &mut self,
        error: ReadError,
        machine: &mut sansocket_protocol::server::Connection,
        now: time::Instant,
    ) {
        if self.state == State::Open {
            machine.handle_websocket_closed(now, self.id, Some(error.close_code()));
            websocket::write_close(&mut self.unwritten, None, Some(error.close_code()), "");
            self.state = State::Closing(now + LINGER);
        }
    }

    /// The stream ended or failed.
    fn ended(&mut self, cell: &SessionHandle, now: time::Instant, error: Option<u16>) {
        if self.state == State::Open {
            cell.lock().machine.handle_websocket_closed(now, self.id, error);
        }
        self.state = State::Dead;
        self.unwritten = Vec::new();
        self.written = 0;
        self.flushing = false;
    }

    /// How much waits to be written.
    fn left(&self) -> usize {
        self.unwritten.len() - self.written
    }

    /// Writes what is queued, as far as the socket takes it.
    fn poll_write(&mut self, cell: &SessionHandle, now: time::Instant, context: &mut Context<'_>) {
        while self.left() > 0 {
            match Pin::new(&mut *self.stream).poll_write(context, &self.unwritten[self.written..]) {
                Poll::Ready(Ok(bytes)) if bytes > 0 => {
                    self.written += bytes;
                    self.uncounted += bytes as u64;
                }
                // Whatever follows would follow half a frame.
                Poll::Ready(_) => return self.ended(cell, now, Some(1006)),
                Poll::Pending => {
                    // Once more than half is gone, moving the rest costs less than what has left.
                    if self.written > self.left() {
                        self.unwritten.drain(..std::mem::take(&mut self.written));
                    }
                    return;
                }
            }
        }
        if self.written > 0 {
            self.unwritten.clear();
            self.written = 0;
            self.flushing = true;
        }
        if !self.flushing {
            return;
        }
        match Pin::new(&mut *self.stream).poll_flush(context) {
            Poll::Pending => return,
            Poll::Ready(Err(_)) => return self.ended(cell, now, Some(1006)),
            Poll::Ready(Ok(())) => {}
        }
        let closing = matches!(self.state, State::Closing(_));
        if closing && Pin::new(&mut *self.stream).poll_shutdown(context).is_pending() {
            return;
        }
        self.flushing = false;
    }
}

/// Ends a session that is left at the end of a drain, with whatever its handlers wait for.
pub(crate) fn abort(cell: &SessionHandle, reason: CloseReason) {
    cell.with_inner(|inner| {
        inner.machine.abort(reason);
        inner.cut();
    });
}
