//! Jobs: the handlers of one event at work, and the one way in which the listeners of an event run.

use crate::base::clock::Clock;
use crate::base::error::HandlerError;
use crate::base::runtime::BoxFuture;
use crate::base::timing::Since;
use crate::base::trace::{Span, in_scope};
use crate::base::turn::Turn;
use crate::handler::ack::{AckTarget, Reply};
use crate::handler::kind::{Acks, Context, EventInput, Kind};
use crate::handler::peer::Peer;
use crate::handler::peer::sealed::{Apart, HandlerPeer as _};
use crate::handler::table::{Listener, Runs};
use crate::handler::{AnyHandler, BoxHandlerFuture, OutcomeOf, SharedHandler, Spanned};
use sansocket_protocol::message::Frame;
use sansocket_protocol::socket::{Args, SocketKey};
use std::any::Any;
use std::cell::RefCell;
use std::future::{Future, poll_fn};
use std::mem;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::{Pin, pin};
use std::task::{self, Poll};

/// The payload of a panic in the application's code.
pub(crate) type Panic = Box<dyn Any + Send>;

/// The handlers of one event, or of one step in a socket's life, at work. Until a job is done, the later events of its
/// socket wait.
pub(crate) struct Job<W> {
    /// `None` for plain Engine.IO.
    pub(crate) socket: Option<SocketKey>,
    pub(crate) work: W,
    /// When it began, if it is timed.
    pub(crate) since: Since,
}

impl<W: Future<Output = ()> + Unpin> Job<W> {
    /// Polls it once: it comes back if it is not done.
    pub(crate) fn begun(mut self, context: &mut task::Context<'_>) -> Option<Self> {
        Pin::new(&mut self.work).poll(context).is_pending().then_some(self)
    }

    /// Polls it; a panic of the application's code comes back as an error.
    pub(crate) fn poll_caught(&mut self, context: &mut task::Context<'_>) -> Result<Poll<()>, Panic> {
        poll_caught(&mut self.work, context)
    }
}

/// The jobs of a task that were not done at once.
pub(crate) struct Jobs<W>(Vec<Job<W>>);

/// A round of polls through the jobs of a task, each of which gets one poll in it.
pub(crate) struct Round {
    at: usize,
    left: usize,
}

impl<W> Default for Jobs<W> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<W: Future<Output = ()> + Unpin> Jobs<W> {
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn push(&mut self, job: Job<W>) {
        self.0.push(job);
    }

    /// Returns whether a job of that socket is at work.
    pub(crate) fn are_of(&self, socket: Option<SocketKey>) -> bool {
        self.0.iter().any(|job| job.socket == socket)
    }

    pub(crate) fn begin_round(&self) -> Round {
        Round { at: 0, left: self.0.len() }
    }

    /// Goes on with a round until a job is done, which comes out with its panic, if it had one. `None` if there are no
    /// more in this round, or the turn is over: the next one begins with the jobs that had no poll in this one.
    pub(crate) fn poll_done(
        &mut self,
        round: &mut Round,
        turn: &mut Turn,
        clock: &Clock,
        context: &mut task::Context<'_>,
    ) -> Option<(Job<W>, Option<Panic>)> {
        while round.left > 0 {
            if turn.is_over(clock) {
                self.0.rotate_left(round.at);
                return None;
            }
            round.left -= 1;
            match self.0.get_mut(round.at)?.poll_caught(context) {
                Ok(Poll::Pending) => round.at += 1,
                Ok(Poll::Ready(())) => return Some((self.0.remove(round.at), None)),
                Err(panic) => return Some((self.0.remove(round.at), Some(panic))),
            }
        }
        None
    }

    /// Drops all jobs. Their captured values are the application's, and so is the code that drops them.
    pub(crate) fn drop_caught(&mut self) {
        for job in self.0.drain(..) {
            let _ = catch_unwind(AssertUnwindSafe(|| drop(job)));
        }
    }
}

impl<K: Acks> Job<Work<K>> {
    pub(crate) fn new(socket: Option<SocketKey>, work: impl Future<Output = ()> + Send + 'static) -> Self {
        Self { socket, work: Work::General { future: Box::pin(work), event: None }, since: Since::default() }
    }

