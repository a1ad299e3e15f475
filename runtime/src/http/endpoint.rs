//! The HTTP side of a server, which adapters mount, and the HTTP of a connection.

#[cfg(feature = "http2")]
use crate::base::runtime;
use crate::base::runtime::{BoxFuture, Runtime, Stream};
use crate::base::trace::debug;
use crate::http::connections::{Connections, Place};
use crate::http::convert::{ResponseBody, target};
use crate::http::gate::Gate;
use crate::http::handshake::ConnInfo;
use crate::http::head_deadline::HeadTimer;
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
use std::future::poll_fn;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
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
        self.gate.clone().respond(request, peer).await
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
    let read = Arc::new(AtomicBool::new(false));
    #[cfg_attr(not(feature = "http2"), expect(unused_mut))]
    let mut deadlines = first.gate.deadlines.clone();
    #[cfg_attr(not(feature = "http2"), expect(unused_mut))]
    let mut io = WriteDeadline::new(io, deadlines.write, first.runtime().clone(), read.clone());
    #[cfg(feature = "http2")]
    {
        let begun = first.runtime().now();
        let tell = http2::is_spoken(&mut io);
        let Some(Ok(is_http2)) = runtime::timeout(first.runtime(), deadlines.first_head, tell).await else {
            return;
        };
        if is_http2 {
            let answer = move |request: Request<Incoming>| {
                let endpoint = endpoints.iter().find(|endpoint| endpoint.matches(target(&request))).cloned();
                answer(request, endpoint, fallback.clone(), peer)
            };
            let max_head = first.gate.max_head;
            http2::serve(io, first.runtime(), &deadlines, max_head, first.closing(), answer).await;
            drop(place);
            return;
        }
        // The first head is not allowed more time for it.
        let mut left = *deadlines;
        left.first_head =
            left.first_head.saturating_sub(first.runtime().now().saturating_duration_since(begun));
        deadlines = Arc::new(left);
    }
    let head_seen = Arc::new(AtomicBool::new(false));
    let seen = head_seen.clone();
    let service = service_fn(move |mut request: Request<Incoming>| {
        seen.store(true, Ordering::Relaxed);
        if let (Some(place), Some(_)) = (&place, request.extensions().get::<hyper::upgrade::OnUpgrade>()) {
            let place = place.clone();
            request.extensions_mut().insert(place);
        }
        let endpoint = endpoints.iter().find(|endpoint| endpoint.matches(target(&request))).cloned();
        answer(request, endpoint, fallback.clone(), peer)
    });
    let timer = HeadTimer::new(first.runtime().clone(), deadlines.clone(), read);
    let connection = http1::Builder::new()
        .timer(timer)
        .header_read_timeout(deadlines.head)
        .max_buf_size(first.gate.max_head)
        .serve_connection(io, service)
        .with_upgrades();
    let mut connection = pin!(connection);
    let mut closing = pin!(first.closing());
    let mut draining = false;
    let result = poll_fn(|context| {
        loop {
            if let Poll::Ready(result) = connection.as_mut().poll(context) {
                return Poll::Ready(result);
            }
            // During a shutdown clients that poll come by new connections: hyper would close one without a request.
            let may_drain = !draining && head_seen.load(Ordering::Relaxed);
            if !may_drain || closing.as_mut().poll(context).is_pending() {
                return Poll::Pending;
            }
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
async fn answer(
    request: Request<Incoming>,
    endpoint: Option<Endpoint>,
    fallback: Option<Fallback>,
    peer: ConnInfo,
) -> Result<Response<ResponseBody>, Infallible> {
    Ok(match (endpoint, fallback) {
        (Some(endpoint), _) => endpoint.respond(request, peer).await,
        (None, Some(fallback)) => fallback(request).await,
        (None, None) => {
            let mut response = Response::new(Full::new(Bytes::from_static(b"not found")));
            *response.status_mut() = StatusCode::NOT_FOUND;
            response
        }
    })
}
