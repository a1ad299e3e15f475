//! The opening handshake over HTTP/1.1 (RFC 6455, section 4).

use super::deflate::offer::is_token;
use http::header::{CONNECTION, SEC_WEBSOCKET_KEY, SEC_WEBSOCKET_PROTOCOL, SEC_WEBSOCKET_VERSION, UPGRADE};
use http::{HeaderMap, HeaderName, Method, StatusCode};
use thiserror::Error;
use tungstenite::handshake::derive_accept_key;

/// The most bytes of offered subprotocols that are looked at; longer offers are ignored.
const MAX_OFFER: usize = 1 << 10;
/// The most subprotocols of an offer.
const MAX_OFFERED: usize = 32;

/// The reason why a request is not a WebSocket handshake. Answer it with [`status`](Self::status).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum HandshakeError {
    /// The method is not GET.
    #[error("a WebSocket handshake must be a GET request")]
    Method,
    /// `Connection` does not list `upgrade`, often because a proxy was not told to pass it on.
    #[error("the Connection header does not ask for an upgrade: is a proxy in between set up for WebSocket?")]
    Connection,
    /// `Upgrade` does not list `websocket`.
    #[error("the Upgrade header does not ask for websocket")]
    Upgrade,
    /// `Sec-WebSocket-Version` is not 13.
    #[error("the only WebSocket version spoken here is 13")]
    Version,
    /// `Sec-WebSocket-Key` is missing, repeated, or not 16 bytes in Base64.
    #[error("the Sec-WebSocket-Key header must be present once, with 16 bytes in Base64")]
    Key,
}

impl HandshakeError {
    /// The status to refuse with. 426 wants the header `Sec-WebSocket-Version: 13` beside it (4.4), 405 the
    /// header `Allow: GET`.
    pub fn status(self) -> StatusCode {
        match self {
            Self::Method => StatusCode::METHOD_NOT_ALLOWED,
            Self::Version => StatusCode::UPGRADE_REQUIRED,
            Self::Connection | Self::Upgrade | Self::Key => StatusCode::BAD_REQUEST,
        }
    }
}

/// Checks a request to upgrade (4.2.1) and returns the value of `Sec-WebSocket-Accept` for the answer 101.
///
/// Extensions that the client offers are not looked at here. For subprotocols see
/// [`offered_subprotocols`].
///
/// # Errors
/// The first part that is missing or wrong, in the order of [`HandshakeError`].
pub fn accept_upgrade(method: &Method, headers: &HeaderMap) -> Result<String, HandshakeError> {
    if method != Method::GET {
        return Err(HandshakeError::Method);
    }
    if !lists(headers, CONNECTION, "upgrade") {
        return Err(HandshakeError::Connection);
    }
    if !lists(headers, UPGRADE, "websocket") {
        return Err(HandshakeError::Upgrade);
    }
    if only(headers, SEC_WEBSOCKET_VERSION) != Some("13") {
        return Err(HandshakeError::Version);
    }
    match only(headers, SEC_WEBSOCKET_KEY) {
        Some(key) if is_key(key) => Ok(accept_key(key)),
        _ => Err(HandshakeError::Key),
    }
}

/// The subprotocols that a client offers in `Sec-WebSocket-Protocol`, in its order of preference (4.1). Nothing, as if none
/// were offered, if the list is malformed, longer than 1 KiB, or has more than 32 entries.
///
/// ```
/// use http::{HeaderMap, HeaderValue, header::SEC_WEBSOCKET_PROTOCOL};
///
/// let offer = HeaderValue::from_static("chat.v2, chat.v1");
/// let headers = HeaderMap::from_iter([(SEC_WEBSOCKET_PROTOCOL, offer)]);
/// assert_eq!(sansocket_runtime::websocket::offered_subprotocols(&headers), ["chat.v2", "chat.v1"]);
/// ```
pub fn offered_subprotocols(headers: &HeaderMap) -> Vec<&str> {
    let mut offered = Vec::new();
    let mut bytes = 0;
    for value in headers.get_all(SEC_WEBSOCKET_PROTOCOL) {
        bytes += value.len();
        let Some(value) = value.to_str().ok().filter(|_| bytes <= MAX_OFFER) else { return Vec::new() };
        for name in value.split(',').map(str::trim) {
            if !is_token(name) || offered.len() == MAX_OFFERED {
                return Vec::new();
            }
            offered.push(name);
        }
    }
    offered
}

/// The `Sec-WebSocket-Accept` that belongs to a `Sec-WebSocket-Key`. A client compares, a server answers.
///
/// ```
/// // The example of RFC 6455, section 1.3.
/// let accept = sansocket_runtime::websocket::accept_key("dGhlIHNhbXBsZSBub25jZQ==");
/// assert_eq!(accept, "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
/// ```
pub fn accept_key(key: &str) -> String {
    derive_accept_key(key.as_bytes())
}