    /// The handlers of an event, which have its name in case one of them panics.
    pub(crate) fn of_event(
        socket: Option<SocketKey>,
        event: EventLabel,
        work: impl Future<Output = ()> + Send + 'static,
    ) -> Self {
        let work = Work::General { future: Box::pin(work), event: Some(event) };
        Self { socket, work, since: Since::default() }
    }
}

/// Polls work; a panic of the application's code comes back as an error.
pub(crate) fn poll_caught(
    work: &mut (impl Future<Output = ()> + Unpin),
    context: &mut task::Context<'_>,
) -> Result<Poll<()>, Panic> {
    catch_unwind(AssertUnwindSafe(|| Pin::new(work).poll(context)))
}

/// The work of a job, at the end of kind `K`.
pub(crate) enum Work<K: Acks> {
    /// Any number of handlers, of an event or of something else.
    General { future: BoxFuture<()>, event: Option<EventLabel> },
    /// The only listener of an event: the usual case, with one allocation less.
    SoleListener { future: BoxHandlerFuture<K>, answering: Answering<K::Peer> },
}

impl<K: Acks> Future for Work<K> {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut task::Context<'_>) -> Poll<()> {
        match &mut *self {
            Self::General { future, event } => {
                let unwinding = Unwinding(event.as_ref().and_then(EventLabel::as_str));
                let polled = future.as_mut().poll(context);
                mem::forget(unwinding);
                polled
            }
            Self::SoleListener { future, answering } => {
                let unwinding = Unwinding(answering.event.as_str());
                let polled = future.as_mut().poll_outcome(answering.ack.as_ref(), context);
                mem::forget(unwinding);
                polled.map(|outcome| answering.finish(outcome))
            }
        }
    }
}

thread_local! {
    static PANICKED: RefCell<Option<String>> = const { RefCell::new(None) };
}

/// Remembers the event whose handlers have just panicked in this thread. It is forgotten where nothing panics, so that it
/// costs nothing there.
struct Unwinding<'a>(Option<&'a str>);

impl Drop for Unwinding<'_> {
    fn drop(&mut self) {
        let event = self.0.map(str::to_owned);
        // A thread that ends has nobody to tell.
        let _ = PANICKED.try_with(|panicked| panicked.replace(event));
    }
}

/// The event whose handlers have panicked just before, if it was one of an event: for those who have caught the panic.
pub(crate) fn take_panicked_event() -> Option<String> {
    PANICKED.try_with(RefCell::take).ok().flatten()
}

/// The answer that an event's handlers are to give.
pub(crate) struct Answering<P> {
    pub(crate) peer: P,
    pub(crate) event: EventLabel,
    pub(crate) ack: Option<AckTarget>,
}

/// The name of the event that is handled, for its errors. Names are short: most of them need no allocation.
pub(crate) enum EventLabel {
    Short { bytes: [u8; EventLabel::SHORT], len: u8 },
    Long(Box<[u8]>),
}

impl EventLabel {
    const SHORT: usize = 30;

    pub(crate) fn new(name: &[u8]) -> Self {
        let mut bytes = [0; Self::SHORT];
        match (bytes.get_mut(..name.len()), u8::try_from(name.len())) {
            (Some(short), Ok(len)) => {
                short.copy_from_slice(name);
                Self::Short { bytes, len }
            }
            _ => Self::Long(name.into()),
        }
    }

    /// The name of an event with these arguments.
    pub(crate) fn of(args: &Args) -> Self {
        Self::new(args.event_bytes().as_deref().unwrap_or_default())
    }

    pub(crate) fn as_str(&self) -> Option<&str> {
        let name = match self {
            Self::Short { bytes, len } => bytes.get(..usize::from(*len))?,
            Self::Long(name) => name,
        };
        std::str::from_utf8(name).ok()
    }
}

impl<P: Peer> Answering<P> {
    fn finish(&self, outcome: Result<Reply, HandlerError>) {
        finish(&self.peer, self.event.as_str(), self.ack.as_ref(), outcome);
    }

    fn answer(&self, reply: Reply) {
        answer(&self.peer, self.event.as_str(), self.ack.as_ref(), reply);
    }
}

#[inline]
fn finish<P: Peer>(
    peer: &P,
    event: Option<&str>,
    ack: Option<&AckTarget>,
    outcome: Result<Reply, HandlerError>,
) {
    match outcome {
        Ok(reply) => answer(peer, event, ack, reply),
        Err(error) => fail(peer, event, ack, &error),
    }
}

