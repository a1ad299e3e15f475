//! The messages that Redis pushes, until the node has a turn.

use bytes::Bytes;
use redis::{PushInfo, PushKind, Value};
use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

/// A thing that Redis has pushed.
pub(crate) enum Pushed {
    Message {
        channel: String,
        payload: Bytes,
    },
    /// A subscription to a channel of sharded pub/sub has ended.
    Unsubscribed(String),
    /// The connection is lost.
    Disconnected,
    /// So much waits that the connection has to be given up.
    TooMuch,
}

/// A queue with a bound in bytes.
pub(crate) struct Inbox {
    state: Mutex<State>,
    max_bytes: usize,
}

#[derive(Default)]
struct State {
    /// Without a payload it is the end of a subscription.
    waiting: VecDeque<(String, Option<Bytes>)>,
    bytes: usize,
    is_too_much: bool,
    is_disconnected: bool,
    waker: Option<Waker>,
}

impl State {
    fn add(&mut self, channel: String, payload: Option<Bytes>, max_bytes: usize) {
        self.bytes = self.bytes.saturating_add(weight(&channel, payload.as_ref()));
        if self.bytes > max_bytes {
            self.is_too_much = true;
            self.waiting.clear();
        } else if !self.is_too_much {
            self.waiting.push_back((channel, payload));
        }
    }
}

fn weight(channel: &str, payload: Option<&Bytes>) -> usize {
    channel.len() + payload.map_or(0, Bytes::len)
}

impl Inbox {
    pub(crate) fn new(max_bytes: usize) -> Self {
        Self { state: Mutex::default(), max_bytes }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes what the connection's task has read.
    pub(crate) fn push(&self, info: PushInfo) {
        let mut state = self.state();
        match info.kind {
            PushKind::Disconnection => state.is_disconnected = true,
            PushKind::Message | PushKind::SMessage | PushKind::PMessage => {
                // Before the channel of a `pmessage` stands its pattern.
                let mut parts = info.data.into_iter().skip(usize::from(info.kind == PushKind::PMessage));
                let (Some(channel), Some(payload)) =
                    (parts.next().and_then(text), parts.next().and_then(bytes))
                else {
                    return;
                };
                state.add(channel, Some(payload), self.max_bytes);
            }
            PushKind::SUnsubscribe => {
                let Some(channel) = info.data.into_iter().next().and_then(text) else { return };
                state.add(channel, None, self.max_bytes);
            }
            _ => return,
        }
        let waker = state.waker.take();
        drop(state);
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    pub(crate) fn poll(&self, context: &Context<'_>) -> Poll<Pushed> {
        let mut state = self.state();
        if state.is_too_much {
            return Poll::Ready(Pushed::TooMuch);
        }
        if let Some((channel, payload)) = state.waiting.pop_front() {
            state.bytes = state.bytes.saturating_sub(weight(&channel, payload.as_ref()));
            return Poll::Ready(match payload {
                Some(payload) => Pushed::Message { channel, payload },
                None => Pushed::Unsubscribed(channel),
            });
        }
        if state.is_disconnected {
            return Poll::Ready(Pushed::Disconnected);
        }
        if !state.waker.as_ref().is_some_and(|waker| waker.will_wake(context.waker())) {
            state.waker = Some(context.waker().clone());
        }
        Poll::Pending
    }
}

fn bytes(value: Value) -> Option<Bytes> {
    match value {
        Value::BulkString(bytes) => Some(bytes.into()),
        Value::SimpleString(text) => Some(text.into()),
        _ => None,
    }
}

fn text(value: Value) -> Option<String> {
    match value {
        Value::BulkString(bytes) => String::from_utf8(bytes).ok(),
        Value::SimpleString(text) => Some(text),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(payload: &str) -> PushInfo {
        let data = ["c", payload].map(|text| Value::BulkString(text.into()));
        PushInfo { kind: PushKind::Message, data: data.into() }
    }

    fn poll(inbox: &Inbox) -> Poll<Pushed> {
        inbox.poll(&Context::from_waker(Waker::noop()))
    }

    #[test]
    fn messages_come_out_in_order_and_then_the_end() {
        let inbox = Inbox::new(100);
        inbox.push(message("one"));
        let data = ["p*", "channel", "two"].map(|text| Value::BulkString(text.into()));
        inbox.push(PushInfo { kind: PushKind::PMessage, data: data.into() });
        inbox.push(PushInfo { kind: PushKind::Disconnection, data: Vec::new() });
        for (of, said) in [("c", "one"), ("channel", "two")] {
            let Poll::Ready(Pushed::Message { channel, payload }) = poll(&inbox) else { panic!("{said}") };
            assert_eq!((&*channel, &payload[..]), (of, said.as_bytes()));
        }
        assert!(matches!(poll(&inbox), Poll::Ready(Pushed::Disconnected)));
    }

    #[test]
    fn more_than_the_bound_is_not_kept() {
        let inbox = Inbox::new(100);
        for _ in 0..1000 {
            inbox.push(message("0123456789"));
        }
        assert!(inbox.state().waiting.len() <= 10);
        assert!(matches!(poll(&inbox), Poll::Ready(Pushed::TooMuch)));
    }

    #[test]
    fn the_end_of_a_subscription_is_told_behind_its_messages() {
        let inbox = Inbox::new(100);
        inbox.push(message("one"));
        let data = vec![Value::BulkString("c".into()), Value::Int(0)];
        inbox.push(PushInfo { kind: PushKind::SUnsubscribe, data });
        assert!(matches!(poll(&inbox), Poll::Ready(Pushed::Message { .. })));
        assert!(matches!(poll(&inbox), Poll::Ready(Pushed::Unsubscribed(channel)) if channel == "c"));
        assert!(poll(&inbox).is_pending());
    }

    #[test]
    fn what_is_no_message_is_left_out() {
        let inbox = Inbox::new(100);
        inbox.push(PushInfo { kind: PushKind::Message, data: vec![Value::Nil] });
        inbox.push(PushInfo { kind: PushKind::Subscribe, data: Vec::new() });
        assert!(poll(&inbox).is_pending());
    }
}
