//! The servers, the listener and the client on tokio.

use crate::dial::Dialer;
use crate::listener::Socket;
use crate::runtime::Tokio;
#[cfg(unix)]
use tokio::net::UnixListener;
use tokio::net::{TcpListener, ToSocketAddrs};

sansocket_runtime::adapter! {
    crate: "sansocket_tokio",
    runtime: Tokio,
    addresses: ToSocketAddrs,
    socket: Socket,
    dialer: Dialer,
    blocking: crate::thread::OwnThread::start(),
    unix: std::path::Path,
    tls: tokio_rustls::rustls::ServerConfig,
}

impl From<TcpListener> for Listener {
    fn from(listener: TcpListener) -> Self {
        Self::over(Socket::Tcp(listener))
    }
}

#[cfg(unix)]
impl From<UnixListener> for Listener {
    fn from(listener: UnixListener) -> Self {
        Self::over(Socket::Unix(listener, None))
    }
}