#[cold]
fn fail<P: Peer>(peer: &P, event: Option<&str>, ack: Option<&AckTarget>, error: &HandlerError) {
    let answer = peer.report(event, error, ack);
    if let (Some(frame), Some(target)) = (answer, ack) {
        peer.acknowledge(target, frame);
    }
}

#[inline]
fn answer<P: Peer>(peer: &P, event: Option<&str>, ack: Option<&AckTarget>, reply: Reply) {
    if let Some(target) = ack {
        acknowledge(peer, event, target, reply);
    }
}

fn acknowledge<P: Peer>(peer: &P, event: Option<&str>, target: &AckTarget, reply: Reply) {
    let frame = match reply {
        Reply::Value(frame) => Ok(frame),
        Reply::Empty if !target.encoder.unit_acknowledges() => return,
        Reply::Empty => target.encode(&()),
    };
    match frame {
        Ok(frame) => peer.acknowledge(target, frame),
        Err(error) => drop(peer.report(event, &error.into(), None)),
    }
}

/// Begins the only listener of an event, and polls it once. Most are done then, and all that the others need is kept
/// for them alone.
pub(crate) fn begin_sole<K: Acks>(
    handler: &dyn AnyHandler<K>,
    peer: K::Peer,
    event: &str,
    input: EventInput,
    span: Option<Span>,
    task: &mut task::Context<'_>,
) -> Option<Work<K>> {
    let mut context = Context::<K>::new(peer, input);
    let unwinding = Unwinding(Some(event));
    let called = match span {
        None => call_acking(&mut context, handler),
        // Extractors and the beginning of the handler are within the span, too.
        Some(span) => {
            let called = in_scope(&span, || call_acking(&mut context, handler));
            called.map(|future| -> BoxHandlerFuture<K> { Box::pin(Spanned { span, future }) })
        }
    };
    let mut future = match called {
        Ok(future) => future,
        Err(error) => {
            mem::forget(unwinding);
            context.report_and_answer(&error);
            return None;
        }
    };
    let polled = future.as_mut().poll_outcome(context.input.ack.as_ref(), task);
    mem::forget(unwinding);
    match polled {
        Poll::Ready(outcome) => {
            finish(&context.peer, Some(event), context.input.ack.as_ref(), outcome);
            None
        }
        Poll::Pending => {
            let Context { peer, input } = context;
            let answering = Answering { peer, event: EventLabel::new(event.as_bytes()), ack: input.ack };
            Some(Work::SoleListener { future, answering })
        }
    }
}

/// Begins a handler that may acknowledge. If it cannot be called, the acknowledgement that an extractor has taken over
/// comes back: the error hook may answer.
#[inline]
pub(crate) fn call_acking<K: Acks>(
    context: &mut Context<K>,
    handler: &dyn AnyHandler<K>,
) -> Result<BoxHandlerFuture<K>, HandlerError> {
    let called = handler.call(context);
    if mem::take(&mut context.input.is_ack_taken) && called.is_ok() {
        context.input.ack = None;
    }
    called
}

/// Runs the handlers that see every event. They do not acknowledge it.
pub(crate) async fn run_any<K: Acks>(context: &mut Context<K>, any: &[SharedHandler<K>]) {
    if any.is_empty() {
        return;
    }
    let ack = context.input.ack.take();
    for handler in any {
        let _ = run_reported(context, &**handler).await;
    }
    context.input.ack = ack;
}

/// Runs the listeners of an event in their order. The first value acknowledges.
pub(crate) async fn run_listeners<K: Acks>(mut context: Context<K>, listeners: &[Listener<K>]) {
    let mut reply: Option<Reply> = None;
    // The error hook's answer: for want of a handler's.
    let mut failed: Option<Frame> = None;
    for Listener { handler, runs } in listeners {
        let is_answered = matches!(reply, Some(Reply::Value(_)));
        if *runs == Runs::Concurrent {
            match K::Peer::run_apart(&mut context, &**handler, is_answered) {
                Apart::Begun => continue,
                Apart::Failed(answer) => {
                    failed = failed.or(answer);
                    continue;
                }
                Apart::Not => {}
            }
        }
        let outcome = match call_acking(&mut context, &**handler) {
            Ok(future) => OutcomeOf { future, ack: context.input.ack.as_ref() }.await,
            Err(error) => Err(error),
        };
        match outcome {
            Ok(value @ Reply::Value(_)) if !is_answered => reply = Some(value),
            Ok(_) => reply = reply.or(Some(Reply::Empty)),
            Err(error) => {
                let answer = context.report(&error);
                failed = failed.or(answer);
            }
        }
    }
    let reply = match (reply, failed) {
        (None | Some(Reply::Empty), Some(frame)) => Some(Reply::Value(frame)),
        (reply, _) => reply,
    };
    if let Some(reply) = reply {
        let event = EventLabel::of(&context.input.args);
        Answering { peer: context.peer, event, ack: context.input.ack }.answer(reply);
    }
}

