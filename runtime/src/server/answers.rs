//! Calls of many clients at once: their answers, each with the socket that gave it.

use crate::base::error::{AckError, EmitError};
use crate::server::broadcast::Broadcast;
use crate::server::socket::Socket;
use crate::session::stats::{Counters, count};
use futures_channel::mpsc;
use futures_core::Stream;
use sansocket_protocol::socket::{AckOutcome, Args, ToArgs};
use serde::de::DeserializeOwned;
use std::fmt;
use std::future::{Future, poll_fn};
use std::marker::PhantomData;
use std::mem;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering::Relaxed;
use std::task::{Context, Poll};

#[cfg(feature = "cluster")]
type Elsewhere = crate::base::runtime::BoxFuture<(Vec<Args>, usize)>;

/// The answer of one client to a broadcast, or the reason why there is none.
#[derive(Debug)]
#[non_exhaustive]
pub struct Answer<R> {
    /// The public id of the socket that was asked. `None` for one of another node of a cluster: nodes do not tell it.
    pub id: Option<Arc<str>>,
    /// The value, or why there is none: the client did not answer in time, has gone, or answered with another type.
    pub result: Result<R, AckError>,
}

/// The answers to a broadcast as they come: see [`Broadcast::call_stream`]. Each socket that was asked gives exactly one;
/// after the last one the stream ends.
#[must_use = "the answers come by polling it"]
pub struct Answers<R> {
    here: mpsc::UnboundedReceiver<(Arc<str>, Result<Args, AckError>)>,
    budget: Arc<Budget>,
    /// The answers are kept by whoever takes them: their bytes count on.
    are_kept: bool,
    #[cfg(feature = "cluster")]
    elsewhere: Option<Elsewhere>,
    /// The answers from other nodes, and the number of those that are missing.
    #[cfg(feature = "cluster")]
    came: (std::vec::IntoIter<Args>, usize),
    value: PhantomData<fn() -> R>,
}

/// The bytes that the answers of a broadcast may have.
struct Budget {
    left: AtomicUsize,
    counters: Option<Arc<Counters>>,
}

/// The bytes that an answer counts for.
fn weight(args: &Args) -> usize {
    args.wire_len().saturating_add(mem::size_of::<Args>())
}

impl Budget {
    fn of(broadcast: &Broadcast) -> Arc<Self> {
        let server = broadcast.namespace.server();
        let left = server.as_ref().map_or(0, |server| server.0.max_broadcast_answers());
        let counters = server.map(|server| server.0.gate.counters.clone());
        Arc::new(Self { left: AtomicUsize::new(left), counters })
    }

    /// The answer of a socket, as far as the budget allows.
    fn judge(&self, outcome: AckOutcome) -> Result<Args, AckError> {
        match outcome {
            AckOutcome::Answered(args) => {
                let weight = weight(&args);
                let taken = self.left.fetch_update(Relaxed, Relaxed, |left| left.checked_sub(weight)).is_ok();
                if taken {
                    return Ok(args);
                }
                if let Some(counters) = &self.counters {
                    count(&counters.broadcast_answers);
                }
                Err(AckError::TooManyAnswers)
            }
            AckOutcome::Timeout => Err(AckError::Timeout),
            _ => Err(AckError::Disconnected),
        }
    }
}

impl<R: DeserializeOwned> Answers<R> {
    /// The next answer; `None` after the last one.
    pub async fn next(&mut self) -> Option<Answer<R>> {
        poll_fn(|context| self.poll(context)).await
    }

    fn poll(&mut self, context: &mut Context<'_>) -> Poll<Option<Answer<R>>> {
        let here = Pin::new(&mut self.here).poll_next(context);
        if let Poll::Ready(Some((id, came))) = here {
            let result = came.and_then(|args| {
                if !self.are_kept {
                    self.budget.left.fetch_add(weight(&args), Relaxed);
                }
                args.decode().map_err(AckError::from)
            });
            return Poll::Ready(Some(Answer { id: Some(id), result }));
        }
        #[cfg(feature = "cluster")]
        if let Poll::Ready(Some(answer)) = self.poll_elsewhere(context) {
            return Poll::Ready(Some(answer));
        }
        #[cfg(feature = "cluster")]
        if self.elsewhere.is_some() {
            return Poll::Pending;
        }
        if here.is_ready() { Poll::Ready(None) } else { Poll::Pending }
    }

