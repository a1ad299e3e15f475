//! The TLS of a listener.

#[cfg(not(feature = "http2"))]
use crate::base::alpn::{leave_http2_out, offers_http2};
use rustls::ServerConfig;
use std::sync::Arc;

/// The configuration of a listener, for an adapter's `Listener::tls`: the application's own, but for HTTP/2. A browser that is
/// offered HTTP/2 takes it, and without the feature `http2` it is not spoken here.
#[cfg(not(feature = "http2"))]
pub fn listener_tls(config: Arc<ServerConfig>) -> Arc<ServerConfig> {
    if !offers_http2(&config.alpn_protocols) {
        return config;
    }
    let mut config = Arc::unwrap_or_clone(config);
    leave_http2_out(&mut config.alpn_protocols);
    Arc::new(config)
}

/// The configuration of a listener, for an adapter's `Listener::tls`: the application's own. If it names no protocols, HTTP/2
/// and HTTP/1.1 are offered.
#[cfg(feature = "http2")]
pub fn listener_tls(config: Arc<ServerConfig>) -> Arc<ServerConfig> {
    if !config.alpn_protocols.is_empty() {
        return config;
    }
    let mut config = Arc::unwrap_or_clone(config);
    config.alpn_protocols = ["h2", "http/1.1"].map(|protocol| protocol.as_bytes().to_vec()).into();
    Arc::new(config)
}