/// Returns whether one of the header's comma-separated values is `token`, in any case.
fn lists(headers: &HeaderMap, name: HeaderName, token: &str) -> bool {
    let mut values = headers.get_all(name).iter().filter_map(|value| value.to_str().ok());
    values.any(|value| value.split(',').any(|part| part.trim().eq_ignore_ascii_case(token)))
}

fn only(headers: &HeaderMap, name: HeaderName) -> Option<&str> {
    let mut values = headers.get_all(name).iter();
    match (values.next(), values.next()) {
        (Some(value), None) => value.to_str().ok().map(str::trim),
        _ => None,
    }
}

/// 16 bytes are 22 digits and two signs of padding. The spare bits of the last digit need not be zero, because nobody
/// decodes the key.
fn is_key(key: &str) -> bool {
    let Some(digits) = key.strip_suffix("==") else { return false };
    digits.len() == 22 && digits.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'+' || b == b'/')
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;

    fn request() -> HeaderMap {
        let mut headers = HeaderMap::new();
        headers.insert(CONNECTION, HeaderValue::from_static("keep-alive, Upgrade"));
        headers.insert(UPGRADE, HeaderValue::from_static("WebSocket"));
        headers.insert(SEC_WEBSOCKET_VERSION, HeaderValue::from_static("13"));
        headers.insert(SEC_WEBSOCKET_KEY, HeaderValue::from_static("dGhlIHNhbXBsZSBub25jZQ=="));
        headers
    }

    fn with(name: HeaderName, value: &'static str) -> Result<String, HandshakeError> {
        let mut headers = request();
        headers.insert(name, HeaderValue::from_static(value));
        accept_upgrade(&Method::GET, &headers)
    }

    #[test]
    fn a_valid_request_is_accepted() {
        assert_eq!(accept_upgrade(&Method::GET, &request()).unwrap(), "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
    }

    #[test]
    fn connection_tokens_may_be_spread_over_several_headers() {
        let mut headers = request();
        headers.insert(CONNECTION, HeaderValue::from_static("keep-alive"));
        headers.append(CONNECTION, HeaderValue::from_static("UPGRADE"));
        assert!(accept_upgrade(&Method::GET, &headers).is_ok());
    }

    #[test]
    fn each_missing_or_wrong_part_is_named() {
        assert_eq!(accept_upgrade(&Method::POST, &request()), Err(HandshakeError::Method));
        assert_eq!(with(CONNECTION, "keep-alive"), Err(HandshakeError::Connection));
        assert_eq!(with(CONNECTION, "upgraded"), Err(HandshakeError::Connection));
        assert_eq!(with(UPGRADE, "h2c"), Err(HandshakeError::Upgrade));
        assert_eq!(with(SEC_WEBSOCKET_VERSION, "8"), Err(HandshakeError::Version));
        for name in [CONNECTION, UPGRADE, SEC_WEBSOCKET_VERSION, SEC_WEBSOCKET_KEY] {
            let mut headers = request();
            headers.remove(&name);
            assert!(accept_upgrade(&Method::GET, &headers).is_err(), "{name}");
        }
    }

    #[test]
    fn a_key_must_be_sixteen_bytes_of_base64_and_stand_alone() {
        for key in
            ["", "==", "dGhlIHNhbXBsZSBub25jZQ", "dGhlIHNhbXBsZSBub25jZQ=a", "dGhl!HNhbXBsZSBub25jZQ=="]
        {
            assert_eq!(with(SEC_WEBSOCKET_KEY, key), Err(HandshakeError::Key), "{key}");
        }
        let mut headers = request();
        headers.append(SEC_WEBSOCKET_KEY, HeaderValue::from_static("dGhlIHNhbXBsZSBub25jZQ=="));
        assert_eq!(accept_upgrade(&Method::GET, &headers), Err(HandshakeError::Key));
    }

    #[test]
    fn offered_subprotocols_are_tokens_in_a_short_list() {
        let offered = |values: &[&str]| {
            let mut headers = request();
            for value in values {
                headers.append(SEC_WEBSOCKET_PROTOCOL, HeaderValue::from_str(value).unwrap());
            }
            offered_subprotocols(&headers).join("|")
        };
        assert_eq!(offered(&[]), "");
        assert_eq!(offered(&["a"]), "a");
        assert_eq!(offered(&["a,\tb", "c.1"]), "a|b|c.1");
        for wrong in ["", "a b", "a,,b", "a,", "a\"b", "a\u{e9}", &"a,".repeat(40), &"a".repeat(1025)] {
            assert_eq!(offered(&["x", wrong]), "", "{wrong}");
        }
    }

    #[test]
    fn each_refusal_has_its_status() {
        assert_eq!(HandshakeError::Method.status(), 405);
        assert_eq!(HandshakeError::Version.status(), 426);
        assert_eq!(HandshakeError::Key.status(), 400);
    }
}
