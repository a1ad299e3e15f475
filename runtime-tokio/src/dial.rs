//! How a client reaches its server on tokio: TCP, with TLS if wanted.

use crate::runtime::Tokio;
use hyper_util::rt::TokioIo;
use sansocket_runtime::runtime::{BoxFuture, Stream};
use sansocket_runtime::{Dial, connect_to_any};
use std::io;
use std::net::SocketAddr;
use tokio::net::TcpStream;
#[cfg(feature = "tls")]
use {
    std::sync::{Arc, OnceLock},
    tokio_rustls::rustls,
};

#[derive(Default)]
pub(crate) struct Dialer {
    #[cfg(feature = "tls")]
    pub(crate) tls: Option<Arc<rustls::ClientConfig>>,
    /// What the system trusts is read once: that takes a while, and blocks the thread.
    #[cfg(feature = "tls")]
    default: OnceLock<Arc<rustls::ClientConfig>>,
}

#[cfg(feature = "tls")]
impl Dialer {
    fn config(&self) -> io::Result<Arc<rustls::ClientConfig>> {
        if let Some(known) = self.tls.as_ref().or_else(|| self.default.get()) {
            return Ok(known.clone());
        }
        let config = default_tls()?;
        Ok(self.default.get_or_init(|| config).clone())
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
        let config = self.config();
        Box::pin(async move {
            let name = rustls::pki_types::ServerName::try_from(host)
                .map_err(|error| io::Error::new(io::ErrorKind::InvalidInput, error))?;
            let connector = tokio_rustls::TlsConnector::from(config?);
            let stream = connector.connect(name, TokioIo::new(stream)).await?;
            Ok(Box::new(TokioIo::new(stream)) as _)
        })
    }

    #[cfg(feature = "tls")]
    fn check_secure(&self) -> io::Result<()> {
        self.config().map(drop)
    }

    #[cfg(not(feature = "tls"))]
    fn secure(&self, _: String, _: Box<dyn Stream>) -> BoxFuture<io::Result<Box<dyn Stream>>> {
        let error = self.check_secure().err();
        Box::pin(async { Err(error.unwrap_or_else(|| io::ErrorKind::Unsupported.into())) })
    }

    #[cfg(not(feature = "tls"))]
    fn check_secure(&self) -> io::Result<()> {
        Err(no_tls("turn on the feature `tls` of sansocket-tokio for https and wss"))
    }
}

/// What the system trusts.
#[cfg(feature = "platform-verifier")]
fn default_tls() -> io::Result<Arc<rustls::ClientConfig>> {
    use rustls_platform_verifier::BuilderVerifierExt as _;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(io::Error::other)?
        .with_platform_verifier()
        .map_err(io::Error::other)?
        .with_no_client_auth();
    Ok(Arc::new(config))
}

#[cfg(all(feature = "tls", not(feature = "platform-verifier")))]
fn default_tls() -> io::Result<Arc<rustls::ClientConfig>> {
    Err(no_tls(
        "give the builder a TLS configuration by `tls`, or turn on the feature `platform-verifier` of sansocket-tokio",
    ))
}

#[cfg(not(feature = "platform-verifier"))]
fn no_tls(message: &str) -> io::Error {
    io::Error::new(io::ErrorKind::Unsupported, message.to_owned())
}

#[cfg(all(test, feature = "platform-verifier"))]
mod tests {
    use super::*;

    #[test]
    fn what_the_system_trusts_is_read_once() {
        let dialer = Dialer::default();
        dialer.check_secure().unwrap();
        let known = dialer.default.get().unwrap();
        assert!(Arc::ptr_eq(known, &dialer.config().unwrap()));
    }
}
