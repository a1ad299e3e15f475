//! The Socket.IO client on tokio.

use crate::runtime::Tokio;
use hyper_util::rt::TokioIo;
use sansocket_runtime::runtime::{BoxFuture, Stream};
use sansocket_runtime::{ClientBuildError, ClientOptions, ConnectError, Dial};
use std::io;
use std::ops::Deref;
use std::sync::Arc;
use tokio::net::TcpStream;

/// A Socket.IO client. Cheap to clone; with its last handle the connection is closed.
///
/// Handlers, messages and so on are methods of [`ClientSocket`](crate::ClientSocket), to which it dereferences:
/// the socket of the namespace that the address names. [`sansocket_runtime::Client`] has what concerns all
/// namespaces: `status`, `close`, `closed`.
///
/// ```no_run
/// use sansocket_tokio::{Client, ClientSocket, Data};
///
/// # async fn run() -> Result<(), Box<dyn std::error::Error>> {
/// let client = Client::builder("http://localhost:3000").build()?;
/// client.on("news", async |Data(text): Data<String>| println!("{text}"));
/// client.connect().await?;
///
/// client.emit("message", &"hello")?;
/// let count: u32 = client.call("count", &()).await?;
/// # Ok(()) }
/// ```
#[derive(Clone, Debug)]
pub struct Client(sansocket_runtime::Client);

/// Builds a [`Client`]. The defaults are those of the JavaScript client.
#[must_use]
pub struct ClientBuilder {
    options: ClientOptions,
    dial: Option<Arc<dyn Dial>>,
    #[cfg(feature = "tls")]
    tls: Option<Arc<tokio_rustls::rustls::ClientConfig>>,
}

impl Client {
    /// A builder for a client of the server at that address: `http://`, `https://`, `ws://` or `wss://`. As in the
    /// reference its path names the namespace, and its query goes into the URL of every request.
    pub fn builder(address: &str) -> ClientBuilder {
        ClientBuilder {
            options: ClientOptions::new(address),
            dial: None,
            #[cfg(feature = "tls")]
            tls: None,
        }
    }

    /// A client with all defaults, connected.
    ///
    /// # Errors
    /// [`ConnectError`], [`ClientBuildError`].
    pub async fn connect_to(address: &str) -> Result<Self, ConnectError> {
        let client = Self::builder(address)
            .build()
            .map_err(|error: ClientBuildError| ConnectError::Application(error.to_string()))?;
        client.connect().await?;
        Ok(client)
    }
}

impl ClientBuilder {
    sansocket_runtime::client_builder_methods!();

    /// Makes connections in a way of the application's own: over Unix sockets, a test network, another TLS.
    pub fn dial(mut self, dial: impl Dial) -> Self {
        self.dial = Some(Arc::new(dial));
        self
    }

    /// The TLS of `https` and `wss`: roots, certificates of the client, and so on. Its ALPN protocols must not offer
    /// `h2`: WebSockets upgrade from HTTP/1.1. Without one, the feature `platform-verifier` trusts what the
    /// system trusts; without that feature, such addresses cannot be reached.
    #[cfg(feature = "tls")]
    pub fn tls(mut self, config: Arc<tokio_rustls::rustls::ClientConfig>) -> Self {
        self.tls = Some(config);
        self
    }

    /// Builds the client. It does nothing until it is told to connect, which must be inside of a tokio runtime.
    ///
    /// # Errors
    /// [`ClientBuildError`].
    pub fn build(self) -> Result<Client, ClientBuildError> {
        let dial = self.dial.unwrap_or_else(|| {
            Arc::new(Tcp {
                #[cfg(feature = "tls")]
                tls: self.tls,
            })
        });
        self.options.build(Arc::new(Tokio), dial).map(Client)
    }
}

impl std::fmt::Debug for ClientBuilder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ClientBuilder").field("options", &self.options).finish_non_exhaustive()
    }
}

impl Deref for Client {
    type Target = sansocket_runtime::Client;

    fn deref(&self) -> &Self::Target {
        &self.0
    }
}

/// TCP and TLS.
struct Tcp {
    #[cfg(feature = "tls")]
    tls: Option<Arc<tokio_rustls::rustls::ClientConfig>>,
}

impl Dial for Tcp {
    fn dial(&self, host: String, port: u16) -> BoxFuture<io::Result<Box<dyn Stream>>> {
        Box::pin(async move {
            let stream = TcpStream::connect((&*host, port)).await?;
            // A message that waits for the last one's acknowledgement helps nobody.
            let _ = stream.set_nodelay(true);
            Ok(Box::new(TokioIo::new(stream)) as _)
        })
    }

    #[cfg(feature = "tls")]
    fn secure(&self, host: String, stream: Box<dyn Stream>) -> BoxFuture<io::Result<Box<dyn Stream>>> {
        let tls = self.tls.clone();
        Box::pin(async move {
            let config = match tls {
                Some(config) => config,
                None => default_tls()?,
            };
            let name = tokio_rustls::rustls::pki_types::ServerName::try_from(host)
                .map_err(|error| io::Error::new(io::ErrorKind::InvalidInput, error))?;
            let connector = tokio_rustls::TlsConnector::from(config);
            let stream = connector.connect(name, TokioIo::new(stream)).await?;
            Ok(Box::new(TokioIo::new(stream)) as _)
        })
    }

    #[cfg(not(feature = "tls"))]
    fn secure(&self, _: String, _: Box<dyn Stream>) -> BoxFuture<io::Result<Box<dyn Stream>>> {
        Box::pin(async { Err(no_tls("turn on the feature `tls` of sansocket-tokio for https and wss")) })
    }
}

/// What the system trusts.
#[cfg(feature = "platform-verifier")]
fn default_tls() -> io::Result<Arc<tokio_rustls::rustls::ClientConfig>> {
    use rustls_platform_verifier::BuilderVerifierExt as _;
    let provider = Arc::new(tokio_rustls::rustls::crypto::ring::default_provider());
    let config = tokio_rustls::rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(io::Error::other)?
        .with_platform_verifier()
        .map_err(io::Error::other)?
        .with_no_client_auth();
    Ok(Arc::new(config))
}

#[cfg(all(feature = "tls", not(feature = "platform-verifier")))]
fn default_tls() -> io::Result<Arc<tokio_rustls::rustls::ClientConfig>> {
    Err(no_tls(
        "give the builder a TLS configuration by `tls`, or turn on the feature `platform-verifier` of sansocket-tokio",
    ))
}

#[cfg(not(feature = "platform-verifier"))]
fn no_tls(message: &str) -> io::Error {
    io::Error::new(io::ErrorKind::Unsupported, message.to_owned())
}
