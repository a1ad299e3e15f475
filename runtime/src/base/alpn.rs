//! The ALPN protocols of TLS configurations.

/// Returns whether a configuration offers HTTP/2, which clients do not speak, and listeners not without the feature `http2`:
/// WebSockets upgrade from HTTP/1.1.
pub(crate) fn offers_http2(protocols: &[Vec<u8>]) -> bool {
    protocols.iter().any(|protocol| protocol == b"h2")
}

/// Offers HTTP/1.1 instead of HTTP/2. Other protocols stay.
pub(crate) fn leave_http2_out(protocols: &mut Vec<Vec<u8>>) {
    protocols.retain(|protocol| protocol != b"h2" && protocol != b"http/1.1");
    protocols.push(b"http/1.1".to_vec());
}
