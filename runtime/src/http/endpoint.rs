//! The HTTP side of a server, which adapters mount, and the HTTP of a connection.

#[cfg(feature = "http2")]
use crate::base::runtime;
use crate::base::runtime::{BoxFuture, Runtime, Stream};
use crate::base::trace::debug;
use crate::http::connections::{Connections, Place};
use crate::http::convert::{ResponseBody, target};
use crate::http::gate::Gate;
use crate::http::handed::OfConnection;
use crate::http::handshake::ConnInfo;
use crate::http::head_deadline::{HeadTimer, Heads};
#[cfg(feature = "http2")]
use crate::http::http2;
use crate::http::write_deadline::WriteDeadline;
use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use std::any::Any;
use std::convert::Infallible;
use std::fmt;
use std::future::{poll_fn, ready};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

/// The HTTP side of a server, which an adapter listens for, or mounts into a host.
///
/// It keeps its server alive: an application that has mounted one may let go of its own.
#[derive(Clone)]
pub struct Endpoint {
    gate: Arc<Gate>,
    /// The server that the gate knows only weakly, kept alive and never looked at.
    _server: Option<Arc<dyn Any + Send + Sync>>,
}

impl Endpoint {
    pub(crate) fn new(gate: Arc<Gate>, server: Option<Arc<dyn Any + Send + Sync>>) -> Self {
        Self { gate, _server: server }
    }

    /// Returns whether a request of that target (path and query) is for this server.
    pub fn matches(&self, target: &str) -> bool {
        self.gate.config.matches(target)
    }

    /// Answers a request, whatever its path. The connection must be served with upgrades, or no WebSocket
    /// comes to be.
    pub async fn respond<B>(&self, request: Request<B>, peer: ConnInfo) -> Response<ResponseBody>
    where
        B: http_body::Body + Send + 'static,
        B::Data: Send,
        B::Error: Send,
    {
        match self.gate.clone().respond(request, peer).await {
            Ok(response) => response,
            Err(never) => match never {},
        }
    }

    /// The same, in memory of its own for as long as it takes: a connection that waits for its next request holds none of
    /// it, and the future, which is large, is not moved from hand to hand.
    pub(crate) fn answer<B>(&self, request: Request<B>, peer: ConnInfo) -> Answering
    where
        B: http_body::Body + Send + 'static,
        B::Data: Send,
        B::Error: Send,
    {
        Box::pin(self.gate.clone().respond(request, peer))
    }

    /// Ready once the server is shutting down: a connection ends with the answer to its next request then.
    pub async fn closing(&self) {
        self.gate.shutdown.begun().await;
    }

    /// Ready once the server has shut down: a listener stops accepting then, and not before, because clients that poll
    /// fetch what is left for them by new connections.
    pub async fn closed(&self) {
        self.gate.shutdown.done().await;
    }

    /// The runtime of its server.
    pub fn runtime(&self) -> &Arc<dyn Runtime> {
        self.gate.runtime()
    }

    /// The connections of a listener whose first server is this one.
    pub(crate) fn connections(&self) -> &Arc<Connections> {
        &self.gate.connections
    }

    /// The time that a TLS handshake may take.
    pub fn tls_deadline(&self) -> Duration {
        self.gate.deadlines.tls
    }
}

impl fmt::Debug for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Endpoint").field(&self.gate.config.path).finish()
    }
}

/// The future of an answer.
pub(crate) type Answering = BoxFuture<Result<Response<ResponseBody>, Infallible>>;

/// A function that answers the requests that are for none of a listener's servers.
pub type Fallback = Arc<dyn Fn(Request<Incoming>) -> BoxFuture<Response<ResponseBody>> + Send + Sync>;

/// Serves the HTTP of one connection to some servers, until it ends, is upgraded, or they shut down.
///
/// For [`Runtime::stream`](crate::adapter::Runtime::stream) to have the stream itself again, it asks
/// [`raw_stream`](crate::adapter::raw_stream).
pub async fn serve_connection<IO>(
    io: IO,
    endpoints: Arc<[Endpoint]>,
    fallback: Option<Fallback>,
    peer: ConnInfo,
) where
    IO: Stream + 'static,
{
    serve_admitted(io, endpoints, fallback, peer, None).await;
}

