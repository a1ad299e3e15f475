//! The cookie that names a session to load balancers.

use alloc::string::{String, ToString};
use core::fmt::Write as _;
use core::time::Duration;
use thiserror::Error;

/// The cookie that the first response of a polling session sets to the session id. The server never reads it: it is for
/// load balancers.
///
/// ```
/// use core::time::Duration;
/// use sansocket_protocol::engine::{Cookie, SameSite};
///
/// let cookie = Cookie::new("io");
/// assert_eq!(cookie.set("SID"), "io=SID; Path=/; HttpOnly; SameSite=Lax");
///
/// // For pages of other sites:
/// let cookie = Cookie::new("io").max_age(Duration::from_secs(86_400)).secure(true).same_site(SameSite::None);
/// assert_eq!(cookie.set("SID"), "io=SID; Max-Age=86400; Path=/; HttpOnly; Secure; SameSite=None");
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Cookie {
    /// Its name; the reference's default is `io`.
    pub name: String,
    /// The paths to which browsers send it. Default `/`. `None`: the folder of the request.
    pub path: Option<String>,
    /// The domain to whose hosts browsers send it. Default: the host that has set it, alone.
    pub domain: Option<String>,
    /// The time for which browsers keep the cookie, in whole seconds. Default: until they are closed.
    pub max_age: Option<Duration>,
    /// Whether it is hidden from scripts. Default yes.
    pub http_only: bool,
    /// Whether browsers send it over TLS alone. Default no.
    pub secure: bool,
    /// The sites from whose pages browsers send it. Default [`SameSite::Lax`]. `None`: whatever the browser does.
    pub same_site: Option<SameSite>,
    /// Whether it is kept apart for each site that embeds the page (CHIPS). Default no.
    pub partitioned: bool,
    /// Other attributes, as they follow all these: `Priority=High`. Default none.
    pub other: Option<String>,
}

/// The sites from whose pages a browser sends a cookie.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum SameSite {
    /// The cookie's own site alone.
    Strict,
    /// The cookie's own site, and others for links that the user follows.
    Lax,
    /// All. Browsers demand [`Cookie::secure`] with it.
    None,
}

/// Why a cookie cannot be set.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum CookieError {
    /// The name is empty, or has characters that would end it.
    #[error("`{0}` cannot be a cookie's name: letters, digits, - and _ are safe")]
    Name(String),
    /// An attribute has characters that a header cannot hold, or that would end it.
    #[error("the cookie's attribute `{0}` has characters that it cannot hold")]
    Attribute(String),
    /// Browsers ignore a cookie with `SameSite=None` or `Partitioned` unless it is `Secure`.
    #[error("browsers ignore a cookie with `SameSite=None` or `Partitioned` unless it is `secure`")]
    NotSecure,
}

