//! TLS to Postgres, with the feature `tls`: if the address asks for it by `sslmode=require`, and never without being asked.

use crate::PostgresBus;
use tokio_postgres::Config;

/// Why there can be no TLS.
#[derive(Debug, thiserror::Error)]
#[error(
    "no certificates of authorities are found on this system, so that no server can be trusted: {reasons}"
)]
pub(crate) struct NoRootsError {
    reasons: String,
}

#[cfg(feature = "tls")]
mod connector {
    use super::{Config, NoRootsError, PostgresBus};
    use tokio_postgres::config::SslMode;
    use tokio_postgres::tls::MakeTlsConnect;
    use tokio_postgres_rustls::MakeRustlsConnect;

    pub(crate) type Stream = <Connector as MakeTlsConnect<tokio_postgres::Socket>>::Stream;
    type Connector = MakeRustlsConnect;

    pub(crate) fn connector(bus: &PostgresBus, config: &mut Config) -> Result<Connector, NoRootsError> {
        // Somebody else may have chosen one, which is as good.
        let _ = rustls::crypto::ring::default_provider().install_default();
        if config.get_ssl_mode() != SslMode::Require {
            // What is tried, and done without, protects from nobody.
            config.ssl_mode(SslMode::Disable);
            let roots = rustls::RootCertStore::empty();
            let unused = rustls::ClientConfig::builder().with_root_certificates(roots).with_no_client_auth();
            return Ok(MakeRustlsConnect::new(unused));
        }
        if let Some(config) = &bus.tls {
            return Ok(MakeRustlsConnect::new((**config).clone()));
        }
        MakeRustlsConnect::with_native_certs().map(|(connector, _)| connector).map_err(|errors| {
            let reasons: Vec<String> = errors.iter().map(ToString::to_string).collect();
            NoRootsError { reasons: reasons.join(", ") }
        })
    }
}

#[cfg(not(feature = "tls"))]
mod connector {
    use super::{Config, NoRootsError, PostgresBus};
    use tokio_postgres::NoTls;

    pub(crate) type Stream = tokio_postgres::tls::NoTlsStream;

    /// An address that asks for TLS is refused by the client.
    pub(crate) fn connector(_: &PostgresBus, _: &mut Config) -> Result<NoTls, NoRootsError> {
        Ok(NoTls)
    }
}

pub(crate) use connector::{Stream, connector};
