//! HTTP/2 on the connections of a listener. It is told from HTTP/1.1 by its first bytes, so that it works behind TLS and,
//! with prior knowledge, without (RFC 9113, sections 3.3 and 3.4). WebSockets come by HTTP/1.1, as browsers open them.

use crate::base::runtime::{Runtime, Stream, Timer};
use crate::base::trace::debug;
use crate::http::convert::ResponseBody;
use crate::http::options::Deadlines;
use crate::http::write_deadline::WriteDeadline;
use bytes::Bytes;
use http::header::{COOKIE, HOST};
use http::{HeaderValue, Method, Request, Response, StatusCode};
use http_body::{Body, Frame, SizeHint};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::rt::{Executor, Read as _, ReadBuf};
use hyper::server::conn::http2;
use hyper::service::service_fn;
use std::collections::BTreeMap;
use std::convert::Infallible;
use std::future::{Future, poll_fn};
use std::io;
use std::pin::{Pin, pin};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::Instant;

/// The first bytes of a client that speaks HTTP/2.
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/// The requests of one connection at a time. A browser has one connection for all its tabs, and two requests for each.
const MAX_STREAMS: u32 = 100;
/// The bytes of bodies that a client may send ahead, on one stream and on all.
const STREAM_WINDOW: u32 = 64 << 10;
const CONNECTION_WINDOW: u32 = 256 << 10;
/// The bytes of a response that are given to HTTP/2 at a time: a frame.
const PART: usize = 16 << 10;

/// Reads on until it is clear which version the client speaks; what was read is read once more. True for HTTP/2.
pub(crate) async fn is_spoken<IO: Stream>(io: &mut WriteDeadline<IO>) -> io::Result<bool> {
    let mut memory = [0; PREFACE.len()];
    let mut seen = 0;
    let is_http2 = loop {
        let mut buffer = ReadBuf::new(&mut memory[seen..]);
        poll_fn(|context| Pin::new(&mut *io).poll_read(context, buffer.unfilled())).await?;
        let read = buffer.filled().len();
        seen += read;
        if read == 0 || memory[..seen] != PREFACE[..seen] {
            break false;
        }
        if seen == PREFACE.len() {
            break true;
        }
    };
    io.unread(&memory[..seen]);
    Ok(is_http2)
}

/// Serves the requests of one connection, until it ends, is idle for too long, takes nothing of a response for too long, or
/// is asked to go by `closing`.
pub(crate) async fn serve<IO, Answering>(
    io: WriteDeadline<IO>,
    runtime: &Arc<dyn Runtime>,
    deadlines: &Deadlines,
    max_head: usize,
    closing: impl Future<Output = ()>,
    answer: impl Fn(Request<Incoming>) -> Answering + Send + 'static,
) where
    IO: Stream + 'static,
    Answering: Future<Output = Result<Response<ResponseBody>, Infallible>> + Send + 'static,
{
    let exchanges = Arc::new(Exchanges::new(runtime.clone()));
    let of_connection = exchanges.clone();
    let service = service_fn(move |mut request: Request<Incoming>| {
        as_in_http1(&mut request);
        let exchange = Exchange::begin(&of_connection);
        let is_connect = request.method() == Method::CONNECT;
        let answering = answer(request);
        async move {
            // No tunnels.
            let response = if is_connect { method_not_allowed() } else { answering.await? };
            Ok::<_, Infallible>(response.map(|body| Paced::new(body, exchange)))
        }
    });
    let connection = http2::Builder::new(Tasks(runtime.clone()))
        .max_concurrent_streams(MAX_STREAMS)
        .max_header_list_size(u32::try_from(max_head).unwrap_or(u32::MAX))
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .max_send_buf_size(PART)
        .serve_connection(io, service);
    let mut connection = pin!(connection);
    let mut closing = pin!(closing);
    let mut watch = Watch { exchanges, deadlines, timer: None, ends_by: None };
    let result = poll_fn(|context| {
        loop {
            if let Poll::Ready(result) = connection.as_mut().poll(context) {
                return Poll::Ready(result);
            }
            let is_asked = watch.may_drain() && closing.as_mut().poll(context).is_ready();
            let due = if is_asked { Due::Drain } else { std::task::ready!(watch.poll(context)) };
            if let Due::End(why) = due {
                debug!(why, "a connection of HTTP/2 is closed");
                return Poll::Ready(Ok(()));
            }
            watch.drain();
            connection.as_mut().graceful_shutdown();
        }
    })
    .await;
    if let Err(error) = result {
        debug!(%error, "a connection of HTTP/2 failed");
    }
}

