//! The task of a session, played at random in virtual time: a client on polling and WebSocket, streams that take and
//! give a few bytes at a time, handlers that wait, broken connections.
//!
//! The task may move about: then each of its turns has another waker, and the earlier ones wake nobody. Whenever it
//! rests, a turn that nothing has asked for must change nothing, or a wake-up was missed; and all that could have
//! happened has.
//!
//! A play is a function of bytes. The tests draw them, and so does the fuzz target `session`: `fuzz/` compiles these
//! files together with those that the task needs, and without the rest of the runtime.

use crate::base::clock::Clock;
use crate::base::in_memory::{InMemory, Task};
use crate::base::job::Job;
use crate::base::runtime::{BoxFuture, Runtime};
use crate::base::timing::Since;
use crate::session::handle::SessionHandle;
use crate::session::stats::Counters;
use crate::session::task::{Application, Session};
use client::Client;
use sansocket_protocol::engine::EngineServerConfig;
use sansocket_protocol::error::CloseReason;
use sansocket_protocol::message::{Frame, WireMessage};
use sansocket_protocol::server::{Connection, ServerEvent};
use sansocket_protocol::socket::SocketKey;
use scenario::{ABORTS, Scenario, Step, Streams};
use std::any::Any;
use std::future::poll_fn;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::Context;
use std::time::{Duration, Instant};

mod client;
mod scenario;
#[cfg(test)]
mod tests;

const MILLISECOND: Duration = Duration::from_millis(1);
/// The time that a handler takes.
const HANDLER: Duration = Duration::from_micros(20);
/// The longest turn: a round may follow one that ended just in time.
const LONGEST_TURN: Duration = Duration::from_millis(2);
/// The time that a session has to end once it is closed and its messages are handled.
const PATIENCE: Duration = Duration::from_secs(10);
/// The weight of each message of the client, all of which are equally long: the budget is a multiple.
const WEIGHT: usize = 128 + client::MESSAGE;
const BUDGET: usize = 5 * WEIGHT;

/// The body of the fuzz target `session`: any bytes in, a panic if something is wrong.
pub(crate) fn play(data: &[u8]) {
    let Scenario { streams, heartbeats, on_websocket, stays, steps } = Scenario::read(data);
    let mut play = Play::new(streams, heartbeats, on_websocket, stays);
    steps.into_iter().for_each(|step| play.take(step));
    play.end();
}

/// An application that answers each message with its number, at once or after a time.
struct Answering {
    runtime: InMemory,
    /// Sessions that it was told of.
    opened: Arc<AtomicUsize>,
    begun: Arc<AtomicUsize>,
    done: Arc<AtomicUsize>,
    /// Sessions that a handler has cut off.
    cut: Arc<AtomicUsize>,
}

impl Application for Answering {
    type Work = BoxFuture<()>;

    fn open(&mut self, _: &Arc<SessionHandle>) -> Option<Job<Self::Work>> {
        self.opened.fetch_add(1, Ordering::Relaxed);
        None
    }

    fn handle(
        &mut self,
        event: ServerEvent,
        handle: &Arc<SessionHandle>,
        context: &mut Context<'_>,
    ) -> Option<Job<Self::Work>> {
        assert_eq!(self.opened.load(Ordering::Relaxed), 1, "an event of a session that has not opened");
        let ServerEvent::Message(WireMessage::Text(text)) = event else { return None };
        let text = std::str::from_utf8(&text).expect("UTF-8");
        let (number, waits) = text.split_at(6);
        let waits = waits.trim().parse().expect("a number");
        if waits == u32::from(ABORTS) {
            handle.abort(CloseReason::ForcedClose);
            self.cut.fetch_add(1, Ordering::Relaxed);
        }
        let waits = MILLISECOND * waits;
        self.begun.fetch_add(1, Ordering::Relaxed);
        let (runtime, handle, done) = (self.runtime.clone(), handle.clone(), self.done.clone());
        let answer = format!("r{number}");
        let work = async move {
            if !waits.is_zero() {
                let mut timer = runtime.timer(runtime.now() + waits);
                poll_fn(|context| timer.poll_elapsed(context)).await;
            }
            runtime.advance(HANDLER);
            // It may be over.
            let _ = handle.with(|machine| machine.send(Frame::text_message(&answer)));
            done.fetch_add(1, Ordering::Relaxed);
        };
        let work: Self::Work = Box::pin(work);
        Job { socket: None, work, since: Since::default() }.begun(context)
    }

    fn panicked(&mut self, _: Option<SocketKey>, panic: Box<dyn Any + Send>, _: &Arc<SessionHandle>) {
        std::panic::resume_unwind(panic);
    }

    fn ended(&mut self, _: &Arc<SessionHandle>) {}
}

