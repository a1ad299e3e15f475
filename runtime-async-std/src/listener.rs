//! A listening socket on async-io's reactor, with TLS if wanted.

#[cfg(unix)]
use crate::io::Unix;
use crate::io::{HyperIo, Tcp};
use async_io::Async;
use async_net::AsyncToSocketAddrs;
#[cfg(feature = "tls")]
use futures_io::{AsyncRead, AsyncWrite};
use sansocket_runtime::adapter::Mounted;
#[cfg(unix)]
use sansocket_runtime::adapter::SocketFile;
use std::future::ready;
use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
#[cfg(unix)]
use std::os::unix::net::UnixListener;
#[cfg(unix)]
use std::path::Path;
use std::task::{Context, Poll, ready};

#[derive(Debug)]
pub(crate) enum Socket {
    Tcp(Async<TcpListener>),
    #[cfg(unix)]
    Unix(Async<UnixListener>, Option<SocketFile>),
}

/// A connection that an accept loop gets, with its peer's address if it has one.
type Accepted<T> = Poll<io::Result<(T, Option<SocketAddr>)>>;

impl Socket {
    pub(crate) async fn bind(address: impl AsyncToSocketAddrs) -> io::Result<Self> {
        let mut failure = io::Error::new(io::ErrorKind::InvalidInput, "the address resolves to nothing");
        for address in async_net::resolve(address).await? {
            match Async::<TcpListener>::bind(address) {
                Ok(listener) => return Ok(Self::Tcp(listener)),
                Err(error) => failure = error,
            }
        }
        Err(failure)
    }

    #[cfg(unix)]
    pub(crate) async fn bind_unix(path: &Path) -> io::Result<Self> {
        let (listener, file) = SocketFile::bind(path)?;
        Ok(Self::Unix(Async::new(listener)?, Some(file)))
    }

    pub(crate) fn local_addr(&self) -> io::Result<SocketAddr> {
        match self {
            Self::Tcp(listener) => listener.get_ref().local_addr(),
            #[cfg(unix)]
            Self::Unix(..) => Ok((Ipv4Addr::UNSPECIFIED, 0).into()),
        }
    }

    pub(crate) async fn serve(self, mounted: Mounted) {
        match self {
            Self::Tcp(listener) => {
                let open = |stream| ready(Ok(HyperIo(stream)));
                mounted.serve(|context| accept(&listener, context), open).await;
            }
            #[cfg(unix)]
            Self::Unix(listener, _file) => {
                let open = |stream| ready(Ok(HyperIo(stream)));
                mounted.serve(|context| accept_unix(&listener, context), open).await;
            }
        }
    }

    #[cfg(feature = "tls")]
    pub(crate) async fn serve_tls(
        self,
        mounted: Mounted,
        config: std::sync::Arc<futures_rustls::rustls::ServerConfig>,
    ) {
        let acceptor = futures_rustls::TlsAcceptor::from(config);
        match self {
            Self::Tcp(listener) => {
                let open = |stream| secure(&acceptor, stream);
                mounted.serve_tls(|context| accept(&listener, context), open).await;
            }
            #[cfg(unix)]
            Self::Unix(listener, _file) => {
                let open = |stream| secure(&acceptor, stream);
                mounted.serve_tls(|context| accept_unix(&listener, context), open).await;
            }
        }
    }
}

impl TryFrom<TcpListener> for Socket {
    type Error = io::Error;

    fn try_from(listener: TcpListener) -> io::Result<Self> {
        Async::new(listener).map(Self::Tcp)
    }
}

#[cfg(unix)]
impl TryFrom<UnixListener> for Socket {
    type Error = io::Error;

    fn try_from(listener: UnixListener) -> io::Result<Self> {
        Ok(Self::Unix(Async::new(listener)?, None))
    }
}

fn accept(listener: &Async<TcpListener>, context: &mut Context<'_>) -> Accepted<Tcp> {
    loop {
        match listener.get_ref().accept() {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            accepted => {
                let accepted = accepted.and_then(|(stream, peer)| Ok((Async::new(stream)?, Some(peer))));
                return Poll::Ready(accepted.map(|(stream, peer)| (stream.into(), peer)));
            }
        }
        ready!(listener.poll_readable(context))?;
    }
}

#[cfg(unix)]
fn accept_unix(listener: &Async<UnixListener>, context: &mut Context<'_>) -> Accepted<Unix> {
    loop {
        match listener.get_ref().accept() {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            accepted => {
                let accepted = accepted.and_then(|(stream, _)| Async::new(stream));
                return Poll::Ready(accepted.map(|stream| (stream.into(), None)));
            }
        }
        ready!(listener.poll_readable(context))?;
    }
}

/// The TLS handshake, which runs in the task of its connection.
#[cfg(feature = "tls")]
fn secure<T: AsyncRead + AsyncWrite + Unpin>(
    acceptor: &futures_rustls::TlsAcceptor,
    stream: T,
) -> impl Future<Output = io::Result<HyperIo<futures_rustls::server::TlsStream<T>>>> + use<T> {
    let accepting = acceptor.accept(stream);
    async move { accepting.await.map(HyperIo) }
}
