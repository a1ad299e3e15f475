//! The news of the client about its connection, until the bus has a turn.

use async_nats::Event;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

/// A thing that the client has told.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Told {
    /// The connection is lost, or messages on it are.
    Lost(String),
    /// The server has refused something.
    Refused(String),
}

/// The latest news of each kind.
#[derive(Default)]
pub(crate) struct News(Mutex<State>);

#[derive(Default)]
struct State {
    lost: Option<String>,
    refused: Option<String>,
    waker: Option<Waker>,
}

impl News {
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn tell(&self, event: Event) {
        let mut state = self.state();
        match event {
            Event::Disconnected | Event::Closed | Event::SlowConsumer(_) => {
                state.lost = Some(event.to_string())
            }
            Event::ServerError(error) => state.refused = Some(error.to_string()),
            Event::ClientError(error) => state.refused = Some(error.to_string()),
            _ => return,
        }
        let waker = state.waker.take();
        drop(state);
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    pub(crate) fn poll(&self, context: &Context<'_>) -> Poll<Told> {
        let mut state = self.state();
        if let Some(refused) = state.refused.take() {
            return Poll::Ready(Told::Refused(refused));
        }
        if let Some(lost) = &state.lost {
            return Poll::Ready(Told::Lost(lost.clone()));
        }
        if !state.waker.as_ref().is_some_and(|waker| waker.will_wake(context.waker())) {
            state.waker = Some(context.waker().clone());
        }
        Poll::Pending
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_loss_stays_and_a_refusal_is_told_once() {
        let news = News::default();
        let context = Context::from_waker(Waker::noop());
        news.tell(Event::Connected);
        assert_eq!(news.poll(&context), Poll::Pending);
        news.tell(Event::ClientError(async_nats::ClientError::Other("no".to_owned())));
        news.tell(Event::Disconnected);
        assert!(matches!(news.poll(&context), Poll::Ready(Told::Refused(_))));
        for _ in 0..2 {
            assert!(matches!(news.poll(&context), Poll::Ready(Told::Lost(_))));
        }
    }
}
