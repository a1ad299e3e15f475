//! The TLS of a client: the application's configuration, or one that trusts what the system trusts.

#[cfg(feature = "tls")]
use {
    crate::base::alpn::{leave_http2_out, offers_http2},
    std::io,
    std::sync::{Arc, OnceLock},
};

/// The TLS of a client, as an adapter's [`Dial`](crate::adapter::Dial) gets it.
#[derive(Debug, Default)]
pub struct ClientTls {
    /// Made at the first need, unless the application gave one: to read what the system trusts takes a while, and
    /// blocks the thread.
    #[cfg(feature = "tls")]
    config: OnceLock<Arc<rustls::ClientConfig>>,
}

#[cfg(feature = "tls")]
impl ClientTls {
    pub(crate) fn new(config: Arc<rustls::ClientConfig>) -> Self {
        if !offers_http2(&config.alpn_protocols) {
            return Self { config: config.into() };
        }
        let mut config = Arc::unwrap_or_clone(config);
        leave_http2_out(&mut config.alpn_protocols);
        Self { config: Arc::new(config).into() }
    }

    /// The configuration that the application gave to its builder. Without one, the feature `platform-verifier` makes one
    /// that trusts what the system trusts.
    ///
    /// # Errors
    /// If there is neither, or the system does not tell what it trusts.
    pub fn config(&self) -> io::Result<Arc<rustls::ClientConfig>> {
        if let Some(known) = self.config.get() {
            return Ok(known.clone());
        }
        let config = platform()?;
        Ok(self.config.get_or_init(|| config).clone())
    }
}

#[cfg(feature = "platform-verifier")]
fn platform() -> io::Result<Arc<rustls::ClientConfig>> {
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
fn platform() -> io::Result<Arc<rustls::ClientConfig>> {
    Err(io::Error::new(
        io::ErrorKind::Unsupported,
        "give the builder a TLS configuration by `tls`, or turn on the feature `platform-verifier`",
    ))
}

#[cfg(all(test, feature = "platform-verifier"))]
mod tests {
    use super::*;

    #[test]
    fn what_the_system_trusts_is_read_once() {
        let tls = ClientTls::default();
        let config = tls.config().unwrap();
        assert!(Arc::ptr_eq(&config, &tls.config().unwrap()));
    }
}
