//! TLS that the stand-alone listener ends itself. The key beside it is for these tests only.
//! They are part of the suite with an adapter's feature `test-tls`.

use crate::sansocket::{Handshake, Listener, Server};
use crate::suite::support::{Client, soon};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_rustls::rustls::crypto::ring::default_provider;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use tokio_rustls::rustls::{ClientConfig, RootCertStore, ServerConfig};

const TARGET: &str = "/socket.io/?EIO=4&transport=websocket";

fn certificate() -> CertificateDer<'static> {
    CertificateDer::from_pem_slice(include_bytes!("tls_pem/certificate.pem")).expect("a certificate")
}

fn server_config() -> ServerConfig {
    let key = PrivateKeyDer::from_pem_slice(include_bytes!("tls_pem/key.pem")).expect("a key");
    ServerConfig::builder_with_provider(default_provider().into())
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_no_client_auth()
        .with_single_cert(vec![certificate()], key)
        .expect("a key that fits")
}

async fn secure(addr: SocketAddr) -> TlsStream<TcpStream> {
    secure_with(addr, &[]).await
}

async fn secure_with(addr: SocketAddr, protocols: &[&str]) -> TlsStream<TcpStream> {
    let mut roots = RootCertStore::empty();
    roots.add(certificate()).expect("a root");
    let mut config = ClientConfig::builder_with_provider(default_provider().into())
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = protocols.iter().map(|protocol| protocol.as_bytes().to_vec()).collect();
    let stream = TcpStream::connect(addr).await.expect("a connection");
    let name = ServerName::try_from("localhost").expect("a name");
    soon(TlsConnector::from(Arc::new(config)).connect(name, stream)).await.expect("a TLS handshake")
}

fn serve(io: &Server) -> impl Future<Output = SocketAddr> {
    serve_with(io, server_config())
}

fn serve_with(io: &Server, config: ServerConfig) -> impl Future<Output = SocketAddr> {
    io.namespace("/").on("secure", async |handshake: Handshake| handshake.is_secure());
    let io = io.clone();
    async move {
        let listener = Listener::bind("127.0.0.1:0").await.expect("a port");
        listener.mount(&io).tls(Arc::new(config)).spawn().expect("an address").local_addr()
    }
}

#[tokio::test]
async fn a_websocket_works_over_tls() {
    let io = crate::server().build().expect("a server");
    let addr = serve(&io).await;
    let mut client = Client::over(secure(addr).await, TARGET, "").await;
    client.join("/", "").await;
    assert_eq!(client.ask(r#"["secure"]"#).await, "[true]");
    // More than a record of TLS, and than one write.
    let long = "x".repeat(500_000);
    io.emit("long", &long).expect("encoded");
    client.expect(&format!(r#"2["long","{long}"]"#)).await;
    io.namespace("/").broadcast().close();
    client.rest().await;
}

#[cfg(feature = "http2")]
#[tokio::test]
async fn clients_choose_http_2_for_polls_and_http_1_1_for_websockets() {
    use crate::http2::Http2;

    let io = crate::server().build().expect("a server");
    let addr = serve(&io).await;
    let stream = secure_with(addr, &["h2", "http/1.1"]).await;
    assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&b"h2"[..]));
    Http2::over(stream, addr, &h2::client::Builder::new()).await.join().await;
    // As a browser opens a WebSocket.
    let stream = secure_with(addr, &["http/1.1"]).await;
    assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&b"http/1.1"[..]));
    let mut client = Client::over(stream, TARGET, "").await;
    client.join("/", "").await;
    assert_eq!(client.ask(r#"["secure"]"#).await, "[true]");
    assert_eq!(io.clients_count(), 2);
}

#[cfg(not(feature = "http2"))]
#[tokio::test]
async fn http_2_is_not_offered_even_if_the_configuration_has_it() {
    let io = crate::server().build().expect("a server");
    let mut config = server_config();
    config.alpn_protocols = ["h2", "http/1.1"].map(|protocol| protocol.as_bytes().to_vec()).into();
    let addr = serve_with(&io, config).await;
    let stream = secure_with(addr, &["h2", "http/1.1"]).await;
    assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&b"http/1.1"[..]));
    Client::over(stream, TARGET, "").await.join("/", "").await;
}

#[tokio::test]
async fn a_handshake_that_stalls_delays_nobody_and_is_cut() {
    let io = crate::server().tls_timeout(Duration::from_secs(3)).build().expect("a server");
    let addr = serve(&io).await;
    let mut stalled = TcpStream::connect(addr).await.expect("a connection");
    let mut client = Client::over(secure(addr).await, TARGET, "").await;
    client.join("/", "").await;
    assert_eq!(client.ask(r#"["secure"]"#).await, "[true]");
    let mut nothing = Vec::new();
    soon(stalled.read_to_end(&mut nothing)).await.ok();
    assert!(nothing.is_empty());
}

#[tokio::test]
async fn a_client_without_tls_is_cut() {
    let io = crate::server().build().expect("a server");
    let addr = serve(&io).await;
    let mut plain = TcpStream::connect(addr).await.expect("a connection");
    crate::suite::support::send_request(&mut plain, "GET", "/socket.io/?EIO=4&transport=polling", "", "")
        .await;
    let mut answer = Vec::new();
    soon(plain.read_to_end(&mut answer)).await.ok();
    assert!(!String::from_utf8_lossy(&answer).contains("HTTP"));
    let mut client = Client::over(secure(addr).await, TARGET, "").await;
    client.join("/", "").await;
}
