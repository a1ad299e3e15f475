//! The settings of a client's sessions, with the reference's defaults where it has them.

use crate::engine::transport::TransportKind;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::time::Duration;
use thiserror::Error;

/// The reason why a client cannot work with its settings.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// The path has characters that stand in no path of a URL.
    #[error(
        "the path `{0}` has characters that no path has: percent-encode them, and give parameters as the query"
    )]
    Path(String),
    /// A parameter is one of the protocol's own.
    #[error("the parameter `{0}` is the protocol's own: leave it out, or give it another name")]
    Parameter(String),
}

/// The parameters that the protocol needs.
const OWN_PARAMETERS: [&str; 3] = ["EIO", "transport", "sid"];

/// The settings of a client's Engine.IO sessions.
///
/// ```
/// use sansocket_protocol::engine::{EngineClientConfig, TransportKind};
///
/// let config = EngineClientConfig::default().path("/chat/socket.io").transports([TransportKind::WebSocket]);
/// assert_eq!(config.path, "/chat/socket.io/");
/// ```
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct EngineClientConfig {
    /// The path of the server, with a slash at its end unless [`exact_path`](Self::exact_path) has set it. Default
    /// `/engine.io/`.
    pub path: String,
    /// Parameters of the application's own, which come first in every URL. By default there are none.
    pub query: Vec<(String, String)>,
    /// The transports, in order: the first one opens the session. Default polling, then WebSocket. An empty list
    /// counts as the default.
    pub transports: Vec<TransportKind>,
    /// Whether a session that opened by polling moves to WebSocket, if both sides have it. Default true.
    pub upgrade: bool,
    /// Whether the next session begins with a WebSocket once one has worked. Default false.
    pub remember_upgrade: bool,
    /// Whether the next transport of the list is tried if a session cannot be opened with the first. Default
    /// false.
    pub try_all_transports: bool,
    /// Whether polling requests carry a parameter that never repeats, against caches. Default true.
    pub timestamp_requests: bool,
    /// The name of that parameter. Default `t`.
    pub timestamp_param: String,
    /// The time that a session may take to open. Default 20 s; the reference's `timeout`.
    pub open_timeout: Duration,
    /// The time that a POST may go unanswered. Default 60 s. The reference waits for ever by default; polls are
    /// bounded by the heartbeat.
    pub request_timeout: Duration,
    /// The time that an upgrade may take; then the session stays where it is. Default 10 s, which is what the
    /// reference's server grants.
    pub upgrade_timeout: Duration,
    /// The time that closing may take, to write the queue. Default 2 s. The application does not wait for it.
    pub close_timeout: Duration,
    /// The largest message, the largest body of a response, and the most that the attachments of a packet may be
    /// together, in bytes, that is taken from the server. Default 64 MiB: a polling server sends all that waits in
    /// one body.
    pub max_message: usize,
    /// Bytes that may wait for the server: those queued on the connection, and for each namespace by itself those
    /// that wait until it is connected. Default 16 MiB. Above it sending fails.
    pub send_budget: usize,
    /// Bytes of received events that may wait for the application. Default 16 MiB. Above it reading pauses, unless
    /// an acknowledgement is awaited: then it goes on up to twice as much, or twice the largest packet with its
    /// attachments, if that is more.
    pub receive_budget: usize,
}

impl Default for EngineClientConfig {
    fn default() -> Self {
        Self {
            path: "/engine.io/".to_string(),
            query: Vec::new(),
            transports: Vec::from([TransportKind::Polling, TransportKind::WebSocket]),
            upgrade: true,
            remember_upgrade: false,
            try_all_transports: false,
            timestamp_requests: true,
            timestamp_param: "t".to_string(),
            open_timeout: Duration::from_secs(20),
            request_timeout: Duration::from_secs(60),
            upgrade_timeout: Duration::from_secs(10),
            close_timeout: Duration::from_secs(2),
            max_message: 64 << 20,
            send_budget: 16 << 20,
            receive_budget: 16 << 20,
        }
    }
}

macro_rules! setters {
    ($($name:ident: $kind:ty),* $(,)?) => {
        $(
            #[doc = concat!("Sets [`EngineClientConfig::", stringify!($name), "`].")]
            #[must_use]
            pub fn $name(mut self, $name: $kind) -> Self {
                self.$name = $name;
                self
            }
        )*
    };
}

impl EngineClientConfig {
    setters! {
        upgrade: bool,
        remember_upgrade: bool,
        try_all_transports: bool,
        timestamp_requests: bool,
        open_timeout: Duration,
        request_timeout: Duration,
        upgrade_timeout: Duration,
        close_timeout: Duration,
        max_message: usize,
        send_budget: usize,
        receive_budget: usize,
    }

    /// Sets [`EngineClientConfig::path`]. Slashes at both ends may be left out.
    #[must_use]
    pub fn path(mut self, path: &str) -> Self {
        let inner = path.trim_matches('/');
        self.path = if inner.is_empty() { "/".to_string() } else { alloc::format!("/{inner}/") };
        self
    }

