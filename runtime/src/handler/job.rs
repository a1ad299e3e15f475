//! The work of jobs: the handlers of one event, and the one way in which its listeners run.

use crate::base::error::HandlerError;
use crate::base::job::Job;
use crate::base::runtime::BoxFuture;
use crate::base::timing::Since;
use crate::base::trace::{Span, in_scope};
use crate::handler::ack::{AckTarget, Reply};
use crate::handler::kind::{Acks, Context, EventInput, Kind};
use crate::handler::peer::Peer;
use crate::handler::peer::sealed::{Apart, HandlerPeer as _};
use crate::handler::table::{Listener, Runs};
use crate::handler::{AnyHandler, Begun, BoxHandlerFuture, OutcomeOf, SharedHandler, Spanned};
use sansocket_protocol::message::Frame;
use sansocket_protocol::socket::{Args, SocketKey};
use std::cell::RefCell;
use std::future::{Future, poll_fn};
use std::mem;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::{Pin, pin};
use std::task::{self, Poll};

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
            called.map(|begun| match begun {
                Begun::Waits(future) => Begun::Waits(Box::pin(Spanned { span, future })),
                done => done,
            })
        }
    };
    let mut future = match called {
        Ok(Begun::Waits(future)) => future,
        Ok(Begun::Done(outcome)) => {
            mem::forget(unwinding);
            finish(&context.peer, Some(event), context.input.ack.as_ref(), outcome);
            return None;
        }
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
) -> Result<Begun<K>, HandlerError> {
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
            Ok(Begun::Waits(future)) => OutcomeOf { future, ack: context.input.ack.as_ref() }.await,
            Ok(Begun::Done(outcome)) => outcome,
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
            panicked(&HandlerError::panic(panic));
        }
    }
}

pub(crate) async fn run<K: Kind>(
    context: &mut Context<K>,
    handler: &dyn AnyHandler<K>,
) -> Result<K::Outcome, HandlerError> {
    match handler.call(context)? {
        Begun::Waits(future) => Ok(OutcomeOf { future, ack: context.ack() }.await),
        Begun::Done(outcome) => Ok(outcome),
    }
}

/// Runs a handler whose errors are told to the error hook, which may answer the event. `None` after an error.
pub(crate) async fn run_reported<K, T>(context: &mut Context<K>, handler: &dyn AnyHandler<K>) -> Option<T>
where
    K: Kind<Outcome = Result<T, HandlerError>>,
{
    let outcome = run(context, handler).await.and_then(|outcome| outcome);
    outcome.inspect_err(|error| context.report_and_answer(error)).ok()
}
