//! The servers, the listener and the client on async-io's reactor.

use crate::dial::Dialer;
use crate::listener::Socket;
use crate::runtime::Standard;
use async_io::Async;
use async_net::AsyncToSocketAddrs;
use std::net::TcpListener;

sansocket_runtime::adapter! {
    crate: "sansocket_async_std",
    runtime: Standard::default(),
    addresses: AsyncToSocketAddrs,
    socket: Socket,
    dialer: Dialer,
    blocking: Ok(crate::runtime::Standard::default()),
    tls: futures_rustls::rustls::ServerConfig,
}

impl From<Async<TcpListener>> for Listener {
    fn from(listener: Async<TcpListener>) -> Self {
        Self::over(Socket(listener))
    }
}
