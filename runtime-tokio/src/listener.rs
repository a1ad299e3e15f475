//! Listening without a host: one port, any number of servers on it, TLS if wanted.

use crate::engine::EngineServer;
use crate::server::Server;
use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper_util::rt::{TokioIo, TokioTimer};
use sansocket_runtime::{Connection, Endpoint, Fallback, serve_connection};
use std::fmt;
use std::future::{Future, poll_fn};
use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream, ToSocketAddrs};
use tokio::task::JoinHandle;

/// How long accepting rests when the process has run out of file descriptors.
const ACCEPT_REST: Duration = Duration::from_millis(100);

/// What a listener can serve.
pub trait Mount {
    /// Its HTTP side.
    fn mount_point(&self) -> Endpoint;
}

impl Mount for Server {
    fn mount_point(&self) -> Endpoint {
        self.endpoint()
    }
}

impl Mount for EngineServer {
    fn mount_point(&self) -> Endpoint {
        self.endpoint()
    }
}

/// Listens on one address for one or more servers, each under its own path.
///
/// ```no_run
/// use sansocket_tokio::{EngineServer, Listener, Server};
///
/// # async fn run() -> Result<(), Box<dyn std::error::Error>> {
/// let io = Server::builder().build()?;
/// let engine = EngineServer::builder().build()?;
/// let listening = Listener::bind("127.0.0.1:0").await?.mount(&io).mount(&engine).spawn()?;
/// println!("listening on {}", listening.local_addr());
/// listening.wait().await; // until io and engine are shut down
/// # Ok(()) }
/// ```
#[must_use]
pub struct Listener {
    listener: TcpListener,
    endpoints: Vec<Endpoint>,
    fallback: Option<Fallback>,
    #[cfg(feature = "tls")]
    tls: Option<tokio_rustls::TlsAcceptor>,
}

impl Listener {
    /// Binds an address; port 0 takes any that is free.
    ///
    /// # Errors
    /// If that is not possible.
    pub async fn bind(address: impl ToSocketAddrs) -> io::Result<Self> {
        Ok(Self::from(TcpListener::bind(address).await?))
    }

    /// The address that it is bound to.
    ///
    /// # Errors
    /// If the system does not tell.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// Serves a server under its path. Of several that match, the first mounted answers.
    pub fn mount(mut self, server: &impl Mount) -> Self {
        self.endpoints.push(server.mount_point());
        self
    }

    /// Answers what is for none of the servers: a page or two. For more than that, take a web framework and
    /// mount the server into it.
    pub fn fallback<F, Fut>(mut self, answer: F) -> Self
    where
        F: Fn(Request<Incoming>) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Response<Bytes>> + Send + 'static,
    {
        let answer = Arc::new(answer);
        self.fallback = Some(Arc::new(move |request| {
            let answer = answer.clone();
            Box::pin(async move { answer(request).await.map(Full::new) })
        }));
        self
    }

    /// Serves TLS. The configuration's ALPN protocols must not offer `h2`: WebSockets upgrade from HTTP/1.1.
    #[cfg(feature = "tls")]
    pub fn tls(mut self, config: Arc<tokio_rustls::rustls::ServerConfig>) -> Self {
        self.tls = Some(config.into());
        self
    }

    /// Serves in the background until the first of its servers is shut down.
    ///
    /// # Errors
    /// If the system does not tell the bound address.
    pub fn spawn(self) -> io::Result<Listening> {
        let local_addr = self.local_addr()?;
        Ok(Listening { local_addr, task: tokio::spawn(self.serve()) })
    }

    /// Serves until the first of its servers is shut down.
    pub async fn serve(self) {
        let Some(first) = self.endpoints.first().cloned() else { return };
        let endpoints: Arc<[Endpoint]> = self.endpoints.into();
        let mut closing = pin!(first.closing());
        loop {
            // By hand: `select!` would need tokio's procedural macros.
            let accepted = poll_fn(|context| match closing.as_mut().poll(context) {
                Poll::Ready(()) => Poll::Ready(None),
                Poll::Pending => self.listener.poll_accept(context).map(Some),
            });
            let (stream, peer) = match accepted.await {
                None => return,
                Some(Ok(accepted)) => accepted,
                Some(Err(_)) => {
                    // One connection's failure comes at once; a lack of descriptors stays for a while.
                    tokio::time::sleep(ACCEPT_REST).await;
                    continue;
                }
            };
            // A message that waits for the last one's acknowledgement helps nobody.
            let _ = stream.set_nodelay(true);
            let endpoints = endpoints.clone();
            let fallback = self.fallback.clone();
            #[cfg(feature = "tls")]
            if let Some(acceptor) = self.tls.clone() {
                let deadline = first.tls_deadline();
                tokio::spawn(async move {
                    // Here and not in the accept loop: a slow or failed handshake delays nobody else.
                    if let Ok(Ok(stream)) = tokio::time::timeout(deadline, acceptor.accept(stream)).await {
                        let peer = Connection { peer: Some(peer), secure: true };
                        serve_connection(TokioIo::new(stream), endpoints, fallback, peer, TokioTimer::new())
                            .await;
                    }
                });
                continue;
            }
            tokio::spawn(serve_plain(stream, endpoints, fallback, peer));
        }
    }
}

async fn serve_plain(
    stream: TcpStream,
    endpoints: Arc<[Endpoint]>,
    fallback: Option<Fallback>,
    peer: SocketAddr,
) {
    let peer = Connection { peer: Some(peer), secure: false };
    serve_connection(TokioIo::new(stream), endpoints, fallback, peer, TokioTimer::new()).await;
}

impl From<TcpListener> for Listener {
    fn from(listener: TcpListener) -> Self {
        Self {
            listener,
            endpoints: Vec::new(),
            fallback: None,
            #[cfg(feature = "tls")]
            tls: None,
        }
    }
}

impl fmt::Debug for Listener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Listener")
            .field("listener", &self.listener)
            .field("endpoints", &self.endpoints)
            .finish()
    }
}

/// A listener at work in the background.
#[derive(Debug)]
pub struct Listening {
    local_addr: SocketAddr,
    task: JoinHandle<()>,
}

impl Listening {
    /// The address that it listens on.
    pub fn local_addr(&self) -> SocketAddr {
        self.local_addr
    }

    /// Waits until its first server is shut down.
    pub async fn wait(self) {
        // It ends by a panic only if the runtime goes away.
        let _ = self.task.await;
    }

    /// Stops accepting connections; those that are there go on.
    pub fn stop(&self) {
        self.task.abort();
    }
}
