//! The settings of a client's sockets, with the reference's defaults where it has them.

use crate::socket::parser::Parser;
use core::time::Duration;

/// The settings of a client's Socket.IO layer.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct SocketClientConfig {
    /// The time that a server may take to answer a CONNECT. Default 20 s; the reference waits for ever.
    pub join_timeout: Duration,
    /// The parser of packets, and what they may hold. Default [`Parser::json`].
    pub parser: Parser,
    /// The most acknowledgements that may be awaited at once, in each namespace. Default 10,000.
    pub max_pending_acks: usize,
    /// The number of times that an event without an acknowledgement is sent again: see
    /// [`Manager::emit_reliably`](crate::client::Manager::emit_reliably). Default 0.
    pub retries: u32,
    /// The time that each of those tries may take. Default 10 s.
    pub ack_timeout: Duration,
}

impl Default for SocketClientConfig {
    fn default() -> Self {
        Self {
            join_timeout: Duration::from_secs(20),
            parser: Parser::json(),
            max_pending_acks: 10_000,
            retries: 0,
            ack_timeout: Duration::from_secs(10),
        }
    }
}

macro_rules! setters {
    ($($name:ident: $kind:ty),* $(,)?) => {
        $(
            #[doc = concat!("Sets [`SocketClientConfig::", stringify!($name), "`].")]
            #[must_use]
            pub fn $name(mut self, $name: $kind) -> Self {
                self.$name = $name;
                self
            }
        )*
    };
}

impl SocketClientConfig {
    setters! {
        join_timeout: Duration,
        parser: Parser,
        max_pending_acks: usize,
        retries: u32,
        ack_timeout: Duration,
    }
}