    /// Sets [`EngineClientConfig::path`] without a slash behind it (the reference's `addTrailingSlash: false`), for servers
    /// and proxies that know it without.
    ///
    /// ```
    /// use sansocket_protocol::engine::EngineClientConfig;
    ///
    /// assert_eq!(EngineClientConfig::default().exact_path("/rt").path, "/rt");
    /// ```
    #[must_use]
    pub fn exact_path(mut self, path: &str) -> Self {
        self.path = if path.starts_with('/') { path.to_string() } else { alloc::format!("/{path}") };
        self
    }

    /// Sets [`EngineClientConfig::query`].
    #[must_use]
    pub fn query<K: Into<String>, V: Into<String>>(
        mut self,
        query: impl IntoIterator<Item = (K, V)>,
    ) -> Self {
        self.query = query.into_iter().map(|(key, value)| (key.into(), value.into())).collect();
        self
    }

    /// Sets [`EngineClientConfig::transports`].
    #[must_use]
    pub fn transports(mut self, transports: impl IntoIterator<Item = TransportKind>) -> Self {
        self.transports = transports.into_iter().collect();
        self
    }

    /// Sets [`EngineClientConfig::timestamp_param`].
    #[must_use]
    pub fn timestamp_param(mut self, timestamp_param: impl Into<String>) -> Self {
        self.timestamp_param = timestamp_param.into();
        self
    }

    /// Returns whether requests can be made with these settings: the path is one, and no parameter is the protocol's
    /// own. To be asked before they are used.
    ///
    /// # Errors
    /// [`ConfigError`].
    ///
    /// ```
    /// use sansocket_protocol::engine::{ConfigError, EngineClientConfig};
    ///
    /// assert!(EngineClientConfig::default().path("/a b").check().is_err());
    /// let pasted = EngineClientConfig::default().query([("EIO", "4")]);
    /// assert_eq!(pasted.check(), Err(ConfigError::Parameter("EIO".to_string())));
    /// ```
    pub fn check(&self) -> Result<(), ConfigError> {
        if !is_path(self.path.as_bytes()) {
            return Err(ConfigError::Path(self.path.clone()));
        }
        let stamp = self.timestamp_requests.then_some(&self.timestamp_param);
        let own = |name: &&String| OWN_PARAMETERS.contains(&name.as_str());
        match self.query.iter().map(|(name, _)| name).chain(stamp).find(own) {
            Some(name) => Err(ConfigError::Parameter(name.clone())),
            None => Ok(()),
        }
    }

    /// Returns whether a session may use that transport.
    pub(crate) fn has(&self, kind: TransportKind) -> bool {
        self.transports.is_empty() || self.transports.contains(&kind)
    }

    /// The transports in the order in which they are tried.
    pub(crate) fn order(&self) -> &[TransportKind] {
        const DEFAULT: &[TransportKind] = &[TransportKind::Polling, TransportKind::WebSocket];
        if self.transports.is_empty() { DEFAULT } else { &self.transports }
    }

    /// Bytes of received events that may wait at most. A handler may await an answer that lies behind what the server
    /// has sent before: reading goes on for a second budget, and no further.
    pub(crate) fn most_inbound(&self) -> usize {
        // Never below what one legal packet may hold, with its attachments: it alone must not end the session.
        self.receive_budget.max(self.max_message).saturating_mul(2)
    }
}

/// Returns whether this is a path of a URL (RFC 3986, section 3.3).
fn is_path(path: &[u8]) -> bool {
    let mut rest = path;
    while let [first, after @ ..] = rest {
        rest = match (first, after) {
            (b'%', [high, low, after @ ..]) if high.is_ascii_hexdigit() && low.is_ascii_hexdigit() => after,
            (b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' | b'/' | b':' | b'@', _) => {
                after
            }
            (b'!' | b'$' | b'&' | b'\'' | b'(' | b')' | b'*' | b'+' | b',' | b';' | b'=', _) => after,
            _ => return false,
        };
    }
    path.first() == Some(&b'/')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_no_request_can_carry_is_said_before() {
        for path in ["/", "", "chat/io", "/a%20b/%C3%BC", "/~me/(a)!$&'*+,;=:@/"] {
            assert_eq!(EngineClientConfig::default().path(path).check(), Ok(()), "{path}");
        }
        for path in [
            "/a b", "/a?b=1", "/a#b", "/\u{fc}", "/a\r\nb", "/%", "/%2", "/%zz", "/<a>", "/a|b", "/\"",
            "/a\\b",
        ] {
            let error = EngineClientConfig::default().path(path).check().unwrap_err();
            assert!(matches!(error, ConfigError::Path(_)), "{path}: {error}");
        }
        // Set by hand.
        let relative = EngineClientConfig { path: "a".to_string(), ..EngineClientConfig::default() };
        assert!(relative.check().is_err());
    }

    #[test]
    fn the_protocols_own_parameters_are_nobody_elses() {
        for name in ["EIO", "transport", "sid"] {
            let error = ConfigError::Parameter(name.to_string());
            assert_eq!(
                EngineClientConfig::default().query([("x", "1"), (name, "2")]).check(),
                Err(error.clone())
            );
            let config = EngineClientConfig::default().timestamp_param(name);
            assert_eq!(config.check(), Err(error));
            assert_eq!(config.timestamp_requests(false).check(), Ok(()));
        }
        assert_eq!(EngineClientConfig::default().query([("eio", "1"), ("t", "2")]).check(), Ok(()));
    }
}