    /// The next answer of another node. Ready with `None` once there are no more of them.
    #[cfg(feature = "cluster")]
    fn poll_elsewhere(&mut self, context: &mut Context<'_>) -> Poll<Option<Answer<R>>> {
        if let Some(elsewhere) = &mut self.elsewhere {
            let Poll::Ready((answers, missing)) = elsewhere.as_mut().poll(context) else {
                return Poll::Pending;
            };
            self.elsewhere = None;
            self.came = (answers.into_iter(), missing);
        }
        let (answers, missing) = &mut self.came;
        let result = match answers.next() {
            Some(args) => args.decode().map_err(AckError::from),
            None if *missing > 0 => {
                *missing -= 1;
                Err(AckError::Timeout)
            }
            None => return Poll::Ready(None),
        };
        Poll::Ready(Some(Answer { id: None, result }))
    }
}

impl<R: DeserializeOwned> Stream for Answers<R> {
    type Item = Answer<R>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Answer<R>>> {
        self.poll(context)
    }
}

impl<R> fmt::Debug for Answers<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Answers(..)")
    }
}

impl Broadcast {
    /// Emits an event to each socket and awaits an answer of each, for up to 60 seconds or the time of
    /// [`timeout`](Self::timeout): its first argument, or a tuple of several. Every socket that was asked has its place in
    /// the result, in the order in which they answered or failed to. The event is sent by the call, not by the first poll.
    ///
    /// ```
    /// # use sansocket_runtime::{EmitError, Server};
    /// # use std::time::Duration;
    /// async fn vote(io: &Server) -> Result<(), EmitError> {
    ///     let voters = io.to("voters").timeout(Duration::from_secs(10));
    ///     for answer in voters.call::<_, bool>("agreed?", &()).await? {
    ///         match answer.result {
    ///             Ok(agreed) => println!("{:?}: {agreed}", answer.id),
    ///             Err(error) => println!("{:?} did not vote: {error}", answer.id),
    ///         }
    ///     }
    ///     Ok(())
    /// }
    /// ```
    ///
    /// Answers beyond the builder's `max_broadcast_answers` bytes are [`AckError::TooManyAnswers`].
    ///
    /// # Errors
    /// [`EmitError::Encode`]: nobody was asked.
    pub fn call<T: ToArgs + ?Sized, R: DeserializeOwned + Send + 'static>(
        &self,
        event: &str,
        args: &T,
    ) -> impl Future<Output = Result<Vec<Answer<R>>, EmitError>> + Send + 'static + use<T, R> {
        let answers = self.call_stream(event, args);
        async move {
            let mut answers = answers?;
            answers.are_kept = true;
            let mut all = Vec::new();
            while let Some(answer) = answers.next().await {
                all.push(answer);
            }
            Ok(all)
        }
    }

    /// As [`call`](Self::call), with the answers one by one as they come: a [`Stream`], with a method `next` of its own.
    ///
    /// ```
    /// # use sansocket_runtime::{EmitError, Server};
    /// async fn first(io: &Server) -> Result<Option<String>, EmitError> {
    ///     let mut answers = io.to("helpers").call_stream::<_, String>("who is free?", &())?;
    ///     while let Some(answer) = answers.next().await {
    ///         if let Ok(name) = answer.result {
    ///             return Ok(Some(name));
    ///         }
    ///     }
    ///     Ok(None)
    /// }
    /// ```
    ///
    /// The builder's `max_broadcast_answers` bounds the answers that wait to be taken.
    ///
    /// # Errors
    /// As [`call`](Self::call).
    pub fn call_stream<T: ToArgs + ?Sized, R: DeserializeOwned>(
        &self,
        event: &str,
        args: &T,
    ) -> Result<Answers<R>, EmitError> {
        let timeout = self.call_timeout();
        let id = self.namespace.next_broadcast_ack();
        let frame = self.encode(event, Some(id), args)?;
        let budget = Budget::of(self);
        // One message for each socket at most, and the budget bounds their bytes.
        let (sender, here) = mpsc::unbounded();
        let recipients = self.recipients().into_iter().filter(Socket::is_connected);
        let watched = self.namespace.handlers.outgoing.watch(self.namespace.encoder.parser(), &frame);
        for socket in recipients {
            let (sink, id_of, of_all) = (sender.clone(), socket.id_shared(), budget.clone());
            // Nobody listens if the answers were dropped.
            let told = move |outcome| drop(sink.unbounded_send((id_of, of_all.judge(outcome))));
            if let Err(error) = socket.send_with_ack(&frame, id, timeout, told) {
                let error = AckError::Emit(error.into());
                let _ = sender.unbounded_send((socket.id_shared(), Err(error)));
            } else if let Some(watched) = &watched {
                socket.show(watched);
            }
        }
        #[cfg(feature = "cluster")]
        let elsewhere =
            self.ask_event(Some(&frame), event, args, timeout).map(|asked| -> Elsewhere { Box::pin(asked) });
        Ok(Answers {
            here,
            budget,
            are_kept: false,
            #[cfg(feature = "cluster")]
            elsewhere,
            #[cfg(feature = "cluster")]
            came: (Vec::new().into_iter(), 0),
            value: PhantomData,
        })
    }
}
