//! The HTTP of a client: requests over connections that are kept, and WebSocket handshakes.
//!
//! All of it is polled inside the client's own task: the future of a request owns its connection, and gives it back.

use crate::base::runtime::Stream;
use crate::client::net::dial::{Dial, Proxy, Target, connect};
use crate::websocket::deflate::connection::Deflate;
use crate::websocket::deflate::offer::judge_answer;
use crate::websocket::deflate::shared::SharedDeflate;
use crate::websocket::{Role, accept_key, offered_subprotocols};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::{Bytes, BytesMut};
use http::header::{
    ACCEPT, CONNECTION, CONTENT_TYPE, HOST, PROXY_AUTHORIZATION, SEC_WEBSOCKET_ACCEPT,
    SEC_WEBSOCKET_EXTENSIONS, SEC_WEBSOCKET_KEY, SEC_WEBSOCKET_PROTOCOL, SEC_WEBSOCKET_VERSION, UPGRADE,
    USER_AGENT,
};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, StatusCode};
use http_body::Body as _;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::client::conn::http1;
use sansocket_protocol::engine::EngineError;
use std::future::{Future, poll_fn};
use std::io;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::Context;

/// The most of a refusal's body that is read.
const MAX_REFUSAL: usize = 16 << 10;
/// The largest head of a response.
const MAX_HEAD: usize = 64 << 10;

/// The parts that all requests of a try have in common.
#[derive(Clone)]
pub(crate) struct Route {
    pub(crate) dial: Arc<dyn Dial>,
    pub(crate) target: Target,
    pub(crate) proxy: Option<Proxy>,
    /// The host, and the port if it is not the scheme's own.
    pub(crate) authority: String,
    /// The subprotocols that WebSockets offer, as a header.
    pub(crate) subprotocols: Option<HeaderValue>,
    /// The compression that WebSockets offer.
    pub(crate) deflate: Option<Arc<SharedDeflate>>,
    /// The application's own headers.
    pub(crate) headers: HeaderMap,
}

type Connection = http1::Connection<Box<dyn Stream>, Full<Bytes>>;

/// A connection that may carry the next request.
pub(crate) struct Kept {
    sender: http1::SendRequest<Full<Bytes>>,
    connection: Pin<Box<Connection>>,
}

impl Kept {
    /// Returns whether the server has ended it meanwhile. If not, the task is woken when that happens.
    pub(crate) fn poll_ended(&mut self, context: &mut Context<'_>) -> bool {
        self.connection.as_mut().poll(context).is_ready() || self.sender.is_closed()
    }
}

/// The reason why a request failed: for the machine, and for people.
pub(crate) struct Failure {
    pub(crate) peer: EngineError,
    pub(crate) error: io::Error,
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        Self { peer: EngineError::RequestFailed, error }
    }
}

