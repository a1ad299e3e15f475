//! A server inside a host: as a tower service, and as a tower layer.

use crate::base::runtime::BoxFuture;
use crate::http::convert::ResponseBody;
use crate::http::endpoint::Endpoint;
use crate::http::handshake::ConnInfo;
use bytes::Bytes;
use http::{Request, Response};
use http_body::Body;
use http_body_util::Either;
use std::convert::Infallible;
use std::task::{Context, Poll};
use tower_layer::Layer;
use tower_service::Service;

/// A tower service that answers whatever reaches it, whatever its path: for axum's `nest_service`, hyper, and
/// anything tower.
///
/// The host must serve connections with upgrades (axum does). `axum::serve` has no timeout for slow request
/// heads: put a proxy in front of it, or use an adapter's own `Listener`. A `SocketAddr` among the request's
/// extensions is taken for the peer's address.
#[derive(Clone, Debug)]
pub struct ServerService {
    endpoint: Endpoint,
}

impl ServerService {
    /// Over the HTTP side of a server.
    pub fn new(endpoint: Endpoint) -> Self {
        Self { endpoint }
    }
}

impl<B> Service<Request<B>> for ServerService
where
    B: Body + Send + 'static,
    B::Data: Send,
    B::Error: Send,
{
    type Response = Response<ResponseBody>;
    type Error = Infallible;
    type Future = BoxFuture<Result<Self::Response, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        self.endpoint.answer(request, ConnInfo::default())
    }
}

/// A tower layer that answers requests whose path begins with the server's, and passes the rest on.
///
/// It looks at the URI that reaches it, so it belongs on the outermost router, where that is the original one.
#[derive(Clone, Debug)]
pub struct ServerLayer {
    endpoint: Endpoint,
}

impl ServerLayer {
    /// Over the HTTP side of a server.
    pub fn new(endpoint: Endpoint) -> Self {
        Self { endpoint }
    }
}

impl<S> Layer<S> for ServerLayer {
    type Service = LayeredService<S>;

    fn layer(&self, inner: S) -> LayeredService<S> {
        LayeredService { endpoint: self.endpoint.clone(), inner }
    }
}

/// A service behind a [`ServerLayer`].
#[derive(Clone, Debug)]
pub struct LayeredService<S> {
    endpoint: Endpoint,
    inner: S,
}

impl<S, B, R> Service<Request<B>> for LayeredService<S>
where
    S: Service<Request<B>, Response = Response<R>>,
    S::Future: Send + 'static,
    S::Error: Send + 'static,
    B: Body + Send + 'static,
    B::Data: Send,
    B::Error: Send,
    R: Body<Data = Bytes> + 'static,
{
    type Response = Response<Either<ResponseBody, R>>;
    type Error = S::Error;
    type Future = BoxFuture<Result<Self::Response, S::Error>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let target = request.uri().path_and_query().map_or("/", |target| target.as_str());
        if self.endpoint.matches(target) {
            let endpoint = self.endpoint.clone();
            return Box::pin(async move {
                Ok(endpoint.respond(request, ConnInfo::default()).await.map(Either::Left))
            });
        }
        let response = self.inner.call(request);
        Box::pin(async move { Ok(response.await?.map(Either::Right)) })
    }
}
