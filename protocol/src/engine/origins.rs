//! The origins whose pages may talk to a server: who is served, and the CORS headers that tell browsers so.

mod pattern;

use self::pattern::Origin;
use super::request::{RequestHead, Response};
use alloc::borrow::Cow;
use alloc::string::{String, ToString};
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt;
use core::time::Duration;
use thiserror::Error;

/// The methods that the reference names to browsers.
const METHODS: &str = "GET,HEAD,PUT,PATCH,POST,DELETE";

type Decide = dyn Fn(&str, &RequestHead<'_>) -> bool + Send + Sync;

/// The origins whose pages may talk to a server, by long-polling and by WebSocket.
///
/// One setting decides for everything: requests of other origins are refused (403, a WebSocket handshake with 400, a
/// preflight request with 403), and browsers are told by the headers of cross-origin resource sharing (CORS) which
/// pages may read the answers. The server's own pages are always let in, unless
/// [`without_own_host`](Self::without_own_host) says otherwise. Requests without an `Origin` header pass: they do not
/// come from a page of another origin.
///
/// | pages of | setting |
/// |---|---|
/// | this server alone | [`Origins::same_host`] |
/// | some others, too | [`Origins::list`], with patterns such as `https://*.example.com` |
/// | others that the application knows | [`Origins::by`] |
/// | everybody | [`Origins::any`] |
///
/// ```
/// use sansocket_protocol::engine::{EngineServerConfig, Origins};
///
/// let origins = Origins::list(["https://example.com", "https://*.preview.example.com"]).credentials(true);
/// let config = EngineServerConfig::default().origins(Some(origins));
/// ```
///
/// Without this setting a server does what the reference does by default: it serves every request, whatever its origin,
/// and sends no CORS headers. A page of another origin then cannot read the answers to its polls, but browsers let it open
/// WebSockets, with the cookies of their user: where a cookie is what identifies a user, set this.
#[derive(Clone)]
pub struct Origins {
    any: bool,
    own_host: bool,
    patterns: Vec<String>,
    decide: Option<Arc<Decide>>,
    credentials: bool,
    max_age: Option<Duration>,
    methods: Vec<String>,
    allowed_headers: Option<Vec<String>>,
    exposed_headers: Vec<String>,
}

impl Origins {
    /// Every origin: `Access-Control-Allow-Origin: *`.
    pub const fn any() -> Self {
        let mut origins = Self::same_host();
        origins.any = true;
        origins
    }

    /// The server's own host alone: its name in `Host`, or the one that a proxy has put into `X-Forwarded-Host`, with
    /// the same port, and with the scheme of `X-Forwarded-Proto` if that is there.
    pub const fn same_host() -> Self {
        Self {
            any: false,
            own_host: true,
            patterns: Vec::new(),
            decide: None,
            credentials: false,
            max_age: None,
            methods: Vec::new(),
            allowed_headers: None,
            exposed_headers: Vec::new(),
        }
    }

    /// These origins, and the server's own host. See [`and`](Self::and) for their form.
    pub fn list<S: Into<String>>(origins: impl IntoIterator<Item = S>) -> Self {
        Self::same_host().and(origins)
    }

    /// The origins for which the function says yes, and the server's own host. The function gets the origin as the
    /// browser has sent it, and the head of the request. It must not block.
    ///
    /// ```
    /// use sansocket_protocol::engine::Origins;
    ///
    /// // Each tenant has a page of its own, which names it.
    /// let origins = Origins::by(|origin, request| {
    ///     request.headers.header("host").is_some_and(|host| {
    ///         host.strip_suffix(".api.example").is_some_and(|tenant| *origin == *format!("https://{tenant}.example"))
    ///     })
    /// });
    /// ```
    pub fn by(decide: impl Fn(&str, &RequestHead<'_>) -> bool + Send + Sync + 'static) -> Self {
        Self::same_host().and_by(decide)
    }

    /// These origins, too: scheme, host, and the port unless it is the scheme's own, as browsers send them:
    /// `https://example.com`, `http://localhost:8080`.
    ///
    /// `*` in a host stands for one or more characters, dots included, as a port for any port or none, as a scheme for
    /// any scheme: `https://*.example.com` means all hosts below `example.com`, and not `example.com` itself. Put a dot
    /// behind it: `https://*example.com` means `https://badexample.com`, too. The word `null` means pages without an
    /// origin, such as files, and `*` alone every origin.
    #[must_use]
    pub fn and<S: Into<String>>(mut self, origins: impl IntoIterator<Item = S>) -> Self {
        for origin in origins {
            let origin = origin.into();
            match &*origin {
                "*" => self.any = true,
                _ => self.patterns.push(origin),
            }
        }
        self
    }

    /// The origins for which the function says yes, too: see [`by`](Self::by). It takes the place of an earlier function.
    #[must_use]
    pub fn and_by(mut self, decide: impl Fn(&str, &RequestHead<'_>) -> bool + Send + Sync + 'static) -> Self {
        self.decide = Some(Arc::new(decide));
        self
    }

    /// Lets the server's own pages in only if they are listed, too. This protects a server on a private address, such as
    /// one for a developer's own machine, against pages whose host name was pointed to that address (DNS rebinding): the
    /// browser takes the server for their own.
    #[must_use]
    pub const fn without_own_host(mut self) -> Self {
        self.own_host = false;
        self
    }

    /// Lets pages send cookies along with their polls (`withCredentials`). Together with [`any`](Self::any) every page
    /// on the Web may then act, and read, with the cookies of its visitor.
    #[must_use]
    pub const fn credentials(mut self, allow: bool) -> Self {
        self.credentials = allow;
        self
    }

    /// Sets how long a browser may remember the answer to a preflight request, in whole seconds. By default nothing is
    /// said about it, and browsers take 5 s.
    #[must_use]
    pub const fn max_age(mut self, age: Duration) -> Self {
        self.max_age = Some(age);
        self
    }

    /// Sets the methods that preflight requests are told. Default: those of the reference.
    #[must_use]
    pub fn methods<S: Into<String>>(mut self, methods: impl IntoIterator<Item = S>) -> Self {
        self.methods = methods.into_iter().map(Into::into).collect();
        self
    }

    /// Sets the headers that a page may send. Default: all that it asks for.
    #[must_use]
    pub fn allowed_headers<S: Into<String>>(mut self, names: impl IntoIterator<Item = S>) -> Self {
        self.allowed_headers = Some(names.into_iter().map(Into::into).collect());
        self
    }

    /// Sets the headers of answers that a page may read. Default: those that browsers show anyway.
    #[must_use]
    pub fn exposed_headers<S: Into<String>>(mut self, names: impl IntoIterator<Item = S>) -> Self {
        self.exposed_headers = names.into_iter().map(Into::into).collect();
        self
    }

    /// Refuses settings that cannot work.
    ///
    /// # Errors
    /// [`OriginError`] for the first of them.
    pub fn check(&self) -> Result<(), OriginError> {
        for origin in &self.patterns {
            if origin != "null" && !Origin::parse(origin).is_some_and(|origin| origin.is_pattern()) {
                return Err(OriginError::Form { origin: origin.clone() });
            }
        }
        let headers = self.allowed_headers.iter().flatten().chain(&self.exposed_headers);
        // RFC 9110, 5.6.2: anything else could end the list, or the header.
        let is_token = |name: &&String| {
            let is_letter = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
            !name.is_empty() && name.bytes().all(is_letter)
        };
        match headers.chain(&self.methods).find(|name| !is_token(name)) {
            Some(name) => Err(OriginError::Name { name: name.clone() }),
            None => Ok(()),
        }
    }

    /// Returns whether requests of every origin are served, and so those that do not name theirs.
    pub(crate) const fn are_all(&self) -> bool {
        self.any
    }

    /// Returns whether requests of that origin are served.
    pub fn allow(&self, origin: &str, head: &RequestHead<'_>) -> bool {
        let listed = || {
            let parsed = Origin::parse(origin);
            self.patterns.iter().any(|pattern| match (Origin::parse(pattern), &parsed) {
                (Some(pattern), Some(origin)) => pattern.matches(origin),
                (None, None) => pattern == "null" && origin == "null",
                _ => false,
            }) || parsed.is_some_and(|origin| self.own_host && origin.is_own(head))
        };
        self.any || listed() || self.decide.as_ref().is_some_and(|decide| decide(origin, head))
    }

    /// Adds the headers that belong on every answer.
    pub(crate) fn apply(&self, decision: &OriginDecision<'_>, response: &mut Response) {
        let mut add = |name: &'static str, value: Cow<'static, str>| {
            response.headers.push((Cow::Borrowed(name), value));
        };
        // As in the reference: an answer to a request that names no origin tells everything but an origin.
        let allowed = !decision.is_refused() || (self.any && !self.credentials);
        if self.any && !self.credentials {
            add("access-control-allow-origin", Cow::Borrowed("*"));
        } else {
            // A browser refuses `*` together with credentials, so the origin is reflected.
            if let OriginDecision::Allowed(origin) = decision {
                add("access-control-allow-origin", Cow::Owned(origin.to_string()));
            }
            add("vary", Cow::Borrowed("Origin"));
        }
        if allowed && self.credentials {
            add("access-control-allow-credentials", Cow::Borrowed("true"));
        }
        if allowed && !self.exposed_headers.is_empty() {
            add("access-control-expose-headers", Cow::Owned(self.exposed_headers.join(",")));
        }
    }

    /// The answer to a preflight request of an origin that is served.
    pub(crate) fn preflight(&self, head: &RequestHead<'_>) -> Response {
        let methods = match &*self.methods {
            [] => Cow::Borrowed(METHODS),
            methods => Cow::Owned(methods.join(",")),
        };
        let mut response = Response::new(204).header("access-control-allow-methods", methods);
        if let Some(age) = self.max_age {
            response = response.header("access-control-max-age", age.as_secs().to_string());
        }
        match (&self.allowed_headers, head.headers.header("access-control-request-headers")) {
            (Some(names), _) if names.is_empty() => response,
            (Some(names), _) => response.header("access-control-allow-headers", names.join(",")),
            (None, Some(asked)) => response
                .header("access-control-allow-headers", asked.to_string())
                .header("vary", "Access-Control-Request-Headers"),
            (None, None) => response,
        }
    }
}

impl fmt::Debug for Origins {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Origins")
            .field("any", &self.any)
            .field("own_host", &self.own_host)
            .field("patterns", &self.patterns)
            .field("credentials", &self.credentials)
            .finish_non_exhaustive()
    }
}

/// Why origins, or the headers that go with them, cannot be a setting.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum OriginError {
    /// It is no origin as browsers send them.
    #[error(
        "`{origin}` is no origin: write scheme, host and perhaps a port as browsers send them, such as \
         `https://example.com` or `http://localhost:8080`, without a path, in ASCII; `*` may stand for a port or for \
         a part of the host, as in `https://*.example.com`"
    )]
    Form {
        /// The origin as it was given.
        origin: String,
    },
    /// It is not the name of a header, or of a method.
    #[error("`{name}` is no name of a header or of a method")]
    Name {
        /// The name as it was given.
        name: String,
    },
}

