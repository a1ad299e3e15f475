//! Clients over TLS. The key beside it is for these tests only.
//!
//! ```text
//! cargo test -p sansocket-tokio --features test-tls --test client_tls
//! ```

use crate::sansocket::{Args, ConnectError, Handshake, Listener, Server};
use crate::suite::relay::TRANSPORTS;
use crate::suite::support::soon;
use std::net::SocketAddr;
use std::sync::Arc;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::crypto::ring::default_provider;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::sign::{CertifiedKey, SingleCertAndKey};
use tokio_rustls::rustls::{ClientConfig, RootCertStore, ServerConfig};

fn certificate() -> CertificateDer<'static> {
    CertificateDer::from_pem_slice(include_bytes!("../tls_pem/certificate.pem")).expect("a certificate")
}

fn client_config(trusted: bool) -> Arc<ClientConfig> {
    Arc::new(client_config_with(trusted, &[]))
}

fn client_config_with(trusted: bool, protocols: &[&str]) -> ClientConfig {
    let mut roots = RootCertStore::empty();
    if trusted {
        roots.add(certificate()).expect("a root");
    }
    let mut config = ClientConfig::builder_with_provider(default_provider().into())
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = protocols.iter().map(|protocol| protocol.as_bytes().to_vec()).collect();
    config
}

async fn server() -> (Server, SocketAddr) {
    server_with(&[]).await
}

fn key() -> PrivateKeyDer<'static> {
    PrivateKeyDer::from_pem_slice(include_bytes!("../tls_pem/key.pem")).expect("a key")
}

fn server_config(protocols: &[&str]) -> ServerConfig {
    let mut config = ServerConfig::builder_with_provider(default_provider().into())
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_no_client_auth()
        .with_single_cert(vec![certificate()], key())
        .expect("a key that fits");
    config.alpn_protocols = protocols.iter().map(|protocol| protocol.as_bytes().to_vec()).collect();
    config
}

async fn server_with(protocols: &[&str]) -> (Server, SocketAddr) {
    serve(server_config(protocols)).await
}

async fn serve(config: ServerConfig) -> (Server, SocketAddr) {
    let io = crate::server().build().expect("a server");
    io.root()
        .on("secure", async |handshake: Handshake| handshake.is_secure())
        .on("echo", async |args: Args| args);
    let listener = Listener::bind("127.0.0.1:0").await.expect("a port");
    let addr = listener.mount(&io).tls(Arc::new(config)).spawn().expect("an address").local_addr();
    (io, addr)
}

#[tokio::test]
async fn each_transport_works_over_tls() {
    let (_io, addr) = server().await;
    for scheme in ["https", "wss"] {
        for transports in TRANSPORTS {
            let client = crate::client(&format!("{scheme}://localhost:{}", addr.port()))
                .transports(transports.iter().copied())
                .tls(client_config(true))
                .build()
                .unwrap();
            soon(client.connect()).await.unwrap();
            assert!(soon(client.call::<_, bool>("secure", &())).await.unwrap());
            // More than a record of TLS, both ways.
            let long = "x".repeat(300_000);
            let echoed: String = soon(client.call("echo", &long)).await.unwrap();
            assert_eq!(echoed, long);
            client.close();
            soon(client.closed()).await;
        }
    }
}

#[tokio::test]
async fn http_2_is_not_asked_for_even_if_the_configuration_has_it() {
    let (_io, addr) = server_with(&["http/1.1"]).await;
    let client = crate::client(&format!("https://localhost:{}", addr.port()))
        .tls(Arc::new(client_config_with(true, &["h2"])))
        .build()
        .unwrap();
    soon(client.connect()).await.unwrap();
}

#[tokio::test]
async fn a_server_that_nobody_vouches_for_is_not_connected_to() {
    let (_io, addr) = server().await;
    for (host, trusted) in [("localhost", false), ("127.0.0.1", true)] {
        let client = crate::client(&format!("https://{host}:{}", addr.port()))
            .tls(client_config(trusted))
            .build()
            .unwrap();
        let error = soon(client.connect()).await.unwrap_err();
        assert!(matches!(error, ConnectError::Session { .. }), "{error:?}");
        assert!(error.to_string().contains("certificate"), "{error}");
    }
}

#[tokio::test]
async fn a_server_without_tls_is_no_server_with_it() {
    let io = crate::server().build().expect("a server");
    let addr = crate::suite::support::serve(&io).await;
    let client = crate::client(&format!("https://localhost:{}", addr.port()))
        .tls(client_config(true))
        .build()
        .unwrap();
    let error = soon(client.connect()).await.unwrap_err();
    assert!(matches!(error, ConnectError::Session { .. }), "{error:?}");
}

#[tokio::test]
async fn a_certificate_of_version_1_is_named_as_the_reason() {
    let old =
        CertificateDer::from_pem_slice(include_bytes!("../tls_pem/version-1.pem")).expect("a certificate");
    let key = default_provider().key_provider.load_private_key(key()).expect("a key");
    let config = ServerConfig::builder_with_provider(default_provider().into())
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_no_client_auth()
        .with_cert_resolver(Arc::new(SingleCertAndKey::from(CertifiedKey::new(vec![old], key))));
    let (_io, addr) = serve(config).await;
    let client = crate::client(&format!("https://localhost:{}", addr.port()))
        .tls(client_config(true))
        .build()
        .unwrap();
    let error = soon(client.connect()).await.unwrap_err();
    assert!(error.to_string().contains("X.509 version 1"), "{error}");
}

/// A proxy that is reached over TLS, and tunnels by CONNECT.
async fn secure_proxy() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    let acceptor = TlsAcceptor::from(Arc::new(server_config(&[])));
    tokio::spawn(async move {
        loop {
            let (near, _) = listener.accept().await.unwrap();
            let acceptor = acceptor.clone();
            tokio::spawn(async move {
                let mut near = BufReader::new(acceptor.accept(near).await.unwrap());
                let mut head = String::new();
                while !head.ends_with("\r\n\r\n") {
                    near.read_line(&mut head).await.unwrap();
                }
                let target = head.strip_prefix("CONNECT ").expect("a tunnel").split(' ').next().unwrap();
                let port = target.rsplit_once(':').unwrap().1;
                let mut far = TcpStream::connect(format!("127.0.0.1:{port}")).await.unwrap();
                near.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await.unwrap();
                let _ = tokio::io::copy_bidirectional(&mut near, &mut far).await;
            });
        }
    });
    addr
}

#[tokio::test]
async fn a_proxy_may_be_reached_over_tls() {
    let (_io, addr) = server().await;
    let proxy = secure_proxy().await;
    for transports in TRANSPORTS {
        // TLS to the server goes through that to the proxy.
        let client = crate::client(&format!("https://localhost:{}", addr.port()))
            .transports(transports.iter().copied())
            .proxy(&format!("https://localhost:{}", proxy.port()), None)
            .tls(client_config(true))
            .build()
            .unwrap();
        soon(client.connect()).await.unwrap();
        assert!(soon(client.call::<_, bool>("secure", &())).await.unwrap());
    }
}
