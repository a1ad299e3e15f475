//! A client's connections on async-io's reactor: TCP, with TLS if wanted.

use crate::io::{HyperIo, Tcp};
use crate::runtime::Standard;
use async_io::Async;
use sansocket_runtime::adapter::{BoxFuture, ClientTls, Dial, Stream, connect_to_any};
use std::io;
use std::net::{SocketAddr, TcpStream};

pub(crate) struct Dialer {
    #[cfg(feature = "tls")]
    tls: ClientTls,
}

impl Dialer {
    #[cfg_attr(not(feature = "tls"), allow(unused_variables))]
    pub(crate) fn new(tls: ClientTls) -> Self {
        Self {
            #[cfg(feature = "tls")]
            tls,
        }
    }
}

impl Dial for Dialer {
    fn dial(&self, host: String, port: u16) -> BoxFuture<io::Result<Box<dyn Stream>>> {
        Box::pin(async move {
            let addresses = async_net::resolve((host, port)).await?;
            let stream =
                connect_to_any(&Standard::default(), addresses, Async::<TcpStream>::connect::<SocketAddr>)
                    .await?;
            Ok(Box::new(HyperIo(Tcp::from(stream))) as _)
        })
    }

    #[cfg(feature = "tls")]
    fn secure(&self, host: String, stream: Box<dyn Stream>) -> BoxFuture<io::Result<Box<dyn Stream>>> {
        let config = self.tls.config();
        Box::pin(async move {
            let name = futures_rustls::rustls::pki_types::ServerName::try_from(host)
                .map_err(|error| io::Error::new(io::ErrorKind::InvalidInput, error))?;
            let connector = futures_rustls::TlsConnector::from(config?);
            let stream = connector.connect(name, crate::io::FuturesIo(stream)).await?;
            Ok(Box::new(HyperIo(stream)) as _)
        })
    }

    #[cfg(feature = "tls")]
    fn check_secure(&self) -> io::Result<()> {
        self.tls.config().map(drop)
    }

    #[cfg(not(feature = "tls"))]
    fn secure(&self, _: String, _: Box<dyn Stream>) -> BoxFuture<io::Result<Box<dyn Stream>>> {
        let error = self.check_secure().err();
        Box::pin(async { Err(error.unwrap_or_else(|| io::ErrorKind::Unsupported.into())) })
    }

    #[cfg(not(feature = "tls"))]
    fn check_secure(&self) -> io::Result<()> {
        let missing = "turn on the feature `tls` of sansocket-async-std for https and wss";
        Err(io::Error::new(io::ErrorKind::Unsupported, missing))
    }
}
