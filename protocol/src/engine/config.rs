//! The settings of an Engine.IO server, with the reference's defaults.

use super::cookie::Cookie;
use super::origins::{OriginDecision, Origins};
use super::request::{RequestHead, Response};
use super::transport::Transports;
use crate::rate::{EventExcess, Rate};
use alloc::borrow::Cow;
use alloc::string::{String, ToString};
use core::time::Duration;

/// The fate of a message that does not fit the send budget.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum Overflow {
    /// The connection is closed: a client that cannot follow comes back with a fresh state. The default.
    #[default]
    Close,
    /// The send fails, and the connection lives on.
    Fail,
    /// The message is dropped silently.
    Drop,
}

/// The settings of an Engine.IO server.
///
/// ```
/// use core::time::Duration;
/// use sansocket_protocol::engine::EngineServerConfig;
///
/// let config = EngineServerConfig::default().ping_interval(Duration::from_secs(10)).max_payload(100_000);
/// assert_eq!(config.ping_timeout, Duration::from_secs(20));
/// ```
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct EngineServerConfig {
    /// The beginning of a request's target. Default `/engine.io/`.
    pub path: String,
    /// The time between two heartbeats. Default 25 s.
    pub ping_interval: Duration,
    /// The time that the answer to a heartbeat may take. Default 20 s.
    pub ping_timeout: Duration,
    /// The time that an upgrade, or the first WebSocket of a session, may take. Default 10 s.
    pub upgrade_timeout: Duration,
    /// The largest POST body and the largest WebSocket message, in bytes. Default 1,000,000.
    pub max_payload: usize,
    /// The most packets in the answer to a poll; the others wait for the next one. Default 16: python-socketio
    /// ends the session for more.
    pub max_poll_packets: usize,
    /// The transports served. Default both.
    pub transports: Transports,
    /// Whether a polling session may move to WebSocket. Default yes.
    pub allow_upgrades: bool,
    /// Whether clients of [`Revision::V3`](super::Revision::V3) are served, those of Socket.IO 1.x and 2.x. Default no:
    /// their handshakes are refused with code 5, and the ids of their sockets are the secret ids of their sessions.
    pub allow_eio3: bool,
    /// The cookie that the polling handshake sets. By default there is no cookie.
    pub cookie: Option<Cookie>,
    /// The origins whose pages may talk to this server. By default, as in the reference, requests of all origins are
    /// served, and no header tells browsers of other origins that they may read the answers.
    pub origins: Option<Origins>,
    /// The text of a message that follows the handshake of each session at once. By default there is no such message.
    pub initial_packet: Option<String>,
    /// The bytes that may wait for one client before [`EngineServerConfig::overflow`] applies. Default 4 MiB. One
    /// larger message passes if nothing else waits and it is no larger than a message from a client may be, with all
    /// its attachments, or than 11 MB if that is more; what is larger than that is refused and closes nothing.
    pub send_budget: usize,
    /// The fate of a message when there are more.
    pub overflow: Overflow,
    /// The bytes received from one client that may wait for its handlers, or be in their hands, before reading pauses.
    /// Default 1 MiB.
    pub receive_budget: usize,
    /// The time that reading may stay paused for what waits without a handler finishing or a byte written. Default 60 s.
    pub pause_timeout: Duration,
    /// The time that a closing session waits for its client to fetch the rest. Default 30 s.
    pub close_timeout: Duration,
    /// The most sessions at once; a further one gets 503. Default 1,000,000.
    pub max_sessions: usize,
    /// The most sessions of one address; a further one gets 429. Default no limit: behind a proxy, and behind the
    /// routers of schools, companies and mobile networks, one address stands for thousands. An IPv6 address counts as
    /// its /64 network.
    pub max_sessions_per_address: Option<usize>,
    /// The rate at which sessions may be opened, in all; a further handshake gets 503 and `retry-after`. Default no
    /// limit: the right one depends on the cost of a new session to the application, and all clients come back at once
    /// after a restart.
    pub handshake_rate: Option<Rate>,
    /// The rate at which one address may open sessions; a further handshake gets 429 and `retry-after`. Default no
    /// limit, for the reason of [`EngineServerConfig::max_sessions_per_address`].
    pub handshake_rate_per_address: Option<Rate>,
    /// The rate at which one client may send messages in a plain Engine.IO session; with Socket.IO on top, its
    /// `event_rate` counts. Default no limit: only the application knows the cost of a message, and `receive_budget`
    /// bounds those that wait. Heartbeats are not counted.
    pub message_rate: Option<Rate>,
    /// The fate of messages that come faster.
    pub message_excess: EventExcess,
}

impl Default for EngineServerConfig {
    fn default() -> Self {
        Self {
            path: "/engine.io/".to_string(),
            ping_interval: Duration::from_secs(25),
            ping_timeout: Duration::from_secs(20),
            upgrade_timeout: Duration::from_secs(10),
            max_payload: 1_000_000,
            max_poll_packets: 16,
            transports: Transports::ALL,
            allow_upgrades: true,
            allow_eio3: false,
            cookie: None,
            origins: None,
            initial_packet: None,
            send_budget: 4 << 20,
            overflow: Overflow::Close,
            receive_budget: 1 << 20,
            pause_timeout: Duration::from_secs(60),
            close_timeout: Duration::from_secs(30),
            max_sessions: 1_000_000,
            max_sessions_per_address: None,
            handshake_rate: None,
            handshake_rate_per_address: None,
            message_rate: None,
            message_excess: EventExcess::default(),
        }
    }
}

