//! Between the `http` crate's types and the core's plain ones.

use crate::http::handshake::ConnInfo;
use bytes::Bytes;
use http::header::{HeaderMap, HeaderName, HeaderValue};
use http::{Request, StatusCode, header};
use http_body_util::Full;
use sansocket_protocol::engine::{Headers, RequestHead, Response, join_lines};
use std::borrow::Cow;

/// The body of a response.
pub type ResponseBody = Full<Bytes>;

/// Request headers, as the core reads them.
pub(crate) struct HeaderView<'a> {
    headers: &'a HeaderMap,
    /// The host in the target: HTTP/2 has it there, and not in `host`.
    authority: Option<&'a str>,
    /// Whether the connection is encrypted.
    secure: bool,
}

impl<'a> HeaderView<'a> {
    /// The headers of a request that came over that connection.
    pub(crate) fn new<B>(request: &'a Request<B>, connection: ConnInfo) -> Self {
        let authority = request.uri().authority().map(|authority| authority.as_str());
        Self { headers: request.headers(), authority, secure: connection.secure }
    }
}

impl<'a> HeaderView<'a> {
    /// Headers alone.
    pub(crate) fn of(headers: &'a HeaderMap) -> Self {
        Self { headers, authority: None, secure: false }
    }
}

impl Headers for HeaderView<'_> {
    fn header(&self, name: &str) -> Option<Cow<'_, str>> {
        let lines = match common(name) {
            Some(name) => self.headers.get_all(name),
            None => self.headers.get_all(name),
        };
        join_lines(lines.iter().filter_map(|value| value.to_str().ok())).or_else(|| match name {
            "host" => self.authority.map(Cow::Borrowed),
            // What a proxy would say that had ended the TLS.
            "x-forwarded-proto" if self.secure => Some(Cow::Borrowed("https")),
            _ => None,
        })
    }
}

/// The target of a request in origin form; servers behind `CONNECT` or a proxy may see the absolute one.
pub(crate) fn target<B>(request: &Request<B>) -> &str {
    request.uri().path_and_query().map_or("/", |target| target.as_str())
}

/// The head of a request, as the core reads it.
pub(crate) fn head<'a, B>(
    request: &'a Request<B>,
    target: &'a str,
    headers: &'a HeaderView<'a>,
) -> RequestHead<'a> {
    RequestHead { method: request.method().as_str(), target, headers }
}

/// The name of a header that every request is asked for, or that most responses have. To look a name up by its text takes
/// a look at each of its letters.
fn common(name: &str) -> Option<HeaderName> {
    Some(match name {
        "upgrade" => header::UPGRADE,
        "connection" => header::CONNECTION,
        "origin" => header::ORIGIN,
        "user-agent" => header::USER_AGENT,
        "content-type" => header::CONTENT_TYPE,
        "content-length" => header::CONTENT_LENGTH,
        "cache-control" => header::CACHE_CONTROL,
        "sec-websocket-accept" => header::SEC_WEBSOCKET_ACCEPT,
        _ => return None,
    })
}

/// The most headers that the map of a request has room for if that of its response is to be the same: hyper keeps it from
/// one request of a connection to the next.
const MAX_KEPT: usize = 12;

/// The map of a request that is answered, for the headers of its response.
pub(crate) fn emptied(mut headers: HeaderMap) -> HeaderMap {
    if headers.capacity() > MAX_KEPT {
        return HeaderMap::new();
    }
    headers.clear();
    headers
}

/// A response of the core in the `http` crate's type. Headers that are not valid are left out: only
/// the application's own settings could bring one here.
pub(crate) fn response(response: Response, headers: HeaderMap) -> http::Response<ResponseBody> {
    let mut converted = http::Response::new(Full::new(response.body));
    *converted.headers_mut() = headers;
    *converted.status_mut() =
        StatusCode::from_u16(response.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    for (name, value) in response.headers {
        let name = match name {
            Cow::Borrowed(name) => common(name).unwrap_or_else(|| HeaderName::from_static(name)),
            Cow::Owned(name) => match HeaderName::try_from(name) {
                Ok(name) => name,
                Err(_) => continue,
            },
        };
        let value = match value {
            Cow::Borrowed(value) => HeaderValue::from_static(value),
            Cow::Owned(value) => match HeaderValue::try_from(value) {
                Ok(value) => value,
                Err(_) => continue,
            },
        };
        converted.headers_mut().append(name, value);
    }
    converted
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_is_found_whether_requests_are_asked_for_it_or_not() {
        let request = Request::get("http://example:1/x")
            .header("Connection", "keep-alive")
            .header("connection", "Upgrade")
            .header("upgrade", "websocket")
            .header("user-agent", HeaderValue::from_bytes(b"\xff").unwrap())
            .header("cookie", "a=1")
            .header("Cookie", "b=2")
            .body(())
            .unwrap();
        let view = HeaderView::new(&request, ConnInfo { peer: None, secure: true });
        for (name, value) in [
            ("connection", Some("keep-alive, Upgrade")),
            ("upgrade", Some("websocket")),
            ("user-agent", None),
            ("origin", None),
            ("cookie", Some("a=1, b=2")),
            ("host", Some("example:1")),
            ("x-forwarded-proto", Some("https")),
            ("x-other", None),
        ] {
            assert_eq!(view.header(name).as_deref(), value, "{name}");
        }
    }

    #[test]
    fn the_map_of_a_large_head_is_not_kept() {
        let mut headers = HeaderMap::with_capacity(4);
        headers.insert(header::HOST, HeaderValue::from_static("example"));
        let kept = emptied(headers);
        assert!(kept.is_empty() && kept.capacity() > 0);
        assert_eq!(emptied(HeaderMap::with_capacity(100)).capacity(), 0);
    }
}
