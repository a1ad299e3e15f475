//! Forward proxies: their addresses, and the choice of one by the environment.

use crate::client::net::dial::{Proxy, ProxyKind, Target};
use crate::client::net::server;
use crate::client::net::socks::Credentials;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::HeaderValue;
use std::net::IpAddr;
use thiserror::Error;

/// The reason why a proxy cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub(crate) enum ProxyError {
    #[error("the address is not that of a proxy")]
    Address,
    #[error("the authorization has characters that no header has")]
    Authorization,
}

/// The proxies of a client: which one a server is reached through.
#[derive(Clone, Debug, Default)]
pub(crate) struct Proxies {
    /// For `http` and `ws`.
    plain: Option<Proxy>,
    /// For `https` and `wss`.
    secure: Option<Proxy>,
    /// The hosts that are reached without one.
    direct: Vec<String>,
}

impl Proxies {
    /// One proxy for all servers.
    pub(crate) fn all(proxy: Proxy) -> Self {
        Self { plain: Some(proxy.clone()), secure: Some(proxy), direct: Vec::new() }
    }

    /// Those that the environment names, as other tools read it: `HTTP_PROXY` for `http`, `HTTPS_PROXY` for `https`,
    /// `ALL_PROXY` where that is missing, `NO_PROXY` with the hosts to reach directly; in small letters, too, which come
    /// first.
    ///
    /// # Errors
    /// [`ProxyError`] if the address of one cannot be used.
    pub(crate) fn of_environment(variable: impl Fn(&str) -> Option<String>) -> Result<Self, ProxyError> {
        let set = |value: &String| !value.trim().is_empty();
        let get = |name: &str| variable(&name.to_ascii_lowercase()).or_else(|| variable(name)).filter(set);
        // In a CGI program this one is a header of the request, `Proxy`, and not a setting.
        let is_cgi = variable("REQUEST_METHOD").is_some();
        let plain = if is_cgi { variable("http_proxy").filter(set) } else { get("HTTP_PROXY") };
        let all = get("ALL_PROXY");
        let parse = |address: Option<String>| address.map(|address| parse(&address, None)).transpose();
        let direct = get("NO_PROXY").unwrap_or_default();
        Ok(Self {
            plain: parse(plain.or_else(|| all.clone()))?,
            secure: parse(get("HTTPS_PROXY").or(all))?,
            direct: direct.split(',').map(|host| host.trim().to_ascii_lowercase()).collect(),
        })
    }

    /// Returns whether one of them is reached over TLS.
    pub(crate) fn need_tls(&self) -> bool {
        [&self.plain, &self.secure].into_iter().flatten().any(Proxy::is_secure)
    }

    /// The proxy for a server.
    pub(crate) fn of(&self, target: &Target) -> Option<&Proxy> {
        let proxy = if target.secure { &self.secure } else { &self.plain };
        proxy.as_ref().filter(|_| !self.direct.iter().any(|rule| is_direct(rule, target)))
    }
}

/// Returns whether an entry of `NO_PROXY` is for that server: `*`, an address, or a domain, which stands for the names
/// below it, too; with a port, for that port alone.
fn is_direct(rule: &str, target: &Target) -> bool {
    if rule == "*" {
        return true;
    }
    let host = target.host.to_ascii_lowercase();
    let bare = |text: &str| text.trim_matches(|char| matches!(char, '[' | ']')).parse::<IpAddr>().ok();
    let (rule, port) = match rule.rsplit_once(':') {
        Some((before, port)) if bare(rule).is_none() => (before, Some(port)),
        _ => (rule, None),
    };
    if port.is_some_and(|port| port.parse() != Ok(target.port)) {
        return false;
    }
    if let (Some(rule), Some(address)) = (bare(rule), bare(&host)) {
        return rule == address;
    }
    let domain = rule.trim_start_matches("*.").trim_start_matches('.');
    let below = host.strip_suffix(domain).is_some_and(|before| before.is_empty() || before.ends_with('.'));
    !domain.is_empty() && below
}

