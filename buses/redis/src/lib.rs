#![doc = include_str!("../README.md")]
#![cfg_attr(docsrs, feature(doc_cfg))]
#![forbid(unsafe_code)]

mod address;
mod cluster;
mod connection;
mod counting;
mod inbox;
mod links;
mod sentinel;
mod slots;
mod stream;

use crate::address::Address;
use crate::cluster::Cluster;
use crate::connection::{Ended, Past};
use crate::sentinel::Sentinels;
use redis::{Client, IntoConnectionInfo, ProtocolVersion};

pub use redis::RedisError;
use sansocket_runtime::adapter::BoxFuture;
use sansocket_runtime::cluster::{Bus, BusLink, Dialect, dialect};
use std::fmt;
use std::time::Duration;

/// Redis as a bus.
///
/// On a single Redis, one connection carries everything, so a node publishes in order, and after its subscriptions. With
/// streams there is a second one, which waits for entries. In a Redis Cluster there is one for each master that is used.
pub struct RedisBus {
    /// Of which Sentinels and a cluster replace the host and the port.
    client: Client,
    way: Way,
    kind: Kind,
    settings: Settings,
}

/// The way to the Redis that is connected to.
enum Way {
    Direct,
    Sentinels(Sentinels),
    Cluster(Cluster),
}

/// The commands by which messages travel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    PubSub,
    Sharded,
    Streams,
}

#[derive(Clone, Copy, Debug)]
struct Settings {
    max_waiting_bytes: usize,
    timeout: Duration,
    ping_interval: Duration,
    max_stream_length: usize,
}

impl RedisBus {
    /// The bus at an address: `redis://user:password@host:port/database`, `rediss://` for TLS, `redis+unix:///path`.
    /// A scheme of `redis+sharded://` means [`sharded`](Self::sharded), and `redis+streams://` is for the dialect of
    /// streams; with an `s` more (`rediss+sharded://`) they are on TLS. Nothing is connected yet.
    ///
    /// A scheme with `+cluster` means a Redis Cluster. Name some of its nodes as hosts; they are asked for the others. All
    /// nodes must have the same user and password. With `rediss`, all connections use TLS.
    ///
    /// ```
    /// # use sansocket_redis::{RedisBus, RedisError};
    /// let bus = RedisBus::open("redis+sharded+cluster://chat:secret@10.0.0.1:7000,10.0.0.2:7000/")?;
    /// # Ok::<(), RedisError>(())
    /// ```
    ///
    /// # Errors
    /// [`RedisError`] if it is no such address.
    pub fn open(address: &str) -> Result<Self, RedisError> {
        let Address { kind, way, info } = Address::parse(address)?;
        Ok(Self { kind, way, ..Self::from_connection_info(info)? })
    }

    /// The bus at an address in any form of the crate `redis`, for pub/sub. RESP3 is spoken, whatever it says.
    ///
    /// # Errors
    /// [`RedisError`] if it is no address.
    pub fn from_connection_info(address: impl IntoConnectionInfo) -> Result<Self, RedisError> {
        #[cfg(any(feature = "tls", feature = "smol"))]
        // Somebody else may have chosen one, which is as good.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let info = address.into_connection_info()?;
        let settings = info.redis_settings().clone().set_protocol(ProtocolVersion::RESP3);
        let client = Client::open(info.set_redis_settings(settings))?;
        let settings = Settings {
            max_waiting_bytes: 32 << 20,
            timeout: Duration::from_secs(3),
            ping_interval: Duration::from_secs(2),
            max_stream_length: 10_000,
        };
        Ok(Self { client, way: Way::Direct, kind: Kind::PubSub, settings })
    }

    /// Asks Sentinels for the master before each connection. They are named as `host:port,host:port/service`; user,
    /// password and database are those of the address of the bus, whose host and port are not used. With a
    /// `rediss://` address the master is reached by TLS, with a certificate for the name or address that the Sentinels give;
    /// the Sentinels themselves are always asked without TLS.
    ///
    /// ```
    /// # use sansocket_redis::{RedisBus, RedisError};
    /// let bus = RedisBus::open("redis://chat:secret@main/0")?.sentinels("10.0.0.1:26379,10.0.0.2:26379/main")?;
    /// # Ok::<(), RedisError>(())
    /// ```
    ///
    /// # Errors
    /// [`RedisError`] if one of them is no address.
    pub fn sentinels(mut self, sentinels: &str) -> Result<Self, RedisError> {
        self.way = Way::Sentinels(Sentinels::parse(sentinels)?);
        Ok(self)
    }

    /// Uses sharded pub/sub (`SPUBLISH`, `SSUBSCRIBE`): for the dialect of the same name. Redis 7 is needed.
    #[must_use]
    pub fn sharded(mut self) -> Self {
        self.kind = Kind::Sharded;
        self
    }

    /// Sets how many bytes of messages may wait for this node; beyond that it connects anew, and what was lost is told as
    /// a gap. Default 32 MiB.
    #[must_use]
    pub fn max_waiting_bytes(mut self, bytes: usize) -> Self {
        self.settings.max_waiting_bytes = bytes;
        self
    }

    /// Sets how long connecting may take, and the answer to a command; then the connection is given up. Default 3 s.
    #[must_use]
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.settings.timeout = timeout;
        self
    }

    /// Sets how often a quiet connection is tested, and how often a Redis Cluster is asked for its slots. Default 2 s.
    #[must_use]
    pub fn ping_interval(mut self, interval: Duration) -> Self {
        self.settings.ping_interval = interval;
        self
    }

    /// Sets about how many entries a stream keeps. Default 10,000, as the peers.
    #[must_use]
    pub fn max_stream_length(mut self, entries: usize) -> Self {
        self.settings.max_stream_length = entries;
        self
    }

    /// The dialect that an address means by itself: that of JavaScript's sharded adapter and of its streams adapter;
    /// `None` for `redis://`, which carries several.
    pub fn dialect(&self) -> Option<Dialect> {
        match self.kind {
            Kind::PubSub => None,
            Kind::Sharded => Some(Dialect::Sharded(dialect::Sharded::default())),
            Kind::Streams => Some(Dialect::Streams(dialect::Streams::default())),
        }
    }
}

impl Bus for RedisBus {
    fn run(self: Box<Self>, mut link: BusLink) -> BoxFuture<()> {
        Box::pin(async move {
            let (mut attempt, mut past) = (0, Past::default());
            while !link.is_closed() {
                let error = match connection::serve(&self, &mut link, &mut attempt, &mut past).await {
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

impl fmt::Debug for RedisBus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Not the address: it may hold a password.
        f.debug_struct("RedisBus").field("kind", &self.kind).field("settings", &self.settings).finish()
    }
}