/// The decision about the origin of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OriginDecision<'a> {
    /// There is nothing to decide: the request names no origin, or the server has no setting for origins.
    Unjudged,
    /// Requests of that origin are served.
    Allowed(Cow<'a, str>),
    /// Requests of that origin are refused.
    Refused(Cow<'a, str>),
}

impl OriginDecision<'_> {
    /// Returns whether the request is refused.
    pub const fn is_refused(&self) -> bool {
        matches!(self, Self::Refused(_))
    }
}

#[cfg(test)]
mod tests {
    use super::super::request::Headers;
    use super::*;
    use alloc::vec;

    const HOST: [(&str, &str); 1] = [("host", "app.example:8080")];

    fn allows(origins: &Origins, origin: &str, headers: &dyn Headers) -> bool {
        origins.allow(origin, &RequestHead { method: "GET", target: "/", headers })
    }

    #[test]
    fn a_pattern_matches_whole_origins_only() {
        let origins = Origins::list([
            "https://a.example",
            "https://*.example.com",
            "http://localhost:*",
            "*://any.example",
            "*://port.example:443",
            "http://[::1]:3000",
            "HTTPS://Upper.Example:443",
            "capacitor://localhost",
            "file://",
        ]);
        assert_eq!(origins.check(), Ok(()));
        for (origin, allowed) in [
            ("https://a.example", true),
            ("https://A.EXAMPLE", true),
            ("https://a.example:443", true),
            ("http://a.example", false),
            ("https://a.example:8443", false),
            ("https://a.example.evil.example", false),
            ("https://evil.example#https://a.example", false),
            ("https://a.example/", false),
            ("https://a.example@evil.example", false),
            ("https://b.example.com", true),
            ("https://c.b.example.com", true),
            ("https://.example.com", false),
            ("https://example.com", false),
            ("https://evilexample.com", false),
            ("https://b.example.com.evil.example", false),
            ("https://b.example.com:8443", false),
            ("https://evil.example:80/.example.com", false),
            ("http://localhost", true),
            ("http://localhost:5173", true),
            ("http://localhost.evil.example:80", false),
            ("ionic://any.example", true),
            ("https://port.example", true),
            ("http://port.example:443", true),
            ("http://port.example", false),
            ("https://port.example:80", false),
            ("http://[::1]:3000", true),
            ("http://[::1]:3001", false),
            ("https://upper.example", true),
            ("capacitor://localhost", true),
            ("file://", true),
            ("null", false),
            ("", false),
        ] {
            assert_eq!(allows(&origins, origin, &[]), allowed, "{origin}");
        }
        assert!(allows(&Origins::list(["null"]), "null", &[]));
        assert!(allows(&Origins::list(["*"]), "https://any.example", &[]));
    }