/// Reads the address of a proxy: `http://host:port`, `https://..` or `socks5://..`, and before the host `user:password@` where it wants that, unless
/// `authorization` is given.
pub(crate) fn parse(address: &str, authorization: Option<&str>) -> Result<Proxy, ProxyError> {
    let address = address.trim();
    // Often written without it in the environment.
    let (scheme, rest) = address.split_once("://").unwrap_or(("http", address));
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let (credentials, rest) = match rest[..end].rfind('@') {
        Some(at) => (Some(&rest[..at]), &rest[at + 1..end]),
        None => (None, &rest[..end]),
    };
    let (kind, default_port) = match &*scheme.to_ascii_lowercase() {
        "http" => (Scheme::Http, 80),
        "https" => (Scheme::Https, 443),
        "socks5" | "socks5h" => (Scheme::Socks, 1080),
        _ => return Err(ProxyError::Address),
    };
    let url = server::parse(&format!("http://{rest}")).map_err(|_| ProxyError::Address)?;
    let has_port = rest
        .rsplit_once(':')
        .is_some_and(|(_, port)| !port.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit()));
    let port = if has_port { url.port } else { default_port };
    let pair = credentials.map(|credentials| {
        let (user, password) = credentials.split_once(':').unwrap_or((credentials, ""));
        (decode(user), decode(password))
    });
    let kind = match kind {
        Scheme::Socks if authorization.is_some() => return Err(ProxyError::Authorization),
        Scheme::Socks => ProxyKind::Socks(match pair {
            Some((user, password)) => Some(Credentials::new(user, password).ok_or(ProxyError::Address)?),
            None => None,
        }),
        Scheme::Http | Scheme::Https => ProxyKind::Http {
            secure: matches!(kind, Scheme::Https),
            authorization: header(authorization, pair)?,
        },
    };
    Ok(Proxy { host: url.host, port, kind })
}

enum Scheme {
    Http,
    Https,
    Socks,
}

/// The value of `Proxy-Authorization`.
fn header(given: Option<&str>, pair: Option<(Vec<u8>, Vec<u8>)>) -> Result<Option<HeaderValue>, ProxyError> {
    let basic = pair.map(|(user, password)| {
        format!("Basic {}", STANDARD.encode([&user[..], b":", &password[..]].concat()))
    });
    let value = given.or(basic.as_deref()).map(HeaderValue::from_str).transpose();
    let value = value.map_err(|_| ProxyError::Authorization)?;
    Ok(value.map(|mut value| {
        value.set_sensitive(true);
        value
    }))
}

