//! The cookies of a server, which keeps its sessions sticky by them: they go with polls and WebSockets alike.

use http::header::{COOKIE, SET_COOKIE};
use http::{HeaderMap, HeaderValue};
use std::time::SystemTime;

/// The number of cookies that are kept: more than any load balancer sets.
const MAX_COOKIES: usize = 50;
/// The length of a cookie that is kept (RFC 6265, section 6.1).
const MAX_BYTES: usize = 4096;

/// The cookies of one server. They are sent back with every request: all requests of a client go to one host and
/// one path.
#[derive(Debug, Default)]
pub(crate) struct Cookies(Vec<(String, String)>);

impl Cookies {
    /// Takes the cookies that a response sets.
    pub(crate) fn take(&mut self, headers: &HeaderMap, secure: bool) {
        for value in headers.get_all(SET_COOKIE) {
            if let Ok(value) = value.to_str() {
                self.set(value, secure, SystemTime::now());
            }
        }
    }

    fn set(&mut self, cookie: &str, secure: bool, now: SystemTime) {
        let mut parts = cookie.split(';');
        let Some((name, value)) = parts.next().and_then(|pair| pair.split_once('=')) else { return };
        let (name, value) = (name.trim(), value.trim());
        if name.is_empty() || cookie.len() > MAX_BYTES {
            return;
        }
        let (mut over, mut by_age) = (false, false);
        for part in parts {
            let (key, value) = part.split_once('=').unwrap_or((part, ""));
            let (key, value) = (key.trim().to_ascii_lowercase(), value.trim());
            match &*key {
                "secure" if !secure => return,
                // The age counts before the date (RFC 6265, section 5.3).
                "max-age" => (over, by_age) = (value.parse::<i64>().is_ok_and(|age| age <= 0), true),
                "expires" if !by_age => {
                    over = httpdate::parse_http_date(value).is_ok_and(|date| date <= now);
                }
                _ => {}
            }
        }
        self.0.retain(|(known, _)| known != name);
        if !over && self.0.len() < MAX_COOKIES {
            self.0.push((name.to_owned(), value.to_owned()));
        }
    }

    /// Puts them on a request, beside those that are there.
    pub(crate) fn put(&self, headers: &mut HeaderMap) {
        for (name, value) in &self.0 {
            if let Ok(value) = HeaderValue::from_str(&format!("{name}={value}")) {
                headers.append(COOKIE, value);
            }
        }
    }
}

/// Makes one header of all cookies: there must not be more of them (RFC 6265, section 5.4).
pub(crate) fn join(headers: &mut HeaderMap) {
    let all: Vec<&[u8]> = headers.get_all(COOKIE).iter().map(HeaderValue::as_bytes).collect();
    if all.len() > 1 {
        // Legal values joined by `; ` are a legal value.
        if let Ok(value) = HeaderValue::from_bytes(&all.join(&b"; "[..])) {
            headers.insert(COOKIE, value);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sent(cookies: &Cookies, own: impl IntoIterator<Item = &'static str>) -> Option<String> {
        let mut headers = HeaderMap::new();
        for own in own {
            headers.append(COOKIE, HeaderValue::from_static(own));
        }
        cookies.put(&mut headers);
        join(&mut headers);
        assert!(headers.get_all(COOKIE).iter().count() <= 1);
        headers.get(COOKIE).map(|value| value.to_str().unwrap().to_owned())
    }

    fn set(cookies: &mut Cookies, text: &str) {
        cookies.set(text, false, SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(1_000_000_000));
    }

    #[test]
    fn what_is_set_is_sent_back_beside_the_applications_own() {
        let mut cookies = Cookies::default();
        assert_eq!(sent(&cookies, None), None);
        set(&mut cookies, "route=a1; Path=/; HttpOnly");
        set(&mut cookies, "lang=en");
        set(&mut cookies, "route=b2");
        assert_eq!(sent(&cookies, Some("mine=1")).unwrap(), "mine=1; lang=en; route=b2");
        assert_eq!(sent(&cookies, ["a=1", "b=2; c=3"]).unwrap(), "a=1; b=2; c=3; lang=en; route=b2");
        assert_eq!(sent(&Cookies::default(), ["a=1", "b=2"]).unwrap(), "a=1; b=2");
    }

    #[test]
    fn what_is_no_text_is_passed_on() {
        let mut headers = HeaderMap::new();
        headers.append(COOKIE, HeaderValue::from_bytes(b"a=\xfc").unwrap());
        headers.append(COOKIE, HeaderValue::from_static("b=2"));
        join(&mut headers);
        assert_eq!(headers[COOKIE].as_bytes(), b"a=\xfc; b=2");
    }

    #[test]
    fn what_is_over_is_forgotten() {
        let mut cookies = Cookies::default();
        for over in ["a=; Max-Age=0", "a=; Expires=Thu, 01 Jan 1970 00:00:00 GMT"] {
            set(&mut cookies, "a=1; Max-Age=60");
            set(&mut cookies, over);
            assert_eq!(sent(&cookies, None), None, "{over}");
        }
        set(&mut cookies, "a=1; Max-Age=60; Expires=Thu, 01 Jan 1970 00:00:00 GMT");
        assert_eq!(sent(&cookies, None).unwrap(), "a=1");
    }

    #[test]
    fn a_secure_cookie_does_not_come_over_an_open_line() {
        let mut cookies = Cookies::default();
        set(&mut cookies, "a=1; Secure");
        set(&mut cookies, "no cookie");
        set(&mut cookies, "=1");
        assert_eq!(sent(&cookies, None), None);
        cookies.set("a=1; Secure", true, SystemTime::now());
        assert_eq!(sent(&cookies, None).unwrap(), "a=1");
    }
}
