//! TLS to the broker, for `amqps` addresses: the client connects by this reactor instead of tokio's own.

use async_compat::Compat;
use async_rs::traits::Reactor;
use async_rs::util::RuntimeParts;
use async_rs::{Runtime, Tokio};
use futures_core::Stream;
use futures_io::{AsyncRead, AsyncWrite};
use lapin::uri::AMQPUri;
use lapin::{AsyncTcpStream, Connection, ConnectionProperties, Error};
use rustls::pki_types::{InvalidDnsNameError, ServerName};
use rustls::{ClientConfig, RootCertStore};
use std::future::Future;
use std::io::{self, Read, Write};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};
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
}

/// A TLS handshake that has failed.
#[derive(Debug, Error)]
#[error(
    "TLS to {name} has failed: {source}. If the broker's certificate is of an authority of your own, add that to those \
     that the system trusts, or set it by `AmqpBus::tls`"
)]
struct HandshakeError {
    name: String,
    source: io::Error,
}

/// Connects to a broker by TLS, with that configuration or with one that trusts what the system trusts.
pub(crate) async fn connect(
    uri: AMQPUri,
    properties: ConnectionProperties,
    config: Option<Arc<ClientConfig>>,
) -> Result<Connection, Error> {
    let config = match config {
        Some(config) => config,
        None => trusting_the_system().map_err(io::Error::other)?,
    };
    let name = ServerName::try_from(uri.authority.host.clone());
    let name = name.map_err(|error| io::Error::other(TlsError::Name(error)))?;
    let reactor = Tls { tokio: Tokio::current(), connector: config.into(), name };
    let runtime = Runtime::new(RuntimeParts::new(Tokio::current(), reactor));
    let dial = async |uri: AMQPUri, runtime: Runtime<RuntimeParts<Tokio, Tls>>| {
        let address = runtime.to_socket_addrs((uri.authority.host, uri.authority.port));
        Ok(AsyncTcpStream::connect(&runtime, address).await?)
    };
    Connection::connector(uri, runtime.clone(), dial, properties).await
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

/// Tokio's reactor, whose connections are on TLS.
#[derive(Clone)]
pub(crate) struct Tls {
    tokio: Tokio,
    connector: TlsConnector,
    name: ServerName<'static>,
}

impl std::fmt::Debug for Tls {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Tls").field("name", &self.name).finish_non_exhaustive()
    }
}

impl Reactor for Tls {
    type TcpStream = Compat<TlsStream<TcpStream>>;
    type Sleep = <Tokio as Reactor>::Sleep;

    /// Refuses: it connects by itself, which is all that the client asks of it, and has no use for sockets of others.
    fn register<H: Read + Write + Send + 'static>(
        &self,
        _: H,
    ) -> io::Result<impl AsyncRead + AsyncWrite + Send + Unpin + 'static> {
        Err::<Self::TcpStream, _>(io::ErrorKind::Unsupported.into())
    }

    fn sleep(&self, duration: Duration) -> Self::Sleep {
        self.tokio.sleep(duration)
    }

    fn interval(&self, duration: Duration) -> impl Stream<Item = Instant> + Send + 'static {
        self.tokio.interval(duration)
    }

    fn tcp_connect_addr(
        &self,
        address: SocketAddr,
    ) -> impl Future<Output = io::Result<Self::TcpStream>> + Send + 'static {
        let (connector, name) = (self.connector.clone(), self.name.clone());
        async move {
            let stream = TcpStream::connect(address).await?;
            stream.set_nodelay(true)?;
            let text = name.to_str().into_owned();
            let connected = connector.connect(name, stream).await;
            let failed = |source| io::Error::other(HandshakeError { name: text, source });
            Ok(Compat::new(connected.map_err(failed)?))
        }
    }
}
