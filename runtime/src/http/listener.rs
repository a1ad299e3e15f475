//! The accept loop of all adapters: the servers that are mounted, the loop over connections, and its handle.

use crate::base::runtime;
use crate::base::runtime::{Runtime, Stream};
use crate::base::signal::Signal;
use crate::http::connections::{Place, TooMany, tell};
use crate::http::endpoint::{Endpoint, Fallback, serve_admitted};
use crate::http::handshake::ConnInfo;
use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Full;
use hyper::body::Incoming;
use std::fmt;
use std::future::{Future, pending, poll_fn};
use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

/// The time for which accepting rests when the process has run out of file descriptors.
const ACCEPT_REST: Duration = Duration::from_millis(100);

/// A server that a listener can serve.
pub trait Mount {
    /// Its HTTP side.
    fn mount_point(&self) -> Endpoint;
}

/// The servers of a listener, and its fallback, as each connection gets them.
type Answering = (Arc<[Endpoint]>, Option<Fallback>);

/// The servers of a listener, and its fallback.
#[derive(Default)]
pub struct Mounted {
    endpoints: Vec<Endpoint>,
    fallback: Option<Fallback>,
}

impl Mounted {
    /// Adds a server. Of several that match, the first one answers.
    pub fn add(&mut self, server: &impl Mount) {
        self.endpoints.push(server.mount_point());
    }

    /// Sets what answers the requests that are for none of the servers.
    pub fn fallback<F, Fut>(&mut self, answer: F)
    where
        F: Fn(Request<Incoming>) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Response<Bytes>> + Send + 'static,
    {
        let answer = Arc::new(answer);
        self.fallback = Some(Arc::new(move |request| {
            let answer = answer.clone();
            Box::pin(async move { answer(request).await.map(Full::new) })
        }));
    }

