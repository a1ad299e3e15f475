//! HTTP as data: the head of a request and the response to it, without any HTTP library.

use super::revision::Revision;
use super::transport::TransportKind;
use alloc::borrow::Cow;
use alloc::boxed::Box;
use alloc::string::String;
use alloc::vec::Vec;
use bytes::Bytes;
use core::fmt;

/// A number by which the caller knows an HTTP request, and the WebSocket that it may become. Chosen by the
/// caller; never reused within one session.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RequestId(pub u64);

/// A look-up of request headers: implemented for slices of pairs, and by adapters for the map of their library.
pub trait Headers: Sync {
    /// The value under `name`, which is given in lower case: that of all its lines (see [`join_lines`]). `None` without
    /// a line that is text.
    fn header(&self, name: &str) -> Option<Cow<'_, str>>;
}

impl Headers for [(&str, &str)] {
    fn header(&self, name: &str) -> Option<Cow<'_, str>> {
        let lines = self.iter().filter(|(key, _)| key.eq_ignore_ascii_case(name));
        join_lines(lines.map(|(_, value)| *value))
    }
}

/// The value of a header that came in these lines: one list, whose parts are separated by commas (RFC 9110, section
/// 5.3). `None` if there is no line.
pub fn join_lines<'a>(mut lines: impl Iterator<Item = &'a str>) -> Option<Cow<'a, str>> {
    let mut whole = Cow::Borrowed(lines.next()?);
    for line in lines {
        let whole = whole.to_mut();
        whole.push_str(", ");
        whole.push_str(line);
    }
    Some(whole)
}

impl<T: Headers + ?Sized> Headers for &T {
    fn header(&self, name: &str) -> Option<Cow<'_, str>> {
        (**self).header(name)
    }
}

impl<const N: usize> Headers for [(&str, &str); N] {
    fn header(&self, name: &str) -> Option<Cow<'_, str>> {
        self.as_slice().header(name)
    }
}

/// The head of an HTTP request: all that Engine.IO decides upon.
#[derive(Clone, Copy)]
pub struct RequestHead<'a> {
    /// The method in capitals: `GET`.
    pub method: &'a str,
    /// Path and query as they stand in the request line: `/socket.io/?EIO=4&transport=polling`.
    pub target: &'a str,
    /// The headers.
    pub headers: &'a dyn Headers,
}

impl fmt::Debug for RequestHead<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The query may hold a session id, which is a secret.
        f.debug_struct("RequestHead").field("method", &self.method).field("path", &self.path()).finish()
    }
}

impl<'a> RequestHead<'a> {
    /// Parses what this protocol reads of it, for callers that need it more than once.
    pub fn parse(&self) -> ParsedHead<'a> {
        ParsedHead { head: *self, query: self.query(), is_websocket_upgrade: self.is_websocket_upgrade() }
    }

    /// The part of the target before `?`.
    pub fn path(&self) -> &'a str {
        path_and_query(self.target).0
    }

    /// The query that this protocol reads.
    pub fn query(&self) -> Query<'a> {
        Query::parse(path_and_query(self.target).1)
    }

    /// Returns whether the client asks for a WebSocket (`Connection: Upgrade`, `Upgrade: websocket`).
    pub fn is_websocket_upgrade(&self) -> bool {
        let has = |name, token: &str| {
            self.headers
                .header(name)
                .is_some_and(|value| value.split(',').any(|item| item.trim().eq_ignore_ascii_case(token)))
        };
        // Requests that ask for nothing have `connection`, too.
        has("upgrade", "websocket") && has("connection", "upgrade")
    }
}

/// The head of an HTTP request with its parsed query, so that a [`Router`](crate::server::Router) and a
/// [`Connection`](crate::server::Connection) need not parse it twice.
#[derive(Clone)]
pub struct ParsedHead<'a> {
    head: RequestHead<'a>,
    query: Query<'a>,
    is_websocket_upgrade: bool,
}

impl<'a> ParsedHead<'a> {
    /// The head.
    pub fn head(&self) -> &RequestHead<'a> {
        &self.head
    }

    /// The query: see [`RequestHead::query`].
    pub fn query(&self) -> &Query<'a> {
        &self.query
    }

    /// Returns whether the client asks for a WebSocket: see [`RequestHead::is_websocket_upgrade`].
    pub fn is_websocket_upgrade(&self) -> bool {
        self.is_websocket_upgrade
    }
}

