//! The servers, the listener and the client on async-io's reactor.

use crate::dial::Dialer;
use crate::listener::Socket;
use crate::runtime::Standard;
use async_io::Async;
use async_net::AsyncToSocketAddrs;
use std::net::TcpListener;
#[cfg(unix)]
use std::os::unix::net::UnixListener;

sansocket_runtime::adapter! {
    crate: "sansocket_async_std",
    runtime: Standard::default(),
    addresses: AsyncToSocketAddrs,
    socket: Socket,
    dialer: Dialer,
    blocking: Ok(crate::runtime::Standard::default()),
    unix: std::path::Path,
    tls: futures_rustls::rustls::ServerConfig,
}

impl From<Async<TcpListener>> for Listener {
    fn from(listener: Async<TcpListener>) -> Self {
        Self::over(Socket::Tcp(listener))
    }
}

#[cfg(unix)]
impl From<Async<UnixListener>> for Listener {
    fn from(listener: Async<UnixListener>) -> Self {
        Self::over(Socket::Unix(listener, None))
    }
}
