//! The bus of a cluster, by its address, and the dialect that is spoken there.

use crate::failure::Failure;
use sansocket_postgres::PostgresBus;
use sansocket_redis::RedisBus;
use sansocket_tokio::cluster::{ClusterOptions, Dialect, dialect};
use std::time::Duration;

/// The options of a process that reaches the clients of a cluster by its bus.
#[derive(Debug, clap::Args)]
pub(crate) struct BusOptions {
    /// Emit to the clients of a cluster by its bus, without a server: `redis://`, `rediss://`, `redis+sharded://`,
    /// `redis+streams://`, each with `+cluster` behind it for a Redis Cluster, `postgres://` or `unix:PATH`. URL is then the room, or the id of a socket; everybody if it is empty
    #[arg(long, value_name = "ADDRESS")]
    bus: Option<String>,
    /// The dialect of the cluster's nodes: `cluster` (our own nodes, or what the address means), `python`, `classic`
    /// (JavaScript's Redis adapter), or `python,classic` for both at once
    #[arg(long, value_name = "NAMES", default_value = "cluster", requires = "bus")]
    dialect: String,
}

impl BusOptions {
    /// Returns whether a bus is named.
    pub(crate) fn is_given(&self) -> bool {
        self.bus.is_some()
    }

    /// The options for reaching the bus.
    pub(crate) fn open(&self, timeout: Duration) -> Result<ClusterOptions, Failure> {
        let address = self.bus.as_deref().unwrap_or_default();
        let (options, of_address) = bus(address)?;
        let mut names: Vec<&str> = self.dialect.split(',').map(str::trim).collect();
        names.sort_unstable();
        let dialect = match &names[..] {
            ["python"] => Some(Dialect::Python(dialect::Python::default())),
            ["classic"] => Some(Dialect::Classic(dialect::Classic::default())),
            ["classic", "python"] => Some(Dialect::Bridge(dialect::Bridge::default())),
            ["cluster"] => of_address,
            _ => {
                let message = format!(
                    "--dialect is cluster, python, classic or python,classic, not `{}`",
                    self.dialect
                );
                return Err(Failure::Usage(message));
            }
        };
        let options = match dialect {
            Some(dialect) => options.dialect(dialect),
            None => options,
        };
        Ok(options.request_timeout(timeout))
    }
}

/// The bus at an address, and the dialect that the address means, if it means one.
fn bus(address: &str) -> Result<(ClusterOptions, Option<Dialect>), Failure> {
    #[cfg(unix)]
    if let Some(path) = address.strip_prefix("unix:") {
        return Ok((ClusterOptions::new(sansocket_unix::UnixBus::new(path)), None));
    }
    let scheme = address.split("://").next().unwrap_or_default();
    let kind = scheme.split('+').next().unwrap_or_default();
    let wrong = |error: &dyn std::fmt::Display| Failure::Usage(format!("--bus: {error}"));
    if matches!(scheme, "postgres" | "postgresql") {
        let bus = PostgresBus::open(address).map_err(|error| wrong(&error))?;
        let dialect = bus.dialect();
        return Ok((ClusterOptions::new(bus), Some(dialect)));
    }
    if !matches!(kind, "redis" | "rediss") {
        return Err(Failure::Usage(format!(
            "`{scheme}` is no kind of bus that is known: see `sansocket help emit`"
        )));
    }
    let bus = RedisBus::open(address).map_err(|error| wrong(&error))?;
    let dialect = bus.dialect();
    Ok((ClusterOptions::new(bus), dialect))
}
