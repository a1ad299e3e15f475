//! The address of a server, as people write it.

use crate::engine::request::pairs;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::fmt;
use thiserror::Error;

/// The reason why a text is not the address of a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum ServerAddrError {
    /// It does not begin with `http://`, `https://`, `ws://` or `wss://`.
    #[error("the address must begin with http://, https://, ws:// or wss://")]
    Scheme,
    /// There is no host, or it has characters that no host has.
    #[error("the address has no valid host")]
    Host,
    /// The host has letters beyond ASCII, and the client was built without a way to translate them.
    #[error(
        "the host has letters beyond ASCII: turn on the feature `idn`, or write it in its A-labels, which begin with `xn--`"
    )]
    International,
    /// The port is no number from 1 to 65535.
    #[error("the port must be a number from 1 to 65535")]
    Port,
    /// A user's name or password stands before the host.
    #[error("credentials in the address are not supported: send them as a header, or as auth")]
    Credentials,
    /// Its path cannot be the name of a namespace.
    #[error("the path of the address is the namespace, and must have no comma in it")]
    Namespace,
}

/// The address of a server. As in the reference its path names a namespace, and its query goes into the URL of
/// every request; the path of those is a setting.
///
/// ```
/// use sansocket_protocol::client::ServerAddr;
///
/// let url = ServerAddr::parse("https://example.com/admin?token=a%20b")?;
/// assert_eq!((url.secure, &*url.host, url.port), (true, "example.com", 443));
/// assert_eq!(url.namespace, "/admin");
/// assert_eq!(url.query, [("token".to_string(), "a b".to_string())]);
/// assert_eq!(url.authority(), "example.com");
/// # Ok::<(), sansocket_protocol::client::ServerAddrError>(())
/// ```
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct ServerAddr {
    /// Whether the connection uses TLS (`https`, `wss`).
    pub secure: bool,
    /// The host's name or address; an IPv6 address without its brackets.
    pub host: String,
    /// The port: 80, or 443 with TLS, if the address does not name one.
    pub port: u16,
    /// The namespace: the path, or `/` if there is no path.
    pub namespace: String,
    /// The query's parameters, percent-decoded.
    pub query: Vec<(String, String)>,
}

impl ServerAddr {
    /// Reads an address.
    ///
    /// # Errors
    /// [`ServerAddrError`].
    pub fn parse(text: &str) -> Result<Self, ServerAddrError> {
        let (scheme, rest) = text.trim().split_once("://").ok_or(ServerAddrError::Scheme)?;
        let secure = match &*scheme.to_ascii_lowercase() {
            "http" | "ws" => false,
            "https" | "wss" => true,
            _ => return Err(ServerAddrError::Scheme),
        };
        let rest = rest.split_once('#').map_or(rest, |(before, _)| before);
        let end = rest.find(['/', '?']).unwrap_or(rest.len());
        let (authority, rest) = rest.split_at(end);
        let (path, query) = rest.split_once('?').unwrap_or((rest, ""));
        if authority.contains('@') {
            return Err(ServerAddrError::Credentials);
        }
        let (host, port) = if let Some(rest) = authority.strip_prefix('[') {
            let (host, rest) = rest.split_once(']').ok_or(ServerAddrError::Host)?;
            host.parse::<core::net::Ipv6Addr>().map_err(|_| ServerAddrError::Host)?;
            match rest.strip_prefix(':') {
                Some(port) => (host, Some(port)),
                None if rest.is_empty() => (host, None),
                None => return Err(ServerAddrError::Host),
            }
        } else {
            let (host, port) = match authority.split_once(':') {
                Some((host, port)) => (host, Some(port)),
                None => (authority, None),
            };
            let is_legal =
                |char: char| char.is_alphanumeric() || matches!(char, '-' | '.' | '_') || !char.is_ascii();
            if host.is_empty() || !host.chars().all(is_legal) {
                return Err(ServerAddrError::Host);
            }
            (host, port)
        };
        let port = match port {
            None | Some("") => {
                if secure {
                    443
                } else {
                    80
                }
            }
            Some(port) if port.bytes().all(|byte| byte.is_ascii_digit()) => {
                port.parse().ok().filter(|port| *port > 0).ok_or(ServerAddrError::Port)?
            }
            Some(_) => return Err(ServerAddrError::Port),
        };
        if path.contains(',') {
            return Err(ServerAddrError::Namespace);
        }
        let namespace = if path.is_empty() { "/" } else { path };
        let query = pairs(query).map(|(key, value)| (key.into_owned(), value.into_owned())).collect();
        Ok(Self { secure, host: host.to_string(), port, namespace: namespace.to_string(), query })
    }

