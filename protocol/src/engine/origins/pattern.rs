//! An origin in its parts, and the patterns that stand for several.

use crate::engine::request::RequestHead;

/// The parts of an origin, or of a pattern of origins.
pub(super) struct Origin<'a> {
    scheme: &'a str,
    host: &'a str,
    /// `None`: the scheme's own.
    port: Option<&'a str>,
}

impl<'a> Origin<'a> {
    pub(super) fn parse(text: &'a str) -> Option<Self> {
        let (scheme, authority) = text.split_once("://")?;
        let is_plain = |byte: u8| byte.is_ascii_graphic() && !b"/?#@\\\"<>".contains(&byte);
        if scheme.is_empty() || !authority.bytes().all(is_plain) {
            return None;
        }
        let (host, port) = split_port(authority)?;
        Some(Self { scheme, host, port: port.filter(|port| default_port(scheme) != Some(port)) })
    }

    /// Returns whether it may be a setting.
    pub(super) fn is_pattern(&self) -> bool {
        let is_letter = |byte: u8| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte);
        let scheme = self.scheme == "*" || self.scheme.bytes().all(is_letter);
        let port = self.port.is_none_or(|port| port == "*" || port.bytes().all(|byte| byte.is_ascii_digit()));
        // Pages of files have no host, and a setting that has lost its host is a mistake.
        scheme && port && (!self.host.is_empty() || self.scheme == "file")
    }

    pub(super) fn matches(&self, origin: &Self) -> bool {
        let scheme = self.scheme == "*" || self.scheme.eq_ignore_ascii_case(origin.scheme);
        // With any scheme, only the origin says whose own port it is.
        let wanted = self.port.filter(|port| default_port(origin.scheme) != Some(port));
        let port = self.port == Some("*") || wanted == origin.port;
        scheme && port && matches(self.host.as_bytes(), origin.host.as_bytes())
    }

    /// Returns whether it is the origin of the server's own pages.
    pub(super) fn is_own(&self, head: &RequestHead<'_>) -> bool {
        let header = |name| head.headers.header(name);
        // A proxy that ends TLS tells the scheme. Without such a word either may be right.
        let secure = match header("x-forwarded-proto").as_deref().map(first) {
            Some(proto) if proto.eq_ignore_ascii_case("https") || proto.eq_ignore_ascii_case("wss") => {
                Some(true)
            }
            Some(_) => Some(false),
            None => None,
        };
        let is_secure = self.scheme.eq_ignore_ascii_case("https") || self.scheme.eq_ignore_ascii_case("wss");
        if secure.is_some_and(|secure| secure != is_secure) {
            return false;
        }
        ["host", "x-forwarded-host"].into_iter().filter_map(header).any(|own| {
            split_port(first(&own)).is_some_and(|(host, port)| {
                let port = port.filter(|port| default_port(self.scheme) != Some(port));
                !host.is_empty() && host.eq_ignore_ascii_case(self.host) && port == self.port
            })
        })
    }
}

/// The first of the values of a header, which several proxies may have written.
fn first(list: &str) -> &str {
    list.split(',').next().unwrap_or_default().trim()
}

/// Host and port. A colon may stand in the host if that is in brackets.
fn split_port(authority: &str) -> Option<(&str, Option<&str>)> {
    let behind = authority.rsplit_once(']').map_or(authority, |(_, behind)| behind);
    match behind.split_once(':') {
        None => Some((authority, None)),
        Some((_, port)) if !port.is_empty() && !port.contains(':') => {
            Some((authority.strip_suffix(port)?.strip_suffix(':')?, Some(port)))
        }
        Some(_) => None,
    }
}

fn default_port(scheme: &str) -> Option<&'static str> {
    let is = |name| scheme.eq_ignore_ascii_case(name);
    match () {
        () if is("https") || is("wss") => Some("443"),
        () if is("http") || is("ws") => Some("80"),
        () => None,
    }
}

/// Returns whether a host matches a pattern in which `*` stands for one or more characters. Upper and lower case are
/// the same.
///
/// Only the last star is ever stretched, so the time is at most the product of the lengths.
fn matches(mut pattern: &[u8], mut host: &[u8]) -> bool {
    // What stands behind the last star, and what is left of the host behind the part that the star stands for.
    let mut star: Option<(&[u8], &[u8])> = None;
    while let Some((letter, rest)) = host.split_first() {
        match pattern.split_first() {
            Some((b'*', behind)) => {
                (pattern, host) = (behind, rest);
                star = Some((behind, rest));
            }
            Some((wanted, behind)) if wanted.eq_ignore_ascii_case(letter) => (pattern, host) = (behind, rest),
            _ => match star {
                Some((behind, [_, rest @ ..])) => {
                    (pattern, host) = (behind, rest);
                    star = Some((behind, rest));
                }
                _ => return false,
            },
        }
    }
    pattern.is_empty()
}

#[cfg(test)]
mod tests {
    use super::matches;

    #[test]
    fn stars_stretch_as_far_as_they_must() {
        for (pattern, host, matched) in [
            ("*", "a", true),
            ("*", "", false),
            ("a*c", "abbc", true),
            ("a*c", "ac", false),
            ("*.a.*.b", "x.a.a.y.b.b", true),
            ("*.a.*.b", "x.a..b", false),
            ("**", "ab", true),
            ("**", "a", false),
            ("*ab", "aab", true),
            ("*ab", "ab", false),
        ] {
            assert_eq!(matches(pattern.as_bytes(), host.as_bytes()), matched, "{pattern} {host}");
        }
    }
}
