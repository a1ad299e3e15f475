//! TLS to the broker, for `amqps` addresses.

use crate::AmqpBus;
use crate::connection::LostError;
use rustls::pki_types::{InvalidDnsNameError, ServerName};
use rustls::{ClientConfig, RootCertStore};
use std::io;
use std::sync::Arc;
use thiserror::Error;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

/// Why there can be no TLS.
#[derive(Debug, Error)]
pub(crate) enum TlsError {
    #[error("no certificates of authorities are found on this system, so that no broker can be trusted: {0}")]
    NoRoots(String),
    #[error("no name or address of a host: {0}")]
    Name(#[from] InvalidDnsNameError),
    #[error(
        "TLS to {name} has failed: {source}. If the broker's certificate is of an authority of your own, add that to those \
         that the system trusts, or set it by `AmqpBus::tls`"
    )]
    Handshake { name: String, source: io::Error },
}

/// Begins TLS on a connection, with the configuration of the bus or with one that trusts what the system trusts.
pub(crate) async fn handshake(bus: &AmqpBus, stream: TcpStream) -> Result<TlsStream<TcpStream>, LostError> {
    let config = match &bus.tls {
        Some(config) => config.clone(),
        None => trusting_the_system()?,
    };
    let host = &bus.uri.authority.host;
    let name = ServerName::try_from(host.clone()).map_err(TlsError::from)?;
    let connected = TlsConnector::from(config).connect(name, stream).await;
    Ok(connected.map_err(|source| TlsError::Handshake { name: host.clone(), source })?)
}

fn trusting_the_system() -> Result<Arc<ClientConfig>, TlsError> {
    let found = rustls_native_certs::load_native_certs();
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(found.certs);
    if roots.is_empty() {
        let reasons: Vec<String> = found.errors.iter().map(ToString::to_string).collect();
        return Err(TlsError::NoRoots(reasons.join(", ")));
    }
    // Somebody else may have chosen one, which is as good.
    let _ = rustls::crypto::ring::default_provider().install_default();
    Ok(Arc::new(ClientConfig::builder().with_root_certificates(roots).with_no_client_auth()))
}