    #[test]
    fn the_own_host_is_never_locked_out_by_a_list() {
        for origins in [Origins::same_host(), Origins::list(["https://b.example"]), Origins::by(|_, _| false)]
        {
            for (origin, allowed) in [
                ("http://app.example:8080", true),
                // TLS may be ended by a proxy that says nothing about it.
                ("https://APP.example:8080", true),
                ("http://app.example", false),
                ("http://app.example:8081", false),
                ("http://sub.app.example:8080", false),
                ("https://evil.example", false),
                ("null", false),
            ] {
                assert_eq!(allows(&origins, origin, &HOST), allowed, "{origin}");
                assert!(!allows(&origins.clone().without_own_host(), origin, &HOST), "{origin}");
            }
        }
    }

    #[test]
    fn a_proxy_tells_the_own_host_and_its_scheme() {
        let headers = [
            ("host", "10.0.0.7:3000"),
            ("x-forwarded-host", "app.example, inner.example"),
            ("x-forwarded-proto", "https,http"),
        ];
        for (origin, allowed) in [
            ("https://app.example", true),
            ("http://app.example", false),
            ("https://inner.example", false),
            ("https://10.0.0.7:3000", true),
        ] {
            assert_eq!(allows(&Origins::same_host(), origin, &headers), allowed, "{origin}");
        }
        // A default port may stand in `Host`, but not in an origin.
        assert!(allows(&Origins::same_host(), "https://app.example", &[("host", "app.example:443")]));
        assert!(!allows(&Origins::same_host(), "http://app.example", &[("host", "app.example:443")]));
        assert!(!allows(&Origins::same_host(), "https://app.example", &[]));
    }

