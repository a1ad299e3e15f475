//! Request bodies: read up to a limit, for as long as the session does not answer first, or thrown away.

use crate::base::ahead;
use crate::session::handle::{Answer, SessionHandle};
use crate::session::stats::{Counters, count};
use bytes::{Buf, Bytes};
use futures_channel::oneshot;
use http_body::Body as HttpBody;
use http_body_util::BodyExt;
use sansocket_protocol::engine::{Body, RequestId};
use sansocket_protocol::socket::ReadAhead;
use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::sync::atomic::Ordering;
use std::task::Poll;

/// The part of an unwanted body that is read, in bytes, so that its sender gets to hear the answer.
const THROW_AWAY: usize = 4 << 20;

/// The first to come of a body and an answer.
pub(crate) enum First {
    Body(Result<Body, ()>),
    Answer(Result<Answer, oneshot::Canceled>),
}

/// Reads on until the session answers.
pub(crate) async fn or_answer(
    receiver: &mut oneshot::Receiver<Answer>,
    body: impl Future<Output = Result<Body, ()>>,
) -> First {
    let mut body = pin!(body);
    poll_fn(|context| {
        if let Poll::Ready(body) = body.as_mut().poll(context) {
            return Poll::Ready(First::Body(body));
        }
        Pin::new(&mut *receiver).poll(context).map(First::Answer)
    })
    .await
}

/// Reads a body of at most `limit` bytes, and calls `part` with the bytes before each part of it, and those of the part.
///
/// # Errors
/// If it breaks off, or `part` wants no more of it.
pub(crate) async fn read_body<B: HttpBody>(
    mut body: Pin<&mut B>,
    limit: usize,
    mut part: impl FnMut(usize, usize) -> bool,
) -> Result<Body, ()> {
    let mut first = None;
    let mut whole = Vec::new();
    let upper = body.size_hint().upper().and_then(|upper| usize::try_from(upper).ok());
    let most = upper.map_or(limit, |upper| upper.min(limit));
    while !body.is_end_stream() {
        let Some(frame) = body.frame().await else { break };
        let Ok(mut data) = frame.map_err(drop)?.into_data() else { continue };
        let bytes = data.remaining();
        let before = first.as_ref().map_or(0, Bytes::len) + whole.len();
        if before + bytes > limit {
            return Ok(Body::TooLarge);
        }
        if !part(before, bytes) {
            return Err(());
        }
        let data = data.copy_to_bytes(bytes);
        match first.take() {
            None if whole.is_empty() => first = Some(data),
            None => append(&mut whole, &data, most),
            Some(earlier) => {
                append(&mut whole, &earlier, most);
                append(&mut whole, &data, most);
            }
        }
    }
    Ok(Body::Complete(match first {
        // A slice of the connection's read buffer would keep the whole of that alive.
        Some(only) => Bytes::copy_from_slice(&only),
        None => whole.into(),
    }))
}

/// Appends a part of a body. The memory doubles as it grows, but not beyond what the body may have in the end.
fn append(whole: &mut Vec<u8>, part: &[u8], most: usize) {
    if whole.capacity() - whole.len() < part.len() {
        whole.reserve_exact(part.len().max(whole.len().min(most.saturating_sub(whole.len()))));
    }
    whole.extend_from_slice(part);
}

/// Gives a session the body of a POST. Returns the answer if it is there at once, and who was to send it.
pub(crate) fn hand_body(
    session: &SessionHandle,
    request: RequestId,
    body: Body,
    counters: &Counters,
) -> Option<(oneshot::Sender<Answer>, Answer)> {
    if let Body::Complete(bytes) = &body {
        counters.polling_bytes_in.fetch_add(bytes.len() as u64, Ordering::Relaxed);
    }
    let (now, timing) = (session.now(), &counters.timing);
    let handed = session.with_inner(|inner| {
        let machine = &mut inner.machine;
        if let Some(reader) = machine.ahead_reader_of_body(request) {
            return Err((reader, body));
        }
        let pong = timing.before_input(machine);
        machine.handle_body(now, request, body);
        timing.after_input(&pong, machine, now);
        Ok(inner.take_answer(request))
    });
    let (reader, body) = match handed {
        Ok(answer) => return answer,
        // The application's parser runs without the lock.
        Err(unread) => unread,
    };
    let ahead = match &body {
        Body::Complete(bytes) => reader
            .read_body(bytes, |parser, packet| ahead::decode(parser, packet, || count(&counters.panics))),
        _ => ReadAhead::default(),
    };
    let now = session.now();
    session.with_inner(|inner| {
        let machine = &mut inner.machine;
        let pong = timing.before_input(machine);
        machine.handle_body_ahead(now, request, body, ahead);
        timing.after_input(&pong, machine, now);
        inner.take_answer(request)
    })
}

/// Reads the rest of a body that nobody wants, up to a bound.
pub(crate) async fn throw_away<B: HttpBody>(mut body: Pin<Box<B>>) {
    let mut total = 0;
    while let Some(Ok(frame)) = body.frame().await {
        total += frame.data_ref().map_or(0, Buf::remaining);
        if total > THROW_AWAY {
            return;
        }
    }
}