/// Without percent-encoding.
fn decode(text: &str) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    while let [first, after @ ..] = rest {
        rest = after;
        let encoded = match (first, after) {
            (b'%', [high, low, after @ ..]) => digit(*high).zip(digit(*low)).map(|pair| (pair, after)),
            _ => None,
        };
        match encoded {
            Some(((high, low), after)) => {
                bytes.push(high << 4 | low);
                rest = after;
            }
            None => bytes.push(*first),
        }
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    fn proxies(environment: &[(&str, &str)]) -> Result<Proxies, ProxyError> {
        Proxies::of_environment(|name| {
            environment.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned())
        })
    }

    /// The proxy for that server, as `host:port`.
    fn way(environment: &[(&str, &str)], server: &str) -> String {
        let url = crate::client::net::server::parse(server).unwrap();
        let target = Target { host: url.host, port: url.port, secure: url.secure };
        let proxies = proxies(environment).unwrap();
        proxies.of(&target).map_or("direct".to_owned(), |proxy| format!("{}:{}", proxy.host, proxy.port))
    }

    #[test]
    fn the_environment_names_a_proxy_for_each_scheme() {
        let environment = [("HTTP_PROXY", "http://a:1"), ("https_proxy", "b:2"), ("ALL_PROXY", "http://c")];
        assert_eq!(way(&environment, "http://x"), "a:1");
        assert_eq!(way(&environment, "ws://x"), "a:1");
        assert_eq!(way(&environment, "wss://x"), "b:2");
        assert_eq!(way(&environment[2..], "https://x"), "c:80");
        assert_eq!(way(&[], "https://x"), "direct");
        assert_eq!(way(&[("HTTP_PROXY", " ")], "http://x"), "direct");
        assert_eq!(way(&[("http_proxy", "a:1"), ("HTTP_PROXY", "b:1")], "http://x"), "a:1");
        // The header `Proxy` of a request must not name one.
        assert_eq!(way(&[("HTTP_PROXY", "a:1"), ("REQUEST_METHOD", "GET")], "http://x"), "direct");
        assert_eq!(way(&[("ALL_PROXY", "socks5h://s")], "https://x"), "s:1080");
        assert_eq!(way(&[("ALL_PROXY", "socks5://[::1]:80")], "https://x"), "::1:80");
        assert_eq!(way(&[("HTTPS_PROXY", "https://s")], "https://x"), "s:443");
        assert_eq!(way(&[("HTTP_PROXY", "http://u:p@a:3128/")], "http://x"), "a:3128");
        assert_eq!(way(&[("ALL_PROXY", "socks5://s:9050/?x")], "https://x"), "s:9050");
        assert_eq!(way(&[("http_proxy", ""), ("REQUEST_METHOD", "GET")], "http://x"), "direct");
        for wrong in ["socks4://a:1", "ftp://a:1", "http://", "socks5://"] {
            assert!(matches!(proxies(&[("ALL_PROXY", wrong)]), Err(ProxyError::Address)), "{wrong}");
        }
    }

    #[test]
    fn hosts_of_no_proxy_are_reached_directly() {
        for (rules, server, expected) in [
            ("example.com", "http://example.com", "direct"),
            ("example.com", "http://a.EXAMPLE.com", "direct"),
            (".example.com", "http://a.example.com", "direct"),
            ("*.example.com", "http://a.example.com", "direct"),
            ("example.com", "http://anexample.com", "p:1"),
            ("x, example.com:8080", "http://example.com:8080", "direct"),
            ("example.com:8080", "http://example.com", "p:1"),
            ("127.0.0.1,::1", "http://[::1]:9", "direct"),
            ("[::1]:9", "http://[::1]:9", "direct"),
            ("10.0.0.1", "http://110.0.0.1", "p:1"),
            ("*", "http://x", "direct"),
            (",", "http://x", "p:1"),
        ] {
            assert_eq!(
                way(&[("ALL_PROXY", "p:1"), ("NO_PROXY", rules)], server),
                expected,
                "{rules} {server}"
            );
        }
    }

    #[test]
    fn credentials_in_the_address_become_the_authorization() {
        let given = |address, authorization| {
            parse(address, authorization)
                .unwrap()
                .authorization()
                .map(|value| value.to_str().unwrap().to_owned())
        };
        assert_eq!(given("http://x:y@h:1", None).as_deref(), Some("Basic eDp5"));
        // `a@b:c/d` as user and password.
        assert_eq!(
            given("http://a%40b:c%2Fd@h", None),
            Some(format!("Basic {}", STANDARD.encode("a@b:c/d")))
        );
        assert_eq!(given("http://x@h", None), Some(format!("Basic {}", STANDARD.encode("x:"))));
        assert_eq!(given("http://x:y@h", Some("Bearer z")).as_deref(), Some("Bearer z"));
        assert_eq!(given("http://h", None), None);
        for address in ["http://x:secret@h", "socks5://x:secret@h"] {
            let shown = format!("{:?}", parse(address, None).unwrap());
            assert!(!shown.contains("secret") && !shown.contains("eDpzZWNyZXQ"), "{shown}");
        }
        assert!(matches!(parse("socks5://h", Some("Bearer z")), Err(ProxyError::Authorization)));
        let long = format!("socks5://{}:y@h", "x".repeat(256));
        assert!(matches!(parse(&long, None), Err(ProxyError::Address)));
    }
}
