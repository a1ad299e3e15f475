#![doc = include_str!("../README.md")]
#![cfg_attr(docsrs, feature(doc_cfg))]
#![forbid(unsafe_code)]

mod connection;
mod statements;
mod tls;

use crate::connection::Ended;
use sansocket_runtime::adapter::BoxFuture;
use sansocket_runtime::cluster::{Bus, BusLink, Dialect, dialect};
use std::fmt;
use std::time::Duration;
use tokio_postgres::Config;

pub use tokio_postgres::Error as PostgresError;

/// Postgres as a bus.
pub struct PostgresBus {
    config: Config,
    settings: Settings,
    #[cfg(feature = "tls")]
    tls: Option<std::sync::Arc<rustls::ClientConfig>>,
}

#[derive(Clone, Debug)]
struct Settings {
    table: String,
    prefix: String,
    max_waiting_bytes: usize,
    timeout: Duration,
    ping_interval: Duration,
}

impl PostgresBus {
    /// The bus at an address: `postgres://user:password@host:port/database`, or the form with `host=` of libpq. Nothing is
    /// connected yet. `sslmode=require` means TLS, for which the feature `tls` is needed; the certificate must be for the host's
    /// name and of an authority that the system trusts. With any other `sslmode` there is no TLS, unless `tls` is set.
    ///
    /// # Errors
    /// [`PostgresError`] if it is no such address.
    pub fn open(address: &str) -> Result<Self, PostgresError> {
        Ok(Self::with_config(address.parse()?))
    }

    /// The bus with a configuration of the crate `tokio-postgres`. The time limit for connecting is the bus's own.
    pub fn with_config(config: Config) -> Self {
        let settings = Settings {
            table: "socket_io_attachments".to_owned(),
            prefix: "socket.io".to_owned(),
            max_waiting_bytes: 32 << 20,
            timeout: Duration::from_secs(3),
            ping_interval: Duration::from_secs(2),
        };
        Self {
            config,
            settings,
            #[cfg(feature = "tls")]
            tls: None,
        }
    }

    /// Turns TLS on, whatever the `sslmode` of the address, with this configuration: the authorities that are trusted,
    /// and the certificate of this node if the server asks for one. Without this setting, `sslmode=require` trusts the
    /// authorities that the system trusts.
    #[cfg(feature = "tls")]
    #[must_use]
    pub fn tls(mut self, config: std::sync::Arc<rustls::ClientConfig>) -> Self {
        self.config.ssl_mode(tokio_postgres::config::SslMode::Require);
        self.tls = Some(config);
        self
    }

    /// Sets the prefix of the channels' names: the adapter's option `channelPrefix`. Default `socket.io`.
    #[must_use]
    pub fn prefix(mut self, prefix: &str) -> Self {
        prefix.clone_into(&mut self.settings.prefix);
        self
    }

    /// Sets the name of the table of attachments: the adapter's option `tableName`. Default `socket_io_attachments`.
    #[must_use]
    pub fn table(mut self, name: &str) -> Self {
        name.clone_into(&mut self.settings.table);
        self
    }

    /// Sets how many bytes of messages may wait for this node; beyond that it connects anew, and what was lost is told as
    /// a gap. Default 32 MiB.
    #[must_use]
    pub fn max_waiting_bytes(mut self, bytes: usize) -> Self {
        self.settings.max_waiting_bytes = bytes;
        self
    }

    /// Sets how long connecting may take, and the answer to a query; then the connection is given up. Default 3 s.
    #[must_use]
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.settings.timeout = timeout;
        self
    }

    /// Sets how often a quiet connection is tried. Default 2 s.
    #[must_use]
    pub fn ping_interval(mut self, interval: Duration) -> Self {
        self.settings.ping_interval = interval;
        self
    }

    /// The dialect of this bus, which carries no other.
    pub fn dialect(&self) -> Dialect {
        Dialect::Postgres(dialect::Postgres::new(&self.settings.prefix))
    }
}

impl Bus for PostgresBus {
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

impl fmt::Debug for PostgresBus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Not the configuration: it may hold a password.
        f.debug_struct("PostgresBus").field("settings", &self.settings).finish_non_exhaustive()
    }
}
