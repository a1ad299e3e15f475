//! The servers, the listener and the client on tokio.

use crate::dial::Dialer;
use crate::listener::Socket;
use crate::runtime::Tokio;
use tokio::net::{TcpListener, ToSocketAddrs};

sansocket_runtime::adapter! {
    crate: "sansocket_tokio",
    runtime: Tokio,
    addresses: ToSocketAddrs,
    socket: Socket,
    dialer: Dialer,
    blocking: crate::thread::OwnThread::start(),
    tls: tokio_rustls::rustls::ServerConfig,
}

impl From<TcpListener> for Listener {
    fn from(listener: TcpListener) -> Self {
        Self::over(Socket(listener))
    }
}