impl fmt::Debug for ParsedHead<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The query may hold a session id, which is a secret.
        self.head.fmt(f)
    }
}

/// The query parameters of Engine.IO (protocol v4, "URL"). Of duplicate keys the last one counts; an empty `sid`
/// counts as a missing one.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Query<'a> {
    /// `EIO`: the protocol revision.
    pub revision: Option<Cow<'a, str>>,
    /// `transport`.
    pub transport: Option<Cow<'a, str>>,
    /// `sid`: the session.
    pub session: Option<Cow<'a, str>>,
    /// `j`: the number of the callback, in a handshake by JSONP.
    pub jsonp: Option<Cow<'a, str>>,
    /// `b64`: whether the client takes no binary messages.
    pub base64: bool,
}

impl<'a> Query<'a> {
    /// The revision that the client speaks.
    pub fn revision(&self) -> Revision {
        Revision::of(self.revision.as_deref())
    }

    /// The transport, if it is one that is known here.
    pub fn transport(&self) -> Option<TransportKind> {
        self.transport.as_deref().and_then(TransportKind::parse)
    }

    /// Reads the part after `?`.
    pub fn parse(query: &'a str) -> Self {
        let mut parsed = Self::default();
        for (key, value) in pairs(query) {
            match &*key {
                "EIO" => parsed.revision = Some(value),
                "transport" => parsed.transport = Some(value),
                "sid" => parsed.session = Some(value).filter(|value| !value.is_empty()),
                "j" => parsed.jsonp = Some(value),
                "b64" => parsed.base64 = !value.is_empty(),
                _ => {}
            }
        }
        parsed
    }
}

/// The pairs of a query string, percent-decoded, in order.
///
/// ```
/// use sansocket_protocol::engine::pairs;
///
/// let pairs: Vec<_> = pairs("a=1&b=x%20y+z&c").collect();
/// assert_eq!(pairs, [("a".into(), "1".into()), ("b".into(), "x y z".into()), ("c".into(), "".into())]);
/// ```
pub fn pairs(query: &str) -> impl Iterator<Item = (Cow<'_, str>, Cow<'_, str>)> {
    Pairs { rest: query }
}

/// The pairs of a query string. They are found in one pass, and most of them have nothing to decode.
struct Pairs<'a> {
    rest: &'a str,
}

impl<'a> Iterator for Pairs<'a> {
    type Item = (Cow<'a, str>, Cow<'a, str>);

    fn next(&mut self) -> Option<Self::Item> {
        while !self.rest.is_empty() {
            let (mut equals, mut is_coded, mut end) = (None, false, self.rest.len());
            for (at, byte) in self.rest.bytes().enumerate() {
                match byte {
                    b'&' => {
                        end = at;
                        break;
                    }
                    b'=' if equals.is_none() => equals = Some(at),
                    b'%' | b'+' => is_coded = true,
                    _ => {}
                }
            }
            let (pair, rest) = around(self.rest, end);
            self.rest = rest;
            if is_coded {
                return form_urlencoded::parse(pair.as_bytes()).next();
            }
            if end > 0 {
                let (name, value) = around(pair, equals.unwrap_or(end));
                return Some((name.into(), value.into()));
            }
        }
        None
    }
}

/// The parts of a text before and behind the ASCII character at `at`.
fn around(text: &str, at: usize) -> (&str, &str) {
    (text.get(..at).unwrap_or(text), text.get(at.saturating_add(1)..).unwrap_or_default())
}

/// The parts of a request's target before and behind `?`.
fn path_and_query(target: &str) -> (&str, &str) {
    let at = target.bytes().position(|byte| byte == b'?');
    around(target, at.unwrap_or(target.len()))
}

/// The reason why a request was refused before it reached a session (protocol v4; the reference's numbers and words).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum RefusalCode {
    /// 0: no such transport, or it is not enabled.
    UnknownTransport = 0,
    /// 1: no such session.
    UnknownSession = 1,
    /// 2: a session is opened with GET only.
    BadHandshakeMethod = 2,
    /// 3: anything else that does not fit the session.
    BadRequest = 3,
    /// 4: the application said no.
    Forbidden = 4,
    /// 5: `EIO` names a revision that is not served.
    UnsupportedRevision = 5,
}