/// A session, its task and its client.
struct Play {
    runtime: InMemory,
    handle: Arc<SessionHandle>,
    task: Task<Session<Answering>>,
    client: Client,
    begun: Arc<AtomicUsize>,
    done: Arc<AtomicUsize>,
    cut: Arc<AtomicUsize>,
    /// Messages that the server has sent.
    told: usize,
    /// The time that all handlers take, one after the other.
    asked: Duration,
    /// Those who wait until all is written.
    waiters: Vec<Task<BoxFuture<()>>>,
}

impl Play {
    fn new(streams: Streams, heartbeats: u32, on_websocket: bool, stays: bool) -> Self {
        let runtime = InMemory::new();
        let clock = Clock::new(Arc::new(runtime.clone()));
        let config = EngineServerConfig::default()
            .ping_interval(MILLISECOND * heartbeats)
            .ping_timeout(MILLISECOND * 200)
            .upgrade_timeout(MILLISECOND * 700)
            .close_timeout(Duration::from_secs(1))
            .receive_budget(BUDGET);
        let revision = sansocket_protocol::engine::Revision::V4;
        let machine = Connection::new(clock.now(), revision, Arc::new(config), "an id".into(), None);
        let handle = SessionHandle::new(machine, clock);
        let [opened, begun, done, cut] = <[Arc<AtomicUsize>; 4]>::default();
        let application = Answering {
            runtime: runtime.clone(),
            opened: opened.clone(),
            begun: begun.clone(),
            done: done.clone(),
            cut: cut.clone(),
        };
        let counters = Arc::new(Counters::default());
        let session = Session::new(handle.clone(), application, counters, Box::new(|| {}));
        let client = Client::new(handle.clone(), streams);
        let task = if stays { Task::new(session) } else { Task::moving(session) };
        let (told, asked, waiters) = (0, Duration::ZERO, Vec::new());
        let mut play = Self { runtime, handle, task, client, begun, done, cut, told, asked, waiters };
        play.client.open(on_websocket);
        play.rest();
        assert!(play.client.opened, "the session has not opened");
        assert_eq!(opened.load(Ordering::Relaxed), 1, "times that the application was told");
        play
    }

    fn now(&self) -> Instant {
        Runtime::now(&self.runtime)
    }

    /// Lets the task and its client go on until neither has anything to do.
    fn rest(&mut self) {
        for _ in 0..10_000 {
            let before = self.now();
            let turned = self.task.turn();
            let took = self.now() - before;
            assert!(took <= LONGEST_TURN, "a turn took {took:?}");
            for waiter in &mut self.waiters {
                waiter.turn();
            }
            if !turned && !self.client.goes_on() {
                return;
            }
        }
        panic!("the task and its client do not come to rest");
    }

    fn pass(&mut self, time: Duration) {
        let end = self.now() + time;
        while let Some(next) = self.runtime.next_deadline().filter(|next| self.now() + *next <= end) {
            self.runtime.advance(next);
            self.rest();
        }
        // Handlers take time, too.
        self.runtime.advance(end.saturating_duration_since(self.now()));
        self.rest();
    }

    fn take(&mut self, step: Step) {
        match step {
            Step::Asks(waits) => {
                self.asked += waits.iter().map(|wait| MILLISECOND * u32::from(*wait)).sum::<Duration>();
                self.client.ask(&waits);
            }
            Step::Tells(bytes) => self.tell(bytes),
            Step::AwaitsWritten => self.await_written(),
            Step::TimePasses(time) => self.pass(MILLISECOND * time.into()),
            Step::StopsPolling => self.client.polls = false,
            Step::PollsOn => self.client.polls = true,
            Step::AbortsPoll => self.client.abort_poll(),
            Step::KeepsBodies(keeps) => self.client.keep_bodies(keeps),
            Step::BeginsUpgrade(switchover) => self.client.begin_upgrade(switchover),
            Step::HttpLetsGo(fails) => self.client.let_go(fails),
            Step::BreaksCandidate => self.client.candidates().for_each(|far| far.break_off()),
            Step::StopsReading => self.client.websockets().for_each(|far| far.stop_reading()),
            Step::ReadsSome(bytes) => self.client.websockets().for_each(|far| far.read_some(bytes)),
            Step::ReadsOn => self.client.websockets().for_each(|far| far.read_on()),
            Step::Closes => return self.close(),
            Step::Aborts => self.handle.abort(CloseReason::ForcedClose),
            Step::Leaves => self.client.leave(),
            Step::Ends => self.client.lose(|far| far.end()),
            Step::BreaksOff => self.client.lose(|far| far.break_off()),
        }
        self.rest();
        self.check();
    }

    fn tell(&mut self, bytes: usize) {
        let frame = Frame::text_message(&format!("s{:06}{}", self.told, ".".repeat(bytes)));
        self.told += usize::from(self.handle.with(|machine| machine.send(frame)).is_ok());
    }