    /// Accepts connections and serves them, each in a task of the first server's runtime, until that server has
    /// shut down.
    ///
    /// `open` turns an accepted socket into the stream that hyper reads and writes. It runs in the connection's task.
    /// A connection comes with its peer's address: a `SocketAddr`, or an `Option` of one where peers have none, as on a
    /// Unix socket.
    pub async fn serve<Socket, Peer, IO, Opening>(
        self,
        poll_accept: impl FnMut(&mut Context<'_>) -> Poll<io::Result<(Socket, Peer)>>,
        open: impl Fn(Socket) -> Opening,
    ) where
        Peer: Into<Option<SocketAddr>>,
        Opening: Future<Output = io::Result<IO>> + Send + 'static,
        IO: Stream + 'static,
    {
        self.accept(poll_accept, open, |runtime, (endpoints, fallback), opening, peer, place| match place {
            Ok(place) => runtime.spawn(Box::pin(async move {
                if let Ok(io) = opening.await {
                    let peer = ConnInfo { peer, secure: false };
                    serve_admitted(io, endpoints, fallback, peer, Some(Arc::new(place))).await;
                }
            })),
            Err((too_many, place)) => {
                let timers = runtime.clone();
                runtime.spawn(Box::pin(async move {
                    if let Ok(io) = opening.await {
                        tell(io, &timers, too_many).await;
                    }
                    drop(place);
                }));
            }
        })
        .await;
    }

    /// The same with TLS: `open` makes the handshake, which may take as long as the server's `tls_timeout`.
    pub async fn serve_tls<Socket, Peer, IO, Opening>(
        self,
        poll_accept: impl FnMut(&mut Context<'_>) -> Poll<io::Result<(Socket, Peer)>>,
        open: impl Fn(Socket) -> Opening,
    ) where
        Peer: Into<Option<SocketAddr>>,
        Opening: Future<Output = io::Result<IO>> + Send + 'static,
        IO: Stream + 'static,
    {
        let deadline = self.endpoints.first().map_or(Duration::ZERO, Endpoint::tls_deadline);
        self.accept(poll_accept, open, move |runtime, (endpoints, fallback), opening, peer, place| {
            // A TLS handshake is too much for telling a client that it is one too many.
            let Ok(place) = place else { return };
            let timers = runtime.clone();
            runtime.spawn(Box::pin(async move {
                // Here and not in the accept loop: a slow or failed handshake delays nobody else.
                if let Some(Ok(io)) = runtime::timeout(&timers, deadline, opening).await {
                    let peer = ConnInfo { peer, secure: true };
                    serve_admitted(io, endpoints, fallback, peer, Some(Arc::new(place))).await;
                }
            }));
        })
        .await;
    }

    /// The loop: `spawn` gets each connection, with its place, or why it is one too many.
    async fn accept<Socket, Peer: Into<Option<SocketAddr>>, Opening>(
        self,
        mut poll_accept: impl FnMut(&mut Context<'_>) -> Poll<io::Result<(Socket, Peer)>>,
        open: impl Fn(Socket) -> Opening,
        spawn: impl Fn(&Arc<dyn Runtime>, Answering, Opening, Option<SocketAddr>, Result<Place, (TooMany, Place)>),
    ) {
        let Some(first) = self.endpoints.first().cloned() else { return };
        let runtime = first.runtime();
        let mounted: Answering = (self.endpoints.into(), self.fallback);
        let mut closed = pin!(first.closed());
        loop {
            let accepted = poll_fn(|context| match closed.as_mut().poll(context) {
                Poll::Ready(()) => Poll::Ready(None),
                Poll::Pending => poll_accept(context).map(Some),
            });
            let (socket, peer) = match accepted.await {
                None => return,
                Some(Ok((socket, peer))) => (socket, peer.into()),
                Some(Err(_)) => {
                    // One connection's failure comes at once; a lack of descriptors stays for a while.
                    runtime::timeout(runtime, ACCEPT_REST, pending::<()>()).await;
                    continue;
                }
            };
            let place = match first.connections().admit(peer.map(|peer| peer.ip())) {
                Ok(place) => Ok(place),
                Err(too_many) => match first.connections().may_tell() {
                    Some(place) => Err((too_many, place)),
                    None => continue,
                },
            };
            spawn(runtime, mounted.clone(), open(socket), peer, place);
        }
    }

    /// Runs an accept loop in the background. `serve` is the adapter's listener, which ends in
    /// [`serve`](Self::serve); without a server nothing is run.
    pub fn spawn<Serving>(self, local_addr: SocketAddr, serve: impl FnOnce(Self) -> Serving) -> Listening
    where
        Serving: Future<Output = ()> + Send + 'static,
    {
        let state = Arc::new(Running::default());
        let Some(runtime) = self.endpoints.first().map(|first| first.runtime().clone()) else {
            state.done.give();
            return Listening { local_addr, state };
        };
        let guard = Guard(state.clone());
        let serving = serve(self);
        runtime.spawn(Box::pin(async move {
            // The future goes first: when somebody hears of the end, the port is free.
            let guard = guard;
            let mut serving = pin!(serving);
            let mut stop = pin!(guard.0.stop.wait());
            poll_fn(|context| match stop.as_mut().poll(context) {
                Poll::Ready(()) => Poll::Ready(()),
                Poll::Pending => serving.as_mut().poll(context),
            })
            .await;
        }));
        Listening { local_addr, state }
    }
}

impl fmt::Debug for Mounted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(&self.endpoints).finish()
    }
}

#[derive(Debug, Default)]
struct Running {
    stop: Signal,
    done: Signal,
}

/// A guard that tells of the end however it comes: also when the runtime drops the task.
struct Guard(Arc<Running>);

impl Drop for Guard {
    fn drop(&mut self) {
        self.0.done.give();
    }
}

/// A listener at work in the background. Letting go of it does not stop it.
///
/// ```
/// # use sansocket_runtime::Listening;
/// # async fn run(listening: Listening) {
/// // What `listen(..)` of an adapter's server returns.
/// println!("at http://{}", listening.local_addr());
/// listening.wait().await; // until its servers have shut down, or `stop` is called
/// # }
/// ```
#[derive(Debug)]
pub struct Listening {
    local_addr: SocketAddr,
    state: Arc<Running>,
}

impl Listening {
    /// The address that it listens on. A Unix socket has a path instead: for one, this is `0.0.0.0:0`.
    pub fn local_addr(&self) -> SocketAddr {
        self.local_addr
    }

    /// Waits until its first server has shut down.
    pub async fn wait(self) {
        self.state.done.wait().await;
    }

    /// Stops accepting connections; those that are there go on. A shutdown does the same at its end; call this before
    /// one if the port is to be free at once, and clients that poll need not get their rest.
    pub fn stop(&self) {
        self.state.stop.give();
    }
}