/// Runs handlers one after the other, whatever becomes of each.
pub(crate) async fn run_each<K>(context: &mut Context<K>, handlers: &[SharedHandler<K>])
where
    K: Kind<Outcome = Result<(), HandlerError>>,
{
    for handler in handlers {
        let _ = run_reported(context, &**handler).await;
    }
}

/// As [`run_each`], and a panic of one does not keep the others from running.
pub(crate) async fn run_each_caught<K>(
    context: &mut Context<K>,
    handlers: &[SharedHandler<K>],
    panicked: impl Fn(&HandlerError),
) where
    K: Kind<Outcome = Result<(), HandlerError>>,
{
    for handler in handlers {
        let mut run = pin!(run_reported(context, &**handler));
        let finished = poll_fn(|task| match catch_unwind(AssertUnwindSafe(|| run.as_mut().poll(task))) {
            Ok(polled) => polled.map(|_| Ok(())),
            Err(panic) => Poll::Ready(Err(panic)),
        });
        if let Err(panic) = finished.await {
            panicked(&HandlerError::panic(&*panic));
            // Its payload may panic as it is dropped.
            let _ = catch_unwind(AssertUnwindSafe(|| drop(panic)));
        }
    }
}

pub(crate) async fn run<K: Kind>(
    context: &mut Context<K>,
    handler: &dyn AnyHandler<K>,
) -> Result<K::Outcome, HandlerError> {
    let future = handler.call(context)?;
    Ok(OutcomeOf { future, ack: context.ack() }.await)
}

/// Runs a handler whose errors are told to the error hook, which may answer the event. `None` after an error.
pub(crate) async fn run_reported<K, T>(context: &mut Context<K>, handler: &dyn AnyHandler<K>) -> Option<T>
where
    K: Kind<Outcome = Result<T, HandlerError>>,
{
    let outcome = run(context, handler).await.and_then(|outcome| outcome);
    outcome.inspect_err(|error| context.report_and_answer(error)).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::in_memory::InMemory;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::task::Waker;
    use std::time::Duration;

    #[test]
    fn a_turn_polls_as_many_jobs_as_it_has_time_for_and_the_next_begins_with_the_others() {
        let runtime = InMemory::new();
        let clock = Clock::new(Arc::new(runtime.clone()));
        let polls: Vec<Arc<AtomicUsize>> = (0..7).map(|_| Arc::default()).collect();
        let mut jobs = Jobs::default();
        for polls in &polls {
            let (polls, runtime) = (Arc::clone(polls), runtime.clone());
            let work: BoxFuture<()> = Box::pin(poll_fn(move |_| {
                runtime.advance(Duration::from_micros(400));
                polls.fetch_add(1, Ordering::Relaxed);
                Poll::Pending
            }));
            jobs.push(Job { socket: None, work, since: Since::default() });
        }
        let counts = || polls.iter().map(|polls| polls.load(Ordering::Relaxed)).collect::<Vec<_>>();
        for _ in 0..50 {
            let before: usize = counts().iter().sum();
            let context = &mut task::Context::from_waker(Waker::noop());
            let turn = &mut Turn::begin(clock.now());
            let round = &mut jobs.begin_round();
            assert!(jobs.poll_done(round, turn, &clock, context).is_none());
            let counts = counts();
            let polled = counts.iter().sum::<usize>() - before;
            assert!((1..=4).contains(&polled), "{polled} jobs of 400 us in a turn of a millisecond");
            let (least, most) = (counts.iter().min(), counts.iter().max());
            assert!(most <= least.map(|least| least + 1).as_ref(), "{counts:?}");
        }
    }
}