/// As [`serve_connection`], for a connection that has a place among those of its listener. A request for a WebSocket
/// carries it along: the connection goes on to be one until a session uses it.
pub(crate) async fn serve_admitted<IO>(
    io: IO,
    endpoints: Arc<[Endpoint]>,
    fallback: Option<Fallback>,
    peer: ConnInfo,
    place: Option<Arc<Place>>,
) where
    IO: Stream + 'static,
{
    let Some(first) = endpoints.first().cloned() else { return };
    let deadlines = &first.gate.deadlines;
    let heads = Arc::new(Heads::new(first.runtime().clone(), deadlines.clone()));
    #[cfg_attr(not(feature = "http2"), expect(unused_mut))]
    let mut first_head = deadlines.first_head;
    #[cfg_attr(not(feature = "http2"), expect(unused_mut))]
    let mut io = WriteDeadline::new(io, heads.clone());
    #[cfg(feature = "http2")]
    {
        let begun = first.runtime().now();
        let tell = http2::is_spoken(&mut io);
        let Some(Ok(is_http2)) = runtime::timeout(first.runtime(), first_head, tell).await else {
            return;
        };
        if is_http2 {
            let answer =
                move |request: Request<Incoming>| answer(request, &endpoints, fallback.as_ref(), peer);
            let max_head = first.gate.max_head;
            http2::serve(io, first.runtime(), deadlines, max_head, first.gate.shutdown.closing(), answer)
                .await;
            drop(place);
            return;
        }
        // The first head is not allowed more time for it.
        let spent = first.runtime().now().saturating_duration_since(begun);
        first_head = first_head.saturating_sub(spent);
    }
    let heads_of_service = heads.clone();
    let service = service_fn(move |mut request: Request<Incoming>| {
        heads_of_service.note_head();
        if request.extensions().get::<hyper::upgrade::OnUpgrade>().is_some() {
            let connection = OfConnection { heads: heads_of_service.clone(), place: place.clone() };
            request.extensions_mut().insert(connection);
        }
        answer(request, &endpoints, fallback.as_ref(), peer)
    });
    let timer = HeadTimer::new(heads.clone(), first_head);
    let connection = http1::Builder::new()
        .timer(timer)
        .header_read_timeout(deadlines.head)
        .max_buf_size(first.gate.max_head)
        .serve_connection(io, service)
        .with_upgrades();
    let mut connection = pin!(connection);
    let mut closing = first.gate.shutdown.closing();
    let mut draining = false;
    let result = poll_fn(|context| {
        loop {
            if let Poll::Ready(result) = connection.as_mut().poll(context) {
                return Poll::Ready(result);
            }
            // During a shutdown clients that poll come by new connections: hyper would close one without a request.
            if draining || !heads.is_seen() {
                return Poll::Pending;
            }
            std::task::ready!(Pin::new(&mut closing).poll(context));
            draining = true;
            connection.as_mut().graceful_shutdown();
        }
    })
    .await;
    if let Err(error) = result {
        debug!(%error, "a connection failed");
    }
}

/// Answers a request by the server that it is for, or by the fallback.
fn answer(
    request: Request<Incoming>,
    endpoints: &[Endpoint],
    fallback: Option<&Fallback>,
    peer: ConnInfo,
) -> Answering {
    let endpoint = endpoints.iter().find(|endpoint| endpoint.matches(target(&request)));
    match (endpoint, fallback) {
        (Some(endpoint), _) => endpoint.answer(request, peer),
        (None, Some(fallback)) => {
            let answering = fallback(request);
            Box::pin(async { Ok(answering.await) })
        }
        (None, None) => {
            let mut response = Response::new(Full::new(Bytes::from_static(b"not found")));
            *response.status_mut() = StatusCode::NOT_FOUND;
            Box::pin(ready(Ok(response)))
        }
    }
}
