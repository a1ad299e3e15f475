//! Connections to servers: over TCP, with TLS, through a proxy, or in a way of the application's own.

use crate::base::runtime::{BoxFuture, Stream};
use crate::client::net::http::over;
use crate::client::net::socks;
use crate::client::net::socks::Credentials;
use bytes::Bytes;
use http::{HeaderValue, Method, Request, Uri};
use http_body_util::Empty;
use hyper::client::conn::http1;
use std::io;
use std::sync::Arc;

/// A way to make connections. An adapter has one for TCP and TLS; an application may bring its own, for Unix sockets, a
/// test network, or another TLS.
pub trait Dial: Send + Sync + 'static {
    /// Connects to a host and a port.
    fn dial(&self, host: String, port: u16) -> BoxFuture<io::Result<Box<dyn Stream>>>;

    /// Makes a connection secure: TLS for `https` and `wss`, with the server's name checked.
    fn secure(&self, host: String, stream: Box<dyn Stream>) -> BoxFuture<io::Result<Box<dyn Stream>>>;

    /// Returns whether [`secure`](Self::secure) can work at all, so that a client for `https` and `wss` is not built
    /// where it cannot. By default it is assumed to.
    ///
    /// # Errors
    /// The missing part.
    fn check_secure(&self) -> io::Result<()> {
        Ok(())
    }
}

/// The server that a connection goes to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Target {
    pub(crate) host: String,
    pub(crate) port: u16,
    pub(crate) secure: bool,
}

/// A forward proxy.
#[derive(Clone, Debug)]
pub(crate) struct Proxy {
    pub(crate) host: String,
    pub(crate) port: u16,
    pub(crate) kind: ProxyKind,
}

/// The protocol of a proxy.
#[derive(Clone, Debug)]
pub(crate) enum ProxyKind {
    /// It tunnels by CONNECT (RFC 9110, section 9.3.6), or is asked in absolute form (RFC 9112, section 3.2.2).
    Http {
        /// Whether it is reached over TLS.
        secure: bool,
        authorization: Option<HeaderValue>,
    },
    /// It tunnels by SOCKS 5.
    Socks(Option<Credentials>),
}

impl Proxy {
    /// Returns whether it may be asked in absolute form.
    pub(crate) fn is_http(&self) -> bool {
        matches!(self.kind, ProxyKind::Http { .. })
    }

    /// Returns whether it is reached over TLS.
    pub(crate) fn is_secure(&self) -> bool {
        matches!(self.kind, ProxyKind::Http { secure: true, .. })
    }

    /// The value of `Proxy-Authorization`.
    pub(crate) fn authorization(&self) -> Option<&HeaderValue> {
        match &self.kind {
            ProxyKind::Http { authorization, .. } => authorization.as_ref(),
            ProxyKind::Socks(_) => None,
        }
    }

    /// Connects to the proxy itself.
    pub(crate) async fn dial(&self, dial: &dyn Dial) -> io::Result<Box<dyn Stream>> {
        let stream = dial.dial(self.host.clone(), self.port).await?;
        if self.is_secure() { secure(dial, self.host.clone(), stream).await } else { Ok(stream) }
    }
}

/// Makes a connection secure, with an error that says what is wrong where rustls names only a code.
async fn secure(dial: &dyn Dial, host: String, stream: Box<dyn Stream>) -> io::Result<Box<dyn Stream>> {
    dial.secure(host, stream).await.map_err(|error| {
        if !format!("{error:?}").contains("UnsupportedCertVersion") {
            return error;
        }
        let words = "the server's certificate is of X.509 version 1, which is not accepted: it has to be issued \
                     again as version 3 (with extensions)";
        io::Error::new(error.kind(), format!("{words}: {error}"))
    })
}

/// Connects, through the proxy if there is one, and with TLS if the target wants it.
pub(crate) async fn connect(
    dial: Arc<dyn Dial>,
    target: Target,
    proxy: Option<Proxy>,
) -> io::Result<Box<dyn Stream>> {
    let stream = match proxy {
        None => dial.dial(target.host.clone(), target.port).await?,
        Some(proxy) => {
            let stream = proxy.dial(&*dial).await?;
            match &proxy.kind {
                ProxyKind::Http { authorization, .. } => {
                    tunnel(stream, &target, authorization.clone()).await?
                }
                ProxyKind::Socks(credentials) => socks::tunnel(stream, &target, credentials.as_ref()).await?,
            }
        }
    };
    if target.secure { secure(&*dial, target.host, stream).await } else { Ok(stream) }
}

async fn tunnel(
    stream: Box<dyn Stream>,
    target: &Target,
    authorization: Option<HeaderValue>,
) -> io::Result<Box<dyn Stream>> {
    let host = if target.host.contains(':') { format!("[{}]", target.host) } else { target.host.clone() };
    let authority = format!("{host}:{}", target.port);
    let uri = Uri::builder().authority(&*authority).build().map_err(io::Error::other)?;
    let mut request =
        Request::builder().method(Method::CONNECT).uri(uri).header(http::header::HOST, &*authority);
    if let Some(authorization) = authorization {
        request = request.header(http::header::PROXY_AUTHORIZATION, authorization);
    }
    let request = request.body(Empty::<Bytes>::new()).map_err(io::Error::other)?;
    let (mut sender, connection) = http1::handshake(stream).await.map_err(io::Error::other)?;
    let mut connection = Some(Box::pin(connection.with_upgrades()));
    let tunnelled = async {
        let response = sender.send_request(request).await.map_err(io::Error::other)?;
        if !response.status().is_success() {
            return Err(io::Error::other(format!("the proxy answered with status {}", response.status())));
        }
        hyper::upgrade::on(response).await.map_err(io::Error::other)
    };
    let upgraded = over(&mut connection, tunnelled).await?;
    // A server sends nothing before its client does, so nothing was read ahead.
    match upgraded.downcast::<Box<dyn Stream>>() {
        Ok(parts) if parts.read_buf.is_empty() => Ok(parts.io),
        Ok(_) => Err(io::Error::other("the proxy sent more than its answer")),
        Err(_) => Err(io::Error::other("the proxy's connection was lost")),
    }
}