impl Cookie {
    /// A cookie of that name with `Path=/; HttpOnly; SameSite=Lax`.
    pub fn new(name: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            path: Some("/".to_string()),
            domain: None,
            max_age: None,
            http_only: true,
            secure: false,
            same_site: Some(SameSite::Lax),
            partitioned: false,
            other: None,
        }
    }

    /// Sets [`Cookie::path`].
    #[must_use]
    pub fn path(mut self, path: impl Into<String>) -> Self {
        self.path = Some(path.into());
        self
    }

    /// Sets [`Cookie::domain`].
    #[must_use]
    pub fn domain(mut self, domain: impl Into<String>) -> Self {
        self.domain = Some(domain.into());
        self
    }

    /// Sets [`Cookie::max_age`].
    #[must_use]
    pub fn max_age(mut self, age: Duration) -> Self {
        self.max_age = Some(age);
        self
    }

    /// Sets [`Cookie::http_only`].
    #[must_use]
    pub fn http_only(mut self, hidden: bool) -> Self {
        self.http_only = hidden;
        self
    }

    /// Sets [`Cookie::secure`].
    #[must_use]
    pub fn secure(mut self, secure: bool) -> Self {
        self.secure = secure;
        self
    }

    /// Sets [`Cookie::same_site`].
    #[must_use]
    pub fn same_site(mut self, sites: SameSite) -> Self {
        self.same_site = Some(sites);
        self
    }

    /// Sets [`Cookie::partitioned`].
    #[must_use]
    pub fn partitioned(mut self, partitioned: bool) -> Self {
        self.partitioned = partitioned;
        self
    }

    /// Sets [`Cookie::other`].
    #[must_use]
    pub fn other(mut self, attributes: impl Into<String>) -> Self {
        self.other = Some(attributes.into());
        self
    }

    /// Refuses a cookie that cannot be set.
    ///
    /// # Errors
    /// [`CookieError`].
    pub fn check(&self) -> Result<(), CookieError> {
        // RFC 6265, 4.1.1: anything else could end the value, and add attributes or headers.
        let is_token = |byte: u8| byte.is_ascii_graphic() && !b"()<>@,;:\\\"/[]?={}".contains(&byte);
        if self.name.is_empty() || !self.name.bytes().all(is_token) {
            return Err(CookieError::Name(self.name.clone()));
        }
        let is_text = |byte: u8| byte == b' ' || byte.is_ascii_graphic();
        let is_value = |byte: u8| is_text(byte) && byte != b';';
        for value in [&self.path, &self.domain].into_iter().flatten() {
            if !value.bytes().all(is_value) {
                return Err(CookieError::Attribute(value.clone()));
            }
        }
        match &self.other {
            Some(other) if !other.bytes().all(is_text) => Err(CookieError::Attribute(other.clone())),
            _ if !self.secure && (self.partitioned || self.same_site == Some(SameSite::None)) => {
                Err(CookieError::NotSecure)
            }
            _ => Ok(()),
        }
    }

    /// The value of `Set-Cookie` that sets it to a session id.
    pub fn set(&self, id: &str) -> String {
        let mut value = alloc::format!("{}={id}", self.name);
        if let Some(age) = self.max_age {
            let _ = write!(value, "; Max-Age={}", age.as_secs());
        }
        for (name, set) in [("; Domain=", &self.domain), ("; Path=", &self.path)] {
            if let Some(set) = set {
                value.push_str(name);
                value.push_str(set);
            }
        }
        let same_site = match self.same_site {
            None => "",
            Some(SameSite::Strict) => "; SameSite=Strict",
            Some(SameSite::Lax) => "; SameSite=Lax",
            Some(SameSite::None) => "; SameSite=None",
        };
        for (is_set, flag) in [
            (self.http_only, "; HttpOnly"),
            (self.secure, "; Secure"),
            (self.partitioned, "; Partitioned"),
            (true, same_site),
        ] {
            if is_set {
                value.push_str(flag);
            }
        }
        if let Some(other) = &self.other {
            value.push_str("; ");
            value.push_str(other);
        }
        value
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cookie_reads_as_the_reference_writes_it() {
        assert_eq!(Cookie::new("io").set("abc"), "io=abc; Path=/; HttpOnly; SameSite=Lax");
        let all = Cookie::new("io")
            .max_age(Duration::from_millis(60_999))
            .domain("example.com")
            .path("/chat")
            .secure(true)
            .partitioned(true)
            .same_site(SameSite::Strict)
            .other("Priority=High");
        assert_eq!(
            all.set("abc"),
            "io=abc; Max-Age=60; Domain=example.com; Path=/chat; HttpOnly; Secure; Partitioned; SameSite=Strict; \
             Priority=High"
        );
        let mut bare = Cookie::new("io").http_only(false);
        (bare.path, bare.same_site) = (None, None);
        assert_eq!(bare.set("abc"), "io=abc");
    }

    #[test]
    fn a_cookie_that_browsers_would_ignore_is_refused() {
        let cookie = || Cookie::new("io");
        assert_eq!(cookie().same_site(SameSite::None).check(), Err(CookieError::NotSecure));
        assert_eq!(cookie().partitioned(true).check(), Err(CookieError::NotSecure));
        assert_eq!(cookie().partitioned(true).secure(true).check(), Ok(()));
        for bad in ["a;b", "a\r\nb", "\u{e9}"] {
            let refused = Err(CookieError::Attribute(bad.to_string()));
            assert_eq!(cookie().domain(bad).check(), refused);
            assert_eq!(cookie().path(bad).check(), refused);
        }
        assert!(cookie().other("a=b\r\nset-cookie: c=d").check().is_err());
    }
}
