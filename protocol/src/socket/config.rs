//! The settings of the Socket.IO layer, with the reference's defaults where it has them.

pub use crate::rate::EventExcess;
use crate::rate::Rate;
use crate::socket::parser::Parser;
use core::time::Duration;

/// The settings of the Socket.IO layer.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct SocketServerConfig {
    /// The time that a connection may take to join its first namespace. Default 45 s.
    pub connect_timeout: Duration,
    /// The parser of packets, and what they may hold. Default [`Parser::json`].
    pub parser: Parser,
    /// The most namespaces that one connection may be in. Default 100: each costs memory here, and an honest client
    /// joins a handful.
    pub max_namespaces: usize,
    /// The most bytes in the name of a namespace that a client asks for. Default 512: a dynamic namespace
    /// keeps the name, and the answer repeats it. A client that asks for more is disconnected.
    pub max_namespace_name: usize,
    /// The rate at which one client may ask to join namespaces. Default 10 a second, 100 at once, as many as it may be in:
    /// each CONNECT runs the application's `on_connect`. A client that asks more often is disconnected.
    pub connect_rate: Option<Rate>,
    /// The most refused CONNECTs of one connection. Default 100; with the last one the connection is closed: a guesser of
    /// passwords must begin again.
    pub max_refused_connects: usize,
    /// The most bytes in the `auth` of a CONNECT. Default 16 KiB: it is kept as long as its socket. A client that
    /// sends more is disconnected.
    pub max_auth: usize,
    /// The time that each attachment of a packet may take. Default 30 s; without it the connection is closed. The time in which
    /// reading pauses does not count.
    pub attachment_timeout: Duration,
    /// The most acknowledgements that may be awaited from one client in a namespace. Default 10,000: a client that
    /// never answers must not fill the table.
    pub max_pending_acks: usize,
    /// The rate at which one client may emit events in one namespace. Default no limit: only the application knows the
    /// cost of an event, and `receive_budget` bounds what waits. Acknowledgements and heartbeats are not counted.
    pub event_rate: Option<Rate>,
    /// The fate of events that come faster.
    pub event_excess: EventExcess,
}

impl Default for SocketServerConfig {
    fn default() -> Self {
        Self {
            connect_timeout: Duration::from_secs(45),
            parser: Parser::json(),
            max_namespaces: 100,
            max_namespace_name: 512,
            connect_rate: Some(Rate::per_second(10).burst(100)),
            max_refused_connects: 100,
            max_auth: 16 << 10,
            attachment_timeout: Duration::from_secs(30),
            max_pending_acks: 10_000,
            event_rate: None,
            event_excess: EventExcess::default(),
        }
    }
}

impl SocketServerConfig {
    /// Sets [`SocketServerConfig::connect_timeout`].
    #[must_use]
    pub fn connect_timeout(mut self, connect_timeout: Duration) -> Self {
        self.connect_timeout = connect_timeout;
        self
    }

    /// Sets [`SocketServerConfig::parser`].
    #[must_use]
    pub fn parser(mut self, parser: Parser) -> Self {
        self.parser = parser;
        self
    }

    /// Sets [`SocketServerConfig::max_namespaces`].
    #[must_use]
    pub fn max_namespaces(mut self, max_namespaces: usize) -> Self {
        self.max_namespaces = max_namespaces;
        self
    }

    /// Sets [`SocketServerConfig::max_namespace_name`].
    #[must_use]
    pub fn max_namespace_name(mut self, bytes: usize) -> Self {
        self.max_namespace_name = bytes;
        self
    }

    /// Sets [`SocketServerConfig::connect_rate`].
    #[must_use]
    pub fn connect_rate(mut self, rate: Option<Rate>) -> Self {
        self.connect_rate = rate;
        self
    }

    /// Sets [`SocketServerConfig::max_refused_connects`].
    #[must_use]
    pub fn max_refused_connects(mut self, times: usize) -> Self {
        self.max_refused_connects = times;
        self
    }

    /// Sets [`SocketServerConfig::max_auth`].
    #[must_use]
    pub fn max_auth(mut self, bytes: usize) -> Self {
        self.max_auth = bytes;
        self
    }

    /// Sets [`SocketServerConfig::attachment_timeout`].
    #[must_use]
    pub fn attachment_timeout(mut self, timeout: Duration) -> Self {
        self.attachment_timeout = timeout;
        self
    }

    /// Sets [`SocketServerConfig::max_pending_acks`].
    #[must_use]
    pub fn max_pending_acks(mut self, max_pending_acks: usize) -> Self {
        self.max_pending_acks = max_pending_acks;
        self
    }

    /// Sets [`SocketServerConfig::event_rate`].
    #[must_use]
    pub fn event_rate(mut self, rate: Option<Rate>) -> Self {
        self.event_rate = rate;
        self
    }

    /// Sets [`SocketServerConfig::event_excess`].
    #[must_use]
    pub fn event_excess(mut self, excess: EventExcess) -> Self {
        self.event_excess = excess;
        self
    }
}
