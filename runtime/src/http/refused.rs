//! Requests that were refused before they reached a session, as the application sees them.

use crate::http::handshake::ConnInfo;
use http::header::COOKIE;
use http::{HeaderMap, HeaderValue, Method, Request, Uri};
use sansocket_protocol::engine::{EngineServerConfig, HttpRefusal, RefusalCode, pairs};
use std::fmt;
use std::net::SocketAddr;
#[cfg(feature = "cluster")]
use std::sync::Arc;

/// A request that was refused with one of Engine.IO's codes: the value of the reference's `connection_error` event.
///
/// The session id that a client named, and the cookie that may hold it, are left out: they are secrets.
#[derive(Clone)]
pub struct RefusedRequest {
    refusal: HttpRefusal,
    status: u16,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    peer: Option<SocketAddr>,
    #[cfg(feature = "cluster")]
    other_node: Option<Arc<str>>,
}

impl RefusedRequest {
    pub(crate) fn new(
        request: &Request<()>,
        connection: ConnInfo,
        config: &EngineServerConfig,
        status: u16,
        refusal: &HttpRefusal,
    ) -> Self {
        let mut headers = request.headers().clone();
        if let Some(cookie) = &config.cookie {
            leave_cookie_out(&mut headers, &cookie.name);
        }
        Self {
            refusal: refusal.clone(),
            status,
            method: request.method().clone(),
            uri: without_session(request.uri()),
            headers,
            peer: connection.peer.or_else(|| request.extensions().get::<SocketAddr>().copied()),
            #[cfg(feature = "cluster")]
            other_node: None,
        }
    }

    #[cfg(feature = "cluster")]
    pub(crate) fn with_other_node(mut self, node: Option<Arc<str>>) -> Self {
        self.other_node = node;
        self
    }

    /// The name of the other node of the cluster whose session the request is for: the load balancer should have sent it
    /// there. `None` for all other requests, and where nodes do not know each other by name: only those of the default
    /// dialect do. They are counted, too: `misrouted` of [`Server::cluster_counts`](crate::Server::cluster_counts).
    #[cfg(feature = "cluster")]
    pub fn other_node(&self) -> Option<&str> {
        self.other_node.as_deref()
    }

    /// The reference's code: as a number it is `code as u8`. A refusal by the limits is `Forbidden`.
    pub fn code(&self) -> RefusalCode {
        self.refusal.code
    }

    /// The message that the client got: the reference's, or the application's.
    pub fn message(&self) -> &str {
        &self.refusal.message
    }

    /// The HTTP status of the answer.
    pub fn status(&self) -> u16 {
        self.status
    }

    /// The method.
    pub fn method(&self) -> &Method {
        &self.method
    }

    /// The target, without the session id.
    pub fn uri(&self) -> &Uri {
        &self.uri
    }

    /// The headers, without the cookie of this server.
    pub fn headers(&self) -> &HeaderMap {
        &self.headers
    }

    /// The address at the other end of the connection: see [`Handshake::peer_addr`](crate::Handshake::peer_addr).
    pub fn peer_addr(&self) -> Option<SocketAddr> {
        self.peer
    }
}

impl fmt::Debug for RefusedRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Headers and query may hold other secrets.
        f.debug_struct("RefusedRequest")
            .field("code", &self.code())
            .field("message", &self.message())
            .field("method", &self.method)
            .field("path", &self.uri.path())
            .field("peer", &self.peer)
            .finish()
    }
}

fn without_session(uri: &Uri) -> Uri {
    let Some(query) = uri.query() else { return uri.clone() };
    let is_session = |part: &&str| pairs(part).any(|(key, _)| key == "sid");
    let kept: Vec<&str> = query.split('&').filter(|part| !is_session(part)).collect();
    let target = format!("{}?{}", uri.path(), kept.join("&"));
    // A target stays one without a part of its query.
    target.parse().unwrap_or_default()
}

fn leave_cookie_out(headers: &mut HeaderMap, name: &str) {
    let is_it = |pair: &&str| pair.split('=').next().unwrap_or_default().trim() == name;
    let mut kept = Vec::new();
    for value in headers.get_all(COOKIE) {
        // A line that is not text may hold the cookie, too.
        let Ok(pairs) = value.to_str() else { continue };
        let pairs: Vec<&str> = pairs.split(';').filter(|pair| !is_it(pair)).map(str::trim).collect();
        if !pairs.is_empty() {
            kept.extend(HeaderValue::from_str(&pairs.join("; ")));
        }
    }
    headers.remove(COOKIE);
    for value in kept {
        headers.append(COOKIE, value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use sansocket_protocol::engine::Cookie;
    use sansocket_protocol::engine::Response;

    #[test]
    fn neither_the_query_nor_the_cookie_of_a_refused_request_shows_the_session() {
        let request = Request::get("/socket.io/?EIO=4&%73id=secret&transport=polling&sid=secret&x=%20")
            .header("cookie", "a=1; io=secret; b=2")
            .header("cookie", "io=secret")
            .header("cookie", "iou=3")
            .body(())
            .expect("a request");
        let config = EngineServerConfig::default().cookie(Some(Cookie::new("io")));
        let refusal = Response::refusal(RefusalCode::UnknownSession);
        let refused = RefusedRequest::new(
            &request,
            ConnInfo::default(),
            &config,
            refusal.status,
            refusal.refused().expect("it is one"),
        );
        assert_eq!(refused.uri(), "/socket.io/?EIO=4&transport=polling&x=%20");
        let cookies: Vec<_> = refused.headers().get_all(COOKIE).iter().collect();
        assert_eq!(cookies, ["a=1; b=2", "iou=3"]);
        assert_eq!(
            (refused.code() as u8, refused.message(), refused.status()),
            (1, "Session ID unknown", 400)
        );
        assert!(!format!("{refused:?}{:?}{:?}", refused.uri(), refused.headers()).contains("secret"));
    }

    #[test]
    fn a_target_without_a_query_stays_as_it_is() {
        assert_eq!(without_session(&"/socket.io/".parse().expect("a target")), "/socket.io/");
    }
}
