//! Between the `http` crate's types and the core's plain ones.

use crate::http::handshake::ConnInfo;
use bytes::Bytes;
use http::header::{HeaderMap, HeaderName, HeaderValue};
use http::{Request, StatusCode};
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
        let lines = self.headers.get_all(name).iter().filter_map(|value| value.to_str().ok());
        join_lines(lines).or_else(|| match name {
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

/// A response of the core in the `http` crate's type. Headers that are not valid are left out: only
/// the application's own settings could bring one here.
pub(crate) fn response(response: Response) -> http::Response<ResponseBody> {
    let mut converted = http::Response::new(Full::new(response.body));
    *converted.status_mut() =
        StatusCode::from_u16(response.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    for (name, value) in response.headers {
        let name = match name {
            Cow::Borrowed(name) => HeaderName::from_static(name),
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