    #[test]
    fn a_function_sees_origin_and_request() {
        let origins = Origins::by(|origin, request| {
            request.headers.header("x-tenant").is_some_and(|tenant| origin.ends_with(&*tenant))
        });
        assert!(allows(&origins, "https://a.example", &[("x-tenant", "a.example")]));
        assert!(!allows(&origins, "https://b.example", &[("x-tenant", "a.example")]));
        let either = origins.and(["https://b.example"]);
        assert!(allows(&either, "https://b.example", &[]));
    }

    #[test]
    fn what_is_no_origin_is_refused_with_words() {
        for origin in [
            "example.com",
            "https://example.com/",
            "https://",
            "https://a b",
            "https://b\u{fc}cher.example",
            "https://a.example:http",
            "https://a.example:",
            "https://user@a.example",
            "",
            "://a.example",
        ] {
            let refused = Origins::list([origin]).check();
            assert_eq!(refused, Err(OriginError::Form { origin: origin.to_string() }));
        }
        for name in ["", "x y", "x,y", "x\r\ny"] {
            let refused = Err(OriginError::Name { name: name.to_string() });
            assert_eq!(Origins::any().exposed_headers([name]).check(), refused);
            assert_eq!(Origins::any().allowed_headers(["x-a", name]).check(), refused);
            assert_eq!(Origins::any().methods([name]).check(), refused);
        }
    }

