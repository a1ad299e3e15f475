#![doc = include_str!("../README.md")]
#![cfg_attr(docsrs, feature(doc_cfg))]
#![forbid(unsafe_code)]

mod connection;
mod news;
mod parts;

use crate::connection::Ended;
use async_nats::{ConnectOptions, ServerAddr};
use sansocket_runtime::adapter::BoxFuture;
use sansocket_runtime::cluster::{Bus, BusLink};
use std::fmt;
use std::time::Duration;

/// NATS as a bus.
///
/// One connection carries everything, so that what a node publishes leaves after its subscriptions, and in order.
pub struct NatsBus {
    servers: Vec<ServerAddr>,
    options: ConnectOptions,
    prefix: String,
    max_waiting: usize,
    max_waiting_bytes: usize,
}

/// An address that is none of a NATS server.
pub type AddressError = std::io::Error;

impl NatsBus {
    /// The bus at an address, or at one of several behind commas: `nats://user:password@host:port`, `tls://` for TLS.
    /// Nothing is connected yet.
    ///
    /// # Errors
    /// [`AddressError`] if one is no such address.
    pub fn open(addresses: &str) -> Result<Self, AddressError> {
        Self::with_options(addresses, ConnectOptions::new())
    }

    /// The same with options of the client: for credentials, certificates and the like. Those about reconnecting and
    /// waiting are the bus's own.
    ///
    /// # Errors
    /// [`AddressError`] if one is no such address.
    pub fn with_options(addresses: &str, options: ConnectOptions) -> Result<Self, AddressError> {
        let servers = addresses.split(',').map(|address| address.trim().parse());
        let servers = servers.collect::<Result<Vec<ServerAddr>, _>>()?;
        Ok(Self {
            servers,
            options,
            prefix: "sansocket".to_owned(),
            max_waiting: 8192,
            max_waiting_bytes: 32 << 20,
        })
    }

    /// Sets the first token of all subjects. Default `sansocket`. Clusters that share a NATS account have different ones.
    /// Characters that a subject cannot have are left out.
    #[must_use]
    pub fn prefix(mut self, prefix: &str) -> Self {
        let is_plain = |letter: &char| letter.is_ascii_alphanumeric() || matches!(letter, '-' | '_');
        self.prefix = prefix.chars().filter(is_plain).collect();
        self
    }

    /// Sets how many messages of one channel may wait for this node; beyond that it connects anew, and what was lost is
    /// told as a gap. Default 8192.
    #[must_use]
    pub fn max_waiting(mut self, messages: usize) -> Self {
        self.max_waiting = messages.max(1);
        self
    }

    /// Sets how many bytes of messages may wait for this node, of all channels together, and how many of large messages that
    /// have not come whole. With more of the first it connects anew; of the second the oldest is dropped. Default 32 MiB.
    #[must_use]
    pub fn max_waiting_bytes(mut self, bytes: usize) -> Self {
        self.max_waiting_bytes = bytes;
        self
    }
}

impl Bus for NatsBus {
    fn run(self: Box<Self>, mut link: BusLink) -> BoxFuture<()> {
        Box::pin(async move {
            let mut attempt = 0;
            while !link.is_closed() {
                let error = match connection::serve(&self, &mut link, &mut attempt).await {
                    Ended::Closed => return,
                    Ended::Lost(error) => error,
                };
                link.down(error);
                link.wait_before(attempt).await;
                attempt = attempt.saturating_add(1);
            }
        })
    }
}

impl fmt::Debug for NatsBus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Not the addresses: they may hold passwords.
        f.debug_struct("NatsBus").field("prefix", &self.prefix).finish_non_exhaustive()
    }
}

/// The wait of the client, within which a server must answer.
const TIMEOUT: Duration = Duration::from_secs(3);
/// The interval at which a connection is tried. It is lost when three of them are not answered.
const PING: Duration = Duration::from_secs(2);
