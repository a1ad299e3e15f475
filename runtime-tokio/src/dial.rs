//! A client's connections on tokio: TCP, with TLS if wanted.

use crate::runtime::Tokio;
use hyper_util::rt::TokioIo;
use sansocket_runtime::adapter::{BoxFuture, ClientTls, Dial, Stream, connect_to_any};
use std::io;
use std::net::SocketAddr;
use tokio::net::TcpStream;

pub(crate) struct Dialer {
    #[cfg(feature = "tls")]
    tls: ClientTls,
}

impl Dialer {
    #[cfg_attr(not(feature = "tls"), allow(unused_variables))]
    pub(crate) fn new(tls: ClientTls) -> Self {
        Self {
            #[cfg(feature = "tls")]
            tls,
        }
    }
}

impl Dial for Dialer {
    fn dial(&self, host: String, port: u16) -> BoxFuture<io::Result<Box<dyn Stream>>> {
        Box::pin(async move {
            let addresses = tokio::net::lookup_host((&*host, port)).await?;
            let stream = connect_to_any(&Tokio, addresses, TcpStream::connect::<SocketAddr>).await?;
            // A message that waits for the last one's acknowledgement helps nobody.
            let _ = stream.set_nodelay(true);
            Ok(Box::new(TokioIo::new(stream)) as _)
        })
    }

    #[cfg(feature = "tls")]
    fn secure(&self, host: String, stream: Box<dyn Stream>) -> BoxFuture<io::Result<Box<dyn Stream>>> {
        let config = self.tls.config();
        Box::pin(async move {
            let name = tokio_rustls::rustls::pki_types::ServerName::try_from(host)
                .map_err(|error| io::Error::new(io::ErrorKind::InvalidInput, error))?;
            let connector = tokio_rustls::TlsConnector::from(config?);
            let stream = connector.connect(name, TokioIo::new(stream)).await?;
            Ok(Box::new(TokioIo::new(stream)) as _)
        })
    }

    #[cfg(feature = "tls")]
    fn check_secure(&self) -> io::Result<()> {
        self.tls.config().map(drop)
    }

    #[cfg(not(feature = "tls"))]
    fn secure(&self, _: String, _: Box<dyn Stream>) -> BoxFuture<io::Result<Box<dyn Stream>>> {
        let error = self.check_secure().err();
        Box::pin(async { Err(error.unwrap_or_else(|| io::ErrorKind::Unsupported.into())) })
    }

    #[cfg(not(feature = "tls"))]
    fn check_secure(&self) -> io::Result<()> {
        let missing = "turn on the feature `tls` of sansocket-tokio for https and wss";
        Err(io::Error::new(io::ErrorKind::Unsupported, missing))
    }
}