    fn answered(origins: Origins, method: &str, origin: Option<&str>) -> Vec<(String, String)> {
        let mut headers = vec![("access-control-request-headers", "x-a, x-b"), HOST[0]];
        headers.extend(origin.map(|origin| ("origin", origin)));
        let headers = headers.as_slice();
        let head = RequestHead { method, target: "/", headers: &headers };
        let decision = match origin {
            None => OriginDecision::Unjudged,
            Some(origin) if origins.allow(origin, &head) => OriginDecision::Allowed(origin.into()),
            Some(origin) => OriginDecision::Refused(origin.into()),
        };
        let mut response = if method == "OPTIONS" { origins.preflight(&head) } else { Response::new(200) };
        origins.apply(&decision, &mut response);
        let plain = |(name, value): (Cow<'_, str>, Cow<'_, str>)| {
            (name.strip_prefix("access-control-").unwrap_or(&name).to_string(), value.into_owned())
        };
        response.headers.into_iter().map(plain).collect()
    }

    fn pairs(list: &[(&str, &str)]) -> Vec<(String, String)> {
        list.iter().map(|(name, value)| (name.to_string(), value.to_string())).collect()
    }

    #[test]
    fn any_origin_is_a_star_unless_credentials_are_allowed() {
        let a = Some("https://a.example");
        assert_eq!(answered(Origins::any(), "GET", a), pairs(&[("allow-origin", "*")]));
        assert_eq!(answered(Origins::any(), "GET", None), pairs(&[("allow-origin", "*")]));
        let reflected =
            [("allow-origin", "https://a.example"), ("vary", "Origin"), ("allow-credentials", "true")];
        assert_eq!(answered(Origins::any().credentials(true), "GET", a), pairs(&reflected));
        let without = [("vary", "Origin"), ("allow-credentials", "true")];
        assert_eq!(answered(Origins::any().credentials(true), "GET", None), pairs(&without));
    }

    #[test]
    fn a_listed_origin_is_reflected_and_another_is_not() {
        let origins = Origins::list(["https://a.example"]).exposed_headers(["x-one", "x-two"]);
        let told =
            [("allow-origin", "https://a.example"), ("vary", "Origin"), ("expose-headers", "x-one,x-two")];
        assert_eq!(answered(origins.clone(), "GET", Some("https://a.example")), pairs(&told));
        let evil = Some("https://evil.example");
        assert_eq!(answered(origins.clone(), "GET", evil), pairs(&[("vary", "Origin")]));
        let without = [("vary", "Origin"), ("allow-credentials", "true"), ("expose-headers", "x-one,x-two")];
        assert_eq!(answered(origins.credentials(true), "GET", None), pairs(&without));
    }

    #[test]
    fn a_preflight_is_told_all_settings() {
        let asked = [
            ("allow-methods", METHODS),
            ("allow-headers", "x-a, x-b"),
            ("vary", "Access-Control-Request-Headers"),
            ("allow-origin", "*"),
        ];
        assert_eq!(answered(Origins::any(), "OPTIONS", Some("https://a.example")), pairs(&asked));
        let origins = Origins::any()
            .methods(["GET", "POST"])
            .allowed_headers(["x-c"])
            .max_age(Duration::from_millis(600_999));
        let set = [
            ("allow-methods", "GET,POST"),
            ("max-age", "600"),
            ("allow-headers", "x-c"),
            ("allow-origin", "*"),
        ];
        assert_eq!(answered(origins, "OPTIONS", Some("https://a.example")), pairs(&set));
        let none: [&str; 0] = [];
        let nothing = answered(Origins::any().allowed_headers(none), "OPTIONS", None);
        assert_eq!(nothing, pairs(&[("allow-methods", METHODS), ("allow-origin", "*")]));
    }
}