/// Gives a request the headers that it would have in HTTP/1.1, which applications know: one `Cookie`, which clients may send in
/// pieces here (RFC 9113, section 8.2.3), and a `Host`, which is `:authority` here.
fn as_in_http1<B>(request: &mut Request<B>) {
    let pieces: Vec<&[u8]> = request.headers().get_all(COOKIE).iter().map(HeaderValue::as_bytes).collect();
    if pieces.len() > 1 {
        if let Ok(mut whole) = HeaderValue::from_bytes(&pieces.join(&b"; "[..])) {
            whole.set_sensitive(true);
            request.headers_mut().insert(COOKIE, whole);
        }
    }
    if !request.headers().contains_key(HOST) {
        let authority = request.uri().authority().map(|authority| HeaderValue::try_from(authority.as_str()));
        if let Some(Ok(host)) = authority {
            request.headers_mut().insert(HOST, host);
        }
    }
}

fn method_not_allowed() -> Response<ResponseBody> {
    let mut response = Response::new(Full::new(Bytes::new()));
    *response.status_mut() = StatusCode::METHOD_NOT_ALLOWED;
    response
}

/// The tasks of streams, on the server's runtime.
#[derive(Clone)]
struct Tasks(Arc<dyn Runtime>);

impl<F: Future<Output = ()> + Send + 'static> Executor<F> for Tasks {
    fn execute(&self, task: F) {
        self.0.spawn(Box::pin(task));
    }
}

/// The next action on a connection.
enum Due {
    /// It takes no more requests, and ends with those that it has.
    Drain,
    End(&'static str),
}

/// The deadlines of a connection, on its one timer.
struct Watch<'a> {
    exchanges: Arc<Exchanges>,
    deadlines: &'a Deadlines,
    timer: Option<(Box<dyn Timer>, Instant)>,
    /// The connection drains: without requests, it ends then, whether the client agrees or not.
    ends_by: Option<Instant>,
}

impl Watch<'_> {
    /// During a shutdown clients that poll come by new connections: one may drain once it has had a request.
    fn may_drain(&self) -> bool {
        self.ends_by.is_none() && self.exchanges.state().begun > 0
    }

    fn drain(&mut self) {
        self.ends_by = Some(self.exchanges.runtime.now() + self.deadlines.write);
    }

    /// Ready once a deadline is over.
    fn poll(&mut self, context: &mut Context<'_>) -> Poll<Due> {
        let Some((deadline, due)) = self.next(context.waker()) else { return Poll::Pending };
        let timer = match &mut self.timer {
            Some((timer, armed)) => {
                if *armed != deadline {
                    timer.reset(deadline);
                    *armed = deadline;
                }
                timer
            }
            none => &mut none.insert((self.exchanges.runtime.timer(deadline), deadline)).0,
        };
        timer.poll_elapsed(context).map(|()| due)
    }

    /// The next deadline. The task is woken when there is an earlier one.
    fn next(&self, waker: &Waker) -> Option<(Instant, Due)> {
        let mut state = self.exchanges.state();
        if !state.waker.as_ref().is_some_and(|kept| kept.will_wake(waker)) {
            state.waker = Some(waker.clone());
        }
        let stalled = state.waiting.values().min().map(|since| *since + self.deadlines.write);
        let quiet = (state.open == 0).then(|| match self.ends_by {
            Some(end) => (end, Due::End("it has not gone by itself")),
            None if state.begun == 0 => {
                (state.quiet_since + self.deadlines.first_head, Due::End("no request came"))
            }
            None => (state.quiet_since + self.deadlines.keep_alive, Due::Drain),
        });
        let stalled =
            stalled.map(|end| (end, Due::End("the client took nothing of a response for too long")));
        stalled.into_iter().chain(quiet).min_by_key(|(deadline, _)| *deadline)
    }
}

/// The requests of one connection, from their heads until their responses are written.
struct Exchanges {
    runtime: Arc<dyn Runtime>,
    state: Mutex<State>,
}