    /// The host and, unless it is the scheme's own, the port: the value of a `Host` header.
    pub fn authority(&self) -> String {
        let usual = if self.secure { 443 } else { 80 };
        let mut authority =
            if self.host.contains(':') { alloc::format!("[{}]", self.host) } else { self.host.clone() };
        if self.port != usual {
            authority.push(':');
            authority.push_str(&self.port.to_string());
        }
        authority
    }
}

impl fmt::Display for ServerAddr {
    /// Without the query, which may hold secrets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = if self.secure { "https" } else { "http" };
        write!(f, "{scheme}://{}{}", self.authority(), self.namespace)
    }
}

impl fmt::Debug for ServerAddr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ServerAddr({self})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> ServerAddr {
        ServerAddr::parse(text).unwrap()
    }

    #[test]
    fn each_scheme_has_its_port() {
        for (text, secure, port) in [
            ("http://h", false, 80),
            ("ws://h", false, 80),
            ("HTTPS://h", true, 443),
            ("wss://h:8443", true, 8443),
            ("http://h:/x", false, 80),
        ] {
            let url = parse(text);
            assert_eq!((url.secure, url.port), (secure, port), "{text}");
        }
    }

    #[test]
    fn the_path_is_the_namespace() {
        assert_eq!(parse("http://h").namespace, "/");
        assert_eq!(parse("http://h/").namespace, "/");
        assert_eq!(parse("http://h:1/a/b?x=1#y").namespace, "/a/b");
        assert_eq!(parse("http://h?x=1").query, [("x".to_string(), "1".to_string())]);
    }

    #[test]
    fn an_ipv6_address_stands_in_brackets() {
        let url = parse("ws://[::1]:3000/x");
        assert_eq!((&*url.host, url.port), ("::1", 3000));
        assert_eq!(url.authority(), "[::1]:3000");
        assert_eq!(parse("ws://[::1]").authority(), "[::1]");
    }

    #[test]
    fn what_is_no_address_says_why() {
        for (text, error) in [
            ("localhost:3000", ServerAddrError::Scheme),
            ("ftp://h", ServerAddrError::Scheme),
            ("http://", ServerAddrError::Host),
            ("http://a b", ServerAddrError::Host),
            ("http://a\r\nb", ServerAddrError::Host),
            ("http://[::1", ServerAddrError::Host),
            ("http://[::1]x", ServerAddrError::Host),
            ("http://[zz]", ServerAddrError::Host),
            ("http://h:0", ServerAddrError::Port),
            ("http://h:65536", ServerAddrError::Port),
            ("http://h:+1", ServerAddrError::Port),
            ("http://::1", ServerAddrError::Host),
            ("http://user:password@h", ServerAddrError::Credentials),
            ("http://h/a,b", ServerAddrError::Namespace),
        ] {
            assert_eq!(ServerAddr::parse(text), Err(error), "{text}");
        }
    }

    #[test]
    fn an_address_is_shown_without_its_query() {
        assert_eq!(alloc::format!("{:?}", parse("http://h/a?token=secret")), "ServerAddr(http://h/a)");
    }
}
