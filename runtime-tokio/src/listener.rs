//! A listening socket of tokio, with TLS if wanted.

use hyper_util::rt::TokioIo;
use sansocket_runtime::adapter::Mounted;
use std::future::ready;
use std::io;
use std::net::SocketAddr;
use tokio::net::{TcpListener, TcpStream, ToSocketAddrs};

#[derive(Debug)]
pub(crate) struct Socket(pub(crate) TcpListener);

impl Socket {
    pub(crate) async fn bind(address: impl ToSocketAddrs) -> io::Result<Self> {
        TcpListener::bind(address).await.map(Self)
    }

    pub(crate) fn local_addr(&self) -> io::Result<SocketAddr> {
        self.0.local_addr()
    }

    pub(crate) async fn serve(self, mounted: Mounted) {
        let open = |stream| ready(Ok(TokioIo::new(prompt(stream))));
        mounted.serve(|context| self.0.poll_accept(context), open).await;
    }

    #[cfg(feature = "tls")]
    pub(crate) async fn serve_tls(
        self,
        mounted: Mounted,
        config: std::sync::Arc<tokio_rustls::rustls::ServerConfig>,
    ) {
        let acceptor = tokio_rustls::TlsAcceptor::from(config);
        let open = |stream| {
            let accepting = acceptor.accept(prompt(stream));
            async move { accepting.await.map(TokioIo::new) }
        };
        mounted.serve_tls(|context| self.0.poll_accept(context), open).await;
    }
}

/// A message that waits for the last one's acknowledgement helps nobody.
fn prompt(stream: TcpStream) -> TcpStream {
    // It fails only for a socket that is gone already.
    let _ = stream.set_nodelay(true);
    stream
}