macro_rules! setters {
    ($($name:ident: $kind:ty),* $(,)?) => {
        $(
            #[doc = concat!("Sets [`EngineServerConfig::", stringify!($name), "`].")]
            #[must_use]
            pub fn $name(mut self, $name: $kind) -> Self {
                self.$name = $name;
                self
            }
        )*
    };
}

impl EngineServerConfig {
    setters! {
        ping_interval: Duration,
        ping_timeout: Duration,
        upgrade_timeout: Duration,
        max_payload: usize,
        max_poll_packets: usize,
        transports: Transports,
        allow_upgrades: bool,
        allow_eio3: bool,
        cookie: Option<Cookie>,
        origins: Option<Origins>,
        initial_packet: Option<String>,
        send_budget: usize,
        overflow: Overflow,
        receive_budget: usize,
        pause_timeout: Duration,
        close_timeout: Duration,
        max_sessions: usize,
        max_sessions_per_address: Option<usize>,
        handshake_rate: Option<Rate>,
        handshake_rate_per_address: Option<Rate>,
        message_rate: Option<Rate>,
        message_excess: EventExcess,
    }

    /// Sets [`EngineServerConfig::path`]. A missing slash before or behind it is added, as the reference does.
    #[must_use]
    pub fn path(self, path: &str) -> Self {
        let mut config = self.exact_path(path);
        if !config.path.ends_with('/') {
            config.path.push('/');
        }
        config
    }

    /// Sets [`EngineServerConfig::path`] without a slash behind it (the reference's `addTrailingSlash: false`).
    #[must_use]
    pub fn exact_path(mut self, path: &str) -> Self {
        self.path = if path.starts_with('/') { path.to_string() } else { alloc::format!("/{path}") };
        self
    }

    /// Returns whether a request of that target is for this server: a plain prefix, as in the reference, so that
    /// `/socket.io/anything` is and `/socket.io` is not.
    pub fn matches(&self, target: &str) -> bool {
        target.starts_with(&self.path)
    }

    /// The decision about the origin of a request. It is made once: a function of the application may make it.
    pub fn judge<'h>(&self, head: &RequestHead<'h>) -> OriginDecision<'h> {
        let Some(origins) = &self.origins else { return OriginDecision::Unjudged };
        match head.headers.header("origin") {
            Some(origin) if origins.allow(&origin, head) => OriginDecision::Allowed(origin),
            Some(origin) => OriginDecision::Refused(origin),
            None => OriginDecision::Unjudged,
        }
    }

    /// Adds what belongs on every response to `head`: the CORS headers, and for old browsers of one make a word
    /// that keeps them from taking a body for a script.
    pub fn decorate(&self, head: &RequestHead<'_>, origin: &OriginDecision<'_>, response: &mut Response) {
        if response.status == 200
            && head.headers.header("user-agent").is_some_and(|agent| is_old_browser(&agent))
        {
            response.headers.push((Cow::Borrowed("x-xss-protection"), Cow::Borrowed("0")));
        }
        if let Some(origins) = &self.origins {
            origins.apply(origin, response);
        }
    }

    /// The send budget in force: never below one maximal message, or nothing of that size could be sent.
    pub(crate) fn effective_send_budget(&self) -> usize {
        self.send_budget.max(self.max_payload)
    }

    /// The receive budget in force: reading pauses for something that waits, never for nothing.
    pub(crate) fn effective_receive_budget(&self) -> usize {
        self.receive_budget.max(1)
    }
}

/// Returns whether a text has `;MSIE` or `Trident/` in it. In one pass, because each answer asks.
fn is_old_browser(agent: &str) -> bool {
    let mut rest = agent.as_bytes();
    while let Some(at) = rest.iter().position(|byte| matches!(byte, b';' | b'T')) {
        rest = rest.get(at..).unwrap_or_default();
        if rest.starts_with(b";MSIE") || rest.starts_with(b"Trident/") {
            return true;
        }
        rest = rest.get(1..).unwrap_or_default();
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_old_browser_is_known_by_its_words() {
        for (agent, is_old) in [
            ("Mozilla/5.0 (Windows NT 6.1; WOW64; Trident/7.0; rv:11.0) like Gecko", true),
            ("Mozilla/4.0 (compatible;MSIE 8.0)", true),
            ("Mozilla/4.0 (compatible; MSIE 8.0)", false),
            (";;MSIE", true),
            ("TTrident/", true),
            ("Trident", false),
            (";MSI", false),
            ("", false),
        ] {
            assert_eq!(is_old_browser(agent), is_old, "{agent}");
        }
    }

    #[test]
    fn a_path_gets_its_slashes() {
        assert_eq!(EngineServerConfig::default().path("chat").path, "/chat/");
        assert!(EngineServerConfig::default().matches("/engine.io/x?EIO=4"));
        assert!(!EngineServerConfig::default().matches("/engine.io?EIO=4"));
        assert!(EngineServerConfig::default().exact_path("/engine.io").matches("/engine.io?EIO=4"));
    }
}