impl RefusalCode {
    /// The reference's words.
    pub const fn message(self) -> &'static str {
        match self {
            Self::UnknownTransport => "Transport unknown",
            Self::UnknownSession => "Session ID unknown",
            Self::BadHandshakeMethod => "Bad handshake method",
            Self::BadRequest => "Bad request",
            Self::Forbidden => "Forbidden",
            Self::UnsupportedRevision => "Unsupported protocol version",
        }
    }

    const fn status(self) -> u16 {
        if matches!(self, Self::Forbidden) { 403 } else { 400 }
    }
}

/// A refusal of a request, as the reference counts it: for an account of refusals.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct HttpRefusal {
    /// The reference's number.
    pub code: RefusalCode,
    /// The words that the client gets.
    pub message: Cow<'static, str>,
}

/// An HTTP response as plain data.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Response {
    /// The status code.
    pub status: u16,
    /// Names in lower case, with their values.
    pub headers: Vec<(Cow<'static, str>, Cow<'static, str>)>,
    /// The body. The adapter adds `content-length`.
    pub body: Bytes,
    /// In a box, because hardly any response is a refusal.
    refusal: Option<Box<HttpRefusal>>,
    may_compress: bool,
}

impl Response {
    /// An empty response.
    pub fn new(status: u16) -> Self {
        Self { status, headers: Vec::new(), body: Bytes::new(), refusal: None, may_compress: false }
    }

    /// Adds a header.
    #[must_use]
    pub fn header(mut self, name: impl Into<Cow<'static, str>>, value: impl Into<Cow<'static, str>>) -> Self {
        self.headers.push((name.into(), value.into()));
        self
    }

    /// Sets the body.
    #[must_use]
    pub fn body(mut self, body: impl Into<Bytes>) -> Self {
        self.body = body.into();
        self
    }

