//! A listening socket of tokio, with TLS if wanted.

use hyper_util::rt::TokioIo;
use sansocket_runtime::adapter::Mounted;
#[cfg(unix)]
use sansocket_runtime::adapter::SocketFile;
use std::future::ready;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
#[cfg(unix)]
use std::path::Path;
use std::task::{Context, Poll};
#[cfg(feature = "tls")]
use tokio::io::{AsyncRead, AsyncWrite};
#[cfg(unix)]
use tokio::net::UnixListener;
use tokio::net::{TcpListener, TcpStream, ToSocketAddrs};

#[derive(Debug)]
pub(crate) enum Socket {
    Tcp(TcpListener),
    #[cfg(unix)]
    Unix(UnixListener, Option<SocketFile>),
}

/// A connection that an accept loop gets, with its peer's address if it has one.
type Accepted<T> = Poll<io::Result<(T, Option<SocketAddr>)>>;

impl Socket {
    pub(crate) async fn bind(address: impl ToSocketAddrs) -> io::Result<Self> {
        TcpListener::bind(address).await.map(Self::Tcp)
    }

    #[cfg(unix)]
    pub(crate) async fn bind_unix(path: &Path) -> io::Result<Self> {
        let (listener, file) = SocketFile::bind(path)?;
        listener.set_nonblocking(true)?;
        Ok(Self::Unix(UnixListener::from_std(listener)?, Some(file)))
    }

    pub(crate) fn local_addr(&self) -> io::Result<SocketAddr> {
        match self {
            Self::Tcp(listener) => listener.local_addr(),
            #[cfg(unix)]
            Self::Unix(..) => Ok((Ipv4Addr::UNSPECIFIED, 0).into()),
        }
    }

    pub(crate) async fn serve(self, mounted: Mounted) {
        match self {
            Self::Tcp(listener) => {
                let open = |stream| ready(Ok(TokioIo::new(stream)));
                mounted.serve(|context| accept(&listener, context), open).await;
            }
            #[cfg(unix)]
            Self::Unix(listener, _file) => {
                let open = |stream| ready(Ok(TokioIo::new(stream)));
                mounted.serve(|context| accept_unix(&listener, context), open).await;
            }
        }
    }

    #[cfg(feature = "tls")]
    pub(crate) async fn serve_tls(
        self,
        mounted: Mounted,
        config: std::sync::Arc<tokio_rustls::rustls::ServerConfig>,
    ) {
        let acceptor = tokio_rustls::TlsAcceptor::from(config);
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

impl TryFrom<std::net::TcpListener> for Socket {
    type Error = io::Error;

    fn try_from(listener: std::net::TcpListener) -> io::Result<Self> {
        listener.set_nonblocking(true)?;
        TcpListener::from_std(listener).map(Self::Tcp)
    }
}

#[cfg(unix)]
impl TryFrom<std::os::unix::net::UnixListener> for Socket {
    type Error = io::Error;

    fn try_from(listener: std::os::unix::net::UnixListener) -> io::Result<Self> {
        listener.set_nonblocking(true)?;
        Ok(Self::Unix(UnixListener::from_std(listener)?, None))
    }
}

fn accept(listener: &TcpListener, context: &mut Context<'_>) -> Accepted<TcpStream> {
    let accepted = listener.poll_accept(context);
    accepted.map_ok(|(stream, peer)| {
        // A message that waits for the last one's acknowledgement helps nobody. It fails only for a socket that is gone
        // already.
        let _ = stream.set_nodelay(true);
        (stream, Some(peer))
    })
}

#[cfg(unix)]
fn accept_unix(listener: &UnixListener, context: &mut Context<'_>) -> Accepted<tokio::net::UnixStream> {
    listener.poll_accept(context).map_ok(|(stream, _)| (stream, None))
}

/// The TLS handshake, which runs in the task of its connection.
#[cfg(feature = "tls")]
fn secure<T: AsyncRead + AsyncWrite + Unpin>(
    acceptor: &tokio_rustls::TlsAcceptor,
    stream: T,
) -> impl Future<Output = io::Result<TokioIo<tokio_rustls::server::TlsStream<T>>>> + use<T> {
    let accepting = acceptor.accept(stream);
    async move { accepting.await.map(TokioIo::new) }
}
