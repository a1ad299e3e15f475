//! The TLS of a listener.

use crate::base::alpn::{leave_http2_out, offers_http2};
use rustls::ServerConfig;
use std::sync::Arc;

/// The configuration of a listener, for an adapter's `Listener::tls`: the application's own, but for HTTP/2. A browser
/// that is offered HTTP/2 takes it, and WebSockets upgrade from HTTP/1.1.
pub fn listener_tls(config: Arc<ServerConfig>) -> Arc<ServerConfig> {
    if !offers_http2(&config.alpn_protocols) {
        return config;
    }
    let mut config = Arc::unwrap_or_clone(config);
    leave_http2_out(&mut config.alpn_protocols);
    Arc::new(config)
}