struct State {
    /// The number of requests so far.
    begun: u64,
    open: usize,
    /// When the last one ended, or the connection began.
    quiet_since: Instant,
    /// The responses that are not written, and when something of each was last taken.
    waiting: BTreeMap<u64, Instant>,
    /// The connection's task.
    waker: Option<Waker>,
}

impl Exchanges {
    fn new(runtime: Arc<dyn Runtime>) -> Self {
        let quiet_since = runtime.now();
        let state = State { begun: 0, open: 0, quiet_since, waiting: BTreeMap::new(), waker: None };
        Self { runtime, state: Mutex::new(state) }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Something of a response was taken, or it begins to wait.
    fn moves(&self, id: u64) {
        self.state().waiting.insert(id, self.runtime.now());
    }
}

/// A request, until this is dropped.
struct Exchange {
    of: Arc<Exchanges>,
    id: u64,
}

impl Exchange {
    fn begin(of: &Arc<Exchanges>) -> Self {
        let mut state = of.state();
        state.begun += 1;
        state.open += 1;
        Self { of: of.clone(), id: state.begun }
    }
}

impl Drop for Exchange {
    fn drop(&mut self) {
        let now = self.of.runtime.now();
        let mut state = self.of.state();
        state.waiting.remove(&self.id);
        state.open -= 1;
        if state.open > 0 {
            return;
        }
        state.quiet_since = now;
        let waker = state.waker.take();
        drop(state);
        // The connection is idle now, which its task may not have seen.
        waker.inspect(Waker::wake_by_ref);
    }
}

/// The body of a response, in parts: HTTP/2 takes one when the client has made room for it.
struct Paced {
    rest: Bytes,
    exchanges: Arc<Exchanges>,
    id: u64,
    /// Of a body without bytes. Otherwise the bytes have it, wherever they are.
    _exchange: Option<Exchange>,
}

/// The bytes of a response, with the exchange that lasts until the last of them is written.
struct Held {
    body: Bytes,
    _exchange: Exchange,
}

impl AsRef<[u8]> for Held {
    fn as_ref(&self) -> &[u8] {
        &self.body
    }
}

impl Paced {
    fn new(mut body: ResponseBody, exchange: Exchange) -> Self {
        let context = &mut Context::from_waker(Waker::noop());
        // It is one piece.
        let body = match Pin::new(&mut body).poll_frame(context) {
            Poll::Ready(Some(Ok(frame))) => frame.into_data().unwrap_or_default(),
            _ => Bytes::new(),
        };
        let (exchanges, id) = (exchange.of.clone(), exchange.id);
        if body.is_empty() {
            return Self { rest: body, exchanges, id, _exchange: Some(exchange) };
        }
        exchanges.moves(id);
        let rest = Bytes::from_owner(Held { body, _exchange: exchange });
        Self { rest, exchanges, id, _exchange: None }
    }
}

impl Body for Paced {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        if self.rest.is_empty() {
            return Poll::Ready(None);
        }
        self.exchanges.moves(self.id);
        let part = self.rest.len().min(PART);
        Poll::Ready(Some(Ok(Frame::data(self.rest.split_to(part)))))
    }

    fn is_end_stream(&self) -> bool {
        self.rest.is_empty()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.rest.len() as u64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(request: http::request::Builder) -> Vec<(String, String)> {
        let mut request = request.body(()).unwrap();
        as_in_http1(&mut request);
        let text = |value: &HeaderValue| value.to_str().unwrap().to_owned();
        request.headers().iter().map(|(name, value)| (name.to_string(), text(value))).collect()
    }

    #[test]
    fn cookies_that_come_in_pieces_are_one_and_the_authority_is_the_host() {
        let request = Request::get("https://chat.example:8443/socket.io/").header("cookie", "a=1");
        let request = request.header("accept", "*/*").header("cookie", "b=2").header("cookie", "c=3; d=4");
        let pairs = [("cookie", "a=1; b=2; c=3; d=4"), ("accept", "*/*"), ("host", "chat.example:8443")];
        assert_eq!(headers(request), pairs.map(|(name, value)| (name.to_owned(), value.to_owned())));
        // What a client says itself stays.
        let request = Request::get("/socket.io/").header("host", "own").header("cookie", "a=1");
        assert_eq!(headers(request).len(), 2);
    }
}
