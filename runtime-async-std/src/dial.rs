//! How a client reaches its server on async-io's reactor: TCP, with TLS if wanted.

use crate::io::{HyperIo, Tcp};
use crate::runtime::Standard;
use async_io::Async;
use sansocket_runtime::runtime::{BoxFuture, Stream};
use sansocket_runtime::{Dial, connect_to_any};
use std::io;
use std::net::{SocketAddr, TcpStream};
#[cfg(feature = "tls")]
use {
    crate::io::FuturesIo,
    futures_rustls::rustls,
    std::sync::{Arc, OnceLock},
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
            let addresses = async_net::resolve((host, port)).await?;
            let stream =
                connect_to_any(&Standard::default(), addresses, Async::<TcpStream>::connect::<SocketAddr>)
                    .await?;
            Ok(Box::new(HyperIo(Tcp::from(stream))) as _)
        })
    }

    #[cfg(feature = "tls")]
    fn secure(&self, host: String, stream: Box<dyn Stream>) -> BoxFuture<io::Result<Box<dyn Stream>>> {
        let config = self.config();
        Box::pin(async move {
            let name = rustls::pki_types::ServerName::try_from(host)
                .map_err(|error| io::Error::new(io::ErrorKind::InvalidInput, error))?;
            let connector = futures_rustls::TlsConnector::from(config?);
            let stream = connector.connect(name, FuturesIo(stream)).await?;
            Ok(Box::new(HyperIo(stream)) as _)
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
        Err(no_tls("turn on the feature `tls` of sansocket-async-std for https and wss"))
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
        "give the builder a TLS configuration by `tls`, or turn on the feature `platform-verifier` of \
         sansocket-async-std",
    ))
}

#[cfg(not(feature = "platform-verifier"))]
fn no_tls(message: &str) -> io::Error {
    io::Error::new(io::ErrorKind::Unsupported, message.to_owned())
}
