#![doc = include_str!("../README.md")]
#![cfg_attr(docsrs, feature(doc_cfg))]
#![forbid(unsafe_code)]

mod connection;
#[cfg(feature = "tls")]
mod tls;
mod wire;

use crate::connection::Ended;
use lapin::uri::{AMQPScheme, AMQPUri};
use sansocket_runtime::adapter::BoxFuture;
use sansocket_runtime::cluster::{Bus, BusLink};
use std::fmt;
use thiserror::Error;

/// RabbitMQ as a bus.
///
/// One connection carries everything, and one queue what comes, so that messages stay in order.
pub struct AmqpBus {
    uri: AMQPUri,
    settings: Settings,
    #[cfg(feature = "tls")]
    tls: Option<std::sync::Arc<rustls::ClientConfig>>,
}

#[derive(Clone, Debug)]
struct Settings {
    /// The direct exchange on which channels are routing keys; `None` if each channel is an exchange.
    exchange: Option<String>,
    max_waiting_bytes: u32,
}

/// An address that is none of an AMQP broker.
#[derive(Debug, Error)]
#[error("no address of an AMQP broker: {reason}")]
pub struct AddressError {
    reason: String,
}

/// Seconds without a sign of life after which half the connection is taken for lost.
const HEARTBEAT: u16 = 4;

impl AmqpBus {
    /// The bus at an address: `amqp://user:password@host:port/vhost`, `amqps://` for TLS. Nothing is connected yet.
    ///
    /// # Errors
    /// [`AddressError`] if it is no such address, or if it is on TLS and the crate is built without its feature `tls`.
    pub fn open(address: &str) -> Result<Self, AddressError> {
        // Without `//` the client's own reason would be the whole address, with the password.
        if !address.split_once(':').is_some_and(|(_, behind)| behind.starts_with("//")) {
            let reason = "it has to begin with `amqp://` or `amqps://`".to_owned();
            return Err(AddressError { reason });
        }
        let mut uri: AMQPUri = address.parse().map_err(|reason| AddressError { reason })?;
        check_scheme(&uri.scheme, cfg!(feature = "tls"))?;
        uri.query.heartbeat = uri.query.heartbeat.or(Some(HEARTBEAT));
        let settings = Settings { exchange: Some("sansocket".to_owned()), max_waiting_bytes: 32 << 20 };
        Ok(Self {
            uri,
            settings,
            #[cfg(feature = "tls")]
            tls: None,
        })
    }

    /// Turns TLS on, whatever the scheme of the address, with this configuration: the authorities that are trusted, and
    /// the certificate of this node if the broker asks for one. The port stays that of the address: 5672 by default with
    /// `amqp`, 5671 with `amqps`. Without this setting, `amqps` addresses trust the authorities that the system trusts.
    /// To log in by the certificate, add `?auth_mechanism=external` to the address.
    #[cfg(feature = "tls")]
    #[must_use]
    pub fn tls(mut self, config: std::sync::Arc<rustls::ClientConfig>) -> Self {
        self.uri.scheme = AMQPScheme::AMQPS;
        self.tls = Some(config);
        self
    }

    /// Meets python-socketio's nodes: each channel is an exchange of type `fanout`, as their managers declare it. For
    /// Python's dialect.
    #[must_use]
    pub fn python(mut self) -> Self {
        self.settings.exchange = None;
        self
    }

    /// Sets the exchange of our own nodes. Default `sansocket`.
    #[must_use]
    pub fn exchange(mut self, name: &str) -> Self {
        self.settings.exchange = Some(name.to_owned());
        self
    }

    /// Sets how many bytes of messages may wait for this node at the broker, which drops the oldest beyond that.
    /// Default 32 MiB.
    #[must_use]
    pub fn max_waiting_bytes(mut self, bytes: u32) -> Self {
        self.settings.max_waiting_bytes = bytes;
        self
    }
}

/// Refuses TLS where there is none: the client would connect without, and tell its password to everybody.
fn check_scheme(scheme: &AMQPScheme, has_tls: bool) -> Result<(), AddressError> {
    if has_tls || *scheme == AMQPScheme::AMQP {
        return Ok(());
    }
    Err(AddressError { reason: "`amqps` needs the feature `tls` of sansocket-amqp".to_owned() })
}

impl Bus for AmqpBus {
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

impl fmt::Debug for AmqpBus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Not the address: it may hold a password.
        f.debug_struct("AmqpBus").field("settings", &self.settings).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::{AMQPScheme, AmqpBus, check_scheme};

    #[test]
    fn an_address_that_is_wrong_does_not_tell_its_password() {
        for wrong in [
            "amqp://chat:secret@host:port/",
            "http://chat:secret@host/",
            "amqp://chat:secret@host/?heartbeat=x",
            "amqps:chat:secret@host",
            "amqps:chat:secret@host/://",
            "chat:secret@host",
        ] {
            let error = AmqpBus::open(wrong).unwrap_err().to_string();
            assert!(!error.contains("secret"), "{error}");
        }
    }

    #[test]
    fn without_the_feature_an_address_on_tls_is_refused() {
        let refused = check_scheme(&AMQPScheme::AMQPS, false).unwrap_err().to_string();
        assert!(refused.contains("feature `tls`"), "{refused}");
        assert!(check_scheme(&AMQPScheme::AMQPS, true).is_ok());
        assert!(check_scheme(&AMQPScheme::AMQP, false).is_ok());
        assert_eq!(AmqpBus::open("amqps://guest:guest@localhost/%2f").is_ok(), cfg!(feature = "tls"));
    }

    #[cfg(feature = "tls")]
    #[test]
    fn a_setting_of_tls_is_never_connected_without() {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let config = rustls::ClientConfig::builder().with_root_certificates(rustls::RootCertStore::empty());
        let bus = AmqpBus::open("amqp://localhost/%2f").unwrap().tls(config.with_no_client_auth().into());
        assert_eq!(bus.uri.scheme, AMQPScheme::AMQPS);
    }
}