    /// The value of the first header of that name.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(key, _)| key == name).map(|(_, value)| &**value)
    }

    /// The refusal of a plain request: `{"code":1,"message":"Session ID unknown"}`.
    pub fn refusal(code: RefusalCode) -> Self {
        Self::refusal_with(code, code.message())
    }

    /// A refusal in the application's own words.
    pub fn refusal_with(code: RefusalCode, message: impl Into<Cow<'static, str>>) -> Self {
        let message = message.into();
        let json = serde_json::to_string(&message).unwrap_or_default();
        Self::new(code.status())
            .header("content-type", "application/json")
            .body(alloc::format!("{{\"code\":{},\"message\":{json}}}", code as u8))
            .refuses(code, message)
    }

    /// The refusal of a WebSocket handshake: the message alone, status 400 whatever the code, and the connection
    /// ends with it.
    pub fn upgrade_refusal(code: RefusalCode) -> Self {
        Self::upgrade_refusal_with(code, code.message())
    }

    /// The same in the application's own words.
    pub fn upgrade_refusal_with(code: RefusalCode, message: impl Into<Cow<'static, str>>) -> Self {
        let message = message.into();
        Self::new(400)
            .header("connection", "close")
            .header("content-type", "text/html")
            .body(String::from(&*message))
            .refuses(code, message)
    }

    fn refuses(mut self, code: RefusalCode, message: Cow<'static, str>) -> Self {
        self.refusal = Some(Box::new(HttpRefusal { code, message }));
        self
    }

    /// The refusal, if this is one of those that have a [`RefusalCode`].
    pub fn refused(&self) -> Option<&HttpRefusal> {
        self.refusal.as_deref()
    }

    /// Returns whether the adapter may compress the body: that of a poll whose packets were not all sent with
    /// [`Frame::compress`](crate::message::Frame::compress)`(false)`.
    pub fn may_compress(&self) -> bool {
        self.may_compress
    }

    pub(crate) fn compress(mut self, compress: bool) -> Self {
        self.may_compress = compress;
        self
    }

    /// The answer to a poll.
    pub(crate) fn poll(body: Bytes) -> Self {
        Self::poll_as("text/plain; charset=UTF-8", body)
    }

    /// The answer to a poll in the binary form of revision 3.
    pub(crate) fn binary_poll(body: Bytes) -> Self {
        Self::poll_as("application/octet-stream", body)
    }

    fn poll_as(content_type: &'static str, body: Bytes) -> Self {
        let mut headers = Vec::with_capacity(3);
        headers.push((Cow::Borrowed("content-type"), Cow::Borrowed(content_type)));
        headers.push((Cow::Borrowed("cache-control"), Cow::Borrowed("no-store")));
        Self { status: 200, headers, body, refusal: None, may_compress: false }
    }

    /// The answer to a POST whose packets were taken.
    pub(crate) fn posted() -> Self {
        let mut headers = Vec::with_capacity(3);
        // The reference answers text/html, so that no browser takes it for a download.
        headers.push((Cow::Borrowed("content-type"), Cow::Borrowed("text/html")));
        headers.push((Cow::Borrowed("cache-control"), Cow::Borrowed("no-store")));
        Self { status: 200, headers, body: Bytes::from_static(b"ok"), refusal: None, may_compress: false }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_in_several_lines_is_one_list() {
        let headers = [("Connection", "keep-alive"), ("Upgrade", "websocket"), ("connection", "Upgrade")];
        assert_eq!(headers.header("connection").as_deref(), Some("keep-alive, Upgrade"));
        assert_eq!(headers.header("upgrade").as_deref(), Some("websocket"));
        assert_eq!(headers.header("origin"), None);
        let head = RequestHead { method: "GET", target: "/socket.io/", headers: &headers };
        assert!(head.is_websocket_upgrade());
    }

    #[test]
    fn the_last_of_duplicate_keys_counts() {
        let query = Query::parse("EIO=3&EIO=4&transport=polling");
        assert_eq!(query.revision.as_deref(), Some("4"));
    }

    #[test]
    fn an_empty_session_id_is_none() {
        assert_eq!(Query::parse("sid=&EIO=4").session, None);
        assert_eq!(Query::parse("sid=abc").session.as_deref(), Some("abc"));
    }

    #[test]
    fn broken_percent_escapes_stay_as_they_are() {
        for (written, read) in [("%", "%"), ("%4", "%4"), ("%zz%41", "%zzA"), ("%ff", "\u{fffd}")] {
            assert_eq!(pairs(written).map(|(key, _)| key).collect::<Vec<_>>(), [read]);
        }
    }

    #[test]
    fn a_refusal_carries_the_number_and_the_words() {
        let response = Response::refusal(RefusalCode::UnknownSession);
        assert_eq!(response.status, 400);
        assert_eq!(response.body, r#"{"code":1,"message":"Session ID unknown"}"#);
        assert_eq!(Response::refusal(RefusalCode::Forbidden).status, 403);
    }

    #[test]
    fn a_refusal_tells_its_code_and_words_whatever_its_form() {
        let told = |response: &Response| {
            response.refused().map(|refusal| (refusal.code as u8, refusal.message.clone().into_owned()))
        };
        let plain = Response::refusal(RefusalCode::BadRequest);
        assert_eq!(told(&plain), Some((3, "Bad request".into())));
        let upgrade = Response::upgrade_refusal_with(RefusalCode::Forbidden, "not today");
        assert_eq!((told(&upgrade), upgrade.status), (Some((4, "not today".into())), 400));
        assert_eq!(told(&Response::new(413)), None);
    }

    #[test]
    fn an_upgrade_needs_both_headers() {
        let head = |headers| RequestHead { method: "GET", target: "/", headers };
        assert!(
            head(&[("Connection", "keep-alive, Upgrade"), ("upgrade", "WebSocket")]).is_websocket_upgrade()
        );
        assert!(!head(&[("connection", "upgrade")]).is_websocket_upgrade());
        assert!(!head(&[("connection", "close"), ("upgrade", "websocket")]).is_websocket_upgrade());
    }

    #[test]
    fn a_head_in_a_log_shows_no_session_id() {
        let head = RequestHead { method: "GET", target: "/engine.io/?sid=secret", headers: &[("a", "b")] };
        assert_eq!(alloc::format!("{head:?}"), r#"RequestHead { method: "GET", path: "/engine.io/" }"#);
    }

    #[test]
    fn a_header_of_a_response_is_found_by_its_name() {
        let response = Response::new(200).header("a", "1").header("b", "2").header("b", "3");
        assert_eq!((response.get("a"), response.get("b"), response.get("c")), (Some("1"), Some("2"), None));
    }
}
