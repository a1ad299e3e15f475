//! The settings of a client's sockets, with the reference's defaults where it has them.

use core::time::Duration;

/// The settings of a client's Socket.IO layer.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct SocketClientConfig {
    /// How long a server may take to answer a CONNECT. Default 20 s; the reference waits for ever.
    pub join_timeout: Duration,
    /// How many attachments a received packet may have. Default 10, as in the reference.
    pub max_attachments: usize,
    /// How many acknowledgements may be awaited at once, in each namespace. Default 10,000.
    pub max_pending_acks: usize,
    /// How often an event is sent again that was not acknowledged: see
    /// [`Manager::emit_reliably`](crate::client::Manager::emit_reliably). Default 0.
    pub retries: u32,
    /// How long each of those tries may take. Default 10 s.
    pub ack_timeout: Duration,
}

impl Default for SocketClientConfig {
    fn default() -> Self {
        Self {
            join_timeout: Duration::from_secs(20),
            max_attachments: 10,
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
        max_attachments: usize,
        max_pending_acks: usize,
        retries: u32,
        ack_timeout: Duration,
    }
}