fn broken(error: hyper::Error) -> Failure {
    // hyper hides the socket's error behind its own.
    let mut source: Option<&(dyn std::error::Error + 'static)> = Some(&error);
    while let Some(inner) = source {
        if let Some(io) = inner.downcast_ref::<io::Error>() {
            let error = io::Error::new(io.kind(), io.to_string());
            return Failure { peer: EngineError::RequestFailed, error };
        }
        source = inner.source();
    }
    Failure { peer: EngineError::RequestFailed, error: io::Error::other(error) }
}

/// An answered request.
pub(crate) struct Answered {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
    pub(crate) kept: Option<Kept>,
}

/// Makes a request, over a kept connection if there is one that still works.
pub(crate) async fn request(
    route: Route,
    kept: Option<Kept>,
    method: Method,
    target: String,
    body: Bytes,
    limit: usize,
) -> Result<Answered, Failure> {
    // Many proxies tunnel to ports of TLS only.
    let asked = route.proxy.clone().filter(|proxy| !route.target.secure && proxy.is_http());
    let is_proxied = asked.is_some();
    let uri = if is_proxied { format!("http://{}{target}", route.authority) } else { target };
    let mut request = Request::builder().method(method.clone()).uri(uri);
    if let Some(headers) = request.headers_mut() {
        standard(headers, &route)?;
        if let Some(authorization) = asked.as_ref().and_then(|proxy| proxy.authorization().cloned()) {
            headers.insert(PROXY_AUTHORIZATION, authorization);
        }
        headers.insert(ACCEPT, HeaderValue::from_static("*/*"));
        if method == Method::POST {
            headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/plain;charset=UTF-8"));
        }
    }
    let mut request = request.body(Full::new(body)).map_err(io::Error::other)?;
    if let Some(kept) = kept {
        match send(kept, request, limit).await {
            Ok(answered) => return Ok(answered),
            // The server had ended the connection before it saw anything of the request.
            Err((_, Some(unsent))) => request = unsent,
            Err((failure, None)) => return Err(failure),
        }
    }
    let stream = match asked {
        Some(proxy) => proxy.dial(&*route.dial).await?,
        None => connect(route.dial, route.target, route.proxy).await?,
    };
    let (sender, connection) =
        http1::Builder::new().max_buf_size(MAX_HEAD).handshake(stream).await.map_err(broken)?;
    let kept = Kept { sender, connection: Box::pin(connection) };
    let answered = send(kept, request, limit).await.map_err(|(failure, _)| failure)?;
    if is_proxied && answered.status == StatusCode::PROXY_AUTHENTICATION_REQUIRED.as_u16() {
        // It is not the server's answer.
        let status = StatusCode::PROXY_AUTHENTICATION_REQUIRED;
        return Err(io::Error::other(format!("the proxy answered with status {status}")).into());
    }
    Ok(answered)
}

/// Awaits an exchange over a connection. The connection is polled along with it, because it does the reading and
/// writing. One that has ended is dropped: only then does the exchange learn that it is gone.
pub(crate) async fn over<C: Future, T>(
    connection: &mut Option<Pin<Box<C>>>,
    exchange: impl Future<Output = T>,
) -> T {
    let mut exchange = pin!(exchange);
    poll_fn(|context| {
        if let Some(running) = connection {
            if running.as_mut().poll(context).is_ready() {
                *connection = None;
            }
        }
        exchange.as_mut().poll(context)
    })
    .await
}

type Unsent = Option<Request<Full<Bytes>>>;

async fn send(
    kept: Kept,
    request: Request<Full<Bytes>>,
    limit: usize,
) -> Result<Answered, (Failure, Unsent)> {
    let Kept { mut sender, connection } = kept;
    let mut connection = Some(connection);
    let exchange = async {
        if let Err(error) = sender.ready().await {
            return Err((broken(error), Some(request)));
        }
        let response = sender.try_send_request(request).await.map_err(|mut error| {
            let unsent = error.take_message();
            (broken(error.into_error()), unsent)
        })?;
        let (parts, body) = response.into_parts();
        match collect(body, limit).await {
            Ok(body) => Ok((parts.status.as_u16(), parts.headers, body)),
            Err(failure) => Err((failure, None)),
        }
    };
    let (status, headers, body) = over(&mut connection, exchange).await?;
    let kept = connection.filter(|_| !sender.is_closed()).map(|connection| Kept { sender, connection });
    Ok(Answered { status, headers, body, kept })
}

async fn collect(body: Incoming, limit: usize) -> Result<Bytes, Failure> {
    let too_large = || Failure {
        peer: EngineError::TooLarge { limit },
        error: io::Error::new(io::ErrorKind::InvalidData, "the response's body is too large"),
    };
    if body.size_hint().lower() > limit as u64 {
        return Err(too_large());
    }
    let mut body = pin!(body);
    let mut collected = BytesMut::new();
    let mut first: Option<Bytes> = None;
    while let Some(frame) = poll_fn(|context| body.as_mut().poll_frame(context)).await {
        let Ok(data) = frame.map_err(broken)?.into_data() else { continue };
        let so_far = collected.len() + first.as_ref().map_or(0, Bytes::len);
        if so_far + data.len() > limit {
            return Err(too_large());
        }
        match first.take() {
            None if collected.is_empty() => first = Some(data),
            before => {
                collected.extend_from_slice(&before.unwrap_or_default());
                collected.extend_from_slice(&data);
            }
        }
    }
    // A single chunk is a slice of the connection's buffer, which is much larger: a copy is kept instead.
    Ok(match first {
        Some(data) => Bytes::copy_from_slice(&data),
        None => collected.freeze(),
    })
}

/// A WebSocket handshake that was answered.
pub(crate) enum Handshake {
    Opened { stream: Box<dyn Stream>, ahead: Bytes, headers: HeaderMap, deflate: Option<Box<Deflate>> },
    Refused { status: u16, body: Bytes, headers: HeaderMap },
}

/// Opens a WebSocket (RFC 6455, section 4.1). `nonce` is 16 random bytes.
pub(crate) async fn websocket(route: Route, target: String, nonce: [u8; 16]) -> Result<Handshake, Failure> {
    let key = STANDARD.encode(nonce);
    let mut request = Request::builder().method(Method::GET).uri(target);
    if let Some(headers) = request.headers_mut() {
        standard(headers, &route)?;
        headers.insert(CONNECTION, HeaderValue::from_static("Upgrade"));
        headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
        headers.insert(SEC_WEBSOCKET_VERSION, HeaderValue::from_static("13"));
        if let Some(subprotocols) = route.subprotocols.clone() {
            headers.insert(SEC_WEBSOCKET_PROTOCOL, subprotocols);
        }
        if let Some(deflate) = &route.deflate {
            let offer = HeaderValue::try_from(deflate.settings().offer()).map_err(io::Error::other)?;
            headers.insert(SEC_WEBSOCKET_EXTENSIONS, offer);
        }
        headers.insert(SEC_WEBSOCKET_KEY, HeaderValue::from_str(&key).map_err(io::Error::other)?);
    }
    let request = request.body(Full::new(Bytes::new())).map_err(io::Error::other)?;
    let offer: HeaderMap = request
        .headers()
        .get_all(SEC_WEBSOCKET_PROTOCOL)
        .iter()
        .map(|value| (SEC_WEBSOCKET_PROTOCOL, value.clone()))
        .collect();
    let compression = route.deflate;
    let stream = connect(route.dial, route.target, route.proxy).await?;
    let (mut sender, connection) =
        http1::Builder::new().max_buf_size(MAX_HEAD).handshake(stream).await.map_err(broken)?;
    let mut connection = Some(Box::pin(connection.with_upgrades()));
    let exchange = async move {
        let response = sender.send_request(request).await.map_err(broken)?;
        let status = response.status();
        let headers = response.headers().clone();
        if status != StatusCode::SWITCHING_PROTOCOLS {
            // Only a short body can be an Engine.IO refusal.
            let body = collect(response.into_body(), MAX_REFUSAL).await.unwrap_or_default();
            return Ok(Handshake::Refused { status: status.as_u16(), body, headers });
        }
        let accept = headers.get(SEC_WEBSOCKET_ACCEPT).and_then(|accept| accept.to_str().ok());
        if accept.map(str::trim) != Some(&*accept_key(&key)) {
            let error =
                io::Error::new(io::ErrorKind::InvalidData, "the server's Sec-WebSocket-Accept is wrong");
            return Err(Failure { peer: EngineError::NotEngineIo, error });
        }
        // A server that knows nothing of subprotocols names none, and is talked to all the same.
        let chosen: Vec<_> = headers.get_all(SEC_WEBSOCKET_PROTOCOL).iter().collect();
        let offered = offered_subprotocols(&offer);
        if !chosen.iter().all(|chosen| offered.iter().any(|offered| chosen == offered)) || chosen.len() > 1 {
            let error = io::Error::new(
                io::ErrorKind::InvalidData,
                "the server chose a WebSocket subprotocol that this client has not offered",
            );
            return Err(Failure { peer: EngineError::NotEngineIo, error });
        }
        let agreed = judge_answer(compression.as_ref().map(|shared| shared.settings()), &headers);
        let agreed = agreed.map_err(|error| Failure {
            peer: EngineError::NotEngineIo,
            error: io::Error::new(io::ErrorKind::InvalidData, error),
        })?;
        let deflate =
            compression.zip(agreed).map(|(shared, agreed)| Deflate::new(Role::Client, shared, agreed));
        let upgraded = hyper::upgrade::on(response).await.map_err(broken)?;
        match upgraded.downcast::<Box<dyn Stream>>() {
            // An empty slice would keep the buffer that it is a slice of.
            Ok(parts) => {
                let ahead = if parts.read_buf.is_empty() { Bytes::new() } else { parts.read_buf };
                Ok(Handshake::Opened { stream: parts.io, ahead, headers, deflate })
            }
            Err(_) => Err(io::Error::other("the connection was lost").into()),
        }
    };
    over(&mut connection, exchange).await
}

/// The headers that all requests have. The application's own win, but for the host.
fn standard(headers: &mut HeaderMap, route: &Route) -> Result<(), Failure> {
    const AGENT: &str = concat!("sansocket/", env!("CARGO_PKG_VERSION"));
    headers.insert(USER_AGENT, HeaderValue::from_static(AGENT));
    let mut last: Option<HeaderName> = None;
    for (name, value) in route.headers.clone() {
        match (name, &last) {
            (Some(name), _) => {
                headers.insert(name.clone(), value);
                last = Some(name);
            }
            (None, Some(name)) => {
                headers.append(name.clone(), value);
            }
            (None, None) => {}
        }
    }
    if !route.headers.contains_key(HOST) {
        headers.insert(HOST, HeaderValue::from_str(&route.authority).map_err(io::Error::other)?);
    }
    Ok(())
}

/// A header that only the client itself can set, because it says how the request is sent.
pub(crate) fn own_header(headers: &HeaderMap) -> Option<&HeaderName> {
    use http::header::{
        CONNECTION, CONTENT_LENGTH, SEC_WEBSOCKET_EXTENSIONS, SEC_WEBSOCKET_KEY, SEC_WEBSOCKET_VERSION, TE,
        TRAILER, TRANSFER_ENCODING, UPGRADE,
    };
    headers.keys().find(|name| {
        matches!(
            **name,
            CONNECTION
                | CONTENT_LENGTH
                | SEC_WEBSOCKET_EXTENSIONS
                | SEC_WEBSOCKET_KEY
                | SEC_WEBSOCKET_VERSION
                | TE
                | TRAILER
                | TRANSFER_ENCODING
                | UPGRADE
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use hyper_util::rt::TokioIo;
    use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};

    async fn connected() -> (Kept, DuplexStream) {
        let (near, far) = tokio::io::duplex(1000);
        let stream: Box<dyn Stream> = Box::new(TokioIo::new(near));
        let (sender, connection) = http1::Builder::new().handshake(stream).await.expect("a connection");
        (Kept { sender, connection: Box::pin(connection) }, far)
    }

    fn question() -> Request<Full<Bytes>> {
        Request::post("/").body(Full::new(Bytes::from_static(b"question"))).expect("a request")
    }

    async fn answer(far: &mut DuplexStream) {
        let mut request = [0; 1000];
        let bytes = far.read(&mut request).await.expect("a request");
        assert!(request[..bytes].ends_with(b"question"));
        far.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok").await.expect("it is read");
    }

    #[tokio::test]
    async fn a_connection_that_ended_unseen_gives_the_request_back() {
        // Never used, and used before.
        for used in [false, true] {
            let (mut kept, mut far) = connected().await;
            if used {
                let (answered, ()) = tokio::join!(send(kept, question(), 100), answer(&mut far));
                let answered = answered.unwrap_or_else(|(failure, _)| panic!("{}", failure.error));
                assert_eq!((answered.status, &*answered.body), (200, &b"ok"[..]));
                kept = answered.kept.expect("a connection that goes on");
            }
            // The client looks after its connections only when something wakes it: this end it has not seen.
            drop(far);
            let Err((_, Some(unsent))) = send(kept, question(), 100).await else {
                panic!("nothing of it was sent")
            };
            assert_eq!(unsent.method(), Method::POST);
        }
    }
}