    /// Closes it in good order: a client that reads gets all that was sent before.
    fn close(&mut self) {
        let hears_all = self.is_open() && self.client.reads() && !self.client.keeps_anything();
        self.tell(10);
        self.handle.with(|machine| machine.close(CloseReason::ServerShuttingDown));
        self.rest();
        self.check();
        if hears_all {
            assert_eq!(self.client.heard_told(), self.told, "messages that came before the end");
        }
    }

    fn await_written(&mut self) {
        let handle = self.handle.clone();
        let is_behind = self.is_open() && self.client.heard_told() < self.told;
        let waiter: BoxFuture<()> = Box::pin(async move {
            let _ = handle.flushed().await;
        });
        let mut waiter = Task::moving(waiter);
        waiter.turn();
        // Messages in a poll's answer or a stream are on their way; those in the session are not.
        let is_kept = self.client.keeps_anything();
        assert!(!is_behind || is_kept || !waiter.is_over(), "it counts as written, and was not");
        self.waiters.push(waiter);
    }

    fn is_open(&self) -> bool {
        !self.task.is_over() && self.handle.lock().machine.is_open()
    }

    /// The part of the session's state that can be seen from outside.
    fn look(&self) -> String {
        let inner = self.handle.lock();
        let requests = inner.waiting().map_or(0, |waiting| waiting.requests.len());
        let machine = &inner.machine;
        let waiters = self.waiters.iter().filter(|waiter| !waiter.is_over()).count();
        format!(
            "{} begun, {} done, {} unsent, {} unwritten, {requests} requests, {waiters} waiters, open: {}, over: {}, {}",
            self.begun.load(Ordering::Relaxed),
            self.done.load(Ordering::Relaxed),
            machine.unsent(),
            inner.unwritten,
            machine.is_open(),
            self.task.is_over(),
            self.client.look(),
        )
    }

    /// Checks the session at rest.
    fn check(&mut self) {
        self.check_wake_ups();
        if self.task.is_over() {
            assert!(self.waiters.iter().all(Task::is_over), "somebody waits for a session that is over");
            return;
        }
        let inner = self.handle.lock();
        let requests = inner.waiting().map_or(0, |waiting| waiting.requests.len());
        assert_eq!(requests, self.client.waiting_requests(), "requests that wait, as the session sees it");
        if let Some(deadline) = inner.machine.poll_timeout() {
            let next = self.runtime.next_deadline().expect("the session has a deadline, and no timer");
            let left = deadline - self.handle.now();
            assert!(next <= left, "the timer fires in {next:?}, the deadline is over in {left:?}");
        }
        let is_open = inner.machine.is_open();
        let inbound = inner.machine.inbound();
        drop(inner);
        self.client.check_places();
        if !is_open {
            return;
        }
        if inbound >= BUDGET {
            self.check_pause();
        }
        if self.client.reads() && !self.client.keeps_anything() {
            assert_eq!(self.client.heard_told(), self.told, "messages that the client has");
            assert!(self.waiters.iter().all(Task::is_over), "somebody waits for what is written");
            self.waiters.clear();
            let [begun, done] = [&self.begun, &self.done].map(|count| count.load(Ordering::Relaxed));
            assert_eq!(self.client.heard_answers(), done, "answers that the client has");
            if begun == done {
                assert_eq!(done, self.client.delivered(), "messages that were handled");
            }
        }
    }

    /// At its budget, the session reads nothing more from its WebSocket, and answers no POST.
    fn check_pause(&mut self) {
        let unread = self.client.unread();
        self.client.ask(&[0]);
        self.rest();
        match unread {
            Some(unread) => assert_eq!(self.client.unread(), Some(unread + client::FRAME), "it reads on"),
            None => assert!(!self.client.may_post(), "a POST was answered"),
        }
    }

    /// A turn that nothing has asked for changes nothing.
    fn check_wake_ups(&mut self) {
        let before = self.look();
        self.task.wake();
        self.rest();
        assert_eq!(self.look(), before, "a wake-up was missed");
    }

    /// Closes it, and checks that nothing is left.
    fn end(mut self) {
        self.close();
        let was_over = self.task.is_over();
        self.pass(self.asked + PATIENCE);
        // Its next session would have a budget of its own.
        let is_cut = was_over || self.cut.load(Ordering::Relaxed) > 0;
        let keeps_it = !is_cut && self.client.keeps_a_large_body();
        assert!(!keeps_it || !self.task.is_over(), "it ends before its answers are read");
        self.client.keep_bodies(false);
        self.client.let_go(false);
        self.rest();
        self.check_wake_ups();
        self.pass(PATIENCE);
        assert!(self.task.is_over(), "it goes on: {}", self.look());
        let inner = self.handle.lock();
        assert!(inner.is_ended());
        assert!(inner.waiting().is_none_or(|waiting| waiting.is_empty()), "somebody still waits");
        drop(inner);
        self.client.check_end();
        assert!(self.waiters.iter().all(Task::is_over), "somebody waits to the end of time");
    }
}
