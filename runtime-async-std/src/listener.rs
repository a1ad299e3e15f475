//! A listening socket on async-io's reactor, with TLS if wanted.

use crate::io::{HyperIo, Tcp};
use async_io::Async;
use async_net::AsyncToSocketAddrs;
use sansocket_runtime::adapter::Mounted;
use std::future::ready;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::task::{Context, Poll, ready};

#[derive(Debug)]
pub(crate) struct Socket(pub(crate) Async<TcpListener>);

impl Socket {
    pub(crate) async fn bind(address: impl AsyncToSocketAddrs) -> io::Result<Self> {
        let mut failure = io::Error::new(io::ErrorKind::InvalidInput, "the address resolves to nothing");
        for address in async_net::resolve(address).await? {
            match Async::<TcpListener>::bind(address) {
                Ok(listener) => return Ok(Self(listener)),
                Err(error) => failure = error,
            }
        }
        Err(failure)
    }

    pub(crate) fn local_addr(&self) -> io::Result<SocketAddr> {
        self.0.get_ref().local_addr()
    }

    fn poll_accept(&self, context: &mut Context<'_>) -> Poll<io::Result<(Tcp, SocketAddr)>> {
        loop {
            match self.0.get_ref().accept() {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Poll::Ready(Err(error)),
                Ok((stream, peer)) => {
                    return Poll::Ready(Async::new(stream).map(|stream| (Tcp::from(stream), peer)));
                }
            }
            ready!(self.0.poll_readable(context))?;
        }
    }

    pub(crate) async fn serve(self, mounted: Mounted) {
        let open = |stream| ready(Ok(HyperIo(stream)));
        mounted.serve(|context| self.poll_accept(context), open).await;
    }

    #[cfg(feature = "tls")]
    pub(crate) async fn serve_tls(
        self,
        mounted: Mounted,
        config: std::sync::Arc<futures_rustls::rustls::ServerConfig>,
    ) {
        let acceptor = futures_rustls::TlsAcceptor::from(config);
        let open = |stream| {
            let accepting = acceptor.accept(stream);
            async move { accepting.await.map(HyperIo) }
        };
        mounted.serve_tls(|context| self.poll_accept(context), open).await;
    }
}
